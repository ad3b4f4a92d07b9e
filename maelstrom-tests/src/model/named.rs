//! The parts of worlds, with the names in them.

use raft_core::{Incarnation, Names, NodeId, Rename, RequestId};

/// A part of worlds, with the incarnations and requests in it.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) thing: T,
    pub(super) names: Used,
    pub(super) look: u64,
}

impl<T: Rename + Clone> Named<T> {
    /// A part with this look without names. The look of a part that is no node or message is not
    /// used.
    pub(super) fn new(thing: T, look: u64) -> Self {
        let mut names = Used::default();
        thing.clone().rename(&mut names);
        names.sort();
        Self { thing, names, look }
    }
}

/// The names in a world.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) incarnations: Vec<Incarnation>,
    pub(super) requests: Vec<RequestId>,
}

impl Used {
    pub(super) fn add(&mut self, other: &Self) {
        self.incarnations.extend_from_slice(&other.incarnations);
        self.requests.extend_from_slice(&other.requests);
    }

    /// Sorts the names and drops repetitions.
    pub(super) fn sort(&mut self) {
        self.incarnations.sort_unstable();
        self.incarnations.dedup();
        self.requests.sort_unstable();
        self.requests.dedup();
    }
}

impl Names for Used {
    fn node(&mut self, node: NodeId) -> NodeId {
        node
    }

    fn incarnation(&mut self, incarnation: Incarnation) -> Incarnation {
        self.incarnations.push(incarnation);
        incarnation
    }

    fn request(&mut self, request: RequestId) -> RequestId {
        self.incarnations.push(request.incarnation);
        self.requests.push(request);
        request
    }
}
