//! A small world: a few nodes, their messages, the clients' requests and answers, and everything
//! that may happen next.

use std::mem;

use raft_core::{Class, Envelope, Incarnation, Message, NodeId, RoleName, Term, Ticket};

use super::clients::{Clients, Request};
use super::mix::Mix;
use super::named::Named;
use super::node::{
    Clocks, Effect, Node, Nodes, Observed, Planted, TRANSFER, What, incarnation, process,
};
use super::options::Bounds;
use super::table::{Ref, Table};
use crate::replica::machine::Registers;
use crate::replica::node::Disk as _;
use crate::rules::{Broken, CommandId, Rules};

/// A world, by the numbers of its parts in [`Tables`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct World {
    /// In [`Nodes::states`].
    pub(super) nodes: Vec<Ref>,
    /// Messages under way, in [`Nodes::messages`], in the order in which they were sent. No two are
    /// equal.
    pub(super) flight: Vec<Ref>,
    pub(super) clients: Ref,
    pub(super) rules: Ref,
    pub(super) left: Left,
}

/// How often each may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) expiries: u8,
    pub(super) crashes: u8,
    pub(super) copies: u8,
    pub(super) transfers: u8,
    pub(super) changes: u8,
    pub(super) retries: u8,
}

/// The parts of worlds.
pub(super) struct Tables {
    pub(super) nodes: Nodes,
    pub(super) clients: Table<Clients>,
    pub(super) rules: Table<Named<Rules<Registers>>>,
    /// The clients after one more request.
    asked: Table<Ref>,
    /// The rules and clients after they saw an effect.
    verdicts: Table<Verdict>,
}

type Verdict = Result<(Ref, Ref), Broken>;

/// An action that may be possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) node: NodeId,
    pub(super) deed: Deed,
    /// The node's process dies before it stores its output, after it has sent what may leave
    /// earlier, and starts again.
    pub(super) dies: bool,
}

/// What a node does, or what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The message at this index of those under way arrives.
    Deliver(usize),
    /// The same, and it stays under way.
    Copy(usize),
    /// Its clock runs until it reacts.
    Wait,
    /// Its clock runs until it starts an election, steps down without a quorum, or ends a transfer.
    /// Its messages in the meantime are lost.
    Expire,
    /// A client sends it a request.
    Ask(Request),
    /// A client asks a leader to hand over to another node.
    Transfer(NodeId),
    /// A client asks a leader for other members.
    Change,
    /// A step of its work on a snapshot is done.
    Work,
    /// Its process dies, and a new one starts.
    Crash,
}

/// One step from a world.
pub(super) struct Step<'a> {
    pub(super) action: Action,
    pub(super) effect: &'a Effect,
    /// The world after it.
    pub(super) next: World,
}

impl Tables {
    pub(super) fn new(bounds: Bounds, clocks: Clocks, planted: Planted) -> Self {
        Self {
            nodes: Nodes::new(bounds, clocks, planted),
            clients: Table::default(),
            rules: Table::default(),
            asked: Table::default(),
            verdicts: Table::default(),
        }
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.nodes.bounds
    }

    fn node(&self, at: Ref) -> &Node {
        &self.nodes.states[at].thing
    }

    pub(super) fn message(&self, at: Ref) -> &Envelope<Registers> {
        &self.nodes.messages[at].thing
    }

    fn keep_clients(&self, clients: Clients) -> Ref {
        self.clients.keep(Mix::of(&clients), || clients)
    }

    fn keep_rules(&self, mut rules: Rules<Registers>) -> Ref {
        // Fewer different rules.
        rules.forget_nodes();
        let fingerprint = Mix::of(&rules);
        self.rules.keep(fingerprint, || Named::new(rules, 0))
    }
}

impl World {
    /// New nodes.
    ///
    /// # Errors
    /// If their start breaks a rule.
    pub(super) fn new(tables: &Tables) -> Result<Self, Broken> {
        let bounds = tables.bounds();
        let ids: Vec<NodeId> = (1..=u64::from(bounds.all())).map(NodeId).collect();
        let effects: Vec<Effect> = ids.iter().map(|id| tables.nodes.first(*id)).collect();
        let mut world = Self {
            nodes: effects.iter().map(|effect| effect.after).collect(),
            flight: Vec::new(),
            clients: tables.keep_clients(Clients::default()),
            rules: tables.keep_rules(Rules::default()),
            left: Left {
                expiries: bounds.expiries,
                crashes: bounds.crashes,
                copies: bounds.copies,
                transfers: bounds.transfers,
                changes: bounds.changes,
                retries: bounds.retries,
            },
        };
        for (at, effect) in effects.iter().enumerate() {
            (world.rules, world.clients) = world.judge(at, effect, tables)?;
        }
        Ok(world)
    }

    /// Every possible step, always in the same order, up to the first action that breaks a rule.
    /// Calls `begin` before each action.
    pub(super) fn steps<'a>(
        &self,
        tables: &'a Tables,
        begin: impl Fn(Action),
    ) -> (Vec<Step<'a>>, Option<(Action, Broken)>) {
        let mut steps = Vec::new();
        for action in self.actions(tables) {
            begin(action);
            let (effect, mut next) = match self.act(action, tables) {
                Ok(Some(acted)) => acted,
                Ok(None) => continue,
                Err(broken) => return (steps, Some((action, broken))),
            };
            let sent = effect.sent.last().expect("there is one list at least");
            let before = next.flight.len();
            for message in sent {
                if !next.flight.contains(message) {
                    next.flight.push(*message);
                }
            }
            let says_more = next.flight.len() > before;
            next.tidy(tables);
            if !says_more && next.is_like(self) {
                // Now less may happen than before, and all of it could have happened then too:
                // messages may be late for as long as one likes.
                continue;
            }
            let room = usize::from(tables.bounds().in_flight);
            next.lose_all_but(room, &mut |next| {
                steps.push(Step {
                    action,
                    effect,
                    next,
                });
            });
        }
        (steps, None)
    }

    /// All actions, including some that turn out to be impossible.
    fn actions(&self, tables: &Tables) -> Vec<Action> {
        let (bounds, left) = (tables.bounds(), self.left);
        let clients = &tables.clients[self.clients];
        let mut actions = Vec::new();
        let mut add = |node, dies, deeds: &[(Deed, bool)]| {
            for (deed, _) in deeds.iter().filter(|(_, is_possible)| *is_possible) {
                let deed = *deed;
                actions.push(Action { node, deed, dies });
            }
        };
        let fates = [false, true].into_iter();
        let fates = fates.filter(|dies| !dies || left.crashes > 0);
        for (at, message) in self.flight.iter().enumerate() {
            let to = tables.message(*message).to;
            for dies in fates.clone() {
                add(to, dies, &[(Deed::Deliver(at), true)]);
            }
            add(to, false, &[(Deed::Copy(at), left.copies > 0)]);
        }
        let may_retry = left.retries > 0 && clients.may_retry().is_some();
        let ids = || (1..=self.nodes.len() as u64).map(NodeId);
        for id in ids() {
            for dies in fates.clone() {
                let deeds = [
                    (Deed::Wait, true),
                    (Deed::Expire, left.expiries > 0),
                    (
                        Deed::Ask(Request::Write),
                        clients.writes() < bounds.commands,
                    ),
                    (Deed::Ask(Request::Retry), may_retry),
                    (Deed::Change, left.changes > 0),
                    (Deed::Work, bounds.snapshot_entries.is_some()),
                ];
                add(id, dies, &deeds);
            }
            let may_read = clients.reads() < bounds.reads;
            add(
                id,
                false,
                &[
                    (Deed::Ask(Request::Read), may_read),
                    (Deed::Crash, left.crashes > 0),
                ],
            );
            for to in ids().filter(|to| *to != id) {
                add(id, false, &[(Deed::Transfer(to), left.transfers > 0)]);
            }
        }
        actions
    }

    /// The effect of an action, and the world after it without the messages sent. Nothing if it is
    /// impossible, or has the same effect as another one.
    fn act<'a>(
        &self,
        action: Action,
        tables: &'a Tables,
    ) -> Result<Option<(&'a Effect, Self)>, Broken> {
        let mut next = self.clone();
        let id = action.node;
        let what = match action.deed {
            Deed::Deliver(at) => {
                let message = next.flight.remove(at);
                if self.repeats(message, tables) {
                    let Some(left) = next.left.copies.checked_sub(1) else {
                        return Ok(None);
                    };
                    next.left.copies = left;
                }
                What::Receive(message)
            }
            Deed::Copy(at) => {
                next.left.copies -= 1;
                let message = next.flight.remove(at);
                next.flight.push(message);
                What::Receive(message)
            }
            Deed::Wait => What::Wait,
            Deed::Expire => {
                next.left.expiries -= 1;
                What::Expire
            }
            Deed::Ask(request) => {
                next.left.retries -= u8::from(request == Request::Retry);
                let ticket = next.ask(tables, request);
                match request {
                    Request::Write | Request::Retry => What::Write(ticket),
                    Request::Read => What::Read(ticket),
                }
            }
            Deed::Transfer(to) => {
                next.left.transfers -= 1;
                What::Transfer(to)
            }
            Deed::Change => {
                next.left.changes -= 1;
                What::Change
            }
            Deed::Work => What::Work,
            Deed::Crash => What::Crash(next.next_incarnation(id, tables)),
        };
        let dies = action.dies.then(|| next.next_incarnation(id, tables));
        let (number, effect) = tables.nodes.effect(self.nodes[slot(id)], what, dies);
        let Some(effect) = effect else {
            return Ok(None);
        };
        if !effect.observed.is_empty() || effect.broken.is_some() {
            // Other nodes' disks matter only to a commit.
            let others = effect.commits.then_some(&next.nodes);
            let seen = Mix::of(&(next.rules, next.clients, number, others));
            let judge = || next.judge(slot(id), effect, tables);
            let verdict = tables.verdicts.keep(seen, judge);
            (next.rules, next.clients) = tables.verdicts[verdict].clone()?;
        }
        next.nodes[slot(id)] = effect.after;
        Ok(Some((effect, next)))
    }

    /// Whether a message is a forward whose command was in a log before: one more entry may come of
    /// it.
    fn repeats(&self, message: Ref, tables: &Tables) -> bool {
        match &tables.message(message).message {
            Message::Forward(forward) => {
                tables.rules[self.rules].thing.has_entry(forward.command.id)
            }
            _ => false,
        }
    }

    /// A client sends a request. Returns its ticket.
    fn ask(&mut self, tables: &Tables, request: Request) -> Ticket {
        let ticket = tables.clients[self.clients].ticket(request);
        let asked = Mix::of(&(self.clients, request));
        let asked = tables.asked.keep(asked, || {
            let mut clients = tables.clients[self.clients].clone();
            clients.ask(request);
            tables.keep_clients(clients)
        });
        self.clients = tables.asked[asked];
        Ticket(ticket.into())
    }

    /// The name of a node's next incarnation.
    fn next_incarnation(&mut self, id: NodeId, tables: &Tables) -> Incarnation {
        let (nodes, crashes) = (tables.bounds().all(), tables.bounds().crashes);
        self.left.crashes -= 1;
        incarnation(u64::from(nodes + (crashes - self.left.crashes)), id)
    }

    /// The rules and the clients after they have seen an effect.
    fn judge(&self, at: usize, effect: &Effect, tables: &Tables) -> Verdict {
        let mut rules = tables.rules[self.rules].thing.clone();
        let mut clients = tables.clients[self.clients].clone();
        for seen in &effect.observed {
            self.see(at, seen, &mut rules, &mut clients, tables)?;
        }
        match &effect.broken {
            Some(broken) => Err(broken.clone()),
            None => Ok((tables.keep_rules(rules), tables.keep_clients(clients))),
        }
    }

    fn see(
        &self,
        at: usize,
        seen: &Observed,
        rules: &mut Rules<Registers>,
        clients: &mut Clients,
        tables: &Tables,
    ) -> Result<(), Broken> {
        match seen {
            Observed::State(node) => {
                let nodes = self.nodes.iter().enumerate();
                let disks = nodes.map(|(other, known)| {
                    let node = if other == at { *node } else { *known };
                    let known = tables.node(node);
                    (known.id, known.disk.ledger())
                });
                tables.node(*node).observe(rules, disks)
            }
            Observed::Stores(node) => tables.node(*node).check_work(rules),
            Observed::Dies(node) => {
                if self.nodes.len() == 1 {
                    let node = tables.node(*node);
                    rules.lone_voter_died(node.id, node.disk.ledger());
                }
                Ok(())
            }
            Observed::Answers(reply) if reply.ticket == TRANSFER => {
                rules.transfer_answered(NodeId(at as u64 + 1), &reply.response)
            }
            Observed::Answers(reply) => {
                // One copy of a command that was sent twice may be refused while the other is applied.
                if clients.is_write(reply.ticket) && !clients.is_refused_copy(reply) {
                    rules.answered(CommandId(reply.ticket.0), &reply.response)?;
                }
                clients.answered(reply)
            }
            Observed::Changes(node, response) => {
                let replica = &process(tables.node(*node)).replica;
                Rules::change_answered(NodeId(at as u64 + 1), response, replica)
            }
        }
    }

    /// Whether the worlds differ at most in their messages and in what is left.
    fn is_like(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.clients == other.clients && self.rules == other.rules
    }

    // ---- Messages.

    /// Visits all worlds in which only `room` messages are left. A message that never arrives is as
    /// good as lost, so messages are lost only to make room; any of them may be.
    fn lose_all_but(self, room: usize, visit: &mut impl FnMut(Self)) {
        /// Loses `many` of the messages before an index.
        fn lose(world: World, before: usize, many: usize, visit: &mut impl FnMut(World)) {
            if many == 0 {
                return visit(world);
            }
            for at in (many - 1..before).rev() {
                let mut next = world.clone();
                next.flight.remove(at);
                lose(next, at, many - 1, visit);
            }
        }
        let (here, many) = (self.flight.len(), self.flight.len().saturating_sub(room));
        lose(self, here, many, visit);
    }

    /// Removes what makes no difference any more.
    fn tidy(&mut self, tables: &Tables) {
        let mut flight = mem::take(&mut self.flight);
        flight.retain(|message| !self.is_futile(*message, tables));
        self.flight = flight;
        if self.is_calm(tables) {
            for at in 0..self.nodes.len() {
                self.nodes[at] = self.calmed(at, tables).map_or(self.nodes[at], |e| e.after);
            }
        }
    }

    /// Whether no node will ask for votes any more. Then the time since a node heard from a leader
    /// makes no difference.
    fn is_calm(&self, tables: &Tables) -> bool {
        let last = Term(tables.bounds().terms.into());
        let is_in_last = |node: &Ref| tables.node(*node).disk.ledger().ballot.term() == last;
        let none_may = self.left.expiries == 0 || self.nodes.iter().all(is_in_last);
        let is_asking =
            |node: &Ref| process(tables.node(*node)).status.role == RoleName::PreCandidate;
        let asks = |message: &Ref| tables.message(*message).message.class() == Class::Candidacy;
        none_may && !self.nodes.iter().any(is_asking) && !self.flight.iter().any(asks)
    }

    /// The effect of a node's clock, if it is only that the node would vote again.
    pub(super) fn calmed<'a>(&self, at: usize, tables: &'a Tables) -> Option<&'a Effect> {
        let (_, effect) = tables.nodes.effect(self.nodes[at], What::Wait, None);
        effect.filter(|effect| effect.is_silent())
    }

    /// Whether a message will have no effect, whenever it arrives.
    fn is_futile(&self, message: Ref, tables: &Tables) -> bool {
        let envelope = tables.message(message);
        let at = self.nodes[slot(envelope.to)];
        // Terms never decrease, not even in a restart.
        let term = |id| {
            let node = tables.node(self.nodes[slot(id)]);
            node.disk.ledger().ballot.term()
        };
        let is_old = || envelope.term < term(envelope.to);
        match tone(&envelope.message) {
            // The answer would only name the last term to a node that is in it.
            Tone::Request => {
                let last = Term(tables.bounds().terms.into());
                is_old() && term(envelope.to) == last && term(envelope.from) == last
            }
            Tone::Notice => is_old(),
            Tone::Acknowledgement if process(tables.node(at)).status.role == RoleName::Leader => {
                is_old()
            }
            Tone::Acknowledgement | Tone::Answer => is_old() || self.is_late(message, at, tables),
        }
    }

    /// Whether an answer has no effect now. It then has none later, because each request id is used
    /// once, and what is known stays known.
    fn is_late(&self, message: Ref, at: Ref, tables: &Tables) -> bool {
        let (_, effect) = tables.nodes.effect(at, What::Receive(message), None);
        effect.is_none_or(|effect| !effect.changes && effect.is_silent())
    }

    // ---- Packed.

    /// The world in less memory.
    pub(super) fn pack(&self) -> Packed {
        Packed {
            parts: self.nodes.iter().chain(&self.flight).copied().collect(),
            clients: self.clients,
            rules: self.rules,
            left: self.left,
        }
    }
}

/// A packed world.
#[derive(Debug)]
pub(super) struct Packed {
    /// The nodes and then the messages.
    parts: Box<[Ref]>,
    clients: Ref,
    rules: Ref,
    left: Left,
}

impl Packed {
    /// Unpacks a world of this many nodes.
    pub(super) fn unpack(&self, nodes: u8) -> World {
        let (nodes, flight) = self.parts.split_at(nodes.into());
        World {
            nodes: nodes.to_vec(),
            flight: flight.to_vec(),
            clients: self.clients,
            rules: self.rules,
            left: self.left,
        }
    }
}

/// How a message's effect depends on its term.
enum Tone {
    /// It is answered even if its term is lower.
    Request,
    /// It is dropped if its term is lower.
    Notice,
    /// The same, and its request may be answered already, or no longer open.
    Answer,
    /// The same, but a leader that no longer knows what it sent may accept an old one.
    Acknowledgement,
}

fn tone(message: &Message<Registers>) -> Tone {
    match message {
        Message::Appended(_) => Tone::Acknowledgement,
        // Whether a rejection is heeded depends on the time.
        Message::AppendRejected(_) | Message::ChunkReceived(_) | Message::Outdated(_) => {
            Tone::Notice
        }
        other => match other.class() {
            Class::Candidacy | Class::FromLeader => Tone::Request,
            Class::Request => Tone::Notice,
            Class::Reply => Tone::Answer,
        },
    }
}

/// A node's index.
pub(super) fn slot(id: NodeId) -> usize {
    usize::try_from(id.0).expect("few nodes") - 1
}
