//! Everything that a node asks of its host, and the rule that makes it persist before it sends.

use alloc::vec::Vec;
use core::{marker::PhantomData, mem};

use crate::{
    id::Incarnation,
    input::Ticket,
    machine::StateMachine,
    message::Envelope,
    wal::{Record, Wal},
};

/// What became of a client's request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response<S: StateMachine> {
    /// The command was committed and applied.
    Applied(S::Outcome),
    /// The query was answered, linearizably.
    Answered(S::Answer),
    /// It surely never had an effect and never will: no log ever held it.
    Refused(Refusal),
    /// It may have taken effect, or may yet.
    Unknown(Doubt),
}

/// Why a request surely had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No leader was known until the request's deadline.
    NoLeader,
    /// The node whom we took for the leader did not take the command: it leads no more, or has no
    /// room.
    NotLeader,
    /// Too many requests are under way.
    Full,
    /// A read could not be confirmed until its deadline.
    ReadExpired,
}

/// Why nobody here can tell whether a request had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// The deadline passed before the command was known to be committed.
    Expired,
    /// Another leader's entry took the command's place in the log.
    Overwritten,
}

/// An answer for the client behind `ticket`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply<S: StateMachine> {
    /// Whose answer it is.
    pub ticket: Ticket,
    /// The answer.
    pub response: Response<S>,
}

/// The mark of an [`Output`] whose records are not on disk yet.
#[derive(Debug)]
pub enum Volatile {}

/// The mark of an [`Output`] whose records are on disk.
#[derive(Debug)]
pub enum Durable {}

/// What a batch of steps asks for: records to store, messages to send, clients to answer.
///
/// What must wait for the disk can be had from a durable output alone, and only
/// [`Output::persist`] makes one:
///
/// ```
/// # use raft_core::{Durable, Envelope, Output, StateMachine, Synced};
/// fn sends<S: StateMachine>(output: Output<S, Durable>) -> (Vec<Envelope<S>>, Synced) {
///     output.finish()
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use raft_core::{Envelope, Output, StateMachine, Synced, Volatile};
/// fn sends<S: StateMachine>(output: Output<S, Volatile>) -> (Vec<Envelope<S>>, Synced) {
///     output.finish()
/// }
/// ```
#[derive(Debug)]
#[must_use = "what is neither stored nor sent is lost"]
pub struct Output<S: StateMachine, D> {
    pub(crate) number: Synced,
    pub(crate) records: Vec<Record<S::Command>>,
    pub(crate) early: Vec<Envelope<S>>,
    pub(crate) late: Vec<Envelope<S>>,
    pub(crate) replies: Vec<Reply<S>>,
    pub(crate) durability: PhantomData<D>,
}

/// Says that everything through one output is on disk. Outputs are numbered, since term
/// and index do not name a moment: entries can be truncated and appended again meanwhile.
///
/// Only [`Output::persist`] leads to one, and it cannot be made up:
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

impl<S: StateMachine> Output<S, Volatile> {
    /// Takes what may leave before anything is stored: messages that promise nothing, and answers
    /// to clients, which rest on what a quorum has stored already.
    pub fn release(&mut self) -> (Vec<Envelope<S>>, Vec<Reply<S>>) {
        (mem::take(&mut self.early), mem::take(&mut self.replies))
    }

    /// Whether it asks for nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.early.is_empty()
            && self.late.is_empty()
            && self.replies.is_empty()
    }

    /// What will be stored.
    #[must_use]
    pub fn records(&self) -> &[Record<S::Command>] {
        &self.records
    }

    /// Stores the records. Outputs must be persisted in the order in which they were made.
    ///
    /// # Errors
    /// The storage's own. The node must stop then.
    pub fn persist<W: Wal<S::Command>>(self, wal: &mut W) -> Result<Output<S, Durable>, W::Error> {
        if !self.records.is_empty() {
            wal.append_and_sync(&self.records)?;
        }
        Ok(Output {
            number: self.number,
            records: Vec::new(),
            early: self.early,
            late: self.late,
            replies: self.replies,
            durability: PhantomData,
        })
    }
}

impl<S: StateMachine> Output<S, Durable> {
    /// Takes the messages that waited for the disk (and before them those that did not have to, if
    /// they are still here), and the receipt that the node wants back as its next
    /// [`crate::Input::Synced`].
    ///
    /// # Panics
    /// If replies were never taken: a client would wait in vain.
    #[must_use]
    pub fn finish(self) -> (Vec<Envelope<S>>, Synced) {
        assert!(self.replies.is_empty(), "release the replies first");
        let mut messages = self.early;
        messages.extend(self.late);
        (messages, self.number)
    }
}
