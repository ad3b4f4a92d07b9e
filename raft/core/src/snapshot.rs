//! The stages of a snapshot, one at a time (§7, Figure 13).
//!
//! The core does not encode snapshots. It hands a copy of its state machine, or the bytes of a
//! leader's snapshot, to its host as a [`Task`], goes on, and gets an input when the snapshot is on
//! disk.
//!
//! ```text
//!        due                       in it all is synced          the host has stored it
//! none ------> taken (a copy) ---------------------> storing ------------------> none, base record
//!
//!        a leader's chunks         complete, and newer          the host has stored it
//! none ------> incoming ----------------------------> installing ---------------> none, base record
//! ```
//!
//! A snapshot holds only entries that are committed, and synced on this node: the copy is taken
//! when it is due, which costs little, and waits for the sync. A leader's snapshot waits for the
//! ballot of the present term, since it may hold entries of that term.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::clock::Moment;
use crate::id::{EntryId, Index, RequestId, SnapshotId};
use crate::membership::Membership;
use crate::message::SnapshotChunk;

/// A copy of the state machine, for the host to store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotToStore<S> {
    /// The last entry applied to it.
    pub last: EntryId,
    /// The members of the cluster at that entry.
    pub membership: Membership,
    /// A copy of the machine.
    pub machine: S,
}

/// A leader's snapshot, for the host to check, to decode and to store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotToInstall {
    /// Its id, with the checksum that the bytes must have.
    pub id: SnapshotId,
    /// All of its bytes.
    pub bytes: Vec<u8>,
}

/// Work on a snapshot, which takes long, so the host does it on another thread. At most one task is
/// open at a time: the next one comes after the answer to the one before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task<S> {
    /// Encode and store this state. The answer is [`crate::Input::SnapshotStored`]. If it cannot
    /// be stored the node must stop.
    Store(SnapshotToStore<S>),
    /// Check (also that its membership is this cluster's) and store this snapshot. The answer is
    /// [`crate::Input::SnapshotInstalled`], or [`crate::Input::SnapshotBroken`] if the bytes
    /// do not match their checksum or cannot be decoded. If it cannot be stored the node must
    /// stop.
    Install(SnapshotToInstall),
}

/// A node's snapshots.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Snapshots<S> {
    /// The newest snapshot on disk.
    pub(crate) stored: Option<SnapshotId>,
    pub(crate) work: Work<S>,
    pub(crate) incoming: Option<IncomingSnapshot>,
    /// The leader's snapshot that was received last and found broken, until it is sent again.
    pub(crate) broken: Option<SnapshotId>,
    /// Whether the newest snapshot on disk was found broken, here or by a follower: the next one is
    /// due.
    pub(crate) is_doubted: bool,
    /// When the open task began, or last moved.
    pub(crate) moved: Moment,
}

/// The snapshot that is being made.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Work<S> {
    None,
    /// Taken; the entries in it may not be synced yet.
    Taken(SnapshotToStore<S>),
    /// The host stores the state after this entry.
    Storing(EntryId),
    /// The host stores this snapshot of a leader.
    Installing(SnapshotId),
}

/// The part of a leader's snapshot received so far.
#[derive(Clone, Debug, Hash)]
pub(crate) struct IncomingSnapshot {
    /// The leader's replication stream. Within one, snapshots only become newer.
    pub(crate) stream: RequestId,
    pub(crate) id: SnapshotId,
    pub(crate) bytes: Vec<u8>,
    /// Chunks that overtook others, by offset.
    pub(crate) early: BTreeMap<u64, Arc<[u8]>>,
}

impl IncomingSnapshot {
    /// Takes the part of a chunk that is new, and the early chunks that follow.
    fn extend(&mut self, mut offset: u64, mut data: Arc<[u8]>) {
        loop {
            let known = self.bytes.len() as u64 - offset;
            if let Some(new) = data.get(known as usize..) {
                self.bytes.extend_from_slice(new);
            }
            match self.early.first_entry() {
                Some(first) if *first.key() <= self.bytes.len() as u64 => {
                    (offset, data) = first.remove_entry();
                }
                _ => return,
            }
        }
    }
}

impl<S> Snapshots<S> {
    /// The state at the start, with the stored snapshot.
    pub(crate) fn new(stored: Option<SnapshotId>) -> Self {
        Self {
            stored,
            work: Work::None,
            incoming: None,
            broken: None,
            is_doubted: false,
            moved: Moment::default(),
        }
    }

    /// The last entry that a stored snapshot contains.
    pub(crate) fn covered(&self) -> EntryId {
        self.stored.map_or_else(EntryId::default, |id| id.last)
    }

    /// Notes that a snapshot is on disk.
    pub(crate) fn store(&mut self, id: SnapshotId) {
        self.stored = Some(id);
        self.is_doubted = false;
    }

    /// Notes that this snapshot was found broken on disk.
    pub(crate) fn doubt(&mut self, id: SnapshotId) {
        self.is_doubted |= self.stored == Some(id);
    }

    /// Whether the host has a task, and has written nothing for it for `ticks`.
    pub(crate) fn is_stalled(&self, now: Moment, ticks: u32) -> bool {
        let is_open = matches!(self.work, Work::Storing(_) | Work::Installing(_));
        is_open && now.is_past(self.moved, ticks)
    }

    /// Whether the host installs a leader's snapshot, with entries after `commit`.
    pub(crate) fn installs_after(&self, commit: Index) -> bool {
        matches!(self.work, Work::Installing(id) if id.last.index > commit)
    }

    /// Whether no snapshot is being made.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.work, Work::None)
    }

    /// The bytes received of a leader's snapshot, and its id.
    pub(crate) fn incoming(&self) -> Option<(u64, SnapshotId)> {
        let incoming = self.incoming.as_ref()?;
        Some((incoming.bytes.len() as u64, incoming.id))
    }

    /// Takes a chunk. Returns the offset wanted next. Keeps up to `early` chunks that overtook it.
    ///
    /// Another id begins at 0, unless it is older than the snapshot that the same leader sends now:
    /// then the chunk is late.
    pub(crate) fn receive_chunk(&mut self, chunk: &SnapshotChunk, early: usize) -> u64 {
        let (stream, id) = (chunk.stream, chunk.snapshot);
        let (offset, data) = (chunk.offset, &chunk.data);
        match self.work {
            Work::Installing(installing) if installing == id => return id.length,
            // One at a time: the next snapshot may begin once this one is stored.
            Work::Installing(_) => return 0,
            Work::None | Work::Taken(_) | Work::Storing(_) => {}
        }
        let is_late = |g: &IncomingSnapshot| g.stream == stream && g.id.last > id.last;
        if self.incoming.as_ref().is_some_and(is_late) {
            return 0;
        }
        if self.broken == Some(id) {
            if offset > 0 || data.is_empty() {
                return 0;
            }
            // The leader sends it again.
            self.broken = None;
        }
        let incoming = match &mut self.incoming {
            Some(incoming) if incoming.id == id => incoming,
            other => other.insert(IncomingSnapshot {
                stream,
                id,
                bytes: Vec::new(),
                early: BTreeMap::new(),
            }),
        };
        incoming.stream = stream;
        if offset <= incoming.bytes.len() as u64 {
            incoming.extend(offset, data.clone());
        } else if incoming.early.len() < early && !data.is_empty() {
            incoming.early.insert(offset, data.clone());
        }
        incoming.bytes.len() as u64
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

    /// The offset wanted next after a chunk of the leader's stream of this number.
    fn receive_chunk(
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
        let data = data.into();
        let chunk = SnapshotChunk {
            stream,
            snapshot,
            offset,
            data,
        };
        snapshots.receive_chunk(&chunk, 1)
    }

    const FIRST: &[u8] = b"abcde";

    fn here(snapshots: &Snapshots<()>) -> &[u8] {
        let incoming = snapshots.incoming.as_ref().expect("an incoming snapshot");
        &incoming.bytes
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
                let before = snapshots.incoming().map_or(0, |(bytes, _)| bytes);
                let wanted = receive_chunk(&mut snapshots, 1, whole, from as u64, &FIRST[from..to]);
                assert_eq!(here(&snapshots), &FIRST[..wanted as usize]);
                let fits = from as u64 <= before;
                assert!(wanted >= if fits { before.max(to as u64) } else { before });
            }
        }
    }

    #[test]
    fn chunk_that_overtook_another_is_kept() {
        let (id, mut snapshots) = (id(7, 5, 1), Snapshots::<()>::new(None));
        assert_eq!(receive_chunk(&mut snapshots, 1, id, 2, b"cd"), 0);
        // There is room for one.
        assert_eq!(receive_chunk(&mut snapshots, 1, id, 4, b"e"), 0);
        assert_eq!(receive_chunk(&mut snapshots, 1, id, 0, b"abc"), 4);
        assert_eq!(here(&snapshots), b"abcd");
    }

    #[test]
    fn broken_snapshot_begins_again_with_its_first_chunk() {
        let (id, mut snapshots) = (id(7, 5, 1), Snapshots::<()>::new(None));
        snapshots.broken = Some(id);
        assert_eq!(receive_chunk(&mut snapshots, 1, id, 3, b"de"), 0);
        assert_eq!(receive_chunk(&mut snapshots, 1, id, 0, b""), 0);
        assert!(snapshots.broken == Some(id) && snapshots.incoming().is_none());
        assert_eq!(receive_chunk(&mut snapshots, 1, id, 0, b"abc"), 3);
        assert_eq!(snapshots.broken, None);
    }

    #[test]
    fn another_id_begins_at_0() {
        let mut snapshots = Snapshots::<()>::new(None);
        assert_eq!(receive_chunk(&mut snapshots, 1, id(7, 5, 1), 0, b"abc"), 3);
        // The next leader's snapshot may be older, and may differ in the checksum alone.
        assert_eq!(receive_chunk(&mut snapshots, 2, id(7, 5, 2), 3, b"de"), 0);
        assert_eq!(receive_chunk(&mut snapshots, 2, id(7, 5, 2), 0, b"AB"), 2);
        assert_eq!(here(&snapshots), b"AB");
        assert_eq!(receive_chunk(&mut snapshots, 3, id(6, 5, 1), 0, b"x"), 1);
    }

    #[test]
    fn same_id_continues_with_another_leader() {
        let mut snapshots = Snapshots::<()>::new(None);
        assert_eq!(receive_chunk(&mut snapshots, 1, id(7, 5, 1), 0, b"abc"), 3);
        assert_eq!(receive_chunk(&mut snapshots, 2, id(7, 5, 1), 3, b"de"), 5);
        assert_eq!(here(&snapshots), FIRST);
    }

    #[test]
    fn late_chunk_of_an_older_snapshot_is_ignored() {
        let mut snapshots = Snapshots::<()>::new(None);
        assert_eq!(receive_chunk(&mut snapshots, 1, id(7, 5, 1), 0, b"abc"), 3);
        assert_eq!(receive_chunk(&mut snapshots, 1, id(9, 5, 1), 0, b"ab"), 2);
        assert_eq!(receive_chunk(&mut snapshots, 1, id(7, 5, 1), 0, b"abc"), 0);
        assert_eq!(snapshots.incoming(), Some((2, id(9, 5, 1))));
    }

    #[test]
    fn during_an_install_no_other_is_received() {
        let mut snapshots = Snapshots::<()>::new(None);
        snapshots.work = Work::Installing(id(7, 5, 1));
        assert_eq!(receive_chunk(&mut snapshots, 1, id(7, 5, 1), 3, b"de"), 5);
        assert_eq!(receive_chunk(&mut snapshots, 1, id(9, 5, 1), 0, b"ab"), 0);
        assert_eq!(snapshots.incoming(), None);
    }
}
