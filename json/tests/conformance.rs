//! The public test suite of JSON parsers (github.com/nst/JSONTestSuite), if it is at hand.

use std::io::{self, Write};
use std::path::PathBuf;
use std::{env, fs};

/// Every file `y_*` must be accepted, every `n_*` refused; `i_*` may be either, but nothing may panic.
#[test]
fn json_test_suite() {
    let Some(folder) = env::var_os("JSON_TEST_SUITE") else {
        say("skipped: JSON_TEST_SUITE does not name a folder that has test_parsing in it");
        return;
    };
    let folder = PathBuf::from(folder).join("test_parsing");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();

    let mut counts = [0; 3];
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read(&file).unwrap();
        let value = json::decode::<json::Value>(&text);
        let skipped = json::decode::<json::Raw>(&text);
        assert_eq!(
            value.is_ok(),
            skipped.is_ok(),
            "{name}: reading and skipping must agree"
        );
        match name.as_bytes()[0] {
            b'y' => {
                counts[0] += 1;
                let value = value.unwrap_or_else(|error| panic!("{name} was refused: {error}"));
                assert_eq!(
                    json::decode(&json::encode(&value)),
                    Ok(value),
                    "{name}: round trip"
                );
            }
            b'n' => {
                counts[1] += 1;
                let error = value.expect_err(&format!("{name} was accepted"));
                assert!(error.kind().is_syntax(), "{name}: {error}");
            }
            _ => counts[2] += 1,
        }
    }
    say(&format!(
        "accepted {}, refused {}, free to choose {}",
        counts[0], counts[1], counts[2]
    ));
    assert!(
        counts.iter().all(|&count| count > 0),
        "the folder holds files of all three sorts"
    );
}

/// Past the test harness, which shows what a test prints only if it fails.
fn say(message: &str) {
    io::stderr()
        .write_all(format!("JSON test suite: {message}\n").as_bytes())
        .unwrap();
}
