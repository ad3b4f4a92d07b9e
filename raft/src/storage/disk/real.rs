//! A folder of the file system.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Disk, File, Lock};

/// The locked file. It stays in the folder, empty; the lock itself ends with the process.
const LOCK: &str = "lock";

/// A folder of the file system.
#[derive(Debug)]
pub struct Real {
    folder: PathBuf,
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
        Ok(Self {
            folder: folder.into(),
            read_only: false,
        })
    }

    /// Opens the folder for reading only: every call that would change it fails with
    /// [`io::ErrorKind::PermissionDenied`].
    ///
    /// # Errors
    /// It does not exist or is not a folder, or those of the file system.
    pub fn read_only(folder: &Path) -> io::Result<Self> {
        fs::read_dir(folder)?;
        Ok(Self {
            folder: folder.into(),
            read_only: true,
        })
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
}

/// Makes the name of a folder durable in its parent.
fn sync_name(folder: &Path) -> io::Result<()> {
    let above = folder.parent().filter(|path| !path.as_os_str().is_empty());
    fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

impl Disk for Real {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The lock is the operating system's (`flock`), which ends with the process. A folder opened
    /// for reading is locked too, unless no node has used it.
    ///
    /// Both the folder and a file in it are locked. Without the lock on the folder, removing the
    /// file by hand would admit a second process. Without the file, the lock would hold on one
    /// machine only where the folder is on a network file system.
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        let path = self.folder.join(LOCK);
        let opened = if self.read_only {
            fs::File::open(path)
        } else {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
        };
        let file = match opened {
            Ok(file) => file,
            Err(error) if self.read_only && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Box::new(Held(None)));
            }
            Err(error) => return Err(error),
        };
        let both = [file, fs::File::open(&self.folder)?];
        for lock in &both {
            lock.try_lock().map_err(|error| match error {
                TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
                TryLockError::Error(error) => error,
            })?;
        }
        Ok(Box::new(Held(Some(both))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.folder)? {
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
            .open(self.folder.join(name))?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.check_writable()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.folder.join(name))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::remove_file(self.folder.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.check_writable()?;
        fs::File::open(&self.folder)?.sync_all()
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

/// The locked file and folder, if a node has used the folder.
#[derive(Debug)]
struct Held(#[expect(dead_code, reason = "they are held, not read")] Option<[fs::File; 2]>);

impl Lock for Held {}
