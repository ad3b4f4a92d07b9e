//! Writing a document as compact text.

use super::tree::{Node, Tree};
use crate::append;

/// Appends the value of the node at `index` as compact JSON.
///
/// Numbers, and strings without escapes, are copied from the source.
pub(super) fn write(tree: &Tree<'_>, index: usize, out: &mut Vec<u8>) {
    value(tree, index, out);
    // The comma after it.
    out.pop();
}

/// Appends a value and a comma. Recurses as deep as the value nests, which the parser has limited.
///
/// Inlining the functions below makes writing a fourth faster. Debug builds do not inline them,
/// because the frames of this function would then need more stack than there is.
fn value(tree: &Tree<'_>, index: usize, out: &mut Vec<u8>) {
    match tree.nodes[index] {
        Node::Array { end, .. } => {
            out.push(b'[');
            let mut next = index + 1;
            while next < end as usize {
                next = item(tree, next, out);
            }
            close(index + 1 == end as usize, b']', out);
        }
        Node::Object { end, .. } => {
            out.push(b'{');
            let mut next = index + 1;
            while next < end as usize {
                scalar(tree, tree.nodes[next], b':', out);
                next = item(tree, next + 1, out);
            }
            close(index + 1 == end as usize, b'}', out);
        }
        node => scalar(tree, node, b',', out),
    }
}

/// Appends a value and a comma, and returns the index of the next value.
#[cfg_attr(not(debug_assertions), inline(always))]
fn item(tree: &Tree<'_>, index: usize, out: &mut Vec<u8>) -> usize {
    match tree.nodes[index] {
        Node::Array { end, .. } | Node::Object { end, .. } => {
            value(tree, index, out);
            end as usize
        }
        node => {
            scalar(tree, node, b',', out);
            index + 1
        }
    }
}

/// Replaces the last comma by the bracket and a comma.
#[inline]
fn close(empty: bool, bracket: u8, out: &mut Vec<u8>) {
    if !empty {
        out.pop();
    }
    out.extend_from_slice(&[bracket, b',']);
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn scalar(tree: &Tree<'_>, node: Node, then: u8, out: &mut Vec<u8>) {
    let source = tree.source;
    match node {
        Node::Null { .. } => out.extend_from_slice(b"null"),
        Node::Bool { value, .. } => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Node::Integer { start, length, .. } | Node::Float { start, length, .. } => {
            copy(source, start as usize, usize::from(length), out)
        }
        Node::Number { start, length } => copy(source, start as usize, length as usize, out),
        Node::Plain { start, length } => copy(source, start as usize, length as usize + 2, out),
        Node::Unescaped { at, length, .. } => {
            let string = &tree.unescaped[at as usize..][..length as usize];
            append::string(string, out);
        }
        Node::Array { .. } | Node::Object { .. } => {}
    }
    out.push(then);
}

/// Appends `source[start..start + length]`.
#[inline]
fn copy(source: &[u8], start: usize, length: usize, out: &mut Vec<u8>) {
    const FEW: usize = 16;
    // A copy of fixed size, whose surplus is dropped, is two instructions. A copy of unknown size
    // is a call, which makes writing messages take a fourth longer.
    if length <= FEW
        && let Some(few) = source[start..].first_chunk::<FEW>()
    {
        out.extend_from_slice(few);
        out.truncate(out.len() - (FEW - length));
    } else {
        out.extend_from_slice(&source[start..start + length]);
    }
}
