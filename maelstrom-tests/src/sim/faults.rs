//! What each kind of fault does.

use std::collections::BTreeMap;
use std::io;

use raft_core::NodeId;

use super::options::Fault;
use super::trace::Event;
use super::world::{End, Happening, World};
use crate::replica::faulty_disk::Moment;
use crate::rules::Broken;

/// How much room a full disk still has, in bytes, at most.
const ROOM_MAX: u64 = 8192;

impl World {
    /// A fault befalls a node, or all of them.
    pub(super) fn befall(&mut self, fault: Fault, victim: NodeId) -> Result<(), Broken> {
        let length = self.rng.exponential(self.options.fault_length_mean);
        let until = self.now + length;
        match fault {
            Fault::Crash => {
                let end = self.draw_end();
                return self.restart(victim, end, length);
            }
            Fault::PowerFailure => {
                self.note(None, "the power fails");
                self.sightings.power_failures += 1;
                for id in self.ids() {
                    self.restart(id, End::Machine, length)?;
                }
            }
            Fault::CrashInCall => {
                let call = self.draw_call(victim);
                let moment = *self
                    .rng
                    .choose(&[Moment::Before, Moment::After])
                    .expect("a moment");
                self.note(Some(victim), "will die in a call of its disk");
                self.member(victim).node.disk.disk.crash_at(call, moment);
            }
            Fault::Pause => {
                self.sightings.pauses += 1;
                self.pause(victim, length);
            }
            Fault::Isolation => {
                self.sightings.isolations += 1;
                self.cut_links(length, |from, to| from == victim || to == victim);
            }
            Fault::OneWay => {
                self.sightings.one_way_cuts += 1;
                let inwards = self.rng.chance(1, 2);
                self.cut_links(length, |from, to| victim == if inwards { to } else { from });
            }
            Fault::Halves => {
                self.sightings.halves += 1;
                let sides = self.draw_sides();
                self.cut_links(length, |from, to| sides[&from] != sides[&to]);
            }
            Fault::Bridge => {
                self.sightings.bridges += 1;
                let sides = self.draw_sides();
                self.cut_links(length, |from, to| {
                    from != victim && to != victim && sides[&from] != sides[&to]
                });
            }
            Fault::Spike => {
                self.note(None, "all messages take long");
                self.sightings.spikes += 1;
                self.network.spike = true;
                self.schedule(length, Happening::HealLinks);
            }
            Fault::SlowLink => {
                self.note(Some(victim), "what it sends to one other takes long");
                self.sightings.slow_links += 1;
                let to = *self.rng.choose(&self.ids()).expect("a node");
                self.network.slow(victim, to);
                self.schedule(length, Happening::HealLinks);
            }
            Fault::FullDisk => {
                self.note(Some(victim), "its disk has little room");
                let room = self.rng.below(ROOM_MAX);
                let member = self.member(victim);
                let disk = &member.node.disk.disk;
                disk.set_capacity(disk.used() + room);
                member.disk_is_full = true;
                self.schedule(length, Happening::MakeRoom(victim));
            }
            Fault::FailedCall => {
                self.note(Some(victim), "a call of its disk will fail");
                let call = self.draw_call(victim);
                let member = self.member(victim);
                member.call_may_fail = true;
                member.node.disk.disk.fail_at(call, io::ErrorKind::Other);
            }
            Fault::HangingSync => {
                self.note(Some(victim), "its disk hangs");
                self.sightings.hanging_syncs += 1;
                self.member(victim).sync_hangs_until = until;
            }
            Fault::SlowDisk => {
                self.note(Some(victim), "its disk is slow");
                self.sightings.slow_disks += 1;
                self.member(victim).disk_is_slow_until = until;
            }
            Fault::BitFlip => self.flip(victim),
            Fault::ClockJump if self.rng.chance(1, 2) => {
                self.note(Some(victim), "its clock stands still");
                self.sightings.clock_stops += 1;
                self.member(victim).clock_stops_until = until;
            }
            Fault::ClockJump => {
                self.note(Some(victim), "its clock jumps");
                let ticks = self.rng.range(1..=2 * self.options.longest_election);
                let member = &self.members[&victim];
                let blocks = self.options.sync_blocks > 0;
                if member.node.process().is_some() && !member.stands_still(blocks) {
                    self.sightings.clock_jumps += 1;
                    return self.ticks(victim, ticks);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, node: Option<NodeId>, what: &'static str) {
        self.trace.note(self.now, Event::Fault(node, what));
    }

    fn draw_sides(&mut self) -> BTreeMap<NodeId, bool> {
        let ids = self.ids();
        ids.into_iter()
            .map(|id| (id, self.rng.chance(1, 2)))
            .collect()
    }

    fn cut_links(&mut self, length: u64, cuts: impl Fn(NodeId, NodeId) -> bool) {
        for from in self.ids() {
            for to in self.ids() {
                if from != to && cuts(from, to) && self.network.cut(from, to) {
                    self.trace.note(self.now, Event::Cut(from, to));
                }
            }
        }
        self.schedule(length, Happening::HealLinks);
    }

    /// A bit of a file turns over. Only so many disks do this that a quorum has none of them.
    fn flip(&mut self, victim: NodeId) {
        let flipped = |world: &Self| world.members.values().filter(|m| m.has_flipped).count();
        let member = &self.members[&victim];
        let is_one_more = !member.has_flipped;
        if is_one_more && flipped(self) >= (self.members.len() - 1) / 2 {
            return;
        }
        let disk = member.node.disk.disk.clone();
        let names = disk.files();
        let Some((name, length)) = self.rng.choose(&names).filter(|(_, length)| *length > 0) else {
            return;
        };
        let bit = self.rng.below(length * 8);
        disk.flip(name, bit);
        self.member(victim).has_flipped = true;
        self.sightings.bit_flips += 1;
        self.note(Some(victim), "its disk flips a bit");
    }
}
