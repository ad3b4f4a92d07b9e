//! Before `init`: who this node is, and what came too early.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::Arc,
    time::Instant,
};

use super::{
    body::{self, Code, Content, Refused, Request},
    lines::{Line, Lines},
    names::Names,
    voice::{Asker, Discards, Reason, Voice},
};
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
    let mut early = Early::default();
    let mut discards = Discards::default();
    while let Some(line) = lines.next()? {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(length) => {
                discards.note(voice, Reason::TooLong, format_args!("{length} bytes"));
                continue;
            }
        };
        let body::Line { src, dest, body } = match open(line) {
            Ok(line) => line,
            Err(error) => {
                discards.note(voice, Reason::BadLine, error);
                continue;
            }
        };
        // What a peer says can't be told from nonsense yet.
        let is_client = is_client(&src);
        let request = match Request::parse(body, line.len()) {
            Ok(request) => request,
            Err(_) if !is_client => {
                early.keep_message(line, voice, &mut discards);
                continue;
            }
            Err(Refused::Reply) => {
                discards.note(voice, Reason::Reply, "nothing was asked");
                continue;
            }
            Err(Refused::Failed(failure)) => {
                voice.fail(src.into(), dest.into(), failure);
                continue;
            }
        };
        let asker = asker(&src, &dest, &request);
        match request.content {
            Content::Init { node_id, node_ids } => {
                let position = node_ids.iter().position(|id| *id == node_id);
                match (Names::new(&node_id, node_ids), position) {
                    (Ok(names), Some(position)) if is_client || names.id(&src).is_some() => {
                        return Ok(Some(Init {
                            names,
                            position,
                            asker,
                            early,
                            discards,
                        }));
                    }
                    (Err(unfit), _) if is_client => {
                        let code = Code::MalformedRequest;
                        voice.answer([(asker, Err((code, unfit.to_string())))]);
                    }
                    (Ok(_) | Err(_), _) => {
                        let text = format_args!("init from {src:?}");
                        discards.note(voice, Reason::UnknownSender, text);
                    }
                }
            }
            Content::Wish(_) if is_client => early.keep_request(line, asker, voice, &mut discards),
            // Whether its sender is a node is known after init.
            Content::Wish(_) => early.keep_message(line, voice, &mut discards),
        }
    }
    early.refuse(voice);
    Ok(None)
}

/// Takes a line apart. Its body is looked at later, when it is known what it may be.
pub(crate) fn open(line: &[u8]) -> Result<body::Line<'_, json::Raw<'_>>, json::Error> {
    json::decode_with_depth(line, json::MAX_DEPTH)
}

/// Whether a name is that of a client: Maelstrom's begin with a `c`.
pub(crate) fn is_client(src: &str) -> bool {
    src.starts_with('c')
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

    fn keep_message(&mut self, line: &[u8], voice: &Voice, discards: &mut Discards) {
        if !self.keep(line, None, voice, discards) {
            discards.note(voice, Reason::Early, "a message");
        }
    }

    fn keep_request(&mut self, line: &[u8], asker: Asker, voice: &Voice, discards: &mut Discards) {
        if !self.keep(line, Some(asker.clone()), voice, discards) {
            let text = "too much waits for this node's init".to_owned();
            voice.answer([(asker, Err((Code::TemporarilyUnavailable, text)))]);
        }
    }

    /// Keeps a line if there is room, or can be made by dropping the oldest of peers.
    fn keep(
        &mut self,
        line: &[u8],
        asker: Option<Asker>,
        voice: &Voice,
        discards: &mut Discards,
    ) -> bool {
        while self.lines.len() >= EARLY.items || self.bytes + line.len() > EARLY.bytes {
            let oldest = self.lines.iter().position(|held| held.asker.is_none());
            let Some(dropped) = oldest.and_then(|oldest| self.lines.remove(oldest)) else {
                return false;
            };
            self.bytes -= dropped.line.len();
            discards.note(voice, Reason::Early, "the oldest message");
        }
        self.bytes += line.len();
        let line = line.to_vec();
        self.lines.push_back(Held { line, asker });
        true
    }

    /// There will be no `init`.
    fn refuse(self, voice: &Voice) {
        let askers = self.lines.into_iter().filter_map(|held| held.asker);
        voice.answer(askers.map(|asker| {
            let text = "this node was never initialised".to_owned();
            (asker, Err((Code::TemporarilyUnavailable, text)))
        }));
    }
}
