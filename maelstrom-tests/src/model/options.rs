//! How large a world may become, and how long it may be searched.

use std::ffi::OsString;
use std::time::Duration;

use raft::flags::{Command, Flag, Given, Parsed, UsageError};

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
pub const MODEL: Command = Command::new(
    "maelstrom-tests model",
    "Searches every course that a small world can take: any message may arrive at any time, or never, or twice;\n\
            any clock may run out; any process may die at any moment and start again from its disk. The nodes\n\
            are the ones of the product. The first broken rule is told as a script of the shortest way to it.\n\
            \n\
            Exit status: 0 all was searched and no rule is broken, 1 one is, 2 the budget ended first.",
    &[
        Flag::new("nodes", "N", "How many nodes there are, 1 to 5.").default("3"),
        Flag::new("terms", "T", "Nobody asks for an election beyond this term.").default("2"),
        Flag::new("expiries", "E", "How often a node loses patience: asks whether it could be elected, or stops leading\n\
                   (default: one more than there are terms)."),
        Flag::new("commands", "C", "How often clients write, each to any node.").default("1"),
        Flag::new("reads", "R", "How often clients read.").default("0"),
        Flag::new("crashes", "K", "How often a process dies, before or after it has stored what it must.").default("0"),
        Flag::new("copies", "D", "How often a message arrives twice.").default("0"),
        Flag::new("in-flight", "M", "How many messages may be on their way at once. If there are more, any of them are\n\
                   lost.").default("4"),
        Flag::new("snapshot-entries", "S", "A snapshot is taken after that many entries, and nothing is kept behind it (default: never)."),
        Flag::switch("forgetful", "Who dies forgets its disk. Raft can't bear that: a rule breaks, and the way there is told."),
        Flag::new("seconds", "S", "Ends the search after that long (default: when all is searched)."),
        Flag::new("states", "N", "Ends the search with so many worlds. Of each, 40 to 120\n                   bytes are kept.").default("400000000"),
        Flag::new("jobs", "N", "How many threads search (default: as many as there are cores)."),
    ],
);

impl Options {
    /// Reads the arguments of `model`.
    ///
    /// # Errors
    /// A flag that is unknown or that has a value it can't use.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Options>, UsageError> {
        MODEL
            .parse(arguments)?
            .try_map(|given| Options::from_given(&given))
    }

    fn from_given(given: &Given) -> Result<Options, UsageError> {
        let seconds = given.optional_number("seconds", 0..=u64::MAX)?;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let terms = given.number("terms", 1..=100)?;
        let expiries = given.optional_number("expiries", 1..=200)?;
        Ok(Options {
            bounds: Bounds {
                nodes: given.number("nodes", 1..=5)?,
                terms,
                expiries: expiries.unwrap_or(terms + 1),
                commands: given.number("commands", 0..=20)?,
                reads: given.number("reads", 0..=20)?,
                crashes: given.number("crashes", 0..=100)?,
                copies: given.number("copies", 0..=100)?,
                in_flight: given.number("in-flight", 1..=64)?,
                snapshot_entries: given.optional_number("snapshot-entries", 1..=100)?,
                forgetful: given.is_set("forgetful"),
            },
            time_max: seconds.map(Duration::from_secs),
            worlds_max: given.number("states", 0..=u32::MAX)?,
            jobs: given
                .optional_number("jobs", 1..=64)?
                .unwrap_or(cores.min(64)),
        })
    }
}
