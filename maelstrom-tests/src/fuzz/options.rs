//! What to fuzz, and for how long.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use raft::flags::{Command, Flag, UsageError, hint};

use super::search::Plan;
use super::target::Target;
use super::{http, json, protocol, storage, wire};
use crate::bench::options::random_seed;
use crate::check::jobs;

/// All targets, in the order in which they run.
pub static TARGETS: [Target; 5] = [
    json::TARGET,
    wire::TARGET,
    http::TARGET,
    storage::TARGET,
    protocol::TARGET,
];

/// How long each target runs if neither a time nor a number of inputs is given.
const DEFAULT_TIME: Duration = Duration::from_secs(10);

/// How long a single input may take.
pub const INPUT_TIME_MAX: Duration = Duration::from_secs(60);

/// The most threads.
const JOBS_MAX: usize = 64;

/// What to do.
#[derive(Clone)]
pub struct Options {
    /// Print the targets and do nothing else.
    pub list: bool,
    /// The targets to run, one after the other.
    pub targets: Vec<&'static Target>,
    /// How long each of them runs.
    pub plan: Plan,
}

/// The flags of `fuzz`.
pub const FUZZ: Command = Command::new(
    "maelstrom-tests fuzz",
    "Fuzzes every parser and decoder: tries random and damaged inputs, and checks that each is read without a\n\
     panic, that what is accepted reads back, and that readers of one format agree. Without TARGET: all targets.\n\
     \n\
     A broken law is printed with the shrunk input and the command that replays it. The counts are outcomes, not\n\
     findings; docs/OUTPUT.md explains them.\n\
     \n\
     Exit status: 0 all laws held; 1 a law was broken.",
    &[
        Flag::new(
            "--seed N",
            "Seed of the first input of each target; each further input has the next number\n\
             (default: random, and printed).",
        ),
        Flag::new("--seconds S", "Time for each target (default: 10, or unlimited with --inputs)."),
        Flag::new("--inputs N", "Inputs for each target (default: as many as the time allows)."),
        Flag::new("-j, --jobs N", "Threads (default: one for each core)."),
        Flag::new("--list", "Prints the targets and ends."),
    ],
)
.arguments("[TARGET...]");

impl Options {
    /// Reads the arguments of `fuzz`: flags and names of targets, in any order.
    ///
    /// # Errors
    /// If a flag or target is unknown, or the value of a flag is invalid.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let given = FUZZ.parse(arguments)?;
        let targets: Result<Vec<_>, _> = given.arguments.iter().map(|name| target(name)).collect();
        let mut targets = targets?;
        if targets.is_empty() {
            targets.extend(&TARGETS);
        }
        let number = |name| given.optional_number(name, 0..=u64::MAX);
        let inputs = number("inputs")?;
        let seconds = number("seconds")?.map(Duration::from_secs);
        Ok(Self {
            list: given.is_set("list"),
            targets,
            plan: Plan {
                first_seed: number("seed")?.unwrap_or_else(random_seed),
                inputs,
                time: seconds.or(inputs.is_none().then_some(DEFAULT_TIME)),
                jobs: jobs(&given, JOBS_MAX)?,
                input_time_max: INPUT_TIME_MAX,
            },
        })
    }
}

fn target(name: &OsStr) -> Result<&'static Target, UsageError> {
    let found = TARGETS.iter().find(|target| target.name == name);
    found.ok_or_else(|| {
        let name = name.to_string_lossy();
        let names = TARGETS.iter().map(|target| target.name);
        let hint = hint(&name, names, "--list prints the targets");
        UsageError::new(format!("unknown target '{name}'; {hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let parsed = Options::parse(line.split_whitespace().map(OsString::from));
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn targets_and_flags_may_be_mixed() {
        for line in [
            "json wire --seed 7 --inputs 1",
            "--seed 7 --inputs 1 json wire",
            "json --seed=7 wire --inputs 1",
        ] {
            let options = parse(line).expect(line);
            let names: Vec<_> = options.targets.iter().map(|target| target.name).collect();
            assert_eq!(names, ["json", "wire"], "{line}");
            assert_eq!((options.plan.first_seed, options.plan.inputs), (7, Some(1)));
            assert_eq!(options.plan.time, None);
        }
        let options = parse("-j 1").expect("this is valid");
        assert_eq!(options.targets.len(), TARGETS.len());
        assert_eq!(options.plan.time, Some(DEFAULT_TIME));
    }

    #[test]
    fn unknown_target_is_rejected() {
        let error = parse("jason").err();
        let expected = "unknown target 'jason'; the nearest is json";
        assert_eq!(error.as_deref(), Some(expected));
    }
}
