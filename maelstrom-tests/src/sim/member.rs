//! A node of the simulated cluster, with what the world does to it.

use raft::sessions::Client;
use raft_core::{RoleName, Term};

use super::agenda::Happening;
use super::changes::Known;
use super::machine::{Store, Values};
use super::storage::FaultyStorage;
use crate::replica::node::{Node, Process};

pub(super) struct Member {
    pub(super) node: Node<Store, FaultyStorage>,
    /// The session of its process.
    pub(super) session: Client<Values>,
    /// The length of one tick of its clock.
    pub(super) tick: u64,
    pub(super) clock_stopped_until: u64,
    pub(super) disk: DiskState,
    /// Set while the process is paused.
    pub(super) paused_until: Option<u64>,
    /// What happens once the process goes on.
    pub(super) waiting: Vec<Happening>,
    /// An input was stepped, and its output was not taken yet.
    pub(super) gathering: bool,
    /// The node never returns.
    pub(super) is_gone: bool,
    /// What it knew of the members when it was last observed.
    pub(super) known: Known,
    /// Its role and term when it was last observed.
    pub(super) role: (RoleName, Term),
    /// Whether it handed over then because its disk stored nothing.
    pub(super) hands_over_stalled: bool,
}

/// The state of a node's disk.
#[derive(Debug, Default)]
pub(super) struct DiskState {
    /// A sync is under way.
    pub(super) syncing: bool,
    /// Until then no sync ends.
    pub(super) hangs_until: u64,
    /// Until then each sync is slow.
    pub(super) slow_until: u64,
    /// No sync ends.
    pub(super) hangs: bool,
    /// The mean time by which each sync is longer while faults last.
    pub(super) lag: u64,
    /// For how many ticks of its node records have waited and nothing was stored.
    pub(super) idle_ticks: u64,
    /// The node has lost the disk that it had.
    pub(super) loss: Option<Loss>,
    /// The disk has little room, so the process may stop.
    pub(super) is_full: bool,
    /// A call was planned to fail, so the process may stop.
    pub(super) call_may_fail: bool,
    /// A bit has flipped, so the process may refuse to start.
    pub(super) has_flipped: bool,
    /// The size of the log after the last sync.
    pub(super) log_bytes: u64,
}

/// A disk that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The node must stay away, because it has forgotten what it promised in this term and before.
    Away(Term),
    /// The node returned with an empty disk. It may lack committed entries.
    Returned,
}

impl Member {
    pub(super) fn new(node: Node<Store, FaultyStorage>, tick: u64) -> Self {
        Self {
            node,
            session: Client::default(),
            tick,
            clock_stopped_until: 0,
            disk: DiskState::default(),
            paused_until: None,
            waiting: Vec::new(),
            gathering: false,
            is_gone: false,
            known: Known::default(),
            role: (RoleName::Follower, Term(0)),
            hands_over_stalled: false,
        }
    }

    /// The bytes of its disk and its log.
    pub(super) fn bytes(&self) -> u64 {
        let log = self.node.process().map_or(0, |Process { status, .. }| {
            let incoming = status.incoming_snapshot.map_or(0, |(bytes, _)| bytes);
            status.log_bytes + incoming
        });
        self.node.disk.disk.used() + log
    }

    /// Whether the node must not return: it is gone for good, or has lost its disk.
    pub(super) fn is_away(&self) -> bool {
        self.is_gone || matches!(self.disk.loss, Some(Loss::Away(_)))
    }

    /// Whether the process takes no input now.
    pub(super) fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }
}
