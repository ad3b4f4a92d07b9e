//! Looks for a smaller case that fails too: fewer nodes, fewer kinds of faults, a shorter run.

use super::options::Options;
use super::{Case, Failure, run};

/// How many seeds are tried for each smaller world: a change of the world changes all that is drawn
/// after it, so the same seed may miss what others still meet.
const SEEDS_PER_WORLD: u64 = 8;

/// How many runs are enough. Each one that panics costs a thread until the process ends.
const ATTEMPTS_MAX: u64 = 4000;

/// The smallest failure that was found, which may be the one that it began with. `tried` is told of
/// each attempt.
pub fn shrink(failure: Box<Failure>, mut tried: impl FnMut(&Failure, u64)) -> Box<Failure> {
    let mut best = failure;
    let mut attempts = 0;
    loop {
        let before = best.clone();
        for name in Options::NAMES {
            while let Some(smaller) = step(&best, name, &mut attempts) {
                best = smaller;
                tried(&best, attempts);
            }
        }
        // What happened after the rule broke is no part of the case.
        let end = best.time.max(1);
        if best.options.chaos > end
            && let Some(shorter) = attempt(&best, "chaos", end, &mut attempts)
        {
            best = shorter;
            tried(&best, attempts);
        }
        if best.case == before.case {
            break;
        }
    }
    best
}

/// The same failure with one option nearer to its calm value, if there is one.
fn step(best: &Failure, name: &'static str, attempts: &mut u64) -> Option<Box<Failure>> {
    let value = best.options.value(name).expect("it is an option");
    let calm = match name {
        "nodes" => 1,
        "chaos" => 1000,
        _ => Options::CALM.value(name).expect("it is an option"),
    };
    let half = value.midpoint(calm);
    let candidates = if matches!(name, "nodes" | "chaos") {
        vec![calm, half, value.saturating_sub(1).max(calm)]
    } else {
        // Anything between would not be simpler.
        vec![calm]
    };
    let smaller = candidates
        .into_iter()
        .filter(|candidate| *candidate != value)
        .find_map(|candidate| attempt(best, name, candidate, attempts));
    smaller.filter(|smaller| weight(smaller) < weight(best))
}

/// Runs the world with one option changed, on some seeds. Only the same kind of failure counts.
fn attempt(
    best: &Failure,
    name: &'static str,
    value: u64,
    attempts: &mut u64,
) -> Option<Box<Failure>> {
    let mut options = best.options.clone();
    options.set(name, value);
    if options.validate().is_err() {
        return None;
    }
    (0..SEEDS_PER_WORLD).find_map(|offset| {
        if *attempts >= ATTEMPTS_MAX {
            return None;
        }
        *attempts += 1;
        let case = Case::in_world(best.case.seed.wrapping_add(offset), &options);
        let failure = run(&case, super::fleet::EVENTS_MAX).err()?;
        (kind(&failure.rule) == kind(&best.rule)).then_some(failure)
    })
}

/// What a rule says before it says whom it is about.
fn kind(rule: &str) -> &str {
    rule.split([':', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        .next()
        .unwrap_or(rule)
}

/// What is to become less.
fn weight(failure: &Failure) -> (u64, usize, u64) {
    let options = &failure.options;
    let differs = |name: &&&str| options.value(name) != Options::CALM.value(name);
    let changes = Options::NAMES.iter().filter(differs).count();
    (options.nodes, changes, options.chaos)
}
