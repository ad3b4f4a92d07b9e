//! Documents: what they say of a text, against what a `Value` of the same text says.

#[path = "../properties/random.rs"]
mod random;

mod access;
mod agreement;
mod traps;
