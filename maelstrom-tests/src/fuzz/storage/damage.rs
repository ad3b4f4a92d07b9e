//! Damage to the files of a folder.

use std::collections::BTreeSet;
use std::sync::Arc;

use raft::storage::crc32c;

use super::folder::Files;
use crate::fuzz::tape::Tape;

/// How bad the damage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No damage.
    None,
    /// A few bits, in different bytes, are flipped.
    Bits,
    /// Bytes and files are missing or in other places, but no CRC was computed anew.
    Structure,
    /// The CRCs were computed anew.
    Forged,
}

/// Draws some damage and does it. Returns its kind, and what was done.
pub(super) fn inflict(tape: &mut Tape, files: &mut Files) -> (Kind, String) {
    let kind = tape.choose(&[
        Kind::None,
        Kind::Bits,
        Kind::Structure,
        Kind::Structure,
        Kind::Forged,
        Kind::Forged,
    ]);
    let (mut steps, mut hit) = (Vec::new(), BTreeSet::new());
    let times = match kind {
        Kind::None => 0,
        Kind::Bits | Kind::Structure | Kind::Forged => 1 + tape.below(3),
    };
    for _ in 0..times {
        steps.extend(match kind {
            Kind::None => None,
            Kind::Bits => flip(tape, files, &mut hit),
            Kind::Structure => disarrange(tape, files),
            Kind::Forged => Some(forge(tape, files)),
        });
    }
    (kind, format!("{kind:?}: {}", steps.join(", ")))
}

/// Flips a bit in a byte that was not hit before: two flips could make it zero, which looks like a
/// crash.
fn flip(tape: &mut Tape, files: &mut Files, hit: &mut BTreeSet<(String, usize)>) -> Option<String> {
    let name = draw_name(tape, files);
    let at = place(tape, &files[&name]);
    if at == files[&name].len() || !hit.insert((name.clone(), at)) {
        return None;
    }
    let bit = tape.below(8);
    bytes(files, &name)[at] ^= 1 << bit;
    Some(format!("bit {bit} of byte {at} of {name}"))
}

fn disarrange(tape: &mut Tape, files: &mut Files) -> Option<String> {
    if files.is_empty() {
        return None;
    }
    let name = draw_name(tape, files);
    let at = place(tape, &files[&name]);
    let what = match tape.below(8) {
        0 => {
            bytes(files, &name).truncate(at);
            "cut"
        }
        1 | 2 => {
            bytes(files, &name)[at..].fill(0);
            "zeros to the end"
        }
        3 => {
            let end = (at + 1 + tape.below(1_024) as usize).min(files[&name].len());
            bytes(files, &name)[at..end].fill(0);
            "zeros"
        }
        4 => {
            files.remove(&name);
            "removed"
        }
        5 => {
            let other = draw_name(tape, files);
            let (one, two) = (files[&name].clone(), files[&other].clone());
            files.insert(name.clone(), two);
            files.insert(other, one);
            "exchanged"
        }
        6 => {
            // As an unfinished file, a segment or a snapshot.
            let other = match tape.below(3) {
                0 => format!("{name}.new"),
                1 if tape.chance(1, 8) => format!("log-{}", u64::MAX),
                1 => format!("log-{:020}", tape.below(12)),
                _ => format!("snapshot-{:020}-{:020}", tape.below(40), tape.below(4)),
            };
            files.insert(other, files[&name].clone());
            "doubled"
        }
        _ => {
            let length = 1 + tape.below(600) as usize;
            let from = place(tape, &files[&name]);
            let file = bytes(files, &name);
            let length = length.min(file.len() - at.max(from));
            file.copy_within(from..from + length, at);
            "copied over"
        }
    };
    Some(format!("{name} {what} at {at}"))
}

/// Changes some bytes and corrects the CRCs.
fn forge(tape: &mut Tape, files: &mut Files) -> String {
    let name = draw_name(tape, files);
    let file = bytes(files, &name);
    let mut at = place(tape, file);
    if tape.chance(1, 2) {
        // Numbers are aligned.
        at &= !7;
    }
    let value = tape.choose(&[0, 1, 2, 3, 9, 255, u64::MAX, 1 << 63, u64::MAX - 1, 1 << 32]);
    let width = tape.choose(&[1, 4, 8]).min(file.len() - at);
    file[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    forge_crcs(&name, file);
    format!("{width} bytes of {value:x} at {at} of {name}, forged")
}

fn bytes<'a>(files: &'a mut Files, name: &str) -> &'a mut Vec<u8> {
    Arc::make_mut(files.get_mut(name).expect("it is there"))
}

/// One of the files.
fn draw_name(tape: &mut Tape, files: &Files) -> String {
    let at = tape.below(files.len() as u64) as usize;
    let name = files.keys().nth(at);
    name.cloned().unwrap_or_default()
}

/// A place in a file or its end, mostly in the part that is not zero.
fn place(tape: &mut Tape, file: &[u8]) -> usize {
    let last = file.iter().rposition(|byte| *byte != 0);
    let used = last.map_or(0, |last| last + 1);
    let at = match tape.below(6) {
        0 => tape.below(file.len() as u64 + 1),
        1 => tape.below(160),
        2 => 1024 + tape.below(160),
        3 => (used as u64).saturating_sub(tape.below(64)),
        _ => tape.below(used as u64 + 1),
    };
    (at as usize).min(file.len())
}

/// Corrects all CRCs, at the places given in `docs/STORAGE.md`, but not the identity's: that file
/// is checked as a whole.
fn forge_crcs(name: &str, file: &mut [u8]) {
    if name.starts_with("snapshot-") && file.len() > 4 {
        let end = file.len() - 4;
        put(file, end, crc32c(&file[..end]));
    }
    if !name.starts_with("log-") || file.len() < 1024 {
        return;
    }
    for block in [0, 512] {
        // A seal that was never written is all zeros.
        if file[block..block + 512].iter().any(|byte| *byte != 0) {
            put(file, block + 504, crc32c(&file[block..block + 504]));
        }
    }
    let mut at = 1024;
    while file.get(at..at + 4) == Some(b"\xFFFRM") {
        let length = file.get(at + 4..).and_then(|rest| rest.first_chunk());
        let length = length.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
        let end = at + 32 + length.next_multiple_of(8);
        if end + 8 > file.len() {
            break;
        }
        put(file, at + 24, crc32c(&file[at..at + 24]));
        let crc = crc32c(&file[at..end]);
        put(file, end, crc);
        at = end + 8;
        if file.get(at..at + 4) == Some(b"\xFFFRM") {
            put(file, at + 20, crc);
        }
    }
}

fn put(file: &mut [u8], at: usize, crc: u32) {
    file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}
