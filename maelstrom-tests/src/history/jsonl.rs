//! A history as a file: one JSON object a line.

use std::fmt;
use std::io::{self, BufRead, Read};

use json::Value;

use super::{Call, ErrorCode, Event, History, Impossible, Outcome, Process, Stage};

/// The longest line of a history that is read, in bytes, without its line break. A client's
/// request is at most 1 MiB, and JSON writes no byte of it with more than six.
pub const LINE_BYTES_MAX: usize = 8 << 20;

impl History {
    /// Reads a history, line by line. The last line need not end in a line break, but its JSON
    /// must be whole.
    ///
    /// # Errors
    /// At the first line that cannot be read, or that is not an event which can have happened
    /// then.
    pub fn read(mut input: impl BufRead) -> Result<Self, ReadError> {
        let mut history = Self::new();
        let mut bytes = Vec::new();
        let mut line = 0;
        loop {
            line += 1;
            bytes.clear();
            // One byte more than the longest line with its break, so that what is too long shows.
            let mut limited = input.by_ref().take(LINE_BYTES_MAX as u64 + 2);
            let added = limited
                .read_until(b'\n', &mut bytes)
                .map_err(Problem::Io)
                .and_then(|_| {
                    if bytes.is_empty() {
                        return Ok(false);
                    }
                    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
                    let event = Event::from_line(text)?;
                    history.record(event).map_err(Problem::Impossible)?;
                    Ok(true)
                });
            match added {
                Ok(true) => {}
                Ok(false) => return Ok(history),
                Err(problem) => return Err(ReadError { line, problem }),
            }
        }
    }
}

impl Event {
    /// The event as one line of a history, without a line break.
    pub fn to_line(&self) -> String {
        let (kind, error) = match &self.stage {
            Stage::Invoke => ("invoke", None),
            Stage::Complete(outcome) => match outcome {
                Outcome::ReadOk(_) | Outcome::Done => ("ok", None),
                Outcome::Failed(code) => ("fail", Some(code.0)),
                Outcome::Unknown(code) => ("info", Some(code.0)),
            },
        };
        let value = match (&self.call, &self.stage) {
            (Call::Read, Stage::Complete(Outcome::ReadOk(value))) | (Call::Write(value), _) => {
                value.clone()
            }
            (Call::Read, _) => Value::Null,
            (Call::Cas { from, to }, _) => Value::Array(vec![from.clone(), to.clone()]),
        };
        json::to_string(&Line {
            process: self.process.0,
            kind: kind.to_owned(),
            f: self.call.name().to_owned(),
            key: self.key.clone(),
            value,
            error,
            time: self.time_ns,
        })
    }

    /// Reads one line of a history, without its line break.
    ///
    /// # Errors
    /// If it is longer than [`LINE_BYTES_MAX`] or is not such a line.
    pub fn from_line(line: &[u8]) -> Result<Self, Problem> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Problem::TooLong);
        }
        let line: Line = json::decode(line).map_err(Problem::Json)?;
        let call = match line.f.as_str() {
            "read" => Call::Read,
            "write" => Call::Write(line.value.clone()),
            "cas" => match &line.value {
                Value::Array(pair) if let [from, to] = pair.as_slice() => Call::Cas {
                    from: from.clone(),
                    to: to.clone(),
                },
                _ => return Err(Problem::NotAPair),
            },
            _ => return Err(Problem::UnknownFunction(line.f)),
        };
        let is_read = matches!(call, Call::Read);
        let code = line.error.map(ErrorCode);
        let stage = match (line.kind.as_str(), code) {
            ("invoke", None) => Stage::Invoke,
            ("ok", None) if is_read => Stage::Complete(Outcome::ReadOk(line.value.clone())),
            ("ok", None) => Stage::Complete(Outcome::Done),
            ("fail", Some(code)) => Stage::Complete(Outcome::Failed(code)),
            ("info", Some(code)) => Stage::Complete(Outcome::Unknown(code)),
            ("invoke" | "ok", Some(_)) => return Err(Problem::ErrorWithoutFailure),
            ("fail" | "info", None) => return Err(Problem::FailureWithoutError),
            _ => return Err(Problem::UnknownType(line.kind)),
        };
        let returned = matches!(stage, Stage::Complete(Outcome::ReadOk(_)));
        if is_read && !returned && line.value != Value::Null {
            return Err(Problem::ReadNamesValue);
        }
        Ok(Self {
            process: Process(line.process),
            time_ns: line.time,
            key: line.key,
            call,
            stage,
        })
    }
}

/// Why a history cannot be read.
#[derive(Debug)]
pub struct ReadError {
    /// The number of the offending line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// What is wrong with a line.
#[derive(Debug)]
pub enum Problem {
    /// It could not be read from its file.
    Io(io::Error),
    /// It is longer than [`LINE_BYTES_MAX`].
    TooLong,
    /// It is not JSON, or a member is missing or of another type. A line that was cut off is so.
    Json(json::Error),
    /// `type` is something else than invoke, ok, fail or info.
    UnknownType(String),
    /// `f` is something else than read, write or cas.
    UnknownFunction(String),
    /// The `value` of a cas is something else than `[from, to]`.
    NotAPair,
    /// A read that did not return has a `value` other than null.
    ReadNamesValue,
    /// `error` on an invoke or ok.
    ErrorWithoutFailure,
    /// No `error` on a fail or info.
    FailureWithoutError,
    /// It cannot have happened after the lines before it.
    Impossible(Impossible),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::TooLong => write!(f, "longer than {LINE_BYTES_MAX} bytes"),
            Self::Json(error) => write!(f, "{error}"),
            Self::UnknownType(kind) => {
                write!(f, "type is {kind:?}; it must be invoke, ok, fail or info")
            }
            Self::UnknownFunction(name) => {
                write!(f, "f is {name:?}; it must be read, write or cas")
            }
            Self::NotAPair => write!(f, "the value of a cas must be [from, to]"),
            Self::ReadNamesValue => {
                write!(
                    f,
                    "a read has a value other than null although it is not ok"
                )
            }
            Self::ErrorWithoutFailure => write!(f, "error on an event that is no fail or info"),
            Self::FailureWithoutError => write!(f, "a fail or info without error"),
            Self::Impossible(impossible) => write!(f, "{impossible}"),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Json(error) => Some(error),
            Self::Impossible(impossible) => Some(impossible),
            Self::TooLong
            | Self::UnknownType(_)
            | Self::UnknownFunction(_)
            | Self::NotAPair
            | Self::ReadNamesValue
            | Self::ErrorWithoutFailure
            | Self::FailureWithoutError => None,
        }
    }
}
