//! The Raft consensus algorithm, and nothing else: no clock, thread, socket or file. `no_std`
//! proves it.
//!
//! Sources: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended
//! Version)*, 2014, cited as (§n) and (Figure n); Ongaro's dissertation *Consensus: Bridging Theory
//! and Practice*, 2014, cited as (thesis §n).
//!
//! # The protocol in prose
//!
//! A cluster keeps one log of commands on several machines, so that it outlives the loss of less
//! than half of them. Time is cut into **terms**. Each has at most one **leader**, because a node
//! votes once a term and a leader needs a majority's votes. The leader alone adds entries; it sends
//! them to the **followers**, and an entry is **committed** once a majority has it on disk. Any
//! later leader has a majority's votes too, the two majorities share a node, and nobody votes for
//! a log that is behind its own: so what was committed once is in every later leader's log. That is
//! all of Raft's safety; the rest makes it go on.
//!
//! A follower that hears no leader for a random while becomes a **pre-candidate** and asks
//! whether the others would vote for it; only if a majority would does it become a **candidate**,
//! enter the next term and ask for votes. A node that hears a leader refuses, so a
//! machine with a bad connection disturbs nobody. A leader that hears no majority for a while steps
//! down, so that its clients look elsewhere.
//!
//! Where the logs of leader and follower differ, the leader's wins: it goes back to the last entry
//! that both hold, and the follower drops what it has behind it. Terms never fall along a log, and
//! two entries of the same term and index are the same entry, so one comparison tells whether all
//! before it matches.
//!
//! Reads do not enter the log. The leader notes how far it has committed, asks a majority whether
//! it still leads, and then answers from its state; a follower asks the leader for that index and
//! answers from its own state once it has come as far.
//!
//! # In which order to read
//!
//! 1. [`Term`], [`EntryId`] and the other names (`id`), `entry`, `log`, `ballot`: the state of
//!    Figure 2.
//! 2. `membership` and `quorum`: who counts, and the proof that somebody won.
//! 3. [`Message`]: what nodes say.
//! 4. `raft`: the roles, and the term rule that stands above them.
//! 5. `node` (what all roles share), `follower`, `pre_candidate`, `candidate`.
//! 6. `leader`, with `leader/progress` (one follower as its leader sees it), `leader/transfer` and
//!    `leader/reads`.
//! 7. `snapshot`: when one is taken, and how a leader's is gathered.
//! 8. `proxy`: clients' requests on their way.
//! 9. [`Replica`], [`Input`], [`Output`], [`Wal`]: the outside, and why nothing is promised before
//!    it is on disk.
//! 10. [`invariant`]: what must always hold.
//!
//! # A cluster of one
//!
//! ```
//! use raft_core::{
//!     Ballot, Chunks, Config, Incarnation, Input, Limits, Membership, NodeId, Record, Replica,
//!     Response, Restored, SnapshotId, StateMachine, Ticket, Wal,
//! };
//!
//! #[derive(Clone, Debug, PartialEq, Eq, Hash)]
//! struct Sum(u64);
//!
//! impl StateMachine for Sum {
//!     type Command = u64;
//!     type Outcome = u64;
//!     type Query = ();
//!     type Answer = u64;
//!     fn apply(&mut self, command: &u64) -> u64 {
//!         self.0 += command;
//!         self.0
//!     }
//!     fn answer(&self, (): &()) -> u64 {
//!         self.0
//!     }
//!     fn size(_: &u64) -> usize {
//!         8
//!     }
//! }
//!
//! struct Disk(Vec<Record<u64>>);
//!
//! impl Wal<u64> for Disk {
//!     type Error = std::convert::Infallible;
//!     fn append_and_sync(&mut self, records: &[Record<u64>]) -> Result<(), Self::Error> {
//!         self.0.extend_from_slice(records);
//!         Ok(())
//!     }
//! }
//!
//! impl Chunks for Disk {
//!     fn read(&mut self, _: SnapshotId, _: u64, _: usize) -> Option<Vec<u8>> {
//!         None // It has no snapshot yet.
//!     }
//! }
//!
//! let mut disk = Disk(Vec::new());
//! let mut replica = Replica::restore(Restored {
//!     id: NodeId(1),
//!     membership: Membership::of([NodeId(1)]),
//!     config: Config {
//!         heartbeat: 10,
//!         shortest_election: 50,
//!         longest_election: 100,
//!         limits: Limits::default(),
//!     },
//!     ballot: Ballot::default(),
//!     snapshot: None,
//!     machine: Sum(0),
//!     entries: Vec::new(),
//!     incarnation: Incarnation(1),
//!     seed: 1,
//! });
//! replica.step(Input::Write { ticket: Ticket(7), command: 5 });
//!
//! // Nothing is committed before it is on disk.
//! let mut output = replica.output();
//! assert!(output.release(&mut disk).replies.is_empty());
//! let (_, synced) = output.persist(&mut disk).unwrap().finish();
//! replica.step(Input::Synced(synced));
//!
//! let replies = replica.output().release(&mut disk).replies;
//! assert_eq!(replies[0].ticket, Ticket(7));
//! assert_eq!(replies[0].response, Response::Applied(5));
//! ```
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
mod response;
mod search;
mod shared;
mod snapshot;
mod status;

pub use crate::ballot::Ballot;
pub use crate::candidate::Candidate;
pub use crate::config::{Config, Limits};
pub use crate::counters::{Counters, Dropped};
pub use crate::entry::{Entry, Payload};
pub use crate::id::{
    EntryId, Incarnation, Index, Names, NodeId, Rename, RequestId, SnapshotId, Term, Ticket,
};
pub use crate::input::Input;
pub use crate::leader::reads::TermCommitted;
pub use crate::machine::StateMachine;
pub use crate::membership::Membership;
pub use crate::message::{
    Append, AppendRejected, Appended, ChunkReceived, Class, Envelope, Forward, ForwardReply,
    Forwarded, Message, Outdated, PreVote, PreVoteReply, ReadIndex, ReadIndexReply, Round,
    RoundReply, SnapshotChunk, Vote, VoteReply, Wait,
};
pub use crate::output::{Durable, Output, Released, Volatile};
pub use crate::persistence::{Record, Synced, Wal};
pub use crate::quorum::{Elected, Tally, Votes};
pub use crate::replica::Replica;
pub use crate::response::{Doubt, Refusal, Reply, Response};
pub use crate::search::Fingerprint;
pub use crate::shared::Restored;
pub use crate::snapshot::{Chunks, SnapshotToInstall, SnapshotToStore, Task};
pub use crate::status::{RoleName, Status};
