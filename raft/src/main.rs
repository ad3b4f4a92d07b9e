//! The `raft` binary: arguments and wiring only.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    match raft::maelstrom::NODE.subcommand(env::args_os().skip(1)) {
        Ok((Some("log"), arguments)) => raft::storage::log_command::<raft::kv::Command>(arguments),
        Ok((Some(other), _)) => unreachable!("{other} is a subcommand without a meaning"),
        Ok((None, arguments)) => raft::maelstrom::main(arguments),
        Err(error) => raft::maelstrom::usage_error(&error),
    }
}
