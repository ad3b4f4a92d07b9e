//! How often rare things happened: a search that never meets them proves nothing.

use raft_core::{Doubt, Response, RoleName, Status};

use super::machine::Store;

macro_rules! sightings {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// How often each thing happened.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Sightings {
            $($(#[$doc])* pub $name: u64,)+
            /// The longest time that a cluster without faults took for anything, in longest
            /// election timeouts.
            pub slowest_recovery: u64,
        }

        impl Sightings {
            /// Adds those of another run.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
                self.slowest_recovery = self.slowest_recovery.max(other.slowest_recovery);
            }

            /// Each thing's name and how often it happened.
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

sightings! {
    /// Requests of clients.
    operations,
    /// Runs without any fault.
    calm_runs,
    /// Runs in which nodes stayed away for good.
    runs_without_all_nodes,
    /// Requests that were asked again, since nobody told what had become of the first.
    retries,

    /// Processes that died, however they did.
    crashes,
    /// Times when all did at once.
    power_failures,
    /// Processes that died in the middle of a call of their disk.
    crashes_in_calls,
    /// Processes that stood still for a while.
    pauses,
    /// Nodes that were cut off.
    isolations,
    /// Nodes that heard nobody, or were heard by nobody.
    one_way_cuts,
    /// Times when the nodes fell into two halves.
    halves,
    /// Times when one node alone heard both halves.
    bridges,
    /// Times when all messages took long.
    spikes,
    /// Links on which they did.
    slow_links,
    /// Nodes that stopped since their disk was full.
    stops_for_room,
    /// Nodes that stopped since a call of their disk failed.
    stops_for_failed_calls,
    /// Disks whose sync hung.
    hanging_syncs,
    /// Disks that were slow for a while.
    slow_disks,
    /// Bits that were flipped.
    bit_flips,
    /// Nodes that did not start for it.
    bit_flips_refused,
    /// Nodes that started all the same, since it was in nothing that counts.
    bit_flips_harmless,
    /// Clocks that stood still.
    clock_stops,
    /// Clocks that jumped ahead.
    clock_jumps,

    /// Outputs that a dying process took with it.
    outputs_lost,
    /// Starts that found a batch or a snapshot that nobody had heard of.
    unheard_found,
    /// Starts that cut a torn batch.
    torn_tails,
    /// Starts from a snapshot.
    starts_from_snapshots,
    /// Starts that found a snapshot without its base record.
    bases_missing,
    /// Times when a log took a segment more, or gave some back.
    segments_changed,
    /// Outputs of more than one input.
    outputs_gathered,

    /// Elections that were won.
    elections_won,
    /// Elections in a new term that nobody won, or that somebody else did.
    elections_lost,
    /// Pre-votes that were refused.
    pre_votes_refused,
    /// Votes that were refused.
    votes_refused,
    /// Candidates that were refused since a leader was heard a moment ago.
    sticky_refusals,
    /// Leaders that stepped down since a quorum was silent.
    quorum_lost,
    /// Leaders that heard of a higher term.
    leaders_deposed,
    /// Appends that did not fit a follower's log.
    appends_rejected,
    /// Appends that overtook others.
    appends_early,
    /// Entries that were dropped in favour of a later leader's.
    entries_truncated,
    /// Entries of older terms that a quorum had stored before their leader committed anything of its own (Figure 8).
    figure_8,
    /// Those among them that were overwritten after all.
    figure_8_overwritten,

    /// Snapshots that nodes took of their own state.
    snapshots_stored,
    /// Leaders' snapshots that were installed on logs that were shorter.
    installs_of_shorter,
    /// Leaders' snapshots that were installed on logs that held another entry in the last one's place.
    installs_of_conflicting,
    /// Leaders' snapshots that turned out to be behind a log that held them already.
    installs_of_extending,
    /// Snapshots that were overtaken by entries before they were installed.
    installs_overtaken,
    /// Processes that died while they stored their own state.
    captures_interrupted,
    /// Processes that died while they stored a leader's snapshot.
    installs_interrupted,
    /// Processes that died with a part of a leader's snapshot.
    gatherings_interrupted,
    /// Transfers of snapshots that were begun.
    transfers_begun,
    /// Chunks that were sent again.
    chunks_repeated,
    /// Snapshots that came with other bits than they were taken with, since the leader's disk had flipped some.
    snapshots_broken,

    /// Forwards that were refused.
    forwards_refused,
    /// Forwards that were dropped since they were acted upon before, or may have been.
    forwards_repeated,
    /// Reads that came to a leader that had not committed in its own term yet.
    reads_before_own_commit,
    /// Answers to questions that were open no more.
    stale_replies,
    /// Messages of lower terms.
    stale_terms,
    /// What was dropped for want of room.
    overflows,
    /// Requests that were applied or answered.
    served,
    /// Requests that were refused.
    refused,
    /// Requests of which a node did not know what had become.
    unknown,
    /// Those among them whose entry was overwritten.
    overwritten,
}

/// What need not happen in a fleet of a few hundred runs.
const SELDOM: &[&str] = &[
    // Each needs two rare things at once: the numbers in docs/TESTING.md are of many thousand
    // runs.
    "installs_of_conflicting",
    "installs_overtaken",
    "figure_8_overwritten",
    "snapshots_broken",
];

impl Sightings {
    /// What should have happened among hundreds of runs, and did not.
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = self.counts().into_iter().filter(|(_, count)| *count == 0);
        let names = missing.map(|(name, _)| name);
        names.filter(|name| !SELDOM.contains(name)).collect()
    }

    /// Adds what a process counted in its life.
    pub(super) fn add_life(&mut self, status: &Status) {
        let counters = &status.counters;
        self.elections_won += counters.elections_won;
        self.elections_lost += counters.elections_started - counters.elections_won;
        self.quorum_lost += counters.quorum_lost;
        self.sticky_refusals += counters.sticky_refusals;
        self.appends_rejected += counters.appends_rejected;
        self.appends_early += counters.appends_early;
        self.entries_truncated += counters.entries_truncated;
        self.snapshots_stored += counters.snapshots_stored;
        self.snapshots_broken += counters.snapshots_broken;
        self.transfers_begun += counters.transfers_begun;
        self.chunks_repeated += counters.chunks_repeated;
        self.forwards_repeated += counters.dropped.repeated_forward;
        self.stale_replies += counters.dropped.stale_reply;
        self.stale_terms += counters.dropped.stale_term;
        self.overflows += counters.dropped.overflow;
    }

    /// Adds an answer to a client.
    pub(super) fn add_response(&mut self, response: &Response<Store>) {
        match response {
            Response::Applied(_) | Response::Answered(_) => self.served += 1,
            Response::Refused(_) => self.refused += 1,
            Response::Unknown(doubt) => {
                self.unknown += 1;
                match doubt {
                    Doubt::Overwritten => self.overwritten += 1,
                    Doubt::Expired => {}
                }
            }
        }
    }
}

/// Whether a node leads and has not committed anything of its own term yet, so that its reads must
/// wait (§8).
pub(super) fn awaits_own_commit(status: &Status) -> bool {
    status.role == RoleName::Leader && status.commit.term < status.ballot.term()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_missing() {
        let mut sightings = Sightings::default();
        let all = sightings.missing();
        assert_eq!(all.len() + SELDOM.len(), sightings.counts().len());
        sightings.figure_8 = 1;
        assert_eq!(sightings.missing().len() + 1, all.len());
        assert!(!sightings.missing().contains(&"figure_8"));
    }
}
