//! A node in one of its roles, and the transitions that are open to every role.

use alloc::boxed::Box;

use crate::candidate::Candidate;
use crate::follower::Follower;
use crate::id::Term;
use crate::machine::StateMachine;
use crate::raft::Raft;
use crate::shared::Shared;

/// A node in role `R`. The role's type holds the state of that role alone: a follower has no
/// `nextIndex`.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Node<R, S: StateMachine> {
    pub(crate) shared: Box<Shared<S>>,
    pub(crate) role: R,
}

/// What a role must do when a node leaves it.
pub(crate) trait Role<S: StateMachine>: Sized {
    /// Gives the state that must outlive the role back to the node.
    fn leave(self, _: &mut Shared<S>) {}
}

impl<R: Role<S>, S: StateMachine> Node<R, S> {
    /// Leaves this role for another.
    pub(crate) fn become_role<T>(self, role: impl FnOnce(&mut Shared<S>) -> T) -> Node<T, S> {
        let Self {
            mut shared,
            role: old,
        } = self;
        old.leave(&mut shared);
        let role = role(&mut shared);
        Node { shared, role }
    }

    /// Becomes a follower in the current term, of a leader unknown so far.
    pub(crate) fn follow(self) -> Node<Follower<S>, S> {
        self.become_role(|shared| Follower::new(shared.election_countdown()))
    }

    /// Begins an election at once, without a pre-vote (thesis §3.10). Any node may ask for votes at any
    /// time: safety rests on the votes alone. Pre-votes and stickiness only protect a leader, and
    /// this one has asked for the election.
    pub(crate) fn campaign_at_once(self) -> Raft<S> {
        self.become_role(Candidate::new).ask(true)
    }

    /// Becomes a follower in a higher term (§5.1).
    pub(crate) fn enter(mut self, term: Term) -> Node<Follower<S>, S> {
        self.shared.enter_term(term);
        self.shared.ease_backoff();
        self.follow()
    }
}
