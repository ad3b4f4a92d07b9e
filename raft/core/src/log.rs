//! The replicated log above a base.
//!
//! What always holds of a [`Log`]:
//! 1. The entries' indexes have no gap, and the first comes right after the base.
//! 2. Terms never fall from one entry to the next (each leader appends in its own term, and terms
//!    rise), nor from the base to the first.
//! 3. Entries through the base are not in memory: a snapshot covers them.
//! 4. It knows the membership at its base and at every entry after it. Truncation undoes a change of
//!    the membership, and compaction keeps it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::entry::{Entry, Payload};
use crate::id::{EntryId, Index, NodeId, Term};
use crate::machine::StateMachine;
use crate::membership::Membership;

/// The log: `log[]` of Figure 2, without the entries through the base.
#[derive(Clone, Debug)]
pub(crate) struct Log<S: StateMachine> {
    pub(crate) base: EntryId,
    pub(crate) entries: VecDeque<Entry<S::Command>>,
    /// For each entry, the total size of all entries through it, those before the base included.
    /// So the size of any range is one subtraction.
    pub(crate) sizes: VecDeque<u64>,
    /// The total size of all entries through the base.
    pub(crate) base_size: u64,
    /// The membership at the base, and each one after it with the index of its entry, in order.
    pub(crate) memberships: VecDeque<(Index, Arc<Membership>)>,
}

/// Proof that no change of the membership is under way: the last one in the log is committed and not
/// joint. Only a log makes a proof, and the proof cannot be copied.
///
/// ```
/// fn last(proof: &raft_core::Settled) -> raft_core::EntryId {
///     proof.last()
/// }
/// ```
///
/// ```compile_fail,E0451
/// let settled = raft_core::Settled { last: raft_core::EntryId::default() };
/// ```
#[derive(Debug)]
pub struct Settled {
    last: EntryId,
}

impl Settled {
    /// The last entry of the log for which this is proven.
    #[must_use]
    pub fn last(&self) -> EntryId {
        self.last
    }
}

impl<S: StateMachine> Log<S> {
    /// A log of `entries` after `base`, through which a snapshot covers the log. The default base
    /// is that of a log without a snapshot.
    ///
    /// # Panics
    /// If the entries do not follow the base and each other: storage promises that they do.
    pub(crate) fn new(
        base: EntryId,
        membership: Membership,
        entries: Vec<Entry<S::Command>>,
    ) -> Self {
        assert!(
            follow(base, &entries),
            "the stored entries follow each other"
        );
        let mut log = Self {
            base,
            entries: VecDeque::new(),
            sizes: VecDeque::new(),
            base_size: 0,
            memberships: VecDeque::from([(base.index, Arc::new(membership))]),
        };
        log.extend(entries);
        log
    }

    /// The entry before the first one in memory.
    pub(crate) fn base(&self) -> EntryId {
        self.base
    }

    /// The id of the last entry; the base, if the log holds no entry after it.
    pub(crate) fn last(&self) -> EntryId {
        self.entries.back().map_or(self.base, |entry| entry.id)
    }

    /// The id of the entry at `index`, if the log holds the entry or it is the base.
    pub(crate) fn id_at(&self, index: Index) -> Option<EntryId> {
        if index == self.base.index {
            Some(self.base)
        } else {
            self.entry(index).map(|entry| entry.id)
        }
    }

    /// The entry at `index`.
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry<S::Command>> {
        self.entries.get(self.offset(index)?)
    }

    /// The position of `index` among the entries after the base.
    fn offset(&self, index: Index) -> Option<usize> {
        let above = index.0.checked_sub(self.base.index.0)?.checked_sub(1)?;
        usize::try_from(above).ok()
    }

    /// The membership in use: the last one in the log, committed or not (§6).
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        self.membership_at(self.last().index)
    }

    /// The membership at an index: the last one at or before it.
    pub(crate) fn membership_at(&self, index: Index) -> &Arc<Membership> {
        let mut until = self.memberships.iter().rev();
        let (_, membership) = until
            .find(|(at, _)| *at <= index || *at <= self.base.index)
            .expect("the membership at the base is known");
        membership
    }

    /// Whether a node votes by the membership at an index, or by one after it.
    pub(crate) fn is_voter_from(&self, index: Index, node: NodeId) -> bool {
        let mut later = self.memberships.iter().filter(|(at, _)| *at > index);
        self.membership_at(index).is_voter(node) || later.any(|(_, after)| after.is_voter(node))
    }

    /// The proof that no change of the membership is under way, if `commit` is the commit index.
    pub(crate) fn settled(&self, commit: Index) -> Option<Settled> {
        let (at, membership) = self.memberships.back()?;
        let last = self.last();
        (*at <= commit && !membership.is_joint()).then_some(Settled { last })
    }

    /// The approximate size, in bytes, of the entries after `after` through `through`. Entries
    /// through the base do not count.
    pub(crate) fn bytes(&self, after: Index, through: Index) -> u64 {
        let size = |index| {
            self.offset(index)
                .map_or(self.base_size, |at| self.sizes[at])
        };
        size(through) - size(after)
    }

    /// The lowest index after which at most `entries` entries and `bytes` bytes remain, through
    /// `through`.
    pub(crate) fn cut(&self, through: Index, entries: u64, bytes: u64) -> Index {
        let dropped = (self.base_size + self.bytes(self.base.index, through)).saturating_sub(bytes);
        let by_bytes = if self.base_size >= dropped {
            self.base.index.0
        } else {
            self.base.index.0 + 1 + self.sizes.partition_point(|size| *size < dropped) as u64
        };
        Index(through.0.saturating_sub(entries).max(by_bytes))
    }

    /// Whether the log holds this entry, of this index and term, or it is the base.
    pub(crate) fn holds(&self, id: EntryId) -> bool {
        self.id_at(id.index) == Some(id)
    }

    /// The last entry at or before `id`'s index whose term is at most `id`'s term. A follower sends
    /// it when it rejects an Append, and the leader then applies the same rule to it in its own
    /// log. Between the results and `id` the logs must differ, because terms never fall along a
    /// log. None if that entry is before the base.
    pub(crate) fn hint(&self, id: EntryId) -> Option<EntryId> {
        if id.term < self.base.term {
            return None;
        }
        let below = self.entries.partition_point(|e| e.id.term <= id.term) as u64;
        self.id_at(Index(id.index.0.min(self.base.index.0 + below)))
    }

    /// The entries after the base, in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry<S::Command>> + '_ {
        self.entries.iter()
    }

    /// The entries from `from` to `to`, both included, at most `entries` entries and `bytes` bytes,
    /// but at least one entry, so that an entry of any size can be sent.
    ///
    /// # Panics
    /// If `from` is not after the base.
    pub(crate) fn batch(
        &self,
        from: Index,
        to: Index,
        entries: usize,
        bytes: usize,
    ) -> Vec<Entry<S::Command>> {
        let skip = from.0 - self.base.index.next().0;
        let mut batch = Vec::new();
        let mut size = 0;
        for entry in self.entries.iter().skip(skip as usize).take(entries) {
            size += entry_size::<S>(entry);
            if entry.id.index > to || !batch.is_empty() && size > bytes {
                break;
            }
            batch.push(entry.clone());
        }
        batch
    }

    /// Appends a leader's new entry and returns its id.
    pub(crate) fn append(&mut self, term: Term, payload: Payload<S::Command>) -> EntryId {
        let last = self.last();
        assert!(term >= last.term, "terms never fall along the log");
        let id = EntryId {
            term,
            index: last.index.next(),
        };
        self.extend([Entry { id, payload }]);
        id
    }

    /// Puts a leader's entries after `prev`, which the log must hold (steps 3 and 4 of
    /// AppendEntries in Figure 2). Keeps the entries that match; from the first difference on, the
    /// leader's entries replace the rest of the log. A stale Append, all of whose entries the log
    /// holds, changes nothing. Returns the new entries.
    pub(crate) fn splice(
        &mut self,
        prev: EntryId,
        mut entries: Vec<Entry<S::Command>>,
    ) -> Vec<Entry<S::Command>> {
        assert!(self.holds(prev) && follow(prev, &entries));
        let known = entries.iter().take_while(|e| self.holds(e.id)).count();
        let new = entries.split_off(known);
        if let Some(first) = new.first() {
            let keep = (first.id.index.0 - self.base.index.next().0) as usize;
            self.entries.truncate(keep);
            self.sizes.truncate(keep);
            let stays = |(at, _): &(Index, _)| *at < first.id.index;
            self.memberships.retain(stays);
            self.extend(new.iter().cloned());
        }
        new
    }

    /// Drops all entries through `index`, which a snapshot covers.
    pub(crate) fn compact(&mut self, index: Index) {
        let Some(id) = self.id_at(index) else {
            return;
        };
        let dropped = (index.0 - self.base.index.0) as usize;
        self.base_size += self.bytes(self.base.index, index);
        self.entries.drain(..dropped);
        self.sizes.drain(..dropped);
        self.base = id;
        // The last membership at or before the base is the one at the base.
        while self.memberships.get(1).is_some_and(|(at, _)| *at <= index) {
            self.memberships.pop_front();
        }
    }

    /// Puts entries after the last.
    fn extend(&mut self, entries: impl IntoIterator<Item = Entry<S::Command>>) {
        for entry in entries {
            let before = self.sizes.back().copied().unwrap_or(self.base_size);
            self.sizes
                .push_back(before + entry_size::<S>(&entry) as u64);
            if let Payload::Membership(membership) = &entry.payload {
                self.memberships
                    .push_back((entry.id.index, membership.clone()));
            }
            self.entries.push_back(entry);
        }
    }
}

/// Without the sizes and the later memberships, which follow from the entries.
impl<S: StateMachine> Hash for Log<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let membership = self.membership_at(self.base.index);
        (self.base, membership, &self.entries).hash(state);
    }
}

/// Whether `entries` may stand right after `prev`: no gap, and terms that never fall.
pub(crate) fn follow<C>(prev: EntryId, entries: &[Entry<C>]) -> bool {
    let ids = core::iter::once(prev).chain(entries.iter().map(|entry| entry.id));
    ids.zip(entries)
        .all(|(before, entry)| entry.id.index == before.index.next() && entry.id >= before)
}

/// Roughly how many bytes an entry takes on the wire.
pub(crate) fn entry_size<S: StateMachine>(entry: &Entry<S::Command>) -> usize {
    /// The size of an entry without its command.
    const HEADER: usize = 32;
    match &entry.payload {
        Payload::Blank => HEADER,
        Payload::Command(command) => HEADER + S::size(command),
        Payload::Membership(membership) => HEADER + membership.size(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// A machine whose commands take 100 bytes each in the log.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Bytes;
    impl StateMachine for Bytes {
        type Command = u8;
        type Outcome = ();
        type Query = ();
        type Answer = ();
        fn apply(&mut self, _: &u8) {}
        fn answer(&self, (): &()) {}
        fn size(_: &u8) -> usize {
            68
        }
    }

    fn entries_of(log: &Log<Bytes>) -> (EntryId, Vec<Entry<u8>>) {
        (log.base(), log.iter().cloned().collect())
    }

    fn entry(term: u64, index: u64) -> Entry<u8> {
        Entry {
            id: id(term, index),
            payload: Payload::Command(Arc::new(term as u8)),
        }
    }

    fn id(term: u64, index: u64) -> EntryId {
        EntryId {
            term: Term(term),
            index: Index(index),
        }
    }

    /// A log above `base` with an entry of each of these terms.
    fn log(base: EntryId, terms: &[u64]) -> Log<Bytes> {
        let first = base.index.0 + 1;
        Log::new(
            base,
            Membership::default(),
            (first..).zip(terms).map(|(i, t)| entry(*t, i)).collect(),
        )
    }

    /// Every log of up to four entries in terms 1 to 3.
    fn all_logs() -> Vec<Log<Bytes>> {
        let mut logs = vec![log(EntryId::default(), &[])];
        let mut start = 0;
        for _ in 0..4 {
            let end = logs.len();
            for i in start..end {
                for term in logs[i].last().term.0.max(1)..=3 {
                    let mut longer = logs[i].clone();
                    longer.append(Term(term), Payload::Command(Arc::new(term as u8)));
                    logs.push(longer);
                }
            }
            start = end;
        }
        logs
    }

    /// Whether Log Matching allows these two logs in one cluster: they are equal through every
    /// entry id that both hold.
    fn can_meet(one: &Log<Bytes>, other: &Log<Bytes>) -> bool {
        let pairs: Vec<_> = one.iter().zip(other.iter()).collect();
        let shared = pairs.iter().rposition(|(a, b)| a.id == b.id);
        shared.is_none_or(|end| pairs[..=end].iter().all(|(a, b)| a.id == b.id))
    }

    #[test]
    fn ids_before_the_base_are_unknown() {
        let log = log(id(2, 5), &[2, 3]);
        assert_eq!(log.id_at(Index(4)), None);
        assert_eq!(log.id_at(Index(5)), Some(id(2, 5)));
        assert_eq!(log.id_at(Index(7)), Some(id(3, 7)));
        assert_eq!(log.id_at(Index(8)), None);
        assert!(log.holds(id(3, 7)) && !log.holds(id(2, 7)));
        assert_eq!(log.last(), id(3, 7));
    }

    /// For every pair of logs: the leader's next guess, made from a follower's hint, is before the
    /// rejected `prev` and never before the last common entry.
    #[test]
    fn hint_goes_back_but_not_past_the_last_match() {
        for leader in all_logs() {
            for follower in all_logs() {
                let common = leader
                    .iter()
                    .zip(follower.iter())
                    .take_while(|(a, b)| a == b)
                    .count() as u64;
                for prev in leader.iter().map(|e| e.id).filter(|p| !follower.holds(*p)) {
                    let hint = follower.hint(prev).expect("nothing is compacted");
                    let guess = leader.hint(hint).expect("nothing is compacted");
                    assert!(guess.index < prev.index);
                    assert!(guess.index.0 >= common.min(prev.index.0 - 1));
                }
            }
        }
    }

    /// For every pair of logs: after a splice at their last common entry the follower holds the
    /// leader's log. Another splice of a part of it (a late Append) changes nothing.
    #[test]
    fn splice_makes_logs_match_and_stale_one_changes_nothing() {
        for leader in all_logs() {
            for follower in all_logs().iter().filter(|log| can_meet(&leader, log)) {
                let entries: Vec<_> = leader.iter().cloned().collect();
                let prev = (0..=entries.len())
                    .rev()
                    .filter_map(|i| leader.id_at(Index(i as u64)))
                    .find(|id| follower.holds(*id))
                    .unwrap();
                let mut spliced = follower.clone();
                let new = spliced.splice(prev, entries[prev.index.0 as usize..].to_vec());
                assert_eq!(new.len() as u64, leader.last().index.0 - prev.index.0);
                if !new.is_empty() {
                    assert_eq!(entries_of(&spliced), entries_of(&leader));
                }
                for end in 0..=entries.len() {
                    let before = spliced.clone();
                    assert!(
                        spliced
                            .splice(EntryId::default(), entries[..end].to_vec())
                            .is_empty()
                    );
                    assert_eq!(entries_of(&spliced), entries_of(&before));
                }
            }
        }
    }

    #[test]
    fn entries_that_do_not_follow_are_detected() {
        assert!(follow(id(1, 1), &[entry(1, 2), entry(2, 3)]));
        assert!(!follow(id(1, 1), &[entry(1, 3)]));
        assert!(!follow(id(2, 1), &[entry(1, 2)]));
        assert!(!follow(id(1, 1), &[entry(1, 2), entry(1, 2)]));
    }

    #[test]
    fn batch_keeps_its_limits_but_is_never_empty() {
        let log = log(EntryId::default(), &[1, 1, 1, 1]);
        let len =
            |from, to, entries, bytes| log.batch(Index(from), Index(to), entries, bytes).len();
        assert_eq!(len(1, 4, 10, 1000), 4);
        assert_eq!(len(2, 3, 10, 1000), 2);
        assert_eq!(len(1, 4, 3, 1000), 3);
        assert_eq!(len(1, 4, 10, 250), 2);
        assert_eq!(len(1, 4, 10, 1), 1);
        assert_eq!(len(5, 4, 10, 1000), 0);
    }

    /// For every pair of logs and every base: if the leader finds no guess in its compacted log,
    /// then the follower does not hold the base.
    #[test]
    fn hint_before_the_base_finds_no_guess() {
        for leader in all_logs() {
            for base in leader.iter().map(|e| e.id).collect::<Vec<_>>() {
                let mut compacted = leader.clone();
                compacted.compact(base.index);
                for follower in all_logs().iter().filter(|log| can_meet(&leader, log)) {
                    let above = leader.iter().map(|e| e.id).filter(|id| *id >= base);
                    for prev in above.filter(|prev| !follower.holds(*prev)) {
                        let hint = follower.hint(prev).expect("nothing is compacted here");
                        match compacted.hint(hint) {
                            Some(guess) => assert!(guess.index < prev.index && guess >= base),
                            None => assert!(!follower.holds(base)),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn cut_keeps_its_limits() {
        let mut log = log(EntryId::default(), &[1; 10]);
        assert_eq!(log.bytes(Index(2), Index(5)), 300);
        assert_eq!(log.cut(Index(8), 3, 1000), Index(5));
        assert_eq!(log.cut(Index(8), 10, 250), Index(6));
        assert_eq!(log.cut(Index(8), 10, 300), Index(5));
        assert_eq!(log.cut(Index(8), 0, 1000), Index(8));
        assert_eq!(log.cut(Index(8), 10, 0), Index(8));
        assert_eq!(log.cut(Index(8), 10, 1000), Index(0));
        log.compact(Index(4));
        assert_eq!((log.base(), log.last()), (id(1, 4), id(1, 10)));
        assert_eq!(log.cut(Index(8), 10, 1000), Index(4));
        assert_eq!(log.bytes(Index(2), Index(5)), 100);
    }
}
