//! Scanning: the inner loops of reading, over bytes.
//!
//! Two techniques make them fast in safe code. A *word* is eight bytes of the text as one `u64`,
//! the first byte lowest, so that one subtraction tests eight bytes. A *block* is 32 bytes, over
//! which a plain loop without an early end becomes a few vector instructions.

use crate::error::ErrorKind;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
/// The bytes of a word.
pub(crate) const WORD: usize = 8;
const BLOCK: usize = 32;

/// An error in a string, at the byte `at`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) at: usize,
    pub(crate) kind: ErrorKind,
}

/// The end of the run of string characters that stand for themselves: at a quote, a backslash, a
/// control character, or the end of the text.
#[inline]
pub(crate) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    // Most strings of messages end within two words; blocks pay off after those.
    let long = at + 2 * WORD;
    while let Some(word) = word_at(bytes, at) {
        let special = specials(word);
        if special != 0 {
            return at + first_byte(special);
        }
        at += WORD;
        if at == long {
            at = plain_blocks(bytes, at);
        }
    }
    plain_end_bytewise(bytes, at)
}

/// The end of the blocks at `at` that have only characters that stand for themselves.
fn plain_blocks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>)
        && !block
            .iter()
            .fold(false, |any, &byte| any | is_special(byte))
    {
        at += BLOCK;
    }
    at
}

fn plain_end_bytewise(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && !is_special(bytes[at]) {
        at += 1;
    }
    at
}

/// The end of the white space at `at` (RFC 8259 section 2).
#[inline]
pub(crate) fn white_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b' ' | b'\n' | b'\r' | b'\t') => white_end_long(bytes, at + 1),
        _ => at,
    }
}

/// [`white_end`] after the first byte. Nearly all white space is the indentation after a line feed,
/// so spaces are skipped by the word.
fn white_end_long(bytes: &[u8], mut at: usize) -> usize {
    loop {
        while let Some(word) = word_at(bytes, at) {
            let others = word ^ (ONES * u64::from(b' '));
            if others != 0 {
                at += first_byte(others);
                break;
            }
            at += WORD;
        }
        match bytes.get(at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            _ => return at,
        }
    }
}

/// Any number of this many digits fits a `u64`.
pub(crate) const SAFE_DIGITS: usize = 19;

/// The value and the end of the run of decimal digits at `at`. The value is meaningless if the run
/// is longer than [`SAFE_DIGITS`], and 0 if there is no digit.
#[inline]
pub(crate) fn digits(bytes: &[u8], at: usize) -> (u64, usize) {
    let Some(word) = word_at(bytes, at) else {
        return digits_bytewise(bytes, at, 0);
    };
    let others = non_digits(word);
    if others == 0 {
        return digits_bytewise(bytes, at + WORD, short_integer(word, WORD));
    }
    let count = first_byte(others);
    let value = if count == 0 {
        0
    } else {
        short_integer(word, count)
    };
    (value, at + count)
}

/// Appends the digits at `at` to the decimal number `value`, which wraps around if there are too
/// many, and returns their end, too.
#[inline]
pub(crate) fn digits_bytewise(bytes: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(&byte @ b'0'..=b'9') = bytes.get(at) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    (value, at)
}

/// The number whose digits are the first `count` bytes of a word, at least one.
#[inline]
pub(crate) fn short_integer(word: u64, count: usize) -> u64 {
    // Shifted to the end of the word, with zeros before them, they are eight digits.
    eight_digits((word ^ (ONES * u64::from(b'0'))) << (64 - 8 * count))
}

/// The number of eight digits (values, not characters; the first lowest): neighbours are joined to
/// numbers below 100, these to numbers below 10,000, and these to the result.
#[inline]
fn eight_digits(values: u64) -> u64 {
    let pairs = values.wrapping_mul(1 + (10 << 8)) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(1 + (100 << 16)) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(1 + (10_000 << 32)) >> 32
}

/// Decodes the rest of a string from `at` on, and appends it to `out`, which stays UTF-8 if it and
/// `bytes` are. Returns the end of the string, after its closing quote.
pub(crate) fn unescape(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> Result<usize, Flaw> {
    loop {
        at = copy_plain(bytes, at, out);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = push_escaped(bytes, at, out)?,
            Some(_) => return Err(flaw(at, ErrorKind::ControlCharacter)),
            None => return Err(flaw(at, ErrorKind::UnexpectedEnd)),
        }
    }
}

/// The end of the string whose rest starts at `at`, after its closing quote. Checks the string like
/// [`unescape`].
pub(crate) fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, Flaw> {
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at)?.1,
            Some(_) => return Err(flaw(at, ErrorKind::ControlCharacter)),
            None => return Err(flaw(at, ErrorKind::UnexpectedEnd)),
        }
    }
}

/// Appends the run of string characters at `at` that stand for themselves to `out`, and returns its
/// end.
#[inline]
pub(crate) fn copy_plain(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
    // Between escapes, runs are short. Long runs are faster measured first and copied at once.
    for _ in 0..4 {
        let Some(word) = word_at(bytes, at) else {
            break;
        };
        // Append all eight, and then drop the surplus: a copy of fixed size is one instruction, and
        // a copy of two or three bytes is a call.
        out.extend_from_slice(&word.to_le_bytes());
        let special = specials(word);
        if special != 0 {
            let plain = first_byte(special);
            out.truncate(out.len() - (WORD - plain));
            return at + plain;
        }
        at += WORD;
    }
    let end = plain_end(bytes, at);
    out.extend_from_slice(&bytes[at..end]);
    end
}

/// Appends the character of the escape whose backslash is at `start`, and returns the end of the
/// escape.
///
/// Tables and selections in place of unpredictable branches make this half as fast again as
/// [`escape`], which is left for the errors.
#[inline]
fn push_escaped(bytes: &[u8], start: usize, out: &mut Vec<u8>) -> Result<usize, Flaw> {
    if let Some(&letter) = bytes.get(start + 1) {
        let short = SHORT_ESCAPES[usize::from(letter)];
        if short != 0 {
            out.push(short);
            return Ok(start + 2);
        }
        if let Some(unit) = unit_at(bytes, start) {
            if unit & 0xf800 != 0xd800 {
                push_unit(unit, out);
                return Ok(start + 6);
            }
            if unit < 0xdc00
                && let Some(second) = unit_at(bytes, start + 6)
                && second & 0xfc00 == 0xdc00
            {
                // The 20 bits are the distance from U+10000; UTF-8 has one byte of 3 bits and three
                // of 6.
                let scalar = 0x10000 + ((unit & 0x3ff) << 10) + (second & 0x3ff);
                let sixes = |shift: u32| (scalar >> shift & 0x3f) as u8 | 0x80;
                out.extend_from_slice(&[
                    (scalar >> 18) as u8 | 0xf0,
                    sixes(12),
                    sixes(6),
                    sixes(0),
                ]);
                return Ok(start + 12);
            }
        }
    }
    let (character, end) = escape(bytes, start)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(end)
}

/// The UTF-16 unit of the escape at `start`, if it is a `\u` with four hexadecimal digits.
#[inline]
fn unit_at(bytes: &[u8], start: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = bytes.get(start..)?.first_chunk::<6>()? else {
        return None;
    };
    hex4(digits)
}

/// Appends a character up to U+FFFF that is not a surrogate.
#[inline]
fn push_unit(unit: u32, out: &mut Vec<u8>) {
    let low = unit & 0x3f | 0x80;
    let two = unit >> 6 | 0xc0 | low << 8;
    let three = unit >> 12 | 0xe0 | (unit >> 6 & 0x3f | 0x80) << 8 | low << 16;
    let (utf8, length) = match unit {
        0..0x80 => (unit, 1),
        0x80..0x800 => (two, 2),
        _ => (three, 3),
    };
    out.extend_from_slice(&utf8.to_le_bytes());
    out.truncate(out.len() - (4 - length));
}

/// The character of each short escape, by the letter after the backslash; 0 for other bytes.
const SHORT_ESCAPES: [u8; 256] = {
    let mut characters = [0; 256];
    characters[b'"' as usize] = b'"';
    characters[b'\\' as usize] = b'\\';
    characters[b'/' as usize] = b'/';
    characters[b'b' as usize] = 0x08;
    characters[b'f' as usize] = 0x0c;
    characters[b'n' as usize] = b'\n';
    characters[b'r' as usize] = b'\r';
    characters[b't' as usize] = b'\t';
    characters
};

/// The character of the escape whose backslash is at `start`, and the end of the escape.
#[inline]
fn escape(bytes: &[u8], start: usize) -> Result<(char, usize), Flaw> {
    match bytes.get(start + 1) {
        None => Err(flaw(start + 1, ErrorKind::UnexpectedEnd)),
        Some(b'u') => unicode_escape(bytes, start),
        Some(&letter) => match SHORT_ESCAPES[usize::from(letter)] {
            0 => Err(flaw(start, ErrorKind::Escape)),
            character => Ok((character.into(), start + 2)),
        },
    }
}

/// The character of the escape whose `\u` is at `start`, and the end of the escape. Characters
/// above U+FFFF are two escapes, a surrogate pair.
fn unicode_escape(bytes: &[u8], start: usize) -> Result<(char, usize), Flaw> {
    let first = unit(bytes, start)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, start + 6));
    }
    let second_start = start + 6;
    if (0xd800..0xdc00).contains(&first) && bytes[second_start..].starts_with(b"\\u") {
        let second = unit(bytes, second_start)?;
        if (0xdc00..0xe000).contains(&second) {
            let scalar = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            let character = char::from_u32(scalar).expect("a surrogate pair is a character");
            return Ok((character, start + 12));
        }
    }
    Err(flaw(start, ErrorKind::LoneSurrogate))
}

/// The UTF-16 unit of the escape whose `\u` is at `start`.
fn unit(bytes: &[u8], start: usize) -> Result<u32, Flaw> {
    let digits = &bytes[start + 2..];
    if let Some(value) = digits.first_chunk().and_then(hex4) {
        return Ok(value);
    }
    let valid = digits
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    Err(if valid == digits.len() {
        flaw(bytes.len(), ErrorKind::UnexpectedEnd)
    } else {
        flaw(start, ErrorKind::Escape)
    })
}

/// The value of four hexadecimal digits in upper or lower case.
#[inline]
pub(crate) fn hex4(digits: &[u8; 4]) -> Option<u32> {
    let mut value = 0;
    for &digit in digits {
        value = value << 4 | HEX_VALUES[usize::from(digit)];
    }
    (value <= 0xffff).then_some(value)
}

/// The value of each hexadecimal digit; other bytes have a bit that stays above 0xffff when
/// shifted.
const HEX_VALUES: [u32; 256] = {
    let mut values = [1 << 16; 256];
    let mut digit = 0;
    while digit < 16 {
        let lower = b"0123456789abcdef"[digit as usize];
        values[lower as usize] = digit;
        values[lower.to_ascii_uppercase() as usize] = digit;
        digit += 1;
    }
    values
};

#[cold]
fn flaw(at: usize, kind: ErrorKind) -> Flaw {
    Flaw { at, kind }
}

/// The eight bytes at `at`, if the text has them.
#[inline]
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk: &[u8; WORD] = bytes.get(at..at.wrapping_add(WORD))?.try_into().ok()?;
    Some(u64::from_le_bytes(*chunk))
}

/// Whether the byte does not stand for itself in a string.
#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of each special byte, and perhaps of bytes after the first of them (because of a
/// borrow); 0 if no byte is special.
#[inline]
pub(crate) fn specials(word: u64) -> u64 {
    // With bit 1 flipped, control characters and the quote are the ASCII characters up to 0x20.
    let controls_and_quotes = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslashes = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (controls_and_quotes | backslashes) & !word & HIGHS
}

/// The high bit of each byte that is not a digit, and perhaps of bytes after the first of them.
#[inline]
pub(crate) fn non_digits(word: u64) -> u64 {
    // Adding 0x76 leaves the values of digits below 0x80, and no others.
    let values = word ^ (ONES * u64::from(b'0'));
    (values.wrapping_add(ONES * 0x76) | values) & HIGHS
}

/// The index of the first byte with any bit set.
#[inline]
pub(crate) fn first_byte(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    /// Calls `check` with many short texts made of relevant pieces, and a position in each.
    fn for_random_texts(test: &str, check: impl Fn(&[u8], usize)) {
        let seed: u64 = env::var("STDRAFT_SEED").map_or(7, |seed| seed.parse().unwrap());
        println!("replay: STDRAFT_SEED={seed} cargo test -p json {test}");
        let pieces: &[&str] = &[
            "a",
            "z",
            "0",
            "9",
            "123",
            "4567",
            "89012345",
            "/",
            ":",
            " ",
            "  ",
            "        ",
            "\n",
            "\r",
            "\t",
            "!",
            "#",
            "[",
            "]",
            "\u{1f}",
            "\u{7f}",
            "\"",
            "\\",
            "\\n",
            "\\\"",
            "\\u00e9",
            "\\uD83d",
            "\\ude00",
            "\\u12",
            "é",
            "😀",
            "plain text that goes on for more than one block of 32 bytes",
            "00000000",
            "99999999",
        ];
        let mut state = seed.max(1);
        let mut below = |limit: usize| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
        };
        for _ in 0..20_000 {
            // Few kinds of pieces in one text, so that long runs of one kind come up.
            let kinds: Vec<&str> = (0..1 + below(4))
                .map(|_| pieces[below(pieces.len())])
                .collect();
            let text: String = (0..below(12)).map(|_| kinds[below(kinds.len())]).collect();
            let at = below(text.len() + 1);
            check(text.as_bytes(), at);
        }
    }

    fn run_end(bytes: &[u8], at: usize, goes_on: impl Fn(u8) -> bool) -> usize {
        let run = bytes[at..].iter().take_while(|&&byte| goes_on(byte));
        at + run.count()
    }

    #[test]
    fn runs_end_where_a_bytewise_scan_ends() {
        for_random_texts("runs_end", |bytes, at| {
            let text = String::from_utf8_lossy(bytes);
            let plain = run_end(bytes, at, |byte| !matches!(byte, 0..0x20 | b'"' | b'\\'));
            assert_eq!(plain_end(bytes, at), plain, "{text:?} from {at}");
            let white = run_end(bytes, at, |byte| b" \n\r\t".contains(&byte));
            assert_eq!(white_end(bytes, at), white, "{text:?} from {at}");
            let digits = run_end(bytes, at, |byte| byte.is_ascii_digit());
            assert_eq!(super::digits(bytes, at).1, digits, "{text:?} from {at}");
        });
    }

    #[test]
    fn every_byte_ends_the_right_runs_anywhere() {
        for length in [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 71] {
            for byte in 0..=255_u8 {
                for at in 0..length {
                    let mut bytes = vec![b'7'; length];
                    bytes[at] = byte;
                    let plain = !matches!(byte, 0..0x20 | b'"' | b'\\');
                    assert_eq!(plain_end(&bytes, 0), if plain { length } else { at });
                    let digit = byte.is_ascii_digit();
                    assert_eq!(digits(&bytes, 0).1, if digit { length } else { at });
                    bytes.fill(b' ');
                    bytes[at] = byte;
                    let white = b" \n\r\t".contains(&byte);
                    assert_eq!(white_end(&bytes, 0), if white { length } else { at });
                }
            }
        }
    }

    #[test]
    fn digits_are_the_number_that_std_reads() {
        for_random_texts("digits_are", |bytes, at| {
            let end = run_end(bytes, at, |byte| byte.is_ascii_digit());
            let (value, found_end) = digits(bytes, at);
            assert_eq!(found_end, end);
            if end == at {
                assert_eq!(value, 0);
            } else if end - at <= SAFE_DIGITS {
                let text = str::from_utf8(&bytes[at..end]).unwrap();
                assert_eq!(Ok(value), text.parse(), "{text}");
            }
        });
        assert_eq!(
            digits(b"9999999999999999999,", 0),
            (9_999_999_999_999_999_999, 19)
        );
    }

    /// [`unescape`], one byte at a time.
    fn unescape_bytewise(bytes: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), Flaw> {
        let hex = |at: usize| -> Option<u32> {
            let digits = bytes.get(at + 2..at + 6)?;
            let value = |byte: &u8| char::from(*byte).to_digit(16);
            digits
                .iter()
                .map(value)
                .try_fold(0, |all, digit| Some(all << 4 | digit?))
        };
        let escape_flaw = |at: usize| match bytes[at + 2..].iter().all(u8::is_ascii_hexdigit) {
            true => flaw(bytes.len(), ErrorKind::UnexpectedEnd),
            false => flaw(at, ErrorKind::Escape),
        };
        let mut out = Vec::new();
        loop {
            match bytes.get(at) {
                None => return Err(flaw(at, ErrorKind::UnexpectedEnd)),
                Some(b'"') => return Ok((out, at + 1)),
                Some(0..0x20) => return Err(flaw(at, ErrorKind::ControlCharacter)),
                Some(b'\\') => match bytes.get(at + 1) {
                    None => return Err(flaw(at + 1, ErrorKind::UnexpectedEnd)),
                    Some(b'u') => {
                        let mut units = vec![hex(at).ok_or_else(|| escape_flaw(at))? as u16];
                        let start = at;
                        at += 6;
                        if (0xd800..0xdc00).contains(&units[0]) && bytes[at..].starts_with(b"\\u") {
                            units.push(hex(at).ok_or_else(|| escape_flaw(at))? as u16);
                            at += 6;
                        }
                        let text = String::from_utf16(&units)
                            .map_err(|_| flaw(start, ErrorKind::LoneSurrogate))?;
                        out.extend_from_slice(text.as_bytes());
                    }
                    Some(&letter) => {
                        let (_, character) = *[
                            (b'"', b'"'),
                            (b'\\', b'\\'),
                            (b'/', b'/'),
                            (b'b', 8),
                            (b'f', 12),
                            (b'n', b'\n'),
                            (b'r', b'\r'),
                            (b't', b'\t'),
                        ]
                        .iter()
                        .find(|(escape, _)| *escape == letter)
                        .ok_or(flaw(at, ErrorKind::Escape))?;
                        out.push(character);
                        at += 2;
                    }
                },
                Some(&byte) => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
    }

    #[test]
    fn strings_are_decoded_like_byte_by_byte() {
        for_random_texts("strings_are_decoded", |bytes, at| {
            let text = String::from_utf8_lossy(bytes);
            let mut out = b"before".to_vec();
            let found = unescape(bytes, at, &mut out).map(|end| (out.split_off(6), end));
            assert_eq!(found, unescape_bytewise(bytes, at), "{text:?} from {at}");
            assert_eq!(
                string_end(bytes, at),
                found.map(|(_, end)| end),
                "{text:?} from {at}"
            );
        });
    }

    #[test]
    fn four_hexadecimal_digits_have_their_value() {
        for unit in 0..=0xffff {
            let lower = format!("{unit:04x}");
            assert_eq!(hex4(lower.as_bytes().try_into().unwrap()), Some(unit));
            assert_eq!(
                hex4(lower.to_uppercase().as_bytes().try_into().unwrap()),
                Some(unit)
            );
        }
        for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_hexdigit()) {
            for at in 0..4 {
                let mut digits = *b"ffff";
                digits[at] = byte;
                assert_eq!(hex4(&digits), None);
            }
        }
    }
}
