//! The options of a run: Maelstrom's flags with Maelstrom's meanings, and a few that it lacks.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use raft::flags::{Command, Flag, Given, UsageError};

use super::nemesis::Kind;
use super::network::{Conditions, Distribution, Latency, Millionths, Transport};
use super::processes::builtin::Builtin;
use super::processes::program::NodeChoice;
use super::tcp;
use crate::joined;

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Which program the nodes run.
    pub node: NodeChoice,
    /// The arguments of every node.
    pub node_arguments: Vec<OsString>,
    /// How the nodes are connected.
    pub transport: Transport,
    /// How many nodes; 1 to [`NODES_MAX`].
    pub node_count: usize,
    /// How many clients; 1 to [`CLIENTS_MAX`].
    pub concurrency: usize,
    /// Requests a second over all clients, on average; `None`: as fast as they are answered.
    pub rate: Option<f64>,
    /// How long requests are made; the last ones are then waited for.
    pub time_limit: Duration,
    /// Latency, loss and duplication.
    pub conditions: Conditions,
    /// The kinds of faults.
    pub nemesis: BTreeSet<Kind>,
    /// The mean time from a fault's beginning to its end and from there to the next beginning.
    pub nemesis_interval: Duration,
    /// Whether the first fault of each kind comes at the start.
    pub nemesis_at_start: bool,
    /// The least share of requests that must be answered ok.
    pub availability: Option<f64>,
    /// Print all of the report.
    pub verbose: bool,
    /// Copy the nodes' standard error to ours.
    pub log_stderr: bool,
    /// Print each message when it is sent.
    pub log_net_send: bool,
    /// Print each message when it is received.
    pub log_net_recv: bool,
    /// Decides workload, faults and latencies.
    pub seed: u64,
    /// How many keys are worked on at once.
    pub key_count: usize,
    /// About how many operations each key sees.
    pub operations_per_key: u64,
    /// How many of the requests that change a key delete it.
    pub deletes: Millionths,
    /// Whether clients have sessions, and send a change again until it has an answer.
    pub sessions: bool,
    /// The folder for results.
    pub store: PathBuf,
    /// Where to make a folder for the nodes' data.
    pub data_dir: Option<PathBuf>,
    /// How many runs to make with options that are drawn; `None` for one run with these.
    pub runs: Option<usize>,
    /// How many of many runs go on at once.
    pub jobs: usize,
    /// The flags that all of many runs share, as they were given.
    pub shared: Vec<String>,
}

/// The most nodes of a run.
pub const NODES_MAX: usize = 64;

/// The most clients of a run.
pub const CLIENTS_MAX: usize = 10_000;

/// The longest run: a week.
const TIME_LIMIT_MAX_S: f64 = 604_800.0;

/// The highest mean latency: a minute.
const LATENCY_MAX_MS: f64 = 60_000.0;

/// The interval between faults: up to an hour. Below the minimum, nodes would not get past `init`.
const INTERVAL_S: RangeInclusive<f64> = 0.1..=3600.0;

/// The lowest rate but 0: one request in a quarter of an hour.
const RATE_MIN: f64 = 0.001;

/// The highest rate, above what any node can answer.
const RATE_MAX: f64 = 1e6;

const OPERATIONS_PER_KEY_MAX: u64 = 1_000_000_000;
const RUNS_MAX: usize = 100_000;
const JOBS_MAX: usize = 64;

/// What the bench does when it is started without arguments.
pub const DEFAULT_RUN: &[&str] = &[
    "--latency=10",
    "--latency-dist=exponential",
    "--nemesis=all",
    "--nemesis-interval=3",
    "--deletes=0.1",
];

/// The flags of `test`.
pub const TEST: Command = Command::new(
    "maelstrom-tests test",
    "Runs a cluster of nodes under load and faults, and checks whether what the clients saw is linearizable.\n\
     \n\
     Each node is a process that reads Maelstrom messages from stdin and writes them to stdout,\n\
     in the system's temporary folder. A node that prints anything else, or that ends before the run does, breaks\n\
     the run. All nodes are killed at the end, also if the bench itself is killed. Ctrl-C and SIGTERM end a run\n\
     with the verdict, the results and the pictures of what happened until then; a second signal kills it.\n\
     \n\
     --nemesis kill kills nodes and starts them again as new processes with the same init. The environment variable\n\
     STDRAFT_DATA_DIR names a folder for their data: the same for all nodes, and new for each run. It is set only\n\
     with --nemesis kill or --data-dir. A kill loses the node's unsent output and all messages to it until the\n\
     restart; the requests of its clients time out. The last fault of a run with kills is the death of all nodes at\n\
     once, after a write was answered ok. Keys that were in use before a kill are not written after it, so a node\n\
     that forgets is found out when every key is read at the end.\n\
     \n\
     Exit status: 0 valid; 1 invalid; 2 unknown; 255 the bench or a node failed. Of many runs, the worst.",
    &[
        Flag::new("-w, --workload lin-kv", "What to test. There is one workload: a linearizable key-value store."),
        Flag::new("--bin PATH", "The node's executable, instead of --builtin."),
        Flag::new("--builtin raft|null|stale", "A node that is part of the bench (default: raft).\n\
            raft:  the Raft node.\n\
            null:  answers at once from its own memory. Correct if it is the only node, and then measures\n\
            the bench itself (--node-count 1 --rate 0).\n\
            stale: n0 executes all writes, but each node answers reads from its own memory. Its runs are\n\
            invalid."),
        Flag::new("--transport maelstrom|tcp", "How the nodes are connected.\n\
            maelstrom: with messages on stdin and stdout, which the bench passes on.\n\
            tcp: each node runs as `PATH serve` with the flags of `raft serve`. Clients connect to its port, and\n\
            other nodes to a proxy before it, which passes bytes on. A partition holds them up until it heals.").default("maelstrom"),
        Flag::new("--node-count N", "The number of nodes, 1 to 64.").default("5"),
        Flag::new("--concurrency N|Nn", "The number of clients, at most 10000; 4n means four for each node.").default("2n"),
        Flag::new("--rate R", "Requests a second, on average over all clients, 0.001 to 1000000. 0: as fast as they are answered.").default("100"),
        Flag::new("--time-limit SECONDS", "How long clients send requests, at most a week. Faults end after three quarters of it, or 5 seconds\n\
            before its end. Then every key is read once.").default("20"),
        Flag::new("--latency MS", "The mean latency between nodes, at most 60000. Clients have none.").default("0"),
        Flag::new("--latency-dist constant|uniform|exponential", "How latencies vary. Uniform: from 0 to twice the mean.").default("constant"),
        Flag::new("--clients-wait", "A client's request waits for the message that is next in its node's queue, as in Maelstrom."),
        Flag::new("--loss P", "The probability that a message between nodes is lost, 0 to 1. Maelstrom loses none.").default("0"),
        Flag::new("--duplicate P", "The probability that a message between nodes arrives twice, 0 to 1.").default("0"),
        Flag::new("--nemesis partition,pause,transfer,kill,membership,connections", "The faults, separated by commas, or all. With membership, half of the nodes, rounded up, are\n\
            the initial members, and the others wait to be added; no other node than raft can do it.\n\
            Connections, with --transport tcp: those between nodes are lost, or half-open, or carry nothing\n\
            any more.").default("none"),
        Flag::new("--nemesis-interval SECONDS", "About how long a fault lasts, and how long it is until the next, 0.1 to 3600.").default("4"),
        Flag::new("--nemesis-at-start", "The first fault of each kind comes at the start, as in Maelstrom."),
        Flag::new("--availability total|FRACTION", "The share of requests that must be answered ok, or the run is invalid. A cas that finds\n\
            another value fails, so about 0.5 is normal."),
        Flag::new("--key-count N", "How many keys are in use at once, at most one for each client (default: one for each 2n clients)."),
        Flag::new("--ops-per-key N", "About how many operations each key gets, 1 to 1000000000.").default("128"),
        Flag::new("--deletes P", "The share of the requests that change a key which delete it, 0 to 1. Maelstrom has no such\n\
            request.").default("0"),
        Flag::new("--sessions", "Each client opens a session, and sends a write, cas or delete again, to the next node, until it has\n\
            an answer other than 11 and 13. Maelstrom has no sessions."),
        Flag::new("--runs N", "Makes N runs, at most 100000, and draws from the seed the flags that are not given: 1, 3, 5 or 7 nodes, latency,\n\
            rate, faults. Prints a line for each run, a summary, and the command that repeats each run that\n\
            is not valid."),
        Flag::new("--jobs N", "With --runs: how many runs go on at once, 1 to 64. Runs that share a core slow each other down.").default("1"),
        Flag::new("--seed N", "Seed of the workload, faults and latencies (default: random, and printed)."),
        Flag::new("--verbose", "Prints the whole report: also latencies by node, messages by type, and each fault."),
        Flag::new("--log-stderr", "Copies the nodes' stderr to the bench's own."),
        Flag::new("--log-net-send", "Prints each message when it is sent."),
        Flag::new("--log-net-recv", "Prints each message when it is received."),
        Flag::new("--store FOLDER", "The folder for results, as FOLDER/lin-kv/TIME.").default("store"),
        Flag::new("--data-dir FOLDER", "Nodes keep their data in FOLDER/TIME, which stays. Without it, a run with kills uses the system's\n\
            temporary folder, and removes the data if it is valid; other runs have no data folder."),
    ],
)
.arguments("[-- NODE-ARGUMENTS]");

/// Flags that each of many runs has of its own.
const OWN: [&str; 4] = ["runs", "jobs", "seed", "store"];

impl Options {
    /// Reads the arguments of `test`.
    ///
    /// # Errors
    /// An unknown flag, a value that its flag cannot use, or flags that exclude each other.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, UsageError> {
        Options::from_given(&TEST.parse(arguments)?)
    }

    fn from_given(given: &Given) -> Result<Options, UsageError> {
        given.read("workload", "lin-kv", |text| {
            (text == "lin-kv").then_some(())
        })?;
        let node_count = given.number("node-count", 1..=NODES_MAX)?;
        let concurrency = concurrency(given, node_count)?;
        let key_count = given.optional_number("key-count", 1..=concurrency)?;
        let key_count = key_count.unwrap_or((concurrency / (2 * node_count)).max(1));
        let node = node(given)?;
        let transport = given.read("transport", "maelstrom or tcp", Transport::from_name)?;
        let transport = transport.expect("a default");
        let nemesis = nemesis(given, transport, &node)?;
        if transport == Transport::Tcp {
            tcp::check(given, &node, concurrency)?;
        }
        if let NodeChoice::Builtin(builtin @ (Builtin::Null | Builtin::Stale)) = &node
            && given.is_set("sessions")
        {
            return Err(UsageError::new(format!(
                "--sessions does not work with --builtin {builtin}, which has none"
            )));
        }
        if let NodeChoice::Builtin(builtin) = &node
            && (nemesis.contains(&Kind::Kill) || nemesis.contains(&Kind::Membership))
            && !builtin.is_durable()
        {
            return Err(UsageError::new(format!(
                "--nemesis kill and membership do not work with --builtin {builtin}, which loses its data and has no \
                 members; use partition or pause"
            )));
        }
        Ok(Options {
            node,
            node_arguments: given.rest.clone(),
            transport,
            node_count,
            concurrency,
            rate: rate(given)?,
            time_limit: seconds(given, "time-limit", 0.0..=TIME_LIMIT_MAX_S)?,
            conditions: Conditions {
                latency: Latency {
                    mean: Duration::from_secs_f64(
                        given.number("latency", 0.0..=LATENCY_MAX_MS)? / 1e3,
                    ),
                    distribution: distribution(given)?,
                },
                loss: chance(given, "loss")?,
                duplicate: chance(given, "duplicate")?,
                clients_wait: given.is_set("clients-wait"),
            },
            nemesis,
            nemesis_interval: seconds(given, "nemesis-interval", INTERVAL_S)?,
            nemesis_at_start: given.is_set("nemesis-at-start"),
            availability: availability(given)?,
            verbose: given.is_set("verbose"),
            log_stderr: given.is_set("log-stderr"),
            log_net_send: given.is_set("log-net-send"),
            log_net_recv: given.is_set("log-net-recv"),
            seed: seed(given)?,
            key_count,
            operations_per_key: given.number("ops-per-key", 1..=OPERATIONS_PER_KEY_MAX)?,
            deletes: chance(given, "deletes")?,
            sessions: given.is_set("sessions"),
            runs: given.optional_number("runs", 1..=RUNS_MAX)?,
            jobs: given.number("jobs", 1..=JOBS_MAX)?,
            shared: match given.is_set("runs") {
                true => shared(given),
                false => Vec::new(),
            },
            store: PathBuf::from(given.text("store").expect("a default")),
            data_dir: given.text("data-dir").map(PathBuf::from),
        })
    }

    /// How long a client waits for an answer: ten times the mean latency, and at least a second.
    pub fn client_timeout(&self) -> Duration {
        (self.conditions.latency.mean * 10).max(Duration::from_secs(1))
    }

    /// The arguments that repeat this run, beginning with `test`, ready for a shell.
    pub fn command_line(&self) -> String {
        let latency = &self.conditions.latency;
        let latency_ms = latency.mean.as_nanos() as f64 / 1e6;
        let kinds = joined(self.nemesis.iter().map(|kind| kind.name()), ",");
        let (builtin, bin) = match &self.node {
            NodeChoice::Builtin(builtin) => (builtin.to_string(), String::new()),
            NodeChoice::Bin(path) => (String::new(), path.display().to_string()),
        };
        let availability = self.availability.map(|share| share.to_string());
        let data_dir = self.data_dir.as_ref();
        let data_dir = data_dir.map(|folder| folder.display().to_string());
        // What is empty was not given.
        let values = [
            ("builtin", builtin),
            ("bin", bin),
            ("transport", self.transport.name().to_owned()),
            ("node-count", self.node_count.to_string()),
            ("concurrency", self.concurrency.to_string()),
            ("rate", self.rate.unwrap_or(0.0).to_string()),
            ("time-limit", self.time_limit.as_secs_f64().to_string()),
            ("latency", latency_ms.to_string()),
            ("latency-dist", latency.distribution.name().to_owned()),
            ("loss", self.conditions.loss.share().to_string()),
            ("duplicate", self.conditions.duplicate.share().to_string()),
            ("nemesis", kinds),
            (
                "nemesis-interval",
                self.nemesis_interval.as_secs_f64().to_string(),
            ),
            ("availability", availability.unwrap_or_default()),
            ("key-count", self.key_count.to_string()),
            ("ops-per-key", self.operations_per_key.to_string()),
            ("deletes", self.deletes.share().to_string()),
            ("seed", self.seed.to_string()),
            ("store", self.store.display().to_string()),
            ("data-dir", data_dir.unwrap_or_default()),
        ];
        let mut line = String::from("test");
        for (name, value) in values {
            let flag = TEST.flags.iter().find(|flag| flag.name() == name);
            let default = flag.map_or("", |flag| flag.default);
            if value != default && !value.is_empty() {
                let _ = write!(line, " --{name} {}", quoted(&value));
            }
        }
        for (name, given) in [
            ("clients-wait", self.conditions.clients_wait),
            ("nemesis-at-start", self.nemesis_at_start),
            ("sessions", self.sessions),
            ("verbose", self.verbose),
            ("log-stderr", self.log_stderr),
            ("log-net-send", self.log_net_send),
            ("log-net-recv", self.log_net_recv),
        ] {
            if given {
                let _ = write!(line, " --{name}");
            }
        }
        if !self.node_arguments.is_empty() {
            line.push_str(" --");
            for argument in &self.node_arguments {
                let _ = write!(line, " {}", quoted(&argument.to_string_lossy()));
            }
        }
        line
    }
}

fn node(given: &Given) -> Result<NodeChoice, UsageError> {
    if given.is_set("bin") && given.is_set("builtin") {
        let both = "--bin and --builtin exclude each other: give only one of them";
        return Err(UsageError::new(both));
    }
    if let Some(path) = given.text("bin") {
        return Ok(NodeChoice::Bin(path.into()));
    }
    let builtin = given.read("builtin", "raft, null or stale", Builtin::from_name)?;
    Ok(NodeChoice::Builtin(builtin.unwrap_or(Builtin::Raft)))
}

fn concurrency(given: &Given, node_count: usize) -> Result<usize, UsageError> {
    let what =
        format!("a number of clients such as 10, or 2n for two for each node, up to {CLIENTS_MAX}");
    let clients = given.read("concurrency", &what, |text| {
        let (digits, factor) = match text.strip_suffix('n') {
            Some(digits) => (digits, node_count),
            None => (text, 1),
        };
        let clients = digits.parse::<usize>().ok()?.checked_mul(factor)?;
        (1..=CLIENTS_MAX).contains(&clients).then_some(clients)
    })?;
    Ok(clients.expect("a default"))
}

fn rate(given: &Given) -> Result<Option<f64>, UsageError> {
    let rate = given.number("rate", 0.0..=RATE_MAX)?;
    match rate {
        0.0 => Ok(None),
        RATE_MIN.. => Ok(Some(rate)),
        _ => {
            let what = format!("0 or a number from {RATE_MIN} to {RATE_MAX}");
            Err(UsageError::value("rate", &what, &rate.to_string()))
        }
    }
}

fn seconds(given: &Given, name: &str, range: RangeInclusive<f64>) -> Result<Duration, UsageError> {
    given.number(name, range).map(Duration::from_secs_f64)
}

/// The flags that all of many runs share, as they were given.
fn shared(given: &Given) -> Vec<String> {
    let flags = TEST.flags.iter().filter(|flag| !OWN.contains(&flag.name()));
    let values = flags.filter_map(|flag| Some((flag, given.texts(flag.name()).last()?)));
    let text = |(flag, value): (&Flag, &str)| match flag.value() {
        "" => format!("--{}", flag.name()),
        _ => format!("--{}={value}", flag.name()),
    };
    values.map(text).collect()
}

fn distribution(given: &Given) -> Result<Distribution, UsageError> {
    let what = "constant, uniform or exponential";
    let distribution = given.read("latency-dist", what, Distribution::from_name)?;
    Ok(distribution.expect("a default"))
}

fn chance(given: &Given, name: &str) -> Result<Millionths, UsageError> {
    let chance = given.number(name, 0.0..=1.0)?;
    Ok(Millionths(
        (chance * f64::from(Millionths::ONE)).round() as u32
    ))
}

fn nemesis(
    given: &Given,
    transport: Transport,
    node: &NodeChoice,
) -> Result<BTreeSet<Kind>, UsageError> {
    let mut kinds = BTreeSet::new();
    let names = given.text("nemesis").expect("a default").split(',');
    for name in names.map(str::trim) {
        let kind = Kind::of(transport).find(|kind| kind.name() == name);
        match (kind, name) {
            (None, "connections") => {
                let text = "--nemesis connections needs --transport tcp: pipes do not break";
                return Err(UsageError::new(text));
            }
            (Some(kind), _) => drop(kinds.insert(kind)),
            (None, "all") => {
                // Another node than raft may not know the requests for it.
                let all = Kind::of(transport).filter(|kind| match (node, transport) {
                    (NodeChoice::Builtin(_), _) | (_, Transport::Tcp) => true,
                    (NodeChoice::Bin(_), _) => *kind != Kind::Membership,
                });
                kinds.extend(all);
            }
            (None, "" | "none") => {}
            (None, _) => {
                let what = "partition, pause, transfer, kill, membership, connections, all or none";
                return Err(UsageError::value("nemesis", what, name));
            }
        }
    }
    Ok(kinds)
}

fn availability(given: &Given) -> Result<Option<f64>, UsageError> {
    given.read(
        "availability",
        "total or a fraction from 0 to 1",
        |text| match text {
            "total" => Some(1.0),
            text => text
                .parse()
                .ok()
                .filter(|share| (0.0..=1.0).contains(share)),
        },
    )
}

/// The seed that was given, or a random one.
///
/// # Errors
/// It is no whole number.
pub fn seed(given: &Given) -> Result<u64, UsageError> {
    let seed = given.optional_number("seed", 0..=u64::MAX)?;
    Ok(seed.unwrap_or_else(random_seed))
}

/// A random seed, small enough to be read out and typed again. The keys of a `RandomState` come
/// from the system.
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) >> 32
}

/// The command that started the bench, as one word of a shell's command line.
pub fn ourselves() -> String {
    let typed = std::env::args_os().next().unwrap_or_default();
    quoted(&typed.to_string_lossy())
}

/// The text as one word of a shell's command line.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./,:=+@%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
