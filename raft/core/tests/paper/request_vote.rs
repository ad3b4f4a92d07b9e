//! Figure 2, "RequestVote RPC".

use raft_core::{EntryId, Message, NodeId, PreVote, PreVoteReply, Term, VoteReply};

use crate::node::{ELECTION, HEARTBEAT, Node, REQUEST_ID, append, granted, id, only, vote};

/// Candidates send RequestVote to gather votes. It carries their last entry; the envelope carries
/// term and id.
#[test]
fn vote_request_carries_term_candidate_and_last_entry() {
    let mut node = Node::stored(3, 4, None, &[1, 3, 3]);
    for request in node.campaign() {
        assert_eq!(request.message, vote(id(3, 3)));
        assert_eq!((request.from, request.term), (NodeId(1), Term(5)));
    }
}

/// Results: the voter's term, for the candidate to update itself, and whether the vote is granted.
#[test]
fn vote_reply_carries_term_and_result() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let reply = only(node.receive(2, 2, vote(id(1, 1))));
    assert_eq!(
        reply.message,
        Message::VoteReply(VoteReply { granted: true })
    );
    assert_eq!((reply.to, reply.term), (NodeId(2), Term(2)));
    let reply = only(node.receive(3, 2, vote(id(1, 1))));
    assert_eq!(
        reply.message,
        Message::VoteReply(VoteReply { granted: false })
    );
    assert_eq!((reply.to, reply.term), (NodeId(3), Term(2)));
}

/// Receiver 1: a candidate of a lower term is refused; the reply carries the current term.
#[test]
fn receiver_1_candidate_of_a_lower_term_is_refused() {
    let mut node = Node::stored(3, 3, None, &[1]);
    let refusal = only(node.receive(2, 2, vote(id(9, 2))));
    assert_eq!(
        refusal.message,
        Message::VoteReply(VoteReply { granted: false })
    );
    assert_eq!(refusal.term, Term(3));
    assert_eq!((node.term(), node.vote()), (3, None));
}

/// Receiver 2: a node that has not voted in this term may vote.
#[test]
fn receiver_2_node_without_a_vote_in_the_term_grants_it() {
    let mut node = Node::stored(3, 1, None, &[1]);
    assert!(granted(node.receive(2, 1, vote(id(1, 1)))));
    // The next term has a vote of its own.
    assert!(granted(node.receive(3, 2, vote(id(1, 1)))));
}

/// Receiver 2: a node that has voted for the candidate grants the vote again, since the first reply
/// may be lost.
#[test]
fn receiver_2_vote_for_the_same_candidate_is_repeated() {
    let mut node = Node::stored(3, 1, Some(2), &[1]);
    assert!(granted(node.receive(2, 1, vote(id(1, 1)))));
    assert!(granted(node.receive(2, 1, vote(id(1, 1)))));
}

/// Receiver 2: a node that has voted for another candidate in this term refuses, also with an older
/// log than the candidate's, and after a restart.
#[test]
fn receiver_2_vote_for_another_candidate_is_refused() {
    let mut node = Node::stored(3, 1, None, &[1]);
    assert!(granted(node.receive(2, 2, vote(id(1, 1)))));
    assert!(!granted(node.receive(3, 2, vote(id(5, 2)))));
    node.restart();
    assert!(!granted(node.receive(3, 2, vote(id(5, 2)))));
    // A candidate has voted for itself.
    node.campaign();
    assert!(!granted(node.receive(3, 3, vote(id(5, 2)))));
}

/// Receiver 2: a candidate's log must be at least as up-to-date as the voter's (§5.4.1). The log with
/// the later last term is more up-to-date; with equal last terms, the longer one.
#[test]
fn receiver_2_candidate_with_an_older_log_is_refused() {
    for (last, enough) in [
        (id(3, 2), true),
        (id(4, 2), true),
        (id(1, 3), true),
        (id(2, 2), false),
        (id(9, 1), false),
        (EntryId::default(), false),
    ] {
        let mut node = Node::stored(3, 3, None, &[1, 2, 2]);
        assert_eq!(granted(node.receive(2, 3, vote(last))), enough, "{last}");
        assert_eq!(node.vote(), enough.then_some(2), "{last}");
    }
}

/// A refusal is not a vote: the next candidate of the term may get the vote.
#[test]
fn refused_vote_is_still_free() {
    let mut node = Node::stored(3, 1, None, &[1]);
    assert!(!granted(node.receive(2, 2, vote(EntryId::default()))));
    assert!(granted(node.receive(3, 2, vote(id(1, 1)))));
}

/// The departure: a node that heard from a leader within an election timeout refuses every candidate
/// and adopts no term from it (§6, thesis §4.2.3). So does a leader with a quorum.
#[test]
fn node_with_a_live_leader_refuses_and_keeps_its_term() {
    let mut node = Node::stored(3, 1, None, &[1]);
    node.receive(2, 1, append(id(1, 1), &[], 0));
    node.ticks(ELECTION - 1);
    let refusal = only(node.receive(3, 7, vote(id(9, 6))));
    assert_eq!(
        refusal.message,
        Message::VoteReply(VoteReply { granted: false })
    );
    assert_eq!((refusal.term, node.term()), (Term(1), 1));
    node.ticks(1);
    assert!(granted(node.receive(3, 7, vote(id(9, 6)))));

    let mut leader = Node::new(1, 3);
    leader.lead();
    leader.ticks(HEARTBEAT);
    assert!(!granted(leader.receive(3, 7, vote(id(9, 6)))));
    assert_eq!(leader.term(), 1);
}

/// The other departure: before it enters a new term, a node asks whether it would be elected (thesis
/// §9.6). The reply is that to a request for a vote, but does not bind the voter.
#[test]
fn pre_vote_is_answered_as_a_vote_and_changes_no_state() {
    for (last, enough) in [(id(2, 2), true), (id(1, 2), false), (id(9, 1), false)] {
        let mut node = Node::stored(3, 3, Some(3), &[1, 2]);
        let round = REQUEST_ID;
        let reply = only(node.receive(2, 3, Message::PreVote(PreVote { round, last })));
        let granted = enough;
        assert_eq!(
            reply.message,
            Message::PreVoteReply(PreVoteReply { round, granted })
        );
        assert_eq!((node.term(), node.vote()), (3, Some(3)));
    }
}
