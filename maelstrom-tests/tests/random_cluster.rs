//! Clusters in random worlds. See `maelstrom_tests::cluster`.
//!
//! `STDRAFT_SEED=7` replays one seed and prints what happened in it. `STDRAFT_SEEDS=10000` runs
//! that many fresh ones beside the fixed ones.

use std::{
    env,
    num::NonZero,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use maelstrom_tests::cluster::{self, Report, sightings::Sightings};

/// Seeds that every run of this test tries: what they meet is known, so that the rare things can
/// be demanded.
const FIXED_SEEDS: u64 = 150;

/// Seeds that nobody has tried before.
const FRESH_SEEDS: u64 = 50;

/// How many events before a failure are told. A replay tells all.
const EVENTS_MAX: usize = 200;

/// Runs the seeds on all cores. The first failure ends it.
fn run_all(seeds: &[u64]) -> Sightings {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sightings = Sightings::default();
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            match cluster::run(*seed, EVENTS_MAX) {
                Ok(report) => sightings.add(&report.sightings),
                Err(failure) => {
                    next.store(seeds.len() as u64, Ordering::Relaxed);
                    panic!("{failure}");
                }
            }
        }
        sightings
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut sum = Sightings::default();
        for worker in workers {
            sum.add(&worker.join().expect("no rule is broken"));
        }
        sum
    })
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

fn entropy() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is past 1970").as_nanos() as u64
}

#[test]
fn no_seed_breaks_a_rule() {
    if let Some(seed) = number("STDRAFT_SEED") {
        match cluster::run(seed, usize::MAX) {
            Ok(Report { hash, sightings }) => println!("seed {seed}: {hash:016x} {sightings:#?}"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let first = entropy() >> 20;
    let fresh = number("STDRAFT_SEEDS").unwrap_or(FRESH_SEEDS);
    let seeds: Vec<u64> = (0..FIXED_SEEDS).chain(first..first + fresh).collect();
    println!("fresh seeds from {first}");
    let sightings = run_all(&seeds);
    println!("{sightings:#?}");
    for (what, count) in sightings.counts() {
        // A history may be easy enough every time; and a log that is long enough to be in conflict with
        // a snapshot takes some thousand seeds (the story snapshot/conflicting tells of one).
        let demanded = !["undecided_histories", "installs_of_conflicting"].contains(&what);
        assert!(
            !demanded || count > 0,
            "the worlds are so tame that {what} never happened"
        );
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..5 {
        let hash = || {
            cluster::run(seed, 0)
                .unwrap_or_else(|failure| panic!("{failure}"))
                .hash
        };
        assert_eq!(hash(), hash());
    }
    let hashes: Vec<u64> = (0..5)
        .filter_map(|seed| Some(cluster::run(seed, 0).ok()?.hash))
        .collect();
    assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]));
}

/// The rules have teeth: disks that forget break them, in a few runs at least.
#[test]
fn forgetful_disks_break_the_rules() {
    let rules: Vec<String> = (0..40)
        .filter_map(|seed| cluster::run_changed(seed, 0, |world| world.amnesia = true).err())
        .map(|failure| failure.rule)
        .collect();
    let is_told = |rule: &str| rules.iter().any(|told| told.contains(rule));
    assert!(is_told("State Machine Safety"), "{rules:#?}");
    assert!(is_told("Leader Completeness"), "{rules:#?}");
}
