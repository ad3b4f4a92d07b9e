//! Lines of input, of bounded length.

use std::io::{self, Read};

/// How much is read at a time.
const CHUNK: usize = 64 << 10;

/// A buffer that grew beyond this for one long line is given back to the system after it.
const KEEP: usize = 4 << 20;

/// Splits what it reads into lines, and never holds more of one than the limit.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    source: R,
    limit: usize,
    /// What was read; the part from `start` on is not handed out yet.
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line, without its end.
    Whole(&'a [u8]),
    /// A line longer than the limit was here, of so many bytes. It is gone.
    TooLong(u64),
}

impl<R: Read> Lines<R> {
    /// Lines of up to `limit` bytes, not counting their ends.
    pub(crate) fn new(source: R, limit: usize) -> Self {
        Self {
            source,
            limit,
            buffer: Vec::new(),
            start: 0,
            ended: false,
        }
    }

    /// The next line; nothing at the end of input. What comes after the last line's end is a line
    /// too, if it is not empty.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.forget();
        // Everything before this place was searched for a line's end.
        let mut searched = 0;
        loop {
            let end = self.buffer[searched..].iter().position(|b| *b == b'\n');
            if let Some(offset) = end {
                let end = searched + offset;
                if end > self.limit {
                    self.start = end + 1;
                    return Ok(Some(Line::TooLong(end as u64)));
                }
                self.start = end + 1;
                return Ok(Some(Line::Whole(&self.buffer[..end])));
            }
            searched = self.buffer.len();
            if searched > self.limit {
                return self.skip().map(Some);
            }
            if self.ended {
                self.start = searched;
                return Ok((searched > 0).then(|| Line::Whole(&self.buffer)));
            }
            self.read()?;
        }
    }

    /// Drops what was handed out.
    fn forget(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.capacity() > KEEP && self.buffer.len() <= CHUNK {
            self.buffer.shrink_to(CHUNK);
        }
    }

    /// Drops the line at hand, of which the end is not in sight.
    fn skip(&mut self) -> io::Result<Line<'_>> {
        let mut length = 0;
        loop {
            let end = self.buffer.iter().position(|b| *b == b'\n');
            length += end.unwrap_or(self.buffer.len()) as u64;
            if let Some(end) = end {
                self.start = end + 1;
                return Ok(Line::TooLong(length));
            }
            self.buffer.clear();
            if self.ended {
                return Ok(Line::TooLong(length));
            }
            self.read()?;
        }
    }

    /// Reads once, however little comes.
    fn read(&mut self) -> io::Result<()> {
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let read = loop {
            match self.source.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out so many bytes at a time.
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
                Line::Whole(line) => Ok(String::from_utf8(line.to_vec()).unwrap()),
                Line::TooLong(length) => Err(length),
            });
        }
        all
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
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
    fn the_end_of_input_ends_a_line() {
        assert_eq!(all("", 5, 1), []);
        assert_eq!(all("a\n", 5, 1), [Ok("a".into())]);
        assert_eq!(all("123456", 5, 2), [Err(6)]);
    }

    #[test]
    fn a_long_line_is_not_held() {
        let mut lines = Lines::new(
            io::repeat(b'x').take(100 << 20).chain(&b"\nok"[..]),
            1 << 20,
        );
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong(100 << 20)));
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"ok")));
        assert!(lines.buffer.capacity() <= KEEP);
    }
}
