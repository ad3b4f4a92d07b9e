//! What a node has synced, record by record: the basis of the rules, and what a restart must
//! recover.

use raft_core::{Ballot, Entry, EntryId, Index, Names, Record, Rename};

/// A node's term and vote, and its log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger<C> {
    /// The stored term and vote.
    pub ballot: Ballot,
    /// The last entry that a snapshot covers. The log begins after it.
    pub base: EntryId,
    /// The stored entries after the base.
    pub entries: Vec<Entry<C>>,
}

impl<C> Default for Ledger<C> {
    fn default() -> Self {
        Self::holding(Ballot::default(), EntryId::default(), Vec::new())
    }
}

impl<C> Ledger<C> {
    /// A ledger with this content.
    pub fn holding(ballot: Ballot, base: EntryId, entries: Vec<Entry<C>>) -> Self {
        Self {
            ballot,
            base,
            entries,
        }
    }

    /// The id of the last stored entry.
    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    /// Whether this entry is stored, or a snapshot covers its index.
    pub fn holds(&self, id: EntryId) -> bool {
        let entry = self.position(id.index).and_then(|at| self.entries.get(at));
        id == self.base || id.index < self.base.index || entry.is_some_and(|entry| entry.id == id)
    }

    /// The position of the entry at `index` among those after the base.
    fn position(&self, index: Index) -> Option<usize> {
        let above = index.0.checked_sub(self.base.index.0)?;
        usize::try_from(above).ok()?.checked_sub(1)
    }
}

impl<C: Clone> Ledger<C> {
    /// Stores one record.
    ///
    /// # Panics
    /// If the record leaves a gap, is empty or lowers the term: no storage could recover from that.
    pub fn store(&mut self, record: &Record<C>) {
        match record {
            Record::Ballot(ballot) => {
                assert!(ballot.term() >= self.ballot.term(), "the term fell");
                self.ballot = *ballot;
            }
            Record::Entries(run) => {
                let first = run.first().expect("a run has entries").id.index;
                let keep = self.position(first).expect("it is after the base");
                assert!(keep <= self.entries.len(), "a gap before {first}");
                self.entries.truncate(keep);
                self.entries.extend_from_slice(run);
            }
            Record::Base(base) => {
                // (Figure 13)
                if self.holds(*base) {
                    self.entries.retain(|entry| entry.id.index > base.index);
                } else {
                    self.entries.clear();
                }
                self.base = *base;
            }
        }
    }
}

impl<C> Rename for Ledger<C> {
    fn rename(&mut self, names: &mut dyn Names) {
        self.ballot.rename(names);
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Payload, Term};

    use super::*;

    fn run(ids: &[(u64, u64)]) -> Record<()> {
        let entry = |&(index, term)| Entry {
            id: id(index, term),
            payload: Payload::Blank,
        };
        Record::Entries(ids.iter().map(entry).collect())
    }

    fn id(index: u64, term: u64) -> EntryId {
        EntryId {
            term: Term(term),
            index: Index(index),
        }
    }

    /// A ledger of term 2 with three entries.
    fn ledger() -> Ledger<()> {
        let mut ledger = Ledger::default();
        ledger.store(&Record::Ballot(Ballot::new(Term(2), None)));
        ledger.store(&run(&[(1, 1), (2, 1), (3, 1)]));
        ledger
    }

    #[test]
    fn stored_entries_replace_all_later_ones() {
        let mut ledger = ledger();
        ledger.store(&run(&[(2, 2)]));
        assert_eq!(ledger.last(), id(2, 2));
        assert!(ledger.holds(id(1, 1)) && !ledger.holds(id(2, 1)) && !ledger.holds(id(3, 1)));
    }

    #[test]
    fn base_keeps_its_extension_and_drops_conflicts() {
        let mut ledger = ledger();
        ledger.store(&Record::Base(id(2, 1)));
        assert_eq!((ledger.base, ledger.last()), (id(2, 1), id(3, 1)));
        assert_eq!(ledger.entries.len(), 1);
        ledger.store(&Record::Base(id(3, 2)));
        assert_eq!((ledger.last(), ledger.entries.len()), (id(3, 2), 0));
        ledger.store(&run(&[(4, 2)]));
        assert_eq!(ledger.last(), id(4, 2));
    }

    #[test]
    #[should_panic(expected = "a gap before 3")]
    fn gap_is_rejected() {
        Ledger::default().store(&run(&[(3, 1)]));
    }

    #[test]
    #[should_panic(expected = "the term fell")]
    fn lower_term_is_rejected() {
        ledger().store(&Record::Ballot(Ballot::new(Term(1), None)));
    }
}
