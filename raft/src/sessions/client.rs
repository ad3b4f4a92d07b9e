//! The client's side of a session: a node holds one for the writes of its own clients.
//!
//! ```text
//!        the first write                 the id                 its writes are unknown
//! none ------------------> opening ---------------> open ---------------------------> none
//!                            │ refused, or unknown: so are no writes, they never left
//!                            └──> none
//! ```
//!
//! Writes wait while the session is being opened: a command without a session could be applied
//! twice. An opening whose answer is lost leaves a session that nothing uses, until it is evicted.

use std::collections::BTreeMap;
use std::mem;

use raft_core::{Input, Refusal, Reply, Response, Ticket};

use super::{Command, Inner, Outcome, SessionId, Sessions};
use crate::host::Session;

/// The most writes that wait until the session is open. One more is refused.
pub const WAITING: usize = 4_096;

/// A session and its numbers.
#[derive(Debug)]
pub struct Client<M: Inner> {
    state: State,
    /// How often a session was to be opened. Their tickets count down from the highest one, and
    /// those of the host up from the lowest.
    openings: u64,
    waiting: Vec<(Ticket, M::Command)>,
    /// Refusals of writes that found no room to wait.
    refused: Vec<Reply<Sessions<M>>>,
}

#[derive(Debug)]
enum State {
    None,
    Opening(Ticket),
    Open {
        session: SessionId,
        /// The number of the last write.
        last: u64,
        /// The numbers of the writes under way, which rise as their tickets do.
        under_way: BTreeMap<Ticket, u64>,
    },
}

impl<M: Inner> Default for Client<M> {
    fn default() -> Self {
        Self {
            state: State::None,
            openings: 0,
            waiting: Vec::new(),
            refused: Vec::new(),
        }
    }
}

impl<M: Inner> Session<Sessions<M>> for Client<M> {
    /// Takes a write. Returns what goes to the replica now: the write with its number, or, if the
    /// write waits, perhaps the opening of a session. Commands that name their session pass.
    fn write(
        &mut self,
        ticket: Ticket,
        command: Command<M::Command>,
    ) -> Option<Input<Sessions<M>>> {
        let command = match command {
            Command::Plain(command) => command,
            of_session => return Some(input(ticket, of_session)),
        };
        match self.state {
            State::Open { .. } => return self.numbered(ticket, command),
            State::Opening(_) if self.waiting.len() >= WAITING => {
                let response = Response::Refused(Refusal::Full);
                self.refused.push(Reply { ticket, response });
                return None;
            }
            State::Opening(_) | State::None => self.waiting.push((ticket, command)),
        }
        if let State::Opening(_) = self.state {
            return None;
        }
        let ticket = Ticket(u64::MAX - self.openings);
        self.openings += 1;
        self.state = State::Opening(ticket);
        Some(input(ticket, Command::Open))
    }

    fn answered(
        &mut self,
        replies: Vec<Reply<Sessions<M>>>,
    ) -> (Vec<Reply<Sessions<M>>>, Vec<Input<Sessions<M>>>) {
        let mut inputs = Vec::new();
        let mut to_clients = mem::take(&mut self.refused);
        for reply in replies {
            match self.state {
                State::Opening(ticket) if ticket == reply.ticket => {
                    let waiting = mem::take(&mut self.waiting);
                    if let Response::Applied(Outcome::Opened(session)) = reply.response {
                        self.state = State::Open {
                            session,
                            last: 0,
                            under_way: BTreeMap::new(),
                        };
                        let numbered = |(ticket, command)| self.numbered(ticket, command);
                        inputs.extend(waiting.into_iter().filter_map(numbered));
                    } else {
                        self.state = State::None;
                        let refusal = match reply.response {
                            Response::Refused(refusal) => refusal,
                            _ => Refusal::NoLeader,
                        };
                        to_clients.extend(waiting.into_iter().map(|(ticket, _)| Reply {
                            ticket,
                            response: Response::Refused(refusal),
                        }));
                    }
                }
                State::None | State::Opening(_) | State::Open { .. } => {
                    self.ended(&reply);
                    to_clients.push(reply);
                }
            }
        }
        (to_clients, inputs)
    }
}

impl<M: Inner> Client<M> {
    /// A write under the next number of the open session.
    fn numbered(&mut self, ticket: Ticket, command: M::Command) -> Option<Input<Sessions<M>>> {
        let State::Open {
            session,
            last,
            under_way,
        } = &mut self.state
        else {
            return None;
        };
        *last += 1;
        under_way.insert(ticket, *last);
        let command = Command::Do {
            session: *session,
            sequence: *last,
            acknowledged: *under_way.first_key_value()?.1,
            command,
        };
        Some(input(ticket, command))
    }

    /// Notes that a request has ended.
    fn ended(&mut self, reply: &Reply<Sessions<M>>) {
        if let State::Open { under_way, .. } = &mut self.state
            && under_way.remove(&reply.ticket).is_some()
            && let Response::Applied(Outcome::Unknown) = reply.response
        {
            // It was evicted, or its answers were. The next write opens another one.
            self.state = State::None;
        }
    }
}

fn input<M: Inner>(ticket: Ticket, command: Command<M::Command>) -> Input<Sessions<M>> {
    Input::Write { ticket, command }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sum;
    use super::*;

    type Inputs = Vec<Input<Sessions<Sum>>>;

    fn plain(client: &mut Client<Sum>, ticket: u64) -> Inputs {
        let input = client.write(Ticket(ticket), Command::Plain(ticket));
        input.into_iter().collect()
    }

    fn answer(
        client: &mut Client<Sum>,
        ticket: u64,
        response: Response<Sessions<Sum>>,
    ) -> (Vec<Reply<Sessions<Sum>>>, Inputs) {
        let ticket = Ticket(ticket);
        client.answered(vec![Reply { ticket, response }])
    }

    fn opened(id: u64) -> Response<Sessions<Sum>> {
        Response::Applied(Outcome::Opened(SessionId(id)))
    }

    /// What goes to the replica, as ticket, session, number and acknowledged number.
    fn numbers(inputs: &Inputs) -> Vec<(u64, u64, u64, u64)> {
        let numbers = inputs.iter().map(|input| match input {
            Input::Write {
                ticket,
                command:
                    Command::Do {
                        session,
                        sequence,
                        acknowledged,
                        ..
                    },
            } => (ticket.0, session.0, *sequence, *acknowledged),
            other => panic!("{other:?}"),
        });
        numbers.collect()
    }

    fn opens(inputs: &Inputs) -> u64 {
        match inputs[..] {
            [
                Input::Write {
                    ticket,
                    command: Command::Open,
                },
            ] => ticket.0,
            _ => panic!("{inputs:?}"),
        }
    }

    #[test]
    fn writes_wait_until_the_session_is_open() {
        let mut client = Client::default();
        let opening = opens(&plain(&mut client, 1));
        assert!(plain(&mut client, 2).is_empty());
        let (replies, inputs) = answer(&mut client, opening, opened(7));
        assert!(replies.is_empty());
        assert_eq!(numbers(&inputs), [(1, 7, 1, 1), (2, 7, 2, 1)]);
        assert_eq!(numbers(&plain(&mut client, 3)), [(3, 7, 3, 1)]);
    }

    #[test]
    fn acknowledges_below_the_first_write_under_way() {
        let mut client = Client::default();
        let opening = opens(&plain(&mut client, 1));
        answer(&mut client, opening, opened(7));
        plain(&mut client, 2);
        let done = || Response::Applied(Outcome::Done(0));
        assert_eq!(answer(&mut client, 2, done()).0.len(), 1);
        assert_eq!(numbers(&plain(&mut client, 3)), [(3, 7, 3, 1)]);
        // Its client does not wait any longer, so nothing does.
        answer(&mut client, 1, Response::Unknown);
        assert_eq!(numbers(&plain(&mut client, 4)), [(4, 7, 4, 3)]);
    }

    #[test]
    fn unknown_session_is_followed_by_another() {
        let mut client = Client::default();
        let first = opens(&plain(&mut client, 1));
        answer(&mut client, first, opened(7));
        plain(&mut client, 2);
        let unknown = || Response::Applied(Outcome::Unknown);
        let (replies, _) = answer(&mut client, 1, unknown());
        assert_eq!(replies[0].response, unknown());
        let second = opens(&plain(&mut client, 3));
        assert_ne!(first, second);
        answer(&mut client, second, opened(9));
        // The other write of the former session changes nothing.
        answer(&mut client, 2, unknown());
        assert_eq!(numbers(&plain(&mut client, 4)), [(4, 9, 2, 1)]);
    }

    #[test]
    fn writes_that_wait_for_no_session_are_refused() {
        for (response, refusal) in [
            (Response::Refused(Refusal::Full), Refusal::Full),
            (Response::Unknown, Refusal::NoLeader),
        ] {
            let mut client = Client::default();
            let opening = opens(&plain(&mut client, 1));
            plain(&mut client, 2);
            let (replies, inputs) = answer(&mut client, opening, response);
            assert!(inputs.is_empty());
            let refused = |ticket| Reply {
                ticket: Ticket(ticket),
                response: Response::Refused(refusal),
            };
            assert_eq!(replies, [refused(1), refused(2)]);
            assert_ne!(opens(&plain(&mut client, 3)), opening);
        }
    }

    #[test]
    fn few_writes_wait() {
        let mut client = Client::default();
        for ticket in 0..WAITING as u64 {
            plain(&mut client, ticket);
        }
        assert!(plain(&mut client, 9_999).is_empty());
        let (replies, _) = client.answered(Vec::new());
        let full = Response::Refused(Refusal::Full);
        assert_eq!((replies[0].ticket.0, &replies[0].response), (9_999, &full));
    }

    #[test]
    fn command_that_names_its_session_passes() {
        let mut client = Client::<Sum>::default();
        for command in [Command::Open, Command::Close(SessionId(1))] {
            let input = client.write(Ticket(1), command.clone());
            assert!(matches!(input, Some(Input::Write { command: c, .. }) if c == command));
        }
    }
}
