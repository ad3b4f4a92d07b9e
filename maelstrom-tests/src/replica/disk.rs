//! A disk in memory: what it holds is exactly what was synced.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use raft_core::{
    Ballot, Chunks, Entry, EntryId, Fingerprint, Index, Names, Record, Rename, SnapshotId, Term,
    Wal,
};

use super::machine::{Command, Key, Registers};
use crate::rules::Ledger;

/// What one node has stored. It outlives the node's process.
#[derive(Clone, Debug, Default, Hash)]
pub struct Disk {
    ledger: Ledger<Command>,
    /// Whole files under their final names, oldest first. The log may still begin behind an older
    /// one than the newest; then both are there.
    snapshots: Vec<File>,
}

/// A snapshot's file.
#[derive(Clone, Debug, Hash)]
pub struct File {
    /// Its name.
    pub id: SnapshotId,
    bytes: Arc<[u8]>,
}

impl File {
    /// The file of this state.
    pub fn encode(last: EntryId, state: &Registers) -> Self {
        let values = state
            .values()
            .map(|(Key(key), value)| format!("{key}={value}"));
        let values: Vec<String> = values.collect();
        let text = format!("{} {} {}", last.index, last.term, values.join(" "));
        Self::new(last, text.into_bytes())
    }

    /// The file of these bytes.
    pub fn new(last: EntryId, bytes: Vec<u8>) -> Self {
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

    /// The state in it, if it is the file of one.
    pub fn decode(&self) -> Option<Registers> {
        let text = str::from_utf8(&self.bytes).ok()?;
        let mut words = text.split_whitespace();
        let mut number = || words.next()?.parse().ok();
        let (index, term) = (Index(number()?), Term(number()?));
        let value = |word: &str| {
            let (key, value) = word.split_once('=')?;
            Some((Key(key.parse().ok()?), value.parse().ok()?))
        };
        let values: Option<BTreeMap<Key, u8>> = words.map(value).collect();
        (self.id.last == EntryId { term, index }).then_some(Registers::from(values?))
    }
}

impl Disk {
    /// A disk that holds this already.
    pub fn holding(ballot: Ballot, entries: Vec<Entry<Command>>) -> Self {
        Self {
            ledger: Ledger::holding(ballot, EntryId::default(), entries),
            snapshots: Vec::new(),
        }
    }

    /// Its term and vote, and its log.
    pub fn ledger(&self) -> &Ledger<Command> {
        &self.ledger
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Option<&File> {
        self.snapshots.last()
    }

    /// A snapshot's file gets its final name.
    ///
    /// # Panics
    /// If it is not newer than what is here, or could not be restored from: its last entry is of a
    /// term that the node has not stored.
    pub fn put(&mut self, file: File) {
        let newest = self
            .snapshot()
            .map_or(self.ledger.base(), |newest| newest.id.last);
        assert!(
            file.id.last.index > newest.index,
            "the snapshot {:?} takes the place of one through {newest}",
            file.id
        );
        assert!(
            file.id.last.term <= self.ledger.ballot().term(),
            "the snapshot {:?} is of a term to come",
            file.id
        );
        self.snapshots.push(file);
    }

    /// Makes sense of what a process left behind: if it died between the file's name and the base
    /// record, the log is brought in line with the newest snapshot now.
    pub fn recover(&mut self) {
        if let Some(newest) = self.snapshot().map(|file| file.id.last)
            && newest != self.ledger.base()
        {
            self.store(&Record::Base(newest));
        }
    }

    /// Stores one record.
    ///
    /// # Panics
    /// If it names a base that no snapshot covers, or makes no sense to the [`Ledger`].
    fn store(&mut self, record: &Record<Command>) {
        if let Record::Base(base) = record {
            let known = self.snapshots.iter().any(|file| file.id.last == *base);
            assert!(known, "no snapshot through {base}");
            self.snapshots.retain(|file| file.id.last >= *base);
        }
        self.ledger.store(record);
    }
}

impl Chunks for Disk {
    fn read(&mut self, id: SnapshotId, offset: u64, length: usize) -> Option<Vec<u8>> {
        let file = self.snapshots.iter().find(|file| file.id == id)?;
        let start = usize::try_from(offset).ok()?;
        Some(file.bytes[start..start + length].to_vec())
    }
}

impl Rename for Disk {
    fn rename(&mut self, names: &mut dyn Names) {
        self.ledger.rename(names);
    }
}

impl Wal<Command> for Disk {
    type Error = Infallible;

    fn append_and_sync(&mut self, records: &[Record<Command>]) -> Result<(), Infallible> {
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
    use crate::replica::machine::Change;
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
        File::encode(id(index, term), &Registers::default())
    }

    /// A disk of term 2 with three entries.
    fn disk() -> Disk {
        let mut disk = Disk::default();
        disk.store(&Record::Ballot(Ballot::new(Term(2), None)));
        disk.store(&run(&[(1, 1), (2, 1), (3, 1)]));
        disk
    }

    #[test]
    fn a_file_without_its_base_record_is_recovered_from() {
        let mut disk = disk();
        disk.put(file(2, 1));
        disk.store(&Record::Base(id(2, 1)));
        disk.put(file(5, 2));
        assert_eq!(disk.ledger().last(), id(3, 1));
        disk.recover();
        assert_eq!(
            (disk.ledger().base(), disk.ledger().last()),
            (id(5, 2), id(5, 2))
        );
        assert_eq!(disk.read(file(2, 1).id, 0, 1), None);
        assert_eq!(disk.read(file(5, 2).id, 0, 3), Some(b"5 2".to_vec()));
    }

    #[test]
    fn a_file_gives_back_its_state() {
        let mut state = Registers::default();
        for (key, value) in [('x', 3), ('y', 200)] {
            let (id, key) = (CommandId(0), Key(key));
            let change = Change::Write(value);
            state.apply(&Command { id, key, change });
        }
        let file = File::encode(id(7, 2), &state);
        assert_eq!(file.decode(), Some(state));
        let other = File::new(id(8, 2), file.bytes.to_vec());
        assert_eq!(other.decode(), None);
    }

    #[test]
    #[should_panic(expected = "takes the place of one through 2@1")]
    fn an_older_snapshot_is_refused() {
        let mut disk = disk();
        disk.put(file(2, 1));
        disk.put(file(1, 1));
    }

    #[test]
    #[should_panic(expected = "of a term to come")]
    fn a_snapshot_of_a_term_that_is_not_stored_is_refused() {
        disk().put(file(4, 3));
    }

    #[test]
    #[should_panic(expected = "no snapshot through 2@1")]
    fn a_base_without_a_snapshot_is_refused() {
        disk().store(&Record::Base(id(2, 1)));
    }
}
