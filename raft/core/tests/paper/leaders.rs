//! Figure 2, "Rules for Servers", "Leaders".

use raft_core::{EntryId, Index, Input, Limits, NodeId, Response, Ticket};

use crate::table::{
    ELECTION, HEARTBEAT, Node, append, appended, content, converse, id, letter, only, rejected, to,
};

/// Upon its election a leader sends each server an AppendEntries, so that nobody campaigns.
///
/// It is not empty: it carries the leader's blank entry (§8).
#[test]
fn a_new_leader_speaks_to_everybody_at_once() {
    let mut node = Node::stored(5, 1, None, &[1]);
    let first = node.lead();
    let heard: Vec<u64> = first.iter().map(|letter| letter.to.0).collect();
    assert_eq!(heard, [2, 3, 4, 5]);
    for append in &first {
        assert_eq!(content(append), (id(1, 1), vec![2], 0));
    }
}

/// In idle times it repeats that before an election timeout goes by.
#[test]
fn an_idle_leader_goes_on_speaking() {
    let mut node = Node::stored(3, 1, None, &[1]);
    for append in node.lead() {
        node.hears(append.to.0, 2, appended(&append, 2));
    }
    let mut silent = 0;
    for _ in 0..10 * ELECTION {
        let said = node.ticks(1);
        silent = if said.is_empty() { silent + 1 } else { 0 };
        assert!(silent < HEARTBEAT && HEARTBEAT < ELECTION);
        for heartbeat in &said {
            assert_eq!(content(heartbeat), (id(2, 2), vec![], 2));
            node.hears(heartbeat.to.0, 2, appended(heartbeat, 2));
        }
    }
}

/// The departure: a leader that hears no quorum for an election timeout steps down, in its own term
/// (thesis §6.2).
#[test]
fn a_leader_that_nobody_answers_steps_down() {
    let mut node = Node::stored(3, 1, None, &[1]);
    node.lead();
    node.ticks(ELECTION - 1);
    assert_eq!(node.status().leader, Some(NodeId(1)));
    node.ticks(1);
    assert_eq!((node.status().leader, node.term()), (None, 2));
}

/// A client's command is appended to the leader's log, and answered once it is applied: not when it
/// is stored here, nor when one follower of four has it.
#[test]
fn a_clients_command_is_appended_and_answered_once_applied() {
    let mut node = Node::stored(5, 1, None, &[]);
    let first = node.lead();
    let said = node.write(7);
    assert_eq!(node.terms(), [2, 2]);
    assert_eq!(node.disk.entries, node.log());
    assert!(node.answers.is_empty());
    // Nobody gets the command yet: where the logs part is not known, so one Append at a time is
    // out.
    assert_eq!(said, []);
    node.hears(2, 2, appended(&first[0], 2));
    assert!(node.answers.is_empty() && node.applied().is_empty());
    node.hears(3, 2, appended(&first[1], 2));
    assert_eq!(node.applied(), [7]);
    assert_eq!(node.answers, [(7, Response::Applied(1))]);
}

/// Commands that come together share an Append.
#[test]
fn commands_that_come_together_travel_together() {
    let mut node = Node::stored(2, 1, None, &[]);
    let blank = only(node.lead());
    node.hears(2, 2, appended(&blank, 1));
    let together: Vec<Input<_>> = (1..=3)
        .map(|command| Input::Write {
            ticket: Ticket(command),
            command,
        })
        .collect();
    let append = only(node.steps(together));
    assert_eq!(content(&append), (id(1, 2), vec![2, 2, 2], 1));
}

/// If a follower's `nextIndex` is not behind the leader's last entry, it is sent all from there on.
///
/// Once the logs match, the leader does not wait for acknowledgements: `nextIndex` is behind
/// whatever was sent, as long as the follower's window has room.
#[test]
fn a_follower_is_sent_the_entries_from_next_index_on() {
    let mut node = Node::stored(2, 1, None, &[]);
    let blank = only(node.lead());
    node.hears(2, 2, appended(&blank, 1));
    let window = Limits::default().inflight_appends as u64;
    for n in 1..=window {
        let append = only(node.write(n));
        assert_eq!(content(&append), (id(n, 2), vec![2], 1));
    }
    assert_eq!(node.write(window + 1), []);
    let append = only(node.hears(2, 2, appended(&blank, 2)));
    assert_eq!(content(&append), (id(window + 1, 2), vec![2], 2));
}

/// If that succeeds, `nextIndex` and `matchIndex` are updated.
#[test]
fn success_updates_next_index_and_match_index() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let first = only(to(2, &node.lead()));
    node.write(5);
    let next = only(to(2, &node.hears(2, 2, appended(&first, 2))));
    assert_eq!(content(&next), (id(2, 2), vec![2], 2));
    assert_eq!(node.status().matched[&NodeId(2)], Index(2));
    assert_eq!(node.status().matched[&NodeId(3)], Index(0));
}

/// If it fails because the logs differ, `nextIndex` is decremented, and the Append is tried again.
///
/// Not one by one: the follower names its last entry that may match, and the leader goes on right
/// behind its own last entry that may (§5.3).
#[test]
fn failure_for_inconsistency_decrements_next_index_and_tries_again() {
    for (hint, prev, terms) in [
        (id(5, 3), id(5, 3), &[4][..]),
        (id(4, 3), id(4, 3), &[3, 4]),
        (id(4, 2), id(2, 1), &[3, 3, 3, 4]),
        (EntryId::default(), EntryId::default(), &[1, 1, 3, 3, 3, 4]),
    ] {
        let mut node = Node::stored(2, 3, None, &[1, 1, 3, 3, 3]);
        let first = only(node.lead());
        // The one before the blank is the first guess.
        assert_eq!(content(&first).0, id(5, 3));
        let said = node.hears(2, 4, rejected(&first, hint));
        if hint == id(5, 3) {
            // No follower can lack and hold the same entry: that is an answer to something else.
            assert_eq!(said, []);
            continue;
        }
        assert_eq!(content(&only(said)), (prev, terms.to_vec(), 0), "{hint}");
    }
}

/// `nextIndex` goes down as long as there is no match, and no further: each of Figure 7's followers
/// is brought into line with three questions at most, be its log shorter, longer, or another one.
#[test]
fn failures_end_where_the_logs_match() {
    for log in [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6][..],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ] {
        let mut leader = Node::stored(2, 7, None, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6]);
        let mut follower = Node::stored_as(2, 2, 7, log);
        let first = leader.lead();
        let messages = converse(&mut [&mut leader, &mut follower], first);
        assert_eq!(follower.log(), leader.log());
        assert!(messages <= 2 * 3, "{messages} messages for {log:?}");
    }
}

/// If a majority holds entry N, which is above `commitIndex` and of the current term, it is
/// committed.
#[test]
fn an_entry_of_the_current_term_on_a_majority_is_committed() {
    for size in 1..=7 {
        let mut node = Node::stored(size, 1, None, &[]);
        let first = if size == 1 {
            node.ticks(1)
        } else {
            node.lead()
        };
        let term = node.term();
        for copies in 1..=size {
            let committed = 2 * copies > size;
            assert_eq!(node.commit(), u64::from(committed), "{copies} of {size}");
            if let Some(append) = first.get(copies as usize - 1) {
                node.hears(append.to.0, term, appended(append, 1));
            }
        }
    }
}

/// The leader's own copy is one of a majority's only once it is stored: two followers can do
/// without it.
#[test]
fn a_leaders_own_copy_counts_once_it_is_stored() {
    for (others, committed) in [(1, 0), (2, 2)] {
        let mut node = Node::stored(3, 1, None, &[]);
        let first = node.lead();
        for append in &first {
            node.hears(append.to.0, 2, appended(append, 1));
        }
        let (ticket, command) = (Ticket(5), 5);
        let (sent, output) = node.before_storing(Input::Write { ticket, command });
        assert_eq!(sent.len(), 2);
        for append in sent.iter().take(others) {
            let reply = letter(append.to.0, 1, 2, appended(append, 2));
            drop(node.before_storing(reply));
        }
        assert_eq!(node.commit(), committed.max(1), "{others} others");
        let Ok(durable) = output.persist(&mut node.disk);
        let (_, synced) = durable.finish();
        node.step(Input::Synced(synced));
        assert_eq!(node.commit(), 2);
    }
}

/// An entry of a former term is not committed because a majority holds it (§5.4.2, Figure 8): it
/// is, together with the first of the current term behind it.
#[test]
fn an_entry_of_a_former_term_is_committed_with_one_of_the_current_term_only() {
    let mut node = Node::stored(3, 3, None, &[1, 2]);
    let first = node.lead();
    for append in &first {
        node.hears(append.to.0, 4, appended(append, 2));
        assert_eq!(node.commit(), 0, "all three hold 2@2");
    }
    node.hears(2, 4, appended(&first[0], 3));
    assert_eq!((node.commit(), node.applied()), (3, &[101, 202][..]));
}

/// Followers learn how far the leader has committed with the next Append.
#[test]
fn a_leader_tells_how_far_it_has_committed() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let first = node.lead();
    node.hears(2, 2, appended(&first[0], 2));
    node.hears(3, 2, appended(&first[1], 2));
    for heartbeat in node.ticks(HEARTBEAT) {
        assert_eq!(content(&heartbeat).2, 2);
    }
    // An Append of the same term at a leader would mean a second leader: then the node stops.
    let mut node = Node::stored(3, 1, None, &[1]);
    node.lead();
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        node.hears(2, 2, append(id(1, 1), &[], 0));
    }));
    assert!(panics.is_err());
}
