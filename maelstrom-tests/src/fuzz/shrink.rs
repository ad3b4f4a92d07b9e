//! Makes an input that breaks a law smaller.

use std::sync::mpsc;
use std::time::Duration;
use std::{fmt, io, mem};

use rand::Rng;

use super::target::{Seen, Target};
use crate::guard::{self, Ended};

/// How many inputs are tried at most.
const TRIES_MAX: usize = 5_000;

/// How many of them may panic. In a binary that aborts on panics each costs a parked thread.
const PANICS_MAX: usize = 500;

/// A broken law.
#[derive(Debug)]
pub struct Finding {
    /// The name of the target.
    pub target: &'static str,
    /// The seed of the input.
    pub seed: u64,
    /// The law, and how the shrunk input breaks it.
    pub law: String,
    /// The input, and a smaller one that breaks a law too. `None` if drawing the input failed.
    pub inputs: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, target) = (self.seed, self.target);
        writeln!(f, "law broken in {target}: {}", self.law)?;
        if let Some((input, smaller)) = &self.inputs {
            let (was, is) = (input.len(), smaller.len());
            writeln!(f, "  input, shrunk from {was} to {is} bytes:")?;
            writeln!(f, "  b\"{}\"", smaller.escape_ascii())?;
            writeln!(f, "  in base64: {}", base64::encode(smaller))?;
        }
        write!(
            f,
            "  replay: cargo run --release -- fuzz --seed {seed} --inputs 1 {target}"
        )
    }
}

/// Draws the input of a seed again. Removes ever smaller pieces as long as some law stays broken,
/// not necessarily the first one.
pub(super) fn finding(
    target: &'static Target,
    seed: u64,
    mut law: String,
    time_max: Duration,
) -> io::Result<Finding> {
    let drawn = guarded(time_max, move || (target.draw)(&mut Rng::seeded(seed)))?;
    let input = match drawn {
        Some(Ended::Returned(input)) => Some(input),
        Some(Ended::Panicked(_)) | None => None,
    };
    let mut smaller = input.clone().unwrap_or_default();
    let (mut tries, mut panics) = (0, 0);
    let mut piece = smaller.len().div_ceil(2);
    while piece > 0 {
        let (mut at, mut is_smaller) = (0, false);
        while at < smaller.len() && tries < TRIES_MAX && panics < PANICS_MAX {
            tries += 1;
            let mut candidate = smaller.clone();
            candidate.drain(at..(at + piece).min(smaller.len()));
            let input = candidate.clone();
            let check = move || (target.check)(&input, &mut Seen::default());
            let broken = match guarded(time_max, check)? {
                Some(Ended::Returned(tried)) => tried.err(),
                Some(Ended::Panicked(text)) => {
                    panics += 1;
                    Some(text)
                }
                // It takes too long, and its thread goes on.
                None => {
                    tries = TRIES_MAX;
                    None
                }
            };
            if let Some(broken) = broken {
                (smaller, law, is_smaller) = (candidate, broken, true);
            } else {
                at += piece;
            }
        }
        // Bytes that were needed before may be superfluous now.
        if !is_smaller || piece > 1 {
            piece /= 2;
        }
    }
    Ok(Finding {
        target: target.name,
        seed,
        law,
        inputs: input.map(|input| (input, smaller)),
    })
}

/// How the work ended, if it did in time.
fn guarded<T: Send + 'static>(
    time_max: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<Ended<T>>> {
    let (sender, ended) = mpsc::channel();
    guard::start((), &sender, work)?;
    // The thread has a sender of its own.
    mem::drop(sender);
    Ok(ended.recv_timeout(time_max).ok().map(|((), how)| how))
}
