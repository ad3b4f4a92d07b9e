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
//! a snapshot ---> answered once it is stored
//! ```
//!
//! Messages get lost, and leaders are deposed. So a request is sent again, to the same leader after a
//! while and to the next one at once, and a command whose entry was truncated waits for the next
//! leader. The log may so hold a command twice: the machine must recognize that ([`StateMachine`]).
//! At its deadline a command that was sent ends as unknown, and one that was not as refused.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use crate::clock::Moment;
use crate::id::{Index, NodeId, RequestId, Ticket};
use crate::machine::StateMachine;
use crate::response::{Refusal, Reply, Response};

/// The table of requests.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Proxy<S: StateMachine> {
    /// Requests that wait until a leader is known.
    pub(crate) waiting: VecDeque<Request<S>>,
    /// Writes that were sent to a leader.
    pub(crate) forwarded: BTreeMap<RequestId, Sent<Write<S>>>,
    /// Reads for which a leader was asked for an index. Those of one request share its answer, also if
    /// it is repeated, to the same leader or another one: no read joins later, so any answer names an
    /// index of a moment after all of them arrived.
    pub(crate) asked: BTreeMap<RequestId, Sent<Vec<Read<S>>>>,
    /// The request for the leadership transfer that this node began, and its begin.
    pub(crate) transfer: Option<(Ticket, Moment)>,
    /// The client of the change of the membership that this node, as leader, began.
    pub(crate) change: Option<Ticket>,
    /// The request for a snapshot, and the index that it must reach. Without a deadline: storing takes
    /// as long as it takes.
    pub(crate) snapshot: Option<(Ticket, Index)>,
    /// Reads that may be served once the entry at their index is applied.
    pub(crate) confirmed: BTreeMap<Index, Vec<Read<S>>>,
    /// Commands of this node's own clients that it appended as leader, by the index of their
    /// entries, which its log still holds.
    pub(crate) local: BTreeMap<Index, Write<S>>,
    /// Those of other nodes.
    pub(crate) remote: BTreeMap<Index, (NodeId, RequestId)>,
    /// The values of `remote`.
    pub(crate) appended: BTreeSet<(NodeId, RequestId)>,
    /// The number of unanswered requests of this node's own clients.
    pub(crate) open: usize,
}

/// A client's request that waits for a leader.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Request<S: StateMachine> {
    Write(Write<S>),
    Read(Read<S>),
}

/// What was sent to a leader.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Sent<T> {
    /// When it was last sent to the present leader, if ever.
    pub(crate) at: Option<Moment>,
    pub(crate) what: T,
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
    /// Shared with the log, or with the message to a leader.
    pub(crate) command: Arc<S::Command>,
    /// Whether a log may hold it.
    pub(crate) was_sent: bool,
}

/// The origin of a command: the result goes back there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A client of this node.
    Local(Ticket),
    /// Another node, on behalf of a client of its own.
    Remote(NodeId, RequestId),
}

/// The writes and the reads to send again.
pub(crate) type Overdue<C> = (Vec<(RequestId, Arc<C>)>, Vec<RequestId>);

impl<S: StateMachine> Request<S> {
    /// The ticket of the request, and when the request arrived.
    pub(crate) fn origin(&self) -> (Ticket, Moment) {
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
            change: None,
            snapshot: None,
            confirmed: BTreeMap::new(),
            local: BTreeMap::new(),
            remote: BTreeMap::new(),
            appended: BTreeSet::new(),
            open: 0,
        }
    }

    /// The number of commands that this node appended as leader and has not applied yet.
    pub(crate) fn proposals(&self) -> usize {
        self.local.len() + self.remote.len()
    }

    /// Lets requests wait again. They stay open.
    pub(crate) fn wait_again(&mut self, requests: impl IntoIterator<Item = Request<S>>) {
        self.waiting.extend(requests);
        // Deadlines stay in order.
        let requests = self.waiting.make_contiguous();
        requests.sort_by_key(|request| request.origin().1);
    }

    /// Takes all waiting requests out: a leader is known now.
    pub(crate) fn dispatch(&mut self) -> (Vec<Write<S>>, Vec<Read<S>>) {
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for request in self.waiting.drain(..) {
            match request {
                Request::Write(write) => writes.push(write),
                Request::Read(read) => reads.push(read),
            }
        }
        (writes, reads)
    }

    /// Notes that a write was sent to a leader.
    pub(crate) fn forward(&mut self, id: RequestId, mut write: Write<S>, now: Moment) {
        write.was_sent = true;
        let (at, what) = (Some(now), write);
        self.forwarded.insert(id, Sent { at, what });
    }

    /// Notes that a leader was asked for an index for these reads.
    pub(crate) fn ask(&mut self, id: RequestId, reads: Vec<Read<S>>, now: Moment) {
        let (at, what) = (Some(now), reads);
        self.asked.insert(id, Sent { at, what });
    }

    /// Notes that this leader appended a write of its own client at an index.
    pub(crate) fn propose(&mut self, index: Index, mut write: Write<S>) {
        write.was_sent = true;
        self.local.insert(index, write);
    }

    /// Whether the log holds the command of this forward, not applied yet. Another entry would only
    /// take room.
    pub(crate) fn is_appended(&self, from: NodeId, id: RequestId) -> bool {
        self.appended.contains(&(from, id))
    }

    /// Notes that this leader appended another node's command at an index.
    pub(crate) fn append(&mut self, index: Index, from: NodeId, id: RequestId) {
        self.remote.insert(index, (from, id));
        self.appended.insert((from, id));
    }

    /// Ends the proposal of the entry that was applied. Returns its origin.
    pub(crate) fn applied(&mut self, index: Index) -> Option<Origin> {
        if let Some(write) = self.local.remove(&index) {
            return Some(Origin::Local(write.ticket));
        }
        let origin = self.remote.remove(&index)?;
        self.appended.remove(&origin);
        Some(Origin::Remote(origin.0, origin.1))
    }

    /// The log no longer holds the entries from `first` on: their commands wait for the next leader,
    /// those of other nodes at these nodes.
    pub(crate) fn truncate(&mut self, first: Index) {
        let lost = self.local.split_off(&first);
        self.wait_again(lost.into_values().map(Request::Write));
        for origin in self.remote.split_off(&first).into_values() {
            self.appended.remove(&origin);
        }
    }

    /// Makes the reply to the client of the forward `id`, if the client still waits.
    pub(crate) fn forward_decided(
        &mut self,
        id: RequestId,
        response: Response<S>,
    ) -> Option<Reply<S>> {
        let sent = self.forwarded.remove(&id)?;
        Some(self.answer(sent.what.ticket, response))
    }

    /// Notes the leader's answer to the request `id` for a read index. False if no such request is
    /// open.
    pub(crate) fn confirm(&mut self, id: RequestId, index: Index) -> bool {
        let Some(asked) = self.asked.remove(&id) else {
            return false;
        };
        self.confirmed.entry(index).or_default().extend(asked.what);
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

    /// Makes all that was sent to a leader due again: there is a new one.
    pub(crate) fn send_anew(&mut self) {
        self.forwarded.values_mut().for_each(|sent| sent.at = None);
        self.asked.values_mut().for_each(|asked| asked.at = None);
    }

    /// The requests to send now: those that the present leader did not get yet, and those whose
    /// answer is late.
    pub(crate) fn overdue(&mut self, now: Moment, retry: u32) -> Overdue<S::Command> {
        let is_due = |at: &mut Option<Moment>| {
            let is_due = at.is_none_or(|at| now.is_past(at, retry));
            if is_due {
                *at = Some(now);
            }
            is_due
        };
        let writes = self.forwarded.iter_mut().filter_map(|(id, sent)| {
            is_due(&mut sent.at).then(|| (*id, sent.what.command.clone()))
        });
        let reads = self.asked.iter_mut();
        let reads = reads.filter_map(|(id, asked)| is_due(&mut asked.at).then_some(*id));
        (writes.collect(), reads.collect())
    }

    /// Lets all requests wait again that were sent to a leader: this node leads now.
    pub(crate) fn take_sent(&mut self) {
        let writes = mem::take(&mut self.forwarded).into_values();
        self.wait_again(writes.map(|sent| Request::Write(sent.what)));
        let asked = mem::take(&mut self.asked).into_values();
        self.wait_again(asked.flat_map(|asked| asked.what).map(Request::Read));
    }

    /// Makes the reply to a client of this node. All replies are made here.
    pub(crate) fn answer(&mut self, ticket: Ticket, response: Response<S>) -> Reply<S> {
        self.open -= 1;
        Reply { ticket, response }
    }

    /// Ends the requests that have waited past their deadline. A command of another node has no
    /// deadline here: that node has ended the request.
    pub(crate) fn expire(&mut self, now: Moment, deadline: u32) -> Vec<Reply<S>> {
        let mut expired = Vec::new();
        let refused = |refusal| Response::Refused(refusal);
        let late = |since| now.is_past(since, deadline);
        while let Some((ticket, since)) = self.waiting.front().map(Request::origin)
            && late(since)
        {
            let response = match self.waiting.pop_front() {
                Some(Request::Write(write)) if write.was_sent => Response::Unknown,
                _ => refused(Refusal::NoLeader),
            };
            expired.push((ticket, response));
        }
        while let Some(mut first) = self.asked.first_entry() {
            let reads = &mut first.get_mut().what;
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
        if let Some((ticket, _)) = self.transfer.take_if(|(_, since)| late(*since)) {
            expired.push((ticket, Response::Unknown));
        }
        // Commands that were sent anew are not in the order of their deadlines.
        let mut is_open = |write: &Write<S>| {
            let is_late = late(write.since);
            if is_late {
                expired.push((write.ticket, Response::Unknown));
            }
            !is_late
        };
        self.forwarded.retain(|_, sent| is_open(&sent.what));
        self.local.retain(|_, write| is_open(write));
        expired
            .into_iter()
            .map(|(ticket, response)| self.answer(ticket, response))
            .collect()
    }

    /// The number of tickets in this table, for the invariant that none is lost.
    pub(crate) fn held(&self) -> usize {
        let asked = self.asked.values().map(|asked| asked.what.len());
        let reads = asked.chain(self.confirmed.values().map(Vec::len));
        reads.sum::<usize>()
            + self.waiting.len()
            + self.forwarded.len()
            + self.local.len()
            + usize::from(self.transfer.is_some())
            + usize::from(self.change.is_some())
            + usize::from(self.snapshot.is_some())
    }
}
