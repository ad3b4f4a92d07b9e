//! What the nodes send: messages to each other and answers to clients, and the ends of their
//! processes and connections.

use std::time::Duration;

use super::{Answered, Cluster};
use crate::bench::clients::Answer;
use crate::bench::error::BenchError;
use crate::bench::network::{Node, Source};
use crate::bench::processes::connection::ConnectionId;
use crate::bench::processes::process::{Event, LINE_BYTES_MAX, Output, Stream};
use crate::bench::protocol::{self, Body, Dest, Envelope, Own, Reply};
use crate::history::ErrorCode;

/// How much of a line is shown if something is wrong with it, in bytes.
const SHOWN_BYTES_MAX: usize = 1000;

/// The outcome of a request whose connection was lost, which is indefinite, and of one for which none
/// could be made, so that it was not sent.
const LOST: ErrorCode = ErrorCode(13);
const REFUSED: ErrorCode = ErrorCode(11);

impl Cluster {
    pub(super) fn event(&mut self, now: Duration, event: Event) -> Result<(), BenchError> {
        let Event::Output(stream, output) = event else {
            self.is_stopped = true;
            return Ok(());
        };
        let (node, is_past) = match (stream, &self.tcp) {
            // Output of a process that was killed is lost, unless the network has taken it already, or
            // a client has its connection.
            (Stream::Stdout(node, incarnation), _) => (
                node,
                self.dead.contains(&node) || self.processes[node.0].incarnation != incarnation,
            ),
            (Stream::Client(id), Some(tcp)) => {
                let is_own = id.client.is_none();
                let is_past = !tcp.is_present(id) || (is_own && self.dead.contains(&id.node));
                (id.node, is_past)
            }
            (Stream::Client(_), None) => unreachable!("there are no connections"),
        };
        if is_past {
            return Ok(());
        }
        match (output, stream) {
            (Output::Lines(bytes), _) => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let line = &line[..line.len() - 1];
                    let handled = self.line(now, node, line);
                    handled.map_err(|problem| self.bad_line(node, line, &problem))?;
                }
                Ok(())
            }
            (Output::TooLong(bytes), _) => {
                let problem = format!("it is longer than {LINE_BYTES_MAX} bytes");
                Err(self.bad_line(node, &bytes, &problem))
            }
            (Output::Ended(rest), Stream::Stdout(..)) => Err(self.ended(node, &rest)),
            (Output::Ended(_), Stream::Client(id)) => {
                self.lost(now, id, LOST);
                Ok(())
            }
            (Output::Refused, Stream::Client(id)) => {
                self.lost(now, id, REFUSED);
                Ok(())
            }
            (Output::Refused, Stream::Stdout(..)) => unreachable!("a pipe is there"),
        }
    }

    /// Handles the loss of a client's connection, or that none could be made.
    fn lost(&mut self, now: Duration, id: ConnectionId, code: ErrorCode) {
        let tcp = self.tcp.as_mut().expect("it was theirs");
        let asked = tcp.forget(id.client, id.node);
        self.answers.extend(asked.map(|asked| Answered {
            now,
            node: asked.node,
            process: asked.process,
            reply: Reply {
                id: asked.id,
                answer: Answer::Error(code),
            },
            line: None,
        }));
    }

    /// Handles one line of a node's output.
    fn line(&mut self, now: Duration, node: Node, line: &[u8]) -> Result<(), String> {
        let envelope = protocol::envelope(line, node, self.settings.nodes)?;
        match envelope.dest {
            Dest::Server(dest) => self.between_servers(now, node, dest, &envelope)?,
            Dest::Init(asked) => {
                let own = (asked == node).then(|| protocol::own_answer(&envelope));
                match own.transpose()? {
                    // The node may not know the request.
                    Some(Own::Transfer) => {}
                    Some(Own::Change(number, error)) => self.change_answered(number, error),
                    Some(Own::Greeting) if self.starting.contains_key(&node) => {
                        match self.tcp {
                            None => protocol::init_ok(&envelope)?,
                            Some(_) => protocol::status_ok(&envelope)?,
                        }
                        self.starting.remove(&node);
                    }
                    Some(Own::Greeting) | None => {
                        return Err(format!(
                            "its dest {:?} is unknown: this client waits for no answer of this node",
                            protocol::init_client(asked)
                        ));
                    }
                }
            }
            Dest::Client(process) => {
                let reply = protocol::reply(&envelope)?;
                self.messages.counts.clients += 1;
                let (from, to) = (Source::Server(node), Source::Client);
                let number = self.messages.sent(now, from, to, reply.answer.name());
                // Clients have no latency: what is sent to them is received.
                if let Some(number) = number {
                    self.messages.received(number, now);
                }
                self.log(line);
                self.answers.push(Answered {
                    now,
                    node,
                    process,
                    reply,
                    line: Some(line.to_vec()),
                });
            }
        }
        Ok(())
    }

    fn between_servers(
        &mut self,
        now: Duration,
        source: Node,
        dest: Node,
        envelope: &Envelope<'_>,
    ) -> Result<(), String> {
        let Body { kind, term } = protocol::body(envelope)?;
        if let Some(term) = term.filter(|term| kind == "append" && *term >= self.leader.0) {
            self.leader = (term, source);
        }
        let bytes = protocol::forward(self.next_line(), source, dest, envelope);
        self.transmit(now, Source::Server(source), dest, &kind, bytes, None);
        if self.initialised && protocol::asks_for_vote(&kind) {
            self.messages.election_terms.extend(term);
        }
        Ok(())
    }

    /// Why an answer to a client breaks the run.
    pub fn unwanted(&self, answered: &Answered, problem: &str) -> BenchError {
        let line = answered.line.as_deref().unwrap_or_default();
        self.bad_line(answered.node, line, problem)
    }

    fn bad_line(&self, node: Node, line: &[u8], problem: &str) -> BenchError {
        let words = self.processes[node.0].last_words();
        let line = shown(line);
        BenchError::new(format!(
            "{node} printed a line that is not a message it may send: {problem}\n  {line}\n{node}: {words}"
        ))
    }

    fn ended(&mut self, node: Node, rest: &[u8]) -> BenchError {
        let process = &mut self.processes[node.0];
        let mut text = match process.ended() {
            Ok(Some(status)) => format!("{node} ended before the run did: {status}"),
            Ok(None) => format!("{node} closed its stdout before the run ended"),
            Err(error) => {
                format!("{node} closed its stdout, and its exit status is unknown: {error}")
            }
        };
        if !rest.is_empty() {
            text += &format!("\n  its last line is incomplete: {}", shown(rest));
        }
        BenchError::new(format!("{text}\n{node}: {}", process.last_words()))
    }
}

/// A line as text, cut if it is long.
fn shown(line: &[u8]) -> String {
    if line.len() <= SHOWN_BYTES_MAX {
        return String::from_utf8_lossy(line).into_owned();
    }
    let head = String::from_utf8_lossy(&line[..SHOWN_BYTES_MAX]);
    format!("{head}... ({} bytes)", line.len())
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::bench::cluster::tests::settings;
    use crate::bench::tcp::Tcp;

    /// The answer may arrive when the node has just been killed.
    #[test]
    fn killed_node_may_have_answered_status() {
        let init_ok = r#"{"src":"n0","dest":"c0","body":{"type":"init_ok","in_reply_to":1}}"#;
        // It reads on, prints nothing, and keeps its stdout open.
        let script = format!("read -r init; echo '{init_ok}'; exec sed d");
        let settings = settings("answered", &script, Duration::from_secs(300));
        let (logs, latency) = (settings.logs.clone(), settings.conditions.latency);
        let mut cluster = Cluster::start(settings, Rng::seeded(1)).expect("it answers");
        let (node, sender) = (Node(0), cluster.sender.clone());
        let mut tcp = Tcp::start(Rng::seeded(2), 1, latency, sender).expect("ports");
        tcp.send(node, b"\n", None, Duration::ZERO)
            .expect("a connection");
        cluster.tcp = Some(tcp);
        let answer = |cluster: &mut Cluster| {
            let (client, number) = (None, 1);
            let id = ConnectionId {
                client,
                node,
                number,
            };
            let status_ok = init_ok.replace("init_ok", "status_ok") + "\n";
            let lines = Output::Lines(status_ok.into_bytes());
            let event = Event::Output(Stream::Client(id), lines);
            cluster.event(Duration::ZERO, event)
        };
        let error = answer(&mut cluster)
            .expect_err("the node was not asked")
            .to_string();
        assert!(
            error.contains("waits for no answer of this node"),
            "{error}"
        );
        cluster.kill(node).expect("it runs");
        answer(&mut cluster).expect("it was asked before it was killed");
        std::fs::remove_dir_all(logs).expect("it is there");
    }
}
