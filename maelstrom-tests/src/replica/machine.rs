//! The state machine of the test clusters: a few registers that hold small numbers, with sessions.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use raft::host::Image;
use raft::sessions::{self, Inner, Limits, SessionId, Sessions};
use raft_core::StateMachine;

use crate::rules::{CommandId, Subject};

/// A register's name: one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub char);

/// What changes a register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// The register.
    pub key: Key,
    /// The change.
    pub change: Change,
    /// Its session and number there. Without them it is applied each time that it comes into the log.
    pub number: Option<Number>,
}

/// A command's place in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    /// The session: one of [`SESSIONS`], which are open from the start.
    pub session: SessionId,
    /// The command's number.
    pub sequence: u64,
    /// The client wants no outcomes of numbers below this one.
    pub acknowledged: u64,
}

/// The number of open sessions, the first of which is 1.
pub const SESSIONS: u64 = 2;

/// A change of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Writes a value.
    Write(u8),
    /// Writes `to` if the register holds `from`.
    Cas {
        /// The expected value.
        from: u8,
        /// The new value.
        to: u8,
    },
}

json::record! {
    /// The outcome of a command.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Outcome tagged "type" {
        /// The change was made.
        Done as "done",
        /// A cas found no value.
        Absent as "absent",
        /// A cas found another value.
        Differs as "differs",
        /// The session does not remember the command.
        Forgotten as "forgotten",
    }
}

/// The registers and the sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registers(Sessions<Values>);

/// The registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Values(BTreeMap<Key, u8>);

impl Registers {
    /// These registers, with sessions that were never used.
    fn with(values: Values) -> Self {
        let mut sessions = Sessions::new(values);
        for _ in 0..SESSIONS {
            sessions.apply(&sessions::Command::Open);
        }
        Self(sessions)
    }

    /// Writes registers, and sessions once one was used.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let values = self.0.machine();
        match *self == Self::with(values.clone()) {
            true => values.write(out),
            false => self.0.write(out),
        }
    }

    /// Reads what was written.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        match bytes.starts_with(b"{") {
            true => Sessions::read(bytes).map(Self),
            false => Values::read(bytes).map(Self::with),
        }
    }
}

impl Default for Registers {
    fn default() -> Self {
        Self::with(Values::default())
    }
}

impl Image for Values {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let word = |(key, value)| format!("{key}={value}");
        let words: Vec<String> = self.0.iter().map(word).collect();
        write!(out, "{}", words.join(" "))
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let value = |word: &str| {
            let (key, value) = word.split_once('=')?;
            Some((Key(key.parse().ok()?), value.parse().ok()?))
        };
        let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let values: Option<_> = text.split_whitespace().map(value).collect();
        let error = || format!("not registers: {text:?}");
        values.map(Self).ok_or_else(error)
    }
}

impl Inner for Values {
    const LIMITS: Limits = Limits {
        sessions: SESSIONS as usize,
        answers: 2,
        bytes: 100,
    };

    fn outcome_size(_: &Outcome) -> usize {
        1
    }
}

impl StateMachine for Registers {
    type Command = Command;
    type Outcome = Outcome;
    type Query = Key;
    type Answer = Option<u8>;

    fn apply(&mut self, command: &Command) -> Outcome {
        let inner = command.clone();
        let outcome = self.0.apply(&match command.number {
            None => sessions::Command::Plain(inner),
            Some(Number {
                session,
                sequence,
                acknowledged,
            }) => sessions::Command::Do {
                session,
                sequence,
                acknowledged,
                command: inner,
            },
        });
        match outcome {
            sessions::Outcome::Done(outcome) => outcome,
            other => {
                assert_eq!(other, sessions::Outcome::Unknown, "nothing is opened");
                Outcome::Forgotten
            }
        }
    }

    fn answer(&self, key: &Key) -> Option<u8> {
        self.0.answer(key)
    }

    fn size(command: &Command) -> usize {
        Values::size(command)
    }
}

impl StateMachine for Values {
    type Command = Command;
    type Outcome = Outcome;
    type Query = Key;
    type Answer = Option<u8>;

    fn apply(&mut self, command: &Command) -> Outcome {
        match (command.change, self.0.get(&command.key).copied()) {
            (Change::Write(value), _) => {
                self.0.insert(command.key, value);
                Outcome::Done
            }
            (Change::Cas { .. }, None) => Outcome::Absent,
            (Change::Cas { from, to }, Some(held)) => {
                if held == from {
                    self.0.insert(command.key, to);
                    Outcome::Done
                } else {
                    Outcome::Differs
                }
            }
        }
    }

    fn answer(&self, key: &Key) -> Option<u8> {
        self.0.get(key).copied()
    }

    fn size(_: &Command) -> usize {
        /// The size of a small JSON object.
        const BYTES: usize = 48;
        BYTES
    }
}

impl Subject for Registers {
    fn id(command: &Command) -> Option<CommandId> {
        Some(command.id)
    }

    fn is_unknown(outcome: &Outcome) -> bool {
        *outcome == Outcome::Forgotten
    }

    fn holds_same(&self, other: &Self) -> bool {
        self.0.machine() == other.0.machine()
    }

    fn describe_outcome(outcome: &Outcome) -> String {
        format!("{outcome:?}").to_lowercase()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Number {
            session, sequence, ..
        }) = self.number
        {
            write!(f, "s{}.{sequence} ", session.0)?;
        }
        match self.change {
            Change::Write(value) => write!(f, "{}={value}", self.key),
            Change::Cas { from, to } => write!(f, "{}:{from}->{to}", self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cas_needs_the_expected_value() {
        let mut registers = Registers::default();
        let mut apply = |change| {
            let (id, key) = (CommandId(0), Key('x'));
            let number = None;
            let outcome = registers.apply(&Command {
                id,
                key,
                change,
                number,
            });
            (outcome, registers.answer(&key))
        };
        assert_eq!(
            apply(Change::Cas { from: 0, to: 1 }),
            (Outcome::Absent, None)
        );
        assert_eq!(apply(Change::Write(3)), (Outcome::Done, Some(3)));
        assert_eq!(
            apply(Change::Cas { from: 0, to: 1 }),
            (Outcome::Differs, Some(3))
        );
        assert_eq!(
            apply(Change::Cas { from: 3, to: 1 }),
            (Outcome::Done, Some(1))
        );
    }
}
