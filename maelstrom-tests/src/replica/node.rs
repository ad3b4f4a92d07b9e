//! One node: its disk, and the process that runs on it while the node is up.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use raft_core::invariant::Violation;
use raft_core::{
    ChunkToSend, Config, Envelope, Incarnation, Input, Membership, Names, NodeId, Output,
    Persisted, Record, Rename, Replica, Reply, Restored, SnapshotId, SnapshotToInstall,
    SnapshotToStore, Status, Synced, Task, Volatile, Wal,
};

use crate::rules::{Broken, Ledger, Rules, Subject, demand};

/// A node's storage. It outlives the node's process. Its error says why a process cannot go on: the
/// storage failed, or a rule is broken.
pub trait Disk<S: Subject>: Wal<S::Command, Error: From<Broken>> {
    /// Opens the storage for a process that starts, and reads the newest snapshot. The rest of what
    /// it holds is in its [`ledger`](Self::ledger).
    ///
    /// # Errors
    /// If the storage cannot be opened, or if its contents break a rule.
    fn open(&mut self) -> Result<Option<(SnapshotId, Installed<S>)>, Self::Error>;

    /// What the disk has acknowledged.
    fn ledger(&self) -> &Ledger<S::Command>;

    /// Stores a snapshot of the node's own state.
    ///
    /// # Errors
    /// The storage's own. The process must stop.
    fn store_snapshot(&mut self, capture: SnapshotToStore<S>) -> Result<SnapshotId, Self::Error>;

    /// Stores a leader's snapshot and returns the state in it and the members that it names, or
    /// nothing if the bytes are damaged.
    ///
    /// # Errors
    /// The storage's own. The process must stop.
    fn install_snapshot(
        &mut self,
        received: SnapshotToInstall,
    ) -> Result<Option<Installed<S>>, Self::Error>;

    /// Reads a chunk of a stored snapshot.
    ///
    /// # Errors
    /// The storage's own. The process must stop.
    fn read_chunk(&mut self, chunk: ChunkToSend) -> Result<Chunk, Self::Error>;
}

/// The result of reading a chunk.
#[derive(Debug)]
pub enum Chunk {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// The snapshot was replaced, or found damaged before.
    Gone,
    /// The snapshot is damaged.
    Damaged,
}

/// The state in a snapshot, and the members that it names; without any, they are those at the start.
pub type Installed<S> = (S, Option<Membership>);

/// What all nodes of a cluster have in common.
#[derive(Debug)]
pub struct Setting {
    /// The members of the cluster.
    pub membership: Membership,
    /// Their times and limits.
    pub config: Config,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node<S: Subject, D> {
    /// Its id.
    pub id: NodeId,
    /// What it has stored.
    pub disk: D,
    setting: Arc<Setting>,
    process: Option<Process<S>>,
}

/// A running process.
#[derive(Debug)]
pub struct Process<S: Subject> {
    /// Tells this process from earlier ones of the same node.
    pub incarnation: Incarnation,
    /// The product's replica.
    pub replica: Replica<S>,
    /// The replica's present status, kept because computing it costs more than most steps.
    pub status: Status,
    /// Outputs that were taken and are not stored yet, oldest first.
    unsynced: VecDeque<Output<S, Volatile>>,
    /// The proof that the outputs before `unsynced` are stored. A copy of the process takes it from
    /// its replica before its first output.
    persisted: Option<Persisted>,
    /// The work on a snapshot, if there is any.
    pub work: Option<Work<S>>,
}

/// Work on a snapshot. The disk stores it, then the replica is notified. The process may die in
/// between.
#[derive(Clone, Debug, Hash)]
pub enum Work<S> {
    /// Nothing is stored yet.
    Begun(Task<S>),
    /// The node's own snapshot is stored, or a leader's with this state and these members.
    Stored(SnapshotId, Option<(S, Membership)>),
}

/// The result of one step of [`Work`].
#[derive(Debug)]
pub enum Worked<S: Subject> {
    /// The snapshot is stored.
    Named(SnapshotId),
    /// The work is done. The input notifies the replica.
    Done(SnapshotId, Input<S>),
}

/// The messages that waited for a sync, and what the replica needs to know of it.
pub type Receipt<S> = (Vec<Envelope<S>>, Synced);

/// What leaves a process before anything is stored.
#[derive(Debug, Default)]
pub struct Released<S: Subject> {
    /// Messages that promise nothing.
    pub messages: Vec<Envelope<S>>,
    /// Answers to clients.
    pub replies: Vec<Reply<S>>,
    /// Whether work on a snapshot begins: see [`Node::work`].
    pub begins_work: bool,
}

impl<S: Subject, D: Disk<S>> Node<S, D> {
    /// A node that was never started.
    pub fn new(id: NodeId, setting: Arc<Setting>, disk: D) -> Self {
        Self {
            id,
            disk,
            setting,
            process: None,
        }
    }

    /// Its process, while it is up.
    pub fn process(&self) -> Option<&Process<S>> {
        self.process.as_ref()
    }

    /// Starts a process from what is stored.
    ///
    /// # Errors
    /// If the disk cannot be opened, or if its contents break a rule.
    pub fn start(&mut self, incarnation: Incarnation, seed: u64) -> Result<(), D::Error> {
        let (snapshot, (machine, membership)) = match self.disk.open()? {
            Some((id, state)) => (Some(id), state),
            None => (None, Default::default()),
        };
        let membership = membership.unwrap_or_else(|| self.setting.membership.clone());
        let ledger = self.disk.ledger();
        let replica = Replica::restore(Restored {
            id: self.id,
            membership,
            config: self.setting.config.clone(),
            ballot: ledger.ballot,
            snapshot,
            machine,
            entries: ledger.entries.clone(),
            incarnation,
            seed,
        });
        self.process = Some(Process {
            incarnation,
            status: replica.status(),
            replica,
            unsynced: VecDeque::new(),
            persisted: None,
            work: None,
        });
        Ok(())
    }

    /// Ends the process, and returns how many outputs it had not stored.
    pub fn crash(&mut self) -> usize {
        let process = self.process.take();
        process.map_or(0, |process| process.unsynced.len())
    }

    /// Gives the process an input. Does nothing if the node is down.
    ///
    /// # Errors
    /// If that breaks one of the replica's invariants.
    pub fn step(&mut self, input: Input<S>) -> Result<(), Broken> {
        match &mut self.process {
            Some(process) => process.checked(|replica| replica.step(input)),
            None => Ok(()),
        }
    }

    /// Takes the output of all steps since the last call. Returns what may leave at once; the rest
    /// waits for [`Node::sync`].
    ///
    /// # Errors
    /// If the output breaks an invariant, or if the disk fails.
    pub fn release(&mut self) -> Result<Released<S>, D::Error> {
        let mut released = Released::default();
        let Some(process) = &mut self.process else {
            return Ok(released);
        };
        if process.persisted.is_none() {
            process.persisted = Some(process.replica.persisted());
        }
        let mut output = process.checked(Replica::output)?;
        if output.is_empty() {
            // It waits for nothing, and its place is right after the output before it.
            if let Some(before) = process.unsynced.back_mut() {
                before.join(output, usize::MAX);
            } else {
                process.persist(output, &mut self.disk)?;
            }
            return Ok(released);
        }
        let early = output.release();
        process.unsynced.push_back(output);
        released.messages = early.messages;
        for chunk in early.chunks {
            match self.disk.read_chunk(chunk)? {
                Chunk::Bytes(bytes) => released.messages.push(chunk.message(bytes)),
                Chunk::Gone => {}
                Chunk::Damaged => {
                    let damaged = Input::SnapshotDamaged(chunk.snapshot);
                    process.checked(|replica| replica.step(damaged))?;
                }
            }
        }
        released.replies = early.replies;
        if let Some(task) = early.task {
            demand(process.work.is_none(), || {
                format!("node {} must have one snapshot task at a time", self.id)
            })?;
            process.work = Some(Work::Begun(task));
            released.begins_work = true;
        }
        Ok(released)
    }

    /// The number of outputs that are not stored yet.
    pub fn unsynced(&self) -> usize {
        self.process().map_or(0, |process| process.unsynced.len())
    }

    /// Whether some records wait for the disk.
    pub fn waits_for_disk(&self) -> bool {
        let mut unsynced = self.process().into_iter().flat_map(|p| &p.unsynced);
        unsynced.any(|output| !output.records().is_empty())
    }

    /// The records that [`Node::sync`] would store.
    pub fn unsynced_records(&self) -> &[Record<S::Command>] {
        let oldest = self.process().and_then(|process| process.unsynced.front());
        oldest.map_or(&[], |output| output.records())
    }

    /// Stores the oldest output. Returns the messages that waited for it, and the receipt that the
    /// replica needs.
    ///
    /// # Errors
    /// The disk's own. The process must stop.
    pub fn sync(&mut self) -> Result<Option<Receipt<S>>, D::Error> {
        let Some(process) = &mut self.process else {
            return Ok(None);
        };
        let oldest = process.unsynced.pop_front();
        oldest
            .map(|output| process.persist(output, &mut self.disk))
            .transpose()
    }

    /// Makes the two oldest outputs one, which [`Node::sync`] then stores with one sync. Returns
    /// whether there are two.
    pub fn join(&mut self) -> bool {
        if let Some(Process { unsynced, .. }) = &mut self.process
            && let Some(next) = unsynced.remove(1)
        {
            unsynced[0].join(next, usize::MAX);
            return true;
        }
        false
    }

    /// Does the next step of the work on a snapshot, if there is any.
    ///
    /// # Errors
    /// The disk's own. The process must stop.
    pub fn work(&mut self) -> Result<Option<Worked<S>>, D::Error> {
        let Some(process) = &mut self.process else {
            return Ok(None);
        };
        let disk = &mut self.disk;
        let (id, installed) = match process.work.take() {
            None => return Ok(None),
            Some(Work::Begun(Task::Store(capture))) => (disk.store_snapshot(capture)?, None),
            Some(Work::Begun(Task::Install(received))) => {
                let id = received.id;
                let Some((machine, members)) = disk.install_snapshot(received)? else {
                    return Ok(Some(Worked::Done(id, Input::SnapshotBroken(id))));
                };
                let members = members.unwrap_or_else(|| self.setting.membership.clone());
                (id, Some((machine, members)))
            }
            Some(Work::Stored(snapshot, installed)) => {
                let input = match installed {
                    None => Input::SnapshotStored(snapshot),
                    Some((machine, membership)) => Input::SnapshotInstalled {
                        snapshot,
                        membership,
                        machine,
                    },
                };
                return Ok(Some(Worked::Done(snapshot, input)));
            }
        };
        process.work = Some(Work::Stored(id, installed));
        Ok(Some(Worked::Named(id)))
    }

    /// Checks the snapshot that is being stored.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn check_work(&self, rules: &Rules<S>) -> Result<(), Broken> {
        match self.process().and_then(|process| process.work.as_ref()) {
            Some(Work::Begun(Task::Store(SnapshotToStore {
                last,
                membership,
                machine,
            }))) => rules.captures(self.id, *last, membership, machine, self.disk.ledger()),
            Some(Work::Stored(id, Some((machine, membership)))) => {
                rules.snapshot(self.id, id.last, membership, machine)
            }
            Some(Work::Begun(Task::Install(_)) | Work::Stored(_, None)) | None => Ok(()),
        }
    }

    /// Shows the node to the rules of the cluster, whose disks are `disks`.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn observe<'a>(
        &self,
        rules: &mut Rules<S>,
        disks: impl Iterator<Item = (NodeId, &'a Ledger<S::Command>)> + Clone,
    ) -> Result<(), Broken>
    where
        S: 'a,
    {
        let Some(process) = self.process() else {
            return Ok(());
        };
        let (replica, status) = (&process.replica, &process.status);
        let (base, disk) = (status.base, self.disk.ledger());
        rules.synced(self.id, base, replica.log(), status.synced, disk)?;
        rules.observe(self.id, process.incarnation, replica, status, disks)
    }
}

impl<S: Subject> Process<S> {
    /// Whether a snapshot of the node's own state is being stored.
    pub fn is_capturing(&self) -> bool {
        let work = self.work.as_ref();
        work.is_some_and(|work| matches!(work, Work::Begun(Task::Store(_)) | Work::Stored(_, None)))
    }

    /// Stores an output.
    fn persist<W: Wal<S::Command>>(
        &mut self,
        output: Output<S, Volatile>,
        disk: &mut W,
    ) -> Result<Receipt<S>, W::Error> {
        let before = self.persisted.take().expect("no process outlives an error");
        let (durable, persisted) = output.persist(before, disk)?;
        self.persisted = Some(persisted);
        Ok(durable.finish())
    }

    /// Checks the replica's invariants over an act.
    fn checked<T>(&mut self, act: impl FnOnce(&mut Replica<S>) -> T) -> Result<T, Broken> {
        let returned = act(&mut self.replica);
        let checked = self.replica.check_since(&self.status);
        checked.map_err(|Violation(rule)| Broken(format!("invariant: {rule}")))?;
        self.status = self.replica.status();
        Ok(returned)
    }
}

/// Copies the process without the outputs that are not stored yet: an [`Output`] is stored once.
impl<S: Subject + Clone> Clone for Process<S> {
    fn clone(&self) -> Self {
        Self {
            incarnation: self.incarnation,
            replica: self.replica.clone(),
            status: self.status.clone(),
            unsynced: VecDeque::new(),
            persisted: None,
            work: self.work.clone(),
        }
    }
}

/// Two nodes hash alike if they behave alike, clocks aside.
impl<S: Subject, D: Hash> Hash for Node<S, D>
where
    Replica<S>: Hash,
{
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The replica knows its id and its incarnation.
        let process = self.process.as_ref();
        (&self.disk, process.map(|p| (&p.replica, &p.work))).hash(state);
    }
}

impl<S: Subject, D: Rename> Rename for Node<S, D>
where
    Replica<S>: Rename,
{
    fn rename(&mut self, names: &mut dyn Names) {
        self.id.rename(names);
        self.disk.rename(names);
        if let Some(process) = &mut self.process {
            process.incarnation.rename(names);
            process.replica.rename(names);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use raft_core::{EntryId, Limits};

    use super::*;
    use crate::replica::disk::{File, MemoryDisk};
    use crate::replica::machine::Registers;

    /// A lone voter that takes a snapshot of each entry.
    pub(crate) fn lone_voter() -> Node<Registers, MemoryDisk> {
        let config = Config {
            heartbeat: 1,
            shortest_election: 2,
            longest_election: 2,
            request_deadline: 4,
            change_deadline: 5,
            limits: Limits {
                snapshot_entries: 1,
                ..Limits::default()
            },
        };
        let membership = Membership::of([NodeId(1)]);
        let setting = Arc::new(Setting { membership, config });
        let mut node = Node::new(NodeId(1), setting, MemoryDisk::default());
        node.start(Incarnation(1), 1).unwrap();
        node
    }

    /// Ten ticks, with their outputs and syncs.
    pub(crate) fn run(node: &mut Node<Registers, MemoryDisk>) -> Result<(), Broken> {
        for _ in 0..10 {
            node.step(Input::Tick)?;
            node.release()?;
            while let Some((_, synced)) = node.sync()? {
                node.step(Input::Synced(synced))?;
            }
        }
        Ok(())
    }

    #[test]
    fn replica_that_returns_to_an_earlier_state_is_rejected() {
        let mut node = lone_voter();
        let young = node.process.as_ref().unwrap().replica.clone();
        run(&mut node).unwrap();
        let process = node.process.as_mut().unwrap();
        let Broken(rule) = process.checked(|replica| *replica = young).unwrap_err();
        assert_eq!(
            rule,
            "invariant: the commit index must never fall (1@1 to 0@0)"
        );
    }

    #[test]
    fn second_snapshot_task_at_a_time_is_rejected() {
        let mut node = lone_voter();
        let file = File::encode(
            EntryId::default(),
            &Membership::default(),
            &Registers::default(),
        );
        node.process.as_mut().unwrap().work = Some(Work::Stored(file.id, None));
        let Broken(rule) = run(&mut node).unwrap_err();
        assert_eq!(rule, "node 1 must have one snapshot task at a time");
    }
}
