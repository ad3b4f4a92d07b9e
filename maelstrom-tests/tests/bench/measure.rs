//! The measurements: `soak`, `memory` and `catch-up`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::{BENCH, Folder, output, show, status, stderr, stdout, text};

#[test]
fn soak_misses_lost_and_changed_writes() {
    let liar = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nodes/liar.sh");
    let null = format!("'{BENCH}' builtin-node null");
    for (node, wrong) in [
        (&*null, " is lost; its last value was "),
        (text(&liar), " has 999 instead of its last value "),
    ] {
        let folder = Folder::new();
        let bin = folder.executable("node", &format!("#!/bin/sh\nexec {node}\n"));
        let output = output(
            Command::new(BENCH)
                .args(["soak", "--writes=2000", "--keys=100", "--bin", text(&bin)])
                .arg(format!("--data-dir={}", text(&folder.path("data")))),
        );
        assert_eq!(status(&output), 1, "{}", show(&output));
        for told in ["killed, and back after", wrong] {
            assert!(stdout(&output).contains(told), "{}", show(&output));
        }
    }
}

#[test]
fn a_node_that_fails_breaks_a_measurement() {
    const RUBBISH: &str = "echo Listening; exec cat >/dev/null";
    const ERROR: &str = r#"echo '{"src":"n0","dest":"c1","body":{"type":"error","in_reply_to":1,"code":11}}'; read -r line"#;
    for (subcommand, node, told) in [
        ("soak", RUBBISH, "it is not a JSON object"),
        ("soak", "exit 3", "n0 ended before the run did"),
        ("catch-up", "exit 3", "its src is \"n0\", but n"),
        ("memory", RUBBISH, "it is not a JSON object"),
        ("memory", "exit 3", "n0 ended before the run did"),
        ("memory", ERROR, "was answered error instead of write_ok"),
    ] {
        let folder = Folder::new();
        let script = format!(
            "#!/bin/sh\n\
             read -r line\n\
             echo '{{\"src\":\"n0\",\"dest\":\"c0\",\"body\":{{\"type\":\"init_ok\",\"in_reply_to\":1}}}}'\n\
             read -r line\n{node}\n"
        );
        let bin = folder.executable("node", &script);
        let mut command = Command::new(BENCH);
        command.args([subcommand, "--writes=1", "--bin", text(&bin)]);
        let output = output(command.arg(format!("--data-dir={}", text(&folder.path("data")))));
        assert_eq!(status(&output), 255, "{}", show(&output));
        assert!(stderr(&output).contains(told), "{told}: {}", show(&output));
    }
}

/// The test itself serves the metrics, which show a turn of 10 ms.
#[test]
fn a_long_turn_is_invalid_if_strict() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                stream.read_line(&mut request).expect("a line");
            }
            for (bound, count) in [("0.005", 7), ("0.01", 9), ("+Inf", 9)] {
                let row = format!("raft_loop_turn_seconds_bucket{{le=\"{bound}\"}} {count}\n");
                stream
                    .get_mut()
                    .write_all(row.as_bytes())
                    .expect("it is open");
            }
        }
    });
    let folder = Folder::new();
    let script = format!(
        "#!/bin/sh\necho metrics: http://{address}/metrics >&2\nexec '{BENCH}' node \"$@\"\n"
    );
    let bin = folder.executable("node", &script);
    for (more, expected) in [(&["--strict"][..], 1), (&[], 0)] {
        let mut command = Command::new(BENCH);
        command.args(["memory", "--writes=1", "--value-bytes=1000"]);
        command.args(["--shape={\"\":0}", "--bin", text(&bin)]);
        command.arg(format!("--data-dir={}", text(&folder.path("data"))));
        let output = output(command.args(more));
        assert_eq!(status(&output), expected, "{}", show(&output));
        let told = stdout(&output);
        assert!(told.contains("had a turn above 5 ms: 2 of 2;"), "{told}");
    }
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
