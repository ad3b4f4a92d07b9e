//! From JSON to types.

use crate::number::parse_float;
use crate::{DEFAULT_DEPTH, Error, ErrorKind, Kind, Number, Reader};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A type that can be read from JSON; `'a` is how long the input lives, for types that borrow from it.
///
/// [`record!`](crate::record) implements it for structs and enums. By hand it looks like this:
///
/// ```
/// use json::{Decode, Error, Reader};
///
/// struct Even(u64);
///
/// impl<'a> Decode<'a> for Even {
///     fn decode(reader: &mut Reader<'a>) -> Result<Even, Error> {
///         let number = u64::decode(reader)?;
///         if number % 2 == 1 {
///             return Err(reader.custom_error("expected an even number"));
///         }
///         Ok(Even(number))
///     }
/// }
///
/// let error = json::decode::<Vec<Even>>(b"[2, 3]").err().unwrap();
/// assert_eq!(error.to_string(), "line 1 column 5: at [1]: expected an even number");
/// ```
pub trait Decode<'a>: Sized {
    /// Reads exactly one value.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error>;

    /// What a field of this type is when the object lacks it; `None` if the object must have it.
    fn absent() -> Option<Self> {
        None
    }
}

/// Decodes the one JSON value that `bytes` consists of, nested no deeper than [`DEFAULT_DEPTH`].
pub fn decode<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    decode_with_depth(bytes, DEFAULT_DEPTH)
}

/// Decodes the one JSON value that `bytes` consists of, nested no deeper than `max_depth`, which is cut down
/// to [`MAX_DEPTH`](crate::MAX_DEPTH).
pub fn decode_with_depth<'a, T: Decode<'a>>(bytes: &'a [u8], max_depth: usize) -> Result<T, Error> {
    let mut reader = Reader::with_depth(bytes, max_depth)?;
    let value = T::decode(&mut reader)?;
    reader.end()?;
    Ok(value)
}

impl<'a> Decode<'a> for bool {
    fn decode(reader: &mut Reader<'a>) -> Result<bool, Error> {
        reader.bool()
    }
}

macro_rules! decode_integers {
    ($expected:literal, $as_wide:ident: $($int:ty),*) => {$(
        /// Any number that is an integer in range, also if it is written `1.0` or `1e3`.
        impl<'a> Decode<'a> for $int {
            fn decode(reader: &mut Reader<'a>) -> Result<$int, Error> {
                let text = reader.number_text($expected)?;
                if let Ok(value) = text.parse() {
                    return Ok(value);
                }
                Number::from_text(text)
                    .$as_wide()
                    .and_then(|wide| <$int>::try_from(wide).ok())
                    .ok_or_else(|| reader.error(ErrorKind::OutOfRange { expected: $expected }))
            }
        }
    )*};
}

decode_integers!("an integer", as_i64: i64, isize);
decode_integers!("an integer of 32 bits", as_i64: i32);
decode_integers!("an integer of 16 bits", as_i64: i16);
decode_integers!("an integer of 8 bits", as_i64: i8);
decode_integers!("an unsigned integer", as_u64: u64, usize);
decode_integers!("an unsigned integer of 32 bits", as_u64: u32);
decode_integers!("an unsigned integer of 16 bits", as_u64: u16);
decode_integers!("an unsigned integer of 8 bits", as_u64: u8);

/// The nearest float; numbers too large for any are refused.
impl<'a> Decode<'a> for f64 {
    fn decode(reader: &mut Reader<'a>) -> Result<f64, Error> {
        const EXPECTED: &str = "a number that a float can hold";
        let value = parse_float(reader.number_text(EXPECTED)?);
        if value.is_infinite() {
            return Err(reader.error(ErrorKind::OutOfRange { expected: EXPECTED }));
        }
        Ok(value)
    }
}

impl<'a> Decode<'a> for Number {
    fn decode(reader: &mut Reader<'a>) -> Result<Number, Error> {
        reader.number()
    }
}

impl<'a> Decode<'a> for String {
    fn decode(reader: &mut Reader<'a>) -> Result<String, Error> {
        reader.string().map(Cow::into_owned)
    }
}

/// Borrowed from the input unless there are escapes in it.
impl<'a> Decode<'a> for Cow<'a, str> {
    fn decode(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Error> {
        reader.string()
    }
}

/// Borrowed from the input; a string with escapes is refused.
impl<'a> Decode<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<&'a str, Error> {
        match reader.string()? {
            Cow::Borrowed(string) => Ok(string),
            Cow::Owned(_) => Err(reader.error(ErrorKind::EscapedString)),
        }
    }
}

/// `None` for `null`, and for a field that is absent.
impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<T>, Error> {
        if reader.peek()? == Kind::Null {
            reader.null()?;
            return Ok(None);
        }
        T::decode(reader).map(Some)
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Box<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Box<T>, Error> {
        T::decode(reader).map(Box::new)
    }

    fn absent() -> Option<Box<T>> {
        T::absent().map(Box::new)
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Arc<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Arc<T>, Error> {
        T::decode(reader).map(Arc::new)
    }

    fn absent() -> Option<Arc<T>> {
        T::absent().map(Arc::new)
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Vec<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Vec<T>, Error> {
        let mut elements = Vec::new();
        reader.begin_array()?;
        while reader.next_element()? {
            elements.push(T::decode(reader)?);
        }
        Ok(elements)
    }
}

/// An array of exactly `N` elements.
impl<'a, T: Decode<'a>, const N: usize> Decode<'a> for [T; N] {
    fn decode(reader: &mut Reader<'a>) -> Result<[T; N], Error> {
        reader.begin_array()?;
        let array = reader.token_offset();
        let wrong_length = ErrorKind::WrongLength { expected: N };
        let mut elements = Vec::with_capacity(N);
        while reader.next_element()? {
            if elements.len() == N {
                return Err(reader.error_at(array, wrong_length));
            }
            elements.push(T::decode(reader)?);
        }
        elements
            .try_into()
            .map_err(|_| reader.error_at(array, wrong_length))
    }
}

macro_rules! decode_tuples {
    ($($length:literal: $($element:ident)*;)*) => {$(
        /// An array of exactly that many elements.
        impl<'a, $($element: Decode<'a>),*> Decode<'a> for ($($element,)*) {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
                reader.begin_array()?;
                let array = reader.token_offset();
                let wrong_length = ErrorKind::WrongLength { expected: $length };
                let tuple = ($(
                    if reader.next_element()? {
                        $element::decode(reader)?
                    } else {
                        return Err(reader.error_at(array, wrong_length));
                    },
                )*);
                if reader.next_element()? {
                    return Err(reader.error_at(array, wrong_length));
                }
                Ok(tuple)
            }
        }
    )*};
}

decode_tuples! {
    1: A;
    2: A B;
    3: A B C;
    4: A B C D;
}

/// An object with whatever keys; a duplicate key is refused.
impl<'a, T: Decode<'a>> Decode<'a> for BTreeMap<String, T> {
    fn decode(reader: &mut Reader<'a>) -> Result<BTreeMap<String, T>, Error> {
        let mut members = BTreeMap::new();
        reader.begin_object()?;
        while let Some(key) = reader.next_key()? {
            if members.contains_key(&*key) {
                return Err(reader.duplicate_field(&key));
            }
            let value = T::decode(reader)?;
            members.insert(key.into_owned(), value);
        }
        Ok(members)
    }
}
