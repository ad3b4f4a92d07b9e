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
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::panic;
use std::process::{self, ExitCode};
use std::thread;

use crate::flags::{Given, UsageError};
use crate::node::StopReason;
use crate::node::address::is_place;
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

/// The addresses in a flag with a list of them.
fn places(given: &Given, name: &str) -> Result<Vec<String>, UsageError> {
    let list = given.text(name).unwrap_or_default().split(',');
    list.map(|text| match text.trim() {
        place if is_place(place) => Ok(place.to_owned()),
        other => Err(UsageError::value(name, PLACE, other)),
    })
    .collect()
}

const PLACE: &str = "HOST:PORT with a port from 1 to 65535";

/// The initial members in `--bootstrap`, whose addresses differ.
fn initial_members(text: &str) -> Result<Vec<String>, UsageError> {
    let mut places = BTreeSet::new();
    text.split(',')
        .map(|member| {
            let (name, place) = member.split_once('=').unwrap_or((member, ""));
            let (name, place) = (name.trim(), place.trim());
            let why = if !is_place(place) {
                format!("{name} has no ={PLACE}")
            } else if !places.insert(place) {
                format!("{place} occurs twice; each member has an address of its own")
            } else {
                return Ok(format!("{name}={place}"));
            };
            Err(UsageError::new(format!("--bootstrap: {why}")))
        })
        .collect()
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
