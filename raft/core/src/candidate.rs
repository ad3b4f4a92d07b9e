//! Candidates: ask for votes in a new term (§5.2).

use crate::clock::{Countdown, Moment};
use crate::id::NodeId;
use crate::leader::Leader;
use crate::machine::StateMachine;
use crate::message::{Class, Message, Vote, VoteReply};
use crate::node::{Node, Role};
use crate::pre_candidate::PreCandidate;
use crate::quorum::{Elected, Tally, Votes};
use crate::raft::Raft;
use crate::shared::Shared;

/// What only a candidate has. Public only as the name of a role, for [`Elected`].
#[derive(Clone, Debug, Hash)]
pub struct Candidate {
    pub(crate) votes: Votes<Candidate>,
    /// When this node became a candidate.
    pub(crate) since: Moment,
    pub(crate) countdown: Countdown,
}

impl Candidate {
    /// Enters the next term and votes for itself.
    pub(crate) fn new<S: StateMachine>(shared: &mut Shared<S>) -> Self {
        shared.counters.elections_started += 1;
        shared.enter_term(shared.term().next());
        shared.vote_for(shared.id);
        let mut votes = Votes::new(shared.term());
        votes.record(shared.id, true);
        Self {
            votes,
            since: shared.now,
            countdown: shared.election_countdown(),
        }
    }
}

impl<S: StateMachine> Role<S> for Candidate {}

impl<S: StateMachine> Node<Candidate, S> {
    /// Asks all others. A lone voter needs no reply. `transfer` is no state, so it cannot outlive
    /// this candidacy.
    pub(crate) fn ask(mut self, transfer: bool) -> Raft<S> {
        let last = self.shared.log().last();
        let vote = Vote { last, transfer };
        self.shared.broadcast(&Message::Vote(vote));
        self.tally()
    }

    /// Counts a tick. At the timeout, begins again with a pre-vote.
    pub(crate) fn tick(mut self) -> Raft<S> {
        if self.role.countdown.tick() {
            self.shared.back_off();
            self.become_role(PreCandidate::new).ask()
        } else {
            Raft::Candidate(self)
        }
    }

    pub(crate) fn receive(mut self, from: NodeId, message: Message<S>) -> Raft<S> {
        match message {
            Message::VoteReply(VoteReply { granted }) => {
                self.role.votes.record(from, granted);
                return self.tally();
            }
            // Another candidate has won this term.
            message if message.class() == Class::FromLeader => {
                return self.follow().receive(from, message);
            }
            other => self.shared.receive(from, other),
        }
        Raft::Candidate(self)
    }

    fn tally(mut self) -> Raft<S> {
        match self.role.votes.tally(self.shared.membership()) {
            Tally::Won(won) => Raft::Leader(self.lead(won)),
            Tally::Lost => {
                self.shared.ease_backoff();
                Raft::Follower(self.follow())
            }
            Tally::Pending => Raft::Candidate(self),
        }
    }

    /// Becomes leader with a quorum's votes.
    fn lead(self, won: Elected<Candidate>) -> Node<Leader<S>, S> {
        assert_eq!(won.term(), self.shared.term(), "votes of this term");
        let since = self.role.since;
        self.become_role(|shared| Leader::new(shared, since))
    }
}
