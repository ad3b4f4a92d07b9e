//! The nodes of a run, and all that is between them: processes, the network, and the faults that
//! are in force.
//!
//! The cluster reads the clock and moves bytes; [`network`](super::network) and
//! [`nemesis`](super::nemesis), which decide, know no clock.

mod events;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rand::Rng;

use super::clients::Asked;
use super::error::BenchError;
use super::members::{Change, Members};
use super::nemesis::{Action, connected_majority};
use super::network::{Conditions, Cuts, Fate, Network, Node, Packet, Source, Transport};
use super::processes::process::{EVENTS_MAX, Event, Incarnation, Process};
use super::processes::program::Program;
use super::processes::watchdog::Watchdog;
use super::protocol::{self, Reply};
use super::proxy::Break;
use super::report::record::MessageLog;
use super::signals;
use super::tcp::{CONNECT_PATIENCE, Tcp};
use super::workload::Request;
use crate::{history, joined};

/// How many events are handled before the cluster looks at what is due again.
const EVENTS_PER_STEP: usize = 64;

/// What a cluster consists of.
#[derive(Debug, Default)]
pub struct Settings {
    /// What the nodes run.
    pub program: Program,
    /// How they are connected.
    pub transport: Transport,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many of them are the initial members. The others wait to be added.
    pub initial: usize,
    /// What the network does.
    pub conditions: Conditions,
    /// The folder for the nodes' standard error, as `n0.log` and so on.
    pub logs: PathBuf,
    /// Copy the nodes' standard error to ours.
    pub log_stderr: bool,
    /// Print each message when it is sent.
    pub log_net_send: bool,
    /// Print each message when it is received.
    pub log_net_recv: bool,
    /// How long a node may take to answer `init`, while it is not paused.
    pub init_timeout: Duration,
    /// Whether a [signal](signals) may stop the run.
    pub may_stop: bool,
}

/// An answer to a client.
#[derive(Debug)]
pub struct Answered {
    /// When it came.
    pub now: Duration,
    /// The node that was asked.
    pub node: Node,
    /// The client's process. There may be no such process.
    pub process: history::Process,
    /// The answer.
    pub reply: Reply,
    /// The node's line. If there is none, the connection was lost, though perhaps after the answer, and
    /// the answer is the bench's own.
    pub line: Option<Vec<u8>>,
}

/// What is wrong with an answer to a client that never was.
pub const NO_SUCH_CLIENT: &str = "its dest is unknown: there is no such client";

/// A line on its way to a node, with its number in the [`MessageLog`] if it is in there.
#[derive(Debug, Clone)]
struct Line {
    bytes: Vec<u8>,
    number: Option<usize>,
    /// The client's request that it is.
    request: Option<Asked>,
}

/// The nodes of a run.
#[derive(Debug)]
pub struct Cluster {
    /// What it consists of; a node that is started again has the program that stands here then.
    pub settings: Settings,
    began: Instant,
    events: Receiver<Event>,
    /// For the readers of nodes that are started again.
    sender: SyncSender<Event>,
    processes: Vec<Process>,
    watchdog: Watchdog,
    network: Network<Line>,
    /// What takes the place of the nodes' pipes and of the network between them, with TCP.
    tcp: Option<Tcp>,
    members: Members,
    /// Between which nodes no connections can be made.
    refused: Cuts,
    paused: BTreeSet<Node>,
    /// The nodes that were killed and not started again yet.
    dead: BTreeSet<Node>,
    /// The nodes that have not answered `init` yet, and until when each must.
    starting: BTreeMap<Node, Duration>,
    /// Whether all nodes have answered their first `init`. Messages count from then on.
    initialised: bool,
    /// Whether a signal asked the run to stop.
    pub is_stopped: bool,
    lines_sent: u64,
    /// The highest term of an `append`, and its sender.
    leader: (u64, Node),
    /// The messages since all nodes were initialised.
    pub messages: MessageLog,
    /// The answers to clients, until they are taken.
    pub answers: Vec<Answered>,
}

impl Cluster {
    /// Starts all nodes and waits until they have answered `init`. Time begins then.
    ///
    /// # Errors
    /// A node cannot be started, or does not answer.
    pub fn start(settings: Settings, mut rng: Rng) -> Result<Cluster, BenchError> {
        let (sender, events) = sync_channel(EVENTS_MAX);
        let latency = settings.conditions.latency;
        let start = || Tcp::start(rng.fork(), settings.nodes, latency, sender.clone());
        let tcp = (settings.transport == Transport::Tcp).then(start);
        let tcp = tcp
            .transpose()
            .map_err(BenchError::io("cannot start the nodes' proxies"))?;
        if settings.may_stop {
            let sender = sender.clone();
            // Without a receiver, the run is over.
            signals::watch(move || drop(sender.send(Event::Stop)))?;
        }
        let mut cluster = Cluster {
            began: Instant::now(),
            events,
            sender,
            processes: Vec::new(),
            watchdog: Watchdog::start()?,
            network: Network::new(rng, settings.conditions, settings.nodes),
            tcp,
            members: Members::new(settings.nodes, settings.initial),
            refused: Cuts::new(),
            paused: BTreeSet::new(),
            dead: BTreeSet::new(),
            starting: BTreeMap::new(),
            initialised: false,
            is_stopped: false,
            lines_sent: 0,
            leader: (0, Node(0)),
            messages: MessageLog::default(),
            answers: Vec::new(),
            settings,
        };
        for node in (0..cluster.settings.nodes).map(Node) {
            let process = cluster.spawn(node, Incarnation(0))?;
            cluster.processes.push(process);
        }
        cluster.await_init()?;
        cluster.initialised = true;
        let origin = cluster.now();
        cluster.began += origin;
        cluster.network.rebase(origin);
        Ok(cluster)
    }

    /// The time since all nodes were initialised.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The node whose `append` had the highest term so far.
    pub fn leader(&self) -> Node {
        self.leader.1
    }

    /// The process id of a node.
    pub fn process_id(&self, node: Node) -> u32 {
        self.processes[node.0].group()
    }

    /// Waits until all nodes that were started have answered `init`, and returns how long it took.
    ///
    /// # Errors
    /// One does not answer, or breaks the protocol.
    pub fn await_init(&mut self) -> Result<Duration, BenchError> {
        let began = self.now();
        while !self.starting.is_empty() {
            let stepped = self.step(Duration::MAX);
            if let Some(answered) = self.answers.pop() {
                return Err(self.unwanted(&answered, NO_SUCH_CLIENT));
            }
            stepped?;
            if self.is_stopped {
                return Err(BenchError::new(
                    "stopped by a signal before all nodes had answered init",
                ));
            }
        }
        Ok(self.now() - began)
    }

    /// Sends a client's request.
    pub fn send(&mut self, asked: &Asked, request: &Request) {
        let number = self.next_line();
        let bytes = protocol::request(number, asked, request, self.settings.nodes);
        let kind = protocol::kind(asked, request);
        let now = self.now();
        self.transmit(now, Source::Client, asked.node, kind, bytes, Some(*asked));
    }

    /// Sends a node a client's request as it stands, with its line feed.
    pub fn send_line(&mut self, node: Node, line: String) {
        let (now, bytes) = (self.now(), line.into_bytes());
        self.transmit(now, Source::Client, node, "", bytes, None);
    }

    /// The nodes to ask for what only the leader does: the leader, as far as it is known. With TCP,
    /// where it is not, all: the others refuse.
    fn leaders(&self) -> impl Iterator<Item = Node> + use<> {
        let nodes = match self.tcp {
            None => self.leader().0..self.leader().0 + 1,
            Some(_) => 0..self.settings.nodes,
        };
        nodes.map(Node)
    }

    /// Asks the leader to hand over.
    fn ask_for_transfer(&mut self, to: Option<Node>) {
        for node in self.leaders() {
            let bytes = protocol::transfer(self.next_line(), node, to);
            self.transmit(self.now(), Source::Client, node, "transfer", bytes, None);
        }
    }

    /// Asks the leader to change the members.
    fn ask_for_change(&mut self, leader: Node, change: &Change) {
        let added = change.add.map(|node| match &self.tcp {
            None => node.to_string(),
            Some(tcp) => tcp.address(node),
        });
        let bytes = protocol::change(self.next_line(), leader, change, added);
        let now = self.now();
        self.transmit(now, Source::Client, leader, "change_members", bytes, None);
    }

    /// Handles an answer to a change of the members. One that may not be done is asked for again
    /// later; at once, if another node leads that was not asked.
    fn change_answered(&mut self, number: u64, error: Option<(i64, String)>) {
        match error {
            // A member already, or none any more: an earlier copy of the request was served.
            None | Some((22, _)) => self.members.done(number),
            Some((_, text)) if self.tcp.is_none() => {
                let leader = text.strip_prefix("this node does not lead; ask n");
                if let Some(leader) = leader.and_then(|number| number.parse().ok())
                    && let Some(change) = self.members.pending(number)
                {
                    self.ask_for_change(Node(leader), &change);
                }
            }
            Some(_) => {}
        }
    }

    /// Hands a line to the network.
    fn transmit(
        &mut self,
        now: Duration,
        source: Source,
        dest: Node,
        kind: &str,
        bytes: Vec<u8>,
        request: Option<Asked>,
    ) {
        if self.settings.log_net_send {
            log("send", &bytes);
        }
        let length = bytes.len();
        let number = match self.initialised {
            true => self.messages.sent(now, source, Source::Server(dest), kind),
            false => None,
        };
        let payload = Line {
            bytes,
            number,
            request,
        };
        let packet = Packet {
            source,
            dest,
            payload,
        };
        let sent = self.network.send(now, packet);
        if self.initialised {
            self.messages.counts.sent(source, kind, length, sent);
        }
    }

    /// Delivers what arrives now, and then handles the nodes' output until `due` or until
    /// something else is to be done. Collects the answers to clients.
    ///
    /// # Errors
    /// A node ended, broke the protocol, or did not answer `init` in time.
    pub fn step(&mut self, due: Duration) -> Result<(), BenchError> {
        let now = self.now();
        let next_init = self.check_init(now)?;
        self.deliver(now)?;
        for process in &mut self.processes {
            self.messages.counts.overflowed += process.flush();
        }
        let dues = self.network.due().into_iter().chain(next_init);
        let due = dues.fold(due, Duration::min);
        let first = match self.events.recv_timeout(due.saturating_sub(now)) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => unreachable!("self.sender is a sender"),
        };
        let now = self.now();
        self.event(now, first)?;
        for _ in 1..EVENTS_PER_STEP {
            match self.events.try_recv() {
                Ok(event) => self.event(now, event)?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Begins or ends a fault.
    ///
    /// # Errors
    /// A node cannot be paused, killed or started.
    pub fn inject_fault(&mut self, action: &Action) -> Result<(), BenchError> {
        match action {
            Action::Cut(_, cuts) => self.cut(cuts.clone()),
            Action::Heal => self.cut(Cuts::new()),
            Action::Break(how, pairs) => {
                let tcp = self.tcp.as_ref().expect("pipes do not break");
                tcp.proxies.break_connections(*how, pairs);
                if *how == Break::Lost {
                    self.refused.clone_from(pairs);
                }
            }
            Action::Mend => {
                let tcp = self.tcp.as_ref().expect("pipes do not break");
                tcp.proxies.mend();
                self.refused.clear();
            }
            Action::Pause(nodes) => {
                self.paused = nodes - &self.dead;
                self.signal(Watchdog::pause)?;
            }
            Action::Resume(_) => {
                self.signal(Watchdog::resume)?;
                let until = self.now() + self.settings.init_timeout;
                for node in std::mem::take(&mut self.paused) {
                    self.starting.entry(node).and_modify(|old| *old = until);
                }
            }
            Action::Transfer(to) => self.ask_for_transfer(*to),
            Action::Change(wish, draw) => {
                if let Some(change) = self.members.change(*wish, *draw) {
                    for leader in self.leaders() {
                        self.ask_for_change(leader, &change);
                    }
                }
            }
            Action::Kill(nodes) => {
                let alive = nodes - &self.dead;
                alive.iter().try_for_each(|node| self.kill(*node))?;
            }
            Action::Restart(nodes) => nodes.iter().try_for_each(|node| self.restart(*node))?,
        }
        Ok(())
    }

    fn cut(&mut self, cuts: Cuts) {
        if let Some(tcp) = &self.tcp {
            tcp.proxies.cut(cuts.clone());
        }
        self.network.cuts = cuts;
    }

    /// The nodes that can go on without the others under the present faults: see
    /// [`connected_majority`].
    pub fn connected_majority(&self) -> Option<BTreeSet<Node>> {
        let down = &self.paused | &self.dead;
        let cuts = &self.network.cuts | &self.refused;
        connected_majority(self.members.settled()?, &cuts, &down)
    }

    /// Kills a node. Drops what is on its way to it, as Maelstrom does, and what it has sent but the
    /// network has not taken yet.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self, node: Node) -> Result<(), BenchError> {
        let process = &mut self.processes[node.0];
        // The whole group, or the children of a script would live on.
        self.watchdog.kill(process.group())?;
        process
            .reap()
            .map_err(BenchError::io(format_args!("cannot kill {node}")))?;
        for packet in self.network.clear(node) {
            let counts = &mut self.messages.counts;
            counts.received(packet.source, Fate::Delivered, true);
        }
        self.dead.insert(node);
        self.paused.remove(&node);
        self.starting.remove(&node);
        Ok(())
    }

    /// Starts a node that was killed. Its `init` precedes all other messages.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn restart(&mut self, node: Node) -> Result<(), BenchError> {
        let Incarnation(incarnation) = self.processes[node.0].incarnation;
        self.processes[node.0] = self.spawn(node, Incarnation(incarnation + 1))?;
        self.dead.remove(&node);
        Ok(())
    }

    /// The nodes whose output has ended without a line break for this long.
    pub fn unfinished(&self, at_least: Duration) -> Vec<String> {
        let processes = self.processes.iter().enumerate();
        let unfinished = processes.filter_map(|(node, process)| {
            let unfinished = process.unfinished(at_least)?;
            Some(format!("{}: {unfinished}", Node(node)))
        });
        unfinished.collect()
    }

    /// Kills all nodes and waits for their end.
    ///
    /// # Errors
    /// A node cannot be killed.
    pub fn end(self) -> Result<MessageLog, BenchError> {
        drop(self.watchdog);
        for mut process in self.processes {
            process
                .reap()
                .map_err(BenchError::io("cannot kill a node"))?;
        }
        Ok(self.messages)
    }

    /// Starts one of a node's processes and sends it `init`.
    fn spawn(&mut self, node: Node, incarnation: Incarnation) -> Result<Process, BenchError> {
        let settings = &self.settings;
        let log = settings.logs.join(format!("{node}.log"));
        let events = self.sender.clone();
        let program = match &self.tcp {
            None => settings.program.clone(),
            Some(tcp) => tcp.program(&settings.program, node, settings.initial),
        };
        let echo = settings.log_stderr;
        let mut process = Process::start(node, incarnation, &program, log, echo, events)
            .map_err(|error| program.cannot_start(node, &error))?;
        self.watchdog.guard(process.group())?;
        let (number, patience) = (self.next_line(), self.settings.init_timeout);
        let line = match &mut self.tcp {
            None => {
                let line = protocol::init(number, node, self.settings.initial);
                process.write(&line);
                line
            }
            Some(tcp) => {
                // A connection to the process before, or an attempt to make one, may fail any moment.
                tcp.forget(None, node);
                let line = protocol::status(number, node);
                tcp.send(node, &line, None, patience)?;
                line
            }
        };
        self.log(&line);
        let until = self.now() + self.settings.init_timeout;
        self.starting.insert(node, until);
        Ok(process)
    }

    fn signal(
        &mut self,
        signal: impl Fn(&mut Watchdog, u32) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        for node in &self.paused {
            signal(&mut self.watchdog, self.processes[node.0].group())?;
        }
        Ok(())
    }

    /// Fails if a node's time to answer `init` is up; returns when the next one's is.
    fn check_init(&self, now: Duration) -> Result<Option<Duration>, BenchError> {
        let waiting = self.starting.iter();
        let waiting = waiting.filter(|(node, _)| !self.paused.contains(node));
        let late = waiting.clone().filter(|(_, until)| now >= **until);
        let late: Vec<Node> = late.map(|(node, _)| *node).collect();
        if late.is_empty() {
            return Ok(waiting.map(|(_, until)| *until).min());
        }
        let names = joined(&late, ", ");
        let seconds = self.settings.init_timeout.as_secs();
        let greeting = match self.tcp {
            None => "init",
            Some(_) => "status",
        };
        let mut text = format!("no answer to {greeting} within {seconds} s from {names}");
        for node in late {
            text += &format!("\n{node}: {}", self.processes[node.0].last_words());
        }
        Err(BenchError::new(text))
    }

    /// Writes what arrives now to the nodes' outboxes.
    fn deliver(&mut self, now: Duration) -> Result<(), BenchError> {
        while let Some((packet, fate)) = self.network.next(now) {
            let (dest, line) = (packet.dest, packet.payload);
            // On a network the client of a dead node notices that it cannot connect.
            let dead = self.tcp.is_none() && self.dead.contains(&dest);
            if self.initialised {
                self.messages.counts.received(packet.source, fate, dead);
            }
            if dead || fate == Fate::Cut {
                continue;
            }
            if let Some(number) = line.number {
                self.messages.received(number, now);
            }
            if self.settings.log_net_recv {
                log("recv", &line.bytes);
            }
            match &mut self.tcp {
                None => self.processes[dest.0].write(&line.bytes),
                Some(tcp) => {
                    self.messages.counts.overflowed +=
                        tcp.send(dest, &line.bytes, line.request, CONNECT_PATIENCE)?;
                }
            }
        }
        Ok(())
    }

    fn next_line(&mut self) -> u64 {
        self.lines_sent += 1;
        self.lines_sent
    }

    /// Prints a message that is received when it is sent.
    fn log(&self, line: &[u8]) {
        if self.settings.log_net_send {
            log("send", line);
        }
        if self.settings.log_net_recv {
            log("recv", line);
        }
    }
}

/// Prints a message on standard error, unless it is closed.
fn log(what: &str, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let _ = writeln!(io::stderr(), "{what} {}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One node, which is a shell script.
    pub(super) fn settings(name: &str, script: &str, init_timeout: Duration) -> Settings {
        let name = format!("stdraft-{name}-{}", std::process::id());
        let logs = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&logs).expect("a folder");
        Settings {
            program: Program {
                path: "/bin/sh".into(),
                arguments: ["-c", script].map(Into::into).into(),
                data: None,
            },
            nodes: 1,
            initial: 1,
            logs,
            init_timeout,
            ..Settings::default()
        }
    }

    #[test]
    fn init_without_an_answer_in_time_is_an_error() {
        let settings = settings("silent", "exec sed d", Duration::ZERO);
        let logs = settings.logs.clone();
        let error = Cluster::start(settings, Rng::seeded(1)).expect_err("it is silent");
        let told = "no answer to init within 0 s from n0\nn0: its stderr is empty";
        assert_eq!(error.to_string(), told);
        std::fs::remove_dir_all(logs).expect("it is there");
    }
}
