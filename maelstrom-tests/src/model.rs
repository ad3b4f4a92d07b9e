//! The model checker: explores every interleaving of a small cluster, breadth first, so that it
//! finds a shortest way to a broken rule.
//!
//! The nodes are the product's ([`raft_core::Replica`]); the world is small: a few nodes, terms and
//! requests, and a bound for the messages under way. Within that, any message may arrive at any
//! time, twice, or never; any clock may run while the others stand still; any process may die,
//! before or after it has stored its output, and start again.
//!
//! A world is searched once. Worlds are distinguished by a fingerprint of 64 bits of everything
//! that decides what may follow, without clocks and names (`names`). Among a hundred million worlds
//! the chance that any two share a fingerprint is about 1 in 4,000.
//!
//! Worlds share their parts, and an event's effect on a part is computed once (`table`). Read
//! `node` (the effects on one node), `world` (what may happen), `clients` (the requests, and
//! whether the answers are linearizable), `names`, and then `search`.

mod clients;
mod mix;
mod named;
mod names;
mod node;
pub mod options;
mod search;
mod story;
mod table;
#[cfg(test)]
mod tests;
mod world;

pub use search::run;
