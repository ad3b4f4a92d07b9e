//! The errors of storage: each names the file, mostly the offset in it, and what the operator can
//! do.

use std::{fmt, io};

/// Why storage cannot be opened, or cannot continue. The node must stop.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    file: String,
    offset: Option<u64>,
    what: String,
}

/// The kind of an [`Error`], which decides what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A disk operation failed.
    Disk,
    /// The disk is full.
    Full,
    /// Another process uses the folder.
    Locked,
    /// The folder or file belongs to another node or another cluster.
    Foreign,
    /// A newer version of the program wrote the file.
    Newer,
    /// Bytes changed after they were safely on disk.
    Damaged,
    /// A file is missing that holds acknowledged data.
    Missing,
    /// The data exceeds a limit of the format.
    TooLarge,
    /// The records break the rules of a log: a defect of the program.
    Impossible,
    /// An earlier operation failed; nothing is written after that.
    Stopped,
}

/// What is wrong, while its place is not known.
pub type Refusal = (ErrorKind, String);

impl ErrorKind {
    /// What the operator can do.
    fn advice(self) -> &'static str {
        match self {
            Self::Disk => {
                "check the disk and the folder's permissions, then restart the node; no \
                 acknowledged write is lost if the disk returns what was written"
            }
            Self::Full => "free disk space, then restart the node; no acknowledged write is lost",
            Self::Locked => "stop the other process first, or give this node another folder",
            Self::Foreign => "give this node its own folder, or an empty one if it is new",
            Self::Newer => "start the version that wrote the file, or a later one",
            Self::Damaged | Self::Missing => {
                "nothing was changed; restore the whole folder from a copy taken after the node's \
                 last run; an older copy or an empty folder under the same node id would lose votes \
                 and entries that the cluster relies on"
            }
            Self::TooLarge => "restart the node; no acknowledged write is lost",
            Self::Impossible => {
                "this is a defect of the program: keep the folder and the log, and report it"
            }
            Self::Stopped => "restart the node",
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

    /// A failed disk operation; `doing` completes "cannot …".
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

    /// What is wrong, without what to do.
    #[must_use]
    pub fn fact(&self) -> String {
        let offset = self.offset.map(|offset| format!(", byte {offset}"));
        format!("{}{}: {}", self.file, offset.unwrap_or_default(), self.what)
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.fact(), self.kind.advice())
    }
}

impl std::error::Error for Error {}
