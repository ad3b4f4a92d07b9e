//! A test bench that speaks Maelstrom's protocol, and the checkers.

pub mod bench;
pub mod check;
pub mod fuzz;
pub mod golden;
pub mod history;
pub mod linearizability;
pub mod model;
pub mod replica;
pub mod rules;
pub mod sim;
pub mod svg;

mod guard;
mod progress;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. A thread that panicked took the process with it, so it is never really poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The texts of these items, with the separator between them.
fn joined<T: ToString>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    texts.join(separator)
}
