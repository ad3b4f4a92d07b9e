//! Figure 2, "RequestVote RPC".

use raft_core::{EntryId, Message, NodeId, PreVote, PreVoteReply, Term, VoteReply};

use crate::table::{ELECTION, HEARTBEAT, Node, QUESTION, append, granted, id, only, vote};

/// A candidate invokes it to gather votes, and says what its last entry is; its term and its name
/// stand on the envelope.
#[test]
fn a_candidate_names_its_term_itself_and_its_last_entry() {
    let mut node = Node::stored(3, 4, None, &[1, 3, 3]);
    for request in node.campaign() {
        assert_eq!(request.message, vote(id(3, 3)));
        assert_eq!((request.from, request.term), (NodeId(1), Term(5)));
    }
}

/// Results: the voter's term, so that the candidate can update itself, and whether it has the vote.
#[test]
fn a_voter_says_its_term_and_whether_it_grants_the_vote() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let reply = only(node.hears(2, 2, vote(id(1, 1))));
    assert_eq!(
        reply.message,
        Message::VoteReply(VoteReply { granted: true })
    );
    assert_eq!((reply.to, reply.term), (NodeId(2), Term(2)));
    let reply = only(node.hears(3, 2, vote(id(1, 1))));
    assert_eq!(
        reply.message,
        Message::VoteReply(VoteReply { granted: false })
    );
    assert_eq!((reply.to, reply.term), (NodeId(3), Term(2)));
}

/// Receiver 1: a candidate of a former term is refused, and told the current one.
#[test]
fn receiver_1_a_candidate_of_a_former_term_is_refused() {
    let mut node = Node::stored(3, 3, None, &[1]);
    let refusal = only(node.hears(2, 2, vote(id(9, 2))));
    assert_eq!(
        refusal.message,
        Message::VoteReply(VoteReply { granted: false })
    );
    assert_eq!(refusal.term, Term(3));
    assert_eq!((node.term(), node.vote()), (3, None));
}

/// Receiver 2: who has voted for nobody in this term may vote.
#[test]
fn receiver_2_who_has_not_voted_in_this_term_grants_its_vote() {
    let mut node = Node::stored(3, 1, None, &[1]);
    assert!(granted(node.hears(2, 1, vote(id(1, 1)))));
    // The next term has a vote of its own.
    assert!(granted(node.hears(3, 2, vote(id(1, 1)))));
}

/// Receiver 2: who has voted for the candidate itself says so again, since the first answer may be
/// lost.
#[test]
fn receiver_2_who_has_voted_for_the_candidate_answers_so_again() {
    let mut node = Node::stored(3, 1, Some(2), &[1]);
    assert!(granted(node.hears(2, 1, vote(id(1, 1)))));
    assert!(granted(node.hears(2, 1, vote(id(1, 1)))));
}

/// Receiver 2: who has voted for another in this term refuses, however good the candidate's log is,
/// and after a restart too.
#[test]
fn receiver_2_who_has_voted_for_another_refuses() {
    let mut node = Node::stored(3, 1, None, &[1]);
    assert!(granted(node.hears(2, 2, vote(id(1, 1)))));
    assert!(!granted(node.hears(3, 2, vote(id(5, 2)))));
    node.restart();
    assert!(!granted(node.hears(3, 2, vote(id(5, 2)))));
    // A candidate has voted for itself.
    node.campaign();
    assert!(!granted(node.hears(3, 3, vote(id(5, 2)))));
}

/// Receiver 2: a candidate's log must be at least as up to date as the voter's (§5.4.1). The later
/// last term wins; of two logs with the same last term the longer one.
#[test]
fn receiver_2_a_candidate_whose_log_is_less_up_to_date_is_refused() {
    for (last, enough) in [
        (id(3, 2), true),
        (id(4, 2), true),
        (id(1, 3), true),
        (id(2, 2), false),
        (id(9, 1), false),
        (EntryId::default(), false),
    ] {
        let mut node = Node::stored(3, 3, None, &[1, 2, 2]);
        assert_eq!(granted(node.hears(2, 3, vote(last))), enough, "{last}");
        assert_eq!(node.vote(), enough.then_some(2), "{last}");
    }
}

/// A refusal is not a vote: the next candidate of the term may have it.
#[test]
fn a_vote_that_was_refused_is_still_free() {
    let mut node = Node::stored(3, 1, None, &[1]);
    assert!(!granted(node.hears(2, 2, vote(EntryId::default()))));
    assert!(granted(node.hears(3, 2, vote(id(1, 1)))));
}

/// The departure: who heard a leader within an election timeout refuses, whatever the candidate's
/// term and log, and adopts nothing (§6, thesis §4.2.3). So does a leader who hears a quorum.
#[test]
fn who_hears_a_leader_refuses_and_adopts_nothing() {
    let mut node = Node::stored(3, 1, None, &[1]);
    node.hears(2, 1, append(id(1, 1), &[], 0));
    node.ticks(ELECTION - 1);
    let refusal = only(node.hears(3, 7, vote(id(9, 6))));
    assert_eq!(
        refusal.message,
        Message::VoteReply(VoteReply { granted: false })
    );
    assert_eq!((refusal.term, node.term()), (Term(1), 1));
    node.ticks(1);
    assert!(granted(node.hears(3, 7, vote(id(9, 6)))));

    let mut leader = Node::new(1, 3);
    leader.lead();
    leader.ticks(HEARTBEAT);
    assert!(!granted(leader.hears(3, 7, vote(id(9, 6)))));
    assert_eq!(leader.term(), 1);
}

/// The other departure: before it disturbs anybody with a new term, a node asks whether it would be
/// elected (thesis §9.6). The answer is the one that a request for a vote would get, and binds
/// nobody.
#[test]
fn a_pre_vote_is_answered_as_a_vote_would_be_and_changes_nothing() {
    for (last, enough) in [(id(2, 2), true), (id(1, 2), false), (id(9, 1), false)] {
        let mut node = Node::stored(3, 3, Some(3), &[1, 2]);
        let round = QUESTION;
        let reply = only(node.hears(2, 3, Message::PreVote(PreVote { round, last })));
        let granted = enough;
        assert_eq!(
            reply.message,
            Message::PreVoteReply(PreVoteReply { round, granted })
        );
        assert_eq!((node.term(), node.vote()), (3, Some(3)));
    }
}
