//! What travels: messages between nodes, and what clients ask.

use raft_core::{
    Envelope, ForwardReply, Forwarded, Input, Message, NodeId, PreVoteReply, VoteReply,
};

use super::clients::Request;
use super::machine::Store;
use super::network::{Letter, Network};
use super::sightings::awaits_own_commit;
use super::trace::Event;
use super::world::{Happening, World};
use crate::replica::node::Disk as _;
use crate::rules::Broken;

impl World {
    pub(super) fn send(&mut self, envelope: Envelope<Store>) -> Result<(), Broken> {
        let ledger = self.members[&envelope.from].node.disk.ledger();
        self.rules.sends(&envelope, ledger)?;
        if let Message::ForwardReply(ForwardReply { reply, .. }) = &envelope.message
            && *reply == Forwarded::Refused
        {
            self.sightings.forwards_refused += 1;
        }
        let letter = Letter::write(envelope)?;
        self.trace
            .note(self.now, Event::Sent(letter.envelope.clone()));
        if self.healed {
            let delay = Network::healthy_delay(&mut self.rng);
            self.schedule(delay, Happening::Deliver(letter));
            return Ok(());
        }
        if self.rng.chance(self.options.duplicated_permille, 1000) {
            self.post(letter.clone());
        }
        if self.rng.chance(self.options.lost_permille, 1000) {
            self.trace.note(self.now, Event::Lost(letter.envelope));
        } else {
            self.post(letter);
        }
        Ok(())
    }

    /// Puts a message on its way.
    fn post(&mut self, letter: Letter) {
        let delay = self.network.delay(&letter, &self.options, &mut self.rng);
        self.schedule(delay, Happening::Deliver(letter));
    }

    pub(super) fn deliver(&mut self, letter: &Letter) -> Result<(), Broken> {
        let Envelope { from, to, .. } = *letter.envelope;
        let Some(life) = self.life(to).filter(|_| !self.network.is_cut(from, to)) else {
            let event = Event::Lost(letter.envelope.clone());
            self.trace.note(self.now, event);
            return Ok(());
        };
        let is_early = awaits_own_commit(&life.status);
        let envelope = letter.read()?;
        match &envelope.message {
            Message::ReadIndex(_) => {
                self.sightings.reads_before_own_commit += u64::from(is_early);
            }
            Message::SnapshotChunk(_) => self.endanger(to, self.options.latency_mean),
            Message::PreVoteReply(PreVoteReply { granted, .. }) => {
                self.sightings.pre_votes_refused += u64::from(!granted);
            }
            Message::VoteReply(VoteReply { granted }) => {
                self.sightings.votes_refused += u64::from(!granted);
            }
            _ => {}
        }
        let event = Event::Delivered(letter.envelope.clone());
        self.trace.note(self.now, event);
        self.step(to, Input::Receive(envelope))
    }

    pub(super) fn think(&mut self, client: usize) {
        if !self.healed {
            let delay = self.rng.exponential(self.options.think_mean);
            self.schedule(delay, Happening::Invoke(client));
        }
    }

    pub(super) fn invoke(&mut self, client: usize) -> Result<(), Broken> {
        if self.healed {
            return Ok(());
        }
        let id = self.draw_node();
        if self.life(id).is_none() {
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

    pub(super) fn schedule_load(&mut self) {
        if self.options.load_mean > 0 {
            let delay = self.rng.exponential(self.options.load_mean);
            self.schedule(delay, Happening::Load);
        }
    }

    pub(super) fn load(&mut self) -> Result<(), Broken> {
        let id = self.draw_node();
        if !self.healed
            && self.life(id).is_some()
            && let Some(request) = self.clients.load(id)
        {
            self.schedule(0, Happening::Ask(id, request));
        }
        self.schedule_load();
        Ok(())
    }

    pub(super) fn draw_node(&mut self) -> NodeId {
        NodeId(self.rng.range(1..=self.members.len() as u64))
    }

    pub(super) fn ask(&mut self, id: NodeId, request: Request) -> Result<(), Broken> {
        // The process may have died while the request was on its way to it.
        if !self.clients.is_open(request.ticket) {
            return Ok(());
        }
        self.trace.note(self.now, request.event(id));
        if request.command.is_none()
            && let Some(life) = self.members[&id].node.process()
        {
            let is_early = awaits_own_commit(&life.status);
            self.sightings.reads_before_own_commit += u64::from(is_early);
        }
        self.step(id, request.input())
    }
}
