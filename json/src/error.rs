//! Errors: what is wrong with a text, and where.

use std::fmt::{self, Display, Formatter};

use crate::kind::Kind;
use crate::scan::string_end;

/// How many characters of a name an error repeats.
const NAME_LIMIT: usize = 64;

/// How many of the innermost steps of a path an error repeats.
const PATH_LIMIT: usize = 32;

/// Why a text was refused, and where.
///
/// Displayed as `line 3 column 14: at body.entries[2].term: expected an unsigned integer, found a
/// string`. The length of the message is bounded for every input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    offset: usize,
    line: usize,
    column: usize,
    path: String,
}

/// The kinds of error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The bytes are not UTF-8 (RFC 8259 section 8.1).
    Utf8,
    /// The text ends before its value does.
    UnexpectedEnd,
    /// The grammar does not allow what stands here.
    Unexpected {
        /// What the grammar allows here.
        expected: &'static str,
        /// What stands here.
        found: char,
    },
    /// An unescaped character below U+0020 in a string (RFC 8259 section 7).
    ControlCharacter,
    /// A backslash that does not begin an escape of RFC 8259 section 7.
    Escape,
    /// The escape of one half of a surrogate pair without the other half.
    LoneSurrogate,
    /// More than white space follows the value.
    TrailingData,
    /// Arrays and objects nest deeper than the reader allows.
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The text is too long for a document.
    TooLong {
        /// The most bytes that it may have.
        limit: usize,
    },
    /// The value is not of the expected kind.
    WrongKind {
        /// What was expected.
        expected: &'static str,
        /// The kind of the value.
        found: Kind,
    },
    /// The expected type cannot hold the number.
    OutOfRange {
        /// What was expected.
        expected: &'static str,
        /// The text of the number, or its first characters.
        found: String,
    },
    /// The string has escapes, and so cannot be borrowed from the input.
    EscapedString,
    /// The array does not have the expected number of elements.
    WrongLength {
        /// That number.
        expected: usize,
    },
    /// The object lacks a field.
    MissingField(&'static str),
    /// The object has a field twice.
    DuplicateField(String),
    /// The string is not the name of a variant.
    UnknownVariant(String),
    /// The message of a hand-written [`Decode`](crate::Decode).
    Custom(String),
}

impl Error {
    /// An error at byte `offset` of `bytes`. If they are not UTF-8, that is the error instead.
    /// Computes line, column and path, which takes linear time.
    pub(crate) fn at(bytes: &[u8], offset: usize, kind: ErrorKind) -> Error {
        let (kind, offset, path) = match str::from_utf8(bytes) {
            Ok(text) => (kind, offset, path(text, offset)),
            Err(error) => (ErrorKind::Utf8, error.valid_up_to(), String::new()),
        };
        let (line, column) = place(bytes, offset);
        Error(Box::new(Inner {
            kind,
            offset,
            line,
            column,
            path,
        }))
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The line, counted from 1; lines end with a line feed.
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column, in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// The byte offset, counted from 0.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The path of the value, such as `body.entries[2].term`; empty for the whole text.
    ///
    /// Keys are shown as in the text, escapes included. Of a long path only the innermost steps are
    /// shown.
    pub fn path(&self) -> &str {
        &self.0.path
    }
}

impl std::error::Error for Error {}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}: ", self.line(), self.column())?;
        if !self.path().is_empty() {
            write!(f, "at {}: ", self.path())?;
        }
        self.kind().fmt(f)
    }
}

impl Display for ErrorKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Utf8 => f.write_str("not UTF-8"),
            ErrorKind::UnexpectedEnd => f.write_str("the text ends too early"),
            ErrorKind::Unexpected { expected, found } => {
                write!(f, "expected {expected}, found {found:?}")
            }
            ErrorKind::ControlCharacter => f.write_str("unescaped control character in a string"),
            ErrorKind::Escape => f.write_str("invalid escape in a string"),
            ErrorKind::LoneSurrogate => f.write_str("unpaired surrogate escape in a string"),
            ErrorKind::TrailingData => f.write_str("unexpected text after the value"),
            ErrorKind::TooDeep { limit } => write!(f, "nested more than {limit} deep"),
            ErrorKind::TooLong { limit } => write!(f, "the text is longer than {limit} bytes"),
            ErrorKind::WrongKind { expected, found } => {
                write!(f, "expected {expected}, found {found}")
            }
            ErrorKind::OutOfRange { expected, found } => {
                write!(f, "expected {expected}, found {}", clip(found))
            }
            ErrorKind::EscapedString => f.write_str("expected a string without escapes"),
            ErrorKind::WrongLength { expected } => {
                write!(f, "expected an array of {expected} elements")
            }
            ErrorKind::MissingField(name) => write!(f, "missing field {name:?}"),
            ErrorKind::DuplicateField(name) => write!(f, "duplicate field {:?}", clip(name)),
            ErrorKind::UnknownVariant(name) => write!(f, "unknown variant {:?}", clip(name)),
            ErrorKind::Custom(message) => f.write_str(message),
        }
    }
}

/// The first characters of a name, which keep a message short.
pub(crate) fn clip(name: &str) -> &str {
    match name.char_indices().nth(NAME_LIMIT) {
        Some((end, _)) => &name[..end],
        None => name,
    }
}

/// Line and column of the byte at `offset`; the bytes before it are UTF-8.
fn place(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset];
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |newline| newline + 1);
    // Every character has exactly one byte that is not a continuation byte.
    let column = 1 + before[start..]
        .iter()
        .filter(|&&byte| byte & 0xc0 != 0x80)
        .count();
    (line, column)
}

/// One step of a path.
enum Step<'t> {
    Index(usize),
    Key(Option<&'t str>),
}

/// The path of the value in which `offset` lies.
///
/// Readers keep no path while they read: it follows from the text up to the error, and only errors
/// pay for it.
fn path(text: &str, offset: usize) -> String {
    let bytes = text.as_bytes();
    let mut steps = Vec::new();
    let mut at = 0;
    while at < offset {
        match bytes[at] {
            b'[' => steps.push(Step::Index(0)),
            b'{' => steps.push(Step::Key(None)),
            b']' | b'}' => {
                steps.pop();
            }
            b',' => match steps.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                Some(Step::Key(key)) => *key = None,
                None => {}
            },
            b'"' => {
                let start = at + 1;
                // In a string with a flaw lies the error.
                at = string_end(bytes, start).map_or(bytes.len(), |end| end - 1);
                if let Some(Step::Key(key @ None)) = steps.last_mut()
                    && at < offset
                {
                    *key = Some(&text[start..at]);
                }
            }
            _ => {}
        }
        at += 1;
    }
    render(&steps)
}

fn render(steps: &[Step<'_>]) -> String {
    let skipped = steps.len().saturating_sub(PATH_LIMIT);
    let mut path = String::new();
    for step in &steps[skipped..] {
        match step {
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Key(None) => {}
            Step::Key(Some(key)) if is_plain(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(clip(key));
            }
            Step::Key(Some(key)) => path.push_str(&format!("[\"{}\"]", clip(key))),
        }
    }
    if skipped > 0 {
        path.insert_str(0, "...");
    }
    path
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::{Decode, Value, decode};

    fn error<'a, T: Decode<'a>>(text: &'a str) -> String {
        match decode::<T>(text.as_bytes()) {
            Ok(_) => panic!("{text} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn columns_count_characters_and_offsets_bytes() {
        let error = decode::<Value>("{\"é💩\":\r\n  \"é\", x}".as_bytes()).unwrap_err();
        assert_eq!((error.line(), error.column(), error.offset()), (2, 8, 20));
        let error = decode::<Value>(b"[\n\"\xc3\xa9\xff\"]").unwrap_err();
        assert_eq!((error.line(), error.column(), error.offset()), (2, 3, 5));
        let error = decode::<Value>(b"[\n\n").unwrap_err();
        assert_eq!((error.line(), error.column(), error.offset()), (3, 1, 3));
    }

    #[test]
    fn path_leads_to_the_value() {
        type Numbers = BTreeMap<String, Vec<BTreeMap<String, u64>>>;
        let found = "expected an unsigned integer, found a string";
        for (text, path) in [
            (r#"{"a":[{"b":"x"}]}"#, "line 1 column 12: at a[0].b: "),
            (
                r#"{"z":[],"a":[{},{"c":1,"b":2},{"b":"x"}]}"#,
                "line 1 column 36: at a[2].b: ",
            ),
            (
                r#"{",]}[{\"":[{"b c":"x"}]}"#,
                r#"line 1 column 20: at [",]}[{\""][0]["b c"]: "#,
            ),
            (
                r#"{"":[{"":"x"}]}"#,
                r#"line 1 column 10: at [""][0][""]: "#,
            ),
        ] {
            assert_eq!(error::<Numbers>(text), format!("{path}{found}"), "{text}");
        }
        assert_eq!(error::<u64>("\"x\""), format!("line 1 column 1: {found}"));
        assert_eq!(
            error::<Value>("[[],[0,tru]]"),
            "line 1 column 11: at [1][1]: expected true, found ']'"
        );
        assert_eq!(
            error::<Value>(r#"{"a":"\q"}"#),
            "line 1 column 7: at a: invalid escape in a string"
        );
        assert_eq!(
            error::<Value>(r#"{"b":{"a\q":0}}"#),
            "line 1 column 9: at b: invalid escape in a string"
        );
        assert_eq!(
            error::<Numbers>(r#"{"a":[],"a":[]}"#),
            "line 1 column 9: duplicate field \"a\""
        );
    }

    #[test]
    fn message_length_is_bounded() {
        let deep = "{\"key\":[".repeat(60) + "x";
        let message = error::<Value>(&deep);
        assert!(
            message.len() < 300 && message.contains("at ...key[0].key"),
            "{message}"
        );

        let key = "é".repeat(1_000_000);
        let text = format!(r#"{{"{key}":{{"{key}":1,"{key}":2}}}}"#);
        let message = error::<BTreeMap<String, BTreeMap<String, u8>>>(&text);
        assert!(
            message.len() < 1_000 && message.contains("duplicate field \"éé"),
            "{message}"
        );
    }
}
