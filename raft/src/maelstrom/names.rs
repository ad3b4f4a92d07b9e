//! Nodes by their names.

use std::collections::BTreeSet;
use std::fmt;

use raft_core::{Membership, NodeId};

use super::body::clipped;

/// How long a name may be, in bytes. Whoever has a longer one is nobody: each line that is said
/// carries two names, and no queue should fill up with them.
pub const MAX_NAME: usize = 256;

/// The names of a cluster's nodes, and which of them is this one.
///
/// The core knows a node by its number: its place among the names, ordered by length and then by
/// text, so that `n2` comes before `n10`. Every node is told the same names, in whatever order, and
/// thus gives the same numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    names: Vec<String>,
    me: usize,
}

/// Why these can't be the names of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There are none.
    Empty,
    /// One is there twice.
    Twice(String),
    /// One is longer than [`MAX_NAME`].
    Long(String),
    /// This node's own is not among them.
    Missing(String),
}

impl Names {
    /// The names of all nodes, and this one's.
    ///
    /// # Errors
    /// If there are none, one is there twice or too long, or this node's is not among them.
    pub fn new(me: &str, mut names: Vec<String>) -> Result<Self, Unfit> {
        if names.is_empty() {
            return Err(Unfit::Empty);
        }
        if let Some(name) = names.iter().find(|name| name.len() > MAX_NAME) {
            return Err(Unfit::Long(name.clone()));
        }
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(Unfit::Twice(name.clone()));
        }
        names.sort_by(|a, b| order(a).cmp(&order(b)));
        let Some(me) = names.iter().position(|name| name == me) else {
            return Err(Unfit::Missing(me.into()));
        };
        Ok(Self { names, me })
    }

    /// This node's name.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.names[self.me]
    }

    /// This node's number.
    #[must_use]
    pub fn my_id(&self) -> NodeId {
        NodeId(self.me as u64)
    }

    /// The number of the node of this name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<NodeId> {
        let place = self.names.binary_search_by(|n| order(n).cmp(&order(name)));
        place.ok().map(|place| NodeId(place as u64))
    }

    /// The name of the node of this number.
    #[must_use]
    pub fn name(&self, id: NodeId) -> Option<&str> {
        let place = usize::try_from(id.0).ok()?;
        self.names.get(place).map(String::as_str)
    }

    /// All names.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// All nodes, as members of one cluster.
    #[must_use]
    pub fn membership(&self) -> Membership {
        Membership::of((0..self.names.len() as u64).map(NodeId))
    }
}

/// By length, then by text.
fn order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("node_ids is empty"),
            Self::Twice(name) => write!(f, "node_ids has {name:?} twice"),
            Self::Long(name) => {
                let name = clipped(name);
                write!(f, "node_ids has {name:?}, longer than {MAX_NAME} bytes")
            }
            Self::Missing(name) => {
                let name = clipped(name);
                write!(f, "node_id {name:?} is not among node_ids")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(me: &str, names: &[&str]) -> Result<Names, Unfit> {
        Names::new(me, names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn numbers_do_not_depend_on_the_order() {
        let names = names("n2", &["n10", "n2", "n1"]).unwrap();
        assert_eq!((names.me(), names.my_id()), ("n2", NodeId(1)));
        for (number, name) in ["n1", "n2", "n10"].into_iter().enumerate() {
            assert_eq!(names.id(name), Some(NodeId(number as u64)));
            assert_eq!(names.name(NodeId(number as u64)), Some(name));
        }
        assert_eq!(names.id("n3"), None);
        assert_eq!(names.name(NodeId(3)), None);
        assert_eq!(names.membership().voters().count(), 3);
    }

    #[test]
    fn unfit_names_are_refused() {
        assert_eq!(names("n1", &[]), Err(Unfit::Empty));
        assert_eq!(names("n1", &["n2"]), Err(Unfit::Missing("n1".into())));
        let long = "n".repeat(MAX_NAME + 1);
        assert_eq!(names(&long, &[&long]), Err(Unfit::Long(long.clone())));
        assert!(names(&long[1..], &[&long[1..]]).is_ok());
        let twice = names("n1", &["n1", "n2", "n1"]);
        assert_eq!(twice, Err(Unfit::Twice("n1".into())));
    }
}
