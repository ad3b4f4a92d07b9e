//! The writer: compact JSON, one token at a time.

use crate::{Number, append, float};

/// Appends one JSON value, token by token, to a buffer. The output has no white space.
///
/// The writer adds commas and colons. The caller must end every array and object, and write one
/// value after every key.
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
    /// Whether the next value or key needs a comma before it.
    comma: bool,
}

impl<'w> Writer<'w> {
    /// A writer that appends to `out`.
    pub fn new(out: &'w mut Vec<u8>) -> Writer<'w> {
        Writer { out, comma: false }
    }

    /// Begins an object.
    #[inline]
    pub fn begin_object(&mut self) {
        self.token(b"{");
        self.comma = false;
    }

    /// Writes a key; its value must follow.
    #[inline]
    pub fn key(&mut self, key: &str) {
        self.string(key);
        self.out.push(b':');
        self.comma = false;
    }

    /// Writes a key: `text` is the key with a comma before it and a colon after it.
    #[doc(hidden)]
    #[inline]
    pub fn key_text<const N: usize>(&mut self, text: &[u8; N]) {
        if self.comma {
            self.out.extend_from_slice(text);
        } else {
            self.out.extend_from_slice(&text[1..]);
        }
        self.comma = false;
    }

    /// Ends the object.
    #[inline]
    pub fn end_object(&mut self) {
        self.out.push(b'}');
        self.comma = true;
    }

    /// Begins an array.
    #[inline]
    pub fn begin_array(&mut self) {
        self.token(b"[");
        self.comma = false;
    }

    /// Ends the array.
    #[inline]
    pub fn end_array(&mut self) {
        self.out.push(b']');
        self.comma = true;
    }

    /// Writes `null`.
    #[inline]
    pub fn null(&mut self) {
        self.token(b"null");
    }

    /// Writes `true` or `false`.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.token(if value { b"true" } else { b"false" });
    }

    /// Writes an integer.
    #[inline]
    pub fn signed(&mut self, value: i64) {
        self.value();
        append::signed(value, self.out);
    }

    /// Writes an integer.
    #[inline]
    pub fn unsigned(&mut self, value: u64) {
        self.value();
        append::unsigned(value, self.out);
    }

    /// Writes the shortest number that reads back as this float; `null` for NaN and the infinities,
    /// as JavaScript does, because JSON does not have them.
    pub fn float(&mut self, value: f64) {
        if value.is_finite() {
            self.value();
            float::append(value, self.out);
        } else {
            self.null();
        }
    }

    /// Writes a number.
    pub fn number(&mut self, value: &Number) {
        self.value();
        value.append(self.out);
    }

    /// Writes a string, with the escapes that RFC 8259 section 7 demands and no others.
    #[inline]
    pub fn string(&mut self, value: &str) {
        self.value();
        append::string(value.as_bytes(), self.out);
    }

    /// Writes a value that is this text, which the caller must have checked.
    pub fn value_text(&mut self, text: &str) {
        self.token(text.as_bytes());
    }

    /// The buffer, to which the caller must append one compact value.
    pub(crate) fn value_buffer(&mut self) -> &mut Vec<u8> {
        self.value();
        self.out
    }

    /// Writes a value that is this text, or begins one.
    #[doc(hidden)]
    #[inline]
    pub fn token(&mut self, token: &[u8]) {
        self.value();
        self.out.extend_from_slice(token);
    }

    /// Writes the comma before the next value, if it needs one.
    #[inline]
    fn value(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encode, Raw};

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut buffer = b"before ".to_vec();
        write(&mut Writer::new(&mut buffer));
        let text = String::from_utf8(buffer).unwrap();
        text.strip_prefix("before ")
            .expect("a writer appends")
            .to_owned()
    }

    #[test]
    fn commas_stand_only_between_items() {
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
            Raw::new("[ 1 ]").unwrap().encode(writer);
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
    fn integers_are_written_up_to_their_limits() {
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
    fn floats_are_written_in_their_shortest_form() {
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
    fn only_required_escapes_are_written() {
        assert_eq!(
            written(|writer| writer.string("\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}é\u{2028}💩")),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é\u{2028}💩\""
        );
        assert_eq!(written(|writer| writer.string("")), "\"\"");
        assert_eq!(written(|writer| writer.string("a\nb")), "\"a\\nb\"");
    }
}
