//! Figure 2, "Rules for Servers", "Followers".

use raft_core::{EntryId, Message, NodeId, PreVote, PreVoteReply, RoleName, Round};

use crate::node::{ELECTION, Node, REQUEST_ID, append, are_pre_votes, granted, id, only, vote};

/// Followers answer each request of a candidate or leader once.
#[test]
fn follower_answers_candidates_and_leaders() {
    let mut node = Node::stored(3, 2, None, &[1]);
    for (message, kind) in [
        (
            Message::PreVote(PreVote {
                round: REQUEST_ID,
                last: id(1, 1),
            }),
            "pre_vote_reply",
        ),
        (vote(id(1, 1)), "vote_reply"),
        (append(id(1, 1), &[2], 0), "appended"),
        (append(id(3, 2), &[], 0), "append_rejected"),
        (
            Message::Round(Round {
                id: REQUEST_ID,
                commit: id(1, 1),
            }),
            "round_reply",
        ),
    ] {
        let reply = only(node.receive(2, 2, message));
        assert_eq!((reply.message.kind(), reply.to), (kind, NodeId(2)));
    }
}

/// Followers send no message but replies (§5.1), until the election timeout.
#[test]
fn follower_sends_only_replies() {
    let mut node = Node::stored(3, 2, None, &[1]);
    assert!(node.ticks(ELECTION - 1).is_empty());
    node.receive(2, 2, append(id(1, 1), &[], 0));
    assert!(node.ticks(ELECTION - 1).is_empty());
}

/// A follower becomes a candidate after an election timeout without an Append of the leader or a
/// granted vote.
///
/// The departure: it becomes a pre-candidate first, in its old term (thesis §9.6). Only if a quorum
/// grants its pre-vote, the election begins.
#[test]
fn follower_becomes_candidate_at_its_election_timeout() {
    let mut node = Node::stored(3, 2, None, &[1]);
    node.ticks(ELECTION - 1);
    assert_eq!(node.role(), RoleName::Follower);
    let pre_votes = node.ticks(1);
    assert!(are_pre_votes(&pre_votes));
    assert_eq!((node.role(), node.term()), (RoleName::PreCandidate, 2));
    let Message::PreVote(PreVote { round, .. }) = pre_votes[0].message else {
        panic!("{pre_votes:?}");
    };
    let granted = true;
    node.receive(3, 2, Message::PreVoteReply(PreVoteReply { round, granted }));
    assert_eq!((node.role(), node.term()), (RoleName::Candidate, 3));
}

/// Each AppendEntries of the leader resets the timer: a heartbeat, entries, or a rejected one.
#[test]
fn append_of_the_current_leader_resets_the_timer() {
    for message in [
        append(id(1, 1), &[], 0),
        append(id(1, 1), &[2], 0),
        append(id(7, 2), &[2], 0),
    ] {
        let mut node = Node::stored(3, 2, None, &[1]);
        for _ in 0..5 {
            node.ticks(ELECTION - 1);
            node.receive(2, 2, message.clone());
        }
        assert!(node.ticks(ELECTION - 1).is_empty());
        assert!(are_pre_votes(&node.ticks(1)));
    }
}

/// A granted vote resets the timer too; a refused vote, a pre-vote and an Append of a stale leader
/// do not.
#[test]
fn only_a_granted_vote_resets_the_timer() {
    let round = REQUEST_ID;
    let last = id(1, 1);
    for (message, term, holds_off) in [
        (vote(last), 2, true),
        (vote(EntryId::default()), 2, false),
        (vote(last), 1, false),
        (Message::PreVote(PreVote { round, last }), 2, false),
        (append(last, &[], 0), 1, false),
    ] {
        let mut node = Node::stored(3, 2, None, &[1]);
        node.ticks(ELECTION - 1);
        node.receive(2, term, message.clone());
        let asks = are_pre_votes(&node.ticks(1));
        assert_eq!(asks, !holds_off, "{message:?}");
    }
    // The refused candidate is not the one that has the node's vote.
    let mut node = Node::stored(3, 2, Some(3), &[1]);
    node.ticks(ELECTION - 1);
    assert!(!granted(node.receive(2, 2, vote(last))));
    assert!(are_pre_votes(&node.ticks(1)));
}
