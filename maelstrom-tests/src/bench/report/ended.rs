//! The operations of a run that ended, as results and pictures need them.

use std::time::Duration;

use crate::bench::clients::node_of;
use crate::bench::network::Node;
use crate::bench::options::Options;
use crate::history::{ErrorCode, Operation, Outcome};

/// An operation that ended.
#[derive(Debug)]
pub struct Ended {
    /// The node that the client asked.
    pub node: Node,
    /// `read`, `write`, `cas` or `delete`.
    pub function: &'static str,
    /// When it began, since the first request.
    pub invoked: Duration,
    /// When it ended.
    pub completed: Duration,
    /// How it ended.
    pub ending: Ending,
    /// Whether no answer came in time.
    pub timed_out: bool,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Done.
    Ok,
    /// Certainly without effect.
    Fail,
    /// Unknown.
    Info,
}

impl Ending {
    /// All endings, the most frequent first.
    pub const ALL: [Ending; 3] = [Ending::Ok, Ending::Fail, Ending::Info];

    /// How an operation with this outcome ended, and its error.
    pub fn of(outcome: &Outcome) -> (Ending, Option<ErrorCode>) {
        match outcome {
            Outcome::ReadOk(_) | Outcome::Done => (Ending::Ok, None),
            Outcome::Failed(code) => (Ending::Fail, Some(*code)),
            Outcome::Unknown(code) => (Ending::Info, Some(*code)),
        }
    }

    /// Its name in a history.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Ok => "ok",
            Ending::Fail => "fail",
            Ending::Info => "info",
        }
    }
}

impl Ended {
    /// The operations of a run with these options that ended, in the order of their ends.
    pub fn of(options: &Options, operations: &[Operation]) -> Vec<Ended> {
        let ended = operations.iter().filter_map(|operation| {
            let (end, outcome) = operation.completed.as_ref()?;
            let (ending, code) = Ending::of(outcome);
            Some(Ended {
                node: node_of(operation.process, options.concurrency, options.node_count),
                function: operation.call.name(),
                invoked: Duration::from_nanos(operation.invoked.time),
                completed: Duration::from_nanos(end.time),
                ending,
                timed_out: code == Some(ErrorCode::TIMEOUT),
            })
        });
        let mut ended: Vec<Ended> = ended.collect();
        ended.sort_by_key(|operation| operation.completed);
        ended
    }

    /// Whether it ended ok.
    pub fn is_ok(&self) -> bool {
        self.ending == Ending::Ok
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        self.completed.saturating_sub(self.invoked)
    }
}
