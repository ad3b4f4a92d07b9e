//! One node of a test cluster: a disk, and the process that runs on it, if one does.

use std::collections::VecDeque;

use raft_core::invariant::Violation;
use raft_core::{
    Config, Envelope, Incarnation, Input, Membership, NodeId, Output, Received, Record, Replica,
    Reply, Restored, SnapshotId, Synced, Task, Volatile,
};

use super::disk::{Disk, File};
use super::machine::{Command, Registers};
use crate::rules::{Broken, Rules};

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
    work: Option<Work>,
}

/// A snapshot in the making: its file is written aside, then gets its final name, and then the node
/// hears of it. Between any two of these the process may die.
#[derive(Debug)]
pub struct Work {
    /// Its name. The bytes of a leader's may turn out to be something else.
    pub id: SnapshotId,
    /// What it contains; none, if the bytes make no sense.
    pub state: Option<Registers>,
    /// Whether it is a leader's.
    pub is_install: bool,
    file: File,
    named: bool,
}

/// What became of a [`Work`].
#[derive(Debug)]
pub enum Worked {
    /// The file has its final name.
    Named(SnapshotId),
    /// This is what the node must hear.
    Done(SnapshotId, Input<Registers>),
}

impl Work {
    fn begin(task: Task<Registers>) -> Self {
        match task {
            Task::Store(capture) => {
                let file = File::encode(capture.last, &capture.machine);
                Self {
                    id: file.id,
                    state: Some(capture.machine),
                    is_install: false,
                    file,
                    named: false,
                }
            }
            Task::Install(Received { id, bytes }) => {
                let file = File::new(id.last, bytes);
                let state = file.decode().filter(|_| file.id == id);
                Self {
                    id,
                    state,
                    is_install: true,
                    file,
                    named: false,
                }
            }
        }
    }
}

/// What left a node before anything was stored.
#[derive(Debug, Default)]
pub struct Released {
    /// Messages that promise nothing.
    pub messages: Vec<Envelope<Registers>>,
    /// Answers to clients.
    pub replies: Vec<Reply<Registers>>,
    /// Work on a snapshot begins: see [`Life::work`].
    pub begins_work: bool,
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
    ///
    /// # Panics
    /// If the stored snapshot makes no sense.
    pub fn start(&mut self, incarnation: Incarnation, seed: u64) {
        self.disk.recover();
        let snapshot = self.disk.snapshot();
        let machine =
            snapshot.map(|file| file.decode().expect("it was checked when it was stored"));
        let replica = Replica::restore(Restored {
            id: self.id,
            membership: self.membership.clone(),
            config: self.config.clone(),
            ballot: self.disk.ledger().ballot(),
            snapshot: snapshot.map(|file| file.id),
            machine: machine.unwrap_or_default(),
            entries: self.disk.ledger().entries().to_vec(),
            incarnation,
            seed,
        });
        self.life = Some(Life {
            incarnation,
            replica,
            unsynced: VecDeque::new(),
            work: None,
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
        let begins_work = released.task.is_some();
        if let Some(task) = released.task {
            assert!(life.work.is_none(), "one task at a time");
            life.work = Some(Work::begin(task));
        }
        Ok(Released {
            messages: released.messages,
            replies: released.replies,
            begins_work,
        })
    }

    /// Judges a snapshot that is about to be made.
    ///
    /// # Errors
    /// Names the rule that is broken.
    pub fn begins_work(&self, rules: &Rules<Registers>) -> Result<(), Broken> {
        let work = self.life.as_ref().and_then(|life| life.work.as_ref());
        let Some((work, state)) = work.and_then(|work| Some((work, work.state.as_ref()?))) else {
            return Ok(());
        };
        if work.is_install {
            rules.snapshot(self.id, work.id.last, state)
        } else {
            rules.captures(self.id, work.id.last, state, self.disk.ledger())
        }
    }

    /// Whether a snapshot is in the making.
    pub fn is_working(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.work.is_some())
    }

    /// Whether a leader's snapshot is being installed.
    pub fn is_installing(&self) -> bool {
        let work = self.life.as_ref().and_then(|life| life.work.as_ref());
        work.is_some_and(|work| work.is_install)
    }

    /// The next step of the work on a snapshot, if there is any.
    pub fn work(&mut self) -> Option<Worked> {
        let work = self.life.as_mut()?.work.take()?;
        let id = work.id;
        let input = match work.state {
            Some(_) if !work.named => {
                self.disk.put(work.file.clone());
                let work = Work {
                    named: true,
                    ..work
                };
                self.life.as_mut()?.work = Some(work);
                return Some(Worked::Named(id));
            }
            Some(machine) if work.is_install => Input::SnapshotInstalled {
                snapshot: id,
                membership: self.membership.clone(),
                machine,
            },
            Some(_) => Input::SnapshotStored(id),
            None => Input::SnapshotBroken(id),
        };
        Some(Worked::Done(id, input))
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
    /// The snapshot in the making.
    pub fn work(&self) -> Option<&Work> {
        self.work.as_ref()
    }

    /// Checks the node's invariants over an act. A debug build's replica does this for its steps
    /// by itself, but not for its outputs.
    fn checked(&mut self, act: impl FnOnce(&mut Replica<Registers>)) -> Result<(), Violation> {
        let before = self.replica.status();
        act(&mut self.replica);
        self.replica.check_since(&before)
    }
}
