//! What must hold of a run: after each step, and at its end.

use std::mem;

use raft_core::{EntryId, Envelope, Message, NodeId, RoleName, Term, TimeoutNow};

use super::machine::Store;
use super::member::Member;
use super::rare_events::awaits_own_commit;
use super::trace::Event;
use super::world::World;
use crate::linearizability::{self, Limits, Verdict};
use crate::replica::node::Disk as _;
use crate::rules::{Broken, demand};

/// How long a cluster without faults may take to agree once it has a leader, in longest election
/// timeouts. Open requests end at their deadlines, and lagging nodes need snapshots.
const RECOVERY_ELECTIONS_MAX: u64 = 60;

/// The same for a leader that a quorum follows. Elections that collide take longer than
/// [`ELECTION_ELECTIONS`], and so do those of nodes whose timeout is eight times as long because
/// replies came late before: seed 503287 took 12.
const ELECTION_ELECTIONS_MAX: u64 = 40;

/// How long nearly all of these elections take.
const ELECTION_ELECTIONS: u64 = 3;

/// How often the memory that a run takes is counted.
const HAPPENINGS_PER_CHECK: u64 = 256;

/// The work that the check of one key's history may take.
const CHECK_WORK_MAX: u64 = 8_000_000;

impl World {
    /// Shows a node to the rules.
    pub(super) fn observe(&mut self, id: NodeId) -> Result<(), Broken> {
        let node = &self.members[&id].node;
        let Some(process) = node.process() else {
            return Ok(());
        };
        let ledgers = self.members.iter();
        let ledgers = ledgers.map(|(id, member)| (*id, member.node.disk.ledger()));
        node.observe(&mut self.rules, ledgers)?;
        let status = &process.status;
        let dropped = &status.counters.dropped;
        // A node that left may not know it yet.
        let may_be_stranger = self.options.change_mean > 0;
        let strangers = u64::from(!may_be_stranger) * dropped.stranger;
        let dropped = dropped.malformed + strangers;
        demand(dropped == 0, || {
            format!("nodes must understand each other: node {id} dropped {dropped} messages")
        })?;
        let role = (status.role, status.ballot.term());
        let hands_over_stalled = status.is_disk_stalled && status.handover.is_some();
        let is_voter = status.membership.is_voter(id);
        if awaits_own_commit(status) {
            self.count_figure_8(id);
        }
        self.count_members(id);
        let member = self.member(id);
        let stalled = mem::replace(&mut member.hands_over_stalled, hands_over_stalled);
        let before = mem::replace(&mut member.role, role);
        if before != role {
            let has_led = before.0 == RoleName::Leader;
            let deposed = has_led && before.1 < role.1;
            self.rare.leaders_deposed += u64::from(deposed);
            self.rare.stalled_handovers += u64::from(deposed && stalled);
            let removed = has_led && before.1 == role.1 && !is_voter;
            self.rare.leaders_removed += u64::from(removed);
            self.note(Event::Became(id, role.0, role.1));
        }
        Ok(())
    }

    /// Whether a leader without a commit of its own term holds an older entry that a quorum has
    /// stored.
    fn count_figure_8(&mut self, id: NodeId) {
        let process = self.process(id).expect("it leads");
        let status = &process.status;
        let is_open = |entry: &EntryId| {
            entry.index > status.commit.index && entry.term < status.ballot.term()
        };
        let mut open = process.replica.log().map(|entry| entry.id).filter(is_open);
        let on_quorum = |entry: &EntryId| {
            status.membership.is_quorum(|node| {
                let member = self.members.get(&node);
                member.is_some_and(|member| member.node.disk.ledger().holds(*entry))
            })
        };
        let found = open.rfind(|entry| on_quorum(entry));
        drop(open);
        if let Some(entry) = found {
            self.rare.figure_8 += u64::from(self.figure_8.insert(entry));
        }
    }

    /// Demands that a run neither goes on for ever nor takes ever more memory.
    pub(super) fn check_bounds(&mut self) -> Result<(), Broken> {
        self.happenings += 1;
        let max = self.options.happenings_max;
        demand(self.happenings <= max, || {
            format!("a run must end: {max} things have happened")
        })?;
        if !self.happenings.is_multiple_of(HAPPENINGS_PER_CHECK) {
            return Ok(());
        }
        let members = self.members.values();
        let bytes: u64 = members.map(Member::bytes).sum::<u64>() + self.agenda.bytes();
        self.rare.most_bytes = self.rare.most_bytes.max(bytes);
        let max = self.options.bytes_max;
        demand(bytes <= max, || {
            format!(
                "a run must fit into memory: disks, logs and messages take {bytes} bytes of {max}"
            )
        })
    }

    /// Demands a leader in time, after faults have ceased or all nodes were started.
    pub(super) fn elect(&mut self) -> Result<(), Broken> {
        let took = self.expect_within(ELECTION_ELECTIONS_MAX, "elect a leader", Self::is_led)?;
        self.rare.elections_at_last += 1;
        self.rare.elections_late += u64::from(took > ELECTION_ELECTIONS);
        self.rare.slowest_election = self.rare.slowest_election.max(took);
        Ok(())
    }

    /// Whether a quorum follows a leader.
    fn is_led(&self) -> bool {
        self.leaders().iter().any(|(leader, _)| {
            let follows = |node| {
                let process = self.process(node);
                process.is_some_and(|process| process.status.leader == Some(*leader))
            };
            self.membership().is_quorum(follows)
        })
    }

    /// Demands that a node does not lead for long while its disk stores nothing.
    pub(super) fn check_disk(&mut self, id: NodeId) -> Result<(), Broken> {
        let member = self.members.get_mut(&id).expect("the node exists");
        if !member.node.waits_for_disk() {
            member.disk.idle_ticks = 0;
            return Ok(());
        }
        member.disk.idle_ticks += 1;
        let idle = member.disk.idle_ticks;
        let process = self.process(id);
        let leads = process.is_some_and(|process| process.status.role == RoleName::Leader);
        // It has as long to hand over.
        demand(!leads || idle <= 2 * self.options.longest_election, || {
            format!(
                "a leader must step down if its disk stores nothing: node {id} leads after {idle} ticks"
            )
        })
    }

    /// Demands that a leader asks a node to campaign only if the last entry is on that node's disk.
    pub(super) fn check_timeout_now(&self, envelope: &Envelope<Store>) -> Result<(), Broken> {
        let Message::TimeoutNow(TimeoutNow { last, .. }) = envelope.message else {
            return Ok(());
        };
        let target = &self.members[&envelope.to];
        let forgets = target.disk.loss.is_some() || self.options.amnesia > 0;
        let stored = target.node.disk.ledger().last();
        demand(forgets || stored >= last, || {
            format!(
                "the target of a transfer must have the last entry on disk: node {} asks node {}, whose disk ends at {stored} before {last}",
                envelope.from, envelope.to
            )
        })
    }

    /// Demands that a condition becomes true in time.
    pub(super) fn expect(
        &mut self,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Broken> {
        let bound = RECOVERY_ELECTIONS_MAX * self.options.slowness_of_snapshots();
        let took = self.expect_within(bound, what, done)?;
        self.rare.slowest_recovery = self.rare.slowest_recovery.max(took);
        Ok(())
    }

    /// Demands that a condition becomes true within this many longest election timeouts. Returns how
    /// many it took.
    fn expect_within(
        &mut self,
        bound: u64,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) -> Result<u64, Broken> {
        let start = self.agenda.now;
        let end = start + bound * self.longest_election();
        let in_time = self.run_until(end, done)?;
        demand(in_time, || {
            format!(
                "without faults a quorum must {what} within {bound} times the longest election timeout"
            )
        })?;
        Ok((self.agenda.now - start).div_ceil(self.longest_election()))
    }

    /// The members that are neither gone nor cut off for good.
    pub(super) fn live(&self) -> Vec<NodeId> {
        let membership = self.membership();
        let is_live = |(id, member): &(&NodeId, &Member)| {
            !member.is_gone && !self.network.exiled.contains(id) && membership.contains(**id)
        };
        let live = self.members.iter().filter(is_live);
        live.map(|(id, _)| *id).collect()
    }

    /// The present leaders and their terms.
    pub(super) fn leaders(&self) -> Vec<(NodeId, Term)> {
        let reachable = self.members.iter();
        let reachable = reachable.filter(|(id, _)| !self.network.exiled.contains(id));
        let leading = reachable.filter_map(|(id, member)| {
            let status = &member.node.process()?.status;
            (status.role == RoleName::Leader).then(|| (*id, status.ballot.term()))
        });
        leading.collect()
    }

    /// Whether all nodes know the one leader and have committed the same, and no request is open.
    pub(super) fn agrees(&self) -> bool {
        let [(leader, _)] = self.leaders()[..] else {
            return false;
        };
        let committed = self.rules.committed();
        let membership = self.membership();
        !membership.is_joint()
            && membership.is_voter(leader)
            && (self.clients).is_idle_but_for(&self.network.exiled, |id| self.members[&id].is_gone)
            && self.live().into_iter().all(|id| {
                self.process(id).is_some_and(|process| {
                    let status = &process.status;
                    status.leader == Some(leader)
                        && status.commit.index == committed
                        && status.last.index == committed
                })
            })
    }

    /// Checks everything once more at the end of the run.
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        for (id, member) in &self.members {
            let Some(process) = member.node.process() else {
                continue;
            };
            let log: Vec<_> = process.replica.log().cloned().collect();
            self.rules.holds(*id, process.status.base, &log)?;
            self.rare.add_process(&process.status);
        }
        for entry in &self.figure_8 {
            let overwritten = !self.rules.has_committed(*entry);
            self.rare.figure_8_overwritten += u64::from(overwritten);
        }
        if self.options.is_calm() {
            let all_served = self.rare.refused + self.rare.unknown == 0;
            demand(all_served, || {
                "without faults every request must be served".into()
            })?;
            self.rare.calm_runs += 1;
        }
        let limits = Limits {
            per_key: CHECK_WORK_MAX,
            ..Limits::default()
        };
        let operations = self.clients.history.operations();
        self.rare.operations += operations.len() as u64;
        self.rare.retries += self.clients.retries;
        let sightings = self.rules.sightings;
        self.rare.commands_repeated += sightings.repeated;
        self.rare.commands_forgotten += sightings.forgotten;
        match linearizability::check(operations, limits).verdict {
            Verdict::Valid => Ok(()),
            Verdict::Unknown(_) => Err(Broken(
                "the clients' history must be small enough for the checker".into(),
            )),
            Verdict::Invalid(contradictions) => Err(Broken(format!(
                "the clients' history must be linearizable:\n{}",
                contradictions[0]
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::member::Loss;
    use crate::sim::options::Options;
    use crate::sim::processes::End;
    use crate::sim::trace::Tape;

    fn world(nodes: u64) -> World {
        let options = Options {
            nodes,
            ..Options::CALM
        };
        World::new(1, options, Tape::new(0)).expect("a valid world")
    }

    #[track_caller]
    fn assert_broken(result: Result<(), Broken>, rule: &str) {
        let Broken(said) = result.expect_err("a broken rule");
        assert!(said.starts_with(rule), "{said}");
    }

    #[test]
    fn cluster_without_a_leader_is_rejected() {
        let mut world = world(3);
        assert_broken(
            world.elect(),
            "without faults a quorum must elect a leader within 40",
        );
        for id in world.ids() {
            world.start(id).expect("an empty disk");
        }
        assert_eq!(world.elect(), Ok(()));
        assert_eq!(
            (world.rare.elections_at_last, world.rare.elections_late),
            (1, 0)
        );
    }

    /// The clock of a lone leader stands still, so that it cannot notice its disk.
    #[test]
    fn leader_whose_disk_hangs_is_rejected() {
        let mut world = world(1);
        let id = NodeId(1);
        world.member(id).disk.hangs = true;
        world.start(id).expect("an empty disk");
        for _ in 0..2 * world.options.longest_election {
            assert_eq!(world.check_disk(id), Ok(()));
        }
        assert_broken(
            world.check_disk(id),
            "a leader must step down if its disk stores nothing",
        );
    }

    #[test]
    fn node_without_its_disk_stays_away_while_it_may_do_harm() {
        let mut world = world(3);
        for id in world.ids() {
            world.start(id).expect("an empty disk");
        }
        assert_eq!(world.elect(), Ok(()));
        let end = world.agenda.now + world.longest_election();
        world.run_until(end, |_| false).expect("nothing breaks");
        let (leader, term) = world.leaders()[0];
        let lost = world
            .ids()
            .into_iter()
            .find(|id| *id != leader)
            .expect("three");
        world.die(lost, End::Machine).expect("it dies");
        let mut try_return = |promised| {
            world.member(lost).disk.loss = Some(Loss::Away(promised));
            world.try_return(lost).expect("nothing breaks");
            world.members[&lost].is_away()
        };
        assert!(try_return(term), "no later leader has committed");
        assert!(!try_return(Term(0)));
    }
}
