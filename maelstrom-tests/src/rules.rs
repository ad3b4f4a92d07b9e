//! The rules of a whole cluster: Figure 3 of the paper, and what follows from it.
//!
//! [`Rules`] observes every node after each step, remembers all observations, and fails as soon as
//! two of them contradict each other. It takes plain data, so that its tests can show it a cluster
//! that breaks a rule. Golden scripts, the model checker and the simulator use it.

mod answers;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::{fmt, mem};

use raft_core::{
    Appended, Entry, EntryId, Envelope, Incarnation, Index, Membership, Message, Names, NodeId,
    Payload, Rename, Replica, RoleName, StateMachine, Status, Term, VoteReply, Wait,
};

pub use self::ledger::Ledger;

/// The id of a command, unique within a run, so that a command that is applied twice is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// A state machine whose commands have ids.
pub trait Subject: StateMachine + Default {
    /// The id of a command, unless it only serves others.
    fn id(command: &Self::Command) -> Option<CommandId>;

    /// Whether an outcome says only that the command was not applied now.
    fn is_unknown(_: &Self::Outcome) -> bool {
        false
    }

    /// Whether no command was applied between the two states.
    fn holds_same(&self, other: &Self) -> bool {
        self == other
    }

    /// An outcome in a few words.
    fn describe_outcome(outcome: &Self::Outcome) -> String;
}

/// A broken rule: the rule, a colon, and how it was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule broken: {}", self.0)
    }
}

impl From<Broken> for String {
    fn from(broken: Broken) -> Self {
        broken.to_string()
    }
}

/// Fails with a broken rule unless `holds`.
///
/// # Errors
/// The rule, if it does not hold.
pub fn demand(holds: bool, rule: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(rule())) }
}

/// All observations of a cluster.
#[derive(Clone, Debug)]
pub struct Rules<S: Subject> {
    /// The leader of each term, its incarnation, and the entries in its log when it was elected.
    leaders: BTreeMap<Term, Leadership>,
    /// Each entry that was ever in a log: its payload, and the entry before it.
    entries: BTreeMap<EntryId, Known<S::Command>>,
    /// The entries of each command, in any log.
    commands: BTreeSet<(CommandId, EntryId)>,
    /// Commands that were refused: they have no effect and never will.
    refused: BTreeSet<CommandId>,
    /// The committed entries, from index 1 on.
    committed: Vec<Committed<S>>,
    /// The outcome of each committed command.
    outcomes: BTreeMap<CommandId, S::Outcome>,
    /// The last observation of each node.
    seen: BTreeMap<NodeId, Seen>,
    /// How often commands came into the log again.
    pub sightings: Sightings,
}

/// What became of commands that came into the log again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// Commands that were answered with their first outcome.
    pub repeated: u64,
    /// Commands that the machine did not remember.
    pub forgotten: u64,
}

#[derive(Clone, Debug, Hash)]
struct Leadership {
    node: NodeId,
    incarnation: Incarnation,
    log: Vec<EntryId>,
}

#[derive(Clone, Debug)]
struct Known<C> {
    payload: Payload<C>,
    before: EntryId,
}

#[derive(Clone, Debug, Hash)]
struct Committed<S> {
    id: EntryId,
    /// The term of the leader that committed it.
    term: Term,
    /// The state machine after this entry.
    state: S,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    incarnation: Option<Incarnation>,
    truncated: u64,
    log: Vec<EntryId>,
    commit: Index,
}

/// A node's commit index.
#[derive(Debug)]
pub struct Commit<'a, S> {
    /// The node.
    pub node: NodeId,
    /// Its role.
    pub role: RoleName,
    /// Its term.
    pub term: Term,
    /// The index of its last committed entry.
    pub index: Index,
    /// The index of its last applied entry.
    pub applied: Index,
    /// Its state machine, with all entries through that one applied.
    pub state: &'a S,
}

impl<S: Subject> Default for Rules<S> {
    fn default() -> Self {
        Self {
            leaders: BTreeMap::new(),
            entries: BTreeMap::new(),
            commands: BTreeSet::new(),
            refused: BTreeSet::new(),
            committed: Vec::new(),
            outcomes: BTreeMap::new(),
            seen: BTreeMap::new(),
            sightings: Sightings::default(),
        }
    }
}

impl<S: Subject> Rules<S> {
    /// Observes a node after a step. `disks` are what all nodes have synced, including this one.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn observe<'a>(
        &mut self,
        id: NodeId,
        incarnation: Incarnation,
        replica: &Replica<S>,
        status: &Status,
        disks: impl Iterator<Item = (NodeId, &'a Ledger<S::Command>)> + Clone,
    ) -> Result<(), Broken>
    where
        S: 'a,
    {
        let (role, term) = (status.role, status.ballot.term());
        let seen = self.seen.entry(id).or_default();
        if seen.incarnation != Some(incarnation) {
            *seen = Seen {
                incarnation: Some(incarnation),
                ..Seen::default()
            };
        }
        // A log changes at its end, or by truncation. The end of a run checks whole logs, so that
        // no other change is missed.
        let truncated = status.counters.entries_truncated;
        let last = seen.log.last().copied().unwrap_or_default();
        if last != status.last || seen.truncated != truncated {
            seen.truncated = truncated;
            let log: Vec<Entry<S::Command>> = replica.log().cloned().collect();
            self.holds(id, status.base, &log)?;
        }
        if role == RoleName::Leader {
            self.leads(id, incarnation, term)?;
        }
        let commit = Commit {
            node: id,
            role,
            term,
            index: status.commit.index,
            applied: status.applied,
            state: replica.machine(),
        };
        // A leader counts under the membership of the moment, which may follow the entry.
        let changes = replica.log().filter_map(|entry| match entry.payload {
            Payload::Membership(_) => Some(entry.id.index),
            Payload::Blank | Payload::Command(_) => None,
        });
        let changes: Vec<Index> = changes.collect();
        self.commits(&commit, |id| {
            let stored = |node| disks.clone().any(|(of, disk)| of == node && disk.holds(id));
            let later = changes.iter().copied().filter(|index| *index > id.index);
            let mut in_use = [id.index].into_iter().chain(later);
            in_use.any(|index| replica.membership_at(index).is_quorum(stored))
        })
    }

    /// Observes which entry a node takes for the last one on its disk, and that disk. A receipt may
    /// come late, but not early: outputs become durable in the order in which they were made.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn synced<'a>(
        &self,
        node: NodeId,
        base: EntryId,
        mut log: impl Iterator<Item = &'a Entry<S::Command>>,
        synced: Index,
        disk: &Ledger<S::Command>,
    ) -> Result<(), Broken>
    where
        S::Command: 'a,
    {
        let Some(above) = position(synced).checked_sub(position(base.index) + 1) else {
            return Ok(());
        };
        let (id, last) = (log.nth(above).map(|entry| entry.id), disk.last());
        demand(id.is_some_and(|id| disk.holds(id)), || {
            format!(
                "an entry counts as stored once it is on disk: node {node} counts those through {synced}, {id:?}, \
                 and its disk holds entries through {last}"
            )
        })
    }

    /// Observes a node's whole log, which begins after `base`. Compacted entries must be committed,
    /// so they are known. Log Matching: an entry's id determines its payload and the entry before
    /// it, hence (by induction) all entries before it. A command that was refused has no
    /// entry.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn holds(
        &mut self,
        node: NodeId,
        base: EntryId,
        log: &[Entry<S::Command>],
    ) -> Result<(), Broken> {
        let compacted = position(base.index);
        self.is_committed(base, &format!("the base of node {node}"))?;
        let seen = self.seen.entry(node).or_default();
        let committed = self.committed[..compacted].iter().map(|c| c.id);
        let ids = committed.chain(log.iter().map(|entry| entry.id));
        let known = seen.log.iter().zip(ids).take_while(|(a, b)| **a == *b);
        let known = known.count();
        seen.log.truncate(known);
        if let Some(rest) = self.committed[..compacted].get(known..) {
            seen.log.extend(rest.iter().map(|committed| committed.id));
        }
        for entry in &log[known.saturating_sub(compacted)..] {
            let before = seen.log.last().copied().unwrap_or_default();
            seen.log.push(entry.id);
            let first = self.entries.entry(entry.id).or_insert_with(|| Known {
                payload: entry.payload.clone(),
                before,
            });
            let Entry { id: at, payload } = entry;
            demand(first.payload == *payload && first.before == before, || {
                format!(
                    "Log Matching: node {node} holds {at} after {before} with {payload:?}, but before it was \
                     after {} with {:?}",
                    first.before, first.payload,
                )
            })?;
            if let Payload::Command(command) = payload
                && let Some(id) = S::id(command)
            {
                self.commands.insert((id, *at));
                demand(!self.refused.contains(&id), || {
                    format!("a refused command must not enter a log: {id:?} is at {at}")
                })?;
            }
        }
        Ok(())
    }

    /// Checks that an entry is committed, or is the start of the log.
    fn is_committed(&self, id: EntryId, what: &str) -> Result<(), Broken> {
        let committed = self.committed_at(id.index);
        demand(committed == Some(id), || {
            format!(
                "a snapshot must hold only committed entries: {what} is {id}, where {committed:?} is committed"
            )
        })
    }

    /// Observes a snapshot of this state, after this entry, and of these members. They must be the
    /// state of all nodes after that entry, and the members that the log names up to it.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn snapshot(
        &self,
        node: NodeId,
        last: EntryId,
        members: &Membership,
        state: &S,
    ) -> Result<(), Broken> {
        self.is_committed(last, &format!("the last entry of node {node}'s snapshot"))?;
        let applied = self.state_at(position(last.index));
        demand(*state == applied, || {
            format!(
                "State Machine Safety: the snapshot of node {node} after {last} holds {state:?} instead \
                 of {applied:?}"
            )
        })?;
        let mut before = self.committed[..position(last.index)].iter().rev();
        let named = before.find_map(|committed| match &self.entries[&committed.id].payload {
            Payload::Membership(membership) => Some(membership),
            Payload::Blank | Payload::Command(_) => None,
        });
        demand(named.is_none_or(|named| **named == *members), || {
            format!(
                "a snapshot must have the members at its last entry: that of node {node} after {last} has \
                 {members:?} instead of {named:?}"
            )
        })
    }

    /// Observes that a node begins a snapshot of its own state. Its last entry must be synced.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn captures(
        &self,
        node: NodeId,
        last: EntryId,
        members: &Membership,
        state: &S,
        disk: &Ledger<S::Command>,
    ) -> Result<(), Broken> {
        self.snapshot(node, last, members, state)?;
        demand(disk.holds(last), || {
            format!("a snapshot must hold only synced entries: node {node} begins one of {last}")
        })
    }

    /// Observes a leader. Election Safety: no other node leads or led in that term, nor another
    /// incarnation of this node. Leader Completeness: its log holds all entries that were committed
    /// before.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn leads(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        term: Term,
    ) -> Result<(), Broken> {
        if let Some(first) = self.leaders.get(&term) {
            let is_same = (first.node, first.incarnation) == (node, incarnation);
            let other = first.node;
            return demand(is_same, || {
                format!(
                    "Election Safety: node {node} leads in term {term}, and so did node {other}"
                )
            });
        }
        let log = self.seen.entry(node).or_default().log.clone();
        for (at, committed) in self.committed.iter().enumerate() {
            // A late vote may elect a leader of an older term after this commit. That leader need
            // not have the entry.
            if committed.term >= term {
                continue;
            }
            let id = committed.id;
            demand(log.get(at) == Some(&id), || {
                format!(
                    "Leader Completeness: the leader of term {term}, node {node}, lacks the committed entry {id}"
                )
            })?;
        }
        self.leaders.insert(
            term,
            Leadership {
                node,
                incarnation,
                log,
            },
        );
        Ok(())
    }

    /// Observes a node's commit index. State Machine Safety: all nodes apply the same sequence. The
    /// first node to commit an entry is a leader whose last committed entry is of its own term
    /// (§5.4.2), and the entry is on a quorum of disks. Leader Completeness, the other way round:
    /// the leaders of later terms had the entry when they were elected.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn commits(
        &mut self,
        commit: &Commit<'_, S>,
        on_quorum: impl Fn(EntryId) -> bool,
    ) -> Result<(), Broken> {
        let Commit { node, term, .. } = *commit;
        let (role, index, applied, held) =
            (commit.role, commit.index, commit.applied, commit.state);
        let end = position(index);
        let seen = self.seen.entry(node).or_default();
        demand(end <= seen.log.len(), || {
            format!("a node must hold what it commits: node {node} commits {index}")
        })?;
        let start = position(seen.commit).min(end);
        seen.commit = index;
        let new = seen.log[start..end].to_vec();
        if end > self.committed.len() {
            let last = seen.log[end - 1];
            demand(role == RoleName::Leader && last.term == term, || {
                format!(
                    "only a leader may commit first, and an entry of its own term: node {node}, a {role} \
                     of term {term}, commits {last}"
                )
            })?;
        }
        for (at, id) in (start..end).zip(new) {
            if let Some(Committed { id: known, .. }) = self.committed.get(at) {
                demand(*known == id, || {
                    format!(
                        "State Machine Safety: node {node} applies {id} where {known} was applied"
                    )
                })?;
                continue;
            }
            demand(on_quorum(id), || {
                format!(
                    "a committed entry must be on a quorum of disks: {id} is not, and node {node} commits it"
                )
            })?;
            for (later, leadership) in self.leaders.range(term.next()..) {
                demand(leadership.log.get(at) == Some(&id), || {
                    format!(
                        "Leader Completeness: node {node} commits {id} in term {term}, but the leader \
                         of term {later}, node {}, lacked it",
                        leadership.node
                    )
                })?;
            }
            let mut state = self.state_at(at);
            if let Payload::Command(command) = &self.entries[&id].payload {
                let (before, outcome) = (state.clone(), state.apply(command));
                if let Some(command) = S::id(command) {
                    self.applied(command, outcome, state.holds_same(&before))?;
                }
            }
            self.committed.push(Committed { id, term, state });
        }
        let state = self.state_at(position(applied));
        demand(*held == state, || {
            format!(
                "State Machine Safety: node {node} has applied {applied} entries and holds {held:?} instead of {state:?}"
            )
        })
    }

    /// Notes that a command was applied for the first time, or, if it changed nothing, again.
    fn applied(
        &mut self,
        command: CommandId,
        outcome: S::Outcome,
        is_same: bool,
    ) -> Result<(), Broken> {
        if S::is_unknown(&outcome) {
            self.sightings.forgotten += 1;
            return demand(is_same, || {
                format!("an unknown command must not be applied: {command:?}")
            });
        }
        let Some(first) = self.outcomes.get(&command) else {
            self.outcomes.insert(command, outcome);
            return Ok(());
        };
        self.sightings.repeated += 1;
        demand(is_same, || {
            format!("a command must be applied at most once: {command:?}")
        })?;
        demand(*first == outcome, || {
            format!(
                "a repeated command must have its first outcome: {command:?} had {first:?}, and has {outcome:?}"
            )
        })
    }

    /// Whether a command is, or was, in a log.
    pub fn has_entry(&self, command: CommandId) -> bool {
        let entries = (command, EntryId::default())..;
        let first = self.commands.range(entries).next();
        first.is_some_and(|(id, _)| *id == command)
    }

    /// Whether a command is committed, and so has an outcome.
    pub fn is_applied(&self, command: CommandId) -> bool {
        self.outcomes.contains_key(&command)
    }

    /// Observes a message and its sender's disk. The promise of the message must be on that disk,
    /// unless the disk has a higher term: the sync that stored the promise may have stored later
    /// steps as well.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn sends(&self, envelope: &Envelope<S>, disk: &Ledger<S::Command>) -> Result<(), Broken> {
        let Envelope { from, to, term, .. } = *envelope;
        let ballot = disk.ballot;
        let overtaken = ballot.term() > term;
        let voted_for = |node| overtaken || ballot.term() == term && ballot.vote() == Some(node);
        let stored = match &envelope.message {
            Message::Vote(_) => voted_for(from),
            Message::VoteReply(VoteReply { granted }) => !granted || voted_for(to),
            Message::Append(_) | Message::SnapshotChunk(_) => voted_for(from),
            Message::Appended(Appended { matched, .. }) => {
                overtaken || disk.last().index >= *matched
            }
            // The other messages promise nothing.
            other => other.waits_for() == Wait::Nothing,
        };
        demand(stored, || {
            let (message, last) = (&envelope.message, disk.last());
            format!(
                "a promise must be on disk before it is sent: node {from} sends {message:?} in term {term}, and \
                 its disk holds {ballot:?} and entries through {last}"
            )
        })
    }

    /// Observes that the process of a lone voter died, with this on its disk. A lone voter leads
    /// before its ballot is stored, so its next incarnation may lead in the same term again. No
    /// message can have left in that term ([`Rules::sends`] checks that), so the term is forgotten.
    /// A leader that needed other votes has stored its ballot before.
    pub fn lone_voter_died(&mut self, node: NodeId, disk: &Ledger<S::Command>) {
        let stored = disk.ballot.term();
        let unheard = |term: Term, leader: NodeId| leader == node && term > stored;
        let forgotten: Vec<Term> = (self.leaders.iter())
            .filter_map(|(term, leader)| unheard(*term, leader.node).then_some(*term))
            .collect();
        for term in forgotten {
            self.leaders.remove(&term);
            self.entries.retain(|id, _| id.term != term);
            self.commands.retain(|(_, id)| id.term != term);
        }
    }

    /// Forgets the last observation of each node, so that the next one covers the whole log.
    pub fn forget_nodes(&mut self) {
        self.seen.clear();
    }

    /// The index of the last committed entry.
    pub fn committed(&self) -> Index {
        Index(self.committed.len() as u64)
    }

    /// Whether this entry is committed.
    pub fn has_committed(&self, id: EntryId) -> bool {
        self.committed_at(id.index) == Some(id)
    }

    /// The committed entry at an index, or the start of the log.
    fn committed_at(&self, index: Index) -> Option<EntryId> {
        match position(index).checked_sub(1) {
            Some(at) => self.committed.get(at).map(|committed| committed.id),
            None => Some(EntryId::default()),
        }
    }

    /// The state machine after the first `entries` committed entries.
    fn state_at(&self, entries: usize) -> S {
        match entries.checked_sub(1) {
            Some(at) => self.committed[at].state.clone(),
            None => S::default(),
        }
    }
}

/// All that later checks depend on, without the last observations of the nodes, which can be made
/// again, and without entries that are in no log: the leaders determine their ids.
impl<S: Subject> Hash for Rules<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.leaders, &self.commands, &self.refused).hash(state);
        self.committed.hash(state);
    }
}

impl<S: Subject> Rename for Rules<S> {
    fn rename(&mut self, names: &mut dyn Names) {
        for leadership in self.leaders.values_mut() {
            leadership.node.rename(names);
            leadership.incarnation.rename(names);
        }
        let renamed = mem::take(&mut self.seen).into_iter();
        let renamed = renamed.map(|(node, seen)| (names.node(node), seen));
        self.seen = renamed.collect();
    }
}

/// The number of entries at or before an index.
fn position(index: Index) -> usize {
    usize::try_from(index.0).expect("a test's log is short")
}

#[cfg(test)]
mod tests;
