//! A summary of a node's state, for metrics and scripts.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;

use crate::ballot::Ballot;
use crate::counters::Counters;
use crate::id::{EntryId, Index, NodeId, SnapshotId};
use crate::membership::Membership;

/// The name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// Follows a leader, or waits for a leader.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads the cluster in its term.
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

/// A summary of a node's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The node's id.
    pub id: NodeId,
    /// Its role.
    pub role: RoleName,
    /// Its term and vote.
    pub ballot: Ballot,
    /// The leader of its term, if it knows one; may be the node itself.
    pub leader: Option<NodeId>,
    /// The membership in use, committed or not.
    pub membership: Arc<Membership>,
    /// Whether the node was a member, and is none by the last committed entry with members, nor by any
    /// later one.
    pub was_removed: bool,
    /// Its last entry.
    pub last: EntryId,
    /// The entry before the first one in memory. A snapshot covers all entries through it.
    pub base: EntryId,
    /// The approximate size of the entries in memory, in bytes.
    pub log_bytes: u64,
    /// The newest stored snapshot.
    pub snapshot: Option<SnapshotId>,
    /// The last committed entry.
    pub commit: EntryId,
    /// The last applied entry. Each output applies the next ones.
    pub applied: Index,
    /// All entries through this one are on this node's disk.
    pub synced: Index,
    /// Whether the disk has stored nothing for longer than the longest election timeout, although
    /// records wait for it. Until it does, a leader hands over and others do not campaign.
    pub is_disk_stalled: bool,
    /// On a leader, the match index of each follower.
    pub matched: BTreeMap<NodeId, Index>,
    /// On a leader, the followers that get a snapshot: which one, and how many bytes each is known
    /// to have.
    pub snapshot_streams: BTreeMap<NodeId, (SnapshotId, u64)>,
    /// On a leader that hands over, the target. It takes no commands.
    pub handover: Option<NodeId>,
    /// On a follower, how many bytes of a leader's snapshot have arrived, and of which one.
    pub incoming_snapshot: Option<(u64, SnapshotId)>,
    /// Unanswered requests of this node's own clients.
    pub requests_open: usize,
    /// Open requests that wait until a leader is known.
    pub requests_waiting: usize,
    /// Commands that this node appended as leader and has not applied yet.
    pub proposals: usize,
    /// Counts of events since the start.
    pub counters: Counters,
}

impl Status {
    /// The last entry that the newest stored snapshot contains.
    pub(crate) fn covered(&self) -> EntryId {
        self.snapshot.map_or_else(EntryId::default, |id| id.last)
    }
}
