//! What a run records while it goes on: the history, counts of operations and messages, the faults,
//! and the first messages for a picture of them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::results::{Fault, Messages, Recovery, Results, ms};
use crate::bench::error::BenchError;
use crate::bench::nemesis::Action;
use crate::bench::network::{Node, Source};
use crate::bench::options::Options;
use crate::history::{Event, History, Stage};

/// After this many operations, a run makes no more requests.
pub const OPERATIONS_MAX: usize = 5_000_000;

/// How many messages are kept for the picture of the first messages.
pub const ARROWS_MAX: usize = 100;

/// How many bytes of the history are written at once.
const LINES_BYTES_MAX: usize = 64 << 10;

/// A message in the picture of the first messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The sender.
    pub from: Source,
    /// The receiver.
    pub to: Source,
    /// When it was sent, since the run began.
    pub sent: Duration,
    /// When it was received; `None` if it was lost.
    pub received: Option<Duration>,
    /// The `type` of its body.
    pub kind: String,
}

/// The messages of a run.
#[derive(Debug, Default)]
pub struct MessageLog {
    /// Counts of messages.
    pub counts: Messages,
    /// The first [`ARROWS_MAX`] messages.
    pub arrows: Vec<Arrow>,
    /// Terms in which a node asked for votes; empty also if the nodes' messages carry no terms.
    pub election_terms: BTreeSet<u64>,
}

/// The record of a run.
#[derive(Debug)]
pub struct Record {
    /// The history so far.
    pub history: History,
    file: File,
    path: PathBuf,
    /// The events that are not in the file yet, as whole lines.
    lines: Vec<u8>,
    /// The messages since the first request. Empty until the run ends.
    pub messages: MessageLog,
    /// The results as far as they are known. How the cluster recovered is computed at the end.
    pub results: Results,
}

impl MessageLog {
    /// Keeps a message for the picture if it is among the first [`ARROWS_MAX`]. Returns its number,
    /// for [`received`](MessageLog::received).
    pub fn sent(&mut self, now: Duration, from: Source, to: Source, kind: &str) -> Option<usize> {
        if self.arrows.len() >= ARROWS_MAX {
            return None;
        }
        self.arrows.push(Arrow {
            from,
            to,
            sent: now,
            received: None,
            kind: kind.to_owned(),
        });
        Some(self.arrows.len() - 1)
    }

    /// Notes that a message has arrived; of a doubled one, the first copy counts.
    pub fn received(&mut self, number: usize, now: Duration) {
        self.arrows[number].received.get_or_insert(now);
    }
}

impl Record {
    /// An empty record, which writes its history into the store.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(store: &Path, options: &Options) -> Result<Record, BenchError> {
        let path = store.join("history.jsonl");
        let cannot = format!("cannot create {}", path.display());
        Ok(Record {
            history: History::new(),
            file: File::create(&path).map_err(BenchError::io(cannot))?,
            path,
            lines: Vec::new(),
            messages: MessageLog::default(),
            results: Results::broken(options, None),
        })
    }

    /// Adds an event to the history.
    ///
    /// # Errors
    /// It cannot be written, or contradicts the events before it.
    pub fn event(&mut self, event: Event) -> Result<(), BenchError> {
        self.lines.extend_from_slice(event.to_line().as_bytes());
        self.lines.push(b'\n');
        if self.lines.len() >= LINES_BYTES_MAX {
            self.flush()?;
        }
        if let Stage::Complete(outcome) = &event.stage {
            self.results.operations.count(&event.call, outcome);
        }
        let contradicts = |why| BenchError::new(format!("the history contradicts itself: {why}"));
        self.history.record(event).map_err(contradicts)
    }

    /// Whether the history has [`OPERATIONS_MAX`] operations.
    pub fn is_full(&self) -> bool {
        self.history.operations().len() >= OPERATIONS_MAX
    }

    /// Notes the faults that begin and end now. `side` are the nodes that can go on without the
    /// others from now on.
    pub fn faults(&mut self, now: Duration, actions: &[Action], side: Option<&BTreeSet<Node>>) {
        let names = side.map(|side| side.iter().map(Node::to_string).collect());
        let faults = &mut self.results.faults;
        for action in actions {
            let kind = action.kind().name();
            let is_over_at_once = match action {
                Action::Cut(..) | Action::Break(..) | Action::Pause(_) | Action::Kill(_) => false,
                Action::Transfer(_) | Action::Change(..) => true,
                Action::Heal | Action::Mend | Action::Resume(_) | Action::Restart(_) => {
                    let open = |fault: &&mut Fault| fault.kind == kind && fault.ended_ms.is_none();
                    for fault in faults.iter_mut().filter(open) {
                        fault.ended_ms = Some(ms(now));
                        fault.after = Some(Recovery {
                            side: names.clone(),
                            ..Recovery::default()
                        });
                    }
                    continue;
                }
            };
            faults.push(Fault {
                kind: kind.to_owned(),
                what: action.to_string(),
                began_ms: ms(now),
                ended_ms: is_over_at_once.then(|| ms(now)),
                side: names.clone(),
                ..Fault::default()
            });
        }
        for fault in faults {
            if side.is_some() && fault.side.is_none() && fault.ended_ms.is_none() {
                fault.majority_ms.get_or_insert(ms(now));
            }
        }
    }

    /// Writes the rest of the history to its file. The file holds whole lines, also if the bench is
    /// killed, so that it can be checked.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> Result<(), BenchError> {
        let cannot = format_args!("cannot write {}", self.path.display());
        let written = self.file.write_all(&self.lines);
        self.lines.clear();
        written.map_err(BenchError::io(cannot))
    }
}

/// A time as histories have it.
pub fn nanoseconds(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
