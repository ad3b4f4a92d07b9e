//! The disk operations that storage uses: one folder of files, and a handful of calls.
//!
//! [`real::Real`] is a folder of the file system; [`memory::Memory`] loses everything at the end of the process.
//! The tests have a third disk, which fails in every way that a real one may.
//!
//! What a disk promises, and what it does not:
//! - Bytes of [`File::write_at`] can be read at once, but a power cut may lose them, or any part of
//!   them, until [`File::sync`] has returned.
//! - Creating, renaming and removing takes effect at once, but a power cut may undo it until
//!   [`Disk::sync_folder`] has returned. A rename happens completely or not at all.
//! - After a failed call the state of its bytes is unknown, and a repeated sync proves nothing: the
//!   page that could not be written may be gone. Hence storage never retries.

pub mod memory;
pub mod real;

use std::{fmt, io};

/// One folder. Its files have plain names.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The path of a file for messages.
    fn path(&self, name: &str) -> String;

    /// Locks the folder for this process until the returned lock is dropped. A disk that is only
    /// read may let others use it meanwhile: [`Lock::is_intact`] tells.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process holds the lock.
    fn lock(&self) -> io::Result<Box<dyn Lock>>;

    /// The names of all files, in order.
    ///
    /// # Errors
    /// Those of the disk.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens an existing file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it does not exist, or those of the disk.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Creates an empty file, in place of any with this name.
    ///
    /// # Errors
    /// Those of the disk.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Renames a file in one step, in place of any with the new name.
    ///
    /// # Errors
    /// Those of the disk.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. It can still be read where it is open.
    ///
    /// # Errors
    /// Those of the disk.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// Those of the disk; the state of the names is then unknown.
    fn sync_folder(&self) -> io::Result<()>;
}

/// An open file. Offsets and lengths are in bytes.
pub trait File: fmt::Debug + Send + Sync {
    /// The length of the file.
    ///
    /// # Errors
    /// Those of the disk.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends earlier, or those of the disk.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, beyond the end of the file if need be.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if the disk is full, or those of the disk. Any part may have
    /// been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all written bytes and the length durable.
    ///
    /// # Errors
    /// Those of the disk; the state of bytes since the last sync is then unknown.
    fn sync(&self) -> io::Result<()>;
}

/// Locks a folder for one process until it is dropped.
pub trait Lock: fmt::Debug + Send + Sync {
    /// Whether no other process can have changed the folder since it was locked.
    ///
    /// # Errors
    /// Those of the disk.
    fn is_intact(&self) -> io::Result<bool> {
        Ok(true)
    }
}
