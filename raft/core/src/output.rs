//! Everything that a node asks of its host, and the rule that makes it persist before it sends.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::mem;

use crate::id::{Incarnation, NodeId, RequestId, Term};
use crate::input::Ticket;
use crate::machine::StateMachine;
use crate::message::{Envelope, Message, SnapshotChunk};
use crate::rename::renames;
use crate::snapshot::{Chunks, SnapshotId, Task};
use crate::wal::{Record, Wal};

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
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) task: Option<Task<S>>,
    pub(crate) replies: Vec<Reply<S>>,
    pub(crate) durability: PhantomData<D>,
}

/// What may leave before anything is stored.
#[derive(Debug)]
pub struct Released<S: StateMachine> {
    /// Messages that promise nothing.
    pub messages: Vec<Envelope<S>>,
    /// Answers to clients, which rest on what a quorum has stored already.
    pub replies: Vec<Reply<S>>,
    /// Work on a snapshot that begins now.
    pub task: Option<Task<S>>,
}

/// A chunk of the stored snapshot that a follower wants.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Wanted {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) term: Term,
    pub(crate) stream: RequestId,
    pub(crate) snapshot: SnapshotId,
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

impl Wanted {
    /// The message, if the chunk can be read.
    fn read<S: StateMachine>(self, chunks: &mut impl Chunks) -> Option<Envelope<S>> {
        let Self {
            from,
            to,
            term,
            stream,
            snapshot,
            offset,
            length,
        } = self;
        let data: Arc<[u8]> = chunks.read(snapshot, offset, length)?.into();
        let message = Message::SnapshotChunk(SnapshotChunk {
            stream,
            snapshot,
            offset,
            data,
        });
        Some(Envelope {
            from,
            to,
            term,
            message,
        })
    }
}

renames!(Wanted { from, to, stream });

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
    /// Takes what may leave before anything is stored. Chunks of a snapshot that followers want
    /// are read from `chunks`.
    pub fn release(&mut self, chunks: &mut impl Chunks) -> Released<S> {
        let wanted = mem::take(&mut self.wanted).into_iter();
        let mut messages = mem::take(&mut self.early);
        messages.extend(wanted.filter_map(|wanted| wanted.read(chunks)));
        Released {
            messages,
            replies: mem::take(&mut self.replies),
            task: self.task.take(),
        }
    }

    /// Whether it asks for nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.early.is_empty()
            && self.late.is_empty()
            && self.wanted.is_empty()
            && self.task.is_none()
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
            wanted: self.wanted,
            task: self.task,
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
    /// If replies or a task were never taken: a client, or the replica, would wait in vain.
    #[must_use]
    pub fn finish(self) -> (Vec<Envelope<S>>, Synced) {
        assert!(
            self.replies.is_empty() && self.task.is_none(),
            "release the replies and the task first"
        );
        let mut messages = self.early;
        messages.extend(self.late);
        (messages, self.number)
    }
}
