//! Changes of the members, under all other faults.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use raft_core::{Input, Membership, NodeId, Response, RoleName};

use super::agenda::Happening;
use super::clients::Kind;
use super::machine::Store;
use super::trace::Event;
use super::world::{Phase, World};
use crate::rules::{Broken, Rules};

/// The most changes of a run.
const CHANGES_MAX: u64 = 40;

/// What a node knew of the members when it was last observed.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    membership: Arc<Membership>,
    truncated: u64,
    installed: u64,
    /// Whether it leads though its removal is committed.
    leads_removed: bool,
}

impl World {
    /// The members, as the present leader knows them; without one, as the node knows them whose log
    /// would win an election.
    pub(super) fn membership(&self) -> Arc<Membership> {
        let processes = self.members.values().filter_map(|m| m.node.process());
        let statuses = processes.map(|process| &process.status);
        let known = statuses.max_by_key(|status| {
            let leads = status.role == RoleName::Leader;
            (leads.then(|| status.ballot.term()), status.last)
        });
        known.map_or_else(Arc::default, |status| status.membership.clone())
    }

    /// A client wants other members. Mostly it asks the leader.
    pub(super) fn change(&mut self) -> Result<(), Broken> {
        if self.phase != Phase::Chaos || self.rare.changes == CHANGES_MAX {
            return Ok(());
        }
        self.recur(self.options.change_mean, Happening::Change);
        let id = self.draw_leader(7, 8);
        let Some(process) = self.process(id) else {
            return Ok(());
        };
        let membership = process.status.membership.clone();
        let next = membership.next().0;
        // One more than there are: an address that leads to no node.
        let left = (self.members.len() as u64 + 2).saturating_sub(next);
        let added = self.rng.below(3).min(left);
        let add: Vec<Arc<str>> = (next..next + added)
            .map(|id| format!("n{id}").into())
            .collect();
        let mut members: Vec<NodeId> = membership.members().keys().copied().collect();
        self.rng.shuffle(&mut members);
        // Otherwise a leader is seldom removed.
        if self.rng.chance(1, 4) {
            members.sort_by_key(|member| *member != id);
        }
        let removed = self.rng.below(3) as usize;
        let remove: BTreeSet<NodeId> = members.into_iter().take(removed).collect();
        let ticket = self.clients.ask_for(Kind::Change, id);
        self.rare.changes += 1;
        self.note(Event::Changes(id, ticket, add.clone(), remove.clone()));
        self.step(
            id,
            Input::ChangeMembers {
                ticket,
                add,
                remove,
            },
        )
    }

    /// A node answers a change.
    pub(super) fn changed(&mut self, id: NodeId, answer: &Response<Store>) -> Result<(), Broken> {
        let is_done = matches!(answer, Response::MembersChanged);
        self.rare.changes_done += u64::from(is_done);
        let process = self.process(id).expect("it answers");
        Rules::change_answered(id, answer, &process.replica)
    }

    /// Counts what has become of the members that a node knows.
    pub(super) fn count_members(&mut self, id: NodeId) {
        let Some(process) = self.process(id) else {
            return;
        };
        let status = &process.status;
        let leads = status.role == RoleName::Leader;
        let committed = process.replica.membership_at(status.commit.index);
        let now = Known {
            membership: status.membership.clone(),
            truncated: status.counters.entries_truncated,
            installed: status.counters.snapshots_installed,
            leads_removed: leads && !status.membership.is_voter(id) && !committed.is_voter(id),
        };
        let before = mem::replace(&mut self.member(id).known, now.clone());
        self.rare.own_removals += u64::from(now.leads_removed && !before.leads_removed);
        if leads && now.membership.is_joint() && !before.membership.is_joint() {
            self.endanger(id, self.options.latency_mean);
        }
        if before.membership != now.membership {
            let knew_some = !before.membership.members().is_empty();
            self.rare.members_truncated += u64::from(knew_some && now.truncated > before.truncated);
            self.rare.members_installed += u64::from(now.installed > before.installed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::options::Options;
    use crate::sim::trace::Tape;

    #[test]
    fn wrong_answer_to_a_change_is_rejected() {
        let mut world = World::new(1, Options::CALM, Tape::new(0)).expect("a valid world");
        for id in world.ids() {
            world.start(id).expect("an empty disk");
        }
        assert_eq!(world.elect(), Ok(()));
        let own = |world: &World| {
            let (leader, term) = world.leaders()[0];
            world.process(leader).expect("it leads").status.commit.term == term
        };
        assert_eq!(world.expect("commit", own), Ok(()));
        let (leader, _) = world.leaders()[0];
        let others = world.ids().into_iter().filter(|id| *id != leader);
        let ticket = world.clients.ask_for(Kind::Change, leader);
        let input = Input::ChangeMembers {
            ticket,
            add: Vec::new(),
            remove: others.take(1).collect(),
        };
        world.step(leader, input).expect("nothing breaks");
        let is_joint = |world: &World| {
            let process = world.process(leader).expect("it leads");
            let commit = process.status.commit.index;
            process.replica.membership_at(commit).is_joint()
        };
        assert_eq!(
            world.expect("commit the joint membership", is_joint),
            Ok(())
        );
        let mut rule = |answer| world.changed(leader, &answer).expect_err("a broken rule").0;
        let early = rule(Response::MembersChanged);
        assert!(
            early.starts_with("a change must end with a committed"),
            "{early}"
        );
        let other = rule(Response::Transferred);
        assert!(
            other.starts_with("a change must be answered as one"),
            "{other}"
        );
    }
}
