//! Values as text.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use json::{Decimal, Decode, Document, Element, Encode, Error, Kind, Raw, Reader, Value, Writer};

/// Texts up to this length are searched for what is not compact.
const SHORT: usize = 256;

/// The normal form of a number has fewer zeros after its digits, or between the point and them.
const MANY_ZEROS: &str = "00000";

/// A JSON value, kept as its text: it takes about as much memory as it takes on the wire, however
/// many small parts it has. Its clone is one pointer.
///
/// The text is compact. The members of an object are sorted by name; of several with one name there
/// is the last. Strings have the escapes that JSON demands and no others. Numbers stand as they were
/// written, so different texts may denote [the same value](Self::is_same_value). Equality and hash
/// are those of the text.
///
/// All texts of one value have the same normal form. It is made on the thread that reads the text,
/// so that the event loop only compares bytes, and kept only if it is another text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    /// The text, and its normal form if that differs.
    both: Arc<str>,
    /// The length of the text.
    length: usize,
}

impl Text {
    /// The text of a checked value.
    #[must_use]
    pub fn of(raw: Raw<'_>) -> Self {
        let text = raw.as_str();
        if is_compact(text) {
            return Self::of_compact(text.into());
        }
        let mut compact = Vec::with_capacity(text.len());
        write(document(text).root(), &mut Writer::new(&mut compact));
        let compact = String::from_utf8(compact).expect("a Writer writes whole strings only");
        Self::of_compact(compact.into())
    }

    fn of_compact(text: Cow<'_, str>) -> Self {
        let length = text.len();
        let both = match normal(&text) {
            Some(normal) => (text + &*normal).into(),
            None => text.into(),
        };
        Self { both, length }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.both[..self.length]
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        super::ALLOCATION + self.both.len()
    }

    /// The value in parts, to look into it. May take a hundred times as much memory.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let value = json::decode_with_depth(self.as_str().as_bytes(), json::MAX_DEPTH);
        value.expect("a text is JSON")
    }

    /// Whether both denote the same value; numbers are compared as decimals of any size. Compares
    /// bytes, up to the first difference.
    #[must_use]
    pub fn is_same_value(&self, other: &Self) -> bool {
        self.normal() == other.normal()
    }

    fn normal(&self) -> &str {
        match &self.both[self.length..] {
            "" => &self.both,
            normal => normal,
        }
    }

    /// The same if it has at most this many characters; otherwise its beginning, as a JSON string.
    #[must_use]
    pub fn excerpt(&self, characters: usize) -> Self {
        match self.as_str().char_indices().nth(characters) {
            Some((end, _)) => Value::from(format!("{}...", &self.both[..end])).into(),
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
            text.len() <= SHORT && text.bytes().all(is_plain)
        }
    }
}

/// Parses a checked text.
pub(super) fn document(text: &str) -> Document<'_> {
    let document = json::parse_with_depth(text.as_bytes(), json::MAX_DEPTH);
    document.expect("the text was checked")
}

/// The members of an object, sorted by name, without all but the last of several with one name. Those
/// in order already, as most are, need no map.
pub(super) fn members<'d>(object: Element<'d>) -> impl Iterator<Item = (&'d str, Element<'d>)> {
    let is_sorted = object.members().is_sorted_by(|a, b| a.0 < b.0);
    let sorted = is_sorted.then(|| object.members());
    let others = (!is_sorted).then(|| object.by_name());
    let sorted = sorted.into_iter().flatten();
    sorted.chain(others.into_iter().flatten())
}

/// Writes a value in the form of a [`Text`]. Recurses as deep as the value nests.
fn write(element: Element<'_>, writer: &mut Writer<'_>) {
    match element.kind() {
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => element.encode(writer),
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

/// The normal form of a compact text, if it is another one: that of each number, and all else as it
/// is.
fn normal(text: &str) -> Option<String> {
    if text.starts_with('"') {
        return None;
    }
    let bytes = text.as_bytes();
    let mut normal = String::new();
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'-' | b'0'..=b'9' => {
                let after = bytes[at..]
                    .iter()
                    .position(|b| matches!(b, b',' | b']' | b'}'));
                at = after.map_or(bytes.len(), |after| start + after);
                let number = &text[start..at];
                if !is_normal(number) {
                    normal.push_str(&text[copied..start]);
                    normal.push_str(&normal_number(number));
                    copied = at;
                }
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return None;
    }
    normal.push_str(&text[copied..]);
    (normal != text).then_some(normal)
}

/// The end of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Whether a number has its normal form.
fn is_normal(number: &str) -> bool {
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    match unsigned.split_once('.') {
        _ if number == "-0" || unsigned.contains(['e', 'E']) => false,
        None => !unsigned.ends_with(MANY_ZEROS),
        Some((whole, part)) => {
            !part.ends_with('0') && (whole != "0" || !part.starts_with(MANY_ZEROS))
        }
    }
}

/// The normal form of a number: without an exponent if that takes few zeros, or else as its
/// [`Decimal`] is written.
fn normal_number(number: &str) -> String {
    let decimal = Decimal::of(number).to_string();
    without_exponent(&decimal).unwrap_or(decimal)
}

fn without_exponent(decimal: &str) -> Option<String> {
    let zeros = |count: i64| {
        let few = count < MANY_ZEROS.len() as i64;
        few.then(|| "0".repeat(count.max(0) as usize))
    };
    let (mantissa, exponent) = decimal.split_once('e')?;
    let (sign, digits) = mantissa.split_once("0.")?;
    let exponent: i64 = exponent.parse().ok()?;
    let before = zeros(exponent.saturating_neg())?;
    let after = zeros(exponent.saturating_sub(digits.len() as i64))?;
    let digits = [&before, digits, &after].concat();
    Some(match digits.split_at(exponent.max(0) as usize) {
        (whole, "") => format!("{sign}{whole}"),
        ("", part) => format!("{sign}0.{part}"),
        (whole, part) => format!("{sign}{whole}.{part}"),
    })
}

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        let text = json::decode_with_depth(&json::encode(&value), json::MAX_DEPTH);
        text.expect("a value is written as JSON")
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
