//! The product's storage on a disk that fails.
//!
//! A [`Ledger`] keeps what the disk has acknowledged, and each start is checked against it: storage
//! must bring back all of it, and beyond it at most the one batch and the one snapshot that were
//! being written when the process ended.

use std::mem;
use std::sync::Arc;

use raft::host::Image;
use raft::storage::{self, Cluster, Error, ErrorKind, Identity, Log, Snapshots};
use raft_core::{
    ChunkToSend, EntryId, NodeId, Record, SnapshotId, SnapshotToInstall, SnapshotToStore, Wal,
};

use super::machine::{Numbered, Store};
use crate::replica::faulty_disk::{FaultyDisk, Tear};
use crate::replica::node::{Chunk, Disk, Installed};
use crate::rules::{Broken, Ledger, demand};

/// The storage of one node.
#[derive(Debug)]
pub(super) struct FaultyStorage {
    pub(super) disk: FaultyDisk,
    /// What the last start found.
    pub(super) found: Found,
    id: NodeId,
    /// The number of nodes, members or not.
    nodes: u64,
    segment_bytes: u64,
    /// What the disk has acknowledged.
    ledger: Ledger<Numbered>,
    /// The batch that is being stored. If the process ends, it may or may not be found.
    pending: Vec<Record<Numbered>>,
    /// The newest snapshot that the disk has acknowledged.
    snapshot: Option<SnapshotId>,
    /// The last entry of the snapshot that is being stored. It may or may not be found.
    pending_snapshot: Option<EntryId>,
    /// A stored snapshot was damaged when it was read to be sent.
    pub(super) read_damage: bool,
    /// The open files, while a process runs.
    open: Option<(Log, Snapshots)>,
}

/// What a start found on the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// The length of a torn batch that was cut.
    pub(super) torn: u64,
    /// Whether there was a batch or a snapshot that was never acknowledged.
    pub(super) unacknowledged: bool,
    /// The snapshot that the node started from.
    pub(super) snapshot: Option<SnapshotId>,
    /// Whether that snapshot had no base record in the log.
    pub(super) rebased: bool,
}

/// Why a process cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// It broke a rule.
    Broken(Broken),
    /// Its storage failed.
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

impl FaultyStorage {
    /// An empty disk.
    pub(super) fn new(id: NodeId, nodes: u64, segment_bytes: u64, seed: u64) -> Self {
        Self {
            disk: FaultyDisk::new(seed),
            found: Found::default(),
            id,
            nodes,
            segment_bytes,
            ledger: Ledger::default(),
            pending: Vec::new(),
            snapshot: None,
            pending_snapshot: None,
            read_damage: false,
            open: None,
        }
    }

    /// Ends the process. `content` and `names` say which unsynced changes remain.
    pub(super) fn restart(&mut self, content: Tear, names: Tear) {
        self.open = None;
        self.disk.restart(content, names);
    }

    /// Loses everything that was ever stored.
    pub(super) fn forget(&mut self, seed: u64) {
        *self = Self::new(self.id, self.nodes, self.segment_bytes, seed);
    }

    /// The size of the log on disk; 0 if no process runs.
    pub(super) fn log_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |(log, _)| log.bytes())
    }

    fn files(&mut self) -> &mut (Log, Snapshots) {
        self.open.as_mut().expect("a process runs")
    }

    /// Compares what was found with what the disk had acknowledged.
    fn compare(
        &mut self,
        found: Ledger<Numbered>,
        snapshot: Option<SnapshotId>,
        torn: u64,
    ) -> Result<(), Broken> {
        let id = self.id;
        let pending_snapshot = self.pending_snapshot.take();
        let is_new = snapshot != self.snapshot;
        let is_pending = snapshot.is_some_and(|found| Some(found.last) == pending_snapshot);
        demand(!is_new || is_pending, || {
            format!(
                "a start must find the newest stored snapshot: node {id} finds {snapshot:?}, stored \
                 {:?} and maybe {pending_snapshot:?}",
                self.snapshot
            )
        })?;
        let mut all = self.ledger.clone();
        for record in mem::take(&mut self.pending) {
            all.store(&record);
        }
        for (mut stored, is_pending) in [(self.ledger.clone(), false), (all.clone(), true)] {
            // A log begins after a stored base, or after the snapshot whose base record is missing.
            let rebased = found.base.index > stored.base.index
                && snapshot.is_some_and(|snapshot| snapshot.last == found.base);
            if rebased {
                stored.store(&Record::Base(found.base));
            }
            if found == stored {
                self.ledger = found;
                self.snapshot = snapshot;
                self.found = Found {
                    torn,
                    unacknowledged: is_pending || is_new,
                    snapshot,
                    rebased,
                };
                return Ok(());
            }
        }
        Err(Broken(format!(
            "a start must find what was stored: node {id} stored {:?} and maybe {all:?}, and finds \
             {found:?}",
            self.ledger
        )))
    }
}

impl Disk<Store> for FaultyStorage {
    fn open(&mut self) -> Result<Option<(SnapshotId, Installed<Store>)>, Stop> {
        let name = |node: u64| format!("n{node}");
        let cluster = Cluster::of((1..=self.nodes).map(name));
        let identity = Identity::new(cluster, &name(self.id.0), self.id, self.id.0);
        let disk = Arc::new(self.disk.clone());
        let opened = storage::open::<Numbered>(disk, &identity, None, self.segment_bytes)?;
        let recovered = opened.recovered;
        let id = recovered.snapshot.as_ref().map(|snapshot| snapshot.id);
        let base = recovered.base();
        let found = Ledger::holding(recovered.ballot, base, recovered.entries);
        self.compare(found, id, recovered.torn)?;
        self.open = Some((opened.log, opened.snapshots));
        let Some(snapshot) = recovered.snapshot else {
            return Ok(None);
        };
        let machine = Store::read(&snapshot.machine).map_err(|error| {
            let id = self.id;
            Broken(format!("a stored snapshot must decode: node {id}: {error}"))
        })?;
        Ok(Some((snapshot.id, (machine, Some(snapshot.membership)))))
    }

    fn ledger(&self) -> &Ledger<Numbered> {
        &self.ledger
    }

    fn store_snapshot(&mut self, capture: SnapshotToStore<Store>) -> Result<SnapshotId, Stop> {
        let last = capture.last;
        self.pending_snapshot = Some(last);
        let write = |out: &mut dyn std::io::Write| capture.machine.write(out);
        let id = self.files().1.store(last, &capture.membership, write)?;
        self.pending_snapshot = None;
        self.snapshot = Some(id);
        Ok(id)
    }

    fn install_snapshot(
        &mut self,
        received: SnapshotToInstall,
    ) -> Result<Option<Installed<Store>>, Stop> {
        let SnapshotToInstall { id, bytes } = received;
        let snapshots = self.files().1.clone();
        let Ok(whole) = snapshots.received(id, &bytes) else {
            return Ok(None);
        };
        let Ok(machine) = Store::read(whole.machine) else {
            return Ok(None);
        };
        self.pending_snapshot = Some(id.last);
        snapshots.install(&whole)?;
        self.pending_snapshot = None;
        self.snapshot = Some(id);
        Ok(Some((machine, Some(whole.membership))))
    }

    fn read_chunk(&mut self, chunk: ChunkToSend) -> Result<Chunk, Stop> {
        let snapshots = &self.files().1;
        match snapshots.read(chunk.snapshot, chunk.offset, chunk.length) {
            Ok(Some(bytes)) => Ok(Chunk::Bytes(bytes)),
            Ok(None) => Ok(Chunk::Gone),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.read_damage = true;
                Ok(Chunk::Damaged)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Wal<Numbered> for FaultyStorage {
    type Error = Stop;

    fn append_and_sync(&mut self, records: &[Record<Numbered>]) -> Result<(), Stop> {
        self.pending = records.to_vec();
        self.files().0.append_and_sync(records)?;
        for record in mem::take(&mut self.pending) {
            self.ledger.store(&record);
        }
        // Much later in the product: on another thread, a few files at a time.
        let (_, snapshots) = self.files();
        if snapshots.maintenance.is_due() {
            snapshots.maintenance.maintain()?;
            // A failed call is a warning here, but not if the process dies in it.
            if let Some(error) = snapshots.maintenance.take_warning()
                && self.disk.is_dead()
            {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Ballot, Index, Membership, Term};

    use super::*;
    use crate::replica::faulty_disk::Moment;

    /// A node stores a snapshot with these bytes of a machine, and starts again.
    fn start_from(machine: &[u8]) -> Result<(), Broken> {
        let members = Membership::of([NodeId(1)]);
        let mut storage = FaultyStorage::new(NodeId(1), 1, storage::SEGMENT_BYTES, 1);
        storage.open().expect("an empty disk");
        let ballot = Record::Ballot(Ballot::new(Term(1), None));
        storage.append_and_sync(&[ballot]).expect("room");
        let last = EntryId {
            term: Term(1),
            index: Index(1),
        };
        let snapshots = &storage.files().1;
        let stored = snapshots.store(last, &members, |out| out.write_all(machine));
        storage.snapshot = Some(stored.expect("room"));
        storage.restart(Tear::Everything, Tear::Everything);
        match storage.open() {
            Ok(_) => Ok(()),
            Err(Stop::Broken(broken)) => Err(broken),
            Err(Stop::Storage(error)) => panic!("{error}"),
        }
    }

    /// In the write or the sync of a batch, or while the spare file is made after it.
    #[test]
    fn process_that_dies_in_a_call_stops() {
        let segment_bytes = storage::SEGMENT_BYTES_MIN;
        let survived = (1..).find(|call| {
            let mut storage = FaultyStorage::new(NodeId(1), 1, segment_bytes, 1);
            storage.open().expect("an empty disk");
            let disk = storage.disk.clone();
            disk.crash_at(disk.calls() + call, Moment::After);
            let stored = storage.append_and_sync(&[Record::Ballot(Ballot::new(Term(1), None))]);
            assert_eq!(stored.is_err(), disk.is_dead(), "call {call}");
            stored.is_ok()
        });
        assert_eq!(survived, Some(6), "five calls");
    }

    #[test]
    fn snapshot_that_cannot_be_decoded_is_rejected() {
        let mut machine = Vec::new();
        Store::default().write(&mut machine).expect("room");
        assert_eq!(start_from(&machine), Ok(()));
        let Broken(unread) = start_from(b"no machine").expect_err("a broken rule");
        assert!(
            unread.starts_with("a stored snapshot must decode: node 1: "),
            "{unread}"
        );
    }
}
