//! Faults, and nodes that do not survive them.

use std::fs;
use std::path::Path;
use std::process::Command;

use maelstrom_tests::bench::report::results::Timeouts;

use maelstrom_tests::bench::report::results::Fault;
use maelstrom_tests::history::Event;

use super::{BENCH, Folder, PATIENT, output, show, status, stdout, text};

#[test]
fn faults_are_made_and_reported() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--node-count=3",
        "--time-limit=3",
        "--nemesis=partition,pause",
        "--nemesis-interval=0.5",
        "--nemesis-at-start",
        "--loss=0.3",
        "--duplicate=0.3",
        "--seed=0",
    ]);
    // Perhaps no request is answered ok, which is unknown.
    assert!(matches!(status(&output), 0 | 2), "{}", show(&output));
    let results = folder.results();
    for kind in ["partition", "pause"] {
        let mut faults = results.faults.iter();
        assert!(faults.any(|fault| fault.kind == kind), "{}", show(&output));
    }
    // Both came before the first request.
    let history = fs::read(folder.path("store/latest/history.jsonl")).expect("a history");
    let first = history.split(|byte| *byte == b'\n').next().expect("a line");
    let first = Event::from_line(first).expect("an event").time_ns as f64;
    let at_start = |fault: &&Fault| fault.began_ms * 1e6 <= first;
    assert_eq!(
        results.faults.iter().filter(at_start).count(),
        2,
        "{}",
        show(&output)
    );
    let messages = &results.messages;
    assert!(messages.lost > 0, "{messages:?}");
    assert!(messages.doubled > 0, "{messages:?}");
    assert!(messages.cut > 0, "{messages:?}");
    assert!(stdout(&output).contains("faults: "), "{}", show(&output));
}

/// The only node is paused for at least a second and a half. Clients wait for one second.
#[test]
fn a_paused_node_answers_nothing_until_it_goes_on() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--builtin=null",
        "--node-count=1",
        "--nemesis=pause",
        "--nemesis-at-start",
        "--nemesis-interval=3",
        "--time-limit=4",
    ]);
    let results = folder.results();
    assert_eq!(results.faults[0].what, "pause n0", "{}", show(&output));
    let Timeouts {
        before_first_ok,
        after_first_ok,
    } = results.timeouts;
    let timed_out = before_first_ok + after_first_ok;
    assert!(timed_out > 0, "{}", show(&output));
    // It goes on.
    assert!(results.operations.all.ok > 0, "{}", show(&output));
}

/// The node's first process is correct, and the second, which finds the file of the first, answers
/// reads with a value that no client wrote. The verdict shows that a kill does not end the run, that
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
    assert!(results.faults[0].ended_ms.is_some(), "{}", show(&output));
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
fn raft_survives_kills_and_no_data_stays() {
    let folder = Folder::new();
    fs::create_dir(folder.path("tmp")).expect("a folder");
    let mut command = Command::new(BENCH);
    command.env("TMPDIR", folder.path("tmp"));
    command.args(["test", "--node-count=3", "--latency=5", "--time-limit=6"]);
    command.args(["--nemesis=kill", "--nemesis-interval=2"]);
    command.arg("--store").arg(folder.path("store"));
    let output = output(&mut command);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let results = folder.results();
    let last = results.faults.last().expect("a fault");
    assert_eq!(last.what, "kill n0 n1 n2", "{}", show(&output));
    let ended = last.ended_ms.expect("it ends before the run");
    assert!(ended <= results.duration_s * 1000.0, "{}", show(&output));
    assert!(last.after.is_some(), "{}", show(&output));
    let left = fs::read_dir(folder.path("tmp")).expect("a folder");
    assert_eq!(left.count(), 0, "{}", show(&output));
}

#[test]
fn transfers_leave_the_history_valid() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--node-count=3",
        "--latency=5",
        "--time-limit=4",
        "--nemesis=transfer",
        "--nemesis-interval=0.5",
        "--nemesis-at-start",
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let results = folder.results();
    let mut faults = results.faults.iter();
    assert!(faults.all(|fault| fault.kind == "transfer" && fault.ended_ms.is_some()));
    let mut kinds = results.messages.by_type.iter();
    let asked = kinds.any(|kind| kind.name == "timeout_now");
    assert!(asked, "{}", show(&output));
}

#[test]
fn changed_members_leave_the_history_valid() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--node-count=5",
        "--latency=5",
        "--time-limit=8",
        "--nemesis=membership",
        "--nemesis-interval=0.5",
        "--nemesis-at-start",
        // Grows, replaces and shrinks.
        "--seed=1",
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let results = folder.results();
    let mut whats: Vec<&str> = results.faults.iter().map(|fault| &*fault.what).collect();
    whats.sort_unstable();
    whats.dedup();
    let all = ["membership grow", "membership replace", "membership shrink"];
    assert_eq!(whats, all, "{}", show(&output));
    let log = |node| {
        let path = folder.path(&format!("store/latest/node-logs/n{node}.log"));
        fs::read_to_string(path).expect("a log")
    };
    assert!(log(3).contains("waits to be added"), "{}", log(3));
    // The first of the others to come.
    assert!(
        log(3).contains("was added to the cluster as member 3"),
        "{}",
        show(&output)
    );
    let removed = (0..5).any(|node| log(node).contains("was removed from the cluster"));
    assert!(removed, "{}", show(&output));
}

/// The node keeps its data in memory, and every run kills it after a write was acknowledged. The
/// keys of these writes are not written any more, but read at the end.
#[test]
fn a_node_that_forgets_is_invalid_for_every_seed() {
    let folder = Folder::new();
    let script = format!("#!/bin/sh\nexec '{BENCH}' builtin-node null\n");
    let null = folder.executable("null", &script);
    let script = format!("#!/bin/sh\nunset STDRAFT_DATA_DIR\nexec '{BENCH}' node\n");
    let raft = folder.executable("raft", &script);
    for (bin, runs) in [(null, 4), (raft, 2)] {
        let output = folder.test(&[
            &format!("--bin={}", text(&bin)),
            &format!("--runs={runs}"),
            &format!("--jobs={runs}"),
            "--nemesis=kill",
            "--node-count=1",
            "--rate=100",
            "--time-limit=3",
            // Clients wait for five seconds.
            "--latency=500",
            &format!("--data-dir={}", text(&folder.path("data"))),
        ]);
        assert_eq!(status(&output), 1, "{}", show(&output));
        let counts = format!("0 valid, 0 unknown, {runs} invalid, 0 broken");
        assert!(stdout(&output).contains(&counts), "{}", show(&output));
    }
}

#[test]
fn changes_of_sessions_are_numbered() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--node-count=1",
        "--concurrency=4",
        "--sessions",
        "--deletes=0.3",
        "--rate=0",
        "--time-limit=1",
        PATIENT,
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let operations = folder.results().operations;
    assert!(operations.delete.ok > 0 && operations.all.info == 0);
    let messages = folder.results().messages;
    // Each of two workers that change keys opened a session.
    assert_eq!(messages.clients, 2 * operations.all.total() + 4);
}
