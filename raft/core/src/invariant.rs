//! What must hold of every state of a node, and between one state and the next.
//!
//! Checked after every step in tests and debug builds. What must hold between nodes (one leader a
//! term, Log Matching, Leader Completeness) is checked where whole clusters are, in the test
//! bench.

use alloc::format;
use alloc::string::String;

use crate::id::{EntryId, Index};
use crate::status::{RoleName, Status};

/// A rule that was broken, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

macro_rules! demand {
    ($holds:expr, $($rule:tt)+) => {
        if !$holds {
            return Err(Violation(format!($($rule)+)));
        }
    };
}

/// Checks one state. `held` is the number of unanswered requests found in the node's tables.
///
/// # Errors
/// Names the first rule that is broken.
pub fn check_state(status: &Status, held: usize) -> Result<(), Violation> {
    let s = status;
    demand!(
        s.base <= s.commit,
        "the base {} is committed ({})",
        s.base,
        s.commit
    );
    let covered = s.snapshot.map_or_else(EntryId::default, |id| id.last);
    demand!(
        s.base <= covered,
        "nothing is compacted that no snapshot covers ({}, {covered})",
        s.base
    );
    demand!(
        covered <= s.commit,
        "a snapshot holds only what is committed ({covered}, {})",
        s.commit
    );
    demand!(
        s.commit.index <= s.last.index,
        "the committed entry {} is in the log, which ends at {}",
        s.commit,
        s.last
    );
    demand!(
        s.synced <= s.last.index,
        "what is synced is in the log ({}, {})",
        s.synced,
        s.last
    );
    demand!(
        s.last.term <= s.ballot.term(),
        "no entry is of a term to come ({}, {})",
        s.last,
        s.ballot.term()
    );
    demand!(
        held == s.requests_open,
        "every request is held until it is answered ({held} held, {} open)",
        s.requests_open
    );
    let votes_for_itself = s.ballot.vote() == Some(s.id);
    match s.role {
        RoleName::Follower | RoleName::PreCandidate => {}
        RoleName::Candidate => demand!(votes_for_itself, "a candidate votes for itself"),
        RoleName::Leader => {
            demand!(votes_for_itself, "a leader voted for itself");
            demand!(s.leader == Some(s.id), "a leader knows who leads");
            demand!(
                s.last.term == s.ballot.term(),
                "a leader's log ends in its own term, since it begins with a blank"
            );
            for (node, matched) in &s.matched {
                demand!(
                    *matched <= s.last.index,
                    "node {node} matches no more than there is ({matched}, {})",
                    s.last
                );
            }
        }
    }
    Ok(())
}

/// Checks a step from one state to the next. `at_old_commit` is what now stands where the last
/// committed entry stood before, unless a snapshot covers it.
///
/// # Errors
/// Names the first rule that is broken.
pub fn check_step(
    before: &Status,
    after: &Status,
    at_old_commit: Option<EntryId>,
) -> Result<(), Violation> {
    let (b, a) = (before, after);
    demand!(
        a.ballot.term() >= b.ballot.term(),
        "the term never falls ({} to {})",
        b.ballot.term(),
        a.ballot.term()
    );
    if a.ballot.term() == b.ballot.term() {
        demand!(
            b.ballot.vote().is_none() || a.ballot.vote() == b.ballot.vote(),
            "one vote a term ({:?} to {:?})",
            b.ballot.vote(),
            a.ballot.vote()
        );
        let both_lead = a.role == RoleName::Leader && b.role == RoleName::Leader;
        demand!(
            !both_lead || a.last >= b.last,
            "a leader only appends (Leader Append-Only: {} to {})",
            b.last,
            a.last
        );
        for (node, matched) in &b.matched {
            let now = a.matched.get(node).copied().unwrap_or(Index(u64::MAX));
            let restarted = a.counters.streams_restarted > b.counters.streams_restarted;
            demand!(
                restarted || now >= *matched,
                "what node {node} acknowledged stays ({matched} to {now})"
            );
        }
    }
    demand!(
        a.commit.index >= b.commit.index,
        "the commit index never falls ({} to {})",
        b.commit,
        a.commit
    );
    let covered = |s: &Status| s.snapshot.map_or_else(EntryId::default, |id| id.last);
    demand!(
        covered(a) >= covered(b),
        "a snapshot never takes the place of a newer one ({} to {})",
        covered(b),
        covered(a)
    );
    demand!(
        at_old_commit.is_none_or(|id| id == b.commit),
        "a committed entry never changes ({} to {at_old_commit:?})",
        b.commit
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;
    use crate::ballot::Ballot;
    use crate::counters::Counters;
    use crate::id::{NodeId, SnapshotId, Term};

    const ME: NodeId = NodeId(1);
    const PEER: NodeId = NodeId(2);

    fn id(index: u64, term: u64) -> EntryId {
        EntryId {
            term: Term(term),
            index: Index(index),
        }
    }

    fn snapshot(last: EntryId) -> Option<SnapshotId> {
        let (length, crc) = (10, 7);
        Some(SnapshotId { last, length, crc })
    }

    /// A leader of term 3 with five entries, of which four are committed and two compacted.
    fn leader() -> Status {
        Status {
            id: ME,
            role: RoleName::Leader,
            ballot: Ballot::new(Term(3), Some(ME)),
            leader: Some(ME),
            last: id(5, 3),
            base: id(1, 1),
            log_bytes: 400,
            snapshot: snapshot(id(2, 1)),
            commit: id(4, 3),
            applied: Index(4),
            synced: Index(5),
            matched: BTreeMap::from([(PEER, Index(4))]),
            snapshot_streams: BTreeMap::new(),
            incoming_snapshot: None,
            requests_open: 1,
            requests_waiting: 0,
            proposals: 1,
            counters: Counters::default(),
        }
    }

    #[track_caller]
    fn state_says_no(change: impl FnOnce(&mut Status), rule: &str) {
        let mut status = leader();
        change(&mut status);
        let Violation(said) = check_state(&status, 1).expect_err("a rule is broken");
        assert!(said.contains(rule), "{said}");
    }

    /// From the leader above to what `change` makes of it.
    #[track_caller]
    fn step_says_no(change: impl FnOnce(&mut Status), rule: &str) {
        let mut after = leader();
        change(&mut after);
        let step = check_step(&leader(), &after, Some(id(4, 3)));
        let Violation(said) = step.expect_err("a rule is broken");
        assert!(said.contains(rule), "{said}");
    }

    #[test]
    fn a_right_state_breaks_no_rule() {
        assert_eq!(check_state(&leader(), 1), Ok(()));
    }

    #[test]
    fn each_rule_of_a_state_says_no() {
        state_says_no(|s| s.base = id(5, 3), "the base 5@3 is committed");
        state_says_no(
            |s| s.base = id(3, 3),
            "nothing is compacted that no snapshot covers",
        );
        state_says_no(
            |s| s.snapshot = None,
            "nothing is compacted that no snapshot covers",
        );
        state_says_no(
            |s| s.snapshot = snapshot(id(5, 3)),
            "a snapshot holds only what is committed",
        );
        state_says_no(
            |s| s.commit = id(6, 3),
            "the committed entry 6@3 is in the log",
        );
        state_says_no(|s| s.synced = Index(6), "what is synced is in the log");
        state_says_no(|s| s.last = id(5, 4), "no entry is of a term to come");
        state_says_no(|s| s.requests_open = 2, "every request is held");
        state_says_no(
            |s| {
                s.role = RoleName::Candidate;
                s.ballot = Ballot::new(Term(3), Some(PEER));
            },
            "a candidate votes for itself",
        );
        state_says_no(
            |s| s.ballot = Ballot::new(Term(3), None),
            "a leader voted for itself",
        );
        state_says_no(|s| s.leader = Some(PEER), "a leader knows who leads");
        state_says_no(
            |s| s.ballot = Ballot::new(Term(4), Some(ME)),
            "a leader's log ends in its own term",
        );
        state_says_no(
            |s| s.matched = BTreeMap::from([(PEER, Index(6))]),
            "matches no more than there is",
        );
    }

    #[test]
    fn a_right_step_breaks_no_rule() {
        let mut after = leader();
        after.last = id(6, 3);
        after.commit = id(5, 3);
        after.matched = BTreeMap::from([(PEER, Index(5))]);
        assert_eq!(check_step(&leader(), &after, Some(id(4, 3))), Ok(()));
        // In a later term it may drop what is not committed, vote anew, and follow.
        after = leader();
        after.role = RoleName::Follower;
        after.ballot = Ballot::new(Term(4), Some(PEER));
        after.last = id(4, 3);
        after.matched.clear();
        assert_eq!(check_step(&leader(), &after, Some(id(4, 3))), Ok(()));
        // A restarted follower acknowledges everything again.
        let mut restarted = leader();
        restarted.matched = BTreeMap::from([(PEER, Index(0))]);
        restarted.counters.streams_restarted = 1;
        assert_eq!(check_step(&leader(), &restarted, None), Ok(()));
        // A snapshot may cover what was committed.
        assert_eq!(check_step(&leader(), &after, None), Ok(()));
    }

    #[test]
    fn each_rule_of_a_step_says_no() {
        step_says_no(
            |s| s.ballot = Ballot::new(Term(2), None),
            "the term never falls",
        );
        step_says_no(
            |s| s.ballot = Ballot::new(Term(3), Some(PEER)),
            "one vote a term",
        );
        step_says_no(|s| s.ballot = Ballot::new(Term(3), None), "one vote a term");
        step_says_no(|s| s.last = id(4, 3), "a leader only appends");
        step_says_no(
            |s| s.matched = BTreeMap::from([(PEER, Index(3))]),
            "what node 2 acknowledged stays",
        );
        step_says_no(|s| s.commit = id(3, 3), "the commit index never falls");
        step_says_no(
            |s| s.snapshot = snapshot(id(1, 1)),
            "a snapshot never takes the place of a newer one",
        );
        let changed = check_step(&leader(), &leader(), Some(id(4, 2)));
        let Violation(said) = changed.expect_err("a rule is broken");
        assert!(said.contains("a committed entry never changes"), "{said}");
    }
}
