//! `raft`: the Maelstrom node.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{abort_on_panic, print, usage_error};
use crate::flags::{Command, Parsed};
use crate::maelstrom;
use crate::node::StopReason;
use crate::node::options::{FLAGS, Options};
use crate::stdio::print_error;
use crate::telemetry::log::Log;

/// The command line of the Maelstrom node.
pub const MAELSTROM: Command = Command::new(
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
    FLAGS,
)
.version(concat!("raft ", env!("CARGO_PKG_VERSION"), "\n"))
.subcommands(&[("log", "Prints or checks a node's data folder.")]);

/// Runs a node on stdin and stdout until the end of input. `arguments` are without the program's
/// name.
///
/// From here on any panic ends the process: a node that has broken its own rules must not continue.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = MAELSTROM.parse(arguments);
    let options = parsed.and_then(|parsed| parsed.try_map(|given| Options::from_given(&given)));
    let options = match options {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Print(text)) => return print(&text),
        Err(error) => return usage_error(MAELSTROM.name, &error),
    };
    let log = Log::new(options.log);
    if let Err(error) = log.start() {
        print_error(StopReason::io("error: cannot start a thread")(error));
        return ExitCode::FAILURE;
    }
    abort_on_panic(log.clone());
    let status = match maelstrom::run(&options, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            log.error(reason);
            ExitCode::FAILURE
        }
    };
    log.finish();
    status
}
