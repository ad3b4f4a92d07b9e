//! How a client's request ended.

use crate::id::Ticket;
use crate::machine::StateMachine;

/// What became of a client's request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response<S: StateMachine> {
    /// The command was committed and applied.
    Applied(S::Outcome),
    /// The query was answered, linearizably.
    Answered(S::Answer),
    /// It surely never had an effect and never will: no log ever held it.
    Refused(Refusal),
    /// It may have taken effect, or may yet.
    Unknown(Doubt),
}

/// Why a request surely had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No leader was known until the request's deadline.
    NoLeader,
    /// The node whom we took for the leader did not take the command: it leads no more, or has no
    /// room.
    NotLeader,
    /// Too many requests are under way.
    Full,
    /// A read could not be confirmed until its deadline.
    ReadExpired,
}

/// Why nobody here can tell whether a request had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// The deadline passed before the command was known to be committed.
    Expired,
    /// Another leader's entry took the command's place in the log.
    Overwritten,
}

/// An answer for the client behind `ticket`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply<S: StateMachine> {
    /// Whose answer it is.
    pub ticket: Ticket,
    /// The answer.
    pub response: Response<S>,
}
