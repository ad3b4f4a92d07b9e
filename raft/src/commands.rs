//! The commands of the `raft` binary, one file each.

pub mod log;
pub mod maelstrom;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::panic;
use std::process::{self, ExitCode};

use crate::flags::UsageError;

/// Runs the command that the arguments name; without a subcommand, the Maelstrom node.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match maelstrom::MAELSTROM.subcommand(arguments) {
        Ok((None, arguments)) => maelstrom::main(arguments),
        Ok((Some("log"), arguments)) => log::main(arguments),
        Ok((Some(other), _)) => unreachable!("subcommand {other} has no function"),
        Err(error) => usage_error(maelstrom::MAELSTROM.name, &error),
    }
}

fn usage_error(command: &str, error: &UsageError) -> ExitCode {
    // If stderr is closed too, the status still tells.
    let _ = writeln!(io::stderr(), "{command}: {error}\nSee {command} --help.");
    ExitCode::from(2)
}

/// Prints to stdout. A reader that closed the pipe is no failure.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        process::abort();
    }));
}
