//! Appending: the inner loops of writing, the counterpart of [`scan`](crate::scan).
//!
//! A copy of eight bytes is one instruction, and a copy of two or three bytes is a call. So short
//! texts are assembled in a word (the first byte lowest), all eight bytes are appended, and the
//! surplus is dropped. This saves a quarter to a third of the time of writing messages.

use crate::scan::{WORD, copy_plain, first_byte, specials};

/// Appends an integer.
#[inline]
pub(crate) fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(value.unsigned_abs(), out);
}

/// Appends an integer.
#[inline]
pub(crate) fn unsigned(value: u64, out: &mut Vec<u8>) {
    if value < 10 {
        // Small numbers are frequent: this saves a quarter of the time of writing log entries.
        out.push(b'0' + value as u8);
    } else if value < EIGHT_DIGITS {
        let digits = eight_digits(value);
        // The last digit is written even if it is a zero.
        let leading_zeros = first_byte(digits | 1 << 56);
        let text = (digits | ZEROS) >> (8 * leading_zeros);
        part(text, WORD - leading_zeros, out);
    } else {
        unsigned_long(value, out);
    }
}

/// [`unsigned`] of more than eight digits: those before the last eight (at most twelve, so the
/// recursion ends at the second level), and the last eight with their zeros.
fn unsigned_long(value: u64, out: &mut Vec<u8>) {
    unsigned(value / EIGHT_DIGITS, out);
    let digits = eight_digits(value % EIGHT_DIGITS);
    out.extend_from_slice(&(digits | ZEROS).to_le_bytes());
}

const ZEROS: u64 = u64::from_le_bytes([b'0'; WORD]);

/// The smallest number of more than eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// The eight digits of a number below [`EIGHT_DIGITS`], one in each byte of a word, the first
/// lowest.
#[inline]
pub(crate) fn eight_digits(number: u64) -> u64 {
    // Each step divides all parts of the word at once into quotient and remainder. The quotients
    // are products with the reciprocal, which are exact for numbers this small.
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 5_243) >> 19) & 0x7f_0000_007f;
    let quarters = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((quarters - tens * 10) << 8)
}

/// Appends a string, given as its UTF-8 bytes, in quotes, with the escapes that RFC 8259 section 7
/// demands and no others.
#[inline]
pub(crate) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.len() <= WORD - 2 {
        let (word, spaces) = short_word(bytes);
        if specials(word | spaces) == 0 {
            let quotes = u64::from(b'"') | u64::from(b'"') << (8 * (bytes.len() + 1));
            return part(word << 8 | quotes, bytes.len() + 2, out);
        }
    }
    string_long(bytes, out);
}

/// [`string`] of any length.
fn string_long(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut at = 0;
    loop {
        at = copy_plain(bytes, at, out);
        let Some(&byte) = bytes.get(at) else { break };
        let [text @ .., length] = &ESCAPES[usize::from(byte)];
        out.extend_from_slice(text);
        out.truncate(out.len() - (text.len() - usize::from(*length)));
        at += 1;
    }
    out.push(b'"');
}

/// The [`escape`] of each byte, followed by its length. The table makes writing of text full of
/// escapes half as fast again.
const ESCAPES: [[u8; 7]; 256] = {
    let mut escapes = [[0; 7]; 256];
    let mut byte = 0;
    while byte < escapes.len() {
        let ([a, b, c, d, e, f], length) = escape(byte as u8);
        escapes[byte] = [a, b, c, d, e, f, length as u8];
        byte += 1;
    }
    escapes
};

/// At most six bytes as a word, and a word with spaces in the bytes that they leave free.
#[inline]
fn short_word(bytes: &[u8]) -> (u64, u64) {
    let length = bytes.len();
    let shift = |length: usize| 8 * length as u32;
    // Two pieces that overlap in the middle.
    let word = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u64::from(u32::from_le_bytes(*first))
            | u64::from(u32::from_le_bytes(*last)) << shift(length - 4)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u64::from(u16::from_le_bytes(*first))
            | u64::from(u16::from_le_bytes(*last)) << shift(length - 2)
    } else {
        bytes.first().copied().map_or(0, u64::from)
    };
    (word, u64::from_le_bytes([b' '; WORD]) << shift(length))
}

/// Appends the first `length` bytes of the word.
#[inline]
fn part(word: u64, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(out.len() - (WORD - length));
}

/// The text of a byte in a string, and its length: an escape, or the byte itself if it needs none.
pub(crate) const fn escape(byte: u8) -> ([u8; 6], usize) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let (high, low) = (HEX[byte as usize >> 4], HEX[byte as usize & 0xf]);
            return ([b'\\', b'u', b'0', b'0', high, low], 6);
        }
        _ => return ([byte, 0, 0, 0, 0, 0], 1),
    };
    ([b'\\', short, 0, 0, 0, 0], 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(append: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        append(&mut out);
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix("before ").expect("it appends").to_owned()
    }

    #[test]
    fn integers_of_every_length_are_written() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        for power in powers {
            for factor in [1, 2, 5, 9] {
                let value = power.saturating_mul(factor);
                for value in [value - 1, value, value / 7, value / 3 * 2] {
                    assert_eq!(appended(|out| unsigned(value, out)), value.to_string());
                }
            }
        }
        for value in (0..20_000).chain([u64::MAX, u64::MAX - 1]) {
            assert_eq!(appended(|out| unsigned(value, out)), value.to_string());
        }
    }

    #[test]
    fn characters_are_escaped_at_any_position() {
        for length in 0..40 {
            let plain = "0123456789abcdefghijklmnopqrstuvwxyzABCD"[..length].to_owned();
            assert_eq!(
                appended(|out| string(plain.as_bytes(), out)),
                format!("\"{plain}\"")
            );
            for at in 0..length {
                for character in ('\0'..='\u{7f}').chain(['é', '€', '💩']) {
                    let (before, after) = (&plain[..at], &plain[at + 1..]);
                    let middle = match character {
                        '"' => "\\\"".to_owned(),
                        '\\' => "\\\\".to_owned(),
                        '\u{8}' => "\\b".to_owned(),
                        '\u{c}' => "\\f".to_owned(),
                        '\n' => "\\n".to_owned(),
                        '\r' => "\\r".to_owned(),
                        '\t' => "\\t".to_owned(),
                        '\0'..' ' => format!("\\u{:04x}", u32::from(character)),
                        _ => character.to_string(),
                    };
                    let text = format!("{before}{character}{after}");
                    let expected = format!("\"{before}{middle}{after}\"");
                    assert_eq!(appended(|out| string(text.as_bytes(), out)), expected);
                }
            }
        }
    }
}
