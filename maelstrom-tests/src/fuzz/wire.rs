//! What nodes say to each other.

use std::sync::Arc;

use json::{Raw, Value};
use raft::kv::{Command, Kv, Outcome};
use raft::wire::{self, KINDS, Unreadable};
use raft_core::{
    Append, AppendRejected, Appended, ChunkReceived, Entry, EntryId, Envelope, Forward,
    ForwardReply, Forwarded, Incarnation, Index, Message, NodeId, Outdated, Payload, PreVote,
    PreVoteReply, ReadIndex, ReadIndexReply, RequestId, Round, RoundReply, SnapshotChunk,
    SnapshotId, Term, Vote, VoteReply,
};
use rand::Rng;

use super::mutate::{EDGES, noise, spoil, string, value};
use super::{Seen, Target, demand};

/// Bodies of messages between nodes.
pub(super) struct Wire;

/// The sender and the receiver stand around the body.
const FROM: NodeId = NodeId(0);
const TO: NodeId = NodeId(1);

/// A class for each kind of message that is accepted, and for each way to be refused.
const CLASSES: [&str; KINDS.len() + 5] = {
    let mut classes = [""; KINDS.len() + 5];
    let mut at = 0;
    while at < KINDS.len() {
        classes[at] = KINDS[at];
        at += 1;
    }
    classes[at] = "no JSON";
    classes[at + 1] = "another version";
    classes[at + 2] = "another kind";
    classes[at + 3] = "malformed";
    classes[at + 4] = "foreign";
    classes
};

impl Target for Wire {
    fn name(&self) -> &'static str {
        "wire"
    }

    fn about(&self) -> &'static str {
        "messages between nodes: read as they were written; spoiled, they are refused, or written as they are read"
    }

    fn classes(&self) -> &'static [&'static str] {
        &CLASSES
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        if rng.chance(1, 32) {
            return noise(rng);
        }
        let sent = envelope(rng);
        let mut text = encode(&sent);
        let read = decode(&text);
        assert_eq!(read, Some(Ok(sent)), "this was sent");
        match rng.below(4) {
            0 => {}
            1 => spoil(rng, &mut text),
            _ => {
                let mut value = json::decode(&text).expect("it was encoded");
                for _ in 0..rng.range(1..=2) {
                    bend(rng, &mut value);
                }
                text = json::encode(&value);
            }
        }
        text
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        let read = match decode(input) {
            None => {
                seen.note("no JSON");
                return Ok(());
            }
            Some(Err(unreadable)) => {
                seen.note(match unreadable {
                    Unreadable::Version(_) => "another version",
                    Unreadable::Kind => "another kind",
                    Unreadable::Malformed(_) => "malformed",
                    Unreadable::Foreign => "foreign",
                });
                return Ok(());
            }
            Some(Ok(read)) => read,
        };
        seen.note(read.message.kind());
        let text = encode(&read);
        let again = decode(&text);
        demand(again.as_ref() == Some(&Ok(read.clone())), || {
            format!(
                "{read:?} is written as {} and read as {again:?}",
                text.escape_ascii()
            )
        })
    }
}

/// What is read of a body; `None` if it is not JSON.
fn decode(text: &[u8]) -> Option<Result<Envelope<Kv>, Unreadable>> {
    let body: Raw = json::decode_with_depth(text, wire::MAX_DEPTH - 1).ok()?;
    Some(wire::decode(FROM, TO, body))
}

fn encode(envelope: &Envelope<Kv>) -> Vec<u8> {
    let (_, _, body) = wire::body(envelope.clone());
    json::encode(&body)
}

/// Changes something anywhere in a value: its type, a number, a member's name, or whether it is
/// there.
fn bend(rng: &mut Rng, value: &mut Value) {
    let below = rng.chance(5, 6);
    match value {
        Value::Object(members) if below && !members.is_empty() => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = rng.choose(&names).expect("there are some");
            match rng.below(8) {
                0 => drop(members.remove(name)),
                1 => {
                    let member = members.remove(name).expect("it is there");
                    members.insert(string(rng), member);
                }
                2 => drop(members.insert(string(rng), Value::Null)),
                3 if members.contains_key("type") => {
                    let kind = *rng.choose(&KINDS).expect("there are some");
                    members.insert("type".to_owned(), Value::from(kind));
                }
                4 if members.contains_key("v") => {
                    members.insert("v".to_owned(), Value::from(rng.below(3)));
                }
                _ => bend(rng, members.get_mut(name).expect("it is there")),
            }
        }
        Value::Array(elements) if below && !elements.is_empty() => {
            let at = rng.below(elements.len() as u64) as usize;
            match rng.below(4) {
                0 => drop(elements.remove(at)),
                1 => elements.push(elements[at].clone()),
                _ => bend(rng, &mut elements[at]),
            }
        }
        _ => {
            *value = match rng.below(4) {
                0 => Value::Array(vec![value.take()]),
                1 => super::mutate::value(rng, 2),
                _ => {
                    let edge = rng.choose(&EDGES).expect("there are some").parse();
                    Value::Number(edge.expect("edges are numbers"))
                }
            };
        }
    }
}

/// Any number, small and large ones alike.
fn number(rng: &mut Rng) -> u64 {
    rng.next_u64() >> rng.below(64)
}

fn entry_id(rng: &mut Rng) -> EntryId {
    EntryId {
        term: Term(number(rng)),
        index: Index(number(rng)),
    }
}

fn request_id(rng: &mut Rng) -> RequestId {
    RequestId {
        incarnation: Incarnation(number(rng)),
        counter: number(rng),
    }
}

fn snapshot_id(rng: &mut Rng) -> SnapshotId {
    SnapshotId {
        last: entry_id(rng),
        length: number(rng),
        crc: rng.next_u64() as u32,
    }
}

fn command(rng: &mut Rng) -> Command {
    match rng.below(2) {
        0 => Command::Write {
            key: value(rng, 1),
            value: value(rng, 2).into(),
        },
        _ => Command::Cas {
            key: value(rng, 1),
            from: value(rng, 2),
            to: value(rng, 2).into(),
            create_if_not_exists: rng.chance(1, 2),
        },
    }
}

fn outcome(rng: &mut Rng) -> Outcome {
    match rng.below(4) {
        0 => Outcome::Written,
        1 => Outcome::Swapped,
        2 => Outcome::Missing,
        _ => Outcome::Mismatch {
            found: value(rng, 2).into(),
        },
    }
}

/// Entries that follow one.
fn entries(rng: &mut Rng, prev: EntryId) -> Vec<Entry<Command>> {
    let mut entries = Vec::new();
    for offset in 0..rng.below(4) {
        entries.push(Entry {
            id: EntryId {
                term: Term(number(rng)),
                index: Index(prev.index.0 + 1 + offset),
            },
            payload: match rng.chance(1, 3) {
                true => Payload::Blank,
                false => Payload::Command(Arc::new(command(rng))),
            },
        });
    }
    entries
}

/// A message of any kind.
fn envelope(rng: &mut Rng) -> Envelope<Kv> {
    let id = request_id(rng);
    let message = match rng.below(KINDS.len() as u64) {
        0 => Message::PreVote(PreVote {
            round: id,
            last: entry_id(rng),
        }),
        1 => Message::PreVoteReply(PreVoteReply {
            round: id,
            granted: rng.chance(1, 2),
        }),
        2 => Message::Vote(Vote {
            last: entry_id(rng),
        }),
        3 => Message::VoteReply(VoteReply {
            granted: rng.chance(1, 2),
        }),
        4 => {
            let prev = EntryId {
                term: Term(number(rng)),
                index: Index(number(rng) / 2),
            };
            Message::Append(Append {
                stream: id,
                prev,
                entries: entries(rng, prev),
                commit: Index(number(rng)),
            })
        }
        5 => Message::Appended(Appended {
            stream: id,
            incarnation: Incarnation(number(rng)),
            matched: Index(number(rng)),
        }),
        6 => Message::AppendRejected(AppendRejected {
            stream: id,
            incarnation: Incarnation(number(rng)),
            prev: entry_id(rng),
            hint: entry_id(rng),
        }),
        7 => Message::SnapshotChunk(SnapshotChunk {
            stream: id,
            snapshot: snapshot_id(rng),
            offset: number(rng),
            data: (0..rng.below(40)).map(|_| rng.next_u64() as u8).collect(),
        }),
        8 => Message::ChunkReceived(ChunkReceived {
            stream: id,
            snapshot: snapshot_id(rng),
            asked: number(rng),
            offset: number(rng),
        }),
        9 => Message::Round(Round {
            id,
            commit: entry_id(rng),
        }),
        10 => Message::RoundReply(RoundReply { id }),
        11 => Message::ReadIndex(ReadIndex { id }),
        12 => Message::ReadIndexReply(ReadIndexReply {
            id,
            commit: entry_id(rng),
        }),
        13 => Message::Forward(Forward {
            id,
            command: command(rng),
        }),
        14 => Message::ForwardReply(ForwardReply {
            id,
            reply: match rng.chance(1, 3) {
                true => Forwarded::Refused,
                false => Forwarded::Applied(outcome(rng)),
            },
        }),
        _ => Message::Outdated(Outdated),
    };
    Envelope {
        from: FROM,
        to: TO,
        term: Term(number(rng)),
        message,
    }
}
