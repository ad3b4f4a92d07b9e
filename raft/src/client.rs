//! A client of a cluster over TCP.
//!
//! It asks one node at a time, and goes on to the next one when a node does not answer or cannot
//! serve. Each write is numbered in a session of the client (thesis §6.3), so that it takes effect
//! once however often it is sent:
//!
//! ```no_run
//! use json::value;
//! use raft::client::{Client, Options};
//!
//! let mut client = Client::new(Options::to(["127.0.0.1:7101", "127.0.0.1:7102"]));
//! client.set(&value!("a"), &value!({"x": 1}))?;
//! assert_eq!(client.get(&value!("a"))?, Some(value!({"x": 1})));
//! client.close();
//! # Ok::<(), raft::client::Error>(())
//! ```

use std::fmt;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use json::{Value, value};

use crate::entropy;
use crate::lines::{Lines, RawLine};
use crate::requests::ErrorCode;
use crate::tcp::handshake::{self, End};
use crate::wire;

/// How a client reaches its cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// The nodes to ask first, as `HOST:PORT`. The client learns the others from them.
    pub nodes: Vec<String>,
    /// The cluster's secret; empty if it has none.
    pub secret: Vec<u8>,
    /// A request fails after this time, however often it was tried. 10 s by default.
    pub timeout: Duration,
    /// A node that does not answer within this time is left for another one. 2 s by default.
    pub patience: Duration,
    /// Gets a line for people when the client leaves a node. Does nothing by default.
    pub report: fn(&str),
}

impl Options {
    /// Options with these nodes, without a secret.
    #[must_use]
    pub fn to(nodes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            nodes: nodes.into_iter().map(Into::into).collect(),
            secret: Vec::new(),
            timeout: Duration::from_secs(10),
            patience: Duration::from_secs(2),
            report: |_| {},
        }
    }
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The cluster rejected it; it had no effect.
    Rejected {
        /// The error code, as `docs/PROTOCOL.md` lists them.
        code: u64,
        /// What is wrong.
        text: String,
    },
    /// No node could serve it; it had no effect.
    Unavailable(String),
    /// It may have taken effect, or may still do so.
    Unknown(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { code: _, text } => f.write_str(text),
            Self::Unavailable(text) => write!(f, "no node could serve the request: {text}"),
            Self::Unknown(text) => {
                write!(f, "unknown whether the request took effect: {text}")
            }
        }
    }
}

impl std::error::Error for Error {}

/// What may be done with a request whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Send it again, to any node: it reads, or it is numbered.
    AnyNode,
    /// Nothing. One that was refused is sent again, to the leader.
    Leader,
}

/// A client. It has at most one request under way.
#[derive(Debug)]
pub struct Client {
    options: Options,
    /// The node to ask, by its position among `options.nodes`.
    at: usize,
    connection: Option<Connection>,
    session: Option<Session>,
    /// The cluster that answered first; no other is asked.
    cluster: Option<u32>,
    /// When a node was asked for the members.
    learned: Option<Instant>,
    /// The last `msg_id`.
    asked: i64,
}

#[derive(Debug)]
struct Connection {
    lines: Lines<TcpStream>,
    stream: TcpStream,
}

/// A session of this client, and the number of its last write.
#[derive(Debug)]
struct Session {
    id: Value,
    sequence: u64,
}

/// How an attempt failed.
enum Failure {
    /// The node certainly did nothing.
    Refused(String),
    /// Unknown.
    Lost(String),
    /// For good.
    Final(Error),
}

impl Client {
    /// A client, which connects at its first request.
    ///
    /// # Panics
    /// There are no nodes.
    #[must_use]
    pub fn new(options: Options) -> Self {
        assert!(!options.nodes.is_empty(), "a client needs a node");
        Self {
            options,
            at: 0,
            connection: None,
            session: None,
            cluster: None,
            learned: None,
            asked: 0,
        }
    }

    /// The value of a key. Linearizable.
    ///
    /// # Errors
    /// No node could serve the read.
    pub fn get(&mut self, key: &Value) -> Result<Option<Value>, Error> {
        let reply = self.read(value!({"type": "read", "key": (key.clone())}));
        if let Err(Error::Rejected { code, text: _ }) = reply
            && code == ErrorCode::KeyDoesNotExist.number()
        {
            return Ok(None);
        }
        Ok(reply?.field("value").cloned())
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// No node could serve the write, or its outcome is unknown.
    pub fn set(&mut self, key: &Value, value: &Value) -> Result<(), Error> {
        let (key, value) = (key.clone(), value.clone());
        self.write(value!({"type": "write", "key": key, "value": value}))
            .map(drop)
    }

    /// Sets the value of a key if it is `from`.
    ///
    /// # Errors
    /// As [`Client::set`]; [`Error::Rejected`] with code 20 if there is no such key, with code 22 if
    /// it has another value.
    pub fn cas(&mut self, key: &Value, from: &Value, to: &Value) -> Result<(), Error> {
        let (key, from, to) = (key.clone(), from.clone(), to.clone());
        self.write(value!({"type": "cas", "key": key, "from": from, "to": to}))
            .map(drop)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// As [`Client::set`]; [`Error::Rejected`] with code 20 if there is no such key.
    pub fn delete(&mut self, key: &Value) -> Result<(), Error> {
        self.write(value!({"type": "delete", "key": (key.clone())}))
            .map(drop)
    }

    /// Sends a request that changes nothing, as `docs/PROTOCOL.md` lists them, without its `msg_id`.
    /// Returns the body of the reply.
    ///
    /// # Errors
    /// No node could serve it, or the cluster rejected it.
    pub fn read(&mut self, body: Value) -> Result<Value, Error> {
        self.request(body, Again::AnyNode)
    }

    /// Sends a write, under a session of this client. Returns the body of the reply.
    ///
    /// # Errors
    /// No node could serve it, the cluster rejected it, or its outcome is unknown.
    pub fn write(&mut self, mut body: Value) -> Result<Value, Error> {
        let session = match &mut self.session {
            Some(session) => session,
            None => {
                let opened = self.read(value!({"type": "open_session"}))?;
                let id = opened.field("session").cloned().unwrap_or(Value::Null);
                self.session.insert(Session { id, sequence: 0 })
            }
        };
        session.sequence += 1;
        let members = body.as_object_mut().expect("a body is an object");
        members.insert("session".into(), session.id.clone());
        for name in ["sequence", "acknowledged"] {
            members.insert(name.into(), session.sequence.into());
        }
        let written = self.request(body, Again::AnyNode);
        if matches!(written, Err(Error::Unknown(_))) {
            // The session may be closed, and a new one serves as well.
            self.session = None;
        }
        written
    }

    /// Sends a request that only the leader serves, to the leader. Returns the body of the reply.
    ///
    /// # Errors
    /// No node could serve it, the cluster rejected it, or its outcome is unknown.
    pub fn ask_leader(&mut self, body: Value) -> Result<Value, Error> {
        let reply = self.request(body, Again::Leader);
        // The members may have changed.
        self.learn();
        reply
    }

    /// The node that this client asks at present.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.options.nodes[self.at]
    }

    /// A client for each member, or for each node that this one knows if none answers. It asks that
    /// node alone, and once.
    pub fn each(&mut self) -> impl Iterator<Item = Self> + use<> {
        let reply = self
            .read(value!({"type": "members"}))
            .unwrap_or(Value::Null);
        let mut nodes: Vec<String> = places(&reply).map(|(_, place)| place).collect();
        if nodes.is_empty() {
            nodes.clone_from(&self.options.nodes);
        }
        let options = self.options.clone();
        nodes.into_iter().map(move |node| {
            let (nodes, timeout) = (vec![node], Duration::ZERO);
            Self::new(Options {
                nodes,
                timeout,
                ..options.clone()
            })
        })
    }

    /// Closes the session, if a node takes the request; otherwise the cluster closes it when it is
    /// the least recently used one.
    pub fn close(mut self) {
        if let Some(Session { id, sequence: _ }) = self.session.take() {
            self.options.timeout = self.options.patience;
            let _ = self.read(value!({"type": "close_session", "session": id}));
        }
    }

    /// Sends a request until it is answered, or the time is over.
    fn request(&mut self, mut body: Value, again: Again) -> Result<Value, Error> {
        let deadline = Instant::now() + self.options.timeout;
        let mut lost = false;
        let mut reported = String::new();
        let mut pause = PAUSES.0;
        loop {
            let patience = match again {
                Again::AnyNode => self.options.patience,
                // A change of the members waits until the new ones have caught up.
                Again::Leader => CHANGE_PATIENCE,
            };
            let reason = match self.attempt(&mut body, patience) {
                Ok(reply) => return Ok(reply),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Refused(reason)) => reason,
                Err(Failure::Lost(reason)) if again == Again::Leader => {
                    return Err(Error::Unknown(reason));
                }
                Err(Failure::Lost(reason)) => {
                    lost = true;
                    reason
                }
            };
            if Instant::now() + pause >= deadline {
                return Err(match lost {
                    true => Error::Unknown(reason),
                    false => Error::Unavailable(reason),
                });
            }
            if reason != reported {
                (self.options.report)(&reason);
                reported = reason;
            }
            thread::sleep(pause);
            pause = PAUSES.1.min(pause * 2);
            self.go_on(again);
        }
    }

    /// Turns to the leader if it is wanted and the present node knows it, or else to the next node.
    fn go_on(&mut self, again: Again) {
        let leader = match again {
            Again::Leader => self.learn(),
            Again::AnyNode => None,
        };
        self.connection = None;
        self.at = leader.unwrap_or(self.at + 1) % self.options.nodes.len();
    }

    /// Sends a request once.
    fn attempt(&mut self, body: &mut Value, patience: Duration) -> Result<Value, Failure> {
        let node = &self.options.nodes[self.at];
        if self.connection.is_none() {
            let (connection, cluster) = connect(node, &self.options, self.cluster)
                .map_err(|error| Failure::Refused(format!("cannot connect to {node}: {error}")))?;
            self.connection = Some(connection);
            self.cluster = self.cluster.or(cluster);
            self.learned = None;
        }
        if self.learned.is_none_or(|at| at.elapsed() > LEARN) {
            self.learn();
        }
        let lost = |node: &String, error| Failure::Lost(format!("no answer from {node}: {error}"));
        let reply = self.exchange(body, patience);
        let node = &self.options.nodes[self.at];
        let reply = reply.map_err(|error| {
            self.connection = None;
            lost(node, error)
        })?;
        if reply.field("type").and_then(Value::as_str) != Some("error") {
            return Ok(reply);
        }
        let code = reply
            .field("code")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let text = reply
            .field("text")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        Err(if code == ErrorCode::TemporarilyUnavailable.number() {
            Failure::Refused(format!("{node}: {text}"))
        } else if code == ErrorCode::Crash.number() {
            Failure::Lost(format!("{node}: {text}"))
        } else {
            Failure::Final(Error::Rejected { code, text })
        })
    }

    /// Sends a request to the present node and waits for its reply.
    fn exchange(&mut self, body: &mut Value, patience: Duration) -> io::Result<Value> {
        let Some(Connection { lines, stream }) = &mut self.connection else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        self.asked += 1;
        let members = body.as_object_mut().expect("a body is an object");
        members.insert("msg_id".into(), self.asked.into());
        let line = value!({"body": (body.clone())});
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        loop {
            let Some(RawLine::Whole(line)) = lines.next()? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let line: Value = json::decode(line).map_err(io::Error::other)?;
            let body = line.field("body").cloned().unwrap_or(Value::Null);
            match body.field("in_reply_to").and_then(Value::as_i64) {
                Some(id) if id == self.asked => return Ok(body),
                Some(_) => {}
                // An error without an id concerns the connection.
                None => return Err(io::Error::other(body.to_string())),
            }
        }
    }

    /// Asks the present node for the members, and adds their addresses to the nodes. Returns the
    /// position of the leader's.
    fn learn(&mut self) -> Option<usize> {
        self.learned = Some(Instant::now());
        let mut body = value!({"type": "members"});
        let reply = self.exchange(&mut body, self.options.patience).ok()?;
        let mut leader = None;
        for (leads, place) in places(&reply) {
            let nodes = &mut self.options.nodes;
            let known = nodes.iter().position(|node| *node == place);
            let position = known.unwrap_or(nodes.len());
            if known.is_none() {
                nodes.push(place);
            }
            if leads {
                leader = Some(position);
            }
        }
        leader
    }
}

/// The places of the members that a reply lists, and whether each leads.
fn places(reply: &Value) -> impl Iterator<Item = (bool, String)> {
    let leader = reply.field("leader");
    let members = reply.field("members").into_iter().flat_map(Value::elements);
    members.filter_map(move |member| {
        let leads = leader.is_some() && member.field("name") == leader;
        Some((leads, member.field("address")?.as_str()?.to_owned()))
    })
}

/// How long a request that only the leader serves waits for its reply. Longer than a node waits for
/// new members.
const CHANGE_PATIENCE: Duration = Duration::from_secs(75);

/// How long the client trusts its list of the members.
const LEARN: Duration = Duration::from_secs(10);

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Connects to a node, which must be of this cluster. Returns its cluster.
fn connect(
    node: &str,
    options: &Options,
    cluster: Option<u32>,
) -> io::Result<(Connection, Option<u32>)> {
    let stream = handshake::connect(node, options.patience)?;
    let mut lines = Lines::new(stream.try_clone()?, wire::MAX_LINE);
    let address = format!("c{:x}", entropy::random());
    let me = End { address, cluster };
    let other = handshake::dial(&mut lines, &stream, &options.secret, (&me, None, None))?;
    Ok((Connection { lines, stream }, other.cluster))
}
