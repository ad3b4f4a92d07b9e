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
use super::record::Stored;
use super::scan::{self, Event, Scan};
use super::segment::{self, FRAMES, Head};
use super::snapshot::{self, Snapshots};
use super::wal::Log;
use crate::members::Members;

/// The options of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The length of a segment of the log in bytes. A longer frame gets a segment of its own.
    pub segment_bytes: u64,
}

impl Options {
    /// The shortest segment.
    pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;

    /// The longest segment.
    pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 8 << 20,
        }
    }
}

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
/// If the options are out of range.
pub fn open<C>(
    disk: Arc<dyn Disk>,
    identity: &Identity,
    members: Option<Membership>,
    options: Options,
) -> Result<Opened<C>, Error>
where
    C: Encode + for<'a> Decode<'a>,
{
    let limits = Options::SEGMENT_BYTES_MIN..=Options::SEGMENT_BYTES_MAX;
    assert!(
        limits.contains(&options.segment_bytes),
        "segment_bytes is out of range"
    );
    let folder = Arc::new(Folder::lock(disk)?);
    let mut inventory = folder.inventory()?;
    let mut owner = identity.clone();
    if inventory.identity {
        owner = Identity::read(&folder)?;
        identity.demand(&folder, &owner)?;
    } else {
        create(&folder, &inventory, identity, members, options)?;
        inventory = folder.inventory()?;
    }
    recover(folder, &inventory, owner, options)
}

/// Initialises a node's folder. The identity is written last: before it nothing was acknowledged.
fn create(
    folder: &Folder,
    inventory: &Inventory,
    identity: &Identity,
    members: Option<Membership>,
    options: Options,
) -> Result<(), Error> {
    demand_new(folder, inventory)?;
    let mut frame = Vec::new();
    if let Some(members) = &members {
        let json = json::encode(&Members(Arc::new(members.clone())));
        frame::begin(&mut frame);
        Stored::Members {
            id: FIRST,
            json: &json,
        }
        .write(&mut frame);
        let (number, synced, chain) = (1, FRAMES as u32, 0);
        frame::finish(
            &mut frame,
            0,
            frame::Head {
                number,
                synced,
                chain,
            },
        );
    }
    // No node leads in the term of the first entry.
    let term = members.map_or(Term(0), |_| FIRST.term);
    let start = EntryId::default();
    let head = Head {
        folder: identity.crc(),
        number: 1,
        length: options.segment_bytes.max((FRAMES + frame.len()) as u64),
        first_frame: 1,
        chain: 0,
        ballot: Ballot::new(term, None),
        base: start,
        last: start,
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
    match frame::read(segment, FRAMES) {
        Ok(frame) => match Stored::read(frame.records) {
            Ok((Stored::Members { id: FIRST, .. }, [])) => frame.end,
            Ok(_) | Err(_) => FRAMES,
        },
        Err(_) => FRAMES,
    }
}

/// Recovers a node's folder.
fn recover<C>(
    folder: Arc<Folder>,
    inventory: &Inventory,
    owner: Identity,
    options: Options,
) -> Result<Opened<C>, Error>
where
    C: Encode + for<'a> Decode<'a>,
{
    let mut entries = Entries(VecDeque::new());
    let scan = scan::scan(&folder, inventory, owner.crc(), |event| match event {
        Event::Record(record) => entries.take(record),
        Event::Segment(_) | Event::Frame { .. } | Event::Torn { .. } => Ok(()),
    })?;
    let cluster = owner.cluster();
    let snapshot = newest_snapshot(&folder, inventory, cluster, scan.outline.base())?;
    let torn = scan.torn;
    let maintenance = Arc::new(Maintenance::new(folder.clone(), options.segment_bytes));
    let mut log = repair(&folder, &maintenance, inventory, owner.crc(), scan)?;

    if let Some(id) = snapshot.as_ref().map(|snapshot| snapshot.id.last)
        && id != log.base()
    {
        entries.rebase(id, log.holds(id));
        write_base(&mut log, id)?;
    }
    log.note_covered();
    while maintenance.must_remove() {
        maintenance.remove_few()?;
    }
    let recovered = Recovered {
        ballot: log.ballot(),
        snapshot,
        entries: entries.0.into(),
        torn,
    };
    Ok(Opened {
        identity: owner,
        log,
        snapshots: Snapshots::new(folder, maintenance, cluster),
        recovered,
    })
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
    let mut bytes = Vec::new();
    let whole = snapshot::load(folder, cluster, *last, &mut bytes)?;
    let (id, membership) = (whole.id, whole.membership);
    let machine = whole.machine.len();
    // Stripped in place, since the machine may be large.
    snapshot::strip(&mut bytes, machine);
    Ok(Some(Restored {
        id,
        membership,
        machine: bytes,
    }))
}

/// Makes all that was read durable, with zeros after it.
fn repair(
    folder: &Arc<Folder>,
    maintenance: &Arc<Maintenance>,
    inventory: &Inventory,
    identity: u32,
    scan: Scan,
) -> Result<Log, Error> {
    let newest = scan.newest().number;
    let file = folder.open(Name::Segment(newest))?;
    // First the names: a seal and a base record each rely on one.
    folder.sync()?;
    folder.guard(|| {
        // An earlier process may have ended between a write and its sync, or because a sync failed.
        // Its bytes can be read, but the page may count as clean and be lost in a power cut. So
        // they are written again, and the zeros over a torn frame are synced with them.
        let mut tail = vec![0; (scan.end - scan.synced) as usize];
        file.read_at(&mut tail, scan.synced)?;
        file.write_at(&tail, scan.synced)?;
        segment::write_zeros(&file, scan.end, scan.newest().length)?;
        file.sync()?;
        if let Some((before, seal)) = scan.before
            && scan.end == FRAMES as u64
        {
            segment::seal(&folder.open(Name::Segment(before))?, seal)?;
        }
        Ok(())
    })?;
    folder.remove_unfinished(&inventory.unfinished)?;
    let (folder, maintenance) = (folder.clone(), maintenance.clone());
    Ok(Log::resume(folder, maintenance, identity, file, scan))
}

/// Writes the base record of a snapshot that was stored right before a crash. Everything in it is
/// committed.
fn write_base(log: &mut Log, last: EntryId) -> Result<(), Error> {
    let mut records: Vec<Record<Nothing>> = Vec::new();
    // The ballot of the term in which it arrived may not be stored yet.
    if log.ballot().term() < last.term {
        records.push(Record::Ballot(Ballot::new(last.term, None)));
    }
    records.push(Record::Base(last));
    log.append_and_sync(&records)
}

/// The command type of records without commands.
enum Nothing {}

impl Encode for Nothing {
    fn encode(&self, _: &mut json::Writer<'_>) {
        match *self {}
    }
}

/// Decodes the command of an entry.
///
/// # Errors
/// It is not a command of the state machine.
pub(super) fn read_command<'a, C: Decode<'a>>(id: EntryId, bytes: &'a [u8]) -> Result<C, Refusal> {
    json::decode_with_depth(bytes, json::MAX_DEPTH).map_err(|error| {
        // The CRC of the frame is right, so another version of the program wrote it.
        let what = format!("entry {id}: cannot decode its command: {error}");
        (ErrorKind::Newer, what)
    })
}

/// Decodes the members in an entry.
///
/// # Errors
/// They are not members as this program writes them.
pub(super) fn read_members(id: EntryId, bytes: &[u8]) -> Result<Members, Refusal> {
    json::decode(bytes).map_err(|error| {
        let what = format!("entry {id}: cannot decode its members: {error}");
        (ErrorKind::Newer, what)
    })
}

/// The entries of the log while it is read.
struct Entries<C>(VecDeque<Entry<C>>);

impl<C: for<'a> Decode<'a>> Entries<C> {
    fn take(&mut self, record: Stored<'_>) -> Result<(), Refusal> {
        match record {
            Stored::Ballot(_) => {}
            Stored::Base { last, kept } => self.rebase(last, kept),
            Stored::Entry { id, command } => self.push(
                id,
                match command {
                    None => Payload::Blank,
                    Some(bytes) => Payload::Command(Arc::new(read_command(id, bytes)?)),
                },
            ),
            Stored::Members { id, json } => {
                let Members(membership) = read_members(id, json)?;
                self.push(id, Payload::Membership(membership));
            }
        }
        Ok(())
    }

    fn push(&mut self, id: EntryId, payload: Payload<C>) {
        while self.0.back().is_some_and(|last| last.id.index >= id.index) {
            self.0.pop_back();
        }
        self.0.push_back(Entry { id, payload });
    }

    fn rebase(&mut self, base: EntryId, kept: bool) {
        let covered = self.0.partition_point(|entry| entry.id.index <= base.index);
        self.0.drain(..if kept { covered } else { self.0.len() });
    }
}
