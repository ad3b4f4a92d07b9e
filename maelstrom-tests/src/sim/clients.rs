//! The clients of a cluster: the bench's workload, and the history of requests and answers.
//!
//! Some clients have sessions of their own (thesis §6.3): such a client numbers its writes, and sends
//! one again, to any node, until it has an answer. It is one operation of the history all the same,
//! so that the history shows a command that was applied twice.

use std::collections::{BTreeMap, BTreeSet};

use json::{Value, value};
use raft::kv;
use raft::sessions::SessionId;
use raft_core::{Index, Input, NodeId, Reply, Response, Ticket};
use rand::Rng;

use super::machine::{Command, Numbered, Outcome, Store};
use super::options::Options;
use super::trace::Event;
use crate::bench::network::Millionths;
use crate::bench::workload::{self, Plan, Worker, Workload};
use crate::history::{self, Call, ErrorCode, History, Process, Stage};
use crate::rules::{Broken, CommandId, Subject as _};

/// The most requests of a run, except the last ones.
const REQUESTS_MAX: u64 = 400;

/// The most writes of a run whose clients do not wait.
const LOADS_MAX: u64 = 300;

/// A client's request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) ticket: Ticket,
    key: Value,
    call: Call,
    /// The command, unless the request is a read.
    pub(super) command: Option<Numbered>,
}

/// The session of a client.
#[derive(Debug, Default)]
struct Session {
    /// Its id, once it is open.
    id: Option<SessionId>,
    /// The number of the last write.
    sequence: u64,
    /// The last write, until it has an answer.
    write: Option<Request>,
}

/// All clients.
#[derive(Debug)]
pub(super) struct Clients {
    rng: Rng,
    workload: Workload,
    retried_permille: u64,
    load_bytes: u64,
    /// Requests so far whose clients wait.
    requests: u64,
    /// Writes so far whose clients do not wait.
    loads: u64,
    /// The number of requests so far, which is also the last ticket.
    tickets: u64,
    /// Requests that a running process must answer.
    open: BTreeMap<Ticket, Open>,
    /// Requests that are neither a read nor a write, and the nodes that must answer them.
    others: BTreeMap<Ticket, (NodeId, Kind)>,
    /// Each client's present process. After a request without a certain answer it takes a new one.
    processes: Vec<Process>,
    /// Requests that will be sent again, as new ones.
    again: BTreeMap<usize, workload::Request>,
    /// The sessions of the first clients.
    sessions: Vec<Session>,
    /// Writes of sessions that were sent again after they had been applied.
    pub(super) repeated: BTreeSet<Ticket>,
    next_process: u64,
    pub(super) history: History,
    /// How many requests were sent again.
    pub(super) retries: u64,
    /// How many of the last requests were not served.
    pub(super) unserved_at_last: u64,
}

/// The kinds of requests that are neither a read nor a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Transfer,
    Change,
    /// A snapshot through this index or a later one.
    Snapshot(Index),
}

#[derive(Debug)]
struct Open {
    request: Request,
    node: NodeId,
    /// The client that waits for the answer.
    waiting: Option<usize>,
}

impl Clients {
    pub(super) fn new(options: &Options, mut rng: Rng) -> Self {
        let plan = Plan {
            workers: options.clients as usize,
            keys_at_once: options.keys as usize,
            operations_per_key: options.key_operations,
            deletes: Millionths(options.deletes_permille as u32 * 1000),
        };
        // One more for the last requests.
        let processes = options.clients + 1;
        let sessions = options.session_clients.min(options.clients);
        Self {
            workload: Workload::new(rng.fork(), plan),
            rng,
            retried_permille: options.retried_permille,
            load_bytes: options.load_bytes,
            requests: 0,
            loads: 0,
            tickets: 0,
            open: BTreeMap::new(),
            others: BTreeMap::new(),
            processes: (0..processes).map(Process).collect(),
            again: BTreeMap::new(),
            sessions: (0..sessions).map(|_| Session::default()).collect(),
            repeated: BTreeSet::new(),
            next_process: processes,
            history: History::new(),
            retries: 0,
            unserved_at_last: 0,
        }
    }

    /// Whether no request is open, except at nodes that are cut off, and for snapshots at nodes that
    /// are gone: their disks may hang for ever, and a snapshot has no deadline.
    pub(super) fn is_idle_but_for(
        &self,
        exiled: &BTreeSet<NodeId>,
        is_gone: impl Fn(NodeId) -> bool,
    ) -> bool {
        let open = self.open.values().map(|open| open.node);
        let others = self.others.values().filter(|(node, kind)| {
            let is_snapshot = matches!(kind, Kind::Snapshot(_));
            !(is_snapshot && is_gone(*node))
        });
        let mut nodes = open.chain(others.map(|(node, _)| *node));
        nodes.all(|node| exiled.contains(&node))
    }

    /// Whether an open request is one of a client's session.
    pub(super) fn has_session(&self, ticket: Ticket) -> bool {
        let open = self.open.get(&ticket);
        open.is_some_and(|open| open.request.is_of_a_session())
    }

    /// Whether a request is open.
    pub(super) fn is_open(&self, ticket: Ticket) -> bool {
        self.open.contains_key(&ticket)
    }

    /// Invents a client's next request, unless there were enough.
    pub(super) fn invoke(
        &mut self,
        client: usize,
        node: NodeId,
        now: u64,
    ) -> Result<Option<Request>, Broken> {
        if self.requests >= REQUESTS_MAX {
            return Ok(None);
        }
        self.requests += 1;
        if let Some(session) = self.sessions.get(client) {
            self.retries += u64::from(session.write.is_some());
            let mut request = match (session.write.clone(), session.id) {
                (Some(write), _) => write,
                (None, Some(id)) => return self.invoke_in(id, client, node, now).map(Some),
                (None, None) => Request {
                    ticket: Ticket(0),
                    key: Value::Null,
                    call: Call::Read,
                    command: Some(Numbered::Open),
                },
            };
            request.ticket = self.next_ticket();
            return Ok(Some(self.open(request, node, Some(client))));
        }
        let again = self.again.remove(&client);
        self.retries += u64::from(again.is_some());
        let next = || self.workload.next(Worker(client), self.processes[client]);
        let workload::Request { key, call } = again.unwrap_or_else(next);
        let request = self.request(Value::from(key), call, false);
        self.ask(request, client, node, now).map(Some)
    }

    /// Invents the next request of a client with an open session.
    fn invoke_in(
        &mut self,
        id: SessionId,
        client: usize,
        node: NodeId,
        now: u64,
    ) -> Result<Request, Broken> {
        let process = self.processes[client];
        let workload::Request { key, call } = self.workload.next(Worker(client), process);
        let mut request = self.request(Value::from(key), call, false);
        if let Some(Numbered::Plain(command)) = request.command {
            let session = &mut self.sessions[client];
            session.sequence += 1;
            request.command = Some(Numbered::Do {
                session: id,
                sequence: session.sequence,
                // All before it have answers.
                acknowledged: session.sequence,
                command,
            });
            session.write = Some(request.clone());
        }
        self.ask(request, client, node, now)
    }

    /// A write or a read after all clients are done.
    pub(super) fn last_request(
        &mut self,
        node: NodeId,
        write: bool,
        now: u64,
    ) -> Result<Request, Broken> {
        let request = self.request(value!("end"), write_or_read(write), false);
        self.ask(request, self.processes.len() - 1, node, now)
    }

    /// A write whose client does not wait, to a key of its own, unless there were enough: logs grow
    /// by it, and differ.
    pub(super) fn load(&mut self, node: NodeId) -> Option<Request> {
        if self.loads == LOADS_MAX {
            return None;
        }
        self.loads += 1;
        let length = self.rng.range(1..=self.load_bytes) as usize;
        let to = Value::from("x".repeat(length));
        let (call, create) = if self.rng.chance(1, 4) {
            let from = value!("x");
            (Call::Cas { from, to }, self.rng.chance(1, 2))
        } else {
            (Call::Write(to), false)
        };
        let request = self.request(value!("load"), call, create);
        Some(self.open(request, node, None))
    }

    /// A request whose client does not wait, to a key of its own.
    pub(super) fn probe(&mut self, node: NodeId, write: bool) -> Request {
        let request = self.request(value!("probe"), write_or_read(write), false);
        self.open(request, node, None)
    }

    /// A request of this kind, whose client does not wait. Returns its ticket.
    pub(super) fn ask_for(&mut self, kind: Kind, node: NodeId) -> Ticket {
        let ticket = self.next_ticket();
        self.others.insert(ticket, (node, kind));
        ticket
    }

    /// The kind of such a request, if a node's answer ends one.
    pub(super) fn ended(&mut self, node: NodeId, ticket: Ticket) -> Option<Kind> {
        let asked = self.others.get(&ticket);
        asked.filter(|(asked, _)| *asked == node)?;
        self.others.remove(&ticket).map(|(_, kind)| kind)
    }

    fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn request(&mut self, key: Value, call: Call, create: bool) -> Request {
        let (ticket, name) = (self.next_ticket(), key.clone().into());
        let id = ticket.0;
        let change = match &call {
            Call::Read => None,
            Call::Write(value) => Some(kv::Command::Write {
                key: name,
                value: value.clone().into(),
            }),
            Call::Cas { from, to } => Some(kv::Command::Cas {
                key: name,
                from: from.clone().into(),
                to: to.clone().into(),
                create_if_not_exists: create,
            }),
            Call::Delete => Some(kv::Command::Delete { key: name }),
        };
        Request {
            ticket,
            key,
            call,
            command: change.map(|change| Numbered::Plain(Command { id, change })),
        }
    }

    fn open(&mut self, request: Request, node: NodeId, waiting: Option<usize>) -> Request {
        let open = Open {
            request: request.clone(),
            node,
            waiting,
        };
        self.open.insert(request.ticket, open);
        request
    }

    /// A client invokes an operation of the history.
    fn ask(
        &mut self,
        request: Request,
        client: usize,
        node: NodeId,
        now: u64,
    ) -> Result<Request, Broken> {
        self.record(&request, client, now, Stage::Invoke)?;
        Ok(self.open(request, node, Some(client)))
    }

    /// A client's timeout. Returns the client, if it was waiting. The node must still answer.
    pub(super) fn give_up(&mut self, ticket: Ticket, now: u64) -> Result<Option<usize>, Broken> {
        let open = self.open.get_mut(&ticket);
        let waiting = open.and_then(|open| Some((open.waiting.take()?, open.request.clone())));
        let Some((client, request)) = waiting else {
            return Ok(None);
        };
        if !request.is_of_a_session() {
            let outcome = history::Outcome::Unknown(ErrorCode::TIMEOUT);
            self.complete(&request, client, now, outcome)?;
        }
        Ok(Some(client))
    }

    /// A process died. Returns the clients that were waiting for it.
    pub(super) fn node_died(&mut self, node: NodeId, now: u64) -> Result<Vec<usize>, Broken> {
        self.others.retain(|_, (asked, _)| *asked != node);
        let lost = self.open.iter().filter(|(_, open)| open.node == node);
        let lost: Vec<Ticket> = lost.map(|(ticket, _)| *ticket).collect();
        let mut clients = Vec::new();
        for ticket in lost {
            clients.extend(self.give_up(ticket, now)?);
            self.open.remove(&ticket);
        }
        Ok(clients)
    }

    /// A node answers. Returns the command whose outcome that is, unless it was a read, and the
    /// client, if it was waiting.
    pub(super) fn answered(
        &mut self,
        node: NodeId,
        reply: &Reply<Store>,
        now: u64,
    ) -> Result<(Option<CommandId>, Option<usize>), Broken> {
        let open = self.open.remove(&reply.ticket);
        let Some(open) = open.filter(|open| open.node == node) else {
            return Err(Broken(format!(
                "every request must have one answer: node {node} answers {:?} again or unasked",
                reply.ticket
            )));
        };
        let (request, waiting) = (open.request, open.waiting);
        let command = request.command.as_ref().and_then(Store::id);
        if request.is_of_a_session() {
            match (&reply.response, waiting) {
                (Response::Applied(Outcome::Opened(id)), Some(client)) => {
                    self.sessions[client] = Session {
                        id: Some(*id),
                        ..Session::default()
                    };
                    return Ok((None, waiting));
                }
                // Another copy may be applied, or may have been.
                (Response::Refused(_) | Response::Unknown, _) => return Ok((None, waiting)),
                (Response::Applied(Outcome::Unknown), Some(client)) => {
                    self.sessions[client] = Session::default();
                }
                (_, Some(client)) => self.sessions[client].write = None,
                (_, None) => {}
            }
        }
        let Some(client) = waiting else {
            return Ok((command, None));
        };
        let is_served = matches!(
            reply.response,
            Response::Applied(Outcome::Done(_)) | Response::Answered(_)
        );
        if client == self.processes.len() - 1 {
            self.unserved_at_last += u64::from(!is_served);
        }
        let outcome = match &reply.response {
            Response::Applied(Outcome::Done(
                kv::Outcome::Written | kv::Outcome::Swapped | kv::Outcome::Deleted,
            )) => history::Outcome::Done,
            Response::Applied(Outcome::Done(kv::Outcome::Missing)) | Response::Answered(None) => {
                history::Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST)
            }
            Response::Applied(Outcome::Done(kv::Outcome::Mismatch { found: _ })) => {
                history::Outcome::Failed(ErrorCode::PRECONDITION_FAILED)
            }
            Response::Answered(Some(value)) => history::Outcome::ReadOk(value.to_value()),
            Response::Refused(_) => history::Outcome::Failed(ErrorCode(11)),
            Response::Transferred | Response::MembersChanged | Response::SnapshotStored(_) => {
                return Err(Broken(format!(
                    "a request must not be answered as another one: node {node} answers {:?}",
                    reply.ticket
                )));
            }
            Response::Unknown
            | Response::Applied(Outcome::Unknown | Outcome::Opened(_) | Outcome::Closed) => {
                history::Outcome::Unknown(ErrorCode(13))
            }
        };
        self.complete(&request, client, now, outcome)?;
        Ok((command, Some(client)))
    }

    /// A client's operation ends. Without a certain answer the client takes a new process.
    fn complete(
        &mut self,
        request: &Request,
        client: usize,
        now: u64,
        outcome: history::Outcome,
    ) -> Result<(), Broken> {
        let is_certain = !matches!(outcome, history::Outcome::Unknown(_));
        self.record(request, client, now, Stage::Complete(outcome))?;
        if is_certain {
            return Ok(());
        }
        self.processes[client] = Process(self.next_process);
        self.next_process += 1;
        let is_last = client == self.processes.len() - 1;
        if !is_last && self.rng.chance(self.retried_permille, 1000) {
            let (key, call) = (request.key.as_u64(), request.call.clone());
            let key = key.expect("the workload's keys are numbers");
            self.again.insert(client, workload::Request { key, call });
        }
        Ok(())
    }

    fn record(
        &mut self,
        request: &Request,
        client: usize,
        now: u64,
        stage: Stage,
    ) -> Result<(), Broken> {
        let event = history::Event {
            process: self.processes[client],
            time_ns: now,
            key: request.key.clone(),
            call: request.call.clone(),
            stage,
        };
        let broken = |error| Broken(format!("the history must be consistent: {error}"));
        self.history.record(event).map_err(broken)
    }
}

impl Request {
    /// Whether it opens a client's session, or is a write of one: the client sends it again.
    fn is_of_a_session(&self) -> bool {
        matches!(self.command, Some(Numbered::Open | Numbered::Do { .. }))
    }

    /// The replica's input.
    pub(super) fn input(self) -> Input<Store> {
        let (ticket, key) = (self.ticket, self.key);
        match self.command {
            Some(command) => Input::Write { ticket, command },
            None => Input::Read {
                ticket,
                query: key.into(),
            },
        }
    }

    pub(super) fn event(&self, node: NodeId) -> Event {
        match &self.command {
            Some(command) => Event::Wrote(node, self.ticket, command.clone()),
            None => Event::Reads(node, self.ticket, self.key.clone().into()),
        }
    }
}

fn write_or_read(write: bool) -> Call {
    match write {
        true => Call::Write(value!(0)),
        false => Call::Read,
    }
}
