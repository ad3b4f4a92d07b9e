//! The state machine of the simulated cluster: the product's, with an id for each command, so that
//! a command that enters the log twice is noticed.

use std::fmt;
use std::io::{self, Write};

use json::Encode;
use raft::host::Image;
use raft::kv::{self, Key, Kv, Text};
use raft::sessions::{self, Inner, Sessions};
use raft_core::StateMachine;

use crate::rules::{CommandId, Subject};

/// The longest value that is printed.
const VALUE_CHARACTERS_MAX: usize = 24;

/// The product's machine, with sessions. Its bounds are small, so that they are reached.
pub(super) type Store = Sessions<Values>;

/// A command of that machine.
pub(super) type Numbered = sessions::Command<Command>;

/// The key-value machine, and how many commands it has applied: so a command that is applied twice
/// changes the state, whatever it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Values {
    kv: Kv,
    applied: u64,
}

/// An outcome of that machine.
pub(super) type Outcome = sessions::Outcome<kv::Outcome>;

json::record! {
    /// A change with an id. As JSON it is an object, which sessions demand.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub(super) struct Command {
        /// The number of its [`CommandId`].
        pub(super) id: u64,
        /// The product's command.
        pub(super) change: kv::Command,
    }
}

impl StateMachine for Values {
    type Command = Command;
    type Outcome = kv::Outcome;
    type Query = Key;
    type Answer = Option<Text>;

    fn apply(&mut self, command: &Command) -> kv::Outcome {
        self.applied += 1;
        self.kv.apply(&command.change)
    }

    fn answer(&self, key: &Key) -> Option<Text> {
        self.kv.get(key).cloned()
    }

    fn size(command: &Command) -> usize {
        Kv::size(&command.change)
    }
}

impl Inner for Values {
    const LIMITS: sessions::Limits = sessions::Limits {
        sessions: 7,
        answers: 64,
        bytes: 20_000,
    };

    fn outcome_size(outcome: &kv::Outcome) -> usize {
        Kv::outcome_size(outcome)
    }
}

impl Subject for Store {
    fn id(command: &Numbered) -> Option<CommandId> {
        match command {
            Numbered::Plain(command) | Numbered::Do { command, .. } => Some(CommandId(command.id)),
            Numbered::Open | Numbered::Close(_) => None,
        }
    }

    fn is_unknown(outcome: &Outcome) -> bool {
        *outcome == Outcome::Unknown
    }

    fn holds_same(&self, other: &Self) -> bool {
        self.machine() == other.machine()
    }

    fn describe_outcome(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Done(kv::Outcome::Written | kv::Outcome::Swapped | kv::Outcome::Deleted) => {
                "done".to_owned()
            }
            Outcome::Done(kv::Outcome::Missing) => "absent".to_owned(),
            Outcome::Done(kv::Outcome::Mismatch { found }) => format!("differs: {}", text(found)),
            Outcome::Opened(session) => format!("session {}", session.0),
            Outcome::Closed => "closed".to_owned(),
            Outcome::Unknown => "unknown, not remembered".to_owned(),
        }
    }
}

/// The number of applied commands, and a line after it the product's image.
impl Image for Values {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.applied)?;
        self.kv.write(out)
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (applied, image) = bytes.split_at(end.ok_or("no number of commands")?);
        let applied = json::decode(applied).map_err(|error| error.to_string())?;
        let kv = Kv::read(&image[1..])?;
        Ok(Self { kv, applied })
    }
}

/// As in golden scripts: `key=value` is a write, `key:from->to` a compare-and-set; `key=` is a delete.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            kv::Command::Write { key, value } => write!(f, "{}={}", text(key), text(value)),
            kv::Command::Cas { key, from, to, .. } => {
                write!(f, "{}:{}->{}", text(key), text(from), text(to))
            }
            kv::Command::Delete { key } => write!(f, "{}=", text(key)),
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
