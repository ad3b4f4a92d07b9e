//! The thread that stores and installs snapshots.
//!
//! A million keys take about a second to encode and to store. The event loop passes the task on,
//! continues, and finds the result in its inbox. The replica begins one task at a time.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use raft_core::{
    Chunks, Membership, SnapshotId, SnapshotToInstall, SnapshotToStore, StateMachine, Task,
};

use super::inbox::{Inbox, LogResult, SnapshotResult};
use crate::storage::{Error, Snapshots};

/// The time before each few files are made or removed.
const PAUSE: Duration = Duration::from_millis(5);

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
    /// `None` only wakes the thread.
    tasks: SyncSender<Option<Task<S>>>,
    /// Whether a wake-up is on its way.
    is_woken: Arc<AtomicBool>,
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
        // Room for a task and a wake-up, so that none waits until the thread has finished another.
        let (tasks, waiting) = sync_channel(2);
        let store = snapshots.clone();
        let is_woken = Arc::new(AtomicBool::new(false));
        let woken = is_woken.clone();
        thread::Builder::new()
            .name("snapshots".into())
            .spawn(move || work(&store, &membership, &waiting, &woken, &inbox))?;
        Ok(Self {
            snapshots,
            tasks,
            is_woken,
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
            .send(Some(task))
            .expect("the thread outlives its handle");
    }

    /// Wakes the thread if files are to be made or removed.
    pub(super) fn maintain(&self) {
        if self.snapshots.maintenance_is_due() && !self.is_woken.swap(true, Ordering::Relaxed) {
            self.tasks
                .send(None)
                .expect("the thread outlives its handle");
        }
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

/// Works on tasks until the handle is dropped. After each task it makes and removes a few files, and
/// further ones while there is no task, with pauses, so that it never keeps the disk from the log
/// for long.
fn work<S: StateMachine + Image, A>(
    snapshots: &Snapshots,
    membership: &Membership,
    tasks: &Receiver<Option<Task<S>>>,
    is_woken: &AtomicBool,
    inbox: &Inbox<S, A>,
) {
    let mut has_failed = false;
    loop {
        let next = match snapshots.maintenance_is_due() && !has_failed {
            true => tasks.recv_timeout(PAUSE),
            false => tasks.recv().map_err(RecvTimeoutError::from),
        };
        let began = Instant::now();
        let result = match next {
            Ok(Some(Task::Store(capture))) => Some(store(snapshots, &capture, began)),
            Ok(Some(Task::Install(received))) => {
                Some(install(snapshots, membership, &received, began))
            }
            Ok(None) => {
                is_woken.store(false, Ordering::Relaxed);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if let Some(result) = result {
            has_failed |= result.is_err();
            let failed = |error: Error| SnapshotResult::Failed(error.to_string());
            inbox.snapshot_finished(result.unwrap_or_else(failed));
        }
        if !has_failed && let Err(error) = snapshots.maintain() {
            has_failed = true;
            inbox.log_stored(LogResult::Failed(error.to_string()));
        }
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

    /// It is made without being asked for.
    #[test]
    fn thread_makes_the_spare_file() {
        let setting = Setting::new();
        while setting.thread.snapshots.maintenance_is_due() {
            std::thread::yield_now();
        }
        setting.thread.maintain();
        assert!(!setting.thread.is_woken.load(Ordering::Relaxed));
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
