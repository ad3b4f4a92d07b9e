//! The messages between nodes: one struct each, with exactly the fields that it needs.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::entry::Entry;
use crate::id::{EntryId, Incarnation, Index, NodeId, RequestId, SnapshotId, Term};
use crate::machine::StateMachine;

/// A message with its sender, its receiver, and the sender's current term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Envelope<S: StateMachine> {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's current term when it made the message. A pre-vote asks for the term after this
    /// one without naming it, and so needs no exception from the term rule.
    pub term: Term,
    /// The message itself.
    pub message: Message<S>,
}

/// A message of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message<S: StateMachine> {
    /// Asks whether a vote in the next term would be granted (thesis §9.6).
    PreVote(PreVote),
    /// The reply to a [`PreVote`].
    PreVoteReply(PreVoteReply),
    /// RequestVote (§5.2).
    Vote(Vote),
    /// The reply to a [`Vote`].
    VoteReply(VoteReply),
    /// AppendEntries (§5.3).
    Append(Append<S>),
    /// The reply to an [`Append`] that fits.
    Appended(Appended),
    /// The reply to an [`Append`] that does not fit.
    AppendRejected(AppendRejected),
    /// InstallSnapshot (§7).
    SnapshotChunk(SnapshotChunk),
    /// The reply to a [`SnapshotChunk`].
    ChunkReceived(ChunkReceived),
    /// A leader's check that it still leads (thesis §6.4).
    Round(Round),
    /// The reply to a [`Round`].
    RoundReply(RoundReply),
    /// A follower's request for a read index (thesis §6.4).
    ReadIndex(ReadIndex),
    /// The reply to a [`ReadIndex`].
    ReadIndexReply(ReadIndexReply),
    /// A client's command, on its way to the leader.
    Forward(Forward<S>),
    /// The reply to a [`Forward`].
    ForwardReply(ForwardReply<S>),
    /// The reply to a leader of a lower term.
    Outdated(Outdated),
    /// TimeoutNow (thesis §3.10).
    TimeoutNow(TimeoutNow),
    /// The reply to a [`TimeoutNow`].
    TimeoutNowReply(TimeoutNowReply),
}

/// Asks whether the receiver would vote for the sender in the next term (thesis §9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PreVote {
    /// The id of this pre-vote round. Only replies to the present round count.
    pub round: RequestId,
    /// The sender's last entry.
    pub last: EntryId,
}

/// The reply to a [`PreVote`]. It does not bind the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PreVoteReply {
    /// The round of the request.
    pub round: RequestId,
    /// Whether the vote would be granted.
    pub granted: bool,
}

/// RequestVote (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// The candidate's last entry.
    pub last: EntryId,
    /// Whether a leadership transfer led to this election (thesis §3.10). Then also nodes with a
    /// live leader may grant their vote, since that leader gives up its term.
    pub transfer: bool,
}

/// The reply to a [`Vote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VoteReply {
    /// Whether the vote is granted.
    pub granted: bool,
}

/// AppendEntries (§5.3); without entries, a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Append<S: StateMachine> {
    /// The leader's replication stream to this follower.
    pub stream: RequestId,
    /// The entry right before `entries`.
    pub prev: EntryId,
    /// The entries, in order and without a gap.
    pub entries: Vec<Entry<S::Command>>,
    /// The leader's commit index.
    pub commit: Index,
}

/// The reply to an [`Append`] that fits: the follower's log matches the leader's through an index,
/// and is synced through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Appended {
    /// The stream of the Append.
    pub stream: RequestId,
    /// The follower's incarnation.
    pub incarnation: Incarnation,
    /// The last entry known to match: the last one of the Append, not of the follower's log.
    pub matched: Index,
}

/// The reply to an [`Append`] whose `prev` the follower does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppendRejected {
    /// The stream of the Append.
    pub stream: RequestId,
    /// The follower's incarnation.
    pub incarnation: Incarnation,
    /// The entry that the follower does not hold.
    pub prev: EntryId,
    /// The follower's last entry at or before `prev` whose term is at most `prev`'s. All entries
    /// between the two differ, so the leader skips a whole term at a time.
    pub hint: EntryId,
}

/// InstallSnapshot (§7): a part of the leader's snapshot. Without data, it asks how much of the
/// snapshot the follower has, and serves as a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotChunk {
    /// The leader's replication stream to this follower.
    pub stream: RequestId,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The position of the data in the snapshot.
    pub offset: u64,
    /// The bytes.
    pub data: Arc<[u8]>,
}

/// The reply to a [`SnapshotChunk`]. A follower that has committed all that the snapshot contains
/// replies with [`Appended`] instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkReceived {
    /// The stream of the chunk.
    pub stream: RequestId,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The offset at which the chunk ended; distinguishes replies.
    pub asked: u64,
    /// The follower has all bytes before this one, and expects this one next.
    pub offset: u64,
    /// The follower had all bytes, and they do not make the snapshot.
    pub broken: bool,
}

/// Asks whether the receiver still follows the sender: one round of ReadIndex (thesis §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Round {
    /// The id of the round.
    pub id: RequestId,
    /// The last entry that the leader has committed.
    pub commit: EntryId,
}

/// The reply to a [`Round`]: the sender followed this leader when the round arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoundReply {
    /// The round that is confirmed. Confirms the rounds before it too.
    pub id: RequestId,
}

/// Asks the leader for an index at which reads are linearizable (thesis §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadIndex {
    /// The id of the request.
    pub id: RequestId,
}

/// The reply to a [`ReadIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadIndexReply {
    /// The request that is answered.
    pub id: RequestId,
    /// The read may be served once this entry is applied.
    pub commit: EntryId,
}

/// A command that a client gave to another node, for the leader to append.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forward<S: StateMachine> {
    /// The id of the request: the same each time that it is sent.
    pub id: RequestId,
    /// The command.
    pub command: Arc<S::Command>,
}

/// The reply to a [`Forward`] whose command was applied. A node that cannot append it sends none: a
/// log may hold another copy, so that it must not be refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForwardReply<S: StateMachine> {
    /// The request that is answered.
    pub id: RequestId,
    /// The outcome of the command.
    pub outcome: S::Outcome,
}

/// The reply to an Append, a snapshot chunk or a read round of a lower term. Its envelope carries
/// the sender's higher term: the stale leader steps down, and this node can take part in an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outdated;

/// TimeoutNow (thesis §3.10): the leader asks the receiver to campaign at once, without a pre-vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeoutNow {
    /// The id of the handover.
    pub id: RequestId,
    /// The leader's last entry. The receiver must have it on disk.
    pub last: EntryId,
}

/// The reply to a [`TimeoutNow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeoutNowReply {
    /// The handover.
    pub id: RequestId,
    /// Whether the sender becomes a candidate.
    pub campaigns: bool,
}

/// The class of a message, as its receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asks for a vote or a pre-vote. A node with a live leader refuses it.
    Candidacy,
    /// Only the leader of the envelope's term sends it.
    FromLeader,
    /// Answers a message of the receiver's own.
    Reply,
    /// Asks the leader for something.
    Request,
}

/// What must be on disk before a message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// No record.
    Nothing,
    /// The ballot of the current term.
    Ballot,
    /// All records made before the message.
    Everything,
}

impl<S: StateMachine> Message<S> {
    /// The message's class. Decides how the receiver handles a message of a lower term, or one that
    /// its role does not use.
    #[must_use]
    pub fn class(&self) -> Class {
        self.properties().1
    }

    /// What must be on the sender's disk before the message may leave.
    ///
    /// A vote and an acknowledgement wait for all records before them, since they are promises that
    /// must survive a crash. A leader's Appends leave before its own sync (thesis §10.2.1), since
    /// its own copy counts only once synced; but the ballot of their term must be on disk, or the
    /// leader could restart in an older term and vote again. All other messages promise nothing
    /// (refusals, pre-votes, rounds, how much of a snapshot is in memory), or only what is on the
    /// disks of a quorum already (replies about committed entries).
    #[must_use]
    pub fn waits_for(&self) -> Wait {
        self.properties().2
    }

    /// The message's kind as metrics and scripts name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.properties().0
    }

    /// The table of the messages: kind, class, and what each waits for.
    fn properties(&self) -> (&'static str, Class, Wait) {
        use Class::{Candidacy, FromLeader, Reply, Request};
        use Wait::{Ballot, Everything, Nothing};
        match self {
            Self::PreVote(_) => ("pre_vote", Candidacy, Nothing),
            Self::PreVoteReply(_) => ("pre_vote_reply", Reply, Nothing),
            Self::Vote(_) => ("vote", Candidacy, Everything),
            Self::VoteReply(VoteReply { granted: true }) => ("vote_reply", Reply, Everything),
            Self::VoteReply(VoteReply { granted: false }) => ("vote_reply", Reply, Nothing),
            Self::Append(_) => ("append", FromLeader, Ballot),
            Self::Appended(_) => ("appended", Reply, Everything),
            Self::AppendRejected(_) => ("append_rejected", Reply, Nothing),
            Self::SnapshotChunk(_) => ("snapshot_chunk", FromLeader, Ballot),
            Self::ChunkReceived(_) => ("chunk_received", Reply, Nothing),
            Self::Round(_) => ("round", FromLeader, Nothing),
            Self::RoundReply(_) => ("round_reply", Reply, Nothing),
            Self::ReadIndex(_) => ("read_index", Request, Nothing),
            Self::ReadIndexReply(_) => ("read_index_reply", Reply, Nothing),
            Self::Forward(_) => ("forward", Request, Nothing),
            Self::ForwardReply(_) => ("forward_reply", Reply, Nothing),
            Self::Outdated(_) => ("outdated", Reply, Nothing),
            Self::TimeoutNow(_) => ("timeout_now", FromLeader, Nothing),
            Self::TimeoutNowReply(_) => ("timeout_now_reply", Reply, Nothing),
        }
    }
}
