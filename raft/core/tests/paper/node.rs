//! A node under test: the production core with a disk that holds exactly the stored records.

use std::convert::Infallible;
use std::sync::Arc;

use raft_core::{
    Append, AppendRejected, Appended, Ballot, Config, Durable, Entry, EntryId, Envelope,
    Incarnation, Index, Input, Limits, Membership, Message, NodeId, Output, Payload, Persisted,
    PreVote, PreVoteReply, Record, Released, Replica, RequestId, Response, Restored, RoleName,
    StateMachine, Status, Term, Ticket, Volatile, Vote, VoteReply, Wal,
};

/// The election timeout, in ticks. It does not vary here, so that no test depends on chance.
pub(crate) const ELECTION: u64 = 10;

/// The time between two heartbeats, in ticks.
pub(crate) const HEARTBEAT: u64 = 3;

/// The number of entries that may wait for the disk.
pub(crate) const UNSYNCED: usize = 3;

/// The size of an entry with a command, in bytes.
const ENTRY: usize = 40;

/// A state machine that keeps all applied commands, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Journal(pub(crate) Vec<u64>);

impl StateMachine for Journal {
    type Command = u64;
    /// The number of commands applied, this one included.
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

/// A message that a node sent.
pub(crate) type Sent = Envelope<Journal>;

/// The stored state of a node. It outlives the node's process.
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

/// A node with its disk.
pub(crate) struct Node {
    id: u64,
    size: u64,
    incarnation: u64,
    pub(crate) disk: Disk,
    replica: Replica<Journal>,
    /// The proof for the next output; `None` only while one is persisted.
    persisted: Option<Persisted>,
    /// Responses to its clients, each with its ticket.
    pub(crate) answers: Vec<(u64, Response<Journal>)>,
}

impl Node {
    /// Node `id` of a cluster of nodes 1 to `size`, on its first start.
    pub(crate) fn new(id: u64, size: u64) -> Self {
        Self::with(id, size, Disk::default())
    }

    /// Node 1 of `size`, started from a disk with an entry of each of these terms.
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
        let replica = restore(id, size, 1, &disk);
        Self {
            id,
            size,
            incarnation: 1,
            persisted: Some(replica.persisted()),
            replica,
            disk,
            answers: Vec::new(),
        }
    }

    /// Crashes the process and starts it again from its disk.
    pub(crate) fn restart(&mut self) {
        self.incarnation += 1;
        self.replica = restore(self.id, self.size, self.incarnation, &self.disk);
        self.persisted = Some(self.replica.persisted());
    }

    /// Steps an input without storing its records. Returns the messages that may leave already, and
    /// the output with the records and the messages that wait for them.
    pub(crate) fn before_storing(
        &mut self,
        input: Input<Journal>,
    ) -> (Vec<Sent>, Output<Journal, Volatile>) {
        self.replica.step(input);
        self.output()
    }

    fn output(&mut self) -> (Vec<Sent>, Output<Journal, Volatile>) {
        let mut output = self.replica.output();
        let Released {
            messages,
            chunks,
            replies,
            task,
        } = output.release();
        assert!(
            chunks.is_empty() && task.is_none(),
            "no log here is long enough for a snapshot"
        );
        let answers = replies.into_iter().map(|r| (r.ticket.0, r.response));
        self.answers.extend(answers);
        (messages, output)
    }

    /// Stores the records of an output.
    pub(crate) fn persist(
        &mut self,
        output: Output<Journal, Volatile>,
    ) -> Output<Journal, Durable> {
        let before = self.persisted.take().expect("one output at a time");
        let Ok((durable, persisted)) = output.persist(before, &mut self.disk);
        self.persisted = Some(persisted);
        durable
    }

    /// Steps an input and stores the records. Returns the messages, those that waited for the disk
    /// last.
    pub(crate) fn step(&mut self, input: Input<Journal>) -> Vec<Sent> {
        self.steps([input])
    }

    /// Steps several inputs before one output.
    pub(crate) fn steps(&mut self, inputs: impl IntoIterator<Item = Input<Journal>>) -> Vec<Sent> {
        inputs
            .into_iter()
            .for_each(|input| self.replica.step(input));
        let mut sent = Vec::new();
        loop {
            let (early, output) = self.output();
            sent.extend(early);
            let is_stored = output.records().is_empty();
            let durable = self.persist(output);
            let (late, synced) = durable.finish();
            sent.extend(late);
            self.replica.step(Input::Synced(synced));
            if is_stored {
                return sent;
            }
        }
    }

    /// Delivers a message of `from`, whose term is `term`.
    pub(crate) fn receive(&mut self, from: u64, term: u64, message: Message<Journal>) -> Vec<Sent> {
        self.step(input_from(from, self.id, term, message))
    }

    /// Lets `count` ticks pass.
    pub(crate) fn ticks(&mut self, count: u64) -> Vec<Sent> {
        let ticks = 0..count;
        ticks.flat_map(|_| self.step(Input::Tick)).collect()
    }

    /// Steps a client's write, whose command is the ticket's number.
    pub(crate) fn write(&mut self, command: u64) -> Vec<Sent> {
        let ticket = Ticket(command);
        self.step(Input::Write { ticket, command })
    }

    /// Lets the node reach its election timeout and win the pre-vote. Returns its requests for
    /// votes.
    pub(crate) fn campaign(&mut self) -> Vec<Sent> {
        let mut pre_votes = Vec::new();
        while pre_votes.is_empty() {
            pre_votes = self.ticks(1);
        }
        let mut sent = Vec::new();
        for Envelope {
            to, term, message, ..
        } in pre_votes
        {
            let Message::PreVote(PreVote { round, .. }) = message else {
                panic!("no pre-vote: {message:?}");
            };
            if sent.is_empty() {
                let granted = true;
                let reply = Message::PreVoteReply(PreVoteReply { round, granted });
                sent = self.receive(to.0, term.0, reply);
            }
        }
        assert_eq!(self.role(), RoleName::Candidate);
        sent
    }

    /// Lets the node win an election. Returns its first messages as leader.
    pub(crate) fn lead(&mut self) -> Vec<Sent> {
        for vote in self.campaign() {
            let granted = true;
            let sent = self.receive(
                vote.to.0,
                vote.term.0,
                Message::VoteReply(VoteReply { granted }),
            );
            if self.role() == RoleName::Leader {
                return sent;
            }
        }
        panic!("no leader after all votes");
    }

    /// A summary of the node's state.
    pub(crate) fn status(&self) -> Status {
        self.replica.status()
    }

    /// The node's role.
    pub(crate) fn role(&self) -> RoleName {
        self.status().role
    }

    /// Its current term.
    pub(crate) fn term(&self) -> u64 {
        self.status().ballot.term().0
    }

    /// Its vote in its current term.
    pub(crate) fn vote(&self) -> Option<u64> {
        self.status().ballot.vote().map(|node| node.0)
    }

    /// Its commit index.
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

fn restore(id: u64, size: u64, incarnation: u64, disk: &Disk) -> Replica<Journal> {
    Replica::restore(Restored {
        id: NodeId(id),
        membership: members(size),
        config: Config {
            heartbeat: HEARTBEAT as u32,
            shortest_election: ELECTION as u32,
            longest_election: ELECTION as u32,
            request_deadline: 2 * ELECTION as u32,
            change_deadline: 5 * ELECTION as u32,
            limits: Limits {
                unsynced_bytes: UNSYNCED * ENTRY,
                ..Limits::default()
            },
        },
        ballot: disk.ballot,
        snapshot: None,
        machine: Journal::default(),
        entries: disk.entries.clone(),
        incarnation: Incarnation(1000 * id + incarnation),
        seed: id,
    })
}

/// Nodes 1 to `size`. With none, the node waits to be added.
fn members(size: u64) -> Membership {
    if size == 0 {
        return Membership::default();
    }
    Membership::of((1..=size).map(NodeId))
}

/// The input of a message that arrives.
pub(crate) fn input_from(
    from: u64,
    to: u64,
    term: u64,
    message: Message<Journal>,
) -> Input<Journal> {
    Input::Receive(Envelope {
        from: NodeId(from),
        to: NodeId(to),
        term: Term(term),
        message,
    })
}

/// The entry id that the golden scripts write `index@term`.
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

/// The id of another node's request.
pub(crate) const REQUEST_ID: RequestId = RequestId {
    incarnation: Incarnation(9),
    counter: 1,
};

/// AppendEntries: entries of these terms after `prev`.
pub(crate) fn append(prev: EntryId, terms: &[u64], commit: u64) -> Message<Journal> {
    Message::Append(Append {
        stream: REQUEST_ID,
        prev,
        entries: entries(prev.index.0 + 1, terms),
        commit: Index(commit),
    })
}

/// RequestVote of a candidate whose last entry is this.
pub(crate) fn vote(last: EntryId) -> Message<Journal> {
    Message::Vote(Vote {
        last,
        transfer: false,
    })
}

/// A follower's acknowledgement of this Append: its log is stored and matches through `matched`.
pub(crate) fn appended(append: &Sent, matched: u64) -> Message<Journal> {
    let Message::Append(Append { stream, .. }) = append.message else {
        panic!("no Append: {append:?}");
    };
    Message::Appended(Appended {
        stream,
        incarnation: Incarnation(append.to.0),
        matched: Index(matched),
    })
}

/// A follower's rejection of this Append.
pub(crate) fn rejected(append: &Sent, hint: EntryId) -> Message<Journal> {
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

/// Delivers messages among `nodes`, and the replies to them, until no message is in flight. Returns
/// the number of messages delivered.
pub(crate) fn deliver_all(nodes: &mut [&mut Node], mut sent: Vec<Sent>) -> usize {
    let mut arrived = 0;
    while let Some(envelope) = sent.pop() {
        if let Some(node) = nodes.iter_mut().find(|node| node.id == envelope.to.0) {
            arrived += 1;
            sent.extend(node.step(Input::Receive(envelope)));
        }
    }
    arrived
}

/// The only message sent.
pub(crate) fn only(sent: Vec<Sent>) -> Sent {
    let [envelope] = <[Sent; 1]>::try_from(sent).expect("one message");
    envelope
}

/// The messages to one node.
pub(crate) fn to(node: u64, sent: &[Sent]) -> Vec<Sent> {
    let sent = sent.iter().filter(|envelope| envelope.to == NodeId(node));
    sent.cloned().collect()
}

/// The content of an Append: the entry before its entries, their terms, and the leader's commit
/// index.
pub(crate) fn content(append: &Sent) -> (EntryId, Vec<u64>, u64) {
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

/// Whether the only message sent grants a vote.
pub(crate) fn granted(sent: Vec<Sent>) -> bool {
    match only(sent).message {
        Message::VoteReply(VoteReply { granted }) => granted,
        other => panic!("no answer to a request for a vote: {other:?}"),
    }
}

/// Whether all messages sent are pre-votes, and there are some.
pub(crate) fn are_pre_votes(sent: &[Sent]) -> bool {
    let asks = |envelope: &Sent| matches!(envelope.message, Message::PreVote(_));
    !sent.is_empty() && sent.iter().all(asks)
}
