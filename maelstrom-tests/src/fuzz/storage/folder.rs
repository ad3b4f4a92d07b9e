//! The folder of a node, in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use raft::storage::disk::Disk;
use raft::storage::disk::memory::Memory;
use raft::storage::{self, Cluster, Error, Identity, Opened};
use raft_core::NodeId;

/// All files of a folder. Their bytes are shared until a copy changes.
pub(super) type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// Short segments, so that a short history has many.
const SEGMENT_BYTES: u64 = storage::SEGMENT_BYTES_MIN;

/// Opens a folder as node n1 of three.
pub(super) fn open(disk: &(impl Disk + Clone + 'static)) -> Result<Opened<String>, Error> {
    let identity = Identity::new(Cluster::of(["n1", "n2", "n3"]), "n1", NodeId(0), 1);
    storage::open(Arc::new(disk.clone()), &identity, None, SEGMENT_BYTES)
}

/// The files on a disk.
pub(super) fn files(disk: &Memory) -> Files {
    let names = disk.list().expect("memory lists");
    let read = |name: String| {
        let file = disk.open(&name).expect("it is there");
        let mut bytes = vec![0; file.length().expect("memory") as usize];
        file.read_at(&mut bytes, 0).expect("memory reads");
        (name, Arc::new(bytes))
    };
    names.into_iter().map(read).collect()
}

/// A disk that holds these files.
pub(super) fn disk(files: &Files) -> Memory {
    let disk = Memory::new();
    write(&disk, files).expect("memory has room");
    disk
}

/// Writes files to a disk and syncs them.
pub(super) fn write(disk: &dyn Disk, files: &Files) -> io::Result<()> {
    for (name, bytes) in files {
        let file = disk.create(name)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
    }
    disk.sync_folder()
}
