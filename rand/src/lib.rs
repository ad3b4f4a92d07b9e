//! Seeded random numbers: one generator, and draws that are the same on every machine.
//!
//! A run of the simulator or of the test bench is replayed from its seed, so every draw is a pure
//! function of the seed and of the draws before it. No draw depends on
//! the platform's mathematics library: the logarithm of [`Rng::exponential`] is computed in
//! integers, and the one floating-point draw is exact.
//!
//! Read `xoshiro` first (the generator), then `draw` (numbers and choices from its bits).
//!
//! What is deliberately absent: entropy. For an unpredictable seed, the caller must bring one; and
//! nothing here is fit for secrets.
//!
//! ```
//! let mut rng = rand::Rng::seeded(42);
//! let die = rng.range(1..=6);
//! assert!((1..=6).contains(&die));
//! assert_eq!(rand::Rng::seeded(42).range(1..=6), die, "the same seed, the same draws");
//! ```

#![no_std]

#[cfg(test)]
extern crate std;

mod draw;
mod xoshiro;

pub use xoshiro::Rng;
