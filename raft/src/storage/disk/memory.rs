//! Files in memory, which are lost when the process ends.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, File, Lock};

/// A folder in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    files: Arc<Mutex<BTreeMap<String, Content>>>,
    taken: Arc<AtomicBool>,
}

impl Memory {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Content>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Memory {
    fn path(&self, name: &str) -> String {
        format!("memory:{name}")
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        if self.taken.swap(true, Ordering::SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Held(self.taken.clone())))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let content = self.files().get(name).cloned();
        Ok(Box::new(content.ok_or(io::ErrorKind::NotFound)?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let content = Content::default();
        self.files().insert(name.into(), content.clone());
        Ok(Box::new(content))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A file's bytes, shared by all open handles.
#[derive(Clone, Debug, Default)]
struct Content(Arc<Mutex<Vec<u8>>>);

impl Content {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for Content {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        read(&self.bytes(), bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write(&mut self.bytes(), bytes, offset);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills `bytes` from a file's content at `offset`, as [`File::read_at`] does.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if the content ends earlier.
pub fn read(content: &[u8], bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let found = content
        .get(from..from.saturating_add(bytes.len()))
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    bytes.copy_from_slice(found);
    Ok(())
}

/// Writes `bytes` into a file's content at `offset`, with zeros in a gap.
pub fn write(content: &mut Vec<u8>, bytes: &[u8], offset: u64) {
    let from = offset as usize;
    let to = from + bytes.len();
    content.resize(content.len().max(to), 0);
    content[from..to].copy_from_slice(bytes);
}

#[derive(Debug)]
struct Held(Arc<AtomicBool>);

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
