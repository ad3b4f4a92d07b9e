//! The members of the cluster, and its quorums (§6).
//!
//! A change of the voters goes through a joint membership, in which a decision needs a majority of
//! the voters before it and a majority of the voters after it. So there is no moment at which
//! two disjoint majorities could decide, however many voters come and go at once.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::NodeId;

/// The members of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    pub(crate) members: BTreeMap<NodeId, Member>,
    /// All ids below this one were given to members, present or former. None is given again.
    pub(crate) next: u64,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// What the member counts for.
    pub standing: Standing,
    /// The host's name or address of the member. The core does not interpret it.
    pub address: Arc<str>,
}

/// What a member counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Votes, before and after a change that is under way.
    Voter,
    /// Votes in the set after the change (C_new).
    Incoming,
    /// Votes in the set before the change (C_old).
    Outgoing,
    /// Gets entries and does not count (thesis §4.2.1).
    Learner,
}

impl Standing {
    /// Whether the member belongs to C_old.
    fn is_old(self) -> bool {
        matches!(self, Self::Voter | Self::Outgoing)
    }

    /// Whether the member belongs to C_new.
    fn is_new(self) -> bool {
        matches!(self, Self::Voter | Self::Incoming)
    }
}

impl Membership {
    /// A membership of these voters, without addresses.
    ///
    /// # Panics
    /// If there are no voters.
    #[must_use]
    pub fn of(voters: impl IntoIterator<Item = NodeId>) -> Self {
        let membership = Self::new(voters.into_iter().map(|node| {
            let (standing, address) = (Standing::Voter, "".into());
            (node, Member { standing, address })
        }));
        assert!(!membership.members.is_empty(), "a membership needs a voter");
        membership
    }

    /// A membership of these members. One without members is that of a node that waits to be added:
    /// it learns its membership from the log or the snapshot of a leader.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = (NodeId, Member)>) -> Self {
        let members: BTreeMap<NodeId, Member> = members.into_iter().collect();
        let last = members.last_key_value();
        let next = last.map_or(0, |(last, _)| last.0.saturating_add(1));
        Self { members, next }
    }

    /// The same membership, where all ids below `next` were given to members.
    #[must_use]
    pub fn with_next(mut self, next: u64) -> Self {
        self.next = self.next.max(next);
        self
    }

    /// Whether it has voters alone, without addresses, as [`Membership::of`] makes it: no change has
    /// touched it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let plain = |m: &Member| m.standing == Standing::Voter && m.address.is_empty();
        let last = self.members.last_key_value();
        let next = last.map_or(self.next, |(last, _)| last.0.saturating_add(1));
        next == self.next && self.members.values().all(plain)
    }

    /// The lowest id that was never given to a member.
    #[must_use]
    pub fn next(&self) -> NodeId {
        NodeId(self.next)
    }

    /// The members, in the order of their ids.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// The voters, in the order of their ids. In a joint membership: those of both sets.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        let votes = |(node, member): (&NodeId, &Member)| {
            (member.standing != Standing::Learner).then_some(*node)
        };
        self.members.iter().filter_map(votes)
    }

    /// Whether `node` is a member.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.members.contains_key(&node)
    }

    /// Whether `node` votes, in a joint membership in either set.
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters().any(|voter| voter == node)
    }

    /// Whether `node` votes once the change that is under way, if there is one, has ended.
    #[must_use]
    pub fn stays_voter(&self, node: NodeId) -> bool {
        let member = self.members.get(&node);
        member.is_some_and(|member| member.standing.is_new())
    }

    /// Whether a change of the voters is under way.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        let changes = |m: &Member| matches!(m.standing, Standing::Incoming | Standing::Outgoing);
        self.members.values().any(changes)
    }

    /// Whether `node` is the only voter.
    #[must_use]
    pub fn is_lone_voter(&self, node: NodeId) -> bool {
        self.voters().eq([node])
    }

    /// The number of members with a lower id than `node`.
    #[must_use]
    pub fn rank(&self, node: NodeId) -> usize {
        self.members.range(..node).count()
    }

    /// Whether the voters for which `holds` is true are a majority (§5.2), in a joint membership a
    /// majority of each set (§6).
    #[must_use]
    pub fn is_quorum(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        self.quorum_reached(holds)
    }

    /// The greatest value that a majority has reached, in a joint membership a majority of each set:
    /// the quorum index (§5.3, §5.4, §6). Without voters, the lowest value.
    #[must_use]
    pub fn quorum_reached<T: Ord + Copy + Default>(&self, value: impl Fn(NodeId) -> T) -> T {
        let reached = |belongs: fn(Standing) -> bool| {
            let set = self.members.iter().filter(|(_, m)| belongs(m.standing));
            let mut values: Vec<T> = set.map(|(node, _)| value(*node)).collect();
            values.sort_unstable_by(|a, b| b.cmp(a));
            // Sorted downwards, the value at n/2 is reached by n/2 + 1 voters.
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        reached(Standing::is_old).min(reached(Standing::is_new))
    }

    /// The approximate size in memory, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let member = |member: &Member| 64 + member.address.len();
        self.members.values().map(member).sum()
    }

    /// This membership with a new learner for each address.
    pub(crate) fn with_learners(&self, addresses: &[Arc<str>]) -> Self {
        let mut with = self.clone();
        for address in addresses {
            let (standing, address) = (Standing::Learner, address.clone());
            let member = Member { standing, address };
            with.members.insert(NodeId(with.next), member);
            with.next = with.next.saturating_add(1);
        }
        with
    }

    /// This membership without these learners.
    pub(crate) fn without(&self, learners: &BTreeSet<NodeId>) -> Self {
        let mut without = self.clone();
        without.members.retain(|node, member| {
            member.standing != Standing::Learner || !learners.contains(node)
        });
        without
    }

    /// The joint membership in which `add`, which are learners, join the voters, and `remove` leave
    /// (C_old,new).
    pub(crate) fn joint(&self, add: &BTreeSet<NodeId>, remove: &BTreeSet<NodeId>) -> Self {
        let mut joint = self.without(remove);
        for (node, member) in &mut joint.members {
            if add.contains(node) {
                member.standing = Standing::Incoming;
            } else if remove.contains(node) {
                member.standing = Standing::Outgoing;
            }
        }
        joint
    }

    /// The membership after the change (C_new).
    pub(crate) fn after_change(&self) -> Self {
        let mut after = self.clone();
        after.members.retain(|_, member| {
            if member.standing == Standing::Incoming {
                member.standing = Standing::Voter;
            }
            member.standing != Standing::Outgoing
        });
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each assignment of standings to four members, two of them at least in both sets.
    fn memberships() -> Vec<Membership> {
        use Standing::{Incoming, Learner, Outgoing, Voter};
        let standings = [Voter, Incoming, Outgoing, Learner];
        let one = |code: usize| {
            let member = |node: u64| {
                let standing = if node == 0 {
                    Voter
                } else {
                    standings[code / 4usize.pow(node as u32 - 1) % 4]
                };
                let address = "".into();
                (NodeId(node), Member { standing, address })
            };
            Membership::new((0..5).map(member))
        };
        (0..256).map(one).collect()
    }

    /// Every assignment of values 0..=2 to the members of every membership: the quorum index is the
    /// largest value v such that the members at or above v are a quorum.
    #[test]
    fn quorum_index_is_reached_by_a_quorum() {
        for membership in memberships() {
            for assignment in 0..3u64.pow(5) {
                let value = |node: NodeId| assignment / 3u64.pow(node.0 as u32) % 3;
                let expected = (0..3)
                    .rev()
                    .find(|v| membership.is_quorum(|node| value(node) >= *v));
                assert_eq!(Some(membership.quorum_reached(value)), expected);
            }
        }
    }

    fn sets() -> impl Iterator<Item = BTreeSet<NodeId>> {
        (0..1u64 << 5).map(|set| {
            let nodes = (0..5).filter(|node| set >> node & 1 == 1);
            nodes.map(NodeId).collect()
        })
    }

    /// Any two quorums of a membership share a member, and so do those of the memberships on the
    /// way of a change; otherwise two leaders could win one term.
    #[test]
    fn quorums_overlap() {
        for joint in memberships() {
            let mut before = joint.clone();
            before
                .members
                .retain(|_, m| m.standing != Standing::Incoming);
            before
                .members
                .values_mut()
                .filter(|m| m.standing == Standing::Outgoing)
                .for_each(|m| m.standing = Standing::Voter);
            let steps = [(&joint, &joint), (&before, &joint)];
            for (a, b) in steps.into_iter().chain([(&joint, &joint.after_change())]) {
                for one in sets().filter(|set| a.is_quorum(|node| set.contains(&node))) {
                    for other in sets().filter(|set| b.is_quorum(|node| set.contains(&node))) {
                        assert!(!one.is_disjoint(&other), "{a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn majority_of_each_set_decides() {
        let nodes = |ids: &[u64]| -> BTreeSet<NodeId> { ids.iter().copied().map(NodeId).collect() };
        let old = Membership::of([NodeId(1), NodeId(2), NodeId(3)]);
        let learning = old.with_learners(&["four".into(), "five".into()]);
        assert!(
            !learning.is_quorum(|node| node.0 > 2),
            "learners do not count"
        );
        let joint = learning.joint(&nodes(&[4, 5]), &nodes(&[1, 2]));
        assert!(joint.is_joint() && !learning.is_joint());
        assert!(!joint.is_quorum(|node| node.0 < 4), "no majority of C_new");
        assert!(!joint.is_quorum(|node| node.0 > 2), "no majority of C_old");
        assert!(joint.is_quorum(|node| node.0 > 1 && node.0 < 5));
        let new = joint.after_change();
        assert_eq!(new.voters().collect::<BTreeSet<_>>(), nodes(&[3, 4, 5]));
        assert_eq!(new.next(), NodeId(6), "no id is given twice");
    }

    /// A forged snapshot may name any id.
    #[test]
    fn greatest_id_has_none_after_it() {
        let membership = Membership::of([NodeId(u64::MAX)]);
        assert!(membership.is_plain() && membership.next() == NodeId(u64::MAX));
    }

    #[test]
    fn without_voters_there_is_no_quorum() {
        assert!(!Membership::default().is_quorum(|_| true));
    }
}
