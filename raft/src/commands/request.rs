//! `raft get`, `raft set` and the other requests of a client: one table for them and for the REPL.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use json::{Value, value};

use super::{Failure, backup, places};
use crate::client::{Client, Error, Options};
use crate::flags::{self, Command, Flag, Given, UsageError};
use crate::requests::ErrorCode;
use crate::stdio::{Stdout, stdout};

/// A request that people type.
#[derive(Clone, Copy)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// The subcommand.
    command: &'static str,
    arguments: &'static str,
    /// The name and the arguments.
    pub(super) usage: &'static str,
    pub(super) about: &'static str,
    to: Target,
    /// The body's type, and its field for each argument. `[]` follows the name of a list with that
    /// argument, and `...` that of a list with all that are left.
    kind: &'static str,
    fields: &'static [&'static str],
}

/// The nodes that a request goes to.
#[derive(Clone, Copy)]
enum Target {
    /// Any node.
    Read,
    /// Any node, under a session.
    Write,
    Leader,
    /// Each node, since it concerns that node alone.
    Each,
    /// Any node; its snapshot goes into a file.
    File,
}

macro_rules! verbs {
    ($($name:literal $arguments:literal $about:literal $to:ident $kind:literal $fields:expr;)*) => {
        /// The requests.
        pub(super) const VERBS: [Verb; [$($name),*].len()] = [$(Verb {
            name: $name,
            command: concat!("raft ", $name),
            arguments: $arguments,
            usage: concat!($name, " ", $arguments),
            about: $about,
            to: Target::$to,
            kind: $kind,
            fields: &$fields,
        }),*];

        /// The subcommands of `raft`: the requests, after the others.
        pub(super) const SUBCOMMANDS: &[(&str, &str)] = &[
            ("cluster", "Starts a cluster on this machine, and shows what its nodes log."),
            ("log", "Prints or checks a node's data folder."),
            ("repl", "Reads requests from a prompt or a pipe."),
            ("restore", "Makes a new cluster's data folders from a backup."),
            ("serve", "Runs a node on a network."),
            $(($name, $about)),*
        ];
    };
}

verbs! {
    "get" "KEY" "Prints the value of a key." Read "read" ["key"];
    "set" "KEY VALUE" "Sets the value of a key." Write "write" ["key", "value"];
    "cas" "KEY OLD NEW" "Sets the value of a key if it is OLD." Write "cas" ["key", "from", "to"];
    "delete" "KEY" "Deletes a key." Write "delete" ["key"];
    "keys" "[PREFIX]" "Lists the keys, or those strings that begin with PREFIX." Read "keys" ["prefix"];
    "status" "" "Shows the role and the progress of each node." Each "status" [];
    "members" "" "Lists the members of the cluster." Read "members" [];
    "add" "NAME=HOST:PORT..." "Adds nodes that were started with --join, all in one step." Leader
        "change_members" ["add..."];
    "remove" "NAME..." "Removes nodes, all in one step. They can be stopped afterwards." Leader
        "change_members" ["remove..."];
    "replace" "OLD NEW=HOST:PORT" "Removes a node and adds another one." Leader "change_members"
        ["remove[]", "add[]"];
    "transfer" "[NAME]" "Hands the leadership to a node, or to the best one." Leader "transfer" ["to"];
    "snapshot" "" "Makes each node store a snapshot." Each "snapshot" [];
    "backup" "FILE" "Copies the state of the cluster into a file, for raft restore." File "backup" ["file"];
}

/// The flags of all commands that are clients.
pub(super) const FLAGS: &[Flag] = &[
    Flag::new(
        "--connect HOST:PORT,...",
        "The nodes to ask first; the others are learned from them.",
    )
    .default("127.0.0.1:7101"),
    SECRET_FILE,
    Flag::new(
        "--timeout S",
        "Gives up after this many seconds. A node that has taken a change of the members is given 75.",
    )
    .default("10"),
    Flag::new("--json", "Prints the bodies of replies, one a line."),
];

/// The flag that [`secret`] reads.
pub(super) const SECRET_FILE: Flag = Flag::new(
    "--secret-file FILE",
    "The file with the cluster's secret. [default: no secret]",
);

/// The exit status of a request.
const STATUSES: &str = "
Exit status: 0 done; 1 the cluster rejected the request, e.g. there is no such key; 2 wrong usage;
3 unknown whether a write took effect; 4 no node could serve the request; 5 the file of a backup
cannot be written.
";

impl Verb {
    /// Makes the body.
    pub(super) fn body(&self, arguments: &[&str]) -> Result<Value, String> {
        let optional = usize::from(self.arguments.starts_with('['));
        let most = match self.arguments.ends_with("...") {
            true => usize::MAX,
            false => self.fields.len(),
        };
        if !(self.fields.len() - optional..=most).contains(&arguments.len()) {
            let blanks = match arguments.len() > most && most > 0 {
                true => "; an argument with blanks needs double quotes",
                false => "",
            };
            return Err(format!("usage: {}{blanks}", self.usage.trim_end()));
        }
        // Keys and values are JSON; a name, a prefix or a file is a text even if it reads as a number.
        let is_json = matches!(self.fields, ["key", ..]);
        let value = |argument: &&str| match is_json || argument.starts_with('"') {
            true => word(argument),
            false => Ok((*argument).into()),
        };
        let arguments: Vec<Value> = arguments.iter().map(value).collect::<Result<_, _>>()?;
        let list = |name: &str, of: &[Value]| (name.to_owned(), Value::Array(of.to_vec()));
        let fields = self.fields.iter().zip(0..arguments.len());
        let fields =
            fields.map(
                |(field, at)| match (field.strip_suffix("[]"), field.strip_suffix("...")) {
                    (Some(name), _) => list(name, &arguments[at..=at]),
                    (None, Some(name)) => list(name, &arguments[at..]),
                    (None, None) => ((*field).to_owned(), arguments[at].clone()),
                },
            );
        let kind = ("type".to_owned(), self.kind.into());
        Ok(Value::Object(fields.chain([kind]).collect()))
    }
}

/// A client, and how its replies are printed.
pub(super) struct Console {
    pub(super) client: Client,
    json: bool,
    pub(super) out: Stdout,
}

impl Console {
    /// Sends a request, prints what comes of it, and returns the exit status.
    pub(super) fn ask(&mut self, verb: &Verb, mut body: Value) -> io::Result<u8> {
        loop {
            let client = &mut self.client;
            let reply = match verb.to {
                Target::Read => client.read(body.clone()),
                Target::Write => client.write(body.clone()),
                Target::Leader => client.ask_leader(body.clone()),
                Target::Each => return self.each(&body),
                Target::File => backup::save(client, &field(&body, "file")),
            };
            let status = self.show(&reply)?;
            // A long list comes in parts.
            let part = reply.ok().filter(|reply| field(reply, "more") == "true");
            let last = part.and_then(|part| part.field("keys")?.elements().last().cloned());
            match (last, body.as_object_mut()) {
                (Some(last), Some(body)) => body.insert("after".into(), last),
                _ => return Ok(status),
            };
        }
    }

    /// Asks each node for itself.
    fn each(&mut self, body: &Value) -> io::Result<u8> {
        let mut worst = 0;
        let mut rows = vec![STATUS.map(str::to_owned)];
        for mut node in self.client.each() {
            match node.read(body.clone()) {
                Ok(reply) if !self.json && field(&reply, "type") == "status_ok" => {
                    rows.push(STATUS.map(|name| field(&reply, name)));
                }
                reply => {
                    if !self.json {
                        write!(self.out, "{}: ", node.node())?;
                    }
                    worst = worst.max(self.show(&reply)?);
                }
            }
        }
        if rows.len() > 1 {
            write!(self.out, "{}", table(&rows))?;
        }
        Ok(worst)
    }

    /// Prints a reply as redis-cli does. Returns the exit status.
    fn show(&mut self, reply: &Result<Value, Error>) -> io::Result<u8> {
        let (status, text) = match reply {
            Ok(reply) if self.json => (0, format!("{reply}\n")),
            Ok(reply) => (0, shown(reply)),
            Err(Error::Rejected { code, text }) if self.json => {
                let error = value!({"type": "error", "code": (*code), "text": (text.as_str())});
                (1, format!("{error}\n"))
            }
            Err(Error::Rejected { code, .. }) if *code == ErrorCode::KeyDoesNotExist.number() => {
                (1, "(nil)\n".into())
            }
            Err(error @ Error::Rejected { .. }) => (1, format!("(error) {error}\n")),
            Err(error @ Error::Unknown(_)) => (3, format!("(error) {error}\n")),
            Err(error @ Error::Unavailable(_)) => (4, format!("(error) {error}\n")),
            Err(error @ Error::NotKept(_)) => (5, format!("(error) {error}\n")),
        };
        write!(self.out, "{text}")?;
        Ok(status)
    }
}

const STATUS: [&str; 7] = [
    "node", "role", "term", "leader", "last", "commit", "applied",
];

fn shown(reply: &Value) -> String {
    let all = |name| reply.field(name).into_iter().flat_map(Value::elements);
    match &*field(reply, "type") {
        "read_ok" => format!("{}\n", reply.field("value").unwrap_or(&Value::Null)),
        "keys_ok" => all("keys").map(|key| format!("{key}\n")).collect(),
        "members_ok" => {
            let leader = field(reply, "leader");
            let row = |member: &Value| {
                let [id, name, address, standing] =
                    ["id", "name", "address", "standing"].map(|name| field(member, name));
                let leads = if name == leader { "leader" } else { "" };
                [id, name, address, standing, leads.into()]
            };
            table(&all("members").map(row).collect::<Vec<_>>())
        }
        "backup_ok" => {
            let [index, term, length] = ["index", "term", "length"].map(|name| field(reply, name));
            format!("a snapshot through entry {index} of term {term}: {length} bytes\n")
        }
        _ => "OK\n".into(),
    }
}

/// A field as a word.
fn field(object: &Value, name: &str) -> String {
    match object.field(name) {
        None => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Rows as lines with columns.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
            line += &format!("{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A JSON value, or else a bare word, which is a string. A word that begins as a JSON string, array or
/// object must be one: a typing mistake would otherwise be stored.
fn word(text: &str) -> Result<Value, String> {
    match json::decode(text.as_bytes()) {
        Err(error) if text.trim_start().starts_with(['"', '[', '{']) => Err(format!(
            "not JSON: {error}; a text that begins with \", [ or {{ needs double quotes around it"
        )),
        decoded => Ok(decoded.unwrap_or_else(|_| text.into())),
    }
}

/// Parses a command line, makes the client that its flags demand, and runs it.
pub(super) fn run(
    command: &Command,
    arguments: Vec<OsString>,
    report: fn(&str),
    run: impl FnOnce(&Given, &mut Console) -> Result<u8, Failure>,
) -> Result<ExitCode, Failure> {
    let given = command.parse(arguments).map_err(|error| match error {
        UsageError::Page(text) => UsageError::Page(text + STATUSES),
        mistake @ UsageError::Mistake(_) => mistake,
    })?;
    let mut options = Options::to(places(&given, "connect")?);
    options.secret = secret(&given)?;
    options.timeout = Duration::from_secs(given.number("timeout", 1..=3_600)?);
    options.report = report;
    let mut console = Console {
        client: Client::new(options),
        json: given.is_set("json"),
        out: stdout(),
    };
    let ran = run(&given, &mut console);
    console.client.close();
    let status = ran?;
    console.out.flush()?;
    Ok(status.into())
}

/// The secret in the file that `--secret-file` names, without the whitespace around it; empty if the
/// flag is not given.
pub(super) fn secret(given: &Given) -> Result<Vec<u8>, UsageError> {
    let Some(path) = given.text("secret-file") else {
        return Ok(Vec::new());
    };
    let read = fs::read(path)
        .map_err(|error| UsageError::new(format!("--secret-file: cannot read {path}: {error}")))?;
    match read.trim_ascii() {
        secret if secret.len() >= SECRET_BYTES_MIN => Ok(secret.to_vec()),
        _ => Err(UsageError::new(format!(
            "--secret-file: {path} has less than {SECRET_BYTES_MIN} bytes; try: head -c 32 /dev/urandom | base64"
        ))),
    }
}

/// A shorter secret can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Runs the subcommand of this name.
pub(super) fn main(name: &str, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let verb = VERBS.iter().find(|verb| verb.name == name);
    let verb = verb.expect("a subcommand is in the table");
    let command = Command::new(verb.command, verb.about, FLAGS).arguments(verb.arguments);
    run(
        &command,
        arguments,
        |_| {},
        |given, console| {
            let word = |argument: &OsString| flags::utf8(argument.clone());
            let words: Vec<_> = given.arguments.iter().map(word).collect::<Result<_, _>>()?;
            let words: Vec<&str> = words.iter().map(|word| &**word).collect();
            let body = verb.body(&words).map_err(UsageError::new)?;
            Ok(console.ask(verb, body)?)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_a_table_that_begins_with_ids() {
        let reply = value!({
            "type": "members_ok",
            "members": [
                {"id": 1, "name": "n1", "address": "h:1", "standing": "voter"},
                {"id": 12, "name": "n4", "standing": "learner"}
            ],
            "leader": "n1"
        });
        assert_eq!(
            shown(&reply),
            "1   n1  h:1  voter    leader\n12  n4  -    learner\n"
        );
    }
}
