//! Processes of `raft serve`, for tests.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use json::Value;
use raft::client::{Client, Options};

/// Only a hanging test waits this long.
pub(crate) const HANG: Duration = Duration::from_secs(300);

/// On a busy machine a node may not run for a second.
const PATIENT: [&str; 2] = ["--election-timeout=1500..3000", "--request-timeout=4000"];

/// The binary.
pub(crate) const RAFT: &str = env!("CARGO_BIN_EXE_raft");

/// A folder of one test, which is removed when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("raft-tcp-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A free address. Where all of 127/8 is loopback it is of this process alone, so that no other
/// process takes the port while a node restarts.
pub(crate) fn listener() -> TcpListener {
    let [_, a, b, c] = process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, a | 1, b, c);
    let own = TcpListener::bind((own, 0));
    own.unwrap_or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
}

/// A cluster. Its nodes are killed when this is dropped.
pub(crate) struct Cluster {
    /// Where the nodes are reached, and where they listen.
    pub(crate) places: Vec<String>,
    listens: Vec<String>,
    /// Dropped, and so killed, before their folder is.
    pub(crate) nodes: Vec<Option<Node>>,
    folder: Folder,
    /// The most files that a node may open.
    pub(crate) files: usize,
    flags: Vec<String>,
}

/// A process.
pub(crate) struct Node {
    child: Child,
    stderr: Receiver<String>,
}

impl Cluster {
    /// Starts nodes `n1`, `n2` and so on with these flags.
    pub(crate) fn start(nodes: usize, flags: &[&str]) -> Self {
        let mut cluster = Self::with_places(nodes, flags, Vec::new());
        (0..nodes).for_each(|node| cluster.run(node));
        cluster
    }

    /// The same without their processes, and with further members at these places.
    pub(crate) fn with_places(nodes: usize, flags: &[&str], others: Vec<String>) -> Self {
        // All are bound at once, so they differ.
        let listeners: Vec<TcpListener> = (0..nodes).map(|_| listener()).collect();
        let places = listeners
            .iter()
            .map(|l| l.local_addr().unwrap().to_string());
        let listens: Vec<String> = places.collect();
        Self {
            folder: Folder::new(),
            places: listens.iter().cloned().chain(others).collect(),
            listens,
            nodes: (0..nodes).map(|_| None).collect(),
            files: 1_024,
            flags: flags.iter().map(ToString::to_string).collect(),
        }
    }

    /// A cluster without data, with the addresses of another one.
    pub(crate) fn in_place_of(other: &Self) -> Self {
        let mut cluster = Self::with_places(other.nodes.len(), &[], Vec::new());
        cluster.places.clone_from(&other.places);
        cluster.listens.clone_from(&other.listens);
        cluster
    }

    /// The addresses of the initial members.
    pub(crate) fn members(&self) -> String {
        let members = (1..)
            .zip(&self.places)
            .map(|(n, place)| format!("n{n}={place}"));
        members.collect::<Vec<_>>().join(",")
    }

    /// The folder with the data of all nodes.
    pub(crate) fn data(&self) -> &str {
        self.folder.0.to_str().unwrap()
    }

    /// Starts a node as an initial member or, if it has data, without a word about the cluster.
    pub(crate) fn run(&mut self, node: usize) {
        let begin = match self.folder.0.join(format!("n{}", node + 1)).exists() {
            true => Vec::new(),
            false => vec!["--bootstrap".to_owned(), self.members()],
        };
        self.start_node(node, &begin);
        self.read_stderr(node, "listening");
    }

    /// Starts another node, which waits to be added. Returns its address.
    pub(crate) fn join(&mut self) -> String {
        let node = self.nodes.len();
        let join = ["--join".to_owned(), self.places.join(",")];
        let place = listener().local_addr().unwrap().to_string();
        self.listens.push(place.clone());
        self.places.push(place);
        self.nodes.push(None);
        self.start_node(node, &join);
        self.read_stderr(node, "waiting until the cluster adds this node");
        format!("n{}={}", node + 1, self.places[node])
    }

    pub(crate) fn start_node(&mut self, node: usize, begin: &[String]) {
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n $0 && exec \"$@\"", &self.files.to_string()])
            .args([
                RAFT,
                "serve",
                "--metrics=off",
                "--name",
                &format!("n{}", node + 1),
            ])
            .args(["--listen", &self.listens[node], "--data-dir"])
            .arg(&self.folder.0)
            .args(begin)
            .args(PATIENT)
            .args(&self.flags)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().try_for_each(|line| send.send(line.unwrap())));
        self.nodes[node] = Some(Node {
            child,
            stderr: lines,
        });
    }

    /// Kills a node.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    /// The next line of a node's stderr that contains `text`.
    pub(crate) fn read_stderr(&self, node: usize, text: &str) -> String {
        let node = self.nodes[node].as_ref().unwrap();
        loop {
            let line = node.stderr.recv_timeout(HANG);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} on stderr"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// A client that never gives up.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.options())
    }

    pub(crate) fn options(&self) -> Options {
        let mut options = Options::to(self.places.clone());
        options.timeout = HANG;
        options.patience = Duration::from_secs(10);
        options
    }

    /// A connection to a node.
    pub(crate) fn connect(&self, node: usize) -> Connection {
        let stream = TcpStream::connect(&self.places[node]).unwrap();
        Connection(BufReader::new(stream))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A connection of its own kind.
pub(crate) struct Connection(pub(crate) BufReader<TcpStream>);

impl Connection {
    pub(crate) fn send(&mut self, line: &str) {
        self.0
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// The next line; `None` once the node has closed the connection.
    pub(crate) fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        // A node that closes a connection with unread lines resets it.
        self.0.read_line(&mut line).unwrap_or(0);
        (!line.is_empty()).then(|| json::decode(line.as_bytes()).unwrap())
    }

    /// The body of the next line.
    pub(crate) fn body(&mut self) -> Value {
        let line = self.read().expect("a line");
        line.field("body").unwrap().clone()
    }
}
