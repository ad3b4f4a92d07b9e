//! Nodes that are part of the bench: the real one, one that measures the bench, and ones that are
//! wrong on purpose.

use std::ffi::OsString;
use std::fmt;

/// The subcommand that runs the Raft node.
pub const RAFT_SUBCOMMAND: &str = "node";

/// The subcommand that runs one of the others, named by its argument.
pub const SUBCOMMAND: &str = "builtin-node";

/// A node that is part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// The node that all this is about.
    Raft,
    /// Answers at once from its own memory: linearizable when alone.
    Null,
    /// All nodes' writes are done at n0, which then tells the others; reads are answered from each
    /// node's own memory.
    Stale,
    /// Breaks the protocol, to see that the bench notices.
    Misbehaving(Misbehaviour),
}

/// Ways to break the protocol. Apart from that, the node does as [`Builtin::Null`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehaviour {
    /// The first answer is followed by something that is not JSON.
    Garbage,
    /// The first answer is followed by an empty line.
    BlankLine,
    /// The first answer is a JSON array.
    NotAnObject,
    /// Answers have a top-level key that is none of Maelstrom's.
    ExtraKey,
    /// Answers of success have a body with a key beyond its schema.
    ExtraBodyKey,
    /// Answers go to a client that does not exist.
    UnknownClient,
    /// The first answer is followed by a message to a node that does not exist.
    UnknownNode,
    /// The first answer is followed by one to the client that sent `init`.
    InitClient,
    /// Answers are sent in another node's name.
    WrongSource,
    /// Everything is answered twice.
    Twice,
    /// Answers name a request that was never made.
    NeverAsked,
    /// A read is answered as a write and the other way round.
    WrongType,
    /// `init` is refused.
    RefusesInit,
    /// The process ends well after its first answer.
    Ends,
    /// The process ends badly after its first answer, and says so.
    Dies,
    /// The process closes its output in the middle of a line.
    HalfLine,
}

impl Misbehaviour {
    /// All of them.
    pub const ALL: [Misbehaviour; 16] = [
        Misbehaviour::Garbage,
        Misbehaviour::BlankLine,
        Misbehaviour::NotAnObject,
        Misbehaviour::ExtraKey,
        Misbehaviour::ExtraBodyKey,
        Misbehaviour::UnknownClient,
        Misbehaviour::UnknownNode,
        Misbehaviour::InitClient,
        Misbehaviour::WrongSource,
        Misbehaviour::Twice,
        Misbehaviour::NeverAsked,
        Misbehaviour::WrongType,
        Misbehaviour::RefusesInit,
        Misbehaviour::Ends,
        Misbehaviour::Dies,
        Misbehaviour::HalfLine,
    ];

    /// The name that the command line knows it by, after `misbehave:`.
    pub fn name(self) -> &'static str {
        match self {
            Misbehaviour::Garbage => "garbage",
            Misbehaviour::BlankLine => "blank-line",
            Misbehaviour::NotAnObject => "not-an-object",
            Misbehaviour::ExtraKey => "extra-key",
            Misbehaviour::ExtraBodyKey => "extra-body-key",
            Misbehaviour::UnknownClient => "unknown-client",
            Misbehaviour::UnknownNode => "unknown-node",
            Misbehaviour::InitClient => "init-client",
            Misbehaviour::WrongSource => "wrong-source",
            Misbehaviour::Twice => "twice",
            Misbehaviour::NeverAsked => "never-asked",
            Misbehaviour::WrongType => "wrong-type",
            Misbehaviour::RefusesInit => "refuses-init",
            Misbehaviour::Ends => "ends",
            Misbehaviour::Dies => "dies",
            Misbehaviour::HalfLine => "half-line",
        }
    }
}

impl Builtin {
    /// The node with this name on the command line.
    pub fn from_name(name: &str) -> Option<Builtin> {
        match name {
            "raft" => Some(Builtin::Raft),
            "null" => Some(Builtin::Null),
            "stale" => Some(Builtin::Stale),
            _ => {
                let name = name.strip_prefix("misbehave:")?;
                let mut all = Misbehaviour::ALL.into_iter();
                all.find(|known| known.name() == name)
                    .map(Builtin::Misbehaving)
            }
        }
    }

    /// Whether one that was killed may come back, since it finds its data.
    pub fn is_durable(self) -> bool {
        match self {
            Builtin::Raft => true,
            Builtin::Null | Builtin::Stale | Builtin::Misbehaving(_) => false,
        }
    }

    /// The arguments with which the bench's own executable becomes this node.
    pub fn arguments(self) -> Vec<OsString> {
        match self {
            Builtin::Raft => vec![RAFT_SUBCOMMAND.into()],
            Builtin::Null | Builtin::Stale | Builtin::Misbehaving(_) => {
                vec![SUBCOMMAND.into(), self.to_string().into()]
            }
        }
    }
}

/// The name that [`Builtin::from_name`] knows.
impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Builtin::Raft => f.write_str("raft"),
            Builtin::Null => f.write_str("null"),
            Builtin::Stale => f.write_str("stale"),
            Builtin::Misbehaving(how) => write!(f, "misbehave:{}", how.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let named = [Builtin::Raft, Builtin::Null, Builtin::Stale].into_iter();
        for builtin in named.chain(Misbehaviour::ALL.map(Builtin::Misbehaving)) {
            assert_eq!(Builtin::from_name(&builtin.to_string()), Some(builtin));
        }
        assert_eq!(Builtin::from_name("misbehave:politely"), None);
        assert_eq!(Builtin::from_name("misbehave"), None);
    }
}
