//! The HTTP endpoint, over loopback sockets.
//!
//! Time limits only ever run out where a test wants them to; where that may hit another request of
//! the same server, the client tries again.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use metrics::Registry;
use metrics::http::{self, Limits, Server};

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn server(limits: Limits) -> (Server, Arc<Registry>) {
    let registry = Arc::new(Registry::new());
    registry.counter("answers_total", "All of them.").add(42);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    let server = http::serve(listener, registry.clone(), limits).expect("the server starts");
    (server, registry)
}

/// Limits that no request exceeds by accident.
fn patient() -> Limits {
    Limits {
        connections: 1000,
        request_time: Duration::from_secs(600),
        answer_time: Duration::from_secs(600),
        ..Limits::default()
    }
}

/// Sends the bytes, and reads until the server closes. The client's side stays open for writing.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let (_, answer) = try_exchange(address, bytes).expect("the server reads, answers and closes");
    answer
}

/// The connection, which the client has not closed, and the answer on it.
fn try_exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(bytes)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok((stream, answer))
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the server answers and closes");
    answer
}

fn status(answer: &str) -> &str {
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

fn request(address: SocketAddr, request: &str) -> String {
    exchange(address, request.as_bytes())
}

/// Asks until the answer is 200. Meanwhile its connection may be closed for a newer one, the answer
/// may take longer than the limit, or the system may have no port left.
fn when_served(address: SocketAddr, request: &[u8]) -> (TcpStream, String) {
    loop {
        match try_exchange(address, request) {
            Ok((stream, answer)) if answer.starts_with("HTTP/1.1 200 ") => return (stream, answer),
            Ok(_) | Err(_) => thread::yield_now(),
        }
    }
}

#[test]
fn metrics_are_served() {
    let (server, _) = server(patient());
    let answer = exchange(server.address(), GET);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close",
            body.len()
        )
    );
    assert!(body.starts_with(
        "# HELP answers_total All of them.\n# TYPE answers_total counter\nanswers_total 42\n"
    ));
}

#[test]
fn queries_absolute_targets_and_http_1_0_are_served() {
    let (server, _) = server(patient());
    for head in [
        "GET /metrics?name[]=up HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /metrics HTTP/1.0\r\n\r\n",
        "GET /metrics HTTP/1.0\n\n",
    ] {
        let answer = request(server.address(), head);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\nanswers_total 42\n"),
            "{head:?}: {answer}"
        );
    }
}

#[test]
fn the_index_leads_to_the_metrics() {
    let (server, _) = server(patient());
    let answer = request(server.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        answer.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(answer.contains("href=\"/metrics\""), "{answer}");
}

#[test]
fn head_is_get_without_the_body() {
    let (server, _) = server(patient());
    for path in ["/", "/nowhere"] {
        let get = request(
            server.address(),
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        let head = request(
            server.address(),
            &format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(
            get.split_once("\r\n\r\n").expect("a head").0,
            head.trim_end()
        );
    }
    let head = request(
        server.address(),
        "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let malformed = request(server.address(), "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(
        status(&malformed) == "400" && malformed.ends_with("\r\n\r\n"),
        "{malformed}"
    );
}

#[test]
fn other_paths_are_404_and_other_methods_405() {
    let (server, _) = server(patient());
    for path in [
        "/metric",
        "/metrics/",
        "/Metrics",
        "/%6detrics",
        "//metrics",
        "*",
    ] {
        let answer = request(
            server.address(),
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        assert_eq!(status(&answer), "404", "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "BREW"] {
        let answer = request(
            server.address(),
            &format!("{method} /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        assert_eq!(status(&answer), "405", "{method}");
        assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    }
    let answer = request(
        server.address(),
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_eq!(status(&answer), "404");
}

#[test]
fn malformed_request_is_400() {
    let (server, _) = server(patient());
    for garbage in [
        &b"\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"{\"type\":\"init\"}\n\n",
        b"\x00\xff\xfe\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    ] {
        assert_eq!(
            status(&exchange(server.address(), garbage)),
            "400",
            "{garbage:?}"
        );
    }
    assert_eq!(
        status(&request(server.address(), "GET / HTTP/2.0\r\n\r\n")),
        "505"
    );
    assert_eq!(status(&exchange(server.address(), GET)), "200");
}

/// Another seed: `STDRAFT_SEED=N cargo test -p metrics --test http`.
#[test]
fn random_damage_is_answered_with_an_error() {
    let seed = std::env::var("STDRAFT_SEED")
        .map_or(1, |seed| seed.parse().expect("STDRAFT_SEED is a number"));
    println!("replay: STDRAFT_SEED={seed} cargo test -p metrics --test http random_damage");
    let mut rng = rand::Rng::seeded(seed);
    let (server, _) = server(patient());
    for _ in 0..200 {
        // A valid request, damaged in a few places, and sometimes cut short; the client then closes
        // its side.
        let mut bytes = GET.to_vec();
        for _ in 0..rng.range(1..=4) {
            let place = rng.below(bytes.len() as u64) as usize;
            bytes[place] = rng.next_u64() as u8;
        }
        if rng.chance(1, 3) {
            bytes.truncate(rng.range(1..=bytes.len() as u64) as usize);
        }
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        stream.write_all(&bytes).expect("the server reads");
        stream
            .shutdown(Shutdown::Write)
            .expect("the stream is open");
        let answer = read_all(&mut stream);
        assert!(
            ["200", "400", "404", "405", "505"].contains(&status(&answer)),
            "{bytes:?}: {answer}"
        );
    }
    assert_eq!(status(&exchange(server.address(), GET)), "200");
}

#[test]
fn request_that_ends_too_early_is_400() {
    let (server, registry) = server(patient());
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    stream
        .write_all(&GET[..GET.len() - 1])
        .expect("the server reads");
    stream
        .shutdown(Shutdown::Write)
        .expect("the stream is open");
    assert_eq!(status(&read_all(&mut stream)), "400");

    // A client that closes without a byte gets no answer.
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    stream
        .shutdown(Shutdown::Write)
        .expect("the stream is open");
    assert_eq!(read_all(&mut stream), "");

    let page = registry.render();
    assert!(
        page.contains("metrics_http_connections_total{result=\"answered\"} 1\n"),
        "{page}"
    );
    assert!(
        page.contains("metrics_http_connections_total{result=\"unanswered\"} 1\n"),
        "{page}"
    );
}

#[test]
fn too_long_head_is_431() {
    let (server, _) = server(patient());
    let head = |filling: usize| {
        format!(
            "GET /metrics HTTP/1.0\r\nA: {}\r\n\r\n",
            "b".repeat(filling)
        )
    };
    let fits = 8192 - head(0).len();
    assert_eq!(status(&request(server.address(), &head(fits))), "200");
    assert_eq!(status(&request(server.address(), &head(fits + 1))), "431");
    assert_eq!(status(&request(server.address(), &head(500_000))), "431");
    assert_eq!(
        status(&request(
            server.address(),
            &format!("GET /{} HTTP/1.0", "a".repeat(9000))
        )),
        "431"
    );
    assert_eq!(status(&exchange(server.address(), &[0; 100_000])), "431");
}

#[test]
fn bytes_after_a_request_are_ignored() {
    let (server, _) = server(patient());
    for junk in [GET, &[0xff; 100_000], b"POST / HTTP/1.1\r\n\r\n"] {
        let answer = exchange(server.address(), &[GET, junk].concat());
        assert_eq!(status(&answer), "200");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1);
    }
}

#[test]
fn incomplete_request_is_408_after_its_time() {
    let (server, _) = server(Limits {
        request_time: Duration::from_millis(20),
        ..patient()
    });
    assert_eq!(status(&request(server.address(), "GET /metrics HT")), "408");
    assert_eq!(status(&request(server.address(), "")), "408");
}

/// The limit is for the whole request, however steadily its bytes arrive.
#[test]
fn slow_request_is_408_after_its_time() {
    /// The server reads this much after its answer without closing, so the answer always arrives.
    const BYTES: usize = 100_000;
    let limits = Limits {
        request_time: Duration::from_millis(20),
        head_bytes: 1 << 30,
        ..patient()
    };
    let (server, _) = server(limits);
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    let mut sending = stream.try_clone().expect("the stream can be cloned");
    let answered = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..BYTES {
                if answered.load(Ordering::Relaxed) || sending.write_all(b"a").is_err() {
                    return;
                }
                thread::yield_now();
            }
        });
        let answer = read_all(&mut stream);
        answered.store(true, Ordering::Relaxed);
        assert_eq!(status(&answer), "408");
    });
}

fn unanswered(registry: &Registry) -> bool {
    let none = "metrics_http_connections_total{result=\"unanswered\"} 0\n";
    !registry.render().contains(none)
}

/// More than the buffers of both sockets hold.
fn add_huge_page(registry: &Registry) {
    registry.gauge("huge", "h".repeat(16 << 20).leak());
}

#[test]
fn client_that_takes_no_answer_is_cut_off() {
    let (server, registry) = server(Limits {
        answer_time: Duration::from_millis(20),
        ..patient()
    });
    add_huge_page(&registry);
    let mut stubborn = TcpStream::connect(server.address()).expect("the server listens");
    stubborn.write_all(GET).expect("the server reads");
    while !unanswered(&registry) {
        thread::yield_now();
    }
}

/// No client of these does anything, and none runs out of time.
#[test]
fn oldest_silent_client_yields_first() {
    let (server, _) = server(Limits {
        connections: 3,
        ..patient()
    });
    // Connections are accepted in the order in which they were made. This one is answered, and
    // stays.
    let (_answered, _) = try_exchange(server.address(), GET).expect("an answer");
    let silent =
        [(); 2].map(|()| TcpStream::connect(server.address()).expect("the server listens"));
    let (_third, answer) = try_exchange(server.address(), GET).expect("an answer at once");
    assert_eq!(status(&answer), "200");
    let [mut first, mut second] = silent;
    second.write_all(GET).expect("the server reads");
    assert_eq!(status(&read_all(&mut second)), "200");
    assert_eq!(read_all(&mut first), "");
}

/// The first takes no answer, the second does not close.
#[test]
fn oldest_client_yields_if_none_is_silent() {
    let (server, registry) = server(Limits {
        connections: 2,
        ..patient()
    });
    add_huge_page(&registry);
    let mut stubborn = TcpStream::connect(server.address()).expect("the server listens");
    stubborn.write_all(GET).expect("the server reads");
    // The answer has begun, so the client is not silent.
    stubborn.peek(&mut [0]).expect("the server answers");
    const INDEX: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
    let (lingering, _) = try_exchange(server.address(), INDEX).expect("an answer");
    assert!(!unanswered(&registry));
    let (_third, answer) = try_exchange(server.address(), INDEX).expect("an answer at once");
    assert_eq!(status(&answer), "200");
    assert!(unanswered(&registry));
    drop(lingering);
}

#[test]
fn many_silent_clients_keep_no_client_out() {
    let (server, _) = server(Limits {
        connections: 8,
        ..patient()
    });
    let silent =
        [(); 50].map(|()| TcpStream::connect(server.address()).expect("the server listens"));
    for _ in 0..10 {
        let (_, answer) = try_exchange(server.address(), GET).expect("an answer at once");
        assert_eq!(status(&answer), "200");
    }
    drop(silent);
}

#[test]
fn more_clients_than_places_are_all_served() {
    let (server, registry) = server(Limits {
        connections: 8,
        ..patient()
    });
    let seen = registry.counter("seen_total", "Counted while scraped.");
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let (_, answer) = when_served(server.address(), GET);
                    assert!(answer.contains("\nanswers_total 42\n"), "{answer}");
                    seen.increment();
                }
            });
        }
    });
    let (_, answer) = when_served(server.address(), GET);
    assert!(answer.contains("\nseen_total 200\n"), "{answer}");
}

#[test]
fn clients_that_vanish_free_their_places() {
    let (server, _) = server(Limits {
        connections: 8,
        ..patient()
    });
    for length in 0..GET.len() {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        stream.write_all(&GET[..length]).expect("the server reads");
    }
    when_served(server.address(), GET);
}

/// The listener stays open in the test, so that no other process takes its port: the connection
/// must go to the test, not to the server.
fn assert_stops(bound_to: &str) {
    let listener = TcpListener::bind(bound_to).expect("the address can be bound");
    let kept = listener.try_clone().expect("a listener can be cloned");
    let server = http::serve(listener, Arc::new(Registry::new()), Limits::default());
    let server = server.expect("the server starts");
    let address = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    when_served(address, GET);
    server.shut_down();
    let client = TcpStream::connect(address).expect("the test listens");
    let (_, from) = kept.accept().expect("the client has connected");
    assert_eq!(from, client.local_addr().expect("the client is connected"));
}

#[test]
fn server_that_was_shut_down_accepts_no_more() {
    assert_stops("127.0.0.1:0");
}

#[test]
fn server_on_every_address_can_be_shut_down() {
    assert_stops("0.0.0.0:0");
}
