//! The command line.

use std::net::TcpListener;
use std::process::Output;

use crate::process::{Node, command, init, line, run};

fn output(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

#[test]
fn help_and_version() {
    let help = output(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for part in [
        "--heartbeat MS",
        "--election-timeout MIN..MAX",
        "--request-timeout MS",
        "--settle MS",
        "in memory",
        "must never come back",
        "STDRAFT_DATA_DIR",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let version = output(&["--version"]);
    assert!(version.status.success());
    let expected = format!("raft {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
}

#[test]
fn help_names_the_subcommands() {
    for (args, text) in [
        (&["help"][..], "\n  log "),
        (&["help", "log"], "raft log [FLAGS] DIR"),
        (&["log", "-h"], "--verify"),
        (&["-V"], "raft "),
    ] {
        let output = output(args);
        assert!(output.status.success(), "{args:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.contains(text), "{stdout}");
    }
}

#[test]
fn mistakes_are_explained() {
    for (args, text) in [
        (
            &["--hearbeat", "50"][..],
            "unknown flag --hearbeat; the nearest is --heartbeat",
        ),
        (&["--settle", "soon"], "--settle: expected a whole number"),
        (&["--election-timeout", "100..50"], "do not go together"),
        (&["lgo"], "unknown subcommand 'lgo'; the nearest is log"),
        (&["log"], "raft log: no folder given"),
        (&["log", "a", "b"], "raft log: unknown argument 'b'"),
    ] {
        let output = output(args);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(output.stdout, b"");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(text), "{stderr}");
        assert!(stderr.contains("--help"), "{stderr}");
    }
}

#[test]
fn taken_metrics_port_ends_the_node() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let place = format!("127.0.0.1:{port}");
    let end = run(&["--metrics", &place], b"");
    assert_eq!(end.status.code(), Some(1));
    let text = format!("cannot serve metrics at {place}");
    assert!(end.stderr.contains(&text), "{}", end.stderr);

    // Here the node's position is added to the port.
    let before = format!("127.0.0.1:{}+", port - 1);
    let mut node = Node::start(&["--metrics", &before]);
    node.send(&line("c1", "n2", &init(1, "n2", &["n1", "n2"])));
    let end = node.end();
    assert_eq!(end.status.code(), Some(1));
    assert!(end.stderr.contains(&text), "{}", end.stderr);
}

#[test]
fn log_level_is_respected() {
    let end = run(&["--log=error"], b"garbage\n");
    assert_eq!(end.stderr, "");
    let end = run(&["--log=warn"], b"garbage\n");
    let lines: Vec<&str> = end.stderr.lines().collect();
    let [memory, dropped] = lines[..] else {
        panic!("{}", end.stderr);
    };
    assert!(memory.starts_with("warn: the state is in memory only"));
    assert!(dropped.starts_with("warn: dropped a line"));
}
