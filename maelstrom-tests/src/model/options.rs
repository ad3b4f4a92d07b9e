//! How large a world may become, and how long it may be searched.

use std::ffi::OsString;
use std::time::Duration;

use crate::bench::flags::{Command, Flag, Given, Parsed, UsageError};

/// The bounds of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many nodes there are.
    pub nodes: u8,
    /// In this term nobody asks for another election.
    pub terms: u8,
    /// How often a node's patience ends: it asks for an election, or leads no longer.
    pub expiries: u8,
    /// How often clients write.
    pub commands: u8,
    /// How often clients read.
    pub reads: u8,
    /// How often a process dies.
    pub crashes: u8,
    /// How often a message arrives twice.
    pub copies: u8,
    /// How many messages may be on their way at once. If there are more, some are lost.
    pub in_flight: u8,
    /// A snapshot is taken after that many entries, and nothing is kept behind it. Without it,
    /// none ever is.
    pub snapshot_entries: Option<u8>,
    /// Whether a process that dies takes along what it had stored.
    pub forgetful: bool,
}

/// What to search, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The world.
    pub bounds: Bounds,
    /// The search ends after that long.
    pub time_max: Option<Duration>,
    /// The search ends with so many worlds.
    pub worlds_max: u32,
    /// How many threads search.
    pub jobs: usize,
}

/// The flags of `model`.
pub const MODEL: Command = Command {
    name: "maelstrom-tests model",
    rest: "",
    about: "Searches every course that a small world can take: any message may arrive at any time, or never, or twice;\n\
            any clock may run out; any process may die at any moment and start again from its disk. The nodes\n\
            are the ones of the product. The first broken rule is told as a script of the shortest way to it.\n\
            \n\
            Exit status: 0 all was searched and no rule is broken, 1 one is, 2 the budget ended first.",
    flags: &[
        Flag {
            name: "nodes",
            short: None,
            value: "N",
            help: "How many nodes there are, 1 to 5 (default: 3).",
        },
        Flag {
            name: "terms",
            short: None,
            value: "T",
            help: "Nobody asks for an election beyond this term (default: 2).",
        },
        Flag {
            name: "expiries",
            short: None,
            value: "E",
            help: "How often a node loses patience: asks whether it could be elected, or stops leading\n\
                   (default: one more than there are terms).",
        },
        Flag {
            name: "commands",
            short: None,
            value: "C",
            help: "How often clients write, each to any node (default: 1).",
        },
        Flag {
            name: "reads",
            short: None,
            value: "R",
            help: "How often clients read (default: 0).",
        },
        Flag {
            name: "crashes",
            short: None,
            value: "K",
            help: "How often a process dies, before or after it has stored what it must (default: 0).",
        },
        Flag {
            name: "copies",
            short: None,
            value: "D",
            help: "How often a message arrives twice (default: 0).",
        },
        Flag {
            name: "in-flight",
            short: None,
            value: "M",
            help: "How many messages may be on their way at once (default: 4). If there are more, any of them are\n\
                   lost.",
        },
        Flag {
            name: "snapshot-entries",
            short: None,
            value: "S",
            help: "A snapshot is taken after that many entries, and nothing is kept behind it (default: never).",
        },
        Flag {
            name: "forgetful",
            short: None,
            value: "",
            help: "Who dies forgets its disk. Raft can't bear that: a rule breaks, and the way there is told.",
        },
        Flag {
            name: "seconds",
            short: None,
            value: "S",
            help: "Ends the search after that long (default: when all is searched).",
        },
        Flag {
            name: "states",
            short: None,
            value: "N",
            help: "Ends the search with so many worlds (default: 400000000). Of each, 40 to 120\n                   bytes are kept.",
        },
        Flag {
            name: "jobs",
            short: None,
            value: "N",
            help: "How many threads search (default: as many as there are cores).",
        },
    ],
};

impl Options {
    /// Reads the arguments of `model`.
    ///
    /// # Errors
    /// A flag that is unknown or that has a value it can't use.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Options>, UsageError> {
        match MODEL.parse(arguments)? {
            Parsed::Help(page) => Ok(Parsed::Help(page)),
            Parsed::Run(given) => Options::from_given(&given).map(Parsed::Run),
        }
    }

    fn from_given(given: &Given) -> Result<Options, UsageError> {
        let number = |name, default, least, most| {
            let value = given.value(name, default, "a whole number")?;
            if (least..=most).contains(&value) {
                Ok(value)
            } else {
                Err(UsageError::new(format!(
                    "--{name} is from {least} to {most}, not {value}"
                )))
            }
        };
        let seconds = match given.text("seconds") {
            Some(_) => Some(given.value("seconds", 0, "a whole number of seconds")?),
            None => None,
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let terms = number("terms", 2, 1, 100)?;
        Ok(Options {
            bounds: Bounds {
                nodes: number("nodes", 3, 1, 5)?,
                terms,
                expiries: number("expiries", terms + 1, 1, 200)?,
                commands: number("commands", 1, 0, 20)?,
                reads: number("reads", 0, 0, 20)?,
                crashes: number("crashes", 0, 0, 100)?,
                copies: number("copies", 0, 0, 100)?,
                in_flight: number("in-flight", 4, 1, 64)?,
                snapshot_entries: match given.text("snapshot-entries") {
                    Some(_) => Some(number("snapshot-entries", 1, 1, 100)?),
                    None => None,
                },
                forgetful: given.switch("forgetful"),
            },
            time_max: seconds.map(Duration::from_secs),
            worlds_max: given.value("states", 400_000_000, "a whole number below 2^32")?,
            jobs: given.value("jobs", cores, "a whole number")?.clamp(1, 64),
        })
    }
}
