//! The metrics endpoint, without its sockets.

use std::io::{self, Read};
use std::sync::LazyLock;

use metrics::Registry;
use metrics::http::{Limits, respond};
use raft::storage::crc32c;
use rand::Rng;

use super::mutate::{noise, pick, spoil};
use super::target::{Seen, Target, demand};

/// Low, so that short requests exceed it.
const HEAD_BYTES: usize = 150;

/// How much may be read beyond the limit: one piece.
const PIECE: usize = 1024;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let registry = Registry::new();
    registry.counter("requests_total", "Requests.").increment();
    registry
});

pub(super) const TARGET: Target = Target {
    name: "http",
    about: "requests to the metrics endpoint: one complete answer, however the request is cut, within the limits",
    classes: &[CLASSES],
    draw,
    check,
};

const CLASSES: &[&str] = &[
    "200",
    "400",
    "404",
    "405",
    "408",
    "431",
    "505",
    "silence",
    "broken stream",
];

fn draw(rng: &mut Rng) -> Vec<u8> {
    drawn(rng, &answer)
}

/// Draws an input, and checks the status that must answer it.
fn drawn(rng: &mut Rng, answer: Answer<'_>) -> Vec<u8> {
    if rng.chance(1, 16) {
        return noise(rng);
    }
    if rng.chance(1, 256) {
        return Vec::new();
    }
    let (mut text, status) = request(rng);
    if text.len() <= HEAD_BYTES {
        let answer = answer(&text, 1, End::Closed).expect("memory has no errors");
        assert!(
            answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()),
            "a request that must be answered {status}: {text:?} is answered {}",
            answer.escape_ascii()
        );
    }
    if rng.chance(1, 8) {
        text.resize(text.len() + rng.below(3_000) as usize, b'x');
    }
    if rng.chance(1, 2) {
        spoil(rng, &mut text);
    }
    text
}

fn check(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    laws(input, seen, &answer)
}

/// Checks the answers to an input.
fn laws(input: &[u8], seen: &mut Seen, answer: Answer<'_>) -> Result<(), String> {
    // How it is cut and how it ends depends on the input alone, so that it is the same each
    // time. An input without a byte has CRC 0, and ends like most.
    let chance = u64::from(crc32c(input)) + 3;
    let end = match chance % 8 {
        0 => End::Slow,
        1 => End::Broken,
        _ => End::Closed,
    };
    let at_once = answer(input, input.len(), end);
    for length in [1, 2 + chance as usize % 40, 3 + chance as usize % 500] {
        let in_pieces = answer(input, length, end);
        demand(in_pieces == at_once, || {
            format!("in pieces of {length} it is answered {in_pieces:?}, in one piece {at_once:?}")
        })?;
    }
    let answer = match at_once {
        Ok(answer) => answer,
        Err(io::ErrorKind::UnexpectedEof) => {
            seen.note("silence");
            return demand(input.is_empty(), || "no answer".to_owned());
        }
        Err(error) => {
            seen.note("broken stream");
            return demand(end == End::Broken && error == BROKEN, || {
                format!("the stream did not fail: {error}")
            });
        }
    };
    let text =
        str::from_utf8(&answer).map_err(|error| format!("the answer is not UTF-8: {error}"))?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or("the answer has no end of headers")?;
    let rest = head.strip_prefix("HTTP/1.1 ");
    let status = rest.and_then(|rest| rest.get(..3));
    let classes = CLASSES.iter();
    let status = classes.copied().find(|class| Some(*class) == status);
    seen.note(status.ok_or_else(|| format!("an unexpected status: {text}"))?);
    let mut lines = head.lines();
    let field = lines.find_map(|line| line.strip_prefix("Content-Length: "));
    let length = field.and_then(|length| length.parse::<usize>().ok());
    let is_head = input.starts_with(b"HEAD ") && body.is_empty();
    demand(is_head || length == Some(body.len()), || {
        format!("Content-Length is {length:?}: {text}")
    })
}

type Answer<'a> = &'a dyn Fn(&[u8], usize, End) -> Result<Vec<u8>, io::ErrorKind>;

/// What follows the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Slow,
    Broken,
}

const BROKEN: io::ErrorKind = io::ErrorKind::ConnectionReset;

/// A stream that returns an input in pieces.
struct Pieces<'a> {
    rest: &'a [u8],
    length: usize,
    end: End,
    given: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.length.min(self.rest.len()).min(buffer.len());
        if length == 0 {
            return match self.end {
                End::Closed => Ok(0),
                End::Slow => Err(io::ErrorKind::WouldBlock.into()),
                End::Broken => Err(BROKEN.into()),
            };
        }
        let (piece, rest) = self.rest.split_at(length);
        buffer[..length].copy_from_slice(piece);
        self.rest = rest;
        self.given += length;
        let given = self.given;
        assert!(given <= HEAD_BYTES + PIECE, "{given} bytes are read");
        Ok(length)
    }
}

/// The answer to an input that comes in pieces of this length.
fn answer(input: &[u8], length: usize, end: End) -> Result<Vec<u8>, io::ErrorKind> {
    let limits = Limits {
        head_bytes: HEAD_BYTES,
        ..Limits::default()
    };
    let mut stream = Pieces {
        rest: input,
        length,
        end,
        given: 0,
    };
    respond(&REGISTRY, &limits, &mut stream).map_err(|error| error.kind())
}

/// A request, and the status of its answer if it is short enough.
fn request(rng: &mut Rng) -> (Vec<u8>, u16) {
    let method = pick(rng, &["GET", "GET", "HEAD", "POST", "OPTIONS"]);
    let targets = [
        ("/metrics", true),
        ("/metrics?a=b", true),
        ("http://host/metrics", true),
        ("/", true),
        ("HTTP://host", true),
        ("/other", false),
        ("*", false),
    ];
    let (target, is_known) = pick(rng, &targets);
    let versions = ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1", "HTTP/1.7", "HTTP/2.0"];
    let version = pick(rng, &versions);
    let break_ = if rng.chance(3, 4) { "\r\n" } else { "\n" };
    let has_host = rng.chance(5, 6);
    let mut fields = Vec::from_iter(has_host.then_some("Host: somewhere:9100"));
    let others = [
        "Accept: */*",
        "X-Long: \t a: b ",
        "User-Agent: f\u{fc}zz",
        "A:",
    ];
    for _ in 0..rng.below(3) {
        fields.push(pick(rng, &others));
    }
    rng.shuffle(&mut fields);
    let first = format!("{method} {target} {version}");
    let text = [&[&*first], &*fields, &["", ""]].concat().join(break_);
    let status = match (version, method) {
        ("HTTP/2.0", _) => 505,
        ("HTTP/1.1" | "HTTP/1.7", _) if !has_host => 400,
        (_, "POST" | "OPTIONS") if is_known => 405,
        _ if is_known => 200,
        _ => 404,
    };
    (text.into_bytes(), status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_answer_breaks_a_law() {
        let pieces: Answer<'_> = &|_, length, _| Ok(vec![length as u8]);
        let error = laws(b"GET", &mut Seen::default(), pieces).expect_err("they differ");
        assert!(
            error.starts_with("in pieces of 1 it is answered Ok([1])"),
            "{error}"
        );
        let text = |text: &str| Ok(text.as_bytes().to_vec());
        for (answer, law) in [
            (Err(io::ErrorKind::UnexpectedEof), "no answer"),
            (Err(BROKEN), "the stream did not fail: "),
            (Ok(vec![0xff]), "the answer is not UTF-8: "),
            (
                text("HTTP/1.1 200 OK\r\n"),
                "the answer has no end of headers",
            ),
            (text("HTTP/1.1 299 OK\r\n\r\n"), "an unexpected status: "),
            (
                text("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"),
                "Content-Length is Some(3): ",
            ),
            (text("HTTP/1.1 200 OK\r\n\r\n"), "Content-Length is None: "),
        ] {
            let error = laws(b"GET", &mut Seen::default(), &|_, _, _| answer.clone());
            let error = error.expect_err(law);
            assert!(error.starts_with(law), "{law}: {error}");
        }
    }

    #[test]
    #[should_panic = "a request that must be answered "]
    fn wrong_status_breaks_a_law() {
        let wrong: Answer<'_> = &|_, _, _| Ok(b"HTTP/1.1 299 OK".to_vec());
        for seed in 0..100 {
            drawn(&mut Rng::seeded(seed), wrong);
        }
    }

    #[test]
    #[should_panic = "1175 bytes are read"]
    fn reading_beyond_the_limit_breaks_a_law() {
        let mut stream = Pieces {
            rest: &[b'x'; HEAD_BYTES + PIECE + 1],
            length: 1,
            end: End::Closed,
            given: 0,
        };
        let _ = stream.read_to_end(&mut Vec::new());
    }
}
