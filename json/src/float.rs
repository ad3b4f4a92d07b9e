//! Floats from text and to text: correctly rounded in one direction, as short as possible in the
//! other.
//!
//! Both multiply by a power of ten that does not fit a float, from the same table of 128-bit
//! significands (`powers`). Reading rounds the product, and uses the standard library in the rare
//! case that 128 bits do not decide the rounding. Writing finds the shortest decimal in the
//! interval of all numbers that round to the float.

mod powers;
mod read;
mod write;

pub(crate) use read::{from_decimal, from_text};
pub(crate) use write::{append, shortest};
