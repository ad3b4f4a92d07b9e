//! Figure 2, "Rules for Servers", "All Servers".

use raft_core::{
    Append, AppendRejected, Appended, Incarnation, Index, Message, NodeId, Outdated, PreVote,
    PreVoteReply, RoleName, Round, RoundReply, Term, VoteReply,
};

use crate::node::{
    Disk, ELECTION, Node, REQUEST_ID, append, appended, entries, id, only, to, vote,
};

/// If `commitIndex` is above `lastApplied`, the entries between are applied, one by one and in
/// order.
///
/// The step that commits entries applies them. Blank entries do not reach the state machine.
#[test]
fn committed_entries_are_applied_in_log_order() {
    let mut node = Node::stored(3, 2, None, &[1, 1, 2]);
    node.receive(2, 2, append(id(3, 2), &[2, 2], 1));
    assert_eq!(node.applied(), [101]);
    node.receive(2, 2, append(id(5, 2), &[], 4));
    assert_eq!(node.applied(), [101, 102, 203, 204]);
    let mut leader = Node::new(1, 3);
    let blank = only(to(2, &leader.lead()));
    leader.write(7);
    leader.receive(2, 1, appended(&blank, 2));
    assert_eq!((leader.commit(), leader.applied()), (2, &[7][..]));
}

/// Brings a node of term 3 into each role.
fn one_of_each_role() -> Vec<Node> {
    let nodes = [
        (RoleName::Follower, 3),
        (RoleName::PreCandidate, 3),
        (RoleName::Candidate, 2),
        (RoleName::Leader, 2),
    ];
    let bring = |(role, term)| {
        let mut node = Node::stored(3, term, None, &[1]);
        match role {
            RoleName::Follower => {}
            RoleName::PreCandidate => drop(node.ticks(ELECTION)),
            RoleName::Candidate => drop(node.campaign()),
            RoleName::Leader => drop(node.lead()),
        }
        assert_eq!((node.role(), node.term()), (role, 3));
        node
    };
    nodes.into_iter().map(bring).collect()
}

/// If a request or a reply carries a higher term, the node adopts that term and becomes a follower.
///
/// The exception is a candidate's request to a node with a live leader, or to a leader with a
/// quorum: see `node_with_a_live_leader_refuses_and_keeps_its_term`.
#[test]
fn higher_term_makes_every_role_a_follower() {
    let stream = REQUEST_ID;
    let incarnation = Incarnation(2);
    let (matched, hint, prev) = (Index(1), id(1, 1), id(2, 3));
    let messages = [
        append(id(1, 1), &[], 0),
        Message::Appended(Appended {
            stream,
            incarnation,
            matched,
        }),
        Message::AppendRejected(AppendRejected {
            stream,
            incarnation,
            prev,
            hint,
        }),
        vote(id(1, 1)),
        Message::VoteReply(VoteReply { granted: false }),
        Message::PreVote(PreVote {
            round: stream,
            last: id(1, 1),
        }),
        Message::PreVoteReply(PreVoteReply {
            round: stream,
            granted: true,
        }),
        Message::Round(Round {
            id: stream,
            commit: id(1, 1),
        }),
        Message::RoundReply(RoundReply { id: stream }),
        Message::Outdated(Outdated),
    ];
    for message in messages {
        for mut node in one_of_each_role() {
            let (role, case) = (node.role(), format!("{} {message:?}", node.role()));
            node.receive(2, 8, message.clone());
            let asks = matches!(message, Message::Vote(_) | Message::PreVote(_));
            if asks && role == RoleName::Leader {
                assert_eq!((node.role(), node.term()), (role, 3), "{case}");
                continue;
            }
            assert_eq!(
                (node.role(), node.term()),
                (RoleName::Follower, 8),
                "{case}"
            );
            assert_eq!(node.disk.ballot.term(), Term(8), "{case}");
            let voted = matches!(message, Message::Vote(_));
            assert_eq!(node.vote(), voted.then_some(2), "{case}");
        }
    }
}

/// A message of an equal or lower term does not change the term.
#[test]
fn lower_term_is_not_adopted() {
    for mut node in one_of_each_role() {
        let before = node.status();
        node.receive(2, 2, append(id(1, 1), &[], 1));
        node.receive(2, 2, vote(id(9, 2)));
        node.receive(2, 2, Message::VoteReply(VoteReply { granted: true }));
        let after = node.status();
        assert_eq!((before.role, before.ballot), (after.role, after.ballot));
        assert_eq!((before.last, before.commit), (after.last, after.commit));
    }
}

/// The departure: a node checks first that each reply is from a member, and that each message is from
/// another node, to itself, and plausible.
#[test]
fn malformed_or_foreign_message_is_dropped() {
    let mut node = Node::stored(3, 3, None, &[1]);
    let Disk { ballot, .. } = node.disk;
    let mut gap = append(id(1, 1), &[3, 3], 0);
    if let Message::Append(Append { entries: sent, .. }) = &mut gap {
        *sent = [entries(2, &[3]), entries(4, &[3])].concat();
    }
    for (from, term, message) in [
        (4, 9, Message::VoteReply(VoteReply { granted: true })),
        (1, 9, vote(id(1, 1))),
        (2, 9, gap),
        (2, 9, append(id(1, 1), &[10], 0)),
        (2, 9, vote(id(1, 12))),
    ] {
        assert_eq!(node.receive(from, term, message), []);
        assert_eq!((node.status().ballot, node.terms()), (ballot, vec![1]));
    }
    assert_eq!(node.status().id, NodeId(1));
}
