//! Figure 2, "Rules for Servers", "Candidates".

use raft_core::{Message, NodeId, PreVote, PreVoteReply, RoleName, Term, VoteReply};

use crate::table::{ELECTION, Node, append, ask_for_election, granted, id, vote};

const GRANTED: bool = true;

/// A vote for the node, or against it.
fn ballot(node: &mut Node, from: u64, granted: bool) {
    let term = node.term();
    node.hears(from, term, Message::VoteReply(VoteReply { granted }));
}

/// Whoever becomes a candidate enters the next term.
#[test]
fn a_candidate_increments_its_term() {
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    assert_eq!((node.term(), node.disk.ballot.term()), (5, Term(5)));
}

/// It votes for itself.
#[test]
fn a_candidate_votes_for_itself() {
    let mut node = Node::stored(5, 4, Some(2), &[1]);
    node.campaign();
    assert_eq!(
        (node.vote(), node.disk.ballot.vote()),
        (Some(1), Some(NodeId(1)))
    );
    // Its own vote counts: of five, two more suffice.
    ballot(&mut node, 2, GRANTED);
    assert_eq!(node.role(), RoleName::Candidate);
    ballot(&mut node, 3, GRANTED);
    assert_eq!(node.role(), RoleName::Leader);
}

/// It resets its election timer: it has a whole timeout to be elected in.
#[test]
fn a_candidate_resets_its_timer() {
    let mut node = Node::stored(3, 4, None, &[1]);
    let questions = node.ticks(ELECTION);
    node.ticks(ELECTION - 1);
    let Message::PreVote(PreVote { round, .. }) = questions[0].message else {
        panic!("{questions:?}");
    };
    let granted = true;
    node.hears(2, 4, Message::PreVoteReply(PreVoteReply { round, granted }));
    node.ticks(ELECTION - 1);
    assert_eq!(node.role(), RoleName::Candidate);
    node.ticks(1);
    assert_ne!(node.role(), RoleName::Candidate);
}

/// It asks all others for their votes.
#[test]
fn a_candidate_asks_all_others() {
    let mut node = Node::stored(5, 4, None, &[1, 3]);
    let asked: Vec<(u64, Message<_>)> = (node.campaign().into_iter())
        .map(|letter| (letter.to.0, letter.message))
        .collect();
    let all: Vec<_> = (2..=5).map(|node| (node, vote(id(2, 3)))).collect();
    assert_eq!(asked, all);
}

/// Votes of a majority of the servers make it leader: not one less, and each voter counts once.
#[test]
fn a_candidate_with_votes_of_a_majority_becomes_leader() {
    for size in 2..=7 {
        let mut node = Node::stored(size, 4, None, &[1]);
        node.campaign();
        for voter in 2..=size {
            let votes = voter - 1;
            let wins = 2 * votes > size;
            let role = if wins {
                RoleName::Leader
            } else {
                RoleName::Candidate
            };
            assert_eq!(node.role(), role, "{votes} of {size}");
            ballot(&mut node, voter, GRANTED);
            let status = node.status();
            ballot(&mut node, voter, GRANTED);
            assert_eq!(node.role(), status.role, "the same vote twice");
        }
        assert_eq!(node.role(), RoleName::Leader);
    }
    // Alone, its own vote is a majority.
    let mut alone = Node::stored(1, 4, None, &[1]);
    alone.ticks(1);
    assert_eq!((alone.role(), alone.term()), (RoleName::Leader, 5));
}

/// A vote that was given stays: what the voter answers later, when it hears a leader, say, takes
/// nothing back.
#[test]
fn a_vote_is_not_taken_back() {
    let mut node = Node::stored(5, 4, None, &[1]);
    node.campaign();
    ballot(&mut node, 2, GRANTED);
    ballot(&mut node, 2, !GRANTED);
    ballot(&mut node, 3, GRANTED);
    assert_eq!(node.role(), RoleName::Leader);
}

/// Refusals are no votes. Once a majority has refused, the candidate waits for another's election,
/// or its own next one.
#[test]
fn refusals_elect_nobody() {
    let mut node = Node::stored(5, 4, None, &[1]);
    node.campaign();
    for voter in [2, 3] {
        ballot(&mut node, voter, !GRANTED);
        assert_eq!(node.role(), RoleName::Candidate);
    }
    ballot(&mut node, 4, !GRANTED);
    assert_eq!((node.role(), node.term()), (RoleName::Follower, 5));
    ballot(&mut node, 5, GRANTED);
    assert_eq!(node.role(), RoleName::Follower);
}

/// A vote is one for the term in which it was given: an answer to a former election elects nobody.
#[test]
fn votes_of_a_former_term_do_not_count() {
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    node.ticks(ELECTION);
    node.campaign();
    assert_eq!(node.term(), 6);
    node.hears(2, 5, Message::VoteReply(VoteReply { granted: true }));
    node.hears(3, 5, Message::VoteReply(VoteReply { granted: true }));
    assert_eq!(node.role(), RoleName::Candidate);
}

/// AppendEntries from a new leader, which its term proves, makes it a follower, and the Append
/// counts.
#[test]
fn a_candidate_that_hears_a_new_leader_follows_it() {
    for term in [5, 6] {
        let mut node = Node::stored(3, 4, None, &[1]);
        node.campaign();
        node.hears(2, term, append(id(1, 1), &[term], 1));
        assert_eq!((node.role(), node.term()), (RoleName::Follower, term));
        assert_eq!(node.status().leader, Some(NodeId(2)));
        assert_eq!((node.terms(), node.commit()), (vec![1, term], 1));
        // In the same term its vote stays its own.
        assert_eq!(node.vote(), (term == 5).then_some(1));
    }
    // A former leader is nobody's.
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    node.hears(2, 4, append(id(1, 1), &[4], 1));
    assert_eq!((node.role(), node.terms()), (RoleName::Candidate, vec![1]));
}

/// If an election timeout goes by and nobody has won, a new election begins, in another term.
///
/// First it asks again whether it would be elected, in its term as it is; and it has twice the time
/// then, so that any latency elects in the end.
#[test]
fn a_candidate_whose_election_times_out_starts_a_new_one() {
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    assert!(ask_for_election(&node.ticks(ELECTION)));
    assert_eq!((node.role(), node.term()), (RoleName::PreCandidate, 5));
    assert!(node.ticks(2 * ELECTION - 1).is_empty());
    let requests = node.campaign();
    assert_eq!((requests.len(), node.term(), node.vote()), (2, 6, Some(1)));
}

/// It grants nobody else its vote in its own election.
#[test]
fn a_candidate_refuses_its_rivals() {
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    assert!(!granted(node.hears(2, 5, vote(id(7, 4)))));
    assert_eq!(node.role(), RoleName::Candidate);
}
