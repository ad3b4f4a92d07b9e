//! A node as a member of its cluster.

use raft_core::{Membership, NodeId};

/// This node as a member of its cluster.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The node's id, which is the position of its name among the sorted names.
    pub id: NodeId,
    /// The node's name.
    pub name: &'a str,
    /// The sorted names of all members.
    pub names: Vec<&'a str>,
}

impl Member<'_> {
    pub(super) fn membership(&self) -> Membership {
        membership(self.names.len())
    }
}

/// The members of a cluster with this many nodes.
pub(super) fn membership(nodes: usize) -> Membership {
    Membership::of((0..nodes as u64).map(NodeId))
}
