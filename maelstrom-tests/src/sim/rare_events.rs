//! Counts rare events: a search that never meets them proves nothing.

use raft_core::{Refusal, Response, RoleName, Status};

use super::machine::{Outcome, Store};

macro_rules! rare_events {
    ($(#[doc = $help:literal] $name:ident),+ $(,)?) => {
        /// How often each event happened.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct RareEvents {
            $(#[doc = $help] pub $name: u64,)+
            /// The slowest recovery of a cluster without faults, in longest election timeouts.
            pub slowest_recovery: u64,
            /// The slowest election of a cluster without faults, in the same unit.
            pub slowest_election: u64,
            /// The most bytes that disks, logs and messages of a run took.
            pub most_bytes: u64,
            /// The slowest service of a connected quorum while faults last, in the same unit.
            pub slowest_service: u64,
        }

        impl RareEvents {
            /// Adds those of another run.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
                self.slowest_recovery = self.slowest_recovery.max(other.slowest_recovery);
                self.slowest_election = self.slowest_election.max(other.slowest_election);
                self.most_bytes = self.most_bytes.max(other.most_bytes);
                self.slowest_service = self.slowest_service.max(other.slowest_service);
            }

            /// Each event's name, count and meaning.
            pub fn counts(&self) -> Vec<(&'static str, u64, &'static str)> {
                vec![$((stringify!($name), self.$name, $help),)+]
            }
        }
    };
}

rare_events! {
    /// Requests of clients.
    operations,
    /// Runs without any fault.
    calm_runs,
    /// Runs with faults that lasted while a quorum had to serve.
    lasting_runs,
    /// Links that were cut then.
    lasting_cuts,
    /// Times when a quorum had to elect a leader after faults had ceased.
    elections_at_last,
    /// Of these, those that took more than three longest election timeouts: elections collided, or replies had come late.
    elections_late,
    /// Runs in which nodes stayed away for good.
    runs_without_all_nodes,
    /// Requests that were sent again because the first had no certain answer.
    retries,

    /// Processes that died for any reason.
    crashes,
    /// Times when all machines lost power.
    power_failures,
    /// Processes that crashed during a disk call.
    crashes_in_calls,
    /// Processes that were paused.
    pauses,
    /// Nodes that were cut off.
    isolations,
    /// Nodes cut off in one direction.
    one_way_cuts,
    /// Partitions into two halves.
    halves,
    /// Partitions in which one node reached both halves.
    bridges,
    /// Times when all messages were slow.
    spikes,
    /// Links that were slow.
    slow_links,
    /// Processes that stopped because the disk was full.
    stops_for_room,
    /// Processes that stopped because a disk call failed.
    stops_for_failed_calls,
    /// Disks whose sync hung.
    hanging_syncs,
    /// Disks that were slow for a while.
    slow_disks,
    /// Disks that were lost.
    disks_lost,
    /// Nodes that returned with an empty disk.
    disks_replaced,
    /// Disks that hung while faults lasted.
    lasting_hangs,
    /// Disks that hung for ever.
    hangs_for_ever,
    /// Disks that were slow while faults lasted.
    lasting_lags,
    /// Bits that were flipped.
    bit_flips,
    /// Nodes that refused to start after a bit flip.
    bit_flips_refused,
    /// Nodes that started after a bit flip in unused bytes.
    bit_flips_harmless,
    /// Clocks that stopped for a while.
    clock_stops,
    /// Clocks that jumped ahead.
    clock_jumps,

    /// Outputs that were not stored when a process died.
    outputs_lost,
    /// Starts that found a batch or a snapshot that was never acknowledged.
    unacknowledged_found,
    /// Starts that cut a torn batch.
    torn_tails,
    /// Starts from a snapshot.
    starts_from_snapshots,
    /// Starts that found a snapshot without its base record.
    bases_missing,
    /// Times when the log grew or shrank by segments.
    segments_changed,
    /// Outputs of more than one input.
    outputs_gathered,
    /// Outputs that shared the sync of an earlier one.
    outputs_joined,
    /// Leaders that stepped down because their disk stored nothing.
    disk_stalls,

    /// Leaders with such a disk that were deposed while they handed over.
    stalled_handovers,
    /// Leadership transfers that ended with another leader.
    transfers_done,
    /// Leadership transfers that missed their deadline.
    transfers_expired,
    /// Leadership transfers that the target declined.
    transfers_declined,
    /// Leadership transfers whose leader or target died.
    transfers_interrupted,

    /// Changes of the members that clients asked for.
    changes,
    /// Of these, those that were done.
    changes_done,
    /// Memberships that were undone by truncation.
    members_truncated,
    /// Memberships that a node learned from a leader's snapshot.
    members_installed,
    /// Leaders that died while the membership was joint.
    leaders_died_in_joint,
    /// Leaders that stepped down because they were removed.
    leaders_removed,
    /// Leaders that committed their own removal.
    own_removals,
    /// Elections that were won.
    elections_won,
    /// Elections that the candidate did not win.
    elections_lost,
    /// Pre-votes that were refused.
    pre_votes_refused,
    /// Votes that were refused.
    votes_refused,
    /// Candidates refused because the voter had heard from a leader recently.
    sticky_refusals,
    /// Leaders that stepped down because a quorum was silent.
    quorum_lost,
    /// Leaders that stepped down for a higher term.
    leaders_deposed,
    /// Appends that did not fit a follower's log.
    appends_rejected,
    /// Appends that arrived before earlier ones.
    appends_early,
    /// Entries that a later leader overwrote.
    entries_truncated,
    /// Entries of older terms on a quorum before their leader committed its own (Figure 8).
    figure_8,
    /// Entries counted in figure_8 that were overwritten later.
    figure_8_overwritten,

    /// Snapshots that nodes stored of their own state.
    snapshots_stored,
    /// Snapshots that clients asked for, and that are stored.
    snapshots_asked,
    /// Leaders' snapshots installed on a shorter log.
    installs_of_shorter,
    /// Leaders' snapshots installed on a log with a conflicting last entry.
    installs_of_conflicting,
    /// Leaders' snapshots whose entries the log already held.
    installs_of_extending,
    /// Leaders' snapshots that entries had overtaken before the installation.
    installs_overtaken,
    /// Processes that died while they stored their own snapshot.
    stores_interrupted,
    /// Processes that died while they stored a leader's snapshot.
    installs_interrupted,
    /// Processes that died with a part of a leader's snapshot received.
    receptions_interrupted,
    /// Snapshots that leaders began to send.
    snapshot_streams,
    /// Chunks that were sent again.
    chunks_repeated,
    /// Snapshots found damaged, when they were read to be sent or when they had arrived, because the leader's disk had flipped a bit.
    snapshots_broken,

    /// Forwards that were sent again.
    forwards_repeated,
    /// Forwards dropped because the leader's log held their commands.
    forwards_in_the_log,
    /// Commands that came into the log again and were answered from their sessions.
    commands_repeated,
    /// Commands that their sessions no longer remembered.
    commands_forgotten,
    /// Sessions of running nodes that were evicted.
    sessions_evicted,
    /// Retries of clients with sessions that were answered from the session's table.
    retries_answered,
    /// Writes of clients whose session, or its answer to the write, was evicted.
    client_sessions_evicted,
    /// Reads at a leader without a commit of its own term.
    reads_before_own_commit,
    /// Replies to requests that were no longer open.
    stale_replies,
    /// Messages of lower terms that were dropped.
    stale_terms,
    /// Messages dropped because a limit was reached.
    overflows,
    /// Requests that were applied or answered.
    served,
    /// Requests that were refused.
    refused,
    /// Requests whose outcome the node did not know.
    unknown,
}

/// Events that a fleet may miss. Each needs two rare events at once, which a thousand seeds seldom
/// meet.
pub const EXCUSED: [&str; 5] = [
    "elections_late",
    "installs_of_conflicting",
    "installs_overtaken",
    "figure_8_overwritten",
    "snapshots_broken",
];

impl RareEvents {
    /// The events that never happened: those that should have, and the excused ones.
    pub fn missing(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let counts = self.counts().into_iter();
        let missing = counts.filter(|(_, count, _)| *count == 0);
        let names = missing.map(|(name, ..)| name);
        names.partition(|name| !EXCUSED.contains(name))
    }

    /// A line with the extremes.
    pub fn slowest(&self) -> String {
        let (elected, recovered) = (self.slowest_election, self.slowest_recovery);
        let (served, kib) = (self.slowest_service, self.most_bytes >> 10);
        format!(
            "slowest, in longest election timeouts: election {elected}, recovery {recovered}, service while faults \
             lasted {served}; most memory of a run: {kib} KiB"
        )
    }

    /// Whether more than one in a hundred of the last elections was late: collisions and late
    /// replies do not explain that many.
    pub fn elections_are_slow(&self) -> bool {
        self.elections_late * 100 > self.elections_at_last
    }

    /// Adds what a process has counted.
    pub(super) fn add_process(&mut self, status: &Status) {
        let counters = &status.counters;
        self.elections_won += counters.elections_won;
        self.elections_lost += counters.elections_started - counters.elections_won;
        self.quorum_lost += counters.quorum_lost;
        self.disk_stalls += counters.disk_stalls;
        self.sticky_refusals += counters.sticky_refusals;
        self.appends_rejected += counters.appends_rejected;
        self.appends_early += counters.appends_early;
        self.entries_truncated += counters.entries_truncated;
        self.snapshots_stored += counters.snapshots_stored;
        self.snapshots_broken += counters.snapshots_broken;
        self.snapshot_streams += counters.snapshot_streams_begun;
        self.chunks_repeated += counters.chunks_repeated;
        self.forwards_repeated += counters.forwards_repeated;
        self.forwards_in_the_log += counters.dropped.repeated_forward;
        self.stale_replies += counters.dropped.stale_reply;
        self.stale_terms += counters.dropped.stale_term;
        self.overflows += counters.dropped.overflow;
    }

    /// Adds an answer to a client that asked for a leadership transfer.
    pub(super) fn add_transfer(&mut self, response: &Response<Store>) {
        match response {
            Response::Transferred => self.transfers_done += 1,
            Response::Refused(Refusal::TransferExpired) => self.transfers_expired += 1,
            Response::Refused(Refusal::TargetDeclined) => self.transfers_declined += 1,
            _ => {}
        }
    }

    /// Adds an answer to a client, which may have a session of its own.
    pub(super) fn add_response(&mut self, response: &Response<Store>, has_session: bool) {
        match response {
            Response::Applied(Outcome::Unknown) if has_session => {
                self.client_sessions_evicted += 1;
            }
            // A command of this node's session, which waits for it: others have evicted it.
            Response::Applied(Outcome::Unknown) => self.sessions_evicted += 1,
            Response::Applied(_)
            | Response::Answered(_)
            | Response::Transferred
            | Response::MembersChanged
            | Response::SnapshotStored(_) => self.served += 1,
            Response::Refused(_) => self.refused += 1,
            Response::Unknown => self.unknown += 1,
        }
    }
}

/// Whether a node leads without a commit of its own term, so that its reads must wait (§8).
pub(super) fn awaits_own_commit(status: &Status) -> bool {
    status.role == RoleName::Leader && status.commit.term < status.ballot.term()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_late_elections_are_slow() {
        let mut events = RareEvents {
            elections_at_last: 200,
            elections_late: 2,
            ..RareEvents::default()
        };
        assert!(!events.elections_are_slow());
        events.elections_late = 3;
        assert!(events.elections_are_slow());
    }

    #[test]
    fn event_that_never_happened_is_missing() {
        let mut events = RareEvents::default();
        let (all, excused) = events.missing();
        assert_eq!(all.len() + EXCUSED.len(), events.counts().len());
        assert_eq!(excused.len(), EXCUSED.len());
        events.figure_8 = 1;
        let (missing, _) = events.missing();
        assert_eq!(missing.len() + 1, all.len());
        assert!(!missing.contains(&"figure_8"));
    }
}
