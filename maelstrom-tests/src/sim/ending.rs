//! How a run ends: the faults cease, a quorum must recover, and all that was seen is looked at once
//! more.

use std::mem;

use raft_core::{NodeId, RoleName, Term};

use super::trace::Event;
use super::world::{End, Happening, Member, World};
use crate::linearizability::{self, Limits, Verdict};
use crate::replica::faulty_disk::Moment;
use crate::replica::node::demand;
use crate::rules::Broken;

/// How much work the check of one key's history may take.
const CHECK_WORK_MAX: u64 = 8_000_000;

/// How often a node without room is asked before it should have served.
const ATTEMPTS_MAX: u32 = 5;

impl World {
    /// All faults cease, for a quorum at least.
    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.healed = true;
        self.network.heal();
        self.trace.note(self.now, Event::Healed);
        for id in self.ids() {
            self.resume(id);
            self.make_room(id);
            let member = self.member(id);
            member.call_may_fail = false;
            let disk = &member.node.disk.disk;
            disk.crash_at(u64::MAX, Moment::Before);
            disk.fail_at(u64::MAX, std::io::ErrorKind::Other);
            if member.has_flipped {
                // Its next start tells what has become of it.
                self.die(id, End::Process)?;
            }
        }
        for id in self.ids() {
            self.start(id)?;
            // What was to take long is hurried.
            let syncing = self.members[&id].syncing;
            let Some(life) = self.life(id) else {
                continue;
            };
            let (incarnation, works) = (life.incarnation, life.work().is_some());
            if works {
                self.schedule_work(id, incarnation);
            }
            if syncing {
                let delay = self.sync_delay(id);
                self.schedule(delay, Happening::Sync(id, incarnation));
            }
        }
        self.lose_some()
    }

    /// Some nodes stay away for good: dead, or cut off.
    fn lose_some(&mut self) -> Result<(), Broken> {
        let absent = self.members.values().filter(|m| m.is_gone).count();
        let spare = ((self.members.len() - 1) / 2).saturating_sub(absent);
        let lost = self
            .rng
            .below(self.options.lost_for_good + 1)
            .min(spare as u64);
        let mut candidates = self.live();
        self.rng.shuffle(&mut candidates);
        for id in candidates.into_iter().take(lost as usize) {
            if self.rng.chance(1, 2) {
                self.member(id).is_gone = true;
                self.die(id, End::Machine)?;
            } else {
                self.network.exiled.insert(id);
                self.trace
                    .note(self.now, Event::Fault(Some(id), "is cut off for good"));
            }
        }
        let all_live = self.live().len() == self.members.len();
        self.sightings.runs_without_all_nodes += u64::from(!all_live);
        Ok(())
    }

    /// The nodes that are there: neither gone for good nor cut off for good.
    pub(super) fn live(&self) -> Vec<NodeId> {
        let is_live = |(id, member): &(&NodeId, &Member)| {
            !member.is_gone && !self.network.exiled.contains(id)
        };
        let live = self.members.iter().filter(is_live);
        live.map(|(id, _)| *id).collect()
    }

    /// Every node that is there serves a write and a read.
    pub(super) fn serve_all(&mut self) -> Result<(), Broken> {
        for id in self.live() {
            for write in [true, false] {
                self.serve(id, write)?;
            }
        }
        Ok(())
    }

    /// A node serves a request. Whoever has hardly any room may refuse some, since what clients
    /// asked before the faults ceased may still be on its way; and whoever must remember fewer
    /// forwards than there were drops some, so that only those who ask the leader itself are
    /// sure to be served.
    fn serve(&mut self, id: NodeId, write: bool) -> Result<(), Broken> {
        let attempts = if self.options.has_room() {
            1
        } else {
            ATTEMPTS_MAX
        };
        for _ in 0..attempts {
            let request = self.clients.last_wish(id, write, self.now)?;
            let ticket = request.ticket;
            self.ask(id, request)?;
            self.expect("answer", |world| !world.clients.is_open(ticket))?;
            // Whoever is behind may take longer to catch up than a read waits.
            self.expect("agree", Self::agrees)?;
            if mem::take(&mut self.clients.unserved_at_last) == 0 {
                return Ok(());
            }
        }
        let leads = self.leaders().iter().any(|(leader, _)| *leader == id);
        demand(!leads && !self.options.has_room(), || {
            "without faults every request is served".into()
        })
    }

    /// Those who lead, each with its term.
    pub(super) fn leaders(&self) -> Vec<(NodeId, Term)> {
        let live = self
            .members
            .iter()
            .filter(|(id, _)| !self.network.exiled.contains(id));
        let lives = live.filter_map(|(id, member)| Some((id, member.node.process()?)));
        let leading = lives.filter_map(|(id, life)| {
            let status = &life.status;
            (status.role == RoleName::Leader).then(|| (*id, status.ballot.term()))
        });
        leading.collect()
    }

    /// Whether everybody knows the one leader, has committed the same, and no client waits.
    pub(super) fn agrees(&self) -> bool {
        let [(leader, _)] = self.leaders()[..] else {
            return false;
        };
        let committed = self.rules.committed();
        let exiled = &self.network.exiled;
        self.clients.is_idle_but_for(exiled)
            && self.live().into_iter().all(|id| {
                let status = self.life(id).map(|life| &life.status);
                status.is_some_and(|status| {
                    status.leader == Some(leader)
                        && status.commit.index == committed
                        && status.last.index == committed
                })
            })
    }

    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        for (id, member) in &self.members {
            let Some(life) = member.node.process() else {
                continue;
            };
            let log: Vec<_> = life.replica.log().cloned().collect();
            let status = &life.status;
            self.rules.holds(*id, status.base, &log)?;
            self.sightings.add_life(status);
        }
        for entry in &self.figure_8 {
            let overwritten = !self.rules.has_committed(*entry);
            self.sightings.figure_8_overwritten += u64::from(overwritten);
        }
        if self.options.is_calm() {
            let all_served = self.sightings.refused + self.sightings.unknown == 0;
            demand(all_served, || "without faults everybody is served".into())?;
            self.sightings.calm_runs += 1;
        }
        let limits = Limits {
            per_key: CHECK_WORK_MAX,
        };
        let operations = self.clients.history().operations();
        self.sightings.operations += operations.len() as u64;
        self.sightings.retries += self.clients.retries;
        match linearizability::check(operations, limits).verdict {
            Verdict::Valid => Ok(()),
            Verdict::Unknown(_) => Err(Broken(
                "the clients' history is small enough to be checked".into(),
            )),
            Verdict::Invalid(contradictions) => Err(Broken(format!(
                "the clients' history is linearizable: {contradictions:#?}"
            ))),
        }
    }
}
