//! Responses to clients' requests.

use crate::id::{Index, NodeId, Ticket};
use crate::machine::StateMachine;

/// How a client's request ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response<S: StateMachine> {
    /// The command was committed and applied.
    Applied(S::Outcome),
    /// The change of the membership is committed and applied.
    MembersChanged,
    /// The query was answered, linearizably.
    Answered(S::Answer),
    /// Another node leads now.
    Transferred,
    /// The request had no effect and never will: no log ever held it.
    Refused(Refusal),
    /// The request was not known to be committed before its deadline. It may have taken effect, or
    /// may still.
    Unknown,
    /// A snapshot through this index, or a later one, is on this node's disk.
    SnapshotStored(Index),
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
    /// The members did not change.
    NotChanged(NotChanged),
    /// No snapshot can be taken: one is under way, a follower needs the log, or nothing is applied.
    NoSnapshot,
}

/// Why the members did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotChanged {
    /// A change is under way, or the leader has not committed in its term yet.
    UnderWay,
    /// A later change took this one's place before its new voters had caught up.
    Replaced,
    /// The new voters did not catch up before the change's deadline, or did not answer.
    NotCaughtUp,
    /// A node to remove is no member.
    UnknownMember,
    /// A node to add is a member.
    AlreadyMember,
    /// No voter would be left.
    NoVoterLeft,
}

impl NotChanged {
    /// The reason in words, for clients and scripts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnderWay => "a change is under way, or the leader is new; try again",
            Self::Replaced => "a later change took its place",
            Self::NotCaughtUp => "the new nodes did not catch up in time; check that each runs",
            Self::UnknownMember => "a node to remove is no member",
            Self::AlreadyMember => "a node to add is a member",
            Self::NoVoterLeft => "no voter would be left",
        }
    }
}

/// A response with the ticket of its request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply<S: StateMachine> {
    /// The ticket of the request.
    pub ticket: Ticket,
    /// The response to it.
    pub response: Response<S>,
}
