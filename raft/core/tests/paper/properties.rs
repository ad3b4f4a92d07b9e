//! Figure 3: the properties that hold at all times.
//!
//! Each has a witness who sees every node after every event of many random courses, remembers
//! what it saw, and says no. That it can say no is shown to it as well, with what no cluster should
//! ever show.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use raft_core::{Entry, EntryId};

use crate::course::{Sights, View, follow};
use crate::table::{entries, id};

/// A broken property, in words.
type Verdict = Result<(), String>;

fn demand(holds: bool, broken: impl Fn() -> String) -> Verdict {
    holds.then_some(()).ok_or_else(broken)
}

/// Election Safety: in a term at most one leader is elected (§5.2).
#[derive(Default)]
struct ElectionSafety(BTreeMap<u64, (u64, u64)>);

impl ElectionSafety {
    fn see(&mut self, view: &View) -> Verdict {
        if !view.leads {
            return Ok(());
        }
        let seen = (view.node, view.life);
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
    fn see(&mut self, view: &View) -> Verdict {
        let before = self.0.insert(view.node, view.clone()).unwrap_or_default();
        let still = |v: &View| (v.leads, v.term, v.life);
        let is_same = view.leads && still(&before) == still(view);
        demand(!is_same || view.log.starts_with(&before.log), || {
            format!("{before:?} leads on as {view:?}")
        })
    }
}

/// Log Matching: if two logs hold an entry of the same index and term, they are identical in all
/// entries up to it (§5.3). So the entry before an entry is the same wherever and whenever it is
/// seen.
#[derive(Default)]
struct LogMatching(BTreeMap<EntryId, (EntryId, Entry<u64>)>);

impl LogMatching {
    fn see(&mut self, view: &View) -> Verdict {
        let mut before = EntryId::default();
        for entry in &view.log {
            let seen = (before, entry.clone());
            let known = self.0.entry(entry.id).or_insert_with(|| seen.clone());
            demand(*known == seen, || format!("{known:?} and {seen:?}"))?;
            before = entry.id;
        }
        Ok(())
    }
}

/// Leader Completeness: if an entry is committed in a term, it is in the logs of the leaders of all
/// higher terms (§5.4).
#[derive(Default)]
struct LeaderCompleteness {
    /// Each committed entry, and the lowest term of which it is known that it was committed in it.
    committed: BTreeMap<u64, (u64, EntryId)>,
    /// The log with which the leader of each term began.
    leaders: BTreeMap<u64, Vec<EntryId>>,
}

impl LeaderCompleteness {
    fn see(&mut self, view: &View) -> Verdict {
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
    fn see(&mut self, view: &View) -> Verdict {
        let both = self.0.len().min(view.applied.len());
        demand(self.0[..both] == view.applied[..both], || {
            format!("{:?} were applied, and {:?}", self.0, view.applied)
        })?;
        self.0.extend(&view.applied[both..]);
        Ok(())
    }
}

/// What all courses show, and what the witnesses say of it: of each property the first
/// contradiction.
struct Findings {
    sights: Sights,
    election_safety: Verdict,
    leader_append_only: Verdict,
    log_matching: Verdict,
    leader_completeness: Verdict,
    state_machine_safety: Verdict,
}

/// The courses are followed once, for all tests together.
fn findings() -> &'static Findings {
    static FINDINGS: LazyLock<Findings> = LazyLock::new(|| {
        let mut witnesses = Witnesses::default();
        let mut verdicts = [const { Ok(()) }; 5];
        let sights = follow(|seed, event, view| {
            if event == 0 {
                witnesses = Witnesses::default();
            }
            for (verdict, seen) in verdicts.iter_mut().zip(witnesses.see(view)) {
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
            sights,
            election_safety,
            leader_append_only,
            log_matching,
            leader_completeness,
            state_machine_safety,
        }
    });
    &FINDINGS
}

/// Those who see one course.
#[derive(Default)]
struct Witnesses(
    ElectionSafety,
    LeaderAppendOnly,
    LogMatching,
    LeaderCompleteness,
    StateMachineSafety,
);

impl Witnesses {
    fn see(&mut self, view: &View) -> [Verdict; 5] {
        [
            self.0.see(view),
            self.1.see(view),
            self.2.see(view),
            self.3.see(view),
            self.4.see(view),
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

/// A property that nothing puts to the test is not shown to hold.
#[test]
fn the_properties_are_put_to_the_test() {
    let Sights {
        terms_led,
        truncations,
        commits,
        deaths,
    } = findings().sights;
    assert!(
        terms_led > 300 && truncations > 30,
        "{terms_led} {truncations}"
    );
    assert!(commits > 1000 && deaths > 1000, "{commits} {deaths}");
}

fn leader(node: u64, term: u64, log: &[u64]) -> View {
    View {
        node,
        life: 1,
        term,
        leads: true,
        log: entries(1, log),
        ..View::default()
    }
}

#[test]
fn a_second_leader_in_a_term_is_told() {
    let mut witness = ElectionSafety::default();
    assert_eq!(witness.see(&leader(1, 2, &[2])), Ok(()));
    assert_eq!(witness.see(&leader(2, 3, &[3])), Ok(()));
    assert!(witness.see(&leader(2, 2, &[2])).is_err());
    // Nor may the same node lead once more in the same term after a restart.
    let again = View {
        life: 2,
        ..leader(1, 2, &[2])
    };
    assert!(witness.see(&again).is_err());
}

#[test]
fn a_leader_that_drops_or_changes_entries_is_told() {
    let mut witness = LeaderAppendOnly::default();
    assert_eq!(witness.see(&leader(1, 2, &[1, 2])), Ok(()));
    assert_eq!(witness.see(&leader(1, 2, &[1, 2, 2])), Ok(()));
    assert!(witness.see(&leader(1, 2, &[1, 2])).is_err());
    assert!(witness.see(&leader(1, 2, &[2, 2])).is_err());
}

#[test]
fn logs_that_part_before_a_common_entry_are_told() {
    let mut witness = LogMatching::default();
    assert_eq!(witness.see(&leader(1, 2, &[1, 2])), Ok(()));
    assert_eq!(witness.see(&leader(2, 3, &[1, 3])), Ok(()));
    assert!(witness.see(&leader(3, 2, &[2, 2])).is_err());
    // Nor may one name stand for two commands.
    let mut other = leader(3, 3, &[1, 3]);
    other.log[1].payload = other.log[0].payload.clone();
    assert!(witness.see(&other).is_err());
}

#[test]
fn a_leader_that_lacks_what_was_committed_is_told() {
    let committed = View {
        commit: 2,
        ..leader(1, 2, &[1, 2])
    };
    let mut witness = LeaderCompleteness::default();
    assert_eq!(witness.see(&committed), Ok(()));
    assert_eq!(witness.see(&leader(2, 3, &[1, 2, 3])), Ok(()));
    assert!(witness.see(&leader(2, 4, &[1, 4])).is_err());
    // Also if the leader was seen first.
    let mut witness = LeaderCompleteness::default();
    assert_eq!(witness.see(&leader(2, 4, &[1, 4])), Ok(()));
    assert!(witness.see(&committed).is_err());
    assert_eq!(committed.log[1].id, id(2, 2));
}

#[test]
fn machines_that_apply_different_commands_are_told() {
    let applied = |commands: &[u64]| View {
        applied: commands.to_vec(),
        ..View::default()
    };
    let mut witness = StateMachineSafety::default();
    for commands in [&[1, 2][..], &[], &[1], &[1, 2, 3]] {
        assert_eq!(witness.see(&applied(commands)), Ok(()));
    }
    assert!(witness.see(&applied(&[1, 3])).is_err());
}
