//! Which entries a log holds, without what they say: the one place that knows what each record does
//! to the log. The writer keeps an outline to know what it may delete; recovery rebuilds it.

use std::collections::VecDeque;

use raft_core::{EntryId, Index, Term};

/// The names of the entries of a log.
///
/// Terms never fall along a log, so it is a few runs of indices with one term each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    base: EntryId,
    last: EntryId,
    /// The entries behind the base and up to this index stood in segments that are not there any
    /// more. That is well only if a later base covers them.
    missing: Index,
    /// Where each run begins, and its term. The first begins at the base or at `missing`, whichever
    /// is later.
    runs: VecDeque<EntryId>,
}

impl Outline {
    /// The log as it is at the head of the first segment that is there: its entries from the base
    /// to the last one were in the segments before.
    pub(super) fn new(base: EntryId, last: EntryId) -> Self {
        Self {
            base,
            last,
            missing: last.index,
            runs: VecDeque::from([last]),
        }
    }

    /// The log begins after this entry.
    pub(super) fn base(&self) -> EntryId {
        self.base
    }

    /// The last entry, or the base if there is none.
    pub(super) fn last(&self) -> EntryId {
        self.last
    }

    /// The last entry that is not there though it should be.
    pub(super) fn gap(&self) -> Option<Index> {
        (self.missing > self.base.index).then_some(self.missing)
    }

    /// Whether the log holds this very entry (or it is the base).
    pub(super) fn holds(&self, id: EntryId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// An entry takes its place. All behind it is gone.
    ///
    /// # Errors
    /// If no log can take it; nothing has changed then.
    pub(super) fn append(&mut self, id: EntryId) -> Result<(), &'static str> {
        if id.index <= self.base.index {
            return Err("an entry would replace what a snapshot covers");
        }
        if id.index > self.last.index.next() {
            return Err("an entry does not follow the one before it");
        }
        let before = id.index.previous();
        if self.term_at(before).is_some_and(|term| term > id.term) {
            return Err("an entry's term is below that of the entry before it");
        }
        if id.index <= self.last.index {
            self.missing = self.missing.min(before);
            while self.runs.back().is_some_and(|run| run.index > before) {
                self.runs.pop_back();
            }
        }
        if self.runs.back().is_none_or(|run| run.term != id.term) {
            self.runs.push_back(id);
        }
        self.last = id;
        Ok(())
    }

    /// The log begins after `base` from now on. What stands behind it is `kept` if the log holds this
    /// very entry (Figure 13); whoever wrote the record knew, and here it may not be known any more.
    ///
    /// # Errors
    /// If the log begins later already, or can't have held the entry, or must have; nothing has
    /// changed then.
    pub(super) fn rebase(&mut self, base: EntryId, kept: bool) -> Result<(), &'static str> {
        if base.index < self.base.index || base.index == self.base.index && base != self.base {
            return Err("the log's base goes back");
        }
        // An entry of a missing segment may have been this one or another.
        let known = base.index > self.last.index || self.term_at(base.index).is_some();
        if known && kept != self.holds(base) {
            return Err("a base does not fit the log that it was written for");
        }
        self.base = base;
        if kept {
            // The run that the base is in stays, and begins at the base.
            while self.runs.get(1).is_some_and(|run| run.index <= base.index) {
                self.runs.pop_front();
            }
            if let Some(run) = self.runs.front_mut()
                && run.index < base.index
            {
                *run = base;
            }
        } else {
            *self = Self::new(base, base);
        }
        Ok(())
    }

    /// The term of the entry at an index (or of the base), if one is there and was not in a missing
    /// segment.
    fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index > self.last.index || index < self.base.index {
            return None;
        }
        let begun = self.runs.partition_point(|run| run.index <= index);
        Some(self.runs.get(begun.checked_sub(1)?)?.term)
    }
}
