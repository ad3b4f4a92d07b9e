//! A small HTTP/1.1 server that shows a registry's metrics: `GET` and `HEAD` of `/metrics`, and an
//! index at `/`.
//!
//! It is a guest in a process that has better things to do, so everything about it is bounded: how
//! many connections it holds, how long a request may be, how long a client may take to send it and
//! to take the answer. One thread accepts, each connection has a thread of its own and is closed
//! after one answer. Nothing that a client does ends the server.
//!
//! What is deliberately absent: TLS, authentication, kept connections, compression, the `Date`
//! field. Bind it to loopback, or put a proxy before it.
//!
//! ```
//! use std::{net::TcpListener, sync::Arc};
//!
//! let registry = Arc::new(metrics::Registry::new());
//! let server = metrics::http::serve(TcpListener::bind("127.0.0.1:0")?, registry)?;
//! println!("curl http://{}/metrics", server.address());
//! server.shut_down();
//! # Ok::<(), std::io::Error>(())
//! ```

mod request;
mod response;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use request::{Arrival, Method, Request};
use response::{Body, Response, Status};

use crate::{Counter, Family, Registry};

/// What the server grants its clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many connections are held at once; one more is answered 503 and closed. 8 by default.
    pub connections: usize,
    /// How long the request line and the header fields may be together, in bytes; longer ones are
    /// answered 431. 8,192 by default.
    pub head_bytes: usize,
    /// How long after it was accepted a connection may take to send the whole request, however
    /// steadily it sends; then it is answered 408. 5 s by default.
    pub request_time: Duration,
    /// How long it may take to receive the whole answer and close; then it is cut. 5 s by default.
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

/// Serves the registry's metrics on the listener, with the default [`Limits`].
///
/// The server counts its connections in the same registry, as `metrics_http_connections_total`.
///
/// # Errors
/// If the listener or the thread that accepts can't be set up.
///
/// # Panics
/// If the registry is served already, since that name is taken then.
pub fn serve(listener: TcpListener, registry: Arc<Registry>) -> io::Result<Server> {
    serve_within(listener, registry, Limits::default())
}

/// As [`serve`], with limits of one's own.
///
/// # Errors
/// As [`serve`].
///
/// # Panics
/// As [`serve`].
pub fn serve_within(
    listener: TcpListener,
    registry: Arc<Registry>,
    limits: Limits,
) -> io::Result<Server> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(false)?;
    let stopping = Arc::new(AtomicBool::new(false));
    let connections = registry.counter_family(
        "metrics_http_connections_total",
        "Connections to the metrics endpoint, by how they ended.",
        [("result", &[ANSWERED, REFUSED, UNANSWERED])],
    );
    let acceptor = Acceptor {
        listener,
        stopping: stopping.clone(),
        held: Arc::new(AtomicUsize::new(0)),
        refused: VecDeque::with_capacity(REFUSED_KEPT),
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

/// Reads a request from a stream and makes the answer to it, as the server does: for streams that
/// are no sockets.
///
/// No more than [`Limits::head_bytes`] and 1,024 bytes are read, nor anything behind an empty line
/// but what comes in one piece with it. A read that times out is answered 408.
///
/// # Errors
/// If the stream has one, other than a time-out; or [`io::ErrorKind::UnexpectedEof`] if it ends
/// without a word.
pub fn respond(
    registry: &Registry,
    limits: &Limits,
    stream: &mut impl Read,
) -> io::Result<Vec<u8>> {
    Ok(match request::arrive(stream, limits.head_bytes)? {
        Arrival::Nothing => return Err(io::ErrorKind::UnexpectedEof.into()),
        Arrival::Refused(status) => Response::error(status).to_bytes(Body::Sent),
        Arrival::Head(head) => {
            let response = match Request::parse(&head) {
                Ok(request) => answer(registry, &request),
                Err(status) => Response::error(status),
            };
            // No answer to HEAD has a body, not even to a HEAD that is wrong in what follows.
            response.to_bytes(if head.starts_with(b"HEAD ") {
                Body::Announced
            } else {
                Body::Sent
            })
        }
    })
}

fn answer(registry: &Registry, request: &Request<'_>) -> Response {
    match (request.path, request.method) {
        ("/" | "/metrics", Method::Other) => Response::error(Status::MethodNotAllowed),
        ("/", Method::Get | Method::Head) => Response::index(),
        ("/metrics", Method::Get | Method::Head) => Response::metrics(registry.render()),
        (_, Method::Get | Method::Head | Method::Other) => Response::error(Status::NotFound),
    }
}

/// A running server. It stops when this is dropped.
#[derive(Debug)]
#[must_use = "the server stops when this is dropped"]
pub struct Server {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    /// The thread that accepts, until it is being stopped.
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// The address that it listens on, with the port that the system chose if the listener was
    /// bound to port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting and closes the listener. Answers under way are finished by their own
    /// threads.
    pub fn shut_down(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Only a connection wakes a thread from accept(). Where none can be made, the thread is
        // left to end at the next one from elsewhere.
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

/// How long the stopping of a server may try to wake it.
const WAKE_TIME: Duration = Duration::from_secs(1);

/// How long to pause when accept() fails: mostly for want of a file descriptor, and at once again
/// if asked at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many refused connections are kept open for their clients to read the refusal.
const REFUSED_KEPT: usize = 16;

/// How much is read of what a client sends beyond its request.
const SURPLUS_BYTES: u64 = 1 << 20;

// How a connection can end, as counted.
const ANSWERED: &str = "answered";
const REFUSED: &str = "refused";
const UNANSWERED: &str = "unanswered";

struct Acceptor {
    listener: TcpListener,
    stopping: Arc<AtomicBool>,
    /// How many connections there are.
    held: Arc<AtomicUsize>,
    /// The latest connections that were one too many.
    refused: VecDeque<TcpStream>,
    service: Arc<Service>,
}

impl Acceptor {
    fn run(mut self) {
        loop {
            let accepted = self.listener.accept();
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            match accepted.and_then(|(stream, _)| self.take(stream)) {
                Ok(()) => {}
                Err(_) => {
                    self.service.count(UNANSWERED);
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    /// Gives the connection to a thread, or refuses it. An error is a thread that can't be had.
    fn take(&mut self, stream: TcpStream) -> io::Result<()> {
        let Some(slot) = Slot::take(&self.held, self.service.limits.connections) else {
            self.refuse(stream);
            return Ok(());
        };
        let service = self.service.clone();
        thread::Builder::new()
            .name("metrics-http".to_owned())
            .spawn(move || {
                service.attend(&stream);
                drop(slot);
            })?;
        Ok(())
    }

    /// Says 503 without waiting for the request, or for anything.
    ///
    /// To close a connection whose request is unread is to reset it, and a reset may overtake the
    /// answer. So the connection is only shut for writing, and closed when others have been
    /// refused after it.
    fn refuse(&mut self, stream: TcpStream) {
        let answer = Response::error(Status::ServiceUnavailable).to_bytes(Body::Sent);
        let sent = stream
            .set_nonblocking(true)
            .and_then(|()| (&stream).write_all(&answer));
        self.service
            .count(if sent.is_ok() { REFUSED } else { UNANSWERED });
        if stream.shutdown(Shutdown::Write).is_err() {
            return; // The client is gone already.
        }
        self.refused.truncate(REFUSED_KEPT - 1);
        self.refused.push_front(stream);
    }
}

/// A place among the connections that are held, free again when dropped.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// For the accepting thread alone: nobody else adds between the look and the addition.
    fn take(held: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        if held.load(Ordering::Acquire) >= limit {
            return None;
        }
        held.fetch_add(1, Ordering::AcqRel);
        Some(Self(held.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
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

    /// Sees to one connection from its first byte to its last.
    fn attend(&self, stream: &TcpStream) {
        match self.converse(stream) {
            Ok(deadline) => {
                self.count(ANSWERED);
                hang_up(stream, deadline);
            }
            // The client is gone, or does not take the answer. That is its own affair.
            Err(_) => self.count(UNANSWERED),
        }
    }

    /// Takes the request and gives the answer. Returns the deadline until which the client may go
    /// on to close.
    fn converse(&self, stream: &TcpStream) -> io::Result<Deadline> {
        let mut asking = Timed {
            stream,
            deadline: Deadline::after(self.limits.request_time),
        };
        let answer = respond(&self.registry, &self.limits, &mut asking)?;
        let deadline = Deadline::after(self.limits.answer_time);
        Timed { stream, deadline }.write_all(&answer)?;
        Ok(deadline)
    }
}

/// Ends a connection so that the answer arrives: says that nothing more will come, and then reads
/// what the client still sends, until it closes too. To close with something unread would reset the
/// connection, and a reset may overtake the answer.
fn hang_up(stream: &TcpStream, deadline: Deadline) {
    if stream.shutdown(Shutdown::Write).is_ok() {
        let mut surplus = Timed { stream, deadline }.take(SURPLUS_BYTES);
        // An error is a client that is gone, or one that does not close in time. Either way this is
        // the end.
        let _ = io::copy(&mut surplus, &mut io::sink());
    }
}

/// A point in time that no amount of progress moves.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The time left.
    ///
    /// # Errors
    /// If there is none.
    fn left(self) -> io::Result<Duration> {
        match self.0.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// A stream all of whose reads and writes together have to be done by the deadline.
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Deadline,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
