//! What will happen in a run, in the order of its time.

use std::collections::BTreeMap;

use raft_core::{Incarnation, NodeId, Synced, Ticket};

use super::clients::Request;
use super::network::Letter;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Happening {
    Tick(NodeId, Incarnation),
    Deliver(Letter),
    Sync(NodeId, Incarnation),
    Receipt(NodeId, Incarnation, Synced),
    /// The next step of the work on a snapshot.
    Work(NodeId, Incarnation),
    Ask(NodeId, Request),
    /// A client invents its next request.
    Invoke(usize),
    /// A write whose client does not wait.
    Load,
    /// A client asks for a leadership transfer.
    Transfer,
    /// A client wants other members.
    Change,
    /// A client's timeout.
    GiveUp(Ticket),
    Fault,
    /// A fault of the network ends.
    HealLinks,
    Die(NodeId),
    Start(NodeId),
    /// A node that lost its disk returns with an empty one, if that does no harm by now.
    Return(NodeId),
    Resume(NodeId),
    /// A full disk has room again.
    MakeRoom(NodeId),
}

impl Happening {
    /// The node whose process takes part.
    pub(super) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Tick(node, _)
            | Self::Sync(node, _)
            | Self::Receipt(node, ..)
            | Self::Work(node, _)
            | Self::Ask(node, _) => Some(*node),
            Self::Deliver(letter) => Some(letter.envelope.to),
            Self::Invoke(_)
            | Self::Load
            | Self::Transfer
            | Self::Change
            | Self::GiveUp(_)
            | Self::Fault
            | Self::HealLinks
            | Self::Die(_)
            | Self::Start(_)
            | Self::Return(_)
            | Self::Resume(_)
            | Self::MakeRoom(_) => None,
        }
    }
}

/// The run's time and everything that is scheduled.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    pub(super) now: u64,
    /// By time, then in the order in which it was scheduled.
    queue: BTreeMap<(u64, u64), Happening>,
    scheduled: u64,
}

impl Agenda {
    pub(super) fn schedule(&mut self, delay: u64, happening: Happening) {
        self.scheduled += 1;
        let when = (self.now + delay, self.scheduled);
        self.queue.insert(when, happening);
    }

    /// Advances to the next happening before `end`, or else to `end`.
    pub(super) fn next_before(&mut self, end: u64) -> Option<Happening> {
        let first = self.queue.first_entry();
        let Some(first) = first.filter(|first| first.key().0 < end) else {
            self.now = end;
            return None;
        };
        let ((time, _), happening) = first.remove_entry();
        self.now = time;
        Some(happening)
    }

    /// The bytes of the messages under way.
    pub(super) fn bytes(&self) -> u64 {
        let letters = self.queue.values().filter_map(|happening| match happening {
            Happening::Deliver(letter) => Some(letter.bytes()),
            _ => None,
        });
        letters.sum()
    }
}
