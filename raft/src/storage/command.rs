//! `raft log`: a node's folder on the terminal.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use json::Decode;

use super::check::{Verdict, check};
use super::disk::Real;

const HELP: &str = "\
usage: raft log [--verify] DIR

Prints the log and the snapshots of a node's folder: that of one node, which lies in the
--data-dir under the node's name. Not a byte of it is changed. The node must not be running.

  --verify    check all, but print one line a file only

Exit status: 0 all is sound; 1 a node would refuse the folder, or it cannot be read; 2 for a
wrong command line; 3 a crash tore the last frame of the log: the next start of the node cuts
it, and nothing in it was acknowledged.
";

/// Runs `raft log` with the arguments behind these words; the value is for the process to end with.
/// `C` are the commands of the state machine.
pub fn main<C: for<'a> Decode<'a>>(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut verify = false;
    let mut folder = None;
    for arg in args {
        if arg == "--help" || arg == "-h" {
            print(HELP);
            return ExitCode::SUCCESS;
        } else if arg == "--verify" {
            verify = true;
        } else if arg.as_encoded_bytes().starts_with(b"-") || folder.is_some() {
            eprintln!("raft log: what is {}?\n\n{HELP}", arg.display());
            return ExitCode::from(2);
        } else {
            folder = Some(PathBuf::from(arg));
        }
    }
    match folder {
        Some(folder) => show::<C>(&folder, verify),
        None => {
            eprintln!("raft log: which folder?\n\n{HELP}");
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
