//! A test bench that speaks Maelstrom's protocol, and the checkers.

pub mod bench;
pub mod check;
pub mod fuzz;
pub mod golden;
pub mod history;
pub mod linearizability;
pub mod model;
pub mod replica;
pub mod rules;
pub mod sim;
pub mod svg;

mod guard;
mod progress;
