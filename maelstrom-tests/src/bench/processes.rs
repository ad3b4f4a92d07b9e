//! The nodes as processes.

pub mod builtin;
pub mod builtin_node;
pub mod connection;
pub mod data;
pub mod process;
pub mod program;
pub mod watchdog;
