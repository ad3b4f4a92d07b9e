//! Checks whether a history of reads, writes, cas and deletes is linearizable.
//!
//! A history is linearizable if each operation can be assigned one instant between its beginning
//! and its end, such that a single copy of the data, used in the order of these instants, gives the
//! same results. The property is local (Herlihy & Wing 1990): the whole is linearizable if and only
//! if each key by itself is, so keys are checked one by one, on all cores. A key is a register that
//! does not exist at first, and after a delete.
//!
//! What a reply implies for the register (more than Knossos uses):
//!
//! | operation | ok | 20 | 22 | other definite code | unknown |
//! |---|---|---|---|---|---|
//! | read | it held this value, null or not | it did not exist | impossible | nothing | nothing |
//! | write | it holds this value from then on | impossible | impossible | nothing | happens later or never |
//! | cas | it held `from`, it holds `to` from then on | it did not exist | it existed and held another value than `from` | nothing | happens later or never |
//! | delete | it existed, it does not from then on | it did not exist | impossible | nothing | happens later or never |
//!
//! *Impossible* is a reply that no register gives (21 always is: no operation of lin-kv requires a
//! key to be absent); such a history is invalid. *Nothing* means that the operation is ignored: it
//! had no effect and observed nothing. An operation without an end is unknown. Values are equal if
//! they are the same JSON value: 1 equals 1.0.
//!
//! Read `register` first, then `search`, then `shrink`, which reduces a contradiction to a few
//! operations, and `draw`, which prints it.

mod draw;
mod register;
mod search;
mod shrink;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use json::Value;
use register::{Condition, Effect, State, Step};
use search::Finding;
use shrink::{Budget, Core, Kept};
pub use shrink::{Part, Start};

use crate::history::{Call, ErrorCode, Operation, Outcome};

/// The default limit of work for one key, in the units of [`Limits::per_key`]. A key that needs
/// more is undecided.
pub const WORK_MAX: u64 = 16_000_000;

/// The limit of work for shrinking one contradiction. Shrinking ends there.
const SHRINK_WORK_MAX: u64 = 16_000_000;

/// After this share of a key's work, the search looks for a contradiction among the last operations
/// that it reached.
const FIRST_SHARE: u64 = 8;

/// The most threads of a check.
const THREADS_MAX: usize = 16;

/// The default of [`Limits::shrinking`].
const SHRINKING_MAX: Duration = Duration::from_secs(5);

/// How much to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Units of work for one key. A configuration visited is 16 units, about 200 bytes and a
    /// microsecond.
    pub per_key: u64,
    /// For how long contradictions are shrunk, from the first that is found.
    pub shrinking: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_key: WORK_MAX,
            shrinking: SHRINKING_MAX,
        }
    }
}

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// The verdict.
    pub verdict: Verdict,
    /// The number of keys.
    pub keys: usize,
    /// The number of operations.
    pub operations: usize,
}

/// Whether a history is linearizable.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is linearizable.
    Valid,
    /// It is not: a contradiction for each key that is not linearizable, at least one.
    Invalid(Vec<Contradiction>),
    /// No contradiction was found, but the search reached its limit for these keys.
    Unknown(Vec<Value>),
}

/// Why a key is not linearizable: a few operations that contradict each other, independent of all
/// other operations.
#[derive(Clone, Debug)]
pub struct Contradiction {
    /// The key.
    pub key: Value,
    /// What the key may have held before.
    pub start: Start,
    /// The operations, in the order of their invocations. None of the bound ones can be removed or
    /// end later without resolving the contradiction (unless shrinking reached its limit). The
    /// others could have resolved it, and do not.
    pub parts: Vec<Part>,
    /// The index in `parts` of the operation that cannot take effect before its end.
    pub stuck: usize,
    /// The values that the key may have had while that operation ran.
    pub possible: Vec<Held>,
    /// Shrinking reached its limit first, so fewer operations may contradict each other as well.
    pub cut_short: bool,
}

/// What a key may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// The key does not exist.
    Nothing,
    /// This value.
    Value(Value),
    /// A value that none of the operations in question names.
    SomethingElse,
}

/// Checks operations, given in any order, on all cores.
pub fn check(operations: &[Operation], limits: Limits) -> Analysis {
    let mut by_key: BTreeMap<&Value, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        by_key.entry(&operation.key).or_default().push(operation);
    }
    let keys: Vec<(&Value, Vec<&Operation>)> = by_key.into_iter().collect();

    let mut contradictions = Vec::new();
    let mut undecided = Vec::new();
    for (&(key, _), result) in keys.iter().zip(on_all_cores(&keys, limits)) {
        match result {
            KeyResult::Linearizable => {}
            KeyResult::Contradictory(contradiction) => contradictions.push(contradiction),
            KeyResult::Undecided => undecided.push(key.clone()),
        }
    }
    let verdict = if !contradictions.is_empty() {
        Verdict::Invalid(contradictions)
    } else if !undecided.is_empty() {
        Verdict::Unknown(undecided)
    } else {
        Verdict::Valid
    };
    Analysis {
        verdict,
        keys: keys.len(),
        operations: operations.len(),
    }
}

/// The result for one key.
enum KeyResult {
    Linearizable,
    Contradictory(Contradiction),
    Undecided,
}

/// The result for each key, in the order of the keys. Each thread takes the next key that is not
/// taken yet.
fn on_all_cores(keys: &[(&Value, Vec<&Operation>)], limits: Limits) -> Vec<KeyResult> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let shrink_until = OnceLock::new();
    let results: Mutex<Vec<(usize, KeyResult)>> = Mutex::new(Vec::new());
    let work = || {
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some((key, operations)) = keys.get(at)
        {
            let result = check_key(key, operations, limits, &shrink_until);
            let mut results = results
                .lock()
                .expect("no thread panics while it holds this");
            results.push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..cores.min(THREADS_MAX).min(keys.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut results = results
        .into_inner()
        .expect("no thread panics while it holds this");
    results.sort_by_key(|&(at, _)| at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// `shrink_until` is set when the first contradiction is found.
fn check_key(
    key: &Value,
    operations: &[&Operation],
    limits: Limits,
    shrink_until: &OnceLock<Option<Instant>>,
) -> KeyResult {
    let (steps, origins, values) = translate(operations);
    let explain = |core: Core| {
        let held = |state: &State| match state.number() {
            Some(number) => Held::Value(values[number].clone()),
            None if *state == State::ABSENT => Held::Nothing,
            None => Held::SomethingElse,
        };
        let part = |kept: &Kept| Part {
            operation: operations[origins[kept.origin]].clone(),
            is_bound: kept.step.completed.is_some(),
        };
        KeyResult::Contradictory(Contradiction {
            key: key.clone(),
            start: core.start,
            parts: core.kept.iter().map(part).collect(),
            stuck: core.stuck(),
            possible: core.states.iter().map(held).collect(),
            cut_short: core.cut_short,
        })
    };
    let decide = |budget| search::decide(&steps, &[State::ABSENT], budget).0;
    let mut finding = decide(limits.per_key / FIRST_SHARE);
    if let Finding::Undecided { furthest } = finding {
        let budget = Budget {
            work: limits.per_key,
            until: None,
        };
        if let Some(core) = shrink::look_nearby(&steps, furthest, budget) {
            return explain(core);
        }
        finding = decide(limits.per_key);
    }
    match finding {
        Finding::Linearizable => KeyResult::Linearizable,
        Finding::Undecided { furthest: _ } => KeyResult::Undecided,
        Finding::Contradiction { stuck, states } => {
            let until = shrink_until.get_or_init(|| Instant::now().checked_add(limits.shrinking));
            let budget = Budget {
                work: SHRINK_WORK_MAX,
                until: *until,
            };
            explain(shrink::shrink(&steps, stuck, states, budget))
        }
    }
}

/// The steps that observe or may change something, the index of each step's operation, and the
/// values by number.
fn translate<'a>(operations: &[&'a Operation]) -> (Vec<Step>, Vec<usize>, Vec<&'a Value>) {
    let mut numbers: BTreeMap<&Value, usize> = BTreeMap::new();
    let mut values = Vec::new();
    let mut state = |value: &'a Value| {
        let number = *numbers.entry(value).or_insert_with(|| {
            values.push(value);
            values.len() - 1
        });
        State::holding(number)
    };
    let mut steps = Vec::new();
    let mut origins = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        let outcome = operation.completed.as_ref().map(|(_, outcome)| outcome);
        let end = operation.completed.as_ref().map(|&(moment, _)| moment);
        let mut push = |completed, effect| {
            steps.push(Step {
                invoked: operation.invoked,
                completed,
                effect,
            });
            origins.push(at);
        };
        match outcome {
            Some(Outcome::Failed(code)) => {
                if let Some(condition) = observed(*code, &operation.call, &mut state) {
                    push(end, Effect::Observe(condition));
                }
            }
            Some(Outcome::ReadOk(value)) => {
                push(end, Effect::Observe(Condition::Is(state(value))));
            }
            Some(Outcome::Done) => {
                if let Some(effect) = change(&operation.call, &mut state) {
                    push(end, effect);
                }
            }
            Some(Outcome::Unknown(_)) | None => {
                if let Some(effect @ (Effect::Write(_) | Effect::Cas { .. } | Effect::Delete)) =
                    change(&operation.call, &mut state)
                {
                    push(None, effect);
                }
            }
        }
    }
    merge_untold(&mut steps);
    (steps, origins, values)
}

/// Makes all values one that only operations of unknown outcome write and nothing compares: no
/// operation tells them apart, and the search would try each.
fn merge_untold(steps: &mut [Step]) {
    let told = steps.iter().filter_map(|step| match step.effect {
        Effect::Observe(Condition::Is(state) | Condition::PresentAndNot(state)) => Some(state),
        Effect::Cas { from, to: _ } => Some(from),
        Effect::Observe(Condition::Never) | Effect::Write(_) | Effect::Delete => None,
    });
    let definite = steps.iter().filter(|step| step.completed.is_some());
    let written = definite.filter_map(|step| step.effect.target());
    let told: BTreeSet<State> = told.chain(written).collect();
    for step in steps.iter_mut().filter(|step| step.completed.is_none()) {
        if let Effect::Write(to) | Effect::Cas { from: _, to } = &mut step.effect
            && !told.contains(to)
        {
            *to = State::OTHER;
        }
    }
}

/// The effect of a write, cas or delete.
fn change<'a>(call: &'a Call, state: &mut impl FnMut(&'a Value) -> State) -> Option<Effect> {
    match call {
        Call::Read => None,
        Call::Write(value) => Some(Effect::Write(state(value))),
        Call::Cas { from, to } => {
            let (from, to) = (state(from), state(to));
            Some(if from == to {
                Effect::Observe(Condition::Is(from))
            } else {
                Effect::Cas { from, to }
            })
        }
        Call::Delete => Some(Effect::Delete),
    }
}

/// What a failed operation observed, if its error code implies anything.
fn observed<'a>(
    code: ErrorCode,
    call: &'a Call,
    state: &mut impl FnMut(&'a Value) -> State,
) -> Option<Condition> {
    match (code, call) {
        (ErrorCode::KEY_DOES_NOT_EXIST, Call::Read | Call::Cas { .. } | Call::Delete) => {
            Some(Condition::Is(State::ABSENT))
        }
        (ErrorCode::PRECONDITION_FAILED, Call::Cas { from, to: _ }) => {
            Some(Condition::PresentAndNot(state(from)))
        }
        (_, Call::Read | Call::Write(_) | Call::Cas { .. } | Call::Delete) => {
            impossible(code, call).map(|_| Condition::Never)
        }
    }
}

/// Why no register gives this reply, if that is so.
fn impossible(code: ErrorCode, call: &Call) -> Option<&'static str> {
    match (code, call) {
        (ErrorCode::KEY_DOES_NOT_EXIST, Call::Write(_)) => {
            Some("a write creates a key that does not exist")
        }
        (ErrorCode::KEY_ALREADY_EXISTS, _) => {
            Some("no request of lin-kv needs the key not to exist")
        }
        (ErrorCode::PRECONDITION_FAILED, Call::Read | Call::Write(_) | Call::Delete) => {
            Some("only a cas expects a value")
        }
        (_, Call::Read | Call::Write(_) | Call::Cas { .. } | Call::Delete) => None,
    }
}
