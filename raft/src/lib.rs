//! A Raft node: key-value machine, wire format, hosts and the binary.
//!
//! | room | what lives there |
//! |---|---|
//! | [`kv`] | the state machine: a map from any JSON to any JSON |
//! | [`wire`] | the core's messages as JSON |
//! | [`cell`] | the one mutex around the replica |
//! | [`host`] | the event loop, its queues, its clock |
//! | [`storage`] | what a node keeps on disk |
//! | [`telemetry`] | metrics, and lines on stderr |
//! | [`maelstrom`] | a node on stdin and stdout: what the `raft` binary is |

pub mod cell;
mod entropy;
pub mod flags;
pub mod host;
pub mod kv;
pub mod maelstrom;
pub mod storage;
pub mod telemetry;
pub mod wire;
