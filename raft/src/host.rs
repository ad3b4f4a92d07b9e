//! The event loop: feeds inputs to a replica and carries out what the replica asks for.
//!
//! One turn of the loop, as `docs/ARCHITECTURE.md` draws it:
//!
//! ```text
//! drain      wait for the inbox or the next tick; take what waits, peers before clients
//! step       all inputs, under one lock; take the output; unlock
//! release    send what may leave before anything is stored: Appends, read rounds, answers;
//!            pass work on snapshots to their threads
//! persist    pass the output to the log's thread, which stores all that waits with one sync
//! ```
//!
//! Once it has, the receipt for the replica arrives in the inbox, as any input, and the thread sends the
//! messages that waited for the sync (vote requests, votes, acknowledgements). So the loop never waits
//! for a disk. A log that needs none is written in the loop itself ([`Log`]).
//!
//! Nothing waits in order to batch: a batch is what arrived during the turn before, and a sync
//! stores what arrived during the sync before. Only a lone voter lets requests wait during a sync,
//! until they are a quarter of the open ones: before the sync ends it could do nothing for them but
//! take a turn for each.
//!
//! The loop knows no sockets and no pipes. Inputs wait in an [`Inbox`], which reader threads fill;
//! outputs go to the host's [`FrontEnd`].
//!
//! Time is a count of ticks of [`TICK`]. The loop looks at the clock only after it has drained the
//! inbox, and all ticks that are due count as one, so that a node that was stopped for a while
//! reads its messages before it starts an election.

mod inbox;
mod log;
mod outbox;
mod queue;
pub mod shared;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, mem};

use raft_core::{Envelope, Input, Released, Reply, Response, StateMachine, Status, Ticket, Wal};

use self::inbox::{Arrival, Inflow, Peers};
pub use self::inbox::{ClientRequest, Inbox, SnapshotResult};
pub use self::log::{Log, LogWatch};
pub use self::outbox::Outbox;
pub use self::queue::{Depth, Depths, Limit};
use self::shared::Stepper;
use self::snapshots::Job;
pub use self::snapshots::{Image, SnapshotThread};

/// The named limits of the queues.
pub mod limits {
    pub use super::inbox::{CLIENTS as INBOX_CLIENTS, DRAIN, OPEN, PEERS as INBOX_PEERS};
    pub use super::log::LATE;
    pub use super::outbox::{CLIENTS as OUTBOX_CLIENTS, PEERS as OUTBOX_PEERS};
}

/// How long a tick of the core lasts.
pub const TICK: Duration = Duration::from_millis(10);

/// The requests that wait for a lone voter's disk begin a turn once they are one in this many of the
/// open ones, and at the next tick in any case.
const SHARE: usize = 4;

/// Receives the loop's output. No function here may wait, since the loop would stop meanwhile.
pub trait FrontEnd<S: StateMachine> {
    /// What it takes to reply to a client.
    type ReplyTo;

    /// Sends messages to peers. Any of them may be lost.
    fn send(&mut self, messages: Vec<Envelope<S>>);

    /// Does the same on another thread.
    fn sender(&self) -> impl FnMut(Vec<Envelope<S>>) + Send + 'static;

    /// Answers clients.
    fn answer(&mut self, answers: Vec<(Self::ReplyTo, Response<S>)>);

    /// Called with the state after each turn.
    fn observe(&mut self, status: &Status);

    /// Called after each turn with the time that it took.
    fn turned(&mut self, took: Duration);

    /// Called with what a thread of the snapshots reports, before the replica gets it.
    fn snapshot_finished(&mut self, result: &SnapshotResult<S>);
}

/// Passes clients' writes on to the replica: under a session of this node.
pub trait Session<S: StateMachine> {
    /// Takes a write, whose ticket is above those of the writes before. Returns an input for the
    /// replica, unless the write waits or is refused.
    fn write(&mut self, ticket: Ticket, command: S::Command) -> Option<Input<S>>;

    /// Takes the replica's replies. Returns those to clients, and further inputs.
    fn answered(&mut self, replies: Vec<Reply<S>>) -> (Vec<Reply<S>>, Vec<Input<S>>);
}

/// A replica, its storage and its front end.
#[derive(Debug)]
pub struct Host<S: StateMachine, W, F: FrontEnd<S>, N> {
    stepper: Stepper<S>,
    inbox: Arc<Inbox<S, F::ReplyTo>>,
    log: Log<S, W>,
    snapshots: SnapshotThread<S>,
    front_end: F,
    session: N,
    /// The inputs of the next turn: what has arrived, and what the session added in the last turn.
    inputs: Vec<Input<S>>,
    /// What one drain took. Kept, as `inputs`, so that no turn has to allocate it.
    batch: Vec<Arrival<S, F::ReplyTo>>,
    /// Where the reply to each open request goes, and the bytes that the request holds. The core
    /// bounds their number.
    open: BTreeMap<Ticket, (F::ReplyTo, usize)>,
    tickets: u64,
    /// Whether the replica has committed entries to apply.
    applies: bool,
    /// Whether all that clients wait for is the node's own disk, which has something to store.
    only_stores: bool,
    /// Copies of a machine that a leader's snapshot replaces, and of the new one. To free one of a
    /// gigabyte takes long, so the last copy must not be dropped here.
    replaced: Option<[S; 2]>,
}

impl<S, W, F, N> Host<S, W, F, N>
where
    S: StateMachine<Command: Send + Sync, Query: Send, Answer: Send, Outcome: Send>
        + Send
        + 'static,
    W: Wal<S::Command, Error: fmt::Display> + Send + 'static,
    F: FrontEnd<S, ReplyTo: Send + 'static>,
    N: Session<S>,
{
    /// A host for the replica of `stepper`, which was never stepped before. The threads of the log
    /// and of snapshots put their results into the same inbox.
    pub fn new(
        stepper: Stepper<S>,
        inbox: Arc<Inbox<S, F::ReplyTo>>,
        log: Log<S, W>,
        snapshots: SnapshotThread<S>,
        front_end: F,
        session: N,
    ) -> Self {
        Self {
            stepper,
            inbox,
            log,
            snapshots,
            front_end,
            session,
            inputs: Vec::new(),
            batch: Vec::new(),
            open: BTreeMap::new(),
            tickets: 0,
            applies: false,
            only_stores: false,
            replaced: None,
        }
    }

    /// Runs until the inbox is closed, every request is answered and nothing is left to do, but no
    /// longer than `grace` after the inbox was closed: the disk may hang.
    ///
    /// For the time `settle` the node sends nothing to its peers: their messages wait in the inbox,
    /// no tick passes, and clients' requests are taken and wait for a leader. A lone voter needs no
    /// such time.
    ///
    /// # Errors
    /// Why the host stopped: storage has failed, or the log's thread cannot be started. The node must not
    /// be used any more.
    pub fn run(mut self, settle: Duration, grace: Duration) -> Result<(), String> {
        let started = self.log.start(self.inbox.clone(), self.front_end.sender());
        started.map_err(|e| format!("the log cannot be stored: cannot start a thread: {e}"))?;
        // The output of a lone voter's first steps.
        self.turn();
        if self.settle(Instant::now() + settle)? == Inflow::Ended {
            return Ok(());
        }

        let mut next_tick = Instant::now() + TICK;
        let mut end = None;
        loop {
            let was_idle = self.log.is_idle();
            let until = match self.applies {
                true => Instant::now(),
                false => next_tick,
            };
            let inflow = self.drain(until, Peers::Taken)?;
            // What the inputs hand to the log's thread may be in the inbox before the turn ends.
            let was_idle = was_idle && self.inputs.is_empty();
            // The clock is read after the inbox, never before.
            let now = Instant::now();
            if now >= next_tick {
                if self.snapshots.snapshots.has_moved() {
                    self.inputs.push(Input::SnapshotMoved);
                }
                self.inputs.push(Input::Tick);
                next_tick = following(next_tick, now);
            }
            if inflow == Inflow::Ended && end.is_none() {
                // A leader hands over. The replies of peers are part of the input, so none comes
                // any more, and there is nothing to wait for.
                let (ticket, to) = (None, None);
                self.inputs.push(Input::Transfer { ticket, to });
            }
            self.turn();
            if inflow == Inflow::Ended {
                let end = *end.get_or_insert(now + grace);
                let is_done = self.open.is_empty() && was_idle && self.log.is_idle();
                if is_done || now >= end {
                    return Ok(());
                }
            }
        }
    }

    /// Runs without peers until the given time. Returns `Ended` if the input ends earlier and no
    /// request is open.
    fn settle(&mut self, until: Instant) -> Result<Inflow, String> {
        while Instant::now() < until {
            // A closed inbox wakes nothing, so look at it now and then.
            let soon = until.min(Instant::now() + TICK);
            let inflow = self.drain(soon, Peers::Held)?;
            self.turn();
            if inflow == Inflow::Ended && self.open.is_empty() {
                return Ok(inflow);
            }
        }
        Ok(Inflow::Open)
    }

    /// Takes what has arrived, as inputs, and notes where replies go.
    fn drain(&mut self, deadline: Instant, peers: Peers) -> Result<Inflow, String> {
        let deadline = match self.inputs.is_empty() {
            true => deadline,
            false => Instant::now(),
        };
        let mut batch = mem::take(&mut self.batch);
        let inflow = self.inbox.drain(deadline, peers, self.least(), &mut batch);
        for arrival in batch.drain(..) {
            let input = self.input(arrival)?;
            self.inputs.extend(input);
        }
        self.batch = batch;
        Ok(inflow)
    }

    /// The number of clients' requests that begin a turn.
    fn least(&self) -> usize {
        match self.only_stores {
            true => (self.open.len() / SHARE).max(1),
            false => 1,
        }
    }

    /// The input for the replica. A write may wait for the session.
    fn input(&mut self, arrival: Arrival<S, F::ReplyTo>) -> Result<Option<Input<S>>, String> {
        let input = match arrival {
            Arrival::Failed(reason) => return Err(reason),
            Arrival::Synced(synced) => {
                self.snapshots.maintain();
                Input::Synced(synced)
            }
            Arrival::Peer(envelope) => Input::Receive(envelope),
            Arrival::Chunk(envelope) => {
                self.front_end.send(vec![envelope]);
                return Ok(None);
            }
            Arrival::Snapshot(result) => {
                self.front_end.snapshot_finished(&result);
                match result {
                    SnapshotResult::Stored { id, took: _ } => Input::SnapshotStored(id),
                    SnapshotResult::Installed {
                        id,
                        membership,
                        machine,
                        took: _,
                    } => {
                        self.replaced = Some([self.stepper.machine(), machine.clone()]);
                        Input::SnapshotInstalled {
                            snapshot: id,
                            membership,
                            machine,
                        }
                    }
                    SnapshotResult::Broken { id, reason: _ } => Input::SnapshotBroken(id),
                    SnapshotResult::Damaged { id, reason: _ } => Input::SnapshotDamaged(id),
                    SnapshotResult::NoSpare(_) => return Ok(None),
                }
            }
            Arrival::Client {
                reply_to,
                request,
                bytes,
            } => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.open.insert(ticket, (reply_to, bytes));
                match request {
                    ClientRequest::Write(command) => {
                        return Ok(self.session.write(ticket, command));
                    }
                    ClientRequest::Read(query) => Input::Read { ticket, query },
                    ClientRequest::ChangeMembers { add, remove } => Input::ChangeMembers {
                        ticket,
                        add,
                        remove,
                    },
                    ClientRequest::Transfer(to) => {
                        let ticket = Some(ticket);
                        Input::Transfer { ticket, to }
                    }
                    ClientRequest::Snapshot => Input::TakeSnapshot { ticket },
                }
            }
        };
        Ok(Some(input))
    }

    /// Steps through the inputs, releases what need not wait for the disk, and hands the rest to the log.
    fn turn(&mut self) {
        let (mut output, status) = self.stepper.step(self.inputs.drain(..));
        let Released {
            messages,
            chunks,
            replies,
            task,
        } = output.release();
        let (replies, added) = self.session.answered(replies);
        self.inputs.extend(added);
        // Answers first: clients wait for them, and the followers' work comes afterwards.
        if !replies.is_empty() {
            let mut freed = 0;
            let mut close = |ticket| {
                let (reply_to, bytes) = self.open.remove(&ticket).expect("one reply each");
                freed += bytes;
                reply_to
            };
            let answers = replies.into_iter().map(|r| (close(r.ticket), r.response));
            self.front_end.answer(answers.collect());
            self.inbox.answered(freed);
        }
        if !messages.is_empty() {
            self.front_end.send(messages);
        }
        self.snapshots.send(chunks);
        if let Some(machines) = self.replaced.take() {
            self.snapshots.pass(Job::Discard(machines));
        }
        if let Some(task) = task {
            self.snapshots.pass(Job::Begin(task));
        }
        self.front_end.observe(&status);
        self.applies = status.applied < status.commit.index;
        let is_alone = status.membership.is_lone_voter(status.id);
        self.only_stores = is_alone && status.synced < status.last.index;
        let send = |messages| self.front_end.send(messages);
        self.log.store(output, &self.inbox, send);
        self.front_end.turned(self.inbox.turn());
    }
}

/// The time of the tick after the one that was due at `due`. Missed ticks are not made up for; a
/// tick that is a little late does not delay those after it.
fn following(due: Instant, now: Instant) -> Instant {
    let next = due + TICK;
    if next > now { next } else { now + TICK }
}

#[cfg(test)]
mod tests;
