//! Nodes and the pipes between them, without faults but those that are asked for: the least that a
//! measurement needs.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rand::Rng;

use crate::bench::clients::{Asked, MessageId};
use crate::bench::error::BenchError;
use crate::bench::network::{Millionths, Node};
use crate::bench::processes::process::{EVENTS_MAX, Event, Life, Process};
use crate::bench::processes::program::Program;
use crate::bench::processes::watchdog::Watchdog;
use crate::bench::protocol::{self, Body, Dest, Reply};
use crate::bench::report::results::Traffic;
use crate::bench::workload::Request;
use crate::history;

/// Who asks everything.
const CLIENT: history::Process = history::Process(0);

/// What a leader's messages are called.
const APPEND: &str = "append";

/// What nodes tell the client.
#[derive(Debug)]
pub enum Told {
    /// The node is initialised.
    InitOk(Node),
    /// An answer to a request.
    Reply(Reply),
}

/// The nodes.
#[derive(Debug)]
pub struct Cluster {
    program: Program,
    /// Where the nodes' standard error goes, as `n0.log` and so on.
    logs: PathBuf,
    events: Receiver<Event>,
    sender: SyncSender<Event>,
    /// `None` while a node is dead.
    processes: Vec<Option<Process>>,
    lives: Vec<u32>,
    watchdog: Watchdog,
    rng: Rng,
    loss: Millionths,
    leader: (u64, Node),
    lines: u64,
    /// Messages between nodes since the last look, lost ones included, by their type.
    pub traffic: Vec<Traffic>,
}

impl Cluster {
    /// So many nodes, none of which is started. Of the messages between them, some are lost.
    ///
    /// # Errors
    /// There is no shell.
    pub fn new(
        program: Program,
        nodes: usize,
        logs: PathBuf,
        rng: Rng,
        loss: Millionths,
    ) -> Result<Cluster, BenchError> {
        let (sender, events) = sync_channel(EVENTS_MAX);
        Ok(Cluster {
            program,
            logs,
            events,
            sender,
            processes: (0..nodes).map(|_| None).collect(),
            lives: vec![0; nodes],
            watchdog: Watchdog::start().map_err(BenchError::io("sh can't be started"))?,
            rng,
            loss,
            leader: (0, Node(0)),
            lines: 0,
            traffic: Vec::new(),
        })
    }

    /// Starts a node and sends it `init`.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(&mut self, node: Node) -> Result<(), BenchError> {
        let log = self.logs.join(format!("{node}.log"));
        let life = Life(self.lives[node.0]);
        self.lives[node.0] += 1;
        let events = self.sender.clone();
        let mut process = Process::start(node, life, &self.program, log, false, events).map_err(
            BenchError::io(format_args!(
                "{} can't be started",
                self.program.path.display()
            )),
        )?;
        self.watchdog
            .guard(process.group())
            .map_err(BenchError::io("the shell that guards the nodes is gone"))?;
        self.lines += 1;
        process.write(&protocol::init(self.lines, node, self.processes.len()));
        process.flush();
        self.processes[node.0] = Some(process);
        Ok(())
    }

    /// Kills a node.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(&mut self, node: Node) -> Result<(), BenchError> {
        if let Some(mut process) = self.processes[node.0].take() {
            self.watchdog
                .kill(process.group())
                .map_err(BenchError::io("the shell that kills the nodes is gone"))?;
            process
                .reap()
                .map_err(BenchError::io("a node can't be killed"))?;
        }
        Ok(())
    }

    /// The process id of a node that runs.
    pub fn process_id(&self, node: Node) -> Option<u32> {
        self.processes[node.0].as_ref().map(Process::group)
    }

    /// The node whose Appends had the highest term so far.
    pub fn leader(&self) -> Node {
        self.leader.1
    }

    /// Asks a node, at the next [`wait`](Cluster::wait). What a dead node is asked is lost.
    pub fn ask(&mut self, node: Node, id: MessageId, request: &Request) {
        self.lines += 1;
        let asked = Asked {
            process: CLIENT,
            node,
            id,
        };
        let nodes = self.processes.len();
        if let Some(process) = &mut self.processes[node.0] {
            process.write(&protocol::request(self.lines, &asked, request, nodes));
        }
    }

    /// Passes messages on until somebody tells the client something, or the time is up.
    ///
    /// # Errors
    /// A node ended by itself, or said what is no message.
    pub fn wait(&mut self, until: Instant) -> Result<Vec<Told>, BenchError> {
        let mut told = Vec::new();
        loop {
            for process in self.processes.iter_mut().flatten() {
                if process.flush() > 0 {
                    return Err(BenchError::new("a node does not read its input"));
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            let mut next = match self.events.recv_timeout(left) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => return Ok(told),
                Err(RecvTimeoutError::Disconnected) => unreachable!("there is a sender here"),
            };
            while let Some(event) = next {
                self.event(event, &mut told)?;
                next = self.events.try_recv().ok();
            }
            if !told.is_empty() || left.is_zero() {
                return Ok(told);
            }
        }
    }

    /// Waits until these nodes are initialised, and returns how long it took.
    ///
    /// # Errors
    /// They are not within so long, or something else went wrong.
    pub fn await_init(
        &mut self,
        mut nodes: Vec<Node>,
        most: Duration,
    ) -> Result<Duration, BenchError> {
        let began = Instant::now();
        while !nodes.is_empty() {
            if began.elapsed() > most {
                return Err(self.broken(nodes[0], "it did not answer init"));
            }
            for told in self.wait(began + most)? {
                if let Told::InitOk(node) = told {
                    nodes.retain(|other| *other != node);
                }
            }
        }
        Ok(began.elapsed())
    }

    fn event(&mut self, event: Event, told: &mut Vec<Told>) -> Result<(), BenchError> {
        let (node, life) = event.source();
        let lives = self.processes[node.0]
            .as_ref()
            .is_some_and(|p| p.life() == life);
        if !lives {
            return Ok(());
        }
        match event {
            Event::Lines(_, _, bytes) => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    self.line(node, &line[..line.len() - 1], told)
                        .map_err(|problem| self.broken(node, &problem))?;
                }
                Ok(())
            }
            Event::TooLong(..) => Err(self.broken(node, "it printed a line that is too long")),
            Event::Ended(..) => Err(self.broken(node, "it ended")),
        }
    }

    fn line(&mut self, node: Node, line: &[u8], told: &mut Vec<Told>) -> Result<(), String> {
        let envelope = protocol::envelope(line, node, self.processes.len())?;
        match envelope.dest {
            Dest::Server(dest) => {
                let Body { kind, term } = protocol::body(&envelope)?;
                if kind == APPEND && term.is_some_and(|term| term >= self.leader.0) {
                    self.leader = (term.unwrap_or(0), node);
                }
                Traffic::count(&mut self.traffic, &kind, line.len());
                let lost = self.loss.happens(&mut self.rng);
                self.lines += 1;
                if let Some(process) = &mut self.processes[dest.0]
                    && !lost
                {
                    process.write(&protocol::forward(self.lines, node, dest, &envelope));
                }
            }
            Dest::Init(_) => {
                protocol::init_ok(&envelope)?;
                told.push(Told::InitOk(node));
            }
            Dest::Client(_) => told.push(Told::Reply(protocol::reply(&envelope)?)),
        }
        Ok(())
    }

    fn broken(&self, node: Node, problem: &str) -> BenchError {
        let words = match &self.processes[node.0] {
            Some(process) => process.last_words(),
            None => "it was killed".to_owned(),
        };
        BenchError::new(format!("{node}: {problem}\n{node}: {words}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            if let Err(error) = process.reap() {
                eprintln!("a node can't be killed: {error}");
            }
        }
    }
}
