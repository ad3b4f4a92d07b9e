//! Every subcommand with a stdout or stderr that is closed or full, and what it says of input that
//! it must reject.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::process::{self, Command, Stdio};

/// Short runs, with their exit statuses.
const RUNS: [(&str, i32); 8] = [
    ("--help", 0),
    ("help test", 0),
    ("check -", 1),
    ("sim --seed 1", 0),
    ("sim --seeds 0..2", 0),
    ("golden election/normal", 0),
    ("model --nodes 1 --terms 1", 0),
    ("fuzz --inputs 10 json", 0),
];

/// A read of a value that was never written.
const HISTORY: &str = r#"
{"process":0,"type":"invoke","f":"read","key":0,"value":null,"time":1}
{"process":0,"type":"ok","f":"read","key":0,"value":7,"time":2}
"#;

/// The program with these arguments and the history on its stdin.
fn command(arguments: &str) -> Command {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer
        .write_all(HISTORY.trim_start().as_bytes())
        .expect("it has room");
    let mut command = Command::new(env!("CARGO_BIN_EXE_maelstrom-tests"));
    command.args(arguments.split_whitespace()).stdin(reader);
    command
}

/// Linux has a file that is always full.
fn full() -> Option<Stdio> {
    let file = File::options().write(true).open("/dev/full");
    if file.is_err() {
        eprintln!("SKIPPED: there is no /dev/full");
    }
    file.ok().map(Stdio::from)
}

fn closed() -> Stdio {
    let (_, writer) = io::pipe().expect("a pipe");
    writer.into()
}

#[test]
fn closed_pipe_changes_no_status() {
    for (arguments, status) in RUNS {
        let mut command = command(arguments);
        let ended = command.stdout(closed()).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(status), "{arguments}: {stderr}");
        assert!(!stderr.contains("stdout"), "{arguments}: {stderr}");
    }
}

#[test]
fn full_stdout_is_reported() {
    for (arguments, _) in RUNS {
        let Some(full) = full() else { return };
        let ended = command(arguments).stdout(full).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(255), "{arguments}: {stderr}");
        let error = "maelstrom-tests: cannot write to stdout: ";
        assert!(stderr.contains(error), "{arguments}: {stderr}");
    }
}

#[test]
fn full_or_closed_stderr_keeps_the_status() {
    for stderr in [full(), Some(closed())].into_iter().flatten() {
        let ended = command("sim --nonsense")
            .stderr(stderr)
            .output()
            .expect("it runs");
        assert_eq!(ended.status.code(), Some(255));
        assert_eq!(ended.stdout, b"");
    }
}

/// A script whose output says that nothing happens.
const SCRIPT: &str = "# Why.\ncluster 3\ncampaign n1\n  nothing\n";

#[test]
fn rejection_has_its_status_and_its_words() {
    let name = format!("stdraft-script-{}.txt", process::id());
    let script = std::env::temp_dir().join(name);
    fs::write(&script, SCRIPT).expect("the temporary folder is writable");
    let golden = format!("golden {}", script.display());
    let replay = format!("cargo run --release -- {golden}\n");
    for (arguments, words) in [
        (
            "check -",
            &["Key 0 is not linearizable.", "verdict: invalid"][..],
        ),
        (
            &golden,
            &["-   nothing", "+   tick 1", &replay, "different: 1"],
        ),
        (
            "model --nodes 3 --terms 1 --expiries 2 --in-flight 2 --crashes 1 --forgetful",
            &["forget n", "rule broken: ", "a rule was broken: "],
        ),
    ] {
        let ended = command(arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(ended.status.code(), Some(1), "{arguments}: {said}");
        for words in words {
            assert!(said.contains(words), "{arguments}: {said}");
        }
    }
    fs::remove_file(&script).expect("it is there");
}
