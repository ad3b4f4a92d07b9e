//! Output that waits for the writer thread: a queue for peers and a queue for clients.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use super::queue::{Depths, Limit, Monitor, Queue};

/// The most messages to peers that wait. One more is dropped, as a network may drop it.
pub const PEERS: Limit = Limit {
    items: 16_384,
    bytes: 128 << 20,
};

/// The most answers to clients that wait. One more is dropped: its client must take the outcome for
/// unknown.
pub const CLIENTS: Limit = Limit {
    items: 16_384,
    bytes: 128 << 20,
};

/// Encoded bytes are written when there are this many, even if more messages wait.
const WRITE: usize = 1 << 20;

/// A buffer that has grown beyond this is shrunk.
const KEEP: usize = 4 << 20;

/// The same of the queues, in messages.
const KEEP_MESSAGES: usize = 1_024;

/// What waited for the writer: for peers, and for clients. Each message has its size.
type Taken<M> = [VecDeque<(M, usize)>; 2];

/// Passes messages from other threads to the writer thread. `M` is one message.
#[derive(Debug)]
pub struct Outbox<M>(Monitor<Queues<M>>);

#[derive(Debug)]
struct Queues<M> {
    peers: Queue<M>,
    clients: Queue<M>,
    closed: bool,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Self::new(PEERS, CLIENTS)
    }
}

impl<M> Outbox<M> {
    /// An empty outbox with these limits.
    #[must_use]
    pub fn new(peers: Limit, clients: Limit) -> Self {
        Self(Monitor::new(Queues {
            peers: Queue::new(peers),
            clients: Queue::new(clients),
            closed: false,
        }))
    }

    /// Queues messages to peers, each with its approximate size in bytes. Messages for which there
    /// is no room are dropped and counted.
    pub fn send(&self, messages: impl IntoIterator<Item = (M, usize)>) {
        self.push(messages, |queues| &mut queues.peers);
    }

    /// Queues answers to clients, likewise.
    pub fn answer(&self, answers: impl IntoIterator<Item = (M, usize)>) {
        self.push(answers, |queues| &mut queues.clients);
    }

    /// Declares the end of output: [`Outbox::write_to`] returns once everything is written.
    pub fn close(&self) {
        let mut queues = self.0.lock();
        queues.closed = true;
        self.0.wake(queues);
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Drops what waits.
    pub fn clear(&self) {
        // Freed after the lock.
        let mut dropped = Taken::default();
        self.0.lock().take(&mut dropped);
    }

    /// The state of the queues.
    #[must_use]
    pub fn depths(&self) -> Depths {
        let queues = self.0.lock();
        Depths {
            peers: queues.peers.depth(),
            clients: queues.clients.depth(),
        }
    }

    /// Writes messages until the outbox is closed: those that wait are encoded into one buffer,
    /// written at once and flushed.
    ///
    /// # Errors
    /// The first error of `sink`.
    pub fn write_to(
        &self,
        mut sink: impl Write,
        mut encode: impl FnMut(M, &mut Vec<u8>),
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut taken = Taken::default();
        while self.take(&mut taken) {
            for (message, _) in taken.iter_mut().flat_map(|messages| messages.drain(..)) {
                encode(message, &mut buffer);
                if buffer.len() >= WRITE {
                    sink.write_all(&buffer)?;
                    buffer.clear();
                }
            }
            sink.write_all(&buffer)?;
            sink.flush()?;
            buffer.clear();
            buffer.shrink_to(KEEP);
            for messages in &mut taken {
                messages.shrink_to(KEEP_MESSAGES);
            }
        }
        Ok(())
    }

    fn push(
        &self,
        messages: impl IntoIterator<Item = (M, usize)>,
        queue: impl Fn(&mut Queues<M>) -> &mut Queue<M>,
    ) {
        // The messages are made before the lock is taken.
        let messages: Vec<(M, usize)> = messages.into_iter().collect();
        let mut queues = self.0.lock();
        let to = queue(&mut queues);
        for (message, bytes) in messages {
            // A message that the full queue returns is dropped here; the queue has counted it.
            drop(to.push(message, bytes));
        }
        if queues.has_messages() {
            self.0.wake(queues);
        }
    }

    /// Waits for messages and takes all of them. False once the outbox is closed and empty.
    fn take(&self, taken: &mut Taken<M>) -> bool {
        let ready = |queues: &mut Queues<M>| queues.closed || queues.has_messages();
        let mut queues = self.0.wait(Duration::MAX, ready);
        let has_messages = queues.has_messages();
        queues.take(taken);
        has_messages
    }
}

impl<M> Queues<M> {
    fn take(&mut self, [peers, clients]: &mut Taken<M>) {
        self.peers.take(peers);
        self.clients.take(clients);
    }

    fn has_messages(&self) -> bool {
        !self.peers.is_empty() || !self.clients.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records every write as a text, and every flush as an empty one.
    #[derive(Default)]
    struct Notes(Vec<String>);

    impl Write for Notes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.push(String::new());
            Ok(())
        }
    }

    fn line(text: &'static str, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(text.as_bytes());
    }

    #[test]
    fn waiting_messages_leave_in_one_write() {
        let outbox = Outbox::default();
        outbox.answer([("to a client\n", 1)]);
        outbox.send([("to a peer\n", 1), ("to another\n", 1)]);
        outbox.close();
        let mut notes = Notes::default();
        outbox.write_to(&mut notes, line).unwrap();
        assert_eq!(notes.0, ["to a peer\nto another\nto a client\n", ""]);
    }

    #[test]
    fn large_output_is_written_in_pieces() {
        let outbox = Outbox::default();
        outbox.send((0..5).map(|number| (number, 1)));
        outbox.close();
        let mut notes = Notes::default();
        let half = |_, buffer: &mut Vec<u8>| buffer.extend(std::iter::repeat_n(b'x', WRITE / 2));
        outbox.write_to(&mut notes, half).unwrap();
        let lengths: Vec<usize> = notes.0.iter().map(String::len).collect();
        assert_eq!(lengths, [WRITE, WRITE, WRITE / 2, 0]);
    }

    #[test]
    fn excess_messages_are_dropped_and_counted() {
        let outbox = Outbox::default();
        outbox.send((0..PEERS.items + 3).map(|number| (number, 1)));
        outbox.answer([(0, CLIENTS.bytes), (1, 1)]);
        let Depths { peers, clients } = outbox.depths();
        assert_eq!((peers.length, peers.dropped), (PEERS.items, 3));
        assert_eq!((clients.length, clients.dropped), (1, 1));
    }

    #[test]
    fn writer_is_woken_and_reports_its_error() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let outbox = Outbox::default();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| outbox.write_to(Broken, line));
            outbox.answer([("x", 1)]);
            let error = writer.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }
}
