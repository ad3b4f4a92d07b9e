//! The bench as its users start it: the binary with arguments, real nodes, real pipes.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
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
        Results::decode(&bytes).expect("they can be read")
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
    assert!(all.ok > 0 && all.info == 0, "{results:?}");
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
}

#[test]
fn a_node_that_breaks_the_protocol_is_reported() {
    const INIT_OK: &str = r#"{"src":"n0","dest":"c0","body":{"type":"init_ok","in_reply_to":1}}"#;
    const REFUSAL: &str =
        r#"{"src":"n0","dest":"c0","body":{"type":"error","code":11,"text":"not today"}}"#;
    const STRAY: &str = r#"{"src":"n0","dest":"c9999","body":{"type":"write_ok","in_reply_to":1}}"#;
    const UNASKED: &str =
        r#"{"src":"n0","dest":"c1","body":{"type":"write_ok","in_reply_to":9999}}"#;
    let answer = |line: &str| format!("echo '{line}'; cat >/dev/null");
    for (init, request, told) in [
        (REFUSAL, String::new(), "it refuses init: not today"),
        (
            INIT_OK,
            answer("Listening on port 8080"),
            "it is not a JSON object",
        ),
        (INIT_OK, answer(INIT_OK), "its dest \"c0\" is unknown"),
        (INIT_OK, answer(STRAY), "its dest is unknown"),
        (INIT_OK, answer(UNASKED), "a request that was never made"),
        (
            INIT_OK,
            "echo sorry >&2; printf '{\"src\":'; exit 3".into(),
            "incomplete: {\"src\":\nn0: the end of its stderr:\n  sorry",
        ),
    ] {
        let folder = Folder::new();
        let script = format!("#!/bin/sh\nread -r line\necho '{init}'\nread -r line\n{request}\n");
        let bin = format!("--bin={}", text(&folder.executable("node", &script)));
        let output = folder.test(&[&bin, "--node-count=1", "--rate=0", "--time-limit=60"]);
        assert_eq!(status(&output), 255, "{}", show(&output));
        assert!(stderr(&output).contains(told), "{told}: {}", show(&output));
        let results = folder.results();
        assert_eq!(results.verdict, "broken");
        assert!(results.reason.is_some_and(|reason| reason.contains(told)));
    }
}

#[test]
fn a_program_that_is_no_node_is_reported() {
    let folder = Folder::new();
    let plain = folder.path("plain");
    fs::write(&plain, "no program").expect("a file");
    let nonsense = folder.executable("nonsense", "\u{7f}ELF, almost");
    let silent = folder.executable("silent", "#!/bin/sh\necho sorry >&2\nexec >&-\nread line\n");
    for (path, told) in [
        (folder.path("nowhere"), "no such file"),
        (plain, "not executable"),
        (folder.0.clone(), "not a file"),
        (nonsense, "cannot start "),
        (
            PathBuf::from("/bin/cat"),
            "its src is \"c0\", but n0 printed it",
        ),
        (PathBuf::from("/bin/echo"), "it is blank"),
        (silent, "sorry"),
    ] {
        let bin = format!("--bin={}", text(&path));
        let output = folder.test(&[&bin, "--node-count=1", "--time-limit=60"]);
        assert_eq!(status(&output), 255, "{}", show(&output));
        assert!(stderr(&output).contains(told), "{told}: {}", show(&output));
    }
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
        (&["builtin-node", "best"], "expected null or stale"),
        (&["check", "--wat"], "--wat"),
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

#[test]
fn a_python_node_works() {
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nodes/store.py");
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 to run {}", node.display());
        return;
    }
    let folder = Folder::new();
    let bin = format!("--bin={}", text(&node));
    let output = folder.test(&[
        &bin,
        "--node-count=1",
        "--concurrency=4n",
        "--time-limit=1",
        PATIENT,
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
}

#[test]
fn arguments_and_logs_are_passed_on() {
    let folder = Folder::new();
    let script = format!("#!/bin/sh\necho \"given $*\" >&2\nexec '{BENCH}' builtin-node null\n");
    let bin = folder.executable("node", &script);
    let bin = format!("--bin={}", text(&bin));
    let output = folder.test(&[
        &bin,
        "--node-count=1",
        "--time-limit=1",
        PATIENT,
        "--log-stderr",
        "--log-net-send",
        "--log-net-recv",
        "--",
        "--flag",
        "two words",
    ]);
    let told = stderr(&output);
    assert_eq!(status(&output), 0, "{}", show(&output));
    for part in [
        "n0: given --flag two words\n",
        "send {\"id\":1,\"src\":\"c0\",\"dest\":\"n0\",\"body\":{\"type\":\"init\"",
        "recv {\"id\":1,\"src\":\"c0\"",
        "send {\"src\":\"n0\",\"dest\":\"c1\"",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let log = fs::read_to_string(folder.path("store/latest/node-logs/n0.log")).expect("a log");
    assert_eq!(log, "given --flag two words\n");
}

#[test]
fn faults_are_made_and_reported() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--node-count=3",
        "--time-limit=3",
        "--nemesis=partition,pause",
        "--nemesis-interval=0.5",
        "--loss=0.3",
        "--duplicate=0.3",
        "--seed=0",
    ]);
    // Perhaps no request is answered ok, which is unknown.
    assert!(matches!(status(&output), 0 | 2), "{}", show(&output));
    let results = folder.results();
    for kind in ["partition", "pause"] {
        let mut faults = results.faults.iter();
        assert!(faults.any(|fault| fault.kind == kind), "{results:?}");
    }
    let messages = &results.messages;
    assert!(messages.lost > 0, "{messages:?}");
    assert!(messages.doubled > 0, "{messages:?}");
    assert!(messages.cut > 0, "{messages:?}");
    assert!(stdout(&output).contains("faults: "), "{}", show(&output));
}

/// The nodes hold a named pipe open. It ends when all of them are gone, the paused ones included,
/// which only a signal can end.
#[test]
fn nodes_end_when_the_bench_is_killed() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    let made = output(Command::new("mkfifo").arg(&pipe));
    assert!(made.status.success());
    let script = format!(
        "#!/bin/sh\nexec 3>'{}'\nexec '{BENCH}' builtin-node null\n",
        text(&pipe)
    );
    let bin = folder.executable("node", &script);
    let mut bench = Command::new(BENCH)
        .args(["test", "--node-count=3", "--time-limit=60"])
        .args(["--nemesis=pause", "--nemesis-interval=0.5"])
        .args(["--bin", text(&bin), "--store"])
        .arg(folder.path("store"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the bench runs");
    let mut nodes = File::open(&pipe).expect("the nodes open it too");
    wait_for_pause(&mut bench);
    // As a terminal does, the signal goes to the bench's whole group. No parent can make the bench
    // ignore this one.
    let kill = format!("kill -s KILL -- -{}", bench.id());
    let killed = output(Command::new("sh").args(["-c", &kill]));
    assert!(killed.status.success());
    let ended = bench.wait().expect("it ends");
    assert_eq!(ended.code(), None, "a signal ended it");
    let mut rest = Vec::new();
    nodes.read_to_end(&mut rest).expect("the nodes end");
}

/// Reads the bench's progress until a node is paused.
fn wait_for_pause(bench: &mut Child) {
    let progress = bench.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(progress).lines();
    let paused = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("pause n")));
    assert!(paused.is_some(), "the bench ended early");
    // The bench must not end because its output is closed.
    std::thread::spawn(move || lines.for_each(drop));
}

/// The node's first process is correct, and the second, which finds the file of the first, answers
/// reads with a value that nobody wrote. The verdict shows that a kill does not end the run, that
/// the new process gets its `init`, and that its answers are checked.
#[test]
fn a_restarted_node_finds_its_folder_and_is_checked() {
    let folder = Folder::new();
    let liar = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nodes/liar.sh");
    let script = format!(
        "#!/bin/sh\n\
         echo \"data $STDRAFT_DATA_DIR\" >&2\n\
         [ -e \"$STDRAFT_DATA_DIR/file\" ] && exec '{}'\n\
         mkdir -p \"$STDRAFT_DATA_DIR\"\n\
         echo >\"$STDRAFT_DATA_DIR/file\"\n\
         # A child of this shell, which the kill must reach as well.\n\
         '{BENCH}' builtin-node null\n",
        text(&liar)
    );
    let bin = folder.executable("node", &script);
    let output = folder.test(&[
        &format!("--bin={}", text(&bin)),
        "--node-count=1",
        "--nemesis=kill",
        "--nemesis-interval=2",
        // It is killed after 1.3 s, back after 2.7 s, and killed again after 5.7 s.
        "--seed=15",
        "--time-limit=5.5",
        &format!("--data-dir={}", text(&folder.path("data"))),
    ]);
    assert_eq!(status(&output), 1, "{}", show(&output));
    let results = folder.results();
    let mut faults = results.faults.iter();
    assert!(faults.all(|fault| fault.kind == "kill" && fault.what == "kill n0"));
    assert!(results.faults[0].ended_ms.is_some(), "{results:?}");
    assert!(results.messages.dead > 0, "{:?}", results.messages);

    let run = fs::read_dir(folder.path("data")).expect("a folder").next();
    let run = run.expect("one for the run").expect("it is here").path();
    let run = fs::canonicalize(run).expect("it is here");
    let log = fs::read_to_string(folder.path("store/latest/node-logs/n0.log")).expect("a log");
    let data = format!("data {}", text(&run));
    assert!(log.lines().count() > 1, "{log}");
    assert!(log.lines().all(|line| line == data), "{log}");
    let told = stdout(&output);
    assert!(told.contains("the nodes' data are in"), "{told}");
    assert!(told.contains(text(&run)), "{told}");
}

#[test]
fn without_kills_nodes_get_no_data_folder() {
    let folder = Folder::new();
    let script = format!(
        "#!/bin/sh\necho \"data ${{STDRAFT_DATA_DIR-none}}\" >&2\nexec '{BENCH}' builtin-node null\n"
    );
    let bin = folder.executable("node", &script);
    let mut command = Command::new(BENCH);
    command.env("STDRAFT_DATA_DIR", folder.path("another run's"));
    command.args([
        "test",
        "--node-count=1",
        "--time-limit=1",
        PATIENT,
        "--bin",
        text(&bin),
        "--store",
    ]);
    let output = output(command.arg(folder.path("store")));
    assert_eq!(status(&output), 0, "{}", show(&output));
    let log = fs::read_to_string(folder.path("store/latest/node-logs/n0.log")).expect("a log");
    assert_eq!(log, "data none\n");
}

#[test]
fn soak_misses_lost_writes() {
    let folder = Folder::new();
    let script = format!("#!/bin/sh\nexec '{BENCH}' builtin-node null\n");
    let bin = folder.executable("node", &script);
    let output = output(
        Command::new(BENCH)
            .args(["soak", "--writes=2000", "--keys=100", "--bin", text(&bin)])
            .arg(format!("--data-dir={}", text(&folder.path("data")))),
    );
    assert_eq!(status(&output), 1, "{}", show(&output));
    assert!(
        stdout(&output).contains("killed, and back after"),
        "{}",
        show(&output)
    );
    assert!(stdout(&output).contains("is lost"), "{}", show(&output));
}

#[test]
fn raft_survives_kills_and_no_data_stays() {
    let folder = Folder::new();
    fs::create_dir(folder.path("tmp")).expect("a folder");
    let mut command = Command::new(BENCH);
    command.env("TMPDIR", folder.path("tmp"));
    command.args(["test", "--node-count=3", "--latency=5", "--time-limit=7"]);
    // All nodes are killed after 2.4 s and back after 5.2 s.
    command.args(["--nemesis=kill", "--nemesis-interval=2", "--seed=3"]);
    command.arg("--store").arg(folder.path("store"));
    let output = output(&mut command);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let results = folder.results();
    assert_eq!(results.faults[0].what, "kill n0 n1 n2", "{results:?}");
    let left = fs::read_dir(folder.path("tmp")).expect("a folder");
    assert_eq!(left.count(), 0, "{}", show(&output));
}

#[test]
fn raft_has_every_key_after_a_soak() {
    let folder = Folder::new();
    let data = format!("--data-dir={}", text(&folder.path("data")));
    let mut command = Command::new(BENCH);
    command.args(["soak", "--writes=4000", "--keys=50", &data]);
    let output = output(command.args(["--", "--snapshot-entries=500"]));
    assert_eq!(status(&output), 0, "{}", show(&output));
    let told = stdout(&output);
    assert!(told.contains("last value; keys: 50"), "{told}");
}

#[test]
fn a_killed_node_catches_up_by_snapshot() {
    let folder = Folder::new();
    let data = format!("--data-dir={}", text(&folder.path("data")));
    let mut command = Command::new(BENCH);
    command.args([
        "catch-up",
        "--writes=3000",
        "--keys=50",
        "--seconds=1",
        &data,
    ]);
    command.args(["--", "--snapshot-entries=500", "--snapshot-chunk-bytes=300"]);
    let output = output(&mut command);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let told = stdout(&output);
    assert!(told.contains("catching up"), "{told}");
    assert!(told.contains("snapshot_chunk"), "{told}");
}
