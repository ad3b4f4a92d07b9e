//! The bench as its users start it: the binary with arguments, real nodes, real pipes.

mod ending;
mod faults;
mod maelstrom;
mod measure;
mod nodes;
mod tcp;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use maelstrom_tests::bench::report::results::Results;

const BENCH: &str = env!("CARGO_BIN_EXE_maelstrom-tests");

/// Clients wait for ten times the latency, here for half a minute, so that no load on this machine
/// makes a request time out. A node that is alone has no other latency.
const PATIENT: &str = "--latency=3000";

/// A folder of a test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("stdraft-bench-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs `test` with a store in here.
    fn test(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BENCH);
        command.arg("test").arg("--store").arg(self.path("store"));
        output(command.args(arguments))
    }

    fn results(&self) -> Results {
        let bytes = fs::read(self.path("store/latest/results.json")).expect("results");
        json::decode::<Results>(&bytes).expect("they can be read")
    }

    fn executable(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it can be removed");
    }
}

fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .expect("the bench runs")
}

fn status(output: &Output) -> i32 {
    output.status.code().expect("no signal ended it")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn show(output: &Output) -> String {
    format!("{}\n{}", stdout(output), stderr(output))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_correct_node_is_valid_and_leaves_results() {
    let folder = Folder::new();
    let output = folder.test(&[
        "-w=lin-kv",
        "--builtin=null",
        "--node-count=1",
        "--concurrency=10",
        "--rate=0",
        "--time-limit=1",
        "--seed=7",
        PATIENT,
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let told = stdout(&output);
    assert!(told.contains("seed 7; to repeat: "), "{told}");
    assert!(told.trim_end().ends_with("valid"), "{told}");

    let results = folder.results();
    assert_eq!((results.verdict.as_str(), results.seed), ("valid", 7));
    let all = &results.operations.all;
    assert!(all.ok > 0 && all.info == 0, "{}", show(&output));
    assert!(all.errors.iter().all(|error| matches!(error.code, 20 | 22)));
    assert_eq!(results.linearizable.operations as u64, all.total());
    assert_eq!(results.messages.clients, 2 * all.total());
    assert_eq!(results.messages.servers, 0);

    let latest = folder.path("store/latest");
    for file in ["latency.svg", "rate.svg", "messages.svg"] {
        let picture = fs::read_to_string(latest.join(file)).expect("a picture");
        assert!(picture.starts_with("<svg"), "{file}");
    }
    assert!(latest.join("node-logs/n0.log").exists());

    let history = latest.join("history.jsonl");
    let checked = self::output(Command::new(BENCH).arg("check").arg(&history));
    assert_eq!(status(&checked), 0, "{}", show(&checked));
    let events = BufReader::new(File::open(history).expect("a history"))
        .lines()
        .count();
    assert_eq!(events as u64, 2 * all.total());
}

#[test]
fn raft_is_valid_and_its_elections_are_counted() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--node-count=3",
        "--latency=5",
        "--latency-dist=uniform",
        "--nemesis=partition,pause",
        "--nemesis-interval=2",
        "--time-limit=5",
        // The first fault comes after 2.8 s.
        "--seed=16",
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let results = folder.results();
    assert_eq!(results.node, "builtin raft");
    assert!(
        results
            .elections
            .is_some_and(|elections| elections.terms >= 1)
    );
    assert!(
        results
            .latencies
            .iter()
            .any(|row| row.node == "n1" && row.f == "read")
    );
    assert!(!results.faults.is_empty());
}

#[test]
fn stale_reads_are_invalid() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--builtin=stale",
        "--node-count=3",
        // One key, whose value changes many times in the 300 ms that n1 and n2 lag.
        "--latency=300",
        "--ops-per-key=100000",
        "--time-limit=3",
        "--seed=1",
    ]);
    assert_eq!(status(&output), 1, "{}", show(&output));
    assert!(
        stdout(&output).contains("is not linearizable"),
        "{}",
        show(&output)
    );
    let results = folder.results();
    assert_eq!(results.verdict, "invalid");
    assert!(!results.linearizable.offending_keys.is_empty());
    let types = results
        .messages
        .by_type
        .iter()
        .map(|traffic| traffic.name.as_str());
    assert!(types.eq(["forward", "forwarded", "replicate"]));
    assert!(folder.path("store/latest/contradiction.svg").exists());
}

#[test]
fn too_little_availability_is_invalid() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--builtin=null",
        "--node-count=1",
        "--rate=0",
        "--time-limit=0.5",
        "--availability=total",
    ]);
    assert_eq!(status(&output), 1, "{}", show(&output));
    let told = stdout(&output);
    let last = told.lines().last().expect("a line");
    assert!(
        last.starts_with("verdict: invalid: the share of ok answers is "),
        "{told}"
    );
    let results = folder.results();
    assert_eq!(results.linearizable.verdict, "valid");
    assert!(
        results
            .reason
            .is_some_and(|reason| reason.contains("below the required"))
    );
}

#[test]
fn a_run_without_a_request_is_unknown() {
    let folder = Folder::new();
    let output = folder.test(&["--builtin=null", "--node-count=1", "--time-limit=0"]);
    assert_eq!(status(&output), 2, "{}", show(&output));
    let told = "\nverdict: unknown: no request was answered ok, so nothing was tested\n";
    assert!(stdout(&output).ends_with(told), "{}", show(&output));
}

/// The node refuses every cas. What it answers is linearizable, but shows nothing about cas.
#[test]
fn a_kind_of_request_that_never_succeeds_is_unknown() {
    let folder = Folder::new();
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nodes/no_cas.sh");
    let bin = format!("--bin={}", text(&node));
    let one_key = "--ops-per-key=1000000";
    let output = folder.test(&[&bin, one_key, "--node-count=1", "--time-limit=2", PATIENT]);
    assert_eq!(status(&output), 2, "{}", show(&output));
    let told = stdout(&output);
    let last = told.lines().last().expect("a line");
    assert!(
        last.starts_with("verdict: unknown: no cas was answered ok, of "),
        "{told}"
    );
    // The checker alone says the same of the same history.
    let history = folder.path("store/latest/history.jsonl");
    let checked = self::output(Command::new(BENCH).arg("check").arg(&history));
    assert_eq!(status(&checked), 2, "{}", show(&checked));
    assert_eq!(stdout(&checked).lines().last(), Some(last));
}

#[test]
fn many_runs_are_summed_up() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--runs=2",
        "--jobs=2",
        "--seed=1",
        "--builtin=null",
        "--node-count=1",
        "--rate=0",
        "--time-limit=1",
        "--nemesis=none",
        PATIENT,
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let told = stdout(&output);
    assert!(told.contains("2 valid, 0 unknown"), "{told}");
    let results = folder.path("store/runs-1/002/latest/results.json");
    assert!(results.exists(), "{told}");
}

#[test]
fn a_mistyped_command_line_is_rejected() {
    for (arguments, told) in [
        (
            &["test", "--node-cuont", "3"][..],
            "unknown flag --node-cuont; the nearest is --node-count",
        ),
        (&["tset"], "unknown subcommand 'tset'; the nearest is test"),
        (
            &["--rate=1"],
            "unknown flag --rate; flags follow a subcommand",
        ),
        (&["test", "--runs=0"], "--runs: expected"),
        (&["test", "--builtin=best"], "--builtin: expected"),
        (
            &["test", "--nemesis-interval=0"],
            "--nemesis-interval: expected a number from 0.1 to 3600",
        ),
        (
            &["test", "--rate=1e-9"],
            "--rate: expected 0 or a number from 0.001 to 1000000",
        ),
        (
            &["catch-up", "--rate=1e9"],
            "--rate: expected a number from 1 to 100000",
        ),
        (&["builtin-node", "best"], "expected null or stale"),
        (&["check", "--wat"], "--wat"),
        (&["fuzz", "jason"], "unknown target 'jason'"),
        (&["memory", "--strict=1"], "--strict"),
    ] {
        let output = output(Command::new(BENCH).args(arguments));
        assert_eq!(status(&output), 255, "{arguments:?}");
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
}

#[test]
fn every_subcommand_explains_itself() {
    for (arguments, told) in [
        (&["--help"][..], "check  "),
        (&["test", "--help"], "--nemesis-interval"),
        (&["check", "--help"], "--svg"),
        (&["soak", "--help"], "--writes"),
        (&["memory", "--help"], "--shape"),
        (&["catch-up", "--help"], "--loss"),
        (&["node", "--help"], "--election-timeout"),
        (&["builtin-node", "--help"], "null|stale"),
        (&["--version"], "maelstrom-tests "),
    ] {
        let output = output(Command::new(BENCH).args(arguments));
        assert_eq!(status(&output), 0, "{}", show(&output));
        assert!(stdout(&output).contains(told), "{}", show(&output));
    }
}
