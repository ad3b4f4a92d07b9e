//! Measures what it costs the other nodes when one that was away catches up.

use std::time::Duration;

use super::load::{AT_ONCE, Load};
use super::soak::{Peak, feed};
use super::{Options, in_time, measure};
use crate::bench::cluster::Cluster;
use crate::bench::error::BenchError;
use crate::bench::network::Node;
use crate::bench::output::say;
use crate::bench::report::results::Messages;
use crate::check::Status;

/// How many nodes there are.
const NODES: usize = 3;

/// How often the node that was away is sent a read, which it can answer only after it has caught
/// up.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How long catching up may take.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(600);

/// Makes the measurement.
///
/// # Errors
/// The node does not catch up, or the bench or a node failed.
pub fn catch_up(options: &Options) -> Result<Status, BenchError> {
    measure(options, NODES, options.loss, |cluster, load, folder| {
        // The first write shows which node leads.
        while load.ok == 0 {
            while load.pending() < NODES {
                load.write(cluster, Node(load.pending()));
            }
            load.wait(cluster, cluster.now() + ASK_AGAIN)?;
        }
        let away = Node((cluster.leader().0 + 1) % NODES);
        cluster.kill(away)?;
        feed(options, cluster, load, folder, &mut Peak::default())?;
        say(format_args!("writes that {away} missed: {}", load.ok))?;

        say("                  writes   failed    median       99 %     longest   ms")?;
        let (key, _) = load.written().next().expect("a write was answered ok");
        let before = cluster.now() + options.span;
        let mut phase = |name, cluster: &mut Cluster, done: Done<'_>| {
            phase(name, options.rate, cluster, load, done)
        };
        phase("while it is away", cluster, &mut |now, _, _| {
            Ok(now >= before)
        })?;

        cluster.messages.counts = Messages::default();
        let began = cluster.now();
        cluster.restart(away)?;
        let mut again = began;
        phase("catching up", cluster, &mut |now, cluster, load| {
            let what = format!("{away} has not caught up");
            in_time(now - began, CATCH_UP_TIMEOUT, &what)?;
            if now >= again {
                again = now + ASK_AGAIN;
                load.read(cluster, away, key);
            }
            Ok(!load.found.is_empty())
        })?;
        let took = cluster.now() - began;
        let sent = std::mem::take(&mut cluster.messages.counts.by_type);
        let after = cluster.now() + options.span;
        let ended = phase("afterwards", cluster, &mut |now, _, _| Ok(now >= after));

        say(format_args!(
            "{away} answered a read {:.3} s after its start; until then the nodes sent, lost messages included:",
            took.as_secs_f64()
        ))?;
        for row in sent {
            say(format_args!(
                "  {:20} {:8} {:12} bytes",
                row.name, row.count, row.bytes
            ))?;
        }
        if load.found[&key].is_none() {
            say(format_args!("{away} has lost key {key}"))?;
            return Ok(Status::Invalid);
        }
        ended.map(|()| Status::Valid)
    })
}

/// Says at a time whether a phase is done, and may send requests of its own.
type Done<'a> = &'a mut dyn FnMut(Duration, &mut Cluster, &mut Load) -> Result<bool, BenchError>;

/// Writes at the given rate until `done`, and prints the latencies of the writes.
fn phase(
    name: &str,
    rate: f64,
    cluster: &mut Cluster,
    load: &mut Load,
    done: Done<'_>,
) -> Result<(), BenchError> {
    let step = Duration::from_secs_f64(1.0 / rate);
    load.latency();
    let failed = load.failed;
    let mut next = cluster.now();
    let mut write = || {
        while !done(cluster.now(), cluster, load)? {
            while next <= cluster.now() {
                if load.pending() < AT_ONCE {
                    load.write(cluster, cluster.leader());
                }
                next += step;
            }
            load.wait(cluster, next)?;
        }
        Ok(())
    };
    let written = write();
    let failed = load.failed - failed;
    match load.latency() {
        Some(row) => say(format_args!(
            "{name:16} {:7} {failed:8} {:9.2} {:10.2} {:11.2}",
            row.count, row.p50_ms, row.p99_ms, row.max_ms
        )),
        None => say(format_args!("{name:16} {:7} {failed:8}", 0)),
    }?;
    written
}
