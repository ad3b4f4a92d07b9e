//! The folder where the nodes of a run keep their data. It is new for each run, since a run begins
//! with an empty store.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::bench::error::BenchError;
use crate::bench::output::say;
use crate::bench::store::fresh_folder;

/// The folder of a run.
#[derive(Debug)]
pub struct Data {
    /// The path of the folder; absolute.
    pub folder: PathBuf,
    /// Whether the user named a place for it, and wants to look into it.
    named: bool,
}

impl Data {
    /// Creates a new folder in `place`, or in the system's temporary folder.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn create(place: Option<&Path>) -> Result<Data, BenchError> {
        let (parent, prefix) = match place {
            Some(place) => (place.to_owned(), ""),
            None => (std::env::temp_dir(), "stdraft-data-"),
        };
        let create = || -> io::Result<PathBuf> {
            fs::create_dir_all(&parent)?;
            // Absolute, since the nodes have another working folder.
            let parent = fs::canonicalize(&parent)?;
            Ok(parent.join(fresh_folder(&parent, prefix)?))
        };
        let what = format!(
            "cannot create a folder for the nodes' data in {}",
            parent.display()
        );
        Ok(Data {
            folder: create().map_err(BenchError::io(what))?,
            named: place.is_some(),
        })
    }

    /// Removes the folder if it is of no use, as after a run that was valid, unless the user named a
    /// place for it. If it stays, prints its path.
    ///
    /// # Errors
    /// It cannot be removed, or its path cannot be printed; then the error has it.
    pub fn leave(self, useless: bool) -> Result<(), BenchError> {
        let path = self.folder.display();
        if self.named || !useless {
            let told = format!("the nodes' data are in {path}");
            return say(&told).map_err(|error| BenchError::new(format!("{error}; {told}")));
        }
        fs::remove_dir_all(&self.folder)
            .map_err(BenchError::io(format_args!("cannot remove {path}")))
    }
}
