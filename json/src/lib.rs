//! RFC 8259 JSON: typed encode and decode, a flat document, an owned value, a pull reader and a
//! writer.
//!
//! There are four ways to use it.
//!
//! **Typed.** [`record!`] declares a struct or an enum together with its JSON form, and [`decode`]
//! and [`encode`] convert it from and to bytes. This is the way for messages.
//!
//! ```
//! json::record! {
//!     /// A point of the plane.
//!     #[derive(Debug, PartialEq)]
//!     pub struct Point { pub x: i64, pub y: i64, pub label: Option<String> }
//! }
//!
//! let point: Point = json::decode(br#"{"y": 2, "x": 1}"#)?;
//! assert_eq!(point, Point { x: 1, y: 2, label: None });
//! assert_eq!(json::to_string(&point), r#"{"x":1,"y":2}"#);
//!
//! let wrong = json::decode::<Point>(br#"{"x": 1, "y": "two"}"#).unwrap_err();
//! assert_eq!(wrong.to_string(), "line 1 column 15: at y: expected an integer, found a string");
//! # Ok::<(), json::Error>(())
//! ```
//!
//! **As a document.** [`parse`] reads any text into one flat list that borrows from it: the fastest
//! way to look around in a text. See [`Document`].
//!
//! ```
//! let document = json::parse(br#"{"a": [1.0, null]}"#)?;
//! assert_eq!(document.root().field("a").and_then(|list| list.at(0)?.as_i64()), Some(1));
//! # Ok::<(), json::Error>(())
//! ```
//!
//! **By value.** A [`Value`] is any JSON, owned, to build, change and keep. Values compare by
//! meaning: `1`, `1.0` and `10e-1` are the same number, and the order of an object's members does
//! not matter.
//!
//! ```
//! let value: json::Value = json::decode(br#"{"a": [1.0, null]}"#)?;
//! assert_eq!(value, json::value!({"a": [1, null]}));
//! # Ok::<(), json::Error>(())
//! ```
//!
//! **By hand.** A [`Reader`] returns one token at a time, borrowed from the input where possible,
//! and a [`Writer`] appends one token at a time. The other three ways are built on them, except for
//! the parser of documents.
//!
//! Reading is strict: exactly the texts of RFC 8259 in UTF-8 are accepted, without a byte order
//! mark. No input makes the reader recurse, panic, or take more than linear time; the depth of
//! arrays and objects is limited ([`DEFAULT_DEPTH`], [`MAX_DEPTH`]).

mod append;
mod decimal;
mod decode;
mod document;
mod encode;
mod error;
mod float;
mod kind;
mod number;
mod numeral;
mod pretty;
mod raw;
mod reader;
mod record;
mod scan;
mod utf8;
mod value;
mod writer;

pub use decimal::Decimal;
pub use decode::{Decode, decode, decode_with_depth};
pub use document::{Document, Element, parse, parse_with_depth};
pub use encode::{Encode, encode, encode_into, to_string};
pub use error::{Error, ErrorKind};
pub use kind::Kind;
pub use number::Number;
pub use pretty::to_string_pretty;
pub use raw::Raw;
pub use reader::{DEFAULT_DEPTH, MAX_DEPTH, Reader};
pub use value::Value;
pub use writer::Writer;

/// For the expansion of [`record!`] only.
#[doc(hidden)]
pub mod __private {
    pub use crate::record::{
        key_length, key_text, look_ahead, pass_tag, plain_name, read_field, read_unusual_field,
        string_length, string_text,
    };
}

/// Tests the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
