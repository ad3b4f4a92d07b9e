//! Worlds in which a rule must break, and worlds in which none may.

use raft_core::{
    Entry, Envelope, Index, Message, NodeId, Payload, Refusal, Replica, Reply, Response,
};
use rand::Rng;

use super::clients::Request;
use super::names::Namer;
use super::node::{Clocks, Planted};
use super::options::{Bounds, Options};
use super::search::{End, Found, search};
use super::story;
use super::world::{Action, Deed, Tables, World};
use crate::golden;
use crate::replica::machine::{Outcome, Registers};
use crate::rules::Broken;

fn bounds(nodes: u8) -> Bounds {
    Bounds {
        nodes,
        add: 0,
        remove: 0,
        changes: 0,
        retries: 0,
        terms: 1,
        expiries: 2,
        commands: 1,
        reads: 0,
        crashes: 0,
        copies: 0,
        transfers: 0,
        in_flight: 2,
        snapshot_entries: None,
        forgetful: false,
    }
}

fn found(bounds: Bounds) -> Found {
    found_in(bounds, 50_000)
}

fn found_in(bounds: Bounds, worlds_max: u32) -> Found {
    search(
        &options(bounds, worlds_max),
        Planted::default(),
        |_, _, _| {},
    )
}

fn options(bounds: Bounds, worlds_max: u32) -> Options {
    Options {
        bounds,
        time_max: None,
        worlds_max,
        jobs: 2,
    }
}

#[test]
fn small_world_is_searched_completely() {
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
    let grows = Bounds {
        add: 1,
        changes: 1,
        in_flight: 1,
        commands: 0,
        ..bounds(1)
    };
    let shrinks = Bounds {
        remove: 1,
        changes: 1,
        in_flight: 1,
        ..pair.clone()
    };
    let retries = Bounds {
        retries: 1,
        in_flight: 1,
        expiries: 1,
        ..bounds(2)
    };
    for bounds in [lone, pair, grows, shrinks, retries] {
        let found = found(bounds);
        assert_eq!(found.end, End::Exhausted, "{found}");
        assert!(found.worlds > 10, "{found}");
    }
}

#[test]
fn budget_ends_the_search() {
    let found = found_in(bounds(3), 500);
    assert_eq!(found.end, End::OutOfBudget, "{found}");
}

/// Nodes that lose their disks break Raft. The story's golden script breaks the same rule.
#[test]
fn forgetful_nodes_break_a_rule() {
    let found = found(Bounds {
        crashes: 1,
        forgetful: true,
        ..bounds(3)
    });
    let End::Broken { rule, story } = &found.end else {
        panic!("{found}");
    };
    assert!(story.contains("forget n"), "{story}");
    let error = golden::run(story).expect_err("a rule is broken");
    assert!(error.contains(rule), "{error}\n{story}");
}

/// A rule that no correct node keeps is broken on a shortest way, which can be played.
#[test]
fn planted_rule_is_broken_on_a_shortest_way() {
    let rule = |replica: &Replica<Registers>| {
        let commit = replica.status().commit.index;
        if commit < Index(2) {
            Ok(())
        } else {
            Err(Broken("nothing is written".into()))
        }
    };
    let commits_nothing = Planted {
        rule,
        ..Planted::default()
    };
    let options = options(bounds(3), 500_000);
    let found = search(&options, commits_nothing, |_, _, _| {});
    let End::Broken { rule, story } = &found.end else {
        panic!("{found}");
    };
    assert_eq!(rule, "nothing is written");
    let played = golden::run(story).expect("a script does not know that rule");
    assert!(played.contains("commits"), "{played}");
    // A round of pre-votes, a round of votes, and an Append with both entries.
    let deliveries = story.matches("deliver").count();
    assert_eq!(deliveries, 6, "{story}");
}

#[test]
fn rule_broken_at_the_start_is_reported() {
    let starts_nothing = Planted {
        rule: |_| Err(Broken("no node starts".into())),
        ..Planted::default()
    };
    let found = search(&options(bounds(3), 10), starts_nothing, |_, _, _| {});
    let (rule, story) = (
        "no node starts".into(),
        story::begin(&bounds(3), "no node starts"),
    );
    assert_eq!(found.end, End::Broken { rule, story });
}

/// The rule that this planted mistake breaks in a small world, and the story.
fn broken(bounds: Bounds, planted: Planted) -> (String, String) {
    let found = search(&options(bounds, 50_000), planted, |_, _, _| {});
    let End::Broken { rule, story } = &found.end else {
        panic!("{found}");
    };
    (rule.clone(), story.clone())
}

/// The nodes are correct, and their clients get other answers.
#[test]
fn wrong_answer_is_found() {
    type Change = fn(&mut Reply<Registers>);
    let wrong_read = |reply: &mut Reply<Registers>| {
        if let Response::Answered(value) = &mut reply.response {
            *value = Some(9);
        }
    };
    let wrong_write = |reply: &mut Reply<Registers>| {
        if let Response::Applied(outcome) = &mut reply.response {
            *outcome = Outcome::Absent;
        }
    };
    let refused_write = |reply: &mut Reply<Registers>| {
        if let Response::Applied(_) = reply.response {
            reply.response = Response::Refused(Refusal::NoLeader);
        }
    };
    let answers: [(Change, &str); 3] = [
        (
            wrong_read,
            "linearizability: no order of the requests explains the answer to request 1 (the read \
             returned 9)",
        ),
        (
            wrong_write,
            "a response must be the command's outcome: CommandId(1)",
        ),
        (
            refused_write,
            "a refused command must not enter a log: CommandId(1)",
        ),
    ];
    for (answer, expected) in answers {
        let bounds = Bounds {
            reads: 1,
            ..bounds(1)
        };
        let planted = Planted {
            answer,
            ..Planted::default()
        };
        let (rule, _) = broken(bounds, planted);
        assert!(rule.starts_with(expected), "{rule}");
    }
}

/// A transfer is answered as done while the same node leads.
#[test]
fn transfer_without_another_leader_is_found() {
    let answer = |reply: &mut Reply<Registers>| {
        if let Response::Refused(_) = reply.response {
            reply.response = Response::Transferred;
        }
    };
    let bounds = Bounds {
        commands: 0,
        transfers: 1,
        ..bounds(3)
    };
    let planted = Planted {
        answer,
        ..Planted::default()
    };
    let (rule, _) = broken(bounds, planted);
    assert!(
        rule.starts_with("a transfer must end with another leader: node 1"),
        "{rule}"
    );
}

/// A change is answered as done while the joint membership is in use.
#[test]
fn change_that_is_not_done_is_found() {
    let answer = |reply: &mut Reply<Registers>| {
        if let Response::Refused(Refusal::NotChanged(_)) = reply.response {
            reply.response = Response::MembersChanged;
        }
    };
    let bounds = Bounds {
        commands: 0,
        remove: 1,
        changes: 2,
        in_flight: 1,
        ..bounds(2)
    };
    let planted = Planted {
        answer,
        ..Planted::default()
    };
    let (rule, _) = broken(bounds, planted);
    assert!(
        rule.starts_with("a change must end with a committed membership that is not joint"),
        "{rule}"
    );
}

/// A retry is answered with another outcome than the first copy of the write.
#[test]
fn wrong_answer_to_a_retry_is_found() {
    let rule = |replica: &Replica<Registers>| {
        let commands = |entry: &&Entry<_>| matches!(entry.payload, Payload::Command(_));
        match replica.log().filter(commands).count() {
            0 | 1 => Ok(()),
            _ => Err(Broken("no log holds a write twice".into())),
        }
    };
    let bounds = Bounds {
        expiries: 1,
        retries: 1,
        ..bounds(2)
    };
    let planted = Planted {
        rule,
        ..Planted::default()
    };
    let (_, story) = broken(bounds.clone(), planted);
    assert_eq!(story.matches(" x=1 s1.1\n").count(), 2, "{story}");
    let answer = |reply: &mut Reply<Registers>| {
        if let Response::Applied(outcome) = &mut reply.response {
            *outcome = Outcome::Absent;
        }
    };
    let planted = Planted {
        answer,
        ..Planted::default()
    };
    let (rule, _) = broken(bounds, planted);
    let expected = "a response must be the command's outcome: CommandId(1)";
    assert!(rule.starts_with(expected), "{rule}");
}

/// The nodes are correct, and their messages promise more than they have stored.
#[test]
fn wrong_promise_is_found() {
    let message = |envelope: &mut Envelope<Registers>| {
        if let Message::Appended(appended) = &mut envelope.message {
            appended.matched = Index(9);
        }
    };
    let planted = Planted {
        message,
        ..Planted::default()
    };
    let (rule, _) = broken(bounds(2), planted);
    assert!(
        rule.starts_with("a promise must be on disk before it is sent: node 2 sends Appended"),
        "{rule}"
    );
}

fn does(node: u64, deed: Deed) -> Action {
    let (node, dies) = (NodeId(node), false);
    Action { node, deed, dies }
}

/// Worlds that differ in the names of nodes have the same fingerprint.
#[test]
fn names_make_no_difference() {
    let bounds = Bounds {
        crashes: 2,
        terms: 2,
        expiries: 3,
        in_flight: 6,
        ..bounds(3)
    };
    let tables = Tables::new(bounds, Clocks::Folded, Planted::default());
    let end = |first: u64, second: u64| {
        let mut world = World::new(&tables).expect("nodes can start");
        for action in [
            does(first, Deed::Expire),
            does(second, Deed::Crash),
            does(second, Deed::Expire),
            does(first, Deed::Ask(Request::Write)),
        ] {
            let (steps, broken) = world.steps(&tables, |_| {});
            assert!(broken.is_none());
            if let Some(step) = steps.into_iter().rfind(|step| step.action == action) {
                world = step.next;
            }
        }
        Namer::default().fingerprint(&tables, &world)
    };
    let one = end(1, 2);
    for (first, second) in [(1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
        assert_eq!(end(first, second), one, "{first} {second}");
    }
    assert_ne!(end(1, 1), one);
}

/// A node that a change removes, or adds, changes names with no other.
#[test]
fn only_nodes_of_one_kind_change_names() {
    let bounds = Bounds {
        add: 1,
        remove: 1,
        changes: 1,
        ..bounds(3)
    };
    let tables = Tables::new(bounds, Clocks::Folded, Planted::default());
    let of_first = |id| {
        let world = World::new(&tables).expect("nodes can start");
        let (steps, _) = world.steps(&tables, |_| {});
        let action = does(id, Deed::Expire);
        let step = steps.into_iter().find(|step| step.action == action);
        let next = step.expect("any member may ask for votes").next;
        Namer::default().fingerprint(&tables, &next)
    };
    assert_eq!(of_first(1), of_first(2));
    assert_ne!(of_first(1), of_first(3));
}

/// Every way through worlds is a valid golden script.
#[test]
fn every_way_is_a_story() {
    for seed in 0..40 {
        let mut rng = Rng::seeded(seed);
        let bounds = Bounds {
            terms: 3,
            expiries: 8,
            commands: 3,
            reads: 2,
            crashes: 3,
            copies: 2,
            in_flight: 8,
            snapshot_entries: (seed % 2 == 1).then_some(2),
            add: u8::from(seed % 4 > 1),
            remove: u8::from(seed % 5 > 2),
            changes: 3,
            retries: 2,
            ..bounds(3)
        };
        let tables = Tables::new(bounds, Clocks::True, Planted::default());
        let mut world = World::new(&tables).expect("nodes can start");
        let mut way = Vec::new();
        for _ in 0..60 {
            let (mut steps, broken) = world.steps(&tables, |_| {});
            assert!(broken.is_none());
            let Some(taken) = (steps.len() as u64).checked_sub(1) else {
                break;
            };
            let taken = rng.range(0..=taken) as usize;
            world = steps.swap_remove(taken).next;
            assert_eq!(world.pack().unpack(tables.bounds().all()), world);
            way.push(taken as u32);
        }
        let story = story::write_with_clocks(&tables, &way, None, "No rule is broken.");
        if let Err(error) = golden::run(&story) {
            panic!("seed {seed}: {error}\n{story}");
        }
    }
}
