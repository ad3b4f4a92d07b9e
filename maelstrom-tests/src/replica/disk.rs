//! A disk in memory that holds exactly what was synced.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use raft_core::{
    Ballot, ChunkToSend, Entry, EntryId, Fingerprint, Index, Member, Membership, Names, NodeId,
    Record, Rename, SnapshotId, SnapshotToInstall, SnapshotToStore, Standing, Term, Wal,
};

use super::describe;
use super::machine::{Command, Registers};
use super::node::{Chunk, Disk, Installed};
use crate::rules::{Broken, Ledger};

/// The disk of one node: a log and snapshots.
#[derive(Clone, Debug, Default, Hash)]
pub struct MemoryDisk {
    ledger: Ledger<Command>,
    /// Complete snapshots, oldest first. Two while the log's base is still the older one.
    snapshots: Vec<File>,
    /// Snapshots that a process has read: an open file outlives its removal.
    open: Vec<File>,
}

/// A snapshot's file.
#[derive(Clone, Debug, Hash)]
pub struct File {
    /// Names it.
    pub id: SnapshotId,
    bytes: Arc<[u8]>,
}

impl File {
    /// Encodes a state, and the members if a change has touched them.
    pub fn encode(last: EntryId, membership: &Membership, state: &Registers) -> Self {
        let mut text = format!("{} {} ", last.index, last.term);
        if describe::has_changed(membership) {
            text += &describe::members(membership).replace(' ', "_");
            text.push(' ');
        }
        let mut bytes = text.into_bytes();
        state.write(&mut bytes).expect("memory never fails");
        Self::new(last, bytes)
    }

    /// A file with these bytes.
    fn new(last: EntryId, bytes: Vec<u8>) -> Self {
        let mut crc = Fingerprint::default();
        bytes.hash(&mut crc);
        let id = SnapshotId {
            last,
            length: bytes.len() as u64,
            crc: crc.finish() as u32,
        };
        let bytes = bytes.into();
        Self { id, bytes }
    }

    /// Decodes the state and the members that it names, unless the bytes are damaged.
    fn decode(&self) -> Option<Installed<Registers>> {
        let text = str::from_utf8(&self.bytes).ok()?;
        let mut words = text.splitn(3, ' ');
        let mut number = || words.next()?.parse().ok();
        let (index, term) = (Index(number()?), Term(number()?));
        let rest = words.next()?;
        let (members, state) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (members, state) = rest.split_once(' ')?;
                (Some(read_members(members)?), state)
            }
            None => (None, rest),
        };
        let state = Registers::read(state.as_bytes()).ok()?;
        (self.id.last == EntryId { term, index }).then_some((state, members))
    }
}

/// Reads what [`describe::members`] writes after its first bracket.
fn read_members(text: &str) -> Option<Membership> {
    let (members, next) = text.split_once("]_")?;
    let one = |word: &str| {
        let number = word.trim_start_matches(['+', '-', '?']);
        let standing = match word.as_bytes().first()? {
            b'+' => Standing::Incoming,
            b'-' => Standing::Outgoing,
            b'?' => Standing::Learner,
            _ => Standing::Voter,
        };
        let named = number.strip_suffix('*');
        let (id, address) = (named.unwrap_or(number), named.unwrap_or_default().into());
        let id = NodeId(id.strip_prefix('n')?.parse().ok()?);
        Some((id, Member { standing, address }))
    };
    let members: Option<Vec<_>> = members.split('_').map(one).collect();
    Some(Membership::new(members?).with_next(next.trim().parse().ok()?))
}

impl MemoryDisk {
    /// A disk with this content.
    pub fn holding(ballot: Ballot, entries: Vec<Entry<Command>>) -> Self {
        Self {
            ledger: Ledger::holding(ballot, EntryId::default(), entries),
            snapshots: Vec::new(),
            open: Vec::new(),
        }
    }

    /// The newest snapshot.
    fn snapshot(&self) -> Option<&File> {
        self.snapshots.last()
    }

    /// Gives a snapshot's file its final name.
    ///
    /// # Panics
    /// If the snapshot is not newer than the stored one, or if its last entry has a term that is
    /// not stored yet, so that no process could start from it.
    fn put(&mut self, file: File) {
        let base = self.ledger.base;
        let newest = self.snapshot().map_or(base, |newest| newest.id.last);
        assert!(
            file.id.last.index >= newest.index,
            "the snapshot {:?} would replace a newer one through {newest}",
            file.id
        );
        assert!(
            file.id.last.term <= self.ledger.ballot.term(),
            "the snapshot {:?} has a term that is not stored yet",
            file.id
        );
        self.snapshots.retain(|other| other.id.last != file.id.last);
        self.open.retain(|other| other.id != file.id);
        self.snapshots.push(file);
    }

    /// Adds the base record of the newest snapshot, if a process died between storing the two.
    fn recover(&mut self) {
        if let Some(newest) = self.snapshot().map(|file| file.id.last)
            && newest != self.ledger.base
        {
            self.store(&Record::Base(newest));
        }
    }

    /// Stores one record.
    ///
    /// # Panics
    /// If it is a base without a snapshot, or if the [`Ledger`] rejects it.
    fn store(&mut self, record: &Record<Command>) {
        if let Record::Base(base) = record {
            let known = self.snapshots.iter().any(|file| file.id.last == *base);
            assert!(known, "no snapshot through {base}");
            self.snapshots.retain(|file| file.id.last >= *base);
        }
        self.ledger.store(record);
    }

    /// Bytes of a stored snapshot. Its file stays open.
    fn read(&mut self, id: SnapshotId, offset: u64, length: usize) -> Option<Vec<u8>> {
        let start = usize::try_from(offset).ok()?;
        let files = self.open.iter().chain(&self.snapshots);
        let file = files.clone().find(|file| file.id == id)?.clone();
        let bytes = file.bytes[start..start + length].to_vec();
        self.open.retain(|other| other.id != id);
        self.open.push(file);
        Some(bytes)
    }
}

impl Disk<Registers> for MemoryDisk {
    fn open(&mut self) -> Result<Option<(SnapshotId, Installed<Registers>)>, Broken> {
        self.recover();
        self.open.clear();
        let state = |file: &File| file.decode().expect("only valid files are stored");
        Ok(self.snapshot().map(|file| (file.id, state(file))))
    }

    fn ledger(&self) -> &Ledger<Command> {
        &self.ledger
    }

    fn store_snapshot(
        &mut self,
        capture: SnapshotToStore<Registers>,
    ) -> Result<SnapshotId, Broken> {
        let file = File::encode(capture.last, &capture.membership, &capture.machine);
        let id = file.id;
        self.put(file);
        Ok(id)
    }

    fn install_snapshot(
        &mut self,
        received: SnapshotToInstall,
    ) -> Result<Option<Installed<Registers>>, Broken> {
        let file = File::new(received.id.last, received.bytes);
        let state = file.decode().filter(|_| file.id == received.id);
        if state.is_some() {
            self.put(file);
        }
        Ok(state)
    }

    fn read_chunk(&mut self, chunk: ChunkToSend) -> Result<Chunk, Broken> {
        let bytes = self.read(chunk.snapshot, chunk.offset, chunk.length);
        Ok(bytes.map_or(Chunk::Gone, Chunk::Bytes))
    }
}

impl Rename for MemoryDisk {
    fn rename(&mut self, names: &mut dyn Names) {
        self.ledger.rename(names);
    }
}

impl Wal<Command> for MemoryDisk {
    type Error = Broken;

    fn append_and_sync(&mut self, records: &[Record<Command>]) -> Result<(), Broken> {
        for record in records {
            self.store(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Payload, StateMachine};

    use super::*;
    use crate::replica::machine::{Change, Key};
    use crate::rules::CommandId;

    fn run(ids: &[(u64, u64)]) -> Record<Command> {
        let entry = |&(index, term)| Entry {
            id: id(index, term),
            payload: Payload::Blank,
        };
        Record::Entries(ids.iter().map(entry).collect())
    }

    fn id(index: u64, term: u64) -> EntryId {
        EntryId {
            term: Term(term),
            index: Index(index),
        }
    }

    fn file(index: u64, term: u64) -> File {
        File::encode(
            id(index, term),
            &Membership::default(),
            &Registers::default(),
        )
    }

    /// A disk of term 2 with three entries.
    fn disk() -> MemoryDisk {
        let mut disk = MemoryDisk::default();
        disk.store(&Record::Ballot(Ballot::new(Term(2), None)));
        disk.store(&run(&[(1, 1), (2, 1), (3, 1)]));
        disk
    }

    #[test]
    fn open_recovers_a_missing_base_record() {
        let mut disk = disk();
        disk.put(file(2, 1));
        disk.store(&Record::Base(id(2, 1)));
        disk.put(file(5, 2));
        assert_eq!(disk.ledger().last(), id(3, 1));
        disk.recover();
        assert_eq!(
            (disk.ledger().base, disk.ledger().last()),
            (id(5, 2), id(5, 2))
        );
        assert_eq!(disk.read(file(2, 1).id, 0, 1), None);
        assert_eq!(disk.read(file(5, 2).id, 0, 3), Some(b"5 2".to_vec()));
    }

    #[test]
    fn file_round_trips_its_state() {
        let mut state = Registers::default();
        for (key, value) in [('x', 3), ('y', 200)] {
            let (id, key) = (CommandId(0), Key(key));
            let change = Change::Write(value);
            let number = None;
            state.apply(&Command {
                id,
                key,
                change,
                number,
            });
        }
        let file = File::encode(id(7, 2), &Membership::of([NodeId(1)]), &state);
        assert_eq!(file.decode(), Some((state.clone(), None)));
        let mut members = Membership::of([NodeId(1), NodeId(3)]).members().clone();
        for (id, standing) in [(4, Standing::Learner), (5, Standing::Incoming)] {
            let address = format!("n{id}").into();
            members.insert(NodeId(id), Member { standing, address });
        }
        let members = Membership::new(members).with_next(9);
        let file = File::encode(id(7, 2), &members, &state);
        assert_eq!(file.decode(), Some((state, Some(members))));
        let other = File::new(id(8, 2), file.bytes.to_vec());
        assert_eq!(other.decode(), None);
    }

    #[test]
    #[should_panic(expected = "would replace a newer one through 2@1")]
    fn older_snapshot_is_rejected() {
        let mut disk = disk();
        disk.put(file(2, 1));
        disk.put(file(1, 1));
    }

    #[test]
    #[should_panic(expected = "a term that is not stored yet")]
    fn snapshot_of_an_unstored_term_is_rejected() {
        disk().put(file(4, 3));
    }

    #[test]
    #[should_panic(expected = "no snapshot through 2@1")]
    fn base_without_a_snapshot_is_rejected() {
        disk().store(&Record::Base(id(2, 1)));
    }
}
