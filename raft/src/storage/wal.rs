//! The log that a node writes to: one frame and one sync for each batch.

use std::sync::Arc;

use json::Encode;
use raft_core::{Ballot, EntryId, Index, Payload, Record, Wal};

use super::error::{Error, ErrorKind};
use super::folder::{Folder, Handle};
use super::frame;
use super::maintenance::Maintenance;
use super::outline::Outline;
use super::record::Stored;
use super::scan::{Known, Scan};
use super::segment::{self, FRAMES, Seal};
use crate::members::Members;

/// A larger batch is written as several frames. A crash may then leave the first few, which is a
/// state that a smaller batch would have left.
const FRAME_BYTES: usize = 4 << 20;

/// A node's log, open at its end.
#[derive(Debug)]
pub struct Log {
    folder: Arc<Folder>,
    maintenance: Arc<Maintenance>,
    /// The identity's CRC.
    identity: u32,
    ballot: Ballot,
    outline: Outline,
    /// All existing segments, in order. The last one is written to.
    segments: Vec<Known>,
    file: Handle,
    /// The offset of the next frame.
    end: u64,
    /// The last segment is on disk up to this offset.
    synced: u64,
    next_frame: u64,
    /// The CRC of the previous frame.
    chain: u32,
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
    /// A buffer for the command that is being encoded.
    command: Vec<u8>,
}

impl Log {
    /// Continues a log at its end. All of it is synced, and followed by zeros.
    pub(super) fn resume(
        folder: Arc<Folder>,
        maintenance: Arc<Maintenance>,
        identity: u32,
        file: Handle,
        scan: Scan,
    ) -> Self {
        Self {
            folder,
            maintenance,
            identity,
            ballot: scan.ballot,
            outline: scan.outline,
            segments: scan.segments,
            file,
            end: scan.end,
            synced: scan.end,
            next_frame: scan.next_frame,
            chain: scan.chain,
            draft: Draft::default(),
        }
    }

    /// The last entry that a snapshot covers.
    #[must_use]
    pub fn base(&self) -> EntryId {
        self.outline.base()
    }

    /// The last entry, or the base if there is none.
    #[must_use]
    pub fn last(&self) -> EntryId {
        self.outline.last()
    }

    /// The size of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    pub(super) fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// Whether the log holds this entry.
    pub(super) fn holds(&self, id: EntryId) -> bool {
        self.outline.holds(id)
    }

    /// Notes that segments whose entries the base covers, and older snapshots, can be removed. The
    /// base record must be on disk.
    pub(super) fn note_covered(&mut self) {
        let base = self.outline.base();
        let older = &self.segments[..self.segments.len() - 1];
        let covered = older.iter().take_while(|s| s.highest <= base.index);
        let covered = ..covered.count();
        let removed = self.segments.drain(covered).map(|s| s.number);
        self.maintenance.cover(removed, base.index);
    }

    fn append<C: Encode>(&mut self, record: &Record<C>) -> Result<(), Error> {
        match record {
            Record::Ballot(ballot) => self.push(Stored::Ballot(*ballot)),
            Record::Base(last) => {
                let kept = self.outline.holds(*last);
                self.push(Stored::Base { last: *last, kept })
            }
            Record::Entries(entries) => entries.iter().try_for_each(|entry| match &entry.payload {
                Payload::Blank => self.push(Stored::Entry {
                    id: entry.id,
                    command: None,
                }),
                Payload::Membership(membership) => self.push(Stored::Members {
                    id: entry.id,
                    json: &json::encode(&Members(membership.clone())),
                }),
                Payload::Command(command) => {
                    let mut bytes = std::mem::take(&mut self.draft.command);
                    bytes.clear();
                    json::encode_into(&**command, &mut bytes);
                    let pushed = self.push(Stored::Entry {
                        id: entry.id,
                        command: Some(&bytes),
                    });
                    self.draft.command = bytes;
                    pushed
                }
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
            self.draft.before = (self.ballot, self.outline.base(), self.outline.last());
            self.draft.highest = Index(0);
            frame::begin(&mut self.draft.bytes);
        }
        match record {
            Stored::Ballot(ballot) => self.ballot = ballot,
            Stored::Base { last, kept } => {
                let replayed = self.outline.rebase(last, kept);
                replayed.map_err(|what| self.refuse(what))?;
            }
            Stored::Entry { id, .. } | Stored::Members { id, .. } => {
                let appended = self.outline.append(id);
                appended.map_err(|what| self.refuse(what))?;
                self.draft.highest = self.draft.highest.max(id.index);
            }
        }
        record.write(&mut self.draft.bytes);
        Ok(())
    }

    /// Writes the frame without a sync.
    fn write(&mut self) -> Result<(), Error> {
        let needed = frame::room(self.draft.bytes.len());
        let segment = self.segments.last().expect("a log has a segment");
        if self.end + needed > segment.length {
            self.begin_segment(needed)?;
        }
        let head = frame::Head {
            number: self.next_frame,
            synced: self.synced as u32,
            chain: self.chain,
        };
        self.chain = frame::finish(&mut self.draft.bytes, 0, head);
        self.file.write_at(&self.draft.bytes, self.end)?;
        self.next_frame += 1;
        self.end += self.draft.bytes.len() as u64;
        self.draft.bytes.clear();
        let segment = self.segments.last_mut().expect("a log has a segment");
        segment.highest = segment.highest.max(self.draft.highest);
        Ok(())
    }

    /// Begins a new segment with room for a frame of `needed` bytes.
    fn begin_segment(&mut self, needed: u64) -> Result<(), Error> {
        self.sync()?;
        let old = self.segments.last().expect("a log has a segment");
        let number = old.number + 1;
        let length = self.maintenance.segment_bytes().max(FRAMES as u64 + needed);
        let (ballot, base, last) = self.draft.before;
        let is_usual = length == self.maintenance.segment_bytes();
        let spare = is_usual.then(|| self.maintenance.take_spare()).flatten();
        let new = segment::create(
            &self.folder,
            segment::Head {
                folder: self.identity,
                number,
                length,
                first_frame: self.next_frame,
                chain: self.chain,
                ballot,
                base,
                last,
            },
            &[],
            spare,
        )?;
        self.maintenance.spare_used();
        let seal = Seal {
            end: self.end,
            last_frame: self.next_frame - 1,
            crc: self.chain,
        };
        segment::seal(&self.file, seal)?;
        self.file = new;
        self.segments.push(Known {
            number,
            length,
            highest: Index(0),
        });
        self.end = FRAMES as u64;
        self.synced = self.end;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.synced < self.end {
            self.file.sync()?;
            self.synced = self.end;
        }
        Ok(())
    }

    fn refuse(&self, what: &str) -> Error {
        let what = format!("cannot append: {what}");
        self.file.refuse(ErrorKind::Impossible, what)
    }
}

impl<C: Encode> Wal<C> for Log {
    type Error = Error;

    fn append_and_sync(&mut self, records: &[Record<C>]) -> Result<(), Error> {
        let folder = self.folder.clone();
        folder.guard(|| {
            records.iter().try_for_each(|record| self.append(record))?;
            if !self.draft.bytes.is_empty() {
                self.write()?;
            }
            self.sync()
        })?;
        if records
            .iter()
            .any(|record| matches!(record, Record::Base(_)))
        {
            self.note_covered();
        }
        Ok(())
    }
}
