//! Ids: of nodes, terms, places in the log, entries, requests, snapshots.
//!
//! Each is a type of its own, so that a term is never added to an index by mistake.

use core::fmt;

/// A member of the cluster. The host maps it to a name or an address.
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

/// An entry's id: its place in the log, and the term of the leader that put it there.
///
/// Two logs that hold an entry of the same id hold the same entries up to it (Log Matching,
/// §5.3). The derived order, term before index, is the order of §5.4.1: a log whose last entry
/// is greater or equal is "at least as up-to-date".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The term of the leader that created the entry.
    pub term: Term,
    /// Its place in the log.
    pub index: Index,
}

/// One run of a process: drawn at random at each start, so that a reply to a request of an earlier
/// run is never taken for a reply to one of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// The id of a request to a peer (a pre-vote round, a read round, a forward) or of a replication
/// stream. Never used twice: within an incarnation the counter rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The incarnation of the node that gave the id.
    pub incarnation: Incarnation,
    /// Counts the ids of that incarnation.
    pub counter: u64,
}

/// The host's id for a client's request. The host never uses a ticket twice in an incarnation, and
/// each gets exactly one [`crate::Response`] if the node lives.
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

/// A renaming of ids, for symmetry reduction: the model checker counts states that differ in ids
/// alone once. No two ids may become the same, and those of one incarnation must keep their order.
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

macro_rules! displays_number {
    ($($id:ident),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

displays_number!(NodeId, Term, Index);

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
