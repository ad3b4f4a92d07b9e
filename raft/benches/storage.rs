//! The cost of storage: `cargo bench -p raft --bench storage [FOLDER]`. The default folder is the
//! current one, since a temporary one may be memory.
//!
//! Batches are appended to a log and, for comparison, the same bytes are written to a file of zeros
//! with one sync. Then a log of a million small entries is recovered.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, process};

use json::Value;
use raft::kv::Command;
use raft::storage::disk::Disk;
use raft::storage::disk::memory::Memory;
use raft::storage::disk::real::Real;
use raft::storage::{self, Cluster, Identity, Opened, crc32c};
use raft_core::{Entry, EntryId, Index, Membership, NodeId, Payload, Record, Term, Wal};

const BATCHES: u64 = 3_000;
const ENTRIES: u64 = 1_000_000;

fn main() {
    // Cargo itself adds `--bench`.
    let folder = env::args_os().skip(1).find(|arg| arg != "--bench");
    let folder = folder.map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = folder.join(format!("stdraft-bench-{}", process::id()));
    let node = folder.join("n1");
    let disk: Arc<dyn Disk> = Arc::new(Real::create(&node).expect("a folder"));

    for size in [1, 10, 100] {
        append(&disk, &folder, size);
    }
    in_memory();
    segment(&folder);
    snapshot(&disk, 64 << 20);
    fs::remove_dir_all(&node).expect("our own folder");

    let disk: Arc<dyn Disk> = Arc::new(Real::create(&node).expect("a folder"));
    let mut opened = open(&disk);
    let write = timed(|| fill(&mut opened, ENTRIES, 1_000));
    print(
        write,
        &format!("write {ENTRIES} entries in batches of 1000"),
    );
    println!("{:>12} bytes  in the log", opened.log.bytes());
    drop(opened);
    let mut opened = None;
    let replay = timed(|| opened = Some(open(&disk)));
    let opened = opened.expect("a log");
    assert_eq!(opened.recovered.entries.len() as u64, ENTRIES);
    print(replay, &format!("recover {ENTRIES} entries"));
    fs::remove_dir_all(&folder).expect("our own folder");

    let bytes = vec![7; 64 << 20];
    let sum = timed(|| {
        black_box(crc32c(&bytes));
    });
    print(sum, "the CRC of 64 MiB");
}

fn open(disk: &Arc<dyn Disk>) -> Opened<Command> {
    let identity = Identity::new(Cluster::of(["n1", "n2", "n3"]), "n1", NodeId(0), 1);
    storage::open(disk.clone(), &identity, None, storage::SEGMENT_BYTES).expect("a sound folder")
}

fn fill(opened: &mut Opened<Command>, entries: u64, size: u64) {
    let mut next = opened.log.last().index.0 + 1;
    for _ in 0..entries / size {
        let batch = Record::Entries((next..next + size).map(entry).collect());
        opened
            .log
            .append_and_sync(&[batch])
            .expect("a disk with room");
        next += size;
    }
}

fn entry(index: u64) -> Entry<Command> {
    let command = Command::Write {
        key: Value::from(index % 1_000).into(),
        value: Value::from(index).into(),
    };
    Entry {
        id: EntryId {
            term: Term(1),
            index: Index(index),
        },
        payload: Payload::Command(Arc::new(command)),
    }
}

/// Times batches of `size` entries in turns with plain writes of the same bytes, so that other load
/// on the machine slows both.
fn append(disk: &Arc<dyn Disk>, folder: &Path, size: u64) {
    const LENGTH: u64 = 8 << 20;
    let path = folder.join("bare");
    let file = File::create(&path).expect("a file");
    file.write_all_at(&vec![0; LENGTH as usize], 0)
        .expect("room");
    file.sync_all().expect("a sync");
    let bytes = vec![b'x'; (40 + size * 66) as usize];
    let mut opened = open(disk);
    let (mut log, mut bare, mut at) = (Duration::ZERO, Duration::ZERO, 0);
    for _ in 0..BATCHES {
        log += timed(|| fill(&mut opened, size, size));
        bare += timed(|| {
            file.write_all_at(&bytes, at).expect("room");
            file.sync_data().expect("a sync");
        });
        at = (at + bytes.len() as u64) % (LENGTH - bytes.len() as u64);
    }
    rate(log, &format!("batches of {size} entries"));
    rate(bare, &format!("bare: {} bytes and fdatasync", bytes.len()));
    fs::remove_file(path).expect("our own file");
}

fn in_memory() {
    let mut opened = open(&(Arc::new(Memory::new()) as Arc<dyn Disk>));
    let time = timed(|| fill(&mut opened, BATCHES * 10, 10));
    rate(time, "batches of 10 entries in memory");
}

/// Times a batch that needs a new segment and finds no spare file: it waits for a file of zeros.
fn segment(folder: &Path) {
    const SEGMENTS: u32 = 20;
    let disk: Arc<dyn Disk> = Arc::new(Real::create(&folder.join("n2")).expect("a folder"));
    let mut opened = open(&disk);
    let before = opened.log.bytes();
    // A frame of two thirds of a segment never fits after another.
    let batch = |index: u64| {
        let command = Command::Write {
            key: Value::from(1).into(),
            value: Value::from("x".repeat(5 << 20)).into(),
        };
        Record::Entries(vec![Entry {
            payload: Payload::Command(Arc::new(command)),
            ..entry(index)
        }])
    };
    opened.log.append_and_sync(&[batch(1)]).expect("room");
    let whole = timed(|| {
        for index in 0..SEGMENTS {
            let batch = batch(u64::from(index) + 2);
            opened.log.append_and_sync(&[batch]).expect("room");
        }
    });
    assert_eq!(opened.log.bytes(), before * u64::from(SEGMENTS + 1));
    print(
        whole / SEGMENTS,
        "a new segment of 8 MiB without a spare file, and a batch of 5 MiB",
    );
}

fn snapshot(disk: &Arc<dyn Disk>, bytes: usize) {
    let opened = open(disk);
    let machine = vec![b'm'; bytes];
    let last = opened.log.last();
    let voters = Membership::of((0..3).map(NodeId));
    let store = timed(|| {
        let stored = opened
            .snapshots
            .store(last, &voters, |out| out.write_all(&machine));
        stored.expect("room");
    });
    print(store, &format!("store a snapshot of {} MiB", bytes >> 20));
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn print(time: Duration, what: &str) {
    println!("{:>12.3} ms  {what}", time.as_secs_f64() * 1e3);
}

fn rate(time: Duration, what: &str) {
    println!(
        "{:>12.0} per second  {what}",
        BATCHES as f64 / time.as_secs_f64()
    );
}
