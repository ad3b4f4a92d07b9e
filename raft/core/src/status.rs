//! What metrics, scripts and people may see of a node.

use alloc::collections::BTreeMap;
use core::fmt;

use crate::ballot::Ballot;
use crate::counters::Counters;
use crate::id::{EntryId, Index, NodeId, SnapshotId};

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

impl RoleName {
    /// All roles.
    pub const ALL: [Self; 4] = [
        Self::Follower,
        Self::PreCandidate,
        Self::Candidate,
        Self::Leader,
    ];

    /// The role's name as metrics and scripts write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre_candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A node's state at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who this is.
    pub id: NodeId,
    /// What it is doing.
    pub role: RoleName,
    /// Its term and vote.
    pub ballot: Ballot,
    /// Whom it believes to lead now, itself included.
    pub leader: Option<NodeId>,
    /// Its last entry.
    pub last: EntryId,
    /// The entry before the first one that is in memory: a snapshot covers all through it.
    pub base: EntryId,
    /// How many bytes the entries in memory take, roughly.
    pub log_bytes: u64,
    /// The newest stored snapshot.
    pub snapshot: Option<SnapshotId>,
    /// The last committed entry.
    pub commit: EntryId,
    /// The last applied entry: the core applies as it commits.
    pub applied: Index,
    /// All entries through this one are on this node's disk.
    pub synced: Index,
    /// A leader's followers and how far each is known to match; empty elsewhere.
    pub matched: BTreeMap<NodeId, Index>,
    /// Of a leader's followers, those who are sent a snapshot: which one, and how many bytes of it
    /// each is known to have.
    pub snapshot_streams: BTreeMap<NodeId, (SnapshotId, u64)>,
    /// How many bytes of a leader's snapshot have come, and of which one.
    pub incoming_snapshot: Option<(u64, SnapshotId)>,
    /// Clients' requests taken here and not answered yet.
    pub requests_open: usize,
    /// Those of them that wait for a leader to be known.
    pub requests_waiting: usize,
    /// Commands appended here as leader and not applied yet.
    pub proposals: usize,
    /// What was counted since the start.
    pub counters: Counters,
}
