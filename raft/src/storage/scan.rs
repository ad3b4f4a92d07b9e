//! Reads a log from its first segment to its last, and rejects what a crash cannot have left.
//!
//! It changes nothing. Both recovery and `raft log` read with it, so they agree.

use raft_core::{Ballot, Index};

use super::error::{Error, ErrorKind, Refusal};
use super::folder::{Folder, Inventory, Name};
use super::frame::{self, Frame};
use super::outline::Outline;
use super::record::Stored;
use super::segment::{self, FRAMES, Head, SEAL, Seal, Sealed};

/// One thing that a scan meets.
#[derive(Debug)]
pub(super) enum Event<'a> {
    Segment(&'a Head),
    Frame {
        offset: u64,
        number: u64,
        synced: u32,
        bytes: usize,
    },
    Record(Stored<'a>),
    Torn {
        offset: u64,
        bytes: u64,
    },
}

/// The state at the end of a log.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) ballot: Ballot,
    pub(super) outline: Outline,
    pub(super) segments: Vec<Known>,
    /// The CRC of the last frame.
    pub(super) chain: u32,
    /// The number of the next frame.
    pub(super) next_frame: u64,
    /// The offset of the next frame in the last segment.
    pub(super) end: u64,
    /// The last segment was on disk up to this offset before its last batch, as that batch
    /// records.
    pub(super) synced: u64,
    /// The bytes of torn frames from `end` on.
    pub(super) torn: u64,
    /// The last segment but one, and the seal that it must have. While the last one has no frame,
    /// the node may have crashed before it wrote the seal.
    pub(super) before: Option<(u64, Seal)>,
}

/// An existing segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) length: u64,
    /// The highest index of its entries: a base from there on covers the segment.
    pub(super) highest: Index,
}

/// Reads the log. `visit` may reject an event, too.
///
/// # Errors
/// Acknowledged data is damaged or missing.
pub(super) fn scan(
    folder: &Folder,
    inventory: &Inventory,
    identity: u32,
    mut visit: impl FnMut(Event<'_>) -> Result<(), Refusal>,
) -> Result<Scan, Error> {
    let numbers = &inventory.segments;
    let (first, newest) = first_and_newest(folder, numbers)?;
    let mut bytes = Vec::new();
    let mut log: Option<Scan> = None;
    let mut unsealed = None;
    for number in numbers {
        let file = folder.open(Name::Segment(*number))?;
        let (head, sealed) = segment::read(&file, &mut bytes)?;
        let log = log.get_or_insert_with(|| Scan::begin(&head));
        let refuse = |(at, (kind, what)): Bad| file.refuse(kind, what).at(at as u64);

        if (head.number, head.folder) != (*number, identity) {
            let what = "the segment belongs to another folder, or was renamed";
            return Err(file.refuse(ErrorKind::Foreign, what).at(0));
        }
        let walked = log.walk(&head, &bytes, &mut visit);
        let bad = walked.map_err(refuse)?;
        let here = log.seal();
        if let Sealed::Yes(seal) = sealed
            && seal != here
        {
            let what = format!(
                "{}; but when the segment was sealed, frames reached byte {}",
                bad.unwrap_or("the frames end here"),
                seal.end
            );
            return Err(refuse(damaged(log.end as usize, what)));
        }
        if *number < newest {
            check_zeros(&bytes, log.end as usize, bad).map_err(refuse)?;
        } else {
            if sealed != Sealed::No {
                let missing = Name::Segment(number + 1);
                let what = "this segment of the log is missing: the previous one is sealed";
                return Err(folder.refuse(ErrorKind::Missing, missing, what));
            }
            log.torn = torn_tail(&bytes, log.end as usize, bad).map_err(refuse)?;
            if log.torn > 0 {
                let (offset, bytes) = (log.end, log.torn);
                visit(Event::Torn { offset, bytes }).map_err(|refusal| refuse((0, refusal)))?;
            }
        }
        // A segment is used only after the previous one is sealed.
        if let Some(before) = unsealed
            && (*number < newest || frame::used(&bytes) > FRAMES)
        {
            let what = "the seal is missing, but the next segment is in use";
            let lost = folder.refuse(ErrorKind::Damaged, Name::Segment(before), what);
            return Err(lost.at(SEAL as u64));
        }
        if *number < newest {
            let is_sealed = sealed == Sealed::Yes(here);
            unsealed = (!is_sealed).then_some(*number);
            log.before = Some((*number, here));
        }
    }
    let log = log.expect("there is a first segment");
    if let Some(gap) = log.outline.gap() {
        let missing = Name::Segment(first.saturating_sub(1));
        let what = format!(
            "entries {} to {gap} are missing and no snapshot covers them: they were in this segment \
             or an earlier one",
            log.outline.base().index.next()
        );
        return Err(folder.refuse(ErrorKind::Missing, missing, what));
    }
    Ok(log)
}

/// The first and the last of the segments. None between them may be missing.
fn first_and_newest(folder: &Folder, numbers: &[u64]) -> Result<(u64, u64), Error> {
    let (Some(first), Some(newest)) = (numbers.first(), numbers.last()) else {
        let missing = Name::Segment(1);
        return Err(folder.refuse(ErrorKind::Missing, missing, "the log has no segments"));
    };
    if let Some(missing) = numbers
        .windows(2)
        .find_map(|pair| (pair[1] - pair[0] > 1).then_some(pair[0] + 1))
    {
        let what = "this segment of the log is missing, but later ones exist";
        return Err(folder.refuse(ErrorKind::Missing, Name::Segment(missing), what));
    }
    Ok((*first, *newest))
}

/// An offset in a segment, and what is wrong there.
type Bad = (usize, Refusal);

fn damaged(at: usize, what: impl Into<String>) -> Bad {
    (at, (ErrorKind::Damaged, what.into()))
}

impl Scan {
    fn begin(head: &Head) -> Self {
        Self {
            ballot: head.ballot,
            outline: Outline::new(head.base, head.last),
            segments: Vec::new(),
            chain: head.chain,
            next_frame: head.first_frame,
            end: 0,
            synced: 0,
            torn: 0,
            before: None,
        }
    }

    /// The last segment, to which the log is written.
    pub(super) fn newest(&self) -> Known {
        *self.segments.last().expect("a log has a segment")
    }

    /// The seal of the segment that was read last.
    fn seal(&self) -> Seal {
        Seal {
            end: self.end,
            last_frame: self.next_frame.wrapping_sub(1),
            crc: self.chain,
        }
    }

    /// Reads the valid frames. If another frame seems to begin after them, returns what is wrong with
    /// it.
    fn walk(
        &mut self,
        head: &Head,
        bytes: &[u8],
        visit: &mut impl FnMut(Event<'_>) -> Result<(), Refusal>,
    ) -> Result<Option<&'static str>, Bad> {
        let follows = (head.first_frame, head.chain) == (self.next_frame, self.chain)
            && (head.base, head.last) == (self.outline.base(), self.outline.last())
            && head.ballot == self.ballot;
        if !follows {
            let what = "the header does not continue the previous segment";
            return Err(damaged(0, what));
        }
        visit(Event::Segment(head)).map_err(|refusal| (0, refusal))?;
        self.segments.push(Known {
            number: head.number,
            length: head.length,
            highest: Index(0),
        });
        let mut at = FRAMES;
        self.synced = at as u64;
        let mut bad = None;
        while !frame::is_end(bytes, at) {
            match frame::read(bytes, at) {
                Ok(frame) => {
                    let replayed = self.replay(&frame, at, visit);
                    replayed.map_err(|refusal| (at, refusal))?;
                    at = frame.end;
                }
                Err(what) => {
                    bad = Some(what);
                    break;
                }
            }
        }
        self.end = at as u64;
        Ok(bad)
    }

    fn replay(
        &mut self,
        frame: &Frame<'_>,
        at: usize,
        visit: &mut impl FnMut(Event<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let damaged = |what: &str| (ErrorKind::Damaged, what.to_owned());
        let head = frame.head;
        let synced = u64::from(head.synced);
        let fits = (self.synced..=at as u64).contains(&synced);
        if (head.number, head.chain) != (self.next_frame, self.chain) || !fits {
            let what = "the frame is complete, but does not continue the previous one";
            return Err(damaged(what));
        }
        self.synced = synced;
        visit(Event::Frame {
            offset: at as u64,
            number: head.number,
            synced: head.synced,
            bytes: frame.records.len(),
        })?;
        let mut rest = frame.records;
        while !rest.is_empty() {
            let (record, after) = Stored::read(rest)?;
            self.apply(&record).map_err(damaged)?;
            visit(Event::Record(record))?;
            rest = after;
        }
        self.next_frame += 1;
        self.chain = frame.crc;
        Ok(())
    }

    fn apply(&mut self, record: &Stored<'_>) -> Result<(), &'static str> {
        match *record {
            Stored::Ballot(ballot) => {
                let (old, new) = (self.ballot, ballot);
                let same_term = old.term() == new.term();
                if new.term() < old.term()
                    || same_term && old.vote().is_some() && new.vote() != old.vote()
                {
                    return Err("the ballot has a lower term, or another vote in the same term");
                }
                self.ballot = new;
            }
            Stored::Base { last, kept } => self.outline.rebase(last, kept)?,
            Stored::Entry { id, .. } | Stored::Members { id, .. } => {
                self.outline.append(id)?;
                if let Some(segment) = self.segments.last_mut() {
                    segment.highest = segment.highest.max(id.index);
                }
            }
        }
        Ok(())
    }
}

/// Checks a segment that is not the last one: all of it was synced before the next one was created.
fn check_zeros(bytes: &[u8], end: usize, bad: Option<&str>) -> Result<(), Bad> {
    if frame::used(bytes) > end {
        let what = bad.unwrap_or("there are bytes after the last frame");
        let what = format!("{what}; later segments prove that it was complete");
        return Err(damaged(end, what));
    }
    Ok(())
}

/// The bytes that a crash left after the last complete frame of the log.
fn torn_tail(bytes: &[u8], end: usize, bad: Option<&str>) -> Result<u64, Bad> {
    let used = frame::used(bytes).max(end);
    if used > end {
        frame::check_torn(bytes, end).map_err(|why| {
            let what = bad.unwrap_or("there are bytes after the last frame");
            damaged(end, format!("{what}; {why}"))
        })?;
    }
    Ok((used - end) as u64)
}
