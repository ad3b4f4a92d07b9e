//! The folder where the nodes of a run keep their data. It is new for each run, since a run begins with an empty store.

use super::nemesis::Kind;
use super::options::Options;
use super::store::fresh_folder;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of a run.
#[derive(Debug)]
pub struct Data {
    folder: PathBuf,
    /// Whether the user named a place for it, and wants to look into it.
    named: bool,
}

impl Data {
    /// Makes a new folder where the options say, or, if nodes are to be killed, in the system's temporary folder.
    ///
    /// # Errors
    /// The file system says no.
    pub fn prepare(options: &Options) -> io::Result<Option<Data>> {
        let (parent, prefix) = match &options.data_dir {
            Some(parent) => (parent.clone(), ""),
            None if options.nemesis.contains(&Kind::Kill) => {
                (std::env::temp_dir(), "stdraft-data-")
            }
            None => return Ok(None),
        };
        fs::create_dir_all(&parent)?;
        // The nodes' working folder is another.
        let parent = fs::canonicalize(parent)?;
        let folder = parent.join(fresh_folder(&parent, prefix)?);
        let named = options.data_dir.is_some();
        Ok(Some(Data { folder, named }))
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
