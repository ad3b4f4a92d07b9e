//! Figures 2 and 3 of *In Search of an Understandable Consensus Algorithm (Extended Version)*,
//! and §6, sentence by sentence: a test for each, and so §3.10 of the dissertation (`transfer`) and
//! the core's part of its §6.3 (`clients`). Where this implementation departs from the figure, the
//! test's comment names the departure, and the test checks what holds instead.
//!
//! No state is built by hand: a node gets inputs and stores its records, and its role follows.

mod append_entries;
mod candidates;
mod clients;
mod disk;
mod followers;
mod leaders;
mod membership;
mod node;
mod properties;
mod random_runs;
mod request_vote;
mod servers;
mod state;
mod transfer;
