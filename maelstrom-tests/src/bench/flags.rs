//! A small command line parser: a table of flags in, their values and a help page out.
//!
//! Both `--flag value` and `--flag=value` work, a flag given twice keeps its last value (as in
//! Maelstrom), and what follows a lone `--` is not looked at.

use std::ffi::OsString;
use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

/// One flag of a command.
#[derive(Debug)]
pub struct Flag {
    /// The long name without its dashes.
    pub name: &'static str,
    /// A one-letter name without its dash, if the flag has one.
    pub short: Option<char>,
    /// What stands for the value in the help page; empty for a switch, which takes none.
    pub value: &'static str,
    /// What the flag does, in a sentence for the help page. Line breaks are kept.
    pub help: &'static str,
}

/// A command with its flags.
#[derive(Debug)]
pub struct Command {
    /// What to type to get here, e.g. `maelstrom-tests test`.
    pub name: &'static str,
    /// What follows the flags on the usage line, e.g. `[-- NODE-ARGUMENTS]`. Empty if nothing may.
    pub rest: &'static str,
    /// What the command does: the first paragraph of its help page.
    pub about: &'static str,
    /// Its flags, in the order of the help page.
    pub flags: &'static [Flag],
}

/// What a command line came down to.
#[derive(Debug)]
pub enum Parsed<T> {
    /// The user asked for help: print this page and end with status 0.
    Help(String),
    /// Something to do.
    Run(T),
}

/// The flags that were given, with their values as text.
#[derive(Debug, Default)]
pub struct Given {
    values: Vec<(&'static str, String)>,
    /// What was given after a lone `--`.
    pub rest: Vec<OsString>,
}

/// A command line that makes no sense, with a sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(String);

impl UsageError {
    /// An error that reads as the given sentence.
    pub fn new(sentence: impl Into<String>) -> UsageError {
        UsageError(sentence.into())
    }
}

impl Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl Command {
    /// Sorts the arguments that follow the command's name into flags and the rest.
    ///
    /// # Errors
    /// An unknown flag (the error names the nearest known one), a missing value, a value for a
    /// switch, a stray argument, an argument before `--` that is not UTF-8.
    pub fn parse(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Given>, UsageError> {
        let mut given = Given::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let argument = utf8(argument)?;
            if argument == "--" {
                given.rest = arguments.collect();
                if self.rest.is_empty() && !given.rest.is_empty() {
                    return Err(UsageError(format!("{} takes nothing after --", self.name)));
                }
                break;
            }
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            if matches!(name, "--help" | "-h") {
                return Ok(Parsed::Help(self.help()));
            }
            let flag = self.find(name)?;
            let value = match (flag.value.is_empty(), attached) {
                (true, None) => String::new(),
                (true, Some(value)) => {
                    return Err(UsageError(format!(
                        "{name} is a switch and takes no value, not even {value:?}"
                    )));
                }
                (false, Some(value)) => value,
                (false, None) => {
                    let value = arguments.next().ok_or_else(|| {
                        UsageError(format!("{name} needs a value: {name} {}", flag.value))
                    })?;
                    utf8(value)?
                }
            };
            given.values.push((flag.name, value));
        }
        Ok(Parsed::Run(given))
    }

    /// The help page.
    pub fn help(&self) -> String {
        let mut page = format!("{}\n\nUsage: {} [FLAGS]", self.about, self.name);
        if !self.rest.is_empty() {
            page.push(' ');
            page.push_str(self.rest);
        }
        page.push_str("\n\nFlags:\n");
        let heads: Vec<String> = self.flags.iter().map(Flag::head).collect();
        for (flag, head) in self.flags.iter().zip(&heads) {
            let mut lines = flag.help.lines();
            if head.len() > HELP_COLUMN {
                let _ = writeln!(page, "  {head}");
            } else {
                let first = lines.next().unwrap_or("");
                let _ = writeln!(page, "  {head:HELP_COLUMN$}  {first}");
            }
            for line in lines {
                let _ = writeln!(page, "  {:HELP_COLUMN$}  {}", "", line.trim_start());
            }
        }
        let _ = writeln!(page, "  {:HELP_COLUMN$}  This page.", "-h, --help");
        page
    }

    fn find(&self, name: &str) -> Result<&Flag, UsageError> {
        if let Some(long) = name.strip_prefix("--") {
            if let Some(flag) = self.flags.iter().find(|flag| flag.name == long) {
                return Ok(flag);
            }
        } else if let Some(short) = name.strip_prefix('-') {
            let mut letters = short.chars();
            if let (Some(letter), None) = (letters.next(), letters.next())
                && let Some(flag) = self.flags.iter().find(|flag| flag.short == Some(letter))
            {
                return Ok(flag);
            }
        } else {
            return Err(UsageError(format!(
                "{name:?} is not a flag; {} --help lists the flags",
                self.name
            )));
        }
        let bare = name.trim_start_matches('-');
        let known = self.flags.iter().map(|flag| flag.name);
        let hint = match nearest(bare, known) {
            Some(near) => format!("did you mean --{near}?"),
            None => format!("{} --help lists the flags", self.name),
        };
        Err(UsageError(format!("unknown flag {name}; {hint}")))
    }
}

/// The width of the help page's first column. A flag that is longer has a line for itself.
const HELP_COLUMN: usize = 36;

impl Flag {
    fn head(&self) -> String {
        let short = match self.short {
            Some(letter) => format!("-{letter}, "),
            None => String::new(),
        };
        format!("{short}--{} {}", self.name, self.value)
    }
}

impl Given {
    /// The value of a flag as it was given, if it was.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.values.iter().rev();
        values
            .find(|(given, _)| *given == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a flag that may be given often, in order.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.values.iter();
        values
            .filter(move |(given, _)| *given == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a switch was given.
    pub fn switch(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// The value of a flag read as a `T`, or `default` if it was not given. `what` says what is
    /// expected.
    ///
    /// # Errors
    /// The value does not read as a `T`.
    pub fn value<T: FromStr>(&self, name: &str, default: T, what: &str) -> Result<T, UsageError> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| unreadable(name, text, what)),
        }
    }
}

/// The error for a value that a flag can't use; `what` says what it expects.
pub fn unreadable(name: &str, text: &str, what: &str) -> UsageError {
    UsageError(format!("--{name} takes {what}, not {text:?}"))
}

/// The known word that is the fewest edits away from `word`, if it is near enough to be what was
/// meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known
        .map(|candidate| (edits(word, candidate), candidate))
        .min()?;
    (near.0 <= 1 + word.chars().count() / 3).then_some(near.1)
}

/// Levenshtein's distance: the insertions, removals and replacements that turn one word into the
/// other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

fn utf8(argument: OsString) -> Result<String, UsageError> {
    argument
        .into_string()
        .map_err(|raw| UsageError(format!("an argument is not UTF-8: {raw:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: Command = Command {
        name: "try",
        rest: "[-- MORE]",
        about: "Tries things.",
        flags: &[
            Flag {
                name: "workload",
                short: Some('w'),
                value: "NAME",
                help: "What to do.",
            },
            Flag {
                name: "log-stderr",
                short: None,
                value: "",
                help: "Says more.\nMuch more.",
            },
        ],
    };

    fn parse(arguments: &[&str]) -> Result<Given, String> {
        let arguments = arguments.iter().map(OsString::from);
        match COMMAND.parse(arguments) {
            Ok(Parsed::Run(given)) => Ok(given),
            Ok(Parsed::Help(page)) => Err(page),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn values_may_be_attached_or_follow() {
        for arguments in [
            &["--workload", "a=b"][..],
            &["--workload=a=b"],
            &["-w", "a=b"],
            &["-w=a=b"],
            &["-w", "old", "--workload=a=b"],
        ] {
            let given = parse(arguments).expect("it parses");
            assert_eq!(given.text("workload"), Some("a=b"), "{arguments:?}");
            assert!(!given.switch("log-stderr"));
        }
    }

    #[test]
    fn what_follows_two_dashes_is_left_alone() {
        let given = parse(&["--log-stderr", "--", "--workload", "-x", "--"]).expect("it parses");
        assert!(given.switch("log-stderr"));
        assert_eq!(given.text("workload"), None);
        assert_eq!(given.rest, ["--workload", "-x", "--"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, told) in [
            (
                &["--worklod", "x"][..],
                "unknown flag --worklod; did you mean --workload?",
            ),
            (
                &["--zzz=1"],
                "unknown flag --zzz; try --help lists the flags",
            ),
            (&["-q"], "unknown flag -q; try --help lists the flags"),
            (&["--workload"], "--workload needs a value: --workload NAME"),
            (
                &["--log-stderr=yes"],
                "--log-stderr is a switch and takes no value, not even \"yes\"",
            ),
            (
                &["stray"],
                "\"stray\" is not a flag; try --help lists the flags",
            ),
        ] {
            assert_eq!(parse(arguments).expect_err("a mistake"), told);
        }
        let given = parse(&["-w", "x"]).expect("it parses");
        let error = given.value::<u64>("workload", 1, "a whole number");
        assert_eq!(
            error.expect_err("a mistake").to_string(),
            "--workload takes a whole number, not \"x\""
        );
    }

    #[test]
    fn help_lists_every_flag() {
        let page = parse(&["--help", "--nonsense"]).expect_err("help");
        for part in [
            "Usage: try [FLAGS] [-- MORE]",
            "-w, --workload NAME",
            "--log-stderr",
            "Much more.",
        ] {
            assert!(page.contains(part), "{page}");
        }
    }

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(
            nearest("rat", ["rate", "latency"].into_iter()),
            Some("rate")
        );
        assert_eq!(nearest("colour", ["rate", "latency"].into_iter()), None);
    }
}
