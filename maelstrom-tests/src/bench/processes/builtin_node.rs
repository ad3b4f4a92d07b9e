//! The programs of the nodes that are part of the bench, but for the Raft node.
//!
//! Read [`Builtin`] for what each does. All the null node knows is one map. They trust whom they
//! talk to: what they can't read ends them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::ExitCode;

use json::Value;

use super::builtin::{Builtin, Misbehaviour};
use crate::bench::network::Node;

/// How much is read and written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The node that has the last word on writes in a stale cluster.
const WRITER: &str = "n0";

json::record! {
    struct Message<'a> {
        src: Cow<'a, str>,
        body: Body,
    }
}

json::record! {
    /// What these nodes understand.
    #[derive(Clone)]
    enum Body tagged "type" {
        Init as "init" { msg_id: u64, node_id: String, node_ids: Vec<String> },
        Read as "read" { msg_id: u64, key: Value },
        Write as "write" { msg_id: u64, key: Value, value: Value },
        Cas as "cas" { msg_id: u64, key: Value, from: Value, to: Value },
        /// A request on its way to the writer.
        Forward as "forward" { client: String, request: Box<Body> },
        /// Its answer on the way back.
        Forwarded as "forwarded" { client: String, answer: Box<Answer> },
        /// What the writer has decided.
        Replicate as "replicate" { key: Value, value: Value },
    }
}

json::record! {
    #[derive(Clone)]
    enum Answer tagged "type" {
        InitOk as "init_ok" { in_reply_to: u64 },
        ReadOk as "read_ok" { in_reply_to: u64, value: Value },
        WriteOk as "write_ok" { in_reply_to: u64 },
        CasOk as "cas_ok" { in_reply_to: u64 },
        Error as "error" { in_reply_to: u64, code: u64, text: String },
    }
}

impl Answer {
    fn in_reply_to(&self) -> u64 {
        match self {
            Answer::InitOk { in_reply_to }
            | Answer::ReadOk { in_reply_to, .. }
            | Answer::WriteOk { in_reply_to }
            | Answer::CasOk { in_reply_to }
            | Answer::Error { in_reply_to, .. } => *in_reply_to,
        }
    }
}

/// Runs the node on standard input and output until the input ends.
pub fn main(builtin: Builtin) -> ExitCode {
    let node: Box<dyn Program> = match builtin {
        Builtin::Raft | Builtin::Null => Box::new(NullNode::default()),
        Builtin::Stale => Box::new(StaleNode::default()),
        Builtin::Misbehaving(how) => Box::new(MisbehavingNode {
            how,
            node: NullNode::default(),
        }),
    };
    match serve(node) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What a node does with a message.
trait Program {
    /// Handles a message; what it says goes to `out`. An exit code ends the node when that has been
    /// said.
    fn handle(&mut self, message: Message<'_>, out: &mut Out) -> Option<ExitCode>;
}

/// Whole lines that wait to be written, and the name that they bear.
#[derive(Debug, Default)]
struct Out {
    bytes: Vec<u8>,
    name: String,
}

impl Out {
    fn send(&mut self, dest: &str, body: &impl json::Encode) {
        let name = std::mem::take(&mut self.name);
        self.send_as(&name, dest, body);
        self.name = name;
    }

    fn send_as(&mut self, src: &str, dest: &str, body: &impl json::Encode) {
        let mut writer = json::Writer::new(&mut self.bytes);
        writer.begin_object();
        writer.key("src");
        writer.string(src);
        writer.key("dest");
        writer.string(dest);
        writer.key("body");
        body.encode(&mut writer);
        writer.end_object();
        self.bytes.push(b'\n');
    }

    fn line(&mut self, text: impl Display) {
        self.bytes.extend_from_slice(format!("{text}\n").as_bytes());
    }
}

/// Handles what has been read before it writes what it has to say, so that many lines go out at
/// once.
fn serve(mut node: Box<dyn Program>) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock());
    let mut stdout = io::stdout().lock();
    let mut out = Out::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let end = node.handle(json::decode(&line)?, &mut out);
        let more = input.buffer().contains(&b'\n');
        if !more || end.is_some() || out.bytes.len() >= BUFFER_BYTES {
            stdout.write_all(&out.bytes)?;
            stdout.flush()?;
            out.bytes.clear();
        }
        if let Some(code) = end {
            return Ok(code);
        }
    }
}

/// Keys and values in memory.
#[derive(Debug, Default)]
struct Memory(HashMap<Value, Value>);

impl Memory {
    /// Does as asked, and says so. Not for messages between nodes.
    fn apply(&mut self, request: Body) -> Option<Answer> {
        Some(match request {
            Body::Read { msg_id, key } => match self.0.get(&key) {
                Some(value) => Answer::ReadOk {
                    in_reply_to: msg_id,
                    value: value.clone(),
                },
                None => error(msg_id, 20, "no such key"),
            },
            Body::Write { msg_id, key, value } => {
                self.0.insert(key, value);
                Answer::WriteOk {
                    in_reply_to: msg_id,
                }
            }
            Body::Cas {
                msg_id,
                key,
                from,
                to,
            } => match self.0.get_mut(&key) {
                None => error(msg_id, 20, "no such key"),
                Some(value) if *value != from => error(msg_id, 22, "another value"),
                Some(value) => {
                    *value = to;
                    Answer::CasOk {
                        in_reply_to: msg_id,
                    }
                }
            },
            Body::Init { .. }
            | Body::Forward { .. }
            | Body::Forwarded { .. }
            | Body::Replicate { .. } => {
                return None;
            }
        })
    }
}

fn error(msg_id: u64, code: u64, text: &str) -> Answer {
    Answer::Error {
        in_reply_to: msg_id,
        code,
        text: text.to_owned(),
    }
}

#[derive(Debug, Default)]
struct NullNode {
    memory: Memory,
}

impl NullNode {
    /// The answer to a message, if it is a request.
    fn answer(&mut self, message: Message<'_>, out: &mut Out) -> Option<Answer> {
        match message.body {
            Body::Init {
                msg_id, node_id, ..
            } => {
                out.name = node_id;
                Some(Answer::InitOk {
                    in_reply_to: msg_id,
                })
            }
            request => self.memory.apply(request),
        }
    }
}

impl Program for NullNode {
    fn handle(&mut self, message: Message<'_>, out: &mut Out) -> Option<ExitCode> {
        let client = message.src.clone();
        if let Some(answer) = self.answer(message, out) {
            out.send(&client, &answer);
        }
        None
    }
}

#[derive(Debug, Default)]
struct StaleNode {
    memory: Memory,
    peers: Vec<String>,
    /// The clients, with their requests, that the writer is to answer: a doubled answer is passed
    /// on once.
    waiting: HashSet<(String, u64)>,
}

impl StaleNode {
    /// Lets the writer decide, and tells the others what has changed.
    fn decide(&mut self, request: Body, out: &mut Out) -> Option<Answer> {
        let (key, new) = match &request {
            Body::Write { key, value, .. } => (key.clone(), value.clone()),
            Body::Cas { key, to, .. } => (key.clone(), to.clone()),
            Body::Init { .. }
            | Body::Read { .. }
            | Body::Forward { .. }
            | Body::Forwarded { .. }
            | Body::Replicate { .. } => return None,
        };
        let answer = self.memory.apply(request)?;
        if !matches!(answer, Answer::Error { .. }) {
            let news = Body::Replicate { key, value: new };
            self.peers.iter().for_each(|peer| out.send(peer, &news));
        }
        Some(answer)
    }
}

impl Program for StaleNode {
    fn handle(&mut self, message: Message<'_>, out: &mut Out) -> Option<ExitCode> {
        let source = message.src;
        match message.body {
            Body::Init {
                msg_id,
                node_id,
                node_ids,
            } => {
                out.name = node_id;
                self.peers = node_ids;
                self.peers.retain(|peer| *peer != out.name);
                out.send(
                    &source,
                    &Answer::InitOk {
                        in_reply_to: msg_id,
                    },
                );
            }
            // This is what is wrong with it.
            read @ Body::Read { .. } => {
                if let Some(answer) = self.memory.apply(read) {
                    out.send(&source, &answer);
                }
            }
            request @ (Body::Write { msg_id, .. } | Body::Cas { msg_id, .. }) => {
                if out.name == WRITER {
                    if let Some(answer) = self.decide(request, out) {
                        out.send(&source, &answer);
                    }
                } else {
                    self.waiting.insert((source.to_string(), msg_id));
                    let forward = Body::Forward {
                        client: source.into_owned(),
                        request: Box::new(request),
                    };
                    out.send(WRITER, &forward);
                }
            }
            Body::Forward { client, request } => {
                if let Some(answer) = self.decide(*request, out) {
                    let answer = Box::new(answer);
                    out.send(&source, &Body::Forwarded { client, answer });
                }
            }
            Body::Forwarded { client, answer } => {
                if self.waiting.remove(&(client.clone(), answer.in_reply_to())) {
                    out.send(&client, &answer);
                }
            }
            Body::Replicate { key, value } => {
                self.memory.0.insert(key, value);
            }
        }
        None
    }
}

#[derive(Debug)]
struct MisbehavingNode {
    how: Misbehaviour,
    node: NullNode,
}

impl Program for MisbehavingNode {
    fn handle(&mut self, message: Message<'_>, out: &mut Out) -> Option<ExitCode> {
        let client = message.src.clone().into_owned();
        let answer = self.node.answer(message, out)?;
        if let Answer::InitOk { in_reply_to } = answer {
            match self.how {
                Misbehaviour::RefusesInit => {
                    out.send(&client, &error(in_reply_to, 12, "not today"))
                }
                _ => out.send(&client, &answer),
            }
            return None;
        }
        let text = json::to_string(&answer);
        let name = out.name.clone();
        match self.how {
            Misbehaviour::Garbage => {
                out.send(&client, &answer);
                out.line("Listening on port 8080");
            }
            Misbehaviour::BlankLine => {
                out.send(&client, &answer);
                out.line("");
            }
            Misbehaviour::NotAnObject => out.line(format_args!("[{text}]")),
            Misbehaviour::ExtraKey => out.line(format_args!(
                r#"{{"src":"{name}","dest":"{client}","time":1,"body":{text}}}"#
            )),
            Misbehaviour::ExtraBodyKey => {
                let body = json::value!({"type": "write_ok", "in_reply_to": 1, "leader": "n0"});
                out.send(&client, &body);
            }
            Misbehaviour::UnknownClient => out.send("c99999", &answer),
            Misbehaviour::UnknownNode => {
                out.send(&client, &answer);
                out.send("n99", &json::value!({"type": "hello"}));
            }
            Misbehaviour::InitClient => {
                out.send(&client, &answer);
                out.send("c0", &Answer::InitOk { in_reply_to: 1 });
            }
            Misbehaviour::WrongSource => out.send_as("n98", &client, &answer),
            Misbehaviour::Twice => {
                out.send(&client, &answer);
                out.send(&client, &answer);
            }
            Misbehaviour::NeverAsked => out.send(&client, &error(77_777, 11, "what?")),
            Misbehaviour::WrongType => {
                let body = json::value!({"type": "init_ok", "in_reply_to": 1});
                out.send(&client, &body);
            }
            Misbehaviour::RefusesInit => out.send(&client, &answer),
            Misbehaviour::Ends => {
                out.send(&client, &answer);
                return Some(ExitCode::SUCCESS);
            }
            Misbehaviour::Dies => {
                out.send(&client, &answer);
                eprintln!("a last word from {}", Node(0));
                return Some(ExitCode::from(3));
            }
            Misbehaviour::HalfLine => {
                out.bytes.extend_from_slice(br#"{"src":"n0","#);
                return Some(ExitCode::SUCCESS);
            }
        }
        None
    }
}
