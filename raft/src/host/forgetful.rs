//! The log of a node that keeps its state in memory.

use raft_core::{Record, Wal};

use crate::storage::{Error, Log};

/// A write-ahead log that stores nothing but where it begins, and says that it did.
///
/// A node that has one is as good as any other for as long as its process lives. Once the
/// process ends, the node has forgotten its vote and its log, and must never come back under the
/// same name: it could vote twice in one term, and help to commit what it then forgets.
///
/// Beneath is a log in memory, which is told of snapshots only, so that it drops the older ones.
#[derive(Debug)]
pub struct Forgetful(Log);

impl Forgetful {
    /// Forgets for a log in memory.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self(log)
    }
}

impl<C: json::Encode> Wal<C> for Forgetful {
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
