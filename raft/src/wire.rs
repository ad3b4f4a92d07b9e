//! The messages between nodes, as JSON.
//!
//! A message is the body of a line, whose `src` and `dest` name its sender and its receiver. The
//! body has the message's kind as its `type`, the version of this format as `v`, the ids of sender
//! and receiver, the sender's term, and the fields of the kind (see [`raft_core::Message`]). Ids and
//! not names say who is meant: a name may come back with another id.
//!
//! ```json
//! {"src":"n1","dest":"n2","body":{"type":"append","v":1,"from":0,"to":1,"term":3,
//!     "session":[4711,9],"prev":[2,17],"entries":[[3],[3,{"type":"write","key":1,"value":2}]],
//!     "commit":17}}
//! ```
//!
//! Composite ids are short arrays: an entry's id is `[term, index]`, a request's or a stream's id
//! is `[incarnation, counter]`. An entry is `[term]` if it is blank, `[term, command]`, or `[term,
//! null, members]`; its index is one more than that of the entry before it, and the first one follows `prev`. A
//! snapshot's id is `[term, index, length, checksum]`, the first two those of its last entry, and
//! its bytes are a string of base64.
//!
//! A receiver ignores unknown fields, and drops messages of an unknown kind or version. So a field
//! may be added that older nodes may ignore; any other change needs a new version.

use std::borrow::Cow;
use std::sync::Arc;

use json::{Decode, Encode, Error, Raw, Reader, Writer};
use raft_core::{
    Append, Entry, EntryId, Envelope, Incarnation, Index, Message, NodeId, Payload, RequestId,
    SnapshotId, StateMachine, Term,
};

use crate::members::Members;

/// The version of this format.
pub const VERSION: u64 = 1;

/// How deep the JSON of a line between nodes may nest. More than clients may send, so that no
/// client's request makes a message that a peer rejects.
pub const MAX_DEPTH: usize = 512;

/// How many bytes of a snapshot one message may carry: well below the longest line.
pub const MAX_CHUNK: usize = 16 << 20;

/// How long a line between nodes may be, in bytes: room for an Append of many large commands.
pub const MAX_LINE: usize = 64 << 20;

/// Why a body cannot be read as a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Another version.
    Version(u64),
    /// This version, but its `type` is none of [`KINDS`].
    Kind,
    /// A known kind with wrong fields.
    Malformed(Error),
    /// No `type` or no `v`: not a message between nodes.
    Foreign,
}

/// Reads the body of a message between two nodes.
///
/// # Errors
/// If the message must be dropped.
pub fn decode<'a, S>(body: Raw<'a>) -> Result<Envelope<S>, Unreadable>
where
    S: StateMachine<Command: Decode<'a> + Encode, Outcome: Decode<'a> + Encode>,
{
    // The body is one level inside of its line.
    let decoded = json::decode_with_depth(body.as_str().as_bytes(), MAX_DEPTH - 1);
    let decoded: Body<_, _> = decoded.map_err(|error| reason(body, error))?;
    decoded.envelope()
}

/// The body of a message, ready to be encoded.
#[must_use]
pub fn body<S>(envelope: Envelope<S>) -> impl Encode + use<S>
where
    S: StateMachine<Command: Encode, Outcome: Encode>,
{
    Body::of(envelope)
}

/// Roughly how many bytes a message takes, as JSON or in memory, whichever is more. `outcome` is the
/// size of an outcome.
#[must_use]
pub fn size<S: StateMachine>(
    message: &Message<S>,
    outcome: impl Fn(&S::Outcome) -> usize,
) -> usize {
    /// The fields of fixed size.
    const FRAME: usize = 192;
    let entry = |entry: &Entry<S::Command>| {
        let command = match &entry.payload {
            Payload::Blank => 0,
            Payload::Command(command) => S::size(command),
            Payload::Membership(membership) => membership.size(),
        };
        size_of::<Entry<S::Command>>() + command
    };
    FRAME
        + match message {
            Message::Append(append) => append.entries.iter().map(entry).sum(),
            // Base64 makes four characters of three bytes.
            Message::SnapshotChunk(chunk) => chunk.data.len().div_ceil(3) * 4,
            Message::Forward(forward) => S::size(&forward.command),
            Message::ForwardReply(reply) => outcome(&reply.outcome),
            Message::PreVote(_)
            | Message::PreVoteReply(_)
            | Message::Vote(_)
            | Message::VoteReply(_)
            | Message::Appended(_)
            | Message::AppendRejected(_)
            | Message::ChunkReceived(_)
            | Message::Round(_)
            | Message::RoundReply(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexReply(_)
            | Message::Outdated(_)
            | Message::TimeoutNow(_)
            | Message::TimeoutNowReply(_) => 0,
        }
}

/// From one table of all messages: [`KINDS`], the body of each kind as it stands in JSON, and how
/// bodies and messages become each other. A field has the name that it has in its message, or one
/// of its own in JSON (`as`), and the type that it has in JSON.
macro_rules! messages {
    ($($message:ident as $kind:literal {
        $($field:ident: $json:ty $(as $name:literal)? $(= $absent:literal)?),* $(,)?
    },)*) => {
        /// All values of `type`.
        pub const KINDS: &[&str] = &[$($kind),*];

        json::record! {
            /// The body of a message. `C` is a command and `O` its outcome.
            enum Body<C, O> tagged "type" {
                $($message as $kind {
                    v: u64,
                    from: u64,
                    to: u64,
                    term: u64,
                    $($field: $json $(as $name)? $(= $absent)?,)*
                },)*
            }
        }

        impl<C, O> Body<C, O> {
            fn of<S: StateMachine<Command = C, Outcome = O>>(envelope: Envelope<S>) -> Self {
                let Envelope { from: NodeId(from), to: NodeId(to), term: Term(term), .. } = envelope;
                match envelope.message {$(
                    Message::$message(raft_core::$message { $($field),* }) => Self::$message {
                        v: VERSION,
                        from,
                        to,
                        term,
                        $($field: $field.into(),)*
                    },
                )*}
            }

            fn envelope<S>(self) -> Result<Envelope<S>, Unreadable>
            where
                S: StateMachine<Command = C, Outcome = O>,
            {
                match self {$(
                    Self::$message { v, .. } if v != VERSION => Err(Unreadable::Version(v)),
                    Self::$message { v: _, from, to, term, $($field),* } => {
                        let mut message =
                            Message::$message(raft_core::$message { $($field: $field.into()),* });
                        if let Message::Append(append) = &mut message {
                            number(append);
                        }
                        let (from, to, term) = (NodeId(from), NodeId(to), Term(term));
                        Ok(Envelope { from, to, term, message })
                    }
                )*}
            }
        }
    };
}

messages! {
    PreVote as "pre_vote" { round: Pair, last: Pair },
    PreVoteReply as "pre_vote_reply" { round: Pair, granted: bool },
    Vote as "vote" { last: Pair, transfer: bool = false },
    VoteReply as "vote_reply" { granted: bool },
    Append as "append" {
        stream: Pair as "session",
        prev: Pair,
        entries: Entries<C>,
        commit: Number,
    },
    Appended as "appended" {
        stream: Pair as "session",
        incarnation: Number as "life",
        matched: Number,
    },
    AppendRejected as "append_rejected" {
        stream: Pair as "session",
        incarnation: Number as "life",
        prev: Pair,
        hint: Pair,
    },
    SnapshotChunk as "snapshot_chunk" {
        stream: Pair as "session",
        snapshot: Name,
        offset: u64,
        data: Base64,
    },
    ChunkReceived as "chunk_received" {
        stream: Pair as "session",
        snapshot: Name,
        asked: u64,
        offset: u64,
        broken: bool,
    },
    Round as "round" { id: Pair, commit: Pair },
    RoundReply as "round_reply" { id: Pair },
    ReadIndex as "read_index" { id: Pair },
    ReadIndexReply as "read_index_reply" { id: Pair, commit: Pair },
    Forward as "forward" { id: Pair, command: Arc<C> },
    ForwardReply as "forward_reply" { id: Pair, outcome: O },
    Outdated as "outdated" {},
    TimeoutNow as "timeout_now" { id: Pair, last: Pair },
    TimeoutNowReply as "timeout_now_reply" { id: Pair, campaigns: bool },
}

json::record! {
    /// Distinguishes a message that this node does not know from a malformed one.
    struct Header { kind: String as "type", v: u64 }
}

/// A field of a message in the form that it has in JSON.
struct Json<T>(T);

/// An index or an incarnation.
type Number = Json<u64>;

/// An entry's id or a request's id, as an array.
type Pair = Json<(u64, u64)>;

/// A snapshot's id: its last entry's term and index, its length and its checksum.
type Name = Json<(u64, u64, u64, u32)>;

/// Entries, one after the other.
type Entries<C> = Json<Vec<Item<C>>>;

/// Bytes, as a string of base64.
#[derive(Debug, PartialEq)]
pub(crate) struct Base64(pub(crate) Arc<[u8]>);

/// An entry without its index.
struct Item<C>(Entry<C>);

fn reason(body: Raw<'_>, error: Error) -> Unreadable {
    // Also of a body that is nested too deep for a message.
    match json::decode_with_depth::<Header>(body.as_str().as_bytes(), json::MAX_DEPTH) {
        Ok(Header { v, .. }) if v != VERSION => Unreadable::Version(v),
        Ok(Header { kind, .. }) if !KINDS.contains(&kind.as_str()) => Unreadable::Kind,
        Ok(_) => Unreadable::Malformed(error),
        Err(_) => Unreadable::Foreign,
    }
}

/// Numbers an Append's entries, from the one after `prev` on.
fn number<S: StateMachine>(append: &mut Append<S>) {
    let prev = append.prev.index.0;
    for (offset, entry) in (1..).zip(&mut append.entries) {
        // The core rejects indexes far below the largest number, so this one too.
        entry.id.index = Index(prev.saturating_add(offset));
    }
}

impl<'a, C: Decode<'a>> Decode<'a> for Item<C> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        if !reader.enter_array()? {
            return Err(reader.custom_error("an entry needs a term"));
        }
        let id = EntryId {
            term: Term(u64::decode(reader)?),
            index: Index(0),
        };
        let mut payload = Payload::Blank;
        if reader.more_elements()? {
            if let Some(command) = Option::decode(reader)? {
                payload = Payload::Command(command);
            } else if reader.more_elements()? {
                let Members(membership) = Members::decode(reader)?;
                payload = Payload::Membership(membership);
            }
            if matches!(payload, Payload::Blank) || reader.more_elements()? {
                return Err(reader.custom_error("an entry has a term and a command, or members"));
            }
        }
        Ok(Self(Entry { id, payload }))
    }
}

impl<C: Encode> Encode for Item<C> {
    fn encode(&self, writer: &mut Writer<'_>) {
        let Entry { id, payload } = &self.0;
        match payload {
            Payload::Blank => (id.term.0,).encode(writer),
            Payload::Command(command) => (id.term.0, command).encode(writer),
            Payload::Membership(membership) => {
                (id.term.0, None::<C>, Members(membership.clone())).encode(writer);
            }
        }
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Json<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        T::decode(reader).map(Self)
    }
}

impl<T: Encode> Encode for Json<T> {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.encode(writer);
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

/// How the fields of messages become JSON and back.
macro_rules! convert {
    ($($from:ty => $to:ty $([$param:ident])?: |$value:pat_param| $result:expr;)*) => {$(
        impl $(<$param>)? From<$from> for $to {
            fn from($value: $from) -> Self {
                $result
            }
        }
    )*};
}

convert! {
    Index => Number: |Index(index)| Self(index);
    Number => Index: |Json(index)| Self(index);
    Incarnation => Number: |Incarnation(number)| Self(number);
    Number => Incarnation: |Json(number)| Self(number);
    EntryId => Pair: |id| Self((id.term.0, id.index.0));
    Pair => EntryId: |Json((term, index))| Self { term: Term(term), index: Index(index) };
    RequestId => Pair: |id| Self((id.incarnation.0, id.counter));
    Pair => RequestId: |Json((number, counter))| Self {
        incarnation: Incarnation(number),
        counter,
    };
    SnapshotId => Name: |id| Self((id.last.term.0, id.last.index.0, id.length, id.crc));
    Name => SnapshotId: |Json((term, index, length, crc))| Self {
        last: Json((term, index)).into(),
        length,
        crc,
    };
    Arc<[u8]> => Base64: |bytes| Self(bytes);
    Base64 => Arc<[u8]>: |Base64(bytes)| bytes;
    Vec<Entry<C>> => Entries<C> [C]: |entries| Self(entries.into_iter().map(Item).collect());
    Entries<C> => Vec<Entry<C>> [C]: |Json(items)| items.into_iter().map(|item| item.0).collect();
}

#[cfg(test)]
mod tests;
