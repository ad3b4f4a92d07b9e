//! Figure 2, "State".

use raft_core::{
    Envelope, Limits, Message, NodeId, Outdated, Payload, PreVote, PreVoteReply, Record, Response,
    RoleName, Term, VoteReply,
};

use crate::node::{
    ELECTION, Node, append, appended, content, entries, granted, id, input_from, only, to, vote,
};

/// Persistent state is on stable storage before an RPC is answered.
///
/// A message that promises nothing need not wait: a refusal leaves before the term is stored.
#[test]
fn persistent_state_is_stored_before_an_rpc_is_answered() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let (early, output) = node.before_storing(input_from(2, 1, 2, vote(id(1, 1))));
    assert_eq!(early, []);
    assert!(matches!(output.records(), [Record::Ballot(_)]));
    assert_eq!(node.disk.ballot.vote(), None);
    let durable = node.persist(output);
    assert!(granted(durable.finish().0));
    assert_eq!(node.disk.ballot.vote(), Some(NodeId(2)));

    let (early, output) = node.before_storing(input_from(2, 1, 2, append(id(1, 1), &[2], 0)));
    assert_eq!(early, []);
    assert_eq!(node.disk.entries, entries(1, &[1]));
    let durable = node.persist(output);
    let (late, _) = durable.finish();
    assert!(matches!(only(late).message, Message::Appended(_)));
    assert_eq!(node.disk.entries, entries(1, &[1, 2]));

    let mut node = Node::stored(3, 1, None, &[1]);
    let (early, _) = node.before_storing(input_from(2, 1, 2, vote(id(0, 0))));
    assert!(!granted(early));
}

/// A candidate's own vote is stored before it asks for the votes of others, and a leader's term
/// before its first entries leave. The entries themselves may leave before they are stored, since
/// the leader's own copy counts only once stored (thesis §10.2.1).
#[test]
fn persistent_state_is_stored_before_votes_are_asked_for() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let pre_votes = node.ticks(ELECTION);
    let Message::PreVote(PreVote { round, .. }) = pre_votes[0].message else {
        panic!("{pre_votes:?}");
    };
    let granted = true;
    let pre_vote_reply = input_from(
        2,
        1,
        1,
        Message::PreVoteReply(PreVoteReply { round, granted }),
    );
    let (early, output) = node.before_storing(pre_vote_reply);
    assert_eq!((early, node.role()), (vec![], RoleName::Candidate));
    let durable = node.persist(output);
    assert_eq!((node.disk.ballot.vote(), node.term()), (Some(NodeId(1)), 2));
    assert_eq!(durable.finish().0.len(), 2);

    // The vote arrives before the receipt for the ballot: the Appends wait.
    let (early, output) = node.before_storing(input_from(
        2,
        1,
        2,
        Message::VoteReply(VoteReply { granted }),
    ));
    assert_eq!((early, node.role()), (vec![], RoleName::Leader));
    assert_eq!(node.disk.entries, entries(1, &[1]));
    let durable = node.persist(output);
    let (first, _) = durable.finish();
    assert_eq!(content(&to(2, &first)[0]), (id(1, 1), vec![2], 0));
}

/// `currentTerm`, `votedFor` and `log[]` outlive the process. Unstored changes are lost, and no
/// message has promised them.
#[test]
fn persistent_state_outlives_the_process() {
    let mut node = Node::new(1, 3);
    node.receive(2, 4, append(id(0, 0), &[1, 1, 4], 0));
    node.ticks(ELECTION);
    assert!(granted(node.receive(3, 6, vote(id(3, 4)))));
    let (promised, _) = node.before_storing(input_from(3, 1, 7, append(id(3, 4), &[7], 0)));
    assert_eq!((promised, node.terms()), (vec![], vec![1, 1, 4, 7]));
    node.restart();
    assert_eq!((node.term(), node.vote()), (6, Some(3)));
    assert_eq!(node.log(), entries(1, &[1, 1, 4]));
}

/// `currentTerm`: the latest term that the node has seen; 0 on first boot; it only rises.
#[test]
fn current_term_begins_at_0_and_never_falls() {
    let mut node = Node::new(1, 3);
    assert_eq!(node.term(), 0);
    for (term, current) in [(3, 3), (2, 3), (3, 3), (7, 7), (1, 7)] {
        node.receive(2, term, Message::VoteReply(VoteReply { granted: false }));
        assert_eq!(node.term(), current);
        assert_eq!(node.disk.ballot.term(), Term(current));
    }
}

/// `votedFor`: the candidate that has the node's vote in the current term; null if there is none.
#[test]
fn voted_for_is_the_candidate_of_the_current_term() {
    let mut node = Node::new(1, 3);
    assert_eq!(node.vote(), None);
    node.receive(2, 1, vote(id(0, 0)));
    assert_eq!((node.term(), node.vote()), (1, Some(2)));
    node.receive(3, 1, vote(id(0, 0)));
    assert_eq!((node.term(), node.vote()), (1, Some(2)));
    // A reply carries a new term, in which no candidate has the vote.
    node.receive(2, 2, Message::VoteReply(VoteReply { granted: false }));
    assert_eq!((node.term(), node.vote()), (2, None));
    node.receive(3, 2, vote(id(0, 0)));
    assert_eq!((node.term(), node.vote()), (2, Some(3)));
}

/// `log[]`: each entry holds a command and the term in which its leader took it; the first stands
/// at 1.
///
/// The first entry of each leader is blank: it holds no command, and its commit commits all entries
/// before it (§8).
#[test]
fn entry_holds_command_and_term_and_the_first_is_at_1() {
    let mut node = Node::new(1, 3);
    assert_eq!(node.log(), []);
    node.lead();
    node.write(5);
    let log = node.log();
    assert_eq!(log[0].id, id(1, 1));
    assert_eq!(log[0].payload, Payload::Blank);
    assert_eq!(log[1].id, id(2, 1));
    assert_eq!(log[1].payload, Payload::Command(5.into()));
    assert_eq!(node.disk.entries, log);
}

/// `commitIndex`: the highest entry known to be committed; 0 at first; it only rises. It is
/// volatile: a restarted process learns it again from a leader.
#[test]
fn commit_index_begins_at_0_and_never_falls() {
    let mut node = Node::stored(3, 1, None, &[1, 1, 1]);
    assert_eq!(node.commit(), 0);
    for (leader_commit, known) in [(2, 2), (1, 2), (0, 2), (3, 3), (2, 3)] {
        node.receive(2, 1, append(id(3, 1), &[], leader_commit));
        assert_eq!(node.commit(), known);
    }
    node.restart();
    assert_eq!(node.commit(), 0);
}

/// `lastApplied`: the highest entry applied; 0 at first; it only rises.
///
/// It follows `commitIndex`: each output applies the next entries, a bounded number.
#[test]
fn last_applied_begins_at_0_and_never_falls() {
    let mut node = Node::stored(3, 1, None, &[1, 1, 1]);
    assert_eq!(node.applied(), []);
    for (leader_commit, applied) in [(1, &[101][..]), (0, &[101]), (3, &[101, 102, 103])] {
        node.receive(2, 1, append(id(3, 1), &[], leader_commit));
        assert_eq!(node.applied(), applied);
        assert_eq!(node.status().applied.0, node.commit());
    }
    node.restart();
    assert_eq!(node.applied(), []);

    let slice = Limits::default().apply_entries;
    let last = 2 * slice + 1;
    let mut node = Node::stored(3, 1, None, &vec![1; last as usize]);
    for applied in [slice, 2 * slice, last] {
        let (_, output) = node.before_storing(input_from(2, 1, 1, append(id(last, 1), &[], last)));
        let _ = node.persist(output);
        assert_eq!((node.commit(), node.status().applied.0), (last, applied));
        assert_eq!(node.applied().len() as u64, applied);
    }
}

/// `nextIndex[]`: set to the last entry's index + 1 for each follower when a leader is elected.
///
/// The leader's blank entry is there by then, so the first Append follows the last entry before it.
#[test]
fn next_index_begins_after_the_leaders_last_entry() {
    let mut node = Node::stored(5, 2, None, &[1, 2, 2]);
    let first = node.lead();
    for follower in 2..=5 {
        let append = only(to(follower, &first));
        assert_eq!(content(&append), (id(3, 2), vec![3], 0));
    }
}

/// `matchIndex[]`: 0 for each follower when a leader is elected; it only rises.
#[test]
fn match_index_begins_at_0_and_never_falls() {
    let mut node = Node::stored(3, 1, None, &[1, 1]);
    let first = node.lead();
    let matched = |node: &Node| node.status().matched[&NodeId(2)].0;
    assert_eq!(matched(&node), 0);
    let append = only(to(2, &first));
    for (acknowledged, known) in [(2, 2), (1, 2), (3, 3), (2, 3), (0, 3)] {
        node.receive(2, 2, appended(&append, acknowledged));
        assert_eq!(matched(&node), known);
    }
}

/// A leader's volatile state is reset after each election: acknowledgements to a former leadership,
/// even of the same node, do not count.
#[test]
fn leaders_state_is_reset_after_an_election() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let former = only(to(2, &node.lead()));
    node.receive(2, 2, appended(&former, 2));
    assert_eq!(node.status().matched[&NodeId(2)].0, 2);
    node.receive(3, 3, Message::Outdated(Outdated));
    let first = only(to(2, &node.lead()));
    assert_eq!((node.term(), node.status().matched[&NodeId(2)].0), (4, 0));
    assert_eq!(content(&first), (id(2, 2), vec![4], 2));
    node.receive(2, 4, appended(&former, 2));
    assert_eq!(node.status().matched[&NodeId(2)].0, 0);
    // Followers have no such state at all.
    node.receive(3, 5, Message::Outdated(Outdated));
    assert!(node.status().matched.is_empty());
}

/// A restart loses volatile state and the clients' requests: no request is answered twice.
#[test]
fn after_a_restart_commands_are_applied_but_not_answered() {
    let mut node = Node::new(1, 1);
    node.ticks(1);
    node.write(5);
    assert_eq!(node.answers, [(5, Response::Applied(1))]);
    node.restart();
    node.ticks(ELECTION);
    assert_eq!(node.applied(), [5]);
    assert_eq!(node.answers.len(), 1);
}

/// The `Envelope` carries sender and term, so the messages do not.
#[test]
fn every_message_carries_its_senders_term() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let mut sent = node.campaign();
    let votes: Vec<(NodeId, Term)> = sent
        .iter()
        .map(|Envelope { to, term, .. }| (*to, *term))
        .collect();
    assert_eq!(votes, [(NodeId(2), Term(2)), (NodeId(3), Term(2))]);
    sent = node.receive(2, 5, vote(id(1, 1)));
    assert_eq!(only(sent).term, Term(5));
}
