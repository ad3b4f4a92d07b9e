//! Injects faults.

use std::collections::BTreeMap;
use std::{io, mem};

use raft_core::{NodeId, RoleName};

use super::agenda::Happening;
use super::member::{DiskState, Loss, Member};
use super::options::Fault;
use super::processes::End;
use super::trace::Event;
use super::world::World;
use crate::replica::faulty_disk::Moment;
use crate::replica::node::Disk as _;
use crate::rules::Broken;

/// The most room that a full disk still has, in bytes.
const ROOM_MAX: u64 = 8192;

/// A call of a disk that is planned to fail is among this many next ones.
const CALLS_AHEAD_MAX: u64 = 40;

impl World {
    pub(super) fn schedule_fault(&mut self) {
        if !self.options.faults().is_empty() {
            self.recur(self.options.fault_mean, Happening::Fault);
        }
    }

    /// Draws a leader with a chance of `times` in `of`, or else any node.
    pub(super) fn draw_leader(&mut self, times: u64, of: u64) -> NodeId {
        let leading: Vec<NodeId> = self.leaders().into_iter().map(|(id, _)| id).collect();
        match self.rng.choose(&leading) {
            Some(leader) if self.rng.chance(times, of) => *leader,
            Some(_) | None => self.draw_node(),
        }
    }

    /// A node receives or installs a snapshot. It may die soon: faults at random times would seldom
    /// hit it there.
    pub(super) fn endanger(&mut self, id: NodeId, mean: u64) {
        if self.options.fault_mean > 0 && self.options.crash > 0 && self.rng.chance(1, 20) {
            self.schedule_about(mean, Happening::Die(id));
        }
    }

    /// Injects a fault into a node, or into all of them. Half of the faults hit a leader: they do the
    /// most.
    pub(super) fn inject_fault(&mut self) -> Result<(), Broken> {
        let fault = *self.rng.choose(&self.options.faults()).expect("a fault");
        let victim = self.draw_leader(1, 2);
        let length = self.rng.exponential(self.options.fault_length_mean);
        let until = self.agenda.now + length;
        match fault {
            Fault::Crash => {
                let end = self.draw_end();
                return self.restart(victim, end, length);
            }
            Fault::PowerFailure => return self.fail_power(length),
            Fault::Pause => self.pause(victim, length),
            Fault::Isolation => {
                self.rare.isolations += 1;
                self.cut_links(length, |from, to| from == victim || to == victim);
            }
            Fault::OneWay => {
                self.rare.one_way_cuts += 1;
                let inwards = self.rng.chance(1, 2);
                self.cut_links(length, |from, to| victim == if inwards { to } else { from });
            }
            Fault::Halves => {
                self.rare.halves += 1;
                let sides = self.draw_sides();
                self.cut_links(length, |from, to| sides[&from] != sides[&to]);
            }
            Fault::Bridge => {
                self.rare.bridges += 1;
                let sides = self.draw_sides();
                self.cut_links(length, |from, to| {
                    from != victim && to != victim && sides[&from] != sides[&to]
                });
            }
            Fault::Spike => self.slow_all_links(length),
            Fault::SlowLink => self.slow_link(victim, length),
            Fault::CrashInCall => self.crash_in_call(victim),
            Fault::FullDisk => self.fill_disk(victim, length),
            Fault::FailedCall => self.fail_call(victim),
            Fault::HangingSync => {
                self.rare.hanging_syncs += 1;
                self.member(victim).disk.hangs_until = until;
                self.note(Event::Fault(Some(victim), "its disk hangs"));
            }
            Fault::SlowDisk => {
                self.rare.slow_disks += 1;
                self.member(victim).disk.slow_until = until;
                self.note(Event::Fault(Some(victim), "its disk is slow"));
            }
            Fault::BitFlip => self.flip_bit(victim),
            Fault::LostDisk => return self.lose_disk(victim),
            Fault::ClockJump => return self.inject_clock_fault(victim, length),
        }
        Ok(())
    }

    fn fail_power(&mut self, length: u64) -> Result<(), Broken> {
        self.note(Event::Fault(None, "the power fails"));
        self.rare.power_failures += 1;
        let mut nodes = self.ids().into_iter();
        nodes.try_for_each(|id| self.restart(id, End::Machine, length))
    }

    fn slow_all_links(&mut self, length: u64) {
        self.note(Event::Fault(None, "all messages are slow"));
        self.rare.spikes += 1;
        self.network.spike = true;
        self.agenda.schedule(length, Happening::HealLinks);
    }

    fn slow_link(&mut self, from: NodeId, length: u64) {
        let what = "its messages to one node are slow";
        self.note(Event::Fault(Some(from), what));
        self.rare.slow_links += 1;
        let to = *self.rng.choose(&self.ids()).expect("a node");
        self.network.slow.insert((from, to));
        self.agenda.schedule(length, Happening::HealLinks);
    }

    fn crash_in_call(&mut self, victim: NodeId) {
        let call = self.draw_call(victim);
        let moments = [Moment::Before, Moment::After];
        let moment = *self.rng.choose(&moments).expect("two");
        self.members[&victim].node.disk.disk.crash_at(call, moment);
        let what = "will crash during a disk call";
        self.note(Event::Fault(Some(victim), what));
    }

    fn fill_disk(&mut self, victim: NodeId, length: u64) {
        let room = self.rng.below(ROOM_MAX);
        let member = self.member(victim);
        let disk = &member.node.disk.disk;
        disk.set_capacity(disk.used() + room);
        member.disk.is_full = true;
        self.agenda.schedule(length, Happening::MakeRoom(victim));
        self.note(Event::Fault(Some(victim), "its disk has little room"));
    }

    fn fail_call(&mut self, victim: NodeId) {
        let call = self.draw_call(victim);
        let member = self.member(victim);
        member.disk.call_may_fail = true;
        member.node.disk.disk.fail_at(call, io::ErrorKind::Other);
        self.note(Event::Fault(Some(victim), "a disk call will fail"));
    }

    fn inject_clock_fault(&mut self, victim: NodeId, length: u64) -> Result<(), Broken> {
        if self.rng.chance(1, 2) {
            self.note(Event::Fault(Some(victim), "its clock stands still"));
            self.rare.clock_stops += 1;
            self.member(victim).clock_stopped_until = self.agenda.now + length;
            return Ok(());
        }
        self.note(Event::Fault(Some(victim), "its clock jumps"));
        let ticks = self.rng.range(1..=2 * self.options.longest_election);
        let member = &self.members[&victim];
        if member.node.process().is_none() || member.is_paused() {
            return Ok(());
        }
        self.rare.clock_jumps += 1;
        self.ticks(victim, ticks)
    }

    fn draw_sides(&mut self) -> BTreeMap<NodeId, bool> {
        let ids = self.ids().into_iter();
        ids.map(|id| (id, self.rng.chance(1, 2))).collect()
    }

    fn cut_links(&mut self, length: u64, cuts: impl Fn(NodeId, NodeId) -> bool) {
        for from in self.ids() {
            for to in self.ids() {
                if from != to && cuts(from, to) && self.network.cut(from, to) {
                    self.note(Event::Cut(from, to));
                }
            }
        }
        self.agenda.schedule(length, Happening::HealLinks);
    }

    /// Flips a bit of a file, unless a quorum would then have such disks.
    fn flip_bit(&mut self, victim: NodeId) {
        if !self.may_break_disk(victim) {
            return;
        }
        let disk = &self.members[&victim].node.disk.disk;
        let names = disk.files();
        let Some((name, length)) = self.rng.choose(&names).filter(|(_, length)| *length > 0) else {
            return;
        };
        disk.flip(name, self.rng.below(length * 8));
        self.member(victim).disk.has_flipped = true;
        self.rare.bit_flips += 1;
        self.note(Event::Fault(Some(victim), "its disk flips a bit"));
    }

    /// Whether a quorum of disks remains if this one is broken.
    fn may_break_disk(&self, victim: NodeId) -> bool {
        let committed = self.rules.committed();
        let is_broken = |(id, member): &(&NodeId, &Member)| {
            let lacks_entries = match member.disk.loss {
                Some(Loss::Returned) => member.node.disk.ledger().last().index < committed,
                Some(Loss::Away(_)) => true,
                None => false,
            };
            **id != victim && (member.disk.has_flipped || lacks_entries)
        };
        self.members.iter().filter(is_broken).count() < (self.members.len() - 1) / 2
    }

    /// A node's machine dies with its disk, unless a quorum would then have lost theirs. The node
    /// has forgotten its votes and acknowledgements, so it must stay away at first.
    fn lose_disk(&mut self, victim: NodeId) -> Result<(), Broken> {
        if !self.may_break_disk(victim) || self.members[&victim].is_away() {
            return Ok(());
        }
        self.note(Event::Fault(Some(victim), "its disk is lost"));
        self.rare.disks_lost += 1;
        self.die(victim, End::Machine)?;
        let member = self.member(victim);
        let promised = member.node.disk.ledger().ballot.term();
        member.disk.loss = Some(Loss::Away(promised));
        self.agenda
            .schedule(self.longest_election(), Happening::Return(victim));
        Ok(())
    }

    /// A node returns with an empty disk, or stays away a little longer: see "A lost disk" in
    /// docs/PROTOCOL.md.
    pub(super) fn try_return(&mut self, id: NodeId) -> Result<(), Broken> {
        let Some(Loss::Away(promised)) = self.members[&id].disk.loss else {
            return Ok(());
        };
        let processes = self.members.values().filter_map(|m| m.node.process());
        let (mut is_replaced, mut is_awaited) = (false, false);
        for status in processes.map(|process| &process.status) {
            let (role, term) = (status.role, status.ballot.term());
            let has_committed = status.commit.term == term;
            is_replaced |= role == RoleName::Leader && term > promised && has_committed;
            // It may still count a vote or an acknowledgement of a term that the node forgot.
            is_awaited |=
                matches!(role, RoleName::Candidate | RoleName::Leader) && term <= promised;
        }
        if !is_replaced || is_awaited {
            self.agenda
                .schedule(self.longest_election(), Happening::Return(id));
            return Ok(());
        }
        self.note(Event::Fault(Some(id), "returns with an empty disk"));
        self.rare.disks_replaced += 1;
        let (seed, capacity) = (self.rng.next_u64(), self.options.room());
        let member = self.member(id);
        member.node.disk.forget(seed);
        member.node.disk.disk.set_capacity(capacity);
        member.disk = DiskState {
            loss: Some(Loss::Returned),
            ..DiskState::default()
        };
        self.start(id)
    }

    /// Draws which of a disk's next calls fails or ends the process.
    fn draw_call(&mut self, id: NodeId) -> u64 {
        self.members[&id].node.disk.disk.calls() + self.rng.range(1..=CALLS_AHEAD_MAX)
    }

    pub(super) fn make_room(&mut self, id: NodeId) {
        let capacity = self.options.room();
        let member = self.member(id);
        member.disk.is_full = false;
        member.node.disk.disk.set_capacity(capacity);
    }

    fn pause(&mut self, id: NodeId, length: u64) {
        let until = self.agenda.now + length;
        self.rare.pauses += 1;
        self.note(Event::Paused(id, until));
        self.member(id).paused_until = Some(until);
        self.agenda.schedule(length, Happening::Resume(id));
    }

    /// A paused process goes on, and finds everything that came meanwhile, in order. Late ticks
    /// count as one.
    pub(super) fn resume(&mut self, id: NodeId) {
        let member = self.member(id);
        member.paused_until = None;
        for happening in mem::take(&mut member.waiting) {
            self.agenda.schedule(0, happening);
        }
    }
}
