//! Who may talk with a cluster that has a secret.

use json::value;
use raft::client::{Client, Error, Options};

use crate::nodes::{Cluster, Folder};
use crate::proxy::Proxy;

const SECRET: &str = "a secret of some length";

fn options(cluster: &Cluster, secret: &str) -> Options {
    let mut options = cluster.options();
    options.secret = secret.into();
    options
}

/// The error of a client that tries once.
fn refused(cluster: &Cluster, secret: &str) -> String {
    let mut options = options(cluster, secret);
    options.timeout = std::time::Duration::ZERO;
    match Client::new(options).get(&value!("k")) {
        Err(Error::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn secret_opens_the_cluster_and_others_do_not() {
    let folder = Folder::new();
    let file = folder.file("secret", SECRET);
    let cluster = Cluster::start(3, &["--secret-file", &file]);
    let mut client = Client::new(options(&cluster, SECRET));
    client.set(&value!("k"), &value!(1)).unwrap();
    assert_eq!(client.get(&value!("k")), Ok(Some(value!(1))));
    for (wrong, why) in [
        ("", "the other end has a secret, and this one none"),
        (
            "a secret of some lengtH",
            "the other end has another secret",
        ),
    ] {
        let text = refused(&cluster, wrong);
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn request_without_a_proof_is_refused() {
    let folder = Folder::new();
    let file = folder.file("secret", SECRET);
    let cluster = Cluster::start(1, &["--secret-file", &file]);
    for src in ["c1", "n1"] {
        let mut connection = cluster.connect(0);
        connection.send(&format!(
            r#"{{"src":"{src}","body":{{"type":"read","msg_id":1,"key":"k"}}}}"#
        ));
        let body = connection.body();
        assert!(
            body.field("text")
                .unwrap()
                .as_str()
                .unwrap()
                .contains("begin with a hello")
        );
        assert_eq!(connection.read(), None);
    }
}

/// A proof answers the challenge of its own connection alone.
#[test]
fn proof_of_another_connection_is_refused() {
    let folder = Folder::new();
    let file = folder.file("secret", SECRET);
    let cluster = Cluster::start(1, &["--secret-file", &file]);
    let hello = r#"{"src":"n2","dest":"n1","body":{"type":"hello","v":1,"nonce":"x"}}"#;
    let mut connection = cluster.connect(0);
    connection.send(hello);
    let challenge = connection.body();
    assert_eq!(challenge.field("type"), Some(&value!("challenge")));
    // The node's own proof, sent back to it, and one of no secret at all.
    let reflected = challenge.field("proof").unwrap().clone();
    for proof in [reflected, value!("")] {
        let mut connection = cluster.connect(0);
        connection.send(hello);
        connection.body();
        connection.send(&value!({"body": {"type": "proof", "proof": proof}}).to_string());
        let body = connection.body();
        assert_eq!(body.field("type"), Some(&value!("error")), "{body}");
        assert_eq!(connection.read(), None);
        cluster.read_stderr(0, "unproven");
    }
}

/// Who listens on the network has whole handshakes of clients and peers that the node took.
#[test]
fn recorded_handshakes_are_refused() {
    let folder = Folder::new();
    let file = folder.file("secret", SECRET);
    let mut cluster = Cluster::with_places(2, &["--secret-file", &file], Vec::new());
    let proxy = Proxy::before(&cluster.places[0]);
    cluster.places[0].clone_from(&proxy.place);
    (0..2).for_each(|node| cluster.run(node));
    let mut client = Client::new(options(&cluster, SECRET));
    client.set(&value!("k"), &value!(1)).unwrap();
    // Only what comes after its handshake shows that a connection was taken.
    let recorded = proxy.connections.try_iter().map(|passed| passed.lines());
    let recorded: Vec<_> = recorded.filter(|lines| lines.len() > 2).collect();
    for dialer in [r#"{"src":"c"#, r#"{"src":"n2="#] {
        assert!(recorded.iter().any(|lines| lines[0].starts_with(dialer)));
    }
    for lines in recorded {
        let mut connection = cluster.connect(0);
        connection.send(&lines[..2].join("\n"));
        let challenge = connection.body();
        assert_eq!(challenge.field("type"), Some(&value!("challenge")));
        let body = connection.body();
        let text = body.field("text").unwrap().as_str().unwrap();
        assert!(text.contains("the other end has another secret"));
        assert_eq!(connection.read(), None);
    }
    // It takes both nodes, so the peer's own connections are still there.
    client.set(&value!("k"), &value!(2)).unwrap();
    assert_eq!(client.get(&value!("k")), Ok(Some(value!(2))));
}

#[test]
fn strangers_need_a_secret_beyond_loopback() {
    let out = std::process::Command::new(crate::nodes::RAFT)
        .args([
            "serve",
            "--name=n1",
            "--listen=0.0.0.0:7101",
            "--bootstrap=n1=h:1",
            "--data-dir=x",
        ])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(
        String::from_utf8(out.stderr)
            .unwrap()
            .contains("--insecure")
    );
}
