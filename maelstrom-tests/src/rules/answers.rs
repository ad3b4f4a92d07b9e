//! What must hold of the answers to clients.

use raft_core::{NodeId, Replica, Response};

use super::{Broken, CommandId, Rules, Subject, demand};

impl<S: Subject> Rules<S> {
    /// Observes the response to a client's command.
    ///
    /// # Errors
    /// The rule that is broken: a response must be the outcome of the committed command, and a
    /// refused command must not be in a log.
    pub fn answered(&mut self, command: CommandId, response: &Response<S>) -> Result<(), Broken> {
        match response {
            Response::Applied(outcome) => {
                let known = self.outcomes.get(&command);
                demand(S::is_unknown(outcome) || known == Some(outcome), || {
                    format!(
                        "a response must be the command's outcome: {command:?} is answered {outcome:?}, its outcome is {known:?}"
                    )
                })
            }
            Response::Refused(refusal) => {
                demand(!self.has_entry(command), || {
                    format!(
                        "a refused command must not enter a log: {command:?} is refused ({refusal:?}) and is in one"
                    )
                })?;
                self.refused.insert(command);
                Ok(())
            }
            Response::Unknown => Ok(()),
            other => Err(Broken(format!(
                "a command must be answered as one: {command:?} is answered {other:?}"
            ))),
        }
    }

    /// Observes a node's response to the client that asked it for a leadership transfer.
    ///
    /// # Errors
    /// The rule that is broken: only another node's leadership ends a transfer as done.
    pub fn transfer_answered(&self, node: NodeId, response: &Response<S>) -> Result<(), Broken> {
        let leader = self.leaders.last_key_value().map(|(_, leader)| leader.node);
        match response {
            Response::Transferred => demand(leader.is_some_and(|leader| leader != node), || {
                format!(
                    "a transfer must end with another leader: node {node} says so, the last is {leader:?}"
                )
            }),
            other => not_done("transfer", node, other),
        }
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
                demand(!committed.is_joint(), || {
                    format!(
                        "a change must end with a committed membership that is not joint: node {node} has {committed:?}"
                    )
                })
            }
            other => not_done("change", node, other),
        }
    }
}

/// What is not done is refused, or its outcome is unknown.
fn not_done<S: Subject>(what: &str, node: NodeId, response: &Response<S>) -> Result<(), Broken> {
    let is_not_done = matches!(response, Response::Refused(_) | Response::Unknown);
    demand(is_not_done, || {
        format!("a {what} must be answered as one: node {node} answers {response:?}")
    })
}
