//! Where the event loop's output goes.

use std::sync::Arc;

use raft_core::{Envelope, NodeId, Response, RoleName, Status, Term};

use super::body;
use super::names::Names;
use super::voice::{Asker, Voice};
use crate::host::{self, Finished};
use crate::kv::Kv;
use crate::telemetry::Work;

/// The pipes' end of the event loop.
#[derive(Debug)]
pub(crate) struct Ends {
    names: Arc<Names>,
    voice: Voice,
    /// What was last said of the node's role.
    known: Option<(RoleName, Term, Option<NodeId>)>,
}

impl Ends {
    pub(crate) fn new(names: Arc<Names>, voice: Voice) -> Self {
        Self {
            names,
            voice,
            known: None,
        }
    }
}

impl host::Ends<Kv> for Ends {
    type Asker = Asker;

    fn send(&mut self, messages: Vec<Envelope<Kv>>) {
        self.voice.tell(&self.names, messages);
    }

    fn answer(&mut self, answers: Vec<(Asker, Response<Kv>)>) {
        self.voice
            .answer(answers.into_iter().map(|(asker, response)| {
                let reply = body::reply(asker.msg_id, response);
                (asker, reply)
            }));
    }

    fn observe(&mut self, status: &Status) {
        let now = (status.role, status.ballot.term(), status.leader);
        if self.known == Some(now) {
            return;
        }
        self.known = Some(now);
        let (role, term, leader) = now;
        let me = self.names.me();
        let leader = leader.and_then(|leader| self.names.name(leader));
        match leader.filter(|_| role == RoleName::Follower) {
            Some(leader) => self
                .voice
                .log
                .info(format_args!("{me}: {role} of {leader} in term {term}")),
            None => self
                .voice
                .log
                .info(format_args!("{me}: {role} in term {term}")),
        }
    }

    fn finished(&mut self, finished: &Finished<Kv>) {
        let Voice { telemetry, log, .. } = &self.voice;
        match finished {
            Finished::Stored { id, took } => {
                telemetry.archived(Work::Store, *took);
                log.info(format_args!(
                    "stored a snapshot of all through entry {}: {} bytes, in {:.3} s",
                    id.last.index,
                    id.length,
                    took.as_secs_f64()
                ));
            }
            Finished::Installed {
                id, machine, took, ..
            } => {
                telemetry.archived(Work::Install, *took);
                log.info(format_args!(
                    "installed the leader's snapshot of all through entry {}: {} keys, {} bytes, \
                     in {:.3} s",
                    id.last.index,
                    machine.len(),
                    id.length,
                    took.as_secs_f64()
                ));
            }
            Finished::Broken { id, reason } => log.warn(format_args!(
                "dropped a snapshot of all through entry {}, which came broken: {reason}",
                id.last.index
            )),
            // The host stops, and says why.
            Finished::Failed(_) => {}
        }
    }
}
