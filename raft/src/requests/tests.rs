use json::{Value, value};

use super::*;

fn parsed(text: &str) -> Result<Request, Invalid> {
    Request::parse(Raw::new(text).unwrap(), text.len())
}

fn failure(text: &str) -> (Option<i64>, u64) {
    match parsed(text) {
        Err(Invalid::Answered(error)) => (error.in_reply_to, error.code.number()),
        other => panic!("{text} gave {other:?}"),
    }
}

#[test]
fn requests_are_parsed() {
    let read = parsed(r#"{"key":null,"msg_id":3,"type":"read","more":1}"#).unwrap();
    let query = Query::Value(value!(null).into());
    assert_eq!((read.msg_id, read.kind), (3, "read"));
    assert_eq!(
        read.content,
        RequestContent::Client(ClientRequest::Read(query))
    );

    let text =
        r#"{"type":"cas","msg_id":-1,"key":1,"from":[],"to":{},"create_if_not_exists":true}"#;
    let cas = parsed(text).unwrap();
    let command = kv::Command::Cas {
        key: value!(1).into(),
        from: value!([]).into(),
        to: value!({}).into(),
        create_if_not_exists: true,
    };
    assert_eq!((cas.msg_id, cas.kind), (-1, "cas"));
    assert_eq!(
        cas.content,
        RequestContent::Client(ClientRequest::Write(Command::Plain(command)))
    );

    let to = |to| RequestContent::Transfer { to };
    let text = r#"{"type":"transfer","msg_id":1}"#;
    assert_eq!(parsed(text).unwrap().content, to(None));
    let text = r#"{"type":"transfer","msg_id":1,"to":"n2"}"#;
    assert_eq!(parsed(text).unwrap().content, to(Some("n2".into())));

    let text = r#"{"type":"change_members","msg_id":1,"remove":["n1"]}"#;
    let (add, remove) = (Vec::new(), vec!["n1".into()]);
    let change = RequestContent::ChangeMembers { add, remove };
    assert_eq!(parsed(text).unwrap().content, change);

    let text = r#"{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}"#;
    assert_eq!(parsed(text).unwrap().kind, "init");

    let text = r#"{"type":"delete","msg_id":1,"key":1,"session":2,"sequence":3}"#;
    let delete = Command::Do {
        session: SessionId(2),
        sequence: 3,
        acknowledged: 0,
        command: kv::Command::Delete {
            key: value!(1).into(),
        },
    };
    assert_eq!(
        parsed(text).unwrap().content,
        RequestContent::Client(ClientRequest::Write(delete))
    );

    let text = r#"{"type":"keys","msg_id":1,"prefix":"a","after":["b"],"limit":9}"#;
    let keys = Query::Keys {
        prefix: Some("a".into()),
        after: Some(value!(["b"]).into()),
        limit: 9,
    };
    assert_eq!(
        parsed(text).unwrap().content,
        RequestContent::Client(ClientRequest::Read(keys))
    );
}

#[test]
fn invalid_requests_get_12_and_unknown_ones_10() {
    for (text, answer) in [
        (r#"{"type":"read","msg_id":7}"#, (Some(7), 12)),
        (r#"{"type":"write","msg_id":7,"key":1}"#, (Some(7), 12)),
        (
            r#"{"type":"cas","msg_id":7,"key":1,"from":1}"#,
            (Some(7), 12),
        ),
        (
            r#"{"type":"cas","msg_id":7,"key":1,"from":1,"to":2,"create_if_not_exists":1}"#,
            (Some(7), 12),
        ),
        (
            r#"{"type":"read","msg_id":7,"key":1,"key":2}"#,
            (Some(7), 12),
        ),
        (r#"{"type":"read","key":1}"#, (None, 12)),
        (r#"{"type":"read","msg_id":"7","key":1}"#, (None, 12)),
        (r#"{"type":"read","msg_id":7.5,"key":1}"#, (None, 12)),
        (r#"{"msg_id":7}"#, (Some(7), 12)),
        (r#"{"type":5,"msg_id":7}"#, (Some(7), 12)),
        (
            r#"{"type":"init","msg_id":7,"node_id":1,"node_ids":[]}"#,
            (Some(7), 12),
        ),
        (r#"{"type":"delete","msg_id":7}"#, (Some(7), 12)),
        (
            r#"{"type":"delete","msg_id":7,"key":1,"session":1}"#,
            (Some(7), 12),
        ),
        (r#"{"type":"keys","msg_id":7,"prefix":1}"#, (Some(7), 12)),
        (r#"{"type":"keys","msg_id":7,"limit":0}"#, (Some(7), 12)),
        (r#"{"type":"keys","msg_id":7,"limit":1001}"#, (Some(7), 12)),
        (r#"{"type":"txn","msg_id":7}"#, (Some(7), 10)),
        (r#"{"type":"txn"}"#, (None, 10)),
        (r#"["read"]"#, (None, 12)),
    ] {
        assert_eq!(failure(text), answer, "{text}");
    }
}

#[test]
fn reply_is_not_answered() {
    for text in [
        r#"{"type":"error","in_reply_to":7,"code":0}"#,
        r#"{"type":"read_ok","in_reply_to":7,"msg_id":8,"value":0}"#,
    ] {
        assert_eq!(parsed(text), Err(Invalid::Reply), "{text}");
    }
}

/// The event loop looks at each key that it lists.
#[test]
fn largest_page_of_keys_fills_a_turn() {
    let size = |text| match parsed(text).unwrap().content {
        RequestContent::Client(request) => size(&request),
        other => panic!("{other:?}"),
    };
    let turn = crate::host::limits::DRAIN.bytes;
    assert!(size(r#"{"type":"keys","msg_id":1}"#) * 2 > turn);
    assert!(size(r#"{"type":"keys","msg_id":1,"limit":10}"#) * 50 < turn);
}

#[test]
fn depth_and_length_are_limited() {
    let write = |depth: usize, length: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let text = format!(r#"{{"type":"write","msg_id":7,"key":1,"value":{open}{close}}}"#);
        Request::parse(Raw::new(&text).unwrap(), length).map_err(|invalid| match invalid {
            Invalid::Answered(error) => (error.in_reply_to, error.code),
            Invalid::Reply => panic!("{text} is no reply"),
        })
    };
    let refused = Err((Some(7), ErrorCode::MalformedRequest));
    assert!(write(MAX_DEPTH - 2, MAX_LINE).is_ok());
    assert_eq!(write(MAX_DEPTH - 1, MAX_LINE), refused);
    assert_eq!(write(MAX_DEPTH - 2, MAX_LINE + 1), refused);
}

#[test]
fn every_response_has_a_code() {
    let name = |_| None;
    let code = |response| reply(1, response, name).map_err(|(code, _)| code.number());
    let ok = |reply| Ok(reply);
    let in_reply_to = 1;
    assert_eq!(
        code(Response::Applied(Outcome::Done(kv::Outcome::Written))),
        ok(Reply::WriteOk { in_reply_to })
    );
    assert_eq!(
        code(Response::Applied(Outcome::Done(kv::Outcome::Swapped))),
        ok(Reply::CasOk { in_reply_to })
    );
    assert_eq!(
        code(Response::Applied(Outcome::Done(kv::Outcome::Deleted))),
        ok(Reply::DeleteOk { in_reply_to })
    );
    let value = value!(null).into();
    let read = ok(Reply::ReadOk { in_reply_to, value });
    let answered = |value| Response::Answered(Answer::Value(value));
    assert_eq!(code(answered(Some(value!(null).into()))), read);
    assert_eq!(code(answered(None)), Err(20));
    assert_eq!(
        code(Response::Applied(Outcome::Done(kv::Outcome::Missing))),
        Err(20)
    );
    let found = value!(5).into();
    assert_eq!(
        code(Response::Applied(Outcome::Done(kv::Outcome::Mismatch {
            found
        }))),
        Err(22)
    );
    for refusal in [
        Refusal::NoLeader,
        Refusal::Full,
        Refusal::ReadExpired,
        Refusal::Transferring,
        Refusal::NotLeading(None),
        Refusal::TargetSilent,
        Refusal::TargetDeclined,
        Refusal::TransferExpired,
        Refusal::NoSnapshot,
    ] {
        assert_eq!(code(Response::Refused(refusal)), Err(11));
    }
    assert_eq!(code(Response::Refused(Refusal::NotAVoter)), Err(12));
    for (reason, expected) in [
        (NotChanged::UnderWay, 11),
        (NotChanged::Replaced, 11),
        (NotChanged::NotCaughtUp, 11),
        (NotChanged::UnknownMember, 22),
        (NotChanged::AlreadyMember, 22),
        (NotChanged::NoVoterLeft, 22),
    ] {
        let refusal = Refusal::NotChanged(reason);
        assert_eq!(code(Response::Refused(refusal)), Err(expected));
    }
    let changed = ok(Reply::ChangeMembersOk { in_reply_to });
    assert_eq!(code(Response::MembersChanged), changed);
    assert_eq!(
        code(Response::Transferred),
        ok(Reply::TransferOk { in_reply_to })
    );
    assert_eq!(code(Response::Unknown), Err(13));
    assert_eq!(code(Response::Applied(Outcome::Unknown)), Err(13));
    let session = 7;
    assert_eq!(
        code(Response::Applied(Outcome::Opened(SessionId(session)))),
        ok(Reply::OpenSessionOk {
            in_reply_to,
            session
        })
    );
}

#[test]
fn transfer_at_a_follower_names_the_leader() {
    let text = |leader| {
        let refusal = Refusal::NotLeading(leader);
        let name = |id| (id == NodeId(1)).then(|| "n2".into());
        reply(1, Response::Refused(refusal), name).unwrap_err().1
    };
    assert_eq!(text(Some(NodeId(1))), "this node does not lead; ask n2");
    assert!(text(None).contains("knows no leader"));
}

#[test]
fn mismatch_shows_the_value_shortened() {
    let text = |found: Value| {
        let found = found.into();
        match reply(
            1,
            Response::Applied(Outcome::Done(kv::Outcome::Mismatch { found })),
            |_| None,
        ) {
            Err((_, text)) => text,
            Ok(reply) => panic!("{reply:?}"),
        }
    };
    assert_eq!(
        text(value!({"a": 1})),
        r#"the key holds another value: {"a":1}"#
    );
    assert!(text(Value::from("ä".repeat(1 << 20))).len() < 500);
}

#[test]
fn success_has_no_other_fields() {
    let text = json::to_string(&Reply::ReadOk {
        in_reply_to: 3,
        value: value!(null).into(),
    });
    assert_eq!(text, r#"{"type":"read_ok","in_reply_to":3,"value":null}"#);
    let (keys, more) = (vec![value!("a").into(), value!([1.0]).into()], false);
    let text = json::to_string(&Reply::KeysOk {
        in_reply_to: 3,
        keys,
        more,
    });
    assert_eq!(
        text,
        r#"{"type":"keys_ok","in_reply_to":3,"keys":["a",[1]],"more":false}"#
    );
    let text = json::to_string(&Reply::CasOk { in_reply_to: 3 });
    assert_eq!(text, r#"{"type":"cas_ok","in_reply_to":3}"#);
}
