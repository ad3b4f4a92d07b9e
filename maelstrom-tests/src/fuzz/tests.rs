//! The machinery on targets that are broken on purpose.

use std::thread;
use std::time::Duration;

use super::target::demand;
use super::*;
use crate::check::Status;

/// A target that breaks the law of `check`.
const fn planted(check: fn(&[u8], &mut Seen) -> Result<(), String>) -> Target {
    Target {
        name: "planted",
        about: "broken on purpose",
        classes: &[&["even", "odd", "impossible"]],
        draw: |rng| (0..rng.below(60)).map(|_| rng.next_u64() as u8).collect(),
        check,
    }
}

fn plan(inputs: u64) -> Plan {
    Plan {
        first_seed: 1,
        inputs: Some(inputs),
        time: None,
        jobs: 2,
        input_time_max: INPUT_TIME_MAX,
    }
}

fn found(target: &'static Target, plan: &Plan) -> Finding {
    let report = search(target, plan, &mut |_, _| {}).expect("there are threads");
    report.finding.expect("a broken law")
}

/// Breaks on an input with a 7 somewhere before a byte above 200.
fn breaks(input: &[u8]) -> bool {
    let seven = input.iter().position(|byte| *byte == 7);
    seven.is_some_and(|at| input[at..].iter().any(|byte| *byte > 200))
}

#[test]
fn broken_law_is_found_shrunk_and_replayed() {
    static TARGET: Target =
        planted(|input, _| demand(!breaks(input), || "no high byte after a 7".to_owned()));
    let finding = found(&TARGET, &plan(100_000));
    let (input, smaller) = finding.inputs.as_ref().expect("it was drawn");
    assert!(breaks(input) && breaks(smaller));
    assert_eq!(smaller.len(), 2, "{finding}");
    assert_eq!(finding.law, "no high byte after a 7");

    let replay = Plan {
        first_seed: finding.seed,
        ..plan(1)
    };
    assert_eq!(found(&TARGET, &replay).inputs, finding.inputs);
    let (seed, text) = (finding.seed, finding.to_string());
    let command = format!("cargo run --release -- fuzz --seed {seed} --inputs 1 planted");
    assert!(text.contains(&command), "{text}");
    assert!(text.contains(&smaller.escape_ascii().to_string()), "{text}");
}

#[test]
fn finding_ends_with_1() {
    static KEPT: Target = planted(|_, _| Ok(()));
    static BROKEN: Target = planted(|_, _| Err("no input is right".to_owned()));
    for (targets, expected) in [
        (vec![&KEPT], Status::Valid),
        (vec![&BROKEN, &KEPT], Status::Invalid),
    ] {
        let (list, plan) = (false, plan(1_000));
        let mut out = Vec::new();
        let options = options::Options {
            list,
            targets,
            plan,
        };
        let status = run(&options, &mut out).expect("there are threads");
        let said = String::from_utf8_lossy(&out);
        assert_eq!(status, expected, "{said}");
        let is_told = said.contains("no input is right");
        assert_eq!(is_told, expected == Status::Invalid, "{said}");
        let missing = said.contains("never occurred: even, odd, impossible");
        assert!(missing, "{said}");
    }
}

#[test]
fn panic_is_found_and_shrunk() {
    static TARGET: Target = planted(|input, _| {
        assert!(!breaks(input), "a planted panic");
        Ok(())
    });
    let finding = found(&TARGET, &plan(100_000));
    assert!(finding.law.contains("a planted panic"), "{finding}");
    let (_, smaller) = finding.inputs.expect("it was drawn");
    assert_eq!(smaller.len(), 2);
}

/// Every input is endless, so that the finding does not depend on how fast the others are.
#[test]
fn endless_input_is_found() {
    static TARGET: Target = planted(|_, _| {
        loop {
            thread::park();
        }
    });
    let plan = Plan {
        input_time_max: Duration::from_millis(1),
        ..plan(100_000)
    };
    let finding = found(&TARGET, &plan);
    assert!(
        finding.law.contains("an input takes longer than"),
        "{finding}"
    );
}

#[test]
fn search_without_finding_tries_all_inputs() {
    static TARGET: Target = planted(|input, seen| {
        seen.note(["even", "odd"][input.len() % 2]);
        Ok(())
    });
    let report = search(&TARGET, &plan(1_003), &mut |_, _| {}).expect("there are threads");
    assert!(report.finding.is_none());
    assert_eq!(report.inputs, 1_003);
    assert_eq!(report.seen.count("even") + report.seen.count("odd"), 1_003);
    assert_eq!(report.seen.missing(&TARGET), ["impossible"]);
}
