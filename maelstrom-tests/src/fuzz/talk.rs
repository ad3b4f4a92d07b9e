//! The bench's own readers: what nodes print, histories, and command lines.

use std::ffi::OsString;

use json::Value;
use raft::flags::Parsed;
use rand::Rng;

use super::mutate::{EDGES, noise, spoil, string, value};
use super::{Seen, Target, demand};
use crate::bench::network::Node;
use crate::bench::options::{Options, TEST};
use crate::bench::protocol::{self, Dest};
use crate::history::{Call, ErrorCode, Event, History, Outcome, Process, Stage};

/// Lines that a node prints.
pub(super) struct Protocol;

/// The node that prints the line, in a cluster of so many.
const SOURCE: Node = Node(1);
const NODES: usize = 3;

impl Target for Protocol {
    fn name(&self) -> &'static str {
        "protocol"
    }

    fn about(&self) -> &'static str {
        "lines that nodes print to the bench: refused, or forwarded such that they read the same"
    }

    fn classes(&self) -> &'static [&'static str] {
        &[
            "refused",
            "to a node",
            "answer to init",
            "no answer to init",
            "answer",
            "no answer",
        ]
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        if rng.chance(1, 16) {
            return noise(rng);
        }
        let dest = *rng
            .choose(&[
                "n0",
                "n2",
                "n3",
                "c0",
                "c2",
                "c3",
                "c44",
                "c044",
                "lin-kv",
                "c18446744073709551615",
            ])
            .expect("there are some");
        let kind = *rng
            .choose(&[
                "read_ok", "write_ok", "cas_ok", "init_ok", "error", "append",
            ])
            .expect("there are some");
        let mut body = json::value!({"type": kind, "in_reply_to": rng.below(3)});
        let members = body.as_object_mut().expect("it is one");
        let mut add = |rng: &mut Rng, name: &str, here: bool, value: Value| {
            if here != rng.chance(1, 12) {
                members.insert(name.to_owned(), value);
            }
        };
        let code = Value::from(
            *rng.choose(&[0_i64, 11, 20, 22, -1])
                .expect("there are some"),
        );
        let (some, text, term) = (value(rng, 2), string(rng), rng.below(9));
        add(rng, "value", kind == "read_ok", some);
        add(rng, "code", kind == "error", code);
        add(rng, "text", kind == "error", Value::from(text));
        add(rng, "term", kind == "append", Value::from(term));
        let line = json::value!({"src": "n1", "dest": dest, "body": body});
        let mut line = json::encode(&line);
        if rng.chance(1, 2) {
            spoil(rng, &mut line);
        }
        line
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        let Ok(envelope) = protocol::envelope(input, SOURCE, NODES) else {
            seen.note("refused");
            return Ok(());
        };
        match envelope.dest {
            Dest::Server(to) => {
                seen.note("to a node");
                let body = protocol::body(&envelope).map_err(|why| format!("after all: {why}"))?;
                let line = protocol::forward(7, SOURCE, to, &envelope);
                let line = line.strip_suffix(b"\n").ok_or("a line without end")?;
                demand(!line.contains(&b'\n') || input.contains(&b'\n'), || {
                    "one line was made two".to_owned()
                })?;
                let again = protocol::envelope(line, SOURCE, NODES)?;
                demand(again == envelope, || {
                    format!("{envelope:?} is forwarded as {again:?}")
                })?;
                demand(protocol::body(&again).as_ref() == Ok(&body), || {
                    format!("{body:?} changes on the way")
                })
            }
            Dest::Init(_) => {
                seen.note(match protocol::init_ok(&envelope) {
                    Ok(()) => "answer to init",
                    Err(_) => "no answer to init",
                });
                Ok(())
            }
            Dest::Client(_) => {
                seen.note(match protocol::reply(&envelope) {
                    Ok(_) => "answer",
                    Err(_) => "no answer",
                });
                Ok(())
            }
        }
    }
}

/// Histories as files.
pub(super) struct Jsonl;

impl Target for Jsonl {
    fn name(&self) -> &'static str {
        "history"
    }

    fn about(&self) -> &'static str {
        "history.jsonl: refused, or every line is written as it was read"
    }

    fn classes(&self) -> &'static [&'static str] {
        &["accepted", "refused", "a line that is none", "impossible"]
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        if rng.chance(1, 32) {
            return noise(rng);
        }
        let mut text = Vec::new();
        let mut open: Vec<(u64, Value, Call)> = Vec::new();
        for time in 0..rng.below(8) {
            let ends = !open.is_empty() && rng.chance(1, 2);
            let event = match ends.then(|| open.pop()).flatten() {
                Some((process, key, call)) => Event {
                    process: Process(process),
                    time_ns: time,
                    key,
                    stage: Stage::Complete(outcome(rng, &call)),
                    call,
                },
                None => {
                    let (process, key, call) = (time, value(rng, 1), call(rng));
                    open.push((process, key.clone(), call.clone()));
                    Event {
                        process: Process(process),
                        time_ns: time,
                        key,
                        call,
                        stage: Stage::Invoke,
                    }
                }
            };
            text.extend(event.to_line().into_bytes());
            text.push(b'\n');
        }
        let read = History::read(text.as_slice());
        assert!(read.is_ok(), "a history: {:?}", read.err());
        if rng.chance(1, 2) {
            spoil(rng, &mut text);
        }
        text
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        let whole = History::read(input);
        seen.note(if whole.is_ok() { "accepted" } else { "refused" });
        let mut history = History::new();
        let mut said = Ok(());
        let text = input.strip_suffix(b"\n").unwrap_or(input);
        let lines = (!input.is_empty()).then(|| text.split(|byte| *byte == b'\n'));
        for (number, line) in (1..).zip(lines.into_iter().flatten()) {
            let Ok(event) = Event::from_line(line) else {
                seen.note("a line that is none");
                said = Err(number);
                break;
            };
            let text = event.to_line();
            let again = Event::from_line(text.as_bytes());
            demand(again.as_ref().ok() == Some(&event), || {
                format!("{event:?} is written as {text}")
            })?;
            if history.record(event).is_err() {
                seen.note("impossible");
                said = Err(number);
                break;
            }
        }
        let of_whole = whole.as_ref().map(|_| ()).map_err(|error| error.line);
        demand(of_whole == said, || {
            format!("the whole is {of_whole:?}, line by line it is {said:?}")
        })?;
        match whole {
            Ok(whole) => demand(whole.operations() == history.operations(), || {
                "the whole is another history".to_owned()
            }),
            Err(_) => Ok(()),
        }
    }
}

fn call(rng: &mut Rng) -> Call {
    match rng.below(3) {
        0 => Call::Read,
        1 => Call::Write(value(rng, 1)),
        _ => Call::Cas {
            from: value(rng, 1),
            to: value(rng, 1),
        },
    }
}

/// An outcome that the call may have.
fn outcome(rng: &mut Rng, call: &Call) -> Outcome {
    match rng.below(3) {
        0 => Outcome::Unknown(ErrorCode::TIMEOUT),
        1 => Outcome::Failed(ErrorCode(11)),
        _ => match call {
            Call::Read => Outcome::ReadOk(value(rng, 1)),
            Call::Write(_) | Call::Cas { .. } => Outcome::Done,
        },
    }
}

/// Command lines, an argument a line.
pub(super) struct Flags;

impl Target for Flags {
    fn name(&self) -> &'static str {
        "flags"
    }

    fn about(&self) -> &'static str {
        "command lines of the bench: refused in one line, or the same however the values are attached"
    }

    fn classes(&self) -> &'static [&'static str] {
        &["accepted", "refused", "help"]
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        let mut text = match rng.below(32) {
            0 => b"--help\n".to_vec(),
            _ => Vec::new(),
        };
        for _ in 0..rng.below(5) {
            let flag = rng.choose(TEST.flags).expect("there are some");
            text.extend(format!("--{}", flag.name).bytes());
            let value = match rng.below(12) {
                0 => string(rng),
                1 => "--help".to_owned(),
                2 => rng.choose(&EDGES).expect("there are some").to_string(),
                3 => "partition,kill".to_owned(),
                _ => rng.range(1..=9).to_string(),
            };
            if !flag.value.is_empty() {
                text.push(if rng.chance(1, 2) { b'=' } else { b'\n' });
                text.extend(value.bytes());
            }
            text.push(b'\n');
        }
        text.pop();
        if rng.chance(1, 4) {
            spoil(rng, &mut text);
        }
        text
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        let Ok(text) = str::from_utf8(input) else {
            return Ok(());
        };
        let arguments = || text.split('\n').filter(|word| !word.is_empty());
        let parsed = Options::parse(arguments().map(OsString::from));
        match parsed {
            Ok(Parsed::Print(_)) => seen.note("help"),
            Ok(Parsed::Run(options)) => {
                seen.note("accepted");
                let again = attached(arguments());
                let again = Options::parse(again.into_iter().map(OsString::from));
                let same = match again {
                    Ok(Parsed::Run(mut again)) => {
                        // It may have been drawn.
                        again.seed = options.seed;
                        format!("{again:?}") == format!("{options:?}")
                    }
                    Ok(Parsed::Print(_)) | Err(_) => false,
                };
                demand(same, || {
                    format!("with its values attached it is not {options:?}")
                })?;
            }
            Err(error) => {
                seen.note("refused");
                demand(!error.to_string().is_empty(), || {
                    "no word of why".to_owned()
                })?;
            }
        }
        Ok(())
    }
}

/// The same command line with each value attached to its flag.
fn attached<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            words.push(argument.to_owned());
            words.extend(arguments.map(str::to_owned));
            break;
        }
        let takes_value = TEST.flags.iter().any(|flag| {
            let short = flag.short.map(|letter| format!("-{letter}"));
            let is_it = argument.strip_prefix("--") == Some(flag.name)
                || short.as_deref() == Some(argument);
            is_it && !flag.value.is_empty()
        });
        words.push(match takes_value.then(|| arguments.next()).flatten() {
            Some(value) => format!("{argument}={value}"),
            None => argument.to_owned(),
        });
    }
    words
}
