//! Nodes that speak TCP, as `raft serve` does: where they listen, the proxies between them, and the
//! clients' connections.
//!
//! Clients reach the nodes directly. Each client has a connection to each node that it asks, made
//! with its first request, and again with the next one after it was lost.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use raft::flags::{Given, UsageError};
use rand::Rng;

use super::clients::Asked;
use super::error::BenchError;
use super::network::{Latency, Node};
use super::processes::builtin::{Builtin, SERVE_SUBCOMMAND};
use super::processes::connection::{Connection, ConnectionId};
use super::processes::process::Event;
use super::processes::program::{NodeChoice, Program};
use super::proxy::Proxies;
use super::workload::Worker;
use crate::joined;

/// The most clients. A node keeps some more connections open.
pub const CLIENTS_MAX: usize = 200;

/// How long a client tries to connect.
pub const CONNECT_PATIENCE: Duration = Duration::from_millis(100);

/// Checks the flags of a run over TCP.
///
/// # Errors
/// One of them makes no sense there.
pub fn check(given: &Given, node: &NodeChoice, clients: usize) -> Result<(), UsageError> {
    let fail = |what: &str| Err(UsageError::new(format!("{what} --transport tcp")));
    match node {
        NodeChoice::Builtin(Builtin::Raft) | NodeChoice::Bin(_) => {}
        NodeChoice::Builtin(builtin) => {
            return fail(&format!(
                "--builtin {builtin}, which speaks only Maelstrom's protocol, does not work with"
            ));
        }
    }
    for (flag, why) in [
        (
            "loss",
            "TCP loses no single messages; use --nemesis connections",
        ),
        ("duplicate", "TCP doubles no messages"),
        ("clients-wait", "clients have connections of their own"),
    ] {
        let is_set = given.is_set(flag) || given.text(flag).is_some_and(|text| text != "0");
        if is_set {
            let text = format!("--{flag} does not work with --transport tcp: {why}");
            return Err(UsageError::new(text));
        }
    }
    if clients > CLIENTS_MAX {
        return fail(&format!(
            "at most {CLIENTS_MAX} clients, not {clients}, work with"
        ));
    }
    Ok(())
}

/// The nodes' ports and all connections.
#[derive(Debug)]
pub struct Tcp {
    places: Vec<SocketAddr>,
    /// What cuts and breaks the nodes' connections to each other.
    pub proxies: Proxies,
    /// Those of the bench itself have no worker.
    connections: BTreeMap<(Option<Worker>, Node), Connection>,
    connections_made: u64,
    events: SyncSender<Event>,
}

impl Tcp {
    /// Finds a free port for each node, and starts the proxies.
    ///
    /// # Errors
    /// There is no port or no thread.
    pub fn start(
        rng: Rng,
        nodes: usize,
        latency: Latency,
        events: SyncSender<Event>,
    ) -> io::Result<Tcp> {
        // All are bound at once, so they differ.
        let listeners = (0..nodes).map(|_| listener());
        let listeners: Vec<TcpListener> = listeners.collect::<io::Result<_>>()?;
        let places = listeners.iter().map(TcpListener::local_addr);
        let places: Vec<SocketAddr> = places.collect::<io::Result<_>>()?;
        Ok(Tcp {
            proxies: Proxies::start(rng, latency, places.clone())?,
            places,
            connections: BTreeMap::new(),
            connections_made: 0,
            events,
        })
    }

    /// Where other nodes reach a node, with its name.
    pub fn address(&self, node: Node) -> String {
        format!("{node}={}", self.proxies.places[node.0])
    }

    /// The program of a node with its arguments. The first `initial` nodes are the initial members,
    /// and the others wait until those add them.
    pub fn program(&self, program: &Program, node: Node, initial: usize) -> Program {
        let begin = if node.0 < initial {
            let members = (0..initial).map(|member| self.address(Node(member)));
            format!("--bootstrap={}", joined(members, ","))
        } else {
            format!("--join={}", joined(&self.proxies.places[..initial], ","))
        };
        let own = [
            SERVE_SUBCOMMAND.to_owned(),
            format!("--name={node}"),
            format!("--listen={}", self.places[node.0]),
            begin,
            "--metrics=off".to_owned(),
            "--end-with-stdin".to_owned(),
        ];
        let mut arguments: Vec<_> = own.into_iter().map(Into::into).collect();
        arguments.extend_from_slice(&program.arguments);
        Program {
            arguments,
            ..program.clone()
        }
    }

    /// Sends a line to a node, for a client's request or for the bench itself. Tries this long to
    /// connect. Returns how many lines were dropped for lack of room.
    ///
    /// # Errors
    /// There is no thread.
    pub fn send(
        &mut self,
        node: Node,
        line: &[u8],
        request: Option<Asked>,
        patience: Duration,
    ) -> Result<u64, BenchError> {
        let client = request.map(|request| request.worker);
        if !self.connections.contains_key(&(client, node)) {
            self.connections_made += 1;
            let id = ConnectionId {
                client,
                node,
                number: self.connections_made,
            };
            let events = self.events.clone();
            let connection = Connection::start(id, self.places[node.0], patience, events)
                .map_err(BenchError::io("cannot start a thread"))?;
            self.connections.insert((client, node), connection);
        }
        let connection = self.connections.get_mut(&(client, node)).expect("just now");
        Ok(connection.send(line, request))
    }

    /// Whether this is the present connection of its client to its node.
    pub fn is_present(&self, id: ConnectionId) -> bool {
        let present = self.connections.get(&(id.client, id.node));
        present.is_some_and(|present| present.number == id.number)
    }

    /// Forgets a connection. Returns the last request on it, answered or not.
    pub fn forget(&mut self, client: Option<Worker>, node: Node) -> Option<Asked> {
        let connection = self.connections.remove(&(client, node))?;
        connection.request
    }
}

/// Listens at a free port. Where all of 127/8 is loopback the address is of this process alone, so
/// that no other process takes the port while a node restarts.
fn listener() -> io::Result<TcpListener> {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, a | 1, b, c);
    TcpListener::bind((own, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}
