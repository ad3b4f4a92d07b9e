//! Stored snapshots for clients that make a backup: the request `backup`.

use std::sync::Arc;

use raft_core::SnapshotId;

use super::Input;
use super::input::PATIENCE;
use crate::requests::{ErrorCode, Reply};
use crate::storage::{ErrorKind, OpenSnapshot};
use crate::wire::Base64;

/// The most bytes of one reply.
const PART: usize = 256 << 10;

/// The backup of one connection, if one is under way there. It keeps a file open, which takes its
/// room on disk even after it was removed.
#[derive(Debug, Default)]
pub(crate) struct Backup(Option<Arc<OpenSnapshot>>);

impl Input {
    /// Reads the part of a snapshot from `offset` on. Offset 0 begins with the newest one, which
    /// the connection then reads to its end whatever is stored meanwhile. Waits for the disk.
    pub(super) fn backup(
        &self,
        in_reply_to: i64,
        offset: u64,
        backup: &mut Backup,
    ) -> Result<Reply, (ErrorCode, String)> {
        let later = |text: String| (ErrorCode::TemporarilyUnavailable, text);
        if offset == 0 {
            // An earlier one leaves its place first.
            backup.0 = None;
            backup.0 = Some(self.begin_backup().map_err(later)?);
        }
        let Some(snapshot) = &backup.0 else {
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
    fn begin_backup(&self) -> Result<Arc<OpenSnapshot>, String> {
        let Some(mut place) = self
            .place_of_backup
            .try_lock()
            .ok()
            .filter(|place| place.strong_count() == 0)
        else {
            return Err("another backup is under way at this node; try again later".into());
        };
        let status = self.viewer.status_within(PATIENCE);
        let newest = status.and_then(|status| status.snapshot);
        let gone = "no snapshot is stored, or the node is busy; try again";
        let id = newest.ok_or(gone)?;
        match self.snapshots.open_stored(id) {
            Ok(Some(snapshot)) => {
                let snapshot = Arc::new(snapshot);
                *place = Arc::downgrade(&snapshot);
                Ok(snapshot)
            }
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
