//! The connections that this node makes: one for each peer and [`Lane`].
//!
//! Each has a bounded queue and a thread, so a peer that takes nothing delays no other. The thread
//! connects, writes what waits, and connects again after an error, with a growing pause; what
//! waited until the error is dropped, as a network may drop it. TCP itself notices a lost peer only
//! after minutes. So a link whose peer has said nothing for a while, though messages were sent to
//! it, is cut, and connects anew.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng;

use super::handshake::{self, End};
use super::{Server, lock, start};
use crate::entropy;
use crate::front_end::{Lane, OutputLine, Routes};
use crate::host::{Limit, Outbox};
use crate::lines::Lines;
use crate::node::address::{Address, name_in};

/// The most messages that wait for one peer on one lane. One more is dropped.
pub(super) const QUEUE: Limit = Limit {
    items: 4_096,
    bytes: 64 << 20,
};

/// The most links. One more replaces the one that was used the longest ago.
const LINKS: usize = 128;

/// How long connecting and each step of a handshake may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The first and the longest pause before a link connects again; the pause is up to half as long
/// again. After an outage the nodes elect no leader before their links are back, so the longest one
/// is shorter than the default election timeout.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(200));

/// The longest line of the other end in a handshake.
const LINE: usize = 4_096;

/// The links of a node. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Links {
    server: Arc<Server>,
    /// How long a peer to whom messages are sent may be silent.
    silence: Duration,
    links: Arc<Mutex<ByPeer>>,
}

type ByPeer = BTreeMap<(Arc<str>, Lane), Link>;

#[derive(Debug)]
struct Link {
    dialer: Arc<Dialer>,
    waiting: Waiting,
    used: Instant,
}

/// What a link shares with its thread.
#[derive(Debug)]
struct Dialer {
    server: Arc<Server>,
    address: Arc<str>,
    lane: Lane,
    outbox: Arc<Outbox<OutputLine>>,
    /// The present connection, to be cut by another thread.
    stream: Mutex<Option<Arc<TcpStream>>>,
    /// Counts the lines of the peer's own connections, and its answers to this node's.
    heard: Arc<AtomicU64>,
}

/// How many lines of the peer had come when messages were first sent to it since then, and when that
/// was.
#[derive(Debug, Default)]
struct Waiting(Option<(u64, Instant)>);

impl Waiting {
    /// Notes that messages are sent.
    fn sent(&mut self, heard: u64, now: Instant) {
        self.0.get_or_insert((heard, now));
    }

    /// Whether the peer has now said nothing for longer than `silence`. If so, the wait begins anew
    /// with the next messages.
    fn is_over(&mut self, heard: u64, now: Instant, silence: Duration) -> bool {
        let over = self
            .0
            .filter(|(former, since)| heard != *former || now - *since > silence);
        if over.is_some() {
            self.0 = None;
        }
        over.is_some_and(|(former, _)| heard == former)
    }
}

impl Links {
    pub(super) fn new(server: Arc<Server>, silence: Duration) -> Self {
        let links = Arc::default();
        Self {
            server,
            silence,
            links,
        }
    }

    fn open(&self, address: &Arc<str>, lane: Lane) -> Option<Link> {
        let dialer = Arc::new(Dialer {
            server: self.server.clone(),
            address: address.clone(),
            lane,
            outbox: Arc::new(Outbox::new(QUEUE, QUEUE)),
            stream: Mutex::default(),
            heard: self.server.heard(name_in(address)),
        });
        let running = dialer.clone();
        start("link", move || running.run()).ok()?;
        lock(&self.server.outboxes).open.push(dialer.outbox.clone());
        Some(Link {
            dialer,
            waiting: Waiting::default(),
            used: Instant::now(),
        })
    }
}

impl Routes for Links {
    fn outbox(&self, address: &Arc<str>, lane: Lane) -> Option<Arc<Outbox<OutputLine>>> {
        Address::parse(address).ok()?.place?;
        let key = (address.clone(), lane);
        let mut links = lock(&self.links);
        if !links.contains_key(&key) {
            if links.len() >= LINKS {
                let oldest = links.iter().min_by_key(|(_, link)| link.used);
                let oldest = oldest.map(|(key, _)| key.clone())?;
                links.remove(&oldest);
            }
            // Without a thread the message is lost, and the next one tries again.
            let link = self.open(address, lane)?;
            links.insert(key.clone(), link);
        }
        let link = links.get_mut(&key)?;
        link.used = Instant::now();
        let heard = link.dialer.heard.load(Ordering::Relaxed);
        link.waiting.sent(heard, link.used);
        Some(link.dialer.outbox.clone())
    }

    fn observe(&self) {
        let now = Instant::now();
        for link in lock(&self.links).values_mut() {
            let heard = link.dialer.heard.load(Ordering::Relaxed);
            if link.waiting.is_over(heard, now, self.silence) {
                link.dialer.cut();
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Dialer { server, outbox, .. } = &*self.dialer;
        outbox.close();
        self.dialer.cut();
        lock(&server.outboxes).remove(outbox);
    }
}

impl Dialer {
    fn cut(&self) {
        if let Some(stream) = &*lock(&self.stream) {
            // On an error the connection is closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Connects and writes until the outbox is closed.
    fn run(&self) {
        let mut rng = Rng::seeded(entropy::random());
        let (mut pause, longest) = PAUSES;
        let mut is_reported = false;
        let output = &self.server.output;
        let (address, log) = (&self.address, &output.log);
        let lane = match self.lane {
            Lane::Messages => "messages",
            Lane::Chunks => "chunks of snapshots",
        };
        loop {
            let error = match self.connect() {
                Ok(stream) => {
                    log.info(format_args!("connected to {address} for {lane}"));
                    (pause, is_reported) = (PAUSES.0, false);
                    output.write(&self.outbox, &*stream).err()
                }
                Err(error) => Some(error),
            };
            *lock(&self.stream) = None;
            let Some(error) = error.filter(|_| !self.outbox.is_closed()) else {
                return;
            };
            let text = format_args!("cannot send {lane} to {address}: {error}; trying again");
            match is_reported {
                false => log.warn(text),
                true => log.debug(text),
            }
            is_reported = true;
            self.outbox.clear();
            let longer = rng.below(pause.as_millis() as u64 / 2 + 1);
            thread::sleep(pause + Duration::from_millis(longer));
            pause = longest.min(pause * 2);
        }
    }

    fn connect(&self) -> io::Result<Arc<TcpStream>> {
        let place = Address::parse(&self.address)
            .ok()
            .and_then(|address| address.place);
        let stream = Arc::new(handshake::connect(place.unwrap_or_default(), PATIENCE)?);
        // From here on the link may be cut.
        *lock(&self.stream) = Some(stream.clone());
        let me = self.server.end();
        let mut lines = Lines::new(&*stream, LINE);
        let secret = &self.server.secret;
        let wanted = (&me, Some(&*self.address), Some(self.lane));
        let End { cluster, .. } = handshake::dial(&mut lines, secret, wanted)?;
        // The peer has answered, and may need a moment for a link of its own.
        self.heard.fetch_add(1, Ordering::Relaxed);
        if cluster.is_some() && me.cluster.is_some() && cluster != me.cluster {
            return Err(io::Error::other("it belongs to another cluster"));
        }
        Ok(stream)
    }
}

/// Asks the node at this place who it is.
pub(super) fn ask(server: &Server, place: &str) -> io::Result<End> {
    let stream = handshake::connect(place, PATIENCE)?;
    let mut lines = Lines::new(&stream, LINE);
    handshake::dial(&mut lines, &server.secret, (&server.end(), None, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_whose_peer_is_silent_is_given_up() {
        let silence = Duration::from_secs(1);
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut waiting = Waiting::default();
        assert!(!waiting.is_over(0, at(9_000), silence), "nothing was sent");
        waiting.sent(5, at(9_000));
        waiting.sent(5, at(9_900));
        assert!(!waiting.is_over(5, at(10_000), silence));
        // A line of the peer ends the wait, and the next message begins another one.
        assert!(!waiting.is_over(6, at(10_001), silence));
        assert!(!waiting.is_over(6, at(20_000), silence));
        waiting.sent(6, at(20_000));
        assert!(waiting.is_over(6, at(21_001), silence));
        assert!(!waiting.is_over(6, at(21_002), silence), "once");
    }
}
