//! A folder of the file system.

use std::fs::{self, Metadata, OpenOptions, TryLockError};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{io, thread};

use super::{Disk, File, Lock};

/// The locked file. It stays in the folder, empty; the lock itself ends with the process.
const LOCK: &str = "lock";

/// A file that shows whether files can be created. It is removed at once.
const PROBE: &str = "probe.new";

/// How often a node tries to lock a folder, and the pause in between: a command that reads the
/// folder locks it for a moment.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A folder of the file system.
///
/// It is opened once, and every file is reached through the open folder. So a process never writes
/// into two folders, whatever becomes of the folder's name meanwhile.
#[derive(Clone, Debug)]
pub struct Real {
    /// The folder's name, for messages.
    name: PathBuf,
    folder: Arc<fs::File>,
    /// A path to the open folder: that of its descriptor, which stays right when the folder is
    /// moved. On systems that have none it is the folder's own path.
    path: PathBuf,
    read_only: bool,
}

impl Real {
    /// Opens the folder. Creates it and its parents if need be.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let mut missing = Vec::new();
        let mut present = folder;
        while !present.as_os_str().is_empty() && !present.exists() {
            missing.push(present);
            present = present.parent().unwrap_or(Path::new(""));
        }
        for new in missing.into_iter().rev() {
            fs::create_dir(new).or_else(|error| match error.kind() {
                // Another node has created the common parent meanwhile.
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            })?;
            sync_name(new)?;
        }
        // An earlier process may have created it and ended before this.
        sync_name(folder)?;
        Self::open(folder, false)
    }

    /// Opens the folder for reading only: every call that would change it fails with
    /// [`io::ErrorKind::PermissionDenied`].
    ///
    /// # Errors
    /// It does not exist or is not a folder, or those of the file system.
    pub fn read_only(folder: &Path) -> io::Result<Self> {
        Self::open(folder, true)
    }

    fn open(name: &Path, read_only: bool) -> io::Result<Self> {
        // Before it is opened, since opening a pipe would wait for a writer.
        if !fs::metadata(name)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let folder = fs::File::open(name)?;
        let here = folder.metadata()?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let leads_here = fs::metadata(&path).is_ok_and(|there| is_same(&there, &here));
        Ok(Self {
            name: name.into(),
            folder: Arc::new(folder),
            path: if leads_here {
                path
            } else {
                fs::canonicalize(name)?
            },
            read_only,
        })
    }

    /// The path of a file, or of the folder itself if the name is empty.
    fn reach(&self, name: &str) -> io::Result<PathBuf> {
        let there = fs::metadata(&self.path);
        if !is_same(&there?, &self.folder.metadata()?) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the folder was moved or replaced",
            ));
        }
        Ok(self.path.join(name))
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.read_only {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the folder was opened for reading only",
            ));
        }
        Ok(())
    }

    /// Returns an error if no file can be created, as in a folder of another user. The node must
    /// not notice it only at its first new segment.
    fn probe(&self) -> io::Result<()> {
        let path = self.reach(PROBE)?;
        let tried = fs::File::create(&path).and_then(|_| fs::remove_file(&path));
        tried.or_else(|error| match error.kind() {
            // Recovery makes room first.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Ok(()),
            kind => {
                let text = format!("no file can be created in its folder: {error}");
                Err(io::Error::new(kind, text))
            }
        })
    }

    /// When a node last locked the folder, by its lock file.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if a node holds the lock.
    fn last_locked(&self) -> io::Result<Option<SystemTime>> {
        let folder = fs::File::open(self.reach("")?)?;
        taken(folder.try_lock_shared())?;
        match fs::metadata(self.reach(LOCK)?) {
            Ok(lock) => lock.modified().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether both are of the same file.
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn taken(lock: Result<(), TryLockError>) -> io::Result<()> {
    lock.map_err(|error| match error {
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        TryLockError::Error(error) => error,
    })
}

/// Makes the name of a folder or a file durable in its parent.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|path| !path.as_os_str().is_empty());
    fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

impl Disk for Real {
    fn path(&self, name: &str) -> String {
        self.name.join(name).display().to_string()
    }

    /// The lock is the operating system's (`flock`), which ends with the process.
    ///
    /// A node locks both a file in the folder and the folder. Without the lock on the folder,
    /// removing the file by hand would admit a second process. Without the file, the lock would
    /// hold on one machine only where the folder is on a network file system.
    ///
    /// A folder opened for reading stays unlocked, so that no reader delays a node: the lock tells
    /// in the end whether a node has used the folder since.
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        if self.read_only {
            return Ok(Box::new(Watched {
                locked: self.last_locked()?,
                disk: self.clone(),
            }));
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.reach(LOCK)?)?;
        taken(file.try_lock())?;
        let folder = fs::File::open(self.reach("")?)?;
        let mut tries = 1;
        while let Err(error) = taken(folder.try_lock()) {
            // A reader only looks whether a node holds the lock.
            if error.kind() != io::ErrorKind::WouldBlock || tries == LOCK_TRIES {
                return Err(error);
            }
            tries += 1;
            thread::sleep(LOCK_PAUSE);
        }
        // Readers see by the file's time that a node was here. It changes with the length, even if
        // that stays 0.
        file.set_len(0)?;
        self.probe()?;
        Ok(Box::new([file, folder]))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for file in fs::read_dir(self.reach("")?)? {
            // Names that are not UTF-8 are not ours.
            names.extend(file?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(!self.read_only)
            .open(self.reach(name)?)?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.check_writable()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.reach(name)?)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::rename(self.reach(from)?, self.reach(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::remove_file(self.reach(name)?)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.check_writable()?;
        self.folder.sync_all()
    }
}

impl File for fs::File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    /// `fdatasync`: the bytes, and the metadata needed to read them, such as the length.
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The locked file and folder.
impl Lock for [fs::File; 2] {}

/// A folder that is read without a lock.
#[derive(Debug)]
struct Watched {
    disk: Real,
    /// When a node last locked it before.
    locked: Option<SystemTime>,
}

impl Lock for Watched {
    fn is_intact(&self) -> io::Result<bool> {
        match self.disk.last_locked() {
            Ok(locked) => Ok(locked == self.locked),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::{env, process};

    use super::*;

    /// A folder of its own for a test, removed in the end.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("stdraft-real-{}-{number}", process::id());
            let folder = env::temp_dir().join(name);
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        /// Moves the folder `a` to `b`, and creates another `a`.
        fn replace(&self) {
            fs::rename(self.0.join("a"), self.0.join("b")).unwrap();
            fs::create_dir(self.0.join("a")).unwrap();
        }

        fn names(&self, folder: &str) -> Vec<String> {
            Real::read_only(&self.0.join(folder))
                .unwrap()
                .list()
                .unwrap()
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
        result.err().map(|error| error.kind())
    }

    /// All calls that reach a file.
    fn calls(disk: &Real) -> [Option<io::ErrorKind>; 6] {
        [
            kind(disk.create("x")),
            kind(disk.rename("x", "y")),
            kind(disk.open("y")),
            kind(disk.list()),
            kind(disk.remove("y")),
            kind(disk.create("z")),
        ]
    }

    #[test]
    fn moved_folder_is_still_the_open_one() {
        let temporary = Temporary::new();
        let disk = Real::create(&temporary.0.join("a")).unwrap();
        if !disk.path.starts_with("/proc") {
            return;
        }
        temporary.replace();
        assert_eq!(calls(&disk), [None; 6]);
        assert_eq!(kind(disk.sync_folder()), None);
        let lock = disk.lock().unwrap();
        assert_eq!(temporary.names("a"), [""; 0]);
        assert_eq!(temporary.names("b"), ["lock", "z"]);
        // The new folder is another one, with a lock of its own.
        let other = Real::create(&temporary.0.join("a")).unwrap();
        assert!(other.lock().is_ok());
        drop(lock);
    }

    /// As on a system without `/proc`.
    #[test]
    fn moved_folder_is_not_found_by_its_path() {
        let temporary = Temporary::new();
        let path = temporary.0.join("a");
        let disk = Real {
            path: path.clone(),
            ..Real::create(&path).unwrap()
        };
        assert_eq!(calls(&disk), [None; 6]);
        temporary.replace();
        assert_eq!(calls(&disk), [Some(io::ErrorKind::NotFound); 6]);
        assert_eq!(kind(disk.lock()), Some(io::ErrorKind::NotFound));
        assert_eq!(temporary.names("a"), [""; 0]);
    }

    #[test]
    fn reader_notices_a_node_and_does_not_delay_it() {
        let temporary = Temporary::new();
        let node = Real::create(&temporary.0).unwrap();
        let reader = Real::read_only(&temporary.0).unwrap();
        let unused = reader.lock().unwrap();
        assert!(unused.is_intact().unwrap());
        let lock = node.lock().unwrap();
        assert!(!unused.is_intact().unwrap(), "a node uses the folder");
        assert_eq!(kind(reader.lock()), Some(io::ErrorKind::WouldBlock));
        drop(lock);
        assert!(!unused.is_intact().unwrap(), "a node has used the folder");

        // Long ago, since the file's time is coarse.
        let file = fs::File::create(temporary.0.join(LOCK)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let used = reader.lock().unwrap();
        assert!(used.is_intact().unwrap());
        drop(node.lock().unwrap());
        assert!(!used.is_intact().unwrap(), "a node has used it again");
        assert!(reader.lock().unwrap().is_intact().unwrap());
        assert_eq!(temporary.names(""), ["lock"]);
    }

    #[test]
    fn reader_notices_a_node_whose_lock_file_is_gone() {
        let temporary = Temporary::new();
        let node = Real::create(&temporary.0).unwrap();
        let _lock = node.lock().unwrap();
        fs::remove_file(temporary.0.join(LOCK)).unwrap();
        let reader = Real::read_only(&temporary.0).unwrap();
        assert_eq!(kind(reader.lock()), Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn folder_without_room_for_a_file_is_refused() {
        let temporary = Temporary::new();
        let disk = Real::create(&temporary.0).unwrap();
        // Permissions would not stop a test that runs as root.
        fs::create_dir(temporary.0.join(PROBE)).unwrap();
        let error = disk.lock().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        let text = error.to_string();
        assert!(
            text.contains("no file can be created in its folder"),
            "{text}"
        );
    }
}
