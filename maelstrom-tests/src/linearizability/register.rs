//! The input of the search: the operations on one key, with values replaced by numbers.

use crate::history::Moment;

/// The state of a key: absent, or a value that is known by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct State(u32);

impl State {
    /// The key does not exist.
    pub(super) const ABSENT: Self = Self(0);
    /// The key holds a value that no operation of the history names.
    pub(super) const OTHER: Self = Self(1);

    /// The key holds the value with this number.
    pub(super) fn holding(number: usize) -> Self {
        Self(u32::try_from(number + 2).expect("a history has fewer than 2^32 values"))
    }

    /// The number of the value, if it is one that the history names.
    pub(super) fn number(self) -> Option<usize> {
        self.0.checked_sub(2).map(|number| number as usize)
    }
}

/// A condition on the state at the instant at which an operation takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Condition {
    /// The state is this one: a read that returned a value, or error 20.
    Is(State),
    /// The key exists and holds another value: error 22 to a `cas`.
    PresentAndNot(State),
    /// A reply that no register gives, such as error 22 to a read.
    Never,
}

impl Condition {
    pub(super) fn holds(self, state: State) -> bool {
        match self {
            Self::Is(wanted) => state == wanted,
            Self::PresentAndNot(other) => state != State::ABSENT && state != other,
            Self::Never => false,
        }
    }
}

/// What an operation requires of the state, and what it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Effect {
    /// Requires this, and changes nothing.
    Observe(Condition),
    /// Sets the state, and requires nothing.
    Write(State),
    /// Sets the state to `to`, and requires `from`. The two differ: a `cas` from a value to itself
    /// is an observation.
    Cas { from: State, to: State },
    /// Makes the key absent, and requires that it exists.
    Delete,
}

impl Effect {
    /// The state after this effect, or `None` if it is impossible in `state`.
    pub(super) fn apply(self, state: State) -> Option<State> {
        match self {
            Self::Observe(condition) => condition.holds(state).then_some(state),
            Self::Write(to) => Some(to),
            Self::Cas { from, to } => (state == from).then_some(to),
            Self::Delete => (state != State::ABSENT).then_some(State::ABSENT),
        }
    }

    /// The state after this effect, if it changes the state.
    pub(super) fn target(self) -> Option<State> {
        match self {
            Self::Observe(_) => None,
            Self::Write(to) | Self::Cas { from: _, to } => Some(to),
            Self::Delete => Some(State::ABSENT),
        }
    }

    /// The states that this effect names.
    pub(super) fn names(self) -> [Option<State>; 2] {
        match self {
            Self::Observe(Condition::Is(state) | Condition::PresentAndNot(state))
            | Self::Write(state) => [Some(state), None],
            Self::Observe(Condition::Never) => [None, None],
            Self::Cas { from, to } => [Some(from), Some(to)],
            Self::Delete => [Some(State::ABSENT), None],
        }
    }

    /// Whether this requires a state and is possible in `state`. Such an operation may need another
    /// one to take effect before it; a blind write never does.
    pub(super) fn consumes(self, state: State) -> bool {
        !matches!(self, Self::Write(_)) && self.apply(state).is_some()
    }
}

/// One operation on the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Takes effect at this moment or later.
    pub(super) invoked: Moment,
    /// Takes effect at this moment or earlier. `None`: at any later time, or never.
    pub(super) completed: Option<Moment>,
    pub(super) effect: Effect,
}

impl Step {
    /// Whether this step can be ignored: it has no known end and only observes.
    pub(super) fn imposes_nothing(&self) -> bool {
        self.completed.is_none() && matches!(self.effect, Effect::Observe(_))
    }
}
