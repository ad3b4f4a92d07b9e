//! Nodes that join and leave.

use json::{Value, value};
use raft::client::{Client, Error};

use crate::nodes::{Cluster, Folder};
use crate::repl::run;

/// The names of the members, as a node knows them.
fn names(client: &mut Client) -> Vec<String> {
    let reply = client.read(value!({"type": "members"})).unwrap();
    let members = reply.field("members").unwrap().elements();
    let name = |member: &Value| member.field("name").unwrap().as_str().unwrap().to_owned();
    members.map(name).collect()
}

fn change(client: &mut Client, add: &[&str], remove: &[&str]) -> Result<(), Error> {
    let list = |names: &[&str]| Value::Array(names.iter().map(|name| (*name).into()).collect());
    let body = value!({
        "type": "change_members", "add": (list(add)), "remove": (list(remove))
    });
    client.ask_leader(body).map(drop)
}

#[test]
fn cluster_grows_and_shrinks_and_restarts_without_flags() {
    let folder = Folder::new();
    let secret = "another secret of some length";
    let file = folder.file("secret", secret);
    let mut cluster = Cluster::start(1, &["--secret-file", &file, "--snapshot-entries=20"]);
    let mut options = cluster.options();
    options.secret = secret.into();
    let mut client = Client::new(options);
    // So the new nodes begin with a snapshot.
    for count in 0..50 {
        client.set(&value!(count), &value!(count)).unwrap();
    }
    let (n2, n3) = (cluster.join(), cluster.join());
    let out = run(
        &[
            "add",
            &n2,
            &n3,
            "--timeout=3600",
            "--connect",
            &cluster.places[0],
            "--secret-file",
            &file,
        ],
        "",
    );
    assert_eq!(out, ("OK\n".into(), 0));
    assert_eq!(names(&mut client), ["n1", "n2", "n3"]);
    let address = cluster.join();
    change(&mut client, &[&address], &["n1"]).unwrap();
    cluster.read_stderr(0, "was removed");
    cluster.kill(0);
    assert_eq!(names(&mut client), ["n2", "n3", "n4"]);
    assert_eq!(client.get(&value!(49)), Ok(Some(value!(49))));

    (1..4).for_each(|node| cluster.kill(node));
    (1..4).for_each(|node| cluster.run(node));
    assert_eq!(client.get(&value!(0)), Ok(Some(value!(0))));
    // One of three may be missing.
    cluster.kill(1);
    client.set(&value!(0), &value!("new")).unwrap();
    assert_eq!(client.get(&value!(0)), Ok(Some(value!("new"))));
}

#[test]
fn node_that_waits_says_so() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.join();
    let mut connection = cluster.connect(1);
    connection.send(r#"{"body":{"type":"read","msg_id":1,"key":"k"}}"#);
    let body = connection.body();
    assert_eq!(body.field("in_reply_to"), Some(&value!(1)), "{body}");
    let text = body.field("text").unwrap().to_string();
    assert!(text.contains("waits to be added"), "{text}");
    // It did nothing, so a client that asked it first goes on to a member.
    let mut options = cluster.options();
    options.nodes.reverse();
    let error = change(&mut Client::new(options), &[], &[]).unwrap_err();
    assert!(
        matches!(&error, Error::Rejected { text, .. } if text.contains("nothing to do")),
        "{error}"
    );
}

#[test]
fn impossible_changes_are_rejected() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client();
    client.set(&value!("k"), &value!(1)).unwrap();
    for (add, remove, why) in [
        (&["n2"][..], &[][..], "NAME=HOST:PORT"),
        (&["n1=h:1"], &[], "is a member already"),
        (&[], &["n9"], "is not the name of a member"),
        (&[], &[], "nothing to do"),
    ] {
        let error = change(&mut client, add, remove).unwrap_err();
        assert!(
            matches!(&error, Error::Rejected { text, .. } if text.contains(why)),
            "{error}"
        );
    }
}
