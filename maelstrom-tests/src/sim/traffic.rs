//! Messages between nodes, and requests of clients.

use raft::host::Session as _;
use raft_core::{Envelope, Input, Message, NodeId, PreVoteReply, VoteReply};

use super::agenda::Happening;
use super::clients::{Kind, Request};
use super::machine::Store;
use super::network::{HEALTHY_LATENCY, Letter};
use super::rare_events::awaits_own_commit;
use super::trace::Event;
use super::world::{Phase, World};
use crate::replica::node::Disk as _;
use crate::rules::{Broken, Subject as _};

impl World {
    pub(super) fn send(&mut self, envelope: Envelope<Store>) -> Result<(), Broken> {
        let ledger = self.members[&envelope.from].node.disk.ledger();
        self.rules.sends(&envelope, ledger)?;
        self.check_timeout_now(&envelope)?;
        let letter = Letter::write(envelope);
        self.note(Event::Sent(letter.envelope.clone()));
        if self.phase == Phase::Healed {
            let delay = self.rng.range(HEALTHY_LATENCY);
            self.agenda.schedule(delay, Happening::Deliver(letter));
            return Ok(());
        }
        if self.rng.chance(self.options.duplicated_permille, 1000) {
            self.post(letter.clone());
        }
        if self.rng.chance(self.options.lost_permille, 1000) {
            self.note(Event::Lost(letter.envelope));
        } else {
            self.post(letter);
        }
        Ok(())
    }

    /// Schedules the delivery of a message.
    fn post(&mut self, letter: Letter) {
        let delay = self.network.delay(&letter, &self.options, &mut self.rng);
        self.agenda.schedule(delay, Happening::Deliver(letter));
    }

    pub(super) fn deliver(&mut self, letter: &Letter) -> Result<(), Broken> {
        let Envelope { from, to, .. } = *letter.envelope;
        let Some(process) = self.process(to).filter(|_| !self.network.is_cut(from, to)) else {
            self.note(Event::Lost(letter.envelope.clone()));
            return Ok(());
        };
        let is_early = awaits_own_commit(&process.status);
        let envelope = letter.read()?;
        match &envelope.message {
            Message::ReadIndex(_) => self.rare.reads_before_own_commit += u64::from(is_early),
            Message::SnapshotChunk(_) => self.endanger(to, self.options.latency_mean),
            Message::PreVoteReply(PreVoteReply { granted, .. }) => {
                self.rare.pre_votes_refused += u64::from(!granted);
            }
            Message::VoteReply(VoteReply { granted }) => {
                self.rare.votes_refused += u64::from(!granted);
            }
            _ => {}
        }
        self.note(Event::Delivered(letter.envelope.clone()));
        self.step(to, Input::Receive(envelope))
    }

    pub(super) fn think(&mut self, client: usize) {
        if self.phase != Phase::Healed {
            self.schedule_about(self.options.think_mean, Happening::Invoke(client));
        }
    }

    pub(super) fn invoke(&mut self, client: usize) -> Result<(), Broken> {
        if self.phase == Phase::Healed {
            return Ok(());
        }
        let id = self.draw_node();
        if self.process(id).is_none() {
            self.think(client);
            return Ok(());
        }
        if let Some(request) = self.clients.invoke(client, id, self.agenda.now)? {
            let command = request.command.as_ref().and_then(Store::id);
            if command.is_some_and(|command| self.rules.is_applied(command)) {
                self.clients.repeated.insert(request.ticket);
            }
            let delay = self.options.client_timeout;
            self.agenda
                .schedule(delay, Happening::GiveUp(request.ticket));
            self.agenda.schedule(0, Happening::Ask(id, request));
        }
        Ok(())
    }

    pub(super) fn load(&mut self) -> Result<(), Broken> {
        let id = self.draw_node();
        if self.phase != Phase::Healed
            && self.process(id).is_some()
            && let Some(request) = self.clients.load(id)
        {
            self.agenda.schedule(0, Happening::Ask(id, request));
        }
        self.recur(self.options.load_mean, Happening::Load);
        Ok(())
    }

    /// A client asks a node to hand its leadership over, to any node or to the most advanced voter.
    pub(super) fn ask_for_transfer(&mut self) -> Result<(), Broken> {
        self.recur(self.options.transfer_mean, Happening::Transfer);
        let id = self.draw_leader(1, 2);
        let member = &self.members[&id];
        if member.node.process().is_none() || member.is_paused() {
            return Ok(());
        }
        if self.rng.chance(1, 3) {
            return self.ask_for_snapshot(id);
        }
        let to = self.rng.chance(1, 2).then(|| self.draw_node());
        self.note(Event::Fault(Some(id), "is asked to hand over"));
        let ticket = Some(self.clients.ask_for(Kind::Transfer, id));
        self.step(id, Input::Transfer { ticket, to })
    }

    /// A client asks a node to store a snapshot.
    fn ask_for_snapshot(&mut self, id: NodeId) -> Result<(), Broken> {
        let process = self.process(id).expect("it was found");
        let applied = process.replica.status().applied;
        self.note(Event::Fault(Some(id), "is asked for a snapshot"));
        let ticket = self.clients.ask_for(Kind::Snapshot(applied), id);
        self.step(id, Input::TakeSnapshot { ticket })
    }

    pub(super) fn draw_node(&mut self) -> NodeId {
        NodeId(self.rng.range(1..=self.members.len() as u64))
    }

    pub(super) fn ask(&mut self, id: NodeId, request: Request) -> Result<(), Broken> {
        // The process may have died while the request was under way.
        if !self.clients.is_open(request.ticket) {
            return Ok(());
        }
        self.note(request.event(id));
        if request.command.is_none()
            && let Some(process) = self.members[&id].node.process()
        {
            let is_early = awaits_own_commit(&process.status);
            self.rare.reads_before_own_commit += u64::from(is_early);
        }
        match request.input() {
            Input::Write { ticket, command } => {
                match self.member(id).session.write(ticket, command) {
                    Some(input) => self.step(id, input),
                    None => self.collect(id),
                }
            }
            input => self.step(id, input),
        }
    }
}
