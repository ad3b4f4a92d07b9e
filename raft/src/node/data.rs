//! Opens the data of a node: its own folder inside the data folder, or memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use raft_core::{
    EntryId, Incarnation, Membership, NodeId, Payload, Record, Restored, StateMachine as _, Wal,
};

use super::member::Member;
use super::options::Options;
use super::stop_reason::StopReason;
use crate::entropy;
use crate::host::Image;
use crate::kv::{self, Kv};
use crate::sessions::{Command, Sessions};
use crate::storage::disk::Disk;
use crate::storage::disk::memory::Memory;
use crate::storage::disk::real::Real;
use crate::storage::{
    self, Cluster, ErrorKind, Identity, Log, Recovered, Refusal, SEGMENT_BYTES, SEGMENT_BYTES_MIN,
    Snapshots, crc32c,
};
use crate::telemetry::Telemetry;

/// The recovered data of a node.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) cluster: Cluster,
    pub(super) log: NodeLog,
    pub(super) snapshots: Snapshots,
    /// What the replica begins with.
    pub(super) restored: Restored<Sessions<Kv>>,
    /// The bytes of a torn frame that were cut.
    pub(super) torn: u64,
}

/// Opens the folder of this node inside the data folder, or a log in memory. `None` if nothing is
/// there and the node has no id yet: it is no initial member, and `joined` is the id with which it
/// was added.
pub(super) fn open(
    options: &Options,
    member: &Member,
    joined: Option<NodeId>,
    telemetry: &Arc<Telemetry>,
) -> Result<Option<Data>, StopReason> {
    let folder = options.data.as_deref();
    let path = folder.map_or_else(PathBuf::new, |data| data.join(folder_name(&member.name)));
    let refused = |why: String| StopReason::new(format!("cannot start: {why}"));
    let (disk, segment_bytes): (Arc<dyn Disk>, u64) = match folder {
        Some(_) => match Real::create(&path) {
            Ok(disk) => (Arc::new(disk), SEGMENT_BYTES),
            Err(error) => {
                let path = path.display();
                return Err(refused(format!("cannot keep data in {path}: {error}")));
            }
        },
        // Hardly anything is written to memory.
        None => (Arc::new(Memory::new()), SEGMENT_BYTES_MIN),
    };
    let unusable = |error| StopReason::recovery(&error);
    let found = storage::owner(disk.clone()).map_err(unusable)?;
    let initial = member.initial_id();
    let id = found.as_ref().map(|owner| owner.id).or(initial).or(joined);
    let cluster = member.cluster.or(found.as_ref().map(|owner| owner.cluster));
    let (Some(id), Some(cluster)) = (id, cluster) else {
        return Ok(None);
    };
    let identity = Identity::new(cluster, &member.name, id, entropy::integer());
    let members = initial.map(|_| member.initial.clone());
    let opened = storage::open(disk, &identity, members, segment_bytes).map_err(unusable)?;
    let Recovered {
        ballot,
        snapshot,
        entries,
        torn,
    } = opened.recovered;
    let log = NodeLog {
        log: opened.log,
        is_durable: folder.is_some(),
        telemetry: telemetry.clone(),
    };
    if log.is_durable {
        telemetry.set_wal_bytes(log.log.bytes());
    }
    let initial = opened.identity.members().unwrap_or_default();
    let (snapshot, membership, machine) = match snapshot {
        None => (None, initial, Sessions::default()),
        Some(found) => {
            let machine = read_machine(&found.machine)
                .map_err(|(_, what)| refused(format!("{}: {what}", path.display())))?;
            let membership = with_addresses(&found.membership, &initial);
            (Some(found.id), membership, machine)
        }
    };
    Ok(Some(Data {
        cluster,
        log,
        snapshots: opened.snapshots,
        restored: Restored {
            id,
            membership,
            config: options.config.clone(),
            ballot,
            snapshot,
            machine,
            entries,
            incarnation: Incarnation(entropy::integer()),
            seed: entropy::random(),
        },
        torn,
    }))
}

/// Members with the addresses that a folder of format 1 knows: its snapshots have none.
fn with_addresses(members: &Membership, initial: &Membership) -> Membership {
    let all = members.members().iter().map(|(node, member)| {
        let mut member = member.clone();
        if member.address.is_empty()
            && let Some(known) = initial.members().get(node)
        {
            member.address = known.address.clone();
        }
        (*node, member)
    });
    Membership::new(all).with_next(members.next().0)
}

/// Makes the data of an initial member of a new cluster: a log that begins after the entry `last`,
/// and a snapshot of this state. The folder should be new.
///
/// # Errors
/// Those of the disk.
///
/// # Panics
/// If the member is not an initial one.
pub(crate) fn restore(
    folder: &Path,
    member: &Member,
    last: EntryId,
    machine: &Sessions<Kv>,
) -> Result<(), String> {
    let disk = Real::create(folder);
    let disk = disk.map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let (cluster, id) = member.cluster.zip(member.initial_id()).expect("a member");
    let identity = Identity::new(cluster, &member.name, id, entropy::integer());
    let open = || {
        let disk = disk.clone();
        let opened = storage::open::<Command<kv::Command>>(disk, &identity, None, SEGMENT_BYTES);
        opened.map_err(|error| error.fact())
    };
    let stored = open()?
        .snapshots
        .store(last, &member.initial, |out| machine.write(out));
    stored.map_err(|error| error.fact())?;
    // As after a crash: the snapshot is newer than the log, which then begins after it.
    open().map(drop)
}

/// What is wrong with a folder that no node has used.
pub(crate) const NOT_A_FOLDER: &str =
    "not a node's folder: each node has its own, inside --data-dir";

/// Reads the state of a stopped node, with all entries of its log: no node can know which of the last
/// ones were committed. The folder is opened as by a start of the node.
///
/// # Errors
/// The node would not start, or it runs.
pub(crate) fn read_folder(path: &Path) -> Result<(EntryId, Sessions<Kv>), Refusal> {
    let told = |error: storage::Error| (error.kind(), error.fact());
    let unusable = |error: io::Error| (ErrorKind::Disk, error.to_string());
    // Nothing is written to a folder that is not a node's.
    let disk = Real::read_only(path).map_err(unusable)?;
    let owner = storage::owner(Arc::new(disk)).map_err(told)?;
    let identity = owner.ok_or_else(|| (ErrorKind::Missing, NOT_A_FOLDER.into()))?;
    let disk = Arc::new(Real::create(path).map_err(unusable)?);
    let opened = storage::open::<Command<kv::Command>>(disk, &identity, None, SEGMENT_BYTES);
    let Recovered {
        snapshot, entries, ..
    } = opened.map_err(told)?.recovered;
    let (mut last, mut machine) = match snapshot {
        Some(snapshot) => (snapshot.id.last, read_machine(&snapshot.machine)?),
        None => Default::default(),
    };
    let covered = last;
    for entry in entries.into_iter().filter(|entry| entry.id > covered) {
        last = entry.id;
        if let Payload::Command(command) = entry.payload {
            machine.apply(&command);
        }
    }
    Ok((last, machine))
}

/// Reads the state machine of an undamaged snapshot.
///
/// # Errors
/// The machine is another one or a newer version.
pub fn read_machine(machine: &[u8]) -> Result<Sessions<Kv>, Refusal> {
    Sessions::read(machine).map_err(|reason| {
        let what = "the snapshot is undamaged, but this program cannot use it";
        (ErrorKind::Newer, format!("{what}: {reason}"))
    })
}

/// The log of a node. Measures its syncs.
#[derive(Debug)]
pub(crate) struct NodeLog {
    log: Log,
    /// Otherwise the log is in memory, and reports every write as durable. Such a node is as good as any
    /// other while its process lives. When the process ends, the node has lost its vote and its log,
    /// and must never come back under the same name: it could vote twice in one term, and help to
    /// commit entries that it then loses.
    is_durable: bool,
    telemetry: Arc<Telemetry>,
}

impl Wal<Command<kv::Command>> for NodeLog {
    type Error = storage::Error;

    fn append_and_sync(
        &mut self,
        records: &[Record<Command<kv::Command>>],
    ) -> Result<(), Self::Error> {
        if !self.is_durable {
            // With these alone the log drops older snapshots.
            let bases = records.iter().filter(|r| matches!(r, Record::Base(_)));
            return self
                .log
                .append_and_sync(&bases.cloned().collect::<Vec<_>>());
        }
        let began = Instant::now();
        self.log.append_and_sync(records)?;
        self.telemetry.synced(began.elapsed(), self.log.bytes());
        Ok(())
    }
}

/// The name of a node's folder: the node's name, with `%` and two hexadecimal digits for each byte
/// that may have a meaning in a file system; `%` alone for an empty name. If that is too long for a
/// file system, its beginning, `%-` and the CRC of the node's name. The file `identity` would tell
/// apart two names with the same CRC.
pub(crate) fn folder_name(node: &str) -> String {
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
    if name.len() > FOLDER_NAME_MAX {
        let end = format!("%-{:08x}", crc32c(node.as_bytes()));
        name.truncate(FOLDER_NAME_MAX - end.len());
        name += &end;
    }
    name
}

/// The longest name of a folder in bytes, in all common file systems.
const FOLDER_NAME_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_are_escaped() {
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

    #[test]
    fn long_names_get_folders_that_fit() {
        let fits = "n".repeat(255);
        assert_eq!(folder_name(&fits), fits);
        let long = "n".repeat(256);
        assert_eq!(folder_name(&long), format!("{}%-e127edf6", &fits[10..]));
        let (one, other) = ("/".repeat(99) + "1", "/".repeat(99) + "2");
        assert_eq!(folder_name(&one).len(), 255);
        assert_ne!(folder_name(&one), folder_name(&other));
    }
}
