//! Runs that end before their time.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use maelstrom_tests::bench::signals;

use super::{BENCH, Folder, output, text};

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
        // Not the shell that waits for signals, but the run itself.
        .env(signals::CHILD, "1")
        .args(["test", "--node-count=3", "--time-limit=60"])
        .args(["--nemesis=pause", "--nemesis-interval=0.5"])
        .args(["--bin", text(&bin), "--store"])
        .arg(folder.path("store"))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the bench runs");
    let input = bench.stdin.as_mut().expect("it is piped");
    writeln!(input, "ready").expect("the run begins");
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
    thread::spawn(move || lines.for_each(drop));
}

/// Starts a run without end, with its data in the folder's `tmp`, and waits until it has answers.
/// Returns the rest of its output, too.
fn endless(folder: &Folder, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    fs::create_dir(folder.path("tmp")).expect("a folder");
    let mut bench = Command::new(BENCH)
        .env("TMPDIR", folder.path("tmp"))
        .args([
            "test",
            "--node-count=1",
            "--time-limit=600",
            "--nemesis=kill",
        ])
        .args(arguments)
        .arg("--store")
        .arg(folder.path("store"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the bench runs");
    let output = bench.stdout.take().expect("it is piped");
    (bench, BufReader::new(output))
}

fn send(signal: &str, bench: &Child) {
    let kill = format!("kill -s {signal} {}", bench.id());
    let killed = output(Command::new("sh").args(["-c", &kill]));
    assert!(killed.status.success());
}

/// Whether this process was started with a signal ignored, as its children then are.
fn is_ignored(signal: &str) -> bool {
    let script = format!("kill -s {signal} $$; echo ignored");
    let output = output(Command::new("sh").args(["-c", &script]));
    !output.stdout.is_empty()
}

#[test]
fn a_signal_ends_a_run_with_its_results() {
    for signal in ["TERM", "INT"] {
        if is_ignored(signal) {
            eprintln!("SKIPPED: SIG{signal} is ignored here");
            continue;
        }
        let folder = Folder::new();
        let (mut bench, mut output) = endless(&folder, &[]);
        let mut told = String::new();
        while !told
            .lines()
            .any(|line| line.contains("   ok ") && !line.contains(" ok 0 "))
        {
            assert!(output.read_line(&mut told).expect("a line") > 0, "{told}");
        }
        send(signal, &bench);
        output.read_to_string(&mut told).expect("the run ends");
        let ended = bench.wait().expect("it ends");
        assert_eq!(ended.code(), Some(0), "{told}");
        assert!(told.contains("\nstopped by a signal after "), "{told}");
        assert!(told.ends_with("\nverdict: valid\n"), "{told}");
        let results = folder.results();
        assert!(results.stopped_s.is_some() && results.operations.all.ok > 0);
        assert!(folder.path("store/latest/latency.svg").exists());
        let left = fs::read_dir(folder.path("tmp")).expect("a folder").count();
        assert_eq!(left, 0, "{told}");
    }
}

/// What was known of the runs comes also if a signal that cannot be caught ends the shell.
#[test]
fn many_runs_end_with_their_shell() {
    let folder = Folder::new();
    let (mut bench, mut output) = endless(&folder, &["--runs=3", "--seed=1"]);
    let log = folder.path("store/runs-1/001/output.txt");
    while !fs::read_to_string(&log).is_ok_and(|log| log.contains("   ok ")) {
        thread::yield_now();
    }
    send("KILL", &bench);
    bench.wait().expect("it ends");
    let mut told = String::new();
    output.read_to_string(&mut told).expect("the runs end");
    assert!(
        told.contains("stopped by a signal after 1 of 3 runs"),
        "{told}"
    );
    assert!(told.contains(" 0 broken\n"), "{told}");
    let log = fs::read_to_string(log).expect("its output");
    assert!(log.contains("stopped by a signal after "), "{log}");
}

/// Starts a measurement with its data in the folder's `tmp`, and reads its output up to a line.
fn measuring(folder: &Folder, arguments: &[&str], line: &str) -> (Child, BufReader<ChildStdout>) {
    fs::create_dir(folder.path("tmp")).expect("a folder");
    let mut bench = Command::new(BENCH)
        .env("TMPDIR", folder.path("tmp"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the bench runs");
    let mut output = BufReader::new(bench.stdout.take().expect("it is piped"));
    let mut told = String::new();
    while !told.contains(line) {
        assert!(output.read_line(&mut told).expect("a line") > 0, "{told}");
    }
    (bench, output)
}

#[test]
fn a_signal_ends_a_measurement_with_what_is_known() {
    if is_ignored("TERM") {
        eprintln!("SKIPPED: SIGTERM is ignored here");
        return;
    }
    for (arguments, line, known) in [
        (
            &["soak", "--writes=1000000000"][..],
            "longest ms",
            "failed writes: ",
        ),
        (
            &["catch-up", "--writes=100", "--seconds=3600"][..],
            "longest   ms",
            "while it is away",
        ),
        (
            &["memory", "--writes=10000", "--value-bytes=1000"],
            "one key",
            "nodes whose event loop had a turn above 5 ms: ",
        ),
    ] {
        let folder = Folder::new();
        let (mut bench, mut output) = measuring(&folder, arguments, line);
        send("TERM", &bench);
        let mut told = String::new();
        output.read_to_string(&mut told).expect("it ends");
        let ended = bench.wait().expect("it ends");
        assert_eq!(ended.code(), Some(2), "{told}");
        assert!(told.contains(known), "{told}");
        assert!(told.contains("stopped by a signal "), "{told}");
        let left = fs::read_dir(folder.path("tmp")).expect("a folder").count();
        assert_eq!(left, 0, "{told}");
    }
}

#[test]
fn a_measurement_that_cannot_print_says_where_its_data_are() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("SKIPPED: there is no /dev/full");
        return;
    };
    let folder = Folder::new();
    fs::create_dir(folder.path("tmp")).expect("a folder");
    let ended = Command::new(BENCH)
        .env("TMPDIR", folder.path("tmp"))
        .args(["soak", "--writes=100"])
        .stdin(Stdio::null())
        .stdout(full)
        .output()
        .expect("the bench runs");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(255), "{stderr}");
    let data = fs::read_dir(folder.path("tmp")).expect("a folder").next();
    let data = data.expect("its data").expect("an entry").path();
    let named = fs::canonicalize(data).expect("it is there");
    assert!(stderr.contains(text(&named)), "{stderr}");
}
