//! Random numbers that differ between any two processes.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

/// 64 random bits from the operating system or, if that fails, from sources that are likely to
/// differ each time.
pub(crate) fn random() -> u64 {
    from_system().unwrap_or_else(|_| from_circumstances())
}

fn from_system() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The keys of the standard library's hasher are random themselves; the time and the process id
/// help where they are not.
fn from_circumstances() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(process::id());
    if let Ok(since) = SystemTime::now().duration_since(UNIX_EPOCH) {
        hasher.write_u128(since.as_nanos());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ() {
        assert_ne!(from_system().unwrap(), from_system().unwrap());
        assert_ne!(from_circumstances(), from_circumstances());
    }
}
