//! `raft repl`: a prompt for requests.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use json::{Reader, Value};

use super::Failure;
use super::request::{self, Console, FLAGS, VERBS, Verb};
use crate::flags::{Command, hint};
use crate::lines::{Lines, RawLine};
use crate::requests::MAX_LINE;
use crate::stdio::{Waiting, print_error};

/// The command line of `raft repl`.
const REPL: Command = Command::new(
    "raft repl",
    "\
Reads requests, one a line, sends them to a cluster and prints the replies. Type help for a
list. Keys and values are JSON or bare words. A write whose node dies is sent again to another
one, and takes effect once. The exit status is the highest of all requests.",
    FLAGS,
);

/// What the prompt takes beside requests.
const OTHERS: [(&str, &str); 4] = [
    (
        "watch REQUEST",
        "Repeats a request every second until Enter.",
    ),
    ("history", "Lists what was typed."),
    (
        "help [REQUEST]",
        "Prints this list, or the line of one request.",
    ),
    ("quit", "Ends, as the end of input does."),
];

/// The most lines that `history` lists. One more drops the oldest.
const HISTORY: usize = 1_000;

/// The longest line. Blanks and escapes may make it longer than the request in it.
const LINE_MAX: usize = 4 * MAX_LINE;

/// Where Linux cuts a line that is typed at a terminal.
const TERMINAL_LINE: usize = 4_095;

/// A line, or what is wrong with it.
type Line = Result<String, String>;

/// Runs `raft repl` with the arguments after these words.
pub(super) fn main(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let report = |line: &str| print_error(line);
    request::run(&REPL, arguments, report, |_, console| {
        let (input, history) = (lines(), VecDeque::new());
        let mut repl = Repl {
            console,
            input,
            history,
        };
        Ok(repl.run()?)
    })
}

struct Repl<'a> {
    console: &'a mut Console,
    input: Receiver<io::Result<Line>>,
    /// The newest lines, with their numbers.
    history: VecDeque<(u64, String)>,
}

impl Repl<'_> {
    /// Reads and runs lines to the end of input. Returns the highest exit status.
    fn run(&mut self) -> io::Result<u8> {
        let prompts = io::stdin().is_terminal();
        let mut worst = 0;
        loop {
            if prompts {
                write!(self.console.out, "{}> ", self.console.client.node())?;
            }
            self.console.out.flush()?;
            let Ok(line) = self.input.recv() else {
                return Ok(worst);
            };
            match line?.as_ref().map(|line| line.trim()) {
                Ok(line) if matches!(&*line.to_lowercase(), "quit" | "exit") => return Ok(worst),
                Ok("") => {}
                Err(error) => worst = worst.max(self.mistake(error)?),
                Ok(line) => {
                    let number = self.history.back().map_or(1, |(last, _)| last + 1);
                    self.history.push_back((number, line.to_owned()));
                    if self.history.len() > HISTORY {
                        self.history.pop_front();
                    }
                    worst = worst.max(self.line(line)?);
                }
            }
        }
    }

    /// Runs a line. Returns its exit status.
    fn line(&mut self, line: &str) -> io::Result<u8> {
        let (name, rest) = head(line);
        let done = match (&*name, rest) {
            ("help" | "?", of) => help(of).map(|text| self.print(&text)),
            ("history", "") => {
                let line = |(number, line): &(u64, String)| format!("{number:5}  {line}\n");
                let text: String = self.history.iter().map(line).collect();
                Ok(self.print(&text))
            }
            ("watch", "") => Err("usage: watch REQUEST, as in watch status".to_owned()),
            ("watch", request) => parse(request).map(|(verb, body)| self.watch(verb, &body)),
            _ => parse(line).map(|(verb, body)| self.console.ask(verb, body)),
        };
        done.unwrap_or_else(|error| self.mistake(&error))
    }

    fn print(&mut self, text: &str) -> io::Result<u8> {
        write!(self.console.out, "{text}").map(|()| 0)
    }

    /// Prints what is wrong with a line. Returns the exit status.
    fn mistake(&mut self, error: &str) -> io::Result<u8> {
        writeln!(self.console.out, "(error) {error}").map(|()| 2)
    }

    /// Repeats a request until the next line.
    fn watch(&mut self, verb: &Verb, body: &Value) -> io::Result<u8> {
        loop {
            if io::stdout().is_terminal() {
                self.print("\x1b[H\x1b[2J")?;
            }
            self.console.ask(verb, body.clone())?;
            self.console.out.flush()?;
            match self.input.recv_timeout(Duration::from_secs(1)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(line) => return line.map(|_| 0),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }
}

/// The list of what the prompt takes, or the line of this request.
fn help(of: &str) -> Result<String, String> {
    let of = of.to_lowercase();
    let rows = rows().filter(|(usage, _)| of.is_empty() || head(usage).0 == of);
    let text: String = rows
        .map(|(usage, about)| format!("{usage:27} {about}\n"))
        .collect();
    match &*text {
        "" => Err(unknown(&of)),
        _ => Ok(text),
    }
}

/// What the prompt takes, and a line about each.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let verbs = VERBS.iter().map(|verb| (verb.usage, verb.about));
    verbs.chain(OTHERS)
}

/// The first word of a line, in lower case, and the rest.
fn head(line: &str) -> (String, &str) {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (name.to_lowercase(), rest.trim_start())
}

fn unknown(name: &str) -> String {
    let known = rows().filter_map(|(usage, _)| usage.split(' ').next());
    // A word of these that stands at the wrong place is not near itself.
    let known = known.filter(|known| *known != name);
    let hint = hint(name, known, "type help for a list");
    format!("unknown request {name:?}; {hint}")
}

/// A line as a verb and the body of its request.
fn parse(line: &str) -> Result<(&'static Verb, Value), String> {
    let (name, rest) = head(line);
    let verb = VERBS.iter().find(|verb| verb.name == name);
    let verb = verb.ok_or_else(|| unknown(&name))?;
    Ok((verb, verb.body(&words(rest))?))
}

/// Splits a line at its blanks, but not at those within a JSON string, array or object.
fn words(mut rest: &str) -> Vec<&str> {
    let mut words = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return words;
        }
        let mut reader = Reader::new(rest.as_bytes());
        let json = match rest.starts_with(['"', '[', '{']) {
            true if reader.raw().is_ok() => reader.position(),
            // What is wrong with the JSON is found in the word.
            true => rest.len(),
            false => 0,
        };
        let end = rest[json..].find(char::is_whitespace);
        let end = end.map_or(rest.len(), |end| json + end);
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
}

/// The lines of stdin, which a thread of their own reads.
fn lines() -> Receiver<io::Result<Line>> {
    let (send, receive) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let terminal = io::stdin().is_terminal();
        let mut lines = Lines::new(Waiting(io::stdin()), LINE_MAX);
        while let Some(line) = lines.next().transpose() {
            let line = line.map(|line| checked(line, terminal));
            let failed = line.is_err();
            if send.send(line).is_err() || failed {
                break;
            }
        }
    });
    receive
}

/// A line of stdin, if all of it is there and a text.
fn checked(line: RawLine<'_>, terminal: bool) -> Line {
    let line = match line {
        RawLine::TooLong(length) => {
            return Err(format!(
                "the line has {length} bytes; the most is {LINE_MAX}"
            ));
        }
        RawLine::Whole(line) => line,
    };
    if terminal && line.len() >= TERMINAL_LINE {
        return Err(format!(
            "a terminal cuts lines of {TERMINAL_LINE} bytes and more; send this one through a pipe"
        ));
    }
    let text = str::from_utf8(line).map_err(|error| format!("the line is not UTF-8: {error}"))?;
    if terminal && text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        return Err(
            "the line has control characters, and cannot be edited with arrow keys; for \
                    that, run rlwrap raft repl"
                .into(),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use json::value;

    use super::*;

    #[test]
    fn lines_are_split_into_json_and_words() {
        let line = r#" k {"a": [1, 2]} "x y" 1.5  n4=h:1 "#;
        let expected = ["k", r#"{"a": [1, 2]}"#, r#""x y""#, "1.5", "n4=h:1"];
        assert_eq!(words(line), expected);
        assert_eq!(words("k [1]x y"), ["k", "[1]x", "y"]);
        assert_eq!(words("k {oops} y"), ["k", "{oops} y"]);
    }

    #[test]
    fn mistakes_are_explained() {
        let error = |line| parse(line).map(|(_, body)| body).unwrap_err();
        assert_eq!(
            error("gte k"),
            r#"unknown request "gte"; the nearest is get"#
        );
        assert_eq!(
            error("frobnicate"),
            r#"unknown request "frobnicate"; type help for a list"#
        );
        assert_eq!(error("set k"), "usage: set KEY VALUE");
        let deep = format!("set k {}1{}", "[".repeat(200), "]".repeat(200));
        for line in [
            r#"set k {"a":1,}"#,
            "set k {'a':1}",
            "set k [1]x",
            "get \"k",
            "keys \"k",
            &deep,
        ] {
            let error = error(line);
            assert!(error.starts_with("not JSON: "), "{line}: {error}");
        }
        assert_eq!(error("remove"), "usage: remove NAME...");
        assert_eq!(
            error("replace n2 n4=h:1 n5=h:1"),
            "usage: replace OLD NEW=HOST:PORT; an argument with blanks needs double quotes"
        );
        assert_eq!(error("STATUS 1"), "usage: status");
        assert!(error("watch status").ends_with("type help for a list"));
        assert!(help("hlep").unwrap_err().ends_with("nearest is help"));
    }

    #[test]
    fn help_lists_one_or_all() {
        let all = help("").expect("a list");
        assert_eq!(all.lines().count(), VERBS.len() + OTHERS.len());
        let one = help("GET").expect("a request");
        assert_eq!(one.split_whitespace().next(), Some("get"));
        assert!(one.lines().count() == 1 && all.contains(&one));
    }

    #[test]
    fn lines_that_are_cut_or_no_text_are_refused() {
        let check = |line: &[u8], terminal| checked(RawLine::Whole(line), terminal);
        let long = "x".repeat(TERMINAL_LINE);
        assert_eq!(check(b"set\tk 1\r", true), Ok("set\tk 1\r".into()));
        assert_eq!(check(long.as_bytes(), false), Ok(long.clone()));
        assert!(check(&long.as_bytes()[1..], true).is_ok());
        assert!(check(b"set k \x1b[D", false).is_ok());
        for (line, terminal, message) in [
            (long.as_bytes(), true, "send this one through a pipe"),
            (b"get \x1b[D", true, "run rlwrap"),
            (b"get \xff", false, "not UTF-8"),
        ] {
            let error = check(line, terminal).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        let error = checked(RawLine::TooLong(9_000_000), false).unwrap_err();
        assert_eq!(error, "the line has 9000000 bytes; the most is 4194304");
    }

    #[test]
    fn verbs_make_bodies() {
        for (line, body) in [
            ("GET  1", value!({"type": "read", "key": 1})),
            (
                "cas k old null",
                value!({"type": "cas", "key": "k", "from": "old", "to": null}),
            ),
            ("keys", value!({"type": "keys"})),
            ("keys 1", value!({"type": "keys", "prefix": "1"})),
            ("keys [a", value!({"type": "keys", "prefix": "[a"})),
            (r#"keys "x y""#, value!({"type": "keys", "prefix": "x y"})),
            ("keys a", value!({"type": "keys", "prefix": "a"})),
            (
                "replace n2 n4=h:1",
                value!({"type": "change_members", "add": ["n4=h:1"], "remove": ["n2"]}),
            ),
            (
                "add n4=h:1 n5=h:2",
                value!({"type": "change_members", "add": ["n4=h:1", "n5=h:2"]}),
            ),
            (
                "remove n2",
                value!({"type": "change_members", "remove": ["n2"]}),
            ),
            ("transfer", value!({"type": "transfer"})),
        ] {
            assert_eq!(parse(line).map(|(_, body)| body), Ok(body), "{line}");
        }
    }
}
