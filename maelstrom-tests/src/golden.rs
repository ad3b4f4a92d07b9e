//! Golden scripts: protocol stories as text, with everything that the nodes do.
//!
//! A line that begins at the margin is a command or a comment (`#`). The first line says what the
//! script shows. The indented lines below a command are its output: each event, and indented
//! further what the node did about it. [`run`] plays a script and returns it with new output; a
//! script passes if that equals the file. [`Script`] is a file, [`main`] the subcommand.
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
//! An entry is written `index@term`. A message is written `sender->receiver`, the sender's term
//! (`t2`), its kind and its content. Requests between nodes are numbered in the order in which they
//! appear: `p1` is a round of pre-votes, `r1` a read round, `i1` a request for a read index, `f1` a
//! forward.
//!
//! | command | effect |
//! |---|---|
//! | `cluster 3 election=10 heartbeat=3` | starts new nodes n1, n2, n3. The times are in ticks. The election timeout is fixed, so that a story does not depend on chance; `election=10..20` draws it. `window=`, `batch=`, `early=`, `rounds=`, `requests=`, `proposals=`, `uncommitted=`, `snapshot=`, `trailing=`, `retained=`, `chunk=`, `longest=` set limits |
//! | `node n1 term=2 vote=n1 log=1,1,2` | starts n1 anew with this on its disk: a blank entry of each of these terms |
//! | `tick n1 5`, `tick all 5` | clocks tick |
//! | `run 5` | five times: all clocks tick, and all messages arrive |
//! | `campaign n1` | n1's clock ticks until n1 asks for pre-votes |
//! | `write n1 x=1`, `cas n1 x:1->2`, `read n1 x` | a client sends n1 a request |
//! | `deliver [which]` | the messages that are under way now arrive |
//! | `settle` | messages arrive until none is under way |
//! | `drop [which]`, `duplicate [which]` | messages are lost; are copied, the copies last |
//! | `hold [which]`, `release [which]` | messages are held back; are under way again, after all others |
//! | `spoil [which]` | chunks of a snapshot are damaged, and arrive after all others |
//! | `cut n1 n2`, `heal` | messages from n1 to n2 are lost from now on; all links work again |
//! | `isolate n1` | n1 is cut off from all others |
//! | `crash n1`, `start n1`, `restart n1` | the process dies, starts from its disk, both |
//! | `stall n1`, `sync n1`, `unstall n1` | n1's outputs wait to be stored; are stored; are stored at once again |
//! | `busy n1`, `work n1`, `free n1` | n1's work on snapshots waits; does one step (the file gets its name, then n1 is notified); goes on by itself again |
//! | `forget n1` | n1 dies, loses its disk, and starts |
//! | `gather n1`, `flush n1` | n1's inputs have no output; all of them have one |
//! | `status [n1]`, `log [n1]`, `flight` | prints the nodes' states; the terms of their logs; the messages under way |
//! | `quietly COMMAND` | the command, without its output |
//!
//! `which` selects messages by any of `first`, `last` or `#2`, `n1->n2`, `n1->`, `->n2`, and a
//! kind. Without it all messages are meant.

mod notes;
mod scripts;
mod stage;
mod words;

use std::fmt;

pub use self::scripts::{Script, main};
use self::stage::{Problem, Stage};

/// Why a script cannot be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with the line.
    pub problem: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ScriptError {}

/// Plays a script, and returns it with its new output.
///
/// # Errors
/// Names the first line that cannot be played or that broke a rule of Raft.
///
/// # Panics
/// If a node does.
pub fn run(script: &str) -> Result<String, ScriptError> {
    let mut stage = Stage::default();
    let mut text = String::new();
    if !script.starts_with("# ") {
        return Err(ScriptError {
            line: 1,
            problem: "a script must begin with a comment that says what it shows".into(),
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
        let played = stage.play(line);
        let output = stage.take_output();
        played.map_err(|Problem(problem)| ScriptError {
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
        run(script).expect_err("an error").to_string()
    }

    #[test]
    fn script_without_a_comment_is_rejected() {
        assert!(problem("cluster 3\n").starts_with("line 1: a script must begin"));
    }

    #[test]
    fn old_output_is_replaced() {
        let script = "# Why.\ncluster 1\n  what it was\n\nstatus\n  and this\n";
        let played = run(script).expect("a script");
        assert!(!played.contains("what it was") && !played.contains("and this"));
        assert_eq!(run(&played).as_deref(), Ok(&*played));
        assert!(played.contains("leader"));
    }

    #[test]
    fn quiet_command_has_no_output() {
        let played = run("# Why.\ncluster 3\nquietly campaign n1\n").expect("a script");
        assert_eq!(played, "# Why.\ncluster 3\nquietly campaign n1\n");
    }

    #[test]
    fn wrong_line_is_reported_with_its_number() {
        assert_eq!(
            problem("# Why.\ncluster 3\nfrobnicate n1\n"),
            "line 3: frobnicate n1: unknown command \"frobnicate\""
        );
        assert!(problem("# Why.\ncluster 3\ntick n9\n").contains("no node n9"));
        assert!(problem("# Why.\ntick n1\n").contains("no node n1"));
        assert!(problem("# Why.\ncluster 3\ncampaign\n").contains("a word is missing"));
        assert!(problem("# Why.\ncluster 3\nrun five\n").contains("\"five\" is not a number"));
        assert!(problem("# Why.\ncluster 3\nheal n1\n").contains("unexpected word \"n1\""));
        assert!(problem("# Why.\ncluster 3\ndeliver tomatoes\n").contains("tomatoes"));
        assert!(problem("# Why.\ncluster 3\ndrop\n").contains("no such message"));
        assert!(problem("# Why.\ncluster 3\ncampaign n1\nspoil\n").contains("no part of"));
    }

    /// Two disks that no cluster can have: one entry after two different ones.
    #[test]
    fn broken_rule_is_reported() {
        let script = "# Why.\ncluster 2\nnode n1 term=3 log=1,3\nnode n2 term=3 log=2,3\n";
        assert!(
            problem(script)
                .starts_with("line 4: node n2 term=3 log=2,3: rule broken: Log Matching")
        );
    }
}
