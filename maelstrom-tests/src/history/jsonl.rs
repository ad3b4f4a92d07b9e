//! A history as a file `history.jsonl`: one event a line, as a JSON object.
//!
//! ```text
//! {"process":4,"type":"invoke","f":"cas","key":0,"value":[1,2],"time":1200345678}
//! {"process":4,"type":"fail","f":"cas","key":0,"value":[1,2],"error":22,"time":1201345678}
//! ```
//!
//! | member | value |
//! |---|---|
//! | `process` | a whole number; a new one after an `info` |
//! | `type` | `invoke`, `ok`, `fail` or `info` |
//! | `f` | `read`, `write`, `cas` or `delete` |
//! | `key` | any JSON |
//! | `value` | of a write: the value; of a cas: `[from, to]`; of a read: what it returned if it is `ok`, else null; of a delete: null |
//! | `error` | with `fail` and `info` alone: the error code, 0 for a time-out |
//! | `time` | nanoseconds since the run began |

use std::io::{BufRead, Read};

use json::Value;

use super::{Call, ErrorCode, Event, History, Outcome, Process, Stage};

/// The longest line, in bytes, without its line break. A client's request is at most 1 MiB, and
/// JSON takes at most six bytes for each byte of it.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// The maximum nesting of a line's JSON: that of a client's request.
pub const LINE_DEPTH_MAX: usize = 128;

json::record! {
    /// A line of the file.
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
    enum Function { Read as "read", Write as "write", Cas as "cas", Delete as "delete" }
}

impl History {
    /// Reads a history, line by line. The line break of the last line may be missing.
    ///
    /// # Errors
    /// The first line that cannot be read, is malformed, or cannot follow the lines before it, by its
    /// number, and what is wrong with it.
    pub fn read(mut input: impl BufRead) -> Result<Self, String> {
        let mut history = Self::new();
        let mut bytes = Vec::new();
        for line in 1_u64.. {
            let at_line = |problem: String| format!("line {line}: {problem}");
            bytes.clear();
            // One byte more than the longest line with its break, so that a longer line is noticed.
            let mut limited = input.by_ref().take(LINE_BYTES_MAX as u64 + 2);
            let read = limited.read_until(b'\n', &mut bytes);
            read.map_err(|error| at_line(format!("cannot be read: {error}")))?;
            if bytes.is_empty() {
                break;
            }
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let event = Event::from_line(text).map_err(at_line)?;
            history.record(event).map_err(at_line)?;
        }
        Ok(history)
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
            (Call::Delete, _) => (Function::Delete, Value::Null),
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
    /// If the line is malformed, longer than [`LINE_BYTES_MAX`] or nested deeper than
    /// [`LINE_DEPTH_MAX`].
    pub fn from_line(line: &[u8]) -> Result<Self, String> {
        if line.len() > LINE_BYTES_MAX {
            return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
        }
        let line: Line = json::decode_with_depth(line, LINE_DEPTH_MAX).map_err(explain)?;
        let (call, outcome_if_ok) = match (line.f, line.value) {
            (Function::Read, value) => {
                if value != Value::Null && !matches!(line.kind, Kind::Ok) {
                    return Err("the value of a read that is not ok must be null".to_owned());
                }
                (Call::Read, Outcome::ReadOk(value))
            }
            (Function::Write, value) => (Call::Write(value), Outcome::Done),
            (Function::Cas, Value::Array(pair)) if pair.len() == 2 => {
                let [from, to] = <[Value; 2]>::try_from(pair).expect("it has two elements");
                (Call::Cas { from, to }, Outcome::Done)
            }
            (Function::Cas, _) => return Err("the value of a cas must be [from, to]".to_owned()),
            (Function::Delete, Value::Null) => (Call::Delete, Outcome::Done),
            (Function::Delete, _) => return Err("the value of a delete must be null".to_owned()),
        };
        let stage = match (line.kind, line.error.map(ErrorCode)) {
            (Kind::Invoke, None) => Stage::Invoke,
            (Kind::Ok, None) => Stage::Complete(outcome_if_ok),
            (Kind::Fail, Some(code)) => Stage::Complete(Outcome::Failed(code)),
            (Kind::Info, Some(code)) => Stage::Complete(Outcome::Unknown(code)),
            (Kind::Invoke | Kind::Ok, Some(_)) => {
                return Err("an invoke or ok must not have an error".to_owned());
            }
            (Kind::Fail | Kind::Info, None) => {
                return Err("a fail or info must have an error".to_owned());
            }
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

/// What is wrong with the JSON of a line. A line that was cut off is an example.
fn explain(error: json::Error) -> String {
    let path = match error.path() {
        "" => String::new(),
        path => format!("at {path}: "),
    };
    format!("column {}: {path}{}", error.column(), error.kind())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const INVOKE: &str =
        r#"{"process":1,"type":"invoke","f":"write","key":"a","value":7,"time":5}"#;
    const OK: &str = r#"{"process":1,"type":"ok","f":"write","key":"a","value":7,"time":6}"#;

    /// The error for a history of these lines.
    fn rejected(lines: &[&str]) -> String {
        let text = lines.join("\n");
        History::read(text.as_bytes()).expect_err("this history is malformed")
    }

    #[test]
    fn every_kind_of_line_reads_back() {
        let lines = [
            r#"{"process":0,"type":"invoke","f":"read","key":{"a":[1]},"value":null,"time":0}"#,
            r#"{"process":0,"type":"ok","f":"read","key":{"a":[1]},"value":"x","time":1}"#,
            r#"{"process":0,"type":"invoke","f":"read","key":1,"value":null,"time":1}"#,
            r#"{"process":0,"type":"fail","f":"read","key":1,"value":null,"error":0,"time":2}"#,
            r#"{"process":0,"type":"invoke","f":"cas","key":1,"value":[1,null],"time":3}"#,
            r#"{"process":0,"type":"fail","f":"cas","key":1,"value":[1,null],"error":22,"time":4}"#,
            r#"{"process":0,"type":"invoke","f":"write","key":1,"value":[1,2],"time":5}"#,
            r#"{"process":0,"type":"ok","f":"write","key":1,"value":[1,2],"time":6}"#,
            r#"{"process":0,"type":"invoke","f":"delete","key":1,"value":null,"time":6}"#,
            r#"{"process":0,"type":"fail","f":"delete","key":1,"value":null,"error":20,"time":7}"#,
            r#"{"process":0,"type":"invoke","f":"write","key":1,"value":null,"time":7}"#,
            r#"{"process":0,"type":"info","f":"write","key":1,"value":null,"error":13,"time":8}"#,
        ];
        for line in lines {
            let event = Event::from_line(line.as_bytes()).expect("this is a line");
            assert_eq!(event.to_line(), line);
        }
        let history = History::read(lines.join("\n").as_bytes()).expect("this is a history");
        assert_eq!(history.operations().len(), 6);
        // The last line break may be missing; the file may be empty.
        let history = History::read(format!("{INVOKE}\n{OK}\n").as_bytes());
        assert_eq!(history.expect("this is a history").operations().len(), 1);
        let history = History::read(&b""[..]).expect("nothing has happened");
        assert!(history.operations().is_empty());
    }

    #[test]
    fn order_and_extra_members_are_ignored() {
        let line = br#"{"index": 3, "time":5,"value":7,"key":"a","f":"write","type":"invoke","process":1}"#;
        let event = Event::from_line(line).expect("this is a line");
        assert_eq!(event.to_line(), INVOKE);
    }

    #[test]
    fn error_names_the_line() {
        for (lines, expected) in [
            (&[INVOKE, "nonsense"][..], "line 2: column 1: "),
            (
                &[INVOKE, "", OK],
                "line 2: column 1: the text ends too early",
            ),
            (&[INVOKE, &OK[..40]], "line 2: column 41: "),
            (
                &[INVOKE, OK, OK],
                "line 3: process 1 completes an operation that it did not invoke",
            ),
            (
                &[INVOKE, INVOKE],
                "line 2: process 1 invokes an operation before",
            ),
            (&[OK], "line 1: process 1 completes"),
        ] {
            let why = rejected(lines);
            assert!(why.starts_with(expected), "{why}");
        }
    }

    #[test]
    fn error_names_the_member() {
        for (from, to, expected) in [
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
            (r#""f":"write""#, r#""f":"read""#, "must be null"),
            (r#""f":"write""#, r#""f":"delete""#, "must be null"),
            (
                r#""time":5"#,
                r#""time":5,"error":11"#,
                "must not have an error",
            ),
            (
                r#""type":"invoke""#,
                r#""type":"info""#,
                "must have an error",
            ),
            (
                r#""type":"invoke""#,
                r#""type":"fail""#,
                "must have an error",
            ),
            (r#""value":7,"#, "", r#"missing field "value""#),
            (r#""key":"a""#, r#""key":"a","key":"a""#, "duplicate"),
        ] {
            assert!(INVOKE.contains(from));
            let why = rejected(&[&INVOKE.replace(from, to)]);
            assert!(
                why.starts_with("line 1: ") && why.contains(expected),
                "{why}"
            );
        }
    }

    #[test]
    fn invalid_utf8_is_rejected() {
        let why = History::read(&b"\xff\xfe\n"[..]).expect_err("this is no UTF-8");
        assert!(why.starts_with("line 1: column 1: not UTF-8"), "{why}");
    }

    #[test]
    fn line_above_the_maximum_length_is_rejected() {
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
        assert!(why.starts_with("line 1: longer than"), "{why}");
        // No more than the maximum is held in memory.
        let endless = io::repeat(b' ');
        let why = History::read(io::BufReader::new(endless)).expect_err("this is too long");
        assert!(why.starts_with("line 1: longer than"), "{why}");
    }

    #[test]
    fn line_above_the_maximum_depth_is_rejected() {
        let nested = |depth: usize| {
            let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            INVOKE.replace(r#""value":7"#, &format!(r#""value":{value}"#))
        };
        assert!(Event::from_line(nested(LINE_DEPTH_MAX - 1).as_bytes()).is_ok());
        let why = rejected(&[&nested(LINE_DEPTH_MAX)]);
        assert!(why.contains("nested more than 128 deep"), "{why}");
    }

    #[test]
    fn failed_read_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk failed"))
            }
        }
        let why = History::read(io::BufReader::new(Broken)).expect_err("nothing can be read");
        assert_eq!(why, "line 1: cannot be read: the disk failed");
    }
}
