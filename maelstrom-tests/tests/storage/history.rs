//! Histories of a node's storage, and a model that says what must come back.

use std::sync::Arc;

use raft::storage::disk::Disk;
use raft::storage::disk::memory::Memory;
use raft::storage::{self, Cluster, Error, Identity, Opened, Recovered, Snapshots};
use raft_core::{
    Ballot, Entry, EntryId, Index, Membership, NodeId, Payload, Record, SnapshotId, Term, Wal,
};

/// Short segments, so that a short history has many.
pub(crate) const SEGMENT_BYTES: u64 = storage::SEGMENT_BYTES_MIN;

pub(crate) fn identity() -> Identity {
    owner("n1", &["n1", "n2", "n3"])
}

/// The node `name` of a cluster.
pub(crate) fn owner(name: &str, names: &[&str]) -> Identity {
    Identity::new(Cluster::of(names.iter().copied()), name, NodeId(0), 1)
}

pub(crate) fn open(disk: &(impl Disk + Clone + 'static)) -> Result<Opened<String>, Error> {
    storage::open(Arc::new(disk.clone()), &identity(), None, SEGMENT_BYTES)
}

/// `INDEX@TERM`
pub(crate) fn id(index: u64, term: u64) -> EntryId {
    EntryId {
        term: Term(term),
        index: Index(index),
    }
}

pub(crate) fn ballot(term: u64, vote: Option<u64>) -> Record<String> {
    Record::Ballot(Ballot::new(Term(term), vote.map(NodeId)))
}

/// Entries of one term; each says something of about `length` bytes, which depends on its name.
pub(crate) fn entries(first: u64, last: u64, term: u64, length: usize) -> Record<String> {
    let entry = |index| Entry {
        id: id(index, term),
        payload: match length {
            0 => Payload::Blank,
            _ => {
                let mut said = format!("{index}@{term} ").repeat(length / 4 + 1);
                said.truncate(length);
                Payload::Command(Arc::new(said))
            }
        },
    };
    Record::Entries((first..=last).map(entry).collect())
}

/// What is done to storage, one thing after another.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A batch.
    Write(Vec<Record<String>>),
    /// A snapshot of the node's own.
    Store(EntryId),
    /// A snapshot of another node.
    Install(EntryId),
}

/// What is known of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) ballot: Ballot,
    pub(crate) base: EntryId,
    pub(crate) entries: Vec<Entry<String>>,
}

impl State {
    /// What was recovered. Its snapshot is checked on the way.
    pub(crate) fn of(recovered: &Recovered<String>) -> Self {
        if let Some(snapshot) = &recovered.snapshot {
            assert_eq!(snapshot.machine, machine(snapshot.id.last));
            assert_eq!(snapshot.membership, membership());
        }
        Self {
            ballot: recovered.ballot,
            base: recovered.base(),
            entries: recovered.entries.clone(),
        }
    }

    pub(crate) fn apply(&mut self, record: &Record<String>) {
        match record {
            Record::Ballot(ballot) => self.ballot = *ballot,
            Record::Entries(entries) => {
                for entry in entries {
                    self.entries.retain(|old| old.id.index < entry.id.index);
                    self.entries.push(entry.clone());
                }
            }
            Record::Base(base) => {
                let held = *base == self.base || self.entries.iter().any(|e| e.id == *base);
                let keep = |entry: &Entry<String>| held && entry.id.index > base.index;
                self.entries.retain(keep);
                self.base = *base;
            }
        }
    }

    /// Every state on the way through a step, the last one behind it.
    pub(crate) fn through(&self, step: &Step) -> Vec<Self> {
        let mut states = Vec::new();
        let mut state = self.clone();
        if let Step::Write(records) = step {
            for record in records {
                match record {
                    Record::Entries(entries) => {
                        for entry in entries {
                            state.apply(&Record::Entries(vec![entry.clone()]));
                            states.push(state.clone());
                        }
                    }
                    Record::Ballot(_) | Record::Base(_) => {
                        state.apply(record);
                        states.push(state.clone());
                    }
                }
            }
        }
        states.push(state);
        states
    }

    /// This state with a snapshot taken over whose base record was not written yet.
    pub(crate) fn adopting(&self, last: EntryId) -> Self {
        let mut state = self.clone();
        if last.index > self.base.index {
            if state.ballot.term() < last.term {
                state.ballot = Ballot::new(last.term, None);
            }
            state.apply(&Record::Base(last));
        }
        state
    }
}

pub(crate) fn membership() -> Membership {
    Membership::of((0..3).map(NodeId))
}

/// What the machine of a snapshot is.
pub(crate) fn machine(last: EntryId) -> Vec<u8> {
    format!("all through {last};").repeat(20).into_bytes()
}

/// Makes the spare file for the next segment, and removes what the base covers.
pub(crate) fn maintain(opened: &Opened<String>) -> Result<(), Error> {
    for _ in 0..1000 {
        if !opened.snapshots.maintenance.is_due() {
            return Ok(());
        }
        opened.snapshots.maintenance.maintain()?;
    }
    panic!("work on the folder must end");
}

/// Does a step.
pub(crate) fn perform(opened: &mut Opened<String>, step: &Step) -> Result<(), Error> {
    match step {
        Step::Write(records) => opened.log.append_and_sync(records),
        Step::Store(last) => store(&opened.snapshots, *last).map(|_| ()),
        Step::Install(last) => {
            let (id, bytes) = elsewhere(*last);
            let whole = opened.snapshots.received(id, &bytes);
            let whole = whole.expect("a whole snapshot");
            opened.snapshots.install(&whole)
        }
    }
}

pub(crate) fn store(snapshots: &Snapshots, last: EntryId) -> Result<SnapshotId, Error> {
    snapshots.store(last, &membership(), |out| out.write_all(&machine(last)))
}

/// The file of a snapshot that another node made.
pub(crate) fn elsewhere(last: EntryId) -> (SnapshotId, Vec<u8>) {
    let other = open(&Memory::new()).expect("an empty folder");
    let id = store(&other.snapshots, last).expect("memory has room");
    let bytes = other.snapshots.read(id, 0, usize::MAX);
    (id, bytes.expect("memory reads").expect("it was stored"))
}

/// A history with all that matters: elections, conflicts, many segments, a frame that is longer
/// than a segment, snapshots of its own and of others, with and without a log behind them.
pub(crate) fn script() -> Vec<Step> {
    use Record::Base;
    use Step::{Install, Store, Write};
    vec![
        Write(vec![ballot(1, None)]),
        Write(vec![ballot(1, Some(0))]),
        Write(vec![entries(1, 1, 1, 0)]),
        Write(vec![entries(2, 4, 1, 300)]),
        Write(vec![entries(5, 6, 1, 900)]),
        Write(vec![ballot(2, Some(1)), entries(5, 7, 2, 700)]),
        Write(vec![entries(8, 8, 2, 100)]),
        Store(id(4, 1)),
        Write(vec![entries(9, 9, 2, 1200)]),
        Write(vec![Base(id(4, 1))]),
        Write(vec![entries(10, 12, 2, 500)]),
        Write(vec![entries(13, 13, 2, 6000)]),
        Write(vec![ballot(3, None), entries(13, 14, 3, 40)]),
        Store(id(11, 2)),
        Write(vec![Base(id(11, 2)), entries(15, 15, 3, 800)]),
        Write(vec![entries(16, 20, 3, 700)]),
        Write(vec![ballot(5, Some(2))]),
        Install(id(30, 5)),
        Write(vec![Base(id(30, 5)), entries(31, 33, 5, 600)]),
        Write(vec![entries(34, 36, 5, 600)]),
        Install(id(35, 5)),
        Write(vec![Base(id(35, 5))]),
        Write(vec![entries(37, 37, 5, 20)]),
        Write(vec![entries(36, 36, 5, 20), ballot(6, None)]),
        Write(vec![entries(37, 41, 6, 200)]),
        Write(vec![entries(42, 42, 6, 1)]),
    ]
}
