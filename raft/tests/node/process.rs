//! A node's process, for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::iter;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use json::{Value, value};

/// Only a hanging test waits this long for one line.
pub(crate) const HANG: Duration = Duration::from_secs(300);

/// With these flags no request expires and no election takes place, however slow the machine is. A
/// lone node is elected at once all the same.
pub(crate) const PATIENT: [&str; 2] = [
    "--election-timeout=1800000..1800000",
    "--request-timeout=1800000",
];

/// A running node. It is killed when this is dropped.
pub(crate) struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    stderr_lines: Receiver<String>,
    asked: i64,
}

/// The end of a node.
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    /// The lines that were not read yet.
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: String,
}

/// The binary.
pub(crate) const RAFT: &str = env!("CARGO_BIN_EXE_raft");

/// The command without arguments and without environment variables that it reads.
pub(crate) fn command() -> Command {
    command_in(RAFT)
}

/// As [`command`], for a program that starts the binary.
pub(crate) fn command_in(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("STDRAFT_DATA_DIR");
    command
}

impl Node {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_as(command().args(PATIENT).args(args))
    }

    pub(crate) fn start_as(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, stdout) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines() {
                if send.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        let (send, stderr_lines) = mpsc::channel();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let stderr = thread::spawn(move || {
            let mut all = String::new();
            let mut start = 0;
            while err.read_line(&mut all).unwrap() > 0 {
                // The test may ignore the lines.
                let _ = send.send(all[start..].trim_end().to_owned());
                start = all.len();
            }
            all
        });
        Self {
            stdin: child.stdin.take(),
            child,
            stdout,
            stderr: Some(stderr),
            stderr_lines,
            asked: 0,
        }
    }

    /// An initialised node that is the only one of its cluster.
    pub(crate) fn alone(args: &[&str]) -> Self {
        let mut node = Self::start(args);
        node.init("n1", &["n1"]);
        node
    }

    /// Initialises the node.
    pub(crate) fn init(&mut self, id: &str, ids: &[&str]) {
        self.send(&line("c0", id, &init(1, id, ids)));
        // On a busy machine a message to a peer may overtake the reply.
        let reply = iter::repeat_with(|| self.read()).find(|said| said["dest"] == value!("c0"));
        assert_eq!(
            reply.unwrap(),
            said(id, "c0", &value!({"type": "init_ok", "in_reply_to": 1}))
        );
    }

    pub(crate) fn send(&mut self, line: &str) {
        self.send_bytes(line.as_bytes());
        self.send_bytes(b"\n");
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The next line of stdout.
    pub(crate) fn read(&mut self) -> Value {
        let line = self.stdout.recv_timeout(HANG);
        parsed(&line.expect("a line of stdout"))
    }

    /// The next line of stdout; `None` once the node has ended.
    pub(crate) fn try_read(&mut self) -> Option<String> {
        self.stdout.recv().ok()
    }

    /// Takes stdin, to write to it elsewhere.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    /// The next line of stderr that contains `text`.
    pub(crate) fn read_stderr(&mut self, text: &str) -> String {
        loop {
            let line = self.stderr_lines.recv_timeout(HANG);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} on stderr"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a body with a message id to `n1`. Returns the body of the reply without the id.
    pub(crate) fn ask(&mut self, body: &Value) -> Value {
        self.asked += 1;
        let request = with(body, "msg_id", self.asked.into());
        self.send(&line("c1", "n1", &request));
        let reply = self.read();
        let mut members = reply.field("body").unwrap().as_object().unwrap().clone();
        assert_eq!(members.remove("in_reply_to"), Some(self.asked.into()));
        Value::Object(members)
    }

    /// Kills the node.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the input and waits for the node to end.
    pub(crate) fn end(mut self) -> End {
        drop(self.stdin.take());
        let mut stdout = Vec::new();
        loop {
            match self.stdout.recv_timeout(HANG) {
                Ok(line) => stdout.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the node does not end"),
            }
        }
        let stderr = self.stderr.take().unwrap().join().unwrap();
        let status = self.child.wait().unwrap();
        End {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a node on this input.
pub(crate) fn run(args: &[&str], input: &[u8]) -> End {
    let mut node = Node::start(args);
    node.send_bytes(input);
    node.end()
}

/// A line with this body.
pub(crate) fn line(src: &str, dest: &str, body: &Value) -> String {
    value!({"src": src, "dest": dest, "body": (body.clone())}).to_string()
}

/// The same as [`Node::read`] returns it.
pub(crate) fn said(src: &str, dest: &str, body: &Value) -> Value {
    parsed(&line(src, dest, body))
}

/// Parses a line.
pub(crate) fn parsed(line: &str) -> Value {
    json::decode(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The body of an init.
pub(crate) fn init(msg_id: i64, id: &str, ids: &[&str]) -> Value {
    let ids: Vec<Value> = ids.iter().map(|id| Value::from(*id)).collect();
    value!({"type": "init", "msg_id": msg_id, "node_id": id, "node_ids": ids})
}

/// An object with one more member.
pub(crate) fn with(object: &Value, key: &str, value: Value) -> Value {
    let mut members = object.as_object().unwrap().clone();
    members.insert(key.into(), value);
    Value::Object(members)
}

/// Reads a pipe to its end.
pub(crate) fn all(mut pipe: impl Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}
