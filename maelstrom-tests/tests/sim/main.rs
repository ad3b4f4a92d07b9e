//! The simulator: seeds with recorded hashes, seeds that once failed, and worlds in which a rule
//! must break. The subcommand `sim` runs random seeds.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use maelstrom_tests::sim::fleet::{self, EVENTS_MAX, Fleet};
use maelstrom_tests::sim::options::Options;
use maelstrom_tests::sim::shrink::shrink;
use maelstrom_tests::sim::{Case, Failure, Report, run};

/// The number of seeds with recorded hashes.
const RECORDED: u64 = 12;

fn file(name: &str) -> PathBuf {
    let folder = env!("CARGO_MANIFEST_DIR");
    [folder, "tests", "sim", name].iter().collect()
}

#[track_caller]
fn passes(case: &Case) -> Report {
    run(case, EVENTS_MAX).unwrap_or_else(|failure| panic!("{failure}"))
}

/// A seed is the same run on any machine. A change of the nodes' behaviour changes the hashes:
/// `STDRAFT_UPDATE=hashes` records them anew.
#[test]
fn seed_determines_the_run() {
    let hash = |seed| format!("{seed} {:016x}\n", passes(&Case::of(seed)).hash);
    let found: String = (0..RECORDED).map(hash).collect();
    let again: String = (0..RECORDED).map(hash).collect();
    assert_eq!(found, again, "two runs of one seed");
    let path = file("hashes.txt");
    if env::var("STDRAFT_UPDATE").is_ok_and(|what| what == "hashes") {
        fs::write(&path, &found).expect("hashes.txt is written");
    }
    let recorded = fs::read_to_string(&path).expect("hashes.txt is read");
    assert_eq!(
        found, recorded,
        "the nodes' behaviour has changed: if it should, record it with STDRAFT_UPDATE=hashes"
    );
}

/// A line of `seeds.txt`: what follows `sim --seed`.
fn case(line: &str) -> Case {
    let mut words = line.split_whitespace();
    let seed = words.next().and_then(|seed| seed.parse().ok());
    let mut changes = Vec::new();
    while let Some(word) = words.next() {
        assert_eq!(word, "--set", "{line}");
        let change = words.next().and_then(|change| change.split_once('='));
        let (name, value) = change.unwrap_or_else(|| panic!("--set takes NAME=N: {line}"));
        let name = Options::ALL.iter().find(|option| option.name == name);
        let value = value.parse().ok();
        changes.push(
            name.map(|option| option.name)
                .zip(value)
                .unwrap_or_else(|| panic!("{line}")),
        );
    }
    let seed = seed.unwrap_or_else(|| panic!("a line begins with its seed: {line}"));
    Case { seed, changes }
}

#[test]
fn seeds_that_once_failed_pass() {
    let text = fs::read_to_string(file("seeds.txt")).expect("seeds.txt is read");
    let cases = text.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in cases {
        passes(&case(line));
        count += 1;
    }
    assert!(count > 0, "there is a seed");
}

/// Disks that lose synced data break the rules.
#[test]
fn forgetful_disks_break_the_rules() {
    let changes = vec![("amnesia", 1), ("fault_mean", 10_000), ("crash", 1)];
    let case = |seed| Case {
        seed,
        changes: changes.clone(),
    };
    let failures = (0..40).filter_map(|seed| run(&case(seed), 0).err());
    // Their details are long.
    let kind = |failure: Box<Failure>| failure.rule.chars().take(100).collect();
    let rules: Vec<String> = failures.map(kind).collect();
    let is_broken = |rule: &str| rules.iter().any(|broken| broken.contains(rule));
    assert!(is_broken("State Machine Safety"), "{rules:#?}");
    assert!(is_broken("Leader Completeness"), "{rules:#?}");
}

#[test]
fn failure_is_printed_and_shrinks() {
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
    let text = failure.to_string();
    let replay = format!("replay it with:          {}\n", failure.case);
    assert!(
        text.contains(&replay) && text.contains("\ndeliver n"),
        "{text}"
    );
    let again = run(&failure.case, 50).expect_err("one seed is one run");
    assert_eq!(again.story, failure.story);

    let mut runs = 0;
    let smaller = shrink(failure, |_, attempts| runs = attempts);
    assert!(runs < 500, "each step is a large one: {runs} runs");
    let options = &smaller.options;
    assert_eq!(options.amnesia, 1, "without it nothing is wrong");
    assert_eq!(options.drift_permille, 0, "it has nothing to do with it");
    assert!(options.chaos < world.chaos, "{}", smaller.case);
    assert!(run(&smaller.case, 0).is_err(), "{}", smaller.case);
}

#[test]
fn fleet_ends_with_its_first_failure() {
    let fleet = Fleet {
        first: 0,
        count: 1000,
        time_max: None,
        jobs: 2,
        changes: vec![("amnesia", 1), ("fault_mean", 10_000), ("crash", 1)],
    };
    let outcome = fleet::run(&fleet);
    assert!(outcome.failure.is_some() && outcome.runs < 1000);
}

#[test]
fn exit_status_tells_the_result() {
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
    assert!(said.contains("seed 3: all rules held"), "{said}");
    let broken = sim("--seeds 0..1000 --set amnesia=1 --set crash=1 --set fault_mean=10000");
    let said = String::from_utf8_lossy(&broken.stdout);
    assert_eq!(broken.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cargo run --release -- sim --seeds"),
        "{said}"
    );
    assert_eq!(sim("--sed 3").status.code(), Some(255));
}

/// A run that does not end, or takes ever more memory, fails in a short text with its seed.
#[test]
fn run_beyond_its_bounds_is_rejected() {
    for (setting, rule) in [
        (
            "happenings_max=1000",
            "a run must end: 1000 things have happened",
        ),
        (
            "bytes_max=20000",
            "a run must fit into memory: disks, logs and messages take",
        ),
    ] {
        let sim = Command::new(env!("CARGO_BIN_EXE_maelstrom-tests"))
            .args(["sim", "--seed", "4", "--set", setting])
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&sim.stdout);
        assert_eq!(sim.status.code(), Some(1), "{said}");
        let found = said.lines().find(|line| line.contains("rule broken: "));
        let line = found.unwrap_or_else(|| panic!("{said}"));
        assert!(
            line.starts_with("seed 4, event ") && line.contains(rule),
            "{line}"
        );
        assert!(said.lines().all(|line| line.len() < 2500), "{said}");
    }
}

/// The quorum of the rule is connected in name only: all its messages are lost.
#[test]
fn quorum_that_never_serves_is_rejected() {
    let changes = vec![
        ("lasting", 1),
        ("lasting_lost_permille", 1000),
        ("nodes", 3),
        // A change could leave one voter, which needs no messages.
        ("change_mean", 0),
    ];
    let failure = run(&Case { seed: 3, changes }, 0).expect_err("no quorum");
    let rule = "a connected quorum must serve while faults last: nodes";
    assert!(failure.rule.starts_with(rule), "{failure}");
}
