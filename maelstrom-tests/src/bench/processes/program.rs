//! The program that the nodes run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::builtin::Builtin;
use crate::bench::error::BenchError;
use crate::bench::network::{Node, Transport};

/// Which program the nodes run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeChoice {
    /// One that is part of the bench.
    Builtin(Builtin),
    /// Any executable.
    Bin(PathBuf),
}

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// The executable: an absolute path, since nodes run in the system's temporary folder.
    pub path: PathBuf,
    /// Its arguments, the same for every node.
    pub arguments: Vec<OsString>,
    /// The value of [`DATA_DIR`], the same for every node: an absolute path.
    pub data: Option<PathBuf>,
}

/// How much of a file is read to find its interpreter.
const HEAD_BYTES: u64 = 512;

/// The environment variable that names the folder for a node's data. Unset for nodes without data.
pub const DATA_DIR: &str = "STDRAFT_DATA_DIR";

impl Program {
    /// The program of a choice, with these further arguments. Its path does not depend on the
    /// working folder, as the nodes' is another.
    ///
    /// # Errors
    /// There is no such executable.
    pub fn of(
        node: &NodeChoice,
        transport: Transport,
        further: &[OsString],
    ) -> Result<Program, BenchError> {
        let (path, mut arguments) = match node {
            NodeChoice::Bin(path) => (executable(path)?, Vec::new()),
            NodeChoice::Builtin(builtin) => {
                let bench = std::env::current_exe()
                    .map_err(BenchError::io("cannot find the bench's own executable"))?;
                // Nodes that speak TCP get theirs with their ports.
                let arguments = match transport {
                    Transport::Maelstrom => builtin.arguments(),
                    Transport::Tcp => Vec::new(),
                };
                (bench, arguments)
            }
        };
        arguments.extend_from_slice(further);
        Ok(Program {
            path,
            arguments,
            data: None,
        })
    }

    /// Explains why a node cannot be started, though its executable is there.
    pub fn cannot_start(&self, node: Node, error: &io::Error) -> BenchError {
        let path = self.path.display();
        let why = match (interpreter(&self.path), error.kind()) {
            (Some(interpreter), io::ErrorKind::NotFound) => format!(
                "its first line names the interpreter {interpreter:?}, and there is no such file"
            ),
            (Some(interpreter), _) => format!("{error}; its interpreter is {interpreter:?}"),
            (None, io::ErrorKind::NotFound) => {
                format!("{error}: a library or the loader that it needs is missing")
            }
            (None, _) => format!(
                "{error}: neither a program for this machine nor a script, whose first line begins with #!"
            ),
        };
        BenchError::new(format!("cannot start {path} as {node}: {why}"))
    }
}

/// The interpreter that the first line of a script names.
fn interpreter(script: &Path) -> Option<String> {
    let mut head = Vec::new();
    let file = File::open(script).ok()?;
    file.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n');
    let line = String::from_utf8_lossy(line.into_iter().next()?).into_owned();
    // A carriage return is part of the name, and often what is wrong with it.
    let name = line.trim_start_matches([' ', '\t']);
    Some(name.split([' ', '\t']).next().unwrap_or(name).to_owned())
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
