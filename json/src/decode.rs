//! Decoding: from JSON to types.

use std::borrow::Cow;
use std::collections::{BTreeMap, btree_map};
use std::str::FromStr;
use std::sync::Arc;

use crate::{DEFAULT_DEPTH, Error, ErrorKind, Number, Reader};

/// A type that can be read from JSON. `'a` is the lifetime of the input, for types that borrow from
/// it.
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

    /// The value of a field of this type that the object lacks; `None` if the object must have it.
    fn absent() -> Option<Self> {
        None
    }
}

/// Decodes the one JSON value that `bytes` consists of, nested no deeper than [`DEFAULT_DEPTH`].
pub fn decode<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    decode_with_depth(bytes, DEFAULT_DEPTH)
}

/// Decodes the one JSON value that `bytes` consists of, nested no deeper than `max_depth`, and
/// never deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
pub fn decode_with_depth<'a, T: Decode<'a>>(bytes: &'a [u8], max_depth: usize) -> Result<T, Error> {
    let mut reader = Reader::with_depth(bytes, max_depth);
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
    ($expected:literal, $plain:ident: $($int:ty),*) => {$(
        /// Any number that is an integer in range, even if it is written `1.0` or `1e3`.
        impl<'a> Decode<'a> for $int {
            #[inline]
            fn decode(reader: &mut Reader<'a>) -> Result<$int, Error> {
                match reader.$plain() {
                    Some(value) => Ok(value),
                    None => unusual_integer(reader, $expected),
                }
            }
        }
    )*};
}

decode_integers!("an integer", plain_signed: i64, isize);
decode_integers!("an integer of 32 bits", plain_signed: i32);
decode_integers!("an integer of 16 bits", plain_signed: i16);
decode_integers!("an integer of 8 bits", plain_signed: i8);
decode_integers!("an unsigned integer", plain_unsigned: u64, usize);
decode_integers!("an unsigned integer of 32 bits", plain_unsigned: u32);
decode_integers!("an unsigned integer of 16 bits", plain_unsigned: u16);
decode_integers!("an unsigned integer of 8 bits", plain_unsigned: u8);

/// Decodes an integer that is long or has a point or an exponent, or fails.
#[cold]
fn unusual_integer<T: TryFrom<i128>>(
    reader: &mut Reader<'_>,
    expected: &'static str,
) -> Result<T, Error> {
    let numeral = reader.numeral(expected)?;
    let number = Number::from_numeral(numeral);
    let wide = number.as_i64().map(i128::from);
    wide.or(number.as_u64().map(i128::from))
        .and_then(|wide| T::try_from(wide).ok())
        .ok_or_else(|| reader.out_of_range(expected, numeral.text))
}

const FLOAT: &str = "a number within the range of floats";

/// The nearest float; numbers beyond the range of floats are refused.
impl<'a> Decode<'a> for f64 {
    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<f64, Error> {
        let numeral = reader.numeral(FLOAT)?;
        let value = numeral.to_f64();
        if value.is_infinite() {
            return Err(reader.out_of_range(FLOAT, numeral.text));
        }
        Ok(value)
    }
}

impl<'a> Decode<'a> for Number {
    fn decode(reader: &mut Reader<'a>) -> Result<Number, Error> {
        reader.number()
    }
}

/// Like [`decode`]: the one JSON number that the text consists of.
impl FromStr for Number {
    type Err = Error;

    fn from_str(text: &str) -> Result<Number, Error> {
        decode(text.as_bytes())
    }
}

impl<'a> Decode<'a> for String {
    fn decode(reader: &mut Reader<'a>) -> Result<String, Error> {
        reader.string().map(Cow::into_owned)
    }
}

/// Borrowed from the input unless the string has escapes.
impl<'a> Decode<'a> for Cow<'a, str> {
    fn decode(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Error> {
        reader.string()
    }
}

/// Borrowed from the input; a string with escapes is refused.
impl<'a> Decode<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<&'a str, Error> {
        reader.plain_string()
    }
}

/// `None` for `null`, and for a field that is absent.
impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<T>, Error> {
        if reader.take_null()? {
            return Ok(None);
        }
        T::decode(reader).map(Some)
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

macro_rules! decode_pointers {
    ($($pointer:ident)*) => {$(
        impl<'a, T: Decode<'a>> Decode<'a> for $pointer<T> {
            fn decode(reader: &mut Reader<'a>) -> Result<$pointer<T>, Error> {
                T::decode(reader).map($pointer::new)
            }

            fn absent() -> Option<$pointer<T>> {
                T::absent().map($pointer::new)
            }
        }

    )*};
}

decode_pointers!(Box Arc);

impl<'a, T: Decode<'a>> Decode<'a> for Vec<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Vec<T>, Error> {
        let mut elements = Vec::new();
        let mut more = reader.enter_array()?;
        while more {
            elements.push(T::decode(reader)?);
            more = reader.more_elements()?;
        }
        Ok(elements)
    }
}

/// An array of exactly `N` elements.
impl<'a, T: Decode<'a>, const N: usize> Decode<'a> for [T; N] {
    fn decode(reader: &mut Reader<'a>) -> Result<[T; N], Error> {
        reader.start_token();
        let array = reader.token_offset();
        Vec::decode(reader)?
            .try_into()
            .map_err(|_| reader.error_at(array, ErrorKind::WrongLength { expected: N }))
    }
}

macro_rules! decode_tuples {
    ($($length:literal: $($element:ident)*;)*) => {$(
        /// An array of exactly this many elements.
        impl<'a, $($element: Decode<'a>),*> Decode<'a> for ($($element,)*) {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
                let mut more = reader.enter_array()?;
                let array = reader.token_offset();
                let wrong_length = ErrorKind::WrongLength { expected: $length };
                let tuple = ($(
                    if more {
                        let element = $element::decode(reader)?;
                        more = reader.more_elements()?;
                        element
                    } else {
                        return Err(reader.error_at(array, wrong_length));
                    },
                )*);
                if more {
                    return Err(reader.error_at(array, wrong_length));
                }
                Ok(tuple)
            }
        }
    )*};
}

decode_tuples! {
    2: A B;
    3: A B C;
    4: A B C D;
}

/// An object with any keys; a duplicate key is refused. A key type is made from a `Cow<str>`, like
/// `String` and `Arc<str>`.
impl<'a, K, T> Decode<'a> for BTreeMap<K, T>
where
    K: From<Cow<'a, str>> + AsRef<str> + Ord,
    T: Decode<'a>,
{
    fn decode(reader: &mut Reader<'a>) -> Result<BTreeMap<K, T>, Error> {
        let mut members = BTreeMap::new();
        let mut more = reader.enter_object()?;
        while more {
            match members.entry(K::from(reader.key()?)) {
                btree_map::Entry::Vacant(place) => place.insert(T::decode(reader)?),
                btree_map::Entry::Occupied(before) => {
                    return Err(reader.duplicate_field(before.key().as_ref()));
                }
            };
            more = reader.more_members()?;
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::encode;

    fn message<'a, T: Decode<'a> + Debug>(text: &'a str) -> String {
        decode::<T>(text.as_bytes()).unwrap_err().to_string()
    }

    /// Checks that the text decodes to the value, and the value encodes to the text.
    fn both<'a, T: Decode<'a> + crate::Encode + Debug + PartialEq>(text: &'a str, value: T) {
        assert_eq!(encode(&value), text.as_bytes());
        assert_eq!(decode::<T>(text.as_bytes()), Ok(value));
    }

    macro_rules! integers_keep_to_their_range {
        ($($int:ty)*) => {$(
            both(&<$int>::MIN.to_string(), <$int>::MIN);
            both(&<$int>::MAX.to_string(), <$int>::MAX);
            let above = (i128::from_str(&<$int>::MAX.to_string()).unwrap() + 1).to_string();
            let below = (i128::from_str(&<$int>::MIN.to_string()).unwrap() - 1).to_string();
            for text in [above.as_str(), below.as_str(), "0.5", "1e-1", "1e999999999999999999999", "1e30"] {
                let error = decode::<$int>(text.as_bytes()).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::OutOfRange { .. }), "{text}: {error}");
            }
            for text in ["100", "1e2", "100.0", "1000E-1", "0.1e+3"] {
                assert_eq!(decode::<$int>(text.as_bytes()), Ok(100), "{text}");
            }
            assert_eq!(decode::<$int>(b"-0"), Ok(0));
            assert_eq!(decode::<$int>(format!("{}.0e0", <$int>::MAX).as_bytes()), Ok(<$int>::MAX));
            assert!(decode::<$int>(b"\"1\"").is_err() && decode::<$int>(b"null").is_err());
        )*};
    }

    #[test]
    fn integers_are_decoded_within_their_range() {
        integers_keep_to_their_range!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);
        assert_eq!(
            message::<BTreeMap<String, u8>>(r#"{"size":256}"#),
            "line 1 column 9: at size: expected an unsigned integer of 8 bits, found 256"
        );
    }

    /// Around the lengths at which another function reads integers, at the end of the text or not.
    #[test]
    fn integers_of_every_length_are_decoded() {
        for length in 1..25 {
            let text = "1234567890123456789012345"[..length].to_owned();
            let value: u128 = text.parse().unwrap();
            let negative = i64::try_from(-(value as i128)).ok();
            assert_eq!(decode(format!("-{text}").as_bytes()).ok(), negative);
            assert_eq!(decode::<u64>(text.as_bytes()).ok(), value.try_into().ok());
            let list = format!("[{text} ,{text}.0e0,{text}]");
            let fits = u64::try_from(value).ok();
            assert_eq!(
                decode::<[u64; 3]>(list.as_bytes()).ok(),
                fits.map(|value| [value; 3])
            );
            assert!(decode::<u64>(format!("0{text}").as_bytes()).is_err());
            assert!(decode::<i64>(format!("-0{text}").as_bytes()).is_err());
            assert!(decode::<[u64; 1]>(format!("[0{text}         ]").as_bytes()).is_err());
        }
        assert_eq!(decode::<i64>(b"-0"), Ok(0));
        for text in ["-", "+1", "", ".5", "- 1", "--1", "1.", "1e", "0x1"] {
            assert!(decode::<i64>(text.as_bytes()).is_err(), "{text}");
            assert!(decode::<[i64; 1]>(format!("[{text}            ]").as_bytes()).is_err());
        }
    }

    #[test]
    fn scalars_are_decoded_and_encoded() {
        both("true", true);
        both("0.1", 0.1_f64);
        both("\"a\\n\"", String::from("a\n"));
        both("\"a\"", "a");
        both("\"a\"", Cow::Borrowed("a"));
        both("1e400", "1e400".parse::<Number>().unwrap());
        assert_eq!(decode::<f64>(b"7"), Ok(7.0));
        assert_eq!(
            message::<f64>("-1e400"),
            "line 1 column 1: expected a number within the range of floats, found -1e400"
        );
        assert_eq!(
            message::<f64>("null"),
            "line 1 column 1: expected a number within the range of floats, found null"
        );
        assert_eq!(
            message::<bool>("0"),
            "line 1 column 1: expected a boolean, found a number"
        );
        assert_eq!(
            message::<String>("{}"),
            "line 1 column 1: expected a string, found an object"
        );
        assert_eq!(
            message::<&str>(r#""\u0061""#),
            "line 1 column 1: expected a string without escapes"
        );
        assert!(
            matches!(decode::<Cow<'_, str>>(br#""\u0061""#), Ok(Cow::Owned(text)) if text == "a")
        );
    }

    #[test]
    fn pointers_and_options_are_transparent() {
        both("[1,null]", vec![Some(1), None]);
        both("1", Box::new(Arc::new(1)));
        assert_eq!(encode(&&&1), b"1");
        assert_eq!(
            Box::<Arc<Option<u8>>>::absent(),
            Some(Box::new(Arc::new(None)))
        );
        assert_eq!(Box::<Arc<u8>>::absent(), None);
    }

    #[test]
    fn arrays_and_tuples_check_their_length() {
        both("[]", Vec::<u8>::new());
        both("[1,2]", [1, 2]);
        both("[]", [0_u8; 0]);
        assert_eq!(encode(&(1,)), b"[1]");
        both("[1,\"a\"]", (1, "a"));
        both("[1,\"a\",[true]]", (1, "a", vec![true]));
        both("[1,\"a\",null,4.5]", (1, "a", None::<u8>, 4.5));
        for text in ["[1]", "[1,2,3]", "[]"] {
            assert_eq!(
                message::<[u8; 2]>(text),
                "line 1 column 1: expected an array of 2 elements"
            );
            assert_eq!(
                message::<(u8, u8)>(text),
                "line 1 column 1: expected an array of 2 elements"
            );
        }
        assert_eq!(
            message::<Vec<(u8, u8)>>("[[1,2],[1]]"),
            "line 1 column 8: at [1]: expected an array of 2 elements"
        );
        assert_eq!(
            message::<Vec<u8>>("{}"),
            "line 1 column 1: expected an array, found an object"
        );
    }

    #[test]
    fn maps_refuse_duplicate_keys() {
        both(
            r#"{"a":1,"b":2}"#,
            BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]),
        );
        both(r#"{"a":1}"#, BTreeMap::from([(Cow::Borrowed("a"), 1)]));
        both("{}", BTreeMap::<String, u8>::new());
        assert_eq!(
            message::<BTreeMap<Box<str>, u8>>(r#"{"a":1,"a":2}"#),
            "line 1 column 8: duplicate field \"a\""
        );
        assert_eq!(
            message::<BTreeMap<String, u8>>("{\"a\":1,\n\"\\u0061\":2}"),
            "line 2 column 1: duplicate field \"a\""
        );
    }

    #[test]
    fn text_after_the_value_is_refused() {
        assert_eq!(decode::<u8>(b" 1 \n"), Ok(1));
        assert_eq!(
            message::<u8>("1 1"),
            "line 1 column 3: unexpected text after the value"
        );
        assert_eq!(
            message::<Vec<u8>>("[1],"),
            "line 1 column 4: unexpected text after the value"
        );
    }
}
