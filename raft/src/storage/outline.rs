//! The ids of the entries in a log, without their commands. This alone defines the effect of each
//! record on the log. The writer keeps an outline to know what it may delete; recovery rebuilds it.

use std::collections::VecDeque;

use raft_core::{EntryId, Index, Term};

/// The ids of the entries in a log.
///
/// Terms never decrease along a log, so a few runs of indices with one term each describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    /// The log begins after this entry.
    pub(super) base: EntryId,
    /// The last entry, or the base if there is none.
    pub(super) last: EntryId,
    /// The entries after the base and up to this index were in deleted segments. A later base must
    /// cover them.
    missing: Index,
    /// The first entry of each run. The first run begins at the base or at `missing`, whichever is
    /// later.
    runs: VecDeque<EntryId>,
}

impl Outline {
    /// The log at the head of the first existing segment: its entries from the base to the last one
    /// were in earlier segments.
    pub(super) fn new(base: EntryId, last: EntryId) -> Self {
        Self {
            base,
            last,
            missing: last.index,
            runs: VecDeque::from([last]),
        }
    }

    /// The last missing entry, if any is missing.
    pub(super) fn gap(&self) -> Option<Index> {
        (self.missing > self.base.index).then_some(self.missing)
    }

    /// Whether the log holds this entry, or it is the base.
    pub(super) fn holds(&self, id: EntryId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// Appends an entry in place of the one at its index and of all later ones.
    ///
    /// # Errors
    /// The entry does not fit the log. Nothing has changed then.
    pub(super) fn append(&mut self, id: EntryId) -> Result<(), &'static str> {
        if id.index <= self.base.index {
            return Err("the entry would replace one that a snapshot covers");
        }
        let before = id.index.previous();
        if before > self.last.index {
            return Err("the entry does not follow the previous one");
        }
        if self.term_at(before).is_some_and(|term| term > id.term) {
            return Err("the entry's term is lower than the previous entry's");
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

    /// Lets the log begin after `base`. Later entries are `kept` if the log holds this entry
    /// (Figure 13). The writer of the record knew; here the segment that shows it may be deleted.
    ///
    /// # Errors
    /// The log begins later already, or `kept` contradicts what is known of the entry. Nothing has
    /// changed then.
    pub(super) fn rebase(&mut self, base: EntryId, kept: bool) -> Result<(), &'static str> {
        if base.index < self.base.index || base.index == self.base.index && base != self.base {
            return Err("the base is before the base of the log");
        }
        // An entry of a deleted segment may have been this one or another.
        let known = base.index > self.last.index || self.term_at(base.index).is_some();
        if known && kept != self.holds(base) {
            return Err("the base contradicts the log");
        }
        self.base = base;
        if kept {
            // The run that contains the base now begins at it.
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

    /// The term of the entry at an index or of the base, unless it is missing.
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

    /// Compares it with a list of all ids, in histories drawn from seeds.
    #[test]
    fn outline_agrees_with_a_list_of_ids() {
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
                assert_eq!(outline.base, names[0], "seed {seed}");
                assert_eq!(Some(&outline.last), names.last(), "seed {seed}");
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
    fn records_that_do_not_fit_are_rejected() {
        let mut outline = Outline::new(id(4, 2), id(4, 2));
        assert_eq!(outline.append(id(5, 3)), Ok(()));
        let before = outline.clone();
        assert!(outline.append(id(4, 3)).is_err(), "covered");
        assert!(outline.append(id(7, 3)).is_err(), "a gap");
        assert!(outline.append(id(6, 2)).is_err(), "a lower term");
        assert!(outline.rebase(id(3, 2), false).is_err(), "back");
        assert!(outline.rebase(id(5, 3), false).is_err(), "it is held");
        assert!(outline.rebase(id(5, 4), true).is_err(), "it is not held");
        assert!(
            outline.rebase(id(9, 4), true).is_err(),
            "it is after the last"
        );
        assert_eq!(outline, before);
    }

    /// No node gets that far, but a damaged segment may claim it.
    #[test]
    fn highest_index_has_no_successor() {
        let last = id(u64::MAX, 1);
        let mut outline = Outline::new(last, last);
        assert!(outline.append(id(u64::MAX, 2)).is_err(), "covered");
        let mut outline = Outline::new(id(u64::MAX - 1, 1), id(u64::MAX - 1, 1));
        assert_eq!(outline.append(last), Ok(()));
        assert_eq!(outline.append(last), Ok(()), "in its own place");
    }

    /// The entries from 5 to 9 were in a deleted segment.
    #[test]
    fn covering_base_closes_a_gap() {
        let mut outline = Outline::new(id(4, 2), id(9, 3));
        assert_eq!(outline.gap(), Some(Index(9)));
        assert_eq!(outline.append(id(10, 3)), Ok(()));
        // Only the writer knew whether the log held this one.
        assert_eq!(outline.rebase(id(7, 3), true), Ok(()));
        assert_eq!(outline.gap(), Some(Index(9)));
        assert_eq!(outline.append(id(9, 5)), Ok(()));
        assert_eq!(outline.gap(), Some(Index(8)));
        assert_eq!(outline.rebase(id(8, 3), true), Ok(()));
        assert_eq!(outline.gap(), None);
        assert!(outline.holds(id(9, 5)));
        assert_eq!(outline.last, id(9, 5));
    }
}
