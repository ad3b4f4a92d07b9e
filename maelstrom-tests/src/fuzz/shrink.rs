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

/// How a try went.
enum Tried {
    Holds,
    Broken(String),
    /// It takes too long, and its thread goes on.
    Stuck,
}

/// Draws the input of a seed again and shrinks it.
pub(super) fn finding(
    target: &'static Target,
    seed: u64,
    law: String,
    time_max: Duration,
) -> io::Result<Finding> {
    let drawn = guarded(time_max, move || (target.draw)(&mut Rng::seeded(seed)))?;
    let mut finding = Finding {
        target: target.name,
        seed,
        law,
        inputs: None,
    };
    if let Some(Ended::Returned(input)) = drawn {
        let mut shrinking = Shrinking {
            target,
            time_max,
            tries: 0,
            panics: 0,
            smaller: input.clone(),
            law: finding.law,
        };
        shrinking.shrink()?;
        finding.law = shrinking.law;
        finding.inputs = Some((input, shrinking.smaller));
    }
    Ok(finding)
}

struct Shrinking {
    target: &'static Target,
    time_max: Duration,
    tries: usize,
    panics: usize,
    /// The smallest input so far, and the law that it breaks.
    smaller: Vec<u8>,
    law: String,
}

impl Shrinking {
    /// Removes ever smaller pieces as long as some law stays broken, not necessarily the first one.
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
            // Bytes that were needed before may be superfluous now.
            if !is_smaller || piece > 1 {
                piece /= 2;
            }
        }
        Ok(())
    }

    fn attempt(&mut self, input: Vec<u8>) -> io::Result<Tried> {
        self.tries += 1;
        let target = self.target;
        let check = move || (target.check)(&input, &mut Seen::default());
        Ok(match guarded(self.time_max, check)? {
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
