//! What the figures leave open: outputs that wait for a slow disk.

use raft_core::{EntryId, Input, Message, Record, RoleName, Synced, Ticket};

use crate::node::{
    ELECTION, Journal, Node, Sent, UNSYNCED, append, appended, entries, id, input_from,
};

/// An Append of node 2, which leads in term 2, with one entry after these.
fn next_append(after: u64) -> Input<Journal> {
    let prev = match after {
        0 => EntryId::default(),
        index => id(index, 2),
    };
    input_from(2, 1, 2, append(prev, &[2], 0))
}

fn acknowledged(sent: &[Sent]) -> Vec<u64> {
    let matched = |envelope: &Sent| match &envelope.message {
        Message::Appended(appended) => Some(appended.matched.0),
        _ => None,
    };
    sent.iter().filter_map(matched).collect()
}

/// The network repeats an Append whose entry waits for the disk. The output of the second one has
/// no records, and yet its acknowledgement must wait for those of the first.
#[test]
#[should_panic(expected = "outputs must be persisted in the order in which they were made")]
fn output_without_records_must_not_overtake_the_one_before() {
    let mut node = Node::stored(3, 2, None, &[]);
    let (_, first) = node.before_storing(next_append(0));
    let (_, second) = node.before_storing(next_append(0));
    assert_eq!((first.records().len(), second.records().len()), (1, 0));
    drop(node.persist(second));
}

#[test]
#[should_panic(expected = "outputs must be persisted in the order in which they were made")]
fn output_of_another_replica_is_not_persisted() {
    let (mut one, mut other) = (Node::new(1, 3), Node::new(2, 3));
    let (_, output) = one.before_storing(Input::Tick);
    drop(other.persist(output));
}

/// One sync stores two outputs. Both acknowledgements leave, but only after it.
#[test]
fn joined_outputs_share_one_sync() {
    let mut node = Node::stored(3, 2, None, &[]);
    let (early, mut first) = node.before_storing(next_append(0));
    assert_eq!(early, []);
    let (early, second) = node.before_storing(next_append(1));
    assert_eq!(early, []);
    assert_eq!(first.join(second, usize::MAX), 0);
    let stored = |index| Record::Entries(entries(index, &[2]));
    assert_eq!(first.records(), [stored(1), stored(2)]);
    let (late, synced) = node.persist(first).finish();
    assert_eq!(acknowledged(&late), [1, 2]);
    assert_eq!(node.disk.entries, entries(1, &[2, 2]));
    assert_eq!(node.status().synced.0, 0);
    node.step(Input::Synced(synced));
    assert_eq!(node.status().synced.0, 2);
}

/// A disk that hangs lets no memory grow: of what waits for it, the oldest messages are dropped.
#[test]
fn joined_outputs_keep_the_newest_messages() {
    let mut node = Node::stored(3, 2, None, &[]);
    let (_, mut first) = node.before_storing(next_append(0));
    let mut dropped = 0;
    for _ in 0..5 {
        let (_, repeated) = node.before_storing(next_append(0));
        dropped += first.join(repeated, 2);
    }
    assert_eq!(dropped, 4);
    let (late, _) = node.persist(first).finish();
    assert_eq!(acknowledged(&late), [1, 1]);
}

#[test]
#[should_panic(expected = "only the next output can be joined")]
fn outputs_are_joined_in_order() {
    let mut node = Node::stored(3, 2, None, &[]);
    let (_, mut first) = node.before_storing(next_append(0));
    let (_, _second) = node.before_storing(next_append(1));
    let (_, third) = node.before_storing(next_append(2));
    first.join(third, usize::MAX);
}

/// A leader keeps its followers for as long as its disk may be slow. Then it hands over. Here no
/// follower gets the last entry, so it steps down after as long again.
#[test]
fn leader_with_a_stalled_disk_hands_over_or_steps_down() {
    let mut node = Node::stored(3, 1, None, &[]);
    let first = node.lead();
    let (ticket, command) = (Ticket(5), 5);
    let (_, mut waiting) = node.before_storing(Input::Write { ticket, command });
    let mut tick = |node: &mut Node| {
        for append in &first {
            let reply = input_from(append.to.0, 1, 2, appended(append, 1));
            let (_, next) = node.before_storing(reply);
            waiting.join(next, usize::MAX);
        }
        let (_, next) = node.before_storing(Input::Tick);
        waiting.join(next, usize::MAX);
    };
    (1..ELECTION).for_each(|_| tick(&mut node));
    assert_eq!(node.role(), RoleName::Leader);
    assert!(!node.status().is_disk_stalled);
    tick(&mut node);
    assert!(node.status().is_disk_stalled);
    assert!(node.status().handover.is_some());
    (1..ELECTION).for_each(|_| tick(&mut node));
    assert_eq!(node.role(), RoleName::Leader);
    tick(&mut node);
    assert_eq!((node.role(), node.term()), (RoleName::Follower, 2));
    assert_eq!(node.status().counters.disk_stalls, 1);
    // Nor does it campaign, until the disk moves.
    (0..3 * ELECTION).for_each(|_| tick(&mut node));
    assert_eq!(node.role(), RoleName::Follower);
    let (_, synced) = node.persist(waiting).finish();
    node.step(Input::Synced(synced));
    assert!(!node.status().is_disk_stalled);
    node.ticks(ELECTION);
    assert_eq!(node.role(), RoleName::PreCandidate);
}

/// Each output is stored within the longest election timeout, though none at once.
#[test]
fn leader_with_a_slow_disk_stays() {
    let mut node = Node::stored(3, 1, None, &[]);
    let first = node.lead();
    let mut waiting: Option<Synced> = None;
    for round in 0..5 {
        let (ticket, command) = (Ticket(round), round);
        let mut inputs = vec![Input::Write { ticket, command }];
        for append in &first {
            inputs.push(input_from(append.to.0, 1, 2, appended(append, 1)));
        }
        inputs.extend(waiting.take().map(Input::Synced));
        for _ in 1..ELECTION {
            inputs.push(Input::Tick);
        }
        let mut sent = node.before_storing(inputs.remove(0)).1;
        for input in inputs {
            let (_, next) = node.before_storing(input);
            sent.join(next, usize::MAX);
        }
        waiting = Some(node.persist(sent).finish().1);
        assert_eq!(node.role(), RoleName::Leader, "round {round}");
    }
}

/// What waits for the disk is bounded: a follower drops further entries, a leader refuses further
/// commands, and both go on once the disk has stored some.
#[test]
fn entries_that_wait_for_the_disk_are_bounded() {
    let bound = UNSYNCED as u64;
    let mut follower = Node::stored(3, 2, None, &[]);
    let (_, mut waiting) = follower.before_storing(next_append(0));
    for after in 1..bound + 2 {
        let (_, next) = follower.before_storing(next_append(after));
        waiting.join(next, usize::MAX);
    }
    assert_eq!(follower.status().last, id(bound, 2));
    assert_eq!(follower.status().counters.dropped.overflow, 2);
    let (_, synced) = follower.persist(waiting).finish();
    follower.step(Input::Synced(synced));
    follower.step(next_append(bound));
    assert_eq!(follower.status().last, id(bound + 1, 2));

    let mut leader = Node::stored(3, 1, None, &[]);
    for append in leader.lead() {
        leader.receive(append.to.0, 2, appended(&append, 1));
    }
    let write = |number| Input::Write {
        ticket: Ticket(number),
        command: number,
    };
    let (_, mut waiting) = leader.before_storing(write(1));
    for number in 2..bound + 3 {
        let (_, next) = leader.before_storing(write(number));
        waiting.join(next, usize::MAX);
    }
    assert_eq!(leader.status().last.index.0, bound + 1);
    let refused: Vec<u64> = leader.answers.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!(refused, [bound + 1, bound + 2]);
}
