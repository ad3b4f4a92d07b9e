//! A proxy before a node, which records what the node is sent.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::nodes::listener;

/// A proxy. A node does not learn that the other end of a connection has gone: its own end stays
/// half-open until it closes that.
pub(crate) struct Proxy {
    pub(crate) place: String,
    pub(crate) connections: Receiver<Passed>,
}

/// A connection that the proxy passes on.
pub(crate) struct Passed {
    /// What its dialer has sent.
    sent: Arc<Mutex<Vec<u8>>>,
    /// Ends once the node has closed it.
    pub(crate) open: Receiver<()>,
}

impl Passed {
    /// The lines that the dialer has sent.
    pub(crate) fn lines(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        let text = String::from_utf8(sent.clone()).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

impl Proxy {
    /// Starts a proxy before the node that listens at `target`.
    pub(crate) fn before(target: &str) -> Self {
        let listener = listener();
        let place = listener.local_addr().unwrap().to_string();
        let (passed, connections) = mpsc::channel();
        let target = target.to_owned();
        thread::spawn(move || {
            for dialer in listener.incoming() {
                // While the node is down its dialers are cut.
                let Ok(target) = TcpStream::connect(&target) else {
                    continue;
                };
                let (open, ends) = mpsc::channel();
                let sent = Arc::default();
                pass(dialer.unwrap(), target, Arc::clone(&sent), open);
                // Without a receiver the test is over.
                let _ = passed.send(Passed { sent, open: ends });
            }
        });
        Self { place, connections }
    }
}

/// Starts the threads of a connection.
fn pass(mut dialer: TcpStream, mut target: TcpStream, sent: Arc<Mutex<Vec<u8>>>, open: Sender<()>) {
    let mut from = dialer.try_clone().unwrap();
    let mut to = target.try_clone().unwrap();
    thread::spawn(move || {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            sent.lock().unwrap().extend_from_slice(&chunk[..length]);
            if to.write_all(&chunk[..length]).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        // If the dialer has gone, what the node still says is dropped.
        let _ = io::copy(&mut target, &mut dialer);
        let _ = io::copy(&mut target, &mut io::sink());
        let _ = dialer.shutdown(Shutdown::Both);
        drop(open);
    });
}
