//! A node's process: it starts, takes inputs, has output, and dies.

use std::mem;

use raft::host::Session as _;
use raft::sessions::Client;
use raft::storage::ErrorKind;
use raft_core::{
    Incarnation, Index, Input, NodeId, Refusal, Reply, Response, RoleName, SnapshotId,
};

use super::agenda::Happening;
use super::changes::Known;
use super::clients::Kind;
use super::machine::{Outcome, Store};
use super::member::Member;
use super::options::TICK;
use super::storage::Stop;
use super::trace::{Event, Words};
use super::world::{Phase, World};
use crate::replica::faulty_disk::Tear;
use crate::replica::node::Disk as _;
use crate::rules::{Broken, demand};

/// How long a process is down when there are no faults.
const HEALTHY_ABSENCE: u64 = 100;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The process is killed or stops. All its writes remain, synced or not.
    Process,
    /// Its machine loses power. Unsynced writes may be lost.
    Machine,
}

impl World {
    pub(super) fn start(&mut self, id: NodeId) -> Result<(), Broken> {
        self.incarnations += 1;
        let incarnation = Incarnation(self.incarnations);
        let seed = self.rng.next_u64();
        let member = self.member(id);
        if member.node.process().is_some() || member.is_away() {
            return Ok(());
        }
        member.session = Client::default();
        if let Err(stop) = member.node.start(incarnation, seed) {
            return self.stopped(id, stop);
        }
        let (found, has_flipped) = (member.node.disk.found, member.disk.has_flipped);
        self.rare.bit_flips_harmless += u64::from(has_flipped);
        self.rare.torn_tails += u64::from(found.torn > 0);
        self.rare.unacknowledged_found += u64::from(found.unacknowledged);
        self.rare.bases_missing += u64::from(found.rebased);
        self.rare.starts_from_snapshots += u64::from(found.snapshot.is_some());
        self.note(Event::Started(id, incarnation));
        let node = &self.members[&id].node;
        let process = node.process().expect("it has just started");
        if process.status.membership.is_lone_voter(id) {
            self.rules.lone_voter_died(id, node.disk.ledger());
        }
        if let Some(SnapshotId { last, .. }) = found.snapshot {
            let members = process.replica.membership_at(last.index);
            let state = process.replica.machine();
            self.rules.snapshot(id, last, members, state)?;
        }
        let delay = self.rng.range(1..=TICK);
        self.agenda
            .schedule(delay, Happening::Tick(id, incarnation));
        self.collect(id)
    }

    /// A node's process cannot go on, or cannot start.
    pub(super) fn stopped(&mut self, id: NodeId, stop: Stop) -> Result<(), Broken> {
        let error = match stop {
            Stop::Broken(broken) => return Err(broken),
            Stop::Storage(error) => error,
        };
        self.note(Event::Stopped(id, Words(error.to_string())));
        let member = self.member(id);
        if member.node.disk.disk.is_dead() {
            self.rare.crashes_in_calls += 1;
            let end = self.draw_end();
            let after = self.absence();
            return self.restart(id, end, after);
        }
        let is_damage = matches!(
            error.kind(),
            ErrorKind::Damaged
                | ErrorKind::Missing
                | ErrorKind::Foreign
                | ErrorKind::Newer
                | ErrorKind::TooLarge
        );
        if member.disk.is_full && error.kind() == ErrorKind::Full {
            self.rare.stops_for_room += 1;
        } else if error.kind() == ErrorKind::Disk && mem::take(&mut member.disk.call_may_fail) {
            self.rare.stops_for_failed_calls += 1;
        } else if member.disk.has_flipped && member.node.process().is_none() && is_damage {
            member.is_gone = true;
            self.rare.bit_flips_refused += 1;
            return self.die(id, End::Process);
        } else {
            return Err(Broken(format!(
                "storage must work while its disk works: node {id} stopped: {error}"
            )));
        }
        let after = self.absence();
        self.restart(id, End::Process, after)
    }

    pub(super) fn draw_end(&mut self) -> End {
        if self.rng.chance(1, 3) {
            End::Process
        } else {
            End::Machine
        }
    }

    fn absence(&mut self) -> u64 {
        match self.phase {
            Phase::Chaos => self.rng.exponential(self.options.fault_length_mean),
            Phase::Lasting | Phase::Healed => HEALTHY_ABSENCE,
        }
    }

    pub(super) fn restart(&mut self, id: NodeId, end: End, after: u64) -> Result<(), Broken> {
        self.die(id, end)?;
        self.agenda.schedule(after, Happening::Start(id));
        Ok(())
    }

    /// The power fails once more, and all nodes that are there start again.
    pub(super) fn restart_all(&mut self) -> Result<(), Broken> {
        let live = self.live();
        for id in &live {
            self.die(*id, End::Machine)?;
        }
        for id in live {
            self.start(id)?;
        }
        Ok(())
    }

    /// Ends a node's process, if one runs. A machine may lose power in any case.
    pub(super) fn die(&mut self, id: NodeId, end: End) -> Result<(), Broken> {
        let (content, names) = match end {
            End::Process => (Tear::Everything, Tear::Everything),
            End::Machine => {
                let mut tear = || *self.rng.choose(&Tear::ALL).expect("there are some");
                (tear(), tear())
            }
        };
        if let Some(process) = self.members[&id].node.process() {
            let status = &process.status;
            let (works, is_own) = (process.work.is_some(), process.is_capturing());
            self.rare.crashes += 1;
            self.rare.add_process(status);
            let hands_over = |other: &Member| {
                let process = other.node.process();
                process.is_some_and(|process| process.status.handover == Some(id))
            };
            let is_target = self.members.values().any(hands_over);
            self.rare.transfers_interrupted += u64::from(is_target || status.handover.is_some());
            let leads = status.role == RoleName::Leader;
            let is_joint = leads && status.membership.is_joint();
            self.rare.leaders_died_in_joint += u64::from(is_joint);
            self.rare.receptions_interrupted += u64::from(status.incoming_snapshot.is_some());
            self.rare.stores_interrupted += u64::from(is_own);
            self.rare.installs_interrupted += u64::from(works && !is_own);
        }
        let forgets = self.options.amnesia > 0 && end == End::Machine;
        let seed = self.rng.next_u64();
        let member = self.member(id);
        let was_running = member.node.process().is_some();
        let lost = member.node.crash();
        member.node.disk.restart(content, names);
        member.known = Known::default();
        if forgets {
            member.node.disk.forget(seed);
        }
        member.paused_until = None;
        member.waiting.clear();
        member.gathering = false;
        member.disk.syncing = false;
        member.disk.idle_ticks = 0;
        // A restart of the disk clears planned failures.
        member.disk.call_may_fail = false;
        if was_running {
            self.rare.outputs_lost += lost as u64;
            self.note(Event::Died(id, lost));
        }
        for client in self.clients.node_died(id, self.agenda.now)? {
            self.think(client);
        }
        Ok(())
    }

    pub(super) fn tick(&mut self, id: NodeId, process: Incarnation) -> Result<(), Broken> {
        let member = &self.members[&id];
        let (length, is_stopped) = match self.phase {
            Phase::Chaos => (member.tick, self.agenda.now < member.clock_stopped_until),
            Phase::Lasting | Phase::Healed => (TICK, false),
        };
        self.agenda.schedule(length, Happening::Tick(id, process));
        if is_stopped {
            return Ok(());
        }
        self.ticks(id, 1)
    }

    /// A clock ticks this many times at once.
    pub(super) fn ticks(&mut self, id: NodeId, ticks: u64) -> Result<(), Broken> {
        for _ in 0..ticks {
            self.note(Event::Ticked(id));
            let Member { node, disk, .. } = self.member(id);
            let works = node.process().is_some_and(|p| p.work.is_some());
            if works && !disk.hangs {
                // A slow disk takes a snapshot piece by piece.
                node.step(Input::SnapshotMoved)?;
            }
            node.step(Input::Tick)?;
            self.observe(id)?;
            self.check_disk(id)?;
        }
        self.collect(id)
    }

    /// Gives a process an input, and then takes its output or waits for more inputs.
    pub(super) fn step(&mut self, id: NodeId, input: Input<Store>) -> Result<(), Broken> {
        self.member(id).node.step(input)?;
        if self.rng.chance(self.options.gathered_permille, 1000) {
            self.member(id).gathering = true;
            self.observe(id)
        } else {
            self.collect(id)
        }
    }

    /// A node answers a client that asked for a snapshot when it had applied entries through this
    /// one.
    fn snapshot_answered(
        &mut self,
        id: NodeId,
        applied: Index,
        response: &Response<Store>,
    ) -> Result<(), Broken> {
        let Response::SnapshotStored(index) = *response else {
            let is_refused = matches!(response, Response::Refused(Refusal::NoSnapshot));
            return demand(is_refused, || {
                format!(
                    "a request for a snapshot must be answered as one: node {id} answers {response:?}"
                )
            });
        };
        self.rare.snapshots_asked += 1;
        let stored = self.process(id).and_then(|process| process.status.snapshot);
        let holds_it = stored.is_some_and(|stored| stored.last.index >= index);
        demand(index >= applied && holds_it, || {
            format!(
                "a snapshot must hold what was applied when a client asked for it: node {id} had applied {applied}, \
                 answers {index} and has {stored:?}"
            )
        })
    }

    /// A node answers a client.
    fn answered(&mut self, id: NodeId, reply: &Reply<Store>) -> Result<(), Broken> {
        let (ticket, response) = (reply.ticket, &reply.response);
        self.note(Event::Answered(id, ticket, response.clone()));
        match self.clients.ended(id, ticket) {
            Some(Kind::Transfer) => {
                self.rare.add_transfer(response);
                return self.rules.transfer_answered(id, response);
            }
            Some(Kind::Snapshot(applied)) => return self.snapshot_answered(id, applied, response),
            Some(Kind::Change) => {
                self.rare.add_response(response, false);
                return self.changed(id, response);
            }
            None => {}
        }
        if matches!(response, Response::Applied(_)) {
            self.write_served = self.agenda.now;
        } else if matches!(response, Response::Answered(_)) {
            self.read_served = self.agenda.now;
        }
        let has_session = self.clients.has_session(ticket);
        self.rare.add_response(response, has_session);
        let is_done = matches!(response, Response::Applied(Outcome::Done(_)));
        let repeated = self.clients.repeated.remove(&ticket);
        self.rare.retries_answered += u64::from(has_session && repeated && is_done);
        let (command, client) = self.clients.answered(id, reply, self.agenda.now)?;
        if let Some(command) = command {
            self.rules.answered(command, response)?;
        }
        if let Some(client) = client {
            self.think(client);
        }
        Ok(())
    }

    pub(super) fn collect(&mut self, id: NodeId) -> Result<(), Broken> {
        let member = self.member(id);
        let gathered = mem::take(&mut member.gathering);
        let released = member.node.release();
        let is_damaged = mem::take(&mut member.node.disk.read_damage);
        let excused = member.disk.has_flipped;
        demand(!is_damaged || excused, || {
            format!("a snapshot must be read as it was stored: node {id}")
        })?;
        self.rare.snapshots_broken += u64::from(is_damaged);
        self.rare.outputs_gathered += u64::from(gathered);
        let released = match released {
            Ok(released) => released,
            Err(stop) => return self.stopped(id, stop),
        };
        self.observe(id)?;
        if released.begins_work {
            self.begin_work(id)?;
        }
        for envelope in released.messages {
            self.send(envelope)?;
        }
        let (replies, inputs) = self.member(id).session.answered(released.replies);
        for reply in replies {
            self.answered(id, &reply)?;
        }
        self.schedule_sync(id);
        let has_inputs = !inputs.is_empty();
        for input in inputs {
            self.member(id).node.step(input)?;
        }
        match self.process(id) {
            Some(process) if has_inputs || process.status.applied < process.status.commit.index => {
                self.collect(id)
            }
            _ => Ok(()),
        }
    }
}
