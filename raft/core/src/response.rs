//! Responses to clients' requests.

use crate::id::{NodeId, Ticket};
use crate::machine::StateMachine;

/// How a client's request ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response<S: StateMachine> {
    /// The command was committed and applied.
    Applied(S::Outcome),
    /// The query was answered, linearizably.
    Answered(S::Answer),
    /// Another node leads now.
    Transferred,
    /// The request had no effect and never will: no log ever held it.
    Refused(Refusal),
    /// The request was not known to be committed before its deadline. It may have taken effect, or
    /// may still.
    Unknown,
}

/// Why a request had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No leader was known before the request's deadline.
    NoLeader,
    /// Too many requests are open.
    Full,
    /// A read was not confirmed before its deadline.
    ReadExpired,
    /// The leader hands its leadership over, and takes neither commands nor other transfers.
    Transferring,
    /// A transfer was asked of a node that does not lead. This node may.
    NotLeading(Option<NodeId>),
    /// The target of a transfer is not another voter.
    NotAVoter,
    /// The target of a transfer, or each other voter, is silent.
    TargetSilent,
    /// The target of a transfer could not campaign.
    TargetDeclined,
    /// The target of a transfer did not lead before the deadline.
    TransferExpired,
}

/// A response with the ticket of its request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply<S: StateMachine> {
    /// The ticket of the request.
    pub ticket: Ticket,
    /// The response to it.
    pub response: Response<S>,
}
