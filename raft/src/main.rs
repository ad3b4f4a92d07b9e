//! The `raft` binary.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    raft::commands::main(env::args_os().skip(1))
}
