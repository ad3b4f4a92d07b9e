//! Searches for a legal order of the operations on one key.
//!
//! This is Wing & Gong's depth-first search with Lowe's memoization ("Testing for
//! linearizability", 2017), in its just-in-time form. Call the operations whose end is known
//! *definite*, and number the moments at which they complete r0 <= r1 <= ... At r(i), operation i
//! must have taken effect. The search goes through these levels; at level i it lets operations
//! take effect one at a time until operation i has, and then goes on to level i + 1 at once.
//!
//! *No legal order is missed.* Take any legal order. All operations before operation i in it were
//! invoked by r(i), or operation i would have to precede them. So at level i the search can apply
//! the order's beginning through operation i, which ends with a definite operation.
//!
//! A configuration is the level, the state of the key, which open definite operations have taken
//! effect, and how many unknown operations of each kind were spent. Two configurations that agree
//! have the same future, so each is visited once. Call a configuration *better* than another if it
//! can do all that the other can. Each of these rules drops only the worse of two:
//!
//! 1. **Fewer unknowns spent is better.** An unknown operation never has to take effect, so what
//!    another configuration reaches with fewer left, this one reaches too.
//! 2. **An observation takes effect as soon as it can.** It changes nothing, and a configuration in
//!    which it has taken effect is better.
//! 3. **Among open operations with the same effect, the first to complete goes first.** If a legal
//!    order has them the other way round, swap them: both had been invoked, the later deadline
//!    moves to the earlier place, the earlier deadline moves to a place before its own end. Unknown
//!    operations are those without a deadline, so they come last, and those with the same effect
//!    need only be counted.
//! 4. **An unknown operation takes effect only if something definite needs it**: if the state that
//!    it leaves is consumed by an open observation or `cas`, or by an unknown `cas` of which the
//!    same is true. Take a legal order with as few unknown operations as possible, and the last of
//!    its unknown operations for which this does not hold. If a blind write follows it, or nothing,
//!    it may be left out. If an observation follows that was possible before, rule 2 has already
//!    dealt with it. If an unknown delete follows, the key existed before too, and the delete does
//!    without it, or the key did not exist, and both may be left out. Anything else that follows
//!    consumes its result and is definite, or is an unknown `cas` that is needed.
//!
//! The number of configurations can still explode if many unknown operations are spent and each
//! could be another. So there is a relaxed search: with [`Supply::Endless`] an unknown operation
//! may take effect any number of times. Then nothing needs to be counted, and there are few
//! configurations. A history that is not linearizable even so is not linearizable. The relaxed
//! search runs when the exact one has used a part of its budget, and the exact one then runs again
//! with the whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::register::{Condition, Effect, State, Step};

/// The cost of visiting one configuration.
const VISIT_COST: u64 = 16;
/// The cost of comparing two lists of spent unknown operations.
const COMPARE_COST: u64 = 1;
/// How many operations can be looked at for one unit.
const LOOKS: usize = 4;
/// The share of the budget after which the relaxed search runs.
const FIRST_SHARE: u64 = 16;

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// There is a legal order.
    Linearizable,
    /// There is none.
    Contradiction {
        /// The index of the step that no order gets past. The operations that were invoked by its
        /// end are contradictory already, so the rest can be cut off.
        stuck: usize,
        /// The states of the key while that step was due.
        states: BTreeSet<State>,
    },
    /// The budget ran out first.
    Undecided {
        /// The index of the step that no order tried so far gets past.
        furthest: usize,
    },
}

/// Whether there is a legal order of `steps`, for a key that at first is in one of `initial`, and
/// the work of the search. The `budget` bounds the work, and with it time and memory: a
/// configuration takes 16 units and about 200 bytes. (The budget may be spent up to three times.)
pub(super) fn decide(steps: &[Step], initial: &[State], budget: u64) -> (Finding, u64) {
    let world = World::new(steps);
    let mut work = ((steps.len() + world.open.len()) / LOOKS) as u64;
    let mut search = |supply, budget: u64| {
        let mut left = budget;
        let finding = world.search(initial, supply, &mut left);
        work += budget - left;
        finding
    };
    let mut finding = search(Supply::Counted, budget / FIRST_SHARE);
    if matches!(finding, Finding::Undecided { .. }) && !world.unknowns.is_empty() {
        let relaxed = search(Supply::Endless, budget);
        if matches!(relaxed, Finding::Contradiction { .. }) {
            finding = relaxed;
        }
    }
    if matches!(finding, Finding::Undecided { .. }) {
        finding = search(Supply::Counted, budget);
    }
    (finding, work)
}

/// How often an unknown operation may take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supply {
    /// Once, which is exact.
    Counted,
    /// Any number of times.
    Endless,
}

/// The steps, sorted and numbered for the search. Does not change during the search.
struct World<'a> {
    steps: &'a [Step],
    /// The definite steps in the order of their ends; a level is an index into this.
    definite: Vec<usize>,
    /// For each definite step, the bit that is set once it has taken effect. A bit is used again
    /// after its step has completed.
    bits: Vec<usize>,
    /// The number of words that hold all bits.
    words: usize,
    /// For each level, where its open definite steps begin in `open`.
    starts: Vec<usize>,
    /// The open definite steps of all levels, as positions in `definite`, ascending.
    open: Vec<u32>,
    /// Each distinct effect of unknown steps, with the levels from which on one more is available.
    unknowns: Vec<(Effect, Vec<usize>)>,
    /// For each state, the unknown `cas` that lead to it, as indexes into `unknowns`.
    producers: BTreeMap<State, Vec<usize>>,
}

/// All of a configuration but the unknown operations that were spent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    level: usize,
    state: State,
    done: Box<[u64]>,
}

/// A configuration of the search.
#[derive(Clone, Debug)]
struct Configuration {
    place: Place,
    spent: Spent,
}

impl<'a> World<'a> {
    fn new(steps: &'a [Step]) -> Self {
        let mut definite: Vec<usize> = (0..steps.len())
            .filter(|&at| steps[at].completed.is_some())
            .collect();
        definite.sort_by_key(|&at| (steps[at].completed, steps[at].invoked));

        let mut by_invocation: Vec<usize> = (0..definite.len()).collect();
        by_invocation.sort_by_key(|&rank| steps[definite[rank]].invoked);

        let mut world = World {
            steps,
            bits: vec![0; definite.len()],
            words: 0,
            starts: vec![0],
            open: Vec::new(),
            unknowns: Vec::new(),
            producers: BTreeMap::new(),
            definite,
        };
        let mut arrivals = by_invocation.into_iter().peekable();
        let mut now_open: BTreeSet<usize> = BTreeSet::new();
        let mut free_bits: Vec<usize> = Vec::new();
        let mut bits_made = 0;
        for level in 0..world.definite.len() {
            let end = steps[world.definite[level]].completed;
            while let Some(rank) =
                arrivals.next_if(|&rank| Some(steps[world.definite[rank]].invoked) <= end)
            {
                world.bits[rank] = free_bits.pop().unwrap_or_else(|| {
                    bits_made += 1;
                    bits_made - 1
                });
                now_open.insert(rank);
            }
            let number = |&rank| u32::try_from(rank).expect("fewer than 2^32 operations");
            world.open.extend(now_open.iter().map(number));
            world.starts.push(world.open.len());
            now_open.remove(&level);
            free_bits.push(world.bits[level]);
        }
        world.words = usize::div_ceil(bits_made, 64);

        let mut unknowns: BTreeMap<Effect, Vec<usize>> = BTreeMap::new();
        for step in steps.iter().filter(|step| step.completed.is_none()) {
            if !step.imposes_nothing() {
                let level = world
                    .definite
                    .partition_point(|&at| steps[at].completed < Some(step.invoked));
                unknowns.entry(step.effect).or_default().push(level);
            }
        }
        world.unknowns = unknowns.into_iter().collect();
        for (kind, (effect, levels)) in world.unknowns.iter_mut().enumerate() {
            levels.sort_unstable();
            if let &mut Effect::Cas { from: _, to } = effect {
                world.producers.entry(to).or_default().push(kind);
            }
        }
        world
    }

    fn search(&self, initial: &[State], supply: Supply, budget: &mut u64) -> Finding {
        let mut seen = Seen::default();
        let mut deepest = Deepest::default();
        let start = |&state: &State| Configuration {
            place: Place {
                level: 0,
                state,
                done: vec![0; self.words].into_boxed_slice(),
            },
            spent: Spent::default(),
        };
        let mut ahead: Vec<Configuration> = initial.iter().map(start).collect();
        while let Some(mut configuration) = ahead.pop() {
            self.settle(&mut configuration.place);
            if configuration.place.level == self.definite.len() {
                return Finding::Linearizable;
            }
            let (is_new, cost) = seen.admit(&configuration);
            let Some(rest) = budget.checked_sub(cost) else {
                *budget = 0;
                let furthest = self.definite[deepest.level];
                return Finding::Undecided { furthest };
            };
            *budget = rest;
            if is_new {
                deepest.note(&configuration.place);
                let looked_at = self.expand(&configuration, supply, &mut ahead);
                *budget = budget.saturating_sub((looked_at / LOOKS) as u64);
            }
        }
        Finding::Contradiction {
            stuck: self.definite[deepest.level],
            states: deepest.states,
        }
    }

    /// Lets every possible observation take effect (rule 2), and continues to the first level whose
    /// own step has not taken effect.
    fn settle(&self, place: &mut Place) {
        while place.level < self.definite.len() {
            for rank in self.open_at(place.level) {
                if let Effect::Observe(condition) = self.effect(rank)
                    && condition.holds(place.state)
                {
                    self.mark(place, rank);
                }
            }
            if !self.is_done(place, place.level) {
                return;
            }
            let bit = self.bits[place.level];
            place.done[bit / 64] &= !(1 << (bit % 64));
            place.level += 1;
        }
    }

    /// Pushes all possible next configurations, the most promising last. Returns how many
    /// operations it looked at, and how many bits it copied.
    fn expand(
        &self,
        from: &Configuration,
        supply: Supply,
        ahead: &mut Vec<Configuration>,
    ) -> usize {
        let place = &from.place;
        let open = self.open_at(place.level);
        let owed: Vec<usize> = open.filter(|&rank| !self.is_done(place, rank)).collect();

        // Affects only how fast an order is found, not whether: first comes the step that is due, then
        // what enables it, and of both a definite step before an unknown one.
        let priority = |mover: Option<usize>, state: State| {
            let enables = self.effect(place.level).consumes(state);
            Reverse((mover == Some(place.level), enables, mover.is_some()))
        };
        let mut moves = Vec::new();
        let mut effects_seen: BTreeSet<Effect> = BTreeSet::new();
        for &rank in &owed {
            let effect = self.effect(rank);
            // Rule 3.
            if effect.target().is_some()
                && effects_seen.insert(effect)
                && let Some(state) = effect.apply(place.state)
            {
                moves.push((priority(Some(rank), state), Move::Definite(rank), state));
            }
        }
        let needs = Needs::of(owed.iter().map(|&rank| self.effect(rank)));
        let ways = self.ways(place.level, &needs);
        for (kind, (effect, levels)) in self.unknowns.iter().enumerate() {
            let there = levels.partition_point(|&level| level <= place.level);
            let left = match supply {
                Supply::Counted => there - from.spent.count(kind),
                Supply::Endless => there,
            };
            if left > 0
                && !effects_seen.contains(effect) // Rule 3.
                && let Some(state) = effect.apply(place.state)
                && state != place.state
                && (needs.consume(state) || ways.contains(&state))
            {
                moves.push((priority(None, state), Move::Unknown(kind), state));
            }
        }

        // The sort is stable: of equals, the step that must end first is tried first.
        moves.sort_by_key(|&(priority, _, _)| priority);
        let looked_at = owed.len() + self.unknowns.len() + moves.len() * self.words;
        for &(_, chosen, state) in moves.iter().rev() {
            let mut next = from.clone();
            next.place.state = state;
            match chosen {
                Move::Definite(rank) => self.mark(&mut next.place, rank),
                Move::Unknown(kind) => match supply {
                    Supply::Counted => next.spent.add(kind),
                    Supply::Endless => {}
                },
            }
            ahead.push(next);
        }
        looked_at
    }

    /// The states from which one or more unknown `cas` may lead to a state that a definite open
    /// step consumes (rule 4): backwards from those states, along the `cas`.
    fn ways(&self, level: usize, needs: &Needs) -> BTreeSet<State> {
        let there = |kind: &&usize| self.unknowns[**kind].1.first() <= Some(&level);
        let made = self.producers.keys().copied();
        let mut ahead: Vec<State> = made.filter(|&to| needs.consume(to)).collect();
        let mut ways = BTreeSet::new();
        while let Some(to) = ahead.pop() {
            let producers = self.producers.get(&to).into_iter().flatten();
            for &kind in producers.filter(there) {
                if let Effect::Cas { from, to: _ } = self.unknowns[kind].0
                    && ways.insert(from)
                {
                    ahead.push(from);
                }
            }
        }
        ways
    }

    fn open_at(&self, level: usize) -> impl Iterator<Item = usize> {
        let ranks = &self.open[self.starts[level]..self.starts[level + 1]];
        ranks.iter().map(|&rank| rank as usize)
    }

    fn effect(&self, rank: usize) -> Effect {
        self.steps[self.definite[rank]].effect
    }

    fn is_done(&self, place: &Place, rank: usize) -> bool {
        let bit = self.bits[rank];
        place.done[bit / 64] & (1 << (bit % 64)) != 0
    }

    fn mark(&self, place: &mut Place, rank: usize) {
        let bit = self.bits[rank];
        place.done[bit / 64] |= 1 << (bit % 64);
    }
}

/// What the definite open steps consume.
#[derive(Default)]
struct Needs {
    /// A step needs one of these states.
    exactly: BTreeSet<State>,
    /// A step needs a value other than one of these.
    other_than: BTreeSet<State>,
    /// A step needs the key to exist.
    existence: bool,
}

impl Needs {
    fn of(effects: impl Iterator<Item = Effect>) -> Self {
        let mut needs = Needs::default();
        for effect in effects {
            match effect {
                Effect::Observe(Condition::Is(state)) | Effect::Cas { from: state, to: _ } => {
                    needs.exactly.insert(state);
                }
                Effect::Observe(Condition::PresentAndNot(state)) => {
                    needs.other_than.insert(state);
                }
                Effect::Delete => needs.existence = true,
                Effect::Observe(Condition::Never) | Effect::Write(_) => {}
            }
        }
        needs
    }

    /// Whether a step [`consumes`](Effect::consumes) `state`.
    fn consume(&self, state: State) -> bool {
        let others = || self.other_than.iter().any(|&other| other != state);
        self.exactly.contains(&state) || (state != State::ABSENT && (self.existence || others()))
    }
}

/// A step that may take effect next.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The definite step of this rank takes effect.
    Definite(usize),
    /// An unknown step of this kind takes effect.
    Unknown(usize),
}

/// How many unknown steps of each kind have taken effect, without the kinds of which none has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Spent(Vec<(usize, usize)>);

impl Spent {
    fn count(&self, kind: usize) -> usize {
        match self.0.binary_search_by_key(&kind, |&(kind, _)| kind) {
            Ok(at) => self.0[at].1,
            Err(_) => 0,
        }
    }

    fn add(&mut self, kind: usize) {
        match self.0.binary_search_by_key(&kind, |&(kind, _)| kind) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (kind, 1)),
        }
    }

    /// Whether no kind was spent more often here than in `other`.
    fn within(&self, other: &Self) -> bool {
        let mut kinds = self.0.iter();
        kinds.all(|&(kind, count)| count <= other.count(kind))
    }
}

/// The configurations visited, without those that are worse than another (rule 1).
#[derive(Default)]
struct Seen(HashMap<Place, Vec<Spent>>);

impl Seen {
    /// Whether to visit this configuration, and the cost of the decision.
    fn admit(&mut self, configuration: &Configuration) -> (bool, u64) {
        let Some(rivals) = self.0.get_mut(&configuration.place) else {
            let spent = vec![configuration.spent.clone()];
            self.0.insert(configuration.place.clone(), spent);
            return (true, VISIT_COST);
        };
        let compared = COMPARE_COST * rivals.len() as u64;
        let spent = &configuration.spent;
        if rivals.iter().any(|rival| rival.within(spent)) {
            return (false, compared);
        }
        rivals.retain(|rival| !spent.within(rival));
        rivals.push(spent.clone());
        (true, VISIT_COST + compared)
    }
}

/// The deepest level that was reached, and the states there.
#[derive(Default)]
struct Deepest {
    level: usize,
    states: BTreeSet<State>,
}

impl Deepest {
    fn note(&mut self, place: &Place) {
        if place.level > self.level {
            self.level = place.level;
            self.states.clear();
        }
        if place.level == self.level {
            self.states.insert(place.state);
        }
    }
}
