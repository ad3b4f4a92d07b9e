//! Tries one input after another until the time is up, a number is reached, or a law is broken.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
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
    plan: Plan,
    /// How many inputs were handed out.
    taken: AtomicU64,
    stop: AtomicBool,
    workers: Vec<Mutex<Worker>>,
}

/// The progress of a thread.
#[derive(Default)]
struct Worker {
    /// How many inputs it has finished.
    done: u64,
    /// The seed of its present input, and when that began.
    present: Option<(u64, Instant)>,
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
        plan: plan.clone(),
        taken: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        workers: (0..plan.jobs).map(|_| Mutex::default()).collect(),
    });
    let (sender, ended) = mpsc::channel();
    for worker in 0..plan.jobs {
        let shared = shared.clone();
        guard::start(worker, &sender, move || shared.work(target, worker))?;
    }
    let mut seen = Seen::default();
    let mut broken: Option<(u64, String)> = None;
    let mut working = plan.jobs;
    while working > 0 {
        match ended.recv_timeout(POLL_INTERVAL) {
            Ok((worker, how)) => {
                working -= 1;
                let law = match how {
                    Ended::Returned((classes, law)) => {
                        seen.add(&classes);
                        law
                    }
                    Ended::Panicked(text) => Some(text),
                };
                if let Some(law) = law {
                    shared.stop.store(true, Ordering::Relaxed);
                    let present = shared.worker(worker).present.take();
                    let (seed, _) = present.expect("an input breaks a law");
                    broken.get_or_insert((seed, law));
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                progress(shared.done(), start.elapsed());
                if let Some(seed) = shared.stuck(plan.input_time_max) {
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
    fn worker(&self, worker: usize) -> MutexGuard<'_, Worker> {
        let worker = self.workers[worker].lock();
        worker.expect("nothing panics while it holds the lock")
    }

    fn done(&self) -> u64 {
        let workers = 0..self.workers.len();
        workers.map(|worker| self.worker(worker).done).sum()
    }

    /// The seed of an input that takes too long.
    fn stuck(&self, time_max: Duration) -> Option<u64> {
        (0..self.workers.len()).find_map(|worker| {
            let (seed, began) = self.worker(worker).present?;
            (began.elapsed() > time_max).then_some(seed)
        })
    }

    /// Tries inputs until it must stop. Returns their classes, and the law that the last one broke.
    fn work(&self, target: &Target, worker: usize) -> (Seen, Option<String>) {
        let mut seen = Seen::default();
        while !self.stop.load(Ordering::Relaxed) {
            let offset = self.taken.fetch_add(1, Ordering::Relaxed);
            if self.plan.inputs.is_some_and(|max| offset >= max) {
                break;
            }
            let seed = self.plan.first_seed.wrapping_add(offset);
            self.worker(worker).present = Some((seed, Instant::now()));
            let input = (target.draw)(&mut Rng::seeded(seed));
            if let Err(law) = (target.check)(&input, &mut seen) {
                return (seen, Some(law));
            }
            let mut worker = self.worker(worker);
            (worker.done, worker.present) = (worker.done + 1, None);
        }
        (seen, None)
    }
}
