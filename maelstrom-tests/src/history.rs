//! What happened: who asked for what and when, and what came back.
//!
//! A history is a list of [`Event`]s. Each operation begins with an `invoke` and ends with `ok`,
//! `fail` (it surely never took effect, or it only looked and saw nothing) or `info` (nobody
//! knows). [`History`] pairs them up as they come and refuses what cannot have happened, so that
//! the checker only ever sees whole [`Operation`]s.
//!
//! On disk (see [`History::read`] and [`Event::to_line`]) a history is a file `history.jsonl` of
//! one JSON object a line:
//!
//! ```text
//! {"process":4,"type":"invoke","f":"cas","key":0,"value":[1,2],"time":1200345678}
//! {"process":4,"type":"fail","f":"cas","key":0,"value":[1,2],"error":22,"time":1201345678}
//! ```
//!
//! `process` is an integer. `type` is invoke, ok, fail or info. `f` is read, write or cas. `value`
//! is what a write writes, the pair `[from, to]` of a cas, null when a read is invoked or did not
//! succeed, and what it returned when it is ok. `error` is there when it is fail or info: the
//! code, and 0 for a time-out. `time` is in nanoseconds since the run began. Keys and values are
//! any JSON.

mod jsonl;

use std::collections::BTreeMap;
use std::fmt;

use json::Value;
pub use jsonl::{LINE_BYTES_MAX, LINE_DEPTH_MAX, Problem, ReadError};

/// How many operations one history may hold.
pub const OPERATIONS_MAX: usize = 20_000_000;

/// One logical client: it has one operation at a time, and none after an `info`.
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
    /// No answer came in time.
    pub const TIMEOUT: Self = Self(0);
    /// The key does not exist.
    pub const KEY_DOES_NOT_EXIST: Self = Self(20);
    /// The key exists already.
    pub const KEY_ALREADY_EXISTS: Self = Self(21);
    /// The key holds something else than `from`.
    pub const PRECONDITION_FAILED: Self = Self(22);

    /// Whether this says that the operation never took effect and never will. Codes that
    /// Maelstrom does not define are indefinite.
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

/// A point on the one clock by which a history is ordered: first by time, and among equal times
/// by the order in which the recorder noted them. Of two operations one came first if its end is
/// less than the other's beginning; if they are equal, the two ran at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Nanoseconds (or any unit, in a simulation) since the run began.
    pub time: u64,
    /// The place in the recorded order, counted from 0.
    pub position: u64,
}

impl Moment {
    /// A moment that nothing but its time tells from others.
    pub fn at(time: u64) -> Self {
        Self { time, position: 0 }
    }
}

/// What a client asks of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Returns what the key holds.
    Read,
    /// Makes the key hold this; creates it if need be.
    Write(Value),
    /// Makes an existing key hold `to` if it holds `from`.
    Cas {
        /// What the key must hold.
        from: Value,
        /// What it then holds.
        to: Value,
    },
}

impl Call {
    /// The name of the function, as in a history's `f`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write(_) => "write",
            Self::Cas { .. } => "cas",
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
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A read returned this.
    ReadOk(Value),
    /// A write or cas took effect.
    Done,
    /// A write or cas surely did not take effect, nor ever will; or a read has no result.
    Failed(ErrorCode),
    /// It may take effect at any later time, or never.
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
    /// The client had its answer, or gave up.
    Complete(Outcome),
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Who.
    pub process: Process,
    /// When, in nanoseconds since the run began.
    pub time_ns: u64,
    /// Of which key.
    pub key: Value,
    /// What was asked; a completion repeats its invocation's.
    pub call: Call,
    /// Beginning or end.
    pub stage: Stage,
}

/// An operation from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// Who.
    pub process: Process,
    /// Of which key.
    pub key: Value,
    /// What was asked.
    pub call: Call,
    /// When the request was sent.
    pub invoked: Moment,
    /// When and how it ended. `None` if the history ends before: then nothing is known of it.
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

/// What a process is doing.
#[derive(Clone, Copy, Debug)]
enum Activity {
    Idle,
    /// It waits for the end of the operation with this index.
    Waiting(usize),
    /// It had an `info`.
    Gone,
}

impl History {
    /// A history in which nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what happened next.
    ///
    /// # Errors
    /// If that cannot have happened after what came before; nothing has changed then.
    pub fn record(&mut self, event: Event) -> Result<(), Impossible> {
        let Event {
            process,
            time_ns,
            key,
            call,
            stage,
        } = event;
        if time_ns < self.last_time_ns {
            return Err(Impossible::TimeRunsBack {
                before_ns: self.last_time_ns,
                time_ns,
            });
        }
        let now = Moment {
            time: time_ns,
            position: self.events,
        };
        let activity = self.processes.get(&process).copied();
        match (stage, activity.unwrap_or(Activity::Idle)) {
            (_, Activity::Gone) => return Err(Impossible::ProcessIsGone(process)),
            (Stage::Invoke, Activity::Waiting(_)) => return Err(Impossible::Busy(process)),
            (Stage::Complete(_), Activity::Idle) => return Err(Impossible::NotInvoked(process)),
            (Stage::Invoke, Activity::Idle) => {
                if self.operations.len() == OPERATIONS_MAX {
                    return Err(Impossible::TooLong);
                }
                let at = self.operations.len();
                self.processes.insert(process, Activity::Waiting(at));
                self.operations.push(Operation {
                    process,
                    key,
                    call,
                    invoked: now,
                    completed: None,
                });
            }
            (Stage::Complete(outcome), Activity::Waiting(at)) => {
                let operation = &mut self.operations[at];
                if operation.key != key || operation.call != call {
                    return Err(Impossible::OtherOperation(process));
                }
                check_outcome(&call, &outcome)?;
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

/// Refuses an outcome that says two things at once.
fn check_outcome(call: &Call, outcome: &Outcome) -> Result<(), Impossible> {
    let is_read = matches!(call, Call::Read);
    match outcome {
        Outcome::ReadOk(_) if !is_read => Err(Impossible::ValueWithoutRead),
        Outcome::Done if is_read => Err(Impossible::ReadWithoutValue),
        Outcome::Failed(code) if !is_read && !code.is_definite() => {
            Err(Impossible::FailedButMayHappen(*code))
        }
        Outcome::Unknown(code) if code.is_definite() => Err(Impossible::UnknownButDefinite(*code)),
        Outcome::ReadOk(_) | Outcome::Done | Outcome::Failed(_) | Outcome::Unknown(_) => Ok(()),
    }
}

/// Why an event cannot follow what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// An event is earlier than the one before it.
    TimeRunsBack {
        /// The time of the event before.
        before_ns: u64,
        /// The time of this one.
        time_ns: u64,
    },
    /// A process invokes while its operation before has no end.
    Busy(Process),
    /// A process completes what it never invoked.
    NotInvoked(Process),
    /// A process goes on after an `info`.
    ProcessIsGone(Process),
    /// A completion has another function, key or value than its invocation.
    OtherOperation(Process),
    /// A read is ok without a value.
    ReadWithoutValue,
    /// Something else than a read returns a value.
    ValueWithoutRead,
    /// A write or cas is `fail` with a code that leaves open whether it happened.
    FailedButMayHappen(ErrorCode),
    /// An operation is `info` with a code that says that it never happened.
    UnknownButDefinite(ErrorCode),
    /// There are more than [`OPERATIONS_MAX`] operations.
    TooLong,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeRunsBack { before_ns, time_ns } => write!(
                f,
                "time runs backwards: {time_ns} ns after {before_ns} ns in the event before"
            ),
            Self::Busy(process) => write!(
                f,
                "process {process} invokes while its operation before has no completion"
            ),
            Self::NotInvoked(process) => write!(
                f,
                "process {process} completes an operation that it never invoked"
            ),
            Self::ProcessIsGone(process) => write!(
                f,
                "process {process} goes on after an info; what follows one must be a new process"
            ),
            Self::OtherOperation(process) => write!(
                f,
                "process {process} completes an operation with another f, key or value than it invoked"
            ),
            Self::ReadWithoutValue => write!(f, "a read is ok without a value"),
            Self::ValueWithoutRead => write!(f, "only a read returns a value"),
            Self::FailedButMayHappen(code) => write!(
                f,
                "type is fail, but error {code} does not say that the operation never takes effect"
            ),
            Self::UnknownButDefinite(code) => write!(
                f,
                "type is info, but error {code} says that the operation never takes effect"
            ),
            Self::TooLong => write!(f, "more than {OPERATIONS_MAX} operations"),
        }
    }
}

impl std::error::Error for Impossible {}

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

    /// What is said of the last event, after the others were recorded.
    fn refused(mut events: Vec<Event>) -> Impossible {
        let last = events.pop().expect("there are events");
        let mut history = History::new();
        for event in events {
            history.record(event).expect("this can happen");
        }
        let before = history.operations().to_vec();
        let why = history.record(last).expect_err("this cannot happen");
        assert_eq!(
            history.operations(),
            before,
            "a refused event changes nothing"
        );
        why
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
    fn what_cannot_follow_is_refused() {
        let gone = Outcome::Unknown(ErrorCode(13));
        assert_eq!(
            refused(vec![invoke(1, 5), invoke(2, 4)]),
            Impossible::TimeRunsBack {
                before_ns: 5,
                time_ns: 4
            }
        );
        assert_eq!(
            refused(vec![invoke(1, 0), invoke(1, 1)]),
            Impossible::Busy(Process(1))
        );
        assert_eq!(
            refused(vec![complete(1, 0, Outcome::Done)]),
            Impossible::NotInvoked(Process(1))
        );
        let ended = vec![invoke(1, 0), complete(1, 1, Outcome::Done)];
        assert_eq!(
            refused([ended, vec![complete(1, 2, Outcome::Done)]].concat()),
            Impossible::NotInvoked(Process(1))
        );
        let lost = vec![invoke(1, 0), complete(1, 1, gone)];
        for next in [invoke(1, 2), complete(1, 2, Outcome::Done)] {
            assert_eq!(
                refused([lost.clone(), vec![next]].concat()),
                Impossible::ProcessIsGone(Process(1))
            );
        }
    }

    #[test]
    fn a_completion_repeats_its_invocation() {
        let other_value = Event {
            call: Call::Write(Value::from(2)),
            ..complete(1, 1, Outcome::Done)
        };
        let other_key = Event {
            key: Value::from(2),
            ..complete(1, 1, Outcome::Done)
        };
        let other_call = Event {
            call: Call::Read,
            ..complete(1, 1, Outcome::ReadOk(Value::Null))
        };
        for other in [other_value, other_key, other_call] {
            assert_eq!(
                refused(vec![invoke(1, 0), other]),
                Impossible::OtherOperation(Process(1))
            );
        }
    }

    #[test]
    fn an_outcome_fits_its_call_and_its_code() {
        let of_write = |outcome| refused(vec![invoke(1, 0), complete(1, 1, outcome)]);
        assert_eq!(
            of_write(Outcome::ReadOk(Value::Null)),
            Impossible::ValueWithoutRead
        );
        for code in [ErrorCode::TIMEOUT, ErrorCode(13), ErrorCode(1_000)] {
            assert_eq!(
                of_write(Outcome::Failed(code)),
                Impossible::FailedButMayHappen(code)
            );
        }
        let code = ErrorCode(11);
        assert_eq!(
            of_write(Outcome::Unknown(code)),
            Impossible::UnknownButDefinite(code)
        );

        let read = |event: Event| Event {
            call: Call::Read,
            ..event
        };
        let of_read = |outcome| vec![read(invoke(1, 0)), read(complete(1, 1, outcome))];
        assert_eq!(
            refused(of_read(Outcome::Done)),
            Impossible::ReadWithoutValue
        );
        let mut history = History::new();
        for event in of_read(Outcome::Failed(ErrorCode::TIMEOUT)) {
            history.record(event).expect("a read may time out");
        }
    }

    #[test]
    fn codes_are_definite_as_maelstrom_says() {
        let definite: Vec<u64> = (0..2_000)
            .filter(|&code| ErrorCode(code).is_definite())
            .collect();
        assert_eq!(definite, [1, 10, 11, 12, 14, 20, 21, 22, 30]);
    }
}
