//! The clients: their pending requests, and the outcome that an answer, or a time-out, means.
//!
//! As in Maelstrom, each worker sends one request at a time, always to the same node, and waits for
//! the answer up to a time-out. A request that surely had no effect fails. A read of unknown
//! outcome fails too, since it changed nothing. A write, cas or delete of unknown outcome may still
//! take effect, and its worker continues as a new process with a new client id.
//!
//! There is no clock in here, and no pipe.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use json::Value;
use rand::Rng;

use super::network::Node;
use super::workload::{Request, Worker};
use crate::history::{Call, ErrorCode, Outcome, Process};

/// The number that pairs a request with its answer; unique for each client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// All the clients of a run.
#[derive(Debug)]
pub struct Clients {
    rng: Rng,
    timeout: Duration,
    slots: Vec<Slot>,
    free: Vec<Worker>,
    /// One entry for each request, whether or not it has been answered since, in the order of
    /// their deadlines.
    deadlines: VecDeque<Deadline>,
    /// Requests that timed out. Each may still be answered once.
    given_up: BTreeSet<(Process, MessageId)>,
    /// How many answers came after their request had timed out.
    late: u64,
}

#[derive(Debug)]
struct Slot {
    process: Process,
    node: Node,
    last_id: MessageId,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Deadline {
    at: Duration,
    worker: Worker,
    process: Process,
    id: MessageId,
}

#[derive(Debug)]
struct Pending {
    request: Request,
    invoked: Duration,
}

/// A request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The process that sends it.
    pub process: Process,
    /// The node that it is sent to.
    pub node: Node,
    /// The request's number.
    pub id: MessageId,
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
            Answer::Error(_) => "error",
        }
    }
}

/// A request that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The process that sent it.
    pub process: Process,
    /// The node that it was sent to.
    pub node: Node,
    /// The request.
    pub request: Request,
    /// When it was sent.
    pub invoked: Duration,
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
    pub fn new(rng: Rng, clients: usize, nodes: usize, timeout: Duration) -> Clients {
        let slot = |index: usize| Slot {
            process: Process(index as u64),
            node: node_of(Process(index as u64), clients, nodes),
            last_id: MessageId(0),
            pending: None,
        };
        Clients {
            rng,
            timeout,
            slots: (0..clients).map(slot).collect(),
            free: (0..clients).map(Worker).collect(),
            deadlines: VecDeque::new(),
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
        slot.last_id.0 += 1;
        slot.pending = Some(Pending {
            request,
            invoked: now,
        });
        self.deadlines.push_back(Deadline {
            at: now + self.timeout,
            worker,
            process: slot.process,
            id: slot.last_id,
        });
        Asked {
            process: slot.process,
            node: slot.node,
            id: slot.last_id,
        }
    }

    /// Takes an answer to a process's request. `None` if the request had timed out.
    ///
    /// # Errors
    /// It cannot be the answer to any request.
    pub fn answer(
        &mut self,
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
        let Some(pending) = slot.pending.take() else {
            return Err(Strange::AnsweredTwice);
        };
        let outcome = outcome(&pending.request.call, answer)?;
        Ok(Some(self.complete(Worker(index), pending, outcome)))
    }

    /// Whether a process with this number has existed.
    pub fn knows(&self, process: Process) -> bool {
        let index = (process.0 % self.slots.len() as u64) as usize;
        process <= self.slots[index].process
    }

    /// When the next request may time out.
    pub fn due(&mut self) -> Option<Duration> {
        while let Some(next) = self.deadlines.front() {
            let slot = &self.slots[next.worker.0];
            let waits = (slot.process, slot.last_id) == (next.process, next.id);
            if waits && slot.pending.is_some() {
                return Some(next.at);
            }
            self.deadlines.pop_front();
        }
        None
    }

    /// Ends the next request whose time-out is due at `now`.
    pub fn time_out(&mut self, now: Duration) -> Option<Completion> {
        if self.due()? > now {
            return None;
        }
        let Deadline {
            worker,
            process,
            id,
            at: _,
        } = self.deadlines.pop_front()?;
        let pending = self.slots[worker.0].pending.take()?;
        self.given_up.insert((process, id));
        let outcome = failure(&pending.request.call, ErrorCode::TIMEOUT);
        Some(self.complete(worker, pending, outcome))
    }

    /// How many answers came after their request had timed out.
    pub fn late(&self) -> u64 {
        self.late
    }

    fn complete(&mut self, worker: Worker, pending: Pending, outcome: Outcome) -> Completion {
        let step = self.slots.len() as u64;
        let slot = &mut self.slots[worker.0];
        let process = slot.process;
        match outcome {
            Outcome::ReadOk(_) | Outcome::Done | Outcome::Failed(_) => {}
            Outcome::Unknown(_) => {
                slot.process = Process(process.0 + step);
                slot.last_id = MessageId(0);
            }
        }
        self.free.push(worker);
        Completion {
            process,
            node: slot.node,
            request: pending.request,
            invoked: pending.invoked,
            outcome,
        }
    }
}

/// The node that a process asks, of this many clients and nodes. A worker asks the same node under
/// all its process numbers.
pub fn node_of(process: Process, clients: usize, nodes: usize) -> Node {
    Node((process.0 % clients as u64) as usize % nodes)
}

fn outcome(call: &Call, answer: Answer) -> Result<Outcome, Strange> {
    match (call, answer) {
        (Call::Read, Answer::ReadOk(value)) => Ok(Outcome::ReadOk(value)),
        (Call::Write(_), Answer::WriteOk)
        | (Call::Cas { .. }, Answer::CasOk)
        | (Call::Delete, Answer::DeleteOk) => Ok(Outcome::Done),
        (call, Answer::Error(code)) => Ok(failure(call, code)),
        (
            Call::Read | Call::Write(_) | Call::Cas { .. } | Call::Delete,
            Answer::ReadOk(_) | Answer::WriteOk | Answer::CasOk | Answer::DeleteOk,
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
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    fn clients() -> Clients {
        Clients::new(Rng::seeded(1), 4, 3, TIMEOUT)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn read() -> Request {
        Request {
            key: 0,
            call: Call::Read,
        }
    }

    fn write() -> Request {
        Request {
            key: 0,
            call: Call::Write(Value::from(1_u64)),
        }
    }

    /// Lets the worker with this number ask.
    fn ask(clients: &mut Clients, worker: usize, now: Duration, request: Request) -> Asked {
        clients.free.retain(|free| free.0 != worker);
        clients.ask(now, Worker(worker), request)
    }

    #[test]
    fn clients_keep_to_their_node() {
        let mut clients = clients();
        let nodes: Vec<usize> = (0..4)
            .map(|worker| ask(&mut clients, worker, ms(0), read()).node.0)
            .collect();
        assert_eq!(nodes, [0, 1, 2, 0]);
        assert!(!clients.any_idle());
    }

    #[test]
    fn an_answer_ends_its_request_once() {
        let mut clients = clients();
        let asked = ask(&mut clients, 2, ms(5), read());
        assert_eq!((asked.process, asked.id), (Process(2), MessageId(1)));
        let value = || Answer::ReadOk(Value::from(3_u64));
        let done = clients.answer(Process(2), MessageId(1), value());
        let done = done.expect("a good answer").expect("a completion");
        assert_eq!(done.outcome, Outcome::ReadOk(Value::from(3_u64)));
        assert_eq!((done.invoked, done.node), (ms(5), Node(2)));
        assert!(clients.all_idle());
        let mut again = |process, id| clients.answer(Process(process), MessageId(id), value());
        assert_eq!(again(2, 1), Err(Strange::AnsweredTwice));
        assert_eq!(again(2, 2), Err(Strange::NeverAsked));
        assert_eq!(again(2, 0), Err(Strange::NeverAsked));
        assert_eq!(again(1, 1), Err(Strange::NeverAsked));
        assert_eq!(again(6, 1), Err(Strange::NeverAsked));
        assert_eq!(clients.due(), None);
    }

    #[test]
    fn an_answer_of_another_type_is_rejected() {
        let mut clients = clients();
        for (request, answer) in [
            (read(), Answer::WriteOk),
            (write(), Answer::CasOk),
            (write(), Answer::ReadOk(Value::Null)),
            (write(), Answer::DeleteOk),
        ] {
            let (worker, process) = clients.take_idle().expect("an idle worker");
            let asked = clients.ask(ms(0), worker, request);
            assert_eq!(asked.process, process);
            let refused = clients.answer(process, asked.id, answer);
            assert_eq!(refused, Err(Strange::WrongType));
        }
    }

    #[test]
    fn errors_mean_what_they_mean_for_each_call() {
        let code = ErrorCode;
        for (request, error, outcome) in [
            (read(), 20, Outcome::Failed(code(20))),
            (read(), 13, Outcome::Failed(code(13))),
            (write(), 11, Outcome::Failed(code(11))),
            (write(), 22, Outcome::Failed(code(22))),
            (write(), 13, Outcome::Unknown(code(13))),
            (write(), 1000, Outcome::Unknown(code(1000))),
        ] {
            let mut clients = clients();
            let asked = ask(&mut clients, 1, ms(0), request);
            let done = clients.answer(asked.process, asked.id, Answer::Error(code(error)));
            assert_eq!(
                done.expect("a good answer").expect("a completion").outcome,
                outcome
            );
        }
    }

    #[test]
    fn time_outs_fail_reads_and_leave_writes_unknown() {
        let mut clients = clients();
        ask(&mut clients, 0, ms(0), read());
        ask(&mut clients, 1, ms(1), write());
        assert_eq!(clients.due(), Some(TIMEOUT));
        assert_eq!(clients.time_out(ms(999)), None);
        let done = clients.time_out(ms(1000)).expect("it is time");
        assert_eq!(done.outcome, Outcome::Failed(ErrorCode::TIMEOUT));
        assert_eq!(clients.time_out(ms(1000)), None);
        let done = clients.time_out(ms(1001)).expect("it is time");
        assert_eq!(done.outcome, Outcome::Unknown(ErrorCode::TIMEOUT));
        assert_eq!(clients.due(), None);

        // The reader goes on as it was, the writer as a new process.
        assert_eq!(ask(&mut clients, 0, ms(2000), read()).process, Process(0));
        let asked = ask(&mut clients, 1, ms(2000), write());
        assert_eq!((asked.process, asked.id), (Process(5), MessageId(1)));
        assert!(clients.knows(Process(5)) && clients.knows(Process(1)));
        assert!(!clients.knows(Process(4)) && !clients.knows(Process(9)));
    }

    #[test]
    fn a_new_process_does_not_inherit_a_deadline() {
        let mut clients = clients();
        let asked = ask(&mut clients, 1, ms(0), write());
        let unknown = Answer::Error(ErrorCode(13));
        assert!(clients.answer(asked.process, asked.id, unknown).is_ok());
        let asked = ask(&mut clients, 1, ms(500), write());
        assert_eq!((asked.process, asked.id), (Process(5), MessageId(1)));
        assert_eq!(clients.due(), Some(ms(1500)));
    }

    #[test]
    fn late_answers_are_taken_once() {
        let mut clients = clients();
        ask(&mut clients, 0, ms(0), read());
        ask(&mut clients, 1, ms(0), write());
        while clients.time_out(ms(1000)).is_some() {}
        let asked = ask(&mut clients, 1, ms(1000), write());
        let mut answer = |process, answer| clients.answer(process, MessageId(1), answer);
        for (process, late) in [
            (Process(0), Answer::ReadOk(Value::Null)),
            (Process(1), Answer::WriteOk),
        ] {
            assert_eq!(answer(process, late.clone()), Ok(None));
            assert_eq!(answer(process, late), Err(Strange::AnsweredTwice));
        }
        let done = answer(asked.process, Answer::WriteOk).expect("a good answer");
        assert_eq!(done.expect("a completion").process, Process(5));
        assert_eq!(clients.late(), 2);
    }
}
