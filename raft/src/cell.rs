//! The one mutex, and the two ways to hold it.
//!
//! Whoever has the [`Stepper`] moves the node; there is one, and it cannot be copied. Whoever has a
//! [`Viewer`] may look at it, any number of them from any thread. Both hold the lock for the time
//! of a few steps or of one look, never while something is stored or sent.

use std::sync::{Arc, Mutex, MutexGuard};

use raft_core::{Input, Output, Replica, StateMachine, Status, Volatile};

/// Puts a replica behind the mutex.
#[must_use]
pub fn cell<S: StateMachine>(replica: Replica<S>) -> (Stepper<S>, Viewer<S>) {
    let shared = Arc::new(Mutex::new(replica));
    (Stepper(shared.clone()), Viewer(shared))
}

/// The right to move the node: its owner is the event loop.
#[derive(Debug)]
pub struct Stepper<S: StateMachine>(Arc<Mutex<Replica<S>>>);

impl<S: StateMachine> Stepper<S> {
    /// Steps through all inputs under one lock and returns what they come to, and the state after
    /// them.
    ///
    /// # Panics
    /// If a rule of Raft is broken; see [`Replica::step`].
    pub fn step(
        &mut self,
        inputs: impl IntoIterator<Item = Input<S>>,
    ) -> (Output<S, Volatile>, Status) {
        let mut replica = lock(&self.0);
        for input in inputs {
            replica.step(input);
        }
        let output = replica.output();
        (output, replica.status())
    }
}

/// The right to look at the node.
#[derive(Debug)]
pub struct Viewer<S: StateMachine>(Arc<Mutex<Replica<S>>>);

impl<S: StateMachine> Viewer<S> {
    /// The node's state now.
    ///
    /// # Panics
    /// If a step has panicked: then nothing that could be seen here is true.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.0).status()
    }
}

impl<S: StateMachine> Clone for Viewer<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

fn lock<S: StateMachine>(replica: &Mutex<Replica<S>>) -> MutexGuard<'_, Replica<S>> {
    replica
        .lock()
        .expect("a node that has broken a rule of its own is not stepped again")
}
