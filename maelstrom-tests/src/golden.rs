//! Protocol stories as text: what happens to a cluster, and all that comes of it.
//!
//! A script's lines that begin at the margin are commands, or comments (`#`); the first says why
//! the script is there. What came of a command stands below it, indented: what each node was told,
//! and below that, indented further, what it did. [`run`] plays a script and writes it down anew;
//! a script is right if that changes nothing. So each script is a test, and reading it is a review
//! of the protocol.
//!
//! ```text
//! # One node asks, the others grant, it leads.
//! cluster 3
//! campaign n1
//!   tick 1
//!     n1 is pre_candidate in term 0
//!     n1->n2 t0 pre_vote p1, last 0@0
//!     n1->n3 t0 pre_vote p1, last 0@0
//! ```
//!
//! An entry is written `index@term`, a message `sender->receiver`, then the sender's term (`t2`),
//! its kind and what it says. Questions that wait for an answer are named in the order in which
//! they appear: `p1` a round of pre-votes, `r1` a read round, `i1` a question for a read index,
//! `f1` a forward.
//!
//! | command | |
//! |---|---|
//! | `cluster 3 election=10 heartbeat=3` | starts new nodes n1, n2, n3. The times are in ticks; a timeout does not vary, so that a story has no chance in it (`election=10..20` brings it back). `window=`, `batch=`, `early=`, `rounds=`, `requests=`, `proposals=`, `uncommitted=`, `snapshot=`, `trailing=`, `retained=`, `chunk=`, `longest=` set limits |
//! | `node n1 term=2 vote=n1 log=1,1,2` | starts n1 anew with this on its disk: an entry (a blank one) of each of these terms |
//! | `tick n1 5`, `tick all 5` | clocks tick |
//! | `run 5` | five times: all clocks tick, and all messages arrive |
//! | `campaign n1` | n1's clock ticks until it wants to be elected |
//! | `write n1 x=1`, `cas n1 x:1->2`, `read n1 x` | a client asks n1 |
//! | `deliver [which]` | those messages arrive that are on their way now |
//! | `settle` | messages arrive until none is on its way |
//! | `drop [which]`, `duplicate [which]` | messages are lost; are doubled, the copies coming last |
//! | `hold [which]`, `release [which]` | messages are late; are on their way again, behind the others |
//! | `spoil [which]` | the parts of a snapshot in these messages arrive damaged, behind the others |
//! | `cut n1 n2`, `heal` | what the first says to the second is lost from now on; nothing is |
//! | `isolate n1` | n1 and all others are cut off from each other |
//! | `crash n1`, `start n1`, `restart n1` | the process dies, starts from its disk, both |
//! | `stall n1`, `sync n1`, `unstall n1` | n1's disk takes its time; stores what waits; is prompt again |
//! | `busy n1`, `work n1`, `free n1` | n1's work on snapshots waits; does one step: the file gets its name, then n1 hears of it; is prompt again |
//! | `forget n1` | n1 dies, its disk is lost, and it starts |
//! | `gather n1`, `flush n1` | what happens to n1 has no output; all of it has one |
//! | `status [n1]`, `log [n1]`, `flight` | how things stand; the terms of the log's entries; which messages are on their way |
//! | `quietly COMMAND` | the command, and not what comes of it |
//!
//! Which messages: any of `first`, `last` or `#2`, `n1->n2`, `n1->`, `->n2`, and a message's kind.
//! Without any it is all of them.

mod command;
mod stage;

use std::fmt;

use self::command::Command;
use self::stage::Stage;

/// How a script cannot be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ScriptError {}

/// Plays a script, and returns it with all that came of it.
///
/// # Errors
/// Names the line that makes no sense, or at which a rule of Raft was broken.
///
/// # Panics
/// If a node does.
pub fn run(script: &str) -> Result<String, ScriptError> {
    let mut stage = Stage::default();
    let mut text = String::new();
    if !script.starts_with("# ") {
        return Err(ScriptError {
            line: 1,
            problem: "a script begins with a line that says why it is there".into(),
        });
    }
    for (number, line) in (1..).zip(script.lines()) {
        if line.starts_with(' ') {
            continue;
        }
        text.push_str(line);
        text.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (line, quietly) = match line.strip_prefix("quietly ") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let played = Command::parse(line).and_then(|command| stage.play(&command));
        let output = stage.take_output();
        played.map_err(|problem| ScriptError {
            line: number,
            problem: format!("{line}: {problem}"),
        })?;
        if !quietly {
            text.push_str(&output);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(script: &str) -> String {
        run(script).expect_err("it makes no sense").to_string()
    }

    #[test]
    fn a_script_says_why_it_is_there() {
        assert!(problem("cluster 3\n").starts_with("line 1: a script begins"));
    }

    #[test]
    fn old_output_is_replaced() {
        let script = "# Why.\ncluster 1\n  what it was\n\nstatus\n  and this\n";
        let played = run(script).expect("it makes sense");
        assert!(!played.contains("what it was") && !played.contains("and this"));
        assert_eq!(run(&played).as_deref(), Ok(&*played));
        assert!(played.contains("leader"));
    }

    #[test]
    fn what_is_quiet_is_not_told() {
        let played = run("# Why.\ncluster 3\nquietly campaign n1\n").expect("it makes sense");
        assert_eq!(played, "# Why.\ncluster 3\nquietly campaign n1\n");
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        assert_eq!(
            problem("# Why.\ncluster 3\nfrobnicate n1\n"),
            "line 3: frobnicate n1: there is no command \"frobnicate\""
        );
        assert!(problem("# Why.\ncluster 3\ntick n9\n").contains("no node n9"));
        assert!(problem("# Why.\ntick n1\n").contains("no node n1"));
        assert!(problem("# Why.\ncluster 3\ntick\n").contains("something is missing"));
        assert!(problem("# Why.\ncluster 3\nrun five\n").contains("\"five\" is no number"));
        assert!(problem("# Why.\ncluster 3\nheal n1\n").contains("\"n1\" is too much"));
        assert!(problem("# Why.\ncluster 3\ndeliver tomatoes\n").contains("tomatoes"));
        assert!(problem("# Why.\ncluster 3\ndrop\n").contains("no such message"));
        assert!(problem("# Why.\ncluster 3\ncampaign n1\nspoil\n").contains("no part of"));
    }

    /// Two disks that no cluster can have: one entry behind two others.
    #[test]
    fn a_broken_rule_is_told() {
        let script = "# Why.\ncluster 2\nnode n1 term=3 log=1,3\nnode n2 term=3 log=2,3\n";
        assert!(problem(script).starts_with("line 4: node n2 term=3 log=2,3: Log Matching"));
    }
}
