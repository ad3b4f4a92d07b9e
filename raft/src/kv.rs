//! The state machine of the lin-kv workload: a map from any JSON to any JSON.
//!
//! Keys are equal when they denote the same value: `1`, `1.0` and `10e-1` are one key, and so are
//! two objects with the same members in another order. A value is read as it was written.
//!
//! The log, the map and the waiting answers share a value by pointer, so a thousand reads of a
//! large value cost a thousand pointers. The map is shared, too: its clone, from which a snapshot
//! is written while the machine continues, is one pointer.

mod image;
mod map;

use std::io;
use std::sync::Arc;

use json::Value;
use raft_core::StateMachine;

use self::map::Map;
use crate::host::Image;

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
            key: Value,
            /// The new value.
            value: Arc<Value>,
        },
        /// Sets the value of a key to `to` if it is `from` (compare and set).
        Cas as "cas" {
            /// The key.
            key: Value,
            /// The expected value.
            from: Value,
            /// The new value.
            to: Arc<Value>,
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
            /// The current value.
            found: Arc<Value>,
        },
    }
}

/// A query for the value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// The key.
    pub key: Value,
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
    type Answer = Option<Arc<Value>>;

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
                Some(found) if **found == *from => {
                    self.values.insert(key, to.clone());
                    Outcome::Swapped
                }
                Some(found) => Outcome::Mismatch {
                    found: found.clone(),
                },
                None if *create_if_not_exists => {
                    self.values.insert(key, to.clone());
                    Outcome::Swapped
                }
                None => Outcome::Missing,
            },
        }
    }

    fn answer(&self, Lookup { key }: &Lookup) -> Option<Arc<Value>> {
        self.values.get(key).cloned()
    }

    fn size(command: &Command) -> usize {
        /// The braces, the names of the fields and the colons.
        const FRAME: usize = 64;
        FRAME
            + match command {
                Command::Write { key, value } => size(key) + size(value),
                Command::Cas {
                    key,
                    from,
                    to,
                    create_if_not_exists: _,
                } => size(key) + size(from) + size(to),
            }
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

/// The approximate length of a value as JSON. Recurses as deep as the value nests.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        // Most numbers are integers, and a look at one is cheap.
        Value::Number(number) if number.as_i64().is_some() => 8,
        Value::Number(number) => number.to_string().len(),
        Value::String(string) => string.len() + 2,
        Value::Array(elements) => 2 + elements.iter().map(|e| size(e) + 1).sum::<usize>(),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| key.len() + 4 + size(value);
            2 + members.iter().map(member).sum::<usize>()
        }
    }
}

/// The approximate size of a value in memory, which may be a hundred times that of its text.
pub(crate) fn memory(value: &Value) -> usize {
    /// The size of a B-tree node, which has room for 11 members and holds at least 5 unless it is
    /// the root.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
    let content = match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) if number.as_i64().is_some() => 0,
        Value::Number(number) => number.to_string().len(),
        Value::String(string) => string.len(),
        Value::Array(elements) => elements.iter().map(memory).sum(),
        Value::Object(members) => {
            let content = |(key, value): (&String, &Value)| {
                // The value itself is inside the node.
                key.len() + memory(value) - size_of::<Value>()
            };
            members.len().div_ceil(5) * NODE + members.iter().map(content).sum::<usize>()
        }
    };
    size_of::<Value>() + content
}

#[cfg(test)]
mod tests {
    use json::value;

    use super::*;

    fn write(key: Value, value: Value) -> Command {
        let value = value.into();
        Command::Write { key, value }
    }

    fn cas(key: Value, from: Value, to: Value, create_if_not_exists: bool) -> Command {
        Command::Cas {
            key,
            from,
            to: to.into(),
            create_if_not_exists,
        }
    }

    fn read(kv: &Kv, key: Value) -> Option<Value> {
        kv.answer(&Lookup { key }).map(Arc::unwrap_or_clone)
    }

    #[test]
    fn written_value_is_read() {
        let mut kv = Kv::default();
        assert_eq!(read(&kv, value!(1)), None);
        assert_eq!(kv.apply(&write(value!(1), value!(null))), Outcome::Written);
        assert_eq!(read(&kv, value!(1)), Some(value!(null)));
        assert_eq!(
            kv.apply(&write(value!(1), value!({"a": []}))),
            Outcome::Written
        );
        assert_eq!(read(&kv, value!(1)), Some(value!({"a": []})));
        assert_eq!(read(&kv, value!("1")), None);
    }

    #[test]
    fn cas_compares_and_sets() {
        let mut kv = Kv::default();
        let key = value!(["k"]);
        let missing = kv.apply(&cas(key.clone(), value!(1), value!(2), false));
        assert_eq!(missing, Outcome::Missing);
        assert_eq!(read(&kv, key.clone()), None);

        let created = kv.apply(&cas(key.clone(), value!(1), value!(2), true));
        assert_eq!(created, Outcome::Swapped);
        assert_eq!(read(&kv, key.clone()), Some(value!(2)));

        let mismatch = kv.apply(&cas(key.clone(), value!(1), value!(3), true));
        assert_eq!(
            mismatch,
            Outcome::Mismatch {
                found: value!(2).into()
            }
        );
        assert_eq!(read(&kv, key.clone()), Some(value!(2)));

        let swapped = kv.apply(&cas(key.clone(), value!(2.0), value!(3), false));
        assert_eq!(swapped, Outcome::Swapped);
        assert_eq!(read(&kv, key), Some(value!(3)));
    }

    #[test]
    fn values_are_never_copied() {
        let mut kv = Kv::default();
        let value = Arc::new(value!("large"));
        kv.apply(&Command::Write {
            key: value!(1),
            value: value.clone(),
        });
        let answer = kv.answer(&Lookup { key: value!(1) }).unwrap();
        assert!(Arc::ptr_eq(&answer, &value));
        match kv.apply(&cas(value!(1), value!(2), value!(3), false)) {
            Outcome::Mismatch { found } => assert!(Arc::ptr_eq(&found, &value)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_json_values_are_one_key() {
        let mut kv = Kv::default();
        let key = |text: &str| json::decode::<Value>(text.as_bytes()).unwrap();
        kv.apply(&write(key("10e-1"), value!("number")));
        kv.apply(&write(key(r#"{"a": 1, "b": 2}"#), value!("object")));
        assert_eq!(read(&kv, key("1")), Some(value!("number")));
        assert_eq!(
            read(&kv, key(r#"{"b": 2.0, "a": 1}"#)),
            Some(value!("object"))
        );
    }

    #[test]
    fn size_in_memory_exceeds_the_text() {
        let one = memory(&value!({"": 0}));
        assert!(one > 11 * 2 * size_of::<String>(), "{one}");
        let many = Value::Array(vec![value!({"": 0}); 1000]);
        assert!(memory(&many) >= 1000 * one);
        assert!(memory(&Value::from("x".repeat(1 << 20))) < (1 << 20) + 100);
        assert!(memory(&value!([1, null, [2.5, {}], true])) >= 7 * size_of::<Value>());
    }

    #[test]
    fn size_is_close_to_the_text() {
        for text in [
            r#"{"type":"write","key":"k","value":null}"#,
            r#"{"type":"write","key":{"a":[true,false,"x"]},"value":123456789012345678901234567890}"#,
            r#"{"type":"cas","key":1,"from":[[[[[[]]]]]],"to":-1.5e-300}"#,
        ] {
            let size = Kv::size(&json::decode(text.as_bytes()).unwrap());
            assert!(
                size >= text.len() - 10 && size <= text.len() + 100,
                "{size}: {text}"
            );
        }
    }
}
