//! Prints messages, records and entries in a few words each.

use std::fmt::Display;

use raft_core::{
    Append, AppendRejected, Appended, ChunkReceived, Entry, Envelope, Forward, ForwardReply,
    Forwarded, Message, NodeId, Outdated, Payload, PreVote, PreVoteReply, ReadIndex,
    ReadIndexReply, Record, RequestId, Round, RoundReply, SnapshotChunk, SnapshotId, StateMachine,
    Vote, VoteReply,
};

/// A kind of request between nodes. The requests of each kind are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// A round of pre-votes.
    PreVote,
    /// A read round of a leader.
    Round,
    /// A follower's request for the index that its reads must wait for.
    ReadIndex,
    /// A command that is sent to the leader.
    Forward,
}

/// An envelope on one line. `name` gives a request its name.
pub fn envelope<S>(
    envelope: &Envelope<S>,
    name: impl FnMut(Question, RequestId) -> String,
) -> String
where
    S: StateMachine<Command: Display, Outcome: Display>,
{
    let Envelope { from, to, term, .. } = envelope;
    let message = message(&envelope.message, name);
    format!("n{from}->n{to} t{term} {message}")
}

/// A message without the names of replication streams.
fn message<S>(message: &Message<S>, mut name: impl FnMut(Question, RequestId) -> String) -> String
where
    S: StateMachine<Command: Display, Outcome: Display>,
{
    let kind = message.kind();
    match message {
        Message::PreVote(PreVote { round, last }) => {
            format!("{kind} {}, last {last}", name(Question::PreVote, *round))
        }
        Message::PreVoteReply(PreVoteReply { round, granted }) => {
            let name = name(Question::PreVote, *round);
            format!("{kind} {name} {}", verdict(*granted))
        }
        Message::Vote(Vote { last }) => format!("{kind}, last {last}"),
        Message::VoteReply(VoteReply { granted }) => format!("{kind} {}", verdict(*granted)),
        Message::Append(Append {
            stream: _,
            prev,
            entries,
            commit,
        }) => {
            let colon = if entries.is_empty() { "" } else { ": " };
            let entries = self::entries(entries);
            format!("{kind} after {prev}, commit {commit}{colon}{entries}")
        }
        Message::Appended(Appended {
            stream: _,
            incarnation: _,
            matched,
        }) => format!("{kind} through {matched}"),
        Message::AppendRejected(AppendRejected {
            stream: _,
            incarnation: _,
            prev,
            hint,
        }) => format!("{kind} after {prev}, hint {hint}"),
        Message::SnapshotChunk(SnapshotChunk {
            stream: _,
            snapshot,
            offset,
            data,
        }) => {
            let end = offset + data.len() as u64;
            format!("{kind} of {}, {offset}..{end}", self::snapshot(snapshot))
        }
        Message::ChunkReceived(ChunkReceived {
            stream: _,
            snapshot,
            asked,
            offset,
        }) => {
            let snapshot = self::snapshot(snapshot);
            format!("{kind} of {snapshot}, asked {asked}, wants {offset}")
        }
        Message::Round(Round { id, commit }) => {
            format!("{kind} {}, commit {commit}", name(Question::Round, *id))
        }
        Message::RoundReply(RoundReply { id }) => format!("{kind} {}", name(Question::Round, *id)),
        Message::ReadIndex(ReadIndex { id }) => {
            format!("{kind} {}", name(Question::ReadIndex, *id))
        }
        Message::ReadIndexReply(ReadIndexReply { id, commit }) => {
            let name = name(Question::ReadIndex, *id);
            format!("{kind} {name}, commit {commit}")
        }
        Message::Forward(Forward { id, command }) => {
            format!("{kind} {} {command}", name(Question::Forward, *id))
        }
        Message::ForwardReply(ForwardReply { id, reply }) => {
            let name = name(Question::Forward, *id);
            match reply {
                Forwarded::Applied(outcome) => format!("{kind} {name} {outcome}"),
                Forwarded::Refused => format!("{kind} {name} refused"),
            }
        }
        Message::Outdated(Outdated) => kind.into(),
    }
}

/// Entries, each with its id and payload.
pub fn entries<'a, C: Display + 'a>(entries: impl IntoIterator<Item = &'a Entry<C>>) -> String {
    let entry = |entry: &Entry<C>| match &entry.payload {
        Payload::Blank => format!("{} blank", entry.id),
        Payload::Command(command) => format!("{} {command}", entry.id),
    };
    let entries: Vec<String> = entries.into_iter().map(entry).collect();
    entries.join(", ")
}

/// A record of the log.
pub fn record<C: Display>(record: &Record<C>) -> String {
    match record {
        Record::Ballot(ballot) => match ballot.vote() {
            Some(NodeId(vote)) => format!("term {} with its vote for n{vote}", ballot.term()),
            None => format!("term {}", ballot.term()),
        },
        Record::Entries(run) => entries(run),
        Record::Base(id) => format!("base {id}"),
    }
}

/// The id of a snapshot.
pub fn snapshot(id: &SnapshotId) -> String {
    format!("{} ({} bytes, {:08x})", id.last, id.length, id.crc)
}

fn verdict(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}
