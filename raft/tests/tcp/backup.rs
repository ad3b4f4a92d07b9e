//! Backups, and clusters that begin with one.

use std::fs;
use std::sync::mpsc;
use std::thread;

use json::{Value, value};

use crate::nodes::{Cluster, Connection, Folder};
use crate::repl::run;

/// Runs `raft backup` into this file.
fn backup(cluster: &Cluster, file: &str) -> (String, i32) {
    let connect = cluster.places.join(",");
    run(
        &["backup", file, "--timeout=3600", "--connect", &connect],
        "",
    )
}

#[test]
fn backup_under_writes_has_every_acknowledged_key() {
    let mut old = Cluster::start(3, &["--snapshot-entries=20"]);
    let mut client = old.client();
    let (acknowledge, acknowledged) = mpsc::sync_channel(0);
    // Values of some size, so that the snapshot goes in several parts.
    let value = Value::from("x".repeat(20_000));
    let writes = value.clone();
    let writer = thread::spawn(move || {
        for key in 0.. {
            client.set(&value!(key), &writes).unwrap();
            if acknowledge.send(key).is_err() {
                return;
            }
        }
    });
    let last: i64 = acknowledged.iter().nth(60).unwrap();
    // The writer goes on meanwhile.
    let meanwhile = thread::spawn(move || acknowledged.iter().take(40).count());
    let folder = Folder::new();
    let file = folder.file("backup", "an older one");
    let (out, status) = backup(&old, &file);
    assert!(
        status == 0 && out.contains("a snapshot through entry"),
        "{out}"
    );
    meanwhile.join().unwrap();
    writer.join().unwrap();

    // The new cluster takes over the addresses, while a node of the old one still runs.
    (0..2).for_each(|node| old.kill(node));
    let mut new = Cluster::in_place_of(&old);
    let restore = || {
        let arguments = ["restore", &file, "--bootstrap", &new.members()];
        run(&[&arguments[..], &["--data-dir", new.data()]].concat(), "")
    };
    let (out, status) = restore();
    assert!(status == 0 && out.contains("raft serve --name n3"), "{out}");
    assert_eq!(restore().1, 1);
    (0..2).for_each(|node| new.run(node));
    // The old node campaigns, and is refused.
    new.read_stderr(0, "another cluster");
    let mut client = new.client();
    for key in 0..=last {
        assert_eq!(client.get(&value!(key)), Ok(Some(value.clone())), "{key}");
    }
    client.set(&value!("new"), &value!(1)).unwrap();
    old.kill(2);
    new.run(2);
    new.kill(0);
    client.set(&value!("new"), &value!(2)).unwrap();
    assert_eq!(client.get(&value!("new")), Ok(Some(value!(2))));
}

/// The field of the reply to a request on a raw connection.
fn ask(connection: &mut Connection, body: &str, field: &str) -> Option<Value> {
    connection.send(&format!(r#"{{"body":{{"msg_id":1,{body}}}}}"#));
    connection.body().field(field).cloned()
}

#[test]
fn open_backup_outlives_newer_snapshots_and_keeps_others_off() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client();
    client
        .set(&value!("large"), &Value::from("x".repeat(400_000)))
        .unwrap();
    client.read(value!({"type": "snapshot"})).unwrap();
    let (mut one, mut other) = (cluster.connect(0), cluster.connect(0));
    let begin = r#""type":"backup","offset":0"#;
    let code = ask(&mut one, r#""type":"backup","offset":9"#, "code");
    assert_eq!(code, Some(value!(12)), "nothing is open");
    let index = ask(&mut one, begin, "index").unwrap();
    assert_eq!(ask(&mut other, begin, "code"), Some(value!(11)));
    for count in 0..3 {
        client.set(&value!("small"), &value!(count)).unwrap();
        client.read(value!({"type": "snapshot"})).unwrap();
    }
    let rest = r#""type":"backup","offset":262144"#;
    assert_eq!(ask(&mut one, rest, "index"), Some(index.clone()));
    // That was its end.
    assert_eq!(ask(&mut one, rest, "code"), Some(value!(12)));
    let newer = ask(&mut other, begin, "index").unwrap();
    assert!(newer.as_u64() > index.as_u64());
}

#[test]
fn failed_backup_leaves_the_older_one() {
    let folder = Folder::new();
    let file = folder.file("backup", "an older one");
    let arguments = ["backup", &file, "--timeout=1", "--connect=127.0.0.1:1"];
    let (out, status) = run(&arguments, "");
    assert!(status == 4 && out.contains("cannot connect"), "{out}");
    assert_eq!(fs::read(&file).unwrap(), b"an older one");
    assert!(!fs::exists(format!("{file}.part")).unwrap());
    let (out, status) = run(&["backup", &format!("{file}/x")], "");
    assert!(status == 5 && out.contains("cannot write"), "{out}");
    // Another process writes it.
    let part = fs::File::create(format!("{file}.part")).unwrap();
    part.lock().unwrap();
    let (out, status) = run(&arguments, "");
    assert!(
        status == 5 && out.contains("another backup writes it"),
        "{out}"
    );
}
