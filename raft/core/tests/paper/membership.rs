//! §6, "Cluster membership changes", and chapter 4 of the dissertation.

use std::collections::BTreeSet;

use raft_core::{
    Input, Message, NodeId, NotChanged, Refusal, Response, RoleName, Ticket, VoteReply,
};

use crate::node::{ELECTION, Journal, Node, appended, deliver_all, id, to, vote};

/// A change that adds no node and removes these, under a ticket.
fn removal(ticket: u64, nodes: &[u64]) -> Input<Journal> {
    Input::ChangeMembers {
        ticket: Ticket(ticket),
        add: Vec::new(),
        remove: nodes.iter().copied().map(NodeId).collect(),
    }
}

/// A leader of 1 to `size` that has committed its blank entry, of index 1 and term 1.
fn leader(size: u64) -> Node {
    let mut node = Node::new(1, size);
    for append in node.lead() {
        node.receive(append.to.0, 1, appended(&append, 1));
    }
    assert_eq!(node.commit(), 1);
    node
}

fn voters(node: &Node) -> BTreeSet<u64> {
    let membership = node.status().membership;
    membership.voters().map(|voter| voter.0).collect()
}

/// "Once a given server adds the new configuration entry to its log, it uses that configuration for
/// all future decisions (a server always uses the latest configuration in its log, regardless of
/// whether the entry is committed)."
#[test]
fn membership_is_used_once_it_is_in_the_log() {
    let mut node = leader(3);
    node.step(removal(7, &[3]));
    assert_eq!(node.commit(), 1);
    assert!(node.status().membership.is_joint());
}

/// "Agreement (for elections and entry commitment) requires separate majorities from both the old
/// and new configurations."
#[test]
fn joint_membership_needs_both_majorities() {
    // The old set is 1 to 5, the new one 1, 2, 3.
    let mut node = leader(5);
    let sent = node.step(removal(7, &[4, 5]));
    let acknowledge = |node: &mut Node, from: u64| {
        let append = to(from, &sent).pop().expect("an Append to each");
        node.receive(from, 1, appended(&append, 2))
    };
    // With node 1, nodes 4 and 5 are a majority of the old set alone.
    acknowledge(&mut node, 4);
    acknowledge(&mut node, 5);
    assert_eq!(node.commit(), 1);
    // Nodes 1 and 2 are a majority of the new set.
    acknowledge(&mut node, 2);
    assert_eq!(node.commit(), 2);
}

/// "Once C_old,new has been committed, ... it is now safe for the leader to create a log entry
/// describing C_new."
#[test]
fn new_membership_follows_the_committed_joint_one() {
    let (mut one, mut two, mut three) = (leader(3), Node::new(2, 3), Node::new(3, 3));
    let sent = one.step(removal(7, &[3]));
    assert!(one.status().membership.is_joint());
    deliver_all(&mut [&mut one, &mut two, &mut three], sent);
    assert!(!one.status().membership.is_joint());
    assert_eq!(voters(&one), BTreeSet::from([1, 2]));
    assert_eq!(one.answers, [(7, Response::MembersChanged)]);
}

/// "The cluster leader may not be part of the new configuration. In this case, the leader steps down
/// (returns to follower state) once it has committed the C_new log entry. ... it does not count itself
/// in majorities."
#[test]
fn removed_leader_steps_down_after_its_last_commit() {
    let (mut one, mut two, mut three) = (leader(3), Node::new(2, 3), Node::new(3, 3));
    let sent = one.step(removal(7, &[1]));
    deliver_all(&mut [&mut one, &mut two, &mut three], sent);
    assert_eq!(one.answers, [(7, Response::MembersChanged)]);
    assert_eq!((one.role(), one.commit()), (RoleName::Leader, 3));
    // The departure: it hands its leadership over first (thesis §4.2.2).
    let sent = one.ticks(1);
    deliver_all(&mut [&mut one, &mut two, &mut three], sent);
    assert_eq!(one.role(), RoleName::Follower);
    assert_eq!(
        (two.role(), three.role()),
        (RoleName::Follower, RoleName::Leader)
    );
    assert_eq!(three.commit(), 4);
    // "Removed servers ... will then time out and start new elections": this one does not.
    assert_eq!(one.ticks(10 * ELECTION), []);
}

/// "A server that is not part of its own latest configuration should still start new elections, as it
/// might still be needed until the C_new entry is committed. It does not count its own vote" (thesis
/// §4.2.2).
#[test]
fn removed_node_campaigns_until_its_removal_is_committed() {
    let (mut one, mut two, mut three) = (leader(3), Node::new(2, 3), Node::new(3, 3));
    let sent = one.step(removal(7, &[1]));
    // The joint membership commits; the new one, without node 1, reaches no other log.
    deliver_all(&mut [&mut two, &mut three], sent.clone());
    for append in &sent {
        one.receive(append.to.0, 1, appended(append, 2));
    }
    assert!(one.commit() == 2 && voters(&one) == BTreeSet::from([2, 3]));
    // All restart, so that no voter has heard from a leader lately.
    for node in [&mut one, &mut two, &mut three] {
        node.restart();
    }
    let votes = one.campaign();
    assert_eq!(votes.len(), 2);
    deliver_all(&mut [&mut one, &mut two, &mut three], votes);
    assert_eq!(one.role(), RoleName::Leader);
}

/// "A server ... grants votes to a candidate that is not part of its current configuration" (thesis
/// §4.1): without this, a cluster could be unable to elect.
#[test]
fn candidate_that_is_no_member_gets_a_vote() {
    let mut node = Node::stored(3, 3, None, &[1]);
    let sent = node.receive(4, 9, vote(id(1, 1)));
    let granted = true;
    let reply = Message::VoteReply(VoteReply { granted });
    assert_eq!(
        sent.into_iter().map(|s| s.message).collect::<Vec<_>>(),
        [reply]
    );
}

/// The correction of the single-server change (2015), kept for joint changes too: a leader must have
/// committed in its own term before it begins a change. And one change at a time.
#[test]
fn change_waits_for_a_commit_and_for_the_change_before() {
    let refused = |node: &Node| {
        let refusal = Refusal::NotChanged(NotChanged::UnderWay);
        node.answers == [(7, Response::Refused(refusal))]
    };
    let mut node = Node::new(1, 3);
    node.lead();
    node.step(removal(7, &[3]));
    assert!(refused(&node) && voters(&node).len() == 3);
    let mut node = leader(3);
    node.step(removal(6, &[3]));
    node.step(removal(7, &[2]));
    assert!(refused(&node));
}

/// "New servers join the cluster as non-voting members" (thesis §4.2.1), and vote once they have
/// caught up.
#[test]
fn new_node_votes_once_it_has_caught_up() {
    let (mut one, mut two) = (Node::new(1, 1), Node::new(2, 0));
    one.ticks(1);
    let add = vec!["two".into()];
    let (ticket, remove) = (Ticket(7), BTreeSet::new());
    let sent = one.step(Input::ChangeMembers {
        ticket,
        add,
        remove,
    });
    assert_eq!(voters(&one), BTreeSet::from([1]));
    deliver_all(&mut [&mut one, &mut two], sent);
    assert_eq!(voters(&one), BTreeSet::from([1, 2]));
    assert_eq!(voters(&two), BTreeSet::from([1, 2]));
}
