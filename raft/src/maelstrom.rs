//! A node on stdin and stdout, as Maelstrom runs one.
//!
//! Threads: one reads lines and passes them to the event loop ([`crate::host`]), one runs the loop,
//! one writes, one stores the log, one stores snapshots, one writes log lines, some serve metrics.
//!
//! | input line | effect |
//! |---|---|
//! | a request of a client, or of a node that acts as one | answered once |
//! | a body that is not a valid request | answered with error 12, or 10 if its type is unknown |
//! | a message of a peer ([`crate::wire`]) | goes to the core |
//! | anything else: not JSON, too long, unknown sender or receiver | dropped, counted, logged |
//!
//! A client's line may have [`MAX_LINE`] bytes and nest [`MAX_DEPTH`] deep, a peer's
//! [`crate::wire::MAX_LINE`] and [`crate::wire::MAX_DEPTH`]. A client that exceeds its limits gets
//! an error up to the limits of all lines: a line longer than any peer's is never held in memory,
//! and one deeper than [`json::MAX_DEPTH`] counts as not JSON. A name may have [`node::address::MAX_NAME`]
//! bytes.
//!
//! Maelstrom initialises nodes one by one, and no longer delivers the messages of a node that wrote
//! to one that had not started yet. So lines that arrive before `init` wait, and a node sends
//! nothing to peers for a while after it: see `--settle`.

mod init;
mod input;
mod waiting;

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::fd::AsFd;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use self::init::Init;
use self::input::Reader;
use crate::front_end::{Input, Lane, NodeFrontEnd, Output, OutputLine, Replies, Routes};
use crate::host::{Inbox, Outbox};
use crate::lines::Lines;
use crate::node::{self, Node, Options, StopReason};
use crate::requests::{ErrorCode, Reply};
pub use crate::requests::{MAX_DEPTH, MAX_LINE};
use crate::stdio::Waiting;
use crate::telemetry::log::Log;
use crate::wire;

/// How long a node that stops because of an error waits until stdout has taken what is queued.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Runs a node on stdin and stdout until the end of input. An error of stdout ends the process.
///
/// # Errors
/// The node had to stop.
pub(crate) fn run(options: &Options, log: &Log) -> Result<(), StopReason> {
    if options.data.is_none() {
        log.warn(
            "the state is in memory only: do not restart this node if it is killed \
             (--data-dir keeps the state on disk)",
        );
    }
    if io::stdin().is_terminal() {
        log.info("waiting for Maelstrom's messages on stdin; raft --help lists the commands");
    }
    let output = Output::new(log);
    let replies = Arc::new(Replies(Arc::default()));
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = stdout.map_err(StopReason::io(STDOUT))?;
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let stdin = stdin.map_err(StopReason::io(STDIN))?;

    let writer = Writer::start(
        output.clone(),
        replies.0.clone(),
        Waiting(File::from(stdout)),
    )?;
    let ran = serve(options, &output, &replies, Waiting(File::from(stdin)));
    if !writer.end(&replies, LAST_ANSWERS) {
        if ran.is_err() {
            log.warn("the last messages are lost: stdout is not read");
        } else {
            log.warn("the node ends as soon as stdout is read");
            writer.end(&replies, Duration::MAX);
        }
    }
    ran
}

const STDIN: &str = "cannot read stdin";
const STDOUT: &str = "cannot write to stdout";

/// Waits for `init` on `stdin`, and runs the node that it names.
fn serve(
    options: &Options,
    output: &Output,
    stdout: &Arc<Replies>,
    stdin: impl Read + Send + 'static,
) -> Result<(), StopReason> {
    let (telemetry, log) = (&output.telemetry, &output.log);
    // An address that does not depend on the node's name is bound before init, to fail early.
    let mut server = match options.metrics.depends_on_position() {
        true => None,
        false => node::serve_metrics(options, 0, telemetry, log)?,
    };
    let mut lines = Lines::new(stdin, wire::MAX_LINE);
    let init = init::wait(&mut lines, output, stdout).map_err(StopReason::io(STDIN))?;
    let Some(init) = init else {
        return Ok(());
    };
    let Init {
        member,
        position,
        reply_to,
        mut early,
    } = init;
    if server.is_none() {
        server = node::serve_metrics(options, position, telemetry, log)?;
    }
    let inbox = Arc::new(Inbox::default());
    let open = |joined| Node::open(options, &member, joined, &inbox, telemetry, log);
    let node = match open(None) {
        Ok(node) => node,
        Err(error) => {
            let codes = [ErrorCode::Abort, ErrorCode::PreconditionFailed];
            let code = codes[usize::from(error.is_foreign())];
            output.answer([(reply_to, Err((code, error.to_string())))]);
            early.refuse(output);
            return Err(error);
        }
    };
    let outbox = stdout.0.clone();
    telemetry.watch_outbox(move || outbox.depths());
    let in_reply_to = reply_to.msg_id;
    telemetry.received(reply_to.kind);
    output.answer([(reply_to, Ok(Reply::InitOk { in_reply_to }))]);

    let node = match node {
        Some(node) => node,
        None => {
            let waited = waiting::wait(&mut early, &mut lines, &member, output, stdout);
            let Some(id) = waited.map_err(StopReason::io(STDIN))? else {
                return Ok(());
            };
            open(Some(id))?.expect("it has an id now")
        }
    };
    let input = Input::new(member, &node, output.clone());
    let me = input.me.clone();
    let reader = Reader {
        input,
        stdout: stdout.clone(),
    };
    let read = move || {
        let read = reader.run(early, &mut lines);
        // The node still finishes the requests that it has taken.
        inbox.close();
        read.map_err(StopReason::io(STDIN))
    };
    let reader = thread::Builder::new().name("stdin".into()).spawn(read);
    let reader = reader.map_err(StopReason::io("cannot start a thread"))?;
    let front_end = NodeFrontEnd::new(me, ToStdout(stdout.0.clone()), output.clone());
    let ran = node.run(front_end);
    drop(server);
    ran?;
    // Without an error the node runs until the reader closes the inbox.
    reader.join().expect("a panic ends the process")
}

/// All messages go to stdout.
#[derive(Clone, Debug)]
struct ToStdout(Arc<Outbox<OutputLine>>);

impl Routes for ToStdout {
    fn outbox(&self, _: &Arc<str>, _: Lane) -> Option<Arc<Outbox<OutputLine>>> {
        Some(self.0.clone())
    }

    fn observe(&self) {}
}

/// The thread that writes to stdout.
struct Writer {
    /// Disconnected when the thread has ended.
    ended: Receiver<Infallible>,
}

impl Writer {
    /// Starts the thread. If stdout fails, the thread ends the process, since the other threads may
    /// wait for input that never arrives.
    fn start(
        output: Output,
        outbox: Arc<Outbox<OutputLine>>,
        stdout: impl Write + Send + 'static,
    ) -> Result<Self, StopReason> {
        let (ends, ended) = mpsc::channel();
        let write = move || {
            if let Err(error) = output.write(&outbox, stdout) {
                output.log.error(StopReason::io(STDOUT)(error));
                output.log.finish();
                process::exit(1);
            }
            drop(ends);
        };
        let thread = thread::Builder::new().name("stdout".into()).spawn(write);
        thread.map_err(StopReason::io("cannot start a thread"))?;
        Ok(Self { ended })
    }

    /// Closes the outbox, and waits for this long until everything in it is written. Returns
    /// whether it is.
    fn end(&self, replies: &Replies, limit: Duration) -> bool {
        replies.0.close();
        self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::flags::Command;
    use crate::node::options::FLAGS;
    use crate::telemetry::log::Level;

    pub(super) fn output() -> (Output, Arc<Replies>) {
        let output = Output::new(&Log::new(Level::Error));
        (output, Arc::new(Replies(Arc::default())))
    }

    fn options() -> Options {
        let parsed = Command::new("node", "", FLAGS).parse(["--metrics=off".into()]);
        let options = parsed.and_then(|given| Options::from_given(&given));
        options.unwrap()
    }

    const INIT: &str = r#"{"src":"c1","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}}"#;

    /// A source that fails.
    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn read_error_stops_the_node() {
        for before in [String::new(), format!("{INIT}\n")] {
            let stdin = io::Cursor::new(before).chain(Broken);
            let (output, stdout) = output();
            let reason = serve(&options(), &output, &stdout, stdin).unwrap_err();
            assert!(reason.to_string().starts_with(STDIN), "{reason}");
        }
    }

    #[test]
    fn end_of_input_is_no_error() {
        let (output, stdout) = output();
        serve(&options(), &output, &stdout, INIT.as_bytes()).unwrap();
    }

    /// A stdout that gives way to all other threads before it takes anything.
    #[derive(Clone, Default)]
    struct Late(Arc<Mutex<Vec<u8>>>);

    impl Write for Late {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            (0..1_000).for_each(|_| thread::yield_now());
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Only a hanging test waits this long.
    const HANG: Duration = Duration::from_secs(3600);

    #[test]
    fn answers_leave_before_the_node_ends() {
        let ((output, stdout), late) = (output(), Late::default());
        let writer = Writer::start(output.clone(), stdout.0.clone(), late.clone()).unwrap();
        let stdin = io::Cursor::new(format!("{INIT}\n")).chain(Broken);
        serve(&options(), &output, &stdout, stdin).unwrap_err();
        assert!(writer.end(&stdout, HANG));
        let written = String::from_utf8(late.0.lock().unwrap().clone()).unwrap();
        assert!(written.contains("init_ok"), "{written}");
    }

    #[test]
    fn blocked_stdout_does_not_hold_a_node_that_stops() {
        /// Takes nothing until the test ends.
        struct Blocked(Receiver<Infallible>);

        impl Write for Blocked {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let (output, stdout) = output();
        let (test, blocked) = mpsc::channel();
        let writer = Writer::start(output.clone(), stdout.0.clone(), Blocked(blocked)).unwrap();
        serve(&options(), &output, &stdout, INIT.as_bytes()).unwrap();
        assert!(!writer.end(&stdout, Duration::ZERO));
        drop(test);
        assert!(writer.end(&stdout, HANG));
    }
}
