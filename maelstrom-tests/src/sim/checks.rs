//! What must hold of a run: after each step, and at its end.

use raft_core::{EntryId, NodeId, RoleName, Term};

use super::member::Member;
use super::rare_events::awaits_own_commit;
use super::trace::Event;
use super::world::World;
use crate::linearizability::{self, Limits, Verdict};
use crate::replica::node::{Disk as _, demand};
use crate::rules::Broken;

/// How long a cluster without faults may take to elect a known leader and to agree, in longest
/// election timeouts. A node may start with a timeout that has backed off to eight times the
/// longest, and where every remaining node must vote, pre-votes that cross each other may fail a
/// dozen times. Of 100,000 runs two took more than 30.
const RECOVERY_ELECTIONS_MAX: u64 = 60;

/// The work that the check of one key's history may take.
const CHECK_WORK_MAX: u64 = 8_000_000;

impl World {
    /// Shows a node to the rules.
    pub(super) fn observe(&mut self, id: NodeId) -> Result<(), Broken> {
        let node = &self.members[&id].node;
        let Some(process) = node.process() else {
            return Ok(());
        };
        let ledgers = self
            .members
            .values()
            .map(|member| member.node.disk.ledger());
        node.observe(&mut self.checks.rules, ledgers)?;
        let status = &process.status;
        let dropped = status.counters.dropped.malformed + status.counters.dropped.stranger;
        demand(dropped == 0, || {
            format!("nodes must understand each other: node {id} dropped {dropped} messages")
        })?;
        let role = (status.role, status.ballot.term());
        if awaits_own_commit(status) {
            self.count_figure_8(id);
        }
        let member = self.member(id);
        if member.role != role {
            let deposed = member.role.0 == RoleName::Leader && member.role.1 < role.1;
            member.role = role;
            self.rare.leaders_deposed += u64::from(deposed);
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
        let ledgers = self
            .members
            .values()
            .map(|member| member.node.disk.ledger());
        let on_quorum = |entry: &EntryId| {
            let stored = ledgers.clone().filter(|ledger| ledger.holds(*entry));
            stored.count() > self.members.len() / 2
        };
        let found = open.rfind(|entry| on_quorum(entry));
        drop(open);
        if let Some(entry) = found {
            self.rare.figure_8 += u64::from(self.checks.figure_8.insert(entry));
        }
    }

    /// Demands that a condition becomes true in time.
    pub(super) fn expect(
        &mut self,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Broken> {
        let start = self.agenda.now;
        let end = start + RECOVERY_ELECTIONS_MAX * self.longest_election();
        let in_time = self.run_until(end, done)?;
        demand(in_time, || {
            format!(
                "without faults a quorum must {what} within {RECOVERY_ELECTIONS_MAX} times the longest election timeout"
            )
        })?;
        let took = (self.agenda.now - start).div_ceil(self.longest_election());
        self.rare.slowest_recovery = self.rare.slowest_recovery.max(took);
        Ok(())
    }

    /// The nodes that are neither gone nor cut off for good.
    pub(super) fn live(&self) -> Vec<NodeId> {
        let is_live = |(id, member): &(&NodeId, &Member)| {
            !member.is_gone && !self.network.exiled.contains(id)
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
        let committed = self.checks.rules.committed();
        self.clients.is_idle_but_for(&self.network.exiled)
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
            self.checks.rules.holds(*id, process.status.base, &log)?;
            self.rare.add_process(&process.status);
        }
        for entry in &self.checks.figure_8 {
            let overwritten = !self.checks.rules.has_committed(*entry);
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
        let operations = self.clients.history().operations();
        self.rare.operations += operations.len() as u64;
        self.rare.retries += self.clients.retries;
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
