//! Maelstrom's messages, read strictly and written plainly.
//!
//! Maelstrom ignores a node that prints something malformed; the bench reports what is wrong with
//! it. It is stricter in this: a message must come from the node that printed it, a body
//! must be an object, and an answer must belong to a request.

use std::borrow::Cow;

use json::{MAX_DEPTH, Raw, Reader, Value};

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
    let mut more = reader.enter_object().map_err(json)?;
    while more {
        let key = reader.key().map_err(json)?;
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
        more = reader.more_members().map_err(json)?;
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
    let mut more = reader.enter_object().map_err(json)?;
    while more {
        let key = reader.key().map_err(json)?;
        let value = reader.raw().map_err(json)?;
        match &*key {
            "type" => kind = value.decode().unwrap_or(Cow::Borrowed("")),
            "term" => term = value.decode().ok(),
            _ => {}
        }
        more = reader.more_members().map_err(json)?;
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
        return Err(answer.is_not_for("init"));
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
        _ => Err(answer.is_not_for("status")),
    }
}

/// What an answer to the bench itself answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// An `init` or a `status`, or no request at all.
    Greeting,
    /// A request for a leadership transfer. It may be refused, for any reason.
    Transfer,
    /// The change of the members with this number, and the code and the text of its error if it failed
    /// with one.
    Change(u64, Option<(i64, String)>),
}

/// Reads an answer to the bench itself, but for that to an `init` or a `status`.
///
/// # Errors
/// It breaks the schema of its type.
pub fn own_answer(envelope: &Envelope<'_>) -> Result<Own, String> {
    let answer = AnswerBody::read(envelope)?;
    let asked = match answer.id {
        Some(id) if id >= CHANGE_ID => "change_members",
        Some(TRANSFER_ID) => "transfer",
        Some(_) | None => return Ok(Own::Greeting),
    };
    let error = if answer.kind == "error" {
        answer.closed(&["code", "text"])?;
        let text = answer.text.as_deref().unwrap_or_default();
        Some((answer.code.unwrap_or_default(), text.to_owned()))
    } else if answer.kind.strip_suffix("_ok") == Some(asked) {
        answer.closed(&[])?;
        None
    } else {
        return Err(answer.is_not_for(asked));
    };
    Ok(match answer.id {
        Some(id) if id >= CHANGE_ID => Own::Change(id.0 - CHANGE_ID.0, error),
        Some(_) | None => Own::Transfer,
    })
}

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
        "open_session_ok" => {
            body.closed(&["session"])?;
            let session = body.session;
            Answer::SessionOpened(session.ok_or("it is an open_session_ok without a session")?)
        }
        other => {
            let plain = [Answer::WriteOk, Answer::CasOk, Answer::DeleteOk];
            let mut plain = plain.into_iter().filter(|answer| answer.name() == other);
            let answer = plain
                .next()
                .ok_or_else(|| format!("its type is {other:?}, which is no answer to a client"))?;
            body.closed(&[])?;
            answer
        }
    };
    let id = body
        .id
        .ok_or("it has no in_reply_to, but clients only take answers")?;
    Ok(Reply { id, answer })
}

json::record! {
    /// A message to a node.
    struct Message<B> {
        id: u64,
        src: String,
        dest: String,
        body: B,
    }
}

json::record! {
    /// The body of a message that the bench itself or a client sends. Each type has some of the fields.
    #[derive(Default)]
    struct RequestBody<'a> {
        kind: Cow<'a, str> as "type",
        msg_id: u64,
        node_id: Option<String>,
        node_ids: Option<Vec<String>>,
        add: Option<Vec<String>>,
        remove: Option<Vec<String>>,
        session: Option<u64>,
        sequence: Option<u64>,
        acknowledged: Option<u64>,
        key: Option<u64>,
        value: Option<Value>,
        from: Option<Value>,
        to: Option<Value>,
    }
}

/// An `init` for a node of a cluster with this many initial members, with a line feed.
pub fn init(number: u64, node: Node, initial: usize) -> Vec<u8> {
    let names = (0..initial).map(|node| Node(node).to_string());
    let body = RequestBody {
        node_id: Some(node.to_string()),
        node_ids: Some(names.collect()),
        ..request_body("init", INIT_ID)
    };
    line(number, init_client(node), node, body)
}

/// A `status` for a node on a network, which takes the place of `init`, with a line feed.
pub fn status(number: u64, node: Node) -> Vec<u8> {
    let body = request_body("status", INIT_ID);
    line(number, init_client(node), node, body)
}

/// A request for a leadership transfer to a node, or to one that the leader chooses, with a line
/// feed.
pub fn transfer(number: u64, leader: Node, to: Option<Node>) -> Vec<u8> {
    let body = RequestBody {
        to: to.map(|to| to.to_string().into()),
        ..request_body("transfer", TRANSFER_ID)
    };
    line(number, init_client(leader), leader, body)
}

/// A request to the leader for a change of the members, with a line feed. The node to add is known to
/// the others by the name or address `added`.
pub fn change(number: u64, leader: Node, change: &Change, added: Option<String>) -> Vec<u8> {
    let removed = change.remove.map(|node| node.to_string());
    let id = MessageId(CHANGE_ID.0 + change.number);
    let body = RequestBody {
        add: Some(added.into_iter().collect()),
        remove: Some(removed.into_iter().collect()),
        ..request_body("change_members", id)
    };
    line(number, init_client(leader), leader, body)
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
    let mut body = request_body(kind(asked, request), asked.id);
    if let Sent::InSession(Session { id, sequence }) = asked.sent {
        body.session = Some(id);
        body.sequence = Some(sequence);
        // A client has one change at a time, so it has the answers to all before it.
        body.acknowledged = Some(sequence);
    }
    if asked.sent != Sent::OpenSession {
        body.key = Some(request.key);
        match &request.call {
            Call::Read | Call::Delete => {}
            Call::Write(new) => body.value = Some(new.clone()),
            Call::Cas { from, to } => {
                body.from = Some(from.clone());
                body.to = Some(to.clone());
            }
        }
    }
    let client = format!("c{}", nodes as u64 + asked.process.0);
    line(number, client, asked.node, body)
}

/// A message between servers as its receiver gets it, with a line feed.
pub fn forward(number: u64, source: Node, dest: Node, envelope: &Envelope<'_>) -> Vec<u8> {
    line(number, source.to_string(), dest, envelope.body)
}

fn request_body(kind: &str, id: MessageId) -> RequestBody<'_> {
    RequestBody {
        kind: kind.into(),
        msg_id: id.0,
        ..RequestBody::default()
    }
}

fn line(number: u64, src: String, dest: Node, body: impl json::Encode) -> Vec<u8> {
    let mut line = json::encode(&Message {
        id: number,
        src,
        dest: dest.to_string(),
        body,
    });
    line.push(b'\n');
    line
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
        let mut more = reader.enter_object().map_err(json)?;
        while more {
            let key = reader.key().map_err(json)?;
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
            more = reader.more_members().map_err(json)?;
        }
        body.kind = kind.ok_or("its body has no type")?;
        Ok(body)
    }

    /// Says that an answer to this request has another type.
    fn is_not_for(&self, asked: &str) -> String {
        let kind = &self.kind;
        format!("its type is {kind:?}, but {asked} is answered by {asked}_ok")
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
