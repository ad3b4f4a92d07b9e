//! Pauses and kills nodes, and ensures that no node outlives the bench.
//!
//! The standard library can kill a child but send it no other signal, so a shell's `kill` does it:
//! one `sh` that reads orders from its standard input. When that input ends, because the run is
//! over or the bench died, the shell kills every node that it guards. The shell and each node have
//! a process group of their own, so that Ctrl-C at the terminal ends the bench alone. Signals go to
//! a node's whole group, so that they also reach the children of a script.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use raft::stdio::print_error;

use crate::bench::error::BenchError;

const SCRIPT: &str = r#"
groups=
while read -r verb group; do
  case $verb in
    add) groups="$groups $group" ;;
    end)
      kill -s KILL -- "-$group"
      rest=
      for other in $groups; do
        [ "$other" = "$group" ] || rest="$rest $other"
      done
      groups=$rest
      ;;
    *) kill -s "$verb" -- "-$group" ;;
  esac
done
for group in $groups; do
  kill -s CONT -- "-$group"
  kill -s KILL -- "-$group"
done
"#;

/// The shell and the pipe to it. Dropping it kills all nodes that it guards, and waits until they
/// are killed.
#[derive(Debug)]
pub struct Watchdog {
    shell: Child,
    orders: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts the shell.
    ///
    /// # Errors
    /// `sh` cannot be started.
    pub fn start() -> Result<Watchdog, BenchError> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(BenchError::io("cannot start sh"))?;
        let orders = shell.stdin.take();
        Ok(Watchdog { shell, orders })
    }

    /// Guards a process group, named by its leader's process id.
    ///
    /// # Errors
    /// The shell has ended.
    pub fn guard(&mut self, group: u32) -> Result<(), BenchError> {
        self.order("add", group)
    }

    /// Pauses a group (SIGSTOP).
    ///
    /// # Errors
    /// The shell has ended.
    pub fn pause(&mut self, group: u32) -> Result<(), BenchError> {
        self.order("STOP", group)
    }

    /// Resumes a group (SIGCONT).
    ///
    /// # Errors
    /// The shell has ended.
    pub fn resume(&mut self, group: u32) -> Result<(), BenchError> {
        self.order("CONT", group)
    }

    /// Kills a group (SIGKILL), paused or not, and forgets it, since the system may reuse its
    /// number.
    ///
    /// # Errors
    /// The shell has ended.
    pub fn kill(&mut self, group: u32) -> Result<(), BenchError> {
        self.order("end", group)
    }

    fn order(&mut self, verb: &str, group: u32) -> Result<(), BenchError> {
        let orders = self.orders.as_mut().expect("it is open until the end");
        let order = format!("{verb} {group}\n");
        let ordered = orders.write_all(order.as_bytes());
        ordered.map_err(BenchError::io("the watchdog shell has ended"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.orders = None;
        if let Err(error) = self.shell.wait() {
            print_error(format_args!("cannot wait for the watchdog shell: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const SIGKILL: i32 = 9;

    fn sleeper() -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").process_group(0);
        command.spawn().expect("there is a sleep")
    }

    #[test]
    fn dropping_kills_guarded_groups_even_if_paused() {
        let mut watchdog = Watchdog::start().expect("there is a shell");
        let mut sleepers = [sleeper(), sleeper()];
        for sleeper in &sleepers {
            watchdog.guard(sleeper.id()).expect("the shell lives");
        }
        watchdog.pause(sleepers[0].id()).expect("the shell lives");
        drop(watchdog);
        for sleeper in &mut sleepers {
            let status = sleeper.wait().expect("it has ended");
            assert_eq!(status.signal(), Some(SIGKILL));
        }
    }

    #[test]
    fn a_killed_group_is_forgotten() {
        let mut watchdog = Watchdog::start().expect("there is a shell");
        let mut sleepers = [sleeper(), sleeper(), sleeper()];
        for sleeper in &sleepers {
            watchdog.guard(sleeper.id()).expect("the shell lives");
        }
        watchdog.pause(sleepers[1].id()).expect("the shell lives");
        watchdog.kill(sleepers[1].id()).expect("the shell lives");
        let status = sleepers[1].wait().expect("it has ended");
        assert_eq!(status.signal(), Some(SIGKILL));
        for at in [0, 2] {
            assert_eq!(sleepers[at].try_wait().expect("a child"), None);
        }
        drop(watchdog);
        for at in [0, 2] {
            let status = sleepers[at].wait().expect("it has ended");
            assert_eq!(status.signal(), Some(SIGKILL));
        }
    }

    #[test]
    fn a_dead_shell_is_an_error() {
        let mut watchdog = Watchdog::start().expect("there is a shell");
        watchdog.shell.kill().expect("it can be killed");
        watchdog.shell.wait().expect("it ends");
        // A process that another test is just starting may hold the other end of the pipe, until it
        // runs its own program.
        while watchdog.pause(u32::MAX).is_ok() {
            std::thread::yield_now();
        }
    }
}
