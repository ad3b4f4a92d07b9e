//! The bench: real processes over real pipes, a network with faults between them, clients, and a
//! verdict.
//!
//! In reading order: [`workload`] (what clients request), [`clients`] (what the answers mean),
//! [`network`] and [`nemesis`] (latency and faults) know neither a clock nor a process;
//! [`protocol`] reads and writes Maelstrom's messages, and is stricter than Maelstrom;
//! [`processes`] runs the nodes; [`router`] is the event loop that connects them; [`report`]
//! presents the outcome. [`measure`] measures memory, disk, restarts and catching up.

pub mod clients;
pub mod error;
pub mod matrix;
pub mod measure;
pub mod nemesis;
pub mod network;
pub mod options;
pub mod output;
pub mod processes;
pub mod protocol;
pub mod report;
pub mod router;
pub mod store;
pub mod workload;

use std::time::Instant;

use error::BenchError;
use nemesis::Kind;
use network::Node;
use options::Options;
use output::say;
use processes::data::Data;
use processes::program::Program;
use report::record::{CLIENTS, nanoseconds};
use report::results::Results;
use router::{Finished, Router};
use store::Store;

use crate::check::Status;
use crate::linearizability::{self, Limits, Verdict};

/// Runs a test, tells on standard output how it goes and ends, and leaves the results in the store.
///
/// # Errors
/// The bench or a node broke. Then, too, the nodes are gone, and what happened until then is in the
/// store.
pub fn test(options: &Options) -> Result<Status, BenchError> {
    say(format_args!(
        "seed {}; to repeat: {} {}",
        options.seed,
        ourselves(),
        options.command_line()
    ))?;
    let mut program = Program::of(&options.node, &options.node_arguments)?;
    let store = Store::create(&options.store).map_err(BenchError::io(format_args!(
        "no folder in {}",
        options.store.display()
    )))?;
    say(format_args!("results in {}", store.folder().display()))?;
    let place = options.data_dir.as_deref();
    let data = (place.is_some() || options.nemesis.contains(&Kind::Kill))
        .then(|| Data::create(place))
        .transpose()
        .map_err(BenchError::io("no folder for the nodes' data"))?;
    program.data = data.as_ref().map(|data| data.folder().to_owned());
    let tested = Router::start(options, &program, &store).and_then(Router::run);
    let judged = judge(options, &store, tested);
    if let Some(data) = data {
        let well = matches!(judged, Ok(Status::Valid));
        let kept = data
            .leave(well)
            .map_err(BenchError::io("the nodes' data can't be removed"))?;
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
    tested: Result<Finished, BenchError>,
) -> Result<Status, BenchError> {
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
                .map_err(BenchError::io("the report can't be printed"))?;
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
fn draw(options: &Options, store: &Store, finished: &Finished) -> Result<(), BenchError> {
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

fn write(store: &Store, name: &str, bytes: &[u8]) -> Result<(), BenchError> {
    std::fs::write(store.file(name), bytes).map_err(BenchError::io(name))
}

/// What was typed to start the bench.
fn ourselves() -> String {
    let typed = std::env::args_os().next().unwrap_or_default();
    options::quoted(&typed.to_string_lossy())
}
