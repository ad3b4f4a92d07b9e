//! Figure 3: the properties that hold at all times.
//!
//! Each property has a checker, which observes every node after every event of many random runs and
//! reports a broken property. Further tests show each checker states that break its property.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use raft_core::{Entry, EntryId};

use crate::node::{entries, id};
use crate::random_runs::{EventCounts, View, execute_all};

/// The result of a check: the description of a broken property, if it is broken.
type Verdict = Result<(), String>;

fn demand(holds: bool, broken: impl Fn() -> String) -> Verdict {
    holds.then_some(()).ok_or_else(broken)
}

/// Election Safety: in a term at most one leader is elected (§5.2).
#[derive(Default)]
struct ElectionSafety(BTreeMap<u64, (u64, u64)>);

impl ElectionSafety {
    fn observe(&mut self, view: &View) -> Verdict {
        if !view.leads {
            return Ok(());
        }
        let seen = (view.node, view.incarnation);
        let known = *self.0.entry(view.term).or_insert(seen);
        demand(known == seen, || {
            format!("{known:?} and {seen:?} lead in term {}", view.term)
        })
    }
}

/// Leader Append-Only: a leader neither overwrites nor deletes entries in its log; it appends only
/// (§5.3).
#[derive(Default)]
struct LeaderAppendOnly(BTreeMap<u64, View>);

impl LeaderAppendOnly {
    fn observe(&mut self, view: &View) -> Verdict {
        let before = self.0.insert(view.node, view.clone()).unwrap_or_default();
        let still = |v: &View| (v.leads, v.term, v.incarnation);
        let is_same = view.leads && still(&before) == still(view);
        demand(!is_same || view.log.starts_with(&before.log), || {
            format!("a leader changed from {before:?} to {view:?}")
        })
    }
}

/// Log Matching: if two logs hold an entry of the same index and term, they are identical in all
/// entries up to it (§5.3). So the entry before an entry is the same in all logs at all times.
#[derive(Default)]
struct LogMatching(BTreeMap<EntryId, (EntryId, Entry<u64>)>);

impl LogMatching {
    fn observe(&mut self, view: &View) -> Verdict {
        let mut before = EntryId::default();
        for entry in &view.log {
            let seen = (before, entry.clone());
            let known = self.0.entry(entry.id).or_insert_with(|| seen.clone());
            demand(*known == seen, || {
                format!("logs differ: {known:?} and {seen:?}")
            })?;
            before = entry.id;
        }
        Ok(())
    }
}

/// Leader Completeness: if an entry is committed in a term, it is in the logs of the leaders of all
/// higher terms (§5.4).
#[derive(Default)]
struct LeaderCompleteness {
    /// Each committed entry, with the lowest term in which it is known to be committed.
    committed: BTreeMap<u64, (u64, EntryId)>,
    /// The log with which the leader of each term began.
    leaders: BTreeMap<u64, Vec<EntryId>>,
}

impl LeaderCompleteness {
    fn observe(&mut self, view: &View) -> Verdict {
        let names: Vec<EntryId> = view.log.iter().map(|entry| entry.id).collect();
        for name in &names[..view.commit as usize] {
            let known = self
                .committed
                .entry(name.index.0)
                .or_insert((view.term, *name));
            known.0 = known.0.min(view.term);
        }
        if view.leads {
            self.leaders.entry(view.term).or_insert(names);
        }
        for (term, log) in &self.leaders {
            let before = self
                .committed
                .values()
                .filter(|(committed, _)| committed < term);
            for (committed, entry) in before {
                let has = log.get(entry.index.0 as usize - 1) == Some(entry);
                demand(has, || {
                    format!(
                        "the leader of term {term} lacks {entry}, committed in term {committed}"
                    )
                })?;
            }
        }
        Ok(())
    }
}

/// State Machine Safety: if a server has applied an entry at an index, no server ever applies
/// another one there (§5.4.3).
#[derive(Default)]
struct StateMachineSafety(Vec<u64>);

impl StateMachineSafety {
    fn observe(&mut self, view: &View) -> Verdict {
        let both = self.0.len().min(view.applied.len());
        demand(self.0[..both] == view.applied[..both], || {
            format!("machines applied {:?} and {:?}", self.0, view.applied)
        })?;
        self.0.extend(&view.applied[both..]);
        Ok(())
    }
}

/// The event counts of all runs, and the first violation of each property.
struct Findings {
    counts: EventCounts,
    election_safety: Verdict,
    leader_append_only: Verdict,
    log_matching: Verdict,
    leader_completeness: Verdict,
    state_machine_safety: Verdict,
}

/// Executes all runs once, for all tests together.
fn findings() -> &'static Findings {
    static FINDINGS: LazyLock<Findings> = LazyLock::new(|| {
        let mut checkers = Checkers::default();
        let mut verdicts = [const { Ok(()) }; 5];
        let counts = execute_all(|seed, event, view| {
            if event == 0 {
                checkers = Checkers::default();
            }
            for (verdict, seen) in verdicts.iter_mut().zip(checkers.observe(view)) {
                if verdict.is_ok() {
                    *verdict =
                        seen.map_err(|broken| format!("seed {seed}, event {event}: {broken}"));
                }
            }
        });
        let [
            election_safety,
            leader_append_only,
            log_matching,
            leader_completeness,
            state_machine_safety,
        ] = verdicts;
        Findings {
            counts,
            election_safety,
            leader_append_only,
            log_matching,
            leader_completeness,
            state_machine_safety,
        }
    });
    &FINDINGS
}

/// The checkers of one run.
#[derive(Default)]
struct Checkers(
    ElectionSafety,
    LeaderAppendOnly,
    LogMatching,
    LeaderCompleteness,
    StateMachineSafety,
);

impl Checkers {
    fn observe(&mut self, view: &View) -> [Verdict; 5] {
        [
            self.0.observe(view),
            self.1.observe(view),
            self.2.observe(view),
            self.3.observe(view),
            self.4.observe(view),
        ]
    }
}

#[test]
fn election_safety() {
    assert_eq!(findings().election_safety, Ok(()));
}

#[test]
fn leader_append_only() {
    assert_eq!(findings().leader_append_only, Ok(()));
}

#[test]
fn log_matching() {
    assert_eq!(findings().log_matching, Ok(()));
}

#[test]
fn leader_completeness() {
    assert_eq!(findings().leader_completeness, Ok(()));
}

#[test]
fn state_machine_safety() {
    assert_eq!(findings().state_machine_safety, Ok(()));
}

/// The runs must contain the events that can break the properties.
#[test]
fn random_runs_exercise_the_properties() {
    let EventCounts {
        terms_led,
        truncations,
        commits,
        crashes,
    } = findings().counts;
    assert!(
        terms_led > 300 && truncations > 30,
        "{terms_led} terms led, {truncations} truncations"
    );
    assert!(
        commits > 1000 && crashes > 1000,
        "{commits} commits, {crashes} crashes"
    );
}

fn leader(node: u64, term: u64, log: &[u64]) -> View {
    View {
        node,
        incarnation: 1,
        term,
        leads: true,
        log: entries(1, log),
        ..View::default()
    }
}

#[test]
fn second_leader_in_a_term_is_detected() {
    let mut checker = ElectionSafety::default();
    assert_eq!(checker.observe(&leader(1, 2, &[2])), Ok(()));
    assert_eq!(checker.observe(&leader(2, 3, &[3])), Ok(()));
    assert!(checker.observe(&leader(2, 2, &[2])).is_err());
    // A restarted node must not lead again in the same term.
    let again = View {
        incarnation: 2,
        ..leader(1, 2, &[2])
    };
    assert!(checker.observe(&again).is_err());
}

#[test]
fn leader_that_drops_or_changes_entries_is_detected() {
    let mut checker = LeaderAppendOnly::default();
    assert_eq!(checker.observe(&leader(1, 2, &[1, 2])), Ok(()));
    assert_eq!(checker.observe(&leader(1, 2, &[1, 2, 2])), Ok(()));
    assert!(checker.observe(&leader(1, 2, &[1, 2])).is_err());
    assert!(checker.observe(&leader(1, 2, &[2, 2])).is_err());
}

#[test]
fn logs_that_differ_before_a_common_entry_are_detected() {
    let mut checker = LogMatching::default();
    assert_eq!(checker.observe(&leader(1, 2, &[1, 2])), Ok(()));
    assert_eq!(checker.observe(&leader(2, 3, &[1, 3])), Ok(()));
    assert!(checker.observe(&leader(3, 2, &[2, 2])).is_err());
    // An id must not stand for two commands.
    let mut other = leader(3, 3, &[1, 3]);
    other.log[1].payload = other.log[0].payload.clone();
    assert!(checker.observe(&other).is_err());
}

#[test]
fn leader_that_lacks_a_committed_entry_is_detected() {
    let committed = View {
        commit: 2,
        ..leader(1, 2, &[1, 2])
    };
    let mut checker = LeaderCompleteness::default();
    assert_eq!(checker.observe(&committed), Ok(()));
    assert_eq!(checker.observe(&leader(2, 3, &[1, 2, 3])), Ok(()));
    assert!(checker.observe(&leader(2, 4, &[1, 4])).is_err());
    // Also if the checker saw the leader first.
    let mut checker = LeaderCompleteness::default();
    assert_eq!(checker.observe(&leader(2, 4, &[1, 4])), Ok(()));
    assert!(checker.observe(&committed).is_err());
    assert_eq!(committed.log[1].id, id(2, 2));
}

#[test]
fn machines_that_apply_different_commands_are_detected() {
    let applied = |commands: &[u64]| View {
        applied: commands.to_vec(),
        ..View::default()
    };
    let mut checker = StateMachineSafety::default();
    for commands in [&[1, 2][..], &[], &[1], &[1, 2, 3]] {
        assert_eq!(checker.observe(&applied(commands)), Ok(()));
    }
    assert!(checker.observe(&applied(&[1, 3])).is_err());
}
