//! The log of a node that keeps its state in memory.

use raft_core::{Record, Wal};

use super::error::Error;
use super::wal::Log;

/// A log in memory that reports every write as durable.
///
/// Such a node is as good as any other while its process lives. When the process ends, the node has
/// lost its vote and its log, and must never come back under the same name: it could vote twice in
/// one term, and help to commit entries that it then loses.
///
/// Only bases are passed on to the log below, so that it drops older snapshots.
#[derive(Debug)]
pub struct VolatileLog(Log);

impl VolatileLog {
    /// Wraps a log in memory.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self(log)
    }
}

impl<C: json::Encode> Wal<C> for VolatileLog {
    type Error = Error;

    fn append_and_sync(&mut self, records: &[Record<C>]) -> Result<(), Error> {
        for record in records {
            match record {
                Record::Base(base) => self.0.append_and_sync(&[Record::<C>::Base(*base)])?,
                Record::Ballot(_) | Record::Entries(_) => {}
            }
        }
        Ok(())
    }
}
