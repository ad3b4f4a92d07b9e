//! From text to nodes, in one pass without recursion.

use super::node::Node;
use crate::scan::{self, white_end};

/// An integer of so many digits fits an `i64` whatever they are.
pub(super) const MOST_DIGITS: usize = 18;

/// Stands for the parent of the outermost container.
const NONE: u32 = u32::MAX;

/// The nodes of the one JSON value that `text` is, and what its strings with escapes stand for; `None` if it
/// is not JSON or nests too deep.
///
/// What is wrong and where is not told: [`Reader`](crate::Reader) says that better, in a second pass that
/// only texts with an error pay for. `text` is UTF-8 and no longer than
/// [`MAX_LENGTH`](super::node::MAX_LENGTH).
pub(super) fn nodes(text: &[u8], max_depth: usize) -> Option<(Vec<Node>, Vec<u8>)> {
    // Messages have about five bytes a node. Pages that are not touched cost nothing, growing does.
    let mut nodes: Vec<Node> = Vec::with_capacity(text.len() / 4 + 4);
    let mut unescaped = Vec::new();
    let mut at = 0;

    // The innermost container that is open, what it is, and how many items it has so far. Its node keeps
    // the index of the container around it in `end` until it is closed: so there is no stack beside.
    let mut open = NONE;
    let mut in_object = false;
    let mut count = 0;
    let mut depth = 0;

    'item: loop {
        at = white_end(text, at);
        if in_object {
            if byte(text, at) != b'"' {
                return None;
            }
            let (key, end) = string(text, at, &mut unescaped)?;
            nodes.push(key);
            at = white_end(text, end);
            if byte(text, at) != b':' {
                return None;
            }
            at = white_end(text, at + 1);
        }
        match byte(text, at) {
            b'"' => {
                let (node, end) = string(text, at, &mut unescaped)?;
                nodes.push(node);
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let (node, end) = number(text, at)?;
                nodes.push(node);
                at = end;
            }
            bracket @ (b'{' | b'[') => {
                if depth == max_depth {
                    return None;
                }
                depth += 1;
                if open != NONE {
                    set_count(&mut nodes[open as usize], count);
                }
                let start = at as u32;
                let parent = open;
                open = nodes.len() as u32;
                count = 0;
                in_object = bracket == b'{';
                nodes.push(if in_object {
                    Node::Object {
                        start,
                        count,
                        end: parent,
                    }
                } else {
                    Node::Array {
                        start,
                        count,
                        end: parent,
                    }
                });
                at = white_end(text, at + 1);
                let next = byte(text, at);
                if next != if in_object { b'}' } else { b']' } {
                    continue 'item;
                }
                // Empty; what follows counts the item that it lacks.
                count = u32::MAX;
            }
            b't' if text[at..].starts_with(b"true") => {
                nodes.push(Node::Bool {
                    start: at as u32,
                    value: true,
                });
                at += 4;
            }
            b'f' if text[at..].starts_with(b"false") => {
                nodes.push(Node::Bool {
                    start: at as u32,
                    value: false,
                });
                at += 5;
            }
            b'n' if text[at..].starts_with(b"null") => {
                nodes.push(Node::Null { start: at as u32 });
                at += 4;
            }
            _ => return None,
        }

        // The item is complete, and maybe with it some containers.
        loop {
            count = count.wrapping_add(1);
            at = white_end(text, at);
            match byte(text, at) {
                b',' if open != NONE => {
                    at += 1;
                    continue 'item;
                }
                bracket @ (b'}' | b']') if open != NONE => {
                    let after = nodes.len() as u32;
                    let parent = match &mut nodes[open as usize] {
                        Node::Object { count: c, end, .. } if bracket == b'}' => {
                            *c = count;
                            std::mem::replace(end, after)
                        }
                        Node::Array { count: c, end, .. } if bracket == b']' => {
                            *c = count;
                            std::mem::replace(end, after)
                        }
                        _ => return None,
                    };
                    open = parent;
                    depth -= 1;
                    at += 1;
                    if open == NONE {
                        in_object = false;
                        continue;
                    }
                    match nodes[open as usize] {
                        Node::Object { count: c, .. } => {
                            in_object = true;
                            count = c;
                        }
                        Node::Array { count: c, .. } => {
                            in_object = false;
                            count = c;
                        }
                        _ => return None,
                    }
                }
                _ if open == NONE && at == text.len() => return Some((nodes, unescaped)),
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

/// The byte at `at`, or 0, which no token starts with, at the end.
#[inline(always)]
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The string whose opening quote is at `start`, and where it ends.
#[inline(always)]
fn string(text: &[u8], start: usize, unescaped: &mut Vec<u8>) -> Option<(Node, usize)> {
    let end = scan::plain_end(text, start + 1);
    if byte(text, end) == b'"' {
        let node = Node::Plain {
            start: start as u32,
            length: (end - start - 1) as u32,
        };
        return Some((node, end + 1));
    }
    let at = unescaped.len();
    unescaped.extend_from_slice(&text[start + 1..end]);
    let end = scan::unescape(text, end, unescaped).ok()?;
    let node = Node::Unescaped {
        start: start as u32,
        at: at as u32,
        length: (unescaped.len() - at) as u32,
    };
    Some((node, end))
}

/// The number at `start`, which is a minus or a digit, and where it ends.
#[inline(always)]
fn number(text: &[u8], start: usize) -> Option<(Node, usize)> {
    let negative = byte(text, start) == b'-';
    let first = start + usize::from(negative);
    let (value, integer_end) = scan::digits(text, first);
    let digits = integer_end - first;
    let leading_zero = byte(text, first) == b'0' && digits > 1;
    if digits == 0 || leading_zero {
        return None;
    }
    let start = start as u32;
    let mut end = integer_end;
    if digits <= MOST_DIGITS && !matches!(byte(text, end), b'.' | b'e' | b'E') {
        let value = value as i64;
        let node = Node::Integer {
            start,
            length: (end as u32 - start) as u8,
            value: if negative { -value } else { value },
        };
        return Some((node, end));
    }
    if byte(text, end) == b'.' {
        end = one_or_more_digits(text, end + 1)?;
    }
    if let b'e' | b'E' = byte(text, end) {
        let signed = matches!(byte(text, end + 1), b'+' | b'-');
        end = one_or_more_digits(text, end + 1 + usize::from(signed))?;
    }
    let node = Node::Number {
        start,
        length: end as u32 - start,
    };
    Some((node, end))
}

/// Where the digits at `start` end; `None` if there is none.
fn one_or_more_digits(text: &[u8], start: usize) -> Option<usize> {
    let end = scan::digits_end(text, start);
    (end > start).then_some(end)
}
