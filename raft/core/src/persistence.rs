//! Persistence: the records for the write-ahead log, and which of them are known to be stored.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::ballot::Ballot;
use crate::entry::Entry;
use crate::id::{EntryId, Incarnation, Index, Term};

/// A change that must be on disk before the messages that depend on it leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record<C> {
    /// The term and vote from now on.
    Ballot(Ballot),
    /// The log ends with these entries from now on. They replace all entries from the first one's
    /// index on.
    Entries(Vec<Entry<C>>),
    /// The log begins right after this entry from now on: a stored snapshot covers all entries
    /// through it. If the log holds this entry, the entries after it stay; otherwise all entries go
    /// (Figure 13, steps 6 and 7). The snapshot is on disk before this record is made.
    Base(EntryId),
}

/// A write-ahead log.
pub trait Wal<C> {
    /// The error of a batch that was not stored.
    type Error;

    /// Stores a batch of records, in order, and returns once it survives a crash.
    ///
    /// # Errors
    /// It is unknown then how much of the batch is stored. The node must stop: a failed sync cannot
    /// be retried, since the operating system may have dropped the written pages.
    fn append_and_sync(&mut self, records: &[Record<C>]) -> Result<(), Self::Error>;
}

/// The receipt that all records through one output are on disk. Outputs are numbered, since term
/// and index do not name a moment: entries can be truncated and appended again meanwhile.
///
/// Only [`crate::Output::persist`] leads to a receipt, and a receipt cannot be made up:
///
/// ```
/// # use raft_core::{Input, Replica, StateMachine, Synced};
/// fn confirm<S: StateMachine>(replica: &mut Replica<S>, synced: Synced) {
///     replica.step(Input::Synced(synced));
/// }
/// ```
///
/// ```compile_fail,E0451
/// # use raft_core::{Incarnation, Synced};
/// let synced = Synced { incarnation: Incarnation(1), number: 1 };
/// ```
#[derive(Debug)]
pub struct Synced {
    pub(crate) incarnation: Incarnation,
    pub(crate) number: u64,
}

/// Maps the number of each output to the records that it makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Persistence {
    incarnation: Incarnation,
    /// The number of the last output that was taken.
    number: u64,
    /// The term of the last ballot known to be on disk.
    term: Term,
    /// All present entries through this one are on disk.
    index: Index,
    /// Outputs that are not confirmed yet.
    pending: VecDeque<Pending>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    number: u64,
    term: Term,
    index: Index,
}

impl Persistence {
    /// The state at the start: all that was restored is on disk.
    pub(crate) fn new(incarnation: Incarnation, term: Term, index: Index) -> Self {
        Self {
            incarnation,
            number: 0,
            term,
            index,
            pending: VecDeque::new(),
        }
    }

    /// The synced index: all present entries through it are on disk.
    pub(crate) fn index(&self) -> Index {
        self.index
    }

    /// Whether the ballot of `term` is on disk.
    pub(crate) fn holds_ballot_of(&self, term: Term) -> bool {
        self.term >= term
    }

    /// Numbers an output. If it has records, they will make the term and the log through `index`
    /// durable.
    pub(crate) fn issue(&mut self, records: bool, term: Term, index: Index) -> Synced {
        self.number += 1;
        if records {
            self.pending.push_back(Pending {
                number: self.number,
                term,
                index,
            });
        }
        Synced {
            incarnation: self.incarnation,
            number: self.number,
        }
    }

    /// Notes that the entries from `first` on were replaced: pending outputs no longer make them
    /// durable.
    pub(crate) fn truncate(&mut self, first: Index) {
        let keep = first.previous();
        self.index = self.index.min(keep);
        for pending in &mut self.pending {
            pending.index = pending.index.min(keep);
        }
    }

    /// Notes that all records through an output are on disk.
    ///
    /// # Panics
    /// If the output was another replica's.
    pub(crate) fn confirm(&mut self, synced: &Synced) {
        assert_eq!(
            synced.incarnation, self.incarnation,
            "the receipt must be of this incarnation"
        );
        while let Some(pending) = self.pending.front()
            && pending.number <= synced.number
        {
            self.term = self.term.max(pending.term);
            self.index = self.index.max(pending.index);
            self.pending.pop_front();
        }
    }
}

/// Hashes without the numbers: the count of outputs makes no difference.
impl Hash for Persistence {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            incarnation: _,
            number: _,
            term,
            index,
            pending,
        } = self;
        (term, index).hash(state);
        for Pending {
            number: _,
            term,
            index,
        } in pending
        {
            (term, index).hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_of_truncated_entries_confirms_only_the_rest() {
        let mut persistence = Persistence::new(Incarnation(1), Term(1), Index(2));
        let first = persistence.issue(true, Term(1), Index(5));
        persistence.truncate(Index(4));
        let second = persistence.issue(true, Term(2), Index(6));
        persistence.confirm(&first);
        assert_eq!(persistence.index(), Index(3));
        assert!(!persistence.holds_ballot_of(Term(2)));
        persistence.confirm(&second);
        assert_eq!(persistence.index(), Index(6));
        assert!(persistence.holds_ballot_of(Term(2)));
    }

    #[test]
    fn later_sync_confirms_the_earlier_ones() {
        let mut persistence = Persistence::new(Incarnation(1), Term(0), Index(0));
        let first = persistence.issue(true, Term(1), Index(1));
        let second = persistence.issue(true, Term(1), Index(2));
        persistence.confirm(&second);
        assert_eq!(persistence.index(), Index(2));
        persistence.confirm(&first);
        assert_eq!(persistence.index(), Index(2));
    }

    #[test]
    #[should_panic(expected = "the receipt must be of this incarnation")]
    fn receipt_of_a_former_incarnation_panics() {
        let synced =
            Persistence::new(Incarnation(1), Term(0), Index(0)).issue(true, Term(1), Index(1));
        Persistence::new(Incarnation(2), Term(0), Index(0)).confirm(&synced);
    }
}
