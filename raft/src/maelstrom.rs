//! A node on stdin and stdout, as Maelstrom runs one.
//!
//! Four threads: one reads lines and turns them into what the event loop takes ([`crate::host`]),
//! one runs the loop, one writes, one stores snapshots. A fifth serves metrics.
//!
//! | what comes in | what becomes of it |
//! |---|---|
//! | a request of a client, or of a node that acts as one | answered, once |
//! | a body that is no request | answered with error 12, or 10 if its type is unknown |
//! | a message of a peer ([`crate::wire`]) | goes to the core |
//! | anything else: no JSON, too long, to or from somebody else | dropped, counted, said on stderr |
//!
//! A client's line may be [`MAX_LINE`] bytes long and [`MAX_DEPTH`] deep, a peer's
//! [`crate::wire::MAX_LINE`] and [`crate::wire::MAX_DEPTH`]. A client is told what it exceeded, up
//! to the limits of lines as such: a line longer than any peer's is never held in memory, and one
//! deeper than [`json::MAX_DEPTH`] counts as no JSON. A name may be [`names::MAX_NAME`] bytes long.
//!
//! Nodes are initialised one by one, and a message to one that is not there yet makes Maelstrom
//! deaf to its sender. So what comes before `init` waits, and nothing is said to peers for a while
//! after it; see `--settle` in [`args::NODE`].

pub mod args;
mod body;
mod ends;
mod init;
mod intake;
mod lines;
pub mod names;
mod store;
mod voice;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fmt, panic};

use metrics::http;
use raft_core::{Config, Incarnation, Replica, Restored};

pub use self::args::NODE;
use self::args::{Metrics, Options};
use self::body::{Code, Kind, Reply};
pub use self::body::{MAX_DEPTH, MAX_LINE};
use self::ends::Ends;
use self::init::Init;
use self::intake::Intake;
use self::lines::Lines;
use self::store::{Refusal, Store};
use self::voice::{OK, Reason, Said, Voice};
use crate::cell::cell;
use crate::flags::{Parsed, UsageError};
use crate::host::{Archive, Failure, Host, Inbox, Outbox, TICK};
use crate::telemetry::log::Log;
use crate::telemetry::{Labels, Telemetry};
use crate::{entropy, storage, wire};

/// The environment variable that says where to keep the data if `--data-dir` does not.
pub const DATA_DIR: &str = "STDRAFT_DATA_DIR";

/// Runs a node on stdin and stdout until the end of input. `args` are the command line's, without
/// the program's name. Without `--data-dir`, [`DATA_DIR`] counts.
///
/// From here on any panic ends the process: a node that has broken its own rules must not go on
/// answering. So does a stdout that nobody reads any more.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    abort_on_panic();
    let options = match args::parse(args) {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Print(text)) => return print(&text),
        Err(error) => return usage_error(&error),
    };
    let log = Log::new(options.log);
    match run(options, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            log.error(stop);
            ExitCode::FAILURE
        }
    }
}

/// Reports a mistake in the command line.
pub fn usage_error(error: &UsageError) -> ExitCode {
    // If stderr is closed too, the status still tells.
    let _ = writeln!(io::stderr(), "raft: {error}\nSee raft --help.");
    ExitCode::from(2)
}

/// Why a node had to stop.
#[derive(Debug)]
enum Stop {
    Stdin(io::Error),
    Stdout(io::Error),
    Thread(io::Error),
    Metrics {
        place: String,
        error: io::Error,
    },
    Port {
        port: u16,
        position: usize,
    },
    /// What is in the data folder can't be used.
    Refused(Refusal),
    /// The log can't be written any more.
    Log(storage::Error),
    /// Snapshots can't be written or read any more.
    Snapshots(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin(error) => write!(f, "cannot read stdin: {error}"),
            Self::Stdout(error) => write!(f, "cannot write to stdout: {error}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
            Self::Metrics { place, error } => {
                write!(f, "cannot serve metrics at {place}: {error}")
            }
            Self::Port { port, position } => {
                write!(
                    f,
                    "cannot serve metrics: there is no port {port} + {position}"
                )
            }
            Self::Refused(refusal) => write!(f, "cannot start: {refusal}"),
            Self::Log(error) => write!(f, "stopped, since the log can't be stored: {error}"),
            Self::Snapshots(error) => write!(f, "stopped, because of a snapshot: {error}"),
        }
    }
}

fn run(options: Options, log: Log) -> Result<(), Stop> {
    let Options {
        config,
        settle,
        metrics,
        log: _,
        data,
    } = options;
    let data = data.or_else(|| {
        let named = env::var_os(DATA_DIR).filter(|path| !path.is_empty())?;
        Some(PathBuf::from(named))
    });
    if data.is_none() {
        log.warn(
            "the state is in memory only: if this node is killed it must not come back \
             (--data-dir keeps the state on disk)",
        );
    }
    let voice = Voice {
        outbox: Arc::new(Outbox::default()),
        telemetry: Arc::new(telemetry()),
        log,
    };
    let writer = spawn_writer(voice.clone())?;
    // Where no name is needed to know the place, a place that is taken is found out at once.
    let mut server = match &metrics {
        Metrics::At { spread: true, .. } | Metrics::Off => None,
        Metrics::Default | Metrics::At { .. } => serve_metrics(&metrics, 0, &voice)?,
    };
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let stdin = stdin.map_err(Stop::Stdin)?;
    let mut lines = Lines::new(File::from(stdin), wire::MAX_LINE);

    let mut refused = None;
    if let Some(init) = init::wait(&mut lines, &voice).map_err(Stop::Stdin)? {
        if server.is_none() {
            server = serve_metrics(&metrics, init.position, &voice)?;
        }
        let began = Instant::now();
        match store::open(data.as_deref(), &init.names, &voice.telemetry) {
            Ok(store) => {
                if data.is_some() {
                    recovered(&store, began.elapsed(), &voice.log);
                }
                host(init, store, lines, config, settle, &voice)?;
            }
            Err(refusal) => {
                let result = Err((refusal.code(), refusal.to_string()));
                voice.answer([(init.asker, result)]);
                init.early.refuse(&voice);
                refused = Some(Stop::Refused(refusal));
            }
        }
    }
    drop(server);
    voice.outbox.close();
    writer.join().expect("a panic ends the process");
    refused.map_or(Ok(()), Err)
}

/// Says what was found in the data folder.
fn recovered(store: &Store, took: Duration, log: &Log) {
    if store.torn > 0 {
        log.warn(format_args!(
            "cut {} bytes from the end of the log: a batch that was being written when the node \
             ended, and that nobody was told of",
            store.torn
        ));
    }
    log.info(format_args!(
        "recovered term {}, {} keys of a snapshot, and {} entries of the log, in {:.3} s",
        store.ballot.term(),
        store.machine.len(),
        store.entries.len(),
        took.as_secs_f64()
    ));
}

/// Runs the event loop until the end of input.
fn host(
    init: Init,
    store: Store,
    mut lines: Lines<File>,
    config: Config,
    settle: Duration,
    voice: &Voice,
) -> Result<(), Stop> {
    let Init {
        names,
        position: _,
        asker,
        early,
        discards,
    } = init;
    let Store {
        journal,
        snapshots,
        ballot,
        snapshot,
        machine,
        entries,
        torn: _,
    } = store;
    let (id, membership) = (names.my_id(), names.membership());
    let names = Arc::new(names);
    // Alone, there is nobody to wait for.
    let settle = if membership.is_lone_voter(id) {
        Duration::ZERO
    } else {
        settle
    };
    // A request that is never decided is given up at its deadline; then all is answered.
    let grace = settle + TICK * config.request_deadline().saturating_mul(2);
    let replica = Replica::restore(Restored {
        id,
        membership: membership.clone(),
        config,
        ballot,
        snapshot,
        machine,
        entries,
        // 53 bits: any reader of JSON keeps such an integer as it is.
        incarnation: Incarnation(entropy::random() >> 11),
        seed: entropy::random(),
    });
    let (stepper, viewer) = cell(replica);
    let inbox = Arc::new(Inbox::default());
    voice
        .telemetry
        .watch(viewer, inbox.clone(), voice.outbox.clone());

    let in_reply_to = asker.msg_id;
    voice.telemetry.received(asker.kind.as_str());
    voice.answer([(asker, Ok(Reply::InitOk { in_reply_to }))]);

    let mut intake = Intake {
        names: names.clone(),
        inbox: inbox.clone(),
        voice: voice.clone(),
        discards,
    };
    let reader = move || {
        if let Err(error) = intake.run(early, &mut lines) {
            intake.voice.log.error(Stop::Stdin(error));
        }
        // Whatever was taken is still finished.
        intake.inbox.close();
    };
    thread::Builder::new()
        .name("stdin".into())
        .spawn(reader)
        .map_err(Stop::Thread)?;
    let archive = Archive::start(snapshots, membership, inbox.clone()).map_err(Stop::Thread)?;
    let ends = Ends::new(names, voice.clone());
    Host::new(stepper, inbox, journal, archive, ends)
        .run(settle, grace)
        .map_err(|failure| match failure {
            Failure::Log(error) => Stop::Log(error),
            Failure::Snapshots(error) => Stop::Snapshots(error),
        })
}

/// Starts the thread that writes. If nobody reads any more it ends the process, since the other
/// threads may be waiting for input that never comes.
fn spawn_writer(voice: Voice) -> Result<JoinHandle<()>, Stop> {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = File::from(stdout.map_err(Stop::Stdout)?);
    let write = move || {
        let encode = |said: Said, buffer: &mut Vec<u8>| voice.encode(said, buffer);
        match voice.outbox.write_to(stdout, encode) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                voice.log.info("nobody reads stdout any more");
                process::exit(0);
            }
            Err(error) => {
                voice.log.error(Stop::Stdout(error));
                process::exit(1);
            }
        }
    };
    thread::Builder::new()
        .name("stdout".into())
        .spawn(write)
        .map_err(Stop::Thread)
}

fn telemetry() -> Telemetry {
    let requests = Kind::ALL.map(Kind::as_str);
    let results: Vec<&str> = [OK]
        .into_iter()
        .chain(Code::ALL.map(Code::as_str))
        .collect();
    let messages = [wire::KINDS, &requests, &Reply::ALL].concat();
    Telemetry::new(Labels {
        messages: &messages,
        requests: &requests,
        results: &results,
        reasons: &Reason::ALL.map(Reason::as_str),
    })
}

/// Serves metrics, if they are wanted.
fn serve_metrics(
    metrics: &Metrics,
    position: usize,
    voice: &Voice,
) -> Result<Option<http::Server>, Stop> {
    let (host, port, required) = match metrics {
        Metrics::Off => return Ok(None),
        Metrics::Default => ("127.0.0.1", 0, false),
        Metrics::At { host, port, spread } => {
            // No port is no place to count from: the system chooses one for each node.
            let offset = if *spread && *port != 0 { position } else { 0 };
            let place = u16::try_from(offset)
                .ok()
                .and_then(|offset| port.checked_add(offset));
            let port = place.ok_or(Stop::Port {
                port: *port,
                position: offset,
            })?;
            (host.as_str(), port, true)
        }
    };
    let server = TcpListener::bind((host, port))
        .and_then(|listener| http::serve(listener, voice.telemetry.registry()));
    match server {
        Ok(server) => {
            let address = server.address();
            voice
                .log
                .info(format_args!("metrics: http://{address}/metrics"));
            Ok(Some(server))
        }
        Err(error) if required => Err(Stop::Metrics {
            place: format!("{host}:{port}"),
            error,
        }),
        Err(error) => {
            voice.log.warn(format_args!("no metrics: {error}"));
            Ok(None)
        }
    }
}

fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        process::abort();
    }));
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            Log::new(crate::telemetry::log::Level::Error).error(Stop::Stdout(error));
            ExitCode::FAILURE
        }
    }
}
