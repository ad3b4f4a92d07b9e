//! Measures the memory that a node takes for large values of many shapes, and the turns of its event
//! loop.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use raft::flags::{Command, Flag, UsageError};
use rand::Rng;

use super::shapes::{Shape, shapes};
use super::{Nodes, resources, turns};
use crate::bench::cluster::{Cluster, Settings};
use crate::bench::error::BenchError;
use crate::bench::network::Node;
use crate::bench::output::say;
use crate::check::Status;

/// The fields of a read.
const READ: &str = r#""type":"read","key":0"#;

/// The only node.
const NODE: Node = Node(0);

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a node may take to print where its metrics are.
const METRICS_TIMEOUT: Duration = Duration::from_secs(1);

/// The memory that a node may take for each byte on the wire.
const FACTOR: u64 = 3;

/// The flags.
pub const MEMORY: Command = Command::new(
    "maelstrom-tests memory",
    "Sends a lone node large values of many shapes, and prints its resident memory in MB afterwards: as values of one\n\
     key, of a key for each, and as keys; without and with a data folder, and after a restart. Needs /proc.\n\
     Then, the longest turn of the event loop in ms, also without and with a data folder: the bound that no turn\n\
     exceeded, in a write, a read, and a cas that fails and one that succeeds, both in another notation.\n\
     \n\
     Exit status: 0 the memory stayed within the constant and three times the bytes on the wire; 1 it did not, or a\n\
     value was lost, or with --strict a turn was too long; 2 stopped by a signal or the time limit; 255 the bench or\n\
     the node failed.",
    &[
        Flag::new("--writes N", "The number of writes to each node.").default("40"),
        Flag::new("--value-bytes N", "The length of each value.").default("1000000"),
        Flag::new("--constant-mb N", "The memory that does not depend on the writes.").default("32"),
        Flag::new("--shape TEXT", "Only shapes with this text in their name."),
        Flag::new("--time-limit SECONDS", "When to stop, 1 to 604800.").default("3600"),
        Flag::new("--strict", "A turn of the event loop above 5 ms is not only counted, but invalid."),
        super::BIN,
        super::DATA_DIR,
    ],
)
.arguments("[-- NODE-ARGUMENTS]");

/// The options.
#[derive(Debug)]
pub struct Options {
    writes: u64,
    value_bytes: usize,
    constant: u64,
    shape: String,
    time_limit: Duration,
    strict: bool,
    nodes: Nodes,
}

impl Options {
    /// Reads the arguments of [`MEMORY`].
    ///
    /// # Errors
    /// An unknown flag, or a value that its flag cannot use.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, UsageError> {
        let given = MEMORY.parse(arguments)?;
        Ok(Options {
            writes: given.number("writes", 1..=10_000)?,
            value_bytes: given.number("value-bytes", 1..=1_000_000)?,
            constant: given.number("constant-mb", 0..=1_000_000)?,
            shape: given.text("shape").unwrap_or_default().to_owned(),
            time_limit: Duration::from_secs(given.number("time-limit", 1..=604_800)?),
            strict: given.is_set("strict"),
            nodes: Nodes::given(given),
        })
    }
}

/// What a shape is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    OneKey,
    ManyKeys,
    Keys,
}

/// Makes the measurement.
///
/// # Errors
/// The bench or the node failed.
pub fn memory(options: &Options) -> Result<Status, BenchError> {
    options.nodes.measure(|program, folder| {
        let settings = Settings {
            program,
            nodes: 1,
            initial: 1,
            logs: folder.to_owned(),
            init_timeout: TIMEOUT,
            may_stop: true,
            ..Settings::default()
        };
        // Nothing is drawn: no message is lost, and none takes a random time.
        let mut cluster = Cluster::start(settings, Rng::seeded(0))?;
        cluster.kill(NODE)?;
        let mut bench = Bench {
            options,
            turns: Turns::default(),
            log: folder.join(format!("{NODE}.log")),
            data: folder.join("data"),
            asked: 0,
            until: cluster.now() + options.time_limit,
            is_late: false,
            cluster,
        };
        let measured = bench.measure();
        let ended = bench.cluster.end();
        measured.and_then(|status| ended.map(|_| status))
    })
}

/// How many nodes showed their turns, and how many had a long one.
#[derive(Debug, Default)]
struct Turns {
    known: u64,
    unknown: u64,
    long: u64,
}

impl Turns {
    /// Counts a node, and returns its longest turn in milliseconds.
    fn add(&mut self, slowest: Option<f64>) -> String {
        let Some(seconds) = slowest else {
            self.unknown += 1;
            return "unknown".to_owned();
        };
        self.known += 1;
        let is_long = seconds > turns::LONGEST;
        self.long += u64::from(is_long);
        format!("{}{}", seconds * 1e3, if is_long { "!" } else { " " })
    }
}

/// Starts the node, and measures it.
#[derive(Debug)]
struct Bench<'a> {
    options: &'a Options,
    turns: Turns,
    cluster: Cluster,
    log: PathBuf,
    /// The folder for the data of a node that has one.
    data: PathBuf,
    /// How many requests were sent.
    asked: u64,
    until: Duration,
    /// Whether the time limit stopped the measurement.
    is_late: bool,
}

impl Bench<'_> {
    /// Measures all shapes, and prints the verdict.
    fn measure(&mut self) -> Result<Status, BenchError> {
        say(
            "                                 without a data folder          with a data folder, and restarted                 longest turn",
        )?;
        say(
            "                            MB  one key many keys  as keys    one key     many keys       as keys   limit      ms  with data",
        )?;
        let mut worst = Status::Valid;
        for (at, shape) in shapes(self.options.value_bytes).iter().enumerate() {
            if !shape.name.contains(&self.options.shape) {
                continue;
            }
            match self.row(at, shape) {
                Ok(Status::Valid) => {}
                Ok(status) => worst = status,
                Err(error) => {
                    let why = match (self.cluster.is_stopped, self.is_late) {
                        (true, _) => "a signal",
                        (false, true) => "the time limit",
                        (false, false) => return Err(error),
                    };
                    say(format_args!("stopped by {why} in the shape {}", shape.name))?;
                    if worst == Status::Valid {
                        worst = Status::Unknown;
                    }
                    break;
                }
            }
        }
        say(match worst {
            Status::Valid => "all within three times the bytes on the wire and the constant",
            Status::Unknown => {
                "until then, all within three times the bytes on the wire and the constant"
            }
            _ => "above the limit, or lost: see the figures with an exclamation mark",
        })?;
        let turns = &self.turns;
        say(format_args!(
            "nodes whose event loop had a turn above 5 ms: {} of {}; nodes that did not show their turns: {}",
            turns.long, turns.known, turns.unknown
        ))?;
        Ok(if self.options.strict && turns.long > 0 {
            Status::Invalid
        } else {
            worst
        })
    }

    /// Measures one shape, and prints its row.
    fn row(&mut self, at: usize, shape: &Shape) -> Result<Status, BenchError> {
        let mut status = Status::Valid;
        let wire = shape.text.len() as u64 * self.options.writes;
        let limit = FACTOR * wire + self.options.constant * 1_000_000;
        let mut row = format!("{:26.26} {:3}", shape.name, megabytes(wire));
        let folders = [None, Some(self.data.clone())];
        for data in &folders {
            self.cluster.settings.program.data.clone_from(data);
            for used in [Use::OneKey, Use::ManyKeys, Use::Keys] {
                for found in self.memory(shape, used)? {
                    let excess = found.is_none_or(|bytes| bytes > limit);
                    if excess {
                        status = Status::Invalid;
                    }
                    let found = found.map_or("lost".to_owned(), megabytes);
                    row += &format!(" {found:>6}{}", if excess { '!' } else { ' ' });
                }
            }
        }
        row += &format!(" {:6}", megabytes(limit));
        for data in folders {
            self.cluster.settings.program.data = data;
            let slowest = self.slowest_turn(at, self.options.value_bytes)?;
            row += &format!(" {:>8}", self.turns.add(slowest));
        }
        say(row)?;
        Ok(status)
    }

    /// The memory of a node after these writes; and, if it has a data folder, after a restart: `None`
    /// if the last value is lost then.
    fn memory(&mut self, shape: &Shape, used: Use) -> Result<Vec<Option<u64>>, BenchError> {
        self.clear()?;
        let mut key = String::new();
        let resident = self.with_node(|bench| {
            for number in 0..bench.options.writes {
                let text = &shape.text;
                let value;
                (key, value) = match used {
                    Use::OneKey => ("0".to_owned(), &**text),
                    Use::ManyKeys => (number.to_string(), &**text),
                    Use::Keys => (format!("[{number},{text}]"), "0"),
                };
                let body = format!(r#""type":"write","key":{key},"value":{value}"#);
                bench.expect(&body, "write_ok")?;
            }
            bench.resident()
        })?;
        let mut found = vec![Some(resident)];
        if self.cluster.settings.program.data.is_some() {
            found.push(self.with_node(|bench| {
                let reply = bench.ask(&format!(r#""type":"read","key":{key}"#))?;
                let is_there = reply == "read_ok";
                is_there.then(|| bench.resident()).transpose()
            })?);
        }
        Ok(found)
    }

    /// The bound that no turn of a node's event loop exceeded, if the node shows it.
    fn slowest_turn(&mut self, at: usize, bytes: usize) -> Result<Option<f64>, BenchError> {
        let stored = |bytes| shapes(bytes).swap_remove(at).text;
        let mut text = stored(bytes);
        let mut other = turns::other_notation(&text);
        if other.len() > bytes {
            text = stored(bytes * text.len() / other.len());
            other = turns::other_notation(&text);
        }
        self.clear()?;
        fs::remove_file(&self.log).map_err(BenchError::io("cannot remove the node's log"))?;
        self.with_node(|bench| {
            let write = format!(r#""type":"write","key":0,"value":[{text},1]"#);
            let cas = |last: u8| format!(r#""type":"cas","key":0,"from":[{other},{last}],"to":0"#);
            bench.expect(&write, "write_ok")?;
            bench.expect(READ, "read_ok")?;
            bench.expect(&cas(2), "error")?;
            bench.expect(&cas(1), "cas_ok")?;
            let until = bench.cluster.now() + METRICS_TIMEOUT;
            while bench.cluster.now() < until {
                let log = fs::read_to_string(&bench.log)
                    .map_err(BenchError::io("cannot read the node's log"))?;
                if let Some(address) = turns::address(&log) {
                    let page = turns::page(address);
                    let page = page.map_err(BenchError::io("cannot read the node's metrics"))?;
                    return Ok(turns::slowest(&page));
                }
                bench.ask(READ)?;
            }
            Ok(None)
        })
    }

    /// Removes the last node's data.
    fn clear(&self) -> Result<(), BenchError> {
        match self.data.exists() {
            true => fs::remove_dir_all(&self.data)
                .map_err(BenchError::io("cannot remove the last data")),
            false => Ok(()),
        }
    }

    /// Starts the node, works with it, and kills it.
    fn with_node<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        self.cluster.restart(NODE)?;
        self.cluster.await_init()?;
        let worked = work(self);
        self.cluster.kill(NODE)?;
        worked
    }

    /// Sends a request with these fields, and fails if the reply has another type.
    fn expect(&mut self, fields: &str, expected: &str) -> Result<(), BenchError> {
        let reply = self.ask(fields)?;
        if reply == expected {
            return Ok(());
        }
        let start: String = fields.chars().take(40).collect();
        let text = format!("{{{start}... was answered {reply} instead of {expected}");
        Err(BenchError::new(text))
    }

    /// Sends a request with these fields, and returns the type of the reply.
    fn ask(&mut self, fields: &str) -> Result<&'static str, BenchError> {
        self.asked += 1;
        let body = format!(r#"{{"msg_id":{},{fields}}}"#, self.asked);
        let line = format!("{{\"src\":\"c1\",\"dest\":\"{NODE}\",\"body\":{body}}}\n");
        self.cluster.send_line(NODE, line);
        let until = self.until.min(self.cluster.now() + TIMEOUT);
        loop {
            let stepped = self.cluster.step(until);
            if let Some(answered) = self.cluster.answers.pop() {
                return Ok(answered.reply.answer.name());
            }
            stepped?;
            if self.cluster.is_stopped {
                return Err(BenchError::new("stopped by a signal"));
            }
            if self.cluster.now() >= until {
                self.is_late = until == self.until;
                let seconds = TIMEOUT.as_secs();
                return Err(BenchError::new(format!("no answer within {seconds} s")));
            }
        }
    }

    fn resident(&self) -> Result<u64, BenchError> {
        let found = resources::resident(self.cluster.process_id(NODE));
        found.ok_or_else(|| BenchError::new("cannot read the node's memory in /proc"))
    }
}

fn megabytes(bytes: u64) -> String {
    bytes.div_ceil(1_000_000).to_string()
}
