//! A disk in memory: what it holds is exactly what was synced.

use std::convert::Infallible;

use raft_core::{Ballot, Chunks, Entry, EntryId, Index, Record, SnapshotId, Wal};

use super::machine::Command;

/// What one node has stored. It outlives the node's process.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    ballot: Ballot,
    /// The last entry that a snapshot covers.
    base: EntryId,
    /// Those above the base.
    entries: Vec<Entry<Command>>,
}

impl Disk {
    /// A disk that holds this already.
    pub fn holding(ballot: Ballot, entries: Vec<Entry<Command>>) -> Self {
        let base = EntryId::default();
        Self {
            ballot,
            base,
            entries,
        }
    }

    /// The stored term and vote.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The last entry that a snapshot covers.
    pub fn base(&self) -> EntryId {
        self.base
    }

    /// The stored entries, the first right above the base.
    pub fn entries(&self) -> &[Entry<Command>] {
        &self.entries
    }

    /// The last stored entry's name.
    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    /// Whether this very entry is stored.
    pub fn holds(&self, id: EntryId) -> bool {
        let entry = self.position(id.index).and_then(|at| self.entries.get(at));
        id == self.base || entry.is_some_and(|entry| entry.id == id)
    }

    /// Stores one record.
    ///
    /// # Panics
    /// If the record leaves a gap, is empty or takes the term back: no storage could make sense
    /// of that.
    fn store(&mut self, record: &Record<Command>) {
        match record {
            Record::Ballot(ballot) => {
                assert!(ballot.term() >= self.ballot.term(), "the term fell");
                self.ballot = *ballot;
            }
            Record::Entries(run) => {
                let first = run.first().expect("a run has entries").id.index;
                let keep = self.position(first).expect("it stands above the base");
                assert!(keep <= self.entries.len(), "a gap before {first}");
                self.entries.truncate(keep);
                self.entries.extend_from_slice(run);
            }
            Record::Base(base) => {
                assert!(base.index >= self.base.index, "the base fell");
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

    /// Where the entry at `index` stands among those above the base.
    fn position(&self, index: Index) -> Option<usize> {
        let above = index.0.checked_sub(self.base.index.0)?;
        usize::try_from(above).ok()?.checked_sub(1)
    }
}

impl Chunks for Disk {
    fn read(&mut self, _: SnapshotId, _: u64, _: usize) -> Option<Vec<u8>> {
        None
    }
}

impl Wal<Command> for Disk {
    type Error = Infallible;

    fn append_and_sync(&mut self, records: &[Record<Command>]) -> Result<(), Infallible> {
        for record in records {
            self.store(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Payload, Term};

    use super::*;

    fn run(ids: &[(u64, u64)]) -> Record<Command> {
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

    #[test]
    fn nothing_stands_behind_the_last_entry_of_a_run() {
        let mut disk = Disk::default();
        disk.store(&run(&[(1, 1), (2, 1), (3, 1)]));
        disk.store(&run(&[(2, 2)]));
        assert_eq!(disk.last(), id(2, 2));
        assert!(disk.holds(id(1, 1)) && !disk.holds(id(2, 1)) && !disk.holds(id(3, 1)));
    }

    #[test]
    fn a_base_keeps_what_extends_it_and_drops_what_conflicts() {
        let mut disk = Disk::default();
        disk.store(&run(&[(1, 1), (2, 1), (3, 1)]));
        disk.store(&Record::Base(id(2, 1)));
        assert_eq!(
            (disk.base(), disk.last(), disk.entries().len()),
            (id(2, 1), id(3, 1), 1)
        );
        assert!(disk.holds(id(2, 1)) && !disk.holds(id(1, 1)));
        disk.store(&Record::Base(id(3, 2)));
        assert_eq!((disk.last(), disk.entries().len()), (id(3, 2), 0));
        disk.store(&run(&[(4, 2)]));
        assert_eq!(disk.last(), id(4, 2));
    }

    #[test]
    #[should_panic(expected = "a gap before 3")]
    fn a_gap_is_refused() {
        Disk::default().store(&run(&[(3, 1)]));
    }

    #[test]
    #[should_panic(expected = "the term fell")]
    fn a_term_that_falls_is_refused() {
        let mut disk = Disk::default();
        disk.store(&Record::Ballot(Ballot::new(Term(2), None)));
        disk.store(&Record::Ballot(Ballot::new(Term(1), None)));
    }
}
