//! `raft get`, `raft set` and the other requests of a client: one table for them and for the REPL.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use json::{Value, value};

use super::{print, usage_error};
use crate::client::{Client, Error, Options};
use crate::flags::{Command, Flag, Given, Parsed, UsageError};
use crate::requests::ErrorCode;
use crate::stdio::{print_error, stdout};

/// A request that people type.
#[derive(Clone, Copy)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// The subcommand.
    command: &'static str,
    pub(super) arguments: &'static str,
    pub(super) about: &'static str,
    to: Target,
    /// Makes the body. It gets as many arguments as the verb takes.
    body: fn(&[Value]) -> Result<Value, String>,
}

/// The nodes that a request goes to.
#[derive(Clone, Copy)]
enum Target {
    /// Any node, and under a session if it writes.
    Read,
    Write,
    Leader,
    /// Each node, since it concerns that node alone.
    Each,
}

macro_rules! verb {
    ($name:literal, $arguments:literal, $about:literal, $to:expr, $body:expr) => {
        Verb {
            name: $name,
            command: concat!("raft ", $name),
            arguments: $arguments,
            about: $about,
            to: $to,
            body: $body,
        }
    };
}

/// The requests.
#[rustfmt::skip]
pub(super) const VERBS: [Verb; 12] = [
    verb!("get", "KEY", "Prints the value of a key.", Target::Read,
        |a| Ok(value!({"type": "read", "key": (a[0].clone())}))),
    verb!("set", "KEY VALUE", "Sets the value of a key.", Target::Write,
        |a| Ok(value!({"type": "write", "key": (a[0].clone()), "value": (a[1].clone())}))),
    verb!("cas", "KEY OLD NEW", "Sets the value of a key if it is OLD.", Target::Write,
        |a| Ok(value!({"type": "cas", "key": (a[0].clone()), "from": (a[1].clone()), "to": (a[2].clone())}))),
    verb!("delete", "KEY", "Deletes a key.", Target::Write,
        |a| Ok(value!({"type": "delete", "key": (a[0].clone())}))),
    verb!("keys", "[PREFIX]", "Lists the keys, or the strings among them with a prefix.", Target::Read,
        |a| Ok(with(value!({"type": "keys"}), "prefix", a.first()))),
    verb!("status", "", "Shows the role and the progress of each node.", Target::Each,
        |_| Ok(value!({"type": "status"}))),
    verb!("members", "", "Lists the members of the cluster.", Target::Read,
        |_| Ok(value!({"type": "members"}))),
    verb!("add", "NAME=HOST:PORT", "Adds a node, which was started with --join.", Target::Leader,
        |a| change(&a[..1], &[])),
    verb!("remove", "NAME", "Removes a node, which can be stopped afterwards.", Target::Leader,
        |a| change(&[], &a[..1])),
    verb!("replace", "OLD NEW=HOST:PORT", "Removes a node and adds another one, at once.", Target::Leader,
        |a| change(&a[1..], &a[..1])),
    verb!("transfer", "[NAME]", "Hands the leadership to a node, or to the most advanced one.", Target::Leader,
        |a| Ok(with(value!({"type": "transfer"}), "to", a.first()))),
    verb!("snapshot", "", "Makes each node store a snapshot.", Target::Each,
        |_| Ok(value!({"type": "snapshot"}))),
];

/// An object with one more member, if there is one.
fn with(mut body: Value, name: &str, value: Option<&Value>) -> Value {
    if let (Some(members), Some(value)) = (body.as_object_mut(), value) {
        members.insert(name.into(), value.clone());
    }
    body
}

fn change(add: &[Value], remove: &[Value]) -> Result<Value, String> {
    let has_place = |name: &Value| name.as_str().is_some_and(|name| name.contains('='));
    if let Some(name) = add.iter().find(|name| !has_place(name)) {
        return Err(format!("expected NAME=HOST:PORT, got {name}"));
    }
    let (add, remove) = (Value::Array(add.to_vec()), Value::Array(remove.to_vec()));
    Ok(value!({"type": "change_members", "add": add, "remove": remove}))
}

/// The flags of all commands that are clients.
pub(super) const FLAGS: &[Flag] = &[
    Flag::new(
        "connect",
        "HOST:PORT,...",
        "The nodes to ask first; the others are learned from them.",
    )
    .default("127.0.0.1:7101"),
    Flag::new(
        "secret-file",
        "FILE",
        "The file with the cluster's secret. [default: no secret]",
    ),
    Flag::new("timeout", "S", "Gives up after this many seconds.").default("10"),
    Flag::switch("json", "Prints the bodies of replies, one a line."),
];

/// The exit status of a request.
pub(super) const STATUSES: &str = "
Exit status: 0 done; 1 the cluster rejected the request, e.g. there is no such key; 2 wrong usage;
3 unknown whether a write took effect; 4 no node could serve the request.";

impl Verb {
    /// Makes the body.
    pub(super) fn body(&self, arguments: &[Value]) -> Result<Value, String> {
        let most = self.arguments.split_whitespace().count();
        let least = if self.arguments.starts_with('[') {
            0
        } else {
            most
        };
        if !(least..=most).contains(&arguments.len()) {
            return Err(format!("usage: {} {}", self.name, self.arguments));
        }
        (self.body)(arguments)
    }

    /// Sends a request, prints what comes of it, and returns the exit status.
    pub(super) fn run(
        &self,
        client: &mut Client,
        body: Value,
        json: bool,
        out: &mut impl Write,
    ) -> io::Result<u8> {
        let mut body = body;
        loop {
            let reply = match self.to {
                Target::Read => client.read(body.clone()),
                Target::Write => client.write(body.clone()),
                Target::Leader => client.ask_leader(body.clone()),
                Target::Each => return each(client, &body, json, out),
            };
            let status = show(&reply, json, out)?;
            // A long list comes in parts.
            match reply
                .ok()
                .filter(|reply| reply.field("more") == Some(&Value::Bool(true)))
            {
                Some(part) => {
                    let keys = part.field("keys").and_then(Value::as_array);
                    body = with(body, "after", keys.and_then(<[Value]>::last));
                }
                None => return Ok(status),
            }
        }
    }
}

/// Asks each node for itself.
fn each(client: &mut Client, body: &Value, json: bool, out: &mut impl Write) -> io::Result<u8> {
    let mut worst = 0;
    let mut rows = vec![STATUS_FIELDS.map(str::to_owned).to_vec()];
    for mut node in client.each() {
        let reply = node.read(body.clone());
        let status = match &reply {
            Ok(reply) if !json && is(reply, "status_ok") => {
                rows.push(
                    STATUS_FIELDS
                        .map(|name| reply.field(name).map_or("-".into(), plain))
                        .to_vec(),
                );
                0
            }
            reply => {
                write!(out, "{}: ", node.node())?;
                show(reply, json, out)?
            }
        };
        worst = worst.max(status);
    }
    if rows.len() > 1 {
        table(&rows, out)?;
    }
    Ok(worst)
}

const STATUS_FIELDS: [&str; 7] = [
    "node", "role", "term", "leader", "last", "commit", "applied",
];

/// Prints a reply as redis-cli does. Returns the exit status.
fn show(reply: &Result<Value, Error>, json: bool, out: &mut impl Write) -> io::Result<u8> {
    let (status, text) = match reply {
        Ok(reply) if json => (0, reply.to_string()),
        Ok(reply) if is(reply, "read_ok") => (
            0,
            reply
                .field("value")
                .map_or("(nil)".into(), Value::to_string),
        ),
        Ok(reply) if is(reply, "keys_ok") => {
            for key in reply
                .field("keys")
                .and_then(Value::as_array)
                .unwrap_or_default()
            {
                writeln!(out, "{key}")?;
            }
            return Ok(0);
        }
        Ok(reply) if is(reply, "members_ok") => {
            let leader = reply.field("leader");
            let mut rows = Vec::new();
            for member in reply
                .field("members")
                .and_then(Value::as_array)
                .unwrap_or_default()
            {
                let leads = leader.is_some() && member.field("name") == leader;
                let role = if leads { "leader" } else { "" };
                let mut row = ["name", "address", "standing"]
                    .map(|name| member.field(name).map_or("-".into(), plain))
                    .to_vec();
                row.push(role.into());
                rows.push(row);
            }
            table(&rows, out)?;
            return Ok(0);
        }
        Ok(_) => (0, "OK".into()),
        Err(Error::Rejected { code, text }) if json => (
            1,
            value!({"type": "error", "code": (*code), "text": (text.as_str())}).to_string(),
        ),
        Err(Error::Rejected { code, text: _ }) if *code == ErrorCode::KeyDoesNotExist.number() => {
            (1, "(nil)".into())
        }
        Err(error @ Error::Rejected { .. }) => (1, format!("(error) {error}")),
        Err(error @ Error::Unknown(_)) => (3, format!("(error) {error}")),
        Err(error @ Error::Unavailable(_)) => (4, format!("(error) {error}")),
    };
    writeln!(out, "{text}")?;
    Ok(status)
}

fn is(reply: &Value, kind: &str) -> bool {
    reply.field("type").and_then(Value::as_str) == Some(kind)
}

/// A value as a word, without quotes.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Prints rows in columns.
fn table(rows: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// A JSON value, or else a bare word, which is a string.
pub(super) fn word(text: &str) -> Value {
    json::decode(text.as_bytes()).unwrap_or_else(|_| text.into())
}

/// The client that flags demand.
pub(super) fn client(given: &Given, report: fn(&str)) -> Result<Client, UsageError> {
    let nodes = given.text("connect").unwrap_or_default().split(',');
    let mut options = Options::to(nodes);
    options.secret = secret(given)?;
    options.timeout = Duration::from_secs(given.number("timeout", 1..=3_600)?);
    options.report = report;
    Ok(Client::new(options))
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
pub(super) fn main(name: &str, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let verb = VERBS
        .iter()
        .find(|verb| verb.name == name)
        .expect("a subcommand is in the table");
    let command = Command::new(verb.command, verb.about, FLAGS).arguments(verb.arguments);
    let prepared = command.parse(arguments).and_then(|parsed| {
        parsed.try_map(|given| {
            let words: Vec<Value> = given
                .arguments
                .iter()
                .map(|a| word(&a.to_string_lossy()))
                .collect();
            let body = verb.body(&words).map_err(UsageError::new)?;
            Ok((client(&given, |_| {})?, body, given.is_set("json")))
        })
    });
    let (mut client, body, json) = match prepared {
        Ok(Parsed::Run(run)) => run,
        Ok(Parsed::Print(text)) => return print(&(text + STATUSES + "\n")),
        Err(error) => return usage_error(verb.command, &error),
    };
    let mut out = stdout();
    let shown = verb
        .run(&mut client, body, json, &mut out)
        .and_then(|status| out.flush().map(|()| status));
    client.close();
    match shown {
        Ok(status) => status.into(),
        Err(error) => {
            print_error(format_args!("{}: {error}", verb.command));
            ExitCode::FAILURE
        }
    }
}
