//! Tries one input after another until time is up, a number is reached, or a law is broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use rand::Rng;

use super::{Seen, Target, shrink};
use crate::guard::{self, Ended};

/// How many inputs a thread takes at a time.
const CHUNK: u64 = 16;

/// How often it is looked whether time is up or an input takes too long.
const LOOK: Duration = Duration::from_millis(100);

/// How much to try.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the first input; the next one has the next number.
    pub first_seed: u64,
    /// How many inputs, if there is a bound.
    pub inputs: Option<u64>,
    /// How long, if there is a bound.
    pub time: Option<Duration>,
    /// How many threads try.
    pub jobs: usize,
    /// An input that takes longer is a finding.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// How many inputs were tried.
    pub inputs: u64,
    /// How long that took.
    pub time: Duration,
    /// Of which classes they were.
    pub seen: Seen,
    /// The first broken law.
    pub finding: Option<Finding>,
}

/// A broken law.
#[derive(Debug)]
pub struct Finding {
    /// Whose.
    pub target: &'static str,
    /// The seed of the input.
    pub seed: u64,
    /// What the law is, and how it is broken by the smaller input.
    pub law: String,
    /// The input, and a smaller one that breaks a law too. `None` if the input could not even be
    /// drawn.
    pub inputs: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FOUND in {}: {}", self.target, self.law)?;
        if let Some((input, smaller)) = &self.inputs {
            let (was, is) = (input.len(), smaller.len());
            writeln!(f, "  an input of {is} bytes, shrunk from {was}:")?;
            writeln!(f, "  b\"{}\"", smaller.escape_ascii())?;
            writeln!(f, "  in base64: {}", ::base64::encode(smaller))?;
        }
        let (seed, target) = (self.seed, self.target);
        write!(
            f,
            "  replay: maelstrom-tests fuzz --seed {seed} --inputs 1 {target}"
        )
    }
}

/// What the threads share.
struct Shared {
    /// How many inputs have been taken.
    taken: AtomicU64,
    most: u64,
    stop: AtomicBool,
    workers: Vec<Worker>,
}

/// What a thread says of itself while it works.
#[derive(Default)]
struct Worker {
    /// How many inputs it is through with.
    done: AtomicU64,
    /// The seed of its input.
    seed: AtomicU64,
}

/// What a thread that did not panic came to.
struct Worked {
    seen: Seen,
    broken: Option<String>,
}

/// Fuzzes a target. `progress` is told now and then how many inputs were tried so far, and for how
/// long.
///
/// # Errors
/// If the system gives no thread.
pub fn search(
    target: &'static dyn Target,
    plan: &Plan,
    progress: &mut dyn FnMut(u64, Duration),
) -> io::Result<Report> {
    let start = Instant::now();
    let shared = Arc::new(Shared {
        taken: AtomicU64::new(0),
        most: plan.inputs.unwrap_or(u64::MAX),
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
    // How many inputs each thread that has not ended was through with, and since when.
    let mut working = vec![Some((0, start)); plan.jobs];
    let mut is_stuck = false;
    while working.iter().any(Option::is_some) && !is_stuck {
        match ended.recv_timeout(LOOK) {
            Ok((worker, how)) => {
                working[worker] = None;
                let law = match how {
                    Ended::Returned(worked) => {
                        seen.add(&worked.seen);
                        worked.broken
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
                let now = Instant::now();
                for (worker, working) in shared.workers.iter().zip(&mut working) {
                    let Some((done, since)) = working else {
                        continue;
                    };
                    let done_now = worker.done.load(Ordering::Relaxed);
                    if done_now != *done {
                        (*done, *since) = (done_now, now);
                    } else if now - *since > plan.patience {
                        let seed = worker.seed.load(Ordering::Relaxed);
                        let law = format!("it takes longer than {:?}", plan.patience);
                        broken.get_or_insert((seed, law));
                        is_stuck = true;
                    }
                }
                progress(shared.done(), start.elapsed());
            }
            Err(RecvTimeoutError::Disconnected) => unreachable!("a sender is here"),
        }
        if plan.time.is_some_and(|time| start.elapsed() >= time) {
            shared.stop.store(true, Ordering::Relaxed);
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    let (inputs, time) = (shared.done(), start.elapsed());
    let finding = match broken {
        None => None,
        Some((seed, law)) => Some(shrink::finding(target, seed, law, plan.patience)?),
    };
    Ok(Report {
        inputs,
        time,
        seen,
        finding,
    })
}

impl Shared {
    fn done(&self) -> u64 {
        let done = self.workers.iter();
        done.map(|worker| worker.done.load(Ordering::Relaxed)).sum()
    }
}

fn work(target: &dyn Target, first_seed: u64, shared: &Shared, worker: &Worker) -> Worked {
    let mut seen = Seen::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let from = shared.taken.fetch_add(CHUNK, Ordering::Relaxed);
        if from >= shared.most {
            break;
        }
        for offset in from..shared.most.min(from.saturating_add(CHUNK)) {
            let seed = first_seed.wrapping_add(offset);
            worker.seed.store(seed, Ordering::Relaxed);
            let input = target.draw(&mut Rng::seeded(seed));
            if let Err(law) = target.check(&input, &mut seen) {
                let broken = Some(law);
                return Worked { seen, broken };
            }
            worker.done.fetch_add(1, Ordering::Relaxed);
        }
    }
    let broken = None;
    Worked { seen, broken }
}
