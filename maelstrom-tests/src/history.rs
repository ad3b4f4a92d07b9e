//! A history: the operations that clients invoked, when, and how they ended.
//!
//! A history is a list of [`Event`]s. Each operation begins with an `invoke` and ends with `ok`,
//! `fail` (it never took effect, or it is a read without a result) or `info` (unknown). [`History`]
//! pairs the events as they are recorded and rejects what cannot have happened, so that the checker
//! receives whole [`Operation`]s only. [`jsonl`] describes a history on disk.

pub mod jsonl;

use std::collections::BTreeMap;
use std::fmt;

use json::Value;

/// The most operations in a history.
pub const OPERATIONS_MAX: usize = 20_000_000;

/// A logical client. It has one operation at a time, and none after an `info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u64);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An error code of Maelstrom's protocol, or 0 for a time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u64);

impl ErrorCode {
    /// No reply arrived in time.
    pub const TIMEOUT: Self = Self(0);
    /// The key does not exist.
    pub const KEY_DOES_NOT_EXIST: Self = Self(20);
    /// The key already exists.
    pub const KEY_ALREADY_EXISTS: Self = Self(21);
    /// The key holds another value than `from`.
    pub const PRECONDITION_FAILED: Self = Self(22);

    /// Whether the operation never took effect and never will. Codes that Maelstrom does not define
    /// are indefinite.
    pub fn is_definite(self) -> bool {
        matches!(self.0, 1 | 10 | 11 | 12 | 14 | 20 | 21 | 22 | 30)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "timeout",
            1 => "node-not-found",
            10 => "not-supported",
            11 => "temporarily-unavailable",
            12 => "malformed-request",
            13 => "crash",
            14 => "abort",
            20 => "key-does-not-exist",
            21 => "key-already-exists",
            22 => "precondition-failed",
            30 => "txn-conflict",
            code => return write!(f, "{code}"),
        };
        write!(f, "{} {name}", self.0)
    }
}

/// A point on the clock that orders a history: by time, and among equal times by the order of
/// recording. An operation precedes another if its end is less than the other's beginning; if they
/// are equal, the two are concurrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Nanoseconds (or any unit, in a simulation) since the run began.
    pub time: u64,
    /// The position in the order of recording, counted from 0.
    pub position: u64,
}

impl Moment {
    /// A moment that has a time alone.
    pub fn at(time: u64) -> Self {
        Self { time, position: 0 }
    }
}

/// What a client requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Returns the key's value.
    Read,
    /// Sets the key to this value; creates the key if it does not exist.
    Write(Value),
    /// Sets an existing key to `to` if its value is `from`.
    Cas {
        /// The value that the key must have.
        from: Value,
        /// The key's new value.
        to: Value,
    },
    /// Removes an existing key.
    Delete,
}

impl Call {
    /// The operation's name, as in a history's `f`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write(_) => "write",
            Self::Cas { .. } => "cas",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => write!(f, "read"),
            Self::Write(value) => write!(f, "write {}", json::to_string(value)),
            Self::Cas { from, to } => {
                let (from, to) = (json::to_string(from), json::to_string(to));
                write!(f, "cas {from} to {to}")
            }
            Self::Delete => write!(f, "delete"),
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A read returned this value.
    ReadOk(Value),
    /// A write, cas or delete took effect.
    Done,
    /// A write, cas or delete did not take effect and never will; or a read has no result.
    Failed(ErrorCode),
    /// The operation may take effect at any later time, or never.
    Unknown(ErrorCode),
}

impl Outcome {
    /// The event's type, as in a history's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReadOk(_) | Self::Done => "ok",
            Self::Failed(_) => "fail",
            Self::Unknown(_) => "info",
        }
    }
}

/// Whether an event begins an operation or ends it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The client sent its request.
    Invoke,
    /// The client received the reply, or gave up.
    Complete(Outcome),
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The client.
    pub process: Process,
    /// The time, in nanoseconds since the run began.
    pub time_ns: u64,
    /// The key.
    pub key: Value,
    /// The request. A completion repeats its invocation's.
    pub call: Call,
    /// Beginning or end.
    pub stage: Stage,
}

/// An operation from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// The client.
    pub process: Process,
    /// The key.
    pub key: Value,
    /// The request.
    pub call: Call,
    /// When the request was sent.
    pub invoked: Moment,
    /// When and how it ended. `None` if the history ends before: then the outcome is unknown.
    pub completed: Option<(Moment, Outcome)>,
}

/// Whole operations, in the order of their invocations.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    processes: BTreeMap<Process, Activity>,
    last_time_ns: u64,
    events: u64,
}

/// The state of a process.
#[derive(Clone, Copy, Debug, Default)]
enum Activity {
    #[default]
    Idle,
    /// It waits for the end of the operation with this index.
    Waiting(usize),
    /// It ended with an `info`.
    Gone,
}

impl History {
    /// A history without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next event.
    ///
    /// # Errors
    /// Why the event cannot follow the events before it. The history is then unchanged.
    pub fn record(&mut self, event: Event) -> Result<(), String> {
        let (process, time_ns, before_ns) = (event.process, event.time_ns, self.last_time_ns);
        demand(time_ns >= before_ns, || {
            format!("time runs backwards: {time_ns} ns after {before_ns} ns in the event before")
        })?;
        let now = Moment {
            time: time_ns,
            position: self.events,
        };
        let activity = self.processes.get(&process).copied().unwrap_or_default();
        let wrong = |what| Err(format!("process {process} {what}"));
        match (event.stage, activity) {
            (_, Activity::Gone) => {
                return wrong("continues after an info; the client must continue as a new process");
            }
            (Stage::Invoke, Activity::Waiting(_)) => {
                return wrong("invokes an operation before its previous one has completed");
            }
            (Stage::Complete(_), Activity::Idle) => {
                return wrong("completes an operation that it did not invoke");
            }
            (Stage::Invoke, Activity::Idle) => {
                demand(self.operations.len() < OPERATIONS_MAX, || {
                    format!("more than {OPERATIONS_MAX} operations")
                })?;
                let at = self.operations.len();
                self.processes.insert(process, Activity::Waiting(at));
                self.operations.push(Operation {
                    process,
                    key: event.key,
                    call: event.call,
                    invoked: now,
                    completed: None,
                });
            }
            (Stage::Complete(outcome), Activity::Waiting(at)) => {
                let operation = &mut self.operations[at];
                let is_same = operation.key == event.key && operation.call == event.call;
                demand(is_same, || {
                    format!("process {process} completes another f, key or value than it invoked")
                })?;
                check_outcome(&event.call, &outcome)?;
                let next = match outcome {
                    Outcome::Unknown(_) => Activity::Gone,
                    Outcome::ReadOk(_) | Outcome::Done | Outcome::Failed(_) => Activity::Idle,
                };
                self.processes.insert(process, next);
                operation.completed = Some((now, outcome));
            }
        }
        self.last_time_ns = time_ns;
        self.events += 1;
        Ok(())
    }

    /// The operations so far, in the order of their invocations.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}

/// Rejects an outcome that contradicts its call or its error code.
fn check_outcome(call: &Call, outcome: &Outcome) -> Result<(), String> {
    let is_read = matches!(call, Call::Read);
    match outcome {
        Outcome::ReadOk(_) => demand(is_read, || "only a read returns a value".to_owned()),
        Outcome::Done => demand(!is_read, || "a read is ok without a value".to_owned()),
        Outcome::Failed(code) => demand(is_read || code.is_definite(), || {
            format!("type is fail, but after error {code} the operation may still take effect")
        }),
        Outcome::Unknown(code) => demand(!code.is_definite(), || {
            format!("type is info, but after error {code} the operation never takes effect")
        }),
    }
}

fn demand(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(process: u64, time_ns: u64, stage: Stage) -> Event {
        Event {
            process: Process(process),
            time_ns,
            key: Value::from(0),
            call: Call::Write(Value::from(1)),
            stage,
        }
    }

    fn invoke(process: u64, time_ns: u64) -> Event {
        event(process, time_ns, Stage::Invoke)
    }

    fn complete(process: u64, time_ns: u64, outcome: Outcome) -> Event {
        event(process, time_ns, Stage::Complete(outcome))
    }

    /// The error for the last event, after the others were recorded.
    #[track_caller]
    fn assert_rejected(mut events: Vec<Event>, expected: &str) {
        let last = events.pop().expect("there are events");
        let mut history = History::new();
        for event in events {
            history.record(event).expect("this can happen");
        }
        let before = history.operations().to_vec();
        let error = history.record(last).expect_err("this cannot happen");
        assert!(error.contains(expected), "{error}");
        assert_eq!(
            history.operations(),
            before,
            "a rejected event has an effect"
        );
    }

    #[test]
    fn events_become_operations() {
        let mut history = History::new();
        for event in [
            invoke(1, 10),
            invoke(2, 10),
            complete(1, 10, Outcome::Done),
            invoke(1, 20),
            complete(2, 30, Outcome::Unknown(ErrorCode::TIMEOUT)),
        ] {
            history.record(event).expect("all this can happen");
        }
        let [first, second, third] = history.operations() else {
            panic!("there are three operations");
        };
        let at = |time, position| Moment { time, position };
        assert_eq!((first.process, first.invoked), (Process(1), at(10, 0)));
        assert_eq!(first.completed, Some((at(10, 2), Outcome::Done)));
        assert_eq!((second.process, second.invoked), (Process(2), at(10, 1)));
        let unknown = Outcome::Unknown(ErrorCode::TIMEOUT);
        assert_eq!(second.completed, Some((at(30, 4), unknown)));
        assert_eq!(
            (third.process, third.completed.as_ref()),
            (Process(1), None)
        );
    }

    #[test]
    fn event_out_of_order_is_rejected() {
        let done = |time_ns| complete(1, time_ns, Outcome::Done);
        let lost = complete(1, 1, Outcome::Unknown(ErrorCode(13)));
        for (events, expected) in [
            (
                vec![invoke(1, 5), invoke(2, 4)],
                "time runs backwards: 4 ns after 5 ns",
            ),
            (
                vec![invoke(1, 0), invoke(1, 1)],
                "process 1 invokes an operation before",
            ),
            (
                vec![done(0)],
                "process 1 completes an operation that it did not invoke",
            ),
            (
                vec![invoke(1, 0), done(1), done(2)],
                "that it did not invoke",
            ),
            (
                vec![invoke(1, 0), lost.clone(), invoke(1, 2)],
                "process 1 continues after an info",
            ),
            (
                vec![invoke(1, 0), lost, done(2)],
                "process 1 continues after an info",
            ),
        ] {
            assert_rejected(events, expected);
        }
    }

    #[test]
    fn completion_of_another_operation_is_rejected() {
        let done = complete(1, 1, Outcome::Done);
        let (mut value, mut key, mut call) = (done.clone(), done.clone(), done);
        value.call = Call::Write(Value::from(2));
        key.key = Value::from(2);
        call.call = Call::Read;
        for other in [value, key, call] {
            assert_rejected(vec![invoke(1, 0), other], "another f, key or value");
        }
    }

    #[test]
    fn outcome_that_contradicts_its_call_is_rejected() {
        let of_write = |outcome| vec![invoke(1, 0), complete(1, 1, outcome)];
        let read = |mut event: Event| {
            event.call = Call::Read;
            event
        };
        let of_read = |outcome| of_write(outcome).into_iter().map(read).collect::<Vec<_>>();
        assert_rejected(
            of_write(Outcome::ReadOk(Value::Null)),
            "only a read returns a value",
        );
        assert_rejected(of_read(Outcome::Done), "a read is ok without a value");
        for code in [ErrorCode::TIMEOUT, ErrorCode(13), ErrorCode(1_000)] {
            assert_rejected(of_write(Outcome::Failed(code)), "may still take effect");
        }
        let definite = Outcome::Unknown(ErrorCode(11));
        assert_rejected(of_write(definite), "never takes effect");
        let mut history = History::new();
        for event in of_read(Outcome::Failed(ErrorCode::TIMEOUT)) {
            history.record(event).expect("a read may time out");
        }
    }

    #[test]
    fn definite_codes_are_those_of_maelstrom() {
        let definite: Vec<u64> = (0..2_000)
            .filter(|&code| ErrorCode(code).is_definite())
            .collect();
        assert_eq!(definite, [1, 10, 11, 12, 14, 20, 21, 22, 30]);
    }
}
