//! The programs of the null and the stale node; [`Builtin`] says what each does.
//!
//! They trust their input: a line that they cannot read ends them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::ExitCode;

use json::Value;
use raft::stdio::print_error;

use super::builtin::Builtin;

/// How much is read and written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The node that executes the writes of a stale cluster.
const WRITER: &str = "n0";

json::record! {
    struct Message<'a, B> {
        src: Cow<'a, str>,
        dest: Cow<'a, str>,
        body: B,
    }
}

json::record! {
    /// The messages that these nodes read.
    enum Body tagged "type" {
        Init as "init" { msg_id: u64, node_id: String, node_ids: Vec<String> },
        Read as "read" { msg_id: u64, key: Value },
        Write as "write" { msg_id: u64, key: Value, value: Value },
        Cas as "cas" { msg_id: u64, key: Value, from: Value, to: Value },
        Delete as "delete" { msg_id: u64, key: Value },
        /// A client's request, to the writer.
        Forward as "forward" { client: String, request: Box<Body> },
        /// Its answer, from the writer.
        Forwarded as "forwarded" { client: String, answer: Box<Answer> },
        /// A key that the writer has changed, and its value, unless it is deleted.
        Replicate as "replicate" { key: Value, value: Option<Value> },
    }
}

json::record! {
    /// An answer to a client.
    struct Answer {
        kind: String as "type",
        in_reply_to: u64,
        value: Option<Value>,
        code: Option<u64>,
        text: Option<String>,
    }
}

impl Answer {
    /// The answer to a request: of this type and with this value, or an error.
    fn new(kind: &str, in_reply_to: u64, result: Result<Option<Value>, (u64, &str)>) -> Answer {
        let (kind, value, error) = match result {
            Ok(value) => (kind, value, None),
            Err(error) => ("error", None, Some(error)),
        };
        Answer {
            kind: kind.to_owned(),
            in_reply_to,
            value,
            code: error.map(|(code, _)| code),
            text: error.map(|(_, text)| text.to_owned()),
        }
    }
}

/// Runs the node on standard input and output until the input ends.
pub fn main(builtin: Builtin) -> ExitCode {
    match serve(Node::new(builtin)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format_args!(
                "maelstrom-tests builtin-node {builtin}: {error}"
            ));
            ExitCode::FAILURE
        }
    }
}

/// Handles all lines that have been read before it writes, so that many lines leave in one write.
fn serve(mut node: Node) -> Result<(), Box<dyn Error>> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock());
    let mut stdout = io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        node.handle(json::decode(&line)?);
        line.clear();
        if !input.buffer().contains(&b'\n') || node.output.len() >= BUFFER_BYTES {
            stdout.write_all(&node.output)?;
            stdout.flush()?;
            node.output.clear();
        }
    }
    Ok(())
}

/// Executes a client's request and returns the answer; `None` for any other message.
fn apply(memory: &mut HashMap<Value, Value>, request: Body) -> Option<Answer> {
    const MISSING: (u64, &str) = (20, "no such key");
    let (msg_id, kind, result) = match request {
        Body::Read { msg_id, key } => {
            let value = memory.get(&key).cloned();
            (msg_id, "read_ok", value.map(Some).ok_or(MISSING))
        }
        Body::Write { msg_id, key, value } => {
            memory.insert(key, value);
            (msg_id, "write_ok", Ok(None))
        }
        Body::Cas {
            msg_id,
            key,
            from,
            to,
        } => match memory.get_mut(&key) {
            None => (msg_id, "cas_ok", Err(MISSING)),
            Some(value) if *value != from => {
                (msg_id, "cas_ok", Err((22, "the key holds another value")))
            }
            Some(value) => {
                *value = to;
                (msg_id, "cas_ok", Ok(None))
            }
        },
        Body::Delete { msg_id, key } => {
            let removed = memory.remove(&key);
            (msg_id, "delete_ok", removed.map(|_| None).ok_or(MISSING))
        }
        Body::Init { .. }
        | Body::Forward { .. }
        | Body::Forwarded { .. }
        | Body::Replicate { .. } => return None,
    };
    Some(Answer::new(kind, msg_id, result))
}

/// A null or a stale node.
#[derive(Debug)]
struct Node {
    /// Whether n0 executes all writes, and replicates them.
    stale: bool,
    name: String,
    peers: Vec<String>,
    memory: HashMap<Value, Value>,
    /// The clients, with the ids of their requests, that wait for the writer. A duplicated answer
    /// is passed on once.
    waiting: HashSet<(String, u64)>,
    /// Whole lines that are to be written.
    output: Vec<u8>,
}

impl Node {
    fn new(builtin: Builtin) -> Node {
        Node {
            stale: builtin == Builtin::Stale,
            name: String::new(),
            peers: Vec::new(),
            memory: HashMap::new(),
            waiting: HashSet::new(),
            output: Vec::new(),
        }
    }

    fn handle(&mut self, message: Message<'_, Body>) {
        let source = message.src.into_owned();
        match message.body {
            Body::Init {
                msg_id,
                node_id,
                node_ids,
            } => {
                self.peers = node_ids;
                self.peers.retain(|peer| *peer != node_id);
                self.name = node_id;
                self.send(&source, &Answer::new("init_ok", msg_id, Ok(None)));
            }
            // This is what makes the stale node wrong.
            read @ Body::Read { .. } => self.execute(read, |answer| (source, answer)),
            request @ (Body::Write { msg_id, .. }
            | Body::Cas { msg_id, .. }
            | Body::Delete { msg_id, .. }) => {
                if self.stale && self.name != WRITER {
                    self.waiting.insert((source.clone(), msg_id));
                    let forward = Body::Forward {
                        client: source,
                        request: Box::new(request),
                    };
                    self.send(WRITER, &forward);
                } else {
                    self.execute(request, |answer| (source, answer));
                }
            }
            Body::Forward { client, request } => self.execute(*request, |answer| {
                let answer = Box::new(answer);
                (source, Body::Forwarded { client, answer })
            }),
            Body::Forwarded { client, answer } => {
                if self.waiting.remove(&(client.clone(), answer.in_reply_to)) {
                    self.send(&client, &answer);
                }
            }
            Body::Replicate { key, value } => drop(match value {
                Some(value) => self.memory.insert(key, value),
                None => self.memory.remove(&key),
            }),
        }
    }

    /// Executes a request, replicates what it has written, and sends the answer as `address` says.
    fn execute<B: json::Encode>(
        &mut self,
        request: Body,
        address: impl FnOnce(Answer) -> (String, B),
    ) {
        let written = match &request {
            Body::Write { key, value, .. } => Some((key.clone(), Some(value.clone()))),
            Body::Cas { key, to, .. } => Some((key.clone(), Some(to.clone()))),
            Body::Delete { key, .. } => Some((key.clone(), None)),
            Body::Init { .. }
            | Body::Read { .. }
            | Body::Forward { .. }
            | Body::Forwarded { .. }
            | Body::Replicate { .. } => None,
        };
        let Some(answer) = apply(&mut self.memory, request) else {
            return;
        };
        if let Some((key, value)) = written
            && self.stale
            && answer.code.is_none()
        {
            let replicate = Body::Replicate { key, value };
            for peer in self.peers.clone() {
                self.send(&peer, &replicate);
            }
        }
        let (dest, body) = address(answer);
        self.send(&dest, &body);
    }

    fn send(&mut self, dest: &str, body: &impl json::Encode) {
        let message = Message {
            src: self.name.as_str().into(),
            dest: dest.into(),
            body,
        };
        json::encode_into(&message, &mut self.output);
        self.output.push(b'\n');
    }
}
