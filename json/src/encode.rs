//! Encoding: from types to JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Number, Writer};

/// A type that can be written as JSON. [`record!`](crate::record) implements it for structs and
/// enums.
pub trait Encode {
    /// Writes exactly one value.
    fn encode(&self, writer: &mut Writer<'_>);

    /// Whether a record omits a field with this value.
    fn is_absent(&self) -> bool {
        false
    }
}

/// Encodes the value as compact JSON.
pub fn encode<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes);
    bytes
}

/// Encodes the value as compact JSON.
pub fn to_string<T: Encode + ?Sized>(value: &T) -> String {
    String::from_utf8(encode(value)).expect("a Writer writes whole strings only")
}

/// Appends the value as compact JSON to `bytes`, so that one buffer can serve many values.
pub fn encode_into<T: Encode + ?Sized>(value: &T, bytes: &mut Vec<u8>) {
    value.encode(&mut Writer::new(bytes));
}

impl Encode for bool {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bool(*self);
    }
}

macro_rules! encode_integers {
    ($write:ident $wide:ty: $($int:ty),*) => {$(
        impl Encode for $int {
            #[inline]
            fn encode(&self, writer: &mut Writer<'_>) {
                writer.$write(*self as $wide);
            }
        }
    )*};
}

encode_integers!(signed i64: i8, i16, i32, i64, isize);
encode_integers!(unsigned u64: u8, u16, u32, u64, usize);

/// NaN and the infinities are written as `null`.
impl Encode for f64 {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.float(*self);
    }
}

impl Encode for Number {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.number(self);
    }
}

impl Encode for str {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
}

/// `None` is `null`; a record omits it.
impl<T: Encode> Encode for Option<T> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            None => writer.null(),
            Some(value) => value.encode(writer),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

macro_rules! encode_pointers {
    ($([$($param:tt)*] $pointer:ty;)*) => {$(
        impl<$($param)*> Encode for $pointer {
            #[inline]
            fn encode(&self, writer: &mut Writer<'_>) {
                (**self).encode(writer);
            }

            fn is_absent(&self) -> bool {
                (**self).is_absent()
            }
        }
    )*};
}

encode_pointers! {
    [T: Encode + ?Sized] &T;
    [T: Encode + ?Sized] Box<T>;
    [T: Encode + ?Sized] Arc<T>;
    [T: Encode] Vec<T>;
    [] String;
    [] Cow<'_, str>;
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.begin_array();
        for element in self {
            element.encode(writer);
        }
        writer.end_array();
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.as_slice().encode(writer);
    }
}

macro_rules! encode_tuples {
    ($($($element:ident $index:tt)*;)*) => {$(
        impl<$($element: Encode),*> Encode for ($($element,)*) {
            fn encode(&self, writer: &mut Writer<'_>) {
                writer.begin_array();
                $(self.$index.encode(writer);)*
                writer.end_array();
            }
        }
    )*};
}

encode_tuples! {
    A 0;
    A 0 B 1;
    A 0 B 1 C 2;
    A 0 B 1 C 2 D 3;
}

/// An object, its members in the order of their keys.
impl<K: AsRef<str>, T: Encode> Encode for BTreeMap<K, T> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.begin_object();
        for (key, value) in self {
            writer.key(key.as_ref());
            value.encode(writer);
        }
        writer.end_object();
    }
}
