//! Where outputs become durable: on a thread of its own, since a disk may take any time.
//!
//! The event loop hands over each output and continues. Once the output is stored, the thread puts the
//! receipt for the replica into the inbox, and sends the messages that waited for it. Outputs that
//! arrive during a sync are joined, and share the next one.
//!
//! The loop never waits for the thread, and yet what waits is bounded. The core takes no entries
//! while [`raft_core::Limits::unsynced_bytes`] of them are not confirmed. Other records are a few
//! bytes for an election or a snapshot. Of the messages, the newest [`LATE`] are kept: they are
//! votes and acknowledgements, which have no content of any length.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use raft_core::{Envelope, Output, Persisted, StateMachine, Volatile, Wal};

use super::inbox::{Arrival, Inbox};
use super::queue::{Depth, Monitor};

/// The most messages that wait for the disk. For one more, the oldest is dropped, as a network may
/// drop it.
pub const LATE: usize = 16_384;

/// The log of an event loop.
#[derive(Debug)]
pub struct Log<S: StateMachine, W> {
    queue: Arc<Monitor<State<S>>>,
    has_thread: bool,
    /// The log, and the proof for the next output, while no thread has them and no error occurred.
    stored: Option<(W, Persisted)>,
}

impl<S: StateMachine, W> Log<S, W> {
    /// A log for the outputs after those of `persisted`. It has a thread, once it is started, or stores
    /// in the loop itself: one that needs no disk, for which a thread would only cost time.
    pub fn new(has_thread: bool, wal: W, persisted: Persisted) -> Self {
        Self {
            queue: Arc::new(Monitor::new(State {
                waiting: None,
                depth: Depth::default(),
                since: None,
                closed: false,
            })),
            has_thread,
            stored: Some((wal, persisted)),
        }
    }

    /// Starts the thread, if the log has one. It sends what waited for the disk, and puts the receipts
    /// into the inbox. It ends after the log is dropped, unless the disk hangs; the process need not
    /// wait for it.
    ///
    /// # Errors
    /// The system cannot start a thread.
    ///
    /// # Panics
    /// If it was started before.
    pub(super) fn start<R: Send + 'static>(
        &mut self,
        inbox: Arc<Inbox<S, R>>,
        mut send: impl FnMut(Vec<Envelope<S>>) + Send + 'static,
    ) -> io::Result<()>
    where
        S: StateMachine<Command: Send + Sync, Query: Send, Answer: Send, Outcome: Send>
            + Send
            + 'static,
        W: Wal<S::Command, Error: fmt::Display> + Send + 'static,
    {
        if !self.has_thread {
            return Ok(());
        }
        let mut stored = self.stored.take();
        assert!(stored.is_some(), "it starts once");
        let queue = self.queue.clone();
        let work = move || {
            while let Some(before) = stored.take()
                && let Some(output) = take(&queue)
            {
                stored = store(before, output, &inbox, &mut send);
            }
        };
        thread::Builder::new().name("log".into()).spawn(work)?;
        Ok(())
    }

    /// Hands an output to the thread, or stores it.
    pub(super) fn store<R>(
        &mut self,
        output: Output<S, Volatile>,
        inbox: &Inbox<S, R>,
        send: impl FnMut(Vec<Envelope<S>>),
    ) where
        W: Wal<S::Command, Error: fmt::Display>,
    {
        if !self.has_thread {
            let before = self.stored.take().expect("the loop stops at an error");
            self.stored = store(before, output, inbox, send);
            return;
        }
        let mut state = self.queue.lock();
        state.depth.length += 1;
        match &mut state.waiting {
            Some(waiting) => {
                let dropped = waiting.join(output, LATE);
                state.depth.dropped += dropped as u64;
            }
            None => state.waiting = Some(output),
        }
        if state.waits() {
            state.since.get_or_insert_with(Instant::now);
            self.queue.wake(state);
        }
    }

    /// Whether nothing waits for the disk, and all results are in the inbox.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.lock().since.is_none()
    }

    /// Shows the log to other threads.
    pub fn watch(&self) -> LogWatch<S> {
        LogWatch(self.queue.clone())
    }
}

impl<S: StateMachine, W> Drop for Log<S, W> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        self.queue.wake(state);
    }
}

/// The right of other threads to look at the log.
#[derive(Debug)]
pub struct LogWatch<S: StateMachine>(Arc<Monitor<State<S>>>);

impl<S: StateMachine> LogWatch<S> {
    /// How long the disk has stored nothing although something waited for it.
    #[must_use]
    pub fn stalled(&self) -> Duration {
        let since = self.0.lock().since;
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The outputs that wait for a sync to begin, and the messages of them that were dropped.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.0.lock().depth
    }
}

/// The outputs on their way to the thread.
#[derive(Debug)]
struct State<S: StateMachine> {
    /// What the next sync will store.
    waiting: Option<Output<S, Volatile>>,
    /// The number of outputs in it, and the messages dropped because of [`LATE`].
    depth: Depth,
    /// When the thread last took something, or something began to wait for it; `None` while
    /// nothing waits.
    since: Option<Instant>,
    closed: bool,
}

impl<S: StateMachine> State<S> {
    /// Whether a sync has something to do. An output without records or messages waits for the
    /// next one that has some.
    fn waits(&self) -> bool {
        self.waiting.as_ref().is_some_and(Output::waits)
    }
}

/// Waits for outputs, and takes all of them. `None` once the log is dropped.
fn take<S: StateMachine>(queue: &Monitor<State<S>>) -> Option<Output<S, Volatile>> {
    let mut state = queue.wait(Duration::MAX, |state| {
        let waits = state.waits();
        state.since = state.since.filter(|_| waits);
        waits || state.closed
    });
    if !state.waits() {
        return None;
    }
    state.since = Some(Instant::now());
    state.depth.length = 0;
    state.waiting.take()
}

/// The log cannot be stored, for this reason.
pub(super) fn not_stored<S: StateMachine, R>(reason: impl fmt::Display) -> Arrival<S, R> {
    Arrival::Failed(format!("the log cannot be stored: {reason}"))
}

/// Stores an output. Puts the receipt for the replica into the inbox, and sends the messages that
/// waited. Returns the log, and the proof for the next output, unless the disk fails.
fn store<S: StateMachine, W: Wal<S::Command, Error: fmt::Display>, R>(
    (mut wal, before): (W, Persisted),
    output: Output<S, Volatile>,
    inbox: &Inbox<S, R>,
    mut send: impl FnMut(Vec<Envelope<S>>),
) -> Option<(W, Persisted)> {
    let has_records = !output.records().is_empty();
    let stored = output.persist(before, &mut wal);
    let (durable, persisted) = stored
        .map_err(|error| inbox.finished(not_stored(error)))
        .ok()?;
    let (late, synced) = durable.finish();
    // The receipt of an output without records has no news for the replica. A peer's answer to these
    // messages must not overtake one that has.
    if has_records {
        inbox.finished(Arrival::Synced(synced));
    }
    if !late.is_empty() {
        send(late);
    }
    Some((wal, persisted))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use json::value;
    use raft_core::{Input, Limits, Record, Replica, Synced, Ticket};

    use super::*;
    use crate::host::inbox::Peers;
    use crate::host::tests;
    use crate::kv::{Command, Kv};

    /// A disk that says how many records it is to store, and waits until it may.
    struct Slow(Sender<usize>, Receiver<()>);

    impl Wal<Command> for Slow {
        type Error = &'static str;

        fn append_and_sync(&mut self, records: &[Record<Command>]) -> Result<(), Self::Error> {
            self.0.send(records.len()).expect("the test listens");
            self.1.recv().map_err(|_| "the disk is gone")
        }
    }

    /// A lone voter, whose first output has its vote and its blank entry.
    fn replica() -> Replica<Kv> {
        tests::replica(1, Limits::default())
    }

    fn output(replica: &mut Replica<Kv>) -> Output<Kv, Volatile> {
        let mut output = replica.output();
        output.release();
        output
    }

    fn write(replica: &mut Replica<Kv>, number: u64) -> Output<Kv, Volatile> {
        replica.step(Input::Write {
            ticket: Ticket(number),
            command: Command::Write {
                key: value!(number).into(),
                value: value!(1).into(),
            },
        });
        output(replica)
    }

    /// The next result of the thread.
    fn result(inbox: &Inbox<Kv, u8>) -> Result<Synced, String> {
        let hour = Instant::now() + Duration::from_secs(3600);
        let mut batch = Vec::new();
        inbox.drain(hour, Peers::Taken, 1, &mut batch);
        match batch.pop() {
            Some(Arrival::Synced(synced)) => Ok(synced),
            Some(Arrival::Failed(reason)) => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn outputs_that_wait_share_a_sync() {
        let (says, stores) = channel();
        let (lets, may) = channel();
        let inbox = Arc::new(Inbox::<Kv, u8>::default());
        let mut replica = replica();
        let persisted = replica.persisted();
        let mut log = Log::new(true, Slow(says, may), persisted);
        log.start(inbox.clone(), |_| ()).unwrap();
        assert!(log.is_idle());
        log.store(output(&mut replica), &inbox, |_| ());
        assert_eq!(stores.recv(), Ok(2));
        for number in 1..=3 {
            log.store(write(&mut replica, number), &inbox, |_| ());
        }
        assert!(!log.is_idle());
        assert_eq!(log.watch().depth().length, 3);
        lets.send(()).unwrap();
        replica.step(Input::Synced(result(&inbox).unwrap()));
        assert_eq!(replica.status().synced.0, 1);
        // The records of each output stay apart.
        assert_eq!(stores.recv(), Ok(3));
        lets.send(()).unwrap();
        replica.step(Input::Synced(result(&inbox).unwrap()));
        assert_eq!(replica.status().synced.0, 4);

        log.store(write(&mut replica, 4), &inbox, |_| ());
        assert_eq!(stores.recv(), Ok(1));
        drop(lets);
        assert_eq!(
            result(&inbox),
            Err("the log cannot be stored: the disk is gone".into())
        );
        assert!(!log.is_idle(), "what was not stored still waits");
    }

    /// Otherwise a follower may have to decline to campaign right after it acknowledged the last entry.
    #[test]
    fn receipt_is_there_before_the_messages_leave() {
        let (says, stores) = channel();
        let (lets, may) = channel();
        let inbox = Arc::new(Inbox::<Kv, u8>::default());
        let mut replica = tests::replica(3, Limits::default());
        let mut log = Log::new(true, Slow(says, may), replica.persisted());
        let (looks, looked) = channel();
        let filled = inbox.clone();
        let send = move |late: Vec<Envelope<Kv>>| {
            let mut batch = Vec::new();
            filled.drain(Instant::now(), Peers::Taken, 1, &mut batch);
            looks.send((late.len(), batch.len())).unwrap();
        };
        log.start(inbox.clone(), send).unwrap();
        replica.step(Input::Receive(tests::vote()));
        log.store(output(&mut replica), &inbox, |_| ());
        assert_eq!(stores.recv(), Ok(1));
        lets.send(()).unwrap();
        // The thread ends after that, so a thread that sends nothing does not leave the test waiting.
        drop(log);
        assert_eq!(looked.recv(), Ok((1, 1)));
    }

    /// It waits for nothing, so no sync is made for it; it goes with the next one.
    #[test]
    fn output_without_records_needs_no_sync() {
        let (says, stores) = channel();
        let (lets, may) = channel();
        let inbox = Arc::new(Inbox::<Kv, u8>::default());
        let mut replica = replica();
        let persisted = replica.persisted();
        let mut log = Log::new(true, Slow(says, may), persisted);
        log.start(inbox.clone(), |_| ()).unwrap();
        log.store(output(&mut replica), &inbox, |_| ());
        assert_eq!(stores.recv(), Ok(2));
        lets.send(()).unwrap();
        replica.step(Input::Synced(result(&inbox).unwrap()));
        log.store(output(&mut replica), &inbox, |_| ());
        assert_eq!(log.watch().depth().length, 1);
        log.store(write(&mut replica, 1), &inbox, |_| ());
        assert_eq!(stores.recv(), Ok(1));
        lets.send(()).unwrap();
        result(&inbox).unwrap();
    }
}
