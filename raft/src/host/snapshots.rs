//! The threads that store, install and read snapshots.
//!
//! A million keys take about a second to encode and to store. The event loop passes the task on,
//! continues, and finds the result in its inbox. The replica begins one task at a time. A second
//! thread reads the chunks that followers need, so that no task delays them.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use raft_core::{ChunkToSend, SnapshotToInstall, SnapshotToStore, StateMachine, Task};

use super::inbox::{Arrival, Inbox, SnapshotResult};
use super::log::not_stored;
use crate::storage::{Error, ErrorKind, Snapshots};

/// The most chunks that wait to be read. One more is dropped, as a network may drop it.
const CHUNKS: usize = 256;

/// The time before each few files are made or removed.
const PAUSE: Duration = Duration::from_millis(5);

/// A state machine that can be written as bytes, and read again.
pub trait Image: Sized {
    /// Writes the whole machine.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Reads an image.
    ///
    /// # Errors
    /// Why the bytes are not an image.
    fn read(bytes: &[u8]) -> Result<Self, String>;
}

/// Work for the thread that stores and installs.
#[derive(Debug)]
pub(super) enum Job<S> {
    Begin(Task<S>),
    /// Free machines, which takes long.
    Discard([S; 2]),
    /// Look for files to make or to remove.
    Wake,
}

/// A handle of the threads.
#[derive(Debug)]
pub struct SnapshotThread<S> {
    /// The snapshots that the threads store and read.
    pub(crate) snapshots: Snapshots,
    jobs: SyncSender<Job<S>>,
    chunks: SyncSender<ChunkToSend>,
    /// Whether a wake-up is on its way, or none is needed.
    is_woken: Arc<AtomicBool>,
}

impl<S> SnapshotThread<S>
where
    S: StateMachine + Image + Send + 'static,
    S::Command: Send + Sync,
    S::Outcome: Send,
    S::Query: Send,
    S::Answer: Send,
{
    /// Starts the threads. Results go to the inbox. The threads end when the handle is dropped.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start<A: Send + 'static>(
        snapshots: Snapshots,
        inbox: Arc<Inbox<S, A>>,
    ) -> io::Result<Self> {
        // Room for one of each kind, so that none waits until the thread has finished another.
        let (jobs, waiting) = sync_channel(3);
        let (chunks, wanted) = sync_channel(CHUNKS);
        let (store, stored, outbound) = (snapshots.clone(), snapshots.clone(), inbox.clone());
        let is_woken = Arc::new(AtomicBool::new(false));
        let woken = is_woken.clone();
        thread::Builder::new()
            .name("snapshots".into())
            .spawn(move || work(&store, &waiting, &woken, &inbox))?;
        thread::Builder::new()
            .name("chunks".into())
            .spawn(move || {
                wanted
                    .iter()
                    .for_each(|chunk| read(&stored, chunk, &outbound))
            })?;
        Ok(Self {
            snapshots,
            jobs,
            chunks,
            is_woken,
        })
    }
}

impl<S> SnapshotThread<S> {
    /// Passes work to the thread.
    ///
    /// # Panics
    /// If the thread has panicked.
    pub(super) fn pass(&self, job: Job<S>) {
        let passed = self.jobs.send(job);
        assert!(passed.is_ok(), "the thread outlives its handle");
    }

    /// Reads chunks on the other thread. They arrive in the inbox, as messages to send.
    pub(super) fn send(&self, chunks: Vec<ChunkToSend>) {
        for chunk in chunks {
            // A full queue drops it: see [`CHUNKS`].
            let _ = self.chunks.try_send(chunk);
        }
    }

    /// Wakes the thread if files are to be made or removed.
    pub(super) fn maintain(&self) {
        if self.snapshots.maintenance.is_due() && !self.is_woken.swap(true, Ordering::SeqCst) {
            self.pass(Job::Wake);
        }
    }
}

/// Reads a chunk, and puts the message into the inbox.
fn read<S: StateMachine, A>(snapshots: &Snapshots, chunk: ChunkToSend, inbox: &Inbox<S, A>) {
    let id = chunk.snapshot;
    match snapshots.read(id, chunk.offset, chunk.length) {
        Ok(Some(bytes)) => inbox.finished(Arrival::Chunk(chunk.message(bytes))),
        // A newer snapshot replaced it, or it was reported already.
        Ok(None) => {}
        Err(error) if error.kind() == ErrorKind::Damaged => inbox.found_damaged(id, error.fact()),
        Err(error) => inbox.finished(failed(&error)),
    }
}

/// A snapshot cannot be stored or read, for this reason.
fn failed<S: StateMachine, A>(reason: &Error) -> Arrival<S, A> {
    Arrival::Failed(format!("a snapshot cannot be stored: {reason}"))
}

/// Works until the handle is dropped. After each task it makes and removes a few files, and further
/// ones while there is no task, with pauses, so that it never keeps the disk from the log for long.
fn work<S: StateMachine + Image, A>(
    snapshots: &Snapshots,
    jobs: &Receiver<Job<S>>,
    is_woken: &AtomicBool,
    inbox: &Inbox<S, A>,
) {
    let mut has_failed = false;
    loop {
        // From here on, what becomes due wakes the thread. While it waits for the pause to end, it
        // needs no other: under load they would come faster than the pause ends.
        is_woken.store(has_failed, Ordering::SeqCst);
        let next = if snapshots.maintenance.is_due() && !has_failed {
            is_woken.store(true, Ordering::SeqCst);
            jobs.recv_timeout(PAUSE)
        } else {
            jobs.recv().map_err(RecvTimeoutError::from)
        };
        let began = Instant::now();
        let result = match next {
            Ok(Job::Begin(Task::Store(capture))) => Some(store(snapshots, &capture, began)),
            Ok(Job::Begin(Task::Install(received))) => Some(install(snapshots, &received, began)),
            Ok(Job::Discard(machines)) => {
                drop(machines);
                continue;
            }
            Ok(Job::Wake) => continue,
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if let Some(result) = result {
            has_failed |= result.is_err();
            inbox.finished(result.map_or_else(|error| failed(&error), Arrival::Snapshot));
        }
        if !has_failed && let Err(error) = snapshots.maintenance.maintain() {
            has_failed = true;
            inbox.finished(not_stored(error));
        }
        if let Some(error) = snapshots.maintenance.take_warning() {
            inbox.finished(Arrival::Snapshot(SnapshotResult::NoSpare(error.fact())));
        }
    }
}

fn store<S: Image>(
    snapshots: &Snapshots,
    capture: &SnapshotToStore<S>,
    began: Instant,
) -> Result<SnapshotResult<S>, Error> {
    let write = |out: &mut dyn Write| capture.machine.write(out);
    let id = snapshots.store(capture.last, &capture.membership, write)?;
    let took = began.elapsed();
    Ok(SnapshotResult::Stored { id, took })
}

fn install<S: Image>(
    snapshots: &Snapshots,
    SnapshotToInstall { id, bytes }: &SnapshotToInstall,
    began: Instant,
) -> Result<SnapshotResult<S>, Error> {
    let id = *id;
    let file = snapshots.received(id, bytes);
    let read = file.map_err(|(_, what)| what.to_owned()).and_then(|file| {
        let machine = S::read(file.machine)?;
        Ok((file, machine))
    });
    let (file, machine) = match read {
        Ok(read) => read,
        Err(reason) => return Ok(SnapshotResult::Broken { id, reason }),
    };
    snapshots.install(&file)?;
    Ok(SnapshotResult::Installed {
        id,
        membership: file.membership,
        machine,
        took: began.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use json::{Value, value};
    use raft_core::{
        Ballot, EntryId, Incarnation, Index, Membership, Message, NodeId, Record, RequestId,
        SnapshotId, Term, Wal,
    };

    use super::*;
    use crate::host::inbox::Peers;
    use crate::kv::{Command, Kv};
    use crate::storage::disk::memory::Memory;
    use crate::storage::disk::real::Real;
    use crate::storage::disk::{self, Disk};
    use crate::storage::{self, Cluster, Identity, Log};

    struct Setting {
        log: Log,
        thread: SnapshotThread<Kv>,
        inbox: Arc<Inbox<Kv, u8>>,
    }

    impl Setting {
        fn new() -> Self {
            Self::with(Arc::new(Memory::new()), || ())
        }

        /// Calls `spoil` before the threads start.
        fn with(disk: Arc<dyn Disk>, spoil: impl FnOnce()) -> Self {
            Self::of(Cluster::of(["n1"]), disk, spoil)
        }

        fn of(cluster: Cluster, disk: Arc<dyn Disk>, spoil: impl FnOnce()) -> Self {
            let identity = Identity::new(cluster, "n1", NodeId(0), 1);
            let segment_bytes = storage::SEGMENT_BYTES_MIN;
            let opened = storage::open::<Command>(disk, &identity, None, segment_bytes);
            let inbox = Arc::default();
            let storage::Opened { log, snapshots, .. } = opened.unwrap();
            spoil();
            let thread = SnapshotThread::start(snapshots, Arc::clone(&inbox)).unwrap();
            Self { log, thread, inbox }
        }

        /// What the threads report next.
        fn arrival(&self) -> Arrival<Kv, u8> {
            let hour = Instant::now() + Duration::from_secs(3600);
            let mut batch = Vec::new();
            self.inbox.drain(hour, Peers::Taken, 1, &mut batch);
            batch.swap_remove(0)
        }

        fn result(&mut self, task: Task<Kv>) -> SnapshotResult<Kv> {
            self.thread.pass(Job::Begin(task));
            match self.arrival() {
                Arrival::Snapshot(result) => result,
                other => panic!("{other:?}"),
            }
        }

        /// Has the first bytes of a snapshot read for a follower.
        fn send(&self, snapshot: SnapshotId, length: usize) {
            self.thread.send(vec![ChunkToSend {
                from: NodeId(0),
                to: NodeId(4),
                term: Term(3),
                stream: RequestId {
                    incarnation: Incarnation(1),
                    counter: 1,
                },
                snapshot,
                offset: 0,
                length,
            }]);
        }

        /// The bytes of the chunk that arrives next.
        fn chunk(&self) -> Arc<[u8]> {
            match self.arrival() {
                Arrival::Chunk(envelope) => match envelope.message {
                    Message::SnapshotChunk(chunk) => chunk.data,
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }

        /// Bytes of a stored snapshot, if it is there.
        fn read(&self, id: SnapshotId, offset: u64, length: usize) -> Option<Vec<u8>> {
            self.thread.snapshots.read(id, offset, length).unwrap()
        }

        fn install(&mut self, id: SnapshotId, bytes: &[u8]) -> SnapshotResult<Kv> {
            let bytes = bytes.to_vec();
            self.result(Task::Install(SnapshotToInstall { id, bytes }))
        }

        fn store(&mut self, machine: Kv) -> SnapshotId {
            let task = Task::Store(SnapshotToStore {
                last: LAST,
                membership: membership(),
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

    fn file_of(last: EntryId) -> String {
        format!("snapshot-{:020}-{:020}", last.index.0, last.term.0)
    }

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
            let chunk = one.read(id, bytes.len() as u64, 777).unwrap();
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
        assert_eq!(other.read(id, 0, bytes.len()), Some(bytes));
    }

    #[test]
    fn open_snapshot_outlives_its_file() {
        let disk = Memory::new();
        let mut one = Setting::with(Arc::new(disk.clone()), || ());
        let id = one.store(machine(10));
        let snapshots = &one.thread.snapshots;
        let open = snapshots.open_stored(id).unwrap().unwrap();
        disk.remove(&file_of(LAST)).unwrap();
        assert!(snapshots.open_stored(id).unwrap().is_none());
        let bytes = [open.read(0, 50).unwrap(), open.read(50, 1 << 20).unwrap()].concat();
        assert_eq!(bytes.len() as u64, id.length);
        assert_eq!(storage::crc32c(&bytes), storage::WHOLE);
        assert_eq!(open.read(id.length + 1, 1).unwrap(), b"");
    }

    /// It is made without being asked for, and being asked all the time does not put it off.
    #[test]
    fn thread_makes_the_spare_file() {
        for asks in [false, true] {
            let setting = Setting::new();
            while setting.thread.snapshots.maintenance.is_due() {
                if asks {
                    setting.thread.maintain();
                }
                std::thread::yield_now();
            }
        }
    }

    /// A disk that opens no snapshot until the sender is dropped.
    #[derive(Debug)]
    struct Hung(Memory, Mutex<Receiver<()>>);

    impl Disk for Hung {
        fn path(&self, name: &str) -> String {
            self.0.path(name)
        }

        fn lock(&self) -> io::Result<Box<dyn disk::Lock>> {
            self.0.lock()
        }

        fn list(&self) -> io::Result<Vec<String>> {
            self.0.list()
        }

        fn open(&self, name: &str) -> io::Result<Box<dyn disk::File>> {
            if name.starts_with("snapshot-") {
                // An error says that the sender is dropped.
                let _ = self.1.lock().unwrap().recv();
            }
            self.0.open(name)
        }

        fn create(&self, name: &str) -> io::Result<Box<dyn disk::File>> {
            self.0.create(name)
        }

        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.0.rename(from, to)
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.0.remove(name)
        }

        fn sync_folder(&self) -> io::Result<()> {
            self.0.sync_folder()
        }
    }

    #[test]
    fn event_loop_does_not_wait_for_a_hung_read() {
        let (hangs, hung) = sync_channel(0);
        let disk = Arc::new(Hung(Memory::new(), Mutex::new(hung)));
        let mut one = Setting::with(disk, || ());
        let id = one.store(machine(10));
        (0..3 * CHUNKS).for_each(|_| one.send(id, 8));
        drop(hangs);
        assert_eq!(&*one.chunk(), b"stdraftP");
    }

    #[test]
    fn damaged_snapshot_is_reported_once_and_replaced() {
        let disk = Memory::new();
        let mut one = Setting::with(Arc::new(disk.clone()), || ());
        let id = one.store(machine(10));
        let name = file_of(LAST);
        disk.open(&name).unwrap().write_at(b"?", 50).unwrap();
        one.send(id, 8);
        match one.arrival() {
            Arrival::Snapshot(SnapshotResult::Damaged {
                id: damaged,
                reason,
            }) => {
                assert_eq!(damaged, id);
                assert!(reason.contains(&name) && reason.contains("CRC"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(one.read(id, 0, 8), None);
        // The same state again.
        assert_eq!(one.store(machine(10)), id);
        one.send(id, 9);
        assert_eq!(one.chunk().len(), 9);
    }

    /// The log makes its segments itself then.
    #[test]
    fn spare_file_that_cannot_be_made_is_a_warning() {
        let folder = std::env::temp_dir().join(format!("stdraft-{}-spare", std::process::id()));
        let disk = Arc::new(Real::create(&folder).unwrap());
        let spare = folder.join("log-00000000000000000000.new");
        // Permissions would not stop a test that runs as root.
        let mut one = Setting::with(disk, || std::fs::create_dir(&spare).unwrap());
        one.thread.maintain();
        match one.arrival() {
            Arrival::Snapshot(SnapshotResult::NoSpare(reason)) => {
                assert!(reason.contains("log-00000000000000000000.new"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        // It is not tried again before the log has begun another segment.
        assert!(!one.thread.snapshots.maintenance.is_due());
        let ballot: [Record<Command>; 1] = [Record::Ballot(Ballot::default())];
        std::fs::remove_dir(&spare).unwrap();
        while !one.thread.snapshots.maintenance.is_due() {
            one.log.append_and_sync(&ballot).unwrap();
        }
        // The first task is followed by the spare file, the second one by nothing.
        (0..2).for_each(|_| assert!(one.store(machine(1)).length > 0));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn snapshot_that_does_not_fit_its_id_is_broken() {
        let mut one = Setting::new();
        let id = one.store(machine(10));
        let bytes = one.read(id, 0, 1 << 20).unwrap();
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
            assert_eq!(other.read(id, 0, 1), None);
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
        let cluster = Cluster::of(["n1", "n2"]);
        let mut one = Setting::of(cluster, Arc::new(Memory::new()), || ());
        let id = one.store(machine(10));
        let bytes = one.read(id, 0, 1 << 20).unwrap();
        let mut other = Setting::new();
        match other.install(id, &bytes) {
            SnapshotResult::Broken { id: broken, reason } => {
                assert_eq!(broken, id);
                assert!(reason.contains("another cluster"), "{reason}");
            }
            unexpected => panic!("{unexpected:?}"),
        }
        assert_eq!(other.read(id, 0, 1), None);
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
