//! From text to nodes, in one pass without recursion.

use std::mem;

use super::node::Node;
use crate::numeral::Numeral;
use crate::scan::{self, first_byte, non_digits, short_integer, specials, white_end, word_at};

/// Stands for the container around the outermost one.
const NONE: u32 = u32::MAX;

/// What a text was found to be.
pub(super) struct Parsed {
    pub(super) nodes: Vec<Node>,
    /// What the strings with escapes stand for, one after the other.
    pub(super) unescaped: Vec<u8>,
}

/// The nodes of the one JSON value that `text` is; `None` if it is not JSON or nests too deep.
///
/// What is wrong and where is not told: [`Reader`](crate::Reader) says that better, in a second
/// pass that only texts with an error pay for. `text` is UTF-8 and no longer than
/// [`MAX_LENGTH`](super::node::MAX_LENGTH).
pub(super) fn parse(text: &[u8], max_depth: usize) -> Option<Parsed> {
    let mut parsed = Parsed {
        // Messages have about five bytes a node. Pages that are not touched cost nothing, growing
        // does.
        nodes: Vec::with_capacity(text.len() / 4 + 4),
        unescaped: Vec::new(),
    };
    let (mut at, mut byte) = token(text, 0);

    // The innermost container that is open, what it is, and how many items it has so far. Its node
    // keeps the index of the container around it in `end` until it is closed: so there is no
    // stack beside.
    let mut open = NONE;
    let mut in_object = false;
    let mut count = 0;
    let mut depth = 0;

    'item: loop {
        if in_object {
            if byte != b'"' {
                return None;
            }
            at = match short_key(text, at, &mut parsed.nodes) {
                Some(end) => end,
                None => long_key(text, at, &mut parsed)?,
            };
            (at, byte) = token(text, at);
        }
        let start = at as u32;
        match byte {
            b'"' => {
                at = match short_string(text, at, &mut parsed.nodes) {
                    Some(end) => end,
                    None => long_string(text, at, &mut parsed)?,
                }
            }
            b'0'..=b'9' => {
                at = match short_number(text, at, &mut parsed.nodes) {
                    Some(end) => end,
                    None => long_number(text, at, &mut parsed.nodes)?,
                }
            }
            b'-' => at = long_number(text, at, &mut parsed.nodes)?,
            b'{' | b'[' => {
                if depth == max_depth {
                    return None;
                }
                depth += 1;
                if open != NONE {
                    set_count(&mut parsed.nodes[open as usize], count);
                }
                let end = open;
                open = parsed.nodes.len() as u32;
                count = 0;
                in_object = byte == b'{';
                parsed.nodes.push(if in_object {
                    Node::Object { start, count, end }
                } else {
                    Node::Array { start, count, end }
                });
                let closing = if in_object { b'}' } else { b']' };
                (at, byte) = token(text, at + 1);
                if byte != closing {
                    continue 'item;
                }
                // Empty; what follows counts the item that it lacks.
                count = u32::MAX;
            }
            b't' if text[at..].starts_with(b"true") => {
                parsed.nodes.push(Node::Bool { start, value: true });
                at += 4;
            }
            b'f' if text[at..].starts_with(b"false") => {
                parsed.nodes.push(Node::Bool {
                    start,
                    value: false,
                });
                at += 5;
            }
            b'n' if text[at..].starts_with(b"null") => {
                parsed.nodes.push(Node::Null { start });
                at += 4;
            }
            _ => return None,
        }

        // The item is complete, and maybe with it some containers.
        loop {
            count = count.wrapping_add(1);
            (at, byte) = token(text, at);
            match byte {
                b',' if open != NONE => {
                    (at, byte) = token(text, at + 1);
                    continue 'item;
                }
                b'}' | b']' if open != NONE => {
                    let after = parsed.nodes.len() as u32;
                    open = match &mut parsed.nodes[open as usize] {
                        Node::Object {
                            count: items, end, ..
                        } if byte == b'}' => {
                            *items = count;
                            mem::replace(end, after)
                        }
                        Node::Array {
                            count: items, end, ..
                        } if byte == b']' => {
                            *items = count;
                            mem::replace(end, after)
                        }
                        _ => return None,
                    };
                    (in_object, count) = match parsed.nodes.get(open as usize) {
                        Some(&Node::Object { count, .. }) => (true, count),
                        Some(&Node::Array { count, .. }) => (false, count),
                        _ => (false, 0),
                    };
                    depth -= 1;
                    at += 1;
                }
                _ if open == NONE && at == text.len() => return Some(parsed),
                _ => return None,
            }
        }
    }
}

fn set_count(node: &mut Node, items: u32) {
    if let Node::Array { count, .. } | Node::Object { count, .. } = node {
        *count = items;
    }
}

/// Where the next token starts, after white space (RFC 8259 section 2), and its first byte, or 0 at
/// the end.
#[inline(always)]
fn token(text: &[u8], at: usize) -> (usize, u8) {
    // Most often there is no white space.
    match byte_at(text, at) {
        0..=b' ' => {
            let at = white_end(text, at);
            (at, byte_at(text, at))
        }
        byte => (at, byte),
    }
}

/// The byte at `at`, or 0, which no token starts with, at the end.
#[inline(always)]
fn byte_at(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// Reads the key whose opening quote is at `start` and its colon, and says where that ends, if all
/// this is in one word, as most keys of messages are. Going byte by byte reads messages a sixth
/// more slowly.
#[inline(always)]
fn short_key(text: &[u8], start: usize, nodes: &mut Vec<Node>) -> Option<usize> {
    let word = word_at(text, start + 1)?;
    let length = first_byte(specials(word));
    // If nothing special is in the word, or only its last byte is, then this sees no quote before a
    // colon.
    if word.wrapping_shr(8 * length as u32) as u16 != u16::from_le_bytes(*b"\":") {
        return None;
    }
    nodes.push(Node::Plain {
        start: start as u32,
        length: length as u32,
    });
    Some(start + length + 3)
}

/// The same for any key.
#[inline(never)]
fn long_key(text: &[u8], start: usize, parsed: &mut Parsed) -> Option<usize> {
    let end = long_string(text, start, parsed)?;
    let (colon, byte) = token(text, end);
    (byte == b':').then_some(colon + 1)
}

/// Reads the string whose opening quote is at `start`, and says where it ends, if its closing quote
/// is in the word after that.
#[inline(always)]
fn short_string(text: &[u8], start: usize, nodes: &mut Vec<Node>) -> Option<usize> {
    let word = word_at(text, start + 1)?;
    let length = first_byte(specials(word));
    if word.wrapping_shr(8 * length as u32) as u8 != b'"' {
        return None;
    }
    nodes.push(Node::Plain {
        start: start as u32,
        length: length as u32,
    });
    Some(start + length + 2)
}

/// The same for any string.
#[inline(never)]
fn long_string(text: &[u8], start: usize, parsed: &mut Parsed) -> Option<usize> {
    let Parsed { nodes, unescaped } = parsed;
    let content = start + 1;
    let end = scan::plain_end(text, content);
    if byte_at(text, end) == b'"' {
        nodes.push(Node::Plain {
            start: start as u32,
            length: (end - content) as u32,
        });
        return Some(end + 1);
    }
    let at = unescaped.len();
    unescaped.extend_from_slice(&text[content..end]);
    let end = scan::unescape(text, end, unescaped).ok()?;
    nodes.push(Node::Unescaped {
        start: start as u32,
        at: at as u32,
        length: (unescaped.len() - at) as u32,
    });
    Some(end)
}

/// Reads the number at `start`, where a digit is, and says where it ends, if it is an integer and
/// in one word with the byte after it.
#[inline(always)]
fn short_number(text: &[u8], start: usize, nodes: &mut Vec<Node>) -> Option<usize> {
    let word = word_at(text, start)?;
    let length = first_byte(non_digits(word));
    // With eight digits this is the first of them again.
    let next = word.wrapping_shr(8 * length as u32) as u8;
    let leading_zero = word as u8 == b'0' && length > 1;
    if matches!(next, b'0'..=b'9' | b'.' | b'e' | b'E') || leading_zero {
        return None;
    }
    nodes.push(Node::Integer {
        start: start as u32,
        length: length as u8,
        value: short_integer(word, length) as i64,
    });
    Some(start + length)
}

/// The same for any number.
#[inline(never)]
fn long_number(text: &[u8], start: usize, nodes: &mut Vec<Node>) -> Option<usize> {
    let numeral = Numeral::scan(text, start).ok()?;
    let length = numeral.text.len();
    let end = start + length;
    let start = start as u32;
    let length = length as u32;
    let node = match (u8::try_from(length), numeral.to_i64()) {
        (Ok(length), Some(value)) => Node::Integer {
            start,
            length,
            value,
        },
        (Ok(length), None) => match numeral.to_f64() {
            value if value.is_finite() => Node::Float {
                start,
                length,
                value,
            },
            _ => Node::Number {
                start,
                length: length.into(),
            },
        },
        (Err(_), _) => Node::Number { start, length },
    };
    nodes.push(node);
    Some(end)
}
