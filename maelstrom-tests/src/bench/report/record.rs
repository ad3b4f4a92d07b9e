//! What a run writes down while it goes on: the history, and the first messages for a picture of
//! them.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

use super::plot::{MESSAGES_MAX, MessageArrow};
use crate::bench::error::BenchError;
use crate::bench::store::Store;
use crate::history::{Event, History};

/// When a run has so many operations, no more requests are made.
pub const OPERATIONS_MAX: usize = 5_000_000;

/// Under this name all clients stand in the picture of the first messages.
pub const CLIENTS: &str = "clients";

/// The record of a run.
#[derive(Debug)]
pub struct Record {
    history: History,
    file: BufWriter<File>,
    messages: Vec<MessageArrow>,
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
    pub fn event(&mut self, event: Event) -> Result<(), BenchError> {
        let mut line = event.to_line();
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(BenchError::io("the history can't be written"))?;
        self.history.record(event).map_err(|impossible| {
            BenchError::new(format!("the history makes no sense: {impossible}"))
        })
    }

    /// Whether enough has happened.
    pub fn is_full(&self) -> bool {
        self.history.operations().len() >= OPERATIONS_MAX
    }

    /// Notes a message between servers or of [`CLIENTS`] if it is among the first; the number is
    /// for [`message_received`](Record::message_received).
    pub fn message_sent(
        &mut self,
        now: Duration,
        from: impl ToString,
        to: impl ToString,
        kind: &str,
    ) -> Option<usize> {
        if self.messages.len() >= MESSAGES_MAX {
            return None;
        }
        self.messages.push(MessageArrow {
            from: from.to_string(),
            to: to.to_string(),
            sent_ns: nanoseconds(now),
            received_ns: None,
            label: kind.to_owned(),
        });
        Some(self.messages.len() - 1)
    }

    /// Notes that a message has arrived; of a doubled one, the first copy counts.
    pub fn message_received(&mut self, number: usize, now: Duration) {
        self.messages[number]
            .received_ns
            .get_or_insert(nanoseconds(now));
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
    pub fn messages(&self) -> &[MessageArrow] {
        &self.messages
    }
}

/// A time as histories have it.
pub fn nanoseconds(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
