//! The stream of a snapshot to a follower that lacks compacted entries (§7, Figure 13).
//!
//! A window of chunks is in flight, and each reply names the first byte that the follower lacks. If
//! the follower gets no further within a heartbeat interval, the leader asks it with an empty chunk,
//! and continues at the byte that the reply names. So a dead follower costs an empty message per
//! interval, and a lost chunk one window.

use crate::clock::Moment;
use crate::config::Limits;
use crate::id::SnapshotId;

/// The progress of one follower with one snapshot.
#[derive(Clone, Debug, Hash)]
pub(crate) struct SnapshotStream {
    pub(crate) id: SnapshotId,
    /// The follower is known to have all bytes before this one.
    pub(super) offset: u64,
    /// All bytes before this one were sent.
    next: u64,
    /// When the stream began, or `offset` last changed.
    moved: Moment,
    /// The wait for a reply doubles this many times: once for each loss since the follower got
    /// further, and three times for each refusal.
    doublings: u32,
    /// How often the follower has found a snapshot of this stream broken.
    refusals: u32,
}

/// The wait for a reply doubles at most this many times.
const DOUBLINGS_MAX: u32 = 10;

impl SnapshotStream {
    pub(crate) fn new(id: SnapshotId, now: Moment) -> Self {
        Self {
            id,
            offset: 0,
            next: 0,
            moved: now,
            doublings: 0,
            refusals: 0,
        }
    }

    /// The stream of a newer snapshot to the same follower. No data leaves until the follower
    /// replies to an empty chunk.
    pub(crate) fn superseded(&self, id: SnapshotId) -> Self {
        Self {
            next: id.length,
            refusals: self.refusals,
            ..Self::new(id, self.moved)
        }
    }

    /// Whether a newer snapshot must replace this one: the follower found it broken, or has got no
    /// further for `ticks`. A follower that has all of it only has to install it.
    pub(crate) fn gives_way(&self, now: Moment, ticks: u32) -> bool {
        let is_whole = self.offset == self.id.length;
        self.refusals > 0 || !is_whole && now.is_past(self.moved, ticks)
    }

    /// Takes the offset and the size of the chunk to send now, if one may be sent.
    pub(crate) fn next_chunk(&mut self, limits: &Limits) -> Option<(u64, usize)> {
        let (offset, left) = (self.next, self.id.length - self.next);
        let length =
            usize::try_from(left).map_or(limits.chunk_bytes, |n| n.min(limits.chunk_bytes));
        let window = limits.inflight_chunks as u64 * limits.chunk_bytes as u64;
        let has_room = offset - self.offset < window;
        self.next += if has_room { length as u64 } else { 0 };
        (self.next > offset).then_some((offset, length))
    }

    /// Notes the reply to a chunk that ended at `asked`: the follower wants `offset` next. False if
    /// the leader knew this already.
    pub(crate) fn answered(&mut self, asked: u64, offset: u64, now: Moment, interval: u32) -> bool {
        let wait = interval.saturating_mul(1 << self.doublings.min(DOUBLINGS_MAX));
        if offset > self.offset {
            self.next = self.next.max(offset);
            self.doublings = 3 * self.refusals;
        } else if asked == self.offset && self.next > offset && now.is_past(self.moved, wait) {
            // An empty chunk arrived, and what was sent before it did not, or the follower has lost
            // bytes. Replies to other chunks may be late or repeated.
            self.next = offset;
            self.doublings += 1;
        } else {
            return false;
        }
        self.offset = offset;
        self.moved = now;
        true
    }

    /// Notes that the follower found the snapshot broken. It is sent again after a wait, which is
    /// longer after each refusal. False if the leader knew this already.
    pub(crate) fn refused(&mut self, now: Moment) -> bool {
        let is_news = self.offset > 0;
        if is_news {
            self.refusals += 1;
            *self = Self {
                moved: now,
                doublings: 3 * self.refusals,
                ..self.superseded(self.id)
            };
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::id::{EntryId, Index, Term};

    const INTERVAL: u32 = 3;

    fn later(ticks: u32) -> Moment {
        (0..ticks).fold(Moment::default(), |moment, _| moment.next())
    }

    fn limits() -> Limits {
        Limits {
            chunk_bytes: 4,
            inflight_chunks: 2,
            ..Limits::default()
        }
    }

    /// Sends all chunks that may be sent, and returns their ends.
    fn send(stream: &mut SnapshotStream) -> Vec<u64> {
        let mut ends = Vec::new();
        while let Some((offset, length)) = stream.next_chunk(&limits()) {
            ends.push(offset + length as u64);
        }
        ends
    }

    /// A stream of 14 bytes: the follower has four, and eight more are in flight.
    fn under_way() -> SnapshotStream {
        let last = EntryId {
            term: Term(1),
            index: Index(7),
        };
        let (length, crc) = (14, 1);
        let mut stream = SnapshotStream::new(SnapshotId { last, length, crc }, later(0));
        assert_eq!(send(&mut stream), [4, 8]);
        assert!(stream.answered(4, 4, later(1), INTERVAL));
        assert_eq!(send(&mut stream), [12]);
        stream
    }

    #[test]
    fn last_chunk_has_the_remaining_bytes() {
        let mut stream = under_way();
        assert!(stream.answered(8, 8, later(2), INTERVAL));
        assert_eq!(send(&mut stream), [14]);
        assert!(stream.answered(14, 14, later(3), INTERVAL));
        assert_eq!(send(&mut stream), []);
    }

    #[test]
    fn late_or_repeated_reply_is_ignored() {
        let mut stream = under_way();
        assert!(!stream.answered(4, 4, later(2), INTERVAL));
        assert!(!stream.answered(0, 0, later(9), INTERVAL));
        // A chunk that overtook another is no sign of a loss.
        assert!(!stream.answered(12, 4, later(9), INTERVAL));
        assert_eq!((stream.offset, send(&mut stream)), (4, vec![]));
    }

    #[test]
    fn lost_chunks_are_sent_again_after_a_growing_wait() {
        let mut stream = under_way();
        assert!(!stream.answered(4, 4, later(3), INTERVAL));
        assert!(stream.answered(4, 4, later(4), INTERVAL));
        assert_eq!(send(&mut stream), [8, 12]);
        assert!(!stream.answered(4, 4, later(9), INTERVAL));
        assert!(stream.answered(4, 4, later(10), INTERVAL));
        assert_eq!(send(&mut stream), [8, 12]);
        // Progress ends the growth.
        assert!(stream.answered(8, 8, later(11), INTERVAL));
        assert!(stream.answered(8, 8, later(14), INTERVAL));
    }

    #[test]
    fn follower_that_lost_its_bytes_begins_again() {
        let mut stream = under_way();
        assert!(!stream.answered(4, 0, later(3), INTERVAL));
        assert!(stream.answered(4, 0, later(4), INTERVAL));
        assert_eq!((stream.offset, send(&mut stream)), (0, vec![4, 8]));
    }

    #[test]
    fn higher_offset_continues_from_there() {
        let mut stream = under_way();
        assert!(stream.answered(4, 13, later(2), INTERVAL));
        assert_eq!((stream.offset, send(&mut stream)), (13, vec![14]));
    }

    #[test]
    fn older_snapshot_is_kept_while_the_follower_gets_further() {
        let mut stream = under_way();
        assert!(!stream.gives_way(later(3), 3));
        assert!(stream.gives_way(later(4), 3));
        stream.answered(14, 14, later(5), INTERVAL);
        assert!(!stream.gives_way(later(99), 3));
    }

    #[test]
    fn newer_snapshot_begins_with_a_question() {
        let stream = under_way();
        let length = 20;
        let mut newer = stream.superseded(SnapshotId {
            length,
            ..stream.id
        });
        assert_eq!(send(&mut newer), []);
        assert!(newer.answered(0, 0, later(4), INTERVAL));
        assert_eq!(send(&mut newer), [4, 8]);
    }

    #[test]
    fn refused_snapshot_waits_longer_each_time() {
        let mut stream = under_way();
        let mut now = 10;
        for wait in [INTERVAL << 3, INTERVAL << 6] {
            assert!(stream.refused(later(now)));
            assert!(!stream.refused(later(now)), "a repeated refusal");
            assert!(stream.gives_way(later(now), 1000));
            assert!(!stream.answered(0, 0, later(now + wait - 1), INTERVAL));
            assert_eq!(send(&mut stream), []);
            assert!(stream.answered(0, 0, later(now + wait), INTERVAL));
            assert_eq!(send(&mut stream), [4, 8]);
            assert!(stream.answered(14, 14, later(now + wait), INTERVAL));
            now += wait;
        }
    }
}
