//! What waits to be written: a lane for peers and a lane for clients, and the thread that empties
//! them.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::lane::{Lane, Limit};

/// What may wait of messages to peers. One more is dropped, as a network may drop it.
pub const PEERS: Limit = Limit {
    items: 16_384,
    bytes: 128 << 20,
};

/// What may wait of answers to clients. One more is dropped: to its client the outcome is unknown,
/// which is always true enough.
pub const CLIENTS: Limit = Limit {
    items: 16_384,
    bytes: 128 << 20,
};

/// Encoded bytes are written when there are this many, even if more waits to be encoded.
const WRITE: usize = 1 << 20;

/// The buffer is given back to the system when it has grown beyond this.
const KEEP: usize = 4 << 20;

/// The way from the threads that speak to the one that writes. `M` is what one line says.
#[derive(Debug)]
pub struct Outbox<M> {
    lanes: Mutex<Lanes<M>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Lanes<M> {
    peers: Lane<M>,
    clients: Lane<M>,
    closed: bool,
    /// Whether the writer waits to be woken.
    idle: bool,
}

/// What an outbox holds, and what it had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depths {
    /// Messages to peers that wait.
    pub peers: usize,
    /// Answers to clients that wait.
    pub clients: usize,
    /// Messages to peers dropped since the start.
    pub peers_dropped: u64,
    /// Answers to clients dropped since the start.
    pub clients_dropped: u64,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Self {
            lanes: Mutex::new(Lanes {
                peers: Lane::new(PEERS),
                clients: Lane::new(CLIENTS),
                closed: false,
                idle: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<M> Outbox<M> {
    /// Has messages sent to peers, each with its rough size in bytes. They leave in one write, if
    /// the writer is quick. What there is no room for is dropped and counted.
    pub fn send(&self, messages: impl IntoIterator<Item = (M, usize)>) {
        self.push(messages, |lanes| &mut lanes.peers);
    }

    /// Has answers sent to clients, likewise.
    pub fn answer(&self, answers: impl IntoIterator<Item = (M, usize)>) {
        self.push(answers, |lanes| &mut lanes.clients);
    }

    /// Says that nothing will be said any more: [`Outbox::write_to`] returns once all is written.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// How much waits.
    #[must_use]
    pub fn depths(&self) -> Depths {
        let lanes = self.lock();
        Depths {
            peers: lanes.peers.len(),
            clients: lanes.clients.len(),
            peers_dropped: lanes.peers.dropped(),
            clients_dropped: lanes.clients.dropped(),
        }
    }

    /// Writes all that is said, until the outbox is closed: what waits is encoded into one buffer,
    /// written at once and flushed.
    ///
    /// # Errors
    /// The first one of `sink`.
    pub fn write_to(
        &self,
        mut sink: impl Write,
        mut encode: impl FnMut(M, &mut Vec<u8>),
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        while let Some((peers, clients)) = self.take() {
            for message in peers.chain(clients) {
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
        }
        Ok(())
    }

    fn push(
        &self,
        messages: impl IntoIterator<Item = (M, usize)>,
        lane: impl Fn(&mut Lanes<M>) -> &mut Lane<M>,
    ) {
        // Whatever it takes to make them is done before the lock is taken.
        let messages: Vec<(M, usize)> = messages.into_iter().collect();
        let mut lanes = self.lock();
        let to = lane(&mut lanes);
        for (message, bytes) in messages {
            // What a full lane gives back is dropped here; the lane has counted it.
            drop(to.push(message, bytes));
        }
        if lanes.idle && lanes.has_mail() {
            lanes.idle = false;
            drop(lanes);
            self.changed.notify_one();
        }
    }

    /// Waits for something to write and takes all of it; nothing once the outbox is closed and
    /// empty.
    fn take(
        &self,
    ) -> Option<(
        impl Iterator<Item = M> + use<M>,
        impl Iterator<Item = M> + use<M>,
    )> {
        let mut lanes = self.lock();
        while !lanes.has_mail() {
            if lanes.closed {
                return None;
            }
            lanes.idle = true;
            lanes = self
                .changed
                .wait(lanes)
                .unwrap_or_else(PoisonError::into_inner);
        }
        lanes.idle = false;
        Some((lanes.peers.take(), lanes.clients.take()))
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<M>> {
        // The lanes are whole after every statement, whoever panicked.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Lanes<M> {
    fn has_mail(&self) -> bool {
        !self.peers.is_empty() || !self.clients.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes every write as one text, and every flush as an empty one.
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
    fn what_waits_leaves_in_one_write() {
        let outbox = Outbox::default();
        outbox.answer([("to a client\n", 1)]);
        outbox.send([("to a peer\n", 1), ("to another\n", 1)]);
        outbox.close();
        let mut notes = Notes::default();
        outbox.write_to(&mut notes, line).unwrap();
        assert_eq!(notes.0, ["to a peer\nto another\nto a client\n", ""]);
    }

    #[test]
    fn a_lot_is_written_in_pieces() {
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
    fn what_there_is_no_room_for_is_dropped_and_counted() {
        let outbox = Outbox::default();
        outbox.send((0..PEERS.items + 3).map(|number| (number, 1)));
        outbox.answer([(0, CLIENTS.bytes), (1, 1)]);
        let expected = Depths {
            peers: PEERS.items,
            clients: 1,
            peers_dropped: 3,
            clients_dropped: 1,
        };
        assert_eq!(outbox.depths(), expected);
    }

    #[test]
    fn the_writer_is_woken_and_says_when_it_cannot_write() {
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
