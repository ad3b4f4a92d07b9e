//! The clients' requests, and the values that the register may have after all answers.
//!
//! A history is linearizable if its requests have an order, each between its begin and its end,
//! that explains every answer. Future answers depend on the past only through the states in which
//! such an order may end. So the states are kept instead of the history: they are few, and many
//! histories share them.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Reply, Response, Ticket};

use crate::replica::machine::{Key, Outcome, Registers};
use crate::rules::Broken;

/// The register that all requests use.
pub(super) const KEY: Key = Key('x');

/// All clients. Each has one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Clients {
    /// The number of requests.
    asked: u8,
    /// The reads.
    reads: BTreeSet<u8>,
    /// The writes that may still take effect, unless they have.
    writing: BTreeSet<u8>,
    /// The writes that were sent again.
    retried: BTreeSet<u8>,
    /// The states in which an order of the requests may end. An open request need not have taken
    /// effect.
    places: BTreeSet<Place>,
}

/// A client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Request {
    /// Writes the number of its ticket.
    Write,
    /// The last write, once more.
    Retry,
    /// Reads the register.
    Read,
}

/// The state after an order of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    /// The last write that took effect; 0 if none did.
    value: u8,
    /// The writes of [`Clients::writing`] that took effect.
    written: BTreeSet<u8>,
    /// The values that each open read may have seen. Each write writes the number of its ticket.
    seen: BTreeMap<u8, BTreeSet<u8>>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            asked: 0,
            reads: BTreeSet::new(),
            writing: BTreeSet::new(),
            retried: BTreeSet::new(),
            places: BTreeSet::from([Place::default()]),
        }
    }
}

impl Clients {
    /// The number of writes.
    pub(super) fn writes(&self) -> u8 {
        self.asked - self.reads()
    }

    /// The number of reads.
    pub(super) fn reads(&self) -> u8 {
        u8::try_from(self.reads.len()).expect("few requests")
    }

    /// The ticket of a request that is sent now.
    pub(super) fn ticket(&self, request: Request) -> u8 {
        match request {
            Request::Write | Request::Read => self.asked + 1,
            Request::Retry => self.may_retry().expect("a write is open"),
        }
    }

    /// A client sends a request.
    pub(super) fn ask(&mut self, request: Request) {
        let ticket = self.ticket(request);
        self.asked = self.asked.max(ticket);
        match request {
            Request::Retry => drop(self.retried.insert(ticket)),
            Request::Write => drop(self.writing.insert(ticket)),
            Request::Read => {
                self.reads.insert(ticket);
                self.each(|place| {
                    place.seen.insert(ticket, [place.value].into());
                });
            }
        }
        self.go_on();
    }

    pub(super) fn is_write(&self, ticket: Ticket) -> bool {
        !self.reads.contains(&number(ticket))
    }

    /// The last write, if it has no certain answer.
    pub(super) fn may_retry(&self) -> Option<u8> {
        let mut tickets = (1..=self.asked).rev();
        let last = tickets.find(|ticket| !self.reads.contains(ticket));
        last.filter(|write| self.writing.contains(write))
    }

    /// Whether a reply refuses a write that was sent twice: the other copy may be applied.
    pub(super) fn is_refused_copy(&self, reply: &Reply<Registers>) -> bool {
        let is_refused = matches!(reply.response, Response::Refused(_));
        is_refused && self.retried.contains(&number(reply.ticket))
    }

    /// A client got an answer. There must be an order of the requests that explains it and all
    /// earlier answers.
    pub(super) fn answered(&mut self, reply: &Reply<Registers>) -> Result<(), Broken> {
        let ticket = number(reply.ticket);
        let answer = match &reply.response {
            Response::Applied(Outcome::Forgotten) => return Ok(()),
            _ if self.is_refused_copy(reply) => return Ok(()),
            // The same answer as to the first copy: the rules compare them.
            Response::Applied(_)
                if !self.writing.contains(&ticket) && self.retried.contains(&ticket) =>
            {
                return Ok(());
            }
            Response::Applied(_) => {
                self.end_write(ticket, true);
                "the write was applied".to_owned()
            }
            Response::Answered(value) => {
                self.places
                    .retain(|place| place.may_have_seen(ticket, *value));
                self.end_read(ticket);
                match value {
                    Some(value) => format!("the read returned {value}"),
                    None => "the read found no key".to_owned(),
                }
            }
            Response::MembersChanged | Response::SnapshotStored(_) => return Ok(()),
            Response::Refused(_) if self.is_write(reply.ticket) => {
                self.end_write(ticket, false);
                "the write was refused".to_owned()
            }
            // The write may still take effect at any time.
            Response::Unknown if self.is_write(reply.ticket) => return Ok(()),
            Response::Refused(_) | Response::Unknown | Response::Transferred => {
                self.end_read(ticket);
                return Ok(());
            }
        };
        if self.places.is_empty() {
            return Err(Broken(format!(
                "linearizability: no order of the requests explains the answer to request {ticket} \
                 ({answer}) and all earlier answers"
            )));
        }
        Ok(())
    }

    /// A write has taken effect, or never will.
    fn end_write(&mut self, ticket: u8, effect: bool) {
        self.writing.remove(&ticket);
        self.places
            .retain(|place| place.written.contains(&ticket) == effect);
        self.each(|place| {
            place.written.remove(&ticket);
        });
    }

    fn end_read(&mut self, ticket: u8) {
        self.each(|place| {
            place.seen.remove(&ticket);
        });
    }

    fn each(&mut self, change: impl Fn(&mut Place)) {
        let places = std::mem::take(&mut self.places).into_iter();
        let changed = places.map(|mut place| {
            change(&mut place);
            place
        });
        self.places = changed.collect();
    }

    /// Adds the states after further writes take effect.
    fn go_on(&mut self) {
        let mut new: Vec<Place> = self.places.iter().cloned().collect();
        while let Some(place) = new.pop() {
            for write in self.writing.difference(&place.written) {
                let further = place.clone().after(*write);
                if self.places.insert(further.clone()) {
                    new.push(further);
                }
            }
        }
    }
}

impl Place {
    /// A write takes effect.
    fn after(mut self, write: u8) -> Self {
        self.value = write;
        self.written.insert(write);
        for saw in self.seen.values_mut() {
            saw.insert(write);
        }
        self
    }

    fn may_have_seen(&self, read: u8, value: Option<u8>) -> bool {
        let saw = self.seen.get(&read);
        saw.is_some_and(|saw| saw.contains(&value.unwrap_or(0)))
    }
}

fn number(ticket: Ticket) -> u8 {
    u8::try_from(ticket.0).expect("few requests")
}

#[cfg(test)]
mod tests {
    use raft_core::Refusal;
    use rand::Rng;

    use super::*;
    use crate::history::{Call, ErrorCode, Moment, Operation, Outcome, Process};
    use crate::linearizability::{self, Limits, Verdict};
    use crate::replica::machine::Outcome as Applied;

    /// A write that was sent twice may take effect though one copy is refused, and has one effect.
    #[test]
    fn copies_of_a_write_have_one_effect() {
        let read = |clients: &mut Clients, value| {
            clients.ask(Request::Read);
            let (ticket, response) = (Ticket(2), Response::Answered(value));
            clients.answered(&Reply { ticket, response })
        };
        for retries in [true, false] {
            let mut clients = Clients::default();
            clients.ask(Request::Write);
            if retries {
                clients.ask(Request::Retry);
            }
            let (ticket, response) = (Ticket(1), Response::Refused(Refusal::NoLeader));
            assert_eq!(clients.answered(&Reply { ticket, response }), Ok(()));
            assert_eq!(read(&mut clients, Some(1)).is_ok(), retries);
        }
        for value in [Some(1), None] {
            let mut clients = Clients::default();
            clients.ask(Request::Write);
            clients.ask(Request::Retry);
            for _ in 0..2 {
                let (ticket, response) = (Ticket(1), Response::Applied(Applied::Done));
                assert_eq!(clients.answered(&Reply { ticket, response }), Ok(()));
            }
            assert_eq!(clients.may_retry(), None);
            assert_eq!(read(&mut clients, value).is_ok(), value == Some(1));
        }
    }

    /// On random histories, right and wrong, the strict checker agrees after each answer.
    #[test]
    fn strict_checker_agrees() {
        let mut counts = [0, 0];
        for seed in 0..3000 {
            let mut rng = Rng::seeded(seed);
            let mut clients = Clients::default();
            let mut operations: Vec<Operation> = Vec::new();
            let mut open: Vec<usize> = Vec::new();
            for time in (0..).take(14).map(Moment::at) {
                if open.is_empty() || operations.len() < 7 && rng.range(0..=1) == 0 {
                    let ticket = clients.ticket(Request::Read);
                    let call = if rng.range(0..=1) == 0 {
                        clients.ask(Request::Write);
                        Call::Write(ticket.into())
                    } else {
                        clients.ask(Request::Read);
                        Call::Read
                    };
                    open.push(operations.len());
                    operations.push(Operation {
                        process: Process(ticket.into()),
                        key: "x".into(),
                        call,
                        invoked: time,
                        completed: None,
                    });
                    continue;
                }
                let at = open.swap_remove(rng.range(0..=open.len() as u64 - 1) as usize);
                let value = rng.range(0..=u64::from(clients.asked)) as u8;
                let value = (value > 0).then_some(value);
                let is_write = clients.is_write(Ticket(at as u64 + 1));
                let (response, outcome) = match (rng.range(0..=5), is_write) {
                    (0, _) => (Response::Unknown, Outcome::Unknown(ErrorCode(13))),
                    (1, _) => (
                        Response::Refused(Refusal::NoLeader),
                        Outcome::Failed(ErrorCode(11)),
                    ),
                    (_, true) => (Response::Applied(Applied::Done), Outcome::Done),
                    (_, false) => (
                        Response::Answered(value),
                        match value {
                            Some(value) => Outcome::ReadOk(value.into()),
                            None => Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST),
                        },
                    ),
                };
                operations[at].completed = Some((time, outcome));
                let ticket = Ticket(at as u64 + 1);
                let ours = clients.answered(&Reply { ticket, response });
                let analysis = linearizability::check(&operations, Limits::default());
                let theirs = matches!(analysis.verdict, Verdict::Valid);
                assert_eq!(ours.is_ok(), theirs, "seed {seed}: {operations:?}");
                counts[usize::from(theirs)] += 1;
                if !theirs {
                    break;
                }
            }
        }
        assert!(counts[0] > 500 && counts[1] > 5000, "{counts:?}");
    }
}
