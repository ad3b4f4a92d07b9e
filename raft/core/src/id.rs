//! The names of things: nodes, terms, places in the log, and questions that wait for an answer.
//!
//! Each is a type of its own, so that a term is never added to an index by mistake.

use core::fmt;

/// A member of the cluster. What a host calls it (`n3`, an address) is the host's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A term: Raft's logical clock (§5.1). Term 0 is before the first election.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl Term {
    /// The term after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A place in the log. The first entry stands at 1; 0 is before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

impl Index {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The place before this one.
    ///
    /// # Panics
    /// At index 0, which has none before it.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0 - 1)
    }
}

/// An entry's name: where it stands, and the term in which a leader put it there.
///
/// Two logs that hold an entry of the same name hold the same entries up to it (Log Matching,
/// §5.3). The derived order, term before index, is the order of §5.4.1: a log whose last entry
/// is greater or equal is "at least as up-to-date".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The term of the leader that created the entry.
    pub term: Term,
    /// Its place in the log.
    pub index: Index,
}

/// One life of one process: drawn at random at each start, so that an answer to a question of a
/// former life is never taken for the answer to one of this life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// The name of a question that a node asked its peers (a pre-vote round, a read round, a forward,
/// a replication session). Never used twice: within a life the counter rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The asking node's life.
    pub incarnation: Incarnation,
    /// Counts the questions of that life.
    pub counter: u64,
}

/// The host's id for a client's request. The host never uses one twice in an incarnation, and each
/// gets exactly one [`crate::Response`] if the node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The id of a stored snapshot. Two nodes that have stored snapshots of one id have stored the same
/// bytes, so that chunks of one id may come from any node, and those of two ids never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotId {
    /// The last entry that the snapshot contains.
    pub last: EntryId,
    /// Its length in bytes, as stored and sent.
    pub length: u64,
    /// A checksum over those bytes. The core compares it and never computes it.
    pub crc: u32,
}

/// The other ids of a renaming (see [`crate::Fingerprint`]): the same state under other ids, so
/// that the model checker counts states once that differ in ids alone. No two ids may become the
/// same, and those of one incarnation must keep their order.
pub trait Names {
    /// Another id for a node.
    fn node(&mut self, node: NodeId) -> NodeId;
    /// Another incarnation.
    fn incarnation(&mut self, incarnation: Incarnation) -> Incarnation;
    /// Another request id, whose incarnation is [`Names::incarnation`]'s.
    fn request(&mut self, request: RequestId) -> RequestId;
}

/// Something that holds ids. All implementations but that of `Shared` are in `search`.
pub trait Rename {
    /// Replaces all ids in it.
    fn rename(&mut self, names: &mut dyn Names);
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `index@term`, as the golden scripts write it.
impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation.0, self.counter)
    }
}
