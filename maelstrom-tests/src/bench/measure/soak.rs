//! Measures the memory and the disk space that one node takes under many writes, and how fast it
//! comes back after a kill.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use json::Value;

use super::load::{AT_ONCE, Load};
use super::{Options, in_time, measure, resources};
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
        let rest = load.latency().map_or(0.0, |row| row.max_ms);
        say(format_args!(
            "at most {} resident, {} on disk, {:.1} ms for a write; failed writes: {}",
            resident(peak.resident),
            mebibytes(peak.disk),
            peak.longest_ms.max(rest),
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
    let mut read = || {
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
            }
            in_time(answered.elapsed(), READ_TIMEOUT, "no read was answered")?;
        }
        Ok(())
    };
    let read = read();
    if let Some(wrong) = wrong(&written, &load.found) {
        return say(wrong).map(|()| Status::Invalid);
    }
    read?;
    let count = written.len();
    say(format!("all keys have their last value; keys: {count}")).map(|()| Status::Valid)
}

/// What is wrong with the keys that were read.
fn wrong(written: &[(u64, String)], found: &BTreeMap<u64, Option<Value>>) -> Option<String> {
    written
        .iter()
        .find_map(|(key, value)| match found.get(key)? {
            Some(found) if found.as_str() == Some(value) => None,
            Some(found) => Some(format!(
                "key {key} has {found} instead of its last value {value:?}"
            )),
            None => Some(format!("key {key} is lost; its last value was {value:?}")),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_value_is_found_among_unread_keys() {
        let written = [(1, "a".to_owned()), (2, "b".to_owned())];
        let wrong = |found: &[(u64, Option<&str>)]| {
            let found = found.iter();
            let found = found.map(|(key, value)| (*key, value.map(Value::from)));
            wrong(&written, &found.collect())
        };
        assert_eq!(wrong(&[]), None);
        assert_eq!(wrong(&[(1, Some("a")), (2, Some("b"))]), None);
        let lost = "key 2 is lost; its last value was \"b\"";
        assert_eq!(wrong(&[(2, None)]).as_deref(), Some(lost));
        let other = "key 1 has \"b\" instead of its last value \"a\"";
        assert_eq!(wrong(&[(1, Some("b"))]).as_deref(), Some(other));
    }
}
