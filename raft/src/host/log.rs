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

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use raft_core::{Envelope, Output, Persisted, StateMachine, Synced, Volatile, Wal};

use super::inbox::{Arrival, Inbox};
use super::queue::{Depth, LOOKS};

/// The most messages that wait for the disk. For one more, the oldest is dropped, as a network may
/// drop it.
pub const LATE: usize = 16_384;

/// The log of an event loop.
#[derive(Debug)]
pub enum Log<S: StateMachine, W> {
    /// Stores on a thread.
    Thread(LogThread<S, W>),
    /// Stores in the loop itself: the log needs no disk, and a thread would only cost time.
    Inline(InlineLog<W>),
}

impl<S: StateMachine, W> Log<S, W> {
    /// Whether nothing waits for the disk, and all results are in the inbox.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.queue.lock().since.is_none(),
            Self::Inline(_) => true,
        }
    }

    /// Shows the log to other threads.
    pub fn watch(&self) -> LogWatch<S> {
        LogWatch(match self {
            Self::Thread(thread) => Some(thread.queue.clone()),
            Self::Inline(_) => None,
        })
    }
}

/// A log that needs no disk.
#[derive(Debug)]
pub struct InlineLog<W> {
    wal: W,
    /// The proof for the next output; `None` after an error.
    persisted: Option<Persisted>,
}

impl<W> InlineLog<W> {
    /// A log for the outputs after those of `persisted`.
    pub fn new(wal: W, persisted: Persisted) -> Self {
        let persisted = Some(persisted);
        Self { wal, persisted }
    }

    /// Stores an output. Returns the messages that waited for it, and the receipt for the replica.
    pub(super) fn store<S: StateMachine>(
        &mut self,
        output: Output<S, Volatile>,
    ) -> Result<(Vec<Envelope<S>>, Synced), String>
    where
        W: Wal<S::Command, Error: fmt::Display>,
    {
        let before = self.persisted.take().expect("the loop stops at an error");
        let (late, synced, persisted) = store(output, before, &mut self.wal)?;
        self.persisted = Some(persisted);
        Ok((late, synced))
    }
}

/// A handle of the thread.
#[derive(Debug)]
pub struct LogThread<S: StateMachine, W> {
    queue: Arc<Queue<S>>,
    /// What the thread gets when it starts.
    wal: Option<(W, Persisted)>,
}

impl<S: StateMachine, W> LogThread<S, W> {
    /// A log for the outputs after those of `persisted`. The thread does not run yet.
    pub fn new(wal: W, persisted: Persisted) -> Self {
        Self {
            queue: Arc::default(),
            wal: Some((wal, persisted)),
        }
    }

    /// Starts the thread. It sends what waited for the disk, and puts the receipts into the inbox. It
    /// ends after the handle is dropped, unless the disk hangs; the process need not wait for it.
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
        let (wal, persisted) = self.wal.take().expect("it starts once");
        let queue = self.queue.clone();
        let builder = thread::Builder::new().name("log".into());
        builder.spawn(move || work(&queue, wal, persisted, &inbox, &mut send))?;
        Ok(())
    }

    /// Hands an output over.
    pub(super) fn store(&self, output: Output<S, Volatile>) {
        let mut state = self.queue.lock();
        state.outputs += 1;
        match &mut state.waiting {
            Some(waiting) => {
                let dropped = waiting.join(output, LATE);
                state.dropped += dropped as u64;
            }
            None => state.waiting = Some(output),
        }
        if state.since.is_none() && state.waits() {
            state.since = Some(Instant::now());
            drop(state);
            self.queue.changed.notify_one();
        }
    }
}

impl<S: StateMachine, W> Drop for LogThread<S, W> {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_one();
    }
}

/// The right of other threads to look at the log.
#[derive(Debug)]
pub struct LogWatch<S: StateMachine>(Option<Arc<Queue<S>>>);

impl<S: StateMachine> LogWatch<S> {
    /// How long the disk has stored nothing although something waited for it.
    #[must_use]
    pub fn stalled(&self) -> Duration {
        let since = self.0.as_ref().and_then(|queue| queue.lock().since);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The outputs that wait for a sync to begin, and the messages of them that were dropped.
    #[must_use]
    pub fn depth(&self) -> Depth {
        let state = self.0.as_ref().map(|queue| queue.lock());
        let (length, dropped) = state.map_or((0, 0), |state| (state.outputs, state.dropped));
        Depth { length, dropped }
    }
}

/// The outputs on their way to the thread.
#[derive(Debug)]
struct Queue<S: StateMachine> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<S: StateMachine> {
    /// What the next sync will store.
    waiting: Option<Output<S, Volatile>>,
    /// The number of outputs in it.
    outputs: usize,
    /// When the thread last took something, or something began to wait for it; `None` while
    /// nothing waits.
    since: Option<Instant>,
    /// Messages dropped because of [`LATE`].
    dropped: u64,
    closed: bool,
}

impl<S: StateMachine> Default for Queue<S> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: None,
                outputs: 0,
                since: None,
                dropped: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<S: StateMachine> State<S> {
    /// Whether a sync has something to do. An output without records or messages waits for the
    /// next one that has some.
    fn waits(&self) -> bool {
        self.waiting.as_ref().is_some_and(Output::waits)
    }
}

impl<S: StateMachine> Queue<S> {
    /// Waits for outputs, and takes all of them. `None` once the handle is dropped.
    fn take(&self) -> Option<Output<S, Volatile>> {
        let mut state = self.lock();
        let mut looks = 0;
        while !state.waits() {
            state.since = None;
            if state.closed {
                return None;
            }
            if looks < LOOKS {
                looks += 1;
                drop(state);
                thread::yield_now();
                state = self.lock();
                continue;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.since = Some(Instant::now());
        state.outputs = 0;
        state.waiting.take()
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        // The state is consistent after every statement, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores outputs until the handle is dropped or the disk fails.
fn work<S: StateMachine, W: Wal<S::Command, Error: fmt::Display>, R>(
    queue: &Queue<S>,
    mut wal: W,
    mut persisted: Persisted,
    inbox: &Inbox<S, R>,
    send: &mut dyn FnMut(Vec<Envelope<S>>),
) {
    while let Some(output) = queue.take() {
        let stored = store(output, persisted, &mut wal);
        let (late, synced, next) = match stored {
            Ok(stored) => stored,
            Err(reason) => return inbox.finished(Arrival::Log(Err(reason))),
        };
        // A peer's answer to these messages must not overtake the receipt.
        inbox.finished(Arrival::Log(Ok(synced)));
        if !late.is_empty() {
            send(late);
        }
        persisted = next;
    }
}

/// The messages that waited for an output, the receipt for the replica, and the proof for the next
/// output.
type Stored<S> = (Vec<Envelope<S>>, Synced, Persisted);

/// Stores an output.
fn store<S: StateMachine, W: Wal<S::Command, Error: fmt::Display>>(
    output: Output<S, Volatile>,
    before: Persisted,
    wal: &mut W,
) -> Result<Stored<S>, String> {
    let (durable, persisted) = output
        .persist(before, wal)
        .map_err(|error| error.to_string())?;
    let (late, synced) = durable.finish();
    Ok((late, synced, persisted))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use json::value;
    use raft_core::{Input, Limits, Record, Replica, Ticket};

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
        inbox.drain(hour, Peers::Taken, &mut batch);
        match batch.pop() {
            Some(Arrival::Log(result)) => result,
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
        let mut thread = LogThread::new(Slow(says, may), persisted);
        thread.start(inbox.clone(), |_| ()).unwrap();
        let watch = Log::Thread(thread);
        let Log::Thread(thread) = &watch else {
            unreachable!("it was just made")
        };
        assert!(watch.is_idle());
        thread.store(output(&mut replica));
        assert_eq!(stores.recv(), Ok(2));
        for number in 1..=3 {
            thread.store(write(&mut replica, number));
        }
        assert!(!watch.is_idle());
        assert_eq!(watch.watch().depth().length, 3);
        lets.send(()).unwrap();
        replica.step(Input::Synced(result(&inbox).unwrap()));
        assert_eq!(replica.status().synced.0, 1);
        // The records of each output stay apart.
        assert_eq!(stores.recv(), Ok(3));
        lets.send(()).unwrap();
        replica.step(Input::Synced(result(&inbox).unwrap()));
        assert_eq!(replica.status().synced.0, 4);

        thread.store(write(&mut replica, 4));
        assert_eq!(stores.recv(), Ok(1));
        drop(lets);
        assert_eq!(result(&inbox), Err("the disk is gone".into()));
        assert!(!watch.is_idle(), "what was not stored still waits");
    }

    /// Otherwise a follower may have to decline to campaign right after it acknowledged the last entry.
    #[test]
    fn receipt_is_there_before_the_messages_leave() {
        let (says, stores) = channel();
        let (lets, may) = channel();
        let inbox = Arc::new(Inbox::<Kv, u8>::default());
        let mut replica = tests::replica(3, Limits::default());
        let mut thread = LogThread::new(Slow(says, may), replica.persisted());
        let (looks, looked) = channel();
        let filled = inbox.clone();
        let send = move |late: Vec<Envelope<Kv>>| {
            let mut batch = Vec::new();
            filled.drain(Instant::now(), Peers::Taken, &mut batch);
            looks.send((late.len(), batch.len())).unwrap();
        };
        thread.start(inbox, send).unwrap();
        replica.step(Input::Receive(tests::vote()));
        thread.store(output(&mut replica));
        assert_eq!(stores.recv(), Ok(1));
        lets.send(()).unwrap();
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
        let mut thread = LogThread::new(Slow(says, may), persisted);
        thread.start(inbox.clone(), |_| ()).unwrap();
        thread.store(output(&mut replica));
        assert_eq!(stores.recv(), Ok(2));
        lets.send(()).unwrap();
        replica.step(Input::Synced(result(&inbox).unwrap()));
        let log = Log::Thread(thread);
        let Log::Thread(thread) = &log else {
            unreachable!("it was just made")
        };
        thread.store(output(&mut replica));
        assert_eq!(log.watch().depth().length, 1);
        thread.store(write(&mut replica, 1));
        assert_eq!(stores.recv(), Ok(1));
        lets.send(()).unwrap();
        result(&inbox).unwrap();
    }
}
