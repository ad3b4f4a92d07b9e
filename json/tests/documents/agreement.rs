//! A document and a value of the same text agree.

use json::{Error, Value, parse};

use crate::random::Random;

/// The result of reading the text. Checks that both ways agree.
fn read(text: &[u8]) -> Result<Value, Error> {
    let value = json::decode::<Value>(text);
    match parse(text) {
        Err(error) => assert_eq!(Some(&error), value.as_ref().err()),
        Ok(document) => {
            let value = value.as_ref().expect("a document was accepted");
            assert_eq!(&Value::from(&document), value);
            let written = document.to_string();
            assert_eq!(parse(written.as_bytes()).as_ref(), Ok(&document));
            assert_eq!(
                parse(written.as_bytes()).unwrap().to_string(),
                written,
                "writing is stable"
            );
            assert_eq!(
                json::decode::<Value>(written.as_bytes()).as_ref(),
                Ok(value)
            );
            assert_eq!(document.root().decode::<Value>().as_ref(), Ok(value));
        }
    }
    value
}

#[test]
fn document_and_value_agree_on_random_values() {
    let mut random = Random::of_test("on_random_values");
    for _ in 0..Random::rounds(3_000) {
        let value = random.value(4);
        assert_eq!(read(value.to_string().as_bytes()), Ok(value));
    }
}

#[test]
fn document_and_value_agree_on_mangled_texts() {
    let mut random = Random::of_test("on_mangled_texts");
    let (mut accepted, mut refused) = (0, 0);
    let rounds = Random::rounds(30_000);
    for _ in 0..rounds {
        let mut text = random.value(3).to_string().into_bytes();
        for _ in 0..random.below(3) {
            let at = random.below(text.len() + 1);
            let byte = random
                .pick(b" \n\t{}[]:,\"\\0123e.-+tfnu/a\x00\x1f\x7f\x80\xbf\xc3\xe2\xed\xf0\xf4\xff");
            match random.below(3) {
                0 => text.insert(at, byte),
                1 if at < text.len() => text[at] = byte,
                _ => drop(text.drain(at..(at + 1).min(text.len()))),
            }
        }
        match read(&text) {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        accepted >= rounds / 30 && refused >= rounds / 30,
        "{accepted} {refused}"
    );
}

#[test]
fn documents_are_equal_when_values_are() {
    let mut random = Random::of_test("documents_are_equal_when_values_are");
    let small = ["1", "1.0", "\"a\"", "\"\\u0061\"", "[1,{}]", "[10e-1, { }]"];
    let (mut equal, mut unequal) = (0, 0);
    let rounds = Random::rounds(5_000);
    for _ in 0..rounds {
        let mut object = || {
            let member = |random: &mut Random| {
                format!(
                    "\"{}\":{}",
                    random.pick(&["x", "y", "\\u0078"]),
                    random.pick(&small)
                )
            };
            let members: Vec<String> = (0..random.below(4)).map(|_| member(&mut random)).collect();
            format!("{{{}}}", members.join(","))
        };
        let (a, b) = (object(), object());
        let same = parse(a.as_bytes()) == parse(b.as_bytes());
        assert_eq!(same, read(a.as_bytes()) == read(b.as_bytes()), "{a} {b}");
        *(if same { &mut equal } else { &mut unequal }) += 1;
    }
    assert!(
        equal >= rounds / 50 && unequal >= rounds / 50,
        "{equal} {unequal}"
    );
}
