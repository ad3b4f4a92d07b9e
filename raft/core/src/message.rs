//! What nodes say to each other. Each message holds exactly the fields that it needs.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::entry::Entry;
use crate::id::{EntryId, Incarnation, Index, NodeId, RequestId, Term};
use crate::machine::StateMachine;
use crate::rename::{Names, Rename};
use crate::snapshot::SnapshotId;

/// A message on its way, with the sender's own current term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Envelope<S: StateMachine> {
    /// Who sent it.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// The sender's current term when it spoke. A pre-vote asks for the term after it without
    /// saying so, and thus needs no exception from the term rule.
    pub term: Term,
    /// What it says.
    pub message: Message<S>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message<S: StateMachine> {
    /// "Would you vote for me in the next term?" (thesis §9.6)
    PreVote {
        /// Names this round of asking; only its own replies count.
        round: RequestId,
        /// The sender's last entry.
        last: EntryId,
    },
    /// The answer to a [`Message::PreVote`]. Binds nobody.
    PreVoteReply {
        /// The round that is answered.
        round: RequestId,
        /// Whether the vote would be granted.
        granted: bool,
    },
    /// RequestVote (§5.2).
    Vote {
        /// The candidate's last entry.
        last: EntryId,
    },
    /// The answer to a [`Message::Vote`].
    VoteReply {
        /// Whether the vote is granted.
        granted: bool,
    },
    /// AppendEntries (§5.3); empty as a heartbeat.
    Append {
        /// The leader's replication session with this follower.
        session: RequestId,
        /// The entry that comes right before `entries`.
        prev: EntryId,
        /// The entries, in order and without a gap.
        entries: Vec<Entry<S::Command>>,
        /// How far the leader has committed.
        commit: Index,
    },
    /// "My log matches yours through this index, and all of it is synced."
    Appended {
        /// The session of the Append that is acknowledged.
        session: RequestId,
        /// The follower's life. What one life acknowledged, the next one must still have.
        life: Incarnation,
        /// The last entry that surely matches: the Append's last, never "all that I have".
        matched: Index,
    },
    /// "I do not hold the entry that comes before those."
    AppendRejected {
        /// The session of the Append that is refused.
        session: RequestId,
        /// The follower's life.
        life: Incarnation,
        /// The entry that was missing.
        prev: EntryId,
        /// The follower's last entry that stands at or before `prev` and whose term is not above
        /// `prev`'s: all between the two differs for sure, so a whole term is skipped at a time.
        hint: EntryId,
    },
    /// InstallSnapshot (§7): a part of the leader's snapshot. Without any data, it asks how much of
    /// it the follower has, and shows that the leader lives.
    SnapshotChunk {
        /// The leader's replication session with this follower.
        session: RequestId,
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Where the data begins.
        offset: u64,
        /// The bytes.
        data: Arc<[u8]>,
    },
    /// The answer to a [`Message::SnapshotChunk`], if its snapshot is not behind the follower: then
    /// the answer is [`Message::Appended`].
    ChunkReceived {
        /// The session of the chunk.
        session: RequestId,
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Where the chunk ended: tells the answers apart.
        asked: u64,
        /// The follower has all bytes before this one, and wants this one next.
        offset: u64,
    },
    /// "Am I still your leader?": a round of ReadIndex (thesis §6.4). Also tells how far the leader
    /// has committed.
    Round {
        /// Names the round.
        id: RequestId,
        /// The last entry that the leader has committed.
        commit: EntryId,
    },
    /// The answer to a [`Message::Round`]: "you were when I heard you".
    RoundReply {
        /// The round that is confirmed. Confirms the rounds before it too.
        id: RequestId,
    },
    /// A follower asks for an index at which its reads are linearizable (thesis §6.4).
    ReadIndex {
        /// Names the question.
        id: RequestId,
    },
    /// The answer to a [`Message::ReadIndex`].
    ReadIndexReply {
        /// The question that is answered.
        id: RequestId,
        /// The read may be served once this entry is applied.
        commit: EntryId,
    },
    /// A command that was taken at another node, for the leader to decide. Sent once.
    Forward {
        /// Names it; acted upon at most once.
        id: RequestId,
        /// The command.
        command: S::Command,
    },
    /// What became of a [`Message::Forward`].
    ForwardReply {
        /// The forward that is answered.
        id: RequestId,
        /// Its fate.
        reply: Forwarded<S::Outcome>,
    },
    /// The answer to an Append, a snapshot's chunk or a Round of a lower term. Its envelope's term
    /// is all that it says: the leader behind us steps down, and we get a hearing.
    Outdated,
}

/// The fate of a forwarded command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Forwarded<O> {
    /// Committed and applied.
    Applied(O),
    /// Surely never entered any log, and never will.
    Refused,
}

/// What must be on disk before a message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing.
    Nothing,
    /// The ballot of the current term.
    Ballot,
    /// All that was decided before.
    Everything,
}

/// What a message that asks for votes asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Candidacy {
    PreVote(RequestId),
    Vote,
}

impl<S: StateMachine> Message<S> {
    /// What the message asks as a candidate's, if it is one.
    pub(crate) fn candidacy(&self) -> Option<Candidacy> {
        match self {
            Self::PreVote { round, .. } => Some(Candidacy::PreVote(*round)),
            Self::Vote { .. } => Some(Candidacy::Vote),
            Self::PreVoteReply { .. }
            | Self::VoteReply { .. }
            | Self::Append { .. }
            | Self::Appended { .. }
            | Self::AppendRejected { .. }
            | Self::SnapshotChunk { .. }
            | Self::ChunkReceived { .. }
            | Self::Round { .. }
            | Self::RoundReply { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Forward { .. }
            | Self::ForwardReply { .. }
            | Self::Outdated => None,
        }
    }

    /// What must be on its sender's disk before the message may leave.
    ///
    /// All that was decided before it, where it promises something that a crash must not take
    /// back: a vote, or that entries are stored. A leader's Appends leave before its own sync
    /// (thesis §10.2.1), since its own copy counts only once synced; but the ballot of their term
    /// must be there, or the leader could wake up in an older term and vote again. All else
    /// promises nothing (refusals, pre-votes, rounds, how much of a snapshot is in memory), or
    /// only what a quorum's disks hold already (answers of committed entries).
    #[must_use]
    pub fn waits_for(&self) -> Wait {
        match self {
            Self::Vote { .. } | Self::VoteReply { granted: true } | Self::Appended { .. } => {
                Wait::Everything
            }
            Self::Append { .. } | Self::SnapshotChunk { .. } => Wait::Ballot,
            Self::PreVote { .. }
            | Self::PreVoteReply { .. }
            | Self::VoteReply { granted: false }
            | Self::AppendRejected { .. }
            | Self::ChunkReceived { .. }
            | Self::Round { .. }
            | Self::RoundReply { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Forward { .. }
            | Self::ForwardReply { .. }
            | Self::Outdated => Wait::Nothing,
        }
    }

    /// The message's kind as metrics and scripts name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PreVote { .. } => "pre_vote",
            Self::PreVoteReply { .. } => "pre_vote_reply",
            Self::Vote { .. } => "vote",
            Self::VoteReply { .. } => "vote_reply",
            Self::Append { .. } => "append",
            Self::Appended { .. } => "appended",
            Self::AppendRejected { .. } => "append_rejected",
            Self::SnapshotChunk { .. } => "snapshot_chunk",
            Self::ChunkReceived { .. } => "chunk_received",
            Self::Round { .. } => "round",
            Self::RoundReply { .. } => "round_reply",
            Self::ReadIndex { .. } => "read_index",
            Self::ReadIndexReply { .. } => "read_index_reply",
            Self::Forward { .. } => "forward",
            Self::ForwardReply { .. } => "forward_reply",
            Self::Outdated => "outdated",
        }
    }
}

impl<S: StateMachine> Rename for Envelope<S> {
    fn rename(&mut self, names: &mut dyn Names) {
        self.from.rename(names);
        self.to.rename(names);
        match &mut self.message {
            Message::PreVote { round: id, last: _ }
            | Message::PreVoteReply {
                round: id,
                granted: _,
            }
            | Message::Append {
                session: id,
                prev: _,
                entries: _,
                commit: _,
            }
            | Message::SnapshotChunk {
                session: id,
                snapshot: _,
                offset: _,
                data: _,
            }
            | Message::ChunkReceived {
                session: id,
                snapshot: _,
                asked: _,
                offset: _,
            }
            | Message::Round { id, commit: _ }
            | Message::RoundReply { id }
            | Message::ReadIndex { id }
            | Message::ReadIndexReply { id, commit: _ }
            | Message::Forward { id, command: _ }
            | Message::ForwardReply { id, reply: _ } => id.rename(names),
            Message::Appended {
                session,
                life,
                matched: _,
            }
            | Message::AppendRejected {
                session,
                life,
                prev: _,
                hint: _,
            } => {
                session.rename(names);
                life.rename(names);
            }
            Message::Vote { last: _ } | Message::VoteReply { granted: _ } | Message::Outdated => {}
        }
    }
}
