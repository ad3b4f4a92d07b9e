//! Access to the values in a document.

use json::{Kind, parse};

const TEXT: &str = r#" {"a": [1, -2.50, "x", "\u0061\n", true, false, null, [], {}], "a/b": {"": 0, "~": [[7]]},
    "é": "日本", "twice": 1, "twice": 2 } "#;

#[test]
fn elements_have_their_kind_and_value() {
    let document = parse(TEXT.as_bytes()).unwrap();
    let array = document.root().field("a").unwrap();
    let kinds: Vec<Kind> = array.elements().map(|element| element.kind()).collect();
    assert_eq!(
        kinds,
        [
            Kind::Number,
            Kind::Number,
            Kind::String,
            Kind::String,
            Kind::Bool,
            Kind::Bool,
            Kind::Null,
            Kind::Array,
            Kind::Object
        ]
    );
    let at = |index| array.at(index).unwrap();
    assert_eq!(at(0).as_i64(), Some(1));
    assert_eq!(at(0).as_u64(), Some(1));
    assert_eq!(at(0).as_f64(), Some(1.0));
    assert_eq!(at(1).as_i64(), None);
    assert_eq!(at(1).as_f64(), Some(-2.5));
    assert_eq!(at(1).number_text(), Some("-2.50"));
    assert_eq!(at(2).as_str(), Some("x"));
    assert_eq!(at(3).as_str(), Some("a\n"));
    assert_eq!(at(4).as_bool(), Some(true));
    assert_eq!(at(5).as_bool(), Some(false));
    assert!(at(6).is_null());
    assert_eq!((at(7).count(), at(8).count()), (0, 0));
    assert!(array.at(9).is_none());
    assert_eq!(document.source(), TEXT.as_bytes());
}

#[test]
fn accessors_are_empty_for_other_kinds() {
    let document = parse(b"[null, true, 1, \"s\", [1], {\"k\": 1}]").unwrap();
    for element in document.root().elements() {
        let kind = element.kind();
        assert_eq!(element.as_bool().is_some(), kind == Kind::Bool);
        assert_eq!(element.as_i64().is_some(), kind == Kind::Number);
        assert_eq!(element.as_u64().is_some(), kind == Kind::Number);
        assert_eq!(element.as_f64().is_some(), kind == Kind::Number);
        assert_eq!(element.as_number().is_some(), kind == Kind::Number);
        assert_eq!(element.number_text().is_some(), kind == Kind::Number);
        assert_eq!(element.as_str().is_some(), kind == Kind::String);
        assert_eq!(element.elements().len(), usize::from(kind == Kind::Array));
        assert_eq!(element.members().len(), usize::from(kind == Kind::Object));
        assert_eq!(element.at(0).is_some(), kind == Kind::Array);
        assert_eq!(element.field("k").is_some(), kind == Kind::Object);
        assert_eq!(element.by_name().len(), usize::from(kind == Kind::Object));
    }
}

#[test]
fn members_keep_order_and_the_last_duplicate_counts() {
    let document = parse(TEXT.as_bytes()).unwrap();
    let root = document.root();
    let names: Vec<&str> = root.members().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "a/b", "é", "twice", "twice"]);
    assert_eq!((root.count(), root.members().len()), (5, 5));
    assert_eq!(root.field("twice").unwrap().as_i64(), Some(2));
    assert_eq!(root.by_name()["twice"].as_i64(), Some(2));
    assert_eq!(root.by_name().len(), 4);
    assert_eq!(root.field("é").unwrap().as_str(), Some("日本"));
    assert!(root.field("b").is_none());
}

#[test]
fn numbers_keep_their_text() {
    let text = "[0,-0,0.10,1E+2,123456789012345678,1234567890123456789,-9223372036854775808,18446744073709551615,\
        18446744073709551616,1e400,0.1000000000000000055511151231257827021181583404541015625]";
    let document = parse(text.as_bytes()).unwrap();
    assert_eq!(document.to_string(), text);
    let i64s: Vec<_> = document
        .root()
        .elements()
        .map(|element| element.as_i64())
        .collect();
    let (a, b) = (Some(123456789012345678), Some(1234567890123456789));
    assert_eq!(
        i64s,
        [
            Some(0),
            Some(0),
            None,
            Some(100),
            a,
            b,
            Some(i64::MIN),
            None,
            None,
            None,
            None
        ]
    );
    let at = |index| document.root().at(index).unwrap();
    assert_eq!(at(7).as_u64(), Some(u64::MAX));
    assert_eq!(at(8).as_u64(), None);
    assert_eq!(at(9).as_f64(), None);
    assert_eq!(at(10).as_f64(), Some(0.1));
    assert!(at(1).as_f64().unwrap().is_sign_negative());
}

#[test]
fn typed_values_are_decoded_from_an_element() {
    let document = parse(TEXT.as_bytes()).unwrap();
    let root = document.root();
    let array = root.field("a").unwrap();
    assert_eq!(array.at(0).unwrap().decode::<u8>(), Ok(1));
    assert_eq!(array.at(2).unwrap().decode::<&str>(), Ok("x"));
    assert_eq!(
        root.field("é").unwrap().decode::<String>(),
        Ok(String::from("日本"))
    );
    assert_eq!(
        root.field("a/b")
            .unwrap()
            .field("~")
            .unwrap()
            .decode::<Vec<Vec<u8>>>(),
        Ok(vec![vec![7]])
    );
    assert_eq!(
        root.field("a/b").unwrap().raw().as_str(),
        r#"{"": 0, "~": [[7]]}"#
    );
    assert_eq!(root.raw().as_str(), TEXT.trim());
    let error = array.at(1).unwrap().decode::<bool>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1 column 1: expected a boolean, found a number"
    );
}
