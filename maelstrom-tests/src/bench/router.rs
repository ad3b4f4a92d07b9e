//! The event loop of a run: clients send requests at a given rate, the nemesis injects faults, and
//! the cluster passes messages on. It records what the clients see.

use std::time::{Duration, Instant};

use rand::Rng;

use super::clients::{Clients, Completion};
use super::cluster::{Answered, Cluster, Settings, Trouble};
use super::error::BenchError;
use super::nemesis::{Action, Nemesis};
use super::options::Options;
use super::processes::program::Program;
use super::report::progress::Progress;
use super::report::record::{Record, nanoseconds};
use super::store::Store;
use super::workload::{Plan, Workload};
use crate::history::{self, Stage};

/// How long a node may take to answer `init`, while it is not paused.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A run in progress.
#[derive(Debug)]
struct Router<'a> {
    options: &'a Options,
    cluster: Cluster,
    clients: Clients,
    workload: Workload,
    pace: Pace,
    nemesis: Nemesis,
    record: Record,
    progress: Progress,
}

/// Runs to the end and kills the nodes.
///
/// # Errors
/// A node or the bench failed; the nodes are killed then as well.
pub fn run(options: &Options, program: Program, store: &Store) -> Result<Record, BenchError> {
    let mut router = Router::start(options, program, store)?;
    let went = router.test();
    router.progress.end();
    let ended = router.cluster.end();
    went?;
    let mut record = router.record;
    record.messages = ended?;
    record.late_answers = router.clients.late();
    record
        .flush()
        .map_err(BenchError::io("cannot write the history"))?;
    Ok(record)
}

impl<'a> Router<'a> {
    fn start(
        options: &'a Options,
        program: Program,
        store: &Store,
    ) -> Result<Router<'a>, BenchError> {
        let nodes = options.node_count;
        let mut rng = Rng::seeded(options.seed);
        let plan = Plan {
            workers: options.concurrency,
            keys_at_once: options.key_count,
            operations_per_key: options.operations_per_key,
        };
        let settings = Settings {
            program,
            nodes,
            conditions: options.conditions,
            logs: store.file("node-logs"),
            log_stderr: options.log_stderr,
            log_net_send: options.log_net_send,
            log_net_recv: options.log_net_recv,
            init_timeout: INIT_TIMEOUT,
        };
        let record = Record::create(store).map_err(BenchError::io("cannot write the history"))?;
        let mut progress = Progress::on_stdout();
        let began = Instant::now();
        let cluster = Cluster::start(settings, rng.fork())?;
        progress.initialised(began.elapsed());
        let (workers, timeout) = (options.concurrency, options.client_timeout());
        Ok(Router {
            options,
            cluster,
            clients: Clients::new(rng.fork(), workers, nodes, timeout),
            workload: Workload::new(rng.fork(), plan),
            pace: Pace::new(rng.fork(), options.rate),
            nemesis: Nemesis::new(
                rng.fork(),
                &options.nemesis,
                nodes,
                options.nemesis_interval,
            ),
            record,
            progress,
        })
    }

    /// Makes requests until the time is up, and then waits for the last answers.
    fn test(&mut self) -> Result<(), BenchError> {
        loop {
            let now = self.cluster.now();
            let asking = now < self.options.time_limit && !self.record.is_full();
            if !asking && self.clients.all_idle() {
                return Ok(());
            }
            while let Some(action) = self.nemesis.next(now) {
                self.inject_fault(now, &action)?;
            }
            while let Some(completion) = self.clients.time_out(now) {
                complete(&mut self.record, now, completion)?;
            }
            if asking {
                self.ask(now)?;
            }
            self.progress.tick(now, &self.record);
            let due = self.due(asking);
            let Router {
                cluster,
                clients,
                record,
                ..
            } = self;
            cluster.step(due, &mut |answered| answer(clients, record, answered))?;
        }
    }

    /// When something other than a message is due next.
    fn due(&mut self, asking: bool) -> Duration {
        let next_request = match asking {
            true if self.clients.any_idle() => Some(self.pace.due()),
            true => Some(self.options.time_limit),
            false => None,
        };
        [next_request, self.nemesis.due(), self.clients.due()]
            .into_iter()
            .flatten()
            .fold(self.progress.due(), Duration::min)
    }

    /// Lets idle clients send requests as often as the pace allows.
    fn ask(&mut self, now: Duration) -> Result<(), BenchError> {
        while self.pace.due() <= now {
            let Some((worker, process)) = self.clients.take_idle() else {
                return Ok(());
            };
            self.pace.advance(now);
            let request = self.workload.next(worker, process);
            self.record.event(history::Event {
                process,
                time_ns: nanoseconds(now),
                key: request.key.into(),
                call: request.call.clone(),
                stage: Stage::Invoke,
            })?;
            let asked = self.clients.ask(now, worker, request.clone());
            self.cluster.send(&asked, &request);
        }
        Ok(())
    }

    fn inject_fault(&mut self, now: Duration, action: &Action) -> Result<(), BenchError> {
        self.cluster.inject_fault(action)?;
        match action {
            Action::Cut(..) | Action::Pause(_) | Action::Kill(_) => {
                let side = self.cluster.connected_majority();
                self.record.fault_began(now, action, side);
            }
            Action::Heal | Action::Resume(_) | Action::Restart(_) => {
                self.record.fault_ended(now, action.kind());
            }
        }
        Ok(())
    }
}

fn answer(clients: &mut Clients, record: &mut Record, answered: Answered) -> Result<(), Trouble> {
    let Answered {
        now,
        process,
        reply,
    } = answered;
    if !clients.knows(process) {
        return Err("its dest is unknown: there is no such client"
            .to_owned()
            .into());
    }
    let completion = clients.answer(process, reply.id, reply.answer);
    match completion.map_err(|strange| strange.to_string())? {
        Some(completion) => Ok(complete(record, now, completion)?),
        None => Ok(()),
    }
}

fn complete(record: &mut Record, now: Duration, completion: Completion) -> Result<(), BenchError> {
    record.event(history::Event {
        process: completion.process,
        time_ns: nanoseconds(now),
        key: completion.request.key.into(),
        call: completion.request.call,
        stage: Stage::Complete(completion.outcome),
    })
}

/// When the next request is due: at random, at a given mean rate over all clients.
#[derive(Debug)]
struct Pace {
    rng: Rng,
    /// Twice the mean time between requests, in nanoseconds; 0 for no wait.
    spread_ns: u64,
    next: Duration,
}

impl Pace {
    fn new(rng: Rng, rate: Option<f64>) -> Pace {
        Pace {
            rng,
            spread_ns: rate.map_or(0, |rate| (2e9 / rate) as u64),
            next: Duration::ZERO,
        }
    }

    fn due(&self) -> Duration {
        self.next
    }

    /// A request that comes a little late does not delay the next. Requests for which all clients
    /// were too busy are not made up for.
    fn advance(&mut self, now: Duration) {
        let wait = Duration::from_nanos(self.rng.range(0..=self.spread_ns));
        self.next = (self.next + wait).max(now);
    }
}
