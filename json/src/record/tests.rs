use std::borrow::Cow;
use std::fmt::Debug;

use crate::{Decode, Raw, Value, decode, encode_into, to_string, value};

// Fields may have the names of variables in the expansion.
record! {
    /// A record with awkward names.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Awkward {
        pub(crate) reader: u8,
        writer: u8,
        key: u8,
        tag: u8,
        value: u8,
        object: u8,
        field: u8,
        r#type: u8,
        quoted: u8 as "\"\n",
    }
}

record! {
    #[derive(Debug, PartialEq)]
    struct Empty {}
}

record! {
    #[derive(Debug, PartialEq)]
    struct Defaults {
        a: Option<u8>,
        b: Vec<u8> = vec![7],
        d: Value,
    }
}

record! {
    #[derive(Debug, PartialEq)]
    struct Borrowing<'a> { text: &'a str, cow: Cow<'a, str>, raw: Raw<'a> }
}

record! {
    #[derive(Debug, PartialEq)]
    struct Pair<A, B> { a: A, b: B }
}

record! {
    #[derive(Debug, PartialEq)]
    struct Envelope<'a, T> { dest: &'a str, body: T }
}

record! {
    #[derive(Debug, PartialEq)]
    enum Tree tagged "kind" {
        /// A leaf.
        Leaf,
        Named as "named" {
            /// Its name.
            name: String as "the name",
            size: u8 = 3,
        },
        Node as "node" { left: Box<Tree>, right: Option<Box<Tree>> },
    }
}

record! {
    #[derive(Debug, PartialEq)]
    enum Generic<'a, T> tagged "t" {
        One { text: Cow<'a, str> },
        Two { item: T },
    }
}

record! {
    #[derive(Debug, PartialEq)]
    enum Colour { Red, Green as "GREEN" }
}

fn message<'a, T: Decode<'a> + Debug>(text: &'a str) -> String {
    decode::<T>(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn fields_may_have_awkward_names() {
    let text = r#"{"reader":1,"writer":2,"key":3,"tag":4,"value":5,"object":6,"field":7,"type":8,"\"\n":9}"#;
    let record = Awkward {
        reader: 1,
        writer: 2,
        key: 3,
        tag: 4,
        value: 5,
        object: 6,
        field: 7,
        r#type: 8,
        quoted: 9,
    };
    assert_eq!(to_string(&record), text);
    assert_eq!(decode(text.as_bytes()), Ok(record));
}

#[test]
fn unknown_fields_are_skipped_but_checked() {
    assert_eq!(decode(br#" { "x" : [{}, "a"] , "x" : 1 } "#), Ok(Empty {}));
    assert_eq!(to_string(&Empty {}), "{}");
    assert_eq!(
        message::<Empty>(r#"{"x":[01]}"#),
        "line 1 column 8: at x[0]: expected a comma or the end of the array, found '1'"
    );
    assert_eq!(
        message::<Empty>("null"),
        "line 1 column 1: expected an object, found null"
    );
}

#[test]
fn absent_and_null_fields_take_what_their_type_says() {
    let plain = Defaults {
        a: None,
        b: vec![7],
        d: Value::Null,
    };
    assert_eq!(decode(br#"{"d":null}"#), Ok(plain));
    let nulls = Defaults {
        a: None,
        b: vec![],
        d: Value::Null,
    };
    assert_eq!(
        decode(br#"{"a":null,"b":[],"d":null}"#).as_ref(),
        Ok(&nulls)
    );
    assert_eq!(to_string(&nulls), r#"{"b":[],"d":null}"#);
    let full = Defaults {
        a: Some(1),
        b: vec![2],
        d: value!([4]),
    };
    assert_eq!(to_string(&full), r#"{"a":1,"b":[2],"d":[4]}"#);
    assert_eq!(decode(to_string(&full).as_bytes()), Ok(full));
    assert_eq!(
        message::<Defaults>(r#"{"b":null,"d":0}"#),
        "line 1 column 6: at b: expected an array, found null"
    );
}

#[test]
fn object_errors_name_the_field() {
    assert_eq!(
        message::<Defaults>("{}"),
        r#"line 1 column 1: missing field "d""#
    );
    assert_eq!(
        message::<Vec<Defaults>>(r#"[{"d":1}, {"a":1}]"#),
        r#"line 1 column 11: at [1]: missing field "d""#
    );
    assert_eq!(
        message::<Defaults>(r#"{"d":1,"\u0064":1}"#),
        r#"line 1 column 8: duplicate field "d""#
    );
    assert_eq!(
        message::<Defaults>(r#"{"a":null,"a":1,"d":1}"#),
        r#"line 1 column 11: duplicate field "a""#
    );
    assert_eq!(
        message::<Pair<u8, Vec<Pair<u8, Colour>>>>(
            "{\"a\":1,\n \"b\":[{\"a\":1,\"b\":\"Red\"},{\"a\":300}]}"
        ),
        "line 2 column 30: at b[1].a: expected an unsigned integer of 8 bits, found 300"
    );
}

#[test]
fn records_may_have_lifetimes_and_type_parameters() {
    let text = r#"{"text":"a","cow":"b","raw":[1, 2]}"#;
    let record: Borrowing<'_> = decode(text.as_bytes()).unwrap();
    assert_eq!(
        (record.text, &*record.cow, record.raw.as_str()),
        ("a", "b", "[1, 2]")
    );
    assert!(matches!(record.cow, Cow::Borrowed(_)));
    assert_eq!(to_string(&record), text);

    let text = r#"{"dest":"n1","body":{"a":null,"b":{"text":"x","cow":"y","raw":0}}}"#;
    let envelope: Envelope<'_, Pair<Value, Borrowing<'_>>> = decode(text.as_bytes()).unwrap();
    assert_eq!(to_string(&envelope), text);
}

#[test]
fn tag_may_stand_anywhere() {
    let tree = Tree::Node {
        left: Box::new(Tree::Named {
            name: "x".into(),
            size: 3,
        }),
        right: Some(Box::new(Tree::Leaf)),
    };
    let text = r#"{"kind":"node","left":{"kind":"named","the name":"x","size":3},"right":{"kind":"Leaf"}}"#;
    assert_eq!(to_string(&tree), text);
    assert_eq!(decode(text.as_bytes()).as_ref(), Ok(&tree));
    let last = r#"{"left":{"the name":"x","more":[{}],"kind":"named"},"right":{"kind":"Leaf"},"k\u0069nd":"node"}"#;
    assert_eq!(decode(last.as_bytes()), Ok(tree));
}

#[test]
fn tag_errors_name_the_tag_or_the_field() {
    assert_eq!(
        message::<Vec<Tree>>(r#"[{"kind":"Leaf"},{}]"#),
        r#"line 1 column 18: at [1]: missing field "kind""#
    );
    assert_eq!(
        message::<Tree>(r#"{"a":0,"kind":"leaf"}"#),
        r#"line 1 column 15: at kind: unknown variant "leaf""#
    );
    assert_eq!(
        message::<Tree>(r#"{"kind":7}"#),
        "line 1 column 9: at kind: expected a string, found a number"
    );
    assert_eq!(
        message::<Tree>(r#"{"kind":"Leaf","x":1,"kind":"node"}"#),
        r#"line 1 column 22: duplicate field "kind""#
    );
    assert_eq!(
        message::<Tree>(r#"{"kind":"named"}"#),
        r#"line 1 column 1: missing field "the name""#
    );
    assert_eq!(
        message::<Tree>(r#"{"x":[,"kind":"Leaf"}"#),
        "line 1 column 7: at x[0]: expected a value, found ','"
    );
    assert_eq!(
        message::<Tree>("[]"),
        "line 1 column 1: expected an object, found an array"
    );
    assert_eq!(
        decode(br#"{"item":1,"t":"Two"}"#),
        Ok(Generic::Two { item: 1 })
    );
    let one: Generic<'_, u8> = Generic::One { text: "x".into() };
    assert_eq!(to_string(&one), r#"{"t":"One","text":"x"}"#);
}

#[test]
fn plain_enums_are_strings() {
    let mut buffer = Vec::new();
    for colour in [Colour::Red, Colour::Green] {
        encode_into(&colour, &mut buffer);
    }
    assert_eq!(buffer, br#""Red""GREEN""#);
    assert_eq!(
        decode(br#"["GREEN","\u0052ed"]"#),
        Ok([Colour::Green, Colour::Red])
    );
    assert_eq!(
        message::<[Colour; 1]>(r#"["red"]"#),
        r#"line 1 column 2: at [0]: unknown variant "red""#
    );
}

#[test]
fn recursive_types_are_bounded_by_the_depth_limit() {
    let open = r#"{"kind":"node","left":"#;
    let text =
        |depth: usize| open.repeat(depth - 1) + r#"{"kind":"Leaf"}"# + &"}".repeat(depth - 1);
    for depth in [128, 1024] {
        assert!(crate::decode_with_depth::<Tree>(text(depth).as_bytes(), depth).is_ok());
        assert!(crate::decode_with_depth::<Tree>(text(depth + 1).as_bytes(), depth).is_err());
    }
}
