//! A frame: the records of one batch, and all that is needed to tell whether it is whole.
//!
//! ```text
//!  0  mark         FF 'F' 'R' 'M'
//!  4  length       of the records, in bytes
//!  8  number       one more than that of the frame before, across segments
//! 16  synced       all bytes of the segment before this offset were on disk when it was written
//! 20  chain        the CRC of the frame before, across segments
//! 24  CRC          of the 24 bytes before
//! 28  end of head  'r' 'e' 'c' ':'
//! 32  records
//!     zeros, until four bytes are missing to the next multiple of eight
//!  …  CRC          of all bytes of the frame so far
//!     end mark     'e' 'n' 'd' '!'
//! ```
//!
//! Frames begin at multiples of eight, so each piece of one that lies in a sector of 512 bytes has
//! at least eight bytes. No such piece of a whole frame is zero: the first has the mark, the last
//! the end mark, and records are mostly JSON, which has no zero byte. Nor does a frame's mark stand
//! in JSON by chance, since FF stands in no UTF-8 text. So three things tell a frame that was torn
//! by a crash from one that was damaged later: its last byte is zero, or that of its head, or a
//! whole sector of it.

use super::bytes::{put, u32_at, u64_at};
use super::crc::{Crc, crc32c};

/// How many bytes the records of a frame may have. A command must fit in.
pub(super) const MAX_RECORDS: usize = 128 << 20;

/// What a frame takes beside its records, at most.
pub(super) const OVERHEAD: usize = HEAD + 7 + TRAILER;

/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

const HEAD: usize = 32;
const TRAILER: usize = 8;
const MARK: [u8; 4] = *b"\xFFFRM";
const HEAD_END: [u8; 4] = *b"rec:";
const END: [u8; 4] = *b"end!";
const SECTOR: usize = 512;

/// What a frame's head says, but for the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) synced: u32,
    pub(super) chain: u32,
}

/// A frame that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) head: Head,
    pub(super) records: &'a [u8],
    pub(super) crc: u32,
    /// Where it ends, and the next one begins.
    pub(super) end: usize,
}

/// Makes room for a frame's head. The records are to be appended behind it.
pub(super) fn begin(buffer: &mut Vec<u8>) {
    buffer.extend([0; HEAD]);
}

/// How many bytes a frame takes in a segment if it has so many before it is finished.
pub(super) fn room(unfinished: usize) -> u64 {
    (unfinished.next_multiple_of(ALIGNMENT) + TRAILER) as u64
}

/// Makes the frame that begins at `start` whole and returns its CRC. Its length is a multiple of
/// [`ALIGNMENT`].
///
/// # Panics
/// If it has more than [`MAX_RECORDS`].
pub(super) fn finish(buffer: &mut Vec<u8>, start: usize, head: Head) -> u32 {
    let length = buffer.len() - start - HEAD;
    assert!(
        length <= MAX_RECORDS,
        "a frame's records are bounded by the writer"
    );
    buffer.resize(start + HEAD + padded(length), 0);
    let frame = &mut buffer[start..];
    put(frame, 0, &MARK);
    put(frame, 4, &(length as u32).to_le_bytes());
    put(frame, 8, &head.number.to_le_bytes());
    put(frame, 16, &head.synced.to_le_bytes());
    put(frame, 20, &head.chain.to_le_bytes());
    let crc = crc32c(&frame[..24]);
    put(frame, 24, &crc.to_le_bytes());
    put(frame, 28, &HEAD_END);
    let crc = crc32c(frame);
    buffer.extend(crc.to_le_bytes());
    buffer.extend(END);
    crc
}

/// Whether nothing begins at `at`: the segment is full or goes on with zeros.
pub(super) fn is_end(segment: &[u8], at: usize) -> bool {
    let mark = segment.get(at..at + ALIGNMENT);
    mark.is_none_or(|mark| mark == [0; ALIGNMENT])
}

/// The frame that begins at `at`.
///
/// # Errors
/// Says why there is no whole one.
pub(super) fn read(segment: &[u8], at: usize) -> Result<Frame<'_>, &'static str> {
    let (head, end) = read_head(segment, at)?;
    let (body, trailer) = segment[at..end].split_at(end - at - TRAILER);
    let mut crc = Crc::new();
    crc.update(body);
    let crc = crc.value();
    if crc != u32_at(trailer, 0) {
        return Err("a frame's CRC is wrong");
    }
    if trailer[4..] != END {
        return Err("a frame's end mark is wrong");
    }
    let length = u32_at(body, 4) as usize;
    Ok(Frame {
        head,
        records: &body[HEAD..HEAD + length],
        crc,
        end,
    })
}

/// Judges what stands at `at`, where a whole frame in its order does not: the last segment of a log
/// from there on.
///
/// A crash tears only what was not synced. So it is damage if any whole frame further on says that
/// the place was synced; and else it is a torn tail only if it lacks what a torn write lacks.
///
/// # Errors
/// Says why it is damage.
pub(super) fn judge(segment: &[u8], at: usize) -> Result<(), String> {
    let end = used(segment);
    for other in (at + ALIGNMENT..end).step_by(ALIGNMENT) {
        if let Ok(frame) = read(segment, other)
            && frame.head.synced as usize > at
        {
            return Err(format!(
                "it was on disk safely, as the frame at byte {other} says"
            ));
        }
    }
    let (torn, end) = match read_head(segment, at) {
        Ok((_, end)) => (segment[end - 1] == 0, end),
        Err(_) => {
            // A head that a crash spoiled lacks a piece itself: zeros further on prove nothing, for
            // behind the last frame there are only zeros.
            let last_of_head = segment.get(at + HEAD - 1);
            let end = (at + HEAD).min(segment.len());
            (last_of_head.is_none_or(|byte| *byte == 0), end)
        }
    };
    if torn || has_zero_sector(segment, at, end) {
        return Ok(());
    }
    Err("a crash does not leave such bytes: it was whole once".into())
}

/// Where the zeros begin that a segment ends with.
pub(super) fn used(segment: &[u8]) -> usize {
    segment
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1)
}

/// The head of the frame that begins at `at`, and where the frame ends.
fn read_head(segment: &[u8], at: usize) -> Result<(Head, usize), &'static str> {
    let bytes = segment
        .get(at..at + HEAD)
        .ok_or("a frame's head does not fit into the segment")?;
    if bytes[..4] != MARK {
        return Err("no frame begins here");
    }
    if crc32c(&bytes[..24]) != u32_at(bytes, 24) || bytes[28..] != HEAD_END {
        return Err("a frame's head has a wrong CRC or end");
    }
    let length = u32_at(bytes, 4) as usize;
    let end = at + HEAD + padded(length.min(MAX_RECORDS)) + TRAILER;
    if length > MAX_RECORDS || end > segment.len() {
        return Err("a frame is longer than its segment");
    }
    let head = Head {
        number: u64_at(bytes, 8),
        synced: u32_at(bytes, 16),
        chain: u32_at(bytes, 20),
    };
    Ok((head, end))
}

/// Whether all of a sector that lies between two offsets is zero, as far as it lies there.
fn has_zero_sector(segment: &[u8], from: usize, to: usize) -> bool {
    let mut at = from;
    while at < to {
        let next = ((at / SECTOR + 1) * SECTOR).min(to);
        if segment[at..next].iter().all(|byte| *byte == 0) {
            return true;
        }
        at = next;
    }
    false
}

/// How much room records take, so that the frame's end is a multiple of [`ALIGNMENT`].
fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Head = Head {
        number: 1,
        synced: 0,
        chain: 0,
    };

    fn segment(frames: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut starts = Vec::new();
        let mut head = FIRST;
        for records in frames {
            let start = bytes.len();
            head.synced = start as u32;
            starts.push(start);
            begin(&mut bytes);
            bytes.extend(*records);
            head.chain = finish(&mut bytes, start, head);
            head.number += 1;
        }
        bytes.resize(bytes.len() + 2048, 0);
        (bytes, starts)
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        for length in 0..40 {
            let records = vec![b'x'; length];
            let (bytes, _) = segment(&[&records]);
            let frame = read(&bytes, 0).expect("a frame");
            assert_eq!(frame.records, records);
            assert_eq!(frame.head, FIRST);
            assert_eq!(frame.end, used(&bytes));
            assert_eq!(frame.end % ALIGNMENT, 0);
            assert!(is_end(&bytes, frame.end));
        }
    }

    /// The last frame, with every bit flipped in turn: no frame, and no torn tail.
    #[test]
    fn a_flipped_bit_is_damage() {
        let (mut bytes, starts) = segment(&[b"one", &[b'y'; 1500]]);
        let at = starts[1];
        for bit in at * 8..used(&bytes) * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes, at).is_err(), "bit {bit}");
            assert!(judge(&bytes, at).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// With another bit behind the last frame, between zeros.
    #[test]
    fn a_flipped_bit_of_a_head_is_damage_whatever_stands_behind_it() {
        let (mut bytes, starts) = segment(&[b"one", b"two"]);
        let at = starts[1];
        let behind = bytes.len() - 500;
        bytes[behind] = 1;
        for bit in at * 8..(at + HEAD) * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(judge(&bytes, at).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// The last frame, cut at every byte, and with any set of its sectors missing.
    #[test]
    fn what_a_crash_leaves_is_a_torn_tail() {
        let (bytes, starts) = segment(&[&[b'x'; 100], &[b'y'; 1500]]);
        let (at, end) = (starts[1], used(&bytes));
        for cut in at..end {
            let mut torn = bytes.clone();
            torn[cut..].fill(0);
            assert!(is_end(&torn, at) || read(&torn, at).is_err(), "cut {cut}");
            assert_eq!(judge(&torn, at), Ok(()), "cut {cut}");
        }
        let sectors = (end - 1) / SECTOR - at / SECTOR + 1;
        for lost in 1..1usize << sectors {
            let mut torn = bytes.clone();
            for sector in (0..sectors).filter(|sector| lost >> sector & 1 == 1) {
                let from = ((at / SECTOR + sector) * SECTOR).max(at);
                let to = ((at / SECTOR + sector + 1) * SECTOR).min(end);
                torn[from..to].fill(0);
            }
            assert!(
                is_end(&torn, at) || read(&torn, at).is_err(),
                "lost {lost:b}"
            );
            assert_eq!(judge(&torn, at), Ok(()), "lost {lost:b}");
        }
    }

    #[test]
    fn what_a_later_frame_knows_to_be_synced_is_never_torn() {
        let (mut bytes, starts) = segment(&[&[b'x'; 100], b"two", b"three"]);
        bytes[starts[1]..starts[2]].fill(0);
        let said = judge(&bytes, starts[1]).expect_err("damage");
        assert!(said.contains(&format!("byte {}", starts[2])), "{said}");
    }
}
