//! How often rare things happened: a search that never meets them proves nothing.

use raft_core::{Doubt, Response, RoleName, Status};

use super::machine::Registers;

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
    /// Processes that died.
    crashes,
    /// Processes that stood still for a while.
    pauses,
    /// Times when links were cut.
    cuts,
    /// Outputs that a dying process took with it.
    outputs_lost,
    /// Outputs that reached the disk of a dying process without anybody hearing of it.
    outputs_stored_unheard,
    /// Outputs of more than one input.
    outputs_gathered,
    /// Elections that were won.
    elections_won,
    /// Elections in a new term that nobody won, or that somebody else did.
    elections_lost,
    /// Leaders that stepped down since a quorum was silent.
    quorum_lost,
    /// Leaders that heard of a higher term.
    leaders_deposed,
    /// Candidates that were refused since a leader was heard a moment ago.
    sticky_refusals,
    /// Appends that did not fit a follower's log.
    appends_rejected,
    /// Appends that overtook others.
    appends_early,
    /// Entries that were dropped in favour of a later leader's.
    entries_truncated,
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
    /// Processes that died between a snapshot's file and its base record.
    bases_missing,
    /// Transfers of snapshots that were begun.
    transfers_begun,
    /// Chunks that were sent again.
    chunks_repeated,
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
    /// Histories that were too hard to check.
    undecided_histories,
}

impl Sightings {
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
        self.transfers_begun += counters.transfers_begun;
        self.chunks_repeated += counters.chunks_repeated;
        self.forwards_repeated += counters.dropped.repeated_forward;
        self.stale_replies += counters.dropped.stale_reply;
        self.stale_terms += counters.dropped.stale_term;
        self.overflows += counters.dropped.overflow;
    }

    /// Adds a read that comes to a node.
    pub(super) fn add_read(&mut self, status: &Status) {
        if status.role == RoleName::Leader && status.commit.term < status.ballot.term() {
            self.reads_before_own_commit += 1;
        }
    }

    /// Adds an answer to a client.
    pub(super) fn add_response(&mut self, response: &Response<Registers>) {
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
