//! What the core demands of storage.

use alloc::vec::Vec;

use crate::ballot::Ballot;
use crate::entry::Entry;
use crate::id::EntryId;
use crate::rename::{Names, Rename};

/// Something that must be on disk before what waits for it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record<C> {
    /// The term and vote from now on.
    Ballot(Ballot),
    /// These entries stand in the log from now on, and nothing stands behind the last of them:
    /// what stood at the first one's index or above is gone.
    Entries(Vec<Entry<C>>),
    /// The log begins right after this entry from now on: a stored snapshot covers all through it.
    /// If the log holds this very entry, what stands behind it stays; else all of the log is gone
    /// (Figure 13, steps 6 and 7). The snapshot is safe on disk before this record is made.
    Base(EntryId),
}

/// A write-ahead log.
pub trait Wal<C> {
    /// Why a batch could not be stored.
    type Error;

    /// Stores a batch of records, in order, and returns once all of it would survive a crash.
    ///
    /// # Errors
    /// Nothing is known about the batch then. The node must stop: a failed sync cannot be retried,
    /// since the page may be gone.
    fn append_and_sync(&mut self, records: &[Record<C>]) -> Result<(), Self::Error>;
}

impl<C> Rename for Record<C> {
    fn rename(&mut self, names: &mut dyn Names) {
        match self {
            Self::Ballot(ballot) => ballot.rename(names),
            Self::Entries(_) | Self::Base(_) => {}
        }
    }
}
