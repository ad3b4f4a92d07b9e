//! `raft`: the Maelstrom node.

use std::ffi::OsString;
use std::process::ExitCode;

use super::request::SUBCOMMANDS;
use super::{Failure, run_node};
use crate::flags::Command;
use crate::maelstrom;
use crate::node::options::{FLAGS, Options, SETTLE, settle};

/// The command line of the Maelstrom node.
pub(super) const MAELSTROM: Command = Command::new(
    "raft",
    "\
A linearizable key-value node: Raft, as a Maelstrom node for the lin-kv workload.

It reads Maelstrom's JSON messages from stdin and writes its own to stdout, one per line;
stderr is for people, and a node never waits for it. It does nothing until its first
message, init, arrives. At the end of input it answers the requests that it has read, and
exits.

With a data folder, no acknowledged write is lost when nodes are killed or the power fails,
and a restarted node continues where it stopped. One folder serves all nodes of a cluster
that run here: each uses a sub-folder with the name that init gives it. It serves one
cluster: a node whose init names other nodes than the folder's refuses to start.

Without a data folder the state is in memory only. A killed node has then lost its vote and
its log and must never come back under the same name, since no init tells a first start
from a restart; a cluster stays safe while fewer than half of its nodes are lost.

Times are rounded up to 10 ms.
Exit status: 0 at the end of input; 1 if the node had to stop, or if stdin or stdout failed
(also if stdout is closed); 2 for a wrong command line.",
    &[SETTLE],
)
.and(FLAGS)
.version(concat!("raft ", env!("CARGO_PKG_VERSION"), "\n"))
.subcommands(SUBCOMMANDS);

/// Runs a node on stdin and stdout until the end of input. `arguments` are without the program's
/// name.
pub(super) fn main(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let given = MAELSTROM.parse(arguments)?;
    let settle = settle(&given)?;
    let options = Options {
        settle,
        ..Options::from_given(&given)?
    };
    Ok(run_node(options.log, |log| maelstrom::run(&options, log)))
}
