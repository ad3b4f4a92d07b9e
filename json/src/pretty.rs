//! JSON for human readers.

use crate::scan::{string_end, white_end};
use crate::{Encode, encode};

/// Encodes the value as JSON with one line for each element and member, indented by two spaces for
/// each array and object around it. Empty arrays and objects are written as `[]` and `{}`.
///
/// ```
/// let value = json::value!({"a": [1, {}, []], "b": "x: [y]"});
/// let text = r#"{
///   "a": [
///     1,
///     {},
///     []
///   ],
///   "b": "x: [y]"
/// }"#;
/// assert_eq!(json::to_string_pretty(&value), text);
/// ```
pub fn to_string_pretty<T: Encode + ?Sized>(value: &T) -> String {
    let text = encode(value);
    let mut out = Vec::with_capacity(2 * text.len());
    let mut depth = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let start = at;
        at += 1;
        match byte {
            // A `Raw` keeps its white space.
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'"' => {
                at = string_end(&text, at).expect("encoded text is valid JSON");
                out.extend_from_slice(&text[start..at]);
            }
            b'{' | b'[' => {
                out.push(byte);
                at = white_end(&text, at);
                if let Some(&end @ (b'}' | b']')) = text.get(at) {
                    out.push(end);
                    at += 1;
                } else {
                    depth += 1;
                    new_line(depth, &mut out);
                }
            }
            b'}' | b']' => {
                depth -= 1;
                new_line(depth, &mut out);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(depth, &mut out);
            }
            b':' => out.extend_from_slice(b": "),
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).expect("only white space outside of strings changes")
}

fn new_line(depth: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.resize(out.len() + 2 * depth, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Raw, Value, decode, parse};

    #[test]
    fn values_documents_and_raw_texts_are_indented() {
        let text = "{\"a\":[ ], \"b\" : {\n} ,\"c\":[[\"],[\\\"{\", 1.50],{\"d\":null}]}";
        let pretty = "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    [\n      \"],[\\\"{\",\n      1.50\n    ],\n    \
            {\n      \"d\": null\n    }\n  ]\n}";
        assert_eq!(to_string_pretty(&Raw::new(text).unwrap()), pretty);
        assert_eq!(to_string_pretty(&parse(text.as_bytes()).unwrap()), pretty);
        let value: Value = decode(text.as_bytes()).unwrap();
        assert_eq!(to_string_pretty(&value), pretty.replace("1.50", "1.5"));
    }

    #[test]
    fn scalars_and_empty_containers_take_one_line() {
        for text in ["null", "-1.5e300", "\"a b\\n[]\"", "[]", "{}"] {
            assert_eq!(to_string_pretty(&Raw::new(text).unwrap()), text);
        }
        assert_eq!(to_string_pretty(&[1, 2]), "[\n  1,\n  2\n]");
    }
}
