//! The folder where the nodes of a run keep their data. It is new for each run, since a run begins
//! with an empty store.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::bench::store::fresh_folder;

/// The folder of a run.
#[derive(Debug)]
pub struct Data {
    folder: PathBuf,
    /// Whether the user named a place for it, and wants to look into it.
    named: bool,
}

impl Data {
    /// Makes a new folder in this one, or in the system's temporary folder.
    ///
    /// # Errors
    /// The file system says no.
    pub fn create(place: Option<&Path>) -> io::Result<Data> {
        let (parent, prefix) = match place {
            Some(place) => (place.to_owned(), ""),
            None => (std::env::temp_dir(), "stdraft-data-"),
        };
        fs::create_dir_all(&parent)?;
        // The nodes' working folder is another.
        let parent = fs::canonicalize(parent)?;
        let folder = parent.join(fresh_folder(&parent, prefix)?);
        let named = place.is_some();
        Ok(Data { folder, named })
    }

    /// The path of the folder; absolute.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the folder of a run that ended well, and returns the path if it is kept.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn leave(self, well: bool) -> io::Result<Option<PathBuf>> {
        if self.named || !well {
            return Ok(Some(self.folder));
        }
        fs::remove_dir_all(&self.folder)?;
        Ok(None)
    }
}
