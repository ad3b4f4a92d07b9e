//! Everything that can happen to a node.

use crate::{machine::StateMachine, message::Envelope, output::Synced};

/// The host's name for a client's request. The host never uses one twice in a node's life, and
/// each gets exactly one [`crate::Response`] if the node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

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
}
