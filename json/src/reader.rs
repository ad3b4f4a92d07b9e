//! The pull reader: one token at a time, from a slice.

mod skip;

use std::borrow::Cow;
use std::mem;

use crate::error::clip;
use crate::numeral::Numeral;
use crate::scan::{self, Flaw, SAFE_DIGITS};
use crate::{Error, ErrorKind, Kind, Number};

/// How deep arrays and objects may nest unless the caller says otherwise.
pub const DEFAULT_DEPTH: usize = 128;

/// How deep arrays and objects may nest at most, whatever the caller says.
///
/// What is decoded is later dropped, cloned and compared by plain recursion; this bounds it.
pub const MAX_DEPTH: usize = 1024;

const AFTER_ELEMENT: &str = "a comma or the end of the array";
const AFTER_MEMBER: &str = "a comma or the end of the object";

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
    #[doc(hidden)]
    #[inline(always)]
    pub fn enter_object(&mut self) -> Result<bool, Error> {
        match self.start_token() {
            b'{' => self.enter(b'}', AFTER_MEMBER),
            _ => Err(self.wrong_kind("an object")),
        }
    }

    /// After a member: whether another follows, having consumed the comma between them; if not, the
    /// end of the object is consumed.
    #[doc(hidden)]
    #[inline]
    pub fn more_members(&mut self) -> Result<bool, Error> {
        self.more_items(b'}', AFTER_MEMBER)
    }

    /// Consumes a key and its colon.
    #[doc(hidden)]
    pub fn key(&mut self) -> Result<Cow<'a, str>, Error> {
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
    #[doc(hidden)]
    #[inline]
    pub fn take_key<const N: usize>(&mut self, text: &[u8; N]) -> bool {
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
    #[doc(hidden)]
    #[inline]
    pub fn take<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The byte number of what comes next.
    #[doc(hidden)]
    #[inline]
    pub fn position(&self) -> usize {
        self.text.len() - self.rest.len()
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
        Error::at(self.text, offset, kind)
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
    #[doc(hidden)]
    #[inline]
    pub fn start_token(&mut self) -> u8 {
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

    #[inline]
    fn start_key(&mut self) -> Result<(), Error> {
        match self.start_token() {
            b'"' => Ok(()),
            _ => Err(self.unexpected("a key")),
        }
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
mod tests;
