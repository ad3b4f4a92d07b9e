//! What the front ends of all transports share: how the bodies of lines reach the event loop, how its
//! output leaves, and what operators need to see.

mod backup;
mod input;
mod output;

use std::time::Duration;

use raft_core::{Envelope, NodeId, Response, RoleName, Status, Term};

pub(crate) use self::backup::Backup;
pub(crate) use self::input::{Input, id_given, init_again};
pub(crate) use self::output::{DropReason, Lane, Me, Output, OutputLine, Replies, ReplyTo, Routes};
use crate::host::{FrontEnd, SnapshotResult};
use crate::kv::Kv;
use crate::requests;
use crate::sessions::Sessions;
use crate::telemetry::SnapshotWork;

/// The front end of an event loop.
#[derive(Debug)]
pub(crate) struct NodeFrontEnd<R> {
    me: Me,
    routes: R,
    output: Output,
    /// The role, term and leader that were logged last.
    logged: Option<(RoleName, Term, Option<NodeId>)>,
    /// Whether this node's removal was logged.
    was_removed: bool,
    /// Whether the disk was stalled then.
    was_stalled: bool,
    /// How many of this node's snapshots followers had refused then.
    refused: u64,
}

impl<R> NodeFrontEnd<R> {
    pub(crate) fn new(me: Me, routes: R, output: Output) -> Self {
        Self {
            me,
            routes,
            output,
            logged: None,
            was_removed: false,
            was_stalled: false,
            refused: 0,
        }
    }
}

impl<R: Routes> FrontEnd<Sessions<Kv>> for NodeFrontEnd<R> {
    type ReplyTo = ReplyTo;

    fn send(&mut self, messages: Vec<Envelope<Sessions<Kv>>>) {
        self.output.send(&self.me, &self.routes, messages);
    }

    fn sender(&self) -> impl FnMut(Vec<Envelope<Sessions<Kv>>>) + Send + 'static {
        let (me, routes, output) = (self.me.clone(), self.routes.clone(), self.output.clone());
        move |messages| output.send(&me, &routes, messages)
    }

    fn answer(&mut self, answers: Vec<(ReplyTo, Response<Sessions<Kv>>)>) {
        let replies = answers.into_iter().map(|(reply_to, response)| {
            let reply = requests::reply(reply_to.msg_id, response, |id| self.me.book.name(id));
            (reply_to, reply)
        });
        self.output.answer(replies);
    }

    fn observe(&mut self, status: &Status) {
        let (me, log) = (&self.me.name, &self.output.log);
        self.me.book.observe(status);
        self.routes.observe();
        if status.was_removed && !self.was_removed {
            self.was_removed = true;
            log.warn(format_args!(
                "{me}: was removed from the cluster; it serves no requests and can be stopped"
            ));
        }
        if self.was_stalled != status.is_disk_stalled {
            self.was_stalled = status.is_disk_stalled;
            if self.was_stalled {
                log.warn(format_args!(
                    "{me}: the disk has stored nothing, of the log or of a snapshot that a full log \
                     waits for, for the longest election timeout; the node hands over \
                     if it leads, and does not campaign until it does"
                ));
            } else {
                log.info(format_args!("{me}: the disk stores again"));
            }
        }
        let refused = status.counters.snapshots_refused;
        if self.refused != refused {
            self.refused = refused;
            log.warn(format_args!(
                "{me}: a follower received this node's snapshot and found it broken; the node stores \
                 a new one. If this repeats, check the disks and the memory of both nodes"
            ));
        }
        let now = (status.role, status.ballot.term(), status.leader);
        if self.logged == Some(now) {
            return;
        }
        self.logged = Some(now);
        let (role, term, leader) = now;
        let leader = leader.and_then(|leader| self.me.book.name(leader));
        let of = match leader.filter(|_| role == RoleName::Follower) {
            Some(leader) => format!(" of {leader}"),
            None => String::new(),
        };
        log.info(format_args!("{me}: {role}{of} in term {term}"));
    }

    fn turned(&mut self, took: Duration) {
        self.output.telemetry.turns.observe_duration(took);
    }

    fn snapshot_finished(&mut self, result: &SnapshotResult<Sessions<Kv>>) {
        let Output { telemetry, log, .. } = &self.output;
        match result {
            SnapshotResult::Stored { id, took } => {
                telemetry.snapshot_finished(SnapshotWork::Store, *took);
                let (index, length, took) = (id.last.index, id.length, took.as_secs_f64());
                log.info(format_args!(
                    "stored a snapshot through entry {index}: {length} bytes, in {took:.3} s"
                ));
            }
            SnapshotResult::Installed {
                id, machine, took, ..
            } => {
                telemetry.snapshot_finished(SnapshotWork::Install, *took);
                let (index, length, took) = (id.last.index, id.length, took.as_secs_f64());
                let keys = machine.machine().len();
                log.info(format_args!(
                    "installed the leader's snapshot through entry {index}: {length} bytes, keys: \
                     {keys}, in {took:.3} s"
                ));
            }
            SnapshotResult::Broken { id, reason } => log.warn(format_args!(
                "dropped the leader's broken snapshot through entry {}: {reason}",
                id.last.index
            )),
            SnapshotResult::Damaged { id: _, reason } => log.warn(format_args!(
                "cannot send a stored snapshot, since bytes of it changed on disk: {reason}; the node \
                 stores a new one from its memory. Check the disk"
            )),
            SnapshotResult::NoSpare(reason) => log.warn(format_args!(
                "cannot make the next segment of the log ahead of need: {reason}; the node stops if \
                 this lasts until it is needed. Check the disk's room and the folder's permissions"
            )),
        }
    }
}
