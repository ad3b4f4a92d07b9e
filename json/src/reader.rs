//! The pull reader: one token at a time, from a slice.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::mem;

use crate::error::clip;
use crate::numeral::Numeral;
use crate::scan::{self, Flaw, SAFE_DIGITS};
use crate::{Error, ErrorKind, Number, Raw};

/// How deep arrays and objects may nest unless the caller says otherwise.
pub const DEFAULT_DEPTH: usize = 128;

/// How deep arrays and objects may nest at most, whatever the caller says.
///
/// What is decoded is later dropped, cloned and compared by plain recursion; this bounds it.
pub const MAX_DEPTH: usize = 1024;

const AFTER_ELEMENT: &str = "a comma or the end of the array";
const AFTER_MEMBER: &str = "a comma or the end of the object";

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
/// [`next_key`](Reader::next_key) until it says `None`, reading exactly one value after each key.
/// Arrays likewise. After an error the reader stands at no particular place; drop it.
///
/// ```
/// let mut reader = json::Reader::new(br#"{"a": [1, 2], "b": true}"#);
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
    /// Checked to be UTF-8 string by string: outside of strings there is only ASCII anyway, and
    /// most strings are a few bytes short. Checking all of a small message first takes a
    /// quarter of the time of decoding it.
    text: &'a [u8],
    /// What of it is left to be read.
    rest: &'a [u8],
    /// How much was left where the latest token started.
    token: usize,
    /// Whether an array or object was just begun, so that no comma comes before what is next in
    /// it.
    fresh: bool,
    depth: usize,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    /// A reader of these bytes that allows [`DEFAULT_DEPTH`].
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader::with_depth(bytes, DEFAULT_DEPTH)
    }

    /// A reader that allows arrays and objects to nest `max_depth` deep, but never deeper than
    /// [`MAX_DEPTH`]. At 0 it allows none at all.
    pub fn with_depth(bytes: &'a [u8], max_depth: usize) -> Reader<'a> {
        Reader {
            text: bytes,
            rest: bytes,
            token: bytes.len(),
            fresh: false,
            depth: 0,
            max_depth: max_depth.min(MAX_DEPTH),
        }
    }

    /// A reader of this text that allows [`DEFAULT_DEPTH`].
    pub fn of_str(text: &'a str) -> Reader<'a> {
        Reader::new(text.as_bytes())
    }

    /// A reader of this text that allows `max_depth`, but never more than [`MAX_DEPTH`].
    pub fn of_str_with_depth(text: &'a str, max_depth: usize) -> Reader<'a> {
        Reader::with_depth(text.as_bytes(), max_depth)
    }

    /// The kind of the value that comes next. Nothing is consumed.
    #[inline]
    pub fn peek(&mut self) -> Result<Kind, Error> {
        match self.start_token() {
            b'n' => Ok(Kind::Null),
            b't' | b'f' => Ok(Kind::Bool),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b'"' => Ok(Kind::String),
            b'[' => Ok(Kind::Array),
            b'{' => Ok(Kind::Object),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Consumes `null`.
    pub fn null(&mut self) -> Result<(), Error> {
        match self.start_token() {
            b'n' => self.word("null"),
            _ => Err(self.wrong_kind("null")),
        }
    }

    /// Consumes `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, Error> {
        match self.start_token() {
            b't' => self.word("true").map(|()| true),
            b'f' => self.word("false").map(|()| false),
            _ => Err(self.wrong_kind("a boolean")),
        }
    }

    /// Consumes a number.
    pub fn number(&mut self) -> Result<Number, Error> {
        self.numeral("a number").map(Number::from_numeral)
    }

    /// Consumes a number and hands out its text, which has the grammar of RFC 8259 section 6.
    /// `expected` says in the error what was wanted if no number comes next.
    pub fn number_text(&mut self, expected: &'static str) -> Result<&'a str, Error> {
        let numeral = self.numeral(expected)?;
        Ok(str::from_utf8(numeral.text).expect("numbers are ASCII"))
    }

    /// Consumes a number. `expected` says in the error what was wanted if no number comes next.
    #[inline]
    pub(crate) fn numeral(&mut self, expected: &'static str) -> Result<Numeral<'a>, Error> {
        match self.start_token() {
            b'-' | b'0'..=b'9' => self.numeral_token(),
            _ => Err(self.wrong_kind(expected)),
        }
    }

    /// Consumes a number if it is written as nothing but at most 19 digits, and hands out its
    /// value. What is written otherwise, or does not fit, is left for
    /// [`number_text`](Reader::number_text).
    ///
    /// Without it, by the text of the integer, decoding a small message takes 60 % longer.
    #[inline]
    pub(crate) fn plain_unsigned<T: TryFrom<u64>>(&mut self) -> Option<T> {
        self.start_token();
        let (value, rest) = plain_integer(self.rest)?;
        let value = T::try_from(value).ok()?;
        self.rest = rest;
        Some(value)
    }

    /// Like [`plain_unsigned`](Reader::plain_unsigned), with a minus sign before the digits or not.
    #[inline]
    pub(crate) fn plain_signed<T: TryFrom<i64>>(&mut self) -> Option<T> {
        let negative = self.start_token() == b'-';
        let text = &self.rest[usize::from(negative)..];
        let (value, rest) = plain_integer(text)?;
        let value = i64::try_from(value).ok()?;
        let value = T::try_from(if negative { -value } else { value }).ok()?;
        self.rest = rest;
        Some(value)
    }

    /// Consumes a string; borrowed from the input unless it has escapes.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        match self.start_token() {
            b'"' => self.string_token(),
            _ => Err(self.wrong_kind("a string")),
        }
    }

    /// Consumes a string that has no escapes. An error if it has.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Result<&'a str, Error> {
        if self.start_token() == b'"'
            && let Some(string) = self.plain_string_token()
        {
            return self.utf8(string);
        }
        // An error, but which?
        self.string()?;
        Err(self.error(ErrorKind::EscapedString))
    }

    /// Consumes `null`, if that is what comes next, and says so.
    #[inline]
    pub(crate) fn take_null(&mut self) -> Result<bool, Error> {
        if self.start_token() != b'n' {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    /// Consumes the opening bracket of an array. An error if that is one array too deep.
    pub fn begin_array(&mut self) -> Result<(), Error> {
        match self.start_token() {
            b'[' => self.begin(),
            _ => Err(self.wrong_kind("an array")),
        }
    }

    /// Whether the array has another element, which is to be read next; otherwise its end is
    /// consumed.
    pub fn next_element(&mut self) -> Result<bool, Error> {
        self.next_item(b']', AFTER_ELEMENT)
    }

    /// Consumes the opening brace of an object. An error if that is one object too deep.
    pub fn begin_object(&mut self) -> Result<(), Error> {
        match self.start_token() {
            b'{' => self.begin(),
            _ => Err(self.wrong_kind("an object")),
        }
    }

    /// The next key of the object, whose value is to be read next; or `None`, and its end is
    /// consumed. Duplicate keys are the caller's to find.
    pub fn next_key(&mut self) -> Result<Option<Cow<'a, str>>, Error> {
        if self.next_item(b'}', AFTER_MEMBER)? {
            self.key().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Consumes the opening bracket of an array, and says whether an element follows; if not, its
    /// end is consumed.
    #[inline(always)]
    pub(crate) fn enter_array(&mut self) -> Result<bool, Error> {
        match self.start_token() {
            b'[' => self.enter(b']', AFTER_ELEMENT),
            _ => Err(self.wrong_kind("an array")),
        }
    }

    /// After an element: whether another follows, having consumed the comma between them; if not,
    /// the end of the array is consumed.
    #[inline]
    pub(crate) fn more_elements(&mut self) -> Result<bool, Error> {
        self.more_items(b']', AFTER_ELEMENT)
    }

    /// Consumes the opening brace of an object, and says whether a member follows; if not, its end
    /// is consumed.
    #[inline(always)]
    pub(crate) fn enter_object(&mut self) -> Result<bool, Error> {
        match self.start_token() {
            b'{' => self.enter(b'}', AFTER_MEMBER),
            _ => Err(self.wrong_kind("an object")),
        }
    }

    /// After a member: whether another follows, having consumed the comma between them; if not, the
    /// end of the object is consumed.
    #[inline]
    pub(crate) fn more_members(&mut self) -> Result<bool, Error> {
        self.more_items(b'}', AFTER_MEMBER)
    }

    /// Consumes a key and its colon.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Error> {
        self.start_key()?;
        let token = self.token;
        let key = self.string_token()?;
        self.colon()?;
        self.token = token;
        Ok(key)
    }

    /// Consumes a key and its colon, and says whether the key is `name`.
    pub(crate) fn key_is(&mut self, name: &str) -> Result<bool, Error> {
        self.start_key()?;
        let same = match self.plain_string_token() {
            Some(key) => key == name.as_bytes(),
            None => self.unusual_string()? == name,
        };
        self.colon()?;
        Ok(same)
    }

    /// Consumes the next key and its colon, and says so, if they are written as in `text`, which
    /// begins with a comma that was consumed. Another spelling of the same key may have a space
    /// before its colon, or escapes: it is left to [`key`](Reader::key).
    #[inline]
    pub(crate) fn take_key<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        match self.rest.strip_prefix(&text[1..]) {
            Some(rest) => {
                self.token = self.rest.len();
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Consumes what comes next, and says so, if it is `text`.
    #[inline]
    pub(crate) fn take<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The byte number of what comes next.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Consumes the next value, whatever it is, checking all of it and keeping none.
    pub fn skip_value(&mut self) -> Result<(), Error> {
        self.raw().map(|_| ())
    }

    /// Consumes the next value, checking it, and hands out its text.
    pub fn raw(&mut self) -> Result<Raw<'a>, Error> {
        self.start_token();
        let start = self.token;
        self.pass_value()?;
        self.token = start;
        self.utf8(self.since_token()).map(Raw::of_checked)
    }

    /// Consumes the next value. Its strings are not checked to be UTF-8.
    #[inline]
    pub(crate) fn pass_value(&mut self) -> Result<(), Error> {
        match self.start_token() {
            b'"' => self.pass_string(),
            b'-' | b'0'..=b'9' => self.pass_number(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'[' | b'{' => self.pass_container(),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Consumes the next array or object.
    fn pass_container(&mut self) -> Result<(), Error> {
        // One bit for each level that was entered: whether it is an object.
        let mut is_object = [0_u64; MAX_DEPTH / 64];
        let outside = self.depth;
        loop {
            let first = self.start_token();
            let entered = match first {
                b'[' => self.enter_array()?,
                b'{' => self.enter_object()?,
                _ => self.pass_value().map(|()| false)?,
            };
            if entered {
                let (word, bit) = ((self.depth - 1) / 64, 1 << ((self.depth - 1) % 64));
                if first == b'{' {
                    is_object[word] |= bit;
                    self.pass_key()?;
                } else {
                    is_object[word] &= !bit;
                }
                continue;
            }
            // Go on to the next value inside, leaving every array and object that ends here.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let level = self.depth - 1;
                if is_object[level / 64] >> (level % 64) & 1 == 1 {
                    if self.more_members()? {
                        self.pass_key()?;
                        break;
                    }
                } else if self.more_elements()? {
                    break;
                }
            }
        }
    }

    /// Whatever follows the value must be white space.
    #[inline]
    pub fn end(&mut self) -> Result<(), Error> {
        if self.rest.is_empty() {
            return Ok(());
        }
        self.start_token();
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.error(ErrorKind::TrailingData))
    }

    /// Where the latest token started, in bytes from the start of the text: the value that was read
    /// last, the key if it was a key, the opening bracket or brace.
    #[inline]
    pub fn token_offset(&self) -> usize {
        self.text.len() - self.token
    }

    /// An error about the latest token.
    pub fn error(&self, kind: ErrorKind) -> Error {
        self.error_at(self.token_offset(), kind)
    }

    /// An error in words of one's own about the latest token.
    pub fn custom_error(&self, message: impl Into<String>) -> Error {
        self.error(ErrorKind::Custom(message.into()))
    }

    /// An error about the token at `offset`, which [`token_offset`](Reader::token_offset) told.
    ///
    /// Takes time linear in the text: the line, the column and the path are found out only now, and
    /// a text that is not UTF-8 is told to be so whatever else is wrong with it.
    #[cold]
    pub fn error_at(&self, offset: usize, kind: ErrorKind) -> Error {
        match str::from_utf8(self.text) {
            Ok(text) => Error::at(text, offset, kind),
            Err(error) => Error::utf8(self.text, error.valid_up_to()),
        }
    }

    /// The latest token is the number of this text, and that is not as expected.
    #[cold]
    pub(crate) fn out_of_range(&self, expected: &'static str, text: &[u8]) -> Error {
        let found = clip(&String::from_utf8_lossy(text)).to_owned();
        self.error(ErrorKind::OutOfRange { expected, found })
    }

    /// The object that started at `object` lacks this field.
    #[cold]
    pub fn missing_field(&self, object: usize, name: &'static str) -> Error {
        self.error_at(object, ErrorKind::MissingField(name))
    }

    /// The latest token is a key that was there before.
    #[cold]
    pub fn duplicate_field(&self, name: &str) -> Error {
        self.error(ErrorKind::DuplicateField(clip(name).to_owned()))
    }

    /// The latest token is a key that nobody knows.
    #[cold]
    pub fn unknown_field(&self, name: &str) -> Error {
        self.error(ErrorKind::UnknownField(clip(name).to_owned()))
    }

    /// The latest token is the name of a variant that nobody knows.
    #[cold]
    pub fn unknown_variant(&self, name: &str) -> Error {
        self.error(ErrorKind::UnknownVariant(clip(name).to_owned()))
    }

    /// The value that comes next is of another kind than wanted; or the error that there is none.
    #[cold]
    pub fn wrong_kind(&mut self, expected: &'static str) -> Error {
        match self.peek() {
            Ok(found) => self.error(ErrorKind::WrongKind { expected, found }),
            Err(error) => error,
        }
    }

    /// The next byte; at the end of the text a zero, which no token begins with.
    #[inline]
    fn byte(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    /// Consumes so many bytes.
    #[inline]
    fn advance(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }

    /// Skips white space (RFC 8259 section 2) up to the next token, and hands out its first byte.
    #[inline]
    pub(crate) fn start_token(&mut self) -> u8 {
        self.pass_white();
        self.token = self.rest.len();
        self.byte()
    }

    #[inline]
    fn pass_white(&mut self) {
        if self.byte() <= b' ' {
            self.pass_much_white();
        }
    }

    /// The part of [`pass_white`](Reader::pass_white) that compact texts do without; out of line,
    /// it leaves room for the other.
    #[inline(never)]
    fn pass_much_white(&mut self) {
        self.advance(scan::white_end(self.rest, 0));
    }

    /// What was consumed since the latest token started.
    #[inline]
    fn since_token(&self) -> &'a [u8] {
        &self.text[self.token_offset()..self.position()]
    }

    #[inline]
    fn start_key(&mut self) -> Result<(), Error> {
        match self.start_token() {
            b'"' => Ok(()),
            _ => Err(self.unexpected("a key")),
        }
    }

    fn pass_key(&mut self) -> Result<(), Error> {
        self.start_key()?;
        self.pass_string()?;
        self.colon()
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Error> {
        match self.start_token() {
            b':' => {
                self.advance(1);
                Ok(())
            }
            _ => Err(self.unexpected("a colon")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Error> {
        let same = |(found, wanted): &(&u8, &u8)| found == wanted;
        let pairs = self.rest.iter().zip(word.as_bytes());
        let length = pairs.take_while(same).count();
        self.advance(length);
        if length == word.len() {
            Ok(())
        } else {
            Err(self.unexpected(word))
        }
    }

    #[inline]
    fn pass_number(&mut self) -> Result<(), Error> {
        match plain_integer(self.rest) {
            Some((_, rest)) => {
                self.rest = rest;
                Ok(())
            }
            None => self.numeral_token().map(|_| ()),
        }
    }

    /// The number that is next.
    fn numeral_token(&mut self) -> Result<Numeral<'a>, Error> {
        match Numeral::scan(self.rest, 0) {
            Ok(numeral) => {
                self.advance(numeral.text.len());
                Ok(numeral)
            }
            Err(at) => {
                self.advance(at);
                Err(self.unexpected("a digit"))
            }
        }
    }

    /// Consumes the bracket that comes next.
    #[inline]
    fn begin(&mut self) -> Result<(), Error> {
        if self.depth == self.max_depth {
            return Err(self.too_deep());
        }
        self.depth += 1;
        self.advance(1);
        self.fresh = true;
        Ok(())
    }

    /// Whether an item follows, which is the first or has its comma before it; otherwise consumes
    /// the end.
    fn next_item(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        if mem::take(&mut self.fresh) {
            self.first_item(end, expected)
        } else if self.depth > 0 {
            self.more_items(end, expected)
        } else {
            Err(self.unexpected(expected))
        }
    }

    #[inline(always)]
    fn enter(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        self.begin()?;
        self.fresh = false;
        self.first_item(end, expected)
    }

    #[inline(always)]
    fn first_item(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        self.pass_white();
        match self.rest {
            [byte, rest @ ..] if *byte == end => {
                self.rest = rest;
                self.depth -= 1;
                Ok(false)
            }
            [] => Err(self.unexpected(expected)),
            _ => Ok(true),
        }
    }

    #[inline(always)]
    fn more_items(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        match self.rest {
            [b',', rest @ ..] if rest.first().is_some_and(|&next| next > b' ') => {
                self.rest = rest;
                Ok(true)
            }
            [byte, rest @ ..] if *byte == end => {
                self.rest = rest;
                self.depth -= 1;
                Ok(false)
            }
            _ => self.more_items_in_white(end, expected),
        }
    }

    /// [`more_items`](Reader::more_items) where there is white space, or an error.
    #[inline(never)]
    fn more_items_in_white(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        match self.start_token() {
            b',' => {
                self.advance(1);
                self.pass_white();
                Ok(true)
            }
            byte if byte == end => {
                self.advance(1);
                self.depth -= 1;
                Ok(false)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    #[cold]
    fn too_deep(&self) -> Error {
        self.error(ErrorKind::TooDeep {
            limit: self.max_depth,
        })
    }

    /// The string whose opening quote is next.
    #[inline]
    fn string_token(&mut self) -> Result<Cow<'a, str>, Error> {
        match self.plain_string_token() {
            Some(string) => self.utf8(string).map(Cow::Borrowed),
            None => self.unusual_string().map(Cow::Owned),
        }
    }

    /// Consumes the string whose opening quote is next, if it has no escapes. It is not checked to
    /// be UTF-8.
    #[inline]
    fn plain_string_token(&mut self) -> Option<&'a [u8]> {
        // Nearly all strings of messages end within the first word. To look there first saves a
        // seventh of the time of decoding a small message.
        match scan::word_at(self.rest, 1).map(scan::specials) {
            Some(specials) if specials != 0 => self.take_string(1 + scan::first_byte(specials)),
            _ => self.long_plain_string_token(),
        }
    }

    #[inline(never)]
    fn long_plain_string_token(&mut self) -> Option<&'a [u8]> {
        self.take_string(scan::plain_end(self.rest, 1))
    }

    /// Consumes the string whose opening quote is next, if it ends at `end`.
    #[inline]
    fn take_string(&mut self, end: usize) -> Option<&'a [u8]> {
        if self.rest.get(end) != Some(&b'"') {
            return None;
        }
        let string = &self.rest[1..end];
        self.rest = &self.rest[end + 1..];
        Some(string)
    }

    /// The string whose opening quote is next, and which has escapes, or a flaw.
    #[cold]
    fn unusual_string(&mut self) -> Result<String, Error> {
        let mut string = Vec::new();
        let end = scan::unescape(self.rest, 1, &mut string).map_err(|flaw| self.flaw(flaw))?;
        self.advance(end);
        String::from_utf8(string).map_err(|_| self.not_utf8())
    }

    /// Passes over the string whose opening quote is next. It is not checked to be UTF-8.
    #[inline]
    fn pass_string(&mut self) -> Result<(), Error> {
        match self.plain_string_token() {
            Some(_) => Ok(()),
            None => self.pass_unusual_string(),
        }
    }

    fn pass_unusual_string(&mut self) -> Result<(), Error> {
        let end = scan::string_end(self.rest, 1).map_err(|flaw| self.flaw(flaw))?;
        self.advance(end);
        Ok(())
    }

    #[inline]
    fn utf8(&self, string: &'a [u8]) -> Result<&'a str, Error> {
        str::from_utf8(string).map_err(|_| self.not_utf8())
    }

    /// The error that the text is not UTF-8.
    #[cold]
    fn not_utf8(&self) -> Error {
        self.error(ErrorKind::Utf8)
    }

    /// The error that something is wrong with the string that comes next.
    #[cold]
    fn flaw(&self, flaw: Flaw) -> Error {
        self.error_at(self.position() + flaw.at, flaw.what.into())
    }

    /// The error that the grammar wants something else at the current place.
    #[cold]
    fn unexpected(&self, expected: &'static str) -> Error {
        let rest = String::from_utf8_lossy(self.rest);
        let kind = match rest.chars().next() {
            Some(found) => ErrorKind::Unexpected { expected, found },
            None => ErrorKind::UnexpectedEnd,
        };
        self.error_at(self.position(), kind)
    }
}

/// The integer that `text` begins with, and what comes after it, if it is written as digits and
/// nothing else.
#[inline]
fn plain_integer(text: &[u8]) -> Option<(u64, &[u8])> {
    let (value, length) = scan::digits(text, 0);
    let (digits, rest) = text.split_at_checked(length)?;
    let leading_zero = length > 1 && digits[0] == b'0';
    if length == 0 || length > SAFE_DIGITS || leading_zero {
        return None;
    }
    match rest.first() {
        Some(b'.' | b'e' | b'E') => None,
        _ => Some((value, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, decode, decode_with_depth};

    /// What reading the text says; skipping it must say the same.
    fn read(text: impl AsRef<[u8]>) -> Result<Value, Error> {
        let read = decode::<Value>(text.as_ref());
        let skipped = decode::<Raw>(text.as_ref());
        assert_eq!(read.as_ref().err(), skipped.as_ref().err());
        read
    }

    fn string(text: &str) -> String {
        read(text).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn accepts_every_kind_of_value_with_white_space_around() {
        assert_eq!(read("null"), Ok(Value::Null));
        assert_eq!(read(" true\n"), Ok(Value::Bool(true)));
        assert_eq!(read("\t\r\n false "), Ok(Value::Bool(false)));
        assert_eq!(read("\"\""), Ok(Value::from("")));
        assert_eq!(read("[ ]"), Ok(crate::value!([])));
        assert_eq!(read("{ }"), Ok(crate::value!({})));
        assert_eq!(
            read("[1 , [ ] , {\"a\" : [ null ] } ]"),
            Ok(crate::value!([1, [], {"a": [null]}]))
        );
        for number in [
            "0",
            "-0",
            "10",
            "-1",
            "1.0",
            "0.01",
            "1e5",
            "1E+05",
            "1e-5",
            "-12.34e56",
        ] {
            assert!(matches!(read(number), Ok(Value::Number(_))), "{number}");
        }
    }

    #[test]
    fn the_last_of_duplicate_keys_wins_in_a_value() {
        assert_eq!(
            read(r#"{"a":1,"b":2,"\u0061":3}"#),
            Ok(crate::value!({"a": 3, "b": 2}))
        );
    }

    /// One row for each way in which a text can break a rule of the grammar.
    #[test]
    fn refuses_what_the_grammar_does_not_have() {
        let unexpected = |expected, found| ErrorKind::Unexpected { expected, found };
        let end = ErrorKind::UnexpectedEnd;
        let (value, key, colon, digit) = ("a value", "a key", "a colon", "a digit");
        let element = "a comma or the end of the array";
        let member = "a comma or the end of the object";
        let table: &[(&[u8], usize, ErrorKind)] = &[
            (b"", 0, end.clone()),
            (b" \n", 2, end.clone()),
            (b"nul", 3, end.clone()),
            (b"nulL", 3, unexpected("null", 'L')),
            (b"True", 0, unexpected(value, 'T')),
            (b"tru\xc3\xa9", 3, unexpected("true", 'é')),
            (b"falsy", 4, unexpected("false", 'y')),
            (b"NaN", 0, unexpected(value, 'N')),
            (b"Infinity", 0, unexpected(value, 'I')),
            (b"'a'", 0, unexpected(value, '\'')),
            (b"// x", 0, unexpected(value, '/')),
            (b"\x0b1", 0, unexpected(value, '\u{b}')),
            (b"\xc2\xa01", 0, unexpected(value, '\u{a0}')),
            (b"\xef\xbb\xbf1", 0, unexpected(value, '\u{feff}')),
            (b"nullx", 4, ErrorKind::TrailingData),
            (b"1 2", 2, ErrorKind::TrailingData),
            (b"[]]", 2, ErrorKind::TrailingData),
            (b"1\0", 1, ErrorKind::TrailingData),
            (b"-", 1, end.clone()),
            (b"+1", 0, unexpected(value, '+')),
            (b".5", 0, unexpected(value, '.')),
            (b"-.5", 1, unexpected(digit, '.')),
            (b"-x", 1, unexpected(digit, 'x')),
            (b"--1", 1, unexpected(digit, '-')),
            (b"01", 1, ErrorKind::TrailingData),
            (b"-00", 2, ErrorKind::TrailingData),
            (b"[01]", 2, unexpected(element, '1')),
            (b"1.", 2, end.clone()),
            (b"[1.]", 3, unexpected(digit, ']')),
            (b"1.e5", 2, unexpected(digit, 'e')),
            (b"1e", 2, end.clone()),
            (b"1e+", 3, end.clone()),
            (b"1e+-1", 3, unexpected(digit, '-')),
            (b"1e1.5", 3, ErrorKind::TrailingData),
            (b"0x10", 1, ErrorKind::TrailingData),
            (b"1_000", 1, ErrorKind::TrailingData),
            (b"\"", 1, end.clone()),
            (b"\"abcdefghijklmnopqrstuvwxyz", 27, end.clone()),
            (b"\"a\nb\"", 2, ErrorKind::ControlCharacter),
            (b"\"\0\"", 1, ErrorKind::ControlCharacter),
            (b"\"0123456789\x1f\"", 11, ErrorKind::ControlCharacter),
            (b"\"\\", 2, end.clone()),
            (b"\"\\\"", 3, end.clone()),
            (b"\"\\x41\"", 1, ErrorKind::Escape),
            (b"\"\\U0041\"", 1, ErrorKind::Escape),
            (b"\"ab\\\n\"", 3, ErrorKind::Escape),
            (b"\"\\u12\"", 1, ErrorKind::Escape),
            (b"\"\\u+123\"", 1, ErrorKind::Escape),
            (b"\"\\u123g\"", 1, ErrorKind::Escape),
            (b"\"\\u12", 5, end.clone()),
            (b"\"\\ud83d\"", 1, ErrorKind::LoneSurrogate),
            (b"\"\\udca9\"", 1, ErrorKind::LoneSurrogate),
            (b"\"\\udca9\\ud83d\"", 1, ErrorKind::LoneSurrogate),
            (b"\"\\ud83d\\ud83d\"", 1, ErrorKind::LoneSurrogate),
            (b"\"\\ud83d\\u0041\"", 1, ErrorKind::LoneSurrogate),
            (b"\"\\ud83dx\"", 1, ErrorKind::LoneSurrogate),
            (b"\"\\ud83d\\n\"", 1, ErrorKind::LoneSurrogate),
            (b"\"\\ud83d\\udca\"", 7, ErrorKind::Escape),
            (b"\"\\ud83d\\u", 9, end.clone()),
            (b"[", 1, end.clone()),
            (b"[1", 2, end.clone()),
            (b"[1,", 3, end.clone()),
            (b"[,1]", 1, unexpected(value, ',')),
            (b"[1,]", 3, unexpected(value, ']')),
            (b"[1,,2]", 3, unexpected(value, ',')),
            (b"[1 2]", 3, unexpected(element, '2')),
            (b"[1}", 2, unexpected(element, '}')),
            (b"[}", 1, unexpected(value, '}')),
            (b"[1:2]", 2, unexpected(element, ':')),
            (b"]", 0, unexpected(value, ']')),
            (b"{", 1, end.clone()),
            (b"{\"a\"", 4, end.clone()),
            (b"{\"a\":", 5, end.clone()),
            (b"{\"a\":1", 6, end.clone()),
            (b"{\"a\":1,", 7, end.clone()),
            (b"{,\"a\":1}", 1, unexpected(key, ',')),
            (b"{\"a\":1,}", 7, unexpected(key, '}')),
            (b"{\"a\" 1}", 5, unexpected(colon, '1')),
            (b"{\"a\"}", 4, unexpected(colon, '}')),
            (b"{\"a\"::1}", 5, unexpected(value, ':')),
            (b"{\"a\":1 \"b\":2}", 7, unexpected(member, '"')),
            (b"{\"a\":1]", 6, unexpected(member, ']')),
            (b"{]", 1, unexpected(key, ']')),
            (b"{a:1}", 1, unexpected(key, 'a')),
            (b"{1:1}", 1, unexpected(key, '1')),
            (b"{null:1}", 1, unexpected(key, 'n')),
            (b"}", 0, unexpected(value, '}')),
            (b"\x80", 0, ErrorKind::Utf8),
            (b"\"\xff\"", 1, ErrorKind::Utf8),
            (b"\"\xc0\xaf\"", 1, ErrorKind::Utf8),
            (b"\"\xed\xa0\x80\"", 1, ErrorKind::Utf8),
            (b"\"\xf4\x90\x80\x80\"", 1, ErrorKind::Utf8),
            (b"\"ab\xe2\x82\"", 3, ErrorKind::Utf8),
        ];
        for (text, offset, kind) in table {
            let shown = String::from_utf8_lossy(text);
            let error = read(text).expect_err(&shown);
            assert_eq!((error.kind(), error.offset()), (kind, *offset), "{shown}");
            assert!(error.kind().is_syntax());
        }
    }

    #[test]
    fn strings_and_their_escapes() {
        assert_eq!(string(r#""\"\\\/\b\f\n\r\t""#), "\"\\/\u{8}\u{c}\n\r\t");
        assert_eq!(
            string(r#""\u0000\u0041\u00e9\u20ac\u20AC\uFFFF""#),
            "\0Aé€€\u{ffff}"
        );
        assert_eq!(string(r#""\ud83d\udca9\uDBFF\uDFFF""#), "💩\u{10ffff}");
        assert_eq!(
            string("\"a\u{7f}\u{2028}\u{10ffff}é\""),
            "a\u{7f}\u{2028}\u{10ffff}é"
        );
        // Escapes at every place relative to the eight bytes that are looked at together.
        for before in 0..20 {
            let plain = "x".repeat(before);
            assert_eq!(
                string(&format!("\"{plain}\\n{plain}\\\"é{plain}\"")),
                format!("{plain}\n{plain}\"é{plain}")
            );
        }
    }

    #[test]
    fn borrows_what_is_not_escaped() {
        let mut reader = Reader::of_str(r#"{"plain":"text","esc\u0061ped":"te\u0078t"}"#);
        reader.begin_object().unwrap();
        assert!(matches!(
            reader.next_key(),
            Ok(Some(Cow::Borrowed("plain")))
        ));
        assert!(matches!(reader.string(), Ok(Cow::Borrowed("text"))));
        assert!(matches!(reader.next_key(), Ok(Some(Cow::Owned(key))) if key == "escaped"));
        assert!(matches!(reader.string(), Ok(Cow::Owned(text)) if text == "text"));
        assert_eq!(reader.next_key(), Ok(None));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn depth_is_limited_where_the_caller_says() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let objects = |depth: usize| "{\"\":".repeat(depth) + "0" + &"}".repeat(depth);
        for (max_depth, allowed) in [
            (0, 0),
            (1, 1),
            (DEFAULT_DEPTH, 128),
            (MAX_DEPTH, 1024),
            (usize::MAX, 1024),
        ] {
            for (fits, too_deep) in [
                (nested(allowed), nested(allowed + 1)),
                (objects(allowed), objects(allowed + 1)),
            ] {
                if allowed > 0 {
                    let value: Value = decode_with_depth(fits.as_bytes(), max_depth).unwrap();
                    assert_eq!(value.to_string(), fits);
                    let raw: Raw = decode_with_depth(fits.as_bytes(), max_depth).unwrap();
                    assert_eq!(raw.decode(), Ok(value));
                }
                let kind = ErrorKind::TooDeep { limit: allowed };
                let error = decode_with_depth::<Value>(too_deep.as_bytes(), max_depth).unwrap_err();
                assert_eq!(error.kind(), &kind);
                let error = decode_with_depth::<Raw>(too_deep.as_bytes(), max_depth).unwrap_err();
                assert_eq!(error.kind(), &kind);
            }
        }
        assert_eq!(decode_with_depth(b"7", 0), Ok(7));
        assert!(read(nested(DEFAULT_DEPTH)).is_ok());
    }

    #[test]
    fn half_a_million_brackets_are_an_error_and_no_overflow() {
        for bracket in ["[", "{\"a\":", "[{\"a\":[", "]", "}"] {
            let text = bracket.repeat(500_000);
            for max_depth in [DEFAULT_DEPTH, usize::MAX] {
                assert!(decode_with_depth::<Value>(text.as_bytes(), max_depth).is_err());
                assert!(decode_with_depth::<Raw>(text.as_bytes(), max_depth).is_err());
            }
        }
    }

    #[test]
    fn siblings_are_not_depth() {
        let text = format!("[{}[]]", "[{\"a\":[]}],".repeat(5_000));
        assert!(decode_with_depth::<Value>(text.as_bytes(), 4).is_ok());
        assert!(decode_with_depth::<Raw>(text.as_bytes(), 4).is_ok());
        assert!(decode_with_depth::<Value>(text.as_bytes(), 3).is_err());
    }

    #[test]
    fn a_caller_who_asks_past_the_end_gets_an_error() {
        for text in ["[]]", "{}}", "[]", ""] {
            let mut reader = Reader::of_str(text);
            while reader.skip_value().is_ok() {}
            assert!(reader.next_element().is_err(), "{text}");
            assert!(reader.next_key().is_err(), "{text}");
        }
    }

    #[test]
    fn raw_values_keep_their_text() {
        let text = "[1, {\"a\" : \"\\u0061\"} ,2.50]";
        let raws: Vec<Raw> = decode(text.as_bytes()).unwrap();
        assert_eq!(
            raws.iter().map(Raw::as_str).collect::<Vec<_>>(),
            ["1", "{\"a\" : \"\\u0061\"}", "2.50"]
        );
        assert_eq!(raws[1].decode(), Ok(crate::value!({"a": "a"})));
        assert_eq!(crate::to_string(&raws), "[1,{\"a\" : \"\\u0061\"},2.50]");
        assert_eq!(Raw::new(" 1 ").unwrap().as_str(), "1");
        assert!(Raw::new("1 2").is_err() && Raw::new("[01]").is_err() && Raw::new("").is_err());
    }
}
