//! A node on a network: the same lines as Maelstrom's, on TCP connections.
//!
//! Threads: one accepts; each connection has one that reads and handles lines, and a client's
//! another one that writes; each peer has one for each [`Lane`](crate::front_end::Lane), which
//! connects and writes. No thread waits for the stream of another.
//!
//! | connection | opens with | carries |
//! |---|---|---|
//! | of a peer | a [handshake] with a lane | that peer's messages, one way |
//! | of a client | a handshake without a lane; without a secret, any request | requests and replies |
//!
//! A node ends with its process, whatever its state: all that it acknowledged is on disk. The
//! standard library knows no signals.

mod accept;
pub(crate) mod handshake;
mod link;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use std::{io, thread};

use raft_core::NodeId;

use self::accept::{CONNECTIONS, Connections};
use self::handshake::End;
use self::link::Links;
use crate::front_end::{Input, Me, NodeFrontEnd, Output, OutputLine};
use crate::host::{Depths, Inbox, Outbox, TICK};
use crate::node::address::Address;
use crate::node::{self, Member, Node, StopReason};
use crate::storage::Cluster;
use crate::telemetry::log::Log;

/// How a node on a network is to run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) node: node::Options,
    pub(crate) name: String,
    /// How a node without data begins.
    pub(crate) begin: Begin,
    /// Where it listens, as `HOST:PORT`.
    pub(crate) listen: String,
    /// The cluster's secret; empty if it has none.
    pub(crate) secret: Vec<u8>,
    /// Whether the node ends when its stdin ends.
    pub(crate) ends_with_stdin: bool,
}

/// How a node without data begins.
#[derive(Clone, Debug)]
pub(crate) enum Begin {
    /// As an initial member of a new cluster.
    Bootstrap(Member),
    /// By waiting until the cluster of these nodes adds it.
    Join(Vec<String>),
    /// Not at all.
    Not,
}

/// What all connections of a node share.
#[derive(Debug)]
struct Server {
    name: String,
    secret: Vec<u8>,
    /// Not known before a new node has reached the cluster that it is to join.
    cluster: OnceLock<Cluster>,
    /// The node, once it runs.
    input: OnceLock<Input>,
    /// Gets what a node that is not added yet waits for: the id with which it was added, or `None` at
    /// the end of its stdin.
    events: SyncSender<Option<NodeId>>,
    output: Output,
    connections: Mutex<Connections>,
    outboxes: Mutex<Outboxes>,
    /// The lines that came from the peers to which there are links, by name.
    heard: Mutex<BTreeMap<String, Weak<AtomicU64>>>,
}

impl Server {
    /// This end of all connections.
    fn end(&self) -> End {
        let input = self.input.get();
        let known = input.and_then(|input| input.me.book.address(input.me.id));
        End {
            address: known.map_or_else(|| self.name.clone(), |address| address.to_string()),
            cluster: self.cluster.get().map(|cluster| cluster.0),
        }
    }

    /// Counts the lines that come from the peer of this name.
    fn heard(&self, name: &str) -> Arc<AtomicU64> {
        let mut heard = lock(&self.heard);
        if let Some(count) = heard.get(name).and_then(Weak::upgrade) {
            return count;
        }
        heard.retain(|_, count| count.strong_count() > 0);
        let count = Arc::default();
        heard.insert(name.to_owned(), Arc::downgrade(&count));
        count
    }
}

/// The outboxes of links and clients, and what those dropped that are gone.
#[derive(Debug, Default)]
struct Outboxes {
    open: Vec<Arc<Outbox<OutputLine>>>,
    gone: Depths,
}

impl Outboxes {
    fn remove(&mut self, outbox: &Arc<Outbox<OutputLine>>) {
        self.open.retain(|other| !Arc::ptr_eq(other, outbox));
        let Depths { peers, clients } = outbox.depths();
        self.gone.peers.dropped += peers.dropped;
        self.gone.clients.dropped += clients.dropped;
    }

    /// The sum of all.
    fn depths(&self) -> Depths {
        let mut sum = self.gone;
        for Depths { peers, clients } in self.open.iter().map(|outbox| outbox.depths()) {
            for (sum, one) in [(&mut sum.peers, peers), (&mut sum.clients, clients)] {
                sum.length += one.length;
                sum.dropped += one.dropped;
            }
        }
        sum
    }
}

/// Locks state that is consistent after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The descriptors of a listener, of links, of members' connections, and of a backup.
const DESCRIPTORS: usize = 49;

/// How long at least a peer to whom messages are sent may be silent before the link to it is cut.
const SILENCE: Duration = Duration::from_secs(1);

/// Runs a node until its process or its stdin ends.
///
/// # Errors
/// The node had to stop.
pub(crate) fn run(options: &Options, log: &Log) -> Result<(), StopReason> {
    let (name, listen) = (&options.name, &options.listen);
    let silence = SILENCE.max(TICK * options.node.config.longest_election);
    let spare = node::spare_descriptors(&options.node, CONNECTIONS + DESCRIPTORS)?;
    let listener = TcpListener::bind(listen)
        .map_err(|error| StopReason::new(format!("cannot listen at {listen}: {error}")))?;
    let output = Output::new(log);
    let telemetry = &output.telemetry;
    let metrics = node::serve_metrics(&options.node, 0, telemetry, log)?;
    let inbox = Arc::new(Inbox::default());
    let (events, waits) = mpsc::sync_channel(1);
    let server = Arc::new(Server {
        name: name.clone(),
        secret: options.secret.clone(),
        cluster: OnceLock::new(),
        input: OnceLock::new(),
        events: events.clone(),
        output: output.clone(),
        outboxes: Mutex::default(),
        connections: Mutex::new(Connections::new(spare.saturating_sub(DESCRIPTORS).max(1))),
        heard: Mutex::default(),
    });
    if options.ends_with_stdin {
        let inbox = inbox.clone();
        start("stdin", move || {
            // An error ends stdin as well.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            inbox.close();
            // If the node runs, nothing waits for this.
            let _ = events.try_send(None);
        })?;
    }
    let open = |member: &Member, id| Node::open(&options.node, member, id, &inbox, telemetry, log);
    let mut member = Member::later(name, None);
    let mut node = open(&member, None)?;
    let accepting = server.clone();
    let mut accept = Some(move || accept::run(&accepting, &listener));
    match (&node, &options.begin) {
        (Some(_), Begin::Not) => {}
        (Some(node), Begin::Bootstrap(_) | Begin::Join(_)) => log.info(format_args!(
            "{name}: the folder holds node {name} of cluster {} already; --bootstrap, \
             --cluster-token and --join are for an empty one and change nothing",
            node.cluster
        )),
        (None, Begin::Bootstrap(initial)) => {
            member = initial.clone();
            node = open(&member, None)?;
        }
        (None, Begin::Join(places)) => {
            // A member finds it here.
            start("accept", accept.take().expect("it is not started yet"))?;
            let Some((cluster, id)) = join(&server, places, &waits) else {
                return Ok(());
            };
            member = Member::later(name, Some(cluster));
            node = open(&member, Some(id))?;
        }
        (None, Begin::Not) => {
            let text = "cannot start: the node has no data yet; --bootstrap begins a new cluster \
                        with it, --join waits until a running cluster adds it (raft add)";
            return Err(StopReason::new(text.into()));
        }
    }
    let node = node.expect("a member of its cluster");
    // A node that joins knows it already.
    let _ = server.cluster.set(node.cluster);
    let input = Input::new(member, &node, output.clone());
    let me = input.me.clone();
    server.input.set(input).expect("it is set once");
    // A member that accepted earlier would say that it waits to be added.
    if let Some(accept) = accept {
        start("accept", accept)?;
    }
    log.info(format_args!("{name}: listening at {listen}"));
    if let Some(why) = unreachable(&me, listen) {
        log.warn(format_args!("{name}: {why}"));
    }
    let shown = server.clone();
    telemetry.watch_outbox(move || lock(&shown.outboxes).depths());
    let links = Links::new(server, silence);
    let ran = node.run(NodeFrontEnd::new(me, links, output));
    drop(metrics);
    ran
}

/// Why the other members may not reach this node, by its log.
fn unreachable(me: &Me, listen: &str) -> Option<String> {
    let members = me.book.members();
    let Some(member) = members.members().get(&me.id) else {
        // A node that was just added has not got the entry with it yet.
        return (me.id < members.next()).then(|| {
            "is no member by its log; unless raft members lists it at another node, it was removed \
             and can be stopped"
                .into()
        });
    };
    let place = Address::parse(&member.address).ok()?.place?;
    let port = |place: &str| Some(place.rsplit_once(':')?.1.to_owned());
    (port(place) != port(listen)).then(|| {
        format!(
            "listens at {listen}, but the members connect to it at {place}: unless something \
             forwards that, start it at the same port"
        )
    })
}

/// Starts a thread, which ends with the process.
fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StopReason> {
    let thread = thread::Builder::new().name(name.into()).spawn(run);
    thread
        .map(drop)
        .map_err(StopReason::io("cannot start a thread"))
}

/// Waits until a cluster adds this node. Returns the cluster and the node's id; `None` if stdin ends
/// earlier.
fn join(
    server: &Server,
    places: &[String],
    events: &Receiver<Option<NodeId>>,
) -> Option<(Cluster, NodeId)> {
    let (log, name) = (&server.output.log, &server.name);
    let mut nodes = places.iter().cycle();
    let cluster = loop {
        let node = nodes.next().expect("--join names a node");
        let known = link::ask(server, node).and_then(|End { cluster, .. }| {
            cluster.ok_or_else(|| io::Error::other("it waits to be added itself"))
        });
        match known {
            Ok(cluster) => break Cluster(cluster),
            Err(error) => log.warn(format_args!("cannot join at {node}: {error}; trying again")),
        }
        if let Ok(None) = events.recv_timeout(JOIN_PAUSE) {
            return None;
        }
    };
    server.cluster.set(cluster).expect("it is set once");
    log.info(format_args!(
        "{name}: listening; waiting until the cluster adds this node: \
         raft add {name}=HOST:PORT --connect {}",
        places.join(",")
    ));
    let added = events.recv().expect("the server has a sender");
    added.map(|id| (cluster, id))
}

/// The pause before a node that is to join asks the next node.
const JOIN_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use raft_core::{Membership, Standing};

    use super::*;
    use crate::node::address_book::AddressBook;

    #[test]
    fn node_that_members_cannot_reach_is_reported() {
        let (standing, address) = (Standing::Voter, "n2=h:7102".into());
        let members = [(NodeId(1), raft_core::Member { standing, address })];
        let members = Arc::new(Membership::new(members).with_next(3));
        let why = |id, listen| {
            let me = Me {
                name: "n".into(),
                id: NodeId(id),
                book: Arc::new(AddressBook::of(members.clone(), None)),
            };
            unreachable(&me, listen)
        };
        assert_eq!(why(1, "0.0.0.0:7102"), None);
        let port = why(1, "h:8102").expect("the ports differ");
        assert!(
            port.contains("at h:8102") && port.contains("at h:7102"),
            "{port}"
        );
        let removed = why(2, "h:7103").expect("it was removed");
        assert!(removed.contains("is no member by its log"), "{removed}");
        assert_eq!(why(3, "h:7104"), None, "it was not added yet");
    }
}
