//! Three nodes with a network between them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ChildStdin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use json::{Value, value};
use raft::maelstrom::{MAX_DEPTH, MAX_LINE};

use crate::process::{HANG, Node, init, line, with};

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// The deepest nesting of a line.
const DEPTH: usize = json::MAX_DEPTH;

/// Nodes by their names. Lines between them are delivered at once; one to a name without a node is
/// lost.
pub(crate) struct Cluster {
    nodes: Arc<Mutex<BTreeMap<String, Running>>>,
    /// For the lines to clients.
    send: Sender<String>,
    replies: Receiver<String>,
    asked: i64,
}

/// A node of a cluster.
struct Running {
    /// Its stdin.
    pipe: Sender<String>,
    /// Reads its stdout to the end.
    reader: JoinHandle<()>,
}

impl Cluster {
    /// Three nodes that keep their state in memory.
    fn start() -> Self {
        let mut cluster = Self::new();
        // Each can be reached before the first speaks.
        for name in NAMES {
            cluster.run(name, &[]);
        }
        for name in NAMES {
            cluster.init(name, &NAMES);
        }
        cluster
    }

    /// No nodes.
    pub(crate) fn new() -> Self {
        let (send, replies) = mpsc::channel();
        Self {
            nodes: Arc::default(),
            send,
            replies,
            asked: 0,
        }
    }

    /// Starts a node's process.
    pub(crate) fn run(&mut self, name: &str, args: &[&str]) {
        let usual = ["--settle=0", "--election-timeout=500..1000"];
        let mut node = Node::start(&[&usual[..], args].concat());
        let (pipe, lines) = mpsc::channel();
        let stdin = node.take_stdin();
        thread::spawn(move || write_all(stdin, &lines));
        let (nodes, send) = (self.nodes.clone(), self.send.clone());
        let reader = thread::spawn(move || {
            // Ends when the node does.
            while let Some(line) = node.try_read() {
                let dest = dest(&line);
                let nodes = nodes.lock().unwrap();
                let to = match nodes.get(&dest) {
                    Some(node) => &node.pipe,
                    None if dest.starts_with('c') => &send,
                    None => continue,
                };
                // The receiver may have ended.
                let _ = to.send(line);
            }
        });
        let running = Running { pipe, reader };
        self.nodes.lock().unwrap().insert(name.into(), running);
    }

    /// Initialises a node.
    pub(crate) fn init(&mut self, name: &str, ids: &[&str]) {
        let reply = self.ask_once(name, &init(0, name, ids));
        assert_eq!(reply, value!({"type": "init_ok"}));
    }

    /// Ends a node's input, and waits for the end of the node.
    pub(crate) fn stop(&mut self, name: &str) {
        let running = self.nodes.lock().unwrap().remove(name);
        let Running { pipe, reader } = running.expect("it runs");
        drop(pipe);
        reader.join().unwrap();
    }

    /// Sends a body to a node. Returns the body of the reply without its number.
    pub(crate) fn ask_once(&mut self, node: &str, body: &Value) -> Value {
        self.asked += 1;
        let request = with(body, "msg_id", self.asked.into());
        self.send_line(node, line("c1", node, &request), self.asked)
    }

    fn send_line(&mut self, node: &str, line: String, msg_id: i64) -> Value {
        self.nodes.lock().unwrap()[node].pipe.send(line).unwrap();
        let reply = self.replies.recv_timeout(HANG).expect("an answer");
        let reply: Value = json::decode_with_depth(reply.as_bytes(), DEPTH).unwrap();
        assert_eq!(reply.field("src"), Some(&node.into()));
        assert_eq!(reply.field("dest"), Some(&"c1".into()));
        let mut members = reply.field("body").unwrap().as_object().unwrap().clone();
        assert_eq!(members.remove("in_reply_to"), Some(msg_id.into()));
        Value::Object(members)
    }

    /// Repeats a request that was refused (11) or is in doubt (13): on a busy machine any election
    /// may be late. All requests here may be repeated.
    pub(crate) fn ask(&mut self, node: &str, body: &Value) -> Value {
        loop {
            let reply = self.ask_once(node, body);
            let code = reply.field("code").and_then(Value::as_i64);
            if !matches!(code, Some(11 | 13)) {
                return reply;
            }
        }
    }
}

fn write_all(mut stdin: ChildStdin, lines: &Receiver<String>) {
    for line in lines {
        if stdin.write_all((line + "\n").as_bytes()).is_err() {
            // The node has ended.
            return;
        }
    }
}

json::record! {
    /// The part of a line that delivery needs.
    struct Address { dest: String }
}

fn dest(line: &str) -> String {
    let address: Address = json::decode_with_depth(line.as_bytes(), DEPTH).unwrap();
    address.dest
}

#[test]
fn every_node_serves_every_request() {
    let mut cluster = Cluster::start();
    for (number, name) in NAMES.into_iter().enumerate() {
        let write = value!({"type": "write", "key": "k", "value": number});
        assert_eq!(cluster.ask(name, &write), value!({"type": "write_ok"}));
        for name in NAMES {
            let read = cluster.ask(name, &value!({"type": "read", "key": "k"}));
            assert_eq!(read, value!({"type": "read_ok", "value": number}));
        }
    }
    for name in NAMES {
        let cas = value!({"type": "cas", "key": "k", "from": 7, "to": 8});
        let reply = cluster.ask(name, &cas);
        assert_eq!(reply.field("code"), Some(&value!(22)));
        assert_eq!(
            reply.field("text"),
            Some(&value!("the key holds another value: 2"))
        );
        let reply = cluster.ask(name, &value!({"type": "read", "key": "none"}));
        assert_eq!(reply.field("code"), Some(&value!(20)));
    }
    for name in NAMES {
        let write = value!({"type": "write", "key": name, "value": 1});
        assert_eq!(cluster.ask(name, &write), value!({"type": "write_ok"}));
    }
    for (number, name) in NAMES.into_iter().enumerate() {
        let keys = cluster.ask(name, &value!({"type": "keys", "prefix": "n"}));
        let left: Vec<Value> = NAMES[number..].iter().map(|name| (*name).into()).collect();
        assert_eq!(keys["keys"], Value::from(left));
        // One that is sent again, since its first reply was an error, may find no key.
        let deleted = cluster.ask(name, &value!({"type": "delete", "key": name}));
        let is_gone = deleted.field("code") == Some(&value!(20));
        assert!(
            is_gone || deleted == value!({"type": "delete_ok"}),
            "{deleted}"
        );
        let status = cluster.ask(name, &value!({"type": "status"}));
        assert_eq!(status["node"], name.into());
    }
}

/// The longest and deepest line of a client passes through every log; longer and deeper ones are
/// refused.
#[test]
fn the_longest_and_deepest_request_is_replicated() {
    let mut cluster = Cluster::start();
    let write = |msg_id: i64, node: &str, value: &str| {
        format!(
            r#"{{"src":"c1","dest":"{node}","body":{{"type":"write","msg_id":{msg_id},"key":"k","value":{value}}}}}"#
        )
    };
    // The line and its body are two levels.
    let nested = |depth: usize, inside: &str| {
        let (open, close) = ("[".repeat(depth - 2), "]".repeat(depth - 2));
        format!("{open}\"{inside}\"{close}")
    };
    for (round, node) in (1..).zip(NAMES) {
        let room = MAX_LINE - write(round * 100, node, &nested(MAX_DEPTH, "")).len();
        let longest = "ä".repeat(room / 2) + &"x".repeat(room % 2);
        let text = nested(MAX_DEPTH, &longest);
        let expected: Value = json::decode_with_depth(text.as_bytes(), DEPTH).unwrap();
        let mut msg_id = round * 100;
        loop {
            let line = write(msg_id, node, &text);
            assert_eq!(line.len(), MAX_LINE);
            let reply = cluster.send_line(node, line, msg_id);
            if reply == value!({"type": "write_ok"}) {
                break;
            }
            let code = reply.field("code").and_then(Value::as_i64);
            assert!(matches!(code, Some(11 | 13)), "{reply}");
            msg_id += 1;
        }
        for name in NAMES {
            let read = cluster.ask(name, &value!({"type": "read", "key": "k"}));
            assert!(read.field("value") == Some(&expected), "at {name}");
        }
        let longer = write(msg_id, node, &nested(MAX_DEPTH, &(longest + "x")));
        let deeper = write(msg_id, node, &nested(MAX_DEPTH + 1, ""));
        for line in [longer, deeper] {
            let reply = cluster.send_line(node, line, msg_id);
            assert_eq!(reply.field("code"), Some(&value!(12)));
        }
    }
}

/// Any node knows which one leads, and only that one hands over.
#[test]
fn leadership_is_handed_over_on_request() {
    let mut cluster = Cluster::start();
    let write = value!({"type": "write", "key": "k", "value": 1});
    assert_eq!(cluster.ask("n1", &write), value!({"type": "write_ok"}));
    let text = |reply: &Value| {
        let text = reply.field("text").and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    // On a busy machine the leader may change meanwhile.
    let (leader, target) = loop {
        let reply = cluster.ask_once("n1", &value!({"type": "transfer", "to": "n1"}));
        let leader = match text(&reply).strip_prefix("this node does not lead; ask ") {
            Some(leader) => leader.to_owned(),
            None if reply.field("code") == Some(&value!(12)) => "n1".to_owned(),
            None => continue,
        };
        let target = NAMES.into_iter().find(|name| *name != leader).unwrap();
        let transfer = value!({"type": "transfer", "to": target});
        if cluster.ask_once(&leader, &transfer) == value!({"type": "transfer_ok"}) {
            break (leader, target);
        }
    };
    let reply = cluster.ask_once(&leader, &value!({"type": "transfer", "to": "n9"}));
    assert_eq!(reply.field("code"), Some(&value!(12)), "{reply}");
    let read = value!({"type": "read", "key": "k"});
    for name in [target, &leader] {
        assert_eq!(
            cluster.ask(name, &read),
            value!({"type": "read_ok", "value": 1})
        );
    }
}
