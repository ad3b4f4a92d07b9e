//! The model checker: every course that a small world can take, searched breadth first, so that the
//! way to a broken rule that it finds is a shortest one.
//!
//! The nodes are the product's own ([`raft_core::Replica`]); what is small is the world: a few
//! nodes and terms, a few requests, a bound for the messages on their way. Within that, any message
//! may arrive at any time, twice, or never; any clock may run while the others stand still; any
//! process may die, before or after it has stored what it must, and start again.
//!
//! A world that was met before is not searched again. Worlds are told apart by a fingerprint of 64
//! bits of all that decides what may follow, clocks and names left out (`names`). With a hundred
//! million worlds the chance that any two share a fingerprint by accident is about 1 in 4,000.
//!
//! Worlds share their parts, and what happens to a part is worked out once (`table`). Read `node`
//! (what becomes of one node), `world` (what may happen), `clients` (what was asked, and whether
//! the answers are linearizable), `names`, and then `search`.

mod clients;
mod mix;
mod names;
mod node;
pub mod options;
mod search;
mod story;
mod table;
#[cfg(test)]
mod tests;
mod world;

pub use search::{End, Found, SoFar, run, search};
