//! Base64, against a slow reading of RFC 4648.

use rand::Rng;

use super::mutate::{noise, spoil};
use super::{Seen, Target, demand};

/// Texts that may be base64, and bytes to be encoded.
pub(super) struct Base64;

impl Target for Base64 {
    fn name(&self) -> &'static str {
        "base64"
    }

    fn about(&self) -> &'static str {
        "base64: every text is decoded or refused as a slow decoder does, every input is encoded and comes back"
    }

    fn classes(&self) -> &'static [&'static str] {
        &[
            "accepted",
            "accepted with padding",
            "invalid byte",
            "misplaced padding",
            "after padding",
            "incomplete",
            "trailing bits",
        ]
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        if rng.chance(1, 16) {
            return noise(rng);
        }
        let length = rng.exponential(20);
        let bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
        let mut text = encode_slowly(&bytes).into_bytes();
        match rng.below(4) {
            0 => {}
            1 => spoil(rng, &mut text),
            _ => {
                // What goes wrong goes wrong at the end.
                for _ in 0..rng.range(1..=3) {
                    let last = text.len().saturating_sub(1 + rng.below(4) as usize);
                    let byte = *rng.choose(b"AQgwZ/=-\n").expect("there are some");
                    match rng.below(3) {
                        0 => drop(text.pop()),
                        1 => text.push(byte),
                        _ => {
                            if let Some(at) = text.get_mut(last) {
                                *at = byte;
                            }
                        }
                    }
                }
            }
        }
        text
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        let slowly = decode_slowly(input);
        let decoded = base64::decode(input);
        demand(decoded.as_ref().ok() == slowly.as_ref(), || {
            format!("it is {decoded:?}, and slowly {slowly:?}")
        })?;
        let mut appended = b"before".to_vec();
        let result = base64::decode_into(input, &mut appended);
        let expected = [b"before", slowly.as_deref().unwrap_or_default()].concat();
        demand(
            result.err().as_ref() == decoded.as_ref().err() && appended == expected,
            || format!("it is {decoded:?}, and appended {appended:?}"),
        )?;
        match decoded {
            Ok(bytes) => {
                seen.note(match input.last() {
                    Some(b'=') => "accepted with padding",
                    Some(_) | None => "accepted",
                });
                demand(base64::encode(&bytes).as_bytes() == input, || {
                    format!("{bytes:?} has two encodings")
                })?;
            }
            Err(error) => {
                seen.note(class(error.kind));
                demand(error.offset <= input.len(), || {
                    format!("an error behind the end: {error}")
                })?;
            }
        }
        let encoded = base64::encode(input);
        demand(encoded == encode_slowly(input), || {
            format!(
                "it is encoded as {encoded}, and slowly as {}",
                encode_slowly(input)
            )
        })?;
        let back = base64::decode(encoded.as_bytes());
        demand(back.as_deref() == Ok(input), || {
            format!("encoded and decoded it is {back:?}")
        })
    }
}

fn class(kind: base64::ErrorKind) -> &'static str {
    match kind {
        base64::ErrorKind::InvalidByte(_) => "invalid byte",
        base64::ErrorKind::MisplacedPadding => "misplaced padding",
        base64::ErrorKind::AfterPadding => "after padding",
        base64::ErrorKind::Incomplete => "incomplete",
        base64::ErrorKind::TrailingBits => "trailing bits",
    }
}

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Group by group (RFC 4648, section 4).
fn encode_slowly(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | u32::from(*group.get(at).unwrap_or(&0))
        });
        for place in 0..4 {
            text.push(match place <= group.len() {
                true => char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

/// Bit by bit. Strict: it is what would be encoded so, or nothing.
fn decode_slowly(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    let characters = match text {
        [characters @ .., b'=', b'='] | [characters @ .., b'='] => characters,
        characters => characters,
    };
    for character in characters {
        let value = ALPHABET.iter().position(|other| other == character)?;
        (bits, count) = (bits << 6 | value as u32, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    (encode_slowly(&bytes).as_bytes() == text).then_some(bytes)
}
