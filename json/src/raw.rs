//! Values that are kept as their text.

use crate::{Decode, Encode, Error, MAX_DEPTH, Reader, Writer};

/// One checked JSON value, kept as its text, to be decoded later or passed on as it is.
///
/// Its text is just the value, without white space around it. White space inside stays, line feeds
/// too: what was read from one line can be written to one line, other texts maybe not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Raw<'a> {
    text: &'a str,
}

impl<'a> Raw<'a> {
    /// Checks that `text` is one JSON value, nested no deeper than
    /// [`DEFAULT_DEPTH`](crate::DEFAULT_DEPTH).
    pub fn new(text: &'a str) -> Result<Raw<'a>, Error> {
        crate::decode(text.as_bytes())
    }

    /// The text of the value.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Decodes the value. Places in errors count from the start of this value.
    pub fn decode<T: Decode<'a>>(&self) -> Result<T, Error> {
        // Its depth was checked, against whatever limit, when it was read.
        let mut reader = Reader::with_depth(self.text.as_bytes(), MAX_DEPTH);
        T::decode(&mut reader)
    }
}

impl<'a> Decode<'a> for Raw<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Raw<'a>, Error> {
        reader.raw()
    }
}

impl<'a> Reader<'a> {
    /// Consumes and checks the next value, and returns it as its text.
    pub fn raw(&mut self) -> Result<Raw<'a>, Error> {
        self.checked_text().map(|text| Raw { text })
    }
}

impl Writer<'_> {
    /// Writes a value as it stands.
    pub fn raw(&mut self, value: Raw<'_>) {
        self.token(value.text.as_bytes());
    }
}

/// Verbatim.
impl Encode for Raw<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.raw(*self);
    }
}
