//! Floats from text and to text: correctly rounded the one way, as short as possible the other.
//!
//! Both ways multiply by a power of ten that doesn't fit a float, and both take it from the same
//! table of 128-bit significands (the room `powers`). Reading rounds the product, and asks the
//! standard library in the rare case that 128 bits are too few to tell how; writing looks which
//! shortest decimal lies in the interval of all numbers that round to the float.

mod powers;
mod read;
mod write;

pub(crate) use read::{from_decimal, from_text};
pub(crate) use write::{append, shortest};
