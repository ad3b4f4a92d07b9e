//! The program that the nodes run.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::builtin::Builtin;
use crate::bench::error::BenchError;

/// Which program the nodes run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeChoice {
    /// One that is part of the bench.
    Builtin(Builtin),
    /// Any executable.
    Bin(PathBuf),
}

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The executable: an absolute path, since nodes run in the system's temporary folder.
    pub path: PathBuf,
    /// Its arguments, the same for every node.
    pub arguments: Vec<OsString>,
    /// The value of [`DATA_DIR`], the same for every node: an absolute path.
    pub data: Option<PathBuf>,
}

/// The environment variable that names the folder for a node's data. Unset for nodes without data.
pub const DATA_DIR: &str = "STDRAFT_DATA_DIR";

impl Program {
    /// The program of a choice, with these further arguments. Its path does not depend on the
    /// working folder, as the nodes' is another.
    ///
    /// # Errors
    /// There is no such executable.
    pub fn of(node: &NodeChoice, further: &[OsString]) -> Result<Program, BenchError> {
        let (path, mut arguments) = match node {
            NodeChoice::Bin(path) => (executable(path)?, Vec::new()),
            NodeChoice::Builtin(builtin) => {
                let bench = std::env::current_exe()
                    .map_err(BenchError::io("cannot find the bench's own executable"))?;
                (bench, builtin.arguments())
            }
        };
        arguments.extend_from_slice(further);
        Ok(Program {
            path,
            arguments,
            data: None,
        })
    }
}

fn executable(path: &Path) -> Result<PathBuf, BenchError> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display();
    let found = std::fs::canonicalize(path).and_then(|path| Ok((path.metadata()?, path)));
    match found {
        Ok((metadata, _)) if !metadata.is_file() => {
            Err(BenchError::new(format!("--bin {shown}: not a file")))
        }
        Ok((metadata, _)) if metadata.permissions().mode() & 0o111 == 0 => Err(BenchError::new(
            format!("--bin {shown}: not executable; try chmod +x"),
        )),
        Ok((_, path)) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(BenchError::new(format!("--bin {shown}: no such file")))
        }
        Err(error) => Err(BenchError::new(format!("--bin {shown}: {error}"))),
    }
}
