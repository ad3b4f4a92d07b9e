//! What kind of world a run takes place in: all of it is drawn from the seed.

use raft_core::{Config, Limits};
use rand::Rng;

/// One tick of a clock that runs right, in the run's unit of time.
pub const TICK: u64 = 1000;

/// A run's world. Times are in thousandths of a tick.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes there are, 1 to 7.
    pub nodes: u64,
    /// The nodes' times and limits.
    pub config: Config,
    /// How many clients ask at once.
    pub clients: usize,
    /// How many registers they ask about.
    pub keys: u64,
    /// How many values they write: with few a cas hits, with many a wrong read shows.
    pub values: u64,
    /// The mean time from an answer to the client's next request.
    pub think_mean: u64,
    /// The mean time between two writes that nobody waits for; none, if there are none.
    pub load_mean: Option<u64>,
    /// When a client gives up.
    pub client_timeout: u64,
    /// The mean time that a message travels.
    pub latency_mean: u64,
    /// Of 1,000 messages, so many are lost.
    pub lost_permille: u64,
    /// Of 1,000 messages, so many arrive twice.
    pub duplicated_permille: u64,
    /// Of 1,000 messages (or copies), so many take [`Options::straggling_mean`] instead.
    pub straggling_permille: u64,
    /// The mean time that a straggler travels.
    pub straggling_mean: u64,
    /// The mean time that a sync takes.
    pub sync_mean: u64,
    /// Of 1,000 inputs, so many wait for the next one before their output is taken.
    pub gathered_permille: u64,
    /// How much faster or slower than it should a node's clock may run, in 1,000.
    pub drift_permille: u64,
    /// The mean time between two faults of nodes or links; none, if there are none.
    pub fault_mean: Option<u64>,
    /// The mean time that a fault lasts.
    pub fault_length_mean: u64,
    /// The mean time that each step of the work on a snapshot takes.
    pub work_mean: u64,
    /// How long there are faults.
    pub chaos: u64,
    /// A node that dies forgets what it had stored. Never drawn, since no consensus outlives it: it shows that
    /// the rules say no.
    pub amnesia: bool,
}

impl Options {
    /// Whether no limit is met that makes a node refuse or drop anything.
    fn has_room(&self) -> bool {
        let limits = &self.config.limits;
        let Limits {
            requests,
            uncommitted_bytes,
            ..
        } = Limits::default();
        limits.requests == requests && limits.uncommitted_bytes == uncommitted_bytes
    }

    /// Draws a world.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut pick = |choices: &[u64]| *rng.choose(choices).expect("a choice");
        let nodes = pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 5, 6, 7]);
        let heartbeat = pick(&[1, 2, 3]) as u32;
        let shortest_election = heartbeat * pick(&[2, 3, 5]) as u32;
        let longest_election = shortest_election * pick(&[1, 2, 2, 3]) as u32 + 1;
        let limits = if pick(&[0, 1]) == 0 {
            Limits::default()
        } else {
            // So small that every one of them is met.
            Limits {
                requests: pick(&[1, 3, 10]) as usize,
                proposals: pick(&[1, 3, 10]) as usize,
                uncommitted_bytes: pick(&[1, 200, 1000]) as usize,
                reads: pick(&[1, 3, 10]) as usize,
                rounds: pick(&[1, 2, 4]) as usize,
                append_entries: pick(&[1, 2, 5]) as usize,
                append_bytes: pick(&[1, 200, 1000]) as usize,
                inflight_appends: pick(&[1, 2, 5]) as usize,
                inflight_bytes: pick(&[1, 200, 1000]) as usize,
                early_appends: pick(&[1, 2, 5]) as usize,
                forwards_seen: pick(&[1, 2, 5]) as usize,
                incarnations: pick(&[1, 2, 5]) as usize,
                ..Limits::default()
            }
        };
        let limits = match pick(&[0, 1, 2, 3]) {
            0 => limits,
            _ => Self::draw_snapshots(limits, &mut pick),
        };
        let config = Config {
            heartbeat,
            shortest_election,
            longest_election,
            limits,
        };
        let calm = pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) == 0;
        let mut unless_calm = |choices: &[u64]| if calm { 0 } else { pick(choices) };
        let lost_permille = unless_calm(&[0, 0, 10, 50, 200]);
        let duplicated_permille = unless_calm(&[0, 0, 10, 50, 200]);
        let straggling_permille = unless_calm(&[0, 0, 5, 50]);
        let drift_permille = unless_calm(&[0, 100, 400]);
        let load_mean = unless_calm(&[0, 100, 300, 1000]);
        let fault_mean = unless_calm(&[0, 10_000, 30_000, 80_000]);
        let (latencies, syncs): (&[u64], &[u64]) = if calm {
            (&[10, 100], &[0, 50])
        } else {
            (&[10, 100, 500, 1500, 4000], &[0, 50, 500, 2000])
        };
        Self {
            nodes,
            clients: pick(&[1, 2, 4, 8]) as usize,
            keys: pick(&[1, 2, 3]),
            values: pick(&[2, 4, 100]),
            think_mean: pick(&[200, 2000, 10_000]),
            load_mean: (load_mean > 0).then_some(load_mean),
            client_timeout: u64::from(longest_election) * TICK * pick(&[1, 3, 6]),
            latency_mean: pick(latencies),
            lost_permille,
            duplicated_permille,
            straggling_permille,
            straggling_mean: pick(&[20_000, 80_000]),
            sync_mean: pick(syncs),
            gathered_permille: pick(&[0, 100, 500]),
            drift_permille,
            fault_mean: (fault_mean > 0).then_some(fault_mean),
            fault_length_mean: pick(&[5_000, 20_000, 60_000]),
            work_mean: if calm {
                50
            } else {
                pick(&[0, 500, 5000, 20_000])
            },
            chaos: pick(&[100_000, 200_000, 300_000]),
            amnesia: false,
            config,
        }
    }

    /// Snapshots so often that they meet everything else.
    fn draw_snapshots(limits: Limits, pick: &mut impl FnMut(&[u64]) -> u64) -> Limits {
        let snapshot_entries = pick(&[1, 2, 4, 10, 40]);
        let snapshot_bytes = pick(&[1, 300, 1 << 20, 1 << 20]);
        Limits {
            snapshot_entries,
            snapshot_bytes,
            trailing_entries: pick(&[0, 0, 2, 10]),
            trailing_bytes: pick(&[0, 200, 1 << 20, 1 << 20]),
            retained_entries: snapshot_entries + pick(&[0, 0, 10, 100]),
            retained_bytes: snapshot_bytes + pick(&[0, 1000, 1 << 20]),
            chunk_bytes: pick(&[3, 10, 1 << 10]) as usize,
            ..limits
        }
    }

    /// Whether nothing ever goes wrong in this world.
    pub fn is_calm(&self) -> bool {
        self.lost_permille == 0
            && self.straggling_permille == 0
            && self.drift_permille == 0
            && self.fault_mean.is_none()
            && self.latency_mean <= 100
            && self.sync_mean <= 50
            && self.has_room()
    }
}
