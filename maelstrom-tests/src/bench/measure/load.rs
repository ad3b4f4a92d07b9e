//! Writes to a bounded set of keys, many at once, and the values that the keys must have.

use std::collections::BTreeMap;
use std::time::Duration;

use json::Value;
use rand::Rng;

use crate::bench::clients::{Asked, MessageId, Sent, outcome};
use crate::bench::cluster::{Answered, Cluster};
use crate::bench::error::BenchError;
use crate::bench::network::Node;
use crate::bench::report::results::Latency;
use crate::bench::workload::{Request, Worker};
use crate::history::{Call, ErrorCode, Outcome, Process};

/// How many requests are under way at once.
pub const AT_ONCE: usize = 512;

/// How long to wait for an answer. A node is dead, or a message was lost.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The one client, which does not wait for one answer before it sends the next request.
const CLIENT: Process = Process(0);

/// The load and its results.
#[derive(Debug)]
pub struct Load {
    rng: Rng,
    keys: u64,
    value_bytes: usize,
    asked: u64,
    /// The requests without an answer yet, in the order of sending.
    pending: BTreeMap<MessageId, Pending>,
    /// The number of the latest write to each key that was answered ok.
    written: BTreeMap<u64, u64>,
    /// What reads have found: `None` if there is no such key.
    pub found: BTreeMap<u64, Option<Value>>,
    /// The keys of reads that failed otherwise.
    pub unread: Vec<u64>,
    /// Writes that were answered ok.
    pub ok: u64,
    /// Writes that were answered by an error, or not at all.
    pub failed: u64,
    latencies: Vec<Duration>,
}

#[derive(Debug)]
struct Pending {
    request: Request,
    since: Duration,
}

impl Load {
    /// A load on this many keys, with values of at least this many characters.
    pub fn new(rng: Rng, keys: u64, value_bytes: usize) -> Load {
        Load {
            rng,
            keys,
            value_bytes,
            asked: 0,
            pending: BTreeMap::new(),
            written: BTreeMap::new(),
            found: BTreeMap::new(),
            unread: Vec::new(),
            ok: 0,
            failed: 0,
            latencies: Vec::new(),
        }
    }

    /// How many requests have no answer yet.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Sends a node a write of a new value to a key that is drawn.
    pub fn write(&mut self, cluster: &mut Cluster, node: Node) {
        let key = self.rng.below(self.keys);
        let value = self.value(self.asked + 1).into();
        self.send(cluster, node, key, Call::Write(value));
    }

    /// Sends a node a read of a key.
    pub fn read(&mut self, cluster: &mut Cluster, node: Node, key: u64) {
        self.send(cluster, node, key, Call::Read);
    }

    /// Passes messages on until something is answered, at most until a time.
    ///
    /// # Errors
    /// A node failed, or a signal stopped the run.
    pub fn wait(&mut self, cluster: &mut Cluster, until: Duration) -> Result<(), BenchError> {
        let before = self.pending.len();
        while self.pending.len() == before && cluster.now() < until && !cluster.is_stopped {
            let stepped = cluster.step(until);
            let answers = cluster.answers.drain(..);
            answers.for_each(|answered| self.answered(answered));
            stepped?;
        }
        if cluster.is_stopped {
            return Err(BenchError::new("stopped by a signal"));
        }
        let now = cluster.now();
        while let Some(first) = self.pending.first_entry()
            && now > first.get().since + TIMEOUT
        {
            let request = first.remove().request;
            self.fail(&request);
        }
        Ok(())
    }

    /// The latencies of the writes that were answered ok since the last call.
    pub fn latency(&mut self) -> Option<Latency> {
        Latency::of(
            "all".to_owned(),
            "write",
            std::mem::take(&mut self.latencies),
        )
    }

    /// The latest write to each key that was answered ok, and the value that it wrote.
    pub fn written(&self) -> impl Iterator<Item = (u64, String)> {
        let written = self.written.iter();
        written.map(|(key, number)| (*key, self.value(*number)))
    }

    fn value(&self, number: u64) -> String {
        let digits = number.to_string();
        let zeros = self.value_bytes.saturating_sub(digits.len());
        "0".repeat(zeros) + &digits
    }

    fn send(&mut self, cluster: &mut Cluster, node: Node, key: u64, call: Call) {
        self.asked += 1;
        let id = MessageId(self.asked);
        let request = Request { key, call };
        let (worker, process) = (Worker(0), CLIENT);
        let sent = Sent::Plain;
        cluster.send(
            &Asked {
                worker,
                process,
                node,
                id,
                sent,
            },
            &request,
        );
        let since = cluster.now();
        self.pending.insert(id, Pending { request, since });
    }

    fn answered(&mut self, Answered { now, reply, .. }: Answered) {
        // One that has timed out may still be answered.
        let Some(Pending { request, since }) = self.pending.remove(&reply.id) else {
            return;
        };
        let Request { key, call } = &request;
        match outcome(call, reply.answer) {
            Ok(Outcome::Done) => {
                self.ok += 1;
                self.latencies.push(now - since);
                // Answers may overtake each other; writes in one node's queue do not.
                let number = self.written.entry(*key).or_default();
                *number = reply.id.0.max(*number);
            }
            Ok(Outcome::ReadOk(value)) => drop(self.found.insert(*key, Some(value))),
            Ok(Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST)) if *call == Call::Read => {
                self.found.insert(*key, None);
            }
            Ok(Outcome::Failed(_) | Outcome::Unknown(_)) | Err(_) => self.fail(&request),
        }
    }

    fn fail(&mut self, request: &Request) {
        match request.call {
            Call::Read => self.unread.push(request.key),
            Call::Write(_) | Call::Cas { .. } | Call::Delete => self.failed += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_length() {
        for length in [1, 16, 65_536, 100_000] {
            let value = Load::new(Rng::seeded(1), 1, length).value(7);
            assert_eq!(value.len(), length);
            assert!(value.ends_with('7'));
        }
        assert_eq!(Load::new(Rng::seeded(1), 1, 2).value(12_345), "12345");
    }
}
