//! Clients that do a node no good.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
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
    let mut long = cluster.connect(0);
    long.send(&"x".repeat(2 << 20));
    assert_eq!(long.body().field("code"), Some(&value!(12)));
    let mut endless = cluster.connect(0);
    for _ in 0..1_000 {
        if endless.0.get_mut().write_all(&[b'x'; 100_000]).is_err() {
            break;
        }
    }
    serves(&cluster);
}

/// The test holds the newest of its connections, more than the nodes have places for, so from the
/// first hundreds on each node closes or refuses one for each new one. Each has begun a line that
/// never ends.
#[test]
fn ten_thousand_connections_and_slow_clients_harm_nothing() {
    const FILES: usize = 128;
    let mut cluster = Cluster::with_places(3, &[], Vec::new());
    cluster.files = FILES;
    (0..3).for_each(|node| cluster.run(node));
    let mut client = cluster.client();
    client
        .set(&value!("large"), &Value::from("x".repeat(500_000)))
        .unwrap();
    // Clients that ask for much and take nothing.
    let greedy = [0, 1, 2].map(|node| {
        let mut greedy = cluster.connect(node).0.into_inner();
        let request = r#"{"body":{"type":"read","msg_id":1,"key":"large"}}"#;
        // The node may close the connection at any point.
        let _ = (0..500).try_for_each(|_| writeln!(greedy, "{request}"));
        greedy
    });
    let mut held: VecDeque<TcpStream> = VecDeque::new();
    for number in 0..10_000 {
        let mut stream = TcpStream::connect(&cluster.places[number % 3]).unwrap();
        let _ = stream.write_all(b"{");
        if held.len() > 3 * FILES {
            held.pop_front();
        }
        held.push_back(stream);
        if number % 100 == 0 {
            let number = value!(number as u64);
            client.set(&value!("number"), &number).unwrap();
            assert_eq!(client.get(&value!("number")), Ok(Some(number)));
        }
    }
    // A node that answers a new connection has taken or refused all earlier ones.
    (0..3).for_each(|node| {
        let mut connection = cluster.connect(node);
        connection.send("");
        connection.body();
    });
    let is_open = |mut stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    let open = held.iter().filter(|stream| is_open(stream)).count();
    assert!(
        open > 0 && open < 3 * FILES,
        "the nodes hold {open} of them"
    );
    drop(greedy);
    serves(&cluster);
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
