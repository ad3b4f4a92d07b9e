//! The `raft` binary: arguments and wiring only.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    raft::maelstrom::main(env::args_os().skip(1))
}
