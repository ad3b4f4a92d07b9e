//! Worlds that differ in names alone are one world.
//!
//! The nodes are alike until something happens to them, so it makes no difference which of them it
//! happens to; nor does it matter how many lives a node had before, or how many questions it asked, as
//! long as old answers can be told from new ones. So of each world the fingerprint is taken of one
//! renamed copy: the nodes in the order of what they look like without names, lives and questions
//! counted anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};

use raft_core::{Incarnation, Names, NodeId, Rename, RequestId};

use super::{
    mix::Mix,
    world::{Node, World},
};

/// Lives of one node that a name has room for.
const LIVES: u64 = 1 << 16;

/// A world's fingerprint: with overwhelming likelihood, two worlds have the same one exactly if they
/// differ in nothing but names and clocks.
pub(super) fn fingerprint(world: &World) -> u64 {
    let mut used = Used::default();
    let mut world = world.clone();
    world.rename(&mut used);
    let looks: Vec<u64> = world.ids().map(|id| look(&world, id)).collect();
    let mut order: Vec<usize> = (0..looks.len()).collect();
    order.sort_by_key(|at| looks[*at]);
    let orders = orders(&order, &looks);
    let fingerprint = |order: &Vec<usize>| {
        let mut renamed = world.clone();
        renamed.rename(&mut Canonical::new(order, &used, &world.lives));
        let nodes = order.iter().map(|at| &renamed.nodes[*at]);
        let mut mix = Mix::default();
        renamed.hash_with(nodes.map(|node| &**node), &mut mix);
        mix.finish()
    };
    let fingerprints = orders.iter().map(fingerprint);
    fingerprints.min().expect("there is one order at least")
}

/// What a node looks like to somebody who knows no names.
fn look(world: &World, id: NodeId) -> u64 {
    let Node { disk, life } = world.node(id);
    let mut mix = Mix::default();
    (disk.ledger().ballot().term(), disk.ledger().last()).hash(&mut mix);
    if let Some(life) = life {
        let status = life.replica.status();
        (status.role, status.commit, status.leader == Some(id)).hash(&mut mix);
        (status.requests_open, status.leader.is_some()).hash(&mut mix);
    }
    let mut letters = [0; 2];
    for envelope in &world.flight {
        let kind = Mix::of(&envelope.message.kind());
        for (letters, end) in letters.iter_mut().zip([envelope.from, envelope.to]) {
            if end == id {
                // A sum, since they have no order.
                *letters = u64::wrapping_add(*letters, kind);
            }
        }
    }
    letters.hash(&mut mix);
    mix.finish()
}

/// All orders that sort the nodes by their looks: more than one if some look the same.
fn orders(order: &[usize], looks: &[u64]) -> Vec<Vec<usize>> {
    let Some((first, _)) = order.split_first() else {
        return vec![Vec::new()];
    };
    let alike = order.iter().filter(|at| looks[**at] == looks[*first]);
    let mut found = Vec::new();
    for next in alike {
        let rest: Vec<usize> = order.iter().copied().filter(|at| at != next).collect();
        for mut tail in orders(&rest, looks) {
            tail.insert(0, *next);
            found.push(tail);
        }
    }
    found
}

/// The names that occur.
#[derive(Debug, Default)]
struct Used {
    lives: BTreeSet<Incarnation>,
    questions: BTreeSet<RequestId>,
}

impl Names for Used {
    fn node(&mut self, node: NodeId) -> NodeId {
        node
    }

    fn life(&mut self, life: Incarnation) -> Incarnation {
        self.lives.insert(life);
        life
    }

    fn question(&mut self, question: RequestId) -> RequestId {
        self.lives.insert(question.incarnation);
        self.questions.insert(question);
        question
    }
}

/// The names that they get.
#[derive(Debug)]
struct Canonical {
    nodes: BTreeMap<NodeId, NodeId>,
    lives: BTreeMap<Incarnation, Incarnation>,
    questions: BTreeMap<RequestId, RequestId>,
}

impl Canonical {
    /// The first node of `order` is called 1, and so on.
    fn new(order: &[usize], used: &Used, lived: &[NodeId]) -> Self {
        let old = order.iter().map(|at| NodeId(*at as u64 + 1));
        let nodes: BTreeMap<NodeId, NodeId> = old.zip((1..).map(NodeId)).collect();
        let mut lives = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for life in &used.lives {
            let node = nodes[&lived[life.0 as usize - 1]];
            let count = counts.entry(node).or_insert(0);
            *count += 1;
            lives.insert(*life, Incarnation(node.0 * LIVES + *count));
        }
        let mut questions = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for question in &used.questions {
            let counter = counts.entry(question.incarnation).or_insert(0);
            *counter += 1;
            let name = RequestId {
                incarnation: lives[&question.incarnation],
                counter: *counter,
            };
            questions.insert(*question, name);
        }
        Self {
            nodes,
            lives,
            questions,
        }
    }
}

impl Names for Canonical {
    fn node(&mut self, node: NodeId) -> NodeId {
        self.nodes[&node]
    }

    fn life(&mut self, life: Incarnation) -> Incarnation {
        self.lives[&life]
    }

    fn question(&mut self, question: RequestId) -> RequestId {
        self.questions[&question]
    }
}
