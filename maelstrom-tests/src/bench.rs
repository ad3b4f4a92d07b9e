//! The bench: real processes over real pipes, a network with faults between them, clients, and a
//! verdict.
//!
//! In the order in which to read it: [`workload`] (what is asked), [`clients`] (who asks and what
//! answers mean), [`network`] and [`nemesis`] (what goes wrong) know no clock and no process;
//! [`protocol`] reads and writes Maelstrom's messages, and is stricter than Maelstrom; [`process`]
//! and [`watchdog`] run the nodes, which keep their data in [`data`]; [`router`] is the loop that
//! binds them together; [`report`] says what came of it. [`soak`]
//! measures what nodes take of memory and disk, and how they come back.

pub mod builtin;
pub mod builtin_node;
pub mod clients;
pub mod data;
pub mod flags;
pub mod matrix;
pub mod nemesis;
pub mod network;
pub mod options;
pub mod process;
pub mod protocol;
pub mod report;
pub mod router;
pub mod soak;
pub mod store;
pub mod watchdog;
pub mod workload;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use data::Data;
use nemesis::Kind;
use network::Node;
use options::{NodeChoice, Options};
use process::Program;
use report::record::{CLIENTS, nanoseconds};
use report::results::Results;
use router::{Broken, Finished, Router};
use store::Store;

use crate::check::Status;
use crate::linearizability::{self, Limits, Verdict};

/// Runs a test, tells on standard output how it goes and ends, and leaves the results in the store.
///
/// # Errors
/// The bench or a node broke. Then, too, the nodes are gone, and what happened until then is in the
/// store.
pub fn test(options: &Options) -> Result<Status, Broken> {
    say(format_args!(
        "seed {}; to repeat: {} {}",
        options.seed,
        ourselves(),
        options.command_line()
    ))?;
    let mut program = program(options)?;
    let store = Store::create(&options.store).map_err(Broken::io(format_args!(
        "no folder in {}",
        options.store.display()
    )))?;
    say(format_args!("results in {}", store.folder().display()))?;
    let place = options.data_dir.as_deref();
    let data = (place.is_some() || options.nemesis.contains(&Kind::Kill))
        .then(|| Data::create(place))
        .transpose()
        .map_err(Broken::io("no folder for the nodes' data"))?;
    program.data = data.as_ref().map(|data| data.folder().to_owned());
    let tested = Router::start(options, &program, &store).and_then(Router::run);
    let judged = judge(options, &store, tested);
    if let Some(data) = data {
        let well = matches!(judged, Ok(Status::Valid));
        let kept = data
            .leave(well)
            .map_err(Broken::io("the nodes' data can't be removed"))?;
        if let Some(folder) = kept {
            say(format_args!("the nodes' data are in {}", folder.display()))?;
        }
    }
    judged
}

/// Says what a run came to, and leaves the results in the store.
fn judge(
    options: &Options,
    store: &Store,
    tested: Result<Finished, Broken>,
) -> Result<Status, Broken> {
    match tested {
        Ok(finished) => {
            let operations = finished.record.history().operations();
            let began = Instant::now();
            let analysis = linearizability::check(operations, Limits::default());
            let (status, results) = Results::of(options, &finished, &analysis, began.elapsed());
            write(store, "results.json", &results.encode())?;
            draw(options, store, &finished)?;
            if let Verdict::Invalid(contradictions) = &analysis.verdict
                && let Some(first) = contradictions.first()
            {
                write(store, "contradiction.svg", first.to_svg().as_bytes())?;
            }
            report::text::print(&results, &analysis, store.folder())
                .map_err(Broken::io("the report can't be printed"))?;
            Ok(status)
        }
        Err(broken) => {
            let results = Results::broken(options, &broken);
            write(store, "results.json", &results.encode())?;
            Err(broken)
        }
    }
}

/// Draws the pictures of a run.
fn draw(options: &Options, store: &Store, finished: &Finished) -> Result<(), Broken> {
    let operations = finished.record.history().operations();
    let end = finished.statistics.ended;
    let faults = finished.statistics.faults.iter();
    let faults: Vec<report::plot::Fault> = faults
        .map(|fault| report::plot::Fault {
            label: fault.label.clone(),
            from_ns: nanoseconds(fault.began),
            to_ns: nanoseconds(fault.ended.unwrap_or(end)),
        })
        .collect();
    let names: Vec<String> = std::iter::once(CLIENTS.to_owned())
        .chain((0..options.node_count).map(|node| Node(node).to_string()))
        .collect();
    let end_ns = nanoseconds(end);
    for (name, picture) in [
        (
            "latency.svg",
            report::plot::latency(operations, &faults, end_ns),
        ),
        ("rate.svg", report::plot::rate(operations, &faults, end_ns)),
        (
            "messages.svg",
            report::plot::messages(&names, finished.record.messages()),
        ),
    ] {
        write(store, name, picture.as_bytes())?;
    }
    Ok(())
}

fn write(store: &Store, name: &str, bytes: &[u8]) -> Result<(), Broken> {
    std::fs::write(store.file(name), bytes).map_err(Broken::io(name))
}

/// Prints a line.
fn say(line: impl Display) -> Result<(), Broken> {
    writeln!(io::stdout(), "{line}").map_err(Broken::io("standard output can't be written to"))
}

/// What was typed to start the bench.
fn ourselves() -> String {
    let typed = std::env::args_os().next().unwrap_or_default();
    options::quoted(&typed.to_string_lossy())
}

/// What the nodes run, with a path that does not depend on the working folder, as theirs is
/// another.
fn program(options: &Options) -> Result<Program, Broken> {
    let mut program = program_of(&options.node)?;
    program
        .arguments
        .extend(options.node_arguments.iter().cloned());
    Ok(program)
}

fn program_of(node: &NodeChoice) -> Result<Program, Broken> {
    let (path, arguments) = match node {
        NodeChoice::Bin(path) => (executable(path)?, Vec::new()),
        NodeChoice::Builtin(builtin) => {
            let bench =
                std::env::current_exe().map_err(Broken::io("the bench can't find itself"))?;
            (bench, builtin.arguments())
        }
    };
    Ok(Program {
        path,
        arguments,
        data: None,
    })
}

fn executable(path: &Path) -> Result<PathBuf, Broken> {
    use std::os::unix::fs::PermissionsExt as _;
    let told = path.display();
    let found = std::fs::canonicalize(path).and_then(|path| Ok((path.metadata()?, path)));
    match found {
        Ok((metadata, _)) if !metadata.is_file() => {
            Err(Broken::new(format!("--bin {told}: that is not a file")))
        }
        Ok((metadata, _)) if metadata.permissions().mode() & 0o111 == 0 => Err(Broken::new(
            format!("--bin {told}: that is not executable (chmod +x?)"),
        )),
        Ok((_, path)) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Broken::new(format!("--bin {told}: there is no such file")))
        }
        Err(error) => Err(Broken::new(format!("--bin {told}: {error}"))),
    }
}
