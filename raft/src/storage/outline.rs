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
    /// Where each run begins, and its term. The first begins at the base or at `missing`,
    /// whichever is later.
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
        let before = id.index.previous();
        if before > self.last.index {
            return Err("an entry does not follow the one before it");
        }
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

    /// The log begins after `base` from now on. What stands behind it is `kept` if the log holds
    /// this very entry (Figure 13); whoever wrote the record knew, and here it may not be known
    /// any more.
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

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    fn id(index: u64, term: u64) -> EntryId {
        EntryId {
            term: Term(term),
            index: Index(index),
        }
    }

    /// Beside a list of all names, through histories drawn from seeds.
    #[test]
    fn it_knows_what_a_list_of_names_knows() {
        for seed in 0..500 {
            let mut rng = Rng::seeded(seed);
            let mut outline = Outline::new(id(0, 0), id(0, 0));
            // The first is the base.
            let mut names = vec![id(0, 0)];
            for term in 1..20 {
                let (base, last) = (names[0].index.0, names[names.len() - 1].index.0);
                if rng.chance(2, 3) {
                    let first = rng.range(base + 1..=last + 1);
                    names.truncate((first - base) as usize);
                    for index in first..first + rng.range(1..=4) {
                        names.push(id(index, term));
                        assert_eq!(outline.append(id(index, term)), Ok(()), "seed {seed}");
                    }
                } else {
                    let at = rng.range(base + 1..=last + 3);
                    let held = names.iter().position(|name| name.index.0 == at);
                    let held = held.filter(|_| rng.chance(3, 4));
                    let new = held.map_or(id(at, term), |held| names[held]);
                    assert_eq!(outline.rebase(new, held.is_some()), Ok(()), "seed {seed}");
                    match held {
                        Some(held) => drop(names.drain(..held)),
                        None => names = vec![new],
                    }
                }
                assert_eq!(outline.base(), names[0], "seed {seed}");
                assert_eq!(Some(&outline.last()), names.last(), "seed {seed}");
                assert_eq!(outline.gap(), None, "seed {seed}");
                for index in 0..40 {
                    for term in 0..20 {
                        let expected = names.contains(&id(index, term));
                        assert_eq!(outline.holds(id(index, term)), expected, "seed {seed}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_no_log_can_take_is_refused() {
        let mut outline = Outline::new(id(4, 2), id(4, 2));
        assert_eq!(outline.append(id(5, 3)), Ok(()));
        let before = outline.clone();
        assert!(outline.append(id(4, 3)).is_err(), "covered");
        assert!(outline.append(id(7, 3)).is_err(), "a gap");
        assert!(outline.append(id(6, 2)).is_err(), "a term that falls");
        assert!(outline.rebase(id(3, 2), false).is_err(), "back");
        assert!(outline.rebase(id(5, 3), false).is_err(), "it is held");
        assert!(outline.rebase(id(5, 4), true).is_err(), "it is not held");
        assert!(
            outline.rebase(id(9, 4), true).is_err(),
            "it is behind the last"
        );
        assert_eq!(outline, before);
    }

    /// No node gets that far, but a segment may say so.
    #[test]
    fn the_highest_index_has_none_behind_it() {
        let last = id(u64::MAX, 1);
        let mut outline = Outline::new(last, last);
        assert!(outline.append(id(u64::MAX, 2)).is_err(), "covered");
        let mut outline = Outline::new(id(u64::MAX - 1, 1), id(u64::MAX - 1, 1));
        assert_eq!(outline.append(last), Ok(()));
        assert_eq!(outline.append(last), Ok(()), "in its own place");
    }

    /// The entries from 5 to 9 were in a segment that has been deleted.
    #[test]
    fn a_gap_is_closed_by_a_base_that_covers_it() {
        let mut outline = Outline::new(id(4, 2), id(9, 3));
        assert_eq!(outline.gap(), Some(Index(9)));
        assert_eq!(outline.append(id(10, 3)), Ok(()));
        // Whether the log held this one only its writer knew.
        assert_eq!(outline.rebase(id(7, 3), true), Ok(()));
        assert_eq!(outline.gap(), Some(Index(9)));
        assert_eq!(outline.append(id(9, 5)), Ok(()));
        assert_eq!(outline.gap(), Some(Index(8)));
        assert_eq!(outline.rebase(id(8, 3), true), Ok(()));
        assert_eq!(outline.gap(), None);
        assert!(outline.holds(id(9, 5)));
        assert_eq!(outline.last(), id(9, 5));
    }
}
