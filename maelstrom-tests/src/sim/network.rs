//! The links between nodes. They carry the product's wire format, byte for byte.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use json::Raw;
use raft::wire;
use raft_core::{Envelope, NodeId};
use rand::Rng;

use super::machine::Store;
use super::options::Options;
use crate::rules::{Broken, demand};

/// A message's latency without faults.
pub(super) const HEALTHY_LATENCY: RangeInclusive<u64> = 10..=200;

/// The factor by which messages are slower in a spike or on a slow link.
const SLOWNESS: u64 = 20;

/// A message under way. Copies share it.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// The message.
    pub(super) envelope: Arc<Envelope<Store>>,
    /// Its encoding.
    body: Arc<str>,
}

/// All links.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// Links that lose all messages.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Links whose messages are slow.
    pub(super) slow: BTreeSet<(NodeId, NodeId)>,
    /// All links are slow.
    pub(super) spike: bool,
    /// Nodes that are cut off for good.
    pub(super) exiled: BTreeSet<NodeId>,
}

impl Letter {
    pub(super) fn write(envelope: Envelope<Store>) -> Self {
        let body = json::to_string(&wire::body(envelope.clone())).into();
        Self {
            envelope: Arc::new(envelope),
            body,
        }
    }

    /// The length of its encoding.
    pub(super) fn bytes(&self) -> u64 {
        self.body.len() as u64
    }

    /// Decodes the message, which must equal what was sent.
    pub(super) fn read(&self) -> Result<Envelope<Store>, Broken> {
        let sent = &self.body;
        let body = Raw::new(sent).map_err(|error| error.to_string());
        let read =
            body.and_then(|body| wire::decode::<Store>(body).map_err(|error| format!("{error:?}")));
        let read = read.map_err(|why| Broken(format!("a message must decode: {sent}: {why}")))?;
        demand(read == *self.envelope, || {
            format!("a message must decode to what was sent: {sent}: {read:?}")
        })?;
        Ok(read)
    }
}

impl Network {
    /// Whether a link loses all messages.
    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to)) || self.exiled.contains(&from) || self.exiled.contains(&to)
    }

    /// Cuts a link. Returns whether it worked before.
    pub(super) fn cut(&mut self, from: NodeId, to: NodeId) -> bool {
        self.cut.insert((from, to))
    }

    /// All links work, and none is slow.
    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.slow.clear();
        self.spike = false;
    }

    /// Draws a message's latency.
    pub(super) fn delay(&self, letter: &Letter, options: &Options, rng: &mut Rng) -> u64 {
        let mean = if rng.chance(options.straggling_permille, 1000) {
            options.straggling_mean
        } else {
            options.latency_mean
        };
        let Envelope { from, to, .. } = *letter.envelope;
        let slow = self.spike || self.slow.contains(&(from, to));
        let factor = if slow { SLOWNESS } else { 1 };
        options.latency_least + rng.exponential(mean * factor)
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Message, Term, VoteReply};

    use super::*;

    fn letter(granted: bool) -> Letter {
        let envelope = Envelope {
            from: NodeId(1),
            to: NodeId(2),
            term: Term(1),
            message: Message::VoteReply(VoteReply { granted }),
        };
        Letter::write(envelope)
    }

    #[test]
    fn message_that_decodes_to_another_is_rejected() {
        let (mut yes, no) = (letter(true), letter(false));
        yes.read().unwrap();
        yes.body = no.body;
        let Broken(text) = yes.read().unwrap_err();
        assert!(
            text.starts_with("a message must decode to what was sent"),
            "{text}"
        );
        yes.body = "{}".into();
        let Broken(text) = yes.read().unwrap_err();
        assert!(text.starts_with("a message must decode: {}"), "{text}");
    }
}
