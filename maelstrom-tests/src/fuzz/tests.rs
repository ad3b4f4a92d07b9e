//! The machine is tried on targets that are broken on purpose.

use std::thread;
use std::time::Duration;

use rand::Rng;

use super::*;

/// A target whose reader breaks where `broken` says so.
struct Planted {
    broken: fn(&[u8]) -> Result<(), String>,
}

impl Target for Planted {
    fn name(&self) -> &'static str {
        "planted"
    }

    fn about(&self) -> &'static str {
        "broken on purpose"
    }

    fn classes(&self) -> &'static [&'static str] {
        &["even", "odd", "longer than any"]
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        (0..rng.below(60)).map(|_| rng.next_u64() as u8).collect()
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        seen.note(match input.len() % 2 {
            0 => "even",
            _ => "odd",
        });
        (self.broken)(input)
    }
}

fn plan(inputs: u64) -> Plan {
    Plan {
        first_seed: 1,
        inputs: Some(inputs),
        time: None,
        jobs: 2,
        patience: Duration::from_secs(60),
    }
}

fn found(target: &'static Planted, plan: &Plan) -> Finding {
    let report = search(target, plan, &mut |_, _| {}).expect("there are threads");
    report.finding.expect("a broken law")
}

/// Breaks on an input with a 7 somewhere before a byte above 200.
fn breaks(input: &[u8]) -> bool {
    let seven = input.iter().position(|byte| *byte == 7);
    seven.is_some_and(|at| input[at..].iter().any(|byte| *byte > 200))
}

#[test]
fn a_broken_law_is_found_shrunk_and_replayed() {
    static TARGET: Planted = Planted {
        broken: |input| demand(!breaks(input), || "no high byte behind a 7".to_owned()),
    };
    let finding = found(&TARGET, &plan(100_000));
    let (input, smaller) = finding.inputs.as_ref().expect("it was drawn");
    assert!(breaks(input) && breaks(smaller));
    assert_eq!(smaller.len(), 2, "{finding}");
    assert_eq!(finding.law, "no high byte behind a 7");

    let replay = Plan {
        first_seed: finding.seed,
        ..plan(1)
    };
    assert_eq!(found(&TARGET, &replay).inputs, finding.inputs);
    let told = finding.to_string();
    let command = format!(
        "maelstrom-tests fuzz --seed {} --inputs 1 planted",
        finding.seed
    );
    assert!(told.contains(&command), "{told}");
    assert!(told.contains(&smaller.escape_ascii().to_string()), "{told}");
}

#[test]
fn a_panic_is_found_and_shrunk() {
    static TARGET: Planted = Planted {
        broken: |input| {
            assert!(!breaks(input), "a planted panic");
            Ok(())
        },
    };
    let finding = found(&TARGET, &plan(100_000));
    assert!(finding.law.contains("a planted panic"), "{finding}");
    let (_, smaller) = finding.inputs.expect("it was drawn");
    assert_eq!(smaller.len(), 2);
}

#[test]
fn an_input_that_takes_for_ever_is_found() {
    static TARGET: Planted = Planted {
        broken: |input| {
            while breaks(input) {
                thread::park();
            }
            Ok(())
        },
    };
    let plan = Plan {
        patience: Duration::from_millis(300),
        ..plan(100_000)
    };
    let finding = found(&TARGET, &plan);
    assert!(finding.law.contains("it takes longer than"), "{finding}");
}

#[test]
fn sound_targets_have_no_finding_and_all_inputs_are_tried() {
    static TARGET: Planted = Planted { broken: |_| Ok(()) };
    let report = search(&TARGET, &plan(1_003), &mut |_, _| {}).expect("there are threads");
    assert!(report.finding.is_none());
    assert_eq!(report.inputs, 1_003);
    assert_eq!(report.seen.count("even") + report.seen.count("odd"), 1_003);
    assert_eq!(report.seen.missing(&TARGET), ["longer than any"]);
}
