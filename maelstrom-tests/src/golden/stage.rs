//! The cluster that a script plays with, and the notes that are taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

use raft_core::{
    Config, Doubt, Entry, EntryId, Envelope, Incarnation, Index, Input, Membership, Message,
    NodeId, Payload, Refusal, Reply, RequestId, Response, RoleName, SnapshotChunk, Status, Task,
    Term, Ticket,
};

use super::command::{Command, Nodes, Pick, Which};
use crate::replica::describe::{self, Question};
use crate::replica::disk::{File, MemoryDisk};
use crate::replica::machine::{self, Change, Key, Registers};
use crate::replica::node::{self, Disk as _, Released, Setting, Work, Worked};
use crate::rules::{Broken, CommandId, Rules};

/// How many messages arrive before a script that does not settle is given up.
const DELIVERIES_MAX: usize = 10_000;

/// How many ticks a node may take to want to be elected.
const CAMPAIGN_TICKS_MAX: u64 = 1_000;

/// All that a script acts upon.
#[derive(Debug, Default)]
pub(super) struct Stage {
    config: Option<Config>,
    nodes: BTreeMap<NodeId, Node>,
    lives: u64,
    /// Messages on their way, in the order in which they were sent.
    flight: VecDeque<Envelope<Registers>>,
    held: VecDeque<Envelope<Registers>>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// What each client asked.
    requests: BTreeMap<Ticket, String>,
    names: BTreeMap<(Question, RequestId), usize>,
    rules: Rules<Registers>,
    notes: Notes,
}

#[derive(Debug)]
struct Node {
    host: node::Node<Registers, MemoryDisk>,
    /// The disk takes its time.
    stalled: bool,
    /// The work on snapshots waits.
    busy: bool,
    /// Outputs are not taken.
    gathering: bool,
    /// The node as it was noted last.
    noted: Status,
    /// Its log then.
    log: Vec<Entry<machine::Command>>,
}

/// What is written below a command.
#[derive(Debug, Default)]
struct Notes {
    text: String,
    /// What happened, as long as nothing has come of it.
    heading: Option<String>,
    indented: bool,
}

impl Notes {
    /// Something happens. It is told if something comes of it.
    fn begin(&mut self, heading: String) {
        self.heading = Some(heading);
        self.indented = true;
    }

    /// Something happens, which is told in any case.
    fn tell(&mut self, heading: &str) {
        self.heading = None;
        self.indented = true;
        writeln!(self.text, "  {heading}").expect("a string takes all");
    }

    /// The command itself is what happens.
    fn reset(&mut self) {
        self.heading = None;
        self.indented = false;
    }

    fn line(&mut self, line: &str) {
        if let Some(heading) = self.heading.take() {
            writeln!(self.text, "  {heading}").expect("a string takes all");
        }
        let indent = if self.indented { "    " } else { "  " };
        writeln!(self.text, "{indent}{line}").expect("a string takes all");
    }
}

impl Stage {
    /// What was noted since the last time.
    pub(super) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.notes.text)
    }

    /// Does what a line says.
    pub(super) fn play(&mut self, command: &Command) -> Result<(), String> {
        self.notes.reset();
        match command {
            Command::Cluster { size, config } => {
                self.config = Some(config.clone());
                for id in (1..=*size).map(NodeId) {
                    self.create(id, *size, MemoryDisk::default())?;
                }
                Ok(())
            }
            Command::Node { id, ballot, log } => {
                let size = self.nodes.len() as u64;
                self.node(*id)?;
                let entry = |(index, term): (u64, &Term)| Entry {
                    id: EntryId {
                        term: *term,
                        index: Index(index),
                    },
                    payload: Payload::Blank,
                };
                let log = (1..).zip(log).map(entry).collect();
                self.create(*id, size, MemoryDisk::holding(*ballot, log))
            }
            Command::Tick { nodes, times } => {
                for time in 1..=*times {
                    self.tick(*nodes, (*times > 1).then_some(time))?;
                }
                Ok(())
            }
            Command::Run { times } => {
                for time in 1..=*times {
                    self.tick(Nodes::All, (*times > 1).then_some(time))?;
                    self.settle()?;
                }
                Ok(())
            }
            Command::Campaign(id) => self.campaign(*id),
            Command::Write(id, key, change) => {
                let ticket = self.ticket();
                let command = machine::Command {
                    id: CommandId(ticket.0),
                    key: *key,
                    change: *change,
                };
                let verb = match change {
                    Change::Write(_) => "write",
                    Change::Cas { .. } => "cas",
                };
                self.requests.insert(ticket, format!("{verb} {command}"));
                self.happen(*id, Input::Write { ticket, command })
            }
            Command::Read(id, key) => self.read(*id, *key),
            Command::Deliver(which) => {
                for envelope in take(&mut self.flight, which)? {
                    self.arrive(envelope)?;
                }
                Ok(())
            }
            Command::Settle => self.settle(),
            Command::Drop(which) => take(&mut self.flight, which).map(drop),
            Command::Duplicate(which) => {
                let copies: Vec<_> = take(&mut self.flight.clone(), which)?;
                self.flight.extend(copies);
                Ok(())
            }
            Command::Spoil(which) => {
                for envelope in take(&mut self.flight, which)? {
                    self.flight.push_back(spoiled(envelope)?);
                }
                Ok(())
            }
            Command::Hold(which) => {
                self.held.extend(take(&mut self.flight, which)?);
                Ok(())
            }
            Command::Release(which) => {
                self.flight.extend(take(&mut self.held, which)?);
                Ok(())
            }
            Command::Cut(from, to) => {
                self.node(*from)?;
                self.node(*to)?;
                self.cut.insert((*from, *to));
                Ok(())
            }
            Command::Isolate(id) => {
                self.node(*id)?;
                let others = self.nodes.keys().filter(|other| *other != id);
                self.cut.extend(others.flat_map(|o| [(*o, *id), (*id, *o)]));
                Ok(())
            }
            Command::Heal => {
                self.cut.clear();
                Ok(())
            }
            Command::Crash(id) => self.crash(*id),
            Command::Start(id) => self.start(*id),
            Command::Restart(id) => {
                self.crash(*id)?;
                self.start(*id)
            }
            Command::Stall(id) => {
                self.node(*id)?.stalled = true;
                Ok(())
            }
            Command::Sync(id) => self.sync(*id),
            Command::Unstall(id) => {
                self.node(*id)?.stalled = false;
                self.sync(*id)
            }
            Command::Busy(id) => {
                self.node(*id)?.busy = true;
                Ok(())
            }
            Command::Work(id) => self.work(*id),
            Command::Free(id) => {
                self.node(*id)?.busy = false;
                self.collect(*id)
            }
            Command::Forget(id) => {
                self.crash(*id)?;
                self.node(*id)?.host.disk = MemoryDisk::default();
                self.start(*id)
            }
            Command::Gather(id) => {
                self.node(*id)?.gathering = true;
                Ok(())
            }
            Command::Flush(id) => {
                self.node(*id)?.gathering = false;
                self.collect(*id)
            }
            Command::Status(nodes) => {
                for id in self.chosen(*nodes)? {
                    let line = self.status(id);
                    self.notes.line(&line);
                }
                Ok(())
            }
            Command::Log(nodes) => {
                for id in self.chosen(*nodes)? {
                    let node = &self.nodes[&id];
                    let base = node.noted.base;
                    let begin = (base != EntryId::default()).then(|| format!("after {base}:"));
                    let terms = node.log.iter().map(|e| e.id.term.to_string());
                    let words: Vec<String> = begin.into_iter().chain(terms).collect();
                    self.notes.line(&format!("n{id}: {}", words.join(" ")));
                }
                Ok(())
            }
            Command::Flight => {
                for envelope in self.flight.clone() {
                    let line = self.message(&envelope);
                    self.notes.line(&line);
                }
                for envelope in self.held.clone() {
                    let line = self.message(&envelope);
                    self.notes.line(&format!("held: {line}"));
                }
                Ok(())
            }
        }
    }

    // ---- Nodes.

    fn node(&mut self, id: NodeId) -> Result<&mut Node, String> {
        self.nodes
            .get_mut(&id)
            .ok_or(format!("there is no node n{id}"))
    }

    fn chosen(&mut self, nodes: Nodes) -> Result<Vec<NodeId>, String> {
        match nodes {
            Nodes::All => Ok(self.nodes.keys().copied().collect()),
            Nodes::One(id) => self.node(id).map(|_| vec![id]),
        }
    }

    /// Makes a node with this disk, and starts it.
    fn create(&mut self, id: NodeId, size: u64, disk: MemoryDisk) -> Result<(), String> {
        let config = self.config.clone().ok_or("there is no cluster")?;
        let membership = Membership::of((1..=size).map(NodeId));
        let setting = Arc::new(Setting { membership, config });
        let mut host = node::Node::new(id, setting, disk);
        self.lives += 1;
        start(&mut host, self.lives)?;
        let noted = noted(&host);
        let node = Node {
            log: host.disk.ledger().entries().to_vec(),
            host,
            stalled: false,
            busy: false,
            gathering: false,
            noted,
        };
        self.nodes.insert(id, node);
        self.collect(id)
    }

    fn crash(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id)?;
        node.host.crash();
        node.gathering = false;
        if self.nodes.len() == 1 {
            self.rules
                .lone_voter_died(id, self.nodes[&id].host.disk.ledger());
        }
        Ok(())
    }

    fn start(&mut self, id: NodeId) -> Result<(), String> {
        self.lives += 1;
        let life = self.lives;
        let node = self.node(id)?;
        if node.host.process().is_some() {
            return Err(format!("n{id} runs already"));
        }
        start(&mut node.host, life)?;
        node.noted = noted(&node.host);
        node.log = node.host.disk.ledger().entries().to_vec();
        self.collect(id)
    }

    fn tick(&mut self, nodes: Nodes, time: Option<u64>) -> Result<(), String> {
        for id in self.chosen(nodes)? {
            let who = match nodes {
                Nodes::All => format!("n{id} "),
                Nodes::One(_) => String::new(),
            };
            match time {
                Some(time) => self.notes.begin(format!("{who}tick {time}")),
                None => self.notes.begin(format!("{who}tick")),
            }
            self.happen(id, Input::Tick)?;
        }
        Ok(())
    }

    fn campaign(&mut self, id: NodeId) -> Result<(), String> {
        for time in 1..=CAMPAIGN_TICKS_MAX {
            let before = self.node(id)?.noted.counters.pre_elections;
            self.tick(Nodes::One(id), Some(time))?;
            if self.node(id)?.noted.counters.pre_elections > before {
                return Ok(());
            }
        }
        Err(format!("n{id} does not want to be elected"))
    }

    fn ticket(&self) -> Ticket {
        Ticket(self.requests.len() as u64 + 1)
    }

    fn read(&mut self, id: NodeId, query: Key) -> Result<(), String> {
        let ticket = self.ticket();
        self.requests.insert(ticket, format!("read {query}"));
        self.happen(id, Input::Read { ticket, query })
    }

    fn happen(&mut self, id: NodeId, input: Input<Registers>) -> Result<(), String> {
        let node = self.node(id)?;
        node.host.step(input).map_err(words)?;
        if node.gathering {
            self.note(id)
        } else {
            self.collect(id)
        }
    }

    /// Takes a node's output and, unless its disk is stalled, stores it.
    fn collect(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id)?;
        let released = node.host.release().map_err(words)?;
        let (stalled, busy) = (node.stalled, node.busy);
        self.note(id)?;
        let Released {
            messages,
            replies,
            begins_work,
        } = released;
        for reply in replies {
            self.answer(id, &reply)?;
        }
        self.send(messages)?;
        if begins_work {
            self.begin_work(id)?;
        }
        if !stalled {
            self.sync(id)?;
        }
        while !busy
            && self
                .node(id)?
                .host
                .process()
                .is_some_and(|process| process.work().is_some())
        {
            self.work(id)?;
        }
        Ok(())
    }

    /// Checks and notes a snapshot in the making.
    fn begin_work(&mut self, id: NodeId) -> Result<(), String> {
        let host = &self.nodes[&id].host;
        host.check_work(&self.rules).map_err(words)?;
        if let Some(Work::Begun(task)) = host.process().and_then(|process| process.work()) {
            let (verb, snapshot) = match task {
                Task::Store(capture) => ("makes", File::encode(capture.last, &capture.machine).id),
                Task::Install(received) => ("installs", received.id),
            };
            let snapshot = describe::snapshot(&snapshot);
            self.notes
                .line(&format!("n{id} {verb} snapshot {snapshot}"));
        }
        Ok(())
    }

    /// Does the next step of the work on a snapshot.
    fn work(&mut self, id: NodeId) -> Result<(), String> {
        match self.node(id)?.host.work().map_err(words)? {
            Some(Worked::Named(_)) => {
                self.notes.line(&format!("n{id} names its file"));
                self.nodes[&id].host.check_work(&self.rules).map_err(words)
            }
            Some(Worked::Done(_, input)) => {
                let broken = matches!(input, Input::SnapshotBroken(_));
                let done = if broken {
                    "finds it broken"
                } else {
                    "is done with it"
                };
                self.notes.line(&format!("n{id} {done}"));
                self.happen(id, input)
            }
            None => Err(format!("n{id} makes no snapshot")),
        }
    }

    fn sync(&mut self, id: NodeId) -> Result<(), String> {
        loop {
            let node = self.node(id)?;
            let records = node.host.unsynced_records().iter().map(describe::record);
            let records: Vec<String> = records.collect();
            let Some((messages, synced)) = node.host.sync().map_err(words)? else {
                return Ok(());
            };
            if !records.is_empty() {
                let line = format!("n{id} stores {}", records.join("; "));
                self.notes.line(&line);
            }
            self.send(messages)?;
            self.happen(id, Input::Synced(synced))?;
        }
    }

    // ---- Messages.

    fn send(&mut self, messages: Vec<Envelope<Registers>>) -> Result<(), String> {
        for envelope in messages {
            let disk = self.nodes[&envelope.from].host.disk.ledger();
            self.rules.sends(&envelope, disk).map_err(words)?;
            let line = self.message(&envelope);
            self.notes.line(&line);
            self.flight.push_back(envelope);
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..DELIVERIES_MAX {
            let Some(envelope) = self.flight.pop_front() else {
                return Ok(());
            };
            self.arrive(envelope)?;
        }
        Err(format!(
            "after {DELIVERIES_MAX} messages there are still more"
        ))
    }

    fn arrive(&mut self, envelope: Envelope<Registers>) -> Result<(), String> {
        let to = envelope.to;
        let line = self.message(&envelope);
        let node = self.node(to)?;
        let is_dead = node.host.process().is_none();
        if is_dead || self.cut.contains(&(envelope.from, to)) {
            self.notes.tell(&format!("lost: {line}"));
            return Ok(());
        }
        self.notes.tell(&line);
        self.happen(to, Input::Receive(envelope))
    }

    fn message(&mut self, envelope: &Envelope<Registers>) -> String {
        let names = &mut self.names;
        let name = |question, id| {
            let known = names.keys().filter(|(q, _)| *q == question).count();
            let number = *names.entry((question, id)).or_insert(known + 1);
            let letter = match question {
                Question::PreVote => 'p',
                Question::Round => 'r',
                Question::ReadIndex => 'i',
                Question::Forward => 'f',
            };
            format!("{letter}{number}")
        };
        let Envelope {
            from,
            to,
            term,
            message,
        } = envelope;
        let message = describe::message(message, name);
        format!("n{from}->n{to} t{term} {message}")
    }

    fn answer(&mut self, id: NodeId, reply: &Reply<Registers>) -> Result<(), String> {
        let request = self.requests[&reply.ticket].clone();
        let response = match &reply.response {
            Response::Applied(outcome) => outcome.to_string(),
            Response::Answered(Some(value)) => value.to_string(),
            Response::Answered(None) => "absent".into(),
            Response::Refused(refusal) => match refusal {
                Refusal::NoLeader => "refused, no leader".into(),
                Refusal::NotLeader => "refused, not the leader".into(),
                Refusal::Full => "refused, too many requests".into(),
                Refusal::ReadExpired => "refused, too late".into(),
            },
            Response::Unknown(doubt) => match doubt {
                Doubt::Expired => "unknown, too late".into(),
                Doubt::Overwritten => "unknown, overwritten".into(),
            },
        };
        self.notes
            .line(&format!("n{id} answers {request}: {response}"));
        if request.starts_with("read") {
            return Ok(());
        }
        self.rules
            .answered(CommandId(reply.ticket.0), &reply.response)
            .map_err(words)
    }

    // ---- Notes.

    /// Notes in what a node differs from when it was noted last, and checks the rules.
    fn note(&mut self, id: NodeId) -> Result<(), String> {
        let disks = self.nodes.values().map(|node| node.host.disk.ledger());
        let observed = self.nodes[&id].host.observe(&mut self.rules, disks);
        observed.map_err(words)?;
        let node = self.nodes.get_mut(&id).expect("it exists");
        let Some(life) = node.host.process() else {
            return Ok(());
        };
        let now = life.status.clone();
        let log: Vec<_> = life.replica.log().cloned().collect();
        let before = std::mem::replace(&mut node.noted, now.clone());
        let old_log = std::mem::replace(&mut node.log, log.clone());

        for reason in drops(&before, &now) {
            self.notes.line(&format!("n{id} drops it: {reason}"));
        }
        let (term, old_term) = (now.ballot.term(), before.ballot.term());
        if (now.role, term) != (before.role, old_term) {
            self.notes
                .line(&format!("n{id} is {} in term {term}", now.role));
        }
        // What a snapshot covers goes without a word.
        if now.counters.entries_truncated > before.counters.entries_truncated {
            let uncommitted = old_log.iter().filter(|e| e.id.index > before.commit.index);
            let lost = describe::entries(uncommitted.filter(|entry| !log.contains(entry)));
            self.notes.line(&format!("n{id} drops {lost}"));
        }
        let (from, to) = (before.commit.index, now.commit.index);
        let new: Vec<_> = log
            .iter()
            .filter(|e| e.id.index > from && e.id.index <= to)
            .collect();
        if new.len() as u64 == to.0 - from.0 && from < to {
            let new = describe::entries(new);
            self.notes.line(&format!("n{id} commits {new}"));
        } else if from < to {
            self.notes
                .line(&format!("n{id} commits through {}", now.commit));
        }
        if before.base != now.base {
            self.notes
                .line(&format!("n{id} compacts through {}", now.base));
        }
        Ok(())
    }

    fn status(&self, id: NodeId) -> String {
        let node = &self.nodes[&id];
        let status = &node.noted;
        if node.host.process().is_none() {
            return format!(
                "n{id} is dead, its disk ends at {}",
                node.host.disk.ledger().last()
            );
        }
        let mut line = format!("n{id} {} t{}", status.role, status.ballot.term());
        let mut add = |part: String| line.push_str(&part);
        if let Some(vote) = status.ballot.vote() {
            add(format!(", voted n{vote}"));
        }
        if let Some(leader) = status.leader
            && status.role != RoleName::Leader
        {
            add(format!(", follows n{leader}"));
        }
        add(format!(", last {}, commit {}", status.last, status.commit));
        if let Some(snapshot) = status.snapshot {
            add(format!(", snapshot {}", snapshot.last));
        }
        for (peer, matched) in &status.matched {
            add(format!(", n{peer} has {matched}"));
        }
        for (peer, (snapshot, offset)) in &status.transfers {
            let (last, length) = (snapshot.last, snapshot.length);
            add(format!(
                ", n{peer} has {offset} of {length} bytes of {last}"
            ));
        }
        for peer in &status.forgetful {
            add(format!(", n{peer} forgets"));
        }
        if let Some((here, snapshot)) = status.gathered {
            let (last, length) = (snapshot.last, snapshot.length);
            add(format!(", has {here} of {length} bytes of {last}"));
        }
        if status.requests_open > 0 {
            add(format!(", {} open", status.requests_open));
        }
        line
    }
}

/// A node's state; it runs.
fn noted(host: &node::Node<Registers, MemoryDisk>) -> Status {
    let process = host.process().expect("the process was just started");
    process.status.clone()
}

/// Starts a node with this incarnation.
fn start(host: &mut node::Node<Registers, MemoryDisk>, life: u64) -> Result<(), String> {
    host.start(Incarnation(life), life).map_err(words)
}

fn words(broken: impl Into<Broken>) -> String {
    broken.into().0
}

/// Why a message was dropped between two states.
fn drops(before: &Status, now: &Status) -> Vec<&'static str> {
    let reasons = |status: &Status| {
        let dropped = &status.counters.dropped;
        [
            ("a stranger's", dropped.stranger),
            ("malformed", dropped.malformed),
            ("a lower term", dropped.stale_term),
            ("a stale reply", dropped.stale_reply),
            ("a repeated forward", dropped.repeated_forward),
            ("unexpected", dropped.unexpected),
            ("no room", dropped.overflow),
        ]
    };
    let pairs = reasons(before).into_iter().zip(reasons(now));
    pairs
        .filter(|((_, old), (_, new))| new > old)
        .map(|((reason, _), _)| reason)
        .collect()
}

/// A chunk of a snapshot whose first byte is another one.
fn spoiled(mut envelope: Envelope<Registers>) -> Result<Envelope<Registers>, String> {
    if let Message::SnapshotChunk(SnapshotChunk { data, .. }) = &mut envelope.message
        && let [first, rest @ ..] = &**data
    {
        *data = [&[!first], rest].concat().into();
        Ok(envelope)
    } else {
        Err("it carries no part of a snapshot".into())
    }
}

/// Takes out those messages that are meant.
fn take(
    messages: &mut VecDeque<Envelope<Registers>>,
    which: &Which,
) -> Result<Vec<Envelope<Registers>>, String> {
    let (fitting, mut rest): (Vec<_>, VecDeque<_>) = {
        let fits: Vec<usize> = (0..messages.len())
            .filter(|at| which.fits(&messages[*at]))
            .collect();
        let fits = match which.pick {
            Pick::All => &fits[..],
            Pick::First => &fits[..fits.len().min(1)],
            Pick::Last => &fits[fits.len().saturating_sub(1)..],
            Pick::Nth(place) => fits.get(place.saturating_sub(1)..place).unwrap_or_default(),
        };
        let (mut fitting, mut rest) = (Vec::new(), VecDeque::new());
        for (at, envelope) in messages.drain(..).enumerate() {
            if fits.contains(&at) {
                fitting.push(envelope);
            } else {
                rest.push_back(envelope);
            }
        }
        (fitting, rest)
    };
    messages.append(&mut rest);
    if fitting.is_empty() {
        return Err("there is no such message".into());
    }
    Ok(fitting)
}
