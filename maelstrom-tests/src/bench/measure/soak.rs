//! Long measurements on a few nodes: what a node takes of memory and disk however long it runs, how
//! fast it comes back, and what it costs the others when one that was away catches up.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use raft::flags::{Command, Flag, Given, Parsed, UsageError};
use rand::Rng;

use super::cluster::Cluster;
use super::load::Load;
use super::resources;
use crate::bench::error::BenchError;
use crate::bench::network::{Millionths, Node};
use crate::bench::options::random_seed;
use crate::bench::output::say;
use crate::bench::processes::builtin::Builtin;
use crate::bench::processes::data::Data;
use crate::bench::processes::program::{NodeChoice, Program};
use crate::bench::report::results::Traffic;
use crate::check::Status;

/// How many requests are under way at once.
const AT_ONCE: usize = 512;

/// How often the memory and the folder are looked at.
const SAMPLE: Duration = Duration::from_millis(100);

/// How many lines tell of the writes.
const LINES: u64 = 20;

/// How long a node may take to come back.
const INIT_TIMEOUT: Duration = Duration::from_secs(600);

/// How often the node that was away is asked for something that it can answer only when it has
/// caught up.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How long catching up may take.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(600);

const WRITES_MAX: u64 = 1_000_000_000;
const KEYS_MAX: u64 = 10_000_000;
const VALUE_BYTES_MAX: usize = 100_000;

const KEYS: Flag = Flag::new("keys", "N", "How many keys there are.").default("100000");
const VALUE_BYTES: Flag = Flag::new("value-bytes", "N", "How long each value is.").default("16");
const SEED: Flag = Flag::new(
    "seed",
    "N",
    "Decides the keys and the losses (default: random; it is printed).",
);
const BIN: Flag = Flag::new(
    "bin",
    "PATH",
    "The node's executable (default: the Raft node that is part of the bench).",
);
const DATA_DIR: Flag = Flag::new(
    "data-dir",
    "FOLDER",
    "Nodes keep their data in FOLDER/TIME, which stays. Without it, in the system's temporary folder,\n\
           from where they are removed if all went well.",
);

/// The flags of `soak`.
pub const SOAK: Command = Command::new(
    "maelstrom-tests soak",
    "Feeds small writes over a bounded set of keys to a node that is alone, and prints what it takes of memory\n\
            and disk. Then kills it, starts it again, and prints how long that takes; and reads all keys back.\n\
            \n\
            Exit status: 0 all is there, 1 something is missing, 255 the bench or the node broke.",
    &[
        Flag::new("writes", "N", "How many writes.").default("5000000"),
        KEYS,
        VALUE_BYTES,
        SEED,
        BIN,
        DATA_DIR,
    ],
).arguments("[-- NODE-ARGUMENTS]");

/// The flags of `catch-up`.
pub const CATCH_UP: Command = Command::new(
    "maelstrom-tests catch-up",
    "Kills one of three nodes, feeds so many writes to the others that they compact what it lacks, and starts it\n\
            again under load and loss. Prints how long it takes until it answers a read, what was sent meanwhile, and\n\
            the latency of the writes before, during and after that.\n\
            \n\
            Exit status: 0 it caught up, 255 it did not, or the bench or a node broke.",
    &[
        Flag::new("writes", "N", "How many writes while the node is away.").default("150000"),
        KEYS,
        VALUE_BYTES,
        Flag::new("rate", "N", "Writes a second before, during and after the node catches up.").default("500"),
        Flag::new("seconds", "N", "How long to measure before and after.").default("20"),
        Flag::new("loss", "P", "The probability that a message between nodes is lost.").default("0.2"),
        SEED,
        BIN,
        DATA_DIR,
    ],
).arguments("[-- NODE-ARGUMENTS]");

/// What both measurements need.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    writes: u64,
    keys: u64,
    value_bytes: usize,
    rate: f64,
    span: Duration,
    loss: Millionths,
    seed: u64,
    node: NodeChoice,
    node_arguments: Vec<OsString>,
    data_dir: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments of [`SOAK`] or [`CATCH_UP`].
    ///
    /// # Errors
    /// A flag that is unknown or that has a value it can't use.
    pub fn parse(
        command: &Command,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Options>, UsageError> {
        command
            .parse(arguments)?
            .try_map(|given| Options::from_given(given, command.name == CATCH_UP.name))
    }

    fn from_given(given: Given, catch_up: bool) -> Result<Options, UsageError> {
        let (rate, seconds, loss) = match catch_up {
            true => (
                given.number("rate", 1.0..=1e9)?,
                given.number("seconds", 1..=3600)?,
                given.number("loss", 0.0..=0.99)?,
            ),
            false => (0.0, 0, 0.0),
        };
        Ok(Options {
            writes: given.number("writes", 1..=WRITES_MAX)?,
            keys: given.number("keys", 1..=KEYS_MAX)?,
            value_bytes: given.number("value-bytes", 1..=VALUE_BYTES_MAX)?,
            rate,
            span: Duration::from_secs(seconds),
            loss: Millionths((loss * f64::from(Millionths::ONE)) as u32),
            seed: given
                .optional_number("seed", 0..=u64::MAX)?
                .unwrap_or_else(random_seed),
            node: match given.text("bin") {
                Some(path) => NodeChoice::Bin(path.into()),
                None => NodeChoice::Builtin(Builtin::Raft),
            },
            data_dir: given.text("data-dir").map(PathBuf::from),
            node_arguments: given.rest,
        })
    }
}

/// Measures what a node takes.
///
/// # Errors
/// The bench or the node broke.
pub fn soak(options: &Options) -> Result<Status, BenchError> {
    measure(options, 1, Millionths(0), |cluster, load, folder| {
        let node = Node(0);
        cluster.start(node)?;
        cluster.await_init(vec![node], INIT_TIMEOUT)?;
        let peak = feed(options, cluster, load, folder)?;
        say(format_args!(
            "at most {} resident, {} on disk, {:.1} ms for a write; {} writes failed",
            resident(peak.resident),
            mebibytes(peak.disk),
            peak.longest_ms,
            load.failed
        ))?;
        cluster.kill(node)?;
        cluster.start(node)?;
        let took = cluster.await_init(vec![node], INIT_TIMEOUT)?;
        say(format_args!(
            "killed, and back after {:.3} s with {} resident and {} on disk",
            took.as_secs_f64(),
            resident(cluster.process_id(node).and_then(resources::resident)),
            mebibytes(size(folder)?),
        ))?;
        read_back(cluster, load)
    })
}

/// Measures what it costs when a node catches up.
///
/// # Errors
/// It does not, or the bench or a node broke.
pub fn catch_up(options: &Options) -> Result<Status, BenchError> {
    measure(options, 3, options.loss, |cluster, load, folder| {
        let nodes: Vec<Node> = (0..3).map(Node).collect();
        nodes.iter().try_for_each(|node| cluster.start(*node))?;
        cluster.await_init(nodes.clone(), INIT_TIMEOUT)?;
        // The first write shows who leads.
        while load.ok == 0 {
            while load.pending() < 3 {
                load.write(cluster, nodes[load.pending()]);
            }
            load.wait(cluster, Instant::now() + ASK_AGAIN)?;
        }
        let away = *nodes
            .iter()
            .rfind(|node| **node != cluster.leader())
            .expect("there are three");
        cluster.kill(away)?;
        feed(options, cluster, load, folder)?;
        say(format_args!("{away} missed {} writes", load.ok))?;

        say("                  writes   failed    median       99 %     longest   ms")?;
        let before = Instant::now() + options.span;
        phase("while it is away", options, cluster, load, &mut |_, _| {
            Ok(Instant::now() >= before)
        })?;

        cluster.traffic.clear();
        let began = Instant::now();
        cluster.start(away)?;
        load.found.clear();
        let mut again = began;
        phase(
            "catching up",
            options,
            cluster,
            load,
            &mut |cluster, load| {
                if began.elapsed() > CATCH_UP_TIMEOUT {
                    return Err(BenchError::new(format!("{away} has not caught up")));
                }
                if Instant::now() >= again {
                    again = Instant::now() + ASK_AGAIN;
                    load.read(cluster, away, 0);
                }
                Ok(!load.found.is_empty())
            },
        )?;
        let took = began.elapsed();
        let traffic = std::mem::take(&mut cluster.traffic);
        let after = Instant::now() + options.span;
        phase("afterwards", options, cluster, load, &mut |_, _| {
            Ok(Instant::now() >= after)
        })?;

        say(format_args!(
            "{away} answered a read {:.3} s after its start; meanwhile were sent, lost ones included:",
            took.as_secs_f64()
        ))?;
        for Traffic { name, count, bytes } in traffic {
            say(format_args!("  {name:20} {count:8} {bytes:12} bytes"))?;
        }
        Ok(Status::Valid)
    })
}

/// Prepares a measurement, makes it, and cleans up.
fn measure(
    options: &Options,
    nodes: usize,
    loss: Millionths,
    work: impl FnOnce(&mut Cluster, &mut Load, &Path) -> Result<Status, BenchError>,
) -> Result<Status, BenchError> {
    let data = Data::create(options.data_dir.as_deref())
        .map_err(BenchError::io("no folder for the nodes' data"))?;
    say(format_args!(
        "seed {}; {} keys, values of {} bytes; data in {}",
        options.seed,
        options.keys,
        options.value_bytes,
        data.folder().display()
    ))?;
    let mut program = Program::of(&options.node, &options.node_arguments)?;
    let folder = data.folder().join("data");
    program.data = Some(folder.clone());
    let mut rng = Rng::seeded(options.seed);
    let logs = data.folder().to_owned();
    let mut load = Load::new(rng.fork(), options.keys, options.value_bytes);
    let mut cluster = Cluster::new(program, nodes, logs, rng.fork(), loss)?;
    let worked = work(&mut cluster, &mut load, &folder);
    drop(cluster);
    let well = matches!(worked, Ok(Status::Valid));
    let kept = data
        .leave(well)
        .map_err(BenchError::io("the nodes' data can't be removed"))?;
    if let Some(folder) = kept {
        say(format_args!("the nodes' data are in {}", folder.display()))?;
    }
    worked
}

/// The most that was seen.
#[derive(Debug, Default)]
struct Peak {
    resident: Option<u64>,
    disk: u64,
    longest_ms: f64,
}

/// Makes all the writes, as fast as they are answered.
fn feed(
    options: &Options,
    cluster: &mut Cluster,
    load: &mut Load,
    folder: &Path,
) -> Result<Peak, BenchError> {
    let mut peak = Peak::default();
    let (began, already) = (Instant::now(), load.ok);
    let mut sampled = began;
    let mut line = 1;
    load.latencies();
    say("     writes   writes/s     resident      on disk   median ms  longest ms")?;
    while load.ok - already < options.writes {
        while load.pending() < AT_ONCE
            && load.ok - already + (load.pending() as u64) < options.writes
        {
            load.write(cluster, cluster.leader());
        }
        load.wait(cluster, Instant::now() + SAMPLE)?;
        let done = load.ok - already;
        let told = done >= options.writes * line / LINES;
        if sampled.elapsed() < SAMPLE && !told {
            continue;
        }
        sampled = Instant::now();
        let leader = cluster.process_id(cluster.leader());
        let memory = leader.and_then(resources::resident);
        let disk = size(folder)?;
        peak.resident = peak.resident.max(memory);
        peak.disk = peak.disk.max(disk);
        if told {
            line = done * LINES / options.writes + 1;
            let rate = done as f64 / began.elapsed().as_secs_f64();
            let (median_ms, max_ms) = load
                .latencies()
                .map_or((0.0, 0.0), |latencies| (latencies.p50_ms, latencies.max_ms));
            peak.longest_ms = peak.longest_ms.max(max_ms);
            say(format_args!(
                "{done:11} {rate:10.0} {:>12} {:>12} {median_ms:11.1} {max_ms:11.1}",
                resident(memory),
                mebibytes(disk)
            ))?;
        }
    }
    Ok(peak)
}

/// Reads all keys that were written, and compares.
fn read_back(cluster: &mut Cluster, load: &mut Load) -> Result<Status, BenchError> {
    let written: Vec<(u64, String)> = load.written().collect();
    let mut keys = written.iter().map(|(key, _)| *key);
    let failed = load.failed_reads;
    load.found.clear();
    while load.found.len() < written.len() {
        if load.failed_reads > failed {
            return Err(BenchError::new("a read was not answered"));
        }
        let room = AT_ONCE - load.pending();
        keys.by_ref()
            .take(room)
            .for_each(|key| load.read(cluster, Node(0), key));
        load.wait(cluster, Instant::now() + SAMPLE)?;
    }
    load.found.sort_unstable_by_key(|(key, _)| *key);
    let wrong = written
        .iter()
        .zip(&load.found)
        .find(|((key, value), (found_key, found))| {
            key != found_key || found.as_str() != Some(value)
        });
    match wrong {
        None => {
            say(format_args!(
                "all {} keys are as they were last written",
                written.len()
            ))?;
            Ok(Status::Valid)
        }
        Some(((key, value), (_, found))) => {
            say(format_args!("key {key} was {value:?} and is {found}"))?;
            Ok(Status::Invalid)
        }
    }
}

/// Keeps up the rate until it is done, and tells how the writes fared.
fn phase(
    name: &str,
    options: &Options,
    cluster: &mut Cluster,
    load: &mut Load,
    done: &mut dyn FnMut(&mut Cluster, &mut Load) -> Result<bool, BenchError>,
) -> Result<(), BenchError> {
    let step = Duration::from_secs_f64(1.0 / options.rate);
    load.latencies();
    let failed = load.failed;
    let mut next = Instant::now();
    while !done(cluster, load)? {
        while next <= Instant::now() {
            if load.pending() < AT_ONCE {
                load.write(cluster, cluster.leader());
            }
            next += step;
        }
        load.wait(cluster, next)?;
    }
    let latencies = load.latencies().unwrap_or_default();
    say(format_args!(
        "{name:16} {:7} {:8} {:9.2} {:10.2} {:11.2}",
        latencies.count,
        load.failed - failed,
        latencies.p50_ms,
        latencies.p99_ms,
        latencies.max_ms
    ))
}

fn size(folder: &Path) -> Result<u64, BenchError> {
    resources::folder(folder).map_err(BenchError::io(folder.display()))
}

fn resident(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), mebibytes)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(command: &Command, arguments: &[&str]) -> Result<Options, String> {
        match Options::parse(command, arguments.iter().map(OsString::from)) {
            Ok(Parsed::Run(options)) => Ok(options),
            Ok(Parsed::Print(page)) => Err(page),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_help() {
        for (command, writes) in [(&SOAK, 5_000_000), (&CATCH_UP, 150_000)] {
            let options = options(command, &["--seed=1"]).expect("it parses");
            assert_eq!((options.writes, options.keys), (writes, 100_000));
            assert_eq!((options.value_bytes, options.seed), (16, 1));
            assert_eq!((options.rate, options.span.as_secs()), (500.0, 20));
            assert_eq!(options.loss, Millionths(200_000));
            let page = command.help();
            assert!(page.contains(&format!("(default: {writes})")), "{page}");
        }
    }

    #[test]
    fn unusable_values_are_named() {
        for (argument, part) in [
            ("--writes=0", "--writes takes"),
            ("--loss=1", "--loss takes a probability below 1"),
            ("--rate=0", "--rate takes"),
            ("--node-count=3", "unknown flag --node-count"),
        ] {
            let error = options(&CATCH_UP, &[argument]).expect_err(argument);
            assert!(error.contains(part), "{argument}: {error}");
        }
    }
}
