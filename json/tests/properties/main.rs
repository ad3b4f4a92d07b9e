//! What must hold of every number, value and text, tried on random ones.

mod floats;
mod mangled;
mod numbers;
mod random;
mod round_trip;
