//! Plays a script line by line.

use super::stage::Stage;

/// Plays a script, and returns it with its new output.
///
/// # Errors
/// Names the first line that cannot be played or that broke a rule of Raft.
///
/// # Panics
/// If a node does.
pub fn run(script: &str) -> Result<String, String> {
    let mut stage = Stage::default();
    let mut text = String::new();
    if !script.starts_with("# ") {
        return Err("line 1: a script must begin with a comment that says what it shows".into());
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
        let quietly = line.strip_prefix("quietly ");
        let line = quietly.unwrap_or(line);
        let played = stage.play(line);
        played.map_err(|problem| format!("line {number}: {line}: {problem}"))?;
        let output = stage.take_output();
        if quietly.is_none() {
            text.push_str(&output);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(script: &str) -> String {
        run(script).expect_err("an error")
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
        assert!(problem("# Why.\ncluster 3\nstart n1\n").contains("n1 is running"));
        assert!(problem("# Why.\ncluster 3\nwork n1\n").contains("n1 works on no snapshot"));
        let dead = "# Why.\ncluster 3\ncrash n1\ncampaign n1\n";
        assert!(problem(dead).contains("n1 starts no election within 1000 ticks"));
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
