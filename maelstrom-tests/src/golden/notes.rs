//! A script's output.

use std::fmt::Write;
use std::mem;

use raft_core::{Entry, RoleName, Status};

use crate::replica::describe;
use crate::replica::machine::{Command, Registers};
use crate::replica::node::Process;

/// The output below a command.
#[derive(Debug, Default)]
pub(super) struct Notes {
    text: String,
    /// The present event, until it has a consequence.
    heading: Option<String>,
    indented: bool,
}

impl Notes {
    /// Begins an event that is printed only with a consequence.
    pub(super) fn begin(&mut self, heading: String) {
        self.heading = Some(heading);
        self.indented = true;
    }

    /// Begins an event that is always printed.
    pub(super) fn begin_always(&mut self, heading: &str) {
        self.heading = None;
        self.indented = true;
        writeln!(self.text, "  {heading}").expect("a string takes all");
    }

    /// Begins a command, which is an event of its own.
    pub(super) fn reset(&mut self) {
        self.heading = None;
        self.indented = false;
    }

    /// Prints one consequence of the present event.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(heading) = self.heading.take() {
            writeln!(self.text, "  {heading}").expect("a string takes all");
        }
        let indent = if self.indented { "    " } else { "  " };
        writeln!(self.text, "{indent}{line}").expect("a string takes all");
    }

    /// Returns the output and begins anew.
    pub(super) fn take(&mut self) -> String {
        mem::take(&mut self.text)
    }
}

/// A node's state when it was last printed.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) status: Status,
    pub(super) log: Vec<Entry<Command>>,
}

impl Noted {
    pub(super) fn of(process: &Process<Registers>) -> Self {
        Self {
            status: process.status.clone(),
            log: process.replica.log().cloned().collect(),
        }
    }

    /// How a node has changed since `before`, a line for each change.
    pub(super) fn changes(&self, before: &Self) -> Vec<String> {
        let (old, now) = (&before.status, &self.status);
        let mut lines = Vec::new();
        for reason in drops(old, now) {
            lines.push(format!("drops it: {reason}"));
        }
        let term = now.ballot.term();
        if (now.role, term) != (old.role, old.ballot.term()) {
            lines.push(format!("is {} in term {term}", now.role));
        }
        match (now.handover, old.handover) {
            (Some(target), None) => lines.push(format!("hands over to n{target}")),
            (None, Some(_)) if now.role == RoleName::Leader => lines.push("goes on".into()),
            _ => {}
        }
        // Entries that a snapshot covers are not lost.
        if now.counters.entries_truncated > old.counters.entries_truncated {
            let uncommitted = before.log.iter().filter(|e| e.id.index > old.commit.index);
            let lost = describe::entries(uncommitted.filter(|entry| !self.log.contains(entry)));
            lines.push(format!("drops {lost}"));
        }
        if old.membership != now.membership {
            let members = describe::members(&now.membership);
            lines.push(format!("has members {members}"));
        }
        let (from, to) = (old.commit.index, now.commit.index);
        let is_new = |e: &&Entry<Command>| e.id.index > from && e.id.index <= to;
        let new: Vec<_> = self.log.iter().filter(is_new).collect();
        if from < to && new.len() as u64 == to.0 - from.0 {
            lines.push(format!("commits {}", describe::entries(new)));
        } else if from < to {
            lines.push(format!("commits through {}", now.commit));
        }
        if old.base != now.base {
            lines.push(format!("compacts through {}", now.base));
        }
        lines
    }
}

/// A running node's status on one line.
pub(super) fn status(status: &Status) -> String {
    let mut line = format!("{} t{}", status.role, status.ballot.term());
    let mut add = |part: String| line.push_str(&part);
    if let Some(vote) = status.ballot.vote() {
        add(format!(", voted n{vote}"));
    }
    if let Some(leader) = status.leader
        && status.role != RoleName::Leader
    {
        add(format!(", follows n{leader}"));
    }
    add(format!(", last {}, commit {}", status.last, status.commit));
    if describe::has_changed(&status.membership) && !status.membership.members().is_empty() {
        add(format!(
            ", members {}",
            describe::members(&status.membership)
        ));
    }
    if let Some(snapshot) = status.snapshot {
        add(format!(", snapshot {}", snapshot.last));
    }
    for (peer, matched) in &status.matched {
        add(format!(", n{peer} has {matched}"));
    }
    for (peer, (snapshot, offset)) in &status.snapshot_streams {
        let (last, length) = (snapshot.last, snapshot.length);
        add(format!(
            ", n{peer} has {offset} of {length} bytes of {last}"
        ));
    }
    if let Some((here, snapshot)) = status.incoming_snapshot {
        let (last, length) = (snapshot.last, snapshot.length);
        add(format!(", has {here} of {length} bytes of {last}"));
    }
    if let Some(target) = status.handover {
        add(format!(", hands over to n{target}"));
    }
    if status.requests_open > 0 {
        add(format!(", {} open", status.requests_open));
    }
    line
}

/// Why messages were dropped between two states.
fn drops(before: &Status, now: &Status) -> Vec<&'static str> {
    let reasons = |status: &Status| {
        let dropped = &status.counters.dropped;
        [
            ("not from a member", dropped.stranger),
            ("malformed", dropped.malformed),
            ("a lower term", dropped.stale_term),
            ("a stale reply", dropped.stale_reply),
            ("a repeated forward", dropped.repeated_forward),
            ("unexpected", dropped.unexpected),
            ("no room", dropped.overflow),
        ]
    };
    let pairs = reasons(before).into_iter().zip(reasons(now));
    let increased = pairs.filter(|((_, old), (_, new))| new > old);
    increased.map(|((reason, _), _)| reason).collect()
}
