//! The state machine that the log drives. The core knows nothing of what its commands mean.

use core::fmt::Debug;
use core::hash::Hash;

/// A deterministic state machine (§2): the same commands in the same order give the same state
/// and the same outcomes on every node.
///
/// A clone is the image that a snapshot is made of. It is taken while the node stands still, so it
/// must be cheap, however large the state is: share what does not change (copy-on-write) instead of
/// copying it.
pub trait StateMachine: Clone + Debug + Eq + Hash {
    /// What changes the state. Goes through the log.
    type Command: Clone + Debug + Eq + Hash;
    /// What a command came to. Travels back to the node that took the command.
    type Outcome: Clone + Debug + Eq + Hash;
    /// Reads the state without changing it. Never enters the log.
    type Query: Clone + Debug + Eq + Hash;
    /// What a query saw.
    type Answer: Clone + Debug + Eq + Hash;

    /// Applies one committed command.
    fn apply(&mut self, command: &Self::Command) -> Self::Outcome;

    /// Looks at the state.
    fn answer(&self, query: &Self::Query) -> Self::Answer;

    /// Roughly how many bytes the command takes on the wire; decides how many entries share one
    /// Append. Must not depend on the state.
    fn size(command: &Self::Command) -> usize;
}
