//! `maelstrom.sh`, with a stand-in for Maelstrom that notes how it is called.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{Folder, output, show, status, stderr, stdout, text};

/// Notes its data folder and its flags, leaves results, and ends with the status in the next line of
/// `statuses`.
const STAND_IN: &str = r#"#!/bin/sh
here=${0%/*}
ls "$STDRAFT_DATA_DIR" >&2
touch "$STDRAFT_DATA_DIR/file"
echo "$STDRAFT_DATA_DIR $*" >>"$here/calls"
number=$(sed -n '$=' "$here/calls")
mkdir -p "store/lin-kv/$number"
ln -sfn "lin-kv/$number" store/latest
exit "$(sed -n "${number}p" "$here/statuses")"
"#;

/// Runs a copy of the script, which keeps its results beside itself.
fn run(folder: &Folder, statuses: &str, path: &str, flags: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("maelstrom.sh");
    let script = fs::read_to_string(script).expect("the script");
    for name in ["maelstrom-tests", "tmp"] {
        fs::create_dir_all(folder.path(name)).expect("a folder");
    }
    let script = folder.executable("maelstrom-tests/maelstrom.sh", &script);
    let maelstrom = folder.executable("maelstrom", STAND_IN);
    fs::write(folder.path("statuses"), statuses).expect("a file");
    let mut command = Command::new(script);
    command.args(flags).env("PATH", path);
    command.env("MAELSTROM", maelstrom).env("RAFT", "/bin/cat");
    output(command.env("TMPDIR", folder.path("tmp")))
}

/// The path of this process, after a stand-in for gnuplot.
fn with_gnuplot(folder: &Folder) -> String {
    fs::create_dir(folder.path("bin")).expect("a folder");
    folder.executable("bin/gnuplot", "#!/bin/sh\n");
    let path = std::env::var("PATH").expect("a path");
    format!("{}:{path}", text(&folder.path("bin")))
}

#[test]
fn each_test_of_maelstrom_has_its_folder() {
    let folder = Folder::new();
    let path = with_gnuplot(&folder);
    let flags = ["--rate", "7", "--test-count", "3", "--", "--test-count=9"];
    let output = run(&folder, "0\n1\n0\n", &path, &flags);
    assert_eq!(status(&output), 1, "{}", show(&output));
    let root = fs::canonicalize(&folder.0).expect("a folder");
    let place = |number: u32| format!("{}/store/lin-kv/{number}", text(&root));
    let last = format!(
        "verdict: invalid; results in {}, {}, {}",
        place(1),
        place(2),
        place(3)
    );
    assert_eq!(stdout(&output).lines().last(), Some(&*last));
    let calls = fs::read_to_string(folder.path("calls")).expect("a file");
    let mut data: Vec<&str> = calls
        .lines()
        .filter_map(|call| call.split(' ').next())
        .collect();
    data.sort_unstable();
    data.dedup();
    assert_eq!(data.len(), 3, "{calls}");
    let given = "--concurrency 2n --rate 100 --time-limit 30 --latency 10 --nemesis partition --nemesis-interval 5 --rate 7 -- --test-count=9";
    assert!(calls.lines().all(|call| call.ends_with(given)), "{calls}");
    // The data of the invalid test stay, and the script says where.
    let left = fs::read_dir(folder.path("tmp")).expect("a folder").count();
    assert_eq!(left, 1);
    assert!(stderr(&output).contains("The nodes' data are in "));
}

#[test]
fn maelstrom_needs_gnuplot_and_a_count() {
    let folder = Folder::new();
    let output = run(&folder, "0\n", "/nowhere", &[]);
    assert_eq!(status(&output), 255, "{}", show(&output));
    assert!(
        stderr(&output).contains("gnuplot is not in PATH"),
        "{}",
        show(&output)
    );
    assert!(!folder.path("calls").exists());
    let path = with_gnuplot(&folder);
    for flags in [
        &["--test-count", "0"][..],
        &["--test-count=x"],
        &["--test-count"],
    ] {
        let output = run(&folder, "0\n", &path, flags);
        assert_eq!(status(&output), 255, "{}", show(&output));
        assert!(
            stderr(&output).contains("--test-count"),
            "{}",
            show(&output)
        );
    }
    assert!(!folder.path("calls").exists());
}
