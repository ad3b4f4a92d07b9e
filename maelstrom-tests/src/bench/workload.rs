//! The clients' requests: the lin-kv workload, without clocks, threads or a network.
//!
//! As in Maelstrom, clients work in groups, each group on one key at a time, and write and
//! compare-and-set few values, which collide often enough that a stale answer contradicts another.
//! Half of each group reads; in Maelstrom only the first group does, so with more than one group
//! some keys are never read there. A group changes to a new key after 20 processes, as in
//! Maelstrom, and also after a number of operations, so that checking a key stays cheap.
//! Maelstrom's values are 0 to 4; ours include two that differ only beyond the 53 bits of a
//! floating-point number.

use std::collections::BTreeSet;

use json::Value;
use rand::Rng;

use super::network::Millionths;
use crate::history::{Call, Process};

/// The values. The last two are the same floating-point number.
pub const VALUES: [u64; 5] = [0, 1, 2, 1 << 53, (1 << 53) + 1];

/// The most processes that work on one key (more only if a group is larger): each operation of
/// unknown outcome uses up a process, and makes the check of the key more expensive.
pub const PROCESSES_PER_KEY_MAX: usize = 20;

/// A client's thread of control, numbered from 0. A worker becomes a new [`Process`] after each
/// operation of unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worker(pub usize);

/// A request as the workload makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The key.
    pub key: u64,
    /// The operation.
    pub call: Call,
}

/// The shape of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many workers there are; at least 1.
    pub workers: usize,
    /// How many keys are worked on at once; at least 1 and at most the number of workers.
    pub keys_at_once: usize,
    /// A group changes to a new key after about this many operations; at least 1.
    pub operations_per_key: u64,
    /// How many of the requests that change a key delete it. Maelstrom has no such request.
    pub deletes: Millionths,
}

/// The generator of requests.
#[derive(Debug)]
pub struct Workload {
    rng: Rng,
    plan: Plan,
    groups: Vec<Group>,
    /// How many keys have been begun.
    pub keys_used: u64,
}

#[derive(Debug)]
struct Group {
    first: usize,
    size: usize,
    key: u64,
    operations_left: u64,
    processes: BTreeSet<Process>,
}

impl Workload {
    /// A workload drawn from `rng`.
    ///
    /// # Panics
    /// If the plan breaks its own bounds.
    pub fn new(rng: Rng, plan: Plan) -> Workload {
        assert!(plan.workers >= 1 && plan.operations_per_key >= 1);
        assert!((1..=plan.workers).contains(&plan.keys_at_once));
        let mut workload = Workload {
            rng,
            plan,
            groups: Vec::new(),
            keys_used: 0,
        };
        let mut first = 0;
        for index in 0..plan.keys_at_once {
            // The first groups are one larger where the division leaves a rest.
            let rest = plan.workers % plan.keys_at_once;
            let size = plan.workers / plan.keys_at_once + usize::from(index < rest);
            workload.groups.push(Group {
                first,
                size,
                key: 0,
                operations_left: 0,
                processes: BTreeSet::new(),
            });
            workload.begin_key(index);
            first += size;
        }
        workload
    }

    /// The next request of a worker, which is the given process now.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn next(&mut self, worker: Worker, process: Process) -> Request {
        assert!(worker.0 < self.plan.workers, "no such worker");
        let index = self.groups.partition_point(|group| group.first <= worker.0) - 1;
        if !self.groups[index].takes(process) {
            self.begin_key(index);
        }
        let group = &mut self.groups[index];
        group.operations_left -= 1;
        group.processes.insert(process);
        let place = worker.0 - group.first;
        let (key, size) = (group.key, group.size);
        Request {
            key,
            call: self.call(place, size),
        }
    }

    /// Lets every group change to a new key with its next request.
    pub fn retire_keys(&mut self) {
        for group in &mut self.groups {
            group.operations_left = 0;
        }
    }

    /// The first half of a group reads, the others draw among write, cas and cas, and some deletes. A
    /// worker alone does both in turn.
    fn call(&mut self, place: usize, size: usize) -> Call {
        let reads = match size {
            1 => self.rng.chance(1, 2),
            _ => place < size / 2,
        };
        if reads {
            Call::Read
        } else if self.plan.deletes.happens(&mut self.rng) {
            Call::Delete
        } else if self.rng.chance(1, 3) {
            Call::Write(self.value())
        } else {
            Call::Cas {
                from: self.value(),
                to: self.value(),
            }
        }
    }

    fn value(&mut self) -> Value {
        Value::from(VALUES[self.rng.below(VALUES.len() as u64) as usize])
    }

    /// The number of operations varies by a tenth, so that the groups do not all change keys at
    /// once.
    fn begin_key(&mut self, index: usize) {
        let most = self.plan.operations_per_key;
        let least = most - most / 10;
        let group = &mut self.groups[index];
        group.key = self.keys_used;
        group.operations_left = self.rng.range(least..=most);
        group.processes.clear();
        self.keys_used += 1;
    }
}

impl Group {
    /// Whether the process may do one more operation on the group's key.
    fn takes(&self, process: Process) -> bool {
        let crowded = self.processes.len() >= PROCESSES_PER_KEY_MAX.max(self.size);
        self.operations_left > 0 && (!crowded || self.processes.contains(&process))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn workload(workers: usize, keys_at_once: usize, operations_per_key: u64) -> Workload {
        let plan = Plan {
            workers,
            keys_at_once,
            operations_per_key,
            deletes: Millionths(0),
        };
        Workload::new(Rng::seeded(7), plan)
    }

    fn next(workload: &mut Workload, worker: usize) -> Request {
        workload.next(Worker(worker), Process(worker as u64))
    }

    #[test]
    fn one_seed_gives_the_same_requests() {
        let (mut one, mut two) = (workload(10, 1, 20), workload(10, 1, 20));
        for worker in (0..10).cycle().take(500) {
            assert_eq!(next(&mut one, worker), next(&mut two, worker));
        }
    }

    #[test]
    fn half_of_a_group_reads_and_the_rest_writes() {
        let mut workload = workload(10, 1, 128);
        let (mut writes, mut cas) = (0, 0);
        let values: Vec<Value> = VALUES.into_iter().map(Value::from).collect();
        for worker in (0..10).cycle().take(6000) {
            match next(&mut workload, worker).call {
                Call::Read => assert!(worker < 5),
                Call::Write(value) => {
                    assert!(worker >= 5 && values.contains(&value));
                    writes += 1;
                }
                Call::Cas { from, to } => {
                    assert!(worker >= 5 && values.contains(&from) && values.contains(&to));
                    cas += 1;
                }
                Call::Delete => panic!("none were wanted"),
            }
        }
        assert_eq!(writes + cas, 3000);
        assert!((800..1200).contains(&writes), "{writes}");
    }

    #[test]
    fn a_share_of_the_changes_deletes() {
        let mut workload = workload(10, 1, 128);
        workload.plan.deletes = Millionths(200_000);
        let calls = (0..10).cycle().take(6000);
        let calls: Vec<Call> = calls
            .map(|worker| next(&mut workload, worker).call)
            .collect();
        let count = |wanted| calls.iter().filter(|call| **call == wanted).count();
        assert_eq!(count(Call::Read), 3000);
        assert!((450..750).contains(&count(Call::Delete)));
    }

    #[test]
    fn a_worker_alone_does_everything() {
        let mut workload = workload(1, 1, 128);
        let reads = (0..100)
            .filter(|_| next(&mut workload, 0).call == Call::Read)
            .count();
        assert!((20..80).contains(&reads));
    }

    #[test]
    fn a_key_ends_after_its_operations() {
        let mut workload = workload(4, 1, 100);
        let mut per_key: BTreeMap<u64, u64> = BTreeMap::new();
        for worker in (0..4).cycle().take(5000) {
            *per_key.entry(next(&mut workload, worker).key).or_default() += 1;
        }
        per_key.pop_last();
        assert!(
            per_key.values().all(|count| (90..=100).contains(count)),
            "{per_key:?}"
        );
        assert!(per_key.keys().copied().eq(0..per_key.len() as u64));
        assert_eq!(workload.keys_used, per_key.len() as u64 + 1);
    }

    #[test]
    fn retired_keys_get_no_more_requests() {
        let mut workload = workload(4, 2, 100);
        let used: BTreeSet<u64> = (0..4)
            .map(|worker| next(&mut workload, worker).key)
            .collect();
        assert_eq!(used.len(), 2);
        workload.retire_keys();
        for worker in (0..4).cycle().take(300) {
            assert!(!used.contains(&next(&mut workload, worker).key));
        }
    }

    #[test]
    fn two_values_are_one_floating_point_number() {
        let [.., first, second] = VALUES;
        assert!(first != second && first as f64 == second as f64);
        let written = |value: u64| json::to_string(&Value::from(value));
        assert_eq!(written(second), "9007199254740993");
    }

    #[test]
    fn a_key_ends_after_its_processes() {
        let mut workload = workload(2, 1, 1000);
        let key_of =
            |workload: &mut Workload, process| workload.next(Worker(1), Process(process)).key;
        for process in 0..PROCESSES_PER_KEY_MAX as u64 {
            assert_eq!(key_of(&mut workload, process), 0);
        }
        assert_eq!(key_of(&mut workload, 3), 0, "a known process may go on");
        assert_eq!(key_of(&mut workload, 99), 1);
        assert_eq!(key_of(&mut workload, 3), 1);
    }

    #[test]
    fn groups_share_no_key_and_split_the_workers() {
        let mut workload = workload(11, 3, 50);
        let mut owners: BTreeMap<u64, usize> = BTreeMap::new();
        for worker in (0..11).cycle().take(3000) {
            let group = match worker {
                0..4 => 0,
                4..8 => 1,
                _ => 2,
            };
            let owner = *owners
                .entry(next(&mut workload, worker).key)
                .or_insert(group);
            assert_eq!(owner, group);
        }
    }
}
