//! Skipping values: they are checked, and not kept.

use super::{MAX_DEPTH, Reader, plain_integer};
use crate::{Error, Raw, scan};

impl<'a> Reader<'a> {
    /// Consumes and checks the next value, of any kind.
    pub fn skip_value(&mut self) -> Result<(), Error> {
        self.raw().map(|_| ())
    }

    /// Consumes and checks the next value, and returns it as its text.
    pub fn raw(&mut self) -> Result<Raw<'a>, Error> {
        self.start_token();
        let token = self.token;
        self.pass_value()?;
        self.token = token;
        let text = self.utf8(&self.text[self.token_offset()..self.position()])?;
        Ok(Raw { text })
    }

    /// Consumes the next value. Does not check that its strings are UTF-8.
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
        // One bit for each open level: whether it is an object.
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
            // Leave every array and object that ends here, up to the next value.
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

    fn pass_key(&mut self) -> Result<(), Error> {
        self.start_key()?;
        self.pass_string()?;
        self.colon()
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

    /// Consumes the string whose opening quote is next. Does not check that it is UTF-8.
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
}
