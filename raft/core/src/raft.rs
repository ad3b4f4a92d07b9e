//! The closed set of roles, and the rules that stand above all of them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use crate::candidate::Candidate;
use crate::follower::Follower;
use crate::id::{EntryId, NodeId, Term, Ticket};
use crate::leader::Leader;
use crate::log::follow;
use crate::machine::StateMachine;
use crate::message::{AppendRejected, Class, Envelope, Message, Vote};
use crate::node::Node;
use crate::persistence::Synced;
use crate::pre_candidate::PreCandidate;
use crate::response::Refusal;
use crate::shared::Shared;

/// A node in whichever role it is now.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Raft<S: StateMachine> {
    Follower(Node<Follower<S>, S>),
    PreCandidate(Node<PreCandidate, S>),
    Candidate(Node<Candidate, S>),
    Leader(Node<Leader<S>, S>),
}

/// Does the same with a node in whichever role it is now.
macro_rules! in_any_role {
    ($raft:expr, $node:ident => $does:expr) => {
        match $raft {
            Raft::Follower($node) => $does,
            Raft::PreCandidate($node) => $does,
            Raft::Candidate($node) => $does,
            Raft::Leader($node) => $does,
        }
    };
}

impl<S: StateMachine> Raft<S> {
    pub(crate) fn shared(&self) -> &Shared<S> {
        in_any_role!(self, node => &node.shared)
    }

    pub(crate) fn shared_mut(&mut self) -> &mut Shared<S> {
        in_any_role!(self, node => &mut node.shared)
    }

    /// The leader of this term, if this node knows one; may be the node itself.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        match self {
            Self::Follower(node) => node.role.leader,
            Self::PreCandidate(_) | Self::Candidate(_) => None,
            Self::Leader(node) => Some(node.shared.id),
        }
    }

    /// A tick of the clock went by.
    pub(crate) fn tick(mut self) -> Self {
        let shared = self.shared_mut();
        shared.now = shared.now.next();
        let deadline = shared.config.request_deadline;
        let expired = shared.proxy.expire(shared.now, deadline);
        shared.replies.extend(expired);
        let stalled = shared.is_disk_stalled();
        match self {
            // Without an election timeout: a node whose disk stores nothing can neither vote for
            // itself nor hold entries.
            Self::Follower(node) if stalled => Self::Follower(node),
            Self::PreCandidate(node) if stalled => Self::Follower(node.follow()),
            Self::Candidate(node) if stalled => Self::Follower(node.follow()),
            Self::Follower(node) => node.tick(),
            Self::PreCandidate(node) => node.tick(),
            Self::Candidate(node) => node.tick(),
            Self::Leader(node) => match node.end_overdue_handover() {
                Self::Leader(node) => node.tick(),
                other => other,
            },
        }
    }

    /// The node if it leads; otherwise, what to tell a client that needs the leader.
    fn as_leader(&mut self) -> Result<&mut Node<Leader<S>, S>, Refusal> {
        let leader = self.leader();
        if let Self::Leader(node) = self {
            Ok(node)
        } else {
            Err(Refusal::NotLeading(leader))
        }
    }

    /// Handles a request for a leadership transfer.
    pub(crate) fn transfer(&mut self, ticket: Option<Ticket>, to: Option<NodeId>) {
        let begun = self.as_leader().and_then(|leader| leader.hand_over(to));
        let shared = self.shared_mut();
        if let Some(ticket) = ticket {
            let since = shared.now;
            shared.proxy.open += 1;
            match begun {
                Ok(()) => shared.proxy.transfer = Some((ticket, since)),
                Err(refusal) => shared.refuse(ticket, refusal),
            }
        }
    }

    /// Handles a request for a change of the membership.
    pub(crate) fn change_members(
        &mut self,
        ticket: Ticket,
        add: &[Arc<str>],
        remove: BTreeSet<NodeId>,
    ) {
        let begun = self.as_leader().and_then(|leader| {
            let begun = leader.change_members(add, remove);
            begun.map_err(Refusal::NotChanged)
        });
        let shared = self.shared_mut();
        shared.proxy.open += 1;
        match begun {
            Ok(()) => shared.proxy.change = Some(ticket),
            Err(refusal) => shared.refuse(ticket, refusal),
        }
    }

    /// Asks for an election at once, if this is a follower.
    pub(crate) fn campaign(self) -> Self {
        match self {
            Self::Follower(node) => node.campaign(),
            Self::PreCandidate(_) | Self::Candidate(_) | Self::Leader(_) => self,
        }
    }

    /// Applies the term rule, in this one place, before any role handles the message.
    pub(crate) fn receive(mut self, envelope: Envelope<S>) -> Self {
        let shared = self.shared_mut();
        let Envelope { from, to, .. } = envelope;
        if to != shared.id || from == shared.id || !shared.hears(from, &envelope.message) {
            shared.counters.dropped.stranger += 1;
            return self;
        }
        if !is_plausible(&envelope) {
            shared.counters.dropped.malformed += 1;
            return self;
        }
        let Envelope { term, message, .. } = envelope;
        // Stickiness: a node that hears from a leader, or leads a quorum, refuses every candidate
        // and adopts no term from it, unless that leader hands over (thesis §4.2.3).
        let transfers = matches!(message, Message::Vote(Vote { transfer: true, .. }));
        if message.class() == Class::Candidacy && !transfers && self.is_sticky() {
            let shared = self.shared_mut();
            shared.counters.sticky_refusals += 1;
            shared.refuse_candidate(from, &message);
            return self;
        }
        // A higher term makes every role a follower in it (§5.1).
        if term > self.shared().term() {
            self = Self::Follower(in_any_role!(self, node => node.enter(term)));
        }
        if term < self.shared().term() {
            self.shared_mut().answer_stale(from, &message);
            return self;
        }
        in_any_role!(self, node => node.receive(from, message))
    }

    /// Notes a receipt. A leader may commit the stored entries now.
    pub(crate) fn synced(&mut self, synced: &Synced) {
        let shared = self.shared_mut();
        shared.persistence.confirm(synced, shared.now);
        if let Self::Leader(node) = self {
            node.advance_commit();
        }
    }

    /// Handles the requests since the last output.
    pub(crate) fn flush(&mut self) {
        match self {
            Self::Follower(node) => node.flush(),
            Self::Leader(node) => node.flush(),
            // Requests wait until there is a leader.
            Self::PreCandidate(_) | Self::Candidate(_) => {}
        }
    }

    /// Takes a snapshot of the state if one is due, and a leader's followers can spare the log.
    pub(crate) fn capture(&mut self) {
        self.shared_mut().answer_snapshot();
        if !self.shared().snapshot_is_due() {
            return;
        }
        if self.shared().snapshots.is_doubted || !self.followers_need_log() {
            self.shared_mut().capture();
        }
    }

    /// Takes a snapshot for a client, unless the stored one holds all that is applied.
    pub(crate) fn take_snapshot(&mut self, ticket: Ticket) {
        let must_wait = self.followers_need_log();
        let shared = self.shared_mut();
        shared.proxy.open += 1;
        if must_wait || !shared.can_capture() {
            return shared.refuse(ticket, Refusal::NoSnapshot);
        }
        let applied = shared.applied();
        shared.proxy.snapshot = Some((ticket, applied));
        if applied > shared.snapshots.covered().index {
            shared.capture();
        }
    }

    fn followers_need_log(&self) -> bool {
        matches!(self, Self::Leader(node) if node.followers_need_log())
    }

    pub(crate) fn is_sticky(&self) -> bool {
        match self {
            Self::Leader(node) => node.holds_quorum(),
            Self::Follower(_) | Self::PreCandidate(_) | Self::Candidate(_) => {
                self.shared().heard_lately()
            }
        }
    }
}

/// Whether a correct peer could send the message. The roles need no further check against overflow
/// or disorder.
fn is_plausible<S: StateMachine>(envelope: &Envelope<S>) -> bool {
    /// No count from 0 reaches this.
    const UNREACHABLE: u64 = 1 << 62;
    let term = envelope.term;
    let known = |id: EntryId| {
        let first = id == EntryId::default();
        first || id.term > Term(0) && id.index.0 > 0 && id.term <= term && id.index.0 < UNREACHABLE
    };
    term.0 < UNREACHABLE
        && match &envelope.message {
            Message::PreVote(pre_vote) => known(pre_vote.last),
            Message::Vote(vote) => term > Term(0) && known(vote.last),
            Message::TimeoutNow(timeout_now) => term > Term(0) && known(timeout_now.last),
            Message::Append(append) => {
                let entries = &append.entries;
                let mut ends = entries.first().into_iter().chain(entries.last());
                known(append.prev)
                    && ends.all(|entry| entry.id.index.0 > 0 && known(entry.id))
                    && follow(append.prev, entries)
                    && append.commit.0 < UNREACHABLE
            }
            Message::AppendRejected(AppendRejected { prev, hint, .. }) => {
                known(*prev) && known(*hint) && hint.index <= prev.index
            }
            Message::SnapshotChunk(chunk) => {
                let snapshot = chunk.snapshot;
                let left = snapshot.length.checked_sub(chunk.offset);
                snapshot.last.index.0 > 0
                    && known(snapshot.last)
                    && snapshot.length > 0
                    && left.is_some_and(|left| chunk.data.len() as u64 <= left)
            }
            Message::ChunkReceived(received) => {
                received.asked.max(received.offset) <= received.snapshot.length
            }
            Message::Round(round) => known(round.commit),
            Message::ReadIndexReply(reply) => known(reply.commit),
            Message::Appended(appended) => appended.matched.0 < UNREACHABLE,
            Message::PreVoteReply(_)
            | Message::VoteReply(_)
            | Message::RoundReply(_)
            | Message::ReadIndex(_)
            | Message::Forward(_)
            | Message::ForwardReply(_)
            | Message::Outdated(_)
            | Message::TimeoutNowReply(_) => true,
        }
}
