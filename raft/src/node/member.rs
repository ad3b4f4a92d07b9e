//! A node and the cluster to which it belongs or is to belong.

use std::collections::BTreeSet;

use raft_core::{Membership, NodeId, Standing};

use super::address::{Address, name_in};
use crate::stdio::clipped;
use crate::storage::{Cluster, name_order};

/// A node and its cluster, as a front end names them.
///
/// The ids of the initial members are the positions of their names in their [order](name_order).
/// Every member gets the same addresses, in any order, and so gives the same ids. A node that is not
/// among them waits to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's name.
    pub name: String,
    /// The cluster, if it is known.
    pub cluster: Option<Cluster>,
    /// The initial members.
    pub initial: Membership,
}

impl Member {
    /// The node `name` of the cluster that began with members of these addresses.
    ///
    /// # Errors
    /// There is no address, one is invalid, or a name occurs twice.
    pub fn new(name: &str, mut addresses: Vec<String>) -> Result<Self, String> {
        if addresses.is_empty() {
            return Err("there is no member".into());
        }
        let mut seen = BTreeSet::new();
        for text in &addresses {
            let shown = clipped(text);
            let address = Address::parse(text).map_err(|why| format!("{shown:?} {why}"))?;
            if !seen.insert(address.name) {
                return Err(format!("{:?} occurs twice", clipped(address.name)));
            }
        }
        addresses.sort_by(|a, b| name_order(name_in(a)).cmp(&name_order(name_in(b))));
        let cluster = Some(Cluster::of(&addresses));
        let voter = |(id, address): (u64, String)| {
            let (standing, address) = (Standing::Voter, address.into());
            (NodeId(id), raft_core::Member { standing, address })
        };
        Ok(Self {
            name: name.to_owned(),
            cluster,
            initial: Membership::new((0..).zip(addresses).map(voter)),
        })
    }

    /// The node of an `init`, whose members' addresses are their names.
    ///
    /// # Errors
    /// As [`Member::new`], or a name is none.
    pub fn of_names(node_id: &str, node_ids: Vec<String>) -> Result<Self, String> {
        let of_node_id = |why: &str| format!("node_id {:?} {why}", clipped(node_id));
        Address::parse(node_id).map_err(of_node_id)?;
        let names = node_ids.iter().map(String::as_str);
        if let Some(name) = names.chain([node_id]).find(|name| name.contains('=')) {
            return Err(format!("the name {:?} contains a =", clipped(name)));
        }
        Self::new(node_id, node_ids).map_err(|why| format!("node_ids: {why}"))
    }

    /// The node `name`, which is no initial member of its cluster, or knows all of this from its
    /// folder.
    #[must_use]
    pub fn later(name: &str, cluster: Option<Cluster>) -> Self {
        let (name, initial) = (name.to_owned(), Membership::default());
        Self {
            name,
            cluster,
            initial,
        }
    }

    /// The same node, in another cluster than one without this token, or with another one.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        if !token.is_empty() {
            let members = self.initial.members().values();
            let addresses = members.map(|member| &*member.address);
            self.cluster = Some(Cluster::of(addresses.chain([token])));
        }
        self
    }

    /// The node's id if it is one of the initial members.
    #[must_use]
    pub fn initial_id(&self) -> Option<NodeId> {
        let mut all = self.initial.members().iter();
        let me = all.find(|(_, member)| name_in(&member.address) == self.name);
        me.map(|(node, _)| *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::address::MAX_NAME;

    fn member(name: &str, addresses: &[&str]) -> Result<Member, String> {
        Member::new(name, addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ids_do_not_depend_on_the_order() {
        let one = member("n2", &["n10", "n2", "n1"]).unwrap();
        assert_eq!((&*one.name, one.initial_id()), ("n2", Some(NodeId(1))));
        assert_eq!(member("n2", &["n1", "n2", "n10"]), Ok(one.clone()));
        assert_eq!(member("n4", &["n1"]).unwrap().initial_id(), None);
        let other = member("n2", &["n10=h:1", "n2=h:2", "n1=h:3"]).unwrap();
        assert_eq!(other.initial_id(), Some(NodeId(1)));
        assert_ne!(other.cluster, one.cluster);
        assert_ne!(other.clone().with_token("t").cluster, other.cluster);
        assert_eq!(other.clone().with_token(""), other);
    }

    #[test]
    fn invalid_addresses_are_refused() {
        let refused = |all: &[&str]| member("n1", all).unwrap_err();
        assert_eq!(refused(&[]), "there is no member");
        assert_eq!(refused(&["n1", ""]), r#""" has no name"#);
        let long = "n".repeat(MAX_NAME + 1);
        assert!(refused(&[&long]).ends_with(r#"..." has a name longer than 256 bytes"#));
        assert!(member("n1", &[&long[1..]]).is_ok());
        assert_eq!(refused(&["n1", "n2", "n1"]), r#""n1" occurs twice"#);
        assert_eq!(refused(&["n1=a:1", "n1=a:2"]), r#""n1" occurs twice"#);
    }
}
