//! A segment: one file of the log.
//!
//! ```text
//!    0  head    what the log was when the segment was made
//!  512  seal    zeros; once the next segment is there, that it is, and where the frames end here
//! 1024  frames  one behind another
//!       zeros   to the end of the file, whose length never changes
//! ```
//!
//! A segment is written aside with all its zeros, so that no later write makes the file grow: a
//! sync then has the bytes to write and nothing else. The head repeats what older segments said and
//! what is still needed, so that they can be deleted.
//!
//! ```text
//! head:   0  "stdraftL"         8  version 4     12  folder 4: the identity's CRC
//!        16  segment's number  24  file's length
//!        32  number of its first frame           40  term   48  vote   56  voted 1
//!        64  base: index, term                   80  last entry: index, term
//!        96  chain 4: the CRC of the frame before
//!       504  CRC of the 504 bytes before    508  "end!"
//! seal: 512  "stdraftS"       520  where the frames end
//!       528  number of the last frame            536  its CRC 4
//!      1016  CRC of the 504 bytes before   1020  "end!"
//! ```
//!
//! What is not named is zero.

use raft_core::{Ballot, EntryId, Index, NodeId, Term};

use super::bytes::{put, u32_at, u64_at};
use super::crc::crc32c;
use super::error::{Error, ErrorKind};
use super::folder::{Folder, Handle, Name};
use super::{FORMAT, frame};

/// Where the seal stands.
pub(super) const SEAL: usize = 512;

/// Where the frames begin.
pub(super) const FRAMES: usize = 1024;

/// How long a segment may be: one frame fits into it, however long it is.
pub(super) const MAX_LENGTH: u64 = (FRAMES + frame::OVERHEAD + frame::MAX_RECORDS) as u64;

/// How far segments and frames are counted. No node gets there, so that any number can have a next
/// one.
const MAX_NUMBER: u64 = 1 << 62;

const HEAD_MAGIC: &[u8; 8] = b"stdraftL";
const SEAL_MAGIC: &[u8; 8] = b"stdraftS";
const BLOCK: usize = 512;
const BLOCK_CRC: usize = 504;
const END: [u8; 4] = *b"end!";

/// What stands at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The identity's CRC: a segment of another folder is no part of this log.
    pub(super) folder: u32,
    pub(super) number: u64,
    pub(super) length: u64,
    pub(super) first_frame: u64,
    pub(super) chain: u32,
    pub(super) ballot: Ballot,
    pub(super) base: EntryId,
    pub(super) last: EntryId,
}

/// What is written into a segment once the next one is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) end: u64,
    pub(super) last_frame: u64,
    pub(super) crc: u32,
}

/// Whether a segment has its seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// The next segment is not there, or a crash came right after it was made.
    No,
    /// A crash came while it was written.
    Torn,
    /// The next segment is there.
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
        if &block[..8] != HEAD_MAGIC {
            return Err((
                ErrorKind::Damaged,
                "it does not begin like a segment of a log",
            ));
        }
        if u32_at(block, 8) > FORMAT {
            return Err((
                ErrorKind::Newer,
                "it is of a version that this program does not know",
            ));
        }
        if !is_closed(block) {
            return Err((ErrorKind::Damaged, "its head has a wrong CRC or end"));
        }
        if u64_at(block, 16).max(u64_at(block, 32)) > MAX_NUMBER {
            return Err((ErrorKind::Damaged, "its head counts further than any log"));
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
            Some(_) | None => Err("its seal has a wrong CRC or end"),
        }
    }
}

/// Makes a segment, whole and without frames. It is there after a crash once this has returned.
pub(super) fn create(folder: &Folder, head: Head) -> Result<Handle, Error> {
    let (handle, ()) = folder.create(Name::Segment(head.number), |file| {
        write_zeros(file, BLOCK as u64, head.length)?;
        file.write_at(&head.to_bytes(), 0)
    })?;
    Ok(handle)
}

/// Writes zeros from one place to another.
pub(super) fn write_zeros(file: &Handle, from: u64, to: u64) -> Result<(), Error> {
    /// They are written in pieces of this size.
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

/// Notes in a segment that the next one is there.
pub(super) fn seal(file: &Handle, seal: Seal) -> Result<(), Error> {
    file.write_at(&seal.to_bytes(), SEAL as u64)?;
    file.sync()
}

/// Reads a whole segment into `bytes`, and its head and seal.
///
/// # Errors
/// If they are not whole, or the file is not as long as it was made.
pub(super) fn read(file: &Handle, bytes: &mut Vec<u8>) -> Result<(Head, Sealed), Error> {
    let length = file.length()?;
    if length < FRAMES as u64 {
        return Err(file
            .refuse(
                ErrorKind::Damaged,
                "it ends within its head, though it was made whole",
            )
            .at(length));
    }
    bytes.clear();
    bytes.resize(FRAMES, 0);
    file.read_at(bytes, 0)?;
    let head = Head::parse(&bytes[..BLOCK]);
    let head = head.map_err(|(kind, what)| file.refuse(kind, what).at(0))?;
    if head.length != length || length > MAX_LENGTH {
        return Err(file
            .refuse(
                ErrorKind::Damaged,
                format!("it is {length} bytes long, but was made {}", head.length),
            )
            .at(length.min(head.length)));
    }
    let seal = Seal::parse(&bytes[SEAL..FRAMES]);
    let seal = seal.map_err(|what| file.refuse(ErrorKind::Damaged, what).at(SEAL as u64))?;
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
