//! What to fuzz, and for how long.

use std::ffi::OsString;
use std::time::Duration;

use raft::flags::{Command, Flag, Given, Parsed, UsageError, nearest};

use super::{PATIENCE, Plan, TARGETS, Target};
use crate::bench::options::random_seed;

/// How long each target is fuzzed if nobody says how long or how many.
const DEFAULT_TIME: Duration = Duration::from_secs(10);

/// How many threads there may be.
const JOBS_MAX: usize = 64;

/// What to do.
#[derive(Clone)]
pub struct Options {
    /// Print the targets and do nothing.
    pub list: bool,
    /// What to fuzz, one after the other.
    pub targets: Vec<&'static dyn Target>,
    /// How much of each.
    pub plan: Plan,
}

/// The flags of `fuzz`.
pub const FUZZ: Command = Command::new(
    "maelstrom-tests fuzz",
    "Feeds inputs drawn from seeds to all that reads what others wrote, and holds it to its laws: it never\n\
            panics, it gives back what it takes, readers of one format agree. Without targets, to everything.\n\
            \n\
            Exit status: 0 all laws held, 1 one is broken: the shrunk input and the way to replay it are printed.",
    &[
        Flag::new("seed", "N", "The seed of the first input of each target; each input has the next number\n\
                   (default: drawn, and printed)."),
        Flag::new("seconds", "S", "How long each target is fuzzed (default: 10, or without end if there is --inputs)."),
        Flag::new("inputs", "N", "How many inputs each target gets (default: as many as there is time for)."),
        Flag::new("jobs", "N", "How many threads try (default: as many as there are cores).").short('j'),
        Flag::switch("list", "Prints the targets."),
    ],
).arguments("[TARGET...]");

impl Options {
    /// Reads the arguments of `fuzz`: flags, and names of targets between them.
    ///
    /// # Errors
    /// A flag or target that is unknown, or a flag that has a value it can't use.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Options>, UsageError> {
        FUZZ.parse(arguments)?
            .try_map(|given| Options::from_given(&given))
    }

    fn from_given(given: &Given) -> Result<Options, UsageError> {
        let targets: Result<Vec<_>, _> = given
            .arguments
            .iter()
            .map(|name| target(&name.to_string_lossy()))
            .collect();
        let targets = targets?;
        let number = |name| given.optional_number(name, 0..=u64::MAX);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let jobs = given.optional_number("jobs", 1..=JOBS_MAX)?;
        let inputs = number("inputs")?;
        let seconds = number("seconds")?.map(Duration::from_secs);
        Ok(Options {
            list: given.is_set("list"),
            targets: match targets.is_empty() {
                true => TARGETS.to_vec(),
                false => targets,
            },
            plan: Plan {
                first_seed: number("seed")?.unwrap_or_else(random_seed),
                inputs,
                time: seconds.or(inputs.is_none().then_some(DEFAULT_TIME)),
                jobs: jobs.unwrap_or(cores.min(JOBS_MAX)),
                patience: PATIENCE,
            },
        })
    }
}

fn target(name: &str) -> Result<&'static dyn Target, UsageError> {
    let found = TARGETS.iter().find(|target| target.name() == name);
    found.copied().ok_or_else(|| {
        let hint = match nearest(name, TARGETS.iter().map(|target| target.name())) {
            Some(near) => format!("did you mean {near}?"),
            None => "--list lists the targets".to_owned(),
        };
        UsageError::new(format!("unknown target {name:?}; {hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        match Options::parse(line.split_whitespace().map(OsString::from)) {
            Ok(Parsed::Run(options)) => Ok(options),
            Ok(Parsed::Print(page)) => Err(page),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn targets_and_flags_come_in_any_order() {
        for line in [
            "json wire --seed 7 --inputs 1",
            "--seed 7 --inputs 1 json wire",
            "json --seed=7 wire --inputs 1",
        ] {
            let options = parse(line).expect(line);
            let names: Vec<_> = options.targets.iter().map(|t| t.name()).collect();
            assert_eq!(names, ["json", "wire"], "{line}");
            assert_eq!((options.plan.first_seed, options.plan.inputs), (7, Some(1)));
            assert_eq!(options.plan.time, None);
        }
        let options = parse("-j 1").expect("no target is all targets");
        assert_eq!(options.targets.len(), TARGETS.len());
        assert_eq!(options.plan.time, Some(DEFAULT_TIME));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, told) in [
            ("jason", "unknown target \"jason\"; did you mean json?"),
            ("--sed 7", "unknown flag --sed; did you mean --seed?"),
            (
                "--jobs 0",
                "--jobs: expected a whole number from 1 to 64, got '0'",
            ),
            (
                "--seed x",
                "--seed: expected a whole number from 0 to 18446744073709551615, got 'x'",
            ),
        ] {
            assert_eq!(parse(line).err().as_deref(), Some(told), "{line}");
        }
    }
}
