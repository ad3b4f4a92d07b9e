//! `maelstrom-tests check FILE`: is this `history.jsonl` linearizable?

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::process::ExitCode;

use crate::history::{History, ReadError};
use crate::linearizability::{self, Analysis, Limits, Verdict};

/// What `maelstrom-tests check --help` prints.
pub const HELP: &str = "\
Usage: maelstrom-tests check [--svg FILE] HISTORY

Checks whether a history.jsonl is linearizable, each key by itself. HISTORY - is standard input.

  --svg FILE   draws the first contradiction found into FILE
  -h, --help   this text

Exit status: 0 valid, 1 invalid, 2 unknown (the search was too long, or the history has no
operation), 255 the history cannot be read or is malformed; standard error then says in which line,
and why.
";

/// How many contradictions are printed in full; the other keys are only named.
const SHOWN_MAX: usize = 3;

/// The exit status of a check, and of a bench run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 0: the history is linearizable.
    Valid,
    /// 1: it is not.
    Invalid,
    /// 2: nobody knows.
    Unknown,
    /// 255: there was nothing to check, or something broke.
    Broken,
}

impl Status {
    /// As a process ends with it.
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

/// Runs the subcommand with the arguments that follow `check`. The verdict goes to `out`, and what
/// prevents one to `err`.
pub fn main(arguments: &[String], out: &mut dyn Write, err: &mut dyn Write) -> Status {
    match run(arguments, out) {
        Ok(status) => status,
        Err(why) => {
            // If even that cannot be said, the status still says it.
            let _ = writeln!(err, "maelstrom-tests check: {why}");
            Status::Broken
        }
    }
}

fn run(arguments: &[String], out: &mut dyn Write) -> Result<Status, String> {
    let Some(Asked { history, svg }) = parse(arguments)? else {
        let printed = out.write_all(HELP.as_bytes());
        return printed.map(|()| Status::Valid).map_err(cannot_print);
    };
    let in_history = |why: ReadError| format!("{history}: {why}");
    let read = if history == "-" {
        History::read(io::stdin().lock()).map_err(in_history)?
    } else {
        let file = File::open(&history).map_err(|why| format!("{history}: {why}"))?;
        History::read(BufReader::new(file)).map_err(in_history)?
    };
    if read.operations().is_empty() {
        // It contradicts nothing, but whoever asks has most likely named the wrong file.
        return writeln!(out, "Unknown: the history has no operation.")
            .map(|()| Status::Unknown)
            .map_err(cannot_print);
    }
    let analysis = linearizability::check(read.operations(), Limits::default());
    report(&analysis, out).map_err(cannot_print)?;
    if let (Some(path), Verdict::Invalid(why)) = (svg, &analysis.verdict)
        && let Some(first) = why.first()
    {
        std::fs::write(&path, first.to_svg()).map_err(|why| format!("{path}: {why}"))?;
    }
    Ok(Status::from(&analysis.verdict))
}

/// What the arguments ask for.
struct Asked {
    history: String,
    svg: Option<String>,
}

/// Reads the arguments; `None` asks for help.
fn parse(arguments: &[String]) -> Result<Option<Asked>, String> {
    let (mut history, mut svg) = (None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--svg" => {
                let path = arguments.next().ok_or("--svg needs a file name")?;
                svg = Some(path.clone());
            }
            flag if flag.starts_with("--svg=") => svg = Some(flag["--svg=".len()..].to_owned()),
            flag if flag.starts_with('-') && flag != "-" => {
                return Err(format!("unknown flag {flag} (--help lists them)"));
            }
            _ if history.is_some() => {
                return Err(format!("one history at a time, and not {argument} too"));
            }
            _ => history = Some(argument.clone()),
        }
    }
    let history = history.ok_or("which history? (--help explains)")?;
    Ok(Some(Asked { history, svg }))
}

fn cannot_print(why: io::Error) -> String {
    format!("cannot print the verdict: {why}")
}

/// Prints what a check found: the verdict in the last line, above it why.
///
/// # Errors
/// If `out` cannot be written to.
pub fn report(analysis: &Analysis, out: &mut dyn Write) -> io::Result<()> {
    let Analysis {
        verdict,
        keys,
        operations,
    } = analysis;
    let noun = if *keys == 1 { "key" } else { "keys" };
    let checked = format!("{operations} operations on {keys} {noun}");
    match verdict {
        Verdict::Valid => writeln!(out, "Valid: {checked} are linearizable."),
        Verdict::Invalid(contradictions) => {
            for contradiction in contradictions.iter().take(SHOWN_MAX) {
                writeln!(out, "{contradiction}")?;
            }
            let others: Vec<String> = contradictions
                .iter()
                .skip(SHOWN_MAX)
                .map(|contradiction| json::to_string(&contradiction.key))
                .collect();
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
                writeln!(out, "Key {key}: the search was too long and was ended.")?;
            }
            let open = undecided.len();
            writeln!(
                out,
                "Unknown: {checked}; keys that could not be decided: {open}. No contradiction was found."
            )
        }
    }
}

/// A list for people: its first items, and how many more there are.
pub(crate) fn some_of(items: &[String]) -> String {
    /// More than these help nobody.
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

    /// A file of this process and test alone, which is gone afterwards.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("maelstrom-tests-check-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn holding(name: &str, text: &str) -> Self {
            let scratch = Self::new(name);
            std::fs::write(&scratch.0, text).expect("the temporary folder takes files");
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
            // It may never have been made.
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn check(arguments: &[&str]) -> (u8, String, String) {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = main(&arguments, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).expect("what is printed is text");
        (status.code(), text(out), text(err))
    }

    #[test]
    fn a_legal_history_ends_with_0() {
        let read = r#"{"process":1,"type":"ok","f":"read","key":0,"value":1,"time":3}"#;
        let file = Scratch::holding("legal", &format!("{WRITE}{read}"));
        let (status, out, err) = check(&[file.path()]);
        assert_eq!((status, err.as_str()), (0, ""));
        assert_eq!(out, "Valid: 2 operations on 1 key are linearizable.\n");
    }

    #[test]
    fn an_empty_history_ends_with_2() {
        let file = Scratch::holding("empty", "");
        let (status, out, err) = check(&[file.path()]);
        assert_eq!((status, err.as_str()), (2, ""));
        assert_eq!(out, "Unknown: the history has no operation.\n");
    }

    #[test]
    fn an_illegal_history_ends_with_1_and_is_drawn() {
        let read = r#"{"process":1,"type":"ok","f":"read","key":0,"value":2,"time":3}"#;
        let file = Scratch::holding("illegal", &format!("{WRITE}{read}"));
        let picture = Scratch::new("illegal.svg");
        let (status, out, err) = check(&["--svg", picture.path(), file.path()]);
        assert_eq!((status, err.as_str()), (1, ""));
        assert!(out.contains("Key 0 is not linearizable."), "{out}");
        assert!(
            out.ends_with("Invalid: 2 operations on 1 key; keys that are not linearizable: 1.\n")
        );
        let svg = std::fs::read_to_string(&picture.0).expect("the picture was drawn");
        assert!(svg.contains("read: 2"));

        let attached = Scratch::new("illegal-too.svg");
        check(&[&format!("--svg={}", attached.path()), file.path()]);
        assert_eq!(
            std::fs::read_to_string(&attached.0).expect("drawn, too"),
            svg
        );
    }

    #[test]
    fn a_malformed_history_ends_with_255_and_its_line() {
        let file = Scratch::holding("malformed", &format!("{WRITE}{{"));
        let (status, out, err) = check(&[file.path()]);
        assert_eq!((status, out.as_str()), (255, ""));
        assert!(err.contains("malformed: line 4: "), "{err}");
    }

    #[test]
    fn what_cannot_be_read_or_is_not_understood_ends_with_255() {
        let missing = Scratch::new("missing");
        for arguments in [
            &[][..],
            &["a", "b"],
            &["--nonsense"],
            &["--svg"],
            &[missing.path()],
        ] {
            let (status, out, err) = check(arguments);
            assert_eq!((status, out.as_str()), (255, ""), "{arguments:?}");
            assert!(err.starts_with("maelstrom-tests check: "), "{err}");
        }
    }

    #[test]
    fn help_is_printed() {
        let (status, out, _) = check(&["--help"]);
        assert_eq!((status, out.as_str()), (0, HELP));
    }

    #[test]
    fn an_undecided_history_ends_with_2() {
        let analysis = Analysis {
            verdict: Verdict::Unknown(vec![json::Value::from(7)]),
            keys: 3,
            operations: 9,
        };
        let mut out = Vec::new();
        report(&analysis, &mut out).expect("a Vec takes any bytes");
        let out = String::from_utf8(out).expect("what is printed is text");
        assert!(out.starts_with("Key 7: the search was too long"));
        assert!(out.ends_with("could not be decided: 1. No contradiction was found.\n"));
        assert_eq!(Status::from(&analysis.verdict).code(), 2);
    }
}
