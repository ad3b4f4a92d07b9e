//! A test bench that speaks Maelstrom's protocol, and the checkers.
