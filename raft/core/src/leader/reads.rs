//! Linearizable reads without the log: ReadIndex (thesis §6.4).
//!
//! A leader notes its commit index and asks a quorum whether it still leads. The quorum's replies
//! prove that no later leader had committed more when the round began, so a state with that index
//! applied is fresh enough. The leader must have committed in its own term first: until then it
//! does not know how far its predecessors had committed.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::clock::Moment;
use crate::id::{Index, NodeId, RequestId, Term};
use crate::machine::StateMachine;
use crate::membership::Membership;
use crate::proxy::Read;

/// Proof that a leader has committed an entry of its own term. Only a leader makes a proof, in one
/// place, and the proof cannot be copied.
///
/// ```
/// use raft_core::{Term, TermCommitted};
/// fn term(proof: &TermCommitted) -> Term {
///     proof.term()
/// }
/// ```
///
/// ```compile_fail,E0451
/// use raft_core::{Term, TermCommitted};
/// let proof = TermCommitted { term: Term(1) };
/// ```
///
/// ```compile_fail,E0308
/// use raft_core::TermCommitted;
/// fn twice(proof: &TermCommitted) -> TermCommitted {
///     proof.clone()
/// }
/// ```
#[derive(Debug)]
pub struct TermCommitted {
    pub(super) term: Term,
}

impl TermCommitted {
    /// The term in which the leader has committed.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }
}

/// The reads of one leadership.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Reads<S: StateMachine> {
    /// Reads that arrived since the last round began.
    pub(crate) waiting: Vec<Reader<S>>,
    /// Rounds under way, oldest first.
    pub(crate) rounds: VecDeque<Round<S>>,
    /// When the newest round was last sent.
    pub(crate) announced: Moment,
}

/// The origin of a read: its result goes back there.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Reader<S: StateMachine> {
    /// A client of this node.
    Local(Read<S>),
    /// Another node, on behalf of clients of its own.
    Remote(NodeId, RequestId),
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Round<S: StateMachine> {
    pub(crate) id: RequestId,
    /// The commit index when the round began; the last index, for a lone voter.
    pub(crate) index: Index,
    pub(crate) confirmed: BTreeSet<NodeId>,
    pub(crate) readers: Vec<Reader<S>>,
}

impl<S: StateMachine> Reads<S> {
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            waiting: Vec::new(),
            rounds: VecDeque::new(),
            announced: now,
        }
    }

    /// The number of reads that wait, in a round or for one.
    pub(crate) fn len(&self) -> usize {
        let in_rounds: usize = self.rounds.iter().map(|round| round.readers.len()).sum();
        in_rounds + self.waiting.len()
    }

    /// Whether reads wait for a round, and one more may begin.
    pub(crate) fn wants_round(&self, limit: usize) -> bool {
        !self.waiting.is_empty() && self.rounds.len() < limit
    }

    /// Begins a round for all waiting reads. Earlier rounds may still be open.
    pub(crate) fn begin(
        &mut self,
        id: RequestId,
        index: Index,
        me: NodeId,
        term: Term,
        committed: &TermCommitted,
        now: Moment,
    ) {
        assert_eq!(committed.term(), term, "a commit of this term");
        self.announced = now;
        self.rounds.push_back(Round {
            id,
            index,
            confirmed: BTreeSet::from([me]),
            readers: core::mem::take(&mut self.waiting),
        });
    }

    /// The newest open round, if there is one, and the nodes that have confirmed it.
    pub(crate) fn unconfirmed(&self) -> Option<(RequestId, &BTreeSet<NodeId>)> {
        self.rounds.back().map(|round| (round.id, &round.confirmed))
    }

    /// Notes that a node followed this leader when it received round `id`. That confirms all rounds
    /// before it too. False if no such round is open.
    pub(crate) fn confirm(&mut self, from: NodeId, id: RequestId) -> bool {
        let open = self.rounds.iter().any(|round| round.id == id);
        if open {
            for round in self.rounds.iter_mut().take_while(|round| round.id <= id) {
                round.confirmed.insert(from);
            }
        }
        open
    }

    /// Takes the readers whose round a quorum has confirmed, each with its round's index.
    pub(crate) fn take_confirmed(&mut self, membership: &Membership) -> Vec<(Index, Reader<S>)> {
        let mut ready = Vec::new();
        while let Some(round) = self.rounds.front()
            && membership.is_quorum(|node| round.confirmed.contains(&node))
            && let Some(round) = self.rounds.pop_front()
        {
            ready.extend(round.readers.into_iter().map(|r| (round.index, r)));
        }
        ready
    }

    /// Takes the reads of this node's own clients that have waited past their deadline. Other nodes
    /// end their own.
    pub(crate) fn expired(&mut self, now: Moment, deadline: u32) -> Vec<Read<S>> {
        let mut expired = Vec::new();
        let rounds = self.rounds.iter_mut().map(|round| &mut round.readers);
        for readers in rounds.chain([&mut self.waiting]) {
            // Local reads are in the order of their deadlines.
            let in_time = |reader: &Reader<S>| match reader {
                Reader::Local(read) => !now.is_past(read.since, deadline),
                Reader::Remote(..) => false,
            };
            let end = readers.iter().position(in_time);
            let late = ..end.unwrap_or(readers.len());
            let local = |reader: &mut Reader<S>| matches!(reader, Reader::Local(_));
            expired.extend(readers.extract_if(late, local).filter_map(Reader::local));
            if end.is_some() {
                break;
            }
        }
        expired
    }

    /// All reads of this node's own clients, for the next leader. Other nodes repeat their own
    /// requests.
    pub(crate) fn into_local(self) -> impl Iterator<Item = Read<S>> {
        let in_rounds = self.rounds.into_iter().flat_map(|round| round.readers);
        in_rounds.chain(self.waiting).filter_map(Reader::local)
    }

    /// The number of reads of this node's own clients.
    pub(crate) fn held(&self) -> usize {
        let in_rounds = self.rounds.iter().flat_map(|round| &round.readers);
        let local = |reader: &&Reader<S>| matches!(reader, Reader::Local(_));
        in_rounds.chain(&self.waiting).filter(local).count()
    }
}

impl<S: StateMachine> Reader<S> {
    fn local(self) -> Option<Read<S>> {
        match self {
            Self::Local(read) => Some(read),
            Self::Remote(..) => None,
        }
    }
}
