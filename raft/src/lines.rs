//! Input lines of bounded length.

use std::io::{self, BufRead as _, BufReader, Read};

/// The bytes of one read.
const CHUNK: usize = 64 << 10;

/// A buffer that grew beyond this for one long line is shrunk afterwards.
const KEEP: usize = 4 << 20;

/// Splits a stream into lines, and never holds more of a line than the limit.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    source: BufReader<R>,
    limit: usize,
    /// The last line.
    line: Vec<u8>,
    ended: bool,
}

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RawLine<'a> {
    /// A line without its end.
    Whole(&'a [u8]),
    /// A line longer than the limit was dropped. This is its length in bytes.
    TooLong(u64),
}

impl<R: Read> Lines<R> {
    /// Lines of up to `limit` bytes without their ends.
    pub(crate) fn new(source: R, limit: usize) -> Self {
        Self {
            source: BufReader::with_capacity(CHUNK, source),
            limit,
            line: Vec::new(),
            ended: false,
        }
    }

    /// The stream.
    pub(crate) fn stream(&mut self) -> &mut R {
        self.source.get_mut()
    }

    /// Changes the limit for the lines that are not returned yet.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next line; `None` at the end of input. A last line needs no end.
    pub(crate) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        if self.line.capacity() > KEEP {
            self.line.shrink_to(CHUNK);
        }
        if self.ended {
            return Ok(None);
        }
        let mut bounded = self.source.by_ref().take(self.limit as u64 + 1);
        bounded.read_until(b'\n', &mut self.line)?;
        if self.line.pop_if(|last| *last == b'\n').is_none() {
            if self.line.len() > self.limit {
                return self.skip().map(Some);
            }
            self.ended = true;
            if self.line.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(RawLine::Whole(&self.line)))
    }

    /// Drops the rest of a line that is longer than the limit.
    fn skip(&mut self) -> io::Result<RawLine<'_>> {
        let mut length = self.line.len();
        loop {
            let chunk = self.source.fill_buf()?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let rest = end.unwrap_or(chunk.len());
            self.ended = chunk.is_empty();
            self.source.consume(rest + usize::from(end.is_some()));
            length += rest;
            if end.is_some() || self.ended {
                return Ok(RawLine::TooLong(length as u64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns this many bytes per read.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(length);
            buffer[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    fn all(text: &str, limit: usize, step: usize) -> Vec<Result<String, u64>> {
        let mut lines = Lines::new(Dribble(text.as_bytes(), step), limit);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                RawLine::Whole(line) => Ok(String::from_utf8(line.to_vec()).unwrap()),
                RawLine::TooLong(length) => Err(length),
            });
        }
        all
    }

    #[test]
    fn lines_do_not_depend_on_the_size_of_reads() {
        let text = "one\n\n12345\n123456\ntwo\n1234567890\nthree";
        for step in 1..=text.len() {
            let expected = [
                Ok("one".into()),
                Ok(String::new()),
                Ok("12345".into()),
                Err(6),
                Ok("two".into()),
                Err(10),
                Ok("three".into()),
            ];
            assert_eq!(all(text, 5, step), expected, "{step} at a time");
        }
    }

    #[test]
    fn end_of_input_ends_a_line() {
        assert_eq!(all("", 5, 1), []);
        assert_eq!(all("a\n", 5, 1), [Ok("a".into())]);
        assert_eq!(all("123456", 5, 2), [Err(6)]);
    }

    #[test]
    fn long_line_is_not_held() {
        let mut lines = Lines::new(
            io::repeat(b'x').take(100 << 20).chain(&b"\nok"[..]),
            1 << 20,
        );
        assert_eq!(lines.next().unwrap(), Some(RawLine::TooLong(100 << 20)));
        assert_eq!(lines.next().unwrap(), Some(RawLine::Whole(b"ok")));
        assert!(lines.line.capacity() <= KEEP);
    }
}
