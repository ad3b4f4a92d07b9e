//! Measures the memory that a node takes for large values of many shapes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use raft::flags::{Command, Flag, Parsed, UsageError};

use super::resources;
use super::shapes::{Shape, shapes};
use crate::bench::error::BenchError;
use crate::bench::network::Node;
use crate::bench::output::say;
use crate::bench::processes::builtin::Builtin;
use crate::bench::processes::data::Data;
use crate::bench::processes::process::{EVENTS_MAX, Event, Incarnation, Process};
use crate::bench::processes::program::{NodeChoice, Program};
use crate::bench::processes::watchdog::Watchdog;
use crate::check::Status;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The memory that a node may take for each byte on the wire.
const FACTOR: u64 = 3;

/// The flags.
pub const MEMORY: Command = Command::new(
    "maelstrom-tests memory",
    "Sends a lone node large values of many shapes, and prints its resident memory in MB afterwards: as values of one\n\
     key, of a key for each, and as keys; without and with a data folder, and after a restart. Needs /proc.\n\
     \n\
     Exit status: 0 the memory stayed within the constant and three times the bytes on the wire; 1 it did not, or a\n\
     value was lost; 255 the bench or the node failed.",
    &[
        Flag::new("writes", "N", "The number of writes to each node.").default("40"),
        Flag::new("value-bytes", "N", "The length of each value.").default("1000000"),
        Flag::new("constant-mb", "N", "The memory that does not depend on the writes.").default("32"),
        Flag::new("shape", "TEXT", "Only shapes with this text in their name."),
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
    node: NodeChoice,
    node_arguments: Vec<OsString>,
    data_dir: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments of [`MEMORY`].
    ///
    /// # Errors
    /// An unknown flag, or a value that its flag cannot use.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Options>, UsageError> {
        MEMORY.parse(arguments)?.try_map(|given| {
            Ok(Options {
                writes: given.number("writes", 1..=10_000)?,
                value_bytes: given.number("value-bytes", 1..=1_000_000)?,
                constant: given.number("constant-mb", 0..=1_000_000)?,
                shape: given.text("shape").unwrap_or_default().to_owned(),
                node: match given.text("bin") {
                    Some(path) => NodeChoice::Bin(path.into()),
                    None => NodeChoice::Builtin(Builtin::Raft),
                },
                data_dir: given.text("data-dir").map(PathBuf::from),
                node_arguments: given.rest,
            })
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
    let data = Data::create(options.data_dir.as_deref())?;
    let status = measure(options, data.folder());
    data.leave(matches!(status, Ok(Status::Valid)))?;
    status
}

fn measure(options: &Options, folder: &Path) -> Result<Status, BenchError> {
    let mut bench = Bench {
        program: Program::of(&options.node, &options.node_arguments)?,
        watchdog: Watchdog::start().map_err(BenchError::io("cannot start sh"))?,
        log: folder.join("stderr"),
    };
    say(
        "                                 without a data folder          with a data folder, and restarted",
    )?;
    say(
        "                            MB  one key many keys  as keys    one key     many keys       as keys   limit",
    )?;
    let mut worst = Status::Valid;
    for shape in shapes(options.value_bytes) {
        if !shape.name.contains(&options.shape) {
            continue;
        }
        let wire = shape.text.len() as u64 * options.writes;
        let limit = FACTOR * wire + options.constant * 1_000_000;
        let mut row = format!("{:26.26} {:3}", shape.name, megabytes(wire));
        for data in [None, Some(folder.join("data"))] {
            bench.program.data = data;
            for used in [Use::OneKey, Use::ManyKeys, Use::Keys] {
                for found in bench.run(&shape, used, options.writes)? {
                    let excess = found.is_none_or(|bytes| bytes > limit);
                    if excess {
                        worst = Status::Invalid;
                    }
                    let found = found.map_or("lost".to_owned(), megabytes);
                    row += &format!(" {found:>6}{}", if excess { '!' } else { ' ' });
                }
            }
        }
        say(format_args!("{row} {:6}", megabytes(limit)))?;
    }
    say(match worst {
        Status::Valid => "all within three times the bytes on the wire and the constant",
        _ => "above the limit, or lost: see the figures with an exclamation mark",
    })?;
    Ok(worst)
}

/// Starts nodes, and measures them.
#[derive(Debug)]
struct Bench {
    program: Program,
    watchdog: Watchdog,
    log: PathBuf,
}

/// A running node.
#[derive(Debug)]
struct Lone {
    process: Process,
    events: Receiver<Event>,
    asked: u64,
}

impl Bench {
    /// The memory of a node after these writes; and, if it has a data folder, after a restart: `None`
    /// if the last value is lost then.
    fn run(
        &mut self,
        shape: &Shape,
        used: Use,
        writes: u64,
    ) -> Result<Vec<Option<u64>>, BenchError> {
        if let Some(folder) = &self.program.data
            && folder.exists()
        {
            fs::remove_dir_all(folder).map_err(BenchError::io("cannot remove the last data"))?;
        }
        let mut node = self.start()?;
        let mut key = String::new();
        for number in 0..writes {
            let text = &shape.text;
            let value;
            (key, value) = match used {
                Use::OneKey => ("0".to_owned(), &**text),
                Use::ManyKeys => (number.to_string(), &**text),
                Use::Keys => (format!("[{number},{text}]"), "0"),
            };
            let body = format!(r#""type":"write","key":{key},"value":{value}"#);
            let reply = node.ask(&body)?;
            if reply != "write_ok" {
                return Err(BenchError::new(format!("a write was answered {reply}")));
            }
        }
        let mut found = vec![Some(node.resident()?)];
        self.stop(node)?;
        if self.program.data.is_some() {
            let mut node = self.start()?;
            let reply = node.ask(&format!(r#""type":"read","key":{key}"#))?;
            let is_there = reply == "read_ok";
            found.push(if is_there {
                Some(node.resident()?)
            } else {
                None
            });
            self.stop(node)?;
        }
        Ok(found)
    }

    fn start(&mut self) -> Result<Lone, BenchError> {
        let (sender, events) = sync_channel(EVENTS_MAX);
        let log = self.log.clone();
        let process = Process::start(Node(0), Incarnation(0), &self.program, log, false, sender)
            .map_err(BenchError::io("cannot start a node"))?;
        let guarded = self.watchdog.guard(process.group());
        guarded.map_err(BenchError::io("the watchdog shell has ended"))?;
        let mut node = Lone {
            process,
            events,
            asked: 0,
        };
        node.ask(r#""type":"init","node_id":"n0","node_ids":["n0"]"#)?;
        Ok(node)
    }

    fn stop(&mut self, mut node: Lone) -> Result<(), BenchError> {
        let killed = self.watchdog.kill(node.process.group());
        killed.map_err(BenchError::io("the watchdog shell has ended"))?;
        let ended = node.process.reap();
        ended.map(drop).map_err(BenchError::io("cannot end a node"))
    }
}

impl Lone {
    /// Sends a request with these fields, and returns the type of the reply.
    fn ask(&mut self, fields: &str) -> Result<String, BenchError> {
        self.asked += 1;
        let id = self.asked;
        let body = format!(r#"{{"msg_id":{id},{fields}}}"#);
        let line = format!("{{\"src\":\"c0\",\"dest\":\"n0\",\"body\":{body}}}\n");
        self.process.write(line.as_bytes());
        self.process.flush();
        match self.events.recv_timeout(TIMEOUT) {
            Ok(Event::Lines(_, _, lines)) => {
                let document = json::parse(lines.trim_ascii_end());
                let kind = document.ok().and_then(|line| {
                    let body = line.root().field("body")?;
                    body.field("type")?.as_str().map(str::to_owned)
                });
                kind.ok_or_else(|| BenchError::new("the node printed something else than a reply"))
            }
            Ok(Event::TooLong(..) | Event::Ended(..)) => Err(BenchError::new(format!(
                "the node ended; {}",
                self.process.last_words()
            ))),
            // Signals go to clusters.
            Ok(Event::Stop) | Err(_) => Err(BenchError::new(format!(
                "no answer within {} s",
                TIMEOUT.as_secs()
            ))),
        }
    }

    fn resident(&self) -> Result<u64, BenchError> {
        let found = resources::resident(self.process.group());
        found.ok_or_else(|| BenchError::new("cannot read the node's memory in /proc"))
    }
}

fn megabytes(bytes: u64) -> String {
    bytes.div_ceil(1_000_000).to_string()
}
