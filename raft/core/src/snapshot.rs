//! Snapshots: when one is taken, how a leader's is gathered, and that one at a time is in the
//! making (§7, Figure 13).
//!
//! The core knows no bytes. It hands a copy of its state machine, or the bytes of a leader's
//! snapshot, to its host as a [`Task`], goes on, and is told when the snapshot is safe on disk.
//!
//! ```text
//!        due                       in it all is synced          the host has stored it
//! none ------> taken (a copy) ---------------------> storing ------------------> none, base record
//!
//!        a leader's chunks         whole, and not behind us     the host has stored it
//! none ------> gathering ---------------------------> installing ---------------> none, base record
//! ```
//!
//! A snapshot holds only what is committed, and nothing that this node has not synced: a copy is
//! taken when it is due, which costs little, and waits for the disk. A leader's snapshot waits for
//! the ballot of the present term, since it may hold entries of that term.

use alloc::vec::Vec;
use core::mem;

use crate::id::{EntryId, RequestId};
use crate::machine::StateMachine;
use crate::membership::Membership;
use crate::message::SnapshotChunk;
use crate::node::Shared;
use crate::rename::{Names, Rename, renames};

/// The name of a stored snapshot. Two nodes that have stored snapshots of one name have stored the
/// same bytes, so that chunks of one name may come from anybody, and those of two names never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotId {
    /// The last entry that it contains.
    pub last: EntryId,
    /// How many bytes it has, as it is stored and sent.
    pub length: u64,
    /// A checksum over those bytes. The core compares it and never computes it.
    pub crc: u32,
}

/// A state of the machine, for the host to store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Capture<S> {
    /// The last entry that is applied to it.
    pub last: EntryId,
    /// Who belonged to the cluster then.
    pub membership: Membership,
    /// A copy of the machine.
    pub machine: S,
}

/// A leader's snapshot, for the host to check, to decode and to store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Received {
    /// Its name: its checksum is what the bytes must come to.
    pub id: SnapshotId,
    /// All of its bytes.
    pub bytes: Vec<u8>,
}

/// Work on a snapshot, which takes long and is done beside the replica. There is never more than
/// one task at a time: the next one comes after the answer to the one before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task<S> {
    /// Encode and store this state. The answer is [`crate::Input::SnapshotStored`]. If it cannot
    /// be stored the node must stop.
    Store(Capture<S>),
    /// Check (also that its membership is this cluster's) and store this snapshot. The answer is
    /// [`crate::Input::SnapshotInstalled`], or [`crate::Input::SnapshotBroken`] if the bytes
    /// are not what their name says or make no sense. If it cannot be stored the node must
    /// stop.
    Install(Received),
}

/// Reads chunks of the stored snapshots, for [`crate::Output::release`].
pub trait Chunks {
    /// So many bytes of a stored snapshot, from `offset` on. Nothing if that snapshot is not
    /// stored any more (the chunk is not sent then, and the transfer begins again with a newer
    /// one), or cannot be read (which the host must see to).
    fn read(&mut self, id: SnapshotId, offset: u64, length: usize) -> Option<Vec<u8>>;
}

/// A node's snapshots.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Snapshots<S> {
    /// The newest one that is safe on disk.
    stored: Option<SnapshotId>,
    work: Work<S>,
    gathering: Option<Gathering>,
}

/// The snapshot in the making.
#[derive(Clone, Debug, Hash)]
enum Work<S> {
    None,
    /// Taken, and not all in it is known to be on this node's disk.
    Taken(Capture<S>),
    /// The host stores the state after this entry.
    Storing(EntryId),
    /// The host stores this snapshot of a leader's.
    Installing(SnapshotId),
}

/// A leader's snapshot, as far as it has come.
#[derive(Clone, Debug, Hash)]
struct Gathering {
    /// The leader's replication stream. Within one, snapshots only become newer.
    stream: RequestId,
    id: SnapshotId,
    bytes: Vec<u8>,
}

impl<S> Snapshots<S> {
    /// What storage holds at the start.
    pub(crate) fn new(stored: Option<SnapshotId>) -> Self {
        Self {
            stored,
            work: Work::None,
            gathering: None,
        }
    }

    /// The newest one that is safe on disk.
    pub(crate) fn stored(&self) -> Option<SnapshotId> {
        self.stored
    }

    /// The last entry that a stored snapshot contains.
    pub(crate) fn covered(&self) -> EntryId {
        self.stored.map_or_else(EntryId::default, |id| id.last)
    }

    /// A snapshot is safe on disk.
    pub(crate) fn store(&mut self, id: SnapshotId) {
        self.stored = Some(id);
    }

    /// Whether none is in the making.
    pub(crate) fn is_idle(&self) -> bool {
        match self.work {
            Work::None => true,
            Work::Taken(_) | Work::Storing(_) | Work::Installing(_) => false,
        }
    }

    /// How many bytes of a leader's snapshot are here, and of how many.
    pub(crate) fn gathered(&self) -> Option<(u64, SnapshotId)> {
        let gathering = self.gathering.as_ref()?;
        Some((gathering.bytes.len() as u64, gathering.id))
    }

    /// Takes a chunk, if it is the next one. Returns which byte is wanted next.
    ///
    /// Another name begins at 0, unless it is older than what the same leader sends now: then it
    /// is merely late.
    fn gather(&mut self, chunk: &SnapshotChunk) -> u64 {
        let SnapshotChunk {
            stream,
            snapshot: id,
            offset,
            ref data,
        } = *chunk;
        match self.work {
            Work::Installing(installing) if installing == id => return id.length,
            // One at a time: the next one may begin once this one is stored.
            Work::Installing(_) => return 0,
            Work::None | Work::Taken(_) | Work::Storing(_) => {}
        }
        let is_late = |g: &Gathering| g.stream == stream && g.id.last > id.last;
        if self.gathering.as_ref().is_some_and(is_late) {
            return 0;
        }
        let gathering = match &mut self.gathering {
            Some(gathering) if gathering.id == id => gathering,
            other => other.insert(Gathering {
                stream,
                id,
                bytes: Vec::new(),
            }),
        };
        gathering.stream = stream;
        let here = gathering.bytes.len() as u64;
        let new = here.checked_sub(offset).map(|known| known as usize);
        if let Some(new) = new.and_then(|known| data.get(known..)) {
            gathering.bytes.extend_from_slice(new);
        }
        gathering.bytes.len() as u64
    }
}

impl<S: StateMachine> Shared<S> {
    /// A leader sends a part of its snapshot. Returns which byte of it is wanted next.
    pub(crate) fn gather(&mut self, chunk: &SnapshotChunk) -> u64 {
        if chunk.snapshot.length > self.config.limits.snapshot_bytes_max {
            self.counters.dropped.overflow += 1;
            return 0;
        }
        self.snapshots.gather(chunk)
    }

    /// Whether enough was applied since the last snapshot, and none is in the making.
    pub(crate) fn snapshot_is_due(&self) -> bool {
        let limits = &self.config.limits;
        let (covered, commit) = (self.snapshots.covered().index, self.commit());
        let is_enough = commit.0 - covered.0 >= limits.snapshot_entries
            || self.log().bytes(covered, commit) >= limits.snapshot_bytes;
        is_enough && self.snapshots.is_idle()
    }

    /// Takes a snapshot of the state as it is.
    pub(crate) fn capture(&mut self) {
        self.snapshots.work = Work::Taken(Capture {
            last: self.committed(),
            membership: self.membership.clone(),
            machine: self.machine().clone(),
        });
    }

    /// The task that the host may begin now, if there is one.
    pub(crate) fn next_task(&mut self) -> Option<Task<S>> {
        let commit = self.commit();
        let snapshots = &mut self.snapshots;
        // A snapshot never replaces newer state.
        let (is_new, is_whole) = match &snapshots.gathering {
            Some(Gathering { id, bytes, .. }) => {
                (id.last.index > commit, bytes.len() as u64 == id.length)
            }
            None => (false, false),
        };
        if !is_new {
            snapshots.gathering = None;
        }
        // It may contain entries of the present term: none is stored before that term is.
        if !self.persistence.holds_ballot_of(self.term()) {
            return None;
        }
        let synced = self.persistence.index();
        let snapshots = &mut self.snapshots;
        match mem::replace(&mut snapshots.work, Work::None) {
            // A leader's is newer than what was taken here, and takes its place.
            Work::None | Work::Taken(_) if is_new && is_whole => {
                let Gathering { id, bytes, .. } = snapshots.gathering.take()?;
                snapshots.work = Work::Installing(id);
                Some(Task::Install(Received { id, bytes }))
            }
            Work::Taken(capture) if capture.last.index <= synced => {
                snapshots.work = Work::Storing(capture.last);
                Some(Task::Store(capture))
            }
            other => {
                snapshots.work = other;
                None
            }
        }
    }

    /// A snapshot of this node's own state is safe on disk.
    ///
    /// # Panics
    /// If it is not the one that the host was asked to store.
    pub(crate) fn snapshot_stored(&mut self, id: SnapshotId) {
        let work = mem::replace(&mut self.snapshots.work, Work::None);
        assert!(
            matches!(work, Work::Storing(last) if last == id.last),
            "the snapshot that was to be stored"
        );
        self.counters.snapshots_stored += 1;
        self.rest_on(id);
    }

    /// A leader's snapshot is safe on disk.
    ///
    /// # Panics
    /// If it is not the one that the host was asked to install.
    pub(crate) fn snapshot_installed(
        &mut self,
        id: SnapshotId,
        membership: &Membership,
        machine: S,
    ) {
        self.end_install(id);
        if *membership == self.membership && self.take_over(id.last, machine) {
            self.counters.snapshots_installed += 1;
            self.rest_on(id);
        } else {
            self.counters.dropped.malformed += 1;
        }
    }

    /// A leader's snapshot is not what its name says.
    ///
    /// # Panics
    /// If it is not the one that the host was asked to install.
    pub(crate) fn snapshot_broken(&mut self, id: SnapshotId) {
        self.end_install(id);
        self.counters.snapshots_broken += 1;
    }

    fn end_install(&mut self, id: SnapshotId) {
        let work = mem::replace(&mut self.snapshots.work, Work::None);
        assert!(
            matches!(work, Work::Installing(installing) if installing == id),
            "the snapshot that was to be installed"
        );
    }
}

renames!(<S> Snapshots<S> { work, gathering });
renames!(Gathering { stream });

impl<S> Rename for Work<S> {
    fn rename(&mut self, names: &mut dyn Names) {
        match self {
            Self::Taken(capture) => capture.membership.rename(names),
            Self::None | Self::Storing(_) | Self::Installing(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, Index, Term};

    fn id(index: u64, length: u64, crc: u32) -> SnapshotId {
        let (term, index) = (Term(1), Index(index));
        let last = EntryId { term, index };
        SnapshotId { last, length, crc }
    }

    /// What is wanted next after a chunk of the leader's stream of this number.
    fn gather(
        snapshots: &mut Snapshots<()>,
        stream: u64,
        snapshot: SnapshotId,
        offset: u64,
        data: &[u8],
    ) -> u64 {
        let stream = RequestId {
            incarnation: Incarnation(1),
            counter: stream,
        };
        snapshots.gather(&SnapshotChunk {
            stream,
            snapshot,
            offset,
            data: data.into(),
        })
    }

    const FIRST: &[u8] = b"abcde";

    fn here(snapshots: &Snapshots<()>) -> &[u8] {
        let gathering = snapshots.gathering.as_ref().expect("something has come");
        &gathering.bytes
    }

    /// Every order in which three chunks can come, each twice, and with every overlap: no byte is
    /// ever in the wrong place.
    #[test]
    fn chunks_in_any_order_never_mix() {
        let whole = id(7, 5, 1);
        for choices in 0..6usize.pow(5) {
            let mut snapshots = Snapshots::<()>::new(None);
            for step in 0..5 {
                let (from, to) = [(0, 2), (2, 4), (4, 5), (1, 4), (0, 0), (3, 5)]
                    [choices / 6usize.pow(step) % 6];
                let before = snapshots.gathered().map_or(0, |(bytes, _)| bytes);
                let wanted = gather(&mut snapshots, 1, whole, from as u64, &FIRST[from..to]);
                assert_eq!(here(&snapshots), &FIRST[..wanted as usize]);
                let fits = from as u64 <= before;
                assert_eq!(wanted, if fits { before.max(to as u64) } else { before });
            }
        }
    }

    #[test]
    fn another_name_begins_at_0() {
        let mut snapshots = Snapshots::<()>::new(None);
        assert_eq!(gather(&mut snapshots, 1, id(7, 5, 1), 0, b"abc"), 3);
        // Of another leader: it may be older, and the checksum alone may tell.
        assert_eq!(gather(&mut snapshots, 2, id(7, 5, 2), 3, b"de"), 0);
        assert_eq!(gather(&mut snapshots, 2, id(7, 5, 2), 0, b"AB"), 2);
        assert_eq!(here(&snapshots), b"AB");
        assert_eq!(gather(&mut snapshots, 3, id(6, 5, 1), 0, b"x"), 1);
    }

    #[test]
    fn the_same_name_goes_on_with_another_leader() {
        let mut snapshots = Snapshots::<()>::new(None);
        assert_eq!(gather(&mut snapshots, 1, id(7, 5, 1), 0, b"abc"), 3);
        assert_eq!(gather(&mut snapshots, 2, id(7, 5, 1), 3, b"de"), 5);
        assert_eq!(here(&snapshots), FIRST);
    }

    #[test]
    fn a_late_chunk_of_an_older_one_takes_nothing_away() {
        let mut snapshots = Snapshots::<()>::new(None);
        assert_eq!(gather(&mut snapshots, 1, id(7, 5, 1), 0, b"abc"), 3);
        assert_eq!(gather(&mut snapshots, 1, id(9, 5, 1), 0, b"ab"), 2);
        assert_eq!(gather(&mut snapshots, 1, id(7, 5, 1), 0, b"abc"), 0);
        assert_eq!(snapshots.gathered(), Some((2, id(9, 5, 1))));
    }

    #[test]
    fn while_one_is_installed_no_other_is_gathered() {
        let mut snapshots = Snapshots::<()>::new(None);
        snapshots.work = Work::Installing(id(7, 5, 1));
        assert_eq!(gather(&mut snapshots, 1, id(7, 5, 1), 3, b"de"), 5);
        assert_eq!(gather(&mut snapshots, 1, id(9, 5, 1), 0, b"ab"), 0);
        assert_eq!(snapshots.gathered(), None);
    }
}
