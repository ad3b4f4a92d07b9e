//! The command line of `sim`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use raft::flags::{Command, Flag, Given, Parsed, UsageError, nearest};

use super::fleet::Fleet;
use super::options::{HOUR, Options as World};
use super::shrink::shrink;
use super::{Case, fleet, run};
use crate::bench::options::random_seed;
use crate::check::Status;

/// A fleet of so many seeds must have met everything that may happen.
pub const COVERING_SEEDS: u64 = 1000;

/// Of so many seeds the worlds are looked at before any is run.
const SEEDS_TRIED: u64 = 1000;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    first: u64,
    /// One seed, told in full, or a fleet.
    count: Option<u64>,
    time_max: Option<Duration>,
    jobs: usize,
    shrink: bool,
    changes: Vec<(&'static str, u64)>,
}

/// The flags of `sim`.
pub const SIM: Command = Command::new(
    "maelstrom-tests sim",
    "Simulates whole clusters: the product's nodes on the product's storage, in one thread and in virtual time, with\n\
            every kind of fault. All of it is drawn from a seed, and one seed is one run, on any machine. After each step\n\
            the rules of Raft are checked; then the faults cease, and progress is demanded. The first failure ends it, and\n\
            is told with the command that replays it.\n\
            \n\
            Without flags: as many fresh seeds as a minute takes.\n\
            \n\
            Exit status: 0 no rule is broken, 1 one is, 2 so many seeds, and something rare never happened.",
    &[
        Flag::new(
            "seed",
            "N",
            "Runs one seed, and prints what it met and the hash of all that happened.",
        ),
        Flag::new(
            "seeds",
            "A..B",
            "Runs these seeds, B not among them. Or a number: so many fresh ones.",
        ),
        Flag::new(
            "minutes",
            "M",
            "Ends after that long (default: 1, if no seeds are named). Fractions are fine.",
        ),
        Flag::new(
            "jobs",
            "N",
            "How many threads run (default: as many as there are cores).",
        ),
        Flag::switch(
            "shrink",
            "Looks for a smaller world that fails as well: fewer nodes, fewer faults, a shorter run.",
        ),
        Flag::new(
            "set",
            "NAME=N",
            "Gives an option of the world this value whatever the seed draws; may be given often.\n\
                   --set help lists the options.",
        ),
    ],
);

impl Options {
    /// Reads the arguments of `sim`.
    ///
    /// # Errors
    /// A flag that is unknown or that has a value it can't use.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Self>, UsageError> {
        match SIM.parse(arguments)? {
            Parsed::Print(page) => Ok(Parsed::Print(page)),
            Parsed::Run(given) if given.texts("set").any(|text| text == "help") => {
                Ok(Parsed::Print(list_options()))
            }
            Parsed::Run(given) => Self::from_given(&given).map(Parsed::Run),
        }
    }

    fn from_given(given: &Given) -> Result<Self, UsageError> {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let changes: Result<Vec<_>, _> = given.texts("set").map(change).collect();
        let minutes = given.optional_number("minutes", 0.0..=1e6)?;
        let time_max = minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
        let seed = given.optional_number("seed", 0..=u64::MAX)?;
        let (first, count, time_max) = match (seed, given.text("seeds")) {
            (Some(_), Some(_)) => {
                return Err(UsageError::new("--seed and --seeds exclude each other"));
            }
            (Some(seed), None) => (seed, None, time_max),
            (None, Some(text)) => {
                let (first, count) = seeds(text)?;
                (first, Some(count), time_max)
            }
            (None, None) => {
                let time_max = time_max.unwrap_or(Duration::from_secs(60));
                (random_seed(), Some(u64::MAX), Some(time_max))
            }
        };
        let options = Self {
            first,
            count,
            time_max,
            jobs: given.optional_number("jobs", 1..=256)?.unwrap_or(cores),
            shrink: given.is_set("shrink"),
            changes: changes?,
        };
        // With options that were set, some seeds may draw the rest so that it does not fit.
        let tried = options.count.unwrap_or(1).min(SEEDS_TRIED);
        for offset in 0..tried {
            let seed = options.first.wrapping_add(offset);
            let changes = options.changes.clone();
            if let Err(why) = (Case { seed, changes }).options().validate() {
                return Err(UsageError::new(format!(
                    "there is no such world as seed {seed} draws with these options: {why}"
                )));
            }
        }
        Ok(options)
    }

    fn case(&self) -> Case {
        Case {
            seed: self.first,
            changes: self.changes.clone(),
        }
    }
}

/// `A..B`, or a number of fresh ones.
fn seeds(text: &str) -> Result<(u64, u64), UsageError> {
    let number = |text: &str| {
        text.parse::<u64>().map_err(|_| {
            UsageError::new(format!(
                "--seeds takes A..B or a number, as in 0..1000 or 1000, not {text:?}"
            ))
        })
    };
    match text.split_once("..") {
        None => match number(text)? {
            0 => Err(UsageError::new("--seeds 0 would run nothing")),
            count => Ok((random_seed(), count)),
        },
        Some((first, end)) => {
            let (first, end) = (number(first)?, number(end)?);
            if first < end {
                Ok((first, end - first))
            } else {
                Err(UsageError::new(format!(
                    "--seeds {text} has no seed in it: the first stands in front, and the end is not among them"
                )))
            }
        }
    }
}

fn change(text: &str) -> Result<(&'static str, u64), UsageError> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(UsageError::new(format!(
            "--set takes NAME=N, as in --set nodes=5, not {text:?}"
        )));
    };
    let Some(known) = World::NAMES.iter().find(|known| **known == name) else {
        let hint = match nearest(name, World::NAMES.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => "--set help lists them".to_owned(),
        };
        return Err(UsageError::new(format!("no option {name:?}; {hint}")));
    };
    let value = value.parse().map_err(|_| {
        UsageError::new(format!("--set {name} takes a whole number, not {value:?}"))
    })?;
    Ok((known, value))
}

fn list_options() -> String {
    let mut page = String::from("Options of a world, each with its value in a calm one:\n\n");
    for name in World::NAMES {
        let calm = World::CALM.value(name).expect("it is an option");
        page += &format!("  {name}={calm}\n");
    }
    page + "\nTimes are in thousandths of a tick, but for the first three behind nodes, which are in ticks.\n"
}

/// Runs what was asked for.
///
/// # Errors
/// Only those of stdout.
pub fn main(options: &Options) -> io::Result<Status> {
    match options.count {
        None => one(options),
        Some(count) => many(options, count),
    }
}

fn one(options: &Options) -> io::Result<Status> {
    let case = options.case();
    let failure = match run(&case, fleet::EVENTS_MAX) {
        Ok(report) => {
            let mut out = io::stdout().lock();
            writeln!(out, "world: {}\n", case.options())?;
            print_counts(&mut out, &report.sightings.counts())?;
            writeln!(
                out,
                "\nseed {}: no rule is broken; {} events in {:.1} simulated seconds, hash {:016x}",
                case.seed,
                report.events,
                report.time as f64 * 3600.0 / HOUR as f64,
                report.hash
            )?;
            return Ok(Status::Valid);
        }
        Err(failure) => failure,
    };
    let failure = if options.shrink {
        shrink(failure, |smaller, attempts| {
            eprintln!("after {attempts} attempts: {}", smaller.case);
        })
    } else {
        failure
    };
    write!(io::stdout().lock(), "{failure}")?;
    Ok(Status::Invalid)
}

fn many(options: &Options, count: u64) -> io::Result<Status> {
    writeln!(io::stdout().lock(), "seeds from {}", options.first)?;
    let outcome = fleet::fly(&Fleet {
        first: options.first,
        count,
        time_max: options.time_max,
        jobs: options.jobs,
        changes: options.changes.clone(),
    });
    let line = outcome.line();
    if let Some(failure) = outcome.failure {
        let failure = if options.shrink {
            shrink(failure, |smaller, attempts| {
                eprintln!("after {attempts} attempts: {}", smaller.case);
            })
        } else {
            failure
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{failure}\n{line}, and then one that broke a rule")?;
        return Ok(Status::Invalid);
    }
    let mut out = io::stdout().lock();
    print_counts(&mut out, &outcome.sightings.counts())?;
    writeln!(
        out,
        "\nthe slowest recovery took {} longest election timeouts\n{line}: no rule is broken",
        outcome.sightings.slowest_recovery
    )?;
    let missing = outcome.sightings.missing();
    // A fleet in a world of somebody's choice may be as tame as they like.
    if outcome.runs >= COVERING_SEEDS && options.changes.is_empty() && !missing.is_empty() {
        writeln!(
            out,
            "but the worlds are too tame: {} never happened",
            missing.join(", ")
        )?;
        return Ok(Status::Unknown);
    }
    Ok(Status::Valid)
}

fn print_counts(out: &mut impl Write, counts: &[(&str, u64)]) -> io::Result<()> {
    for (name, count) in counts {
        writeln!(out, "{count:>12} {name}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Parsed<Options>, UsageError> {
        Options::parse(arguments.iter().map(OsString::from))
    }

    #[track_caller]
    fn error(arguments: &[&str], why: &str) {
        let said = parse(arguments)
            .expect_err("that makes no sense")
            .to_string();
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn seeds_and_options_are_read() {
        let Parsed::Run(options) = parse(&["--seeds", "5..8", "--set", "nodes=5"]).unwrap() else {
            panic!("no help was asked for");
        };
        assert_eq!((options.first, options.count), (5, Some(3)));
        assert_eq!(options.changes, [("nodes", 5)]);
        assert_eq!(options.time_max, None);
        let Parsed::Run(options) = parse(&["--seed=7"]).unwrap() else {
            panic!("no help was asked for");
        };
        assert_eq!((options.first, options.count), (7, None));
        let Parsed::Print(page) = parse(&["--set", "help"]).unwrap() else {
            panic!("help was asked for");
        };
        assert!(page.contains("  nodes=3\n"), "{page}");
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        error(&["--seeds", "8..5"], "no seed in it");
        error(&["--seeds", "a..5"], "takes A..B");
        error(&["--seed", "1", "--seeds", "2"], "exclude each other");
        error(&["--set", "nodes"], "takes NAME=N");
        error(&["--set", "node=3"], "did you mean nodes?");
        error(&["--set", "nodes=three"], "a whole number");
        error(&["--set", "nodes=9"], "there is no such world");
        error(&["--seeds", "0"], "would run nothing");
        error(
            &["--seed", "1", "--set", "lost_for_good=99"],
            "lost_for_good is from 0 to 7",
        );
        error(&["--minutes", "-1"], "--minutes");
    }
}
