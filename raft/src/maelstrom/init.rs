//! Before `init`: who this node is, and what came too early.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use super::body::{self, Code, Content, Refused, Request, clipped};
use super::lines::{Line, Lines};
use super::names::{MAX_NAME, Names};
use super::voice::{Asker, Discards, Reason, Voice};
use crate::host::Limit;

/// What may wait for `init`. Beyond it the oldest peers' messages are dropped, and if there are
/// none, requests are refused.
pub(crate) const EARLY: Limit = Limit {
    items: 1_024,
    bytes: 1 << 20,
};

/// What `init` says, and what came before it.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) names: Names,
    /// The node's position in `node_ids` as they were given.
    pub(crate) position: usize,
    pub(crate) asker: Asker,
    pub(crate) early: Early,
    pub(crate) discards: Discards,
}

/// Reads until the node is told who it is. Nothing, if the input ends before.
pub(crate) fn wait<R: Read>(lines: &mut Lines<R>, voice: &Voice) -> io::Result<Option<Init>> {
    let mut lobby = Lobby {
        voice,
        early: Early::default(),
        discards: Discards::default(),
    };
    while let Some(line) = lines.next()? {
        match line {
            Line::Whole(line) => {
                if let Some((names, position, asker)) = lobby.line(line) {
                    return Ok(Some(Init {
                        names,
                        position,
                        asker,
                        early: lobby.early,
                        discards: lobby.discards,
                    }));
                }
            }
            Line::TooLong(length) => {
                lobby.discard(Reason::TooLong, format_args!("{length} bytes"));
            }
        }
    }
    lobby.early.refuse(voice);
    Ok(None)
}

/// What there is before `init`.
struct Lobby<'a> {
    voice: &'a Voice,
    early: Early,
    discards: Discards,
}

impl Lobby<'_> {
    /// Takes a line. If it is a valid `init`: who this node is, its position, and who said so.
    fn line(&mut self, line: &[u8]) -> Option<(Names, usize, Asker)> {
        let body::Line { src, dest, body } = match open(line) {
            Ok(opened) => opened,
            Err(error) => {
                self.discard(Reason::BadLine, error);
                return None;
            }
        };
        // Nobody knows yet who this node is, but nobody is called that.
        if dest.len() > MAX_NAME {
            self.discard(
                Reason::Misrouted,
                format_args!("it is for {:?}", clipped(&dest)),
            );
            return None;
        }
        let from_client = is_client(&src);
        match Request::parse(body, line.len()) {
            Ok(request) => {
                let asker = asker(&src, &dest, &request);
                if let Content::Init { node_id, node_ids } = request.content {
                    return self.init(asker, &node_id, node_ids);
                }
                if from_client {
                    self.keep(line, Some(asker));
                } else {
                    self.keep(line, None);
                }
            }
            // Whether it comes from a node, and is a message between nodes, is known after init.
            Err(_) if !from_client => self.keep(line, None),
            Err(Refused::Reply) => self.discard(Reason::Reply, format_args!("from {src:?}")),
            Err(Refused::Failed(failure)) => self.voice.fail(src.into(), dest.into(), failure),
        }
        None
    }

    fn init(
        &mut self,
        asker: Asker,
        node_id: &str,
        node_ids: Vec<String>,
    ) -> Option<(Names, usize, Asker)> {
        let known = is_client(&asker.src) || node_ids.iter().any(|id| **id == *asker.src);
        if !known {
            let text = format!("init from {:?}", clipped(&asker.src));
            self.discard(Reason::UnknownSender, text);
            return None;
        }
        let position = node_ids.iter().position(|id| id == node_id);
        match Names::new(node_id, node_ids) {
            Ok(names) => Some((names, position?, asker)),
            Err(unfit) => {
                let result = Err((Code::MalformedRequest, unfit.to_string()));
                self.voice.answer([(asker, result)]);
                None
            }
        }
    }

    /// Keeps a line if there is room, or can be made by dropping the oldest of peers.
    fn keep(&mut self, line: &[u8], asker: Option<Asker>) {
        while !self.early.has_room(line.len()) {
            if self.early.drop_oldest_message() {
                self.discard(Reason::Early, "the oldest message");
            } else if let Some(asker) = asker {
                let text = "too much waits for this node's init".to_owned();
                let result = Err((Code::TemporarilyUnavailable, text));
                return self.voice.answer([(asker, result)]);
            } else {
                return self.discard(Reason::Early, "a message");
            }
        }
        self.early.push(line.to_vec(), asker);
    }

    fn discard(&mut self, reason: Reason, text: impl fmt::Display) {
        self.discards.note(self.voice, reason, text);
    }
}

/// Takes a line apart. Its body is looked at later, when it is known what it may be.
pub(crate) fn open(line: &[u8]) -> Result<body::Line<'_, json::Raw<'_>>, json::Error> {
    json::decode_with_depth(line, json::MAX_DEPTH)
}

/// Whether a name is that of a client: Maelstrom's begin with a `c`.
pub(crate) fn is_client(src: &str) -> bool {
    src.starts_with('c') && src.len() <= MAX_NAME
}

/// Who asked.
pub(crate) fn asker(src: &str, dest: &str, request: &Request) -> Asker {
    Asker {
        src: Arc::from(src),
        dest: Arc::from(dest),
        msg_id: request.msg_id,
        kind: request.kind,
        since: Instant::now(),
    }
}

/// Lines that wait for `init`.
#[derive(Debug, Default)]
pub(crate) struct Early {
    lines: VecDeque<Held>,
    bytes: usize,
}

/// A line that waits.
#[derive(Debug)]
struct Held {
    line: Vec<u8>,
    /// Who wants an answer, if it is a client's request.
    asker: Option<Asker>,
}

impl Early {
    /// The lines, in the order in which they came.
    pub(crate) fn into_lines(self) -> impl Iterator<Item = Vec<u8>> {
        self.lines.into_iter().map(|held| held.line)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.lines.len() < EARLY.items && self.bytes + bytes <= EARLY.bytes
    }

    fn push(&mut self, line: Vec<u8>, asker: Option<Asker>) {
        self.bytes += line.len();
        self.lines.push_back(Held { line, asker });
    }

    /// False if there is none.
    fn drop_oldest_message(&mut self) -> bool {
        let oldest = self.lines.iter().position(|held| held.asker.is_none());
        let dropped = oldest.and_then(|oldest| self.lines.remove(oldest));
        self.bytes -= dropped.as_ref().map_or(0, |held| held.line.len());
        dropped.is_some()
    }

    /// There will be no `init`.
    pub(crate) fn refuse(self, voice: &Voice) {
        let askers = self.lines.into_iter().filter_map(|held| held.asker);
        voice.answer(askers.map(|asker| {
            let text = "this node was never initialised".to_owned();
            (asker, Err((Code::TemporarilyUnavailable, text)))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maelstrom::telemetry;
    use crate::maelstrom::voice::Said;
    use crate::telemetry::log::{Level, Log};

    fn voice() -> Voice {
        Voice {
            outbox: Arc::default(),
            telemetry: Arc::new(telemetry()),
            log: Log::new(Level::Error),
        }
    }

    /// What was said, as lines.
    fn said(voice: &Voice) -> Vec<String> {
        let mut text = Vec::new();
        voice.outbox.close();
        let encode = |said: Said, buffer: &mut Vec<u8>| voice.encode(said, buffer);
        voice.outbox.write_to(&mut text, encode).unwrap();
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

    fn init(lines: &[String], voice: &Voice) -> Option<Init> {
        let text = lines.join("\n");
        wait(&mut Lines::new(text.as_bytes(), 1 << 20), voice).unwrap()
    }

    fn kept(init: Option<Init>) -> Vec<String> {
        let lines = init.unwrap().early.into_lines();
        lines.map(|l| String::from_utf8(l).unwrap()).collect()
    }

    #[test]
    fn what_comes_early_is_kept_in_order() {
        let voice = voice();
        let early = [message(1), request(2), message(3)];
        let lines = [&early[..], &[INIT.into()]].concat();
        let init = init(&lines, &voice).unwrap();
        assert_eq!(init.names.me(), "n2");
        assert_eq!(init.position, 1);
        assert_eq!((&*init.asker.src, init.asker.msg_id), ("c9", 1));
        assert_eq!(kept(Some(init)), early);
        assert_eq!(said(&voice), [""; 0]);
    }

    #[test]
    fn too_many_requests_are_refused() {
        let voice = voice();
        let mut lines: Vec<String> = (0..EARLY.items + 2).map(request).collect();
        lines.push(INIT.into());
        assert_eq!(kept(init(&lines, &voice)), lines[..EARLY.items]);
        let refused = said(&voice);
        assert_eq!(refused.len(), 2);
        for (number, line) in (EARLY.items..).zip(refused) {
            let expected = format!(
                r#"{{"src":"n2","dest":"c1","body":{{"type":"error","in_reply_to":{number},"code":11,"#
            );
            assert!(line.starts_with(&expected), "{line}");
        }
    }

    #[test]
    fn the_oldest_messages_make_room() {
        let voice = voice();
        let mut lines: Vec<String> = (0..EARLY.items).map(message).collect();
        lines.push(request(1));
        lines.push(message(EARLY.items));
        lines.push(INIT.into());
        assert_eq!(kept(init(&lines, &voice)), lines[2..EARLY.items + 2]);
        assert_eq!(said(&voice), [""; 0]);
    }

    #[test]
    fn bytes_count_too() {
        let voice = voice();
        let long = |number: usize| {
            let padding = "x".repeat(EARLY.bytes / 2);
            format!(r#"{{"src":"n1","dest":"n2","body":{{"number":{number},"x":"{padding}"}}}}"#)
        };
        let lines = [long(1), long(2), message(3), INIT.into()];
        assert_eq!(kept(init(&lines, &voice)), lines[1..3]);
    }

    #[test]
    fn without_init_what_waits_is_refused_at_the_end() {
        let voice = voice();
        assert!(init(&[request(7), message(8)], &voice).is_none());
        let said = said(&voice);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains(r#""in_reply_to":7,"code":11"#), "{said:?}");
    }

    #[test]
    fn an_unfit_init_is_answered_and_changes_nothing() {
        for (ids, reason) in [
            (r#"[]"#, "node_ids is empty"),
            (r#"["n1"]"#, r#"node_id \"n2\" is not among node_ids"#),
            (r#"["n2","n1","n2"]"#, r#"node_ids has \"n2\" twice"#),
        ] {
            let voice = voice();
            let unfit = INIT.replace(r#"["n1","n2"]"#, ids);
            let names = init(&[unfit, INIT.into()], &voice).unwrap().names;
            assert_eq!(names.me(), "n2");
            let said = said(&voice);
            let expected = format!(r#""in_reply_to":1,"code":12,"text":"{reason}""#);
            assert!(said.len() == 1 && said[0].contains(&expected), "{said:?}");
        }
    }

    #[test]
    fn nobody_has_a_very_long_name() {
        let voice = voice();
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
        assert_eq!(kept(init(&lines, &voice)), lines[1..2]);
        let said = said(&voice);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("longer than 256 bytes"), "{said:?}");
    }

    #[test]
    fn init_comes_from_somebody_who_is_known() {
        let voice = voice();
        let from = |src: &str| INIT.replace("c9", src);
        assert!(init(&[from("x1")], &voice).is_none());
        assert_eq!(init(&[from("n1")], &voice).unwrap().names.me(), "n2");
        assert_eq!(said(&voice), [""; 0]);
    }
}
