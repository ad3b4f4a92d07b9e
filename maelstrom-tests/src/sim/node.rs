//! One node of the simulated cluster: the product's replica on the product's storage, on a disk
//! that breaks.
//!
//! Beside the disk stands a [`Ledger`] of what the disk has acknowledged. Each start is held to it:
//! storage must bring back all of that, and nothing else but the one batch that was being written
//! when the process ended.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use raft::host::Image;
use raft::storage::{self, Error, Identity, Log, Opened, Snapshots, Whole};
use raft_core::invariant::Violation;
use raft_core::{
    Capture, Chunks, Config, EntryId, Envelope, Incarnation, Input, Membership, NodeId, Output,
    Received, Record, Replica, Reply, Restored, SnapshotId, Status, Synced, Task, Volatile,
};

use super::machine::{Command, Store};
use crate::replica::faulty_disk::{FaultyDisk, Tear};
use crate::rules::{Broken, Ledger};

/// A node: its disk, and its present life.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) disk: FaultyDisk,
    setting: Arc<Setting>,
    /// What its disk has acknowledged.
    ledger: Ledger<Command>,
    /// What was being stored when a process ended. It may be found, or not.
    unheard: Vec<Record<Command>>,
    /// The newest snapshot that its disk has acknowledged.
    snapshot: Option<SnapshotId>,
    /// The last entry of one that was being stored when a process ended.
    unheard_snapshot: Option<EntryId>,
    life: Option<Life>,
}

/// What all nodes of a cluster have in common.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) membership: Membership,
    pub(super) config: Config,
    pub(super) storage: storage::Options,
}

/// From a start of the process to its end.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    pub(super) replica: Replica<Store>,
    /// Its state at a glance, as it is now. To look it up costs more than most steps do.
    pub(super) status: Status,
    log: Log,
    snapshots: Snapshots,
    /// Outputs that were taken and not stored yet, oldest first.
    unsynced: VecDeque<Output<Store, Volatile>>,
    work: Option<Work>,
}

/// A snapshot in the making: it is stored, and then the node hears of it.
#[derive(Debug)]
enum Work {
    Begun(Task<Store>),
    Ended(SnapshotId, Box<Input<Store>>),
}

/// What became of the work on a snapshot.
#[derive(Debug)]
pub(super) enum Worked {
    /// It is stored.
    Named(SnapshotId),
    /// This is what the node must hear.
    Ended(SnapshotId, Box<Input<Store>>),
}

/// What left a node before anything was stored.
#[derive(Debug, Default)]
pub(super) struct Released {
    pub(super) messages: Vec<Envelope<Store>>,
    pub(super) replies: Vec<Reply<Store>>,
    /// Work on a snapshot begins: see [`Node::begins`].
    pub(super) begins_work: bool,
}

/// What comes of an output that is stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// What waited for that.
    pub(super) messages: Vec<Envelope<Store>>,
    /// What the node wants to see.
    pub(super) receipt: Synced,
}

/// What a start found on the disk.
#[derive(Debug)]
pub(super) struct Found {
    /// How many bytes of a torn batch were cut.
    pub(super) torn: u64,
    /// A batch, or a snapshot, that nobody had heard of.
    pub(super) unheard: bool,
    /// The snapshot that the node started from.
    pub(super) snapshot: Option<SnapshotId>,
    /// That snapshot had no base record in the log.
    pub(super) rebased: bool,
}

/// How a node could not do something.
#[derive(Debug)]
pub(super) enum Stop {
    /// It did something that it must never do.
    Broken(Broken),
    /// Its storage can't go on, and so neither can the process.
    Storage(Error),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}

impl From<Violation> for Stop {
    fn from(Violation(rule): Violation) -> Self {
        Self::Broken(Broken(format!("invariant: {rule}")))
    }
}

impl Node {
    /// A node that was never started, on an empty disk.
    pub(super) fn new(id: NodeId, setting: Arc<Setting>, seed: u64) -> Self {
        Self {
            id,
            disk: FaultyDisk::new(seed),
            setting,
            ledger: Ledger::default(),
            unheard: Vec::new(),
            snapshot: None,
            unheard_snapshot: None,
            life: None,
        }
    }

    /// Its present life, while it has one.
    pub(super) fn life(&self) -> Option<&Life> {
        self.life.as_ref()
    }

    /// What its disk has acknowledged.
    pub(super) fn ledger(&self) -> &Ledger<Command> {
        &self.ledger
    }

    /// Starts the process from what is on the disk.
    pub(super) fn start(&mut self, incarnation: Incarnation, seed: u64) -> Result<Found, Stop> {
        let setting = self.setting.clone();
        let Setting {
            membership,
            config,
            storage,
        } = &*setting;
        let name = |node: NodeId| format!("n{node}");
        let identity = Identity::new(&name(self.id), membership.voters().map(name));
        let disk = Arc::new(self.disk.clone());
        let opened = storage::open::<Command>(disk, &identity, *storage)?;
        let Opened {
            log,
            snapshots,
            recovered,
        } = opened;
        let snapshot = recovered.snapshot.as_ref().map(|snapshot| snapshot.id);
        let base = recovered.base();
        let entries = recovered.entries;
        let holds = Ledger::holding(recovered.ballot, base, entries.clone());
        let found = self.recognize(holds, snapshot, recovered.torn)?;
        let machine = match recovered.snapshot {
            None => Store::default(),
            Some(snapshot) => {
                demand(snapshot.membership == *membership, || {
                    format!("the snapshot of node {} is of its cluster", self.id)
                })?;
                Store::read(&snapshot.machine).map_err(|error| {
                    Broken(format!("what node {} stored can be read: {error}", self.id))
                })?
            }
        };
        let replica = Replica::restore(Restored {
            id: self.id,
            membership: membership.clone(),
            config: config.clone(),
            ballot: recovered.ballot,
            snapshot,
            machine,
            entries,
            incarnation,
            seed,
        });
        self.life = Some(Life {
            incarnation,
            status: replica.status(),
            replica,
            log,
            snapshots,
            unsynced: VecDeque::new(),
            work: None,
        });
        Ok(found)
    }

    /// Holds what was found on the disk to what the disk had acknowledged.
    fn recognize(
        &mut self,
        holds: Ledger<Command>,
        snapshot: Option<SnapshotId>,
        torn: u64,
    ) -> Result<Found, Broken> {
        let id = self.id;
        let unheard_snapshot = self.unheard_snapshot.take();
        let is_new = snapshot != self.snapshot;
        let is_unheard = snapshot.is_some_and(|found| Some(found.last) == unheard_snapshot);
        demand(!is_new || is_unheard, || {
            format!(
                "the newest stored snapshot is found: node {id} finds {snapshot:?}, stored was {:?}, and \
                     maybe {unheard_snapshot:?}",
                self.snapshot
            )
        })?;
        let heard = self.ledger.clone();
        let mut all = heard.clone();
        for record in mem::take(&mut self.unheard) {
            all.store(&record);
        }
        let based = |mut ledger: Ledger<Command>| {
            // A log never begins before a base that was stored, nor anywhere but behind the
            // snapshot.
            let rebased = holds.base().index > ledger.base().index
                && snapshot.is_some_and(|found| found.last == holds.base());
            if rebased {
                ledger.store(&Record::Base(holds.base()));
            }
            (ledger, rebased)
        };
        let (heard, heard_rebased) = based(heard);
        let (all, all_rebased) = based(all);
        let (unheard, rebased) = if holds == heard {
            (false, heard_rebased)
        } else if holds == all {
            (true, all_rebased)
        } else {
            return Err(Broken(format!(
                "what was stored is found: node {id} stored {heard:?} and maybe {all:?}, and finds {holds:?}"
            )));
        };
        self.ledger = holds;
        self.snapshot = snapshot;
        Ok(Found {
            torn,
            unheard: unheard || is_new,
            snapshot,
            rebased,
        })
    }

    /// Ends the process. `content` and `names` say what is left of what was not synced. Returns how
    /// many outputs are lost.
    pub(super) fn die(&mut self, content: Tear, names: Tear) -> usize {
        let lost = self.life.take().map_or(0, |life| life.unsynced.len());
        self.disk.restart(content, names);
        lost
    }

    /// The disk forgets all that it was ever given.
    pub(super) fn forget(&mut self, seed: u64) {
        *self = Self::new(self.id, self.setting.clone(), seed);
    }

    /// Something happens to the process; nothing does if there is none.
    pub(super) fn step(&mut self, input: Input<Store>) -> Result<(), Stop> {
        match &mut self.life {
            Some(life) => Ok(life.checked(|replica| replica.step(input))?),
            None => Ok(()),
        }
    }

    /// Takes the output of all that happened since the last one: what may leave at once is
    /// returned, and the rest waits for [`Node::sync`].
    pub(super) fn release(&mut self) -> Result<Released, Stop> {
        let Some(life) = &mut self.life else {
            return Ok(Released::default());
        };
        let mut output = None;
        life.checked(|replica| output = Some(replica.output()))?;
        let Some(mut output) = output.filter(|output| !output.is_empty()) else {
            return Ok(Released::default());
        };
        let mut shelf = Shelf {
            snapshots: &life.snapshots,
            failed: None,
        };
        let released = output.release(&mut shelf);
        if let Some(error) = shelf.failed {
            return Err(error.into());
        }
        life.unsynced.push_back(output);
        let begins_work = released.task.is_some();
        if let Some(task) = released.task {
            demand(life.work.is_none(), || {
                "a node has one task at a time".into()
            })?;
            life.work = Some(Work::Begun(task));
        }
        Ok(Released {
            messages: released.messages,
            replies: released.replies,
            begins_work,
        })
    }

    /// How many outputs wait to be stored.
    pub(super) fn unsynced(&self) -> usize {
        self.life.as_ref().map_or(0, |life| life.unsynced.len())
    }

    /// Stores the oldest output that waits, if one does.
    pub(super) fn sync(&mut self) -> Result<Option<Stored>, Stop> {
        let Some(life) = &mut self.life else {
            return Ok(None);
        };
        let Some(output) = life.unsynced.pop_front() else {
            return Ok(None);
        };
        self.unheard = output.records().to_vec();
        let durable = output.persist(&mut life.log)?;
        for record in mem::take(&mut self.unheard) {
            self.ledger.store(&record);
        }
        let (messages, receipt) = durable.finish();
        Ok(Some(Stored { messages, receipt }))
    }

    /// The next step of the work on a snapshot, if there is any.
    pub(super) fn work(&mut self) -> Result<Option<Worked>, Stop> {
        let Some(life) = &mut self.life else {
            return Ok(None);
        };
        let (id, input) = match life.work.take() {
            None => return Ok(None),
            Some(Work::Ended(id, input)) => return Ok(Some(Worked::Ended(id, input))),
            Some(Work::Begun(Task::Store(Capture {
                last,
                membership,
                machine,
            }))) => {
                self.unheard_snapshot = Some(last);
                let write = |out: &mut dyn std::io::Write| machine.write(out);
                let id = life.snapshots.store(last, &membership, write)?;
                (id, Input::SnapshotStored(id))
            }
            Some(Work::Begun(Task::Install(Received { id, bytes }))) => {
                let whole = Whole::received(id, &bytes).ok();
                let machine = whole.as_ref().map(|whole| Store::read(whole.machine));
                let (Some(whole), Some(Ok(machine))) = (whole, machine) else {
                    let input = Box::new(Input::SnapshotBroken(id));
                    return Ok(Some(Worked::Ended(id, input)));
                };
                self.unheard_snapshot = Some(id.last);
                life.snapshots.install(&whole)?;
                let membership = whole.membership;
                (
                    id,
                    Input::SnapshotInstalled {
                        snapshot: id,
                        membership,
                        machine,
                    },
                )
            }
        };
        self.unheard_snapshot = None;
        self.snapshot = Some(id);
        life.work = Some(Work::Ended(id, Box::new(input)));
        Ok(Some(Worked::Named(id)))
    }
}

impl Life {
    /// The snapshot of its own state that it begins to make: its last entry, and the state.
    pub(super) fn captures(&self) -> Option<(EntryId, &Store)> {
        match &self.work {
            Some(Work::Begun(Task::Store(capture))) => Some((capture.last, &capture.machine)),
            Some(Work::Begun(Task::Install(_)) | Work::Ended(..)) | None => None,
        }
    }

    /// Whether it is making a snapshot of its own state.
    pub(super) fn is_capturing(&self) -> bool {
        match &self.work {
            Some(Work::Begun(task)) => matches!(task, Task::Store(_)),
            Some(Work::Ended(_, input)) => matches!(**input, Input::SnapshotStored(_)),
            None => false,
        }
    }

    /// Whether it is storing a leader's snapshot.
    pub(super) fn is_installing(&self) -> bool {
        self.work.is_some() && !self.is_capturing()
    }

    /// Whether a snapshot is in the making.
    pub(super) fn works(&self) -> bool {
        self.work.is_some()
    }

    /// What [`Node::sync`] would store.
    pub(super) fn unsynced_records(&self) -> &[Record<Command>] {
        let oldest = self.unsynced.front();
        oldest.map_or(&[], |output| output.records())
    }

    /// How many bytes its log takes on disk.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Checks the node's invariants over an act. A debug build's replica does this for its steps
    /// by itself, but not for its outputs.
    fn checked(&mut self, act: impl FnOnce(&mut Replica<Store>)) -> Result<(), Violation> {
        act(&mut self.replica);
        self.replica.check_since(&self.status)?;
        self.status = self.replica.status();
        Ok(())
    }
}

/// The snapshots of a node, as its output reads them.
struct Shelf<'a> {
    snapshots: &'a Snapshots,
    /// Why one could not be read.
    failed: Option<Error>,
}

impl Chunks for Shelf<'_> {
    fn read(&mut self, id: SnapshotId, offset: u64, length: usize) -> Option<Vec<u8>> {
        match self.snapshots.read(id, offset, length) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}

pub(super) fn demand(holds: bool, rule: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(rule())) }
}
