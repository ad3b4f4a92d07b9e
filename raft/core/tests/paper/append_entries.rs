//! Figure 2, "AppendEntries RPC".

use raft_core::{
    AppendRejected, Appended, EntryId, Forward, Input, Message, NodeId, Outdated, Record, RoleName,
    Term,
};

use crate::table::{
    ELECTION, HEARTBEAT, Letter, Node, append, ask_for_election, content, converse, entries, id,
    letter, only, rejected, to,
};

/// Whether an Append was acknowledged, and through which entry.
fn acknowledged(said: Vec<Letter>) -> Option<u64> {
    match only(said).message {
        Message::Appended(Appended { matched, .. }) => Some(matched.0),
        Message::AppendRejected(_) | Message::Outdated(Outdated) => None,
        other => panic!("no answer to an Append: {other:?}"),
    }
}

/// A leader invokes it to replicate entries; it is the heartbeat as well, and then without any.
#[test]
fn it_replicates_entries_and_is_the_heartbeat() {
    let (mut leader, mut follower) = (Node::new(1, 3), Node::new(2, 3));
    let first = to(2, &leader.lead());
    assert_eq!(content(&only(first.clone())).1, [1]);
    converse(&mut [&mut leader, &mut follower], first);
    assert_eq!(follower.terms(), [1]);
    for _ in 0..5 {
        assert!(follower.ticks(HEARTBEAT).is_empty());
        let heartbeat = to(2, &leader.ticks(HEARTBEAT));
        assert_eq!(content(&only(heartbeat.clone())), (id(1, 1), vec![], 1));
        converse(&mut [&mut leader, &mut follower], heartbeat);
    }
    assert_eq!(
        (follower.role(), follower.commit()),
        (RoleName::Follower, 1)
    );
}

/// `leaderId`: so that a follower can redirect clients.
///
/// It is the envelope's sender, and the follower does not send clients away: it forwards what they
/// ask.
#[test]
fn a_follower_brings_its_clients_requests_to_the_leader() {
    let mut node = Node::stored(3, 1, None, &[1]);
    assert!(node.write(5).is_empty());
    let said = node.hears(3, 1, append(id(1, 1), &[], 0));
    assert_eq!(node.status().leader, Some(NodeId(3)));
    let forward =
        |letter: &&Letter| matches!(letter.message, Message::Forward(Forward { command: 5, .. }));
    let forwards: Vec<_> = said.iter().filter(forward).collect();
    assert_eq!(forwards.len(), 1);
    assert_eq!(forwards[0].to, NodeId(3));
}

/// `entries[]`: there may be several in one, for efficiency.
#[test]
fn one_append_may_carry_several_entries() {
    let mut leader = Node::stored(3, 1, None, &[1, 1]);
    let probe = only(to(2, &leader.lead()));
    let rejection = rejected(&probe, EntryId::default());
    let retry = only(leader.hears(2, 2, rejection));
    assert_eq!(content(&retry), (EntryId::default(), vec![1, 1, 2], 0));
    let mut node = Node::new(2, 3);
    assert_eq!(acknowledged(node.step(Input::Receive(retry))), Some(3));
    assert_eq!(node.terms(), [1, 1, 2]);
}

/// The result is true if the follower's log holds the entry before the new ones. It says how far
/// the logs match then: through the last of the new ones, and never "all that I have".
#[test]
fn success_says_what_matches_and_no_more() {
    let mut node = Node::stored(3, 2, None, &[1, 1, 1, 1]);
    assert_eq!(
        acknowledged(node.hears(2, 2, append(id(1, 1), &[1], 0))),
        Some(2)
    );
    assert_eq!(
        acknowledged(node.hears(2, 2, append(id(1, 1), &[], 0))),
        Some(1)
    );
    assert_eq!(node.terms(), [1, 1, 1, 1]);
}

/// Receiver 1: an Append of a former term is refused.
///
/// The refusal is a message of its own that bears the current term, and nothing else: whoever led
/// then steps down. Nothing comes of the Append, and it holds off no election.
#[test]
fn receiver_1_an_append_of_a_former_term_is_refused() {
    let mut node = Node::stored(3, 3, None, &[1]);
    node.ticks(ELECTION - 1);
    let refusal = only(node.hears(2, 2, append(id(1, 1), &[2], 1)));
    assert_eq!(refusal.message, Message::Outdated(Outdated));
    assert_eq!(refusal.term, Term(3));
    assert_eq!((node.terms(), node.commit()), (vec![1], 0));
    assert_eq!(node.status().leader, None);
    assert!(ask_for_election(&node.ticks(1)));
}

/// Receiver 2: an Append is refused if the log holds no entry of that term at the place before its
/// entries: because it is shorter, or because another one stands there.
///
/// The refusal names the last entry that may match, so that a whole term is skipped at a time
/// (§5.3). What came too early is kept, and is used as soon as the gap is filled.
#[test]
fn receiver_2_an_append_is_refused_if_the_entry_before_it_is_not_there() {
    for (log, prev, last_possible) in [
        (&[1, 1][..], id(3, 1), id(2, 1)),
        (&[1, 1, 1], id(3, 2), id(3, 1)),
        (&[1, 2, 2], id(3, 1), id(1, 1)),
        (&[], id(1, 1), EntryId::default()),
    ] {
        let mut node = Node::stored(3, 2, None, log);
        let refusal = only(node.hears(2, 2, append(prev, &[2], 4)));
        match refusal.message {
            Message::AppendRejected(AppendRejected {
                prev: refused,
                hint,
                ..
            }) => {
                assert_eq!((refused, hint), (prev, last_possible));
            }
            other => panic!("{prev} is not in {log:?}, but: {other:?}"),
        }
        assert_eq!((node.terms(), node.commit()), (log.to_vec(), 0));
        assert_eq!(node.disk.entries, entries(1, log));
    }
    let mut node = Node::stored(3, 2, None, &[1]);
    assert_eq!(
        acknowledged(node.hears(2, 2, append(id(2, 2), &[2], 0))),
        None
    );
    assert_eq!(
        acknowledged(node.hears(2, 2, append(id(1, 1), &[2], 0))),
        Some(3)
    );
}

/// Receiver 3: an entry that conflicts with a new one (the same index, another term) is deleted,
/// and all that follow it.
#[test]
fn receiver_3_an_entry_that_conflicts_is_deleted_with_all_that_follow_it() {
    let mut node = Node::stored(3, 2, None, &[1, 1, 1, 1]);
    assert_eq!(
        acknowledged(node.hears(2, 2, append(id(1, 1), &[2], 0))),
        Some(2)
    );
    assert_eq!(node.terms(), [1, 2]);
    assert_eq!(node.disk.entries, entries(1, &[1, 2]));
    // Only from the conflict on: what agrees stays.
    let mut node = Node::stored(3, 2, None, &[1, 1, 1, 1]);
    assert_eq!(
        acknowledged(node.hears(2, 2, append(id(1, 1), &[1, 2], 0))),
        Some(3)
    );
    assert_eq!(node.terms(), [1, 1, 2]);
    assert_eq!(node.disk.entries, entries(1, &[1, 1, 2]));
}

/// Receiver 3, the other way round: what does not conflict is not deleted. An Append may come late,
/// and what follows its entries may be acknowledged by then.
#[test]
fn receiver_3_an_entry_that_does_not_conflict_is_not_deleted() {
    let mut node = Node::stored(3, 1, None, &[1, 1, 1, 1]);
    for (prev, terms) in [(id(1, 1), &[1][..]), (id(0, 0), &[1]), (id(2, 1), &[])] {
        let said = node.hears(2, 1, append(prev, terms, 0));
        assert_eq!(acknowledged(said), Some(prev.index.0 + terms.len() as u64));
        assert_eq!(node.terms(), [1, 1, 1, 1]);
        assert_eq!(node.disk.entries, entries(1, &[1, 1, 1, 1]));
    }
}

/// Receiver 4: new entries that are not in the log yet are appended, and none that is there is
/// stored a second time.
#[test]
fn receiver_4_entries_that_are_not_in_the_log_yet_are_appended() {
    let mut node = Node::stored(3, 2, None, &[1, 1]);
    let whole = append(EntryId::default(), &[1, 1, 2, 2], 0);
    let (_, output) = node.before_storing(letter(2, 1, 2, whole.clone()));
    let stored = Record::Entries(entries(3, &[2, 2]));
    assert_eq!(output.records(), [stored]);
    let Ok(durable) = output.persist(&mut node.disk);
    drop(durable);
    assert_eq!(node.log(), entries(1, &[1, 1, 2, 2]));
    assert_eq!(node.disk.entries, node.log());
    // Once more: now there is nothing to append.
    let (_, output) = node.before_storing(letter(2, 1, 2, whole));
    assert_eq!(output.records(), []);
    assert_eq!(node.terms(), [1, 1, 2, 2]);
}

/// Receiver 5: the commit index follows the leader's, but not beyond the last of the new entries.
/// What stands behind that may be of a former leader, and give way yet.
#[test]
fn receiver_5_the_commit_index_rises_to_the_leaders_but_not_beyond_the_last_new_entry() {
    for (prev, terms, told, known) in [
        (id(1, 1), &[1, 2][..], 2, 2),
        (id(1, 1), &[1, 2], 9, 3),
        (id(1, 1), &[1], 4, 2),
        (id(1, 1), &[], 4, 1),
        (id(4, 1), &[], 3, 3),
        (id(0, 0), &[], 4, 0),
    ] {
        let mut node = Node::stored(3, 2, None, &[1, 1, 1, 1]);
        node.hears(2, 2, append(prev, terms, told));
        assert_eq!(node.commit(), known, "{terms:?} after {prev}, {told}");
    }
}
