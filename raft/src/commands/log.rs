//! `raft log`: prints or checks the folder of a node.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::Failure;
use crate::flags::{self, Flag};
use crate::kv;
use crate::node::{NOT_A_FOLDER, read_machine};
use crate::sessions::Command;
use crate::stdio::Waiting;
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
    &[Flag::new(
        "--verify",
        "Checks everything, but prints only one line per file.",
    )],
)
.arguments("DIR");

/// Runs `raft log` with the arguments after these words.
pub(super) fn main(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let given = LOG.parse(arguments)?;
    let folder = Path::new(given.argument("folder")?);
    show(folder, given.is_set("verify")).map(ExitCode::from)
}

pub(super) const REFUSED: u8 = 1;
const TORN: u8 = 3;
const NEWER: u8 = 4;
pub(super) const UNKNOWN: u8 = 5;

/// Returns the exit status.
fn show(folder: &Path, verify: bool) -> Result<u8, Failure> {
    let path = folder.display();
    let unknown = |what: String| Failure::Status(UNKNOWN, what);
    let disk =
        Real::read_only(folder).map_err(|error| unknown(format!("cannot open {path}: {error}")))?;
    let mut out = BufWriter::new(Waiting(io::stdout().lock()));
    let unwritable = |error| unknown(format!("cannot write to stdout: {error}"));
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
        Ok(Verdict::New) => return Err(unknown(format!("{path}: {NOT_A_FOLDER}"))),
        Err(error) => return Err(Failure::Status(status_of(error.kind()), error.to_string())),
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
