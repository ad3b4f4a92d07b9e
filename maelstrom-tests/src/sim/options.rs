//! What kind of world a run takes place in. All of it is drawn from the seed; any of it can be set
//! by name, by whoever replays a run or looks for a smaller one.

use std::fmt;

use raft_core::{Config, Limits};
use rand::Rng;

/// One tick of a clock that runs right, in the run's unit of time. The product's tick is 10 ms, so
/// this is 10 µs.
pub const TICK: u64 = 1000;

/// So many units of time are a simulated hour.
pub const HOUR: u64 = TICK * 100 * 3600;

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $calm:expr,)+) => {
        /// A run's world. Times are in thousandths of a tick, a rate of 0 means never.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct Options {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Options {
            /// The names of all options.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// A world in which nothing ever goes wrong: three nodes on good machines.
            pub const CALM: Self = Self { $($name: $calm,)+ };

            /// An option's value; none, if there is no such option.
            pub fn value(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($name) => Some(self.$name),)+
                    _ => None,
                }
            }

            /// Sets an option. Tells whether there is one of that name.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)+
                    _ => return false,
                }
                true
            }
        }
    };
}

options! {
    /// How many nodes there are, 1 to 7.
    nodes: 3,

    /// See [`Config::heartbeat`], in ticks.
    heartbeat: 2,
    /// See [`Config::shortest_election`], in ticks.
    shortest_election: 10,
    /// See [`Config::longest_election`], in ticks.
    longest_election: 20,
    /// See [`Limits`], this one and those below.
    requests: 4096,
    /// Commands not committed yet.
    proposals: 32_768,
    /// Bytes not committed yet.
    uncommitted_bytes: 64 << 20,
    /// Reads that wait for a round.
    reads: 32_768,
    /// Read rounds at once.
    rounds: 64,
    /// Entries in one Append.
    append_entries: 1024,
    /// Bytes in one Append.
    append_bytes: 1 << 20,
    /// Appends on their way.
    inflight_appends: 64,
    /// Bytes on their way.
    inflight_bytes: 8 << 20,
    /// Appends that came early.
    early_appends: 64,
    /// Forwards remembered.
    forwards_seen: 16_384,
    /// Lives told apart.
    incarnations: 1024,
    /// Entries until a snapshot.
    snapshot_entries: 1 << 16,
    /// Bytes until a snapshot.
    snapshot_bytes: 32 << 20,
    /// Entries kept behind a snapshot.
    trailing_entries: 1 << 13,
    /// Bytes kept behind a snapshot.
    trailing_bytes: 8 << 20,
    /// Entries kept for a follower that catches up.
    retained_entries: 1 << 19,
    /// Bytes kept for a follower that catches up.
    retained_bytes: 256 << 20,
    /// Bytes in a chunk of a snapshot.
    chunk_bytes: 256 << 10,

    /// How many clients ask at once.
    clients: 2,
    /// How many keys they ask about at once.
    keys: 1,
    /// After about so many operations a new key takes the place of one.
    key_operations: 60,
    /// The mean time from an answer to the client's next request.
    think_mean: 2000,
    /// When a client gives up.
    client_timeout: 60_000,
    /// Of 1,000 requests whose outcome nobody told, so many are asked again.
    retried_permille: 0,
    /// The mean time between two writes that nobody waits for.
    load_mean: 0,
    /// Such a write has at most so many bytes.
    load_bytes: 1,

    /// The mean time that a message travels.
    latency_mean: 100,
    /// Of 1,000 messages, so many are lost.
    lost_permille: 0,
    /// Of 1,000 messages, so many arrive twice.
    duplicated_permille: 0,
    /// Of 1,000 messages (or copies), so many take [`Options::straggling_mean`] instead.
    straggling_permille: 0,
    /// The mean time that a straggler travels.
    straggling_mean: 20_000,

    /// The length of a segment of the log, in bytes.
    segment_bytes: 4096,
    /// The mean time that a sync takes.
    sync_mean: 50,
    /// The mean time that each step of the work on a snapshot takes.
    work_mean: 50,
    /// Whether a node stands still while it syncs, as the product's does (1), or goes on (0).
    sync_blocks: 1,
    /// Of 1,000 inputs, so many wait for the next one before their output is taken.
    gathered_permille: 0,
    /// How much faster or slower than it should a node's clock may run, in 1,000.
    drift_permille: 0,

    /// How long there are faults.
    chaos: 100_000,
    /// The mean time between two faults of nodes, links or disks.
    fault_mean: 0,
    /// The mean time that a fault lasts.
    fault_length_mean: 20_000,
    /// Whether one process may die (1), alone or with its machine; and likewise below.
    crash: 0,
    /// Whether all may, at once.
    power_failure: 0,
    /// Whether a process may die in the middle of a call of its disk.
    crash_in_call: 0,
    /// Whether a process may stand still.
    pause: 0,
    /// Whether a node may be cut off.
    isolation: 0,
    /// Whether a node may hear nobody, or be heard by nobody.
    one_way: 0,
    /// Whether the nodes may fall into two halves.
    halves: 0,
    /// Whether they may fall into two halves with one node between that hears both.
    bridge: 0,
    /// Whether all messages may take long for a while.
    spike: 0,
    /// Whether those from one node to another may.
    slow_link: 0,
    /// Whether a disk may have no room for a while.
    full_disk: 0,
    /// Whether a call of a disk may fail.
    failed_call: 0,
    /// Whether a sync may take as long as a fault.
    hanging_sync: 0,
    /// Whether a disk may be slow for a while.
    slow_disk: 0,
    /// Whether a disk may give back other bits than it was given. Never happens to more disks than a cluster can lose.
    bit_flip: 0,
    /// Whether a clock may stand still, or jump ahead.
    clock_jump: 0,
    /// How many nodes stay away when the faults cease, at most; a quorum never does.
    lost_for_good: 0,

    /// Whether a disk forgets all that it was given when its machine loses power. Never drawn, since no consensus
    /// outlives it: it shows that the rules say no.
    amnesia: 0,
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
        world.sync_blocks = pick(&[0, 1]);
        if pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) > 0 {
            world.draw_trouble(&mut pick);
        }
        world
    }

    /// Limits so small that every one of them is met.
    fn draw_narrow(&mut self, pick: &mut impl FnMut(&[u64]) -> u64) {
        self.requests = pick(&[1, 3, 10]);
        self.proposals = pick(&[1, 3, 10]);
        self.uncommitted_bytes = pick(&[1, 200, 1000]);
        self.reads = pick(&[1, 3, 10]);
        self.rounds = pick(&[1, 2, 4]);
        self.append_entries = pick(&[1, 2, 5]);
        self.append_bytes = pick(&[1, 200, 1000]);
        self.inflight_appends = pick(&[1, 2, 5]);
        self.inflight_bytes = pick(&[1, 200, 1000]);
        self.early_appends = pick(&[1, 2, 5]);
        self.forwards_seen = pick(&[1, 2, 5]);
        self.incarnations = pick(&[1, 2, 5]);
    }

    /// Snapshots so often that they meet everything else.
    fn draw_snapshots(&mut self, pick: &mut impl FnMut(&[u64]) -> u64) {
        self.snapshot_entries = pick(&[1, 2, 4, 10, 40]);
        self.snapshot_bytes = pick(&[1, 300, 1 << 20, 1 << 20]);
        self.trailing_entries = pick(&[0, 0, 2, 10]);
        self.trailing_bytes = pick(&[0, 200, 1 << 20, 1 << 20]);
        self.retained_entries = self.snapshot_entries + pick(&[0, 0, 10, 100]);
        self.retained_bytes = self.snapshot_bytes + pick(&[0, 1000, 1 << 20]);
        self.chunk_bytes = pick(&[20, 50, 1 << 10]);
    }

    /// A world in which things go wrong. Of the kinds of faults each world has about half, so that
    /// none hides behind the others.
    fn draw_trouble(&mut self, pick: &mut impl FnMut(&[u64]) -> u64) {
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
    }

    /// The nodes' times and limits.
    ///
    /// # Errors
    /// Says why no node could live with them.
    pub fn config(&self) -> Result<Config, String> {
        let ticks = |ticks: u64| u32::try_from(ticks).map_err(|_| "too many ticks".to_owned());
        let size = |size: u64| usize::try_from(size).map_err(|_| "too large a limit".to_owned());
        let config = Config {
            heartbeat: ticks(self.heartbeat)?,
            shortest_election: ticks(self.shortest_election)?,
            longest_election: ticks(self.longest_election)?,
            limits: Limits {
                requests: size(self.requests)?,
                proposals: size(self.proposals)?,
                uncommitted_bytes: size(self.uncommitted_bytes)?,
                reads: size(self.reads)?,
                rounds: size(self.rounds)?,
                append_entries: size(self.append_entries)?,
                append_bytes: size(self.append_bytes)?,
                inflight_appends: size(self.inflight_appends)?,
                inflight_bytes: size(self.inflight_bytes)?,
                early_appends: size(self.early_appends)?,
                forwards_seen: size(self.forwards_seen)?,
                incarnations: size(self.incarnations)?,
                snapshot_entries: self.snapshot_entries,
                snapshot_bytes: self.snapshot_bytes,
                trailing_entries: self.trailing_entries,
                trailing_bytes: self.trailing_bytes,
                retained_entries: self.retained_entries,
                retained_bytes: self.retained_bytes,
                chunk_bytes: size(self.chunk_bytes)?,
                ..Limits::default()
            },
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks that a run can take place in this world.
    ///
    /// # Errors
    /// Says what can't be.
    pub fn validate(&self) -> Result<(), String> {
        self.config()?;
        let bounds = [
            ("nodes", 1, 7),
            ("clients", 1, 100),
            ("keys", 1, self.clients),
            ("key_operations", 1, 1000),
            ("client_timeout", 1, HOUR),
            ("load_bytes", 1, 1 << 16),
            ("segment_bytes", 4096, 1 << 20),
            ("drift_permille", 0, 900),
            ("chaos", 0, HOUR),
            ("think_mean", 1, HOUR),
            ("load_mean", 0, HOUR),
            ("latency_mean", 0, HOUR),
            ("straggling_mean", 0, HOUR),
            ("sync_mean", 0, HOUR),
            ("work_mean", 0, HOUR),
            ("fault_mean", 0, HOUR),
            ("fault_length_mean", 0, HOUR),
            ("longest_election", 1, 100_000),
            ("lost_for_good", 0, 7),
            ("retried_permille", 0, 1000),
            ("lost_permille", 0, 1000),
            ("duplicated_permille", 0, 1000),
            ("straggling_permille", 0, 1000),
            ("gathered_permille", 0, 1000),
        ];
        for (name, least, most) in bounds {
            let value = self.value(name).expect("it is an option");
            if !(least..=most).contains(&value) {
                return Err(format!("{name} is from {least} to {most}, not {value}"));
            }
        }
        Ok(())
    }

    /// The kinds of faults that there are in this world.
    pub fn faults(&self) -> Vec<Fault> {
        let is_on = |fault: &Fault| self.value(fault.name()).is_some_and(|on| on > 0);
        Fault::ALL.into_iter().filter(is_on).collect()
    }

    /// Whether a follower that is a little behind needs no snapshot. One that does is slow to apply
    /// what was committed, and its reads may wait too long for that.
    fn keeps_followers_close(&self) -> bool {
        self.retained_entries >= 100 && self.retained_bytes >= 1 << 14
    }

    /// Whether a follower waits for more than one heartbeat. One that does not gives up a healthy
    /// leader now and then: the second heartbeat may be on its way still.
    pub fn is_patient(&self) -> bool {
        self.shortest_election >= self.heartbeat + 2
    }

    /// Whether no limit is met that makes a node refuse or drop anything.
    pub fn has_room(&self) -> bool {
        let limits = |world: &Self| {
            [
                world.requests,
                world.proposals,
                world.reads,
                world.uncommitted_bytes,
                world.forwards_seen,
                world.incarnations,
            ]
        };
        limits(self) == limits(&Self::CALM)
    }

    /// Whether nothing ever goes wrong in this world.
    pub fn is_calm(&self) -> bool {
        self.lost_permille == 0
            && self.straggling_permille == 0
            && self.drift_permille == 0
            && self.fault_mean == 0
            && self.lost_for_good == 0
            && self.latency_mean <= 100
            && self.sync_mean <= 50
            && self.is_patient()
            && self.has_room()
            && self.keeps_followers_close()
    }
}

/// What differs from a calm world.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for name in Self::NAMES {
            let value = self.value(name);
            if let Some(value) = value.filter(|_| value != Self::CALM.value(name)) {
                write!(f, "{separator}{name}={value}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

macro_rules! faults {
    ($($variant:ident $name:ident,)+) => {
        /// A kind of fault that comes, and mostly goes again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = concat!("See [`Options::", stringify!($name), "`].")] $variant,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The option that lets it happen.
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
    BitFlip bit_flip,
    ClockJump clock_jump,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_that_is_drawn_can_be() {
        let mut rng = Rng::seeded(1);
        for _ in 0..2000 {
            let world = Options::draw(&mut rng);
            world
                .validate()
                .unwrap_or_else(|why| panic!("{why}: {world}"));
        }
    }

    #[test]
    fn a_calm_world_has_the_limits_of_the_product() {
        let config = Options::CALM.config().expect("nodes can live with them");
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn options_are_set_by_their_names() {
        let mut world = Options::CALM;
        for name in Options::NAMES {
            assert!(world.set(name, 7), "{name}");
            assert_eq!(world.value(name), Some(7));
        }
        assert!(!world.set("node", 1));
        assert_eq!(world.value("node"), None);
    }

    #[test]
    fn what_differs_is_told() {
        let mut world = Options::CALM;
        assert_eq!(world.to_string(), "");
        world.crash = 1;
        world.nodes = 5;
        assert_eq!(world.to_string(), "nodes=5 crash=1");
    }

    #[test]
    fn a_world_that_cannot_be_is_refused() {
        for (name, value, why) in [
            ("nodes", 8, "nodes is from 1 to 7"),
            ("heartbeat", 0, "heartbeat"),
            ("heartbeat", 1 << 40, "too many ticks"),
            ("segment_bytes", 1, "segment_bytes"),
        ] {
            let mut world = Options::CALM;
            assert_eq!(world.validate(), Ok(()));
            world.set(name, value);
            let said = world.validate().expect_err("it can't be");
            assert!(said.contains(why), "{said}");
        }
    }
}
