//! Pre-candidates: ask whether they could win an election, before they begin a new term
//! (thesis §9.6).

use crate::candidate::Candidate;
use crate::clock::Countdown;
use crate::id::{NodeId, RequestId};
use crate::machine::StateMachine;
use crate::message::{Class, Message, PreVote, PreVoteReply};
use crate::node::{Node, Role};
use crate::quorum::{Elected, Tally, Votes};
use crate::raft::Raft;
use crate::shared::Shared;

/// What only a pre-candidate has.
#[derive(Clone, Debug, Hash)]
pub(crate) struct PreCandidate {
    /// The id of the present pre-vote round. Replies to earlier rounds do not count.
    pub(crate) round: RequestId,
    pub(crate) votes: Votes<PreCandidate>,
    pub(crate) countdown: Countdown,
}

impl PreCandidate {
    pub(crate) fn new<S: StateMachine>(shared: &mut Shared<S>) -> Self {
        shared.counters.pre_elections += 1;
        let mut votes = Votes::new(shared.term());
        votes.record(shared.id, true);
        Self {
            round: shared.next_request_id(),
            votes,
            countdown: shared.election_countdown(),
        }
    }
}

impl<S: StateMachine> Role<S> for PreCandidate {}

impl<S: StateMachine> Node<PreCandidate, S> {
    /// Asks all others. A lone voter needs no reply.
    pub(crate) fn ask(mut self) -> Raft<S> {
        let last = self.shared.log().last();
        let round = self.role.round;
        self.shared
            .broadcast(&Message::PreVote(PreVote { round, last }));
        self.tally()
    }

    /// Counts a tick. At the timeout, begins another pre-vote round.
    pub(crate) fn tick(mut self) -> Raft<S> {
        if self.role.countdown.tick() {
            self.shared.back_off();
            self.become_role(PreCandidate::new).ask()
        } else {
            Raft::PreCandidate(self)
        }
    }

    pub(crate) fn receive(mut self, from: NodeId, message: Message<S>) -> Raft<S> {
        match message {
            Message::PreVoteReply(PreVoteReply { round, granted }) if round == self.role.round => {
                self.role.votes.record(from, granted);
                return self.tally();
            }
            Message::PreVoteReply(PreVoteReply { round, .. })
                if round.incarnation == self.shared.incarnation() =>
            {
                self.shared.note_late_reply();
            }
            Message::VoteReply(_) => self.shared.note_late_reply(),
            // Another node leads in this term.
            message if message.class() == Class::FromLeader => {
                return self.follow().receive(from, message);
            }
            // A node that votes for another no longer competes with it (Figure 2: granting a vote
            // resets the timer).
            Message::Vote(vote) => {
                if self.shared.vote(from, vote) {
                    return Raft::Follower(self.follow());
                }
            }
            other => self.shared.receive(from, other),
        }
        Raft::PreCandidate(self)
    }

    fn tally(mut self) -> Raft<S> {
        match self.role.votes.tally(self.shared.membership()) {
            Tally::Won(won) => self.campaign(won).ask(false),
            Tally::Lost => {
                self.shared.ease_backoff();
                Raft::Follower(self.follow())
            }
            Tally::Pending => Raft::PreCandidate(self),
        }
    }

    /// Begins an election that a quorum would support (§5.2).
    fn campaign(self, won: Elected<PreCandidate>) -> Node<Candidate, S> {
        assert_eq!(won.term(), self.shared.term(), "pre-votes of this term");
        self.become_role(Candidate::new)
    }
}
