//! Texts that take some parsers quadratic time, or crash them. They are so large that a quadratic
//! step would take minutes.

use json::{ErrorKind, MAX_DEPTH, Raw, Value, parse, parse_with_depth};

const MANY: usize = 100_000;

/// Reads the text in every way, and uses every function that visits all of it.
fn visit(text: &str) -> Value {
    let document = parse(text.as_bytes()).unwrap();
    let again = document.clone();
    assert!(document == again);
    let value = Value::from(&document);
    assert!(json::decode::<Value>(text.as_bytes()).as_ref() == Ok(&value));
    assert!(json::decode::<Raw>(text.as_bytes()).is_ok());
    let written = document.to_string();
    assert!(parse(written.as_bytes()).as_ref() == Ok(&document));
    assert!(!json::to_string_pretty(&document).is_empty());
    assert_eq!(document.root().raw().as_str(), text);
    value
}

#[test]
fn many_members_take_linear_time() {
    let members: Vec<String> = (0..MANY)
        .map(|index| format!("\"key {index}\":{index}"))
        .collect();
    let text = format!("{{{}}}", members.join(","));
    assert_eq!(visit(&text).members().len(), MANY);
    let document = parse(text.as_bytes()).unwrap();
    let index = document.root().by_name();
    for (number, name) in (0..MANY).map(|index| (index, format!("key {index}"))) {
        assert_eq!(index[&*name].as_u64(), Some(number as u64));
    }
    // The same members in another order.
    let reversed: Vec<&str> = members.iter().rev().map(String::as_str).collect();
    assert!(parse(format!("{{{}}}", reversed.join(",")).as_bytes()).as_ref() == Ok(&document));
}

#[test]
fn many_duplicates_of_a_member_take_linear_time() {
    let text = format!(
        "{{{}\"k\":-1}}",
        "\"k\":1,\"\\u006b\":[2],".repeat(MANY / 2)
    );
    assert_eq!(visit(&text), json::value!({"k": -1}));
    assert_eq!(parse(text.as_bytes()).unwrap().root().count(), MANY + 1);
}

#[test]
fn long_strings_take_linear_time() {
    for piece in [
        "\\n",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\\\",
        "a\\\"",
        "é",
        "plain ",
    ] {
        let text = format!("[\"{}\"]", piece.repeat(MANY));
        assert!(visit(&text)[0].as_str().unwrap().len() >= MANY);
        let unended = &text[..text.len() - 2];
        assert!(parse(unended.as_bytes()).is_err());
    }
}

#[test]
fn long_numbers_take_linear_time() {
    let digits = "7".repeat(MANY);
    let zeros = "0".repeat(MANY);
    for text in [
        format!("[{digits}]"),
        format!("[-{digits}.{digits}]"),
        format!("[0.{zeros}1]"),
        format!("[1{zeros}]"),
        format!("[1e{digits}]"),
        format!("[1e-{zeros}{digits}]"),
    ] {
        assert_eq!(visit(&text)[0].kind(), json::Kind::Number);
        let number = parse(text.as_bytes()).unwrap();
        let number = number.root().at(0).unwrap();
        assert_eq!(number.as_i64(), None);
        assert!(number.as_f64().is_none_or(|value| value.abs() < 10.0));
    }
}

#[test]
fn many_items_take_linear_time() {
    for piece in [
        "1.5",
        "-0",
        "\"\"",
        "\"\\t\"",
        "[]",
        "{}",
        "[[[0]]]",
        "{\"a\":{\"b\":[]}}",
        "null",
    ] {
        let text = format!("[{}]", vec![piece; MANY].join(","));
        assert_eq!(visit(&text).elements().len(), MANY);
        assert_eq!(
            parse(text.as_bytes()).unwrap().root().elements().len(),
            MANY
        );
    }
    let white = " \n\t\r".repeat(MANY);
    assert_eq!(
        parse(format!("{white}[{white}]{white}").as_bytes())
            .unwrap()
            .to_string(),
        "[]"
    );
}

#[test]
fn deep_nesting_is_read_or_refused() {
    for (open, close) in [("[", "]"), ("{\"k\":", "}"), ("[{\"k\":[0,", "]}]")] {
        let levels = open.matches(['[', '{']).count();
        let nested = |times: usize| format!("{}0{}", open.repeat(times), close.repeat(times));
        let deepest = nested(MAX_DEPTH / levels);
        let document = parse_with_depth(deepest.as_bytes(), usize::MAX).unwrap();
        assert!(document == document.clone());
        assert_eq!(document.to_string(), deepest);
        assert_eq!(Value::from(&document).to_string(), deepest);
        for times in [MAX_DEPTH / levels + 1, MANY] {
            let error = parse_with_depth(nested(times).as_bytes(), usize::MAX).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::TooDeep { limit: MAX_DEPTH });
            let unended = open.repeat(times);
            assert!(parse_with_depth(unended.as_bytes(), usize::MAX).is_err());
        }
    }
    assert_eq!(
        parse_with_depth(b"[]", 0).unwrap_err().kind(),
        &ErrorKind::TooDeep { limit: 0 }
    );
    assert!(parse_with_depth(b"0", 0).is_ok());
}
