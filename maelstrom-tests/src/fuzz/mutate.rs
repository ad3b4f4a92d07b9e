//! Draws JSON, and damages it.

use json::Value;
use rand::Rng;

/// Numbers at the limits of types.
const EDGES: [&str; 16] = [
    "0",
    "-0",
    "1",
    "-1",
    "255",
    "256",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e2",
    "1.5",
    "1e400",
    "123456789012345678901234567890.5e-7",
];

/// Texts that mean something to a reader of JSON.
const PIECES: [&[u8]; 20] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u00",
    b"\\ud83d",
    b"null",
    b"true",
    b"-",
    b"1e9",
    b"\"type\":",
    b"\n",
    b"\r\n",
    b" ",
    b"\xc3\xa4",
    b"\xff",
];

/// One of the items; there must be one.
pub(super) fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    *rng.choose(items).expect("not empty")
}

/// One of the samples, mostly damaged. Now and then, noise.
pub(super) fn sample(rng: &mut Rng, samples: &[&str]) -> Vec<u8> {
    if rng.chance(1, 32) {
        return noise(rng);
    }
    let mut bytes = pick(rng, samples).as_bytes().to_vec();
    if rng.chance(3, 4) {
        spoil(rng, &mut bytes);
    }
    bytes
}

/// Damages an input in one to four places: bytes, spans, numbers, and members of objects.
pub(super) fn spoil(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.range(1..=4) {
        let at = place(rng, bytes.len());
        match rng.below(9) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = rng.next_u64() as u8;
                }
            }
            2 => bytes.truncate(at),
            3 => {
                let end = (at + span(rng)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + span(rng)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = place(rng, bytes.len());
                bytes.splice(to..to, copy);
            }
            5 => {
                let piece = pick(rng, &PIECES);
                bytes.splice(at..at, piece.iter().copied());
            }
            6 => {
                // Another number.
                let digit = |byte: &u8| byte.is_ascii_digit() || b"-+.eE".contains(byte);
                if let Some(from) = bytes[at..].iter().position(u8::is_ascii_digit) {
                    let from = at + from;
                    let length = bytes[from..].iter().take_while(|byte| digit(byte)).count();
                    bytes.splice(from..from + length, number(rng).bytes());
                }
            }
            7 => member(rng, bytes, at),
            _ => {
                let other = place(rng, bytes.len());
                if other < bytes.len() && at < bytes.len() {
                    bytes.swap(at, other);
                }
            }
        }
    }
}

/// Removes, doubles or renames what looks like a member of an object, at or after a place.
fn member(rng: &mut Rng, bytes: &mut Vec<u8>, at: usize) {
    let starts = |window: &[u8]| matches!(window, [b'{' | b',', b'"']);
    let Some(from) = bytes[at..].windows(2).position(starts) else {
        return;
    };
    let from = at + from + 1;
    let length = bytes[from..].iter().position(|byte| b",}".contains(byte));
    let end = length.map_or(bytes.len(), |length| from + length);
    match rng.below(3) {
        0 => {
            // With its comma.
            let end = end + usize::from(bytes.get(end) == Some(&b','));
            bytes.drain(from..end);
        }
        1 => {
            let mut copy = bytes[from..end].to_vec();
            copy.push(b',');
            bytes.splice(from..from, copy);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(from + 1) {
                *byte = b'a' + rng.below(26) as u8;
            }
        }
    }
}

/// A place in an input or at its end, often near the end.
fn place(rng: &mut Rng, length: usize) -> usize {
    match rng.below(8) {
        0 => length,
        1 => length.saturating_sub(1),
        _ => rng.below(length as u64 + 1) as usize,
    }
}

/// The length of a span, mostly short.
fn span(rng: &mut Rng) -> usize {
    1 + rng.exponential(6) as usize
}

/// Random bytes, numbers and pieces of JSON.
pub(super) fn noise(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.exponential(12) {
        match rng.below(3) {
            0 => bytes.push(rng.next_u64() as u8),
            1 => bytes.extend(number(rng).bytes()),
            _ => bytes.extend(pick(rng, &PIECES)),
        }
    }
    bytes
}

/// A number as text.
fn number(rng: &mut Rng) -> String {
    match rng.below(2) {
        0 => (rng.next_u64() >> rng.below(64)).to_string(),
        _ => pick(rng, &EDGES).to_owned(),
    }
}

/// A string with all sorts of characters.
fn string(rng: &mut Rng) -> String {
    (0..rng.exponential(4))
        .map(|_| match rng.below(8) {
            0 => char::from(rng.below(0x20) as u8),
            1 => pick(rng, &['"', '\\', '/', '\u{7f}', '\u{2028}', '\u{10ffff}']),
            // Surrogates are not characters.
            2 => char::from_u32(rng.below(0x11_0000) as u32).unwrap_or('ä'),
            _ => char::from(b'a' + rng.below(26) as u8),
        })
        .collect()
}

/// A value that nests at most `depth` deep.
pub(super) fn value(rng: &mut Rng, depth: usize) -> Value {
    let kinds = if depth == 0 { 5 } else { 7 };
    match rng.below(kinds) {
        0 => Value::Null,
        1 => Value::Bool(rng.chance(1, 2)),
        2 => number(rng).parse().map_or(Value::Null, Value::Number),
        3 => {
            let float = f64::from_bits(rng.next_u64());
            json::Number::from_f64(float).map_or(Value::Null, Value::Number)
        }
        4 => Value::String(string(rng)),
        5 => (0..rng.exponential(2))
            .map(|_| value(rng, depth - 1))
            .collect(),
        _ => (0..rng.exponential(2))
            .map(|_| (string(rng), value(rng, depth - 1)))
            .collect(),
    }
}
