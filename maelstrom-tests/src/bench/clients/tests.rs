use raft::kv::{self, Kv};
use raft::sessions::{Command, Outcome as Applied, SessionId, Sessions};
use raft_core::StateMachine as _;

use super::super::network::Millionths;
use super::super::workload::{Plan, Workload};
use super::*;
use crate::history::{Event, History, Stage};
use crate::linearizability::{self, Limits, Verdict};

const TIMEOUT: Duration = Duration::from_secs(1);

fn clients() -> Clients {
    Clients::new(Rng::seeded(1), 4, 3, TIMEOUT, false)
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
    assert_eq!(
        (asked.process, asked.node, asked.id),
        (Process(2), Node(2), MessageId(1))
    );
    let value = || Answer::ReadOk(Value::from(3_u64));
    let done = clients.answer(ms(6), Process(2), MessageId(1), value());
    let done = done.expect("a good answer").expect("a completion");
    assert_eq!(done.outcome, Outcome::ReadOk(Value::from(3_u64)));
    assert!(clients.all_idle());
    let mut again = |process, id| clients.answer(ms(6), Process(process), MessageId(id), value());
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
        let refused = clients.answer(ms(1), process, asked.id, answer);
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
        let done = clients.answer(ms(1), asked.process, asked.id, Answer::Error(code(error)));
        assert_eq!(
            done.expect("a good answer").expect("a completion").outcome,
            outcome
        );
    }
}

#[test]
fn refused_clients_rest() {
    let mut clients = clients();
    let refuse = |clients: &mut Clients, now, request| {
        let asked = ask(clients, 1, now, request);
        let refused = Answer::Error(REFUSED);
        let done = clients.answer(now, asked.process, asked.id, refused);
        done.expect("a good answer").expect("a completion").outcome
    };
    assert_eq!(
        refuse(&mut clients, ms(5), read()),
        Outcome::Failed(REFUSED)
    );
    assert!(!clients.all_idle());
    assert_eq!(clients.again_due(), Some(ms(5) + REST));
    assert_eq!(clients.ask_again(ms(4) + REST), None);
    assert!(!clients.all_idle());
    assert_eq!(clients.ask_again(ms(5) + REST), None);
    assert!(clients.all_idle());
    assert_eq!(clients.again_due(), None);
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
    assert!(
        clients
            .answer(ms(1), asked.process, asked.id, unknown)
            .is_ok()
    );
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
    let mut answer = |process, answer| clients.answer(ms(1000), process, MessageId(1), answer);
    for (process, late) in [
        (Process(0), Answer::ReadOk(Value::Null)),
        (Process(1), Answer::WriteOk),
    ] {
        assert_eq!(answer(process, late.clone()), Ok(None));
        assert_eq!(answer(process, late), Err(Strange::AnsweredTwice));
    }
    let done = answer(asked.process, Answer::WriteOk).expect("a good answer");
    assert_eq!(done.expect("a completion").process, Process(5));
    assert_eq!(clients.late, 2);
}

/// The answer to what was sent last.
fn answer(
    clients: &mut Clients,
    now: Duration,
    asked: &Asked,
    answer: Answer,
) -> Option<Completion> {
    let answered = clients.answer(now, asked.process, asked.id, answer);
    answered.expect("a good answer")
}

fn with_sessions() -> Clients {
    Clients::new(Rng::seeded(1), 4, 3, TIMEOUT, true)
}

#[test]
fn a_session_is_opened_once_and_changes_are_numbered() {
    let mut clients = with_sessions();
    let asked = ask(&mut clients, 1, ms(0), write());
    assert_eq!(asked.sent, Sent::OpenSession);
    assert_eq!(
        answer(&mut clients, ms(1), &asked, Answer::SessionOpened(7)),
        None
    );
    let in_session = |sequence| Sent::InSession(Session { id: 7, sequence });
    let (asked, request) = clients.ask_again(ms(1)).expect("the write follows");
    assert_eq!(
        (asked.sent, asked.node, request),
        (in_session(1), Node(1), write())
    );
    let done = answer(&mut clients, ms(2), &asked, Answer::WriteOk).expect("a completion");
    assert_eq!(done.outcome, Outcome::Done);
    // A read has no number.
    let asked = ask(&mut clients, 1, ms(3), read());
    assert_eq!(asked.sent, Sent::Plain);
    assert!(answer(&mut clients, ms(4), &asked, Answer::Error(ErrorCode(13))).is_some());
    assert_eq!(ask(&mut clients, 1, ms(5), write()).sent, in_session(2));
    assert_eq!(clients.retries, 0);
}

#[test]
fn a_change_is_sent_to_the_next_node_until_it_has_an_answer() {
    let mut clients = with_sessions();
    let asked = ask(&mut clients, 2, ms(0), write());
    assert_eq!(
        answer(&mut clients, ms(0), &asked, Answer::SessionOpened(7)),
        None
    );
    let sent = Sent::InSession(Session { id: 7, sequence: 1 });
    let mut now = ms(0);
    for (node, code) in [(2, 13), (0, 11), (1, 0), (2, 13)] {
        let (asked, _) = clients.ask_again(now).expect("it is sent again");
        assert_eq!((asked.node, asked.sent), (Node(node), sent));
        now += TIMEOUT;
        match code {
            0 => assert_eq!(clients.time_out(now), None),
            code => {
                let error = Answer::Error(ErrorCode(code));
                assert_eq!(answer(&mut clients, now, &asked, error.clone()), None);
                let again = clients.answer(now, asked.process, asked.id, error);
                assert_eq!(again, Err(Strange::AnsweredTwice));
                assert_eq!(
                    (clients.due(), clients.again_due()),
                    (None, Some(now + AGAIN))
                );
                now += AGAIN;
            }
        }
    }
    let (asked, _) = clients.ask_again(now).expect("it is sent again");
    let missing = Answer::Error(ErrorCode::KEY_DOES_NOT_EXIST);
    let done = answer(&mut clients, now, &asked, missing).expect("a completion");
    assert_eq!((done.process, asked.node), (Process(2), Node(0)));
    assert_eq!(done.outcome, Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST));
    assert_eq!(clients.retries, 4);
}

/// Sends a change until it ends: its session is opened, and then each attempt has the next of these
/// errors, the last one again and again.
fn end_with(clients: &mut Clients, errors: &[u64]) -> Outcome {
    let asked = ask(clients, 1, ms(0), write());
    let opened = Answer::SessionOpened(7);
    assert!(answer(clients, ms(0), &asked, opened).is_none());
    let mut now = ms(0);
    for attempt in 0.. {
        let (asked, _) = clients.ask_again(now).expect("it is sent again");
        let code = ErrorCode(errors[attempt.min(errors.len() - 1)]);
        now += AGAIN;
        if let Some(done) = answer(clients, now, &asked, Answer::Error(code)) {
            return done.outcome;
        }
        now += AGAIN;
    }
    unreachable!("the attempts are bounded")
}

#[test]
fn a_change_without_an_answer_ends_as_unknown() {
    let mut clients = with_sessions();
    assert_eq!(
        end_with(&mut clients, &[13]),
        Outcome::Unknown(ErrorCode(13))
    );
    assert_eq!(clients.retries as usize, ATTEMPTS_MAX - 1);
    // The worker goes on as a new process, in a new session.
    let asked = ask(&mut clients, 1, ms(0), write());
    assert_eq!((asked.process, asked.sent), (Process(5), Sent::OpenSession));
}

#[test]
fn a_change_that_was_always_refused_has_failed() {
    let refused = end_with(&mut with_sessions(), &[11]);
    assert_eq!(refused, Outcome::Failed(REFUSED));
    // An attempt before may have been forwarded.
    let refused = end_with(&mut with_sessions(), &[13, 11]);
    assert_eq!(refused, Outcome::Unknown(ErrorCode::TIMEOUT));
}

#[test]
fn a_session_that_nobody_wanted_is_rejected() {
    for has_sessions in [false, true] {
        let mut clients = Clients::new(Rng::seeded(1), 4, 3, TIMEOUT, has_sessions);
        let asked = ask(&mut clients, 1, ms(0), read());
        let opened = clients.answer(ms(1), asked.process, asked.id, Answer::SessionOpened(1));
        assert_eq!(opened, Err(Strange::WrongType));
    }
    let mut clients = with_sessions();
    let asked = ask(&mut clients, 1, ms(0), write());
    let early = clients.answer(ms(1), asked.process, asked.id, Answer::WriteOk);
    assert_eq!(early, Err(Strange::WrongType));
}

/// A node whose answers are often lost. It makes each change once, or each time that it gets it.
struct LossyNode {
    rng: Rng,
    machine: Sessions<Kv>,
    once: bool,
}

impl LossyNode {
    fn answer(&mut self, sent: Sent, Request { key, call }: &Request) -> Answer {
        let key = kv::Key::from(Value::from(*key));
        let change = match call {
            Call::Read => {
                let value = self.machine.machine().get(&key);
                let missing = Answer::Error(ErrorCode::KEY_DOES_NOT_EXIST);
                return value.map_or(missing, |value| Answer::ReadOk(value.to_value()));
            }
            Call::Write(value) => kv::Command::Write {
                key,
                value: value.clone().into(),
            },
            Call::Cas { from, to } => kv::Command::Cas {
                key,
                from: from.clone().into(),
                to: to.clone().into(),
                create_if_not_exists: false,
            },
            Call::Delete => kv::Command::Delete { key },
        };
        let command = match sent {
            Sent::OpenSession => Command::Open,
            Sent::InSession(Session { id, sequence }) if self.once => Command::Do {
                session: SessionId(id),
                sequence,
                acknowledged: sequence,
                command: change,
            },
            Sent::Plain | Sent::InSession(_) => Command::Plain(change),
        };
        let applied = self.machine.apply(&command);
        if self.rng.chance(1, 2) {
            return Answer::Error(ErrorCode(13));
        }
        match applied {
            Applied::Opened(SessionId(id)) => Answer::SessionOpened(id),
            Applied::Done(kv::Outcome::Written) => Answer::WriteOk,
            Applied::Done(kv::Outcome::Swapped) => Answer::CasOk,
            Applied::Done(kv::Outcome::Deleted) => Answer::DeleteOk,
            Applied::Done(kv::Outcome::Missing) => Answer::Error(ErrorCode::KEY_DOES_NOT_EXIST),
            Applied::Done(kv::Outcome::Mismatch { .. }) => {
                Answer::Error(ErrorCode::PRECONDITION_FAILED)
            }
            Applied::Closed | Applied::Unknown => panic!("the session is open"),
        }
    }
}

/// What the checker says of four clients with sessions at such a node.
fn verdict_of(once: bool) -> Verdict {
    let plan = Plan {
        workers: 4,
        keys_at_once: 1,
        operations_per_key: 100,
        deletes: Millionths(200_000),
    };
    let mut workload = Workload::new(Rng::seeded(2), plan);
    let mut clients = with_sessions();
    let mut node = LossyNode {
        rng: Rng::seeded(3),
        machine: Sessions::default(),
        once,
    };
    let mut history = History::new();
    let mut now = ms(0);
    let mut record = |now: Duration, process, request: Request, stage| {
        let event = Event {
            process,
            time_ns: now.as_nanos() as u64,
            key: request.key.into(),
            call: request.call,
            stage,
        };
        history.record(event).expect("it can happen");
    };
    for _ in 0..1_000 {
        now += AGAIN / 3;
        let (asked, request) = match clients.ask_again(now) {
            Some(again) => again,
            None => {
                let Some((worker, process)) = clients.take_idle() else {
                    continue;
                };
                let request = workload.next(worker, process);
                record(now, process, request.clone(), Stage::Invoke);
                (clients.ask(now, worker, request.clone()), request)
            }
        };
        let answered = node.answer(asked.sent, &request);
        let now = now + ms(1);
        if let Some(done) = answer(&mut clients, now, &asked, answered) {
            let stage = Stage::Complete(done.outcome);
            record(now, done.process, done.request, stage);
        }
    }
    assert!(clients.retries > 100);
    linearizability::check(history.operations(), Limits::default()).verdict
}

#[test]
fn a_change_that_is_made_twice_shows() {
    assert!(matches!(verdict_of(true), Verdict::Valid));
    assert!(matches!(verdict_of(false), Verdict::Invalid(_)));
}

#[test]
fn lost_connections_end_open_requests_alone() {
    let mut clients = clients();
    let at = Duration::from_millis(3);
    let (unknown, refused) = (ErrorCode(13), ErrorCode(11));
    let outcome = |ended: Option<Completion>| ended.map(|ended| ended.outcome);
    let asked = ask(&mut clients, 0, at, read());
    let lost = clients.lose(at, asked.process, asked.id, unknown);
    assert_eq!(outcome(lost), Some(Outcome::Failed(unknown)));
    let asked = ask(&mut clients, 0, at, write());
    let lost = clients.lose(at, asked.process, asked.id, refused);
    assert_eq!(outcome(lost), Some(Outcome::Failed(refused)));
    let asked = ask(&mut clients, 1, at, write());
    let lost = clients.lose(at, asked.process, asked.id, unknown);
    assert_eq!(outcome(lost), Some(Outcome::Unknown(unknown)));
    // It ended as another process.
    assert_eq!(clients.lose(at, asked.process, asked.id, unknown), None);
    let asked = ask(&mut clients, 1, at, read());
    let late = clients.due().expect("a time-out");
    assert!(clients.time_out(late).is_some());
    assert_eq!(clients.lose(late, asked.process, asked.id, unknown), None);
    assert_eq!(clients.late, 0);
}
