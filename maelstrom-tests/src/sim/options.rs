//! The world of a run. Every option is drawn from the seed; `--set` overrides it by name.

use std::fmt;
use std::ops::RangeInclusive;

use raft_core::{Config, Limits};
use rand::Rng;

/// One tick of an exact clock, in the run's unit of time. The product's tick is 10 ms, so the unit
/// is 10 µs.
pub const TICK: u64 = 1000;

/// A simulated hour in the run's unit of time.
pub const HOUR: u64 = TICK * 100 * 3600;

/// The longest of a million runs has a tenth of this. A run that does not end would look for it
/// until memory runs out.
const HAPPENINGS_MAX: u64 = 2_000_000;

/// No run needs a tenth of this.
const BYTES_MAX: u64 = 256 << 20;

/// The range of most limits: [`Config::validate`] knows better.
const LIMIT: RangeInclusive<u64> = 0..=1 << 40;

/// What is known of an option beside its value.
#[derive(Debug)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Its value in a calm world.
    pub calm: u64,
    /// The values that it may have.
    pub range: RangeInclusive<u64>,
    /// What it means.
    pub help: &'static str,
}

macro_rules! options {
    ($(#[doc = $help:literal] $name:ident: $calm:expr, $range:expr;)+) => {
        /// A run's world. Times are in thousandths of a tick, unless the option says otherwise.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct Options {
            $(#[doc = $help] pub $name: u64,)+
        }

        impl Options {
            /// All options.
            pub const ALL: &[Description] = &[$(Description {
                name: stringify!($name),
                calm: $calm,
                range: $range,
                help: $help,
            }),+];

            /// A world without faults: three nodes on good machines.
            pub const CALM: Self = Self { $($name: $calm,)+ };

            /// An option's value.
            ///
            /// # Panics
            /// If there is no such option.
            pub fn value(&self, name: &str) -> u64 {
                match name {
                    $(stringify!($name) => self.$name,)+
                    _ => panic!("there is no option {name}"),
                }
            }

            /// Sets an option.
            ///
            /// # Panics
            /// If there is no such option.
            pub fn set(&mut self, name: &str, value: u64) {
                match name {
                    $(stringify!($name) => self.$name = value,)+
                    _ => panic!("there is no option {name}"),
                }
            }
        }
    };
}

options! {
    /// Nodes.
    nodes: 3, 1..=7;
    /// Further nodes, which wait to be added.
    joiners: 0, 0..=7;
    /// Mean time between changes of the members; 0: none.
    change_mean: 0, 0..=HOUR;
    /// How long the nodes of a change may take to catch up, in longest election timeouts.
    change_deadline: 4, 1..=1000;

    /// Ticks between heartbeats.
    heartbeat: 2, 1..=100_000;
    /// The shortest election timeout, in ticks.
    shortest_election: 10, 1..=100_000;
    /// The longest election timeout, in ticks.
    longest_election: 20, 1..=100_000;
    /// How long a request may wait, in longest election timeouts.
    deadline: 2, 1..=1000;
    /// Limit: open requests of clients at a node.
    requests: 4096, LIMIT;
    /// Limit: uncommitted commands.
    proposals: 32_768, LIMIT;
    /// Limit: uncommitted bytes.
    uncommitted_bytes: 64 << 20, LIMIT;
    /// Limit: bytes of entries that wait for the node's disk.
    unsynced_bytes: 64 << 20, LIMIT;
    /// Limit: reads that wait for a round.
    reads: 32_768, LIMIT;
    /// Limit: concurrent read rounds.
    rounds: 64, LIMIT;
    /// Limit: entries in one Append.
    append_entries: 1024, LIMIT;
    /// Limit: bytes in one Append.
    append_bytes: 1 << 20, LIMIT;
    /// Limit: unacknowledged Appends to a follower.
    inflight_appends: 64, LIMIT;
    /// Limit: unacknowledged bytes to a follower.
    inflight_bytes: 8 << 20, LIMIT;
    /// Limit: Appends kept because they arrived before earlier ones.
    early_appends: 64, LIMIT;
    /// Entries after which a snapshot is taken.
    snapshot_entries: 1 << 16, LIMIT;
    /// Bytes of entries after which a snapshot is taken.
    snapshot_bytes: 32 << 20, LIMIT;
    /// Entries kept before a snapshot.
    trailing_entries: 1 << 13, LIMIT;
    /// Bytes of entries kept before a snapshot.
    trailing_bytes: 8 << 20, LIMIT;
    /// Entries kept for a lagging follower.
    retained_entries: 1 << 19, LIMIT;
    /// Bytes of entries kept for a lagging follower.
    retained_bytes: 256 << 20, LIMIT;
    /// Entries after a snapshot at which the log may not grow.
    log_entries: 1 << 20, LIMIT;
    /// Committed entries that one output applies.
    apply_entries: 1 << 10, LIMIT;
    /// Bytes in one chunk of a snapshot.
    chunk_bytes: 256 << 10, LIMIT;
    /// Limit: unacknowledged chunks to a follower.
    inflight_chunks: 4, LIMIT;

    /// Clients.
    clients: 2, 1..=100;
    /// Keys in use at once; at most one for each client.
    keys: 1, 1..=100;
    /// About how many operations a key gets until a new key replaces it.
    key_operations: 60, 1..=1000;
    /// Requests that delete, of 1,000 that change a key.
    deletes_permille: 0, 0..=1000;
    /// Mean time from an answer to the client's next request.
    think_mean: 2000, 1..=HOUR;
    /// A client's timeout.
    client_timeout: 60_000, 1..=HOUR;
    /// Clients with sessions of their own: they send a write again until it has an answer.
    session_clients: 0, 0..=100;
    /// Requests without a certain answer that other clients send again as new ones, of 1,000.
    retried_permille: 0, 0..=1000;
    /// Mean time between writes whose clients do not wait; 0: none.
    load_mean: 0, 0..=HOUR;
    /// The largest such write, in bytes.
    load_bytes: 1, 1..=1 << 16;
    /// Mean time between requests for a leadership transfer; 0: none.
    transfer_mean: 0, 0..=HOUR;

    /// Least latency of a message.
    latency_least: 0, 0..=HOUR;
    /// Mean latency of a message beyond that.
    latency_mean: 100, 0..=HOUR;
    /// Messages lost, of 1,000.
    lost_permille: 0, 0..=1000;
    /// Messages duplicated, of 1,000.
    duplicated_permille: 0, 0..=1000;
    /// Messages that take straggling_mean instead, of 1,000.
    straggling_permille: 0, 0..=1000;
    /// Mean latency of a straggler.
    straggling_mean: 20_000, 0..=HOUR;

    /// The length of a segment of the log, in bytes.
    segment_bytes: 4096, 4096..=1 << 20;
    /// Mean time of a sync.
    sync_mean: 50, 0..=HOUR;
    /// Mean time of each step of the work on a snapshot.
    work_mean: 50, 0..=HOUR;
    /// Inputs whose output waits for the next input, of 1,000.
    gathered_permille: 0, 0..=1000;
    /// The largest error of a clock's rate, of 1,000.
    drift_permille: 0, 0..=900;

    /// How long faults are injected.
    chaos: 100_000, 0..=HOUR;
    /// Mean time between faults; 0: none.
    fault_mean: 0, 0..=HOUR;
    /// Mean length of a fault.
    fault_length_mean: 20_000, 0..=HOUR;
    /// 1: a process may die, alone or with its machine.
    crash: 0, 0..=1;
    /// 1: all machines may lose power.
    power_failure: 0, 0..=1;
    /// 1: a process may crash during a disk call.
    crash_in_call: 0, 0..=1;
    /// 1: a process may be paused.
    pause: 0, 0..=1;
    /// 1: a node may be cut off.
    isolation: 0, 0..=1;
    /// 1: a node may be cut off in one direction.
    one_way: 0, 0..=1;
    /// 1: the nodes may be partitioned into halves.
    halves: 0, 0..=1;
    /// 1: the nodes may be partitioned, except for one that reaches both halves.
    bridge: 0, 0..=1;
    /// 1: all messages may be slow for a while.
    spike: 0, 0..=1;
    /// 1: messages from one node to another may be slow.
    slow_link: 0, 0..=1;
    /// 1: a disk may be full for a while.
    full_disk: 0, 0..=1;
    /// 1: a disk call may fail.
    failed_call: 0, 0..=1;
    /// 1: a sync may take as long as a fault.
    hanging_sync: 0, 0..=1;
    /// 1: a disk may be slow for a while.
    slow_disk: 0, 0..=1;
    /// 1: a node may lose its disk; it returns with an empty one once that does no harm.
    lost_disk: 0, 0..=1;
    /// 1: a bit on a disk may flip; never on a quorum of disks.
    bit_flip: 0, 0..=1;
    /// 1: a clock may stop, or jump ahead.
    clock_jump: 0, 0..=1;
    /// The most nodes that stay away when faults cease; a quorum remains.
    lost_for_good: 0, 0..=7;

    /// How often a connected quorum must serve, at the end, while faults last that do not heal; 0: there are none.
    lasting: 0, 0..=10_000;
    /// Messages lost then, of 1,000.
    lasting_lost_permille: 0, 0..=1000;
    /// Mean latency of a message then; at least half of it.
    lasting_latency: 200, 0..=HOUR;
    /// Links cut then, of 1,000 that do not join two nodes of the quorum.
    lasting_cut_permille: 0, 0..=1000;
    /// 1: disks outside that quorum may hang then, some for ever, or be slow.
    lasting_disks: 0, 0..=1;

    /// The most things that may happen in a run.
    happenings_max: HAPPENINGS_MAX, 1..=u64::MAX;
    /// The most bytes that disks, logs and messages of a run may take.
    bytes_max: BYTES_MAX, 1..=u64::MAX;

    /// 1: a disk forgets everything at a power failure. Never drawn: Raft does not tolerate it, and the rules must say so.
    amnesia: 0, 0..=1;
}

impl Options {
    /// Draws a world.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut world = Self::CALM;
        let mut pick = |choices: &[u64]| *rng.choose(choices).expect("a choice");
        world.nodes = pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 5, 6, 7]);
        world.heartbeat = pick(&[1, 2, 3]);
        world.shortest_election = world.heartbeat * pick(&[2, 3, 5]);
        world.longest_election = world.shortest_election * pick(&[1, 2, 2, 3]) + 1;
        if pick(&[0, 1]) == 1 {
            world.draw_narrow(&mut pick);
        }
        if pick(&[0, 1, 1, 1]) == 1 {
            world.draw_snapshots(&mut pick);
        }
        world.clients = pick(&[1, 2, 4, 8]);
        world.keys = pick(&[1, 2, 3]).min(world.clients);
        world.key_operations = pick(&[20, 60, 60]);
        world.think_mean = pick(&[200, 2000, 10_000]);
        world.client_timeout = world.longest_election * TICK * pick(&[1, 3, 6]);
        world.chaos = pick(&[100_000, 200_000, 300_000]);
        world.segment_bytes = pick(&[4096, 4096, 16_384]);
        if pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) > 0 {
            world.draw_trouble(&mut pick);
            world.transfer_mean = pick(&[0, 0, 5000, 30_000]);
        }
        if pick(&[0, 0, 1]) == 1 {
            world.draw_changes(&mut pick);
        }
        world
    }

    /// Limits so small that each is reached.
    fn draw_narrow(&mut self, pick: &mut impl FnMut(&[u64]) -> u64) {
        self.requests = pick(&[1, 3, 10]);
        self.proposals = pick(&[1, 3, 10]);
        self.uncommitted_bytes = pick(&[1, 200, 1000]);
        self.unsynced_bytes = pick(&[1, 1000]);
        self.reads = pick(&[1, 3, 10]);
        self.rounds = pick(&[1, 2, 4]);
        self.append_entries = pick(&[1, 2, 5]);
        self.append_bytes = pick(&[1, 200, 1000]);
        self.inflight_appends = pick(&[1, 2, 5]);
        self.inflight_bytes = pick(&[1, 200, 1000]);
        self.early_appends = pick(&[1, 2, 5]);
        self.apply_entries = pick(&[1, 2, 5]);
    }

    /// Snapshots so often that they coincide with everything else.
    fn draw_snapshots(&mut self, pick: &mut impl FnMut(&[u64]) -> u64) {
        self.snapshot_entries = pick(&[1, 2, 4, 10, 40]);
        self.snapshot_bytes = pick(&[1, 300, 1 << 20, 1 << 20]);
        self.trailing_entries = pick(&[0, 0, 2, 10]);
        self.trailing_bytes = pick(&[0, 200, 1 << 20, 1 << 20]);
        self.retained_entries = self.snapshot_entries + pick(&[0, 0, 10, 100]);
        self.retained_bytes = self.snapshot_bytes + pick(&[0, 1000, 1 << 20]);
        self.log_entries = self.retained_entries + pick(&[0, 10, 100]);
        self.chunk_bytes = pick(&[20, 50, 1 << 10]);
        self.inflight_chunks = pick(&[1, 2, 4]);
    }

    /// A world with faults. Each world has about half of the kinds, so that none hides the others.
    fn draw_trouble(&mut self, pick: &mut impl FnMut(&[u64]) -> u64) {
        self.deletes_permille = pick(&[0, 100, 300]);
        self.session_clients = pick(&[0, 0, 2, 8]).min(self.clients);
        self.retried_permille = pick(&[0, 500]);
        self.load_mean = pick(&[0, 100, 300, 1000]);
        self.load_bytes = pick(&[1, 50, 400]);
        self.latency_mean = pick(&[10, 100, 500, 1500, 4000]);
        self.lost_permille = pick(&[0, 0, 10, 50, 200]);
        self.duplicated_permille = pick(&[0, 0, 10, 50, 200]);
        self.straggling_permille = pick(&[0, 0, 5, 50]);
        self.straggling_mean = pick(&[20_000, 80_000]);
        self.sync_mean = pick(&[0, 50, 500, 2000]);
        self.work_mean = pick(&[0, 500, 5000, 20_000]);
        self.gathered_permille = pick(&[0, 100, 500]);
        self.drift_permille = pick(&[0, 100, 400]);
        self.fault_mean = pick(&[0, 10_000, 30_000, 80_000]);
        self.fault_length_mean = pick(&[5_000, 20_000, 60_000]);
        for fault in Fault::ALL {
            self.set(fault.name(), pick(&[0, 1]));
        }
        self.bit_flip &= pick(&[0, 1]);
        self.lost_for_good = pick(&[0, 0, 1, 3]);
        if pick(&[0, 0, 1]) == 1 {
            self.draw_lasting(pick);
        }
    }

    /// Members that come and go. Faults that must leave a quorum of the first members are left out.
    fn draw_changes(&mut self, pick: &mut impl FnMut(&[u64]) -> u64) {
        self.joiners = pick(&[1, 3, 5]);
        self.change_mean = pick(&[3_000, 10_000, 40_000]);
        self.change_deadline = pick(&[1, 4]);
        (self.lost_disk, self.bit_flip) = (0, 0);
        (self.lost_for_good, self.lasting) = (0, 0);
    }

    /// Faults that last. Small limits and lost or slow messages together may leave no time for any
    /// request, so they are not drawn together.
    fn draw_lasting(&mut self, pick: &mut impl FnMut(&[u64]) -> u64) {
        self.lasting = 8;
        self.lasting_cut_permille = pick(&[0, 300, 700, 1000]);
        self.lasting_disks = pick(&[0, 1]);
        self.lasting_latency = pick(&[0, 50]) * self.longest_election;
        self.lasting_lost_permille = pick(&[0, 0, 50]);
        if self.has_room() {
            self.lasting_latency = pick(&[0, 50, 200, 500]) * self.longest_election;
        }
        // Without snapshots, round trips may take longer than the longest election timeout.
        if self.has_room()
            && self.snapshot_entries == Self::CALM.snapshot_entries
            && pick(&[0, 1]) == 1
        {
            self.lasting_latency = 1000 * self.longest_election;
            self.deadline = 16;
        }
        // A snapshot in tiny chunks takes hundreds of round trips.
        if self.has_tiny_chunks() {
            self.lasting_latency = self.lasting_latency.min(50 * self.longest_election);
        }
        if self.lasting_latency > 50 * self.longest_election {
            self.lasting_lost_permille = 0;
        }
    }

    /// The world while faults last.
    pub fn lasting_world(&self) -> Self {
        Self {
            latency_least: self.lasting_latency / 2,
            latency_mean: self.lasting_latency / 2,
            lost_permille: self.lasting_lost_permille,
            straggling_permille: 0,
            sync_mean: Self::CALM.sync_mean,
            work_mean: Self::CALM.work_mean,
            ..self.clone()
        }
    }

    /// The nodes' times and limits.
    ///
    /// # Errors
    /// If no node could run with them.
    pub fn config(&self) -> Result<Config, String> {
        let config = Config {
            heartbeat: self.heartbeat as u32,
            shortest_election: self.shortest_election as u32,
            longest_election: self.longest_election as u32,
            request_deadline: (self.deadline * self.longest_election) as u32,
            change_deadline: (self.change_deadline * self.longest_election) as u32,
            limits: Limits {
                requests: self.requests as usize,
                proposals: self.proposals as usize,
                uncommitted_bytes: self.uncommitted_bytes as usize,
                unsynced_bytes: self.unsynced_bytes as usize,
                reads: self.reads as usize,
                rounds: self.rounds as usize,
                append_entries: self.append_entries as usize,
                append_bytes: self.append_bytes as usize,
                inflight_appends: self.inflight_appends as usize,
                inflight_bytes: self.inflight_bytes as usize,
                early_appends: self.early_appends as usize,
                snapshot_entries: self.snapshot_entries,
                snapshot_bytes: self.snapshot_bytes,
                trailing_entries: self.trailing_entries,
                trailing_bytes: self.trailing_bytes,
                retained_entries: self.retained_entries,
                retained_bytes: self.retained_bytes,
                log_entries: self.log_entries,
                apply_entries: self.apply_entries,
                chunk_bytes: self.chunk_bytes as usize,
                inflight_chunks: self.inflight_chunks as usize,
                ..Limits::default()
            },
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks that a run can take place in this world.
    ///
    /// # Errors
    /// Names an option that is out of range, or options that do not fit each other.
    pub fn validate(&self) -> Result<(), String> {
        for Description { name, range, .. } in Self::ALL {
            let value = self.value(name);
            if !range.contains(&value) {
                let (least, most) = (range.start(), range.end());
                return Err(format!(
                    "{name} must be from {least} to {most}, not {value}"
                ));
            }
        }
        if self.keys > self.clients {
            return Err("keys must be at most clients".into());
        }
        self.config().map(drop)
    }

    /// The options that differ from a calm world.
    pub fn changed(&self) -> impl Iterator<Item = &'static Description> {
        Self::ALL
            .iter()
            .filter(|option| self.value(option.name) != option.calm)
    }

    /// The kinds of faults in this world.
    pub fn faults(&self) -> Vec<Fault> {
        let is_on = |fault: &Fault| self.value(fault.name()) > 0;
        Fault::ALL.into_iter().filter(is_on).collect()
    }

    /// Whether a slightly lagging follower needs no snapshot. With a snapshot it applies entries so
    /// late that its reads may expire.
    pub fn keeps_followers_close(&self) -> bool {
        self.retained_entries >= 100 && self.retained_bytes >= 1 << 14
    }

    /// Whether a follower's timeout is longer than a heartbeat with its latency. Otherwise it
    /// sometimes gives up a healthy leader.
    pub fn is_patient(&self) -> bool {
        self.shortest_election >= self.heartbeat + 2
    }

    /// The room on each disk. A run breaks the bound of its bytes first, unless a single call of the
    /// disk does not end.
    pub fn room(&self) -> u64 {
        self.bytes_max.saturating_mul(2)
    }

    /// Whether messages arrive, and in time, so that a leader that a quorum hears has no reason to
    /// step down.
    pub fn is_gentle(&self) -> bool {
        self.lost_permille == 0
            && self.latency_least + self.latency_mean <= self.longest_election * TICK / 20
            && self.is_patient()
    }

    fn has_tiny_chunks(&self) -> bool {
        self.chunk_bytes < 100
    }

    /// How many times as long as elsewhere a lagging node may take: seed 83088038 took 60 longest
    /// election timeouts for a snapshot of 8 kB in chunks of 20 bytes.
    pub fn slowness_of_snapshots(&self) -> u64 {
        if self.has_tiny_chunks() { 2 } else { 1 }
    }

    /// Whether no limit makes a node refuse or drop anything.
    pub fn has_room(&self) -> bool {
        let limits = |world: &Self| {
            [
                world.requests,
                world.proposals,
                world.reads,
                world.uncommitted_bytes,
                world.unsynced_bytes,
            ]
        };
        limits(self) == limits(&Self::CALM)
    }

    /// Whether this world has no faults.
    pub fn is_calm(&self) -> bool {
        self.lost_permille == 0
            && self.straggling_permille == 0
            && self.drift_permille == 0
            && self.fault_mean == 0
            && self.transfer_mean == 0
            && self.lost_for_good == 0
            && self.lasting == 0
            && self.change_mean == 0
            && self.latency_least + self.latency_mean <= 100
            && self.sync_mean <= 50
            // A log that reaches its limit while a slow snapshot is stored takes no writes.
            && (self.work_mean <= 50 || self.log_entries >= 1000)
            && self.is_patient()
            && self.has_room()
            && self.keeps_followers_close()
    }
}

/// Prints what differs from a calm world.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |option: &Description| format!("{}={}", option.name, self.value(option.name));
        let words: Vec<String> = self.changed().map(word).collect();
        f.write_str(&words.join(" "))
    }
}

macro_rules! faults {
    ($($variant:ident $name:ident,)+) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = concat!("See [`Options::", stringify!($name), "`].")] $variant,)+
        }

        impl Fault {
            /// All kinds.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The option that allows it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)+
                }
            }
        }
    };
}

faults! {
    Crash crash,
    PowerFailure power_failure,
    CrashInCall crash_in_call,
    Pause pause,
    Isolation isolation,
    OneWay one_way,
    Halves halves,
    Bridge bridge,
    Spike spike,
    SlowLink slow_link,
    FullDisk full_disk,
    FailedCall failed_call,
    HangingSync hanging_sync,
    SlowDisk slow_disk,
    LostDisk lost_disk,
    BitFlip bit_flip,
    ClockJump clock_jump,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drawn_world_is_valid() {
        let mut rng = Rng::seeded(1);
        for _ in 0..2000 {
            let world = Options::draw(&mut rng);
            world
                .validate()
                .unwrap_or_else(|why| panic!("{why}: {world}"));
        }
    }

    #[test]
    fn calm_world_has_the_limits_of_the_product() {
        let config = Options::CALM.config().expect("a valid world");
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn options_are_set_by_name() {
        let mut world = Options::CALM;
        for option in Options::ALL {
            assert_eq!(world.value(option.name), option.calm);
            world.set(option.name, 7);
            assert_eq!(world.value(option.name), 7);
        }
    }

    #[test]
    fn world_prints_what_differs() {
        let mut world = Options::CALM;
        assert_eq!(world.to_string(), "");
        world.crash = 1;
        world.nodes = 5;
        assert_eq!(world.to_string(), "nodes=5 crash=1");
    }

    #[test]
    fn impossible_world_is_rejected() {
        for (name, value, why) in [
            ("nodes", 8, "nodes must be from 1 to 7"),
            ("heartbeat", 0, "heartbeat must be from 1"),
            ("heartbeat", 50, "heartbeat"),
            ("keys", 3, "keys must be at most clients"),
            ("segment_bytes", 1, "segment_bytes"),
        ] {
            let mut world = Options::CALM;
            assert_eq!(world.validate(), Ok(()));
            world.set(name, value);
            let said = world.validate().expect_err("an impossible world");
            assert!(said.contains(why), "{said}");
        }
    }
}
