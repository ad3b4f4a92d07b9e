//! Times and limits.

use alloc::format;
use alloc::string::String;

/// Times, in ticks. The host decides how long a tick lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The longest interval between two messages of a leader to a follower.
    pub heartbeat: u32,
    /// The shortest election timeout.
    pub shortest_election: u32,
    /// The longest election timeout.
    pub longest_election: u32,
    /// How long a client's request may wait before it ends as refused or unknown.
    pub request_deadline: u32,
    /// How long the new voters of a change of the membership may take to catch up.
    pub change_deadline: u32,
    /// Limits of queues, messages and memory.
    pub limits: Limits,
}

/// The limits of a node's queues, messages and memory. Byte limits are approximate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unanswered requests of this node's own clients; more are refused.
    pub requests: usize,
    /// Commands that a leader appended for any node and has not applied yet; more are refused.
    pub proposals: usize,
    /// Reads of all nodes that wait for a round of this leader. More are refused or, if another
    /// node sent them, dropped (that node asks again).
    pub reads: usize,
    /// Concurrent read rounds; further reads wait for the first to end.
    pub rounds: usize,
    /// Bytes of the entries that a leader has not applied yet; above this, commands are refused.
    pub uncommitted_bytes: usize,
    /// Bytes of entries that wait for the node's own disk. Above this, a leader refuses commands,
    /// and a follower drops Appends with entries.
    pub unsynced_bytes: usize,
    /// Entries in one Append.
    pub append_entries: usize,
    /// Bytes in one Append; a larger entry is sent alone.
    pub append_bytes: usize,
    /// Unacknowledged Appends to one follower.
    pub inflight_appends: usize,
    /// Unacknowledged bytes to one follower.
    pub inflight_bytes: usize,
    /// Appends that overtook others and that a follower keeps until the gap is filled; their bytes
    /// are limited by `inflight_bytes`.
    pub early_appends: usize,
    /// Take a snapshot after this many applied entries.
    pub snapshot_entries: u64,
    /// Take a snapshot after applied entries of this many bytes, too.
    pub snapshot_bytes: u64,
    /// Entries covered by a snapshot that stay in memory, for followers that lag a little.
    pub trailing_entries: u64,
    /// The bytes of these entries.
    pub trailing_bytes: u64,
    /// Entries after the last snapshot at which a leader takes the next one even if that compacts
    /// entries that a follower lacks. Until then, the snapshot waits for the follower.
    pub retained_entries: u64,
    /// Bytes of entries after the last snapshot at which the leader takes the next one likewise.
    pub retained_bytes: u64,
    /// Entries after the last snapshot at which a leader refuses commands, and a follower drops
    /// Appends, until the next snapshot is stored.
    pub log_entries: u64,
    /// Bytes of entries after the last snapshot at which they do so, too.
    pub log_bytes: u64,
    /// Committed entries that one output applies.
    pub apply_entries: u64,
    /// Bytes of committed entries at which an output applies no more.
    pub apply_bytes: u64,
    /// Bytes in one chunk of a snapshot.
    pub chunk_bytes: usize,
    /// Unacknowledged chunks of a snapshot to one follower. A follower keeps as many that overtook
    /// others.
    pub inflight_chunks: usize,
    /// Bytes in a leader's snapshot, which a follower collects in memory. A longer one is
    /// rejected, and the follower never catches up.
    pub snapshot_bytes_max: u64,
}

/// The largest snapshot in bytes. A node that needs a larger one stops, so each snapshot that a
/// leader can store is one that its followers take.
pub const MAX_SNAPSHOT: u64 = 8 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 4096,
            proposals: 32_768,
            reads: 32_768,
            rounds: 64,
            uncommitted_bytes: 64 << 20,
            unsynced_bytes: 64 << 20,
            append_entries: 1024,
            append_bytes: 1 << 20,
            inflight_appends: 64,
            inflight_bytes: 8 << 20,
            early_appends: 64,
            snapshot_entries: 1 << 16,
            snapshot_bytes: 32 << 20,
            trailing_entries: 1 << 13,
            trailing_bytes: 8 << 20,
            retained_entries: 1 << 19,
            retained_bytes: 256 << 20,
            log_entries: 1 << 20,
            log_bytes: 512 << 20,
            apply_entries: 1 << 10,
            apply_bytes: 1 << 20,
            chunk_bytes: 256 << 10,
            inflight_chunks: 4,
            snapshot_bytes_max: MAX_SNAPSHOT,
        }
    }
}

impl Config {
    /// How long to wait for the leader's answer before the node repeats its request.
    #[must_use]
    pub fn request_retry(&self) -> u32 {
        self.heartbeat.saturating_mul(3)
    }

    /// Checks times and limits.
    ///
    /// # Errors
    /// Names the first wrong setting.
    pub fn validate(&self) -> Result<(), String> {
        let times = [
            ("the heartbeat interval", self.heartbeat),
            ("the request timeout", self.request_deadline),
            ("the timeout of a membership change", self.change_deadline),
        ];
        if let Some((name, _)) = times.iter().find(|(_, ticks)| *ticks == 0) {
            return Err(format!("{name} must be at least 1 tick"));
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
        let l = &self.limits;
        let needed = [
            ("requests", l.requests as u64),
            ("proposals", l.proposals as u64),
            ("reads", l.reads as u64),
            ("rounds", l.rounds as u64),
            ("uncommitted_bytes", l.uncommitted_bytes as u64),
            ("unsynced_bytes", l.unsynced_bytes as u64),
            ("append_entries", l.append_entries as u64),
            ("append_bytes", l.append_bytes as u64),
            ("inflight_appends", l.inflight_appends as u64),
            ("inflight_bytes", l.inflight_bytes as u64),
            ("snapshot_entries", l.snapshot_entries),
            ("snapshot_bytes", l.snapshot_bytes),
            ("apply_entries", l.apply_entries),
            ("apply_bytes", l.apply_bytes),
            ("chunk_bytes", l.chunk_bytes as u64),
            ("inflight_chunks", l.inflight_chunks as u64),
            ("snapshot_bytes_max", l.snapshot_bytes_max),
        ];
        if let Some((name, _)) = needed.iter().find(|(_, limit)| *limit == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        let entries = [l.snapshot_entries, l.retained_entries, l.log_entries];
        let bytes = [l.snapshot_bytes, l.retained_bytes, l.log_bytes];
        for (unit, limits) in [("entries", entries), ("bytes", bytes)] {
            let names = ["snapshot", "retained", "log"];
            for at in [1, 2] {
                let (least, most) = (limits[at - 1], limits[at]);
                if most < least {
                    let (name, other) = (names[at], names[at - 1]);
                    return Err(format!(
                        "{name}_{unit} ({most}) must be at least {other}_{unit} ({least})"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn rejects(change: impl FnOnce(&mut Limits), why: &str) {
        let mut config = Config {
            heartbeat: 1,
            shortest_election: 2,
            longest_election: 3,
            request_deadline: 4,
            change_deadline: 5,
            limits: Limits::default(),
        };
        assert_eq!(config.validate(), Ok(()));
        change(&mut config.limits);
        let error = config.validate().expect_err("invalid limits");
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn invalid_limits_are_named() {
        rejects(
            |l| l.uncommitted_bytes = 0,
            "uncommitted_bytes must be at least 1",
        );
        rejects(|l| l.chunk_bytes = 0, "chunk_bytes must be at least 1");
        rejects(
            |l| l.snapshot_entries = 0,
            "snapshot_entries must be at least 1",
        );
        rejects(
            |l| l.snapshot_bytes = 0,
            "snapshot_bytes must be at least 1",
        );
        rejects(
            |l| l.snapshot_bytes_max = 0,
            "snapshot_bytes_max must be at least 1",
        );
        rejects(
            |l| l.retained_entries = 1,
            "retained_entries (1) must be at least",
        );
        rejects(
            |l| l.retained_bytes = 1,
            "retained_bytes (1) must be at least",
        );
        rejects(|l| l.log_entries = 1, "log_entries (1) must be at least");
        rejects(|l| l.log_bytes = 1, "log_bytes (1) must be at least");
    }
}
