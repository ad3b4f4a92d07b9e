//! The schedule of faults: partitions, broken connections, pauses, leadership transfers, kills and
//! changes of the members, drawn from a seed.
//!
//! A transfer and a change of the members are over at once. Each other kind of fault begins and ends
//! in turn, after waits of half to one and a half times the interval; faults of different kinds may
//! overlap. All end some time before the load does, so that clients see what they left. A run with
//! kills ends by killing all nodes at once, after a write was acknowledged: a node that forgets
//! cannot learn its data from the others then. If none was, the nodes have the time without faults to
//! serve one. There is no clock in here: the caller asks which action is due, and carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rand::Rng;

use super::members::Wish;
use super::network::{Cuts, Node, Transport};
use super::options::Options;
use super::proxy::Break;
use crate::joined;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Messages between some nodes are dropped.
    Partition,
    /// Some nodes are stopped (SIGSTOP) and later go on.
    Pause,
    /// The leader is asked to hand its leadership over.
    Transfer,
    /// Some nodes are killed (SIGKILL) and later started again, as new processes with the old
    /// names.
    Kill,
    /// The leader is asked to change the members.
    Membership,
    /// Connections between nodes are lost, or carry nothing any more. Over TCP alone.
    Connections,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::Partition,
        Kind::Pause,
        Kind::Transfer,
        Kind::Kill,
        Kind::Membership,
        Kind::Connections,
    ];

    /// Those that there are with this transport.
    pub fn of(transport: Transport) -> impl Iterator<Item = Kind> + Clone {
        Kind::ALL.into_iter().filter(move |kind| match transport {
            Transport::Maelstrom => *kind != Kind::Connections,
            Transport::Tcp => true,
        })
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Partition => "partition",
            Kind::Pause => "pause",
            Kind::Transfer => "transfer",
            Kind::Kill => "kill",
            Kind::Membership => "membership",
            Kind::Connections => "connections",
        }
    }
}

/// How the network is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One node is alone.
    One,
    /// Fewer than a third of the nodes are alone together (one node at least).
    MinorityThird,
    /// A bare majority on one side, the others on the other.
    Majority,
    /// Every node receives from a majority, but no two from the same.
    MajoritiesRing,
    /// Messages from some nodes to the others arrive, but not the other way round.
    OneWay,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 5] = [
        Shape::One,
        Shape::MinorityThird,
        Shape::Majority,
        Shape::MajoritiesRing,
        Shape::OneWay,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Shape::One => "one",
            Shape::MinorityThird => "minority-third",
            Shape::Majority => "majority",
            Shape::MajoritiesRing => "majorities-ring",
            Shape::OneWay => "one-way",
        }
    }

    /// Cuts a network of `nodes` nodes in this shape. A network that is too small for the shape is
    /// not cut.
    pub fn cuts(self, nodes: usize, rng: &mut Rng) -> Cuts {
        let mut order: Vec<Node> = (0..nodes).map(Node).collect();
        rng.shuffle(&mut order);
        let two_ways = |size: usize| {
            let (some, others) = order.split_at(size.min(nodes));
            &one_way(some, others) | &one_way(others, some)
        };
        match self {
            Shape::One => two_ways(1),
            Shape::MinorityThird => two_ways((nodes.saturating_sub(1) / 3).max(1)),
            Shape::Majority => two_ways(majority(nodes)),
            Shape::MajoritiesRing => ring(&order),
            Shape::OneWay => {
                let size = rng.range(1..=nodes.saturating_sub(1).max(1) as u64) as usize;
                let (some, others) = order.split_at(size.min(nodes));
                one_way(some, others)
            }
        }
    }
}

/// The size of a majority of `nodes` nodes.
pub fn majority(nodes: usize) -> usize {
    nodes / 2 + 1
}

fn one_way(from: &[Node], to: &[Node]) -> Cuts {
    let pairs = from
        .iter()
        .flat_map(|from| to.iter().map(|to| (*from, *to)));
    pairs.collect()
}

/// Each window of a majority's size on the ring are the nodes from which the node in its middle
/// receives.
fn ring(order: &[Node]) -> Cuts {
    let (nodes, size) = (order.len(), majority(order.len()));
    let mut cuts = Cuts::new();
    for start in 0..nodes {
        let at = |offset: usize| order[(start + offset) % nodes];
        let hearer = at(size / 2);
        cuts.extend((size..nodes).map(|offset| (at(offset), hearer)));
    }
    cuts
}

/// The largest set of members that are up and all connected to each other both ways, if it is a
/// majority of all members: this side must make progress. The nodes in `down` are paused or dead.
///
/// Only sets that are cut off from every other node count, so the overlapping majorities of a ring
/// do not.
pub fn connected_majority(
    members: &BTreeSet<Node>,
    cuts: &Cuts,
    down: &BTreeSet<Node>,
) -> Option<BTreeSet<Node>> {
    let linked = |a: Node, b: Node| a == b || !(cuts.contains(&(a, b)) || cuts.contains(&(b, a)));
    let up: Vec<Node> = members.difference(down).copied().collect();
    let neighbours = |node: Node| up.iter().copied().filter(move |other| linked(node, *other));
    up.iter().find_map(|node| {
        let side: BTreeSet<Node> = neighbours(*node).collect();
        let closed = side
            .iter()
            .all(|member| neighbours(*member).eq(side.iter().copied()));
        (closed && side.len() >= majority(members.len())).then_some(side)
    })
}

/// The beginning or the end of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Cut the network.
    Cut(Shape, Cuts),
    /// Heal the network.
    Heal,
    /// Break the connections that these nodes have made to others.
    Break(Break, Cuts),
    /// Let connections be made again.
    Mend,
    /// Stop these nodes.
    Pause(BTreeSet<Node>),
    /// Resume these nodes.
    Resume(BTreeSet<Node>),
    /// Ask the leader to hand over: to this node, or to one that it chooses.
    Transfer(Option<Node>),
    /// Ask the leader to change the members; the number chooses one.
    Change(Wish, u64),
    /// Kill these nodes.
    Kill(BTreeSet<Node>),
    /// Start these nodes again.
    Restart(BTreeSet<Node>),
}

impl Action {
    /// The kind of fault that this begins or ends.
    pub fn kind(&self) -> Kind {
        match self {
            Action::Cut(..) | Action::Heal => Kind::Partition,
            Action::Break(..) | Action::Mend => Kind::Connections,
            Action::Pause(_) | Action::Resume(_) => Kind::Pause,
            Action::Transfer(_) => Kind::Transfer,
            Action::Change(..) => Kind::Membership,
            Action::Kill(_) | Action::Restart(_) => Kind::Kill,
        }
    }
}

/// A short description: `pause n0 n3`, `partition one n2 | n0 n1`, `partition one-way n2 -/-> n0
/// n1`, or for a ring, whose nodes each hear others, `partition majorities-ring n0 -/-> n3; n1 -/->
/// n2; ...`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Cut(shape, cuts) => {
                write!(f, "partition {} {}", shape.name(), describe(cuts))
            }
            Action::Heal => f.write_str("heal"),
            Action::Break(how, pairs) => {
                write!(f, "connections {} {}", how.name(), one_way_links(pairs))
            }
            Action::Mend => f.write_str("mend"),
            Action::Pause(nodes) => write!(f, "pause {}", list(nodes)),
            Action::Resume(nodes) => write!(f, "resume {}", list(nodes)),
            Action::Transfer(Some(to)) => write!(f, "transfer to {to}"),
            Action::Transfer(None) => f.write_str("transfer"),
            Action::Change(wish, _) => write!(f, "membership {}", wish.name()),
            Action::Kill(nodes) => write!(f, "kill {}", list(nodes)),
            Action::Restart(nodes) => write!(f, "restart {}", list(nodes)),
        }
    }
}

fn list(nodes: &BTreeSet<Node>) -> String {
    joined(nodes, " ")
}

/// From which nodes others do not receive; nodes that lack the same ones are together.
fn grouped(cuts: &Cuts) -> BTreeMap<BTreeSet<Node>, BTreeSet<Node>> {
    let mut unheard: BTreeMap<Node, BTreeSet<Node>> = BTreeMap::new();
    for (from, to) in cuts {
        unheard.entry(*to).or_default().insert(*from);
    }
    let mut hearers: BTreeMap<BTreeSet<Node>, BTreeSet<Node>> = BTreeMap::new();
    for (to, from) in unheard {
        hearers.entry(from).or_default().insert(to);
    }
    hearers
}

fn one_way_links(cuts: &Cuts) -> String {
    let groups = grouped(cuts);
    let links = groups
        .iter()
        .map(|(from, to)| format!("{} -/-> {}", list(from), list(to)));
    joined(links, "; ")
}

fn describe(cuts: &Cuts) -> String {
    let hearers = grouped(cuts);
    let groups: Vec<_> = hearers.iter().collect();
    if let [(some, others), (same_others, same_some)] = &groups[..]
        && some == same_some
        && others == same_others
    {
        let mut sides = [some, others];
        sides.sort_by_key(|side| side.len());
        return sides.map(|side| list(side)).join(" | ");
    }
    one_way_links(cuts)
}

/// The longest time at the end of a run without faults.
const CALM_MAX: Duration = Duration::from_secs(5);

/// The schedule of a run's faults.
#[derive(Debug)]
pub struct Nemesis {
    rng: Rng,
    nodes: usize,
    interval: Duration,
    cycles: Vec<Cycle>,
    /// When all nodes are to be killed, unless they have been or there are no kills.
    last_kill: Option<Duration>,
    /// How long they are dead then.
    last_death: Duration,
    /// When the last fault ends.
    until: Duration,
}

/// The alternation of one kind of fault.
#[derive(Debug)]
struct Cycle {
    kind: Kind,
    due: Duration,
    /// The action that ends the fault, while it is there.
    end: Option<Action>,
}

impl Nemesis {
    /// The schedule of a run with these options, drawn from `rng`.
    pub fn new(rng: Rng, options: &Options) -> Nemesis {
        let limit = options.time_limit;
        let until = limit - CALM_MAX.min(limit / 4);
        let last_death = (options.nemesis_interval / 2).min(limit / 8);
        let kills = options.nemesis.contains(&Kind::Kill);
        let mut nemesis = Nemesis {
            rng,
            nodes: options.node_count,
            interval: options.nemesis_interval,
            cycles: Vec::new(),
            last_kill: kills.then_some(until - last_death),
            last_death,
            until,
        };
        for &kind in &options.nemesis {
            // A single node has no connections, and can neither hand over nor have other members.
            if options.node_count == 1 && !matches!(kind, Kind::Pause | Kind::Kill) {
                continue;
            }
            let due = match options.nemesis_at_start {
                true => Duration::ZERO,
                // However short the run, there is a fault.
                false => nemesis.wait().min(until / 2),
            };
            let end = None;
            nemesis.cycles.push(Cycle { kind, due, end });
        }
        nemesis
    }

    /// When the next action falls due, if there is one. `may_kill_all` says whether a write was
    /// acknowledged: only then does a death of all nodes show whether they forget.
    pub fn due(&self, may_kill_all: bool) -> Option<Duration> {
        let cycles = self.cycles.iter();
        let dues = cycles.filter_map(|cycle| self.cycle_due(cycle));
        dues.chain(self.last_kill.filter(|_| may_kill_all)).min()
    }

    /// Whether all faults are over, and none will come.
    pub fn is_over(&self) -> bool {
        self.last_kill.is_none() && self.due(true).is_none()
    }

    fn cycle_due(&self, cycle: &Cycle) -> Option<Duration> {
        match &cycle.end {
            Some(_) => Some(cycle.due.min(self.until)),
            None => Some(cycle.due).filter(|due| *due < self.until),
        }
    }

    /// The next action that is due at `now`, if one is.
    pub fn next(&mut self, now: Duration, may_kill_all: bool) -> Option<Action> {
        if may_kill_all && self.last_kill.is_some_and(|at| at <= now) {
            return Some(self.kill_all(now));
        }
        let mut cycles = self.cycles.iter();
        let index = cycles.position(|cycle| {
            let due = self.cycle_due(cycle);
            due.is_some_and(|due| due <= now)
        })?;
        // Counted from now and not from when it was due, so that a late action does not shorten
        // what follows it.
        self.cycles[index].due = now + self.wait();
        if let Some(end) = self.cycles[index].end.take() {
            return Some(end);
        }
        let (begin, end) = match self.cycles[index].kind {
            Kind::Partition => {
                let (shape, cuts) = self.partition();
                (Action::Cut(shape, cuts), Some(Action::Heal))
            }
            Kind::Connections => {
                let how = *self.rng.choose(&Break::ALL).expect("there are some");
                (Action::Break(how, self.pairs()), Some(Action::Mend))
            }
            Kind::Pause => {
                let majority = majority(self.nodes);
                let nodes = self.some([1, (self.nodes - majority).max(1), majority]);
                (Action::Pause(nodes.clone()), Some(Action::Resume(nodes)))
            }
            Kind::Transfer => {
                let node = Node(self.rng.below(self.nodes as u64) as usize);
                let to = self.rng.chance(1, 2).then_some(node);
                (Action::Transfer(to), None)
            }
            Kind::Membership => {
                let wish = *self.rng.choose(&Wish::ALL).expect("there are some");
                (Action::Change(wish, self.rng.next_u64()), None)
            }
            Kind::Kill => {
                let nodes = self.some([1, majority(self.nodes), self.nodes]);
                (Action::Kill(nodes.clone()), Some(Action::Restart(nodes)))
            }
        };
        self.cycles[index].end = end;
        Some(begin)
    }

    /// Kills all nodes. The other faults end when the nodes are started again.
    fn kill_all(&mut self, now: Duration) -> Action {
        self.last_kill = None;
        self.until = self.until.max(now + self.last_death);
        let all: BTreeSet<Node> = (0..self.nodes).map(Node).collect();
        for cycle in &mut self.cycles {
            if cycle.kind == Kind::Kill {
                cycle.end = Some(Action::Restart(all.clone()));
            }
            cycle.due = self.until;
        }
        Action::Kill(all)
    }

    fn wait(&mut self) -> Duration {
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX / 2);
        Duration::from_nanos(interval / 2 + self.rng.range(0..=interval))
    }

    /// One of the shapes that cut something at all: there is no ring of two.
    fn partition(&mut self) -> (Shape, Cuts) {
        loop {
            let shape = *self.rng.choose(&Shape::ALL).expect("there are some");
            let cuts = shape.cuts(self.nodes, &mut self.rng);
            if !cuts.is_empty() {
                return (shape, cuts);
            }
        }
    }

    /// About half of all pairs of nodes, in one direction or both; one pair at least.
    fn pairs(&mut self) -> Cuts {
        loop {
            let nodes = 0..self.nodes;
            let pairs = nodes.flat_map(|from| (0..self.nodes).map(move |to| (from, to)));
            let pairs = pairs.filter(|(from, to)| from != to && self.rng.chance(1, 2));
            let pairs: Cuts = pairs.map(|(from, to)| (Node(from), Node(to))).collect();
            if !pairs.is_empty() {
                return pairs;
            }
        }
    }

    /// As many nodes as one of the sizes says.
    fn some(&mut self, sizes: [usize; 3]) -> BTreeSet<Node> {
        let mut order: Vec<Node> = (0..self.nodes).map(Node).collect();
        self.rng.shuffle(&mut order);
        let size = *self.rng.choose(&sizes).expect("there are some");
        order.into_iter().take(size).collect()
    }
}

#[cfg(test)]
mod tests;
