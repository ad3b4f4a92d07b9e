//! The members of the cluster, and its quorums.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::id::NodeId;

/// The members of the cluster: all of them vote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    pub(crate) voters: BTreeSet<NodeId>,
}

impl Membership {
    /// A membership of these voters.
    ///
    /// # Panics
    /// If there are no voters.
    #[must_use]
    pub fn of(voters: impl IntoIterator<Item = NodeId>) -> Self {
        let voters: BTreeSet<NodeId> = voters.into_iter().collect();
        assert!(!voters.is_empty(), "a membership needs a voter");
        Self { voters }
    }

    /// The voters, in order.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().copied()
    }

    /// Whether `node` is a member.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.voters.contains(&node)
    }

    /// All members but `node`.
    pub fn others(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.voters().filter(move |voter| *voter != node)
    }

    /// Whether `node` is the only voter.
    #[must_use]
    pub fn is_lone_voter(&self, node: NodeId) -> bool {
        self.voters.len() == 1 && self.contains(node)
    }

    /// The number of members with a lower id than `node`.
    #[must_use]
    pub fn rank(&self, node: NodeId) -> usize {
        self.voters.range(..node).count()
    }

    /// Whether the voters for which `holds` is true are a majority (§5.2).
    #[must_use]
    pub fn is_quorum(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        let count = self.voters().filter(|voter| holds(*voter)).count();
        count > self.voters.len() / 2
    }

    /// The greatest value that a majority has reached: the quorum index (§5.3, §5.4).
    #[must_use]
    pub fn quorum_reached<T: Ord + Copy>(&self, value: impl Fn(NodeId) -> T) -> T {
        let mut values: Vec<T> = self.voters().map(value).collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        // Sorted downwards, the value at n/2 is reached by n/2 + 1 voters.
        values[values.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every assignment of values 0..=3 to up to five voters: the quorum index is the largest
    /// value v such that the voters at or above v are a quorum.
    #[test]
    fn quorum_index_is_reached_by_a_majority() {
        for size in 1..=5u64 {
            let membership = Membership::of((0..size).map(NodeId));
            for assignment in 0..4u64.pow(size as u32) {
                let value = |node: NodeId| assignment / 4u64.pow(node.0 as u32) % 4;
                let expected = (0..4)
                    .rev()
                    .find(|v| membership.is_quorum(|node| value(node) >= *v));
                assert_eq!(Some(membership.quorum_reached(value)), expected);
            }
        }
    }

    /// Any two quorums share a member; otherwise two leaders could win one term.
    #[test]
    fn quorums_overlap() {
        for size in 1..=6u64 {
            let membership = Membership::of((0..size).map(NodeId));
            for one in 0..1u64 << size {
                for other in 0..1u64 << size {
                    let quorum = |set: u64| membership.is_quorum(|node| set >> node.0 & 1 == 1);
                    assert!(!(quorum(one) && quorum(other)) || one & other != 0);
                }
            }
        }
    }
}
