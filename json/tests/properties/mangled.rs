//! All ways of reading agree on mangled texts, and none panics.

use json::{Element, Raw, Value};

use crate::random::Random;

/// Texts to start from, beside random ones: valid and nearly valid.
const SEEDS: &[&str] = &[
    r#"{"src":"c1","dest":"n1","body":{"type":"cas","msg_id":3,"key":0,"from":4,"to":1}}"#,
    r#"{"term":7,"entries":[{"term":6,"op":"aGVsbG8="},{"term":7,"op":null}],"commit":18446744073709551615}"#,
    r#"["\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t", "é💩", "\ud800", ""]"#,
    "[0, -0, 0.1, -1.5e-7, 1E+400, 9007199254740993, 123456789012345678901234567890, 5e-324]",
    r#"{"a":1,"\u0061":2,"b":{"a":[[[[[[]]]]]]},"":{}} "#,
    "\t[ true , false ,\r\nnull ]",
    "[01, +1, .5, 1., 1e, NaN, tru, 'a', // x\n]",
];

/// The bytes that are inserted, or replace another.
const BYTES: &[u8] = b"\"\\[]{},:0123456789-+.eEutn/ \n\x00\x1f\x7f\x80\xc3\xed\xff";

/// A run of hours: `STDRAFT_ROUNDS=1000000000 cargo test --release -p json mangled_texts`.
#[test]
fn all_ways_of_reading_agree_on_mangled_texts() {
    let mut random = Random::of_test("mangled_texts");
    let (mut accepted, mut refused) = (0, 0);
    let rounds = Random::rounds(20_000);
    for _ in 0..rounds {
        let mut bytes = match random.below(2) {
            0 => random.pick(SEEDS).as_bytes().to_vec(),
            _ => json::encode(&random.value(3)),
        };
        for _ in 0..1 + random.below(3) {
            mangle(&mut random, &mut bytes);
        }
        if judge(&bytes) {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    assert!(
        accepted >= rounds / 10 && refused >= rounds / 10,
        "{accepted} accepted, {refused} refused"
    );
}

fn mangle(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len() + 1);
    let end = at + random.below((bytes.len() - at).min(20) + 1);
    match random.below(8) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.pick(BYTES)),
        2 if at < bytes.len() => bytes[at] = random.pick(BYTES),
        3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        4 => {
            bytes.drain(at..end);
        }
        5 => {
            let piece = bytes[at..end].to_vec();
            let place = random.below(bytes.len() + 1);
            bytes.splice(place..place, piece);
        }
        6 => {
            // Replace a number, if there is one.
            let digit = |byte: &u8| byte.is_ascii_digit();
            let start = bytes
                .iter()
                .skip(at)
                .position(digit)
                .map_or(at, |skipped| at + skipped);
            let length = bytes[start..].iter().take_while(|byte| digit(byte)).count();
            bytes.splice(start..start + length, random.number_text().into_bytes());
        }
        _ => {
            let depth = random.below(140);
            let (open, close) = random.pick(&[("[", "]"), ("{\"a\":", "}"), ("[0,", "]")]);
            bytes.splice(0..0, open.repeat(depth).into_bytes());
            bytes.extend_from_slice(close.repeat(depth).as_bytes());
        }
    }
}

/// Whether the text is accepted. Checks that all ways of reading agree, and read the same.
fn judge(bytes: &[u8]) -> bool {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    let value = json::decode::<Value>(bytes);
    let raw = json::decode::<Raw>(bytes);
    let document = json::parse(bytes);
    match (value, raw, document) {
        (Ok(value), Ok(raw), Ok(document)) => {
            assert_eq!(raw.decode().as_ref(), Ok(&value), "{}", shown());
            assert!(same(document.root(), &value), "{}", shown());

            let text = json::to_string(&value);
            let again: Value = json::decode(text.as_bytes()).expect("encoded text is valid JSON");
            assert_eq!(again, value, "{}", shown());
            assert_eq!(json::to_string(&again), text, "{}", shown());
            let text = json::to_string(&document);
            assert_eq!(json::decode(text.as_bytes()), Ok(value), "{}", shown());
            true
        }
        (Err(error), Err(of_raw), Err(of_document)) => {
            assert_eq!(error, of_raw, "{}", shown());
            assert_eq!(error, of_document, "{}", shown());
            assert!(error.offset() <= bytes.len());
            // The message contains the path, for which the text is scanned once more.
            assert!(error.to_string().starts_with("line "), "{error}");
            false
        }
        (value, raw, document) => panic!("{}: {value:?} {raw:?} {document:?}", shown()),
    }
}

/// Whether an element of a document has this value.
fn same(element: Element<'_>, value: &Value) -> bool {
    match value {
        Value::Null => element.is_null(),
        Value::Bool(value) => element.as_bool() == Some(*value),
        Value::Number(number) => element.as_number().as_ref() == Some(number),
        Value::String(text) => element.as_str() == Some(text),
        Value::Array(values) => {
            element.count() == values.len()
                && element
                    .elements()
                    .zip(values)
                    .all(|(element, value)| same(element, value))
        }
        Value::Object(members) => members.iter().all(|(name, value)| {
            element
                .field(name)
                .is_some_and(|element| same(element, value))
        }),
    }
}
