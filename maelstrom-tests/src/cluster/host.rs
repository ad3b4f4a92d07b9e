//! One node of a test cluster: a disk, and the process that runs on it, if one does.

use std::collections::VecDeque;

use raft_core::{
    Config, Envelope, Incarnation, Input, Membership, NodeId, Output, Record, Replica, Reply,
    Restored, Synced, Volatile, invariant::Violation,
};

use super::{
    disk::Disk,
    machine::{Command, Registers},
};

/// A node: what it has stored, and its present life.
#[derive(Debug)]
pub struct Host {
    /// Its name.
    pub id: NodeId,
    /// What it has stored.
    pub disk: Disk,
    membership: Membership,
    config: Config,
    life: Option<Life>,
}

/// From a start of the process to its end.
#[derive(Debug)]
pub struct Life {
    /// Which life this is.
    pub incarnation: Incarnation,
    /// The node itself.
    pub replica: Replica<Registers>,
    /// Outputs that were taken and not stored yet, oldest first.
    unsynced: VecDeque<Output<Registers, Volatile>>,
}

/// What left a node before anything was stored.
#[derive(Debug, Default)]
pub struct Released {
    /// Messages that promise nothing.
    pub messages: Vec<Envelope<Registers>>,
    /// Answers to clients.
    pub replies: Vec<Reply<Registers>>,
}

impl Host {
    /// A node that was never started.
    pub fn new(id: NodeId, membership: Membership, config: Config, disk: Disk) -> Self {
        Self {
            id,
            disk,
            membership,
            config,
            life: None,
        }
    }

    /// Its present life, while it has one.
    pub fn life(&self) -> Option<&Life> {
        self.life.as_ref()
    }

    /// Starts the process from what is stored.
    pub fn start(&mut self, incarnation: Incarnation, seed: u64) {
        let replica = Replica::restore(Restored {
            id: self.id,
            membership: self.membership.clone(),
            config: self.config.clone(),
            ballot: self.disk.ballot(),
            snapshot: None,
            machine: Registers::default(),
            entries: self.disk.entries().to_vec(),
            incarnation,
            seed,
        });
        self.life = Some(Life {
            incarnation,
            replica,
            unsynced: VecDeque::new(),
        });
    }

    /// Ends the process. Of what it had not stored yet, the first `stored` outputs still reach the
    /// disk, as happens to a process that dies in the middle of a sync; nobody hears of it. The
    /// rest is lost. Returns how many outputs are lost.
    pub fn crash(&mut self, stored: usize) -> usize {
        let Some(mut life) = self.life.take() else {
            return 0;
        };
        for _ in 0..stored {
            if let Some(mut output) = life.unsynced.pop_front() {
                drop(output.release(&mut self.disk));
                drop(output.persist(&mut self.disk));
            }
        }
        life.unsynced.len()
    }

    /// Something happens to the process; nothing does if there is none.
    ///
    /// # Errors
    /// If that breaks one of the node's own invariants.
    pub fn step(&mut self, input: Input<Registers>) -> Result<(), Violation> {
        match &mut self.life {
            Some(life) => life.checked(|replica| replica.step(input)),
            None => Ok(()),
        }
    }

    /// Takes the output of all that happened since the last one: what may leave at once is
    /// returned, and the rest waits for [`Host::sync`].
    ///
    /// # Errors
    /// If making the output breaks one of the node's own invariants.
    pub fn release(&mut self) -> Result<Released, Violation> {
        let Some(life) = &mut self.life else {
            return Ok(Released::default());
        };
        let mut output = None;
        life.checked(|replica| output = Some(replica.output()))?;
        let Some(mut output) = output.filter(|output| !output.is_empty()) else {
            return Ok(Released::default());
        };
        let released = output.release(&mut self.disk);
        life.unsynced.push_back(output);
        Ok(Released {
            messages: released.messages,
            replies: released.replies,
        })
    }

    /// How many outputs wait to be stored.
    pub fn unsynced(&self) -> usize {
        self.life.as_ref().map_or(0, |life| life.unsynced.len())
    }

    /// What [`Host::sync`] would store.
    pub fn unsynced_records(&self) -> &[Record<Command>] {
        let oldest = self.life.as_ref().and_then(|life| life.unsynced.front());
        oldest.map_or(&[], |output| output.records())
    }

    /// Stores the oldest output that waits. Returns what waited for that, and the receipt that the
    /// node wants to see.
    pub fn sync(&mut self) -> Option<(Vec<Envelope<Registers>>, Synced)> {
        let output = self.life.as_mut()?.unsynced.pop_front()?;
        match output.persist(&mut self.disk) {
            Ok(durable) => Some(durable.finish()),
            Err(never) => match never {},
        }
    }
}

impl Life {
    /// Checks the node's invariants over an act. A debug build's replica does this for its steps
    /// by itself, but not for its outputs.
    fn checked(&mut self, act: impl FnOnce(&mut Replica<Registers>)) -> Result<(), Violation> {
        let before = self.replica.status();
        act(&mut self.replica);
        self.replica.check_since(&before)
    }
}
