//! Plays the scripts in `tests/golden`, each as a test of its own name, with the arguments and the
//! output of Rust's test harness: `cargo test -p maelstrom-tests --test golden figure_8`.
//!
//! `STDRAFT_UPDATE=golden` writes what the nodes do into the scripts. `maelstrom_tests::golden`
//! describes their language.

use std::process::ExitCode;
use std::{env, panic};

use maelstrom_tests::golden::Script;

fn main() -> ExitCode {
    let update = env::var("STDRAFT_UPDATE").is_ok_and(|what| what == "golden");
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let is_chosen = |script: &&Script| {
        let fits = |filter: &&String| match has("--exact") {
            true => script.name == **filter,
            false => script.name.contains(filter.as_str()),
        };
        filters.is_empty() || filters.iter().any(fits)
    };
    let all = Script::all().expect("the folder of scripts can be read");
    assert!(!all.is_empty(), "there are no scripts");
    let chosen: Vec<&Script> = all.iter().filter(is_chosen).collect();
    if has("--list") {
        for script in &chosen {
            println!("{}: test", script.name);
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let mut failures = String::new();
    let mut failed = 0;
    for script in &chosen {
        let played = panic::catch_unwind(|| script.play(update));
        let problem = match played {
            Ok(Ok(problem)) => problem,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("a node panicked: see above".to_owned()),
        };
        let result = if problem.is_some() { "FAILED" } else { "ok" };
        println!("test {} ... {result}", script.name);
        if let Some(problem) = problem {
            failed += 1;
            failures += &format!("---- {} ----\n{problem}\n", script.name);
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    if failed > 0 {
        println!("\nfailures:\n\n{failures}");
    }
    println!(
        "\ntest result: {result}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out\n",
        chosen.len() - failed,
        all.len() - chosen.len()
    );
    ExitCode::from(if failed == 0 { 0 } else { 101 })
}
