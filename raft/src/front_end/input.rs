//! Passes the bodies of lines to the event loop.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use json::Raw;
use raft_core::{Envelope, Message, NodeId, Refusal, Response};

use super::backup::Backup;
use super::output::{DropReason, Me, Output, Replies, ReplyTo};
use crate::host::shared::Viewer;
use crate::host::{ClientRequest, Inbox};
use crate::kv::Kv;
use crate::node::address::name_in;
use crate::node::{Member, Node};
use crate::requests::{
    self, ErrorCode, Invalid, InvalidRequest, Reply, Request, RequestContent, size,
};
use crate::sessions::Sessions;
use crate::stdio::clipped;
use crate::storage::{OpenSnapshot, Snapshots};
use crate::wire::{self, Unreadable};

/// How long a request for the status waits for the end of a step.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// Passes the bodies of lines to the event loop. It never waits for it, and for the disk only in
/// a backup.
#[derive(Debug)]
pub(crate) struct Input {
    /// The node, for those that ask again to make it this member.
    pub(crate) member: Member,
    pub(crate) me: Me,
    pub(super) inbox: Arc<Inbox<Sessions<Kv>, ReplyTo>>,
    pub(super) viewer: Viewer<Sessions<Kv>>,
    pub(super) snapshots: Snapshots,
    /// The snapshot of the one backup that may be under way.
    pub(super) place_of_backup: Mutex<Weak<OpenSnapshot>>,
    pub(crate) output: Output,
}

impl Input {
    /// Passes bodies to this node, which is this member.
    pub(crate) fn new(member: Member, node: &Node<ReplyTo>, output: Output) -> Self {
        let me = Me {
            name: member.name.as_str().into(),
            id: node.id,
            book: node.book.clone(),
        };
        Self {
            member,
            me,
            inbox: node.inbox.clone(),
            viewer: node.viewer.clone(),
            snapshots: node.snapshots.snapshots.clone(),
            place_of_backup: Mutex::default(),
            output,
        }
    }

    /// Handles a body from the node at this address. That may be none that this node's log knows: its
    /// leader, or a candidate (thesis §4.1). Returns whether the body is a message of a peer.
    pub(crate) fn message(&self, address: &str, body: Raw<'_>, bytes: usize) -> bool {
        let src = name_in(address);
        let (reason, text) = match wire::decode(body) {
            Ok(envelope) if envelope.to != self.me.id => {
                // Ids rise. The sender of a lower one knows only a former member.
                let advice = match envelope.to > self.me.id {
                    true => {
                        ": the cluster has added a node with this name again; remove this one's \
                         data folder, so that it begins as the new one"
                    }
                    false => ", which has the name of a former one",
                };
                let text = format!(
                    "from {src} to the member {}, but this is the member {}{advice}",
                    envelope.to, self.me.id
                );
                (DropReason::Misrouted, text)
            }
            Ok(envelope) if !self.me.book.heard(envelope.from, address) => {
                let text = format!("from {src}, which is not the member {}", envelope.from);
                (DropReason::UnknownSender, text)
            }
            Ok(envelope) => {
                self.output.telemetry.received(envelope.message.kind());
                let bytes = bytes.max(wire::size(&envelope.message, Sessions::<Kv>::outcome_size));
                self.inbox.deliver(envelope, bytes);
                return true;
            }
            Err(Unreadable::Version(version)) => {
                let ours = wire::VERSION;
                let text = format!("version {version} from {src}; this node speaks version {ours}");
                (DropReason::UnknownVersion, text)
            }
            Err(Unreadable::Kind) => (DropReason::UnknownType, format!("from {src}")),
            Err(Unreadable::Malformed(error)) => {
                (DropReason::Malformed, format!("from {src}: {error}"))
            }
            Err(Unreadable::Foreign) => return false,
        };
        self.output.drop_line(reason, text);
        true
    }

    /// Handles the body of a request. `backup` is that of its connection; without a connection, none
    /// is made.
    ///
    /// # Errors
    /// The reply to an invalid one.
    pub(crate) fn request(
        &self,
        replies: &Arc<Replies>,
        (src, dest): (&str, &str),
        (body, bytes): (Raw<'_>, usize),
        backup: Option<&mut Backup>,
    ) -> Result<(), InvalidRequest> {
        let request = match Request::parse(body, bytes) {
            Ok(request) => request,
            Err(Invalid::Reply) => {
                self.output
                    .drop_line(DropReason::Reply, format_args!("from {src:?}"));
                return Ok(());
            }
            Err(Invalid::Answered(error)) => return Err(error),
        };
        self.output.telemetry.received(request.kind);
        let reply_to = ReplyTo::new(replies, src, dest, &request);
        match self.answer(reply_to.msg_id, request.content, backup) {
            Ok(Answer::Now(reply)) => self.output.answer([(reply_to, Ok(reply))]),
            Ok(Answer::Later(request)) => self.submit(reply_to, request, bytes),
            Err(error) => self.output.answer([(reply_to, Err(error))]),
        }
        Ok(())
    }

    /// Answers a request, or turns it into one for the event loop.
    fn answer(
        &self,
        in_reply_to: i64,
        content: RequestContent,
        backup: Option<&mut Backup>,
    ) -> Result<Answer, (ErrorCode, String)> {
        let Me { id, book, .. } = &self.me;
        match content {
            RequestContent::Init { node_id, node_ids } => {
                init_again(&self.member, in_reply_to, &node_id, node_ids).map(Answer::Now)
            }
            RequestContent::Status => self.status(in_reply_to).map(Answer::Now),
            RequestContent::Members => Ok(Answer::Now(requests::members(in_reply_to, book))),
            RequestContent::Client(_)
            | RequestContent::ChangeMembers { .. }
            | RequestContent::Transfer { .. }
            | RequestContent::Backup { .. }
                if book.was_removed() =>
            {
                let text = "this node was removed from the cluster; ask another node".to_owned();
                Err((ErrorCode::TemporarilyUnavailable, text))
            }
            RequestContent::Client(request) => Ok(Answer::Later(request)),
            RequestContent::Backup { offset } => match backup {
                Some(backup) => self.backup(in_reply_to, offset, backup).map(Answer::Now),
                None => {
                    let text = "a backup needs a connection to a node of raft serve".to_owned();
                    Err((ErrorCode::NotSupported, text))
                }
            },
            RequestContent::ChangeMembers { add, remove } => {
                requests::change(*id, book, add, &remove).map(Answer::Later)
            }
            RequestContent::Transfer { to } => {
                let unknown = |name: String| {
                    let name = clipped(&name);
                    let text = format!("\"to\" is {name:?}, which is not a member's name");
                    (ErrorCode::MalformedRequest, text)
                };
                let to = to.map(|name| book.id(&name).ok_or_else(|| unknown(name)));
                Ok(Answer::Later(ClientRequest::Transfer(to.transpose()?)))
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
        let Some(status) = self.viewer.status_within(PATIENCE) else {
            let text = "the node is busy with a long step; try again".to_owned();
            return Err((ErrorCode::TemporarilyUnavailable, text));
        };
        let name = |id| self.me.book.name(id);
        Ok(requests::status(in_reply_to, &self.me.name, &status, name))
    }
}

/// The id with which a node that waits was added to its cluster, as this message tells. Only a leader
/// tells it: a candidate may be one that does not know who left (thesis §4.2.3).
pub(crate) fn id_given(envelope: &Envelope<Sessions<Kv>>) -> Option<NodeId> {
    let leads = matches!(
        envelope.message,
        Message::Append(_) | Message::SnapshotChunk(_)
    );
    leads.then_some(envelope.to)
}

/// How a valid request is answered.
enum Answer {
    Now(Reply),
    /// By the event loop.
    Later(ClientRequest<Sessions<Kv>>),
}

/// Answers a repeated `init`, which must have the same content.
pub(crate) fn init_again(
    me: &Member,
    in_reply_to: i64,
    node_id: &str,
    node_ids: Vec<String>,
) -> Result<Reply, (ErrorCode, String)> {
    match Member::of_names(node_id, node_ids) {
        Ok(member) if member == *me => Ok(Reply::InitOk { in_reply_to }),
        Ok(_) => {
            let me = &me.name;
            let text = format!(
                "already initialised as {me}; this init has another node_id or other node_ids"
            );
            Err((ErrorCode::PreconditionFailed, text))
        }
        Err(text) => Err((ErrorCode::MalformedRequest, text)),
    }
}
