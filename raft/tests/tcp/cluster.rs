//! Clusters that lose nodes.

use std::sync::mpsc::{RecvTimeoutError, TryRecvError};

use json::{Value, value};
use raft::client::{Client, Error};

use crate::nodes::{Cluster, HANG, listener};
use crate::proxy::{Passed, Proxy};

#[test]
fn every_write_takes_effect_once_while_nodes_are_killed() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    let key = value!("counter");
    client.set(&key, &value!(0)).unwrap();
    for count in 0..60_i64 {
        if count % 10 == 0 {
            let victim = (count / 10 % 3) as usize;
            cluster.kill(victim);
            // The client finds the way without it, and later with it.
            client.cas(&key, &value!(count), &value!(count)).unwrap();
            cluster.run(victim);
        }
        client
            .cas(&key, &value!(count), &value!(count + 1))
            .unwrap();
    }
    assert_eq!(client.get(&key), Ok(Some(value!(60))));
    client.close();
}

#[test]
fn pipelined_writes_take_effect_once_while_nodes_are_killed() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    // More than are under way at once.
    let each = |body: fn(i64) -> Value| (0..300).map(body).collect();
    let created = client.pipeline(each(|n| value!({"type": "write", "key": n, "value": 0})));
    assert_eq!(
        (created.len(), created.iter().all(Result::is_ok)),
        (300, true)
    );
    for victim in 0..3 {
        cluster.kill(victim);
        let cas = |n| value!({"type": "cas", "key": n, "from": 0, "to": 1});
        let back = |n| value!({"type": "cas", "key": n, "from": 1, "to": 0});
        for bodies in [each(cas), each(back)] {
            let written = client.pipeline(bodies);
            assert!(written.iter().all(Result::is_ok), "{written:?}");
        }
        cluster.run(victim);
    }
    let bodies = vec![
        value!({"type": "cas", "key": 0, "from": 7, "to": 8}),
        value!({"type": "delete", "key": 1}),
    ];
    let written = client.pipeline(bodies);
    assert!(matches!(&written[0], Err(Error::Rejected { code: 22, .. })));
    assert!(written[1].is_ok());
    assert_eq!(client.get(&value!(1)), Ok(None));
}

#[test]
fn all_nodes_killed_lose_nothing() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.client().set(&value!("k"), &value!("v")).unwrap();
    (0..3).for_each(|node| cluster.kill(node));
    (0..3).for_each(|node| cluster.run(node));
    assert_eq!(cluster.client().get(&value!("k")), Ok(Some(value!("v"))));
}

#[test]
fn restarted_member_replaces_its_half_open_connection() {
    let mut cluster = Cluster::with_places(2, &[], Vec::new());
    let proxy = Proxy::before(&cluster.places[0]);
    cluster.places[0].clone_from(&proxy.place);
    (0..2).for_each(|node| cluster.run(node));
    let mut client = cluster.client();
    client.set(&value!("k"), &value!(1)).unwrap();
    let is_of_n2 = |passed: &Passed| {
        let lines = passed.lines();
        lines.len() > 2 && lines[0].starts_with(r#"{"src":"n2="#)
    };
    let mut connections = proxy.connections.try_iter();
    let former = connections.find(is_of_n2).expect("it has voted");
    cluster.kill(1);
    assert_eq!(former.open.try_recv(), Err(TryRecvError::Empty));
    cluster.run(1);
    // It takes both nodes.
    client.set(&value!("k"), &value!(2)).unwrap();
    assert_eq!(
        former.open.recv_timeout(HANG),
        Err(RecvTimeoutError::Disconnected)
    );
}

#[test]
fn member_that_takes_nothing_delays_no_other() {
    let silent = listener();
    let places = vec![silent.local_addr().unwrap().to_string()];
    let mut cluster = Cluster::with_places(2, &[], places);
    (0..2).for_each(|node| cluster.run(node));
    let mut client = cluster.client();
    let large = Value::from("x".repeat(500_000));
    // More than the buffers of the sockets hold.
    for key in 0..40 {
        client.set(&value!(key), &large).unwrap();
    }
    assert_eq!(client.get(&value!(39)), Ok(Some(large)));
}

/// The last entry of the next snapshot that a node reports as stored.
fn stored_through(cluster: &Cluster, node: usize) -> u64 {
    let line = cluster.read_stderr(node, "stored a snapshot through entry ");
    let (_, entry) = line.split_once("through entry ").unwrap();
    entry.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn lagging_member_gets_a_snapshot() {
    let mut cluster = Cluster::start(3, &["--snapshot-entries=20"]);
    let mut client = cluster.client();
    client.set(&value!(0), &value!(0)).unwrap();
    cluster.kill(2);
    let large = Value::from("x".repeat(100_000));
    for key in 0..100 {
        client.set(&value!(key), &large).unwrap();
    }
    // A leader that heard of a follower lately keeps the entries that it lacks.
    for node in 0..2 {
        while stored_through(&cluster, node) < 60 {}
    }
    cluster.run(2);
    cluster.read_stderr(2, "installed the leader's snapshot");
    assert_eq!(client.get(&value!(99)), Ok(Some(large)));
}

/// As outside of containers, whose ports are mapped: the members' own addresses lead nowhere.
#[test]
fn members_are_asked_where_they_can_be_reached() {
    let mut cluster = Cluster::with_places(1, &[], Vec::new());
    let given = std::mem::replace(&mut cluster.places[0], "127.0.0.1:1".into());
    cluster.run(0);
    let mut options = cluster.options();
    options.nodes = vec![given.clone()];
    let mut client = Client::new(options);
    client.set(&value!(1), &value!(1)).unwrap();
    let asked: Vec<String> = client.each().map(|one| one.node().to_owned()).collect();
    assert_eq!(asked, [given]);
}

#[test]
fn empty_folder_needs_to_know_its_cluster() {
    let cluster = Cluster::with_places(1, &[], Vec::new());
    let out = std::process::Command::new(crate::nodes::RAFT)
        .args([
            "serve",
            "--name=n1",
            "--metrics=off",
            "--listen",
            &cluster.places[0],
            "--data-dir",
        ])
        .arg(std::env::temp_dir().join("raft-tcp-none"))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(
        text.contains("--bootstrap") && text.contains("--join"),
        "{text}"
    );
}

#[test]
fn flags_that_do_not_fit_the_folder_are_reported() {
    let mut cluster = Cluster::with_places(1, &[], Vec::new());
    cluster.places[0] = "127.0.0.1:1".into();
    cluster.run(0);
    cluster.read_stderr(0, "connect to it at 127.0.0.1:1: unless");
    cluster.kill(0);
    cluster.start_node(0, &["--join=127.0.0.1:1".into()]);
    cluster.read_stderr(0, "the folder holds node n1 of cluster ");
    cluster.read_stderr(0, "connect to it at 127.0.0.1:1: unless");
}
