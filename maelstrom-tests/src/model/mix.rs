//! A fast hash of 64 bits that is the same in every run.

use std::hash::{Hash, Hasher};

/// Multiplies each word by a large odd number to 128 bits and folds the halves, so that every input
/// bit changes about half of the output bits. [`raft_core::Fingerprint`] takes single bytes, while
/// nearly everything hashed here is words.
#[derive(Clone, Debug, Default)]
pub(super) struct Mix(u64);

impl Mix {
    pub(super) fn of(value: &impl Hash) -> u64 {
        let mut mix = Self::default();
        value.hash(&mut mix);
        mix.finish()
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        // Digits of the golden ratio and of pi.
        let product = u128::from(self.0 ^ value ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(0x2436_a885_a308_d313_u64 | 1);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ self.0.rotate_left(23);
    }

    fn finish(&self) -> u64 {
        // The last word went through a single multiplication.
        let mut last = self.clone();
        last.write_u64(0);
        last.write_u64(1);
        last.0
    }
}
