//! Any JSON value, owned.

use std::collections::{BTreeMap, btree_map};
use std::fmt::{self, Display, Formatter};
use std::mem;
use std::ops::Index;

use crate::{Decode, Encode, Error, Kind, Number, Reader, Writer};

/// Any JSON value.
///
/// Equality, order and hash are by value and agree with each other: numbers as [`Number`] defines
/// it, objects without regard to the order of members. The kinds are ordered null, booleans,
/// numbers, strings, arrays, objects. If an object of the text has a key twice, the last one wins.
/// Displayed as compact JSON.
///
/// Dropping, cloning, comparing and writing recurse as deep as the value nests. Decoding limits
/// that to [`MAX_DEPTH`](crate::MAX_DEPTH), which fits any stack; a program that builds values
/// should stay below it, too. In memory a value takes up to a hundred times the length of its text
/// (many tiny objects do).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(BTreeMap<String, Value>),
}

impl Value {
    /// The kind of this value.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Number(_) => Kind::Number,
            Value::String(_) => Kind::String,
            Value::Array(_) => Kind::Array,
            Value::Object(_) => Kind::Object,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The integer, if this is one and it fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// The integer, if this is one and it fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    /// The float nearest to the number, if this is a number within the range of floats.
    pub fn as_f64(&self) -> Option<f64> {
        Some(self.as_number()?.to_f64()).filter(|value| value.is_finite())
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(string) => Some(string),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The elements, mutable, if this is an array.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members, mutable, if this is an object.
    pub fn as_object_mut(&mut self) -> Option<&mut BTreeMap<String, Value>> {
        match self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member of this name, if this is an object with such a member.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.as_object()?.get(name)
    }

    /// The element at `index`, if this is an array with such an element.
    pub fn at(&self, index: usize) -> Option<&Value> {
        self.as_array()?.get(index)
    }

    /// The elements of an array; none for other kinds.
    pub fn elements(&self) -> std::slice::Iter<'_, Value> {
        self.as_array().unwrap_or_default().iter()
    }

    /// The members of an object, ordered by name; none for other kinds.
    pub fn members(&self) -> btree_map::Iter<'_, String, Value> {
        static NONE: BTreeMap<String, Value> = BTreeMap::new();
        self.as_object().unwrap_or(&NONE).iter()
    }

    /// Takes the value out and leaves `null` in its place.
    pub fn take(&mut self) -> Value {
        mem::replace(self, Value::Null)
    }
}

/// The result of indexing with a missing name or index.
static NULL: Value = Value::Null;

/// `value["name"]`: the member of this name; `null` if there is none, or this is not an object.
///
/// ```
/// let value = json::value!({"list": [{"x": 1}]});
/// assert_eq!(value["list"][0]["x"], json::value!(1));
/// assert!(value["no"]["such"][7].is_null());
/// ```
impl Index<&str> for Value {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.field(name).unwrap_or(&NULL)
    }
}

/// `value[0]`: the element at this index; `null` if there is none, or this is not an array.
impl Index<usize> for Value {
    type Output = Value;

    fn index(&self, index: usize) -> &Value {
        self.at(index).unwrap_or(&NULL)
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::to_string(self))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

macro_rules! from_integers {
    ($($int:ty as $wide:ty),*) => {$(
        impl From<$int> for Value {
            fn from(value: $int) -> Value {
                Value::Number(Number::from(value as $wide))
            }
        }
    )*};
}

from_integers!(i8 as i64, i16 as i64, i32 as i64, i64 as i64, isize as i64);
from_integers!(u8 as u64, u16 as u64, u32 as u64, u64 as u64, usize as u64);

impl From<f64> for Value {
    /// `null` for NaN and the infinities, which JSON does not have.
    fn from(value: f64) -> Value {
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

impl From<Number> for Value {
    fn from(value: Number) -> Value {
        Value::Number(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(value: Vec<T>) -> Value {
        value.into_iter().collect()
    }
}

/// `null` for `None`.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, T::into)
    }
}

/// Collects an array.
impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Value {
        Value::Array(elements.into_iter().map(T::into).collect())
    }
}

/// Collects an object; of members with the same name the last one wins.
impl<K: Into<String>, T: Into<Value>> FromIterator<(K, T)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, T)>>(members: I) -> Value {
        let owned = |(name, value): (K, T)| (name.into(), value.into());
        Value::Object(members.into_iter().map(owned).collect())
    }
}

impl<'a> Decode<'a> for Value {
    fn decode(reader: &mut Reader<'a>) -> Result<Value, Error> {
        // The arrays and objects around the next value, outermost first, and its key.
        let mut around: Vec<(Value, String)> = Vec::new();
        loop {
            let (value, mut more) = match reader.peek()? {
                Kind::Null => (reader.null().map(|()| Value::Null)?, false),
                Kind::Bool => (Value::Bool(reader.bool()?), false),
                Kind::Number => (Value::Number(reader.number()?), false),
                Kind::String => (Value::String(reader.string()?.into_owned()), false),
                Kind::Array => (Value::Array(Vec::new()), reader.enter_array()?),
                Kind::Object => (Value::Object(BTreeMap::new()), reader.enter_object()?),
            };
            around.push((value, String::new()));
            // Add it to the array or object around it, and so on for each that this completes.
            while !more {
                let (value, _) = around.pop().expect("it was pushed");
                more = match around.last_mut() {
                    None => return Ok(value),
                    Some((Value::Array(elements), _)) => {
                        elements.push(value);
                        reader.more_elements()?
                    }
                    Some((Value::Object(members), key)) => {
                        members.insert(mem::take(key), value);
                        reader.more_members()?
                    }
                    Some(_) => unreachable!("only arrays and objects contain values"),
                };
            }
            if let Some((Value::Object(_), key)) = around.last_mut() {
                *key = reader.key()?.into_owned();
            }
        }
    }
}

impl Encode for Value {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Value::Null => writer.null(),
            Value::Bool(value) => writer.bool(*value),
            Value::Number(number) => writer.number(number),
            Value::String(string) => writer.string(string),
            Value::Array(elements) => elements.encode(writer),
            Value::Object(members) => members.encode(writer),
        }
    }
}

/// Makes a [`Value`] from JSON-like syntax.
///
/// Elements and members are `null`, arrays, objects, or any expression that converts into a
/// `Value`. Keys are expressions that convert into a `String`.
///
/// ```
/// let name = "x";
/// let value = json::value!({"type": "write", "key": name, "list": [1, -2.5, null, [true, 1 + 2]], "none": {}});
/// assert_eq!(value.to_string(), r#"{"key":"x","list":[1,-2.5,null,[true,3]],"none":{},"type":"write"}"#);
/// ```
#[macro_export]
macro_rules! value {
    (null) => {
        $crate::Value::Null
    };
    ([ $($elements:tt)* ]) => {
        $crate::__elements!([] $($elements)*)
    };
    ({ $($members:tt)* }) => {{
        #[allow(unused_mut, reason = "not mutated if there are no members")]
        let mut members = ::std::collections::BTreeMap::<::std::string::String, $crate::Value>::new();
        $crate::__members!(members $($members)*);
        $crate::Value::Object(members)
    }};
    ($other:expr) => {
        $crate::Value::from($other)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __elements {
    ([$($done:expr),*]) => { $crate::Value::Array(::std::vec![$($done),*]) };
    // `null`, an array, an object, or another expression of one token.
    ([$($done:expr),*] $next:tt $(, $($rest:tt)*)?) => {
        $crate::__elements!([$($done,)* $crate::value!($next)] $($($rest)*)?)
    };
    ([$($done:expr),*] $next:expr $(, $($rest:tt)*)?) => {
        $crate::__elements!([$($done,)* $crate::value!($next)] $($($rest)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __members {
    ($members:ident) => {};
    ($members:ident $key:tt : $next:tt $(, $($rest:tt)*)?) => {
        $members.insert(::std::string::String::from($key), $crate::value!($next));
        $crate::__members!($members $($($rest)*)?);
    };
    ($members:ident $key:tt : $next:expr $(, $($rest:tt)*)?) => {
        $members.insert(::std::string::String::from($key), $crate::value!($next));
        $crate::__members!($members $($($rest)*)?);
    };
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;
    use crate::{MAX_DEPTH, decode};

    #[test]
    fn macro_makes_the_value_of_the_same_text() {
        let key = String::from("computed");
        let made = value!({
            "null": null,
            "list": [1, -2, 2.5, "s", true, null, [], {}, [[1]], {"a": {"b": null}}, 1 + 2],
            key: vec![value!(1)],
            ("x".to_owned() + "y"): u64::MAX,
            "nan": f64::NAN,
        });
        let text = r#"{"null":null,"list":[1,-2,2.5,"s",true,null,[],{},[[1]],{"a":{"b":null}},3],
            "computed":[1],"xy":18446744073709551615,"nan":null}"#;
        assert_eq!(decode(text.as_bytes()), Ok(made));
        assert_eq!(value!(null), Value::Null);
        assert_eq!(value!([1, 2,]).to_string(), "[1,2]");
        assert_eq!(value!("x").to_string(), "\"x\"");
    }

    #[test]
    fn equality_ignores_member_order_and_notation() {
        let a: Value = decode(br#"{"a":1,"b":[10e-1,"\u0061"]}"#).unwrap();
        let b: Value = decode(br#"{"b":[1.0,"a"],"a":1}"#).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.cmp(&b), std::cmp::Ordering::Equal);
        let hasher = RandomState::new();
        assert_eq!(hasher.hash_one(&a), hasher.hash_one(&b));
        assert_ne!(a, decode(br#"{"b":["a",1],"a":1}"#).unwrap());
    }

    #[test]
    fn kinds_are_ordered() {
        let ascending = [
            value!(null),
            value!(false),
            value!(true),
            value!(-1),
            value!(0.5),
            value!(""),
            value!([]),
            value!({}),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn values_are_indexed_and_changed() {
        let mut value = value!({"a": [{"b": "x"}, 2.5], "": 1, "m~n/": 2});
        assert_eq!(value["a"][0]["b"].as_str(), Some("x"));
        assert_eq!(value["a"][1].as_f64(), Some(2.5));
        assert_eq!(value["a"][2], Value::Null);
        assert_eq!(value["a"]["0"], Value::Null);
        assert_eq!(value["b"][0]["c"], Value::Null);
        let elements = value
            .as_object_mut()
            .and_then(|members| members.get_mut("a"));
        let elements = elements.and_then(Value::as_array_mut).unwrap();
        elements[1] = value!([]);
        elements.push(value!(true));
        assert_eq!(elements[0].take(), value!({"b": "x"}));
        value.as_object_mut().unwrap().remove("");
        assert_eq!(value, value!({"a": [null, [], true], "m~n/": 2}));
    }

    #[test]
    fn values_are_collected_and_walked() {
        let array: Value = (1..4).collect();
        assert_eq!(array, value!([1, 2, 3]));
        assert_eq!(array.elements().filter_map(Value::as_i64).sum::<i64>(), 6);
        let object: Value = [("b", Some(1)), ("a", None), ("b", Some(2))]
            .into_iter()
            .collect();
        assert_eq!(object, value!({"a": null, "b": 2}));
        let names: Vec<&String> = object.members().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!((array.members().len(), object.elements().len()), (0, 0));
    }

    #[test]
    fn accessors_return_none_for_other_kinds() {
        let value = value!({"n": -1, "u": 1.0, "s": "x", "a": [1], "b": true, "z": null});
        assert_eq!(value.field("n").and_then(Value::as_i64), Some(-1));
        assert_eq!(value.field("n").and_then(Value::as_u64), None);
        assert_eq!(value.field("u").and_then(Value::as_u64), Some(1));
        assert_eq!(value.field("s").and_then(Value::as_str), Some("x"));
        assert_eq!(
            value.field("a").and_then(Value::as_array),
            Some(&[value!(1)][..])
        );
        assert_eq!(value.field("b").and_then(Value::as_bool), Some(true));
        assert!(value.field("z").is_some_and(Value::is_null));
        assert_eq!(value.field("none"), None);
        assert_eq!(value.as_object().map(BTreeMap::len), Some(6));
        let string = value.field("s").unwrap();
        assert!(
            string.as_i64().is_none() && string.as_array().is_none() && string.field("s").is_none()
        );
        assert!(string.as_object().is_none() && string.as_bool().is_none() && !string.is_null());
        assert!(value.as_str().is_none() && value.as_number().is_none());
    }

    #[test]
    fn value_of_the_maximum_depth_is_safe_to_use() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}1{}", open.repeat(MAX_DEPTH), close.repeat(MAX_DEPTH));
            let value: Value = crate::decode_with_depth(text.as_bytes(), MAX_DEPTH).unwrap();
            let clone = value.clone();
            assert!(value == clone && value <= clone);
            let hasher = RandomState::new();
            assert_eq!(hasher.hash_one(&value), hasher.hash_one(&clone));
            assert_eq!(value.to_string(), text);
        }
    }
}
