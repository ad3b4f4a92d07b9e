//! The standard streams: reads and writes that wait, and how commands print.

use std::fmt;
use std::io::{self, Read, StdoutLock, Write};
use std::thread;
use std::time::Duration;

/// The first and the longest pause before a read or write that was not possible is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// Waits until a read or write is possible. A process that inherits a non-blocking pipe or terminal
/// would otherwise fail with "resource temporarily unavailable".
#[derive(Debug)]
pub(crate) struct Waiting<T>(pub(crate) T);

impl<T: Read> Read for Waiting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        when_possible(|| self.0.read(buffer))
    }
}

impl<T: Write> Write for Waiting<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        when_possible(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        when_possible(|| self.0.flush())
    }
}

fn when_possible<R>(mut attempt: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    let (mut pause, longest) = PAUSES;
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(pause);
                pause = longest.min(pause * 2);
            }
            result => return result,
        }
    }
}

/// The stdout of a command. A closed pipe takes everything: its reader has seen enough, and the
/// exit status does not depend on it.
#[derive(Debug)]
pub struct Stdout(Waiting<StdoutLock<'static>>);

/// Locks stdout for a command.
#[must_use]
pub fn stdout() -> Stdout {
    Stdout(Waiting(io::stdout().lock()))
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_closed(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_closed(self.0.flush(), ())
    }
}

fn unless_closed<R>(result: io::Result<R>, closed: R) -> io::Result<R> {
    result.or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(closed),
        kind => Err(io::Error::new(
            kind,
            format!("cannot write to stdout: {error}"),
        )),
    })
}

/// Prints a line to stderr. If that fails too, only the exit status tells.
pub fn print_error(line: impl fmt::Display) {
    let _ = Waiting(io::stderr().lock()).write_all(format!("{line}\n").as_bytes());
}

/// Shortens a text of any length for a message to people.
pub(crate) fn clipped(text: &str) -> String {
    const LENGTH: usize = 200;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails in turn with both errors that are no failures.
    struct Unready<T>(T, u32);

    impl<T> Unready<T> {
        fn ready(&mut self) -> io::Result<()> {
            self.1 += 1;
            match self.1 % 3 {
                1 => Err(io::ErrorKind::WouldBlock.into()),
                2 => Err(io::ErrorKind::Interrupted.into()),
                _ => Ok(()),
            }
        }
    }

    impl Read for Unready<&[u8]> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.ready()?;
            self.0.read(buffer)
        }
    }

    impl Write for Unready<Vec<u8>> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.ready()?;
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.ready()
        }
    }

    #[test]
    fn unready_streams_are_tried_again() {
        let mut read = Vec::new();
        let mut source = Waiting(Unready(&b"some bytes"[..], 0));
        source.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"some bytes");

        let mut sink = Waiting(Unready(Vec::new(), 0));
        sink.write_all(b"some bytes").unwrap();
        sink.flush().unwrap();
        assert_eq!(sink.0.0, b"some bytes");
    }

    #[test]
    fn closed_pipe_takes_everything() {
        let fail = |kind: io::ErrorKind| unless_closed(Err(kind.into()), 7);
        assert_eq!(fail(io::ErrorKind::BrokenPipe).unwrap(), 7);
        let full = fail(io::ErrorKind::StorageFull).unwrap_err().to_string();
        assert!(full.starts_with("cannot write to stdout: "), "{full}");
    }

    #[test]
    fn other_errors_are_returned() {
        let mut attempts = 0;
        let result = when_possible(|| -> io::Result<()> {
            attempts += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        });
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(attempts, 1);
    }
}
