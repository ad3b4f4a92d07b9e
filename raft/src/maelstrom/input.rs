//! After `init`: passes input lines to the event loop.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use json::Raw;
use raft_core::{Refusal, Response};

use super::init::{Early, is_client, member, open, reply_to};
use super::lines::{Lines, RawLine};
use super::output::{DropReason, DroppedLines, Me, Output, ReplyTo};
use crate::host::shared::Viewer;
use crate::host::{ClientRequest, Inbox};
use crate::kv::Kv;
use crate::node::Member;
use crate::node::address::MAX_NAME;
use crate::requests::{self, ErrorCode, Invalid, Line, Reply, Request, RequestContent, size};
use crate::sessions::Sessions;
use crate::stdio::clipped;
use crate::wire::{self, Unreadable};

/// How long a request for the status waits for the end of a step.
const PATIENCE: Duration = Duration::from_millis(100);

/// The reader of stdin. It never waits for anything but lines.
#[derive(Debug)]
pub(crate) struct Input {
    /// The node that `init` named.
    pub(crate) member: Member,
    pub(crate) me: Me,
    pub(crate) inbox: Arc<Inbox<Sessions<Kv>, ReplyTo>>,
    pub(crate) viewer: Viewer<Sessions<Kv>>,
    pub(crate) output: Output,
    pub(crate) dropped: DroppedLines,
}

impl Input {
    /// Handles the early lines and then all lines to the end of input.
    pub(crate) fn run<R: Read>(&mut self, early: Early, lines: &mut Lines<R>) -> io::Result<()> {
        for line in early.into_lines() {
            self.line(&line);
        }
        while let Some(line) = lines.next()? {
            match line {
                RawLine::Whole(line) => self.line(line),
                RawLine::TooLong(length) => {
                    self.drop_line(
                        DropReason::TooLong,
                        format_args!("{length} bytes; the limit is {}", wire::MAX_LINE),
                    );
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) {
        let Line { src, dest, body } = match open(line) {
            Ok(line) => line,
            Err(error) => return self.drop_line(DropReason::BadLine, error),
        };
        if *dest != *self.me.name {
            let text = format!("its dest is {:?}, not this node", clipped(&dest));
            return self.drop_line(DropReason::Misrouted, text);
        }
        if is_client(&src) && self.me.book.id(&src).is_none() {
            self.request(&src, &dest, body, line.len());
        } else if src.len() <= MAX_NAME {
            self.message(&src, &dest, body, line.len());
        } else {
            let text = format!("its src is {:?}, a name too long", clipped(&src));
            self.drop_line(DropReason::UnknownSender, text);
        }
    }

    /// Handles a line of a peer. A node may not know its leader, or a candidate, by its own log
    /// (thesis §4.1). A member may send clients' requests, too.
    fn message(&mut self, src: &str, dest: &str, body: Raw<'_>, bytes: usize) {
        match wire::decode(body) {
            Ok(envelope) if envelope.to != self.me.id => {
                let text = format!(
                    "from {src} to the member {}, but this is the member {}: the cluster has added \
                     a node with this name again; remove this one's data folder, so that it \
                     begins as the new one",
                    envelope.to, self.me.id
                );
                self.drop_line(DropReason::Misrouted, text);
            }
            Ok(envelope) => {
                self.me.book.heard(envelope.from, src);
                self.output.telemetry.received(envelope.message.kind());
                let bytes = bytes.max(wire::size(&envelope.message, Sessions::<Kv>::outcome_size));
                self.inbox.deliver(envelope, bytes);
            }
            Err(Unreadable::Version(version)) => {
                let text = format_args!(
                    "version {version} from {src}; this node speaks version {}",
                    wire::VERSION
                );
                self.drop_line(DropReason::UnknownVersion, text);
            }
            Err(Unreadable::Kind) => {
                self.drop_line(DropReason::UnknownType, format_args!("from {src}"));
            }
            Err(Unreadable::Malformed(error)) => {
                self.drop_line(DropReason::Malformed, format_args!("from {src}: {error}"));
            }
            Err(Unreadable::Foreign) if self.me.book.id(src).is_some() => {
                self.request(src, dest, body, bytes);
            }
            Err(Unreadable::Foreign) => {
                let text = format!("its src is {src:?}, neither a client nor a member");
                self.drop_line(DropReason::UnknownSender, text);
            }
        }
    }

    fn request(&mut self, src: &str, dest: &str, body: Raw<'_>, bytes: usize) {
        let request = match Request::parse(body, bytes) {
            Ok(request) => request,
            Err(Invalid::Reply) => {
                return self.drop_line(DropReason::Reply, format_args!("from {src:?}"));
            }
            Err(Invalid::Answered(error)) if error.in_reply_to.is_none() && !is_client(src) => {
                return self.drop_line(
                    DropReason::Malformed,
                    format_args!("from {src}: {}", error.text),
                );
            }
            Err(Invalid::Answered(error)) => {
                let (src, dest) = (Arc::from(src), Arc::from(dest));
                return self.output.answer_invalid(src, dest, error);
            }
        };
        self.output.telemetry.received(request.kind.as_str());
        let reply_to = reply_to(src, dest, &request);
        match request.content {
            RequestContent::Init { node_id, node_ids } => {
                let result = self.init_again(reply_to.msg_id, &node_id, node_ids);
                self.output.answer([(reply_to, result)]);
            }
            RequestContent::Client(request) => self.submit(reply_to, request, bytes),
            RequestContent::Status => {
                let result = self.status(reply_to.msg_id);
                self.output.answer([(reply_to, result)]);
            }
            RequestContent::Transfer { to } => {
                match to
                    .map(|name| self.me.book.id(&name).ok_or(name))
                    .transpose()
                {
                    Ok(to) => self.submit(reply_to, ClientRequest::Transfer(to), bytes),
                    Err(name) => {
                        let name = clipped(&name);
                        let text = format!("\"to\" is {name:?}, which is not a node's name");
                        let result = Err((ErrorCode::MalformedRequest, text));
                        self.output.answer([(reply_to, result)]);
                    }
                }
            }
        }
    }

    fn submit(&self, reply_to: ReplyTo, request: ClientRequest<Sessions<Kv>>, bytes: usize) {
        let bytes = bytes.max(size(&request));
        if let Err(reply_to) = self.inbox.submit(reply_to, request, bytes) {
            let refused = Response::Refused(Refusal::Full);
            let result = requests::reply(reply_to.msg_id, refused, |id| self.me.book.name(id));
            self.output.answer([(reply_to, result)]);
        }
    }

    /// This node's own state, whatever the event loop and the other nodes do.
    fn status(&self, in_reply_to: i64) -> Result<Reply, (ErrorCode, String)> {
        match self.viewer.status_within(PATIENCE) {
            Some(status) => {
                let name = |id| self.me.book.name(id);
                Ok(requests::status(in_reply_to, &self.me.name, &status, name))
            }
            None => {
                let text = "the node is busy with a long step; try again".to_owned();
                Err((ErrorCode::TemporarilyUnavailable, text))
            }
        }
    }

    /// Answers a repeated `init`, which must have the same content.
    fn init_again(
        &self,
        in_reply_to: i64,
        node_id: &str,
        node_ids: Vec<String>,
    ) -> Result<Reply, (ErrorCode, String)> {
        match member(node_id, node_ids) {
            Ok(member) if member == self.member => Ok(Reply::InitOk { in_reply_to }),
            Ok(_) => {
                let me = &self.me.name;
                let text = format!(
                    "already initialised as {me}; this init has another node_id or other node_ids"
                );
                Err((ErrorCode::PreconditionFailed, text))
            }
            Err(text) => Err((ErrorCode::MalformedRequest, text)),
        }
    }

    fn drop_line(&mut self, reason: DropReason, text: impl std::fmt::Display) {
        self.dropped.count(&self.output, reason, text);
    }
}
