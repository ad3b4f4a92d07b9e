//! Every target of the fuzzer, for a bounded number of inputs with fixed seeds.
//!
//! `STDRAFT_SEED=7 cargo test -p maelstrom-tests --test fuzz` takes other inputs, from seed 7 on.
//! For more, and to replay a single input: `cargo run --release -- fuzz --help`.

use std::env;

use maelstrom_tests::fuzz::{INPUT_TIME_MAX, Plan, TARGETS, search};

/// The number of inputs for a target. With the default seed they meet every class.
fn inputs(target: &str) -> u64 {
    match target {
        "storage" => 1_500,
        _ => 4_000,
    }
}

#[test]
fn all_laws_hold_and_every_class_occurs() {
    let seed = env::var("STDRAFT_SEED").ok();
    let seed = seed.map(|text| text.parse().expect("STDRAFT_SEED must be a number"));
    for target in &TARGETS {
        let plan = Plan {
            first_seed: seed.unwrap_or(1),
            inputs: Some(inputs(target.name)),
            time: None,
            jobs: 2,
            input_time_max: INPUT_TIME_MAX,
        };
        let report = search(target, &plan, &mut |_, _| {}).expect("there are threads");
        if let Some(finding) = report.finding {
            panic!("{finding}");
        }
        let missing = report.seen.missing(target);
        assert!(
            missing.is_empty() || seed.is_some(),
            "{} never met {missing:?}",
            target.name
        );
    }
}
