//! A node in one of its roles, and the transitions that are open to every role.

use alloc::boxed::Box;

use crate::follower::Follower;
use crate::id::Term;
use crate::machine::StateMachine;
use crate::shared::Shared;

/// A node in role `R`. What only one role has lives in that role's type: there is no way to ask a
/// follower for its `nextIndex`.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Node<R, S: StateMachine> {
    pub(crate) shared: Box<Shared<S>>,
    pub(crate) role: R,
}

/// What a role must do when a node leaves it.
pub(crate) trait Role<S: StateMachine> {
    /// Hands back to the node what must outlive the role.
    fn leave(self, shared: &mut Shared<S>);
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

    /// Becomes a follower in the current term, of the leader that it will hear from.
    pub(crate) fn follow(self) -> Node<Follower<S>, S> {
        self.become_role(|shared| Follower::new(shared.election_countdown()))
    }

    /// Becomes a follower of a higher term (§5.1).
    pub(crate) fn enter(mut self, term: Term) -> Node<Follower<S>, S> {
        self.shared.enter_term(term);
        self.follow()
    }
}
