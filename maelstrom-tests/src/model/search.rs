//! Breadth-first search in little memory: of each world that was searched only its fingerprint and
//! its origin are kept. The worlds that wait are packed.

use std::cell::Cell;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;
use std::{fmt, panic, process, thread};

use raft::stdio::{print_error, stdout};

use super::names::Namer;
use super::node::{Clocks, Planted};
use super::options::Options;
use super::story;
use super::table::{Itself, SHARDS, shard};
use super::world::{Action, Packed, Tables, World};
use crate::bench::measure::resources::resident;
use crate::check::Status;
use crate::progress::Progress;
use crate::replica::describe::shorten;
use crate::rules::Broken;

/// The longest rule with its details that is printed.
const RULE_CHARACTERS_MAX: usize = 1000;

/// The number of worlds that a worker takes at once.
const SHARE: usize = 64;

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of worlds.
    pub(super) worlds: u64,
    /// The number of steps from the searched worlds to others.
    pub(super) steps: u64,
    /// The number of actions from the first world to the last.
    pub(super) depth: u32,
    /// How it ended.
    pub(super) end: End,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All worlds were searched, and all rules held.
    Exhausted,
    /// The time or the number of worlds reached its limit.
    OutOfBudget,
    /// A rule is broken.
    Broken {
        /// The rule.
        rule: String,
        /// A shortest way to break it, as a golden script.
        story: String,
    },
}

/// Searches, and prints the progress and the result.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(options: &Options) -> io::Result<Status> {
    panic::set_hook(Box::new(tell_panic));
    let progress = Progress::new();
    let found = search(options, Planted::default(), |worlds, depth, waiting| {
        progress.print(|| {
            let seconds = progress.elapsed().as_secs_f64();
            let (rate, memory) = (worlds as f64 / seconds, memory());
            format!(
                "{seconds:.0} s: depth {depth}, {worlds} states, {rate:.0} states/s, {waiting} to go at this depth{memory}"
            )
        });
    });
    progress.end();
    let mut out = stdout();
    let status = match &found.end {
        End::Exhausted => Status::Valid,
        End::OutOfBudget => Status::Unknown,
        End::Broken { rule, story } => {
            writeln!(
                out,
                "{story}\nrule broken: {rule}\nThe lines above are a golden script. Write them to FILE and replay them with\n  \
                 cargo run --release -- golden FILE\n"
            )?;
            Status::Invalid
        }
    };
    let took = progress.elapsed();
    let rate = found.worlds as f64 / took.as_secs_f64();
    writeln!(out, "{found}, {took:.1?}, {rate:.0} states/s{}", memory())?;
    Ok(status)
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match &self.end {
            End::Exhausted => "all states searched, all rules held",
            End::OutOfBudget => {
                "the budget ended before all states were searched, all rules held so far"
            }
            End::Broken { .. } => "a rule was broken",
        };
        let (worlds, depth, steps) = (self.worlds, self.depth, self.steps);
        write!(f, "{end}: {worlds} states, depth {depth}, {steps} steps")
    }
}

/// Searches all worlds within the bounds. A test may plant something into the nodes. Calls
/// `progress` with the numbers of worlds so far, of the depth, and of worlds that wait at this depth.
///
/// # Panics
/// If a node does. The panic hook of [`run`] prints the way there.
pub(super) fn search(
    options: &Options,
    planted: Planted,
    progress: impl Fn(u64, u32, u64) + Sync,
) -> Found {
    let tables = Tables::new(options.bounds.clone(), Clocks::Folded, planted);
    let first = match World::new(&tables) {
        Ok(world) => world,
        Err(Broken(rule)) => {
            let rule = shorten(&rule, RULE_CHARACTERS_MAX);
            return Found {
                worlds: 1,
                steps: 0,
                depth: 0,
                end: End::Broken {
                    story: story::begin(&options.bounds, &rule),
                    rule,
                },
            };
        }
    };
    let search = Search {
        options,
        start: Instant::now(),
        seen: Seen::default(),
        worlds: AtomicU64::new(1),
        steps: AtomicU64::new(0),
        out_of_budget: AtomicBool::new(false),
        broken: Mutex::new(None),
        trail: Arc::new(Trail {
            tables,
            origins: RwLock::new(vec![Origin {
                parent: 0,
                number: 0,
            }]),
        }),
    };
    let fingerprint = Namer::default().fingerprint(&search.trail.tables, &first);
    search.seen.insert(fingerprint);
    let mut level = Level {
        start: 0,
        worlds: vec![first.pack()],
    };
    let mut depth = 0;
    loop {
        let next = search.level(&level, |waiting| {
            progress(search.worlds.load(Ordering::Relaxed), depth, waiting);
        });
        let broken = search.broken.lock().expect("no worker panics").take();
        let end = match broken {
            Some((at, action, Broken(rule))) => {
                let rule = shorten(&rule, RULE_CHARACTERS_MAX);
                let story = search.trail.story(at, action, &rule);
                Some(End::Broken { rule, story })
            }
            None if search.out_of_budget.load(Ordering::Relaxed) => Some(End::OutOfBudget),
            None if next.worlds.is_empty() => Some(End::Exhausted),
            None => None,
        };
        level = next;
        if let Some(end) = end {
            return Found {
                worlds: search.worlds.load(Ordering::Relaxed),
                steps: search.steps.load(Ordering::Relaxed),
                depth,
                end,
            };
        }
        depth += 1;
    }
}

/// The worlds at the same distance from the first.
struct Level {
    /// The index of their first in all origins.
    start: usize,
    worlds: Vec<Packed>,
}

/// The origin of a world.
#[derive(Clone, Copy, Debug)]
struct Origin {
    /// Its parent's index in all origins.
    parent: u32,
    /// The number of the step from there.
    number: u32,
}

/// The ways to all worlds.
struct Trail {
    tables: Tables,
    origins: RwLock<Vec<Origin>>,
}

struct Search<'a> {
    options: &'a Options,
    start: Instant,
    seen: Seen,
    worlds: AtomicU64,
    steps: AtomicU64,
    out_of_budget: AtomicBool,
    /// The world and the action that broke a rule.
    broken: Mutex<Option<(usize, Action, Broken)>>,
    trail: Arc<Trail>,
}

impl Search<'_> {
    /// Searches the worlds of one level. Returns those of the next.
    fn level(&self, level: &Level, progress: impl Fn(u64) + Sync) -> Level {
        let taken = AtomicUsize::new(0);
        let work = || {
            TRAIL.set(Some(self.trail.clone()));
            let mut namer = Namer::default();
            let mut found = Vec::new();
            loop {
                let start = taken.fetch_add(SHARE, Ordering::Relaxed);
                if start >= level.worlds.len() || self.is_over() {
                    return found;
                }
                let share = level.worlds.iter().enumerate().skip(start).take(SHARE);
                for (at, world) in share {
                    self.expand(level.start + at, world, &mut namer, &mut found);
                }
                progress((level.worlds.len() - start) as u64);
            }
        };
        let found = thread::scope(|scope| {
            let helpers: Vec<_> = (1..self.options.jobs).map(|_| scope.spawn(work)).collect();
            let mut found = vec![work()];
            for helper in helpers {
                let helped = helper.join();
                found.push(helped.unwrap_or_else(|panic| panic::resume_unwind(panic)));
            }
            found
        });
        let mut origins = self.trail.origins.write().expect("no worker panics");
        let start = origins.len();
        let mut worlds = Vec::with_capacity(found.iter().map(Vec::len).sum());
        for (origin, world) in found.into_iter().flatten() {
            origins.push(origin);
            worlds.push(world);
        }
        Level { start, worlds }
    }

    fn is_over(&self) -> bool {
        let late = (self.options.time_max).is_some_and(|max| self.start.elapsed() > max);
        if late || self.worlds.load(Ordering::Relaxed) >= self.options.worlds_max.into() {
            self.out_of_budget.store(true, Ordering::Relaxed);
        }
        self.out_of_budget.load(Ordering::Relaxed)
            || self.broken.lock().expect("no worker panics").is_some()
    }

    /// Takes every step from one world, and keeps the new worlds.
    fn expand(
        &self,
        at: usize,
        world: &Packed,
        namer: &mut Namer,
        found: &mut Vec<(Origin, Packed)>,
    ) {
        let tables = &self.trail.tables;
        let world = world.unpack(self.options.bounds.all());
        let before = found.len();
        let begin = |action| NEXT.set(Some((at, action)));
        let (steps, broken) = world.steps(tables, begin);
        for (number, step) in (0..).zip(&steps) {
            if self.seen.insert(namer.fingerprint(tables, &step.next)) {
                let parent = u32::try_from(at).expect("worlds_max is less");
                found.push((Origin { parent, number }, step.next.pack()));
            }
        }
        if let Some((action, broken)) = broken {
            let mut first = self.broken.lock().expect("no worker panics");
            first.get_or_insert((at, action, broken));
        }
        let new = (found.len() - before) as u64;
        self.worlds.fetch_add(new, Ordering::Relaxed);
        self.steps.fetch_add(steps.len() as u64, Ordering::Relaxed);
    }
}

impl Trail {
    /// The story of the way to a world, and of the action after it.
    fn story(&self, at: usize, action: Action, rule: &str) -> String {
        let origins = self.origins.read().expect("no worker panics");
        let (mut way, mut at) = (Vec::new(), at);
        while at != 0 {
            way.push(origins[at].number);
            at = origins[at].parent as usize;
        }
        way.reverse();
        story::write(&self.tables, &way, Some(action), rule)
    }
}

/// Fingerprints.
struct Seen(Vec<Mutex<HashSet<u64, BuildHasherDefault<Itself>>>>);

impl Default for Seen {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Seen {
    /// Returns whether the fingerprint is new.
    fn insert(&self, fingerprint: u64) -> bool {
        let set = &self.0[shard(fingerprint)];
        set.lock().expect("no worker panics").insert(fingerprint)
    }
}

// ---- Output.

thread_local! {
    /// The ways to all worlds, in case a node panics.
    static TRAIL: Cell<Option<Arc<Trail>>> = Cell::default();
    /// The step that this thread takes then.
    static NEXT: Cell<Option<(usize, Action)>> = Cell::default();
}

/// Prints the way to a panic. The process ends then, so no other place can print it.
fn tell_panic(panic: &panic::PanicHookInfo<'_>) {
    if let (Some(trail), Some((at, action))) = (TRAIL.take(), NEXT.take()) {
        let story = trail.story(at, action, "a panic");
        // If stdout is full, the panic itself is still told.
        let _ = writeln!(stdout(), "{story}");
    }
    print_error(panic);
}

/// The process's memory, if the system reports it.
fn memory() -> String {
    let bytes = resident(process::id());
    bytes.map_or_else(String::new, |bytes| format!(", {} MiB", bytes >> 20))
}
