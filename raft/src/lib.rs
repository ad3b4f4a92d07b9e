//! A Raft node: key-value machine, wire format, storage, event loop, transports and the binary.
//!
//! Each module uses only modules of its own floor or of lower ones:
//!
//! | floor | module | content |
//! |---|---|---|
//! | 1 | [`flags`] | the command-line reader |
//! | | [`wire`] | the core's messages as JSON |
//! | | [`storage`] | what a node keeps on disk |
//! | | `entropy`, `hmac` | random numbers from the system, and proofs that one knows a secret |
//! | | `lines` | streams as lines of bounded length |
//! | | [`stdio`] | standard streams that wait, and how commands print |
//! | | `members` | the members of a cluster, as JSON |
//! | | `named` | enums whose values have names |
//! | 2 | [`host`] | the event loop, its queues and threads, the one mutex around the replica |
//! | 3 | [`sessions`] | exactly-once commands, around a state machine |
//! | | [`kv`] | the state machine: a map from any JSON to any JSON |
//! | | [`telemetry`] | metrics, and log lines on stderr |
//! | 4 | [`node`] | the assembly: from options to a running node, for any transport |
//! | 5 | [`requests`] | the bodies of requests and replies, for every front end |
//! | 6 | `front_end` | what all front ends share |
//! | | [`maelstrom`] | the front end on stdin and stdout |
//! | | `tcp`, [`client`] | the front end on a network, and a client for it |
//! | 7 | [`commands`] | the commands of the `raft` binary |

pub mod client;
pub mod commands;
mod entropy;
pub mod flags;
mod front_end;
mod hmac;
pub mod host;
pub mod kv;
mod lines;
pub mod maelstrom;
mod members;
mod named;
pub mod node;
pub mod requests;
pub mod sessions;
pub mod stdio;
pub mod storage;
mod tcp;
pub mod telemetry;
pub mod wire;
