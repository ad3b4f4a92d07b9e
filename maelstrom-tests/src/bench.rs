//! The bench: real processes over real pipes, a network with faults between them, clients, and a
//! verdict.
//!
//! In reading order: [`workload`] (what clients request), [`clients`] (what the answers mean),
//! [`network`] and [`nemesis`] (latency and faults) know neither a clock nor a process;
//! [`protocol`] reads and writes Maelstrom's messages, and is stricter than Maelstrom;
//! [`processes`] are the nodes; [`cluster`] connects them through the network, or through [`tcp`] and
//! its [`proxy`]; [`router`] is the event loop of a run; [`report`] presents the outcome. [`runs`] makes many runs; [`signals`] ends
//! them early; [`measure`] measures memory, disk, restarts and catching up.

pub mod clients;
pub mod cluster;
pub mod error;
pub mod measure;
pub mod members;
pub mod nemesis;
pub mod network;
pub mod options;
pub mod output;
pub mod processes;
pub mod protocol;
pub mod proxy;
pub mod report;
pub mod router;
pub mod runs;
pub mod signals;
pub mod store;
pub mod tcp;
pub mod workload;

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use error::BenchError;
use nemesis::Kind;
use network::Transport;
use options::{Options, ourselves};
use output::say;
use processes::data::Data;
use processes::program::Program;
use report::ended::Ended;
use report::evaluation::evaluate;
use report::plot;
use report::record::Record;
use report::results::Results;

use crate::check::Status;
use crate::linearizability::{self, Analysis, Limits, Verdict};

/// Runs a test, reports on standard output, and leaves the results in the store. `arguments` are
/// those of `test`, which gave the options.
///
/// # Errors
/// The bench or a node failed. Then, too, all nodes have ended, and the history until then is in
/// the store.
pub fn test(options: &Options, arguments: &[OsString]) -> Result<Status, BenchError> {
    signals::supervise("test", arguments)?;
    if let Some(runs) = options.runs {
        return runs::run(options, runs);
    }
    say(format_args!(
        "seed {}; to repeat: {} {}",
        options.seed,
        ourselves(),
        options.command_line()
    ))?;
    let mut program = Program::of(&options.node, options.transport, &options.node_arguments)?;
    let store = store::create(&options.store).map_err(BenchError::io(format_args!(
        "cannot create a folder in {}",
        options.store.display()
    )))?;
    say(format_args!("results in {}", store.display()))?;
    let place = options.data_dir.as_deref();
    let kills = options.nemesis.contains(&Kind::Kill);
    let has_data = place.is_some() || kills || options.transport == Transport::Tcp;
    let data = has_data.then(|| Data::create(place)).transpose()?;
    if let Some(data) = &data {
        say(format_args!("nodes' data in {}", data.folder.display()))?;
    }
    program.data = data.as_ref().map(|data| data.folder.clone());
    let tested = router::run(options, program, &store);
    judge(options, &store, data, tested)
}

/// Checks and reports a run, and leaves the results in the store.
fn judge(
    options: &Options,
    store: &Path,
    data: Option<Data>,
    tested: Result<Record, BenchError>,
) -> Result<Status, BenchError> {
    match tested {
        Ok(record) => {
            let operations = record.history.operations();
            let began = Instant::now();
            let analysis = linearizability::check(operations, Limits::default());
            let check = began.elapsed();
            let ended = Ended::of(options, operations);
            let (status, results) = evaluate(&record, &ended, &analysis, check);
            let written = leave(store, &record, &ended, &results, &analysis);
            let removed = data.map_or(Ok(()), |data| data.leave(status == Status::Valid));
            report::text::print((status, &results), &analysis, store, options.verbose)
                .map_err(BenchError::io("cannot print the report"))?;
            written.and(removed).map(|()| status)
        }
        Err(broken) => {
            let results = Results::broken(options, Some(broken.to_string()));
            // What broke the run matters more than a store that is full.
            let _ = write(store, "results.json", &results.encode());
            data.map_or(Ok(()), |data| data.leave(false))?;
            Err(broken)
        }
    }
}

/// Leaves the results and pictures of a run in the store.
fn leave(
    store: &Path,
    record: &Record,
    ended: &[Ended],
    results: &Results,
    analysis: &Analysis,
) -> Result<(), BenchError> {
    write(store, "results.json", &results.encode())?;
    for (name, picture) in [
        ("latency.svg", plot::latency(ended, results)),
        ("rate.svg", plot::rate(ended, results)),
        (
            "messages.svg",
            plot::messages(results.node_count, &record.messages.arrows),
        ),
    ] {
        write(store, name, picture.as_bytes())?;
    }
    if let Verdict::Invalid(contradictions) = &analysis.verdict
        && let Some(first) = contradictions.first()
    {
        write(store, "contradiction.svg", first.to_svg().as_bytes())?;
    }
    Ok(())
}

fn write(store: &Path, name: &str, bytes: &[u8]) -> Result<(), BenchError> {
    let path = store.join(name);
    let what = format!("cannot write {}", path.display());
    std::fs::write(path, bytes).map_err(BenchError::io(what))
}
