//! The state machine that the log drives. The core does not interpret its commands.

use core::fmt::Debug;
use core::hash::Hash;

/// A deterministic state machine (§2): the same commands in the same order give the same state
/// and the same outcomes on every node.
///
/// A command of a client may come into the log more than once, when its answer or its leader was
/// lost. The machine must recognize that, or the command is applied again (thesis §6.3).
///
/// A snapshot is made from a clone. The node waits for the clone, so it must be cheap, however large
/// the state is: share unchanged parts (copy-on-write) instead of copying them.
pub trait StateMachine: Clone + Debug + Eq + Hash {
    /// A change of the state. Goes through the log.
    type Command: Clone + Debug + Eq + Hash;
    /// The result of a command. Sent back to the node of the client.
    type Outcome: Clone + Debug + Eq + Hash;
    /// A read of the state. Never enters the log.
    type Query: Clone + Debug + Eq + Hash;
    /// The result of a query.
    type Answer: Clone + Debug + Eq + Hash;

    /// Applies one committed command.
    fn apply(&mut self, command: &Self::Command) -> Self::Outcome;

    /// Answers a query from the present state.
    fn answer(&self, query: &Self::Query) -> Self::Answer;

    /// The approximate size of the command in memory, in bytes. Decides how many entries share one
    /// Append, and what the log may hold. Must not depend on the state.
    fn size(command: &Self::Command) -> usize;
}
