//! A history as a file: one JSON object a line.

use std::fmt;
use std::io::{self, BufRead, Read};

use json::Value;

use super::{Call, ErrorCode, Event, History, Impossible, Outcome, Process, Stage};

/// The longest line of a history that is read, in bytes, without its line break. A client's
/// request is at most 1 MiB, and JSON writes no byte of it with more than six.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// How deep the JSON of a line may be nested. A client's request is at most 128 deep, and nothing
/// of it is deeper in a history.
pub const LINE_DEPTH_MAX: usize = 128;

json::record! {
    /// A line as it stands in the file.
    struct Line {
        process: u64,
        kind: Kind as "type",
        f: Function,
        key: Value,
        value: Value,
        error: Option<u64>,
        time: u64,
    }
}

json::record! {
    #[derive(Clone, Copy)]
    enum Kind { Invoke as "invoke", Ok as "ok", Fail as "fail", Info as "info" }
}

json::record! {
    enum Function { Read as "read", Write as "write", Cas as "cas" }
}

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
            Stage::Invoke => (Kind::Invoke, None),
            Stage::Complete(Outcome::ReadOk(_) | Outcome::Done) => (Kind::Ok, None),
            Stage::Complete(Outcome::Failed(code)) => (Kind::Fail, Some(code.0)),
            Stage::Complete(Outcome::Unknown(code)) => (Kind::Info, Some(code.0)),
        };
        let (f, value) = match (&self.call, &self.stage) {
            (Call::Read, Stage::Complete(Outcome::ReadOk(value))) => {
                (Function::Read, value.clone())
            }
            (Call::Read, _) => (Function::Read, Value::Null),
            (Call::Write(value), _) => (Function::Write, value.clone()),
            (Call::Cas { from, to }, _) => {
                let pair = Value::Array(vec![from.clone(), to.clone()]);
                (Function::Cas, pair)
            }
        };
        json::to_string(&Line {
            process: self.process.0,
            kind,
            f,
            key: self.key.clone(),
            value,
            error,
            time: self.time_ns,
        })
    }

    /// Reads one line of a history, without its line break.
    ///
    /// # Errors
    /// If it is longer than [`LINE_BYTES_MAX`], nested deeper than [`LINE_DEPTH_MAX`], or is not
    /// such a line.
    pub fn from_line(line: &[u8]) -> Result<Self, Problem> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Problem::TooLong);
        }
        let line: Line = json::decode_with_depth(line, LINE_DEPTH_MAX).map_err(Problem::Json)?;
        let (call, outcome_if_ok) = match line.f {
            Function::Read => {
                if line.value != Value::Null && !matches!(line.kind, Kind::Ok) {
                    return Err(Problem::ReadNamesValue);
                }
                (Call::Read, Outcome::ReadOk(line.value))
            }
            Function::Write => (Call::Write(line.value), Outcome::Done),
            Function::Cas => match line.value {
                Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
                    Ok([from, to]) => (Call::Cas { from, to }, Outcome::Done),
                    Err(_) => return Err(Problem::NotAPair),
                },
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_) => return Err(Problem::NotAPair),
            },
        };
        let stage = match (line.kind, line.error.map(ErrorCode)) {
            (Kind::Invoke, None) => Stage::Invoke,
            (Kind::Ok, None) => Stage::Complete(outcome_if_ok),
            (Kind::Fail, Some(code)) => Stage::Complete(Outcome::Failed(code)),
            (Kind::Info, Some(code)) => Stage::Complete(Outcome::Unknown(code)),
            (Kind::Invoke | Kind::Ok, Some(_)) => return Err(Problem::ErrorWithoutFailure),
            (Kind::Fail | Kind::Info, None) => return Err(Problem::FailureWithoutError),
        };
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
            Self::Json(error) => {
                write!(f, "column {}: ", error.column())?;
                if !error.path().is_empty() {
                    write!(f, "at {}: ", error.path())?;
                }
                write!(f, "{}", error.kind())
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
            | Self::NotAPair
            | Self::ReadNamesValue
            | Self::ErrorWithoutFailure
            | Self::FailureWithoutError => None,
        }
    }
}
