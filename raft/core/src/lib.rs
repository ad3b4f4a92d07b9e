//! The Raft consensus algorithm as a state machine, without clock, thread, socket or file: the crate
//! is `no_std`.
//!
//! Sources: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended
//! Version)*, 2014, cited as (§n) and (Figure n); Ongaro's dissertation *Consensus: Bridging Theory
//! and Practice*, 2014, cited as (thesis §n).
//!
//! # The protocol in prose
//!
//! A cluster keeps one log of commands on several machines, so that it survives the loss of less
//! than half of them. Time is divided into **terms**. Each has at most one **leader**, because a
//! node votes once a term and a leader needs the votes of a majority. Only the leader adds entries;
//! it sends them to the **followers**.
//!
//! An entry is **committed** once a majority has it on disk *and it is of the leader's own term*;
//! all entries before it are committed with it. An entry of an earlier term is never committed by
//! counting copies: even on a majority, a later leader may still replace it (§5.4.2, Figure 8).
//! That is why each leader begins its term with a blank entry. A node votes only for a candidate
//! whose log is at least as up-to-date as its own (§5.4.1). A later leader has the votes of a
//! majority, which shares a node with the majority that stored the entry: so every committed entry
//! is in the log of every later leader.
//!
//! A follower that hears from no leader for a random time becomes a **pre-candidate** and asks
//! whether the others would vote for it; only if a majority would does it become a **candidate**,
//! enter the next term and ask for votes. A node that hears from a leader refuses, so a machine
//! with a bad connection disturbs no election. A leader that hears from no majority for a while
//! steps down, so that its clients look elsewhere.
//!
//! Where the logs of leader and follower differ, the leader's wins. In the picture each entry is
//! shown by its term:
//!
//! ```text
//! index        1   2   3   4   5   6
//!            +---+---+---+---+---+---+
//! leader     | 1 | 1 | 2 | 3 | 3 | 3 |      leads in term 3
//!            +---+---+---+---+---+---+
//!            +---+---+---+---+---+
//! follower   | 1 | 1 | 2 | 2 | 2 |
//!            +---+---+---+---+---+
//!                      ^   ^
//!                      |   the logs part here: the follower drops 4@2 and 5@2
//!                      the last entry that both hold: 3@2, index 3 of term 2
//! ```
//!
//! The leader sends `Append { prev: 3@2, entries: [4@3, 5@3, 6@3] }`. The follower holds 3@2, so it
//! drops what conflicts and appends the rest; a follower that did not hold 3@2 would reject, and
//! the leader would try an earlier `prev`. This check makes logs match (Log Matching, §5.3): if two
//! logs hold an entry of the same index and term, they hold the same entries up to it. The proof is
//! by induction: one leader makes an entry, once in its term at that index, and a follower accepts
//! it only after the same entry before it.
//!
//! Reads do not enter the log. The leader notes its commit index, asks a majority whether it still
//! leads, and then answers from its state; a follower asks the leader for that index and answers
//! from its own state once it has applied it.
//!
//! The members change by **joint consensus** (§6). A membership is an entry of the log, in use as soon as
//! the log holds it, and gone if the entry is truncated. New nodes first learn the log without a vote;
//! then a joint membership, in which a majority of the old voters and a majority of the new ones decide,
//! leads over to the new one.
//!
//! # The host's duties
//!
//! 1. At each start, draw a random [`Incarnation`], read ballot, snapshot and entries from storage,
//!    and call [`Replica::restore`].
//! 2. Call [`Replica::step`] for each input: ticks, messages, clients' requests. Messages may be
//!    lost, repeated and reordered, but never altered.
//! 3. Take the [`Output`] of the steps since the last one. [`Output::release`] gives the messages,
//!    replies and snapshot task that may leave at once, and the chunks of snapshots to send. While [`Status::applied`] is before
//!    [`Status::commit`], take the next output without waiting for an input.
//! 4. [`Output::persist`] the records in order, then send the messages of [`Output::finish`] and
//!    step its [`Input::Synced`]. [`Output::join`] lets several outputs share one sync. Further
//!    inputs need not wait for the disk. If the storage fails, stop the node.
//! 5. Do the [`Task`] on another thread, and step its result as an [`Input`]; meanwhile step
//!    [`Input::SnapshotMoved`] as the disk takes it. Read each [`ChunkToSend`] there too, and send
//!    its message. Keep the newest stored snapshot readable, and each older one while it is read.
//! 6. Give each request a [`Ticket`] of its own. Each gets exactly one [`Response`].
//! 7. Never start a node under its old id without its storage: it would forget its vote and its
//!    acknowledgements.
//!
//! # Figure 2, rule by rule
//!
//! | Figure 2 | where it is kept |
//! |---|---|
//! | **State**: `currentTerm`, `votedFor` | [`Ballot`]; `record_ballot` in `shared.rs` |
//! | `log[]` | `Log` in `log.rs`; `record_entries` in `shared.rs` |
//! | `commitIndex`, `lastApplied` | `commit` and `applied` of `Shared` |
//! | `nextIndex[]`, `matchIndex[]` | `next` of `Progress`, `matched` of `Peer` in `leader/progress.rs` |
//! | on disk before the reply | [`Message::waits_for`], [`Output::persist`] |
//! | **AppendEntries** 1: refuse a lower term | `Raft::receive` in `raft.rs`, `answer_stale` in `shared.rs` |
//! | 2: reject without `prevLogIndex`, `prevLogTerm` | `append` and `reject` in `follower.rs` |
//! | 3: delete a conflicting entry and all after it | `Log::splice` in `log.rs` |
//! | 4: append the new entries | `Log::splice` in `log.rs` |
//! | 5: `commitIndex` = min(`leaderCommit`, last new entry) | `fit` in `follower.rs` |
//! | **RequestVote** 1: refuse a lower term | `Raft::receive` in `raft.rs`, `answer_stale` in `shared.rs` |
//! | 2: one vote a term, and only for an up-to-date log | `vote` in `shared.rs`, [`Ballot::may_vote_for`] |
//! | §6: the membership in use | `Log::membership`; `leader/change.rs` changes it |
//! | **All servers**: apply what is committed | `apply` in `shared.rs`, a slice with each output |
//! | a higher term makes a follower | `Raft::receive` in `raft.rs`, `enter` in `node.rs` |
//! | **Followers**: reply to candidates and leaders | `receive` in `follower.rs` |
//! | election timeout: become candidate | `tick` in `follower.rs`, then `pre_candidate.rs` |
//! | **Candidates**: next term, vote for self, reset the timer | `Candidate::new` in `candidate.rs` |
//! | send RequestVote to all others | `ask` in `candidate.rs` |
//! | votes of a majority: become leader | `tally` and `lead` in `candidate.rs` |
//! | Append of a new leader: become follower | `receive` in `candidate.rs` |
//! | election timeout: new election | `tick` in `candidate.rs`, after a new pre-vote |
//! | **Leaders**: heartbeat at once after the election | the blank entry of `Leader::new`, sent by `flush`, in `leader.rs` |
//! | heartbeats while idle | `heartbeat` in `leader.rs` |
//! | append a client's command | `propose` in `leader.rs` |
//! | reply once it is applied | `apply` in `shared.rs` |
//! | send entries from `nextIndex` on | `replicate` in `leader.rs` |
//! | success: update `nextIndex` and `matchIndex` | `Peer::acknowledged` in `leader/progress.rs` |
//! | failure: lower `nextIndex` and retry | `Peer::rejected` in `leader/progress.rs` |
//! | commit N: majority, and `log[N].term == currentTerm` | `advance_commit` in `leader.rs` |
//!
//! # Reading order
//!
//! 1. [`Term`], [`EntryId`] and the other ids (`id`), `entry`, `log`, `ballot`: the state of Figure
//!    2.
//! 2. `membership` and `quorum`: the voters, and the proof of an election won.
//! 3. [`Message`]: one struct for each message.
//! 4. `raft`: the roles, and the term rule before all of them.
//! 5. `shared` (what all roles have), `node`, `follower`, `pre_candidate`, `candidate`.
//! 6. `leader`, with `leader/progress` (one follower as its leader knows it),
//!    `leader/snapshot_stream`, `leader/reads`, `leader/change` and `leader/handover`.
//! 7. `snapshot`: the stages of a snapshot.
//! 8. `proxy`: clients' requests until they are answered; `response`: how they end.
//! 9. [`Replica`], [`Input`], [`Output`], `persistence` ([`Wal`]): the interface to the host, and why
//!    no promise leaves before its records are on disk.
//! 10. [`invariant`]: the invariants of a node.
//! 11. `search`: fingerprints and symmetry, for the model checker.
//!
//! # A cluster of one
//!
//! ```
//! use raft_core::{
//!     Ballot, Config, Incarnation, Input, Limits, Membership, NodeId, Record, Replica,
//!     Response, Restored, StateMachine, Ticket, Wal,
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
//! let mut disk = Disk(Vec::new());
//! let mut replica = Replica::restore(Restored {
//!     id: NodeId(1),
//!     membership: Membership::of([NodeId(1)]),
//!     config: Config {
//!         heartbeat: 10,
//!         shortest_election: 50,
//!         longest_election: 100,
//!         request_deadline: 80,
//!         change_deadline: 1000,
//!         limits: Limits::default(),
//!     },
//!     ballot: Ballot::default(),
//!     snapshot: None,
//!     machine: Sum(0),
//!     entries: Vec::new(),
//!     incarnation: Incarnation(1),
//!     seed: 1,
//! });
//! let persisted = replica.persisted();
//! replica.step(Input::Write { ticket: Ticket(7), command: 5 });
//!
//! // No entry is committed before it is on disk.
//! let mut output = replica.output();
//! assert!(output.release().replies.is_empty());
//! let (durable, _) = output.persist(persisted, &mut disk).unwrap();
//! let (_, synced) = durable.finish();
//! replica.step(Input::Synced(synced));
//!
//! let replies = replica.output().release().replies;
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
pub use crate::config::{Config, Limits, MAX_SNAPSHOT};
pub use crate::counters::{Counters, Dropped};
pub use crate::entry::{Entry, Payload};
pub use crate::id::{
    EntryId, Incarnation, Index, Names, NodeId, Rename, RequestId, SnapshotId, Term, Ticket,
};
pub use crate::input::{Input, Restored};
pub use crate::leader::reads::TermCommitted;
pub use crate::log::Settled;
pub use crate::machine::StateMachine;
pub use crate::membership::{Member, Membership, Standing};
pub use crate::message::{
    Append, AppendRejected, Appended, ChunkReceived, Class, Envelope, Forward, ForwardReply,
    Message, Outdated, PreVote, PreVoteReply, ReadIndex, ReadIndexReply, Round, RoundReply,
    SnapshotChunk, TimeoutNow, TimeoutNowReply, Vote, VoteReply, Wait,
};
pub use crate::output::{ChunkToSend, Durable, Output, Released, Volatile};
pub use crate::persistence::{Persisted, Record, Synced, Wal};
pub use crate::quorum::{Elected, Tally, Votes};
pub use crate::replica::Replica;
pub use crate::response::{NotChanged, Refusal, Reply, Response};
pub use crate::search::Fingerprint;
pub use crate::snapshot::{SnapshotToInstall, SnapshotToStore, Task};
pub use crate::status::{RoleName, Status};
