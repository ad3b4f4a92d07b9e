//! The dissertation's §6.3, "Implementing linearizable semantics": the core's part.
//!
//! The servers' part, which filters out commands that come twice, is a state machine
//! (`raft/src/sessions`). The departure: not the client sends a command again, but the node that
//! took it. The client may do so too.

use raft_core::{
    Entry, Forward, ForwardReply, Input, Message, Outdated, Payload, Refusal, RequestId, Response,
    VoteReply,
};

use crate::node::{
    ELECTION, HEARTBEAT, Node, REQUEST_ID, Sent, append, entries, id, input_from, to,
};

/// The commands in these messages that go to a node as forwards.
fn forwards(node: u64, sent: &[Sent]) -> Vec<(RequestId, u64)> {
    let forwards = to(node, sent).into_iter().filter_map(|e| match e.message {
        Message::Forward(Forward { id, command }) => Some((id, *command)),
        _ => None,
    });
    forwards.collect()
}

/// A follower of node 3 in term 1, with one entry.
fn follower() -> Node {
    let mut node = Node::stored(3, 1, None, &[1]);
    node.receive(3, 1, append(id(1, 1), &[], 0));
    node
}

/// "If the leader crashes after committing the log entry but before responding to the client, the
/// client will retry the command": and so if a message is lost.
#[test]
fn command_is_sent_again_until_it_is_answered() {
    let mut node = follower();
    let first = forwards(3, &node.write(5));
    assert_eq!(first[0].1, 5);
    assert_eq!(forwards(3, &node.ticks(3 * HEARTBEAT - 1)), []);
    node.receive(3, 1, append(id(1, 1), &[], 0));
    assert_eq!(forwards(3, &node.ticks(1)), first, "under the same id");
    let (id_of_forward, outcome) = (first[0].0, 1);
    let reply = Message::ForwardReply(ForwardReply {
        id: id_of_forward,
        outcome,
    });
    node.receive(3, 1, reply.clone());
    node.receive(3, 1, reply);
    assert_eq!(node.answers, [(5, Response::Applied(1))]);
    assert_eq!(forwards(3, &node.ticks(ELECTION - 1)), []);
}

/// The retry goes to "a new leader", as soon as one is known.
#[test]
fn command_goes_to_the_next_leader_at_once() {
    let mut node = follower();
    let first = forwards(3, &node.write(5));
    let sent = node.receive(2, 2, append(id(1, 1), &[2], 0));
    assert_eq!(forwards(2, &sent), first);
    let sent = node.receive(2, 2, append(id(2, 2), &[], 0));
    assert_eq!(forwards(2, &sent), []);
}

/// A leader's own clients' commands, too: its entry was replaced.
#[test]
fn command_of_a_deposed_leader_goes_to_the_next() {
    let mut node = Node::stored(3, 1, None, &[1]);
    node.lead();
    node.write(7);
    assert_eq!(node.terms(), [1, 2, 2]);
    // Until it is replaced it may still commit: then the node answers it.
    let sent = node.receive(3, 3, append(id(1, 1), &[], 0));
    assert_eq!(forwards(3, &sent), []);
    let sent = node.receive(3, 3, append(id(1, 1), &[3], 0));
    let commands: Vec<u64> = forwards(3, &sent).into_iter().map(|f| f.1).collect();
    assert_eq!(commands, [7]);
    assert_eq!(node.answers, []);
}

/// A node that takes over the leadership appends what it had sent to the former leader.
#[test]
fn new_leader_appends_what_it_had_sent() {
    let mut node = follower();
    node.write(5);
    node.ticks(ELECTION - 1);
    node.lead();
    let mut commands = node.disk.entries.iter().filter_map(command);
    assert_eq!(commands.next_back(), Some(5));
}

/// "Executed multiple times": a command that was sent may be in a log, so it ends as unknown; one
/// that was not is refused.
#[test]
fn command_that_was_sent_is_never_refused() {
    let mut node = follower();
    node.write(5);
    while node.status().leader.is_some() {
        node.ticks(1);
    }
    node.write(6);
    node.ticks(3 * ELECTION);
    let answers = [
        (5, Response::Unknown),
        (6, Response::Refused(Refusal::NoLeader)),
    ];
    assert_eq!(node.answers, answers);
}

/// A leader does not decide what is a duplicate: it only keeps one copy at a time in the part of its
/// log that is not applied.
#[test]
fn leader_appends_a_forward_again_once_it_is_applied() {
    let mut node = Node::stored(3, 1, None, &[]);
    let appends = node.lead();
    let forward = || {
        let (id, command) = (REQUEST_ID, 5.into());
        Message::Forward(Forward { id, command })
    };
    for _ in 0..3 {
        node.receive(2, 2, forward());
    }
    let count = |node: &Node| node.disk.entries.iter().filter_map(command).count();
    assert_eq!(count(&node), 1);
    let acknowledged = crate::node::appended(&appends[0], 2);
    let sent = node.receive(appends[0].to.0, 2, acknowledged);
    let answers = |envelope: &&Sent| matches!(envelope.message, Message::ForwardReply(_));
    assert_eq!(to(2, &sent).iter().filter(answers).count(), 1);
    node.receive(2, 2, forward());
    assert_eq!(count(&node), 2);
}

/// A node that does not lead drops a forward: a reply could only say what it does not know.
#[test]
fn node_that_does_not_lead_drops_a_forward() {
    let mut node = follower();
    let (id, command) = (REQUEST_ID, 5.into());
    let sent = node.receive(2, 1, Message::Forward(Forward { id, command }));
    assert!(sent.is_empty(), "{sent:?}");
    assert_eq!(node.status().counters.dropped.unexpected, 1);
    assert_eq!(node.disk.entries, entries(1, &[1]));
}

fn command(entry: &Entry<u64>) -> Option<u64> {
    match &entry.payload {
        Payload::Command(command) => Some(**command),
        Payload::Blank | Payload::Membership(_) => None,
    }
}

/// A message that carries nothing but a higher term: no leader is known after it.
fn outdated(term: u64) -> Input<crate::node::Journal> {
    input_from(2, 1, term, Message::Outdated(Outdated))
}

/// Nor is a command refused whose entry was replaced, if no leader is known then.
#[test]
fn command_of_a_deposed_leader_is_never_refused() {
    let mut node = Node::stored(3, 1, None, &[1]);
    node.lead();
    node.write(7);
    let replaced = input_from(3, 1, 3, append(id(1, 1), &[3], 0));
    node.steps([replaced, outdated(4)]);
    node.ticks(3 * ELECTION);
    assert_eq!(node.answers, [(7, Response::Unknown)]);
}

/// Nor one that was sent to a former leader, if this node led in between and appended nothing.
#[test]
fn command_of_a_short_leadership_is_never_refused() {
    let mut node = follower();
    node.write(5);
    node.ticks(ELECTION - 1);
    let vote = &node.campaign()[0];
    let granted = Message::VoteReply(VoteReply { granted: true });
    node.steps([input_from(vote.to.0, 1, 2, granted), outdated(3)]);
    node.ticks(3 * ELECTION);
    assert_eq!(node.answers, [(5, Response::Unknown)]);
}

/// A leader that lost the entry of a forward appends the next copy, once it leads again.
#[test]
fn forward_whose_entry_was_replaced_is_appended_again() {
    let mut node = Node::stored(3, 1, None, &[1]);
    node.lead();
    let forward = || {
        let (id, command) = (REQUEST_ID, 5.into());
        Message::Forward(Forward { id, command })
    };
    node.receive(2, 2, forward());
    node.receive(3, 3, append(id(1, 1), &[3], 0));
    node.lead();
    node.receive(2, 4, forward());
    let last = node.disk.entries.last().and_then(command);
    assert_eq!(last, Some(5));
}
