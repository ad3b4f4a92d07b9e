//! The log that a node writes to: one frame and one sync for each batch.

use std::sync::Arc;

use json::Encode;
use raft_core::{Ballot, Entry, EntryId, Index, Payload, Record, Wal};

use super::error::{Error, ErrorKind};
use super::folder::{Handle, Inventory, Name};
use super::frame;
use super::maintenance::Maintenance;
use super::record::{Content, Stored};
use super::scan::{Known, Scan, Tail};
use super::segment::{self, FRAMES};
use crate::members::Members;

/// A larger batch is written as several frames. A crash may then leave the first few, which is a
/// state that a smaller batch would have left.
const FRAME_BYTES: usize = 4 << 20;

/// A node's log, open at its end.
#[derive(Debug)]
pub struct Log {
    maintenance: Arc<Maintenance>,
    /// The identity's CRC.
    identity: u32,
    pub(super) tail: Tail,
    /// The last segment.
    file: Handle,
    draft: Draft,
}

/// The frame that is being filled.
#[derive(Debug, Default)]
struct Draft {
    bytes: Vec<u8>,
    /// The ballot, base and last entry before this frame.
    before: (Ballot, EntryId, EntryId),
    /// The highest index of its entries.
    highest: Index,
    /// A buffer for the content of an entry.
    json: Vec<u8>,
}

impl Log {
    /// Continues a log at its end: makes all that was read durable, with zeros after it.
    pub(super) fn resume(
        maintenance: Arc<Maintenance>,
        inventory: &Inventory,
        identity: u32,
        scan: Scan,
    ) -> Result<Self, Error> {
        let (folder, mut tail) = (&maintenance.folder, scan.tail);
        let Known { number, length, .. } = *tail.newest();
        let file = folder.open(Name::Segment(number))?;
        folder.guard(|| {
            // First the names: a seal and a base record each rely on one.
            folder.sync_names()?;
            // An earlier process may have ended between a write and its sync, or because a sync
            // failed. Its bytes can be read, but the page may count as clean and be lost in a power
            // cut. So they are written again, and the zeros over a torn frame are synced with them.
            let mut bytes = vec![0; (tail.end - tail.synced) as usize];
            file.read_at(&mut bytes, tail.synced)?;
            file.write_at(&bytes, tail.synced)?;
            segment::write_zeros(&file, tail.end, length)?;
            file.sync()?;
            tail.synced = tail.end;
            if let Some((before, seal)) = scan.before
                && tail.end == FRAMES as u64
            {
                segment::seal(&folder.open(Name::Segment(before))?, seal)?;
            }
            let unfinished = &inventory.unfinished;
            unfinished
                .iter()
                .try_for_each(|name| folder.remove_text(name))
        })?;
        Ok(Self {
            maintenance,
            identity,
            tail,
            file,
            draft: Draft::default(),
        })
    }

    /// The last entry that a snapshot covers.
    #[must_use]
    pub fn base(&self) -> EntryId {
        self.tail.outline.base
    }

    /// The last entry, or the base if there is none.
    #[must_use]
    pub fn last(&self) -> EntryId {
        self.tail.outline.last
    }

    /// The size of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tail.segments.iter().map(|s| s.length).sum()
    }

    /// Notes that segments whose entries the base covers, and older snapshots, can be removed. The
    /// base record must be on disk.
    pub(super) fn note_covered(&mut self) {
        let base = self.tail.outline.base;
        let older = &self.tail.segments[..self.tail.segments.len() - 1];
        let covered = older.iter().take_while(|s| s.highest <= base.index);
        let covered = ..covered.count();
        let removed = self.tail.segments.drain(covered).map(|s| s.number);
        self.maintenance.cover(removed, base.index);
    }

    fn append<C: Encode>(&mut self, record: &Record<C>) -> Result<(), Error> {
        match record {
            Record::Ballot(ballot) => self.push(Stored::Ballot(*ballot)),
            Record::Base(last) => {
                let kept = self.tail.outline.holds(*last);
                self.push(Stored::Base { last: *last, kept })
            }
            Record::Entries(entries) => entries.iter().try_for_each(|Entry { id, payload }| {
                let mut json = std::mem::take(&mut self.draft.json);
                json.clear();
                let content = match payload {
                    Payload::Blank => Content::Blank,
                    Payload::Command(command) => {
                        json::encode_into(&**command, &mut json);
                        Content::Command(&json)
                    }
                    Payload::Membership(members) => {
                        json::encode_into(&Members(members.clone()), &mut json);
                        Content::Members(&json)
                    }
                };
                let pushed = self.push(Stored::Entry { id: *id, content });
                self.draft.json = json;
                pushed
            }),
        }
    }

    /// Adds a record to the frame that is being filled.
    fn push(&mut self, record: Stored<'_>) -> Result<(), Error> {
        let length = record.length();
        if length > frame::MAX_RECORDS {
            let what = format!(
                "a command of {length} bytes exceeds the limit of {} bytes",
                frame::MAX_RECORDS
            );
            return Err(self.file.refuse(ErrorKind::TooLarge, what));
        }
        if !self.draft.bytes.is_empty() && self.draft.bytes.len() + length > FRAME_BYTES {
            self.write()?;
        }
        if self.draft.bytes.is_empty() {
            self.draft.before = (self.tail.ballot, self.base(), self.last());
            self.draft.highest = Index(0);
            frame::begin(&mut self.draft.bytes);
        }
        let applied = self.tail.apply(&record).map_err(|what| {
            let what = format!("cannot append: {what}");
            self.file.refuse(ErrorKind::Impossible, what)
        })?;
        self.draft.highest = self.draft.highest.max(applied.unwrap_or_default());
        record.write(&mut self.draft.bytes);
        Ok(())
    }

    /// Writes the frame without a sync.
    fn write(&mut self) -> Result<(), Error> {
        let needed = frame::room(self.draft.bytes.len());
        if self.tail.end + needed > self.tail.newest().length {
            self.begin_segment(needed)?;
        }
        let tail = &mut self.tail;
        let head = frame::Head {
            number: tail.next_frame,
            synced: tail.synced as u32,
            chain: tail.chain,
        };
        tail.chain = frame::finish(&mut self.draft.bytes, head);
        self.file.write_at(&self.draft.bytes, tail.end)?;
        tail.next_frame += 1;
        tail.end += self.draft.bytes.len() as u64;
        self.draft.bytes.clear();
        let segment = tail.newest();
        segment.highest = segment.highest.max(self.draft.highest);
        Ok(())
    }

    /// Begins a new segment with room for a frame of `needed` bytes.
    fn begin_segment(&mut self, needed: u64) -> Result<(), Error> {
        self.sync()?;
        let number = self.tail.newest().number + 1;
        let usual = self.maintenance.segment_bytes;
        let length = usual.max(FRAMES as u64 + needed);
        let (ballot, base, last) = self.draft.before;
        let spare = (length == usual).then(|| self.maintenance.take_spare());
        let new = segment::create(
            &self.maintenance.folder,
            segment::Head {
                folder: self.identity,
                number,
                length,
                first_frame: self.tail.next_frame,
                chain: self.tail.chain,
                ballot,
                base,
                last,
            },
            &[],
            spare.flatten(),
        )?;
        self.maintenance.spare_used();
        segment::seal(&self.file, self.tail.seal())?;
        self.file = new;
        self.tail.enter(number, length);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.tail.synced < self.tail.end {
            self.file.sync()?;
            self.tail.synced = self.tail.end;
        }
        Ok(())
    }
}

impl<C: Encode> Wal<C> for Log {
    type Error = Error;

    fn append_and_sync(&mut self, records: &[Record<C>]) -> Result<(), Error> {
        let maintenance = self.maintenance.clone();
        maintenance.folder.guard(|| {
            records.iter().try_for_each(|record| self.append(record))?;
            if !self.draft.bytes.is_empty() {
                self.write()?;
            }
            self.sync()
        })?;
        if records.iter().any(|r| matches!(r, Record::Base(_))) {
            self.note_covered();
        }
        Ok(())
    }
}
