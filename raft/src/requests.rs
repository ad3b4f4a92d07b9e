//! The bodies of clients' requests and of the replies, and the error codes: the same for every
//! front end.

use std::borrow::Cow;

use json::{Error, Raw};
use raft_core::{NodeId, Refusal, Response, StateMachine as _};

use crate::host::ClientRequest;
use crate::kv::{self, Key, Kv, Lookup, Text};
use crate::named::named;
use crate::sessions::{Command, Outcome, SessionId, Sessions};

/// The deepest nesting of a client's line.
pub const MAX_DEPTH: usize = 128;

/// The longest line of a client in bytes, without its end.
pub const MAX_LINE: usize = 1 << 20;

json::record! {
    /// A line: sender, receiver and body. Other fields, such as Maelstrom's `id`, are ignored.
    pub(crate) struct Line<'a, B> {
        pub(crate) src: std::borrow::Cow<'a, str>,
        pub(crate) dest: std::borrow::Cow<'a, str>,
        pub(crate) body: B,
    }
}

json::record! {
    /// A request as JSON.
    #[derive(Debug, PartialEq)]
    pub(crate) enum Body tagged "type" {
        Init as "init" { msg_id: i64, node_id: String, node_ids: Vec<String> },
        Read as "read" { msg_id: i64, key: Key },
        Write as "write" {
            msg_id: i64, key: Key, value: Text,
            session: Option<u64>, sequence: Option<u64>, acknowledged: Option<u64>,
        },
        Cas as "cas" {
            msg_id: i64, key: Key, from: Text, to: Text, create_if_not_exists: bool = false,
            session: Option<u64>, sequence: Option<u64>, acknowledged: Option<u64>,
        },
        OpenSession as "open_session" { msg_id: i64 },
        CloseSession as "close_session" { msg_id: i64, session: u64 },
        Transfer as "transfer" { msg_id: i64, to: Option<String> },
    }
}

json::record! {
    /// A reply as JSON. A success has exactly these fields.
    #[derive(Debug, PartialEq)]
    pub(crate) enum Reply tagged "type" {
        InitOk as "init_ok" { in_reply_to: i64 },
        ReadOk as "read_ok" { in_reply_to: i64, value: Text },
        WriteOk as "write_ok" { in_reply_to: i64 },
        CasOk as "cas_ok" { in_reply_to: i64 },
        OpenSessionOk as "open_session_ok" { in_reply_to: i64, session: u64 },
        CloseSessionOk as "close_session_ok" { in_reply_to: i64 },
        TransferOk as "transfer_ok" { in_reply_to: i64 },
        ChangeMembersOk as "change_members_ok" { in_reply_to: i64 },
        Error as "error" { in_reply_to: Option<i64>, code: u64, text: String },
    }
}

json::record! {
    /// The fields of an invalid body that decide the reply.
    struct Header<'a> {
        kind: Option<Raw<'a>> as "type",
        msg_id: Option<Raw<'a>>,
        in_reply_to: Option<Raw<'a>>,
    }
}

named! {
    /// The type of a request.
    pub(crate) enum RequestKind {
        Init as "init",
        Read as "read",
        Write as "write",
        Cas as "cas",
        OpenSession as "open_session",
        CloseSession as "close_session",
        Transfer as "transfer",
    }
}

/// A valid request.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) msg_id: i64,
    pub(crate) kind: RequestKind,
    pub(crate) content: RequestContent,
}

/// The content of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum RequestContent {
    /// Makes the node this member of this cluster.
    Init {
        node_id: String,
        node_ids: Vec<String>,
    },
    /// Reads or changes the map.
    Client(ClientRequest<Sessions<Kv>>),
    /// Hands the leadership over, to the voter of this name or to the most advanced one.
    Transfer { to: Option<String> },
}

/// Why a body is not a valid request.
#[derive(Debug, PartialEq)]
pub(crate) enum Invalid {
    /// It is a reply, which gets no reply.
    Reply,
    /// Its sender gets this error.
    Answered(InvalidRequest),
}

/// The error reply to an invalid request.
#[derive(Debug, PartialEq)]
pub(crate) struct InvalidRequest {
    /// The id of the request, if it has one.
    pub(crate) in_reply_to: Option<i64>,
    /// The type of the request, if it is known.
    pub(crate) kind: Option<RequestKind>,
    pub(crate) code: ErrorCode,
    pub(crate) text: String,
}

named! {
    /// The error codes that nodes use, with Maelstrom's names. All but `Crash` are definite: the
    /// request had no effect and will have none.
    pub(crate) enum ErrorCode {
        /// The type of the request is unknown.
        NotSupported as "not_supported",
        /// The node or the cluster cannot serve the request now.
        TemporarilyUnavailable as "temporarily_unavailable",
        /// The request is invalid.
        MalformedRequest as "malformed_request",
        /// The request may have taken effect, or may still do so.
        Crash as "crash",
        /// The request was given up.
        Abort as "abort",
        /// The key has no value.
        KeyDoesNotExist as "key_does_not_exist",
        /// The key has another value, or this is another node.
        PreconditionFailed as "precondition_failed",
    }
}

impl ErrorCode {
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::NotSupported => 10,
            Self::TemporarilyUnavailable => 11,
            Self::MalformedRequest => 12,
            Self::Crash => 13,
            Self::Abort => 14,
            Self::KeyDoesNotExist => 20,
            Self::PreconditionFailed => 22,
        }
    }
}

impl Request {
    /// Parses the body of a client's line of `length` bytes.
    pub(crate) fn parse(body: Raw<'_>, length: usize) -> Result<Self, Invalid> {
        if length > MAX_LINE {
            let text = format!("the line has {length} bytes; the limit is {MAX_LINE}");
            return Err(invalid(body, text));
        }
        // The body is one level inside its line.
        let decoded = json::decode_with_depth(body.as_str().as_bytes(), MAX_DEPTH - 1);
        let decoded = decoded.map_err(|error: Error| error.to_string());
        decoded
            .and_then(Self::of)
            .map_err(|error| invalid(body, error))
    }

    fn of(body: Body) -> Result<Self, String> {
        let client = |msg_id, kind, request| Self {
            msg_id,
            kind,
            content: RequestContent::Client(request),
        };
        Ok(match body {
            Body::Init {
                msg_id,
                node_id,
                node_ids,
            } => Self {
                msg_id,
                kind: RequestKind::Init,
                content: RequestContent::Init { node_id, node_ids },
            },
            Body::Read { msg_id, key } => {
                let query = Lookup { key };
                client(msg_id, RequestKind::Read, ClientRequest::Read(query))
            }
            Body::Write {
                msg_id,
                key,
                value,
                session,
                sequence,
                acknowledged,
            } => {
                let command = kv::Command::Write { key, value };
                let command = of_session(session, sequence, acknowledged, command)?;
                client(msg_id, RequestKind::Write, ClientRequest::Write(command))
            }
            Body::Cas {
                msg_id,
                key,
                from,
                to,
                create_if_not_exists,
                session,
                sequence,
                acknowledged,
            } => {
                let command = kv::Command::Cas {
                    key,
                    from,
                    to,
                    create_if_not_exists,
                };
                let command = of_session(session, sequence, acknowledged, command)?;
                client(msg_id, RequestKind::Cas, ClientRequest::Write(command))
            }
            Body::OpenSession { msg_id } => {
                let request = ClientRequest::Write(Command::Open);
                client(msg_id, RequestKind::OpenSession, request)
            }
            Body::CloseSession { msg_id, session } => {
                let request = ClientRequest::Write(Command::Close(SessionId(session)));
                client(msg_id, RequestKind::CloseSession, request)
            }
            Body::Transfer { msg_id, to } => Self {
                msg_id,
                kind: RequestKind::Transfer,
                content: RequestContent::Transfer { to },
            },
        })
    }
}

/// A command of a client's session, if the request names one.
fn of_session(
    session: Option<u64>,
    sequence: Option<u64>,
    acknowledged: Option<u64>,
    command: kv::Command,
) -> Result<Command<kv::Command>, String> {
    match (session, sequence, acknowledged) {
        (None, None, None) => Ok(Command::Plain(command)),
        (Some(session), Some(sequence), acknowledged) => Ok(Command::Do {
            session: SessionId(session),
            sequence,
            acknowledged: acknowledged.unwrap_or(0),
            command,
        }),
        _ => Err("a write of a session needs a session and a sequence".into()),
    }
}

/// About how many bytes of memory a request takes.
pub(crate) fn size(request: &ClientRequest<Sessions<Kv>>) -> usize {
    match request {
        ClientRequest::Read(Lookup { key }) => key.size(),
        ClientRequest::Write(command) => Sessions::<Kv>::size(command),
        ClientRequest::Transfer(_) => 0,
    }
}

/// Decides the reply to an invalid body; `text` says what is wrong with it.
fn invalid(body: Raw<'_>, text: String) -> Invalid {
    let header = json::decode_with_depth::<Header>(body.as_str().as_bytes(), json::MAX_DEPTH);
    let Ok(header) = header else {
        return Invalid::Answered(InvalidRequest {
            in_reply_to: None,
            kind: None,
            code: ErrorCode::MalformedRequest,
            text,
        });
    };
    let in_reply_to = header.msg_id.and_then(|id| id.decode().ok());
    // A reply may have a msg_id, too. If nodes answered replies, they would never stop.
    if header.in_reply_to.is_some() {
        return Invalid::Reply;
    }
    let name = header
        .kind
        .and_then(|kind| kind.decode::<Cow<'_, str>>().ok());
    let kind = name.as_deref().and_then(|name| {
        RequestKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    });
    let (code, text) = match (name, kind) {
        (Some(name), None) => {
            let text = format!(
                "the request type {} is not supported",
                clipped(&format!("{name:?}"))
            );
            (ErrorCode::NotSupported, text)
        }
        (Some(_), Some(_)) | (None, _) => (ErrorCode::MalformedRequest, text),
    };
    Invalid::Answered(InvalidRequest {
        in_reply_to,
        kind,
        code,
        text,
    })
}

/// The reply to a request. This match alone decides the error codes. `name` gives nodes' names.
pub(crate) fn reply<'a>(
    in_reply_to: i64,
    response: Response<Sessions<Kv>>,
    name: impl Fn(NodeId) -> Option<&'a str>,
) -> Result<Reply, (ErrorCode, String)> {
    match response {
        Response::Applied(Outcome::Done(outcome)) => applied(in_reply_to, outcome),
        Response::Applied(Outcome::Opened(SessionId(session))) => Ok(Reply::OpenSessionOk {
            in_reply_to,
            session,
        }),
        Response::Applied(Outcome::Closed) => Ok(Reply::CloseSessionOk { in_reply_to }),
        // Indefinite: the same number may have been applied before.
        Response::Applied(Outcome::Unknown) => {
            let text = "the session is not open, or its answer to this sequence is no longer kept; \
                        the request may have taken effect before";
            Err((ErrorCode::Crash, text.into()))
        }
        Response::Answered(None) => no_such_key(),
        Response::Answered(Some(value)) => Ok(Reply::ReadOk { in_reply_to, value }),
        Response::MembersChanged => Ok(Reply::ChangeMembersOk { in_reply_to }),
        Response::Transferred => Ok(Reply::TransferOk { in_reply_to }),
        Response::Refused(Refusal::NotAVoter) => Err((
            ErrorCode::MalformedRequest,
            "the leader cannot hand over to itself: name another voter in \"to\", or none".into(),
        )),
        Response::Refused(refusal) => Err((
            ErrorCode::TemporarilyUnavailable,
            refused(refusal, name).into(),
        )),
        Response::Unknown => {
            let text = "timed out before a quorum confirmed it; it may still take effect";
            Err((ErrorCode::Crash, text.into()))
        }
    }
}

/// The reply to a command that was applied.
fn applied(in_reply_to: i64, outcome: kv::Outcome) -> Result<Reply, (ErrorCode, String)> {
    match outcome {
        kv::Outcome::Written => Ok(Reply::WriteOk { in_reply_to }),
        kv::Outcome::Swapped => Ok(Reply::CasOk { in_reply_to }),
        kv::Outcome::Missing => no_such_key(),
        kv::Outcome::Mismatch { found } => {
            // A peer of an earlier version sends the whole value.
            let found = clipped(found.as_str());
            Err((
                ErrorCode::PreconditionFailed,
                format!("the key holds another value: {found}"),
            ))
        }
    }
}

fn no_such_key() -> Result<Reply, (ErrorCode, String)> {
    Err((ErrorCode::KeyDoesNotExist, "no such key".into()))
}

/// Why a request had no effect.
fn refused<'a>(refusal: Refusal, name: impl Fn(NodeId) -> Option<&'a str>) -> Cow<'static, str> {
    let text = match refusal {
        Refusal::NoLeader => "no leader is known; try again",
        Refusal::Full => "too many requests are open; try again later",
        Refusal::ReadExpired => "no quorum confirmed the read in time; try again",
        Refusal::Transferring => "the leader hands its leadership over; try again",
        Refusal::NotLeading(leader) => match leader.and_then(name) {
            Some(leader) => return format!("this node does not lead; ask {leader}").into(),
            None => "this node does not lead, and knows no leader; try again",
        },
        Refusal::NotAVoter => "the target is not another voter",
        Refusal::TargetSilent => "no such voter answers the leader; try again later",
        Refusal::TargetDeclined => "the target could not campaign; try again",
        Refusal::NotChanged(reason) => reason.as_str(),
        Refusal::TransferExpired => "the target did not lead in time; try again",
    };
    text.into()
}

/// Shortens a text of any length.
pub(crate) fn clipped(text: &str) -> String {
    const LENGTH: usize = 200;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
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
        let lookup = Lookup {
            key: value!(null).into(),
        };
        assert_eq!((read.msg_id, read.kind), (3, RequestKind::Read));
        assert_eq!(
            read.content,
            RequestContent::Client(ClientRequest::Read(lookup))
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
        assert_eq!((cas.msg_id, cas.kind), (-1, RequestKind::Cas));
        assert_eq!(
            cas.content,
            RequestContent::Client(ClientRequest::Write(Command::Plain(command)))
        );

        let to = |to| RequestContent::Transfer { to };
        let text = r#"{"type":"transfer","msg_id":1}"#;
        assert_eq!(parsed(text).unwrap().content, to(None));
        let text = r#"{"type":"transfer","msg_id":1,"to":"n2"}"#;
        assert_eq!(parsed(text).unwrap().content, to(Some("n2".into())));

        let text = r#"{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}"#;
        assert_eq!(parsed(text).unwrap().kind, RequestKind::Init);
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
        let value = value!(null).into();
        let read = ok(Reply::ReadOk { in_reply_to, value });
        assert_eq!(code(Response::Answered(Some(value!(null).into()))), read);
        assert_eq!(code(Response::Answered(None)), Err(20));
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
        ] {
            assert_eq!(code(Response::Refused(refusal)), Err(11));
        }
        assert_eq!(code(Response::Refused(Refusal::NotAVoter)), Err(12));
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
            let name = |id| (id == NodeId(1)).then_some("n2");
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
        let text = json::to_string(&Reply::CasOk { in_reply_to: 3 });
        assert_eq!(text, r#"{"type":"cas_ok","in_reply_to":3}"#);
    }
}
