//! `raft log`: prints or checks the folder of a node.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::{print, usage_error};
use crate::flags::{self, Flag, Parsed};
use crate::kv;
use crate::node::{NOT_A_FOLDER, read_machine};
use crate::sessions::Command;
use crate::stdio::{Waiting, print_error};
use crate::storage::disk::real::Real;
use crate::storage::{ErrorKind, Verdict, check};

/// The command line of `raft log`.
const LOG: flags::Command = flags::Command::new(
    "raft log",
    "\
Prints the log and the snapshots of a node's folder: that of one node, inside --data-dir and
with the node's name. It changes nothing. The node must not be running; if it is started
meanwhile, it does not wait for this command, whose status is then 5.

Exit status:
  0  the folder is sound
  1  a node would refuse the folder: it is damaged, incomplete or another node's
  2  the command line is wrong
  3  a crash tore the end of the log: the next start of the node cuts it, and nothing in it was
     acknowledged
  4  a newer version of this program wrote the folder or a part of it
  5  nothing is known: the folder is not a node's, or a node uses it, or it cannot be read, or
     stdout cannot be written to
A reader that closes the pipe, such as head, changes nothing: all is checked.",
    &[Flag::switch(
        "verify",
        "Checks everything, but prints only one line per file.",
    )],
)
.arguments("DIR");

/// Runs `raft log` with the arguments after these words.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = LOG.parse(arguments).and_then(|parsed| {
        parsed.try_map(|given| {
            let folder = PathBuf::from(given.argument("folder")?);
            Ok((folder, given.is_set("verify")))
        })
    });
    match parsed {
        Ok(Parsed::Run((folder, verify))) => show(&folder, verify),
        Ok(Parsed::Print(text)) => print(&text),
        Err(error) => usage_error(LOG.name, &error),
    }
}

pub(super) const REFUSED: u8 = 1;
const TORN: u8 = 3;
const NEWER: u8 = 4;
pub(super) const UNKNOWN: u8 = 5;

fn show(folder: &Path, verify: bool) -> ExitCode {
    ExitCode::from(try_show(folder, verify).unwrap_or_else(|(status, reason)| {
        print_error(format_args!("raft log: {reason}"));
        status
    }))
}

/// Returns the exit status, or one with its reason.
fn try_show(folder: &Path, verify: bool) -> Result<u8, (u8, String)> {
    let path = folder.display();
    let disk = Real::read_only(folder)
        .map_err(|error| (UNKNOWN, format!("cannot open {path}: {error}")))?;
    let mut out = BufWriter::new(Waiting(io::stdout().lock()));
    let unwritable = |error| (UNKNOWN, format!("cannot write to stdout: {error}"));
    let checked = check::<Command<kv::Command>>(Arc::new(disk), !verify, &mut out, |snapshot| {
        read_machine(&snapshot.machine).map(drop)
    });
    let checked = checked.map_err(unwritable)?;
    let (status, verdict) = match checked {
        Ok(Verdict::Sound) => (0, "sound".to_owned()),
        Ok(Verdict::Torn(bytes)) => (
            TORN,
            format!("torn: the next start cuts {bytes} bytes, none of which was acknowledged"),
        ),
        Ok(Verdict::New) => return Err((UNKNOWN, format!("{path}: {NOT_A_FOLDER}"))),
        Err(error) => return Err((status_of(error.kind()), error.to_string())),
    };
    match writeln!(out, "{verdict}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(error)),
        Ok(()) | Err(_) => Ok(status),
    }
}

pub(super) fn status_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Foreign | ErrorKind::Damaged | ErrorKind::Missing => REFUSED,
        ErrorKind::Newer => NEWER,
        ErrorKind::Disk
        | ErrorKind::Full
        | ErrorKind::Locked
        | ErrorKind::TooLarge
        | ErrorKind::Impossible
        | ErrorKind::Stopped => UNKNOWN,
    }
}
