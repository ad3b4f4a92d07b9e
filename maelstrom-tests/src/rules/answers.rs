//! What must hold of the answers to clients.

use raft_core::{NodeId, Replica, Response};

use super::{Broken, CommandId, Rules, Subject};

impl<S: Subject> Rules<S> {
    /// Observes the response to a client's command.
    ///
    /// # Errors
    /// The rule that is broken: a response must be the outcome of the committed command, and a
    /// refused command must not be in a log.
    pub fn answered(&mut self, command: CommandId, response: &Response<S>) -> Result<(), Broken> {
        match response {
            Response::Applied(outcome) => demand!(
                S::is_unknown(outcome) || self.outcomes.get(&command) == Some(outcome),
                "a response must be the command's outcome: {command:?} is answered {outcome:?}, its outcome is {:?}",
                self.outcomes.get(&command)
            ),
            Response::Refused(refusal) => {
                demand!(
                    !self.has_entry(command),
                    "a refused command must not enter a log: {command:?} is refused ({refusal:?}) and is in one"
                );
                self.refused.insert(command);
            }
            Response::Unknown => {}
            Response::Answered(_)
            | Response::Transferred
            | Response::MembersChanged
            | Response::SnapshotStored(_) => {
                return Err(Broken(format!(
                    "a command must be answered as one: {command:?} is answered {response:?}"
                )));
            }
        }
        Ok(())
    }

    /// Observes a node's response to the client that asked it for a leadership transfer.
    ///
    /// # Errors
    /// The rule that is broken: only another node's leadership ends a transfer as done.
    pub fn transfer_answered(&self, node: NodeId, response: &Response<S>) -> Result<(), Broken> {
        let leader = self.leaders.last_key_value().map(|(_, leader)| leader.node);
        match response {
            Response::Transferred => demand!(
                leader.is_some_and(|leader| leader != node),
                "a transfer must end with another leader: node {node} says so, the last is {leader:?}"
            ),
            Response::Refused(_) | Response::Unknown => {}
            Response::Applied(_)
            | Response::Answered(_)
            | Response::MembersChanged
            | Response::SnapshotStored(_) => {
                return Err(Broken(format!(
                    "a transfer must be answered as one: node {node} answers {response:?}"
                )));
            }
        }
        Ok(())
    }

    /// Observes a node's response to the client that asked it for other members.
    ///
    /// # Errors
    /// The rule that is broken: a change that is done has left the joint membership.
    pub fn change_answered(
        node: NodeId,
        response: &Response<S>,
        replica: &Replica<S>,
    ) -> Result<(), Broken> {
        match response {
            Response::MembersChanged => {
                let committed = replica.membership_at(replica.status().commit.index);
                demand!(
                    !committed.is_joint(),
                    "a change must end with a committed membership that is not joint: node {node} has {committed:?}"
                );
            }
            Response::Refused(_) | Response::Unknown => {}
            Response::Applied(_)
            | Response::Answered(_)
            | Response::Transferred
            | Response::SnapshotStored(_) => {
                return Err(Broken(format!(
                    "a change must be answered as one: node {node} answers {response:?}"
                )));
            }
        }
        Ok(())
    }
}
