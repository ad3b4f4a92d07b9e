//! Figure 2, "Rules for Servers", "Candidates".

use raft_core::{Message, NodeId, PreVote, PreVoteReply, RoleName, Term, VoteReply};

use crate::node::{ELECTION, Node, append, are_pre_votes, granted, id, vote};

const GRANTED: bool = true;

/// A vote for the node, or against it.
fn ballot(node: &mut Node, from: u64, granted: bool) {
    let term = node.term();
    node.receive(from, term, Message::VoteReply(VoteReply { granted }));
}

/// A new candidate enters the next term.
#[test]
fn candidate_increments_its_term() {
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    assert_eq!((node.term(), node.disk.ballot.term()), (5, Term(5)));
}

/// A candidate votes for itself.
#[test]
fn candidate_votes_for_itself() {
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

/// A candidate resets its election timer: its election may take a whole timeout.
#[test]
fn candidate_resets_its_timer() {
    let mut node = Node::stored(3, 4, None, &[1]);
    let pre_votes = node.ticks(ELECTION);
    node.ticks(ELECTION - 1);
    let Message::PreVote(PreVote { round, .. }) = pre_votes[0].message else {
        panic!("{pre_votes:?}");
    };
    let granted = true;
    node.receive(2, 4, Message::PreVoteReply(PreVoteReply { round, granted }));
    node.ticks(ELECTION - 1);
    assert_eq!(node.role(), RoleName::Candidate);
    node.ticks(1);
    assert_ne!(node.role(), RoleName::Candidate);
}

/// A candidate asks all others for their votes.
#[test]
fn candidate_asks_all_others() {
    let mut node = Node::stored(5, 4, None, &[1, 3]);
    let asked: Vec<(u64, Message<_>)> = (node.campaign().into_iter())
        .map(|envelope| (envelope.to.0, envelope.message))
        .collect();
    let all: Vec<_> = (2..=5).map(|node| (node, vote(id(2, 3)))).collect();
    assert_eq!(asked, all);
}

/// Votes of a majority of the servers, and not one less, make a leader. Each voter counts once.
#[test]
fn candidate_with_votes_of_a_majority_becomes_leader() {
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
            assert_eq!(node.role(), status.role, "a repeated vote");
        }
        assert_eq!(node.role(), RoleName::Leader);
    }
    // A lone voter's own vote is a majority.
    let mut lone = Node::stored(1, 4, None, &[1]);
    lone.ticks(1);
    assert_eq!((lone.role(), lone.term()), (RoleName::Leader, 5));
}

/// A granted vote stays, even if a later reply of the voter refuses.
#[test]
fn granted_vote_is_not_taken_back() {
    let mut node = Node::stored(5, 4, None, &[1]);
    node.campaign();
    ballot(&mut node, 2, GRANTED);
    ballot(&mut node, 2, !GRANTED);
    ballot(&mut node, 3, GRANTED);
    assert_eq!(node.role(), RoleName::Leader);
}

/// Refusals are no votes. Once a majority has refused, the candidate becomes a follower and waits
/// for the next election.
#[test]
fn refusals_do_not_elect() {
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

/// A vote counts only in its own term: a reply to an earlier election does not elect.
#[test]
fn votes_of_a_lower_term_do_not_count() {
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    node.ticks(ELECTION);
    node.campaign();
    assert_eq!(node.term(), 6);
    node.receive(2, 5, Message::VoteReply(VoteReply { granted: true }));
    node.receive(3, 5, Message::VoteReply(VoteReply { granted: true }));
    assert_eq!(node.role(), RoleName::Candidate);
}

/// AppendEntries from a leader of at least its own term makes a candidate a follower, which also
/// handles the Append.
#[test]
fn candidate_follows_a_new_leader() {
    for term in [5, 6] {
        let mut node = Node::stored(3, 4, None, &[1]);
        node.campaign();
        node.receive(2, term, append(id(1, 1), &[term], 1));
        assert_eq!((node.role(), node.term()), (RoleName::Follower, term));
        assert_eq!(node.status().leader, Some(NodeId(2)));
        assert_eq!((node.terms(), node.commit()), (vec![1, term], 1));
        // In the same term, the vote for itself stays.
        assert_eq!(node.vote(), (term == 5).then_some(1));
    }
    // A candidate does not follow a leader of a lower term.
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    node.receive(2, 4, append(id(1, 1), &[4], 1));
    assert_eq!((node.role(), node.terms()), (RoleName::Candidate, vec![1]));
}

/// If the election timeout passes without a winner, a new election begins, in another term.
///
/// The departure: a pre-vote comes first, in the present term, and the timeout doubles, so that
/// elections succeed at any latency.
#[test]
fn candidate_starts_a_new_election_at_its_timeout() {
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    assert!(are_pre_votes(&node.ticks(ELECTION)));
    assert_eq!((node.role(), node.term()), (RoleName::PreCandidate, 5));
    assert!(node.ticks(2 * ELECTION - 1).is_empty());
    let requests = node.campaign();
    assert_eq!((requests.len(), node.term(), node.vote()), (2, 6, Some(1)));
}

/// A candidate grants no other candidate a vote in the term of its own election.
#[test]
fn candidate_refuses_its_rivals() {
    let mut node = Node::stored(3, 4, None, &[1]);
    node.campaign();
    assert!(!granted(node.receive(2, 5, vote(id(7, 4)))));
    assert_eq!(node.role(), RoleName::Candidate);
}
