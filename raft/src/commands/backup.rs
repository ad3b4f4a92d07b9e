//! `raft backup`: the state of a cluster as a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use json::Value;

use crate::client::{Client, Error};
use crate::storage::disk::real::{is_same, sync_name};

/// Copies a snapshot of the cluster to this path. An earlier file there is replaced in one step,
/// once the new one is whole and on disk.
pub(super) fn save(client: &mut Client, path: &str) -> Result<Value, Error> {
    let part = format!("{path}.part");
    let not_kept = |error| Error::NotKept(format!("cannot write {part}: {error}"));
    let file = open(Path::new(&part)).map_err(not_kept)?;
    let mut progress = Progress::default();
    let copied = client.backup(|offset, bytes, length| {
        progress.show(offset, length);
        file.write_all_at(bytes, offset)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot write {part}: {error}")))
    });
    let saved = copied.and_then(|reply| {
        let length = reply.field("length").and_then(Value::as_u64);
        // An earlier attempt may have been longer.
        file.set_len(length.unwrap_or_default())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&part, path))
            .and_then(|()| sync_name(Path::new(path)))
            .map_err(not_kept)?;
        Ok(reply)
    });
    if saved.is_err() {
        // The error that is reported matters more.
        let _ = fs::remove_file(&part);
    }
    saved
}

/// Opens the file of a backup that is under way, unless another process writes it. One that a killed
/// process left is used again.
fn open(part: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(part)?;
    let busy = || io::Error::other("another backup writes it");
    file.try_lock().map_err(|_| busy())?;
    // The other process may have renamed it just before.
    let there = fs::metadata(part).map_err(|_| busy())?;
    match is_same(&file.metadata()?, &there) {
        true => Ok(file),
        false => Err(busy()),
    }
}

/// Shows on a terminal how much of a large file is there.
#[derive(Default)]
struct Progress {
    shown: u64,
}

impl Progress {
    fn show(&mut self, offset: u64, length: u64) {
        let megabytes = offset >> 20;
        if megabytes != self.shown && io::stderr().is_terminal() {
            self.shown = megabytes;
            // Only the display suffers.
            let _ = write!(io::stderr(), "\r{megabytes} of {} MiB ", length >> 20);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown > 0 {
            let _ = writeln!(io::stderr());
        }
    }
}
