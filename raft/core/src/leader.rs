//! Leaders: append, replicate, commit, and prove that they still lead (§5.3, §5.4, thesis §6.4).

pub(crate) mod change;
pub(crate) mod handover;
pub(crate) mod progress;
pub(crate) mod reads;
pub(crate) mod snapshot_stream;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use self::change::{Change, streams};
use self::handover::Handover;
use self::progress::{Peer, Progress, Rejection, send_append, send_entries};
use self::reads::{Reader, Reads, TermCommitted};
use crate::clock::{Moment, Patience};
use crate::entry::Payload;
use crate::follower::Follower;
use crate::id::{Incarnation, Index, NodeId, RequestId, SnapshotId};
use crate::machine::StateMachine;
use crate::message::{
    AppendRejected, Appended, ChunkReceived, Forward, Message, ReadIndex, ReadIndexReply, Round,
    RoundReply,
};
use crate::node::{Node, Role};
use crate::proxy::Request;
use crate::raft::Raft;
use crate::response::{Refusal, Response};
use crate::shared::Shared;

/// What only a leader has.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Leader<S: StateMachine> {
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    pub(crate) reads: Reads<S>,
    /// The leadership transfer under way. Meanwhile this leader takes no commands.
    pub(crate) handover: Option<Handover>,
    /// The change of the membership that waits for its new voters.
    pub(crate) change: Option<Change>,
    /// How long this leader may lack contact to a quorum: the longest election timeout, or twice
    /// the time that its votes took, since round trips may take that long.
    pub(crate) patience: Patience,
}

impl<S: StateMachine> Leader<S> {
    /// Begins the leadership with a blank entry: its commit commits all entries before it (§5.4.2,
    /// §8). It became a candidate at `since`.
    pub(crate) fn new(shared: &mut Shared<S>, since: Moment) -> Self {
        shared.counters.elections_won += 1;
        let votes_took = shared.now.since(since);
        let longest = shared.config.longest_election;
        let patience = Patience(longest.max(votes_took.saturating_mul(2)));
        shared.heard_leader(shared.id);
        shared.proxy.take_sent();
        let blank = shared.append(Payload::Blank);
        let now = shared.now;
        let others = streams(shared);
        let peer = |node| (node, Peer::new(shared.next_request_id(), blank.index, now));
        Self {
            peers: others.into_iter().map(peer).collect(),
            reads: Reads::new(now),
            handover: None,
            change: None,
            patience,
        }
    }

    /// The followers that get a snapshot: which one, and how many bytes each is known to have.
    pub(crate) fn snapshot_streams(&self) -> BTreeMap<NodeId, (SnapshotId, u64)> {
        let snapshot_stream = |(node, peer): (&NodeId, &Peer)| match &peer.progress {
            Progress::Snapshot(stream) => Some((*node, (stream.id, stream.offset))),
            Progress::Probe { .. } | Progress::Replicate { .. } => None,
        };
        self.peers.iter().filter_map(snapshot_stream).collect()
    }

    /// The follower that sent a reply, if the reply counts. A reply of a former stream does not.
    /// A reply of another incarnation does not either, and begins a new stream: the restarted
    /// follower may have lost its disk, so its former acknowledgements must not count.
    fn replied(
        &mut self,
        shared: &mut Shared<S>,
        from: NodeId,
        stream: RequestId,
        incarnation: Incarnation,
    ) -> Option<&mut Peer> {
        let Some(peer) = self.peers.get_mut(&from).filter(|p| p.stream == stream) else {
            shared.counters.dropped.stale_reply += 1;
            return None;
        };
        peer.heard = shared.now;
        if peer.counts(incarnation) {
            return Some(peer);
        }
        shared.counters.streams_restarted += 1;
        let next = shared.log().last().index.next();
        *peer = Peer::new(shared.next_request_id(), next, shared.now);
        peer.send_heartbeat(shared, from);
        None
    }
}

impl<S: StateMachine> Role<S> for Leader<S> {
    fn leave(self, shared: &mut Shared<S>) {
        let reads = self.reads.into_local();
        shared.proxy.wait_again(reads.map(Request::Read));
        shared.end_change(Response::Unknown);
    }
}

impl<S: StateMachine> Node<Leader<S>, S> {
    /// Whether this leader heard from a quorum lately (CheckQuorum, thesis §6.2).
    pub(crate) fn holds_quorum(&self) -> bool {
        let Self { shared, role } = self;
        let heard = |peer: &Peer| !shared.now.is_past(peer.heard, role.patience.0);
        shared
            .membership()
            .is_quorum(|node| node == shared.id || role.peers.get(&node).is_some_and(heard))
    }

    pub(crate) fn tick(mut self) -> Raft<S> {
        if !self.holds_quorum() {
            self.shared.counters.quorum_lost += 1;
            return Raft::Follower(self.follow());
        }
        self.expire_change();
        self.advance_change();
        let must_leave = self.is_removed() && self.role.handover.is_none();
        if must_leave && self.hand_over(None).is_err() {
            return Raft::Follower(self.resign());
        }
        let now = self.shared.now;
        let deadline = self.shared.config.request_deadline;
        for read in self.role.reads.expired(now, deadline) {
            self.shared.refuse(read.ticket, Refusal::ReadExpired);
        }
        // The messages of the newest round may have been lost.
        if now.is_past(self.role.reads.announced, self.shared.config.heartbeat) {
            self.announce_round();
        }
        self.heartbeat();
        Raft::Leader(self)
    }

    pub(crate) fn receive(mut self, from: NodeId, message: Message<S>) -> Raft<S> {
        match message {
            Message::Appended(appended) => self.appended(from, appended),
            Message::AppendRejected(rejected) => self.append_rejected(from, rejected),
            Message::ChunkReceived(received) => self.chunk_received(from, received),
            Message::RoundReply(RoundReply { id }) => {
                // A reply after those of a quorum is normal: its round has ended.
                if self.role.peers.contains_key(&from) && self.role.reads.confirm(from, id) {
                    self.hear(from);
                    self.serve_reads();
                }
            }
            Message::ReadIndex(ReadIndex { id }) => {
                if self.role.reads.len() < self.shared.config.limits.reads {
                    self.role.reads.waiting.push(Reader::Remote(from, id));
                } else {
                    // The other node repeats its request.
                    self.shared.counters.dropped.overflow += 1;
                }
            }
            Message::ReadIndexReply(_) => self.shared.counters.dropped.unexpected += 1,
            Message::Forward(forward) => self.forward(from, forward),
            Message::TimeoutNowReply(reply) => return self.timeout_now_answered(from, reply),
            other => self.shared.receive(from, other),
        }
        Raft::Leader(self)
    }

    /// Handles all requests since the last flush: appends the writes, begins one round for the
    /// reads, and sends each follower the entries that it lacks.
    pub(crate) fn flush(&mut self) {
        let (writes, reads) = self.shared.proxy.dispatch();
        for write in writes {
            if self.has_room() {
                let index = self.append(write.command.clone());
                self.shared.proxy.propose(index, write);
            } else if write.was_sent {
                self.shared.proxy.wait_again([Request::Write(write)]);
            } else {
                let refusal = match self.role.handover {
                    Some(_) => Refusal::Transferring,
                    None => Refusal::Full,
                };
                self.shared.refuse(write.ticket, refusal);
            }
        }
        let limit = self.shared.config.limits.reads;
        for read in reads {
            if self.role.reads.len() < limit {
                self.role.reads.waiting.push(Reader::Local(read));
            } else {
                self.shared.refuse(read.ticket, Refusal::Full);
            }
        }
        self.begin_round();
        self.replicate();
        self.send_timeout_now();
    }

    /// Leaves the leadership after its removal is committed, if no voter takes it over. The others
    /// learn of that commit first.
    pub(super) fn resign(mut self) -> Node<Follower<S>, S> {
        let Self { shared, role } = &mut self;
        for (&to, peer) in &mut role.peers {
            peer.send_heartbeat(shared, to);
        }
        self.follow()
    }

    // ---- Writes.

    /// Whether this leader takes a command now.
    fn has_room(&self) -> bool {
        let (applied, last) = (self.shared.applied(), self.shared.log().last().index);
        let limits = &self.shared.config.limits;
        self.role.handover.is_none()
            && self.shared.takes_entries()
            && !self.shared.log_is_full()
            && last.0 - applied.0 < limits.proposals as u64
            && self.shared.log().bytes(applied, last) < limits.uncommitted_bytes as u64
    }

    fn append(&mut self, command: Arc<S::Command>) -> Index {
        self.shared.append(Payload::Command(command)).index
    }

    /// Appends a command that another node forwards. That node sends it again if it gets no answer.
    fn forward(&mut self, from: NodeId, Forward { id, command }: Forward<S>) {
        if self.shared.proxy.is_appended(from, id) {
            self.shared.counters.dropped.repeated_forward += 1;
        } else if self.has_room() {
            let index = self.append(command);
            self.shared.proxy.append(index, from, id);
        } else {
            self.shared.counters.dropped.overflow += 1;
        }
    }

    // ---- Replication (§5.3).

    /// Sends each follower the entries that it lacks, within its window.
    fn replicate(&mut self) {
        let Self { shared, role } = self;
        let last = shared.log().last().index;
        for (&to, peer) in &mut role.peers {
            peer.switch_to_snapshot_if_compacted(shared);
            peer.send_chunks(shared, to);
            while let Some(next) = peer.next_to_send(&shared.config.limits)
                && next <= last
            {
                send_append(shared, to, peer, next, last);
            }
        }
    }

    /// Sends an empty Append to each follower that got no message for an interval, or whose
    /// acknowledgement is overdue: the follower rejects it if it missed an earlier Append.
    fn heartbeat(&mut self) {
        let Self { shared, role } = self;
        let (now, interval) = (shared.now, shared.config.heartbeat);
        for (&to, peer) in &mut role.peers {
            let silent = now.is_past(peer.sent, interval);
            let overdue = peer.awaits_reply() && now.is_past(peer.appended, interval);
            if silent || overdue {
                peer.send_heartbeat(shared, to);
            }
        }
    }

    fn hear(&mut self, from: NodeId) {
        if let Some(peer) = self.role.peers.get_mut(&from) {
            peer.heard = self.shared.now;
        }
    }

    fn appended(&mut self, from: NodeId, appended: Appended) {
        let Self { shared, role } = self;
        let Some(peer) = role.replied(shared, from, appended.stream, appended.incarnation) else {
            return;
        };
        if appended.matched <= shared.log().last().index {
            peer.acknowledged(appended.matched, shared.log().base().index);
            let longest = shared.config.longest_election;
            peer.end_round(shared.log().last().index, shared.now, longest);
            self.advance_commit();
        } else {
            shared.counters.dropped.stale_reply += 1;
        }
    }

    fn append_rejected(&mut self, from: NodeId, rejected: AppendRejected) {
        let Self { shared, role } = self;
        let Some(peer) = role.replied(shared, from, rejected.stream, rejected.incarnation) else {
            return;
        };
        let (prev, hint) = (rejected.prev, rejected.hint);
        shared.counters.appends_rejected += 1;
        // A place before the base is unknown here: the follower needs a snapshot.
        let guess = shared.log().hint(hint).map_or(Index(0), |id| id.index);
        let same = shared.log().holds(hint);
        let interval = shared.config.heartbeat;
        match peer.rejected(prev, guess, same, shared.now, interval) {
            Rejection::Stale => shared.counters.dropped.stale_reply += 1,
            // The limits of Appends in flight bound the gap too.
            Rejection::Gap {
                from: mut first,
                to,
            } => {
                while first <= to {
                    first = send_entries(shared, from, peer, first, to).0.next();
                }
            }
            Rejection::Diverged => {
                peer.switch_to_snapshot_if_compacted(shared);
                let last = shared.log().last().index;
                if let Some(next) = peer.next_to_send(&shared.config.limits) {
                    send_append(shared, from, peer, next, last);
                }
            }
        }
    }

    // ---- Snapshots (§7).

    /// Whether a reachable follower lacks entries that the next snapshot would compact. Until the
    /// log reaches its limits, the next snapshot waits for such a follower. Otherwise the leader
    /// could send snapshots forever, each outdated before the follower has all of it.
    pub(crate) fn followers_need_log(&self) -> bool {
        let Self { shared, role } = self;
        let (log, limits) = (shared.log(), &shared.config.limits);
        if shared.log_reaches(limits.retained_entries, limits.retained_bytes) {
            return false;
        }
        let (entries, bytes) = (limits.trailing_entries, limits.trailing_bytes);
        let cut = log.cut(shared.commit(), entries, bytes);
        role.peers
            .values()
            .any(|peer| peer.matched < cut && !shared.now.is_past(peer.heard, role.patience.0))
    }

    /// Notes how much of a snapshot a follower has.
    fn chunk_received(&mut self, from: NodeId, received: ChunkReceived) {
        let Self { shared, role } = self;
        let peer = role.peers.get_mut(&from);
        let peer = peer.filter(|peer| peer.stream == received.stream);
        let (asked, offset) = (received.asked, received.offset);
        if let Some(peer) = peer {
            peer.heard = shared.now;
            if let Progress::Snapshot(snapshot_stream) = &mut peer.progress
                && snapshot_stream.id == received.snapshot
            {
                if received.broken && snapshot_stream.refused(shared.now) {
                    shared.counters.snapshots_refused += 1;
                    shared.snapshots.doubt(received.snapshot);
                    return;
                }
                let before = snapshot_stream.offset;
                let interval = shared.config.heartbeat;
                let is_news = snapshot_stream.answered(asked, offset, shared.now, interval);
                if is_news && offset <= before {
                    shared.counters.chunks_repeated += 1;
                }
                return;
            }
        }
        shared.counters.dropped.stale_reply += 1;
    }

    // ---- Commitment (§5.3, §5.4.2).

    /// Commits the entries that a quorum has on disk, if the last of them is of this term. Until an
    /// entry of this term commits, older entries on a quorum may still be replaced (Figure 8).
    pub(crate) fn advance_commit(&mut self) {
        let Self { shared, role } = self;
        let own = shared.persistence.index();
        let stored = |node| match role.peers.get(&node) {
            _ if node == shared.id => own,
            Some(peer) => peer.matched,
            None => Index(0),
        };
        let reached = shared.membership().quorum_reached(stored);
        let term = shared.log().id_at(reached).map(|id| id.term);
        if reached > shared.commit() && term == Some(shared.term()) {
            let before = shared.commit();
            shared.commit_to(reached);
            let log = shared.log();
            if !Arc::ptr_eq(log.membership_at(before), log.membership_at(reached)) {
                self.sync_peers();
            }
        }
        self.advance_change();
    }

    /// The proof that this leader has committed in its own term, once it has.
    fn term_committed(&self) -> Option<TermCommitted> {
        let committed = self.shared.committed().term;
        (committed == self.shared.term()).then_some(TermCommitted { term: committed })
    }

    // ---- Reads (thesis §6.4).

    fn begin_round(&mut self) {
        let committed = self.term_committed();
        let Self { shared, role } = self;
        let wants_round = role.reads.wants_round(shared.config.limits.rounds);
        let Some(committed) = committed.filter(|_| wants_round) else {
            return;
        };
        let id = shared.next_request_id();
        // A node without others waits for its disk only: then a client that sends a read right after
        // a write, without waiting, sees that write. Another node must not hear of an entry that is
        // not committed.
        let is_alone = role.peers.is_empty() && shared.membership().is_lone_voter(shared.id);
        let index = if is_alone {
            shared.log().last().index
        } else {
            shared.commit()
        };
        let (me, term, now) = (shared.id, shared.term(), shared.now);
        role.reads.begin(id, index, me, term, &committed, now);
        self.announce_round();
        self.serve_reads();
    }

    /// Sends the newest round to each follower that has not confirmed it.
    fn announce_round(&mut self) {
        let Self { shared, role } = self;
        let Some((id, confirmed)) = role.reads.unconfirmed() else {
            return;
        };
        let commit = shared.committed();
        for (&to, peer) in &mut role.peers {
            if !confirmed.contains(&to) {
                peer.sent = shared.now;
                shared.send(to, Message::Round(Round { id, commit }));
            }
        }
        role.reads.announced = shared.now;
    }

    pub(super) fn serve_reads(&mut self) {
        let Self { shared, role } = self;
        for (index, reader) in role.reads.take_confirmed(shared.membership()) {
            match reader {
                Reader::Local(read) => shared.proxy.hold(index, read),
                Reader::Remote(node, id) => {
                    // The base is committed too.
                    let commit = shared.log().id_at(index).unwrap_or(shared.log().base());
                    let reply = ReadIndexReply { id, commit };
                    shared.send(node, Message::ReadIndexReply(reply));
                }
            }
        }
        shared.serve_confirmed_reads();
    }
}
