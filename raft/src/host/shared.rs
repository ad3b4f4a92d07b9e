//! The one mutex around the replica, and the two rights to lock it.
//!
//! The [`Stepper`] steps the replica; there is one, and it cannot be cloned. A [`Viewer`] reads its
//! status; any thread may have one. Both hold the lock for a few steps or one look, never while
//! something is stored or sent.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use raft_core::{Input, Output, Persisted, Replica, StateMachine, Status, Volatile};

const PANICKED: &str = "a replica that panicked is not used again";

/// Puts a replica into the mutex.
#[must_use]
pub fn share<S: StateMachine>(replica: Replica<S>) -> (Stepper<S>, Viewer<S>) {
    let shared = Arc::new(Mutex::new(replica));
    (Stepper(shared.clone()), Viewer(shared))
}

/// The right to step the replica. The event loop owns it.
#[derive(Debug)]
pub struct Stepper<S: StateMachine>(Arc<Mutex<Replica<S>>>);

impl<S: StateMachine> Stepper<S> {
    /// Steps through all inputs under one lock. Returns their output and the state after them.
    ///
    /// # Panics
    /// If a rule of Raft is broken: see [`Replica::step`].
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

    /// A copy of the machine.
    pub(super) fn machine(&self) -> S {
        lock(&self.0).machine().clone()
    }

    /// The proof for the first output.
    ///
    /// # Panics
    /// If an output was taken that is not confirmed yet: see [`Replica::persisted`].
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        lock(&self.0).persisted()
    }
}

/// The right to read the replica's status.
#[derive(Clone, Debug)]
pub struct Viewer<S: StateMachine>(Arc<Mutex<Replica<S>>>);

impl<S: StateMachine> Viewer<S> {
    /// The state now, or nothing if the event loop does not end its step for this long.
    ///
    /// # Panics
    /// If a step has panicked, since the state is then unknown.
    #[must_use]
    pub fn status_within(&self, patience: Duration) -> Option<Status> {
        let began = Instant::now();
        loop {
            match self.0.try_lock() {
                Ok(replica) => return Some(replica.status()),
                Err(TryLockError::WouldBlock) if began.elapsed() < patience => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => return None,
                Err(TryLockError::Poisoned(_)) => panic!("{PANICKED}"),
            }
        }
    }
}

fn lock<S: StateMachine>(replica: &Mutex<Replica<S>>) -> MutexGuard<'_, Replica<S>> {
    replica.lock().expect(PANICKED)
}
