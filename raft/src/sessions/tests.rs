use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{self, Write};

use json::value;
use rand::Rng;

use super::*;
use crate::host::Image;
use crate::kv::{self, Kv};

/// Adds up numbers, and so notices each command that is applied twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sum(u64);

impl StateMachine for Sum {
    type Command = u64;
    type Outcome = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, command: &u64) -> u64 {
        self.0 += command;
        self.0
    }

    fn answer(&self, (): &()) -> u64 {
        self.0
    }

    fn size(_: &u64) -> usize {
        8
    }
}

impl Inner for Sum {
    const LIMITS: Limits = Limits {
        sessions: 3,
        answers: 4,
        bytes: 60,
    };

    fn outcome_size(_: &u64) -> usize {
        10
    }
}

impl Image for Sum {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.0)
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        json::decode(bytes)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

type Machine = Sessions<Sum>;

fn open(machine: &mut Machine) -> SessionId {
    match machine.apply(&Command::Open) {
        Outcome::Opened(id) => id,
        other => panic!("{other:?}"),
    }
}

/// Runs a command that adds 1.
fn add(machine: &mut Machine, session: SessionId, sequence: u64) -> Outcome<u64> {
    add_after(machine, session, sequence, 0)
}

fn add_after(
    machine: &mut Machine,
    session: SessionId,
    sequence: u64,
    acknowledged: u64,
) -> Outcome<u64> {
    machine.apply(&Command::Do {
        session,
        sequence,
        acknowledged,
        command: 1,
    })
}

fn image<M: Inner + Image>(machine: &Sessions<M>) -> Vec<u8>
where
    Sessions<M>: Image,
{
    let mut bytes = Vec::new();
    machine.write(&mut bytes).expect("memory never fails");
    bytes
}

#[test]
fn repeated_command_is_answered_and_not_applied() {
    let mut machine = Machine::default();
    let session = open(&mut machine);
    assert_eq!(add(&mut machine, session, 1), Outcome::Done(1));
    assert_eq!(add(&mut machine, session, 2), Outcome::Done(2));
    assert_eq!(add(&mut machine, session, 1), Outcome::Done(1));
    assert_eq!(add(&mut machine, session, 2), Outcome::Done(2));
    assert_eq!(machine.answer(&()), 2);
}

#[test]
fn plain_command_is_applied_each_time() {
    let mut machine = Machine::default();
    assert_eq!(machine.apply(&Command::Plain(1)), Outcome::Done(1));
    assert_eq!(machine.apply(&Command::Plain(1)), Outcome::Done(2));
    assert_eq!(machine, Sessions::new(Sum(2)));
}

#[test]
fn reordered_commands_are_each_applied_once() {
    let mut machine = Machine::default();
    let session = open(&mut machine);
    for (sequence, outcome) in [(3, 1), (1, 2), (3, 1), (2, 3), (1, 2), (2, 3)] {
        assert_eq!(add(&mut machine, session, sequence), Outcome::Done(outcome));
    }
}

#[test]
fn same_number_in_another_session_is_another_command() {
    let mut machine = Machine::default();
    let (one, other) = (open(&mut machine), open(&mut machine));
    assert_eq!(add(&mut machine, one, 1), Outcome::Done(1));
    assert_eq!(add(&mut machine, other, 1), Outcome::Done(2));
}

#[test]
fn acknowledged_commands_are_unknown() {
    let mut machine = Machine::default();
    let session = open(&mut machine);
    add(&mut machine, session, 1);
    assert_eq!(
        add_after(&mut machine, session, 4, 3),
        Outcome::Done(2),
        "2 never came, and the client does not want it"
    );
    for sequence in [1, 2] {
        assert_eq!(add(&mut machine, session, sequence), Outcome::Unknown);
    }
    // A late command with an old floor lowers nothing.
    assert_eq!(add_after(&mut machine, session, 3, 1), Outcome::Done(3));
    assert_eq!(add(&mut machine, session, 2), Outcome::Unknown);
    assert_eq!(add(&mut machine, session, 4), Outcome::Done(2));
    assert_eq!(machine.answer(&()), 3);
}

#[test]
fn session_that_was_never_opened_or_is_closed_is_unknown() {
    let mut machine = Machine::default();
    assert_eq!(add(&mut machine, SessionId(1), 1), Outcome::Unknown);
    let session = open(&mut machine);
    add(&mut machine, session, 1);
    for _ in 0..2 {
        let close = machine.apply(&Command::Close(session));
        assert_eq!((close, machine.table.sessions.len()), (Outcome::Closed, 0));
    }
    assert_eq!(add(&mut machine, session, 1), Outcome::Unknown);
    assert_eq!(add(&mut machine, session, 2), Outcome::Unknown);
    assert_eq!(machine.answer(&()), 1);
    assert_ne!(open(&mut machine), session);
}

#[test]
fn new_history_keeps_sessions_and_gives_no_id_of_the_former() {
    let mut former = Machine::default();
    let known = open(&mut former);
    add(&mut former, known, 1);
    let mut new = former.clone().in_new_history();
    assert_eq!(add(&mut new, known, 1), Outcome::Done(1));
    let (theirs, ours) = (open(&mut former), open(&mut new));
    assert_ne!(theirs, ours);
    assert_eq!(add(&mut new, theirs, 1), Outcome::Unknown);
    assert_eq!(new.answer(&()), 1);
}

#[test]
fn least_recently_used_session_is_evicted() {
    let mut machine = Machine::default();
    let [a, b, c] = [(); 3].map(|()| open(&mut machine));
    // Neither the lowest id nor the order of opening decides; a repetition is a use, too.
    add(&mut machine, a, 1);
    add(&mut machine, b, 1);
    add(&mut machine, a, 1);
    let d = open(&mut machine);
    assert_eq!(add(&mut machine, c, 1), Outcome::Unknown);
    open(&mut machine);
    assert_eq!(add(&mut machine, b, 1), Outcome::Unknown, "never new");
    assert_eq!(add(&mut machine, a, 1), Outcome::Done(1));
    assert_eq!(add(&mut machine, d, 1), Outcome::Done(3));
    assert_eq!(machine.table.sessions.len(), 3);
}

#[test]
fn evicted_outcome_is_unknown() {
    let mut machine = Machine::default();
    let session = open(&mut machine);
    for sequence in [9, 2, 4, 6, 8] {
        add(&mut machine, session, sequence);
    }
    for sequence in [1, 2] {
        assert_eq!(add(&mut machine, session, sequence), Outcome::Unknown);
    }
    assert_eq!(add(&mut machine, session, 4), Outcome::Done(3));
    assert_eq!(machine.answer(&()), 5);
}

#[test]
fn bytes_evict_outcomes_of_the_least_recently_used_session() {
    let mut machine = Machine::default();
    let [a, b, c] = [(); 3].map(|()| open(&mut machine));
    for session in [b, a, c] {
        add(&mut machine, session, 1);
        add(&mut machine, session, 2);
    }
    add(&mut machine, a, 3);
    // The session stays open, for the commands after those.
    for sequence in [1, 2] {
        assert_eq!(add(&mut machine, b, sequence), Outcome::Unknown);
    }
    assert_eq!(add(&mut machine, b, 3), Outcome::Done(8));
    assert_eq!(add(&mut machine, a, 1), Outcome::Done(3));
    assert_eq!(add(&mut machine, c, 1), Outcome::Done(5));
}

#[test]
fn clone_does_not_see_later_commands() {
    let mut machine = Machine::default();
    let session = open(&mut machine);
    let copy = machine.clone();
    add(&mut machine, session, 1);
    assert_eq!(image(&copy), b"{\"machine\":\"sessions\",\"version\":1,\"opened\":1,\"uses\":1,\"sessions\":1}\n[1,1,0,[]]\n0\n");
}

/// Drives the machine at random, beside a second one that is read from an image now and then, and
/// beside a record of what was applied.
#[test]
fn random_commands_are_applied_at_most_once() {
    let seed =
        env::var("STDRAFT_SEED").map_or(7, |seed| seed.parse().expect("STDRAFT_SEED is a number"));
    println!("STDRAFT_SEED={seed} cargo test -p raft random_commands_are_applied_at_most_once");
    let mut rng = Rng::seeded(seed);
    for _ in 0..300 {
        let (mut machine, mut other) = (Machine::default(), Machine::default());
        let mut applied = BTreeSet::new();
        let mut outcomes = BTreeMap::new();
        for _ in 0..100 {
            let command = match rng.below(12) {
                0 => Command::Open,
                1 => Command::Close(SessionId(rng.below(machine.table.opened + 2))),
                2 => Command::Plain(1),
                _ => Command::Do {
                    session: SessionId(rng.below(machine.table.opened + 2)),
                    sequence: rng.below(9),
                    acknowledged: rng.below(2) * rng.below(9),
                    command: 1,
                },
            };
            let before = machine.answer(&());
            let outcome = machine.apply(&command);
            let is_applied = machine.answer(&()) > before;
            if let Command::Do {
                session, sequence, ..
            } = command
            {
                let id = (session, sequence);
                match outcome {
                    Outcome::Done(value) => {
                        assert_eq!(is_applied, !applied.contains(&id), "{command:?}");
                        assert_eq!(*outcomes.entry(id).or_insert(value), value);
                        applied.insert(id);
                    }
                    _ => assert!(!is_applied, "{command:?}"),
                }
            }
            if rng.chance(1, 10) {
                other = Sessions::read(&image(&other)).expect("an image");
            }
            assert_eq!(other.apply(&command), outcome);
            assert_eq!(other, machine);
            assert!(machine.table.sessions.len() <= Sum::LIMITS.sessions);
            assert!(machine.table.bytes <= Sum::LIMITS.bytes);
        }
    }
}

#[test]
fn image_without_sessions_is_that_of_the_machine() {
    let mut machine = Sessions::<Kv>::default();
    let (key, value) = (value!(1).into(), value!("one").into());
    machine.apply(&Command::Plain(kv::Command::Write { key, value }));
    let mut plain = Vec::new();
    machine.machine().write(&mut plain).unwrap();
    assert_eq!(image(&machine), plain);
    assert_eq!(Sessions::read(&plain), Ok(machine));
}

#[test]
fn image_has_sessions_before_the_machine() {
    let mut machine = Sessions::<Kv>::default();
    machine.apply(&Command::Open);
    for sequence in [1, 5] {
        let (key, value) = (value!(1).into(), value!("one").into());
        machine.apply(&Command::Do {
            session: SessionId(1),
            sequence,
            acknowledged: sequence - 1,
            command: kv::Command::Write { key, value },
        });
    }
    let text = "{\"machine\":\"sessions\",\"version\":1,\"opened\":1,\"uses\":3,\"sessions\":1}\n\
                [1,3,4,[[5,{\"type\":\"written\"}]]]\n\
                {\"machine\":\"lin-kv\",\"version\":1,\"keys\":1}\n\
                [1,\"one\"]\n";
    assert_eq!(String::from_utf8(image(&machine)).unwrap(), text);
    assert_eq!(Sessions::read(text.as_bytes()), Ok(machine));
}

#[test]
fn invalid_images_are_rejected() {
    let header = r#"{"machine":"sessions","version":1,"opened":2,"uses":5,"sessions":"#;
    for (text, expected) in [
        (
            r#"{"machine":"sessions","version":2,"more":[]}"#.to_owned() + "\n",
            "expected sessions of version 1, found version 2",
        ),
        (format!("{header}0}}"), "sessions: a line has no end"),
        (format!("{header}1}}\n"), "sessions: a line has no end"),
        (format!("{header}1}}\n0\n"), "sessions: line 1 column 1"),
        (
            format!("{header}1}}\n[3,1,0,[]]\n0\n"),
            "sessions: session 3 is inconsistent",
        ),
        (
            format!("{header}1}}\n[1,6,0,[]]\n0\n"),
            "sessions: session 1 is inconsistent",
        ),
        (
            format!("{header}2}}\n[2,1,0,[]]\n[1,2,0,[]]\n0\n"),
            "sessions: session 1 is inconsistent",
        ),
        (
            format!("{header}1}}\n[1,1,3,[[2,1]]]\n0\n"),
            "sessions: session 1 is inconsistent",
        ),
        (
            format!("{header}1}}\n[1,1,0,[[2,1],[2,1]]]\n0\n"),
            "sessions: session 1 is inconsistent",
        ),
        (format!("{header}0}}\n"), "line 1"),
    ] {
        let error = Machine::read(text.as_bytes()).expect_err("not an image");
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn commands_and_outcomes_are_short_arrays() {
    let write = || kv::Command::Write {
        key: value!(1).into(),
        value: value!(2).into(),
    };
    let body = r#"{"type":"write","key":1,"value":2}"#;
    for (command, text) in [
        (Command::Plain(write()), body.to_owned()),
        (Command::Open, "[]".to_owned()),
        (Command::Close(SessionId(3)), "[3]".to_owned()),
        (
            Command::Do {
                session: SessionId(3),
                sequence: 9,
                acknowledged: 7,
                command: write(),
            },
            format!("[3,9,7,{body}]"),
        ),
    ] {
        assert_eq!(json::to_string(&command), text);
        assert_eq!(json::decode(text.as_bytes()), Ok(command));
    }
    for (outcome, text) in [
        (Outcome::Done(kv::Outcome::Written), r#"{"type":"written"}"#),
        (Outcome::Opened(SessionId(3)), "[3]"),
        (Outcome::Closed, "[]"),
        (Outcome::Unknown, "null"),
    ] {
        assert_eq!(json::to_string(&outcome), text);
        assert_eq!(json::decode(text.as_bytes()), Ok(outcome));
    }
    for text in ["[1,2]", "[1,2,3]", "[1,2,3,{},5]", "null", "[\"1\"]"] {
        assert!(json::decode::<Command<kv::Command>>(text.as_bytes()).is_err());
    }
    assert!(json::decode::<Outcome<kv::Outcome>>(b"[1,2]").is_err());
}
