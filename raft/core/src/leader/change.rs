//! Changes of the membership (§6, thesis §4.2.1, §4.3).
//!
//! ```text
//!             add learners          caught up            committed            committed
//! settled ----------------> learners ---------> C_old,new ---------> C_new ------------> settled
//! ```
//!
//! The leader keeps only what a client asked for until the joint membership is in the log. From then
//! on the log says all: a leader that has committed in its term and finds a committed joint
//! membership appends the one after it.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Leader;
use super::progress::{CaughtUp, Peer};
use super::reads::TermCommitted;
use crate::clock::Moment;
use crate::entry::Payload;
use crate::id::NodeId;
use crate::log::Settled;
use crate::machine::StateMachine;
use crate::membership::{Member, Membership, Standing};
use crate::node::Node;
use crate::response::{NotChanged, Refusal, Response};
use crate::shared::Shared;

/// A change that waits until its new voters have caught up.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Change {
    pub(crate) since: Moment,
    /// The learners that are to vote.
    pub(crate) add: BTreeSet<NodeId>,
    /// The members that are to leave.
    pub(crate) remove: BTreeSet<NodeId>,
}

impl<S: StateMachine> Node<Leader<S>, S> {
    /// Begins a change of the membership for a client. It replaces one whose new voters have not
    /// caught up: otherwise, a member that never answers would prevent its own removal.
    pub(crate) fn change_members(
        &mut self,
        addresses: &[Arc<str>],
        mut remove: BTreeSet<NodeId>,
    ) -> Result<(), NotChanged> {
        let (log, commit) = (self.shared.log(), self.shared.commit());
        let is_settled = self.term_committed().is_some() && log.settled(commit).is_some();
        if !is_settled || self.role.handover.is_some() {
            return Err(NotChanged::UnderWay);
        }
        let membership = log.membership().clone();
        if !remove.iter().all(|node| membership.contains(*node)) {
            return Err(NotChanged::UnknownMember);
        }
        let (mut add, mut new) = (BTreeSet::new(), Vec::new());
        for address in addresses {
            let mut members = membership.members().iter();
            let stays =
                |(node, m): &(&NodeId, &Member)| m.address == *address && !remove.contains(node);
            match members.find(stays) {
                // A change that ended early left it.
                Some((node, member)) if member.standing == Standing::Learner => {
                    add.insert(*node);
                }
                Some(_) => return Err(NotChanged::AlreadyMember),
                None => new.push(address.clone()),
            }
        }
        let learning = membership.with_learners(&new);
        add.extend((membership.next..learning.next).map(NodeId));
        let after = learning.joint(&add, &remove).after_change();
        if after.voters().next().is_none() {
            return Err(NotChanged::NoVoterLeft);
        }
        if let Some(replaced) = self.role.change.take() {
            remove.extend(replaced.add.difference(&add));
            self.end_change(NotChanged::Replaced);
        }
        if !new.is_empty() {
            self.append_membership(learning);
        }
        let since = self.shared.now;
        self.role.change = Some(Change { since, add, remove });
        self.advance_change();
        Ok(())
    }

    /// Answers the client once its change has ended, and takes the next step of a change, if its time
    /// has come. A leader that hands over leaves that to the next one, since its log must not grow.
    pub(crate) fn advance_change(&mut self) {
        let commit = self.shared.commit();
        let settled = self.shared.log().settled(commit);
        if settled.is_some() && self.role.change.is_none() {
            self.shared.end_change(Response::MembersChanged);
        }
        let committed = self.term_committed();
        let Some(committed) = committed.filter(|_| self.role.handover.is_none()) else {
            return;
        };
        let membership = self.shared.log().membership().clone();
        if let Some(settled) = settled {
            self.enter_joint(&membership, &committed, &settled);
        } else if membership.is_joint() && self.shared.log().membership_at(commit).is_joint() {
            self.append_membership(membership.after_change());
        }
    }

    /// Appends the joint membership of the client's change, once each new voter has caught up and
    /// answers.
    fn enter_joint(&mut self, before: &Membership, committed: &TermCommitted, settled: &Settled) {
        let (term, last) = (self.shared.term(), self.shared.log().last());
        assert_eq!(committed.term(), term, "a commit of this term");
        assert_eq!(settled.last(), last, "a proof for this log");
        let Self { shared, role } = self;
        let Some(change) = &role.change else {
            return;
        };
        let (now, patience) = (shared.now, role.patience.0);
        let proof = |node: &NodeId| role.peers.get(node)?.caught_up(*node, now, patience);
        let Some(caught_up) = change.add.iter().map(proof).collect::<Option<Vec<_>>>() else {
            return;
        };
        let Change { remove, .. } = role.change.take().expect("it was just seen");
        let add: BTreeSet<NodeId> = caught_up.iter().map(CaughtUp::node).collect();
        self.append_membership(before.joint(&add, &remove));
    }

    /// Refuses the change that waited.
    fn end_change(&mut self, reason: NotChanged) {
        let response = Response::Refused(Refusal::NotChanged(reason));
        self.shared.end_change(response);
    }

    fn append_membership(&mut self, membership: Membership) {
        self.shared
            .append(Payload::Membership(Arc::new(membership)));
        self.sync_peers();
        // A round may lack only nodes that have left.
        self.serve_reads();
    }

    /// Ends a change whose new voters did not catch up in time, and lets them go.
    pub(crate) fn expire_change(&mut self) {
        let (now, deadline) = (self.shared.now, self.shared.config.change_deadline);
        let (log, commit) = (self.shared.log(), self.shared.commit());
        let is_late = |change: &mut Change| now.is_past(change.since, deadline);
        if log.settled(commit).is_some()
            && self.role.handover.is_none()
            && let Some(change) = self.role.change.take_if(is_late)
        {
            let without = self.shared.log().membership().without(&change.add);
            self.append_membership(without);
            self.end_change(NotChanged::NotCaughtUp);
        }
    }

    /// Begins the streams that a change calls for, and ends the others.
    pub(super) fn sync_peers(&mut self) {
        let Self { shared, role } = self;
        let wanted = streams(shared);
        for (&node, peer) in &mut role.peers {
            if !wanted.contains(&node) {
                // The node may learn so that it was removed.
                peer.send_heartbeat(shared, node);
            }
        }
        role.peers.retain(|node, _| wanted.contains(node));
        let last = shared.log().last().index;
        for node in wanted {
            let new = || Peer::new(shared.next_request_id(), last, shared.now);
            role.peers.entry(node).or_insert_with(new);
        }
    }

    /// Whether this leader's removal is committed.
    pub(crate) fn is_removed(&self) -> bool {
        let (log, me) = (self.shared.log(), self.shared.id);
        let committed = log.membership_at(self.shared.commit());
        !log.membership().is_voter(me) && !committed.is_voter(me)
    }
}

/// The nodes to which a leader keeps a stream: each voter, and each member by the last committed
/// membership, so that a node that leaves gets the entry that removes it. A new learner gets nothing
/// before the entry that names it is committed: if that entry were lost, another node could be given
/// the same id.
pub(super) fn streams<S: StateMachine>(shared: &Shared<S>) -> BTreeSet<NodeId> {
    let committed = shared.log().membership_at(shared.commit());
    let members = committed.members().keys().copied();
    let mut nodes: BTreeSet<NodeId> = shared.membership().voters().chain(members).collect();
    nodes.remove(&shared.id);
    nodes
}
