//! For searches through all states: a fingerprint of a state, and the same state under other ids.
//!
//! States that differ in ids alone allow the same further steps. The model checker renames the ids
//! in each state in one fixed way, and so counts such states once.
//!
//! Every type that may hold ids is listed field by field, so a new field does not compile until it
//! is listed too.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::mem;

use crate::ballot::Ballot;
use crate::candidate::Candidate;
use crate::entry::{Entry, Payload};
use crate::follower::Follower;
use crate::id::{Incarnation, Index, Names, NodeId, Rename, RequestId};
use crate::leader::Leader;
use crate::leader::change::Change;
use crate::leader::handover::Handover;
use crate::leader::progress::Peer;
use crate::leader::reads::{Reader, Reads, Round};
use crate::log::Log;
use crate::machine::StateMachine;
use crate::membership::{Member, Membership};
use crate::message::{self, Envelope, Message};
use crate::node::Node;
use crate::output::ChunkToSend;
use crate::persistence::Record;
use crate::pre_candidate::PreCandidate;
use crate::proxy::{Proxy, Sent};
use crate::quorum::Votes;
use crate::raft::Raft;
use crate::replica::Replica;
use crate::snapshot::{IncomingSnapshot, SnapshotToStore, Snapshots, Work};

/// FNV-1a, 64 bits. The standard library's hasher is seeded at random, and is not in `core`.
#[derive(Clone, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<S: StateMachine> Replica<S> {
    /// A hash of the whole state but its clocks, counters and random numbers; of the clocks only
    /// whether candidates are refused now. Two states of one fingerprint answer every message
    /// and request alike, but may differ in how many ticks they need to time out.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Fingerprint::default();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Hashes the same state as [`Replica::fingerprint`], with any hasher.
impl<S: StateMachine> Hash for Replica<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Of all clocks, only this decides the reply to a message.
        (self.raft(), self.raft().is_sticky()).hash(state);
    }
}

impl Rename for NodeId {
    fn rename(&mut self, names: &mut dyn Names) {
        *self = names.node(*self);
    }
}

impl Rename for Incarnation {
    fn rename(&mut self, names: &mut dyn Names) {
        *self = names.incarnation(*self);
    }
}

impl Rename for RequestId {
    fn rename(&mut self, names: &mut dyn Names) {
        *self = names.request(*self);
    }
}

impl<T: Rename> Rename for Box<T> {
    fn rename(&mut self, names: &mut dyn Names) {
        (**self).rename(names);
    }
}

impl<A: Rename, B: Rename> Rename for (A, B) {
    fn rename(&mut self, names: &mut dyn Names) {
        self.0.rename(names);
        self.1.rename(names);
    }
}

macro_rules! renames_items {
    ($($list:ident),*) => {$(
        impl<T: Rename> Rename for $list<T> {
            fn rename(&mut self, names: &mut dyn Names) {
                self.iter_mut().for_each(|item| item.rename(names));
            }
        }
    )*};
}

renames_items!(Option, Vec, VecDeque);

impl<T: Rename + Ord> Rename for BTreeSet<T> {
    fn rename(&mut self, names: &mut dyn Names) {
        let renamed = mem::take(self).into_iter().map(|mut item| {
            item.rename(names);
            item
        });
        *self = renamed.collect();
    }
}

impl<K: Rename + Ord, V: Rename> Rename for BTreeMap<K, V> {
    fn rename(&mut self, names: &mut dyn Names) {
        let renamed = mem::take(self).into_iter().map(|(mut key, mut value)| {
            key.rename(names);
            value.rename(names);
            (key, value)
        });
        *self = renamed.collect();
    }
}

/// Renames within structs: in the fields before the semicolon. Those after it hold no ids. Where fields
/// are private, the table stands beside them.
macro_rules! renames {
    ($([$($generic:tt)*] $type:ty { $($field:ident),*; $($other:ident),* })*) => {$(
        impl<$($generic)*> Rename for $type {
            #[allow(unused_variables, reason = "some types hold no ids")]
            fn rename(&mut self, names: &mut dyn Names) {
                let Self { $($field,)* $($other: _,)* } = self;
                $($field.rename(names);)*
            }
        }
    )*};
}

pub(crate) use renames;

renames! {
    [S: StateMachine] Replica<S> { raft; }
    [R: Rename, S: StateMachine] Node<R, S> { shared, role; }
    [S: StateMachine] Follower<S> { leader, early; countdown }
    [] PreCandidate { round, votes; countdown }
    [] Candidate { votes; since, countdown }
    [S: StateMachine] Leader<S> { peers, reads, change, handover; patience }
    [] Handover { target, id; since, sent }
    [] Peer { stream, incarnation; matched, progress, round, is_quick, heard, sent, appended }
    [S: StateMachine] Reads<S> { waiting, rounds; announced }
    [S: StateMachine] Round<S> { id, confirmed, readers; index }
    [R] Votes<R> { replies; term, role }
    [] Membership { members; next }
    [] Member { ; standing, address }
    [] Change { add, remove; since }
    [C] Entry<C> { payload; id }
    [S: StateMachine] Log<S> { entries, memberships; base, sizes, base_size }
    [S: StateMachine] Proxy<S> { forwarded, asked, remote, appended; transfer, change, snapshot, local, waiting, confirmed, open }
    [T] Sent<T> { ; at, what }
    [S] Snapshots<S> { work, incoming; stored, broken, is_doubted, moved }
    [] IncomingSnapshot { stream; id, bytes, early }
    [S] SnapshotToStore<S> { membership; last, machine }
    [] ChunkToSend { from, to, stream; term, snapshot, offset, length }
    [S: StateMachine] Envelope<S> { from, to, message; term }
    [] message::PreVote { round; last }
    [] message::PreVoteReply { round; granted }
    [] message::Vote { ; last, transfer }
    [] message::VoteReply { ; granted }
    [S: StateMachine] message::Append<S> { stream, entries; prev, commit }
    [] message::Appended { stream, incarnation; matched }
    [] message::AppendRejected { stream, incarnation; prev, hint }
    [] message::SnapshotChunk { stream; snapshot, offset, data }
    [] message::ChunkReceived { stream; snapshot, asked, offset, broken }
    [] message::Round { id; commit }
    [] message::RoundReply { id; }
    [] message::ReadIndex { id; }
    [] message::ReadIndexReply { id; commit }
    [S: StateMachine] message::Forward<S> { id; command }
    [S: StateMachine] message::ForwardReply<S> { id; outcome }
    [] message::Outdated { ; }
    [] message::TimeoutNow { id; last }
    [] message::TimeoutNowReply { id; campaigns }
}

/// Renames within enums of which every variant holds one value.
macro_rules! renames_variants {
    ($($type:ident { $($variant:ident),* })*) => {$(
        impl<S: StateMachine> Rename for $type<S> {
            fn rename(&mut self, names: &mut dyn Names) {
                match self {
                    $(Self::$variant(value) => value.rename(names),)*
                }
            }
        }
    )*};
}

renames_variants! {
    Raft { Follower, PreCandidate, Candidate, Leader }
    Message {
        PreVote, PreVoteReply, Vote, VoteReply, Append, Appended, AppendRejected, SnapshotChunk,
        ChunkReceived, Round, RoundReply, ReadIndex, ReadIndexReply, Forward, ForwardReply, Outdated,
        TimeoutNow, TimeoutNowReply
    }
}

/// Makes a new ballot, since a vote cannot be changed.
impl Rename for Ballot {
    fn rename(&mut self, names: &mut dyn Names) {
        let mut vote = self.vote();
        vote.rename(names);
        *self = Self::new(self.term(), vote);
    }
}

impl<C> Rename for Record<C> {
    fn rename(&mut self, names: &mut dyn Names) {
        match self {
            Self::Ballot(ballot) => ballot.rename(names),
            Self::Entries(entries) => entries.rename(names),
            Self::Base(_) => {}
        }
    }
}

impl<C> Rename for Payload<C> {
    fn rename(&mut self, names: &mut dyn Names) {
        match self {
            Self::Membership(membership) => membership.rename(names),
            Self::Blank | Self::Command(_) => {}
        }
    }
}

impl Rename for Arc<Membership> {
    fn rename(&mut self, names: &mut dyn Names) {
        Arc::make_mut(self).rename(names);
    }
}

impl<S> Rename for Work<S> {
    fn rename(&mut self, names: &mut dyn Names) {
        match self {
            Self::Taken(snapshot) => snapshot.rename(names),
            Self::None | Self::Storing(_) | Self::Installing(_) => {}
        }
    }
}

impl<S: StateMachine> Rename for Reader<S> {
    fn rename(&mut self, names: &mut dyn Names) {
        match self {
            Self::Local(_) => {}
            Self::Remote(node, request) => {
                node.rename(names);
                request.rename(names);
            }
        }
    }
}

/// Holds no ids.
macro_rules! nameless {
    ($($type:ty),*) => {$(
        impl Rename for $type {
            fn rename(&mut self, _: &mut dyn Names) {}
        }
    )*};
}

nameless!(bool, Index, crate::id::Term, crate::id::Ticket);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_fnv_1a() {
        let hash = |text: &str| {
            let mut fingerprint = Fingerprint::default();
            fingerprint.write(text.as_bytes());
            fingerprint.finish()
        };
        // The vectors that come with the FNV specification.
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
