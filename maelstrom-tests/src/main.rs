//! The `maelstrom-tests` binary.
fn main() {}
