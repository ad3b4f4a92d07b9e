//! The rules one by one, every small history against brute force, and big random ones.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{cmp, thread};

use json::Value;
use rand::Rng;

use super::register::{Condition, Effect, State, Step};
use super::search::{self, Finding};
use super::shrink::{self, Start};
use super::{Analysis, Contradiction, Held, Limits, Verdict, check};
use crate::history::{Call, ErrorCode, Moment, Operation, Outcome, Process};

// ---- Small histories ----

/// An operation of process `from` on key 0 that runs from `from` to `to`.
fn operation(from: u64, to: u64, call: Call, outcome: Outcome) -> Operation {
    Operation {
        process: Process(from),
        key: Value::from(0),
        call,
        invoked: Moment::at(from),
        completed: Some((Moment::at(to), outcome)),
    }
}

fn read(from: u64, to: u64, value: i64) -> Operation {
    operation(from, to, Call::Read, Outcome::ReadOk(Value::from(value)))
}

fn read_null(from: u64, to: u64) -> Operation {
    operation(from, to, Call::Read, Outcome::ReadOk(Value::Null))
}

fn write_call(value: i64) -> Call {
    Call::Write(Value::from(value))
}

fn cas_call(old: i64, new: i64) -> Call {
    Call::Cas {
        from: Value::from(old),
        to: Value::from(new),
    }
}

fn write(from: u64, to: u64, value: i64) -> Operation {
    operation(from, to, write_call(value), Outcome::Done)
}

fn cas(from: u64, to: u64, old: i64, new: i64) -> Operation {
    operation(from, to, cas_call(old, new), Outcome::Done)
}

fn failed(from: u64, to: u64, call: Call, code: u64) -> Operation {
    operation(from, to, call, Outcome::Failed(ErrorCode(code)))
}

fn unknown(from: u64, to: u64, call: Call) -> Operation {
    operation(from, to, call, Outcome::Unknown(ErrorCode::TIMEOUT))
}

fn verdict(operations: &[Operation]) -> Verdict {
    check(operations, Limits::default()).verdict
}

#[track_caller]
fn assert_valid(operations: &[Operation]) {
    match verdict(operations) {
        Verdict::Valid => {}
        Verdict::Invalid(why) => panic!("{}", why[0]),
        Verdict::Unknown(keys) => panic!("undecided: {keys:?}"),
    }
}

#[track_caller]
fn contradiction(operations: &[Operation]) -> Contradiction {
    match verdict(operations) {
        Verdict::Invalid(mut why) => why.remove(0),
        Verdict::Valid => panic!("found valid"),
        Verdict::Unknown(keys) => panic!("undecided: {keys:?}"),
    }
}

#[test]
fn nothing_is_valid() {
    let Analysis {
        verdict,
        keys,
        operations,
    } = check(&[], Limits::default());
    assert!(matches!(verdict, Verdict::Valid));
    assert_eq!((keys, operations), (0, 0));
}

#[test]
fn a_read_returns_the_last_write() {
    assert_valid(&[write(0, 1, 1), read(2, 3, 1), write(4, 5, 2), read(6, 7, 2)]);
    contradiction(&[write(0, 1, 1), write(2, 3, 2), read(4, 5, 1)]);
    contradiction(&[write(0, 1, 1), read(2, 3, 7)]);
}

#[test]
fn operations_that_overlap_may_come_in_any_order() {
    assert_valid(&[write(0, 9, 1), write(0, 9, 2), read(10, 11, 1)]);
    assert_valid(&[write(0, 9, 1), write(0, 9, 2), read(10, 11, 2)]);
    // But in one order only.
    contradiction(&[
        write(0, 9, 1),
        write(0, 9, 2),
        read(10, 11, 1),
        read(12, 13, 2),
    ]);
}

#[test]
fn operations_that_touch_overlap() {
    assert_valid(&[write(0, 1, 1), write(1, 2, 2), read(3, 4, 1)]);
    contradiction(&[write(0, 1, 1), write(2, 3, 2), read(4, 5, 1)]);
}

#[test]
fn the_order_in_which_operations_are_given_does_not_matter() {
    assert_valid(&[read(6, 7, 2), write(4, 5, 2), read(2, 3, 1), write(0, 1, 1)]);
    contradiction(&[read(4, 5, 1), write(2, 3, 2), write(0, 1, 1)]);
}

#[test]
fn a_cas_needs_its_value() {
    assert_valid(&[write(0, 1, 1), cas(2, 3, 1, 2), read(4, 5, 2)]);
    contradiction(&[write(0, 1, 1), cas(2, 3, 3, 2)]);
    contradiction(&[cas(0, 1, 1, 2)]);
    contradiction(&[write(0, 1, 1), cas(2, 5, 1, 2), cas(2, 5, 1, 3)]);
    assert_valid(&[write(0, 1, 1), cas(2, 3, 1, 1), read(4, 5, 1)]);
    contradiction(&[write(0, 1, 1), cas(2, 3, 2, 2)]);
}

#[test]
fn code_20_says_that_the_key_was_absent() {
    assert_valid(&[failed(0, 1, Call::Read, 20), write(2, 3, 1)]);
    assert_valid(&[failed(0, 3, Call::Read, 20), write(2, 3, 1)]);
    contradiction(&[write(0, 1, 1), failed(2, 3, Call::Read, 20)]);
    assert_valid(&[failed(0, 1, cas_call(1, 2), 20), write(2, 3, 1)]);
    contradiction(&[write(0, 1, 1), failed(2, 3, cas_call(1, 2), 20)]);
}

#[test]
fn code_22_says_that_the_key_held_something_else() {
    assert_valid(&[write(0, 1, 1), failed(2, 3, cas_call(2, 3), 22)]);
    contradiction(&[write(0, 1, 1), failed(2, 3, cas_call(1, 3), 22)]);
    contradiction(&[failed(0, 1, cas_call(1, 3), 22), write(2, 3, 1)]);
}

#[test]
fn a_null_read_is_not_a_wildcard() {
    contradiction(&[write(0, 1, 1), read_null(2, 3)]);
    contradiction(&[read_null(0, 1)]);
    let write_null = operation(0, 1, Call::Write(Value::Null), Outcome::Done);
    assert_valid(&[write_null, read_null(2, 3)]);
}

#[test]
fn answers_that_no_register_gives_are_contradictions_by_themselves() {
    for (call, code) in [
        (Call::Read, 21),
        (Call::Read, 22),
        (write_call(2), 20),
        (write_call(2), 21),
        (write_call(2), 22),
        (cas_call(1, 2), 21),
    ] {
        let why = contradiction(&[write(0, 1, 1), read(2, 3, 1), failed(4, 5, call, code)]);
        assert_eq!(why.parts.len(), 1);
        assert_eq!(why.start, Start::Anything);
        assert!(why.to_string().contains(&format!("was answered {code}")));
    }
}

#[test]
fn what_definitely_failed_never_happened() {
    for code in [1, 10, 11, 12, 14, 30] {
        assert_valid(&[
            write(0, 1, 1),
            failed(2, 3, write_call(2), code),
            read(4, 5, 1),
        ]);
        contradiction(&[
            write(0, 1, 1),
            failed(2, 3, write_call(2), code),
            read(4, 5, 2),
        ]);
    }
}

#[test]
fn what_is_unknown_may_happen_later_or_never() {
    let lost = || unknown(2, 3, write_call(2));
    assert_valid(&[write(0, 1, 1), lost(), read(4, 5, 1), read(6, 7, 2)]);
    assert_valid(&[write(0, 1, 1), lost(), read(4, 5, 2), read(6, 7, 2)]);
    // But once, and not before it was asked for.
    contradiction(&[
        write(0, 1, 1),
        lost(),
        read(4, 5, 2),
        write(6, 7, 1),
        read(8, 9, 2),
    ]);
    contradiction(&[read(0, 1, 2), lost()]);
    // The same for what the history leaves open.
    let mut open = lost();
    open.completed = None;
    assert_valid(&[write(0, 1, 1), open, read(4, 5, 1), read(6, 7, 2)]);
}

#[test]
fn an_unknown_cas_needs_its_value() {
    let lost = unknown(2, 3, cas_call(1, 2));
    assert_valid(&[write(0, 1, 1), lost.clone(), read(4, 5, 2)]);
    contradiction(&[write(0, 1, 3), lost, read(4, 5, 2)]);
}

#[test]
fn unknown_operations_may_need_each_other() {
    let links = (1..5).map(|value| unknown(2, 3, cas_call(value, value + 1)));
    let mut operations: Vec<Operation> = links.collect();
    operations.extend([write(0, 1, 1), read(4, 5, 5)]);
    assert_valid(&operations);
    operations.remove(2);
    contradiction(&operations);
}

#[test]
fn a_read_without_an_answer_says_nothing() {
    assert_valid(&[
        write(0, 1, 1),
        failed(2, 3, Call::Read, 0),
        unknown(4, 5, Call::Read),
    ]);
}

#[test]
fn keys_are_separate() {
    let on_key = |key: i64, mut operation: Operation| {
        operation.key = Value::from(key);
        operation
    };
    assert_valid(&[
        on_key(1, write(0, 1, 1)),
        on_key(2, failed(2, 3, Call::Read, 20)),
    ]);
    let why = contradiction(&[
        on_key(1, write(0, 1, 1)),
        on_key(2, write(0, 1, 1)),
        on_key(2, read(2, 3, 2)),
    ]);
    assert_eq!(why.key, Value::from(2));
}

#[test]
fn too_little_work_is_said_and_no_verdict() {
    let operations = [write(0, 1, 1), write(2, 3, 2), read(4, 5, 1)];
    let analysis = check(&operations, Limits { per_key: 1 });
    match analysis.verdict {
        Verdict::Unknown(keys) => assert_eq!(keys, [Value::from(0)]),
        Verdict::Valid | Verdict::Invalid(_) => panic!("decided without work"),
    }
}

// ---- Contradictions are small, and shown ----

#[test]
fn a_contradiction_is_shown_with_nothing_around_it() {
    let mut operations = vec![
        write(0, 1, 1),
        read(2, 3, 1),
        unknown(4, 5, write_call(9)),
        write(6, 7, 2),
        read(8, 9, 1),
    ];
    operations.extend((10..100).map(|at| write(2 * at, 2 * at + 1, 3)));
    let why = contradiction(&operations);
    assert_eq!(why.start, Start::Anything);
    assert_eq!(why.stuck, 1);
    assert_eq!(why.possible, [Held::Value(Value::from(2))]);
    let shown: Vec<&Operation> = why.parts.iter().map(|part| &part.operation).collect();
    assert_eq!(shown, [&operations[3], &operations[4]]);
    let expected = "\
Key 0 is not linearizable.
These cannot all have happened as they say, whatever the key held before:

  #1   process 6: write 2: ok, 0.000000 s to 0.000000 s
  #2   process 8: read: returned 1, 0.000000 s to 0.000000 s

  #1 p6  |-- write 2 --|
  #2 p8                  |-- read: 1 --|

#2 needs the key to hold 1, but while it ran the key could only hold 2.
";
    assert_eq!(why.to_string(), expected);
    let svg = why.to_svg();
    assert!(svg.starts_with("<svg ") && svg.contains(">read: 1<") && svg.contains(">#2 p8<"));
}

#[test]
fn a_contradiction_keeps_what_might_have_explained_it() {
    let operations = [
        write(0, 1, 1),
        unknown(2, 3, cas_call(3, 4)),
        unknown(2, 3, write_call(8)),
        write(4, 5, 2),
        read(6, 7, 4),
    ];
    let why = contradiction(&operations);
    let shown: Vec<&Operation> = why.parts.iter().map(|part| &part.operation).collect();
    assert_eq!(shown, [&operations[1], &operations[3], &operations[4]]);
    assert!(why.to_string().contains("|-- cas 3 to 4 ?"), "{why}");
}

// ---- Every small history ----

/// What one operation on a key with two values can be: its effect, and whether its end is known.
fn kinds() -> Vec<(Effect, bool)> {
    let (a, b) = (State::holding(0), State::holding(1));
    let observations = [
        Condition::Is(a),
        Condition::Is(b),
        Condition::Is(State::ABSENT),
        Condition::PresentAndNot(a),
        Condition::PresentAndNot(b),
    ];
    let changes = [
        Effect::Write(a),
        Effect::Write(b),
        Effect::Cas { from: a, to: b },
        Effect::Cas { from: b, to: a },
    ];
    let observations = observations.map(|condition| (Effect::Observe(condition), true));
    let known = changes.map(|effect| (effect, true));
    let unknown = changes.map(|effect| (effect, false));
    [&observations[..], &known, &unknown].concat()
}

/// What one operation can be among so many moments: when it begins and ends, and what it does.
fn choices(moments: u64) -> Vec<(u64, u64, Step)> {
    let mut choices = Vec::new();
    for from in 0..moments {
        for to in from..moments {
            for (effect, is_known) in kinds() {
                // What has no end precedes nothing, as if it ended last.
                if is_known || to == moments - 1 {
                    let step = Step {
                        invoked: Moment::at(from),
                        completed: is_known.then_some(Moment::at(to)),
                        effect,
                    };
                    choices.push((from, to, step));
                }
            }
        }
    }
    choices
}

/// All moments, as bits.
fn all_moments(moments: u64) -> u64 {
    (1 << moments) - 1
}

/// Calls `visit` with every history of `count` operations on one key with two values, up to what
/// makes no difference: each way in which intervals can precede each other has exactly one
/// representation with moments 0..m of which every one is some beginning and some end (Greenough
/// 1976), and the operations are sorted.
fn every_history(count: usize, visit: &mut impl FnMut(&[Step])) {
    for moments in 1..=count as u64 {
        let all = all_moments(moments);
        extend_history(&choices(moments), count, (all, all), &mut Vec::new(), visit);
    }
}

/// The same on all cores: each takes the next beginning of histories that nobody has taken, and
/// makes its own `visit`. Returns what came of them.
fn every_history_shared<T: Send>(
    count: usize,
    new: impl Fn() -> T + Sync,
    visit: impl Fn(&mut T, &[Step]) + Sync,
) -> Vec<T> {
    let worlds: Vec<_> = (1..=count as u64)
        .map(|moments| (moments, choices(moments)))
        .collect();
    let begun = |(moments, choices): &(u64, Vec<_>)| {
        let moments = *moments;
        (0..choices.len()).map(move |first| (moments, first))
    };
    let beginnings: Vec<(u64, usize)> = worlds.iter().flat_map(begun).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut result = new();
        while let Some(&(moments, first)) = beginnings.get(next.fetch_add(1, Ordering::Relaxed)) {
            let choices = &worlds[moments as usize - 1].1[first..];
            let (from, to, step) = choices[0];
            let all = all_moments(moments);
            let missing = (all & !(1 << from), all & !(1 << to));
            let visit = &mut |steps: &[Step]| visit(&mut result, steps);
            extend_history(choices, count - 1, missing, &mut vec![step], visit);
        }
        result
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|result| result.expect("the checkers agree"))
            .collect()
    })
}

/// Adds the rest of a history: `count` more of the choices, which must bring the beginnings and
/// ends that are missing (sets of moments, as bits).
fn extend_history(
    choices: &[(u64, u64, Step)],
    count: usize,
    (beginnings, ends): (u64, u64),
    steps: &mut Vec<Step>,
    visit: &mut impl FnMut(&[Step]),
) {
    if beginnings.count_ones().max(ends.count_ones()) > count as u32 {
        return;
    }
    if count == 0 {
        return visit(steps);
    }
    for (at, &(from, to, step)) in choices.iter().enumerate() {
        steps.push(step);
        let missing = (beginnings & !(1 << from), ends & !(1 << to));
        extend_history(&choices[at..], count - 1, missing, steps, visit);
        steps.pop();
    }
}

/// Whether a history comes before its twin, in which the two values have changed places, or is its
/// own twin. Values have numbers that are only ever compared for equality, but in the order in
/// which things are tried; so of long histories one of each pair is enough. (Of short ones both are
/// checked.)
fn beside_twin(steps: &[Step]) -> cmp::Ordering {
    let (a, b) = (State::holding(0), State::holding(1));
    let other = |state: State| match state {
        state if state == a => b,
        state if state == b => a,
        state => state,
    };
    let twin = |step: &Step| {
        let effect = match step.effect {
            Effect::Observe(Condition::Is(state)) => Effect::Observe(Condition::Is(other(state))),
            Effect::Observe(Condition::PresentAndNot(state)) => {
                Effect::Observe(Condition::PresentAndNot(other(state)))
            }
            Effect::Observe(Condition::Never) => step.effect,
            Effect::Write(to) => Effect::Write(other(to)),
            Effect::Cas { from, to } => Effect::Cas {
                from: other(from),
                to: other(to),
            },
        };
        (step.invoked, step.completed, effect)
    };
    // So few that an array will do.
    const ROOM: usize = 8;
    assert!(steps.len() <= ROOM, "short histories");
    let nothing = (Moment::default(), None, Effect::Write(State::ABSENT));
    let (mut these, mut those) = ([nothing; ROOM], [nothing; ROOM]);
    let (these, those) = (&mut these[..steps.len()], &mut those[..steps.len()]);
    for (at, step) in steps.iter().enumerate() {
        these[at] = (step.invoked, step.completed, step.effect);
        those[at] = twin(step);
    }
    these.sort_unstable();
    those.sort_unstable();
    these.cmp(&those)
}

/// Whether there is a legal order, by trying every order. `left` are the steps that have not taken
/// effect, as bits.
fn brute_force(steps: &[Step], left: u64, state: State) -> bool {
    let is_left = |at: &usize| left & (1 << at) != 0;
    let first_end = (0..steps.len())
        .filter(is_left)
        .filter_map(|at| steps[at].completed)
        .min();
    let Some(first_end) = first_end else {
        return true;
    };
    (0..steps.len())
        .filter(is_left)
        .filter(|&at| steps[at].invoked <= first_end)
        .any(|at| {
            let next = steps[at].effect.apply(state);
            next.is_some_and(|state| brute_force(steps, left & !(1 << at), state))
        })
}

fn all(steps: &[Step]) -> u64 {
    (1 << steps.len()) - 1
}

#[test]
fn brute_force_says_yes_and_no() {
    let step = |from, to, effect| Step {
        invoked: Moment::at(from),
        completed: Some(Moment::at(to)),
        effect,
    };
    let (a, b) = (State::holding(0), State::holding(1));
    let look = |state| Effect::Observe(Condition::Is(state));
    let yes = [step(0, 1, Effect::Write(a)), step(2, 3, look(a))];
    let no = [step(0, 1, Effect::Write(a)), step(2, 3, look(b))];
    assert!(brute_force(&yes, all(&yes), State::ABSENT));
    assert!(!brute_force(&no, all(&no), State::ABSENT));
}

#[test]
fn there_are_as_many_histories_as_counting_says() {
    // If all operations are alike, what is left are the ways in which intervals can precede each
    // other, of which the Fishburn numbers say how many there are.
    let write = Effect::Write(State::holding(0));
    let is_write = |step: &Step| step.effect == write && step.completed.is_some();
    let counts = [1, 2, 3, 4].map(|count| {
        let mut alike = 0;
        every_history(count, &mut |steps| {
            alike += u64::from(steps.iter().all(is_write))
        });
        alike
    });
    assert_eq!(counts, [1, 2, 5, 15]);
}

/// How many operations the exhaustive test goes up to, by default. For more, say
/// `LINEARIZABILITY_OPERATIONS=6 cargo test --release -p maelstrom-tests every_small_history`:
/// 5 are four million histories and half a minute of one core, and each one more takes forty times
/// as long.
const EXHAUSTIVE_DEFAULT: usize = 4;

/// Of histories with so many operations, of each pair that differs in the names of the two values
/// alone only one is checked.
const PAIRED: usize = 6;

/// Asks both checkers, and returns what they agree on.
fn agreed(steps: &[Step]) -> bool {
    let expected = brute_force(steps, all(steps), State::ABSENT);
    match search::decide(steps, &[State::ABSENT], u64::MAX).0 {
        Finding::Linearizable => assert!(expected, "wrongly legal: {steps:?}"),
        Finding::Contradiction { .. } => assert!(!expected, "wrongly illegal: {steps:?}"),
        Finding::Undecided { .. } => panic!("undecided: {steps:?}"),
    }
    expected
}

#[test]
fn every_small_history_gets_the_answer_of_brute_force() {
    let most = match std::env::var("LINEARIZABILITY_OPERATIONS") {
        Ok(text) => text
            .parse()
            .expect("LINEARIZABILITY_OPERATIONS is a number"),
        Err(_) => EXHAUSTIVE_DEFAULT,
    };
    for count in 1..=most {
        let start = Instant::now();
        let counts = every_history_shared(
            count,
            || (0_u64, 0_u64),
            |(legal, illegal), steps| {
                if count < PAIRED || beside_twin(steps).is_le() {
                    *(if agreed(steps) { legal } else { illegal }) += 1;
                }
            },
        );
        let legal: u64 = counts.iter().map(|(legal, _)| legal).sum();
        let illegal: u64 = counts.iter().map(|(_, illegal)| illegal).sum();
        let paired = if count < PAIRED {
            ""
        } else {
            ", one of each pair"
        };
        println!(
            "{count} operations: {legal} legal and {illegal} illegal histories{paired}, in {:.1} s",
            start.elapsed().as_secs_f64()
        );
        assert!(legal > 0 && illegal > 0);
    }
}

#[test]
fn of_each_pair_of_twins_one_comes_first() {
    for count in 1..=3 {
        let (mut before, mut own, mut behind) = (0, 0, 0);
        every_history(count, &mut |steps| match beside_twin(steps) {
            cmp::Ordering::Less => before += 1,
            cmp::Ordering::Equal => own += 1,
            cmp::Ordering::Greater => behind += 1,
        });
        assert_eq!(before, behind);
        assert!(before > own && own > 0, "{own} have no twin but themselves");
    }
}

#[test]
fn every_small_contradiction_stays_one_when_it_is_shrunk() {
    let (a, b) = (State::holding(0), State::holding(1));
    for count in 1..=3 {
        every_history(count, &mut |steps| {
            let finding = search::decide(steps, &[State::ABSENT], u64::MAX).0;
            let Finding::Contradiction { stuck, states } = finding else {
                return;
            };
            let core = shrink::shrink(steps, stuck, states, u64::MAX);
            let kept: Vec<Step> = core.kept.iter().map(|kept| kept.step).collect();
            let initial = match core.start {
                Start::Absent => vec![State::ABSENT],
                Start::Anything => vec![State::ABSENT, State::OTHER, a, b],
            };
            for state in initial {
                assert!(
                    !brute_force(&kept, all(&kept), state),
                    "{steps:?} to {kept:?}"
                );
            }
            assert!(kept[core.stuck].completed.is_some());
        });
    }
}

#[test]
fn a_small_budget_leads_to_no_wrong_answer() {
    for budget in [0, 16, 100, 300, 1_000] {
        every_history(3, &mut |steps| {
            let expected = brute_force(steps, all(steps), State::ABSENT);
            match search::decide(steps, &[State::ABSENT], budget).0 {
                Finding::Linearizable => assert!(expected, "wrongly legal: {steps:?}"),
                Finding::Contradiction { .. } => assert!(!expected, "wrongly illegal: {steps:?}"),
                Finding::Undecided { .. } => {}
            }
        });
    }
}

// ---- Big random histories ----

/// How to make up a history.
#[derive(Clone, Copy, Debug)]
struct World {
    clients: u64,
    operations: usize,
    keys: u64,
    /// Values are drawn from so many; with 0, no value is written twice.
    values: u64,
    /// Of 1,000 writes and cas, how many are unknown. Half of them take effect.
    unknown_per_mille: u64,
}

/// What a real register answers to clients whose requests take effect after random delays.
fn simulate(rng: &mut Rng, world: World) -> Vec<Operation> {
    struct Planned {
        client: u64,
        invoked: u64,
        takes_effect: u64,
        completed: u64,
    }
    let mut clocks = vec![0_u64; world.clients as usize];
    let mut planned: Vec<Planned> = (0..world.operations)
        .map(|_| {
            let client = rng.below(world.clients);
            let clock = &mut clocks[client as usize];
            let invoked = *clock + 1 + rng.exponential(500);
            let takes_effect = invoked + rng.exponential(1_000);
            let completed = takes_effect + rng.exponential(1_000);
            *clock = completed;
            Planned {
                client,
                invoked,
                takes_effect,
                completed,
            }
        })
        .collect();

    // An operation that is unknown takes effect late or never.
    let mut fates: Vec<bool> = Vec::new();
    for plan in &mut planned {
        let is_unknown = rng.chance(world.unknown_per_mille, 1_000);
        if is_unknown {
            plan.takes_effect = match rng.chance(1, 2) {
                true => plan.invoked + rng.exponential(20_000),
                false => u64::MAX,
            };
        }
        fates.push(is_unknown);
    }
    let mut order: Vec<usize> = (0..planned.len()).collect();
    order.sort_by_key(|&at| planned[at].takes_effect);

    let mut register: Vec<Option<i64>> = vec![None; world.keys as usize];
    let mut fresh = 0;
    let mut draw = |rng: &mut Rng| match world.values {
        0 => {
            fresh += 1;
            fresh
        }
        values => rng.below(values) as i64,
    };
    let mut next_process = world.clients;
    let mut operations = Vec::new();
    for at in order {
        let plan = &planned[at];
        let is_unknown = fates[at];
        let happens = plan.takes_effect < u64::MAX;
        let key = rng.below(world.keys);
        let held = &mut register[key as usize];
        let absent = Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST);
        let (call, outcome) = match rng.below(if is_unknown { 2 } else { 4 }) {
            0 => {
                let value = draw(rng);
                if happens {
                    *held = Some(value);
                }
                (write_call(value), Outcome::Done)
            }
            1 => {
                let guess = held.filter(|_| rng.chance(1, 2));
                let (old, new) = (guess.unwrap_or_else(|| draw(rng)), draw(rng));
                let outcome = match *held {
                    Some(value) if value == old => {
                        if happens {
                            *held = Some(new);
                        }
                        Outcome::Done
                    }
                    Some(_) => Outcome::Failed(ErrorCode::PRECONDITION_FAILED),
                    None => absent,
                };
                (cas_call(old, new), outcome)
            }
            _ => match *held {
                Some(value) => (Call::Read, Outcome::ReadOk(Value::from(value))),
                None => (Call::Read, absent),
            },
        };
        let (process, outcome) = if is_unknown {
            next_process += 1;
            (next_process, Outcome::Unknown(ErrorCode::TIMEOUT))
        } else {
            (plan.client, outcome)
        };
        operations.push(Operation {
            process: Process(process),
            key: Value::from(key as i64),
            call,
            invoked: Moment::at(plan.invoked),
            completed: Some((Moment::at(plan.completed), outcome)),
        });
    }
    rng.shuffle(&mut operations);
    operations
}

/// What goes wrong at a server: two writes one after the other, then a read that returns what the
/// first one wrote. Nobody else writes these values.
fn stale_read(now: u64) -> [Operation; 3] {
    [
        write(now, now + 100, -1),
        write(now + 200, now + 300, -2),
        read(now + 400, now + 500, -1),
    ]
}

/// What goes wrong at a server: a write is acknowledged, and then the key does not exist.
fn lost_write(now: u64) -> [Operation; 2] {
    [
        write(now, now + 100, -1),
        failed(now + 200, now + 300, Call::Read, 20),
    ]
}

/// Replays one seed with `LINEARIZABILITY_SEED=N cargo test -p maelstrom-tests linearizability`.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("LINEARIZABILITY_SEED") {
        Ok(text) => vec![text.parse().expect("LINEARIZABILITY_SEED is a number")],
        Err(_) => (0..count).collect(),
    }
}

fn describe(seed: u64, world: World) -> String {
    format!("replay with LINEARIZABILITY_SEED={seed}; {world:?}")
}

const WORLDS: [World; 4] = [
    World {
        clients: 30,
        operations: 3_000,
        keys: 10,
        values: 5,
        unknown_per_mille: 10,
    },
    World {
        clients: 12,
        operations: 500,
        keys: 1,
        values: 0,
        unknown_per_mille: 100,
    },
    World {
        clients: 10,
        operations: 300,
        keys: 1,
        values: 5,
        unknown_per_mille: 300,
    },
    World {
        clients: 40,
        operations: 300,
        keys: 1,
        values: 5,
        unknown_per_mille: 0,
    },
];

#[test]
fn what_a_register_answers_is_valid() {
    for seed in seeds(5) {
        for world in WORLDS {
            let operations = simulate(&mut Rng::seeded(seed), world);
            match verdict(&operations) {
                Verdict::Valid => {}
                Verdict::Invalid(why) => panic!("{}\n{}", describe(seed, world), why[0]),
                Verdict::Unknown(_) => panic!("{}: undecided", describe(seed, world)),
            }
        }
    }
}

#[test]
fn one_mistake_among_thousands_is_found() {
    for seed in seeds(2) {
        for world in WORLDS {
            let mut rng = Rng::seeded(seed);
            let sound = simulate(&mut rng, world);
            let now = sound[rng.below(sound.len() as u64) as usize].invoked.time;
            for mistake in [&stale_read(now)[..], &lost_write(now)] {
                let operations = [&sound, mistake].concat();
                match verdict(&operations) {
                    Verdict::Invalid(why) => assert_eq!(why[0].key, Value::from(0)),
                    Verdict::Valid => panic!("{}: found valid", describe(seed, world)),
                    Verdict::Unknown(_) => panic!("{}: undecided", describe(seed, world)),
                }
            }
        }
    }
}

#[test]
fn one_mistake_after_thousands_is_shown_alone() {
    for seed in seeds(2) {
        for world in WORLDS {
            let mut rng = Rng::seeded(seed);
            let mut operations = simulate(&mut rng, world);
            let ends = operations
                .iter()
                .filter_map(|operation| operation.completed.as_ref());
            let last = ends.map(|(moment, _)| moment.time).max();
            let mistake = stale_read(last.expect("there are operations") + 1);
            operations.extend(mistake.clone());
            let why = contradiction(&operations);
            let shown: Vec<&Operation> = why.parts.iter().map(|part| &part.operation).collect();
            assert_eq!(
                shown,
                [&mistake[1], &mistake[2]],
                "{}",
                describe(seed, world)
            );
        }
    }
}

/// 100,000 operations on 20 keys by 30 clients.
const BIG: World = World {
    clients: 30,
    operations: 100_000,
    keys: 20,
    values: 5,
    unknown_per_mille: 5,
};

/// `cargo test --release -p maelstrom-tests a_hundred_thousand -- --nocapture` tells how long it
/// takes.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "seconds in a release build, a minute without optimization"
)]
fn a_hundred_thousand_operations_are_checked_and_one_mistake_among_them_is_found() {
    let seed = seeds(1)[0];
    let mut rng = Rng::seeded(seed);
    let sound = simulate(&mut rng, BIG);
    let has = |wanted: fn(&Outcome) -> bool| {
        let ends = sound
            .iter()
            .filter_map(|operation| operation.completed.as_ref());
        ends.filter(|(_, outcome)| wanted(outcome)).count()
    };
    let unknown = has(|outcome| matches!(outcome, Outcome::Unknown(_)));
    let failed = has(|outcome| *outcome == Outcome::Failed(ErrorCode::PRECONDITION_FAILED));
    assert!(
        unknown > 100 && failed > 1_000,
        "{unknown} unknown, {failed} failed"
    );

    let start = Instant::now();
    let Analysis {
        verdict,
        keys,
        operations,
    } = check(&sound, Limits::default());
    assert!(matches!(verdict, Verdict::Valid), "{}", describe(seed, BIG));
    assert_eq!((keys, operations), (20, 100_000));
    println!(
        "valid: {:.2} s, {unknown} unknown",
        start.elapsed().as_secs_f64()
    );

    let now = sound[rng.below(sound.len() as u64) as usize].invoked.time;
    let broken = [&sound[..], &stale_read(now)].concat();
    let start = Instant::now();
    match self::verdict(&broken) {
        Verdict::Invalid(why) => {
            assert_eq!(why.len(), 1, "one key is wrong");
            assert_eq!(why[0].key, Value::from(0));
        }
        Verdict::Valid => panic!("{}: found valid", describe(seed, BIG)),
        Verdict::Unknown(_) => panic!("{}: undecided", describe(seed, BIG)),
    }
    println!("invalid: {:.2} s", start.elapsed().as_secs_f64());
}
