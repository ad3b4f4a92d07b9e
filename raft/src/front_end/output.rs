//! Everything that the node writes: lines to peers and clients, log lines, and their metrics.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use json::Encode;
use raft_core::{Envelope, Message, NodeId};

use crate::host::Outbox;
use crate::kv::{Key, Kv};
use crate::named::named;
use crate::node::address::name_in;
use crate::node::address_book::AddressBook;
use crate::requests::{Body, ErrorCode, InvalidRequest, Line, Reply, Request};
use crate::sessions::Sessions;
use crate::telemetry::log::{Log, Sparse};
use crate::telemetry::{Labels, Telemetry};
use crate::wire;

/// A line for a peer or a client.
#[derive(Debug)]
pub(crate) enum OutputLine {
    /// A message to a peer.
    Message {
        src: Arc<str>,
        /// The peer's address, which has its name.
        dest: Arc<str>,
        envelope: Envelope<Sessions<Kv>>,
    },
    /// A reply to a request.
    Reply {
        src: Arc<str>,
        dest: Arc<str>,
        reply: Reply,
    },
}

/// Takes the replies to a client, and is closed once no more can come: when the reader of its
/// requests and all of their [`ReplyTo`] are gone.
#[derive(Debug)]
pub(crate) struct Replies(pub(crate) Arc<Outbox<OutputLine>>);

impl Drop for Replies {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Where the reply to a request goes, and what metrics need to know of the request.
#[derive(Clone, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) replies: Arc<Replies>,
    pub(crate) src: Arc<str>,
    /// The name by which the sender addressed this node.
    pub(crate) dest: Arc<str>,
    pub(crate) msg_id: i64,
    pub(crate) kind: &'static str,
    pub(crate) since: Instant,
}

impl ReplyTo {
    pub(crate) fn new(replies: &Arc<Replies>, src: &str, dest: &str, request: &Request) -> Self {
        Self {
            replies: replies.clone(),
            src: Arc::from(src),
            dest: Arc::from(dest),
            msg_id: request.msg_id,
            kind: request.kind,
            since: Instant::now(),
        }
    }
}

/// This node, and the others that it knows.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) name: Arc<str>,
    pub(crate) id: NodeId,
    pub(crate) book: Arc<AddressBook>,
}

/// How messages reach peers. Clones share the routes.
pub(crate) trait Routes: Clone + Send + 'static {
    /// Takes messages of this lane for the node at this address. `None` if it cannot be reached.
    fn outbox(&self, address: &Arc<str>, lane: Lane) -> Option<Arc<Outbox<OutputLine>>>;

    /// Called after each turn of the event loop.
    fn observe(&self);
}

json::record! {
    /// What a peer sends on a connection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum Lane {
        /// Everything that is not a chunk.
        Messages as "messages",
        /// Chunks of snapshots. On a connection of their own they delay no message.
        Chunks as "chunks",
    }
}

/// The metrics, the log and what was dropped.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) log: Log,
    dropped: Arc<Mutex<[Sparse; DropReason::ALL.len()]>>,
}

impl Output {
    /// An output with metrics of its own.
    pub(crate) fn new(log: &Log) -> Self {
        let codes = ErrorCode::ALL.map(ErrorCode::as_str);
        let telemetry = Telemetry::new(Labels {
            messages: &[wire::KINDS, Body::KINDS, Reply::KINDS].concat(),
            requests: Body::KINDS,
            results: &[&[OK], &codes[..]].concat(),
            reasons: &DropReason::ALL.map(DropReason::as_str),
        });
        telemetry.watch_log(log.clone());
        Self {
            telemetry: Arc::new(telemetry),
            log: log.clone(),
            dropped: Arc::default(),
        }
    }

    /// Sends messages to peers. Drops those to nodes whose address is not known.
    pub(crate) fn send(
        &self,
        me: &Me,
        routes: &impl Routes,
        messages: Vec<Envelope<Sessions<Kv>>>,
    ) {
        let mut batches = Vec::new();
        for envelope in messages {
            let size = wire::size(&envelope.message, Sessions::<Kv>::outcome_size);
            let lane = match matches!(envelope.message, Message::SnapshotChunk(_)) {
                true => Lane::Chunks,
                false => Lane::Messages,
            };
            let address = me.book.address(envelope.to);
            let route = address.and_then(|address| Some((routes.outbox(&address, lane)?, address)));
            let Some((outbox, dest)) = route else {
                self.telemetry.unaddressed.increment();
                continue;
            };
            let message = OutputLine::Message {
                src: me.name.clone(),
                dest,
                envelope,
            };
            add(&mut batches, outbox, (message, size));
        }
        for (outbox, batch) in batches {
            outbox.send(batch);
        }
    }

    /// Answers requests.
    pub(crate) fn answer(
        &self,
        answers: impl IntoIterator<Item = (ReplyTo, Result<Reply, (ErrorCode, String)>)>,
    ) {
        let now = Instant::now();
        let mut batches = Vec::new();
        for (reply_to, result) in answers {
            let outcome = match &result {
                Ok(_) => OK,
                Err((code, _)) => code.as_str(),
            };
            let after = now.saturating_duration_since(reply_to.since);
            self.telemetry.answered(reply_to.kind, outcome, Some(after));
            let reply = result.unwrap_or_else(|(code, text)| Reply::Error {
                in_reply_to: Some(reply_to.msg_id),
                code: code.number(),
                text,
            });
            let line = sized(reply_to.dest, reply_to.src, reply);
            add(&mut batches, reply_to.replies, line);
        }
        for (replies, batch) in batches {
            replies.0.answer(batch);
        }
    }

    /// Answers an invalid request.
    pub(crate) fn answer_invalid(
        &self,
        replies: &Replies,
        src: Arc<str>,
        dest: Arc<str>,
        error: InvalidRequest,
    ) {
        let kind = error.kind.unwrap_or(metrics::OTHER);
        self.telemetry.answered(kind, error.code.as_str(), None);
        let reply = Reply::Error {
            in_reply_to: error.in_reply_to,
            code: error.code.number(),
            text: error.text,
        };
        replies.0.answer([sized(dest, src, reply)]);
    }

    /// Counts a dropped line, and logs a bounded number of them.
    pub(crate) fn drop_line(&self, reason: DropReason, text: impl Display) {
        let name = reason.as_str();
        self.telemetry.dropped(name);
        // A count is right after every statement.
        let mut counts = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts[reason as usize].count();
        drop(counts);
        let log = &self.log;
        match count {
            Some(count) => log.warn(format_args!(
                "dropped a line ({name}, {count} so far): {text}"
            )),
            None => log.debug(format_args!("dropped a line ({name}): {text}")),
        }
    }

    /// Writes what the outbox gets, until it is closed.
    ///
    /// # Errors
    /// Those of the stream.
    pub(crate) fn write(&self, outbox: &Outbox<OutputLine>, stream: impl Write) -> io::Result<()> {
        outbox.write_to(stream, |line, buffer| self.encode(line, buffer))
    }

    /// Encodes a line with its end.
    fn encode(&self, output: OutputLine, buffer: &mut Vec<u8>) {
        match output {
            OutputLine::Message {
                src,
                dest,
                envelope,
            } => {
                self.telemetry.sent(envelope.message.kind());
                line(&src, name_in(&dest), wire::body(envelope), buffer);
            }
            OutputLine::Reply { src, dest, reply } => {
                self.telemetry.sent(reply.kind());
                line(&src, &dest, reply, buffer);
            }
        }
    }
}

/// The result of a successful request in metrics.
pub(crate) const OK: &str = "ok";

/// Lines with their sizes, for each receiver.
type Batches<R> = Vec<(Arc<R>, Vec<(OutputLine, usize)>)>;

/// Adds a line, with its size, to those for the same receiver, which leave in one write.
fn add<R>(batches: &mut Batches<R>, receiver: Arc<R>, line: (OutputLine, usize)) {
    match batches
        .iter_mut()
        .find(|(other, _)| Arc::ptr_eq(other, &receiver))
    {
        Some((_, batch)) => batch.push(line),
        None => batches.push((receiver, vec![line])),
    }
}

/// A reply as a line, with its approximate size.
fn sized(src: Arc<str>, dest: Arc<str>, reply: Reply) -> (OutputLine, usize) {
    /// The bytes of the other fields of a line.
    const FRAME: usize = 128;
    let content = match &reply {
        Reply::ReadOk { value, .. } => value.size(),
        Reply::KeysOk { keys, .. } => keys.iter().map(Key::size).sum(),
        Reply::StatusOk {
            voters, learners, ..
        } => voters.iter().chain(learners).map(String::len).sum(),
        // A name, a place, an id and a standing each.
        Reply::MembersOk { members, .. } => members.len() * 512,
        Reply::Error { text, .. } => text.len(),
        Reply::BackupOk { data, .. } => data.0.len() / 3 * 4,
        Reply::InitOk { .. }
        | Reply::WriteOk { .. }
        | Reply::CasOk { .. }
        | Reply::DeleteOk { .. }
        | Reply::OpenSessionOk { .. }
        | Reply::CloseSessionOk { .. }
        | Reply::TransferOk { .. }
        | Reply::ChangeMembersOk { .. }
        | Reply::SnapshotOk { .. } => 0,
    };
    let size = FRAME + src.len() + dest.len() + content;
    (OutputLine::Reply { src, dest, reply }, size)
}

fn line(src: &str, dest: &str, body: impl Encode, buffer: &mut Vec<u8>) {
    let (src, dest) = (Cow::Borrowed(src), Cow::Borrowed(dest));
    json::encode_into(&Line { src, dest, body }, buffer);
    buffer.push(b'\n');
}

named! {
    /// Why an input line was dropped.
    pub(crate) enum DropReason {
        /// Longer than any line may be.
        TooLong as "too_long",
        /// Not JSON, or not a message.
        BadLine as "bad_line",
        /// For another node, by name or by id.
        Misrouted as "misrouted",
        /// From an unknown sender.
        UnknownSender as "unknown_sender",
        /// A message of an unknown version.
        UnknownVersion as "unknown_version",
        /// A message of an unknown type.
        UnknownType as "unknown_type",
        /// An invalid message of a known type.
        Malformed as "malformed",
        /// A reply to a request that this node never sent.
        Reply as "reply",
        /// From the other end of a connection that did not prove who it is.
        Unproven as "unproven",
        /// Arrived before `init`, and the queue was full.
        Early as "before_init",
    }
}
