//! The bodies of clients' requests and of the replies, and the error codes: the same for every
//! front end.

mod members;

use std::borrow::Cow;

use json::{Error, Raw};
use raft_core::{
    Index, NodeId, NotChanged, Refusal, Response, Standing, StateMachine as _, Status,
};

use self::members::MemberBody;
pub(crate) use self::members::{change, members};
use crate::host::ClientRequest;
use crate::kv::{self, Answer, KEYS_MAX, Key, Kv, Query, Text};
use crate::named::named;
use crate::sessions::{Command, Outcome, SessionId, Sessions};
use crate::stdio::clipped;
use crate::wire::Base64;

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

/// Declares the bodies of requests or replies in one table, and their types.
macro_rules! bodies {
    (
        $(#[$of_bodies:meta])* enum $bodies:ident;
        $($body:ident as $name:literal { $($fields:tt)* },)*
    ) => {
        json::record! {
            $(#[$of_bodies])*
            #[derive(Debug, PartialEq)]
            pub(crate) enum $bodies tagged "type" {
                $($body as $name { $($fields)* },)*
            }
        }

        impl $bodies {
            /// All types.
            pub(crate) const KINDS: &[&'static str] = &[$($name),*];

            /// Its type.
            pub(crate) fn kind(&self) -> &'static str {
                match self {
                    $(Self::$body { .. } => $name,)*
                }
            }
        }
    };
}

bodies! {
    /// A request as JSON.
    enum Body;
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
    Delete as "delete" {
        msg_id: i64, key: Key,
        session: Option<u64>, sequence: Option<u64>, acknowledged: Option<u64>,
    },
    Keys as "keys" {
        msg_id: i64, prefix: Option<String>, after: Option<Key>, limit: Option<u64>,
    },
    OpenSession as "open_session" { msg_id: i64 },
    CloseSession as "close_session" { msg_id: i64, session: u64 },
    Transfer as "transfer" { msg_id: i64, to: Option<String> },
    Members as "members" { msg_id: i64 },
    ChangeMembers as "change_members" {
        msg_id: i64, add: Vec<String> = Vec::new(), remove: Vec<String> = Vec::new(),
    },
    Status as "status" { msg_id: i64 },
    Snapshot as "snapshot" { msg_id: i64 },
    Backup as "backup" { msg_id: i64, offset: u64 },
}

bodies! {
    /// A reply as JSON. A success has exactly these fields.
    enum Reply;
    InitOk as "init_ok" { in_reply_to: i64 },
    ReadOk as "read_ok" { in_reply_to: i64, value: Text },
    WriteOk as "write_ok" { in_reply_to: i64 },
    CasOk as "cas_ok" { in_reply_to: i64 },
    DeleteOk as "delete_ok" { in_reply_to: i64 },
    KeysOk as "keys_ok" { in_reply_to: i64, keys: Vec<Key>, more: bool },
    OpenSessionOk as "open_session_ok" { in_reply_to: i64, session: u64 },
    CloseSessionOk as "close_session_ok" { in_reply_to: i64 },
    TransferOk as "transfer_ok" { in_reply_to: i64 },
    MembersOk as "members_ok" {
        in_reply_to: i64, members: Vec<MemberBody>, leader: Option<String>,
    },
    ChangeMembersOk as "change_members_ok" { in_reply_to: i64 },
    StatusOk as "status_ok" {
        in_reply_to: i64, node: String, role: String, term: u64, leader: Option<String>,
        commit: u64, applied: u64, last: u64, snapshot: u64,
        voters: Vec<String>, learners: Vec<String>,
    },
    SnapshotOk as "snapshot_ok" { in_reply_to: i64, index: u64 },
    BackupOk as "backup_ok" {
        in_reply_to: i64, index: u64, term: u64, length: u64, data: Base64,
    },
    Error as "error" { in_reply_to: Option<i64>, code: u64, text: String },
}

json::record! {
    /// The fields of an invalid body that decide the reply.
    #[derive(Default)]
    struct Header<'a> {
        kind: Option<Raw<'a>> as "type",
        msg_id: Option<Raw<'a>>,
        in_reply_to: Option<Raw<'a>>,
    }
}

/// A valid request.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) msg_id: i64,
    pub(crate) kind: &'static str,
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
    /// Goes to the event loop.
    Client(ClientRequest<Sessions<Kv>>),
    /// Hands the leadership over, to the voter of this name or to the most advanced one.
    Transfer { to: Option<String> },
    /// Asks for the members: [`members`].
    Members,
    /// Lets nodes of these addresses vote, and members of these names leave: [`change`].
    ChangeMembers {
        add: Vec<String>,
        remove: Vec<String>,
    },
    /// Asks for this node's own state: [`status`].
    Status,
    /// Asks for the part of a stored snapshot from this offset on.
    Backup { offset: u64 },
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
    pub(crate) kind: Option<&'static str>,
    pub(crate) code: ErrorCode,
    pub(crate) text: String,
}

named! {
    /// The error codes that nodes use, with Maelstrom's names. All but `Crash` are definite: the
    /// request had no effect and will have none.
    pub(crate) enum ErrorCode {
        /// The type of the request is unknown.
        NotSupported = 10 as "not_supported",
        /// The node or the cluster cannot serve the request now.
        TemporarilyUnavailable = 11 as "temporarily_unavailable",
        /// The request is invalid.
        MalformedRequest = 12 as "malformed_request",
        /// The request may have taken effect, or may still do so.
        Crash = 13 as "crash",
        /// The request was given up.
        Abort = 14 as "abort",
        /// The key has no value.
        KeyDoesNotExist = 20 as "key_does_not_exist",
        /// The key has another value, this is another node, or the members rule the change out.
        PreconditionFailed = 22 as "precondition_failed",
    }
}

impl ErrorCode {
    pub(crate) fn number(self) -> u64 {
        self as u64
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
        let kind = body.kind();
        let client = RequestContent::Client;
        let (msg_id, content) = match body {
            Body::Init {
                msg_id,
                node_id,
                node_ids,
            } => (msg_id, RequestContent::Init { node_id, node_ids }),
            Body::Read { msg_id, key } => (msg_id, client(ClientRequest::Read(Query::Value(key)))),
            Body::Write {
                msg_id,
                key,
                value,
                session,
                sequence,
                acknowledged,
            } => {
                let command = kv::Command::Write { key, value };
                (msg_id, write(session, sequence, acknowledged, command)?)
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
                (msg_id, write(session, sequence, acknowledged, command)?)
            }
            Body::Delete {
                msg_id,
                key,
                session,
                sequence,
                acknowledged,
            } => {
                let command = kv::Command::Delete { key };
                (msg_id, write(session, sequence, acknowledged, command)?)
            }
            Body::Keys {
                msg_id,
                prefix,
                after,
                limit,
            } => {
                let limit = keys_limit(limit)?;
                let query = Query::Keys {
                    prefix,
                    after,
                    limit,
                };
                (msg_id, client(ClientRequest::Read(query)))
            }
            Body::OpenSession { msg_id } => (msg_id, client(ClientRequest::Write(Command::Open))),
            Body::CloseSession { msg_id, session } => {
                let command = Command::Close(SessionId(session));
                (msg_id, client(ClientRequest::Write(command)))
            }
            Body::Transfer { msg_id, to } => (msg_id, RequestContent::Transfer { to }),
            Body::Members { msg_id } => (msg_id, RequestContent::Members),
            Body::ChangeMembers {
                msg_id,
                add,
                remove,
            } => (msg_id, RequestContent::ChangeMembers { add, remove }),
            Body::Status { msg_id } => (msg_id, RequestContent::Status),
            Body::Snapshot { msg_id } => (msg_id, client(ClientRequest::Snapshot)),
            Body::Backup { msg_id, offset } => (msg_id, RequestContent::Backup { offset }),
        };
        Ok(Self {
            msg_id,
            kind,
            content,
        })
    }
}

/// How many keys one reply may have.
fn keys_limit(limit: Option<u64>) -> Result<usize, String> {
    let most = KEYS_MAX as u64;
    match limit.unwrap_or(most) {
        limit if (1..=most).contains(&limit) => Ok(limit as usize),
        limit => Err(format!("limit is {limit}; it must be from 1 to {most}")),
    }
}

/// A write, in a client's session if the request names one.
fn write(
    session: Option<u64>,
    sequence: Option<u64>,
    acknowledged: Option<u64>,
    command: kv::Command,
) -> Result<RequestContent, String> {
    let command = match (session, sequence) {
        (None, None) if acknowledged.is_none() => Command::Plain(command),
        (Some(session), Some(sequence)) => Command::Do {
            session: SessionId(session),
            sequence,
            acknowledged: acknowledged.unwrap_or(0),
            command,
        },
        _ => return Err("a write of a session needs a session and a sequence".into()),
    };
    Ok(RequestContent::Client(ClientRequest::Write(command)))
}

/// About how many bytes of memory a request takes.
pub(crate) fn size(request: &ClientRequest<Sessions<Kv>>) -> usize {
    match request {
        ClientRequest::Read(query) => query.size(),
        ClientRequest::Write(command) => Sessions::<Kv>::size(command),
        ClientRequest::ChangeMembers { add, .. } => add.iter().map(|address| address.len()).sum(),
        ClientRequest::Transfer(_) | ClientRequest::Snapshot => 0,
    }
}

/// Decides the reply to an invalid body; `text` says what is wrong with it.
fn invalid(body: Raw<'_>, text: String) -> Invalid {
    let header = json::decode_with_depth::<Header>(body.as_str().as_bytes(), json::MAX_DEPTH);
    let header = header.unwrap_or_default();
    // A reply may have a msg_id, too. If nodes answered replies, they would never stop.
    if header.in_reply_to.is_some() {
        return Invalid::Reply;
    }
    let name = header
        .kind
        .and_then(|kind| kind.decode::<Cow<'_, str>>().ok());
    let kinds = Body::KINDS.iter().copied();
    let kind = kinds.into_iter().find(|kind| name.as_deref() == Some(kind));
    let (code, text) = match (name, kind) {
        (Some(name), None) => {
            let name = format!("{name:?}");
            let text = format!("the request type {} is not supported", clipped(&name));
            (ErrorCode::NotSupported, text)
        }
        (Some(_), Some(_)) | (None, _) => (ErrorCode::MalformedRequest, text),
    };
    Invalid::Answered(InvalidRequest {
        in_reply_to: header.msg_id.and_then(|id| id.decode().ok()),
        kind,
        code,
        text,
    })
}

/// The reply to a request. This match alone decides the error codes. `name` gives nodes' names.
pub(crate) fn reply(
    in_reply_to: i64,
    response: Response<Sessions<Kv>>,
    name: impl Fn(NodeId) -> Option<String>,
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
        Response::Answered(Answer::Value(None)) => no_such_key(),
        Response::Answered(Answer::Value(Some(value))) => Ok(Reply::ReadOk { in_reply_to, value }),
        Response::Answered(Answer::Keys { keys, more }) => Ok(Reply::KeysOk {
            in_reply_to,
            keys,
            more,
        }),
        Response::SnapshotStored(Index(index)) => Ok(Reply::SnapshotOk { in_reply_to, index }),
        Response::MembersChanged => Ok(Reply::ChangeMembersOk { in_reply_to }),
        Response::Transferred => Ok(Reply::TransferOk { in_reply_to }),
        Response::Refused(refusal) => Err(refused(refusal, name)),
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
        kv::Outcome::Deleted => Ok(Reply::DeleteOk { in_reply_to }),
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

/// The reply to a `status` request at the node `me`, whose own state this is. `name` gives nodes'
/// names.
pub(crate) fn status(
    in_reply_to: i64,
    me: &str,
    status: &Status,
    name: impl Fn(NodeId) -> Option<String>,
) -> Reply {
    let named = |id: NodeId| name(id).unwrap_or_else(|| id.to_string());
    let members = status.membership.members().iter();
    let (learners, voters): (Vec<_>, Vec<_>) =
        members.partition(|(_, member)| member.standing == Standing::Learner);
    let names =
        |members: Vec<(&NodeId, _)>| members.into_iter().map(|(id, _)| named(*id)).collect();
    Reply::StatusOk {
        in_reply_to,
        node: me.into(),
        role: status.role.as_str().into(),
        term: status.ballot.term().0,
        leader: status.leader.map(named),
        commit: status.commit.index.0,
        applied: status.applied.0,
        last: status.last.index.0,
        snapshot: status.snapshot.map_or(0, |id| id.last.index.0),
        voters: names(voters),
        learners: names(learners),
    }
}

fn no_such_key() -> Result<Reply, (ErrorCode, String)> {
    Err((ErrorCode::KeyDoesNotExist, "no such key".into()))
}

/// Why a request had no effect.
fn refused(refusal: Refusal, name: impl Fn(NodeId) -> Option<String>) -> (ErrorCode, String) {
    let text = match refusal {
        Refusal::NoLeader => "no leader is known; try again",
        Refusal::Full => "too many requests are open; try again later",
        Refusal::ReadExpired => "no quorum confirmed the read in time; try again",
        Refusal::Transferring => "the leader hands its leadership over; try again",
        Refusal::NotLeading(leader) => match leader.and_then(name) {
            Some(leader) => {
                let text = format!("this node does not lead; ask {leader}");
                return (ErrorCode::TemporarilyUnavailable, text);
            }
            None => "this node does not lead, and knows no leader; try again",
        },
        Refusal::NotAVoter => {
            let text =
                "the leader cannot hand over to itself: name another voter in \"to\", or none";
            return (ErrorCode::MalformedRequest, text.into());
        }
        Refusal::TargetSilent => "no such voter answers the leader; try again later",
        Refusal::TargetDeclined => "the target could not campaign; try again",
        Refusal::NotChanged(
            reason @ (NotChanged::UnknownMember
            | NotChanged::AlreadyMember
            | NotChanged::NoVoterLeft),
        ) => return (ErrorCode::PreconditionFailed, reason.as_str().into()),
        Refusal::NotChanged(reason) => reason.as_str(),
        Refusal::TransferExpired => "the target did not lead in time; try again",
        Refusal::NoSnapshot => {
            "no snapshot now: another one is under way, a follower needs the log, or nothing is \
             applied yet; try again"
        }
    };
    (ErrorCode::TemporarilyUnavailable, text.into())
}

#[cfg(test)]
mod tests;
