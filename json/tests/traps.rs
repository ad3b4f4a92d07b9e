//! Texts that take a careless codec quadratic time, or as much stack as they nest. They are so
//! large that quadratic time would be many minutes, so these tests also assert by ending.

use std::collections::BTreeMap;

use json::{Decode, Error, ErrorKind, MAX_DEPTH, Number, Raw, Reader, Value};

const LARGE: usize = 500_000;

json::record! {
    #[derive(Debug, PartialEq)]
    struct Open { last: u8 }
}

json::record! {
    #[derive(Debug, PartialEq)]
    enum Tagged tagged "type" {
        Leaf { size: u64 },
        Node { inner: Vec<Tagged> },
    }
}

fn error<'a, T: Decode<'a>>(text: &'a str) -> Error {
    match json::decode::<T>(text.as_bytes()) {
        Ok(_) => panic!("this should be refused"),
        Err(error) => error,
    }
}

#[test]
fn long_runs_of_escapes_take_linear_time() {
    for (escape, character) in [("\\n", "\n"), ("\\u00e9", "é"), ("\\ud83d\\ude00", "😀")] {
        let text = format!("\"{}\"", escape.repeat(LARGE));
        assert_eq!(
            json::decode::<String>(text.as_bytes()),
            Ok(character.repeat(LARGE))
        );
        assert_eq!(
            json::decode::<Raw<'_>>(text.as_bytes()).map(|raw| raw.as_str().len()),
            Ok(text.len())
        );
        let key = format!("{{{text}:1,\"last\":2}}");
        assert_eq!(json::decode(key.as_bytes()), Ok(Open { last: 2 }));
        assert!(error::<BTreeMap<String, bool>>(&key).to_string().len() < 500);
        let half = &text[..text.len() - 2];
        assert!(matches!(
            error::<String>(half).kind(),
            ErrorKind::UnexpectedEnd | ErrorKind::Escape
        ));
    }
    let quotes = "\"".repeat(LARGE);
    let text = json::to_string(&quotes);
    assert_eq!(json::decode(text.as_bytes()), Ok(quotes));
}

#[test]
fn long_runs_of_digits_take_linear_time() {
    let digits = "7".repeat(LARGE);
    for text in [
        digits.clone(),
        format!("0.{digits}"),
        format!("1e{digits}"),
        format!("1e-{digits}"),
    ] {
        let number: Number = json::decode(text.as_bytes()).expect("this is a number");
        assert!(error::<u64>(&text).to_string().len() < 500);
        assert_eq!(number, number.clone());
        match json::decode::<f64>(text.as_bytes()) {
            Ok(value) => assert!(value < 1.0),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::OutOfRange { .. })),
        }
    }
    let zeros = format!("1{}e-{LARGE}", "0".repeat(LARGE));
    assert_eq!(json::decode::<u8>(zeros.as_bytes()), Ok(1));
    assert_eq!(json::decode::<f64>(zeros.as_bytes()), Ok(1.0));
}

#[test]
fn brackets_that_nest_too_deep_are_refused() {
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let text = open.repeat(LARGE);
        let errors = [
            error::<Value>(&text),
            error::<Raw<'_>>(&text),
            error::<Open>(&format!("{{\"x\":{text}")),
            error::<Tagged>(&format!("{{\"x\":{text}")),
            json::decode_with_depth::<Value>(text.as_bytes(), MAX_DEPTH).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error.kind(), ErrorKind::TooDeep { .. }), "{error}");
            assert!(error.to_string().len() < 1000);
        }
    }
    let kind = error::<Value>(&"]".repeat(LARGE)).kind().clone();
    assert!(matches!(kind, ErrorKind::Unexpected { found: ']', .. }));
}

#[test]
fn many_arrays_side_by_side_take_linear_time() {
    let text = format!("[{}[]]", "[],".repeat(LARGE));
    let arrays: Vec<[u8; 0]> = json::decode(text.as_bytes()).expect("these are empty arrays");
    assert_eq!(arrays.len(), LARGE + 1);
    // The path to the last array is found in one pass.
    let wrong = text.replace("[]]", "7]");
    assert_eq!(error::<Vec<[u8; 0]>>(&wrong).path(), format!("[{LARGE}]"));
}

#[test]
fn many_keys_take_linear_time() {
    let same = format!("{{{}\"last\":1}}", "\"a\":0,".repeat(LARGE));
    assert_eq!(json::decode(same.as_bytes()), Ok(Open { last: 1 }));
    assert!(matches!(
        error::<BTreeMap<String, u8>>(&same).kind(),
        ErrorKind::DuplicateField(_)
    ));
    let count = LARGE / 10;
    let members: String = (0..count).map(|key| format!("\"{key}\":0,")).collect();
    let distinct = format!("{{{members}\"0\":1}}");
    assert!(matches!(
        error::<BTreeMap<Box<str>, u8>>(&distinct).kind(),
        ErrorKind::DuplicateField(_)
    ));
    let value: Value = json::decode(distinct.as_bytes()).expect("this is an object");
    assert!(json::to_string(&value).contains("\"0\":1"));
}

/// The search for a tag scans the fields before it, once for each tagged enum around it. The depth
/// limit bounds that number.
#[test]
fn tags_that_come_last_take_linear_time() {
    let leaf = "{\"size\":1,\"type\":\"Leaf\"},";
    let text = format!(
        "{{\"inner\":[{}],\"type\":\"Node\"}}",
        leaf.repeat(LARGE / 10).trim_end_matches(',')
    );
    let Tagged::Node { inner } = json::decode(text.as_bytes()).expect("this is a node") else {
        panic!("this is a node");
    };
    assert_eq!(inner.len(), LARGE / 10);
    let depth = 60;
    let text = format!(
        "{}{}{}",
        "{\"inner\":[".repeat(depth),
        leaf.repeat(10_000).trim_end_matches(','),
        "],\"type\":\"Node\"}".repeat(depth)
    );
    assert!(json::decode::<Tagged>(text.as_bytes()).is_ok());
    let tagless = format!("{{{}\"size\":1}}", "\"a\":0,".repeat(LARGE));
    assert_eq!(
        *error::<Tagged>(&tagless).kind(),
        ErrorKind::MissingField("type")
    );
}

#[test]
fn white_space_takes_linear_time() {
    for white in [" ", "\n", "\r\n", "\t    "] {
        let white = white.repeat(LARGE);
        let text = format!(
            "{white}[{white}1{white},{white}{{{white}\"last\"{white}:{white}2{white}}}{white}]{white}"
        );
        assert_eq!(json::decode(text.as_bytes()), Ok((1, Open { last: 2 })));
        let mut reader = Reader::new(white.as_bytes());
        assert_eq!(
            *reader.skip_value().unwrap_err().kind(),
            ErrorKind::UnexpectedEnd
        );
    }
}
