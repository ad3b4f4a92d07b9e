//! Measures how fast texts of various kinds are read and written: `cargo bench -p json [WORD]`,
//! where the word selects rows by a part of their names.
//!
//! Every figure is the median of rounds that take turns, in MB of text a second, with half the
//! distance between the quartiles as its spread. Other programs on the machine show in the spread.

#[path = "codec/corpora.rs"]
mod corpora;

use std::hint::black_box;
use std::time::{Duration, Instant};

use corpora::{Corpus, Kind};

const ROUNDS: usize = 15;

/// The least time of a round of one row.
const ROUND: Duration = Duration::from_millis(20);

json::record! {
    /// A message of the corpora.
    struct Message<'a> { id: Option<u64>, src: &'a str, dest: &'a str, body: Body<'a> }
}

json::record! {
    enum Body<'a> tagged "type" {
        Read as "read" { msg_id: u64, key: u64 },
        Write as "write" { msg_id: u64, key: u64, value: u64 },
        Cas as "cas" { msg_id: u64, key: u64, from: u64, to: u64, create_if_not_exists: Option<bool> },
        ReadOk as "read_ok" { msg_id: u64, in_reply_to: u64, value: u64 },
        WriteOk as "write_ok" { msg_id: u64, in_reply_to: u64 },
        Error as "error" { in_reply_to: u64, code: u64, text: &'a str },
        AppendEntries as "append_entries" { msg_id: u64, term: u64, leader_id: &'a str, prev_log_index: u64, entries: Vec<Entry<'a>> },
    }
}

json::record! {
    struct Entry<'a> { term: u64, index: u64, op: Operation<'a> }
}

json::record! {
    struct Operation<'a> { client: &'a str, kind: &'a str as "type", key: u64, value: Option<u64> }
}

/// One way to process a corpus, and its results so far.
struct Row<'c> {
    name: String,
    bytes: usize,
    pass: Box<dyn FnMut() + 'c>,
    /// In MB a second.
    rates: Vec<f64>,
}

fn main() {
    // Cargo passes `--bench`.
    let word = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let corpora = corpora::all();
    let mut rows: Vec<Row<'_>> = corpora.iter().flat_map(rows).collect();
    rows.retain(|row| {
        word.as_ref()
            .is_none_or(|word| row.name.contains(word.as_str()))
    });
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.round();
        }
    }
    println!("{:<32}{:>10}{:>9}", "", "MB/s", "spread");
    for row in &mut rows {
        println!("{}", row.line());
    }
}

impl Row<'_> {
    fn round(&mut self) {
        let start = Instant::now();
        let mut passes = 0;
        while passes == 0 || start.elapsed() < ROUND {
            (self.pass)();
            passes += 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        self.rates
            .push((self.bytes * passes) as f64 / 1e6 / seconds);
    }

    fn line(&mut self) -> String {
        self.rates.sort_by(f64::total_cmp);
        let quarter = |quarters: usize| self.rates[(self.rates.len() - 1) * quarters / 4];
        let spread = (quarter(3) - quarter(1)) / 2.0 / quarter(2);
        format!(
            "{:<32}{:>10.0}{:>8.1}%",
            self.name,
            quarter(2),
            100.0 * spread
        )
    }
}

/// The ways to process a corpus.
fn rows(corpus: &Corpus) -> Vec<Row<'_>> {
    let mut rows = vec![
        reading(corpus, "document, read", |text| {
            json::parse(text).expect("valid")
        }),
        writing(corpus, "document, write", |text| {
            json::parse(text).expect("valid")
        }),
        reading(corpus, "value, read", decoded::<json::Value>),
        writing(corpus, "value, write", decoded::<json::Value>),
        reading(corpus, "skip", decoded::<json::Raw<'_>>),
    ];
    match corpus.kind {
        Kind::Messages => {
            rows.push(reading(corpus, "typed, read", decoded::<Message<'_>>));
            rows.push(writing(corpus, "typed, write", decoded::<Message<'_>>));
        }
        Kind::Floats => {
            rows.push(reading(corpus, "typed, read", decoded::<Vec<[f64; 2]>>));
            rows.push(writing(corpus, "typed, write", decoded::<Vec<[f64; 2]>>));
        }
        Kind::Other => {}
    }
    rows
}

fn decoded<'c, T: json::Decode<'c>>(text: &'c [u8]) -> T {
    json::decode(text).expect("the corpus is valid")
}

/// A row that reads the texts of a corpus and drops the results.
fn reading<'c, T>(corpus: &'c Corpus, name: &str, read: impl Fn(&'c [u8]) -> T + 'c) -> Row<'c> {
    row(corpus, name, move || {
        for text in &corpus.texts {
            black_box(read(text));
        }
    })
}

/// A row that writes what was read from the texts of a corpus.
fn writing<'c, T: json::Encode + 'c>(
    corpus: &'c Corpus,
    name: &str,
    read: impl Fn(&'c [u8]) -> T,
) -> Row<'c> {
    let values: Vec<T> = corpus.texts.iter().map(|text| read(text)).collect();
    let mut out = Vec::new();
    row(corpus, name, move || {
        out.clear();
        for value in &values {
            json::encode_into(value, &mut out);
        }
        black_box(&out);
    })
}

fn row<'c>(corpus: &'c Corpus, name: &str, pass: impl FnMut() + 'c) -> Row<'c> {
    Row {
        name: format!("{}: {name}", corpus.name),
        bytes: corpus.texts.iter().map(Vec::len).sum(),
        pass: Box::new(pass),
        rates: Vec::new(),
    }
}
