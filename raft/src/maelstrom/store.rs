//! Where a node keeps what it must not forget: a folder of its own in the data folder, or memory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use raft_core::{Ballot, Entry, Record, SnapshotId, Wal};

use super::body::Code;
use super::names::Names;
use crate::host::{Forgetful, Image};
use crate::kv::{Command, Kv};
use crate::storage::disk::{Disk, Memory, Real};
use crate::storage::{self, ErrorKind, Identity, Log, Opened, Options, Recovered, Snapshots};
use crate::telemetry::Telemetry;

/// What a node has, and what it knew before.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) journal: Journal,
    pub(crate) snapshots: Snapshots,
    pub(crate) ballot: Ballot,
    pub(crate) snapshot: Option<SnapshotId>,
    pub(crate) machine: Kv,
    pub(crate) entries: Vec<Entry<Command>>,
    /// How many bytes of a torn frame were cut.
    pub(crate) torn: u64,
}

/// Why a node can't start with what is in its folder.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such folder, and none can be made.
    Folder {
        path: PathBuf,
        error: std::io::Error,
    },
    /// The storage's own.
    Storage(storage::Error),
    /// The snapshot is whole, and what is in it makes no sense to this program.
    Machine { path: PathBuf, reason: String },
}

impl Refusal {
    /// Definite all of them: the node never was part of the cluster.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Storage(error) if error.kind() == ErrorKind::Foreign => Code::PreconditionFailed,
            Self::Storage(_) | Self::Folder { .. } | Self::Machine { .. } => Code::Abort,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, error } => {
                write!(f, "no data can be kept in {}: {error}", path.display())
            }
            Self::Storage(error) => error.fmt(f),
            Self::Machine { path, reason } => write!(
                f,
                "the snapshot in {} is whole, but not one of this program's: {reason}",
                path.display()
            ),
        }
    }
}

/// Opens the folder of this node in the data folder, or a place in memory.
pub(crate) fn open(
    data: Option<&Path>,
    names: &Names,
    telemetry: &Arc<Telemetry>,
) -> Result<Store, Refusal> {
    let path = data.map_or_else(PathBuf::new, |data| data.join(folder_name(names.me())));
    let disk: Arc<dyn Disk> = match data {
        Some(_) => match Real::create(&path) {
            Ok(disk) => Arc::new(disk),
            Err(error) => return Err(Refusal::Folder { path, error }),
        },
        None => Arc::new(Memory::new()),
    };
    let options = match data {
        Some(_) => Options::default(),
        // Hardly anything is written there.
        None => Options {
            segment_bytes: Options::SEGMENT_BYTES_MIN,
        },
    };
    let identity = Identity::new(names.me(), names.all());
    let opened = storage::open(disk, &identity, options).map_err(Refusal::Storage)?;
    let Opened {
        log,
        snapshots,
        recovered,
    } = opened;
    let Recovered {
        ballot,
        snapshot,
        entries,
        torn,
    } = recovered;
    let kind = match data {
        Some(_) => Kind::Disk(log),
        None => Kind::Memory(Forgetful::new(log)),
    };
    let machine = match &snapshot {
        None => Kv::default(),
        Some(snapshot) if snapshot.membership != names.membership() => {
            let reason = "it is of a cluster with other members".into();
            return Err(Refusal::Machine { path, reason });
        }
        Some(snapshot) => Kv::read(&snapshot.machine).map_err(|error| Refusal::Machine {
            path,
            reason: error.to_string(),
        })?,
    };
    Ok(Store {
        journal: Journal {
            kind,
            telemetry: telemetry.clone(),
        },
        snapshots,
        ballot,
        snapshot: snapshot.map(|snapshot| snapshot.id),
        machine,
        entries,
        torn,
    })
}

/// The log of a node, and what is measured of it.
#[derive(Debug)]
pub(crate) struct Journal {
    kind: Kind,
    telemetry: Arc<Telemetry>,
}

#[derive(Debug)]
enum Kind {
    Memory(Forgetful),
    Disk(Log),
}

impl Wal<Command> for Journal {
    type Error = storage::Error;

    fn append_and_sync(&mut self, records: &[Record<Command>]) -> Result<(), Self::Error> {
        match &mut self.kind {
            Kind::Memory(log) => log.append_and_sync(records),
            Kind::Disk(log) => {
                let began = Instant::now();
                log.append_and_sync(records)?;
                self.telemetry.synced(began.elapsed(), log.bytes());
                Ok(())
            }
        }
    }
}

/// The name of a node's folder: its own, with `%` and two hexadecimal digits for each byte that
/// may mean something to a file system; a percent sign alone for a node without a name.
fn folder_name(node: &str) -> String {
    if node.is_empty() {
        return "%".into();
    }
    let mut name = String::new();
    for (at, byte) in node.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && at > 0);
        if plain {
            name.push(char::from(byte));
        } else {
            name += &format!("%{byte:02x}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_like_nodes() {
        for (node, name) in [
            ("n1", "n1"),
            ("N-1_x.y", "N-1_x.y"),
            ("..", "%2e."),
            ("a/b", "a%2fb"),
            ("%2f", "%252f"),
            ("é\0", "%c3%a9%00"),
            ("", "%"),
        ] {
            assert_eq!(folder_name(node), name);
        }
    }
}
