//! The `record!` macro: types declared together with their JSON form.

use std::borrow::Cow;

use crate::append::escape;
use crate::{Decode, Error, Reader, Writer};

/// Declares a struct or an enum and implements [`Decode`](crate::Decode) and
/// [`Encode`](crate::Encode) for it.
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
/// Fields are written in the order of their declaration, and read in any order (but fastest in that
/// one). `r#type` is called `type` in JSON. A field that is absent takes the
/// default that is given, or else what its type says ([`Decode::absent`](crate::Decode::absent):
/// `None` for an `Option`), or else it is an error. A field twice is an error. Where `null` is a
/// value like any other, see [`Maybe`](crate::Maybe).
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
/// An enum of which one field, the tag, says the variant. The tag may stand anywhere in the object;
/// it is written first. Reading looks ahead for it: the fields before the tag are passed over
/// twice, and once more for each tagged enum that this one lies within before the tag of that.
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
/// The fields of variants take everything that those of structs do, and `closed` after the tag
/// refuses unknown ones. A variant without `as` is called in JSON what it is called in Rust.
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
/// One lifetime, which is that of the input, and after it type parameters, which are `Decode` and
/// `Encode` in the implementations. Bounds of one's own are not supported.
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

// `struct` and `enum` match an `ident` above. After the generics have been taken apart, each of the
// three forms has its arms here: first those that note whether unknown fields are skipped or
// refused.
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
                let mut more = $crate::__private::enter_object(reader)?;
                let _object = reader.token_offset();
                $crate::__decode_fields! {
                    reader _object more [Self] [] $unknown $($field: $ty $(as $rename)? $(= $default)?,)*
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
                $crate::__variants! { $($variant $(as $variant_name)?,)+ }

                let mut more = $crate::__private::enter_object(reader)?;
                let object = reader.token_offset();
                let mut tag_read = more && $crate::__private::take_key(reader, $crate::__key!($tag));
                let variant = if tag_read {
                    let variant = Variant::decode(reader)?;
                    more = $crate::__private::more_members(reader)?;
                    variant
                } else {
                    let tag = $crate::__key!($tag);
                    $crate::__private::look_ahead(reader, object, more, tag, $tag, Variant::decode)?
                };
                match variant {
                    $(
                        // A closure, so that one variant's fields do not take up the stack for all others.
                        Variant::$variant => (|| $crate::__decode_fields! {
                            reader object more [Self::$variant] [$tag tag_read] $unknown
                            $($($field: $ty $(as $rename)? $(= $default)?,)*)?
                        })(),
                    )+
                }
            }
        }

        $crate::__impl_encode! {
            $name [$($generics)*] |self, writer| {
                match self {
                    $(
                        Self::$variant { $($($field),*)? } => {
                            $crate::__private::begin_tagged(
                                writer,
                                $crate::__tag!($tag, $variant $($variant_name)?),
                            );
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

// The names of an enum's variants, and how one of them is read.
#[doc(hidden)]
#[macro_export]
macro_rules! __variants {
    ($($variant:ident $(as $name:literal)?,)+) => {
        enum Variant { $($variant),+ }

        impl Variant {
            fn decode(
                reader: &mut $crate::Reader<'_>,
            ) -> ::std::result::Result<Variant, $crate::Error> {
                $crate::__private::start_token(reader);
                $(
                    if $crate::__private::take(reader, $crate::__string!($variant $($name)?)) {
                        return ::std::result::Result::Ok(Variant::$variant);
                    }
                )+
                // A name that is not known, or not spelled as usual.
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

// An object's fields, from before its first key (if there is `more`) to past its closing brace, as
// the value that `$make` makes of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __decode_fields {
    (
        $reader:ident $object:ident $more:ident [$($make:tt)*] [$($tag:literal $tag_read:ident)?] $unknown:ident
        $($field:ident : $ty:ty $(as $rename:literal)? $(= $default:expr)?,)*
    ) => {{
        $(let mut $field: ::std::option::Option<$ty> = ::std::option::Option::None;)*
        while $more {
            // Fields mostly come in the order of their declaration. Then one pass over them reads them all, and
            // each is found by comparing a few bytes that are known at compile time. To read every key and then
            // look which it is takes two to three times as long.
            let start = $crate::__private::position($reader);
            $(
                if $more && $crate::__private::take_key($reader, $crate::__key!($field $($rename)?)) {
                    $crate::__private::read_field(
                        &mut $field, $reader, $crate::__name!($field $($rename)?),
                    )?;
                    $more = $crate::__private::more_members($reader)?;
                }
            )*
            $(
                if $more && $crate::__private::take_key($reader, $crate::__key!($tag)) {
                    $crate::__private::pass_tag(&mut $tag_read, $reader, $tag)?;
                    $more = $crate::__private::more_members($reader)?;
                }
            )?
            if $crate::__private::position($reader) != start {
                continue;
            }
            // A key that is not known, or not spelled as usual.
            let key = $crate::__private::key($reader)?;
            #[allow(unused_labels)] // In a record without fields.
            'member: {
                $(
                    if key == $crate::__name!($field $($rename)?) {
                        $crate::__private::read_unusual_field(&mut $field, $reader, &key)?;
                        break 'member;
                    }
                )*
                $(
                    if key == $tag {
                        $crate::__private::pass_tag(&mut $tag_read, $reader, &key)?;
                        break 'member;
                    }
                )?
                $crate::__private::$unknown($reader, &key)?;
            }
            $more = $crate::__private::more_members($reader)?;
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
                $crate::__private::write_key($writer, $crate::__key!($field $($rename)?));
                $crate::Encode::encode($field, $writer);
            }
        )*
    };
}

// What a field or variant is called in JSON.
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

// The text of an object up to its tag, made at compile time.
#[doc(hidden)]
#[macro_export]
macro_rules! __tag {
    ($tag:literal, $($name:tt)*) => {{
        const NAME: &str = $crate::__name!($($name)*);
        const TEXT: [u8; $crate::__private::tag_length($tag, NAME)] =
            $crate::__private::tag_text($tag, NAME);
        &TEXT
    }};
}

/// What a Rust identifier is called without the `r#` that a keyword needs.
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

/// The length of [`tag_text`].
pub const fn tag_length(tag: &str, name: &str) -> usize {
    string_length(tag) + string_length(name) + 2
}

/// `{"tag":"name"`
pub const fn tag_text<const N: usize>(tag: &str, name: &str) -> [u8; N] {
    let mut text = [b'{'; N];
    let end = put_string(&mut text, 1, tag);
    text[end] = b':';
    put_string(&mut text, end + 1, name);
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

/// Puts a string at `at`; where it ends.
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

/// The byte number at which the reader stands.
#[inline]
pub fn position(reader: &Reader<'_>) -> usize {
    reader.position()
}

/// Begins an object, and says whether it has a member.
#[inline]
pub fn enter_object(reader: &mut Reader<'_>) -> Result<bool, Error> {
    reader.enter_object()
}

/// Whether the object has another member after this one; otherwise its end is consumed.
#[inline]
pub fn more_members(reader: &mut Reader<'_>) -> Result<bool, Error> {
    reader.more_members()
}

/// Consumes the next key if it is written like this.
#[inline]
pub fn take_key<const N: usize>(reader: &mut Reader<'_>, key: &[u8; N]) -> bool {
    reader.take_key(key)
}

/// Goes to the next token.
#[inline]
pub fn start_token(reader: &mut Reader<'_>) {
    reader.start_token();
}

/// Consumes what comes next if it is this.
#[inline]
pub fn take<const N: usize>(reader: &mut Reader<'_>, text: &[u8; N]) -> bool {
    reader.take(text)
}

/// Consumes the next key.
pub fn key<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Error> {
    reader.key()
}

/// What `decode` makes of the tag of the object that started at `object` and has `more` in it,
/// which comes next. Nothing is consumed.
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
        if ahead.take_key(key) || ahead.key_is(name)? {
            return decode(&mut ahead);
        }
        ahead.pass_value()?;
        more = ahead.more_members()?;
    }
    Err(reader.missing_field(object, name))
}

/// Consumes the value of the tag, which must not have been read before. Whoever looked ahead has
/// checked it.
pub fn pass_tag(read: &mut bool, reader: &mut Reader<'_>, key: &str) -> Result<(), Error> {
    if *read {
        return Err(reader.duplicate_field(key));
    }
    *read = true;
    reader.pass_value()
}

/// Reads the value of a field, which must not have been read before.
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

/// [`read_field`] where it is seldom called and must not take room.
#[cold]
pub fn read_unusual_field<'a, T: Decode<'a>>(
    field: &mut Option<T>,
    reader: &mut Reader<'a>,
    key: &str,
) -> Result<(), Error> {
    read_field(field, reader, key)
}

/// What an open record does with a field it does not know.
pub fn skip_unknown(reader: &mut Reader<'_>, _key: &str) -> Result<(), Error> {
    reader.skip_value()
}

/// What a closed record does with a field it does not know.
pub fn refuse_unknown(reader: &mut Reader<'_>, key: &str) -> Result<(), Error> {
    Err(reader.unknown_field(key))
}

/// Writes a key, as [`key_text`] has it.
#[inline]
pub fn write_key<const N: usize>(writer: &mut Writer<'_>, key: &[u8; N]) {
    writer.key_text(key);
}

/// Begins an object with its tag, as [`tag_text`] has them.
#[inline]
pub fn begin_tagged<const N: usize>(writer: &mut Writer<'_>, text: &[u8; N]) {
    writer.begin_tagged(text);
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fmt::Debug;

    use crate::{Decode, Maybe, Raw, Value, decode, encode_into, to_string, value};

    // Names that the expansion uses itself must not get in the way of fields.
    record! {
        /// A record with awkward names.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct Awkward {
            pub(crate) reader: u8,
            writer: u8,
            key: u8,
            tag: u8,
            value: u8,
            object: u8,
            field: u8,
            r#type: u8,
            quoted: u8 as "\"\n",
        }
    }

    record! {
        #[derive(Debug, PartialEq)]
        struct Empty {}
    }

    record! {
        #[derive(Debug, PartialEq)]
        struct Closed closed {
            a: Option<u8>,
            b: Vec<u8> = vec![7],
            c: Maybe<Option<u8>>,
            d: Value,
        }
    }

    record! {
        #[derive(Debug, PartialEq)]
        struct Borrowing<'a> { text: &'a str, cow: Cow<'a, str>, raw: Raw<'a> }
    }

    record! {
        #[derive(Debug, PartialEq)]
        struct Pair<A, B> { a: A, b: B }
    }

    record! {
        #[derive(Debug, PartialEq)]
        struct Envelope<'a, T> closed { dest: &'a str, body: T }
    }

    record! {
        #[derive(Debug, PartialEq)]
        enum Tree tagged "kind" {
            /// A leaf.
            Leaf,
            Named as "named" {
                /// Its name.
                name: String as "the name",
                size: u8 = 3,
            },
            Node as "node" { left: Box<Tree>, right: Option<Box<Tree>> },
        }
    }

    record! {
        #[derive(Debug, PartialEq)]
        enum Generic<'a, T> tagged "t" closed {
            One { text: Cow<'a, str> },
            Two { item: T },
        }
    }

    record! {
        #[derive(Debug, PartialEq)]
        enum Colour { Red, Green as "GREEN" }
    }

    fn message<'a, T: Decode<'a> + Debug>(text: &'a str) -> String {
        decode::<T>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn awkward_names() {
        let text = r#"{"reader":1,"writer":2,"key":3,"tag":4,"value":5,"object":6,"field":7,"type":8,"\"\n":9}"#;
        let record = Awkward {
            reader: 1,
            writer: 2,
            key: 3,
            tag: 4,
            value: 5,
            object: 6,
            field: 7,
            r#type: 8,
            quoted: 9,
        };
        assert_eq!(to_string(&record), text);
        assert_eq!(decode(text.as_bytes()), Ok(record));
    }

    #[test]
    fn unknown_fields_are_skipped_but_checked() {
        assert_eq!(decode(br#" { "x" : [{}, "a"] , "x" : 1 } "#), Ok(Empty {}));
        assert_eq!(to_string(&Empty {}), "{}");
        assert_eq!(
            message::<Empty>(r#"{"x":[01]}"#),
            "line 1 column 8: at x[0]: expected a comma or the end of the array, found '1'"
        );
        assert_eq!(
            message::<Empty>("null"),
            "line 1 column 1: expected an object, found null"
        );
    }

    #[test]
    fn absent_null_and_default_are_three_things() {
        let plain = Closed {
            a: None,
            b: vec![7],
            c: Maybe::Absent,
            d: Value::Null,
        };
        assert_eq!(decode(br#"{"d":null}"#), Ok(plain));
        let nulls = Closed {
            a: None,
            b: vec![],
            c: Maybe::Present(None),
            d: Value::Null,
        };
        assert_eq!(
            decode(br#"{"a":null,"b":[],"c":null,"d":null}"#).as_ref(),
            Ok(&nulls)
        );
        assert_eq!(to_string(&nulls), r#"{"b":[],"c":null,"d":null}"#);
        let full = Closed {
            a: Some(1),
            b: vec![2],
            c: Maybe::Present(Some(3)),
            d: value!([4]),
        };
        assert_eq!(to_string(&full), r#"{"a":1,"b":[2],"c":3,"d":[4]}"#);
        assert_eq!(decode(to_string(&full).as_bytes()), Ok(full));
        assert_eq!(
            message::<Closed>(r#"{"b":null,"d":0}"#),
            "line 1 column 6: at b: expected an array, found null"
        );
    }

    #[test]
    fn what_is_wrong_with_an_object() {
        assert_eq!(
            message::<Closed>("{}"),
            r#"line 1 column 1: missing field "d""#
        );
        assert_eq!(
            message::<Vec<Closed>>(r#"[{"d":1}, {"a":1}]"#),
            r#"line 1 column 11: at [1]: missing field "d""#
        );
        assert_eq!(
            message::<Closed>(r#"{"d":1,"e":2}"#),
            r#"line 1 column 8: unknown field "e""#
        );
        assert_eq!(
            message::<Closed>(r#"{"d":1,"\u0064":1}"#),
            r#"line 1 column 8: duplicate field "d""#
        );
        assert_eq!(
            message::<Closed>(r#"{"a":null,"a":1,"d":1}"#),
            r#"line 1 column 11: duplicate field "a""#
        );
        assert_eq!(
            message::<Pair<u8, Vec<Pair<u8, Colour>>>>(
                "{\"a\":1,\n \"b\":[{\"a\":1,\"b\":\"Red\"},{\"a\":300}]}"
            ),
            "line 2 column 30: at b[1].a: expected an unsigned integer of 8 bits, found 300"
        );
    }

    #[test]
    fn lifetimes_and_type_parameters() {
        let text = r#"{"text":"a","cow":"b","raw":[1, 2]}"#;
        let record: Borrowing<'_> = decode(text.as_bytes()).unwrap();
        assert_eq!(
            (record.text, &*record.cow, record.raw.as_str()),
            ("a", "b", "[1, 2]")
        );
        assert!(matches!(record.cow, Cow::Borrowed(_)));
        assert_eq!(to_string(&record), text);

        let text = r#"{"dest":"n1","body":{"a":null,"b":{"text":"x","cow":"y","raw":0}}}"#;
        let envelope: Envelope<'_, Pair<Value, Borrowing<'_>>> = decode(text.as_bytes()).unwrap();
        assert_eq!(to_string(&envelope), text);
        assert!(decode::<Envelope<'_, u8>>(br#"{"dest":"n","body":1,"id":1}"#).is_err());
    }

    #[test]
    fn the_tag_may_stand_anywhere() {
        let tree = Tree::Node {
            left: Box::new(Tree::Named {
                name: "x".into(),
                size: 3,
            }),
            right: Some(Box::new(Tree::Leaf)),
        };
        let text = r#"{"kind":"node","left":{"kind":"named","the name":"x","size":3},"right":{"kind":"Leaf"}}"#;
        assert_eq!(to_string(&tree), text);
        assert_eq!(decode(text.as_bytes()).as_ref(), Ok(&tree));
        let last = r#"{"left":{"the name":"x","more":[{}],"kind":"named"},"right":{"kind":"Leaf"},"k\u0069nd":"node"}"#;
        assert_eq!(decode(last.as_bytes()), Ok(tree));
    }

    #[test]
    fn what_is_wrong_with_a_tag() {
        assert_eq!(
            message::<Vec<Tree>>(r#"[{"kind":"Leaf"},{}]"#),
            r#"line 1 column 18: at [1]: missing field "kind""#
        );
        assert_eq!(
            message::<Tree>(r#"{"a":0,"kind":"leaf"}"#),
            r#"line 1 column 15: at kind: unknown variant "leaf""#
        );
        assert_eq!(
            message::<Tree>(r#"{"kind":7}"#),
            "line 1 column 9: at kind: expected a string, found a number"
        );
        assert_eq!(
            message::<Tree>(r#"{"kind":"Leaf","x":1,"kind":"node"}"#),
            r#"line 1 column 22: duplicate field "kind""#
        );
        assert_eq!(
            message::<Tree>(r#"{"kind":"named"}"#),
            r#"line 1 column 1: missing field "the name""#
        );
        assert_eq!(
            message::<Tree>(r#"{"x":[,"kind":"Leaf"}"#),
            "line 1 column 7: at x[0]: expected a value, found ','"
        );
        assert_eq!(
            message::<Tree>("[]"),
            "line 1 column 1: expected an object, found an array"
        );
        assert_eq!(
            message::<Generic<'_, u8>>(r#"{"t":"Two","item":1,"x":1}"#),
            r#"line 1 column 21: unknown field "x""#
        );
        assert_eq!(
            decode(br#"{"item":1,"t":"Two"}"#),
            Ok(Generic::Two { item: 1 })
        );
        let one: Generic<'_, u8> = Generic::One { text: "x".into() };
        assert_eq!(to_string(&one), r#"{"t":"One","text":"x"}"#);
    }

    #[test]
    fn plain_enums_are_strings() {
        let mut buffer = Vec::new();
        for colour in [Colour::Red, Colour::Green] {
            encode_into(&colour, &mut buffer);
        }
        assert_eq!(buffer, br#""Red""GREEN""#);
        assert_eq!(
            decode(br#"["GREEN","\u0052ed"]"#),
            Ok([Colour::Green, Colour::Red])
        );
        assert_eq!(
            message::<[Colour; 1]>(r#"["red"]"#),
            r#"line 1 column 2: at [0]: unknown variant "red""#
        );
    }

    /// A recursive type goes as deep as the reader lets it, and no deeper.
    #[test]
    fn recursive_types_are_bounded_by_the_depth_limit() {
        let open = r#"{"kind":"node","left":"#;
        let text =
            |depth: usize| open.repeat(depth - 1) + r#"{"kind":"Leaf"}"# + &"}".repeat(depth - 1);
        for depth in [128, 1024] {
            assert!(crate::decode_with_depth::<Tree>(text(depth).as_bytes(), depth).is_ok());
            assert!(crate::decode_with_depth::<Tree>(text(depth + 1).as_bytes(), depth).is_err());
        }
    }
}
