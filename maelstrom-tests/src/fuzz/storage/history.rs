//! What a node wrote into its folder, and its state after each step.

use std::fmt;
use std::sync::Arc;

use raft::storage::disk::memory::Memory;
use raft::storage::{Recovered, SnapshotFile, Snapshots};
use raft_core::{
    Ballot, Entry, EntryId, Index, Membership, NodeId, Payload, Record, SnapshotId, Term, Wal as _,
};

use super::folder::open;
use crate::fuzz::tape::Tape;
use crate::rules::Ledger;

/// The most steps.
const STEPS_MAX: u64 = 12;

/// What a node has stored.
pub(super) type State = Ledger<String>;

/// All states of a node so far, and the snapshots that it stored.
#[derive(Debug)]
pub(super) struct History {
    steps: Vec<String>,
    states: Vec<State>,
    snapshots: Vec<EntryId>,
}

/// The state that was recovered.
pub(super) fn recovered(recovered: &Recovered<String>) -> State {
    let entries = recovered.entries.clone();
    State::holding(recovered.ballot, recovered.base(), entries)
}

/// Fails unless the entries follow one another.
pub(super) fn check_order(state: &State) -> Result<(), String> {
    let mut before = state.base;
    for Entry { id, payload: _ } in &state.entries {
        if Some(id.index.0) != before.index.0.checked_add(1) || id.term < before.term {
            return Err(format!("{id} follows {before}"));
        }
        before = *id;
    }
    Ok(())
}

/// This state with a snapshot adopted whose base record was not written yet.
fn adopting(state: &State, last: EntryId) -> State {
    let mut state = state.clone();
    if last.index > state.base.index {
        if state.ballot.term() < last.term {
            state.store(&Record::Ballot(Ballot::new(last.term, None)));
        }
        state.store(&Record::Base(last));
    }
    state
}

impl History {
    /// Draws a history and performs it on an empty disk.
    pub(super) fn perform(tape: &mut Tape, disk: &Memory) -> Self {
        let mut opened = open(disk).expect("an empty folder");
        let mut history = Self {
            steps: Vec::new(),
            states: vec![State::default()],
            snapshots: Vec::new(),
        };
        let mut term = 0;
        for _ in 0..tape.below(STEPS_MAX + 1) {
            let state = history.newest().clone();
            let (base, last) = (state.base.index.0, state.last().index.0);
            let length = tape.choose(&[10, 0, 30, 300, 1_000, 4_000]);
            let mut records = Vec::new();
            match tape.below(8) {
                0..3 => records.push(entries(last + 1, 1 + tape.below(4), term.max(1), length)),
                3 => {
                    term += 1;
                    let vote = tape.chance(1, 2).then(|| NodeId(tape.below(3)));
                    records.push(Record::Ballot(Ballot::new(Term(term), vote)));
                }
                4 => {
                    term += 1;
                    let from = base + 1 + tape.below(last - base + 1);
                    records.push(Record::Ballot(Ballot::new(Term(term), None)));
                    records.push(entries(from, 1 + tape.below(4), term, length));
                }
                5 | 6 => {
                    let at = tape.below(state.entries.len() as u64) as usize;
                    let Some(entry) = state.entries.get(at) else {
                        continue;
                    };
                    store(&opened.snapshots, entry.id);
                    history.stored(entry.id);
                    records.extend(tape.chance(3, 4).then_some(Record::Base(entry.id)));
                }
                _ => {
                    let at = id(last + 1 + tape.below(20), term.max(1));
                    let bytes = other_snapshot(at);
                    let whole = SnapshotFile::parse(&bytes).expect("a whole snapshot");
                    opened.snapshots.install(&whole).expect("memory has room");
                    history.stored(at);
                    records.push(Record::Base(at));
                }
            }
            term = term.max(1);
            let written = opened.log.append_and_sync(&records);
            written.expect("memory has room");
            history.wrote(&records);
        }
        history
    }

    fn newest(&self) -> &State {
        self.states.last().expect("there is a first one")
    }

    fn stored(&mut self, last: EntryId) {
        self.steps.push(format!("store {last}"));
        self.snapshots.push(last);
    }

    fn wrote(&mut self, records: &[Record<String>]) {
        let mut state = self.newest().clone();
        for record in records {
            state.store(record);
            self.steps.push(match record {
                Record::Ballot(ballot) => format!("term {}", ballot.term()),
                Record::Base(base) => format!("base {base}"),
                Record::Entries(entries) => {
                    let are_blank = entries.iter().all(|e| e.payload == Payload::Blank);
                    let blank = if are_blank { " blank" } else { "" };
                    format!("{} through {}{blank}", entries.len(), state.last())
                }
            });
        }
        self.states.push(state);
    }

    /// The state at the end: the newest snapshot counts even before its base record is written.
    pub(super) fn last(&self) -> State {
        let newest = self.snapshots.iter().max_by_key(|last| last.index);
        let state = self.newest();
        newest.map_or_else(|| state.clone(), |last| adopting(state, *last))
    }

    /// Whether the node was ever in this state.
    pub(super) fn had(&self, state: &State) -> bool {
        self.states.iter().any(|once| {
            let mut snapshots = self.snapshots.iter();
            once == state || snapshots.any(|last| adopting(once, *last) == *state)
        })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.join(", "))
    }
}

fn id(index: u64, term: u64) -> EntryId {
    EntryId {
        term: Term(term),
        index: Index(index),
    }
}

/// Entries of one term, each with a command of `length` bytes or blank.
fn entries(first: u64, count: u64, term: u64, length: usize) -> Record<String> {
    let entry = |index| Entry {
        id: id(index, term),
        payload: match length {
            0 => Payload::Blank,
            _ => {
                let mut text = format!("{index}@{term} ").repeat(length / 4 + 1);
                text.truncate(length);
                Payload::Command(Arc::new(text))
            }
        },
    };
    Record::Entries((first..first + count).map(entry).collect())
}

fn store(snapshots: &Snapshots, last: EntryId) -> SnapshotId {
    let membership = Membership::of((0..3).map(NodeId));
    let machine = format!("all through {last};").repeat(3);
    let stored = snapshots.store(last, &membership, |out| out.write_all(machine.as_bytes()));
    stored.expect("memory has room")
}

/// The file of a snapshot that another node made.
fn other_snapshot(last: EntryId) -> Vec<u8> {
    let other = open(&Memory::new()).expect("an empty folder");
    let id = store(&other.snapshots, last);
    let bytes = other.snapshots.read(id, 0, usize::MAX);
    bytes.expect("memory reads").expect("it was stored")
}
