//! A node's current term and its vote in that term.

use crate::id::{NodeId, Term};

/// `currentTerm` and `votedFor` of Figure 2. The fields are private, so that the two rules hold by
/// construction: the term never falls, and a vote once given in a term stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ballot {
    term: Term,
    vote: Option<NodeId>,
}

impl Ballot {
    /// A stored ballot.
    #[must_use]
    pub fn new(term: Term, vote: Option<NodeId>) -> Self {
        Self { term, vote }
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// The candidate that this node voted for in the current term.
    #[must_use]
    pub fn vote(&self) -> Option<NodeId> {
        self.vote
    }

    /// Whether a vote for `candidate` in the current term is still possible (§5.2): the node has not
    /// voted in it, or has voted for this candidate.
    #[must_use]
    pub fn may_vote_for(&self, candidate: NodeId) -> bool {
        self.vote.is_none_or(|vote| vote == candidate)
    }

    /// Enters a higher term, in which this node has not voted yet.
    ///
    /// # Panics
    /// If `term` is not higher.
    pub(crate) fn enter(&mut self, term: Term) {
        assert!(term > self.term, "the term must rise");
        *self = Self { term, vote: None };
    }

    /// Votes in the current term.
    ///
    /// # Panics
    /// If the node voted for another candidate in this term.
    pub(crate) fn vote_for(&mut self, candidate: NodeId) {
        assert!(self.may_vote_for(candidate), "one vote a term");
        self.vote = Some(candidate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vote_stays_until_the_next_term() {
        let mut ballot = Ballot::default();
        ballot.enter(Term(3));
        assert!(ballot.may_vote_for(NodeId(1)));
        ballot.vote_for(NodeId(1));
        ballot.vote_for(NodeId(1));
        assert!(!ballot.may_vote_for(NodeId(2)));
        ballot.enter(Term(4));
        assert!(ballot.may_vote_for(NodeId(2)));
        assert_eq!(ballot, Ballot::new(Term(4), None));
    }

    #[test]
    #[should_panic(expected = "one vote a term")]
    fn second_vote_panics() {
        let mut ballot = Ballot::new(Term(1), Some(NodeId(1)));
        ballot.vote_for(NodeId(2));
    }

    #[test]
    #[should_panic(expected = "the term must rise")]
    fn entering_the_same_term_panics() {
        Ballot::new(Term(2), None).enter(Term(2));
    }
}
