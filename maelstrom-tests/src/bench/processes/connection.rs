//! A client's connection to a node that speaks TCP. It is served as a process's pipes are.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{Event, LINE_BYTES_MAX, Outbox, Output, Stream, read, spawn};
use crate::bench::clients::Asked;
use crate::bench::network::Node;
use crate::bench::workload::Worker;

/// How long one attempt to connect may take, and the pause until the next. A node that does not
/// listen yet refuses at once, and nothing but another attempt shows when it does.
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Which connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId {
    /// Its client; `None` for the bench itself.
    pub client: Option<Worker>,
    /// The node that it leads to.
    pub node: Node,
    /// Distinguishes it from its client's earlier ones to that node.
    pub number: u64,
}

/// A connection, or the attempt to make it. It ends when this is dropped.
#[derive(Debug)]
pub struct Connection {
    /// See [`ConnectionId`].
    pub number: u64,
    /// The last request that was sent.
    pub request: Option<Asked>,
    outbox: Arc<Outbox>,
}

impl Connection {
    /// Connects to the node at this place, and tries this long. The events of the connection are
    /// its [`Output`].
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(
        id: ConnectionId,
        place: SocketAddr,
        patience: Duration,
        events: SyncSender<Event>,
    ) -> io::Result<Connection> {
        let outbox = Arc::new(Outbox::default());
        let connection = Connection {
            number: id.number,
            request: None,
            outbox: Arc::clone(&outbox),
        };
        spawn(format!("{} client", id.node), move || {
            let stream = Stream::Client(id);
            let pass = |output| events.send(Event::Output(stream, output)).is_ok();
            // Without a receiver, the run is over.
            match connect(place, patience) {
                Ok(stream) => serve(&stream, &outbox, pass),
                Err(_) => drop(pass(Output::Refused)),
            }
        })?;
        Ok(connection)
    }

    /// Sends a line; returns how many were dropped for lack of room.
    pub fn send(&mut self, line: &[u8], request: Option<Asked>) -> u64 {
        self.request = request;
        self.outbox.put(&mut line.to_vec())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// Connects, and tries again for this long if nothing listens there.
fn connect(place: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let until = Instant::now() + patience;
    loop {
        match TcpStream::connect_timeout(&place, ATTEMPT) {
            Ok(stream) => return stream.set_nodelay(true).map(|()| stream),
            Err(error) if Instant::now() >= until => return Err(error),
            // No event tells when another process listens.
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Writes what is in the outbox and passes on what comes, until either end closes.
fn serve(stream: &TcpStream, outbox: &Outbox, pass: impl FnMut(Output) -> bool) {
    thread::scope(|scope| {
        scope.spawn(|| {
            outbox.serve(stream);
            // If it fails, the node has gone.
            let _ = stream.shutdown(Shutdown::Both);
        });
        read(stream, LINE_BYTES_MAX, pass, |_| {});
        outbox.close();
    });
}
