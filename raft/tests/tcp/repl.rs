//! `raft repl` and the requests of the command line.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use crate::nodes::{Cluster, RAFT};

/// Runs a command with this input. Returns its stdout and its exit status.
pub(crate) fn run(arguments: &[impl AsRef<OsStr>], input: impl AsRef<[u8]>) -> (String, i32) {
    let mut child = Command::new(RAFT)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    let out = child.wait_with_output().unwrap();
    (
        String::from_utf8(out.stdout).unwrap(),
        out.status.code().unwrap(),
    )
}

#[test]
fn repl_in_a_pipe_prints_what_redis_cli_would() {
    let cluster = Cluster::start(1, &[]);
    let repl = |input: &str| {
        run(
            &["repl", "--timeout=3600", "--connect", &cluster.places[0]],
            input,
        )
    };
    let (out, status) =
        repl("set a 1\nget a\n\nset b {\"x\": [1, 2]}\nget b\ncas a 1 two\nget a\nhistory\n");
    let history = "    1  set a 1\n    2  get a\n    3  set b {\"x\": [1, 2]}\n    4  get b\n    \
                   5  cas a 1 two\n    6  get a\n    7  history\n";
    assert_eq!(
        out,
        format!("OK\n1\nOK\n{{\"x\":[1,2]}}\nOK\n\"two\"\n{history}")
    );
    assert_eq!(status, 0);
    let (out, status) = repl("get nothing\ncas a 1 2\nget a\nquit\nset a never\n");
    assert_eq!(
        out,
        "(nil)\n(error) the key holds another value: \"two\"\n\"two\"\n"
    );
    assert_eq!(status, 1);
    // Only the newest lines are kept.
    let (out, _) = repl(&format!("{}history\n", "help\n".repeat(1_500)));
    let oldest = out.lines().find(|line| line.ends_with("  help"));
    assert_eq!(oldest, Some("  502  help"));
    let (out, status) = repl("? watch\nHISTORY\nwatch\nQUIT\nget a\n");
    assert_eq!(
        out,
        "watch REQUEST               Repeats a request every second until Enter.\n    \
         1  ? watch\n    2  HISTORY\n(error) usage: watch REQUEST, as in watch status\n"
    );
    assert_eq!(status, 2);
    let (out, status) = repl("gte a\n");
    assert_eq!(out, "(error) unknown request \"gte\"; the nearest is get\n");
    assert_eq!(status, 2);
}

#[test]
fn bad_line_in_a_pipe_fails_alone() {
    let cluster = Cluster::start(1, &[]);
    let arguments = ["repl", "--timeout=3600", "--connect", &cluster.places[0]];
    let long = [b"set l ", &*vec![b'x'; 5 << 20]].concat();
    let input = [b"set \xff 1\n", &*long, b"\nset p 1\nget p"].concat();
    let (out, status) = run(&arguments, input);
    let lines: Vec<&str> = out.lines().collect();
    let [text, long, "OK", "1"] = lines[..] else {
        panic!("{out}");
    };
    assert!(
        text.starts_with("(error) the line is not UTF-8: "),
        "{text}"
    );
    assert_eq!(
        long,
        "(error) the line has 5242886 bytes; the most is 4194304"
    );
    assert_eq!(status, 2);
}

#[test]
fn requests_have_exit_statuses() {
    let cluster = Cluster::start(1, &[]);
    let raft = |arguments: &[&str]| {
        let connect = ["--timeout=3600", "--connect", &cluster.places[0]];
        run(&[arguments, &connect].concat(), "")
    };
    assert_eq!(raft(&["set", "k", "[1]"]), ("OK\n".into(), 0));
    assert_eq!(raft(&["get", "k"]), ("[1]\n".into(), 0));
    assert_eq!(raft(&["get", "none"]), ("(nil)\n".into(), 1));
    assert_eq!(raft(&["get"]).1, 2);
    assert_eq!(raft(&["set", "k", "{'a':1}"]).1, 2);
    assert_eq!(raft(&["set", "n", "-5"]).1, 2);
    let set = ["set".as_ref(), OsStr::from_bytes(b"\xff"), "1".as_ref()];
    assert_eq!(run(&set, "").1, 2);
    let connect = format!("--connect={}", cluster.places[0]);
    let (out, status) = run(&["set", "--timeout=3600", &connect, "--", "n", "-5"], "");
    assert_eq!((out.as_str(), status), ("OK\n", 0));
    assert_eq!(raft(&["get", "n"]), ("-5\n".into(), 0));
    let (out, status) = raft(&["status", "--json"]);
    let body: json::Value = json::decode(out.as_bytes()).unwrap();
    assert_eq!(body.field("node"), Some(&json::value!("n1")), "{body}");
    assert_eq!(status, 0);
    let (out, status) = raft(&["get", "k", "--json"]);
    assert!(
        out.contains(r#""type":"read_ok""#) && out.contains(r#""value":[1]"#),
        "{out}"
    );
    assert_eq!(status, 0);
    for place in ["localhost", ":7101", "127.0.0.1:99999"] {
        assert_eq!(run(&["get", "k", "--connect", place], "").1, 2, "{place}");
    }
    // Nothing listens there.
    let (out, status) = run(&["get", "k", "--timeout=1", "--connect=127.0.0.1:1"], "");
    assert!(out.contains("cannot connect to 127.0.0.1:1"), "{out}");
    assert_eq!(status, 4);
}
