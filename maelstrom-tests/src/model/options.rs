//! The size of the world, and how long it is searched.

use std::ffi::OsString;
use std::time::Duration;

use raft::flags::{Command, Flag, UsageError};

use crate::check::jobs;

/// The bounds of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The number of members at the start.
    pub nodes: u8,
    /// The number of further nodes, which wait to be added.
    pub add: u8,
    /// The number of members, the last ones, that a change removes.
    pub remove: u8,
    /// How often a leader is asked to add and remove these.
    pub changes: u8,
    /// In this term no node starts another election.
    pub terms: u8,
    /// How often a node starts an election or steps down without a quorum.
    pub expiries: u8,
    /// How often clients write.
    pub commands: u8,
    /// How often a client sends its write again, to any node, without an answer to the first.
    pub retries: u8,
    /// How often clients read.
    pub reads: u8,
    /// How often a process dies.
    pub crashes: u8,
    /// How often a message arrives twice, or a forward arrives whose command was in a log before.
    pub copies: u8,
    /// How often a leader is asked to hand over.
    pub transfers: u8,
    /// The most messages under way. If there are more, some are lost.
    pub in_flight: u8,
    /// A snapshot is taken after this many entries, and the log before it is dropped. Without it,
    /// no snapshots.
    pub snapshot_entries: Option<u8>,
    /// Whether a process that dies loses its disk.
    pub forgetful: bool,
}

/// What to search, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The world.
    pub bounds: Bounds,
    /// The search ends after this time.
    pub time_max: Option<Duration>,
    /// The search ends at this many worlds.
    pub worlds_max: u32,
    /// The number of threads.
    pub jobs: usize,
}

/// The flags of `model`.
pub const MODEL: Command = Command::new(
    "maelstrom-tests model",
    "Model checker: explores every interleaving of a small cluster. Any message may arrive at any time, or never, or\n\
     twice; any clock may expire; any process may die at any moment and start again from its disk. The nodes are the\n\
     product's. The first broken rule is printed with a shortest way to it, as a golden script.\n\
     \n\
     Exit status: 0 all states were searched and all rules held; 1 a rule was broken; 2 the budget ended first.",
    &[
        Flag::new("--nodes N", "Nodes, 1 to 5.").default("3"),
        Flag::new(
            "--add A",
            "Further nodes, which the change of the members adds; 6 nodes at most in all.",
        )
        .default("0"),
        Flag::new(
            "--remove R",
            "Members that the change removes: those with the highest numbers.",
        )
        .default("0"),
        Flag::new(
            "--changes K",
            "How often a leader is asked for that change (default: 1 if it adds or removes nodes).",
        ),
        Flag::new("--terms T", "In term T no node starts another election.").default("2"),
        Flag::new(
            "--expiries E",
            "How often a node starts an election, or steps down without a quorum (default: T + 1).",
        ),
        Flag::new("--commands C", "Writes by clients, each to any node.").default("1"),
        Flag::new(
            "--retries Y",
            "How often a client sends a write again, to any node, though the first may be under way.",
        )
        .default("0"),
        Flag::new("--reads R", "Reads by clients.").default("0"),
        Flag::new(
            "--crashes K",
            "How often a process dies, before or after it has stored its output.",
        )
        .default("0"),
        Flag::new(
            "--copies D",
            "How often a message arrives twice, or a forward arrives whose command was in a log before.",
        )
        .default("0"),
        Flag::new(
            "--transfers X",
            "How often a leader is asked to hand over.",
        )
        .default("0"),
        Flag::new(
            "--in-flight M",
            "The most messages under way. If there are more, any of them are lost.",
        )
        .default("4"),
        Flag::new(
            "--snapshot-entries S",
            "Takes a snapshot after S entries and drops the log before it (default: never).",
        ),
        Flag::new(
            "--forgetful",
            "A crashed node loses its disk. Raft does not tolerate this: expect a broken rule and a trace.",
        ),
        Flag::new(
            "--seconds S",
            "Ends the search after this time (default: when all states are searched).",
        ),
        Flag::new(
            "--states N",
            "Ends the search at this many states. Each takes 40 to 120 bytes of memory.",
        )
        .default("400000000"),
        Flag::new("--jobs N", "Threads (default: one for each core)."),
    ],
);

impl Bounds {
    /// The number of all nodes.
    pub(super) fn all(&self) -> u8 {
        self.nodes + self.add
    }
}

impl Options {
    /// Reads the arguments of `model`.
    ///
    /// # Errors
    /// A flag that is unknown, or whose value is wrong.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, UsageError> {
        let given = MODEL.parse(arguments)?;
        let seconds = given.optional_number("seconds", 0..=u64::MAX)?;
        let terms = given.number("terms", 1..=100)?;
        let expiries = given.optional_number("expiries", 1..=200)?;
        let nodes: u8 = given.number("nodes", 1..=5)?;
        let add: u8 = given.number("add", 0..=6 - nodes)?;
        let remove: u8 = given.number("remove", 0..=nodes)?;
        let changes = given.optional_number("changes", 0..=100)?;
        Ok(Options {
            bounds: Bounds {
                nodes,
                add,
                remove,
                changes: changes.unwrap_or(u8::from(add + remove > 0)),
                retries: given.number("retries", 0..=100)?,
                terms,
                expiries: expiries.unwrap_or(terms + 1),
                commands: given.number("commands", 0..=20)?,
                reads: given.number("reads", 0..=20)?,
                crashes: given.number("crashes", 0..=100)?,
                copies: given.number("copies", 0..=100)?,
                transfers: given.number("transfers", 0..=100)?,
                in_flight: given.number("in-flight", 1..=64)?,
                snapshot_entries: given.optional_number("snapshot-entries", 1..=100)?,
                forgetful: given.is_set("forgetful"),
            },
            time_max: seconds.map(Duration::from_secs),
            worlds_max: given.number("states", 0..=u32::MAX)?,
            jobs: jobs(&given, 64)?,
        })
    }
}
