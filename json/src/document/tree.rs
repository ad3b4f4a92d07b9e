//! What a document is made of.

/// The most bytes that a document may have: places in it are kept in 32 bits, which halves the
/// nodes.
pub(crate) const MAX_LENGTH: usize = u32::MAX as usize;

/// A document: its values in the order of the text, the root first.
#[derive(Clone)]
pub(super) struct Tree<'a> {
    /// UTF-8, and one JSON value.
    pub(super) source: &'a [u8],
    pub(super) nodes: Vec<Node>,
    /// The content of the strings with escapes, unescaped, one after the other.
    pub(super) unescaped: Vec<u8>,
}

/// One value or key of a document. A container is followed by the nodes of its items; those of an
/// object are keys and values in turn.
///
/// Sixteen bytes each, as the test below holds: a small message then fits into a few cache lines.
/// `start` is where the text of the value begins in the source.
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
        /// Of the text.
        length: u8,
        value: i64,
    },
    /// A number of any other form, and the float nearest to it. Its text says it exactly.
    Float {
        start: u32,
        /// Of the text.
        length: u8,
        value: f64,
    },
    /// A number beyond the range of floats, or of more than 255 characters.
    Number {
        start: u32,
        length: u32,
    },
    /// A string that the source has without escapes, after the quote at `start`.
    Plain {
        start: u32,
        length: u32,
    },
    /// A string that the source has with escapes; unescaped it stands at `at` in the document's own
    /// buffer.
    Unescaped {
        start: u32,
        at: u32,
        length: u32,
    },
    Array {
        start: u32,
        /// How many elements.
        count: u32,
        /// The index of the first node after its elements.
        end: u32,
    },
    Object {
        start: u32,
        /// How many members.
        count: u32,
        /// The index of the first node after its members.
        end: u32,
    },
}

impl Node {
    /// Where the text of the value begins in the source.
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
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 16);
    }
}
