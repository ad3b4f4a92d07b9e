//! A search that finds nothing must be able to find something.

use raft_core::NodeId;
use rand::Rng;

use super::{
    names,
    options::{Bounds, Options},
    search::{End, Found, search},
    story,
    world::{Action, Fate, World},
};
use crate::golden;

fn bounds(nodes: u8) -> Bounds {
    Bounds {
        nodes,
        terms: 1,
        expiries: 2,
        commands: 1,
        reads: 0,
        crashes: 0,
        copies: 0,
        in_flight: 2,
        forgetful: false,
    }
}

fn found(bounds: Bounds) -> Found {
    found_in(bounds, 50_000)
}

fn found_in(bounds: Bounds, worlds_max: u32) -> Found {
    let options = Options {
        bounds,
        time_max: None,
        worlds_max,
        jobs: 2,
    };
    search(&options, |_| {})
}

#[test]
fn a_small_world_is_exhausted() {
    let lone = Bounds {
        crashes: 1,
        reads: 1,
        ..bounds(1)
    };
    let pair = Bounds {
        expiries: 1,
        commands: 0,
        ..bounds(2)
    };
    for bounds in [lone, pair] {
        let found = found(bounds);
        assert_eq!(found.end, End::Exhausted, "{found}");
        assert!(found.worlds > 20, "{found}");
    }
}

#[test]
fn a_budget_ends_a_search() {
    let found = found_in(bounds(3), 500);
    assert_eq!(found.end, End::OutOfBudget, "{found}");
}

/// Nodes that forget what they stored break Raft. The shortest way there is told, and the golden
/// scripts' stage sees the same rule broken at its end.
#[test]
fn nodes_that_forget_are_found_out() {
    let found = found(Bounds {
        crashes: 1,
        forgetful: true,
        ..bounds(3)
    });
    let End::Broken { rule, story } = &found.end else {
        panic!("{found}");
    };
    assert!(story.contains("crash n"), "{story}");
    // On the stage a disk keeps what it has, unless it is set up anew.
    let forgetting = |line: &str| match line.strip_prefix("crash ") {
        Some(node) => format!("{line}\nnode {node} term=0\ncrash {node}\n"),
        None => format!("{line}\n"),
    };
    let story: String = story.lines().map(forgetting).collect();
    let error = golden::run(&story).expect_err("a rule is broken");
    assert!(error.problem.contains(rule), "{error}\n{story}");
}

/// What one node does and what another one does instead come to the same.
#[test]
fn names_make_no_difference() {
    let bounds = Bounds {
        crashes: 2,
        terms: 2,
        expiries: 3,
        in_flight: 6,
        ..bounds(3)
    };
    let end = |first: u64, second: u64| {
        let mut world = World::new(&bounds).expect("nodes can start");
        for action in [
            Action::Expire(NodeId(first), Fate::Lives),
            Action::Crash(NodeId(second)),
            Action::Start(NodeId(second)),
            Action::Expire(NodeId(second), Fate::Lives),
            Action::Write(NodeId(first), Fate::Lives),
        ] {
            world.act(action, &bounds).expect("it can happen");
            world.tidy();
        }
        names::fingerprint(&world)
    };
    let one = end(1, 2);
    for (first, second) in [(1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
        assert_eq!(end(first, second), one, "{first} {second}");
    }
    assert_ne!(end(1, 1), one);
}

/// Whatever happens in a world can be played on the stage, without a message that is not there.
#[test]
fn every_course_is_a_story() {
    let bounds = Bounds {
        terms: 3,
        expiries: 8,
        commands: 3,
        reads: 2,
        crashes: 3,
        copies: 2,
        in_flight: 8,
        ..bounds(3)
    };
    for seed in 0..40 {
        let mut rng = Rng::seeded(seed);
        let mut world = World::new(&bounds).expect("nodes can start");
        let mut course = Vec::new();
        for _ in 0..60 {
            let actions = world.actions(&bounds);
            let Some(action) = rng.choose(&actions) else {
                break;
            };
            let mut next = world.clone();
            if next.act(*action, &bounds).is_ok() {
                next.tidy();
                world = next;
                course.push(*action);
            }
        }
        let story = story::tell(&bounds, &course, "No rule is broken.");
        if let Err(error) = golden::run(&story) {
            panic!("seed {seed}: {error}\n{story}");
        }
    }
}
