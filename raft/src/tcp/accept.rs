//! The connections that peers and clients make to this node.
//!
//! Members' connections are always taken; of one member and lane only the newest lives, since an
//! older one is what a member left that died without a word. All others share a limited number of
//! places: when they are taken, the connection that has been idle the longest is closed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use json::Raw;

use super::handshake::{self, Hello, Line};
use super::{Server, lock};
use crate::front_end::{Backup, DropReason, Lane, Replies, id_given};
use crate::host::{Limit, Outbox};
use crate::kv::Kv;
use crate::lines::{Lines, RawLine};
use crate::node::address::{MAX_ADDRESS, name_in};
use crate::requests::{ErrorCode, Invalid, InvalidRequest, MAX_LINE, Reply, Request};
use crate::sessions::Sessions;
use crate::wire;

/// The most connections beside those of members.
pub(super) const CONNECTIONS: usize = 256;

/// The most replies that wait for one client. One more is dropped: the client must take the outcome
/// for unknown.
const REPLIES: Limit = Limit {
    items: 4_096,
    bytes: 8 << 20,
};

/// A connection that was active so lately does not yield to another one.
const ACTIVE: Duration = Duration::from_secs(1);

/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(300);

/// How long the first line may take, where it must be a hello, and any other step of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a client may take to accept what is written to it.
const WRITE: Duration = Duration::from_secs(10);

/// The pause after a failed accept(), which would fail again at once.
const PAUSE: Duration = Duration::from_millis(50);

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    next: u64,
    open: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: Arc<TcpStream>,
    /// When its last line came.
    active: Instant,
    /// The member that made it, as it proved.
    member: Option<(String, Lane)>,
}

impl Connections {
    /// Takes up to this many connections beside those of members.
    pub(super) fn new(limit: usize) -> Self {
        let (next, open) = (0, BTreeMap::new());
        Self { limit, next, open }
    }

    /// Gives a new connection a place, if there is one, or closes an idle one to make room.
    fn admit(&mut self, stream: &Arc<TcpStream>) -> Option<u64> {
        let others = self.open.iter().filter(|(_, other)| other.member.is_none());
        if others.clone().count() >= self.limit {
            let (oldest, connection) = others.min_by_key(|(_, other)| other.active)?;
            if connection.active.elapsed() < ACTIVE {
                return None;
            }
            let oldest = *oldest;
            self.cut(oldest);
        }
        self.next += 1;
        let connection = Connection {
            stream: stream.clone(),
            active: Instant::now(),
            member: None,
        };
        self.open.insert(self.next, connection);
        Some(self.next)
    }

    /// Notes that a member made a connection, which replaces its older one.
    fn is_of(&mut self, id: u64, name: &str, lane: Lane) {
        let member = Some((name.to_owned(), lane));
        let former = self.open.iter().find(|(_, other)| other.member == member);
        if let Some(former) = former.map(|(id, _)| *id) {
            self.cut(former);
        }
        if let Some(connection) = self.open.get_mut(&id) {
            connection.member = member;
        }
    }

    fn is_active(&mut self, id: u64) {
        if let Some(connection) = self.open.get_mut(&id) {
            connection.active = Instant::now();
        }
    }

    fn cut(&mut self, id: u64) {
        if let Some(connection) = self.open.remove(&id) {
            // On an error the other end has closed it.
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }
}

/// Accepts connections for ever.
pub(super) fn run(server: &Arc<Server>, listener: &TcpListener) {
    loop {
        let accepted = listener.accept();
        if let Err(error) = accepted.and_then(|(stream, _)| take(server, stream)) {
            let log = &server.output.log;
            log.debug(format_args!("cannot take a connection: {error}"));
            thread::sleep(PAUSE);
        }
    }
}

/// Starts a thread for a connection.
fn take(server: &Arc<Server>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE))?;
    let stream = Arc::new(stream);
    let Some(id) = lock(&server.connections).admit(&stream) else {
        let text = "too many connections; try again";
        return refuse(server, &stream, ErrorCode::TemporarilyUnavailable, text);
    };
    let server = server.clone();
    let attendant = Attendant { server, id, stream };
    let attend = move || {
        // On an error the other end is gone, or has its reply.
        let _ = attendant.attend();
    };
    let thread = thread::Builder::new().name("connection".into());
    thread.spawn(attend).map(drop)
}

/// Says why a connection ends.
fn refuse(server: &Server, stream: &TcpStream, code: ErrorCode, text: &str) -> io::Result<()> {
    let error = Reply::Error {
        in_reply_to: None,
        code: code.number(),
        text: text.into(),
    };
    handshake::send(stream, &server.name, None, error)
}

/// Serves one connection, and closes it in the end.
struct Attendant {
    server: Arc<Server>,
    id: u64,
    stream: Arc<TcpStream>,
}

impl Drop for Attendant {
    fn drop(&mut self) {
        lock(&self.server.connections).cut(self.id);
    }
}

impl Attendant {
    fn attend(&self) -> io::Result<()> {
        let Self { server, id, stream } = self;
        let mut lines = Lines::new(&**stream, MAX_LINE);
        let has_secret = !server.secret.is_empty();
        stream.set_read_timeout(Some(if has_secret { HANDSHAKE } else { IDLE }))?;
        let first = match lines.next()? {
            Some(RawLine::Whole(first)) => first,
            Some(RawLine::TooLong(length)) => {
                let text = format!("the line has {length} bytes; the limit is {MAX_LINE}");
                return refuse(server, stream, ErrorCode::MalformedRequest, &text);
            }
            None => return Ok(()),
        };
        let hello = parse(first).ok().and_then(|line| {
            let hello: Hello = line.body.decode().ok()?;
            let src = line.src.filter(|src| src.len() <= MAX_ADDRESS)?;
            Some((src.into_owned(), line.dest.map(Cow::into_owned), hello))
        });
        let first = first.to_vec();
        let Some((src, dest, hello)) = hello else {
            if has_secret {
                let text = "this cluster has a secret: begin with a hello";
                return refuse(server, stream, ErrorCode::TemporarilyUnavailable, text);
            }
            return self.serve(&mut lines, None, Some(&first));
        };
        stream.set_read_timeout(Some(HANDSHAKE))?;
        let from = (&*src, dest.as_deref(), hello);
        let proven = handshake::accept(&mut lines, &server.secret, &server.end(), from);
        let (end, lane) = proven.inspect_err(|error| {
            let text = format_args!("a connection as {src:?}: {error}");
            server.output.drop_line(DropReason::Unproven, text);
        })?;
        let Some(lane) = lane else {
            return self.serve(&mut lines, Some(&end.address), None);
        };
        let name = name_in(&end.address);
        let book = server.input.get().map(|input| &input.me.book);
        if book.is_some_and(|book| book.id(name).is_some()) {
            lock(&server.connections).is_of(*id, name, lane);
        }
        stream.set_read_timeout(None)?;
        lines.set_limit(wire::MAX_LINE);
        self.hear(&mut lines, &end.address)
    }

    /// Handles the lines of a peer.
    fn hear(&self, lines: &mut Lines<&TcpStream>, address: &str) -> io::Result<()> {
        let server = &*self.server;
        let heard = server.heard(name_in(address));
        while let Some(line) = lines.next()? {
            heard.fetch_add(1, Ordering::Relaxed);
            lock(&server.connections).is_active(self.id);
            let output = &server.output;
            match line {
                RawLine::TooLong(length) => {
                    let text = format_args!("{length} bytes; the limit is {}", wire::MAX_LINE);
                    output.drop_line(DropReason::TooLong, text);
                }
                RawLine::Whole(line) => match (parse(line), server.input.get()) {
                    (Err(error), _) => output.drop_line(DropReason::BadLine, error),
                    (Ok(Line { body, .. }), None) => {
                        let message = wire::decode::<Sessions<Kv>>(body);
                        let id = message.ok().as_ref().and_then(id_given);
                        if let (Some(id), Some(_)) = (id, server.cluster.get()) {
                            // One is enough, and the peer repeats what matters.
                            let _ = server.events.try_send(Some(id));
                        }
                    }
                    (Ok(Line { body, .. }), Some(input)) => {
                        if !input.message(address, body, line.len()) {
                            let text = format_args!("from {address}: no message of a peer");
                            output.drop_line(DropReason::Malformed, text);
                        }
                    }
                },
            }
        }
        Ok(())
    }

    /// Handles the lines of a client, which may have proved its name, and writes the replies.
    fn serve(
        &self,
        lines: &mut Lines<&TcpStream>,
        name: Option<&str>,
        first: Option<&[u8]>,
    ) -> io::Result<()> {
        let Self { server, id, stream } = self;
        stream.set_read_timeout(Some(IDLE))?;
        let outbox = Arc::new(Outbox::new(REPLIES, REPLIES));
        let replies = Arc::new(Replies(outbox.clone()));
        lock(&server.outboxes).open.push(outbox.clone());
        let write = || {
            // A client that takes nothing is cut, so that its requests end, too.
            let _ = server.output.write(&outbox, &**stream);
            let _ = stream.shutdown(Shutdown::Both);
        };
        let mut backup = Backup::default();
        let served = thread::scope(|scope| {
            thread::Builder::new()
                .name("replies".into())
                .spawn_scoped(scope, write)?;
            if let Some(first) = first {
                self.request(&replies, name, RawLine::Whole(first), &mut backup);
            }
            while let Some(line) = lines.next()? {
                lock(&server.connections).is_active(*id);
                self.request(&replies, name, line, &mut backup);
            }
            // The open requests still get their replies.
            drop(replies);
            Ok(())
        });
        lock(&server.outboxes).remove(&outbox);
        served
    }

    fn request(
        &self,
        replies: &Arc<Replies>,
        name: Option<&str>,
        line: RawLine<'_>,
        backup: &mut Backup,
    ) {
        let server = &*self.server;
        let (src, body) = match line {
            RawLine::TooLong(length) => {
                let text = format!("the line has {length} bytes; the limit is {MAX_LINE}");
                (None, Err(text))
            }
            RawLine::Whole(line) => match parse(line) {
                Ok(opened) => (opened.src, Ok((opened.body, line.len()))),
                Err(error) => (None, Err(format!("the line is not a request: {error}"))),
            },
        };
        let src = name.map(Cow::Borrowed).or(src).unwrap_or_default();
        let handled = match (body, server.input.get()) {
            (Err(text), _) => Err(InvalidRequest {
                in_reply_to: None,
                kind: None,
                code: ErrorCode::MalformedRequest,
                text,
            }),
            (Ok(body), Some(input)) => {
                input.request(replies, (&src, &server.name), body, Some(backup))
            }
            (Ok((body, bytes)), None) => match Request::parse(body, bytes) {
                Ok(request) => Err(InvalidRequest {
                    in_reply_to: Some(request.msg_id),
                    kind: Some(request.kind),
                    code: ErrorCode::TemporarilyUnavailable,
                    text: "this node waits to be added to its cluster (raft add)".into(),
                }),
                Err(Invalid::Answered(invalid)) => Err(invalid),
                Err(Invalid::Reply) => Ok(()),
            },
        };
        if let Err(invalid) = handled {
            let (output, dest) = (&server.output, server.name.as_str().into());
            output.answer_invalid(replies, (*src).into(), dest, invalid);
        }
    }
}

/// Parses a line without its body.
fn parse(line: &[u8]) -> Result<Line<'_, Raw<'_>>, json::Error> {
    json::decode_with_depth(line, json::MAX_DEPTH)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Both ends of a connection.
    fn pair(listener: &TcpListener) -> (TcpStream, Arc<TcpStream>) {
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (theirs, Arc::new(listener.accept().unwrap().0))
    }

    fn is_cut(mut theirs: &TcpStream) -> bool {
        theirs.set_nonblocking(true).unwrap();
        matches!(theirs.read(&mut [0]), Ok(0))
    }

    #[test]
    fn newest_connection_of_a_member_replaces_the_older_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connections = Connections::new(9);
        let mut open = |name: &str, lane| {
            let (theirs, ours) = pair(&listener);
            let id = connections.admit(&ours).unwrap();
            connections.is_of(id, name, lane);
            theirs
        };
        let first = open("n2", Lane::Messages);
        let chunks = open("n2", Lane::Chunks);
        let other = open("n3", Lane::Messages);
        assert!(
            [&first, &chunks, &other]
                .into_iter()
                .all(|theirs| !is_cut(theirs))
        );
        let second = open("n2", Lane::Messages);
        assert!(is_cut(&first));
        assert!(
            [&second, &chunks, &other]
                .into_iter()
                .all(|theirs| !is_cut(theirs))
        );
    }

    #[test]
    fn idle_connections_yield_and_members_do_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connections = Connections::new(2);
        let streams: Vec<_> = (0..4).map(|_| pair(&listener)).collect();
        let member = connections.admit(&streams[0].1).unwrap();
        connections.is_of(member, "n2", Lane::Messages);
        let ids = [1, 2].map(|at| connections.admit(&streams[at].1).unwrap());
        assert_eq!(connections.admit(&streams[3].1), None, "all are active");
        let long_ago = Instant::now()
            .checked_sub(ACTIVE * 2)
            .expect("a clock that runs");
        for connection in connections.open.values_mut() {
            connection.active = long_ago;
        }
        connections.is_active(ids[0]);
        assert!(connections.admit(&streams[3].1).is_some());
        let cut: Vec<bool> = streams.iter().map(|(theirs, _)| is_cut(theirs)).collect();
        assert_eq!(cut, [false, false, true, false]);
    }
}
