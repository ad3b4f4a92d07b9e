//! Runs over TCP.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{BENCH, Folder, output, show, status, stderr, stdout, text};

#[test]
fn raft_is_valid_over_tcp_under_faults() {
    let folder = Folder::new();
    fs::create_dir(folder.path("tmp")).expect("a folder");
    let mut command = Command::new(BENCH);
    command.env("TMPDIR", folder.path("tmp"));
    command.args(["test", "--transport=tcp", "--node-count=3", "--latency=2"]);
    command.args(["--nemesis=partition,transfer,kill,connections"]);
    command.args(["--nemesis-interval=2", "--time-limit=8", "--seed=1"]);
    let output = output(command.arg("--store").arg(folder.path("store")));
    assert_eq!(status(&output), 0, "{}", show(&output));
    let results = folder.results();
    for kind in ["partition", "transfer", "kill", "connections"] {
        let mut faults = results.faults.iter();
        assert!(faults.any(|fault| fault.kind == kind), "{}", show(&output));
    }
    let last = results.faults.last().expect("a fault");
    assert!(last.ended_ms.is_some(), "{}", show(&output));
    let left = fs::read_dir(folder.path("tmp")).expect("a folder");
    assert_eq!(left.count(), 0, "{}", show(&output));
}

#[test]
fn raft_is_valid_over_tcp_while_members_change() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--transport=tcp",
        "--node-count=3",
        "--nemesis=membership",
        "--nemesis-interval=2",
        "--time-limit=8",
        "--seed=1",
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let faults = folder.results().faults;
    assert!(faults.iter().any(|fault| fault.kind == "membership"));
    // The third node is no initial member.
    let log = folder.path("store/latest/node-logs/n2.log");
    let log = fs::read_to_string(log).expect("the node's log");
    assert!(
        log.contains("waiting until the cluster adds this node"),
        "{log}"
    );
}

/// Each node is a cluster of its own, so it answers from its own memory alone.
#[test]
fn nodes_that_do_not_agree_are_invalid() {
    let folder = Folder::new();
    let script = format!(
        "#!/bin/sh\n\
         for flag; do\n\
         shift\n\
         case $flag in\n\
         --name=*) name=${{flag#*=}};;\n\
         --listen=*) listen=${{flag#*=}};;\n\
         --bootstrap=*) flag=--bootstrap=$name=$listen;;\n\
         esac\n\
         set -- \"$@\" \"$flag\"\n\
         done\n\
         exec '{BENCH}' \"$@\"\n"
    );
    let bin = format!("--bin={}", text(&folder.executable("alone", &script)));
    let output = folder.test(&[
        &bin,
        "--transport=tcp",
        "--node-count=3",
        "--ops-per-key=100000",
        "--time-limit=3",
    ]);
    assert_eq!(status(&output), 1, "{}", show(&output));
    let told = stdout(&output);
    assert!(told.contains("is not linearizable"), "{told}");
}

/// The node begins with an empty folder each time.
#[test]
fn a_node_that_forgets_is_invalid_over_tcp() {
    let folder = Folder::new();
    let script = format!("#!/bin/sh\nrm -rf \"$STDRAFT_DATA_DIR\"/*\nexec '{BENCH}' \"$@\"\n");
    let bin = format!("--bin={}", text(&folder.executable("forgets", &script)));
    let output = folder.test(&[
        &bin,
        "--transport=tcp",
        "--node-count=1",
        "--nemesis=kill",
        "--time-limit=3",
    ]);
    assert_eq!(status(&output), 1, "{}", show(&output));
}

#[test]
fn a_node_that_cannot_start_is_reported_over_tcp() {
    let folder = Folder::new();
    let script = "#!/bin/sh\necho sorry >&2\nexit 3\n";
    let bin = format!("--bin={}", text(&folder.executable("sorry", script)));
    let output = folder.test(&[&bin, "--transport=tcp", "--node-count=1"]);
    assert_eq!(status(&output), 255, "{}", show(&output));
    let told = stderr(&output);
    assert!(told.contains("n0 ended before the run did"), "{told}");
    assert!(told.contains("sorry"), "{told}");
}

/// The only node is killed, and its clients notice at once.
#[test]
fn clients_of_a_dead_node_cannot_connect() {
    let folder = Folder::new();
    let output = folder.test(&[
        "--transport=tcp",
        "--node-count=1",
        "--nemesis=kill",
        "--nemesis-interval=2",
        "--time-limit=4",
        "--deletes=0.1",
        "--verbose",
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
    let results = folder.results();
    let mut errors = results.operations.all.errors.iter();
    assert!(errors.any(|error| error.code == 11), "{}", show(&output));
    let log = folder.path("store/latest/node-logs/n0.log");
    let log = fs::read_to_string(Path::new(&log)).expect("a log");
    assert!(log.contains("listening at 127."), "{log}");
}
