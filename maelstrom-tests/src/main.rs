//! The `maelstrom-tests` binary: sorts the subcommands and prints what goes wrong.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use maelstrom_tests::bench::flags::{Parsed, UsageError, nearest};
use maelstrom_tests::bench::measure::soak::{self, CATCH_UP, SOAK};
use maelstrom_tests::bench::options::{DEFAULT_RUN, Options};
use maelstrom_tests::bench::processes::builtin::{self, Builtin};
use maelstrom_tests::bench::processes::builtin_node;
use maelstrom_tests::bench::{self, matrix};
use maelstrom_tests::check::{self, Status};
use maelstrom_tests::{fuzz, model, sim};

const HELP: &str = "\
Tests nodes that speak Maelstrom's protocol: runs a cluster of processes under load and faults, and checks whether
what the clients saw is linearizable.

Usage: maelstrom-tests [SUBCOMMAND] [FLAGS]

  (nothing)           Five nodes for 20 seconds, with latency, partitions, pauses and kills, and a verdict.
  test                A run with options of your choice, most of them Maelstrom's.
  check FILE          Checks a history.jsonl by itself.
  matrix              Many runs with options drawn from a seed, and what they have in common.
  model               Searches all courses that a small world can take.
  sim                 Whole clusters in virtual time, all faults drawn from a seed.
  fuzz [TARGET...]    Feeds spoiled inputs to all that reads what others wrote.
  soak                Feeds millions of writes to a node; prints memory, disk, and how it comes back.
  catch-up            Prints what it costs the others when a node that was away catches up.
  node                Becomes a Raft node, as the raft binary is one; its flags are that binary's.
  builtin-node NAME   Becomes one of the other nodes that are part of the bench: null or stale.

Each subcommand explains itself with --help; --version prints the version.
Exit status: 0 valid, 1 invalid, 2 unknown, 255 the bench or a node broke, or the command line makes no sense.
";

const VERSION: &str = concat!("maelstrom-tests ", env!("CARGO_PKG_VERSION"), "\n");

const BUILTIN_NODE_HELP: &str = "\
Becomes a node that is part of the bench. It reads Maelstrom's messages on standard input, and ends with it.

Usage: maelstrom-tests builtin-node null|stale

  null    Answers at once from its own memory.
  stale   Writes at one place, but reads from its own memory.
";

const SUBCOMMANDS: [&str; 10] = [
    "test",
    "check",
    "matrix",
    "model",
    "sim",
    "fuzz",
    "soak",
    "catch-up",
    builtin::RAFT_SUBCOMMAND,
    builtin::SUBCOMMAND,
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let outcome = match arguments.next() {
        None => {
            let command = format!("maelstrom-tests test {}\n", DEFAULT_RUN.join(" "));
            print(&command).and_then(|_| test(DEFAULT_RUN.iter().map(OsString::from)))
        }
        Some(first) => match first.to_str() {
            Some("--help" | "-h" | "help") => print(HELP),
            Some("--version") => print(VERSION),
            Some("test") => test(arguments),
            Some("check") => check(arguments),
            Some("matrix") => matrix(arguments),
            Some("model") => model(arguments),
            Some("sim") => sim(arguments),
            Some("fuzz") => fuzz(arguments),
            Some("soak") => match soak::Options::parse(&SOAK, arguments) {
                Ok(Parsed::Help(page)) => print(&page),
                Ok(Parsed::Run(options)) => soak::soak(&options).map_err(Into::into),
                Err(error) => Err(error.into()),
            },
            Some("catch-up") => match soak::Options::parse(&CATCH_UP, arguments) {
                Ok(Parsed::Help(page)) => print(&page),
                Ok(Parsed::Run(options)) => soak::catch_up(&options).map_err(Into::into),
                Err(error) => Err(error.into()),
            },
            Some(builtin::RAFT_SUBCOMMAND) => return raft::maelstrom::main(arguments),
            Some(builtin::SUBCOMMAND) => match arguments.next() {
                Some(first) if first == "--help" || first == "-h" => print(BUILTIN_NODE_HELP),
                name => return builtin_node(&name.unwrap_or_default()),
            },
            Some(_) | None => Err(unknown(&first).into()),
        },
    };
    match outcome {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("maelstrom-tests: {error}");
            Status::Broken.into()
        }
    }
}

fn test(arguments: impl Iterator<Item = OsString>) -> Result<Status, Box<dyn Error>> {
    match Options::parse(arguments)? {
        Parsed::Help(page) => print(&page),
        Parsed::Run(options) => Ok(bench::test(&options)?),
    }
}

fn matrix(arguments: impl Iterator<Item = OsString>) -> Result<Status, Box<dyn Error>> {
    match matrix::Options::parse(arguments)? {
        Parsed::Help(page) => print(&page),
        Parsed::Run(options) => Ok(matrix::run(&options)?),
    }
}

fn model(arguments: impl Iterator<Item = OsString>) -> Result<Status, Box<dyn Error>> {
    match model::options::Options::parse(arguments)? {
        Parsed::Help(page) => print(&page),
        Parsed::Run(options) => Ok(model::run(&options)?),
    }
}

fn sim(arguments: impl Iterator<Item = OsString>) -> Result<Status, Box<dyn Error>> {
    match sim::flags::Options::parse(arguments)? {
        Parsed::Help(page) => print(&page),
        Parsed::Run(options) => Ok(sim::flags::main(&options)?),
    }
}

fn fuzz(arguments: impl Iterator<Item = OsString>) -> Result<Status, Box<dyn Error>> {
    match fuzz::options::Options::parse(arguments)? {
        Parsed::Help(page) => print(&page),
        Parsed::Run(options) => Ok(fuzz::run(&options)?),
    }
}

fn check(arguments: impl Iterator<Item = OsString>) -> Result<Status, Box<dyn Error>> {
    let not_utf8 = |raw| UsageError::new(format!("an argument is not UTF-8: {raw:?}"));
    let arguments: Result<Vec<String>, OsString> = arguments.map(OsString::into_string).collect();
    let arguments = arguments.map_err(not_utf8)?;
    Ok(check::main(
        &arguments,
        &mut io::stdout(),
        &mut io::stderr(),
    ))
}

/// A node that the bench starts ends quietly with its input; its other arguments are for the Raft
/// node and ignored.
fn builtin_node(name: &OsString) -> ExitCode {
    match name.to_str().and_then(Builtin::from_name) {
        Some(builtin @ (Builtin::Null | Builtin::Stale)) => builtin_node::main(builtin),
        Some(Builtin::Raft) | None => {
            eprintln!(
                "maelstrom-tests: {} takes null or stale, not {name:?}",
                builtin::SUBCOMMAND
            );
            ExitCode::from(255)
        }
    }
}

fn unknown(subcommand: &OsString) -> UsageError {
    let word = subcommand.to_string_lossy();
    if word.starts_with('-') {
        return UsageError::new(format!(
            "flags follow a subcommand, as in maelstrom-tests test {word}; --help lists the subcommands"
        ));
    }
    let hint = match nearest(&word, SUBCOMMANDS.into_iter()) {
        Some(near) => format!("did you mean {near}?"),
        None => "--help lists the subcommands".to_owned(),
    };
    UsageError::new(format!("unknown subcommand {word:?}; {hint}"))
}

fn print(text: &str) -> Result<Status, Box<dyn Error>> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(Status::Valid)
}
