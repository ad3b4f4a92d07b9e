//! Nodes of other languages, and nodes that break the protocol.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BENCH, Folder, PATIENT, output, show, status, stderr, stdout, text};

#[test]
fn a_node_that_breaks_the_protocol_is_reported() {
    const INIT_OK: &str = r#"{"src":"n0","dest":"c0","body":{"type":"init_ok","in_reply_to":1}}"#;
    const REFUSAL: &str =
        r#"{"src":"n0","dest":"c0","body":{"type":"error","code":11,"text":"not today"}}"#;
    const STRAY: &str = r#"{"src":"n0","dest":"c9999","body":{"type":"write_ok","in_reply_to":1}}"#;
    const UNASKED: &str =
        r#"{"src":"n0","dest":"c1","body":{"type":"write_ok","in_reply_to":9999}}"#;
    let answer = |line: &str| format!("echo '{line}'; cat >/dev/null");
    for (init, request, told) in [
        (REFUSAL, String::new(), "it refuses init: not today"),
        (
            INIT_OK,
            answer("Listening on port 8080"),
            "it is not a JSON object",
        ),
        (INIT_OK, answer(INIT_OK), "its dest \"c0\" is unknown"),
        (INIT_OK, answer(STRAY), "its dest is unknown"),
        (
            INIT_OK,
            "head -c 140000000 /dev/zero; cat >/dev/null".into(),
            "it is longer than 134217728 bytes",
        ),
        (INIT_OK, answer(UNASKED), "a request that was never made"),
        (
            INIT_OK,
            "echo sorry >&2; printf '{\"src\":'; exit 3".into(),
            "incomplete: {\"src\":\nn0: the end of its stderr:\n  sorry",
        ),
    ] {
        let folder = Folder::new();
        let script = format!("#!/bin/sh\nread -r line\necho '{init}'\nread -r line\n{request}\n");
        let bin = format!("--bin={}", text(&folder.executable("node", &script)));
        let output = folder.test(&[&bin, "--node-count=1", "--rate=0", "--time-limit=60"]);
        assert_eq!(status(&output), 255, "{}", show(&output));
        assert!(stderr(&output).contains(told), "{told}: {}", show(&output));
        let results = folder.results();
        assert_eq!(results.verdict, "broken");
        assert!(results.reason.is_some_and(|reason| reason.contains(told)));
    }
}

#[test]
fn a_program_that_is_no_node_is_reported() {
    let folder = Folder::new();
    let plain = folder.path("plain");
    fs::write(&plain, "no program").expect("a file");
    let nonsense = folder.executable("nonsense", "\u{7f}ELF, almost");
    let script = folder.executable("script", "#!/no/such/interpreter -x\n");
    let silent = folder.executable("silent", "#!/bin/sh\necho sorry >&2\nexec >&-\nread line\n");
    for (path, told) in [
        (folder.path("nowhere"), "no such file"),
        (plain, "not executable"),
        (folder.0.clone(), "not a file"),
        (nonsense, "/nonsense as n0: "),
        (
            script,
            "/script as n0: its first line names the interpreter \"/no/such/interpreter\", and there is no such file",
        ),
        (
            PathBuf::from("/bin/cat"),
            "its src is \"c0\", but n0 printed it",
        ),
        (PathBuf::from("/bin/echo"), "it is blank"),
        (silent, "sorry"),
    ] {
        let bin = format!("--bin={}", text(&path));
        let output = folder.test(&[&bin, "--node-count=1", "--time-limit=60"]);
        assert_eq!(status(&output), 255, "{}", show(&output));
        assert!(stderr(&output).contains(told), "{told}: {}", show(&output));
    }
}

#[test]
fn a_python_node_works() {
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nodes/store.py");
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 to run {}", node.display());
        return;
    }
    let folder = Folder::new();
    let bin = format!("--bin={}", text(&node));
    let output = folder.test(&[
        &bin,
        "--node-count=1",
        "--concurrency=4n",
        "--time-limit=1",
        PATIENT,
    ]);
    assert_eq!(status(&output), 0, "{}", show(&output));
}

#[test]
fn arguments_and_logs_are_passed_on() {
    let folder = Folder::new();
    let script = format!("#!/bin/sh\necho \"given $*\" >&2\nexec '{BENCH}' builtin-node null\n");
    let bin = folder.executable("node", &script);
    let bin = format!("--bin={}", text(&bin));
    let output = folder.test(&[
        &bin,
        "--node-count=1",
        "--time-limit=1",
        PATIENT,
        "--log-stderr",
        "--log-net-send",
        "--log-net-recv",
        "--",
        "--flag",
        "two words",
    ]);
    let told = stderr(&output);
    assert_eq!(status(&output), 0, "{}", show(&output));
    for part in [
        "n0: given --flag two words\n",
        "send {\"id\":1,\"src\":\"c0\",\"dest\":\"n0\",\"body\":{\"type\":\"init\"",
        "recv {\"id\":1,\"src\":\"c0\"",
        "send {\"src\":\"n0\",\"dest\":\"c1\"",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let log = fs::read_to_string(folder.path("store/latest/node-logs/n0.log")).expect("a log");
    assert_eq!(log, "given --flag two words\n");
}

#[test]
fn without_kills_nodes_get_no_data_folder() {
    let folder = Folder::new();
    let script = format!(
        "#!/bin/sh\necho \"data ${{STDRAFT_DATA_DIR-none}}\" >&2\nexec '{BENCH}' builtin-node null\n"
    );
    let bin = folder.executable("node", &script);
    let mut command = Command::new(BENCH);
    command.env("STDRAFT_DATA_DIR", folder.path("another run's"));
    command.args([
        "test",
        "--node-count=1",
        "--time-limit=1",
        PATIENT,
        "--bin",
        text(&bin),
        "--store",
    ]);
    let output = output(command.arg(folder.path("store")));
    assert_eq!(status(&output), 0, "{}", show(&output));
    let log = fs::read_to_string(folder.path("store/latest/node-logs/n0.log")).expect("a log");
    assert_eq!(log, "data none\n");
}

/// The answer to `init` is a line, all others lack the line break.
#[test]
fn a_node_without_line_breaks_is_reported() {
    let folder = Folder::new();
    let script = r#"#!/bin/sh
read -r line
echo '{"src":"n0","dest":"c0","body":{"type":"init_ok","in_reply_to":1}}'
read -r line
printf '{"src":"n0","dest":"c1","body":{"type":"write_ok","in_reply_to":1}}'
cat >/dev/null
"#;
    let bin = format!("--bin={}", text(&folder.executable("node", script)));
    let output = folder.test(&[&bin, "--node-count=1", "--time-limit=3"]);
    assert_eq!(status(&output), 2, "{}", show(&output));
    let told = "n0: its stdout ends with 67 bytes and no line break: {\"src\":\"n0\"";
    let shown = stdout(&output);
    let last = shown.lines().last().expect("a line");
    assert!(
        last.starts_with("verdict: unknown: ") && last.contains(told),
        "{shown}"
    );
    let unfinished = folder.results().unfinished;
    assert!(unfinished.len() == 1 && unfinished[0].starts_with(told));
}

/// No file may have more than 4 KiB, which is as if the file system were full.
#[test]
fn a_full_store_is_reported_with_its_path() {
    let folder = Folder::new();
    let limited = r#"trap '' XFSZ; ulimit -f 8; exec "$0" "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", limited, BENCH, "test", "--builtin=null"]);
    command.args(["--node-count=1", "--rate=0", "--time-limit=60", "--store"]);
    let output = output(command.arg(folder.path("store")));
    assert_eq!(status(&output), 255, "{}", show(&output));
    let told = stderr(&output);
    assert!(
        told.contains("cannot write ") && told.contains("/history.jsonl: "),
        "{told}"
    );
}

/// Each node sends the other messages without end.
#[test]
fn a_flood_between_nodes_does_not_hold_a_run() {
    let folder = Folder::new();
    let script = r#"#!/bin/sh
read -r line
node=${line#*'"dest":"'} node=${node%%'"'*}
other=n$((1 - ${node#n}))
echo "{\"src\":\"$node\",\"dest\":\"c${node#n}\",\"body\":{\"type\":\"init_ok\",\"in_reply_to\":1}}"
exec yes "{\"src\":\"$node\",\"dest\":\"$other\",\"body\":{\"type\":\"flood\"}}"
"#;
    let bin = format!("--bin={}", text(&folder.executable("node", script)));
    let output = folder.test(&[&bin, "--node-count=2", "--time-limit=0.3"]);
    assert_eq!(status(&output), 2, "{}", show(&output));
    assert!(stdout(&output).contains("verdict: unknown: no request was answered ok"));
    let results = folder.results();
    // If the time is up before the first request, the run ends at once.
    assert!(results.messages.servers > 0 || results.operations.all.total() == 0);
}
