//! A snapshot on its way to a follower that lacks what was compacted (§7, Figure 13).
//!
//! One chunk is on its way at a time, and the follower's answer says which byte it wants next. A
//! chunk that is not answered for a heartbeat interval is not sent again at once: an empty one
//! asks how far the follower is, and shows it that its leader lives. So a follower that is gone
//! costs an empty message now and then.

use crate::clock::Moment;
use crate::id::SnapshotId;

/// How far one follower has got with one snapshot.
#[derive(Clone, Debug, Hash)]
pub(crate) struct SnapshotStream {
    pub(crate) id: SnapshotId,
    /// The follower has all bytes before this one.
    offset: u64,
    /// When the chunk that begins at `offset` was sent, if it was.
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

    /// The same follower is to get a newer snapshot. If it owes an answer, it is asked before it is
    /// sent anything.
    pub(crate) fn superseded(&self, id: SnapshotId) -> Self {
        Self {
            sent: self.sent,
            ..Self::new(id)
        }
    }

    /// The follower has all bytes before this one.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the follower has all of it, and is to install it.
    pub(crate) fn is_whole(&self) -> bool {
        self.offset == self.id.length
    }

    /// How many bytes may be sent now, if any.
    pub(crate) fn next_chunk(&self, limit: usize) -> Option<usize> {
        let left = usize::try_from(self.id.length - self.offset).unwrap_or(usize::MAX);
        (self.sent.is_none() && left > 0).then_some(left.min(limit))
    }

    /// The chunk at the offset is on its way.
    pub(crate) fn chunk_sent(&mut self, now: Moment) {
        self.sent = Some(now);
    }

    /// The follower answers a chunk that ended at `asked`: it wants `offset` next. False if that
    /// says nothing new.
    pub(crate) fn answered(&mut self, asked: u64, offset: u64, now: Moment, interval: u32) -> bool {
        if offset == self.offset {
            // If an empty chunk came there and the full one before it did not, it is lost.
            let is_lost = asked == offset && self.sent.is_some_and(|at| now.is_past(at, interval));
            if is_lost {
                self.sent = None;
            }
            return is_lost;
        }
        // Chunks before the present one are answered late, or twice. Only if the present one is
        // answered with less than was there before, the follower has lost it.
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

    /// A stream of ten bytes, of which four have come, and four more are on their way.
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
    fn the_last_chunk_is_as_long_as_what_is_left() {
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
    fn what_is_answered_late_or_twice_says_nothing() {
        let mut stream = under_way();
        assert!(!stream.answered(4, 4, later(2), INTERVAL));
        assert!(!stream.answered(0, 0, later(9), INTERVAL));
        assert_eq!((stream.offset(), stream.next_chunk(4)), (4, None));
    }

    #[test]
    fn a_chunk_is_sent_again_once_it_is_asked_for_and_time_has_passed() {
        let mut stream = under_way();
        assert!(!stream.answered(4, 4, later(3), INTERVAL));
        assert!(stream.answered(4, 4, later(4), INTERVAL));
        assert_eq!((stream.offset(), stream.next_chunk(4)), (4, Some(4)));
        // Nothing is on its way now, so nothing is lost.
        assert!(!stream.answered(4, 4, later(9), INTERVAL));
    }

    #[test]
    fn a_follower_that_has_lost_what_it_had_begins_again() {
        let mut stream = under_way();
        assert!(stream.answered(8, 0, later(2), INTERVAL));
        assert_eq!((stream.offset(), stream.next_chunk(4)), (0, Some(4)));
    }

    #[test]
    fn a_follower_that_is_further_goes_on_from_there() {
        let mut stream = under_way();
        assert!(stream.answered(4, 8, later(2), INTERVAL));
        assert_eq!((stream.offset(), stream.next_chunk(4)), (8, Some(2)));
    }
}
