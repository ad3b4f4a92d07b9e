//! Random values are written and read back.

use json::{Raw, Value};

use crate::random::Random;

#[test]
fn values_read_back_as_they_were_written() {
    let mut random = Random::of_test("values_read_back");
    for _ in 0..Random::rounds(5_000) {
        let value = random.value(5);
        let text = json::to_string(&value);
        assert_eq!(
            json::decode::<Value>(text.as_bytes()).as_ref(),
            Ok(&value),
            "{text}"
        );
        // Writing is stable.
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
    for _ in 0..Random::rounds(2_000) {
        let value = random.value(4);
        let spaced = spaced(&mut random, &json::to_string(&value));
        assert_eq!(json::decode(spaced.as_bytes()), Ok(value), "{spaced}");
    }
}

/// The text with white space wherever it is allowed.
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
