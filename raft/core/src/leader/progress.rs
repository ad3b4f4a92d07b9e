//! The progress of one follower, as its leader knows it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::snapshot_stream::SnapshotStream;
use crate::clock::Moment;
use crate::config::Limits;
use crate::id::{EntryId, Incarnation, Index, NodeId, RequestId};
use crate::log::entry_size;
use crate::machine::StateMachine;
use crate::message::{Append, Message, SnapshotChunk};
use crate::output::ChunkToSend;
use crate::shared::Shared;

/// What a leader knows of one follower.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Peer {
    /// The id of the replication stream. Replies to an earlier leadership, or from another
    /// incarnation of the follower, belong to another stream.
    pub(crate) stream: RequestId,
    /// `matchIndex`: the follower has synced all entries through this one. Never falls within a
    /// stream.
    pub(crate) matched: Index,
    /// The incarnation of the follower that replied first in this stream.
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) progress: Progress,
    /// The present round of catching up: its last entry, and when it began (thesis §4.2.1).
    pub(crate) round: (Index, Moment),
    /// Whether the last round took no longer than an election timeout.
    pub(crate) is_quick: bool,
    /// When this leader last heard from the follower.
    pub(crate) heard: Moment,
    /// When this leader last sent a message that resets the follower's election timeout.
    pub(crate) sent: Moment,
    /// When this leader last sent an Append or a chunk.
    pub(crate) appended: Moment,
}

/// Proof that a follower holds nearly all entries and answers, so that it may vote without a pause
/// of the commits (thesis §4.2.1). Only its progress makes a proof, and the proof cannot be copied.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    node: NodeId,
}

impl CaughtUp {
    /// The follower.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }
}

/// How entries are sent to a follower.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Progress {
    /// The last matching entry is unknown: one Append at a time, from `next` on.
    Probe {
        /// `nextIndex`: a guess.
        next: Index,
        /// Whether an Append is out.
        asked: bool,
    },
    /// The logs match: Appends are pipelined.
    Replicate {
        /// `nextIndex`: all entries before it were sent.
        next: Index,
        inflight: VecDeque<Inflight>,
        repair: Option<Repair>,
    },
    /// The entries that the follower lacks are compacted: the leader sends a snapshot and no
    /// entries.
    Snapshot(SnapshotStream),
}

/// An Append on its way.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Inflight {
    pub(crate) last: Index,
    pub(crate) bytes: usize,
}

/// Entries that the leader sent again because the follower missed them.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Repair {
    /// The last of these entries.
    pub(crate) through: Index,
    pub(crate) at: Moment,
}

impl Peer {
    pub(crate) fn new(stream: RequestId, last: Index, now: Moment) -> Self {
        Self {
            stream,
            matched: Index(0),
            incarnation: None,
            progress: Progress::Probe {
                next: last,
                asked: false,
            },
            round: (last, now),
            is_quick: false,
            heard: now,
            sent: now,
            appended: now,
        }
    }

    /// Whether a reply of this stream comes from the incarnation whose replies count in it: the
    /// first that replied. If not, the follower has restarted, or the reply is late.
    pub(crate) fn counts(&mut self, incarnation: Incarnation) -> bool {
        *self.incarnation.get_or_insert(incarnation) == incarnation
    }

    /// Ends a round of catching up when the follower has all entries that the log held when the round
    /// began, and begins the next (thesis §4.2.1).
    pub(crate) fn end_round(&mut self, last: Index, now: Moment, longest: u32) {
        let (through, since) = self.round;
        if self.matched >= through {
            self.is_quick = !now.is_past(since, longest);
            self.round = (last, now);
        }
    }

    /// The proof that the follower has caught up: its last round was quick, and it answers.
    pub(crate) fn caught_up(&self, node: NodeId, now: Moment, patience: u32) -> Option<CaughtUp> {
        let answers = !now.is_past(self.heard, patience);
        (self.is_quick && answers).then_some(CaughtUp { node })
    }

    /// Whether entries were sent that the follower has not acknowledged.
    pub(crate) fn awaits_reply(&self) -> bool {
        match &self.progress {
            Progress::Probe { asked, .. } => *asked,
            Progress::Replicate { inflight, .. } => !inflight.is_empty(),
            // With all bytes, the follower still has to install the snapshot.
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

    /// Notes that the follower has synced all entries through `matched`. Late, repeated and
    /// reordered acknowledgements are harmless: entries that matched in a term still match. `base`
    /// is the base of the leader's log.
    pub(crate) fn acknowledged(&mut self, matched: Index, base: Index) {
        self.matched = self.matched.max(matched);
        match &mut self.progress {
            // The acknowledgement is old, or the follower needs another snapshot by now.
            Progress::Snapshot(snapshot_stream) if self.matched < base => {
                if self.matched >= snapshot_stream.id.last.index {
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

    /// Handles the rejection of an Append after `prev`. `guess` is the last entry of this leader's
    /// log that may match; `same` is whether the follower surely holds it.
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
                // The logs do not differ, but Appends are missing: lost or merely overtaken. The
                // leader sends their entries again and keeps the pipeline. The follower rejects
                // each Append after the gap too; the gap's begin shows whether it is repaired.
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
            // The rejected Append is older than the snapshot stream.
            Progress::Snapshot(_) => Rejection::Stale,
            Progress::Probe { .. } | Progress::Replicate { .. } => {
                self.progress = Progress::Probe { next, asked: false };
                Rejection::Diverged
            }
        }
    }

    /// Sends an empty Append: at the place that a probe tries, or after all entries sent. The reply
    /// shows what the follower lacks; a dead follower costs no more than this.
    ///
    /// A follower that gets a snapshot is sent an empty chunk instead, and replies how much it has.
    pub(crate) fn send_heartbeat<S: StateMachine>(&mut self, shared: &mut Shared<S>, to: NodeId) {
        self.switch_to_snapshot_if_compacted(shared);
        let next = match &mut self.progress {
            Progress::Probe { next, asked } => {
                *asked = true;
                *next
            }
            Progress::Replicate { next, .. } => *next,
            Progress::Snapshot(snapshot_stream) => {
                let chunk = SnapshotChunk {
                    stream: self.stream,
                    snapshot: snapshot_stream.id,
                    offset: snapshot_stream.offset,
                    data: Arc::default(),
                };
                self.sent = shared.now;
                self.appended = shared.now;
                return shared.send(to, Message::SnapshotChunk(chunk));
            }
        };
        send_entries(shared, to, self, next, next.previous());
    }

    /// Switches to the newest snapshot if the entry before the next one to send is compacted, or if
    /// an older snapshot is being sent in vain.
    pub(crate) fn switch_to_snapshot_if_compacted<S: StateMachine>(
        &mut self,
        shared: &mut Shared<S>,
    ) {
        let Some(newest) = shared.snapshots.stored else {
            return;
        };
        let stream = match &self.progress {
            Progress::Probe { next, .. } | Progress::Replicate { next, .. } => {
                let is_compacted = next.previous() < shared.log().base().index;
                is_compacted.then(|| SnapshotStream::new(newest, shared.now))
            }
            // The host keeps the older snapshot readable while it is being sent. Under load, a
            // follower that got each newer one instead would never have all of one.
            Progress::Snapshot(stream) => {
                let longest = shared.config.longest_election;
                let is_outdated = stream.id != newest && stream.gives_way(shared.now, longest);
                is_outdated.then(|| stream.superseded(newest))
            }
        };
        if let Some(stream) = stream {
            shared.counters.snapshot_streams_begun += 1;
            self.progress = Progress::Snapshot(stream);
        }
    }

    /// Sends the next chunks of a snapshot, within the window.
    pub(crate) fn send_chunks<S: StateMachine>(&mut self, shared: &mut Shared<S>, to: NodeId) {
        let Progress::Snapshot(snapshot_stream) = &mut self.progress else {
            return;
        };
        while let Some((offset, length)) = snapshot_stream.next_chunk(&shared.config.limits) {
            shared.chunks.push(ChunkToSend {
                from: shared.id,
                to,
                term: shared.term(),
                stream: self.stream,
                snapshot: snapshot_stream.id,
                offset,
                length,
            });
            shared.counters.chunks_sent += 1;
            self.sent = shared.now;
            self.appended = shared.now;
        }
    }
}

/// Sends one Append of the entries from `next` on, as many as one Append carries.
pub(crate) fn send_append<S: StateMachine>(
    shared: &mut Shared<S>,
    to: NodeId,
    peer: &mut Peer,
    next: Index,
    last: Index,
) {
    let (through, bytes) = send_entries(shared, to, peer, next, last);
    peer.sent_through(through, bytes);
}

/// Sends one Append of the entries from `first` to `last`, as many as one Append carries. Returns
/// the last index that it carries, and its approximate size.
pub(crate) fn send_entries<S: StateMachine>(
    shared: &mut Shared<S>,
    to: NodeId,
    peer: &mut Peer,
    first: Index,
    last: Index,
) -> (Index, usize) {
    let limits = &shared.config.limits;
    let prev = shared
        .log()
        .id_at(first.previous())
        .expect("a follower that lacks compacted entries must be sent a snapshot");
    let entries = shared
        .log()
        .batch(first, last, limits.append_entries, limits.append_bytes);
    let through = entries.last().map_or(prev, |entry| entry.id).index;
    let bytes = entries.iter().map(entry_size::<S>).sum();
    peer.sent = shared.now;
    peer.appended = shared.now;
    let append = Append {
        stream: peer.stream,
        prev,
        entries,
        commit: shared.commit(),
    };
    shared.send(to, Message::Append(append));
    (through, bytes)
}

/// What a rejection means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// The leader knows this already.
    Stale,
    /// The follower lacks these entries, both ends included.
    Gap { from: Index, to: Index },
    /// The logs differ; there is a new guess of the last match.
    Diverged,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{SnapshotId, Term};

    fn id(index: u64) -> EntryId {
        let (term, index) = (Term(1), Index(index));
        EntryId { term, index }
    }

    /// A follower that has acknowledged five entries.
    fn peer() -> Peer {
        let stream = RequestId {
            incarnation: Incarnation(9),
            counter: 1,
        };
        let mut peer = Peer::new(stream, Index(8), Moment::default());
        peer.acknowledged(Index(5), Index(0));
        peer
    }

    #[test]
    fn first_incarnation_that_replies_counts() {
        let mut peer = peer();
        assert!(peer.counts(Incarnation(1)));
        assert!(!peer.counts(Incarnation(2)));
        assert!(peer.counts(Incarnation(1)));
    }

    #[test]
    fn late_acknowledgement_leaves_match() {
        let mut peer = peer();
        peer.acknowledged(Index(3), Index(0));
        assert_eq!(peer.matched, Index(5));
    }

    #[test]
    fn after_a_snapshot_replication_resumes() {
        let (length, crc) = (10, 1);
        let last = id(20);
        let snapshot_stream = Progress::Snapshot(SnapshotStream::new(
            SnapshotId { last, length, crc },
            Moment::default(),
        ));
        let mut peer = peer();
        peer.progress = snapshot_stream.clone();
        peer.acknowledged(Index(6), Index(20));
        assert!(matches!(peer.progress, Progress::Snapshot(_)));
        peer.acknowledged(Index(20), Index(20));
        assert!(matches!(
            peer.progress,
            Progress::Replicate {
                next: Index(21),
                ..
            }
        ));
        peer.progress = snapshot_stream;
        peer.acknowledged(Index(20), Index(30));
        assert!(matches!(
            peer.progress,
            Progress::Probe {
                next: Index(21),
                ..
            }
        ));
    }
}
