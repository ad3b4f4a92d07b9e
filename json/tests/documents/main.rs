//! Documents, compared with a `Value` of the same text.

#[path = "../properties/random.rs"]
mod random;

mod access;
mod agreement;
mod traps;
