//! Maelstrom's messages, read strictly and written plainly.
//!
//! Maelstrom ignores a node that prints something malformed; the bench reports what is wrong with
//! it. It is stricter in this: a message must come from the node that printed it, a body
//! must be an object, and an answer must belong to a request.

use std::borrow::Cow;

use json::{MAX_DEPTH, Raw, Reader, Value, Writer};

use super::clients::{Answer, Asked, MessageId, Sent, Session};
use super::members::Change;
use super::network::Node;
use super::workload::Request;
use crate::history::{Call, ErrorCode, Process};

/// The `msg_id` of every `init` and `status`.
const INIT_ID: MessageId = MessageId(1);

/// The `msg_id` of every request for a leadership transfer.
const TRANSFER_ID: MessageId = MessageId(2);

/// The `msg_id` of the first change of the members; each later change has the next one.
const CHANGE_ID: MessageId = MessageId(3);

/// Maelstrom's own services, which are not part of the bench.
const SERVICES: [&str; 4] = ["lin-kv", "seq-kv", "lww-kv", "lin-tso"];

/// A line of a node's output, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<'a> {
    /// The receiver.
    pub dest: Dest,
    /// The body, as it stands in the line.
    pub body: Raw<'a>,
}

/// The receiver of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dest {
    /// Another node, or the same.
    Server(Node),
    /// The client that sends `init` to this node, and requests for leadership transfers.
    Init(Node),
    /// The client of a process. There may be no such process.
    Client(Process),
}

/// The part of a message between servers that the bench reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body<'a> {
    /// Its `type`; empty if there is none.
    pub kind: Cow<'a, str>,
    /// Its `term`, if there is a number under that name.
    pub term: Option<u64>,
}

/// An answer to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The id of the request.
    pub id: MessageId,
    /// The answer.
    pub answer: Answer,
}

/// The name of the client that sends `init` and requests for leadership transfers to a node.
pub fn init_client(node: Node) -> String {
    format!("c{}", node.0)
}

/// Reads a line that `source` printed, without its line feed, in a cluster of `nodes` nodes.
///
/// # Errors
/// What is wrong with it, as a text that follows a colon.
pub fn envelope(line: &[u8], source: Node, nodes: usize) -> Result<Envelope<'_>, String> {
    if line.trim_ascii().is_empty() {
        return Err("it is blank".to_owned());
    }
    let json = |error: json::Error| format!("it is not a JSON object: {error}");
    let mut reader = Reader::with_depth(line, MAX_DEPTH);
    let (mut src, mut dest, mut body, mut id) = (None, None, None, None);
    reader.begin_object().map_err(json)?;
    while let Some(key) = reader.next_key().map_err(json)? {
        let again = match &*key {
            "src" => src.replace(name(&mut reader, "src")?).is_some(),
            "dest" => dest.replace(name(&mut reader, "dest")?).is_some(),
            "body" => body.replace(reader.raw().map_err(json)?).is_some(),
            "id" => id.replace(integer(&mut reader, "id")?).is_some(),
            other => {
                return Err(format!(
                    "it has the top-level key {other:?}; only src, dest, body and id are allowed"
                ));
            }
        };
        if again {
            return Err(format!("it has the key {key:?} twice"));
        }
    }
    reader.end().map_err(json)?;
    let src = src.ok_or("it has no src")?;
    let dest = dest.ok_or("it has no dest")?;
    let body = body.ok_or("it has no body")?;
    if !body.as_str().starts_with('{') {
        return Err("its body is not an object".to_owned());
    }
    if numbered(&src, 'n') != Some(source.0 as u64) {
        return Err(format!("its src is {src:?}, but {source} printed it"));
    }
    let dest = destination(&dest, nodes)?;
    Ok(Envelope { dest, body })
}

/// Reads the type and the term of a message between servers, whose body is otherwise free.
///
/// # Errors
/// The body is not JSON, which [`envelope`] has checked before.
pub fn body<'a>(envelope: &Envelope<'a>) -> Result<Body<'a>, String> {
    let json = |error: json::Error| format!("cannot read its body: {error}");
    let mut reader = Reader::new(envelope.body.as_str().as_bytes());
    let (mut kind, mut term) = (Cow::Borrowed(""), None);
    reader.begin_object().map_err(json)?;
    while let Some(key) = reader.next_key().map_err(json)? {
        let value = reader.raw().map_err(json)?;
        match &*key {
            "type" => kind = value.decode().unwrap_or(Cow::Borrowed("")),
            "term" => term = value.decode().ok(),
            _ => {}
        }
    }
    Ok(Body { kind, term })
}

/// Whether a message between servers with this `type` asks for a vote in its `term` (a pre-vote
/// does not).
pub fn asks_for_vote(kind: &str) -> bool {
    matches!(kind, "vote" | "request_vote")
}

/// Reads the answer to an `init`.
///
/// # Errors
/// It is not `init_ok`.
pub fn init_ok(envelope: &Envelope<'_>) -> Result<(), String> {
    let answer = AnswerBody::read(envelope)?;
    if answer.kind == "error" {
        let text = answer.text.as_deref().unwrap_or("no text");
        return Err(format!("it refuses init: {text}"));
    }
    if answer.kind != "init_ok" {
        return Err(format!(
            "its type is {:?}, but init is answered by init_ok",
            answer.kind
        ));
    }
    answer.closed(&[])?;
    match answer.id {
        Some(INIT_ID) => Ok(()),
        Some(_) | None => Err(format!(
            "its in_reply_to is not init's msg_id, {}",
            INIT_ID.0
        )),
    }
}

/// Reads the answer to a `status`. An error is one, too: the node was busy, but it is there.
///
/// # Errors
/// It is another answer, or to another request.
pub fn status_ok(envelope: &Envelope<'_>) -> Result<(), String> {
    let answer = AnswerBody::read(envelope)?;
    match (&*answer.kind, answer.id) {
        ("status_ok" | "error", Some(INIT_ID)) => Ok(()),
        (other, _) => Err(format!(
            "its type is {other:?}, but status is answered by status_ok"
        )),
    }
}

/// Whether this is the answer to a request for a leadership transfer.
///
/// # Errors
/// It is, and it breaks the schema of its type.
pub fn answers_transfer(envelope: &Envelope<'_>) -> Result<bool, String> {
    let answer = AnswerBody::read(envelope)?;
    if answer.id != Some(TRANSFER_ID) {
        return Ok(false);
    }
    match &*answer.kind {
        "error" => answer.closed(&["code", "text"])?,
        "transfer_ok" => answer.closed(&[])?,
        other => {
            return Err(format!(
                "its type is {other:?}, but transfer is answered by transfer_ok"
            ));
        }
    }
    Ok(true)
}

/// The number of the change of the members that this answers, and the text of its error if it failed
/// with one; `None` if it answers none.
///
/// # Errors
/// It does, and it breaks the schema of its type.
pub fn change_answer(envelope: &Envelope<'_>) -> Result<Option<ChangeAnswer>, String> {
    let answer = AnswerBody::read(envelope)?;
    let Some(number) = answer.id.and_then(|id| id.0.checked_sub(CHANGE_ID.0)) else {
        return Ok(None);
    };
    let error = match &*answer.kind {
        "error" => {
            answer.closed(&["code", "text"])?;
            let text = answer.text.as_deref().unwrap_or_default();
            Some((answer.code.unwrap_or_default(), text.to_owned()))
        }
        "change_members_ok" => {
            answer.closed(&[])?;
            None
        }
        other => {
            return Err(format!(
                "its type is {other:?}, but change_members is answered by change_members_ok"
            ));
        }
    };
    Ok(Some((number, error)))
}

/// The number of a change, and the code and the text of an error.
pub type ChangeAnswer = (u64, Option<(i64, String)>);

/// Reads the answer to a client's request.
///
/// # Errors
/// It breaks the schema of its type, or is no answer.
pub fn reply(envelope: &Envelope<'_>) -> Result<Reply, String> {
    let mut body = AnswerBody::read(envelope)?;
    let answer = match &*body.kind {
        "error" => {
            let code = body.code.ok_or("it is an error without a code")?;
            let code =
                u64::try_from(code).map_err(|_| format!("its code is {code}, below zero"))?;
            Answer::Error(ErrorCode(code))
        }
        "read_ok" => {
            body.closed(&["value"])?;
            Answer::ReadOk(body.value.take().ok_or("it is a read_ok without a value")?)
        }
        "write_ok" => {
            body.closed(&[])?;
            Answer::WriteOk
        }
        "cas_ok" => {
            body.closed(&[])?;
            Answer::CasOk
        }
        "delete_ok" => {
            body.closed(&[])?;
            Answer::DeleteOk
        }
        "open_session_ok" => {
            body.closed(&["session"])?;
            Answer::SessionOpened(
                body.session
                    .ok_or("it is an open_session_ok without a session")?,
            )
        }
        other => {
            return Err(format!(
                "its type is {other:?}, which is no answer to a client"
            ));
        }
    };
    let id = body
        .id
        .ok_or("it has no in_reply_to, but clients only take answers")?;
    Ok(Reply { id, answer })
}

/// An `init` for a node of a cluster with this many initial members, with a line feed.
pub fn init(number: u64, node: Node, initial: usize) -> Vec<u8> {
    let names: Vec<String> = (0..initial).map(|node| Node(node).to_string()).collect();
    line(number, &init_client(node), node, |writer| {
        begin_body(writer, "init", INIT_ID);
        writer.key("node_id");
        writer.string(&node.to_string());
        writer.key("node_ids");
        writer.begin_array();
        names.iter().for_each(|name| writer.string(name));
        writer.end_array();
        writer.end_object();
    })
}

/// A `status` for a node on a network, which takes the place of `init`, with a line feed.
pub fn status(number: u64, node: Node) -> Vec<u8> {
    line(number, &init_client(node), node, |writer| {
        begin_body(writer, "status", INIT_ID);
        writer.end_object();
    })
}

/// A request for a leadership transfer to a node, or to one that the leader chooses, with a line
/// feed.
pub fn transfer(number: u64, leader: Node, to: Option<Node>) -> Vec<u8> {
    line(number, &init_client(leader), leader, |writer| {
        begin_body(writer, "transfer", TRANSFER_ID);
        if let Some(to) = to {
            writer.key("to");
            writer.string(&to.to_string());
        }
        writer.end_object();
    })
}

/// A request to the leader for a change of the members, with a line feed. The node to add is known to
/// the others by the name or address `added`.
pub fn change(number: u64, leader: Node, change: &Change, added: Option<&str>) -> Vec<u8> {
    line(number, &init_client(leader), leader, |writer| {
        let id = MessageId(CHANGE_ID.0 + change.number);
        begin_body(writer, "change_members", id);
        let removed = change.remove.map(|node| node.to_string());
        for (key, node) in [("add", added), ("remove", removed.as_deref())] {
            writer.key(key);
            writer.begin_array();
            node.iter().for_each(|node| writer.string(node));
            writer.end_array();
        }
        writer.end_object();
    })
}

/// The type of what a client sends for its request.
pub fn kind(asked: &Asked, request: &Request) -> &'static str {
    match asked.sent {
        Sent::OpenSession => "open_session",
        Sent::Plain | Sent::InSession(_) => request.call.name(),
    }
}

/// A client's request, with a line feed.
pub fn request(number: u64, asked: &Asked, request: &Request, nodes: usize) -> Vec<u8> {
    let client = format!("c{}", nodes as u64 + asked.process.0);
    line(number, &client, asked.node, |writer| {
        begin_body(writer, kind(asked, request), asked.id);
        match asked.sent {
            Sent::Plain => {}
            Sent::OpenSession => return writer.end_object(),
            Sent::InSession(Session { id, sequence }) => {
                // A client has one change at a time, so it has the answers to all before it.
                for (key, number) in [
                    ("session", id),
                    ("sequence", sequence),
                    ("acknowledged", sequence),
                ] {
                    writer.key(key);
                    writer.unsigned(number);
                }
            }
        }
        writer.key("key");
        writer.unsigned(request.key);
        let mut value = |key, value: &Value| {
            writer.key(key);
            json::Encode::encode(value, writer);
        };
        match &request.call {
            Call::Read | Call::Delete => {}
            Call::Write(new) => value("value", new),
            Call::Cas { from, to } => {
                value("from", from);
                value("to", to);
            }
        }
        writer.end_object();
    })
}

/// A message between servers as its receiver gets it, with a line feed.
pub fn forward(number: u64, source: Node, dest: Node, envelope: &Envelope<'_>) -> Vec<u8> {
    line(number, &source.to_string(), dest, |writer| {
        writer.raw(envelope.body)
    })
}

fn begin_body(writer: &mut Writer<'_>, kind: &str, id: MessageId) {
    writer.begin_object();
    writer.key("type");
    writer.string(kind);
    writer.key("msg_id");
    writer.unsigned(id.0);
}

fn line(number: u64, src: &str, dest: Node, body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let mut writer = Writer::new(&mut bytes);
    writer.begin_object();
    writer.key("id");
    writer.unsigned(number);
    writer.key("src");
    writer.string(src);
    writer.key("dest");
    writer.string(&dest.to_string());
    writer.key("body");
    body(&mut writer);
    writer.end_object();
    bytes.push(b'\n');
    bytes
}

/// The fields that the body of an answer may have.
#[derive(Debug, Default)]
struct AnswerBody<'a> {
    kind: Cow<'a, str>,
    id: Option<MessageId>,
    value: Option<Value>,
    code: Option<i64>,
    session: Option<u64>,
    text: Option<Cow<'a, str>>,
    keys: Vec<Cow<'a, str>>,
}

impl<'a> AnswerBody<'a> {
    fn read(envelope: &Envelope<'a>) -> Result<AnswerBody<'a>, String> {
        let json = |error: json::Error| format!("cannot read its body: {error}");
        let mut body = AnswerBody::default();
        let mut kind = None;
        let mut reader = Reader::new(envelope.body.as_str().as_bytes());
        reader.begin_object().map_err(json)?;
        while let Some(key) = reader.next_key().map_err(json)? {
            if body.keys.contains(&key) {
                return Err(format!("its body has the key {key:?} twice"));
            }
            match &*key {
                "type" => kind = Some(name(&mut reader, "type")?),
                "in_reply_to" => {
                    let id = integer(&mut reader, "in_reply_to")?;
                    // No request has a negative id, and 0 is none either.
                    body.id = Some(MessageId(u64::try_from(id).unwrap_or(0)));
                }
                "msg_id" => drop(integer(&mut reader, "msg_id")?),
                "value" => body.value = Some(json::Decode::decode(&mut reader).map_err(json)?),
                "code" => body.code = Some(integer(&mut reader, "code")?),
                "session" => body.session = u64::try_from(integer(&mut reader, "session")?).ok(),
                "text" => body.text = Some(name(&mut reader, "text")?),
                _ => reader.skip_value().map_err(json)?,
            }
            body.keys.push(key);
        }
        body.kind = kind.ok_or("its body has no type")?;
        Ok(body)
    }

    /// Rejects keys other than these and those that every answer may have.
    fn closed(&self, own: &[&str]) -> Result<(), String> {
        let known =
            |key: &str| matches!(key, "type" | "in_reply_to" | "msg_id") || own.contains(&key);
        match self.keys.iter().find(|key| !known(key)) {
            None => Ok(()),
            Some(key) => Err(format!(
                "a body of type {} may not have the key {key:?}",
                self.kind
            )),
        }
    }
}

fn name<'a>(reader: &mut Reader<'a>, key: &str) -> Result<Cow<'a, str>, String> {
    reader
        .string()
        .map_err(|error| format!("its {key} is not a string: {error}"))
}

fn integer(reader: &mut Reader<'_>, key: &str) -> Result<i64, String> {
    json::Decode::decode(reader)
        .map_err(|error: json::Error| format!("its {key} is not an integer: {error}"))
}

fn destination(dest: &str, nodes: usize) -> Result<Dest, String> {
    if let Some(number) = numbered(dest, 'n')
        && number < nodes as u64
    {
        return Ok(Dest::Server(Node(number as usize)));
    }
    if let Some(number) = numbered(dest, 'c') {
        return Ok(match number.checked_sub(nodes as u64) {
            None => Dest::Init(Node(number as usize)),
            Some(process) => Dest::Client(Process(process)),
        });
    }
    if SERVICES.contains(&dest) {
        return Err(format!(
            "its dest {dest:?} is a service, which the bench does not offer"
        ));
    }
    Err(format!("its dest {dest:?} is unknown"))
}

/// The number in a name such as `n12`, without leading zeros.
fn numbered(name: &str, letter: char) -> Option<u64> {
    let digits = name.strip_prefix(letter)?;
    let plain = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests;
