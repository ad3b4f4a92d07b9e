//! Nodes on a network, as processes.

mod auth;
mod backup;
mod cluster;
mod hostile;
mod members;
mod nodes;
mod proxy;
mod repl;
