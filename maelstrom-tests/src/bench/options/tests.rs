use super::*;

fn options(arguments: &[&str]) -> Result<Options, String> {
    let parsed = Options::parse(arguments.iter().map(OsString::from));
    parsed.map_err(|error| error.to_string())
}

#[test]
fn every_flag_is_read() {
    let options = options(&[
        "-w",
        "lin-kv",
        "--bin=some/node",
        "--transport=maelstrom",
        "--node-count=3",
        "--concurrency",
        "4n",
        "--rate=12.5",
        "--time-limit=1.5",
        "--latency=20",
        "--latency-dist=uniform",
        "--clients-wait",
        "--loss=0.05",
        "--duplicate=1",
        "--nemesis=kill,pause,transfer,partition,membership",
        "--nemesis-interval=2",
        "--nemesis-at-start",
        "--availability=0.5",
        "--key-count=3",
        "--ops-per-key=64",
        "--deletes=0.25",
        "--sessions",
        "--seed=99",
        "--verbose",
        "--log-stderr",
        "--log-net-send",
        "--log-net-recv",
        "--store=/somewhere",
        "--data-dir=elsewhere",
        "--",
        "--bin=theirs",
    ])
    .expect("it parses");
    let expected = Options {
        node: NodeChoice::Bin("some/node".into()),
        node_arguments: vec!["--bin=theirs".into()],
        transport: Transport::Maelstrom,
        node_count: 3,
        concurrency: 12,
        rate: Some(12.5),
        time_limit: Duration::from_millis(1500),
        conditions: Conditions {
            latency: Latency {
                mean: Duration::from_millis(20),
                distribution: Distribution::Uniform,
            },
            loss: Millionths(50_000),
            duplicate: Millionths(1_000_000),
            clients_wait: true,
        },
        nemesis: Kind::of(Transport::Maelstrom).collect(),
        nemesis_interval: Duration::from_secs(2),
        nemesis_at_start: true,
        availability: Some(0.5),
        verbose: true,
        log_stderr: true,
        log_net_send: true,
        log_net_recv: true,
        seed: 99,
        key_count: 3,
        operations_per_key: 64,
        deletes: Millionths(250_000),
        sessions: true,
        store: "/somewhere".into(),
        data_dir: Some("elsewhere".into()),
        runs: None,
        jobs: 1,
        shared: Vec::new(),
    };
    assert_eq!(options, expected);
    assert_eq!(options.client_timeout(), Duration::from_secs(1));
}

#[test]
fn the_printed_command_line_repeats_the_run() {
    for arguments in [
        &["--seed=5"][..],
        &["--builtin=stale", "--rate=0", "--availability=total"],
        &["--deletes=0.125", "--sessions"],
        &["--transport=tcp", "--nemesis=all"],
        &[
            "--bin=a b",
            "--loss=0.001",
            "--latency=150",
            "--",
            "it's",
            "",
        ],
        &[
            "--nemesis=pause",
            "--nemesis-at-start",
            "--log-net-recv",
            "--store=x",
            "--data-dir=d e",
            "--time-limit=0.5",
        ],
    ] {
        let first = options(arguments).expect("it parses");
        let line = first.command_line();
        let script = format!("for word in {line}; do printf '%s\\n' \"$word\"; done");
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output();
        let output = String::from_utf8(output.expect("sh runs").stdout).expect("UTF-8");
        let words: Vec<&str> = output.lines().skip(1).collect();
        assert_eq!(options(&words).as_ref(), Ok(&first), "{line}");
    }
}

#[test]
fn defaults_follow_the_number_of_nodes() {
    let options = options(&["--node-count=3", "--concurrency=6n"]).expect("it parses");
    assert_eq!((options.concurrency, options.key_count), (18, 3));
    let default = super::tests::options(DEFAULT_RUN).expect("it parses");
    assert_eq!(
        (default.node_count, default.concurrency, default.key_count),
        (5, 10, 1)
    );
    let all = Kind::of(Transport::Maelstrom).collect();
    assert_eq!(default.nemesis, all);
    assert_eq!(default.time_limit, Duration::from_secs(20));
}

#[test]
fn the_client_waits_for_ten_latencies() {
    let options = options(&["--latency=150"]).expect("it parses");
    assert_eq!(options.client_timeout(), Duration::from_millis(1500));
}

#[test]
fn unusable_values_are_rejected() {
    for (argument, part) in [
        ("--workload=txn", "--workload: expected lin-kv, got 'txn'"),
        (
            "--node-count=0",
            "--node-count: expected a whole number from 1 to 64",
        ),
        ("--node-count=65", "--node-count"),
        (
            "--concurrency=n",
            "--concurrency: expected a number of clients",
        ),
        ("--concurrency=0n", "--concurrency"),
        ("--concurrency=99999999999999999n", "--concurrency"),
        ("--rate=-1", "--rate"),
        ("--rate=NaN", "--rate"),
        ("--rate=1e-9", "--rate: expected 0 or a number from 0.001"),
        (
            "--time-limit=soon",
            "--time-limit: expected a number from 0 to 604800",
        ),
        ("--time-limit=1e300", "--time-limit"),
        (
            "--latency=-5",
            "--latency: expected a number from 0 to 60000",
        ),
        (
            "--latency-dist=normal",
            "--latency-dist: expected constant, uniform or exponential",
        ),
        ("--loss=1.5", "--loss: expected a number from 0 to 1"),
        ("--deletes=2", "--deletes: expected a number from 0 to 1"),
        (
            "--nemesis=partition,kil",
            "--nemesis: expected partition, pause, transfer, kill, membership, connections, all or none, got 'kil'",
        ),
        (
            "--availability=2",
            "--availability: expected total or a fraction",
        ),
        (
            "--key-count=11",
            "--key-count: expected a whole number from 1 to 10",
        ),
        ("--ops-per-key=0", "--ops-per-key"),
        (
            "--nemesis-interval=0",
            "--nemesis-interval: expected a number from 0.1",
        ),
        ("--seed=-1", "--seed"),
        ("--builtin=zero", "--builtin: expected raft, null or stale"),
        ("--node-cuont=3", "the nearest is --node-count"),
    ] {
        let error = options(&[argument]).expect_err(argument);
        assert!(error.contains(part), "{argument}: {error}");
    }
    let error = options(&["--bin=x", "--builtin=null"]).expect_err("a contradiction");
    assert!(error.contains("exclude"));
}

#[test]
fn faults_have_names() {
    let nemesis = |value: &str| options(&[&format!("--nemesis={value}")]).map(|o| o.nemesis);
    for (value, kinds) in [
        ("none", &[][..]),
        ("", &[]),
        ("kill, pause", &[Kind::Kill, Kind::Pause]),
        ("all", &Kind::ALL[..5]),
    ] {
        assert_eq!(nemesis(value), Ok(kinds.iter().copied().collect()));
    }
    for builtin in ["--builtin=null", "--builtin=stale"] {
        let error = options(&[builtin, "--nemesis=all"]).expect_err("it loses its data");
        assert!(error.contains("loses its data"), "{error}");
        options(&[builtin, "--nemesis=pause"]).expect("it can be paused");
        let error = options(&[builtin, "--sessions"]).expect_err("it has none");
        assert!(error.contains("--sessions does not work"), "{error}");
    }
}

#[test]
fn help_explains_every_flag() {
    let page = options(&["--help"]).expect_err("help");
    for flag in TEST.flags {
        assert!(page.contains(&format!("--{}", flag.name())) && !flag.help.is_empty());
    }
    assert!(page.contains("\n  --latency-dist constant|uniform|exponential\n"));
}

#[test]
fn transports_have_their_own_flags() {
    let all = options(&["--transport=tcp", "--nemesis=all"]).expect("it parses");
    assert_eq!(all.nemesis, Kind::of(Transport::Tcp).collect());
    for (arguments, told) in [
        (
            &["--transport=udp"][..],
            "--transport: expected maelstrom or tcp, got 'udp'",
        ),
        (&["--nemesis=connections"], "needs --transport tcp"),
        (
            &["--transport=tcp", "--loss=0.1"],
            "--loss does not work with --transport tcp: TCP",
        ),
        (
            &["--transport=tcp", "--duplicate=0.1"],
            "--duplicate does not work",
        ),
        (
            &["--transport=tcp", "--clients-wait"],
            "--clients-wait does not work",
        ),
        (
            &["--transport=tcp", "--builtin=stale"],
            "--builtin stale, which speaks only Maelstrom",
        ),
        (
            &["--transport=tcp", "--concurrency=201"],
            "at most 200 clients",
        ),
    ] {
        let error = options(arguments).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
}
