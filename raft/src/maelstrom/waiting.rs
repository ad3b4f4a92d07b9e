//! After the `init` of a node that is no initial member and has no data: waits until the cluster adds
//! the node.

use std::io::{self, Read};
use std::mem;
use std::sync::Arc;

use raft_core::NodeId;

use super::init::{Early, is_client, open, read_until};
use crate::front_end::{DropReason, Output, Replies, ReplyTo, id_given, init_again};
use crate::kv::Kv;
use crate::lines::Lines;
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
    let (me, log) = (&member.name, &output.log);
    log.info(format_args!("{me}: waits to be added to the cluster"));
    let mut arrived = mem::take(early).into_lines();
    let told = |line: &[u8]| {
        let id = id_in(line, member, output, stdout);
        id.map(|id| (line.to_vec(), id))
    };
    let found = match arrived.find_map(|line| told(&line)) {
        None => read_until(lines, output, told)?,
        found => found,
    };
    let Some((first, id)) = found else {
        return Ok(None);
    };
    log.info(format_args!(
        "{me}: was added to the cluster as member {id}"
    ));
    early.push(first, None);
    arrived.for_each(|line| early.push(line, None));
    Ok(Some(id))
}

/// Handles a line. Returns this node's id if the line is a message of a peer that tells it.
fn id_in(line: &[u8], member: &Member, output: &Output, stdout: &Arc<Replies>) -> Option<NodeId> {
    let drop_line = |reason, text: String| output.drop_line(reason, text);
    let Line { src, dest, body } = open(line, output)?;
    if dest != member.name {
        let text = format!("its dest is {:?}, not this node", clipped(&dest));
        drop_line(DropReason::Misrouted, text);
        return None;
    }
    let from = format!("from {:?}", clipped(&src));
    match Request::parse(body, line.len()) {
        Ok(request) => {
            let reply_to = ReplyTo::new(stdout, &src, &dest, &request);
            let result = match request.content {
                RequestContent::Init { node_id, node_ids } => {
                    init_again(member, reply_to.msg_id, &node_id, node_ids)
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
            output.answer([(reply_to, result)]);
        }
        Err(Invalid::Reply) => drop_line(DropReason::Reply, from),
        Err(Invalid::Answered(error)) if is_client(&src) => {
            let (src, dest) = (src.into(), dest.into());
            output.answer_invalid(stdout, src, dest, error);
        }
        Err(Invalid::Answered(_)) => match wire::decode::<Sessions<Kv>>(body) {
            Ok(envelope) => {
                // Lower ids are those of the initial members.
                let first = member.initial.next();
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
