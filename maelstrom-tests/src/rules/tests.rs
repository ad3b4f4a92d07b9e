//! For each rule, a cluster that breaks it.

use std::sync::Arc;

use raft::sessions::SessionId;
use raft_core::{Append, Appended, Ballot, Refusal, RequestId, Response, Vote, VoteReply};

use super::*;
use crate::replica::machine::{Change, Command, Key, Number, Outcome, Registers};
use crate::replica::node::Disk as _;
use crate::replica::node::tests::{lone_voter, run};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const INCARNATION: Incarnation = Incarnation(1);
/// The start of the log.
const START: EntryId = EntryId {
    term: Term(0),
    index: Index(0),
};

fn id(index: u64, term: u64) -> EntryId {
    EntryId {
        term: Term(term),
        index: Index(index),
    }
}

fn blank(index: u64, term: u64) -> Entry<Command> {
    Entry {
        id: id(index, term),
        payload: Payload::Blank,
    }
}

fn write(index: u64, term: u64, command: u64, value: u8) -> Entry<Command> {
    let command = Command {
        id: CommandId(command),
        key: Key('x'),
        change: Change::Write(value),
        number: None,
    };
    Entry {
        id: id(index, term),
        payload: Payload::Command(Arc::new(command)),
    }
}

/// A log of blank entries of these terms.
fn log(terms: &[u64]) -> Vec<Entry<Command>> {
    (1..).zip(terms).map(|(i, term)| blank(i, *term)).collect()
}

fn state(entries: &[Entry<Command>]) -> Registers {
    let mut state = Registers::default();
    for entry in entries {
        if let Payload::Command(command) = &entry.payload {
            state.apply(command);
        }
    }
    state
}

/// Commits `entries`, which a node holds, as leader of `term`.
fn commit(
    rules: &mut Rules<Registers>,
    node: NodeId,
    term: u64,
    entries: &[Entry<Command>],
) -> Result<(), Broken> {
    rules.holds(node, START, entries)?;
    let commit = Commit {
        node,
        role: RoleName::Leader,
        term: Term(term),
        index: Index(entries.len() as u64),
        applied: Index(entries.len() as u64),
        state: &state(entries),
    };
    rules.commits(&commit, |_| true)
}

#[track_caller]
fn assert_broken(result: Result<(), Broken>, rule: &str) {
    let Broken(text) = result.expect_err("the rule is broken");
    assert!(text.starts_with(rule), "{text}");
}

#[test]
fn correct_history_breaks_no_rule() {
    let mut rules = Rules::<Registers>::default();
    let entries = [blank(1, 1), write(2, 1, 7, 1)];
    rules.leads(ONE, INCARNATION, Term(1)).unwrap();
    rules.leads(ONE, INCARNATION, Term(1)).unwrap();
    commit(&mut rules, ONE, 1, &entries).unwrap();
    let follower = Commit {
        node: TWO,
        role: RoleName::Follower,
        term: Term(1),
        index: Index(2),
        applied: Index(2),
        state: &state(&entries),
    };
    rules.holds(TWO, START, &entries).unwrap();
    rules.commits(&follower, |_| true).unwrap();
    rules
        .answered(CommandId(7), &Response::Applied(Outcome::Done))
        .unwrap();
    rules.leads(TWO, INCARNATION, Term(2)).unwrap();
    assert_eq!(rules.committed(), Index(2));
}

#[test]
fn compacted_uncommitted_entry_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    let entries = [blank(1, 1), write(2, 1, 7, 1), blank(3, 1)];
    rules.leads(ONE, INCARNATION, Term(1)).unwrap();
    commit(&mut rules, ONE, 1, &entries[..2]).unwrap();
    rules.holds(TWO, id(2, 1), &entries[2..]).unwrap();
    rules.holds(TWO, id(1, 1), &entries[1..]).unwrap();
    rules.holds(ONE, id(2, 1), &[]).unwrap();
    assert_broken(
        rules.holds(TWO, id(2, 2), &[]),
        "a snapshot must hold only committed entries",
    );
    assert_broken(
        rules.holds(TWO, id(3, 1), &[]),
        "a snapshot must hold only committed entries",
    );
    assert_broken(
        rules.holds(NodeId(3), id(1, 1), &[blank(2, 1)]),
        "Log Matching",
    );
}

#[test]
fn snapshot_of_another_state_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    let entries = [blank(1, 1), write(2, 1, 7, 1), blank(3, 1)];
    rules.leads(ONE, INCARNATION, Term(1)).unwrap();
    commit(&mut rules, ONE, 1, &entries[..2]).unwrap();
    let members = Membership::of([ONE, TWO]);
    rules
        .snapshot(TWO, id(2, 1), &members, &state(&entries))
        .unwrap();
    assert_broken(
        rules.snapshot(TWO, id(1, 1), &members, &state(&entries)),
        "State Machine Safety",
    );
    assert_broken(
        rules.snapshot(TWO, id(3, 1), &members, &state(&entries)),
        "a snapshot must hold only committed entries",
    );
}

#[test]
fn snapshot_of_other_members_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    let members = Membership::of([ONE, TWO]);
    let mut change = blank(1, 1);
    change.payload = Payload::Membership(Arc::new(members.clone()));
    let entries = [change, blank(2, 1)];
    rules.leads(ONE, INCARNATION, Term(1)).unwrap();
    commit(&mut rules, ONE, 1, &entries).unwrap();
    let snapshot = |members| rules.snapshot(TWO, id(2, 1), members, &Registers::default());
    snapshot(&members).unwrap();
    assert_broken(
        snapshot(&Membership::of([ONE])),
        "a snapshot must have the members at its last entry",
    );
}

#[test]
fn second_leader_of_a_term_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    rules.leads(ONE, INCARNATION, Term(1)).unwrap();
    assert_broken(rules.leads(TWO, INCARNATION, Term(1)), "Election Safety");
    assert_broken(rules.leads(ONE, Incarnation(2), Term(1)), "Election Safety");
}

#[test]
fn entry_with_two_payloads_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &[write(1, 1, 7, 1)]).unwrap();
    assert_broken(
        rules.holds(TWO, START, &[write(1, 1, 8, 1)]),
        "Log Matching",
    );
}

#[test]
fn entry_after_two_others_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &log(&[1, 3])).unwrap();
    assert_broken(rules.holds(TWO, START, &log(&[2, 3])), "Log Matching");
}

#[test]
fn leader_without_a_committed_entry_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    commit(&mut rules, ONE, 1, &log(&[1, 1])).unwrap();
    rules.holds(TWO, START, &log(&[1])).unwrap();
    assert_broken(
        rules.leads(TWO, INCARNATION, Term(2)),
        "Leader Completeness",
    );
}

#[test]
fn commit_that_a_later_leader_lacks_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    rules.leads(ONE, INCARNATION, Term(1)).unwrap();
    rules.leads(TWO, INCARNATION, Term(2)).unwrap();
    assert_broken(
        commit(&mut rules, ONE, 1, &log(&[1])),
        "Leader Completeness",
    );
}

/// A late vote may elect a leader of an older term after a newer one's commit. It may lack the
/// entry, unless that was committed in a term before its own.
#[test]
fn late_leader_of_an_older_term_is_legal() {
    let mut rules = Rules::<Registers>::default();
    commit(&mut rules, ONE, 5, &log(&[1, 5])).unwrap();
    rules.leads(TWO, INCARNATION, Term(3)).unwrap();
}

#[test]
fn two_entries_applied_at_one_index_are_rejected() {
    let mut rules = Rules::<Registers>::default();
    commit(&mut rules, ONE, 1, &log(&[1])).unwrap();
    assert_broken(
        commit(&mut rules, TWO, 2, &log(&[2])),
        "State Machine Safety",
    );
}

#[test]
fn state_that_differs_from_the_entries_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    let entries = [write(1, 1, 7, 1)];
    rules.holds(ONE, START, &entries).unwrap();
    let commit = Commit {
        node: ONE,
        role: RoleName::Leader,
        term: Term(1),
        index: Index(1),
        applied: Index(1),
        state: &Registers::default(),
    };
    assert_broken(rules.commits(&commit, |_| true), "State Machine Safety");
}

#[test]
fn commit_without_a_quorum_of_disks_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &log(&[1])).unwrap();
    let commit = Commit {
        node: ONE,
        role: RoleName::Leader,
        term: Term(1),
        index: Index(1),
        applied: Index(1),
        state: &Registers::default(),
    };
    assert_broken(
        rules.commits(&commit, |_| false),
        "a committed entry must be on a quorum",
    );
}

/// A lone voter commits an entry that is on its own disk. The rules are shown more disks than that.
#[test]
fn commit_on_half_of_the_disks_is_rejected() {
    let mut node = lone_voter();
    run(&mut node).unwrap();
    let (stored, empty) = (node.disk.ledger(), Ledger::default());
    let observe = |disks: &[(NodeId, &Ledger<Command>)]| {
        node.observe(&mut Rules::default(), disks.iter().copied())
    };
    observe(&[(ONE, stored)]).unwrap();
    // A disk of another node does not count.
    for disks in [&[][..], &[(ONE, &empty)], &[(ONE, &empty), (TWO, stored)]] {
        let rule = "a committed entry must be on a quorum of disks";
        assert_broken(observe(disks), rule);
    }
}

#[test]
fn snapshot_of_an_unsynced_entry_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    let entries = [blank(1, 1), write(2, 1, 7, 1)];
    commit(&mut rules, ONE, 1, &entries).unwrap();
    let members = Membership::of([ONE]);
    let capture = |stored: &[Entry<Command>]| {
        let disk = Ledger::holding(Ballot::default(), START, stored.to_vec());
        rules.captures(ONE, id(2, 1), &members, &state(&entries), &disk)
    };
    capture(&entries).unwrap();
    assert_broken(
        capture(&entries[..1]),
        "a snapshot must hold only synced entries",
    );
    assert_broken(
        rules.captures(
            ONE,
            id(2, 1),
            &members,
            &Registers::default(),
            &Ledger::default(),
        ),
        "State Machine Safety",
    );
}

#[test]
fn commit_of_an_older_term_by_counting_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    assert_broken(
        commit(&mut rules, ONE, 2, &log(&[1])),
        "only a leader may commit first",
    );
}

#[test]
fn follower_that_commits_first_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &log(&[1])).unwrap();
    let commit = Commit {
        node: ONE,
        role: RoleName::Follower,
        term: Term(1),
        index: Index(1),
        applied: Index(1),
        state: &Registers::default(),
    };
    assert_broken(
        rules.commits(&commit, |_| true),
        "only a leader may commit first",
    );
}

#[test]
fn commit_of_a_missing_entry_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    let commit = Commit {
        node: ONE,
        role: RoleName::Leader,
        term: Term(1),
        index: Index(1),
        applied: Index(1),
        state: &Registers::default(),
    };
    assert_broken(
        rules.commits(&commit, |_| true),
        "a node must hold what it commits: node 1 commits 1",
    );
}

#[test]
fn command_that_is_applied_twice_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    let twice = [write(1, 1, 7, 1), write(2, 1, 8, 2), write(3, 1, 7, 1)];
    assert_broken(
        commit(&mut rules, ONE, 1, &twice),
        "a command must be applied at most once: CommandId(7)",
    );
}

#[test]
fn command_of_a_session_may_come_into_the_log_again() {
    let mut rules = Rules::<Registers>::default();
    let mut again = [write(1, 1, 7, 1), write(2, 1, 8, 2), write(3, 1, 7, 1)];
    for at in [0, 2] {
        again[at].payload = of_session(&again[at].payload);
    }
    commit(&mut rules, ONE, 1, &again).unwrap();
    assert_eq!(
        (rules.sightings.repeated, rules.sightings.forgotten),
        (1, 0)
    );
}

/// The same command under the first number of a session.
fn of_session(payload: &Payload<Command>) -> Payload<Command> {
    let Payload::Command(command) = payload else {
        panic!("{payload:?} has no command");
    };
    let number = Some(Number {
        session: SessionId(1),
        sequence: 1,
        acknowledged: 0,
    });
    Payload::Command(Arc::new(Command {
        number,
        ..(**command).clone()
    }))
}

#[test]
fn refused_command_in_a_log_is_rejected() {
    let refused = Response::Refused(Refusal::NoLeader);
    let mut rules = Rules::<Registers>::default();
    rules.answered(CommandId(7), &refused).unwrap();
    assert_broken(
        rules.holds(ONE, START, &[write(1, 1, 7, 1)]),
        "a refused command must not enter a log",
    );

    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &[write(1, 1, 7, 1)]).unwrap();
    assert_broken(
        rules.answered(CommandId(7), &refused),
        "a refused command must not enter a log",
    );
}

#[test]
fn response_that_differs_from_the_outcome_is_rejected() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &[write(1, 1, 7, 1)]).unwrap();
    let done = Response::Applied(Outcome::Done);
    assert_broken(
        rules.answered(CommandId(7), &done),
        "a response must be the command's outcome",
    );
    commit(&mut rules, ONE, 1, &[write(1, 1, 7, 1)]).unwrap();
    rules.answered(CommandId(7), &done).unwrap();
    let absent = Response::Applied(Outcome::Absent);
    assert_broken(
        rules.answered(CommandId(7), &absent),
        "a response must be the command's outcome",
    );
    let answer = Response::Answered(None);
    assert_broken(
        rules.answered(CommandId(7), &answer),
        "a command must be answered as one",
    );
}

#[test]
fn promise_that_is_not_on_disk_is_rejected() {
    let rules = Rules::<Registers>::default();
    let stream = RequestId {
        incarnation: INCARNATION,
        counter: 1,
    };
    let send = |message, disk: &Ledger<Command>| {
        let envelope = Envelope {
            from: ONE,
            to: TWO,
            term: Term(2),
            message,
        };
        rules.sends(&envelope, disk)
    };
    let disk = |term, vote| Ledger::holding(Ballot::new(Term(term), vote), START, log(&[1, 1]));
    let vote = || {
        Message::Vote(Vote {
            last: id(2, 1),
            transfer: false,
        })
    };
    let grant = |granted| Message::VoteReply(VoteReply { granted });
    let append = || {
        Message::Append(Append {
            stream,
            prev: id(2, 1),
            entries: Vec::new(),
            commit: Index(0),
        })
    };
    let appended = |matched| {
        Message::Appended(Appended {
            stream,
            incarnation: INCARNATION,
            matched: Index(matched),
        })
    };

    for message in [vote(), append()] {
        assert_broken(
            send(message.clone(), &disk(1, Some(ONE))),
            "a promise must be on disk",
        );
        assert_broken(
            send(message.clone(), &disk(2, None)),
            "a promise must be on disk",
        );
        send(message.clone(), &disk(2, Some(ONE))).unwrap();
        send(message, &disk(3, None)).unwrap();
    }
    assert_broken(
        send(grant(true), &disk(2, Some(ONE))),
        "a promise must be on disk",
    );
    send(grant(true), &disk(2, Some(TWO))).unwrap();
    send(grant(false), &disk(1, None)).unwrap();
    assert_broken(
        send(appended(3), &disk(2, None)),
        "a promise must be on disk",
    );
    send(appended(2), &disk(2, None)).unwrap();
    send(appended(3), &disk(3, None)).unwrap();
}

#[test]
fn entry_that_counts_as_stored_too_early_is_rejected() {
    let rules = Rules::<Registers>::default();
    let disk = |terms| Ledger::holding(Ballot::default(), START, log(terms));
    let synced = |index, disk: &Ledger<Command>| {
        let log = log(&[1, 1, 2]);
        rules.synced(ONE, START, log.iter(), Index(index), disk)
    };
    for (index, terms) in [(0, &[][..]), (2, &[1, 1]), (3, &[1, 1, 2]), (2, &[1, 1, 1])] {
        synced(index, &disk(terms)).unwrap();
    }
    for (index, terms) in [(1, &[][..]), (3, &[1, 1]), (3, &[1, 1, 1])] {
        assert_broken(
            synced(index, &disk(terms)),
            "an entry counts as stored once it is on disk",
        );
    }
}

/// A lone voter may lead twice in a term, if nothing was stored the first time.
#[test]
fn term_of_a_dead_lone_voter_is_forgotten() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &[write(1, 1, 7, 1)]).unwrap();
    rules.leads(ONE, INCARNATION, Term(1)).unwrap();
    let stored = Ledger::<Command>::holding(Ballot::new(Term(1), Some(ONE)), START, Vec::new());
    rules.lone_voter_died(ONE, &stored);
    assert_broken(rules.leads(ONE, Incarnation(2), Term(1)), "Election Safety");
    rules.lone_voter_died(ONE, &Ledger::default());
    rules.leads(ONE, Incarnation(2), Term(1)).unwrap();
    rules.holds(ONE, START, &[write(1, 1, 8, 1)]).unwrap();
}
