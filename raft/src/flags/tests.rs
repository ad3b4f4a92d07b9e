use super::*;

const COMMAND: Command = Command::new(
    "try",
    "Tries things.",
    &[
        Flag::new("-w, --workload NAME", "What to do."),
        Flag::new("--rate N", "Attempts per second.").default("100"),
        Flag::new("--log-stderr", "Prints more.\nMuch more."),
    ],
)
.arguments("[FILE] [-- MORE]")
.version("try 1.2\n")
.subcommands(&[("test", "Tests."), ("check", "Checks.")]);

fn parse_with(command: &Command, arguments: &[&str]) -> Result<Given, String> {
    let parsed = command.parse(arguments.iter().map(OsString::from));
    parsed.map_err(|error| error.to_string())
}

fn parse(arguments: &[&str]) -> Result<Given, String> {
    parse_with(&COMMAND, arguments)
}

#[test]
fn values_follow_or_are_attached() {
    for arguments in [
        &["--workload", "a=b"][..],
        &["--workload=a=b"],
        &["-w", "a=b"],
        &["-w=a=b"],
        &["-w", "old", "--workload=a=b"],
    ] {
        let given = parse(arguments).expect("it parses");
        assert_eq!(given.text("workload"), Some("a=b"), "{arguments:?}");
        assert!(!given.is_set("log-stderr"));
    }
}

#[test]
fn arguments_and_flags_mix() {
    let given = parse(&["-", "--log-stderr", "x", "--", "--workload", "-x"]).expect("parses");
    assert!(given.is_set("log-stderr"));
    assert_eq!(given.text("workload"), None);
    assert_eq!(given.arguments, ["-", "x"]);
    assert_eq!(given.rest, ["--workload", "-x"]);
    let error = given.argument("file").expect_err("there are two");
    assert_eq!(error.to_string(), "unknown argument 'x'; see try --help");
    let given = parse(&["--rate=7"]).expect("it parses");
    let error = given.argument("file").expect_err("there is none");
    assert_eq!(error.to_string(), "no file given");
}

#[test]
fn mistakes_are_explained() {
    for (arguments, message) in [
        (
            &["--worklod", "x"][..],
            "unknown flag --worklod; the nearest is --workload",
        ),
        (
            &["--zzz=1"],
            "unknown flag --zzz; try --help lists the flags",
        ),
        (&["-q"], "unknown flag -q; try --help lists the flags"),
        (&["--workload"], "--workload needs a value: --workload NAME"),
        (&["--log-stderr=yes"], "--log-stderr takes no value"),
    ] {
        assert_eq!(parse(arguments).expect_err("a mistake"), message);
    }
    let strict = Command::new("strict", "Takes nothing.", &[]);
    for (arguments, message) in [
        (&["x"][..], "unknown argument 'x'; see strict --help"),
        (&["--", "x"], "strict takes nothing after --"),
    ] {
        let error = parse_with(&strict, arguments).expect_err("a mistake");
        assert_eq!(error, message);
    }
}

#[test]
fn dashes_end_the_flags() {
    const FLAGS: &[Flag] = &[Flag::new("--json", "")];
    let command = Command::new("set", "Sets.", FLAGS).arguments("K V");
    let given = parse_with(&command, &["k", "--json", "--", "-5", "--"]).expect("it parses");
    assert_eq!(given.arguments, ["k", "-5", "--"]);
    assert!(given.is_set("json") && given.rest.is_empty());
    for (argument, message) in [
        (
            "-5",
            "unknown flag -5; if it is an argument, put -- before it",
        ),
        ("--jsn", "unknown flag --jsn; the nearest is --json"),
    ] {
        let error = parse_with(&command, &["k", argument]).expect_err("a mistake");
        assert_eq!(error, message);
    }
    assert!(command.help().contains("  --          Ends the flags: "));
}

#[test]
fn numbers_have_defaults_and_ranges() {
    let given = parse(&[]).expect("it parses");
    assert_eq!(given.number("rate", 1..=200), Ok(100_u32));
    assert_eq!(given.optional_number("workload", 1..=9), Ok(None::<u8>));
    let given = parse(&["--rate=x"]).expect("it parses");
    let error = given.number("rate", 0.001..=1e6).expect_err("a mistake");
    assert_eq!(
        error.to_string(),
        "--rate: expected a number from 0.001 to 1000000, got 'x'"
    );
    let given = parse(&["--rate=0"]).expect("it parses");
    let error = given.number("rate", 1..=9_u64).expect_err("out of range");
    assert_eq!(
        error.to_string(),
        "--rate: expected a whole number from 1 to 9, got '0'"
    );
}

#[test]
fn subcommands_are_found() {
    let split = |arguments: &[&str]| {
        let found = COMMAND.subcommand(arguments.iter().map(OsString::from));
        let (name, rest) = found.map_err(|error| error.to_string())?;
        let rest: Vec<String> = rest.into_iter().map(|a| a.into_string().unwrap()).collect();
        Ok((name, rest.join(" ")))
    };
    let some = |name, rest: &str| Ok((Some(name), rest.to_owned()));
    let none = |rest: &str| Ok((None, rest.to_owned()));
    assert_eq!(split(&["test", "-w", "x"]), some("test", "-w x"));
    assert_eq!(split(&["help", "check", "x"]), some("check", "--help"));
    assert_eq!(split(&["help"]), none("--help"));
    assert_eq!(split(&["-w", "test"]), none("-w test"));
    assert_eq!(split(&[]), none(""));
    for (word, hint) in [
        ("tset", "the nearest is test"),
        ("zzz", "try --help lists the subcommands"),
    ] {
        let message = format!("unknown subcommand '{word}'; {hint}");
        assert_eq!(split(&[word]), Err(message.clone()));
        assert_eq!(split(&["help", word]), Err(message));
    }
}

#[test]
fn help_lists_everything() {
    let page = parse(&["--help", "--nonsense"]).expect_err("help");
    let expected = "\
Tries things.

Usage: try [FLAGS] [FILE] [-- MORE]
       try SUBCOMMAND ...

Subcommands:
  test             Tests.
  check            Checks.
  help SUBCOMMAND  Prints the help page of a subcommand.

Flags:
  -w, --workload NAME  What to do.
  --rate N             Attempts per second. [default: 100]
  --log-stderr         Prints more.
                       Much more.
  -h, --help           Prints this page.
  -V, --version        Prints the version.
";
    assert_eq!(page, expected);
    assert_eq!(parse(&["-V"]).expect_err("a version"), "try 1.2\n");
}

#[test]
fn the_nearest_word_is_found() {
    assert_eq!(edits("kitten", "sitting"), 3);
    assert_eq!(edits("", "abc"), 3);
    assert_eq!(
        nearest("rat", ["rate", "latency"].into_iter()),
        Some("rate")
    );
    let verbs = ["get", "set", "delete", "add"];
    for (word, near) in [("put", "set"), ("del", "delete"), ("rm", "delete")] {
        assert_eq!(nearest(word, verbs.into_iter()), Some(near));
    }
    assert_eq!(nearest("colour", ["rate", "latency"].into_iter()), None);
}
