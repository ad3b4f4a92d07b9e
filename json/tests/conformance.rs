//! The public test suite of JSON parsers (github.com/nst/JSONTestSuite), if the variable
//! `STDRAFT_JSON_TEST_SUITE` names its folder. `grammar.rs` tests the same rules of RFC 8259
//! without files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{env, fs};

use json::{DEFAULT_DEPTH, Error, ErrorKind, Kind, MAX_DEPTH, Raw, Reader, Value};

/// The result for a text that RFC 8259 leaves to the reader; `README.md` gives the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// Accepted.
    Accept,
    /// Not UTF-8.
    Utf8,
    /// Half of a surrogate pair.
    Surrogate,
    /// A byte order mark at the start.
    Mark,
    /// Nested deeper than the default limit; accepted with a higher one.
    Deep,
}

const CHOICES: [(&str, Choice); 35] = [
    ("i_number_double_huge_neg_exp", Choice::Accept),
    ("i_number_huge_exp", Choice::Accept),
    ("i_number_neg_int_huge_exp", Choice::Accept),
    ("i_number_pos_double_huge_exp", Choice::Accept),
    ("i_number_real_neg_overflow", Choice::Accept),
    ("i_number_real_pos_overflow", Choice::Accept),
    ("i_number_real_underflow", Choice::Accept),
    ("i_number_too_big_neg_int", Choice::Accept),
    ("i_number_too_big_pos_int", Choice::Accept),
    ("i_number_very_big_negative_int", Choice::Accept),
    ("i_object_key_lone_2nd_surrogate", Choice::Surrogate),
    ("i_string_1st_surrogate_but_2nd_missing", Choice::Surrogate),
    (
        "i_string_1st_valid_surrogate_2nd_invalid",
        Choice::Surrogate,
    ),
    ("i_string_UTF-16LE_with_BOM", Choice::Utf8),
    ("i_string_UTF-8_invalid_sequence", Choice::Utf8),
    ("i_string_UTF8_surrogate_U+D800", Choice::Utf8),
    (
        "i_string_incomplete_surrogate_and_escape_valid",
        Choice::Surrogate,
    ),
    ("i_string_incomplete_surrogate_pair", Choice::Surrogate),
    (
        "i_string_incomplete_surrogates_escape_valid",
        Choice::Surrogate,
    ),
    ("i_string_invalid_lonely_surrogate", Choice::Surrogate),
    ("i_string_invalid_surrogate", Choice::Surrogate),
    ("i_string_invalid_utf-8", Choice::Utf8),
    ("i_string_inverted_surrogates_U+1D11E", Choice::Surrogate),
    ("i_string_iso_latin_1", Choice::Utf8),
    ("i_string_lone_second_surrogate", Choice::Surrogate),
    ("i_string_lone_utf8_continuation_byte", Choice::Utf8),
    ("i_string_not_in_unicode_range", Choice::Utf8),
    ("i_string_overlong_sequence_2_bytes", Choice::Utf8),
    ("i_string_overlong_sequence_6_bytes", Choice::Utf8),
    ("i_string_overlong_sequence_6_bytes_null", Choice::Utf8),
    ("i_string_truncated-utf-8", Choice::Utf8),
    ("i_string_utf16BE_no_BOM", Choice::Utf8),
    ("i_string_utf16LE_no_BOM", Choice::Utf8),
    ("i_structure_500_nested_arrays", Choice::Deep),
    ("i_structure_UTF-8_BOM_empty_object", Choice::Mark),
];

/// The output for each file of the suite's second folder, as a `Value` and as a `Document`. Refused
/// texts have no output.
const TRANSFORMED: [(&str, &str, &str); 22] = [
    (
        "number_-9223372036854775808",
        "[-9223372036854775808]",
        "[-9223372036854775808]",
    ),
    (
        "number_-9223372036854775809",
        "[-9223372036854775809]",
        "[-9223372036854775809]",
    ),
    ("number_1.0", "[1]", "[1.0]"),
    (
        "number_1.000000000000000005",
        "[1.000000000000000005]",
        "[1.000000000000000005]",
    ),
    (
        "number_1000000000000000",
        "[1000000000000000]",
        "[1000000000000000]",
    ),
    (
        "number_10000000000000000999",
        "[10000000000000000999]",
        "[10000000000000000999]",
    ),
    ("number_1e-999", "[1E-999]", "[1E-999]"),
    ("number_1e6", "[1000000]", "[1E6]"),
    (
        "number_9223372036854775807",
        "[9223372036854775807]",
        "[9223372036854775807]",
    ),
    (
        "number_9223372036854775808",
        "[9223372036854775808]",
        "[9223372036854775808]",
    ),
    (
        "object_key_nfc_nfd",
        "{\"e\u{301}\":\"NFD\",\"\u{e9}\":\"NFC\"}",
        "{\"\u{e9}\":\"NFC\",\"e\u{301}\":\"NFD\"}",
    ),
    (
        "object_key_nfd_nfc",
        "{\"e\u{301}\":\"NFD\",\"\u{e9}\":\"NFC\"}",
        "{\"e\u{301}\":\"NFD\",\"\u{e9}\":\"NFC\"}",
    ),
    (
        "object_same_key_different_values",
        r#"{"a":2}"#,
        r#"{"a":1,"a":2}"#,
    ),
    (
        "object_same_key_same_value",
        r#"{"a":1}"#,
        r#"{"a":1,"a":1}"#,
    ),
    (
        "object_same_key_unclear_values",
        r#"{"a":0}"#,
        r#"{"a":0,"a":-0}"#,
    ),
    ("string_1_escaped_invalid_codepoint", "", ""),
    ("string_1_invalid_codepoint", "", ""),
    ("string_2_escaped_invalid_codepoints", "", ""),
    ("string_2_invalid_codepoints", "", ""),
    ("string_3_escaped_invalid_codepoints", "", ""),
    ("string_3_invalid_codepoints", "", ""),
    (
        "string_with_escaped_NULL",
        r#"["A\u0000B"]"#,
        r#"["A\u0000B"]"#,
    ),
];

/// Every file `y_*` is accepted, every `n_*` refused, and every `i_*` has the result of the table.
#[test]
fn parsing_suite_is_judged_as_documented() {
    let Some(files) = files("test_parsing") else {
        return;
    };
    let choices = BTreeMap::from(CHOICES);
    let mut counts = BTreeMap::new();
    for (name, text) in files {
        *counts.entry(name.as_bytes()[0]).or_insert(0) += 1;
        let result = read(&name, &text, DEFAULT_DEPTH);
        match name.as_bytes()[0] {
            b'y' => {
                let value = result.unwrap_or_else(|error| panic!("{name} was refused: {error}"));
                assert_eq!(
                    json::decode(&json::encode(&value)),
                    Ok(value),
                    "{name}: round trip"
                );
            }
            b'n' => {
                assert!(result.is_err(), "{name} was accepted");
            }
            _ => {
                assert_eq!(
                    Some(&choice(&result)),
                    choices.get(&*name),
                    "{name}: {result:?}"
                );
                let deep = choice(&result) == Choice::Deep;
                assert!(!deep || read(&name, &text, MAX_DEPTH).is_ok(), "{name}");
                if let Ok(value) = result {
                    assert_eq!(
                        json::decode(&json::encode(&value)),
                        Ok(value),
                        "{name}: round trip"
                    );
                }
            }
        }
    }
    say(&format!("parsing {counts:?}"));
    assert_eq!(
        counts,
        BTreeMap::from([(b'i', 35), (b'n', 188), (b'y', 95)])
    );
}

/// Numbers beyond the range of machine types, decoded as such types.
#[test]
fn huge_numbers_are_refused_as_machine_types() {
    let Some(files) = files("test_parsing") else {
        return;
    };
    for (name, text) in files
        .into_iter()
        .filter(|(name, _)| name.starts_with("i_number_"))
    {
        let floats = json::decode::<Vec<f64>>(&text);
        match &*name {
            "i_number_double_huge_neg_exp" | "i_number_real_underflow" => {
                assert_eq!(floats, Ok(vec![0.0]), "{name}")
            }
            "i_number_too_big_neg_int"
            | "i_number_too_big_pos_int"
            | "i_number_very_big_negative_int" => {
                assert!(floats.is_ok(), "{name}");
            }
            _ => assert_out_of_range(&name, floats),
        }
        assert_out_of_range(&name, json::decode::<Vec<i64>>(&text));
        assert_out_of_range(&name, json::decode::<Vec<u64>>(&text));
    }
}

fn assert_out_of_range<T: std::fmt::Debug>(name: &str, result: Result<Vec<T>, Error>) {
    let error = result.expect_err(name);
    assert!(
        matches!(error.kind(), ErrorKind::OutOfRange { .. }),
        "{name}: {error}"
    );
}

#[test]
fn transform_suite_is_written_as_documented() {
    let Some(files) = files("test_transform") else {
        return;
    };
    let mut names = Vec::new();
    for (name, text) in files {
        let value =
            read(&name, &text, DEFAULT_DEPTH).map_or(String::new(), |value| value.to_string());
        let document = json::parse(&text).map_or(String::new(), |document| document.to_string());
        let row = TRANSFORMED.iter().find(|row| row.0 == name);
        assert_eq!(row, Some(&(&*name, &*value, &*document)));
        names.push(name);
    }
    assert_eq!(names.len(), TRANSFORMED.len());
}

/// The result of reading the text. Checks that all ways of reading agree.
fn read(name: &str, text: &[u8], depth: usize) -> Result<Value, Error> {
    let value = json::decode_with_depth::<Value>(text, depth);
    let skipped = json::decode_with_depth::<Raw>(text, depth).map(|_| ());
    let walked = {
        let mut reader = Reader::with_depth(text, depth);
        walk(&mut reader).and_then(|()| reader.end())
    };
    let document = json::parse_with_depth(text, depth);
    let unit = value.as_ref().map(|_| ()).map_err(Clone::clone);
    assert_eq!(skipped, unit, "{name}: skipped");
    assert_eq!(walked, unit, "{name}: walked");
    assert_eq!(
        document.map(|document| Value::from(&document)),
        value,
        "{name}: document"
    );
    value
}

/// Reads a value token by token. Recurses as deep as the value nests, which the reader limits.
fn walk(reader: &mut Reader<'_>) -> Result<(), Error> {
    match reader.peek()? {
        Kind::Null => reader.null(),
        Kind::Bool => reader.bool().map(|_| ()),
        Kind::Number => reader.number().map(|_| ()),
        Kind::String => reader.string().map(|_| ()),
        Kind::Array => {
            let mut more = reader.enter_array()?;
            while more {
                walk(reader)?;
                more = reader.more_elements()?;
            }
            Ok(())
        }
        Kind::Object => {
            let mut more = reader.enter_object()?;
            while more {
                reader.key()?;
                walk(reader)?;
                more = reader.more_members()?;
            }
            Ok(())
        }
    }
}

fn choice(result: &Result<Value, Error>) -> Choice {
    match result.as_ref().map_err(Error::kind) {
        Ok(_) => Choice::Accept,
        Err(ErrorKind::Utf8) => Choice::Utf8,
        Err(ErrorKind::LoneSurrogate) => Choice::Surrogate,
        Err(ErrorKind::Unexpected {
            found: '\u{feff}', ..
        }) => Choice::Mark,
        Err(ErrorKind::TooDeep { .. }) => Choice::Deep,
        Err(other) => panic!("this error is none of the choices: {other}"),
    }
}

/// The names (without extension) and contents of the files in a folder of the suite, ordered by
/// name; `None` without the suite.
fn files(folder: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let Some(suite) = env::var_os("STDRAFT_JSON_TEST_SUITE") else {
        say(
            "skipped: STDRAFT_JSON_TEST_SUITE does not name a folder that has test_parsing and test_transform in it",
        );
        return None;
    };
    let folder = fs::read_dir(PathBuf::from(suite).join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let file = |path: &Path| {
        (
            path.file_stem().unwrap().to_string_lossy().into_owned(),
            fs::read(path).unwrap(),
        )
    };
    Some(paths.iter().map(|path| file(path)).collect())
}

/// Prints even if the test passes, which the test harness suppresses for `println!`.
fn say(message: &str) {
    io::stderr()
        .write_all(format!("JSON test suite: {message}\n").as_bytes())
        .unwrap();
}
