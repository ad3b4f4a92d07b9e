//! The assembly of a node, for any transport: from options to a running event loop.
//!
//! A front end first learns which member of which cluster it serves, and then calls
//! [`Node::open`], which recovers the data folder and restores the replica, and [`Node::run`].
//! Between the two it starts the threads that fill the inbox.

pub mod address;
pub mod address_book;
mod data;
mod descriptors;
mod member;
pub mod options;
mod stop_reason;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::http::{self, Limits};
use raft_core::{NodeId, Payload, Replica};

use self::address_book::AddressBook;
pub use self::data::read_machine;
use self::data::{Data, NodeLog};
pub(crate) use self::data::{NOT_A_FOLDER, folder_name, read_folder, restore};
pub use self::member::Member;
pub use self::options::{Metrics, Options};
pub use self::stop_reason::StopReason;
use crate::host::shared::{Stepper, Viewer, share};
use crate::host::{self, FrontEnd, Host, Inbox, SnapshotThread, TICK};
use crate::kv::Kv;
use crate::sessions::{Client, Sessions};
use crate::storage::Cluster;
use crate::telemetry::Telemetry;
use crate::telemetry::log::Log;

/// A recovered node that does not run yet. `R` is what a front end needs to reply to a client.
#[derive(Debug)]
pub struct Node<R> {
    pub(crate) id: NodeId,
    pub(crate) cluster: Cluster,
    /// The addresses of the members and of others. The front end keeps it up to date.
    pub(crate) book: Arc<AddressBook>,
    stepper: Stepper<Sessions<Kv>>,
    pub(crate) viewer: Viewer<Sessions<Kv>>,
    pub(crate) inbox: Arc<Inbox<Sessions<Kv>, R>>,
    log: host::Log<Sessions<Kv>, NodeLog>,
    pub(crate) snapshots: SnapshotThread<Sessions<Kv>>,
    settle: Duration,
    grace: Duration,
}

impl<R: Send + 'static> Node<R> {
    /// Recovers the node's data and restores its replica. Metrics show it from now on. `None` if the
    /// node has no id yet: it is no initial member, its folder is empty, and `joined` does not tell
    /// with which id it was added.
    ///
    /// # Errors
    /// The data folder cannot be used, or a thread cannot be started.
    pub fn open(
        options: &Options,
        member: &Member,
        joined: Option<NodeId>,
        inbox: &Arc<Inbox<Sessions<Kv>, R>>,
        telemetry: &Arc<Telemetry>,
        log: &Log,
    ) -> Result<Option<Self>, StopReason> {
        let began = Instant::now();
        let Some(data) = data::open(options, member, joined, telemetry)? else {
            return Ok(None);
        };
        if options.data.is_some() {
            log_recovery(&data, began.elapsed(), log);
        }
        let restored = data.restored;
        let id = restored.id;
        let book = Arc::new(AddressBook::default());
        book.learn(&Arc::new(restored.membership.clone()));
        for entry in &restored.entries {
            if let Payload::Membership(members) = &entry.payload {
                book.learn(members);
            }
        }
        // A lone voter has no peers to wait for, and one that was added knows that its leader runs.
        let settle = match book.members().is_lone_voter(id) || joined.is_some() {
            true => Duration::ZERO,
            false => options.settle,
        };
        // By then every open request has reached its deadline and is answered.
        let grace = settle + TICK * restored.config.request_deadline.saturating_mul(2);
        let (stepper, viewer) = share(Replica::restore(restored));
        let persisted = stepper.persisted();
        let log = host::Log::new(options.data.is_some(), data.log, persisted);
        telemetry.watch(viewer.clone(), inbox.clone(), log.watch());
        let snapshots = SnapshotThread::start(data.snapshots, inbox.clone());
        let snapshots = snapshots.map_err(StopReason::io("cannot start a thread"))?;
        Ok(Some(Self {
            id,
            cluster: data.cluster,
            book,
            stepper,
            viewer,
            inbox: inbox.clone(),
            log,
            snapshots,
            settle,
            grace,
        }))
    }

    /// Runs the event loop until the inbox is closed and every request is answered.
    ///
    /// # Errors
    /// The log or a snapshot cannot be stored.
    pub fn run<F: FrontEnd<Sessions<Kv>, ReplyTo = R>>(
        self,
        front_end: F,
    ) -> Result<(), StopReason> {
        let host = Host::new(
            self.stepper,
            self.inbox,
            self.log,
            self.snapshots,
            front_end,
            Client::default(),
        );
        let ran = host.run(self.settle, self.grace);
        ran.map_err(|why| StopReason::new(format!("stopped because {why}")))
    }
}

/// Logs what was found in the data folder.
fn log_recovery(data: &Data, took: Duration, log: &Log) {
    if data.torn > 0 {
        log.warn(format_args!(
            "cut {} bytes from the end of the log: the node ended while it wrote them, and \
             acknowledged none of them",
            data.torn
        ));
    }
    log.info(format_args!(
        "recovered term {}; keys in the snapshot: {}; log entries: {}; took {:.3} s",
        data.restored.ballot.term(),
        data.restored.machine.machine().len(),
        data.restored.entries.len(),
        took.as_secs_f64()
    ));
}

/// The descriptors of the metrics endpoint besides its connections: one that listens, and one for a
/// connection that is accepted before an older one is closed.
const LISTENING: usize = 2;

/// How many descriptors can be opened beside those of the node and of its metrics, at most `most`.
///
/// # Errors
/// Too few files can be opened for those.
pub fn spare_descriptors(options: &Options, most: usize) -> Result<usize, StopReason> {
    let metrics = Limits::default().connections + LISTENING;
    let spare = descriptors::spare(options.data.is_some(), metrics + most);
    let spare = spare.map_err(StopReason::io("cannot start"))?;
    Ok(spare.saturating_sub(metrics))
}

/// Serves metrics as the options demand. `position` is the node's position among the nodes. Takes
/// as many connections as leave the node the file descriptors that it needs.
///
/// # Errors
/// The address is in the options and cannot be bound, or too few files can be opened.
pub fn serve_metrics(
    options: &Options,
    position: usize,
    telemetry: &Telemetry,
    log: &Log,
) -> Result<Option<http::Server>, StopReason> {
    let mut limits = Limits::default();
    let spare = descriptors::spare(options.data.is_some(), limits.connections + LISTENING)
        .map_err(StopReason::io("cannot start"))?;
    let (host, port, required) = match &options.metrics {
        Metrics::Off => return Ok(None),
        Metrics::Default => ("127.0.0.1", 0, false),
        Metrics::At { host, port, spread } => {
            // Port 0 lets the system choose a port for each node.
            let position = if *spread && *port != 0 { position } else { 0 };
            let sum = u16::try_from(usize::from(*port).saturating_add(position));
            let sum = sum.map_err(|_| {
                StopReason::new(format!(
                    "cannot serve metrics: port {port} plus position {position} in node_ids is above 65535"
                ))
            });
            (host.as_str(), sum?, true)
        }
    };
    limits.connections = spare.saturating_sub(LISTENING);
    let server = match limits.connections {
        0 => Err(io::Error::other("too few files can be opened (ulimit -n)")),
        _ => TcpListener::bind((host, port))
            .and_then(|listener| http::serve(listener, telemetry.registry.clone(), limits)),
    };
    match server {
        Ok(server) => {
            let address = server.address();
            log.info(format_args!("metrics: http://{address}/metrics"));
            Ok(Some(server))
        }
        Err(error) if required => Err(StopReason::new(format!(
            "cannot serve metrics at {host}:{port}: {error}"
        ))),
        Err(error) => {
            log.warn(format_args!(
                "cannot serve metrics; the node runs without them: {error}"
            ));
            Ok(None)
        }
    }
}
