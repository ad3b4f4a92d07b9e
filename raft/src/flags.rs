//! The command-line reader of every program here: a table of flags and subcommands goes in, typed
//! values and a help page come out.
//!
//! Both `--flag value` and `--flag=value` work; a flag given twice keeps its last value, as in
//! Maelstrom; everything after a lone `--` is left as it is, or is an argument if the usage line has
//! no `[-- ...]`.
//!
//! ```
//! use raft::flags::{Command, Flag};
//!
//! const TRY: Command = Command::new(
//!     "try",
//!     "Tries things.",
//!     &[
//!         Flag::new("--rate N", "Attempts per second.").default("100"),
//!         Flag::new("--verbose", "Prints every attempt."),
//!     ],
//! );
//! let Ok(given) = TRY.parse(["--rate=5".into()]) else {
//!     panic!("neither help nor an error");
//! };
//! assert_eq!(given.number("rate", 1..=1000), Ok(5_u32));
//! assert!(!given.is_set("verbose"));
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Write as _};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// One flag of a command.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its names and the placeholder of its value, as on the help page: `-n, --nodes N`. A switch
    /// takes no value.
    pub head: &'static str,
    /// What the flag does. Line breaks are kept on the help page; after one at the end the default
    /// has a line to itself.
    pub help: &'static str,
    /// The value if the flag is not given; empty if there is none that text can express.
    pub default: &'static str,
}

impl Flag {
    /// A flag without a default.
    pub const fn new(head: &'static str, help: &'static str) -> Self {
        let default = "";
        Self {
            head,
            help,
            default,
        }
    }

    /// Sets the value that the flag has if it is not given. The help page shows it.
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }

    /// The long name without its dashes.
    pub fn name(&self) -> &'static str {
        self.long().0
    }

    /// The placeholder of the value; empty for a switch.
    pub fn value(&self) -> &'static str {
        self.long().1
    }

    fn long(&self) -> (&'static str, &'static str) {
        let (_, long) = self.head.split_once("--").expect("a long name");
        long.split_once(' ').unwrap_or((long, ""))
    }

    fn text(&self) -> String {
        match self.default {
            "" => self.help.to_owned(),
            default if self.help.ends_with('\n') => format!("{}[default: {default}]", self.help),
            default => format!("{} [default: {default}]", self.help),
        }
    }
}

/// A program or one of its subcommands.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// What the user types, e.g. `maelstrom-tests test`.
    pub name: &'static str,
    /// What the command does: the first paragraphs of its help page.
    pub about: &'static str,
    /// Its flags, in the order of the help page.
    pub flags: &'static [Flag],
    /// Further flags, which it shares with other commands.
    pub shared: &'static [Flag],
    /// The rest of the usage line, e.g. `FILE [-- NODE-ARGUMENTS]`. Arguments, and anything after
    /// `--`, are refused unless it names them.
    pub arguments: &'static str,
    /// Names and one-line descriptions of its subcommands.
    pub subcommands: &'static [(&'static str, &'static str)],
    /// What `-V` and `--version` print; empty if they are not flags of this command.
    pub version: &'static str,
}

/// Why a command line runs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageError {
    /// The user asked for help or for the version: print this text and exit with status 0.
    Page(String),
    /// A mistake, as a message for the user.
    Mistake(String),
}

impl UsageError {
    /// A mistake with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Mistake(message.into())
    }

    /// A flag has a value that it cannot use. `expected` completes "expected ...".
    pub fn value(flag: &str, expected: &str, got: &str) -> Self {
        let got = got.escape_debug();
        Self::new(format!("--{flag}: expected {expected}, got '{got}'"))
    }
}

impl Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Page(text) | Self::Mistake(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for UsageError {}

/// Flags longer than this have a line to themselves on the help page.
const HELP_COLUMN_MAX: usize = 36;

const HELP: Flag = Flag::new("-h, --help", "Prints this page.");
const VERSION: Flag = Flag::new("-V, --version", "Prints the version.");
const ENDS_FLAGS: Flag = Flag::new(
    "--",
    "Ends the flags: an argument after it may begin with a dash.",
);

impl Command {
    /// A command that takes flags only.
    pub const fn new(name: &'static str, about: &'static str, flags: &'static [Flag]) -> Self {
        Self {
            name,
            about,
            flags,
            shared: &[],
            arguments: "",
            subcommands: &[],
            version: "",
        }
    }

    /// Adds flags that other commands have, too.
    pub const fn and(mut self, flags: &'static [Flag]) -> Self {
        self.shared = flags;
        self
    }

    /// Sets the rest of the usage line.
    pub const fn arguments(mut self, usage: &'static str) -> Self {
        self.arguments = usage;
        self
    }

    /// Sets what `--version` prints.
    pub const fn version(mut self, text: &'static str) -> Self {
        self.version = text;
        self
    }

    /// Sets the names of the subcommands and a line about each.
    pub const fn subcommands(mut self, list: &'static [(&'static str, &'static str)]) -> Self {
        self.subcommands = list;
        self
    }

    /// Splits the arguments of a program into the name of a subcommand, if the first of them is
    /// one, and the rest. `help SUBCOMMAND` becomes `SUBCOMMAND --help`.
    ///
    /// # Errors
    /// The first argument is neither a flag nor a subcommand.
    pub fn subcommand(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(Option<&'static str>, Vec<OsString>), UsageError> {
        let mut arguments: Vec<OsString> = arguments.into_iter().collect();
        if arguments.first().is_some_and(|first| first == "help") {
            arguments.truncate(2);
            arguments.remove(0);
            arguments.push("--help".into());
        }
        let Some(first) = arguments.first().filter(|first| !is_flag(first)) else {
            return Ok((None, arguments));
        };
        let first = utf8(first.clone())?;
        let names = self.subcommands.iter().map(|(name, _)| *name);
        if let Some(name) = names.clone().find(|name| *name == first) {
            return Ok((Some(name), arguments.split_off(1)));
        }
        let hint = hint(
            &first,
            names,
            &format!("{} --help lists the subcommands", self.name),
        );
        let text = format!("unknown subcommand '{}'; {hint}", first.escape_debug());
        Err(UsageError::Mistake(text))
    }

    /// Sorts the arguments that follow the command's name into flags and others.
    ///
    /// # Errors
    /// The user asked for a page, or made a mistake: an unknown flag (the error names the nearest
    /// one), a missing value, a value for a switch, an argument that the usage line does not name, a
    /// flag or value that is not UTF-8.
    pub fn parse(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Given, UsageError> {
        let takes_arguments = !(self.arguments.is_empty() || self.arguments.starts_with("[--"));
        let mut given = Given {
            command: *self,
            values: Vec::new(),
            arguments: Vec::new(),
            rest: Vec::new(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                match self.dashes_end_flags() {
                    true => given.arguments.extend(arguments),
                    false => given.rest = arguments.collect(),
                }
                if self.arguments.is_empty() && !given.rest.is_empty() {
                    let text = format!("{} takes nothing after --", self.name);
                    return Err(UsageError::Mistake(text));
                }
                break;
            }
            if !is_flag(&argument) {
                if !takes_arguments {
                    return Err(unexpected(&argument, self.name));
                }
                given.arguments.push(argument);
                continue;
            }
            let argument = utf8(argument)?;
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let flag = match name {
                "--help" | "-h" if attached.is_none() => return Err(UsageError::Page(self.help())),
                "--version" | "-V" if !self.version.is_empty() => {
                    return Err(UsageError::Page(self.version.to_owned()));
                }
                _ => self.find(name)?,
            };
            let value = match (flag.value().is_empty(), attached) {
                (true, None) => String::new(),
                (true, Some(_)) => return Err(UsageError::new(format!("{name} takes no value"))),
                (false, Some(value)) => value,
                (false, None) => match arguments.next() {
                    Some(value) => utf8(value)?,
                    None => {
                        let example = format!("{name} {}", flag.value());
                        return Err(UsageError::new(format!("{name} needs a value: {example}")));
                    }
                },
            };
            given.values.push((flag.name(), value));
        }
        Ok(given)
    }

    /// The help page.
    pub fn help(&self) -> String {
        let mut page = format!("{}\n\nUsage: {} [FLAGS]", self.about, self.name);
        if !self.arguments.is_empty() {
            let _ = write!(page, " {}", self.arguments);
        }
        page.push('\n');
        if !self.subcommands.is_empty() {
            let _ = writeln!(page, "       {} SUBCOMMAND ...\n\nSubcommands:", self.name);
            let help = ("help SUBCOMMAND", "Prints the help page of a subcommand.");
            let listed = self.subcommands.iter().copied().chain([help]);
            write_rows(
                &mut page,
                listed.map(|(name, about)| Flag::new(name, about)),
            );
        }
        let version = (!self.version.is_empty()).then_some(VERSION);
        let ends = self.dashes_end_flags().then_some(ENDS_FLAGS);
        let common = [HELP].into_iter().chain(version).chain(ends);
        page.push_str("\nFlags:\n");
        write_rows(&mut page, self.flags().copied().chain(common));
        page
    }

    fn flags(&self) -> impl Iterator<Item = &'static Flag> + Clone + use<> {
        self.flags.iter().chain(self.shared)
    }

    /// Whether arguments may follow a lone `--`.
    fn dashes_end_flags(&self) -> bool {
        !self.arguments.is_empty() && !self.arguments.contains("[--")
    }

    fn find(&self, name: &str) -> Result<&'static Flag, UsageError> {
        let is_named = |flag: &&Flag| flag.head.split([',', ' ']).any(|word| word == name);
        self.flags().find(is_named).ok_or_else(|| {
            let bare = name.trim_start_matches('-');
            let names = self.flags().map(Flag::name);
            let hint = match nearest(bare, names.chain(["help"])) {
                Some(near) => format!("the nearest is --{near}"),
                None if self.flags.is_empty() && !self.subcommands.is_empty() => {
                    "flags follow a subcommand".to_owned()
                }
                None if self.dashes_end_flags() => {
                    "if it is an argument, put -- before it".to_owned()
                }
                None => format!("{} --help lists the flags", self.name),
            };
            UsageError::new(format!("unknown flag {}; {hint}", name.escape_debug()))
        })
    }
}

/// Whether an argument is a flag. A lone dash is none: it stands for standard input.
fn is_flag(argument: &OsStr) -> bool {
    argument != "-" && argument.as_encoded_bytes().starts_with(b"-")
}

fn write_rows(page: &mut String, rows: impl Iterator<Item = Flag> + Clone) {
    let widths = rows.clone().map(|row| row.head.len());
    let width = widths.filter(|width| *width <= HELP_COLUMN_MAX).max();
    let width = width.unwrap_or(0);
    for row in rows {
        let (head, text) = (row.head, row.text());
        let mut lines = text.lines();
        if head.len() > width {
            let _ = writeln!(page, "  {head}");
        } else {
            let _ = writeln!(page, "  {head:width$}  {}", lines.next().unwrap_or(""));
        }
        for line in lines {
            let _ = writeln!(page, "  {:width$}  {}", "", line.trim_start());
        }
    }
}

/// The flags and arguments that were given. Asking for a flag that the table lacks is a bug and
/// panics.
#[derive(Debug)]
pub struct Given {
    command: Command,
    values: Vec<(&'static str, String)>,
    /// The arguments that are not flags.
    pub arguments: Vec<OsString>,
    /// Everything after a lone `--`.
    pub rest: Vec<OsString>,
}

impl Given {
    /// The last value given for a flag, otherwise its default, if it has one.
    pub fn text(&self, name: &str) -> Option<&str> {
        let flag = self.command.flags().find(|flag| flag.name() == name);
        let default = flag.expect("a flag of the table").default;
        let default = (!default.is_empty()).then_some(default);
        self.texts(name).last().or(default)
    }

    /// The value of a flag that the command needs.
    ///
    /// # Errors
    /// The flag is not given.
    pub fn needed(&self, name: &str) -> Result<&str, UsageError> {
        let missing = || UsageError::new(format!("--{name} is needed"));
        self.text(name).ok_or_else(missing)
    }

    /// All values given for a flag, in order.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.values.iter().filter(move |(given, _)| *given == name);
        values.map(|(_, value)| value.as_str())
    }

    /// Whether the flag was given.
    pub fn is_set(&self, name: &str) -> bool {
        self.texts(name).next().is_some()
    }

    /// Converts the value of a flag, if it was given or has a default. `expected` completes the
    /// error "--flag: expected ...".
    ///
    /// # Errors
    /// `convert` returns `None`.
    pub fn read<T>(
        &self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, UsageError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match convert(text) {
            Some(value) => Ok(Some(value)),
            None => Err(UsageError::value(name, expected, text)),
        }
    }

    /// The number that a flag has, if it was given or has a default.
    ///
    /// # Errors
    /// The value is no number of this type, or out of range.
    pub fn optional_number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, UsageError> {
        let noun = match "0.5".parse::<T>() {
            Ok(_) => "a number",
            Err(_) => "a whole number",
        };
        let expected = format!("{noun} from {} to {}", range.start(), range.end());
        self.read(name, &expected, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// The number that a flag with a default has.
    ///
    /// # Errors
    /// As [`Given::optional_number`].
    pub fn number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<T, UsageError> {
        let number = self.optional_number(name, range)?;
        Ok(number.expect("the table has a default"))
    }

    /// The only argument. `noun` names it in the error, e.g. `folder`.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn argument(&self, noun: &str) -> Result<&OsStr, UsageError> {
        match &self.arguments[..] {
            [argument] => Ok(argument),
            [] => Err(UsageError::new(format!("no {noun} given"))),
            [_, other, ..] => Err(unexpected(other, self.command.name)),
        }
    }
}

fn unexpected(argument: &OsStr, command: &str) -> UsageError {
    let argument = argument.to_string_lossy();
    let argument = argument.escape_debug();
    UsageError::Mistake(format!(
        "unknown argument '{argument}'; see {command} --help"
    ))
}

/// What to do about an unknown word: take the nearest one that is known, or else what `otherwise`
/// says.
pub fn hint<'a>(word: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    match nearest(word, known) {
        Some(near) => format!("the nearest is {near}"),
        None => otherwise.to_owned(),
    }
}

/// The known word that is the fewest edits away from `word` or from what `word` is called here, if it
/// is near enough to be a typing mistake.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // What other stores call it is nearer than any typing mistake.
    let other = match word {
        "put" => "set",
        "del" | "rm" => "delete",
        _ => word,
    };
    let near = known
        .map(|candidate| {
            (
                edits(word, candidate).min(edits(other, candidate)),
                candidate,
            )
        })
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

/// An argument as a text.
pub(crate) fn utf8(argument: OsString) -> Result<String, UsageError> {
    argument
        .into_string()
        .map_err(|raw| UsageError::new(format!("an argument is not UTF-8: {raw:?}")))
}

#[cfg(test)]
mod tests;
