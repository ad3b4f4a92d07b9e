//! Persistence: the records for the write-ahead log, and which of them are known to be stored.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::ballot::Ballot;
use crate::clock::Moment;
use crate::entry::Entry;
use crate::id::{EntryId, Incarnation, Index, NodeId, Term};

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

/// The name of an output. Outputs are numbered, since term and index do not name a moment: entries
/// can be truncated and appended again meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputId {
    node: NodeId,
    incarnation: Incarnation,
    number: u64,
}

/// The proof that all records through one output are on disk, which [`crate::Output::persist`]
/// demands for the output after that one: so outputs become durable in the order in which they were
/// made. [`crate::Replica::persisted`] gives the first proof; each use gives the next one.
///
/// ```
/// # use raft_core::{Output, Persisted, StateMachine, Volatile, Wal};
/// fn both<S: StateMachine, W: Wal<S::Command>>(
///     one: Output<S, Volatile>,
///     next: Output<S, Volatile>,
///     persisted: Persisted,
///     wal: &mut W,
/// ) -> Result<(), W::Error> {
///     let (_, persisted) = one.persist(persisted, wal)?;
///     let (_, _) = next.persist(persisted, wal)?;
///     Ok(())
/// }
/// ```
///
/// ```compile_fail,E0382
/// # use raft_core::{Output, Persisted, StateMachine, Volatile, Wal};
/// fn both<S: StateMachine, W: Wal<S::Command>>(
///     one: Output<S, Volatile>,
///     next: Output<S, Volatile>,
///     persisted: Persisted,
///     wal: &mut W,
/// ) -> Result<(), W::Error> {
///     let (_, _) = next.persist(persisted, wal)?;
///     let (_, _) = one.persist(persisted, wal)?;
///     Ok(())
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Persisted(pub(crate) OutputId);

/// The receipt that all records through one output are on disk, for the replica.
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
/// # use raft_core::{Persisted, Synced};
/// fn receipt(persisted: Persisted) -> Synced {
///     Synced { through: persisted.0 }
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Synced {
    pub(crate) through: OutputId,
}

/// Maps the number of each output to the records that it makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Persistence {
    /// The last output that was taken.
    last: OutputId,
    /// The term of the last ballot known to be on disk.
    term: Term,
    /// All present entries through this one are on disk.
    index: Index,
    /// Outputs with records that are not confirmed yet.
    pending: VecDeque<Pending>,
    /// The bytes of their entries.
    bytes: u64,
    /// When the disk last confirmed an output, or the oldest pending output began to wait.
    moved: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    number: u64,
    term: Term,
    index: Index,
    bytes: u64,
}

impl Persistence {
    /// The state at the start: all that was restored is on disk.
    pub(crate) fn new(node: NodeId, incarnation: Incarnation, term: Term, index: Index) -> Self {
        let last = OutputId {
            node,
            incarnation,
            number: 0,
        };
        Self {
            last,
            term,
            index,
            pending: VecDeque::new(),
            bytes: 0,
            moved: Moment::default(),
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

    /// The bytes of entries that outputs hold and the disk may not.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the disk has confirmed nothing for `ticks`, although an output waits for it.
    pub(crate) fn is_stalled(&self, now: Moment, ticks: u32) -> bool {
        !self.pending.is_empty() && now.is_past(self.moved, ticks)
    }

    /// The proof that all outputs so far are on disk.
    ///
    /// # Panics
    /// If one with records may not be.
    pub(crate) fn persisted(&self) -> Persisted {
        assert!(self.pending.is_empty(), "some outputs are not persisted");
        Persisted(self.last)
    }

    /// Names an output, and returns its name after that of the output before. If the output has
    /// records, of this many bytes, they will make the term and the log through `index` durable.
    pub(crate) fn issue(
        &mut self,
        records: Option<u64>,
        term: Term,
        index: Index,
        now: Moment,
    ) -> (OutputId, OutputId) {
        let before = self.last;
        self.last.number += 1;
        if let Some(bytes) = records {
            if self.pending.is_empty() {
                self.moved = now;
            }
            self.bytes += bytes;
            self.pending.push_back(Pending {
                number: self.last.number,
                term,
                index,
                bytes,
            });
        }
        (before, self.last)
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
    pub(crate) fn confirm(&mut self, Synced { through }: &Synced, now: Moment) {
        assert_eq!(
            (through.node, through.incarnation),
            (self.last.node, self.last.incarnation),
            "the receipt must be of this node and incarnation"
        );
        while let Some(pending) = self.pending.front()
            && pending.number <= through.number
        {
            self.term = self.term.max(pending.term);
            self.index = self.index.max(pending.index);
            self.bytes -= pending.bytes;
            self.moved = now;
            self.pending.pop_front();
        }
    }
}

/// Hashes without the numbers: the count of outputs makes no difference.
impl Hash for Persistence {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            last: _,
            term,
            index,
            pending,
            bytes: _,
            moved: _,
        } = self;
        (term, index).hash(state);
        for Pending {
            number: _,
            term,
            index,
            bytes: _,
        } in pending
        {
            (term, index).hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn persistence(node: u64, incarnation: u64, index: u64) -> Persistence {
        Persistence::new(
            NodeId(node),
            Incarnation(incarnation),
            Term(1),
            Index(index),
        )
    }

    /// Takes an output with a record of one byte, and returns its receipt.
    fn issue(persistence: &mut Persistence, term: u64, index: u64, now: Moment) -> Synced {
        let (_, through) = persistence.issue(Some(1), Term(term), Index(index), now);
        Synced { through }
    }

    const START: fn() -> Moment = Moment::default;

    #[test]
    fn sync_of_truncated_entries_confirms_only_the_rest() {
        let mut persistence = persistence(1, 1, 2);
        let first = issue(&mut persistence, 1, 5, START());
        persistence.truncate(Index(4));
        let second = issue(&mut persistence, 2, 6, START());
        persistence.confirm(&first, START());
        assert_eq!(persistence.index(), Index(3));
        assert!(!persistence.holds_ballot_of(Term(2)));
        persistence.confirm(&second, START());
        assert_eq!(persistence.index(), Index(6));
        assert!(persistence.holds_ballot_of(Term(2)));
    }

    #[test]
    fn later_sync_confirms_the_earlier_ones() {
        let mut persistence = persistence(1, 1, 0);
        let first = issue(&mut persistence, 1, 1, START());
        let second = issue(&mut persistence, 1, 2, START());
        assert_eq!(persistence.bytes(), 2);
        persistence.confirm(&second, START());
        assert_eq!(persistence.index(), Index(2));
        assert_eq!(persistence.bytes(), 0);
        persistence.confirm(&first, START());
        assert_eq!(persistence.index(), Index(2));
    }

    #[test]
    fn disk_that_moves_is_not_stalled() {
        let mut persistence = persistence(1, 1, 0);
        let mut now = Moment::default();
        let mut wait = |ticks| {
            (0..ticks).for_each(|_| now = now.next());
            now
        };
        assert!(!persistence.is_stalled(wait(9), 3), "nothing waits");
        let first = issue(&mut persistence, 1, 1, wait(0));
        assert!(!persistence.is_stalled(wait(2), 3));
        let second = issue(&mut persistence, 1, 2, wait(0));
        assert!(persistence.is_stalled(wait(1), 3));
        persistence.confirm(&first, wait(0));
        assert!(!persistence.is_stalled(wait(2), 3));
        assert!(persistence.is_stalled(wait(1), 3));
        persistence.confirm(&second, wait(0));
        assert!(!persistence.is_stalled(wait(9), 3));
    }

    #[test]
    #[should_panic(expected = "the receipt must be of this node and incarnation")]
    fn receipt_of_a_former_incarnation_panics() {
        let synced = issue(&mut persistence(1, 1, 0), 1, 1, START());
        persistence(1, 2, 0).confirm(&synced, START());
    }

    #[test]
    #[should_panic(expected = "the receipt must be of this node and incarnation")]
    fn receipt_of_another_node_panics() {
        let synced = issue(&mut persistence(1, 1, 0), 1, 1, START());
        persistence(2, 1, 0).confirm(&synced, START());
    }
}
