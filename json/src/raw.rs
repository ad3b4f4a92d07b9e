//! Values kept as their text.

use crate::{Decode, Encode, Error, MAX_DEPTH, Reader, Writer};

/// One checked JSON value, kept as its text, to decode it later or to pass it on unchanged.
///
/// The text has no white space around the value. White space inside stays, line feeds included, so
/// a value that was read from one line can be written to one line, and others perhaps not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Raw<'a> {
    /// Checked by [`Reader::raw`].
    pub(crate) text: &'a str,
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

    /// Decodes the value. Positions in errors count from its start.
    pub fn decode<T: Decode<'a>>(&self) -> Result<T, Error> {
        // The depth was checked when the value was read.
        let mut reader = Reader::with_depth(self.text.as_bytes(), MAX_DEPTH);
        T::decode(&mut reader)
    }
}

impl<'a> Decode<'a> for Raw<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Raw<'a>, Error> {
        reader.raw()
    }
}

impl Encode for Raw<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.value_text(self.text);
    }
}
