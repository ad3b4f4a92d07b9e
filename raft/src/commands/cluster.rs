//! `raft cluster`: a cluster on this machine, as child processes.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use std::{path, thread};

use super::{print, usage_error};
use crate::flags::{self, Flag, Given, Parsed, UsageError};
use crate::stdio::{print_error, stdout};

/// The command line of `raft cluster`.
const CLUSTER: flags::Command = flags::Command::new(
    "raft cluster",
    "\
Starts a cluster on this machine, with a process for each node, and prints what the nodes log.
The nodes end when this program ends. Their data stays: the same command continues with it.
What follows -- goes to each node: see raft serve --help.

Exit status: 1 once all nodes have ended, or if they cannot be started; 2 wrong usage.",
    &[
        Flag::new("nodes", "N", "The number of nodes.")
            .short('n')
            .default("3"),
        Flag::new(
            "port",
            "PORT",
            "The port of the first node; the next ones follow.",
        )
        .default("7101"),
        Flag::new("storage-dir", "DIR", "The folder of all nodes' data.").default("raft-data"),
        Flag::switch("restart", "Starts a node that ended again, after a second."),
    ],
)
.arguments("[-- SERVE-FLAGS]");

/// The pause before a node is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `raft cluster` with the arguments after these words.
pub(super) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = CLUSTER
        .parse(arguments)
        .and_then(|parsed| parsed.try_map(|given| Cluster::of(&given)));
    let cluster = match parsed {
        Ok(Parsed::Run(cluster)) => cluster,
        Ok(Parsed::Print(text)) => return print(&text),
        Err(error) => return usage_error(CLUSTER.name, &error),
    };
    if let Err(error) = cluster.run() {
        print_error(format_args!("raft cluster: {error}"));
    }
    ExitCode::FAILURE
}

struct Cluster {
    nodes: u16,
    port: u16,
    folder: String,
    restarts: bool,
    rest: Vec<OsString>,
}

impl Cluster {
    fn of(given: &Given) -> Result<Self, UsageError> {
        let nodes = given.number("nodes", 1..=99)?;
        Ok(Self {
            nodes,
            port: given.number("port", 1..=u16::MAX - nodes)?,
            folder: given.text("storage-dir").unwrap_or_default().to_owned(),
            restarts: given.is_set("restart"),
            rest: given.rest.clone(),
        })
    }

    fn address(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.port + node - 1)
    }

    /// Runs until all nodes have ended.
    fn run(&self) -> io::Result<()> {
        let nodes = 1..=self.nodes;
        let addresses: Vec<String> = nodes.clone().map(|node| self.address(node)).collect();
        say(&format!(
            "data: {}; try: raft repl --connect {}",
            self.folder,
            addresses.join(",")
        ))?;
        let (ended, ends) = mpsc::channel();
        // A node ends when its stdin ends, which this process holds.
        let mut running = 0;
        for node in nodes {
            self.start(node, &ended)?;
            running += 1;
        }
        while running > 0 {
            let (node, status): (u16, io::Result<ExitStatus>) =
                ends.recv().expect("the sender is here");
            say(&format!("n{node} ended: {}", status?))?;
            if self.restarts {
                thread::sleep(PAUSE);
                say(&format!("n{node} starts again"))?;
                self.start(node, &ended)?;
            } else {
                running -= 1;
            }
        }
        Ok(())
    }

    /// Starts a node, and a thread that prints its lines and reports its end.
    fn start(&self, node: u16, ended: &Sender<(u16, io::Result<ExitStatus>)>) -> io::Result<()> {
        let members = (1..=self.nodes).map(|node| format!("n{node}={}", self.address(node)));
        let mut child = Command::new(env::current_exe()?)
            .args(["serve", "--end-with-stdin", "--name", &format!("n{node}")])
            .args(["--listen", &self.address(node), "--data-dir", &self.folder])
            .args(["--bootstrap", &members.collect::<Vec<_>>().join(",")])
            .arg("--cluster-token")
            .arg(path::absolute(&self.folder)?)
            .args(&self.rest)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let ended = ended.clone();
        let watch = move || {
            let shown = show(node, &mut child);
            // The main thread may have ended.
            let _ = ended.send((node, shown.and_then(|()| child.wait())));
        };
        thread::Builder::new()
            .name(format!("n{node}"))
            .spawn(watch)?;
        Ok(())
    }
}

/// Prints the lines of a node, in a colour of its own at a terminal.
fn show(node: u16, child: &mut Child) -> io::Result<()> {
    let (begin, end) = match io::stdout().is_terminal() {
        true => (format!("\x1b[{}m", 31 + (node - 1) % 6), "\x1b[0m"),
        false => (String::new(), ""),
    };
    let lines = child
        .stderr
        .take()
        .into_iter()
        .flat_map(|stderr| BufReader::new(stderr).lines());
    for line in lines {
        say(&format!("{begin}n{node} |{end} {}", line?))?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = stdout();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
