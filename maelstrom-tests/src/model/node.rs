//! One node of a world: what it is, and what becomes of it when something happens. That depends on
//! nothing but the node and what happens, so it is worked out once and remembered.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use raft_core::invariant::Violation;
use raft_core::{
    Config, EntryId, Envelope, Incarnation, Index, Input, Limits, Membership, Names, NodeId,
    Output, Received, Released, Rename, Replica, Reply, Restored, RoleName, SnapshotId, Status,
    Task, Term, Ticket, Volatile,
};

use super::clients::KEY;
use super::mix::Mix;
use super::names::Named;
use super::options::Bounds;
use super::table::{Ref, Table};
use crate::replica::disk::{Disk, File};
use crate::replica::machine::{Change, Command, Registers};
use crate::rules::{Broken, CommandId, Rules};

/// A heartbeat, the shortest and the longest election timeout, in ticks. How long they are means
/// little here, since any clock may run while the others stand still; but a follower can lose touch
/// with its leader before it wants to be elected itself, unless it draws the shortest timeout.
pub(super) const TIMES: (u32, u32, u32) = (1, 2, 16);

/// How many ticks a node may take until one of its timers shows: more than the longest timeout
/// takes after elections without an end have made it eight times as long.
pub(super) const TICKS_MAX: usize = 160;

/// Lives are numbered in the order in which they begin, and a life's name says whose it is.
pub(super) fn life(number: u64, node: NodeId) -> Incarnation {
    Incarnation(number * NODES + node.0)
}

/// Who lives this life.
pub(super) fn whose(life: Incarnation) -> NodeId {
    NodeId(life.0 % NODES)
}

/// More than there are nodes.
const NODES: u64 = 8;

/// A node: what it has stored, and its process, which always runs. One that is down does nothing;
/// but neither does one that has just started, until something happens to it. So a process that
/// dies starts again at once.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) disk: Disk,
    pub(super) incarnation: Incarnation,
    pub(super) replica: Replica<Registers>,
    /// What the replica is doing: kept in the tables, since it is asked for often.
    pub(super) role: RoleName,
    pub(super) work: Option<Work>,
}

/// A snapshot in the making: its file gets its name, and then the node hears of it.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) id: SnapshotId,
    /// What it contains; none, if its bytes make no sense.
    pub(super) state: Option<Registers>,
    /// Whether it is a leader's.
    pub(super) is_install: bool,
    file: File,
    named: bool,
}

/// Something that happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Event {
    pub(super) what: What,
    /// The life that it has next, if it dies over what it has to store: before it does, and after
    /// it has said what it may say before.
    pub(super) dies: Option<Incarnation>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// A message arrives.
    Receive(Ref<Named<Envelope<Registers>>>),
    /// Its clock runs until it says something, or would answer a message in another way.
    Wait,
    /// Its clock runs until it wants to be elected, or has led without a quorum for too long.
    Expire,
    /// A client writes the number of its ticket.
    Write(Ticket),
    /// A client reads.
    Read(Ticket),
    /// A step of the work on a snapshot is done.
    Work,
    /// It dies, and starts again with this life.
    Crash(Incarnation),
}

/// What comes of it.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) after: Ref<Named<Node>>,
    /// What was sent before any clock ran, and then at each tick.
    pub(super) sent: Vec<Vec<Ref<Named<Envelope<Registers>>>>>,
    /// What the rules of the cluster have to be told, in order.
    pub(super) sights: Vec<Sight>,
    /// Whether the node differs from before in more than its clocks.
    pub(super) changes: bool,
    /// Whether the node commits further: then it matters what other nodes have stored.
    pub(super) commits: bool,
    /// A rule of one node that was broken after all that.
    pub(super) broken: Option<Broken>,
}

/// What can be seen of a node.
#[derive(Clone, Debug)]
pub(super) enum Sight {
    /// It is like this now.
    Is(Ref<Named<Node>>),
    /// It is like this, and begins to make a snapshot.
    Captures(Ref<Named<Node>>),
    /// It is like this, and its process dies.
    Dies(Ref<Named<Node>>),
    /// A client is told something.
    Tells(Reply<Registers>),
}

/// What becomes of states that differ in their clocks alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clocks {
    /// One of them stands for all, since any clock may run out at any time: so a search ends.
    Folded,
    /// Each is kept: so a course can be played again, tick by tick.
    True,
}

/// A rule of one node beside those that every node has: for tests, which break it.
pub(super) type Rule = fn(&Replica<Registers>) -> Result<(), Broken>;

/// All that nodes were and said in any world, and what came of what.
pub(super) struct Nodes {
    pub(super) bounds: Bounds,
    pub(super) rule: Rule,
    config: Config,
    pub(super) states: Table<Named<Node>>,
    pub(super) messages: Table<Named<Envelope<Registers>>>,
    /// Nothing, if an event cannot happen, or comes to the same as another one.
    effects: Table<Option<Effect>>,
    /// If each state is kept for itself: how many there are. Else one stands for all that differ
    /// in their clocks alone.
    kept: Option<AtomicU64>,
}

impl Nodes {
    pub(super) fn new(bounds: Bounds, clocks: Clocks, rule: Rule) -> Self {
        let (heartbeat, shortest_election, longest_election) = TIMES;
        let mut limits = Limits::default();
        if let Some(entries) = bounds.snapshot_entries {
            limits.snapshot_entries = entries.into();
            limits.retained_entries = entries.into();
            limits.trailing_entries = 0;
        }
        Self {
            bounds,
            rule,
            config: Config {
                heartbeat,
                shortest_election,
                longest_election,
                limits,
            },
            states: Table::default(),
            messages: Table::default(),
            effects: Table::default(),
            kept: match clocks {
                Clocks::Folded => None,
                Clocks::True => Some(AtomicU64::new(0)),
            },
        }
    }

    /// A node starts for the first time.
    pub(super) fn first(&self, id: NodeId) -> Effect {
        let disk = Disk::default();
        let node = self.restore(id, disk, life(id.0, id));
        let dies = None;
        let mut run = Run::new(self, node, dies);
        let ended = run.starts();
        run.into_effect(ended)
    }

    /// What comes of an event; nothing, if it cannot happen, or comes to the same as another one.
    pub(super) fn effect(
        &self,
        node: Ref<Named<Node>>,
        event: Event,
    ) -> (Ref<Option<Effect>>, Option<&Effect>) {
        let effect = self.effects.keep(Mix::of(&(node, event)), || {
            let mut run = Run::new(self, self.states[node].thing.clone(), event.dies);
            run.seen = Some(Look::at(&run.node));
            run.before = Some(Mix::of(&run.node));
            let ended = match run.happen(event.what) {
                Err(Stop::Idle) => return None,
                Err(Stop::Broken(broken)) => Err(broken),
                // There was nothing to store.
                Ok(()) if event.dies.is_some() && !run.died => return None,
                Ok(()) => Ok(()),
            };
            Some(run.into_effect(ended))
        });
        (effect, self.effects[effect].as_ref())
    }

    /// A process starts from what is stored.
    fn restore(&self, id: NodeId, mut disk: Disk, incarnation: Incarnation) -> Node {
        disk.recover();
        let file = disk.snapshot();
        let machine = file.map(|file| file.decode().expect("it was checked when it was stored"));
        let replica = Replica::restore(Restored {
            id,
            membership: self.membership(),
            config: self.config.clone(),
            ballot: disk.ledger().ballot(),
            snapshot: file.map(|file| file.id),
            machine: machine.unwrap_or_default(),
            entries: disk.ledger().entries().to_vec(),
            incarnation,
            seed: incarnation.0 / NODES,
        });
        Node {
            id,
            disk,
            incarnation,
            role: replica.status().role,
            replica,
            work: None,
        }
    }

    fn membership(&self) -> Membership {
        Membership::of((1..=u64::from(self.bounds.nodes)).map(NodeId))
    }

    fn keep(&self, node: &Node) -> Ref<Named<Node>> {
        let fingerprint = match &self.kept {
            Some(kept) => Mix::of(&(node, kept.fetch_add(1, Ordering::Relaxed))),
            None => Mix::of(node),
        };
        let states = &self.states;
        states.keep(fingerprint, || {
            let mut node = node.clone();
            node.role = node.replica.status().role;
            let look = node.look();
            Named::new(node, look)
        })
    }
}

/// Why an event is no step.
enum Stop {
    /// It cannot happen, or comes to the same as another one.
    Idle,
    /// It breaks a rule.
    Broken(Broken),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Effect {
    /// Whether nobody else notices anything of it.
    pub(super) fn is_silent(&self) -> bool {
        let says_nothing = self.sent.iter().all(Vec::is_empty);
        says_nothing && self.sights.is_empty() && self.broken.is_none()
    }
}

impl Node {
    /// What it looks like to somebody who knows no names.
    fn look(&self) -> u64 {
        let status = self.replica.status();
        let ballot = status.ballot;
        let vote = ballot.vote().map(|vote| vote == self.id);
        let leader = status.leader.map(|leader| leader == self.id);
        let mut matched: Vec<Index> = status.matched.into_values().collect();
        matched.sort_unstable();
        let mut mix = Mix::default();
        (ballot.term(), vote, leader, status.role).hash(&mut mix);
        (status.last, status.base, status.commit, matched).hash(&mut mix);
        (status.requests_open, status.proposals, self.work.is_some()).hash(&mut mix);
        mix.finish()
    }
}

/// An event while it happens.
struct Run<'a> {
    nodes: &'a Nodes,
    node: Node,
    dies: Option<Incarnation>,
    died: bool,
    sent: Vec<Vec<Ref<Named<Envelope<Registers>>>>>,
    sights: Vec<Sight>,
    commits: bool,
    /// The fingerprint of what it was before it began, if it was seen then.
    before: Option<u64>,
    /// What was seen last.
    seen: Option<Look>,
}

/// What the rules of the cluster look at. While it stays the same they have nothing new to say.
#[derive(PartialEq, Eq)]
struct Look {
    incarnation: Incarnation,
    term: Term,
    role: RoleName,
    last: EntryId,
    truncated: u64,
    commit: EntryId,
}

impl Look {
    fn at(node: &Node) -> Self {
        let status = node.replica.status();
        Self {
            incarnation: node.incarnation,
            term: status.ballot.term(),
            role: status.role,
            last: status.last,
            truncated: status.counters.entries_truncated,
            commit: status.commit,
        }
    }
}

impl<'a> Run<'a> {
    fn new(nodes: &'a Nodes, node: Node, dies: Option<Incarnation>) -> Self {
        Self {
            nodes,
            node,
            dies,
            died: false,
            sent: vec![Vec::new()],
            sights: Vec::new(),
            commits: false,
            before: None,
            seen: None,
        }
    }

    fn into_effect(self, ended: Result<(), Broken>) -> Effect {
        Effect {
            changes: self.before != Some(Mix::of(&self.node)),
            commits: self.commits,
            after: self.nodes.keep(&self.node),
            sent: self.sent,
            sights: self.sights,
            broken: ended.err(),
        }
    }

    fn happen(&mut self, what: What) -> Result<(), Stop> {
        match what {
            What::Receive(message) => {
                let envelope = self.nodes.messages[message].thing.clone();
                self.step(Input::Receive(envelope))?;
            }
            What::Wait => {
                let (expiries, before) = (self.expiries(), Mix::of(&self.node));
                while self.sent[self.sent.len() - 1].is_empty() && Mix::of(&self.node) == before {
                    self.tick()?;
                }
                if !self.died && self.expiries() != expiries {
                    return Err(Stop::Idle);
                }
                return Ok(());
            }
            What::Expire => {
                let status = self.node.replica.status();
                let may_ask = status.ballot.term().0 < self.nodes.bounds.terms.into();
                if status.role != RoleName::Leader && !may_ask {
                    return Err(Stop::Idle);
                }
                let expiries = self.expiries();
                while !self.died && self.expiries() == expiries {
                    self.tick()?;
                }
                return Ok(());
            }
            What::Write(ticket) => {
                let number = u8::try_from(ticket.0).expect("few requests");
                let command = Command {
                    id: CommandId(ticket.0),
                    key: KEY,
                    change: Change::Write(number),
                };
                self.step(Input::Write { ticket, command })?;
            }
            What::Read(ticket) => {
                let query = KEY;
                self.step(Input::Read { ticket, query })?;
            }
            What::Work => {
                let input = self.work().ok_or(Stop::Idle)?;
                match input {
                    Some(input) => self.step(input)?,
                    None => return Ok(()),
                }
            }
            What::Crash(next) => return Ok(self.crash(next)?),
        }
        Ok(self.settle()?)
    }

    /// A tick of the clock, and all that comes of it.
    fn tick(&mut self) -> Result<(), Stop> {
        if self.sent.len() > TICKS_MAX {
            return Err(Stop::Idle);
        }
        self.sent.push(Vec::new());
        self.step(Input::Tick)?;
        Ok(self.settle()?)
    }

    /// How often the node's patience has ended in this life.
    fn expiries(&self) -> u64 {
        let counters = self.node.replica.status().counters;
        counters.pre_elections + counters.quorum_lost
    }

    /// Takes the node's outputs and does what they ask for, until there are none.
    fn settle(&mut self) -> Result<(), Broken> {
        loop {
            let before = self.node.replica.status();
            let mut output = self.node.replica.output();
            self.check_since(&before)?;
            if output.is_empty() {
                return Ok(());
            }
            self.look();
            self.release(&mut output)?;
            let stores = !output.records().is_empty();
            if stores && let Some(next) = self.dies {
                return self.crash(next);
            }
            let (messages, synced) = match output.persist(&mut self.node.disk) {
                Ok(durable) => durable.finish(),
                Err(never) => match never {},
            };
            self.send(messages)?;
            if !stores {
                // As in the node's own host: it could only repeat what the replica knows.
                return Ok(());
            }
            self.step(Input::Synced(synced))?;
        }
    }

    /// What may leave before anything is stored.
    fn release(&mut self, output: &mut Output<Registers, Volatile>) -> Result<(), Broken> {
        let Released {
            messages,
            replies,
            task,
        } = output.release(&mut self.node.disk);
        self.sights.extend(replies.into_iter().map(Sight::Tells));
        self.send(messages)?;
        if let Some(task) = task {
            self.node.work = Some(Work::begin(task));
            self.sights
                .push(Sight::Captures(self.nodes.keep(&self.node)));
        }
        Ok(())
    }

    fn step(&mut self, input: Input<Registers>) -> Result<(), Broken> {
        let before = self.node.replica.status();
        self.node.replica.step(input);
        self.check_since(&before)?;
        self.look();
        Ok(())
    }

    fn check_since(&self, before: &Status) -> Result<(), Broken> {
        let checked = self.node.replica.check_since(before);
        checked.map_err(|Violation(rule)| Broken(rule))?;
        (self.nodes.rule)(&self.node.replica)
    }

    /// The rules of the cluster have a look, if there may be anything new for them.
    fn look(&mut self) {
        let look = Look::at(&self.node);
        if self.seen.as_ref() != Some(&look) {
            let before = self.seen.replace(look);
            let commit = self.node.replica.status().commit;
            self.commits |= before.is_none_or(|before| before.commit != commit);
            self.sights.push(Sight::Is(self.nodes.keep(&self.node)));
        }
    }

    fn send(&mut self, messages: Vec<Envelope<Registers>>) -> Result<(), Broken> {
        for envelope in messages {
            Rules::default().sends(&envelope, self.node.disk.ledger())?;
            let messages = &self.nodes.messages;
            let look = Mix::of(&(envelope.term, envelope.message.kind()));
            let message = messages.keep(Mix::of(&envelope), || Named::new(envelope, look));
            let sent = self.sent.last_mut().expect("there is one list at least");
            sent.push(message);
        }
        Ok(())
    }

    /// The process dies, and starts again.
    fn crash(&mut self, next: Incarnation) -> Result<(), Broken> {
        self.died = true;
        self.dies = None;
        self.sights.push(Sight::Dies(self.nodes.keep(&self.node)));
        let disk = if self.nodes.bounds.forgetful {
            Disk::default()
        } else {
            self.node.disk.clone()
        };
        self.node = self.nodes.restore(self.node.id, disk, next);
        self.starts()
    }

    /// The process has just started.
    fn starts(&mut self) -> Result<(), Broken> {
        (self.nodes.rule)(&self.node.replica)?;
        self.settle()
    }

    /// Does the next step of the work on a snapshot, if there is any. Returns what the node hears
    /// of it, if that was the last one.
    fn work(&mut self) -> Option<Option<Input<Registers>>> {
        let Work {
            id,
            state,
            is_install,
            file,
            named,
        } = self.node.work.take()?;
        if state.is_some() && !named {
            self.node.disk.put(file.clone());
            self.node.work = Some(Work {
                id,
                state,
                is_install,
                file,
                named: true,
            });
            return Some(None);
        }
        Some(Some(match state {
            Some(machine) if is_install => Input::SnapshotInstalled {
                snapshot: id,
                membership: self.nodes.membership(),
                machine,
            },
            Some(_) => Input::SnapshotStored(id),
            None => Input::SnapshotBroken(id),
        }))
    }
}

impl Work {
    fn begin(task: Task<Registers>) -> Self {
        let named = false;
        match task {
            Task::Store(capture) => {
                let file = File::encode(capture.last, &capture.machine);
                Self {
                    id: file.id,
                    state: Some(capture.machine),
                    is_install: false,
                    file,
                    named,
                }
            }
            Task::Install(Received { id, bytes }) => {
                let file = File::new(id.last, bytes);
                Self {
                    id,
                    state: file.decode().filter(|_| file.id == id),
                    is_install: true,
                    file,
                    named,
                }
            }
        }
    }
}

impl Hash for Work {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The file is what its name and its state say.
        let Self {
            id,
            state: contents,
            is_install,
            file: _,
            named,
        } = self;
        (id, contents, is_install, named).hash(state);
    }
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The replica knows its name and its life.
        (&self.disk, &self.replica, &self.work).hash(state);
    }
}

impl Rename for Node {
    fn rename(&mut self, names: &mut dyn Names) {
        self.id.rename(names);
        self.incarnation.rename(names);
        self.disk.rename(names);
        self.replica.rename(names);
    }
}
