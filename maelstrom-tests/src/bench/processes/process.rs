//! A node as a process: its pipes, the threads that serve them, its log.
//!
//! Each node has a writer thread with a bounded queue and a reader thread, so that a node that does
//! not read, or is paused, does not block the others. Both work in batches: one write for all that
//! waits, and one event for all whole lines of a read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use raft::stdio::print_error;

use super::connection::ConnectionId;
use super::program::{DATA_DIR, Program};
use crate::bench::network::Node;
use crate::bench::signals;
use crate::{joined, lock};

/// The longest line that a node may print, in bytes. Twice what our own nodes send to each other at
/// most.
pub const LINE_BYTES_MAX: usize = 128 << 20;

/// The most bytes that wait to be written to one node; lines beyond it are dropped and counted.
/// Above the largest message of our own nodes, so that each fits into an empty queue.
pub const OUTBOX_BYTES_MAX: usize = 160 << 20;

/// The most events that wait for the cluster; beyond it the readers wait, and so do the nodes.
pub const EVENTS_MAX: usize = 1024;

/// How much a reader asks for at once.
const READ_BYTES: usize = 64 << 10;

/// How much of the end of a node's log is looked at when it breaks, and how many lines of it are
/// shown.
const LAST_BYTES: u64 = 8 << 10;
const LAST_LINES: usize = 12;

/// How long a node that has closed its output is given to end, before it is reported as still
/// running.
const END_GRACE: Duration = Duration::from_secs(1);

/// Which process of a node it is: 0 for the first, one more for each restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incarnation(pub u32);

/// The output of a node, as its reader passes it on, or the end of the run.
#[derive(Debug)]
pub enum Event {
    /// Output, and where it came.
    Output(Stream, Output),
    /// A signal stops the run.
    Stop,
}

/// Where a node's output comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The standard output of one of its processes.
    Stdout(Node, Incarnation),
    /// A client's connection.
    Client(ConnectionId),
}

/// Output of a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Some whole lines, each with its line feed.
    Lines(Vec<u8>),
    /// A line is longer than [`LINE_BYTES_MAX`]; these are its first bytes. Nothing more is read.
    TooLong(Vec<u8>),
    /// It has ended, with these bytes after the last line feed.
    Ended(Vec<u8>),
    /// The connection could not be made.
    Refused,
}

/// A running node.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Which of the node's processes it is.
    pub incarnation: Incarnation,
    outbox: Arc<Outbox>,
    unfinished: Arc<Mutex<Option<Unfinished>>>,
    log: PathBuf,
    /// The lines for the next flush.
    pending: Vec<u8>,
}

/// The bytes after the last line break of a node's output: since when there are any, and what to say of
/// them.
type Unfinished = (Instant, String);

/// How many unfinished bytes are shown.
const HEAD_BYTES: usize = 200;

/// The bytes on their way to a node's standard input.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// How many bytes the writer has taken and not yet written.
    in_write: usize,
    closed: bool,
}

impl Process {
    /// Starts a node. Its standard error goes to the end of the file `log`, and with `echo` to ours
    /// as well.
    ///
    /// # Errors
    /// The log cannot be created, or the program cannot be started.
    pub fn start(
        node: Node,
        incarnation: Incarnation,
        program: &Program,
        log: PathBuf,
        echo: bool,
        events: SyncSender<Event>,
    ) -> io::Result<Process> {
        let file = OpenOptions::new().append(true).create(true).open(&log)?;
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .current_dir(std::env::temp_dir())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env_remove(signals::CHILD);
        match &program.data {
            Some(folder) => command.env(DATA_DIR, folder),
            None => command.env_remove(DATA_DIR),
        };
        if echo {
            command.stderr(Stdio::piped());
        } else {
            command.stderr(file.try_clone()?);
        }
        let mut child = command.spawn()?;
        let outbox = Arc::new(Outbox::default());
        let unfinished = Arc::new(Mutex::new(None));
        if let Some(stdin) = child.stdin.take() {
            let outbox = Arc::clone(&outbox);
            spawn(format!("{node} writer"), move || outbox.serve(stdin))?;
        }
        if let Some(stdout) = child.stdout.take() {
            let unfinished = Arc::clone(&unfinished);
            spawn(format!("{node} reader"), move || {
                let stream = Stream::Stdout(node, incarnation);
                let pass = |output| events.send(Event::Output(stream, output)).is_ok();
                read(stdout, LINE_BYTES_MAX, pass, |rest| note(&unfinished, rest));
            })?;
        }
        if let Some(stderr) = child.stderr.take() {
            spawn(format!("{node} log"), move || tee(node, stderr, file))?;
        }
        Ok(Process {
            child,
            incarnation,
            outbox,
            unfinished,
            log,
            pending: Vec::new(),
        })
    }

    /// The process group that the node and its descendants are in, unless they leave it.
    pub fn group(&self) -> u32 {
        self.child.id()
    }

    /// Adds a line, with its line feed, to the next [`flush`](Process::flush).
    pub fn write(&mut self, line: &[u8]) {
        self.pending.extend_from_slice(line);
    }

    /// Passes the added lines to the writer, and returns how many were dropped for lack of room.
    pub fn flush(&mut self) -> u64 {
        if self.pending.is_empty() {
            return 0;
        }
        let dropped = self.outbox.put(&mut self.pending);
        self.pending.clear();
        dropped
    }

    /// Waits a moment for a node that has closed its output, and returns its exit status: `None` if
    /// it still runs.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + END_GRACE;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            // The standard library waits for a child without a limit or not at all.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end of a node that has been killed.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub fn reap(&mut self) -> io::Result<ExitStatus> {
        self.outbox.close();
        // The watchdog has killed it; if it could not, this does.
        self.child.kill()?;
        self.child.wait()
    }

    /// What the node has sent after its last line break, if that waits for at least this long.
    pub fn unfinished(&self, at_least: Duration) -> Option<String> {
        let unfinished = lock(&self.unfinished);
        let (since, text) = unfinished.as_ref()?;
        (since.elapsed() >= at_least).then(|| text.clone())
    }

    /// The last lines of the node's log and an unfinished line of its output, for a report on why
    /// it broke.
    pub fn last_words(&self) -> String {
        let words = match last_lines(&self.log) {
            Ok(lines) if lines.is_empty() => "its stderr is empty".to_owned(),
            Ok(lines) => format!("the end of its stderr:\n{lines}"),
            Err(error) => format!("cannot read {}: {error}", self.log.display()),
        };
        match self.unfinished(Duration::ZERO) {
            Some(unfinished) => format!("{unfinished}\n{words}"),
            None => words,
        }
    }
}

/// Notes the bytes after the last line break.
fn note(unfinished: &Mutex<Option<Unfinished>>, rest: &[u8]) {
    let mut unfinished = lock(unfinished);
    *unfinished = (!rest.is_empty()).then(|| {
        let since = unfinished
            .take()
            .map_or_else(Instant::now, |(since, _)| since);
        let length = rest.len();
        let head = String::from_utf8_lossy(&rest[..length.min(HEAD_BYTES)]);
        let dots = if length > HEAD_BYTES { "..." } else { "" };
        let text = format!("its stdout ends with {length} bytes and no line break: {head}{dots}");
        (since, text)
    });
}

impl Outbox {
    /// Takes as many lines as fit, and returns how many do not. May leave bytes in `lines`.
    pub(super) fn put(&self, lines: &mut Vec<u8>) -> u64 {
        let mut dropped = 0;
        let mut queue = lock(&self.state);
        if queue.closed {
            return 0;
        }
        if queue.bytes.is_empty() && queue.in_write + lines.len() <= OUTBOX_BYTES_MAX {
            std::mem::swap(&mut queue.bytes, lines);
        } else {
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                if queue.bytes.len() + queue.in_write + line.len() <= OUTBOX_BYTES_MAX {
                    queue.bytes.extend_from_slice(line);
                } else {
                    dropped += 1;
                }
            }
        }
        drop(queue);
        self.filled.notify_one();
        dropped
    }

    /// Writes lines until the box is closed, or the node closes its input; its reader notices its
    /// end.
    pub(super) fn serve(&self, mut stdin: impl io::Write) {
        let mut bytes = Vec::new();
        loop {
            let mut queue = lock(&self.state);
            queue.in_write = 0;
            let waits = |queue: &mut Queue| queue.bytes.is_empty() && !queue.closed;
            let filled = self.filled.wait_while(queue, waits);
            queue = filled.unwrap_or_else(PoisonError::into_inner);
            if queue.closed {
                return;
            }
            bytes.clear();
            std::mem::swap(&mut queue.bytes, &mut bytes);
            queue.in_write = bytes.len();
            drop(queue);
            if stdin.write_all(&bytes).is_err() {
                self.close();
                return;
            }
            if bytes.capacity() > READ_BYTES * 16 {
                bytes = Vec::new();
            }
        }
    }

    pub(super) fn close(&self) {
        let mut queue = lock(&self.state);
        queue.closed = true;
        queue.bytes = Vec::new();
        drop(queue);
        self.filled.notify_one();
    }
}

pub(in crate::bench) fn spawn(
    name: String,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(work).map(drop)
}

/// Passes a node's output on, whole lines at a time, until it ends, a line is longer than `most`
/// bytes, or `pass` returns that the receiver has gone. Passes what follows the last line break to
/// `note`.
pub(super) fn read(
    mut stdout: impl io::Read,
    most: usize,
    mut pass: impl FnMut(Output) -> bool,
    note: impl Fn(&[u8]),
) {
    let mut bytes = Vec::with_capacity(READ_BYTES);
    loop {
        let old = bytes.len();
        bytes.resize(old + READ_BYTES, 0);
        let length = match stdout.read(&mut bytes[old..]) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                bytes.truncate(old);
                continue;
            }
            // A pipe that cannot be read has ended for us.
            Err(_) => 0,
        };
        bytes.truncate(old + length);
        let output = if length == 0 {
            note(&[]);
            Output::Ended(std::mem::take(&mut bytes))
        } else if let Some(end) = bytes[old..].iter().rposition(|byte| *byte == b'\n') {
            let mut rest = Vec::with_capacity(READ_BYTES);
            rest.extend_from_slice(&bytes[old + end + 1..]);
            bytes.truncate(old + end + 1);
            note(&rest);
            Output::Lines(std::mem::replace(&mut bytes, rest))
        } else if bytes.len() > most {
            Output::TooLong(std::mem::take(&mut bytes))
        } else {
            note(&bytes);
            continue;
        };
        let last = !matches!(output, Output::Lines(_));
        if !pass(output) || last {
            return;
        }
    }
}

/// Copies a node's standard error to its log and, with its name before each line, to ours.
fn tee(node: Node, mut stderr: ChildStderr, mut log: File) {
    let mut bytes = vec![0; READ_BYTES];
    let mut line_begins = true;
    while let Ok(length @ 1..) = stderr.read(&mut bytes) {
        let part = &bytes[..length];
        if let Err(error) = log.write_all(part) {
            print_error(format_args!("cannot write the log of {node}: {error}"));
        }
        let mut named = Vec::with_capacity(part.len() + 64);
        for line in part.split_inclusive(|byte| *byte == b'\n') {
            if line_begins {
                named.extend_from_slice(format!("{node}: ").as_bytes());
            }
            named.extend_from_slice(line);
            line_begins = line.ends_with(b"\n");
        }
        // Our standard error may be closed.
        let _ = io::stderr().write_all(&named);
    }
}

fn last_lines(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LAST_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    let lines = lines[first..].iter().map(|line| format!("  {line}"));
    Ok(joined(lines, "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Hands out one part at each read.
    struct Parts(VecDeque<&'static [u8]>);

    impl io::Read for Parts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let part = self.0.pop_front().unwrap_or_default();
            buffer[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }

    fn events(parts: &[&'static [u8]], most: usize) -> Vec<String> {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let mut told = Vec::new();
        let pass = |output| {
            told.push(match output {
                Output::Lines(bytes) => format!("lines {}", text(bytes)),
                Output::TooLong(bytes) => format!("too long {}", text(bytes)),
                Output::Ended(bytes) => format!("ended {}", text(bytes)),
                Output::Refused => unreachable!("nothing is refused"),
            });
            true
        };
        let parts = Parts(parts.iter().copied().collect());
        read(parts, most, pass, |_| {});
        told
    }

    #[test]
    fn whole_lines_are_passed_on_together() {
        assert_eq!(
            events(&[b"a", b"b\nc\nd", b"e", b"f\n", b"g\n", b"h"], 100),
            ["lines ab\nc\n", "lines def\n", "lines g\n", "ended h"]
        );
    }

    #[test]
    fn bytes_without_a_line_break_are_noted() {
        let unfinished = Mutex::new(None);
        let told = |rest: &[u8]| {
            note(&unfinished, rest);
            let noted = unfinished.lock().expect("no thread panics");
            noted.as_ref().map(|(_, text)| text.clone())
        };
        let text = "its stdout ends with 2 bytes and no line break: {}";
        assert_eq!(told(b"{}").as_deref(), Some(text));
        assert!(told(&[b'x'; 300]).is_some_and(|text| text.ends_with("xxx...")));
        assert_eq!(told(b""), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_the_last() {
        assert_eq!(
            events(&[b"a\nbcd", b"ef", b"\n"], 4),
            ["lines a\n", "too long bcdef"]
        );
    }

    #[test]
    fn lines_that_do_not_fit_are_dropped_and_counted() {
        let outbox = Outbox::default();
        lock(&outbox.state).in_write = OUTBOX_BYTES_MAX - 5;
        let mut lines = b"ab\ncd\ne\n".to_vec();
        // The second line does not fit, the third does.
        assert_eq!(outbox.put(&mut lines), 1);
        assert_eq!(lock(&outbox.state).bytes, b"ab\ne\n");
        let mut more = b"f\n".to_vec();
        assert_eq!(outbox.put(&mut more), 1);
        lock(&outbox.state).in_write = 0;
        let mut more = b"g\n".to_vec();
        assert_eq!(outbox.put(&mut more), 0);
        assert_eq!(lock(&outbox.state).bytes, b"ab\ne\ng\n");
    }

    #[test]
    fn last_words_are_the_last_lines() {
        let name = format!("stdraft-log-{}", std::process::id());
        let log = std::env::temp_dir().join(name);
        let lines: Vec<String> = (0..5000).map(|line| format!("line {line}")).collect();
        std::fs::write(&log, lines.join("\n")).expect("a file");
        let told = last_lines(&log).expect("it can be read");
        let told: Vec<&str> = told.lines().map(str::trim).collect();
        assert_eq!(told, lines[lines.len() - LAST_LINES..]);
        std::fs::remove_file(&log).expect("it can be removed");
    }
}
