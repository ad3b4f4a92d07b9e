//! The clients of a cluster, and the history of what they asked and were told.

use std::{collections::BTreeMap, mem};

use json::Value;
use raft_core::{Input, NodeId, Reply, Response, Ticket};
use rand::Rng;

use super::{
    machine::{Change, Command, Key, Outcome, Registers},
    options::Options,
    trace::Event,
};
use crate::history::{self, Call, ErrorCode, History, Impossible, Process, Stage};
use crate::rules::{Broken, CommandId};

/// How many requests a run has for each register. The check of a history takes longer the more
/// of them are open at once.
const REQUESTS_PER_KEY_MAX: u64 = 80;

/// How many writes a run has that nobody waits for.
const LOADS_MAX: u64 = 300;

/// A client's request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) ticket: Ticket,
    pub(super) key: Key,
    /// What to apply; nothing, if the request is a read.
    pub(super) command: Option<Command>,
}

/// All clients.
#[derive(Debug)]
pub(super) struct Clients {
    rng: Rng,
    keys: u64,
    values: u64,
    requests_max: u64,
    /// Requests so far of those who wait.
    requests: u64,
    /// Writes so far of those who do not.
    loads: u64,
    /// Tickets given out, which are the requests' numbers.
    tickets: u64,
    /// Requests that a living node owes an answer.
    open: BTreeMap<Ticket, Open>,
    /// Each client's present process; a client goes on as another one when it was told nothing.
    processes: Vec<Process>,
    next_process: u64,
    history: History,
}

#[derive(Debug)]
struct Open {
    request: Request,
    node: NodeId,
    /// The client that waits for it, while one does.
    waiting: Option<usize>,
}

impl Clients {
    pub(super) fn new(options: &Options, rng: Rng) -> Self {
        // The last one asks when all others are done.
        let processes = options.clients as u64 + 1;
        Self {
            rng,
            keys: options.keys,
            values: options.values,
            requests_max: options.keys * REQUESTS_PER_KEY_MAX,
            requests: 0,
            loads: 0,
            tickets: 0,
            open: BTreeMap::new(),
            processes: (0..processes).map(Process).collect(),
            next_process: processes,
            history: History::new(),
        }
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Whether no request waits for its answer.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether a node still owes an answer to this request.
    pub(super) fn is_open(&self, ticket: Ticket) -> bool {
        self.open.contains_key(&ticket)
    }

    /// A client thinks of a request; none, if there were enough.
    pub(super) fn invoke(
        &mut self,
        client: usize,
        node: NodeId,
        now: u64,
    ) -> Result<Option<Request>, Broken> {
        if self.requests >= self.requests_max {
            return Ok(None);
        }
        let values = self.values;
        let value = |rng: &mut Rng| rng.below(values) as u8;
        let change = match self.rng.below(4) {
            0 => Some(Change::Write(value(&mut self.rng))),
            1 => Some(Change::Cas {
                from: value(&mut self.rng),
                to: value(&mut self.rng),
            }),
            _ => None,
        };
        self.ask(client, node, change, now).map(Some)
    }

    /// One more write or read, when all clients are done.
    pub(super) fn last_wish(
        &mut self,
        node: NodeId,
        write: bool,
        now: u64,
    ) -> Result<Request, Broken> {
        let client = self.processes.len() - 1;
        self.ask(client, node, write.then_some(Change::Write(0)), now)
    }

    /// A write of somebody who does not wait for the answer, to a register that nobody else asks about:
    /// logs grow by it, and differ. None, if there were enough.
    pub(super) fn load(&mut self, node: NodeId) -> Option<Request> {
        if self.loads == LOADS_MAX {
            return None;
        }
        self.loads += 1;
        self.tickets += 1;
        let command = Command {
            id: CommandId(self.tickets),
            key: Key('a'),
            change: Change::Write(0),
        };
        let request = Request {
            ticket: Ticket(self.tickets),
            key: command.key,
            command: Some(command),
        };
        let open = Open {
            request: request.clone(),
            node,
            waiting: None,
        };
        self.open.insert(request.ticket, open);
        Some(request)
    }

    fn ask(
        &mut self,
        client: usize,
        node: NodeId,
        change: Option<Change>,
        now: u64,
    ) -> Result<Request, Broken> {
        self.requests += 1;
        self.tickets += 1;
        let key = Key(char::from(b'x' + self.rng.below(self.keys) as u8));
        let id = CommandId(self.tickets);
        let request = Request {
            ticket: Ticket(self.tickets),
            key,
            command: change.map(|change| Command { id, key, change }),
        };
        self.record(&request, client, now, Stage::Invoke)?;
        let open = Open {
            request: request.clone(),
            node,
            waiting: Some(client),
        };
        self.open.insert(request.ticket, open);
        Ok(request)
    }

    /// A client's patience ends. Returns it, if it was still waiting. The node still owes an answer.
    pub(super) fn give_up(&mut self, ticket: Ticket, now: u64) -> Result<Option<usize>, Broken> {
        let Some(open) = self.open.get_mut(&ticket) else {
            return Ok(None);
        };
        let request = open.request.clone();
        let Some(client) = open.waiting.take() else {
            return Ok(None);
        };
        self.record_unknown(&request, client, ErrorCode::TIMEOUT, now)?;
        Ok(Some(client))
    }

    /// A process died and owes no answers any more. Returns the clients that were waiting for it.
    pub(super) fn node_died(&mut self, node: NodeId, now: u64) -> Result<Vec<usize>, Broken> {
        let mut clients = Vec::new();
        let (died, open) = mem::take(&mut self.open)
            .into_iter()
            .partition(|(_, open): &(Ticket, Open)| open.node == node);
        self.open = open;
        let died: BTreeMap<Ticket, Open> = died;
        for open in died.into_values() {
            if let Some(client) = open.waiting {
                self.record_unknown(&open.request, client, ErrorCode::TIMEOUT, now)?;
                clients.push(client);
            }
        }
        Ok(clients)
    }

    /// A node answers. Returns the command that is answered, if it is one, and the client, if it was still
    /// waiting.
    pub(super) fn answered(
        &mut self,
        node: NodeId,
        reply: &Reply<Registers>,
        now: u64,
    ) -> Result<(Option<CommandId>, Option<usize>), Broken> {
        let open = self.open.remove(&reply.ticket);
        let Some(open) = open.filter(|open| open.node == node) else {
            return Err(Broken(format!(
                "every request has one answer: node {node} answers {:?} again, or unasked",
                reply.ticket
            )));
        };
        let Open {
            request, waiting, ..
        } = open;
        let command = request.command.as_ref().map(|command| command.id);
        let Some(client) = waiting else {
            return Ok((command, None));
        };
        let number = |value: u8| Value::from(u64::from(value));
        let outcome = match &reply.response {
            Response::Applied(Outcome::Done) => history::Outcome::Done,
            Response::Applied(Outcome::Absent) | Response::Answered(None) => {
                history::Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST)
            }
            Response::Applied(Outcome::Differs) => {
                history::Outcome::Failed(ErrorCode::PRECONDITION_FAILED)
            }
            Response::Answered(Some(value)) => history::Outcome::ReadOk(number(*value)),
            Response::Refused(_) => history::Outcome::Failed(ErrorCode(11)),
            Response::Unknown(_) => {
                self.record_unknown(&request, client, ErrorCode(13), now)?;
                return Ok((command, Some(client)));
            }
        };
        self.record(&request, client, now, Stage::Complete(outcome))?;
        Ok((command, Some(client)))
    }

    /// Nobody knows what became of a request; its client goes on as another process.
    fn record_unknown(
        &mut self,
        request: &Request,
        client: usize,
        code: ErrorCode,
        now: u64,
    ) -> Result<(), Broken> {
        let outcome = history::Outcome::Unknown(code);
        self.record(request, client, now, Stage::Complete(outcome))?;
        self.processes[client] = Process(self.next_process);
        self.next_process += 1;
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
            key: Value::from(request.key.to_string()),
            call: request.call(),
            stage,
        };
        let broken = |error: Impossible| Broken(format!("the history makes sense: {error}"));
        self.history.record(event).map_err(broken)
    }
}

impl Request {
    /// What the node is told.
    pub(super) fn input(self) -> Input<Registers> {
        let Self { ticket, key, .. } = self;
        match self.command {
            Some(command) => Input::Write { ticket, command },
            None => Input::Read { ticket, query: key },
        }
    }

    pub(super) fn event(&self, node: NodeId) -> Event {
        match &self.command {
            Some(command) => Event::Wrote(node, self.ticket, command.clone()),
            None => Event::Reads(node, self.ticket, self.key),
        }
    }

    fn call(&self) -> Call {
        let number = |value: u8| Value::from(u64::from(value));
        match self.command.as_ref().map(|command| command.change) {
            None => Call::Read,
            Some(Change::Write(value)) => Call::Write(number(value)),
            Some(Change::Cas { from, to }) => Call::Cas {
                from: number(from),
                to: number(to),
            },
        }
    }
}
