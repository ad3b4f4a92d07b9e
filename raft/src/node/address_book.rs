//! The addresses of the nodes, by their ids.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{Membership, NodeId, Status};

use super::address::name_in;

/// The most nodes beside the members whose addresses are known. One more replaces the oldest.
pub const OTHERS: usize = 64;

/// What a node knows of the members, and the addresses of all nodes to which it may have to reply.
///
/// Members come from the log. A node may also have to reply to one that is no member by its log: the
/// leader that adds it, or a candidate that was removed (thesis §4.1).
#[derive(Debug, Default)]
pub struct AddressBook(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    members: Arc<Membership>,
    leader: Option<NodeId>,
    was_removed: bool,
    /// Former members, and senders of messages; the newest comes last.
    others: VecDeque<(NodeId, Arc<str>)>,
}

impl AddressBook {
    /// A book with these members.
    #[cfg(test)]
    pub(crate) fn of(members: Arc<Membership>, leader: Option<NodeId>) -> Self {
        Self(Mutex::new(Content {
            members,
            leader,
            ..Content::default()
        }))
    }

    /// Notes the members and the leader, after each step.
    pub fn observe(&self, status: &Status) {
        let mut content = self.lock();
        content.leader = status.leader;
        content.was_removed = status.was_removed;
        content.learn(&status.membership);
    }

    /// Notes members, those of the newest entry last.
    pub(super) fn learn(&self, members: &Arc<Membership>) {
        self.lock().learn(members);
    }

    /// Notes that a message of this node came from this address. Returns whether that can be: not if
    /// the node is known by another name.
    pub fn heard(&self, node: NodeId, address: &str) -> bool {
        let mut content = self.lock();
        match content.address(node) {
            Some(known) if **known == *address => return true,
            Some(known) if name_in(known) != name_in(address) => return false,
            Some(_) | None => content.add(node, address.into()),
        }
        true
    }

    /// The address of a node.
    #[must_use]
    pub fn address(&self, node: NodeId) -> Option<Arc<str>> {
        self.lock().address(node).cloned()
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> Option<String> {
        let content = self.lock();
        content.address(node).map(|known| name_in(known).to_owned())
    }

    /// The id of the member with this name.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<NodeId> {
        let members = self.members();
        let mut all = members.members().iter();
        let named = all.find(|(_, member)| name_in(&member.address) == name);
        named.map(|(node, _)| *node)
    }

    /// The members by the last entry of the log with members, committed or not.
    #[must_use]
    pub fn members(&self) -> Arc<Membership> {
        self.lock().members.clone()
    }

    /// The leader, if it is known.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.lock().leader
    }

    /// Whether this node was a member and is none any more. It serves no requests then.
    #[must_use]
    pub fn was_removed(&self) -> bool {
        self.lock().was_removed
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // The content is consistent after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn learn(&mut self, members: &Arc<Membership>) {
        if Arc::ptr_eq(&self.members, members) {
            return;
        }
        let before = std::mem::replace(&mut self.members, members.clone());
        for (node, member) in before.members() {
            if !members.contains(*node) && !member.address.is_empty() {
                self.add(*node, member.address.clone());
            }
        }
    }

    /// The log's word counts: whatever a message says, it cannot redirect those to a member.
    fn address(&self, node: NodeId) -> Option<&Arc<str>> {
        let member = self.members.members().get(&node);
        let of_member = member.map(|member| &member.address);
        of_member.filter(|known| !known.is_empty()).or_else(|| {
            let other = self.others.iter().find(|(other, _)| *other == node);
            other.map(|(_, address)| address)
        })
    }

    fn add(&mut self, node: NodeId, address: Arc<str>) {
        self.others.retain(|(other, _)| *other != node);
        if self.others.len() == OTHERS {
            self.others.pop_front();
        }
        self.others.push_back((node, address));
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Member, Standing};

    use super::*;

    fn members(addresses: &[(u64, &str)]) -> Arc<Membership> {
        let voter = |(id, address): &(u64, &str)| {
            let (standing, address) = (Standing::Voter, (*address).into());
            (NodeId(*id), Member { standing, address })
        };
        Membership::new(addresses.iter().map(voter)).into()
    }

    #[test]
    fn former_members_and_senders_can_be_reached() {
        let book = AddressBook::default();
        let address = |id| book.address(NodeId(id)).map(|known| known.to_string());
        book.learn(&members(&[(0, "n1"), (1, "n2=h:2")]));
        assert_eq!(book.name(NodeId(1)).as_deref(), Some("n2"));
        assert_eq!(book.id("n2"), Some(NodeId(1)));
        assert!(book.heard(NodeId(5), "n6"));
        assert!(book.heard(NodeId(1), "n2=elsewhere:2"));
        assert!(!book.heard(NodeId(0), "elsewhere"), "another name");
        assert_eq!(address(0).as_deref(), Some("n1"));
        assert_eq!(
            address(1).as_deref(),
            Some("n2=h:2"),
            "the log's word counts"
        );
        assert_eq!(address(5).as_deref(), Some("n6"));
        book.learn(&members(&[(0, "n1"), (2, "n2=h:3")]));
        assert_eq!(book.id("n2"), Some(NodeId(2)));
        assert_eq!(address(1).as_deref(), Some("n2=h:2"));
        assert_eq!(address(7), None);
    }

    #[test]
    fn addresses_of_strangers_are_limited() {
        let book = AddressBook::default();
        book.learn(&members(&[(0, "n1")]));
        for id in 1..=OTHERS as u64 + 1 {
            assert!(book.heard(NodeId(id), "n9"));
        }
        assert_eq!(book.address(NodeId(1)), None);
        assert!(book.address(NodeId(2)).is_some());
        assert!(book.address(NodeId(0)).is_some());
    }
}
