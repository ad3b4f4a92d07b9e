//! Snapshot files. The same bytes are sent to other nodes.
//!
//! ```text
//!  0  "stdraftP"
//!  8  version 4            12  number of voters 4
//! 16  last entry: index    24  its term
//! 32  length of the members 4    36  cluster 4
//! 40  voters, 8 each
//!     the members as JSON; none if they are voters alone, without addresses
//!     the encoded state machine
//!  …  CRC of all bytes before
//! ```
//!
//! Version 1 has no cluster: it has a zero there.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{EntryId, Index, MAX_SNAPSHOT, Membership, NodeId, SnapshotId, Term};

use super::bytes::{u32_at, u64_at};
use super::crc::{Crc, crc32c};
use super::error::{Error, ErrorKind};
use super::folder::{Folder, Handle, Name};
use super::identity::Cluster;
use super::maintenance::Maintenance;
use super::recover::Restored;
use crate::members::Members;

/// The version of snapshot files.
const FORMAT: u32 = 2;

/// The cluster of a file of version 1.
const UNKNOWN: Cluster = Cluster(0);

const MAGIC: &[u8; 8] = b"stdraftP";
const FIXED: usize = 40;
const TRAILER: usize = 4;

/// The CRC-32C of every whole snapshot file: that of bytes which end in their own CRC.
pub const WHOLE: u32 = 0x4867_4bc7;

/// The snapshots of a node. Clones share the folder, and each thread may have one.
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// The spare file and what the base covers.
    pub maintenance: Arc<Maintenance>,
    cluster: Cluster,
    open: Arc<Mutex<OpenFiles>>,
    /// Whether a part of a snapshot was written since it was last asked.
    moved: Arc<AtomicBool>,
}

/// The one read last comes first. A damaged file is not read again.
type OpenFiles = VecDeque<(SnapshotId, Option<Arc<OpenSnapshot>>)>;

/// A stored snapshot that is open. It can be read to its end even after it was removed.
#[derive(Debug)]
pub struct OpenSnapshot {
    /// Its id.
    pub id: SnapshotId,
    file: Handle,
}

impl OpenSnapshot {
    /// Reads up to `length` bytes from `offset` on, fewer at the end.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        let offset = offset.min(self.id.length);
        let rest = self.id.length - offset;
        let mut bytes = vec![0; length.min(usize::try_from(rest).unwrap_or(length))];
        self.file.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// A snapshot file with a valid CRC and a valid head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile<'a> {
    /// Its id.
    pub id: SnapshotId,
    /// The members of the cluster as of the snapshot.
    pub membership: Membership,
    /// The encoded state machine.
    pub machine: &'a [u8],
    cluster: Cluster,
    bytes: &'a [u8],
}

/// Why bytes are not a snapshot, or not the expected one.
pub type SnapshotRefusal = (ErrorKind, &'static str);

const WRONG_CRC: &str = "the CRC is wrong";
const ANOTHER: SnapshotRefusal = (ErrorKind::Damaged, "not the expected snapshot");

impl Snapshots {
    /// The most snapshot files that stay open, those read last. An open file can be read to its end
    /// even after it was removed.
    pub const OPEN_MAX: usize = 3;

    pub(super) fn new(maintenance: Arc<Maintenance>, cluster: Cluster) -> Self {
        Self {
            maintenance,
            cluster,
            open: Arc::default(),
            moved: Arc::default(),
        }
    }

    /// Stores the state after the entry `last`; `machine` writes the encoded state machine. When
    /// this returns, the snapshot is durable, and the base record may be written. Older
    /// snapshots stay until then.
    ///
    /// # Errors
    /// Those of the disk or of `machine`, or the snapshot is too large. The node must stop.
    pub fn store(
        &self,
        last: EntryId,
        membership: &Membership,
        machine: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<SnapshotId, Error> {
        let folder = &self.maintenance.folder;
        let id = folder.create(Name::Snapshot(last), |file| {
            let mut out = Out::new(file, self);
            out.take(&head(last, self.cluster, membership))?;
            let encoded = machine(&mut out);
            if let Some(error) = out.failed.take() {
                return Err(error);
            }
            encoded.map_err(|error| {
                let what = format!("cannot encode the state machine: {error}");
                file.refuse(ErrorKind::Disk, what)
            })?;
            out.finish(last)
        })?;
        // It may have replaced a damaged file of the same name.
        self.open().retain(|(known, _)| *known != id);
        Ok(id)
    }

    /// Checks the received bytes of the snapshot `id`.
    ///
    /// # Errors
    /// They are not a snapshot, or another one, or of another cluster.
    pub fn received<'a>(
        &self,
        id: SnapshotId,
        bytes: &'a [u8],
    ) -> Result<SnapshotFile<'a>, SnapshotRefusal> {
        let file = SnapshotFile::parse(bytes)?;
        if file.id != id {
            return Err(ANOTHER);
        }
        file.demand(self.cluster)
    }

    /// Stores a snapshot that another node sent. When this returns, it is durable, and the base
    /// record may be written.
    ///
    /// # Errors
    /// Those of the disk. The node must stop.
    pub fn install(&self, snapshot: &SnapshotFile<'_>) -> Result<(), Error> {
        let name = Name::Snapshot(snapshot.id.last);
        self.maintenance.folder.create(name, |file| {
            let mut out = Out::new(file, self);
            out.take(snapshot.bytes)?;
            out.flush_all()
        })
    }

    /// Whether a part of a snapshot was written since the last call.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }

    /// Reads up to `length` bytes of a stored snapshot from `offset` on, fewer at its end. `None`
    /// if this snapshot was removed, or was found damaged before.
    ///
    /// # Errors
    /// Those of the disk, or [`ErrorKind::Damaged`]: checked when the file is opened.
    pub fn read(
        &self,
        id: SnapshotId,
        offset: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let file = self.find(id)?;
        file.map(|file| file.read(offset, length)).transpose()
    }

    /// Opens a stored snapshot for one reader, and checks it. `None` if this snapshot was removed.
    ///
    /// # Errors
    /// Those of the disk, or [`ErrorKind::Damaged`].
    pub fn open_stored(&self, id: SnapshotId) -> Result<Option<OpenSnapshot>, Error> {
        let Some(file) = self.maintenance.folder.find(Name::Snapshot(id.last))? else {
            return Ok(None);
        };
        let (length, is_intact, crc) = checksum(&file)?;
        match is_intact {
            true if (length, crc) != (id.length, id.crc) => Ok(None),
            true => Ok(Some(OpenSnapshot { id, file })),
            false => Err(file.refuse(ErrorKind::Damaged, WRONG_CRC)),
        }
    }

    fn open(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file of this snapshot. Checks a file that it opens.
    fn find(&self, id: SnapshotId) -> Result<Option<Arc<OpenSnapshot>>, Error> {
        let mut open = self.open();
        if let Some(at) = open.iter().position(|(known, _)| *known == id)
            && let Some((_, file)) = open.remove(at)
        {
            open.push_front((id, file.clone()));
            return Ok(file);
        }
        let opened = self.open_stored(id).map(|file| file.map(Arc::new));
        let is_there = match &opened {
            Ok(file) => file.is_some(),
            Err(error) => error.kind() == ErrorKind::Damaged,
        };
        if is_there {
            open.push_front((id, opened.as_ref().ok().cloned().flatten()));
            open.truncate(Self::OPEN_MAX);
        }
        opened
    }
}

impl<'a> SnapshotFile<'a> {
    /// Checks the bytes of a snapshot.
    ///
    /// # Errors
    /// They are not a snapshot.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SnapshotRefusal> {
        let damaged = |what| (ErrorKind::Damaged, what);
        let what = "the format, or that of a section, is newer than this program";
        let newer = (ErrorKind::Newer, what);
        if bytes.len() < FIXED + TRAILER || &bytes[..8] != MAGIC {
            return Err(damaged("not a snapshot"));
        }
        if u32_at(bytes, 8) > FORMAT {
            return Err(newer);
        }
        let (content, crc) = bytes.split_at(bytes.len() - TRAILER);
        let crc = u32_at(crc, 0);
        if crc32c(content) != crc {
            return Err(damaged(WRONG_CRC));
        }
        let invalid = damaged("the CRC is right, but the header is invalid");
        let id = SnapshotId {
            last: EntryId {
                term: Term(u64_at(content, 24)),
                index: Index(u64_at(content, 16)),
            },
            length: bytes.len() as u64,
            crc,
        };
        let (voters, section) = (u32_at(content, 12), u32_at(content, 32));
        let (voters, rest) = content[FIXED..]
            .split_at_checked(voters as usize * 8)
            .filter(|(voters, _)| !voters.is_empty())
            .ok_or(invalid)?;
        let (section, machine) = rest.split_at_checked(section as usize).ok_or(invalid)?;
        let (voters, _) = voters.as_chunks::<8>();
        let voters = voters.iter().map(|v| NodeId(u64::from_le_bytes(*v)));
        let membership = if section.is_empty() {
            Membership::of(voters)
        } else {
            // A section that this program cannot read is of a newer one.
            let members: Members = json::decode(section).map_err(|_| newer)?;
            Arc::unwrap_or_clone(members.0)
        };
        if membership.voters().next().is_none() {
            return Err(invalid);
        }
        Ok(Self {
            id,
            membership,
            machine,
            cluster: Cluster(u32_at(content, 36)),
            bytes,
        })
    }

    /// Returns an error if it is of another cluster.
    fn demand(self, cluster: Cluster) -> Result<Self, SnapshotRefusal> {
        if self.cluster != cluster && self.cluster != UNKNOWN {
            let what = "the snapshot belongs to another cluster";
            return Err((ErrorKind::Foreign, what));
        }
        Ok(self)
    }
}

/// Reads and checks a snapshot file.
pub(super) fn load(folder: &Folder, cluster: Cluster, last: EntryId) -> Result<Restored, Error> {
    let file = folder.open(Name::Snapshot(last))?;
    let length = file.length()?;
    if length > MAX_SNAPSHOT {
        let what = format!("the file has {length} bytes; the maximum is {MAX_SNAPSHOT}");
        return Err(file.refuse(ErrorKind::Damaged, what).at(MAX_SNAPSHOT));
    }
    let mut bytes = vec![0; length as usize];
    file.read_at(&mut bytes, 0)?;
    let parsed = SnapshotFile::parse(&bytes).and_then(|parsed| match parsed.id.last == last {
        true => parsed.demand(cluster),
        false => Err(ANOTHER),
    });
    let parsed = parsed.map_err(|(kind, what)| {
        let what = format!("{what} (file of {length} bytes)");
        file.refuse(kind, what).at(0)
    })?;
    let (id, membership, machine) = (parsed.id, parsed.membership, parsed.machine.len());
    // Stripped in place, since the machine may be large.
    bytes.truncate(bytes.len() - TRAILER);
    bytes.drain(..bytes.len() - machine);
    Ok(Restored {
        id,
        membership,
        machine: bytes,
    })
}

/// The length of a snapshot file, whether its CRC is right, and the CRC.
fn checksum(file: &Handle) -> Result<(u64, bool, u32), Error> {
    let length = file.length()?;
    let Some(content) = length.checked_sub(TRAILER as u64) else {
        return Ok((length, false, 0));
    };
    let (mut crc, mut piece, mut read) = (Crc::default(), vec![0; Out::PIECE], 0);
    while read < content {
        let rest = usize::try_from(content - read).unwrap_or(usize::MAX);
        let here = piece.len().min(rest);
        file.read_at(&mut piece[..here], read)?;
        crc.update(&piece[..here]);
        read += here as u64;
    }
    let mut stored = [0; TRAILER];
    file.read_at(&mut stored, content)?;
    let crc = crc.value();
    Ok((length, crc == u32::from_le_bytes(stored), crc))
}

fn head(last: EntryId, cluster: Cluster, membership: &Membership) -> Vec<u8> {
    let voters: Vec<NodeId> = membership.voters().collect();
    let section = if membership.is_plain() {
        Vec::new()
    } else {
        json::encode(&Members(Arc::new(membership.clone())))
    };
    let mut head = MAGIC.to_vec();
    head.extend(FORMAT.to_le_bytes());
    head.extend((voters.len() as u32).to_le_bytes());
    head.extend(last.index.0.to_le_bytes());
    head.extend(last.term.0.to_le_bytes());
    head.extend((section.len() as u32).to_le_bytes());
    head.extend(cluster.0.to_le_bytes());
    for voter in voters {
        head.extend(voter.0.to_le_bytes());
    }
    head.extend(section);
    head
}

/// Writes a file in large pieces and computes its CRC. Syncs now and then, so that the sync in the
/// end does not hold up those of the log, and sees to the log's next segment meanwhile.
struct Out<'a> {
    file: &'a Handle,
    snapshots: &'a Snapshots,
    piece: Vec<u8>,
    written: u64,
    crc: Crc,
    failed: Option<Error>,
}

impl<'a> Out<'a> {
    /// The size of one write.
    const PIECE: usize = 256 << 10;

    /// A sync follows this many bytes.
    const SYNC: u64 = 8 << 20;

    fn new(file: &'a Handle, snapshots: &'a Snapshots) -> Self {
        Self {
            file,
            snapshots,
            piece: Vec::with_capacity(Self::PIECE),
            written: 0,
            crc: Crc::default(),
            failed: None,
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.crc.update(bytes);
        while !bytes.is_empty() {
            let here = bytes.len().min(Self::PIECE - self.piece.len());
            self.piece.extend(&bytes[..here]);
            bytes = &bytes[here..];
            if self.piece.len() == Self::PIECE {
                self.flush_all()?;
            }
        }
        Ok(())
    }

    fn flush_all(&mut self) -> Result<(), Error> {
        let length = self.written + self.piece.len() as u64;
        if length > MAX_SNAPSHOT {
            let what = format!("the snapshot exceeds the maximum of {MAX_SNAPSHOT} bytes");
            return Err(self.file.refuse(ErrorKind::TooLarge, what));
        }
        self.file.write_at(&self.piece, self.written)?;
        self.piece.clear();
        let synced = self.written / Self::SYNC;
        self.written = length;
        if length / Self::SYNC > synced {
            self.file.sync()?;
            self.snapshots.maintenance.make_spare();
        }
        self.snapshots.moved.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn finish(mut self, last: EntryId) -> Result<SnapshotId, Error> {
        let crc = self.crc.value();
        self.take(&crc.to_le_bytes())?;
        self.flush_all()?;
        Ok(SnapshotId {
            last,
            length: self.written,
            crc,
        })
    }
}

impl io::Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let copy = io::Error::other(error.to_string());
                self.failed = Some(error);
                Err(copy)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
