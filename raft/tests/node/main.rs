//! The real binary, driven over its pipes.

mod alone;
mod cluster;
mod command_line;
mod durable;
mod members;
mod process;
mod scrape;
mod streams;
mod system_calls;
