//! What must hold of a whole cluster: Figure 3 of the paper, and what follows from it.
//!
//! [`Rules`] is told what is seen of every node after each step, remembers all of it, and says no
//! as soon as two things that were seen anywhere at any time cannot both be right. It takes plain
//! data, so that its own tests can show it what no correct cluster would. Golden scripts, the model
//! checker and the simulator all ask it.

mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::{fmt, mem};

use raft_core::{
    Appended, Entry, EntryId, Envelope, Incarnation, Index, Message, Names, NodeId, Payload,
    Rename, Replica, Response, RoleName, StateMachine, Status, Term, VoteReply, Wait,
};

pub use self::ledger::Ledger;

/// The name of a command. No two commands of a run have the same one, so that a command that
/// enters the log twice is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// A machine whose commands have names.
pub trait Subject: StateMachine + Default {
    /// A command's name.
    fn id(command: &Self::Command) -> CommandId;
}

/// A rule that was broken, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! demand {
    ($holds:expr, $($rule:tt)+) => {
        if !$holds {
            return Err(Broken(format!($($rule)+)));
        }
    };
}

/// All that was ever seen of a cluster.
#[derive(Clone, Debug)]
pub struct Rules<S: Subject> {
    /// Who led in each term, in which of its lives, and which entries its log held at the start.
    leaders: BTreeMap<Term, Leadership>,
    /// Each entry that was ever in any log: what it said, and what stood before it.
    entries: BTreeMap<EntryId, Known<S::Command>>,
    /// In which entry each command was seen.
    commands: BTreeMap<CommandId, EntryId>,
    /// Commands whose clients were told that they never had an effect and never will.
    refused: BTreeSet<CommandId>,
    /// What is committed, the first entry at index 1.
    committed: Vec<Committed<S>>,
    /// What became of each command that is committed.
    outcomes: BTreeMap<CommandId, S::Outcome>,
    /// Each node as it was seen last.
    seen: BTreeMap<NodeId, Seen>,
}

#[derive(Clone, Debug, Hash)]
struct Leadership {
    node: NodeId,
    life: Incarnation,
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
    /// The machine once it is applied.
    state: S,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    life: Option<Incarnation>,
    truncated: u64,
    log: Vec<EntryId>,
    commit: Index,
}

/// How far a node says that it has committed.
#[derive(Debug)]
pub struct Commit<'a, S> {
    /// The node.
    pub node: NodeId,
    /// What it is doing.
    pub role: RoleName,
    /// Its term.
    pub term: Term,
    /// Its last committed entry's index.
    pub index: Index,
    /// Its state, with all of that applied.
    pub state: &'a S,
}

impl<S: Subject> Default for Rules<S> {
    fn default() -> Self {
        Self {
            leaders: BTreeMap::new(),
            entries: BTreeMap::new(),
            commands: BTreeMap::new(),
            refused: BTreeSet::new(),
            committed: Vec::new(),
            outcomes: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }
}

impl<S: Subject> Rules<S> {
    /// Looks at a node that has just done something, and is in this state now. `disks` are what all
    /// nodes have synced, its own included.
    ///
    /// # Errors
    /// Names the first rule that is broken.
    pub fn observe<'a>(
        &mut self,
        id: NodeId,
        life: Incarnation,
        replica: &Replica<S>,
        status: &Status,
        disks: impl Iterator<Item = &'a Ledger<S::Command>> + Clone,
    ) -> Result<(), Broken>
    where
        S: 'a,
    {
        let (role, term) = (status.role, status.ballot.term());
        let seen = self.seen.entry(id).or_default();
        if seen.life != Some(life) {
            *seen = Seen {
                life: Some(life),
                ..Seen::default()
            };
        }
        // What a node holds changes at the end, or else it has dropped something. That nothing
        // changes otherwise is checked once more at the end of a run.
        let truncated = status.counters.entries_truncated;
        let last = seen.log.last().copied().unwrap_or_default();
        if last != status.last || seen.truncated != truncated {
            seen.truncated = truncated;
            let log: Vec<Entry<S::Command>> = replica.log().cloned().collect();
            self.holds(id, status.base, &log)?;
        }
        if role == RoleName::Leader {
            self.leads(id, life, term)?;
        }
        let commit = Commit {
            node: id,
            role,
            term,
            index: status.commit.index,
            state: replica.machine(),
        };
        self.commits(&commit, |id| {
            let stored = disks.clone().filter(|disk| disk.holds(id)).count();
            stored > disks.clone().count() / 2
        })
    }

    /// A node's whole log, which begins after `base`: what is compacted must be committed, so it is
    /// known what stood there. Log Matching: an entry's name settles what it says and what stands
    /// before it, hence (by induction) all that stands before it. A command has one entry for good,
    /// and none if it was refused.
    ///
    /// # Errors
    /// Names the first rule that is broken.
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
            demand!(
                first.payload == entry.payload && first.before == before,
                "Log Matching: node {node} holds {} after {before} with {:?}, but it was seen \
                 after {} with {:?}",
                entry.id,
                entry.payload,
                first.before,
                first.payload,
            );
            if let Payload::Command(command) = &entry.payload {
                let id = S::id(command);
                let place = *self.commands.entry(id).or_insert(entry.id);
                demand!(
                    place == entry.id,
                    "a command enters the log once: {id:?} stands at {place} and at {}",
                    entry.id
                );
                demand!(
                    !self.refused.contains(&id),
                    "a refused command never enters a log: {id:?} stands at {}",
                    entry.id
                );
            }
        }
        Ok(())
    }

    /// Something says that an entry is committed, or that it is before all others.
    fn is_committed(&self, id: EntryId, what: &str) -> Result<(), Broken> {
        let last = position(id.index).checked_sub(1);
        let committed = last.map_or(Some(EntryId::default()), |at| {
            self.committed.get(at).map(|committed| committed.id)
        });
        demand!(
            committed == Some(id),
            "a snapshot holds only what is committed: {what} is {id}, where {committed:?} is committed"
        );
        Ok(())
    }

    /// A node makes a snapshot: of this state, after this entry. It holds what all nodes have
    /// applied through there.
    ///
    /// # Errors
    /// If the snapshot differs from that.
    pub fn snapshot(&self, node: NodeId, last: EntryId, state: &S) -> Result<(), Broken> {
        self.is_committed(last, &format!("the last entry of node {node}'s snapshot"))?;
        let applied = self.state_at(position(last.index));
        demand!(
            *state == applied,
            "State Machine Safety: the snapshot of node {node} after {last} holds {state:?} instead \
             of {applied:?}"
        );
        Ok(())
    }

    /// A node begins to make a snapshot of its own state. What it holds is synced.
    ///
    /// # Errors
    /// Names the rule that is broken.
    pub fn captures(
        &self,
        node: NodeId,
        last: EntryId,
        state: &S,
        disk: &Ledger<S::Command>,
    ) -> Result<(), Broken> {
        self.snapshot(node, last, state)?;
        demand!(
            disk.holds(last),
            "a snapshot holds only what is synced: node {node} makes one of {last}"
        );
        Ok(())
    }

    /// A node leads. Election Safety: nobody else does or did in that term, nor did it in another
    /// life. Leader Completeness: its log holds all that was committed before.
    ///
    /// # Errors
    /// Names the rule that is broken.
    pub fn leads(&mut self, node: NodeId, life: Incarnation, term: Term) -> Result<(), Broken> {
        if let Some(first) = self.leaders.get(&term) {
            demand!(
                (first.node, first.life) == (node, life),
                "Election Safety: node {node} leads in term {term}, and so did node {}",
                first.node
            );
            return Ok(());
        }
        let log = self.seen.entry(node).or_default().log.clone();
        for (at, committed) in self.committed.iter().enumerate() {
            // A vote may arrive so late that a leader of an older term takes the lead after this
            // commit. Nobody promised that it knows of it.
            if committed.term >= term {
                continue;
            }
            demand!(
                log.get(at) == Some(&committed.id),
                "Leader Completeness: the leader of term {term}, node {node}, lacks the committed \
                 entry {}",
                committed.id
            );
        }
        self.leaders.insert(term, Leadership { node, life, log });
        Ok(())
    }

    /// A node says how far it has committed. State Machine Safety: all nodes apply the same
    /// sequence. Whoever commits further than anybody before is a leader, commits an entry of its
    /// own term (§5.4.2), and all of it is on a quorum of disks. Leader Completeness, seen from the
    /// other side: whoever leads a later term already had it.
    ///
    /// # Errors
    /// Names the first rule that is broken.
    pub fn commits(
        &mut self,
        commit: &Commit<'_, S>,
        on_quorum: impl Fn(EntryId) -> bool,
    ) -> Result<(), Broken> {
        let Commit { node, term, .. } = *commit;
        let end = position(commit.index);
        let seen = self.seen.entry(node).or_default();
        demand!(
            end <= seen.log.len(),
            "node {node} commits {}, which it does not hold",
            commit.index
        );
        let start = position(seen.commit).min(end);
        seen.commit = commit.index;
        let new = seen.log[start..end].to_vec();
        if end > self.committed.len() {
            let last = seen.log[end - 1];
            demand!(
                commit.role == RoleName::Leader && last.term == term,
                "only a leader commits first, and an entry of its own term: node {node}, a {} of \
                 term {term}, commits {last}",
                commit.role
            );
        }
        for (at, id) in (start..end).zip(new) {
            if let Some(committed) = self.committed.get(at) {
                demand!(
                    committed.id == id,
                    "State Machine Safety: node {node} applies {id} where {} was applied",
                    committed.id
                );
                continue;
            }
            demand!(
                on_quorum(id),
                "what is committed is on a quorum of disks: {id} is not, and node {node} commits it"
            );
            for (later, leadership) in self.leaders.range(term.next()..) {
                demand!(
                    leadership.log.get(at) == Some(&id),
                    "Leader Completeness: node {node} commits {id} in term {term}, but the leader \
                     of term {later}, node {}, lacked it",
                    leadership.node
                );
            }
            let mut state = self.state_at(at);
            if let Payload::Command(command) = &self.entries[&id].payload {
                let outcome = state.apply(command);
                self.outcomes.insert(S::id(command), outcome);
            }
            self.committed.push(Committed { id, term, state });
        }
        demand!(
            *commit.state == self.state_at(end),
            "State Machine Safety: node {node} has applied {} entries and holds {:?} instead of \
             {:?}",
            commit.index,
            commit.state,
            self.state_at(end)
        );
        Ok(())
    }

    /// A node sends a message, and its disk is as given. What the message promises must be on that
    /// disk; or else, if the sync that the message waited for also stored a higher term, all that
    /// happened since: as if the promise had been stored, kept and overtaken.
    ///
    /// # Errors
    /// Says what the disk lacks.
    pub fn sends(&self, envelope: &Envelope<S>, disk: &Ledger<S::Command>) -> Result<(), Broken> {
        let Envelope { from, to, term, .. } = *envelope;
        let ballot = disk.ballot();
        let overtaken = ballot.term() > term;
        let voted_for = |node| overtaken || ballot.term() == term && ballot.vote() == Some(node);
        let stored = match &envelope.message {
            Message::Vote(_) => voted_for(from),
            Message::VoteReply(VoteReply { granted }) => !granted || voted_for(to),
            Message::Append(_) | Message::SnapshotChunk(_) => voted_for(from),
            Message::Appended(Appended { matched, .. }) => {
                overtaken || disk.last().index >= *matched
            }
            // All else promises nothing.
            other => other.waits_for() == Wait::Nothing,
        };
        demand!(
            stored,
            "persist before send: node {from} sends {:?} in term {term}, and its disk holds {:?} \
             and entries through {}",
            envelope.message,
            ballot,
            disk.last()
        );
        Ok(())
    }

    /// A client's command was answered.
    ///
    /// # Errors
    /// If a command is said to be applied that is not committed or came to something else, or one
    /// is refused that was seen in a log.
    pub fn answered(&mut self, command: CommandId, response: &Response<S>) -> Result<(), Broken> {
        match response {
            Response::Applied(outcome) => demand!(
                self.outcomes.get(&command) == Some(outcome),
                "{command:?} is answered with {outcome:?}, but came to {:?}",
                self.outcomes.get(&command)
            ),
            Response::Refused(refusal) => {
                let place = self.commands.get(&command);
                demand!(
                    place.is_none(),
                    "{command:?} is refused ({refusal:?}), but stands in a log at {place:?}"
                );
                self.refused.insert(command);
            }
            Response::Unknown(_) => {}
            Response::Answered(_) => {
                return Err(Broken(format!(
                    "{command:?} is answered as if it were a read"
                )));
            }
        }
        Ok(())
    }

    /// The process of a lone voter died and left this disk behind. It leads before its ballot is
    /// stored, and may lead in the same term again in its next life. Nobody can have heard of the
    /// first time ([`Rules::sends`] sees to that), so it is forgotten. Whoever needs others' votes
    /// has stored its ballot before.
    pub fn lone_voter_died(&mut self, node: NodeId, disk: &Ledger<S::Command>) {
        let stored = disk.ballot().term();
        let unheard = |term: Term, leader: NodeId| leader == node && term > stored;
        let forgotten: Vec<Term> = (self.leaders.iter())
            .filter_map(|(term, leader)| unheard(*term, leader.node).then_some(*term))
            .collect();
        for term in forgotten {
            self.leaders.remove(&term);
            self.entries.retain(|id, _| id.term != term);
            self.commands.retain(|_, id| id.term != term);
        }
    }

    /// Forgets what each node was last seen to hold. It is looked at in full then.
    pub fn forget_nodes(&mut self) {
        self.seen.clear();
    }

    /// How many entries are committed.
    pub fn committed(&self) -> Index {
        Index(self.committed.len() as u64)
    }

    /// Whether this very entry is committed.
    pub fn has_committed(&self, id: EntryId) -> bool {
        let place = position(id.index).checked_sub(1);
        let committed = place.and_then(|at| self.committed.get(at));
        committed.is_some_and(|committed| committed.id == id)
    }

    /// The machine after the first `entries` committed entries.
    fn state_at(&self, entries: usize) -> S {
        match entries.checked_sub(1) {
            Some(at) => self.committed[at].state.clone(),
            None => S::default(),
        }
    }
}

/// What decides about all that is seen later. Not what each node was last seen to hold, which can
/// be seen again, and not the entries that are in no log any more: their names are their leaders'.
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
            leadership.life.rename(names);
        }
        let renamed = mem::take(&mut self.seen).into_iter();
        self.seen = renamed
            .map(|(node, seen)| (names.node(node), seen))
            .collect();
    }
}

/// How many entries stand at or before an index.
fn position(index: Index) -> usize {
    usize::try_from(index.0).expect("a test's log is short")
}

#[cfg(test)]
mod tests;
