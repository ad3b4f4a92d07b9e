//! Tries one input after another until the time is up, a number is reached, or a law is broken.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rand::Rng;

use super::shrink::{self, Finding};
use super::target::{Seen, Target};
use crate::guard::{self, Ended};

/// How often the clock and the progress of the threads are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How much to try.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the first input; each further input has the next number.
    pub first_seed: u64,
    /// How many inputs, if there is a bound.
    pub inputs: Option<u64>,
    /// How long, if there is a bound.
    pub time: Option<Duration>,
    /// How many threads.
    pub jobs: usize,
    /// An input that takes longer is a finding.
    pub input_time_max: Duration,
}

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// How many inputs were tried.
    pub inputs: u64,
    /// How long that took.
    pub time: Duration,
    /// The classes of these inputs.
    pub seen: Seen,
    /// The first broken law.
    pub finding: Option<Finding>,
}

/// What the threads share.
struct Shared {
    /// How many inputs were handed out.
    taken: AtomicU64,
    /// How many inputs may be handed out.
    inputs_max: u64,
    stop: AtomicBool,
    workers: Vec<Worker>,
}

/// The progress of a thread.
#[derive(Default)]
struct Worker {
    /// How many inputs it has finished.
    done: AtomicU64,
    /// The seed of its present input.
    seed: AtomicU64,
}

/// Fuzzes a target. Calls `progress` now and then with the number of inputs so far and the time.
///
/// # Errors
/// If the system cannot start a thread.
pub fn search(
    target: &'static Target,
    plan: &Plan,
    progress: &mut dyn FnMut(u64, Duration),
) -> io::Result<Report> {
    let start = Instant::now();
    let shared = Arc::new(Shared {
        taken: AtomicU64::new(0),
        inputs_max: plan.inputs.unwrap_or(u64::MAX),
        stop: AtomicBool::new(false),
        workers: (0..plan.jobs).map(|_| Worker::default()).collect(),
    });
    let (sender, ended) = mpsc::channel();
    let first_seed = plan.first_seed;
    for worker in 0..plan.jobs {
        let shared = shared.clone();
        guard::start(worker, &sender, move || {
            work(target, first_seed, &shared, &shared.workers[worker])
        })?;
    }
    let mut seen = Seen::default();
    let mut broken: Option<(u64, String)> = None;
    // For each thread that has not ended: how many inputs it had finished, and since when.
    let mut working = vec![Some((0, start)); plan.jobs];
    while working.iter().any(Option::is_some) {
        match ended.recv_timeout(POLL_INTERVAL) {
            Ok((worker, how)) => {
                working[worker] = None;
                let law = match how {
                    Ended::Returned((classes, law)) => {
                        seen.add(&classes);
                        law
                    }
                    Ended::Panicked(text) => Some(text),
                };
                if let Some(law) = law {
                    shared.stop.store(true, Ordering::Relaxed);
                    let seed = shared.workers[worker].seed.load(Ordering::Relaxed);
                    broken.get_or_insert((seed, law));
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                progress(shared.done(), start.elapsed());
                if let Some(seed) = shared.stuck(&mut working, plan.input_time_max) {
                    let law = format!("an input takes longer than {:?}", plan.input_time_max);
                    broken.get_or_insert((seed, law));
                    break;
                }
            }
            Err(RecvTimeoutError::Disconnected) => unreachable!("this function holds a sender"),
        }
        if plan.time.is_some_and(|time| start.elapsed() >= time) {
            shared.stop.store(true, Ordering::Relaxed);
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    let (inputs, time) = (shared.done(), start.elapsed());
    let finding = broken.map(|(seed, law)| shrink::finding(target, seed, law, plan.input_time_max));
    Ok(Report {
        inputs,
        time,
        seen,
        finding: finding.transpose()?,
    })
}

impl Shared {
    fn done(&self) -> u64 {
        let done = self.workers.iter();
        done.map(|worker| worker.done.load(Ordering::Relaxed)).sum()
    }

    /// Notes the progress of the threads. Returns the seed of an input that takes too long.
    fn stuck(&self, working: &mut [Option<(u64, Instant)>], time_max: Duration) -> Option<u64> {
        let now = Instant::now();
        for (worker, working) in self.workers.iter().zip(working) {
            let Some((done, since)) = working else {
                continue;
            };
            let done_now = worker.done.load(Ordering::Relaxed);
            if done_now != *done {
                (*done, *since) = (done_now, now);
            } else if now - *since > time_max {
                return Some(worker.seed.load(Ordering::Relaxed));
            }
        }
        None
    }
}

/// Tries inputs until it must stop. Returns their classes, and the law that the last one broke.
fn work(
    target: &Target,
    first_seed: u64,
    shared: &Shared,
    worker: &Worker,
) -> (Seen, Option<String>) {
    let mut seen = Seen::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let offset = shared.taken.fetch_add(1, Ordering::Relaxed);
        if offset >= shared.inputs_max {
            break;
        }
        let seed = first_seed.wrapping_add(offset);
        worker.seed.store(seed, Ordering::Relaxed);
        let input = (target.draw)(&mut Rng::seeded(seed));
        if let Err(law) = (target.check)(&input, &mut seen) {
            return (seen, Some(law));
        }
        worker.done.fetch_add(1, Ordering::Relaxed);
    }
    (seen, None)
}
