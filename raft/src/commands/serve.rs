//! `raft serve`: a node on a network.

use std::ffi::OsString;
use std::net::ToSocketAddrs as _;
use std::process::ExitCode;

use super::request::{SECRET_FILE, secret};
use super::{Failure, PLACE, initial_members, places, run_node};
use crate::flags::{Command, Flag, Given, UsageError};
use crate::node::Member;
use crate::node::address::is_place;
use crate::node::options::{FLAGS, Options};
use crate::tcp::{self, Begin};

/// The command line of `raft serve`.
const SERVE: Command = Command::new(
    "raft serve",
    "\
Runs a node that peers and clients reach over TCP. It keeps its data in DIR/NAME.

A node whose folder is empty needs --bootstrap, the same for all nodes of a new cluster, or
--join, if raft add adds it to a running one. Later starts need neither.

It listens on loopback alone, unless the cluster has a secret (--secret-file) or --insecure
lets every process that reaches the port read and write. A secret keeps others out; nothing
is encrypted, so an untrusted network needs a tunnel.

A node may be stopped by any signal at any time: what it acknowledged is on disk.
Exit status: 0 if it ended with its stdin; 1 if it had to stop; 2 for a wrong command line.",
    &[
        Flag::new("--name NAME", "The node's name in its cluster."),
        Flag::new(
            "--listen HOST:PORT",
            "Where peers and clients reach the node.",
        )
        .default("127.0.0.1:7101"),
        Flag::new(
            "--bootstrap NAME=HOST:PORT,...",
            "The members that a new cluster begins with, this node among them.",
        ),
        Flag::new(
            "--cluster-token TEXT",
            "With --bootstrap: distinguishes clusters with the same members.",
        ),
        Flag::new(
            "--join HOST:PORT,...",
            "Nodes of the running cluster that is to add this node.",
        ),
        SECRET_FILE,
        Flag::new("--insecure", "Listens anywhere without a secret."),
        Flag::new("--end-with-stdin", "Ends when stdin ends."),
    ],
)
.and(FLAGS);

/// Runs `raft serve` with the arguments after these words.
pub(super) fn main(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let options = options(&SERVE.parse(arguments)?)?;
    Ok(run_node(options.node.log, |log| tcp::run(&options, log)))
}

fn options(given: &Given) -> Result<tcp::Options, UsageError> {
    let node = Options::from_given(given)?;
    if node.data.is_none() {
        return Err(UsageError::new("--data-dir is needed"));
    }
    let name = given.needed("name")?;
    let begin = match (given.text("bootstrap"), given.text("join")) {
        (Some(members), None) => {
            let invalid = |why| UsageError::new(format!("--bootstrap: {why}"));
            let member = Member::new(name, initial_members(members)?).map_err(invalid)?;
            if member.initial_id().is_none() {
                return Err(invalid(format!("{name} is not among the members")));
            }
            Begin::Bootstrap(member.with_token(given.text("cluster-token").unwrap_or_default()))
        }
        (None, Some(_)) => Begin::Join(places(given, "join")?),
        (None, None) => Begin::Not,
        (Some(_), Some(_)) => {
            return Err(UsageError::new("--bootstrap and --join exclude each other"));
        }
    };
    let listen = given.read("listen", PLACE, |text| {
        is_place(text).then(|| text.to_owned())
    })?;
    let listen = listen.unwrap_or_default();
    let secret = secret(given)?;
    if secret.is_empty() && !given.is_set("insecure") {
        let mut resolved = listen.to_socket_addrs().map_err(|error| {
            UsageError::new(format!("--listen: cannot resolve {listen}: {error}"))
        })?;
        if resolved.any(|address| !address.ip().is_loopback()) {
            let text = "--listen: beyond loopback a cluster needs a secret (--secret-file), or \
                        --insecure";
            return Err(UsageError::new(text));
        }
    }
    Ok(tcp::Options {
        node,
        name: name.to_owned(),
        begin,
        listen,
        secret,
        ends_with_stdin: given.is_set("end-with-stdin"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flags: &[&str]) -> Result<tcp::Options, String> {
        let first = ["--data-dir=d", "--name=q"].iter().chain(flags);
        let parsed = SERVE.parse(first.map(Into::into));
        let options = parsed.and_then(|given| options(&given));
        options.map_err(|error| error.to_string())
    }

    #[test]
    fn lists_may_have_blanks() {
        let joins = parsed(&["--join", "a:1 , b:2"]).unwrap();
        assert!(matches!(joins.begin, Begin::Join(places) if places == ["a:1", "b:2"]));
        let begins = parsed(&["--bootstrap", "q=h:1, p = h:2"]).unwrap();
        let Begin::Bootstrap(member) = begins.begin else {
            panic!("it begins a cluster");
        };
        let members = member.initial.members().values();
        let addresses: Vec<&str> = members.map(|member| &*member.address).collect();
        assert_eq!(addresses, ["p=h:2", "q=h:1"]);
    }

    #[test]
    fn wrong_addresses_are_explained() {
        for (flag, value, why) in [
            ("--join", "foo", "got 'foo'"),
            ("--join", "a:1,b", "got 'b'"),
            ("--listen", "localhost", "got 'localhost'"),
            ("--listen", "127.0.0.1:99999", "a port from 1 to 65535"),
            ("--bootstrap", "q=:7684, p=:7684", "q has no =HOST:PORT"),
            ("--bootstrap", "q=h:1,p=h", "p has no =HOST:PORT"),
            ("--bootstrap", "q=h:1, p=h:1", "h:1 occurs twice"),
            ("--bootstrap", "q=h:1, q=h:2", "\"q\" occurs twice"),
            ("--bootstrap", "q=h:1,", " has no =HOST:PORT"),
        ] {
            let error = parsed(&[flag, value]).unwrap_err();
            assert!(error.starts_with(flag) && error.contains(why), "{error}");
        }
    }
}
