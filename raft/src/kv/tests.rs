use std::{env, ptr};

use json::{Decimal, Raw, Value, value};
use rand::Rng;

use super::*;

fn write(key: Value, value: Value) -> Command {
    let (key, value) = (key.into(), value.into());
    Command::Write { key, value }
}

fn cas(key: Value, from: Value, to: Value, create_if_not_exists: bool) -> Command {
    Command::Cas {
        key: key.into(),
        from: from.into(),
        to: to.into(),
        create_if_not_exists,
    }
}

fn read(kv: &Kv, key: Value) -> Option<Value> {
    let key = key.into();
    match kv.answer(&Query::Value(key)) {
        Answer::Value(value) => value.map(|text| text.to_value()),
        other @ Answer::Keys { .. } => panic!("{other:?}"),
    }
}

#[test]
fn written_value_is_read() {
    let mut kv = Kv::default();
    assert_eq!(read(&kv, value!(1)), None);
    assert_eq!(kv.apply(&write(value!(1), value!(null))), Outcome::Written);
    assert_eq!(read(&kv, value!(1)), Some(value!(null)));
    assert_eq!(
        kv.apply(&write(value!(1), value!({"a": []}))),
        Outcome::Written
    );
    assert_eq!(read(&kv, value!(1)), Some(value!({"a": []})));
    assert_eq!(read(&kv, value!("1")), None);
}

#[test]
fn cas_compares_and_sets() {
    let mut kv = Kv::default();
    let key = value!(["k"]);
    let missing = kv.apply(&cas(key.clone(), value!(1), value!(2), false));
    assert_eq!(missing, Outcome::Missing);
    assert_eq!(read(&kv, key.clone()), None);

    let created = kv.apply(&cas(key.clone(), value!(1), value!(2), true));
    assert_eq!(created, Outcome::Swapped);
    assert_eq!(read(&kv, key.clone()), Some(value!(2)));

    let mismatch = kv.apply(&cas(key.clone(), value!(1), value!(3), true));
    assert_eq!(
        mismatch,
        Outcome::Mismatch {
            found: value!(2).into()
        }
    );
    assert_eq!(read(&kv, key.clone()), Some(value!(2)));

    let swapped = kv.apply(&cas(key.clone(), value!(2.0), value!(3), false));
    assert_eq!(swapped, Outcome::Swapped);
    assert_eq!(read(&kv, key), Some(value!(3)));
}

#[test]
fn deleted_key_is_missing() {
    let mut kv = Kv::default();
    let delete = |key: Value| Command::Delete { key: key.into() };
    assert_eq!(kv.apply(&delete(value!(1))), Outcome::Missing);
    kv.apply(&write(value!(1), value!(2)));
    kv.apply(&write(value!("1"), value!(3)));
    assert_eq!(kv.apply(&delete(value!(1.0))), Outcome::Deleted);
    assert_eq!(kv.apply(&delete(value!(1))), Outcome::Missing);
    assert_eq!(read(&kv, value!(1)), None);
    assert_eq!(
        kv.apply(&cas(value!(1), value!(2), value!(3), false)),
        Outcome::Missing
    );
    assert_eq!((read(&kv, value!("1")), kv.len()), (Some(value!(3)), 1));
}

/// The keys of one answer, and whether there are more.
fn keys(kv: &Kv, prefix: Option<&str>, after: Option<&Key>, limit: usize) -> (Vec<Key>, bool) {
    let query = Query::Keys {
        prefix: prefix.map(Into::into),
        after: after.cloned(),
        limit,
    };
    match kv.answer(&query) {
        Answer::Keys { keys, more } => (keys, more),
        other @ Answer::Value(_) => panic!("{other:?}"),
    }
}

/// All keys, as many at a time.
fn pages(kv: &Kv, prefix: Option<&str>, limit: usize) -> Vec<Key> {
    let mut all: Vec<Key> = Vec::new();
    loop {
        let (keys, more) = keys(kv, prefix, all.last(), limit);
        assert!(keys.len() <= limit && (keys.len() == limit || !more));
        assert!(all.last() < keys.first() || keys.is_empty());
        all.extend(keys);
        if !more {
            return all;
        }
    }
}

#[test]
fn keys_are_those_with_the_prefix_in_order() {
    let texts = [
        "",
        "a",
        "a\u{0}",
        "a\u{0}b",
        "aa",
        "ab",
        "abc",
        "ac",
        "b",
        "\u{fc}",
        "\u{10ffff}",
    ];
    let others = [
        value!(null),
        value!(true),
        value!(-1),
        value!(7),
        value!(["a"]),
        value!({"a": 1}),
    ];
    let mut all: Vec<Key> = texts.iter().map(|text| Value::from(*text).into()).collect();
    all.extend(others.into_iter().map(Key::from));
    let mut kv = Kv::default();
    for key in &all {
        let (key, value) = (key.clone(), value!(0).into());
        kv.apply(&Command::Write { key, value });
    }
    all.sort();
    for limit in 1..=all.len() + 1 {
        assert_eq!(pages(&kv, None, limit), all);
        for prefix in texts.iter().copied().chain(["c", "abcd"]) {
            let having = texts.iter().filter(|text| text.starts_with(prefix));
            let mut having: Vec<Key> = having.map(|text| Value::from(*text).into()).collect();
            having.sort();
            assert_eq!(pages(&kv, Some(prefix), limit), having, "{prefix:?}");
        }
    }
    // The key to continue after need not exist.
    let after = |key: Value| keys(&kv, Some("a"), Some(&key.into()), 1).0;
    assert_eq!(after(value!("aaa")), [Key::from(value!("ab"))]);
    assert_eq!(after(value!(9)), [Key::from(value!("a"))]);
    assert_eq!(after(value!("b")), [] as [Key; 0]);
}

#[test]
fn keys_take_bounded_bytes() {
    let long = |number: u64| Value::from(format!("{number}{}", "\u{1}".repeat(1_000)));
    let of = |keys: &mut dyn Iterator<Item = Value>| {
        let mut kv = Kv::default();
        keys.for_each(|key| drop(kv.apply(&write(key, value!(0)))));
        keys_of(&kv)
    };
    fn keys_of(kv: &Kv) -> (Vec<Key>, bool) {
        keys(kv, None, None, KEYS_MAX)
    }
    let (found, more) = of(&mut (1_000..1_999).map(long));
    assert!(more && (100..KEYS_BYTES_MAX / 1_000).contains(&found.len()));
    // The longest line of a client, in the longest form.
    assert!(json::to_string(&found).len() < crate::requests::MAX_LINE);
    let huge = |number: u64| Value::from(format!("{number}{}", "x".repeat(KEYS_BYTES_MAX)));
    let (found, more) = of(&mut (1..3).map(huge));
    assert!(more && found.len() == 1, "at least one");
    let (found, more) = of(&mut (0..KEYS_MAX as u64).map(Value::from));
    assert!(!more && found.len() == KEYS_MAX);
}

#[test]
fn values_are_never_copied() {
    let mut kv = Kv::default();
    let value = Text::from(value!("large"));
    kv.apply(&Command::Write {
        key: value!(1).into(),
        value: value.clone(),
    });
    let answer = kv.answer(&Query::Value(value!(1).into()));
    assert!(matches!(answer, Answer::Value(Some(text)) if ptr::eq(text.as_str(), value.as_str())));
}

#[test]
fn large_value_is_not_in_the_outcome_of_a_failed_cas() {
    let mut kv = Kv::default();
    kv.apply(&write(value!(1), Value::from("ä".repeat(1 << 20))));
    match kv.apply(&cas(value!(1), value!(2), value!(3), false)) {
        Outcome::Mismatch { found } => {
            let beginning = "ä".repeat(EXCERPT - 1);
            assert_eq!(found, value!(format!("\"{beginning}...")).into());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn equal_json_values_are_one_key() {
    let mut kv = Kv::default();
    let key = |text: &str| json::decode::<Value>(text.as_bytes()).unwrap();
    kv.apply(&write(key("10e-1"), value!("number")));
    kv.apply(&write(key(r#"{"a": 1, "b": 2}"#), value!("object")));
    assert_eq!(read(&kv, key("1")), Some(value!("number")));
    assert_eq!(
        read(&kv, key(r#"{"b": 2.0, "a": 1}"#)),
        Some(value!("object"))
    );
}

/// Whether a key is kept in place depends on its length, and nothing else does.
#[test]
fn short_and_long_keys_are_one_order() {
    let texts = (0..64).map(|length| Value::from("a".repeat(length)));
    let keys: Vec<Key> = texts.clone().map(Key::from).collect();
    assert!(keys.is_sorted_by(|one, other| one < other));
    assert!(keys.iter().eq(&keys.clone()));
    let shown = keys.iter().map(Key::to_string);
    assert!(shown.eq(texts.map(|text| text.to_string())));
}

#[test]
fn size_covers_the_text() {
    for text in [
        r#"{"type":"write","key":"k","value":null}"#,
        r#"{"type":"write","key":{"a":[true,false,"x"]},"value":123456789012345678901234567890}"#,
        r#"{"type":"cas","key":1,"from":[[[[[[]]]]]],"to":-1.5e-300}"#,
    ] {
        let size = Kv::size(&json::decode(text.as_bytes()).unwrap());
        assert!(
            size >= text.len() && size <= text.len() + 200,
            "{size}: {text}"
        );
    }
    let (long, short) = (Value::from("x".repeat(1_000)), value!(1));
    for command in [
        write(long.clone(), short.clone()),
        write(short.clone(), long.clone()),
        cas(long.clone(), short.clone(), short.clone(), false),
        cas(short.clone(), long.clone(), short.clone(), false),
        cas(short.clone(), short, long, false),
    ] {
        let size = Kv::size(&command);
        assert!((1_000..1_300).contains(&size), "{size}: {command:?}");
    }
}

/// Numbers in ascending order; each line has texts of the same number.
const NUMBERS: &[&[&str]] = &[
    &[
        "-1e1000000000000000000000000000000000000000001",
        "-0.1e1000000000000000000000000000000000000000002",
    ],
    &["-10e999999999999", "-1e1000000000000"],
    &[
        "-123456789012345678901234567890",
        "-1234567890123456789012345678900e-1",
    ],
    &["-9007199254740993", "-9007199254740993.0"],
    &["-9007199254740992"],
    &["-10", "-10.0", "-1e1"],
    &["-1.5", "-15e-1"],
    &["-1", "-1.0", "-10e-1"],
    &["-1e-101"],
    &["-1e-1000000000000"],
    &["0", "-0", "0.0", "0e5", "-0.00E+99999999999999999999999999"],
    &["1e-10000000000000000000000000000000000000000"],
    &["10e-10000000000000000000000000000000000000000"],
    // The exponent is the lowest i64, which has no absolute value.
    &["1e-9223372036854775809", "0.1e-9223372036854775808"],
    &["1e-102"],
    &["1e-101", "0.1e-100"],
    &["1e-100"],
    // Around the zeros that a normal form may have.
    &["0.000001", "0.1e-5", "1e-6"],
    &["0.00001", "0.000010", "1e-5"],
    &["0.0001", "1e-4"],
    &["0.1", "0.10", "1e-1"],
    &["0.30000000000000004"],
    &["1", "1.0", "10e-1", "0.001e+003"],
    &["1.0000000000000000000000001"],
    &["9", "9.00"],
    &["10", "1e1"],
    &["11"],
    &["100", "1E2"],
    &["1234.5", "12345e-1", "0.12345e4"],
    &["10000", "1e4", "10000.0"],
    &["100000", "1e5", "0.1e6"],
    &["120000", "12e4", "1.2e5"],
    &["1200000", "12e5", "0.12e7"],
    &["9007199254740992", "9007199254740992.0"],
    &["9007199254740993", "9.007199254740993e15"],
    &["1000000000000000000", "1e18"],
    &["1e99", "0.1e100"],
    &["1e100", "0.1e101"],
    &["1e101"],
    &["1e999999999999", "0.1e1000000000000"],
    &[
        "1e1000000000000000000000000000000",
        "10e999999999999999999999999999999",
    ],
];

fn raw(text: &str) -> Raw<'_> {
    json::decode_with_depth(text.as_bytes(), json::MAX_DEPTH).unwrap()
}

fn text(text: &str) -> Text {
    Text::of(raw(text))
}

fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    *rng.choose(items).expect("there are some")
}

/// Writes a random value into each text, perhaps in other words, and now and then another value.
fn spell(rng: &mut Rng, depth: u32, texts: &mut [String; 2]) {
    let mut write = |both: [&str; 2]| {
        for (text, part) in texts.iter_mut().zip(both) {
            text.push_str(part);
        }
    };
    match rng.below(if depth == 0 { 4 } else { 8 }) {
        0 => {
            let words = ["null", "true", "false"];
            let word = pick(rng, &words);
            let other = if rng.chance(1, 20) {
                pick(rng, &words)
            } else {
                word
            };
            write([word, other]);
        }
        1 | 2 => {
            let number = pick(rng, NUMBERS);
            let other = if rng.chance(1, 20) {
                pick(rng, NUMBERS)
            } else {
                number
            };
            write([pick(rng, number), pick(rng, other)]);
        }
        3 => {
            let (one, other) = name(rng);
            write([&one, &other]);
        }
        4 | 5 => {
            write(["[", " [ "]);
            for at in 0..rng.below(4) {
                if at > 0 {
                    texts.iter_mut().for_each(|text| text.push(','));
                }
                spell(rng, depth - 1, texts);
            }
            texts.iter_mut().for_each(|text| text.push(']'));
        }
        _ => {
            let members: Vec<[String; 2]> = (0..rng.below(4))
                .map(|_| {
                    let (one, other) = name(rng);
                    let mut member = [one + ":", other + " :\t"];
                    spell(rng, depth - 1, &mut member);
                    member
                })
                .collect();
            for (at, text) in texts.iter_mut().enumerate() {
                let mut members: Vec<&str> = members.iter().map(|both| &*both[at]).collect();
                let rotation = rng.below(members.len() as u64 + 1) as usize;
                members.rotate_left(rotation);
                text.push_str(&format!("{{{}}}", members.join(",")));
            }
        }
    }
}

/// The same string twice, sometimes two.
fn name(rng: &mut Rng) -> (String, String) {
    let parts = [
        ("a", "\\u0061"),
        ("b", "b"),
        ("\\u0000", "\\u0000"),
        ("\\n", "\\u000a"),
        ("/", "\\/"),
        ("\\\"", "\\u0022"),
        ("{ 1,", "{ 1,"),
        ("\u{fc}", "\\u00fc"),
        ("\u{10ffff}", "\\udbff\\udfff"),
    ];
    let (mut one, mut other) = ("\"".to_owned(), "\"".to_owned());
    for _ in 0..rng.below(4) {
        let part = pick(rng, &parts);
        one += part.0;
        other += if rng.chance(1, 20) { "x" } else { part.1 };
    }
    (one + "\"", other + "\"")
}

#[test]
fn keys_and_texts_agree_with_values() {
    let seed =
        env::var("STDRAFT_SEED").map_or(7, |seed| seed.parse().expect("STDRAFT_SEED is a number"));
    println!("STDRAFT_SEED={seed} cargo test -p raft keys_and_texts_agree_with_values");
    let mut rng = Rng::seeded(seed);
    let mut equal = 0;
    let mut previous = String::from("0");
    for _ in 0..5_000 {
        let mut both = [String::new(), String::new()];
        spell(&mut rng, 3, &mut both);
        let [one, other] = both;
        for (one, other) in [(&one, &other), (&one, &previous), (&other, &previous)] {
            let values = [one, other].map(|text| json::decode::<Value>(text.as_bytes()).unwrap());
            let texts = [one, other].map(|one| text(one));
            let keys = [one, other].map(|text| Key::of(raw(text)));
            let is_same = values[0] == values[1];
            equal += u64::from(is_same);
            assert_eq!(texts[0].is_same_value(&texts[1]), is_same, "{one} {other}");
            assert_eq!(texts[1].is_same_value(&texts[0]), is_same, "{one} {other}");
            assert_eq!(
                keys[0].cmp(&keys[1]),
                values[0].cmp(&values[1]),
                "{one} {other}"
            );
            // Both are read as they are written.
            assert_eq!(texts[0].to_value(), values[0], "{one}");
            assert_eq!(text(texts[0].as_str()), texts[0]);
            assert!(texts[0].as_str().len() <= one.len(), "{one}");
            let written = keys[0].to_string();
            assert_eq!(Key::of(raw(&written)), keys[0], "{written}");
            assert_eq!(
                json::decode::<Value>(written.as_bytes()).unwrap(),
                values[0]
            );
        }
        previous = one;
    }
    assert!(equal > 2_500, "{equal}");
}

#[test]
fn numbers_are_compared_by_value() {
    for (i, one) in NUMBERS.iter().enumerate() {
        for (j, other) in NUMBERS.iter().enumerate() {
            for (one, other) in one
                .iter()
                .flat_map(|one| other.iter().map(move |o| (one, o)))
            {
                let keys = [one, other].map(|text| Key::of(raw(text)));
                assert_eq!(keys[0].cmp(&keys[1]), i.cmp(&j), "{one} {other}");
                assert_eq!(
                    text(one).is_same_value(&text(other)),
                    i == j,
                    "{one} {other}"
                );
            }
        }
    }
}

#[test]
fn text_is_compact_and_keeps_numbers() {
    for (written, kept) in [
        (" [ 1.0 , 1e18,-0,\t{ } ] ", "[1.0,1e18,-0,{}]"),
        (
            r#"{"b":1,"a":{"d":0,"c":0},"b":2.50}"#,
            r#"{"a":{"c":0,"d":0},"b":2.50}"#,
        ),
        (r#""\u0041\/\u000a \u0000""#, r#""A/\n \u0000""#),
        (r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"b":1}"#),
    ] {
        assert_eq!(text(written).as_str(), kept);
    }
}

/// Writes 0.DIGITS times ten to the exponent in one of many ways.
fn spell_number(rng: &mut Rng, sign: &str, digits: &str, exponent: i64) -> String {
    let digits = format!("{digits}{}", "0".repeat(rng.below(8) as usize));
    let point = rng.below(digits.len() as u64 + 1) as usize;
    let (whole, part) = digits.split_at(point);
    let (whole, part) = match whole.strip_prefix('0') {
        None if whole.is_empty() => ("0", part),
        None => (whole, part),
        Some(_) => ("0", &*digits),
    };
    let shift = match whole {
        "0" => 0,
        _ => whole.len() as i64,
    };
    let fraction = match part {
        "" => String::new(),
        _ => format!(".{part}"),
    };
    match exponent - shift {
        0 if rng.chance(3, 4) => format!("{sign}{whole}{fraction}"),
        power => format!("{sign}{whole}{fraction}{}{power}", pick(rng, &["e", "E"])),
    }
}

/// The plain and slow way is to compare two decimals.
#[test]
fn numbers_agree_with_decimals() {
    let seed =
        env::var("STDRAFT_SEED").map_or(7, |seed| seed.parse().expect("STDRAFT_SEED is a number"));
    println!("STDRAFT_SEED={seed} cargo test -p raft numbers_agree_with_decimals");
    let mut rng = Rng::seeded(seed);
    let mut equal = 0;
    for _ in 0..5_000 {
        let sign = pick(&mut rng, &["", "-"]);
        let digits = pick(
            &mut rng,
            &["1", "9", "12", "909", "00", "01", "12345678901234567891"],
        );
        let exponent = rng.range(0..=14) as i64 - 7;
        let one = spell_number(&mut rng, sign, digits, exponent);
        let near = exponent + i64::from(rng.chance(1, 4));
        let other = spell_number(&mut rng, sign, digits, near);
        let is_same = Decimal::of(&one) == Decimal::of(&other);
        equal += u64::from(is_same);
        for around in ["", "[", "[[],\"1.0\",\"\\\"1.0\","] {
            let texts = [&one, &other].map(|number| match around {
                "" => text(number),
                _ => text(&format!("{around}{number},true]")),
            });
            assert_eq!(texts[0].is_same_value(&texts[1]), is_same, "{one} {other}");
        }
    }
    assert!((2_500..4_900).contains(&equal), "{equal}");
}

#[test]
fn zeros_without_a_value_are_not_compared() {
    let zeros = "0".repeat(100_000);
    for (written, short) in [
        (format!("1.{zeros}"), "1"),
        (format!("-1{zeros}"), "-1e100000"),
        (format!("0.{zeros}1"), "1e-100001"),
        (format!("0e{zeros}"), "0"),
        (format!("[1e-{zeros}5]"), "[1e-5]"),
    ] {
        let long = text(&written);
        assert_eq!(long.as_str(), written);
        // The normal form is short, however the number is written.
        assert!(long.size() < written.len() + 100, "{}", long.size());
        assert!(long.is_same_value(&text(short)), "{short}");
        assert_eq!(Key::of(raw(&written)), Key::of(raw(short)));
    }
}

/// They take no more memory than their text.
#[test]
fn usual_notations_are_normal() {
    for usual in [
        r#"[0,1,-12,100,20000,1.5,-0.25,0.001,123456789012345678901234567890]"#,
        r#"{"a":[true,null,"1.0"],"b":"1e5"}"#,
        r#"["\"",1]"#,
    ] {
        let text = text(usual);
        assert_eq!(text.size(), ALLOCATION + usual.len(), "{usual}");
    }
}

#[test]
fn long_number_differs_from_its_beginning() {
    let zeros = "0".repeat(2_000);
    let (long, short) = (text(&format!("[1.{zeros}5]")), text("[1]"));
    assert!(!long.is_same_value(&short));
    assert!(!short.is_same_value(&long));
    assert!(long.is_same_value(&text(&format!("[1.{zeros}50]"))));
}

#[test]
fn numbers_in_strings_are_text() {
    let long = "0,".repeat(200);
    for (one, other, is_same) in [
        (r#"["1.0"]"#, r#"["1.00"]"#, false),
        (r#"["\"",1.0]"#, r#"["\"",1.00]"#, true),
        (r#"{"1":2}"#, r#"{"1":2.0}"#, true),
        (r#"{"1":2}"#, r#"{"1.0":2}"#, false),
        ("[true,1]", "[true,1e0]", true),
        ("[1]", "[1,1]", false),
        ("[12]", "[1,2]", false),
        ("[10]", "[1]", false),
    ] {
        for before in ["", &long] {
            let texts = [one, other].map(|inner| text(&format!("[{before}{inner}]")));
            assert_eq!(texts[0].is_same_value(&texts[1]), is_same, "{one} {other}");
            assert_eq!(texts[1].is_same_value(&texts[0]), is_same, "{one} {other}");
        }
    }
}
