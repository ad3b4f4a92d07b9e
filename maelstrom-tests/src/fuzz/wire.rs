//! Messages between nodes.

use json::{Encode, Raw};
use raft::kv::Kv;
use raft::sessions::Sessions;
use raft::wire::{self, KINDS, Unreadable};
use raft_core::Envelope;
use rand::Rng;

use super::mutate::sample;
use super::target::{Seen, Target, demand};

pub(super) const TARGET: Target = Target {
    name: "wire",
    about: "messages between nodes, damaged: rejected, or written as they are read",
    classes: &[
        KINDS,
        &[
            "not JSON",
            "another version",
            "another kind",
            "malformed",
            "foreign",
        ],
    ],
    draw,
    check,
};

type Message = Envelope<Sessions<Kv>>;

/// At least one message of each kind.
const SAMPLES: [&str; 28] = [
    r#"{"type":"pre_vote","v":1,"from":0,"to":1,"term":3,"round":[4711,9],"last":[2,17]}"#,
    r#"{"type":"pre_vote_reply","v":1,"from":0,"to":1,"term":3,"round":[4711,9],"granted":true}"#,
    r#"{"type":"vote","v":1,"from":0,"to":1,"term":3,"last":[2,17]}"#,
    r#"{"type":"vote_reply","v":1,"from":0,"to":1,"term":3,"granted":false}"#,
    r#"{"type":"append","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"prev":[2,17],"entries":[],"commit":17}"#,
    r#"{"type":"append","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"prev":[2,17],"entries":[[2],[3,{"type":"write","key":[1,{"a":null}],"value":-1.5e-3}]],"commit":17}"#,
    r#"{"type":"append","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"prev":[0,0],"entries":[[3,[7,2,2,{"type":"delete","key":"k"}]]],"commit":0}"#,
    r#"{"type":"forward_reply","v":1,"from":0,"to":1,"term":3,"id":[9,1],"outcome":{"type":"deleted"}}"#,
    r#"{"type":"append","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"prev":[0,0],"entries":[[3,{"type":"cas","key":"k","from":1,"to":{"b":[]},"create_if_not_exists":true}]],"commit":0}"#,
    r#"{"type":"appended","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"life":8,"matched":19}"#,
    r#"{"type":"append_rejected","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"life":8,"prev":[2,17],"hint":[1,12]}"#,
    r#"{"type":"snapshot_chunk","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"snapshot":[2,17,500,99],"offset":3,"data":"Zm9v"}"#,
    r#"{"type":"chunk_received","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"snapshot":[2,17,500,99],"asked":3,"offset":6,"broken":false}"#,
    r#"{"type":"round","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"commit":[2,17]}"#,
    r#"{"type":"round_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9]}"#,
    r#"{"type":"read_index","v":1,"from":0,"to":1,"term":3,"id":[4711,9]}"#,
    r#"{"type":"read_index_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"commit":[2,17]}"#,
    r#"{"type":"forward","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"command":{"type":"write","key":1,"value":"\u00e4"}}"#,
    r#"{"type":"forward_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"outcome":{"type":"written"}}"#,
    r#"{"type":"forward_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"outcome":{"type":"mismatch","found":[7]}}"#,
    r#"{"type":"forward","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"command":[7,3,2,{"type":"write","key":1,"value":2}]}"#,
    r#"{"type":"append","v":1,"from":0,"to":1,"term":3,"session":[4711,9],"prev":[2,17],"entries":[[3,[]],[3,[7]]],"commit":17}"#,
    r#"{"type":"forward_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"outcome":[7]}"#,
    r#"{"type":"forward_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"outcome":null}"#,
    r#"{"type":"outdated","v":1,"from":0,"to":1,"term":3}"#,
    r#"{"type":"vote","v":1,"from":0,"to":1,"term":3,"last":[2,17],"transfer":true}"#,
    r#"{"type":"timeout_now","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"last":[2,17]}"#,
    r#"{"type":"timeout_now_reply","v":1,"from":0,"to":1,"term":3,"id":[4711,9],"campaigns":false}"#,
];

fn draw(rng: &mut Rng) -> Vec<u8> {
    sample(rng, &SAMPLES)
}

fn check(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    laws(input, seen, wire::body)
}

/// Checks a writer.
fn laws<B: Encode>(input: &[u8], seen: &mut Seen, body: fn(Message) -> B) -> Result<(), String> {
    let read = decode(input);
    seen.note(match &read {
        None => "not JSON",
        Some(Err(Unreadable::Version(_))) => "another version",
        Some(Err(Unreadable::Kind)) => "another kind",
        Some(Err(Unreadable::Malformed(_))) => "malformed",
        Some(Err(Unreadable::Foreign)) => "foreign",
        Some(Ok(read)) => read.message.kind(),
    });
    let Some(Ok(read)) = read else {
        return Ok(());
    };
    let text = json::encode(&body(read.clone()));
    let again = decode(&text);
    demand(again.as_ref() == Some(&Ok(read.clone())), || {
        let text = text.escape_ascii();
        format!("{read:?} is written as {text} and read as {again:?}")
    })
}

/// Reads a body; `None` if it is not JSON.
fn decode(text: &[u8]) -> Option<Result<Message, Unreadable>> {
    let body: Raw = json::decode_with_depth(text, wire::MAX_DEPTH - 1).ok()?;
    Some(wire::decode(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_writer_breaks_a_law() {
        for sample in SAMPLES {
            let another = |mut message: Message| {
                message.term.0 += 1;
                wire::body(message)
            };
            let error = laws(sample.as_bytes(), &mut Seen::default(), another);
            let error = error.expect_err(sample);
            assert!(error.contains(" and read as Some(Ok("), "{error}");
        }
    }
}
