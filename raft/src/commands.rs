//! The commands of the `raft` binary, one file each.

mod backup;
mod cluster;
pub mod log;
pub mod maelstrom;
mod repl;
mod request;
mod restore;
pub mod serve;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsString;
use std::io::Write as _;
use std::panic;
use std::process::{self, ExitCode};
use std::thread;

use crate::flags::UsageError;
use crate::node::StopReason;
use crate::stdio::{print_error, stdout};
use crate::telemetry::log::{Level, Log};

/// Runs the command that the arguments name; without a subcommand, the Maelstrom node.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match maelstrom::MAELSTROM.subcommand(arguments) {
        Ok((None, arguments)) => maelstrom::main(arguments),
        Ok((Some("log"), arguments)) => log::main(arguments),
        Ok((Some("repl"), arguments)) => repl::main(arguments),
        Ok((Some("cluster"), arguments)) => cluster::main(arguments),
        Ok((Some("restore"), arguments)) => restore::main(arguments),
        Ok((Some("serve"), arguments)) => serve::main(arguments),
        Ok((Some(verb), arguments)) => request::main(verb, arguments),
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

/// Runs a node. Any panic ends the process: a node that has broken its own rules must not continue.
fn run_node(level: Level, run: impl FnOnce(&Log) -> Result<(), StopReason>) -> ExitCode {
    let log = Log::new(level);
    if let Err(error) = log.start() {
        print_error(StopReason::io("error: cannot start a thread")(error));
        return ExitCode::FAILURE;
    }
    abort_on_panic(log.clone());
    let status = match run(&log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            log.error(reason);
            ExitCode::FAILURE
        }
    };
    log.finish();
    status
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
