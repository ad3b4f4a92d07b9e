//! Figure 2, "AppendEntries RPC".

use raft_core::{
    AppendRejected, Appended, EntryId, Input, Message, NodeId, Outdated, Record, RoleName, Term,
};

use crate::node::{
    ELECTION, HEARTBEAT, Node, Sent, append, are_pre_votes, content, deliver_all, entries, id,
    input_from, only, rejected, to,
};

/// Whether an Append was acknowledged, and through which entry.
fn acknowledged(sent: Vec<Sent>) -> Option<u64> {
    match only(sent).message {
        Message::Appended(Appended { matched, .. }) => Some(matched.0),
        Message::AppendRejected(_) | Message::Outdated(Outdated) => None,
        other => panic!("no answer to an Append: {other:?}"),
    }
}

/// Leaders send AppendEntries to replicate entries, and without entries as the heartbeat.
#[test]
fn append_carries_entries_and_is_the_heartbeat() {
    let (mut leader, mut follower) = (Node::new(1, 3), Node::new(2, 3));
    let first = to(2, &leader.lead());
    assert_eq!(content(&only(first.clone())).1, [1]);
    deliver_all(&mut [&mut leader, &mut follower], first);
    assert_eq!(follower.terms(), [1]);
    for _ in 0..5 {
        assert!(follower.ticks(HEARTBEAT).is_empty());
        let heartbeat = to(2, &leader.ticks(HEARTBEAT));
        assert_eq!(content(&only(heartbeat.clone())), (id(1, 1), vec![], 1));
        deliver_all(&mut [&mut leader, &mut follower], heartbeat);
    }
    assert_eq!(
        (follower.role(), follower.commit()),
        (RoleName::Follower, 1)
    );
}

/// `leaderId`: so that a follower can redirect clients.
///
/// The leader is the envelope's sender. The departure: the follower does not redirect clients but
/// forwards their requests.
#[test]
fn follower_forwards_its_clients_writes_to_the_leader() {
    let mut node = Node::stored(3, 1, None, &[1]);
    assert!(node.write(5).is_empty());
    let sent = node.receive(3, 1, append(id(1, 1), &[], 0));
    assert_eq!(node.status().leader, Some(NodeId(3)));
    let forward = |envelope: &&Sent| match &envelope.message {
        Message::Forward(forward) => *forward.command == 5,
        _ => false,
    };
    let forwards: Vec<_> = sent.iter().filter(forward).collect();
    assert_eq!(forwards.len(), 1);
    assert_eq!(forwards[0].to, NodeId(3));
}

/// `entries[]`: an Append may carry several entries, for efficiency.
#[test]
fn one_append_may_carry_several_entries() {
    let mut leader = Node::stored(3, 1, None, &[1, 1]);
    let probe = only(to(2, &leader.lead()));
    let rejection = rejected(&probe, EntryId::default());
    let retry = only(leader.receive(2, 2, rejection));
    assert_eq!(content(&retry), (EntryId::default(), vec![1, 1, 2], 0));
    let mut node = Node::new(2, 3);
    assert_eq!(acknowledged(node.step(Input::Receive(retry))), Some(3));
    assert_eq!(node.terms(), [1, 1, 2]);
}

/// The result is true if the follower's log holds the entry before the new ones. The reply names
/// the last of the new entries, and never the last entry of the follower's log.
#[test]
fn success_names_the_last_matching_entry() {
    let mut node = Node::stored(3, 2, None, &[1, 1, 1, 1]);
    assert_eq!(
        acknowledged(node.receive(2, 2, append(id(1, 1), &[1], 0))),
        Some(2)
    );
    assert_eq!(
        acknowledged(node.receive(2, 2, append(id(1, 1), &[], 0))),
        Some(1)
    );
    assert_eq!(node.terms(), [1, 1, 1, 1]);
}

/// Receiver 1: an Append of a lower term is refused.
///
/// The refusal carries only the current term, at which the stale leader steps down. The Append
/// changes no state and does not reset the election timer.
#[test]
fn receiver_1_append_of_a_lower_term_is_refused() {
    let mut node = Node::stored(3, 3, None, &[1]);
    node.ticks(ELECTION - 1);
    let refusal = only(node.receive(2, 2, append(id(1, 1), &[2], 1)));
    assert_eq!(refusal.message, Message::Outdated(Outdated));
    assert_eq!(refusal.term, Term(3));
    assert_eq!((node.terms(), node.commit()), (vec![1], 0));
    assert_eq!(node.status().leader, None);
    assert!(are_pre_votes(&node.ticks(1)));
}

/// Receiver 2: an Append is rejected if the log does not hold `prev`: because the log is shorter, or
/// has another entry at that index.
///
/// The rejection names the last entry that may match, so that the leader skips a whole term at a
/// time (§5.3). The follower keeps an Append that overtook others until the gap is filled.
#[test]
fn receiver_2_append_without_its_previous_entry_is_rejected() {
    for (log, prev, last_possible) in [
        (&[1, 1][..], id(3, 1), id(2, 1)),
        (&[1, 1, 1], id(3, 2), id(3, 1)),
        (&[1, 2, 2], id(3, 1), id(1, 1)),
        (&[], id(1, 1), EntryId::default()),
    ] {
        let mut node = Node::stored(3, 2, None, log);
        let refusal = only(node.receive(2, 2, append(prev, &[2], 4)));
        match refusal.message {
            Message::AppendRejected(AppendRejected {
                prev: refused,
                hint,
                ..
            }) => {
                assert_eq!((refused, hint), (prev, last_possible));
            }
            other => panic!("{prev} is not in {log:?}: {other:?}"),
        }
        assert_eq!((node.terms(), node.commit()), (log.to_vec(), 0));
        assert_eq!(node.disk.entries, entries(1, log));
    }
    let mut node = Node::stored(3, 2, None, &[1]);
    assert_eq!(
        acknowledged(node.receive(2, 2, append(id(2, 2), &[2], 0))),
        None
    );
    assert_eq!(
        acknowledged(node.receive(2, 2, append(id(1, 1), &[2], 0))),
        Some(3)
    );
}

/// Receiver 3: an entry that conflicts with a new one (the same index, another term) is deleted,
/// and all that follow it.
#[test]
fn receiver_3_conflicting_entry_and_all_after_it_are_deleted() {
    let mut node = Node::stored(3, 2, None, &[1, 1, 1, 1]);
    assert_eq!(
        acknowledged(node.receive(2, 2, append(id(1, 1), &[2], 0))),
        Some(2)
    );
    assert_eq!(node.terms(), [1, 2]);
    assert_eq!(node.disk.entries, entries(1, &[1, 2]));
    // Entries before the conflict stay.
    let mut node = Node::stored(3, 2, None, &[1, 1, 1, 1]);
    assert_eq!(
        acknowledged(node.receive(2, 2, append(id(1, 1), &[1, 2], 0))),
        Some(3)
    );
    assert_eq!(node.terms(), [1, 1, 2]);
    assert_eq!(node.disk.entries, entries(1, &[1, 1, 2]));
}

/// Receiver 3, the converse: entries without a conflict stay. An Append may come late, when entries
/// after its own are acknowledged already.
#[test]
fn receiver_3_entry_without_conflict_is_kept() {
    let mut node = Node::stored(3, 1, None, &[1, 1, 1, 1]);
    for (prev, terms) in [(id(1, 1), &[1][..]), (id(0, 0), &[1]), (id(2, 1), &[])] {
        let sent = node.receive(2, 1, append(prev, terms, 0));
        assert_eq!(acknowledged(sent), Some(prev.index.0 + terms.len() as u64));
        assert_eq!(node.terms(), [1, 1, 1, 1]);
        assert_eq!(node.disk.entries, entries(1, &[1, 1, 1, 1]));
    }
}

/// Receiver 4: entries that are not in the log yet are appended, and no entry is stored twice.
#[test]
fn receiver_4_new_entries_are_appended_once() {
    let mut node = Node::stored(3, 2, None, &[1, 1]);
    let whole = append(EntryId::default(), &[1, 1, 2, 2], 0);
    let (_, output) = node.before_storing(input_from(2, 1, 2, whole.clone()));
    let stored = Record::Entries(entries(3, &[2, 2]));
    assert_eq!(output.records(), [stored]);
    let durable = node.persist(output);
    drop(durable);
    assert_eq!(node.log(), entries(1, &[1, 1, 2, 2]));
    assert_eq!(node.disk.entries, node.log());
    // The same Append again has no entry to append.
    let (_, output) = node.before_storing(input_from(2, 1, 2, whole));
    assert_eq!(output.records(), []);
    assert_eq!(node.terms(), [1, 1, 2, 2]);
}

/// Receiver 5: the commit index follows the leader's, but not beyond the last of the new entries.
/// Entries of a former leader may follow that one, and may still be replaced.
#[test]
fn receiver_5_commit_stops_at_the_last_new_entry() {
    for (prev, terms, leader_commit, known) in [
        (id(1, 1), &[1, 2][..], 2, 2),
        (id(1, 1), &[1, 2], 9, 3),
        (id(1, 1), &[1], 4, 2),
        (id(1, 1), &[], 4, 1),
        (id(4, 1), &[], 3, 3),
        (id(0, 0), &[], 4, 0),
    ] {
        let mut node = Node::stored(3, 2, None, &[1, 1, 1, 1]);
        node.receive(2, 2, append(prev, terms, leader_commit));
        assert_eq!(
            node.commit(),
            known,
            "{terms:?} after {prev}, {leader_commit}"
        );
    }
}
