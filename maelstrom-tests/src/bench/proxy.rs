//! The proxies through which nodes reach each other over TCP: one before each node's port.
//!
//! The first line of a connection names the node that made it. From then on the proxy passes bytes
//! on in both directions, each after the latency that was drawn for them, but in order, as TCP does.
//! A cut from one node to another holds up all bytes in that direction, and new connections, until
//! it heals: nothing is lost, and neither node learns of it. Connections can also break: see
//! [`Break`].
//!
//! Threads: each proxy has one that accepts; each connection has one for each direction that reads,
//! and one that writes what is due. Between these two wait at most [`CHUNKS`] times [`CHUNK_BYTES`];
//! then the sender waits. All threads end with the proxies.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::Rng;

use super::network::{Cuts, Latency, Node};
use crate::lock;

/// The most reads that wait in one direction of a connection.
pub const CHUNKS: usize = 256;

/// The most bytes of a read.
pub const CHUNK_BYTES: usize = 16 << 10;

/// The most open connections from one node to another; a node uses two. One more closes the oldest,
/// which its node has left during a cut.
const CONNECTIONS: usize = 8;

/// The most broken connections whose other end is kept open. One more closes the oldest.
const ABANDONED: usize = 512;

/// The longest first line, and how long it and a connection to a node may take.
const LINE_BYTES: usize = 4 << 10;
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a failed accept(), which would fail again at once.
const PAUSE: Duration = Duration::from_millis(50);

/// How connections break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Both ends are closed, and new connections are closed at once until the end of the fault.
    Lost,
    /// One end is closed, now the dialer's and now the target's. The other end does not learn of it.
    HalfOpen,
    /// Both ends stay open, but nothing passes any more, ever. New connections work.
    BlackHole,
}

impl Break {
    /// All of them.
    pub const ALL: [Break; 3] = [Break::Lost, Break::HalfOpen, Break::BlackHole];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Break::Lost => "lost",
            Break::HalfOpen => "half-open",
            Break::BlackHole => "black-hole",
        }
    }
}

/// The proxies of a run.
#[derive(Debug)]
pub struct Proxies {
    shared: Arc<Shared>,
    /// Where nodes reach each other.
    pub places: Vec<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    targets: Vec<SocketAddr>,
    latency: Latency,
    state: Mutex<State>,
    /// Wakes those who wait until bytes may pass.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    cuts: Cuts,
    /// From which nodes to which new connections are closed at once.
    refused: Cuts,
    open: BTreeMap<u64, Open>,
    made: u64,
    /// The ends that learn nothing of what broke.
    abandoned: VecDeque<TcpStream>,
    ended: bool,
}

/// An open connection.
#[derive(Debug)]
struct Open {
    /// The dialer and the target, once the first line came.
    pair: Option<(Node, Node)>,
    /// The dialer's end, and the target's once it is connected.
    ends: Vec<TcpStream>,
}

json::record! {
    /// What the first line says of its sender: `NAME` or `NAME=HOST:PORT`.
    struct Hello<'a> { src: Cow<'a, str> }
}

impl Proxies {
    /// Starts a proxy before each of these nodes.
    ///
    /// # Errors
    /// There is no port or no thread.
    pub fn start(rng: Rng, latency: Latency, targets: Vec<SocketAddr>) -> io::Result<Proxies> {
        let listeners = targets.iter().map(|target| {
            let listener = TcpListener::bind((target.ip(), 0))?;
            Ok((listener.local_addr()?, listener))
        });
        let listeners: Vec<_> = listeners.collect::<io::Result<_>>()?;
        let state = State {
            rng,
            cuts: Cuts::new(),
            refused: Cuts::new(),
            open: BTreeMap::new(),
            made: 0,
            abandoned: VecDeque::new(),
            ended: false,
        };
        let mut proxies = Proxies {
            shared: Arc::new(Shared {
                targets,
                latency,
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
            places: Vec::new(),
            accepting: Vec::new(),
        };
        for (node, (place, listener)) in listeners.into_iter().enumerate() {
            let shared = Arc::clone(&proxies.shared);
            let accept = move || shared.accept(&listener, Node(node));
            let thread = thread::Builder::new().name("proxy".into()).spawn(accept)?;
            proxies.places.push(place);
            proxies.accepting.push(thread);
        }
        Ok(proxies)
    }

    /// Replaces the directions in which nothing passes for now.
    pub fn cut(&self, cuts: Cuts) {
        self.shared.lock().cuts = cuts;
        self.shared.changed.notify_all();
    }

    /// Breaks the connections from nodes to others.
    pub fn break_connections(&self, how: Break, pairs: &Cuts) {
        let mut state = self.shared.lock();
        for id in state.between(|pair| pairs.contains(&pair)) {
            state.break_one(id, |end| match how {
                Break::Lost => true,
                Break::HalfOpen => end as u64 == id % 2,
                Break::BlackHole => false,
            });
        }
        state.refused = match how {
            Break::Lost => pairs.clone(),
            Break::HalfOpen | Break::BlackHole => Cuts::new(),
        };
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Accepts all new connections again.
    pub fn mend(&self) {
        self.shared.lock().refused.clear();
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        let all: Vec<u64> = state.open.keys().copied().collect();
        all.into_iter().for_each(|id| state.break_one(id, |_| true));
        for end in state.abandoned.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
        for (place, thread) in self.places.iter().zip(self.accepting.drain(..)) {
            // Wakes the thread that accepts.
            if TcpStream::connect(place).is_ok() {
                let _ = thread.join();
            }
        }
    }
}

impl State {
    /// The connections between such nodes.
    fn between(&self, fits: impl Fn((Node, Node)) -> bool) -> Vec<u64> {
        let fitting = self
            .open
            .iter()
            .filter(|(_, open)| open.pair.is_some_and(&fits));
        fitting.map(|(id, _)| *id).collect()
    }

    /// Takes a connection out of use, and closes some of its ends, by number.
    fn break_one(&mut self, id: u64, closes: impl Fn(usize) -> bool) {
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        for (number, end) in open.ends.into_iter().enumerate() {
            // If it fails, the end has gone.
            if closes(number) {
                let _ = end.shutdown(Shutdown::Both);
            } else {
                // Its reader ends, but nothing is sent. It is closed when it is dropped.
                let _ = end.shutdown(Shutdown::Read);
                if self.abandoned.len() == ABANDONED {
                    self.abandoned.pop_front();
                }
                self.abandoned.push_back(end);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn accept(&self, listener: &TcpListener, to: Node) {
        thread::scope(|scope| {
            loop {
                let accepted = listener.accept();
                if self.lock().ended {
                    return;
                }
                let Ok((stream, _)) = accepted else {
                    // Mostly no descriptor is free, and no event tells when one is.
                    thread::sleep(PAUSE);
                    continue;
                };
                // If it fails, so does the connection, as its ends see.
                let serve = move || drop(self.serve(&stream, to));
                let thread = thread::Builder::new().name("proxied".into());
                let _ = thread.spawn_scoped(scope, serve);
            }
        });
    }

    fn serve(&self, dialer: &TcpStream, to: Node) -> io::Result<()> {
        let id = {
            let mut state = self.lock();
            if state.ended {
                return Ok(());
            }
            state.made += 1;
            let id = state.made;
            let (pair, ends) = (None, vec![dialer.try_clone()?]);
            state.open.insert(id, Open { pair, ends });
            id
        };
        let carried = self.carry(id, dialer, to);
        self.close(id);
        carried
    }

    fn carry(&self, id: u64, dialer: &TcpStream, to: Node) -> io::Result<()> {
        dialer.set_nodelay(true)?;
        dialer.set_read_timeout(Some(HELLO_TIMEOUT))?;
        let first = first_line(dialer)?;
        dialer.set_read_timeout(None)?;
        let from = sender(&first, self.targets.len()).ok_or(io::ErrorKind::InvalidData)?;
        if !self.is_of(id, (from, to)) || !self.wait(id, (from, to), Instant::now()) {
            return Ok(());
        }
        let target = TcpStream::connect_timeout(&self.targets[to.0], HELLO_TIMEOUT)?;
        target.set_nodelay(true)?;
        let end = target.try_clone()?;
        match self.lock().open.get_mut(&id) {
            Some(open) => open.ends.push(end),
            None => return Ok(()),
        }
        thread::scope(|scope| {
            let back = || self.pass(id, (to, from), &target, dialer, Vec::new());
            thread::Builder::new().spawn_scoped(scope, back)?;
            self.pass(id, (from, to), dialer, &target, first)
        })
    }

    /// Notes whose connection this is. Returns whether it may go on.
    fn is_of(&self, id: u64, pair: (Node, Node)) -> bool {
        let mut state = self.lock();
        if state.refused.contains(&pair) {
            return false;
        }
        let of_pair = state.between(|other| other == pair);
        if of_pair.len() >= CONNECTIONS {
            state.break_one(of_pair[0], |_| true);
            self.changed.notify_all();
        }
        let open = state.open.get_mut(&id);
        open.is_some_and(|open| open.pair.replace(pair).is_none())
    }

    /// Passes bytes on from one end to the other until one of them has gone.
    fn pass(
        &self,
        id: u64,
        pair: (Node, Node),
        mut input: &TcpStream,
        mut output: &TcpStream,
        first: Vec<u8>,
    ) -> io::Result<()> {
        let (sender, receiver) = sync_channel::<(Instant, Vec<u8>)>(CHUNKS);
        let read = move || {
            let mut chunk = first;
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let due = Instant::now() + self.latency.draw(&mut self.lock().rng);
                if !chunk.is_empty() && sender.send((due, chunk)).is_err() {
                    return;
                }
                match input.read(&mut buffer) {
                    // An end that was reset has ended, too.
                    Ok(0) | Err(_) => return,
                    Ok(length) => chunk = buffer[..length].to_vec(),
                }
            }
        };
        thread::scope(|scope| {
            thread::Builder::new().spawn_scoped(scope, read)?;
            for (due, bytes) in receiver {
                if !self.wait(id, pair, due) {
                    return Ok(());
                }
                output.write_all(&bytes).inspect_err(|_| self.close(id))?;
            }
            match self.wait(id, pair, Instant::now()) {
                true => output.shutdown(Shutdown::Write),
                false => Ok(()),
            }
        })
    }

    /// Waits until this time, and until the direction is not cut. Returns false once the connection is
    /// out of use.
    fn wait(&self, id: u64, direction: (Node, Node), due: Instant) -> bool {
        let mut state = self.lock();
        while state.open.contains_key(&id) {
            let left = match state.cuts.contains(&direction) {
                true => Duration::MAX,
                false => due.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    fn close(&self, id: u64) {
        self.lock().break_one(id, |_| true);
        self.changed.notify_all();
    }
}

/// Reads up to the first line feed, and what came with it.
fn first_line(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LINE_BYTES];
    let mut length = 0;
    while !bytes[..length].contains(&b'\n') {
        match stream.read(&mut bytes[length..])? {
            0 => return Err(io::ErrorKind::InvalidData.into()),
            read => length += read,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The node that sent this first line, of this many.
fn sender(first: &[u8], nodes: usize) -> Option<Node> {
    let line = first.split(|byte| *byte == b'\n').next()?;
    let hello: Hello<'_> = json::decode(line).ok()?;
    let name = hello.src.split('=').next()?;
    (0..nodes).map(Node).find(|node| node.to_string() == name)
}

#[cfg(test)]
mod tests;
