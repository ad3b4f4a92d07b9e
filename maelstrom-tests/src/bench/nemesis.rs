//! The schedule of faults: partitions, pauses, leadership transfers, kills and changes of the members,
//! drawn from a seed.
//!
//! A transfer and a change of the members are over at once. Each other kind of fault begins and ends in turn, after waits of half to one and a half times the
//! interval; faults of different kinds may overlap. All end some time before the load does, so that
//! clients see what they left. A run with kills ends them by killing all nodes at once, after a
//! write was acknowledged: a node that forgets cannot learn its data from the others then. There is
//! no clock in here: the caller asks which action is due, and carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rand::Rng;

use super::members::Wish;
use super::network::{Cuts, Node};

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
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [
        Kind::Partition,
        Kind::Pause,
        Kind::Transfer,
        Kind::Kill,
        Kind::Membership,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Partition => "partition",
            Kind::Pause => "pause",
            Kind::Transfer => "transfer",
            Kind::Kill => "kill",
            Kind::Membership => "membership",
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
    let names: Vec<String> = nodes.iter().map(Node::to_string).collect();
    names.join(" ")
}

fn describe(cuts: &Cuts) -> String {
    // From which nodes each node does not receive; then nodes with the same set are grouped.
    let mut unheard: BTreeMap<Node, BTreeSet<Node>> = BTreeMap::new();
    for (from, to) in cuts {
        unheard.entry(*to).or_default().insert(*from);
    }
    let mut hearers: BTreeMap<BTreeSet<Node>, BTreeSet<Node>> = BTreeMap::new();
    for (to, from) in unheard {
        hearers.entry(from).or_default().insert(to);
    }
    let groups: Vec<_> = hearers.iter().collect();
    if let [(some, others), (same_others, same_some)] = &groups[..]
        && some == same_some
        && others == same_others
    {
        let smaller_first = if some.len() <= others.len() {
            [some, others]
        } else {
            [others, some]
        };
        return smaller_first.map(|side| list(side)).join(" | ");
    }
    let groups = groups
        .iter()
        .map(|(from, to)| format!("{} -/-> {}", list(from), list(to)));
    groups.collect::<Vec<_>>().join("; ")
}

/// How a run's faults are chosen.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// The kinds. A single node can be neither partitioned nor hand over, nor have other members.
    pub kinds: &'a BTreeSet<Kind>,
    /// How many nodes there are.
    pub nodes: usize,
    /// The mean time from a fault's beginning to its end and from there to the next beginning.
    pub interval: Duration,
    /// Whether the first fault of each kind comes at the start of the run, as in Maelstrom.
    pub at_start: bool,
    /// How long clients send requests.
    pub time_limit: Duration,
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
    due: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Whole,
    Cut,
    Running,
    Paused(BTreeSet<Node>),
    Leading,
    Changing,
    Alive,
    Dead(BTreeSet<Node>),
}

impl Nemesis {
    /// A schedule drawn from `rng`.
    pub fn new(rng: Rng, plan: &Plan<'_>) -> Nemesis {
        let limit = plan.time_limit;
        let until = limit - CALM_MAX.min(limit / 4);
        let last_death = (plan.interval / 2).min(limit / 8);
        let kills = plan.kinds.contains(&Kind::Kill);
        let mut nemesis = Nemesis {
            rng,
            nodes: plan.nodes,
            interval: plan.interval,
            cycles: Vec::new(),
            last_kill: kills.then_some(until - last_death),
            last_death,
            until,
        };
        for kind in plan.kinds {
            let state = match kind {
                Kind::Partition | Kind::Transfer | Kind::Membership if plan.nodes == 1 => continue,
                Kind::Partition => State::Whole,
                Kind::Pause => State::Running,
                Kind::Transfer => State::Leading,
                Kind::Membership => State::Changing,
                Kind::Kill => State::Alive,
            };
            let due = match plan.at_start {
                true => Duration::ZERO,
                // However short the run, there is a fault.
                false => nemesis.wait().min(until / 2),
            };
            nemesis.cycles.push(Cycle { due, state });
        }
        nemesis
    }

    /// When the next action falls due, if there is one. `may_kill_all` says whether a write was
    /// acknowledged: only then does a death of all nodes show whether they forget.
    pub fn due(&self, may_kill_all: bool) -> Option<Duration> {
        let cycles = self.cycles.iter();
        let dues = cycles.filter_map(|cycle| self.cycle_due(cycle, may_kill_all));
        dues.chain(self.last_kill.filter(|_| may_kill_all)).min()
    }

    /// Whether all faults are over, and none will come.
    pub fn is_over(&self) -> bool {
        self.last_kill.is_none() && self.due(true).is_none()
    }

    fn cycle_due(&self, cycle: &Cycle, may_kill_all: bool) -> Option<Duration> {
        match (&cycle.state, self.last_kill) {
            (_, Some(_)) if !may_kill_all => Some(cycle.due),
            (State::Cut | State::Paused(_) | State::Dead(_), _) => Some(cycle.due.min(self.until)),
            (
                State::Whole | State::Running | State::Leading | State::Changing | State::Alive,
                _,
            ) => Some(cycle.due).filter(|due| *due < self.until),
        }
    }

    /// The next action that is due at `now`, if one is.
    pub fn next(&mut self, now: Duration, may_kill_all: bool) -> Option<Action> {
        if may_kill_all && self.last_kill.is_some_and(|at| at <= now) {
            return Some(self.kill_all(now));
        }
        let mut cycles = self.cycles.iter();
        let index = cycles.position(|cycle| {
            let due = self.cycle_due(cycle, may_kill_all);
            due.is_some_and(|due| due <= now)
        })?;
        // Counted from now and not from when it was due, so that a late action does not shorten
        // what follows it.
        self.cycles[index].due = now + self.wait();
        let was = std::mem::replace(&mut self.cycles[index].state, State::Whole);
        let (state, action) = match was {
            State::Whole => {
                let (shape, cuts) = self.partition();
                (State::Cut, Action::Cut(shape, cuts))
            }
            State::Cut => (State::Whole, Action::Heal),
            State::Running => {
                let majority = majority(self.nodes);
                let nodes = self.some([1, (self.nodes - majority).max(1), majority]);
                (State::Paused(nodes.clone()), Action::Pause(nodes))
            }
            State::Paused(nodes) => (State::Running, Action::Resume(nodes)),
            State::Leading => {
                let node = Node(self.rng.below(self.nodes as u64) as usize);
                let to = self.rng.chance(1, 2).then_some(node);
                (State::Leading, Action::Transfer(to))
            }
            State::Changing => {
                let wish = Wish::ALL[self.rng.below(Wish::ALL.len() as u64) as usize];
                (State::Changing, Action::Change(wish, self.rng.next_u64()))
            }
            State::Alive => {
                let nodes = self.some([1, majority(self.nodes), self.nodes]);
                (State::Dead(nodes.clone()), Action::Kill(nodes))
            }
            State::Dead(nodes) => (State::Alive, Action::Restart(nodes)),
        };
        self.cycles[index].state = state;
        Some(action)
    }

    /// Kills all nodes. The other faults end when the nodes are started again.
    fn kill_all(&mut self, now: Duration) -> Action {
        self.last_kill = None;
        self.until = self.until.max(now + self.last_death);
        let all: BTreeSet<Node> = (0..self.nodes).map(Node).collect();
        for cycle in &mut self.cycles {
            if matches!(cycle.state, State::Alive | State::Dead(_)) {
                cycle.state = State::Dead(all.clone());
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
            let shape = Shape::ALL[self.rng.below(Shape::ALL.len() as u64) as usize];
            let cuts = shape.cuts(self.nodes, &mut self.rng);
            if !cuts.is_empty() {
                return (shape, cuts);
            }
        }
    }

    /// As many nodes as one of the sizes says.
    fn some(&mut self, sizes: [usize; 3]) -> BTreeSet<Node> {
        let mut order: Vec<Node> = (0..self.nodes).map(Node).collect();
        self.rng.shuffle(&mut order);
        let size = sizes[self.rng.below(3) as usize];
        order.into_iter().take(size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(nodes: usize, cuts: &Cuts, hearer: usize) -> usize {
        let hearer = Node(hearer);
        (0..nodes)
            .filter(|from| !cuts.contains(&(Node(*from), hearer)))
            .count()
    }

    fn side(nodes: usize, cuts: &Cuts, paused: &[usize]) -> Option<Vec<usize>> {
        let paused = paused.iter().copied().map(Node).collect();
        let all = (0..nodes).map(Node).collect();
        let side = connected_majority(&all, cuts, &paused)?;
        Some(side.into_iter().map(|node| node.0).collect())
    }

    #[test]
    fn each_shape_cuts_its_number_of_links() {
        let mut rng = Rng::seeded(11);
        for nodes in 2..=9 {
            for _ in 0..50 {
                let one = Shape::One.cuts(nodes, &mut rng);
                assert_eq!(one.len(), 2 * (nodes - 1));
                let third = Shape::MinorityThird.cuts(nodes, &mut rng);
                let alone = ((nodes - 1) / 3).max(1);
                assert_eq!(third.len(), 2 * alone * (nodes - alone));
                let halves = Shape::Majority.cuts(nodes, &mut rng);
                assert_eq!(
                    halves.len(),
                    2 * majority(nodes) * (nodes - majority(nodes))
                );
                let one_way = Shape::OneWay.cuts(nodes, &mut rng);
                assert!(!one_way.is_empty());
                assert!(one_way.iter().all(|(a, b)| !one_way.contains(&(*b, *a))));
            }
        }
    }

    #[test]
    fn ring_gives_every_node_another_majority() {
        let mut rng = Rng::seeded(12);
        for nodes in 3..=9 {
            let cuts = Shape::MajoritiesRing.cuts(nodes, &mut rng);
            let mut views = BTreeSet::new();
            for hearer in 0..nodes {
                assert_eq!(heard(nodes, &cuts, hearer), majority(nodes));
                let view: Vec<usize> = (0..nodes)
                    .filter(|from| !cuts.contains(&(Node(*from), Node(hearer))))
                    .collect();
                views.insert(view);
            }
            assert_eq!(views.len(), nodes);
        }
        assert!(Shape::MajoritiesRing.cuts(2, &mut rng).is_empty());
        assert!(Shape::One.cuts(1, &mut rng).is_empty());
    }

    #[test]
    fn connected_majority_is_found() {
        let nodes = |nodes: &[usize]| nodes.iter().copied().map(Node).collect::<Vec<_>>();
        let cut = |some: &[usize], others: &[usize]| {
            let (some, others) = (nodes(some), nodes(others));
            &one_way(&some, &others) | &one_way(&others, &some)
        };
        assert_eq!(side(3, &Cuts::new(), &[]), Some(vec![0, 1, 2]));
        assert_eq!(side(3, &Cuts::new(), &[1]), Some(vec![0, 2]));
        assert_eq!(side(3, &Cuts::new(), &[1, 2]), None);
        assert_eq!(side(5, &cut(&[1, 3], &[0, 2, 4]), &[]), Some(vec![0, 2, 4]));
        assert_eq!(
            side(5, &cut(&[1, 3], &[0, 2, 4]), &[3]),
            Some(vec![0, 2, 4])
        );
        assert_eq!(side(5, &cut(&[1, 3], &[0, 2, 4]), &[4]), None);
        // A node that lacks one direction is not connected.
        let deaf = one_way(&nodes(&[0, 2, 4]), &nodes(&[1]));
        assert_eq!(side(5, &deaf, &[]), None);
        let deaf = one_way(&nodes(&[0, 2, 3, 4]), &nodes(&[1]));
        assert_eq!(side(5, &deaf, &[]), Some(vec![0, 2, 3, 4]));
        // A ring has majorities that hear each other, but none that is apart from the rest.
        let ring = ring(&nodes(&[0, 1, 2, 3, 4]));
        assert_eq!(side(5, &ring, &[]), None);
    }

    fn schedule(seed: u64, kinds: &[Kind], nodes: usize, plan: (u64, u64, bool)) -> Nemesis {
        let (interval, time_limit, at_start) = plan;
        let plan = Plan {
            kinds: &kinds.iter().copied().collect(),
            nodes,
            interval: Duration::from_secs(interval),
            at_start,
            time_limit: Duration::from_secs(time_limit),
        };
        Nemesis::new(Rng::seeded(seed), &plan)
    }

    #[test]
    fn faults_begin_and_end_in_turn() {
        let interval = Duration::from_secs(2);
        let mut nemesis = schedule(5, &Kind::ALL, 5, (2, 1000, false));
        let mut twin = schedule(5, &Kind::ALL, 5, (2, 1000, false));
        let (mut cut, mut paused, mut dead) = (false, BTreeSet::new(), BTreeSet::new());
        let (mut killed, mut transfers, mut changes) = (BTreeSet::new(), [0, 0], [0; 3]);
        let mut before = Duration::ZERO;
        for _ in 0..200 {
            let now = nemesis.due(true).expect("faults go on");
            assert!(now >= before && now - before <= 2 * interval);
            before = now;
            assert_eq!(
                nemesis.next(now.saturating_sub(Duration::from_nanos(1)), true),
                None
            );
            let action = nemesis.next(now, true).expect("one is due");
            assert_eq!(twin.next(now, true), Some(action.clone()));
            match action {
                Action::Cut(_, cuts) => {
                    assert!(!cut && !cuts.is_empty());
                    cut = true;
                }
                Action::Heal => {
                    assert!(cut);
                    cut = false;
                }
                Action::Pause(nodes) => {
                    assert!(paused.is_empty() && (1..=3).contains(&nodes.len()));
                    paused = nodes;
                }
                Action::Resume(nodes) => assert_eq!(nodes, std::mem::take(&mut paused)),
                Action::Transfer(to) => transfers[usize::from(to.is_some())] += 1,
                Action::Change(wish, _) => changes[wish as usize] += 1,
                Action::Kill(nodes) => {
                    assert!(dead.is_empty());
                    killed.insert(nodes.len());
                    dead = nodes;
                }
                Action::Restart(nodes) => assert_eq!(nodes, std::mem::take(&mut dead)),
            }
        }
        // One, a majority, or all at once.
        assert_eq!(killed, BTreeSet::from([1, 3, 5]));
        let many = |counts: &[i32]| counts.iter().all(|count| *count > 5);
        assert!(
            many(&transfers) && many(&changes),
            "{transfers:?} {changes:?}"
        );
    }

    /// The actions of a whole run, and when each comes. A write is acknowledged at `written`.
    fn run(mut nemesis: Nemesis, written: Duration) -> Vec<(Duration, Action)> {
        let mut actions = Vec::new();
        let mut now = Duration::ZERO;
        while !nemesis.is_over() {
            let may = now >= written;
            let due = nemesis.due(may).unwrap_or(written);
            now = now.max(if may { due } else { due.min(written) });
            actions.extend(
                nemesis
                    .next(now, now >= written)
                    .map(|action| (now, action)),
            );
        }
        actions
    }

    #[test]
    fn last_fault_kills_all_and_ends_before_the_load() {
        let second = Duration::from_secs(1);
        for seed in 0..200 {
            let kinds = [&Kind::ALL[..], &[Kind::Kill]][seed as usize % 2];
            let nodes = 1 + seed as usize % 5;
            let actions = run(schedule(seed, kinds, nodes, (4, 20, false)), second);
            let kill = actions
                .iter()
                .rposition(|(_, action)| matches!(action, Action::Kill(_)));
            let kill = kill.expect("a kill");
            let all: BTreeSet<Node> = (0..nodes).map(Node).collect();
            assert_eq!(actions[kill], (13 * second, Action::Kill(all.clone())));
            let ends = &actions[kill + 1..];
            assert!(ends.iter().all(|(at, _)| *at == 15 * second), "{ends:?}");
            assert!(ends.contains(&(15 * second, Action::Restart(all))));
            let (mut begun, mut ended) = (0, 0);
            for (_, action) in &actions {
                match action {
                    Action::Cut(..) | Action::Pause(_) => begun += 1,
                    Action::Heal | Action::Resume(_) => ended += 1,
                    Action::Transfer(_)
                    | Action::Change(..)
                    | Action::Kill(_)
                    | Action::Restart(_) => {}
                }
            }
            assert_eq!(begun, ended);
        }
    }

    #[test]
    fn death_of_all_waits_for_a_write() {
        let second = Duration::from_secs(1);
        let actions = run(schedule(1, &[Kind::Kill], 3, (4, 20, false)), 30 * second);
        let all: BTreeSet<Node> = (0..3).map(Node).collect();
        let last = &actions[actions.len() - 2..];
        assert_eq!(last[0], (30 * second, Action::Kill(all.clone())));
        assert_eq!(last[1], (32 * second, Action::Restart(all)));
    }

    #[test]
    fn short_run_has_a_fault_and_it_may_come_first() {
        for seed in 0..50 {
            for kind in Kind::ALL {
                let actions = run(schedule(seed, &[kind], 3, (60, 4, false)), Duration::ZERO);
                assert!(!actions.is_empty());
                assert!(actions[0].0 > Duration::ZERO);
                let actions = run(schedule(seed, &[kind], 3, (60, 4, true)), Duration::ZERO);
                assert_eq!(actions[0].0, Duration::ZERO);
            }
        }
    }

    #[test]
    fn without_kinds_or_peers_there_are_no_faults() {
        let calm = schedule(1, &[], 5, (1, 20, false));
        assert!(calm.is_over() && calm.due(true).is_none());
        for kind in [Kind::Partition, Kind::Transfer, Kind::Membership] {
            let alone = schedule(1, &[kind], 1, (1, 20, false));
            assert!(alone.is_over() && alone.due(true).is_none());
        }
    }

    #[test]
    fn actions_have_a_description() {
        let cuts = |pairs: &[(usize, usize)]| -> Cuts {
            pairs
                .iter()
                .map(|(from, to)| (Node(*from), Node(*to)))
                .collect()
        };
        for (pairs, told) in [
            (&[(0, 2), (1, 2), (2, 0), (2, 1)][..], "n2 | n0 n1"),
            (&[(0, 2), (1, 2)], "n0 n1 -/-> n2"),
            (
                &[(2, 0), (0, 1), (1, 2)],
                "n0 -/-> n1; n1 -/-> n2; n2 -/-> n0",
            ),
        ] {
            let cut = Action::Cut(Shape::One, cuts(pairs));
            assert_eq!(cut.to_string(), format!("partition one {told}"));
        }
        let told = Action::Pause([Node(1), Node(4)].into()).to_string();
        assert_eq!(told, "pause n1 n4");
        assert_eq!(Action::Transfer(None).to_string(), "transfer");
        let told = Action::Transfer(Some(Node(2))).to_string();
        assert_eq!(told, "transfer to n2");
        let told = Action::Change(Wish::Grow, 7).to_string();
        assert_eq!(told, "membership grow");
    }
}
