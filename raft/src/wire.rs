//! What nodes say to each other, as JSON.
//!
//! A message is the body of one Maelstrom message. The sender and the receiver stand around it, by
//! name; the body has the message's kind as its `type`, the version of this format as `v`, the
//! sender's term, and the fields of the kind (see [`raft_core::Message`]):
//!
//! ```json
//! {"src":"n1","dest":"n2","body":{"type":"append","v":1,"term":3,"session":[4711,9],"prev":[2,17],
//!     "entries":[[3],[3,{"type":"write","key":1,"value":2}]],"commit":17}}
//! ```
//!
//! Composite names are short arrays: an entry's name is `[term, index]`, a question's is
//! `[incarnation, counter]`. An entry is `[term]` if it is blank and `[term, command]` if not; its
//! index is one more than that of the entry before it, and the first one follows `prev`. A
//! snapshot's name is `[term, index, length, checksum]`, the first two its last entry's, and its
//! bytes are a string of base64.
//!
//! Whoever receives a message ignores fields that it does not know, and drops messages of a kind or
//! a version that it does not know. So a field may be added that may be ignored; any other change
//! takes a new version.

use std::borrow::Cow;
use std::sync::Arc;

use json::{Decode, Encode, Error, Raw, Reader, Writer};
use raft_core::{
    Entry, EntryId, Envelope, Forwarded, Incarnation, Index, Message, NodeId, Payload, RequestId,
    SnapshotId, StateMachine, Term,
};

/// The version of this format.
pub const VERSION: u64 = 1;

/// How deep the JSON of a line between nodes may nest. More than what clients may send, so that no
/// client's request ever makes a message that a peer refuses.
pub const MAX_DEPTH: usize = 512;

/// How many bytes of a snapshot one message may carry, so that it is far from the longest line.
pub const MAX_CHUNK: usize = 16 << 20;

/// How long a line between nodes may be, in bytes. An Append of many large commands has room.
pub const MAX_LINE: usize = 64 << 20;

/// All values of `type`.
pub const KINDS: [&str; 16] = [
    "pre_vote",
    "pre_vote_reply",
    "vote",
    "vote_reply",
    "append",
    "appended",
    "append_rejected",
    "snapshot_chunk",
    "chunk_received",
    "round",
    "round_reply",
    "read_index",
    "read_index_reply",
    "forward",
    "forward_reply",
    "outdated",
];

/// Why a body is not a message that this node understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is of another version.
    Version(u64),
    /// It is of this version, but its `type` is none of [`KINDS`].
    Kind,
    /// It is not what a message of its kind is.
    Malformed(Error),
    /// It has no `type` or no `v`: whatever it is, it is not a message between nodes.
    Foreign,
}

/// Reads the body of a message between two nodes.
///
/// # Errors
/// Says why the message must be dropped.
pub fn decode<'a, S>(from: NodeId, to: NodeId, body: Raw<'a>) -> Result<Envelope<S>, Unreadable>
where
    S: StateMachine<Command: Decode<'a> + Encode, Outcome: Decode<'a> + Encode>,
{
    // The body is one level inside of its line.
    let decoded = json::decode_with_depth(body.as_str().as_bytes(), MAX_DEPTH - 1);
    match decoded {
        Ok(body) => Ok(envelope(from, to, body)),
        Err(error) => Err(reason(body, error)),
    }
}

/// The body of a message, and its sender and receiver, ready to be encoded.
#[must_use]
pub fn body<S>(envelope: Envelope<S>) -> (NodeId, NodeId, impl Encode + use<S>)
where
    S: StateMachine<Command: Encode, Outcome: Encode>,
{
    let Envelope {
        from,
        to,
        term,
        message,
    } = envelope;
    (from, to, Body::<S::Command, S::Outcome>::of(term, message))
}

/// Roughly how many bytes a message takes as JSON.
#[must_use]
pub fn size<S: StateMachine<Outcome: Encode>>(message: &Message<S>) -> usize {
    /// What the fields of fixed size take.
    const FRAME: usize = 192;
    let entry = |entry: &Entry<S::Command>| match &entry.payload {
        Payload::Blank => 8,
        Payload::Command(command) => 24 + S::size(command),
    };
    FRAME
        + match message {
            Message::Append { entries, .. } => entries.iter().map(entry).sum(),
            // Base64 makes four characters of three bytes.
            Message::SnapshotChunk { data, .. } => data.len().div_ceil(3) * 4,
            Message::Forward { command, .. } => S::size(command),
            Message::ForwardReply { reply, .. } => match reply {
                Forwarded::Applied(outcome) => json::encode(outcome).len(),
                Forwarded::Refused => 0,
            },
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
            | Message::Appended { .. }
            | Message::AppendRejected { .. }
            | Message::ChunkReceived { .. }
            | Message::Round { .. }
            | Message::RoundReply { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. }
            | Message::Outdated => 0,
        }
}

json::record! {
    /// Every body, as it stands in JSON. `C` is a command and `O` what one came to.
    enum Body<C, O> tagged "type" {
        PreVote as "pre_vote" { v: Version, term: u64, round: Pair, last: Pair },
        PreVoteReply as "pre_vote_reply" { v: Version, term: u64, round: Pair, granted: bool },
        Vote as "vote" { v: Version, term: u64, last: Pair },
        VoteReply as "vote_reply" { v: Version, term: u64, granted: bool },
        Append as "append" {
            v: Version, term: u64, session: Pair, prev: Pair, entries: Vec<Item<C>>, commit: u64,
        },
        Appended as "appended" { v: Version, term: u64, session: Pair, life: u64, matched: u64 },
        AppendRejected as "append_rejected" {
            v: Version, term: u64, session: Pair, life: u64, prev: Pair, hint: Pair,
        },
        SnapshotChunk as "snapshot_chunk" {
            v: Version, term: u64, session: Pair, snapshot: Name, offset: u64, data: Base64,
        },
        ChunkReceived as "chunk_received" {
            v: Version, term: u64, session: Pair, snapshot: Name, asked: u64, offset: u64,
        },
        Round as "round" { v: Version, term: u64, id: Pair, commit: Pair },
        RoundReply as "round_reply" { v: Version, term: u64, id: Pair },
        ReadIndex as "read_index" { v: Version, term: u64, id: Pair },
        ReadIndexReply as "read_index_reply" { v: Version, term: u64, id: Pair, commit: Pair },
        Forward as "forward" { v: Version, term: u64, id: Pair, command: C },
        ForwardReply as "forward_reply" { v: Version, term: u64, id: Pair, reply: Fate<O> },
        Outdated as "outdated" { v: Version, term: u64 },
    }
}

json::record! {
    /// What became of a forward. That it was refused is said, never left to what is not there.
    enum Fate<O> tagged "type" {
        Applied as "applied" { outcome: O },
        Refused as "refused",
    }
}

json::record! {
    /// What tells a message that is not understood from one that makes no sense.
    struct Header { kind: String as "type", v: u64 }
}

/// A name of two parts, as an array.
#[derive(Clone, Copy)]
struct Pair(u64, u64);

/// A snapshot's name: its last entry's term and index, its length and its checksum.
#[derive(Clone, Copy)]
struct Name(SnapshotId);

/// Bytes, as a string of base64.
struct Base64(Arc<[u8]>);

/// The current version; no other can be read.
struct Version;

/// An entry without its index.
struct Item<C> {
    term: u64,
    /// A blank entry has none.
    command: Option<Arc<C>>,
}

fn reason(body: Raw<'_>, error: Error) -> Unreadable {
    // It may be too deep for a message, and is a message nevertheless.
    match json::decode_with_depth::<Header>(body.as_str().as_bytes(), json::MAX_DEPTH) {
        Ok(Header { v, .. }) if v != VERSION => Unreadable::Version(v),
        Ok(Header { kind, .. }) if !KINDS.contains(&kind.as_str()) => Unreadable::Kind,
        Ok(_) => Unreadable::Malformed(error),
        Err(_) => Unreadable::Foreign,
    }
}

impl<C, O> Body<C, O> {
    fn of<S: StateMachine<Command = C, Outcome = O>>(term: Term, message: Message<S>) -> Self {
        let (v, Term(term)) = (Version, term);
        match message {
            Message::PreVote { round, last } => Self::PreVote {
                v,
                term,
                round: round.into(),
                last: last.into(),
            },
            Message::PreVoteReply { round, granted } => Self::PreVoteReply {
                v,
                term,
                round: round.into(),
                granted,
            },
            Message::Vote { last } => Self::Vote {
                v,
                term,
                last: last.into(),
            },
            Message::VoteReply { granted } => Self::VoteReply { v, term, granted },
            Message::Append {
                session,
                prev,
                entries,
                commit,
            } => Self::Append {
                v,
                term,
                session: session.into(),
                prev: prev.into(),
                entries: entries.into_iter().map(Item::of).collect(),
                commit: commit.0,
            },
            Message::Appended {
                session,
                life,
                matched,
            } => Self::Appended {
                v,
                term,
                session: session.into(),
                life: life.0,
                matched: matched.0,
            },
            Message::AppendRejected {
                session,
                life,
                prev,
                hint,
            } => Self::AppendRejected {
                v,
                term,
                session: session.into(),
                life: life.0,
                prev: prev.into(),
                hint: hint.into(),
            },
            Message::SnapshotChunk {
                session,
                snapshot,
                offset,
                data,
            } => Self::SnapshotChunk {
                v,
                term,
                session: session.into(),
                snapshot: Name(snapshot),
                offset,
                data: Base64(data),
            },
            Message::ChunkReceived {
                session,
                snapshot,
                asked,
                offset,
            } => Self::ChunkReceived {
                v,
                term,
                session: session.into(),
                snapshot: Name(snapshot),
                asked,
                offset,
            },
            Message::Round { id, commit } => Self::Round {
                v,
                term,
                id: id.into(),
                commit: commit.into(),
            },
            Message::RoundReply { id } => Self::RoundReply {
                v,
                term,
                id: id.into(),
            },
            Message::ReadIndex { id } => Self::ReadIndex {
                v,
                term,
                id: id.into(),
            },
            Message::ReadIndexReply { id, commit } => Self::ReadIndexReply {
                v,
                term,
                id: id.into(),
                commit: commit.into(),
            },
            Message::Forward { id, command } => Self::Forward {
                v,
                term,
                id: id.into(),
                command,
            },
            Message::ForwardReply { id, reply } => Self::ForwardReply {
                v,
                term,
                id: id.into(),
                reply: match reply {
                    Forwarded::Applied(outcome) => Fate::Applied { outcome },
                    Forwarded::Refused => Fate::Refused,
                },
            },
            Message::Outdated => Self::Outdated { v, term },
        }
    }
}

fn envelope<S: StateMachine>(
    from: NodeId,
    to: NodeId,
    body: Body<S::Command, S::Outcome>,
) -> Envelope<S> {
    let (term, message) = match body {
        Body::PreVote {
            v: Version,
            term,
            round,
            last,
        } => {
            let (round, last) = (round.into(), last.into());
            (term, Message::PreVote { round, last })
        }
        Body::PreVoteReply {
            v: Version,
            term,
            round,
            granted,
        } => {
            let round = round.into();
            (term, Message::PreVoteReply { round, granted })
        }
        Body::Vote {
            v: Version,
            term,
            last,
        } => (term, Message::Vote { last: last.into() }),
        Body::VoteReply {
            v: Version,
            term,
            granted,
        } => (term, Message::VoteReply { granted }),
        Body::Append {
            v: Version,
            term,
            session,
            prev,
            entries,
            commit,
        } => {
            let prev = EntryId::from(prev);
            let message = Message::Append {
                session: session.into(),
                prev,
                entries: entries_after(prev, entries),
                commit: Index(commit),
            };
            (term, message)
        }
        Body::Appended {
            v: Version,
            term,
            session,
            life,
            matched,
        } => {
            let message = Message::Appended {
                session: session.into(),
                life: Incarnation(life),
                matched: Index(matched),
            };
            (term, message)
        }
        Body::AppendRejected {
            v: Version,
            term,
            session,
            life,
            prev,
            hint,
        } => {
            let message = Message::AppendRejected {
                session: session.into(),
                life: Incarnation(life),
                prev: prev.into(),
                hint: hint.into(),
            };
            (term, message)
        }
        Body::SnapshotChunk {
            v: Version,
            term,
            session,
            snapshot: Name(snapshot),
            offset,
            data: Base64(data),
        } => {
            let session = session.into();
            let message = Message::SnapshotChunk {
                session,
                snapshot,
                offset,
                data,
            };
            (term, message)
        }
        Body::ChunkReceived {
            v: Version,
            term,
            session,
            snapshot: Name(snapshot),
            asked,
            offset,
        } => {
            let session = session.into();
            let message = Message::ChunkReceived {
                session,
                snapshot,
                asked,
                offset,
            };
            (term, message)
        }
        Body::Round {
            v: Version,
            term,
            id,
            commit,
        } => {
            let (id, commit) = (id.into(), commit.into());
            (term, Message::Round { id, commit })
        }
        Body::RoundReply {
            v: Version,
            term,
            id,
        } => (term, Message::RoundReply { id: id.into() }),
        Body::ReadIndex {
            v: Version,
            term,
            id,
        } => (term, Message::ReadIndex { id: id.into() }),
        Body::ReadIndexReply {
            v: Version,
            term,
            id,
            commit,
        } => {
            let (id, commit) = (id.into(), commit.into());
            (term, Message::ReadIndexReply { id, commit })
        }
        Body::Forward {
            v: Version,
            term,
            id,
            command,
        } => {
            let id = id.into();
            (term, Message::Forward { id, command })
        }
        Body::ForwardReply {
            v: Version,
            term,
            id,
            reply,
        } => {
            let reply = match reply {
                Fate::Applied { outcome } => Forwarded::Applied(outcome),
                Fate::Refused => Forwarded::Refused,
            };
            let id = id.into();
            (term, Message::ForwardReply { id, reply })
        }
        Body::Outdated { v: Version, term } => (term, Message::Outdated),
    };
    Envelope {
        from,
        to,
        term: Term(term),
        message,
    }
}

/// Numbers entries from the one after `prev` on.
fn entries_after<C>(prev: EntryId, items: Vec<Item<C>>) -> Vec<Entry<C>> {
    let named = |(offset, item): (usize, Item<C>)| {
        let id = EntryId {
            term: Term(item.term),
            // The core refuses indexes long before they get here, so this one is refused too.
            index: Index(prev.index.0.saturating_add(1 + offset as u64)),
        };
        let payload = item.command.map_or(Payload::Blank, Payload::Command);
        Entry { id, payload }
    };
    items.into_iter().enumerate().map(named).collect()
}

impl<C> Item<C> {
    fn of(entry: Entry<C>) -> Self {
        Self {
            term: entry.id.term.0,
            command: match entry.payload {
                Payload::Blank => None,
                Payload::Command(command) => Some(command),
            },
        }
    }
}

impl<'a, C: Decode<'a>> Decode<'a> for Item<C> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        reader.begin_array()?;
        if !reader.next_element()? {
            return Err(reader.custom_error("an entry has a term"));
        }
        let term = u64::decode(reader)?;
        let mut command = None;
        if reader.next_element()? {
            command = Some(Arc::decode(reader)?);
            if reader.next_element()? {
                return Err(reader.custom_error("an entry has a term and at most one command"));
            }
        }
        Ok(Self { term, command })
    }
}

impl<C: Encode> Encode for Item<C> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match &self.command {
            None => (self.term,).encode(writer),
            Some(command) => (self.term, command).encode(writer),
        }
    }
}

impl Decode<'_> for Version {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match u64::decode(reader)? {
            VERSION => Ok(Self),
            other => Err(reader.custom_error(format!("version {other} is not known"))),
        }
    }
}

impl Encode for Version {
    fn encode(&self, writer: &mut Writer<'_>) {
        VERSION.encode(writer);
    }
}

impl<'a> Decode<'a> for Pair {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        <(u64, u64)>::decode(reader).map(|(one, other)| Self(one, other))
    }
}

impl Encode for Pair {
    fn encode(&self, writer: &mut Writer<'_>) {
        (self.0, self.1).encode(writer);
    }
}

impl<'a> Decode<'a> for Name {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let (term, index, length, crc) = <(u64, u64, u64, u32)>::decode(reader)?;
        let last = Pair(term, index).into();
        Ok(Self(SnapshotId { last, length, crc }))
    }
}

impl Encode for Name {
    fn encode(&self, writer: &mut Writer<'_>) {
        let SnapshotId { last, length, crc } = self.0;
        (last.term.0, last.index.0, length, crc).encode(writer);
    }
}

impl<'a> Decode<'a> for Base64 {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let text = Cow::<str>::decode(reader)?;
        match base64::decode(text.as_bytes()) {
            Ok(bytes) => Ok(Self(bytes.into())),
            Err(error) => Err(reader.custom_error(format!("the data is not base64: {error}"))),
        }
    }
}

impl Encode for Base64 {
    fn encode(&self, writer: &mut Writer<'_>) {
        base64::encode(&self.0).encode(writer);
    }
}

impl From<EntryId> for Pair {
    fn from(id: EntryId) -> Self {
        Self(id.term.0, id.index.0)
    }
}

impl From<Pair> for EntryId {
    fn from(Pair(term, index): Pair) -> Self {
        Self {
            term: Term(term),
            index: Index(index),
        }
    }
}

impl From<RequestId> for Pair {
    fn from(id: RequestId) -> Self {
        Self(id.incarnation.0, id.counter)
    }
}

impl From<Pair> for RequestId {
    fn from(Pair(incarnation, counter): Pair) -> Self {
        Self {
            incarnation: Incarnation(incarnation),
            counter,
        }
    }
}

#[cfg(test)]
mod tests;
