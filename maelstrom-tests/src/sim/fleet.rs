//! Many seeds at once, on as many threads as are wanted.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::options::HOUR;
use super::sightings::Sightings;
use super::{Case, Failure, Report, run};

/// How many events before a failure are told.
pub const EVENTS_MAX: usize = 200;

/// How often progress is told, where somebody watches and where it goes into a file.
const WATCHED: Duration = Duration::from_secs(1);
const UNWATCHED: Duration = Duration::from_secs(30);

/// Which seeds, and how long.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The first seed.
    pub first: u64,
    /// How many there are; the next one follows each.
    pub count: u64,
    /// After that long no further seed is begun.
    pub time_max: Option<Duration>,
    /// How many threads.
    pub jobs: usize,
    /// Options that all worlds have.
    pub changes: Vec<(&'static str, u64)>,
}

/// What a fleet came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many runs broke no rule.
    pub runs: u64,
    /// How long they took in their own time, in thousandths of a tick.
    pub time: u64,
    /// How many things happened.
    pub events: u64,
    /// How often rare things happened.
    pub sightings: Sightings,
    /// How long it really took.
    pub took: Duration,
    /// The first failure, if there was one. It ended the fleet.
    pub failure: Option<Box<Failure>>,
}

impl Outcome {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.time += report.time;
        self.events += report.events;
        self.sightings.add(&report.sightings);
    }

    /// One line: how far, and how fast.
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

/// Runs a fleet, and tells its progress on stderr.
pub fn fly(fleet: &Fleet) -> Outcome {
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
            match run(&case, EVENTS_MAX) {
                Ok(report) => locked().add(&report),
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    // Of two that fail at once the one with the lower seed is told, whoever was
                    // faster.
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
                // What comes next begins on a line of its own.
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

/// Progress is no result: if nobody can read it, the run goes on.
fn tell(line: &str, watched: bool) {
    let mut err = std::io::stderr().lock();
    let _ = if watched {
        write!(err, "\r{line}\x1b[K")
    } else {
        writeln!(err, "{line}")
    };
    let _ = err.flush();
}
