//! Runs many seeds on several threads.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::options::HOUR;
use super::rare_events::RareEvents;
use super::{Case, Failure, Report};

/// How many events before a failure its story has.
pub const EVENTS_MAX: usize = 200;

/// How often progress is printed on a terminal, and into a file.
const WATCHED: Duration = Duration::from_secs(1);
const UNWATCHED: Duration = Duration::from_secs(30);

/// Which seeds to run, and for how long.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The first seed.
    pub first: u64,
    /// How many consecutive seeds.
    pub count: u64,
    /// No seed starts after this time.
    pub time_max: Option<Duration>,
    /// The number of threads.
    pub jobs: usize,
    /// Options that are set in all worlds.
    pub changes: Vec<(&'static str, u64)>,
}

/// The result of a fleet.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The runs in which all rules held.
    pub runs: u64,
    /// Their simulated time, in thousandths of a tick.
    pub time: u64,
    /// Their events.
    pub events: u64,
    /// How often rare events happened.
    pub rare: RareEvents,
    /// The real time that they took.
    pub took: Duration,
    /// The failure that ended the fleet.
    pub failure: Option<Box<Failure>>,
}

impl Outcome {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.time += report.time;
        self.events += report.events;
        self.rare.add(&report.rare);
    }

    /// A line with the number of seeds, the rate and the simulated time.
    pub fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        format!(
            "{} seeds in {seconds:.0} s ({:.0}/s), {:.2} simulated hours, {:.1} million events",
            self.runs,
            self.runs as f64 / seconds.max(0.001),
            self.time as f64 / HOUR as f64,
            self.events as f64 / 1e6,
        )
    }
}

/// Runs a fleet, and prints its progress to standard error.
pub fn run(fleet: &Fleet) -> Outcome {
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let outcome = Mutex::new(Outcome::default());
    let locked = &|| outcome.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let late = fleet.time_max.is_some_and(|max| began.elapsed() >= max);
            if number >= fleet.count || late || stop.load(Ordering::Relaxed) {
                return;
            }
            let case = Case {
                seed: fleet.first.wrapping_add(number),
                changes: fleet.changes.clone(),
            };
            match super::run(&case, EVENTS_MAX) {
                Ok(report) => locked().add(&report),
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    // Of two failures at once, the lower seed is reported.
                    let mut outcome = locked();
                    let known = outcome.failure.as_ref().map(|known| known.case.seed);
                    if known.is_none_or(|known| failure.case.seed < known) {
                        outcome.failure = Some(failure);
                    }
                }
            }
        }
    };
    let (ended, end) = channel::<()>();
    thread::scope(|scope| {
        let progress = scope.spawn(move || {
            let watched = std::io::stderr().is_terminal();
            let pause = if watched { WATCHED } else { UNWATCHED };
            while end.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let mut outcome = locked();
                outcome.took = began.elapsed();
                tell(&outcome.line(), watched);
            }
            if watched {
                let _ = writeln!(std::io::stderr());
            }
        });
        let workers: Vec<_> = (0..fleet.jobs).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().expect("a run's panics are caught");
        }
        drop(ended);
        progress.join().expect("it only prints");
    });
    let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.took = began.elapsed();
    outcome
}

/// A failure to print progress is ignored.
fn tell(line: &str, watched: bool) {
    let mut err = std::io::stderr().lock();
    let _ = if watched {
        write!(err, "\r{line}\x1b[K")
    } else {
        writeln!(err, "{line}")
    };
    let _ = err.flush();
}
