//! All that the node says goes through here.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use json::Encode;
use raft_core::Envelope;

use super::body::{Code, Failure, Kind, Line, Reply};
use super::names::Names;
use crate::host::Outbox;
use crate::kv::{self, Kv};
use crate::telemetry::Telemetry;
use crate::telemetry::log::{Log, Sparse};
use crate::wire;

/// What a line of output says.
#[derive(Debug)]
pub(crate) enum Said {
    /// Something to a peer.
    Message(Arc<Names>, Envelope<Kv>),
    /// Something to whoever asked.
    Reply {
        src: Arc<str>,
        dest: Arc<str>,
        reply: Reply,
    },
}

/// Who asked for what, and when. A reply is sent to nobody else.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) src: Arc<str>,
    /// What it takes this node for.
    pub(crate) dest: Arc<str>,
    pub(crate) msg_id: i64,
    pub(crate) kind: Kind,
    pub(crate) since: Instant,
}

/// The way to stdout and stderr, and what is counted on it.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    pub(crate) outbox: Arc<Outbox<Said>>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) log: Log,
}

impl Voice {
    /// Tells peers.
    pub(crate) fn tell(&self, names: &Arc<Names>, messages: Vec<Envelope<Kv>>) {
        let sized = messages.into_iter().map(|envelope| {
            let size = wire::size(&envelope.message);
            (Said::Message(names.clone(), envelope), size)
        });
        self.outbox.send(sized);
    }

    /// Answers requests.
    pub(crate) fn answer(
        &self,
        answers: impl IntoIterator<Item = (Asker, Result<Reply, (Code, String)>)>,
    ) {
        let now = Instant::now();
        self.outbox
            .answer(answers.into_iter().map(|(asker, result)| {
                let outcome = match &result {
                    Ok(_) => OK,
                    Err((code, _)) => code.as_str(),
                };
                let after = now.saturating_duration_since(asker.since);
                self.telemetry
                    .answered(asker.kind.as_str(), outcome, Some(after));
                let reply = result.unwrap_or_else(|(code, text)| Reply::Error {
                    in_reply_to: Some(asker.msg_id),
                    code: code.number(),
                    text,
                });
                said(asker.dest, asker.src, reply)
            }));
    }

    /// Tells the sender of a body that is no request why it is none.
    pub(crate) fn fail(&self, src: Arc<str>, dest: Arc<str>, failure: Failure) {
        let Failure {
            in_reply_to,
            kind,
            code,
            text,
        } = failure;
        let kind = kind.map_or(metrics::OTHER, Kind::as_str);
        self.telemetry.answered(kind, code.as_str(), None);
        let code = code.number();
        let reply = Reply::Error {
            in_reply_to,
            code,
            text,
        };
        self.outbox.answer([said(dest, src, reply)]);
    }

    /// Encodes a line, with its end.
    pub(crate) fn encode(&self, said: Said, buffer: &mut Vec<u8>) {
        match said {
            Said::Message(names, envelope) => {
                self.telemetry.sent(envelope.message.kind());
                let (from, to, body) = wire::body(envelope);
                // The core speaks to members only, and names has them all.
                if let (Some(src), Some(dest)) = (names.name(from), names.name(to)) {
                    line(src, dest, body, buffer);
                }
            }
            Said::Reply { src, dest, reply } => {
                self.telemetry.sent(reply.as_str());
                line(&src, &dest, reply, buffer);
            }
        }
    }
}

/// What a request that went well came to, as metrics have it.
pub(crate) const OK: &str = "ok";

impl Reply {
    /// All values of [`Reply::as_str`].
    pub(crate) const ALL: [&str; 5] = ["init_ok", "read_ok", "write_ok", "cas_ok", "error"];

    /// Its `type`.
    fn as_str(&self) -> &'static str {
        match self {
            Self::InitOk { .. } => "init_ok",
            Self::ReadOk { .. } => "read_ok",
            Self::WriteOk { .. } => "write_ok",
            Self::CasOk { .. } => "cas_ok",
            Self::Error { .. } => "error",
        }
    }
}

fn said(src: Arc<str>, dest: Arc<str>, reply: Reply) -> (Said, usize) {
    /// What the other fields of a line take.
    const FRAME: usize = 128;
    let content = match &reply {
        Reply::ReadOk { value, .. } => kv::size(value),
        Reply::Error { text, .. } => text.len(),
        Reply::InitOk { .. } | Reply::WriteOk { .. } | Reply::CasOk { .. } => 0,
    };
    let size = FRAME + src.len() + dest.len() + content;
    (Said::Reply { src, dest, reply }, size)
}

fn line(src: &str, dest: &str, body: impl Encode, buffer: &mut Vec<u8>) {
    let (src, dest) = (Cow::Borrowed(src), Cow::Borrowed(dest));
    json::encode_into(&Line { src, dest, body }, buffer);
    buffer.push(b'\n');
}

/// Why a line of input comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is longer than any line may be.
    TooLong,
    /// It is no JSON, or not a message.
    BadLine,
    /// It is for another node.
    Misrouted,
    /// It comes from nobody who is known.
    UnknownSender,
    /// It is a message of another version.
    UnknownVersion,
    /// It is a message of another kind.
    UnknownType,
    /// It is a message of a known kind that makes no sense.
    Malformed,
    /// It answers something that was never asked.
    Reply,
    /// It came before `init`, and there was no room.
    Early,
}

impl Reason {
    pub(crate) const ALL: [Self; 9] = [
        Self::TooLong,
        Self::BadLine,
        Self::Misrouted,
        Self::UnknownSender,
        Self::UnknownVersion,
        Self::UnknownType,
        Self::Malformed,
        Self::Reply,
        Self::Early,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::BadLine => "bad_line",
            Self::Misrouted => "misrouted",
            Self::UnknownSender => "unknown_sender",
            Self::UnknownVersion => "unknown_version",
            Self::UnknownType => "unknown_type",
            Self::Malformed => "malformed",
            Self::Reply => "reply",
            Self::Early => "before_init",
        }
    }
}

/// Counts dropped lines, and says so without filling anybody's disk.
#[derive(Debug, Default)]
pub(crate) struct Discards {
    counts: [Sparse; Reason::ALL.len()],
}

impl Discards {
    /// A line is dropped, for this reason and with this explanation.
    pub(crate) fn note(&mut self, voice: &Voice, reason: Reason, text: impl std::fmt::Display) {
        voice.telemetry.dropped(reason.as_str());
        let name = reason.as_str();
        match self.counts[reason as usize].count() {
            Some(count) => voice.log.warn(format_args!(
                "dropped a line ({name}, number {count}): {text}"
            )),
            None => voice
                .log
                .debug(format_args!("dropped a line ({name}): {text}")),
        }
    }
}
