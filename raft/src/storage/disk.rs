//! What storage asks of a disk: one folder of files, and a handful of calls.
//!
//! Two disks keep the promise that these calls make: [`Real`] is a folder of the file system, and
//! [`Memory`] loses everything at the end of the process. The tests have a third one, which fails
//! in every way that a real one may.
//!
//! What a disk promises, and what it does not:
//! - What [`File::write_at`] wrote is read back at once, but a power cut may take it, or any part
//!   of it, until [`File::sync`] has returned.
//! - A name that was created, renamed or removed is so at once, but a power cut may undo it until
//!   [`Disk::sync_folder`] has returned. A rename is whole or not there at all.
//! - After a call that failed nothing is known of the bytes it was about, and a sync that is tried
//!   again proves nothing: the page that could not be written may be gone. Hence storage never
//!   tries again.

mod memory;
mod real;

use std::{fmt, io};

pub use self::memory::Memory;
pub use self::real::Real;

/// One folder. Its files have plain names.
pub trait Disk: fmt::Debug + Send + Sync {
    /// A file's name in messages for people.
    fn path(&self, name: &str) -> String;

    /// Takes the folder for this process; it is given back when what is returned is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody else has it.
    fn lock(&self) -> io::Result<Box<dyn Lock>>;

    /// The names of all files, in order.
    ///
    /// # Errors
    /// The disk's own.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it is not there, or the disk's own.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Makes an empty file, in the place of what had the name before.
    ///
    /// # Errors
    /// The disk's own.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Gives a file another name, in the place of what had it before, in one step.
    ///
    /// # Errors
    /// The disk's own.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Whoever has it open can go on reading it.
    ///
    /// # Errors
    /// The disk's own.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns once the names, as they are now, would survive a power cut.
    ///
    /// # Errors
    /// The disk's own; nothing is known of the names then.
    fn sync_folder(&self) -> io::Result<()>;
}

/// An open file. Offsets and lengths are in bytes.
pub trait File: fmt::Debug + Send + Sync {
    /// How long it is.
    ///
    /// # Errors
    /// The disk's own.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` with what stands at `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before, or the disk's own.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; the file grows if it must.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if there is no room, or the disk's own. Any part may have
    /// been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once all that was written, and the length, would survive a power cut.
    ///
    /// # Errors
    /// The disk's own; nothing is known of what was written since the last sync then.
    fn sync(&self) -> io::Result<()>;
}

/// Holds a folder for one process, until it is dropped.
pub trait Lock: fmt::Debug + Send + Sync {}
