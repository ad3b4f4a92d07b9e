//! Measures the memory and the disk space that one node takes under many writes, and how fast it
//! comes back after a kill.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use super::load::{AT_ONCE, Load};
use super::{Options, measure, resources};
use crate::bench::cluster::Cluster;
use crate::bench::error::BenchError;
use crate::bench::network::{Millionths, Node};
use crate::bench::output::say;
use crate::check::Status;

/// How often the memory and the folder are measured.
const SAMPLE: Duration = Duration::from_millis(100);

/// How many lines report on the writes.
const LINES: u64 = 20;

/// How long reading all keys back may take without an answer to any of them.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes the measurement.
///
/// # Errors
/// The bench or the node failed.
pub fn soak(options: &Options) -> Result<Status, BenchError> {
    measure(options, 1, Millionths(0), |cluster, load, folder| {
        let node = Node(0);
        let mut peak = Peak::default();
        let fed = feed(options, cluster, load, folder, &mut peak);
        say(format_args!(
            "at most {} resident, {} on disk, {:.1} ms for a write; failed writes: {}",
            resident(peak.resident),
            mebibytes(peak.disk),
            peak.longest_ms,
            load.failed
        ))?;
        fed?;
        cluster.kill(node)?;
        cluster.restart(node)?;
        let took = cluster.await_init()?;
        say(format_args!(
            "killed, and back after {:.3} s with {} resident and {} on disk",
            took.as_secs_f64(),
            resident(resources::resident(cluster.process_id(node))),
            mebibytes(size(folder)?),
        ))?;
        read_back(cluster, load)
    })
}

/// The greatest that was measured.
#[derive(Debug, Default)]
pub(super) struct Peak {
    resident: Option<u64>,
    disk: u64,
    longest_ms: f64,
}

/// Makes all the writes, as fast as they are answered.
pub(super) fn feed(
    options: &Options,
    cluster: &mut Cluster,
    load: &mut Load,
    folder: &Path,
    peak: &mut Peak,
) -> Result<(), BenchError> {
    let (began, already) = (Instant::now(), load.ok);
    let mut sampled = began;
    let mut line = 1;
    load.latency();
    say("     writes   writes/s     resident      on disk   median ms  longest ms")?;
    while load.ok - already < options.writes {
        let left = options.writes - (load.ok - already);
        while load.pending() < AT_ONCE && (load.pending() as u64) < left {
            load.write(cluster, cluster.leader());
        }
        load.wait(cluster, cluster.now() + SAMPLE)?;
        let done = load.ok - already;
        let told = done * LINES >= options.writes * line;
        if sampled.elapsed() < SAMPLE && !told {
            continue;
        }
        sampled = Instant::now();
        let memory = resources::resident(cluster.process_id(cluster.leader()));
        let disk = size(folder)?;
        peak.resident = peak.resident.max(memory);
        peak.disk = peak.disk.max(disk);
        if told {
            line = done * LINES / options.writes + 1;
            let rate = done as f64 / began.elapsed().as_secs_f64();
            let latency = load.latency();
            let (median_ms, max_ms) = latency.map_or((0.0, 0.0), |row| (row.p50_ms, row.max_ms));
            peak.longest_ms = peak.longest_ms.max(max_ms);
            say(format_args!(
                "{done:11} {rate:10.0} {:>12} {:>12} {median_ms:11.1} {max_ms:11.1}",
                resident(memory),
                mebibytes(disk)
            ))?;
        }
    }
    Ok(())
}

/// Reads all keys that were written, and compares.
fn read_back(cluster: &mut Cluster, load: &mut Load) -> Result<Status, BenchError> {
    let written: Vec<(u64, String)> = load.written().collect();
    let mut keys: VecDeque<u64> = written.iter().map(|(key, _)| *key).collect();
    let mut answered = Instant::now();
    load.found.clear();
    while load.found.len() < written.len() {
        let before = load.found.len();
        let room = (AT_ONCE - load.pending()).min(keys.len());
        for key in keys.drain(..room) {
            load.read(cluster, Node(0), key);
        }
        load.wait(cluster, cluster.now() + SAMPLE)?;
        keys.extend(load.unread.drain(..));
        if load.found.len() > before {
            answered = Instant::now();
        } else if answered.elapsed() > READ_TIMEOUT {
            let seconds = READ_TIMEOUT.as_secs();
            return Err(BenchError::new(format!(
                "no read was answered within {seconds} s"
            )));
        }
    }
    for (key, value) in &written {
        match &load.found[key] {
            Some(found) if found.as_str() == Some(value) => {}
            Some(found) => {
                say(format_args!(
                    "key {key} has {found} instead of its last value {value:?}"
                ))?;
                return Ok(Status::Invalid);
            }
            None => {
                say(format_args!(
                    "key {key} is lost; its last value was {value:?}"
                ))?;
                return Ok(Status::Invalid);
            }
        }
    }
    let count = written.len();
    say(format_args!(
        "all keys have their last value; keys: {count}"
    ))?;
    Ok(Status::Valid)
}

fn size(folder: &Path) -> Result<u64, BenchError> {
    resources::folder(folder).map_err(BenchError::io(format_args!(
        "cannot measure {}",
        folder.display()
    )))
}

fn resident(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), mebibytes)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
