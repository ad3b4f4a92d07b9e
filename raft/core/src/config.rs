//! Times and limits.

use alloc::format;
use alloc::string::String;

/// Times, in ticks. The host decides how long a tick lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A follower hears from its leader at least this often.
    pub heartbeat: u32,
    /// The shortest election timeout.
    pub shortest_election: u32,
    /// The longest election timeout.
    pub longest_election: u32,
    /// What may be held at once.
    pub limits: Limits,
}

/// How much of each thing a node holds at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests taken from clients here and not answered yet; one more is refused.
    pub requests: usize,
    /// Commands appended here as leader, on behalf of any node, and not committed yet; one more is
    /// refused.
    pub proposals: usize,
    /// Reads of all nodes that wait for a round here as leader; one more is refused or, if it came
    /// from another node, dropped (its node asks again).
    pub reads: usize,
    /// Read rounds under way at once; reads beyond wait for the first to end.
    pub rounds: usize,
    /// Bytes of the entries that this node appended as leader and that are not committed yet,
    /// roughly; with more than that, one more is refused.
    pub uncommitted_bytes: usize,
    /// Entries in one Append.
    pub append_entries: usize,
    /// Bytes in one Append, roughly; an entry larger than this travels alone.
    pub append_bytes: usize,
    /// Appends on their way to one follower.
    pub inflight_appends: usize,
    /// Bytes on their way to one follower, roughly.
    pub inflight_bytes: usize,
    /// Appends that overtook others and that a follower keeps until the gap is filled; of bytes,
    /// as many as may be on their way to it.
    pub early_appends: usize,
    /// Forwards remembered for each sender in a term; older ones count as seen.
    pub forwards_seen: usize,
    /// Lives of one sender whose forwards are told apart in a term; those of one more are dropped,
    /// so that its clients' writes end as unknown until the next term.
    pub incarnations: usize,
    /// A snapshot is taken when so many entries were applied since the last one,
    pub snapshot_entries: u64,
    /// or entries of so many bytes, roughly.
    pub snapshot_bytes: u64,
    /// Entries kept in memory behind a snapshot's last, for followers that are a little behind,
    pub trailing_entries: u64,
    /// but of no more than so many bytes.
    pub trailing_bytes: u64,
    /// A leader takes no snapshot that would leave a follower behind to whom it sends one, or who
    /// catches up after one, until it holds so many entries above the last one,
    pub retained_entries: u64,
    /// or so many bytes. Then the follower is sent the new one.
    pub retained_bytes: u64,
    /// Bytes in one chunk of a snapshot; one chunk is on its way to each follower that needs it.
    pub chunk_bytes: usize,
    /// Bytes in a leader's snapshot, which a follower gathers in memory; a longer one is not
    /// taken, and the follower never catches up.
    pub snapshot_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 4096,
            proposals: 32_768,
            reads: 32_768,
            rounds: 64,
            uncommitted_bytes: 64 << 20,
            append_entries: 1024,
            append_bytes: 1 << 20,
            inflight_appends: 64,
            inflight_bytes: 8 << 20,
            early_appends: 64,
            forwards_seen: 16_384,
            incarnations: 1024,
            snapshot_entries: 1 << 16,
            snapshot_bytes: 32 << 20,
            trailing_entries: 1 << 13,
            trailing_bytes: 8 << 20,
            retained_entries: 1 << 19,
            retained_bytes: 256 << 20,
            chunk_bytes: 256 << 10,
            snapshot_bytes_max: 4 << 30,
        }
    }
}

impl Config {
    /// How long a client's request may wait before it is answered as refused or unknown: two
    /// longest election timeouts.
    #[must_use]
    pub fn request_deadline(&self) -> u32 {
        self.longest_election.saturating_mul(2)
    }

    /// How long to wait for the answer to a read index before asking again.
    #[must_use]
    pub fn read_retry(&self) -> u32 {
        self.heartbeat.saturating_mul(3)
    }

    /// Checks that a cluster can live with these times.
    ///
    /// # Errors
    /// Says what is wrong, in words for the person who set them.
    pub fn validate(&self) -> Result<(), String> {
        if self.heartbeat == 0 {
            return Err("the heartbeat interval must be at least one tick".into());
        }
        if self.shortest_election > self.longest_election {
            return Err(format!(
                "the shortest election timeout ({} ticks) is longer than the longest ({} ticks)",
                self.shortest_election, self.longest_election
            ));
        }
        if self.shortest_election <= self.heartbeat {
            return Err(format!(
                "the shortest election timeout ({} ticks) must be longer than the heartbeat \
                 interval ({} ticks), or followers give up healthy leaders",
                self.shortest_election, self.heartbeat
            ));
        }
        let Limits {
            requests,
            proposals,
            reads,
            rounds,
            uncommitted_bytes,
            append_entries,
            append_bytes,
            inflight_appends,
            inflight_bytes,
            early_appends: _,
            forwards_seen,
            incarnations,
            snapshot_entries,
            snapshot_bytes,
            trailing_entries: _,
            trailing_bytes: _,
            retained_entries,
            retained_bytes,
            chunk_bytes,
            snapshot_bytes_max,
        } = self.limits;
        let needed = [
            requests,
            proposals,
            reads,
            rounds,
            uncommitted_bytes,
            append_entries,
            append_bytes,
            inflight_appends,
            inflight_bytes,
            forwards_seen,
            incarnations,
            chunk_bytes,
        ];
        let long = [snapshot_entries, snapshot_bytes, snapshot_bytes_max];
        if needed.contains(&0) || long.contains(&0) {
            let but = "that of early Appends and those of what is kept behind a snapshot";
            return Err(format!("no limit may be 0 but {but}"));
        }
        if retained_entries < snapshot_entries || retained_bytes < snapshot_bytes {
            return Err(format!(
                "what a leader retains for a follower that needs a snapshot ({retained_entries} \
                 entries, {retained_bytes} bytes) must not be less than what leads to a snapshot \
                 ({snapshot_entries} entries, {snapshot_bytes} bytes)"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says_no(change: impl FnOnce(&mut Limits), why: &str) {
        let mut config = Config {
            heartbeat: 1,
            shortest_election: 2,
            longest_election: 3,
            limits: Limits::default(),
        };
        assert_eq!(config.validate(), Ok(()));
        change(&mut config.limits);
        let said = config.validate().expect_err("that makes no sense");
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn limits_that_make_no_sense_are_told() {
        says_no(|l| l.uncommitted_bytes = 0, "no limit may be 0");
        says_no(|l| l.chunk_bytes = 0, "no limit may be 0");
        says_no(|l| l.snapshot_entries = 0, "no limit may be 0");
        says_no(|l| l.snapshot_bytes = 0, "no limit may be 0");
        says_no(|l| l.snapshot_bytes_max = 0, "no limit may be 0");
        says_no(|l| l.retained_entries = 1, "must not be less");
        says_no(|l| l.retained_bytes = 1, "must not be less");
    }
}
