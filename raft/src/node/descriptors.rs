//! The file descriptors that a node needs, which stay free however many clients connect.

use std::io;
use std::os::fd::AsFd;

/// The most descriptors that a node opens besides the standard streams and its metrics: copies of
/// stdin and stdout, and a source of random numbers.
const ALWAYS: usize = 3;

/// Those of a data folder: the folder, its locks and its list, segments of the log, and the
/// snapshots that are stored, read or sent.
const DATA: usize = 13;

/// How many descriptors more than a node needs can be opened, at most `most`.
///
/// # Errors
/// The system does not even grant those that it needs. The node would stop in the middle of its
/// work, when it begins a segment or stores a snapshot.
pub(super) fn spare(has_data: bool, most: usize) -> io::Result<usize> {
    let needed = ALWAYS + if has_data { DATA } else { 0 };
    let mut open = Vec::new();
    while open.len() < needed + most {
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(descriptor) => open.push(descriptor),
            Err(_) => break,
        }
    }
    open.len().checked_sub(needed).ok_or_else(|| {
        io::Error::other(format!(
            "the node can open {} files, but it needs {needed}; raise the limit (ulimit -n)",
            open.len()
        ))
    })
}
