//! The memory and the disk space that a node takes.

use std::path::Path;
use std::{fs, io};

/// The resident memory of a process, in bytes; `None` where there is no `/proc`.
pub fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    kilobytes(&status, "VmRSS:").map(|kilobytes| kilobytes << 10)
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The lengths of all files in a folder and below, in bytes. A file that goes away meanwhile counts
/// nothing.
///
/// # Errors
/// The file system refuses.
pub fn folder(path: &Path) -> io::Result<u64> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let entries = match fs::read_dir(path) {
        Err(error) if gone(&error) => return Ok(0),
        entries => entries?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder(&entry.path())?,
            Ok(metadata) => metadata.len(),
            Err(error) if gone(&error) => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_status_is_read() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(1024));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
        assert_eq!(kilobytes("VmRSS: many kB", "VmRSS:"), None);
    }

    #[test]
    fn files_are_summed_up() {
        let name = format!("stdraft-measure-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join("inner")).expect("a folder");
        fs::write(root.join("one"), [0; 10]).expect("a file");
        fs::write(root.join("inner/two"), [0; 32]).expect("a file");
        assert_eq!(folder(&root).expect("it can be read"), 42);
        fs::remove_dir_all(&root).expect("it can be removed");
        assert_eq!(folder(&root).expect("it is gone"), 0);
    }
}
