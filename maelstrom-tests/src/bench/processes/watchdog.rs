//! Pauses and kills nodes, and sees to it that no node outlives the bench.
//!
//! The standard library can kill a child but send it no other signal, so a shell's `kill` does it:
//! one `sh` that reads orders from its standard input. When that input ends, because the run is
//! over or because the bench died, however it died, the shell wakes and kills every node that it
//! was told of. It lives in a process group of its own, so a Ctrl-C at the terminal ends the bench
//! and not the one who cleans up after it; so do the nodes, each in its own, and signals
//! go to the whole group, so that a node which is a script with children is paused and killed as a
//! whole.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

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

/// The shell and the pipe to it. Dropped, it kills all the nodes that it knows, and waits until
/// they are killed.
#[derive(Debug)]
pub struct Watchdog {
    shell: Child,
    orders: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts the shell.
    ///
    /// # Errors
    /// There is no `sh`, or no more processes may be started.
    pub fn start() -> io::Result<Watchdog> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let orders = shell.stdin.take();
        Ok(Watchdog { shell, orders })
    }

    /// Takes charge of a process group, named by its leader's process id.
    ///
    /// # Errors
    /// The shell is gone.
    pub fn guard(&mut self, group: u32) -> io::Result<()> {
        self.order("add", group)
    }

    /// Stops a group where it stands (SIGSTOP).
    ///
    /// # Errors
    /// The shell is gone.
    pub fn pause(&mut self, group: u32) -> io::Result<()> {
        self.order("STOP", group)
    }

    /// Lets a group go on (SIGCONT).
    ///
    /// # Errors
    /// The shell is gone.
    pub fn resume(&mut self, group: u32) -> io::Result<()> {
        self.order("CONT", group)
    }

    /// Kills a group (SIGKILL), paused or not, and forgets it: its number may be another's one day.
    ///
    /// # Errors
    /// The shell is gone.
    pub fn kill(&mut self, group: u32) -> io::Result<()> {
        self.order("end", group)
    }

    fn order(&mut self, verb: &str, group: u32) -> io::Result<()> {
        match &mut self.orders {
            Some(orders) => orders.write_all(format!("{verb} {group}\n").as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.orders = None;
        if let Err(error) = self.shell.wait() {
            eprintln!("the shell that kills the nodes can't be waited for: {error}");
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
    fn whom_it_guards_dies_with_it_even_when_paused() {
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
    fn whom_it_kills_it_forgets() {
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
        assert!(watchdog.pause(u32::MAX).is_err());
    }
}
