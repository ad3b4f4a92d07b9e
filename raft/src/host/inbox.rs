//! What waits for the event loop: a lane for peers, a lane for clients, and the result of the work
//! on a snapshot.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use raft_core::{Envelope, StateMachine};

use super::archive::Finished;
use super::lane::{Lane, Limit};

/// What may wait of peers' messages. One more is dropped, as a network may drop it.
pub const PEERS: Limit = Limit {
    items: 8_192,
    bytes: 128 << 20,
};

/// What may wait of clients' requests. One more is refused at once.
pub const CLIENTS: Limit = Limit {
    items: 4_096,
    bytes: 64 << 20,
};

/// What clients' requests that are taken and not answered yet may hold of memory, in bytes,
/// roughly. One more is refused at once; but one is always taken. The core bounds their number, not
/// their size, and without a leader all of them wait.
pub const OPEN: usize = 256 << 20;

/// The most that one drain takes; but always one item.
pub const DRAIN: Limit = Limit {
    items: 1_024,
    bytes: 1 << 20,
};

/// The way from the threads that read to the one that steps.
#[derive(Debug)]
pub struct Inbox<S: StateMachine, A> {
    lanes: Mutex<Lanes<S, A>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Lanes<S: StateMachine, A> {
    peers: Lane<Envelope<S>>,
    clients: Lane<Request<S, A>>,
    /// There is one task at a time, so there is one result.
    finished: Option<Finished<S>>,
    /// What the requests hold that are not answered yet, here or in the replica.
    open: usize,
    /// Requests refused because of [`OPEN`].
    crowded_out: u64,
    closed: bool,
    /// Whether the event loop waits to be woken.
    idle: bool,
}

/// A client's request, and who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<S: StateMachine, A> {
    /// Whatever it takes to answer.
    pub asker: A,
    /// What is wanted.
    pub wish: Wish<S>,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish<S: StateMachine> {
    /// To have this applied.
    Write(S::Command),
    /// To know this.
    Read(S::Query),
}

/// One thing that the event loop is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival<S: StateMachine, A> {
    Peer(Envelope<S>),
    Finished(Finished<S>),
    /// A request, and how many bytes it holds until [`Inbox::answered`].
    Client(Request<S, A>, usize),
}

/// Whether a drain takes what peers sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    Heard,
    Held,
}

/// How things stand after a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inflow {
    /// There may come more.
    Open,
    /// Nothing waits, and nothing will come any more.
    Ended,
}

/// What an inbox holds, and what it had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depths {
    /// Peers' messages that wait.
    pub peers: usize,
    /// Clients' requests that wait.
    pub clients: usize,
    /// Peers' messages dropped since the start.
    pub peers_dropped: u64,
    /// Clients' requests refused since the start, because their lane was full or the open ones
    /// held too much.
    pub clients_refused: u64,
}

impl<S: StateMachine, A> Default for Inbox<S, A> {
    fn default() -> Self {
        Self {
            lanes: Mutex::new(Lanes {
                peers: Lane::new(PEERS),
                clients: Lane::new(CLIENTS),
                finished: None,
                open: 0,
                crowded_out: 0,
                closed: false,
                idle: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<S: StateMachine, A> Inbox<S, A> {
    /// Hands over a peer's message of roughly so many bytes. If there is no room it is dropped and
    /// counted: the sender repeats what matters.
    pub fn deliver(&self, envelope: Envelope<S>, bytes: usize) {
        // What a full lane gives back is dropped here; the lane has counted it.
        let mut lanes = self.lock();
        drop(lanes.peers.push(envelope, bytes));
        self.wake(lanes);
    }

    /// Hands over a client's request that holds roughly so many bytes of memory, until
    /// the host says that they are free.
    ///
    /// # Errors
    /// Gives the request back if there is no room: surely nothing will come of it.
    pub fn submit(&self, request: Request<S, A>, bytes: usize) -> Result<(), Request<S, A>> {
        let mut lanes = self.lock();
        if lanes.open > 0 && lanes.open.saturating_add(bytes) > OPEN {
            lanes.crowded_out += 1;
            return Err(request);
        }
        lanes.clients.push(request, bytes)?;
        lanes.open += bytes;
        self.wake(lanes);
        Ok(())
    }

    /// Hands over what became of the work on a snapshot.
    pub(super) fn finish(&self, finished: Finished<S>) {
        let mut lanes = self.lock();
        lanes.finished = Some(finished);
        self.wake(lanes);
    }

    /// Says that requests which held so many bytes are answered.
    pub(crate) fn answered(&self, bytes: usize) {
        self.lock().open -= bytes;
    }

    /// Says that nothing will come any more.
    pub fn close(&self) {
        let mut lanes = self.lock();
        lanes.closed = true;
        self.wake(lanes);
    }

    /// How much waits.
    #[must_use]
    pub fn depths(&self) -> Depths {
        let lanes = self.lock();
        Depths {
            peers: lanes.peers.len(),
            clients: lanes.clients.len(),
            peers_dropped: lanes.peers.dropped(),
            clients_refused: lanes.clients.dropped() + lanes.crowded_out,
        }
    }

    /// Waits until something is there, the inbox is closed, or the deadline has passed, and takes
    /// what waits, as far as [`DRAIN`] allows: peers before clients.
    pub(crate) fn drain(
        &self,
        deadline: Instant,
        peers: Peers,
        batch: &mut Vec<Arrival<S, A>>,
    ) -> Inflow {
        let mut lanes = self.lock();
        let was_closed = lanes.closed;
        while lanes.is_silent(peers) && lanes.closed == was_closed {
            let now = Instant::now();
            let Some(left) = deadline
                .checked_duration_since(now)
                .filter(|d| !d.is_zero())
            else {
                break;
            };
            lanes.idle = true;
            lanes = self
                .changed
                .wait_timeout(lanes, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        lanes.idle = false;
        let mut room = DRAIN;
        while room.items > 0
            && room.bytes > 0
            && let Some((arrival, bytes)) = lanes.pop(peers)
        {
            room.items -= 1;
            room.bytes = room.bytes.saturating_sub(bytes);
            batch.push(arrival);
        }
        if lanes.closed && lanes.is_silent(Peers::Heard) {
            Inflow::Ended
        } else {
            Inflow::Open
        }
    }

    /// Wakes the event loop, unless it is awake: most of the time under load, it is.
    fn wake(&self, mut lanes: MutexGuard<'_, Lanes<S, A>>) {
        if lanes.idle {
            lanes.idle = false;
            drop(lanes);
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<S, A>> {
        // The lanes are whole after every statement, whoever panicked.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: StateMachine, A> Lanes<S, A> {
    fn is_silent(&self, peers: Peers) -> bool {
        self.clients.is_empty()
            && self.finished.is_none()
            && (peers == Peers::Held || self.peers.is_empty())
    }

    fn pop(&mut self, peers: Peers) -> Option<(Arrival<S, A>, usize)> {
        if let Some(finished) = self.finished.take() {
            return Some((Arrival::Finished(finished), 0));
        }
        if peers == Peers::Heard
            && let Some((envelope, bytes)) = self.peers.pop()
        {
            return Some((Arrival::Peer(envelope), bytes));
        }
        let (request, bytes) = self.clients.pop()?;
        Some((Arrival::Client(request, bytes), bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use raft_core::{Message, NodeId, Term};

    use super::*;
    use crate::kv::{Kv, Lookup};

    /// Far enough away that a test which waits for it is a test that hangs.
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

    fn request(asker: usize) -> Request<Kv, usize> {
        let key = json::Value::Null;
        Request {
            asker,
            wish: Wish::Read(Lookup { key }),
        }
    }

    fn drained(inbox: &Inbox<Kv, usize>, peers: Peers) -> (Inflow, Vec<Arrival<Kv, usize>>) {
        let mut batch = Vec::new();
        let inflow = inbox.drain(never(), peers, &mut batch);
        (inflow, batch)
    }

    #[test]
    fn peers_come_before_clients() {
        let inbox = Inbox::default();
        inbox.submit(request(1), 1).unwrap();
        inbox.deliver(message(2), 1);
        inbox.deliver(message(3), 1);
        let expected = [
            Arrival::Peer(message(2)),
            Arrival::Peer(message(3)),
            Arrival::Client(request(1), 1),
        ];
        let (inflow, batch) = drained(&inbox, Peers::Heard);
        assert_eq!(inflow, Inflow::Open);
        assert_eq!(batch, expected);
    }

    #[test]
    fn peers_that_are_held_wait() {
        let inbox = Inbox::default();
        inbox.deliver(message(2), 1);
        inbox.submit(request(1), 1).unwrap();
        let (_, batch) = drained(&inbox, Peers::Held);
        assert_eq!(batch, [Arrival::Client(request(1), 1)]);
        inbox.close();
        let mut batch = Vec::new();
        let inflow = inbox.drain(Instant::now(), Peers::Held, &mut batch);
        assert_eq!((inflow, batch.len()), (Inflow::Open, 0));
        let (inflow, batch) = drained(&inbox, Peers::Heard);
        assert_eq!(inflow, Inflow::Ended);
        assert_eq!(batch, [Arrival::Peer(message(2))]);
    }

    #[test]
    fn a_drain_is_limited() {
        let inbox = Inbox::default();
        for asker in 0..=DRAIN.items {
            inbox.submit(request(asker), 1).unwrap();
        }
        assert_eq!(drained(&inbox, Peers::Heard).1.len(), DRAIN.items);
        assert_eq!(drained(&inbox, Peers::Heard).1.len(), 1);
        for asker in 0..3 {
            inbox.submit(request(asker), DRAIN.bytes).unwrap();
        }
        assert_eq!(drained(&inbox, Peers::Heard).1.len(), 1);
    }

    #[test]
    fn a_full_lane_refuses_clients_and_drops_peers() {
        let inbox = Inbox::default();
        for asker in 0..CLIENTS.items {
            inbox.submit(request(asker), 1).unwrap();
        }
        let one_too_many = request(CLIENTS.items);
        assert_eq!(inbox.submit(one_too_many.clone(), 1), Err(one_too_many));
        for _ in 0..PEERS.items + 2 {
            inbox.deliver(message(1), 1);
        }
        let expected = Depths {
            peers: PEERS.items,
            clients: CLIENTS.items,
            peers_dropped: 2,
            clients_refused: 1,
        };
        assert_eq!(inbox.depths(), expected);
    }

    #[test]
    fn what_is_not_answered_yet_takes_room() {
        let inbox = Inbox::default();
        // Taken, however large it is, since it is the only one.
        inbox.submit(request(1), OPEN + 1).unwrap();
        assert_eq!(drained(&inbox, Peers::Heard).1.len(), 1);
        assert_eq!(inbox.submit(request(2), 1), Err(request(2)));
        assert_eq!(inbox.depths().clients_refused, 1);
        inbox.answered(OPEN + 1);
        inbox.submit(request(2), 1).unwrap();
        inbox.submit(request(3), OPEN - 1).unwrap_err();
        assert_eq!(drained(&inbox, Peers::Heard).1.len(), 1);
        inbox.submit(request(3), OPEN - 1).unwrap();
        assert_eq!(inbox.submit(request(4), 1), Err(request(4)));
    }

    #[test]
    fn whoever_waits_is_woken() {
        let inbox = Inbox::default();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| drained(&inbox, Peers::Heard).1);
            inbox.deliver(message(1), 1);
            assert_eq!(waiter.join().unwrap(), [Arrival::Peer(message(1))]);
        });
    }

    #[test]
    fn a_closed_inbox_ends_once_it_is_empty() {
        let inbox = Inbox::<Kv, usize>::default();
        inbox.close();
        inbox.deliver(message(1), DRAIN.bytes);
        inbox.deliver(message(2), 1);
        assert_eq!(drained(&inbox, Peers::Heard).0, Inflow::Open);
        assert_eq!(drained(&inbox, Peers::Heard).0, Inflow::Ended);
        let mut batch = Vec::new();
        let inflow = inbox.drain(Instant::now(), Peers::Heard, &mut batch);
        assert_eq!((inflow, batch), (Inflow::Ended, vec![]));
    }
}
