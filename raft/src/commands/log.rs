//! `raft log`: prints or checks the folder of a node.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::{print, usage_error};
use crate::flags::{Command, Flag, Parsed};
use crate::kv;
use crate::storage::disk::real::Real;
use crate::storage::{Verdict, check};

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

fn show(folder: &Path, verify: bool) -> ExitCode {
    let fail = |reason: String| {
        eprintln!("raft log: {reason}");
        ExitCode::FAILURE
    };
    let disk = match Real::read_only(folder) {
        Ok(disk) => disk,
        Err(error) => return fail(format!("cannot open {}: {error}", folder.display())),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let checked = check::<kv::Command>(Arc::new(disk), !verify, &mut out);
    let checked = checked.and_then(|verdict| out.flush().map(|()| verdict));
    drop(out);
    match checked {
        Ok(Ok(Verdict::Sound)) => print("sound\n"),
        Ok(Ok(Verdict::Torn(bytes))) => {
            print(&format!(
                "torn: the next start cuts {bytes} bytes, none of which was acknowledged\n"
            ));
            ExitCode::from(3)
        }
        Ok(Ok(Verdict::New)) => fail(format!(
            "{}: not a node's folder: each node has its own, inside --data-dir",
            folder.display()
        )),
        Ok(Err(error)) => fail(error.to_string()),
        Err(error) => fail(format!("cannot write to stdout: {error}")),
    }
}
