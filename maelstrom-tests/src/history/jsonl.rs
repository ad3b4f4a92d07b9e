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

#[cfg(test)]
mod tests {
    use super::*;

    const INVOKE: &str =
        r#"{"process":1,"type":"invoke","f":"write","key":"a","value":7,"time":5}"#;
    const OK: &str = r#"{"process":1,"type":"ok","f":"write","key":"a","value":7,"time":6}"#;

    /// Where reading a history of these lines ends, and what it says.
    fn refused(lines: &[&str]) -> String {
        let text = lines.join("\n");
        let why = History::read(text.as_bytes()).expect_err("this history is malformed");
        why.to_string()
    }

    #[test]
    fn every_kind_of_line_is_written_and_read() {
        let lines = [
            r#"{"process":0,"type":"invoke","f":"read","key":{"a":[1]},"value":null,"time":0}"#,
            r#"{"process":0,"type":"ok","f":"read","key":{"a":[1]},"value":"x","time":1}"#,
            r#"{"process":0,"type":"invoke","f":"read","key":1,"value":null,"time":1}"#,
            r#"{"process":0,"type":"fail","f":"read","key":1,"value":null,"error":0,"time":2}"#,
            r#"{"process":0,"type":"invoke","f":"cas","key":1,"value":[1,null],"time":3}"#,
            r#"{"process":0,"type":"fail","f":"cas","key":1,"value":[1,null],"error":22,"time":4}"#,
            r#"{"process":0,"type":"invoke","f":"write","key":1,"value":[1,2],"time":5}"#,
            r#"{"process":0,"type":"ok","f":"write","key":1,"value":[1,2],"time":6}"#,
            r#"{"process":0,"type":"invoke","f":"write","key":1,"value":null,"time":7}"#,
            r#"{"process":0,"type":"info","f":"write","key":1,"value":null,"error":13,"time":8}"#,
        ];
        for line in lines {
            let event = Event::from_line(line.as_bytes()).expect("this is a line");
            assert_eq!(event.to_line(), line);
        }
        let history = History::read(lines.join("\n").as_bytes()).expect("this is a history");
        assert_eq!(history.operations().len(), 5);
        // The last line may end in a line break, or not; there may be no line at all.
        let history = History::read(format!("{INVOKE}\n{OK}\n").as_bytes());
        assert_eq!(history.expect("this is a history").operations().len(), 1);
        let history = History::read(&b""[..]).expect("nothing has happened");
        assert!(history.operations().is_empty());
    }

    #[test]
    fn members_in_another_order_and_further_ones_do_no_harm() {
        let line = br#"{"index": 3, "time":5,"value":7,"key":"a","f":"write","type":"invoke","process":1}"#;
        let event = Event::from_line(line).expect("this is a line");
        assert_eq!(event.to_line(), INVOKE);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (lines, said) in [
            (&[INVOKE, "nonsense"][..], "line 2: column 1: "),
            (
                &[INVOKE, "", OK],
                "line 2: column 1: the text ends too early",
            ),
            (&[INVOKE, &OK[..40]], "line 2: column 41: "),
            (
                &[INVOKE, OK, OK],
                "line 3: process 1 completes an operation that it never invoked",
            ),
            (&[INVOKE, INVOKE], "line 2: process 1 invokes while"),
            (&[OK], "line 1: process 1 completes"),
        ] {
            let why = refused(lines);
            assert!(why.starts_with(said), "{why}");
        }
    }

    #[test]
    fn a_member_that_is_wrong_is_named() {
        for (from, to, said) in [
            (r#""process":1"#, r#""process":"x""#, "process"),
            (r#""process":1"#, r#""process":1.5"#, "process"),
            (r#""process":1"#, r#""process":-1"#, "process"),
            (r#""process":1,"#, "", r#"missing field "process""#),
            (r#""time":5"#, r#""time":-5"#, "time"),
            (
                r#""type":"invoke""#,
                r#""type":"maybe""#,
                r#"unknown variant "maybe""#,
            ),
            (
                r#""f":"write""#,
                r#""f":"append""#,
                r#"unknown variant "append""#,
            ),
            (r#""f":"write""#, r#""f":"cas""#, "[from, to]"),
            (r#""f":"write""#, r#""f":"read""#, "value other than null"),
            (r#""time":5"#, r#""time":5,"error":11"#, "error on an event"),
            (r#""type":"invoke""#, r#""type":"info""#, "without error"),
            (r#""type":"invoke""#, r#""type":"fail""#, "without error"),
            (r#""value":7,"#, "", r#"missing field "value""#),
            (r#""key":"a""#, r#""key":"a","key":"a""#, "duplicate"),
        ] {
            assert!(INVOKE.contains(from));
            let why = refused(&[&INVOKE.replace(from, to)]);
            assert!(why.starts_with("line 1: ") && why.contains(said), "{why}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let why = History::read(&b"\xff\xfe\n"[..]).expect_err("this is no UTF-8");
        assert!(
            why.to_string().starts_with("line 1: column 1: not UTF-8"),
            "{why}"
        );
    }

    #[test]
    fn a_line_may_be_long_but_not_too_long() {
        let head = r#"{"process":1,"type":"invoke","f":"write","key":0,"time":1,"value":""#;
        let fill = LINE_BYTES_MAX - head.len() - 2;
        let longest = format!("{head}{}\"}}", "x".repeat(fill));
        assert_eq!(longest.len(), LINE_BYTES_MAX);
        for text in [longest.clone(), format!("{longest}\n")] {
            let history = History::read(text.as_bytes()).expect("this is not too long");
            assert_eq!(history.operations().len(), 1);
        }
        let longer = format!("{head}{}\"}}\n", "x".repeat(fill + 1));
        let why = History::read(longer.as_bytes()).expect_err("this is too long");
        assert!(matches!(why.problem, Problem::TooLong));
        assert_eq!(why.line, 1);
        // However long it is, no more than that is held in memory.
        let endless = io::repeat(b' ');
        let why = History::read(io::BufReader::new(endless)).expect_err("this is too long");
        assert!(matches!(why.problem, Problem::TooLong));
    }

    #[test]
    fn a_line_may_be_deep_but_not_too_deep() {
        let nested = |depth: usize| {
            let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            INVOKE.replace(r#""value":7"#, &format!(r#""value":{value}"#))
        };
        assert!(Event::from_line(nested(LINE_DEPTH_MAX - 1).as_bytes()).is_ok());
        let why = refused(&[&nested(LINE_DEPTH_MAX)]);
        assert!(why.contains("nested more than 128 deep"), "{why}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let why = History::read(io::BufReader::new(Broken)).expect_err("nothing can be read");
        assert_eq!(why.to_string(), "line 1: cannot be read: the disk is gone");
    }
}
