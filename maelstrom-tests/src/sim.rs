//! The simulator: a whole cluster in one thread and in virtual time. The nodes are the product's,
//! and so are their storage, the bytes that travel between them, and the machine; the clients and
//! their checker are the bench's.
//!
//! Everything is drawn from one seed, the kind of world too. First there are faults of every kind,
//! and nothing wrong may happen; then they cease for a quorum at least, and it must elect, agree
//! and serve in time. In the end the clients' history must be linearizable.
//!
//! Read [`options`] (what a world is), `machine`, `storage` (on a disk that breaks),
//! `network`, then `world`, which runs it all, with `storing`, `traffic`, `faults` and `ending`
//! beside it. [`fleet`] runs many seeds, [`shrink`] looks for a smaller world that fails
//! too, [`sightings`] counts what a fleet has met, `trace` remembers what happened and tells it.

pub mod flags;
pub mod fleet;
pub mod options;
pub mod shrink;
pub mod sightings;

mod clients;
mod ending;
mod faults;
mod machine;
mod network;
mod storage;
mod storing;
mod trace;
mod traffic;
mod world;

use std::fmt;
use std::sync::mpsc::channel;

use rand::Rng;

use self::options::Options;
use self::sightings::Sightings;
use self::trace::Tape;
use self::world::World;
use crate::guard::{self, Ended};
use crate::rules::Broken;

/// A seed, and in which of its options the world differs from the one that the seed draws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// What all of it is drawn from.
    pub seed: u64,
    /// The names of options, and their values.
    pub changes: Vec<(&'static str, u64)>,
}

/// A run that broke no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A hash of all that happened.
    pub hash: u64,
    /// How many things happened.
    pub events: u64,
    /// How long it took in the run's own time, in thousandths of a tick.
    pub time: u64,
    /// How often rare things happened.
    pub sightings: Sightings,
}

/// A run that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which run.
    pub case: Case,
    /// Its world.
    pub options: Options,
    /// Which rule, in words.
    pub rule: String,
    /// How many things happened before.
    pub events: u64,
    /// When it was, in thousandths of a tick.
    pub time: u64,
    /// The last of what happened, in the language of the golden scripts.
    pub story: String,
}

impl Case {
    /// A seed in the world that it draws.
    pub fn of(seed: u64) -> Self {
        let changes = Vec::new();
        Self { seed, changes }
    }

    /// A seed in this very world.
    pub fn in_world(seed: u64, world: &Options) -> Self {
        let drawn = Self::of(seed).options();
        let value = |options: &Options, name| options.value(name).expect("it is an option");
        let differs = |name: &&&'static str| value(&drawn, name) != value(world, name);
        let changed = Options::NAMES.iter().filter(differs);
        Self {
            seed,
            changes: changed.map(|name| (*name, value(world, name))).collect(),
        }
    }

    /// The world.
    pub fn options(&self) -> Options {
        let mut options = Options::draw(&mut Rng::seeded(self.seed));
        for (name, value) in &self.changes {
            assert!(options.set(name, *value), "{name} is an option");
        }
        options
    }
}

/// The command that runs it, without the program's name.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sim --seed {}", self.seed)?;
        for (name, value) in &self.changes {
            write!(f, " --set {name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "# {rule}\n#\n# This is how it came to that. Played is only a script from its beginning on; replay it with\n\
             #   maelstrom-tests {case}\n\n{story}\nworld: {options}\nseed {seed}, event {events}: rule broken: {rule}\n\
             replay it with: maelstrom-tests {case}\nlook for a smaller case with: maelstrom-tests {case} --shrink\n",
            case = self.case,
            story = self.story,
            options = self.options,
            seed = self.case.seed,
            events = self.events,
            rule = self.rule,
        )
    }
}

/// Runs one case. If it fails, so many of its last events are told.
///
/// # Errors
/// If a rule is broken, or anything panics.
pub fn run(case: &Case, events_max: usize) -> Result<Report, Box<Failure>> {
    let options = case.options();
    let tape = Tape::new(events_max);
    let (seed, world, trace) = (case.seed, options.clone(), tape.clone());
    let (sender, ended) = channel();
    let began = guard::start((), &sender, move || {
        let mut world = World::new(seed, world, trace)?;
        world.run()?;
        Ok((world.now, world.sightings))
    });
    let ended = began.map(|()| ended.recv());
    let trace = tape.trace();
    let rule = match ended {
        Ok(Ok(((), Ended::Returned(Ok((time, sightings)))))) => {
            return Ok(Report {
                hash: trace.hash(),
                events: trace.count(),
                time,
                sightings,
            });
        }
        Ok(Ok(((), Ended::Returned(Err(Broken(rule)))))) => rule,
        Ok(Ok(((), Ended::Panicked(what)))) => format!("a node must not panic: {what}"),
        Ok(Err(_)) => "a run must end".to_owned(),
        Err(error) => format!("a run needs a thread: {error}"),
    };
    Err(Box::new(Failure {
        case: case.clone(),
        options,
        rule,
        events: trace.count(),
        time: trace.time(),
        story: trace.story(),
    }))
}
