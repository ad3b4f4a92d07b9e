//! Measurements on a few nodes: [`soak`] measures memory, disk and a restart, [`memory`] the memory
//! and the turns of the event loop for values of many shapes, and [`catch_up`] what it costs the others when a node that was away
//! catches up.

pub mod catch_up;
pub mod load;
pub mod memory;
pub mod resources;
pub mod shapes;
pub mod soak;
pub mod turns;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use load::Load;
use raft::flags::{Command, Flag, Given, UsageError};
use rand::Rng;

use super::cluster::{Cluster, Settings};
use super::error::BenchError;
use super::network::{Conditions, Millionths, Transport};
use super::options::seed;
use super::output::say;
use super::processes::builtin::Builtin;
use super::processes::data::Data;
use super::processes::program::{NodeChoice, Program};
use crate::check::Status;

/// How long a node may take to replay its log.
const INIT_TIMEOUT: Duration = Duration::from_secs(600);

const WRITES_MAX: u64 = 1_000_000_000;
const KEYS_MAX: u64 = 10_000_000;
const VALUE_BYTES_MAX: usize = 100_000;

/// Above this, making the requests would take longer than the time between them.
const RATE_MAX: f64 = 100_000.0;

const KEYS: Flag = Flag::new("--keys N", "The number of keys, 1 to 10000000.").default("100000");
const VALUE_BYTES: Flag =
    Flag::new("--value-bytes N", "The length of each value, 1 to 100000.").default("16");
const SEED: Flag = Flag::new(
    "--seed N",
    "Seed of the keys and the losses (default: random, and printed).",
);
const BIN: Flag = Flag::new(
    "--bin PATH",
    "The node's executable (default: the bench's own Raft node).",
);
const DATA_DIR: Flag = Flag::new(
    "--data-dir FOLDER",
    "Nodes keep their data in FOLDER/TIME, which stays. Without it, they use the system's temporary folder, and\n\
     a valid measurement removes the data.",
);

/// The flags of `soak`.
pub const SOAK: Command = Command::new(
    "maelstrom-tests soak",
    "Sends one node many writes over a bounded set of keys, and prints how much memory and disk space it takes. Then\n\
     kills it, starts it again, prints how long that takes, and reads all keys back.\n\
     \n\
     Exit status: 0 all keys have their last value; 1 some key has not; 2 a signal stopped it; 255 the bench or the\n\
     node failed.",
    &[
        Flag::new("--writes N", "The number of writes, 1 to 1000000000.").default("5000000"),
        KEYS,
        VALUE_BYTES,
        SEED,
        BIN,
        DATA_DIR,
    ],
)
.arguments("[-- NODE-ARGUMENTS]");

/// The flags of `catch-up`.
pub const CATCH_UP: Command = Command::new(
    "maelstrom-tests catch-up",
    "Kills one of three nodes, sends the others enough writes that they compact the entries it lacks, and starts it\n\
     again under load and loss. Prints how long it takes until it answers a read, which messages were sent until\n\
     then, and the latency of the writes before, during and after that.\n\
     \n\
     Exit status: 0 it caught up; 1 it lost a key; 2 a signal stopped it; 255 it did not catch up, or the bench or a\n\
     node failed.",
    &[
        Flag::new("--writes N", "The number of writes while the node is away, 1 to 1000000000.").default("150000"),
        KEYS,
        VALUE_BYTES,
        Flag::new("--rate N", "Writes a second before, during and after the node catches up, 1 to 100000.").default("500"),
        Flag::new("--seconds N", "How long to measure before and after, 1 to 3600.").default("20"),
        Flag::new("--loss P", "The probability that a message between nodes is lost, at most 0.99.").default("0.2"),
        SEED,
        BIN,
        DATA_DIR,
    ],
)
.arguments("[-- NODE-ARGUMENTS]");

/// The options of [`soak`] and [`catch_up`].
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    writes: u64,
    keys: u64,
    value_bytes: usize,
    rate: f64,
    span: Duration,
    loss: Millionths,
    seed: u64,
    nodes: Nodes,
}

/// What all measurements let the user choose: what the nodes run, and where they keep their data.
#[derive(Debug, Clone, PartialEq)]
struct Nodes {
    choice: NodeChoice,
    arguments: Vec<OsString>,
    data_dir: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments of [`SOAK`] or [`CATCH_UP`].
    ///
    /// # Errors
    /// An unknown flag, or a value that its flag cannot use.
    pub fn parse(
        command: &Command,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Options, UsageError> {
        let given = command.parse(arguments)?;
        let (rate, seconds, loss) = match command.name == CATCH_UP.name {
            true => (
                given.number("rate", 1.0..=RATE_MAX)?,
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
            seed: seed(&given)?,
            nodes: Nodes::given(given),
        })
    }
}

impl Nodes {
    fn given(given: Given) -> Nodes {
        Nodes {
            choice: match given.text("bin") {
                Some(path) => NodeChoice::Bin(path.into()),
                None => NodeChoice::Builtin(Builtin::Raft),
            },
            data_dir: given.text("data-dir").map(PathBuf::from),
            arguments: given.rest,
        }
    }

    /// Works with the nodes' program and a new folder for their data, and cleans up.
    fn measure(
        &self,
        work: impl FnOnce(Program, &Path) -> Result<Status, BenchError>,
    ) -> Result<Status, BenchError> {
        let program = Program::of(&self.choice, Transport::Maelstrom, &self.arguments)?;
        let data = Data::create(self.data_dir.as_deref())?;
        let worked = work(program, &data.folder);
        // A measurement that was stopped has found nothing wrong.
        let useless = matches!(worked, Ok(Status::Valid | Status::Unknown));
        data.leave(useless)?;
        worked
    }
}

/// Fails if something took longer than it may.
fn in_time(took: Duration, most: Duration, what: &str) -> Result<(), BenchError> {
    let late = || BenchError::new(format!("{what} within {} s", most.as_secs()));
    (took <= most).then_some(()).ok_or_else(late)
}

/// Starts a cluster, makes a measurement, and cleans up.
fn measure(
    options: &Options,
    nodes: usize,
    loss: Millionths,
    work: impl FnOnce(&mut Cluster, &mut Load, &Path) -> Result<Status, BenchError>,
) -> Result<Status, BenchError> {
    options.nodes.measure(|mut program, parent| {
        say(format_args!(
            "seed {}; {} keys, values of {} bytes; data in {}",
            options.seed,
            options.keys,
            options.value_bytes,
            parent.display()
        ))?;
        let folder = parent.join("data");
        program.data = Some(folder.clone());
        let mut rng = Rng::seeded(options.seed);
        let mut load = Load::new(rng.fork(), options.keys, options.value_bytes);
        let settings = Settings {
            program,
            nodes,
            initial: nodes,
            conditions: Conditions {
                loss,
                ..Conditions::default()
            },
            logs: parent.to_owned(),
            init_timeout: INIT_TIMEOUT,
            may_stop: true,
            ..Settings::default()
        };
        let mut cluster = Cluster::start(settings, rng.fork())?;
        let worked = match work(&mut cluster, &mut load, &folder) {
            Err(_) if cluster.is_stopped => say(format_args!(
                "stopped by a signal after {} writes; failed writes: {}",
                load.ok, load.failed
            ))
            .map(|()| Status::Unknown),
            worked => worked,
        };
        let ended = cluster.end();
        worked.and_then(|status| ended.map(|_| status))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(command: &Command, arguments: &[&str]) -> Result<Options, String> {
        let parsed = Options::parse(command, arguments.iter().map(OsString::from));
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_can_be_read() {
        for (command, writes) in [(&SOAK, 5_000_000), (&CATCH_UP, 150_000)] {
            let options = options(command, &["--seed=1"]).expect("it parses");
            assert_eq!((options.writes, options.seed), (writes, 1));
        }
    }

    #[test]
    fn what_takes_too_long_is_an_error() {
        let most = Duration::from_secs(60);
        let after = |took| in_time(took, most, "no read").map_err(|error| error.to_string());
        assert_eq!(after(most), Ok(()));
        let error = Err("no read within 60 s".to_owned());
        assert_eq!(after(most + Duration::from_millis(1)), error);
    }

    #[test]
    fn unusable_values_are_rejected() {
        for (argument, part) in [
            ("--writes=0", "--writes: expected a whole number from 1"),
            ("--loss=1", "--loss: expected a number from 0 to 0.99"),
            ("--rate=0", "--rate: expected"),
            ("--rate=1e9", "--rate: expected a number from 1 to 100000"),
            ("--node-count=3", "unknown flag --node-count"),
        ] {
            let error = options(&CATCH_UP, &[argument]).expect_err(argument);
            assert!(error.contains(part), "{argument}: {error}");
        }
    }
}
