//! The options of a node, and the flags that set them.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{Config, Limits};

use crate::flags::{Flag, Given, UsageError};
use crate::host::TICK;
use crate::telemetry::log::Level;
use crate::wire;

/// The options of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The times and limits of the core.
    pub config: Config,
    /// How long the node sends nothing to peers at first.
    pub settle: Duration,
    /// Where metrics are served.
    pub metrics: Metrics,
    /// The least severe lines that are logged.
    pub log: Level,
    /// The data folder, in which the node has its own. `None`: the state is in memory.
    pub data: Option<PathBuf>,
}

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// They are not served.
    Off,
    /// On loopback, at a port that the system chooses; not at all if there is none.
    Default,
    /// At this address, or the node does not start.
    At {
        /// A name or an address.
        host: String,
        /// The port; 0 is one that the system chooses.
        port: u16,
        /// Whether the node's position among the nodes is added to the port.
        spread: bool,
    },
}

impl Metrics {
    /// Whether the address depends on the node's position among the nodes.
    #[must_use]
    pub fn depends_on_position(&self) -> bool {
        matches!(self, Self::At { spread: true, .. })
    }
}

/// The environment variable with the data folder, for nodes without `--data-dir`.
pub const DATA_DIR: &str = "STDRAFT_DATA_DIR";

/// A flag of nodes whose peers may not have started yet.
pub const SETTLE: Flag = Flag::new(
    "--settle MS",
    "Sends nothing to other nodes for this long after init, since they\n\
     may not have started yet.",
)
.default("400");

/// The flags of every command that runs a node.
pub const FLAGS: &[Flag] = &[
    Flag::new(
        "--heartbeat MS",
        "A leader contacts each follower at least this often.",
    )
    .default("100"),
    Flag::new(
        "--election-timeout MIN..MAX",
        "A follower that hears from no leader for a random time in this range,\n\
         in ms, starts an election.",
    )
    .default("500..1000"),
    Flag::new(
        "--request-timeout MS",
        "Answers a request that cannot be served with error 11 or 13 after\n\
         this long. A write at a follower takes four latencies.",
    )
    .default("800"),
    Flag::new(
        "--change-timeout MS",
        "Ends a change of the members whose new voters have not caught up after\n\
         this long, and answers it with error 11.",
    )
    .default("60000"),
    Flag::new(
        "--metrics WHERE",
        "Where to serve Prometheus metrics over HTTP, at /metrics:\n\
         ADDR:PORT: at this address; if that fails, the node does not start;\n\
         ADDR:PORT+: at the port plus the node's position in node_ids (the\n\
         next one, if it is not among them), so that all nodes of a run can\n\
         have the same flags;\n\
         off: serves no metrics.\n\
         [default: 127.0.0.1 at a free port, which is printed on stderr]",
    ),
    Flag::new(
        "--data-dir DIR",
        "The data folder.\n\
         [default: the environment variable STDRAFT_DATA_DIR; without it,\n\
         the state is in memory]",
    ),
    Flag::new(
        "--snapshot-entries N",
        "Takes a snapshot after this many applied entries, and drops the log\n\
         before it.",
    )
    .default("65536"),
    Flag::new(
        "--snapshot-bytes N",
        "Also takes a snapshot after about this many bytes of applied entries.\n\
         An eighth of the entries, or a quarter of the bytes, stay for lagging\n\
         followers; up to eight times as much while a snapshot is sent.\n",
    )
    .default("33554432"),
    Flag::new(
        "--snapshot-chunk-bytes N",
        "Sends a snapshot to a follower in chunks of this size.\n",
    )
    .default("262144"),
    Flag::new(
        "--log LEVEL",
        "The least severe lines on stderr: error, warn, info or debug.\n",
    )
    .default("info"),
];

/// The longest time that a flag takes, in milliseconds: an hour.
const LONGEST_MS: u64 = 3_600_000;

/// The most entries or bytes that a flag takes: a trillion.
const MOST: u64 = 1_000_000_000_000;

impl Options {
    /// Reads the options from flags, and the data folder from [`DATA_DIR`] if no flag names it.
    ///
    /// # Errors
    /// A value that a flag cannot use, or times that contradict each other.
    pub fn from_given(given: &Given) -> Result<Self, UsageError> {
        let election = given.read("election-timeout", "MIN..MAX in ms, e.g. 500..1000", range)?;
        let (shortest_election, longest_election) = election.expect("it has a default");
        let mut limits = Limits {
            snapshot_entries: given.number("snapshot-entries", 1..=MOST)?,
            snapshot_bytes: given.number("snapshot-bytes", 1..=MOST)?,
            chunk_bytes: given.number("snapshot-chunk-bytes", 1..=wire::MAX_CHUNK)?,
            ..Limits::default()
        };
        limits.trailing_entries = limits.snapshot_entries / 8;
        limits.retained_entries = limits.snapshot_entries * 8;
        limits.log_entries = limits.snapshot_entries * 16;
        limits.trailing_bytes = limits.snapshot_bytes / 4;
        limits.retained_bytes = limits.snapshot_bytes * 8;
        limits.log_bytes = limits.snapshot_bytes * 16;
        let config = Config {
            heartbeat: ticks(given.number("heartbeat", 0..=LONGEST_MS)?),
            shortest_election,
            longest_election,
            request_deadline: ticks(given.number("request-timeout", 1..=LONGEST_MS)?),
            change_deadline: ticks(given.number("change-timeout", 1..=LONGEST_MS)?),
            limits,
        };
        check(&config)?;
        let log = given.read("log", "error, warn, info or debug", |text| {
            Level::ALL.into_iter().find(|level| level.as_str() == text)
        })?;
        let data = given.read("data-dir", "a folder", |text| {
            (!text.is_empty()).then(|| PathBuf::from(text))
        })?;
        let data = data.or_else(|| {
            let named = env::var_os(DATA_DIR).filter(|path| !path.is_empty())?;
            Some(PathBuf::from(named))
        });
        let metrics = given.read("metrics", "ADDR:PORT, ADDR:PORT+ or off", place)?;
        Ok(Self {
            config,
            settle: Duration::ZERO,
            metrics: metrics.unwrap_or(Metrics::Default),
            log: log.expect("it has a default"),
            data,
        })
    }
}

/// Reads [`SETTLE`].
///
/// # Errors
/// A value that it cannot use.
pub fn settle(given: &Given) -> Result<Duration, UsageError> {
    Ok(Duration::from_millis(
        given.number("settle", 0..=LONGEST_MS)?,
    ))
}

/// Checks what [`Config::validate`] demands, and explains it in the terms of the flags.
fn check(config: &Config) -> Result<(), UsageError> {
    let ms = |ticks: u32| u128::from(ticks) * TICK.as_millis();
    config.validate().map_err(|reason| {
        UsageError::new(format!(
            "--heartbeat {} and --election-timeout {}..{} do not go together: {reason} \
             (a tick is {} ms)",
            ms(config.heartbeat),
            ms(config.shortest_election),
            ms(config.longest_election),
            ms(1),
        ))
    })
}

/// The ticks of `MIN..MAX`.
fn range(text: &str) -> Option<(u32, u32)> {
    let (shortest, longest) = text.split_once("..")?;
    let time = |text: &str| text.parse().ok().filter(|ms| *ms <= LONGEST_MS);
    Some((ticks(time(shortest)?), ticks(time(longest)?)))
}

/// The number of ticks that takes at least this long.
fn ticks(milliseconds: u64) -> u32 {
    let tick = TICK.as_millis() as u64;
    u32::try_from(milliseconds.div_ceil(tick)).unwrap_or(u32::MAX)
}

fn place(text: &str) -> Option<Metrics> {
    if text == "off" {
        return Some(Metrics::Off);
    }
    let (address, spread) = match text.strip_suffix('+') {
        Some(address) => (address, true),
        None => (text, false),
    };
    let (host, port) = address.rsplit_once(':')?;
    if host.is_empty() {
        return None;
    }
    // An IPv6 address has colons itself and stands in brackets.
    let number = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    Some(Metrics::At {
        host: number.unwrap_or(host).to_owned(),
        port: port.parse().ok()?,
        spread,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Command;

    fn parsed(args: &[&str]) -> Result<Options, String> {
        let command = Command::new("try", "", &[SETTLE]).and(FLAGS);
        let parsed = command.parse(args.iter().map(Into::into));
        let options = parsed.and_then(|given| {
            let settle = settle(&given)?;
            Ok(Options {
                settle,
                ..Options::from_given(&given)?
            })
        });
        options.map_err(|error| error.to_string())
    }

    #[track_caller]
    fn options(args: &[&str]) -> Options {
        parsed(args).expect("options")
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let options = options(&[]);
        assert_eq!(options.config.heartbeat, 10);
        assert_eq!(options.config.shortest_election, 50);
        assert_eq!(options.config.longest_election, 100);
        assert_eq!(options.config.request_deadline, 80);
        assert_eq!(options.config.change_deadline, 6_000);
        assert_eq!(options.settle.as_millis(), 400);
        assert_eq!(options.metrics, Metrics::Default);
        assert_eq!(options.log, Level::Info);
        assert_eq!(options.config.limits, Limits::default());
    }

    #[test]
    fn values_are_read() {
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
    fn trailing_limits_follow_from_snapshot_limits() {
        for extreme in ["1", "1000000000000"] {
            options(&["--snapshot-entries", extreme, "--snapshot-bytes", extreme]);
        }
        let options = options(&["--data-dir=/a b", "--snapshot-chunk-bytes=7"]);
        assert_eq!(options.data, Some("/a b".into()));
        assert_eq!(options.config.limits.chunk_bytes, 7);
    }

    #[test]
    fn metrics_addresses_are_read() {
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
    fn mistakes_are_explained() {
        for (args, text) in [
            (
                &["--hartbeat", "5"][..],
                "unknown flag --hartbeat; the nearest is --heartbeat",
            ),
            (
                &["--settle", "-1"],
                "--settle: expected a whole number from 0 to 3600000, got '-1'",
            ),
            (
                &["--election-timeout", "500"],
                "--election-timeout: expected MIN..MAX in ms, e.g. 500..1000, got '500'",
            ),
            (&["--data-dir", ""], "--data-dir: expected a folder, got ''"),
            (
                &["--snapshot-chunk-bytes", "99999999"],
                "--snapshot-chunk-bytes: expected a whole number from 1 to 16777216, got '99999999'",
            ),
            (
                &["--log", "loud"],
                "--log: expected error, warn, info or debug, got 'loud'",
            ),
            (
                &["--metrics", ":9"],
                "--metrics: expected ADDR:PORT, ADDR:PORT+ or off, got ':9'",
            ),
            (
                &["--metrics", "a:x"],
                "--metrics: expected ADDR:PORT, ADDR:PORT+ or off, got 'a:x'",
            ),
        ] {
            assert_eq!(parsed(args), Err(text.to_string()));
        }
        for args in [
            ["--heartbeat", "0"],
            ["--heartbeat", "500"],
            ["--election-timeout", "600..500"],
        ] {
            let error = parsed(&args).unwrap_err();
            assert!(error.contains("do not go together"), "{error}");
        }
    }
}
