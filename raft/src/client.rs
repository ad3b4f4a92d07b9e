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

mod backup;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use json::{Value, value};

use crate::entropy;
use crate::lines::{Lines, RawLine};
use crate::requests::{self, ErrorCode};
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
    /// What it returned could not be kept here.
    NotKept(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { code: _, text } | Self::NotKept(text) => f.write_str(text),
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

/// A client. It has one request under way, or those of a [`Client::pipeline`].
#[derive(Debug)]
pub struct Client {
    options: Options,
    /// The node to ask, by its position among `options.nodes`.
    at: usize,
    connection: Option<Lines<TcpStream>>,
    session: Option<Session>,
    /// The cluster that answered first; no other is asked.
    cluster: Option<u32>,
    /// When a node was asked for the members.
    learned: Option<Instant>,
    /// The last `msg_id`.
    asked: i64,
}

/// A session of this client, and the number of its last write.
#[derive(Debug)]
struct Session {
    id: Value,
    sequence: u64,
}

/// A request, and what came of it.
struct Pending {
    body: Value,
    /// Whether it was sent, and a node may have done it.
    lost: bool,
    result: Option<Result<Value, Error>>,
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
        match self.read(value!({"type": "read", "key": (key.clone())})) {
            Err(Error::Rejected { code, .. }) if code == ErrorCode::KeyDoesNotExist.number() => {
                Ok(None)
            }
            reply => Ok(reply?.field("value").cloned()),
        }
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
        self.requests(vec![body], Again::AnyNode).remove(0)
    }

    /// Sends a write, under a session of this client. Returns the body of the reply.
    ///
    /// # Errors
    /// No node could serve it, the cluster rejected it, or its outcome is unknown.
    pub fn write(&mut self, body: Value) -> Result<Value, Error> {
        self.pipeline(vec![body]).remove(0)
    }

    /// Sends writes as [`Client::write`] does, without waiting for the reply to one before the next.
    /// Up to 128 are under way at once, with one time-out for all of them. They take effect in any
    /// order, so no two of them should be of the same key. Returns the result of each.
    ///
    /// ```no_run
    /// # use raft::client::{Client, Error, Options};
    /// use json::value;
    ///
    /// let mut client = Client::new(Options::to(["127.0.0.1:7101"]));
    /// let write = |n| value!({"type": "write", "key": n, "value": "new"});
    /// let written = client.pipeline((0..1_000).map(write).collect());
    /// written.into_iter().collect::<Result<Vec<_>, _>>()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn pipeline(&mut self, writes: Vec<Value>) -> Vec<Result<Value, Error>> {
        let mut results = Vec::with_capacity(writes.len());
        let mut writes = writes.into_iter().peekable();
        while writes.peek().is_some() {
            let bodies: Vec<Value> = writes.by_ref().take(PIPELINE).collect();
            results.extend(self.write_all(bodies));
        }
        results
    }

    fn write_all(&mut self, mut bodies: Vec<Value>) -> Vec<Result<Value, Error>> {
        let session = match &mut self.session {
            Some(session) => session,
            None => match self.read(value!({"type": "open_session"})) {
                Ok(opened) => {
                    let id = opened.field("session").cloned().unwrap_or(Value::Null);
                    self.session.insert(Session { id, sequence: 0 })
                }
                Err(error) => return bodies.iter().map(|_| Err(error.clone())).collect(),
            },
        };
        let acknowledged = session.sequence + 1;
        for body in &mut bodies {
            session.sequence += 1;
            let members = body.as_object_mut().expect("a body is an object");
            members.insert("session".into(), session.id.clone());
            members.insert("sequence".into(), session.sequence.into());
            members.insert("acknowledged".into(), acknowledged.into());
        }
        let written = self.requests(bodies, Again::AnyNode);
        let is_unknown = |result: &_| matches!(result, Err(Error::Unknown(_)));
        if written.iter().any(is_unknown) {
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
        let reply = self.requests(vec![body], Again::Leader).remove(0);
        // The members may have changed.
        self.learn();
        reply
    }

    /// The node that this client asks at present.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.options.nodes[self.at]
    }

    /// A client for each member, or for each node that this one knows if no member can be reached at
    /// its own address, as from outside of containers. It asks that node alone, and once.
    pub fn each(&mut self) -> impl Iterator<Item = Self> + use<> {
        let reply = self
            .read(value!({"type": "members"}))
            .unwrap_or(Value::Null);
        let options = self.options.clone();
        let members: Vec<String> = places(&reply).map(|(_, place)| place).collect();
        let mut nodes = options.nodes.clone();
        nodes.retain(|node| !members.contains(node));
        let reached = |place| handshake::connect(place, options.patience).is_ok();
        if nodes.is_empty() || members.iter().any(|place| reached(place)) {
            nodes = members;
        }
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

    /// Sends requests until all are answered, or the time is over.
    fn requests(&mut self, bodies: Vec<Value>, again: Again) -> Vec<Result<Value, Error>> {
        let mut pending: Vec<Pending> = bodies.into_iter().map(Pending::new).collect();
        let patience = match again {
            Again::AnyNode => self.options.patience,
            // A change of the members waits until the new ones have caught up.
            Again::Leader => LONG_PATIENCE,
        };
        let mut lost = None;
        let late = self.repeat(again, |client| {
            if pending.iter().all(|one| one.result.is_some()) {
                return None;
            }
            let reason = client.attempt(&mut pending, patience)?;
            let mut open = pending.iter().filter(|one| one.result.is_none());
            if again == Again::Leader && open.any(|one| one.lost) {
                lost = Some(reason);
                return None;
            }
            Some(reason)
        });
        // Without a reason, all are answered.
        let reason = late.or(lost).unwrap_or_default();
        pending.into_iter().map(|one| one.end(&reason)).collect()
    }

    /// Makes attempts, at one node after the other, until one gives no reason for another one.
    /// If the time is over, returns the last reason of each node.
    fn repeat(
        &mut self,
        again: Again,
        mut attempt: impl FnMut(&mut Self) -> Option<String>,
    ) -> Option<String> {
        let deadline = Instant::now() + self.options.timeout;
        let mut reasons = BTreeMap::new();
        let mut reported = String::new();
        let mut pause = PAUSES.0;
        loop {
            let at = self.at;
            let reason = attempt(self)?;
            reasons.insert(at, reason.clone());
            if Instant::now() + pause >= deadline {
                let reasons: Vec<String> = reasons.into_values().collect();
                return Some(reasons.join("; "));
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

    /// Sends the requests without a result once. Returns why there still are some.
    fn attempt(&mut self, pending: &mut [Pending], patience: Duration) -> Option<String> {
        let node = self.node().to_owned();
        if self.connection.is_none()
            && let Err(error) = self.connect()
        {
            let hint = match error.kind() {
                io::ErrorKind::ConnectionRefused => "; is a node running there?",
                _ => "",
            };
            return Some(format!("cannot connect to {node}: {error}{hint}"));
        }
        if self.learned.is_none_or(|at| at.elapsed() > LEARN) {
            self.learn();
        }
        let open = pending.iter_mut().filter(|one| one.result.is_none());
        let mut open: Vec<&mut Pending> = open.collect();
        let bodies: Vec<Value> = open.iter().map(|one| one.body.clone()).collect();
        let mut reason = None;
        let mut answered = vec![false; open.len()];
        let exchanged = self.exchange(bodies, patience, |at, reply| {
            answered[at] = true;
            reason = open[at].answer(&node, reply).or(reason.take());
        });
        if let Err(error) = exchanged {
            self.connection = None;
            reason = Some(format!("no answer from {node}: {error}"));
            for (one, answered) in open.into_iter().zip(answered) {
                one.lost |= !answered;
            }
        }
        reason
    }

    /// Connects to the present node, which must be of this cluster.
    fn connect(&mut self) -> io::Result<()> {
        let stream = handshake::connect(self.node(), self.options.patience)?;
        let mut lines = Lines::new(stream, wire::MAX_LINE);
        let (address, cluster) = (format!("c{:x}", entropy::random()), self.cluster);
        let me = End { address, cluster };
        let other = handshake::dial(&mut lines, &self.options.secret, (&me, None, None))?;
        self.connection = Some(lines);
        self.cluster = cluster.or(other.cluster);
        self.learned = None;
        Ok(())
    }

    /// Sends requests to the present node and waits for their replies, each of which it hands over
    /// with the position of its request.
    fn exchange(
        &mut self,
        bodies: Vec<Value>,
        patience: Duration,
        mut answer: impl FnMut(usize, Value),
    ) -> io::Result<()> {
        let Some(lines) = &mut self.connection else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let first = self.asked + 1;
        let mut sent = Vec::new();
        for mut body in bodies {
            self.asked += 1;
            let members = body.as_object_mut().expect("a body is an object");
            members.insert("msg_id".into(), self.asked.into());
            writeln!(sent, "{}", value!({"body": body}))?;
        }
        lines.stream().set_read_timeout(Some(patience))?;
        lines.stream().write_all(&sent)?;
        let mut open: BTreeSet<i64> = (first..=self.asked).collect();
        while !open.is_empty() {
            let Some(RawLine::Whole(line)) = lines.next()? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let line: Value = json::decode(line).map_err(io::Error::other)?;
            let body = line.field("body").cloned().unwrap_or(Value::Null);
            match body.field("in_reply_to").and_then(Value::as_i64) {
                Some(id) if open.remove(&id) => answer((id - first) as usize, body),
                Some(_) => {}
                // An error without an id concerns the connection.
                None => return Err(io::Error::other(body.to_string())),
            }
        }
        Ok(())
    }

    /// Asks the present node for the members, and adds their addresses to the nodes. Returns the
    /// position of the leader's.
    fn learn(&mut self) -> Option<usize> {
        self.learned = Some(Instant::now());
        let mut reply = Value::Null;
        let members = vec![value!({"type": "members"})];
        self.exchange(members, self.options.patience, |_, members| reply = members)
            .ok()?;
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

impl Pending {
    /// A request. A node would close the connection of one that is too long.
    fn new(body: Value) -> Self {
        let length = json::to_string(&body).len() + LINE;
        let limit = requests::MAX_LINE;
        let too_long = || Error::Rejected {
            code: ErrorCode::MalformedRequest.number(),
            text: format!("the request has {length} bytes; the limit is {limit}"),
        };
        Self {
            body,
            lost: false,
            result: (length > requests::MAX_LINE).then(|| Err(too_long())),
        }
    }

    /// Takes a node's reply, which is the result unless it asks to try again. If so, returns why.
    fn answer(&mut self, node: &str, reply: Value) -> Option<String> {
        if reply.field("type").and_then(Value::as_str) != Some("error") {
            self.result = Some(Ok(reply));
            return None;
        }
        let code = reply.field("code").and_then(Value::as_u64);
        let code = code.unwrap_or_default();
        let text = reply.field("text").and_then(Value::as_str);
        let text = text.unwrap_or_default().to_owned();
        let is_unknown = code == ErrorCode::Crash.number();
        if is_unknown || code == ErrorCode::TemporarilyUnavailable.number() {
            self.lost |= is_unknown;
            return Some(format!("{node}: {text}"));
        }
        self.result = Some(Err(Error::Rejected { code, text }));
        None
    }

    /// The result; without an answer, for this reason.
    fn end(self, reason: &str) -> Result<Value, Error> {
        let error = match self.lost {
            true => Error::Unknown,
            false => Error::Unavailable,
        };
        self.result.unwrap_or_else(|| Err(error(reason.to_owned())))
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

/// How long a request waits for its reply if that takes its time: longer than a node waits for new
/// members. A large snapshot may take longer still.
const LONG_PATIENCE: Duration = Duration::from_secs(75);

/// What a line has besides the body, with its `msg_id`, at most.
const LINE: usize = 64;

/// The most writes of a pipeline that are under way at once.
const PIPELINE: usize = 128;

/// How long the client trusts its list of the members.
const LEARN: Duration = Duration::from_secs(1);

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_no_node_takes_is_not_sent() {
        let mut client = Client::new(Options::to(["127.0.0.1:1"]));
        let long = "x".repeat(requests::MAX_LINE);
        let sent = client.read(value!({"type": "read", "key": long}));
        let Err(Error::Rejected { code: 12, text }) = sent else {
            panic!("{sent:?}");
        };
        assert!(text.contains("the limit is 1048576"), "{text}");
    }

    #[test]
    fn the_reason_of_each_node_is_told() {
        // Nothing listens there any more.
        let place = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let nodes = [place(), place()];
        let mut options = Options::to(nodes.clone());
        options.timeout = Duration::from_secs(2);
        let Err(Error::Unavailable(text)) = Client::new(options).get(&value!(1)) else {
            panic!("no node answers");
        };
        for node in nodes {
            assert!(
                text.contains(&format!("{node}: Connection refused")),
                "{text}"
            );
        }
        assert!(text.contains("is a node running there?"), "{text}");
    }
}
