//! Clients that do a node no good.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use json::{Value, value};

use crate::nodes::{Cluster, Connection};

/// The cluster still serves, through a new connection.
fn serves(cluster: &Cluster) {
    let mut client = cluster.client();
    client.set(&value!("alive"), &value!(1)).unwrap();
    assert_eq!(client.get(&value!("alive")), Ok(Some(value!(1))));
}

#[test]
fn plain_lines_are_answered() {
    let cluster = Cluster::start(1, &[]);
    serves(&cluster);
    let mut connection = cluster.connect(0);
    connection.send(r#"{"src":"me","dest":"n1","body":{"type":"read","msg_id":1,"key":"alive"}}"#);
    let line = connection.read().unwrap();
    assert_eq!(
        line,
        value!({
            "src": "n1", "dest": "me", "body": {"type": "read_ok", "in_reply_to": 1, "value": 1}
        })
    );
    // Both names may be missing; and at the end of input the open requests are answered.
    connection.send(r#"{"body":{"type":"read","msg_id":2,"key":"alive"}}"#);
    connection
        .0
        .get_ref()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert_eq!(
        connection.body(),
        value!({"type": "read_ok", "in_reply_to": 2, "value": 1})
    );
    assert_eq!(connection.read(), None);
}

#[test]
fn invalid_lines_are_answered_and_harm_nothing() {
    let cluster = Cluster::start(1, &[]);
    let code = |connection: &mut Connection, line: &str| {
        connection.send(line);
        connection.body().field("code").and_then(Value::as_u64)
    };
    let mut connection = cluster.connect(0);
    for (line, expected) in [
        ("\u{1}\u{2}", 12),
        ("[1]", 12),
        (r#"{"src":1,"body":{}}"#, 12),
        (r#"{"body":{"type":"read","msg_id":1}}"#, 12),
        (r#"{"body":{"type":"frobnicate","msg_id":1}}"#, 10),
        // A message of a peer, on a connection that is no peer's.
        (
            r#"{"src":"n1","body":{"type":"vote","v":1,"term":9,"from":0,"to":0,"last":[9,9]}}"#,
            10,
        ),
    ] {
        assert_eq!(code(&mut connection, line), Some(expected), "{line}");
    }
    let long = "x".repeat(3 << 20);
    assert_eq!(code(&mut connection, &long), Some(12));
    assert_eq!(code(&mut connection, &"[".repeat(10_000)), Some(12));
    serves(&cluster);
}

#[test]
fn random_bytes_and_endless_lines_harm_nothing() {
    let cluster = Cluster::start(1, &[]);
    let mut rng = rand::Rng::seeded(7);
    let mut bytes = cluster.connect(0);
    // The node may close the connection at any point.
    for _ in 0..10_000 {
        let noise: Vec<u8> = (0..8).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
        if bytes.0.get_mut().write_all(&noise).is_err() {
            break;
        }
    }
    let mut endless = cluster.connect(0);
    for _ in 0..1_000 {
        if endless.0.get_mut().write_all(&[b'x'; 100_000]).is_err() {
            break;
        }
    }
    serves(&cluster);
}

#[test]
fn many_connections_and_slow_clients_harm_nothing() {
    let cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    client
        .set(&value!("large"), &Value::from("x".repeat(500_000)))
        .unwrap();
    let mut held: Vec<TcpStream> = Vec::new();
    for node in 0..3 {
        // More than a node takes. Each has begun a line that never ends.
        for _ in 0..300 {
            let mut stream = TcpStream::connect(&cluster.places[node]).unwrap();
            if stream.write_all(b"{").is_ok() {
                held.push(stream);
            }
        }
        // A client that asks for much and takes nothing.
        let mut greedy = cluster.connect(node);
        let request = r#"{"body":{"type":"read","msg_id":1,"key":"large"}}"#;
        for _ in 0..500 {
            if greedy
                .0
                .get_mut()
                .write_all(format!("{request}\n").as_bytes())
                .is_err()
            {
                break;
            }
        }
        held.push(greedy.0.into_inner());
    }
    serves(&cluster);
    // The connections were not all kept.
    let mut closed = 0;
    for stream in &mut held {
        stream.set_nonblocking(true).unwrap();
        closed += usize::from(
            !matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        );
    }
    assert!(closed > 0, "a node took {} connections", held.len());
}

#[test]
fn connections_leave_a_node_the_files_that_it_needs() {
    let mut cluster = Cluster::with_places(1, &["--snapshot-entries=5"], Vec::new());
    cluster.files = 100;
    cluster.run(0);
    let connect = |_| TcpStream::connect(&cluster.places[0]).unwrap();
    let held: Vec<TcpStream> = (0..200).map(connect).collect();
    let mut client = cluster.client();
    for key in 0..100 {
        client.set(&value!(key), &value!(key)).unwrap();
    }
    cluster.read_stderr(0, "stored a snapshot");
    drop(held);
}
