//! The Raft consensus algorithm, and nothing else: no clock, thread, socket or file.
//!
//! (To be written.)
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ballot;
mod candidate;
mod clock;
mod config;
mod counters;
mod entry;
mod fingerprint;
mod follower;
mod id;
mod input;
pub mod invariant;
mod leader;
mod log;
mod machine;
mod membership;
mod message;
mod node;
mod output;
mod persistence;
mod pre_candidate;
mod proxy;
mod quorum;
mod raft;
mod replica;
mod status;
mod wal;

pub use crate::{
    ballot::Ballot,
    candidate::Candidate,
    config::{Config, Limits},
    counters::{Counters, Dropped},
    entry::{Entry, Payload},
    fingerprint::Fingerprint,
    id::{EntryId, Incarnation, Index, NodeId, RequestId, Term},
    input::{Input, Ticket},
    leader::reads::TermCommitted,
    log::Log,
    machine::StateMachine,
    membership::Membership,
    message::{Envelope, Forwarded, Message},
    node::Restored,
    output::{Doubt, Durable, Output, Refusal, Reply, Response, Synced, Volatile},
    quorum::{Elected, Tally, Votes},
    replica::Replica,
    status::{RoleName, Status},
    wal::{Record, Wal},
};
