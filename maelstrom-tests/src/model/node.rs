//! One node of a world, and the effects of events on it. An effect depends on nothing but the node
//! and the event, so it is computed once.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raft::sessions::SessionId;
use raft_core::{
    Config, EntryId, Envelope, Incarnation, Index, Input, Limits, Membership, NodeId, Replica,
    Reply, Response, RoleName, Term, Ticket,
};

use super::clients::KEY;
use super::mix::Mix;
use super::named::Named;
use super::options::Bounds;
use super::table::{Ref, Table};
use crate::replica::disk::MemoryDisk;
use crate::replica::machine::{Change, Command, Number, Registers};
use crate::replica::node::{self, Disk as _, Process, Setting, Worked};
use crate::rules::{Broken, CommandId, Rules};

/// A heartbeat, the shortest and the longest election timeout, in ticks. Their lengths matter
/// little, because any clock may run while the others stand still. But unless a follower draws the
/// shortest timeout, it would vote for others before it starts an election itself.
pub(super) const TIMES: (u32, u32, u32) = (1, 2, 16);

/// The most ticks until one of a node's timers expires: above eight times the longest timeout, to
/// which failed elections raise it.
pub(super) const TICKS_MAX: usize = 160;

/// Names an incarnation by its number, in the order of their starts, and its node.
pub(super) fn incarnation(number: u64, node: NodeId) -> Incarnation {
    Incarnation(number * NODES + node.0)
}

/// The node of an incarnation.
pub(super) fn node_of(incarnation: Incarnation) -> NodeId {
    NodeId(incarnation.0 % NODES)
}

/// The ticket of each request for a transfer.
pub(super) const TRANSFER: Ticket = Ticket(0);

/// The ticket of each request for other members.
const CHANGE: Ticket = Ticket(u64::MAX);

/// Above the number of nodes.
const NODES: u64 = 8;

/// A node of a small world. Its process always runs: a process that is down does nothing, but
/// neither does one that has just started, until its first input. So a process that dies starts
/// again at once.
pub(super) type Node = node::Node<Registers, MemoryDisk>;

/// Something that happens to a node: an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// A message arrives.
    Receive(Ref),
    /// Its clock runs until it sends a message, or its state changes.
    Wait,
    /// Its clock runs until it starts an election, steps down without a quorum, or ends a transfer.
    Expire,
    /// A client writes the number of its ticket.
    Write(Ticket),
    /// A client reads.
    Read(Ticket),
    /// A client asks a leader to hand over to a node.
    Transfer(NodeId),
    /// A client asks a leader for other members.
    Change,
    /// A step of the work on a snapshot is done.
    Work,
    /// The process dies, and a new one starts.
    Crash(Incarnation),
}

/// The effect of an event.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) after: Ref,
    /// The messages sent before any clock ran, and then at each tick.
    pub(super) sent: Vec<Vec<Ref>>,
    /// What the rules of the cluster must see, in order.
    pub(super) observed: Vec<Observed>,
    /// Whether more than the node's clocks has changed.
    pub(super) changes: bool,
    /// Whether the commit index has advanced. Then other nodes' disks matter to the rules.
    pub(super) commits: bool,
    /// A rule of one node that was broken in the end.
    pub(super) broken: Option<Broken>,
}

/// What the rules see of a node.
#[derive(Clone, Debug)]
pub(super) enum Observed {
    /// Its state.
    State(Ref),
    /// Its state when it begins to store a snapshot, or has stored one.
    Stores(Ref),
    /// Its state when its process dies.
    Dies(Ref),
    /// An answer to a client.
    Answers(Reply<Registers>),
    /// An answer to the client that asked for other members, and the node's state then.
    Changes(Ref, Response<Registers>),
}

/// How states that differ in their clocks alone are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clocks {
    /// As one: any clock may expire at any time. So a search ends.
    Folded,
    /// Each by itself: so a story can be played again tick by tick.
    True,
}

/// What a test plants into each node, so that the search must find it.
#[derive(Clone, Copy)]
pub(super) struct Planted {
    /// An additional rule.
    pub(super) rule: fn(&Replica<Registers>) -> Result<(), Broken>,
    /// Changes an answer to a client.
    pub(super) answer: fn(&mut Reply<Registers>),
    /// Changes a message to another node.
    pub(super) message: fn(&mut Envelope<Registers>),
}

impl Default for Planted {
    fn default() -> Self {
        Self {
            rule: |_| Ok(()),
            answer: |_| (),
            message: |_| (),
        }
    }
}

/// All states of nodes, all messages, and all effects.
pub(super) struct Nodes {
    pub(super) bounds: Bounds,
    pub(super) planted: Planted,
    /// The setting of the members, and that of nodes that wait to be added.
    settings: [Arc<Setting>; 2],
    pub(super) states: Table<Named<Node>>,
    pub(super) messages: Table<Named<Envelope<Registers>>>,
    /// Nothing if an event cannot happen, or has the same effect as another one.
    effects: Table<Option<Effect>>,
    /// With [`Clocks::True`], the number of states so far.
    kept: Option<AtomicU64>,
}

impl Nodes {
    pub(super) fn new(bounds: Bounds, clocks: Clocks, planted: Planted) -> Self {
        let (heartbeat, shortest_election, longest_election) = TIMES;
        let mut limits = Limits::default();
        if let Some(entries) = bounds.snapshot_entries {
            limits.snapshot_entries = entries.into();
            limits.retained_entries = entries.into();
            limits.trailing_entries = 0;
        }
        let config = Config {
            heartbeat,
            shortest_election,
            longest_election,
            request_deadline: 2 * longest_election,
            change_deadline: 2 * longest_election,
            limits,
        };
        let members = Membership::of((1..=u64::from(bounds.nodes)).map(NodeId));
        let setting = |membership| {
            let config = config.clone();
            Arc::new(Setting { membership, config })
        };
        Self {
            planted,
            settings: [setting(members), setting(Membership::default())],
            states: Table::default(),
            messages: Table::default(),
            effects: Table::default(),
            kept: (clocks == Clocks::True).then(AtomicU64::default),
            bounds,
        }
    }

    /// A node starts for the first time.
    pub(super) fn first(&self, id: NodeId) -> Effect {
        let waits = id.0 > self.bounds.nodes.into();
        let setting = self.settings[usize::from(waits)].clone();
        let node = Node::new(id, setting, MemoryDisk::default());
        let mut run = Run::new(self, node, None);
        let broken = run.starts(incarnation(id.0, id)).err();
        run.into_effect(broken)
    }

    /// The effect of an event; nothing if it cannot happen, or has the same effect as another one.
    /// `dies` is the next incarnation, if the process dies before it stores its output, and after it
    /// has sent what may leave earlier.
    pub(super) fn effect(
        &self,
        node: Ref,
        what: What,
        dies: Option<Incarnation>,
    ) -> (Ref, Option<&Effect>) {
        let effect = self.effects.keep(Mix::of(&(node, what, dies)), || {
            let mut run = Run::new(self, self.states[node].thing.clone(), dies);
            run.seen = Some(look_at(&run.node));
            run.before = Some(Mix::of(&run.node));
            let broken = match run.happen(what) {
                Err(None) => return None,
                // There was nothing to store.
                Ok(()) if dies.is_some() && !run.died => return None,
                ended => ended.err().flatten(),
            };
            Some(run.into_effect(broken))
        });
        (effect, self.effects[effect].as_ref())
    }

    fn keep(&self, node: &Node) -> Ref {
        let fingerprint = match &self.kept {
            Some(kept) => Mix::of(&(node, kept.fetch_add(1, Ordering::Relaxed))),
            None => Mix::of(node),
        };
        let states = &self.states;
        states.keep(fingerprint, || Named::new(node.clone(), look(node)))
    }
}

/// Why an event has no effect of its own: it breaks a rule, or, if there is none, it cannot happen or
/// has the same effect as another one.
type Skip = Option<Broken>;

impl Effect {
    /// Whether neither other nodes nor the rules notice it.
    pub(super) fn is_silent(&self) -> bool {
        let says_nothing = self.sent.iter().all(Vec::is_empty);
        says_nothing && self.observed.is_empty() && self.broken.is_none()
    }
}

/// The process of a node.
pub(super) fn process(node: &Node) -> &Process<Registers> {
    node.process().expect("a node of a small world always runs")
}

/// A node's look without names.
fn look(node: &Node) -> u64 {
    let Process { status, .. } = process(node);
    let ballot = status.ballot;
    let vote = ballot.vote().map(|vote| vote == node.id);
    let leader = status.leader.map(|leader| leader == node.id);
    let mut matched: Vec<Index> = status.matched.values().copied().collect();
    matched.sort_unstable();
    let works = process(node).work.is_some();
    let mut mix = Mix::default();
    (ballot.term(), vote, leader, status.role).hash(&mut mix);
    (status.last, status.base, status.commit, matched).hash(&mut mix);
    (status.requests_open, status.proposals, works).hash(&mut mix);
    mix.finish()
}

/// An event under way.
struct Run<'a> {
    nodes: &'a Nodes,
    node: Node,
    dies: Option<Incarnation>,
    died: bool,
    sent: Vec<Vec<Ref>>,
    observed: Vec<Observed>,
    commits: bool,
    /// The node's fingerprint before the event.
    before: Option<u64>,
    /// What the rules saw last.
    seen: Option<Look>,
}

/// What the rules of the cluster look at: the commit, and the rest of a node. While it stays the
/// same they need not look.
type Look = (EntryId, (Incarnation, Term, RoleName, EntryId, u64));

fn look_at(node: &Node) -> Look {
    let (incarnation, status) = (process(node).incarnation, &process(node).status);
    let (term, truncated) = (status.ballot.term(), status.counters.entries_truncated);
    let rest = (incarnation, term, status.role, status.last, truncated);
    (status.commit, rest)
}

impl<'a> Run<'a> {
    fn new(nodes: &'a Nodes, node: Node, dies: Option<Incarnation>) -> Self {
        Self {
            nodes,
            node,
            dies,
            died: false,
            sent: vec![Vec::new()],
            observed: Vec::new(),
            commits: false,
            before: None,
            seen: None,
        }
    }

    fn into_effect(self, broken: Option<Broken>) -> Effect {
        Effect {
            changes: self.before != Some(Mix::of(&self.node)),
            commits: self.commits,
            after: self.nodes.keep(&self.node),
            sent: self.sent,
            observed: self.observed,
            broken,
        }
    }

    fn happen(&mut self, what: What) -> Result<(), Skip> {
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
                    return Err(None);
                }
                return Ok(());
            }
            What::Expire => {
                let status = &process(&self.node).status;
                let may_ask = status.ballot.term().0 < self.nodes.bounds.terms.into();
                if status.role != RoleName::Leader && !may_ask {
                    return Err(None);
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
                    // A retry is applied once, however late it comes.
                    number: Some(Number {
                        session: SessionId(1),
                        sequence: ticket.0,
                        acknowledged: 0,
                    }),
                };
                self.step(Input::Write { ticket, command })?;
            }
            What::Read(ticket) => {
                let query = KEY;
                self.step(Input::Read { ticket, query })?;
            }
            What::Transfer(_) | What::Change
                if process(&self.node).status.role != RoleName::Leader =>
            {
                return Err(None);
            }
            What::Transfer(to) => {
                let (ticket, to) = (Some(TRANSFER), Some(to));
                self.step(Input::Transfer { ticket, to })?;
            }
            What::Change => {
                let Bounds {
                    nodes, add, remove, ..
                } = self.nodes.bounds;
                let ids = |from: u8, to: u8| (from + 1..=to).map(|id| NodeId(id.into()));
                let addresses = ids(nodes, nodes + add).map(|id| format!("n{id}").into());
                self.step(Input::ChangeMembers {
                    ticket: CHANGE,
                    add: addresses.collect(),
                    remove: ids(nodes - remove, nodes).collect(),
                })?;
            }
            What::Work => match self.node.work()? {
                None => return Err(None),
                Some(Worked::Named(_)) => {
                    self.observe(Observed::Stores);
                    return Ok(());
                }
                Some(Worked::Done(_, input)) => self.step(input)?,
            },
            What::Crash(next) => return Ok(self.crash(next)?),
        }
        Ok(self.settle()?)
    }

    /// A tick of the clock and its effects.
    fn tick(&mut self) -> Result<(), Skip> {
        if self.sent.len() > TICKS_MAX {
            return Err(None);
        }
        self.sent.push(Vec::new());
        self.step(Input::Tick)?;
        Ok(self.settle()?)
    }

    /// How often this process has started an election, lost its quorum, or given up a transfer.
    fn expiries(&self) -> u64 {
        let counters = &process(&self.node).status.counters;
        counters.pre_elections + counters.quorum_lost + counters.handovers_expired
    }

    /// Takes the node's outputs and stores and sends them, until there are none.
    fn settle(&mut self) -> Result<(), Broken> {
        loop {
            let released = self.node.release()?;
            (self.nodes.planted.rule)(&process(&self.node).replica)?;
            if self.node.unsynced() == 0 {
                return Ok(());
            }
            self.look();
            for mut reply in released.replies {
                (self.nodes.planted.answer)(&mut reply);
                match reply.ticket {
                    CHANGE => self.observe(|node| Observed::Changes(node, reply.response)),
                    _ => self.observed.push(Observed::Answers(reply)),
                }
            }
            self.send(released.messages)?;
            if released.begins_work {
                self.observe(Observed::Stores);
            }
            let stores = !self.node.unsynced_records().is_empty();
            if stores && let Some(next) = self.dies {
                return self.crash(next);
            }
            let (messages, synced) = self.node.sync()?.expect("an output waits");
            self.send(messages)?;
            if !stores {
                // As in the product's host: the receipt has no news for the replica.
                return Ok(());
            }
            self.step(Input::Synced(synced))?;
        }
    }

    fn step(&mut self, input: Input<Registers>) -> Result<(), Broken> {
        self.node.step(input)?;
        (self.nodes.planted.rule)(&process(&self.node).replica)?;
        self.look();
        Ok(())
    }

    /// Shows the node to the rules of the cluster, if they may see anything new.
    fn look(&mut self) {
        let look = look_at(&self.node);
        if self.seen != Some(look) {
            let before = self.seen.replace(look);
            self.commits |= before.is_none_or(|before| before.0 != look.0);
            self.observe(Observed::State);
        }
    }

    /// Shows the node's present state to the rules.
    fn observe(&mut self, what: impl FnOnce(Ref) -> Observed) {
        self.observed.push(what(self.nodes.keep(&self.node)));
    }

    fn send(&mut self, messages: Vec<Envelope<Registers>>) -> Result<(), Broken> {
        for mut envelope in messages {
            (self.nodes.planted.message)(&mut envelope);
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
        self.observe(Observed::Dies);
        self.node.crash();
        if self.nodes.bounds.forgetful {
            self.node.disk = MemoryDisk::default();
        }
        self.starts(next)
    }

    /// A process starts.
    fn starts(&mut self, incarnation: Incarnation) -> Result<(), Broken> {
        self.node.start(incarnation, incarnation.0 / NODES)?;
        (self.nodes.planted.rule)(&process(&self.node).replica)?;
        self.settle()
    }
}
