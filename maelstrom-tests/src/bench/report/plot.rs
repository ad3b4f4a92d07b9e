//! Pictures of a run: how long operations took, how many there were, and the first messages.
//!
//! Each function returns a whole SVG file, made of plain inputs, so that a picture can be drawn of
//! anything that has a history. `axis` has what the two pictures over time share.

mod axis;
mod latency;
mod messages;
mod rate;

pub use latency::latency;
pub use messages::{MESSAGES_MAX, MessageArrow, messages};
pub use rate::rate;

use crate::history::{Call, Operation, Outcome};

/// A stretch of time in which something was broken on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was broken, in a few words.
    pub label: String,
    /// When it began, in nanoseconds since the run began.
    pub from_ns: u64,
    /// When it ended.
    pub to_ns: u64,
}

/// How an operation ended, as pictures tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Ok,
    Fail,
    Info,
}

impl Ending {
    const ALL: [Self; 3] = [Self::Ok, Self::Fail, Self::Info];

    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::ReadOk(_) | Outcome::Done => Self::Ok,
            Outcome::Failed(_) => Self::Fail,
            Outcome::Unknown(_) => Self::Info,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info (unknown)",
        }
    }

    /// Colours that people who see few colours can tell apart too.
    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "#0072b2",
            Self::Fail => "#e69f00",
            Self::Info => "#d1242f",
        }
    }
}

/// The functions of a history, in the order in which pictures show them.
const FUNCTIONS: [&str; 3] = ["read", "write", "cas"];

/// An operation that ended: its function, its beginning and end in seconds, and how.
struct Ended {
    function: &'static str,
    from: f64,
    to: f64,
    ending: Ending,
}

/// The operations that ended.
fn ended(operations: &[Operation]) -> impl Iterator<Item = Ended> {
    operations.iter().filter_map(|operation| {
        let (end, outcome) = operation.completed.as_ref()?;
        let call: &Call = &operation.call;
        Some(Ended {
            function: call.name(),
            from: seconds(operation.invoked.time),
            to: seconds(end.time),
            ending: Ending::of(outcome),
        })
    })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests;
