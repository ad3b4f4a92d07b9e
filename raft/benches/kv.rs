//! The cost of a snapshot of a large map: `cargo bench -p raft --bench kv`.
//!
//! Two figures matter: cloning the map, which happens under the node's lock, and how much slower
//! writes are afterwards, since each copies nodes that the clone shares. The rest is work of another
//! thread.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use json::Value;
use raft::host::Image;
use raft::kv::{Command, Kv};
use raft_core::StateMachine;
use rand::Rng;

const KEYS: u64 = 1_000_000;
const WRITES: usize = 100_000;

fn main() {
    let mut rng = Rng::seeded(1);
    let mut kv = Kv::default();
    let fill = timed(|| (0..KEYS).for_each(|key| write(&mut kv, key)));
    print(&format!("put {KEYS} keys"), fill);

    let some = |rng: &mut Rng| -> Vec<u64> { (0..WRITES).map(|_| rng.below(KEYS)).collect() };
    let each = |time: Duration| time / WRITES as u32;
    let keys = some(&mut rng);
    let before = timed(|| keys.iter().for_each(|key| write(&mut kv, *key)));
    print("one write", each(before));

    let mut image = Kv::default();
    let capture = timed(|| image = kv.clone());
    print("copy the map", capture);
    let keys = some(&mut rng);
    let after = timed(|| keys.iter().for_each(|key| write(&mut kv, *key)));
    print("one write of the first 100000 after the copy", each(after));

    let encode = timed(|| image.write(&mut io::sink()).expect("a sink never fails"));
    print("encode the copy", encode);
    let release = timed(|| drop(image));
    print("drop the copy", release);

    let mut bytes = Vec::new();
    kv.write(&mut bytes).expect("memory never fails");
    println!("{:>12} bytes  the image", bytes.len());
    let decode = timed(|| drop(black_box(Kv::read(&bytes).expect("an image"))));
    print("decode the image and drop the map", decode);
}

fn write(kv: &mut Kv, key: u64) {
    let value = Value::from(key).into();
    let key = Value::from(format!("key {key:07}")).into();
    kv.apply(&Command::Write { key, value });
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn print(what: &str, time: Duration) {
    println!("{:>15.3} us  {what}", time.as_nanos() as f64 / 1e3);
}
