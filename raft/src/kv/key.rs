//! Keys as bytes.
//!
//! The bytes of two keys compare like the values that they denote, in the order of [`json::Value`]:
//! a key is parsed once, on the thread that reads it, and the event loop compares bytes up to the
//! first difference.
//!
//! | value | bytes |
//! |---|---|
//! | null; false; true | 1; 2; 3 |
//! | a number below 0 | 4, the bytes of its magnitude, each subtracted from 255 |
//! | 0 | 5 |
//! | a number above 0 | 6, the bytes of its magnitude |
//! | a string | 7, its bytes, each plus 1 (UTF-8 has no 255), 0 |
//! | an array | 8, its elements, 0 |
//! | an object | 9, its members by name, each the name as a string and the value, 0 |
//!
//! A magnitude is 0.DIGITS times ten to an exponent. Its bytes are those of the exponent, the digits
//! in ASCII, and 0. An exponent from -100 to 100 is one byte, 128 more. A larger one is 255, the
//! number of its digits in four bytes, and its digits; a smaller one is 0, and the same of its
//! magnitude, each byte subtracted from 255.

use std::cmp::Ordering;
use std::fmt::{self, Debug, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use json::{Decimal, Decode, Element, Encode, Error, Kind, Number, Raw, Reader, Value, Writer};

use super::text::{document, members};

const NULL: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const NEGATIVE: u8 = 4;
const ZERO: u8 = 5;
const POSITIVE: u8 = 6;
const STRING: u8 = 7;
const ARRAY: u8 = 8;
const OBJECT: u8 = 9;

/// Ends strings, arrays, objects and the digits of numbers. Lower than all that it ends.
const END: u8 = 0;

/// The byte of the exponent 0.
const EXPONENT: i64 = 128;

/// The greatest exponent that is one byte.
const SHORT: i64 = 100;

/// The most bytes of a key that are kept in place.
const IN_PLACE: usize = 22;

/// A key of the map: any JSON value. Keys are equal if they denote the same value: `1`, `1.0` and
/// `10e-1` are one key, and so are two objects with the same members in another order.
///
/// Its clone is cheap.
#[derive(Clone)]
pub struct Key(Bytes);

/// The bytes of a key. Short ones take no allocation, and the map compares them without leaving its
/// node.
#[derive(Clone)]
enum Bytes {
    /// As many of these as the number says.
    Short(u8, [u8; IN_PLACE]),
    Long(Arc<[u8]>),
}

impl Key {
    /// The key of a checked value.
    #[must_use]
    pub fn of(raw: Raw<'_>) -> Self {
        let text = raw.as_str();
        let mut bytes = Vec::with_capacity(text.len() + 4);
        match text.as_bytes() {
            [b'"', content @ .., b'"'] if !content.contains(&b'\\') => string(content, &mut bytes),
            [b'-' | b'0'..=b'9', ..] => number(text, &mut bytes),
            _ => append(document(text).root(), &mut bytes),
        }
        let length = bytes.len();
        if length > IN_PLACE {
            return Self(Bytes::Long(bytes.into()));
        }
        bytes.resize(IN_PLACE, END);
        let short = bytes.try_into().expect("it has this length");
        Self(Bytes::Short(length as u8, short))
    }

    /// About how many bytes of memory it takes. Counts an allocation for a short key too.
    #[must_use]
    pub fn size(&self) -> usize {
        super::ALLOCATION + self.as_bytes().len()
    }

    /// The bytes, which compare like the values. As JSON each takes at most six characters.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(length, bytes) => &bytes[..usize::from(*length)],
            Bytes::Long(bytes) => bytes,
        }
    }

    /// How the bytes begin of all strings that begin so, and of no other key.
    pub(super) fn prefix(text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len() + 2);
        string(text.as_bytes(), &mut bytes);
        bytes.pop();
        bytes
    }
}

/// Appends the bytes of a value. Recurses as deep as the value nests.
fn append(element: Element<'_>, bytes: &mut Vec<u8>) {
    match element.kind() {
        Kind::Null => bytes.push(NULL),
        Kind::Bool if element.as_bool() == Some(true) => bytes.push(TRUE),
        Kind::Bool => bytes.push(FALSE),
        Kind::Number => number(element.number_text().expect("it is a number"), bytes),
        Kind::String => string(element.as_str().expect("it is a string").as_bytes(), bytes),
        Kind::Array => {
            bytes.push(ARRAY);
            element
                .elements()
                .for_each(|element| append(element, bytes));
            bytes.push(END);
        }
        Kind::Object => {
            bytes.push(OBJECT);
            for (name, value) in members(element) {
                string(name.as_bytes(), bytes);
                append(value, bytes);
            }
            bytes.push(END);
        }
    }
}

fn string(content: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(STRING);
    bytes.extend(content.iter().map(|byte| byte + 1));
    bytes.push(END);
}

fn number(text: &str, bytes: &mut Vec<u8>) {
    let unsigned = text.trim_start_matches('-');
    // Most keys are small integers, whose digits and exponent can be seen.
    let is_plain = unsigned.len() <= SHORT as usize && unsigned.bytes().all(|b| b.is_ascii_digit());
    let decimal;
    let (mantissa, exponent) = if is_plain {
        (unsigned, None)
    } else {
        decimal = Decimal::of(text).to_string();
        decimal
            .split_once('e')
            .map_or(("0", None), |(m, e)| (m, Some(e)))
    };
    let digits = mantissa
        .trim_start_matches(['-', '0', '.'])
        .trim_end_matches('0');
    if digits.is_empty() {
        return bytes.push(ZERO);
    }
    let is_negative = text.starts_with('-');
    bytes.push(if is_negative { NEGATIVE } else { POSITIVE });
    let start = bytes.len();
    match exponent {
        Some(text) => append_exponent(text, bytes),
        None => bytes.push((EXPONENT + unsigned.len() as i64) as u8),
    }
    bytes.extend_from_slice(digits.as_bytes());
    bytes.push(END);
    if is_negative {
        flip(&mut bytes[start..]);
    }
}

fn append_exponent(text: &str, bytes: &mut Vec<u8>) {
    match text.parse::<i64>() {
        Ok(short) if short.unsigned_abs() <= SHORT as u64 => bytes.push((EXPONENT + short) as u8),
        _ => {
            let magnitude = text.trim_start_matches('-');
            let start = bytes.len();
            bytes.push(u8::MAX);
            bytes.extend_from_slice(&(magnitude.len() as u32).to_be_bytes());
            bytes.extend_from_slice(magnitude.as_bytes());
            if text.starts_with('-') {
                flip(&mut bytes[start..]);
            }
        }
    }
}

/// Subtracts each byte from 255.
fn flip(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
}

/// The rest of a key that is being written as JSON.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Writes the next value. Recurses as deep as the value nests.
    fn write(&mut self, writer: &mut Writer<'_>) {
        match self.take(1)[0] {
            NULL => writer.null(),
            FALSE => writer.bool(false),
            TRUE => writer.bool(true),
            NEGATIVE => self.write_number(true, writer),
            ZERO => writer.unsigned(0),
            POSITIVE => self.write_number(false, writer),
            STRING => writer.string(&self.string()),
            ARRAY => {
                writer.begin_array();
                while !self.take_end() {
                    self.write(writer);
                }
                writer.end_array();
            }
            OBJECT => {
                writer.begin_object();
                while !self.take_end() {
                    self.take(1);
                    writer.key(&self.string());
                    self.write(writer);
                }
                writer.end_object();
            }
            tag => unreachable!("a key has no {tag} here"),
        }
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// Takes the end, if it comes next.
    fn take_end(&mut self) -> bool {
        let is_end = self.0[0] == END;
        self.take(usize::from(is_end));
        is_end
    }

    /// Takes what comes before this byte, and the byte.
    fn until(&mut self, end: u8) -> &'a [u8] {
        let length = self.0.iter().position(|byte| *byte == end);
        let taken = self.take(length.expect("it has an end"));
        self.take(1);
        taken
    }

    fn string(&mut self) -> String {
        let content = self.until(END).iter().map(|byte| byte - 1);
        String::from_utf8(content.collect()).expect("it was a string")
    }

    fn write_number(&mut self, is_negative: bool, writer: &mut Writer<'_>) {
        let mask = if is_negative { u8::MAX } else { 0 };
        let first = self.take(1)[0] ^ mask;
        let short = i64::from(first) - EXPONENT;
        let long = matches!(first, 0 | u8::MAX).then(|| self.long_exponent(first, mask));
        let digits = self.until(END ^ mask).iter().map(|byte| byte ^ mask);
        let zeros = short - digits.len() as i64;
        if zeros >= 0 && short <= 18 {
            let append = |all, digit| all * 10 + i64::from(digit - b'0');
            let magnitude = digits.fold(0, append) * 10_i64.pow(zeros as u32);
            return writer.signed(if is_negative { -magnitude } else { magnitude });
        }
        let sign = if is_negative { "-" } else { "" };
        let digits: String = digits.map(char::from).collect();
        let exponent = long.unwrap_or_else(|| short.to_string());
        let number = format!("{sign}0.{digits}e{exponent}").parse::<Number>();
        writer.number(&number.expect("it was a number"));
    }

    fn long_exponent(&mut self, first: u8, mask: u8) -> String {
        let (sign, mask) = match first {
            0 => ("-", !mask),
            _ => ("", mask),
        };
        let mut plain = |count| self.take(count).iter().map(move |byte| byte ^ mask);
        let count = plain(4).fold(0, |count, byte| count << 8 | usize::from(byte));
        sign.chars().chain(plain(count).map(char::from)).collect()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl From<Value> for Key {
    fn from(value: Value) -> Self {
        let key = json::decode_with_depth(&json::encode(&value), json::MAX_DEPTH);
        key.expect("a value is written as JSON")
    }
}

impl<'a> Decode<'a> for Key {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        reader.raw().map(Self::of)
    }
}

/// As the value that it denotes, in the form in which a [`Value`] is written.
impl Encode for Key {
    fn encode(&self, writer: &mut Writer<'_>) {
        Rest(self.as_bytes()).write(writer);
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&json::to_string(self))
    }
}

impl Debug for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}
