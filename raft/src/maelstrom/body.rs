//! What clients and this node say to each other: bodies of requests and replies, and error codes.

use std::sync::Arc;

use json::{Error, Raw, Value};
use raft_core::{Doubt, Refusal, Response};

use crate::host::Wish;
use crate::kv::{self, Command, Kv, Lookup, Outcome};

/// How deep the JSON of a client's line may nest.
pub const MAX_DEPTH: usize = 128;

/// How long a client's line may be, in bytes, not counting its end.
pub const MAX_LINE: usize = 1 << 20;

json::record! {
    /// A line: who says what to whom. Other fields, such as Maelstrom's `id`, say nothing.
    pub(crate) struct Line<'a, B> {
        pub(crate) src: std::borrow::Cow<'a, str>,
        pub(crate) dest: std::borrow::Cow<'a, str>,
        pub(crate) body: B,
    }
}

json::record! {
    /// A request, as it stands in JSON.
    #[derive(Debug, PartialEq)]
    pub(crate) enum Body tagged "type" {
        Init as "init" { msg_id: i64, node_id: String, node_ids: Vec<String> },
        Read as "read" { msg_id: i64, key: Value },
        Write as "write" { msg_id: i64, key: Value, value: Arc<Value> },
        Cas as "cas" {
            msg_id: i64, key: Value, from: Value, to: Arc<Value>, create_if_not_exists: bool = false,
        },
    }
}

json::record! {
    /// A reply, as it stands in JSON. A success has exactly these fields.
    #[derive(Debug, PartialEq)]
    pub(crate) enum Reply tagged "type" {
        InitOk as "init_ok" { in_reply_to: i64 },
        ReadOk as "read_ok" { in_reply_to: i64, value: Arc<Value> },
        WriteOk as "write_ok" { in_reply_to: i64 },
        CasOk as "cas_ok" { in_reply_to: i64 },
        Error as "error" { in_reply_to: Option<i64>, code: u64, text: String },
    }
}

json::record! {
    /// What is looked at in a body that is no request, to say why.
    struct Header {
        kind: Option<Value> as "type",
        msg_id: Option<Value>,
        in_reply_to: Option<Value>,
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Init,
    Read,
    Write,
    Cas,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Init, Self::Read, Self::Write, Self::Cas];

    /// Its `type`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Read => "read",
            Self::Write => "write",
            Self::Cas => "cas",
        }
    }
}

/// A request that makes sense.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) msg_id: i64,
    pub(crate) kind: Kind,
    pub(crate) content: Content,
}

/// What a request is about.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// To be this node, of this cluster.
    Init {
        node_id: String,
        node_ids: Vec<String>,
    },
    /// To do something with the map.
    Wish(Wish<Kv>),
}

/// Why a body is not a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    /// It is a reply. Nobody waits for one here, and nobody waits for an answer to it.
    Reply,
    /// Its sender may want to know.
    Failed(Failure),
}

/// Why a request was not done, for whoever asked.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure {
    /// Which request it was, if it said so.
    pub(crate) in_reply_to: Option<i64>,
    /// What was asked, if that is known.
    pub(crate) kind: Option<Kind>,
    pub(crate) code: Code,
    pub(crate) text: String,
}

/// Maelstrom's error codes, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// There is no such request. Definite.
    NotSupported,
    /// It surely never happened and never will. Definite.
    TemporarilyUnavailable,
    /// It makes no sense. Definite.
    MalformedRequest,
    /// It may have happened, or may yet. Indefinite.
    Crash,
    /// It was given up before it had any effect. Definite.
    Abort,
    /// There is nothing under the key. Definite.
    KeyDoesNotExist,
    /// There is something else under the key, or this node is another one. Definite.
    PreconditionFailed,
}

impl Code {
    pub(crate) const ALL: [Self; 7] = [
        Self::NotSupported,
        Self::TemporarilyUnavailable,
        Self::MalformedRequest,
        Self::Crash,
        Self::Abort,
        Self::KeyDoesNotExist,
        Self::PreconditionFailed,
    ];

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

    /// Maelstrom's name for it, as metrics have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotSupported => "not_supported",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::MalformedRequest => "malformed_request",
            Self::Crash => "crash",
            Self::Abort => "abort",
            Self::KeyDoesNotExist => "key_does_not_exist",
            Self::PreconditionFailed => "precondition_failed",
        }
    }
}

impl Request {
    /// Understands the body of a line that is `length` bytes long and came from a client.
    pub(crate) fn parse(body: Raw<'_>, length: usize) -> Result<Self, Refused> {
        if length > MAX_LINE {
            let text = format!("the line is {length} bytes long, and the limit is {MAX_LINE}");
            return Err(refused(body, text));
        }
        // The body is one level inside of its line.
        let decoded = json::decode_with_depth(body.as_str().as_bytes(), MAX_DEPTH - 1);
        decoded
            .map(Self::of)
            .map_err(|error: Error| refused(body, error.to_string()))
    }

    fn of(body: Body) -> Self {
        let (msg_id, kind, content) = match body {
            Body::Init {
                msg_id,
                node_id,
                node_ids,
            } => (msg_id, Kind::Init, Content::Init { node_id, node_ids }),
            Body::Read { msg_id, key } => {
                let wish = Wish::Read(Lookup { key });
                (msg_id, Kind::Read, Content::Wish(wish))
            }
            Body::Write { msg_id, key, value } => {
                let wish = Wish::Write(Command::Write { key, value });
                (msg_id, Kind::Write, Content::Wish(wish))
            }
            Body::Cas {
                msg_id,
                key,
                from,
                to,
                create_if_not_exists,
            } => {
                let wish = Wish::Write(Command::Cas {
                    key,
                    from,
                    to,
                    create_if_not_exists,
                });
                (msg_id, Kind::Cas, Content::Wish(wish))
            }
        };
        Self {
            msg_id,
            kind,
            content,
        }
    }
}

/// Roughly how many bytes of memory the values in a request hold.
pub(crate) fn memory(wish: &Wish<Kv>) -> usize {
    match wish {
        Wish::Read(Lookup { key }) => kv::memory(key),
        Wish::Write(Command::Write { key, value }) => kv::memory(key) + kv::memory(value),
        Wish::Write(Command::Cas {
            key,
            from,
            to,
            create_if_not_exists: _,
        }) => kv::memory(key) + kv::memory(from) + kv::memory(to),
    }
}

/// Finds out what to tell the sender of a body that is no request, for the reason `text`.
fn refused(body: Raw<'_>, text: String) -> Refused {
    let header = json::decode_with_depth::<Header>(body.as_str().as_bytes(), json::MAX_DEPTH);
    let Ok(header) = header else {
        return Refused::Failed(Failure {
            in_reply_to: None,
            kind: None,
            code: Code::MalformedRequest,
            text,
        });
    };
    let in_reply_to = header.msg_id.as_ref().and_then(Value::as_i64);
    // Replies may be numbered like requests. Were one answered, two nodes could go on for ever.
    if header.in_reply_to.is_some() {
        return Refused::Reply;
    }
    let name = header.kind.as_ref().and_then(Value::as_str);
    let kind = name.and_then(|name| Kind::ALL.into_iter().find(|kind| kind.as_str() == name));
    let (code, text) = match (name, kind) {
        (Some(name), None) => {
            let text = format!("{} is not supported", clipped(&format!("{name:?}")));
            (Code::NotSupported, text)
        }
        (Some(_), Some(_)) | (None, _) => (Code::MalformedRequest, text),
    };
    Refused::Failed(Failure {
        in_reply_to,
        kind,
        code,
        text,
    })
}

/// The reply to a request. One match, without a rest, decides what clients are told.
pub(crate) fn reply(in_reply_to: i64, response: Response<Kv>) -> Result<Reply, (Code, String)> {
    match response {
        Response::Applied(Outcome::Written) => Ok(Reply::WriteOk { in_reply_to }),
        Response::Applied(Outcome::Swapped) => Ok(Reply::CasOk { in_reply_to }),
        Response::Applied(Outcome::Missing) | Response::Answered(None) => Err((
            Code::KeyDoesNotExist,
            "there is nothing under this key".into(),
        )),
        Response::Applied(Outcome::Mismatch { found }) => {
            let found = clipped(&found.to_string());
            Err((Code::PreconditionFailed, format!("the value is {found}")))
        }
        Response::Answered(Some(value)) => Ok(Reply::ReadOk { in_reply_to, value }),
        Response::Refused(refusal) => {
            let text = match refusal {
                Refusal::NoLeader => "no leader is known",
                Refusal::NotLeader => "the leader has changed",
                Refusal::Full => "too many requests are under way",
                Refusal::ReadExpired => "no quorum could be reached",
            };
            Err((Code::TemporarilyUnavailable, text.into()))
        }
        Response::Unknown(doubt) => {
            let text = match doubt {
                Doubt::Expired => "no quorum has confirmed it in time: it may yet happen",
                Doubt::Overwritten => "the leader has changed: it may have happened",
            };
            Err((Code::Crash, text.into()))
        }
    }
}

/// The beginning of a text that may be of any length.
pub(crate) fn clipped(text: &str) -> String {
    const LENGTH: usize = 200;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use json::value;

    use super::*;

    fn parsed(text: &str) -> Result<Request, Refused> {
        Request::parse(Raw::new(text).unwrap(), text.len())
    }

    fn failure(text: &str) -> (Option<i64>, u64) {
        match parsed(text) {
            Err(Refused::Failed(failure)) => (failure.in_reply_to, failure.code.number()),
            other => panic!("{text} gave {other:?}"),
        }
    }

    #[test]
    fn requests_are_understood() {
        let read = parsed(r#"{"key":null,"msg_id":3,"type":"read","more":1}"#).unwrap();
        let lookup = Lookup { key: value!(null) };
        assert_eq!((read.msg_id, read.kind), (3, Kind::Read));
        assert_eq!(read.content, Content::Wish(Wish::Read(lookup)));

        let text =
            r#"{"type":"cas","msg_id":-1,"key":1,"from":[],"to":{},"create_if_not_exists":true}"#;
        let cas = parsed(text).unwrap();
        let command = Command::Cas {
            key: value!(1),
            from: value!([]),
            to: value!({}).into(),
            create_if_not_exists: true,
        };
        assert_eq!((cas.msg_id, cas.kind), (-1, Kind::Cas));
        assert_eq!(cas.content, Content::Wish(Wish::Write(command)));

        let text = r#"{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}"#;
        assert_eq!(parsed(text).unwrap().kind, Kind::Init);
    }

    #[test]
    fn what_makes_no_sense_is_answered_12_and_what_is_unknown_10() {
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
    fn a_reply_is_not_answered() {
        for text in [
            r#"{"type":"error","in_reply_to":7,"code":0}"#,
            r#"{"type":"read_ok","in_reply_to":7,"msg_id":8,"value":0}"#,
        ] {
            assert_eq!(parsed(text), Err(Refused::Reply), "{text}");
        }
    }

    #[test]
    fn depth_and_length_are_limited() {
        let write = |depth: usize, length: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let text = format!(r#"{{"type":"write","msg_id":7,"key":1,"value":{open}{close}}}"#);
            Request::parse(Raw::new(&text).unwrap(), length).map_err(|refused| match refused {
                Refused::Failed(failure) => (failure.in_reply_to, failure.code),
                Refused::Reply => panic!("{text} is no reply"),
            })
        };
        let refused = Err((Some(7), Code::MalformedRequest));
        assert!(write(MAX_DEPTH - 2, MAX_LINE).is_ok());
        assert_eq!(write(MAX_DEPTH - 1, MAX_LINE), refused);
        assert_eq!(write(MAX_DEPTH - 2, MAX_LINE + 1), refused);
    }

    #[test]
    fn every_response_has_its_code() {
        let code = |response| reply(1, response).map_err(|(code, _)| code.number());
        let ok = |reply| Ok(reply);
        let in_reply_to = 1;
        assert_eq!(
            code(Response::Applied(Outcome::Written)),
            ok(Reply::WriteOk { in_reply_to })
        );
        assert_eq!(
            code(Response::Applied(Outcome::Swapped)),
            ok(Reply::CasOk { in_reply_to })
        );
        let value = Arc::new(value!(null));
        let read = ok(Reply::ReadOk { in_reply_to, value });
        assert_eq!(code(Response::Answered(Some(value!(null).into()))), read);
        assert_eq!(code(Response::Answered(None)), Err(20));
        assert_eq!(code(Response::Applied(Outcome::Missing)), Err(20));
        let found = value!(5).into();
        assert_eq!(
            code(Response::Applied(Outcome::Mismatch { found })),
            Err(22)
        );
        for refusal in [
            Refusal::NoLeader,
            Refusal::NotLeader,
            Refusal::Full,
            Refusal::ReadExpired,
        ] {
            assert_eq!(code(Response::Refused(refusal)), Err(11));
        }
        for doubt in [Doubt::Expired, Doubt::Overwritten] {
            assert_eq!(code(Response::Unknown(doubt)), Err(13));
        }
    }

    #[test]
    fn a_mismatch_names_what_was_found_briefly() {
        let text = |found: Value| {
            let found = found.into();
            match reply(1, Response::Applied(Outcome::Mismatch { found })) {
                Err((_, text)) => text,
                Ok(reply) => panic!("{reply:?}"),
            }
        };
        assert_eq!(text(value!({"a": 1})), r#"the value is {"a":1}"#);
        assert!(text(Value::from("ä".repeat(1 << 20))).len() < 500);
    }

    #[test]
    fn a_success_has_no_other_fields() {
        let text = json::to_string(&Reply::ReadOk {
            in_reply_to: 3,
            value: value!(null).into(),
        });
        assert_eq!(text, r#"{"type":"read_ok","in_reply_to":3,"value":null}"#);
        let text = json::to_string(&Reply::CasOk { in_reply_to: 3 });
        assert_eq!(text, r#"{"type":"cas_ok","in_reply_to":3}"#);
    }
}
