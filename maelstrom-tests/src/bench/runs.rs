//! Many runs, with options drawn from one seed.
//!
//! Each run is a process of its own, so that one that breaks does not end the others.

use rand::Rng;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::error::BenchError;
use super::nemesis::Kind;
use super::network::{Distribution, Transport};
use super::options::{Options, ourselves};
use super::output::say;
use super::processes::program::NodeChoice;
use super::report::results::Results;
use super::signals;
use super::store::remove_if_there;
use crate::check::Status;
use crate::{joined, lock};

/// The verdicts, from good to bad.
const SEVERITY: [Status; 4] = [
    Status::Valid,
    Status::Unknown,
    Status::Invalid,
    Status::Broken,
];

/// Makes this many runs and prints a line for each, and a summary. Returns the worst verdict.
///
/// # Errors
/// The bench cannot start itself, or cannot write results. A run that breaks is a verdict.
pub fn run(options: &Options, runs: usize) -> Result<Status, BenchError> {
    say(format_args!("runs: {runs}, seed: {}", options.seed))?;
    let bench = std::env::current_exe()
        .map_err(BenchError::io("cannot find the bench's own executable"))?;
    let mut rng = Rng::seeded(options.seed);
    let folder = options.store.join(format!("runs-{}", options.seed));
    let runs = (1..=runs).map(|number| {
        let store = folder.join(format!("{number:03}"));
        Run::draw(number, &mut rng.fork(), options, store)
    });
    let runs: Vec<Run> = runs.collect::<Result<_, _>>()?;
    let next = AtomicUsize::new(0);
    let summary = Mutex::new(Summary::default());
    let inputs = Arc::new(Inputs::new(Some(BTreeMap::new())));
    let watched = Arc::clone(&inputs);
    signals::watch(move || drop(lock(&watched).take()))?;
    let work = || {
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if lock(&inputs).is_none() {
                break;
            }
            let results = run.make(&bench, &inputs)?;
            let mut summary = lock(&summary);
            say(run.describe(runs.len(), results.as_ref()))?;
            summary.add(run, results);
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
    let summary = lock(&summary);
    if lock(&inputs).is_none() {
        let made: usize = summary.verdicts.iter().sum();
        say(format_args!(
            "stopped by a signal after {made} of {} runs",
            runs.len()
        ))?;
    }
    say(summary.text())?;
    Ok(summary.worst())
}

/// The standard inputs of the runs that go on; `None` once they are to end, which they do when their
/// input is closed.
type Inputs = Mutex<Option<BTreeMap<usize, ChildStdin>>>;

/// One run.
#[derive(Debug)]
struct Run {
    number: usize,
    /// The flags that were drawn.
    drawn: Vec<String>,
    options: Options,
    /// What is passed to the process.
    arguments: Vec<OsString>,
}

impl Run {
    /// Draws the options of a run, but for the flags that were given.
    fn draw(
        number: usize,
        rng: &mut Rng,
        given: &Options,
        store: PathBuf,
    ) -> Result<Run, BenchError> {
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        let fixed: Vec<String> = given.shared.iter().map(|flag| name(flag)).collect();
        let mut drawn = draw(rng, given);
        drawn.retain(|flag| !fixed.contains(&name(flag)));
        let mut arguments: Vec<OsString> = drawn.iter().map(OsString::from).collect();
        arguments.extend(given.shared.iter().map(OsString::from));
        arguments.push("--store".into());
        arguments.push(store.into());
        if !given.node_arguments.is_empty() {
            arguments.push("--".into());
            arguments.extend_from_slice(&given.node_arguments);
        }
        let options = Options::parse(arguments.clone())
            .map_err(|error| BenchError::new(format!("run {number}: {error}")))?;
        Ok(Run {
            number,
            drawn,
            options,
            arguments,
        })
    }

    /// Makes the run. `None` if it left no results.
    fn make(&self, bench: &Path, inputs: &Inputs) -> Result<Option<Results>, BenchError> {
        let store = &self.options.store;
        let cannot = |path: &Path| format!("cannot write {}", path.display());
        fs::create_dir_all(store).map_err(BenchError::io(cannot(store)))?;
        let results = store.join("latest").join("results.json");
        // A former run in the same folder may have left its results.
        remove_if_there(&results).map_err(BenchError::io(cannot(&results)))?;
        let path = store.join("output.txt");
        let output = File::create(&path).map_err(BenchError::io(cannot(&path)))?;
        let errors = output.try_clone().map_err(BenchError::io(cannot(&path)))?;
        let mut child = Command::new(bench)
            .arg("test")
            .args(&self.arguments)
            .env(signals::CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(BenchError::io("cannot start the bench's own executable"))?;
        if let (Some(inputs), Some(mut input)) = (&mut *lock(inputs), child.stdin.take()) {
            // A child that has ended already is waited for below.
            let _ = writeln!(input, "ready");
            inputs.insert(self.number, input);
        }
        child
            .wait()
            .map_err(BenchError::io("cannot wait for a run"))?;
        if let Some(inputs) = &mut *lock(inputs) {
            inputs.remove(&self.number);
        }
        // A run that breaks early leaves no results.
        let read = fs::read(results);
        Ok(read.ok().and_then(|bytes| json::decode(&bytes).ok()))
    }

    fn describe(&self, runs: usize, results: Option<&Results>) -> String {
        let drawn = self.drawn.iter().map(|flag| flag.trim_start_matches("--"));
        let drawn = joined(drawn, " ");
        let (number, verdict) = (self.number, verdict(results));
        let counts = results.map_or(String::new(), |results| {
            let all = &results.operations.all;
            format!("  ok {} fail {} info {}", all.ok, all.fail, all.info)
        });
        format!("{number:4}/{runs} {verdict:8} {drawn}{counts}")
    }
}

fn verdict(results: Option<&Results>) -> &str {
    results.map_or(Status::Broken.name(), |results| &results.verdict)
}

/// The drawn flags of one run. Every run draws the same number of times.
fn draw(rng: &mut Rng, given: &Options) -> Vec<String> {
    fn one_of<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
        items[rng.below(items.len() as u64) as usize]
    }
    let durable = match &given.node {
        NodeChoice::Builtin(builtin) => builtin.is_durable(),
        // Only the Raft node speaks TCP.
        NodeChoice::Bin(_) => given.transport == Transport::Tcp,
    };
    let mut drawn = vec![
        format!("--node-count={}", one_of(rng, &[1, 3, 5, 7])),
        format!("--latency={}", one_of(rng, &["0", "10", "100"])),
        format!("--latency-dist={}", one_of(rng, &Distribution::ALL).name()),
        format!("--rate={}", one_of(rng, &[10, 30, 100, 300, 1000])),
        format!("--concurrency={}", one_of(rng, &["2n", "4n"])),
    ];
    let calm = rng.chance(1, 3);
    let all = (1 << Kind::of(given.transport).count()) - 1;
    let faults = rng.range(1..=if durable { all } else { 7 });
    let interval: u64 = one_of(rng, &[1, 2, 4]);
    let loss = one_of(rng, &["0", "0", "0.01", "0.05"]);
    let duplicate = one_of(rng, &["0", "0", "0.01", "0.1"]);
    drawn.push(format!("--seed={}", rng.next_u64() >> 32));
    let deletes = one_of(rng, &["0", "0.1"]);
    let sessions = rng.chance(1, 3);
    // Another node may know no deletes.
    if matches!(given.node, NodeChoice::Builtin(_)) {
        drawn.push(format!("--deletes={deletes}"));
    }
    if sessions && durable {
        drawn.push("--sessions".to_owned());
    }
    let kinds = match given.nemesis.is_empty() {
        true => {
            let kinds = Kind::of(given.transport).enumerate();
            let kinds = kinds.filter(|(bit, _)| faults >> bit & 1 == 1);
            kinds.map(|(_, kind)| kind).collect()
        }
        false => given.nemesis.clone(),
    };
    if !calm || !given.nemesis.is_empty() {
        // A cluster that is killed every second is rarely up, and a run in which nothing is
        // answered tests nothing.
        let kills = kinds.contains(&Kind::Kill);
        let interval = if kills { interval.max(2) } else { interval };
        let names = joined(kinds.iter().map(|kind| kind.name()), ",");
        drawn.push(format!("--nemesis={names}"));
        drawn.push(format!("--nemesis-interval={interval}"));
        if given.transport == Transport::Maelstrom {
            drawn.push(format!("--loss={loss}"));
            drawn.push(format!("--duplicate={duplicate}"));
        }
    }
    drawn
}

/// The results of all runs together.
#[derive(Debug, Default)]
struct Summary {
    /// How many runs had each verdict, from good to bad.
    verdicts: [usize; SEVERITY.len()],
    /// For each run that is not as it should be, why, and the command that repeats it.
    remarks: Vec<String>,
    /// After each beginning of a fault that left a connected majority, the time until a new request
    /// to it was answered ok.
    recoveries_ms: Vec<f64>,
    /// The same after each end.
    recoveries_after_ms: Vec<f64>,
}

impl Summary {
    fn add(&mut self, run: &Run, results: Option<Results>) {
        let verdict = verdict(results.as_ref());
        let known = SEVERITY.iter().position(|status| status.name() == verdict);
        let severity = known.unwrap_or(SEVERITY.len() - 1);
        self.verdicts[severity] += 1;
        let (command, store) = (run.options.command_line(), run.options.store.display());
        let mut remark = |what: &str| {
            let line = format!("\n{what} ({store})\n  {} {command}\n", ourselves());
            self.remarks.push(line);
        };
        if severity > 0 {
            remark(verdict);
        }
        let Some(results) = results else { return };
        let calm = results.nemesis.is_empty() && results.loss == 0.0 && results.duplicate == 0.0;
        if calm && results.timeouts.after_first_ok > 0 {
            let count = results.timeouts.after_first_ok;
            remark(&format!(
                "timeouts after the first ok, without faults: {count}"
            ));
        }
        for fault in &results.faults {
            let after = fault.after.as_ref();
            let after = after.and_then(|after| after.first_new_ok_ms);
            self.recoveries_ms.extend(fault.first_new_ok_ms);
            self.recoveries_after_ms.extend(after);
        }
    }

    fn worst(&self) -> Status {
        let worst = self.verdicts.iter().rposition(|count| *count > 0);
        SEVERITY[worst.unwrap_or(0)]
    }

    fn text(&self) -> String {
        let counts = self.verdicts.iter().zip(SEVERITY);
        let counts = counts.map(|(count, status)| format!("{count} {}", status.name()));
        let counts = joined(counts, ", ");
        let recovered = |what: &str, times: &[f64]| {
            let mut times = times.to_vec();
            times.sort_unstable_by(f64::total_cmp);
            times.last().map_or(String::new(), |longest| {
                format!(
                    "until a connected majority answered a new request ok, after {what} a fault: {} times, median {:.0} ms, longest {longest:.0} ms\n",
                    times.len(),
                    times[times.len() / 2]
                )
            })
        };
        let during = recovered("the beginning of", &self.recoveries_ms);
        let after = recovered("the end of", &self.recoveries_after_ms);
        format!("\n{counts}\n{during}{after}{}", self.remarks.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        let parsed = Options::parse(arguments.iter().map(OsString::from));
        parsed.expect("options")
    }

    fn drawn(seed: u64, arguments: &[&str]) -> Options {
        let given = options(arguments);
        let run = Run::draw(1, &mut Rng::seeded(seed), &given, "x".into());
        run.expect("options").options
    }

    #[test]
    fn runs_of_one_seed_are_the_same() {
        for seed in 0..50 {
            let one = drawn(seed, &["--runs=9", "--seed=1"]);
            assert_eq!(one, drawn(seed, &["--runs=9", "--seed=1"]));
            assert!(one.runs.is_none());
        }
    }

    #[test]
    fn given_flags_are_not_drawn() {
        for seed in 0..50 {
            let run = drawn(
                seed,
                &["--runs=9", "--latency=7", "--nemesis=kill", "--", "-x"],
            );
            assert_eq!(run.conditions.latency.mean.as_millis(), 7);
            assert_eq!(run.nemesis, [Kind::Kill].into());
            assert_eq!(run.node_arguments, ["-x"]);
            assert!(run.nemesis_interval.as_secs() >= 2);
        }
    }

    #[test]
    fn only_durable_nodes_are_killed() {
        let kills = |arguments: &[&str]| {
            let runs = (0..50).map(|seed| drawn(seed, arguments));
            runs.filter(|run| run.nemesis.contains(&Kind::Kill)).count()
        };
        assert!(kills(&["--runs=1"]) > 0);
        assert_eq!(kills(&["--runs=1", "--builtin=null"]), 0);
        assert_eq!(kills(&["--runs=1", "--bin=some/node"]), 0);
    }

    #[test]
    fn runs_over_tcp_lose_no_messages_but_connections() {
        let runs = (0..50).map(|seed| drawn(seed, &["--runs=1", "--transport=tcp"]));
        let runs: Vec<Options> = runs.collect();
        let broken = |run: &&Options| run.nemesis.contains(&Kind::Connections);
        assert!((1..50).contains(&runs.iter().filter(broken).count()));
        assert!(runs.iter().all(|run| run.transport == Transport::Tcp));
    }

    #[test]
    fn the_worst_verdict_counts() {
        let given = options(&["--runs=1"]);
        let run = Run::draw(1, &mut Rng::seeded(1), &given, "x".into()).expect("options");
        let mut summary = Summary::default();
        assert_eq!(summary.worst(), Status::Valid);
        for (verdict, worst) in [
            (Status::Valid, Status::Valid),
            (Status::Invalid, Status::Invalid),
            (Status::Unknown, Status::Invalid),
        ] {
            let mut results = Results::broken(&run.options, None);
            results.verdict = verdict.name().to_owned();
            results.nemesis.clear();
            results.timeouts.after_first_ok = 7;
            summary.add(&run, Some(results));
            assert_eq!(summary.worst(), worst);
        }
        summary.add(&run, None);
        assert_eq!(summary.worst(), Status::Broken);
        let text = summary.text();
        assert!(
            text.contains("1 valid, 1 unknown, 1 invalid, 1 broken"),
            "{text}"
        );
        assert!(text.contains("broken (x)\n"), "{text}");
        let remark = "timeouts after the first ok, without faults: 7 (x)\n";
        assert_eq!(text.matches(remark).count(), 3, "{text}");
    }
}
