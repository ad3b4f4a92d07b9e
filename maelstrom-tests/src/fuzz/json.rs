//! The readers and writers of JSON, against each other and against a simple recognizer.

use json::{DEFAULT_DEPTH, ErrorKind, Raw, Reader, Value};
use rand::Rng;

use super::mutate::{noise, pick, spoil, value};
use super::target::{Seen, Target, demand};

pub(super) const TARGET: Target = Target {
    name: "json",
    about: "all readers accept the same texts as a simple recognizer; what is written reads back",
    classes: &[&[
        "accepted",
        "record",
        "not UTF-8",
        "ends early",
        "unexpected",
        "control character",
        "escape",
        "lone surrogate",
        "trailing",
        "too deep",
    ]],
    draw,
    check,
};

json::record! {
    /// A bit of everything that a record may have.
    #[derive(Debug, PartialEq)]
    enum Shape tagged "type" {
        Point as "point" { x: i64, y: u64, label: Option<String> },
        Line as "line" { points: Vec<(u8, i16)>, weight: f64 = 1.5 },
        Nothing as "nothing",
    }
}

/// Records to begin with.
const SHAPES: [&str; 3] = [
    r#"{"type":"point","x":-7,"y":18446744073709551615,"label":"\ud83d\ude00\n"}"#,
    r#"{"points":[[255,-32768],[0,1]],"type":"line"}"#,
    r#" { "type" : "nothing", "more": [ null, true ] } "#,
];

fn draw(rng: &mut Rng) -> Vec<u8> {
    let mut text = match rng.below(16) {
        0 => return noise(rng),
        1 => return nested(rng),
        2..7 => pick(rng, &SHAPES).into(),
        _ => json::encode(&value(rng, 3)),
    };
    if rng.chance(2, 3) {
        spoil(rng, &mut text);
    }
    text
}

fn check(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    laws(input, seen, &|_, text| text)
}

/// The text that a reader gets instead of this one: another if the reader is to be wrong.
type Text<'f> = &'f dyn for<'a> Fn(&str, &'a [u8]) -> &'a [u8];

/// Checks what the readers make of a text.
fn laws(input: &[u8], seen: &mut Seen, text: Text<'_>) -> Result<(), String> {
    let document = json::parse(input);
    let value = json::decode::<Value>(text("value", input));
    let plain = Plain::accepts(text("plain", input));
    agree("a value", &document, &value)?;
    agree("raw", &document, &json::decode::<Raw>(text("raw", input)))?;
    agree("a pull reader", &document, &pulled(text("pull", input)))?;
    demand(document.is_ok() == plain, || {
        format!("a document: {document:?}, the simple recognizer: {plain}")
    })?;
    let shape = json::decode::<Shape>(text("shape", input));
    let Ok((document, value)) = document.and_then(|document| Ok((document, value?))) else {
        let error = json::parse(input).expect_err("it was rejected");
        // A reader of one type may find another error first, but it finds one.
        demand(
            shape.is_err() && json::decode::<u64>(text("number", input)).is_err(),
            || "a type is read from invalid JSON".to_owned(),
        )?;
        seen.note(class(error.kind()));
        return demand(error.offset() <= text("offset", input).len(), || {
            format!("the error's offset is outside the text: {error:?}")
        });
    };
    seen.note("accepted");
    demand(document.root().decode().as_ref() == Ok(&value), || {
        format!("the document is {document:?}, the value {value:?}")
    })?;
    let written = json::encode(&value);
    let again = json::decode(text("written", &written));
    demand(again.as_ref() == Ok(&value), || {
        format!("{value:?} is written as {}", written.escape_ascii())
    })?;
    if let Ok(shape) = shape {
        seen.note("record");
        let written = json::encode(&shape);
        let again = json::decode(text("record", &written));
        demand(again.as_ref() == Ok(&shape), || {
            format!("{shape:?} is written as {}", written.escape_ascii())
        })?;
    }
    Ok(())
}

/// Two readers accept the same texts, and reject the others with the same error.
fn agree<A, B>(
    other: &str,
    document: &Result<A, json::Error>,
    read: &Result<B, json::Error>,
) -> Result<(), String> {
    let errors = (document.as_ref().err(), read.as_ref().err());
    demand(errors.0 == errors.1, || {
        format!("a document: {:?}, {other}: {:?}", errors.0, errors.1)
    })
}

/// Reads token by token and keeps nothing.
fn pulled(input: &[u8]) -> Result<(), json::Error> {
    let mut reader = Reader::new(input);
    reader.skip_value()?;
    reader.end()
}

fn class(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Utf8 => "not UTF-8",
        ErrorKind::UnexpectedEnd => "ends early",
        ErrorKind::Unexpected { .. } => "unexpected",
        ErrorKind::ControlCharacter => "control character",
        ErrorKind::Escape => "escape",
        ErrorKind::LoneSurrogate => "lone surrogate",
        ErrorKind::TrailingData => "trailing",
        ErrorKind::TooDeep { .. } => "too deep",
        _ => "another error",
    }
}

/// Arrays and objects about as deep as they may be.
fn nested(rng: &mut Rng) -> Vec<u8> {
    let depth = rng.range(DEFAULT_DEPTH as u64 - 2..=DEFAULT_DEPTH as u64 + 2) as usize;
    let (open, inner, close) = match rng.below(2) {
        0 => ("[", "", "]"),
        _ => ("{\"\":", "0", "}"),
    };
    let text = [&open.repeat(depth), inner, &close.repeat(depth)];
    text.concat().into()
}

/// Whether a text is JSON by the grammar of RFC 8259, one byte at a time.
struct Plain<'a> {
    rest: &'a [u8],
}

impl<'a> Plain<'a> {
    fn accepts(text: &'a [u8]) -> bool {
        let mut plain = Self { rest: text };
        str::from_utf8(text).is_ok() && plain.value(0).is_some() && plain.rest.is_empty()
    }

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// Passes a byte if it is the next one.
    fn pass(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn space(&mut self) {
        while b" \t\r\n".iter().any(|byte| self.pass(*byte)) {}
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.space();
        match self.next()? {
            b'n' => self.word(b"ull")?,
            b't' => self.word(b"rue")?,
            b'f' => self.word(b"alse")?,
            b'"' => self.string()?,
            b'[' if depth < DEFAULT_DEPTH => self.list(b']', |plain| plain.value(depth + 1))?,
            b'{' if depth < DEFAULT_DEPTH => self.list(b'}', |plain| {
                plain.space();
                (plain.next()? == b'"').then_some(())?;
                plain.string()?;
                plain.space();
                plain.pass(b':').then_some(())?;
                plain.value(depth + 1)
            })?,
            b'-' => {
                let first = self.next()?;
                self.number(first)?;
            }
            first => self.number(first)?,
        }
        self.space();
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn list(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.space();
        if self.pass(close) {
            return Some(());
        }
        loop {
            item(self)?;
            self.space();
            match self.next()? {
                b',' => {}
                byte if byte == close => return Some(()),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => match self.unit()? {
                        0xd800..0xdc00 => {
                            self.word(b"\\u")?;
                            (0xdc00..0xe000).contains(&self.unit()?).then_some(())?;
                        }
                        0xdc00..0xe000 => return None,
                        _ => {}
                    },
                    _ => return None,
                },
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn unit(&mut self) -> Option<u32> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        (0..4).try_fold(0, |unit, _| Some(unit << 4 | digit(self.next()?)?))
    }

    /// Passes digits, and returns whether there were any.
    fn digits(&mut self) -> bool {
        let before = self.rest.len();
        while (b'0'..=b'9').any(|digit| self.pass(digit)) {}
        self.rest.len() < before
    }

    fn number(&mut self, first: u8) -> Option<()> {
        first.is_ascii_digit().then_some(())?;
        if first != b'0' {
            self.digits();
        }
        if self.pass(b'.') {
            self.digits().then_some(())?;
        }
        if self.pass(b'e') || self.pass(b'E') {
            let _signed = self.pass(b'+') || self.pass(b'-');
            self.digits().then_some(())?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_reader_breaks_a_law() {
        for (input, reader, read, law) in [
            ("[1]", "value", "[1", "a document: None, a value: Some("),
            ("[1]", "raw", "[1", "a document: None, raw: Some("),
            ("[1", "pull", "[1]", "a pull reader: None"),
            ("[1]", "plain", "[1", "the simple recognizer: false"),
            ("[1", "plain", "[1]", "the simple recognizer: true"),
            ("[1", "shape", SHAPES[0], "a type is read from invalid JSON"),
            ("[1", "number", "1", "a type is read from invalid JSON"),
            ("[1", "offset", "", "the error's offset is outside the text"),
            ("[1]", "value", "[2]", "the value Array"),
            ("[1]", "written", "[2]", " is written as [1]"),
            (SHAPES[0], "record", SHAPES[1], "Point { x: -7"),
        ] {
            let wrong = |name: &str| (name == reader).then_some(read.as_bytes());
            let error = laws(input.as_bytes(), &mut Seen::default(), &|name, text| {
                wrong(name).unwrap_or(text)
            });
            let error = error.expect_err(law);
            assert!(error.contains(law), "{law}: {error}");
        }
    }

    #[test]
    fn the_simple_recognizer_accepts_json_alone() {
        for text in [
            "0",
            " -1.5e+7 ",
            "[1,{\"a\" : null}]",
            r#""\ud83d\ude00\n""#,
            "[]",
        ] {
            assert!(Plain::accepts(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "01",
            "1.",
            "[1,]",
            "{1:2}",
            r#""\ud83d""#,
            "nul",
            "\"\n\"",
            "1 2",
            "-",
        ] {
            assert!(!Plain::accepts(text.as_bytes()), "{text}");
        }
    }
}
