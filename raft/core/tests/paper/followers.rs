//! Figure 2, "Rules for Servers", "Followers".

use raft_core::{EntryId, Message, NodeId, PreVote, PreVoteReply, RoleName, Round};

use crate::table::{ELECTION, Node, QUESTION, append, ask_for_election, granted, id, only, vote};

/// Followers answer what candidates and leaders ask, each question once.
#[test]
fn a_follower_answers_candidates_and_leaders() {
    let mut node = Node::stored(3, 2, None, &[1]);
    for (message, kind) in [
        (
            Message::PreVote(PreVote {
                round: QUESTION,
                last: id(1, 1),
            }),
            "pre_vote_reply",
        ),
        (vote(id(1, 1)), "vote_reply"),
        (append(id(1, 1), &[2], 0), "appended"),
        (append(id(3, 2), &[], 0), "append_rejected"),
        (
            Message::Round(Round {
                id: QUESTION,
                commit: id(1, 1),
            }),
            "round_reply",
        ),
    ] {
        let reply = only(node.hears(2, 2, message));
        assert_eq!((reply.message.kind(), reply.to), (kind, NodeId(2)));
    }
}

/// They say nothing of their own accord (§5.1), until an election timeout has gone by.
#[test]
fn a_follower_says_nothing_unasked() {
    let mut node = Node::stored(3, 2, None, &[1]);
    assert!(node.ticks(ELECTION - 1).is_empty());
    node.hears(2, 2, append(id(1, 1), &[], 0));
    assert!(node.ticks(ELECTION - 1).is_empty());
}

/// If an election timeout goes by in which no leader spoke and no vote was granted, a follower
/// becomes a candidate.
///
/// It becomes a pre-candidate first: it asks whether it would be elected (thesis §9.6), in its old
/// term. Only if a quorum encourages it, the election begins.
#[test]
fn a_follower_that_hears_nobody_for_an_election_timeout_becomes_a_candidate() {
    let mut node = Node::stored(3, 2, None, &[1]);
    node.ticks(ELECTION - 1);
    assert_eq!(node.role(), RoleName::Follower);
    let questions = node.ticks(1);
    assert!(ask_for_election(&questions));
    assert_eq!((node.role(), node.term()), (RoleName::PreCandidate, 2));
    let Message::PreVote(PreVote { round, .. }) = questions[0].message else {
        panic!("{questions:?}");
    };
    let granted = true;
    node.hears(3, 2, Message::PreVoteReply(PreVoteReply { round, granted }));
    assert_eq!((node.role(), node.term()), (RoleName::Candidate, 3));
}

/// A leader's AppendEntries begins the timeout anew, be it a heartbeat, entries, or one that has to
/// be refused.
#[test]
fn what_the_current_leader_says_holds_off_the_election() {
    for message in [
        append(id(1, 1), &[], 0),
        append(id(1, 1), &[2], 0),
        append(id(7, 2), &[2], 0),
    ] {
        let mut node = Node::stored(3, 2, None, &[1]);
        for _ in 0..5 {
            node.ticks(ELECTION - 1);
            node.hears(2, 2, message.clone());
        }
        assert!(node.ticks(ELECTION - 1).is_empty());
        assert!(ask_for_election(&node.ticks(1)));
    }
}

/// Granting a vote begins the timeout anew, too; refusing one does not, nor does encouraging
/// somebody, or what a former leader says.
#[test]
fn granting_a_vote_holds_off_the_election_and_nothing_less_does() {
    let round = QUESTION;
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
        node.hears(2, term, message.clone());
        let asks = ask_for_election(&node.ticks(1));
        assert_eq!(asks, !holds_off, "{message:?}");
    }
    // The refusal of a candidate whom the node has not voted for.
    let mut node = Node::stored(3, 2, Some(3), &[1]);
    node.ticks(ELECTION - 1);
    assert!(!granted(node.hears(2, 2, vote(last))));
    assert!(ask_for_election(&node.ticks(1)));
}
