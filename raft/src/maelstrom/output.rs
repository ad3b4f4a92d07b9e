//! Everything that the node writes: lines on stdout, log lines on stderr, and their metrics.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use json::Encode;
use raft_core::{Envelope, NodeId};

use crate::host::Outbox;
use crate::kv::{Key, Kv};
use crate::named::named;
use crate::node::address_book::AddressBook;
use crate::requests::{ErrorCode, InvalidRequest, Line, Reply, RequestKind};
use crate::sessions::Sessions;
use crate::telemetry::Telemetry;
use crate::telemetry::log::{Log, Sparse};
use crate::wire;

/// A line for stdout.
#[derive(Debug)]
pub(crate) enum OutputLine {
    /// A message to a peer.
    Message {
        src: Arc<str>,
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

/// Where the reply to a request goes, and what metrics need to know of the request.
#[derive(Clone, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) src: Arc<str>,
    /// The name by which the sender addressed this node.
    pub(crate) dest: Arc<str>,
    pub(crate) msg_id: i64,
    pub(crate) kind: RequestKind,
    pub(crate) since: Instant,
}

/// This node, and the others that it knows.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) name: Arc<str>,
    pub(crate) id: NodeId,
    pub(crate) book: Arc<AddressBook>,
}

/// Stdout, stderr and the metrics.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) outbox: Arc<Outbox<OutputLine>>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) log: Log,
}

impl Output {
    /// Sends messages to peers. Drops those to nodes whose address is not known.
    pub(crate) fn send(&self, me: &Me, messages: Vec<Envelope<Sessions<Kv>>>) {
        let sized = messages.into_iter().filter_map(|envelope| {
            let size = wire::size(&envelope.message, Sessions::<Kv>::outcome_size);
            let Some(dest) = me.book.address(envelope.to) else {
                self.telemetry.unaddressed();
                return None;
            };
            let src = me.name.clone();
            let message = OutputLine::Message {
                src,
                dest,
                envelope,
            };
            Some((message, size))
        });
        self.outbox.send(sized);
    }

    /// Answers requests.
    pub(crate) fn answer(
        &self,
        answers: impl IntoIterator<Item = (ReplyTo, Result<Reply, (ErrorCode, String)>)>,
    ) {
        let now = Instant::now();
        self.outbox
            .answer(answers.into_iter().map(|(reply_to, result)| {
                let outcome = match &result {
                    Ok(_) => OK,
                    Err((code, _)) => code.as_str(),
                };
                let after = now.saturating_duration_since(reply_to.since);
                self.telemetry
                    .answered(reply_to.kind.as_str(), outcome, Some(after));
                let reply = result.unwrap_or_else(|(code, text)| Reply::Error {
                    in_reply_to: Some(reply_to.msg_id),
                    code: code.number(),
                    text,
                });
                sized(reply_to.dest, reply_to.src, reply)
            }));
    }

    /// Answers an invalid request.
    pub(crate) fn answer_invalid(&self, src: Arc<str>, dest: Arc<str>, error: InvalidRequest) {
        let kind = error.kind.map_or(metrics::OTHER, RequestKind::as_str);
        self.telemetry.answered(kind, error.code.as_str(), None);
        let reply = Reply::Error {
            in_reply_to: error.in_reply_to,
            code: error.code.number(),
            text: error.text,
        };
        self.outbox.answer([sized(dest, src, reply)]);
    }

    /// Encodes a line with its end.
    pub(crate) fn encode(&self, output: OutputLine, buffer: &mut Vec<u8>) {
        match output {
            OutputLine::Message {
                src,
                dest,
                envelope,
            } => {
                self.telemetry.sent(envelope.message.kind());
                line(&src, &dest, wire::body(envelope), buffer);
            }
            OutputLine::Reply { src, dest, reply } => {
                self.telemetry.sent(reply.kind().as_str());
                line(&src, &dest, reply, buffer);
            }
        }
    }
}

/// The result of a successful request in metrics.
pub(crate) const OK: &str = "ok";

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
        Reply::Error { text, .. } => text.len(),
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
        /// Arrived before `init`, and the queue was full.
        Early as "before_init",
    }
}

/// Counts dropped lines, and logs a bounded number of them.
#[derive(Debug, Default)]
pub(crate) struct DroppedLines {
    counts: [Sparse; DropReason::ALL.len()],
}

impl DroppedLines {
    /// Counts a dropped line.
    pub(crate) fn count(
        &mut self,
        output: &Output,
        reason: DropReason,
        text: impl std::fmt::Display,
    ) {
        output.telemetry.dropped(reason.as_str());
        let name = reason.as_str();
        match self.counts[reason as usize].count() {
            Some(count) => output.log.warn(format_args!(
                "dropped a line ({name}, {count} so far): {text}"
            )),
            None => output
                .log
                .debug(format_args!("dropped a line ({name}): {text}")),
        }
    }
}
