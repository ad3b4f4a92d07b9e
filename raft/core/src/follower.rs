//! Followers: take entries, vote, and wait for a leader to fall silent (§5.2, §5.3).

use alloc::collections::BTreeMap;

use crate::clock::Countdown;
use crate::id::{Index, NodeId, RequestId};
use crate::log::entry_size;
use crate::machine::StateMachine;
use crate::message::{
    Append, AppendRejected, Appended, ChunkReceived, Forward, Message, ReadIndex, Round,
    RoundReply, SnapshotChunk, TimeoutNow, TimeoutNowReply,
};
use crate::node::{Node, Role};
use crate::pre_candidate::PreCandidate;
use crate::raft::Raft;

/// What only a follower has.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Follower<S: StateMachine> {
    /// The leader of this term, once this node has heard from it.
    pub(crate) leader: Option<NodeId>,
    pub(crate) countdown: Countdown,
    /// Appends that overtook others, by the index before their entries, until the gap is filled.
    /// Networks reorder messages; without this, the leader would send each Append again.
    pub(crate) early: BTreeMap<Index, Append<S>>,
}

impl<S: StateMachine> Follower<S> {
    /// A follower that has not heard from a leader of this term yet.
    pub(crate) fn new(countdown: Countdown) -> Self {
        Self {
            leader: None,
            countdown,
            early: BTreeMap::new(),
        }
    }
}

impl<S: StateMachine> Role<S> for Follower<S> {}

impl<S: StateMachine> Node<Follower<S>, S> {
    /// Counts a tick. At the election timeout, the follower becomes a pre-candidate.
    pub(crate) fn tick(mut self) -> Raft<S> {
        if self.role.countdown.tick() && self.shared.may_campaign() {
            return self.campaign();
        }
        self.send_again();
        Raft::Follower(self)
    }

    /// Becomes a pre-candidate.
    pub(crate) fn campaign(self) -> Raft<S> {
        self.become_role(PreCandidate::new).ask()
    }

    pub(crate) fn receive(mut self, from: NodeId, message: Message<S>) -> Raft<S> {
        match message {
            Message::Append(append) => {
                self.hear(from);
                self.append(from, append);
            }
            Message::SnapshotChunk(chunk) => {
                self.hear(from);
                self.chunk(from, &chunk);
            }
            Message::Round(Round { id, commit }) => {
                self.hear(from);
                // The leader counts a reply for its quorum (CheckQuorum), but with a disk that stores
                // nothing this follower commits nothing.
                if !self.shared.is_disk_stalled() {
                    self.shared
                        .send(from, Message::RoundReply(RoundReply { id }));
                }
                self.shared.learn_commit(commit);
            }
            Message::TimeoutNow(TimeoutNow { id, last }) => {
                self.hear(from);
                let shared = &mut self.shared;
                let campaigns = shared.may_campaign()
                    && shared.log().last() == last
                    && shared.persistence.index() == last.index
                    && !shared.is_disk_stalled();
                let reply = TimeoutNowReply { id, campaigns };
                shared.send(from, Message::TimeoutNowReply(reply));
                if campaigns {
                    return self.campaign_at_once();
                }
            }
            Message::Vote(vote) => {
                if self.shared.vote(from, vote) {
                    self.role.countdown = self.shared.election_countdown();
                }
            }
            other => self.shared.receive(from, other),
        }
        Raft::Follower(self)
    }

    /// Sends the waiting requests to the leader, once it is known.
    pub(crate) fn flush(&mut self) {
        let Some(leader) = self.role.leader else {
            return;
        };
        let shared = &mut self.shared;
        let (writes, reads) = shared.proxy.dispatch();
        for write in writes {
            let id = shared.next_request_id();
            let command = write.command.clone();
            shared.proxy.forward(id, write, shared.now);
            shared.send(leader, Message::Forward(Forward { id, command }));
        }
        if !reads.is_empty() {
            let id = shared.next_request_id();
            shared.proxy.ask(id, reads, shared.now);
            shared.send(leader, Message::ReadIndex(ReadIndex { id }));
        }
    }

    /// Sends requests again that the leader has not answered in time, or that it did not get yet.
    fn send_again(&mut self) {
        let Some(leader) = self.role.leader else {
            return;
        };
        let shared = &mut self.shared;
        let retry = shared.config.request_retry();
        let (writes, reads) = shared.proxy.overdue(shared.now, retry);
        for (id, command) in writes {
            shared.counters.forwards_repeated += 1;
            shared.send(leader, Message::Forward(Forward { id, command }));
        }
        for id in reads {
            shared.send(leader, Message::ReadIndex(ReadIndex { id }));
        }
    }

    /// Notes that the leader of this term sent a message.
    fn hear(&mut self, leader: NodeId) {
        self.shared.heard_leader(leader);
        self.role.countdown = self.shared.election_countdown();
        if self.role.leader.is_none() {
            self.role.leader = Some(leader);
            self.shared.proxy.send_anew();
            self.send_again();
        }
    }

    /// AppendEntries, receiver's side (Figure 2).
    fn append(&mut self, from: NodeId, mut append: Append<S>) {
        if !append.entries.is_empty() && !self.shared.takes_entries() {
            // The leader sends it again.
            self.shared.counters.dropped.overflow += 1;
            return;
        }
        let stream = append.stream;
        let base = self.shared.log().base();
        if append.prev.index < base.index {
            let covered = (base.index.0 - append.prev.index.0) as usize;
            let Some(at_base) = append.entries.get(covered - 1) else {
                // Entries through the base are committed, hence in the leader's log.
                return self.acknowledge(from, stream, base.index);
            };
            if at_base.id != base {
                // It conflicts with a committed entry: no correct leader sends that.
                self.shared.counters.dropped.malformed += 1;
                return;
            }
            append.entries.drain(..covered);
            append.prev = base;
        }
        if !self.shared.log().holds(append.prev) {
            self.reject(from, append);
            return;
        }
        let Some(mut matched) = self.fit(append) else {
            return;
        };
        // Appends that overtook this one may fit now. One acknowledgement covers all.
        while let Some(early) = self.next_early() {
            match self.fit(early) {
                Some(further) => matched = matched.max(further),
                None => return,
            }
        }
        self.acknowledge(from, stream, matched);
    }

    /// Acknowledges that this log matches the leader's through an index. The message leaves once
    /// those entries are stored.
    fn acknowledge(&mut self, from: NodeId, stream: RequestId, matched: Index) {
        let message = Message::Appended(Appended {
            stream,
            incarnation: self.shared.incarnation(),
            matched,
        });
        self.shared.send(from, message);
    }

    /// InstallSnapshot, receiver's side (Figure 13): collects the chunks. The next output installs
    /// the complete snapshot.
    fn chunk(&mut self, from: NodeId, chunk: &SnapshotChunk) {
        let (stream, snapshot) = (chunk.stream, chunk.snapshot);
        let last = snapshot.last.index;
        if last <= self.shared.commit() {
            // The snapshot holds only entries that this node has committed.
            self.acknowledge(from, stream, last);
            return;
        }
        if self.shared.is_disk_stalled() {
            return;
        }
        let message = Message::ChunkReceived(ChunkReceived {
            stream,
            snapshot,
            asked: chunk.offset + chunk.data.len() as u64,
            offset: self.shared.receive_chunk(chunk),
            broken: self.shared.snapshots.broken == Some(snapshot),
        });
        self.shared.send(from, message);
    }

    /// Appends the entries of an Append whose previous entry the log holds. Returns the last index
    /// that is known to match the leader's log.
    fn fit(&mut self, mut append: Append<S>) -> Option<Index> {
        if self.shared.log_is_full() {
            // Entries that replace others may come. The leader sends the others again.
            let known = self.shared.log().last().index.0 - append.prev.index.0;
            let sent = append.entries.len() as u64;
            self.shared.counters.dropped.overflow += u64::from(sent > known);
            append.entries.truncate(known as usize);
        }
        let last = append.entries.last();
        let matched = last.map_or(append.prev, |entry| entry.id).index;
        if !self.shared.splice(append.prev, append.entries) {
            self.shared.counters.dropped.malformed += 1;
            return None;
        }
        // Not after the last match: entries of former leaders may follow it, which this leader will
        // replace (§5.3).
        let commit = append.commit.min(matched);
        if commit > self.shared.commit() {
            self.shared.commit_to(commit);
        }
        self.shared.commit_learned();
        Some(matched)
    }

    /// Takes the first kept Append that fits the present log.
    fn next_early(&mut self) -> Option<Append<S>> {
        let last = self.shared.log().last();
        while let Some(first) = self.role.early.first_entry()
            && *first.key() <= last.index
        {
            let early = first.remove();
            if self.shared.log().holds(early.prev) {
                return Some(early);
            }
        }
        None
    }

    /// Rejects an Append whose previous entry is missing, and keeps it if it overtook others.
    fn reject(&mut self, from: NodeId, append: Append<S>) {
        let Append { stream, prev, .. } = append;
        // After the base, no correct leader's entry has a lower term than the base.
        let hint = self.shared.log().hint(prev);
        let hint = hint.unwrap_or(self.shared.log().base());
        if prev.index > self.shared.log().last().index && !append.entries.is_empty() {
            self.keep(append);
        }
        // As with a read round, the reply would keep a leader in office for which this disk stores
        // nothing. While only a snapshot stalls, the log still takes what the leader sends.
        if self.shared.is_log_stalled() {
            return;
        }
        let message = Message::AppendRejected(AppendRejected {
            stream,
            incarnation: self.shared.incarnation(),
            prev,
            hint,
        });
        self.shared.send(from, message);
    }

    /// Keeps an Append that overtook others, if there is room.
    fn keep(&mut self, append: Append<S>) {
        let limits = &self.shared.config.limits;
        let known = self.role.early.get(&append.prev.index);
        if known.is_some_and(|known| known.entries.len() >= append.entries.len()) {
            return;
        }
        let kept: usize = self.role.early.values().map(Append::size).sum();
        if self.role.early.len() < limits.early_appends
            && kept + append.size() <= limits.inflight_bytes
        {
            self.shared.counters.appends_early += 1;
            self.role.early.insert(append.prev.index, append);
        } else {
            self.shared.counters.dropped.overflow += 1;
        }
    }
}

impl<S: StateMachine> Append<S> {
    /// The approximate size of its entries, in bytes.
    fn size(&self) -> usize {
        self.entries.iter().map(entry_size::<S>).sum()
    }
}
