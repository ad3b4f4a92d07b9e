//! The bench's reader of the lines that nodes print.

use rand::Rng;

use super::mutate::sample;
use super::target::{Seen, Target, demand};
use crate::bench::network::Node;
use crate::bench::protocol::{self, Dest, Envelope};

pub(super) const TARGET: Target = Target {
    name: "protocol",
    about: "lines that nodes print to the bench: rejected, or forwarded without a change",
    classes: &[&[
        "rejected",
        "to a node",
        "answer to init",
        "no answer to init",
        "answer",
        "no answer",
    ]],
    draw,
    check,
};

/// The node that prints the line, in a cluster of [`NODES`].
const SOURCE: Node = Node(1);
const NODES: usize = 3;

const SAMPLES: [&str; 11] = [
    r#"{"src":"n1","dest":"n0","body":{"type":"append","term":3,"entries":[[1],{"a":"b"}]}}"#,
    r#"{"src":"n1","dest":"n2","body":{}}"#,
    r#"{"src":"n1","dest":"n3","body":{"type":"vote"}}"#,
    r#"{"src":"n1","dest":"c0","body":{"type":"init_ok","in_reply_to":1}}"#,
    r#"{"src":"n1","dest":"c2","body":{"type":"read_ok","in_reply_to":1,"value":[1,{"a":null}]}}"#,
    r#"{"src":"n1","dest":"c2","body":{"type":"write_ok","in_reply_to":2}}"#,
    r#"{"src":"n1","dest":"c3","body":{"type":"cas_ok","in_reply_to":0}}"#,
    r#"{"src":"n1","dest":"c44","body":{"type":"error","in_reply_to":1,"code":11,"text":"later"}}"#,
    r#"{"src":"n1","dest":"c044","body":{"type":"error","in_reply_to":1,"code":-1}}"#,
    r#"{"src":"n1","dest":"c18446744073709551615","body":{"type":"read_ok","in_reply_to":1}}"#,
    r#"{"src":"n1","dest":"lin-kv","body":{"type":"read","key":0}}"#,
];

fn draw(rng: &mut Rng) -> Vec<u8> {
    sample(rng, &SAMPLES)
}

fn check(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    let body = |envelope: &Envelope<'_>| protocol::body(envelope).map(drop);
    laws(input, seen, body, protocol::forward)
}

/// Checks a reader of bodies and what forwards an envelope.
fn laws(
    input: &[u8],
    seen: &mut Seen,
    body: impl Fn(&Envelope<'_>) -> Result<(), String>,
    forward: impl Fn(u64, Node, Node, &Envelope<'_>) -> Vec<u8>,
) -> Result<(), String> {
    let Ok(envelope) = protocol::envelope(input, SOURCE, NODES) else {
        seen.note("rejected");
        return Ok(());
    };
    seen.note(match envelope.dest {
        Dest::Server(_) => "to a node",
        Dest::Init(_) if protocol::init_ok(&envelope).is_ok() => "answer to init",
        Dest::Init(_) => "no answer to init",
        Dest::Client(_) if protocol::reply(&envelope).is_ok() => "answer",
        Dest::Client(_) => "no answer",
    });
    let Dest::Server(to) = envelope.dest else {
        return Ok(());
    };
    body(&envelope)
        .map_err(|why| format!("the envelope is accepted, and its body rejected: {why}"))?;
    let line = forward(7, SOURCE, to, &envelope);
    let line = line
        .strip_suffix(b"\n")
        .ok_or("a forwarded line has no end")?;
    demand(!line.contains(&b'\n') || input.contains(&b'\n'), || {
        "one line became two".to_owned()
    })?;
    let again = protocol::envelope(line, SOURCE, NODES)?;
    demand(again == envelope, || {
        format!("{envelope:?} is forwarded as {again:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_forwarding_breaks_a_law() {
        const INPUT: &str = r#"{"src":"n1","dest":"n2","body":{"a":1}}"#;
        let laws = |body: Result<(), String>, forwarded: String| {
            let forward = |_, _, _, _: &Envelope<'_>| forwarded.clone().into_bytes();
            let seen = &mut Seen::default();
            laws(INPUT.as_bytes(), seen, |_| body.clone(), forward).expect_err(&forwarded)
        };
        for (forwarded, law) in [
            (INPUT.to_owned(), "a forwarded line has no end"),
            (INPUT.replace(':', ":\n") + "\n", "one line became two"),
            (INPUT.replace("n1", "n2") + "\n", "but n1 printed it"),
            (INPUT.replace('a', "b") + "\n", " is forwarded as "),
        ] {
            let error = laws(Ok(()), forwarded);
            assert!(error.contains(law), "{law}: {error}");
        }
        let error = laws(Err("why".to_owned()), String::new());
        assert_eq!(
            error,
            "the envelope is accepted, and its body rejected: why"
        );
    }
}
