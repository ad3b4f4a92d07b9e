//! `maelstrom-tests check FILE`: is this `history.jsonl` linearizable?

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::process::ExitCode;
use std::thread;

use raft::flags::{Command, Flag, Given, UsageError};

use crate::history::{ErrorCode, History, Operation, Outcome};
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
     \x20 f        read, write, cas or delete\n\
     \x20 value    the value of a write, [from, to] of a cas, the result of a read that is ok; else null\n\
     \x20 error    the error code of a fail or info; 0 for a timeout\n\
     \x20 time     nanoseconds since the test began\n\
     \n\
     Exit status: 0 linearizable; 1 not linearizable; 2 unknown: the search reached its limit, or too little succeeded\n\
     (no request at all, or none of one kind); 255 the history cannot be read or is malformed.",
    &[Flag::new("--svg FILE", "Draws the first contradiction into FILE.")],
)
.arguments("FILE");

/// Where the last test wrote its history.
const LATEST: &str = "store/latest/history.jsonl";

/// How many contradictions are printed in full; of the others, only the key is.
const SHOWN_MAX: usize = 3;

/// A kind of request that never succeeded, although this many were executed, was not tested.
const NEVER_OK_MIN: u64 = 100;

/// The same if this many were made, and none was executed.
const NEVER_EXECUTED_MIN: u64 = 10;

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

    /// Its name in reports and in `results.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
            Self::Broken => "broken",
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
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let given = CHECK.parse(arguments)?;
        let svg = given.text("svg").map(str::to_owned);
        let history = given.argument("history")?.to_owned();
        Ok(Self { history, svg })
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
    let analysis = linearizability::check(history.operations(), Limits::default());
    let (status, reason) = judge(history.operations(), &analysis.verdict);
    report(&analysis, out)
        .and_then(|()| conclude(status, reason.as_deref(), out))
        .map_err(|error| error.to_string())?;
    if let (Some(path), Verdict::Invalid(contradictions)) = (&options.svg, &analysis.verdict)
        && let Some(first) = contradictions.first()
    {
        fs::write(path, first.to_svg())
            .map_err(|error| format!("cannot write '{path}': {error}"))?;
    }
    Ok(status)
}

/// The verdict on a history, and why it is not valid. If nothing speaks against the history but
/// too little of it succeeded, it shows nothing, and the verdict is unknown.
pub fn judge(operations: &[Operation], verdict: &Verdict) -> (Status, Option<String>) {
    let keys = some_of(&offending(verdict));
    let why = match verdict {
        Verdict::Invalid(_) => format!("not linearizable: key {keys}"),
        Verdict::Unknown(_) => format!("too hard to check: key {keys}"),
        Verdict::Valid => match untested(operations) {
            Some(why) => return (Status::Unknown, Some(why)),
            None => return (Status::Valid, None),
        },
    };
    (verdict.into(), Some(why))
}

/// The keys that are not linearizable, or could not be decided.
pub fn offending(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Valid => Vec::new(),
        Verdict::Invalid(contradictions) => {
            let keys = contradictions.iter().map(|found| &found.key);
            keys.map(json::to_string).collect()
        }
        Verdict::Unknown(keys) => keys.iter().map(json::to_string).collect(),
    }
}

/// Says which kind of request never succeeded, if that is no accident of a few requests: a cas often
/// finds another value (22), and an early read no key (20). These two were executed.
fn untested(operations: &[Operation]) -> Option<String> {
    let (mut any_ok, mut kinds) = (false, BTreeMap::new());
    for operation in operations {
        let (made, executed, ok): &mut (u64, u64, u64) =
            kinds.entry(operation.call.name()).or_default();
        let outcome = operation.completed.as_ref().map(|(_, outcome)| outcome);
        let is_ok = matches!(outcome, Some(Outcome::ReadOk(_) | Outcome::Done));
        let has_failed = matches!(
            outcome,
            Some(Outcome::Failed(
                ErrorCode::KEY_DOES_NOT_EXIST | ErrorCode::PRECONDITION_FAILED
            ))
        );
        *made += 1;
        *executed += u64::from(is_ok || has_failed);
        *ok += u64::from(is_ok);
        any_ok |= is_ok;
    }
    if !any_ok {
        return Some("no request was answered ok, so nothing was tested".to_owned());
    }
    let never = kinds.iter().find(|&(_, &(made, executed, ok))| {
        ok == 0 && (executed >= NEVER_OK_MIN || executed == 0 && made >= NEVER_EXECUTED_MIN)
    });
    never.map(|(kind, (made, ..))| format!("no {kind} was answered ok, of {made}"))
}

/// Prints what a check found.
///
/// # Errors
/// If `out` cannot be written.
pub fn report(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    let operations = counted(analysis.operations, "operation");
    let checked = format!("{operations} on {}", counted(analysis.keys, "key"));
    match &analysis.verdict {
        Verdict::Valid if analysis.operations == 1 => writeln!(out, "{checked} is linearizable."),
        Verdict::Valid => writeln!(out, "{checked} are linearizable."),
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
            writeln!(out, "{checked}; keys that are not linearizable: {bad}.")
        }
        Verdict::Unknown(undecided) => {
            for key in undecided.iter().map(json::to_string) {
                writeln!(out, "Key {key}: the search reached its limit.")?;
            }
            let open = undecided.len();
            writeln!(
                out,
                "{checked}; keys that could not be decided: {open}. No contradiction was found."
            )
        }
    }
}

/// Prints the last line of a check or a run.
///
/// # Errors
/// If `out` cannot be written.
pub fn conclude(status: Status, reason: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let verdict = status.name();
    match reason {
        Some(reason) => writeln!(out, "verdict: {verdict}: {reason}"),
        None => writeln!(out, "verdict: {verdict}"),
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
        let options = match Options::parse(arguments) {
            Ok(options) => options,
            Err(UsageError::Page(page)) => return Ok((0, page)),
            Err(UsageError::Mistake(text)) => return Err(text),
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
        let text = "2 operations on 1 key are linearizable.\nverdict: valid\n";
        assert_eq!(check(&[file.path()]), Ok((0, text.to_owned())));
        let one: String = WRITE
            .lines()
            .take(2)
            .map(|line| format!("{line}\n"))
            .collect();
        let file = Scratch::holding("one", &one);
        let text = "1 operation on 1 key is linearizable.\nverdict: valid\n";
        assert_eq!(check(&[file.path()]), Ok((0, text.to_owned())));
    }

    #[test]
    fn empty_history_ends_with_2() {
        let file = Scratch::holding("empty", "");
        let (status, text) = check(&[file.path()]).expect("an empty file is no error");
        assert_eq!(status, 2);
        let reason = "verdict: unknown: no request was answered ok, so nothing was tested\n";
        assert!(text.ends_with(reason), "{text}");
    }

    #[test]
    fn illegal_history_ends_with_1_and_is_drawn() {
        let read = r#"{"process":1,"type":"ok","f":"read","key":0,"value":2,"time":3}"#;
        let file = Scratch::holding("illegal", &format!("{WRITE}{read}"));
        let picture = Scratch::new("illegal.svg");
        let (status, text) = check(&["--svg", picture.path(), file.path()]).expect("it is read");
        assert_eq!(status, 1);
        assert!(text.contains("Key 0 is not linearizable."), "{text}");
        assert!(text.ends_with(
            "keys that are not linearizable: 1.\nverdict: invalid: not linearizable: key 0\n"
        ));
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
        let (status, reason) = judge(&[], &analysis.verdict);
        assert_eq!(status.code(), 2);
        assert_eq!(reason.as_deref(), Some("too hard to check: key 7"));
    }

    #[test]
    fn kind_that_never_succeeds_is_unknown() {
        let line = |time: u64, kind: &str, f: &str, value: &str, error: &str| {
            format!(
                r#"{{"process":0,"type":"{kind}","f":"{f}","key":0,"value":{value}{error},"time":{time}}}"#
            )
        };
        let history = |failures: u64, codes: &[u64]| {
            let mut lines = vec![
                line(0, "invoke", "write", "1", ""),
                line(0, "ok", "write", "1", ""),
            ];
            for (time, code) in (1..=failures).zip(codes.iter().cycle()) {
                let error = format!(r#","error":{code}"#);
                lines.push(line(time, "invoke", "cas", "[2,3]", ""));
                lines.push(line(time, "fail", "cas", "[2,3]", &error));
            }
            lines.join("\n")
        };
        for (name, failures, codes, status) in [
            ("few", 9, &[10][..], 0),
            ("refused", 10, &[10], 2),
            ("another", 99, &[22], 0),
            ("never", 100, &[22], 2),
            ("both", 199, &[11, 22], 0),
            ("both-never", 200, &[11, 22], 2),
        ] {
            let file = Scratch::holding(name, &history(failures, codes));
            let (got, text) = check(&[file.path()]).expect("it is read");
            assert_eq!(got, status, "{name}: {text}");
            let told = format!("verdict: unknown: no cas was answered ok, of {failures}\n");
            assert_eq!(text.ends_with(&told), status == 2, "{text}");
        }
    }
}
