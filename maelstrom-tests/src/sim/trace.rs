//! The events of a run: a hash of all of them, and the last ones as a story.
//!
//! The story is written like a golden script: what happens to the cluster begins at the margin, and
//! what the nodes do about it is indented.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft::kv::{self, Key, Text};
use raft_core::{
    Envelope, Fingerprint, Incarnation, NodeId, Record, Response, RoleName, SnapshotId, Term,
    Ticket,
};

use super::machine::{Numbered, Store, cut};
use super::options::TICK;
use crate::replica::describe;

/// The longest event that is printed.
const EVENT_CHARACTERS_MAX: usize = 600;

/// An event.
#[derive(Clone, Debug, Hash)]
pub(super) enum Event {
    /// A process started from its disk.
    Started(NodeId, Incarnation),
    /// A process could not start, or stopped, for this reason.
    Stopped(NodeId, Words),
    /// A process died, and this many outputs were not stored.
    Died(NodeId, usize),
    /// A process is paused until then.
    Paused(NodeId, u64),
    /// A clock ticked.
    Ticked(NodeId),
    /// An output was stored.
    Synced(NodeId, Vec<Record<Numbered>>),
    /// A snapshot was stored.
    Named(NodeId, SnapshotId),
    /// The work on a snapshot is done, and the replica is notified.
    Worked(NodeId, SnapshotId),
    /// A message was sent.
    Sent(Arc<Envelope<Store>>),
    /// A message arrived.
    Delivered(Arc<Envelope<Store>>),
    /// A message was lost.
    Lost(Arc<Envelope<Store>>),
    /// Messages from the first to the second are lost from now on.
    Cut(NodeId, NodeId),
    /// All links work again.
    Healed,
    /// Another fault of a node, or of all.
    Fault(Option<NodeId>, &'static str),
    /// A client asked a node to write.
    Wrote(NodeId, Ticket, Numbered),
    /// A client asked a node to add these addresses and to remove these members.
    Changes(NodeId, Ticket, Vec<Arc<str>>, BTreeSet<NodeId>),
    /// A client asked a node to read.
    Reads(NodeId, Ticket, Key),
    /// A node answered a client.
    Answered(NodeId, Ticket, Response<Store>),
    /// A node took another role or term.
    Became(NodeId, RoleName, Term),
}

/// Text that is no part of the hash, because some of it is the system's.
#[derive(Clone, Debug)]
pub(super) struct Words(pub(super) String);

impl Hash for Words {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A trace that outlives its run, so that a panic has a story, too.
#[derive(Clone, Debug)]
pub(super) struct Tape(Arc<Mutex<Trace>>);

impl Tape {
    /// A tape that keeps this many events for the story.
    pub(super) fn new(events_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Trace::new(events_max))))
    }

    /// Adds an event.
    pub(super) fn note(&self, time: u64, event: Event) {
        self.trace().note(time, event);
    }

    /// The trace. It is whole even after a panic: nothing panics while an event is added.
    pub(super) fn trace(&self) -> MutexGuard<'_, Trace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run's events.
#[derive(Debug, Default)]
pub(super) struct Trace {
    events_max: usize,
    recent: VecDeque<(u64, Event)>,
    hash: Fingerprint,
    /// The number of events.
    pub(super) count: u64,
    /// The time of the last event.
    pub(super) time: u64,
}

impl Trace {
    /// A trace that keeps this many events for the story.
    fn new(events_max: usize) -> Self {
        Self {
            events_max,
            ..Self::default()
        }
    }

    fn note(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.time = time;
        (time, &event).hash(&mut self.hash);
        if self.recent.len() >= self.events_max {
            self.recent.pop_front();
        }
        if self.events_max > 0 {
            self.recent.push_back((time, event));
        }
    }

    /// A hash of all events. Two runs with the same hash are the same run.
    pub(super) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The last events as a story.
    pub(super) fn story(&self) -> String {
        let mut story = String::new();
        let left_out = self.count - self.recent.len() as u64;
        if left_out > 0 {
            story += &format!("# {left_out} earlier events are left out.\n");
        }
        let mut last = None;
        for (time, event) in &self.recent {
            let tick = time / TICK;
            if last != Some(tick) {
                last = Some(tick);
                story += &format!("# tick {tick}\n");
            }
            story += &cut(&event.to_string(), EVENT_CHARACTERS_MAX);
            story.push('\n');
        }
        story
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(node, Incarnation(number)) => {
                write!(f, "start n{node}\n  incarnation {number}")
            }
            Self::Stopped(node, Words(why)) => write!(f, "    n{node} stops: {why}"),
            Self::Died(node, lost) => write!(f, "crash n{node}\n  lost outputs: {lost}"),
            Self::Paused(node, until) => {
                write!(f, "# n{node} is paused until tick {}", until / TICK)
            }
            Self::Ticked(node) => write!(f, "tick n{node} 1"),
            Self::Synced(node, records) => {
                write!(f, "sync n{node}")?;
                for record in records {
                    write!(f, "\n    n{node} stores {}", describe::record(record))?;
                }
                Ok(())
            }
            Self::Named(node, id) => {
                write!(f, "work n{node}\n  stores {}", describe::snapshot(id))
            }
            Self::Worked(node, id) => {
                write!(f, "work n{node}\n  is done with {}", describe::snapshot(id))
            }
            Self::Sent(envelope) => write!(f, "    {}", line(envelope)),
            Self::Delivered(envelope) | Self::Lost(envelope) => {
                let Envelope { from, to, .. } = **envelope;
                let kind = envelope.message.kind();
                let is_lost = matches!(self, Self::Lost(_));
                let verb = if is_lost { "drop" } else { "deliver" };
                write!(f, "{verb} n{from}->n{to} {kind}\n  {}", line(envelope))
            }
            Self::Cut(from, to) => write!(f, "cut n{from} n{to}"),
            Self::Healed => f.write_str("heal"),
            Self::Fault(Some(node), what) => write!(f, "# n{node}: {what}"),
            Self::Fault(None, what) => write!(f, "# {what}"),
            Self::Wrote(node, Ticket(ticket), command) => {
                let change = match command {
                    Numbered::Plain(command) | Numbered::Do { command, .. } => &command.change,
                    Numbered::Open | Numbered::Close(_) => {
                        return write!(f, "{command} n{node}\n  request {ticket}");
                    }
                };
                let verb = match change {
                    kv::Command::Write { .. } => "write",
                    kv::Command::Cas { .. } => "cas",
                    kv::Command::Delete { .. } => "delete",
                };
                write!(f, "{verb} n{node} {command}\n  request {ticket}")
            }
            Self::Changes(node, Ticket(ticket), add, remove) => {
                write!(f, "change n{node}")?;
                add.iter()
                    .try_for_each(|address| write!(f, " +{address}"))?;
                remove.iter().try_for_each(|node| write!(f, " -n{node}"))?;
                write!(f, "\n  request {ticket}")
            }
            Self::Reads(node, Ticket(ticket), key) => {
                let key = json::to_string(key);
                write!(f, "read n{node} {key}\n  request {ticket}")
            }
            Self::Answered(node, Ticket(ticket), response) => {
                let value = |value: &Option<Text>| value.as_ref().map(Text::to_string);
                let response = describe::response(response, value);
                write!(f, "    n{node} answers request {ticket}: {response}")
            }
            Self::Became(node, role, term) => write!(f, "    n{node} is {role} in term {term}"),
        }
    }
}

fn line(envelope: &Envelope<Store>) -> String {
    describe::envelope(envelope, |_, id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_has_the_last_events_and_the_hash_all() {
        let (one, other) = (Tape::new(2), Tape::new(0));
        for tape in [&one, &other] {
            tape.note(10, Event::Started(NodeId(1), Incarnation(4)));
            tape.note(TICK, Event::Ticked(NodeId(1)));
            tape.note(TICK + 1, Event::Cut(NodeId(1), NodeId(2)));
        }
        assert_eq!(one.trace().hash(), other.trace().hash());
        assert_eq!(
            one.trace().story(),
            "# 1 earlier events are left out.\n# tick 1\ntick n1 1\ncut n1 n2\n"
        );
        other.note(TICK + 2, Event::Healed);
        assert_ne!(one.trace().hash(), other.trace().hash());
        let trace = other.trace();
        assert_eq!((trace.count, trace.time), (4, TICK + 2));
    }
}
