//! Followers: take entries, vote, and wait for a leader to fall silent (§5.2, §5.3).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::clock::Countdown;
use crate::entry::Entry;
use crate::id::{EntryId, Index, NodeId, RequestId};
use crate::log::entry_size;
use crate::machine::StateMachine;
use crate::message::Message;
use crate::node::{Node, Role, Shared};
use crate::pre_candidate::PreCandidate;
use crate::raft::Raft;
use crate::rename::renames;
use crate::snapshot::SnapshotId;

/// What only a follower has.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Follower<S: StateMachine> {
    /// The leader of this term, once it was heard.
    leader: Option<NodeId>,
    countdown: Countdown,
    /// Appends that overtook others, by the place before their entries, until the gap is filled.
    /// Networks reorder; throwing these away would make the leader send each of them again.
    early: BTreeMap<Index, Append<S>>,
}

/// The fields of [`Message::Append`].
#[derive(Clone, Debug, Hash)]
pub(crate) struct Append<S: StateMachine> {
    pub(crate) session: RequestId,
    pub(crate) prev: EntryId,
    pub(crate) entries: Vec<Entry<S::Command>>,
    pub(crate) commit: Index,
}

impl<S: StateMachine> Follower<S> {
    /// A follower that has not heard a leader of this term yet.
    pub(crate) fn new(countdown: Countdown) -> Self {
        Self {
            leader: None,
            countdown,
            early: BTreeMap::new(),
        }
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leader
    }
}

impl<S: StateMachine> Role<S> for Follower<S> {
    fn leave(self, _: &mut Shared<S>) {}
}

impl<S: StateMachine> Node<Follower<S>, S> {
    /// Counts a tick; a follower whose leader is silent for too long asks for an election.
    pub(crate) fn tick(mut self) -> Raft<S> {
        if self.role.countdown.tick() {
            self.campaign()
        } else {
            Raft::Follower(self)
        }
    }

    /// Starts asking for an election.
    pub(crate) fn campaign(self) -> Raft<S> {
        self.become_role(PreCandidate::new).ask()
    }

    pub(crate) fn receive(mut self, from: NodeId, message: Message<S>) -> Raft<S> {
        match message {
            Message::Append {
                session,
                prev,
                entries,
                commit,
            } => {
                self.hear(from);
                self.append(
                    from,
                    Append {
                        session,
                        prev,
                        entries,
                        commit,
                    },
                );
            }
            Message::SnapshotChunk {
                session,
                snapshot,
                offset,
                data,
            } => {
                self.hear(from);
                self.chunk(from, session, snapshot, offset, &data);
            }
            Message::Round { id, commit } => {
                self.hear(from);
                self.shared.send(from, Message::RoundReply { id });
                self.shared.learn_commit(commit);
            }
            Message::Vote { last } => {
                if self.shared.vote(from, last) {
                    self.role.countdown = self.shared.election_countdown();
                }
            }
            Message::PreVote { round, last } => self.shared.pre_vote(from, round, last),
            Message::Forward { id, command: _ } => self.shared.refuse_forward(from, id),
            Message::ForwardReply { id, reply } => self.shared.forward_decided(id, reply),
            Message::ReadIndexReply { id, commit } => self.shared.read_index_decided(id, commit),
            Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::Appended { .. }
            | Message::AppendRejected { .. }
            | Message::ChunkReceived { .. }
            | Message::RoundReply { .. } => self.shared.counters.dropped.stale_reply += 1,
            Message::ReadIndex { .. } => self.shared.counters.dropped.unexpected += 1,
            // Its term was all that it had to say.
            Message::Outdated => {}
        }
        Raft::Follower(self)
    }

    /// Sends to the leader what waited for one to be known.
    pub(crate) fn flush(&mut self) {
        let Some(leader) = self.role.leader else {
            return;
        };
        let shared = &mut self.shared;
        let requests = shared.proxy.dispatch();
        for write in requests.writes {
            let id = shared.question();
            shared.proxy.forward(id, write.ticket, write.since);
            let command = write.command;
            shared.send(leader, Message::Forward { id, command });
        }
        if !requests.reads.is_empty() {
            let id = shared.question();
            shared.proxy.ask(id, requests.reads, shared.now);
            shared.send(leader, Message::ReadIndex { id });
        }
        let retry = shared.config.read_retry();
        for id in shared.proxy.overdue(shared.now, retry) {
            shared.send(leader, Message::ReadIndex { id });
        }
    }

    /// The leader of this term spoke.
    fn hear(&mut self, leader: NodeId) {
        self.shared.heard_leader(leader);
        self.role.countdown = self.shared.election_countdown();
        if self.role.leader.is_none() {
            self.role.leader = Some(leader);
            self.shared.proxy.ask_anew();
        }
    }

    /// AppendEntries, receiver's side (Figure 2).
    fn append(&mut self, from: NodeId, append: Append<S>) {
        let base = self.shared.log().base();
        let append = if append.prev.index < base.index {
            let session = append.session;
            match append.above(base) {
                Above::Entries(append) => append,
                // All through the base is committed, hence in the log of this term's leader.
                Above::Nothing => return self.acknowledge(from, session, base.index),
                Above::Contradiction => {
                    self.shared.counters.dropped.malformed += 1;
                    return;
                }
            }
        } else {
            append
        };
        if !self.shared.log().holds(append.prev) {
            self.reject(from, append);
            return;
        }
        let session = append.session;
        let Some(mut matched) = self.fit(append) else {
            return;
        };
        // What had overtaken this Append may fit now. One acknowledgement speaks for all.
        while let Some(early) = self.next_early() {
            match self.fit(early) {
                Some(further) => matched = matched.max(further),
                None => return,
            }
        }
        self.acknowledge(from, session, matched);
    }

    /// Says that this log matches the leader's through an index, once it is stored.
    fn acknowledge(&mut self, from: NodeId, session: RequestId, matched: Index) {
        let life = self.shared.life();
        let message = Message::Appended {
            session,
            life,
            matched,
        };
        self.shared.send(from, message);
    }

    /// InstallSnapshot, receiver's side (Figure 13): gathers the parts. The whole is installed with
    /// the next output.
    fn chunk(
        &mut self,
        from: NodeId,
        session: RequestId,
        snapshot: SnapshotId,
        offset: u64,
        data: &[u8],
    ) {
        let last = snapshot.last.index;
        if last <= self.shared.commit() {
            // What is committed here is what the snapshot contains, or newer.
            self.acknowledge(from, session, last);
            return;
        }
        let asked = offset + data.len() as u64;
        let offset = self.shared.gather(session, snapshot, offset, data);
        let message = Message::ChunkReceived {
            session,
            snapshot,
            asked,
            offset,
        };
        self.shared.send(from, message);
    }

    /// Takes over the entries of an Append whose previous entry is here. Returns the last index
    /// that is known to match the leader's log.
    fn fit(&mut self, append: Append<S>) -> Option<Index> {
        let Append {
            session: _,
            prev,
            entries,
            commit,
        } = append;
        let matched = entries.last().map_or(prev, |entry| entry.id).index;
        if !self.shared.splice(prev, entries) {
            self.shared.counters.dropped.malformed += 1;
            return None;
        }
        // Not further than what is known to match: behind it may stand entries of former
        // leaders that this one will replace (§5.3).
        let commit = commit.min(matched);
        if commit > self.shared.commit() {
            self.shared.commit_to(commit);
        }
        self.shared.commit_learned();
        Some(matched)
    }

    /// The first Append kept that fits the log as it is now.
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

    /// Says what is missing, and keeps an Append that only came too early.
    fn reject(&mut self, from: NodeId, append: Append<S>) {
        let Append { session, prev, .. } = append;
        // Behind the base no correct leader has a lower term than there.
        let hint = self.shared.log().hint(prev);
        let hint = hint.unwrap_or(self.shared.log().base());
        let life = self.shared.life();
        if prev.index > self.shared.log().last().index && !append.entries.is_empty() {
            self.keep(append);
        }
        self.shared.send(
            from,
            Message::AppendRejected {
                session,
                life,
                prev,
                hint,
            },
        );
    }

    /// Keeps an Append that came too early, if there is room.
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

/// What of an Append stands above the base.
enum Above<S: StateMachine> {
    /// These entries, right behind it.
    Entries(Append<S>),
    /// Nothing.
    Nothing,
    /// It denies the base, which is committed: no correct leader sends that.
    Contradiction,
}

impl<S: StateMachine> Append<S> {
    /// Drops what a snapshot covers here: the Append begins below the base.
    fn above(self, base: EntryId) -> Above<S> {
        let covered = (base.index.0 - self.prev.index.0) as usize;
        let Some(at_base) = self.entries.get(covered - 1) else {
            return Above::Nothing;
        };
        if at_base.id != base {
            return Above::Contradiction;
        }
        let Self {
            session,
            mut entries,
            commit,
            ..
        } = self;
        Above::Entries(Self {
            session,
            prev: base,
            entries: entries.split_off(covered),
            commit,
        })
    }

    /// Roughly how many bytes its entries take.
    fn size(&self) -> usize {
        self.entries.iter().map(entry_size::<S>).sum()
    }
}

renames!(<S: StateMachine> Follower<S> { leader, early });
renames!(<S: StateMachine> Append<S> { session });
