//! Random numbers that differ between any two processes.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};

/// 64 random bits from the operating system or, if that fails, from the random keys of the standard
/// library's hasher.
pub(crate) fn random() -> u64 {
    from_system().unwrap_or_else(|_| from_hasher())
}

/// A random integer of 53 bits: every JSON reader keeps such a one as it is.
pub(crate) fn integer() -> u64 {
    random() >> 11
}

fn from_system() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn from_hasher() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ() {
        assert_ne!(from_system().unwrap(), from_system().unwrap());
        assert_ne!(from_hasher(), from_hasher());
    }
}
