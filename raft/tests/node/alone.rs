//! One node.

use json::{Value, value};

use crate::process::{Node, init, line, parsed, run, said};

fn code(reply: &Value) -> Option<i64> {
    assert_eq!(reply.field("type"), Some(&value!("error")), "{reply}");
    reply.field("code").and_then(Value::as_i64)
}

#[test]
fn requests_are_served() {
    let mut node = Node::alone(&[]);
    let key = value!({"any": ["json", null, 1.5]});
    let read = value!({"type": "read", "key": (key.clone())});
    assert_eq!(code(&node.ask(&read)), Some(20));
    let cas =
        |from: i64, to: i64| value!({"type": "cas", "key": (key.clone()), "from": from, "to": to});
    assert_eq!(code(&node.ask(&cas(1, 2))), Some(20));

    let write = value!({"type": "write", "key": (key.clone()), "value": 1});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
    assert_eq!(node.ask(&read), value!({"type": "read_ok", "value": 1}));
    assert_eq!(node.ask(&cas(1, 2)), value!({"type": "cas_ok"}));
    let mismatch = node.ask(&cas(1, 2));
    assert_eq!(code(&mismatch), Some(22));
    assert_eq!(
        mismatch.field("text"),
        Some(&value!("the key holds another value: 2"))
    );
    assert_eq!(node.ask(&read), value!({"type": "read_ok", "value": 2}));

    let create = value!({
        "type": "cas", "key": "new", "from": 1, "to": null, "create_if_not_exists": true
    });
    assert_eq!(node.ask(&create), value!({"type": "cas_ok"}));
    let null = node.ask(&value!({"type": "read", "key": "new"}));
    assert_eq!(null, value!({"type": "read_ok", "value": null}));
    assert!(node.end().status.success());
}

#[test]
fn keys_are_deleted_and_listed() {
    let mut node = Node::alone(&[]);
    let delete = value!({"type": "delete", "key": "a1"});
    assert_eq!(code(&node.ask(&delete)), Some(20));
    for key in [value!("a1"), value!("a2"), value!("b"), value!([1.5])] {
        let write = value!({"type": "write", "key": key, "value": 1});
        assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
    }
    let keys = |keys: Value, more: bool| value!({"type": "keys_ok", "keys": keys, "more": more});
    let all = value!({"type": "keys"});
    assert_eq!(
        node.ask(&all),
        keys(value!(["a1", "a2", "b", [1.5]]), false)
    );
    let first = value!({"type": "keys", "prefix": "a", "limit": 1});
    assert_eq!(node.ask(&first), keys(value!(["a1"]), true));
    let rest = value!({"type": "keys", "prefix": "a", "after": "a1"});
    assert_eq!(node.ask(&rest), keys(value!(["a2"]), false));
    let too_many = node.ask(&value!({"type": "keys", "limit": 1001}));
    assert_eq!(code(&too_many), Some(12));
    assert_eq!(
        too_many.field("text"),
        Some(&value!("limit is 1001; it must be from 1 to 1000"))
    );

    assert_eq!(node.ask(&delete), value!({"type": "delete_ok"}));
    assert_eq!(code(&node.ask(&delete)), Some(20));
    let read = value!({"type": "read", "key": "a1"});
    assert_eq!(code(&node.ask(&read)), Some(20));
    assert_eq!(node.ask(&first), keys(value!(["a2"]), false));
}

#[test]
fn delete_of_a_session_is_applied_once() {
    let mut node = Node::alone(&[]);
    let session = node.ask(&value!({"type": "open_session"}))["session"].clone();
    let write = value!({"type": "write", "key": 1, "value": 2});
    let delete = value!({"type": "delete", "key": 1, "session": session, "sequence": 1});
    for _ in 0..2 {
        assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
        assert_eq!(node.ask(&delete), value!({"type": "delete_ok"}));
    }
    // The second write came after the delete, which was only answered again.
    let read = value!({"type": "read", "key": 1});
    assert_eq!(node.ask(&read), value!({"type": "read_ok", "value": 2}));
}

#[test]
fn status_needs_no_leader() {
    let mut node = Node::start(&["--settle", "3600000"]);
    node.init("n1", &["n1", "n2", "n3"]);
    let expected = value!({
        "type": "status_ok", "node": "n1", "role": "follower", "term": 1, "commit": 0, "applied": 0,
        "last": 1, "snapshot": 0, "voters": ["n1", "n2", "n3"], "learners": []
    });
    assert_eq!(node.ask(&value!({"type": "status"})), expected);
}

#[test]
fn command_of_a_session_is_applied_once() {
    let mut node = Node::alone(&[]);
    let opened = node.ask(&value!({"type": "open_session"}));
    assert_eq!(opened.field("type"), Some(&value!("open_session_ok")));
    let session = opened.field("session").expect("an id").clone();
    let write = |sequence: i64, acknowledged: i64, value: i64| {
        value!({
            "type": "write", "key": 1, "value": value, "session": (session.clone()),
            "sequence": sequence, "acknowledged": acknowledged
        })
    };
    let read = value!({"type": "read", "key": 1});
    let cas = value!({
        "type": "cas", "key": 1, "from": 1, "to": 2, "session": (session.clone()), "sequence": 2
    });
    let ok = value!({"type": "write_ok"});
    assert_eq!(node.ask(&write(1, 0, 1)), ok);
    for _ in 0..2 {
        assert_eq!(node.ask(&cas), value!({"type": "cas_ok"}));
        assert_eq!(node.ask(&write(1, 0, 1)), ok);
        assert_eq!(node.ask(&read), value!({"type": "read_ok", "value": 2}));
    }
    // The node's own session is another one: the client's numbers mean nothing there.
    let plain = value!({"type": "write", "key": 1, "value": 3});
    assert_eq!(node.ask(&plain), ok);
    // An acknowledged one is forgotten, and so is all of a session that is closed.
    assert_eq!(node.ask(&write(4, 3, 4)), ok);
    assert_eq!(code(&node.ask(&cas)), Some(13));
    let close = value!({"type": "close_session", "session": (session.clone())});
    assert_eq!(node.ask(&close), value!({"type": "close_session_ok"}));
    assert_eq!(code(&node.ask(&write(5, 3, 5))), Some(13));
    assert_eq!(node.ask(&read), value!({"type": "read_ok", "value": 4}));
    // Half of a session is malformed.
    let half = value!({"type": "write", "key": 1, "value": 1, "session": 1});
    assert_eq!(code(&node.ask(&half)), Some(12));
}

/// The exact bytes on stdout.
#[test]
fn lines_have_exactly_their_keys() {
    let requests = [
        init(1, "n1", &["n1"]),
        value!({"type": "write", "msg_id": 2, "key": "k", "value": "v"}),
    ];
    let input: String = requests
        .iter()
        .map(|body| line("c1", "n1", body) + "\n")
        .collect();
    let end = run(&[], input.as_bytes());
    assert!(end.status.success());
    let expected = [
        r#"{"src":"n1","dest":"c1","body":{"type":"init_ok","in_reply_to":1}}"#,
        r#"{"src":"n1","dest":"c1","body":{"type":"write_ok","in_reply_to":2}}"#,
    ];
    assert_eq!(end.stdout, expected);
    assert!(end.stderr.contains("in memory only"), "{}", end.stderr);
}

#[test]
fn invalid_requests_get_errors() {
    let mut node = Node::alone(&[]);
    for (body, expected) in [
        (value!({"type": "read"}), 12),
        (value!({"type": "write", "key": 1}), 12),
        (value!({"type": "cas", "key": 1, "from": 2}), 12),
        (
            value!({"type": "cas", "key": 1, "from": 2, "to": 3, "create_if_not_exists": "yes"}),
            12,
        ),
        (value!({"type": ["read"], "key": 1}), 12),
        (value!({"key": 1}), 12),
        (value!({"type": "txn", "txn": []}), 10),
        (value!({"type": "append", "v": 1, "term": 7}), 10),
        (value!({"type": "topology", "topology": {}}), 10),
    ] {
        assert_eq!(code(&node.ask(&body)), Some(expected), "{body}");
    }
    node.send(&line("c1", "n1", &value!({"type": "read", "key": 1})));
    let without_id = node.read();
    assert_eq!(code(without_id.field("body").unwrap()), Some(12));

    let write = value!({"type": "write", "key": 1, "value": 1});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
}

#[test]
fn invalid_lines_are_dropped() {
    let mut node = Node::alone(&["--log", "debug"]);
    let read = value!({"type": "read", "msg_id": 1, "key": 1});
    let deep = "[".repeat(100_000);
    for invalid in [
        "",
        "garbage",
        "null",
        "[1,2]",
        r#"{"src":"c1","dest":"n1"}"#,
        r#"{"src":"c1","dest":"n1","body":{"type":"read","msg_id":1,"key":1}"#,
        r#"{"src":1,"dest":"n1","body":{"type":"read","msg_id":1,"key":1}}"#,
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read\",\"msg_id\":1,\"key\":\"\\ud800\"}}",
        &line("x1", "n1", &read),
        &line("c1", "n2", &read),
        &line(
            "c1",
            "n1",
            &value!({"type": "read_ok", "in_reply_to": 1, "value": 1}),
        ),
        &deep,
    ] {
        node.send(invalid);
        node.read_stderr("dropped a line");
    }
    node.send_bytes(b"{\"src\":\"\xff\"}\n\0\n");
    let write = value!({"type": "write", "key": 1, "value": 1});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
    let end = node.end();
    assert_eq!(end.stdout, [""; 0]);
    assert!(end.status.success());
}

#[test]
fn very_long_line_is_dropped() {
    let mut node = Node::alone(&[]);
    let piece = [b'x'; 1 << 20];
    node.send_bytes(br#"{"src":"c1","dest":"n1","body":{"type":"read","msg_id":1,"key":""#);
    for _ in 0..100 {
        node.send_bytes(&piece);
    }
    node.send(r#""}}"#);
    node.read_stderr("too_long");
    let write = value!({"type": "write", "key": 1, "value": 1});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
}

/// A reply or a log line would be as long as the name.
#[test]
fn very_long_names_are_dropped() {
    let mut node = Node::alone(&[]);
    let long = "c".repeat(1 << 20);
    let unknown = value!({"type": "nothing", "msg_id": 1});
    node.send(&line(&long, "n1", &unknown));
    node.send(&line("c1", &long, &unknown));
    assert!(node.read_stderr("unknown_sender").len() < 500);
    assert!(node.read_stderr("misrouted").len() < 500);
    let write = value!({"type": "write", "key": 1, "value": 1});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
}

/// Only a later member of this name is a reason to begin anew: an earlier one was removed.
#[test]
fn message_to_another_member_is_dropped() {
    let mut node = Node::start(&["--settle=0"]);
    node.init("n2", &["n1", "n2"]);
    for (to, advice) in [(0, "the name of a former one"), (7, "data folder")] {
        let body = value!({
            "type": "read_index_reply", "v": 1, "from": 0, "to": to, "term": 0, "id": [1, 1], "commit": [0, 0]
        });
        node.send(&line("n1", "n2", &body));
        let logged = node.read_stderr("misrouted");
        assert!(logged.contains(advice), "{logged}");
    }
}

#[test]
fn second_init_changes_nothing() {
    let mut node = Node::start(&[]);
    let ids = ["n1", "n2", "n3"];
    node.init("n1", &ids);
    let same = node.ask(&init(0, "n1", &["n3", "n1", "n2"]));
    assert_eq!(same, value!({"type": "init_ok"}));
    for (id, ids) in [
        ("n2", &ids[..]),
        ("n1", &["n1"]),
        ("n1", &["n1", "n2", "n4"]),
    ] {
        assert_eq!(code(&node.ask(&init(0, id, ids))), Some(22));
    }
    assert_eq!(code(&node.ask(&init(0, "n1", &["n1", "n1"]))), Some(12));
    assert_eq!(node.ask(&init(0, "n1", &ids)), value!({"type": "init_ok"}));
}

/// A node may send requests like a client. Its invalid requests are answered only if they have a
/// msg_id, and its replies never, or two nodes would never stop.
#[test]
fn node_may_act_as_a_client() {
    let mut node = Node::start(&["--settle", "3600000", "--log", "debug"]);
    let ids = ["n1", "n2", "n3"];
    node.init("n1", &ids);
    node.send(&line("n2", "n1", &init(7, "n1", &ids)));
    let reply = value!({"type": "init_ok", "in_reply_to": 7});
    assert_eq!(node.read(), said("n1", "n2", &reply));

    node.send(&line("n2", "n1", &value!({"type": "read", "msg_id": 8})));
    let reply = node.read();
    assert_eq!(reply.field("dest"), Some(&value!("n2")));
    assert_eq!(code(reply.field("body").unwrap()), Some(12));

    for silent in [
        value!({"type": "read", "key": 1}),
        value!({"type": "error", "in_reply_to": 8, "code": 12}),
        value!({"type": "read_ok", "in_reply_to": 8, "msg_id": 9, "value": 1}),
    ] {
        node.send(&line("n2", "n1", &silent));
        node.read_stderr("dropped a line");
    }
    assert_eq!(node.ask(&init(0, "n1", &ids)), value!({"type": "init_ok"}));
}

#[test]
fn invalid_init_is_refused_and_can_be_repeated() {
    let mut node = Node::start(&[]);
    for ids in [&[][..], &["n2=h:1"], &["n1", "n1"]] {
        assert_eq!(code(&node.ask(&init(0, "n1", ids))), Some(12), "{ids:?}");
    }
    node.init("n1", &["n1"]);
    let write = value!({"type": "write", "key": 1, "value": 1});
    assert_eq!(node.ask(&write), value!({"type": "write_ok"}));
}

#[test]
fn requests_before_init_wait() {
    let mut node = Node::start(&[]);
    let write = value!({"type": "write", "msg_id": 5, "key": 1, "value": 1});
    node.send(&line("c1", "n1", &write));
    // Possibly a peer's message: before init nothing tells.
    node.send(&line(
        "n2",
        "n1",
        &value!({"type": "vote", "v": 1, "from": 1, "to": 7, "term": 9, "last": [0, 0]}),
    ));
    node.init("n1", &["n1"]);
    let reply = value!({"type": "write_ok", "in_reply_to": 5});
    assert_eq!(node.read(), said("n1", "c1", &reply));
}

#[test]
fn all_requests_are_answered_before_the_end() {
    let mut input = line("c1", "n1", &init(0, "n1", &["n1"])) + "\n";
    for number in 1..=2_000 {
        let write = value!({"type": "write", "msg_id": number, "key": 1, "value": number});
        input += &(line("c1", "n1", &write) + "\n");
    }
    // The last line has no end.
    let end = run(&[], input.trim_end().as_bytes());
    assert!(end.status.success());
    assert_eq!(end.stdout.len(), 2_001);
    for (number, text) in (1..).zip(&end.stdout[1..]) {
        let reply = value!({"type": "write_ok", "in_reply_to": number});
        assert_eq!(parsed(text), said("n1", "c1", &reply));
    }
}

#[test]
fn without_a_quorum_the_node_still_ends() {
    let mut input = line("c1", "n1", &init(0, "n1", &["n1", "n2", "n3"])) + "\n";
    for number in 1..=10 {
        let read = value!({"type": "read", "msg_id": number, "key": 1});
        input += &(line("c1", "n1", &read) + "\n");
    }
    let flags = ["--request-timeout=100", "--settle=50"];
    let end = run(&flags, input.as_bytes());
    assert!(end.status.success());
    let answers = end
        .stdout
        .iter()
        .filter(|line| line.contains(r#""code":11"#));
    assert_eq!(answers.count(), 10);
}

#[test]
fn without_input_the_node_ends() {
    let end = run(&[], b"");
    assert!(end.status.success());
    assert_eq!(end.stdout, [""; 0]);
}
