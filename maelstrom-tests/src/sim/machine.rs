//! The state machine of the simulated cluster: the product's, with an id for each command, so that
//! a command that enters the log twice is noticed.

use std::fmt;
use std::io::{self, Write};

use json::{Decode, Encode, Error, Reader, Writer};
use raft::host::Image;
use raft::kv::{self, Kv, Lookup, Text};
use raft_core::StateMachine;

use crate::rules::{CommandId, Subject};

/// The longest value that is printed.
const VALUE_CHARACTERS_MAX: usize = 24;

/// The key-value machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Store(Kv);

/// A change with an id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Command {
    /// Its id.
    pub(super) id: CommandId,
    /// The product's command.
    pub(super) change: kv::Command,
}

/// Encodes the id, then the change.
impl Encode for Command {
    fn encode(&self, writer: &mut Writer<'_>) {
        (self.id.0, &self.change).encode(writer);
    }
}

impl<'a> Decode<'a> for Command {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let (id, change) = <(u64, kv::Command)>::decode(reader)?;
        let id = CommandId(id);
        Ok(Self { id, change })
    }
}

impl StateMachine for Store {
    type Command = Command;
    type Outcome = kv::Outcome;
    type Query = Lookup;
    type Answer = Option<Text>;

    fn apply(&mut self, command: &Command) -> kv::Outcome {
        self.0.apply(&command.change)
    }

    fn answer(&self, query: &Lookup) -> Option<Text> {
        self.0.answer(query)
    }

    fn size(command: &Command) -> usize {
        Kv::size(&command.change)
    }
}

impl Subject for Store {
    fn id(command: &Command) -> CommandId {
        command.id
    }

    fn describe_outcome(outcome: &kv::Outcome) -> String {
        match outcome {
            kv::Outcome::Written | kv::Outcome::Swapped => "done".to_owned(),
            kv::Outcome::Missing => "absent".to_owned(),
            kv::Outcome::Mismatch { found } => format!("differs: {}", text(found)),
        }
    }
}

impl Image for Store {
    type Error = String;

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.write(out)
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        Kv::read(bytes).map(Self)
    }
}

/// As in golden scripts: `key=value` is a write, `key:from->to` a compare-and-set.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            kv::Command::Write { key, value } => write!(f, "{}={}", text(key), text(value)),
            kv::Command::Cas { key, from, to, .. } => {
                write!(f, "{}:{}->{}", text(key), text(from), text(to))
            }
        }
    }
}

/// A value as text, shortened.
fn text(value: &impl Encode) -> String {
    cut(&json::to_string(value), VALUE_CHARACTERS_MAX)
}

/// The first characters of a text.
pub(super) fn cut(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
