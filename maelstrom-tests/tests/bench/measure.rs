//! The measurements: `soak`, `memory` and `catch-up`.

use std::process::Command;

use super::{BENCH, Folder, output, show, status, stdout, text};

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

/// The null node keeps values in parts, and loses them when it is killed.
#[test]
fn memory_misses_lost_values_and_sees_large_ones() {
    let folder = Folder::new();
    let script = format!("#!/bin/sh\nexec '{BENCH}' builtin-node null\n");
    let bin = folder.executable("node", &script);
    let data = format!("--data-dir={}", text(&folder.path("data")));
    let mut command = Command::new(BENCH);
    command.args(["memory", "--writes=3", "--value-bytes=300000", &data]);
    command.args(["--shape={\"\":0}", "--constant-mb=10", "--bin", text(&bin)]);
    let output = output(&mut command);
    assert_eq!(status(&output), 1, "{}", show(&output));
    let row = stdout(&output);
    let row = row.lines().find(|line| line.starts_with("[{\"\":0}"));
    let marks: Vec<&str> = row.expect("a row").matches('!').collect();
    // With many keys, in the map; and lost after each of three restarts.
    assert!(marks.len() >= 4, "{}", show(&output));
    let told = stdout(&output);
    assert!(told.contains("did not show their turns: 2\n"), "{told}");
}

/// No machine measures all of that in the time.
#[test]
fn memory_ends_at_its_time_limit() {
    let folder = Folder::new();
    let data = format!("--data-dir={}", text(&folder.path("data")));
    let mut command = Command::new(BENCH);
    command.args(["memory", "--writes=10000", "--time-limit=1", &data]);
    let output = output(&mut command);
    assert_eq!(status(&output), 2, "{}", show(&output));
    let told = stdout(&output);
    assert!(
        told.contains("stopped by the time limit in the shape "),
        "{told}"
    );
}

#[test]
fn raft_keeps_values_in_little_memory() {
    let folder = Folder::new();
    let data = format!("--data-dir={}", text(&folder.path("data")));
    let mut command = Command::new(BENCH);
    command.args(["memory", "--writes=3", "--value-bytes=100000", &data]);
    let output = output(command.arg("--shape={\"\":0}"));
    assert_eq!(status(&output), 0, "{}", show(&output));
    // How long a turn took depends on the machine.
    let told = stdout(&output);
    assert!(told.contains("had a turn above 5 ms: "), "{told}");
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

#[test]
fn long_values_are_written_and_read() {
    let folder = Folder::new();
    let data = format!("--data-dir={}", text(&folder.path("data")));
    let mut command = Command::new(BENCH);
    command.args(["soak", "--writes=30", "--keys=5", "--value-bytes=70000"]);
    let output = output(command.arg(&data));
    assert_eq!(status(&output), 0, "{}", show(&output));
    assert!(stdout(&output).contains("last value; keys: "));
}

/// Nodes without a network: the one that was away answers that the key does not exist.
#[test]
fn a_node_that_has_lost_a_key_did_not_catch_up() {
    let folder = Folder::new();
    let script = format!("#!/bin/sh\nexec '{BENCH}' builtin-node null\n");
    let bin = folder.executable("node", &script);
    let mut command = Command::new(BENCH);
    command.args([
        "catch-up",
        "--writes=10",
        "--seconds=1",
        "--seed=28",
        "--bin",
    ]);
    command.arg(bin);
    let output = output(command.arg(format!("--data-dir={}", text(&folder.path("data")))));
    assert_eq!(status(&output), 1, "{}", show(&output));
    assert!(
        stdout(&output).contains("n1 has lost key "),
        "{}",
        show(&output)
    );
}
