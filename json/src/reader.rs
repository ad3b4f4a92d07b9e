//! The pull reader: one token at a time, from a slice.

use crate::error::clip;
use crate::{Error, ErrorKind, Number, Raw};
use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

/// How deep arrays and objects may nest unless the caller says otherwise.
pub const DEFAULT_DEPTH: usize = 128;

/// How deep arrays and objects may nest at most, whatever the caller says.
///
/// What is decoded is later dropped, cloned and compared by plain recursion; this bounds it.
pub const MAX_DEPTH: usize = 1024;

/// The six kinds of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        })
    }
}

/// Reads one JSON text token by token.
///
/// Whoever reads an object calls [`begin_object`](Reader::begin_object), and then
/// [`next_key`](Reader::next_key) until it says `None`, reading exactly one value after each key. Arrays
/// likewise. After an error the reader stands at no particular place; drop it.
///
/// ```
/// let mut reader = json::Reader::new(br#"{"a": [1, 2], "b": true}"#)?;
/// let mut sum = 0;
/// reader.begin_object()?;
/// while let Some(key) = reader.next_key()? {
///     if key == "a" {
///         reader.begin_array()?;
///         while reader.next_element()? {
///             sum += reader.number()?.as_i64().unwrap_or(0);
///         }
///     } else {
///         reader.skip_value()?;
///     }
/// }
/// reader.end()?;
/// assert_eq!(sum, 3);
/// # Ok::<(), json::Error>(())
/// ```
///
/// A clone of a reader reads on from the same place by itself, which is how to look ahead.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Where the latest token started.
    token: usize,
    /// Whether an array or object was just begun, so that no comma comes before what is next in it.
    fresh: bool,
    depth: usize,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    /// A reader of these bytes that allows [`DEFAULT_DEPTH`]. An error if they are not UTF-8.
    pub fn new(bytes: &'a [u8]) -> Result<Reader<'a>, Error> {
        Reader::with_depth(bytes, DEFAULT_DEPTH)
    }

    /// A reader that allows arrays and objects to nest `max_depth` deep, but never deeper than
    /// [`MAX_DEPTH`]. At 0 it allows none at all. An error if the bytes are not UTF-8.
    pub fn with_depth(bytes: &'a [u8], max_depth: usize) -> Result<Reader<'a>, Error> {
        // Checked once for all, so that every string is a mere slice of the text.
        let text =
            str::from_utf8(bytes).map_err(|error| Error::utf8(bytes, error.valid_up_to()))?;
        Ok(Reader::of_str_with_depth(text, max_depth))
    }

    /// A reader of this text that allows [`DEFAULT_DEPTH`].
    pub fn of_str(text: &'a str) -> Reader<'a> {
        Reader::of_str_with_depth(text, DEFAULT_DEPTH)
    }

    /// A reader of this text that allows `max_depth`, but never more than [`MAX_DEPTH`].
    pub fn of_str_with_depth(text: &'a str, max_depth: usize) -> Reader<'a> {
        let max_depth = max_depth.min(MAX_DEPTH);
        Reader {
            text,
            at: 0,
            token: 0,
            fresh: false,
            depth: 0,
            max_depth,
        }
    }

    /// The kind of the value that comes next. Nothing is consumed.
    pub fn peek(&mut self) -> Result<Kind, Error> {
        self.start_token();
        match self.next_byte() {
            Some(b'n') => Ok(Kind::Null),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'"') => Ok(Kind::String),
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Consumes `null`.
    pub fn null(&mut self) -> Result<(), Error> {
        self.want(Kind::Null, "null")?;
        self.word("null")
    }

    /// Consumes `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, Error> {
        self.want(Kind::Bool, "a boolean")?;
        let value = self.next_byte() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// Consumes a number.
    pub fn number(&mut self) -> Result<Number, Error> {
        self.number_text("a number").map(Number::from_text)
    }

    /// Consumes a number and hands out its text, which has the grammar of RFC 8259 section 6.
    /// `expected` says in the error what was wanted if no number comes next.
    pub fn number_text(&mut self, expected: &'static str) -> Result<&'a str, Error> {
        self.want(Kind::Number, expected)?;
        if self.next_byte() == Some(b'-') {
            self.at += 1;
        }
        match self.next_byte() {
            // A digit after a leading zero is left to be stumbled over by whatever comes next.
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.next_byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.next_byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.next_byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.fresh = false;
        Ok(&self.text[self.token..self.at])
    }

    /// Consumes a string; borrowed from the input unless it has escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.want(Kind::String, "a string")?;
        self.fresh = false;
        self.string_token()
    }

    /// Consumes the opening bracket of an array. An error if that is one array too deep.
    pub fn begin_array(&mut self) -> Result<(), Error> {
        self.want(Kind::Array, "an array")?;
        self.begin()
    }

    /// Whether the array has another element, which is to be read next; otherwise its end is consumed.
    pub fn next_element(&mut self) -> Result<bool, Error> {
        self.next_item(b']', "a comma or the end of the array")
    }

    /// Consumes the opening brace of an object. An error if that is one object too deep.
    pub fn begin_object(&mut self) -> Result<(), Error> {
        self.want(Kind::Object, "an object")?;
        self.begin()
    }

    /// The next key of the object, whose value is to be read next; or `None`, and its end is consumed.
    /// Duplicate keys are the caller's to find.
    pub fn next_key(&mut self) -> Result<Option<Cow<'a, str>>, Error> {
        if !self.next_item(b'}', "a comma or the end of the object")? {
            return Ok(None);
        }
        self.start_token();
        let key_start = self.at;
        if self.next_byte() != Some(b'"') {
            return Err(self.unexpected("a key"));
        }
        let key = self.string_token()?;
        self.start_token();
        if self.next_byte() != Some(b':') {
            return Err(self.unexpected("a colon"));
        }
        self.at += 1;
        self.token = key_start;
        Ok(Some(key))
    }

    /// Consumes the next value, whatever it is, checking all of it and keeping none.
    pub fn skip_value(&mut self) -> Result<(), Error> {
        // One bit for each level that was entered: whether it is an object.
        let mut is_object = [0_u64; MAX_DEPTH / 64];
        let outside = self.depth;
        loop {
            match self.peek()? {
                Kind::Null => self.null()?,
                Kind::Bool => {
                    self.bool()?;
                }
                Kind::Number => {
                    self.number_text("a number")?;
                }
                Kind::String => {
                    self.want(Kind::String, "a string")?;
                    self.fresh = false;
                    self.skip_string()?;
                }
                Kind::Array => {
                    self.begin()?;
                    is_object[(self.depth - 1) / 64] &= !(1 << ((self.depth - 1) % 64));
                }
                Kind::Object => {
                    self.begin()?;
                    is_object[(self.depth - 1) / 64] |= 1 << ((self.depth - 1) % 64);
                }
            }
            // Go on to the next value inside, leaving every array and object that ends here.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let level = self.depth - 1;
                let more = if is_object[level / 64] >> (level % 64) & 1 == 1 {
                    self.next_key()?.is_some()
                } else {
                    self.next_element()?
                };
                if more {
                    break;
                }
            }
        }
    }

    /// Consumes the next value, checking it, and hands out its text.
    pub fn raw(&mut self) -> Result<Raw<'a>, Error> {
        self.start_token();
        let start = self.at;
        self.skip_value()?;
        self.token = start;
        Ok(Raw::of_checked(&self.text[start..self.at]))
    }

    /// The string that the object that comes next has under `key`, wherever it stands in it. Nothing is
    /// consumed. An error if there is no such key, or no string under it.
    pub fn peek_tag(&mut self, key: &'static str) -> Result<Cow<'a, str>, Error> {
        self.want(Kind::Object, "an object")?;
        let mut ahead = self.clone();
        ahead.begin_object()?;
        while let Some(found) = ahead.next_key()? {
            if found == key {
                let tag = ahead.string()?;
                self.token = ahead.token;
                return Ok(tag);
            }
            ahead.skip_value()?;
        }
        Err(self.missing_field(self.token, key))
    }

    /// Whatever follows the value must be white space.
    pub fn end(&mut self) -> Result<(), Error> {
        self.start_token();
        if self.at < self.text.len() {
            return Err(self.error(ErrorKind::TrailingData));
        }
        Ok(())
    }

    /// Where the latest token started, in bytes from the start of the text: the value that was read last,
    /// the key if it was a key, the opening bracket or brace.
    pub fn token_offset(&self) -> usize {
        self.token
    }

    /// An error about the latest token.
    pub fn error(&self, kind: ErrorKind) -> Error {
        self.error_at(self.token, kind)
    }

    /// An error in words of one's own about the latest token.
    pub fn custom_error(&self, message: impl Into<String>) -> Error {
        self.error(ErrorKind::Custom(message.into()))
    }

    /// An error about the token at `offset`, which [`token_offset`](Reader::token_offset) told.
    ///
    /// Takes time linear in `offset`: the line, the column and the path are found out only now.
    pub fn error_at(&self, offset: usize, kind: ErrorKind) -> Error {
        Error::at(self.text, offset, kind)
    }

    /// The object that started at `object` lacks this field.
    pub fn missing_field(&self, object: usize, name: &'static str) -> Error {
        self.error_at(object, ErrorKind::MissingField(name))
    }

    /// The latest token is a key that was there before.
    pub fn duplicate_field(&self, name: &str) -> Error {
        self.error(ErrorKind::DuplicateField(clip(name).to_owned()))
    }

    /// The latest token is a key that nobody knows.
    pub fn unknown_field(&self, name: &str) -> Error {
        self.error(ErrorKind::UnknownField(clip(name).to_owned()))
    }

    /// The latest token is the name of a variant that nobody knows.
    pub fn unknown_variant(&self, name: &str) -> Error {
        self.error(ErrorKind::UnknownVariant(clip(name).to_owned()))
    }

    /// The value that comes next is of another kind than wanted; or the error that there is none.
    pub fn wrong_kind(&mut self, expected: &'static str) -> Error {
        match self.peek() {
            Ok(found) => self.error(ErrorKind::WrongKind { expected, found }),
            Err(error) => error,
        }
    }

    fn next_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space (RFC 8259 section 2) up to the next token.
    fn start_token(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.next_byte() {
            self.at += 1;
        }
        self.token = self.at;
    }

    fn want(&mut self, kind: Kind, expected: &'static str) -> Result<(), Error> {
        let found = self.peek()?;
        if found == kind {
            Ok(())
        } else {
            Err(self.error(ErrorKind::WrongKind { expected, found }))
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Error> {
        for &byte in word.as_bytes() {
            if self.next_byte() != Some(byte) {
                return Err(self.unexpected(word));
            }
            self.at += 1;
        }
        self.fresh = false;
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.next_byte() {
            self.at += 1;
        }
        if self.at == start {
            Err(self.unexpected("a digit"))
        } else {
            Ok(())
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        if self.depth == self.max_depth {
            return Err(self.error(ErrorKind::TooDeep {
                limit: self.max_depth,
            }));
        }
        self.depth += 1;
        self.at += 1;
        self.fresh = true;
        Ok(())
    }

    /// Whether another item follows, having consumed the comma before it; otherwise consumes the end.
    fn next_item(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        self.start_token();
        match self.next_byte() {
            Some(byte) if byte == end && self.depth > 0 => {
                self.at += 1;
                self.depth -= 1;
                self.fresh = false;
                Ok(false)
            }
            Some(_) if self.fresh => {
                self.fresh = false;
                Ok(true)
            }
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// The string whose opening quote is next.
    fn string_token(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1;
        let mut start = self.at;
        self.at = plain_end(self.text.as_bytes(), start);
        if self.next_byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut unescaped = String::new();
        loop {
            unescaped.push_str(&self.text[start..self.at]);
            match self.next_byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(unescaped));
                }
                _ => unescaped.push(self.escape()?),
            }
            start = self.at;
            self.at = plain_end(self.text.as_bytes(), start);
        }
    }

    fn skip_string(&mut self) -> Result<(), Error> {
        self.at += 1;
        loop {
            self.at = plain_end(self.text.as_bytes(), self.at);
            if self.next_byte() == Some(b'"') {
                self.at += 1;
                return Ok(());
            }
            self.escape()?;
        }
    }

    /// The character of the escape that is next; an error if what is next in the string is none.
    fn escape(&mut self) -> Result<char, Error> {
        let start = self.at;
        match self.next_byte() {
            None => return Err(self.error_at(start, ErrorKind::UnexpectedEnd)),
            Some(b'\\') => self.at += 1,
            Some(_) => return Err(self.error_at(start, ErrorKind::ControlCharacter)),
        }
        let character = match self.next_byte() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape(start);
            }
            Some(_) => return Err(self.error_at(start, ErrorKind::Escape)),
            None => return Err(self.error_at(self.at, ErrorKind::UnexpectedEnd)),
        };
        self.at += 1;
        Ok(character)
    }

    /// The character of the escape at `start`, whose `\u` was consumed. Characters beyond U+FFFF are two
    /// escapes, a surrogate pair.
    fn unicode_escape(&mut self, start: usize) -> Result<char, Error> {
        let first = self.four_hex_digits(start)?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let second_start = self.at;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.four_hex_digits(second_start)?;
            if (0xdc00..0xe000).contains(&second) {
                let scalar = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(scalar).expect("a surrogate pair is a character"));
            }
        }
        Err(self.error_at(start, ErrorKind::LoneSurrogate))
    }

    fn four_hex_digits(&mut self, escape_start: usize) -> Result<u32, Error> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(byte) = self.next_byte() else {
                return Err(self.error_at(self.at, ErrorKind::UnexpectedEnd));
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(self.error_at(escape_start, ErrorKind::Escape));
            };
            value = value << 4 | digit;
            self.at += 1;
        }
        Ok(value)
    }

    /// The error that the grammar wants something else at the current place.
    fn unexpected(&self, expected: &'static str) -> Error {
        let kind = match self.text[self.at..].chars().next() {
            Some(found) => ErrorKind::Unexpected { expected, found },
            None => ErrorKind::UnexpectedEnd,
        };
        self.error_at(self.at, kind)
    }
}

/// Where the run of characters that need no care ends: at a quote, a backslash, a control character, or
/// the end. Looks at eight bytes at a time.
pub(crate) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of each byte that is zero; maybe of others too, but only if one is zero.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;

    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_ne_bytes(*chunk);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = zeros(word & (ONES * 0xe0));
        if quotes | backslashes | controls != 0 {
            break;
        }
        at += 8;
    }
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    at
}
