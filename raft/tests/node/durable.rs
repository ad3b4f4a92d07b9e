//! Nodes with a data folder.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use json::{Value, value};
use raft::storage::crc32c;

use crate::process::{Node, command, init, line, said};

/// A folder for one test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("stdraft-node-{}-{number}", process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Starts a node with this data folder.
    pub(crate) fn start(&self, flags: &[&str]) -> Node {
        let data = ["--data-dir", self.text()];
        Node::start(&[&data[..], flags].concat())
    }

    /// Starts a node that is the only one of its cluster.
    pub(crate) fn alone(&self, flags: &[&str]) -> Node {
        let mut node = self.start(flags);
        node.init("n1", &["n1"]);
        node
    }

    /// The files of a node whose names begin with `start`.
    fn files(&self, node: &str, start: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.join(node)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        paths.filter(|path| name(path).starts_with(start)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn write(node: &mut Node, key: i64, value: i64) {
    let write = value!({"type": "write", "key": key, "value": value});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
}

fn read(node: &mut Node, key: i64) -> Value {
    let reply = node.ask(&value!({"type": "read", "key": key}));
    reply
        .field("value")
        .unwrap_or_else(|| panic!("{reply}"))
        .clone()
}

/// Sends an `init` that the node refuses. Returns the code and the text of the error.
fn refused(mut node: Node, ids: &[&str]) -> (i64, String) {
    node.send(&line("c1", "n1", &init(1, "n1", ids)));
    let reply = node.read();
    let end = node.end();
    assert_eq!(end.status.code(), Some(1), "{}", end.stderr);
    let body = reply.field("body").unwrap();
    assert_eq!(body.field("in_reply_to"), Some(&value!(1)));
    let text = body.field("text").and_then(Value::as_str).unwrap();
    assert!(end.stderr.contains(text), "{}\n{text}", end.stderr);
    (
        body.field("code").and_then(Value::as_i64).unwrap(),
        text.into(),
    )
}

#[test]
fn acknowledged_writes_survive_a_kill() {
    let folder = Folder::new();
    for run in 0..4 {
        let mut node = folder.alone(&[]);
        for key in 0..run {
            assert_eq!(read(&mut node, key), value!(key * 10));
        }
        write(&mut node, run, run * 10);
        node.kill();
    }
    let end = folder.alone(&[]).end();
    assert!(end.status.success());
    assert!(!end.stderr.contains("in memory"), "{}", end.stderr);
    assert!(end.stderr.contains("recovered term"), "{}", end.stderr);
}

#[test]
fn client_asks_for_a_snapshot() {
    let folder = Folder::new();
    let mut node = folder.alone(&[]);
    for key in 0..3 {
        write(&mut node, key, key);
    }
    let delete = value!({"type": "delete", "key": 1});
    assert_eq!(node.ask(&delete), value!({"type": "delete_ok"}));
    let status = |node: &mut Node| node.ask(&value!({"type": "status"}));
    let before = status(&mut node);
    assert_eq!(
        (&before["role"], &before["snapshot"]),
        (&value!("leader"), &value!(0))
    );
    let snapshot = value!({"type": "snapshot"});
    let stored = value!({"type": "snapshot_ok", "index": (before["applied"].clone())});
    for _ in 0..2 {
        assert_eq!(node.ask(&snapshot), stored);
        assert_eq!(folder.files("n1", "snapshot-").len(), 1);
    }
    assert_eq!(status(&mut node)["snapshot"], before["applied"]);
    // The log after the snapshot has a delete, too.
    let delete = value!({"type": "delete", "key": 2});
    assert_eq!(node.ask(&delete), value!({"type": "delete_ok"}));
    node.kill();
    let mut node = folder.alone(&[]);
    node.read_stderr("keys in the snapshot: 2");
    let keys = node.ask(&value!({"type": "keys"}));
    assert_eq!(
        keys,
        value!({"type": "keys_ok", "keys": [0], "more": false})
    );
}

#[test]
fn snapshot_replaces_the_log() {
    let folder = Folder::new();
    let mut node = folder.alone(&["--snapshot-entries=10"]);
    for number in 0..100 {
        write(&mut node, number % 7, number);
        if number % 20 == 19 {
            node.read_stderr("stored a snapshot");
        }
    }
    node.kill();
    let mut node = folder.alone(&[]);
    node.read_stderr("keys in the snapshot: 7");
    assert_eq!(folder.files("n1", "snapshot-").len(), 1);
    for number in 93..100 {
        assert_eq!(read(&mut node, number % 7), value!(number));
    }
}

#[test]
fn sessions_outlive_the_process() {
    for flags in [&["--snapshot-entries=1"][..], &[]] {
        let folder = Folder::new();
        let mut node = folder.alone(flags);
        let opened = node.ask(&value!({"type": "open_session"}));
        let session = opened.field("session").expect("an id").clone();
        let cas = value!({
            "type": "cas", "key": 1, "from": 0, "to": 1, "create_if_not_exists": true,
            "session": session, "sequence": 1
        });
        let ok = value!({"type": "cas_ok"});
        assert_eq!(node.ask(&cas), ok);
        write(&mut node, 1, 2);
        if !flags.is_empty() {
            // The first entries are the members, the blank one, both sessions, and both writes.
            node.read_stderr("stored a snapshot through entry 6:");
        }
        node.kill();
        let mut node = folder.alone(&[]);
        assert_eq!(node.ask(&cas), ok);
        assert_eq!(read(&mut node, 1), value!(2));
    }
}

#[test]
fn folder_serves_one_cluster() {
    let folder = Folder::new();
    let mut node = folder.alone(&[]);
    write(&mut node, 1, 1);
    node.kill();
    let (code, text) = refused(folder.start(&[]), &["n1", "n2"]);
    assert_eq!(code, 22);
    assert!(text.contains("began with members of other names"), "{text}");
    // The refusal did no harm.
    assert_eq!(read(&mut folder.alone(&[]), 1), value!(1));
}

#[test]
fn folder_serves_one_process() {
    let folder = Folder::new();
    let mut node = folder.alone(&[]);
    let (code, text) = refused(folder.start(&[]), &["n1"]);
    assert_eq!(code, 14);
    assert!(text.contains("another process"), "{text}");
    write(&mut node, 1, 1);
}

#[test]
fn damage_is_reported_with_its_file() {
    let folder = Folder::new();
    let mut node = folder.alone(&[]);
    for number in 0..10 {
        write(&mut node, number, number);
    }
    node.kill();
    let log = &folder.files("n1", "log-")[0];
    let mut bytes = fs::read(log).unwrap();
    bytes[200] ^= 1;
    fs::write(log, &bytes).unwrap();
    let mut node = folder.start(&[]);
    // A request before init is refused, too.
    let early = value!({"type": "read", "msg_id": 9, "key": 1});
    node.send(&line("c2", "n1", &early));
    let (code, text) = refused(node, &["n1"]);
    assert_eq!(code, 14);
    assert!(text.contains(log.to_str().unwrap()), "{text}");
    assert_eq!(fs::read(log).unwrap(), bytes);
}

#[test]
fn impossible_folder_is_reported() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    let node = Node::start(&["--data-dir", file.to_str().unwrap()]);
    let (code, text) = refused(node, &["n1"]);
    assert_eq!(code, 14);
    assert!(text.contains("cannot keep data in"), "{text}");
}

#[test]
fn flag_overrides_the_environment() {
    let (folder, other) = (Folder::new(), Folder::new());
    let mut named = command();
    named.env("STDRAFT_DATA_DIR", folder.text());
    let mut node = Node::start_as(&mut named);
    node.init("a/b", &["a/b"]);
    assert!(!folder.files("a%2fb", "log-").is_empty());

    let mut node = Node::start_as(named.args(["--data-dir", other.text()]));
    node.init("n1", &["n1"]);
    assert!(!other.files("n1", "log-").is_empty());

    let mut node = Node::start_as(command().env("STDRAFT_DATA_DIR", ""));
    node.init("n1", &["n1"]);
    node.read_stderr("in memory only");
    let reply = value!({"type": "init_ok", "in_reply_to": 1});
    node.send(&line("c3", "n1", &init(1, "n1", &["n1"])));
    assert_eq!(node.read(), said("n1", "c3", &reply));
}

/// Runs `raft log`. Returns its exit status, its output and its errors.
fn log(args: &[&str], out: Stdio) -> (Option<i32>, String, String) {
    let mut command = command();
    command.arg("log").args(args).stdout(out);
    let ran = command.stderr(Stdio::piped()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

#[test]
fn log_statuses_say_what_was_found() {
    let folder = Folder::new();
    let path = folder.0.join("n1");
    let path = path.to_str().unwrap();
    let (status, out, error) = log(&["--verify", path], Stdio::piped());
    assert_eq!((status, out.as_str()), (Some(5), ""), "{error}");
    let (status, _, error) = log(&["--verify", folder.text()], Stdio::piped());
    assert_eq!(status, Some(5));
    assert!(error.contains("not a node's folder"), "{error}");

    let mut node = folder.alone(&[]);
    write(&mut node, 1, 1);
    let (status, _, error) = log(&["--verify", path], Stdio::piped());
    assert_eq!(status, Some(5));
    assert!(
        error.contains("another process uses this folder"),
        "{error}"
    );
    node.kill();

    let (status, out, error) = log(&["--verify", path], Stdio::piped());
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(out.contains(", vote for n1; base"), "{out}");
    assert!(out.ends_with("\nsound\n"), "{out}");

    let file = &folder.files("n1", "log-")[0];
    let whole = fs::read(file).unwrap();
    for (at, byte, expected) in [(40, 1, 1), (8, 2, 4), (1024 + 4096, 1, 3)] {
        let mut bytes = whole.clone();
        bytes[at] ^= byte;
        fs::write(file, &bytes).unwrap();
        let (status, _, error) = log(&["--verify", path], Stdio::piped());
        assert_eq!(status, Some(expected), "byte {at}: {error}");
    }
}

#[test]
fn snapshot_of_a_newer_machine_is_not_used() {
    let folder = Folder::new();
    // Of the members, the leader's blank entry, its session and the write, the first three make one
    // snapshot, so none is unfinished.
    let mut node = folder.alone(&["--snapshot-entries=3"]);
    write(&mut node, 1, 1);
    node.read_stderr("stored a snapshot");
    node.kill();
    for file in folder.files("n1", "snapshot-") {
        let mut bytes = fs::read(&file).unwrap();
        let version = br#""version":1"#;
        let at = bytes
            .windows(version.len())
            .position(|part| part == version);
        bytes[at.unwrap() + version.len() - 1] = b'2';
        bytes.truncate(bytes.len() - 4);
        bytes.extend(crc32c(&bytes).to_le_bytes());
        fs::write(&file, &bytes).unwrap();
    }
    let path = folder.0.join("n1");
    let (status, _, error) = log(&["--verify", path.to_str().unwrap()], Stdio::piped());
    assert_eq!(status, Some(4), "{error}");
    let (code, text) = refused(folder.start(&[]), &["n1"]);
    assert_eq!(code, 14);
    for text in [text, error] {
        assert!(text.contains("this program cannot use it"), "{text}");
    }
}

#[test]
fn log_keeps_its_status_without_a_reader() {
    let folder = Folder::new();
    let mut node = folder.alone(&[]);
    for key in 0..1_000 {
        write(&mut node, key, key);
    }
    node.kill();
    let path = folder.0.join("n1");
    let path = path.to_str().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(
        log(&[path], writer.into()),
        (Some(0), String::new(), String::new())
    );
    // Only Linux has a device that is always full.
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return;
    };
    let (status, _, error) = log(&[path], full.try_clone().unwrap().into());
    assert_eq!(status, Some(5));
    assert!(error.contains("cannot write to stdout"), "{error}");
    let mut command = command();
    let nothing = command.args(["log", "/nonexistent"]).stderr(full).status();
    assert_eq!(nothing.unwrap().code(), Some(5));
}

/// As when a deployment turns a link to the folder while the node runs.
#[test]
fn node_stays_in_the_folder_that_it_opened() {
    let folder = Folder::new();
    let (old, new) = (folder.0.join("old"), folder.0.join("new"));
    for data in [&old, &new] {
        fs::create_dir_all(data.join("n1")).unwrap();
    }
    let link = folder.0.join("link");
    symlink(&old, &link).unwrap();
    let start = || {
        let link = link.to_str().unwrap();
        let mut node = Node::start(&["--data-dir", link, "--snapshot-entries=1"]);
        node.init("n1", &["n1"]);
        node
    };
    let mut node = start();
    fs::remove_file(&link).unwrap();
    symlink(&new, &link).unwrap();
    for key in 0..3 {
        write(&mut node, key, key);
        node.read_stderr("stored a snapshot");
    }
    node.kill();
    assert_eq!(fs::read_dir(new.join("n1")).unwrap().count(), 0);

    fs::remove_file(&link).unwrap();
    symlink(&old, &link).unwrap();
    let mut node = start();
    for key in 0..3 {
        assert_eq!(read(&mut node, key), value!(key));
    }
}

#[test]
fn longest_name_has_a_folder() {
    let folder = Folder::new();
    let name = "/".repeat(256);
    for _ in 0..2 {
        folder.start(&[]).init(&name, &[&name]);
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}
