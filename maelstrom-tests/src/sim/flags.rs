//! The command line of `sim`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use raft::flags::{Command, Flag, UsageError, hint};
use raft::stdio::{print_error, stdout};

use super::fleet::Fleet;
use super::options::{HOUR, Options as World};
use super::rare_events::RareEvents;
use super::shrink::shrink;
use super::{Case, Failure, fleet, run};
use crate::bench::options::random_seed;
use crate::check::{Status, jobs};

/// A fleet of this many drawn worlds must have met every rare event.
const COVERING_SEEDS: u64 = 1000;

/// The worlds of this many seeds are checked before the first run.
const SEEDS_CHECKED: u64 = 1000;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seeds. A single one is printed in full.
    fleet: Fleet,
    shrink: bool,
}

/// The flags of `sim`.
pub const SIM: Command = Command::new(
    "maelstrom-tests sim",
    "Simulates whole clusters in one thread and in virtual time: the product's nodes on its storage, with every kind of\n\
     fault. Everything is drawn from a seed, so a seed is one run, on any machine. After each step the rules of Raft\n\
     are checked; then the faults cease, and the cluster must recover and serve. The first failure ends the run and is\n\
     printed with the command that replays it. docs/OUTPUT.md explains how to read it.\n\
     \n\
     Without flags: random seeds for a minute.\n\
     \n\
     Exit status: 0 all rules held; 1 a rule was broken; 2 at least 1000 seeds ran and some rare event never occurred.\n\
     Five events may be missing, because each needs two rare events at once: elections_late, installs_of_conflicting,\n\
     installs_overtaken, figure_8_overwritten, snapshots_broken.",
    &[
        Flag::new(
            "--seeds A..B",
            "Runs seeds A to B-1, or N random seeds. A single seed also prints its world and a hash of all its events.",
        ),
        Flag::new("--seed N", "The same as --seeds N..N+1."),
        Flag::new(
            "--minutes M",
            "Starts no seed after this time; fractions are allowed (default: 1 without --seeds).",
        ),
        Flag::new("--jobs N", "Threads (default: one for each core)."),
        Flag::new(
            "--shrink",
            "After a failure, looks for a smaller world that fails too: fewer nodes and faults, a shorter run. May take minutes.",
        ),
        Flag::new(
            "--set NAME=N",
            "Sets an option of the world instead of the value that the seed draws. May be repeated. --set help lists the options.",
        ),
    ],
);

impl Options {
    /// Reads the arguments of `sim`.
    ///
    /// # Errors
    /// A flag that is unknown, or whose value is wrong.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let given = SIM.parse(arguments)?;
        if given.texts("set").any(|text| text == "help") {
            return Err(UsageError::Page(list_options()));
        }
        let changes: Result<Vec<_>, _> = given.texts("set").map(change).collect();
        let minutes = given.optional_number("minutes", 0.001..=1e6)?;
        let seed = given.optional_number("seed", 0..=u64::MAX)?;
        let (first, count, default) = match (seed, given.text("seeds")) {
            (Some(_), Some(_)) => {
                return Err(UsageError::new("give either --seed or --seeds, not both"));
            }
            (Some(seed), None) => (seed, 1, None),
            (None, Some(text)) => {
                let (first, count) = seeds(text)?;
                (first, count, None)
            }
            (None, None) => (random_seed(), u64::MAX, Some(1.0)),
        };
        let fleet = Fleet {
            first,
            count,
            time_max: minutes
                .or(default)
                .map(|m| Duration::from_secs_f64(m * 60.0)),
            jobs: jobs(&given, 256)?,
            changes: changes?,
        };
        // Options that are set may not fit what a seed draws.
        for case in (0..count.min(SEEDS_CHECKED)).map(|offset| fleet.case(offset)) {
            case.options().validate().map_err(|why| {
                let seed = case.seed;
                UsageError::new(format!(
                    "--set does not fit the world that seed {seed} draws: {why}"
                ))
            })?;
        }
        let shrink = given.is_set("shrink");
        Ok(Self { fleet, shrink })
    }
}

/// `A..B`, or a number of random seeds: the first seed and how many there are.
fn seeds(text: &str) -> Result<(u64, u64), UsageError> {
    let wrong = || {
        let expected = "A..B with A below B, or a number above 0, as in 0..1000 or 1000";
        UsageError::value("seeds", expected, text)
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let (first, count) = match text.split_once("..") {
        None => (random_seed(), number(text)?),
        Some((first, end)) => {
            let first = number(first)?;
            (first, number(end)?.saturating_sub(first))
        }
    };
    if count == 0 {
        return Err(wrong());
    }
    Ok((first, count))
}

fn change(text: &str) -> Result<(&'static str, u64), UsageError> {
    let change = text.split_once('=');
    let change = change.and_then(|(name, value)| Some((name, value.parse().ok()?)));
    let (name, value) =
        change.ok_or_else(|| UsageError::value("set", "NAME=N, as in nodes=5", text))?;
    let mut names = World::ALL.iter().map(|option| option.name);
    let known = names.clone().find(|known| *known == name);
    let known = known.ok_or_else(|| {
        let hint = hint(name, &mut names, "--set help lists them");
        UsageError::new(format!("--set: there is no option {name}; {hint}"))
    })?;
    Ok((known, value))
}

fn list_options() -> String {
    let mut page = String::from(
        "Options of a world, with their values in a world without faults. Times are in thousandths of a tick of 10 ms,\n\
         unless the option says otherwise.\n\n",
    );
    for option in World::ALL {
        let setting = format!("{}={}", option.name, option.calm);
        page += &format!("  {setting:<28} {}\n", option.help.trim_start());
    }
    page
}

/// Runs the subcommand.
///
/// # Errors
/// If standard output cannot be written.
pub fn main(options: &Options) -> io::Result<Status> {
    let Options { fleet, shrink } = options;
    if fleet.count == 1 {
        return one(&fleet.case(0), *shrink);
    }
    writeln!(stdout(), "seeds from {}", fleet.first)?;
    let outcome = fleet::run(fleet);
    let line = outcome.line();
    if let Some(failure) = outcome.failure {
        let failure = shrunk(failure, *shrink);
        let mut out = stdout();
        writeln!(out, "{failure}\n{line}, then one failed")?;
        return Ok(Status::Invalid);
    }
    let mut out = stdout();
    print_counts(&mut out, &outcome.rare)?;
    writeln!(out, "\n{}", outcome.rare.slowest())?;
    writeln!(out, "{line}: all rules held")?;
    // Worlds with options that were set need not meet everything.
    if outcome.runs < COVERING_SEEDS || !fleet.changes.is_empty() {
        return Ok(Status::Valid);
    }
    coverage(&outcome.rare, &mut out)
}

/// The verdict on the rare events of many seeds.
fn coverage(rare: &RareEvents, out: &mut impl Write) -> io::Result<Status> {
    let (missing, excused) = rare.missing();
    if rare.elections_are_slow() {
        let (late, all) = (rare.elections_late, rare.elections_at_last);
        writeln!(
            out,
            "rule broken: nearly every election must take at most three longest election timeouts: {late} of {all} took longer"
        )?;
        return Ok(Status::Invalid);
    }
    if !excused.is_empty() {
        let excused = excused.join(", ");
        writeln!(out, "never occurred, and may be missing: {excused}")?;
    }
    if missing.is_empty() {
        return Ok(Status::Valid);
    }
    let missing = missing.join(", ");
    writeln!(out, "never occurred, but should have: {missing}")?;
    Ok(Status::Unknown)
}

fn one(case: &Case, is_shrunk: bool) -> io::Result<Status> {
    match run(case, fleet::EVENTS_MAX) {
        Ok(report) => {
            let mut out = stdout();
            writeln!(out, "world: {}\n", case.options())?;
            print_counts(&mut out, &report.rare)?;
            writeln!(
                out,
                "\nseed {}: all rules held; {} events in {:.1} simulated seconds, hash {:016x}",
                case.seed,
                report.events,
                report.time as f64 * 3600.0 / HOUR as f64,
                report.hash
            )?;
            Ok(Status::Valid)
        }
        Err(failure) => {
            let failure = shrunk(failure, is_shrunk);
            write!(stdout(), "{failure}")?;
            Ok(Status::Invalid)
        }
    }
}

fn shrunk(failure: Box<Failure>, is_shrunk: bool) -> Box<Failure> {
    if !is_shrunk {
        return failure;
    }
    shrink(failure, |Failure { case, .. }, attempts| {
        print_error(format_args!("smaller case at attempt {attempts}: {case}"));
    })
}

fn print_counts(out: &mut impl Write, rare: &RareEvents) -> io::Result<()> {
    for (name, count, help) in rare.counts() {
        writeln!(out, "{count:>12} {name:<25}{help}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rare_events::EXCUSED;

    fn parse(arguments: &[&str]) -> Result<Options, UsageError> {
        Options::parse(arguments.iter().map(OsString::from))
    }

    #[track_caller]
    fn error(arguments: &[&str], why: &str) {
        let said = parse(arguments).expect_err("a wrong argument").to_string();
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn seeds_and_options_are_read() {
        let Options { fleet, .. } = parse(&["--seeds", "5..8", "--set", "nodes=5"]).unwrap();
        assert_eq!((fleet.first, fleet.count), (5, 3));
        assert_eq!(fleet.changes, [("nodes", 5)]);
        assert_eq!(fleet.time_max, None);
        let Options { fleet, .. } = parse(&["--seed=7"]).unwrap();
        assert_eq!((fleet.first, fleet.count), (7, 1));
        let Err(UsageError::Page(page)) = parse(&["--set", "help"]) else {
            panic!("help was asked for");
        };
        assert!(page.contains("  nodes=3  "), "{page}");
    }

    #[test]
    fn wrong_arguments_are_rejected() {
        error(&["--seeds", "8..5"], "expected A..B with A below B");
        error(&["--seeds", "a..5"], "expected A..B");
        error(&["--seeds", "0"], "a number above 0");
        error(&["--seed", "1", "--seeds", "2"], "not both");
        error(&["--set", "nodes"], "expected NAME=N");
        error(&["--set", "nodes=three"], "expected NAME=N");
        error(&["--set", "node=3"], "the nearest is nodes");
        error(&["--set", "nodes=9"], "--set does not fit");
        error(
            &["--seed", "1", "--set", "lost_for_good=99"],
            "lost_for_good must be from 0 to 7",
        );
        error(&["--minutes", "-1"], "--minutes");
        error(&["--minutes", "0"], "--minutes");
    }

    #[test]
    fn fleet_that_met_nothing_is_unknown() {
        let mut out = Vec::new();
        let status = coverage(&RareEvents::default(), &mut out).unwrap();
        assert_eq!(status, Status::Unknown);
        let said = String::from_utf8(out).unwrap();
        assert!(
            said.contains("never occurred, but should have: operations, "),
            "{said}"
        );
        assert!(
            said.contains(
                "never occurred, and may be missing: elections_late, figure_8_overwritten, "
            ),
            "{said}"
        );
    }

    #[test]
    fn fleet_of_slow_elections_is_invalid() {
        let slow = RareEvents {
            elections_at_last: 200,
            elections_late: 3,
            ..RareEvents::default()
        };
        let mut out = Vec::new();
        assert_eq!(coverage(&slow, &mut out).unwrap(), Status::Invalid);
        let said = String::from_utf8(out).unwrap();
        assert!(said.contains("rule broken: nearly every election") && said.contains("3 of 200"));
    }

    #[test]
    fn help_names_the_excused_events() {
        for name in EXCUSED {
            assert!(SIM.about.contains(name), "{name}");
        }
    }
}
