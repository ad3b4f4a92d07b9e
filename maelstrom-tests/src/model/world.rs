//! A small world: a few nodes and their disks, the messages between them, what clients asked and
//! were told, and everything that may happen next.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use raft_core::{
    Config, Envelope, Incarnation, Input, Limits, Membership, Message, Names, NodeId, Released,
    Rename, Replica, Restored, RoleName, invariant::Violation,
};

use super::{clients::Clients, mix::Mix, options::Bounds};
use crate::cluster::{
    disk::Disk,
    machine::{Change, Command, Key, Registers},
};
use crate::rules::{Broken, CommandId, Rules};

/// The one register that clients ask for.
pub(super) const KEY: Key = Key('x');

/// How many ticks a node may take until one of its timers shows.
const TICKS_MAX: usize = 80;

/// A heartbeat, the shortest and the longest election timeout, in ticks. How long they are means
/// little here, since any clock may run while the others stand still; but a follower can lose touch
/// with its leader before it wants to be elected itself.
pub(super) const TIMES: (u32, u32, u32) = (1, 2, 8);

/// All that there is.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) nodes: Vec<Arc<Node>>,
    /// Messages on their way, in the order in which they were sent. No two are equal.
    pub(super) flight: Vec<Arc<Envelope<Registers>>>,
    pub(super) clients: Clients,
    /// Who lived each life, the first being life 1.
    pub(super) lives: Vec<NodeId>,
    pub(super) expiries_left: u8,
    pub(super) crashes_left: u8,
    pub(super) copies_left: u8,
    rules: Arc<Rules<Registers>>,
}

/// A node: what it has stored, and its present life.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) disk: Disk,
    pub(super) life: Option<Life>,
}

/// From a start of the process to its end.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    pub(super) replica: Replica<Registers>,
}

/// Something that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A message arrives; it is known by its place among those on their way.
    Deliver(usize, Fate),
    /// A message arrives, and will arrive once more.
    Copy(usize),
    /// A message is lost.
    Drop(usize),
    /// A node's clock runs until the node does something about it.
    Wait(NodeId, Fate),
    /// A node's clock runs until the node wants to be elected, or has led without a quorum for too
    /// long. What it says meanwhile is lost.
    Expire(NodeId, Fate),
    /// A client writes to a node.
    Write(NodeId, Fate),
    /// A client reads from a node.
    Read(NodeId),
    /// A process dies.
    Crash(NodeId),
    /// It starts again.
    Start(NodeId),
}

/// What becomes of a process that has something to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stores it.
    Lives,
    /// It dies before, and after it has said what it may say before.
    Dies,
}

/// What came of an action that can happen.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// For each tick, the messages that were lost as soon as they were sent. Without ticks, there is
    /// one such list.
    pub(super) lost: Vec<Vec<Arc<Envelope<Registers>>>>,
}

/// Why an action is no step of a search.
#[derive(Debug)]
pub(super) enum Stop {
    /// It cannot happen, or comes to the same as another one.
    Idle,
    /// It breaks a rule.
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Violation> for Stop {
    fn from(Violation(rule): Violation) -> Self {
        Self::Broken(Broken(rule))
    }
}

impl World {
    /// New nodes that have not done anything.
    pub(super) fn new(bounds: &Bounds) -> Result<Self, Stop> {
        let mut world = Self {
            nodes: Vec::new(),
            flight: Vec::new(),
            clients: Clients::default(),
            lives: Vec::new(),
            expiries_left: bounds.expiries,
            crashes_left: bounds.crashes,
            copies_left: bounds.copies,
            rules: Arc::default(),
        };
        for id in (1..=u64::from(bounds.nodes)).map(NodeId) {
            let (disk, life) = (Disk::default(), None);
            world.nodes.push(Arc::new(Node { disk, life }));
            world.start(id, bounds)?;
        }
        Ok(world)
    }

    /// Everything that may happen, and much that turns out not to.
    pub(super) fn actions(&self, bounds: &Bounds) -> Vec<Action> {
        let mut actions = Vec::new();
        let fates: &[Fate] = if self.crashes_left > 0 {
            &[Fate::Lives, Fate::Dies]
        } else {
            &[Fate::Lives]
        };
        for (at, envelope) in self.flight.iter().enumerate() {
            if self.node(envelope.to).life.is_none() {
                // It would be lost. It may as well stay until the node is up again.
                continue;
            }
            actions.extend(fates.iter().map(|fate| Action::Deliver(at, *fate)));
            if self.copies_left > 0 {
                actions.push(Action::Copy(at));
            }
        }
        // What never arrives is as good as lost, unless it takes the room of others.
        if self.flight.len() + self.nodes.len() > usize::from(bounds.in_flight) {
            actions.extend((0..self.flight.len()).map(Action::Drop));
        }
        for (id, node) in self.ids().zip(&self.nodes) {
            let Some(life) = &node.life else {
                actions.push(Action::Start(id));
                continue;
            };
            let status = life.replica.status();
            for fate in fates {
                actions.push(Action::Wait(id, *fate));
                let may_ask =
                    status.role == RoleName::Leader || status.ballot.term().0 < bounds.terms.into();
                if may_ask && self.expiries_left > 0 {
                    actions.push(Action::Expire(id, *fate));
                }
                if self.clients.writes < bounds.commands {
                    actions.push(Action::Write(id, *fate));
                }
            }
            if self.clients.reads < bounds.reads {
                actions.push(Action::Read(id));
            }
            if self.crashes_left > 0 {
                actions.push(Action::Crash(id));
            }
        }
        actions
    }

    /// Lets something happen.
    pub(super) fn act(&mut self, action: Action, bounds: &Bounds) -> Result<Course, Stop> {
        let mut course = Course::default();
        let crashes = self.crashes_left;
        let dies = action.fate() == Some(Fate::Dies);
        match action {
            Action::Deliver(at, fate) => {
                let envelope = self.flight.remove(at);
                let input = Input::Receive((*envelope).clone());
                course.lost = vec![self.happen(envelope.to, input, fate, bounds)?];
            }
            Action::Copy(at) => {
                self.copies_left -= 1;
                let envelope = self.flight.remove(at);
                self.flight.push(envelope.clone());
                let input = Input::Receive((*envelope).clone());
                course.lost = vec![self.happen(envelope.to, input, Fate::Lives, bounds)?];
            }
            Action::Drop(at) => {
                self.flight.remove(at);
            }
            Action::Wait(id, fate) => {
                let (expiries, before) = (self.expiries(id), self.observable(id));
                let flight = self.flight.len();
                while self.observable(id) == before && self.flight.len() == flight {
                    course.tick(self.happen(id, Input::Tick, fate, bounds)?)?;
                }
                if self.expiries(id) != expiries {
                    return Err(Stop::Idle);
                }
            }
            Action::Expire(id, fate) => {
                self.expiries_left -= 1;
                let expiries = self.expiries(id);
                while self.node(id).life.is_some() && self.expiries(id) == expiries {
                    let flight = self.flight.len();
                    let mut lost = self.happen(id, Input::Tick, fate, bounds)?;
                    if self.expiries(id) == expiries {
                        lost.splice(0..0, self.flight.drain(flight..));
                    }
                    course.tick(lost)?;
                }
            }
            Action::Write(id, fate) => {
                let ticket = self.clients.write();
                let number = u8::try_from(ticket.0).expect("few requests");
                let command = Command {
                    id: CommandId(ticket.0),
                    key: KEY,
                    change: Change::Write(number),
                };
                let input = Input::Write { ticket, command };
                course.lost = vec![self.happen(id, input, fate, bounds)?];
            }
            Action::Read(id) => {
                let ticket = self.clients.read();
                let input = Input::Read { ticket, query: KEY };
                course.lost = vec![self.happen(id, input, Fate::Lives, bounds)?];
            }
            Action::Crash(id) => self.crash(id, bounds),
            Action::Start(id) => course.lost = vec![self.start(id, bounds)?],
        }
        if dies && self.crashes_left == crashes {
            // There was nothing to store.
            return Err(Stop::Idle);
        }
        Ok(course)
    }

    // ---- Nodes.

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.nodes.len() as u64).map(NodeId)
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[slot(id)]
    }

    /// A living node's state as a search sees it.
    fn observable(&self, id: NodeId) -> Option<u64> {
        let life = self.node(id).life.as_ref();
        life.map(|life| Mix::of(&life.replica))
    }

    /// How often a node's patience has ended in this life.
    fn expiries(&self, id: NodeId) -> Option<u64> {
        let life = self.node(id).life.as_ref()?;
        let counters = life.replica.status().counters;
        Some(counters.pre_elections + counters.quorum_lost)
    }

    fn start(
        &mut self,
        id: NodeId,
        bounds: &Bounds,
    ) -> Result<Vec<Arc<Envelope<Registers>>>, Stop> {
        self.lives.push(id);
        let life = self.lives.len() as u64;
        let incarnation = Incarnation(life);
        let node = Arc::make_mut(&mut self.nodes[slot(id)]);
        let replica = Replica::restore(Restored {
            id,
            membership: Membership::of((1..=u64::from(bounds.nodes)).map(NodeId)),
            config: config(),
            ballot: node.disk.ledger().ballot(),
            snapshot: None,
            machine: Registers::default(),
            entries: node.disk.ledger().entries().to_vec(),
            incarnation,
            seed: life,
        });
        node.life = Some(Life {
            incarnation,
            replica,
        });
        self.settle(id, Fate::Lives, bounds)
    }

    fn crash(&mut self, id: NodeId, bounds: &Bounds) {
        self.crashes_left -= 1;
        let node = Arc::make_mut(&mut self.nodes[slot(id)]);
        node.life = None;
        if bounds.forgetful {
            node.disk = Disk::default();
        }
        if self.nodes.len() == 1 {
            let disk = self.nodes[slot(id)].disk.ledger();
            Arc::make_mut(&mut self.rules).lone_voter_died(id, disk);
        }
    }

    /// Something happens to a node, and all that it leads to. Returns the messages that were lost at
    /// once.
    fn happen(
        &mut self,
        id: NodeId,
        input: Input<Registers>,
        fate: Fate,
        bounds: &Bounds,
    ) -> Result<Vec<Arc<Envelope<Registers>>>, Stop> {
        self.step(id, input)?;
        self.settle(id, fate, bounds)
    }

    /// Takes a node's outputs and does what they ask for, until there are none.
    fn settle(
        &mut self,
        id: NodeId,
        fate: Fate,
        bounds: &Bounds,
    ) -> Result<Vec<Arc<Envelope<Registers>>>, Stop> {
        let mut lost = Vec::new();
        loop {
            let life = self.life(id).expect("only a living node has an output");
            let before = life.replica.status();
            let mut output = life.replica.output();
            life.replica.check_since(&before)?;
            if output.is_empty() {
                return Ok(lost);
            }
            self.look(id)?;
            let disk = &mut Arc::make_mut(&mut self.nodes[slot(id)]).disk;
            let Released {
                messages,
                replies,
                task,
            } = output.release(disk);
            assert!(task.is_none(), "no snapshot is due in so small a world");
            for reply in replies {
                if self.clients.is_write(reply.ticket) {
                    let command = CommandId(reply.ticket.0);
                    Arc::make_mut(&mut self.rules).answered(command, &reply.response)?;
                }
                self.clients.answered(&reply)?;
            }
            self.send(messages, &mut lost, bounds)?;
            let stores = !output.records().is_empty();
            if stores && fate == Fate::Dies {
                self.crash(id, bounds);
                return Ok(lost);
            }
            let disk = &mut Arc::make_mut(&mut self.nodes[slot(id)]).disk;
            let (messages, synced) = match output.persist(disk) {
                Ok(durable) => durable.finish(),
                Err(never) => match never {},
            };
            self.send(messages, &mut lost, bounds)?;
            if !stores {
                // As in the node's own host: it could only repeat what the replica knows.
                return Ok(lost);
            }
            self.step(id, Input::Synced(synced))?;
        }
    }

    fn step(&mut self, id: NodeId, input: Input<Registers>) -> Result<(), Stop> {
        let life = self.life(id).ok_or(Stop::Idle)?;
        let before = life.replica.status();
        life.replica.step(input);
        life.replica.check_since(&before)?;
        self.look(id)
    }

    fn life(&mut self, id: NodeId) -> Option<&mut Life> {
        Arc::make_mut(&mut self.nodes[slot(id)]).life.as_mut()
    }

    /// Checks the rules of the whole cluster.
    fn look(&mut self, id: NodeId) -> Result<(), Stop> {
        let Some(life) = &self.nodes[slot(id)].life else {
            return Ok(());
        };
        let disks = self.nodes.iter().map(|node| node.disk.ledger());
        let rules = Arc::make_mut(&mut self.rules);
        rules.observe(id, life.incarnation, &life.replica, disks)?;
        Ok(())
    }

    // ---- Messages.

    fn send(
        &mut self,
        messages: Vec<Envelope<Registers>>,
        lost: &mut Vec<Arc<Envelope<Registers>>>,
        bounds: &Bounds,
    ) -> Result<(), Stop> {
        for envelope in messages {
            let disk = self.nodes[slot(envelope.from)].disk.ledger();
            self.rules.sends(&envelope, disk)?;
            let envelope = Arc::new(envelope);
            if self.flight.len() < bounds.in_flight.into() && !self.flight.contains(&envelope) {
                self.flight.push(envelope);
            } else {
                lost.push(envelope);
            }
        }
        Ok(())
    }

    /// The place of a message that will have no effect, whenever it arrives, if there is one.
    pub(super) fn futile(&self) -> Option<usize> {
        self.flight.iter().position(|envelope| {
            // No term falls, not even in a restart.
            let term = self.node(envelope.to).disk.ledger().ballot().term();
            match tone(&envelope.message) {
                Tone::Request => false,
                Tone::Notice => envelope.term < term,
                Tone::Answer => envelope.term < term || self.is_late(envelope),
            }
        })
    }

    /// Whether an answer has no effect now. It then has none later, since no question is put twice
    /// under one name, and what is known already stays known.
    fn is_late(&self, envelope: &Envelope<Registers>) -> bool {
        let Some(life) = &self.node(envelope.to).life else {
            // It will be answered by another life, if at all.
            return envelope.term <= self.node(envelope.to).disk.ledger().ballot().term();
        };
        let mut replica = life.replica.clone();
        replica.step(Input::Receive(envelope.clone()));
        let output = replica.output();
        output.is_empty() && Mix::of(&replica) == Mix::of(&life.replica)
    }

    /// Forgets messages that will have no effect.
    pub(super) fn tidy(&mut self) {
        while let Some(at) = self.futile() {
            self.flight.remove(at);
        }
    }
}

impl Rename for World {
    fn rename(&mut self, names: &mut dyn Names) {
        for node in &mut self.nodes {
            let Node { disk, life } = Arc::make_mut(node);
            disk.rename(names);
            if let Some(life) = life {
                life.replica.rename(names);
            }
        }
        for envelope in &mut self.flight {
            Arc::make_mut(envelope).rename(names);
        }
        Arc::make_mut(&mut self.rules).rename(names);
    }
}

impl World {
    /// Hashes it with its nodes in this order.
    pub(super) fn hash_with<'a, H: Hasher>(
        &self,
        nodes: impl Iterator<Item = &'a Node>,
        state: &mut H,
    ) {
        for Node { disk, life } in nodes {
            match life {
                // What it holds is what it has stored: no output waits.
                Some(life) => life.replica.hash(state),
                None => (u64::MAX, disk).hash(state),
            }
        }
        let mut flight: Vec<u64> = self.flight.iter().map(Mix::of).collect();
        flight.sort_unstable();
        (flight, self.expiries_left).hash(state);
        (self.crashes_left, self.copies_left).hash(state);
        self.clients.hash(state);
        self.rules.hash(state);
    }
}

impl Action {
    fn fate(&self) -> Option<Fate> {
        match self {
            Self::Deliver(_, fate)
            | Self::Wait(_, fate)
            | Self::Expire(_, fate)
            | Self::Write(_, fate) => Some(*fate),
            Self::Copy(_) | Self::Drop(_) | Self::Read(_) | Self::Crash(_) | Self::Start(_) => None,
        }
    }
}

impl Course {
    fn tick(&mut self, lost: Vec<Arc<Envelope<Registers>>>) -> Result<(), Stop> {
        self.lost.push(lost);
        if self.lost.len() < TICKS_MAX {
            Ok(())
        } else {
            Err(Stop::Idle)
        }
    }
}

/// What a message can bring about if it is of a lower term, or late.
enum Tone {
    /// It is answered, and be it with a higher term.
    Request,
    /// If it is of a lower term, it is dropped, by the term rule.
    Notice,
    /// The same; and it speaks of a question that may be answered already, or forgotten.
    Answer,
}

fn tone(message: &Message<Registers>) -> Tone {
    match message {
        Message::PreVote { .. }
        | Message::Vote { .. }
        | Message::Append { .. }
        | Message::SnapshotChunk { .. }
        | Message::Round { .. } => Tone::Request,
        // Whether a rejection is heeded depends on the time.
        Message::AppendRejected { .. }
        | Message::ChunkReceived { .. }
        | Message::ReadIndex { .. }
        | Message::Forward { .. }
        | Message::Outdated => Tone::Notice,
        Message::PreVoteReply { .. }
        | Message::VoteReply { .. }
        | Message::Appended { .. }
        | Message::RoundReply { .. }
        | Message::ReadIndexReply { .. }
        | Message::ForwardReply { .. } => Tone::Answer,
    }
}

fn slot(id: NodeId) -> usize {
    usize::try_from(id.0).expect("few nodes") - 1
}

fn config() -> Config {
    let (heartbeat, shortest_election, longest_election) = TIMES;
    Config {
        heartbeat,
        shortest_election,
        longest_election,
        limits: Limits::default(),
    }
}
