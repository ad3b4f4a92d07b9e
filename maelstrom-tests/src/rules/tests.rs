//! Each rule is shown a cluster that breaks it, and says no.

use std::sync::Arc;

use raft_core::{Append, Appended, Ballot, Refusal, RequestId, Vote, VoteReply};

use super::*;
use crate::replica::machine::{Change, Command, Key, Outcome, Registers};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const LIFE: Incarnation = Incarnation(1);
/// Before all entries.
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

fn write(index: u64, term: u64, command: u64) -> Entry<Command> {
    let command = Command {
        id: CommandId(command),
        key: Key('x'),
        change: Change::Write(1),
    };
    Entry {
        id: id(index, term),
        payload: Payload::Command(Arc::new(command)),
    }
}

/// A log of blanks of these terms.
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
        state: &state(entries),
    };
    rules.commits(&commit, |_| true)
}

#[track_caller]
fn says_no(result: Result<(), Broken>, rule: &str) {
    let Broken(said) = result.expect_err("the rule says no");
    assert!(said.starts_with(rule), "{said}");
}

#[test]
fn a_correct_history_is_no_violation() {
    let mut rules = Rules::<Registers>::default();
    let entries = [blank(1, 1), write(2, 1, 7)];
    rules.leads(ONE, LIFE, Term(1)).unwrap();
    rules.leads(ONE, LIFE, Term(1)).unwrap();
    commit(&mut rules, ONE, 1, &entries).unwrap();
    let follower = Commit {
        node: TWO,
        role: RoleName::Follower,
        term: Term(1),
        index: Index(2),
        state: &state(&entries),
    };
    rules.holds(TWO, START, &entries).unwrap();
    rules.commits(&follower, |_| true).unwrap();
    rules
        .answered(CommandId(7), &Response::Applied(Outcome::Done))
        .unwrap();
    rules.leads(TWO, LIFE, Term(2)).unwrap();
    assert_eq!(rules.committed(), Index(2));
}

#[test]
fn what_is_compacted_is_committed() {
    let mut rules = Rules::<Registers>::default();
    let entries = [blank(1, 1), write(2, 1, 7), blank(3, 1)];
    rules.leads(ONE, LIFE, Term(1)).unwrap();
    commit(&mut rules, ONE, 1, &entries[..2]).unwrap();
    rules.holds(TWO, id(2, 1), &entries[2..]).unwrap();
    rules.holds(TWO, id(1, 1), &entries[1..]).unwrap();
    rules.holds(ONE, id(2, 1), &[]).unwrap();
    says_no(
        rules.holds(TWO, id(2, 2), &[]),
        "a snapshot holds only what is committed",
    );
    says_no(
        rules.holds(TWO, id(3, 1), &[]),
        "a snapshot holds only what is committed",
    );
    says_no(
        rules.holds(NodeId(3), id(1, 1), &[blank(2, 1)]),
        "Log Matching",
    );
}

#[test]
fn a_snapshot_of_something_else() {
    let mut rules = Rules::<Registers>::default();
    let entries = [blank(1, 1), write(2, 1, 7), blank(3, 1)];
    rules.leads(ONE, LIFE, Term(1)).unwrap();
    commit(&mut rules, ONE, 1, &entries[..2]).unwrap();
    rules.snapshot(TWO, id(2, 1), &state(&entries)).unwrap();
    says_no(
        rules.snapshot(TWO, id(1, 1), &state(&entries)),
        "State Machine Safety",
    );
    says_no(
        rules.snapshot(TWO, id(3, 1), &state(&entries)),
        "a snapshot holds only what is committed",
    );
}

#[test]
fn two_leaders_in_a_term() {
    let mut rules = Rules::<Registers>::default();
    rules.leads(ONE, LIFE, Term(1)).unwrap();
    says_no(rules.leads(TWO, LIFE, Term(1)), "Election Safety");
    says_no(rules.leads(ONE, Incarnation(2), Term(1)), "Election Safety");
}

#[test]
fn an_entry_that_says_two_things() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &[write(1, 1, 7)]).unwrap();
    says_no(rules.holds(TWO, START, &[write(1, 1, 8)]), "Log Matching");
}

#[test]
fn an_entry_behind_two_others() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &log(&[1, 3])).unwrap();
    says_no(rules.holds(TWO, START, &log(&[2, 3])), "Log Matching");
}

#[test]
fn a_leader_that_lacks_what_was_committed_before() {
    let mut rules = Rules::<Registers>::default();
    commit(&mut rules, ONE, 1, &log(&[1, 1])).unwrap();
    rules.holds(TWO, START, &log(&[1])).unwrap();
    says_no(rules.leads(TWO, LIFE, Term(2)), "Leader Completeness");
}

#[test]
fn a_commit_that_a_later_leader_lacked() {
    let mut rules = Rules::<Registers>::default();
    rules.leads(ONE, LIFE, Term(1)).unwrap();
    rules.leads(TWO, LIFE, Term(2)).unwrap();
    says_no(
        commit(&mut rules, ONE, 1, &log(&[1])),
        "Leader Completeness",
    );
}

/// Votes may be so late that an older term's leader appears after a newer one's commit. It may
/// lack the entry, if that was not committed in a term before its own.
#[test]
fn a_late_leader_of_an_older_term_is_no_violation() {
    let mut rules = Rules::<Registers>::default();
    commit(&mut rules, ONE, 5, &log(&[1, 5])).unwrap();
    rules.leads(TWO, LIFE, Term(3)).unwrap();
}

#[test]
fn two_entries_applied_at_one_place() {
    let mut rules = Rules::<Registers>::default();
    commit(&mut rules, ONE, 1, &log(&[1])).unwrap();
    says_no(
        commit(&mut rules, TWO, 2, &log(&[2])),
        "State Machine Safety",
    );
}

#[test]
fn a_state_that_the_entries_do_not_lead_to() {
    let mut rules = Rules::<Registers>::default();
    let entries = [write(1, 1, 7)];
    rules.holds(ONE, START, &entries).unwrap();
    let commit = Commit {
        node: ONE,
        role: RoleName::Leader,
        term: Term(1),
        index: Index(1),
        state: &Registers::default(),
    };
    says_no(rules.commits(&commit, |_| true), "State Machine Safety");
}

#[test]
fn a_commit_without_a_quorum_of_disks() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &log(&[1])).unwrap();
    let commit = Commit {
        node: ONE,
        role: RoleName::Leader,
        term: Term(1),
        index: Index(1),
        state: &Registers::default(),
    };
    says_no(
        rules.commits(&commit, |_| false),
        "what is committed is on a quorum",
    );
}

#[test]
fn a_commit_by_counting_an_older_term_s_entry() {
    let mut rules = Rules::<Registers>::default();
    says_no(
        commit(&mut rules, ONE, 2, &log(&[1])),
        "only a leader commits first",
    );
}

#[test]
fn a_follower_that_commits_first() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &log(&[1])).unwrap();
    let commit = Commit {
        node: ONE,
        role: RoleName::Follower,
        term: Term(1),
        index: Index(1),
        state: &Registers::default(),
    };
    says_no(
        rules.commits(&commit, |_| true),
        "only a leader commits first",
    );
}

#[test]
fn a_commit_of_what_is_not_there() {
    let mut rules = Rules::<Registers>::default();
    let commit = Commit {
        node: ONE,
        role: RoleName::Leader,
        term: Term(1),
        index: Index(1),
        state: &Registers::default(),
    };
    says_no(
        rules.commits(&commit, |_| true),
        "node 1 commits 1, which it does not hold",
    );
}

#[test]
fn a_command_with_two_entries() {
    let mut rules = Rules::<Registers>::default();
    let twice = [write(1, 1, 7), write(2, 1, 7)];
    says_no(
        rules.holds(ONE, START, &twice),
        "a command enters the log once",
    );
}

#[test]
fn a_refused_command_in_a_log() {
    let refused = Response::Refused(Refusal::NotLeader);
    let mut rules = Rules::<Registers>::default();
    rules.answered(CommandId(7), &refused).unwrap();
    says_no(
        rules.holds(ONE, START, &[write(1, 1, 7)]),
        "a refused command never",
    );

    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &[write(1, 1, 7)]).unwrap();
    says_no(
        rules.answered(CommandId(7), &refused),
        "CommandId(7) is refused",
    );
}

#[test]
fn an_answer_that_is_not_what_happened() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &[write(1, 1, 7)]).unwrap();
    let done = Response::Applied(Outcome::Done);
    says_no(
        rules.answered(CommandId(7), &done),
        "CommandId(7) is answered with Done",
    );
    commit(&mut rules, ONE, 1, &[write(1, 1, 7)]).unwrap();
    rules.answered(CommandId(7), &done).unwrap();
    let absent = Response::Applied(Outcome::Absent);
    says_no(
        rules.answered(CommandId(7), &absent),
        "CommandId(7) is answered with Absent",
    );
    let answer = Response::Answered(None);
    says_no(
        rules.answered(CommandId(7), &answer),
        "CommandId(7) is answered as if",
    );
}

#[test]
fn a_promise_that_is_not_on_disk() {
    let rules = Rules::<Registers>::default();
    let stream = RequestId {
        incarnation: LIFE,
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
    let vote = || Message::Vote(Vote { last: id(2, 1) });
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
            incarnation: LIFE,
            matched: Index(matched),
        })
    };

    for message in [vote(), append()] {
        says_no(
            send(message.clone(), &disk(1, Some(ONE))),
            "persist before send",
        );
        says_no(send(message.clone(), &disk(2, None)), "persist before send");
        send(message.clone(), &disk(2, Some(ONE))).unwrap();
        send(message, &disk(3, None)).unwrap();
    }
    says_no(
        send(grant(true), &disk(2, Some(ONE))),
        "persist before send",
    );
    send(grant(true), &disk(2, Some(TWO))).unwrap();
    send(grant(false), &disk(1, None)).unwrap();
    says_no(send(appended(3), &disk(2, None)), "persist before send");
    send(appended(2), &disk(2, None)).unwrap();
    send(appended(3), &disk(3, None)).unwrap();
}

/// A lone voter may lead twice in a term, if nothing of the first time was stored.
#[test]
fn what_nobody_can_have_heard_is_forgotten() {
    let mut rules = Rules::<Registers>::default();
    rules.holds(ONE, START, &[write(1, 1, 7)]).unwrap();
    rules.leads(ONE, LIFE, Term(1)).unwrap();
    let stored = Ledger::<Command>::holding(Ballot::new(Term(1), Some(ONE)), START, Vec::new());
    rules.lone_voter_died(ONE, &stored);
    says_no(rules.leads(ONE, Incarnation(2), Term(1)), "Election Safety");
    rules.lone_voter_died(ONE, &Ledger::default());
    rules.leads(ONE, Incarnation(2), Term(1)).unwrap();
    rules.holds(ONE, START, &[write(1, 1, 8)]).unwrap();
}
