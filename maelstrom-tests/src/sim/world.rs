//! A run: a queue of things that will happen, each at a time that was drawn, and so one seed is one
//! run.
//!
//! After every step the node's own invariants and the cluster's ([`crate::rules`]) are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use raft::storage::{self, ErrorKind};
use raft_core::{EntryId, Incarnation, Input, Membership, NodeId, RoleName, Synced, Term, Ticket};
use rand::Rng;

use super::clients::{Clients, Request};
use super::machine::Store;
use super::network::{Letter, Network};
use super::options::{Fault, Options, TICK};
use super::sightings::{Sightings, awaits_own_commit};
use super::storage::FaultyStorage;
use super::trace::{Event, Tape, Words};
use crate::replica::faulty_disk::Tear;
use crate::replica::node::{Disk as _, Node, Process, Released, Setting, Stop, demand};
use crate::rules::{Broken, Rules};

/// How many longest election timeouts a cluster without faults may take to have a leader whom all
/// know and to agree on everything. An unlucky node starts with a timeout that has backed off to
/// eight times the longest; and where every node that is left must vote, pre-votes that cross each
/// other may fail a dozen times. Of a hundred thousand runs two took more than 30.
const RECOVERY_ELECTIONS_MAX: u64 = 60;

/// How long a cluster without faults must keep its leader, in longest election timeouts.
const STABLE_ELECTIONS: u64 = 5;

/// How long a process is away when there are no faults.
const HEALTHY_ABSENCE: u64 = 100;

/// How many calls of its disk a process makes at most before one fails that was planned to.
const CALLS_AHEAD_MAX: u64 = 40;

pub(super) struct World {
    pub(super) options: Options,
    pub(super) rng: Rng,
    pub(super) now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    /// Orders what happens at the same time.
    queued: u64,
    pub(super) members: BTreeMap<NodeId, Member>,
    pub(super) network: Network,
    faults: Vec<Fault>,
    /// Faults have ceased.
    pub(super) healed: bool,
    lives: u64,
    pub(super) clients: Clients,
    pub(super) rules: Rules<Store>,
    /// Entries of older terms that a quorum had stored before their leader committed anything of
    /// its own.
    pub(super) figure_8: BTreeSet<EntryId>,
    pub(super) trace: Tape,
    pub(super) sightings: Sightings,
}

/// A node and what the world has done to it.
pub(super) struct Member {
    pub(super) node: Node<Store, FaultyStorage>,
    /// How long its clock takes for a tick.
    tick: u64,
    /// While the process stands still: until when.
    pub(super) paused_until: Option<u64>,
    /// What it will find when it goes on.
    waiting: Vec<Happening>,
    /// A sync is under way.
    pub(super) syncing: bool,
    /// Until then none ends.
    pub(super) sync_hangs_until: u64,
    /// Until then each takes long.
    pub(super) disk_is_slow_until: u64,
    /// Until then its clock stands still.
    pub(super) clock_stops_until: u64,
    /// Something was stepped whose output was not taken.
    gathering: bool,
    /// Its disk is full, or a call of it will fail, so the process may stop.
    pub(super) disk_is_full: bool,
    pub(super) call_may_fail: bool,
    /// Its disk has flipped a bit, so it may refuse to start.
    pub(super) has_flipped: bool,
    /// It did.
    pub(super) is_gone: bool,
    /// What it was last seen doing.
    role: (RoleName, Term),
    /// How many bytes its log took then.
    pub(super) log_bytes: u64,
}

/// Something that will happen.
pub(super) enum Happening {
    Tick(NodeId, Incarnation),
    Deliver(Letter),
    Sync(NodeId, Incarnation),
    Receipt(NodeId, Incarnation, Synced),
    /// The work on a snapshot goes on.
    Work(NodeId, Incarnation),
    Ask(NodeId, Request),
    /// A client thinks of its next request.
    Invoke(usize),
    /// Somebody writes and does not wait.
    Load,
    /// A client gives up a request.
    GiveUp(Ticket),
    Fault,
    /// A fault of the network ends.
    HealLinks,
    /// A process dies in the middle of something.
    Die(NodeId),
    Start(NodeId),
    Resume(NodeId),
    /// A disk has room again.
    MakeRoom(NodeId),
}

impl Happening {
    /// To whose process it happens.
    fn node(&self) -> Option<NodeId> {
        match self {
            Self::Tick(node, _)
            | Self::Sync(node, _)
            | Self::Receipt(node, ..)
            | Self::Work(node, _)
            | Self::Ask(node, _) => Some(*node),
            Self::Deliver(letter) => Some(letter.envelope.to),
            Self::Invoke(_)
            | Self::Load
            | Self::GiveUp(_)
            | Self::Fault
            | Self::HealLinks
            | Self::Die(_)
            | Self::Start(_)
            | Self::Resume(_)
            | Self::MakeRoom(_) => None,
        }
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is killed, or stops by itself. Its machine goes on: what was written is there, synced or
    /// not.
    Process,
    /// Its machine loses power, and of what was not synced anything may be lost.
    Machine,
}

impl Member {
    /// Whether nothing can happen to the process at present: it was stopped or, if that counts, it
    /// syncs.
    pub(super) fn stands_still(&self, sync_blocks: bool) -> bool {
        self.paused_until.is_some() || sync_blocks && self.syncing
    }
}

impl World {
    pub(super) fn new(seed: u64, options: Options, trace: Tape) -> Result<Self, Broken> {
        // The options are drawn from the seed itself.
        let mut rng = Rng::seeded(seed).fork();
        let membership = Membership::of((1..=options.nodes).map(NodeId));
        let setting = Arc::new(Setting {
            membership: membership.clone(),
            config: options.config().map_err(Broken)?,
        });
        let storage = storage::Options {
            segment_bytes: options.segment_bytes,
        };
        let member = |id| {
            let drift = options.drift_permille;
            let disk = FaultyStorage::new(id, membership.clone(), storage, rng.next_u64());
            let member = Member {
                node: Node::new(id, setting.clone(), disk),
                tick: TICK * rng.range(1000 - drift..=1000 + drift) / 1000,
                paused_until: None,
                waiting: Vec::new(),
                syncing: false,
                sync_hangs_until: 0,
                disk_is_slow_until: 0,
                clock_stops_until: 0,
                gathering: false,
                disk_is_full: false,
                call_may_fail: false,
                has_flipped: false,
                is_gone: false,
                role: (RoleName::Follower, Term(0)),
                log_bytes: 0,
            };
            (id, member)
        };
        Ok(Self {
            members: membership.voters().map(member).collect(),
            clients: Clients::new(&options, rng.fork()),
            faults: options.faults(),
            options,
            rng,
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            network: Network::default(),
            healed: false,
            lives: 0,
            rules: Rules::default(),
            figure_8: BTreeSet::new(),
            trace,
            sightings: Sightings::default(),
        })
    }

    /// Safety under faults, then a quorum without any, of which progress is demanded.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        for id in self.ids() {
            self.start(id)?;
        }
        for client in 0..self.options.clients as usize {
            self.think(client);
        }
        self.schedule_load();
        self.schedule_fault();
        let end = self.options.chaos;
        self.run_until(end, |_| false)?;

        self.heal()?;
        self.expect("recover", Self::agrees)?;
        self.serve_all()?;
        let leaders = self.leaders();
        let stable = self.now + STABLE_ELECTIONS * self.longest_election();
        self.run_until(stable, |_| false)?;
        let is_patient = self.options.is_patient();
        demand(!is_patient || self.leaders() == leaders, || {
            "a healthy cluster keeps its leader".into()
        })?;
        if self.rng.chance(1, 4) {
            // Nothing of all this may depend on what is in memory.
            for id in self.live() {
                self.die(id, End::Machine)?;
            }
            for id in self.live() {
                self.start(id)?;
            }
            self.expect("recover from a power failure", Self::agrees)?;
            self.serve_all()?;
        }
        self.finish()
    }

    /// Lets things happen until it is so late, or what is waited for has come. Tells which.
    fn run_until(&mut self, end: u64, done: impl Fn(&Self) -> bool) -> Result<bool, Broken> {
        while !done(self) {
            match self.queue.first_entry() {
                Some(first) if first.key().0 < end => {
                    let ((time, _), happening) = first.remove_entry();
                    self.now = time;
                    self.meet(happening)?;
                }
                Some(_) | None => {
                    self.now = end;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Lets something happen, unless it happens to a process that stands still.
    fn meet(&mut self, happening: Happening) -> Result<(), Broken> {
        let blocks = self.options.sync_blocks > 0;
        let ends_sync = matches!(happening, Happening::Sync(..));
        match happening.node().and_then(|id| self.members.get_mut(&id)) {
            Some(member) if member.stands_still(blocks && !ends_sync) => {
                member.waiting.push(happening);
                Ok(())
            }
            Some(_) | None => self.happen(happening),
        }
    }

    /// Demands that something comes about in time.
    pub(super) fn expect(
        &mut self,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Broken> {
        let start = self.now;
        let end = self.now + RECOVERY_ELECTIONS_MAX * self.longest_election();
        let in_time = self.run_until(end, done)?;
        demand(in_time, || {
            format!(
                "without faults a quorum must {what} within {RECOVERY_ELECTIONS_MAX} longest election timeouts"
            )
        })?;
        let took = (self.now - start).div_ceil(self.longest_election());
        self.sightings.slowest_recovery = self.sightings.slowest_recovery.max(took);
        Ok(())
    }

    fn longest_election(&self) -> u64 {
        self.options.longest_election * TICK
    }

    pub(super) fn schedule(&mut self, delay: u64, happening: Happening) {
        self.queued += 1;
        self.queue
            .insert((self.now + delay, self.queued), happening);
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Tick(id, life) if self.lives_still(id, life) => self.tick(id, life),
            Happening::Sync(id, life) if self.lives_still(id, life) => self.sync(id),
            Happening::Receipt(id, life, synced) if self.lives_still(id, life) => {
                self.step(id, Input::Synced(synced))
            }
            Happening::Work(id, life) if self.lives_still(id, life) => self.work(id, life),
            // That was a former life's.
            Happening::Tick(..)
            | Happening::Sync(..)
            | Happening::Receipt(..)
            | Happening::Work(..) => Ok(()),
            Happening::Deliver(letter) => self.deliver(&letter),
            Happening::Ask(id, request) => self.ask(id, request),
            Happening::Invoke(client) => self.invoke(client),
            Happening::Load => self.load(),
            Happening::GiveUp(ticket) => {
                if let Some(client) = self.clients.give_up(ticket, self.now)? {
                    self.think(client);
                }
                Ok(())
            }
            Happening::Fault => {
                self.schedule_fault();
                self.strike()
            }
            Happening::HealLinks => {
                self.network.heal();
                self.trace.note(self.now, Event::Healed);
                Ok(())
            }
            Happening::Die(id) => {
                if self.healed {
                    return Ok(());
                }
                let length = self.rng.exponential(self.options.fault_length_mean);
                let end = self.draw_end();
                self.restart(id, end, length)
            }
            Happening::Start(id) => self.start(id),
            Happening::Resume(id) => {
                let until = self.member(id).paused_until;
                if until.is_some_and(|until| until <= self.now) {
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

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    pub(super) fn member(&mut self, id: NodeId) -> &mut Member {
        self.members.get_mut(&id).expect("a node")
    }

    pub(super) fn life(&self, id: NodeId) -> Option<&Process<Store>> {
        self.members[&id].node.process()
    }

    pub(super) fn lives_still(&self, id: NodeId, life: Incarnation) -> bool {
        self.life(id).is_some_and(|now| now.incarnation == life)
    }

    pub(super) fn start(&mut self, id: NodeId) -> Result<(), Broken> {
        self.lives += 1;
        let life = Incarnation(self.lives);
        let seed = self.rng.next_u64();
        let is_alone = self.members.len() == 1;
        let member = self.member(id);
        if member.node.process().is_some() || member.is_gone {
            return Ok(());
        }
        if let Err(stop) = member.node.start(life, seed) {
            return self.stopped(id, stop);
        }
        let found = member.node.disk.found;
        if member.has_flipped {
            self.sightings.bit_flips_harmless += 1;
        }
        self.sightings.torn_tails += u64::from(found.torn > 0);
        self.sightings.unheard_found += u64::from(found.unacknowledged);
        self.sightings.bases_missing += u64::from(found.rebased);
        self.sightings.starts_from_snapshots += u64::from(found.snapshot.is_some());
        if is_alone {
            self.rules
                .lone_voter_died(id, self.members[&id].node.disk.ledger());
        }
        self.trace.note(self.now, Event::Started(id, life));
        if let Some(snapshot) = found.snapshot {
            let life = self.life(id).expect("it has just started");
            self.rules
                .snapshot(id, snapshot.last, life.replica.machine())?;
        }
        let delay = self.rng.range(1..=TICK);
        self.schedule(delay, Happening::Tick(id, life));
        self.collect(id)
    }

    /// A node could not do something.
    pub(super) fn stopped(&mut self, id: NodeId, stop: Stop<storage::Error>) -> Result<(), Broken> {
        let error = match stop {
            Stop::Broken(broken) => return Err(broken),
            Stop::Storage(error) => error,
        };
        let words = Words(error.to_string());
        self.trace.note(self.now, Event::Stopped(id, words));
        let member = self.member(id);
        if member.node.disk.disk.is_dead() {
            self.sightings.crashes_in_calls += 1;
            let end = self.draw_end();
            let after = self.fault_length();
            return self.restart(id, end, after);
        }
        if member.disk_is_full && error.kind() == ErrorKind::Full {
            self.sightings.stops_for_room += 1;
        } else if error.kind() == ErrorKind::Disk && mem::take(&mut member.call_may_fail) {
            self.sightings.stops_for_failed_calls += 1;
        } else if member.has_flipped
            && member.node.process().is_none()
            && matches!(
                error.kind(),
                ErrorKind::Damaged
                    | ErrorKind::Missing
                    | ErrorKind::Foreign
                    | ErrorKind::Newer
                    | ErrorKind::TooLarge
            )
        {
            member.is_gone = true;
            self.sightings.bit_flips_refused += 1;
            return self.die(id, End::Process);
        } else {
            return Err(Broken(format!(
                "storage works as long as its disk does: node {id} stops: {error}"
            )));
        }
        let after = self.fault_length();
        self.restart(id, End::Process, after)
    }

    pub(super) fn draw_end(&mut self) -> End {
        if self.rng.chance(1, 3) {
            End::Process
        } else {
            End::Machine
        }
    }

    fn fault_length(&mut self) -> u64 {
        if self.healed {
            HEALTHY_ABSENCE
        } else {
            self.rng.exponential(self.options.fault_length_mean)
        }
    }

    pub(super) fn restart(&mut self, id: NodeId, end: End, after: u64) -> Result<(), Broken> {
        self.die(id, end)?;
        self.schedule(after, Happening::Start(id));
        Ok(())
    }

    /// A process ends, if there is one; a machine may lose power even if none runs on it.
    pub(super) fn die(&mut self, id: NodeId, end: End) -> Result<(), Broken> {
        let (content, names) = match end {
            End::Process => (Tear::Everything, Tear::Everything),
            End::Machine => {
                let mut tear = || *self.rng.choose(&Tear::ALL).expect("a tear");
                (tear(), tear())
            }
        };
        if let Some(life) = self.members[&id].node.process() {
            let status = &life.status;
            self.sightings.crashes += 1;
            self.sightings.add_life(status);
            self.sightings.gatherings_interrupted += u64::from(status.gathered.is_some());
            self.sightings.captures_interrupted += u64::from(life.is_capturing());
            self.sightings.installs_interrupted +=
                u64::from(life.work().is_some() && !life.is_capturing());
        }
        let forgets = self.options.amnesia > 0 && end == End::Machine;
        let seed = self.rng.next_u64();
        let member = self.member(id);
        let was_running = member.node.process().is_some();
        let lost = member.node.crash();
        member.node.disk.restart(content, names);
        if forgets {
            member.node.disk.forget(seed);
        }
        member.paused_until = None;
        member.waiting.clear();
        member.syncing = false;
        member.gathering = false;
        // What was planned for the calls of this life is forgotten.
        member.call_may_fail = false;
        if was_running {
            self.sightings.outputs_lost += lost as u64;
            self.trace.note(self.now, Event::Died(id, lost));
        }
        for client in self.clients.node_died(id, self.now)? {
            self.think(client);
        }
        Ok(())
    }

    fn tick(&mut self, id: NodeId, life: Incarnation) -> Result<(), Broken> {
        let (now, healed) = (self.now, self.healed);
        let member = self.member(id);
        let period = if healed { TICK } else { member.tick };
        let stands_still = !healed && now < member.clock_stops_until;
        self.schedule(period, Happening::Tick(id, life));
        if stands_still {
            return Ok(());
        }
        self.ticks(id, 1)
    }

    /// A clock ticks so many times at once.
    pub(super) fn ticks(&mut self, id: NodeId, ticks: u64) -> Result<(), Broken> {
        for _ in 0..ticks {
            self.trace.note(self.now, Event::Ticked(id));
            self.member(id).node.step(Input::Tick)?;
            self.observe(id)?;
        }
        self.collect(id)
    }

    /// Something happens to a node, and then its output is taken, or more happens to it before.
    pub(super) fn step(&mut self, id: NodeId, input: Input<Store>) -> Result<(), Broken> {
        self.member(id).node.step(input)?;
        if self.rng.chance(self.options.gathered_permille, 1000) {
            self.member(id).gathering = true;
            self.observe(id)
        } else {
            self.collect(id)
        }
    }

    fn collect(&mut self, id: NodeId) -> Result<(), Broken> {
        let member = self.member(id);
        let gathered = mem::take(&mut member.gathering);
        let released = member.node.release();
        self.sightings.outputs_gathered += u64::from(gathered);
        let Released {
            messages,
            replies,
            begins_work,
        } = match released {
            Ok(released) => released,
            Err(stop) => return self.stopped(id, stop),
        };
        self.observe(id)?;
        if begins_work {
            self.begin_work(id)?;
        }
        for envelope in messages {
            self.send(envelope)?;
        }
        for reply in replies {
            let event = Event::Answered(id, reply.ticket, reply.response.clone());
            self.trace.note(self.now, event);
            self.sightings.add_response(&reply.response);
            let (command, client) = self.clients.answered(id, &reply, self.now)?;
            if let Some(command) = command {
                self.rules.answered(command, &reply.response)?;
            }
            if let Some(client) = client {
                self.think(client);
            }
        }
        self.schedule_sync(id);
        Ok(())
    }

    pub(super) fn observe(&mut self, id: NodeId) -> Result<(), Broken> {
        let Some(life) = self.members[&id].node.process() else {
            return Ok(());
        };
        let ledgers = self
            .members
            .values()
            .map(|member| member.node.disk.ledger());
        self.members[&id].node.observe(&mut self.rules, ledgers)?;
        let status = &life.status;
        let nonsense = status.counters.dropped.malformed + status.counters.dropped.stranger;
        demand(nonsense == 0, || {
            format!("nodes make sense of each other: node {id} dropped {nonsense} messages")
        })?;
        let role = (status.role, status.ballot.term());
        if awaits_own_commit(status) {
            self.sight_figure_8(id);
        }
        let member = self.member(id);
        if member.role != role {
            let deposed = member.role.0 == RoleName::Leader && member.role.1 < role.1;
            member.role = role;
            self.sightings.leaders_deposed += u64::from(deposed);
            self.trace.note(self.now, Event::Became(id, role.0, role.1));
        }
        Ok(())
    }

    /// Whether a leader that has committed nothing of its own holds an older entry that a quorum
    /// has stored.
    fn sight_figure_8(&mut self, id: NodeId) {
        let life = self.life(id).expect("it leads");
        let status = &life.status;
        let is_open = |entry: &EntryId| {
            entry.index > status.commit.index && entry.term < status.ballot.term()
        };
        let mut open = life.replica.log().map(|entry| entry.id).filter(is_open);
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
            self.sightings.figure_8 += u64::from(self.figure_8.insert(entry));
        }
    }

    fn schedule_fault(&mut self) {
        if self.options.fault_mean > 0 && !self.faults.is_empty() {
            let delay = self.rng.exponential(self.options.fault_mean);
            self.schedule(delay, Happening::Fault);
        }
    }

    fn strike(&mut self) -> Result<(), Broken> {
        if self.healed {
            return Ok(());
        }
        let fault = *self.rng.choose(&self.faults).expect("a fault");
        let leading: Vec<NodeId> = self.leaders().into_iter().map(|(id, _)| id).collect();
        // Whoever leads has the most to lose.
        let victim = match self.rng.choose(&leading) {
            Some(leader) if self.rng.chance(1, 2) => *leader,
            Some(_) | None => self.draw_node(),
        };
        self.befall(fault, victim)
    }

    /// A node is in the middle of getting a snapshot. Faults at random times would seldom meet it
    /// there.
    pub(super) fn endanger(&mut self, id: NodeId, mean: u64) {
        if self.options.fault_mean > 0 && self.options.crash > 0 && self.rng.chance(1, 20) {
            let delay = self.rng.exponential(mean);
            self.schedule(delay, Happening::Die(id));
        }
    }

    /// Of the next calls of a disk, one that was planned to fails, or ends the process.
    pub(super) fn draw_call(&mut self, id: NodeId) -> u64 {
        self.members[&id].node.disk.disk.calls() + self.rng.range(1..=CALLS_AHEAD_MAX)
    }

    pub(super) fn make_room(&mut self, id: NodeId) {
        let member = self.member(id);
        member.disk_is_full = false;
        member.node.disk.disk.set_capacity(u64::MAX);
    }

    pub(super) fn pause(&mut self, id: NodeId, length: u64) {
        let until = self.now + length;
        self.trace.note(self.now, Event::Paused(id, until));
        self.member(id).paused_until = Some(until);
        self.schedule(length, Happening::Resume(id));
    }

    /// A process goes on, and finds everything that came meanwhile, in order. Its clock has ticked
    /// once at most: late ticks count as one.
    pub(super) fn resume(&mut self, id: NodeId) {
        if self.member(id).paused_until.take().is_some() {
            self.flush_waiting(id);
        }
    }

    pub(super) fn flush_waiting(&mut self, id: NodeId) {
        for happening in mem::take(&mut self.member(id).waiting) {
            self.schedule(0, happening);
        }
    }
}
