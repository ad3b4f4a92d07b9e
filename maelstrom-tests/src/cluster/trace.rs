//! What happened in a run, in order: its last part to be read, and all of it as a hash.

use std::{
    collections::VecDeque,
    fmt,
    hash::{Hash, Hasher},
};

use raft_core::{
    Envelope, Fingerprint, Incarnation, NodeId, Response, RoleName, SnapshotId, Term, Ticket,
};

use super::{
    describe,
    machine::{Command, Key, Registers},
};

/// Something that happened.
#[derive(Clone, Debug, Hash)]
pub enum Event {
    /// A process started from its disk.
    Started(NodeId, Incarnation),
    /// A process ended; so many outputs were lost.
    Crashed(NodeId, usize),
    /// A process stands still until then.
    Paused(NodeId, u64),
    /// A clock ticked.
    Ticked(NodeId),
    /// So many outputs were stored.
    Synced(NodeId, u64),
    /// The file of a snapshot got its final name.
    Named(NodeId, SnapshotId),
    /// The work on a snapshot is done, and the node hears of it.
    Worked(NodeId, SnapshotId),
    /// A message arrived.
    Delivered(Envelope<Registers>),
    /// A message was lost.
    Lost(Envelope<Registers>),
    /// Messages from the first to the second get lost from now on.
    Cut(NodeId, NodeId),
    /// All messages get through again.
    Healed,
    /// A client asked a node to write.
    Wrote(NodeId, Ticket, Command),
    /// A client asked a node to read.
    Reads(NodeId, Ticket, Key),
    /// A node answered a client.
    Answered(NodeId, Ticket, Response<Registers>),
    /// A node took another role or term.
    Became(NodeId, RoleName, Term),
}

/// A run's events.
#[derive(Debug)]
pub struct Trace {
    events_max: usize,
    recent: VecDeque<(u64, Event)>,
    hash: Fingerprint,
}

impl Trace {
    /// A trace that keeps so many events for reading.
    pub fn new(events_max: usize) -> Self {
        Self {
            events_max,
            recent: VecDeque::new(),
            hash: Fingerprint::default(),
        }
    }

    /// Notes what happens at a time.
    pub fn note(&mut self, time: u64, event: Event) {
        (time, &event).hash(&mut self.hash);
        if self.recent.len() >= self.events_max {
            self.recent.pop_front();
        }
        self.recent.push_back((time, event));
    }

    /// A hash of all events so far. Two runs with the same hash were the same run.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }
}

/// The last events, one a line.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (time, event) in &self.recent {
            writeln!(f, "{time:>9} {event}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(node, life) => write!(f, "n{node} starts, life {}", life.0),
            Self::Crashed(node, lost) => write!(f, "n{node} dies, {lost} outputs are lost"),
            Self::Paused(node, until) => write!(f, "n{node} stands still until {until}"),
            Self::Ticked(node) => write!(f, "n{node} ticks"),
            Self::Synced(node, outputs) => write!(f, "n{node} syncs {outputs}"),
            Self::Named(node, id) => {
                write!(f, "n{node} names snapshot {}", describe::snapshot(id))
            }
            Self::Worked(node, id) => {
                write!(
                    f,
                    "n{node} is done with snapshot {}",
                    describe::snapshot(id)
                )
            }
            Self::Delivered(envelope) => write!(f, "{}", Line(envelope)),
            Self::Lost(envelope) => write!(f, "lost: {}", Line(envelope)),
            Self::Cut(from, to) => write!(f, "cut n{from}->n{to}"),
            Self::Healed => write!(f, "all messages get through"),
            Self::Wrote(node, ticket, command) => {
                write!(f, "n{node} is asked {}: write {command}", ticket.0)
            }
            Self::Reads(node, ticket, key) => {
                write!(f, "n{node} is asked {}: read {key}", ticket.0)
            }
            Self::Answered(node, ticket, response) => {
                write!(f, "n{node} answers {}: {response:?}", ticket.0)
            }
            Self::Became(node, role, term) => write!(f, "n{node} is {role} in term {term}"),
        }
    }
}

/// A message on one line.
struct Line<'a>(&'a Envelope<Registers>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Envelope {
            from,
            to,
            term,
            message,
        } = self.0;
        let message = describe::message(message, |_, id| id.to_string());
        write!(f, "n{from}->n{to} t{term} {message}")
    }
}
