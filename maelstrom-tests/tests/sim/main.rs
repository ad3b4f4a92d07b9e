//! The simulator: seeds that are always run, seeds that ever failed, and worlds in which it must
//! say no. Fleets of fresh seeds are run by the command, `maelstrom-tests sim`.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use maelstrom_tests::sim::fleet::{self, EVENTS_MAX, Fleet};
use maelstrom_tests::sim::options::Options;
use maelstrom_tests::sim::shrink::shrink;
use maelstrom_tests::sim::{Case, Report, run};

/// The seeds whose hashes are written down.
const RECORDED: u64 = 12;

fn file(name: &str) -> PathBuf {
    let folder = env!("CARGO_MANIFEST_DIR");
    [folder, "tests", "sim", name].iter().collect()
}

#[track_caller]
fn passes(case: &Case) -> Report {
    run(case, EVENTS_MAX).unwrap_or_else(|failure| panic!("{failure}"))
}

/// The same seed is the same run, today and on any machine. Whoever changes what nodes do changes
/// the hashes, too: `UPDATE_GOLDEN=1` writes them down anew.
#[test]
fn a_seed_is_a_run() {
    let hash = |seed| format!("{seed} {:016x}\n", passes(&Case::of(seed)).hash);
    let found: String = (0..RECORDED).map(hash).collect();
    let again: String = (0..RECORDED).map(hash).collect();
    assert_eq!(found, again, "two runs of one seed");
    let path = file("hashes.txt");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &found).expect("hashes.txt is written");
    }
    let recorded = fs::read_to_string(&path).expect("hashes.txt is read");
    assert_eq!(
        found, recorded,
        "what nodes do has changed, or this machine runs them differently"
    );
}

/// A line of `seeds.txt`: what follows `maelstrom-tests sim --seed`.
fn case(line: &str) -> Case {
    let mut words = line.split_whitespace();
    let seed = words.next().and_then(|seed| seed.parse().ok());
    let mut changes = Vec::new();
    while let Some(word) = words.next() {
        assert_eq!(word, "--set", "{line}");
        let change = words.next().and_then(|change| change.split_once('='));
        let (name, value) = change.unwrap_or_else(|| panic!("--set takes NAME=N: {line}"));
        let name = Options::NAMES.iter().find(|known| **known == name);
        let value = value.parse().ok();
        changes.push(name.copied().zip(value).unwrap_or_else(|| panic!("{line}")));
    }
    let seed = seed.unwrap_or_else(|| panic!("a line begins with its seed: {line}"));
    Case { seed, changes }
}

#[test]
fn seeds_that_ever_failed_pass() {
    let text = fs::read_to_string(file("seeds.txt")).expect("seeds.txt is read");
    let cases = text.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in cases {
        passes(&case(line));
        count += 1;
    }
    assert!(count > 0, "there is a seed");
}

/// The rules have teeth: a disk that forgets all that it was given when its machine loses power
/// breaks them.
#[test]
fn forgetful_disks_break_the_rules() {
    let changes = vec![("amnesia", 1), ("fault_mean", 10_000), ("crash", 1)];
    let case = |seed| Case {
        seed,
        changes: changes.clone(),
    };
    let failures = (0..40).filter_map(|seed| run(&case(seed), 0).err());
    let rules: Vec<String> = failures.map(|failure| failure.rule).collect();
    let is_told = |rule: &str| rules.iter().any(|told| told.contains(rule));
    assert!(is_told("State Machine Safety"), "{rules:#?}");
    assert!(is_told("Leader Completeness"), "{rules:#?}");
}

#[test]
fn a_failure_is_told_and_shrinks() {
    let world = Options {
        amnesia: 1,
        crash: 1,
        isolation: 1,
        drift_permille: 100,
        lost_permille: 10,
        fault_mean: 3000,
        chaos: 40_000,
        ..Options::CALM
    };
    let mut cases = (0..100).map(|seed| Case::in_world(seed, &world));
    let failure = cases.find_map(|case| run(&case, 50).err());
    let failure = failure.expect("no consensus outlives disks that forget");
    let told = failure.to_string();
    let replay = format!("maelstrom-tests {}", failure.case);
    assert!(
        told.contains(&replay) && told.contains("\ndeliver n"),
        "{told}"
    );
    let again = run(&failure.case, 50).expect_err("one seed is one run");
    assert_eq!(again.story, failure.story);

    let smaller = shrink(failure, |_, _| {});
    let options = &smaller.options;
    assert_eq!(options.amnesia, 1, "without it nothing is wrong");
    assert_eq!(options.drift_permille, 0, "it has nothing to do with it");
    assert!(options.chaos < world.chaos, "{}", smaller.case);
    assert!(run(&smaller.case, 0).is_err(), "{}", smaller.case);
}

#[test]
fn a_fleet_ends_with_its_first_failure() {
    let fleet = Fleet {
        first: 0,
        count: 1000,
        time_max: None,
        jobs: 2,
        changes: vec![("amnesia", 1), ("fault_mean", 10_000), ("crash", 1)],
    };
    let outcome = fleet::fly(&fleet);
    assert!(outcome.failure.is_some() && outcome.runs < 1000);
}

/// What a user types, and the status that scripts look at.
#[test]
fn the_command_tells_by_its_status() {
    let sim = |arguments: &str| {
        Command::new(env!("CARGO_BIN_EXE_maelstrom-tests"))
            .arg("sim")
            .args(arguments.split_whitespace())
            .output()
            .expect("the binary runs")
    };
    let calm = sim("--seed 3 --set chaos=10000");
    let said = String::from_utf8_lossy(&calm.stdout);
    assert_eq!(calm.status.code(), Some(0), "{said}");
    assert!(said.contains("seed 3: no rule is broken"), "{said}");
    let broken = sim("--seeds 0..1000 --set amnesia=1 --set crash=1 --set fault_mean=10000");
    let said = String::from_utf8_lossy(&broken.stdout);
    assert_eq!(broken.status.code(), Some(1), "{said}");
    assert!(
        said.contains("replay it with: maelstrom-tests sim --seed"),
        "{said}"
    );
    assert_eq!(sim("--sed 3").status.code(), Some(255));
}
