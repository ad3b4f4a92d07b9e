//! The writer: compact JSON, one token at a time.

use crate::number::float_text;
use crate::scan::plain_end;
use crate::{Number, Raw};
use std::io::Write;

/// Appends one JSON value, token by token, to a buffer. The output has no white space.
///
/// It puts the commas and colons; that every array and object is ended, and every key followed by one value,
/// is up to the caller.
///
/// ```
/// let mut buffer = Vec::new();
/// let mut writer = json::Writer::new(&mut buffer);
/// writer.begin_object();
/// writer.key("numbers");
/// writer.begin_array();
/// writer.signed(-1);
/// writer.float(0.5);
/// writer.end_array();
/// writer.end_object();
/// assert_eq!(buffer, br#"{"numbers":[-1,0.5]}"#);
/// ```
#[derive(Debug)]
pub struct Writer<'w> {
    out: &'w mut Vec<u8>,
    /// Whether what comes next needs a comma before it.
    comma: bool,
}

impl<'w> Writer<'w> {
    /// A writer that appends to `out`, which only ever grows.
    pub fn new(out: &'w mut Vec<u8>) -> Writer<'w> {
        Writer { out, comma: false }
    }

    /// Begins an object.
    pub fn begin_object(&mut self) {
        self.token(b"{");
        self.comma = false;
    }

    /// Writes a key; its value comes next.
    pub fn key(&mut self, key: &str) {
        self.string(key);
        self.out.push(b':');
        self.comma = false;
    }

    /// Writes a key: `text` is that with the comma before and the colon after it.
    #[inline]
    pub(crate) fn key_text<const N: usize>(&mut self, text: &[u8; N]) {
        if self.comma {
            self.out.extend_from_slice(text);
        } else {
            self.out.extend_from_slice(&text[1..]);
        }
        self.comma = false;
    }

    /// Begins an object with its first member: `text` is both.
    #[inline]
    pub(crate) fn begin_tagged<const N: usize>(&mut self, text: &[u8; N]) {
        self.token(text);
    }

    /// Ends the object.
    pub fn end_object(&mut self) {
        self.out.push(b'}');
        self.comma = true;
    }

    /// Begins an array.
    pub fn begin_array(&mut self) {
        self.token(b"[");
        self.comma = false;
    }

    /// Ends the array.
    pub fn end_array(&mut self) {
        self.out.push(b']');
        self.comma = true;
    }

    /// Writes `null`.
    pub fn null(&mut self) {
        self.token(b"null");
    }

    /// Writes `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        self.token(if value { b"true" } else { b"false" });
    }

    /// Writes an integer.
    pub fn signed(&mut self, value: i64) {
        if value < 0 {
            self.token(b"-");
            self.comma = false;
        }
        self.unsigned(value.unsigned_abs());
    }

    /// Writes an integer.
    pub fn unsigned(&mut self, mut value: u64) {
        // u64::MAX has 20 digits.
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.token(&digits[start..]);
    }

    /// Writes the shortest number that reads back as this float; `null` for NaN and the infinities, which
    /// JSON does not have (JavaScript writes them so too).
    pub fn float(&mut self, value: f64) {
        if value.is_finite() {
            self.token(float_text(value).as_bytes());
        } else {
            self.null();
        }
    }

    /// Writes a number.
    pub fn number(&mut self, value: &Number) {
        self.token(b"");
        write!(self.out, "{value}").expect("writing to a Vec cannot fail");
    }

    /// Writes a string. Only what must be escaped is (RFC 8259 section 7).
    pub fn string(&mut self, value: &str) {
        self.token(b"\"");
        let bytes = value.as_bytes();
        let mut start = 0;
        loop {
            let end = plain_end(bytes, start);
            self.out.extend_from_slice(&bytes[start..end]);
            let Some(&byte) = bytes.get(end) else { break };
            let (escaped, length) = escape(byte);
            self.out.extend_from_slice(&escaped);
            self.out.truncate(self.out.len() - (escaped.len() - length));
            start = end + 1;
        }
        self.out.push(b'"');
    }

    /// Writes a value as it stands.
    pub fn raw(&mut self, value: Raw<'_>) {
        self.token(value.as_str().as_bytes());
    }

    /// The buffer, for somebody else to append one compact value to.
    pub(crate) fn value_buffer(&mut self) -> &mut Vec<u8> {
        self.token(b"");
        self.out
    }

    fn token(&mut self, token: &[u8]) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
        self.out.extend_from_slice(token);
    }
}

/// How a byte stands in a string: the text of its escape, which is the byte itself if it needs none, in the
/// first so many bytes.
pub(crate) const fn escape(byte: u8) -> ([u8; 6], usize) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let (high, low) = (HEX[byte as usize >> 4], HEX[byte as usize & 0xf]);
            return ([b'\\', b'u', b'0', b'0', high, low], 6);
        }
        _ => return ([byte, 0, 0, 0, 0, 0], 1),
    };
    ([b'\\', short, 0, 0, 0, 0], 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut buffer = b"before ".to_vec();
        write(&mut Writer::new(&mut buffer));
        let text = String::from_utf8(buffer).unwrap();
        text.strip_prefix("before ")
            .expect("a writer appends")
            .to_owned()
    }

    #[test]
    fn commas_stand_between_items_only() {
        let text = written(|writer| {
            writer.begin_array();
            writer.begin_array();
            writer.end_array();
            writer.begin_object();
            writer.end_object();
            writer.begin_object();
            writer.key("a");
            writer.begin_array();
            writer.null();
            writer.bool(true);
            writer.end_array();
            writer.key("b");
            writer.raw(Raw::new("[ 1 ]").unwrap());
            writer.key("c");
            writer.number(&Number::from(-5_i64));
            writer.end_object();
            writer.string("x");
            writer.bool(false);
            writer.end_array();
        });
        assert_eq!(
            text,
            r#"[[],{},{"a":[null,true],"b":[ 1 ],"c":-5},"x",false]"#
        );
    }

    #[test]
    fn integers_to_their_limits() {
        for value in [i64::MIN, -10, -1, 0, 9, 10, i64::MAX] {
            assert_eq!(written(|writer| writer.signed(value)), value.to_string());
        }
        for value in [0, 9, 10, 99, 100, u64::MAX] {
            assert_eq!(written(|writer| writer.unsigned(value)), value.to_string());
        }
        let list = written(|writer| {
            writer.begin_array();
            writer.signed(-1);
            writer.signed(-2);
            writer.unsigned(3);
            writer.end_array();
        });
        assert_eq!(list, "[-1,-2,3]");
    }

    #[test]
    fn floats_are_short() {
        for (value, text) in [
            (0.1, "0.1"),
            (1.0, "1"),
            (-0.0, "-0"),
            (0.00001, "0.00001"),
            (0.000001, "1e-6"),
            (1e16, "10000000000000000"),
            (1e17, "1e17"),
            (1e300, "1e300"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(written(|writer| writer.float(value)), text);
        }
    }

    #[test]
    fn escapes_what_must_be_escaped_and_nothing_else() {
        assert_eq!(
            written(|writer| writer.string("\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}é\u{2028}💩")),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é\u{2028}💩\""
        );
        assert_eq!(written(|writer| writer.string("")), "\"\"");
        assert_eq!(written(|writer| writer.string("a\nb")), "\"a\\nb\"");
    }
}
