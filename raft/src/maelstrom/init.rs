//! Before `init`: waits for it, and keeps the lines that arrive earlier.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::mem;
use std::sync::Arc;

use crate::front_end::{DropReason, Output, Replies, ReplyTo};
use crate::host::Limit;
use crate::lines::{Lines, RawLine};
use crate::node::Member;
use crate::node::address::MAX_NAME;
use crate::requests::{ErrorCode, Invalid, Line, Request, RequestContent};
use crate::stdio::clipped;
use crate::wire;

/// The most lines that wait for `init`. When they are too many, the oldest messages of peers are
/// dropped; if there are none, requests are refused.
pub(crate) const EARLY: Limit = Limit {
    items: 1_024,
    bytes: 1 << 20,
};

/// The content of `init`, and the lines before it.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) member: Member,
    /// The position of this node in `node_ids`.
    pub(crate) position: usize,
    pub(crate) reply_to: ReplyTo,
    pub(crate) early: Early,
}

/// Reads lines until a valid `init`. `None` if the input ends earlier.
pub(crate) fn wait<R: Read>(
    lines: &mut Lines<R>,
    output: &Output,
    stdout: &Arc<Replies>,
) -> io::Result<Option<Init>> {
    let early = Early::default();
    let mut before = BeforeInit {
        output,
        stdout,
        early,
    };
    let init = read_until(lines, output, |line| before.line(line))?;
    if init.is_none() {
        before.early.refuse(output);
    }
    Ok(init)
}

/// Passes lines on until one gives a result. `None` if the input ends earlier.
pub(super) fn read_until<R: Read, T>(
    lines: &mut Lines<R>,
    output: &Output,
    mut pass: impl FnMut(&[u8]) -> Option<T>,
) -> io::Result<Option<T>> {
    while let Some(line) = lines.next()? {
        let found = match line {
            RawLine::Whole(line) => pass(line),
            RawLine::TooLong(length) => {
                let text = format_args!("{length} bytes; the limit is {}", wire::MAX_LINE);
                output.drop_line(DropReason::TooLong, text);
                None
            }
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The state before `init`.
struct BeforeInit<'a> {
    output: &'a Output,
    stdout: &'a Arc<Replies>,
    early: Early,
}

impl BeforeInit<'_> {
    /// Handles a line. Returns the content if it is a valid `init`.
    fn line(&mut self, line: &[u8]) -> Option<Init> {
        let Line { src, dest, body } = open(line, self.output)?;
        // The name of this node is not known yet, but no name is this long.
        if dest.len() > MAX_NAME {
            self.output.drop_line(
                DropReason::Misrouted,
                format_args!(
                    "its dest is {:?}, longer than {MAX_NAME} bytes",
                    clipped(&dest)
                ),
            );
            return None;
        }
        let from_client = is_client(&src);
        match Request::parse(body, line.len()) {
            Ok(request) => {
                let reply_to = ReplyTo::new(self.stdout, &src, &dest, &request);
                if let RequestContent::Init { node_id, node_ids } = request.content {
                    return self.init(reply_to, &node_id, node_ids);
                }
                self.keep(line, from_client.then_some(reply_to));
            }
            // Only after init is it known whether the sender is a peer.
            Err(_) if !from_client => self.keep(line, None),
            Err(Invalid::Reply) => self
                .output
                .drop_line(DropReason::Reply, format_args!("from {src:?}")),
            Err(Invalid::Answered(error)) => {
                self.output
                    .answer_invalid(self.stdout, src.into(), dest.into(), error)
            }
        }
        None
    }

    fn init(&mut self, reply_to: ReplyTo, node_id: &str, node_ids: Vec<String>) -> Option<Init> {
        let known = is_client(&reply_to.src) || node_ids.iter().any(|id| **id == *reply_to.src);
        if !known {
            let text = format!(
                "init from {:?}, which is neither a client nor a node",
                clipped(&reply_to.src)
            );
            self.output.drop_line(DropReason::UnknownSender, text);
            return None;
        }
        let position = node_ids.iter().position(|id| id == node_id);
        let position = position.unwrap_or(node_ids.len());
        match Member::of_names(node_id, node_ids) {
            Ok(member) => Some(Init {
                member,
                position,
                reply_to,
                early: mem::take(&mut self.early),
            }),
            Err(text) => {
                let result = Err((ErrorCode::MalformedRequest, text));
                self.output.answer([(reply_to, result)]);
                None
            }
        }
    }

    /// Keeps a line if there is room, which dropping the oldest messages of peers may make.
    fn keep(&mut self, line: &[u8], reply_to: Option<ReplyTo>) {
        while !self.early.has_room(line.len()) {
            if self.early.drop_oldest_message() {
                self.output.drop_line(
                    DropReason::Early,
                    "the oldest message of a peer, to make room",
                );
            } else if let Some(reply_to) = reply_to {
                let text =
                    "not initialised yet, and the queue of early requests is full".to_owned();
                let result = Err((ErrorCode::TemporarilyUnavailable, text));
                return self.output.answer([(reply_to, result)]);
            } else {
                return self
                    .output
                    .drop_line(DropReason::Early, "a message of a peer: the queue is full");
            }
        }
        self.early.push(line.to_vec(), reply_to);
    }
}

/// Parses a line without its body. Drops one that is none.
pub(crate) fn open<'a>(line: &'a [u8], output: &Output) -> Option<Line<'a, json::Raw<'a>>> {
    json::decode_with_depth(line, json::MAX_DEPTH)
        .map_err(|error| output.drop_line(DropReason::BadLine, error))
        .ok()
}

/// Whether a name is a client's: in Maelstrom these begin with a `c`.
pub(crate) fn is_client(src: &str) -> bool {
    src.starts_with('c') && src.len() <= MAX_NAME
}

/// The lines that wait for `init`.
#[derive(Debug, Default)]
pub(crate) struct Early {
    lines: VecDeque<Held>,
    bytes: usize,
}

/// A line that waits.
#[derive(Debug)]
struct Held {
    line: Vec<u8>,
    /// Where the reply goes, if the line is a client's request.
    reply_to: Option<ReplyTo>,
}

impl Early {
    /// The lines in the order of their arrival.
    pub(crate) fn into_lines(self) -> impl Iterator<Item = Vec<u8>> {
        self.lines.into_iter().map(|held| held.line)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.lines.len() < EARLY.items && self.bytes + bytes <= EARLY.bytes
    }

    pub(crate) fn push(&mut self, line: Vec<u8>, reply_to: Option<ReplyTo>) {
        self.bytes += line.len();
        self.lines.push_back(Held { line, reply_to });
    }

    /// Returns whether there was one.
    fn drop_oldest_message(&mut self) -> bool {
        let oldest = self.lines.iter().position(|held| held.reply_to.is_none());
        let dropped = oldest.and_then(|oldest| self.lines.remove(oldest));
        self.bytes -= dropped.as_ref().map_or(0, |held| held.line.len());
        dropped.is_some()
    }

    /// Refuses all requests, since no `init` arrived.
    pub(crate) fn refuse(self, output: &Output) {
        let reply_tos = self.lines.into_iter().filter_map(|held| held.reply_to);
        output.answer(reply_tos.map(|reply_to| {
            let text = "the node was never initialised".to_owned();
            (reply_to, Err((ErrorCode::TemporarilyUnavailable, text)))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maelstrom::tests::output;

    /// What was said, as lines.
    fn written((output, stdout): &(Output, Arc<Replies>)) -> Vec<String> {
        let mut text = Vec::new();
        stdout.0.close();
        output.write(&stdout.0, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        text.lines().map(Into::into).collect()
    }

    const INIT: &str = r#"{"src":"c9","dest":"n2","body":{"type":"init","msg_id":1,"node_id":"n2","node_ids":["n1","n2"]}}"#;

    fn message(number: usize) -> String {
        format!(r#"{{"src":"n1","dest":"n2","body":{{"number":{number}}}}}"#)
    }

    fn request(number: usize) -> String {
        format!(r#"{{"src":"c1","dest":"n2","body":{{"type":"read","msg_id":{number},"key":1}}}}"#)
    }

    fn init(lines: &[String], (output, stdout): &(Output, Arc<Replies>)) -> Option<Init> {
        let text = lines.join("\n");
        wait(&mut Lines::new(text.as_bytes(), 1 << 20), output, stdout).unwrap()
    }

    fn kept(init: Option<Init>) -> Vec<String> {
        let lines = init.unwrap().early.into_lines();
        lines.map(|l| String::from_utf8(l).unwrap()).collect()
    }

    #[test]
    fn early_lines_are_kept_in_order() {
        let output = output();
        let early = [message(1), request(2), message(3)];
        let lines = [&early[..], &[INIT.into()]].concat();
        let init = init(&lines, &output).unwrap();
        assert_eq!(init.member.name, "n2");
        assert_eq!(init.position, 1);
        assert_eq!((&*init.reply_to.src, init.reply_to.msg_id), ("c9", 1));
        assert_eq!(kept(Some(init)), early);
        assert_eq!(written(&output), [""; 0]);
    }

    #[test]
    fn excess_requests_are_refused() {
        let output = output();
        let mut lines: Vec<String> = (0..EARLY.items + 2).map(request).collect();
        lines.push(INIT.into());
        assert_eq!(kept(init(&lines, &output)), lines[..EARLY.items]);
        let refused = written(&output);
        assert_eq!(refused.len(), 2);
        for (number, line) in (EARLY.items..).zip(refused) {
            let expected = format!(
                r#"{{"src":"n2","dest":"c1","body":{{"type":"error","in_reply_to":{number},"code":11,"#
            );
            assert!(line.starts_with(&expected), "{line}");
        }
    }

    #[test]
    fn oldest_messages_make_room() {
        let output = output();
        let mut lines: Vec<String> = (0..EARLY.items).map(message).collect();
        lines.push(request(1));
        lines.push(message(EARLY.items));
        lines.push(INIT.into());
        assert_eq!(kept(init(&lines, &output)), lines[2..EARLY.items + 2]);
        assert_eq!(written(&output), [""; 0]);
    }

    #[test]
    fn size_of_early_lines_is_limited() {
        let output = output();
        let long = |number: usize| {
            let padding = "x".repeat(EARLY.bytes / 2);
            format!(r#"{{"src":"n1","dest":"n2","body":{{"number":{number},"x":"{padding}"}}}}"#)
        };
        let lines = [long(1), long(2), message(3), INIT.into()];
        assert_eq!(kept(init(&lines, &output)), lines[1..3]);
    }

    #[test]
    fn without_init_requests_are_refused() {
        let output = output();
        assert!(init(&[request(7), message(8)], &output).is_none());
        let lines = written(&output);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains(r#""in_reply_to":7,"code":11"#),
            "{lines:?}"
        );
    }

    #[test]
    fn invalid_init_is_answered_and_changes_nothing() {
        for (ids, reason) in [
            (r#"[]"#, "node_ids: there is no member"),
            (r#"["n1=h:1"]"#, r#"the name \"n1=h:1\" contains a ="#),
            (r#"["n2","n1","n2"]"#, r#"node_ids: \"n2\" occurs twice"#),
        ] {
            let output = output();
            let invalid = INIT.replace(r#"["n1","n2"]"#, ids);
            let init = init(&[invalid, INIT.into()], &output).unwrap();
            assert_eq!(init.member.name, "n2");
            let lines = written(&output);
            let expected = format!(r#""in_reply_to":1,"code":12,"text":"{reason}""#);
            assert!(
                lines.len() == 1 && lines[0].contains(&expected),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn long_names_are_dropped() {
        let output = output();
        let long = "n".repeat(MAX_NAME + 1);
        let client = "c".repeat(MAX_NAME + 1);
        let unknown = request(1).replace("read", "reed");
        let lines = [
            unknown.replace("n2", &long),
            unknown.replace("c1", &client),
            INIT.replace("n2", &long),
            INIT.replace("\"n1\"", &format!("\"{long}\"")),
            INIT.into(),
        ];
        assert_eq!(kept(init(&lines, &output)), lines[1..2]);
        let lines = written(&output);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("longer than 256 bytes"), "{lines:?}");
    }

    #[test]
    fn init_needs_a_known_sender() {
        let output = output();
        let from = |src: &str| INIT.replace("c9", src);
        assert!(init(&[from("x1")], &output).is_none());
        assert_eq!(init(&[from("n1")], &output).unwrap().member.name, "n2");
        assert_eq!(written(&output), [""; 0]);
    }
}
