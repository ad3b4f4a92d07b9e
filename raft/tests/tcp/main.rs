//! Nodes on a network, as processes.

mod auth;
mod cluster;
mod hostile;
mod members;
mod nodes;
mod proxy;
mod repl;
