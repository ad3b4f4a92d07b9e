//! Figures 2 and 3 of *In Search of an Understandable Consensus Algorithm (Extended Version)*,
//! sentence by sentence: a test for each, named after it. Where this implementation departs from
//! the figure, the test says so and shows what holds instead.
//!
//! Nothing is built by hand: a node gets inputs, stores what it asks to be stored, and its role is
//! whatever comes of that.

mod append_entries;
mod candidates;
mod course;
mod followers;
mod leaders;
mod properties;
mod request_vote;
mod servers;
mod state;
mod table;
