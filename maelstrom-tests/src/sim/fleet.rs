//! Runs many seeds on several threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::options::HOUR;
use super::rare_events::RareEvents;
use super::{Case, Failure, Report};
use crate::check::counted;
use crate::progress::Progress;

/// How many events before a failure its story has.
pub const EVENTS_MAX: usize = 200;

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

impl Fleet {
    /// The case of one of its seeds, counted from 0.
    pub fn case(&self, number: u64) -> Case {
        Case {
            seed: self.first.wrapping_add(number),
            changes: self.changes.clone(),
        }
    }
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
            "{} in {seconds:.0} s ({:.0}/s), {:.2} simulated hours, {:.1} million events",
            counted(self.runs as usize, "seed"),
            self.runs as f64 / seconds.max(0.001),
            self.time as f64 / HOUR as f64,
            self.events as f64 / 1e6,
        )
    }
}

/// Runs a fleet, and prints its progress to standard error.
pub fn run(fleet: &Fleet) -> Outcome {
    let progress = Progress::new();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let outcome = Mutex::new(Outcome::default());
    let locked = &|| outcome.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let late = fleet.time_max.is_some_and(|max| progress.elapsed() >= max);
            if number >= fleet.count || late || stop.load(Ordering::Relaxed) {
                return;
            }
            let result = super::run(&fleet.case(number), EVENTS_MAX);
            let mut outcome = locked();
            outcome.took = progress.elapsed();
            match result {
                Ok(report) => {
                    outcome.add(&report);
                    progress.print(|| outcome.line());
                }
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    // Of two failures at once, the lower seed is reported.
                    let known = outcome.failure.as_ref().map(|known| known.case.seed);
                    if known.is_none_or(|known| failure.case.seed < known) {
                        outcome.failure = Some(failure);
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..fleet.jobs {
            scope.spawn(work);
        }
    });
    progress.end();
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}
