//! A whole cluster in memory, in a world that is drawn from a seed: messages are lost, doubled,
//! overtaken and late, links are cut, processes stand still, die and start again from what they
//! had synced, clocks run fast and slow.
//!
//! Nothing here waits or has a clock: a run is a queue of things that will happen, each at a time
//! that was drawn, and so one seed is one run. After every step the node's own invariants and the
//! cluster's ([`crate::rules`]) are checked. In the end all faults cease, progress is demanded, and the clients' history
//! must be linearizable.
//!
//! Read [`machine`] (what the clients ask of the cluster), [`disk`] and [`host`] (one node),
//! [`crate::rules`], [`options`], and then this file.

pub mod describe;
pub mod disk;
pub mod host;
pub mod machine;
pub mod options;
pub mod sightings;
pub mod trace;

mod clients;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
};

use raft_core::{
    EntryId, Envelope, Forwarded, Incarnation, Input, Membership, Message, NodeId, RoleName,
    Synced, Term, Ticket, invariant::Violation,
};
use rand::Rng;

use self::{
    clients::{Clients, Request},
    disk::Disk,
    host::{Host, Released, Worked},
    machine::Registers,
    options::{Options, TICK},
    sightings::Sightings,
    trace::{Event, Trace},
};
use crate::{
    linearizability::{self, Limits, Verdict},
    rules::{Broken, Rules},
};

/// How many longest election timeouts a cluster without faults may take to have a leader whom all
/// know and to agree on everything. An unlucky node starts with a timeout that has backed off to eight
/// times the longest.
const RECOVERY_ELECTIONS_MAX: u64 = 30;

/// How long a cluster without faults must keep its leader, in longest election timeouts.
const STABLE_ELECTIONS: u64 = 5;

/// How long a message travels when there are no faults.
const HEALTHY_LATENCY: RangeInclusive<u64> = 10..=200;

/// How long a sync takes at most when there are no faults.
const HEALTHY_SYNC_MAX: u64 = 100;

/// How much work the check of one register's history may take.
const CHECK_WORK_MAX: u64 = 8_000_000;

/// A run that broke no rule.
#[derive(Clone, Debug)]
pub struct Report {
    /// A hash of all that happened.
    pub hash: u64,
    /// How often rare things happened.
    pub sightings: Sightings,
}

/// A run that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run's seed.
    pub seed: u64,
    /// Its world.
    pub options: Options,
    /// Which rule, in words.
    pub rule: String,
    /// The last events before, one a line.
    pub events: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{events}\nworld: {options:?}\n\nseed {seed}: {rule}\nreplay it with: STDRAFT_SEED={seed} cargo \
             test -p maelstrom-tests --test random_cluster",
            events = self.events,
            options = self.options,
            seed = self.seed,
            rule = self.rule,
        )
    }
}

/// Runs one seed. If it fails, so many of its last events are told.
///
/// # Errors
/// If a rule is broken, or anything panics.
pub fn run(seed: u64, events_max: usize) -> Result<Report, Box<Failure>> {
    run_changed(seed, events_max, |_| {})
}

/// Runs one seed in a world that differs from the one that the seed draws.
///
/// # Errors
/// If a rule is broken, or anything panics.
pub fn run_changed(
    seed: u64,
    events_max: usize,
    change: impl FnOnce(&mut Options),
) -> Result<Report, Box<Failure>> {
    let mut cluster = Cluster::new(seed, Trace::new(events_max), change);
    let result = catch_unwind(AssertUnwindSafe(|| cluster.run()));
    let rule = match result {
        Ok(Ok(())) => {
            return Ok(Report {
                hash: cluster.trace.hash(),
                sightings: cluster.sightings,
            });
        }
        Ok(Err(Broken(rule))) => rule,
        Err(panic) => {
            let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = literal.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("a panic: {}", message.unwrap_or_default())
        }
    };
    Err(Box::new(Failure {
        seed,
        options: cluster.options.clone(),
        rule,
        events: cluster.trace.to_string(),
    }))
}

struct Cluster {
    options: Options,
    rng: Rng,
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    /// Orders what happens at the same time.
    queued: u64,
    nodes: BTreeMap<NodeId, Node>,
    /// Links that carry nothing.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Faults have ceased.
    healed: bool,
    lives: u64,
    clients: Clients,
    rules: Rules<Registers>,
    trace: Trace,
    sightings: Sightings,
}

/// A node and what the world has done to it.
struct Node {
    host: Host,
    /// How long its clock takes for a tick.
    tick: u64,
    /// While the process stands still: until when, and what it will find when it goes on.
    paused: Option<Pause>,
    /// A sync is under way.
    syncing: bool,
    /// Something was stepped whose output was not taken.
    gathering: bool,
    /// What it was last seen doing.
    role: (RoleName, Term),
}

struct Pause {
    until: u64,
    waiting: Vec<Happening>,
}

/// Something that will happen.
enum Happening {
    Tick(NodeId, Incarnation),
    Deliver(Envelope<Registers>),
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
    /// A process dies in the middle of something.
    Die(NodeId),
    HealLinks,
    Start(NodeId),
    Resume(NodeId),
}

impl Happening {
    /// To which node it happens.
    fn node(&self) -> Option<NodeId> {
        match self {
            Self::Tick(node, _)
            | Self::Sync(node, _)
            | Self::Receipt(node, ..)
            | Self::Work(node, _) => Some(*node),
            Self::Ask(node, _) => Some(*node),
            Self::Deliver(envelope) => Some(envelope.to),
            Self::Invoke(_)
            | Self::Load
            | Self::GiveUp(_)
            | Self::Fault
            | Self::Die(_)
            | Self::HealLinks
            | Self::Start(_)
            | Self::Resume(_) => None,
        }
    }
}

impl Cluster {
    fn new(seed: u64, trace: Trace, change: impl FnOnce(&mut Options)) -> Self {
        let mut rng = Rng::seeded(seed);
        let mut options = Options::draw(&mut rng);
        change(&mut options);
        let membership = Membership::of((1..=options.nodes).map(NodeId));
        let node = |id| {
            let (membership, config) = (membership.clone(), options.config.clone());
            let drift = options.drift_permille;
            let node = Node {
                host: Host::new(id, membership, config, Disk::default()),
                tick: TICK * rng.range(1000 - drift..=1000 + drift) / 1000,
                paused: None,
                syncing: false,
                gathering: false,
                role: (RoleName::Follower, Term(0)),
            };
            (id, node)
        };
        let nodes = membership.voters().map(node).collect();
        Self {
            clients: Clients::new(&options, rng.fork()),
            options,
            rng,
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            nodes,
            cut: BTreeSet::new(),
            healed: false,
            lives: 0,
            rules: Rules::default(),
            trace,
            sightings: Sightings::default(),
        }
    }

    fn run(&mut self) -> Result<(), Broken> {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in &ids {
            self.start(*id)?;
        }
        for client in 0..self.options.clients {
            self.think(client);
        }
        self.schedule_load();
        self.schedule_fault();
        let end = self.options.chaos;
        self.run_until(end, |_| false)?;

        self.heal()?;
        self.expect("recover", RECOVERY_ELECTIONS_MAX, Self::agrees)?;
        for id in ids {
            for write in [true, false] {
                self.ask_at(id, write)?;
                self.expect("answer", RECOVERY_ELECTIONS_MAX, |c| c.clients.is_idle())?;
            }
        }
        self.expect("agree", RECOVERY_ELECTIONS_MAX, Self::agrees)?;
        let leaders = self.leaders();
        let stable = self.now + STABLE_ELECTIONS * self.longest_election();
        self.run_until(stable, |_| false)?;
        demand(self.leaders() == leaders, || {
            "a healthy cluster keeps its leader".into()
        })?;
        self.finish()
    }

    /// Lets things happen until it is so late, or what is waited for has come. Tells which.
    fn run_until(&mut self, end: u64, done: impl Fn(&Self) -> bool) -> Result<bool, Broken> {
        while !done(self) {
            match self.queue.first_entry() {
                Some(first) if first.key().0 < end => {
                    let ((time, _), happening) = first.remove_entry();
                    self.now = time;
                    let node = happening.node().and_then(|id| self.nodes.get_mut(&id));
                    match node.and_then(|node| node.paused.as_mut()) {
                        Some(pause) => pause.waiting.push(happening),
                        None => self.happen(happening)?,
                    }
                }
                Some(_) | None => {
                    self.now = end;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Demands that something comes about in time.
    fn expect(
        &mut self,
        what: &str,
        elections: u64,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Broken> {
        let start = self.now;
        let end = self.now + elections * self.longest_election();
        let in_time = self.run_until(end, done)?;
        demand(in_time, || {
            format!(
                "without faults the cluster must {what} within {elections} longest election timeouts"
            )
        })?;
        let took = (self.now - start).div_ceil(self.longest_election());
        self.sightings.slowest_recovery = self.sightings.slowest_recovery.max(took);
        Ok(())
    }

    fn longest_election(&self) -> u64 {
        u64::from(self.options.config.longest_election) * TICK
    }

    fn schedule(&mut self, delay: u64, happening: Happening) {
        self.queued += 1;
        self.queue
            .insert((self.now + delay, self.queued), happening);
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Tick(id, life) if self.lives_still(id, life) => self.tick(id, life),
            Happening::Sync(id, life) if self.lives_still(id, life) => self.sync(id, life),
            Happening::Receipt(id, life, synced) if self.lives_still(id, life) => {
                self.step(id, Input::Synced(synced))
            }
            Happening::Work(id, life) if self.lives_still(id, life) => self.work(id, life),
            // That was a former life's.
            Happening::Tick(..)
            | Happening::Sync(..)
            | Happening::Receipt(..)
            | Happening::Work(..) => Ok(()),
            Happening::Deliver(envelope) => self.deliver(envelope),
            Happening::Ask(id, request) => self.ask(id, request),
            Happening::Invoke(client) => self.invoke(client),
            Happening::Load => self.load(),
            Happening::GiveUp(ticket) => {
                if let Some(client) = self.clients.give_up(ticket, self.now)? {
                    self.think(client);
                }
                Ok(())
            }
            Happening::Fault => self.fault(),
            Happening::Die(id) => self.die(id),
            Happening::HealLinks => {
                self.heal_links();
                Ok(())
            }
            Happening::Start(id) => self.start(id),
            Happening::Resume(id) => {
                let pause = &self.nodes[&id].paused;
                if pause.as_ref().is_some_and(|pause| pause.until <= self.now) {
                    self.resume(id);
                }
                Ok(())
            }
        }
    }

    // ---- Nodes.

    fn lives_still(&self, id: NodeId, life: Incarnation) -> bool {
        let now = self.nodes[&id].host.life();
        now.is_some_and(|now| now.incarnation == life)
    }

    fn start(&mut self, id: NodeId) -> Result<(), Broken> {
        self.lives += 1;
        let life = Incarnation(self.lives);
        let seed = self.rng.next_u64();
        let node = self.nodes.get_mut(&id).expect("a node");
        if node.host.life().is_some() {
            return Ok(());
        }
        node.host.start(life, seed);
        node.syncing = false;
        self.trace.note(self.now, Event::Started(id, life));
        let delay = self.rng.range(1..=TICK);
        self.schedule(delay, Happening::Tick(id, life));
        self.collect(id)
    }

    fn crash(&mut self, id: NodeId) -> Result<(), Broken> {
        self.resume(id);
        let node = self.nodes.get_mut(&id).expect("a node");
        let Some(life) = node.host.life() else {
            return Ok(());
        };
        let status = life.replica.status();
        self.sightings.add_life(&status);
        self.sightings.gatherings_interrupted += u64::from(status.gathered.is_some());
        if let Some(work) = life.work() {
            self.sightings.captures_interrupted += u64::from(!work.is_install);
            self.sightings.installs_interrupted += u64::from(work.is_install);
        }
        let stored = self.rng.below(node.host.unsynced() as u64 + 1);
        self.sightings.outputs_stored_unheard += stored;
        let lost = node.host.crash(stored as usize);
        if self.options.amnesia {
            node.host.disk = Disk::default();
        }
        let disk = &node.host.disk;
        let newest = disk.snapshot().map(|file| file.id.last);
        self.sightings.bases_missing +=
            u64::from(newest.is_some_and(|last| last != disk.ledger().base()));
        if self.nodes.len() == 1 {
            self.rules
                .lone_voter_died(id, self.nodes[&id].host.disk.ledger());
        }
        self.sightings.outputs_lost += lost as u64;
        self.sightings.crashes += 1;
        self.trace.note(self.now, Event::Crashed(id, lost));
        for client in self.clients.node_died(id, self.now)? {
            self.think(client);
        }
        Ok(())
    }

    fn tick(&mut self, id: NodeId, life: Incarnation) -> Result<(), Broken> {
        let period = if self.healed {
            TICK
        } else {
            self.nodes[&id].tick
        };
        self.schedule(period, Happening::Tick(id, life));
        self.trace.note(self.now, Event::Ticked(id));
        self.step_alone(id, Input::Tick)?;
        self.collect(id)
    }

    fn sync(&mut self, id: NodeId, life: Incarnation) -> Result<(), Broken> {
        // One sync stores some of what waits, and mostly all of it.
        let waiting = self.nodes[&id].host.unsynced() as u64;
        let stored = if self.rng.chance(3, 4) {
            waiting
        } else {
            self.rng.range(1..=waiting)
        };
        self.trace.note(self.now, Event::Synced(id, stored));
        for _ in 0..stored {
            self.store(id, life)?;
        }
        self.nodes.get_mut(&id).expect("a node").syncing = false;
        self.schedule_sync(id);
        Ok(())
    }

    /// One output of a node is stored.
    fn store(&mut self, id: NodeId, life: Incarnation) -> Result<(), Broken> {
        let node = self.nodes.get_mut(&id).expect("a node");
        let (messages, synced) = node.host.sync().expect("an output waits");
        for envelope in messages {
            self.send(envelope)?;
        }
        // The receipt may come late: a node drains its inputs in batches.
        if self.rng.chance(1, 4) {
            let delay = self.sync_delay();
            self.schedule(delay, Happening::Receipt(id, life, synced));
            Ok(())
        } else {
            self.step(id, Input::Synced(synced))
        }
    }

    /// A node works on a snapshot.
    fn work(&mut self, id: NodeId, life: Incarnation) -> Result<(), Broken> {
        let node = self.nodes.get_mut(&id).expect("a node");
        let Some(worked) = node.host.work() else {
            // It was hurried when the faults ceased, and is done.
            return Ok(());
        };
        match worked {
            Worked::Named(snapshot) => {
                self.trace.note(self.now, Event::Named(id, snapshot));
                self.schedule_work(id, life);
                Ok(())
            }
            Worked::Done(snapshot, input) => {
                self.trace.note(self.now, Event::Worked(id, snapshot));
                demand(!matches!(input, Input::SnapshotBroken(_)), || {
                    format!("node {id} gathers what was sent, not something else: {snapshot:?}")
                })?;
                if matches!(input, Input::SnapshotInstalled { .. }) {
                    self.sight_install(id, snapshot.last);
                }
                self.step(id, input)
            }
        }
    }

    /// Work on a snapshot begins.
    fn begin_work(&mut self, id: NodeId) -> Result<(), Broken> {
        let host = &self.nodes[&id].host;
        host.begins_work(&self.rules)?;
        let life = host.life().expect("it has just done something");
        let (incarnation, is_install) = (life.incarnation, host.is_installing());
        self.schedule_work(id, incarnation);
        if is_install {
            self.endanger(id, self.options.work_mean);
        }
        Ok(())
    }

    fn schedule_work(&mut self, id: NodeId, life: Incarnation) {
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
        let life = self.nodes[&id].host.life().expect("it runs");
        let status = life.replica.status();
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

    fn schedule_sync(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("a node");
        if let Some(life) = node.host.life()
            && !node.syncing
            && node.host.unsynced() > 0
        {
            node.syncing = true;
            let life = life.incarnation;
            let delay = self.sync_delay();
            self.schedule(delay, Happening::Sync(id, life));
        }
    }

    fn sync_delay(&mut self) -> u64 {
        if self.healed {
            self.rng.range(0..=HEALTHY_SYNC_MAX)
        } else {
            self.rng.exponential(self.options.sync_mean)
        }
    }

    /// Something happens to a node, and then its output is taken, or more happens to it before.
    fn step(&mut self, id: NodeId, input: Input<Registers>) -> Result<(), Broken> {
        self.step_alone(id, input)?;
        if self.rng.chance(self.options.gathered_permille, 1000) {
            self.nodes.get_mut(&id).expect("a node").gathering = true;
            self.observe(id)
        } else {
            self.collect(id)
        }
    }

    fn step_alone(&mut self, id: NodeId, input: Input<Registers>) -> Result<(), Broken> {
        let node = self.nodes.get_mut(&id).expect("a node");
        node.host.step(input).map_err(Broken::from)
    }

    fn collect(&mut self, id: NodeId) -> Result<(), Broken> {
        let node = self.nodes.get_mut(&id).expect("a node");
        if std::mem::take(&mut node.gathering) {
            self.sightings.outputs_gathered += 1;
        }
        let Released {
            messages,
            replies,
            begins_work,
        } = node.host.release()?;
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

    fn observe(&mut self, id: NodeId) -> Result<(), Broken> {
        let disks = self.nodes.values().map(|node| node.host.disk.ledger());
        if let Some(life) = self.nodes[&id].host.life() {
            self.rules
                .observe(id, life.incarnation, &life.replica, disks)?;
            let status = life.replica.status();
            let role = (status.role, status.ballot.term());
            let node = self.nodes.get_mut(&id).expect("a node");
            if node.role != role {
                if node.role.0 == RoleName::Leader && node.role.1 < role.1 {
                    self.sightings.leaders_deposed += 1;
                }
                node.role = role;
                self.trace.note(self.now, Event::Became(id, role.0, role.1));
            }
        }
        Ok(())
    }

    // ---- Messages.

    fn send(&mut self, envelope: Envelope<Registers>) -> Result<(), Broken> {
        let sender = &self.nodes[&envelope.from].host;
        self.rules.sends(&envelope, sender.disk.ledger())?;
        if let Message::ForwardReply { reply, .. } = &envelope.message
            && *reply == Forwarded::Refused
        {
            self.sightings.forwards_refused += 1;
        }
        if self.healed {
            let delay = self.rng.range(HEALTHY_LATENCY);
            self.schedule(delay, Happening::Deliver(envelope));
            return Ok(());
        }
        if self.rng.chance(self.options.duplicated_permille, 1000) {
            self.post(envelope.clone());
        }
        if self.rng.chance(self.options.lost_permille, 1000) {
            self.trace.note(self.now, Event::Lost(envelope));
        } else {
            self.post(envelope);
        }
        Ok(())
    }

    /// Puts a message on its way.
    fn post(&mut self, envelope: Envelope<Registers>) {
        let mean = if self.rng.chance(self.options.straggling_permille, 1000) {
            self.options.straggling_mean
        } else {
            self.options.latency_mean
        };
        let delay = self.rng.exponential(mean);
        self.schedule(delay, Happening::Deliver(envelope));
    }

    fn deliver(&mut self, envelope: Envelope<Registers>) -> Result<(), Broken> {
        let to = &self.nodes[&envelope.to].host;
        let Some(life) = to.life() else {
            self.trace.note(self.now, Event::Lost(envelope));
            return Ok(());
        };
        if self.cut.contains(&(envelope.from, envelope.to)) {
            self.trace.note(self.now, Event::Lost(envelope));
            return Ok(());
        }
        if matches!(envelope.message, Message::ReadIndex { .. }) {
            self.sightings.add_read(&life.replica.status());
        }
        if matches!(envelope.message, Message::SnapshotChunk { .. }) {
            self.endanger(envelope.to, self.options.latency_mean);
        }
        self.trace
            .note(self.now, Event::Delivered(envelope.clone()));
        self.step(envelope.to, Input::Receive(envelope))
    }

    // ---- Clients.

    fn think(&mut self, client: usize) {
        if !self.healed {
            let delay = self.rng.exponential(self.options.think_mean);
            self.schedule(delay, Happening::Invoke(client));
        }
    }

    fn invoke(&mut self, client: usize) -> Result<(), Broken> {
        if self.healed {
            return Ok(());
        }
        let id = NodeId(self.rng.range(1..=self.options.nodes));
        if self.nodes[&id].host.life().is_none() {
            self.think(client);
            return Ok(());
        }
        if let Some(request) = self.clients.invoke(client, id, self.now)? {
            let delay = self.options.client_timeout;
            self.schedule(delay, Happening::GiveUp(request.ticket));
            self.schedule(0, Happening::Ask(id, request));
        }
        Ok(())
    }

    fn schedule_load(&mut self) {
        if let Some(mean) = self.options.load_mean {
            let delay = self.rng.exponential(mean);
            self.schedule(delay, Happening::Load);
        }
    }

    fn load(&mut self) -> Result<(), Broken> {
        let id = NodeId(self.rng.range(1..=self.options.nodes));
        if !self.healed
            && self.nodes[&id].host.life().is_some()
            && let Some(request) = self.clients.load(id)
        {
            self.schedule(0, Happening::Ask(id, request));
        }
        self.schedule_load();
        Ok(())
    }

    /// Asks a node for one more write or read, when all clients are done.
    fn ask_at(&mut self, id: NodeId, write: bool) -> Result<(), Broken> {
        let request = self.clients.last_wish(id, write, self.now)?;
        self.ask(id, request)
    }

    fn ask(&mut self, id: NodeId, request: Request) -> Result<(), Broken> {
        // The process may have died while the request was on its way to it.
        if !self.clients.is_open(request.ticket) {
            return Ok(());
        }
        self.trace.note(self.now, request.event(id));
        if request.command.is_none()
            && let Some(life) = self.nodes[&id].host.life()
        {
            self.sightings.add_read(&life.replica.status());
        }
        self.step(id, request.input())
    }

    // ---- Faults.

    fn schedule_fault(&mut self) {
        if let Some(mean) = self.options.fault_mean {
            let delay = self.rng.exponential(mean);
            self.schedule(delay, Happening::Fault);
        }
    }

    fn fault(&mut self) -> Result<(), Broken> {
        if self.healed {
            return Ok(());
        }
        let length = self.rng.exponential(self.options.fault_length_mean);
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let leading: Vec<NodeId> = self.leaders().into_iter().map(|(id, _)| id).collect();
        // Whoever leads has the most to lose.
        let choices = if leading.is_empty() || self.rng.chance(1, 2) {
            &ids
        } else {
            &leading
        };
        let victim = *self.rng.choose(choices).expect("a node");
        match self.rng.below(8) {
            0 | 1 => self.restart(victim, length)?,
            2 => {
                // The power fails.
                for id in ids {
                    self.restart(id, length)?;
                }
            }
            3 | 4 => self.pause(victim, length),
            5 => self.cut_links(length, |from, to| from == victim || to == victim),
            6 => {
                let inwards = self.rng.chance(1, 2);
                self.cut_links(length, |from, to| victim == if inwards { to } else { from });
            }
            _ => {
                // Two sides at random.
                let sides: BTreeMap<NodeId, bool> =
                    ids.iter().map(|id| (*id, self.rng.chance(1, 2))).collect();
                self.cut_links(length, |from, to| sides[&from] != sides[&to]);
            }
        }
        self.schedule_fault();
        Ok(())
    }

    /// A node is in the middle of getting a snapshot. Faults at random times would seldom meet it
    /// there.
    fn endanger(&mut self, id: NodeId, mean: u64) {
        if self.options.fault_mean.is_some() && self.rng.chance(1, 20) {
            let delay = self.rng.exponential(mean);
            self.schedule(delay, Happening::Die(id));
        }
    }

    fn die(&mut self, id: NodeId) -> Result<(), Broken> {
        if self.healed {
            return Ok(());
        }
        let length = self.rng.exponential(self.options.fault_length_mean);
        self.restart(id, length)
    }

    fn restart(&mut self, id: NodeId, after: u64) -> Result<(), Broken> {
        self.crash(id)?;
        self.schedule(after, Happening::Start(id));
        Ok(())
    }

    fn pause(&mut self, id: NodeId, length: u64) {
        self.sightings.pauses += 1;
        let until = self.now + length;
        self.trace.note(self.now, Event::Paused(id, until));
        let node = self.nodes.get_mut(&id).expect("a node");
        let waiting = node
            .paused
            .take()
            .map_or_else(Vec::new, |pause| pause.waiting);
        node.paused = Some(Pause { until, waiting });
        self.schedule(length, Happening::Resume(id));
    }

    /// A process goes on, and finds everything that came meanwhile, in order. Its clock has ticked
    /// once at most: late ticks count as one.
    fn resume(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("a node");
        for happening in node
            .paused
            .take()
            .map_or_else(Vec::new, |pause| pause.waiting)
        {
            self.schedule(0, happening);
        }
    }

    fn cut_links(&mut self, length: u64, cuts: impl Fn(NodeId, NodeId) -> bool) {
        self.sightings.cuts += 1;
        for &from in self.nodes.keys() {
            for &to in self.nodes.keys() {
                if from != to && cuts(from, to) && self.cut.insert((from, to)) {
                    self.trace.note(self.now, Event::Cut(from, to));
                }
            }
        }
        self.schedule(length, Happening::HealLinks);
    }

    fn heal_links(&mut self) {
        self.cut.clear();
        self.trace.note(self.now, Event::Healed);
    }

    // ---- The end.

    /// All faults cease.
    fn heal(&mut self) -> Result<(), Broken> {
        self.healed = true;
        self.heal_links();
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            self.resume(id);
            self.start(id)?;
            let host = &self.nodes[&id].host;
            if let Some(life) = host.life()
                && life.work().is_some()
            {
                let incarnation = life.incarnation;
                self.schedule_work(id, incarnation);
            }
        }
        Ok(())
    }

    /// Those who lead, each with its term.
    fn leaders(&self) -> Vec<(NodeId, Term)> {
        let lives = self
            .nodes
            .iter()
            .filter_map(|(id, node)| Some((id, node.host.life()?)));
        let leading = lives.filter_map(|(id, life)| {
            let status = life.replica.status();
            (status.role == RoleName::Leader).then(|| (*id, status.ballot.term()))
        });
        leading.collect()
    }

    /// Whether everybody knows the one leader, has committed the same, and no client waits.
    fn agrees(&self) -> bool {
        let [(leader, _)] = self.leaders()[..] else {
            return false;
        };
        let committed = self.rules.committed();
        self.clients.is_idle()
            && self
                .nodes
                .values()
                .filter_map(|node| node.host.life())
                .all(|life| {
                    let status = life.replica.status();
                    status.leader == Some(leader)
                        && status.commit.index == committed
                        && status.last.index == committed
                })
    }

    fn finish(&mut self) -> Result<(), Broken> {
        for (id, node) in &self.nodes {
            let life = node.host.life().expect("all nodes run at the end");
            let log: Vec<_> = life.replica.log().cloned().collect();
            let status = life.replica.status();
            self.rules.holds(*id, status.base, &log)?;
            self.sightings.add_life(&status);
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
        match linearizability::check(operations, limits).verdict {
            Verdict::Valid => Ok(()),
            Verdict::Unknown(_) => {
                self.sightings.undecided_histories += 1;
                Ok(())
            }
            Verdict::Invalid(contradictions) => Err(Broken(format!(
                "the clients' history is linearizable: {contradictions:#?}"
            ))),
        }
    }
}

impl From<Violation> for Broken {
    fn from(Violation(rule): Violation) -> Self {
        Broken(format!("invariant: {rule}"))
    }
}

fn demand(holds: bool, rule: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(rule())) }
}
