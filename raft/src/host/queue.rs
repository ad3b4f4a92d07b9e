//! A queue with a limit, and what it takes to wait for one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{mem, thread};

/// How long a thread that found nothing looks again before it sleeps, and lets others run meanwhile.
/// To be woken can take as long as a fast disk's sync, and each write passes between threads four
/// times. A thread looks only if its last wait was shorter, so that one with little to do sleeps at
/// once.
const LOOK: Duration = Duration::from_micros(300);

/// State that several threads change, while one waits for what they do to it.
#[derive(Debug, Default)]
pub(super) struct Monitor<T> {
    state: Mutex<T>,
    changed: Condvar,
    /// Whether the thread that waits needs a wake-up. It changes only under the lock.
    idle: AtomicBool,
    /// Whether the last wait was shorter than [`LOOK`].
    busy: AtomicBool,
}

impl<T> Monitor<T> {
    pub(super) fn new(state: T) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            idle: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        // The state is consistent after every statement, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks the state, and wakes the thread that waits. Under load it rarely does.
    pub(super) fn wake(&self, state: MutexGuard<'_, T>) {
        if self.idle.swap(false, Ordering::Relaxed) {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Waits until the state is ready, or for this long.
    pub(super) fn wait(
        &self,
        limit: Duration,
        mut is_ready: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'_, T> {
        let look = match self.busy.load(Ordering::Relaxed) {
            true => LOOK,
            false => Duration::ZERO,
        };
        let began = Instant::now();
        let mut state = self.lock();
        while !is_ready(&mut state) {
            let waited = began.elapsed();
            let left = limit.saturating_sub(waited);
            if left.is_zero() {
                break;
            }
            if waited < look {
                drop(state);
                thread::yield_now();
                state = self.lock();
                continue;
            }
            self.idle.store(true, Ordering::Relaxed);
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.busy.store(began.elapsed() < LOOK, Ordering::Relaxed);
        self.idle.store(false, Ordering::Relaxed);
        state
    }
}

/// The most that a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The number of items.
    pub items: usize,
    /// Their approximate size. An empty queue takes an item of any size.
    pub bytes: usize,
}

/// The length of a queue, and what it had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The items that wait.
    pub length: usize,
    /// The items dropped since the start.
    pub dropped: u64,
}

/// The state of a pair of queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// The queue of messages of peers, or to them.
    pub peers: Depth,
    /// The queue of requests of clients, or of answers to them.
    pub clients: Depth,
}

/// A first-in, first-out queue with a limit.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    limit: Limit,
    /// The items that found no room.
    pub(super) dropped: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new(limit: Limit) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            limit,
            dropped: 0,
        }
    }

    /// Adds an item of about `bytes`. If there is no room, returns the item and counts it: dropping
    /// the newest leaves no gap in what is kept.
    pub(crate) fn push(&mut self, item: T, bytes: usize) -> Result<(), T> {
        let full = self.items.len() >= self.limit.items
            || self.bytes.saturating_add(bytes) > self.limit.bytes;
        if full && !self.items.is_empty() {
            self.dropped += 1;
            return Err(item);
        }
        self.bytes += bytes;
        self.items.push_back((item, bytes));
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<(T, usize)> {
        let (item, bytes) = self.items.pop_front()?;
        self.bytes -= bytes;
        Some((item, bytes))
    }

    /// Takes everything, with the sizes, into an empty deque, whose memory it uses from now on.
    pub(crate) fn take(&mut self, taken: &mut VecDeque<(T, usize)>) {
        self.bytes = 0;
        mem::swap(&mut self.items, taken);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether it holds this many items or bytes.
    pub(super) fn reaches(&self, Limit { items, bytes }: Limit) -> bool {
        self.items.len() >= items || self.bytes >= bytes
    }

    pub(crate) fn depth(&self) -> Depth {
        Depth {
            length: self.items.len(),
            dropped: self.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        items: 3,
        bytes: 10,
    };

    #[test]
    fn full_queue_returns_the_newest_item() {
        let mut queue = Queue::new(LIMIT);
        assert!((0..3).all(|item| queue.push(item, 1).is_ok()));
        assert_eq!(queue.push(3, 1), Err(3));
        assert_eq!(queue.pop(), Some((0, 1)));
        assert_eq!(queue.push(4, 1), Ok(()));
        let mut taken = VecDeque::new();
        queue.take(&mut taken);
        assert_eq!(taken, [(1, 1), (2, 1), (4, 1)]);
        assert!(queue.is_empty());
        assert_eq!(queue.depth().dropped, 1);
    }

    #[test]
    fn empty_queue_takes_an_item_of_any_size() {
        let mut queue = Queue::new(LIMIT);
        assert_eq!(queue.push('a', 11), Ok(()));
        assert_eq!(queue.push('b', 1), Err('b'));
        assert_eq!(queue.pop(), Some(('a', 11)));
        assert_eq!(queue.push('b', 4), Ok(()));
        assert_eq!(queue.push('c', 6), Ok(()));
        assert_eq!(queue.push('d', 1), Err('d'));
    }
}
