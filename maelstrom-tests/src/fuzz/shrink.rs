//! Makes an input that breaks a law smaller.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{io, mem};

use rand::Rng;

use super::search::Finding;
use super::{Seen, Target};
use crate::guard::{self, Ended};

/// How many inputs are tried at most.
const TRIES_MAX: usize = 5_000;

/// How many of them may panic: each leaves a thread behind.
const PANICS_MAX: usize = 500;

/// How a try went.
enum Tried {
    Holds,
    Broken(String),
    /// It takes too long, and goes on taking it.
    Stuck,
}

/// Draws the input of a seed once more and shrinks it.
pub(super) fn finding(
    target: &'static dyn Target,
    seed: u64,
    law: String,
    patience: Duration,
) -> io::Result<Finding> {
    let drawn = guarded(patience, move || target.draw(&mut Rng::seeded(seed)))?;
    let Some(Ended::Returned(input)) = drawn else {
        return Ok(Finding {
            target: target.name(),
            seed,
            law,
            inputs: None,
        });
    };
    let mut shrinking = Shrinking {
        target,
        patience,
        tries: 0,
        panics: 0,
        smaller: input.clone(),
        law,
    };
    shrinking.shrink()?;
    Ok(Finding {
        target: target.name(),
        seed,
        law: shrinking.law,
        inputs: Some((input, shrinking.smaller)),
    })
}

struct Shrinking {
    target: &'static dyn Target,
    patience: Duration,
    tries: usize,
    panics: usize,
    /// The smallest input so far, and the law that it breaks.
    smaller: Vec<u8>,
    law: String,
}

impl Shrinking {
    /// Leaves out ever smaller pieces, as long as some law stays broken. It need not be the first
    /// one.
    fn shrink(&mut self) -> io::Result<()> {
        let mut piece = self.smaller.len().div_ceil(2);
        while piece > 0 {
            let mut at = 0;
            let mut is_smaller = false;
            while at < self.smaller.len() {
                if self.tries == TRIES_MAX || self.panics == PANICS_MAX {
                    return Ok(());
                }
                let mut candidate = self.smaller.clone();
                candidate.drain(at..(at + piece).min(self.smaller.len()));
                match self.attempt(candidate.clone())? {
                    Tried::Holds => at += piece,
                    Tried::Broken(law) => {
                        (self.smaller, self.law) = (candidate, law);
                        is_smaller = true;
                    }
                    Tried::Stuck => return Ok(()),
                }
            }
            // What could not be left out before may be now.
            if !is_smaller || piece > 1 {
                piece /= 2;
            }
        }
        Ok(())
    }

    fn attempt(&mut self, input: Vec<u8>) -> io::Result<Tried> {
        self.tries += 1;
        let target = self.target;
        let check = move || target.check(&input, &mut Seen::default());
        Ok(match guarded(self.patience, check)? {
            Some(Ended::Returned(Ok(()))) => Tried::Holds,
            Some(Ended::Returned(Err(law))) => Tried::Broken(law),
            Some(Ended::Panicked(text)) => {
                self.panics += 1;
                Tried::Broken(text)
            }
            None => Tried::Stuck,
        })
    }
}

/// How the work ended, if it did within `patience`.
fn guarded<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<Ended<T>>> {
    let (sender, ended) = mpsc::channel();
    guard::start((), &sender, work)?;
    // Its thread has one of its own.
    mem::drop(sender);
    match ended.recv_timeout(patience) {
        Ok(((), how)) => Ok(Some(how)),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
    }
}
