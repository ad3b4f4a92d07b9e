//! Snapshots are stored and installed here, on a thread beside the event loop.
//!
//! A million keys take about a second to encode and to store. The loop hands the task over, goes
//! on, and finds the result in its inbox. There is one task at a time; the replica sees to that.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use raft_core::{Capture, Chunks, Membership, Received, SnapshotId, StateMachine, Task};

use super::inbox::Inbox;
use crate::storage::{Error, Snapshots, Whole};

/// A machine that can be written as bytes, and read again.
pub trait Image: Sized {
    /// Why bytes are no image of the machine.
    type Error: fmt::Display;

    /// Writes the whole machine.
    ///
    /// # Errors
    /// The writer's.
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Reads what was written.
    ///
    /// # Errors
    /// It is anything else.
    fn read(bytes: &[u8]) -> Result<Self, Self::Error>;
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished<S> {
    /// The state is stored.
    Stored {
        /// Its name.
        id: SnapshotId,
        /// How long it took.
        took: Duration,
    },
    /// A leader's snapshot is stored.
    Installed {
        /// Its name.
        id: SnapshotId,
        /// Who belonged to the cluster then.
        membership: Membership,
        /// What is in it.
        machine: S,
        /// How long it took.
        took: Duration,
    },
    /// A leader's snapshot is not what it should be.
    Broken {
        /// Its name.
        id: SnapshotId,
        /// What is wrong with it.
        reason: String,
    },
    /// It could not be stored, for this reason. The node must stop.
    Failed(String),
}

/// The thread, and the way to it.
#[derive(Debug)]
pub struct Archive<S> {
    snapshots: Snapshots,
    tasks: SyncSender<Task<S>>,
    /// Why a chunk could not be read.
    failed: Option<Error>,
}

impl<S> Archive<S>
where
    S: StateMachine + Image + Send + 'static,
    S::Command: Send + Sync,
    S::Outcome: Send,
    S::Query: Send,
    S::Answer: Send,
{
    /// Starts the thread. Results go to the inbox. It ends with the archive.
    ///
    /// A leader's snapshot is stored only if it is of a cluster of these members: once it lies in
    /// the folder, the next start rests on it, and what it stands for is deleted.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn start<A: Send + 'static>(
        snapshots: Snapshots,
        membership: Membership,
        inbox: Arc<Inbox<S, A>>,
    ) -> io::Result<Self> {
        // One at a time: the second place is for one that is handed over in the very moment in
        // which the one before it is finished.
        let (tasks, waiting) = sync_channel(1);
        let store = snapshots.clone();
        thread::Builder::new()
            .name("snapshots".into())
            .spawn(move || work(&store, &membership, &waiting, &inbox))?;
        Ok(Self {
            snapshots,
            tasks,
            failed: None,
        })
    }
}

impl<S> Archive<S> {
    /// Hands a task over.
    ///
    /// # Panics
    /// If the thread is gone: it only ends with a panic, which ends the process.
    pub(super) fn begin(&mut self, task: Task<S>) {
        self.tasks.send(task).expect("the thread outlives this");
    }

    /// Why a chunk could not be read, if one could not.
    pub(super) fn failure(&mut self) -> Option<Error> {
        self.failed.take()
    }
}

impl<S> Chunks for Archive<S> {
    fn read(&mut self, id: SnapshotId, offset: u64, length: usize) -> Option<Vec<u8>> {
        self.snapshots
            .read(id, offset, length)
            .unwrap_or_else(|error| {
                self.failed = Some(error);
                None
            })
    }
}

/// Does what is handed over, until nobody is left to do it.
fn work<S: StateMachine + Image, A>(
    snapshots: &Snapshots,
    membership: &Membership,
    tasks: &Receiver<Task<S>>,
    inbox: &Inbox<S, A>,
) {
    for task in tasks {
        let began = Instant::now();
        let finished = match task {
            Task::Store(capture) => store(snapshots, &capture, began),
            Task::Install(received) => install(snapshots, membership, &received, began),
        };
        inbox.finish(finished.unwrap_or_else(|error| Finished::Failed(error.to_string())));
    }
}

fn store<S: Image>(
    snapshots: &Snapshots,
    capture: &Capture<S>,
    began: Instant,
) -> Result<Finished<S>, Error> {
    let Capture {
        last,
        membership,
        machine,
    } = capture;
    let id = snapshots.store(*last, membership, |out| machine.write(out))?;
    let took = began.elapsed();
    Ok(Finished::Stored { id, took })
}

fn install<S: Image>(
    snapshots: &Snapshots,
    membership: &Membership,
    Received { id, bytes }: &Received,
    began: Instant,
) -> Result<Finished<S>, Error> {
    let broken = |reason: String| {
        let id = *id;
        Ok(Finished::Broken { id, reason })
    };
    let whole = match Whole::received(*id, bytes) {
        Ok(whole) => whole,
        Err(error) => return broken(error.to_string()),
    };
    if whole.membership != *membership {
        return broken("it is of a cluster with other members".into());
    }
    let machine = match S::read(whole.machine) {
        Ok(machine) => machine,
        Err(error) => return broken(error.to_string()),
    };
    snapshots.install(&whole)?;
    Ok(Finished::Installed {
        id: *id,
        membership: whole.membership,
        machine,
        took: began.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use json::{Value, value};
    use raft_core::{EntryId, Index, NodeId, Term};

    use super::*;
    use crate::host::inbox::{Arrival, Peers};
    use crate::kv::{Command, Kv};
    use crate::storage::disk::Memory;
    use crate::storage::{self, Identity};

    struct Setting {
        archive: Archive<Kv>,
        inbox: Arc<Inbox<Kv, u8>>,
    }

    impl Setting {
        fn new() -> Self {
            let identity = Identity::new("n1", ["n1"]);
            let disk = Arc::new(Memory::new());
            let opened = storage::open::<Command>(disk, &identity, storage::Options::default());
            let inbox = Arc::default();
            let snapshots = opened.unwrap().snapshots;
            let archive = Archive::start(snapshots, membership(), Arc::clone(&inbox)).unwrap();
            Self { archive, inbox }
        }

        fn result(&mut self, task: Task<Kv>) -> Finished<Kv> {
            self.archive.begin(task);
            let hour = Instant::now() + Duration::from_secs(3600);
            let mut batch = Vec::new();
            self.inbox.drain(hour, Peers::Heard, &mut batch);
            match batch.pop() {
                Some(Arrival::Finished(finished)) => finished,
                other => panic!("{other:?}"),
            }
        }

        fn install(&mut self, id: SnapshotId, bytes: &[u8]) -> Finished<Kv> {
            let bytes = bytes.to_vec();
            self.result(Task::Install(Received { id, bytes }))
        }

        fn store(&mut self, machine: Kv) -> SnapshotId {
            self.store_of(membership(), machine)
        }

        fn store_of(&mut self, membership: Membership, machine: Kv) -> SnapshotId {
            let task = Task::Store(Capture {
                last: LAST,
                membership,
                machine,
            });
            match self.result(task) {
                Finished::Stored { id, .. } => id,
                other => panic!("{other:?}"),
            }
        }
    }

    const LAST: EntryId = EntryId {
        term: Term(3),
        index: Index(70),
    };

    fn membership() -> Membership {
        Membership::of([NodeId(0), NodeId(4)])
    }

    fn machine(keys: u64) -> Kv {
        let mut machine = Kv::default();
        for key in 0..keys {
            let (key, value) = (key.into(), Arc::new(value!({"n": key})));
            machine.apply(&Command::Write { key, value });
        }
        machine
    }

    #[test]
    fn what_one_node_stores_another_installs_in_chunks() {
        let mut one = Setting::new();
        let id = one.store(machine(1_000));
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < id.length {
            let chunk = one.archive.read(id, bytes.len() as u64, 777).unwrap();
            assert!(!chunk.is_empty() && chunk.len() <= 777);
            bytes.extend(chunk);
        }
        let mut other = Setting::new();
        match other.install(id, &bytes) {
            Finished::Installed {
                id: installed,
                membership: members,
                machine: found,
                took: _,
            } => {
                assert_eq!((installed, members), (id, membership()));
                assert_eq!(found, machine(1_000));
            }
            unexpected => panic!("{unexpected:?}"),
        }
        // It can hand it on.
        assert_eq!(other.archive.read(id, 0, bytes.len()), Some(bytes));
    }

    #[test]
    fn what_is_not_what_its_name_says_is_broken() {
        let mut one = Setting::new();
        let id = one.store(machine(10));
        let bytes = one.archive.read(id, 0, 1 << 20).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        let longer = SnapshotId {
            length: id.length + 1,
            ..id
        };
        let mut other = Setting::new();
        for (id, bytes) in [
            (id, &flipped[..]),
            (id, &bytes[1..]),
            (longer, &bytes),
            (id, &[]),
        ] {
            let finished = other.install(id, bytes);
            assert!(matches!(finished, Finished::Broken { .. }), "{finished:?}");
            assert_eq!(other.archive.read(id, 0, 1), None);
        }
    }

    #[test]
    fn a_whole_snapshot_of_something_else_is_broken() {
        let one = Setting::new();
        let snapshots = &one.archive.snapshots;
        let stored = snapshots.store(LAST, &membership(), |out| out.write_all(b"a map of Rome\n"));
        let id = stored.unwrap();
        let bytes = snapshots.read(id, 0, 1 << 20).unwrap().unwrap();
        match Setting::new().install(id, &bytes) {
            Finished::Broken { id: broken, reason } => {
                assert_eq!(broken, id);
                assert!(reason.contains("line 1 of the map"), "{reason}");
            }
            unexpected => panic!("{unexpected:?}"),
        }
    }

    /// If it were stored, the next start would take it for this node's state.
    #[test]
    fn a_snapshot_of_a_cluster_with_other_members_is_not_stored() {
        let mut one = Setting::new();
        let others = Membership::of([NodeId(0), NodeId(4), NodeId(5)]);
        let id = one.store_of(others, machine(10));
        let bytes = one.archive.read(id, 0, 1 << 20).unwrap();
        let mut other = Setting::new();
        match other.install(id, &bytes) {
            Finished::Broken { id: broken, reason } => {
                assert_eq!(broken, id);
                assert!(reason.contains("other members"), "{reason}");
            }
            unexpected => panic!("{unexpected:?}"),
        }
        assert_eq!(other.archive.read(id, 0, 1), None);
    }

    #[test]
    fn a_value_may_be_large() {
        let mut machine = Kv::default();
        machine.apply(&Command::Write {
            key: Value::Null,
            value: Arc::new("x".repeat(3 << 20).into()),
        });
        let mut setting = Setting::new();
        assert!(setting.store(machine).length > 3 << 20);
    }
}
