use super::*;
use crate::bench::workload::Worker;

fn envelope_of(line: &str) -> Result<Envelope<'_>, String> {
    envelope(line.as_bytes(), Node(1), 3)
}

fn reply_of(body: &str) -> Result<Reply, String> {
    let line = format!(r#"{{"src":"n1","dest":"c5","body":{body}}}"#);
    reply(&envelope_of(&line)?)
}

#[test]
fn destinations_are_recognised() {
    for (dest, expected) in [
        ("n0", Dest::Server(Node(0))),
        ("n2", Dest::Server(Node(2))),
        ("c1", Dest::Init(Node(1))),
        ("c3", Dest::Client(Process(0))),
        ("c12", Dest::Client(Process(9))),
    ] {
        let line = format!(r#" {{"dest":"{dest}", "body":{{}}, "src":"n1", "id":7}} "#);
        assert_eq!(
            envelope_of(&line).map(|envelope| envelope.dest),
            Ok(expected)
        );
    }
}

#[test]
fn transfers_are_answered_in_their_form() {
    let line = String::from_utf8(transfer(3, Node(1), Some(Node(0)))).unwrap();
    assert_eq!(
        line,
        "{\"id\":3,\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"transfer\",\"msg_id\":2,\"to\":\"n0\"}}\n"
    );
    let answers = |body: &str| {
        let line = format!(r#"{{"src":"n1","dest":"c1","body":{body}}}"#);
        own_answer(&envelope_of(&line)?)
    };
    for body in [
        r#"{"type":"transfer_ok","in_reply_to":2}"#,
        r#"{"type":"error","in_reply_to":2,"code":11,"text":"later"}"#,
    ] {
        assert_eq!(answers(body), Ok(Own::Transfer), "{body}");
    }
    let init = r#"{"type":"init_ok","in_reply_to":1}"#;
    assert_eq!(answers(init), Ok(Own::Greeting));
    for body in [
        r#"{"type":"write_ok","in_reply_to":2}"#,
        r#"{"type":"transfer_ok","in_reply_to":2,"value":1}"#,
    ] {
        assert!(answers(body).is_err(), "{body}");
    }
}

#[test]
fn malformed_lines_are_rejected() {
    for (line, wrong) in [
        ("", "it is blank"),
        (" \t\r", "it is blank"),
        ("hello", "it is not a JSON object: "),
        ("[]", "it is not a JSON object: "),
        ("{}", "it has no src"),
        (
            r#"{"src":"n1","dest":"n0","body":{}} x"#,
            "it is not a JSON object: ",
        ),
        (
            r#"{"src":"n1","dest":"n0","body":{},"extra":1}"#,
            "top-level key \"extra\"",
        ),
        (
            r#"{"src":"n1","src":"n1","dest":"n0","body":{}}"#,
            "key \"src\" twice",
        ),
        (r#"{"src":"n1","dest":"n0"}"#, "it has no body"),
        (r#"{"src":"n1","body":{}}"#, "it has no dest"),
        (
            r#"{"src":"n1","dest":"n0","body":[]}"#,
            "its body is not an object",
        ),
        (
            r#"{"src":"n1","dest":7,"body":{}}"#,
            "its dest is not a string",
        ),
        (
            r#"{"src":"n1","dest":"n0","body":{},"id":"x"}"#,
            "its id is not an integer",
        ),
        (
            r#"{"src":"n2","dest":"n0","body":{}}"#,
            "its src is \"n2\", but n1 printed it",
        ),
        (
            r#"{"src":"n01","dest":"n0","body":{}}"#,
            "its src is \"n01\"",
        ),
        (
            r#"{"src":"n1","dest":"n3","body":{}}"#,
            "its dest \"n3\" is unknown",
        ),
        (
            r#"{"src":"n1","dest":"c","body":{}}"#,
            "its dest \"c\" is unknown",
        ),
        (r#"{"src":"n1","dest":"c+3","body":{}}"#, "is unknown"),
        (r#"{"src":"n1","dest":"lin-kv","body":{}}"#, "is a service"),
    ] {
        let told = envelope_of(line).expect_err(line);
        assert!(told.contains(wrong), "{line}: {told}");
    }
    let told = envelope(b"{\"src\":\"\xff\"}", Node(1), 3).expect_err("not UTF-8");
    assert!(told.contains("not UTF-8"), "{told}");
}

#[test]
fn answers_are_read() {
    let read = |answer| {
        Ok(Reply {
            id: MessageId(4),
            answer,
        })
    };
    for (body, answer) in [
        (
            r#"{"type":"read_ok","in_reply_to":4,"value":null}"#,
            Answer::ReadOk(Value::Null),
        ),
        (
            r#"{"type":"write_ok","in_reply_to":4,"msg_id":9}"#,
            Answer::WriteOk,
        ),
        (r#"{"in_reply_to":4,"type":"cas_ok"}"#, Answer::CasOk),
        (r#"{"in_reply_to":4,"type":"delete_ok"}"#, Answer::DeleteOk),
        (
            r#"{"in_reply_to":4,"type":"open_session_ok","session":9}"#,
            Answer::SessionOpened(9),
        ),
        (
            r#"{"type":"error","in_reply_to":4,"code":22,"text":"no","more":[1]}"#,
            Answer::Error(ErrorCode(22)),
        ),
    ] {
        assert_eq!(reply_of(body), read(answer));
    }
}

#[test]
fn answers_that_break_their_schema_are_rejected() {
    for (body, wrong) in [
        (r#"{"in_reply_to":4}"#, "no type"),
        (
            r#"{"type":"read_ok","in_reply_to":4}"#,
            "read_ok without a value",
        ),
        (r#"{"type":"read_ok","value":1}"#, "no in_reply_to"),
        (
            r#"{"type":"read_ok","in_reply_to":"4","value":1}"#,
            "its in_reply_to is not an integer",
        ),
        (
            r#"{"type":"read_ok","in_reply_to":4,"value":1,"key":1}"#,
            "may not have the key \"key\"",
        ),
        (
            r#"{"type":"write_ok","in_reply_to":4,"value":1}"#,
            "may not have the key \"value\"",
        ),
        (
            r#"{"type":"cas_ok","in_reply_to":4,"code":1}"#,
            "may not have the key \"code\"",
        ),
        (
            r#"{"type":"cas_ok","in_reply_to":4,"in_reply_to":4}"#,
            "key \"in_reply_to\" twice",
        ),
        (
            r#"{"type":"error","in_reply_to":4}"#,
            "error without a code",
        ),
        (
            r#"{"type":"error","in_reply_to":4,"code":-1}"#,
            "below zero",
        ),
        (
            r#"{"type":"error","in_reply_to":4,"code":1,"text":2}"#,
            "its text is not a string",
        ),
        (
            r#"{"type":"read","key":4,"msg_id":1}"#,
            "no answer to a client",
        ),
        (
            r#"{"type":"init_ok","in_reply_to":1}"#,
            "no answer to a client",
        ),
    ] {
        let told = reply_of(body).expect_err(body);
        assert!(told.contains(wrong), "{body}: {told}");
    }
}

#[test]
fn init_is_answered_by_init_ok() {
    let answered = |body: &str| {
        let line = format!(r#"{{"src":"n1","dest":"c1","body":{body}}}"#);
        init_ok(&envelope_of(&line)?)
    };
    assert_eq!(answered(r#"{"type":"init_ok","in_reply_to":1}"#), Ok(()));
    for (body, wrong) in [
        (r#"{"type":"init_ok"}"#, "in_reply_to"),
        (r#"{"type":"init_ok","in_reply_to":2}"#, "in_reply_to"),
        (
            r#"{"type":"init_ok","in_reply_to":1,"x":1}"#,
            "may not have the key \"x\"",
        ),
        (
            r#"{"type":"error","in_reply_to":1,"code":12,"text":"why?"}"#,
            "it refuses init: why?",
        ),
        (r#"{"type":"hello"}"#, "answered by init_ok"),
    ] {
        let told = answered(body).expect_err(body);
        assert!(told.contains(wrong), "{body}: {told}");
    }
}

#[test]
fn messages_are_written() {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    assert_eq!(
        text(init(3, Node(1), 2)),
        "{\"id\":3,\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"init\",\"msg_id\":1,\
         \"node_id\":\"n1\",\"node_ids\":[\"n0\",\"n1\"]}}\n"
    );
    let (add, remove) = (Some(Node(2)), Some(Node(0)));
    let replace = Change {
        number: 1,
        add,
        remove,
    };
    assert_eq!(
        text(change(5, Node(1), &replace, Some("n2=h:1".into()))),
        "{\"id\":5,\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"change_members\",\"msg_id\":4,\
         \"add\":[\"n2=h:1\"],\"remove\":[\"n0\"]}}\n"
    );
    let asked = Asked {
        worker: Worker(3),
        process: Process(7),
        node: Node(1),
        id: MessageId(2),
        sent: Sent::Plain,
    };
    let cas = Request {
        key: 9,
        call: Call::Cas {
            from: Value::from(1_u64),
            to: Value::from(2_u64),
        },
    };
    assert_eq!(
        text(request(4, &asked, &cas, 3)),
        "{\"id\":4,\"src\":\"c10\",\"dest\":\"n1\",\"body\":{\"type\":\"cas\",\"msg_id\":2,\
         \"key\":9,\"from\":1,\"to\":2}}\n"
    );
    let delete = Request {
        key: 9,
        call: Call::Delete,
    };
    let of = |sent| text(request(4, &Asked { sent, ..asked }, &delete, 3));
    assert!(of(Sent::OpenSession).ends_with("{\"type\":\"open_session\",\"msg_id\":2}}\n"));
    let (id, sequence) = (6, 5);
    assert!(of(Sent::InSession(Session { id, sequence })).ends_with(
        "{\"type\":\"delete\",\"msg_id\":2,\"session\":6,\"sequence\":5,\"acknowledged\":5,\"key\":9}}\n"
    ));
}

#[test]
fn a_forwarded_body_is_unchanged() {
    let line = r#"{"src":"n1","dest":"n2","id":5,"body": {"type" : "vote","term":1e1,"z":[1.0]} }"#;
    let parsed = envelope_of(line).expect("a good line");
    let seen = body(&parsed).expect("a good body");
    assert_eq!((&*seen.kind, seen.term), ("vote", Some(10)));
    let forwarded = forward(8, Node(1), Node(2), &parsed);
    assert_eq!(
        String::from_utf8(forwarded).expect("UTF-8"),
        "{\"id\":8,\"src\":\"n1\",\"dest\":\"n2\",\"body\":{\"type\" : \"vote\",\"term\":1e1,\"z\":[1.0]}}\n"
    );
    let odd = envelope_of(r#"{"src":"n1","dest":"n2","body":{"type":5,"term":"x"}}"#);
    let odd = body(&odd.expect("a good line")).expect("bodies are free");
    assert_eq!((&*odd.kind, odd.term), ("", None));
}

#[test]
fn status_takes_the_place_of_init_on_a_network() {
    let line = status(3, Node(1));
    assert!(line.ends_with(b"\"dest\":\"n1\",\"body\":{\"type\":\"status\",\"msg_id\":1}}\n"));
    let read = |body: &str| {
        let line = format!("{{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{body}}}");
        let envelope = envelope(line.as_bytes(), Node(1), 2).expect("a message");
        status_ok(&envelope)
    };
    let ok = "{\"type\":\"status_ok\",\"in_reply_to\":1,\"term\":0,\"voters\":[\"n0\"]}";
    assert_eq!(read(ok), Ok(()));
    let busy = "{\"type\":\"error\",\"in_reply_to\":1,\"code\":11,\"text\":\"busy\"}";
    assert_eq!(read(busy), Ok(()));
    for other in [
        "{\"type\":\"init_ok\",\"in_reply_to\":1}",
        "{\"type\":\"status_ok\",\"in_reply_to\":3}",
    ] {
        assert!(read(other).is_err(), "{other}");
    }
}
