//! Inputs that wait for the event loop: a queue for peers, a queue for clients, and the results of
//! the threads that store the log and the snapshots.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use raft_core::{Envelope, Membership, NodeId, SnapshotId, StateMachine, Synced};

use super::queue::{Depths, Limit, Monitor, Queue};

/// The most messages of peers that wait. One more is dropped, as a network may drop it.
pub const PEERS: Limit = Limit {
    items: 8_192,
    bytes: 128 << 20,
};

/// The most requests of clients that wait. One more is refused at once.
pub const CLIENTS: Limit = Limit {
    items: 4_096,
    bytes: 64 << 20,
};

/// The most memory, in bytes and roughly, that open requests of clients may hold. One more is
/// refused at once; but one is always taken. The core bounds their number, not their size, and
/// without a leader all of them wait.
pub const OPEN: usize = 256 << 20;

/// The most that one drain takes, but always one item.
pub const DRAIN: Limit = Limit {
    items: 1_024,
    bytes: 1 << 20,
};

/// Passes inputs from the reader threads to the event loop.
#[derive(Debug)]
pub struct Inbox<S: StateMachine, R>(Monitor<Queues<S, R>>);

#[derive(Debug)]
struct Queues<S: StateMachine, R> {
    peers: Queue<Envelope<S>>,
    clients: Queue<(R, ClientRequest<S>)>,
    /// Results of the log's thread and those of the snapshots. Only a turn of the loop makes more:
    /// there is one task at a time, two outputs are on their way to the log, and the queue of chunks
    /// has a limit.
    results: VecDeque<Arrival<S, R>>,
    /// The bytes that open requests hold, here or in the replica.
    open: usize,
    closed: bool,
    /// When the event loop's present turn began; `None` between two turns.
    turn: Option<Instant>,
    /// The number of clients' requests that ends the event loop's wait.
    least: usize,
}

/// The result of work on a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotResult<S> {
    /// The node's own state is stored.
    Stored {
        /// The id of the snapshot.
        id: SnapshotId,
        /// How long it took.
        took: Duration,
    },
    /// A leader's snapshot is stored.
    Installed {
        /// The id of the snapshot.
        id: SnapshotId,
        /// The members of the cluster as of the snapshot.
        membership: Membership,
        /// The decoded state.
        machine: S,
        /// How long it took.
        took: Duration,
    },
    /// A leader's snapshot does not fit its id, or cannot be decoded.
    Broken {
        /// The id of the snapshot.
        id: SnapshotId,
        /// What is wrong with it.
        reason: String,
    },
    /// A stored snapshot no longer matches its checksum.
    Damaged {
        /// The id of the snapshot.
        id: SnapshotId,
        /// Which file it is, and what is wrong with it.
        reason: String,
    },
    /// The spare file for the log's next segment could not be made, for this reason. The log makes
    /// the segment itself when it needs it.
    NoSpare(String),
}

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRequest<S: StateMachine> {
    /// Append and apply this command.
    Write(S::Command),
    /// Answer this query.
    Read(S::Query),
    /// Hand the leadership over: to this voter, or to the most advanced one.
    Transfer(Option<NodeId>),
    /// Let nodes with these addresses vote, and these members leave.
    ChangeMembers {
        /// The addresses.
        add: Vec<Arc<str>>,
        /// The members.
        remove: BTreeSet<NodeId>,
    },
    /// Store a snapshot of this node's own state.
    Snapshot,
}

/// One input for the event loop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<S: StateMachine, R> {
    /// The receipt of the log's thread.
    Synced(Synced),
    /// Why the node must stop: storage has failed.
    Failed(String),
    Peer(Envelope<S>),
    /// A chunk of a snapshot that was read, to be sent.
    Chunk(Envelope<S>),
    Snapshot(SnapshotResult<S>),
    Client {
        reply_to: R,
        request: ClientRequest<S>,
        /// The bytes that it holds until [`Inbox::answered`].
        bytes: usize,
    },
}

/// Whether a drain takes messages of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peers {
    Taken,
    Held,
}

/// Whether more may arrive after a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inflow {
    /// More may arrive.
    Open,
    /// Nothing waits, and the inbox is closed.
    Ended,
}

impl<S: StateMachine, R> Default for Inbox<S, R> {
    fn default() -> Self {
        Self(Monitor::new(Queues {
            peers: Queue::new(PEERS),
            clients: Queue::new(CLIENTS),
            results: VecDeque::new(),
            open: 0,
            closed: false,
            turn: None,
            least: 1,
        }))
    }
}

impl<S: StateMachine, R> Inbox<S, R> {
    /// Adds a peer's message of about `bytes`. If there is no room it is dropped and counted: the
    /// sender repeats what matters.
    pub fn deliver(&self, envelope: Envelope<S>, bytes: usize) {
        // A message that the full queue returns is dropped here; the queue has counted it.
        let mut queues = self.0.lock();
        drop(queues.peers.push(envelope, bytes));
        self.0.wake(queues);
    }

    /// Adds a client's request, which holds about `bytes` of memory until it is answered.
    ///
    /// # Errors
    /// Returns `reply_to` if there is no room: the request certainly has no effect.
    pub fn submit(&self, reply_to: R, request: ClientRequest<S>, bytes: usize) -> Result<(), R> {
        let mut queues = self.0.lock();
        if queues.open > 0 && queues.open.saturating_add(bytes) > OPEN {
            queues.clients.dropped += 1;
            return Err(reply_to);
        }
        let pushed = queues.clients.push((reply_to, request), bytes);
        pushed.map_err(|(reply_to, _)| reply_to)?;
        queues.open += bytes;
        if queues.has_enough_requests() {
            self.0.wake(queues);
        }
        Ok(())
    }

    /// Adds a result of a thread that uses the disk.
    pub(super) fn finished(&self, result: Arrival<S, R>) {
        let mut queues = self.0.lock();
        queues.results.push_back(result);
        self.0.wake(queues);
    }

    /// Reports that bytes of this stored snapshot changed on disk: the node stores another one.
    pub(crate) fn found_damaged(&self, id: SnapshotId, reason: String) {
        self.finished(Arrival::Snapshot(SnapshotResult::Damaged { id, reason }));
    }

    /// Frees the bytes of answered requests.
    pub(super) fn answered(&self, bytes: usize) {
        self.0.lock().open -= bytes;
    }

    /// Declares the end of input.
    pub fn close(&self) {
        let mut queues = self.0.lock();
        queues.closed = true;
        self.0.wake(queues);
    }

    /// The state of the queues. Requests refused because open ones held too much memory count as
    /// dropped.
    #[must_use]
    pub fn depths(&self) -> Depths {
        let queues = self.0.lock();
        Depths {
            peers: queues.peers.depth(),
            clients: queues.clients.depth(),
        }
    }

    /// How long the event loop has been at its present turn.
    #[must_use]
    pub fn turn(&self) -> Duration {
        let began = self.0.lock().turn;
        began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Waits until a result, a message of a peer or `least` requests of clients have arrived (or as
    /// many requests as one drain takes), the inbox is closed, or the deadline has passed. Takes what
    /// waits, up to [`DRAIN`]: results first, peers before clients. Between two drains the loop is at
    /// a turn.
    pub(super) fn drain(
        &self,
        deadline: Instant,
        peers: Peers,
        least: usize,
        batch: &mut Vec<Arrival<S, R>>,
    ) -> Inflow {
        let mut was_closed = None;
        let left = deadline.saturating_duration_since(Instant::now());
        let mut queues = self.0.wait(left, |queues| {
            queues.turn = None;
            queues.least = least;
            let was_closed = *was_closed.get_or_insert(queues.closed);
            queues.is_ready(peers) || queues.closed != was_closed
        });
        queues.turn = Some(Instant::now());
        let mut room = DRAIN;
        while room.items > 0
            && room.bytes > 0
            && let Some((arrival, bytes)) = queues.pop(peers)
        {
            room.items -= 1;
            room.bytes = room.bytes.saturating_sub(bytes);
            batch.push(arrival);
        }
        if queues.closed && queues.is_empty() {
            Inflow::Ended
        } else {
            Inflow::Open
        }
    }
}

impl<S: StateMachine, R> Queues<S, R> {
    /// Whether the event loop need not wait any longer.
    fn is_ready(&self, peers: Peers) -> bool {
        self.has_enough_requests()
            || !self.results.is_empty()
            || peers == Peers::Taken && !self.peers.is_empty()
    }

    /// Whether the requests that wait are enough for the event loop, or as many as one drain takes.
    fn has_enough_requests(&self) -> bool {
        self.clients.reaches(Limit {
            items: self.least.min(DRAIN.items),
            bytes: DRAIN.bytes,
        })
    }

    fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.results.is_empty() && self.peers.is_empty()
    }

    fn pop(&mut self, peers: Peers) -> Option<(Arrival<S, R>, usize)> {
        if let Some(result) = self.results.pop_front() {
            return Some((result, 0));
        }
        if peers == Peers::Taken
            && let Some((envelope, bytes)) = self.peers.pop()
        {
            return Some((Arrival::Peer(envelope), bytes));
        }
        let ((reply_to, request), bytes) = self.clients.pop()?;
        let arrival = Arrival::Client {
            reply_to,
            request,
            bytes,
        };
        Some((arrival, bytes))
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Message, NodeId, Term};

    use super::*;
    use crate::kv::{Kv, Query};

    /// A test that waits for this time hangs.
    fn never() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn message(from: u64) -> Envelope<Kv> {
        Envelope {
            from: NodeId(from),
            to: NodeId(0),
            term: Term(1),
            message: Message::Outdated(raft_core::Outdated),
        }
    }

    fn request() -> ClientRequest<Kv> {
        let key = json::Value::Null.into();
        ClientRequest::Read(Query::Value(key))
    }

    fn client(reply_to: usize, bytes: usize) -> Arrival<Kv, usize> {
        Arrival::Client {
            reply_to,
            request: request(),
            bytes,
        }
    }

    fn drained(inbox: &Inbox<Kv, usize>, peers: Peers) -> (Inflow, Vec<Arrival<Kv, usize>>) {
        let mut batch = Vec::new();
        let inflow = inbox.drain(never(), peers, 1, &mut batch);
        (inflow, batch)
    }

    #[test]
    fn peers_come_before_clients() {
        let inbox = Inbox::default();
        inbox.submit(1, request(), 1).unwrap();
        inbox.deliver(message(2), 1);
        inbox.deliver(message(3), 1);
        let expected = [
            Arrival::Peer(message(2)),
            Arrival::Peer(message(3)),
            client(1, 1),
        ];
        let (inflow, batch) = drained(&inbox, Peers::Taken);
        assert_eq!(inflow, Inflow::Open);
        assert_eq!(batch, expected);
    }

    #[test]
    fn held_peers_wait() {
        let inbox = Inbox::default();
        inbox.deliver(message(2), 1);
        inbox.submit(1, request(), 1).unwrap();
        let (_, batch) = drained(&inbox, Peers::Held);
        assert_eq!(batch, [client(1, 1)]);
        inbox.close();
        let mut batch = Vec::new();
        let inflow = inbox.drain(Instant::now(), Peers::Held, 1, &mut batch);
        assert_eq!((inflow, batch.len()), (Inflow::Open, 0));
        let (inflow, batch) = drained(&inbox, Peers::Taken);
        assert_eq!(inflow, Inflow::Ended);
        assert_eq!(batch, [Arrival::Peer(message(2))]);
    }

    #[test]
    fn drain_is_limited() {
        let inbox = Inbox::default();
        for client in 0..=DRAIN.items {
            inbox.submit(client, request(), 1).unwrap();
        }
        assert_eq!(drained(&inbox, Peers::Taken).1.len(), DRAIN.items);
        assert_eq!(drained(&inbox, Peers::Taken).1.len(), 1);
        for client in 0..3 {
            inbox.submit(client, request(), DRAIN.bytes).unwrap();
        }
        assert_eq!(drained(&inbox, Peers::Taken).1.len(), 1);
    }

    #[test]
    fn full_queues_refuse_clients_and_drop_peers() {
        let inbox = Inbox::default();
        for client in 0..CLIENTS.items {
            inbox.submit(client, request(), 1).unwrap();
        }
        let excess = CLIENTS.items;
        assert_eq!(inbox.submit(excess, request(), 1), Err(excess));
        for _ in 0..PEERS.items + 2 {
            inbox.deliver(message(1), 1);
        }
        let Depths { peers, clients } = inbox.depths();
        assert_eq!((peers.length, peers.dropped), (PEERS.items, 2));
        assert_eq!((clients.length, clients.dropped), (CLIENTS.items, 1));
    }

    #[test]
    fn open_requests_take_room() {
        let inbox = Inbox::default();
        // The only one is taken, however large it is.
        inbox.submit(1, request(), OPEN + 1).unwrap();
        assert_eq!(drained(&inbox, Peers::Taken).1.len(), 1);
        assert_eq!(inbox.submit(2, request(), 1), Err(2));
        assert_eq!(inbox.depths().clients.dropped, 1);
        inbox.answered(OPEN + 1);
        inbox.submit(2, request(), 1).unwrap();
        inbox.submit(3, request(), OPEN - 1).unwrap_err();
        assert_eq!(drained(&inbox, Peers::Taken).1.len(), 1);
        inbox.submit(3, request(), OPEN - 1).unwrap();
        assert_eq!(inbox.submit(4, request(), 1), Err(4));
    }

    #[test]
    fn waiting_drain_is_woken() {
        let inbox = Inbox::default();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| drained(&inbox, Peers::Taken).1);
            inbox.deliver(message(1), 1);
            assert_eq!(waiter.join().unwrap(), [Arrival::Peer(message(1))]);
        });
    }

    #[test]
    fn closed_inbox_ends_when_empty() {
        let inbox = Inbox::<Kv, usize>::default();
        inbox.close();
        inbox.deliver(message(1), DRAIN.bytes);
        inbox.deliver(message(2), 1);
        assert_eq!(drained(&inbox, Peers::Taken).0, Inflow::Open);
        assert_eq!(drained(&inbox, Peers::Taken).0, Inflow::Ended);
        let mut batch = Vec::new();
        let inflow = inbox.drain(Instant::now(), Peers::Taken, 1, &mut batch);
        assert_eq!((inflow, batch), (Inflow::Ended, vec![]));
    }

    #[test]
    fn drain_waits_for_enough_requests() {
        let inbox = Inbox::default();
        inbox.submit(1, request(), 1).unwrap();
        // At the deadline it takes those that there are.
        let mut batch = Vec::new();
        inbox.drain(Instant::now(), Peers::Taken, 2, &mut batch);
        assert_eq!(batch, [client(1, 1)]);

        inbox.submit(2, request(), 1).unwrap();
        assert!(!inbox.0.lock().is_ready(Peers::Taken));
        inbox.deliver(message(1), 1);
        assert!(inbox.0.lock().is_ready(Peers::Taken));
        assert!(!inbox.0.lock().is_ready(Peers::Held));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut batch = Vec::new();
                inbox.drain(never(), Peers::Held, 2, &mut batch);
                batch
            });
            inbox.submit(3, request(), 1).unwrap();
            assert_eq!(waiter.join().unwrap(), [client(2, 1), client(3, 1)]);
        });
    }

    /// Otherwise the queue could refuse requests while the event loop waits for more.
    #[test]
    fn what_one_drain_takes_is_enough() {
        let inbox = Inbox::default();
        inbox.0.lock().least = usize::MAX;
        for client in 1..DRAIN.items {
            inbox.submit(client, request(), 1).unwrap();
        }
        assert!(!inbox.0.lock().is_ready(Peers::Taken));
        inbox.submit(0, request(), 1).unwrap();
        assert!(inbox.0.lock().is_ready(Peers::Taken));

        let inbox = Inbox::default();
        inbox.0.lock().least = usize::MAX;
        inbox.submit(0, request(), DRAIN.bytes - 1).unwrap();
        assert!(!inbox.0.lock().is_ready(Peers::Taken));
        inbox.submit(1, request(), 1).unwrap();
        assert!(inbox.0.lock().is_ready(Peers::Taken));
    }
}
