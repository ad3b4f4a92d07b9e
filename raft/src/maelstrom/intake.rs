//! After `init`: what comes in goes to the event loop.

use std::io::{self, Read};
use std::sync::Arc;

use json::Raw;
use raft_core::NodeId;

use super::body::{Code, Content, Refused, Reply, Request, clipped, memory};
use super::init::{Early, asker, is_client, open};
use super::lines::{Line, Lines};
use super::names::Names;
use super::voice::{Asker, Discards, Reason, Voice};
use crate::host::{self, Inbox};
use crate::kv::Kv;
use crate::wire::{self, Unreadable};

/// Reads lines, and never waits for anything else.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) names: Arc<Names>,
    pub(crate) inbox: Arc<Inbox<Kv, Asker>>,
    pub(crate) voice: Voice,
    pub(crate) discards: Discards,
}

impl Intake {
    /// Takes in what came early and then all lines to the end.
    pub(crate) fn run<R: Read>(&mut self, early: Early, lines: &mut Lines<R>) -> io::Result<()> {
        for line in early.into_lines() {
            self.line(&line);
        }
        while let Some(line) = lines.next()? {
            match line {
                Line::Whole(line) => self.line(line),
                Line::TooLong(length) => {
                    self.discard(Reason::TooLong, format_args!("{length} bytes"));
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) {
        let super::body::Line { src, dest, body } = match open(line) {
            Ok(line) => line,
            Err(error) => return self.discard(Reason::BadLine, error),
        };
        if dest != self.names.me() {
            let text = format!("it is for {:?}", clipped(&dest));
            return self.discard(Reason::Misrouted, text);
        }
        match self.names.id(&src) {
            Some(peer) => self.message(peer, &src, &dest, body, line.len()),
            None if is_client(&src) => self.request(&src, &dest, body, line.len()),
            None => {
                let text = format!("it is from {:?}", clipped(&src));
                self.discard(Reason::UnknownSender, text);
            }
        }
    }

    /// Something that a node says. It may be a client, too.
    fn message(&mut self, peer: NodeId, src: &str, dest: &str, body: Raw<'_>, bytes: usize) {
        match wire::decode(peer, self.names.my_id(), body) {
            Ok(envelope) => {
                self.voice.telemetry.received(envelope.message.kind());
                self.inbox.deliver(envelope, bytes);
            }
            Err(Unreadable::Version(version)) => {
                let text = format_args!("version {version} from {src}");
                self.discard(Reason::UnknownVersion, text);
            }
            Err(Unreadable::Kind) => {
                self.discard(Reason::UnknownType, format_args!("from {src}"));
            }
            Err(Unreadable::Malformed(error)) => {
                self.discard(Reason::Malformed, format_args!("from {src}: {error}"));
            }
            Err(Unreadable::Foreign) => self.request(src, dest, body, bytes),
        }
    }

    fn request(&mut self, src: &str, dest: &str, body: Raw<'_>, bytes: usize) {
        let request = match Request::parse(body, bytes) {
            Ok(request) => request,
            Err(Refused::Reply) => {
                return self.discard(Reason::Reply, format_args!("from {src:?}"));
            }
            Err(Refused::Failed(failure)) if failure.in_reply_to.is_none() && !is_client(src) => {
                return self.discard(
                    Reason::Malformed,
                    format_args!("from {src}: {}", failure.text),
                );
            }
            Err(Refused::Failed(failure)) => {
                let (src, dest) = (Arc::from(src), Arc::from(dest));
                return self.voice.fail(src, dest, failure);
            }
        };
        self.voice.telemetry.received(request.kind.as_str());
        let asker = asker(src, dest, &request);
        match request.content {
            Content::Init { node_id, node_ids } => {
                let result = self.init_again(asker.msg_id, &node_id, node_ids);
                self.voice.answer([(asker, result)]);
            }
            Content::Wish(wish) => {
                let bytes = bytes.max(memory(&wish));
                let request = host::Request { asker, wish };
                if let Err(request) = self.inbox.submit(request, bytes) {
                    let text = "too many requests are under way".to_owned();
                    let result = Err((Code::TemporarilyUnavailable, text));
                    self.voice.answer([(request.asker, result)]);
                }
            }
        }
    }

    /// A node stays who it is.
    fn init_again(
        &self,
        in_reply_to: i64,
        node_id: &str,
        node_ids: Vec<String>,
    ) -> Result<Reply, (Code, String)> {
        match Names::new(node_id, node_ids) {
            Ok(names) if names == *self.names => Ok(Reply::InitOk { in_reply_to }),
            Ok(_) => {
                let me = self.names.me();
                let text = format!("this node is {me}, of another cluster or by another name");
                Err((Code::PreconditionFailed, text))
            }
            Err(unfit) => Err((Code::MalformedRequest, unfit.to_string())),
        }
    }

    fn discard(&mut self, reason: Reason, text: impl std::fmt::Display) {
        self.discards.note(&self.voice, reason, text);
    }
}
