//! The replica: the interface of the core to its host.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::mem;

use crate::clock::Countdown;
use crate::entry::Entry;
use crate::follower::Follower;
use crate::id::Index;
use crate::input::{Input, Restored};
use crate::invariant::{self, Violation};
use crate::machine::StateMachine;
use crate::membership::Membership;
use crate::message::Wait;
use crate::node::Node;
use crate::output::{Output, Volatile};
use crate::persistence::Persisted;
use crate::proxy::{Read, Request, Write};
use crate::raft::Raft;
use crate::shared::Shared;
use crate::status::{RoleName, Status};

/// A Raft node, as a state machine from inputs to outputs.
///
/// ```text
/// step, step, step      any number of inputs
/// output                their result: one batch to store, messages, replies
/// ```
#[derive(Clone, Debug)]
pub struct Replica<S: StateMachine> {
    /// `None` only during a step.
    pub(crate) raft: Option<Raft<S>>,
}

impl<S: StateMachine> Replica<S> {
    /// Starts a node from its stored state. There is no other constructor.
    ///
    /// Before the first election of a cluster, in term 0 or in the term of an initial membership in the
    /// log, the election timeout is not random: it is one heartbeat interval for each member before
    /// this node, plus a tick. So a new cluster elects a leader soon and without a split vote. A lone
    /// voter leads at once.
    ///
    /// # Panics
    /// If the times make no sense ([`crate::Config::validate`]), or the
    /// stored entries do not follow each other.
    #[must_use]
    pub fn restore(restored: Restored<S>) -> Self {
        let (id, config) = (restored.id, &restored.config);
        if let Err(error) = config.validate() {
            panic!("{error}");
        }
        let heartbeat = config.heartbeat;
        let mut shared = Box::new(Shared::new(restored));
        let rank = u32::try_from(shared.membership().rank(id)).unwrap_or(u32::MAX);
        let staggered = heartbeat.saturating_mul(rank).saturating_add(1);
        let lone = shared.membership().is_lone_voter(id);
        let countdown = if shared.is_first_election() {
            Countdown::of(staggered)
        } else {
            shared.election_countdown()
        };
        let role = Follower::new(countdown);
        let node = Node { shared, role };
        let mut replica = Self {
            raft: Some(Raft::Follower(node)),
        };
        if lone {
            replica.change(Raft::campaign);
        }
        replica
    }

    /// Handles one input. Never fails: drops and counts what no correct peer sends.
    ///
    /// # Panics
    /// If a rule of Raft is broken (a second leader in one term); if the host answers a task that
    /// it was not given; in debug builds, if any invariant is broken.
    pub fn step(&mut self, input: Input<S>) {
        self.change(|mut raft| {
            match input {
                Input::Tick => raft = raft.tick(),
                Input::Receive(envelope) => raft = raft.receive(envelope),
                Input::Write { ticket, command } => {
                    let since = raft.shared().now;
                    raft.shared_mut().take(Request::Write(Write {
                        ticket,
                        since,
                        command: Arc::new(command),
                        was_sent: false,
                    }));
                }
                Input::Read { ticket, query } => {
                    let since = raft.shared().now;
                    raft.shared_mut().take(Request::Read(Read {
                        ticket,
                        since,
                        query,
                    }));
                }
                Input::Transfer { ticket, to } => raft.transfer(ticket, to),
                Input::ChangeMembers {
                    ticket,
                    add,
                    remove,
                } => raft.change_members(ticket, &add, remove),
                Input::TakeSnapshot { ticket } => raft.take_snapshot(ticket),
                Input::Synced(synced) => raft.synced(&synced),
                Input::SnapshotStored(id) => raft.shared_mut().snapshot_stored(id),
                Input::SnapshotInstalled {
                    snapshot,
                    membership,
                    machine,
                } => {
                    let shared = raft.shared_mut();
                    shared.snapshot_installed(snapshot, membership, machine);
                }
                Input::SnapshotBroken(id) => raft.shared_mut().snapshot_broken(id),
                Input::SnapshotDamaged(id) => raft.shared_mut().snapshots.doubt(id),
                Input::SnapshotMoved => {
                    let shared = raft.shared_mut();
                    shared.snapshots.moved = shared.now;
                }
            }
            raft
        });
    }

    /// Takes the output of the steps since the last output. Requests that arrived since then share
    /// Appends and a read round.
    ///
    /// Applies a bounded number of committed entries. While [`Status::applied`] is before
    /// [`Status::commit`], take the next output at once, even without an input.
    pub fn output(&mut self) -> Output<S, Volatile> {
        self.change(|mut raft| {
            raft.shared_mut().apply();
            raft.flush();
            raft.capture();
            raft
        });
        let raft = self.raft.as_mut().expect("no step is under way");
        let shared = raft.shared_mut();
        let (term, last) = (shared.term(), shared.log().last().index);
        let ballot_is_durable = shared.persistence.holds_ballot_of(term);
        let messages = mem::take(&mut shared.messages).into_iter();
        let (early, late) = messages.partition(|envelope| match envelope.message.waits_for() {
            Wait::Nothing => true,
            Wait::Ballot => ballot_is_durable,
            Wait::Everything => false,
        });
        // As Appends, chunks do not leave before the ballot of their term is stored.
        let chunks = if ballot_is_durable {
            mem::take(&mut shared.chunks)
        } else {
            Vec::new()
        };
        let task = shared.next_task();
        let records = mem::take(&mut shared.records);
        let bytes = mem::take(&mut shared.record_bytes);
        let bytes = (!records.is_empty()).then_some(bytes);
        let (before, id) = shared.persistence.issue(bytes, term, last, shared.now);
        Output {
            before,
            id,
            records,
            early,
            late,
            chunks,
            task,
            replies: mem::take(&mut shared.replies),
            durability: PhantomData,
        }
    }

    /// The proof that all outputs so far are on disk, for the first [`Output::persist`] of this
    /// replica, or of a copy of it.
    ///
    /// # Panics
    /// If an output with records was taken whose [`crate::Synced`] was not stepped yet.
    #[must_use]
    pub fn persisted(&self) -> Persisted {
        self.raft().shared().persistence.persisted()
    }

    /// A summary of the node's state.
    #[must_use]
    pub fn status(&self) -> Status {
        let raft = self.raft();
        let shared = raft.shared();
        let role = match raft {
            Raft::Follower(_) => RoleName::Follower,
            Raft::PreCandidate(_) => RoleName::PreCandidate,
            Raft::Candidate(_) => RoleName::Candidate,
            Raft::Leader(_) => RoleName::Leader,
        };
        let (mut matched, mut snapshot_streams) = (BTreeMap::new(), BTreeMap::new());
        let mut handover = None;
        if let Raft::Leader(node) = raft {
            let peers = node.role.peers.iter();
            matched = peers.map(|(node, peer)| (*node, peer.matched)).collect();
            snapshot_streams = node.role.snapshot_streams();
            handover = node.role.handover.as_ref().map(|handover| handover.target);
        }
        Status {
            id: shared.id,
            role,
            ballot: shared.ballot(),
            leader: raft.leader(),
            membership: shared.log().membership().clone(),
            was_removed: shared.was_removed(),
            last: shared.log().last(),
            base: shared.log().base(),
            log_bytes: shared.log().bytes(Index(0), shared.log().last().index),
            snapshot: shared.snapshots.stored,
            commit: shared.committed(),
            applied: shared.applied(),
            synced: shared.persistence.index(),
            is_disk_stalled: shared.is_disk_stalled(),
            matched,
            snapshot_streams,
            handover,
            incoming_snapshot: shared.snapshots.incoming(),
            requests_open: shared.proxy.open,
            requests_waiting: shared.proxy.waiting.len(),
            proposals: shared.proxy.proposals(),
            counters: shared.counters.clone(),
        }
    }

    /// The entries of the log above its base, in order. The base is at or before the last entry of
    /// the newest stored snapshot.
    pub fn log(&self) -> impl DoubleEndedIterator<Item = &Entry<S::Command>> + '_ {
        self.raft().shared().log().iter()
    }

    /// The members of the cluster at an index of the log.
    #[must_use]
    pub fn membership_at(&self, index: Index) -> &Membership {
        self.raft().shared().log().membership_at(index)
    }

    /// The state machine, with all entries through [`Status::applied`] applied.
    #[must_use]
    pub fn machine(&self) -> &S {
        self.raft().shared().machine()
    }

    /// Checks the invariants of the state, and of the step to it from `before`.
    ///
    /// # Errors
    /// Names the first rule that is broken.
    pub fn check_since(&self, before: &Status) -> Result<(), Violation> {
        let after = self.status();
        let raft = self.raft();
        let held = raft.shared().proxy.held()
            + match raft {
                Raft::Leader(node) => node.role.reads.held(),
                Raft::Follower(_) | Raft::PreCandidate(_) | Raft::Candidate(_) => 0,
            };
        invariant::check_state(&after, held)?;
        let at_old_commit = raft.shared().log().id_at(before.commit.index);
        invariant::check_step(before, &after, at_old_commit)
    }

    /// Changes the state. Debug builds check the invariants.
    fn change(&mut self, change: impl FnOnce(Raft<S>) -> Raft<S>) {
        let before = cfg!(debug_assertions).then(|| self.status());
        let raft = self.raft.take().expect("no step is under way");
        self.raft = Some(change(raft));
        if let Some(before) = before
            && let Err(Violation(rule)) = self.check_since(&before)
        {
            panic!("invariant broken: {rule}");
        }
    }

    pub(crate) fn raft(&self) -> &Raft<S> {
        self.raft.as_ref().expect("no step is under way")
    }
}
