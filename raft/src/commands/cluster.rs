//! `raft cluster`: a cluster on this machine, as child processes.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::net::TcpListener;
use std::path::{self, Path};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::Failure;
use crate::flags::{self, Flag, Given, UsageError};
use crate::stdio::stdout;

/// The command line of `raft cluster`.
const CLUSTER: flags::Command = flags::Command::new(
    "raft cluster",
    "\
Starts a cluster on this machine, with a process for each node, and prints what the nodes log.
The nodes end when this program ends. Their data stays: the same command continues with it.
Another number of nodes needs another --storage-dir, or raft serve --join and raft add.
What follows -- goes to each node: see raft serve --help.

Exit status: 1 once all nodes have ended, or if they cannot be started; 2 wrong usage.",
    &[
        Flag::new("-n, --nodes N", "The number of nodes.").default("3"),
        Flag::new(
            "--port PORT",
            "The port of the first node; the next ones follow.",
        )
        .default("7101"),
        Flag::new("--storage-dir DIR", "The folder of all nodes' data.").default("raft-data"),
        Flag::new(
            "--restart",
            "Starts a node that ended again, after a second.",
        ),
    ],
)
.arguments("[-- SERVE-FLAGS]");

/// The most nodes.
const MOST: u16 = 99;

/// The pause before a node is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `raft cluster` with the arguments after these words.
pub(super) fn main(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    Arc::new(Cluster::of(CLUSTER.parse(arguments)?)?).run()?;
    Ok(ExitCode::FAILURE)
}

struct Cluster {
    nodes: u16,
    port: u16,
    folder: String,
    restarts: bool,
    rest: Vec<OsString>,
}

impl Cluster {
    fn of(given: Given) -> Result<Self, UsageError> {
        let nodes = given.number("nodes", 1..=MOST)?;
        Ok(Self {
            nodes,
            port: given.number("port", 1..=u16::MAX - nodes)?,
            folder: given.text("storage-dir").unwrap_or_default().to_owned(),
            restarts: given.is_set("restart"),
            rest: given.rest,
        })
    }

    fn address(&self, node: u16) -> String {
        format!("127.0.0.1:{}", self.port + node - 1)
    }

    /// Whether the folder is without data. A node without data would begin a cluster of its own
    /// beside the one that the others have.
    ///
    /// # Errors
    /// It holds the data of other nodes than these.
    fn is_new(&self) -> Result<bool, String> {
        let folder = &self.folder;
        // A node whose folder is complete has this file.
        let has_data = |node: &u16| Path::new(folder).join(format!("n{node}/identity")).exists();
        let found: Vec<u16> = (1..=MOST).filter(has_data).collect();
        if found.is_empty() || found.iter().copied().eq(1..=self.nodes) {
            return Ok(found.is_empty());
        }
        let names: Vec<String> = found.iter().map(|node| format!("n{node}")).collect();
        let start = match found.iter().zip(1..).all(|(node, place)| *node == place) {
            true => format!("start them with -n {}", found.len()),
            false => "start each of them with raft serve".to_owned(),
        };
        Err(format!(
            "-n {}: {folder} holds the data of another number of nodes: {}; {start} and the port \
             that they had, or give another --storage-dir. A running cluster grows by raft serve \
             --join and raft add",
            self.nodes,
            names.join(", "),
        ))
    }

    /// Runs until all nodes have ended.
    fn run(self: Arc<Self>) -> io::Result<()> {
        let is_new = self.is_new().map_err(io::Error::other)?;
        let nodes = 1..=self.nodes;
        let addresses: Vec<String> = nodes.clone().map(|node| self.address(node)).collect();
        // A node that cannot listen has no data, so the folder would hold too few nodes later.
        for address in &addresses {
            TcpListener::bind(address).map_err(|error| {
                io::Error::other(format!("cannot listen at {address}: {error}; see --port"))
            })?;
        }
        say(&format!(
            "data: {}; try: raft repl --connect {}",
            self.folder,
            addresses.join(",")
        ))?;
        let (ended, ends) = mpsc::channel();
        for node in nodes {
            let (cluster, ended) = (self.clone(), ended.clone());
            // The main thread may have ended.
            let keep = move || drop(ended.send(cluster.keep(node, is_new)));
            thread::Builder::new()
                .name(format!("n{node}"))
                .spawn(keep)?;
        }
        drop(ended);
        ends.iter().collect()
    }

    /// Runs a node, again and again with `--restart`, and prints its lines.
    fn keep(&self, node: u16, is_new: bool) -> io::Result<()> {
        loop {
            // A node ends when its stdin ends, which this process holds.
            let mut child = self.start(node, is_new)?;
            show(node, &mut child)?;
            say(&format!("n{node} ended: {}", child.wait()?))?;
            if !self.restarts {
                return Ok(());
            }
            thread::sleep(PAUSE);
            say(&format!("n{node} starts again"))?;
        }
    }

    fn start(&self, node: u16, is_new: bool) -> io::Result<Child> {
        let mut command = Command::new(env::current_exe()?);
        command
            .args(["serve", "--end-with-stdin", "--name", &format!("n{node}")])
            .args(["--listen", &self.address(node), "--data-dir", &self.folder]);
        if is_new {
            let members = (1..=self.nodes).map(|node| format!("n{node}={}", self.address(node)));
            command
                .args(["--bootstrap", &members.collect::<Vec<_>>().join(",")])
                .arg("--cluster-token")
                .arg(path::absolute(&self.folder)?);
        }
        command
            .args(&self.rest)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Prints the lines of a node, in a colour of its own at a terminal.
fn show(node: u16, child: &mut Child) -> io::Result<()> {
    let (begin, end) = match io::stdout().is_terminal() {
        true => (format!("\x1b[{}m", 31 + (node - 1) % 6), "\x1b[0m"),
        false => (String::new(), ""),
    };
    let stderr = child.stderr.take().expect("a pipe");
    for line in BufReader::new(stderr).lines() {
        say(&format!("{begin}n{node} |{end} {}", line?))?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = stdout();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::{fs, process};

    use super::*;

    #[test]
    fn folder_of_another_number_of_nodes_is_refused() {
        let folder = env::temp_dir().join(format!("raft-cluster-{}", process::id()));
        let is_new = |nodes| {
            let cluster = Cluster {
                nodes,
                port: 1,
                folder: folder.to_str().unwrap().into(),
                restarts: false,
                rest: Vec::new(),
            };
            cluster.is_new()
        };
        let make = |node: &str| {
            fs::create_dir_all(folder.join(node)).unwrap();
            fs::write(folder.join(node).join("identity"), "").unwrap();
        };
        assert_eq!(is_new(3), Ok(true));
        // A start that failed may leave a folder without data.
        fs::create_dir_all(folder.join("n2")).unwrap();
        assert_eq!(is_new(3), Ok(true));
        make("n1");
        assert_eq!(is_new(1), Ok(false));
        let why = is_new(3).unwrap_err();
        assert!(why.contains("nodes: n1; start them with -n 1 "), "{why}");
        assert!(why.contains(folder.to_str().unwrap()), "{why}");
        make("n3");
        let why = is_new(3).unwrap_err();
        assert!(why.contains("nodes: n1, n3; start each of them"), "{why}");
        make("n2");
        assert_eq!(is_new(3), Ok(false));
        let why = is_new(2).unwrap_err();
        assert!(why.contains("start them with -n 3 "), "{why}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
