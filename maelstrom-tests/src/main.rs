//! The `maelstrom-tests` binary: sorts the subcommands and prints what goes wrong.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use maelstrom_tests::bench::measure::soak::{self, CATCH_UP, SOAK};
use maelstrom_tests::bench::options::{DEFAULT_RUN, Options};
use maelstrom_tests::bench::processes::builtin::{self, Builtin};
use maelstrom_tests::bench::processes::builtin_node;
use maelstrom_tests::bench::{self, matrix};
use maelstrom_tests::check::{self, Status};
use maelstrom_tests::{fuzz, golden, model, sim};
use raft::flags::{Command, Parsed, UsageError};

/// The program: its subcommands and its version.
const PROGRAM: Command = Command::new(
    "maelstrom-tests",
    "Tests nodes that speak Maelstrom's protocol: runs a cluster of processes under load and faults, and checks whether\n\
     what the clients saw is linearizable. Without a subcommand: five nodes for 20 seconds, with latency, partitions,\n\
     pauses and kills, and a verdict.\n\
     \n\
     Exit status: 0 valid, 1 invalid, 2 unknown, 255 the bench or a node broke, or the command line makes no sense.",
    &[],
)
.version(concat!("maelstrom-tests ", env!("CARGO_PKG_VERSION"), "\n"))
.subcommands(&[
    ("test", "A run with options of your choice, most of them Maelstrom's."),
    ("check", "Checks a history.jsonl by itself."),
    ("matrix", "Many runs with options drawn from a seed, and what they have in common."),
    ("model", "Model checker: explores every interleaving of a small cluster."),
    ("sim", "Simulates whole clusters in virtual time, all faults drawn from a seed."),
    ("golden", "Plays protocol stories and compares what the nodes do with what the scripts say."),
    ("fuzz", "Fuzzes every parser and decoder."),
    ("soak", "Feeds millions of writes to a node; prints memory, disk, and the time that a restart takes."),
    ("catch-up", "Prints what it costs the others when a node that was away catches up."),
    (builtin::RAFT_SUBCOMMAND, "Becomes a Raft node, as the raft binary is one; its flags are that binary's."),
    (builtin::SUBCOMMAND, "Becomes one of the other nodes that are part of the bench: null or stale."),
]);

const BUILTIN_NODE_HELP: &str = "\
Becomes a node that is part of the bench. It reads Maelstrom's messages on standard input, and ends with it.

Usage: maelstrom-tests builtin-node null|stale

  null    Answers at once from its own memory.
  stale   Writes at one place, but reads from its own memory.
";

fn main() -> ExitCode {
    let outcome = PROGRAM
        .subcommand(std::env::args_os().skip(1))
        .map_err(Into::into)
        .and_then(|(subcommand, arguments)| run(subcommand, arguments));
    match outcome {
        Ok(status) => status,
        Err(error) => {
            eprintln!("maelstrom-tests: {error}");
            Status::Broken.into()
        }
    }
}

fn run(subcommand: Option<&str>, arguments: Vec<OsString>) -> Result<ExitCode, Box<dyn Error>> {
    let status = match subcommand {
        None if arguments.is_empty() => {
            print(&format!("maelstrom-tests test {}\n", DEFAULT_RUN.join(" ")))?;
            match Options::parse(DEFAULT_RUN.iter().map(OsString::from))? {
                Parsed::Run(options) => bench::test(&options)?,
                Parsed::Print(_) => unreachable!("the default run asks for no help"),
            }
        }
        None => match PROGRAM.parse(arguments)? {
            Parsed::Print(page) => print(&page)?,
            Parsed::Run(_) => unreachable!("the program itself has no flags"),
        },
        Some("test") => match Options::parse(arguments)? {
            Parsed::Print(page) => print(&page)?,
            Parsed::Run(options) => bench::test(&options)?,
        },
        Some("check") => check(arguments)?,
        Some("matrix") => match matrix::Options::parse(arguments)? {
            Parsed::Print(page) => print(&page)?,
            Parsed::Run(options) => matrix::run(&options)?,
        },
        Some("model") => match model::options::Options::parse(arguments)? {
            Parsed::Print(page) => print(&page)?,
            Parsed::Run(options) => model::run(&options)?,
        },
        Some("sim") => match sim::flags::Options::parse(arguments)? {
            Parsed::Print(page) => print(&page)?,
            Parsed::Run(options) => sim::flags::main(&options)?,
        },
        Some("golden") => golden::main(arguments)?,
        Some("fuzz") => match fuzz::options::Options::parse(arguments)? {
            Parsed::Print(page) => print(&page)?,
            Parsed::Run(options) => fuzz::run(&options)?,
        },
        Some("soak") => match soak::Options::parse(&SOAK, arguments)? {
            Parsed::Print(page) => print(&page)?,
            Parsed::Run(options) => soak::soak(&options)?,
        },
        Some("catch-up") => match soak::Options::parse(&CATCH_UP, arguments)? {
            Parsed::Print(page) => print(&page)?,
            Parsed::Run(options) => soak::catch_up(&options)?,
        },
        Some(builtin::RAFT_SUBCOMMAND) => return Ok(raft::maelstrom::main(arguments)),
        Some(builtin::SUBCOMMAND) => return builtin_node(arguments),
        Some(other) => unreachable!("{other} is a subcommand without a meaning"),
    };
    Ok(status.into())
}

fn check(arguments: Vec<OsString>) -> Result<Status, UsageError> {
    let not_utf8 = |raw| UsageError::new(format!("an argument is not UTF-8: {raw:?}"));
    let arguments: Result<Vec<String>, OsString> =
        arguments.into_iter().map(OsString::into_string).collect();
    let arguments = arguments.map_err(not_utf8)?;
    Ok(check::main(
        &arguments,
        &mut io::stdout(),
        &mut io::stderr(),
    ))
}

/// A node that the bench starts ends quietly with its input; its other arguments are for the Raft
/// node and ignored.
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
    io::stdout().write_all(text.as_bytes())?;
    Ok(Status::Valid)
}
