//! Values as text.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use json::{Decimal, Decode, Document, Element, Encode, Error, Kind, Raw, Reader, Value, Writer};

/// A number is kept as it was written, unless its [`Decimal`] is shorter by more bytes than this:
/// otherwise a small request could make the event loop read a million zeros.
const SLACK: usize = 256;

/// A JSON value, kept as its text: it takes about as much memory as it takes on the wire, however
/// many small parts it has. Its clone is one pointer.
///
/// The text is compact. The members of an object are sorted by name; of several with one name there
/// is the last. Strings have the escapes that JSON demands and no others. Numbers stand as they were
/// written, so different texts may denote [the same value](Self::is_same_value). Equality and hash
/// are those of the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// The text of a checked value.
    #[must_use]
    pub fn of(raw: Raw<'_>) -> Self {
        let text = raw.as_str();
        if is_compact(text) {
            return Self(text.into());
        }
        let mut compact = Vec::with_capacity(text.len());
        write(document(text).root(), &mut Writer::new(&mut compact));
        let compact = String::from_utf8(compact).expect("a Writer writes whole strings only");
        Self(compact.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        super::ALLOCATION + self.0.len()
    }

    /// The value in parts, to look into it. May take a hundred times as much memory.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let value = json::decode_with_depth(self.0.as_bytes(), json::MAX_DEPTH);
        value.expect("a text is JSON")
    }

    /// Whether both denote the same value; numbers are compared as decimals of any size.
    ///
    /// Takes time linear in the length of `other`, whatever the length of this text, and stops at
    /// the first difference.
    #[must_use]
    pub fn is_same_value(&self, other: &Self) -> bool {
        let (mut one, mut other) = (self.0.as_bytes(), other.0.as_bytes());
        loop {
            let same = common(one, other);
            if one.len() == same && other.len() == same {
                return true;
            }
            // Only a number may differ: the one that ends here, or has begun before.
            let begun = other[..same].iter().rev();
            let start = same - begun.take_while(|b| is_part(b)).count();
            let expected = number(&other[start..], usize::MAX);
            // A number that is longer by this much has another value.
            let limit = expected.len() + 2 * SLACK;
            let found = number(&one[start..], limit);
            let is_other = found.is_empty() || found.len() == limit || expected.is_empty();
            if is_other || is_in_string(&other[..start]) || !is_same_number(found, expected) {
                return false;
            }
            one = &one[start + found.len()..];
            other = &other[start + expected.len()..];
        }
    }

    /// The same if it has at most this many characters; otherwise its beginning, as a JSON string.
    #[must_use]
    pub fn excerpt(&self, characters: usize) -> Self {
        match self.0.char_indices().nth(characters) {
            Some((end, _)) => Self::from(&Value::from(format!("{}...", &self.0[..end]))),
            None => self.clone(),
        }
    }
}

/// Whether a text certainly stays as it is; most small ones do.
fn is_compact(text: &str) -> bool {
    match text.starts_with('"') {
        true => !text.contains('\\'),
        false => {
            let is_plain = |byte| byte > b' ' && byte != b'\\' && byte != b'{';
            text.len() <= SLACK && text.bytes().all(is_plain)
        }
    }
}

/// Parses a checked text.
pub(super) fn document(text: &str) -> Document<'_> {
    let document = json::parse_with_depth(text.as_bytes(), json::MAX_DEPTH);
    document.expect("the text was checked")
}

/// The members of an object, sorted by name, without all but the last of several with one name.
pub(super) fn members<'d>(object: Element<'d>) -> impl Iterator<Item = (&'d str, Element<'d>)> {
    let is_sorted = object.members().is_sorted_by(|a, b| a.0 < b.0);
    let (sorted, others) = match is_sorted {
        true => (Some(object.members()), None),
        false => (None, Some(object.by_name())),
    };
    let sorted = sorted.into_iter().flatten();
    sorted.chain(others.into_iter().flatten())
}

/// Writes a value in the form of a [`Text`]. Recurses as deep as the value nests.
fn write(element: Element<'_>, writer: &mut Writer<'_>) {
    match element.kind() {
        Kind::Null | Kind::Bool | Kind::String => element.encode(writer),
        Kind::Number => {
            let text = element.number_text().expect("it is a number");
            writer.value_text(&short_number(text));
        }
        Kind::Array => {
            writer.begin_array();
            element
                .elements()
                .for_each(|element| write(element, writer));
            writer.end_array();
        }
        Kind::Object => {
            writer.begin_object();
            for (name, value) in members(element) {
                writer.key(name);
                write(value, writer);
            }
            writer.end_object();
        }
    }
}

/// A number as it was written, or, if that is much longer, as its [`Decimal`].
fn short_number(text: &str) -> Cow<'_, str> {
    if text.len() > SLACK {
        let decimal = Decimal::of(text).to_string();
        if decimal.len() + SLACK < text.len() {
            return decimal.into();
        }
    }
    text.into()
}

fn is_same_number(one: &[u8], other: &[u8]) -> bool {
    let value = |text| str::from_utf8(text).map(Decimal::of);
    one == other || value(one) == value(other)
}

/// How many bytes at the start of both are the same.
fn common(one: &[u8], other: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let blocks = one.chunks_exact(BLOCK).zip(other.chunks_exact(BLOCK));
    let same = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    let rest = one[same..].iter().zip(&other[same..]);
    same + rest.take_while(|(a, b)| a == b).count()
}

/// The number at the start of a text, cut off at the limit.
fn number(text: &[u8], limit: usize) -> &[u8] {
    let length = text.iter().take(limit).take_while(|b| is_part(b)).count();
    &text[..length]
}

/// Whether a number may have this byte.
fn is_part(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether a text, which begins outside of strings, ends inside one.
fn is_in_string(text: &[u8]) -> bool {
    let mut is_inside = false;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_inside = !is_inside,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    is_inside
}

impl From<&Value> for Text {
    fn from(value: &Value) -> Self {
        let text = json::to_string(value);
        let raw = json::decode_with_depth(text.as_bytes(), json::MAX_DEPTH);
        Self::of(raw.expect("a value is written as JSON"))
    }
}

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl<'a> Decode<'a> for Text {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        reader.raw().map(Self::of)
    }
}

impl Encode for Text {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.value_text(self.as_str());
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
