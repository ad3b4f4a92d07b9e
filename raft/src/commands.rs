//! The commands of the `raft` binary, one file each.

mod backup;
mod cluster;
mod log;
mod maelstrom;
mod repl;
mod request;
mod restore;
mod serve;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::panic;
use std::process::{self, ExitCode};
use std::thread;

use self::maelstrom::MAELSTROM;
use crate::flags::{Given, UsageError};
use crate::node::StopReason;
use crate::node::address::is_place;
use crate::stdio::{print_error, stdout};
use crate::telemetry::log::{Level, Log};

/// Runs the command that the arguments name; without a subcommand, the Maelstrom node.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut command = MAELSTROM.name.to_owned();
    let run = |(name, arguments): (Option<&'static str>, _)| {
        command.extend(name.iter().flat_map(|name| [" ", name]));
        match name {
            None => maelstrom::main(arguments),
            Some("log") => log::main(arguments),
            Some("repl") => repl::main(arguments),
            Some("cluster") => cluster::main(arguments),
            Some("restore") => restore::main(arguments),
            Some("serve") => serve::main(arguments),
            Some(verb) => request::main(verb, arguments),
        }
    };
    let subcommand = MAELSTROM.subcommand(arguments);
    match subcommand.map_err(Failure::Usage).and_then(run) {
        Ok(status) => status,
        Err(Failure::Usage(UsageError::Page(page))) => print(&page),
        Err(Failure::Usage(UsageError::Mistake(text))) => {
            print_error(format_args!("{command}: {text}\nSee {command} --help."));
            ExitCode::from(2)
        }
        Err(Failure::Status(status, reason)) => {
            print_error(format_args!("{command}: {reason}"));
            ExitCode::from(status)
        }
    }
}

/// Why a command did not do what it is for.
#[derive(Debug)]
enum Failure {
    Usage(UsageError),
    /// The exit status, and the reason.
    Status(u8, String),
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Status(1, error.to_string())
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
