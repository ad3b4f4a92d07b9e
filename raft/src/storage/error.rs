//! Why storage refuses: always with the file, mostly with the place in it, and with what whoever
//! runs the node can do.

use std::{fmt, io};

/// Why storage could not be opened, or cannot go on. The node must stop.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    file: String,
    offset: Option<u64>,
    what: String,
}

/// What to do about an [`Error`] depends on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A call of the disk failed.
    Disk,
    /// The disk has no room.
    Full,
    /// Another process has the folder.
    Locked,
    /// The folder is another node's, another cluster's, or of something else altogether.
    Foreign,
    /// A newer version of the program wrote it.
    Newer,
    /// Bytes that were safely on disk are not what they were.
    Damaged,
    /// A file is not there without which something acknowledged would be lost.
    Missing,
    /// More than the format can hold.
    TooLarge,
    /// The node's own rules forbid it: a defect of the program.
    Impossible,
    /// An earlier call failed, and nothing is tried after that.
    Stopped,
}

impl ErrorKind {
    /// What whoever runs the node can do.
    fn advice(self) -> &'static str {
        match self {
            Self::Disk => {
                "see to the disk and to who may use the folder, then start the node again: nothing \
                 that it acknowledged is lost as long as the disk gives back what it was given"
            }
            Self::Full => {
                "make room, then start the node again: nothing that it acknowledged is lost"
            }
            Self::Locked => "stop that process first, or give this node another folder",
            Self::Foreign => {
                "give this node the folder that it had before, or a new one if it never had any"
            }
            Self::Newer => "start the version that wrote it, or a later one",
            Self::Damaged | Self::Missing => {
                "nothing was changed; bring the whole folder back as it was (a disk that reads \
                 again, a copy taken while the node was stopped after its last run); an older copy \
                 or an empty folder under the same node id would forget votes and entries that \
                 others count on"
            }
            Self::TooLarge => "start the node again: nothing that it acknowledged is lost",
            Self::Impossible => {
                "this is a defect of the program: keep the folder and its output, and report it"
            }
            Self::Stopped => "start the node again",
        }
    }
}

impl Error {
    pub(super) fn new(kind: ErrorKind, file: String, what: impl Into<String>) -> Self {
        Self {
            kind,
            file,
            offset: None,
            what: what.into(),
        }
    }

    /// A call of the disk failed; `doing` says which, as in "cannot …".
    pub(super) fn disk(file: String, doing: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => ErrorKind::Full,
            _ => ErrorKind::Disk,
        };
        Self::new(kind, file, format!("cannot {doing}: {error}"))
    }

    pub(super) fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// What to do about it depends on this.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file that it is about, as people find it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where in the file, in bytes from its beginning.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        write!(f, ": {} ({})", self.what, self.kind.advice())
    }
}

impl std::error::Error for Error {}
