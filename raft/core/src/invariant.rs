//! What must hold of every state of a node, and between one state and the next.
//!
//! Checked after every step in tests and debug builds. What must hold between nodes (one leader a
//! term, Log Matching, Leader Completeness) is checked where whole clusters are, in the test
//! bench.

use alloc::{format, string::String};

use crate::{
    id::{EntryId, Index},
    status::{RoleName, Status},
};

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
            demand!(
                now >= *matched,
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
    demand!(
        at_old_commit.is_none_or(|id| id == b.commit),
        "a committed entry never changes ({} to {at_old_commit:?})",
        b.commit
    );
    Ok(())
}
