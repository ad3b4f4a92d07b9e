//! A queue that knows when it is full.

use std::collections::VecDeque;
use std::mem;

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// This many items,
    pub items: usize,
    /// and this many bytes, roughly; but an empty lane takes an item of any size.
    pub bytes: usize,
}

/// A first-in, first-out queue with a limit.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    limit: Limit,
    dropped: u64,
}

impl<T> Lane<T> {
    pub(crate) fn new(limit: Limit) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            limit,
            dropped: 0,
        }
    }

    /// Takes an item of roughly so many bytes, or gives it back, and counts that, if there is no
    /// room. So it is the newest that is lost: what is kept has no gap, and is of use.
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

    /// Takes all of it.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.bytes = 0;
        mem::take(&mut self.items).into_iter().map(|(item, _)| item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// How many items there was no room for.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
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
    fn the_newest_is_given_back_when_there_are_too_many() {
        let mut lane = Lane::new(LIMIT);
        assert!((0..3).all(|item| lane.push(item, 1).is_ok()));
        assert_eq!(lane.push(3, 1), Err(3));
        assert_eq!(lane.pop(), Some((0, 1)));
        assert_eq!(lane.push(4, 1), Ok(()));
        assert_eq!(lane.take().collect::<Vec<_>>(), [1, 2, 4]);
        assert!(lane.is_empty());
        assert_eq!(lane.dropped(), 1);
    }

    #[test]
    fn an_item_of_any_size_gets_through_alone() {
        let mut lane = Lane::new(LIMIT);
        assert_eq!(lane.push('a', 11), Ok(()));
        assert_eq!(lane.push('b', 1), Err('b'));
        assert_eq!(lane.pop(), Some(('a', 11)));
        assert_eq!(lane.push('b', 4), Ok(()));
        assert_eq!(lane.push('c', 6), Ok(()));
        assert_eq!(lane.push('d', 1), Err('d'));
    }
}
