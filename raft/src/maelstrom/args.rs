//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use raft_core::{Config, Limits};

use crate::host::TICK;
use crate::telemetry::log::Level;
use crate::wire;

/// What the flags come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Times and limits of the core.
    pub config: Config,
    /// How long nothing is sent to peers after `init`.
    pub settle: Duration,
    /// Where metrics are served.
    pub metrics: Metrics,
    /// How much is said on stderr.
    pub log: Level,
    /// The folder in which the node keeps its data, in one of its own. Without it, the environment
    /// decides.
    pub data: Option<PathBuf>,
}

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere.
    Off,
    /// On loopback, at a port that the system chooses. If it gives none, the node does without.
    Default,
    /// There, or the node does not start.
    At {
        /// A name or an address.
        host: String,
        /// The port; 0 is one that the system chooses.
        port: u16,
        /// Whether this node's position in `node_ids` is added to the port.
        spread: bool,
    },
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// To be a node.
    Run(Box<Options>),
    /// To explain the flags.
    Help,
    /// To name the version.
    Version,
}

/// What is wrong with a command line, in words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `--help` prints.
pub const HELP: &str = "\
A linearizable key-value node: Raft, as a Maelstrom node for the lin-kv workload.

It reads Maelstrom's JSON messages from stdin and writes its own to stdout, one a line;
whatever is meant for people goes to stderr. Until its first message, init, arrives it
only waits. At the end of input it answers what it has taken and ends.

With a data folder, nothing that was acknowledged is lost when nodes are killed or the power
fails, and a node that is started again goes on where it ended. One folder serves all nodes of
a cluster that run here: each takes a sub-folder by the name that init gives it. It serves one
cluster: a node whose init names other nodes than the folder's refuses it, and ends.

Without one the state is kept in memory only. A node that was killed has then forgotten its
vote and its log, and must never come back under the same name, since no init tells a first
start from a restart; a cluster stays safe while fewer than half of its nodes are lost.

usage: raft [FLAGS]
       raft log [--verify] DIR     print, or check, what is in a node's folder

  --heartbeat MS              a leader is heard at least this often [100]
  --election-timeout MIN..MAX a follower that hears no leader for a random time between
                              these, in ms, stands for election [500..1000]
  --settle MS                 nothing is sent to other nodes for this long after init, since
                              they may not be there yet [400]
  --metrics WHERE             where to serve Prometheus metrics over HTTP, at /metrics:
                                ADDR:PORT   there, or the node does not start
                                ADDR:PORT+  at the port plus the node's position in
                                            node_ids: all nodes of a run get the same flags
                                off         nowhere
                              [127.0.0.1 at a free port, which is said on stderr]
  --data-dir DIR              the data folder
                              [the environment variable STDRAFT_DATA_DIR; if that is not set
                              either, memory, which is said on stderr]
  --snapshot-entries N        the state is stored as a snapshot, and the log before it dropped,
                              after so many entries [65536],
  --snapshot-bytes N          or after entries of so many bytes [33554432]. An eighth of the
                              entries, or a quarter of the bytes, stay in memory for followers
                              that are a little behind; while a follower is sent a snapshot,
                              up to eight times as much stays
  --snapshot-chunk-bytes N    how much of a snapshot is sent to a follower at once [262144]
  --log LEVEL                 what is said on stderr: error, warn, info or debug [info]
  -h, --help                  print this, and end
  --version                   print the version, and end

Times are rounded up to 10 ms. A flag's value may also follow after an equals sign.
Exit status: 0 at the end of input, 1 if the node had to stop, 2 for a wrong command line.
";

/// The longest time that a flag takes, in milliseconds: an hour.
const LONGEST_MS: u64 = 3_600_000;

/// The most entries or bytes that a flag takes: a trillion.
const MOST: u64 = 1_000_000_000_000;

/// Every flag, and whether it has a value.
const FLAGS: [(&str, bool); 12] = [
    ("--heartbeat", true),
    ("--election-timeout", true),
    ("--settle", true),
    ("--metrics", true),
    ("--data-dir", true),
    ("--snapshot-entries", true),
    ("--snapshot-bytes", true),
    ("--snapshot-chunk-bytes", true),
    ("--log", true),
    ("--help", false),
    ("-h", false),
    ("--version", false),
];

/// Understands a command line, without the program's name.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Misuse> {
    let mut heartbeat = ticks(100);
    let (mut shortest_election, mut longest_election) = (ticks(500), ticks(1000));
    let mut settle = Duration::from_millis(400);
    let mut metrics = Metrics::Default;
    let mut log = Level::Info;
    let mut data = None;
    let mut limits = Limits::default();

    let mut args = args.into_iter().map(|arg| {
        arg.into_string()
            .map_err(|arg| Misuse(format!("{} is not UTF-8", arg.display())))
    });
    while let Some(arg) = args.next() {
        let arg = arg?;
        let (flag, attached) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            Some(_) | None => (arg.as_str(), None),
        };
        let Some(&(flag, takes_value)) = FLAGS.iter().find(|(name, _)| *name == flag) else {
            return Err(unknown(flag));
        };
        let value = match (takes_value, attached) {
            (true, Some(value)) => value,
            (true, None) => args
                .next()
                .ok_or_else(|| Misuse(format!("{flag} needs a value")))??,
            (false, None) => String::new(),
            (false, Some(_)) => return Err(Misuse(format!("{flag} takes no value"))),
        };
        match flag {
            "--heartbeat" => heartbeat = ticks(milliseconds(flag, &value)?),
            "--election-timeout" => {
                let (shortest, longest) = value.split_once("..").ok_or_else(|| {
                    let example = "two times in ms, such as 500..1000";
                    wrong(flag, &value, example)
                })?;
                shortest_election = ticks(milliseconds(flag, shortest)?);
                longest_election = ticks(milliseconds(flag, longest)?);
            }
            "--settle" => settle = Duration::from_millis(milliseconds(flag, &value)?),
            "--metrics" => metrics = place(flag, &value)?,
            "--data-dir" if value.is_empty() => return Err(wrong(flag, &value, "a folder")),
            "--data-dir" => data = Some(PathBuf::from(value)),
            "--snapshot-entries" => {
                limits.snapshot_entries = number(flag, &value, MOST)?;
                limits.trailing_entries = limits.snapshot_entries / 8;
                limits.retained_entries = limits.snapshot_entries * 8;
            }
            "--snapshot-bytes" => {
                limits.snapshot_bytes = number(flag, &value, MOST)?;
                limits.trailing_bytes = limits.snapshot_bytes / 4;
                limits.retained_bytes = limits.snapshot_bytes * 8;
            }
            "--snapshot-chunk-bytes" => limits.chunk_bytes = number(flag, &value, wire::MAX_CHUNK)?,
            "--log" => {
                log = value
                    .parse()
                    .map_err(|()| wrong(flag, &value, "error, warn, info or debug"))?;
            }
            "--help" | "-h" => return Ok(Command::Help),
            "--version" => return Ok(Command::Version),
            other => unreachable!("{other} is a flag without a meaning"),
        }
    }
    let config = Config {
        heartbeat,
        shortest_election,
        longest_election,
        limits,
    };
    check(&config)?;
    Ok(Command::Run(Box::new(Options {
        config,
        settle,
        metrics,
        log,
        data,
    })))
}

/// What [`Config::validate`] demands, said in the words of the flags.
fn check(config: &Config) -> Result<(), Misuse> {
    let Config {
        heartbeat,
        shortest_election,
        longest_election,
        limits: _,
    } = config;
    let Err(reason) = config.validate() else {
        return Ok(());
    };
    let ms = |ticks: &u32| u128::from(*ticks) * TICK.as_millis();
    Err(Misuse(format!(
        "--heartbeat {} and --election-timeout {}..{} do not go together: {reason} \
         (a tick is {} ms)",
        ms(heartbeat),
        ms(shortest_election),
        ms(longest_election),
        TICK.as_millis(),
    )))
}

fn milliseconds(flag: &str, value: &str) -> Result<u64, Misuse> {
    value
        .parse()
        .ok()
        .filter(|ms| *ms <= LONGEST_MS)
        .ok_or_else(|| {
            let expected = format!("a whole number of milliseconds up to {LONGEST_MS}");
            wrong(flag, value, &expected)
        })
}

/// A number from 1 to `most`.
fn number<T: FromStr + PartialOrd + Copy + From<u8> + fmt::Display>(
    flag: &str,
    value: &str,
    most: T,
) -> Result<T, Misuse> {
    value
        .parse()
        .ok()
        .filter(|number| (T::from(1)..=most).contains(number))
        .ok_or_else(|| wrong(flag, value, &format!("a whole number from 1 to {most}")))
}

/// As many ticks as it takes for so many milliseconds to go by.
fn ticks(milliseconds: u64) -> u32 {
    let tick = TICK.as_millis() as u64;
    u32::try_from(milliseconds.div_ceil(tick)).unwrap_or(u32::MAX)
}

fn place(flag: &str, value: &str) -> Result<Metrics, Misuse> {
    if value == "off" {
        return Ok(Metrics::Off);
    }
    let (address, spread) = match value.strip_suffix('+') {
        Some(address) => (address, true),
        None => (value, false),
    };
    let parsed = address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parsed {
        Some((host, port)) if !host.is_empty() => Ok(Metrics::At {
            // A number that has colons itself stands in brackets.
            host: host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
                .unwrap_or(host)
                .to_owned(),
            port,
            spread,
        }),
        Some(_) | None => Err(wrong(flag, value, "ADDR:PORT, ADDR:PORT+ or off")),
    }
}

fn wrong(flag: &str, value: &str, expected: &str) -> Misuse {
    Misuse(format!("{flag} {value:?}: expected {expected}"))
}

fn unknown(arg: &str) -> Misuse {
    if !arg.starts_with('-') {
        return Misuse(format!("unexpected argument {arg:?}: there are only flags"));
    }
    let nearest = FLAGS
        .iter()
        .map(|(flag, _)| (distance(arg, flag), flag))
        .min()
        // Too far away, it would be no help.
        .filter(|(distance, flag)| *distance < flag.len() / 2);
    let hint = nearest.map_or(String::new(), |(_, flag)| format!("; did you mean {flag}?"));
    Misuse(format!("unknown flag {arg}{hint}"))
}

/// How many characters must be put in, taken out or replaced to make one of the other
/// (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // The distances between what was read of `one` and every beginning of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(Into::into)).map_err(|misuse| misuse.to_string())
    }

    fn options(args: &[&str]) -> Options {
        match parsed(args) {
            Ok(Command::Run(options)) => *options,
            other => panic!("{args:?} gave {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_help() {
        let options = options(&[]);
        assert_eq!(options.config.heartbeat, 10);
        assert_eq!(options.config.shortest_election, 50);
        assert_eq!(options.config.longest_election, 100);
        assert_eq!(options.settle.as_millis(), 400);
        assert_eq!(options.metrics, Metrics::Default);
        assert_eq!(options.log, Level::Info);
        assert_eq!(options.data, None);
        assert_eq!(options.config.limits, Limits::default());
        let Limits {
            snapshot_entries,
            snapshot_bytes,
            chunk_bytes,
            ..
        } = options.config.limits;
        for default in [snapshot_entries, snapshot_bytes, chunk_bytes as u64] {
            assert!(HELP.contains(&format!("[{default}]")), "{default}");
        }
        for (flag, _) in FLAGS {
            assert!(HELP.contains(flag), "{flag} is not explained");
        }
    }

    #[test]
    fn values_follow_after_a_space_or_an_equals_sign() {
        let expected = options(&["--heartbeat", "55", "--election-timeout", "200..200"]);
        assert_eq!(
            options(&["--heartbeat=55", "--election-timeout=200..200"]),
            expected
        );
        assert_eq!(expected.config.heartbeat, 6);
        assert_eq!(expected.config.longest_election, 20);
        assert_eq!(options(&["--settle", "0"]).settle, Duration::ZERO);
        assert_eq!(options(&["--log", "debug"]).log, Level::Debug);
    }

    #[test]
    fn what_is_kept_behind_a_snapshot_follows_from_what_leads_to_one() {
        let defaults = Limits::default();
        let (entries, bytes) = (defaults.snapshot_entries, defaults.snapshot_bytes);
        let (entries, bytes) = (entries.to_string(), bytes.to_string());
        let explicit = options(&["--snapshot-entries", &entries, "--snapshot-bytes", &bytes]);
        assert_eq!(explicit.config.limits, defaults);
        for extreme in ["1", "1000000000000"] {
            options(&["--snapshot-entries", extreme, "--snapshot-bytes", extreme]);
        }
        let options = options(&["--data-dir=/a b", "--snapshot-chunk-bytes=7"]);
        assert_eq!(options.data, Some("/a b".into()));
        assert_eq!(options.config.limits.chunk_bytes, 7);
    }

    #[test]
    fn metrics_have_a_place() {
        let at = |host: &str, port, spread| Metrics::At {
            host: host.into(),
            port,
            spread,
        };
        let metrics = |value| options(&["--metrics", value]).metrics;
        assert_eq!(metrics("off"), Metrics::Off);
        assert_eq!(metrics("0.0.0.0:9100"), at("0.0.0.0", 9100, false));
        assert_eq!(metrics("localhost:9100+"), at("localhost", 9100, true));
        assert_eq!(metrics("[::1]:0"), at("::1", 0, false));
    }

    #[test]
    fn whoever_asks_is_told() {
        assert_eq!(parsed(&["--log", "warn", "--help"]), Ok(Command::Help));
        assert_eq!(parsed(&["-h"]), Ok(Command::Help));
        assert_eq!(parsed(&["--version"]), Ok(Command::Version));
    }

    #[test]
    fn misuse_is_explained() {
        for (args, text) in [
            (
                &["--hartbeat", "5"][..],
                "unknown flag --hartbeat; did you mean --heartbeat?",
            ),
            (
                &["--sttle=5"],
                "unknown flag --sttle; did you mean --settle?",
            ),
            (&["-x"], "unknown flag -x"),
            (
                &["node"],
                "unexpected argument \"node\": there are only flags",
            ),
            (&["--settle"], "--settle needs a value"),
            (&["--help=yes"], "--help takes no value"),
            (
                &["--settle", "-1"],
                "--settle \"-1\": expected a whole number of milliseconds up to 3600000",
            ),
            (
                &["--election-timeout", "500"],
                "--election-timeout \"500\": expected two times in ms, such as 500..1000",
            ),
            (&["--data-dir", ""], "--data-dir \"\": expected a folder"),
            (
                &["--snapshot-entries", "0"],
                "--snapshot-entries \"0\": expected a whole number from 1 to 1000000000000",
            ),
            (
                &["--snapshot-chunk-bytes", "99999999"],
                "--snapshot-chunk-bytes \"99999999\": expected a whole number from 1 to 16777216",
            ),
            (
                &["--log", "loud"],
                "--log \"loud\": expected error, warn, info or debug",
            ),
            (
                &["--metrics", ":9"],
                "--metrics \":9\": expected ADDR:PORT, ADDR:PORT+ or off",
            ),
            (
                &["--metrics", "a:x"],
                "--metrics \"a:x\": expected ADDR:PORT, ADDR:PORT+ or off",
            ),
        ] {
            assert_eq!(parsed(args), Err(text.to_string()));
        }
        for args in [
            ["--heartbeat", "0"],
            ["--heartbeat", "500"],
            ["--election-timeout", "600..500"],
        ] {
            let misuse = parsed(&args).unwrap_err();
            assert!(misuse.contains("do not go together"), "{misuse}");
        }
    }

    #[test]
    fn distances_are_counted_in_changes() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
