//! Every small history, against brute force.

use std::env;

use super::super::register::{Condition, Effect, State, Step};
use super::super::search::{self, Finding};
use super::super::shrink::{self, Start};
use crate::history::Moment;

/// All operations on a key with two values: the effect, and whether the end is known.
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
        Effect::Delete,
    ];
    let observations = observations.map(|condition| (Effect::Observe(condition), true));
    let known = changes.map(|effect| (effect, true));
    let unknown = changes.map(|effect| (effect, false));
    [&observations[..], &known, &unknown].concat()
}

/// All operations in this many moments: the beginning, the end, and the step.
fn choices(moments: u64) -> Vec<(u64, u64, Step)> {
    let mut choices = Vec::new();
    for from in 0..moments {
        for to in from..moments {
            for (effect, is_known) in kinds() {
                // An operation without an end precedes none, as if it ended last.
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

/// Calls `visit` with every history of `count` operations on one key with two values, each once up
/// to equivalence: each interval order has exactly one representation with moments 0..m of which
/// every one is a beginning and an end (Greenough 1976), and the operations are sorted.
fn every_history(count: usize, visit: &mut impl FnMut(&[Step])) {
    for moments in 1..=count as u64 {
        let all = all_moments(moments);
        extend_history(&choices(moments), count, (all, all), &mut Vec::new(), visit);
    }
}

/// Adds the rest of a history: `count` more of the choices, which must include the beginnings and
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
fn brute_force_accepts_and_rejects() {
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
fn number_of_histories_is_the_known_one() {
    // If all operations are alike, the histories are the interval orders, counted by the Fishburn
    // numbers.
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

/// Compares the search with brute force on all histories of up to 4 operations.
///
/// `STDRAFT_ROUNDS=6 cargo test --release -p maelstrom-tests --lib every_small_history` goes up to
/// 6 operations: 5 are four million histories and half a minute, and each further operation takes
/// forty times as long.
#[test]
fn every_small_history_is_decided_as_by_brute_force() {
    let most = env::var("STDRAFT_ROUNDS").map_or(4, |text| {
        text.parse().expect("STDRAFT_ROUNDS must be a number")
    });
    for count in 1..=most {
        let (mut legal, mut illegal) = (0_u64, 0_u64);
        every_history(count, &mut |steps| {
            let expected = brute_force(steps, all(steps), State::ABSENT);
            match search::decide(steps, &[State::ABSENT], u64::MAX).0 {
                Finding::Linearizable => assert!(expected, "wrongly legal: {steps:?}"),
                Finding::Contradiction { .. } => assert!(!expected, "wrongly illegal: {steps:?}"),
                Finding::Undecided { .. } => panic!("undecided: {steps:?}"),
            }
            *(if expected { &mut legal } else { &mut illegal }) += 1;
        });
        println!("{count} operations: {legal} legal and {illegal} illegal histories");
        assert!(legal > 0 && illegal > 0);
    }
}

#[test]
fn shrunk_contradiction_is_a_contradiction() {
    let (a, b) = (State::holding(0), State::holding(1));
    for count in 1..=3 {
        every_history(count, &mut |steps| {
            let finding = search::decide(steps, &[State::ABSENT], u64::MAX).0;
            let Finding::Contradiction { stuck, states } = finding else {
                return;
            };
            let budget = shrink::Budget {
                work: u64::MAX,
                until: None,
            };
            let core = shrink::shrink(steps, stuck, states, budget);
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
            assert!(kept[core.stuck()].completed.is_some());
        });
    }
}

#[test]
fn small_budget_gives_no_wrong_verdict() {
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
