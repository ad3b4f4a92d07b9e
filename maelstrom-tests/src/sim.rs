//! The simulator: a whole cluster in one thread and in virtual time. The nodes, their storage,
//! their state machine and the bytes of their messages are the product's; the clients and their
//! checker are the bench's.
//!
//! Everything is drawn from one seed, including the kind of world. First there are faults of every
//! kind, and no rule may break. In some worlds what is broken then stays broken for a while, and a
//! connected quorum must elect and serve in spite of it. Then faults cease for at least a quorum,
//! which must elect, agree and serve in time. At the end the clients' history must be linearizable.
//!
//! Read [`options`] (what a world is), `storage` (the product's, on a disk that fails), then
//! `world`, which names the files that extend it. [`fleet`] runs many seeds, [`shrink`] looks for a
//! smaller world that fails too, [`rare_events`] counts what a fleet has met, `trace` keeps the
//! events and prints them as a story.

pub mod flags;
pub mod fleet;
pub mod options;
pub mod rare_events;
pub mod shrink;

mod agenda;
mod changes;
mod checks;
mod clients;
mod ending;
mod faults;
mod lasting;
mod machine;
mod member;
mod network;
mod processes;
mod storage;
mod storing;
#[cfg(test)]
mod tests;
mod trace;
mod traffic;
mod world;

use std::fmt;
use std::sync::mpsc::channel;

use rand::Rng;

use self::options::Options;
use self::rare_events::RareEvents;
use self::trace::Tape;
use self::world::World;
use crate::guard::{self, Ended};
use crate::replica::describe::shorten;
use crate::rules::Broken;

/// The longest rule with its details that is printed.
const RULE_CHARACTERS_MAX: usize = 1000;

/// The rule that a panic breaks.
const PANIC: &str = "a node must not panic: ";

/// A seed, and the options that differ from those that it draws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Names and values of options.
    pub changes: Vec<(&'static str, u64)>,
}

/// A run in which all rules held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A hash of all events.
    pub hash: u64,
    /// The number of events.
    pub events: u64,
    /// The simulated time, in thousandths of a tick.
    pub time: u64,
    /// How often rare events happened.
    pub rare: RareEvents,
}

/// A run that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which run.
    pub case: Case,
    /// Its world.
    pub options: Options,
    /// The rule, in words.
    pub rule: String,
    /// The number of events before.
    pub events: u64,
    /// Its time, in thousandths of a tick.
    pub time: u64,
    /// The last events, in the language of the golden scripts.
    pub story: String,
}

impl Case {
    /// A seed with the options that it draws.
    pub fn of(seed: u64) -> Self {
        let changes = Vec::new();
        Self { seed, changes }
    }

    /// A seed in this world.
    pub fn in_world(seed: u64, world: &Options) -> Self {
        let drawn = Self::of(seed).options();
        let names = Options::ALL.iter().map(|option| option.name);
        let changed = names.filter(|name| drawn.value(name) != world.value(name));
        Self {
            seed,
            changes: changed.map(|name| (name, world.value(name))).collect(),
        }
    }

    /// The world.
    pub fn options(&self) -> Options {
        let mut options = Options::draw(&mut Rng::seeded(self.seed));
        for (name, value) in &self.changes {
            options.set(name, *value);
        }
        options
    }
}

/// Prints the command that runs it.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.seed.wrapping_add(1);
        write!(f, "cargo run --release -- sim --seeds {}..{end}", self.seed)?;
        for (name, value) in &self.changes {
            write!(f, " --set {name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            case,
            options,
            rule,
            events,
            story,
            ..
        } = self;
        let seed = case.seed;
        write!(
            f,
            "# The last events before the failure; docs/OUTPUT.md explains how to read them.\n{story}\n\
             world: {options}\nseed {seed}, event {events}: rule broken: {rule}\n\
             replay it with:          {case}\nlook for a smaller case: {case} --shrink\n",
        )
    }
}

/// Runs one case. A failure's story has at most `events_max` events.
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
        Ok((world.agenda.now, world.rare))
    });
    let ended = began.map(|()| ended.recv());
    let trace = tape.trace();
    let rule = match ended {
        Ok(Ok(((), Ended::Returned(Ok((time, rare)))))) => {
            return Ok(Report {
                hash: trace.hash(),
                events: trace.count,
                time,
                rare,
            });
        }
        Ok(Ok(((), Ended::Returned(Err(Broken(rule)))))) => rule,
        Ok(Ok(((), Ended::Panicked(panic)))) => format!("{PANIC}{}", panic.replace('\n', " ")),
        Ok(Err(_)) => "a run must end".to_owned(),
        Err(error) => format!("a run must get a thread: {error}"),
    };
    Err(Box::new(Failure {
        case: case.clone(),
        options,
        rule: shorten(&rule, RULE_CHARACTERS_MAX),
        events: trace.count,
        time: trace.time,
        story: trace.story(),
    }))
}
