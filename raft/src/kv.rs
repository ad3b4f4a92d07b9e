//! The state machine of the lin-kv workload: a map from any JSON to any JSON.
//!
//! Keys and values are parsed once, on the thread that reads them, and kept as bytes: a [`Key`] in a
//! form that compares like its value, a value as compact [`Text`]. So both take about as much memory
//! as on the wire, and the event loop parses nothing.
//!
//! The log, the map and the waiting answers share a value by pointer, so a thousand reads of a
//! large value cost a thousand pointers. The map is shared, too: its clone, from which a snapshot
//! is written while the machine continues, is one pointer.

mod image;
mod key;
mod map;
mod text;

use std::io;

use raft_core::StateMachine;

pub use self::key::Key;
use self::map::Map;
pub use self::text::Text;
use crate::host::Image;
use crate::sessions::Inner;

/// The map. Its clone is one pointer; later writes copy a few nodes of 32 pointers each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kv {
    values: Map,
}

json::record! {
    /// A command that changes the map.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub enum Command tagged "type" {
        /// Sets the value of a key.
        Write as "write" {
            /// The key.
            key: Key,
            /// The new value.
            value: Text,
        },
        /// Sets the value of a key to `to` if it is `from` (compare and set).
        Cas as "cas" {
            /// The key.
            key: Key,
            /// The expected value.
            from: Text,
            /// The new value.
            to: Text,
            /// Whether to set it, too, if the key has no value.
            create_if_not_exists: bool = false,
        },
    }
}

json::record! {
    /// The outcome of a command.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub enum Outcome tagged "type" {
        /// The value was written.
        Written as "written",
        /// The value was compared and set.
        Swapped as "swapped",
        /// The key has no value. Nothing was changed.
        Missing as "missing",
        /// The key has another value. Nothing was changed.
        Mismatch as "mismatch" {
            /// The current value; the [beginning](Text::excerpt) of a large one, so that a small
            /// request does not make a large message.
            found: Text,
        },
    }
}

/// The most characters of a value in an [`Outcome::Mismatch`].
const EXCERPT: usize = 200;

/// The share of an allocation that its user does not see: reference counts, and what the allocator
/// adds.
const ALLOCATION: usize = 32;

/// A query for the value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// The key.
    pub key: Key,
}

impl Kv {
    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl StateMachine for Kv {
    type Command = Command;
    type Outcome = Outcome;
    type Query = Lookup;
    type Answer = Option<Text>;

    fn apply(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Write { key, value } => {
                self.values.insert(key, value.clone());
                Outcome::Written
            }
            Command::Cas {
                key,
                from,
                to,
                create_if_not_exists,
            } => match self.values.get(key) {
                Some(found) if found.is_same_value(from) => {
                    self.values.insert(key, to.clone());
                    Outcome::Swapped
                }
                Some(found) => Outcome::Mismatch {
                    found: found.excerpt(EXCERPT),
                },
                None if *create_if_not_exists => {
                    self.values.insert(key, to.clone());
                    Outcome::Swapped
                }
                None => Outcome::Missing,
            },
        }
    }

    fn answer(&self, Lookup { key }: &Lookup) -> Option<Text> {
        self.values.get(key).cloned()
    }

    fn size(command: &Command) -> usize {
        let content = match command {
            Command::Write { key, value } => key.size() + value.size(),
            Command::Cas {
                key,
                from,
                to,
                create_if_not_exists: _,
            } => key.size() + from.size() + to.size(),
        };
        ALLOCATION + size_of::<Command>() + content
    }
}

impl Image for Kv {
    type Error = String;

    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        image::write(&self.values, out)
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        image::read(bytes).map(|values| Self { values })
    }
}

impl Inner for Kv {
    fn outcome_size(outcome: &Outcome) -> usize {
        let content = match outcome {
            Outcome::Written | Outcome::Swapped | Outcome::Missing => 0,
            Outcome::Mismatch { found } => found.size(),
        };
        size_of::<Outcome>() + content
    }
}

#[cfg(test)]
mod tests;
