//! The commands and outcomes of sessions, and their JSON.
//!
//! | command | JSON | outcome | JSON |
//! |---|---|---|---|
//! | `Plain` | that of the machine inside, an object | `Done` | likewise |
//! | `Open` | `[]` | `Opened` | `[session]` |
//! | `Do` | `[session, sequence, acknowledged, command]` | `Done`, `Unknown` | an object, `null` |
//! | `Close` | `[session]` | `Closed` | `[]` |
//!
//! So a log without sessions reads as it always did.

use std::fmt;

use json::{Decode, Encode, Error, Kind, Reader, Writer};

use super::SessionId;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command<C> {
    /// A command without a session: applied each time that it comes into the log.
    Plain(C),
    /// Opens a session.
    Open,
    /// A command of a session.
    Do {
        /// The session.
        session: SessionId,
        /// The number of the command in its session.
        sequence: u64,
        /// The client has, or no longer wants, the outcome of every command below this number.
        acknowledged: u64,
        /// The command.
        command: C,
    },
    /// Closes a session. Its further commands are unknown.
    Close(SessionId),
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<O> {
    /// The command was applied, now or before, with this outcome.
    Done(O),
    /// A session was opened.
    Opened(SessionId),
    /// The session is closed.
    Closed,
    /// The session is not open, or the outcome of the command is forgotten. The command was not
    /// applied now; it may have been before.
    Unknown,
}

/// As the golden scripts and traces write it.
impl<C: fmt::Display> fmt::Display for Command<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(command) => command.fmt(f),
            Self::Open => f.write_str("open"),
            Self::Do {
                session,
                sequence,
                command,
                ..
            } => write!(f, "s{}.{sequence} {command}", session.0),
            Self::Close(session) => write!(f, "close s{}", session.0),
        }
    }
}

impl<C: Encode> Encode for Command<C> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Plain(command) => command.encode(writer),
            Self::Open => [0_u64; 0].encode(writer),
            Self::Do {
                session,
                sequence,
                acknowledged,
                command,
            } => (session.0, sequence, acknowledged, command).encode(writer),
            Self::Close(session) => [session.0].encode(writer),
        }
    }
}

impl<'a, C: Decode<'a>> Decode<'a> for Command<C> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        if reader.peek()? != Kind::Array {
            return C::decode(reader).map(Self::Plain);
        }
        if !reader.enter_array()? {
            return Ok(Self::Open);
        }
        let session = SessionId(u64::decode(reader)?);
        if !reader.more_elements()? {
            return Ok(Self::Close(session));
        }
        let next = |what: &str, reader: &mut Reader<'a>| {
            if reader.more_elements()? {
                return Ok(());
            }
            Err(reader.custom_error(format!("a command of a session needs {what}")))
        };
        let sequence = u64::decode(reader)?;
        next("an acknowledged number", reader)?;
        let acknowledged = u64::decode(reader)?;
        next("a command", reader)?;
        let command = C::decode(reader)?;
        if reader.more_elements()? {
            return Err(reader.custom_error("a command of a session has four parts"));
        }
        Ok(Self::Do {
            session,
            sequence,
            acknowledged,
            command,
        })
    }
}

impl<O: Encode> Encode for Outcome<O> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Done(outcome) => outcome.encode(writer),
            Self::Opened(session) => [session.0].encode(writer),
            Self::Closed => [0_u64; 0].encode(writer),
            Self::Unknown => writer.null(),
        }
    }
}

impl<'a, O: Decode<'a>> Decode<'a> for Outcome<O> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        match reader.peek()? {
            Kind::Null => reader.null().map(|()| Self::Unknown),
            Kind::Array => match Vec::<u64>::decode(reader)?[..] {
                [] => Ok(Self::Closed),
                [session] => Ok(Self::Opened(SessionId(session))),
                _ => Err(reader.custom_error("an opened session has one number")),
            },
            Kind::Bool | Kind::Number | Kind::String | Kind::Object => {
                O::decode(reader).map(Self::Done)
            }
        }
    }
}
