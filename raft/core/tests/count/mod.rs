//! The state machine of the tests of costs. In a folder, since `tests/count.rs` would be a test
//! target of its own.

use raft_core::StateMachine;

/// Counts its commands, each of which takes `BYTES` bytes on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Count<const BYTES: usize>(pub(crate) u64);

impl<const BYTES: usize> StateMachine for Count<BYTES> {
    type Command = u64;
    type Outcome = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, _: &u64) -> u64 {
        self.0 += 1;
        self.0
    }

    fn answer(&self, (): &()) -> u64 {
        self.0
    }

    fn size(_: &u64) -> usize {
        BYTES
    }
}
