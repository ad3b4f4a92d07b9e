//! The JSON readers and writers, against each other and against a plain recognizer.

use json::{DEFAULT_DEPTH, ErrorKind, Raw, Reader, Value};
use rand::Rng;

use super::mutate::{noise, spoil, value};
use super::{Seen, Target, demand};

/// Texts that may be JSON.
pub(super) struct Json;

json::record! {
    /// A bit of everything that a record may have.
    #[derive(Debug, PartialEq)]
    enum Shape tagged "type" {
        Point as "point" { x: i64, y: u64, label: Option<String> },
        Line as "line" { points: Vec<(u8, i16)>, weight: f64 = 1.5 },
        Nothing as "nothing",
    }
}

impl Target for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn about(&self) -> &'static str {
        "JSON texts: document, value, pull reader, typed and a plain recognizer agree; what is written is read"
    }

    fn classes(&self) -> &'static [&'static str] {
        &[
            "accepted",
            "record",
            "no UTF-8",
            "ends early",
            "unexpected",
            "control character",
            "escape",
            "lone surrogate",
            "trailing",
            "too deep",
        ]
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        let mut text = match rng.below(16) {
            0 => return noise(rng),
            1 => return nested(rng),
            2..6 => shape(rng),
            _ => {
                let value = value(rng, 3);
                let mut text = Vec::new();
                write_oddly(rng, &value, &mut text);
                let read = json::decode::<Value>(&text);
                assert_eq!(read.as_ref(), Ok(&value), "a text was made of this value");
                text
            }
        };
        if rng.chance(2, 3) {
            spoil(rng, &mut text);
        }
        text
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        let document = json::parse(input);
        let value = json::decode::<Value>(input);
        let plain = Plain::accepts(input);
        agree("a value", &document, &value)?;
        agree("raw", &document, &json::decode::<Raw>(input))?;
        agree("a pull reader", &document, &pulled(input))?;
        demand(document.is_ok() == plain, || {
            format!("a document says {document:?}, a plain recognizer {plain}")
        })?;
        let shape = json::decode::<Shape>(input);
        let Ok((document, value)) = document.and_then(|document| Ok((document, value?))) else {
            let error = json::parse(input).expect_err("it was refused");
            // A reader of one type may stop at something else first, but it stops.
            demand(
                shape.is_err() && json::decode::<u64>(input).is_err(),
                || "a type is read from what is no JSON".to_owned(),
            )?;
            seen.note(class(error.kind()));
            return demand(error.offset() <= input.len(), || {
                format!("an error behind the end: {error:?}")
            });
        };
        seen.note("accepted");
        demand(document.root().decode().as_ref() == Ok(&value), || {
            format!("the document is {document:?}, the value {value:?}")
        })?;
        types_agree(input, &value)?;
        let text = json::encode(&value);
        demand(json::decode(&text).as_ref() == Ok(&value), || {
            format!("{value:?} is written as {}", text.escape_ascii())
        })?;
        let pretty = json::to_string_pretty(&value);
        demand(
            json::decode(pretty.as_bytes()).as_ref() == Ok(&value),
            || format!("{value:?} is written prettily as {pretty:?}"),
        )?;
        if let Ok(shape) = shape {
            seen.note("record");
            let text = json::encode(&shape);
            demand(json::decode(&text).as_ref() == Ok(&shape), || {
                format!("{shape:?} is written as {}", text.escape_ascii())
            })?;
        }
        Ok(())
    }
}

/// Two readers take the same texts, and refuse the others for the same reason at the same place.
fn agree<A, B>(
    other: &str,
    document: &Result<A, json::Error>,
    read: &Result<B, json::Error>,
) -> Result<(), String> {
    let said = (document.as_ref().err(), read.as_ref().err());
    demand(said.0 == said.1, || {
        format!("a document says {:?}, {other} {:?}", said.0, said.1)
    })
}

/// Reads token by token and keeps nothing.
fn pulled(input: &[u8]) -> Result<(), json::Error> {
    let mut reader = Reader::new(input);
    reader.skip_value()?;
    reader.end()
}

/// What is read as one type is what the value says of it.
fn types_agree(input: &[u8], value: &Value) -> Result<(), String> {
    fn same<T: PartialEq + std::fmt::Debug>(
        typed: Result<T, json::Error>,
        of_value: Option<T>,
    ) -> Result<(), String> {
        let typed = typed.ok();
        demand(typed == of_value, || {
            format!("read as its type it is {typed:?}, as a value {of_value:?}")
        })
    }
    match value {
        Value::Number(_) => {
            same(json::decode(input), value.as_i64())?;
            same(json::decode(input), value.as_u64())?;
            same(json::decode(input), value.as_f64())
        }
        Value::String(_) => same(
            json::decode::<String>(input),
            value.as_str().map(Into::into),
        ),
        Value::Bool(_) => same(json::decode(input), value.as_bool()),
        Value::Null => same(json::decode::<Option<u64>>(input), Some(None)),
        Value::Array(elements) => same(json::decode::<Vec<Value>>(input), Some(elements.clone())),
        // Where a value takes the last of two members with one name, a map refuses both.
        Value::Object(members) => match json::decode(input) {
            Err(error) if matches!(error.kind(), ErrorKind::DuplicateField(_)) => Ok(()),
            typed => same(typed, Some(members.clone())),
        },
    }
}

fn class(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Utf8 => "no UTF-8",
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
    let (open, close) = match rng.below(2) {
        0 => ("[", "]"),
        _ => ("{\"\":", "}"),
    };
    let inner = if open == "[" { "" } else { "0" };
    let mut text = open.repeat(depth);
    text.push_str(inner);
    text.push_str(&close.repeat(depth));
    text.into_bytes()
}

/// A record, or nearly one.
fn shape(rng: &mut Rng) -> Vec<u8> {
    json::encode(&match rng.below(3) {
        0 => Shape::Point {
            x: rng.next_u64() as i64 >> rng.below(64),
            y: rng.next_u64() >> rng.below(64),
            label: rng.chance(1, 2).then(|| super::mutate::string(rng)),
        },
        1 => Shape::Line {
            points: (0..rng.below(4))
                .map(|_| (rng.next_u64() as u8, rng.next_u64() as i16))
                .collect(),
            weight: rng.unit_f64(),
        },
        _ => Shape::Nothing,
    })
}

/// Writes a value in one of the many ways that mean the same.
fn write_oddly(rng: &mut Rng, value: &Value, text: &mut Vec<u8>) {
    let space = |rng: &mut Rng, text: &mut Vec<u8>| {
        while rng.chance(1, 8) {
            text.push(*rng.choose(b" \t\r\n").expect("there are some"));
        }
    };
    space(rng, text);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => json::encode_into(value, text),
        Value::String(string) => write_string(rng, string, text),
        Value::Array(elements) => {
            text.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                write_oddly(rng, element, text);
            }
            space(rng, text);
            text.push(b']');
        }
        Value::Object(members) => {
            text.push(b'{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                space(rng, text);
                write_string(rng, name, text);
                space(rng, text);
                text.push(b':');
                write_oddly(rng, member, text);
            }
            space(rng, text);
            text.push(b'}');
        }
    }
    space(rng, text);
}

/// Writes a string with more escapes than it needs.
fn write_string(rng: &mut Rng, string: &str, text: &mut Vec<u8>) {
    text.push(b'"');
    let mut buffer = [0; 2];
    for character in string.chars() {
        match character {
            '"' | '\\' => text.extend([b'\\', character as u8]),
            '/' if rng.chance(1, 2) => text.extend(b"\\/"),
            '\n' => text.extend(b"\\n"),
            _ if character < ' ' || rng.chance(1, 8) => {
                for unit in character.encode_utf16(&mut buffer) {
                    text.extend(match rng.chance(1, 2) {
                        true => format!("\\u{unit:04x}").into_bytes(),
                        false => format!("\\u{unit:04X}").into_bytes(),
                    });
                }
            }
            _ => text.extend(character.to_string().bytes()),
        }
    }
    text.push(b'"');
}

/// Tells whether a text is JSON, as RFC 8259 says it, one byte at a time.
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
        while self
            .rest
            .first()
            .is_some_and(|byte| b" \t\r\n".contains(byte))
        {
            self.rest = &self.rest[1..];
        }
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

    fn digits(&mut self) -> usize {
        let count = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.rest = &self.rest[count..];
        count
    }

    fn number(&mut self, first: u8) -> Option<()> {
        first.is_ascii_digit().then_some(())?;
        if first != b'0' {
            self.digits();
        }
        if self.pass(b'.') {
            (self.digits() > 0).then_some(())?;
        }
        if self.pass(b'e') || self.pass(b'E') {
            let _signed = self.pass(b'+') || self.pass(b'-');
            (self.digits() > 0).then_some(())?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_recognizer_says_yes_and_no() {
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
