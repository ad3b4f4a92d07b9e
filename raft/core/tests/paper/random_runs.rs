//! Random runs of a cluster, with the states on the way. Figure 3's properties must hold in all of
//! them.

use std::collections::BTreeMap;

use raft_core::{Entry, Input, RoleName, Ticket};
use rand::Rng;

use crate::node::{ELECTION, HEARTBEAT, Node, Sent};

/// The number of runs, each from a seed of its own. The seeds are fixed, so a test replays the same
/// runs.
const RUNS: u64 = 100;

/// The number of events in a run.
const EVENTS: u64 = 1000;

/// The limit of messages in flight; beyond it, the oldest is lost.
const IN_FLIGHT_MAX: usize = 60;

/// The observed state of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) node: u64,
    /// The number of the node's incarnation, from 1.
    pub(crate) incarnation: u64,
    pub(crate) term: u64,
    pub(crate) leads: bool,
    pub(crate) log: Vec<Entry<u64>>,
    pub(crate) commit: u64,
    /// The commands that its machine has applied in this incarnation, in order.
    pub(crate) applied: Vec<u64>,
}

/// Counts of the events that can break the properties.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventCounts {
    pub(crate) terms_led: u64,
    pub(crate) truncations: u64,
    pub(crate) commits: u64,
    pub(crate) crashes: u64,
}

/// Executes all runs. Passes the state of the changed node to `observe` after each event, with the run's
/// seed and the event's number.
pub(crate) fn execute_all(mut observe: impl FnMut(u64, u64, &View)) -> EventCounts {
    let mut counts = EventCounts::default();
    for seed in 0..RUNS {
        let mut run = Run::new(seed);
        for event in 0..EVENTS {
            let node = run.random_event(&mut counts);
            observe(seed, event, &run.view(node, &mut counts));
        }
    }
    counts
}

struct Run {
    rng: Rng,
    nodes: Vec<Node>,
    incarnations: Vec<u64>,
    seen: BTreeMap<u64, View>,
    in_flight: Vec<Sent>,
    /// The isolated node, if any: all messages from and to it are lost.
    isolated: Option<u64>,
    commands: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let size = rng.range(2..=5);
        Self {
            rng,
            nodes: (1..=size).map(|id| Node::new(id, size)).collect(),
            incarnations: vec![1; size as usize],
            seen: BTreeMap::new(),
            in_flight: Vec::new(),
            isolated: None,
            commands: 0,
        }
    }

    /// Executes a random event at a node, more often at a leader. Returns the node.
    fn random_event(&mut self, counts: &mut EventCounts) -> usize {
        let leader = self
            .nodes
            .iter()
            .rposition(|n| n.role() == RoleName::Leader);
        let at = match leader {
            Some(leader) if self.rng.chance(1, 3) => leader,
            Some(_) | None => self.rng.below(self.nodes.len() as u64) as usize,
        };
        let (at, input) = match self.rng.below(22) {
            // Messages arrive in any order, most often the oldest first. One in ten is duplicated.
            0..14 if !self.in_flight.is_empty() => {
                let among = if self.rng.chance(1, 4) {
                    self.in_flight.len() as u64
                } else {
                    1
                };
                let at = self.rng.below(among) as usize;
                let envelope = if self.rng.chance(1, 10) {
                    self.in_flight[at].clone()
                } else {
                    self.in_flight.remove(at)
                };
                (envelope.to.0 as usize - 1, Input::Receive(envelope))
            }
            14 | 15 => {
                self.commands += 1;
                let (ticket, command) = (Ticket(self.commands), self.commands);
                (at, Input::Write { ticket, command })
            }
            16..=18 => {
                let ticks = self.rng.range(1..=ELECTION + HEARTBEAT);
                let sent = self.nodes[at].ticks(ticks);
                self.send(sent);
                return at;
            }
            19 if self.rng.chance(1, 5) => {
                counts.crashes += 1;
                self.restart(at);
                return at;
            }
            20 if self.rng.chance(1, 2) => {
                self.isolated = self.rng.chance(2, 3).then_some(at as u64 + 1);
                (at, Input::Tick)
            }
            _ => (at, Input::Tick),
        };
        let node = &mut self.nodes[at];
        // One in sixty times the process crashes before it stores the input's records.
        let sent = if self.rng.chance(1, 60) {
            counts.crashes += 1;
            let (sent, _) = node.before_storing(input);
            self.restart(at);
            sent
        } else {
            node.step(input)
        };
        self.send(sent);
        at
    }

    fn restart(&mut self, at: usize) {
        self.incarnations[at] += 1;
        self.nodes[at].restart();
    }

    /// Loses one message in twenty, and all from and to the isolated node.
    fn send(&mut self, sent: Vec<Sent>) {
        for envelope in sent {
            let is_cut = self
                .isolated
                .is_some_and(|node| [envelope.from.0, envelope.to.0].contains(&node));
            if !is_cut && !self.rng.chance(1, 20) {
                self.in_flight.push(envelope);
            }
        }
        let surplus = self.in_flight.len().saturating_sub(IN_FLIGHT_MAX);
        self.in_flight.drain(..surplus);
    }

    fn view(&mut self, at: usize, counts: &mut EventCounts) -> View {
        let node = &self.nodes[at];
        let view = View {
            node: at as u64 + 1,
            incarnation: self.incarnations[at],
            term: node.term(),
            leads: node.role() == RoleName::Leader,
            log: node.log(),
            commit: node.commit(),
            applied: node.applied().to_vec(),
        };
        let before = self
            .seen
            .insert(view.node, view.clone())
            .unwrap_or_default();
        counts.terms_led += u64::from(view.leads && !(before.leads && before.term == view.term));
        counts.truncations +=
            u64::from(!view.log.starts_with(&before.log) && view.incarnation == before.incarnation);
        counts.commits += u64::from(view.commit > before.commit);
        view
    }
}
