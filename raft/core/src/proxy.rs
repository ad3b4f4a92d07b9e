//! Requests on their way: what clients asked of this node, and what this node, as leader, took on
//! for itself and for others.
//!
//! Every role has the same table, because a request outlives the role in which it was taken. Its
//! way:
//!
//! ```text
//!             take            leader known                  told the entry's fate
//! client ---> waiting --+---> forwarded (a write) --------> answered
//!                       +---> asked (a read) -> confirmed -> answered once applied
//!                       +---> proposed (leader: a write) -> answered once applied
//!                       +---> the leader's own rounds (a read)
//! ```
//!
//! A write is sent to a leader once and never again: the first one may be in a log. A read has no
//! effect and may be asked again.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;

use crate::clock::Moment;
use crate::config::Limits;
use crate::id::{EntryId, Incarnation, Index, NodeId, RequestId, Ticket};
use crate::machine::StateMachine;
use crate::response::{Doubt, Refusal, Reply, Response};

/// The table of requests.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Proxy<S: StateMachine> {
    /// Taken, and not sent to anybody yet.
    pub(crate) waiting: VecDeque<Request<S>>,
    /// Writes that were sent to a leader.
    pub(crate) forwarded: BTreeMap<RequestId, Sent>,
    /// Reads for which a leader was asked for an index.
    pub(crate) asked: BTreeMap<RequestId, Asked<S>>,
    /// Reads that may be served once the entry at their index is applied.
    pub(crate) confirmed: BTreeMap<Index, Vec<Read<S>>>,
    /// Commands that this node appended as a leader, by their place in the log.
    pub(crate) proposed: BTreeMap<Index, Proposal>,
    /// The forwards of the current term that this node has acted upon.
    pub(crate) seen: BTreeMap<NodeId, BTreeMap<Incarnation, Window>>,
    /// How many of this node's own clients' requests are not answered yet.
    pub(crate) open: usize,
}

/// A client's request that waits.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Request<S: StateMachine> {
    Write(Write<S>),
    Read(Read<S>),
}

/// A write, without its command, which is gone to the leader.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Sent {
    pub(crate) ticket: Ticket,
    pub(crate) since: Moment,
}

/// A client's read.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Read<S: StateMachine> {
    pub(crate) ticket: Ticket,
    pub(crate) since: Moment,
    pub(crate) query: S::Query,
}

/// A client's write.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Write<S: StateMachine> {
    pub(crate) ticket: Ticket,
    pub(crate) since: Moment,
    pub(crate) command: S::Command,
}

/// Reads for which a leader was asked for an index. The question may be repeated, to the same
/// leader or another one: any answer to it names an index of a moment when all these reads had
/// come, and no read joins them later.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Asked<S: StateMachine> {
    /// When the question was put last; never, if the leader that was asked is no more.
    pub(crate) at: Option<Moment>,
    pub(crate) reads: Vec<Read<S>>,
}

/// An entry that this node appended as leader, and who wants to know what becomes of it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Proposal {
    pub(crate) id: EntryId,
    pub(crate) since: Moment,
    pub(crate) origin: Origin,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A client of this node.
    Local(Ticket),
    /// Another node, on behalf of a client of its own.
    Remote(NodeId, RequestId),
}

/// The forwards of one life of one sender.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Window {
    /// All counters below count as seen.
    pub(crate) floor: u64,
    pub(crate) seen: BTreeSet<u64>,
}

/// Whether a forward was seen before.
pub(crate) enum Sighting {
    /// It surely was not.
    First,
    /// It was, or may have been.
    Again,
    /// It cannot be told, since its sender has lived too often in this term.
    NoRoom,
}

/// What [`Proxy::dispatch`] found waiting.
pub(crate) struct Dispatched<S: StateMachine> {
    pub(crate) writes: Vec<Write<S>>,
    pub(crate) reads: Vec<Read<S>>,
}

impl<S: StateMachine> Request<S> {
    /// The ticket of the request and when it came.
    fn origin(&self) -> (Ticket, Moment) {
        match self {
            Self::Write(write) => (write.ticket, write.since),
            Self::Read(read) => (read.ticket, read.since),
        }
    }
}

impl<S: StateMachine> Proxy<S> {
    pub(crate) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            forwarded: BTreeMap::new(),
            asked: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            proposed: BTreeMap::new(),
            seen: BTreeMap::new(),
            open: 0,
        }
    }

    /// How many of this node's own clients' requests are not answered yet.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// How many requests wait for a leader to be known.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many entries of this node's making are not applied yet.
    pub(crate) fn proposals(&self) -> usize {
        self.proposed.len()
    }

    /// Takes a client's write.
    pub(crate) fn take_write(&mut self, ticket: Ticket, command: S::Command, now: Moment) {
        self.open += 1;
        self.waiting.push_back(Request::Write(Write {
            ticket,
            since: now,
            command,
        }));
    }

    /// Takes a client's read.
    pub(crate) fn take_read(&mut self, read: Read<S>) {
        self.open += 1;
        self.wait_again([read]);
    }

    /// Gives the request back that was taken last. It is still open.
    pub(crate) fn give_back(&mut self) -> Option<Ticket> {
        self.waiting.pop_back().map(|request| request.origin().0)
    }

    /// Puts reads back that were under way. They are still open.
    pub(crate) fn wait_again(&mut self, reads: impl IntoIterator<Item = Read<S>>) {
        self.waiting.extend(reads.into_iter().map(Request::Read));
    }

    /// Hands out all that waits, for a leader that is known now.
    pub(crate) fn dispatch(&mut self) -> Dispatched<S> {
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for request in mem::take(&mut self.waiting) {
            match request {
                Request::Write(write) => writes.push(write),
                Request::Read(read) => reads.push(read),
            }
        }
        Dispatched { writes, reads }
    }

    /// Notes that a write was sent to a leader.
    pub(crate) fn forward(&mut self, id: RequestId, ticket: Ticket, since: Moment) {
        self.forwarded.insert(id, Sent { ticket, since });
    }

    /// Notes that a leader was asked for an index for these reads.
    pub(crate) fn ask(&mut self, id: RequestId, reads: Vec<Read<S>>, now: Moment) {
        self.asked.insert(
            id,
            Asked {
                at: Some(now),
                reads,
            },
        );
    }

    /// Notes that an entry was appended here for a request. If another proposal's entry
    /// stood there, it is overwritten.
    pub(crate) fn propose(
        &mut self,
        id: EntryId,
        origin: Origin,
        since: Moment,
    ) -> Option<Reply<S>> {
        let proposal = Proposal { id, since, origin };
        let overwritten = self.proposed.insert(id.index, proposal)?;
        self.overwritten(overwritten.origin)
    }

    /// The entry `id` was applied: who wanted to know, and who now knows that their own entry at
    /// that place is lost.
    pub(crate) fn applied(&mut self, id: EntryId) -> (Option<Origin>, Option<Reply<S>>) {
        match self.proposed.remove(&id.index) {
            // Matched by the whole name: at the same index another leader's entry may stand.
            Some(proposal) if proposal.id == id => (Some(proposal.origin), None),
            Some(proposal) => (None, self.overwritten(proposal.origin)),
            None => (None, None),
        }
    }

    /// The reply to the client of the forward `id`, if it still waits.
    pub(crate) fn forward_decided(
        &mut self,
        id: RequestId,
        response: Response<S>,
    ) -> Option<Reply<S>> {
        let sent = self.forwarded.remove(&id)?;
        Some(self.answer(sent.ticket, response))
    }

    /// A leader named the index for the reads that it was asked for under `id`.
    /// False if no such question is open.
    pub(crate) fn confirm(&mut self, id: RequestId, index: Index) -> bool {
        let Some(asked) = self.asked.remove(&id) else {
            return false;
        };
        self.confirmed.entry(index).or_default().extend(asked.reads);
        true
    }

    /// Keeps a read that may be served once all through `index` is applied.
    pub(crate) fn hold(&mut self, index: Index, read: Read<S>) {
        self.confirmed.entry(index).or_default().push(read);
    }

    /// The confirmed reads that may be served now that all through `applied` is applied.
    pub(crate) fn ready(&mut self, applied: Index) -> Vec<Read<S>> {
        let mut ready = Vec::new();
        while let Some(first) = self.confirmed.first_entry()
            && *first.key() <= applied
        {
            ready.extend(first.remove());
        }
        ready
    }

    /// Another leader than the one that was asked is to be asked now.
    pub(crate) fn ask_anew(&mut self) {
        for asked in self.asked.values_mut() {
            asked.at = None;
        }
    }

    /// The questions to put again now: those that the present leader was not asked yet, and those
    /// whose answer is late.
    pub(crate) fn overdue(&mut self, now: Moment, retry: u32) -> Vec<RequestId> {
        let mut overdue = Vec::new();
        for (id, asked) in &mut self.asked {
            if asked.at.is_none_or(|at| now.is_past(at, retry)) {
                asked.at = Some(now);
                overdue.push(*id);
            }
        }
        overdue
    }

    /// Takes back all reads that were asked of a leader: this node leads.
    pub(crate) fn take_asked(&mut self) {
        for asked in mem::take(&mut self.asked).into_values() {
            self.wait_again(asked.reads);
        }
    }

    /// Makes the answer to one of this node's own clients. Every answer is made here.
    pub(crate) fn answer(&mut self, ticket: Ticket, response: Response<S>) -> Reply<S> {
        self.open -= 1;
        Reply { ticket, response }
    }

    /// Answers what has waited past its deadline.
    pub(crate) fn expire(&mut self, now: Moment, deadline: u32) -> Vec<Reply<S>> {
        let mut expired = Vec::new();
        let refused = |refusal| Response::Refused(refusal);
        self.waiting.retain(|request| {
            let (ticket, since) = request.origin();
            let late = now.is_past(since, deadline);
            if late {
                expired.push((ticket, refused(Refusal::NoLeader)));
            }
            !late
        });
        let mut expire_reads = |reads: &mut Vec<Read<S>>| {
            reads.retain(|read| {
                let late = now.is_past(read.since, deadline);
                if late {
                    expired.push((read.ticket, refused(Refusal::ReadExpired)));
                }
                !late
            });
            !reads.is_empty()
        };
        self.asked.retain(|_, asked| expire_reads(&mut asked.reads));
        self.confirmed.retain(|_, reads| expire_reads(reads));
        self.forwarded.retain(|_, sent| {
            let late = now.is_past(sent.since, deadline);
            if late {
                expired.push((sent.ticket, Response::Unknown(Doubt::Expired)));
            }
            !late
        });
        self.proposed.retain(|_, proposal| {
            let late = now.is_past(proposal.since, deadline);
            match proposal.origin {
                Origin::Local(ticket) if late => {
                    expired.push((ticket, Response::Unknown(Doubt::Expired)));
                }
                // Its own node has given it up by now.
                Origin::Local(_) | Origin::Remote(..) => {}
            }
            !late
        });
        expired
            .into_iter()
            .map(|(ticket, response)| self.answer(ticket, response))
            .collect()
    }

    /// Notes a forward.
    pub(crate) fn sight(&mut self, from: NodeId, id: RequestId, limits: &Limits) -> Sighting {
        let lives = self.seen.entry(from).or_default();
        if !lives.contains_key(&id.incarnation) && lives.len() >= limits.incarnations {
            return Sighting::NoRoom;
        }
        let window = lives.entry(id.incarnation).or_default();
        let first = id.counter >= window.floor && window.seen.insert(id.counter);
        if window.seen.len() > limits.forwards_seen
            && let Some(oldest) = window.seen.pop_first()
        {
            window.floor = oldest.saturating_add(1);
        }
        if first {
            Sighting::First
        } else {
            Sighting::Again
        }
    }

    /// A new term began: forwards of the former one are dropped by the term rule.
    pub(crate) fn forget_seen(&mut self) {
        self.seen.clear();
    }

    fn overwritten(&mut self, origin: Origin) -> Option<Reply<S>> {
        match origin {
            Origin::Local(ticket) => {
                Some(self.answer(ticket, Response::Unknown(Doubt::Overwritten)))
            }
            // The other node is told nothing: it hears of it by its deadline.
            Origin::Remote(..) => None,
        }
    }

    /// The tickets in this table, for the invariant that none is lost.
    pub(crate) fn held(&self) -> usize {
        let local = |p: &&Proposal| matches!(p.origin, Origin::Local(_));
        self.waiting.len()
            + self.forwarded.len()
            + self.asked.values().map(|a| a.reads.len()).sum::<usize>()
            + self.confirmed.values().map(Vec::len).sum::<usize>()
            + self.proposed.values().filter(local).count()
    }
}
