//! Every target of the fuzzer, for a bounded number of inputs: fixed ones, and fresh ones with a
//! seed that is printed.
//!
//! `STDRAFT_FUZZ_SEED=7 cargo test -p maelstrom-tests --test fuzz` takes 7 in the place of the
//! fresh seed. For more, and to replay a single input, there is `maelstrom-tests fuzz`.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use maelstrom_tests::fuzz::{PATIENCE, Plan, Seen, TARGETS, Target, search};

/// How many inputs a target gets from each of the two seeds. Together they meet every class.
fn inputs(target: &dyn Target) -> u64 {
    match target.name() {
        "storage" => 1_500,
        _ => 4_000,
    }
}

/// The fixed inputs begin with this seed.
const FIXED: u64 = 1;

fn fresh() -> u64 {
    match env::var("STDRAFT_FUZZ_SEED") {
        Ok(text) => text.parse().expect("STDRAFT_FUZZ_SEED is a number"),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.expect("the clock is set").as_nanos() as u64
        }
    }
}

fn fuzz(target: &'static dyn Target, first_seed: u64) -> Seen {
    let plan = Plan {
        first_seed,
        inputs: Some(inputs(target)),
        time: None,
        jobs: 2,
        patience: PATIENCE,
    };
    let report = search(target, &plan, &mut |_, _| {}).expect("there are threads");
    if let Some(finding) = report.finding {
        panic!("{finding}");
    }
    assert_eq!(report.inputs, inputs(target));
    report.seen
}

#[test]
fn all_laws_hold_and_every_class_occurs() {
    let fresh = fresh();
    println!("replay with: STDRAFT_FUZZ_SEED={fresh} cargo test -p maelstrom-tests --test fuzz");
    for target in TARGETS {
        let seen = fuzz(target, FIXED);
        let missing = seen.missing(target);
        assert!(
            missing.is_empty(),
            "{} never met {missing:?}",
            target.name()
        );
        fuzz(target, fresh);
    }
}
