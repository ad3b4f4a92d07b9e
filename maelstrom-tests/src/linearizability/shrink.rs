//! Shrinks a contradiction.
//!
//! Not every operation can be removed: without the write, a legal read looks illegal. So each step
//! here only *weakens* the constraints: every legal history stays legal. If the weaker history is
//! contradictory, so is the whole:
//!
//! - **The end is cut off** after the operation that could not take effect. Operations that still
//!   ran then become unknown. (A legal order of the whole begins with one of the rest.)
//! - **The beginning is cut off**: the key may have held anything; operations that had completed
//!   are removed; operations that still ran become unknown, and their observations are removed.
//! - **An observation is removed.** It is only a constraint.
//! - **A write, cas or delete with a known end becomes unknown**: it may take effect at any later time, or
//!   never.
//! - **An unknown operation is removed if nothing definite needs it**: if no operation with a known
//!   end may follow it and consume the state that it leaves, directly or through other unknown
//!   operations. The search explains why (its rule 4). Otherwise it must stay.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::iter;
use std::time::Instant;

use super::register::{Effect, State, Step};
use super::search::{self, Finding};
use crate::history::{Moment, Operation};

/// How much shrinking may cost.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    /// The work.
    pub(super) work: u64,
    /// When it must end; `None` for never.
    pub(super) until: Option<Instant>,
}

/// The limit of work for one attempt, as a share of the budget that is left.
const SHARE: u64 = 16;

/// The least charge for an attempt, for its preparation. No attempt is made with less.
const LEAST_WORK: u64 = 1 << 10;

/// The state before the first operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The history begins here: the key does not exist.
    Absent,
    /// The middle of the history: the key may hold any value.
    Anything,
}

/// One operation of a contradiction.
#[derive(Clone, Debug)]
pub struct Part {
    /// The operation in the history.
    pub operation: Operation,
    /// Whether the contradiction depends on its end. If not, the operation may as well take effect
    /// at any later time, or never.
    pub is_bound: bool,
}

/// A contradiction, which shrinks.
pub(super) struct Core {
    pub(super) start: Start,
    /// In the order of their invocations.
    pub(super) kept: Vec<Kept>,
    /// The origin of the step that cannot take effect before its end.
    stuck: usize,
    /// The states of the key while that step was due.
    pub(super) states: BTreeSet<State>,
    budget: Budget,
    /// An attempt was not made, or not to the end, so there may be more steps here than needed.
    pub(super) cut_short: bool,
}

/// A step, possibly weakened, and the index of the original.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) origin: usize,
    pub(super) step: Step,
}

/// Shrinks `steps`, which are contradictory even without the steps that were invoked after the end
/// of step `stuck`, where the key could only be in one of `states`. Stops when the budget is spent.
/// The result is contradictory in any case.
pub(super) fn shrink(
    steps: &[Step],
    stuck: usize,
    states: BTreeSet<State>,
    budget: Budget,
) -> Core {
    let mut core = Core {
        start: Start::Absent,
        kept: without_end(steps, stuck),
        stuck,
        states,
        budget,
        cut_short: false,
    };
    core.cut_beginning();
    core.finish()
}

/// Looks for a contradiction in ever longer stretches that end with the end of step `furthest`. If
/// there is too much concurrency to search the whole, a contradiction often lies in the last few
/// steps alone.
pub(super) fn look_nearby(steps: &[Step], furthest: usize, budget: Budget) -> Option<Core> {
    let whole = without_end(steps, furthest);
    let mut core = Core {
        start: Start::Anything,
        kept: Vec::new(),
        stuck: furthest,
        states: BTreeSet::new(),
        budget,
        cut_short: false,
    };
    let mut lengths = (0..).map(|power| 1 << power);
    let beginnings = iter::from_fn(|| whole.len().checked_sub(lengths.next()?));
    for beginning in beginnings {
        let rest = without_beginning(&whole, whole[beginning].step.invoked);
        if core.accept(Start::Anything, rest) {
            core.cut_short = false;
            return Some(core.finish());
        }
    }
    None
}

/// The steps that began by the end of step `stuck`.
fn without_end(steps: &[Step], stuck: usize) -> Vec<Kept> {
    let end = steps[stuck].completed;
    let cut = |(origin, step): (usize, &Step)| {
        let mut step = *step;
        if step.completed > end {
            step.completed = None;
        }
        let began = Some(step.invoked) <= end;
        (began && !step.imposes_nothing()).then_some(Kept { origin, step })
    };
    let mut kept: Vec<Kept> = steps.iter().enumerate().filter_map(cut).collect();
    kept.sort_by_key(|kept| kept.step.invoked);
    kept
}

/// The steps that began after `from` or were running then.
fn without_beginning(kept: &[Kept], from: Moment) -> Vec<Kept> {
    let cut = |kept: &Kept| {
        let mut step = kept.step;
        if step.completed.is_some_and(|end| end < from) {
            return None;
        }
        if step.invoked < from {
            step.completed = None;
        }
        (!step.imposes_nothing()).then_some(Kept { step, ..*kept })
    };
    kept.iter().filter_map(cut).collect()
}

impl Core {
    /// The index in `kept` of the step that cannot take effect before its end.
    pub(super) fn stuck(&self) -> usize {
        let stuck = self.kept.iter().position(|kept| kept.origin == self.stuck);
        stuck.expect("a step that the contradiction needs is never removed")
    }

    /// Finds the latest beginning. A later one constrains less, so this is a binary search.
    fn cut_beginning(&mut self) {
        let whole = self.kept.clone();
        let (mut low, mut high) = (0, whole.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let rest = without_beginning(&whole, whole[middle].step.invoked);
            if self.accept(Start::Anything, rest) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
    }

    /// Removes observations, the oldest first, so that the rest is close together.
    fn drop_observations(&mut self) {
        let mut at = 0;
        while at < self.kept.len() && self.may_try() {
            let mut rest = self.kept.clone();
            let dropped = rest.remove(at);
            if !matches!(dropped.step.effect, Effect::Observe(_)) || !self.accept(self.start, rest)
            {
                at += 1;
            }
        }
    }

    /// Makes writes and cas unknown, and removes those that nothing consumes.
    fn unbind(&mut self) {
        for at in 0..self.kept.len() {
            if !self.may_try() {
                break;
            }
            let mut rest = self.kept.clone();
            rest[at].step.completed = None;
            if rest[at] != self.kept[at] && !rest[at].step.imposes_nothing() {
                self.accept(self.start, rest);
            }
        }
        let deadlines = self.deadlines();
        let mut deadlines = deadlines.into_iter();
        // A step that is removed leads to nothing, so the deadlines of the others stay.
        self.kept
            .retain(|kept| deadlines.next().flatten() >= Some(kept.step.invoked));
    }

    /// For each step, the latest end of a definite step that it may lead to, directly or through
    /// unknown steps. A definite step leads to itself.
    fn deadlines(&self) -> Vec<Option<Moment>> {
        let mut deadlines: Vec<Option<Moment>> =
            self.kept.iter().map(|kept| kept.step.completed).collect();
        let (mut definite, mut unknown): (Vec<usize>, Vec<usize>) =
            (0..self.kept.len()).partition(|&at| deadlines[at].is_some());
        // The latest end first, so the first that an unknown step leads to is the latest.
        definite.sort_by_key(|&at| Reverse(deadlines[at]));
        for end in definite {
            let mut ahead = vec![end];
            while let Some(consumer) = ahead.pop() {
                let Kept { step, .. } = self.kept[consumer];
                if step.completed.is_none() && step.effect == Effect::Delete {
                    // It needs no unknown step before it (rule 4 of the search).
                    continue;
                }
                let produces = |&at: &usize| {
                    let target = self.kept[at].step.effect.target();
                    target.is_some_and(|state| step.effect.consumes(state))
                };
                let producers = unknown.extract_if(.., |at| produces(at));
                for producer in producers {
                    deadlines[producer] = deadlines[end];
                    ahead.push(producer);
                }
            }
        }
        deadlines
    }

    fn finish(mut self) -> Self {
        self.drop_observations();
        self.unbind();
        // The last removals may have changed the states in which the search gets stuck.
        self.accept(self.start, self.kept.clone());
        self
    }

    /// Whether the budget allows another attempt.
    fn may_try(&mut self) -> bool {
        let in_time = self.budget.until.is_none_or(|until| Instant::now() < until);
        let may = in_time && self.budget.work / SHARE >= LEAST_WORK;
        self.cut_short |= !may;
        may
    }

    /// Continues with these steps if they are still contradictory.
    fn accept(&mut self, start: Start, kept: Vec<Kept>) -> bool {
        if !self.may_try() {
            return false;
        }
        let allowed = self.budget.work / SHARE;
        let steps: Vec<Step> = kept.iter().map(|kept| kept.step).collect();
        let (finding, work) = search::decide(&steps, &initial(start, &steps), allowed);
        self.budget.work = self.budget.work.saturating_sub(work.max(LEAST_WORK));
        match finding {
            Finding::Contradiction { stuck, states } => {
                self.start = start;
                self.stuck = kept[stuck].origin;
                self.states = states;
                self.kept = kept;
                true
            }
            Finding::Undecided { .. } => {
                self.cut_short = true;
                false
            }
            Finding::Linearizable => false,
        }
    }
}

/// The possible first states of the key. All values that no step names are equivalent.
fn initial(start: Start, steps: &[Step]) -> Vec<State> {
    match start {
        Start::Absent => vec![State::ABSENT],
        Start::Anything => {
            let named = steps.iter().flat_map(|step| step.effect.names());
            let mut states: BTreeSet<State> = named.flatten().collect();
            states.extend([State::ABSENT, State::OTHER]);
            states.into_iter().collect()
        }
    }
}
