//! Many runs under mixed conditions, all drawn from one seed, and what they have in common.
//!
//! Each run is a process of its own, so that one which breaks takes none of the others with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{io, thread};

use raft::flags::{Command, Flag, Given, Parsed, UsageError};
use rand::Rng;

use super::error::BenchError;
use super::nemesis::Kind;
use super::network::Distribution;
use super::options::{quoted, random_seed};
use super::output::say;
use super::processes::program::NodeChoice;
use super::report::results::{self, Fault, Results};
use crate::check::Status;

/// The most runs of a matrix.
pub const RUNS_MAX: usize = 100_000;

/// The most runs that may go on at once.
pub const JOBS_MAX: usize = 64;

/// The flags of `matrix`.
pub const MATRIX: Command = Command::new(
    "maelstrom-tests matrix",
    "Makes many runs of `test`, each with options drawn from the seed: 1, 3, 5 or 7 nodes, latencies of 0, 10\n\
            or 100 ms in all distributions, 10 to 1000 requests a second, with and without partitions, pauses,\n\
            kills, loss and duplication. One run in three is without faults. With --bin, or a built-in node that\n\
            keeps its state in memory, there are no kills unless --nemesis asks for them. Prints a line for each run, the command that\n\
            repeats each that is not valid, and a summary.\n\
            \n\
            Exit status: 0 all valid, 1 one is invalid, 2 one is unknown, 255 the bench or a node broke.",
    &[
        Flag::new("runs", "N", "How many runs.").default("20"),
        Flag::new("jobs", "N", "How many runs go on at once. Runs that share a core disturb each other's times.").default("1"),
        Flag::new("seed", "N", "Decides the options and the seeds of all runs (default: random; it is printed)."),
        Flag::new("time-limit", "SECONDS", "How long each run makes requests (default: 20)."),
        Flag::new("latency", "MS", "All runs have this mean latency, instead of one that is drawn."),
        Flag::new("nemesis", "KINDS", "All runs have these faults, as for `test`, instead of some that are drawn."),
        Flag::new("bin", "PATH", "The node's executable, as for `test`."),
        Flag::new("builtin", "NAME", "A node that is part of the bench, as for `test`."),
        Flag::new("store", "FOLDER", "Where results are put, as FOLDER/run-NUMBER/ (default: store/matrix-SEED)."),
    ],
).arguments("[-- NODE-ARGUMENTS]");

/// If nothing has been ok for longer than that, a fault meets a cluster that is not yet over the
/// one before.
const UP_MS_MAX: f64 = 200.0;

/// How a run can end, from good to bad.
const SEVERITY: [Status; 4] = [
    Status::Valid,
    Status::Unknown,
    Status::Invalid,
    Status::Broken,
];

/// Everything that decides a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    runs: usize,
    jobs: usize,
    seed: u64,
    store: PathBuf,
    fixed: Fixed,
    /// Arguments that all runs share.
    shared: Vec<OsString>,
    node_arguments: Vec<OsString>,
}

impl Options {
    /// Reads the arguments of `matrix`.
    ///
    /// # Errors
    /// A flag that is unknown or that has a value it can't use.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Options>, UsageError> {
        MATRIX.parse(arguments)?.try_map(Options::from_given)
    }

    fn from_given(given: Given) -> Result<Options, UsageError> {
        let runs = given.number("runs", 1..=RUNS_MAX)?;
        let jobs = given.number("jobs", 1..=JOBS_MAX)?;
        let seed = given.optional_number("seed", 0..=u64::MAX)?;
        let seed = seed.unwrap_or_else(random_seed);
        let mut shared = Vec::new();
        for name in ["bin", "builtin", "time-limit"] {
            if let Some(value) = given.text(name) {
                shared.push(format!("--{name}={value}").into());
            }
        }
        // What `test` would refuse is better refused now than in every run.
        let mut trial = shared.clone();
        for name in ["latency", "nemesis"] {
            trial.extend(
                given
                    .text(name)
                    .map(|value| format!("--{name}={value}").into()),
            );
        }
        let durable = match super::options::Options::parse(trial)? {
            Parsed::Run(options) => match options.node {
                NodeChoice::Builtin(builtin) => builtin.is_durable(),
                NodeChoice::Bin(_) => false,
            },
            Parsed::Print(_) => unreachable!("no value is a flag"),
        };
        Ok(Options {
            runs,
            jobs,
            seed,
            store: match given.text("store") {
                Some(folder) => PathBuf::from(folder),
                None => PathBuf::from(format!("store/matrix-{seed}")),
            },
            fixed: Fixed {
                latency: given.text("latency").map(str::to_owned),
                nemesis: given.text("nemesis").map(str::to_owned),
                durable,
            },
            shared,
            node_arguments: given.rest,
        })
    }
}

/// Makes the runs and prints what comes of them. The verdict is the worst of theirs.
///
/// # Errors
/// The bench can't start itself or its folder can't be made. Runs that break don't end the matrix.
pub fn run(options: &Options) -> Result<Status, BenchError> {
    say(format_args!(
        "matrix of {} runs, seed {}",
        options.runs, options.seed
    ))?;
    let bench = std::env::current_exe().map_err(BenchError::io("the bench can't find itself"))?;
    let mut rng = Rng::seeded(options.seed);
    let runs: Vec<Run> = (1..=options.runs)
        .map(|number| Run {
            number,
            conditions: draw(&mut rng.fork(), &options.fixed),
            store: options.store.join(format!("run-{number:03}")),
        })
        .collect();
    let next = AtomicUsize::new(0);
    let summary = Mutex::new(Summary::default());
    let work = || {
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut command = run.command(&bench, options);
            let results = run.make(&mut command)?;
            // A thread that panicked took the process with it, so a lock is never really poisoned.
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            say(run.describe(options.runs, results.as_ref()))?;
            summary.add(results, || repeat(&command), &run.store);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..options.jobs).map(|_| scope.spawn(work)).collect();
        let mut worked = work();
        for helper in helpers {
            let helped = helper.join().unwrap_or_else(|panic| resume_unwind(panic));
            worked = worked.and(helped);
        }
        worked
    })?;
    let summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    say(summary.tell())?;
    Ok(summary.worst())
}

/// What is not drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Fixed {
    latency: Option<String>,
    nemesis: Option<String>,
    /// Whether nodes are known to find their data after they were killed.
    durable: bool,
}

/// A run that is to be made.
struct Run {
    number: usize,
    conditions: Vec<String>,
    store: PathBuf,
}

impl Run {
    fn command(&self, bench: &Path, options: &Options) -> process::Command {
        let mut command = process::Command::new(bench);
        command
            .arg("test")
            .args(&options.shared)
            .args(&self.conditions);
        command.arg("--store").arg(&self.store);
        if !options.node_arguments.is_empty() {
            command.arg("--").args(&options.node_arguments);
        }
        command
    }

    /// `None` if the run left no results.
    fn make(&self, command: &mut process::Command) -> Result<Option<Results>, BenchError> {
        fs::create_dir_all(&self.store).map_err(BenchError::io(self.store.display()))?;
        let results = self.store.join("latest").join("results.json");
        // Those of a former run in the same folder are not this one's.
        match fs::remove_file(&results) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(BenchError::io(results.display())(error)),
        }
        let output = self.store.join("output.txt");
        let output = File::create(&output).map_err(BenchError::io(output.display()))?;
        let errors = output
            .try_clone()
            .map_err(BenchError::io("a file can't be shared"))?;
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .status()
            .map_err(BenchError::io("the bench can't start itself"))?;
        // What can't be read was not written: the run broke too early to have results.
        let read = fs::read(results);
        Ok(read.ok().and_then(|bytes| Results::decode(&bytes).ok()))
    }

    fn describe(&self, runs: usize, results: Option<&Results>) -> String {
        let verdict = results.map_or("broken", |results| &results.verdict);
        let conditions = self
            .conditions
            .iter()
            .map(|argument| argument.trim_start_matches("--"));
        let conditions: Vec<&str> = conditions.collect();
        let mut text = format!(
            "{:4}/{runs} {verdict:8} {}",
            self.number,
            conditions.join(" ")
        );
        if let Some(results) = results {
            let all = &results.operations.all;
            text += &format!("  ok {} fail {} info {}", all.ok, all.fail, all.info);
        }
        text
    }
}

/// The options of one run. Every run draws the same number of times.
fn draw(rng: &mut Rng, fixed: &Fixed) -> Vec<String> {
    fn one_of<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
        items[rng.below(items.len() as u64) as usize]
    }
    let nodes = one_of(rng, &[1, 3, 5, 7]);
    let drawn = one_of(rng, &["0", "10", "100"]);
    let distribution = one_of(rng, &Distribution::ALL).name();
    let rate = one_of(rng, &[10, 30, 100, 300, 1000]);
    let clients = one_of(rng, &["2n", "4n"]);
    let calm = rng.chance(1, 3);
    let faults = if fixed.durable {
        rng.range(1..=7)
    } else {
        rng.range(1..=3)
    };
    let interval: u64 = one_of(rng, &[1, 2, 4]);
    let loss = one_of(rng, &["0", "0", "0.01", "0.05"]);
    let duplicate = one_of(rng, &["0", "0", "0.01", "0.1"]);
    let seed = rng.next_u64() >> 32;
    let mut arguments = vec![
        format!("--node-count={nodes}"),
        format!("--latency={}", fixed.latency.as_deref().unwrap_or(drawn)),
        format!("--latency-dist={distribution}"),
        format!("--rate={rate}"),
        format!("--concurrency={clients}"),
        format!("--seed={seed}"),
    ];
    let nemesis = match &fixed.nemesis {
        Some(kinds) => Some(kinds.clone()),
        None if calm => None,
        None => {
            let kinds = Kind::ALL.into_iter().enumerate();
            let kinds = kinds.filter(|(bit, _)| faults >> bit & 1 == 1);
            let kinds: Vec<&str> = kinds.map(|(_, kind)| kind.name()).collect();
            Some(kinds.join(","))
        }
    };
    if let Some(kinds) = nemesis {
        // A cluster that is killed every second is rarely up, and a run in which nothing is
        // answered tests nothing.
        let kills = ["kill", "all"].iter().any(|name| kinds.contains(name));
        let interval = if kills { interval.max(2) } else { interval };
        arguments.push(format!("--nemesis={kinds}"));
        arguments.push(format!("--nemesis-interval={interval}"));
        arguments.push(format!("--loss={loss}"));
        arguments.push(format!("--duplicate={duplicate}"));
    }
    arguments
}

fn repeat(command: &process::Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    words.join(" ")
}

/// What all runs have in common.
#[derive(Debug, Default)]
struct Summary {
    /// How many runs ended how, from good to bad.
    verdicts: [usize; SEVERITY.len()],
    /// The runs that are not as they should be: why, and the command.
    remarkable: Vec<(String, String)>,
    /// Of the runs without faults, by latency and distribution.
    calm: BTreeMap<(u64, String), Calm>,
    /// Of all runs, by latency: how long it took to recover from faults.
    recoveries: BTreeMap<u64, Recoveries>,
}

/// Sums over runs without faults.
#[derive(Debug, Default)]
struct Calm {
    runs: usize,
    operations: u64,
    timeouts_before_first_ok: u64,
    timeouts_after_first_ok: u64,
    /// Answers with codes other than 0, 20 and 22.
    other_errors: u64,
}

/// Recoveries from faults that left a connected majority, in milliseconds.
#[derive(Debug, Default)]
struct Recoveries {
    first_ok_ms: Vec<f64>,
    first_new_ok_ms: Vec<f64>,
    /// The same, of faults before which something had been ok for not longer than [`UP_MS_MAX`].
    first_new_ok_when_up_ms: Vec<f64>,
    /// How long was watched in vain, where something else happened before any ok.
    none_ms: Vec<f64>,
}

impl Summary {
    fn add(&mut self, results: Option<Results>, command: impl Fn() -> String, store: &Path) {
        let verdict = results
            .as_ref()
            .map_or("broken", |results| &results.verdict);
        let known = SEVERITY
            .iter()
            .position(|status| results::name(*status) == verdict);
        let severity = known.unwrap_or(SEVERITY.len() - 1);
        self.verdicts[severity] += 1;
        let mut remark = |what: String| self.remarkable.push((what, command()));
        if severity > 0 {
            remark(format!("{verdict} ({})", store.display()));
        }
        let Some(results) = results else { return };
        let calm = results.nemesis.is_empty() && results.loss == 0.0 && results.duplicate == 0.0;
        if calm {
            let key = (results.latency_ms as u64, results.latency_dist.clone());
            let sum = self.calm.entry(key).or_default();
            let errors = results.operations.all.errors.iter();
            let other = errors.filter(|error| !matches!(error.code, 0 | 20 | 22));
            let other: u64 = other.map(|error| error.count).sum();
            if other > 0 {
                remark(format!(
                    "{other} answers other than ok, 20 and 22 without faults"
                ));
            }
            if results.timeouts.after_first_ok > 0 {
                let count = results.timeouts.after_first_ok;
                remark(format!(
                    "{count} time-outs after the first ok without faults"
                ));
            }
            sum.runs += 1;
            sum.operations += results.operations.all.total();
            sum.timeouts_before_first_ok += results.timeouts.before_first_ok;
            sum.timeouts_after_first_ok += results.timeouts.after_first_ok;
            sum.other_errors += other;
        }
        let recoveries = self
            .recoveries
            .entry(results.latency_ms as u64)
            .or_default();
        results
            .faults
            .iter()
            .for_each(|fault| recoveries.add(fault));
    }

    fn worst(&self) -> Status {
        let worst = self.verdicts.iter().rposition(|count| *count > 0);
        SEVERITY[worst.unwrap_or(0)]
    }

    fn tell(&self) -> String {
        let counts = self.verdicts.iter().zip(SEVERITY);
        let counts = counts.map(|(count, status)| format!("{count} {}", results::name(status)));
        let mut text = format!("\n{}\n", counts.collect::<Vec<_>>().join(", "));
        if !self.calm.is_empty() {
            text += "\nruns without faults\n  latency ms   distribution   runs   operations   timed out before / after the first ok   other errors\n";
        }
        for ((latency_ms, distribution), calm) in &self.calm {
            text += &format!(
                "  {latency_ms:10}   {distribution:12}   {:4}   {:10}   {:16} / {} ({:.2} %)   {}\n",
                calm.runs,
                calm.operations,
                calm.timeouts_before_first_ok,
                calm.timeouts_after_first_ok,
                calm.timeouts_after_first_ok as f64 * 100.0 / calm.operations.max(1) as f64,
                calm.other_errors
            );
        }
        for (latency_ms, recoveries) in &self.recoveries {
            text += &recoveries.tell(*latency_ms);
        }
        for (what, command) in &self.remarkable {
            text += &format!("\n{what}\n  {command}\n");
        }
        text
    }
}

impl Recoveries {
    fn add(&mut self, fault: &Fault) {
        if fault.side.is_none() {
            return;
        }
        self.first_ok_ms.extend(fault.first_ok_ms);
        match fault.first_new_ok_ms {
            Some(ms) => {
                self.first_new_ok_ms.push(ms);
                if fault
                    .since_last_ok_ms
                    .is_some_and(|since| since <= UP_MS_MAX)
                {
                    self.first_new_ok_when_up_ms.push(ms);
                }
            }
            None => self.none_ms.push(fault.watched_ms),
        }
    }

    fn tell(&self, latency_ms: u64) -> String {
        let mut text = String::new();
        for (what, times) in [
            ("first ok", &self.first_ok_ms),
            (
                "first ok of a request made after the fault",
                &self.first_new_ok_ms,
            ),
            (
                "the same, if the cluster was up before the fault",
                &self.first_new_ok_when_up_ms,
            ),
            (
                "watched in vain until something else happened",
                &self.none_ms,
            ),
        ] {
            let mut times = times.clone();
            times.sort_by(f64::total_cmp);
            let Some(longest) = times.last() else {
                continue;
            };
            let at = |share: f64| times[((times.len() as f64 * share).ceil() as usize).max(1) - 1];
            text += &format!(
                "  {what}: {} times, median {:.0}, 99 of 100 {:.0}, longest {longest:.0} ms\n",
                times.len(),
                at(0.5),
                at(0.99)
            );
        }
        if text.is_empty() {
            return text;
        }
        format!("\nafter faults that left a connected majority, at latency {latency_ms} ms\n{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::results::{Counts, ErrorCount};

    fn parse(arguments: &[&str]) -> Options {
        match Options::parse(arguments.iter().map(OsString::from)) {
            Ok(Parsed::Run(options)) => options,
            Ok(Parsed::Print(page)) => panic!("{page}"),
            Err(error) => panic!("{error}"),
        }
    }

    /// The results of a valid run with these options.
    fn results(arguments: &[String]) -> Results {
        let arguments = arguments.iter().map(OsString::from);
        let Ok(Parsed::Run(options)) = super::super::options::Options::parse(arguments) else {
            panic!("the options of a run can be parsed");
        };
        let mut results = Results::broken(&options, None);
        results.verdict = "valid".into();
        results.operations.all = Counts {
            ok: 90,
            fail: 10,
            info: 0,
            errors: vec![ErrorCount {
                code: 22,
                count: 10,
            }],
        };
        results
    }

    fn told(summary: &Summary) -> String {
        summary
            .tell()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn every_drawn_run_can_be_made_and_all_kinds_are_drawn() {
        let mut rng = Rng::seeded(1);
        let mut durable = Fixed {
            durable: true,
            ..Fixed::default()
        };
        let drawn: Vec<Vec<String>> = (0..300).map(|_| draw(&mut rng.fork(), &durable)).collect();
        drawn.iter().for_each(|arguments| drop(results(arguments)));
        for part in [
            "--node-count=1",
            "--node-count=7",
            "--latency=0",
            "--latency=100",
            "--latency-dist=constant",
            "--latency-dist=uniform",
            "--latency-dist=exponential",
            "--rate=10",
            "--rate=1000",
            "--nemesis=partition",
            "--nemesis=pause",
            "--nemesis=partition,pause",
            "--nemesis=kill",
            "--nemesis=partition,pause,kill",
            "--loss=0.05",
            "--duplicate=0.1",
        ] {
            let has = |arguments: &&Vec<String>| arguments.iter().any(|given| given == part);
            assert!(drawn.iter().any(|arguments| has(&arguments)), "{part}");
        }
        let calm = drawn
            .iter()
            .filter(|run| !run.iter().any(|part| part.starts_with("--nemesis")));
        assert!((60..140).contains(&calm.count()));
        durable.latency = Some("11".into());
        durable.nemesis = Some("kill".into());
        for _ in 0..10 {
            let fixed = draw(&mut rng.fork(), &durable);
            assert!(fixed.contains(&"--latency=11".to_owned()));
            assert!(fixed.contains(&"--nemesis=kill".to_owned()));
            let volatile = draw(&mut rng.fork(), &Fixed::default());
            assert!(volatile.iter().all(|part| !part.contains("kill")));
        }
    }

    #[test]
    fn a_run_is_made_with_all_that_was_given() {
        let options = parse(&[
            "--builtin=null",
            "--time-limit=2",
            "--store=s",
            "--",
            "-x",
            "y z",
        ]);
        let run = Run {
            number: 7,
            conditions: vec!["--seed=1".into()],
            store: options.store.join("run-007"),
        };
        let command = run.command(Path::new("/bin/bench"), &options);
        assert_eq!(
            repeat(&command),
            "/bin/bench test --builtin=null --time-limit=2 --seed=1 --store s/run-007 -- -x 'y z'"
        );
    }

    #[test]
    fn the_worst_run_decides() {
        let mut summary = Summary::default();
        let store = Path::new("s/run-001");
        summary.add(Some(results(&[])), || "bench 1".into(), store);
        assert_eq!(summary.worst(), Status::Valid);
        assert!(!told(&summary).contains("bench 1"));
        let mut invalid = results(&["--loss=0.1".into()]);
        invalid.verdict = "invalid".into();
        summary.add(Some(invalid), || "bench 2".into(), store);
        assert_eq!(summary.worst(), Status::Invalid);
        summary.add(None, || "bench 3".into(), store);
        assert_eq!(summary.worst(), Status::Broken);
        let told = told(&summary);
        assert!(
            told.starts_with("1 valid, 0 unknown, 1 invalid, 1 broken"),
            "{told}"
        );
        assert!(told.contains("invalid (s/run-001) bench 2"), "{told}");
        assert!(told.contains("broken (s/run-001) bench 3"), "{told}");
    }

    #[test]
    fn strange_answers_are_counted_where_there_are_no_faults() {
        let mut summary = Summary::default();
        for arguments in [&[][..], &["--nemesis=pause".into()]] {
            let mut run = results(arguments);
            run.operations
                .all
                .errors
                .push(ErrorCount { code: 11, count: 3 });
            run.timeouts.after_first_ok = 2;
            summary.add(Some(run), || format!("bench {arguments:?}"), Path::new("s"));
        }
        let told = told(&summary);
        assert!(told.contains("0 constant 1 100 0 / 2 (2.00 %) 3"), "{told}");
        assert!(
            told.contains("3 answers other than ok, 20 and 22 without faults bench []"),
            "{told}"
        );
        assert!(
            told.contains("2 time-outs after the first ok without faults bench []"),
            "{told}"
        );
        assert!(!told.contains("pause"), "{told}");
        assert_eq!(summary.worst(), Status::Valid);
    }

    #[test]
    fn recoveries_are_summed_up_by_latency() {
        let fault = |side: Option<&str>, first_new_ok_ms| Fault {
            kind: "pause".into(),
            what: "pause n0".into(),
            began_ms: 0.0,
            since_last_ok_ms: None,
            ended_ms: None,
            side: side.map(|name| vec![name.into()]),
            watched_ms: 900.0,
            first_ok_ms: first_new_ok_ms,
            first_new_ok_ms,
        };
        let mut summary = Summary::default();
        let mut run = results(&["--latency=10".into(), "--nemesis=pause".into()]);
        run.faults = (1..=100)
            .map(|ms| fault(Some("n1"), Some(f64::from(ms))))
            .collect();
        run.faults.push(fault(Some("n1"), None));
        run.faults.push(fault(None, Some(5000.0)));
        summary.add(Some(run), String::new, Path::new("s"));
        let told = told(&summary);
        assert!(
            told.contains(
                "at latency 10 ms first ok: 100 times, median 50, 99 of 100 99, longest 100 ms"
            ),
            "{told}"
        );
        assert!(
            told.contains("something else happened: 1 times, median 900,"),
            "{told}"
        );
    }
}
