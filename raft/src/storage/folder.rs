//! A node's open folder: the disk, the lock, and the first failure.

use std::io::ErrorKind as Io;
use std::sync::{Arc, OnceLock};

use raft_core::{EntryId, Index, Term};

use super::disk::{Disk, File, Lock};
use super::error::{Error, ErrorKind};

/// The suffix of files that are being written. They count only once they are renamed.
const ASIDE: &str = ".new";

/// A file name with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// The owner of the folder: `identity`.
    Identity,
    /// A segment of the log, by number: `log-NUMBER`, in 20 digits.
    Segment(u64),
    /// A snapshot, by the last entry that it covers: `snapshot-INDEX-TERM`, in 20 digits each.
    Snapshot(EntryId),
}

impl Name {
    /// A segment that no log has: only a file that is being written has its name.
    pub(super) const SPARE: Self = Self::Segment(0);

    pub(super) fn parse(name: &str) -> Option<Self> {
        let parsed = if name == "identity" {
            Self::Identity
        } else if let Some(number) = name.strip_prefix("log-") {
            Self::Segment(number.parse().ok()?)
        } else {
            let (index, term) = name.strip_prefix("snapshot-")?.split_once('-')?;
            Self::Snapshot(EntryId {
                term: Term(term.parse().ok()?),
                index: Index(index.parse().ok()?),
            })
        };
        // Each number has one form only.
        (parsed.text() == name).then_some(parsed)
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Identity => "identity".into(),
            Self::Segment(number) => format!("log-{number:020}"),
            Self::Snapshot(id) => format!("snapshot-{:020}-{:020}", id.index.0, id.term.0),
        }
    }

    /// The name of the file while it is being written.
    fn aside(self) -> String {
        self.text() + ASIDE
    }
}

/// The files of a folder.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) identity: bool,
    /// In ascending order.
    pub(super) segments: Vec<u64>,
    /// In ascending order of the index.
    pub(super) snapshots: Vec<EntryId>,
    /// Files that were being written when the process ended.
    pub(super) unfinished: Vec<String>,
}

/// The folder of a node. The log and the snapshots share it; it is locked until both are dropped.
#[derive(Debug)]
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    lock: Box<dyn Lock>,
    /// The first failure. Nothing is written after it.
    failed: OnceLock<String>,
}

impl Folder {
    pub(super) fn lock(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let lock = disk.lock().map_err(|error| match error.kind() {
            Io::WouldBlock => {
                let what = "another process uses this folder";
                Error::new(ErrorKind::Locked, disk.path(""), what)
            }
            _ => Error::disk(disk.path("lock"), "lock it", &error),
        })?;
        let failed = OnceLock::new();
        Ok(Self { disk, lock, failed })
    }

    /// Returns an error if another process may have changed the folder since it was locked.
    pub(super) fn demand_intact(&self) -> Result<(), Error> {
        let is_intact = self.lock.is_intact();
        if is_intact.map_err(self.failed("", "see whether a node uses the folder"))? {
            return Ok(());
        }
        let what = "a node has used this folder while it was read";
        Err(Error::new(ErrorKind::Locked, self.disk.path(""), what))
    }

    /// Lists the files. Unknown ones are ignored.
    pub(super) fn inventory(&self) -> Result<Inventory, Error> {
        let names = self.disk.list().map_err(self.failed("", "list it"))?;
        let mut inventory = Inventory::default();
        for name in names {
            match Name::parse(&name) {
                Some(Name::Identity) => inventory.identity = true,
                Some(Name::Segment(number)) => inventory.segments.push(number),
                Some(Name::Snapshot(id)) => inventory.snapshots.push(id),
                None if name.strip_suffix(ASIDE).and_then(Name::parse).is_some() => {
                    inventory.unfinished.push(name);
                }
                None => {}
            }
        }
        inventory.segments.sort_unstable();
        inventory.snapshots.sort_unstable_by_key(|id| id.index);
        Ok(inventory)
    }

    pub(super) fn open(&self, name: Name) -> Result<Handle, Error> {
        let text = name.text();
        let file = self.disk.open(&text);
        self.handle(&text, file, "open it")
    }

    /// Like [`Folder::open`], but `None` if there is no such file.
    pub(super) fn find(&self, name: Name) -> Result<Option<Handle>, Error> {
        let text = name.text();
        match self.disk.open(&text) {
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            file => self.handle(&text, file, "open it").map(Some),
        }
    }

    /// Creates a file that exists completely after a crash, or not at all.
    pub(super) fn create<T>(
        &self,
        name: Name,
        write: impl FnOnce(&Handle) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (file, written) = self.guard(|| self.prepare(name, write))?;
        self.publish(file, name, name)?;
        Ok(written)
    }

    /// Writes a file aside, so that the next start removes it, unless it is published. The caller
    /// guards it.
    pub(super) fn prepare<T>(
        &self,
        name: Name,
        write: impl FnOnce(&Handle) -> Result<T, Error>,
    ) -> Result<(Handle, T), Error> {
        let aside = name.aside();
        let file = self.disk.create(&aside);
        let file = self.handle(&aside, file, "create it")?;
        let written = write(&file)?;
        Ok((file, written))
    }

    /// Prepares a file that nothing depends on: after a failure, the folder can still be used.
    pub(super) fn prepare_optional(
        &self,
        name: Name,
        write: impl FnOnce(&Handle) -> Result<(), Error>,
    ) -> Result<Handle, Error> {
        self.demand_no_failure()?;
        match self.prepare(name, write) {
            Ok((file, ())) => Ok(file),
            Err(error) => {
                // Its room may be needed. If it stays, the next start removes it.
                drop(self.disk.remove(&name.aside()));
                Err(error)
            }
        }
    }

    /// Gives a file that was prepared as `from` its name, durably: it is synced and renamed, and the
    /// folder is synced.
    pub(super) fn publish(&self, file: Handle, from: Name, name: Name) -> Result<Handle, Error> {
        let (aside, text) = (from.aside(), name.text());
        self.guard(|| {
            file.sync()?;
            let renamed = self.disk.rename(&aside, &text);
            renamed.map_err(self.failed(&aside, "rename it"))?;
            self.sync_names()
        })?;
        let path = self.disk.path(&text);
        Ok(Handle { path, ..file })
    }

    /// Removes files one by one, so that after a crash the first few are missing, never one between
    /// others.
    pub(super) fn remove(&self, names: impl IntoIterator<Item = Name>) -> Result<(), Error> {
        self.guard(|| {
            for name in names {
                self.remove_text(&name.text())?;
                self.sync_names()?;
            }
            Ok(())
        })
    }

    /// Runs an operation that writes, unless an earlier one failed. Notes the first failure.
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.demand_no_failure()?;
        work().inspect_err(|error| {
            self.failed.get_or_init(|| error.to_string());
        })
    }

    /// Returns an error if an operation failed.
    fn demand_no_failure(&self) -> Result<(), Error> {
        match self.failed.get() {
            None => Ok(()),
            Some(first) => Err(Error::new(
                ErrorKind::Stopped,
                self.disk.path(""),
                format!("nothing is written after an earlier failure: {first}"),
            )),
        }
    }

    /// An error about a file.
    pub(super) fn refuse(&self, kind: ErrorKind, name: Name, what: impl Into<String>) -> Error {
        Error::new(kind, self.disk.path(&name.text()), what)
    }

    pub(super) fn remove_text(&self, name: &str) -> Result<(), Error> {
        let removed = self.disk.remove(name);
        removed.map_err(self.failed(name, "remove it"))
    }

    /// Makes the names durable.
    pub(super) fn sync_names(&self) -> Result<(), Error> {
        let synced = self.disk.sync_folder();
        synced.map_err(self.failed("", "sync the folder"))
    }

    /// The error of a call for a file; `doing` completes "cannot …".
    fn failed(&self, name: &str, doing: &str) -> impl Fn(std::io::Error) -> Error {
        move |error| Error::disk(self.disk.path(name), doing, &error)
    }

    fn handle(
        &self,
        name: &str,
        file: std::io::Result<Box<dyn File>>,
        doing: &str,
    ) -> Result<Handle, Error> {
        let file = file.map_err(self.failed(name, doing))?;
        let path = self.disk.path(name);
        Ok(Handle { path, file })
    }
}

/// An open file with its path.
#[derive(Debug)]
pub(super) struct Handle {
    path: String,
    file: Box<dyn File>,
}

impl Handle {
    pub(super) fn length(&self) -> Result<u64, Error> {
        self.file.length().map_err(self.failed("get its length"))
    }

    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), Error> {
        let read = self.file.read_at(bytes, offset);
        read.map_err(|error| self.failed("read it")(error).at(offset))
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        let written = self.file.write_at(bytes, offset);
        written.map_err(|error| self.failed("write it")(error).at(offset))
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync().map_err(self.failed("sync it"))
    }

    pub(super) fn refuse(&self, kind: ErrorKind, what: impl Into<String>) -> Error {
        Error::new(kind, self.path.clone(), what)
    }

    fn failed(&self, doing: &str) -> impl Fn(std::io::Error) -> Error {
        move |error| Error::disk(self.path.clone(), doing, &error)
    }
}
