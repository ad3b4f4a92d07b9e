//! Work on the folder that no write should wait for: a spare file for the next segment is made ahead
//! of need, and the files that a base covers are removed.
//!
//! The log notes what is to be done; the snapshots thread does it, one piece at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::Index;

use super::error::Error;
use super::folder::{Folder, Name, Unnamed};
use super::segment;

/// The most files that are removed at a time.
const FEW: usize = 8;

/// What is to be done in a folder.
#[derive(Debug)]
pub(super) struct Maintenance {
    folder: Arc<Folder>,
    segment_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A synced file of zeros, for the next segment.
    spare: Option<Unnamed>,
    /// Segments whose entries the base on disk covers, oldest first.
    covered: VecDeque<u64>,
    /// That base, until the snapshots before it are removed.
    base: Option<Index>,
}

impl Maintenance {
    pub(super) fn new(folder: Arc<Folder>, segment_bytes: u64) -> Self {
        Self {
            folder,
            segment_bytes,
            state: Mutex::default(),
        }
    }

    /// The length of a segment without longer frames.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Takes the spare file, if it is ready.
    pub(super) fn take_spare(&self) -> Option<Unnamed> {
        self.state().spare.take()
    }

    /// Notes that the log on disk begins after `base`, so that these segments, oldest first, and
    /// older snapshots are not needed.
    pub(super) fn cover(&self, segments: impl IntoIterator<Item = u64>, base: Index) {
        let mut state = self.state();
        state.covered.extend(segments);
        state.base = Some(base);
    }

    /// Whether anything is to be done.
    pub(super) fn is_due(&self) -> bool {
        let has_spare = self.state().spare.is_some();
        !has_spare || self.must_remove()
    }

    /// Whether files are to be removed.
    pub(super) fn must_remove(&self) -> bool {
        let state = self.state();
        !state.covered.is_empty() || state.base.is_some()
    }

    /// Makes the spare file, if there is none.
    pub(super) fn make_spare(&self) -> Result<(), Error> {
        if self.state().spare.is_some() {
            return Ok(());
        }
        let (spare, ()) = self.folder.prepare(Name::SPARE, |file| {
            segment::write_zeros(file, 0, self.segment_bytes)?;
            file.sync()
        })?;
        self.state().spare = Some(spare);
        Ok(())
    }

    /// Removes a few of the covered files: segments from the oldest on, so that a crash leaves no
    /// gap between two, and then snapshots.
    pub(super) fn remove_few(&self) -> Result<(), Error> {
        let mut state = self.state();
        let count = state.covered.len().min(FEW);
        let segments: Vec<u64> = state.covered.drain(..count).collect();
        let is_last = state.covered.is_empty();
        let base = is_last.then(|| state.base.take()).flatten();
        drop(state);
        self.folder
            .remove(segments.into_iter().map(Name::Segment))?;
        let Some(base) = base else {
            return Ok(());
        };
        self.folder.guard(|| {
            let snapshots = self.folder.inventory()?.snapshots.into_iter();
            let older = snapshots.filter(|id| id.index < base);
            self.folder.remove(older.map(Name::Snapshot))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
