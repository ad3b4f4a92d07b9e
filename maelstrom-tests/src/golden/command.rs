//! What a line of a script asks for.

use std::str::{FromStr, SplitWhitespace};

use raft::wire;
use raft_core::{Ballot, Config, Envelope, Limits, NodeId, Term};

use crate::replica::machine::{Change, Key, Registers};

/// A line of a script.
#[derive(Debug)]
pub(super) enum Command {
    Cluster {
        size: u64,
        config: Config,
    },
    Node {
        id: NodeId,
        ballot: Ballot,
        log: Vec<Term>,
    },
    Tick {
        nodes: Nodes,
        times: u64,
    },
    Run {
        times: u64,
    },
    Campaign(NodeId),
    Write(NodeId, Key, Change),
    Read(NodeId, Key),
    Deliver(Which),
    Settle,
    Drop(Which),
    Duplicate(Which),
    Spoil(Which),
    Hold(Which),
    Release(Which),
    Cut(NodeId, NodeId),
    Isolate(NodeId),
    Heal,
    Crash(NodeId),
    Start(NodeId),
    Restart(NodeId),
    Stall(NodeId),
    Sync(NodeId),
    Unstall(NodeId),
    Busy(NodeId),
    Work(NodeId),
    Free(NodeId),
    Forget(NodeId),
    Gather(NodeId),
    Flush(NodeId),
    Status(Nodes),
    Log(Nodes),
    Flight,
}

/// One node or all.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nodes {
    All,
    One(NodeId),
}

/// Which messages are meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Which {
    pub(super) pick: Pick,
    from: Option<NodeId>,
    to: Option<NodeId>,
    kind: Option<String>,
}

/// How many of those that fit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Pick {
    #[default]
    All,
    First,
    Last,
    /// Counted from 1.
    Nth(usize),
}

impl Which {
    pub(super) fn fits(&self, envelope: &Envelope<Registers>) -> bool {
        self.from.is_none_or(|from| from == envelope.from)
            && self.to.is_none_or(|to| to == envelope.to)
            && (self.kind.as_deref()).is_none_or(|kind| kind == envelope.message.kind())
    }

    fn parse(words: &mut SplitWhitespace<'_>) -> Result<Self, String> {
        let mut which = Self::default();
        for word in words {
            if let Some((from, to)) = word.split_once("->") {
                let end = |end: &str| (!end.is_empty()).then(|| node(end)).transpose();
                (which.from, which.to) = (end(from)?, end(to)?);
            } else if word == "first" {
                which.pick = Pick::First;
            } else if let Some(place) = word.strip_prefix('#') {
                which.pick = Pick::Nth(number(place)?);
            } else if word == "last" {
                which.pick = Pick::Last;
            } else if wire::KINDS.contains(&word) {
                which.kind = Some(word.into());
            } else {
                return Err(format!("{word:?} says nothing about a message"));
            }
        }
        Ok(which)
    }
}

impl Command {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let name = next(&mut words)?;
        let words = &mut words;
        let command = match name {
            "cluster" => Self::Cluster {
                size: number(next(words)?)?,
                config: config(words)?,
            },
            "node" => {
                let id = node(next(words)?)?;
                let (mut term, mut vote, mut log) = (Term(0), None, Vec::new());
                for word in words.by_ref() {
                    match setting(word)? {
                        ("term", value) => term = Term(number(value)?),
                        ("vote", value) => vote = Some(node(value)?),
                        ("log", value) => {
                            let terms = value.split(',').map(|term| number(term).map(Term));
                            log = terms.collect::<Result<_, _>>()?;
                        }
                        (other, _) => return Err(format!("a node has no {other:?}")),
                    }
                }
                let ballot = Ballot::new(term, vote);
                Self::Node { id, ballot, log }
            }
            "tick" => Self::Tick {
                nodes: nodes(Some(next(words)?))?,
                times: words.next().map_or(Ok(1), number)?,
            },
            "run" => Self::Run {
                times: number(next(words)?)?,
            },
            "campaign" => Self::Campaign(node(next(words)?)?),
            "write" => {
                let id = node(next(words)?)?;
                let (name, value) = setting(next(words)?)?;
                Self::Write(id, key(name)?, Change::Write(number(value)?))
            }
            "cas" => {
                let id = node(next(words)?)?;
                let word = next(words)?;
                let parts = word.split_once(':');
                let parts = parts.and_then(|(k, values)| Some((k, values.split_once("->")?)));
                let (name, (from, to)) = parts.ok_or(format!("{word:?} is not like x:1->2"))?;
                let (from, to) = (number(from)?, number(to)?);
                Self::Write(id, key(name)?, Change::Cas { from, to })
            }
            "read" => Self::Read(node(next(words)?)?, key(next(words)?)?),
            "deliver" => Self::Deliver(Which::parse(words)?),
            "settle" => Self::Settle,
            "drop" => Self::Drop(Which::parse(words)?),
            "duplicate" => Self::Duplicate(Which::parse(words)?),
            "spoil" => Self::Spoil(Which::parse(words)?),
            "hold" => Self::Hold(Which::parse(words)?),
            "release" => Self::Release(Which::parse(words)?),
            "cut" => Self::Cut(node(next(words)?)?, node(next(words)?)?),
            "isolate" => Self::Isolate(node(next(words)?)?),
            "heal" => Self::Heal,
            "crash" => Self::Crash(node(next(words)?)?),
            "start" => Self::Start(node(next(words)?)?),
            "restart" => Self::Restart(node(next(words)?)?),
            "stall" => Self::Stall(node(next(words)?)?),
            "sync" => Self::Sync(node(next(words)?)?),
            "unstall" => Self::Unstall(node(next(words)?)?),
            "busy" => Self::Busy(node(next(words)?)?),
            "work" => Self::Work(node(next(words)?)?),
            "free" => Self::Free(node(next(words)?)?),
            "forget" => Self::Forget(node(next(words)?)?),
            "gather" => Self::Gather(node(next(words)?)?),
            "flush" => Self::Flush(node(next(words)?)?),
            "status" => Self::Status(nodes(words.next())?),
            "log" => Self::Log(nodes(words.next())?),
            "flight" => Self::Flight,
            other => return Err(format!("there is no command {other:?}")),
        };
        match words.next() {
            None => Ok(command),
            Some(word) => Err(format!("{word:?} is too much")),
        }
    }
}

fn config(words: &mut SplitWhitespace<'_>) -> Result<Config, String> {
    let mut config = Config {
        heartbeat: 3,
        shortest_election: 10,
        longest_election: 10,
        limits: Limits::default(),
    };
    for word in words {
        let (name, value) = setting(word)?;
        let limits = &mut config.limits;
        match name {
            "heartbeat" => config.heartbeat = number(value)?,
            "election" => {
                let (shortest, longest) = value.split_once("..").unwrap_or((value, value));
                config.shortest_election = number(shortest)?;
                config.longest_election = number(longest)?;
            }
            "window" => limits.inflight_appends = number(value)?,
            "batch" => limits.append_entries = number(value)?,
            "early" => limits.early_appends = number(value)?,
            "rounds" => limits.rounds = number(value)?,
            "requests" => limits.requests = number(value)?,
            "proposals" => limits.proposals = number(value)?,
            "uncommitted" => limits.uncommitted_bytes = number(value)?,
            "snapshot" => limits.snapshot_entries = number(value)?,
            "trailing" => limits.trailing_entries = number(value)?,
            "retained" => limits.retained_entries = number(value)?,
            "chunk" => limits.chunk_bytes = number(value)?,
            "longest" => limits.snapshot_bytes_max = number(value)?,
            other => return Err(format!("a cluster has no {other:?}")),
        }
    }
    config.validate().map(|()| config)
}

fn next<'a>(words: &mut SplitWhitespace<'a>) -> Result<&'a str, String> {
    words.next().ok_or("something is missing".into())
}

fn setting(word: &str) -> Result<(&str, &str), String> {
    word.split_once('=')
        .ok_or(format!("{word:?} is not like name=value"))
}

fn number<N: FromStr>(word: &str) -> Result<N, String> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

fn node(word: &str) -> Result<NodeId, String> {
    let number = word.strip_prefix('n').and_then(|n| n.parse().ok());
    number.map(NodeId).ok_or(format!("{word:?} is no node"))
}

fn nodes(word: Option<&str>) -> Result<Nodes, String> {
    match word {
        None | Some("all") => Ok(Nodes::All),
        Some(word) => node(word).map(Nodes::One),
    }
}

fn key(word: &str) -> Result<Key, String> {
    word.parse()
        .map(Key)
        .map_err(|_| format!("{word:?} is not a register's name: one letter"))
}
