//! Ends a run early, but with its results, on Ctrl-C (SIGINT) and SIGTERM.
//!
//! The standard library cannot catch a signal, but a shell can. So the process that the user
//! starts makes the run in a child, in a process group of its own, and itself becomes a shell that
//! waits for the child. Both share a socket, which is their standard input: the shell writes a line
//! when it catches signals and one when a signal comes, the child writes its exit status, and either
//! notices if the other ends. A
//! second signal kills the child. A signal that was ignored from the start stays ignored.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::error::BenchError;
use super::processes::process::spawn;
use crate::check::Status;

/// Set for a child, which begins its run when a line comes on its standard input, and ends it when
/// another byte comes or the input ends.
pub const CHILD: &str = "STDRAFT_BENCH_CHILD";

const SCRIPT: &str = r#"
child=$1 stops=0
stop() {
  stops=$((stops + 1))
  if [ "$stops" -gt 1 ]; then
    kill -s KILL "$child"
    exit 130
  fi
  echo stop >&0
}
trap '' PIPE
trap stop INT TERM
echo ready >&0
while :; do
  before=$stops
  read -r status && exit "$status"
  # Without a signal in between, the child has ended before it could say its status.
  [ "$stops" != "$before" ] || exit 255
done
"#;

/// Whether this process is a child, which makes the run.
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// In a child, returns once signals are caught. Otherwise makes a child with these arguments, and
/// becomes the shell that waits for it.
///
/// # Errors
/// It cannot do that.
pub fn supervise(subcommand: &str, arguments: &[OsString]) -> Result<(), BenchError> {
    if is_child() {
        // The end of the input means that the run is to end, as watch() will notice.
        let _ = io::stdin().read_line(&mut String::new());
        return Ok(());
    }
    let supervise = || -> io::Result<io::Error> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(typed) = std::env::args_os().next() {
            command.arg0(typed);
        }
        let child = command
            .arg(subcommand)
            .args(arguments)
            .env(CHILD, "1")
            .process_group(0)
            .stdin(OwnedFd::from(theirs))
            .spawn()?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "maelstrom-tests"]);
        shell.arg(child.id().to_string());
        Ok(shell.stdin(OwnedFd::from(ours)).exec())
    };
    let error = supervise().unwrap_or_else(|error| error);
    Err(BenchError::new(format!(
        "cannot start the run with sh: {error}"
    )))
}

/// Calls `stop` when this child's run is to end.
///
/// # Errors
/// The system cannot start a thread.
pub fn watch(stop: impl FnOnce() + Send + 'static) -> Result<(), BenchError> {
    let watch = || {
        // The end of the input and an error of it mean the same as a byte.
        let _ = io::stdin().read(&mut [0]);
        stop();
    };
    spawn("signals".to_owned(), watch).map_err(BenchError::io("cannot start a thread"))
}

/// Tells the shell the exit status, after everything has been printed.
pub fn report(status: Status) {
    let socket = io::stdin().as_fd().try_clone_to_owned();
    if let Ok(socket) = socket.map(UnixStream::from)
        && is_child()
    {
        // The input of a child of `--runs` is a pipe, and its shell may be gone.
        let _ = writeln!(&socket, "{}", status.code());
    }
}
