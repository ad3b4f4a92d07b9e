//! Writes to a bounded set of keys, many at once, and what is known of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use json::Value;
use rand::Rng;

use super::cluster::{Cluster, Told};
use crate::bench::clients::{Answer, MessageId};
use crate::bench::error::BenchError;
use crate::bench::network::Node;
use crate::bench::protocol::Reply;
use crate::bench::report::results::Latency;
use crate::bench::workload::Request;
use crate::history::Call;

/// A request that is not answered for so long is given up: a node is dead, or a message was lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The load, and what came of it.
#[derive(Debug)]
pub struct Load {
    rng: Rng,
    keys: u64,
    value_bytes: usize,
    asked: u64,
    /// What is not answered yet, in the order in which it was asked.
    pending: BTreeMap<MessageId, Pending>,
    /// The number of the latest write to each key that was answered ok.
    written: BTreeMap<u64, u64>,
    /// What reads have found.
    pub found: Vec<(u64, Value)>,
    /// Writes that were answered ok.
    pub ok: u64,
    /// Writes that were answered by an error, or not at all.
    pub failed: u64,
    /// The same of reads.
    pub failed_reads: u64,
    latencies: Vec<Duration>,
}

#[derive(Debug)]
struct Pending {
    request: Request,
    since: Instant,
}

impl Load {
    /// A load on so many keys, with values of at least so many characters.
    pub fn new(rng: Rng, keys: u64, value_bytes: usize) -> Load {
        Load {
            rng,
            keys,
            value_bytes,
            asked: 0,
            pending: BTreeMap::new(),
            written: BTreeMap::new(),
            found: Vec::new(),
            ok: 0,
            failed: 0,
            failed_reads: 0,
            latencies: Vec::new(),
        }
    }

    /// How many requests are not answered yet.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Asks a node to write something to a key that is drawn.
    pub fn write(&mut self, cluster: &mut Cluster, node: Node) {
        let key = self.rng.below(self.keys);
        let value = self.value(self.asked + 1).into();
        self.ask(cluster, node, key, Call::Write(value));
    }

    /// Asks a node what stands under a key.
    pub fn read(&mut self, cluster: &mut Cluster, node: Node, key: u64) {
        self.ask(cluster, node, key, Call::Read);
    }

    /// Waits until something is answered or the time is up.
    ///
    /// # Errors
    /// A node broke.
    pub fn wait(&mut self, cluster: &mut Cluster, until: Instant) -> Result<(), BenchError> {
        for told in cluster.wait(until)? {
            if let Told::Reply(reply) = told {
                self.answered(reply);
            }
        }
        while let Some(first) = self.pending.first_entry()
            && first.get().since.elapsed() > PATIENCE
        {
            let pending = first.remove();
            self.fail(&pending.request);
        }
        Ok(())
    }

    /// The latencies of the writes since the last call.
    pub fn latencies(&mut self) -> Option<Latency> {
        let latencies = std::mem::take(&mut self.latencies);
        Latency::of("all".to_owned(), "write", latencies)
    }

    /// The latest write to each key that was answered ok, and the value that it wrote.
    pub fn written(&self) -> impl Iterator<Item = (u64, String)> {
        self.written
            .iter()
            .map(|(key, number)| (*key, self.value(*number)))
    }

    fn value(&self, number: u64) -> String {
        format!("{number:0width$}", width = self.value_bytes)
    }

    fn ask(&mut self, cluster: &mut Cluster, node: Node, key: u64, call: Call) {
        self.asked += 1;
        let id = MessageId(self.asked);
        let request = Request { key, call };
        cluster.ask(node, id, &request);
        let since = Instant::now();
        self.pending.insert(id, Pending { request, since });
    }

    fn answered(&mut self, Reply { id, answer }: Reply) {
        // One that was given up may still be answered.
        let Some(Pending { request, since }) = self.pending.remove(&id) else {
            return;
        };
        match answer {
            Answer::WriteOk => {
                self.ok += 1;
                self.latencies.push(since.elapsed());
                // Answers may overtake each other, writes that wait in one node's queue do not.
                let number = self.written.entry(request.key).or_default();
                *number = id.0.max(*number);
            }
            Answer::ReadOk(value) => self.found.push((request.key, value)),
            Answer::CasOk | Answer::Error(_) => self.fail(&request),
        }
    }

    fn fail(&mut self, request: &Request) {
        match request.call {
            Call::Read => self.failed_reads += 1,
            Call::Write(_) | Call::Cas { .. } => self.failed += 1,
        }
    }
}
