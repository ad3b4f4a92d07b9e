//! The stream of a snapshot to a follower that lacks compacted entries (§7, Figure 13).
//!
//! One chunk is in flight at a time, and the follower's reply names the byte that it wants next. If
//! no reply comes within a heartbeat interval, the leader first sends an empty chunk: the reply to
//! it shows how much the follower has. So a dead follower costs an empty message per interval.

use crate::clock::Moment;
use crate::id::SnapshotId;

/// The progress of one follower with one snapshot.
#[derive(Clone, Debug, Hash)]
pub(crate) struct SnapshotStream {
    pub(crate) id: SnapshotId,
    /// The follower is known to have all bytes before this one.
    offset: u64,
    /// When the chunk at `offset` was sent, if it was.
    sent: Option<Moment>,
}

impl SnapshotStream {
    pub(crate) fn new(id: SnapshotId) -> Self {
        Self {
            id,
            offset: 0,
            sent: None,
        }
    }

    /// The stream of a newer snapshot to the same follower. A reply that is due must come first.
    pub(crate) fn superseded(&self, id: SnapshotId) -> Self {
        Self {
            sent: self.sent,
            ..Self::new(id)
        }
    }

    /// The follower is known to have all bytes before this one.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the follower has all bytes and only has to install the snapshot.
    pub(crate) fn is_whole(&self) -> bool {
        self.offset == self.id.length
    }

    /// The size of the chunk to send now, if one may be sent.
    pub(crate) fn next_chunk(&self, limit: usize) -> Option<usize> {
        let left = usize::try_from(self.id.length - self.offset).unwrap_or(usize::MAX);
        (self.sent.is_none() && left > 0).then_some(left.min(limit))
    }

    /// Notes that the chunk at the offset was sent.
    pub(crate) fn chunk_sent(&mut self, now: Moment) {
        self.sent = Some(now);
    }

    /// Notes the reply to a chunk that ended at `asked`: the follower wants `offset` next. False if
    /// the leader knew this already.
    pub(crate) fn answered(&mut self, asked: u64, offset: u64, now: Moment, interval: u32) -> bool {
        if offset == self.offset {
            // An empty chunk arrived, and the full one sent before it did not: it is lost.
            let is_lost = asked == offset && self.sent.is_some_and(|at| now.is_past(at, interval));
            if is_lost {
                self.sent = None;
            }
            return is_lost;
        }
        // Replies to earlier chunks may be late or repeated. Only a reply to the present chunk with
        // a lower offset shows that the follower has lost bytes.
        let is_news = offset > self.offset || asked >= self.offset;
        if is_news {
            self.offset = offset;
            self.sent = None;
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{EntryId, Index, Term};

    const INTERVAL: u32 = 3;

    fn later(ticks: u32) -> Moment {
        (0..ticks).fold(Moment::default(), |moment, _| moment.next())
    }

    /// A stream of ten bytes: the follower has four, and four more are in flight.
    fn under_way() -> SnapshotStream {
        let last = EntryId {
            term: Term(1),
            index: Index(7),
        };
        let (length, crc) = (10, 1);
        let mut stream = SnapshotStream::new(SnapshotId { last, length, crc });
        assert_eq!(stream.next_chunk(4), Some(4));
        stream.chunk_sent(later(0));
        assert_eq!(stream.next_chunk(4), None);
        assert!(stream.answered(4, 4, later(1), INTERVAL));
        assert_eq!(stream.next_chunk(4), Some(4));
        stream.chunk_sent(later(1));
        stream
    }

    #[test]
    fn last_chunk_has_the_remaining_bytes() {
        let mut stream = under_way();
        assert!(stream.answered(8, 8, later(2), INTERVAL));
        assert_eq!(stream.next_chunk(4), Some(2));
        stream.chunk_sent(later(2));
        assert!(!stream.is_whole());
        assert!(stream.answered(10, 10, later(3), INTERVAL));
        assert!(stream.is_whole());
        assert_eq!(stream.next_chunk(4), None);
    }

    #[test]
    fn late_or_repeated_reply_is_ignored() {
        let mut stream = under_way();
        assert!(!stream.answered(4, 4, later(2), INTERVAL));
        assert!(!stream.answered(0, 0, later(9), INTERVAL));
        assert_eq!((stream.offset(), stream.next_chunk(4)), (4, None));
    }

    #[test]
    fn lost_chunk_is_sent_again_after_an_interval() {
        let mut stream = under_way();
        assert!(!stream.answered(4, 4, later(3), INTERVAL));
        assert!(stream.answered(4, 4, later(4), INTERVAL));
        assert_eq!((stream.offset(), stream.next_chunk(4)), (4, Some(4)));
        // No chunk is in flight now, so none is lost.
        assert!(!stream.answered(4, 4, later(9), INTERVAL));
    }

    #[test]
    fn follower_that_lost_its_bytes_begins_again() {
        let mut stream = under_way();
        assert!(stream.answered(8, 0, later(2), INTERVAL));
        assert_eq!((stream.offset(), stream.next_chunk(4)), (0, Some(4)));
    }

    #[test]
    fn higher_offset_continues_from_there() {
        let mut stream = under_way();
        assert!(stream.answered(4, 8, later(2), INTERVAL));
        assert_eq!((stream.offset(), stream.next_chunk(4)), (8, Some(2)));
    }
}
