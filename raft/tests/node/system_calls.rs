//! What only the system sees: that acknowledged bytes and names were synced, and what calls that a
//! signal interrupts do. Reads strace's record.

use std::fs;
use std::process::{Command, Stdio};

use json::value;

use crate::durable::Folder;
use crate::process::{Node, PATIENT, RAFT, command_in};

/// Starts a node that is alone under strace with these expressions, which writes to this file. `None`
/// where strace cannot trace.
fn traced(folder: &Folder, record: &str, expressions: &[&str]) -> Option<Node> {
    let probe = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: strace is not installed, or may not trace");
        return None;
    }
    let mut command = command_in("strace");
    // With the paths of descriptors, and whole strings.
    command.args(["-f", "-qq", "-y", "-s", "1000", "-o", record]);
    for expression in expressions {
        command.args(["-e", expression]);
    }
    let command = command.arg(RAFT).args(PATIENT);
    let mut node = Node::start_as(command.args(["--data-dir", folder.text()]));
    node.init("n1", &["n1"]);
    Some(node)
}

/// The calls of a record in the order of their ends. A call that others interrupt has two lines: the
/// second one has its result.
fn calls(record: &str) -> Vec<String> {
    let mut calls = Vec::new();
    let mut begun: Vec<(&str, &str)> = Vec::new();
    for line in record.lines() {
        let (thread, call) = line.split_once(' ').expect("a line begins with its thread");
        let call = call.trim_start();
        if let Some(begin) = call.strip_suffix(" <unfinished ...>") {
            begun.push((thread, begin));
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            let at = begun.iter().position(|(other, _)| *other == thread);
            let (_, begin) = begun.remove(at.expect("it has begun"));
            calls.push(format!("{begin}{end}"));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// The path of a call's descriptor, as in `fdatasync(7</path>)`.
fn path(call: &str) -> &str {
    let (_, rest) = call.split_once('<').expect("a descriptor has a path");
    rest.split_once('>').expect("it has an end").0
}

#[test]
fn acknowledged_write_is_synced_and_so_is_its_name() {
    let (folder, traces) = (Folder::new(), Folder::new());
    let record = format!("{}/record", traces.text());
    let traced_calls = ["trace=write,pwrite64,fdatasync,fsync,rename"];
    let Some(mut node) = traced(&folder, &record, &traced_calls) else {
        return;
    };
    let write = value!({"type": "write", "key": 1, "value": "needle"});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
    assert!(node.end().status.success());
    let record = fs::read_to_string(&record).expect("strace has ended");
    let calls = calls(&record);
    let place = |what: &str, fits: &dyn Fn(&str) -> bool| {
        let found = calls.iter().position(|call| fits(call));
        found.unwrap_or_else(|| panic!("{what}: no such call among {}", calls.len()))
    };
    let written = place("the write to the log", &|call| {
        call.starts_with("pwrite64(") && call.contains("needle")
    });
    let answered = place("the answer", &|call| {
        call.starts_with("write(") && call.contains("write_ok")
    });
    let log = path(&calls[written]);
    let synced = |calls: &[String], sync: &str, file: &str| {
        let is_sync = |call: &&String| call.starts_with(sync) && call.ends_with("= 0");
        calls.iter().filter(is_sync).any(|call| path(call) == file)
    };
    assert!(
        synced(&calls[written..answered], "fdatasync(", log),
        "a write is acknowledged before {log} is synced: {:#?}",
        &calls[written..answered]
    );
    let renamed = place("the log gets its name", &|call| {
        call.starts_with("rename(") && call.contains(log.rsplit('/').next().unwrap_or(log))
    });
    let (folder, _) = log.rsplit_once('/').expect("a path");
    assert!(
        synced(&calls[renamed..answered], "fsync(", folder),
        "a write is acknowledged before the name of {log} is synced: {:#?}",
        &calls[renamed..answered]
    );
}

/// A signal interrupts every other call. The node repeats it, and loses nothing.
#[test]
fn interrupted_writes_and_syncs_are_repeated() {
    let (folder, traces) = (Folder::new(), Folder::new());
    let record = format!("{}/record", traces.text());
    let faults = [
        "trace=pwrite64,fdatasync,fsync",
        "inject=pwrite64,fdatasync,fsync:error=EINTR:when=1+2",
    ];
    let Some(mut node) = traced(&folder, &record, &faults) else {
        return;
    };
    let write = value!({"type": "write", "key": 1, "value": "needle"});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
    assert!(node.end().status.success());
    let record = fs::read_to_string(&record).expect("strace has ended");
    for call in ["pwrite64(", "fdatasync(", "fsync("] {
        let is_injected = |line: &str| line.contains(call) && line.contains("EINTR");
        assert!(record.lines().any(is_injected), "{call}: {record}");
    }
    let mut node = folder.alone(&[]);
    let read = node.ask(&value!({"type": "read", "key": 1}));
    assert_eq!(read, value!({"type": "read_ok", "value": "needle"}));
}
