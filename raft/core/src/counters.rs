//! Counts of events, for metrics and for tests that must meet rare events.

/// Counts of events since the node's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pre-vote rounds begun.
    pub pre_elections: u64,
    /// Candidacies: elections with a new term.
    pub elections_started: u64,
    /// Elections won.
    pub elections_won: u64,
    /// Leaderships given up because a quorum was silent for an election timeout.
    pub quorum_lost: u64,
    /// Leaderships given up because the disk stored nothing for the longest election timeout, and no
    /// other node took over.
    pub disk_stalls: u64,
    /// Handovers begun: leadership transfers, and those because of a stalled disk.
    pub handovers: u64,
    /// Handovers that ended because the target would not campaign.
    pub handovers_declined: u64,
    /// Handovers that ended at their deadline.
    pub handovers_expired: u64,
    /// Votes and pre-votes refused because the node had just heard from a leader.
    pub sticky_refusals: u64,
    /// Appends of this leader that a follower rejected.
    pub appends_rejected: u64,
    /// Appends that overtook others and that this follower kept for later.
    pub appends_early: u64,
    /// Entries that a leader's entries replaced.
    pub entries_truncated: u64,
    /// Snapshots of this node's own state that were stored.
    pub snapshots_stored: u64,
    /// Leaders' snapshots that were installed.
    pub snapshots_installed: u64,
    /// Leaders' snapshots that were received completely and failed their check.
    pub snapshots_broken: u64,
    /// Snapshots of this leader that a follower received completely and found broken. The leader
    /// stores a new one of its own state.
    pub snapshots_refused: u64,
    /// Snapshot streams of this leader to followers that were begun, or begun again with a newer
    /// snapshot.
    pub snapshot_streams_begun: u64,
    /// Chunks of snapshots that this leader sent.
    pub chunks_sent: u64,
    /// Chunks that this leader sent again because they, or the follower's copies, were lost.
    pub chunks_repeated: u64,
    /// Replication streams of this leader begun again because the follower had restarted.
    pub streams_restarted: u64,
    /// Forwards that this node sent again, to the same leader or the next one.
    pub forwards_repeated: u64,
    /// Messages that were dropped, by reason.
    pub dropped: Dropped,
}

/// Messages that were dropped, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Not from a member, or not for this node.
    pub stranger: u64,
    /// No correct node sends such a message.
    pub malformed: u64,
    /// Of a lower term.
    pub stale_term: u64,
    /// A late reply, to a request that is no longer open.
    pub stale_reply: u64,
    /// A forward of a command that the leader's log already holds and the leader has not applied.
    pub repeated_forward: u64,
    /// The receiver's role has no use for the message.
    pub unexpected: u64,
    /// A limit left no room for the message.
    pub overflow: u64,
}
