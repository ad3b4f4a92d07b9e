//! Tests of the reader, and of skipping and raw values on it.

use super::*;
use crate::{Raw, Value, decode, decode_with_depth};

/// The result of reading the text. Checks that skipping it gives the same error.
fn read(text: impl AsRef<[u8]>) -> Result<Value, Error> {
    let read = decode::<Value>(text.as_ref());
    let skipped = decode::<Raw>(text.as_ref());
    assert_eq!(read.as_ref().err(), skipped.as_ref().err());
    read
}

fn string(text: &str) -> String {
    read(text).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn every_kind_of_value_is_accepted() {
    assert_eq!(read("null"), Ok(Value::Null));
    assert_eq!(read(" true\n"), Ok(Value::Bool(true)));
    assert_eq!(read("\t\r\n false "), Ok(Value::Bool(false)));
    assert_eq!(read("\"\""), Ok(Value::from("")));
    assert_eq!(read("[ ]"), Ok(crate::value!([])));
    assert_eq!(read("{ }"), Ok(crate::value!({})));
    assert_eq!(
        read("[1 , [ ] , {\"a\" : [ null ] } ]"),
        Ok(crate::value!([1, [], {"a": [null]}]))
    );
    for number in [
        "0",
        "-0",
        "10",
        "-1",
        "1.0",
        "0.01",
        "1e5",
        "1E+05",
        "1e-5",
        "-12.34e56",
    ] {
        assert!(matches!(read(number), Ok(Value::Number(_))), "{number}");
    }
}

#[test]
fn last_of_duplicate_keys_wins_in_a_value() {
    assert_eq!(
        read(r#"{"a":1,"b":2,"\u0061":3}"#),
        Ok(crate::value!({"a": 3, "b": 2}))
    );
}

/// One row for each way to break a rule of the grammar.
#[test]
fn invalid_texts_are_refused_with_kind_and_offset() {
    let unexpected = |expected, found| ErrorKind::Unexpected { expected, found };
    let end = ErrorKind::UnexpectedEnd;
    let (value, key, colon, digit) = ("a value", "a key", "a colon", "a digit");
    let element = "a comma or the end of the array";
    let member = "a comma or the end of the object";
    let table: &[(&[u8], usize, ErrorKind)] = &[
        (b"", 0, end.clone()),
        (b" \n", 2, end.clone()),
        (b"nul", 3, end.clone()),
        (b"nulL", 3, unexpected("null", 'L')),
        (b"True", 0, unexpected(value, 'T')),
        (b"tru\xc3\xa9", 3, unexpected("true", 'é')),
        (b"falsy", 4, unexpected("false", 'y')),
        (b"NaN", 0, unexpected(value, 'N')),
        (b"Infinity", 0, unexpected(value, 'I')),
        (b"'a'", 0, unexpected(value, '\'')),
        (b"// x", 0, unexpected(value, '/')),
        (b"\x0b1", 0, unexpected(value, '\u{b}')),
        (b"\xc2\xa01", 0, unexpected(value, '\u{a0}')),
        (b"\xef\xbb\xbf1", 0, unexpected(value, '\u{feff}')),
        (b"nullx", 4, ErrorKind::TrailingData),
        (b"1 2", 2, ErrorKind::TrailingData),
        (b"[]]", 2, ErrorKind::TrailingData),
        (b"1\0", 1, ErrorKind::TrailingData),
        (b"-", 1, end.clone()),
        (b"+1", 0, unexpected(value, '+')),
        (b".5", 0, unexpected(value, '.')),
        (b"-.5", 1, unexpected(digit, '.')),
        (b"-x", 1, unexpected(digit, 'x')),
        (b"--1", 1, unexpected(digit, '-')),
        (b"01", 1, ErrorKind::TrailingData),
        (b"-00", 2, ErrorKind::TrailingData),
        (b"[01]", 2, unexpected(element, '1')),
        (b"1.", 2, end.clone()),
        (b"[1.]", 3, unexpected(digit, ']')),
        (b"1.e5", 2, unexpected(digit, 'e')),
        (b"1e", 2, end.clone()),
        (b"1e+", 3, end.clone()),
        (b"1e+-1", 3, unexpected(digit, '-')),
        (b"1e1.5", 3, ErrorKind::TrailingData),
        (b"0x10", 1, ErrorKind::TrailingData),
        (b"1_000", 1, ErrorKind::TrailingData),
        (b"\"", 1, end.clone()),
        (b"\"abcdefghijklmnopqrstuvwxyz", 27, end.clone()),
        (b"\"a\nb\"", 2, ErrorKind::ControlCharacter),
        (b"\"\0\"", 1, ErrorKind::ControlCharacter),
        (b"\"0123456789\x1f\"", 11, ErrorKind::ControlCharacter),
        (b"\"\\", 2, end.clone()),
        (b"\"\\\"", 3, end.clone()),
        (b"\"\\x41\"", 1, ErrorKind::Escape),
        (b"\"\\U0041\"", 1, ErrorKind::Escape),
        (b"\"ab\\\n\"", 3, ErrorKind::Escape),
        (b"\"\\u12\"", 1, ErrorKind::Escape),
        (b"\"\\u+123\"", 1, ErrorKind::Escape),
        (b"\"\\u123g\"", 1, ErrorKind::Escape),
        (b"\"\\u12", 5, end.clone()),
        (b"\"\\ud83d\"", 1, ErrorKind::LoneSurrogate),
        (b"\"\\udca9\"", 1, ErrorKind::LoneSurrogate),
        (b"\"\\udca9\\ud83d\"", 1, ErrorKind::LoneSurrogate),
        (b"\"\\ud83d\\ud83d\"", 1, ErrorKind::LoneSurrogate),
        (b"\"\\ud83d\\u0041\"", 1, ErrorKind::LoneSurrogate),
        (b"\"\\ud83dx\"", 1, ErrorKind::LoneSurrogate),
        (b"\"\\ud83d\\n\"", 1, ErrorKind::LoneSurrogate),
        (b"\"\\ud83d\\udca\"", 7, ErrorKind::Escape),
        (b"\"\\ud83d\\u", 9, end.clone()),
        (b"[", 1, end.clone()),
        (b"[1", 2, end.clone()),
        (b"[1,", 3, end.clone()),
        (b"[,1]", 1, unexpected(value, ',')),
        (b"[1,]", 3, unexpected(value, ']')),
        (b"[1,,2]", 3, unexpected(value, ',')),
        (b"[1 2]", 3, unexpected(element, '2')),
        (b"[1}", 2, unexpected(element, '}')),
        (b"[}", 1, unexpected(value, '}')),
        (b"[1:2]", 2, unexpected(element, ':')),
        (b"]", 0, unexpected(value, ']')),
        (b"{", 1, end.clone()),
        (b"{\"a\"", 4, end.clone()),
        (b"{\"a\":", 5, end.clone()),
        (b"{\"a\":1", 6, end.clone()),
        (b"{\"a\":1,", 7, end.clone()),
        (b"{,\"a\":1}", 1, unexpected(key, ',')),
        (b"{\"a\":1,}", 7, unexpected(key, '}')),
        (b"{\"a\" 1}", 5, unexpected(colon, '1')),
        (b"{\"a\"}", 4, unexpected(colon, '}')),
        (b"{\"a\"::1}", 5, unexpected(value, ':')),
        (b"{\"a\":1 \"b\":2}", 7, unexpected(member, '"')),
        (b"{\"a\":1]", 6, unexpected(member, ']')),
        (b"{]", 1, unexpected(key, ']')),
        (b"{a:1}", 1, unexpected(key, 'a')),
        (b"{1:1}", 1, unexpected(key, '1')),
        (b"{null:1}", 1, unexpected(key, 'n')),
        (b"}", 0, unexpected(value, '}')),
        (b"\x80", 0, ErrorKind::Utf8),
        (b"\"\xff\"", 1, ErrorKind::Utf8),
        (b"\"\xc0\xaf\"", 1, ErrorKind::Utf8),
        (b"\"\xed\xa0\x80\"", 1, ErrorKind::Utf8),
        (b"\"\xf4\x90\x80\x80\"", 1, ErrorKind::Utf8),
        (b"\"ab\xe2\x82\"", 3, ErrorKind::Utf8),
    ];
    for (text, offset, kind) in table {
        let shown = String::from_utf8_lossy(text);
        let error = read(text).expect_err(&shown);
        assert_eq!((error.kind(), error.offset()), (kind, *offset), "{shown}");
    }
}

#[test]
fn escapes_are_decoded() {
    assert_eq!(string(r#""\"\\\/\b\f\n\r\t""#), "\"\\/\u{8}\u{c}\n\r\t");
    assert_eq!(
        string(r#""\u0000\u0041\u00e9\u20ac\u20AC\uFFFF""#),
        "\0Aé€€\u{ffff}"
    );
    assert_eq!(string(r#""\ud83d\udca9\uDBFF\uDFFF""#), "💩\u{10ffff}");
    assert_eq!(
        string("\"a\u{7f}\u{2028}\u{10ffff}é\""),
        "a\u{7f}\u{2028}\u{10ffff}é"
    );
    // Escapes at every position of the eight bytes that are scanned together.
    for before in 0..20 {
        let plain = "x".repeat(before);
        assert_eq!(
            string(&format!("\"{plain}\\n{plain}\\\"é{plain}\"")),
            format!("{plain}\n{plain}\"é{plain}")
        );
    }
}

#[test]
fn strings_without_escapes_are_borrowed() {
    let mut reader = Reader::new(br#"{"plain":"text","esc\u0061ped":"te\u0078t"}"#);
    assert_eq!(reader.enter_object(), Ok(true));
    assert!(matches!(reader.key(), Ok(Cow::Borrowed("plain"))));
    assert!(matches!(reader.string(), Ok(Cow::Borrowed("text"))));
    assert_eq!(reader.more_members(), Ok(true));
    assert!(matches!(reader.key(), Ok(Cow::Owned(key)) if key == "escaped"));
    assert!(matches!(reader.string(), Ok(Cow::Owned(text)) if text == "text"));
    assert_eq!(reader.more_members(), Ok(false));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn depth_limit_is_the_callers() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let objects = |depth: usize| "{\"\":".repeat(depth) + "0" + &"}".repeat(depth);
    for (max_depth, allowed) in [
        (0, 0),
        (1, 1),
        (DEFAULT_DEPTH, 128),
        (MAX_DEPTH, 1024),
        (usize::MAX, 1024),
    ] {
        for (fits, too_deep) in [
            (nested(allowed), nested(allowed + 1)),
            (objects(allowed), objects(allowed + 1)),
        ] {
            if allowed > 0 {
                let value: Value = decode_with_depth(fits.as_bytes(), max_depth).unwrap();
                assert_eq!(value.to_string(), fits);
                let raw: Raw = decode_with_depth(fits.as_bytes(), max_depth).unwrap();
                assert_eq!(raw.decode(), Ok(value));
            }
            let kind = ErrorKind::TooDeep { limit: allowed };
            let error = decode_with_depth::<Value>(too_deep.as_bytes(), max_depth).unwrap_err();
            assert_eq!(error.kind(), &kind);
            let error = decode_with_depth::<Raw>(too_deep.as_bytes(), max_depth).unwrap_err();
            assert_eq!(error.kind(), &kind);
        }
    }
    assert_eq!(decode_with_depth(b"7", 0), Ok(7));
    assert!(read(nested(DEFAULT_DEPTH)).is_ok());
}

#[test]
fn half_a_million_brackets_are_an_error() {
    for bracket in ["[", "{\"a\":", "[{\"a\":[", "]", "}"] {
        let text = bracket.repeat(500_000);
        for max_depth in [DEFAULT_DEPTH, usize::MAX] {
            assert!(decode_with_depth::<Value>(text.as_bytes(), max_depth).is_err());
            assert!(decode_with_depth::<Raw>(text.as_bytes(), max_depth).is_err());
        }
    }
}

#[test]
fn siblings_do_not_count_as_depth() {
    let text = format!("[{}[]]", "[{\"a\":[]}],".repeat(5_000));
    assert!(decode_with_depth::<Value>(text.as_bytes(), 4).is_ok());
    assert!(decode_with_depth::<Raw>(text.as_bytes(), 4).is_ok());
    assert!(decode_with_depth::<Value>(text.as_bytes(), 3).is_err());
}

#[test]
fn reading_past_the_end_is_an_error() {
    for text in ["[]]", "{}}", "[]", ""] {
        let mut reader = Reader::new(text.as_bytes());
        while reader.skip_value().is_ok() {}
        assert!(reader.more_elements().is_err(), "{text}");
        assert!(reader.more_members().is_err(), "{text}");
    }
}

#[test]
fn raw_values_keep_their_text() {
    let text = "[1, {\"a\" : \"\\u0061\"} ,2.50]";
    let raws: Vec<Raw> = decode(text.as_bytes()).unwrap();
    assert_eq!(
        raws.iter().map(Raw::as_str).collect::<Vec<_>>(),
        ["1", "{\"a\" : \"\\u0061\"}", "2.50"]
    );
    assert_eq!(raws[1].decode(), Ok(crate::value!({"a": "a"})));
    assert_eq!(crate::to_string(&raws), "[1,{\"a\" : \"\\u0061\"},2.50]");
    assert_eq!(Raw::new(" 1 ").unwrap().as_str(), "1");
    assert!(Raw::new("1 2").is_err() && Raw::new("[01]").is_err() && Raw::new("").is_err());
}
