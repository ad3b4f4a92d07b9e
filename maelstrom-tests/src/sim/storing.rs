//! What takes a disk's time: syncs of outputs, and work on snapshots.

use std::mem;

use raft_core::{EntryId, Incarnation, Input, NodeId};

use super::agenda::Happening;
use super::trace::Event;
use super::world::{Phase, World};
use crate::replica::node::Worked;
use crate::rules::{Broken, demand};

/// The longest sync when there are no faults.
const HEALTHY_SYNC_MAX: u64 = 100;

/// The factor by which a slow disk is slower.
const SLOWNESS: u64 = 20;

impl World {
    pub(super) fn sync(&mut self, id: NodeId) -> Result<(), Broken> {
        let disk = &self.members[&id].disk;
        if disk.hangs || !disk.syncing {
            // Or it ended sooner, when the faults ceased.
            return Ok(());
        }
        // One sync stores some of the outputs that wait, and mostly all of them.
        let mut stored = self.members[&id].node.unsynced() as u64;
        if !self.rng.chance(3, 4) {
            stored = self.rng.range(1..=stored);
        }
        // A node joins what waits. One by one, the disk has more moments at which it may fail.
        if stored > 1 && self.rng.chance(1, 2) {
            self.rare.outputs_joined += stored - 1;
            for _ in 1..mem::replace(&mut stored, 1) {
                assert!(self.member(id).node.join(), "each output waits");
            }
        }
        let incarnation = self.process(id).expect("it runs").incarnation;
        for _ in 0..stored {
            self.store(id)?;
            if !self.is_running(id, incarnation) {
                return Ok(());
            }
        }
        let member = self.member(id);
        member.disk.syncing = false;
        let log_bytes = member.node.disk.log_bytes();
        let changed = mem::replace(&mut member.disk.log_bytes, log_bytes) != log_bytes;
        self.rare.segments_changed += u64::from(changed);
        self.schedule_sync(id);
        Ok(())
    }

    /// Stores one output of a node.
    fn store(&mut self, id: NodeId) -> Result<(), Broken> {
        let incarnation = self.process(id).expect("it runs").incarnation;
        let records = self.members[&id].node.unsynced_records();
        self.note(Event::Synced(id, records.to_vec()));
        let (messages, receipt) = match self.member(id).node.sync() {
            Ok(stored) => stored.expect("an output waits"),
            Err(stop) => return self.stopped(id, stop),
        };
        self.member(id).disk.idle_ticks = 0;
        for envelope in messages {
            self.send(envelope)?;
        }
        // The receipt may come late: a node drains its inputs in batches.
        if self.rng.chance(1, 4) {
            let delay = self.sync_delay(id);
            self.agenda
                .schedule(delay, Happening::Receipt(id, incarnation, receipt));
            Ok(())
        } else {
            self.step(id, Input::Synced(receipt))
        }
    }

    /// A node works on a snapshot.
    pub(super) fn work(&mut self, id: NodeId, process: Incarnation) -> Result<(), Broken> {
        if self.members[&id].disk.hangs {
            return Ok(());
        }
        let worked = match self.member(id).node.work() {
            Ok(worked) => worked,
            Err(stop) => return self.stopped(id, stop),
        };
        let (snapshot, input) = match worked {
            // It ended sooner, when the faults ceased.
            None => return Ok(()),
            Some(Worked::Named(snapshot)) => {
                self.note(Event::Named(id, snapshot));
                self.schedule_work(id, process);
                return self.members[&id].node.check_work(&self.rules);
            }
            Some(Worked::Done(snapshot, input)) => (snapshot, input),
        };
        self.note(Event::Worked(id, snapshot));
        if let Input::SnapshotInstalled { .. } = input {
            self.count_install(id, snapshot.last);
        } else if let Input::SnapshotBroken(_) = input {
            let excused = self.members.values().any(|member| member.disk.has_flipped);
            demand(excused, || {
                format!("node {id} must receive the snapshot that was sent: {snapshot:?}")
            })?;
        }
        self.step(id, input)
    }

    /// A node begins to work on a snapshot.
    pub(super) fn begin_work(&mut self, id: NodeId) -> Result<(), Broken> {
        let node = &self.members[&id].node;
        let process = node.process().expect("it has just done something");
        let (incarnation, is_install) = (process.incarnation, !process.is_capturing());
        node.check_work(&self.rules)?;
        self.schedule_work(id, incarnation);
        if is_install {
            // If the leader dies, the next one may send entries that the snapshot covers.
            let leaders = self.leaders().into_iter().map(|(leader, _)| leader);
            let victims: Vec<NodeId> = leaders.chain([id]).collect();
            let victim = *self.rng.choose(&victims).expect("a node");
            self.endanger(victim, self.options.work_mean);
        }
        Ok(())
    }

    pub(super) fn schedule_work(&mut self, id: NodeId, process: Incarnation) {
        let mean = match self.phase {
            Phase::Chaos | Phase::Lasting => self.options.work_mean,
            Phase::Healed => HEALTHY_SYNC_MAX,
        };
        self.schedule_about(mean, Happening::Work(id, process));
    }

    /// Counts how a leader's snapshot relates to a node's log.
    fn count_install(&mut self, id: NodeId, last: EntryId) {
        let process = self.process(id).expect("it runs");
        let status = &process.status;
        let holds = process.replica.log().any(|entry| entry.id == last);
        let count = if last.index <= status.commit.index {
            &mut self.rare.installs_overtaken
        } else if holds {
            &mut self.rare.installs_of_extending
        } else if status.last.index < last.index {
            &mut self.rare.installs_of_shorter
        } else {
            &mut self.rare.installs_of_conflicting
        };
        *count += 1;
    }

    pub(super) fn schedule_sync(&mut self, id: NodeId) {
        let member = self.member(id);
        if let Some(process) = member.node.process()
            && !member.disk.syncing
            && member.node.unsynced() > 0
        {
            let process = process.incarnation;
            member.disk.syncing = true;
            let delay = self.sync_delay(id);
            self.agenda.schedule(delay, Happening::Sync(id, process));
        }
    }

    pub(super) fn sync_delay(&mut self, id: NodeId) -> u64 {
        if self.phase == Phase::Healed {
            return self.rng.range(0..=HEALTHY_SYNC_MAX);
        }
        let disk = &self.members[&id].disk;
        let hangs = disk.hangs_until.saturating_sub(self.agenda.now);
        let is_slow = self.agenda.now < disk.slow_until;
        let factor = if is_slow { SLOWNESS } else { 1 };
        let mean = self.options.sync_mean * factor + disk.lag;
        hangs + self.rng.exponential(mean)
    }
}
