//! Figure 2, "Rules for Servers", "Leaders".

use raft_core::{EntryId, Index, Input, Limits, NodeId, Response, Ticket};

use crate::node::{
    ELECTION, HEARTBEAT, Node, append, appended, content, deliver_all, id, input_from, only,
    rejected, to,
};

/// A new leader sends each server an AppendEntries, which prevents further elections.
///
/// The departure: the Append is not empty but carries the leader's blank entry (§8).
#[test]
fn new_leader_sends_an_append_to_each_follower() {
    let mut node = Node::stored(5, 1, None, &[1]);
    let first = node.lead();
    let receivers: Vec<u64> = first.iter().map(|envelope| envelope.to.0).collect();
    assert_eq!(receivers, [2, 3, 4, 5]);
    for append in &first {
        assert_eq!(content(append), (id(1, 1), vec![2], 0));
    }
}

/// An idle leader sends heartbeats more often than the election timeout.
#[test]
fn idle_leader_sends_heartbeats() {
    let mut node = Node::stored(3, 1, None, &[1]);
    for append in node.lead() {
        node.receive(append.to.0, 2, appended(&append, 2));
    }
    let mut silent = 0;
    for _ in 0..10 * ELECTION {
        let sent = node.ticks(1);
        silent = if sent.is_empty() { silent + 1 } else { 0 };
        assert!(silent < HEARTBEAT && HEARTBEAT < ELECTION);
        for heartbeat in &sent {
            assert_eq!(content(heartbeat), (id(2, 2), vec![], 2));
            node.receive(heartbeat.to.0, 2, appended(heartbeat, 2));
        }
    }
}

/// The departure: a leader that does not hear from a quorum for an election timeout steps down, in
/// its own term (thesis §6.2).
#[test]
fn leader_without_a_quorum_steps_down() {
    let mut node = Node::stored(3, 1, None, &[1]);
    node.lead();
    node.ticks(ELECTION - 1);
    assert_eq!(node.status().leader, Some(NodeId(1)));
    node.ticks(1);
    assert_eq!((node.status().leader, node.term()), (None, 2));
}

/// A client's command is appended to the leader's log, and answered once applied: neither when the
/// leader has stored it, nor when one follower of four has.
#[test]
fn clients_command_is_answered_once_applied() {
    let mut node = Node::stored(5, 1, None, &[]);
    let first = node.lead();
    let sent = node.write(7);
    assert_eq!(node.terms(), [2, 2]);
    assert_eq!(node.disk.entries, node.log());
    assert!(node.answers.is_empty());
    // No follower gets the command yet: probes send one Append at a time.
    assert_eq!(sent, []);
    node.receive(2, 2, appended(&first[0], 2));
    assert!(node.answers.is_empty() && node.applied().is_empty());
    node.receive(3, 2, appended(&first[1], 2));
    assert_eq!(node.applied(), [7]);
    assert_eq!(node.answers, [(7, Response::Applied(1))]);
}

/// Commands between two outputs share an Append.
#[test]
fn commands_of_one_batch_share_an_append() {
    let mut node = Node::stored(2, 1, None, &[]);
    let blank = only(node.lead());
    node.receive(2, 2, appended(&blank, 1));
    let together: Vec<Input<_>> = (1..=3)
        .map(|command| Input::Write {
            ticket: Ticket(command),
            command,
        })
        .collect();
    let append = only(node.steps(together));
    assert_eq!(content(&append), (id(1, 2), vec![2, 2, 2], 1));
}

/// If a follower's `nextIndex` is not after the leader's last entry, the leader sends the entries
/// from `nextIndex` on.
///
/// Once the logs match, the leader does not wait for acknowledgements: `nextIndex` is after the last
/// entry sent, as long as the follower's window has room.
#[test]
fn append_carries_the_entries_from_next_index_on() {
    let mut node = Node::stored(2, 1, None, &[]);
    let blank = only(node.lead());
    node.receive(2, 2, appended(&blank, 1));
    let window = Limits::default().inflight_appends as u64;
    for n in 1..=window {
        let append = only(node.write(n));
        assert_eq!(content(&append), (id(n, 2), vec![2], 1));
    }
    assert_eq!(node.write(window + 1), []);
    let append = only(node.receive(2, 2, appended(&blank, 2)));
    assert_eq!(content(&append), (id(window + 1, 2), vec![2], 2));
}

/// On success, the leader updates `nextIndex` and `matchIndex`.
#[test]
fn success_updates_next_index_and_match_index() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let first = only(to(2, &node.lead()));
    node.write(5);
    let next = only(to(2, &node.receive(2, 2, appended(&first, 2))));
    assert_eq!(content(&next), (id(2, 2), vec![2], 2));
    assert_eq!(node.status().matched[&NodeId(2)], Index(2));
    assert_eq!(node.status().matched[&NodeId(3)], Index(0));
}

/// If the logs differ, the leader lowers `nextIndex` and retries.
///
/// The departure: not one by one. The follower names its last entry that may match, and the leader
/// continues right after its own last entry that may (§5.3).
#[test]
fn rejection_lowers_next_index_and_retries() {
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
        let sent = node.receive(2, 4, rejected(&first, hint));
        if hint == id(5, 3) {
            // A follower cannot lack and hold the same entry: the rejection is stale.
            assert_eq!(sent, []);
            continue;
        }
        assert_eq!(content(&only(sent)), (prev, terms.to_vec(), 0), "{hint}");
    }
}

/// `nextIndex` falls until the logs match: each of Figure 7's followers, with a shorter, longer or
/// different log, takes at most three Appends.
#[test]
fn rejections_end_where_the_logs_match() {
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
        let messages = deliver_all(&mut [&mut leader, &mut follower], first);
        assert_eq!(follower.log(), leader.log());
        assert!(messages <= 2 * 3, "{messages} messages for {log:?}");
    }
}

/// If a majority holds an entry after `commitIndex` of the current term, the leader commits it.
#[test]
fn entry_of_the_current_term_on_a_majority_is_committed() {
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
                node.receive(append.to.0, term, appended(append, 1));
            }
        }
    }
}

/// The leader's own copy counts toward a majority only once it is stored. Two followers are a
/// majority without it.
#[test]
fn leaders_own_copy_counts_once_it_is_stored() {
    for (others, committed) in [(1, 0), (2, 2)] {
        let mut node = Node::stored(3, 1, None, &[]);
        let first = node.lead();
        for append in &first {
            node.receive(append.to.0, 2, appended(append, 1));
        }
        let (ticket, command) = (Ticket(5), 5);
        let (sent, mut output) = node.before_storing(Input::Write { ticket, command });
        assert_eq!(sent.len(), 2);
        for append in sent.iter().take(others) {
            let reply = input_from(append.to.0, 1, 2, appended(append, 2));
            let (_, next) = node.before_storing(reply);
            output.join(next, usize::MAX);
        }
        assert_eq!(node.commit(), committed.max(1), "{others} others");
        let durable = node.persist(output);
        let (_, synced) = durable.finish();
        node.step(Input::Synced(synced));
        assert_eq!(node.commit(), 2);
    }
}

/// An entry of a former term on a majority is not committed (§5.4.2, Figure 8) until the first entry
/// of the current term after it is.
#[test]
fn entry_of_a_former_term_commits_with_one_of_the_current() {
    let mut node = Node::stored(3, 3, None, &[1, 2]);
    let first = node.lead();
    for append in &first {
        node.receive(append.to.0, 4, appended(append, 2));
        assert_eq!(node.commit(), 0, "all three hold 2@2");
    }
    node.receive(2, 4, appended(&first[0], 3));
    assert_eq!((node.commit(), node.applied()), (3, &[101, 202][..]));
}

/// Followers learn the leader's commit index from the next Append.
#[test]
fn append_carries_the_leaders_commit_index() {
    let mut node = Node::stored(3, 1, None, &[1]);
    let first = node.lead();
    node.receive(2, 2, appended(&first[0], 2));
    node.receive(3, 2, appended(&first[1], 2));
    for heartbeat in node.ticks(HEARTBEAT) {
        assert_eq!(content(&heartbeat).2, 2);
    }
    // A leader that receives an Append of its own term stops: there are two leaders.
    let mut node = Node::stored(3, 1, None, &[1]);
    node.lead();
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        node.receive(2, 2, append(id(1, 1), &[], 0));
    }));
    assert!(panics.is_err());
}
