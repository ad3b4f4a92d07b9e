//! The `raft` binary: arguments and wiring only.
fn main() {}
