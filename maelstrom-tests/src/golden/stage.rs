//! The cluster that a script acts on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use raft::sessions::SessionId;
use raft_core::{
    Config, Entry, EntryId, Envelope, Incarnation, Index, Input, Membership, Message, NodeId,
    Payload, Reply, RequestId, Response, SnapshotChunk, Task, Ticket,
};

use super::notes::{self, Noted, Notes};
use super::words::{Pick, Which, Words};
use crate::replica::describe;
use crate::replica::disk::{File, MemoryDisk};
use crate::replica::machine::{Change, Command, Key, Number, Registers};
use crate::replica::node::{self, Disk as _, Setting, Work, Worked};
use crate::rules::{CommandId, Rules};

/// After this many deliveries a script that does not settle fails.
const DELIVERIES_MAX: usize = 10_000;

/// After this many ticks a node that starts no election fails its script.
const CAMPAIGN_TICKS_MAX: u64 = 1_000;

type Flight = VecDeque<Envelope<Registers>>;

/// All that a script acts on.
#[derive(Debug, Default)]
pub(super) struct Stage {
    config: Option<Config>,
    nodes: BTreeMap<NodeId, Node>,
    /// How many processes were started.
    incarnations: u64,
    /// Messages under way, in the order in which they were sent.
    flight: Flight,
    held: Flight,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// The text of each client's request.
    requests: BTreeMap<Ticket, String>,
    /// The commands of the writes.
    commands: BTreeMap<Ticket, CommandId>,
    /// The commands of sessions, by session and number.
    numbered: BTreeMap<(SessionId, u64), CommandId>,
    /// The names of requests between nodes, numbered in the order in which they appear.
    names: BTreeMap<(char, RequestId), usize>,
    rules: Rules<Registers>,
    notes: Notes,
}

#[derive(Debug)]
struct Node {
    host: node::Node<Registers, MemoryDisk>,
    /// Outputs wait to be stored.
    stalled: bool,
    /// Work on snapshots waits.
    busy: bool,
    /// Outputs are not taken.
    gathering: bool,
    /// The node when it was last printed.
    noted: Option<Noted>,
}

impl Stage {
    /// The output since the last call.
    pub(super) fn take_output(&mut self) -> String {
        self.notes.take()
    }

    /// Plays one line.
    pub(super) fn play(&mut self, line: &str) -> Result<(), String> {
        self.notes.reset();
        let words = &mut Words::of(line);
        match words.next()? {
            "cluster" => self.create_all(words)?,
            "node" => self.create_one(words)?,
            "tick" => {
                let (nodes, times) = (words.nodes()?, words.times()?);
                for time in 1..=times {
                    self.tick(nodes, (times > 1).then_some(time))?;
                }
            }
            "run" => {
                let times = words.number()?;
                for time in 1..=times {
                    self.tick(None, (times > 1).then_some(time))?;
                    self.settle()?;
                }
            }
            "campaign" => self.campaign(words.node()?)?,
            "write" => self.write("write", words.node()?, words.write()?, words.sequence()?)?,
            "cas" => self.write("cas", words.node()?, words.cas()?, words.sequence()?)?,
            "read" => self.read(words.node()?, words.key()?)?,
            "transfer" => self.transfer(words.node()?, words.optional_node()?)?,
            "change" => self.change(words.node()?, words.change()?)?,
            "join" => {
                let id = words.node()?;
                self.create(id, Membership::default(), MemoryDisk::default())?;
            }
            "settle" => self.settle()?,
            "cut" => {
                let link = (words.node()?, words.node()?);
                self.node(link.0)?;
                self.node(link.1)?;
                self.cut.insert(link);
            }
            "isolate" => {
                let id = words.node()?;
                self.node(id)?;
                let others = self.nodes.keys().filter(|other| **other != id);
                self.cut.extend(others.flat_map(|o| [(*o, id), (id, *o)]));
            }
            "heal" => self.cut.clear(),
            "flight" => self.print_flight(),
            "status" => self.print_status(words.nodes()?)?,
            "log" => self.print_logs(words.nodes()?)?,
            word if self.messages(word, words)? => {}
            word => self.process(word, words)?,
        }
        words.end()
    }

    /// Plays a line about messages under way. Returns false if it is none.
    fn messages(&mut self, word: &str, words: &mut Words<'_>) -> Result<bool, String> {
        match word {
            "deliver" => {
                for envelope in take(&mut self.flight, &words.which()?)? {
                    self.arrive(envelope)?;
                }
            }
            "drop" => drop(take(&mut self.flight, &words.which()?)?),
            "duplicate" => {
                let copies = take(&mut self.flight.clone(), &words.which()?)?;
                self.flight.extend(copies);
            }
            "spoil" => {
                for envelope in take(&mut self.flight, &words.which()?)? {
                    self.flight.push_back(spoiled(envelope)?);
                }
            }
            "hold" => self.held.extend(take(&mut self.flight, &words.which()?)?),
            "release" => self.flight.extend(take(&mut self.held, &words.which()?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Plays a line about one node's process or disk.
    fn process(&mut self, word: &str, words: &mut Words<'_>) -> Result<(), String> {
        let mut id = || words.node();
        match word {
            "crash" => self.crash(id()?)?,
            "start" => self.start(id()?)?,
            "restart" | "forget" => {
                let id = id()?;
                self.crash(id)?;
                if word == "forget" {
                    self.node(id)?.host.disk = MemoryDisk::default();
                }
                self.start(id)?;
            }
            "stall" => self.node(id()?)?.stalled = true,
            "sync" => self.sync(id()?)?,
            "unstall" => {
                let id = id()?;
                self.node(id)?.stalled = false;
                self.sync(id)?;
            }
            "busy" => self.node(id()?)?.busy = true,
            "work" => self.work(id()?)?,
            "free" => {
                let id = id()?;
                self.node(id)?.busy = false;
                self.collect(id)?;
            }
            "gather" => self.node(id()?)?.gathering = true,
            "flush" => {
                let id = id()?;
                self.node(id)?.gathering = false;
                self.collect(id)?;
            }
            other => return Err(format!("unknown command {other:?}")),
        }
        Ok(())
    }

    // ---- Nodes.

    fn node(&mut self, id: NodeId) -> Result<&mut Node, String> {
        let node = self.nodes.get_mut(&id);
        node.ok_or_else(|| format!("there is no node n{id}"))
    }

    /// This node, or all.
    fn chosen(&mut self, nodes: Option<NodeId>) -> Result<Vec<NodeId>, String> {
        match nodes {
            None => Ok(self.nodes.keys().copied().collect()),
            Some(id) => self.node(id).map(|_| vec![id]),
        }
    }

    fn create_all(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let size = words.number()?;
        self.config = Some(words.config()?);
        for id in (1..=size).map(NodeId) {
            let membership = Membership::of((1..=size).map(NodeId));
            self.create(id, membership, MemoryDisk::default())?;
        }
        Ok(())
    }

    fn create_one(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        self.node(id)?;
        let (ballot, terms) = words.stored()?;
        let entry = |(index, term)| Entry {
            id: EntryId {
                term,
                index: Index(index),
            },
            payload: Payload::Blank,
        };
        let log = (1..).zip(terms).map(entry).collect();
        let membership = Membership::of(self.nodes.keys().copied());
        self.create(id, membership, MemoryDisk::holding(ballot, log))
    }

    /// Creates a node with this disk and starts it.
    fn create(
        &mut self,
        id: NodeId,
        membership: Membership,
        disk: MemoryDisk,
    ) -> Result<(), String> {
        let config = self.config.clone();
        let config = config.ok_or_else(|| "there is no cluster".to_owned())?;
        let setting = Arc::new(Setting { membership, config });
        let node = Node {
            host: node::Node::new(id, setting, disk),
            stalled: false,
            busy: false,
            gathering: false,
            noted: None,
        };
        self.nodes.insert(id, node);
        self.start(id)
    }

    fn crash(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id)?;
        node.host.crash();
        node.gathering = false;
        if self.nodes.len() == 1 {
            let disk = self.nodes[&id].host.disk.ledger();
            self.rules.lone_voter_died(id, disk);
        }
        Ok(())
    }

    fn start(&mut self, id: NodeId) -> Result<(), String> {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let node = self.node(id)?;
        if node.host.process().is_some() {
            return Err(format!("n{id} is running"));
        }
        node.host.start(Incarnation(incarnation), incarnation)?;
        node.noted = node.host.process().map(Noted::of);
        self.collect(id)
    }

    fn tick(&mut self, nodes: Option<NodeId>, time: Option<u64>) -> Result<(), String> {
        for id in self.chosen(nodes)? {
            let node = match nodes {
                None => format!("n{id} "),
                Some(_) => String::new(),
            };
            let time = time.map_or_else(String::new, |time| format!(" {time}"));
            self.notes.begin(format!("{node}tick{time}"));
            self.happen(id, Input::Tick)?;
        }
        Ok(())
    }

    fn campaign(&mut self, id: NodeId) -> Result<(), String> {
        let before = self.pre_elections(id)?;
        for time in 1..=CAMPAIGN_TICKS_MAX {
            self.tick(Some(id), Some(time))?;
            if self.pre_elections(id)? > before {
                return Ok(());
            }
        }
        Err(format!(
            "n{id} starts no election within {CAMPAIGN_TICKS_MAX} ticks"
        ))
    }

    fn pre_elections(&mut self, id: NodeId) -> Result<u64, String> {
        let process = self.node(id)?.host.process();
        Ok(process.map_or(0, |process| process.status.counters.pre_elections))
    }

    fn write(
        &mut self,
        verb: &str,
        node: NodeId,
        (key, change): (Key, Change),
        number: Option<Number>,
    ) -> Result<(), String> {
        let mut id = CommandId(self.requests.len() as u64 + 1);
        if let Some(number) = number {
            // A client's retry is the same command.
            let key = (number.session, number.sequence);
            id = *self.numbered.entry(key).or_insert(id);
        }
        let command = Command {
            id,
            key,
            change,
            number,
        };
        let ticket = self.request(format!("{verb} {command}"));
        self.commands.insert(ticket, id);
        self.happen(node, Input::Write { ticket, command })
    }

    /// A new client's request.
    fn request(&mut self, text: String) -> Ticket {
        let ticket = Ticket(self.requests.len() as u64 + 1);
        self.requests.insert(ticket, text);
        ticket
    }

    fn read(&mut self, id: NodeId, query: Key) -> Result<(), String> {
        let ticket = self.request(format!("read {query}"));
        self.happen(id, Input::Read { ticket, query })
    }

    fn transfer(&mut self, id: NodeId, to: Option<NodeId>) -> Result<(), String> {
        let ticket = Some(self.request("transfer".into()));
        self.happen(id, Input::Transfer { ticket, to })
    }

    fn change(
        &mut self,
        id: NodeId,
        (add, remove): (Vec<Arc<str>>, BTreeSet<NodeId>),
    ) -> Result<(), String> {
        let ticket = self.request("change".into());
        let input = Input::ChangeMembers {
            ticket,
            add,
            remove,
        };
        self.happen(id, input)
    }

    fn happen(&mut self, id: NodeId, input: Input<Registers>) -> Result<(), String> {
        let node = self.node(id)?;
        node.host.step(input)?;
        if node.gathering {
            self.note(id)
        } else {
            self.collect(id)
        }
    }

    /// Takes a node's output and, unless its disk is stalled, stores it.
    fn collect(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id)?;
        let released = node.host.release()?;
        let (stalled, busy) = (node.stalled, node.busy);
        self.note(id)?;
        for reply in &released.replies {
            self.answer(id, reply)?;
        }
        self.send(released.messages)?;
        if released.begins_work {
            self.begin_work(id)?;
        }
        if !stalled {
            self.sync(id)?;
        }
        while !busy && self.snapshot_work(id).is_some() {
            self.work(id)?;
        }
        let process = self.nodes[&id].host.process();
        match process.map(|process| &process.status) {
            Some(status) if status.applied < status.commit.index => self.collect(id),
            _ => Ok(()),
        }
    }

    fn snapshot_work(&self, id: NodeId) -> Option<&Work<Registers>> {
        self.nodes[&id].host.process()?.work.as_ref()
    }

    /// Checks and prints that work on a snapshot begins.
    fn begin_work(&mut self, id: NodeId) -> Result<(), String> {
        self.nodes[&id].host.check_work(&self.rules)?;
        if let Some(Work::Begun(task)) = self.snapshot_work(id) {
            let (verb, snapshot) = match task {
                Task::Store(capture) => ("makes", {
                    File::encode(capture.last, &capture.membership, &capture.machine).id
                }),
                Task::Install(received) => ("installs", received.id),
            };
            let snapshot = describe::snapshot(&snapshot);
            let line = format!("n{id} {verb} snapshot {snapshot}");
            self.notes.line(&line);
        }
        Ok(())
    }

    /// Does the next step of the work on a snapshot.
    fn work(&mut self, id: NodeId) -> Result<(), String> {
        match self.node(id)?.host.work()? {
            Some(Worked::Named(_)) => {
                self.notes.line(&format!("n{id} names its file"));
                Ok(self.nodes[&id].host.check_work(&self.rules)?)
            }
            Some(Worked::Done(_, input)) => {
                let done = match input {
                    Input::SnapshotBroken(_) => "finds it broken",
                    _ => "is done with it",
                };
                self.notes.line(&format!("n{id} {done}"));
                self.happen(id, input)
            }
            None => Err(format!("n{id} works on no snapshot")),
        }
    }

    fn sync(&mut self, id: NodeId) -> Result<(), String> {
        loop {
            let node = self.node(id)?;
            let records = node.host.unsynced_records().iter().map(describe::record);
            let records: Vec<String> = records.collect();
            let Some((messages, synced)) = node.host.sync()? else {
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

    // ---- Messages and answers.

    fn send(&mut self, messages: Vec<Envelope<Registers>>) -> Result<(), String> {
        for envelope in messages {
            let disk = self.nodes[&envelope.from].host.disk.ledger();
            self.rules.sends(&envelope, disk)?;
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
            "messages are still under way after {DELIVERIES_MAX} deliveries"
        ))
    }

    fn arrive(&mut self, envelope: Envelope<Registers>) -> Result<(), String> {
        let to = envelope.to;
        let line = self.message(&envelope);
        let is_down = self.node(to)?.host.process().is_none();
        if is_down || self.cut.contains(&(envelope.from, to)) {
            self.notes.begin_always(&format!("lost: {line}"));
            return Ok(());
        }
        self.notes.begin_always(&line);
        self.happen(to, Input::Receive(envelope))
    }

    fn message(&mut self, envelope: &Envelope<Registers>) -> String {
        let names = &mut self.names;
        let name = |letter, id| {
            let known = names.keys().filter(|(other, _)| *other == letter).count();
            let number = *names.entry((letter, id)).or_insert(known + 1);
            format!("{letter}{number}")
        };
        describe::envelope(envelope, name)
    }

    fn answer(&mut self, id: NodeId, reply: &Reply<Registers>) -> Result<(), String> {
        let request = &self.requests[&reply.ticket];
        let response = describe::response(&reply.response, |value| {
            value.map(|value| value.to_string())
        });
        let line = format!("n{id} answers {request}: {response}");
        self.notes.line(&line);
        if request == "transfer" {
            self.rules.transfer_answered(id, &reply.response)?;
        } else if request == "change"
            && let Some(process) = self.nodes[&id].host.process()
        {
            Rules::change_answered(id, &reply.response, &process.replica)?;
        } else if let Some(command) = self.commands.get(&reply.ticket) {
            // One copy of a command that was sent twice may be refused while the other is applied.
            let copies = self.commands.values().filter(|other| *other == command);
            if !matches!(reply.response, Response::Refused(_)) || copies.count() == 1 {
                self.rules.answered(*command, &reply.response)?;
            }
        }
        Ok(())
    }

    // ---- Output.

    /// Checks the rules, and prints how a node has changed since it was last printed.
    fn note(&mut self, id: NodeId) -> Result<(), String> {
        let disks = self.nodes.iter();
        let disks = disks.map(|(id, node)| (*id, node.host.disk.ledger()));
        self.nodes[&id].host.observe(&mut self.rules, disks)?;
        let node = self.nodes.get_mut(&id).expect("it was found above");
        let Some(now) = node.host.process().map(Noted::of) else {
            return Ok(());
        };
        let before = node.noted.as_ref().expect("noted at its start");
        for line in now.changes(before) {
            self.notes.line(&format!("n{id} {line}"));
        }
        node.noted = Some(now);
        Ok(())
    }

    fn print_status(&mut self, nodes: Option<NodeId>) -> Result<(), String> {
        for id in self.chosen(nodes)? {
            let host = &self.nodes[&id].host;
            let line = match host.process() {
                Some(process) => format!("n{id} {}", notes::status(&process.status)),
                None => {
                    let last = host.disk.ledger().last();
                    format!("n{id} is dead, its disk ends at {last}")
                }
            };
            self.notes.line(&line);
        }
        Ok(())
    }

    fn print_logs(&mut self, nodes: Option<NodeId>) -> Result<(), String> {
        for id in self.chosen(nodes)? {
            let Noted { status, log } = self.nodes[&id].noted.as_ref().expect("noted at its start");
            let begin =
                (status.base != EntryId::default()).then(|| format!("after {}:", status.base));
            let terms = log.iter().map(|entry| entry.id.term.to_string());
            let words: Vec<String> = begin.into_iter().chain(terms).collect();
            self.notes.line(&format!("n{id}: {}", words.join(" ")));
        }
        Ok(())
    }

    fn print_flight(&mut self) {
        for envelope in self.flight.clone() {
            let line = self.message(&envelope);
            self.notes.line(&line);
        }
        for envelope in self.held.clone() {
            let line = self.message(&envelope);
            self.notes.line(&format!("held: {line}"));
        }
    }
}

/// Flips the first byte of a chunk of a snapshot.
fn spoiled(mut envelope: Envelope<Registers>) -> Result<Envelope<Registers>, String> {
    if let Message::SnapshotChunk(SnapshotChunk { data, .. }) = &mut envelope.message
        && let [first, rest @ ..] = &**data
    {
        *data = [&[!first], rest].concat().into();
        Ok(envelope)
    } else {
        Err("the message carries no part of a snapshot".into())
    }
}

/// Takes out the selected messages.
fn take(messages: &mut Flight, which: &Which) -> Result<Vec<Envelope<Registers>>, String> {
    let fits = (0..messages.len()).filter(|at| which.fits(&messages[*at]));
    let fits: Vec<usize> = fits.collect();
    let taken = match which.pick {
        Pick::All => &fits[..],
        Pick::Last => &fits[fits.len().saturating_sub(1)..],
        Pick::Nth(place) => fits.get(place.saturating_sub(1)..place).unwrap_or_default(),
    };
    if taken.is_empty() {
        return Err("there is no such message".into());
    }
    let all = mem::take(messages).into_iter().enumerate();
    let (taken, rest): (Vec<_>, Vec<_>) = all.partition(|(at, _)| taken.contains(at));
    messages.extend(rest.into_iter().map(|(_, envelope)| envelope));
    Ok(taken.into_iter().map(|(_, envelope)| envelope).collect())
}

#[cfg(test)]
mod tests {
    use std::iter;

    use raft_core::{Term, VoteReply};

    use super::*;
    use crate::replica::machine::Outcome;

    const ONE: NodeId = NodeId(1);

    fn stage(lines: &str) -> Stage {
        let mut stage = Stage::default();
        for line in lines.split("; ") {
            stage.play(line).expect("a command");
        }
        stage
    }

    fn vote_reply(granted: bool) -> Envelope<Registers> {
        Envelope {
            from: ONE,
            to: NodeId(2),
            term: Term(5),
            message: Message::VoteReply(VoteReply { granted }),
        }
    }

    #[track_caller]
    fn assert_fails(played: Result<(), String>, problem: &str) {
        let text = played.expect_err("a broken rule");
        assert!(text.starts_with(problem), "{text}");
    }

    #[test]
    fn message_before_its_promise_is_stored_is_reported() {
        let sent = stage("cluster 2").send(vec![vote_reply(true)]);
        assert_fails(
            sent,
            "rule broken: a promise must be on disk before it is sent",
        );
    }

    #[test]
    fn response_that_is_not_the_outcome_is_reported() {
        let reply = Reply {
            ticket: Ticket(1),
            response: Response::Applied(Outcome::Absent),
        };
        let answered = stage("cluster 1; write n1 x=1").answer(ONE, &reply);
        assert_fails(
            answered,
            "rule broken: a response must be the command's outcome",
        );
    }

    /// The rules have forgotten which entries are committed.
    #[test]
    fn snapshot_of_uncommitted_entries_is_reported() {
        let rule = "rule broken: a snapshot must hold only committed entries";
        let limits = "cluster 3 snapshot=2 trailing=0 retained=2; campaign n1; settle; isolate n3";
        let mut stage = stage(&format!("{limits}; busy n1; busy n3; write n1 x=1; settle"));
        let known = mem::take(&mut stage.rules);
        assert_fails(stage.begin_work(ONE), rule);
        stage.rules = known;
        for line in ["free n1", "heal", "run 3"] {
            stage.play(line).expect("a command");
        }
        stage.rules = Rules::default();
        assert_fails(stage.play("work n3"), rule);
    }

    #[test]
    fn messages_without_an_end_are_reported() {
        let mut stage = stage("cluster 2");
        let endless = iter::repeat_n(vote_reply(false), DELIVERIES_MAX + 1);
        stage.flight.extend(endless);
        assert_fails(stage.settle(), "messages are still under way after");
    }
}
