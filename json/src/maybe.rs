//! Fields that may be absent, and fields that may be `null`.

use crate::{Decode, Encode, Error, Reader, Writer};

/// A field that may be absent, where `null` is a value like any other.
///
/// An `Option` field reads an absent field and a present `null` both as `None`, so `Option<Value>`
/// loses a `null`. `Maybe<Value>` keeps it, and `Maybe<Option<T>>` tells all three cases apart.
///
/// ```
/// use json::{Maybe, Value};
/// json::record! {
///     #[derive(Debug, PartialEq)]
///     struct Update { value: Maybe<Value> }
/// }
/// assert_eq!(json::decode(b"{}"), Ok(Update { value: Maybe::Absent }));
/// assert_eq!(json::decode(br#"{"value":null}"#), Ok(Update { value: Maybe::Present(Value::Null) }));
/// assert_eq!(json::to_string(&Update { value: Maybe::Absent }), "{}");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Maybe<T> {
    /// The field is not there. Outside a record, where nothing can be left out, it is written as
    /// `null`.
    #[default]
    Absent,
    /// The field is there, with this value.
    Present(T),
}

impl<T> Maybe<T> {
    /// The value, if the field is there.
    pub fn as_ref(&self) -> Option<&T> {
        match self {
            Maybe::Absent => None,
            Maybe::Present(value) => Some(value),
        }
    }

    /// The value, if the field is there.
    pub fn into_option(self) -> Option<T> {
        match self {
            Maybe::Absent => None,
            Maybe::Present(value) => Some(value),
        }
    }
}

impl<T> From<Option<T>> for Maybe<T> {
    fn from(option: Option<T>) -> Maybe<T> {
        option.map_or(Maybe::Absent, Maybe::Present)
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Maybe<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Maybe<T>, Error> {
        T::decode(reader).map(Maybe::Present)
    }

    fn absent() -> Option<Maybe<T>> {
        Some(Maybe::Absent)
    }
}

impl<T: Encode> Encode for Maybe<T> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Maybe::Absent => writer.null(),
            Maybe::Present(value) => value.encode(writer),
        }
    }

    fn is_absent(&self) -> bool {
        match self {
            Maybe::Absent => true,
            Maybe::Present(_) => false,
        }
    }
}
