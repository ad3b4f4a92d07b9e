//! The thread that stores and installs snapshots.
//!
//! A million keys take about a second to encode and to store. The event loop passes the task on,
//! continues, and finds the result in its inbox. The replica begins one task at a time.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;
use std::{fmt, thread};

use raft_core::{
    Chunks, Membership, SnapshotId, SnapshotToInstall, SnapshotToStore, StateMachine, Task,
};

use super::inbox::{Inbox, SnapshotResult};
use crate::storage::{Error, Snapshots};

/// A state machine that can be written as bytes, and read again.
pub trait Image: Sized {
    /// Why bytes are not an image of the machine.
    type Error: fmt::Display;

    /// Writes the whole machine.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Reads an image.
    ///
    /// # Errors
    /// The bytes are not an image.
    fn read(bytes: &[u8]) -> Result<Self, Self::Error>;
}

/// A handle of the thread.
#[derive(Debug)]
pub struct SnapshotThread<S> {
    snapshots: Snapshots,
    tasks: SyncSender<Task<S>>,
    /// Why a chunk could not be read.
    read_error: Option<Error>,
}

impl<S> SnapshotThread<S>
where
    S: StateMachine + Image + Send + 'static,
    S::Command: Send + Sync,
    S::Outcome: Send,
    S::Query: Send,
    S::Answer: Send,
{
    /// Starts the thread. Results go to the inbox. The thread ends when the handle is dropped.
    ///
    /// A leader's snapshot is stored only if its cluster has these members: once stored, it
    /// replaces the log before it, and the next start depends on it.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start<A: Send + 'static>(
        snapshots: Snapshots,
        membership: Membership,
        inbox: Arc<Inbox<S, A>>,
    ) -> io::Result<Self> {
        // Room for one, so that the next task never waits for the thread to finish the one before.
        let (tasks, waiting) = sync_channel(1);
        let store = snapshots.clone();
        thread::Builder::new()
            .name("snapshots".into())
            .spawn(move || work(&store, &membership, &waiting, &inbox))?;
        Ok(Self {
            snapshots,
            tasks,
            read_error: None,
        })
    }
}

impl<S> SnapshotThread<S> {
    /// Passes a task to the thread.
    ///
    /// # Panics
    /// If the thread has panicked.
    pub(super) fn begin(&mut self, task: Task<S>) {
        self.tasks
            .send(task)
            .expect("the thread outlives its handle");
    }

    /// Why a chunk could not be read, if one could not.
    pub(super) fn read_error(&mut self) -> Option<Error> {
        self.read_error.take()
    }
}

impl<S> Chunks for SnapshotThread<S> {
    fn read(&mut self, id: SnapshotId, offset: u64, length: usize) -> Option<Vec<u8>> {
        self.snapshots
            .read(id, offset, length)
            .unwrap_or_else(|error| {
                self.read_error = Some(error);
                None
            })
    }
}

/// Works on tasks until the handle is dropped.
fn work<S: StateMachine + Image, A>(
    snapshots: &Snapshots,
    membership: &Membership,
    tasks: &Receiver<Task<S>>,
    inbox: &Inbox<S, A>,
) {
    for task in tasks {
        let began = Instant::now();
        let result = match task {
            Task::Store(capture) => store(snapshots, &capture, began),
            Task::Install(received) => install(snapshots, membership, &received, began),
        };
        inbox.snapshot_finished(
            result.unwrap_or_else(|error| SnapshotResult::Failed(error.to_string())),
        );
    }
}

fn store<S: Image>(
    snapshots: &Snapshots,
    capture: &SnapshotToStore<S>,
    began: Instant,
) -> Result<SnapshotResult<S>, Error> {
    let SnapshotToStore {
        last,
        membership,
        machine,
    } = capture;
    let id = snapshots.store(*last, membership, |out| machine.write(out))?;
    let took = began.elapsed();
    Ok(SnapshotResult::Stored { id, took })
}

fn install<S: Image>(
    snapshots: &Snapshots,
    membership: &Membership,
    SnapshotToInstall { id, bytes }: &SnapshotToInstall,
    began: Instant,
) -> Result<SnapshotResult<S>, Error> {
    let broken = |reason: String| {
        let id = *id;
        Ok(SnapshotResult::Broken { id, reason })
    };
    let file = match snapshots.received(*id, bytes) {
        Ok(file) => file,
        Err(error) => return broken(error.to_string()),
    };
    if file.membership != *membership {
        return broken("its cluster has other members".into());
    }
    let machine = match S::read(file.machine) {
        Ok(machine) => machine,
        Err(error) => return broken(error.to_string()),
    };
    snapshots.install(&file)?;
    Ok(SnapshotResult::Installed {
        id: *id,
        membership: file.membership,
        machine,
        took: began.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use json::{Value, value};
    use raft_core::{EntryId, Index, NodeId, Term};

    use super::*;
    use crate::host::inbox::{Arrival, Peers};
    use crate::kv::{Command, Kv};
    use crate::storage::disk::memory::Memory;
    use crate::storage::{self, Identity};

    struct Setting {
        thread: SnapshotThread<Kv>,
        inbox: Arc<Inbox<Kv, u8>>,
    }

    impl Setting {
        fn new() -> Self {
            let identity = Identity::new("n1", ["n1"]);
            let disk = Arc::new(Memory::new());
            let opened = storage::open::<Command>(disk, &identity, storage::Options::default());
            let inbox = Arc::default();
            let snapshots = opened.unwrap().snapshots;
            let thread =
                SnapshotThread::start(snapshots, membership(), Arc::clone(&inbox)).unwrap();
            Self { thread, inbox }
        }

        fn result(&mut self, task: Task<Kv>) -> SnapshotResult<Kv> {
            self.thread.begin(task);
            let hour = Instant::now() + Duration::from_secs(3600);
            let mut batch = Vec::new();
            self.inbox.drain(hour, Peers::Taken, &mut batch);
            match batch.pop() {
                Some(Arrival::Snapshot(result)) => result,
                other => panic!("{other:?}"),
            }
        }

        fn install(&mut self, id: SnapshotId, bytes: &[u8]) -> SnapshotResult<Kv> {
            let bytes = bytes.to_vec();
            self.result(Task::Install(SnapshotToInstall { id, bytes }))
        }

        fn store(&mut self, machine: Kv) -> SnapshotId {
            self.store_of(membership(), machine)
        }

        fn store_of(&mut self, membership: Membership, machine: Kv) -> SnapshotId {
            let task = Task::Store(SnapshotToStore {
                last: LAST,
                membership,
                machine,
            });
            match self.result(task) {
                SnapshotResult::Stored { id, .. } => id,
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
            let value = value!({"n": key}).into();
            let key = Value::from(key).into();
            machine.apply(&Command::Write { key, value });
        }
        machine
    }

    #[test]
    fn another_node_installs_a_stored_snapshot() {
        let mut one = Setting::new();
        let id = one.store(machine(1_000));
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < id.length {
            let chunk = one.thread.read(id, bytes.len() as u64, 777).unwrap();
            assert!(!chunk.is_empty() && chunk.len() <= 777);
            bytes.extend(chunk);
        }
        let mut other = Setting::new();
        match other.install(id, &bytes) {
            SnapshotResult::Installed {
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
        // And it can send it on.
        assert_eq!(other.thread.read(id, 0, bytes.len()), Some(bytes));
    }

    #[test]
    fn snapshot_that_does_not_fit_its_id_is_broken() {
        let mut one = Setting::new();
        let id = one.store(machine(10));
        let bytes = one.thread.read(id, 0, 1 << 20).unwrap();
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
            assert!(
                matches!(finished, SnapshotResult::Broken { .. }),
                "{finished:?}"
            );
            assert_eq!(other.thread.read(id, 0, 1), None);
        }
    }

    #[test]
    fn snapshot_of_another_machine_is_broken() {
        let one = Setting::new();
        let snapshots = &one.thread.snapshots;
        let stored = snapshots.store(LAST, &membership(), |out| out.write_all(b"a map of Rome\n"));
        let id = stored.unwrap();
        let bytes = snapshots.read(id, 0, 1 << 20).unwrap().unwrap();
        match Setting::new().install(id, &bytes) {
            SnapshotResult::Broken { id: broken, reason } => {
                assert_eq!(broken, id);
                assert!(reason.contains("line 1 of the map"), "{reason}");
            }
            unexpected => panic!("{unexpected:?}"),
        }
    }

    /// If it were stored, the next start would use it as this node's state.
    #[test]
    fn snapshot_of_another_cluster_is_not_stored() {
        let mut one = Setting::new();
        let others = Membership::of([NodeId(0), NodeId(4), NodeId(5)]);
        let id = one.store_of(others, machine(10));
        let bytes = one.thread.read(id, 0, 1 << 20).unwrap();
        let mut other = Setting::new();
        match other.install(id, &bytes) {
            SnapshotResult::Broken { id: broken, reason } => {
                assert_eq!(broken, id);
                assert!(reason.contains("other members"), "{reason}");
            }
            unexpected => panic!("{unexpected:?}"),
        }
        assert_eq!(other.thread.read(id, 0, 1), None);
    }

    #[test]
    fn large_value_is_stored() {
        let mut machine = Kv::default();
        machine.apply(&Command::Write {
            key: Value::Null.into(),
            value: Value::from("x".repeat(3 << 20)).into(),
        });
        let mut setting = Setting::new();
        assert!(setting.store(machine).length > 3 << 20);
    }
}
