//! `raft log`: a node's folder on the terminal.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use json::Decode;

use super::check::{Verdict, check};
use super::disk::Real;
use crate::flags::{Command, Flag, Parsed};

/// The command line of `raft log`.
const LOG: Command = Command::new(
    "raft log",
    "\
Prints the log and the snapshots of a node's folder: that of one node, inside --data-dir and
with the node's name. It changes nothing. The node must not be running.

Exit status: 0 all is sound; 1 a node would refuse the folder, or it cannot be read; 2 for a
wrong command line; 3 a crash tore the last frame of the log: the next start of the node cuts
it, and nothing in it was acknowledged.",
    &[Flag::switch(
        "verify",
        "Checks everything, but prints only one line per file.",
    )],
)
.arguments("DIR");

/// Runs `raft log` with the arguments after these words. Returns the exit status of the process.
/// `C` are the commands of the state machine.
pub fn main<C: for<'a> Decode<'a>>(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = LOG.parse(arguments).and_then(|parsed| {
        parsed.try_map(|given| {
            let folder = PathBuf::from(given.argument("folder")?);
            Ok((folder, given.is_set("verify")))
        })
    });
    match parsed {
        Ok(Parsed::Run((folder, verify))) => show::<C>(&folder, verify),
        Ok(Parsed::Print(text)) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("raft log: {error}\nSee raft log --help.");
            ExitCode::from(2)
        }
    }
}

fn show<C: for<'a> Decode<'a>>(folder: &Path, verify: bool) -> ExitCode {
    let disk = match Real::read_only(folder) {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let checked = check::<C>(Arc::new(disk), !verify, &mut out);
    let checked = checked.and_then(|verdict| out.flush().map(|()| verdict));
    drop(out);
    match checked {
        Ok(Ok(Verdict::Sound)) => {
            print("sound\n");
            ExitCode::SUCCESS
        }
        Ok(Ok(Verdict::Torn(bytes))) => {
            print(&format!(
                "torn: the next start cuts {bytes} bytes, none of which was acknowledged\n"
            ));
            ExitCode::from(3)
        }
        Ok(Ok(Verdict::New)) => {
            eprintln!(
                "{}: no node ever was here (each has its own folder below the --data-dir)",
                folder.display()
            );
            ExitCode::FAILURE
        }
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints to stdout. Whoever closed it has seen enough.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
