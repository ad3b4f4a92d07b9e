//! A disk in memory that fails in every way a real one may. The same seed gives the same failures.
//!
//! For each file the disk keeps what the process reads, what a power cut would leave, and the
//! writes between the two. It counts its calls, so that a test can run a history once to the end
//! and then once per call, with a crash just before or just after that call.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft::storage::disk::memory::{read, write};
use raft::storage::disk::{Disk, File, Lock};
use rand::Rng;

/// The number of bytes that a disk writes atomically.
const SECTOR: u64 = 512;

/// A folder on a faulty disk. Its clones share the folder; [`FaultyDisk::fork`] copies it.
#[derive(Clone, Debug)]
pub struct FaultyDisk(Arc<Mutex<State>>);

/// Whether a process dies before or after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The call has no effect.
    Before,
    /// The call has its full effect, but does not return.
    After,
}

/// Which part of the unsynced writes of each file a power cut leaves, and which part of the
/// unsynced changes of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Nothing.
    Nothing,
    /// All: only the process died. The writes remain unsynced, and a later power cut may lose them.
    /// What a failed sync lost can still be read until then.
    Everything,
    /// The first writes, the last of them cut at any byte. The first changes of names.
    Bytes,
    /// The same, but cut between two sectors of 512 bytes.
    Sectors,
    /// Any subset of the written sectors. Any subset of the changes of names.
    Scattered,
}

impl Tear {
    /// Every kind of tear.
    pub const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Everything,
        Self::Bytes,
        Self::Sectors,
        Self::Scattered,
    ];
}

#[derive(Clone, Debug)]
struct State {
    rng: Rng,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    /// The names that the process sees.
    names: BTreeMap<String, u64>,
    /// The names that a power cut would leave.
    durable_names: BTreeMap<String, u64>,
    /// The changes that lead from `durable_names` to `names`.
    changes: Vec<Change>,
    calls: u64,
    /// Counts the processes. Open files and locks of an earlier process fail.
    process: u64,
    /// The process that holds the folder's lock.
    locked_by: Option<u64>,
    dead: bool,
    crash: Option<(u64, Moment)>,
    failure: Option<(u64, io::ErrorKind)>,
    capacity: u64,
    /// The most bytes of a file that ever waited for a sync.
    unsynced_max: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// The writes that lead from `durable` to `seen`.
    writes: Vec<(u64, Vec<u8>)>,
    /// The bytes written since the last sync.
    unsynced: u64,
}

/// A creation, a rename or a removal.
#[derive(Clone, Debug)]
struct Change {
    /// This name goes.
    from: String,
    /// This one then names this file; none after a removal.
    to: Option<(String, u64)>,
}

impl FaultyDisk {
    /// An empty folder. Every random choice is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::seeded(seed),
            files: BTreeMap::new(),
            next_file: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            calls: 0,
            process: 0,
            locked_by: None,
            dead: false,
            crash: None,
            failure: None,
            capacity: u64::MAX,
            unsynced_max: 0,
        })))
    }

    /// A copy of the folder and its history, with a new seed.
    pub fn fork(&self, seed: u64) -> Self {
        let mut state = self.state().clone();
        state.rng = Rng::seeded(seed);
        Self(Arc::new(Mutex::new(state)))
    }

    /// The number of calls so far, to the folder and to its files.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Plans a crash: the process dies at this call, and all later calls fail. The first call is
    /// number 1.
    pub fn crash_at(&self, call: u64, moment: Moment) {
        self.state().crash = Some((call, moment));
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Plans a failure of one call. A write that fails has written a part. A sync of a file that
    /// fails loses what it was to make durable, though it can still be read: a second sync succeeds
    /// and does nothing. A sync of the folder that fails does nothing: a file system keeps changes of
    /// names in its journal, so a power cut may leave any of them, and a second sync makes them
    /// durable.
    pub fn fail_at(&self, call: u64, error: io::ErrorKind) {
        self.state().failure = Some((call, error));
    }

    /// Limits the total size of all files. A write beyond the limit writes what fits and fails with
    /// [`io::ErrorKind::StorageFull`].
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// The total size of all files, in bytes.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// The most bytes that one sync of a file had to write so far.
    pub fn unsynced_max(&self) -> u64 {
        self.state().unsynced_max
    }

    /// The names of all files that the process sees, in order, with their lengths in bytes. Does
    /// not count as a call.
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let length = |id| state.files[id].seen.len() as u64;
        let names = state.names.iter();
        names.map(|(name, id)| (name.clone(), length(id))).collect()
    }

    /// Flips one bit of a file, in its durable content too. Bit 0 is the lowest of the first byte.
    ///
    /// # Panics
    /// If the file or the bit does not exist.
    pub fn flip(&self, name: &str, bit: u64) {
        let mut state = self.state();
        let id = state.names[name];
        let content = state.files.get_mut(&id).expect("every name has a file");
        content.seen[(bit / 8) as usize] ^= 1 << (bit % 8);
        // The durable content may be shorter.
        if let Some(byte) = content.durable.get_mut((bit / 8) as usize) {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// Ends the process and begins the next one. `content` says which unsynced writes remain,
    /// `names` which unsynced creations, renames and removals. Clears planned crashes and failures.
    pub fn restart(&self, content: Tear, names: Tear) {
        let state = &mut *self.state();
        for file in state.files.values_mut() {
            file.tear(content, &mut state.rng);
        }
        if names != Tear::Everything {
            for change in surviving(std::mem::take(&mut state.changes), names, &mut state.rng) {
                change.apply(&mut state.durable_names);
            }
            state.names = state.durable_names.clone();
        }
        state.files.retain(|id, _| {
            let mut named = state.names.values().chain(state.durable_names.values());
            let is_named = named.any(|other| other == id);
            is_named || state.changes.iter().any(|change| change.is_about(*id))
        });
        state.process += 1;
        state.locked_by = None;
        state.dead = false;
        state.crash = None;
        state.failure = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and does its `work`, or what is planned for it instead: `broken` is what a
    /// failing call does.
    fn call<T>(
        &self,
        process: Option<u64>,
        work: impl FnOnce(&mut State) -> io::Result<T>,
        broken: impl FnOnce(&mut State),
    ) -> io::Result<T> {
        let mut state = self.state();
        if state.dead || process.is_some_and(|process| process != state.process) {
            return Err(io::Error::other("the process is dead"));
        }
        state.calls += 1;
        let now = state.calls;
        if let Some((call, error)) = state.failure
            && call == now
        {
            broken(&mut state);
            return Err(error.into());
        }
        match state.crash {
            Some((call, moment)) if call == now => {
                let done = (moment == Moment::After).then(|| work(&mut state));
                state.dead = true;
                // Dropped after the mutex: dropping a `Held` locks it again.
                drop(state);
                done.transpose()?;
                Err(io::Error::other("the process dies at this call"))
            }
            _ => work(&mut state),
        }
    }

    fn folder_call<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.call(None, work, |_| ())
    }

    fn file(&self, state: &State, id: u64) -> Box<dyn File> {
        Box::new(Open {
            disk: self.clone(),
            process: state.process,
            id,
        })
    }
}

impl Disk for FaultyDisk {
    fn path(&self, name: &str) -> String {
        format!("faulty:{name}")
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        self.folder_call(|state| {
            if state.locked_by.is_some() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.locked_by = Some(state.process);
            let lock: Box<dyn Lock> = Box::new(Held {
                disk: self.clone(),
                process: state.process,
            });
            Ok(lock)
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder_call(|state| Ok(state.names.keys().cloned().collect()))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.folder_call(|state| match state.names.get(name) {
            Some(id) => Ok(self.file(state, *id)),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.folder_call(|state| {
            let id = state.next_file;
            state.next_file += 1;
            state.files.insert(id, Content::default());
            state.change(name, Some((name, id)));
            Ok(self.file(state, id))
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder_call(|state| {
            let id = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            state.change(from, Some((to, id)));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder_call(|state| {
            if !state.names.contains_key(name) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.change(name, None);
            Ok(())
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.folder_call(|state| {
            state.durable_names = state.names.clone();
            state.changes.clear();
            Ok(())
        })
    }
}

impl State {
    fn change(&mut self, from: &str, to: Option<(&str, u64)>) {
        let from = from.to_owned();
        let to = to.map(|(name, id)| (name.to_owned(), id));
        let change = Change { from, to };
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn used(&self) -> u64 {
        let named = self.names.values();
        named.map(|id| self.files[id].seen.len() as u64).sum()
    }

    /// Writes as much as fits.
    fn write(&mut self, id: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let used = self.used();
        let file = self.files.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let length = file.seen.len() as u64;
        let room = self.capacity.saturating_sub(used);
        let fits = (length + room).saturating_sub(offset);
        let written = bytes.len().min(usize::try_from(fits).unwrap_or(usize::MAX));
        if written > 0 {
            write(&mut file.seen, &bytes[..written], offset);
            file.writes.push((offset, bytes[..written].into()));
            file.unsynced += written as u64;
            self.unsynced_max = self.unsynced_max.max(file.unsynced);
        }
        if written < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Change {
    fn is_about(&self, file: u64) -> bool {
        self.to.as_ref().is_some_and(|(_, id)| *id == file)
    }

    /// Applies the change, even where an earlier change is missing: a rename names the file, not
    /// its former name.
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        names.remove(&self.from);
        names.extend(self.to.clone());
    }
}

impl Content {
    fn tear(&mut self, tear: Tear, rng: &mut Rng) {
        let mut writes = self.writes.clone();
        match tear {
            Tear::Nothing => writes.clear(),
            Tear::Everything => return,
            Tear::Bytes | Tear::Sectors => {
                if !writes.is_empty() {
                    writes.truncate(rng.range(1..=writes.len() as u64) as usize);
                }
                if let Some((offset, bytes)) = writes.last_mut() {
                    let mut kept = rng.range(0..=bytes.len() as u64);
                    if tear == Tear::Sectors {
                        kept = ((*offset + kept) / SECTOR * SECTOR).saturating_sub(*offset);
                    }
                    let lost = bytes.split_off(kept as usize);
                    // The file may have grown before the bytes were written.
                    if rng.chance(1, 2) && *offset + kept >= self.durable.len() as u64 {
                        bytes.resize(bytes.len() + lost.len(), 0);
                    }
                }
            }
            Tear::Scattered => {
                writes = writes.iter().flat_map(sectors).collect();
                writes.retain(|_| rng.chance(1, 2));
            }
        }
        for (offset, bytes) in writes {
            write(&mut self.durable, &bytes, offset);
        }
        self.seen = self.durable.clone();
        self.writes.clear();
    }
}

/// Splits a write at the boundaries of sectors.
fn sectors((offset, bytes): &(u64, Vec<u8>)) -> Vec<(u64, Vec<u8>)> {
    let mut parts = Vec::new();
    let mut at = *offset;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let here = ((SECTOR - at % SECTOR) as usize).min(rest.len());
        parts.push((at, rest[..here].to_vec()));
        at += here as u64;
        rest = &rest[here..];
    }
    parts
}

fn surviving(mut changes: Vec<Change>, tear: Tear, rng: &mut Rng) -> Vec<Change> {
    match tear {
        Tear::Nothing => changes.clear(),
        Tear::Everything => {}
        Tear::Bytes | Tear::Sectors => {
            changes.truncate(rng.range(0..=changes.len() as u64) as usize);
        }
        Tear::Scattered => changes.retain(|_| rng.chance(1, 2)),
    }
    changes
}

/// An open file.
#[derive(Debug)]
struct Open {
    disk: FaultyDisk,
    process: u64,
    id: u64,
}

impl File for Open {
    fn length(&self) -> io::Result<u64> {
        let work = |state: &mut State| Ok(state.files[&self.id].seen.len() as u64);
        self.disk.call(Some(self.process), work, |_| ())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let work = |state: &mut State| read(&state.files[&self.id].seen, bytes, offset);
        self.disk.call(Some(self.process), work, |_| ())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let work = |state: &mut State| state.write(self.id, bytes, offset);
        let broken = |state: &mut State| {
            let part = state.rng.below(bytes.len() as u64 + 1) as usize;
            // The caller gets the planned failure in any case.
            let _ = state.write(self.id, &bytes[..part], offset);
        };
        self.disk.call(Some(self.process), work, broken)
    }

    fn sync(&self) -> io::Result<()> {
        let work = |state: &mut State| {
            let file = state.files.get_mut(&self.id).expect("an open file");
            for (offset, bytes) in std::mem::take(&mut file.writes) {
                write(&mut file.durable, &bytes, offset);
            }
            file.unsynced = 0;
            Ok(())
        };
        let broken = |state: &mut State| {
            let file = state.files.get_mut(&self.id).expect("an open file");
            file.writes.clear();
        };
        self.disk.call(Some(self.process), work, broken)
    }
}

/// The folder's lock.
#[derive(Debug)]
struct Held {
    disk: FaultyDisk,
    process: u64,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locked_by == Some(self.process) {
            state.locked_by = None;
        }
    }
}

#[cfg(test)]
mod tests;
