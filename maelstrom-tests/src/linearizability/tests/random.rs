//! Long random histories, legal ones and ones with an error.

use std::env;
use std::time::Instant;

use json::Value;
use rand::Rng;

use super::{cas_call, contradiction, delete, failed, read, verdict, write, write_call};
use crate::history::{Call, ErrorCode, Moment, Operation, Outcome, Process};
use crate::linearizability::{Analysis, Limits, Verdict, check};

/// How to draw a history.
#[derive(Clone, Copy, Debug)]
struct World {
    clients: u64,
    operations: usize,
    keys: u64,
    /// The number of different values; 0 if no value is written twice.
    values: u64,
    /// Of 1,000 operations but reads, how many are unknown. Half of those take effect.
    unknown_per_mille: u64,
    /// Whether a fifth of the operations but reads are deletes.
    deletes: bool,
}

/// A legal history: clients' requests take effect at a register after random delays.
fn simulate(rng: &mut Rng, world: World) -> Vec<Operation> {
    struct Planned {
        client: u64,
        invoked: u64,
        takes_effect: u64,
        completed: u64,
    }
    let mut clocks = vec![0_u64; world.clients as usize];
    let mut planned: Vec<Planned> = (0..world.operations)
        .map(|_| {
            let client = rng.below(world.clients);
            let clock = &mut clocks[client as usize];
            let invoked = *clock + 1 + rng.exponential(500);
            let takes_effect = invoked + rng.exponential(1_000);
            let completed = takes_effect + rng.exponential(1_000);
            *clock = completed;
            Planned {
                client,
                invoked,
                takes_effect,
                completed,
            }
        })
        .collect();

    // An unknown operation takes effect late or never.
    let mut fates: Vec<bool> = Vec::new();
    for plan in &mut planned {
        let is_unknown = rng.chance(world.unknown_per_mille, 1_000);
        if is_unknown {
            plan.takes_effect = match rng.chance(1, 2) {
                true => plan.invoked + rng.exponential(20_000),
                false => u64::MAX,
            };
        }
        fates.push(is_unknown);
    }
    let mut order: Vec<usize> = (0..planned.len()).collect();
    order.sort_by_key(|&at| planned[at].takes_effect);

    let mut register: Vec<Option<i64>> = vec![None; world.keys as usize];
    let mut fresh = 0;
    let mut draw = |rng: &mut Rng| match world.values {
        0 => {
            fresh += 1;
            fresh
        }
        values => rng.below(values) as i64,
    };
    let mut next_process = world.clients;
    let mut operations = Vec::new();
    for at in order {
        let plan = &planned[at];
        let is_unknown = fates[at];
        let happens = plan.takes_effect < u64::MAX;
        let key = rng.below(world.keys);
        let held = &mut register[key as usize];
        let absent = Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST);
        let changes = if world.deletes { 5 } else { 4 };
        let (call, outcome) = match rng.below(if is_unknown { changes } else { 2 * changes }) {
            4 if world.deletes => {
                let existed = held.is_some();
                if happens {
                    *held = None;
                }
                let outcome = if existed { Outcome::Done } else { absent };
                (Call::Delete, outcome)
            }
            0 | 1 => {
                let value = draw(rng);
                if happens {
                    *held = Some(value);
                }
                (write_call(value), Outcome::Done)
            }
            2 | 3 => {
                let guess = held.filter(|_| rng.chance(1, 2));
                let (old, new) = (guess.unwrap_or_else(|| draw(rng)), draw(rng));
                let outcome = match *held {
                    Some(value) if value == old => {
                        if happens {
                            *held = Some(new);
                        }
                        Outcome::Done
                    }
                    Some(_) => Outcome::Failed(ErrorCode::PRECONDITION_FAILED),
                    None => absent,
                };
                (cas_call(old, new), outcome)
            }
            _ => match *held {
                Some(value) => (Call::Read, Outcome::ReadOk(Value::from(value))),
                None => (Call::Read, absent),
            },
        };
        let (process, outcome) = if is_unknown {
            next_process += 1;
            (next_process, Outcome::Unknown(ErrorCode::TIMEOUT))
        } else {
            (plan.client, outcome)
        };
        operations.push(Operation {
            process: Process(process),
            key: Value::from(key as i64),
            call,
            invoked: Moment::at(plan.invoked),
            completed: Some((Moment::at(plan.completed), outcome)),
        });
    }
    rng.shuffle(&mut operations);
    operations
}

/// A stale read: two writes, then a read that returns the first value. No other operation writes
/// these values.
fn stale_read(now: u64) -> [Operation; 3] {
    [
        write(now, now + 100, -1),
        write(now + 200, now + 300, -2),
        read(now + 400, now + 500, -1),
    ]
}

/// A lost delete: it is acknowledged, and then a read returns the value. No other operation writes it.
fn stale_read_after_a_delete(now: u64) -> [Operation; 3] {
    [
        write(now, now + 100, -1),
        delete(now + 200, now + 300),
        read(now + 400, now + 500, -1),
    ]
}

/// A lost write: it is acknowledged, and then the key does not exist.
fn lost_write(now: u64) -> [Operation; 2] {
    [
        write(now, now + 100, -1),
        failed(now + 200, now + 300, Call::Read, 20),
    ]
}

/// The first seeds, or the one in `STDRAFT_SEED`.
fn seeds(count: u64) -> Vec<u64> {
    match env::var("STDRAFT_SEED") {
        Ok(text) => vec![text.parse().expect("STDRAFT_SEED must be a number")],
        Err(_) => (0..count).collect(),
    }
}

fn describe(seed: u64, world: World) -> String {
    format!("replay: STDRAFT_SEED={seed} cargo test -p maelstrom-tests --lib random; {world:?}")
}

const WORLDS: [World; 7] = [
    World {
        clients: 30,
        operations: 3_000,
        keys: 10,
        values: 5,
        unknown_per_mille: 10,
        deletes: false,
    },
    World {
        clients: 12,
        operations: 500,
        keys: 1,
        values: 0,
        unknown_per_mille: 100,
        deletes: false,
    },
    World {
        clients: 10,
        operations: 300,
        keys: 1,
        values: 5,
        unknown_per_mille: 300,
        deletes: false,
    },
    World {
        clients: 40,
        operations: 300,
        keys: 1,
        values: 5,
        unknown_per_mille: 0,
        deletes: false,
    },
    World {
        clients: 30,
        operations: 3_000,
        keys: 10,
        values: 5,
        unknown_per_mille: 10,
        deletes: true,
    },
    World {
        clients: 10,
        operations: 300,
        keys: 1,
        values: 5,
        unknown_per_mille: 200,
        deletes: true,
    },
    World {
        clients: 12,
        operations: 300,
        keys: 1,
        values: 0,
        unknown_per_mille: 50,
        deletes: true,
    },
];

#[test]
fn legal_history_is_valid() {
    for seed in seeds(5) {
        for world in WORLDS {
            let operations = simulate(&mut Rng::seeded(seed), world);
            match verdict(&operations) {
                Verdict::Valid => {}
                Verdict::Invalid(why) => panic!("{}\n{}", describe(seed, world), why[0]),
                Verdict::Unknown(_) => panic!("{}: undecided", describe(seed, world)),
            }
        }
    }
}

#[test]
fn one_error_among_thousands_is_found() {
    for seed in seeds(2) {
        for world in WORLDS {
            let mut rng = Rng::seeded(seed);
            let sound = simulate(&mut rng, world);
            let now = sound[rng.below(sound.len() as u64) as usize].invoked.time;
            // A delete explains a lost write.
            let errors = match world.deletes {
                true => [&stale_read(now)[..], &stale_read_after_a_delete(now)],
                false => [&stale_read(now)[..], &lost_write(now)],
            };
            for error in errors {
                let operations = [&sound, error].concat();
                match verdict(&operations) {
                    Verdict::Invalid(why) => assert_eq!(why[0].key, Value::from(0)),
                    Verdict::Valid => panic!("{}: valid", describe(seed, world)),
                    Verdict::Unknown(_) => panic!("{}: undecided", describe(seed, world)),
                }
            }
        }
    }
}

#[test]
fn one_error_after_thousands_is_shown_alone() {
    for seed in seeds(2) {
        for world in WORLDS {
            let mut rng = Rng::seeded(seed);
            let mut operations = simulate(&mut rng, world);
            let ends = operations
                .iter()
                .filter_map(|operation| operation.completed.as_ref());
            let last = ends.map(|(moment, _)| moment.time).max();
            let error = stale_read(last.expect("there are operations") + 1);
            operations.extend(error.clone());
            let why = contradiction(&operations);
            let shown: Vec<&Operation> = why.parts.iter().map(|part| &part.operation).collect();
            assert_eq!(shown, [&error[1], &error[2]], "{}", describe(seed, world));
        }
    }
}

/// 100,000 operations on 20 keys by 30 clients.
const BIG: World = World {
    clients: 30,
    operations: 100_000,
    keys: 20,
    values: 5,
    unknown_per_mille: 5,
    deletes: false,
};

/// `cargo test --release -p maelstrom-tests --lib a_hundred_thousand -- --nocapture` prints the
/// time.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "seconds in a release build, a minute without optimization"
)]
fn one_error_among_a_hundred_thousand_is_found() {
    let seed = seeds(1)[0];
    let mut rng = Rng::seeded(seed);
    let sound = simulate(&mut rng, BIG);
    let has = |wanted: fn(&Outcome) -> bool| {
        let ends = sound
            .iter()
            .filter_map(|operation| operation.completed.as_ref());
        ends.filter(|(_, outcome)| wanted(outcome)).count()
    };
    let unknown = has(|outcome| matches!(outcome, Outcome::Unknown(_)));
    let failed = has(|outcome| *outcome == Outcome::Failed(ErrorCode::PRECONDITION_FAILED));
    assert!(
        unknown > 100 && failed > 1_000,
        "{unknown} unknown, {failed} failed"
    );

    let start = Instant::now();
    let Analysis {
        verdict,
        keys,
        operations,
    } = check(&sound, Limits::default());
    assert!(matches!(verdict, Verdict::Valid), "{}", describe(seed, BIG));
    assert_eq!((keys, operations), (20, 100_000));
    println!(
        "valid: {:.2} s, {unknown} unknown",
        start.elapsed().as_secs_f64()
    );

    let now = sound[rng.below(sound.len() as u64) as usize].invoked.time;
    let broken = [&sound[..], &stale_read(now)].concat();
    let start = Instant::now();
    match super::verdict(&broken) {
        Verdict::Invalid(why) => {
            assert_eq!(why.len(), 1, "one key is wrong");
            assert_eq!(why[0].key, Value::from(0));
        }
        Verdict::Valid => panic!("{}: valid", describe(seed, BIG)),
        Verdict::Unknown(_) => panic!("{}: undecided", describe(seed, BIG)),
    }
    println!("invalid: {:.2} s", start.elapsed().as_secs_f64());
}
