//! The words of a script's line.

use std::collections::BTreeSet;
use std::str::{FromStr, SplitWhitespace};
use std::sync::Arc;

use raft::sessions::SessionId;
use raft::wire;
use raft_core::{Ballot, Config, Envelope, Limits, NodeId, Term};

use crate::replica::machine::{Change, Key, Number, Registers};

/// The words of a line that are not read yet.
#[derive(Debug)]
pub(super) struct Words<'a>(SplitWhitespace<'a>);

/// Selects messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Which {
    pub(super) pick: Pick,
    from: Option<NodeId>,
    to: Option<NodeId>,
    kind: Option<String>,
}

/// How many of the messages that fit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Pick {
    #[default]
    All,
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
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self(line.split_whitespace())
    }

    /// The next word. There must be one.
    pub(super) fn next(&mut self) -> Result<&'a str, String> {
        self.0.next().ok_or_else(|| "a word is missing".into())
    }

    /// There must be no further word.
    pub(super) fn end(&mut self) -> Result<(), String> {
        match self.0.next() {
            None => Ok(()),
            Some(word) => Err(format!("unexpected word {word:?}")),
        }
    }

    pub(super) fn number<N: FromStr>(&mut self) -> Result<N, String> {
        number(self.next()?)
    }

    /// How often something happens: once, unless the line says otherwise.
    pub(super) fn times(&mut self) -> Result<u64, String> {
        self.0.next().map_or(Ok(1), number)
    }

    pub(super) fn node(&mut self) -> Result<NodeId, String> {
        node(self.next()?)
    }

    pub(super) fn optional_node(&mut self) -> Result<Option<NodeId>, String> {
        self.0.next().map(node).transpose()
    }

    /// A node, or nothing for `all`, which is the default.
    pub(super) fn nodes(&mut self) -> Result<Option<NodeId>, String> {
        let word = self.0.next().filter(|word| *word != "all");
        word.map(node).transpose()
    }

    pub(super) fn key(&mut self) -> Result<Key, String> {
        key(self.next()?)
    }

    /// `x=1`
    pub(super) fn write(&mut self) -> Result<(Key, Change), String> {
        let (name, value) = setting(self.next()?)?;
        Ok((key(name)?, Change::Write(number(value)?)))
    }

    /// `x:1->2`
    pub(super) fn cas(&mut self) -> Result<(Key, Change), String> {
        let word = self.next()?;
        let parts = word.split_once(':');
        let parts = parts.and_then(|(key, values)| Some((key, values.split_once("->")?)));
        let (name, (from, to)) = parts.ok_or_else(|| format!("{word:?} is not like x:1->2"))?;
        let (from, to) = (number(from)?, number(to)?);
        Ok((key(name)?, Change::Cas { from, to }))
    }

    /// A command's session and number, `s1.7`, and the lowest number whose outcome the client wants,
    /// `from 5`, if there are any.
    pub(super) fn sequence(&mut self) -> Result<Option<Number>, String> {
        let Some(word) = self.0.next() else {
            return Ok(None);
        };
        let parts = word.strip_prefix('s').and_then(|w| w.split_once('.'));
        let (session, sequence) = parts.ok_or_else(|| format!("{word:?} is not like s1.7"))?;
        let acknowledged = match self.0.next() {
            None => 0,
            Some("from") => self.number()?,
            Some(word) => return Err(format!("unexpected word {word:?}")),
        };
        Ok(Some(Number {
            session: SessionId(number(session)?),
            sequence: number(sequence)?,
            acknowledged,
        }))
    }

    /// The addresses to add, and the nodes to remove.
    pub(super) fn change(&mut self) -> Result<(Vec<Arc<str>>, BTreeSet<NodeId>), String> {
        let (mut add, mut remove) = (Vec::new(), BTreeSet::new());
        for word in self.0.by_ref() {
            match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(address), _) => add.push(address.into()),
                (None, Some(gone)) => drop(remove.insert(node(gone)?)),
                (None, None) => return Err(format!("{word:?} is not like +n4 or -n2")),
            }
        }
        Ok((add, remove))
    }

    pub(super) fn which(&mut self) -> Result<Which, String> {
        let mut which = Which::default();
        for word in self.0.by_ref() {
            if let Some((from, to)) = word.split_once("->") {
                let end = |end: &str| (!end.is_empty()).then(|| node(end)).transpose();
                (which.from, which.to) = (end(from)?, end(to)?);
            } else if word == "first" {
                which.pick = Pick::Nth(1);
            } else if let Some(place) = word.strip_prefix('#') {
                which.pick = Pick::Nth(number(place)?);
            } else if word == "last" {
                which.pick = Pick::Last;
            } else if wire::KINDS.contains(&word) {
                which.kind = Some(word.into());
            } else {
                return Err(format!("{word:?} selects no messages"));
            }
        }
        Ok(which)
    }

    /// A ballot and the terms of a log.
    pub(super) fn stored(&mut self) -> Result<(Ballot, Vec<Term>), String> {
        let (mut term, mut vote, mut log) = (Term(0), None, Vec::new());
        for word in self.0.by_ref() {
            match setting(word)? {
                ("term", value) => term = Term(number(value)?),
                ("vote", value) => vote = Some(node(value)?),
                ("log", value) => {
                    let terms = value.split(',').map(|term| number(term).map(Term));
                    log = terms.collect::<Result<_, _>>()?;
                }
                (other, _) => return Err(format!("a node has no setting {other:?}")),
            }
        }
        Ok((Ballot::new(term, vote), log))
    }

    pub(super) fn config(&mut self) -> Result<Config, String> {
        let mut config = Config {
            heartbeat: 3,
            shortest_election: 10,
            longest_election: 10,
            request_deadline: 20,
            change_deadline: 100,
            limits: Limits {
                // Most stories need no window.
                inflight_chunks: 1,
                ..Limits::default()
            },
        };
        for word in self.0.by_ref() {
            let (name, value) = setting(word)?;
            let limits = &mut config.limits;
            match name {
                "heartbeat" => config.heartbeat = number(value)?,
                "election" => {
                    let (shortest, longest) = value.split_once("..").unwrap_or((value, value));
                    config.shortest_election = number(shortest)?;
                    config.longest_election = number(longest)?;
                    config.request_deadline = 2 * config.longest_election;
                }
                "change" => config.change_deadline = number(value)?,
                "window" => limits.inflight_appends = number(value)?,
                "batch" => limits.append_entries = number(value)?,
                "early" => limits.early_appends = number(value)?,
                "rounds" => limits.rounds = number(value)?,
                "requests" => limits.requests = number(value)?,
                "proposals" => limits.proposals = number(value)?,
                "uncommitted" => limits.uncommitted_bytes = number(value)?,
                "unsynced" => limits.unsynced_bytes = number(value)?,
                "snapshot" => limits.snapshot_entries = number(value)?,
                "trailing" => limits.trailing_entries = number(value)?,
                "retained" => limits.retained_entries = number(value)?,
                "log" => limits.log_entries = number(value)?,
                "reads" => limits.reads = number(value)?,
                "apply" => limits.apply_entries = number(value)?,
                "chunk" => limits.chunk_bytes = number(value)?,
                "chunks" => limits.inflight_chunks = number(value)?,
                "longest" => limits.snapshot_bytes_max = number(value)?,
                other => return Err(format!("a cluster has no setting {other:?}")),
            }
        }
        config.validate().map(|()| config)
    }
}

fn setting(word: &str) -> Result<(&str, &str), String> {
    word.split_once('=')
        .ok_or_else(|| format!("{word:?} is not like name=value"))
}

fn number<N: FromStr>(word: &str) -> Result<N, String> {
    word.parse()
        .map_err(|_| format!("{word:?} is not a number"))
}

fn node(word: &str) -> Result<NodeId, String> {
    let number = word.strip_prefix('n').and_then(|n| n.parse().ok());
    number
        .map(NodeId)
        .ok_or_else(|| format!("{word:?} is not a node, as in n1"))
}

fn key(word: &str) -> Result<Key, String> {
    let letter = word.parse();
    letter
        .map_err(|_| format!("{word:?} is not a register: one letter"))
        .map(Key)
}
