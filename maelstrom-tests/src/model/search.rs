//! Breadth first, and in little memory: of each world only its fingerprint is kept, and by which action
//! it came from which other. A worker that needs the world itself lets it happen again; since
//! the worlds of a level are searched in the order in which their parents were, most of the way to the
//! next one is the way to the one before.

use std::{
    cell::RefCell,
    collections::HashSet,
    fmt, fs,
    hash::{BuildHasherDefault, Hasher},
    io::{self, IsTerminal, Write},
    ops::Range,
    panic,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    names,
    options::{Bounds, Options},
    story,
    world::{Action, Stop, World},
};
use crate::{check::Status, rules::Broken};

/// How many worlds a worker takes at a time.
const SHARE: usize = 64;

/// Into how many sets the fingerprints are divided, so that workers seldom wait for each other.
const SHARDS: usize = 64;

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How many worlds there were.
    pub worlds: u64,
    /// How many actions were tried that could happen.
    pub actions: u64,
    /// How many actions the last of the worlds is away from the first.
    pub depth: u32,
    /// How it ended.
    pub end: End,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All worlds were searched, and no rule is broken in any.
    Exhausted,
    /// The time or the room for worlds ended first.
    OutOfBudget,
    /// A rule is broken.
    Broken {
        /// Which.
        rule: String,
        /// A shortest way to break it, as a golden script.
        story: String,
    },
}

/// Searches, tells how it goes, and says what came of it.
///
/// # Errors
/// If standard output can't be written.
pub fn run(options: &Options) -> io::Result<Status> {
    panic::set_hook(Box::new(tell_panic));
    let progress = Progress::new();
    let found = search(options, |so_far| progress.tell(so_far));
    progress.end();
    let mut out = io::stdout().lock();
    let status = match &found.end {
        End::Exhausted => Status::Valid,
        End::OutOfBudget => Status::Unknown,
        End::Broken { rule, story } => {
            writeln!(out, "{story}\nbroken: {rule}\n")?;
            Status::Invalid
        }
    };
    writeln!(out, "{found}, {:.1?}", progress.start.elapsed())?;
    Ok(status)
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match &self.end {
            End::Exhausted => "exhausted",
            End::OutOfBudget => "not exhausted, the budget ended",
            End::Broken { .. } => "not exhausted, a rule is broken",
        };
        let Self {
            worlds,
            actions,
            depth,
            end: _,
        } = self;
        write!(f, "{end}: {worlds} states, depth {depth}, {actions} steps")
    }
}

/// How far a search is.
#[derive(Clone, Copy, Debug)]
pub struct SoFar {
    worlds: u64,
    depth: u32,
    waiting: usize,
}

/// Searches all courses of a world.
///
/// # Panics
/// If a node does; then its way there is told by [`run`]'s panic hook.
pub fn search(options: &Options, progress: impl Fn(SoFar) + Sync) -> Found {
    let bounds = &options.bounds;
    let first = match World::new(bounds) {
        Ok(world) => world,
        Err(stop) => unreachable!("nodes can start: {stop:?}"),
    };
    let search = Search {
        options,
        first,
        start: Instant::now(),
        seen: Seen::default(),
        actions: AtomicU64::new(0),
        out_of_budget: AtomicBool::new(false),
        broken: Mutex::new(None),
    };
    search.seen.insert(names::fingerprint(&search.first));
    let mut table = vec![Origin {
        parent: 0,
        action: 0,
    }];
    let mut level = 0..1;
    let mut depth = 0;
    loop {
        let next = search.level(&table, level.clone(), |waiting| {
            progress(SoFar {
                worlds: table.len() as u64,
                depth,
                waiting,
            });
        });
        let broken = search.broken.lock().expect("no worker panics").take();
        let end = match broken {
            Some((parent, action, Broken(rule))) => {
                let mut climber = Climber::new(&search.first, bounds);
                climber.climb(&table, parent);
                let mut actions = climber.actions();
                actions.push(action);
                let story = story::tell(bounds, &actions, &rule);
                Some(End::Broken { rule, story })
            }
            None if search.out_of_budget.load(Ordering::Relaxed) => Some(End::OutOfBudget),
            None if next.is_empty() => Some(End::Exhausted),
            None => None,
        };
        level = table.len()..table.len() + next.len();
        table.extend(next);
        if let Some(end) = end {
            return Found {
                worlds: table.len() as u64,
                actions: search.actions.load(Ordering::Relaxed),
                depth,
                end,
            };
        }
        depth += 1;
    }
}

/// Where a world came from.
#[derive(Clone, Copy, Debug)]
struct Origin {
    /// Its parent's place in the table.
    parent: u32,
    /// The place of the action among the parent's.
    action: u16,
}

struct Search<'a> {
    options: &'a Options,
    first: World,
    start: Instant,
    seen: Seen,
    actions: AtomicU64,
    out_of_budget: AtomicBool,
    /// The world in which something happened that broke a rule, and what it was.
    broken: Mutex<Option<(usize, Action, Broken)>>,
}

impl Search<'_> {
    /// Searches the worlds of one level. Returns those of the next.
    fn level(
        &self,
        table: &[Origin],
        level: Range<usize>,
        progress: impl Fn(usize) + Sync,
    ) -> Vec<Origin> {
        let next = AtomicUsize::new(level.start);
        let work = || {
            let mut climber = Climber::new(&self.first, &self.options.bounds);
            let mut found = Vec::new();
            loop {
                let start = next.fetch_add(SHARE, Ordering::Relaxed);
                if start >= level.end || self.is_over(table.len() + found.len()) {
                    return found;
                }
                for at in start..level.end.min(start + SHARE) {
                    self.expand(table, at, &mut climber, &mut found);
                }
                progress(level.end - start);
            }
        };
        thread::scope(|scope| {
            let helpers: Vec<_> = (1..self.options.jobs).map(|_| scope.spawn(work)).collect();
            let mut found = work();
            for helper in helpers {
                let helped = helper.join();
                found.extend(helped.unwrap_or_else(|panic| panic::resume_unwind(panic)));
            }
            // Neighbours share most of their way.
            found.sort_unstable_by_key(|origin| (origin.parent, origin.action));
            found
        })
    }

    fn is_over(&self, worlds: usize) -> bool {
        let late = (self.options.time_max).is_some_and(|max| self.start.elapsed() > max);
        if late || worlds >= self.options.worlds_max as usize {
            self.out_of_budget.store(true, Ordering::Relaxed);
        }
        self.out_of_budget.load(Ordering::Relaxed)
            || self.broken.lock().expect("no worker panics").is_some()
    }

    /// Lets everything happen to one world that may, and notes the worlds that are new.
    fn expand(
        &self,
        table: &[Origin],
        at: usize,
        climber: &mut Climber<'_>,
        found: &mut Vec<Origin>,
    ) {
        let bounds = &self.options.bounds;
        climber.climb(table, at);
        let world = climber.world();
        let mut happened = 0;
        for (number, action) in (0..).zip(world.actions(bounds)) {
            let mut next = world.clone();
            UNDER_WAY.with_borrow_mut(|way| way.next = Some(action));
            match next.act(action, bounds) {
                Ok(_) => {}
                Err(Stop::Idle) => continue,
                Err(Stop::Broken(broken)) => {
                    let mut first = self.broken.lock().expect("no worker panics");
                    first.get_or_insert((at, action, broken));
                    return;
                }
            }
            happened += 1;
            next.tidy();
            if self.seen.insert(names::fingerprint(&next)) {
                found.push(Origin {
                    parent: u32::try_from(at).expect("worlds_max is less"),
                    action: number,
                });
            }
        }
        self.actions.fetch_add(happened, Ordering::Relaxed);
    }
}

/// The way to a world, with all worlds on it.
struct Climber<'a> {
    bounds: &'a Bounds,
    first: &'a World,
    steps: Vec<Step>,
}

struct Step {
    at: usize,
    action: Action,
    world: World,
}

impl<'a> Climber<'a> {
    fn new(first: &'a World, bounds: &'a Bounds) -> Self {
        Self {
            bounds,
            first,
            steps: Vec::new(),
        }
    }

    fn world(&self) -> &World {
        self.steps.last().map_or(self.first, |step| &step.world)
    }

    fn actions(&self) -> Vec<Action> {
        self.steps.iter().map(|step| step.action).collect()
    }

    /// Goes to a world: back to where its way parts from this one, and on from there.
    fn climb(&mut self, table: &[Origin], goal: usize) {
        let mut way = Vec::new();
        let mut at = goal;
        while at != 0 {
            way.push(at);
            at = table[at].parent as usize;
        }
        let shared = (self.steps.iter().zip(way.iter().rev()))
            .take_while(|(step, at)| step.at == **at)
            .count();
        self.steps.truncate(shared);
        for at in way.into_iter().rev().skip(shared) {
            let mut world = self.world().clone();
            let action = world.actions(self.bounds)[usize::from(table[at].action)];
            if let Err(stop) = world.act(action, self.bounds) {
                unreachable!("what happened once happens again: {stop:?}");
            }
            world.tidy();
            self.steps.push(Step { at, action, world });
        }
        UNDER_WAY.with_borrow_mut(|way| {
            *way = UnderWay {
                bounds: Some(self.bounds.clone()),
                before: self.actions(),
                next: None,
            };
        });
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
    /// True if it is new.
    fn insert(&self, fingerprint: u64) -> bool {
        // A set decides by the lowest and the highest bits.
        let shard = (fingerprint >> 32) as usize % SHARDS;
        let mut set = self.0[shard].lock().expect("no worker panics");
        set.insert(fingerprint)
    }
}

/// The hash of a fingerprint.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is one number");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

// ---- Telling.

/// What this thread is letting happen, in case a node panics.
#[derive(Debug, Default)]
struct UnderWay {
    bounds: Option<Bounds>,
    before: Vec<Action>,
    next: Option<Action>,
}

thread_local! {
    static UNDER_WAY: RefCell<UnderWay> = RefCell::default();
}

/// Tells the way to a panic. The process ends then, so there is no other place for it.
fn tell_panic(panic: &panic::PanicHookInfo<'_>) {
    let way = UNDER_WAY.take();
    if let (Some(bounds), Some(next)) = (way.bounds, way.next) {
        let mut actions = way.before;
        actions.push(next);
        println!("{}", story::tell(&bounds, &actions, "a panic"));
    }
    eprintln!("{panic}");
}

/// Tells now and then how far the search is.
struct Progress {
    start: Instant,
    is_terminal: bool,
    told: Mutex<Option<Instant>>,
}

impl Progress {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            is_terminal: io::stderr().is_terminal(),
            told: Mutex::new(None),
        }
    }

    fn tell(&self, so_far: SoFar) {
        let interval = Duration::from_secs(if self.is_terminal { 1 } else { 30 });
        let mut told = self.told.lock().expect("nobody panics");
        if told.unwrap_or(self.start).elapsed() < interval {
            return;
        }
        *told = Some(Instant::now());
        let SoFar {
            worlds,
            depth,
            waiting,
        } = so_far;
        let seconds = self.start.elapsed().as_secs_f64();
        let line = format!(
            "{seconds:.0} s: depth {depth}, {worlds} states in the levels above, {waiting} to go in this one{}",
            memory()
        );
        if self.is_terminal {
            eprint!("\r{line}\x1b[K");
        } else {
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

/// How much memory the process has, where the system says so.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or_else(String::new, |kib| format!(", {} MiB", kib / 1024))
}
