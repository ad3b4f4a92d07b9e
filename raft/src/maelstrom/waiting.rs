//! After the `init` of a node that is no initial member and has no data: waits until the cluster adds
//! the node.

use std::io::{self, Read};
use std::mem;
use std::sync::Arc;

use raft_core::NodeId;

use super::init::{Early, is_client, open};
use crate::front_end::{DropReason, Output, Replies, ReplyTo, id_given, init_again};
use crate::kv::Kv;
use crate::lines::{Lines, RawLine};
use crate::node::Member;
use crate::requests::{ErrorCode, Invalid, Line, Request, RequestContent};
use crate::sessions::Sessions;
use crate::stdio::clipped;
use crate::wire;

/// Answers requests until a message of a peer says with which id the node was added. That message
/// then is the first of the `early` lines. `None` if the input ends before.
pub(super) fn wait<R: Read>(
    early: &mut Early,
    lines: &mut Lines<R>,
    member: &Member,
    output: &Output,
    stdout: &Arc<Replies>,
) -> io::Result<Option<NodeId>> {
    let (waiting, log) = (
        Waiting {
            member,
            output,
            stdout,
        },
        &output.log,
    );
    let me = member.name();
    log.info(format_args!("{me}: waits to be added to the cluster"));
    let mut arrived = mem::take(early).into_lines();
    loop {
        let next = arrived.next();
        let line = match &next {
            Some(line) => line.as_slice(),
            None => match lines.next()? {
                Some(RawLine::Whole(line)) => line,
                // A leader's first messages are short.
                Some(RawLine::TooLong(length)) => {
                    output.drop_line(DropReason::TooLong, format_args!("{length} bytes"));
                    continue;
                }
                None => return Ok(None),
            },
        };
        if let Some(id) = waiting.line(line) {
            log.info(format_args!(
                "{me}: was added to the cluster as member {id}"
            ));
            early.push(line.to_vec(), None);
            arrived.for_each(|line| early.push(line, None));
            return Ok(Some(id));
        }
    }
}

/// A node that waits to be added.
struct Waiting<'a> {
    member: &'a Member,
    output: &'a Output,
    stdout: &'a Arc<Replies>,
}

impl Waiting<'_> {
    /// Handles a line. Returns this node's id if it is a message of a peer that tells it.
    fn line(&self, line: &[u8]) -> Option<NodeId> {
        let drop_line = |reason, text: String| self.output.drop_line(reason, text);
        let Line { src, dest, body } = match open(line) {
            Ok(opened) => opened,
            Err(error) => {
                drop_line(DropReason::BadLine, error.to_string());
                return None;
            }
        };
        if dest != self.member.name() {
            let text = format!("its dest is {:?}, not this node", clipped(&dest));
            drop_line(DropReason::Misrouted, text);
            return None;
        }
        let from = format!("from {:?}", clipped(&src));
        match Request::parse(body, line.len()) {
            Ok(request) => {
                let reply_to = ReplyTo::new(self.stdout, &src, &dest, &request);
                let result = match request.content {
                    RequestContent::Init { node_id, node_ids } => {
                        init_again(self.member, reply_to.msg_id, &node_id, node_ids)
                    }
                    RequestContent::Client(_)
                    | RequestContent::Transfer { .. }
                    | RequestContent::Members
                    | RequestContent::ChangeMembers { .. }
                    | RequestContent::Backup { .. }
                    | RequestContent::Status => {
                        let text = "this node waits to be added to the cluster: ask a member to \
                                    change_members";
                        Err((ErrorCode::TemporarilyUnavailable, text.to_owned()))
                    }
                };
                self.output.answer([(reply_to, result)]);
            }
            Err(Invalid::Reply) => drop_line(DropReason::Reply, from),
            Err(Invalid::Answered(error)) if is_client(&src) => {
                let (src, dest) = (src.into(), dest.into());
                self.output.answer_invalid(self.stdout, src, dest, error);
            }
            Err(Invalid::Answered(_)) => match wire::decode::<Sessions<Kv>>(body) {
                Ok(envelope) => {
                    // Lower ids are those of the initial members.
                    let first = self.member.initial().next();
                    let id = id_given(&envelope).filter(|id| *id >= first);
                    if id.is_none() {
                        drop_line(DropReason::Misrouted, format!("{from} to {}", envelope.to));
                    }
                    return id;
                }
                Err(why) => drop_line(DropReason::Malformed, format!("{from}: {why:?}")),
            },
        }
        None
    }
}
