//! Histories drawn from a seed, each with a crash somewhere.

use std::env;

use maelstrom_tests::replica::faulty_disk::{FaultyDisk, Moment, Tear};
use raft_core::Record;
use rand::Rng;

use crate::crashes::{demand_recovery, run};
use crate::history::{State, Step, ballot, entries, id};

/// How many histories are tried; the variable `STDRAFT_ROUNDS` says otherwise.
const RUNS: u64 = 150;

#[test]
fn a_crash_in_any_history_loses_nothing_acknowledged() {
    let number = |name| {
        env::var(name)
            .ok()
            .map(|text| text.parse().expect("a number"))
    };
    let first = number("STDRAFT_SEED").unwrap_or(1);
    let runs = number("STDRAFT_ROUNDS").unwrap_or(RUNS);
    for seed in first..first + runs {
        let mut rng = Rng::seeded(seed);
        let script = draw(&mut rng);
        let whole = FaultyDisk::new(seed);
        assert!(run(&whole, &script).finished, "seed {seed}");
        for _ in 0..5 {
            let disk = FaultyDisk::new(seed);
            let call = rng.range(1..=whole.calls());
            let moment = *rng.choose(&[Moment::Before, Moment::After]).expect("two");
            let content = *rng.choose(&Tear::ALL).expect("there are some");
            let names = *rng.choose(&Tear::ALL).expect("there are some");
            disk.crash_at(call, moment);
            let run = run(&disk, &script);
            disk.restart(content, names);
            let story = format!(
                "{moment:?} call {call}, {content:?}, names {names:?}; replay with STDRAFT_SEED={seed} \
                 STDRAFT_ROUNDS=1 cargo test -p maelstrom-tests --test storage a_crash_in_any_history"
            );
            demand_recovery(&disk, &run, &story).unwrap_or_else(|lost| panic!("{lost}"));
        }
    }
}

/// A history that a node may have: no entry that a snapshot holds is ever replaced.
fn draw(rng: &mut Rng) -> Vec<Step> {
    let mut state = State::default();
    let mut term = 1;
    // Through here all is committed, and through there all is in the log.
    let (mut committed, mut last) = (0, 0);
    let mut script = vec![Step::Write(vec![ballot(1, Some(0))])];
    for _ in 0..rng.range(5..=40) {
        let length = *rng
            .choose(&[0, 1, 30, 300, 900, 3_000])
            .expect("there are some");
        let step = match rng.below(10) {
            0..5 => {
                let to = last + rng.range(1..=4);
                Step::Write(vec![entries(last + 1, to, term, length as usize)])
            }
            5 => {
                term += rng.range(1..=2);
                Step::Write(vec![ballot(term, rng.chance(1, 2).then(|| rng.below(3)))])
            }
            6 => {
                term += 1;
                let from = rng.range(committed + 1..=last + 1);
                let to = from + rng.range(0..=3);
                Step::Write(vec![
                    ballot(term, None),
                    entries(from, to, term, length as usize),
                ])
            }
            7 | 8 => {
                let above = |entry: &&raft_core::Entry<String>| entry.id.index.0 >= committed;
                let held: Vec<_> = state.entries.iter().filter(above).map(|e| e.id).collect();
                let Some(last) = rng.choose(&held).copied() else {
                    continue;
                };
                script.push(Step::Store(last));
                if rng.chance(1, 3) {
                    let more = state.entries.last().expect("it holds one").id.index.0 + 1;
                    let step = Step::Write(vec![entries(more, more, term, 10)]);
                    state = state.through(&step).pop().expect("a state");
                    script.push(step);
                }
                Step::Write(vec![Record::Base(last)])
            }
            _ => {
                let at = id(rng.range(committed + 1..=last + 20), term);
                script.push(Step::Install(at));
                Step::Write(vec![Record::Base(at)])
            }
        };
        state = state.through(&step).pop().expect("a state");
        if let Step::Write(records) = &step
            && let [Record::Base(base)] = records.as_slice()
        {
            committed = base.index.0;
        }
        last = state
            .entries
            .last()
            .map_or(state.base.index.0, |e| e.id.index.0);
        script.push(step);
    }
    script
}
