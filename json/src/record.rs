//! The `record!` macro: declares types together with their JSON form.

use crate::append::escape;
use crate::decode::Decode;
use crate::error::Error;
use crate::reader::Reader;

/// Declares a struct or an enum and implements [`Decode`](crate::Decode) and
/// [`Encode`](crate::Encode) for it.
///
/// # Structs
///
/// A struct is an object. Attributes, docs and visibility pass through.
///
/// ```
/// json::record! {
///     /// A message between two members.
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
/// Fields are written in the order of their declaration, and read in any order (but fastest in that
/// one). `r#type` is called `type` in JSON. An absent field takes its default, or else the value of
/// its type ([`Decode::absent`](crate::Decode::absent): `None` for an `Option`), or else is an
/// error. A duplicate field is an error. Unknown fields are skipped, but must be valid JSON.
///
/// # Tagged enums
///
/// One field of the object, the tag, names the variant. The tag may stand anywhere in the object;
/// it is written first. Reading looks ahead for it: the fields before the tag are scanned twice,
/// and once more for each tagged enum around this one whose own tag comes later.
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
/// Fields of variants may have all that fields of structs may. A variant without `as` has the same
/// name in JSON as in Rust.
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
/// One lifetime, which is that of the input, and then type parameters, which the implementations
/// bound by `Decode` and `Encode`. Other bounds are not supported.
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

// `struct` and `enum` match an `ident` above. Once the generics are taken apart, each of the three
// forms has an arm here.
#[doc(hidden)]
#[macro_export]
macro_rules! __record {
    (
        struct [$($meta:tt)*] [$vis:vis] $name:ident [$lifetime:lifetime] [$($generics:tt)*] [$($param:ident)*]
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
                let mut more = reader.enter_object()?;
                let _object = reader.token_offset();
                $crate::__decode_fields! {
                    reader _object more [Self] [] $($field: $ty $(as $rename)? $(= $default)?,)*
                }
            }
        }

        impl<$lifetime $(, $param: $crate::Encode)*> $crate::Encode for $name $($generics)* {
            fn encode(&self, writer: &mut $crate::Writer<'_>) {
                let Self { $($field),* } = self;
                writer.begin_object();
                $crate::__encode_fields! { writer $($field $(as $rename)?,)* }
                writer.end_object();
            }
        }
    };

    (
        enum [$($meta:tt)*] [$vis:vis] $name:ident [$lifetime:lifetime] [$($generics:tt)*] [$($param:ident)*]
        tagged $tag:literal
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
                $crate::__variants! { $($variant $(as $variant_name)?,)+ }

                let mut more = reader.enter_object()?;
                let object = reader.token_offset();
                let mut tag_read = more && reader.take_key($crate::__key!($tag));
                let variant = if tag_read {
                    let variant = Variant::decode(reader)?;
                    more = reader.more_members()?;
                    variant
                } else {
                    let tag = $crate::__key!($tag);
                    $crate::__private::look_ahead(reader, object, more, tag, $tag, Variant::decode)?
                };
                match variant {
                    $(
                        // A closure, so that the fields of each variant take up stack only for itself.
                        Variant::$variant => (|| $crate::__decode_fields! {
                            reader object more [Self::$variant] [$tag tag_read]
                            $($($field: $ty $(as $rename)? $(= $default)?,)*)?
                        })(),
                    )+
                }
            }
        }

        impl<$lifetime $(, $param: $crate::Encode)*> $crate::Encode for $name $($generics)* {
            fn encode(&self, writer: &mut $crate::Writer<'_>) {
                match self {
                    $(
                        Self::$variant { $($($field),*)? } => {
                            writer.begin_object();
                            writer.key_text($crate::__key!($tag));
                            writer.token($crate::__string!($variant $($variant_name)?));
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
                $crate::__variants! { $($variant $(as $variant_name)?,)+ }

                ::std::result::Result::Ok(match Variant::decode(reader)? {
                    $(Variant::$variant => Self::$variant,)+
                })
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

// The variants of an enum without their fields, and how their names are read.
#[doc(hidden)]
#[macro_export]
macro_rules! __variants {
    ($($variant:ident $(as $name:literal)?,)+) => {
        enum Variant { $($variant),+ }

        impl Variant {
            fn decode(
                reader: &mut $crate::Reader<'_>,
            ) -> ::std::result::Result<Variant, $crate::Error> {
                reader.start_token();
                $(
                    if reader.take($crate::__string!($variant $($name)?)) {
                        return ::std::result::Result::Ok(Variant::$variant);
                    }
                )+
                // An unknown name, or one with an unusual spelling.
                let name = reader.string()?;
                $(
                    if name == $crate::__name!($variant $($name)?) {
                        return ::std::result::Result::Ok(Variant::$variant);
                    }
                )+
                ::std::result::Result::Err(reader.unknown_variant(&name))
            }
        }
    };
}

// Reads an object's fields, from its first key (if there is `more`) through its closing brace, and
// makes `$make` of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __decode_fields {
    (
        $reader:ident $object:ident $more:ident [$($make:tt)*] [$($tag:literal $tag_read:ident)?]
        $($field:ident : $ty:ty $(as $rename:literal)? $(= $default:expr)?,)*
    ) => {{
        $(let mut $field: ::std::option::Option<$ty> = ::std::option::Option::None;)*
        while $more {
            // Fields mostly come in the order of their declaration. Then one pass over them reads them all, and
            // finds each by comparing a few bytes that are known at compile time. Reading every key first and
            // then comparing it takes two to three times as long.
            let start = $reader.position();
            $(
                if $more && $reader.take_key($crate::__key!($field $($rename)?)) {
                    $crate::__private::read_field(
                        &mut $field, $reader, $crate::__name!($field $($rename)?),
                    )?;
                    $more = $reader.more_members()?;
                }
            )*
            $(
                if $more && $reader.take_key($crate::__key!($tag)) {
                    $crate::__private::pass_tag(&mut $tag_read, $reader, $tag)?;
                    $more = $reader.more_members()?;
                }
            )?
            if $reader.position() != start {
                continue;
            }
            // An unknown key, or one with an unusual spelling.
            let _key = $reader.key()?;
            #[allow(unused_labels)] // In a record without fields.
            'member: {
                $(
                    if _key == $crate::__name!($field $($rename)?) {
                        $crate::__private::read_unusual_field(&mut $field, $reader, &_key)?;
                        break 'member;
                    }
                )*
                $(
                    if _key == $tag {
                        $crate::__private::pass_tag(&mut $tag_read, $reader, &_key)?;
                        break 'member;
                    }
                )?
                $reader.skip_value()?;
            }
            $more = $reader.more_members()?;
        }
        ::std::result::Result::Ok($($make)* {
            $(
                $field: match $field {
                    ::std::option::Option::Some(value) => value,
                    ::std::option::Option::None => $crate::__absent!(
                        $reader $object $ty, $crate::__name!($field $($rename)?), $($default)?
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
macro_rules! __encode_fields {
    ($writer:ident $($field:ident $(as $rename:literal)?,)*) => {
        $(
            if !$crate::Encode::is_absent($field) {
                $writer.key_text($crate::__key!($field $($rename)?));
                $crate::Encode::encode($field, $writer);
            }
        )*
    };
}

// The name of a field or variant in JSON.
#[doc(hidden)]
#[macro_export]
macro_rules! __name {
    ($ident:ident $rename:literal) => {
        $rename
    };
    ($rename:literal) => {
        $rename
    };
    ($ident:ident) => {
        const { $crate::__private::plain_name(::std::stringify!($ident)) }
    };
}

// The text of a key with the comma before and the colon after it, made at compile time.
#[doc(hidden)]
#[macro_export]
macro_rules! __key {
    ($($name:tt)*) => {{
        const NAME: &str = $crate::__name!($($name)*);
        const TEXT: [u8; $crate::__private::key_length(NAME)] = $crate::__private::key_text(NAME);
        &TEXT
    }};
}

// The text of a string, made at compile time.
#[doc(hidden)]
#[macro_export]
macro_rules! __string {
    ($($name:tt)*) => {{
        const NAME: &str = $crate::__name!($($name)*);
        const TEXT: [u8; $crate::__private::string_length(NAME)] =
            $crate::__private::string_text(NAME);
        &TEXT
    }};
}

/// A Rust identifier without the `r#` that a keyword needs.
pub const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', plain @ ..] => match str::from_utf8(plain) {
            Ok(plain) => plain,
            Err(_) => panic!("a name is UTF-8"),
        },
        _ => name,
    }
}

/// `"name"`
pub const fn string_text<const N: usize>(name: &str) -> [u8; N] {
    let mut text = [0; N];
    put_string(&mut text, 0, name);
    text
}

/// The length of [`key_text`].
pub const fn key_length(name: &str) -> usize {
    string_length(name) + 2
}

/// `,"name":`
pub const fn key_text<const N: usize>(name: &str) -> [u8; N] {
    let mut text = [b','; N];
    let end = put_string(&mut text, 1, name);
    text[end] = b':';
    text
}

/// The length of [`string_text`].
pub const fn string_length(name: &str) -> usize {
    let mut length = 2;
    let mut at = 0;
    while at < name.len() {
        length += escape(name.as_bytes()[at]).1;
        at += 1;
    }
    length
}

/// Writes a string at `at`, and returns its end.
const fn put_string(text: &mut [u8], mut at: usize, name: &str) -> usize {
    text[at] = b'"';
    at += 1;
    let mut from = 0;
    while from < name.len() {
        let (escaped, length) = escape(name.as_bytes()[from]);
        let mut part = 0;
        while part < length {
            text[at] = escaped[part];
            at += 1;
            part += 1;
        }
        from += 1;
    }
    text[at] = b'"';
    at + 1
}

/// Finds the tag of the object that started at `object` and decodes it, without consuming anything.
/// `more` is whether a member follows.
pub fn look_ahead<'a, T, const N: usize>(
    reader: &mut Reader<'a>,
    object: usize,
    more: bool,
    key: &[u8; N],
    name: &'static str,
    decode: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut ahead = reader.clone();
    let mut more = more;
    while more {
        if ahead.take_key(key) || ahead.key()? == name {
            return decode(&mut ahead);
        }
        ahead.pass_value()?;
        more = ahead.more_members()?;
    }
    Err(reader.missing_field(object, name))
}

/// Consumes the value of the tag, which [`look_ahead`] has decoded. It is an error if the tag was
/// read before.
pub fn pass_tag(read: &mut bool, reader: &mut Reader<'_>, key: &str) -> Result<(), Error> {
    if *read {
        return Err(reader.duplicate_field(key));
    }
    *read = true;
    reader.pass_value()
}

/// Reads the value of a field. It is an error if the field was read before.
#[inline]
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

/// [`read_field`] where it is rarely called, and must not be inlined.
#[cold]
pub fn read_unusual_field<'a, T: Decode<'a>>(
    field: &mut Option<T>,
    reader: &mut Reader<'a>,
    key: &str,
) -> Result<(), Error> {
    read_field(field, reader, key)
}

#[cfg(test)]
mod tests;
