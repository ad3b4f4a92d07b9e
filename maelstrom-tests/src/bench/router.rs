//! The event loop of a run: one thread that owns the network, the clients and the nemesis, and
//! talks to the nodes.
//!
//! A turn of the loop does what is due (faults, time-outs, deliveries, requests), hands each node
//! what was put down for it, and then waits for the nodes' output or for the next thing that falls
//! due. All that decides is in modules without clocks; this one reads the clock and moves bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rand::Rng;

use super::clients::{Clients, Completion};
use super::error::BenchError;
use super::nemesis::{Action, Nemesis, connected_majority};
use super::network::{Cuts, Fate, Network, Node, Packet, Sent, Source};
use super::options::Options;
use super::processes::process::{Event, Life, Process};
use super::processes::program::Program;
use super::processes::watchdog::Watchdog;
use super::protocol::{self, Body, Dest, Envelope, Reply};
use super::report::progress::Progress;
use super::report::record::{Record, nanoseconds};
use super::store::Store;
use super::workload::{Plan, Workload};
use crate::history::{self, Stage};

/// How long a node may take to answer `init`, while it is not paused.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many events are handled before the loop looks at what is due again.
const EVENTS_PER_TURN: usize = 64;

/// How much of an offending line is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 1000;

/// Why a line of a node's output can't be handled.
#[derive(Debug)]
enum Trouble {
    /// Something is wrong with the line.
    Offence(String),
    /// Something else broke.
    Broken(BenchError),
}

impl From<String> for Trouble {
    fn from(offence: String) -> Trouble {
        Trouble::Offence(offence)
    }
}

impl From<BenchError> for Trouble {
    fn from(broken: BenchError) -> Trouble {
        Trouble::Broken(broken)
    }
}

/// A line on its way to a node, with its place in the record of the first messages if it is in
/// there.
#[derive(Debug, Clone)]
struct Line {
    bytes: Vec<u8>,
    recorded: Option<usize>,
}

/// A run in progress.
#[derive(Debug)]
pub struct Router<'a> {
    options: &'a Options,
    program: &'a Program,
    store: &'a Store,
    began: Instant,
    events: Receiver<Event>,
    /// For the readers of nodes that are started again.
    sender: SyncSender<Event>,
    processes: Vec<Process>,
    watchdog: Watchdog,
    network: Network<Line>,
    clients: Clients,
    workload: Workload,
    pace: Pace,
    nemesis: Nemesis,
    cuts: Cuts,
    paused: BTreeSet<Node>,
    /// The nodes that were killed and not started again yet.
    dead: BTreeSet<Node>,
    /// The nodes that have not answered their first `init` yet. Requests begin when there are
    /// none.
    uninitialised: BTreeSet<Node>,
    /// The nodes that were started again and have not answered `init` yet, and until when each
    /// should.
    restarted: BTreeMap<Node, Duration>,
    messages_sent: u64,
    record: Record,
    progress: Progress,
}

impl<'a> Router<'a> {
    /// Starts the nodes.
    ///
    /// # Errors
    /// They can't be started, or the record can't be written.
    pub fn start(
        options: &'a Options,
        program: &'a Program,
        store: &'a Store,
    ) -> Result<Router<'a>, BenchError> {
        let nodes = options.node_count;
        let (sender, events) = sync_channel(super::processes::process::EVENTS_MAX);
        let mut watchdog = Watchdog::start().map_err(BenchError::io("sh can't be started"))?;
        let mut processes = Vec::new();
        for node in (0..nodes).map(Node) {
            let process = spawn(options, program, store, (node, Life(0)), &sender)?;
            guard(&mut watchdog, &process)?;
            processes.push(process);
        }
        let mut rng = Rng::seeded(options.seed);
        let plan = Plan {
            workers: options.concurrency,
            keys_at_once: options.key_count,
            operations_per_key: options.operations_per_key,
        };
        Ok(Router {
            options,
            program,
            store,
            began: Instant::now(),
            events,
            sender,
            processes,
            watchdog,
            network: Network::new(rng.fork(), options.conditions, nodes),
            clients: Clients::new(
                rng.fork(),
                options.concurrency,
                nodes,
                options.client_timeout(),
            ),
            workload: Workload::new(rng.fork(), plan),
            pace: Pace::new(rng.fork(), options.rate),
            nemesis: Nemesis::new(
                rng.fork(),
                &options.nemesis,
                nodes,
                options.nemesis_interval,
            ),
            cuts: Cuts::new(),
            paused: BTreeSet::new(),
            dead: BTreeSet::new(),
            restarted: BTreeMap::new(),
            uninitialised: (0..nodes).map(Node).collect(),
            messages_sent: 0,
            record: Record::create(store)
                .map_err(BenchError::io("the history can't be written"))?,
            progress: Progress::on_stdout(),
        })
    }

    /// Runs to the end and kills the nodes.
    ///
    /// # Errors
    /// A node or the bench broke; the nodes are killed then as well.
    pub fn run(mut self) -> Result<Record, BenchError> {
        let went = self.initialise().and_then(|()| self.test());
        self.progress.end();
        drop(self.watchdog);
        for process in &mut self.processes {
            process
                .reap()
                .map_err(BenchError::io("a node can't be killed"))?;
        }
        went?;
        self.record
            .flush()
            .map_err(BenchError::io("the history can't be written"))?;
        self.record.late_answers = self.clients.late();
        Ok(self.record)
    }

    /// Sends `init` to all nodes at once and waits until all have answered.
    fn initialise(&mut self) -> Result<(), BenchError> {
        for node in (0..self.options.node_count).map(Node) {
            let line = protocol::init(self.next_message(), node, self.options.node_count);
            self.send_as_client(node, line, None);
        }
        while !self.uninitialised.is_empty() {
            let now = self.began.elapsed();
            if now >= INIT_TIMEOUT {
                return Err(self.nobody_home(&self.uninitialised));
            }
            self.deliver(now);
            self.flush();
            let due = self
                .network
                .due()
                .map_or(INIT_TIMEOUT, |due| due.min(INIT_TIMEOUT));
            self.wait(now, due)?;
        }
        let origin = self.began.elapsed();
        self.began += origin;
        self.network.rebase(origin);
        self.progress.initialised(origin);
        Ok(())
    }

    /// Makes requests until the time is up, and then waits for the last answers.
    fn test(&mut self) -> Result<(), BenchError> {
        loop {
            let now = self.began.elapsed();
            let asking = now < self.options.time_limit && !self.record.is_full();
            if !asking && self.clients.all_idle() {
                return Ok(());
            }
            while let Some(action) = self.nemesis.next(now) {
                self.disturb(now, &action)?;
            }
            while let Some(completion) = self.clients.time_out(now) {
                self.completed(now, completion)?;
            }
            self.await_restarted(now)?;
            if asking {
                self.ask(now)?;
            }
            self.deliver(now);
            self.flush();
            self.progress.tick(now, &self.record);
            let due = self.due(asking);
            self.wait(now, due)?;
        }
    }

    /// When something is to be done next; at the latest when progress is to be told.
    fn due(&mut self, asking: bool) -> Duration {
        let next_request = match asking {
            true if self.clients.any_idle() => Some(self.pace.due()),
            true => Some(self.options.time_limit),
            false => None,
        };
        [
            next_request,
            self.nemesis.due(),
            self.restarted.values().copied().min(),
            self.clients.due(),
            self.network.due(),
        ]
        .into_iter()
        .flatten()
        .fold(self.progress.due(), Duration::min)
    }

    /// Handles what the nodes print until something else is due.
    fn wait(&mut self, now: Duration, due: Duration) -> Result<(), BenchError> {
        let first = match self.events.recv_timeout(due.saturating_sub(now)) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => unreachable!("there is a sender here"),
        };
        let now = self.began.elapsed();
        self.event(now, first)?;
        for _ in 1..EVENTS_PER_TURN {
            match self.events.try_recv() {
                Ok(event) => self.event(now, event)?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn event(&mut self, now: Duration, event: Event) -> Result<(), BenchError> {
        let (node, life) = event.source();
        if self.dead.contains(&node) || self.processes[node.0].life() != life {
            // What a node that was killed had said is lost with it, unless it was on the network
            // already.
            return Ok(());
        }
        match event {
            Event::Lines(_, _, bytes) => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let line = &line[..line.len() - 1];
                    self.line(now, node, line)
                        .map_err(|trouble| match trouble {
                            Trouble::Offence(problem) => self.offended(node, line, &problem),
                            Trouble::Broken(broken) => broken,
                        })?;
                }
                Ok(())
            }
            Event::TooLong(_, _, bytes) => {
                let most = super::processes::process::LINE_BYTES_MAX;
                Err(self.offended(node, &bytes, &format!("it is longer than {most} bytes")))
            }
            Event::Ended(_, _, rest) => Err(self.ended(node, &rest)),
        }
    }

    /// Handles one line of a node's output.
    fn line(&mut self, now: Duration, node: Node, line: &[u8]) -> Result<(), Trouble> {
        let envelope = protocol::envelope(line, node, self.options.node_count)?;
        match envelope.dest {
            Dest::Server(dest) => self.between_servers(now, node, dest, &envelope)?,
            Dest::Init(asked) => {
                let first = self.uninitialised.contains(&node);
                if asked != node || !(first || self.restarted.contains_key(&node)) {
                    return Err(Trouble::Offence(format!(
                        "its dest {:?} is unknown: a client that sends init is gone after the answer",
                        protocol::init_client(asked)
                    )));
                }
                protocol::init_ok(&envelope)?;
                self.uninitialised.remove(&node);
                self.restarted.remove(&node);
            }
            Dest::Client(process) => {
                if !self.uninitialised.is_empty() || !self.clients.knows(process) {
                    return Err(Trouble::Offence(
                        "its dest is unknown: there is no such client".into(),
                    ));
                }
                let Reply { id, answer } = protocol::reply(&envelope)?;
                self.record.messages.clients += 1;
                let (from, to) = (Source::Server(node), Source::Client);
                if let Some(recorded) = self.record.message_sent(now, from, to, answer.name()) {
                    self.record.message_received(recorded, now);
                }
                // Clients have no latency: what is sent to them is received.
                for (logged, what) in [
                    (self.options.log_net_send, "send"),
                    (self.options.log_net_recv, "recv"),
                ] {
                    if logged {
                        log(what, line);
                    }
                }
                let completion = self.clients.answer(process, id, answer);
                if let Some(completion) = completion.map_err(|strange| strange.to_string())? {
                    self.completed(now, completion)?;
                }
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
        let bytes = protocol::forward(self.next_message(), source, dest, envelope);
        if self.options.log_net_send {
            log("send", &bytes);
        }
        let length = bytes.len();
        let counted = self.uninitialised.is_empty();
        let source = Source::Server(source);
        let to = Source::Server(dest);
        let recorded = counted
            .then(|| self.record.message_sent(now, source, to, &kind))
            .flatten();
        let packet = Packet {
            source,
            dest,
            payload: Line { bytes, recorded },
        };
        let sent = self.network.send(now, packet);
        if counted {
            self.record.messages.sent(source, &kind, length, sent);
            if protocol::asks_for_vote(&kind) {
                self.record.election_terms.extend(term);
            }
        }
        Ok(())
    }

    /// Lets idle clients ask as often as the pace allows.
    fn ask(&mut self, now: Duration) -> Result<(), BenchError> {
        while self.pace.due() <= now {
            let Some((worker, process)) = self.clients.take_idle() else {
                return Ok(());
            };
            self.pace.advance(now);
            let request = self.workload.next(worker, process);
            let event = history::Event {
                process,
                time_ns: nanoseconds(now),
                key: request.key.into(),
                call: request.call.clone(),
                stage: Stage::Invoke,
            };
            self.record.event(event)?;
            let asked = self.clients.ask(now, worker, request.clone());
            let line = protocol::request(
                self.next_message(),
                &asked,
                &request,
                self.options.node_count,
            );
            self.record.messages.clients += 1;
            let (from, to) = (Source::Client, Source::Server(asked.node));
            let recorded = self.record.message_sent(now, from, to, request.call.name());
            self.send_as_client(asked.node, line, recorded);
        }
        Ok(())
    }

    fn send_as_client(&mut self, dest: Node, bytes: Vec<u8>, recorded: Option<usize>) {
        let now = self.began.elapsed();
        if self.options.log_net_send {
            log("send", &bytes);
        }
        let packet = Packet {
            source: Source::Client,
            dest,
            payload: Line { bytes, recorded },
        };
        match self.network.send(now, packet) {
            Sent::Once | Sent::Twice | Sent::Lost => {}
            Sent::Overflow => self.record.messages.overflowed += 1,
        }
    }

    /// Puts down for the nodes what arrives now.
    fn deliver(&mut self, now: Duration) {
        let counted = self.uninitialised.is_empty();
        let Router {
            network,
            processes,
            record,
            options,
            dead,
            ..
        } = self;
        network.deliver(now, |packet, fate| {
            let dead = dead.contains(&packet.dest);
            if counted {
                record.messages.received(packet.source, fate, dead);
            }
            match fate {
                Fate::Delivered if dead => {}
                Fate::Delivered => {
                    if let Some(recorded) = packet.payload.recorded {
                        record.message_received(recorded, now);
                    }
                    if options.log_net_recv {
                        log("recv", &packet.payload.bytes);
                    }
                    processes[packet.dest.0].write(&packet.payload.bytes);
                }
                Fate::Cut => {}
            }
        });
    }

    fn flush(&mut self) {
        for process in &mut self.processes {
            self.record.messages.overflowed += process.flush();
        }
    }

    fn completed(&mut self, now: Duration, completion: Completion) -> Result<(), BenchError> {
        self.record.event(history::Event {
            process: completion.process,
            time_ns: nanoseconds(now),
            key: completion.request.key.into(),
            call: completion.request.call,
            stage: Stage::Complete(completion.outcome),
        })
    }

    /// Does what the nemesis wants.
    fn disturb(&mut self, now: Duration, action: &Action) -> Result<(), BenchError> {
        match action {
            Action::Cut(_, cuts) => {
                self.cuts.clone_from(cuts);
                self.network.cut(cuts.clone());
            }
            Action::Heal => {
                self.cuts.clear();
                self.network.cut(Cuts::new());
            }
            Action::Pause(nodes) => {
                self.paused = nodes - &self.dead;
                self.signal(Watchdog::pause)?;
            }
            Action::Resume(_) => {
                self.signal(Watchdog::resume)?;
                for node in std::mem::take(&mut self.paused) {
                    self.restarted
                        .entry(node)
                        .and_modify(|until| *until = now + INIT_TIMEOUT);
                }
            }
            Action::Kill(nodes) => self.kill(nodes)?,
            Action::Restart(nodes) => self.restart(now, nodes)?,
        }
        match action {
            Action::Cut(..) | Action::Pause(_) | Action::Kill(_) => {
                let down = &self.paused | &self.dead;
                let side = connected_majority(self.options.node_count, &self.cuts, &down);
                self.record.fault_began(now, action, side);
            }
            Action::Heal | Action::Resume(_) | Action::Restart(_) => {
                self.record.fault_ended(now, action.kind());
            }
        }
        Ok(())
    }

    /// Kills nodes: with what they were about to say, and with what was about to be said to them.
    fn kill(&mut self, nodes: &BTreeSet<Node>) -> Result<(), BenchError> {
        for node in nodes {
            let process = &mut self.processes[node.0];
            // The whole group, or the children of a script would live on.
            self.watchdog
                .kill(process.group())
                .map_err(BenchError::io("the shell that kills the nodes is gone"))?;
            process
                .reap()
                .map_err(BenchError::io(format_args!("{node} can't be killed")))?;
            self.dead.insert(*node);
            self.paused.remove(node);
            self.restarted.remove(node);
        }
        Ok(())
    }

    /// Starts nodes again. Nothing comes to them before `init`.
    fn restart(&mut self, now: Duration, nodes: &BTreeSet<Node>) -> Result<(), BenchError> {
        for node in nodes {
            let Life(life) = self.processes[node.0].life();
            let which = (*node, Life(life + 1));
            let process = spawn(self.options, self.program, self.store, which, &self.sender)?;
            guard(&mut self.watchdog, &process)?;
            self.processes[node.0] = process;
            self.dead.remove(node);
            self.restarted.insert(*node, now + INIT_TIMEOUT);
            let init = protocol::init(self.next_message(), *node, self.options.node_count);
            self.processes[node.0].write(&init);
        }
        Ok(())
    }

    /// Breaks the run if a node that was started again does not answer `init`.
    fn await_restarted(&self, now: Duration) -> Result<(), BenchError> {
        let late =
            |(node, until): &(&Node, &Duration)| now >= **until && !self.paused.contains(node);
        let silent: BTreeSet<Node> = self
            .restarted
            .iter()
            .filter(late)
            .map(|(n, _)| *n)
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        Err(self.nobody_home(&silent))
    }

    /// Gives a signal to the nodes that are, or were, paused.
    fn signal(
        &mut self,
        signal: impl Fn(&mut Watchdog, u32) -> io::Result<()>,
    ) -> Result<(), BenchError> {
        for node in &self.paused {
            let group = self.processes[node.0].group();
            signal(&mut self.watchdog, group)
                .map_err(BenchError::io("the shell that pauses the nodes is gone"))?;
        }
        Ok(())
    }

    fn next_message(&mut self) -> u64 {
        self.messages_sent += 1;
        self.messages_sent
    }

    fn nobody_home(&self, silent: &BTreeSet<Node>) -> BenchError {
        let seconds = INIT_TIMEOUT.as_secs();
        let names: Vec<String> = silent.iter().map(Node::to_string).collect();
        let mut text = format!(
            "{} did not answer init within {seconds} s",
            names.join(", ")
        );
        for node in silent {
            text += &format!("\n{node}: {}", self.processes[node.0].last_words());
        }
        BenchError::new(text)
    }

    fn offended(&self, node: Node, line: &[u8], problem: &str) -> BenchError {
        let words = self.processes[node.0].last_words();
        BenchError::new(format!(
            "{node} printed a line that is not a message it may send: {problem}\n  {}\n{node}: {words}",
            shown(line)
        ))
    }

    fn ended(&mut self, node: Node, rest: &[u8]) -> BenchError {
        let process = &mut self.processes[node.0];
        let mut text = match process.ended() {
            Ok(Some(status)) => format!("{node} ended before the run did: {status}"),
            Ok(None) => format!("{node} closed its standard output before the run had ended"),
            Err(error) => {
                format!("{node} closed its standard output, and its end is unknown: {error}")
            }
        };
        if !rest.is_empty() {
            text += &format!("\n  its last line is not whole: {}", shown(rest));
        }
        BenchError::new(format!("{text}\n{node}: {}", process.last_words()))
    }
}

/// Starts one of a node's processes.
fn spawn(
    options: &Options,
    program: &Program,
    store: &Store,
    (node, life): (Node, Life),
    events: &SyncSender<Event>,
) -> Result<Process, BenchError> {
    let log = store.file(&format!("node-logs/{node}.log"));
    let echo = options.log_stderr;
    Process::start(node, life, program, log, echo, events.clone()).map_err(BenchError::io(
        format_args!("{} can't be started as {node}", program.path.display()),
    ))
}

fn guard(watchdog: &mut Watchdog, process: &Process) -> Result<(), BenchError> {
    watchdog
        .guard(process.group())
        .map_err(BenchError::io("the shell that guards the nodes is gone"))
}

/// When the next request is to be made: at random, at a given mean rate over all clients.
#[derive(Debug)]
struct Pace {
    rng: Rng,
    /// Twice the mean time between requests, in nanoseconds; 0 if there is to be none.
    spread_ns: u64,
    next: Duration,
}

impl Pace {
    fn new(rng: Rng, rate: Option<f64>) -> Pace {
        Pace {
            rng,
            spread_ns: rate.map_or(0, |rate| (2e9 / rate) as u64),
            next: Duration::ZERO,
        }
    }

    fn due(&self) -> Duration {
        self.next
    }

    /// A request that comes a little late does not delay the next, but what all clients were too
    /// busy for is not made up for.
    fn advance(&mut self, now: Duration) {
        let wait = Duration::from_nanos(self.rng.range(0..=self.spread_ns));
        self.next = (self.next + wait).max(now);
    }
}

/// Prints a message on standard error. Where that is closed there is nobody to tell.
fn log(what: &str, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let _ = writeln!(io::stderr(), "{what} {}", line.trim_end());
}

/// A line as text, cut if it is long.
fn shown(line: &[u8]) -> String {
    if line.len() <= SHOWN_BYTES_MAX {
        return String::from_utf8_lossy(line).into_owned();
    }
    let head = String::from_utf8_lossy(&line[..SHOWN_BYTES_MAX]);
    format!("{head}... ({} bytes)", line.len())
}
