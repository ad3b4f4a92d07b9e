//! Log lines on stderr.
//!
//! A node never waits for its stderr: lines wait in a bounded queue for the thread that writes
//! them. When the queue is full, lines are dropped until it is empty, and one line says how many.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, mem, thread};

use crate::host::{Depth, Limit};
use crate::named::named;
use crate::stdio::Waiting;

/// The most lines that wait for stderr. An error always has room, since a process logs few.
pub const LINES: Limit = Limit {
    items: 4_096,
    bytes: 1 << 20,
};

/// How long the end of the process waits until the lines are written, and then until the errors
/// among them are.
const LAST_LINES: Duration = Duration::from_secs(1);

named! {
    /// The severity of a log line. The most severe comes first.
    pub enum Level {
        /// Why the process ends.
        Error as "error",
        /// What an operator should look at.
        Warn as "warn",
        /// Rare events: start, roles, leaders.
        Info as "info",
        /// Frequent events.
        Debug as "debug",
    }
}

/// Writes log lines up to its level to stderr.
#[derive(Clone, Debug)]
pub struct Log {
    level: Level,
    lines: Arc<Lines>,
}

impl Log {
    /// A log for lines of this level and of more severe ones. They wait for [`Log::start`].
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self {
            level,
            lines: Arc::default(),
        }
    }

    /// Starts the thread that writes the lines.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(&self) -> io::Result<()> {
        let lines = self.lines.clone();
        let write = move || lines.write_to(Waiting(io::stderr()));
        thread::Builder::new().name("stderr".into()).spawn(write)?;
        Ok(())
    }

    /// Logs why the process ends.
    pub fn error(&self, text: impl fmt::Display) {
        self.write(Level::Error, text);
    }

    /// Logs what an operator should look at.
    pub fn warn(&self, text: impl fmt::Display) {
        self.write(Level::Warn, text);
    }

    /// Logs a rare event.
    pub fn info(&self, text: impl fmt::Display) {
        self.write(Level::Info, text);
    }

    /// Logs a frequent event.
    pub fn debug(&self, text: impl fmt::Display) {
        self.write(Level::Debug, text);
    }

    /// Waits until all lines are written, but only for a moment: nothing may read stderr.
    pub fn finish(&self) {
        if !self.lines.wait_until_written(LAST_LINES) {
            self.lines.keep_errors();
            self.lines.wait_until_written(LAST_LINES);
        }
    }

    /// The lines that wait, and those that were dropped.
    #[must_use]
    pub fn depth(&self) -> Depth {
        let queue = self.lines.lock();
        Depth {
            length: queue.waiting.len(),
            dropped: queue.dropped,
        }
    }

    fn write(&self, level: Level, text: impl fmt::Display) {
        if level <= self.level {
            let line = format!("{}: {text}\n", level.as_str());
            self.lines.push(level, line);
        }
    }
}

/// Passes lines from any thread to the one that writes them.
#[derive(Debug, Default)]
struct Lines {
    queue: Mutex<LineQueue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LineQueue {
    waiting: VecDeque<(Level, String)>,
    bytes: usize,
    /// The lines that are missing after those that wait.
    missing: u64,
    /// The lines that were dropped or could not be written since the start.
    dropped: u64,
    /// Whether the writer has taken a line and not written it yet.
    writing: bool,
}

impl Lines {
    fn push(&self, level: Level, line: String) {
        let mut queue = self.lock();
        let full = queue.waiting.len() >= LINES.items || queue.bytes + line.len() > LINES.bytes;
        if level > Level::Error && (full || queue.missing > 0) {
            queue.missing += 1;
            queue.dropped += 1;
            return;
        }
        queue.bytes += line.len();
        queue.waiting.push_back((level, line));
        drop(queue);
        self.changed.notify_all();
    }

    /// Writes lines as they come, for ever. One write per line, so that lines of several nodes on
    /// one terminal do not mix.
    fn write_to(&self, mut sink: impl Write) {
        let mut queue = self.lock();
        loop {
            let Some(line) = queue.next() else {
                let waited = self.changed.wait(queue);
                queue = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.writing = true;
            drop(queue);
            let written = sink.write_all(line.as_bytes());
            queue = self.lock();
            queue.writing = false;
            // The next line is tried all the same: a full disk may have room again.
            queue.dropped += u64::from(written.is_err());
            self.changed.notify_all();
        }
    }

    /// Drops what waits before an error, so that a slow stderr shows why the process ends.
    fn keep_errors(&self) {
        let mut queue = self.lock();
        let before = queue.waiting.len();
        queue.waiting.retain(|(level, _)| *level == Level::Error);
        queue.bytes = queue.waiting.iter().map(|(_, line)| line.len()).sum();
        let gone = (before - queue.waiting.len()) as u64;
        queue.missing += gone;
        queue.dropped += gone;
    }

    /// Returns whether all lines were written in this time.
    fn wait_until_written(&self, limit: Duration) -> bool {
        let unwritten =
            |queue: &mut LineQueue| queue.writing || !queue.waiting.is_empty() || queue.missing > 0;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), limit, unwritten);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, LineQueue> {
        // The queue is consistent after every statement, so a panic elsewhere does no harm.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineQueue {
    /// The next line to write, which may be the one that says how many are missing.
    fn next(&mut self) -> Option<String> {
        if let Some((_, line)) = self.waiting.pop_front() {
            self.bytes -= line.len();
            return Some(line);
        }
        match mem::take(&mut self.missing) {
            0 => None,
            missing => Some(format!(
                "warn: log lines dropped here because stderr was not read in time: {missing}\n"
            )),
        }
    }
}

/// Decides which occurrences of an event are logged: the 1st, 2nd, 4th, 8th and so on, so that
/// senders of invalid input cannot fill a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sparse {
    count: u64,
}

impl Sparse {
    /// Counts an occurrence. Returns its number if it is to be logged.
    pub fn count(&mut self) -> Option<u64> {
        self.count += 1;
        self.count.is_power_of_two().then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    /// Waits for a permission before it takes each line.
    struct Slow {
        permissions: Receiver<()>,
        taken: Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without permissions it takes everything.
            let _ = self.permissions.recv();
            let line = String::from_utf8(bytes.to_vec()).unwrap();
            // The test may have ended.
            let _ = self.taken.send(line.trim_end().into());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log of all levels on a [`Slow`] stderr.
    fn slow() -> (Log, Sender<()>, Receiver<String>) {
        let log = Log::new(Level::Debug);
        let (permit, permissions) = mpsc::channel();
        let (taken, lines) = mpsc::channel();
        let queue = log.lines.clone();
        thread::spawn(move || queue.write_to(Slow { permissions, taken }));
        (log, permit, lines)
    }

    /// Only a hanging test waits this long.
    const HANG: Duration = Duration::from_secs(3600);

    #[test]
    fn lines_are_written_in_order() {
        let (log, permit, lines) = slow();
        drop(permit);
        log.info("first");
        log.debug("second");
        log.error("third");
        assert!(log.lines.wait_until_written(HANG));
        let written: Vec<String> = lines.try_iter().collect();
        assert_eq!(written, ["info: first", "debug: second", "error: third"]);
        assert_eq!(log.depth().dropped, 0);
    }

    #[test]
    fn unread_stderr_drops_lines_and_counts_them() {
        let (log, permit, lines) = slow();
        log.info(0);
        while log.depth().length > 0 {
            thread::yield_now(); // The writer takes the line.
        }
        for number in 1..LINES.items + 100 {
            log.info(number);
        }
        let (length, dropped) = (LINES.items, 99);
        assert_eq!(log.depth(), Depth { length, dropped });
        assert!(!log.lines.wait_until_written(Duration::ZERO));

        // While lines are missing, only an error has room.
        permit.send(()).unwrap();
        assert_eq!(lines.recv().unwrap(), "info: 0");
        log.info("dropped");
        log.error("the node ends");
        drop(permit);
        assert!(log.lines.wait_until_written(HANG));
        let written: Vec<String> = lines.try_iter().collect();
        let [.., error, notice] = &written[..] else {
            panic!("{written:?}");
        };
        assert_eq!(error, "error: the node ends");
        assert!(
            notice.starts_with("warn: log lines dropped here"),
            "{notice}"
        );
        assert!(notice.ends_with(&format!(": {}", dropped + 1)), "{notice}");
        assert_eq!(log.depth().dropped, dropped + 1);
        // All lines were written or counted.
        assert_eq!(written.len() as u64 + dropped, LINES.items as u64 + 100 + 1);

        log.info("it flows again");
        assert_eq!(lines.recv().unwrap(), "info: it flows again");
    }

    #[test]
    fn errors_are_written_before_the_end() {
        let (log, permit, lines) = slow();
        log.info("in the writer's hands");
        while log.depth().length > 0 {
            thread::yield_now();
        }
        log.info("waits");
        log.error("the node ends");
        log.lines.keep_errors();
        drop(permit);
        assert!(log.lines.wait_until_written(HANG));
        let written: Vec<String> = lines.try_iter().collect();
        assert_eq!(
            written[..2],
            ["info: in the writer's hands", "error: the node ends"]
        );
        assert!(written[2].starts_with("warn: log lines dropped here"));
    }

    #[test]
    fn long_lines_are_bounded_by_their_bytes() {
        let log = Log::new(Level::Debug);
        let line = "x".repeat(LINES.bytes / 4);
        for _ in 0..10 {
            log.info(&line);
        }
        assert_eq!((log.depth().length, log.depth().dropped), (3, 7));
    }

    #[test]
    fn failed_write_does_not_end_the_log() {
        /// Takes every second line.
        struct Failing(Sender<String>, bool);

        impl Write for Failing {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0
                    .send(String::from_utf8(bytes.to_vec()).unwrap())
                    .unwrap();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let log = Log::new(Level::Info);
        let (taken, lines) = mpsc::channel();
        let queue = log.lines.clone();
        thread::spawn(move || queue.write_to(Failing(taken, false)));
        log.info(1);
        log.info(2);
        assert_eq!(lines.recv().unwrap(), "info: 2\n");
        assert!(log.lines.wait_until_written(HANG));
        assert_eq!(log.depth().dropped, 1);
    }

    #[test]
    fn most_severe_level_is_first() {
        assert!(Level::Error < Level::Warn && Level::Warn < Level::Info);
        assert!(Level::ALL.is_sorted());
    }

    #[test]
    fn logged_occurrences_become_rare() {
        let mut sparse = Sparse::default();
        let logged: Vec<u64> = (0..100).filter_map(|_| sparse.count()).collect();
        assert_eq!(logged, [1, 2, 4, 8, 16, 32, 64]);
    }
}
