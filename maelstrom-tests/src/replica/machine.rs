//! The state machine of the test clusters: a few registers that hold small numbers.

use std::collections::BTreeMap;
use std::fmt;

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
}

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

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The change was made.
    Done,
    /// A cas found no value.
    Absent,
    /// A cas found another value.
    Differs,
}

/// The registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Registers(BTreeMap<Key, u8>);

impl Registers {
    /// The registers with a value, in order.
    pub fn values(&self) -> impl Iterator<Item = (Key, u8)> + '_ {
        self.0.iter().map(|(key, value)| (*key, *value))
    }
}

impl From<BTreeMap<Key, u8>> for Registers {
    fn from(values: BTreeMap<Key, u8>) -> Self {
        Self(values)
    }
}

impl StateMachine for Registers {
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
            let outcome = registers.apply(&Command { id, key, change });
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
