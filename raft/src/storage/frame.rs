//! A frame: the records of one batch, with what it takes to verify them.
//!
//! ```text
//!  0  mark         FF 'F' 'R' 'M'
//!  4  length       of the records, in bytes
//!  8  number       one more than that of the previous frame, across segments
//! 16  synced       when this was written, the segment was on disk up to this offset
//! 20  chain        the CRC of the previous frame, across segments
//! 24  CRC          of the 24 bytes before
//! 28  end of head  'r' 'e' 'c' ':'
//! 32  records
//!     zeros, up to a multiple of eight
//!  …  CRC          of all bytes of the frame before
//!     end mark     'e' 'n' 'd' '!'
//! ```
//!
//! Frames begin at multiples of eight, so the part of a frame in any sector of 512 bytes has at
//! least eight bytes. No such part of a complete frame is zero: the first has the mark, the last
//! the end mark, and records are mostly JSON, which has no zero byte. JSON never contains the mark
//! either, since UTF-8 has no byte FF. So a frame was torn by a crash, not damaged later, if its
//! last byte, the last byte of its head or a whole sector of it is zero.

use super::bytes::{put, u32_at, u64_at};
use super::crc::crc32c;

/// The most bytes of records in a frame. A command must fit.
pub(super) const MAX_RECORDS: usize = 128 << 20;

/// The most bytes of a frame beside its records.
pub(super) const OVERHEAD: usize = HEAD + 7 + TRAILER;

/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

const HEAD: usize = 32;
const TRAILER: usize = 8;
const MARK: [u8; 4] = *b"\xFFFRM";
const HEAD_END: [u8; 4] = *b"rec:";
const END: [u8; 4] = *b"end!";
const SECTOR: usize = 512;

/// The head of a frame without the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) synced: u32,
    pub(super) chain: u32,
}

/// A verified frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) head: Head,
    pub(super) records: &'a [u8],
    pub(super) crc: u32,
    /// The offset of its end, where the next frame begins.
    pub(super) end: usize,
}

/// Makes room for a frame's head. The caller then appends the records.
pub(super) fn begin(buffer: &mut Vec<u8>) {
    buffer.extend([0; HEAD]);
}

/// The bytes that a frame takes in a segment if it has `unfinished` bytes before [`finish`].
pub(super) fn room(unfinished: usize) -> u64 {
    (unfinished.next_multiple_of(ALIGNMENT) + TRAILER) as u64
}

/// Completes a frame and returns its CRC. Its length becomes a multiple of [`ALIGNMENT`].
///
/// # Panics
/// If it has more than [`MAX_RECORDS`] bytes of records.
pub(super) fn finish(frame: &mut Vec<u8>, head: Head) -> u32 {
    let length = frame.len() - HEAD;
    assert!(length <= MAX_RECORDS, "the writer bounds a frame's records");
    frame.resize(HEAD + padded(length), 0);
    put(frame, 0, &MARK);
    put(frame, 4, &(length as u32).to_le_bytes());
    put(frame, 8, &head.number.to_le_bytes());
    put(frame, 16, &head.synced.to_le_bytes());
    put(frame, 20, &head.chain.to_le_bytes());
    let crc = crc32c(&frame[..24]);
    put(frame, 24, &crc.to_le_bytes());
    put(frame, 28, &HEAD_END);
    let crc = crc32c(frame);
    frame.extend(crc.to_le_bytes());
    frame.extend(END);
    crc
}

/// Whether no frame begins at `at`: the segment is full or continues with zeros.
pub(super) fn is_end(segment: &[u8], at: usize) -> bool {
    let mark = segment.get(at..at + ALIGNMENT);
    mark.is_none_or(|mark| mark == [0; ALIGNMENT])
}

/// The frame that begins at `at`.
///
/// # Errors
/// Why there is no complete frame.
pub(super) fn read(segment: &[u8], at: usize) -> Result<Frame<'_>, &'static str> {
    let (head, end) = read_head(segment, at)?;
    let (body, trailer) = segment[at..end].split_at(end - at - TRAILER);
    let crc = crc32c(body);
    if crc != u32_at(trailer, 0) {
        return Err("the CRC of the frame is wrong");
    }
    if trailer[4..] != END {
        return Err("the end mark of the frame is wrong");
    }
    let length = u32_at(body, 4) as usize;
    Ok(Frame {
        head,
        records: &body[HEAD..HEAD + length],
        crc,
        end,
    })
}

/// Decides whether the invalid bytes at `at` in the last segment are a torn tail or damage.
///
/// A crash tears only bytes that were not synced. So they are damage if a later complete frame
/// records that this offset was synced. Otherwise they are a torn tail only if a torn write can
/// have left them.
///
/// # Errors
/// Why they are damage.
pub(super) fn check_torn(segment: &[u8], at: usize) -> Result<(), String> {
    let end = used(segment);
    for other in (at + ALIGNMENT..end).step_by(ALIGNMENT) {
        if let Ok(frame) = read(segment, other)
            && frame.head.synced as usize > at
        {
            return Err(format!(
                "these bytes were synced, as the frame at byte {other} records"
            ));
        }
    }
    let (torn, end) = match read_head(segment, at) {
        Ok((_, end)) => (segment[end - 1] == 0, end),
        Err(_) => {
            // A torn head has zeros itself. Zeros after the head prove nothing, since the rest of
            // the segment is zero anyway.
            let last_of_head = segment.get(at + HEAD - 1);
            let end = (at + HEAD).min(segment.len());
            (last_of_head.is_none_or(|byte| *byte == 0), end)
        }
    };
    if torn || has_zero_sector(segment, at, end) {
        return Ok(());
    }
    Err("a crash cannot leave such bytes: the frame was complete once".into())
}

/// The offset of the zeros at the end of a segment.
pub(super) fn used(segment: &[u8]) -> usize {
    let last = segment.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last + 1)
}

/// The head of the frame that begins at `at`, and the frame's end.
fn read_head(segment: &[u8], at: usize) -> Result<(Head, usize), &'static str> {
    let bytes = segment
        .get(at..at + HEAD)
        .ok_or("the segment ends inside the header of a frame")?;
    if bytes[..4] != MARK {
        return Err("no frame begins here");
    }
    if crc32c(&bytes[..24]) != u32_at(bytes, 24) || bytes[28..] != HEAD_END {
        return Err("the CRC or the end of a frame's header is wrong");
    }
    let length = u32_at(bytes, 4) as usize;
    let end = at + HEAD + padded(length.min(MAX_RECORDS)) + TRAILER;
    if length > MAX_RECORDS || end > segment.len() {
        return Err("the frame is longer than its segment");
    }
    let head = Head {
        number: u64_at(bytes, 8),
        synced: u32_at(bytes, 16),
        chain: u32_at(bytes, 20),
    };
    Ok((head, end))
}

/// Whether any sector is zero, as far as it lies between two offsets.
fn has_zero_sector(segment: &[u8], from: usize, to: usize) -> bool {
    let is_zero = |sector: usize| {
        let part = from.max(sector * SECTOR)..to.min((sector + 1) * SECTOR);
        segment[part].iter().all(|byte| *byte == 0)
    };
    (from / SECTOR..to.div_ceil(SECTOR)).any(is_zero)
}

/// The room of records, such that the frame's end is a multiple of [`ALIGNMENT`].
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
            let mut frame = Vec::new();
            begin(&mut frame);
            frame.extend(*records);
            head.chain = finish(&mut frame, head);
            head.number += 1;
            bytes.extend(frame);
        }
        bytes.resize(bytes.len() + 2048, 0);
        (bytes, starts)
    }

    #[test]
    fn frame_is_read_as_written() {
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

    /// Flips every bit of the last frame in turn: it is neither a frame nor a torn tail.
    #[test]
    fn flipped_bit_is_damage() {
        let (mut bytes, starts) = segment(&[b"one", &[b'y'; 1500]]);
        let at = starts[1];
        for bit in at * 8..used(&bytes) * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes, at).is_err(), "bit {bit}");
            assert!(check_torn(&bytes, at).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// With another bit flipped in the zeros after the last frame.
    #[test]
    fn flipped_bit_of_a_head_is_damage() {
        let (mut bytes, starts) = segment(&[b"one", b"two"]);
        let at = starts[1];
        let after = bytes.len() - 500;
        bytes[after] = 1;
        for bit in at * 8..(at + HEAD) * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(check_torn(&bytes, at).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// Cuts the last frame at every byte, and drops any set of its sectors.
    #[test]
    fn crash_leaves_a_torn_tail() {
        let (bytes, starts) = segment(&[&[b'x'; 100], &[b'y'; 1500]]);
        let (at, end) = (starts[1], used(&bytes));
        for cut in at..end {
            let mut torn = bytes.clone();
            torn[cut..].fill(0);
            assert!(is_end(&torn, at) || read(&torn, at).is_err(), "cut {cut}");
            assert_eq!(check_torn(&torn, at), Ok(()), "cut {cut}");
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
            assert_eq!(check_torn(&torn, at), Ok(()), "lost {lost:b}");
        }
    }

    #[test]
    fn synced_bytes_are_never_a_torn_tail() {
        let (mut bytes, starts) = segment(&[&[b'x'; 100], b"two", b"three"]);
        bytes[starts[1]..starts[2]].fill(0);
        let error = check_torn(&bytes, starts[1]).expect_err("damage");
        assert!(error.contains(&format!("byte {}", starts[2])), "{error}");
    }
}
