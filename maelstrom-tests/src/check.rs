//! `maelstrom-tests check FILE`: is this `history.jsonl` linearizable?

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::process::ExitCode;
use std::thread;

use raft::flags::{Command, Flag, Given, Parsed, UsageError};

use crate::history::History;
use crate::linearizability::{self, Analysis, Limits, Verdict};

/// The arguments of `check`.
pub const CHECK: Command = Command::new(
    "maelstrom-tests check",
    "Checks whether a history is linearizable, each key by itself. FILE is the history.jsonl of a test, or - for\n\
     stdin. Each of its lines is an event, in the order of time:\n\
     \n\
     \x20 {\"process\":4,\"type\":\"invoke\",\"f\":\"cas\",\"key\":0,\"value\":[1,2],\"time\":1200345678}\n\
     \x20 {\"process\":4,\"type\":\"fail\",\"f\":\"cas\",\"key\":0,\"value\":[1,2],\"error\":22,\"time\":1201345678}\n\
     \n\
     \x20 process  a number for each client; a client has a new one after an info\n\
     \x20 type     invoke; then ok, fail (did not take effect) or info (unknown)\n\
     \x20 f        read, write or cas\n\
     \x20 value    the value of a write, [from, to] of a cas, the result of a read that is ok; else null\n\
     \x20 error    the error code of a fail or info; 0 for a timeout\n\
     \x20 time     nanoseconds since the test began\n\
     \n\
     Exit status: 0 linearizable; 1 not linearizable; 2 unknown: the search reached its limit, or the history is empty;\n\
     255 the history cannot be read or is malformed.",
    &[Flag::new("svg", "FILE", "Draws the first contradiction into FILE.")],
)
.arguments("FILE");

/// Where the last test wrote its history.
const LATEST: &str = "store/latest/history.jsonl";

/// How many contradictions are printed in full; of the others, only the key is.
const SHOWN_MAX: usize = 3;

/// The exit status of a check, and of a bench run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 0: the history is linearizable.
    Valid,
    /// 1: it is not.
    Invalid,
    /// 2: unknown.
    Unknown,
    /// 255: there was nothing to check, or something failed.
    Broken,
}

impl Status {
    /// The exit status of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::Unknown => 2,
            Self::Broken => 255,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

impl From<&Verdict> for Status {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Valid => Self::Valid,
            Verdict::Invalid(_) => Self::Invalid,
            Verdict::Unknown(_) => Self::Unknown,
        }
    }
}

/// The number of threads of a search: that of `--jobs`, or one for each core.
///
/// # Errors
/// If the value of the flag is wrong.
pub(crate) fn jobs(given: &Given, jobs_max: usize) -> Result<usize, UsageError> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let jobs = given.optional_number("jobs", 1..=jobs_max)?;
    Ok(jobs.unwrap_or(cores.min(jobs_max)))
}

/// What to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The file of the history, or `-`.
    history: OsString,
    svg: Option<String>,
}

impl Options {
    /// Reads the arguments of `check`.
    ///
    /// # Errors
    /// If a flag is unknown, or there is not exactly one file.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Parsed<Self>, UsageError> {
        CHECK.parse(arguments)?.try_map(|given| {
            let svg = given.text("svg").map(str::to_owned);
            let history = given.argument("history")?.to_owned();
            Ok(Self { history, svg })
        })
    }
}

/// Runs the subcommand. Prints the verdict to `out`.
///
/// # Errors
/// If the history cannot be read or is malformed, or the result cannot be written.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<Status, String> {
    let name = options.history.to_string_lossy();
    let history = if options.history == "-" {
        History::read(io::stdin().lock())
    } else {
        let file = File::open(&options.history).map_err(|error| {
            format!("cannot open '{name}': {error}; the last test's history is {LATEST}")
        })?;
        History::read(BufReader::new(file))
    };
    let history = history.map_err(|error| {
        format!("'{name}', {error}; `cargo run --release -- help check` describes the format")
    })?;
    if history.operations().is_empty() {
        return writeln!(out, "Unknown: '{name}' has no operations to check.")
            .map(|()| Status::Unknown)
            .map_err(cannot_print);
    }
    let analysis = linearizability::check(history.operations(), Limits::default());
    report(&analysis, out).map_err(cannot_print)?;
    if let (Some(path), Verdict::Invalid(contradictions)) = (&options.svg, &analysis.verdict)
        && let Some(first) = contradictions.first()
    {
        fs::write(path, first.to_svg())
            .map_err(|error| format!("cannot write '{path}': {error}"))?;
    }
    Ok(Status::from(&analysis.verdict))
}

fn cannot_print(error: io::Error) -> String {
    format!("cannot print the verdict: {error}")
}

/// Prints the result of a check: the verdict in the last line, above it the reasons.
///
/// # Errors
/// If `out` cannot be written.
pub fn report(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    let Analysis {
        verdict,
        keys,
        operations,
    } = analysis;
    let checked = format!(
        "{} on {}",
        counted(*operations, "operation"),
        counted(*keys, "key")
    );
    match verdict {
        Verdict::Valid if *operations == 1 => writeln!(out, "Valid: {checked} is linearizable."),
        Verdict::Valid => writeln!(out, "Valid: {checked} are linearizable."),
        Verdict::Invalid(contradictions) => {
            for contradiction in contradictions.iter().take(SHOWN_MAX) {
                writeln!(out, "{contradiction}")?;
            }
            let others = contradictions.iter().skip(SHOWN_MAX);
            let others: Vec<String> = others.map(|other| json::to_string(&other.key)).collect();
            if !others.is_empty() {
                writeln!(out, "Not linearizable either: key {}.", some_of(&others))?;
            }
            let bad = contradictions.len();
            writeln!(
                out,
                "Invalid: {checked}; keys that are not linearizable: {bad}."
            )
        }
        Verdict::Unknown(undecided) => {
            for key in undecided.iter().map(json::to_string) {
                writeln!(out, "Key {key}: the search reached its limit.")?;
            }
            let open = undecided.len();
            writeln!(
                out,
                "Unknown: {checked}; keys that could not be decided: {open}. No contradiction was found."
            )
        }
    }
}

/// A number of things: "1 key", "2 keys".
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The first items of a list, and how many more there are.
pub(crate) fn some_of(items: &[String]) -> String {
    const MAX: usize = 10;
    let shown = items[..items.len().min(MAX)].join(", ");
    match items.len().saturating_sub(MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const WRITE: &str = r#"{"process":0,"type":"invoke","f":"write","key":0,"value":1,"time":0}
{"process":0,"type":"ok","f":"write","key":0,"value":1,"time":1}
{"process":1,"type":"invoke","f":"read","key":0,"value":null,"time":2}
"#;

    /// A file of this process and test alone, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("maelstrom-tests-check-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn holding(name: &str, text: &str) -> Self {
            let scratch = Self::new(name);
            std::fs::write(&scratch.0, text).expect("the temporary folder is writable");
            scratch
        }

        fn path(&self) -> &str {
            self.0
                .to_str()
                .expect("the temporary folder has a plain name")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // It may not exist.
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn check(arguments: &[&str]) -> Result<(u8, String), String> {
        let arguments = arguments.iter().map(OsString::from);
        let options = match Options::parse(arguments).map_err(|error| error.to_string())? {
            Parsed::Run(options) => options,
            Parsed::Print(page) => return Ok((0, page)),
        };
        let mut out = Vec::new();
        let status = run(&options, &mut out)?;
        let text = String::from_utf8(out).expect("the output is text");
        Ok((status.code(), text))
    }

    #[test]
    fn legal_history_ends_with_0() {
        let read = r#"{"process":1,"type":"ok","f":"read","key":0,"value":1,"time":3}"#;
        let file = Scratch::holding("legal", &format!("{WRITE}{read}"));
        let text = "Valid: 2 operations on 1 key are linearizable.\n";
        assert_eq!(check(&[file.path()]), Ok((0, text.to_owned())));
        let one: String = WRITE
            .lines()
            .take(2)
            .map(|line| format!("{line}\n"))
            .collect();
        let file = Scratch::holding("one", &one);
        let text = "Valid: 1 operation on 1 key is linearizable.\n";
        assert_eq!(check(&[file.path()]), Ok((0, text.to_owned())));
    }

    #[test]
    fn empty_history_ends_with_2() {
        let file = Scratch::holding("empty", "");
        let (status, text) = check(&[file.path()]).expect("an empty file is no error");
        assert_eq!(status, 2);
        assert!(text.starts_with("Unknown: ") && text.contains("has no operations"));
    }

    #[test]
    fn illegal_history_ends_with_1_and_is_drawn() {
        let read = r#"{"process":1,"type":"ok","f":"read","key":0,"value":2,"time":3}"#;
        let file = Scratch::holding("illegal", &format!("{WRITE}{read}"));
        let picture = Scratch::new("illegal.svg");
        let (status, text) = check(&["--svg", picture.path(), file.path()]).expect("it is read");
        assert_eq!(status, 1);
        assert!(text.contains("Key 0 is not linearizable."), "{text}");
        assert!(
            text.ends_with("Invalid: 2 operations on 1 key; keys that are not linearizable: 1.\n")
        );
        let svg = fs::read_to_string(&picture.0).expect("the picture was drawn");
        assert!(svg.contains("read: 2"));
    }

    #[test]
    fn malformed_history_is_an_error_with_its_line() {
        let file = Scratch::holding("malformed", &format!("{WRITE}{{"));
        let error = check(&[file.path()]).expect_err("the last line is cut off");
        assert!(error.contains("malformed', line 4: column 2: "), "{error}");
        assert!(error.contains("help check"), "{error}");
    }

    #[test]
    fn missing_history_is_an_error() {
        let missing = Scratch::new("missing");
        for (arguments, expected) in [
            (&[][..], "no history given"),
            (&["a", "b"], "unknown argument 'b'"),
            (&["--nonsense"], "unknown flag"),
            (&[missing.path()], "cannot open"),
        ] {
            let error = check(arguments).expect_err("this cannot be checked");
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn undecided_history_ends_with_2() {
        let analysis = Analysis {
            verdict: Verdict::Unknown(vec![json::Value::from(7)]),
            keys: 3,
            operations: 9,
        };
        let mut out = Vec::new();
        report(&analysis, &mut out).expect("a Vec takes any bytes");
        let out = String::from_utf8(out).expect("the output is text");
        assert!(out.starts_with("Key 7: the search reached its limit"));
        assert!(out.ends_with("could not be decided: 1. No contradiction was found.\n"));
        assert_eq!(Status::from(&analysis.verdict).code(), 2);
    }
}
