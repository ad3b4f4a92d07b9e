//! The data of a document.

/// The most bytes that a document may have. Offsets have 32 bits, which halves the size of the
/// nodes.
pub(crate) const MAX_LENGTH: usize = u32::MAX as usize;

/// A parsed text.
#[derive(Clone)]
pub(super) struct Tree<'a> {
    /// UTF-8, and one JSON value.
    pub(super) source: &'a [u8],
    /// The values in the order of the text, the root first.
    pub(super) nodes: Vec<Node>,
    /// The content of the strings with escapes, unescaped, one after the other.
    pub(super) unescaped: Vec<u8>,
}

/// One value or key of a document. A container is followed by the nodes of its items; those of an
/// object are keys and values in turn.
///
/// A node has 16 bytes, which a test ensures, so that a small message fits into a few cache lines.
/// `start` is the offset of the value's text in the source.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    Null {
        start: u32,
    },
    Bool {
        start: u32,
        value: bool,
    },
    /// An integer that fits.
    Integer {
        start: u32,
        /// The length of the text.
        length: u8,
        value: i64,
    },
    /// Any other number, with the nearest float. Its exact value is in the source.
    Float {
        start: u32,
        /// The length of the text.
        length: u8,
        value: f64,
    },
    /// A number beyond the range of floats, or of more than 255 characters.
    Number {
        start: u32,
        length: u32,
    },
    /// A string without escapes, in the source after the quote at `start`.
    Plain {
        start: u32,
        length: u32,
    },
    /// A string with escapes. Its content is at `at` in [`Tree::unescaped`].
    Unescaped {
        start: u32,
        at: u32,
        length: u32,
    },
    Array {
        start: u32,
        /// The number of elements.
        count: u32,
        /// The index of the first node after its elements.
        end: u32,
    },
    Object {
        start: u32,
        /// The number of members.
        count: u32,
        /// The index of the first node after its members.
        end: u32,
    },
}

impl Node {
    /// The offset of the value's text in the source.
    pub(super) fn start(self) -> usize {
        let (Node::Null { start }
        | Node::Bool { start, .. }
        | Node::Integer { start, .. }
        | Node::Float { start, .. }
        | Node::Number { start, .. }
        | Node::Plain { start, .. }
        | Node::Unescaped { start, .. }
        | Node::Array { start, .. }
        | Node::Object { start, .. }) = self;
        start as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_has_16_bytes() {
        assert_eq!(size_of::<Node>(), 16);
    }
}
