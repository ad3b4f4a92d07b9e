//! The inputs of a node.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ballot::Ballot;
use crate::config::Config;
use crate::entry::Entry;
use crate::id::{Incarnation, NodeId, SnapshotId, Ticket};
use crate::machine::StateMachine;
use crate::membership::Membership;
use crate::message::Envelope;
use crate::persistence::Synced;

/// The stored state and settings that a node starts from.
#[derive(Clone, Debug)]
pub struct Restored<S: StateMachine> {
    /// The node's id.
    pub id: NodeId,
    /// The members at the snapshot's last entry; without a snapshot, those at the start of the cluster,
    /// unless the log begins with them (thesis §4.4). A node that waits to be added has none: it learns
    /// them from a leader.
    pub membership: Membership,
    /// Times and limits.
    pub config: Config,
    /// The stored term and vote; the default on a first start.
    pub ballot: Ballot,
    /// The stored snapshot that `machine` was decoded from, if there is one.
    pub snapshot: Option<SnapshotId>,
    /// The state machine of that snapshot; a new one without it.
    pub machine: S,
    /// The stored entries after the snapshot's last.
    pub entries: Vec<Entry<S::Command>>,
    /// Drawn at random at this start.
    pub incarnation: Incarnation,
    /// Seeds the election timeouts.
    pub seed: u64,
}

/// One input of a node.
#[derive(Debug)]
pub enum Input<S: StateMachine> {
    /// One tick has passed.
    Tick,
    /// A peer's message arrived. The core validates it.
    Receive(Envelope<S>),
    /// A client wants its command applied.
    Write {
        /// The host's id for the request.
        ticket: Ticket,
        /// The command.
        command: S::Command,
    },
    /// A client queries the state.
    Read {
        /// The host's id for the request.
        ticket: Ticket,
        /// The query.
        query: S::Query,
    },
    /// The leader is to hand its leadership over (thesis §3.10).
    Transfer {
        /// The host's id for the request, if a client waits for the reply.
        ticket: Option<Ticket>,
        /// The voter that is to lead; without it, the most advanced one.
        to: Option<NodeId>,
    },
    /// A client wants other members. Only a leader takes it. Its answer waits until the new voters
    /// have caught up and the new membership is committed.
    ChangeMembers {
        /// The host's id for the request.
        ticket: Ticket,
        /// The addresses of the nodes that are to vote. Each gets an id that was never given.
        add: Vec<Arc<str>>,
        /// The members that are to leave.
        remove: BTreeSet<NodeId>,
    },
    /// A client wants this node to store a snapshot of its own state.
    TakeSnapshot {
        /// The host's id for the request.
        ticket: Ticket,
    },
    /// All records through this output are on disk.
    Synced(Synced),
    /// The state of a [`crate::Task::Store`] is on disk, under this id.
    SnapshotStored(SnapshotId),
    /// The snapshot of a [`crate::Task::Install`] is on disk.
    SnapshotInstalled {
        /// Its id.
        snapshot: SnapshotId,
        /// The members of the cluster at its last entry.
        membership: Membership,
        /// The machine that it contains.
        machine: S,
    },
    /// The bytes of a [`crate::Task::Install`] do not match their checksum or cannot be decoded.
    /// The host stored nothing.
    SnapshotBroken(SnapshotId),
    /// This stored snapshot no longer matches its checksum: the node takes another one.
    SnapshotDamaged(SnapshotId),
    /// The host has written a part of the snapshot of the open task.
    SnapshotMoved,
}
