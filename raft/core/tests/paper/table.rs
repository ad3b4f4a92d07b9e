//! A node on the table: the production core with a disk beside it that holds exactly what it was
//! asked to store.

use std::convert::Infallible;
use std::sync::Arc;

use raft_core::{
    Append, AppendRejected, Appended, Ballot, Chunks, Config, Entry, EntryId, Envelope,
    Incarnation, Index, Input, Limits, Membership, Message, NodeId, Output, Payload, PreVote,
    PreVoteReply, Record, Released, Replica, RequestId, Response, Restored, RoleName, SnapshotId,
    StateMachine, Status, Term, Ticket, Volatile, Vote, VoteReply, Wal,
};

/// An election timeout, in ticks. It does not vary here, so that no test has chance in it.
pub(crate) const ELECTION: u64 = 10;

/// The time between two heartbeats, in ticks.
pub(crate) const HEARTBEAT: u64 = 3;

/// A state machine that notes each command that is applied, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Journal(pub(crate) Vec<u64>);

impl StateMachine for Journal {
    type Command = u64;
    /// How many commands were applied, this one included.
    type Outcome = usize;
    type Query = ();
    type Answer = usize;

    fn apply(&mut self, command: &u64) -> usize {
        self.0.push(*command);
        self.0.len()
    }

    fn answer(&self, (): &()) -> usize {
        self.0.len()
    }

    fn size(_: &u64) -> usize {
        8
    }
}

/// What a node says.
pub(crate) type Letter = Envelope<Journal>;

/// What a node has stored. It outlives the node's process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) ballot: Ballot,
    pub(crate) entries: Vec<Entry<u64>>,
}

impl Wal<u64> for Disk {
    type Error = Infallible;

    fn append_and_sync(&mut self, records: &[Record<u64>]) -> Result<(), Infallible> {
        for record in records {
            match record {
                Record::Ballot(ballot) => self.ballot = *ballot,
                Record::Entries(entries) => {
                    let first = entries[0].id.index;
                    self.entries.retain(|entry| entry.id.index < first);
                    self.entries.extend(entries.iter().cloned());
                }
                Record::Base(_) => unreachable!("no log here is long enough for a snapshot"),
            }
        }
        Ok(())
    }
}

impl Chunks for Disk {
    fn read(&mut self, _: SnapshotId, _: u64, _: usize) -> Option<Vec<u8>> {
        unreachable!("there are no snapshots here")
    }
}

/// A node with its disk.
pub(crate) struct Node {
    id: u64,
    size: u64,
    life: u64,
    pub(crate) disk: Disk,
    replica: Replica<Journal>,
    /// Answers to its clients: to which ticket, and what.
    pub(crate) answers: Vec<(u64, Response<Journal>)>,
}

impl Node {
    /// Node `id` of a cluster of nodes 1 to `size`, on its first start.
    pub(crate) fn new(id: u64, size: u64) -> Self {
        Self::with(id, size, Disk::default())
    }

    /// Node 1 of `size`, started with this on its disk: an entry of each of these terms.
    pub(crate) fn stored(size: u64, term: u64, vote: Option<u64>, log: &[u64]) -> Self {
        let ballot = Ballot::new(Term(term), vote.map(NodeId));
        let entries = entries(1, log);
        Self::with(1, size, Disk { ballot, entries })
    }

    /// Node `id` of `size`, which has not voted in this term, with this log.
    pub(crate) fn stored_as(id: u64, size: u64, term: u64, log: &[u64]) -> Self {
        let ballot = Ballot::new(Term(term), None);
        let entries = entries(1, log);
        Self::with(id, size, Disk { ballot, entries })
    }

    fn with(id: u64, size: u64, disk: Disk) -> Self {
        Self {
            id,
            size,
            life: 1,
            replica: restore(id, size, 1, &disk),
            disk,
            answers: Vec::new(),
        }
    }

    /// The process dies, and starts again from its disk.
    pub(crate) fn restart(&mut self) {
        self.life += 1;
        self.replica = restore(self.id, self.size, self.life, &self.disk);
    }

    /// Something happens, and nothing of it is stored yet. Returns what may leave already, and what
    /// is to be stored with all that waits for it.
    pub(crate) fn before_storing(
        &mut self,
        input: Input<Journal>,
    ) -> (Vec<Letter>, Output<Journal, Volatile>) {
        self.replica.step(input);
        self.output()
    }

    fn output(&mut self) -> (Vec<Letter>, Output<Journal, Volatile>) {
        let mut output = self.replica.output();
        let Released {
            messages,
            replies,
            task,
        } = output.release(&mut self.disk);
        assert!(task.is_none(), "no log here is long enough for a snapshot");
        let answers = replies.into_iter().map(|r| (r.ticket.0, r.response));
        self.answers.extend(answers);
        (messages, output)
    }

    /// Something happens. Returns all that the node says, what waits for its disk last.
    pub(crate) fn step(&mut self, input: Input<Journal>) -> Vec<Letter> {
        self.steps([input])
    }

    /// Some things happen at once.
    pub(crate) fn steps(
        &mut self,
        inputs: impl IntoIterator<Item = Input<Journal>>,
    ) -> Vec<Letter> {
        inputs
            .into_iter()
            .for_each(|input| self.replica.step(input));
        let mut said = Vec::new();
        loop {
            let (early, output) = self.output();
            said.extend(early);
            let is_stored = output.records().is_empty();
            let Ok(durable) = output.persist(&mut self.disk);
            let (late, synced) = durable.finish();
            said.extend(late);
            self.replica.step(Input::Synced(synced));
            if is_stored {
                return said;
            }
        }
    }

    /// A message comes from `from`, whose term is `term`.
    pub(crate) fn hears(&mut self, from: u64, term: u64, message: Message<Journal>) -> Vec<Letter> {
        self.step(letter(from, self.id, term, message))
    }

    /// So many ticks of its clock go by.
    pub(crate) fn ticks(&mut self, count: u64) -> Vec<Letter> {
        let ticks = 0..count;
        ticks.flat_map(|_| self.step(Input::Tick)).collect()
    }

    /// A client writes; the command is the ticket's number.
    pub(crate) fn write(&mut self, command: u64) -> Vec<Letter> {
        let ticket = Ticket(command);
        self.step(Input::Write { ticket, command })
    }

    /// Its clock ticks until it wants to be elected, and all others encourage it. Returns its
    /// requests for votes.
    pub(crate) fn campaign(&mut self) -> Vec<Letter> {
        let mut questions = Vec::new();
        while questions.is_empty() {
            questions = self.ticks(1);
        }
        let mut said = Vec::new();
        for Envelope {
            to, term, message, ..
        } in questions
        {
            let Message::PreVote(PreVote { round, .. }) = message else {
                panic!("it asks first: {message:?}");
            };
            if said.is_empty() {
                let granted = true;
                let reply = Message::PreVoteReply(PreVoteReply { round, granted });
                said = self.hears(to.0, term.0, reply);
            }
        }
        assert_eq!(self.role(), RoleName::Candidate);
        said
    }

    /// It wants to be elected, and is. Returns what it says first as a leader.
    pub(crate) fn lead(&mut self) -> Vec<Letter> {
        for vote in self.campaign() {
            let granted = true;
            let said = self.hears(
                vote.to.0,
                vote.term.0,
                Message::VoteReply(VoteReply { granted }),
            );
            if self.role() == RoleName::Leader {
                return said;
            }
        }
        panic!("all votes make no leader");
    }

    /// The node's state at a glance.
    pub(crate) fn status(&self) -> Status {
        self.replica.status()
    }

    /// What the node is doing.
    pub(crate) fn role(&self) -> RoleName {
        self.status().role
    }

    /// Its current term.
    pub(crate) fn term(&self) -> u64 {
        self.status().ballot.term().0
    }

    /// For whom it voted in its current term.
    pub(crate) fn vote(&self) -> Option<u64> {
        self.status().ballot.vote().map(|node| node.0)
    }

    /// How far it has committed.
    pub(crate) fn commit(&self) -> u64 {
        self.status().commit.index.0
    }

    /// Its log.
    pub(crate) fn log(&self) -> Vec<Entry<u64>> {
        self.replica.log().cloned().collect()
    }

    /// The terms of its log's entries.
    pub(crate) fn terms(&self) -> Vec<u64> {
        self.replica.log().map(|entry| entry.id.term.0).collect()
    }

    /// The commands that it has applied, in order.
    pub(crate) fn applied(&self) -> &[u64] {
        &self.replica.machine().0
    }
}

fn restore(id: u64, size: u64, life: u64, disk: &Disk) -> Replica<Journal> {
    Replica::restore(Restored {
        id: NodeId(id),
        membership: Membership::of((1..=size).map(NodeId)),
        config: Config {
            heartbeat: HEARTBEAT as u32,
            shortest_election: ELECTION as u32,
            longest_election: ELECTION as u32,
            limits: Limits::default(),
        },
        ballot: disk.ballot,
        snapshot: None,
        machine: Journal::default(),
        entries: disk.entries.clone(),
        incarnation: Incarnation(1000 * id + life),
        seed: id,
    })
}

/// A message on its arrival.
pub(crate) fn letter(from: u64, to: u64, term: u64, message: Message<Journal>) -> Input<Journal> {
    Input::Receive(Envelope {
        from: NodeId(from),
        to: NodeId(to),
        term: Term(term),
        message,
    })
}

/// The entry's name that the scripts write `index@term`.
pub(crate) fn id(index: u64, term: u64) -> EntryId {
    EntryId {
        term: Term(term),
        index: Index(index),
    }
}

/// Entries from index `first` on, one of each of these terms. The command of `index@term` is `100 *
/// term + index`.
pub(crate) fn entries(first: u64, terms: &[u64]) -> Vec<Entry<u64>> {
    let entry = |(index, term): (u64, &u64)| Entry {
        id: id(index, *term),
        payload: Payload::Command(Arc::new(100 * term + index)),
    };
    (first..).zip(terms).map(entry).collect()
}

/// The name of another node's question.
pub(crate) const QUESTION: RequestId = RequestId {
    incarnation: Incarnation(9),
    counter: 1,
};

/// AppendEntries: entries of these terms after `prev`.
pub(crate) fn append(prev: EntryId, terms: &[u64], commit: u64) -> Message<Journal> {
    Message::Append(Append {
        stream: QUESTION,
        prev,
        entries: entries(prev.index.0 + 1, terms),
        commit: Index(commit),
    })
}

/// RequestVote of a candidate whose last entry is this.
pub(crate) fn vote(last: EntryId) -> Message<Journal> {
    Message::Vote(Vote { last })
}

/// A follower's acknowledgement of this Append: it stores all through `matched`.
pub(crate) fn appended(append: &Letter, matched: u64) -> Message<Journal> {
    let Message::Append(Append { stream, .. }) = append.message else {
        panic!("no Append: {append:?}");
    };
    Message::Appended(Appended {
        stream,
        incarnation: Incarnation(append.to.0),
        matched: Index(matched),
    })
}

/// A follower's refusal of this Append: what it follows is not there.
pub(crate) fn rejected(append: &Letter, hint: EntryId) -> Message<Journal> {
    let Message::Append(Append { stream, prev, .. }) = append.message else {
        panic!("no Append: {append:?}");
    };
    Message::AppendRejected(AppendRejected {
        stream,
        incarnation: Incarnation(append.to.0),
        prev,
        hint,
    })
}

/// What was said reaches those who are here, their answers come back, and so on, until all are
/// silent. Returns how many messages arrived.
pub(crate) fn converse(nodes: &mut [&mut Node], mut said: Vec<Letter>) -> usize {
    let mut arrived = 0;
    while let Some(letter) = said.pop() {
        if let Some(node) = nodes.iter_mut().find(|node| node.id == letter.to.0) {
            arrived += 1;
            said.extend(node.step(Input::Receive(letter)));
        }
    }
    arrived
}

/// The only thing that was said.
pub(crate) fn only(said: Vec<Letter>) -> Letter {
    let [letter] = <[Letter; 1]>::try_from(said).expect("one message");
    letter
}

/// The messages to one node.
pub(crate) fn to(node: u64, said: &[Letter]) -> Vec<Letter> {
    let said = said.iter().filter(|letter| letter.to == NodeId(node));
    said.cloned().collect()
}

/// What an Append says: the entry before its entries, their terms, and how far its leader has
/// committed.
pub(crate) fn content(append: &Letter) -> (EntryId, Vec<u64>, u64) {
    match &append.message {
        Message::Append(Append {
            prev,
            entries,
            commit,
            ..
        }) => {
            let terms = entries.iter().map(|entry| entry.id.term.0);
            (*prev, terms.collect(), commit.0)
        }
        other => panic!("no Append: {other:?}"),
    }
}

/// Whether the vote was granted; to whom and in which term stands on the envelope.
pub(crate) fn granted(said: Vec<Letter>) -> bool {
    match only(said).message {
        Message::VoteReply(VoteReply { granted }) => granted,
        other => panic!("no answer to a request for a vote: {other:?}"),
    }
}

/// Whether these are questions about an election, asked before there is one.
pub(crate) fn ask_for_election(said: &[Letter]) -> bool {
    let asks = |letter: &Letter| matches!(letter.message, Message::PreVote(_));
    !said.is_empty() && said.iter().all(asks)
}
