//! What a node does for snapshots in every role (§7).

use core::mem;

use super::Shared;
use crate::id::{Index, SnapshotId};
use crate::machine::StateMachine;
use crate::membership::Membership;
use crate::message::SnapshotChunk;
use crate::response::{Refusal, Response};
use crate::snapshot::{IncomingSnapshot, SnapshotToInstall, SnapshotToStore, Task, Work};

impl<S: StateMachine> Shared<S> {
    /// Takes a chunk of a leader's snapshot. Returns the offset of the byte wanted next.
    pub(crate) fn receive_chunk(&mut self, chunk: &SnapshotChunk) -> u64 {
        if chunk.snapshot.length > self.config.limits.snapshot_bytes_max {
            self.counters.dropped.overflow += 1;
            return 0;
        }
        let early = self.config.limits.inflight_chunks;
        self.snapshots.receive_chunk(chunk, early)
    }

    /// Whether enough was applied since the last snapshot, and no snapshot is under way.
    pub(crate) fn snapshot_is_due(&self) -> bool {
        let limits = &self.config.limits;
        let (covered, applied) = (self.snapshots.covered().index, self.applied);
        let is_enough = || {
            applied.0 - covered.0 >= limits.snapshot_entries
                || self.log().bytes(covered, applied) >= limits.snapshot_bytes
        };
        let is_due = self.snapshots.is_doubted || applied > covered && is_enough();
        is_due && self.can_capture()
    }

    /// Whether there is something to take a snapshot of, and no snapshot under way.
    pub(crate) fn can_capture(&self) -> bool {
        let applied = self.applied;
        // A node that was just added may not know the members yet: its snapshot would lack them.
        let knows_members = || !self.log.membership_at(applied).members().is_empty();
        applied > Index(0)
            && applied >= self.snapshots.covered().index
            && self.snapshots.is_idle()
            && self.proxy.snapshot.is_none()
            && knows_members()
    }

    /// Answers the client that waits for a snapshot once the work on it has ended. A leader's snapshot
    /// may have taken its place.
    pub(crate) fn answer_snapshot(&mut self) {
        if self.snapshots.is_idle()
            && let Some((ticket, index)) = self.proxy.snapshot.take()
        {
            let covered = self.snapshots.covered().index;
            match covered >= index {
                true => self.reply(ticket, Response::SnapshotStored(covered)),
                false => self.refuse(ticket, Refusal::NoSnapshot),
            }
        }
    }

    /// Takes a snapshot of the present state.
    pub(crate) fn capture(&mut self) {
        let last = self.log.id_at(self.applied);
        self.snapshots.work = Work::Taken(SnapshotToStore {
            last: last.expect("the base is applied"),
            membership: self.log.membership_at(self.applied).as_ref().clone(),
            machine: self.machine().clone(),
        });
    }

    /// The task that the host may begin now, if there is one.
    pub(crate) fn next_task(&mut self) -> Option<Task<S>> {
        let commit = self.commit();
        let snapshots = &mut self.snapshots;
        // A snapshot never replaces newer state.
        let is_old = |incoming: &mut IncomingSnapshot| incoming.id.last.index <= commit;
        snapshots.incoming.take_if(is_old);
        let is_whole = |(length, id): (u64, SnapshotId)| length == id.length;
        let is_whole = snapshots.incoming().is_some_and(is_whole);
        // A snapshot may hold entries of the present term, whose ballot must be stored first.
        if !self.persistence.holds_ballot_of(self.term()) {
            return None;
        }
        let (synced, now) = (self.persistence.index(), self.now);
        let snapshots = &mut self.snapshots;
        match mem::replace(&mut snapshots.work, Work::None) {
            // A leader's snapshot is newer than one taken here, and replaces it.
            Work::None | Work::Taken(_) if is_whole => {
                let IncomingSnapshot { id, bytes, .. } = snapshots.incoming.take()?;
                (snapshots.work, snapshots.moved) = (Work::Installing(id), now);
                Some(Task::Install(SnapshotToInstall { id, bytes }))
            }
            Work::Taken(snapshot) if snapshot.last.index <= synced => {
                (snapshots.work, snapshots.moved) = (Work::Storing(snapshot.last), now);
                Some(Task::Store(snapshot))
            }
            other => {
                snapshots.work = other;
                None
            }
        }
    }

    /// Notes that a snapshot of this node's own state is on disk.
    ///
    /// # Panics
    /// If it is not the snapshot that the host was asked to store.
    pub(crate) fn snapshot_stored(&mut self, id: SnapshotId) {
        let work = mem::replace(&mut self.snapshots.work, Work::None);
        assert!(
            matches!(work, Work::Storing(last) if last == id.last),
            "the snapshot that was to be stored"
        );
        self.counters.snapshots_stored += 1;
        self.set_base(id);
    }

    /// Notes that a leader's snapshot is on disk, and adopts it.
    ///
    /// # Panics
    /// If it is not the snapshot that the host was asked to install.
    pub(crate) fn snapshot_installed(
        &mut self,
        id: SnapshotId,
        membership: Membership,
        machine: S,
    ) {
        self.end_install(id);
        if self.adopt(id.last, membership, machine) {
            self.counters.snapshots_installed += 1;
            self.set_base(id);
        } else {
            self.counters.dropped.malformed += 1;
        }
    }

    /// Notes that a leader's snapshot does not match its checksum, or cannot be decoded.
    ///
    /// # Panics
    /// If it is not the snapshot that the host was asked to install.
    pub(crate) fn snapshot_broken(&mut self, id: SnapshotId) {
        self.end_install(id);
        self.snapshots.broken = Some(id);
        self.counters.snapshots_broken += 1;
    }

    fn end_install(&mut self, id: SnapshotId) {
        let work = mem::replace(&mut self.snapshots.work, Work::None);
        assert!(
            matches!(work, Work::Installing(installing) if installing == id),
            "the snapshot that was to be installed"
        );
    }
}
