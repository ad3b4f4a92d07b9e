//! Standard streams that are full, broken, or not blocking.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;

use json::{Value, value};

use crate::durable::Folder;
use crate::process::{PATIENT, all, command, init, line, parsed};
use crate::scrape::{address_in, page};

/// More than any pipe holds.
const LINES: usize = 100_000;

fn init_line() -> String {
    line("c0", "n1", &init(1, "n1", &["n1"])) + "\n"
}

fn write_line(msg_id: i64) -> String {
    let write = value!({"type": "write", "msg_id": msg_id, "key": 1, "value": msg_id});
    line("c1", "n1", &write) + "\n"
}

fn is_write_ok(line: &str, msg_id: i64) -> bool {
    line.contains(&format!(
        r#""body":{{"type":"write_ok","in_reply_to":{msg_id}}}"#
    ))
}

/// A node whose streams no thread reads.
fn start(args: &[&str]) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = command()
        .args(PATIENT)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdin, stdout)
}

fn next(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line
}

fn metrics_address(stderr: &mut impl BufRead) -> String {
    loop {
        let line = next(stderr);
        if line.contains("metrics: ") {
            return address_in(line.trim_end()).into();
        }
    }
}

/// Each dropped line of input is a line on stderr, which nothing reads until the node has answered.
/// Then all of them are there, or counted.
#[test]
fn unread_stderr_does_not_hold_the_node() {
    let (mut child, mut stdin, mut stdout) = start(&["--log=debug"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let address = metrics_address(&mut stderr);
    stdin.write_all(init_line().as_bytes()).unwrap();
    stdin.write_all("x\n".repeat(LINES).as_bytes()).unwrap();
    stdin.write_all(write_line(2).as_bytes()).unwrap();
    assert!(next(&mut stdout).contains("init_ok"));
    assert!(is_write_ok(&next(&mut stdout), 2));

    let mut read = 0;
    let missing = loop {
        let line = next(&mut stderr);
        assert_ne!(line, "", "stderr ended after {read} lines");
        if line.starts_with("warn: log lines dropped here") {
            let count = line.trim_end().rsplit(' ').next().unwrap();
            break count.parse::<usize>().unwrap();
        }
        read += usize::from(line.contains("dropped a line"));
    };
    assert_eq!(read + missing, LINES);
    let sample = format!("raft_queue_dropped_total{{queue=\"stderr\"}} {missing}");
    assert!(page(&address).lines().any(|line| line == sample));
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// An operator must see why a node stops, and the process must end, read or not.
#[test]
fn node_with_full_streams_still_stops() {
    let folder = Folder::new();
    let flags = ["--log=debug", "--snapshot-entries=1", "--data-dir"];
    let (mut child, mut stdin, mut stdout) = start(&[&flags[..], &[folder.text()]].concat());
    stdin.write_all(init_line().as_bytes()).unwrap();
    assert!(next(&mut stdout).contains("init_ok"));
    stdin.write_all("x\n".repeat(LINES).as_bytes()).unwrap();
    // The node may add a file meanwhile.
    while fs::remove_dir_all(Path::new(folder.text()).join("n1")).is_err() {}
    // Nothing reads these answers. The node may end meanwhile.
    while stdin.write_all(write_line(3).as_bytes()).is_ok() {}
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn unread_stdout_drops_answers_and_counts_them() {
    let (mut child, mut stdin, mut stdout) = start(&[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let address = metrics_address(&mut stderr);
    stdin.write_all(init_line().as_bytes()).unwrap();
    let dropped = |page: &str| {
        let name = "raft_queue_dropped_total{queue=\"outbox_clients\"} ";
        let mut values = page.lines().filter_map(|line| line.strip_prefix(name));
        values.next().is_some_and(|count| count != "0")
    };
    let mut sent = 1;
    while !dropped(&page(&address)) {
        for _ in 0..10_000 {
            sent += 1;
            stdin.write_all(write_line(sent).as_bytes()).unwrap();
        }
    }
    // As soon as stdout is read, the node serves again.
    let unread = sent;
    loop {
        let answer = parsed(&next(&mut stdout));
        let body = answer.field("body").unwrap();
        if body.field("in_reply_to").and_then(Value::as_i64).unwrap() > unread {
            break;
        }
        sent += 1;
        stdin.write_all(write_line(sent).as_bytes()).unwrap();
    }
    drop(stdin);
    all(stdout);
    assert!(child.wait().unwrap().success());
}

/// A parent may hand over streams that never block.
#[test]
fn streams_that_do_not_block_are_waited_for() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let output = theirs.try_clone().unwrap();
    let mut child = command()
        .args(PATIENT)
        .arg("--metrics=off")
        .stdin(OwnedFd::from(theirs))
        .stdout(OwnedFd::from(output))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut writing = ours.try_clone().unwrap();
    // All of them may wait for the node, and their answers for us, however slow that is.
    let count = 4_000;
    let writer = thread::spawn(move || {
        writing.write_all(init_line().as_bytes()).unwrap();
        for msg_id in 2..count {
            writing.write_all(write_line(msg_id).as_bytes()).unwrap();
        }
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let answers = all(&mut ours);
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(answers.lines().count() as i64, count - 1);
    assert!(is_write_ok(answers.lines().last().unwrap(), count - 1));
}

/// The connection is reset: it is closed while bytes wait that were not read.
#[test]
fn read_error_is_reported_and_not_success() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.write_all(b"never read").unwrap();
    assert_eq!(ours.peek(&mut [0]).unwrap(), 1);
    let mut child = command()
        .args(PATIENT)
        .arg("--metrics=off")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ours.write_all(init_line().as_bytes()).unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    assert!(next(&mut stdout).contains("init_ok"));
    drop(ours);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let stderr = all(child.stderr.take().unwrap());
    assert!(stderr.contains("error: cannot read stdin: "), "{stderr}");
}

/// Its stdin stays open.
#[test]
fn closed_stdout_ends_the_node_with_an_error() {
    let (mut child, mut stdin, stdout) = start(&["--metrics=off"]);
    drop(stdout);
    stdin.write_all(init_line().as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let stderr = all(child.stderr.take().unwrap());
    let text = "error: cannot write to stdout: Broken pipe";
    assert!(stderr.contains(text), "{stderr}");
}

/// Linux has a file that is always full.
#[test]
fn full_output_is_reported_and_not_success() {
    let full = || match File::options().write(true).open("/dev/full") {
        Ok(file) => Some(Stdio::from(file)),
        Err(_) => None,
    };
    if full().is_none() {
        eprintln!("SKIPPED: there is no /dev/full");
        return;
    }
    let mut child = command()
        .args(PATIENT)
        .arg("--metrics=off")
        .stdin(Stdio::piped())
        .stdout(full().unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(init_line().as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let stderr = all(child.stderr.take().unwrap());
    assert!(stderr.contains("error: cannot write to stdout: No space"));

    for (args, status) in [(&["--help"][..], 1), (&["--wrong"], 2)] {
        let ended = command()
            .args(args)
            .stdout(full().unwrap())
            .stderr(full().unwrap())
            .status();
        assert_eq!(ended.unwrap().code(), Some(status), "{args:?}");
    }
}

#[test]
fn closed_pipe_ends_help_quietly() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let help = command().arg("--help").stdout(writer).output().unwrap();
    assert!(help.status.success());
    assert_eq!(help.stderr, b"");
}
