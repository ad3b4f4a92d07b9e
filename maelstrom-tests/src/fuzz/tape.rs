//! Decisions, read from bytes.

/// The bytes that are left.
#[derive(Debug)]
pub(super) struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A number below `n`, nearly uniform; 0 once the tape has ended.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        let width = if n <= 1 << 8 { 1 } else { 4 };
        let (bytes, rest) = self.0.split_at(self.0.len().min(width));
        self.0 = rest;
        let digits = bytes.iter().map(|byte| u64::from(*byte));
        digits.fold(0, |number, digit| number << 8 | digit) % n.max(1)
    }

    /// True with this probability; false once the tape has ended.
    pub(super) fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) >= denominator - numerator
    }

    /// One of these; the first once the tape has ended.
    pub(super) fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}
