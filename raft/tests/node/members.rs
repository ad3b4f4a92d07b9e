//! Members that come and go.

use json::{Value, value};

use crate::cluster::Cluster;
use crate::durable::Folder;

fn text(reply: &Value) -> &str {
    let text = reply.field("text").and_then(Value::as_str);
    text.unwrap_or_default()
}

/// Has the leader change the members, whichever node it is, until they are these voters.
fn change(cluster: &mut Cluster, add: &[&str], remove: &[&str], voters: &[(u64, &str)]) {
    let names = |names: &[&str]| names.iter().copied().map(Value::from).collect::<Vec<_>>();
    let request = value!({
        "type": "change_members", "add": (names(add)), "remove": (names(remove))
    });
    let mut leader = voters[0].1.to_owned();
    loop {
        let reply = cluster.ask_once(&leader, &request);
        if let Some(name) = text(&reply).strip_prefix("this node does not lead; ask ") {
            leader = name.to_owned();
        }
        // On a busy machine any election may be late, and a change may outlive its leader.
        let code = reply.field("code").and_then(Value::as_i64);
        assert!(matches!(code, None | Some(11 | 13 | 22)), "{reply}");
        let members = cluster.ask_once(&leader, &value!({"type": "members"}));
        let voter =
            |(id, name): &(u64, &str)| value!({"id": (*id), "name": (*name), "standing": "voter"});
        let expected: Vec<Value> = voters.iter().map(voter).collect();
        if members.field("members") == Some(&Value::from(expected)) {
            return;
        }
    }
}

#[test]
fn cluster_grows_restarts_and_shrinks() {
    let folder = Folder::new();
    let data = [
        "--data-dir",
        folder.text(),
        "--metrics=off",
        "--snapshot-entries=4",
    ];
    let mut cluster = Cluster::new();
    let read = value!({"type": "read", "key": "k"});
    for name in ["n1", "n2", "n3"] {
        cluster.run(name, &data);
        cluster.init(name, &["n1"]);
    }
    let waits = cluster.ask_once("n2", &read);
    assert!(text(&waits).contains("waits to be added"), "{waits}");
    for number in 0..10 {
        let write = value!({"type": "write", "key": "k", "value": number});
        assert_eq!(cluster.ask("n1", &write), value!({"type": "write_ok"}));
    }
    let three = [(0, "n1"), (1, "n2"), (2, "n3")];
    change(&mut cluster, &["n2", "n3"], &[], &three);
    let all_read = |cluster: &mut Cluster, names: &[&str], expected: i64| {
        for name in names {
            let reply = cluster.ask(name, &read);
            assert_eq!(
                reply,
                value!({"type": "read_ok", "value": expected}),
                "{name}"
            );
        }
    };
    all_read(&mut cluster, &["n3", "n2", "n1"], 9);
    for name in ["n1", "n2", "n3"] {
        cluster.stop(name);
    }
    for name in ["n1", "n2", "n3"] {
        cluster.run(name, &data);
        cluster.init(name, &["n1"]);
    }
    all_read(&mut cluster, &["n3", "n2", "n1"], 9);
    change(&mut cluster, &[], &["n1"], &three[1..]);
    let write = value!({"type": "write", "key": "k", "value": 10});
    assert_eq!(cluster.ask("n2", &write), value!({"type": "write_ok"}));
    all_read(&mut cluster, &["n3", "n2"], 10);
    // The removed node may learn of it a little later.
    while !text(&cluster.ask_once("n1", &read)).contains("was removed from the cluster") {}
    // One that comes with a new folder comes with a new id.
    cluster.stop("n1");
    cluster.run("n4", &data);
    cluster.init("n4", &["n1"]);
    change(&mut cluster, &["n4"], &["n2"], &[(2, "n3"), (3, "n4")]);
    all_read(&mut cluster, &["n4", "n3"], 10);
}
