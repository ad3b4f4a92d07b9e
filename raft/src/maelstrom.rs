//! A node on stdin and stdout, as Maelstrom runs one.
//!
//! Five threads: one reads lines and passes them to the event loop ([`crate::host`]), one runs the
//! loop, one writes, one stores snapshots, one serves metrics.
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
//! and one deeper than [`json::MAX_DEPTH`] counts as not JSON. A name may have [`names::MAX_NAME`]
//! bytes.
//!
//! Maelstrom initialises nodes one by one, and no longer delivers the messages of a node that wrote
//! to one that had not started yet. So lines that arrive before `init` wait, and a node sends
//! nothing to peers for a while after it: see `--settle`.

mod front_end;
mod init;
mod input;
mod lines;
pub mod names;
mod output;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use self::front_end::MaelstromFrontEnd;
use self::init::Init;
use self::input::Input;
use self::lines::Lines;
use self::output::{DropReason, OK, Output, OutputLine};
use crate::host::{Inbox, Outbox};
use crate::node::{self, Member, Node, Options, StopReason};
use crate::requests::{ErrorCode, Reply, RequestKind};
pub use crate::requests::{MAX_DEPTH, MAX_LINE};
use crate::telemetry::log::Log;
use crate::telemetry::{Labels, Telemetry};
use crate::wire;

/// Runs a node on stdin and stdout until the end of input. A closed stdout ends the process.
///
/// # Errors
/// The node had to stop.
pub(crate) fn run(options: &Options, log: Log) -> Result<(), StopReason> {
    if options.data.is_none() {
        log.warn(
            "the state is in memory only: do not restart this node if it is killed \
             (--data-dir keeps the state on disk)",
        );
    }
    if io::stdin().is_terminal() {
        log.info("reading Maelstrom messages from the terminal; see raft --help");
    }
    let output = Output {
        outbox: Arc::new(Outbox::default()),
        telemetry: Arc::new(telemetry()),
        log,
    };
    let writer = spawn_writer(output.clone())?;
    let ran = serve(options, &output);
    output.outbox.close();
    writer.join().expect("a panic ends the process");
    ran
}

/// Waits for `init`, and runs the node that it names.
fn serve(options: &Options, output: &Output) -> Result<(), StopReason> {
    let Output {
        outbox,
        telemetry,
        log,
    } = output;
    // An address that does not depend on the node's name is bound before init, to fail early.
    let mut server = match options.metrics.depends_on_position() {
        true => None,
        false => node::serve_metrics(&options.metrics, 0, telemetry, *log)?,
    };
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let stdin = stdin.map_err(StopReason::io("cannot read stdin"))?;
    let mut lines = Lines::new(File::from(stdin), wire::MAX_LINE);
    let init = init::wait(&mut lines, output).map_err(StopReason::io("cannot read stdin"))?;
    let Some(init) = init else {
        return Ok(());
    };
    let Init {
        names,
        position,
        reply_to,
        early,
        dropped,
    } = init;
    if server.is_none() {
        server = node::serve_metrics(&options.metrics, position, telemetry, *log)?;
    }
    let member = Member {
        id: names.my_id(),
        name: names.me(),
        names: names.all().collect(),
    };
    let inbox = Arc::new(Inbox::default());
    let node = match Node::open(options, &member, &inbox, telemetry, *log) {
        Ok(node) => node,
        Err(error) => {
            let code = match error.is_foreign() {
                true => ErrorCode::PreconditionFailed,
                false => ErrorCode::Abort,
            };
            output.answer([(reply_to, Err((code, error.to_string())))]);
            early.refuse(output);
            return Err(error);
        }
    };
    telemetry.watch_outbox(outbox.clone());
    let in_reply_to = reply_to.msg_id;
    telemetry.received(reply_to.kind.as_str());
    output.answer([(reply_to, Ok(Reply::InitOk { in_reply_to }))]);

    let names = Arc::new(names);
    let mut input = Input {
        names: names.clone(),
        inbox,
        output: output.clone(),
        dropped,
    };
    let read = move || {
        if let Err(error) = input.run(early, &mut lines) {
            let log = input.output.log;
            log.error(StopReason::io("cannot read stdin")(error));
        }
        // The node still finishes the requests that it has taken.
        input.inbox.close();
    };
    let reader = thread::Builder::new().name("stdin".into()).spawn(read);
    reader.map_err(StopReason::io("cannot start a thread"))?;
    let ran = node.run(MaelstromFrontEnd::new(names, output.clone()));
    drop(server);
    ran
}

/// Starts the writer thread. If stdout is closed it ends the process, since the other threads may
/// wait for input that never arrives.
fn spawn_writer(output: Output) -> Result<JoinHandle<()>, StopReason> {
    let cannot_write = StopReason::io("cannot write to stdout");
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = File::from(stdout.map_err(cannot_write)?);
    let write = move || {
        let encode = |line: OutputLine, buffer: &mut Vec<u8>| output.encode(line, buffer);
        match output.outbox.write_to(stdout, encode) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                output.log.info("stdout is closed; the node ends");
                process::exit(0);
            }
            Err(error) => {
                output
                    .log
                    .error(StopReason::io("cannot write to stdout")(error));
                process::exit(1);
            }
        }
    };
    let writer = thread::Builder::new().name("stdout".into()).spawn(write);
    writer.map_err(StopReason::io("cannot start a thread"))
}

/// The metrics, with the labels of this front end.
fn telemetry() -> Telemetry {
    let requests = RequestKind::ALL.map(RequestKind::as_str);
    let codes = ErrorCode::ALL.map(ErrorCode::as_str);
    Telemetry::new(Labels {
        messages: &[wire::KINDS, &requests, &Reply::ALL].concat(),
        requests: &requests,
        results: &[&[OK], &codes[..]].concat(),
        reasons: &DropReason::ALL.map(DropReason::as_str),
    })
}
