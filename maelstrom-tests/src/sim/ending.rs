//! The end of a run: faults cease, and a quorum must recover and serve.

use std::{io, mem};

use raft_core::NodeId;

use super::processes::End;
use super::trace::Event;
use super::world::{Phase, World};
use crate::replica::faulty_disk::Moment;
use crate::rules::Broken;

/// How often a node with small limits is asked before it must have served.
const ATTEMPTS_MAX: u32 = 5;

impl World {
    /// No more faults are injected. All nodes are up again, except that some may stay away.
    pub(super) fn cease(&mut self) -> Result<(), Broken> {
        self.phase = Phase::Lasting;
        for id in self.ids() {
            self.resume(id);
            self.make_room(id);
            let member = self.member(id);
            // A node that was away until now stays away for good.
            member.is_gone |= member.is_away();
            member.disk.hangs_until = 0;
            member.disk.slow_until = 0;
            member.disk.call_may_fail = false;
            let disk = &member.node.disk.disk;
            disk.crash_at(u64::MAX, Moment::Before);
            disk.fail_at(u64::MAX, io::ErrorKind::Other);
            if member.disk.has_flipped {
                // Its next start shows whether the flipped bit matters.
                self.die(id, End::Process)?;
            }
        }
        for id in self.ids() {
            self.start(id)?;
        }
        self.lose_some()
    }

    /// Nothing fails any more: links and disks work.
    pub(super) fn heal(&mut self) {
        self.phase = Phase::Healed;
        self.network.heal();
        self.note(Event::Healed);
        for id in self.ids() {
            self.heal_disk(id);
        }
        self.hurry();
    }

    /// A disk works again, unless it hangs for ever: then its node is lost as if it were dead.
    fn heal_disk(&mut self, id: NodeId) {
        let for_ever = self.members[&id].disk.hangs && self.rng.chance(1, 2);
        let member = self.member(id);
        member.is_gone |= for_ever;
        member.disk.hangs = for_ever;
        member.disk.lag = 0;
        if for_ever {
            self.rare.hangs_for_ever += 1;
            self.note(Event::Fault(Some(id), "its disk hangs for ever"));
        }
    }

    /// Slow syncs and slow work end soon.
    pub(super) fn hurry(&mut self) {
        for id in self.ids() {
            let Some(process) = self.process(id) else {
                continue;
            };
            let (incarnation, works) = (process.incarnation, process.work.is_some());
            if works {
                self.schedule_work(id, incarnation);
            }
            if mem::take(&mut self.member(id).disk.syncing) {
                self.schedule_sync(id);
            }
        }
    }

    /// Some nodes stay away for good: dead or cut off.
    fn lose_some(&mut self) -> Result<(), Broken> {
        let absent = self.members.values().filter(|m| m.is_gone).count();
        let spare = ((self.members.len() - 1) / 2).saturating_sub(absent);
        let lost = self.rng.below(self.options.lost_for_good + 1);
        let lost = lost.min(spare as u64);
        let mut candidates = self.live();
        self.rng.shuffle(&mut candidates);
        for id in candidates.into_iter().take(lost as usize) {
            if self.rng.chance(1, 2) {
                self.member(id).is_gone = true;
                self.die(id, End::Machine)?;
            } else {
                self.network.exiled.insert(id);
                self.note(Event::Fault(Some(id), "is cut off for good"));
            }
        }
        let all_live = self.live().len() == self.members.len();
        self.rare.runs_without_all_nodes += u64::from(!all_live);
        Ok(())
    }

    /// Every node that is there must serve a write and a read.
    pub(super) fn serve_all(&mut self) -> Result<(), Broken> {
        for id in self.live() {
            for write in [true, false] {
                self.serve(id, write)?;
            }
        }
        Ok(())
    }

    /// A node must serve a request. With small limits it may refuse some, because requests from
    /// before may still be under way, and drop forwards; a follower that needs a snapshot for each
    /// entry may be too late. Then it is asked again.
    fn serve(&mut self, id: NodeId, write: bool) -> Result<(), Broken> {
        let has_room = self.options.has_room() && self.options.keeps_followers_close();
        // The first write of a process also opens a session, whose entry may fill the log.
        let attempts = if write { 2 } else { 1 };
        for _ in 0..if has_room { attempts } else { ATTEMPTS_MAX } {
            // The log may be full until a snapshot is stored.
            self.expect("store its snapshots", |world| {
                let mut processes = world.live().into_iter().map(|id| world.process(id));
                processes.all(|process| process.is_none_or(|process| process.work.is_none()))
            })?;
            let request = self.clients.last_request(id, write, self.agenda.now)?;
            let ticket = request.ticket;
            self.ask(id, request)?;
            self.expect("answer", |world| !world.clients.is_open(ticket))?;
            // A lagging follower may need longer than a read waits.
            self.expect("agree", Self::agrees)?;
            if mem::take(&mut self.clients.unserved_at_last) == 0 {
                return Ok(());
            }
            // What took the room ends meanwhile.
            let end = self.agenda.now + self.longest_election();
            self.run_until(end, |_| false)?;
        }
        Err(Broken("without faults every request must be served".into()))
    }
}
