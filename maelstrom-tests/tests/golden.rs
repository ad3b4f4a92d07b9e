//! The protocol stories below `tests/golden`. See `maelstrom_tests::golden` for their language.
//!
//! `UPDATE_GOLDEN=1` writes down what comes of each story now; read the difference before you
//! keep it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use maelstrom_tests::golden;

/// All scripts in a folder and below, in order.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    paths.sort();
    let below = |path: PathBuf| {
        if path.is_dir() {
            scripts(&path)
        } else {
            vec![path]
        }
    };
    paths.into_iter().flat_map(below).collect()
}

/// Where two texts differ: the lines in between what they begin and end with alike.
fn difference(old: &str, new: &str) -> String {
    const CONTEXT: usize = 4;
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let alike =
        |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let start = alike(&mut old.iter().zip(&new));
    let tail = alike(&mut old[start..].iter().rev().zip(new[start..].iter().rev()));
    let mut text = format!("from line {}:\n", start + 1);
    let mut add = |mark: char, lines: &[&str]| {
        for line in lines {
            text.push_str(&format!("{mark} {line}\n"));
        }
    };
    add(' ', &old[start.saturating_sub(CONTEXT)..start]);
    add('-', &old[start..old.len() - tail]);
    add('+', &new[start..new.len() - tail]);
    let end = old.len() - tail;
    add(' ', &old[end..old.len().min(end + CONTEXT)]);
    text
}

#[test]
fn the_stories_are_still_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = String::new();
    let scripts = scripts(&folder);
    assert!(!scripts.is_empty(), "there are scripts");
    for path in &scripts {
        let old = fs::read_to_string(path).expect("the script can be read");
        match golden::run(&old) {
            Ok(new) if new == old => {}
            Ok(new) if update => fs::write(path, new).expect("the script can be written"),
            Ok(new) => {
                let difference = difference(&old, &new);
                failures.push_str(&format!("\n{}, {difference}", path.display()));
            }
            Err(error) => failures.push_str(&format!("\n{}, {error}\n", path.display())),
        }
    }
    assert!(
        failures.is_empty(),
        "{failures}\nIf that is as it should be: UPDATE_GOLDEN=1 cargo test -p maelstrom-tests \
         --test golden"
    );
}

#[test]
fn a_difference_is_shown_with_what_is_around_it() {
    assert_eq!(
        difference("a\nb\nc\nd\n", "a\nx\ny\nd\n"),
        "from line 2:\n  a\n- b\n- c\n+ x\n+ y\n  d\n"
    );
    assert_eq!(difference("a\n", "a\na\n"), "from line 2:\n  a\n+ a\n");
}
