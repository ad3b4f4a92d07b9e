//! Snapshot files. The whole file, as it lies here, is also what travels to other nodes.
//!
//! ```text
//!  0  "stdraftP"
//!  8  version 4            12  number of voters 4
//! 16  last entry: index    24  its term
//! 32  length of the sessions, 0 until there are any
//! 40  voters, 8 each
//!     sessions
//!     the machine, as it encodes itself
//!  …  CRC of all bytes before
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use raft_core::{EntryId, Index, Membership, NodeId, SnapshotId, Term};

use super::FORMAT;
use super::bytes::{u32_at, u64_at};
use super::crc::{Crc, crc32c};
use super::error::{Error, ErrorKind};
use super::folder::{Folder, Handle, Name};

/// How many bytes a snapshot may have as a file. One that grows beyond cannot be stored, and the
/// node stops.
pub const MAX_SNAPSHOT: u64 = 8 << 30;

const MAGIC: &[u8; 8] = b"stdraftP";
const FIXED: usize = 40;
const TRAILER: usize = 4;

/// The snapshots of a node. Clones are about the same folder, and each thread may have one.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: Arc<Folder>,
    open: Arc<Mutex<OpenFiles>>,
}

/// The newest is in front.
type OpenFiles = VecDeque<(SnapshotId, Arc<Handle>)>;

/// A snapshot that is whole: its CRC is right, and its head makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile<'a> {
    /// Its name.
    pub id: SnapshotId,
    /// Who belonged to the cluster then.
    pub membership: Membership,
    /// The machine, as it encoded itself.
    pub machine: &'a [u8],
    bytes: &'a [u8],
}

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// They do not begin like one, or are too few.
    NoSnapshot,
    /// A newer version of the program wrote it.
    Newer,
    /// The CRC is wrong.
    Crc,
    /// The CRC is right, but what stands in it can't be.
    Nonsense,
    /// It is a snapshot, but not the one that was to come.
    Another,
}

impl Snapshots {
    /// How many snapshots at most are held open for those who read them. A snapshot that is held
    /// open can be read to its end though it has been removed meanwhile.
    pub const OPEN_MAX: usize = 2;

    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            open: Arc::default(),
        }
    }

    /// Stores the state after the entry `last`. `machine` writes the machine, in as many pieces as
    /// it likes. When this returns it would survive a crash, and the base record may be made. Those
    /// before it stay until then.
    ///
    /// # Errors
    /// The disk's own, `machine`'s, or that it is too large. The node must stop.
    pub fn store(
        &self,
        last: EntryId,
        membership: &Membership,
        machine: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<SnapshotId, Error> {
        let (_, id) = self.folder.create(Name::Snapshot(last), |file| {
            let mut out = Out::new(file);
            out.take(&head(last, membership))?;
            let encoded = machine(&mut out);
            if let Some(error) = out.failed.take() {
                return Err(error);
            }
            encoded.map_err(|error| {
                file.refuse(ErrorKind::Disk, format!("cannot encode it: {error}"))
            })?;
            out.finish(last)
        })?;
        Ok(id)
    }

    /// Stores a snapshot that another node sent. When this returns it would survive a crash, and
    /// the base record may be made.
    ///
    /// # Errors
    /// The disk's own. The node must stop.
    pub fn install(&self, snapshot: &SnapshotFile<'_>) -> Result<(), Error> {
        let name = Name::Snapshot(snapshot.id.last);
        self.folder.create(name, |file| {
            let mut out = Out::new(file);
            out.take(snapshot.bytes)?;
            out.flush_all()
        })?;
        Ok(())
    }

    /// Up to `length` bytes of a stored snapshot, from `offset` on; less at its end. `None` if that
    /// very snapshot is not there any more.
    ///
    /// # Errors
    /// The disk's own.
    pub fn read(
        &self,
        id: SnapshotId,
        offset: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.find(id)? else {
            return Ok(None);
        };
        let rest = id.length.saturating_sub(offset);
        let mut bytes = vec![0; length.min(usize::try_from(rest).unwrap_or(length))];
        file.read_at(&mut bytes, offset)?;
        Ok(Some(bytes))
    }

    /// The open file of this very snapshot.
    fn find(&self, id: SnapshotId) -> Result<Option<Arc<Handle>>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.iter().find(|(known, _)| *known == id) {
            return Ok(Some(file.clone()));
        }
        let Some(file) = self.folder.find(Name::Snapshot(id.last))? else {
            return Ok(None);
        };
        let mut crc = [0; TRAILER];
        if file.length()? != id.length || id.length < (FIXED + TRAILER) as u64 {
            return Ok(None);
        }
        file.read_at(&mut crc, id.length - TRAILER as u64)?;
        if u32::from_le_bytes(crc) != id.crc {
            return Ok(None);
        }
        let file = Arc::new(file);
        open.push_front((id, file.clone()));
        open.truncate(Self::OPEN_MAX);
        Ok(Some(file))
    }
}

impl<'a> SnapshotFile<'a> {
    /// Checks the bytes of a snapshot, however they came here.
    ///
    /// # Errors
    /// If they are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Broken> {
        if bytes.len() < FIXED + TRAILER || &bytes[..8] != MAGIC {
            return Err(Broken::NoSnapshot);
        }
        if u32_at(bytes, 8) > FORMAT {
            return Err(Broken::Newer);
        }
        let (content, crc) = bytes.split_at(bytes.len() - TRAILER);
        let crc = u32_at(crc, 0);
        if crc32c(content) != crc {
            return Err(Broken::Crc);
        }
        let id = SnapshotId {
            last: EntryId {
                term: Term(u64_at(content, 24)),
                index: Index(u64_at(content, 16)),
            },
            length: bytes.len() as u64,
            crc,
        };
        let voters = u32_at(content, 12) as usize;
        let (voters, rest) = content[FIXED..]
            .split_at_checked(voters * 8)
            .filter(|(voters, _)| !voters.is_empty())
            .ok_or(Broken::Nonsense)?;
        let (voters, _) = voters.as_chunks::<8>();
        let sessions = usize::try_from(u64_at(content, 32)).map_err(|_| Broken::Nonsense)?;
        let (_, machine) = rest.split_at_checked(sessions).ok_or(Broken::Nonsense)?;
        Ok(Self {
            id,
            membership: Membership::of(voters.iter().map(|v| NodeId(u64::from_le_bytes(*v)))),
            machine,
            bytes,
        })
    }

    /// Checks the bytes of a snapshot that was announced under a name.
    ///
    /// # Errors
    /// If they are none, or another one.
    pub fn received(id: SnapshotId, bytes: &'a [u8]) -> Result<Self, Broken> {
        let whole = Self::parse(bytes)?;
        if whole.id != id {
            return Err(Broken::Another);
        }
        Ok(whole)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSnapshot => "it does not begin like a snapshot, or is too short for one",
            Self::Newer => "it is of a version that this program does not know",
            Self::Crc => "its CRC is wrong",
            Self::Nonsense => "its CRC is right, but its head makes no sense",
            Self::Another => "it is not the snapshot that its name says",
        })
    }
}

impl std::error::Error for Broken {}

/// Reads a snapshot's file into `bytes`, whole.
pub(super) fn load<'a>(
    folder: &Folder,
    last: EntryId,
    bytes: &'a mut Vec<u8>,
) -> Result<SnapshotFile<'a>, Error> {
    let name = Name::Snapshot(last);
    let file = folder.open(name)?;
    let length = file.length()?;
    if length > MAX_SNAPSHOT {
        let what = format!("it has {length} bytes, more than any snapshot ({MAX_SNAPSHOT})");
        return Err(file.refuse(ErrorKind::Damaged, what).at(MAX_SNAPSHOT));
    }
    bytes.clear();
    bytes.resize(length as usize, 0);
    file.read_at(bytes, 0)?;
    let whole = SnapshotFile::parse(bytes).and_then(|whole| {
        if whole.id.last != last {
            return Err(Broken::Another);
        }
        Ok(whole)
    });
    whole.map_err(|broken| {
        let kind = match broken {
            Broken::Newer => ErrorKind::Newer,
            Broken::NoSnapshot | Broken::Crc | Broken::Nonsense | Broken::Another => {
                ErrorKind::Damaged
            }
        };
        let whole_file = format!("{broken} (of {length} bytes)");
        file.refuse(kind, whole_file).at(0)
    })
}

/// Leaves only the machine, which has so many bytes, of the bytes of a snapshot.
pub(super) fn strip(bytes: &mut Vec<u8>, machine: usize) {
    bytes.truncate(bytes.len() - TRAILER);
    bytes.drain(..bytes.len() - machine);
}

fn head(last: EntryId, membership: &Membership) -> Vec<u8> {
    let voters: Vec<NodeId> = membership.voters().collect();
    let mut head = MAGIC.to_vec();
    head.extend(FORMAT.to_le_bytes());
    head.extend((voters.len() as u32).to_le_bytes());
    for number in [last.index.0, last.term.0, 0] {
        head.extend(number.to_le_bytes());
    }
    for voter in voters {
        head.extend(voter.0.to_le_bytes());
    }
    head
}

/// Writes a file in large pieces and computes the CRC of it all.
struct Out<'a> {
    file: &'a Handle,
    piece: Vec<u8>,
    written: u64,
    crc: Crc,
    failed: Option<Error>,
}

impl<'a> Out<'a> {
    /// How much is written at once.
    const PIECE: usize = 256 << 10;

    fn new(file: &'a Handle) -> Self {
        Self {
            file,
            piece: Vec::with_capacity(Self::PIECE),
            written: 0,
            crc: Crc::new(),
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
            let what = format!("a snapshot may have {MAX_SNAPSHOT} bytes, and this one has more");
            return Err(self.file.refuse(ErrorKind::TooLarge, what));
        }
        self.file.write_at(&self.piece, self.written)?;
        self.piece.clear();
        self.written = length;
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
                let said = io::Error::other(error.to_string());
                self.failed = Some(error);
                Err(said)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
