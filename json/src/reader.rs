//! The pull reader: one token at a time, from a slice.

mod skip;

use std::borrow::Cow;

use crate::error::clip;
use crate::numeral::Numeral;
use crate::scan::{self, Flaw, SAFE_DIGITS};
use crate::{Error, ErrorKind, Kind, Number};

/// The default limit for the depth of arrays and objects.
pub const DEFAULT_DEPTH: usize = 128;

/// The highest limit for the depth of arrays and objects; higher ones are reduced to it.
///
/// Decoded values are dropped, cloned and compared recursively; this limits the recursion.
pub const MAX_DEPTH: usize = 1024;

const AFTER_ELEMENT: &str = "a comma or the end of the array";
const AFTER_MEMBER: &str = "a comma or the end of the object";

/// Reads one JSON text token by token.
///
/// To read an object, call [`enter_object`](Reader::enter_object); for each member, as long as that
/// and then [`more_members`](Reader::more_members) return true, read its [`key`](Reader::key) and
/// exactly one value. Arrays likewise. After an error the position of the reader is unspecified;
/// drop it.
///
/// ```
/// let mut reader = json::Reader::new(br#"{"a": [1, 2], "b": true}"#);
/// let mut sum = 0;
/// let mut more = reader.enter_object()?;
/// while more {
///     if reader.key()? == "a" {
///         let mut more = reader.enter_array()?;
///         while more {
///             sum += reader.number()?.as_i64().unwrap_or(0);
///             more = reader.more_elements()?;
///         }
///     } else {
///         reader.skip_value()?;
///     }
///     more = reader.more_members()?;
/// }
/// reader.end()?;
/// assert_eq!(sum, 3);
/// # Ok::<(), json::Error>(())
/// ```
///
/// A clone reads on independently from the same position, which is the way to look ahead.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// UTF-8 is checked string by string: outside of strings only ASCII is allowed anyway, and
    /// most strings are a few bytes long. Checking all of a small message first takes a
    /// quarter of the time of decoding it.
    text: &'a [u8],
    /// The part of `text` that is still to be read.
    rest: &'a [u8],
    /// The length of `rest` at the start of the latest token.
    token: usize,
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
            depth: 0,
            max_depth: max_depth.min(MAX_DEPTH),
        }
    }

    /// The kind of the next value, which is not consumed.
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

    /// Consumes a number and returns its parts. If the next value is not a number, the error says
    /// that `expected` was expected.
    #[inline]
    pub(crate) fn numeral(&mut self, expected: &'static str) -> Result<Numeral<'a>, Error> {
        match self.start_token() {
            b'-' | b'0'..=b'9' => self.numeral_token(),
            _ => Err(self.wrong_kind(expected)),
        }
    }

    /// Consumes a number and returns its value, if it is written with digits only, at most 19, and
    /// fits. Others are left to [`numeral`](Reader::numeral).
    ///
    /// Without this, decoding a small message takes 60 % longer.
    #[inline]
    pub(crate) fn plain_unsigned<T: TryFrom<u64>>(&mut self) -> Option<T> {
        self.start_token();
        let (value, rest) = plain_integer(self.rest)?;
        let value = T::try_from(value).ok()?;
        self.rest = rest;
        Some(value)
    }

    /// Like [`plain_unsigned`](Reader::plain_unsigned), with an optional minus sign before the
    /// digits.
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

    /// Consumes a string, borrowed from the input unless it has escapes.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        match self.start_token() {
            b'"' => self.string_token(),
            _ => Err(self.wrong_kind("a string")),
        }
    }

    /// Consumes a string without escapes; an error if it has any.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Result<&'a str, Error> {
        if self.start_token() == b'"'
            && let Some(string) = self.plain_string_token()
        {
            return self.utf8(string);
        }
        // Find out which error.
        self.string()?;
        Err(self.error(ErrorKind::EscapedString))
    }

    /// Consumes `null` and returns true, if it comes next.
    #[inline]
    pub(crate) fn take_null(&mut self) -> Result<bool, Error> {
        if self.start_token() != b'n' {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    /// Consumes the opening bracket of an array, and its end if it is empty; an error if it nests
    /// too deep. Returns whether an element follows, which must be read next.
    #[inline(always)]
    pub fn enter_array(&mut self) -> Result<bool, Error> {
        match self.start_token() {
            b'[' => self.enter(b']', AFTER_ELEMENT),
            _ => Err(self.wrong_kind("an array")),
        }
    }

    /// After an element, consumes the comma or the end of the array. Returns whether an element
    /// follows, which must be read next.
    #[inline]
    pub fn more_elements(&mut self) -> Result<bool, Error> {
        self.more_items(b']', AFTER_ELEMENT)
    }

    /// Consumes the opening brace of an object, and its end if it is empty; an error if it nests too
    /// deep. Returns whether a member follows, which must be read next.
    #[inline(always)]
    pub fn enter_object(&mut self) -> Result<bool, Error> {
        match self.start_token() {
            b'{' => self.enter(b'}', AFTER_MEMBER),
            _ => Err(self.wrong_kind("an object")),
        }
    }

    /// After a member, consumes the comma or the end of the object. Returns whether a member
    /// follows, which must be read next.
    #[inline]
    pub fn more_members(&mut self) -> Result<bool, Error> {
        self.more_items(b'}', AFTER_MEMBER)
    }

    /// Consumes a key and its colon. The value must be read next, and the caller must check for
    /// duplicate keys.
    pub fn key(&mut self) -> Result<Cow<'a, str>, Error> {
        self.start_key()?;
        let token = self.token;
        let key = self.string_token()?;
        self.colon()?;
        self.token = token;
        Ok(key)
    }

    /// Consumes the next key and its colon and returns true, if they are spelled as in `text`,
    /// whose first byte is the comma that was already consumed. Other spellings of the key
    /// (with a space before the colon, or with escapes) are left to [`key`](Reader::key).
    #[doc(hidden)]
    #[inline]
    pub fn take_key<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        self.take(&text[1..])
    }

    /// Consumes `text` and returns true, if it comes next.
    #[doc(hidden)]
    #[inline]
    pub fn take(&mut self, text: &[u8]) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.token = self.rest.len();
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The offset of the next byte.
    #[doc(hidden)]
    #[inline]
    pub fn position(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Checks that only white space follows.
    #[inline]
    pub fn end(&mut self) -> Result<(), Error> {
        self.start_token();
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(self.error(ErrorKind::TrailingData)),
        }
    }

    /// The offset of the latest token: of the value or key that was read last, or of the bracket or
    /// brace that opened it.
    #[inline]
    pub fn token_offset(&self) -> usize {
        self.text.len() - self.token
    }

    /// An error about the latest token.
    pub fn error(&self, kind: ErrorKind) -> Error {
        self.error_at(self.token_offset(), kind)
    }

    /// An error with this message about the latest token.
    pub fn custom_error(&self, message: impl Into<String>) -> Error {
        self.error(ErrorKind::Custom(message.into()))
    }

    /// An error about the token at `offset`, a former [`token_offset`](Reader::token_offset).
    ///
    /// Takes time linear in the text: line, column and path are computed only now. If the text is
    /// not UTF-8, that is the error instead of `kind`.
    #[cold]
    pub fn error_at(&self, offset: usize, kind: ErrorKind) -> Error {
        Error::at(self.text, offset, kind)
    }

    /// The error that the latest token, a number of this text, is not what was expected.
    #[cold]
    pub(crate) fn out_of_range(&self, expected: &'static str, text: &[u8]) -> Error {
        let found = clip(&String::from_utf8_lossy(text)).to_owned();
        self.error(ErrorKind::OutOfRange { expected, found })
    }

    /// The error that the object at offset `object` lacks this field.
    #[cold]
    pub fn missing_field(&self, object: usize, name: &'static str) -> Error {
        self.error_at(object, ErrorKind::MissingField(name))
    }

    /// The error that the latest token is the same key a second time.
    #[cold]
    pub fn duplicate_field(&self, name: &str) -> Error {
        self.error(ErrorKind::DuplicateField(clip(name).to_owned()))
    }

    /// The error that the latest token is not the name of a variant.
    #[cold]
    pub fn unknown_variant(&self, name: &str) -> Error {
        self.error(ErrorKind::UnknownVariant(clip(name).to_owned()))
    }

    /// The error that the next value is not of the expected kind, or that there is none.
    #[cold]
    pub fn wrong_kind(&mut self, expected: &'static str) -> Error {
        match self.peek() {
            Ok(found) => self.error(ErrorKind::WrongKind { expected, found }),
            Err(error) => error,
        }
    }

    /// The next byte, or 0 at the end of the text; no token starts with 0.
    #[inline]
    fn byte(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    /// Consumes `count` bytes.
    #[inline]
    fn advance(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }

    /// Skips white space (RFC 8259 section 2), and returns the first byte of the next token.
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

    /// The part of [`pass_white`](Reader::pass_white) that compact texts do not need; out of line,
    /// so that the other part is inlined.
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
        let pairs = self.rest.iter().zip(word.as_bytes());
        let length = pairs.take_while(|(found, wanted)| found == wanted).count();
        self.advance(length);
        if length == word.len() {
            Ok(())
        } else {
            Err(self.unexpected(word))
        }
    }

    /// Consumes the number that comes next.
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

    /// Consumes an opening bracket.
    #[inline(always)]
    fn enter(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        if self.depth == self.max_depth {
            return Err(self.too_deep());
        }
        self.depth += 1;
        self.advance(1);
        self.pass_white();
        match self.leave(end) {
            true => Ok(false),
            false if self.rest.is_empty() => Err(self.unexpected(expected)),
            false => Ok(true),
        }
    }

    #[inline(always)]
    fn more_items(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        if let [b',', rest @ ..] = self.rest
            && rest.first().is_some_and(|&next| next > b' ')
        {
            self.rest = rest;
            return Ok(true);
        }
        match self.leave(end) {
            true => Ok(false),
            false => self.more_items_in_white(end, expected),
        }
    }

    /// [`more_items`](Reader::more_items) with white space, or with an error.
    #[inline(never)]
    fn more_items_in_white(&mut self, end: u8, expected: &'static str) -> Result<bool, Error> {
        match self.start_token() {
            b',' => {
                self.advance(1);
                self.pass_white();
                Ok(true)
            }
            _ if self.leave(end) => Ok(false),
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Consumes the closing bracket of an array or object and returns true, if it comes next.
    #[inline(always)]
    fn leave(&mut self, end: u8) -> bool {
        match self.rest {
            [byte, rest @ ..] if *byte == end && self.depth > 0 => {
                self.rest = rest;
                self.depth -= 1;
                true
            }
            _ => false,
        }
    }

    #[cold]
    fn too_deep(&self) -> Error {
        self.error(ErrorKind::TooDeep {
            limit: self.max_depth,
        })
    }

    /// Consumes the string whose opening quote is next.
    #[inline]
    fn string_token(&mut self) -> Result<Cow<'a, str>, Error> {
        match self.plain_string_token() {
            Some(string) => self.utf8(string).map(Cow::Borrowed),
            None => self.unusual_string().map(Cow::Owned),
        }
    }

    /// Consumes the string whose opening quote is next, if it has no escapes. Does not check that
    /// it is UTF-8.
    #[inline]
    fn plain_string_token(&mut self) -> Option<&'a [u8]> {
        // Nearly all strings of messages end within the first word. Looking there first saves a
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

    /// Consumes the string whose opening quote is next, which has escapes or a flaw.
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

    /// The error for a flaw in the string that comes next.
    #[cold]
    fn flaw(&self, flaw: Flaw) -> Error {
        self.error_at(self.position() + flaw.at, flaw.kind)
    }

    /// The error that the grammar does not allow what comes next.
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

/// The integer at the start of `text` and the rest after it, if the number is written with digits
/// only.
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
