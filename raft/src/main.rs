//! The `raft` binary: arguments and wiring only.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1).peekable();
    if args.next_if(|arg| arg == "log").is_some() {
        return raft::storage::log_command::<raft::kv::Command>(args);
    }
    raft::maelstrom::main(args)
}
