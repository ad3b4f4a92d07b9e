//! The `maelstrom-tests` binary: runs a subcommand, and prints its error.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use maelstrom_tests::bench::measure::catch_up::catch_up;
use maelstrom_tests::bench::measure::memory::memory;
use maelstrom_tests::bench::measure::soak::soak;
use maelstrom_tests::bench::measure::{self, CATCH_UP, SOAK};
use maelstrom_tests::bench::options::{DEFAULT_RUN, Options};
use maelstrom_tests::bench::processes::builtin::{self, Builtin};
use maelstrom_tests::bench::processes::builtin_node;
use maelstrom_tests::bench::signals;
use maelstrom_tests::check::{self, Status};
use maelstrom_tests::{bench, fuzz, golden, model, sim};
use raft::flags::{Command, UsageError};
use raft::stdio::{print_error, stdout};

/// The program: its subcommands and its version.
const PROGRAM: Command = Command::new(
    "maelstrom-tests",
    "Tests nodes that speak Maelstrom's protocol: starts a cluster of processes, applies load and faults, and checks that\n\
     the clients' history is linearizable. Without a subcommand: a test of five nodes for 20 seconds, with latency,\n\
     partitions, pauses and kills. In the repository, type `cargo run --release --` for `maelstrom-tests`.\n\
     \n\
     Exit status: 0 valid; 1 invalid; 2 unknown; 255 the arguments are wrong, or the bench or a node failed, or stdout\n\
     cannot be written to. A reader that closes the pipe, such as head, changes nothing.",
    &[],
)
.version(concat!("maelstrom-tests ", env!("CARGO_PKG_VERSION"), "\n"))
.subcommands(&[
    ("test", "Tests a cluster under load and faults; most flags are Maelstrom's."),
    ("check", "Checks whether a history.jsonl is linearizable."),
    ("model", "Model checker: explores every interleaving of a small cluster."),
    ("sim", "Simulates clusters in virtual time, with faults drawn from a seed."),
    ("golden", "Plays golden scripts: protocol stories with the expected output."),
    ("fuzz", "Fuzzes every parser and decoder."),
    ("soak", "Sends millions of writes to a node; prints memory, disk and restart times."),
    ("memory", "Measures a node's memory and event loop for large values of many shapes."),
    ("catch-up", "Measures how a node that was away catches up, and the cost for the others."),
    (builtin::RAFT_SUBCOMMAND, "Runs a Raft node; the flags are the raft binary's."),
    (builtin::SERVE_SUBCOMMAND, "Runs a Raft node on a network, as raft serve does."),
    (builtin::SUBCOMMAND, "Runs another node of the bench: null or stale."),
]);

const BUILTIN_NODE_HELP: &str = "\
Runs a node that is part of the bench. It reads Maelstrom's messages on stdin and ends when that closes.

Usage: maelstrom-tests builtin-node null|stale

  null    Answers from its own memory alone.
  stale   Writes through one node, but reads from its own memory.
";

fn main() -> ExitCode {
    let outcome = PROGRAM
        .subcommand(std::env::args_os().skip(1))
        .map_err(Into::into)
        .and_then(|(subcommand, arguments)| run(subcommand, arguments))
        .or_else(|error| match error.downcast_ref() {
            Some(UsageError::Page(page)) => end(print(page)?),
            Some(UsageError::Mistake(_)) | None => Err(error),
        });
    match outcome {
        Ok(status) => status,
        Err(error) => {
            print_error(format_args!("maelstrom-tests: {error}"));
            Status::Broken.into()
        }
    }
}

fn run(subcommand: Option<&str>, arguments: Vec<OsString>) -> Result<ExitCode, Box<dyn Error>> {
    let status = match subcommand {
        None if arguments.is_empty() => {
            print(&format!(
                "cargo run --release -- test {}\n",
                DEFAULT_RUN.join(" ")
            ))?;
            let arguments: Vec<OsString> = DEFAULT_RUN.iter().map(OsString::from).collect();
            bench::test(&Options::parse(arguments.clone())?, &arguments)?
        }
        None => match PROGRAM.parse(arguments) {
            Err(page_or_mistake) => return Err(page_or_mistake.into()),
            Ok(_) => unreachable!("the program itself has no flags"),
        },
        Some("test") => bench::test(&Options::parse(arguments.clone())?, &arguments)?,
        Some("check") => check::run(&check::Options::parse(arguments)?, &mut stdout())?,
        Some("model") => model::run(&model::options::Options::parse(arguments)?)?,
        Some("sim") => sim::flags::main(&sim::flags::Options::parse(arguments)?)?,
        Some("golden") => golden::main(arguments)?,
        Some("fuzz") => fuzz::run(&fuzz::options::Options::parse(arguments)?, &mut stdout())?,
        Some("soak") => {
            let options = measure::Options::parse(&SOAK, arguments.clone())?;
            signals::supervise("soak", &arguments)?;
            soak(&options)?
        }
        Some("memory") => {
            let options = measure::memory::Options::parse(arguments.clone())?;
            signals::supervise("memory", &arguments)?;
            memory(&options)?
        }
        Some("catch-up") => {
            let options = measure::Options::parse(&CATCH_UP, arguments.clone())?;
            signals::supervise("catch-up", &arguments)?;
            catch_up(&options)?
        }
        Some(builtin::RAFT_SUBCOMMAND) => return Ok(raft::commands::main(arguments)),
        Some(builtin::SERVE_SUBCOMMAND) => {
            let serve = ["serve".into()].into_iter().chain(arguments);
            return Ok(raft::commands::main(serve));
        }
        Some(builtin::SUBCOMMAND) => return builtin_node(arguments),
        Some(other) => unreachable!("{other} is not in the table"),
    };
    end(status)
}

/// Ends the program, once everything is printed.
fn end(status: Status) -> Result<ExitCode, Box<dyn Error>> {
    stdout().flush()?;
    signals::report(status);
    Ok(status.into())
}

/// Ignores all arguments but the node's name: the others are the Raft node's flags.
fn builtin_node(arguments: Vec<OsString>) -> Result<ExitCode, Box<dyn Error>> {
    let name = arguments.first().and_then(|name| name.to_str());
    if let Some("--help" | "-h") = name {
        return Ok(print(BUILTIN_NODE_HELP)?.into());
    }
    match name.and_then(Builtin::from_name) {
        Some(builtin @ (Builtin::Null | Builtin::Stale)) => Ok(builtin_node::main(builtin)),
        Some(Builtin::Raft) | None => {
            let name = name.unwrap_or_default().escape_debug();
            let message = format!(
                "{}: expected null or stale, got '{name}'",
                builtin::SUBCOMMAND
            );
            Err(UsageError::new(message).into())
        }
    }
}

fn print(text: &str) -> io::Result<Status> {
    stdout().write_all(text.as_bytes())?;
    Ok(Status::Valid)
}
