//! The world of one run, and its main loop: it does what is next on the [`Agenda`].
//!
//! The other files that extend [`World`] each have a subject: `processes` (a node's process starts,
//! steps and dies), `storing` (what takes a disk's time), `traffic` (messages and requests),
//! `faults`, `lasting` (faults that do not heal), `checks` (what must hold), `ending` (recovery
//! without faults).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use raft_core::{EntryId, Incarnation, Input, Membership, NodeId};
use rand::Rng;

use super::agenda::{Agenda, Happening};
use super::clients::Clients;
use super::machine::Store;
use super::member::Member;
use super::network::Network;
use super::options::{Options, TICK};
use super::rare_events::RareEvents;
use super::storage::FaultyStorage;
use super::trace::{Event, Tape};
use crate::replica::node::{Node, Process, Setting};
use crate::rules::{Broken, Rules, demand};

/// How long a cluster without faults must keep its leader, in longest election timeouts.
const STABLE_ELECTIONS: u64 = 5;

pub(super) struct World {
    pub(super) options: Options,
    pub(super) rng: Rng,
    pub(super) agenda: Agenda,
    pub(super) members: BTreeMap<NodeId, Member>,
    pub(super) network: Network,
    pub(super) phase: Phase,
    pub(super) clients: Clients,
    pub(super) rules: Rules<Store>,
    /// Entries of older terms that a quorum had stored before their leader committed an entry of
    /// its own term.
    pub(super) figure_8: BTreeSet<EntryId>,
    /// When a node last served a write.
    pub(super) write_served: u64,
    /// When a node last served a read.
    pub(super) read_served: u64,
    pub(super) trace: Tape,
    pub(super) rare: RareEvents,
    /// How many processes were started.
    pub(super) incarnations: u64,
    /// How many things have happened.
    pub(super) happenings: u64,
}

/// The phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Faults are injected.
    Chaos,
    /// What is broken stays broken, and a connected quorum must serve.
    Lasting,
    /// Nothing fails any more.
    Healed,
}

impl World {
    pub(super) fn new(seed: u64, options: Options, trace: Tape) -> Result<Self, Broken> {
        // The options are drawn from the seed itself.
        let mut rng = Rng::seeded(seed).fork();
        let config = options.config().map_err(Broken)?;
        let setting = |membership| {
            let config = config.clone();
            Arc::new(Setting { membership, config })
        };
        let first = setting(Membership::of((1..=options.nodes).map(NodeId)));
        let waiting = setting(Membership::default());
        let nodes = options.nodes + options.joiners;
        let member = |id| {
            let disk = FaultyStorage::new(id, nodes, options.segment_bytes, rng.next_u64());
            disk.disk.set_capacity(options.room());
            let drift = options.drift_permille;
            let tick = TICK * rng.range(1000 - drift..=1000 + drift) / 1000;
            let is_first = id.0 <= options.nodes;
            let setting = if is_first { &first } else { &waiting };
            let node = Node::new(id, setting.clone(), disk);
            (id, Member::new(node, tick))
        };
        Ok(Self {
            members: (1..=nodes).map(NodeId).map(member).collect(),
            clients: Clients::new(&options, rng.fork()),
            phase: Phase::Chaos,
            options,
            rng,
            agenda: Agenda::default(),
            network: Network::default(),
            rules: Rules::default(),
            figure_8: BTreeSet::new(),
            write_served: 0,
            read_served: 0,
            trace,
            rare: RareEvents::default(),
            incarnations: 0,
            happenings: 0,
        })
    }

    /// Demands safety under faults, and then progress of a quorum without faults.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        for id in self.ids() {
            self.start(id)?;
        }
        for client in 0..self.options.clients as usize {
            self.think(client);
        }
        self.recur(self.options.load_mean, Happening::Load);
        self.recur(self.options.transfer_mean, Happening::Transfer);
        self.recur(self.options.change_mean, Happening::Change);
        self.schedule_fault();
        let end = self.options.chaos;
        self.run_until(end, |_| false)?;

        self.cease()?;
        self.endure()?;
        self.heal();
        self.elect()?;
        self.expect("recover", Self::agrees)?;
        self.serve_all()?;
        let leaders = self.leaders();
        let stable = self.agenda.now + STABLE_ELECTIONS * self.longest_election();
        self.run_until(stable, |_| false)?;
        let is_patient = self.options.is_patient();
        demand(!is_patient || self.leaders() == leaders, || {
            "a cluster without faults must keep its leader".into()
        })?;
        if self.rng.chance(1, 4) {
            // Progress must not depend on anything in memory.
            self.restart_all()?;
            self.elect()?;
            self.expect("recover from a power failure", Self::agrees)?;
            self.serve_all()?;
        }
        self.finish()
    }

    /// Runs until this time or until `done`. Returns whether it was done.
    pub(super) fn run_until(
        &mut self,
        end: u64,
        done: impl Fn(&Self) -> bool,
    ) -> Result<bool, Broken> {
        while !done(self) {
            self.check_bounds()?;
            match self.agenda.next_before(end) {
                Some(happening) => self.meet(happening)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Lets something happen now, or later if its process is paused.
    fn meet(&mut self, happening: Happening) -> Result<(), Broken> {
        let node = happening.node();
        match node.and_then(|id| self.members.get_mut(&id)) {
            Some(member) if member.is_paused() => {
                member.waiting.push(happening);
                Ok(())
            }
            Some(_) | None => self.happen(happening),
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Tick(id, process) if self.is_running(id, process) => self.tick(id, process),
            Happening::Sync(id, process) if self.is_running(id, process) => self.sync(id),
            Happening::Receipt(id, process, synced) if self.is_running(id, process) => {
                self.member(id).disk.idle_ticks = 0;
                self.step(id, Input::Synced(synced))
            }
            Happening::Work(id, process) if self.is_running(id, process) => self.work(id, process),
            // They belong to an earlier process.
            Happening::Tick(..)
            | Happening::Sync(..)
            | Happening::Receipt(..)
            | Happening::Work(..) => Ok(()),
            Happening::Deliver(letter) => self.deliver(&letter),
            Happening::Ask(id, request) => self.ask(id, request),
            Happening::Invoke(client) => self.invoke(client),
            Happening::Load => self.load(),
            Happening::Change => self.change(),
            Happening::GiveUp(ticket) => {
                if let Some(client) = self.clients.give_up(ticket, self.agenda.now)? {
                    self.think(client);
                }
                Ok(())
            }
            // They belong to faults that have ceased.
            Happening::Fault
            | Happening::HealLinks
            | Happening::Die(_)
            | Happening::Return(_)
            | Happening::Transfer
                if self.phase != Phase::Chaos =>
            {
                Ok(())
            }
            Happening::Transfer => self.ask_for_transfer(),
            Happening::Fault => {
                self.schedule_fault();
                self.inject_fault()
            }
            Happening::HealLinks => {
                self.network.heal();
                self.note(Event::Healed);
                Ok(())
            }
            Happening::Die(id) => {
                let length = self.rng.exponential(self.options.fault_length_mean);
                let end = self.draw_end();
                self.restart(id, end, length)
            }
            Happening::Start(id) => self.start(id),
            Happening::Return(id) => self.try_return(id),
            Happening::Resume(id) => {
                let until = self.member(id).paused_until;
                if until.is_some_and(|until| until <= self.agenda.now) {
                    self.resume(id);
                }
                Ok(())
            }
            Happening::MakeRoom(id) => {
                self.make_room(id);
                Ok(())
            }
        }
    }

    /// Schedules something after a time with this mean.
    pub(super) fn schedule_about(&mut self, mean: u64, happening: Happening) {
        let delay = self.rng.exponential(mean);
        self.agenda.schedule(delay, happening);
    }

    /// Schedules the next of what recurs with this mean time in between; 0: none.
    pub(super) fn recur(&mut self, mean: u64, happening: Happening) {
        if mean > 0 {
            self.schedule_about(mean, happening);
        }
    }

    pub(super) fn longest_election(&self) -> u64 {
        self.options.longest_election * TICK
    }

    pub(super) fn note(&self, event: Event) {
        self.trace.note(self.agenda.now, event);
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    pub(super) fn member(&mut self, id: NodeId) -> &mut Member {
        self.members.get_mut(&id).expect("the node exists")
    }

    pub(super) fn process(&self, id: NodeId) -> Option<&Process<Store>> {
        self.members.get(&id)?.node.process()
    }

    pub(super) fn is_running(&self, id: NodeId, incarnation: Incarnation) -> bool {
        let process = self.process(id);
        process.is_some_and(|process| process.incarnation == incarnation)
    }
}
