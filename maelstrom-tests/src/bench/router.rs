//! The event loop of a run: clients send requests at a given rate, the nemesis injects faults, and
//! the cluster passes messages on. It records what the clients see. At the end, when all faults are
//! over, every key is read once more: what was lost unnoticed shows then.

use std::collections::VecDeque;
use std::iter;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::Rng;

use super::clients::{Answer, Clients, Completion};
use super::cluster::{Answered, Cluster, NO_SUCH_CLIENT, Settings};
use super::error::BenchError;
use super::members;
use super::nemesis::{Action, Kind, Nemesis};
use super::options::Options;
use super::processes::program::Program;
use super::report::progress::Progress;
use super::report::record::{Record, nanoseconds};
use super::workload::{Plan, Request, Worker, Workload};
use crate::history::{self, Call, ErrorCode, Outcome, Process, Stage};

/// How long a node may take to answer `init`, while it is not paused.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// For how many client time-outs the last reads are tried, and for how long at least.
const LAST_READS_TIMEOUTS: u32 = 10;
const LAST_READS_MIN: Duration = Duration::from_secs(30);

/// How long after a failed last read the key is read again.
const READ_AGAIN: Duration = Duration::from_millis(100);

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
    /// The last reads, once they have begun.
    last_reads: Option<LastReads>,
}

/// The reads of every key at the end of a run.
#[derive(Debug)]
struct LastReads {
    /// The keys that are still to be read, and from when on.
    keys: VecDeque<(Duration, u64)>,
    /// When to give up.
    until: Duration,
}

/// Runs to the end and kills the nodes.
///
/// # Errors
/// A node or the bench failed; the nodes are killed then as well.
pub fn run(options: &Options, program: Program, store: &Path) -> Result<Record, BenchError> {
    let mut router = Router::start(options, program, store)?;
    let went = router.test();
    router.progress.end();
    let mut record = router.record;
    record.results.unfinished = router.cluster.unfinished(options.client_timeout());
    let ended = router.cluster.end();
    let flushed = record.flush();
    went?;
    flushed?;
    record.messages = ended?;
    record.results.late_answers = router.clients.late;
    record.results.retries = router.clients.retries;
    Ok(record)
}

impl<'a> Router<'a> {
    fn start(
        options: &'a Options,
        program: Program,
        store: &Path,
    ) -> Result<Router<'a>, BenchError> {
        let nodes = options.node_count;
        let mut rng = Rng::seeded(options.seed);
        let plan = Plan {
            workers: options.concurrency,
            keys_at_once: options.key_count,
            operations_per_key: options.operations_per_key,
            deletes: options.deletes,
        };
        let settings = Settings {
            program,
            transport: options.transport,
            nodes,
            initial: match options.nemesis.contains(&Kind::Membership) {
                true => members::initial(nodes),
                false => nodes,
            },
            conditions: options.conditions,
            logs: store.join("node-logs"),
            log_stderr: options.log_stderr,
            log_net_send: options.log_net_send,
            log_net_recv: options.log_net_recv,
            init_timeout: INIT_TIMEOUT,
            may_stop: true,
        };
        let record = Record::create(store, options)?;
        let mut progress = Progress::on_stdout();
        let began = Instant::now();
        let cluster = Cluster::start(settings, rng.fork())?;
        progress.initialised(began.elapsed());
        let (workers, timeout) = (options.concurrency, options.client_timeout());
        Ok(Router {
            options,
            cluster,
            clients: Clients::new(rng.fork(), workers, nodes, timeout, options.sessions),
            workload: Workload::new(rng.fork(), plan),
            pace: Pace::new(rng.fork(), options.rate),
            nemesis: Nemesis::new(rng.fork(), options),
            record,
            progress,
            last_reads: None,
        })
    }

    /// Makes requests until the time is up and the faults are over, waits for the last answers, and
    /// reads every key.
    fn test(&mut self) -> Result<(), BenchError> {
        loop {
            let now = self.cluster.now();
            if self.cluster.is_stopped {
                self.record.results.stopped_s = Some(now.as_secs_f64());
                return Ok(());
            }
            let may_kill_all = self.may_kill_all(now);
            self.inject_faults(now, may_kill_all)?;
            while let Some(completion) = self.clients.time_out(now) {
                self.complete(now, completion)?;
            }
            while let Some((asked, request)) = self.clients.ask_again(now) {
                self.cluster.send(&asked, &request);
            }
            let over = now >= self.options.time_limit && self.nemesis.is_over();
            let asking = !over && !self.record.is_full();
            if asking {
                self.ask(now)?;
            } else if self.may_read_keys() && self.read_keys(now)? {
                return Ok(());
            }
            if self.progress.tick(now, &self.record) {
                self.record.flush()?;
            }
            let due = self.due(asking, may_kill_all);
            let stepped = self.cluster.step(due);
            for answered in std::mem::take(&mut self.cluster.answers) {
                self.answer(answered)?;
            }
            stepped?;
        }
    }

    /// Whether a death of all nodes would show if they forget: a write was answered ok. Also if the
    /// time is up without one, so that the run ends.
    fn may_kill_all(&self, now: Duration) -> bool {
        let operations = &self.record.results.operations;
        operations.write.ok > 0 || now >= self.options.time_limit
    }

    /// Whether the requests and the faults are over.
    fn may_read_keys(&self) -> bool {
        self.last_reads.is_some() || (self.nemesis.is_over() && self.clients.all_idle())
    }

    /// When something other than a message is due next.
    fn due(&mut self, asking: bool, may_kill_all: bool) -> Duration {
        let any_idle = self.clients.any_idle();
        let next_request = match (&self.last_reads, asking) {
            (None, true) if any_idle => Some(self.pace.due),
            (None, true) => Some(self.options.time_limit),
            (Some(reads), _) if any_idle => reads.keys.front().map(|(from, _)| *from),
            (None | Some(_), _) => None,
        };
        let dues = [
            next_request,
            self.nemesis.due(may_kill_all),
            self.clients.due(),
            self.clients.again_due(),
        ];
        let dues = dues.into_iter().flatten();
        dues.fold(self.progress.due, Duration::min)
    }

    /// Lets idle clients send requests as often as the pace allows.
    fn ask(&mut self, now: Duration) -> Result<(), BenchError> {
        while self.pace.due <= now {
            let Some((worker, process)) = self.clients.take_idle() else {
                return Ok(());
            };
            self.pace.advance(now);
            let request = self.workload.next(worker, process);
            self.send(now, worker, process, request)?;
        }
        Ok(())
    }

    fn send(
        &mut self,
        now: Duration,
        worker: Worker,
        process: Process,
        request: Request,
    ) -> Result<(), BenchError> {
        self.record.event(history::Event {
            process,
            time_ns: nanoseconds(now),
            key: request.key.into(),
            call: request.call.clone(),
            stage: Stage::Invoke,
        })?;
        let asked = self.clients.ask(now, worker, request.clone());
        self.cluster.send(&asked, &request);
        Ok(())
    }

    /// Lets idle clients read the keys that are left. Returns whether all have been read, or it is
    /// time to give up.
    fn read_keys(&mut self, now: Duration) -> Result<bool, BenchError> {
        let mut reads = self.last_reads.take().unwrap_or_else(|| {
            let timeout = self.options.client_timeout();
            // Nothing can have been lost if nothing was acknowledged.
            let keys = match self.record.results.operations.write.ok {
                0 => 0,
                _ => self.workload.keys_used,
            };
            LastReads {
                keys: (0..keys).map(|key| (now, key)).collect(),
                until: now + LAST_READS_MIN.max(timeout * LAST_READS_TIMEOUTS),
            }
        });
        if now >= reads.until {
            let left = reads.keys.drain(..).map(|(_, key)| key);
            self.record.results.unread_keys.extend(left);
        }
        while let Some(&(from, key)) = reads.keys.front()
            && from <= now
            && let Some((worker, process)) = self.clients.take_idle()
        {
            reads.keys.pop_front();
            let call = Call::Read;
            self.send(now, worker, process, Request { key, call })?;
        }
        let done = reads.keys.is_empty() && self.clients.all_idle();
        self.last_reads = Some(reads);
        Ok(done)
    }

    fn inject_faults(&mut self, now: Duration, may_kill_all: bool) -> Result<(), BenchError> {
        let actions: Vec<Action> = iter::from_fn(|| self.nemesis.next(now, may_kill_all)).collect();
        for action in &actions {
            self.cluster.inject_fault(action)?;
            if matches!(action, Action::Kill(_)) {
                self.workload.retire_keys();
            }
        }
        if !actions.is_empty() {
            let side = self.cluster.connected_majority();
            self.record.faults(now, &actions, side.as_ref());
        }
        Ok(())
    }

    fn answer(&mut self, answered: Answered) -> Result<(), BenchError> {
        let (now, process, id) = (answered.now, answered.process, answered.reply.id);
        if !self.clients.knows(process) {
            return Err(self.cluster.unwanted(&answered, NO_SUCH_CLIENT));
        }
        let completion = match &answered.reply.answer {
            Answer::Error(code) if answered.line.is_none() => {
                Ok(self.clients.lose(now, process, id, *code))
            }
            answer => self.clients.answer(now, process, id, answer.clone()),
        };
        match completion {
            Ok(Some(completion)) => self.complete(now, completion),
            Ok(None) => Ok(()),
            Err(strange) => Err(self.cluster.unwanted(&answered, &strange.to_string())),
        }
    }

    /// Records the end of a request. A last read without a result is to be made again.
    fn complete(&mut self, now: Duration, completion: Completion) -> Result<(), BenchError> {
        if let Some(reads) = &mut self.last_reads
            && let Outcome::Failed(code) = completion.outcome
            && code != ErrorCode::KEY_DOES_NOT_EXIST
        {
            let again = (now + READ_AGAIN, completion.request.key);
            reads.keys.push_back(again);
        }
        self.record.event(history::Event {
            process: completion.process,
            time_ns: nanoseconds(now),
            key: completion.request.key.into(),
            call: completion.request.call,
            stage: Stage::Complete(completion.outcome),
        })
    }
}

/// When the next request is due: at random, at a given mean rate over all clients.
#[derive(Debug)]
struct Pace {
    rng: Rng,
    /// Twice the mean time between requests, in nanoseconds; 0 for no wait.
    spread_ns: u64,
    due: Duration,
}

impl Pace {
    fn new(rng: Rng, rate: Option<f64>) -> Pace {
        Pace {
            rng,
            spread_ns: rate.map_or(0, |rate| (2e9 / rate) as u64),
            due: Duration::ZERO,
        }
    }

    /// A request that comes a little late does not delay the next. Requests for which all clients
    /// were too busy are not made up for.
    fn advance(&mut self, now: Duration) {
        let wait = Duration::from_nanos(self.rng.range(0..=self.spread_ns));
        self.due = (self.due + wait).max(now);
    }
}
