//! Nodes that are part of the bench: the Raft node, one that measures the bench, and one that is
//! wrong on purpose.

use std::ffi::OsString;
use std::fmt;

/// The subcommand that runs the Raft node.
pub const RAFT_SUBCOMMAND: &str = "node";

/// The subcommand that runs the Raft node on a network.
pub const SERVE_SUBCOMMAND: &str = "serve";

/// The subcommand that runs one of the others, named by its argument.
pub const SUBCOMMAND: &str = "builtin-node";

/// A node that is part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// The Raft node.
    Raft,
    /// Answers at once from its own memory: linearizable if it is the only node.
    Null,
    /// n0 executes all nodes' writes and then replicates them; each node answers reads from its
    /// own memory, which is not linearizable.
    Stale,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Builtin; 3] = [Builtin::Raft, Builtin::Null, Builtin::Stale];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Builtin::Raft => "raft",
            Builtin::Null => "null",
            Builtin::Stale => "stale",
        }
    }

    /// The node with this name.
    pub fn from_name(name: &str) -> Option<Builtin> {
        Builtin::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Whether it keeps its data on disk, so that it may be killed and started again.
    pub fn is_durable(self) -> bool {
        match self {
            Builtin::Raft => true,
            Builtin::Null | Builtin::Stale => false,
        }
    }

    /// The arguments with which the bench's own executable becomes this node.
    pub fn arguments(self) -> Vec<OsString> {
        match self {
            Builtin::Raft => vec![RAFT_SUBCOMMAND.into()],
            Builtin::Null | Builtin::Stale => vec![SUBCOMMAND.into(), self.name().into()],
        }
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
