//! What takes a disk's time: storing outputs, and the work on snapshots.

use std::mem;

use raft_core::{EntryId, Incarnation, Input, NodeId};

use super::trace::Event;
use super::world::{Happening, World};
use crate::replica::node::{Worked, demand};
use crate::rules::Broken;

/// How long a sync takes at most when there are no faults.
const HEALTHY_SYNC_MAX: u64 = 100;

/// How many times as long a sync takes on a slow disk.
const SLOWNESS: u64 = 20;

impl World {
    pub(super) fn sync(&mut self, id: NodeId) -> Result<(), Broken> {
        if !self.members[&id].syncing {
            // It was hurried when the faults ceased, and is done.
            return Ok(());
        }
        // One sync stores some of what waits, and mostly all of it.
        let waiting = self.members[&id].node.unsynced() as u64;
        let stored = if self.options.sync_blocks > 0 || self.rng.chance(3, 4) {
            waiting
        } else {
            self.rng.range(1..=waiting)
        };
        let incarnation = self.life(id).expect("it runs").incarnation;
        for _ in 0..stored {
            self.store(id)?;
            if !self.lives_still(id, incarnation) {
                return Ok(());
            }
        }
        let member = self.member(id);
        member.syncing = false;
        let log_bytes = member.node.disk.log_bytes();
        let changed = mem::replace(&mut member.log_bytes, log_bytes) != log_bytes;
        self.sightings.segments_changed += u64::from(changed);
        self.flush_waiting(id);
        self.schedule_sync(id);
        Ok(())
    }

    /// One output of a node is stored.
    fn store(&mut self, id: NodeId) -> Result<(), Broken> {
        let life = self.life(id).expect("it runs");
        let (incarnation, records) = (
            life.incarnation,
            self.members[&id].node.unsynced_records().to_vec(),
        );
        self.trace.note(self.now, Event::Synced(id, records));
        let (messages, receipt) = match self.member(id).node.sync() {
            Ok(stored) => stored.expect("an output waits"),
            Err(stop) => return self.stopped(id, stop),
        };
        for envelope in messages {
            self.send(envelope)?;
        }
        // The receipt may come late: a node drains its inputs in batches.
        if self.options.sync_blocks == 0 && self.rng.chance(1, 4) {
            let delay = self.sync_delay(id);
            self.schedule(delay, Happening::Receipt(id, incarnation, receipt));
            Ok(())
        } else {
            self.step(id, Input::Synced(receipt))
        }
    }

    /// A node works on a snapshot.
    pub(super) fn work(&mut self, id: NodeId, life: Incarnation) -> Result<(), Broken> {
        let worked = match self.member(id).node.work() {
            Ok(worked) => worked,
            Err(stop) => return self.stopped(id, stop),
        };
        let (snapshot, input) = match worked {
            // It was hurried when the faults ceased, and is done.
            None => return Ok(()),
            Some(Worked::Named(snapshot)) => {
                self.trace.note(self.now, Event::Named(id, snapshot));
                self.members[&id].node.check_work(&self.rules)?;
                self.schedule_work(id, life);
                return Ok(());
            }
            Some(Worked::Done(snapshot, input)) => (snapshot, input),
        };
        self.trace.note(self.now, Event::Worked(id, snapshot));
        match &input {
            Input::SnapshotInstalled { .. } => self.sight_install(id, snapshot.last),
            Input::SnapshotBroken(_) => {
                let excused = self.members.values().any(|member| member.has_flipped);
                demand(excused, || {
                    format!("node {id} gathers what was sent, not something else: {snapshot:?}")
                })?;
            }
            Input::SnapshotStored(_)
            | Input::Tick
            | Input::Receive(_)
            | Input::Write { .. }
            | Input::Read { .. }
            | Input::Synced(_) => {}
        }
        self.step(id, input)
    }

    /// Work on a snapshot begins.
    pub(super) fn begin_work(&mut self, id: NodeId) -> Result<(), Broken> {
        let node = &self.members[&id].node;
        let life = node.process().expect("it has just done something");
        let (incarnation, is_install) = (life.incarnation, !life.is_capturing());
        node.check_work(&self.rules)?;
        self.schedule_work(id, incarnation);
        if is_install {
            // If the leader dies meanwhile, the next one may bring by entries what the snapshot is
            // to bring.
            let leaders = self.leaders().into_iter().map(|(leader, _)| leader);
            let victims: Vec<NodeId> = leaders.chain([id]).collect();
            let victim = *self.rng.choose(&victims).expect("a node");
            self.endanger(victim, self.options.work_mean);
        }
        Ok(())
    }

    pub(super) fn schedule_work(&mut self, id: NodeId, life: Incarnation) {
        let mean = if self.healed {
            HEALTHY_SYNC_MAX
        } else {
            self.options.work_mean
        };
        let delay = self.rng.exponential(mean);
        self.schedule(delay, Happening::Work(id, life));
    }

    /// How a leader's snapshot finds the log of a node.
    fn sight_install(&mut self, id: NodeId, last: EntryId) {
        let life = self.life(id).expect("it runs");
        let status = &life.status;
        let holds = life.replica.log().any(|entry| entry.id == last);
        let count = if last.index <= status.commit.index {
            &mut self.sightings.installs_overtaken
        } else if holds {
            &mut self.sightings.installs_of_extending
        } else if status.last.index < last.index {
            &mut self.sightings.installs_of_shorter
        } else {
            &mut self.sightings.installs_of_conflicting
        };
        *count += 1;
    }

    pub(super) fn schedule_sync(&mut self, id: NodeId) {
        let member = self.member(id);
        if let Some(life) = member.node.process()
            && !member.syncing
            && member.node.unsynced() > 0
        {
            let life = life.incarnation;
            member.syncing = true;
            let delay = self.sync_delay(id);
            self.schedule(delay, Happening::Sync(id, life));
        }
    }

    pub(super) fn sync_delay(&mut self, id: NodeId) -> u64 {
        if self.healed {
            return self.rng.range(0..=HEALTHY_SYNC_MAX);
        }
        let member = &self.members[&id];
        let hangs = member.sync_hangs_until.saturating_sub(self.now);
        let is_slow = self.now < member.disk_is_slow_until;
        let factor = if is_slow { SLOWNESS } else { 1 };
        hangs + self.rng.exponential(self.options.sync_mean * factor)
    }
}
