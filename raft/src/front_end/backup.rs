//! Stored snapshots for clients that make a backup: the request `backup`.

use std::sync::{Mutex, MutexGuard};

use raft_core::SnapshotId;

use super::Input;
use super::input::PATIENCE;
use crate::requests::{ErrorCode, Reply};
use crate::storage::{ErrorKind, OpenSnapshot, Snapshots};
use crate::wire::Base64;

/// The most bytes of one reply.
const PART: usize = 256 << 10;

/// The stored snapshots, and the place for the one backup that may be under way. It keeps a file
/// open, which takes its room on disk even after it was removed.
#[derive(Debug)]
pub(crate) struct Backups {
    snapshots: Snapshots,
    place: Mutex<()>,
}

/// The backup of one connection, if one is under way there.
#[derive(Debug, Default)]
pub(crate) struct Backup<'a>(Option<(OpenSnapshot, MutexGuard<'a, ()>)>);

impl Backups {
    pub(crate) fn new(snapshots: &Snapshots) -> Self {
        Self {
            snapshots: snapshots.clone(),
            place: Mutex::new(()),
        }
    }
}

impl Input {
    /// Reads the part of a snapshot from `offset` on. Offset 0 begins with the newest one, which
    /// the connection then reads to its end whatever is stored meanwhile. Waits for the disk.
    pub(super) fn backup<'a>(
        &'a self,
        in_reply_to: i64,
        offset: u64,
        backup: &mut Backup<'a>,
    ) -> Result<Reply, (ErrorCode, String)> {
        let later = |text: String| (ErrorCode::TemporarilyUnavailable, text);
        if offset == 0 {
            // An earlier one leaves its place first.
            backup.0 = None;
            backup.0 = Some(self.begin_backup().map_err(later)?);
        }
        let Some((snapshot, ..)) = &backup.0 else {
            let text = "no backup is under way on this connection; begin with offset 0";
            return Err((ErrorCode::MalformedRequest, text.into()));
        };
        let SnapshotId { last, length, .. } = snapshot.id;
        let data = snapshot.read(offset, PART);
        let data = data.map_err(|error| later(error.fact()))?;
        if offset.saturating_add(data.len() as u64) >= length {
            backup.0 = None;
        }
        Ok(Reply::BackupOk {
            in_reply_to,
            index: last.index.0,
            term: last.term.0,
            length,
            data: Base64(data.into()),
        })
    }

    /// Opens the newest stored snapshot.
    fn begin_backup(&self) -> Result<(OpenSnapshot, MutexGuard<'_, ()>), String> {
        let Backups { snapshots, place } = &self.backups;
        let Ok(place) = place.try_lock() else {
            return Err("another backup is under way at this node; try again later".into());
        };
        let status = self.viewer.status_within(PATIENCE);
        let newest = status.and_then(|status| status.snapshot);
        let gone = "no snapshot is stored, or the node is busy; try again";
        let id = newest.ok_or(gone)?;
        match snapshots.open_stored(id) {
            Ok(Some(snapshot)) => Ok((snapshot, place)),
            Ok(None) => Err(gone.into()),
            Err(error) => {
                if error.kind() == ErrorKind::Damaged {
                    self.inbox.found_damaged(id, error.fact());
                }
                Err(error.fact())
            }
        }
    }
}
