//! How far one follower is, as its leader knows it.

use alloc::collections::VecDeque;

use super::transfer::Transfer;
use crate::clock::Moment;
use crate::config::Limits;
use crate::id::{EntryId, Incarnation, Index, RequestId};
use crate::rename::renames;

/// What a leader knows of one follower.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Peer {
    /// Names this stretch of replication: replies to a former leadership or membership bear
    /// another name.
    pub(crate) stream: RequestId,
    /// `matchIndex`: the follower has synced all through here. Never falls.
    pub(crate) matched: Index,
    /// The follower's life that acknowledged this.
    incarnation: Option<Incarnation>,
    /// Another life denied what this one acknowledged; the stream was begun to ask again.
    doubted: bool,
    pub(crate) progress: Progress,
    /// When the follower last showed that it hears this leader.
    pub(crate) heard: Moment,
    /// When anything was last sent that shows the follower that its leader lives.
    pub(crate) sent: Moment,
    /// When an Append was last sent.
    pub(crate) appended: Moment,
}

/// How entries are sent to a follower.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Progress {
    /// Where the logs part is not known: one Append at a time, from `next` on.
    Probe {
        /// `nextIndex`: a guess.
        next: Index,
        /// Whether an Append is out.
        asked: bool,
    },
    /// The logs match: Appends are pipelined.
    Replicate {
        /// `nextIndex`: all before it was sent.
        next: Index,
        inflight: VecDeque<Inflight>,
        repair: Option<Repair>,
    },
    /// What the follower lacks is compacted: it is sent a snapshot, and no entries.
    Snapshot(Transfer),
}

/// An Append on its way.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Inflight {
    pub(crate) last: Index,
    pub(crate) bytes: usize,
}

/// Entries that were sent again since the follower missed them.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Repair {
    /// All through here.
    pub(crate) through: Index,
    pub(crate) at: Moment,
}

impl Peer {
    pub(crate) fn new(stream: RequestId, last: Index, now: Moment) -> Self {
        Self {
            stream,
            matched: Index(0),
            incarnation: None,
            doubted: false,
            progress: Progress::Probe {
                next: last,
                asked: false,
            },
            heard: now,
            sent: now,
            appended: now,
        }
    }

    /// Whether entries were sent that the follower has not acknowledged.
    pub(crate) fn awaits_reply(&self) -> bool {
        match &self.progress {
            Progress::Probe { asked, .. } => *asked,
            Progress::Replicate { inflight, .. } => !inflight.is_empty(),
            // Once it has all of it, what it waits for is that it is installed.
            Progress::Snapshot(_) => true,
        }
    }

    /// The next entry that may be sent now, if one may.
    pub(crate) fn next_to_send(&self, limits: &Limits) -> Option<Index> {
        match &self.progress {
            Progress::Probe { next, asked } => (!asked).then_some(*next),
            Progress::Replicate { next, inflight, .. } => {
                let bytes: usize = inflight.iter().map(|append| append.bytes).sum();
                let room =
                    inflight.len() < limits.inflight_appends && bytes < limits.inflight_bytes;
                room.then_some(*next)
            }
            Progress::Snapshot(_) => None,
        }
    }

    /// Notes that entries through `last` are on their way.
    pub(crate) fn sent_through(&mut self, last: Index, bytes: usize) {
        match &mut self.progress {
            Progress::Probe { asked, .. } => *asked = true,
            Progress::Replicate { next, inflight, .. } => {
                inflight.push_back(Inflight { last, bytes });
                *next = last.next();
            }
            Progress::Snapshot(_) => {}
        }
    }

    /// The follower holds, synced, all through `matched`. Late, repeated and reordered
    /// acknowledgements are harmless: what matched once in a term still does. `base` is where the
    /// leader's log begins.
    pub(crate) fn acknowledged(&mut self, incarnation: Incarnation, matched: Index, base: Index) {
        if matched >= self.matched {
            self.matched = matched;
            self.incarnation = Some(incarnation);
            self.doubted = false;
        }
        match &mut self.progress {
            // An old acknowledgement, or else it needs another snapshot by now.
            Progress::Snapshot(transfer) if self.matched < base => {
                if self.matched >= transfer.id.last.index {
                    self.progress = Progress::Probe {
                        next: self.matched.next(),
                        asked: false,
                    };
                }
            }
            Progress::Probe { .. } | Progress::Snapshot(_) => {
                self.progress = Progress::Replicate {
                    next: self.matched.next(),
                    inflight: VecDeque::new(),
                    repair: None,
                };
            }
            Progress::Replicate { next, inflight, .. } => {
                *next = (*next).max(self.matched.next());
                while inflight.front().is_some_and(|a| a.last <= self.matched) {
                    inflight.pop_front();
                }
            }
        }
    }

    /// The follower could not fit an Append that followed `prev`. `guess` is the last entry of this
    /// leader's log that may match, and `same` says whether the follower surely holds it.
    pub(crate) fn rejected(
        &mut self,
        prev: EntryId,
        guess: Index,
        same: bool,
        now: Moment,
        heartbeat: u32,
    ) -> Rejection {
        if prev.index <= self.matched || guess >= prev.index {
            return Rejection::Stale;
        }
        let next = guess.max(self.matched).next();
        match &mut self.progress {
            Progress::Probe { next: tried, .. } if tried.previous() != prev.index => {
                Rejection::Stale
            }
            Progress::Replicate {
                next: unsent,
                repair,
                ..
            } if same => {
                // The logs do not differ, some Appends are missing: lost, or merely overtaken.
                // They are sent again, and the pipeline runs on. Each Append behind the gap is
                // refused too; where the gap begins says whether it was seen to already.
                let to = prev.index.min(unsent.previous());
                let repaired =
                    repair.is_some_and(|r| next <= r.through && !now.is_past(r.at, heartbeat));
                if repaired {
                    Rejection::Stale
                } else {
                    *repair = Some(Repair {
                        through: to,
                        at: now,
                    });
                    Rejection::Gap { from: next, to }
                }
            }
            // That was before the transfer began.
            Progress::Snapshot(_) => Rejection::Stale,
            Progress::Probe { .. } | Progress::Replicate { .. } => {
                self.progress = Progress::Probe { next, asked: false };
                Rejection::Diverged
            }
        }
    }

    /// The follower says that it holds no entry of `prev`'s name, nor any that could match between
    /// there and `hint`. Whether it had acknowledged such an entry: what a rejection means that
    /// comes from after the acknowledgement.
    ///
    /// Rejections can be late, so this alone proves nothing, and if they come from the life that
    /// acknowledged it, that is what they are: a process does not forget. From another life they
    /// give reason to ask again, in a new stream. All that is answered in it was said after the
    /// acknowledgement came, and a denial in it is proof.
    pub(crate) fn denied(
        &mut self,
        incarnation: Incarnation,
        prev: EntryId,
        hint: EntryId,
    ) -> Denial {
        let denies = prev.index <= self.matched || hint.index < self.matched;
        if !denies || self.incarnation.is_none_or(|known| known == incarnation) {
            Denial::None
        } else if self.doubted {
            Denial::Proven
        } else {
            Denial::Doubt
        }
    }

    /// Asks again, in a new stream, for what the follower had acknowledged.
    pub(crate) fn ask_again(&mut self, stream: RequestId) {
        self.stream = stream;
        self.doubted = true;
        self.progress = Progress::Probe {
            next: self.matched.next(),
            asked: false,
        };
    }
}

/// Whether a follower denies what it had acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It does not, or that is an old rejection.
    None,
    /// It seems so.
    Doubt,
    /// It does: it has lost what it had stored.
    Proven,
}

/// What a rejection means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Nothing that is not known already.
    Stale,
    /// The follower misses these entries, both ends included.
    Gap { from: Index, to: Index },
    /// The logs differ; there is a new guess where.
    Diverged,
}

renames!(Peer {
    stream,
    incarnation
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Term;
    use crate::snapshot::SnapshotId;

    const FORMER: Incarnation = Incarnation(1);
    const PRESENT: Incarnation = Incarnation(2);

    fn stream(counter: u64) -> RequestId {
        let incarnation = Incarnation(9);
        RequestId {
            incarnation,
            counter,
        }
    }

    fn id(index: u64) -> EntryId {
        let (term, index) = (Term(1), Index(index));
        EntryId { term, index }
    }

    /// A follower whose former life has acknowledged five entries.
    fn peer() -> Peer {
        let mut peer = Peer::new(stream(1), Index(8), Moment::default());
        peer.acknowledged(FORMER, Index(5), Index(0));
        peer
    }

    #[test]
    fn a_life_does_not_forget() {
        assert_eq!(peer().denied(FORMER, id(3), id(2)), Denial::None);
    }

    #[test]
    fn who_lacks_more_than_it_acknowledged_denies_nothing() {
        assert_eq!(peer().denied(PRESENT, id(7), id(5)), Denial::None);
        let mut new = Peer::new(stream(1), Index(8), Moment::default());
        assert_eq!(new.denied(PRESENT, id(7), id(0)), Denial::None);
    }

    #[test]
    fn a_denial_of_another_life_proves_something_in_a_session_of_its_own_only() {
        for (prev, hint) in [(id(5), id(0)), (id(7), id(4)), (id(3), id(2))] {
            let mut peer = peer();
            assert_eq!(peer.denied(PRESENT, prev, hint), Denial::Doubt);
            peer.ask_again(stream(2));
            assert_eq!(peer.stream, stream(2));
            assert_eq!(peer.denied(PRESENT, prev, hint), Denial::Proven);
        }
    }

    #[test]
    fn an_acknowledgement_ends_the_doubt() {
        let mut peer = peer();
        assert_eq!(peer.denied(PRESENT, id(5), id(0)), Denial::Doubt);
        peer.ask_again(stream(2));
        peer.acknowledged(PRESENT, Index(5), Index(0));
        assert_eq!(peer.denied(PRESENT, id(5), id(0)), Denial::None);
        assert_eq!(peer.denied(FORMER, id(5), id(0)), Denial::Doubt);
    }

    #[test]
    fn who_was_sent_a_snapshot_goes_on_with_entries_or_with_the_next_one() {
        let (length, crc) = (10, 1);
        let last = id(20);
        let transfer = Progress::Snapshot(Transfer::new(SnapshotId { last, length, crc }));
        let mut peer = peer();
        peer.progress = transfer.clone();
        peer.acknowledged(FORMER, Index(6), Index(20));
        assert!(matches!(peer.progress, Progress::Snapshot(_)));
        peer.acknowledged(FORMER, Index(20), Index(20));
        assert!(matches!(
            peer.progress,
            Progress::Replicate {
                next: Index(21),
                ..
            }
        ));
        peer.progress = transfer;
        peer.acknowledged(FORMER, Index(20), Index(30));
        assert!(matches!(
            peer.progress,
            Progress::Probe {
                next: Index(21),
                ..
            }
        ));
    }
}
