//! The records of a frame, one after another.
//!
//! ```text
//! ballot   1 | term 8 | vote 8 | voted 1                      the new term and vote
//! base     2 | index 8 | term 8 | kept 1                      the log begins after this entry
//! blank    3 | index 8 | term 8                               an entry without a command
//! command  4 | index 8 | term 8 | length 4 | bytes of JSON    an entry for the state machine
//! members  5 | index 8 | term 8 | length 4 | bytes of JSON    an entry with the cluster's members
//! ```
//!
//! Numbers are little-endian. An entry replaces the one at its index and all later ones. A base
//! records whether the log after it remained (`kept` = 1: the log held this entry) or was discarded
//! (0: Figure 13 of the paper, and section 7), because the segment that shows it may be deleted
//! before the base is read.

use raft_core::{Ballot, EntryId, Index, NodeId, Term};

use super::bytes::{u32_at, u64_at};
use super::error::{ErrorKind, Refusal};

const BALLOT: u8 = 1;
const BASE: u8 = 2;
const BLANK: u8 = 3;
const COMMAND: u8 = 4;
const MEMBERS: u8 = 5;

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored<'a> {
    /// The new term and vote.
    Ballot(Ballot),
    /// The log now begins after this entry.
    Base {
        /// The entry.
        last: EntryId,
        /// Whether the entries after it remain.
        kept: bool,
    },
    /// Appends an entry, and removes the one at its index and all later ones.
    Entry {
        /// Its id.
        id: EntryId,
        /// Its content.
        content: Content<'a>,
    },
}

/// The content of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// None.
    Blank,
    /// A command of the state machine as JSON.
    Command(&'a [u8]),
    /// The members of the cluster as JSON.
    Members(&'a [u8]),
}

impl<'a> Stored<'a> {
    /// Appends the record to a frame.
    ///
    /// # Panics
    /// If the command is 4 GiB long or longer; [`super::frame::MAX_RECORDS`] is less.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let mut numbers = |kind: u8, one: u64, other: u64| {
            to.push(kind);
            to.extend(one.to_le_bytes());
            to.extend(other.to_le_bytes());
        };
        match *self {
            Self::Ballot(ballot) => {
                let vote = ballot.vote();
                numbers(BALLOT, ballot.term().0, vote.map_or(0, |node| node.0));
                to.push(u8::from(vote.is_some()));
            }
            Self::Base { last, kept } => {
                numbers(BASE, last.index.0, last.term.0);
                to.push(u8::from(kept));
            }
            Self::Entry { id, content } => {
                let (kind, json) = match content {
                    Content::Blank => (BLANK, None),
                    Content::Command(json) => (COMMAND, Some(json)),
                    Content::Members(json) => (MEMBERS, Some(json)),
                };
                numbers(kind, id.index.0, id.term.0);
                if let Some(json) = json {
                    let length = u32::try_from(json.len()).expect("a record fits into a frame");
                    to.extend(length.to_le_bytes());
                    to.extend(json);
                }
            }
        }
    }

    /// The bytes that it takes in a frame.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Ballot(_) | Self::Base { .. } => 18,
            Self::Entry { content, .. } => match content {
                Content::Blank => 17,
                Content::Command(json) | Content::Members(json) => 21 + json.len(),
            },
        }
    }

    /// Reads the first record of `bytes`. Returns the bytes after it as well.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Refusal> {
        // First the kind: that of a newer version may be shorter than all of these.
        if let Some(kind) = bytes.first()
            && !(BALLOT..=MEMBERS).contains(kind)
        {
            let what = format!("a record of kind {kind}, which this program does not know");
            return Err((ErrorKind::Newer, what));
        }
        Self::read_known(bytes).map_err(|what| (ErrorKind::Damaged, what.into()))
    }

    fn read_known(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), &'static str> {
        let cut = "a record is incomplete";
        let (fixed, rest) = bytes.split_at_checked(17).ok_or(cut)?;
        let (one, other) = (u64_at(fixed, 1), u64_at(fixed, 9));
        let id = EntryId {
            term: Term(other),
            index: Index(one),
        };
        let flag = || match rest.split_first().ok_or(cut)? {
            (0, rest) => Ok((false, rest)),
            (1, rest) => Ok((true, rest)),
            _ => Err("a record's flag is neither 0 nor 1"),
        };
        match fixed[0] {
            BALLOT => {
                let (voted, rest) = flag()?;
                let ballot = Ballot::new(Term(one), voted.then_some(NodeId(other)));
                Ok((Self::Ballot(ballot), rest))
            }
            BASE => {
                let (kept, rest) = flag()?;
                Ok((Self::Base { last: id, kept }, rest))
            }
            BLANK => {
                let content = Content::Blank;
                Ok((Self::Entry { id, content }, rest))
            }
            kind => {
                let (length, rest) = rest.split_at_checked(4).ok_or(cut)?;
                let length = u32_at(length, 0) as usize;
                let (json, rest) = rest.split_at_checked(length).ok_or(cut)?;
                let content = match kind {
                    COMMAND => Content::Command(json),
                    _ => Content::Members(json),
                };
                Ok((Self::Entry { id, content }, rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Stored<'static>> {
        let id = EntryId {
            term: Term(3),
            index: Index(1 << 40),
        };
        vec![
            Stored::Ballot(Ballot::new(Term(7), None)),
            Stored::Ballot(Ballot::new(Term(8), Some(NodeId(2)))),
            Stored::Base {
                last: id,
                kept: true,
            },
            Stored::Base {
                last: id,
                kept: false,
            },
            Stored::Entry {
                id,
                content: Content::Blank,
            },
            Stored::Entry {
                id,
                content: Content::Command(br#"{"type":"write"}"#),
            },
            Stored::Entry {
                id,
                content: Content::Members(br#"{"next":1,"members":[]}"#),
            },
        ]
    }

    #[test]
    fn records_are_read_as_written() {
        let mut bytes = Vec::new();
        for record in samples() {
            record.write(&mut bytes);
        }
        let mut rest = bytes.as_slice();
        for record in samples() {
            let (read, after) = Stored::read(rest).expect("a record");
            assert_eq!(read, record);
            rest = after;
        }
        assert_eq!(rest, b"");
    }

    #[test]
    fn incomplete_records_are_rejected() {
        for record in samples() {
            let mut bytes = Vec::new();
            record.write(&mut bytes);
            assert_eq!(bytes.len(), record.length());
            for end in 0..bytes.len() {
                assert!(Stored::read(&bytes[..end]).is_err(), "{record:?} to {end}");
            }
        }
    }

    #[test]
    fn unknown_kinds_and_flags_are_rejected() {
        for kind in [0, MEMBERS + 1] {
            for bytes in [&[kind; 40][..], &[kind]] {
                let read = Stored::read(bytes);
                assert_eq!(read.map_err(|(kind, _)| kind), Err(ErrorKind::Newer));
            }
        }
        let mut bytes = Vec::new();
        samples()[0].write(&mut bytes);
        bytes[17] = 2;
        let read = Stored::read(&bytes);
        assert_eq!(read.map_err(|(kind, _)| kind), Err(ErrorKind::Damaged));
    }
}
