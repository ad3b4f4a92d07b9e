//! The state machine of the lin-kv workload: a map from any JSON to any JSON.
//!
//! Keys are equal when they denote the same value: `1`, `1.0` and `10e-1` are one key, and so are
//! two objects with the same members in another order. What a client wrote is read back as it was
//! written.
//!
//! A value is shared by all who hold it: the log, the map, and the answers that wait to be written.
//! A thousand reads of a large value cost a thousand pointers. So is the map itself: a copy of it,
//! from which a snapshot is written while the machine goes on, is one pointer, however many keys
//! there are.

mod image;
mod map;

use std::sync::Arc;

use json::Value;
use raft_core::StateMachine;

pub use self::image::ImageError;
use self::map::Map;

/// The map. Its copy is one pointer; what either of the two changes afterwards is copied then, a
/// few nodes of 32 pointers for each write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kv {
    values: Map,
}

json::record! {
    /// What changes the map.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub enum Command tagged "type" {
        /// Puts a value under a key, whether or not there is one.
        Write as "write" {
            /// Where.
            key: Value,
            /// What.
            value: Arc<Value>,
        },
        /// Puts `to` under a key if `from` stands there (compare and set).
        Cas as "cas" {
            /// Where.
            key: Value,
            /// What must stand there.
            from: Value,
            /// What will.
            to: Arc<Value>,
            /// Whether to put it there too if nothing stands there.
            create_if_not_exists: bool = false,
        },
    }
}

json::record! {
    /// What a command came to.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub enum Outcome tagged "type" {
        /// The value was written.
        Written as "written",
        /// The value was compared and set.
        Swapped as "swapped",
        /// There is nothing under the key. Nothing was changed.
        Missing as "missing",
        /// There is something else under the key. Nothing was changed.
        Mismatch as "mismatch" {
            /// What it is.
            found: Arc<Value>,
        },
    }
}

/// Looks a key up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// Where.
    pub key: Value,
}

impl Kv {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no key.
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

/// Roughly how many bytes a value takes as JSON. Recurses as deep as the value nests, as all that
/// is done with values does.
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

/// Roughly how many bytes a value holds in memory, which may be a hundred times what its text does.
pub(crate) fn memory(value: &Value) -> usize {
    /// What a node of a B-tree takes, which has room for 11 members and has 5 at least, if it is
    /// not the only one.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
    let content = match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) if number.as_i64().is_some() => 0,
        Value::Number(number) => number.to_string().len(),
        Value::String(string) => string.len(),
        Value::Array(elements) => elements.iter().map(memory).sum(),
        Value::Object(members) => {
            let content = |(key, value): (&String, &Value)| {
                // The value itself lies in the node.
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
    fn what_is_written_is_read() {
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
    fn a_value_is_compared_and_set() {
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
    fn a_value_is_never_copied() {
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
    fn keys_are_what_they_denote() {
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
    fn memory_is_more_than_text() {
        let one = memory(&value!({"": 0}));
        assert!(one > 11 * 2 * size_of::<String>(), "{one}");
        let many = Value::Array(vec![value!({"": 0}); 1000]);
        assert!(memory(&many) >= 1000 * one);
        assert!(memory(&Value::from("x".repeat(1 << 20))) < (1 << 20) + 100);
        assert!(memory(&value!([1, null, [2.5, {}], true])) >= 7 * size_of::<Value>());
    }

    #[test]
    fn a_size_is_close_to_that_of_the_text() {
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
