//! The commands of the `raft` binary, one file each.

pub mod log;
pub mod maelstrom;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsString;
use std::io::Write as _;
use std::panic;
use std::process::{self, ExitCode};
use std::thread;

use crate::flags::UsageError;
use crate::stdio::{print_error, stdout};
use crate::telemetry::log::Log;

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
    print_error(format_args!("{command}: {error}\nSee {command} --help."));
    ExitCode::from(2)
}

/// Prints a page to stdout.
fn print(text: &str) -> ExitCode {
    let mut out = stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// From here on any panic ends the process, at once even if nothing reads stderr.
fn abort_on_panic(log: Log) {
    panic::set_hook(Box::new(move |info| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        let backtrace = Backtrace::capture();
        let trace = match backtrace.status() {
            BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        log.error(format_args!("thread {name} {info}{trace}"));
        log.finish();
        process::abort();
    }));
}
