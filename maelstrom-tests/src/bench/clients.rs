//! The clients: their pending requests, and the outcome that an answer, or a time-out, means.
//!
//! As in Maelstrom, each worker sends one request at a time, always to the same node, and waits for
//! the answer up to a time-out. A request that surely had no effect fails. A read of unknown
//! outcome fails too, since it changed nothing. A write, cas or delete of unknown outcome may still
//! take effect, and its worker continues as a new process with a new client id.
//!
//! With sessions, each worker opens one at its first change, numbers its changes, and sends one again,
//! to the next node, until it has an answer. A history has it as one operation, so that it shows a
//! change that was made twice.
//!
//! There is no clock in here, and no pipe.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use json::Value;
use rand::Rng;

use super::network::Node;
use super::workload::{Request, Worker};
use crate::history::{Call, ErrorCode, Outcome, Process};

/// How often a change of a session is sent before its outcome counts as unknown. Its session may have
/// been evicted.
const ATTEMPTS_MAX: usize = 30;

/// The code of a refusal: the request has had no effect.
const REFUSED: ErrorCode = ErrorCode(11);

/// How long after an error a change of a session is sent again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a client rests that was refused. Otherwise the clients of a node that refuses at once would
/// make most of the requests, since the others wait for their answers.
const REST: Duration = Duration::from_millis(250);

/// The number that pairs a request with its answer; unique for each client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// All the clients of a run.
#[derive(Debug)]
pub struct Clients {
    rng: Rng,
    timeout: Duration,
    nodes: usize,
    has_sessions: bool,
    slots: Vec<Slot>,
    free: Vec<Worker>,
    /// One entry for each request, whether or not it has been answered since, in the order of
    /// their deadlines.
    deadlines: VecDeque<(Duration, Asked)>,
    /// When to send a worker's change again, or when a worker has rested.
    again: BTreeMap<Duration, Vec<Worker>>,
    /// How often changes were sent again, because the answer was an error or none came.
    pub retries: u64,
    /// Requests that timed out. Each may still be answered once.
    given_up: BTreeSet<(Process, MessageId)>,
    /// How many answers came after their request had timed out.
    pub late: u64,
}

#[derive(Debug)]
struct Slot {
    process: Process,
    node: Node,
    last_id: MessageId,
    pending: Option<Pending>,
    session: Option<Session>,
}

/// A change's place in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The session.
    pub id: u64,
    /// The number of the change.
    pub sequence: u64,
}

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The request as it is.
    Plain,
    /// Before the request: a session is to be opened.
    OpenSession,
    /// The request, in a session.
    InSession(Session),
}

#[derive(Debug)]
struct Pending {
    request: Request,
    /// How often it, or the opening of its session, was sent.
    attempts: usize,
    /// Whether it may have taken effect when it was sent before.
    is_unsure: bool,
    /// Whether it waits to be sent again.
    rests: bool,
}

/// A request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The client that sends it.
    pub worker: Worker,
    /// The process that it is now.
    pub process: Process,
    /// The node that it is sent to.
    pub node: Node,
    /// The request's number.
    pub id: MessageId,
    /// What is sent for it.
    pub sent: Sent,
}

/// A node's answer, before it is matched with its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `read_ok` with this value.
    ReadOk(Value),
    /// `write_ok`.
    WriteOk,
    /// `cas_ok`.
    CasOk,
    /// `delete_ok`.
    DeleteOk,
    /// `open_session_ok` with this id.
    SessionOpened(u64),
    /// An error with this code.
    Error(ErrorCode),
}

impl Answer {
    /// The `type` of its body.
    pub fn name(&self) -> &'static str {
        match self {
            Answer::ReadOk(_) => "read_ok",
            Answer::WriteOk => "write_ok",
            Answer::CasOk => "cas_ok",
            Answer::DeleteOk => "delete_ok",
            Answer::SessionOpened(_) => "open_session_ok",
            Answer::Error(_) => "error",
        }
    }
}

/// A request that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The process that sent it.
    pub process: Process,
    /// The request.
    pub request: Request,
    /// How it ended.
    pub outcome: Outcome,
}

/// Why an answer is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strange {
    /// There was no such request.
    NeverAsked,
    /// The request has been answered before.
    AnsweredTwice,
    /// It is the answer to another kind of request.
    WrongType,
}

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strange::NeverAsked => "it answers a request that was never made",
            Strange::AnsweredTwice => "it answers a request that has been answered before",
            Strange::WrongType => "it is not an answer to the kind of request that was made",
        })
    }
}

impl Clients {
    /// This many clients, the i-th bound to node i modulo the number of nodes. `rng` decides which
    /// idle client sends the next request.
    pub fn new(
        rng: Rng,
        clients: usize,
        nodes: usize,
        timeout: Duration,
        has_sessions: bool,
    ) -> Clients {
        let slot = |index: usize| Slot {
            process: Process(index as u64),
            node: node_of(Process(index as u64), clients, nodes),
            last_id: MessageId(0),
            pending: None,
            session: None,
        };
        Clients {
            rng,
            timeout,
            nodes,
            has_sessions,
            slots: (0..clients).map(slot).collect(),
            free: (0..clients).map(Worker).collect(),
            deadlines: VecDeque::new(),
            again: BTreeMap::new(),
            retries: 0,
            given_up: BTreeSet::new(),
            late: 0,
        }
    }

    /// Takes one of the idle workers, with the process that it is now; it must
    /// [`ask`](Clients::ask) next.
    pub fn take_idle(&mut self) -> Option<(Worker, Process)> {
        if self.free.is_empty() {
            return None;
        }
        let index = self.rng.below(self.free.len() as u64) as usize;
        let worker = self.free.swap_remove(index);
        Some((worker, self.slots[worker.0].process))
    }

    /// Whether some worker is idle.
    pub fn any_idle(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether all are.
    pub fn all_idle(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Notes that an idle worker's request is sent now.
    pub fn ask(&mut self, now: Duration, worker: Worker, request: Request) -> Asked {
        let slot = &mut self.slots[worker.0];
        let changes = request.call != Call::Read;
        if let Some(session) = &mut slot.session {
            session.sequence += u64::from(changes);
        }
        slot.pending = Some(Pending {
            request,
            attempts: 0,
            is_unsure: false,
            rests: false,
        });
        let sent = match (self.has_sessions && changes, slot.session) {
            (false, _) => Sent::Plain,
            (true, None) => Sent::OpenSession,
            (true, Some(session)) => Sent::InSession(session),
        };
        self.attempt(now, worker, sent)
    }

    /// Sends a worker's pending request.
    fn attempt(&mut self, now: Duration, worker: Worker, sent: Sent) -> Asked {
        let slot = &mut self.slots[worker.0];
        let pending = slot.pending.as_mut().expect("it is pending");
        let node = Node((slot.node.0 + pending.attempts) % self.nodes);
        pending.attempts += 1;
        pending.rests = false;
        slot.last_id.0 += 1;
        let asked = Asked {
            worker,
            process: slot.process,
            node,
            id: slot.last_id,
            sent,
        };
        self.deadlines.push_back((now + self.timeout, asked));
        asked
    }

    /// The next change of a session that is to be sent again by now. The workers that have rested until
    /// then are idle.
    pub fn ask_again(&mut self, now: Duration) -> Option<(Asked, Request)> {
        loop {
            let mut first = self
                .again
                .first_entry()
                .filter(|first| *first.key() <= now)?;
            let worker = first.get_mut().pop().expect("an entry has a worker");
            if first.get().is_empty() {
                first.remove();
            }
            let slot = &self.slots[worker.0];
            let Some(pending) = &slot.pending else {
                self.free.push(worker);
                continue;
            };
            let request = pending.request.clone();
            let sent = slot.session.map_or(Sent::OpenSession, Sent::InSession);
            return Some((self.attempt(now, worker, sent), request));
        }
    }

    /// When the next change is to be sent again, or a worker has rested.
    pub fn again_due(&self) -> Option<Duration> {
        self.again.first_key_value().map(|(due, _)| *due)
    }

    /// Whether a pending request is one of a session that is to be sent again after this error.
    fn may_repeat(&self, pending: &Pending, code: ErrorCode) -> bool {
        let is_temporary = matches!(code, ErrorCode::TIMEOUT | REFUSED | ErrorCode(13));
        let changes = pending.request.call != Call::Read;
        self.has_sessions && changes && is_temporary && pending.attempts < ATTEMPTS_MAX
    }

    /// Lets a worker send its pending request again at this time.
    fn repeat(&mut self, at: Duration, worker: Worker, pending: Pending) {
        let rests = true;
        self.slots[worker.0].pending = Some(Pending { rests, ..pending });
        self.again.entry(at).or_default().push(worker);
    }

    /// Takes an answer to a process's request. `None` if the request had timed out, or is to be sent
    /// (again).
    ///
    /// # Errors
    /// It cannot be the answer to any request.
    pub fn answer(
        &mut self,
        now: Duration,
        process: Process,
        id: MessageId,
        answer: Answer,
    ) -> Result<Option<Completion>, Strange> {
        let index = (process.0 % self.slots.len() as u64) as usize;
        let slot = &mut self.slots[index];
        let asked = match slot.process {
            current if current == process => id <= slot.last_id,
            current => process < current,
        };
        if !asked || id == MessageId(0) {
            return Err(Strange::NeverAsked);
        }
        if self.given_up.remove(&(process, id)) {
            self.late += 1;
            return Ok(None);
        }
        if slot.process != process || slot.last_id != id {
            return Err(Strange::AnsweredTwice);
        }
        // What was answered already waits to be sent again.
        let Some(mut pending) = slot.pending.take_if(|pending| !pending.rests) else {
            return Err(Strange::AnsweredTwice);
        };
        let opens =
            self.has_sessions && slot.session.is_none() && pending.request.call != Call::Read;
        match answer {
            Answer::SessionOpened(id) if opens => {
                slot.session = Some(Session { id, sequence: 1 });
                (pending.attempts, pending.is_unsure) = (0, false);
                self.repeat(now, Worker(index), pending);
                return Ok(None);
            }
            Answer::Error(code) if self.may_repeat(&pending, code) => {
                self.retries += 1;
                pending.is_unsure |= code != REFUSED;
                self.repeat(now + AGAIN, Worker(index), pending);
                return Ok(None);
            }
            _ if opens && !matches!(answer, Answer::Error(_)) => return Err(Strange::WrongType),
            _ => {}
        }
        let answer = match answer {
            // Only this time it has certainly had no effect.
            Answer::Error(REFUSED) if pending.is_unsure => Answer::Error(ErrorCode::TIMEOUT),
            answer => answer,
        };
        let outcome = outcome(&pending.request.call, answer)?;
        Ok(Some(self.complete(now, Worker(index), pending, outcome)))
    }

    /// Ends a process's request, or sends it again, with this error because its connection was lost.
    /// `None` also if it had been answered or had timed out.
    pub fn lose(
        &mut self,
        now: Duration,
        process: Process,
        id: MessageId,
        code: ErrorCode,
    ) -> Option<Completion> {
        if self.given_up.contains(&(process, id)) {
            return None;
        }
        let ended = self.answer(now, process, id, Answer::Error(code));
        ended.unwrap_or_else(|strange| match strange {
            Strange::AnsweredTwice => None,
            Strange::NeverAsked | Strange::WrongType => unreachable!("it was sent"),
        })
    }

    /// Whether a process with this number has existed.
    pub fn knows(&self, process: Process) -> bool {
        let index = (process.0 % self.slots.len() as u64) as usize;
        process <= self.slots[index].process
    }

    /// When the next request may time out.
    pub fn due(&mut self) -> Option<Duration> {
        while let Some((at, next)) = self.deadlines.front() {
            let slot = &self.slots[next.worker.0];
            let waits = (slot.process, slot.last_id) == (next.process, next.id);
            if waits && slot.pending.as_ref().is_some_and(|pending| !pending.rests) {
                return Some(*at);
            }
            self.deadlines.pop_front();
        }
        None
    }

    /// Ends the next request whose time-out is due at `now`, unless it is to be sent again.
    pub fn time_out(&mut self, now: Duration) -> Option<Completion> {
        let (worker, pending) = loop {
            if self.due()? > now {
                return None;
            }
            let (_, asked) = self.deadlines.pop_front()?;
            let worker = asked.worker;
            let mut pending = self.slots[worker.0].pending.take()?;
            self.given_up.insert((asked.process, asked.id));
            if !self.may_repeat(&pending, ErrorCode::TIMEOUT) {
                break (worker, pending);
            }
            self.retries += 1;
            pending.is_unsure = true;
            self.repeat(now, worker, pending);
        };
        let outcome = failure(&pending.request.call, ErrorCode::TIMEOUT);
        Some(self.complete(now, worker, pending, outcome))
    }

    fn complete(
        &mut self,
        now: Duration,
        worker: Worker,
        pending: Pending,
        outcome: Outcome,
    ) -> Completion {
        let step = self.slots.len() as u64;
        let slot = &mut self.slots[worker.0];
        let process = slot.process;
        match outcome {
            Outcome::Failed(REFUSED) => self.again.entry(now + REST).or_default().push(worker),
            Outcome::ReadOk(_) | Outcome::Done | Outcome::Failed(_) => self.free.push(worker),
            Outcome::Unknown(_) => {
                slot.process = Process(process.0 + step);
                slot.last_id = MessageId(0);
                // Its answers may be forgotten.
                slot.session = None;
                self.free.push(worker);
            }
        }
        Completion {
            process,
            request: pending.request,
            outcome,
        }
    }
}

/// The node that a process asks, of this many clients and nodes. A worker asks the same node under
/// all its process numbers.
pub fn node_of(process: Process, clients: usize, nodes: usize) -> Node {
    Node((process.0 % clients as u64) as usize % nodes)
}

/// The outcome that an answer to a call means.
///
/// # Errors
/// It is the answer to another kind of request.
pub fn outcome(call: &Call, answer: Answer) -> Result<Outcome, Strange> {
    match (call, answer) {
        (Call::Read, Answer::ReadOk(value)) => Ok(Outcome::ReadOk(value)),
        (Call::Write(_), Answer::WriteOk)
        | (Call::Cas { .. }, Answer::CasOk)
        | (Call::Delete, Answer::DeleteOk) => Ok(Outcome::Done),
        (call, Answer::Error(code)) => Ok(failure(call, code)),
        (
            Call::Read | Call::Write(_) | Call::Cas { .. } | Call::Delete,
            Answer::ReadOk(_)
            | Answer::WriteOk
            | Answer::CasOk
            | Answer::DeleteOk
            | Answer::SessionOpened(_),
        ) => Err(Strange::WrongType),
    }
}

fn failure(call: &Call, code: ErrorCode) -> Outcome {
    match call {
        Call::Read => Outcome::Failed(code),
        Call::Write(_) | Call::Cas { .. } | Call::Delete if code.is_definite() => {
            Outcome::Failed(code)
        }
        Call::Write(_) | Call::Cas { .. } | Call::Delete => Outcome::Unknown(code),
    }
}

#[cfg(test)]
mod tests;
