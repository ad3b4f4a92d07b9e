//! What clients asked and were told, in the order in which it happened.

use std::hash::{Hash, Hasher};

use raft_core::{Reply, Response, Ticket};

use super::world::KEY;
use crate::{
    cluster::machine::Registers,
    history::{Call, ErrorCode, Moment, Operation, Outcome, Process},
    linearizability::{self, Limits, Verdict},
    rules::Broken,
};

/// All clients. Each asks once.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    pub(super) writes: u8,
    pub(super) reads: u8,
    /// Each request's call, the first being that of ticket 1.
    calls: Vec<Asked>,
    pub(super) events: Vec<Event>,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Asked {
    /// To hold the ticket's number.
    Write,
    Read,
}

/// A moment of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Event {
    Invoked(Ticket),
    Completed(Ticket, Told),
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Told {
    Done,
    Value(Option<u8>),
    Refused,
    Unknown,
}

impl Clients {
    /// A client writes the number of its ticket.
    pub(super) fn write(&mut self) -> Ticket {
        self.writes += 1;
        self.ask(Asked::Write)
    }

    /// A client reads.
    pub(super) fn read(&mut self) -> Ticket {
        self.reads += 1;
        self.ask(Asked::Read)
    }

    fn ask(&mut self, asked: Asked) -> Ticket {
        self.calls.push(asked);
        let ticket = Ticket(self.calls.len() as u64);
        self.events.push(Event::Invoked(ticket));
        ticket
    }

    pub(super) fn is_write(&self, ticket: Ticket) -> bool {
        self.calls[slot(ticket)] == Asked::Write
    }

    /// A client was told. What all were told so far must be linearizable.
    pub(super) fn answered(&mut self, reply: &Reply<Registers>) -> Result<(), Broken> {
        let told = match &reply.response {
            Response::Applied(_) => Told::Done,
            Response::Answered(value) => Told::Value(*value),
            Response::Refused(_) => Told::Refused,
            Response::Unknown(_) => Told::Unknown,
        };
        self.events.push(Event::Completed(reply.ticket, told));
        if matches!(told, Told::Refused | Told::Unknown) {
            // That claims nothing.
            return Ok(());
        }
        let analysis = linearizability::check(&self.operations(), Limits::default());
        match analysis.verdict {
            Verdict::Valid => Ok(()),
            Verdict::Invalid(_) | Verdict::Unknown(_) => Err(Broken(format!(
                "linearizability: the clients saw {}",
                self.tell()
            ))),
        }
    }

    fn operations(&self) -> Vec<Operation> {
        let asked = |event: &Event| match event {
            Event::Invoked(ticket) | Event::Completed(ticket, _) => self.calls[slot(*ticket)],
        };
        let mut operations: Vec<Operation> = Vec::new();
        // The place of each request's operation.
        let mut places = vec![0; self.calls.len()];
        for (time, event) in (0..).map(Moment::at).zip(&self.events) {
            match event {
                Event::Invoked(ticket) => {
                    places[slot(*ticket)] = operations.len();
                    operations.push(Operation {
                        process: Process(ticket.0),
                        key: KEY.0.to_string().into(),
                        call: match asked(event) {
                            Asked::Write => Call::Write(ticket.0.into()),
                            Asked::Read => Call::Read,
                        },
                        invoked: time,
                        completed: None,
                    });
                }
                Event::Completed(ticket, told) => {
                    let outcome = match told {
                        Told::Done => Outcome::Done,
                        Told::Value(Some(value)) => Outcome::ReadOk((*value).into()),
                        Told::Value(None) => Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST),
                        Told::Refused => Outcome::Failed(ErrorCode(11)),
                        Told::Unknown => Outcome::Unknown(ErrorCode(13)),
                    };
                    operations[places[slot(*ticket)]].completed = Some((time, outcome));
                }
            }
        }
        operations
    }

    fn tell(&self) -> String {
        let tell = |event: &Event| match event {
            Event::Invoked(ticket) if self.is_write(*ticket) => {
                format!("write {} begins", ticket.0)
            }
            Event::Invoked(ticket) => format!("read {} begins", ticket.0),
            Event::Completed(ticket, told) => {
                let told = match told {
                    Told::Done => "done".to_owned(),
                    Told::Value(Some(value)) => format!("reads {value}"),
                    Told::Value(None) => "reads nothing".to_owned(),
                    Told::Refused => "refused".to_owned(),
                    Told::Unknown => "unknown".to_owned(),
                };
                format!("{} is told: {told}", ticket.0)
            }
        };
        let told: Vec<String> = self.events.iter().map(tell).collect();
        told.join("; ")
    }
}

/// Only what ended before what began counts: neighbours that both begin, or both end, have no order.
impl Hash for Clients {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.calls.hash(state);
        let begins = |event: &Event| matches!(event, Event::Invoked(_));
        for run in self.events.chunk_by(|a, b| begins(a) == begins(b)) {
            let mut run = run.to_vec();
            run.sort_unstable();
            run.hash(state);
        }
    }
}

fn slot(ticket: Ticket) -> usize {
    usize::try_from(ticket.0).expect("few requests") - 1
}
