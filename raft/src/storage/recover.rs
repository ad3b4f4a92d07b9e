//! Opens a node's folder: creates it, or recovers everything that the node acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;

use json::{Decode, Encode};
use raft_core::{
    Ballot, Entry, EntryId, Index, Membership, Payload, Record, SnapshotId, Term, Wal,
};

use super::disk::Disk;
use super::error::{Error, ErrorKind, Refusal};
use super::folder::{Folder, Inventory, Name};
use super::frame;
use super::identity::{Cluster, Identity};
use super::maintenance::Maintenance;
use super::record::{Content, Stored};
use super::scan::{self, Visitor};
use super::segment::{self, FRAMES, Head};
use super::snapshot::{self, Snapshots};
use super::wal::Log;
use crate::members::Members;

/// The usual length of a segment of the log in bytes. A longer frame gets a segment of its own.
pub const SEGMENT_BYTES: u64 = 8 << 20;

/// The shortest one.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// The longest one.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// A node's open storage, and what was recovered.
#[derive(Debug)]
pub struct Opened<C> {
    /// The owner of the folder.
    pub identity: Identity,
    /// The log, open at its end.
    pub log: Log,
    /// Stores and reads snapshots.
    pub snapshots: Snapshots,
    /// The recovered state.
    pub recovered: Recovered<C>,
}

/// The state of a node when it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered<C> {
    /// Its term and vote.
    pub ballot: Ballot,
    /// The newest snapshot. The log begins after it.
    pub snapshot: Option<Restored>,
    /// The entries after the snapshot.
    pub entries: Vec<Entry<C>>,
    /// The bytes of torn frames that were cut from the log's end. None was acknowledged.
    pub torn: u64,
}

impl<C> Recovered<C> {
    /// The last entry that the snapshot covers.
    #[must_use]
    pub fn base(&self) -> EntryId {
        let snapshot = self.snapshot.as_ref();
        snapshot.map_or_else(EntryId::default, |snapshot| snapshot.id.last)
    }
}

/// A recovered snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its id.
    pub id: SnapshotId,
    /// The members of the cluster as of the snapshot.
    pub membership: Membership,
    /// The encoded state machine.
    pub machine: Vec<u8>,
}

/// The owner of a folder; `None` if no node has used the folder yet.
///
/// # Errors
/// The folder is in use, or its identity is damaged, or the disk fails.
pub fn owner(disk: Arc<dyn Disk>) -> Result<Option<Identity>, Error> {
    let folder = Folder::lock(disk)?;
    let is_new = !folder.inventory()?.identity;
    (!is_new).then(|| Identity::read(&folder)).transpose()
}

/// Opens a node's folder. Initialises an empty one with this identity, and with `members` as the
/// first entry of the log: those at the start of the cluster (thesis §4.4). A node that joins a
/// cluster later begins with an empty log.
///
/// The result contains everything that was acknowledged, and possibly writes that were not yet
/// acknowledged. All of it is on disk, so this process may acknowledge it.
///
/// # Errors
/// Acknowledged data may be missing or unreadable, the folder belongs to another node or is in use,
/// or the disk fails. The folder is then unchanged, but for torn tails that were cut and unfinished
/// files that were removed.
///
/// # Panics
/// If the length of a segment is out of range.
pub fn open<C: Encode + for<'a> Decode<'a>>(
    disk: Arc<dyn Disk>,
    identity: &Identity,
    members: Option<Membership>,
    segment_bytes: u64,
) -> Result<Opened<C>, Error> {
    let limits = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
    let is_in_range = limits.contains(&segment_bytes);
    assert!(is_in_range, "segment_bytes is out of range");
    let folder = Arc::new(Folder::lock(disk)?);
    let mut inventory = folder.inventory()?;
    let mut owner = identity.clone();
    if inventory.identity {
        owner = Identity::read(&folder)?;
        identity.demand(&folder, &owner)?;
    } else {
        create(&folder, &inventory, identity, members, segment_bytes)?;
        inventory = folder.inventory()?;
    }
    let mut entries = Entries(VecDeque::new());
    let scan = scan::scan(&folder, &inventory, owner.crc(), &mut entries)?;
    let (cluster, torn) = (owner.cluster, scan.torn);
    let snapshot = newest_snapshot(&folder, &inventory, cluster, scan.tail.outline.base)?;
    let maintenance = Arc::new(Maintenance::new(folder, segment_bytes));
    let mut log = Log::resume(maintenance.clone(), &inventory, owner.crc(), scan)?;

    if let Some(id) = snapshot.as_ref().map(|snapshot| snapshot.id.last)
        && id != log.base()
    {
        entries.rebase(id, log.tail.outline.holds(id));
        write_base::<C>(&mut log, id)?;
    }
    log.note_covered();
    while maintenance.must_remove() {
        maintenance.remove_few()?;
    }
    let recovered = Recovered {
        ballot: log.tail.ballot,
        snapshot,
        entries: entries.0.into(),
        torn,
    };
    Ok(Opened {
        identity: owner,
        log,
        snapshots: Snapshots::new(maintenance, cluster),
        recovered,
    })
}

/// Initialises a node's folder. The identity is written last: before it nothing was acknowledged.
fn create(
    folder: &Folder,
    inventory: &Inventory,
    identity: &Identity,
    members: Option<Membership>,
    segment_bytes: u64,
) -> Result<(), Error> {
    demand_new(folder, inventory)?;
    let mut frame = Vec::new();
    if let Some(members) = &members {
        let json = json::encode(&Members(Arc::new(members.clone())));
        let (id, content) = (FIRST, Content::Members(&json));
        frame::begin(&mut frame);
        Stored::Entry { id, content }.write(&mut frame);
        let head = frame::Head {
            number: 1,
            synced: FRAMES as u32,
            chain: 0,
        };
        frame::finish(&mut frame, head);
    }
    // No node leads in the term of the first entry.
    let term = members.map_or(Term(0), |_| FIRST.term);
    let head = Head {
        folder: identity.crc(),
        number: 1,
        length: segment_bytes.max((FRAMES + frame.len()) as u64),
        first_frame: 1,
        ballot: Ballot::new(term, None),
        ..Head::default()
    };
    segment::create(folder, head, &frame, None)?;
    identity.create(folder)
}

/// The entry with the members at the start of the cluster.
const FIRST: EntryId = EntryId {
    term: Term(1),
    index: Index(1),
};

/// Without an identity there may be only a first segment as it was created.
pub(super) fn demand_new(folder: &Folder, inventory: &Inventory) -> Result<(), Error> {
    let refuse = |name| {
        let what = "the folder has no identity file, so the owner of this file is unknown";
        Err(folder.refuse(ErrorKind::Missing, name, what))
    };
    if let Some(id) = inventory.snapshots.first() {
        return refuse(Name::Snapshot(*id));
    }
    for number in &inventory.segments {
        let mut bytes = Vec::new();
        segment::read(&folder.open(Name::Segment(*number))?, &mut bytes)?;
        if *number != 1 || frame::used(&bytes) > end_of_first(&bytes) {
            return refuse(Name::Segment(*number));
        }
    }
    Ok(())
}

/// Where the first segment of a log ended when it was created.
fn end_of_first(segment: &[u8]) -> usize {
    let Ok(frame) = frame::read(segment, FRAMES) else {
        return FRAMES;
    };
    match Stored::read(frame.records) {
        Ok((Stored::Entry { id, content }, [])) if id == FIRST => match content {
            Content::Members(_) => frame.end,
            Content::Blank | Content::Command(_) => FRAMES,
        },
        Ok(_) | Err(_) => FRAMES,
    }
}

/// The newest snapshot, if there is any. It must cover all entries before the base of the log.
pub(super) fn newest_snapshot(
    folder: &Folder,
    inventory: &Inventory,
    cluster: Cluster,
    base: EntryId,
) -> Result<Option<Restored>, Error> {
    let newest = inventory.snapshots.last();
    let Some(last) = newest.filter(|last| last.index >= base.index) else {
        if base == EntryId::default() {
            return Ok(None);
        }
        let what = format!("the log begins after entry {base}, but its snapshot is missing");
        return Err(folder.refuse(ErrorKind::Missing, Name::Snapshot(base), what));
    };
    if last.index == base.index && *last != base {
        let what = format!("the log begins after entry {base}, which this snapshot contradicts");
        return Err(folder.refuse(ErrorKind::Foreign, Name::Snapshot(*last), what));
    }
    snapshot::load(folder, cluster, *last).map(Some)
}

/// Writes the base record of a snapshot that was stored right before a crash. Everything in it is
/// committed.
fn write_base<C: Encode>(log: &mut Log, last: EntryId) -> Result<(), Error> {
    let mut records: Vec<Record<C>> = Vec::new();
    // The ballot of the term in which it arrived may not be stored yet.
    if log.tail.ballot.term() < last.term {
        records.push(Record::Ballot(Ballot::new(last.term, None)));
    }
    records.push(Record::Base(last));
    log.append_and_sync(&records)
}

/// The entries of the log while it is read.
pub(super) struct Entries<C>(pub(super) VecDeque<Entry<C>>);

impl<C: for<'a> Decode<'a>> Visitor for Entries<C> {
    fn record(&mut self, record: &Stored<'_>) -> Result<(), Refusal> {
        let (id, content) = match *record {
            Stored::Ballot(_) => return Ok(()),
            Stored::Base { last, kept } => {
                self.rebase(last, kept);
                return Ok(());
            }
            Stored::Entry { id, content } => (id, content),
        };
        // The CRC of the frame is right, so another version of the program wrote it.
        let newer = |what: &str, error| {
            let what = format!("entry {id}: cannot decode its {what}: {error}");
            (ErrorKind::Newer, what)
        };
        let payload = match content {
            Content::Blank => Payload::Blank,
            Content::Command(json) => {
                let command = json::decode_with_depth(json, json::MAX_DEPTH);
                Payload::Command(Arc::new(command.map_err(|e| newer("command", e))?))
            }
            Content::Members(json) => {
                let members: Members = json::decode(json).map_err(|e| newer("members", e))?;
                Payload::Membership(members.0)
            }
        };
        while self.0.back().is_some_and(|last| last.id.index >= id.index) {
            self.0.pop_back();
        }
        self.0.push_back(Entry { id, payload });
        Ok(())
    }
}

impl<C> Entries<C> {
    fn rebase(&mut self, base: EntryId, kept: bool) {
        let covered = self.0.partition_point(|entry| entry.id.index <= base.index);
        self.0.drain(..if kept { covered } else { self.0.len() });
    }
}
