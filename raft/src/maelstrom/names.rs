//! The names of nodes.

use std::collections::BTreeSet;

use raft_core::NodeId;

use crate::requests::clipped;
use crate::storage::name_order;

/// The longest name in bytes. Lines from or to longer names are dropped: each line carries two
/// names, and queues must not fill up with them.
pub const MAX_NAME: usize = 256;

/// The names of a cluster's nodes, and which of them is this node's.
///
/// A node's id is the position of its name in their [order](name_order). Every node gets the same
/// names, in any order, and so gives the same ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    names: Vec<String>,
    me: usize,
}

impl Names {
    /// Checks and sorts the names of all nodes; `me` is this node's.
    ///
    /// # Errors
    /// There is no name, one occurs twice or is too long, or `me` is not among them.
    pub fn new(me: &str, mut names: Vec<String>) -> Result<Self, String> {
        if names.is_empty() {
            return Err("node_ids is empty".into());
        }
        if let Some(name) = names.iter().find(|name| name.len() > MAX_NAME) {
            let name = clipped(name);
            return Err(format!(
                "node_ids has {name:?}, longer than {MAX_NAME} bytes"
            ));
        }
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(format!("node_ids has {name:?} twice"));
        }
        names.sort_by(|a, b| name_order(a).cmp(&name_order(b)));
        let Some(me) = names.iter().position(|name| name == me) else {
            return Err(format!("node_id {:?} is not among node_ids", clipped(me)));
        };
        Ok(Self { names, me })
    }

    /// This node's name.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.names[self.me]
    }

    /// This node's id.
    #[must_use]
    pub fn my_id(&self) -> NodeId {
        NodeId(self.me as u64)
    }

    /// The id of the node with this name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<NodeId> {
        let place = self
            .names
            .binary_search_by(|n| name_order(n).cmp(&name_order(name)));
        place.ok().map(|place| NodeId(place as u64))
    }

    /// The name of the node with this id.
    #[must_use]
    pub fn name(&self, id: NodeId) -> Option<&str> {
        let place = usize::try_from(id.0).ok()?;
        self.names.get(place).map(String::as_str)
    }

    /// All names.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(me: &str, names: &[&str]) -> Result<Names, String> {
        Names::new(me, names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ids_do_not_depend_on_the_order() {
        let names = names("n2", &["n10", "n2", "n1"]).unwrap();
        assert_eq!((names.me(), names.my_id()), ("n2", NodeId(1)));
        for (number, name) in ["n1", "n2", "n10"].into_iter().enumerate() {
            assert_eq!(names.id(name), Some(NodeId(number as u64)));
            assert_eq!(names.name(NodeId(number as u64)), Some(name));
        }
        assert_eq!(names.id("n3"), None);
        assert_eq!(names.name(NodeId(3)), None);
    }

    #[test]
    fn invalid_names_are_refused() {
        let refused = |me: &str, all: &[&str]| names(me, all).unwrap_err();
        assert_eq!(refused("n1", &[]), "node_ids is empty");
        assert_eq!(
            refused("n1", &["n2"]),
            r#"node_id "n1" is not among node_ids"#
        );
        let long = "n".repeat(MAX_NAME + 1);
        assert!(refused(&long, &[&long]).ends_with(r#"...", longer than 256 bytes"#));
        assert!(names(&long[1..], &[&long[1..]]).is_ok());
        let twice = refused("n1", &["n1", "n2", "n1"]);
        assert_eq!(twice, r#"node_ids has "n1" twice"#);
    }
}
