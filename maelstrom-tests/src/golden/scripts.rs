//! The files of scripts, and the subcommand that plays them.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{env, fs};

use raft::flags::{Command, Flag, UsageError};
use raft::stdio::stdout;

use super::play::run;
use crate::check::Status;

/// The scripts of the repository.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// How many equal lines a difference shows before the first one that differs.
const CONTEXT: usize = 4;

/// How many lines of each version it shows from there on.
const SHOWN_MAX: usize = 20;

/// A script's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Script {
    /// Its path below the folder of all scripts, without `.txt`: `election/normal`. A file elsewhere
    /// has its whole path.
    pub name: String,
    path: PathBuf,
}

impl Script {
    /// All scripts of the repository, in order.
    ///
    /// # Errors
    /// If their folder cannot be read.
    pub fn all() -> io::Result<Vec<Self>> {
        let (mut found, mut folders) = (Vec::new(), vec![PathBuf::from(FOLDER)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(Self::at(path));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn at(path: PathBuf) -> Self {
        let name = match path.strip_prefix(FOLDER) {
            Ok(inside) => inside.with_extension("").to_string_lossy().into_owned(),
            Err(_) => path.to_string_lossy().into_owned(),
        };
        Self { name, path }
    }

    /// Plays the script. Returns the difference to the file, if there is one; `update` writes the
    /// file instead.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn play(&self, update: bool) -> io::Result<Option<String>> {
        let old = fs::read_to_string(&self.path)?;
        let (path, name) = (self.path.display(), &self.name);
        let problem = match run(&old) {
            Ok(new) if new == old => return Ok(None),
            Ok(new) if update => {
                fs::write(&self.path, new)?;
                return Ok(None);
            }
            Ok(new) => difference(&old, &new),
            Err(error) => format!("{error}\n"),
        };
        Ok(Some(format!(
            "{path}\n{problem}\
             play it with:   cargo run --release -- golden {name}\n\
             if it is right: cargo run --release -- golden {name} --update\n"
        )))
    }
}

/// The lines in which two texts differ, between a common head and a common tail, after a few lines
/// that are equal.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let equal = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[equal..].iter().rev().zip(new[equal..].iter().rev());
    let tail = tail.take_while(|(a, b)| a == b).count();
    let marked = |mark: &str, lines: &[&str]| -> String {
        let lines = lines.iter().take(SHOWN_MAX);
        lines.map(|line| format!("{mark} {line}\n")).collect()
    };
    let before = marked(" ", &old[equal.saturating_sub(CONTEXT)..equal]);
    let old = marked("-", &old[equal..old.len() - tail]);
    let new = marked("+", &new[equal..new.len() - tail]);
    let line = equal + 1;
    format!("from line {line} (- the file, + played now):\n{before}{old}{new}")
}

const GOLDEN: Command = Command::new(
    "maelstrom-tests golden",
    "Plays golden scripts (protocol stories, in maelstrom-tests/tests/golden) and compares what the nodes do with\n\
     what the scripts say. SCRIPT is a file, or a part of a name: election, figure_8. Without it, all are played.\n\
     \n\
     A difference is shown from the first line that differs to the last one: up to 20 lines of\n\
     the file (-) and of the nodes (+).\n\
     \n\
     Exit status: 0 all scripts are right; 1 some script differs: the difference is printed.",
    &[Flag::new(
        "--update",
        "Writes what the nodes do into the scripts. Review the difference before you keep it.",
    )],
)
.arguments("[SCRIPT...]");

/// Runs the subcommand.
///
/// # Errors
/// A wrong flag, a script that does not exist, or a file that cannot be read or written.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Status, Box<dyn std::error::Error>> {
    let mut out = stdout();
    let given = GOLDEN.parse(arguments)?;
    let mut scripts = Vec::new();
    for name in &given.arguments {
        scripts.append(&mut find(&name.to_string_lossy())?);
    }
    if given.arguments.is_empty() {
        scripts = Script::all()?;
    }
    let mut wrong = 0;
    for script in &scripts {
        if let Some(problem) = script.play(given.is_set("update"))? {
            writeln!(out, "{problem}")?;
            wrong += 1;
        }
    }
    writeln!(out, "scripts played: {}; different: {wrong}", scripts.len())?;
    Ok(match wrong {
        0 => Status::Valid,
        _ => Status::Invalid,
    })
}

/// The script in a file, or all scripts with this part in their names.
fn find(name: &str) -> Result<Vec<Script>, Box<dyn std::error::Error>> {
    if Path::new(name).is_file() {
        return Ok(vec![Script::at(fs::canonicalize(name)?)]);
    }
    let mut scripts = Script::all()?;
    scripts.retain(|script| script.name.contains(name));
    if scripts.is_empty() {
        let problem =
            format!("{name:?} is neither a file nor a part of a script's name in {FOLDER}");
        return Err(UsageError::new(problem).into());
    }
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_shown_after_equal_lines() {
        let head = "from line 2 (- the file, + played now):\n";
        assert_eq!(
            difference("a\nb\nc\nd\n", "a\nx\nd\n"),
            format!("{head}  a\n- b\n- c\n+ x\n")
        );
        assert_eq!(difference("a\n", "a\na\n"), format!("{head}  a\n+ a\n"));
        let long = difference("a\n", &"b\n".repeat(100));
        assert_eq!(long.lines().count(), 2 + SHOWN_MAX);
    }

    #[test]
    fn scripts_are_found_by_a_part_of_their_names() {
        let found = find("commit/figure_8").expect("there are some");
        let names: Vec<&str> = found.iter().map(|script| &*script.name).collect();
        assert_eq!(names, ["commit/figure_8", "commit/figure_8_e"]);
        assert!(find("no_such_story").is_err());
    }
}
