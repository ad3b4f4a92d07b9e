//! A node of the simulated cluster, with what the world does to it.

use raft_core::{RoleName, Term};

use super::agenda::Happening;
use super::machine::Store;
use super::storage::FaultyStorage;
use crate::replica::node::Node;

pub(super) struct Member {
    pub(super) node: Node<Store, FaultyStorage>,
    pub(super) clock: Clock,
    pub(super) disk: DiskState,
    /// Set while the process is paused.
    pub(super) paused_until: Option<u64>,
    /// What happens once the process goes on.
    pub(super) waiting: Vec<Happening>,
    /// An input was stepped, and its output was not taken yet.
    pub(super) gathering: bool,
    /// The node never returns.
    pub(super) is_gone: bool,
    /// Its role and term when it was last observed.
    pub(super) role: (RoleName, Term),
}

/// A node's clock.
#[derive(Debug)]
pub(super) struct Clock {
    /// The length of one tick.
    pub(super) period: u64,
    pub(super) stopped_until: u64,
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
    /// The disk has little room, so the process may stop.
    pub(super) is_full: bool,
    /// A call was planned to fail, so the process may stop.
    pub(super) call_may_fail: bool,
    /// A bit has flipped, so the process may refuse to start.
    pub(super) has_flipped: bool,
    /// The size of the log after the last sync.
    pub(super) log_bytes: u64,
}

impl Member {
    pub(super) fn new(node: Node<Store, FaultyStorage>, period: u64) -> Self {
        Self {
            node,
            clock: Clock {
                period,
                stopped_until: 0,
            },
            disk: DiskState::default(),
            paused_until: None,
            waiting: Vec::new(),
            gathering: false,
            is_gone: false,
            role: (RoleName::Follower, Term(0)),
        }
    }

    /// Whether the process takes no input now.
    pub(super) fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }
}
