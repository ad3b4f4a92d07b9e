//! What a run writes down while it goes on: the history, and the first messages for a picture of them.

use super::network::{Fate, Node};
use super::router::Broken;
use super::store::Store;
use crate::history::{Event, History};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

/// When a run has so many operations, no more requests are made.
pub const OPERATIONS_MAX: usize = 5_000_000;

/// How many of the first messages between servers are kept for the picture.
pub const MESSAGES_MAX: usize = 400;

/// A message between servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub source: Node,
    /// To whom.
    pub dest: Node,
    /// The `type` of its body.
    pub kind: String,
    /// When it was sent.
    pub sent: Duration,
    /// When its time had come, and what became of it then. The first copy counts; none of a lost one.
    pub received: Option<(Duration, Fate)>,
}

/// The record of a run.
#[derive(Debug)]
pub struct Record {
    history: History,
    file: BufWriter<File>,
    messages: Vec<Message>,
}

impl Record {
    /// An empty record, which writes its history into the store.
    ///
    /// # Errors
    /// The file can't be made.
    pub fn create(store: &Store) -> io::Result<Record> {
        Ok(Record {
            history: History::new(),
            file: BufWriter::new(File::create(store.file("history.jsonl"))?),
            messages: Vec::new(),
        })
    }

    /// Adds an event to the history.
    ///
    /// # Errors
    /// It can't be written, or can't have happened.
    pub fn event(&mut self, event: Event) -> Result<(), Broken> {
        let mut line = event.to_line();
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(Broken::io("the history can't be written"))?;
        self.history
            .record(event)
            .map_err(|impossible| Broken::new(format!("the history makes no sense: {impossible}")))
    }

    /// Whether enough has happened.
    pub fn is_full(&self) -> bool {
        self.history.operations().len() >= OPERATIONS_MAX
    }

    /// Notes a message if it is among the first; the number is for [`received`](Record::message_received).
    pub fn message_sent(
        &mut self,
        now: Duration,
        source: Node,
        dest: Node,
        kind: &str,
    ) -> Option<usize> {
        if self.messages.len() >= MESSAGES_MAX {
            return None;
        }
        self.messages.push(Message {
            source,
            dest,
            kind: kind.to_owned(),
            sent: now,
            received: None,
        });
        Some(self.messages.len() - 1)
    }

    /// Notes what became of a message.
    pub fn message_received(&mut self, number: usize, now: Duration, fate: Fate) {
        self.messages[number].received.get_or_insert((now, fate));
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    /// It can't be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// The history so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The first messages.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }
}
