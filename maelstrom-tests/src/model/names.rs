//! Symmetry reduction: worlds that differ in names alone count as one world.
//!
//! The nodes are equal until something happens to them, so it makes no difference to which of them
//! it happens; nor do the number of earlier incarnations and of earlier requests, as long as old
//! answers differ from new ones. So a world's fingerprint is taken under canonical names: nodes
//! sorted by their look without names, incarnations and requests numbered anew. Nodes that a change adds
//! or removes keep apart from the others.
//!
//! A part of a world has few names. Its fingerprints under other names are cached.

use std::hash::{Hash, Hasher};
use std::mem;

use raft_core::{Incarnation, Names, NodeId, Rename, RequestId};

use super::mix::Mix;
use super::named::{Named, Used};
use super::node::node_of;
use super::table::{ByFingerprint, Ref};
use super::world::{Tables, World, slot};

/// The most incarnations of one node.
const INCARNATIONS_MAX: u64 = 1 << 16;

/// The most cached fingerprints of parts; then the cache is cleared.
const REMEMBERED_MAX: usize = 1 << 22;

/// Computes worlds' fingerprints.
#[derive(Default)]
pub(super) struct Namer {
    /// Cached fingerprints of parts under some names.
    remembered: ByFingerprint<u64>,
    /// The names in the present world and their canonical names, kept to reuse their memory.
    used: Used,
    names: Canonical,
}

impl Namer {
    /// A world's fingerprint. Two worlds have the same one if and (very likely) only if they differ
    /// in nothing but names and clocks.
    pub(super) fn fingerprint(&mut self, tables: &Tables, world: &World) -> u64 {
        let looks = looks(tables, world);
        let mut order: Vec<usize> = (0..looks.len()).collect();
        order.sort_unstable_by_key(|at| looks[*at]);
        self.collect(tables, world);
        if order.is_sorted_by(|a, b| looks[*a] < looks[*b]) {
            return self.in_order(&order, tables, world);
        }
        let orders = orders(&order, &looks).into_iter();
        let fingerprints = orders.map(|order| self.in_order(&order, tables, world));
        fingerprints.min().expect("there is one order at least")
    }

    /// Collects the names in a world.
    fn collect(&mut self, tables: &Tables, world: &World) {
        self.used.incarnations.clear();
        self.used.requests.clear();
        for node in &world.nodes {
            self.used.add(&tables.nodes.states[*node].names);
        }
        for message in &world.flight {
            self.used.add(&tables.nodes.messages[*message].names);
        }
        self.used.add(&tables.rules[world.rules].names);
        self.used.sort();
    }

    /// A world's fingerprint if the first node of `order` is called 1, and so on.
    fn in_order(&mut self, order: &[usize], tables: &Tables, world: &World) -> u64 {
        let mut names = mem::take(&mut self.names);
        names.set(order, &self.used);
        let mut mix = Mix::default();
        for node in order.iter().map(|at| world.nodes[*at]) {
            let part = &tables.nodes.states[node];
            mix.write_u64(self.part((0, node), part, &mut names));
        }
        // Messages under way have no order.
        let mut messages = 0;
        for message in &world.flight {
            let part = &tables.nodes.messages[*message];
            messages = u64::wrapping_add(messages, self.part((1, *message), part, &mut names));
        }
        mix.write_u64(messages);
        let part = &tables.rules[world.rules];
        mix.write_u64(self.part((2, world.rules), part, &mut names));
        let clients = Mix::of(&(3_u8, world.clients));
        let clients = (self.remembered.entry(clients))
            .or_insert_with(|| Mix::of(&tables.clients[world.clients]));
        (*clients, world.left).hash(&mut mix);
        self.names = names;
        mix.finish()
    }

    /// A part's fingerprint under these names. Its kind and its number identify the part.
    fn part<T: Rename + Clone + Hash>(
        &mut self,
        number: (u8, Ref),
        part: &Named<T>,
        names: &mut Canonical,
    ) -> u64 {
        let mut mix = Mix::default();
        (number, names.order).hash(&mut mix);
        for incarnation in &part.names.incarnations {
            mix.write_u64(names.incarnation(*incarnation).0);
        }
        for request in &part.names.requests {
            mix.write_u64(names.request(*request).counter);
        }
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        *self.remembered.entry(mix.finish()).or_insert_with(|| {
            let mut thing = part.thing.clone();
            thing.rename(names);
            Mix::of(&thing)
        })
    }
}

/// The nodes' looks: their own, and those of their messages, after what a change does with each: only
/// nodes with which it does the same may change names. Each node that is added has an address of its own.
fn looks(tables: &Tables, world: &World) -> Vec<(u8, u64)> {
    let bounds = tables.bounds();
    let stay = bounds.nodes - bounds.remove;
    let class = |node: u8| match node {
        _ if node < stay => 0,
        _ if node < bounds.nodes => 1,
        added => 2 + added,
    };
    let nodes = world.nodes.iter().map(|node| &tables.nodes.states[*node]);
    let mut looks: Vec<u64> = nodes.map(|node| node.look).collect();
    for message in &world.flight {
        let Named { thing, look, .. } = &tables.nodes.messages[*message];
        // Sums, because messages have no order.
        for (end, factor) in [(thing.from, 1), (thing.to, 3)] {
            let node = &mut looks[end.0 as usize - 1];
            *node = node.wrapping_add(look.wrapping_mul(factor));
        }
    }
    (0..).map(class).zip(looks).collect()
}

/// All orders that sort the nodes by their looks: several if some look the same.
fn orders(order: &[usize], looks: &[(u8, u64)]) -> Vec<Vec<usize>> {
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

/// The canonical names.
#[derive(Debug, Default)]
struct Canonical {
    /// The name of node 1, and so on.
    nodes: Vec<NodeId>,
    /// The order in one number.
    order: u64,
    /// Old and new names, in order.
    incarnations: Vec<(Incarnation, Incarnation)>,
    requests: Vec<(RequestId, RequestId)>,
}

impl Canonical {
    /// The first node of `order` is called 1, and so on.
    fn set(&mut self, order: &[usize], used: &Used) {
        self.nodes.clear();
        self.nodes.resize(order.len(), NodeId(0));
        self.order = 0;
        for (name, at) in (1..).map(NodeId).zip(order) {
            self.nodes[*at] = name;
            self.order = self.order * 8 + *at as u64;
        }
        self.incarnations.clear();
        for incarnation in &used.incarnations {
            let node = self.nodes[slot(node_of(*incarnation))].0;
            let names = self.incarnations.iter();
            let earlier = names.filter(|(_, name)| name.0 / INCARNATIONS_MAX == node);
            let name = Incarnation(node * INCARNATIONS_MAX + earlier.count() as u64);
            self.incarnations.push((*incarnation, name));
        }
        self.requests.clear();
        let alike = |a: &RequestId, b: &RequestId| a.incarnation == b.incarnation;
        for run in used.requests.chunk_by(alike) {
            let incarnation = new_name(&self.incarnations, run[0].incarnation);
            for (counter, request) in (1..).zip(run) {
                let name = RequestId {
                    incarnation,
                    counter,
                };
                self.requests.push((*request, name));
            }
        }
    }
}

impl Names for Canonical {
    fn node(&mut self, node: NodeId) -> NodeId {
        self.nodes[slot(node)]
    }

    fn incarnation(&mut self, incarnation: Incarnation) -> Incarnation {
        new_name(&self.incarnations, incarnation)
    }

    fn request(&mut self, request: RequestId) -> RequestId {
        new_name(&self.requests, request)
    }
}

fn new_name<T: Copy + Ord>(names: &[(T, T)], old: T) -> T {
    let at = names.binary_search_by_key(&old, |(old, _)| *old);
    names[at.expect("all names were collected")].1
}
