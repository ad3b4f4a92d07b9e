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

/// Gets what a scan meets.
pub(super) trait Visitor {
    /// A segment.
    fn segment(&mut self, _: &Head) {}

    /// A complete frame at this offset.
    fn frame(&mut self, _offset: usize, _: &Frame<'_>) {}

    /// A record, which may be rejected.
    fn record(&mut self, record: &Stored<'_>) -> Result<(), Refusal>;

    /// This many bytes of torn frames from an offset on.
    fn torn(&mut self, _offset: u64, _bytes: u64) {}
}

/// What was found in a log.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) tail: Tail,
    /// The bytes of torn frames from its end on.
    pub(super) torn: u64,
    /// The last segment but one, and the seal that it must have. While the last one has no frame,
    /// the node may have crashed before it wrote the seal.
    pub(super) before: Option<(u64, Seal)>,
}

/// The state at the end of a log.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) ballot: Ballot,
    pub(super) outline: Outline,
    /// All existing segments, in order.
    pub(super) segments: Vec<Known>,
    /// The CRC of the last frame.
    pub(super) chain: u32,
    /// The number of the next frame.
    pub(super) next_frame: u64,
    /// The offset of the next frame in the last segment.
    pub(super) end: u64,
    /// The last segment is on disk up to this offset. Of a log that was scanned: it was before its
    /// last batch, as that batch records.
    pub(super) synced: u64,
}

/// An existing segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) length: u64,
    /// The highest index of its entries: a base from there on covers the segment.
    pub(super) highest: Index,
}

/// Reads the log.
///
/// # Errors
/// Acknowledged data is damaged or missing, or the visitor rejects a record.
pub(super) fn scan(
    folder: &Folder,
    inventory: &Inventory,
    identity: u32,
    visitor: &mut impl Visitor,
) -> Result<Scan, Error> {
    let numbers = &inventory.segments;
    let (first, newest) = first_and_newest(folder, numbers)?;
    let mut bytes = Vec::new();
    let mut log: Option<Tail> = None;
    let (mut torn, mut before, mut unsealed) = (0, None, None);
    for number in numbers {
        let file = folder.open(Name::Segment(*number))?;
        let (head, sealed) = segment::read(&file, &mut bytes)?;
        let log = log.get_or_insert_with(|| Tail::begin(&head));
        let refuse = |(at, (kind, what)): Bad| file.refuse(kind, what).at(at as u64);

        if (head.number, head.folder) != (*number, identity) {
            let what = "the segment belongs to another folder, or was renamed";
            return Err(file.refuse(ErrorKind::Foreign, what).at(0));
        }
        let bad = log.walk(&head, &bytes, visitor).map_err(refuse)?;
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
        let is_last = *number == newest;
        if is_last && sealed != Sealed::No {
            let what = "this segment of the log is missing: the previous one is sealed";
            return Err(missing(folder, number + 1, what));
        }
        torn = torn_tail(&bytes, log.end as usize, bad, is_last).map_err(refuse)?;
        if torn > 0 {
            visitor.torn(log.end, torn);
        }
        // A segment is used only after the previous one is sealed.
        if let Some(before) = unsealed
            && (!is_last || frame::used(&bytes) > FRAMES)
        {
            let what = "the seal is missing, but the next segment is in use";
            let lost = folder.refuse(ErrorKind::Damaged, Name::Segment(before), what);
            return Err(lost.at(SEAL as u64));
        }
        if !is_last {
            let is_sealed = sealed == Sealed::Yes(here);
            unsealed = (!is_sealed).then_some(*number);
            before = Some((*number, here));
        }
    }
    let tail = log.expect("there is a first segment");
    if let Some(gap) = tail.outline.gap() {
        let what = format!(
            "entries {} to {gap} are missing and no snapshot covers them: they were in this segment \
             or an earlier one",
            tail.outline.base.index.next()
        );
        return Err(missing(folder, first.saturating_sub(1), what));
    }
    Ok(Scan { tail, torn, before })
}

/// The first and the last of the segments. None between them may be missing.
fn first_and_newest(folder: &Folder, numbers: &[u64]) -> Result<(u64, u64), Error> {
    let (Some(&first), Some(&newest)) = (numbers.first(), numbers.last()) else {
        return Err(missing(folder, 1, "the log has no segments"));
    };
    let mut all = (first..=newest).zip(numbers);
    match all.find(|(expected, number)| expected != *number) {
        None => Ok((first, newest)),
        Some((gone, _)) => {
            let what = "this segment of the log is missing, but later ones exist";
            Err(missing(folder, gone, what))
        }
    }
}

/// The error that a segment is missing.
fn missing(folder: &Folder, number: u64, what: impl Into<String>) -> Error {
    folder.refuse(ErrorKind::Missing, Name::Segment(number), what)
}

/// An offset in a segment, and what is wrong there.
type Bad = (usize, Refusal);

fn damaged(at: usize, what: impl Into<String>) -> Bad {
    (at, (ErrorKind::Damaged, what.into()))
}

impl Tail {
    fn begin(head: &Head) -> Self {
        Self {
            ballot: head.ballot,
            outline: Outline::new(head.base, head.last),
            segments: Vec::new(),
            chain: head.chain,
            next_frame: head.first_frame,
            end: 0,
            synced: 0,
        }
    }

    /// Continues in a segment without frames.
    pub(super) fn enter(&mut self, number: u64, length: u64) {
        let highest = Index(0);
        self.segments.push(Known {
            number,
            length,
            highest,
        });
        (self.end, self.synced) = (FRAMES as u64, FRAMES as u64);
    }

    /// The last segment, to which the log is written.
    pub(super) fn newest(&mut self) -> &mut Known {
        self.segments.last_mut().expect("a log has a segment")
    }

    /// The seal of the last segment, if it ends here.
    pub(super) fn seal(&self) -> Seal {
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
        visitor: &mut impl Visitor,
    ) -> Result<Option<&'static str>, Bad> {
        let follows = (head.first_frame, head.chain) == (self.next_frame, self.chain)
            && (head.base, head.last) == (self.outline.base, self.outline.last)
            && head.ballot == self.ballot;
        if !follows {
            let what = "the header does not continue the previous segment";
            return Err(damaged(0, what));
        }
        visitor.segment(head);
        self.enter(head.number, head.length);
        while !frame::is_end(bytes, self.end as usize) {
            let at = self.end as usize;
            match frame::read(bytes, at) {
                Ok(frame) => {
                    let replayed = self.replay(&frame, visitor);
                    replayed.map_err(|refusal| (at, refusal))?;
                }
                Err(what) => return Ok(Some(what)),
            }
        }
        Ok(None)
    }

    fn replay(&mut self, frame: &Frame<'_>, visitor: &mut impl Visitor) -> Result<(), Refusal> {
        let damaged = |what: &str| (ErrorKind::Damaged, what.to_owned());
        let head = frame.head;
        let synced = u64::from(head.synced);
        let fits = (self.synced..=self.end).contains(&synced);
        if (head.number, head.chain) != (self.next_frame, self.chain) || !fits {
            let what = "the frame is complete, but does not continue the previous one";
            return Err(damaged(what));
        }
        self.synced = synced;
        visitor.frame(self.end as usize, frame);
        let mut rest = frame.records;
        while !rest.is_empty() {
            let (record, after) = Stored::read(rest)?;
            if let Some(index) = self.apply(&record).map_err(damaged)? {
                let segment = self.newest();
                segment.highest = segment.highest.max(index);
            }
            visitor.record(&record)?;
            rest = after;
        }
        self.next_frame += 1;
        self.chain = frame.crc;
        self.end = frame.end as u64;
        Ok(())
    }

    /// Applies a record. Returns the index of its entry, if it has one.
    ///
    /// # Errors
    /// The record does not fit the log. Nothing has changed then.
    pub(super) fn apply(&mut self, record: &Stored<'_>) -> Result<Option<Index>, &'static str> {
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
            Stored::Entry { id, .. } => {
                self.outline.append(id)?;
                return Ok(Some(id.index));
            }
        }
        Ok(None)
    }
}

/// The bytes that a crash left after the last complete frame of a segment. It can leave some in the
/// last one alone: all of another one was synced before the next one was created.
fn torn_tail(bytes: &[u8], end: usize, bad: Option<&str>, is_last: bool) -> Result<u64, Bad> {
    let used = frame::used(bytes);
    if used <= end {
        return Ok(0);
    }
    let torn = match is_last {
        true => frame::check_torn(bytes, end),
        false => Err("later segments prove that it was complete".into()),
    };
    torn.map_err(|why| {
        let what = bad.unwrap_or("there are bytes after the last frame");
        damaged(end, format!("{what}; {why}"))
    })?;
    Ok((used - end) as u64)
}
