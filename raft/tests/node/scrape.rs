//! Metrics over HTTP.

use std::io::Write;
use std::net::TcpStream;

use json::value;

use crate::durable::Folder;
use crate::process::{Node, PATIENT, RAFT, all, command_in, init, line, run};

/// The metrics page of a node.
fn scrape(node: &mut Node) -> String {
    let address = address(node);
    page(&address)
}

/// The address of the page, from stderr.
fn address(node: &mut Node) -> String {
    address_in(&node.read_stderr("metrics: http://")).into()
}

/// The address of the page in this line of stderr.
pub(crate) fn address_in(line: &str) -> &str {
    let url = line.split("http://").nth(1);
    url.unwrap().strip_suffix("/metrics").unwrap()
}

pub(crate) fn page(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let page = all(stream);
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    page
}

#[test]
fn storage_metrics_are_shown() {
    let folder = Folder::new();
    let mut node = folder.alone(&["--snapshot-entries=4"]);
    let address = address(&mut node);
    for number in 0..10 {
        node.ask(&value!({"type": "write", "key": 1, "value": number}));
    }
    node.read_stderr("stored a snapshot");
    node.ask(&value!({"type": "read", "key": 1}));
    let page = page(&address);
    for name in [
        "raft_snapshots_total{result=\"stored\"}",
        "raft_snapshot_seconds_count{work=\"store\"}",
        "raft_snapshot_index",
        "raft_snapshot_bytes",
        "raft_wal_sync_seconds_count",
        "raft_wal_bytes",
    ] {
        let mut values = page.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.next().unwrap_or_else(|| panic!("{name}: {page}"));
        assert!(value.trim().parse::<f64>().unwrap() > 0.0, "{name}{value}");
    }
}

/// A node that may open this many files.
fn limited(files: u32, flags: &[&str]) -> Node {
    let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    let mut shell = command_in("sh");
    Node::start_as(shell.args(["-c", &script, RAFT]).args(PATIENT).args(flags))
}

#[test]
fn flood_of_connections_leaves_storage_its_files() {
    let folder = Folder::new();
    let data = ["--snapshot-entries=1", "--data-dir", folder.text()];
    let mut node = limited(30, &data);
    let address = address(&mut node);
    node.init("n1", &["n1"]);
    let _silent: Vec<_> = (0..60).map(|_| TcpStream::connect(&address)).collect();
    for number in 0..20 {
        let write = value!({"type": "write", "key": 1, "value": number});
        assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
        node.read_stderr("stored a snapshot");
    }
    assert!(page(&address).contains("\nraft_snapshots_total{"));

    let end = limited(12, &data).end();
    assert_eq!(end.status.code(), Some(1));
    assert!(end.stderr.contains("but it needs 16"), "{}", end.stderr);
}

/// The log has its size from the start: this node does not lead and stores nothing.
#[test]
fn log_size_is_shown_before_the_first_batch() {
    let folder = Folder::new();
    let mut node = folder.start(&["--settle=3600000"]);
    let address = address(&mut node);
    node.init("n1", &["n1", "n2", "n3"]);
    let page = page(&address);
    let bytes = page
        .lines()
        .find_map(|line| line.strip_prefix("raft_wal_bytes "));
    assert!(bytes.unwrap().parse::<u64>().unwrap() > 0, "{page}");
}

/// Silent clients use up all descriptors. They neither stop the node nor keep a scraper out.
#[test]
fn scarce_descriptors_are_shared() {
    let mut node = limited(12, &[]);
    node.init("n1", &["n1"]);
    let address = address(&mut node);
    let silent = [(); 30].map(|()| TcpStream::connect(&address).unwrap());
    assert!(page(&address).contains("raft_role{role=\"leader\"} 1"));
    node.ask(&value!({"type": "write", "key": 1, "value": 1}));
    drop(silent);
}

/// Port 0 is a free port for each node, to which no position is added.
#[test]
fn port_0_plus_is_a_free_port() {
    let mut node = Node::start(&["--metrics", "127.0.0.1:0+"]);
    node.send(&line("c1", "n2", &init(1, "n2", &["n1", "n2"])));
    let line = node.read_stderr("metrics: http://127.0.0.1:");
    assert!(!line.contains(":1/"), "{line}");
}

#[test]
fn metrics_of_a_node_are_shown() {
    let mut node = Node::alone(&[]);
    node.ask(&value!({"type": "write", "key": 1, "value": 1}));
    node.ask(&value!({"type": "read", "key": 1}));
    node.ask(&value!({"type": "read", "key": 2}));
    node.ask(&value!({"type": "cas", "key": 1, "from": 2, "to": 3}));
    node.ask(&value!({"type": "txn"}));
    node.send("garbage");
    node.send(&line("x", "n1", &value!({"type": "read", "key": 1})));
    node.ask(&value!({"type": "read", "key": 1}));
    let page = scrape(&mut node);
    for sample in [
        "raft_role{role=\"leader\"} 1",
        "raft_role{role=\"follower\"} 0",
        "raft_term 2",
        "raft_leader 0",
        // The members, a blank entry, the node's session, the write and the cas.
        "raft_commit_index 5",
        "raft_applied_index 5",
        "raft_elections_started_total 1",
        "raft_elections_won_total 1",
        "raft_requests_open 0",
        "raft_messages_received_total{type=\"init\"} 1",
        "raft_messages_received_total{type=\"read\"} 3",
        "raft_messages_sent_total{type=\"init_ok\"} 1",
        "raft_messages_sent_total{type=\"write_ok\"} 1",
        "raft_messages_sent_total{type=\"append\"} 0",
        "raft_requests_total{type=\"write\",result=\"ok\"} 1",
        "raft_requests_total{type=\"read\",result=\"ok\"} 2",
        "raft_requests_total{type=\"read\",result=\"key_does_not_exist\"} 1",
        "raft_requests_total{type=\"cas\",result=\"precondition_failed\"} 1",
        "raft_requests_total{type=\"other\",result=\"not_supported\"} 1",
        "raft_request_seconds_count{type=\"read\"} 3",
        "raft_lines_dropped_total{reason=\"bad_line\"} 1",
        "raft_lines_dropped_total{reason=\"unknown_sender\"} 1",
        "raft_messages_dropped_total{reason=\"stale_term\"} 0",
        "raft_queue_depth{queue=\"inbox_peers\"} 0",
        "raft_queue_dropped_total{queue=\"outbox_clients\"} 0",
    ] {
        let found = page.lines().any(|line| line == sample);
        assert!(found, "{sample} is not in {page}");
    }
}

#[test]
fn peers_messages_are_counted() {
    let mut node = Node::start(&["--settle", "0"]);
    node.init("n1", &["n1", "n2"]);
    for body in [
        value!({"type": "outdated", "v": 1, "from": 1, "to": 0, "term": 0}),
        value!({"type": "outdated", "v": 1, "from": 1, "to": 7, "term": 0}),
        value!({"type": "outdated", "v": 2, "from": 1, "to": 0, "term": 0}),
        value!({"type": "gossip", "v": 1}),
        value!({"type": "outdated", "v": 1, "from": 1, "to": 0, "term": -1}),
    ] {
        node.send(&line("n2", "n1", &body));
    }
    node.send(&line("c1", "n1", &init(2, "n1", &["n1", "n2"])));
    // The node may ask its peer for a vote meanwhile.
    while node.read().field("dest") != Some(&value!("c1")) {}
    let page = scrape(&mut node);
    for sample in [
        "raft_messages_received_total{type=\"outdated\"} 1",
        "raft_lines_dropped_total{reason=\"misrouted\"} 1",
        "raft_lines_dropped_total{reason=\"unknown_version\"} 1",
        "raft_lines_dropped_total{reason=\"unknown_type\"} 1",
        "raft_lines_dropped_total{reason=\"malformed\"} 1",
    ] {
        let found = page.lines().any(|line| line == sample);
        assert!(found, "{sample} is not in {page}");
    }
}

#[test]
fn metrics_can_be_off() {
    let end = run(&["--metrics", "off"], b"");
    assert!(end.status.success());
    assert!(!end.stderr.contains("metrics"), "{}", end.stderr);
}
