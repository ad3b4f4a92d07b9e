//! Invariants of one node: of each state, and of each step from one state to the next.
//!
//! Tests and debug builds check them after every step. The simulator and the model checker check
//! the invariants of a whole cluster (one leader a term, Log Matching, Leader Completeness).

use alloc::format;
use alloc::string::String;

use crate::id::EntryId;
use crate::status::{RoleName, Status};

/// The description of a broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// A table of rules, each with what its violation says. The first that is broken is the error.
macro_rules! demand {
    ($($holds:expr => $rule:literal;)*) => {
        $(if !$holds {
            return Err(Violation(format!($rule)));
        })*
    };
}

/// Checks one state. `held` is the number of unanswered requests found in the node's tables.
///
/// # Errors
/// Names the first rule that is broken.
pub fn check_state(status: &Status, held: usize) -> Result<(), Violation> {
    let &Status {
        id,
        role,
        ballot,
        last,
        base,
        commit,
        applied,
        synced,
        ..
    } = status;
    let (term, covered, open) = (ballot.term(), status.covered(), status.requests_open);
    let (candidate, leads) = (role == RoleName::Candidate, role == RoleName::Leader);
    let voted_for_itself = ballot.vote() == Some(id);
    demand! {
        base <= commit => "the base {base} must be committed (commit {commit})";
        base <= covered => "only entries that a snapshot covers may be compacted (base {base}, snapshot {covered})";
        covered <= commit => "a snapshot must hold only committed entries (snapshot {covered}, commit {commit})";
        base.index <= applied && applied <= commit.index =>
            "the last applied entry must be committed, and not before the base (applied {applied}, base {base}, commit {commit})";
        commit.index <= last.index => "the committed entry {commit} must be in the log (last {last})";
        synced <= last.index => "synced entries must be in the log (synced {synced}, last {last})";
        last.term <= term => "no entry may be of a future term (last {last}, term {term})";
        held == open => "every request must be held until it is answered (held {held}, open {open})";
        !candidate || voted_for_itself => "a candidate must vote for itself";
        !leads || voted_for_itself => "a leader must have voted for itself";
        !leads || status.leader == Some(id) => "a leader must know that it leads";
        !leads || last.term == term =>
            "a leader's log must end in its own term, since it begins with a blank entry";
    }
    for (node, matched) in &status.matched {
        demand! {
            *matched <= last.index =>
                "the match index of node {node} must not exceed the log ({matched}, last {last})";
        }
    }
    Ok(())
}

/// Checks a step from one state to the next. `at_old_commit` is the entry that now stands at the
/// commit index of `before`, unless a snapshot covers it.
///
/// # Errors
/// Names the first rule that is broken.
pub fn check_step(
    before: &Status,
    after: &Status,
    at_old_commit: Option<EntryId>,
) -> Result<(), Violation> {
    let (b, a) = (before, after);
    let (old_term, term) = (b.ballot.term(), a.ballot.term());
    let (old_vote, vote) = (b.ballot.vote(), a.ballot.vote());
    let (old_last, last, old_commit, commit) = (b.last, a.last, b.commit, a.commit);
    let (old_applied, applied, old_covered, covered) =
        (b.applied, a.applied, b.covered(), a.covered());
    let same_term = term == old_term;
    let leads = same_term && a.role == RoleName::Leader && b.role == RoleName::Leader;
    let hands_over = same_term && b.handover.is_some() && a.handover == b.handover;
    demand! {
        term >= old_term => "the term must never fall ({old_term} to {term})";
        !same_term || old_vote.is_none() || vote == old_vote =>
            "a node must not change its vote within a term ({old_vote:?} to {vote:?})";
        !leads || last >= old_last =>
            "a leader must only append (Leader Append-Only: {old_last} to {last})";
        !hands_over || last == old_last =>
            "a leader must take no command while it hands over ({old_last} to {last})";
        commit.index >= old_commit.index =>
            "the commit index must never fall ({old_commit} to {commit})";
        at_old_commit.is_none_or(|id| id == old_commit) =>
            "a committed entry must never change ({old_commit} to {at_old_commit:?})";
        applied >= old_applied => "no entry may be applied twice ({old_applied} to {applied})";
        covered >= old_covered =>
            "a snapshot must never replace a newer one ({old_covered} to {covered})";
    }
    let restarted = a.counters.streams_restarted > b.counters.streams_restarted;
    for (node, old) in b.matched.iter().filter(|_| same_term && !restarted) {
        let matched = a.matched.get(node).unwrap_or(old);
        demand! {
            matched >= old =>
                "the match index of node {node} must never fall within a replication stream ({old} to {matched})";
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;
    use crate::ballot::Ballot;
    use crate::counters::Counters;
    use crate::id::{Index, NodeId, SnapshotId, Term};
    use crate::membership::Membership;

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
            membership: Membership::of([ME, PEER]).into(),
            was_removed: false,
            last: id(5, 3),
            base: id(1, 1),
            log_bytes: 400,
            snapshot: snapshot(id(2, 1)),
            commit: id(4, 3),
            applied: Index(4),
            synced: Index(5),
            is_disk_stalled: false,
            matched: BTreeMap::from([(PEER, Index(4))]),
            snapshot_streams: BTreeMap::new(),
            handover: None,
            incoming_snapshot: None,
            requests_open: 1,
            requests_waiting: 0,
            proposals: 1,
            counters: Counters::default(),
        }
    }

    #[track_caller]
    fn state_rejects(change: impl FnOnce(&mut Status), rule: &str) {
        let mut status = leader();
        change(&mut status);
        let Violation(found) = check_state(&status, 1).expect_err("a rule is broken");
        assert!(found.contains(rule), "{found}");
    }

    /// Checks the step from the leader above to the state that `change` makes of it.
    #[track_caller]
    fn step_rejects(change: impl FnOnce(&mut Status), rule: &str) {
        let mut after = leader();
        change(&mut after);
        let step = check_step(&leader(), &after, Some(id(4, 3)));
        let Violation(found) = step.expect_err("a rule is broken");
        assert!(found.contains(rule), "{found}");
    }

    #[test]
    fn valid_state_passes() {
        assert_eq!(check_state(&leader(), 1), Ok(()));
    }

    #[test]
    fn each_broken_rule_of_a_state_is_found() {
        state_rejects(|s| s.base = id(5, 3), "the base 5@3 must be committed");
        state_rejects(
            |s| s.base = id(3, 3),
            "only entries that a snapshot covers may be compacted",
        );
        state_rejects(
            |s| s.snapshot = None,
            "only entries that a snapshot covers may be compacted",
        );
        state_rejects(
            |s| s.snapshot = snapshot(id(5, 3)),
            "a snapshot must hold only committed entries",
        );
        state_rejects(
            |s| s.commit = id(6, 3),
            "the committed entry 6@3 must be in the log",
        );
        state_rejects(
            |s| s.applied = Index(5),
            "the last applied entry must be committed",
        );
        state_rejects(|s| s.applied = Index(0), "not before the base");
        state_rejects(|s| s.synced = Index(6), "synced entries must be in the log");
        state_rejects(|s| s.last = id(5, 4), "no entry may be of a future term");
        state_rejects(|s| s.requests_open = 2, "every request must be held");
        state_rejects(
            |s| {
                s.role = RoleName::Candidate;
                s.ballot = Ballot::new(Term(3), Some(PEER));
            },
            "a candidate must vote for itself",
        );
        state_rejects(
            |s| s.ballot = Ballot::new(Term(3), None),
            "a leader must have voted for itself",
        );
        state_rejects(
            |s| s.leader = Some(PEER),
            "a leader must know that it leads",
        );
        state_rejects(
            |s| s.ballot = Ballot::new(Term(4), Some(ME)),
            "a leader's log must end in its own term",
        );
        state_rejects(
            |s| s.matched = BTreeMap::from([(PEER, Index(6))]),
            "must not exceed the log",
        );
    }

    #[test]
    fn valid_step_passes() {
        let mut after = leader();
        after.last = id(6, 3);
        after.commit = id(5, 3);
        after.matched = BTreeMap::from([(PEER, Index(5))]);
        assert_eq!(check_step(&leader(), &after, Some(id(4, 3))), Ok(()));
        // In a later term it may drop uncommitted entries, vote again, and follow.
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
        // A snapshot may cover the committed entry.
        assert_eq!(check_step(&leader(), &after, None), Ok(()));
    }

    #[test]
    fn each_broken_rule_of_a_step_is_found() {
        step_rejects(
            |s| s.ballot = Ballot::new(Term(2), None),
            "the term must never fall",
        );
        step_rejects(
            |s| s.ballot = Ballot::new(Term(3), Some(PEER)),
            "must not change its vote",
        );
        step_rejects(
            |s| s.ballot = Ballot::new(Term(3), None),
            "must not change its vote",
        );
        step_rejects(|s| s.last = id(4, 3), "a leader must only append");
        step_rejects(
            |s| s.matched = BTreeMap::from([(PEER, Index(3))]),
            "the match index of node 2 must never fall",
        );
        step_rejects(|s| s.commit = id(3, 3), "the commit index must never fall");
        step_rejects(|s| s.applied = Index(3), "no entry may be applied twice");
        step_rejects(
            |s| s.snapshot = snapshot(id(1, 1)),
            "a snapshot must never replace a newer one",
        );
        let changed = check_step(&leader(), &leader(), Some(id(4, 2)));
        let Violation(found) = changed.expect_err("a rule is broken");
        assert!(
            found.contains("a committed entry must never change"),
            "{found}"
        );
    }
}
