//! The storage of a node that has none.

use std::convert::Infallible;

use raft_core::{Chunks, Record, SnapshotId, Wal};

/// A write-ahead log that stores nothing and says that it did.
///
/// A node that has one is as good as any other for as long as its process lives. Once the
/// process ends, the node has forgotten its vote and its log, and must never come back under the
/// same name: it could vote twice in one term, and help to commit what it then forgets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl<C> Wal<C> for Forgetful {
    type Error = Infallible;

    fn append_and_sync(&mut self, _: &[Record<C>]) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Chunks for Forgetful {
    fn read(&mut self, _: SnapshotId, _: u64, _: usize) -> Option<Vec<u8>> {
        None
    }
}
