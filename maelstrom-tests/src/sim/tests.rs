//! Checks of the simulator, each in a world that it must reject.

use std::collections::BTreeSet;
use std::mem;

use json::value;
use raft::kv::Text;
use raft_core::{Envelope, Input, Message, NodeId, Reply, Response, Term, Ticket, VoteReply};

use super::agenda::Happening;
use super::machine::Numbered;
use super::network::Letter;
use super::options::Options;
use super::processes::End;
use super::trace::Tape;
use super::world::{Phase, World};
use crate::replica::faulty_disk::FaultyDisk;
use crate::rules::{Broken, Rules};

const ONE: NodeId = NodeId(1);

/// A short world without faults.
fn world() -> World {
    let options = Options {
        chaos: 3000,
        ..Options::CALM
    };
    World::new(1, options, Tape::new(0)).unwrap()
}

/// A world in which node 1 has stored something and is down.
fn world_without_one() -> World {
    let mut world = world();
    world.run().unwrap();
    world.die(ONE, End::Process).unwrap();
    world
}

/// A world whose logs begin after the last entry, and a node that is down and needs a snapshot.
fn world_with_a_lagging_node() -> (World, NodeId) {
    let options = Options {
        chaos: 3000,
        snapshot_entries: 1,
        trailing_entries: 0,
        retained_entries: 1,
        ..Options::CALM
    };
    let mut world = World::new(1, options, Tape::new(0)).unwrap();
    world.run().unwrap();
    let (leader, _) = world.leaders()[0];
    let down = if leader == ONE { NodeId(2) } else { ONE };
    world.die(down, End::Process).unwrap();
    for _ in 0..3 {
        let request = world.clients.last_request(leader, true, world.agenda.now);
        world.ask(leader, request.unwrap()).unwrap();
        let done = |world: &World| {
            let process = world.process(leader).unwrap();
            process.status.requests_open == 0 && process.work.is_none()
        };
        world.expect("write and compact", done).unwrap();
    }
    (world, down)
}

/// Node 1's client asks for a value that no client wrote.
fn read_of_77(world: &mut World) -> Reply<super::machine::Store> {
    let request = world.clients.last_request(ONE, false, 0).unwrap();
    Reply {
        ticket: request.ticket,
        response: Response::Answered(Some(Text::from(value!(77)))),
    }
}

#[track_caller]
fn assert_broken<T: std::fmt::Debug>(result: Result<T, Broken>, rule: &str) {
    let Broken(text) = result.expect_err("the rule is broken");
    assert!(text.starts_with(rule), "{text}");
}

#[test]
fn calm_world_breaks_no_rule() {
    world().run().unwrap();
}

#[test]
fn history_that_is_not_linearizable_is_rejected() {
    let mut world = world();
    let reply = read_of_77(&mut world);
    world.clients.answered(ONE, &reply, 1).unwrap();
    assert_broken(
        world.run(),
        "the clients' history must be linearizable:\nKey \"end\" is not linearizable.",
    );
}

#[test]
fn second_answer_to_a_request_is_rejected() {
    let mut world = world();
    let reply = read_of_77(&mut world);
    let rule = "every request must have one answer: node 2 answers Ticket(1) again or unasked";
    assert_broken(world.clients.answered(NodeId(2), &reply, 1), rule);
    let rule = "every request must have one answer: node 1 answers Ticket(1) again or unasked";
    assert_broken(world.clients.answered(ONE, &reply, 2), rule);
}

#[test]
fn second_request_of_a_waiting_client_is_rejected() {
    let mut world = world();
    world.clients.last_request(ONE, true, 0).unwrap();
    assert_broken(
        world.clients.last_request(ONE, true, 0),
        "the history must be consistent",
    );
}

/// Node 1 enters another command than the one that its client sent.
#[test]
fn response_to_another_command_is_rejected() {
    let mut world = world();
    world.run().unwrap();
    let request = world.clients.last_request(ONE, true, world.agenda.now);
    let mut request = request.unwrap();
    let Some(Numbered::Plain(command)) = &mut request.command else {
        panic!("a write");
    };
    command.id = u64::MAX;
    let answered = world.ask(ONE, request);
    let answered = answered.and_then(|()| world.expect("answer", |_| false));
    assert_broken(answered, "a response must be the command's outcome");
}

#[test]
fn replaced_leader_in_a_calm_world_is_rejected() {
    let mut world = world();
    for to in world.ids() {
        let letter = Letter::write(Envelope {
            from: NodeId(to.0 % 3 + 1),
            to,
            term: Term(9),
            message: Message::VoteReply(VoteReply { granted: false }),
        });
        world.agenda.schedule(60_000, Happening::Deliver(letter));
    }
    assert_broken(world.run(), "a cluster without faults must keep its leader");
}

/// The rules have forgotten which entries are committed.
#[test]
fn snapshot_of_uncommitted_entries_is_rejected() {
    let rule = "a snapshot must hold only committed entries";
    let (mut world, lagging) = world_with_a_lagging_node();
    let (leader, _) = world.leaders()[0];
    let works = |id| move |world: &World| world.process(id).is_some_and(|p| p.work.is_some());
    let request = world.clients.last_request(leader, true, world.agenda.now);
    world.ask(leader, request.unwrap()).unwrap();
    world.expect("begin a snapshot", works(leader)).unwrap();
    let known = mem::take(&mut world.rules);
    assert_broken(world.begin_work(leader), rule);

    world.rules = known;
    world.start(lagging).unwrap();
    world.expect("begin to install", works(lagging)).unwrap();
    world.rules = Rules::default();
    let process = world.process(lagging).unwrap().incarnation;
    assert_broken(world.work(lagging, process), rule);
}

#[test]
fn refused_request_in_a_calm_world_is_rejected() {
    let mut world = world();
    world.rare.refused = 1;
    assert_broken(world.run(), "without faults every request must be served");
}

#[test]
fn message_before_its_promise_is_stored_is_rejected() {
    let mut world = world();
    let envelope = Envelope {
        from: ONE,
        to: NodeId(2),
        term: Term(5),
        message: Message::VoteReply(VoteReply { granted: true }),
    };
    assert_broken(world.send(envelope), "a promise must be on disk");
}

#[test]
fn message_that_a_node_does_not_understand_is_rejected() {
    let mut world = world();
    world.start(ONE).unwrap();
    let envelope = Envelope {
        from: NodeId(9),
        to: ONE,
        term: Term(5),
        message: Message::VoteReply(VoteReply { granted: false }),
    };
    assert_broken(
        world.step(ONE, Input::Receive(envelope)),
        "nodes must understand each other: node 1 dropped 1 messages",
    );
}

#[test]
fn recovery_that_takes_too_long_is_rejected() {
    let mut world = world();
    world.phase = Phase::Healed;
    assert_broken(
        world.expect("do the impossible", |_| false),
        "without faults a quorum must do the impossible within",
    );
}

#[test]
fn start_that_finds_less_than_was_stored_is_rejected() {
    let mut world = world_without_one();
    world.start(ONE).unwrap();
    world.die(ONE, End::Process).unwrap();
    world.member(ONE).node.disk.disk = FaultyDisk::new(1);
    assert_broken(
        world.start(ONE),
        "a start must find what was stored: node 1",
    );
}

#[test]
fn start_without_the_newest_snapshot_is_rejected() {
    let (mut world, down) = world_with_a_lagging_node();
    world.member(down).node.disk.disk = FaultyDisk::new(1);
    assert_broken(
        world.start(down),
        "a start must find the newest stored snapshot: node",
    );
}

/// A bit of the leader's snapshot is flipped. Only a world that flipped it itself excuses that.
#[test]
fn damaged_snapshot_of_a_leader_is_rejected() {
    let (mut world, lagging) = world_with_a_lagging_node();
    let (leader, _) = world.leaders()[0];
    let disk = &world.member(leader).node.disk.disk;
    let is_snapshot = |(name, _): &(String, u64)| name.starts_with("snapshot-");
    let (name, length) = disk.files().into_iter().rfind(is_snapshot).unwrap();
    disk.flip(&name, 8 * (length / 2));
    let installed = world.start(lagging);
    let installed = installed.and_then(|()| world.expect("install", |_| false));
    let rule = format!("a snapshot must be read as it was stored: node {leader}");
    assert_broken(installed, &rule);
}

/// The head of each file is flipped. Only a world that flipped bits itself excuses that.
#[test]
fn unexplained_damage_is_rejected() {
    let damaged = || {
        let mut world = world_without_one();
        let disk = &world.member(ONE).node.disk.disk;
        for (name, _) in disk.files().into_iter().filter(|(_, length)| *length > 20) {
            disk.flip(&name, 8 * 20);
        }
        world
    };
    let rule = "storage must work while its disk works: node 1 stopped";
    assert_broken(damaged().start(ONE), rule);
    let mut excused = damaged();
    excused.member(ONE).disk.has_flipped = true;
    excused.start(ONE).unwrap();
    assert!(excused.member(ONE).is_gone);
}

/// A client that waits for a node that does not exist takes the only place for a request.
#[test]
fn node_that_serves_nothing_is_rejected() {
    let options = Options {
        requests: 1,
        change_deadline: 1000,
        ..Options::CALM
    };
    let mut world = World::new(1, options, Tape::new(0)).unwrap();
    for id in world.ids() {
        world.start(id).unwrap();
    }
    world.elect().unwrap();
    world.expect("agree", World::agrees).unwrap();
    world.heal();
    let (leader, _) = world.leaders()[0];
    let input = Input::ChangeMembers {
        ticket: Ticket(u64::MAX),
        add: vec!["n4".into()],
        remove: BTreeSet::new(),
    };
    world.step(leader, input).unwrap();
    assert_broken(
        world.serve_all(),
        "without faults every request must be served",
    );
}
