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

/// The map. Its clone is one pointer; later writes copy a few nodes of 32 pairs each.
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
        /// Removes a key and its value.
        Delete as "delete" {
            /// The key.
            key: Key,
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
        /// The key was removed.
        Deleted as "deleted",
    }
}

/// The most characters of a value in an [`Outcome::Mismatch`].
const EXCERPT: usize = 200;

/// The share of an allocation that its user does not see: reference counts, and what the allocator
/// adds.
const ALLOCATION: usize = 32;

/// The most keys of one [`Query::Keys`].
pub const KEYS_MAX: usize = 1_000;

/// The most bytes of the keys of one [`Query::Keys`], unless the first has more. As JSON they are
/// shorter than the longest line of a client.
const KEYS_BYTES_MAX: usize = 128 << 10;

/// A query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// The value of a key.
    Value(Key),
    /// The keys in their order: numbers, strings and so on, as [`json::Value`] orders them.
    Keys {
        /// Only strings that begin so.
        prefix: Option<String>,
        /// Only keys above this one.
        after: Option<Key>,
        /// At most this many.
        limit: usize,
    },
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The value, if the key exists.
    Value(Option<Text>),
    /// The first of the keys.
    Keys {
        /// In ascending order.
        keys: Vec<Key>,
        /// Whether there are more.
        more: bool,
    },
}

impl Query {
    /// About how many bytes of memory the query takes and, for keys, how many it stands for: so few
    /// of them share a turn of the event loop, which looks at each key.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Value(key) => key.size(),
            Self::Keys {
                prefix,
                after,
                limit,
            } => {
                let prefix = prefix.as_ref().map_or(0, String::len);
                prefix + after.as_ref().map_or(0, Key::size) + (limit << 10)
            }
        }
    }
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

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Text> {
        self.values.get(key)
    }

    /// Looks at the keys that it returns, and at one more.
    fn keys(&self, prefix: Option<&str>, after: Option<&Key>, limit: usize) -> Answer {
        let prefix = prefix.map(Key::prefix).unwrap_or_default();
        // No key is between these bytes and those of `after`.
        let above = after.map(|key| [key.as_bytes(), &[0]].concat());
        let from = above.unwrap_or_default().max(prefix.clone());
        let (mut keys, mut bytes) = (Vec::new(), 0);
        for (key, _) in self.values.range(&from) {
            if !key.as_bytes().starts_with(&prefix) {
                break;
            }
            bytes += key.as_bytes().len();
            if keys.len() == limit || !keys.is_empty() && bytes > KEYS_BYTES_MAX {
                return Answer::Keys { keys, more: true };
            }
            keys.push(key.clone());
        }
        Answer::Keys { keys, more: false }
    }
}

impl StateMachine for Kv {
    type Command = Command;
    type Outcome = Outcome;
    type Query = Query;
    type Answer = Answer;

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
                Some(found) if !found.is_same_value(from) => Outcome::Mismatch {
                    found: found.excerpt(EXCERPT),
                },
                None if !create_if_not_exists => Outcome::Missing,
                Some(_) | None => {
                    self.values.insert(key, to.clone());
                    Outcome::Swapped
                }
            },
            Command::Delete { key } => match self.values.remove(key) {
                true => Outcome::Deleted,
                false => Outcome::Missing,
            },
        }
    }

    fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Value(key) => Answer::Value(self.get(key).cloned()),
            Query::Keys {
                prefix,
                after,
                limit,
            } => self.keys(prefix.as_deref(), after.as_ref(), *limit),
        }
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
            Command::Delete { key } => key.size(),
        };
        ALLOCATION + size_of::<Command>() + content
    }
}

impl Image for Kv {
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
            Outcome::Written | Outcome::Swapped | Outcome::Deleted | Outcome::Missing => 0,
            Outcome::Mismatch { found } => found.size(),
        };
        size_of::<Outcome>() + content
    }
}

#[cfg(test)]
mod tests;
