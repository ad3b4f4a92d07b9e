//! The replicated log above a base.
//!
//! What always holds of a [`Log`]:
//! 1. The entries stand one behind another without a gap, the first right above the base.
//! 2. Terms never fall from one entry to the next (each leader appends in its own term, and terms
//!    rise), nor from the base to the first.
//! 3. An entry below the base is gone for good: it is part of a snapshot.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::entry::{Entry, Payload};
use crate::id::{EntryId, Index, Term};
use crate::machine::StateMachine;

/// The log: `log[]` of Figure 2, without what a snapshot already covers.
#[derive(Clone, Debug)]
pub(crate) struct Log<S: StateMachine> {
    base: EntryId,
    entries: VecDeque<Entry<S::Command>>,
    /// For each entry, how many bytes all entries through it ever took, those below the base
    /// included: so the size of any stretch is one subtraction.
    sizes: VecDeque<u64>,
    /// The same for the base.
    base_size: u64,
}

impl<S: StateMachine> Log<S> {
    /// A log whose entries up to `base` are covered by a snapshot (none, if `base` is the default)
    /// and that goes on with `entries`.
    ///
    /// # Panics
    /// If the entries do not follow the base and each other: storage promises that they do.
    #[must_use]
    pub(crate) fn new(base: EntryId, entries: Vec<Entry<S::Command>>) -> Self {
        assert!(
            follow(base, &entries),
            "the stored entries follow each other"
        );
        let mut log = Self {
            base,
            entries: VecDeque::new(),
            sizes: VecDeque::new(),
            base_size: 0,
        };
        log.extend(entries);
        log
    }

    /// The last entry that is covered by a snapshot.
    #[must_use]
    pub(crate) fn base(&self) -> EntryId {
        self.base
    }

    /// The last entry's name; the base's, if there is none above it.
    #[must_use]
    pub(crate) fn last(&self) -> EntryId {
        self.entries.back().map_or(self.base, |entry| entry.id)
    }

    /// The name of the entry at `index`, if it is here (or is the base).
    #[must_use]
    pub(crate) fn id_at(&self, index: Index) -> Option<EntryId> {
        if index == self.base.index {
            Some(self.base)
        } else {
            self.entry(index).map(|entry| entry.id)
        }
    }

    /// The entry at `index`.
    #[must_use]
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry<S::Command>> {
        self.entries.get(self.offset(index)?)
    }

    /// Where the entry at `index` would stand among those above the base.
    fn offset(&self, index: Index) -> Option<usize> {
        let above = index.0.checked_sub(self.base.index.0)?.checked_sub(1)?;
        usize::try_from(above).ok()
    }

    /// How many bytes the entries after `after` and through `through` take, roughly. What lies
    /// below the base does not count.
    #[must_use]
    pub(crate) fn bytes(&self, after: Index, through: Index) -> u64 {
        let size = |index| {
            self.offset(index)
                .map_or(self.base_size, |at| self.sizes[at])
        };
        size(through) - size(after)
    }

    /// The lowest place at which the log may be cut so that of what lies behind it, through
    /// `through`, at most `entries` entries and `bytes` bytes remain.
    #[must_use]
    pub(crate) fn cut(&self, through: Index, entries: u64, bytes: u64) -> Index {
        let dropped = (self.base_size + self.bytes(self.base.index, through)).saturating_sub(bytes);
        let by_bytes = if self.base_size >= dropped {
            self.base.index.0
        } else {
            self.base.index.0 + 1 + self.sizes.partition_point(|size| *size < dropped) as u64
        };
        Index(through.0.saturating_sub(entries).max(by_bytes))
    }

    /// Whether this very entry is here.
    #[must_use]
    pub(crate) fn holds(&self, id: EntryId) -> bool {
        self.id_at(id.index) == Some(id)
    }

    /// The last entry at or before `id`'s index whose term is not above `id`'s term: what a
    /// follower answers to an Append that does not fit, and where its leader then looks in its own
    /// log. Between the two the logs differ for sure, because terms never fall along a log. None if
    /// it stands below the base.
    #[must_use]
    pub(crate) fn hint(&self, id: EntryId) -> Option<EntryId> {
        if id.term < self.base.term {
            return None;
        }
        let below = self.entries.partition_point(|e| e.id.term <= id.term) as u64;
        self.id_at(Index(id.index.0.min(self.base.index.0 + below)))
    }

    /// The entries, from the first above the base to the last.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry<S::Command>> + '_ {
        self.entries.iter()
    }

    /// The entries from `from` to `to`, both included, as many as fit into `entries` and `bytes`,
    /// but at least one, so that an entry of any size gets through.
    ///
    /// # Panics
    /// If `from` is not above the base.
    #[must_use]
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

    /// Appends an entry of a leader's own and returns its name.
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

    /// Takes over what a leader sent after `prev`, which must be here: keeps what agrees,
    /// and from the first difference on drops its own in favour of the leader's (steps 3 and 4 of
    /// AppendEntries in Figure 2). A stale Append, all of whose entries are here, changes nothing.
    /// Returns the entries that are new.
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
    }

    /// Puts entries behind the last.
    fn extend(&mut self, entries: impl IntoIterator<Item = Entry<S::Command>>) {
        for entry in entries {
            let before = self.sizes.back().copied().unwrap_or(self.base_size);
            self.sizes
                .push_back(before + entry_size::<S>(&entry) as u64);
            self.entries.push_back(entry);
        }
    }
}

/// Without the sizes, which follow from the entries.
impl<S: StateMachine> Hash for Log<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.base, &self.entries).hash(state);
    }
}

/// Whether `entries` may stand right after `prev`: no gap, and terms that never fall.
#[must_use]
pub(crate) fn follow<C>(prev: EntryId, entries: &[Entry<C>]) -> bool {
    let ids = core::iter::once(prev).chain(entries.iter().map(|entry| entry.id));
    ids.zip(entries)
        .all(|(before, entry)| entry.id.index == before.index.next() && entry.id >= before)
}

/// Roughly how many bytes an entry takes on the wire.
pub(crate) fn entry_size<S: StateMachine>(entry: &Entry<S::Command>) -> usize {
    /// What the wire needs for an entry's name.
    const NAME: usize = 32;
    match &entry.payload {
        Payload::Blank => NAME,
        Payload::Command(command) => NAME + S::size(command),
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
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

    /// Whether Log Matching lets these two logs be in one cluster: they agree up to any entry
    /// whose name they share.
    fn can_meet(one: &Log<Bytes>, other: &Log<Bytes>) -> bool {
        let pairs: Vec<_> = one.iter().zip(other.iter()).collect();
        let shared = pairs.iter().rposition(|(a, b)| a.id == b.id);
        shared.is_none_or(|end| pairs[..=end].iter().all(|(a, b)| a.id == b.id))
    }

    #[test]
    fn names_are_found_above_and_at_the_base_only() {
        let log = log(id(2, 5), &[2, 3]);
        assert_eq!(log.id_at(Index(4)), None);
        assert_eq!(log.id_at(Index(5)), Some(id(2, 5)));
        assert_eq!(log.id_at(Index(7)), Some(id(3, 7)));
        assert_eq!(log.id_at(Index(8)), None);
        assert!(log.holds(id(3, 7)) && !log.holds(id(2, 7)));
        assert_eq!(log.last(), id(3, 7));
    }

    /// The leader's next guess, made from a follower's hint, is below what was refused and never
    /// skips an entry that the two share: for every pair of logs.
    #[test]
    fn a_hint_goes_down_and_never_below_what_matches() {
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

    /// For every pair of logs: after the splice at their last common entry the follower
    /// holds the leader's log; splicing a part of it again (a late Append) changes nothing.
    #[test]
    fn a_splice_makes_logs_match_and_a_stale_one_changes_nothing() {
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
    fn entries_that_do_not_follow_are_told() {
        assert!(follow(id(1, 1), &[entry(1, 2), entry(2, 3)]));
        assert!(!follow(id(1, 1), &[entry(1, 3)]));
        assert!(!follow(id(2, 1), &[entry(1, 2)]));
        assert!(!follow(id(1, 1), &[entry(1, 2), entry(1, 2)]));
    }

    #[test]
    fn a_batch_keeps_its_limits_but_never_is_empty() {
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

    /// The leader of a log whose begin is compacted knows when the place where a follower's log
    /// parts lies below: for every pair of logs and every base that the follower may lack.
    #[test]
    fn a_hint_below_the_base_is_told() {
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
    fn a_cut_leaves_no_more_than_it_may() {
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
