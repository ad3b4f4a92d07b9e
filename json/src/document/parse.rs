//! From text to nodes, in one pass without recursion.

use std::mem;

use super::tree::{Node, Tree};
use crate::numeral::Numeral;
use crate::scan::{self, first_byte, non_digits, short_integer, specials, white_end, word_at};

/// The container around the outermost one.
const NONE: u32 = u32::MAX;

/// Parses the one JSON value that `text` consists of; `None` if it is not JSON or nests too deep.
///
/// Errors are left to [`Reader`](crate::Reader), in a second pass that only invalid texts pay for.
/// `text` is UTF-8 and no longer than [`MAX_LENGTH`](super::tree::MAX_LENGTH).
pub(super) fn parse(text: &[u8], max_depth: usize) -> Option<Tree<'_>> {
    let mut tree = Tree {
        source: text,
        // Messages have about five bytes for each node. Growing costs time; untouched pages cost
        // nothing.
        nodes: Vec::with_capacity(text.len() / 4 + 4),
        unescaped: Vec::new(),
    };
    let mut place = Place {
        container: NONE,
        is_object: false,
        count: 0,
        depth: 0,
    };
    let (mut at, mut byte) = token(text, 0);
    'item: loop {
        if place.is_object {
            if byte != b'"' {
                return None;
            }
            at = match short_key(text, at, &mut tree.nodes) {
                Some(end) => end,
                None => long_key(text, at, &mut tree)?,
            };
            (at, byte) = token(text, at);
        }
        match byte {
            b'{' | b'[' => {
                if place.depth == max_depth {
                    return None;
                }
                place.enter(byte == b'{', at, &mut tree.nodes);
                let closing = if place.is_object { b'}' } else { b']' };
                (at, byte) = token(text, at + 1);
                if byte != closing {
                    continue 'item;
                }
                // Empty: the loop below counts one item, which makes the count 0.
                place.count = u32::MAX;
            }
            _ => at = scalar(text, at, byte, &mut tree)?,
        }
        // The item is complete, and perhaps also some containers around it.
        loop {
            place.count = place.count.wrapping_add(1);
            (at, byte) = token(text, at);
            match byte {
                b',' if place.container != NONE => {
                    (at, byte) = token(text, at + 1);
                    continue 'item;
                }
                b'}' | b']' => {
                    place.leave(byte, &mut tree.nodes)?;
                    at += 1;
                }
                _ if place.container == NONE && at == text.len() => return Some(tree),
                _ => return None,
            }
        }
    }
}

/// The innermost container that is open.
struct Place {
    /// The index of its node. That keeps the index of the container around it in `end` until it is
    /// closed, so there is no stack.
    container: u32,
    is_object: bool,
    /// How many items it has so far.
    count: u32,
    /// How many containers are open.
    depth: usize,
}

impl Place {
    /// Opens a container inside this one.
    #[inline(always)]
    fn enter(&mut self, is_object: bool, start: usize, nodes: &mut Vec<Node>) {
        if let Some(Node::Array { count, .. } | Node::Object { count, .. }) =
            nodes.get_mut(self.container as usize)
        {
            *count = self.count;
        }
        let (start, count, end) = (start as u32, 0, self.container);
        *self = Place {
            container: nodes.len() as u32,
            is_object,
            count,
            depth: self.depth + 1,
        };
        nodes.push(if is_object {
            Node::Object { start, count, end }
        } else {
            Node::Array { start, count, end }
        });
    }

    /// Closes the container and returns to the one around it; `None` if the bracket does not match,
    /// or no container is open.
    #[inline(always)]
    fn leave(&mut self, bracket: u8, nodes: &mut [Node]) -> Option<()> {
        let after = nodes.len() as u32;
        let (count, end) = match nodes.get_mut(self.container as usize)? {
            Node::Object { count, end, .. } if bracket == b'}' => (count, end),
            Node::Array { count, end, .. } if bracket == b']' => (count, end),
            _ => return None,
        };
        *count = self.count;
        self.container = mem::replace(end, after);
        (self.is_object, self.count) = match nodes.get(self.container as usize) {
            Some(&Node::Object { count, .. }) => (true, count),
            Some(&Node::Array { count, .. }) => (false, count),
            _ => (false, 0),
        };
        self.depth -= 1;
        Some(())
    }
}

/// Reads the value at `at`, which starts with `byte` and is not a container, and returns its end.
#[inline(always)]
fn scalar(text: &[u8], at: usize, byte: u8, tree: &mut Tree<'_>) -> Option<usize> {
    let start = at as u32;
    match byte {
        b'"' => match short_string(text, at, &mut tree.nodes) {
            Some(end) => Some(end),
            None => long_string(text, at, tree),
        },
        b'0'..=b'9' => match short_number(text, at, &mut tree.nodes) {
            Some(end) => Some(end),
            None => long_number(text, at, &mut tree.nodes),
        },
        b'-' => long_number(text, at, &mut tree.nodes),
        b't' if text[at..].starts_with(b"true") => {
            tree.nodes.push(Node::Bool { start, value: true });
            Some(at + 4)
        }
        b'f' if text[at..].starts_with(b"false") => {
            tree.nodes.push(Node::Bool {
                start,
                value: false,
            });
            Some(at + 5)
        }
        b'n' if text[at..].starts_with(b"null") => {
            tree.nodes.push(Node::Null { start });
            Some(at + 4)
        }
        _ => None,
    }
}

/// The start of the next token, after white space (RFC 8259 section 2), and its first byte, or 0 at
/// the end.
#[inline(always)]
fn token(text: &[u8], at: usize) -> (usize, u8) {
    // Mostly there is no white space.
    match byte_at(text, at) {
        0..=b' ' => {
            let at = white_end(text, at);
            (at, byte_at(text, at))
        }
        byte => (at, byte),
    }
}

/// The byte at `at`, or 0 at the end; no token starts with 0.
#[inline(always)]
fn byte_at(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// Reads the key whose opening quote is at `start` and its colon, if both are in one word, as most
/// keys of messages are, and returns the end. Reading byte by byte takes a sixth longer for
/// messages.
#[inline(always)]
fn short_key(text: &[u8], start: usize, nodes: &mut Vec<Node>) -> Option<usize> {
    let word = word_at(text, start + 1)?;
    let length = first_byte(specials(word));
    // If the word has no special byte, or only its last byte is special, this test fails.
    if word.wrapping_shr(8 * length as u32) as u16 != u16::from_le_bytes(*b"\":") {
        return None;
    }
    nodes.push(Node::Plain {
        start: start as u32,
        length: length as u32,
    });
    Some(start + length + 3)
}

/// [`short_key`] for any key.
#[inline(never)]
fn long_key(text: &[u8], start: usize, tree: &mut Tree<'_>) -> Option<usize> {
    let end = long_string(text, start, tree)?;
    let (colon, byte) = token(text, end);
    (byte == b':').then_some(colon + 1)
}

/// Reads the string whose opening quote is at `start`, if its closing quote is in the next word,
/// and returns the end.
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

/// [`short_string`] for any string.
#[inline(never)]
fn long_string(text: &[u8], start: usize, tree: &mut Tree<'_>) -> Option<usize> {
    let Tree {
        nodes, unescaped, ..
    } = tree;
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

/// Reads the number at `start`, which starts with a digit, if it is an integer and in one word with
/// the byte after it, and returns the end.
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

/// [`short_number`] for any number.
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
