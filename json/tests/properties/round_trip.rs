//! Random values survive being written and read, and mangled texts survive nothing but an error.

use crate::random::Random;
use json::{Raw, Value};

#[test]
fn values_read_back_as_they_were_written() {
    let mut random = Random::of_test("values_read_back");
    for _ in 0..5_000 {
        let value = random.value(5);
        let text = json::to_string(&value);
        assert_eq!(
            json::decode::<Value>(text.as_bytes()).as_ref(),
            Ok(&value),
            "{text}"
        );
        // What was written once is written the same again.
        assert_eq!(
            json::to_string(&json::decode::<Value>(text.as_bytes()).unwrap()),
            text
        );
        assert_eq!(json::decode::<Raw>(text.as_bytes()).unwrap().as_str(), text);
    }
}

#[test]
fn white_space_between_tokens_changes_nothing() {
    let mut random = Random::of_test("white_space");
    for _ in 0..2_000 {
        let value = random.value(4);
        let spaced = spaced(&mut random, &json::to_string(&value));
        assert_eq!(json::decode(spaced.as_bytes()), Ok(value), "{spaced}");
    }
}

/// Reading and skipping accept the same texts, errors point into the text, and nothing panics.
#[test]
fn mangled_texts_are_judged_alike_by_all_ways_of_reading() {
    let mut random = Random::of_test("mangled_texts");
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = json::encode(&random.value(3));
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() + 1);
            match random.below(3) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, random.pick(b"\"\\[]{},:0-+.eEu/ \n\x00\x1f\x80\xff")),
                _ if at < bytes.len() => bytes[at] = random.bits() as u8,
                _ => {}
            }
        }
        let read = json::decode::<Value>(&bytes);
        let skipped = json::decode::<Raw>(&bytes);
        match (read, skipped) {
            (Ok(value), Ok(raw)) => assert_eq!(raw.decode(), Ok(value)),
            (Err(error), Err(same)) => {
                assert_eq!(error, same);
                assert!(error.kind().is_syntax() && error.offset() <= bytes.len());
                refused += 1;
            }
            (read, skipped) => panic!(
                "{}: {read:?} but {skipped:?}",
                String::from_utf8_lossy(&bytes)
            ),
        }
    }
    assert!(
        refused > 1_000,
        "most of what is mangled is no JSON any more"
    );
}

/// The text with white space wherever it may stand.
fn spaced(random: &mut Random, compact: &str) -> String {
    let mut text = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for character in compact.chars() {
        let structural = !in_string && "[]{},:".contains(character);
        if structural {
            text.push_str(random.pick(&["", " ", "\t\r\n", "  "]));
        }
        text.push(character);
        if structural {
            text.push_str(random.pick(&["", " ", "\n", "\r\t"]));
        }
        if character == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && character == '\\' && !escaped;
    }
    text
}
