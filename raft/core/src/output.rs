//! What a node asks of its host, and the type that makes the host persist before it sends.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::mem;

use crate::id::{NodeId, RequestId, SnapshotId, Term};
use crate::machine::StateMachine;
use crate::message::{Envelope, Message, SnapshotChunk};
use crate::persistence::{OutputId, Persisted, Record, Synced, Wal};
use crate::response::Reply;
use crate::snapshot::Task;

/// The mark of an [`Output`] whose records are not on disk yet.
#[derive(Debug)]
pub enum Volatile {}

/// The mark of an [`Output`] whose records are on disk.
#[derive(Debug)]
pub enum Durable {}

/// The output of a batch of steps: records to store, messages to send, replies to clients.
///
/// Only a durable output gives the messages that must wait for the disk, and only
/// [`Output::persist`] makes an output durable:
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
#[must_use = "an output that is dropped loses its records, messages and replies"]
pub struct Output<S: StateMachine, D> {
    /// The output before this one.
    pub(crate) before: OutputId,
    /// The name of this output; after a [`join`](Output::join), that of the last one.
    pub(crate) id: OutputId,
    pub(crate) records: Vec<Record<S::Command>>,
    pub(crate) early: Vec<Envelope<S>>,
    pub(crate) late: Vec<Envelope<S>>,
    pub(crate) chunks: Vec<ChunkToSend>,
    pub(crate) task: Option<Task<S>>,
    pub(crate) replies: Vec<Reply<S>>,
    pub(crate) durability: PhantomData<D>,
}

/// The part of an output that may leave before its records are stored.
#[derive(Debug)]
pub struct Released<S: StateMachine> {
    /// Messages that need not wait for the disk.
    pub messages: Vec<Envelope<S>>,
    /// Chunks of stored snapshots to read and to send. They may be late or lost, as the network may
    /// lose them: the stream asks for them again.
    pub chunks: Vec<ChunkToSend>,
    /// Replies to clients. The entries that they depend on are on the disks of a quorum.
    pub replies: Vec<Reply<S>>,
    /// A snapshot task to begin now.
    pub task: Option<Task<S>>,
}

/// A chunk of a stored snapshot that a follower needs. The host reads it on another thread. If the
/// snapshot was replaced, the host sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkToSend {
    /// This node.
    pub from: NodeId,
    /// The follower.
    pub to: NodeId,
    /// The term of the message.
    pub term: Term,
    /// The replication stream to the follower.
    pub stream: RequestId,
    /// The snapshot. While it is being read, it should stay readable when a newer one is stored.
    pub snapshot: SnapshotId,
    /// The position of the first byte.
    pub offset: u64,
    /// The number of bytes.
    pub length: usize,
}

impl ChunkToSend {
    /// The message with the bytes that were read.
    #[must_use]
    pub fn message<S: StateMachine>(self, data: Vec<u8>) -> Envelope<S> {
        let message = Message::SnapshotChunk(SnapshotChunk {
            stream: self.stream,
            snapshot: self.snapshot,
            offset: self.offset,
            data: data.into(),
        });
        Envelope {
            from: self.from,
            to: self.to,
            term: self.term,
            message,
        }
    }
}

impl<S: StateMachine> Output<S, Volatile> {
    /// Takes the part of the output that may leave before its records are stored.
    pub fn release(&mut self) -> Released<S> {
        Released {
            messages: mem::take(&mut self.early),
            chunks: mem::take(&mut self.chunks),
            replies: mem::take(&mut self.replies),
            task: self.task.take(),
        }
    }

    /// Whether the output is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.early.is_empty()
            && self.late.is_empty()
            && self.chunks.is_empty()
            && self.task.is_none()
            && self.replies.is_empty()
    }

    /// The records to store.
    #[must_use]
    pub fn records(&self) -> &[Record<S::Command>] {
        &self.records
    }

    /// Appends the output after this one, so that both are stored with one sync. Of the messages
    /// that wait for the disk it keeps the newest `late_max`, and returns how many it dropped: to
    /// the receivers, the network has lost them.
    ///
    /// # Panics
    /// If `next` is not the output right after this one, or if anything else of it was not released.
    pub fn join(&mut self, next: Self, late_max: usize) -> usize {
        assert_eq!(next.before, self.id, "only the next output can be joined");
        self.id = next.id;
        self.records.extend(next.records);
        self.late.extend(next.late);
        let released = next.early.is_empty() && next.chunks.is_empty();
        let answered = next.replies.is_empty() && next.task.is_none();
        assert!(
            released && answered,
            "release an output before it is joined"
        );
        let excess = self.late.len().saturating_sub(late_max);
        self.late.drain(..excess);
        excess
    }

    /// Whether anything waits for the disk: records, or messages that records before them hold up.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.records.is_empty() || !self.late.is_empty()
    }

    /// Stores the records. `before` proves that the output before this one is on disk.
    ///
    /// # Errors
    /// The storage's error. The node must stop then.
    ///
    /// # Panics
    /// If `before` is not of the output right before this one.
    pub fn persist<W: Wal<S::Command>>(
        self,
        before: Persisted,
        wal: &mut W,
    ) -> Result<(Output<S, Durable>, Persisted), W::Error> {
        assert_eq!(
            before.0, self.before,
            "outputs must be persisted in the order in which they were made"
        );
        if !self.records.is_empty() {
            wal.append_and_sync(&self.records)?;
        }
        let durable = Output {
            before: self.before,
            id: self.id,
            records: Vec::new(),
            early: self.early,
            late: self.late,
            chunks: self.chunks,
            task: self.task,
            replies: self.replies,
            durability: PhantomData,
        };
        Ok((durable, Persisted(self.id)))
    }
}

impl<S: StateMachine> Output<S, Durable> {
    /// Takes the messages that waited for the disk (after the other messages, if those were not
    /// released), and the receipt that the host passes back as [`crate::Input::Synced`].
    ///
    /// # Panics
    /// If replies or a task were not released: a client, or the replica, would wait forever.
    #[must_use]
    pub fn finish(self) -> (Vec<Envelope<S>>, Synced) {
        assert!(
            self.replies.is_empty() && self.task.is_none(),
            "release the replies and the task first"
        );
        let mut messages = self.early;
        messages.extend(self.late);
        (messages, Synced { through: self.id })
    }
}
