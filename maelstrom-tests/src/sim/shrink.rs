//! Looks for a smaller case that fails too: fewer nodes, fewer kinds of faults, a shorter run.

use super::options::{Description, Options};
use super::{Case, Failure, PANIC, run};

/// How many seeds are tried for each smaller world: a changed option changes all later draws, so
/// the same seed may pass where others still fail.
const SEEDS_PER_WORLD: u64 = 8;

/// The most runs. Each one that panics keeps a thread until the process ends.
const ATTEMPTS_MAX: u64 = 4000;

/// Returns the smallest failure found, which may be the first one. Calls `tried` for each smaller
/// failure, with the number of runs so far.
pub fn shrink(failure: Box<Failure>, mut tried: impl FnMut(&Failure, u64)) -> Box<Failure> {
    let mut best = failure;
    let mut attempts = 0;
    loop {
        let before = best.clone();
        for option in Options::ALL {
            while let Some(smaller) = step(&best, option, &mut attempts) {
                best = smaller;
                tried(&best, attempts);
            }
        }
        // Faults after the failure are no part of the case.
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

/// A failure of the same kind with this option closer to its calm value.
fn step(best: &Failure, option: &Description, attempts: &mut u64) -> Option<Box<Failure>> {
    let name = option.name;
    let value = best.options.value(name);
    let calm = match name {
        "nodes" => 1,
        "chaos" => 1000,
        _ => option.calm,
    };
    let half = value.midpoint(calm);
    let candidates = if matches!(name, "nodes" | "chaos") {
        // Steps of one would use up all attempts on a time.
        let eighth = value.saturating_sub(calm).div_ceil(8);
        vec![calm, half, value - eighth]
    } else {
        // A value in between would not be simpler.
        vec![calm]
    };
    let mut candidates = candidates.into_iter().filter(|other| *other != value);
    let smaller = candidates.find_map(|candidate| attempt(best, name, candidate, attempts));
    smaller.filter(|smaller| weight(smaller) < weight(best))
}

/// Runs some seeds with one option changed. Only a failure of the same kind counts.
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

/// The part of a rule before its details.
fn kind(rule: &str) -> &str {
    let rule = rule.strip_prefix(PANIC).unwrap_or(rule);
    let details = rule.find(|c: char| c == ':' || c.is_ascii_digit());
    details.map_or(rule, |at| &rule[..at])
}

/// What shrinking reduces.
fn weight(failure: &Failure) -> (u64, usize, u64) {
    let options = &failure.options;
    (options.nodes, options.changed().count(), options.chaos)
}
