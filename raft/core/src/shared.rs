//! The state that all roles share.

mod snapshots;

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::mem;

use rand::Rng;

use crate::ballot::Ballot;
use crate::clock::{Countdown, Moment};
use crate::config::Config;
use crate::counters::Counters;
use crate::entry::{Entry, Payload};
use crate::id::{
    EntryId, Incarnation, Index, Names, NodeId, Rename, RequestId, SnapshotId, Term, Ticket,
};
use crate::input::Restored;
use crate::log::Log;
use crate::machine::StateMachine;
use crate::membership::Membership;
use crate::message::{
    Class, Envelope, ForwardReply, Message, Outdated, PreVote, PreVoteReply, ReadIndexReply, Vote,
    VoteReply,
};
use crate::output::ChunkToSend;
use crate::persistence::{Persistence, Record};
use crate::proxy::{Origin, Proxy, Request};
use crate::response::{Refusal, Reply, Response};
use crate::search::renames;
use crate::snapshot::Snapshots;

/// The state that all roles share.
#[derive(Clone, Debug)]
pub(crate) struct Shared<S: StateMachine> {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    /// Term and vote. Private, so that each change makes a record.
    ballot: Ballot,
    /// The log. Private, so that each change makes a record.
    log: Log<S>,
    commit: Index,
    /// `lastApplied`: the machine holds all entries through this one. Each output applies some of
    /// the committed entries, so that no step takes long.
    applied: Index,
    /// The last entry that a leader is known to have committed. This log may not hold it yet.
    learned: EntryId,
    machine: S,
    pub(crate) snapshots: Snapshots<S>,
    pub(crate) persistence: Persistence,
    pub(crate) proxy: Proxy<S>,
    /// The leader of this term, if it is known. A second one in the same term stops the node.
    leader_of_term: Option<NodeId>,
    /// When this node last heard from a leader of this term.
    heard: Option<Moment>,
    /// The factor of the next election timeout.
    backoff: u32,
    /// Whether a reply arrived after the timeout of its election since the last one ran out.
    late_reply: bool,
    pub(crate) now: Moment,
    rng: Rng,
    incarnation: Incarnation,
    requests: RequestCount,
    pub(crate) records: Vec<Record<S::Command>>,
    /// The bytes of the entries in `records`.
    pub(crate) record_bytes: u64,
    pub(crate) messages: Vec<Envelope<S>>,
    /// Chunks of the stored snapshot that followers need.
    pub(crate) chunks: Vec<ChunkToSend>,
    pub(crate) replies: Vec<Reply<S>>,
    pub(crate) counters: Counters,
}

/// The number of request ids that an incarnation has given.
#[derive(Clone, Copy, Debug, Hash)]
struct RequestCount(u64);

/// Under other names the count makes no difference: the next id is a new one in any case.
impl Rename for RequestCount {
    fn rename(&mut self, _: &mut dyn Names) {
        self.0 = 0;
    }
}

/// Elections without any reply make the election timeout this many times its usual length. Not
/// more: the silence says nothing about round trips, and the wait outlasts it.
const SILENT_BACKOFF: u32 = 2;

/// Replies that arrive late make the election timeout up to this many times its usual length.
const MAX_BACKOFF: u32 = 8;

impl<S: StateMachine> Shared<S> {
    pub(crate) fn new(restored: Restored<S>) -> Self {
        let snapshots = Snapshots::new(restored.snapshot);
        let (ballot, incarnation) = (restored.ballot, restored.incarnation);
        let base = snapshots.covered();
        let log = Log::new(base, restored.membership, restored.entries);
        let (term, last) = (ballot.term(), log.last());
        assert!(
            last.term <= term,
            "the ballot is stored before the entries of its term"
        );
        Self {
            id: restored.id,
            config: restored.config,
            ballot,
            commit: base.index,
            applied: base.index,
            learned: base,
            machine: restored.machine,
            snapshots,
            persistence: Persistence::new(restored.id, incarnation, term, last.index),
            log,
            proxy: Proxy::new(),
            leader_of_term: None,
            heard: None,
            backoff: 1,
            late_reply: false,
            now: Moment::default(),
            rng: Rng::seeded(restored.seed),
            incarnation,
            requests: RequestCount(0),
            records: Vec::new(),
            record_bytes: 0,
            messages: Vec::new(),
            chunks: Vec::new(),
            replies: Vec::new(),
            counters: Counters::default(),
        }
    }

    // ---- State that roles read and only the functions below change.

    pub(crate) fn ballot(&self) -> Ballot {
        self.ballot
    }

    pub(crate) fn term(&self) -> Term {
        self.ballot.term()
    }

    pub(crate) fn log(&self) -> &Log<S> {
        &self.log
    }

    /// The membership in use.
    pub(crate) fn membership(&self) -> &Membership {
        self.log.membership()
    }

    /// The commit index.
    pub(crate) fn commit(&self) -> Index {
        self.commit
    }

    /// The index of the last applied entry.
    pub(crate) fn applied(&self) -> Index {
        self.applied
    }

    /// The id of the last committed entry.
    pub(crate) fn committed(&self) -> EntryId {
        self.log
            .id_at(self.commit)
            .expect("the committed entry is in the log, or is its base")
    }

    pub(crate) fn machine(&self) -> &S {
        &self.machine
    }

    /// Whether this node was a member, and is none by the last committed entry with members, nor by any
    /// later one. One that waits to be added has an id that was not given by the entries that it has.
    pub(crate) fn was_removed(&self) -> bool {
        let lacks = |members: &Membership| self.id < members.next() && !members.contains(self.id);
        lacks(self.membership()) && lacks(self.log.membership_at(self.commit))
    }

    /// Whether no node can have led yet: the term is 0, or it is that of the log's one entry, which
    /// no leader appended since it has the members at the start of the cluster (thesis §4.4).
    pub(crate) fn is_first_election(&self) -> bool {
        let (term, last) = (self.term(), self.log.last());
        let is_initial = |entry: &Entry<_>| matches!(entry.payload, Payload::Membership(_));
        term == Term(0)
            || (last.term, last.index) == (term, Index(1))
                && self.log.entry(last.index).is_some_and(is_initial)
    }

    // ---- Sending.

    pub(crate) fn send(&mut self, to: NodeId, message: Message<S>) {
        self.messages.push(Envelope {
            from: self.id,
            to,
            term: self.term(),
            message,
        });
    }

    /// Sends a message to all other voters.
    pub(crate) fn broadcast(&mut self, message: &Message<S>) {
        let voters: Vec<NodeId> = self.membership().voters().collect();
        for to in voters {
            if to != self.id {
                self.send(to, message.clone());
            }
        }
    }

    /// This node's present incarnation.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// A new request id.
    pub(crate) fn next_request_id(&mut self) -> RequestId {
        self.requests.0 += 1;
        RequestId {
            incarnation: self.incarnation,
            counter: self.requests.0,
        }
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, response: Response<S>) {
        let reply = self.proxy.answer(ticket, response);
        self.replies.push(reply);
    }

    pub(crate) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        self.reply(ticket, Response::Refused(refusal));
    }

    // ---- Terms and votes (§5.1, §5.2).

    /// Enters a higher term, whose leader is unknown yet.
    pub(crate) fn enter_term(&mut self, term: Term) {
        self.ballot.enter(term);
        self.leader_of_term = None;
        self.heard = None;
        self.record_ballot();
    }

    /// Votes in the current term.
    pub(crate) fn vote_for(&mut self, candidate: NodeId) {
        self.ballot.vote_for(candidate);
        self.record_ballot();
    }

    fn record_ballot(&mut self) {
        // No message leaves between two ballots of one batch, so the last one suffices.
        if let Some(Record::Ballot(_)) = self.records.last() {
            self.records.pop();
        }
        self.records.push(Record::Ballot(self.ballot));
    }

    /// Notes that this node heard from a leader of the current term.
    ///
    /// # Panics
    /// If another node led in this term: Election Safety (Figure 3) is broken, and further steps
    /// could lose committed entries.
    pub(crate) fn heard_leader(&mut self, leader: NodeId) {
        let known = *self.leader_of_term.get_or_insert(leader);
        assert_eq!(known, leader, "a second leader in term {}", self.term());
        self.heard = Some(self.now);
        self.backoff = 1;
        self.late_reply = false;
        self.end_transfer(match leader == self.id {
            true => Response::Refused(Refusal::TransferExpired),
            false => Response::Transferred,
        });
    }

    /// Whether this node heard from a leader within the shortest election timeout: then no election
    /// is needed, and a candidate has lost its connection (§6, thesis §4.2.3).
    pub(crate) fn heard_lately(&self) -> bool {
        let shortest = self.config.shortest_election;
        self.heard
            .is_some_and(|heard| !self.now.is_past(heard, shortest))
    }

    /// A random election timeout, as long as the backoff makes it.
    pub(crate) fn election_countdown(&mut self) -> Countdown {
        Countdown::election(&self.config, &mut self.rng, self.backoff)
    }

    /// Shortens the next election timeout: other nodes can be heard again.
    pub(crate) fn ease_backoff(&mut self) {
        self.backoff = (self.backoff / 2).max(1);
    }

    /// Notes a reply to an election that has timed out: round trips are slow.
    pub(crate) fn note_late_reply(&mut self) {
        self.late_reply = true;
        self.counters.dropped.stale_reply += 1;
    }

    /// Sets the election timeout after an election without a result. Late replies double it, so
    /// that elections succeed at any latency.
    pub(crate) fn back_off(&mut self) {
        self.backoff = if mem::take(&mut self.late_reply) {
            (self.backoff * 2).min(MAX_BACKOFF)
        } else {
            (self.backoff / 2).max(SILENT_BACKOFF)
        };
    }

    /// Whether this node may ask for votes: if it votes, or if the entry that removes it is not known
    /// to be committed. Until then the cluster may need its log, which may be the only one that can
    /// win (thesis §4.2.2). A node that starts may know less to be committed than before.
    pub(crate) fn may_campaign(&self) -> bool {
        self.log.is_voter_from(self.commit, self.id)
    }

    /// Answers a message of a lower term. A stale leader or candidate gets a reply of this node's
    /// higher term, and so steps down; drops other messages.
    pub(crate) fn answer_stale(&mut self, from: NodeId, message: &Message<S>) {
        match message.class() {
            Class::FromLeader => self.send(from, Message::Outdated(Outdated)),
            Class::Candidacy => self.refuse_candidate(from, message),
            Class::Reply | Class::Request => self.counters.dropped.stale_term += 1,
        }
    }

    /// Refuses a candidate's message, without adopting its term.
    pub(crate) fn refuse_candidate(&mut self, from: NodeId, message: &Message<S>) {
        let granted = false;
        let refusal = if let Message::PreVote(PreVote { round, .. }) = *message {
            Message::PreVoteReply(PreVoteReply { round, granted })
        } else {
            Message::VoteReply(VoteReply { granted })
        };
        self.send(from, refusal);
    }

    /// Answers a pre-vote of the current term. Changes no state (thesis §9.6).
    fn pre_vote(&mut self, from: NodeId, PreVote { round, last }: PreVote) {
        let granted = last >= self.log.last();
        self.send(from, Message::PreVoteReply(PreVoteReply { round, granted }));
    }

    /// Answers a vote of the current term (§5.2, §5.4.1). Returns whether it was granted.
    pub(crate) fn vote(&mut self, from: NodeId, Vote { last, .. }: Vote) -> bool {
        let granted = self.ballot.may_vote_for(from) && last >= self.log.last();
        if granted && self.ballot.vote().is_none() {
            self.vote_for(from);
        }
        self.send(from, Message::VoteReply(VoteReply { granted }));
        granted
    }

    /// Whether a message of this sender counts. A candidate or a leader may be a member already, or
    /// still, though this log does not say so (thesis §4.1). Replies and requests count from members,
    /// from former ones until their removal is committed, and from the present leader.
    pub(crate) fn hears(&self, from: NodeId, message: &Message<S>) -> bool {
        match message.class() {
            Class::Candidacy | Class::FromLeader => true,
            Class::Reply | Class::Request => {
                self.membership().contains(from)
                    || self.log.membership_at(self.commit).contains(from)
                    || self.leader_of_term == Some(from)
            }
        }
    }

    /// Handles a message of the current term in the way common to all roles. A role calls it for
    /// the kinds that it does not handle itself.
    ///
    /// # Panics
    /// At a message that only a leader sends: each role but the leader follows its sender. If this
    /// node leads too, Election Safety (Figure 3) is broken, and further steps could lose committed
    /// entries.
    pub(crate) fn receive(&mut self, from: NodeId, message: Message<S>) {
        match message {
            Message::PreVote(pre_vote) => self.pre_vote(from, pre_vote),
            Message::Vote(vote) => {
                self.vote(from, vote);
            }
            Message::Append(_)
            | Message::SnapshotChunk(_)
            | Message::Round(_)
            | Message::TimeoutNow(_) => {
                panic!("node {from} also leads in term {}", self.term())
            }
            Message::PreVoteReply(_)
            | Message::VoteReply(_)
            | Message::Appended(_)
            | Message::AppendRejected(_)
            | Message::ChunkReceived(_)
            | Message::RoundReply(_)
            | Message::TimeoutNowReply(_) => self.counters.dropped.stale_reply += 1,
            // The other node sends it again, to the leader once it knows one.
            Message::ReadIndex(_) | Message::Forward(_) => self.counters.dropped.unexpected += 1,
            Message::ReadIndexReply(reply) => self.read_index_decided(reply),
            Message::ForwardReply(reply) => self.forward_decided(reply),
            // It carries only its term, which the term rule has handled.
            Message::Outdated(_) => {}
        }
    }

    // ---- The disk.

    /// Whether the disk has stored nothing for the longest election timeout, though records wait, or
    /// a leader's snapshot, or a full log for a snapshot.
    pub(crate) fn is_disk_stalled(&self) -> bool {
        let (now, longest) = (self.now, self.config.longest_election);
        self.is_log_stalled()
            || self.snapshots.is_stalled(now, longest)
                && (self.snapshots.installs_after(self.commit()) || self.log_is_full())
    }

    /// Whether the disk has stored nothing for the longest election timeout, though records wait.
    pub(crate) fn is_log_stalled(&self) -> bool {
        let (now, longest) = (self.now, self.config.longest_election);
        self.persistence.is_stalled(now, longest)
    }

    /// Whether the entries that wait for the disk leave room for more.
    pub(crate) fn takes_entries(&self) -> bool {
        self.persistence.bytes() < self.config.limits.unsynced_bytes as u64
    }

    // ---- The log.

    /// Whether the log holds this many entries or bytes after the last snapshot.
    pub(crate) fn log_reaches(&self, entries: u64, bytes: u64) -> bool {
        let (covered, last) = (self.snapshots.covered().index, self.log.last().index);
        last.0 - covered.0 >= entries || self.log.bytes(covered, last) >= bytes
    }

    /// Whether the log may not grow until the snapshot that is being made is stored. Without one,
    /// too few entries are committed, and only further entries let them commit.
    pub(crate) fn log_is_full(&self) -> bool {
        let limits = &self.config.limits;
        !self.snapshots.is_idle() && self.log_reaches(limits.log_entries, limits.log_bytes)
    }

    /// Appends a new entry of this leader.
    pub(crate) fn append(&mut self, payload: Payload<S::Command>) -> EntryId {
        let id = self.log.append(self.term(), payload.clone());
        self.record_entries(id.index, [Entry { id, payload }]);
        id
    }

    /// Puts a leader's entries after `prev`, which the log holds. False if that would replace a
    /// committed entry: no correct leader sends that.
    pub(crate) fn splice(&mut self, prev: EntryId, entries: Vec<Entry<S::Command>>) -> bool {
        let conflict = entries.iter().find(|entry| !self.log.holds(entry.id));
        if conflict.is_some_and(|entry| entry.id.index <= self.commit) {
            return false;
        }
        let last = self.log.last().index;
        let new = self.log.splice(prev, entries);
        if let Some(first) = new.first().map(|entry| entry.id.index) {
            if first <= last {
                self.persistence.truncate(first);
                self.proxy.truncate(first);
                self.counters.entries_truncated += last.0 - first.previous().0;
            }
            self.record_entries(first, new);
        }
        true
    }

    /// Adopts a leader's snapshot through `last`, which is on disk (Figure 13, steps 6 to 8). If the
    /// log holds `last`, it holds all entries of the snapshot, and only has to apply them.
    /// Otherwise the log is shorter or in conflict, and the snapshot replaces all of it. False if
    /// that would change a committed entry, or a leader's own log: no correct leader sent it.
    pub(crate) fn adopt(&mut self, last: EntryId, membership: Membership, machine: S) -> bool {
        if self.log.holds(last) {
            if last.index > self.commit {
                self.commit_to(last.index);
                self.apply();
            }
            return true;
        }
        if last.index <= self.commit || self.leader_of_term == Some(self.id) {
            return false;
        }
        let uncommitted = self.log.last().index.0 - self.commit.0;
        self.counters.entries_truncated += uncommitted;
        self.persistence.truncate(self.commit.next());
        self.log = Log::new(last, membership, Vec::new());
        self.commit = last.index;
        self.applied = last.index;
        self.machine = machine;
        self.proxy.truncate(Index(0));
        self.commit_learned();
        self.serve_confirmed_reads();
        true
    }

    /// Makes a snapshot that is on disk, and applied here, the base of the stored log. Memory keeps
    /// some more entries, for lagging followers.
    pub(crate) fn set_base(&mut self, id: SnapshotId) {
        let is_new = id.last > self.snapshots.covered();
        self.snapshots.store(id);
        if is_new {
            self.records.push(Record::Base(id.last));
        }
        let limits = &self.config.limits;
        let (entries, bytes) = (limits.trailing_entries, limits.trailing_bytes);
        let cut = self.log.cut(id.last.index, entries, bytes);
        // Entries of a leader's snapshot may not be applied yet.
        self.log.compact(cut.min(self.applied));
    }

    /// Records entries that the log has just taken at its end, from `first` on.
    fn record_entries(
        &mut self,
        first: Index,
        entries: impl IntoIterator<Item = Entry<S::Command>>,
    ) {
        let last = self.log.last().index;
        self.record_bytes += self.log.bytes(first.previous(), last);
        match self.records.last_mut() {
            Some(Record::Entries(run))
                if run.last().is_some_and(|last| last.id.index.next() == first) =>
            {
                run.extend(entries);
            }
            _ => {
                let run = entries.into_iter().collect();
                self.records.push(Record::Entries(run));
            }
        }
    }

    /// Commits all entries through `index`.
    pub(crate) fn commit_to(&mut self, index: Index) {
        assert!(index <= self.log.last().index, "only logged entries commit");
        self.commit = index;
    }

    /// Applies the next committed entries, as many as one output may, and replies to the waiting
    /// clients.
    pub(crate) fn apply(&mut self) {
        let limits = &self.config.limits;
        let (entries, bytes) = (limits.apply_entries, limits.apply_bytes);
        let before = self.applied;
        while self.applied < self.commit
            && self.applied.0 - before.0 < entries
            && self.log.bytes(before, self.applied) < bytes
        {
            self.applied = self.applied.next();
            let entry = self.log.entry(self.applied).expect("it is not compacted");
            let outcome = match &entry.payload {
                Payload::Blank | Payload::Membership(_) => None,
                Payload::Command(command) => Some(self.machine.apply(command)),
            };
            match (self.proxy.applied(self.applied), outcome) {
                (Some(Origin::Local(ticket)), Some(outcome)) => {
                    self.reply(ticket, Response::Applied(outcome));
                }
                (Some(Origin::Remote(node, id)), Some(outcome)) => {
                    self.send(node, Message::ForwardReply(ForwardReply { id, outcome }));
                }
                // No client waits here for this entry, or it is a leader's blank entry.
                (None, _) | (_, None) => {}
            }
        }
        self.serve_confirmed_reads();
    }

    /// Notes that a leader has committed `id`. If this log holds that entry, it holds all entries
    /// before it too (Log Matching), and commits through it.
    pub(crate) fn learn_commit(&mut self, id: EntryId) {
        self.learned = self.learned.max(id);
        self.commit_learned();
    }

    /// Commits through the learned entry, if the log holds it by now.
    pub(crate) fn commit_learned(&mut self) {
        if self.learned.index > self.commit && self.log.holds(self.learned) {
            self.commit_to(self.learned.index);
        }
    }

    // ---- Requests.

    /// Takes a client's request, unless too many are open.
    pub(crate) fn take(&mut self, request: Request<S>) {
        self.proxy.open += 1;
        if self.proxy.open > self.config.limits.requests {
            self.refuse(request.origin().0, Refusal::Full);
        } else {
            self.proxy.waiting.push_back(request);
        }
    }

    /// Answers the client that asked for the leadership transfer, if one waits.
    pub(crate) fn end_transfer(&mut self, response: Response<S>) {
        if let Some((ticket, _)) = self.proxy.transfer.take() {
            self.reply(ticket, response);
        }
    }

    /// Answers the client that asked for the change of the membership, if one waits.
    pub(crate) fn end_change(&mut self, response: Response<S>) {
        if let Some(ticket) = self.proxy.change.take() {
            self.reply(ticket, response);
        }
    }

    /// Answers the reads whose index is applied by now.
    pub(crate) fn serve_confirmed_reads(&mut self) {
        for read in self.proxy.ready(self.applied) {
            self.answer_read(read.ticket, &read.query);
        }
    }

    /// Answers a read from the present state.
    pub(crate) fn answer_read(&mut self, ticket: Ticket, query: &S::Query) {
        let answer = self.machine.answer(query);
        self.reply(ticket, Response::Answered(answer));
    }

    /// Handles the leader's reply to a forward.
    fn forward_decided(&mut self, ForwardReply { id, outcome }: ForwardReply<S>) {
        match self.proxy.forward_decided(id, Response::Applied(outcome)) {
            Some(reply) => self.replies.push(reply),
            None => self.counters.dropped.stale_reply += 1,
        }
    }

    /// Handles the leader's reply with a read index.
    fn read_index_decided(&mut self, ReadIndexReply { id, commit }: ReadIndexReply) {
        if !self.proxy.confirm(id, commit.index) {
            self.counters.dropped.stale_reply += 1;
        }
        self.learn_commit(commit);
        self.serve_confirmed_reads();
    }
}

/// Hashes the state without its clocks, random numbers and counters, and without the
/// configuration, which never changes.
impl<S: StateMachine> Hash for Shared<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.id, self.ballot).hash(state);
        (&self.log, self.commit, self.applied, self.learned).hash(state);
        (&self.machine, &self.snapshots).hash(state);
        (&self.persistence, &self.proxy, self.leader_of_term).hash(state);
        (self.incarnation, self.requests).hash(state);
        (&self.records, &self.messages, &self.chunks, &self.replies).hash(state);
    }
}

renames! {
    [S: StateMachine] Shared<S> {
        id, ballot, log, snapshots, proxy, leader_of_term, incarnation, requests, records, messages, chunks;
        config, commit, applied, learned, machine, persistence, heard, backoff, late_reply, now, rng,
        record_bytes, replies, counters
    }
}
