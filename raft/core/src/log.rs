//! The replicated log above a base.
//!
//! What always holds of a [`Log`]:
//! 1. The entries stand one behind another without a gap, the first right above the base.
//! 2. Terms never fall from one entry to the next (each leader appends in its own term, and terms
//!    rise), nor from the base to the first.
//! 3. An entry below the base is gone for good: it is part of a snapshot.

use alloc::{collections::VecDeque, vec::Vec};

use crate::{
    entry::{Entry, Payload},
    id::{EntryId, Index, Term},
    machine::StateMachine,
};

/// The log: `log[]` of Figure 2, without what a snapshot already covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Log<C> {
    base: EntryId,
    entries: VecDeque<Entry<C>>,
}

impl<C: Clone> Log<C> {
    /// A log whose entries up to `base` are covered by a snapshot (none, if `base` is the default)
    /// and that goes on with `entries`.
    ///
    /// # Panics
    /// If the entries do not follow the base and each other: storage promises that they do.
    #[must_use]
    pub(crate) fn new(base: EntryId, entries: Vec<Entry<C>>) -> Self {
        assert!(
            follow(base, &entries),
            "the stored entries follow each other"
        );
        Self {
            base,
            entries: entries.into(),
        }
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
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry<C>> {
        let offset = index.0.checked_sub(self.base.index.0)?.checked_sub(1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// Whether this very entry is here.
    #[must_use]
    pub(crate) fn holds(&self, id: EntryId) -> bool {
        self.id_at(id.index) == Some(id)
    }

    /// The last entry at or before `id`'s index whose term is not above `id`'s term: what a
    /// follower answers to an Append that does not fit, and where its leader then looks in its own
    /// log. Between the two the logs differ for sure, because terms never fall along a log.
    #[must_use]
    pub(crate) fn hint(&self, id: EntryId) -> EntryId {
        let below = self.entries.partition_point(|e| e.id.term <= id.term) as u64;
        let index = Index(id.index.0.min(self.base.index.0 + below));
        self.id_at(index).unwrap_or(self.base)
    }

    /// The entries, from the first above the base to the last.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry<C>> + '_ {
        self.entries.iter()
    }

    /// The entries from `from` to `to`, both included, as many as fit into `entries` and `bytes`,
    /// but at least one, so that an entry of any size gets through.
    ///
    /// # Panics
    /// If `from` is not above the base.
    #[must_use]
    pub(crate) fn batch<S>(
        &self,
        from: Index,
        to: Index,
        entries: usize,
        bytes: usize,
    ) -> Vec<Entry<C>>
    where
        S: StateMachine<Command = C>,
    {
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
    pub(crate) fn append(&mut self, term: Term, payload: Payload<C>) -> EntryId {
        let last = self.last();
        assert!(term >= last.term, "terms never fall along the log");
        let id = EntryId {
            term,
            index: last.index.next(),
        };
        self.entries.push_back(Entry { id, payload });
        id
    }

    /// Takes over what a leader sent after `prev`, which must be here: keeps what agrees,
    /// and from the first difference on drops its own in favour of the leader's (steps 3 and 4 of
    /// AppendEntries in Figure 2). A stale Append, all of whose entries are here, changes nothing.
    /// Returns the entries that are new.
    pub(crate) fn splice(&mut self, prev: EntryId, mut entries: Vec<Entry<C>>) -> Vec<Entry<C>> {
        assert!(self.holds(prev) && follow(prev, &entries));
        let known = entries.iter().take_while(|e| self.holds(e.id)).count();
        let new = entries.split_off(known);
        if let Some(first) = new.first() {
            let keep = first.id.index.0 - self.base.index.next().0;
            self.entries.truncate(keep as usize);
            self.entries.extend(new.iter().cloned());
        }
        new
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
    use alloc::{sync::Arc, vec};

    use super::*;

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
    fn log(base: EntryId, terms: &[u64]) -> Log<u8> {
        let first = base.index.0 + 1;
        Log::new(
            base,
            (first..).zip(terms).map(|(i, t)| entry(*t, i)).collect(),
        )
    }

    /// Every log of up to four entries in terms 1 to 3.
    fn all_logs() -> Vec<Log<u8>> {
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
    fn can_meet(one: &Log<u8>, other: &Log<u8>) -> bool {
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
                    let guess = leader.hint(follower.hint(prev));
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
                    assert_eq!(spliced, leader);
                }
                for end in 0..=entries.len() {
                    let before = spliced.clone();
                    assert!(
                        spliced
                            .splice(EntryId::default(), entries[..end].to_vec())
                            .is_empty()
                    );
                    assert_eq!(spliced, before);
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

    #[test]
    fn a_batch_keeps_its_limits_but_never_is_empty() {
        let log = log(EntryId::default(), &[1, 1, 1, 1]);
        let len = |from, to, entries, bytes| {
            log.batch::<Bytes>(Index(from), Index(to), entries, bytes)
                .len()
        };
        assert_eq!(len(1, 4, 10, 1000), 4);
        assert_eq!(len(2, 3, 10, 1000), 2);
        assert_eq!(len(1, 4, 3, 1000), 3);
        assert_eq!(len(1, 4, 10, 250), 2);
        assert_eq!(len(1, 4, 10, 1), 1);
        assert_eq!(len(5, 4, 10, 1000), 0);
    }
}
