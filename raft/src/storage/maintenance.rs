//! Work on the folder that no write should wait for: a spare file for the next segment is made ahead
//! of need, and the files that a base covers are removed.
//!
//! The log notes what is to be done; the snapshots thread does it, one piece at a time.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::Index;

use super::error::Error;
use super::folder::{Folder, Handle, Name};
use super::segment;

/// The most files that are removed at a time.
const FEW: usize = 8;

/// What is to be done in a folder.
#[derive(Debug)]
pub struct Maintenance {
    pub(super) folder: Arc<Folder>,
    /// The length of a segment without longer frames.
    pub(super) segment_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spare: Spare,
    /// Segments whose entries the base on disk covers, oldest first.
    covered: VecDeque<u64>,
    /// That base, until the snapshots before it are removed.
    base: Option<Index>,
    /// Why the spare file could not be made.
    warning: Option<Error>,
}

/// The spare file. It has one name, so while the log uses it no other may be made: that would empty
/// the file in use.
#[derive(Debug, Default)]
enum Spare {
    #[default]
    None,
    /// A synced file of zeros, for the next segment.
    Ready(Handle),
    /// It could not be made. The log makes the next segment itself.
    Failed,
    /// The log gives it the name of a segment.
    Taken,
}

impl Maintenance {
    pub(super) fn new(folder: Arc<Folder>, segment_bytes: u64) -> Self {
        Self {
            folder,
            segment_bytes,
            state: Mutex::default(),
        }
    }

    /// Takes the spare file, if it is ready. Until [`Maintenance::spare_used`] no other is made.
    pub(super) fn take_spare(&self) -> Option<Handle> {
        match mem::replace(&mut self.state().spare, Spare::Taken) {
            Spare::Ready(file) => Some(file),
            Spare::None | Spare::Failed | Spare::Taken => None,
        }
    }

    /// Notes that the spare file that was taken has another name now. One that was being made then
    /// may be ready.
    pub(super) fn spare_used(&self) {
        let spare = &mut self.state().spare;
        if matches!(spare, Spare::Taken) {
            *spare = Spare::None;
        }
    }

    /// Notes that the log on disk begins after `base`, so that these segments, oldest first, and
    /// older snapshots are not needed.
    pub(super) fn cover(&self, segments: impl IntoIterator<Item = u64>, base: Index) {
        let mut state = self.state();
        state.covered.extend(segments);
        state.base = Some(base);
    }

    /// Whether files are to be made or removed.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.lacks_spare() || self.must_remove()
    }

    /// Whether files are to be removed.
    pub(super) fn must_remove(&self) -> bool {
        let state = self.state();
        !state.covered.is_empty() || state.base.is_some()
    }

    fn lacks_spare(&self) -> bool {
        matches!(self.state().spare, Spare::None)
    }

    /// Makes the spare file, if there is none. One thread alone may do so. Nothing depends on the
    /// file, so a failure is only noted.
    pub(super) fn make_spare(&self) {
        if !self.lacks_spare() {
            return;
        }
        let made = self.folder.prepare_optional(Name::SPARE, |file| {
            segment::write_zeros(file, 0, self.segment_bytes)?;
            file.sync()
        });
        let mut state = self.state();
        match made {
            Ok(spare) => state.spare = Spare::Ready(spare),
            Err(error) => (state.spare, state.warning) = (Spare::Failed, Some(error)),
        }
    }

    /// Removes a few files that the base covers, and makes a spare file for the next segment of the
    /// log. Nothing depends on it, but a write that finds no spare file takes longer.
    ///
    /// # Errors
    /// Those of the disk. The node must stop.
    pub fn maintain(&self) -> Result<(), Error> {
        // First the files that may give their room on a full disk to the spare one.
        if self.must_remove() {
            self.remove_few()?;
        }
        self.make_spare();
        Ok(())
    }

    /// Why no spare file could be made, once for each.
    #[must_use]
    pub fn take_warning(&self) -> Option<Error> {
        self.state().warning.take()
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

#[cfg(test)]
mod tests {
    use super::super::disk::memory::Memory;
    use super::super::segment::Head;
    use super::*;

    /// The snapshots thread may look for a spare file at any moment, also while the log makes a
    /// segment of the one that it has taken.
    #[test]
    fn spare_in_use_is_not_made_again() {
        let folder = Arc::new(Folder::lock(Arc::new(Memory::new())).unwrap());
        let maintenance = Maintenance::new(folder.clone(), 4096);
        for number in 1..=2 {
            maintenance.make_spare();
            let spare = maintenance.take_spare();
            assert!(spare.is_some());
            maintenance.make_spare();
            assert!(!maintenance.is_due());
            let head = Head {
                folder: 7,
                number,
                length: 4096,
                first_frame: 1,
                ..Head::default()
            };
            let file = segment::create(&folder, head, &[], spare).unwrap();
            maintenance.spare_used();
            maintenance.make_spare();
            let (found, _) = segment::read(&file, &mut Vec::new()).unwrap();
            assert_eq!(found, head);
            let named = folder.open(Name::Segment(number)).unwrap();
            let (found, _) = segment::read(&named, &mut Vec::new()).unwrap();
            assert_eq!(found, head);
        }
    }
}
