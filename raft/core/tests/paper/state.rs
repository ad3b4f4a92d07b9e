//! Figure 2, "State".

use raft_core::{
    Envelope, Message, NodeId, Outdated, Payload, PreVote, PreVoteReply, Record, Response,
    RoleName, Term, VoteReply,
};

use crate::table::{
    ELECTION, Node, append, appended, content, entries, granted, id, letter, only, to, vote,
};

/// Persistent state: it is on stable storage before an RPC is answered.
///
/// What promises nothing need not wait: a refusal is out before the term is stored.
#[test]
fn persistent_state_is_stored_before_an_rpc_is_answered() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let (early, output) = node.before_storing(letter(2, 1, 2, vote(id(1, 1))));
    assert_eq!(early, []);
    assert!(matches!(output.records(), [Record::Ballot(_)]));
    assert_eq!(node.disk.ballot.vote(), None);
    let Ok(durable) = output.persist(&mut node.disk);
    assert!(granted(durable.finish().0));
    assert_eq!(node.disk.ballot.vote(), Some(NodeId(2)));

    let (early, output) = node.before_storing(letter(2, 1, 2, append(id(1, 1), &[2], 0)));
    assert_eq!(early, []);
    assert_eq!(node.disk.entries, entries(1, &[1]));
    let Ok(durable) = output.persist(&mut node.disk);
    let (late, _) = durable.finish();
    assert!(matches!(only(late).message, Message::Appended(_)));
    assert_eq!(node.disk.entries, entries(1, &[1, 2]));

    let mut node = Node::stored(3, 1, None, &[1]);
    let (early, _) = node.before_storing(letter(2, 1, 2, vote(id(0, 0))));
    assert!(!granted(early));
}

/// The same for who asks: a candidate's own vote is stored before it asks for others', and the term
/// of a leader before its first entries leave. Those need not be stored yet: a leader may send what
/// its own disk still waits for, since its own copy counts only then (thesis §10.2.1).
#[test]
fn persistent_state_is_stored_before_votes_are_asked_for() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let questions = node.ticks(ELECTION);
    let Message::PreVote(PreVote { round, .. }) = questions[0].message else {
        panic!("{questions:?}");
    };
    let granted = true;
    let encouraged = letter(
        2,
        1,
        1,
        Message::PreVoteReply(PreVoteReply { round, granted }),
    );
    let (early, output) = node.before_storing(encouraged);
    assert_eq!((early, node.role()), (vec![], RoleName::Candidate));
    let Ok(durable) = output.persist(&mut node.disk);
    assert_eq!((node.disk.ballot.vote(), node.term()), (Some(NodeId(1)), 2));
    assert_eq!(durable.finish().0.len(), 2);

    // The vote comes although nobody told the node that its ballot is stored: its Appends wait.
    let (early, output) =
        node.before_storing(letter(2, 1, 2, Message::VoteReply(VoteReply { granted })));
    assert_eq!((early, node.role()), (vec![], RoleName::Leader));
    assert_eq!(node.disk.entries, entries(1, &[1]));
    let Ok(durable) = output.persist(&mut node.disk);
    let (first, _) = durable.finish();
    assert_eq!(content(&to(2, &first)[0]), (id(1, 1), vec![2], 0));
}

/// `currentTerm`, `votedFor` and `log[]` outlive the process. What was not stored is gone, and
/// nobody was promised it.
#[test]
fn persistent_state_outlives_the_process() {
    let mut node = Node::new(1, 3);
    node.hears(2, 4, append(id(0, 0), &[1, 1, 4], 0));
    node.ticks(ELECTION);
    assert!(granted(node.hears(3, 6, vote(id(3, 4)))));
    let (promised, _) = node.before_storing(letter(3, 1, 7, append(id(3, 4), &[7], 0)));
    assert_eq!((promised, node.terms()), (vec![], vec![1, 1, 4, 7]));
    node.restart();
    assert_eq!((node.term(), node.vote()), (6, Some(3)));
    assert_eq!(node.log(), entries(1, &[1, 1, 4]));
}

/// `currentTerm`: the latest term that the node has seen; 0 on first boot; it only rises.
#[test]
fn the_current_term_begins_at_0_and_never_falls() {
    let mut node = Node::new(1, 3);
    assert_eq!(node.term(), 0);
    for (heard, current) in [(3, 3), (2, 3), (3, 3), (7, 7), (1, 7)] {
        node.hears(2, heard, Message::VoteReply(VoteReply { granted: false }));
        assert_eq!(node.term(), current);
        assert_eq!(node.disk.ballot.term(), Term(current));
    }
}

/// `votedFor`: whom the node gave its vote in the current term; null as long as nobody got it.
#[test]
fn voted_for_names_who_got_the_vote_of_the_current_term() {
    let mut node = Node::new(1, 3);
    assert_eq!(node.vote(), None);
    node.hears(2, 1, vote(id(0, 0)));
    assert_eq!((node.term(), node.vote()), (1, Some(2)));
    node.hears(3, 1, vote(id(0, 0)));
    assert_eq!((node.term(), node.vote()), (1, Some(2)));
    // An answer tells of a new term, in which nobody has the vote.
    node.hears(2, 2, Message::VoteReply(VoteReply { granted: false }));
    assert_eq!((node.term(), node.vote()), (2, None));
    node.hears(3, 2, vote(id(0, 0)));
    assert_eq!((node.term(), node.vote()), (2, Some(3)));
}

/// `log[]`: each entry holds a command and the term in which its leader took it; the first stands
/// at 1.
///
/// The first of each leader is blank: it holds no command, and lets all before it be committed
/// (§8).
#[test]
fn each_entry_holds_a_command_and_its_leaders_term_and_the_first_stands_at_1() {
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
/// volatile: a process that starts knows of no commit until a leader tells.
#[test]
fn the_commit_index_begins_at_0_and_never_falls() {
    let mut node = Node::stored(3, 1, None, &[1, 1, 1]);
    assert_eq!(node.commit(), 0);
    for (told, known) in [(2, 2), (1, 2), (0, 2), (3, 3), (2, 3)] {
        node.hears(2, 1, append(id(3, 1), &[], told));
        assert_eq!(node.commit(), known);
    }
    node.restart();
    assert_eq!(node.commit(), 0);
}

/// `lastApplied`: the highest entry applied; 0 at first; it only rises.
///
/// It is never behind `commitIndex`: what is committed is applied in the same step.
#[test]
fn last_applied_begins_at_0_and_never_falls() {
    let mut node = Node::stored(3, 1, None, &[1, 1, 1]);
    assert_eq!(node.applied(), []);
    for (told, applied) in [(1, &[101][..]), (0, &[101]), (3, &[101, 102, 103])] {
        node.hears(2, 1, append(id(3, 1), &[], told));
        assert_eq!(node.applied(), applied);
        assert_eq!(node.status().applied.0, node.commit());
    }
    node.restart();
    assert_eq!(node.applied(), []);
}

/// `nextIndex[]`: set to the last entry's index + 1 for each follower when a leader is elected.
///
/// There the leader has put its blank by then: so the first Append follows what was last before it.
#[test]
fn next_index_begins_behind_the_leaders_last_entry() {
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
        node.hears(2, 2, appended(&append, acknowledged));
        assert_eq!(matched(&node), known);
    }
}

/// A leader's volatile state begins anew after each election: what a follower acknowledged to a
/// former leadership, of this node even, counts no more.
#[test]
fn a_leaders_state_begins_anew_after_an_election() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let former = only(to(2, &node.lead()));
    node.hears(2, 2, appended(&former, 2));
    assert_eq!(node.status().matched[&NodeId(2)].0, 2);
    node.hears(3, 3, Message::Outdated(Outdated));
    let first = only(to(2, &node.lead()));
    assert_eq!((node.term(), node.status().matched[&NodeId(2)].0), (4, 0));
    assert_eq!(content(&first), (id(2, 2), vec![4], 2));
    node.hears(2, 4, appended(&former, 2));
    assert_eq!(node.status().matched[&NodeId(2)].0, 0);
    // Followers have no such state at all.
    node.hears(3, 5, Message::Outdated(Outdated));
    assert!(node.status().matched.is_empty());
}

/// What is lost with the process are its volatile state and its clients: no answer is ever given
/// twice.
#[test]
fn a_command_is_applied_once_more_after_a_restart_and_answered_no_more() {
    let mut node = Node::new(1, 1);
    node.ticks(1);
    node.write(5);
    assert_eq!(node.answers, [(5, Response::Applied(1))]);
    node.restart();
    node.ticks(ELECTION);
    assert_eq!(node.applied(), [5]);
    assert_eq!(node.answers.len(), 1);
}

/// The `Envelope` says who speaks in which term, so no message has to.
#[test]
fn every_rpc_bears_its_senders_current_term() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let mut said = node.campaign();
    let votes: Vec<(NodeId, Term)> = said
        .iter()
        .map(|Envelope { to, term, .. }| (*to, *term))
        .collect();
    assert_eq!(votes, [(NodeId(2), Term(2)), (NodeId(3), Term(2))]);
    said = node.hears(2, 5, vote(id(1, 1)));
    assert_eq!(only(said).term, Term(5));
}
