//! Votes, and the proof that they suffice.

use alloc::collections::BTreeMap;
use core::marker::PhantomData;

use crate::id::{NodeId, Term};
use crate::membership::Membership;

/// The votes that a node in role `R` received in one term.
#[derive(Clone, Debug, Hash)]
pub struct Votes<R> {
    pub(crate) term: Term,
    pub(crate) replies: BTreeMap<NodeId, bool>,
    pub(crate) role: PhantomData<fn() -> R>,
}

/// The result of an election so far.
#[derive(Debug)]
pub enum Tally<R> {
    /// A quorum granted its vote.
    Won(Elected<R>),
    /// The members that have not refused are no quorum.
    Lost,
    /// Further replies decide.
    Pending,
}

/// Proof that a node in role `R` won the votes of a quorum in a term. Only [`Votes::tally`] makes a
/// proof, and the proof cannot be copied, so an election is won once.
///
/// ```
/// use raft_core::{Candidate, Elected, Membership, NodeId, Tally, Term, Votes};
/// let mut votes = Votes::<Candidate>::new(Term(1));
/// votes.record(NodeId(1), true);
/// let Tally::Won(won) = votes.tally(&Membership::of([NodeId(1)])) else { panic!() };
/// let elected: Elected<Candidate> = won;
/// ```
///
/// A proof cannot be made up:
///
/// ```compile_fail,E0451
/// use raft_core::{Candidate, Elected, Membership, NodeId, Tally, Term, Votes};
/// let elected: Elected<Candidate> = Elected { term: Term(1), role: core::marker::PhantomData };
/// ```
///
/// nor used twice:
///
/// ```compile_fail,E0599
/// use raft_core::{Candidate, Elected, Membership, NodeId, Tally, Term, Votes};
/// let mut votes = Votes::<Candidate>::new(Term(1));
/// votes.record(NodeId(1), true);
/// let Tally::Won(won) = votes.tally(&Membership::of([NodeId(1)])) else { panic!() };
/// let again: Elected<Candidate> = won.clone();
/// ```
#[derive(Debug)]
pub struct Elected<R> {
    term: Term,
    role: PhantomData<fn() -> R>,
}

impl<R> Votes<R> {
    /// An empty set of votes.
    #[must_use]
    pub fn new(term: Term) -> Self {
        Self {
            term,
            replies: BTreeMap::new(),
            role: PhantomData,
        }
    }

    /// Notes one node's reply. The first reply counts: a duplicate changes nothing.
    pub fn record(&mut self, node: NodeId, granted: bool) {
        self.replies.entry(node).or_insert(granted);
    }

    /// Counts the votes under `membership`.
    #[must_use]
    pub fn tally(&self, membership: &Membership) -> Tally<R> {
        let replied = |node: NodeId, granted: bool| self.replies.get(&node) == Some(&granted);
        if membership.is_quorum(|node| replied(node, true)) {
            Tally::Won(Elected {
                term: self.term,
                role: PhantomData,
            })
        } else if !membership.is_quorum(|node| !replied(node, false)) {
            Tally::Lost
        } else {
            Tally::Pending
        }
    }
}

impl<R> Elected<R> {
    /// The term in which the votes were given.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::Candidate;

    /// Every set of replies of up to five voters.
    #[test]
    fn tally_is_won_by_a_majority_and_lost_without_one() {
        for size in 1..=5u32 {
            let membership = Membership::of((0..u64::from(size)).map(NodeId));
            for replies in 0..3u32.pow(size) {
                let mut votes = Votes::<Candidate>::new(Term(1));
                let (mut granted, mut refused) = (0, 0);
                for node in 0..size {
                    match replies / 3u32.pow(node) % 3 {
                        0 => continue,
                        1 => granted += 1,
                        _ => refused += 1,
                    }
                    let grants = replies / 3u32.pow(node) % 3 == 1;
                    votes.record(NodeId(u64::from(node)), grants);
                    // A second reply changes nothing.
                    votes.record(NodeId(u64::from(node)), !grants);
                }
                let majority = size / 2 + 1;
                match votes.tally(&membership) {
                    Tally::Won(elected) => {
                        assert!(granted >= majority);
                        assert_eq!(elected.term(), Term(1));
                    }
                    Tally::Lost => assert!(size - refused < majority),
                    Tally::Pending => {
                        assert!(granted < majority && size - refused >= majority);
                    }
                }
            }
        }
    }

    #[test]
    fn non_members_vote_is_ignored() {
        let membership = Membership::of([NodeId(1), NodeId(2), NodeId(3)]);
        let mut votes = Votes::<Candidate>::new(Term(1));
        votes.record(NodeId(1), true);
        votes.record(NodeId(9), true);
        assert!(matches!(votes.tally(&membership), Tally::Pending));
    }
}
