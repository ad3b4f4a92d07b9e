//! A segment: one file of the log.
//!
//! ```text
//!    0  head    the state of the log when the segment was created
//!  512  seal    zeros until the next segment exists, then where the frames end here
//! 1024  frames  one after another
//!       zeros   to the end of the file, whose length never changes
//! ```
//!
//! A segment is created with all its zeros, so that no later write makes the file longer: a sync
//! then writes the new bytes and nothing else. The head repeats what is still needed of older
//! segments, so that they can be deleted.
//!
//! ```text
//! head:   0  "stdraftL"         8  version 4     12  folder 4: the identity's CRC
//!        16  segment's number  24  file's length
//!        32  number of its first frame           40  term   48  vote   56  voted 1
//!        64  base: index, term                   80  last entry: index, term
//!        96  chain 4: the CRC of the previous frame
//!       504  CRC of the 504 bytes before    508  "end!"
//! seal: 512  "stdraftS"       520  where the frames end
//!       528  number of the last frame            536  its CRC 4
//!      1016  CRC of the 504 bytes before   1020  "end!"
//! ```
//!
//! All other bytes are zero.

use raft_core::{Ballot, EntryId, Index, NodeId, Term};

use super::bytes::{put, u32_at, u64_at};
use super::crc::crc32c;
use super::error::{Error, ErrorKind};
use super::folder::{Folder, Handle, Name};
use super::frame;

/// The version of segments.
const FORMAT: u32 = 1;

/// The offset of the seal.
pub(super) const SEAL: usize = 512;

/// The offset of the first frame.
pub(super) const FRAMES: usize = 1024;

/// The longest segment: the longest frame fits into it.
pub(super) const MAX_LENGTH: u64 = (FRAMES + frame::OVERHEAD + frame::MAX_RECORDS) as u64;

/// The highest number of a segment or frame. No node reaches it, so every number has a successor.
const MAX_NUMBER: u64 = 1 << 62;

const HEAD_MAGIC: &[u8; 8] = b"stdraftL";
const SEAL_MAGIC: &[u8; 8] = b"stdraftS";
const BLOCK: usize = 512;
const BLOCK_CRC: usize = 504;
const END: [u8; 4] = *b"end!";

/// The head of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The identity's CRC, by which segments of other folders are recognised.
    pub(super) folder: u32,
    pub(super) number: u64,
    pub(super) length: u64,
    pub(super) first_frame: u64,
    pub(super) chain: u32,
    pub(super) ballot: Ballot,
    pub(super) base: EntryId,
    pub(super) last: EntryId,
}

/// The seal of a segment, written once the next one exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) end: u64,
    pub(super) last_frame: u64,
    pub(super) crc: u32,
}

/// The state of a segment's seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// No seal: there is no next segment, or the node crashed just after creating it.
    No,
    /// The node crashed while it wrote the seal.
    Torn,
    /// The next segment exists.
    Yes(Seal),
}

impl Head {
    fn to_bytes(self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let vote = self.ballot.vote();
        put(&mut block, 0, HEAD_MAGIC);
        put(&mut block, 8, &FORMAT.to_le_bytes());
        put(&mut block, 12, &self.folder.to_le_bytes());
        for (offset, number) in [
            (16, self.number),
            (24, self.length),
            (32, self.first_frame),
            (40, self.ballot.term().0),
            (48, vote.map_or(0, |node| node.0)),
            (56, u64::from(vote.is_some())),
            (64, self.base.index.0),
            (72, self.base.term.0),
            (80, self.last.index.0),
            (88, self.last.term.0),
            (96, u64::from(self.chain)),
        ] {
            put(&mut block, offset, &number.to_le_bytes());
        }
        close(block)
    }

    fn parse(block: &[u8]) -> Result<Self, (ErrorKind, &'static str)> {
        let damaged = |what| Err((ErrorKind::Damaged, what));
        if &block[..8] != HEAD_MAGIC {
            return damaged("not a segment of a log");
        }
        if u32_at(block, 8) > FORMAT {
            return Err((ErrorKind::Newer, "its format is newer than this program"));
        }
        if !is_closed(block) {
            return damaged("the CRC or the end of the header is wrong");
        }
        if u64_at(block, 16).max(u64_at(block, 32)) > MAX_NUMBER {
            return damaged("the header holds a number larger than the maximum");
        }
        let entry = |offset| EntryId {
            term: Term(u64_at(block, offset + 8)),
            index: Index(u64_at(block, offset)),
        };
        let vote = (u64_at(block, 56) == 1).then_some(NodeId(u64_at(block, 48)));
        Ok(Self {
            folder: u32_at(block, 12),
            number: u64_at(block, 16),
            length: u64_at(block, 24),
            first_frame: u64_at(block, 32),
            chain: u32_at(block, 96),
            ballot: Ballot::new(Term(u64_at(block, 40)), vote),
            base: entry(64),
            last: entry(80),
        })
    }
}

impl Seal {
    fn to_bytes(self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put(&mut block, 0, SEAL_MAGIC);
        put(&mut block, 8, &self.end.to_le_bytes());
        put(&mut block, 16, &self.last_frame.to_le_bytes());
        put(&mut block, 24, &self.crc.to_le_bytes());
        close(block)
    }

    fn parse(block: &[u8]) -> Result<Sealed, &'static str> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Sealed::No);
        }
        if block[..8] == *SEAL_MAGIC && is_closed(block) {
            return Ok(Sealed::Yes(Self {
                end: u64_at(block, 8),
                last_frame: u64_at(block, 16),
                crc: u32_at(block, 24),
            }));
        }
        match block.last() {
            Some(0) => Ok(Sealed::Torn),
            Some(_) | None => Err("the CRC or the end of the seal is wrong"),
        }
    }
}

/// Creates a segment with these frames, durably. `spare` is a file of zeros of its length, if there
/// is one.
pub(super) fn create(
    folder: &Folder,
    head: Head,
    frames: &[u8],
    spare: Option<Handle>,
) -> Result<Handle, Error> {
    let name = Name::Segment(head.number);
    let (file, aside) = match spare {
        Some(spare) => (spare, Name::SPARE),
        None => {
            let zeros = |file: &Handle| write_zeros(file, BLOCK as u64, head.length);
            (folder.guard(|| folder.prepare(name, zeros))?.0, name)
        }
    };
    folder.guard(|| {
        file.write_at(frames, FRAMES as u64)?;
        file.write_at(&head.to_bytes(), 0)
    })?;
    folder.publish(file, aside, name)
}

/// Writes zeros between two offsets.
pub(super) fn write_zeros(file: &Handle, from: u64, to: u64) -> Result<(), Error> {
    /// The size of one write.
    const PIECE: u64 = 256 << 10;
    let zeros = vec![0; PIECE.min(to - from) as usize];
    let mut at = from;
    while at < to {
        let here = (to - at).min(PIECE);
        file.write_at(&zeros[..here as usize], at)?;
        at += here;
    }
    Ok(())
}

/// Writes the seal of a segment.
pub(super) fn seal(file: &Handle, seal: Seal) -> Result<(), Error> {
    file.write_at(&seal.to_bytes(), SEAL as u64)?;
    file.sync()
}

/// Reads a whole segment into `bytes`, and its head and seal.
///
/// # Errors
/// The head or the seal is damaged, or the file has another length than it was created with.
pub(super) fn read(file: &Handle, bytes: &mut Vec<u8>) -> Result<(Head, Sealed), Error> {
    let length = file.length()?;
    let damaged = |what: String, at| file.refuse(ErrorKind::Damaged, what).at(at);
    if length < FRAMES as u64 {
        return Err(damaged("the file ends inside its header".into(), length));
    }
    bytes.clear();
    bytes.resize(FRAMES, 0);
    file.read_at(bytes, 0)?;
    let head = Head::parse(&bytes[..BLOCK]);
    let head = head.map_err(|(kind, what)| file.refuse(kind, what).at(0))?;
    if head.length != length || length > MAX_LENGTH {
        let created = head.length;
        let what = format!("the file has {length} bytes, but was created with {created}");
        return Err(damaged(what, length.min(created)));
    }
    let seal = Seal::parse(&bytes[SEAL..FRAMES]);
    let seal = seal.map_err(|what| damaged(what.into(), SEAL as u64))?;
    bytes.resize(length as usize, 0);
    file.read_at(&mut bytes[FRAMES..], FRAMES as u64)?;
    Ok((head, seal))
}

fn close(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    let crc = crc32c(&block[..BLOCK_CRC]);
    put(&mut block, BLOCK_CRC, &crc.to_le_bytes());
    put(&mut block, BLOCK_CRC + 4, &END);
    block
}

fn is_closed(block: &[u8]) -> bool {
    crc32c(&block[..BLOCK_CRC]) == u32_at(block, BLOCK_CRC) && block[BLOCK_CRC + 4..] == END
}
