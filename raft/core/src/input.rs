//! Everything that can happen to a node.

use crate::id::{SnapshotId, Ticket};
use crate::machine::StateMachine;
use crate::membership::Membership;
use crate::message::Envelope;
use crate::persistence::Synced;

/// One thing that happened.
#[derive(Debug)]
pub enum Input<S: StateMachine> {
    /// A tick of the clock went by.
    Tick,
    /// A peer's message arrived. It is checked here; nothing about it is taken on trust.
    Receive(Envelope<S>),
    /// A client wants its command applied.
    Write {
        /// The host's name for the request.
        ticket: Ticket,
        /// What to apply.
        command: S::Command,
    },
    /// A client wants to know something.
    Read {
        /// The host's name for the request.
        ticket: Ticket,
        /// What to look up.
        query: S::Query,
    },
    /// All through this output is on disk.
    Synced(Synced),
    /// The state of a [`crate::Task::Store`] is safe on disk, under this name.
    SnapshotStored(SnapshotId),
    /// The snapshot of a [`crate::Task::Install`] is safe on disk.
    SnapshotInstalled {
        /// Its name.
        snapshot: SnapshotId,
        /// Who belonged to the cluster then.
        membership: Membership,
        /// The machine that it contains.
        machine: S,
    },
    /// The snapshot of a [`crate::Task::Install`] is not what its name says, or makes no sense.
    /// Nothing was stored.
    SnapshotBroken(SnapshotId),
}
