//! Leadership transfer (thesis §3.10): the leader takes no more commands, brings the target's log up
//! to date, and asks it to campaign at once.
//!
//! ```text
//! leader   Transfer --> no commands --> target has all on disk --> TimeoutNow --> steps down
//! target                                            on disk? --> votes asked, no pre-vote --> leads
//! ```
//!
//! Reads go on meanwhile: a quorum confirms each of them, so no handover makes one stale. A handover
//! ends within the longest election timeout. If the target was asked and did not decline, it may
//! have begun a term and taken followers away, so that commands taken now could be lost: the leader
//! then gives its term up, too, and campaigns itself.

use super::Leader;
use super::progress::Peer;
use crate::clock::Moment;
use crate::id::{NodeId, RequestId};
use crate::machine::StateMachine;
use crate::message::{Message, TimeoutNow, TimeoutNowReply};
use crate::node::Node;
use crate::raft::Raft;
use crate::response::{Refusal, Response};

/// A leadership transfer under way.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Handover {
    pub(crate) target: NodeId,
    /// When the handover began.
    pub(crate) since: Moment,
    /// The id of the TimeoutNow, once it was sent.
    pub(crate) id: Option<RequestId>,
    /// When the TimeoutNow was last sent.
    pub(crate) sent: Moment,
}

impl<S: StateMachine> Node<Leader<S>, S> {
    /// Begins a handover to a voter that was heard from lately: to this one, or to the most advanced.
    pub(crate) fn hand_over(&mut self, to: Option<NodeId>) -> Result<(), Refusal> {
        let Self { shared, role } = self;
        let (since, patience) = (shared.now, role.patience.0);
        if role.handover.is_some() {
            return Err(Refusal::Transferring);
        }
        let is_voter = |node| node != shared.id && shared.membership().stays_voter(node);
        if to.is_some_and(|to| !is_voter(to)) {
            return Err(Refusal::NotAVoter);
        }
        let may_lead = |(node, peer): &(&NodeId, &Peer)| {
            to.is_none_or(|to| to == **node)
                && is_voter(**node)
                && !since.is_past(peer.heard, patience)
        };
        let targets = role.peers.iter().filter(may_lead);
        let target = targets.max_by_key(|(_, peer)| peer.matched);
        let (&target, _) = target.ok_or(Refusal::TargetSilent)?;
        shared.counters.handovers += 1;
        role.handover = Some(Handover {
            target,
            since,
            id: None,
            sent: since,
        });
        Ok(())
    }

    /// Asks the target to campaign once it has all entries on disk; again after each heartbeat
    /// interval, since messages may be lost.
    pub(super) fn send_timeout_now(&mut self) {
        let Self { shared, role } = self;
        let (now, interval, last) = (shared.now, shared.config.heartbeat, shared.log().last());
        if let Some(handover) = &mut role.handover
            && let Some(peer) = role.peers.get(&handover.target)
            && peer.matched == last.index
            && (handover.id.is_none() || now.is_past(handover.sent, interval))
        {
            let id = *handover.id.get_or_insert_with(|| shared.next_request_id());
            handover.sent = now;
            let message = Message::TimeoutNow(TimeoutNow { id, last });
            shared.send(handover.target, message);
        }
    }

    /// Ends the handover if its target will not campaign.
    pub(super) fn timeout_now_answered(mut self, from: NodeId, reply: TimeoutNowReply) -> Raft<S> {
        let TimeoutNowReply { id, campaigns } = reply;
        let handover = self.role.handover.as_ref();
        if handover.is_none_or(|handover| handover.id != Some(id)) {
            self.shared.counters.dropped.stale_reply += 1;
            return Raft::Leader(self);
        }
        self.hear(from);
        if campaigns {
            return Raft::Leader(self);
        }
        self.shared.counters.handovers_declined += 1;
        self.end_handover(Refusal::TargetDeclined)
    }

    /// Ends a handover at its deadline. A leader whose disk stores nothing begins one.
    pub(crate) fn end_overdue_handover(mut self) -> Raft<S> {
        let is_stalled = self.shared.is_disk_stalled();
        if is_stalled && self.role.handover.is_none() && self.hand_over(None).is_err() {
            return self.wait_for_disk();
        }
        let (now, longest) = (self.shared.now, self.shared.config.longest_election);
        let handover = self.role.handover.as_ref();
        let Some(overdue) = handover.filter(|handover| now.is_past(handover.since, longest)) else {
            return Raft::Leader(self);
        };
        let was_asked = overdue.id.is_some();
        self.shared.counters.handovers_expired += 1;
        if self.is_removed() {
            return Raft::Follower(self.resign());
        }
        match (was_asked, is_stalled) {
            (true, false) => self.campaign_at_once(),
            // The client gets its reply once a leader is known.
            (true, true) => self.wait_for_disk(),
            (false, _) => self.end_handover(Refusal::TransferExpired),
        }
    }

    /// Ends a handover whose target does not campaign: the leader goes on, if its disk works.
    fn end_handover(mut self, refusal: Refusal) -> Raft<S> {
        self.role.handover = None;
        self.shared.end_transfer(Response::Refused(refusal));
        match self.shared.is_disk_stalled() {
            true => self.wait_for_disk(),
            false => Raft::Leader(self),
        }
    }

    /// Follows, since the disk stores nothing.
    fn wait_for_disk(mut self) -> Raft<S> {
        self.shared.counters.disk_stalls += 1;
        Raft::Follower(self.follow())
    }
}
