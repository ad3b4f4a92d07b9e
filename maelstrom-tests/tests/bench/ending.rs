//! Runs that end before their time.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

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
