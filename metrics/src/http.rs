//! A small HTTP/1.1 server for a registry's metrics: `GET` and `HEAD` of `/metrics`, and an index
//! at `/`.
//!
//! The server must not burden its process, so everything about it is bounded: the number of
//! connections, the length of a request, and the time that a client may take to send it and to
//! receive the answer. One thread accepts; each connection has its own thread and is closed after
//! one answer. No client can end the server, and no others keep a client out: when all places are
//! taken, the oldest connection that has sent no request yields, or else the oldest of all.
//!
//! What is deliberately absent: TLS, authentication, persistent connections, compression, the
//! `Date` field. Bind it to loopback, or put a proxy before it.
//!
//! ```
//! use std::{net::TcpListener, sync::Arc};
//!
//! use metrics::http::{self, Limits};
//!
//! let registry = Arc::new(metrics::Registry::new());
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let server = http::serve(listener, registry, Limits::default())?;
//! println!("curl http://{}/metrics", server.address());
//! server.shut_down();
//! # Ok::<(), std::io::Error>(())
//! ```

mod request;
mod response;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use request::Request;
use response::{Response, Status};

use crate::{Counter, Family, Registry};

/// The limits of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most connections at a time; for one more, an older one is closed. 8 by default.
    pub connections: usize,
    /// The most bytes that the request line and the header fields may have together; longer ones
    /// are answered 431. 8,192 by default.
    pub head_bytes: usize,
    /// The time in which the whole request must arrive after the connection was accepted; then it
    /// is answered 408, even if the client is still sending. 5 s by default.
    pub request_time: Duration,
    /// The time in which the client must take the whole answer and close; then the connection is
    /// cut. 5 s by default.
    pub answer_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8,
            head_bytes: 8 << 10,
            request_time: Duration::from_secs(5),
            answer_time: Duration::from_secs(5),
        }
    }
}

/// Serves the registry's metrics on the listener.
///
/// The server counts its connections in the same registry, as `metrics_http_connections_total`.
///
/// # Errors
/// If the listener cannot be set up, or the accepting thread cannot be started.
///
/// # Panics
/// If the registry is served already, because the name of that counter is taken then.
pub fn serve(listener: TcpListener, registry: Arc<Registry>, limits: Limits) -> io::Result<Server> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(false)?;
    let stopping = Arc::new(AtomicBool::new(false));
    let connections = registry.counter_family(
        "metrics_http_connections_total",
        "Connections to the metrics endpoint, by how they ended.",
        [("result", &[ANSWERED, UNANSWERED])],
    );
    let acceptor = Acceptor {
        listener,
        stopping: stopping.clone(),
        connections: Vec::new(),
        service: Arc::new(Service {
            registry,
            limits,
            connections,
        }),
    };
    let thread = thread::Builder::new()
        .name("metrics-http".to_owned())
        .spawn(|| acceptor.run())?;
    Ok(Server {
        address,
        stopping,
        thread: Some(thread),
    })
}

/// Reads a request from a stream and returns the answer to it, as the server does: for streams that
/// are not sockets.
///
/// Reads at most [`Limits::head_bytes`] and 1,024 bytes, and after the empty line that ends the
/// head only what arrives in one piece with it. A read that times out is answered 408.
///
/// # Errors
/// If the stream has one, other than a time-out; or [`io::ErrorKind::UnexpectedEof`] if it ends
/// before its first byte.
pub fn respond(
    registry: &Registry,
    limits: &Limits,
    stream: &mut impl Read,
) -> io::Result<Vec<u8>> {
    let arrival = request::arrive(stream, limits.head_bytes)?;
    Ok(respond_to(arrival, registry))
}

/// The answer to a head, or to one that is refused with this status.
fn respond_to(arrival: Result<Vec<u8>, Status>, registry: &Registry) -> Vec<u8> {
    let head = arrival.as_deref().map_err(|status| *status);
    let request = head.and_then(Request::parse);
    let response = request.and_then(|request| answer(registry, &request));
    // No answer to HEAD has a body, not even to a HEAD with an error in its header fields.
    let with_body = !head.is_ok_and(|head| head.starts_with(b"HEAD "));
    response.unwrap_or_else(Response::error).to_bytes(with_body)
}

fn answer(registry: &Registry, request: &Request<'_>) -> Result<Response, Status> {
    const LINK: &str = "<!doctype html><title>metrics</title><a href=\"/metrics\">/metrics</a>\n";
    let (content_type, body) = match request.path {
        "/" | "/metrics" if !request.reads => return Err(Status::METHOD_NOT_ALLOWED),
        "/" => ("text/html; charset=utf-8", LINK.to_owned()),
        "/metrics" => (
            "text/plain; version=0.0.4; charset=utf-8",
            registry.render(),
        ),
        _ => return Err(Status::NOT_FOUND),
    };
    Ok(Response::page(content_type, body))
}

/// A running server. It stops when this is dropped.
#[derive(Debug)]
#[must_use = "the server stops when this is dropped"]
pub struct Server {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    /// The accepting thread. Taken when the server stops.
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// The address of the listener; its port is the system's choice if it was bound to port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting and closes the listener. Requests that were accepted are still answered, by
    /// their own threads.
    pub fn shut_down(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Only a connection wakes the thread from accept(). If none can be made, the thread ends at
        // the next connection of a client.
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        if TcpStream::connect_timeout(&address, WAKE_TIME).is_ok()
            && let Some(thread) = self.thread.take()
        {
            thread.join().expect("the accepting thread does not panic");
        }
    }
}

/// How long a server that stops tries to wake its accepting thread.
const WAKE_TIME: Duration = Duration::from_secs(1);

/// The pause after a failed accept() if no connection can be closed: it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many bytes after a request are read and dropped.
const SURPLUS_BYTES: u64 = 1 << 20;

// The values of the label `result`: how a connection ended.
const ANSWERED: &str = "answered";
const UNANSWERED: &str = "unanswered";

struct Acceptor {
    listener: TcpListener,
    stopping: Arc<AtomicBool>,
    /// The connections, the oldest first.
    connections: Vec<(Weak<Connection>, JoinHandle<()>)>,
    service: Arc<Service>,
}

/// A connection, which its thread owns.
struct Connection {
    stream: TcpStream,
    /// Whether its request has not arrived yet.
    silent: AtomicBool,
}

impl Acceptor {
    fn run(mut self) {
        loop {
            let accepted = self.listener.accept();
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            let taken = accepted.and_then(|(stream, _)| self.take(stream));
            if taken.is_err() {
                self.service.count(UNANSWERED);
                // Mostly no descriptor is free, or no thread. This frees one of each.
                if !self.drop_one() {
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    /// Starts a thread for the connection, for which an older one may have to yield.
    fn take(&mut self, stream: TcpStream) -> io::Result<()> {
        self.connections.retain(|(_, thread)| !thread.is_finished());
        if self.connections.len() >= self.service.limits.connections {
            self.drop_one();
        }
        let silent = AtomicBool::new(true);
        let connection = Arc::new(Connection { stream, silent });
        let (service, weak) = (self.service.clone(), Arc::downgrade(&connection));
        let thread = thread::Builder::new()
            .name("metrics-http".to_owned())
            .spawn(move || service.attend(&connection))?;
        self.connections.push((weak, thread));
        Ok(())
    }

    /// Closes the oldest silent connection, or else the oldest, and waits for the end of its
    /// thread, which then waits for nothing. Returns whether there was one.
    fn drop_one(&mut self) -> bool {
        let is_silent = |(connection, _): &(Weak<Connection>, _)| {
            let connection = connection.upgrade();
            connection.is_some_and(|connection| connection.silent.load(Ordering::Relaxed))
        };
        let silent = self.connections.iter().position(is_silent);
        if self.connections.is_empty() {
            return false;
        }
        let (connection, thread) = self.connections.remove(silent.unwrap_or(0));
        if let Some(connection) = connection.upgrade() {
            // On an error the client has closed it.
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        // A collector that panicked ended only its own connection.
        let _ = thread.join();
        true
    }
}

/// What the threads of all connections share.
struct Service {
    registry: Arc<Registry>,
    limits: Limits,
    connections: Arc<Family<Counter, 1>>,
}

impl Service {
    fn count(&self, result: &str) {
        self.connections.with([result]).increment();
    }

    /// Serves one connection from its first byte to its last.
    fn attend(&self, connection: &Connection) {
        match self.converse(connection) {
            Ok(deadline) => {
                self.count(ANSWERED);
                hang_up(&connection.stream, deadline);
            }
            // The client has closed the connection or did not take the answer in time, or the
            // acceptor has dropped it.
            Err(_) => self.count(UNANSWERED),
        }
    }

    /// Reads the request and sends the answer. Returns the deadline by which the client must close.
    fn converse(&self, connection: &Connection) -> io::Result<Instant> {
        let stream = &connection.stream;
        let mut asking = Timed {
            stream,
            deadline: Instant::now() + self.limits.request_time,
        };
        let arrival = request::arrive(&mut asking, self.limits.head_bytes)?;
        connection.silent.store(false, Ordering::Relaxed);
        let answer = respond_to(arrival, &self.registry);
        let deadline = Instant::now() + self.limits.answer_time;
        Timed { stream, deadline }.write_all(&answer)?;
        Ok(deadline)
    }
}

/// Ends a connection so that the answer arrives: shuts it down for writing, and then reads until
/// the client closes, too. Closing it with unread bytes would reset the connection, and the reset
/// may arrive before the answer.
fn hang_up(stream: &TcpStream, deadline: Instant) {
    if stream.shutdown(Shutdown::Write).is_ok() {
        let mut surplus = Timed { stream, deadline }.take(SURPLUS_BYTES);
        // On an error the client has closed the connection, or did not do so in time: nothing is
        // left to do.
        let _ = io::copy(&mut surplus, &mut io::sink());
    }
}

/// A stream whose reads and writes fail after the deadline, which progress does not move.
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Timed<'_> {
    /// The time left.
    ///
    /// # Errors
    /// If the deadline has passed.
    fn left(&self) -> io::Result<Duration> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
