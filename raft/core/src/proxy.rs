//! Open requests: those of this node's own clients, and the commands that this node, as leader,
//! appended for any node.
//!
//! Every role has the same table, because a request outlives the role in which it was taken. The
//! stages of a request:
//!
//! ```text
//!             take            leader known                  leader's reply
//! client ---> waiting --+---> forwarded (a write) --------> answered
//!                       +---> asked (a read) -> confirmed -> answered once applied
//!                       +---> proposed (leader: a write) -> answered once applied
//!                       +---> the leader's own rounds (a read)
//! a transfer, at the leader ---> answered once another node leads, or it failed
//! ```
//!
//! A write is sent to a leader once and never again: a log may hold the first copy. A read has no
//! effect, so its request may be repeated.

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
    /// Requests that wait until a leader is known.
    pub(crate) waiting: VecDeque<Request<S>>,
    /// Writes that were sent to a leader.
    pub(crate) forwarded: BTreeMap<RequestId, Sent>,
    /// Reads for which a leader was asked for an index.
    pub(crate) asked: BTreeMap<RequestId, Asked<S>>,
    /// The request for the leadership transfer that this node began.
    pub(crate) transfer: Option<Sent>,
    /// Reads that may be served once the entry at their index is applied.
    pub(crate) confirmed: BTreeMap<Index, Vec<Read<S>>>,
    /// Commands that this node appended as leader, by index.
    pub(crate) proposed: BTreeMap<Index, Proposal>,
    /// Those of this node's own clients, in the order of their deadlines. The first one is open.
    pub(crate) local: VecDeque<(Moment, EntryId)>,
    /// The forwards of the current term that this node has handled.
    pub(crate) seen: BTreeMap<NodeId, BTreeMap<Incarnation, Window>>,
    /// The number of unanswered requests of this node's own clients.
    pub(crate) open: usize,
}

/// A client's request that waits for a leader.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Request<S: StateMachine> {
    Write(Write<S>),
    Read(Read<S>),
}

/// A write that was sent to a leader, or a request for a transfer; its content is not kept.
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

/// Reads that share one request for a read index. The request may be repeated, to the same leader
/// or another one: no read joins later, so any answer names an index of a moment after all of
/// these reads arrived.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Asked<S: StateMachine> {
    /// When the request was last sent to the present leader, if ever.
    pub(crate) at: Option<Moment>,
    pub(crate) reads: Vec<Read<S>>,
}

/// An entry that this node appended as leader, and the origin of its command.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Proposal {
    pub(crate) id: EntryId,
    pub(crate) origin: Origin,
}

/// The origin of a command: the result goes back there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A client of this node.
    Local(Ticket),
    /// Another node, on behalf of a client of its own.
    Remote(NodeId, RequestId),
}

/// The forwards of one incarnation of one sender.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Window {
    /// All counters below the floor count as seen.
    pub(crate) floor: u64,
    pub(crate) seen: BTreeSet<u64>,
}

/// Whether a forward was seen before.
pub(crate) enum ForwardStatus {
    /// The forward is new.
    New,
    /// The forward was seen before, or may have been.
    Repeated,
    /// Unknown: the sender had too many incarnations in this term.
    NoRoom,
}

/// The requests that [`Proxy::dispatch`] takes out.
pub(crate) struct Dispatched<S: StateMachine> {
    pub(crate) writes: Vec<Write<S>>,
    pub(crate) reads: Vec<Read<S>>,
}

impl<S: StateMachine> Request<S> {
    /// The ticket of the request, and when the request arrived.
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
            transfer: None,
            confirmed: BTreeMap::new(),
            proposed: BTreeMap::new(),
            local: VecDeque::new(),
            seen: BTreeMap::new(),
            open: 0,
        }
    }

    /// The number of unanswered requests of this node's own clients.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// The number of requests that wait until a leader is known.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The number of commands that this node appended as leader and has not applied yet.
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
        self.waiting.push_back(Request::Read(read));
    }

    /// Takes the newest request out again. The request stays open.
    pub(crate) fn give_back(&mut self) -> Option<Ticket> {
        self.waiting.pop_back().map(|request| request.origin().0)
    }

    /// Lets reads wait again. They stay open.
    pub(crate) fn wait_again(&mut self, reads: impl IntoIterator<Item = Read<S>>) {
        self.waiting.extend(reads.into_iter().map(Request::Read));
        // Deadlines stay in order.
        let requests = self.waiting.make_contiguous();
        requests.sort_by_key(|request| request.origin().1);
    }

    /// Takes all waiting requests out: a leader is known now.
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

    /// Notes that this leader appended an entry for a request. Returns the reply to the client of
    /// the proposal that the entry overwrites, if there is one.
    pub(crate) fn propose(
        &mut self,
        id: EntryId,
        origin: Origin,
        since: Moment,
    ) -> Option<Reply<S>> {
        if let Origin::Local(_) = origin {
            self.local.push_back((since, id));
        }
        let proposal = Proposal { id, origin };
        let overwritten = self.proposed.insert(id.index, proposal)?;
        self.overwritten(overwritten.origin)
    }

    /// Ends the proposal at the index of the applied entry `id`. Returns the origin of that entry,
    /// or the reply to the client of another proposal at that index, which is lost.
    pub(crate) fn applied(&mut self, id: EntryId) -> (Option<Origin>, Option<Reply<S>>) {
        let ended = match self.proposed.remove(&id.index) {
            // The term must match too: another leader's entry may stand at the same index.
            Some(proposal) if proposal.id == id => (Some(proposal.origin), None),
            Some(proposal) => (None, self.overwritten(proposal.origin)),
            None => (None, None),
        };
        self.first_local();
        ended
    }

    /// Forgets other nodes' proposals through `index`: a snapshot holds what became of them. Those
    /// of this node's own clients end at their deadline.
    pub(crate) fn skip_through(&mut self, index: Index) {
        self.proposed
            .retain(|&at, proposal| at > index || matches!(proposal.origin, Origin::Local(_)));
    }

    /// The oldest open proposal of this node's own clients.
    fn first_local(&mut self) -> Option<(Moment, EntryId, Ticket)> {
        while let Some(&(since, id)) = self.local.front() {
            if let Some(proposal) = self.proposed.get(&id.index)
                && proposal.id == id
                && let Origin::Local(ticket) = proposal.origin
            {
                return Some((since, id, ticket));
            }
            self.local.pop_front();
        }
        None
    }

    /// Makes the reply to the client of the forward `id`, if the client still waits.
    pub(crate) fn forward_decided(
        &mut self,
        id: RequestId,
        response: Response<S>,
    ) -> Option<Reply<S>> {
        let sent = self.forwarded.remove(&id)?;
        Some(self.answer(sent.ticket, response))
    }

    /// Notes the leader's answer to the request `id` for a read index. False if no such request is
    /// open.
    pub(crate) fn confirm(&mut self, id: RequestId, index: Index) -> bool {
        let Some(asked) = self.asked.remove(&id) else {
            return false;
        };
        self.confirmed.entry(index).or_default().extend(asked.reads);
        true
    }

    /// Keeps a read until all entries through `index` are applied.
    pub(crate) fn hold(&mut self, index: Index, read: Read<S>) {
        self.confirmed.entry(index).or_default().push(read);
    }

    /// Takes the confirmed reads whose index is at or before `applied`.
    pub(crate) fn ready(&mut self, applied: Index) -> Vec<Read<S>> {
        let mut ready = Vec::new();
        while let Some(first) = self.confirmed.first_entry()
            && *first.key() <= applied
        {
            ready.extend(first.remove());
        }
        ready
    }

    /// Makes all requests for a read index due again: there is a new leader.
    pub(crate) fn ask_anew(&mut self) {
        for asked in self.asked.values_mut() {
            asked.at = None;
        }
    }

    /// The requests for a read index to send now: those that the present leader did not get yet,
    /// and those whose answer is late.
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

    /// Lets all reads wait again that were sent to a leader: this node leads now.
    pub(crate) fn take_asked(&mut self) {
        let asked = mem::take(&mut self.asked).into_values();
        self.wait_again(asked.flat_map(|asked| asked.reads));
    }

    /// Makes the reply to a client of this node. All replies are made here.
    pub(crate) fn answer(&mut self, ticket: Ticket, response: Response<S>) -> Reply<S> {
        self.open -= 1;
        Reply { ticket, response }
    }

    /// Ends the requests that have waited past their deadline. The tables hold them in the order of
    /// their deadlines, so a tick costs little however many wait. A command of another node has no
    /// deadline here: that node has ended the request.
    pub(crate) fn expire(&mut self, now: Moment, deadline: u32) -> Vec<Reply<S>> {
        let mut expired = Vec::new();
        let refused = |refusal| Response::Refused(refusal);
        let late = |since| now.is_past(since, deadline);
        while let Some((ticket, since)) = self.waiting.front().map(Request::origin)
            && late(since)
        {
            self.waiting.pop_front();
            expired.push((ticket, refused(Refusal::NoLeader)));
        }
        while let Some(mut first) = self.asked.first_entry() {
            let reads = &mut first.get_mut().reads;
            let count = reads.partition_point(|read| late(read.since));
            let ended = reads.drain(..count);
            expired.extend(ended.map(|read| (read.ticket, refused(Refusal::ReadExpired))));
            if !reads.is_empty() {
                break;
            }
            first.remove();
        }
        // Few reads wait for an entry to be applied, and for no long time.
        self.confirmed.retain(|_, reads| {
            let ended = reads.extract_if(.., |read| late(read.since));
            expired.extend(ended.map(|read| (read.ticket, refused(Refusal::ReadExpired))));
            !reads.is_empty()
        });
        while let Some(first) = self.forwarded.first_entry()
            && late(first.get().since)
        {
            expired.push((first.remove().ticket, Response::Unknown(Doubt::Expired)));
        }
        if let Some(sent) = self.transfer.take_if(|sent| late(sent.since)) {
            expired.push((sent.ticket, Response::Unknown(Doubt::Expired)));
        }
        while let Some((since, id, ticket)) = self.first_local()
            && late(since)
        {
            self.proposed.remove(&id.index);
            expired.push((ticket, Response::Unknown(Doubt::Expired)));
        }
        expired
            .into_iter()
            .map(|(ticket, response)| self.answer(ticket, response))
            .collect()
    }

    /// Notes a forward, and whether it is new.
    pub(crate) fn note(&mut self, from: NodeId, id: RequestId, limits: &Limits) -> ForwardStatus {
        let windows = self.seen.entry(from).or_default();
        if !windows.contains_key(&id.incarnation) && windows.len() >= limits.incarnations {
            return ForwardStatus::NoRoom;
        }
        let window = windows.entry(id.incarnation).or_default();
        let first = id.counter >= window.floor && window.seen.insert(id.counter);
        if window.seen.len() > limits.forwards_seen
            && let Some(oldest) = window.seen.pop_first()
        {
            window.floor = oldest.saturating_add(1);
        }
        if first {
            ForwardStatus::New
        } else {
            ForwardStatus::Repeated
        }
    }

    /// Forgets the forwards of the former term, which the term rule drops from now on.
    pub(crate) fn forget_seen(&mut self) {
        self.seen.clear();
    }

    fn overwritten(&mut self, origin: Origin) -> Option<Reply<S>> {
        match origin {
            Origin::Local(ticket) => {
                Some(self.answer(ticket, Response::Unknown(Doubt::Overwritten)))
            }
            // The other node gets no reply: its request ends at its deadline.
            Origin::Remote(..) => None,
        }
    }

    /// The number of tickets in this table, for the invariant that none is lost.
    pub(crate) fn held(&self) -> usize {
        let local = |p: &&Proposal| matches!(p.origin, Origin::Local(_));
        self.waiting.len()
            + self.forwarded.len()
            + usize::from(self.transfer.is_some())
            + self.asked.values().map(|a| a.reads.len()).sum::<usize>()
            + self.confirmed.values().map(Vec::len).sum::<usize>()
            + self.proposed.values().filter(local).count()
    }
}
