//! Exactly-once commands (thesis §6.3): a state machine around a state machine.
//!
//! A client opens a session through the log and numbers its commands. The machine remembers the
//! outcome of each, so that a command that comes into the log again, because its answer was lost or
//! its leader changed, is answered and not applied again:
//!
//! ```text
//!           acknowledged            the client still wants these
//!                │
//!  1  2  3  4  5 │ 6       7       8       9
//!   forgotten    │ done            done           a command 7 is new, an 8 is answered
//!   (unknown)    └ floor                          a 5 is unknown: it is not applied
//! ```
//!
//! Each command says below which number the client wants no more answers (`acknowledged`). So a
//! client may have many commands under way, and the network may reorder them.
//!
//! All of this is state: it is the same on every node, and a snapshot has it exactly as old as the
//! machine inside. So it is bounded by what the log says alone, never by a clock. What was forgotten
//! is unknown, never new.

mod client;
mod command;
pub(crate) mod image;

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use raft_core::StateMachine;

pub use self::client::{Client, WAITING};
pub use self::command::{Command, Outcome};

/// A state machine whose commands are applied once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sessions<M: Inner> {
    machine: M,
    /// Cloned by pointer. A write after that copies one pointer a session, and one session.
    table: Arc<Table<M::Outcome>>,
}

/// A state machine that sessions can be put around. Its commands and outcomes as JSON are objects,
/// which distinguishes them from those of sessions.
pub trait Inner: StateMachine {
    /// The bounds of the table. A change of them is a change of the machine: all nodes must make it
    /// at the same entry.
    const LIMITS: Limits = Limits {
        sessions: 1_024,
        answers: 16_384,
        bytes: 64 << 20,
    };

    /// About how many bytes of memory an outcome takes. Depends on its value alone.
    fn outcome_size(outcome: &Self::Outcome) -> usize;
}

/// The bounds of a table of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions. One more evicts the least recently used.
    pub sessions: usize,
    /// Remembered outcomes of one session. One more evicts that of the lowest number.
    pub answers: usize,
    /// Bytes of all remembered outcomes. More evict those of the least recently used session.
    pub bytes: usize,
}

/// The id of a session: the number of sessions that were opened before it, and one. Never given
/// twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Table<O> {
    /// Sessions opened so far, which is the last id.
    opened: u64,
    /// Uses of sessions so far: the clock of the eviction.
    uses: u64,
    /// The bytes of all remembered outcomes.
    bytes: usize,
    sessions: BTreeMap<SessionId, Arc<Session<O>>>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Session<O> {
    /// When it was used last, by [`Table::uses`].
    used: u64,
    /// The outcomes of all commands below this number are forgotten.
    floor: u64,
    answers: BTreeMap<u64, O>,
}

impl<M: Inner> Sessions<M> {
    /// A machine around this one, without sessions.
    pub fn new(machine: M) -> Self {
        let table = Arc::default();
        Self { machine, table }
    }

    /// The machine inside.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The same state in a new history, as after the restoration of a backup. The former history may
    /// have opened sessions since then. The new one gives none of their ids, so that a client of
    /// the former one finds its session closed, and never takes another client's for its own.
    #[must_use]
    pub fn in_new_history(mut self) -> Self {
        /// More than any history opens.
        const SKIPPED: u64 = 1 << 32;
        let table = Arc::make_mut(&mut self.table);
        table.opened = table.opened.saturating_add(SKIPPED);
        self
    }

    /// About how many bytes of memory an outcome takes.
    pub fn outcome_size(outcome: &Outcome<M::Outcome>) -> usize {
        match outcome {
            Outcome::Done(outcome) => M::outcome_size(outcome),
            Outcome::Opened(_) | Outcome::Closed | Outcome::Unknown => 0,
        }
    }

    fn open(&mut self) -> SessionId {
        let table = Arc::make_mut(&mut self.table);
        if table.sessions.len() >= M::LIMITS.sessions
            && let Some(oldest) = table.least_recently_used(|_| true)
        {
            table.close::<M>(oldest);
        }
        table.opened += 1;
        table.uses += 1;
        let id = SessionId(table.opened);
        let session = Session {
            used: table.uses,
            floor: 0,
            answers: BTreeMap::new(),
        };
        table.sessions.insert(id, Arc::new(session));
        id
    }

    /// Applies a command of a session, unless it was applied before or may have been.
    fn run(
        &mut self,
        id: SessionId,
        sequence: u64,
        acknowledged: u64,
        command: &M::Command,
    ) -> Outcome<M::Outcome> {
        let table = Arc::make_mut(&mut self.table);
        let Some(session) = table.sessions.get_mut(&id) else {
            return Outcome::Unknown;
        };
        let session = Arc::make_mut(session);
        table.uses += 1;
        session.used = table.uses;
        table.bytes -= session.forget_below::<M>(acknowledged);
        if sequence < session.floor {
            return Outcome::Unknown;
        }
        if let Some(outcome) = session.answers.get(&sequence) {
            return Outcome::Done(outcome.clone());
        }
        let outcome = self.machine.apply(command);
        table.bytes += M::outcome_size(&outcome);
        session.answers.insert(sequence, outcome.clone());
        if session.answers.len() > M::LIMITS.answers
            && let Some((&lowest, _)) = session.answers.first_key_value()
        {
            table.bytes -= session.forget_below::<M>(lowest.saturating_add(1));
        }
        while table.bytes > M::LIMITS.bytes
            && let Some(oldest) = table.least_recently_used(|session| !session.answers.is_empty())
        {
            table.forget::<M>(oldest);
        }
        Outcome::Done(outcome)
    }
}

impl<O: Clone> Table<O> {
    /// Of the sessions like this, the one whose last use is the longest ago.
    fn least_recently_used(&self, is_like: impl Fn(&Session<O>) -> bool) -> Option<SessionId> {
        let sessions = self.sessions.iter().filter(|(_, session)| is_like(session));
        sessions
            .min_by_key(|(_, session)| session.used)
            .map(|(id, _)| *id)
    }

    fn close<M: Inner<Outcome = O>>(&mut self, id: SessionId) {
        self.forget::<M>(id);
        self.sessions.remove(&id);
    }

    /// Forgets all outcomes of a session.
    fn forget<M: Inner<Outcome = O>>(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && let Some((&highest, _)) = session.answers.last_key_value()
        {
            let session = Arc::make_mut(session);
            self.bytes -= session.forget_below::<M>(highest.saturating_add(1));
        }
    }
}

impl<O> Session<O> {
    /// Forgets the outcomes of all commands below this number. Returns the bytes that they took.
    fn forget_below<M: Inner<Outcome = O>>(&mut self, floor: u64) -> usize {
        self.floor = self.floor.max(floor);
        let mut bytes = 0;
        while let Some(first) = self.answers.first_entry()
            && *first.key() < self.floor
        {
            bytes += M::outcome_size(&first.remove());
        }
        bytes
    }
}

impl<M: Inner + Default> Default for Sessions<M> {
    fn default() -> Self {
        Self::new(M::default())
    }
}

impl<O> Default for Table<O> {
    fn default() -> Self {
        Self {
            opened: 0,
            uses: 0,
            bytes: 0,
            sessions: BTreeMap::new(),
        }
    }
}

impl<M: Inner> StateMachine for Sessions<M> {
    type Command = Command<M::Command>;
    type Outcome = Outcome<M::Outcome>;
    type Query = M::Query;
    type Answer = M::Answer;

    fn apply(&mut self, command: &Self::Command) -> Self::Outcome {
        match command {
            Command::Plain(command) => Outcome::Done(self.machine.apply(command)),
            Command::Open => Outcome::Opened(self.open()),
            Command::Do {
                session,
                sequence,
                acknowledged,
                command,
            } => self.run(*session, *sequence, *acknowledged, command),
            Command::Close(session) => {
                Arc::make_mut(&mut self.table).close::<M>(*session);
                Outcome::Closed
            }
        }
    }

    fn answer(&self, query: &M::Query) -> M::Answer {
        self.machine.answer(query)
    }

    fn size(command: &Self::Command) -> usize {
        size_of::<Command<()>>()
            + match command {
                Command::Plain(command) | Command::Do { command, .. } => M::size(command),
                Command::Open | Command::Close(_) => 0,
            }
    }
}

#[cfg(test)]
mod tests;
