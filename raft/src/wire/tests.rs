use std::collections::BTreeSet;
use std::sync::Arc;

use json::{Value, value};
use raft_core::{
    AppendRejected, Appended, ChunkReceived, Forward, ForwardReply, Membership, Outdated, PreVote,
    PreVoteReply, ReadIndex, ReadIndexReply, Round, RoundReply, SnapshotChunk, TimeoutNow,
    TimeoutNowReply, Vote, VoteReply,
};

use super::*;

/// A machine with commands of several forms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Machine;

json::record! {
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    enum Command tagged "type" {
        Write as "write" { key: Value, value: Arc<Value> },
        Cas as "cas" { key: Value, from: Value, to: Arc<Value>, create_if_not_exists: bool },
    }
}

json::record! {
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    enum Outcome tagged "type" {
        Mismatch as "mismatch" { found: Arc<Value> },
    }
}

impl StateMachine for Machine {
    type Command = Command;
    type Outcome = Outcome;
    type Query = ();
    type Answer = ();

    fn apply(&mut self, _: &Command) -> Outcome {
        unreachable!("no command is applied")
    }

    fn answer(&self, (): &()) {}

    fn size(command: &Command) -> usize {
        json::encode(command).len()
    }
}

fn encoded(envelope: Envelope<Machine>) -> String {
    String::from_utf8(json::encode(&body(envelope))).unwrap()
}

fn decoded(text: &str) -> Result<Envelope<Machine>, Unreadable> {
    let body = json::decode_with_depth(text.as_bytes(), json::MAX_DEPTH).unwrap();
    decode(body)
}

fn request(incarnation: u64, counter: u64) -> RequestId {
    RequestId {
        incarnation: Incarnation(incarnation),
        counter,
    }
}

fn entry(term: u64, index: u64) -> EntryId {
    EntryId {
        term: Term(term),
        index: Index(index),
    }
}

const SNAPSHOT: SnapshotId = SnapshotId {
    last: EntryId {
        term: Term(2),
        index: Index(17),
    },
    length: 500,
    crc: 99,
};

/// A message of each kind in term 3, with its body as the first version of this format wrote it.
fn recorded() -> Vec<(Message<Machine>, &'static str)> {
    let (key, to) = (value!(1), Arc::new(value!({"a": [null]})));
    let write = Command::Write {
        key: key.clone(),
        value: to.clone(),
    };
    let cas = Command::Cas {
        key,
        from: value!("x"),
        to,
        create_if_not_exists: true,
    };
    let found = Outcome::Mismatch {
        found: Arc::new(value!(2.5)),
    };
    let entries = vec![
        Entry {
            id: entry(3, 18),
            payload: Payload::Blank,
        },
        Entry {
            id: entry(3, 19),
            payload: Payload::Command(Arc::new(write.clone())),
        },
        Entry {
            id: entry(3, 20),
            payload: Payload::Command(Arc::new(cas)),
        },
        Entry {
            id: entry(3, 21),
            payload: Payload::Membership(Arc::new(Membership::of([NodeId(4)]))),
        },
    ];
    vec![
        (
            Message::PreVote(PreVote {
                round: request(4711, 9),
                last: entry(2, 17),
            }),
            r#"{"type":"pre_vote","v":1,"from":0,"to":1,"term":3,"round":[4711,9],"last":[2,17]}"#,
        ),
        (
            Message::PreVoteReply(PreVoteReply {
                round: request(4711, 9),
                granted: false,
            }),
            r#"{"type":"pre_vote_reply","v":1,"from":0,"to":1,"term":3,"round":[4711,9],"granted":false}"#,
        ),
        (
            Message::Vote(Vote {
                last: entry(2, 17),
                transfer: true,
            }),
            r#"{"type":"vote","v":1,"from":0,"to":1,"term":3,"last":[2,17],"transfer":true}"#,
        ),
        (
            Message::VoteReply(VoteReply { granted: true }),
            r#"{"type":"vote_reply","v":1,"from":0,"to":1,"term":3,"granted":true}"#,
        ),
        (
            Message::Append(Append {
                stream: request(4711, 9),
                prev: entry(2, 17),
                entries,
                commit: Index(16),
            }),
            r#"{"type":"append","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"prev":[2,17],"entries":[[3],[3,{"type":"write","key":1,"value":{"a":[null]}}],[3,{"type":"cas","key":1,"from":"x","to":{"a":[null]},"create_if_not_exists":true}],[3,null,{"next":5,"members":[[4,"voter",""]]}]],"commit":16}"#,
        ),
        (
            Message::Appended(Appended {
                stream: request(4711, 9),
                incarnation: Incarnation(u64::MAX),
                matched: Index(20),
            }),
            r#"{"type":"appended","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"life":18446744073709551615,"matched":20}"#,
        ),
        (
            Message::AppendRejected(AppendRejected {
                stream: request(4711, 9),
                incarnation: Incarnation(5),
                prev: entry(2, 17),
                hint: entry(1, 12),
            }),
            r#"{"type":"append_rejected","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"life":5,"prev":[2,17],"hint":[1,12]}"#,
        ),
        (
            Message::SnapshotChunk(SnapshotChunk {
                stream: request(4711, 9),
                snapshot: SNAPSHOT,
                offset: 30,
                data: Arc::from(*b"foo"),
            }),
            r#"{"type":"snapshot_chunk","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"snapshot":[2,17,500,99],"offset":30,"data":"Zm9v"}"#,
        ),
        (
            Message::ChunkReceived(ChunkReceived {
                stream: request(4711, 9),
                snapshot: SNAPSHOT,
                asked: 33,
                offset: 30,
                broken: false,
            }),
            r#"{"type":"chunk_received","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"snapshot":[2,17,500,99],"asked":33,"offset":30,"broken":false}"#,
        ),
        (
            Message::Round(Round {
                id: request(4711, 9),
                commit: entry(2, 17),
            }),
            r#"{"type":"round","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"commit":[2,17]}"#,
        ),
        (
            Message::RoundReply(RoundReply {
                id: request(4711, 9),
            }),
            r#"{"type":"round_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9]}"#,
        ),
        (
            Message::ReadIndex(ReadIndex {
                id: request(4711, 9),
            }),
            r#"{"type":"read_index","v":1,"from":0,"to":1,"term":3,"id":[4711,9]}"#,
        ),
        (
            Message::ReadIndexReply(ReadIndexReply {
                id: request(4711, 9),
                commit: entry(2, 17),
            }),
            r#"{"type":"read_index_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"commit":[2,17]}"#,
        ),
        (
            Message::Forward(Forward {
                id: request(4711, 9),
                command: write.into(),
            }),
            r#"{"type":"forward","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"command":{"type":"write","key":1,"value":{"a":[null]}}}"#,
        ),
        (
            Message::ForwardReply(ForwardReply {
                id: request(4711, 9),
                outcome: found,
            }),
            r#"{"type":"forward_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"outcome":{"type":"mismatch","found":2.5}}"#,
        ),
        (
            Message::Outdated(Outdated),
            r#"{"type":"outdated","v":1,"from":0,"to":1,"term":3}"#,
        ),
        (
            Message::TimeoutNow(TimeoutNow {
                id: request(4711, 9),
                last: entry(2, 17),
            }),
            r#"{"type":"timeout_now","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"last":[2,17]}"#,
        ),
        (
            Message::TimeoutNowReply(TimeoutNowReply {
                id: request(4711, 9),
                campaigns: true,
            }),
            r#"{"type":"timeout_now_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"campaigns":true}"#,
        ),
    ]
}

#[test]
fn recorded_lines_are_read_and_written_unchanged() {
    let mut kinds = BTreeSet::new();
    for (message, text) in recorded() {
        kinds.insert(message.kind());
        assert!(
            size(&message, |outcome| json::encode(outcome).len()) + 64 > text.len(),
            "{text}"
        );
        let envelope = Envelope {
            from: NodeId(0),
            to: NodeId(1),
            term: Term(3),
            message,
        };
        assert_eq!(encoded(envelope.clone()), text);
        assert_eq!(decoded(text), Ok(envelope));
    }
    assert_eq!(kinds, KINDS.iter().copied().collect());
}

#[test]
fn unknown_fields_are_ignored() {
    let text =
        r#"{"new":{"deep":[1]},"type":"vote_reply","to":1,"term":3,"granted":true,"v":1,"from":0}"#;
    let message = decoded(text).unwrap().message;
    assert_eq!(message, Message::VoteReply(VoteReply { granted: true }));
}

#[test]
fn vote_of_a_node_without_transfers_is_read() {
    let text = r#"{"type":"vote","v":1,"from":0,"to":1,"term":3,"last":[2,17]}"#;
    let (last, transfer) = (entry(2, 17), false);
    let message = decoded(text).unwrap().message;
    assert_eq!(message, Message::Vote(Vote { last, transfer }));
}

#[test]
fn unknown_messages_are_not_called_malformed() {
    let unknown_version = r#"{"type":"outdated","v":2,"term":3}"#;
    assert_eq!(decoded(unknown_version), Err(Unreadable::Version(2)));
    let new_kind_of_a_new_version = r#"{"type":"gossip","v":2}"#;
    assert_eq!(
        decoded(new_kind_of_a_new_version),
        Err(Unreadable::Version(2))
    );
    let unknown_kind = r#"{"type":"gossip","v":1,"from":0,"to":1,"term":3}"#;
    assert_eq!(decoded(unknown_kind), Err(Unreadable::Kind));
}

#[test]
fn malformed_messages_are_rejected() {
    for malformed in [
        r#"{"type":"outdated","v":1}"#,
        r#"{"type":"outdated","v":1,"to":1,"term":1}"#,
        r#"{"type":"outdated","v":1,"from":0,"term":1}"#,
        r#"{"type":"outdated","v":1,"from":0,"to":1,"term":-1}"#,
        r#"{"type":"outdated","v":1,"from":0,"to":1,"term":1,"term":1}"#,
        r#"{"type":"vote","v":1,"from":0,"to":1,"term":1,"last":[1]}"#,
        r#"{"type":"vote","v":1,"from":0,"to":1,"term":1,"last":[1,2,3]}"#,
        r#"{"type":"append","v":1,"from":0,"to":1,"term":1,"session":[1,1],"prev":[0,0],"entries":[[]],"commit":0}"#,
        r#"{"type":"append","v":1,"from":0,"to":1,"term":1,"session":[1,1],"prev":[0,0],"entries":[[1,2]],"commit":0}"#,
        r#"{"type":"append","v":1,"from":0,"to":1,"term":1,"session":[1,1],"prev":[0,0],"entries":[[1,null]],"commit":0}"#,
        r#"{"type":"append","v":1,"from":0,"to":1,"term":1,"session":[1,1],"prev":[0,0],"entries":[[1,null,{"next":1}]],"commit":0}"#,
        r#"{"type":"forward_reply","v":1,"from":0,"to":1,"term":1,"id":[1,1],"reply":{"type":"denied"}}"#,
        r#"{"type":"snapshot_chunk","v":1,"from":0,"to":1,"term":1,"session":[1,1],"snapshot":[1,1,4294967296,4294967296],"offset":0,"data":""}"#,
        r#"{"type":"snapshot_chunk","v":1,"from":0,"to":1,"term":1,"session":[1,1],"snapshot":[1,1,9,9],"offset":0,"data":"Zg"}"#,
    ] {
        let result = decoded(malformed);
        assert!(
            matches!(result, Err(Unreadable::Malformed(_))),
            "{malformed}: {result:?}"
        );
    }
}

#[test]
fn other_bodies_are_foreign() {
    for foreign in [
        "[]",
        r#"{"type":"outdated","term":1}"#,
        r#"{"type":"read","msg_id":1,"key":1}"#,
    ] {
        assert_eq!(decoded(foreign), Err(Unreadable::Foreign), "{foreign}");
    }
}

#[test]
fn depth_is_limited() {
    let message = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"type":"outdated","v":1,"from":0,"to":1,"term":1,"x":{open}{close}}}"#)
    };
    assert!(decoded(&message(MAX_DEPTH - 2)).is_ok());
    let too_deep = decoded(&message(MAX_DEPTH - 1));
    assert!(
        matches!(too_deep, Err(Unreadable::Malformed(_))),
        "{too_deep:?}"
    );
}
