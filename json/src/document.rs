//! A whole JSON text, parsed once and read in place.

mod parse;
mod tree;
mod write;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display, Formatter};
use std::mem;

use tree::{MAX_LENGTH, Node, Tree};

use crate::numeral::Numeral;
use crate::utf8::is_utf8;
use crate::{
    DEFAULT_DEPTH, Decode, Encode, Error, ErrorKind, Kind, MAX_DEPTH, Number, Raw, Reader, Value,
    Writer,
};

/// Any JSON text, as one flat list of its values that borrows from the text.
///
/// [`parse`] makes one, several times as fast as reading a [`Value`]: with one allocation, or two if the
/// text has escapes. Typically it takes four times the length of the text in memory, and at most
/// about eight times. A document cannot be changed; to change it, or to outlive the text, convert
/// it to a `Value`.
///
/// [`root`](Document::root) is the place to start.
///
/// ```
/// let document = json::parse(br#"{"id": 7, "tags": ["a", "b"], "at": {"x": 0.50}}"#)?;
/// let root = document.root();
/// assert_eq!(root.field("id").and_then(|id| id.as_i64()), Some(7));
/// assert_eq!(root.field("at").and_then(|at| at.field("x")?.as_f64()), Some(0.5));
///
/// let tags: Vec<&str> = root.field("tags").unwrap().elements().filter_map(|tag| tag.as_str()).collect();
/// assert_eq!(tags, ["a", "b"]);
/// assert_eq!(document.to_string(), r#"{"id":7,"tags":["a","b"],"at":{"x":0.50}}"#);
/// # Ok::<(), json::Error>(())
/// ```
///
/// # Numbers
///
/// A document keeps numbers as they are written, with all their digits, and also their value as an
/// `i64`, or else the nearest `f64`. So [`Element::as_i64`] and [`Element::as_f64`] cost nothing,
/// and nothing is lost.
///
/// # Equality
///
/// Two documents or elements are equal if they have the same meaning: numbers are compared by
/// value, the order of an object's members does not matter, and if an object has a key twice, the
/// last one counts. `Value` has the same equality.
#[derive(Clone)]
pub struct Document<'a> {
    tree: Tree<'a>,
}

/// Reads the one JSON value that `bytes` consists of, nested no deeper than [`DEFAULT_DEPTH`].
///
/// Texts of 4 GiB and more are refused.
pub fn parse(bytes: &[u8]) -> Result<Document<'_>, Error> {
    parse_with_depth(bytes, DEFAULT_DEPTH)
}

/// Reads the one JSON value that `bytes` consists of, nested no deeper than `max_depth`, and never
/// deeper than [`MAX_DEPTH`].
///
/// Texts of 4 GiB and more are refused.
pub fn parse_with_depth(bytes: &[u8], max_depth: usize) -> Result<Document<'_>, Error> {
    let max_depth = max_depth.min(MAX_DEPTH);
    if bytes.len() <= MAX_LENGTH
        && is_utf8(bytes)
        && let Some(tree) = parse::parse(bytes, max_depth)
    {
        return Ok(Document { tree });
    }
    Err(refusal(bytes, max_depth))
}

/// The error of `bytes`. Only invalid texts pay for this second pass by a reader, which locates
/// errors.
#[cold]
fn refusal(bytes: &[u8], max_depth: usize) -> Error {
    let check = |mut reader: Reader<'_>| {
        reader.skip_value()?;
        reader.end()
    };
    match check(Reader::with_depth(bytes, max_depth)) {
        Err(error) => error,
        Ok(()) => Error::at(b"", 0, ErrorKind::TooLong { limit: MAX_LENGTH }),
    }
}

impl<'a> Document<'a> {
    /// The value of the whole text.
    pub fn root(&self) -> Element<'_> {
        Element {
            tree: &self.tree,
            index: 0,
        }
    }

    /// The text that was read.
    pub fn source(&self) -> &'a [u8] {
        self.tree.source
    }
}

/// A value within a [`Document`]; a cheap reference.
///
/// [`field`](Element::field) and [`at`](Element::at) return one item,
/// [`elements`](Element::elements) and [`members`](Element::members) iterate over all. For a
/// missing item, or a value of another kind, the result is `None` or empty.
#[derive(Clone, Copy)]
pub struct Element<'d> {
    tree: &'d Tree<'d>,
    index: usize,
}

impl<'d> Element<'d> {
    fn node(self) -> Node {
        self.tree.nodes[self.index]
    }

    /// The kind of this value.
    pub fn kind(self) -> Kind {
        match self.node() {
            Node::Null { .. } => Kind::Null,
            Node::Bool { .. } => Kind::Bool,
            Node::Integer { .. } | Node::Float { .. } | Node::Number { .. } => Kind::Number,
            Node::Plain { .. } | Node::Unescaped { .. } => Kind::String,
            Node::Array { .. } => Kind::Array,
            Node::Object { .. } => Kind::Object,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The boolean, if this is one.
    pub fn as_bool(self) -> Option<bool> {
        match self.node() {
            Node::Bool { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The integer, if this is one and it fits; `1.0` is.
    pub fn as_i64(self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// The integer, if this is one and it fits; `1.0` is.
    pub fn as_u64(self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    /// The float nearest to the number, if this is a number within the range of floats.
    pub fn as_f64(self) -> Option<f64> {
        match self.node() {
            Node::Integer { value, .. } if value != 0 => return Some(value as f64),
            Node::Float { value, .. } => return Some(value),
            _ => {}
        }
        // This includes `-0`, which an integer cannot represent.
        let value = self.numeral()?.to_f64();
        value.is_finite().then_some(value)
    }

    /// The number, if this is one.
    pub fn as_number(self) -> Option<Number> {
        match self.node() {
            Node::Integer { value, .. } => Some(Number::from(value)),
            _ => self.numeral().map(Number::from_numeral),
        }
    }

    /// The parts of the number, if this is one.
    fn numeral(self) -> Option<Numeral<'d>> {
        match self.node() {
            Node::Integer { start, .. }
            | Node::Float { start, .. }
            | Node::Number { start, .. } => {
                let numeral = Numeral::scan(self.tree.source, start as usize);
                Some(numeral.expect("the source of a document is JSON"))
            }
            _ => None,
        }
    }

    /// The text of the number as it was read, if this is one.
    pub fn number_text(self) -> Option<&'d str> {
        let (start, length) = match self.node() {
            Node::Integer { start, length, .. } | Node::Float { start, length, .. } => {
                (start, u32::from(length))
            }
            Node::Number { start, length } => (start, length),
            _ => return None,
        };
        Some(text(&self.tree.source[start as usize..][..length as usize]))
    }

    /// The string, if this is one.
    ///
    /// The UTF-8 of all strings was checked by [`parse`]; safe Rust checks this one again here.
    pub fn as_str(self) -> Option<&'d str> {
        self.string_bytes().map(text)
    }

    fn string_bytes(self) -> Option<&'d [u8]> {
        let Tree {
            source, unescaped, ..
        } = self.tree;
        match self.node() {
            Node::Plain { start, length } => Some(&source[start as usize + 1..][..length as usize]),
            Node::Unescaped { at, length, .. } => {
                Some(&unescaped[at as usize..][..length as usize])
            }
            _ => None,
        }
    }

    /// The number of elements or members of this array or object (duplicates of a key count); 0 for
    /// other kinds.
    pub fn count(self) -> usize {
        match self.node() {
            Node::Array { count, .. } | Node::Object { count, .. } => count as usize,
            _ => 0,
        }
    }

    /// The elements of an array; none for other kinds.
    pub fn elements(self) -> impl ExactSizeIterator<Item = Element<'d>> + Clone {
        let count = match self.node() {
            Node::Array { count, .. } => count,
            _ => 0,
        };
        let mut next = self.first();
        (0..count).map(move |_| {
            let after = next.after();
            mem::replace(&mut next, after)
        })
    }

    /// The members of an object, in the order of the text and with duplicates; none for other
    /// kinds.
    pub fn members(self) -> impl ExactSizeIterator<Item = (&'d str, Element<'d>)> + Clone {
        let pairs = self.pairs();
        pairs.map(|(key, value)| (key.as_str().expect("keys are strings"), value))
    }

    /// The members of an object, with their keys as elements.
    fn pairs(self) -> impl ExactSizeIterator<Item = (Element<'d>, Element<'d>)> + Clone {
        let count = match self.node() {
            Node::Object { count, .. } => count,
            _ => 0,
        };
        let mut next = self.first();
        (0..count).map(move |_| {
            let (key, value) = (next, next.after());
            next = value.after();
            (key, value)
        })
    }

    /// The members of an object by name, the last of duplicates; none for other kinds. Faster than
    /// [`field`](Element::field) for many look-ups in a large object.
    pub fn by_name(self) -> BTreeMap<&'d str, Element<'d>> {
        self.members().collect()
    }

    /// The member of this name, if this is an object with such a member; the last of several.
    /// Compares with every key of the object.
    pub fn field(self, name: &str) -> Option<Element<'d>> {
        let name = Some(name.as_bytes());
        let named = self.pairs().filter(|(key, _)| key.string_bytes() == name);
        named.last().map(|(_, value)| value)
    }

    /// The element at `index`, if this is an array with such an element. Skips those before it.
    pub fn at(self, index: usize) -> Option<Element<'d>> {
        self.elements().nth(index)
    }

    /// The text of this value as it was read.
    pub fn raw(self) -> Raw<'d> {
        let mut reader = self.reader();
        reader.raw().expect("the source of a document is JSON")
    }

    /// Decodes this value. Positions in errors count from its start.
    pub fn decode<T: Decode<'d>>(self) -> Result<T, Error> {
        T::decode(&mut self.reader())
    }

    /// A reader of the source from this value on, up to where the next value starts.
    fn reader(self) -> Reader<'d> {
        let Tree { source, nodes, .. } = self.tree;
        let end = nodes
            .get(self.after().index)
            .map_or(source.len(), |next| next.start());
        let source = &source[self.node().start()..end];
        // The depth was checked when the document was read.
        Reader::with_depth(source, MAX_DEPTH)
    }

    /// The first node inside this array or object.
    fn first(self) -> Element<'d> {
        Element {
            index: self.index + 1,
            ..self
        }
    }

    /// The first node after this value and its content.
    fn after(self) -> Element<'d> {
        let index = match self.node() {
            Node::Array { end, .. } | Node::Object { end, .. } => end as usize,
            _ => self.index + 1,
        };
        Element { index, ..self }
    }
}

/// Converts bytes of a document, which are known to be UTF-8.
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("a document is UTF-8")
}

impl PartialEq for Element<'_> {
    /// Compares the two as values, which takes memory for both.
    fn eq(&self, other: &Element<'_>) -> bool {
        Value::from(*self) == Value::from(*other)
    }
}

impl Eq for Element<'_> {}

impl PartialEq for Document<'_> {
    fn eq(&self, other: &Document<'_>) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Document<'_> {}

impl From<Element<'_>> for Value {
    fn from(element: Element<'_>) -> Value {
        element.decode().expect("the source of a document is JSON")
    }
}

impl From<&Document<'_>> for Value {
    fn from(document: &Document<'_>) -> Value {
        Value::from(document.root())
    }
}

/// Numbers, and strings without escapes, are written as they were read.
impl Encode for Element<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        write::write(self.tree, self.index, writer.value_buffer());
    }
}

/// Numbers, and strings without escapes, are written as they were read.
impl Encode for Document<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.root().encode(writer);
    }
}

impl Display for Element<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::to_string(self))
    }
}

impl Display for Document<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.root(), f)
    }
}

impl Debug for Element<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Element({self})")
    }
}

impl Debug for Document<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Document({})", self.root())
    }
}
