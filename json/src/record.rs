//! The `record!` macro: types declared together with their JSON form.

use crate::{Decode, Error, Reader};

/// Declares a struct or an enum and implements [`Decode`](crate::Decode) and [`Encode`](crate::Encode) for it.
///
/// # Structs
///
/// A struct is an object. Attributes, docs and visibility pass through.
///
/// ```
/// json::record! {
///     /// What one member tells another.
///     #[derive(Clone, Debug, PartialEq)]
///     pub struct Append {
///         pub term: u64,
///         /// A field that may be absent.
///         pub note: Option<String>,
///         /// A field that has another name in JSON.
///         pub kind: String as "type",
///         /// A field that is 1 when it is absent.
///         pub version: u64 = 1,
///         /// Both.
///         pub max_size: u64 as "max-size" = 1024,
///     }
/// }
///
/// let append: Append = json::decode(br#"{"type": "append", "term": 7, "more": []}"#)?;
/// assert_eq!(append, Append { term: 7, note: None, kind: "append".into(), version: 1, max_size: 1024 });
/// assert_eq!(json::to_string(&append), r#"{"term":7,"type":"append","version":1,"max-size":1024}"#);
/// # Ok::<(), json::Error>(())
/// ```
///
/// Fields are written in the order of their declaration, and read in any order. One that is absent takes the
/// default that is given, or else what its type says ([`Decode::absent`](crate::Decode::absent): `None` for
/// an `Option`), or else it is an error. A field twice is an error. Where `null` is a value like any other, see
/// [`Maybe`](crate::Maybe).
///
/// Unknown fields are skipped (and must be valid JSON). The word `closed` refuses them:
///
/// ```
/// json::record! {
///     #[derive(Debug, PartialEq)]
///     struct Answer closed { value: i64 }
/// }
///
/// let error = json::decode::<Answer>(br#"{"value": 1, "extra": 2}"#).unwrap_err();
/// assert_eq!(error.to_string(), r#"line 1 column 14: unknown field "extra""#);
/// ```
///
/// # Tagged enums
///
/// An enum of which one field, the tag, says the variant. The tag may stand anywhere in the object; it is
/// written first. Reading looks ahead for it: the fields before the tag are passed over twice, and once more
/// for each tagged enum that this one lies within before the tag of that.
///
/// ```
/// use json::Value;
/// json::record! {
///     #[derive(Debug, PartialEq)]
///     pub enum Body tagged "type" {
///         Init as "init" { msg_id: u64, node_id: String, node_ids: Vec<String> },
///         Read as "read" { msg_id: u64, key: Value },
///         Topology as "topology",
///     }
/// }
///
/// let body: Body = json::decode(br#"{"msg_id": 3, "key": null, "type": "read"}"#)?;
/// assert_eq!(body, Body::Read { msg_id: 3, key: Value::Null });
/// assert_eq!(json::to_string(&body), r#"{"type":"read","msg_id":3,"key":null}"#);
/// assert_eq!(json::to_string(&Body::Topology), r#"{"type":"topology"}"#);
/// # Ok::<(), json::Error>(())
/// ```
///
/// The fields of variants take everything that those of structs do, and `closed` after the tag refuses unknown
/// ones. A variant without `as` is called in JSON what it is called in Rust.
///
/// # Plain enums
///
/// Without a tag, an enum is a string.
///
/// ```
/// json::record! {
///     #[derive(Debug, PartialEq)]
///     enum Role { Leader as "leader", Follower as "follower" }
/// }
///
/// assert_eq!(json::decode(br#""leader""#), Ok(Role::Leader));
/// assert_eq!(json::encode(&Role::Follower), br#""follower""#);
/// ```
///
/// # Generics
///
/// One lifetime, which is that of the input, and after it type parameters, which are `Decode` and `Encode` in
/// the implementations. Bounds of one's own are not supported.
///
/// ```
/// use std::borrow::Cow;
/// json::record! {
///     #[derive(Debug, PartialEq)]
///     struct Message<'a, B> { src: Cow<'a, str>, body: B }
/// }
///
/// let message: Message<'_, Vec<u8>> = json::decode(br#"{"src": "n1", "body": [1, 2]}"#)?;
/// assert_eq!(message, Message { src: Cow::Borrowed("n1"), body: vec![1, 2] });
/// # Ok::<(), json::Error>(())
/// ```
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis $what:ident $name:ident <$lifetime:lifetime $(, $param:ident)* $(,)?> $($rest:tt)*) => {
        $crate::__record! {
            $what [$(#[$meta])*] [$vis] $name [$lifetime] [<$lifetime $(, $param)*>] [$($param)*] $($rest)*
        }
    };
    ($(#[$meta:meta])* $vis:vis $what:ident $name:ident <$($param:ident),+ $(,)?> $($rest:tt)*) => {
        $crate::__record! { $what [$(#[$meta])*] [$vis] $name ['de] [<$($param),+>] [$($param)+] $($rest)* }
    };
    ($(#[$meta:meta])* $vis:vis $what:ident $name:ident $($rest:tt)*) => {
        $crate::__record! { $what [$(#[$meta])*] [$vis] $name ['de] [] [] $($rest)* }
    };
}

// `struct` and `enum` match an `ident` above. After the generics have been taken apart, each of the three
// forms has its arms here: first those that note whether unknown fields are skipped or refused.
#[doc(hidden)]
#[macro_export]
macro_rules! __record {
    (struct $meta:tt $vis:tt $name:ident $lifetime:tt $generics:tt $params:tt closed { $($fields:tt)* }) => {
        $crate::__record! {
            @struct $meta $vis $name $lifetime $generics $params refuse_unknown { $($fields)* }
        }
    };
    (struct $meta:tt $vis:tt $name:ident $lifetime:tt $generics:tt $params:tt { $($fields:tt)* }) => {
        $crate::__record! {
            @struct $meta $vis $name $lifetime $generics $params skip_unknown { $($fields)* }
        }
    };
    (enum $meta:tt $vis:tt $name:ident $lifetime:tt $generics:tt $params:tt
        tagged $tag:literal closed { $($variants:tt)* }) => {
        $crate::__record! {
            @tagged $meta $vis $name $lifetime $generics $params $tag refuse_unknown { $($variants)* }
        }
    };
    (enum $meta:tt $vis:tt $name:ident $lifetime:tt $generics:tt $params:tt
        tagged $tag:literal { $($variants:tt)* }) => {
        $crate::__record! {
            @tagged $meta $vis $name $lifetime $generics $params $tag skip_unknown { $($variants)* }
        }
    };

    (
        @struct [$($meta:tt)*] [$vis:vis] $name:ident [$lifetime:lifetime] [$($generics:tt)*] [$($param:ident)*]
        $unknown:ident
        { $(
            $(#[$field_meta:meta])* $field_vis:vis $field:ident : $ty:ty
            $(as $rename:literal)? $(= $default:expr)?
        ),* $(,)? }
    ) => {
        $($meta)*
        $vis struct $name $($generics)* {
            $($(#[$field_meta])* $field_vis $field: $ty,)*
        }

        impl<$lifetime $(, $param: $crate::Decode<$lifetime>)*> $crate::Decode<$lifetime> for $name $($generics)* {
            fn decode(
                reader: &mut $crate::Reader<$lifetime>,
            ) -> ::std::result::Result<Self, $crate::Error> {
                $crate::__decode_fields! {
                    reader [Self] [] $unknown $($field: $ty $(as $rename)? $(= $default)?,)*
                }
            }
        }

        $crate::__impl_encode! {
            $name [$($generics)*] |self, writer| {
                let Self { $($field),* } = self;
                writer.begin_object();
                $crate::__encode_fields! { writer $($field $(as $rename)?,)* }
                writer.end_object();
            }
        }
    };

    (
        @tagged [$($meta:tt)*] [$vis:vis] $name:ident [$lifetime:lifetime] [$($generics:tt)*] [$($param:ident)*]
        $tag:literal $unknown:ident
        { $(
            $(#[$variant_meta:meta])* $variant:ident $(as $variant_name:literal)?
            $({ $(
                $(#[$field_meta:meta])* $field:ident : $ty:ty $(as $rename:literal)? $(= $default:expr)?
            ),* $(,)? })?
        ),+ $(,)? }
    ) => {
        $($meta)*
        $vis enum $name $($generics)* {
            $($(#[$variant_meta])* $variant $({ $($(#[$field_meta])* $field: $ty,)* })?,)+
        }

        impl<$lifetime $(, $param: $crate::Decode<$lifetime>)*> $crate::Decode<$lifetime> for $name $($generics)* {
            fn decode(
                reader: &mut $crate::Reader<$lifetime>,
            ) -> ::std::result::Result<Self, $crate::Error> {
                let tag = reader.peek_tag($tag)?;
                $(
                    if tag == $crate::__name!($variant $($variant_name)?) {
                        return $crate::__decode_fields! {
                            reader [Self::$variant] [$tag] $unknown
                            $($($field: $ty $(as $rename)? $(= $default)?,)*)?
                        };
                    }
                )+
                ::std::result::Result::Err(reader.unknown_variant(&tag))
            }
        }

        $crate::__impl_encode! {
            $name [$($generics)*] |self, writer| {
                writer.begin_object();
                match self {
                    $(
                        Self::$variant { $($($field),*)? } => {
                            writer.key($tag);
                            writer.string($crate::__name!($variant $($variant_name)?));
                            $crate::__encode_fields! { writer $($($field $(as $rename)?,)*)? }
                        }
                    )+
                }
                writer.end_object();
            }
        }
    };

    (
        enum [$($meta:tt)*] [$vis:vis] $name:ident [$lifetime:lifetime] [] []
        { $($(#[$variant_meta:meta])* $variant:ident $(as $variant_name:literal)?),+ $(,)? }
    ) => {
        $($meta)*
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl<$lifetime> $crate::Decode<$lifetime> for $name {
            fn decode(
                reader: &mut $crate::Reader<$lifetime>,
            ) -> ::std::result::Result<Self, $crate::Error> {
                let name = reader.string()?;
                $(
                    if name == $crate::__name!($variant $($variant_name)?) {
                        return ::std::result::Result::Ok(Self::$variant);
                    }
                )+
                ::std::result::Result::Err(reader.unknown_variant(&name))
            }
        }

        impl $crate::Encode for $name {
            fn encode(&self, writer: &mut $crate::Writer<'_>) {
                writer.string(match self {
                    $(Self::$variant => $crate::__name!($variant $($variant_name)?),)+
                });
            }
        }
    };
}

// An object's fields, from its opening brace to its closing one, as the value that `$make` makes of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __decode_fields {
    (
        $reader:ident [$($make:tt)*] [$($tag:literal)?] $unknown:ident
        $($field:ident : $ty:ty $(as $rename:literal)? $(= $default:expr)?,)*
    ) => {{
        $(let mut $field: ::std::option::Option<$ty> = ::std::option::Option::None;)*
        $reader.begin_object()?;
        let _object = $reader.token_offset();
        // Which variant it is has been found out; here the tag must only not come twice.
        let mut _tag: ::std::option::Option<$crate::Raw<'_>> = ::std::option::Option::None;
        while let ::std::option::Option::Some(key) = $reader.next_key()? {
            $(
                if key == $crate::__name!($field $($rename)?) {
                    $crate::__private::read_field(&mut $field, $reader, &key)?;
                    continue;
                }
            )*
            $(
                if key == $tag {
                    $crate::__private::read_field(&mut _tag, $reader, &key)?;
                    continue;
                }
            )?
            $crate::__private::$unknown($reader, &key)?;
        }
        ::std::result::Result::Ok($($make)* {
            $(
                $field: match $field {
                    ::std::option::Option::Some(value) => value,
                    ::std::option::Option::None => $crate::__absent!(
                        $reader _object $ty, $crate::__name!($field $($rename)?), $($default)?
                    ),
                },
            )*
        })
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __absent {
    ($reader:ident $object:ident $ty:ty, $name:expr, $default:expr) => {
        $default
    };
    ($reader:ident $object:ident $ty:ty, $name:expr,) => {
        match <$ty as $crate::Decode<'_>>::absent() {
            ::std::option::Option::Some(value) => value,
            ::std::option::Option::None => {
                return ::std::result::Result::Err($reader.missing_field($object, $name));
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __impl_encode {
    ($name:ident [] |$this:ident, $writer:ident| $body:block) => {
        impl $crate::Encode for $name {
            fn encode(&$this, $writer: &mut $crate::Writer<'_>) $body
        }
    };
    ($name:ident [<$lifetime:lifetime $(, $param:ident)*>] |$this:ident, $writer:ident| $body:block) => {
        impl<$lifetime $(, $param: $crate::Encode)*> $crate::Encode for $name<$lifetime $(, $param)*> {
            fn encode(&$this, $writer: &mut $crate::Writer<'_>) $body
        }
    };
    ($name:ident [<$($param:ident),+>] |$this:ident, $writer:ident| $body:block) => {
        impl<$($param: $crate::Encode),+> $crate::Encode for $name<$($param),+> {
            fn encode(&$this, $writer: &mut $crate::Writer<'_>) $body
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __encode_fields {
    ($writer:ident $($field:ident $(as $rename:literal)?,)*) => {
        $(
            if !$crate::Encode::is_absent($field) {
                $writer.key($crate::__name!($field $($rename)?));
                $crate::Encode::encode($field, $writer);
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __name {
    ($ident:ident $rename:literal) => {
        $rename
    };
    ($ident:ident) => {
        ::std::stringify!($ident)
    };
}

/// Reads the value of a field, which must not have been read before.
pub fn read_field<'a, T: Decode<'a>>(
    field: &mut Option<T>,
    reader: &mut Reader<'a>,
    key: &str,
) -> Result<(), Error> {
    if field.is_some() {
        return Err(reader.duplicate_field(key));
    }
    *field = Some(T::decode(reader)?);
    Ok(())
}

/// What an open record does with a field it does not know.
pub fn skip_unknown(reader: &mut Reader<'_>, _key: &str) -> Result<(), Error> {
    reader.skip_value()
}

/// What a closed record does with a field it does not know.
pub fn refuse_unknown(reader: &mut Reader<'_>, key: &str) -> Result<(), Error> {
    Err(reader.unknown_field(key))
}
