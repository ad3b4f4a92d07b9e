use std::net::Ipv4Addr;

use super::super::network::Distribution;
use super::*;

/// Proxies, and the listeners in the place of their nodes.
struct Setup {
    proxies: Proxies,
    nodes: Vec<TcpListener>,
}

/// Both ends of a connection.
struct Link {
    dialer: TcpStream,
    target: TcpStream,
}

fn setup(latency: Duration) -> Setup {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let nodes: Vec<TcpListener> = (0..3).map(|_| bind()).collect();
    let targets = nodes.iter().map(|node| node.local_addr().expect("bound"));
    let latency = Latency {
        mean: latency,
        distribution: Distribution::Constant,
    };
    let proxies = Proxies::start(Rng::seeded(1), latency, targets.collect()).expect("proxies");
    Setup { proxies, nodes }
}

impl Setup {
    fn dial(&self, from: usize, to: usize) -> TcpStream {
        let mut dialer = TcpStream::connect(self.proxies.places[to]).expect("a proxy");
        write(&mut dialer, &hello(from));
        dialer
    }

    fn link(&self, from: usize, to: usize) -> Link {
        let dialer = self.dial(from, to);
        self.accept(dialer, from, to)
    }

    fn accept(&self, dialer: TcpStream, from: usize, to: usize) -> Link {
        let mut target = self.nodes[to].accept().expect("the proxy's").0;
        assert_eq!(read(&mut target, hello(from).len()), hello(from));
        Link { dialer, target }
    }
}

impl Link {
    /// Passes bytes to and fro, often enough that the other connections would have passed theirs.
    fn is_in_use(&mut self) {
        for _ in 0..50 {
            write(&mut self.dialer, "ping");
            assert_eq!(read(&mut self.target, 4), "ping");
            write(&mut self.target, "pong");
            assert_eq!(read(&mut self.dialer, 4), "pong");
        }
    }
}

fn hello(from: usize) -> String {
    format!("{{\"src\":\"n{from}=127.0.0.1:9\",\"body\":{{}}}}\n")
}

fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("it is open");
}

fn read(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("it is open");
    String::from_utf8(bytes).expect("UTF-8")
}

/// Waits for the end of a connection, and returns what came before it.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // It may also be reset.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).expect("UTF-8")
}

/// Whether nothing has come, not even the end.
fn is_silent(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn pairs(pairs: &[(usize, usize)]) -> Cuts {
    let pairs = pairs.iter();
    pairs.map(|(from, to)| (Node(*from), Node(*to))).collect()
}

#[test]
fn bytes_and_the_end_pass_in_both_directions() {
    let setup = setup(Duration::ZERO);
    let mut link = setup.link(0, 1);
    link.is_in_use();
    write(&mut link.dialer, "last");
    link.dialer.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(rest(&mut link.target), "last");
    write(&mut link.target, "words");
    drop(link.target);
    assert_eq!(rest(&mut link.dialer), "words");
}

#[test]
fn bytes_are_late_but_in_order() {
    let latency = Duration::from_millis(30);
    let setup = setup(latency);
    let began = Instant::now();
    let mut link = setup.link(0, 1);
    for word in ["a", "b", "c"] {
        write(&mut link.dialer, word);
    }
    assert_eq!(read(&mut link.target, 3), "abc");
    write(&mut link.target, "d");
    assert_eq!(read(&mut link.dialer, 1), "d");
    assert!(began.elapsed() >= 2 * latency);
}

#[test]
fn a_cut_holds_one_direction_up_until_it_heals() {
    let setup = setup(Duration::ZERO);
    let (mut link, mut other) = (setup.link(0, 1), setup.link(2, 1));
    setup.proxies.cut(pairs(&[(0, 1)]));
    write(&mut link.dialer, "held up");
    write(&mut link.target, "passes");
    assert_eq!(read(&mut link.dialer, 6), "passes");
    let second = setup.dial(0, 1);
    other.is_in_use();
    assert!(is_silent(&link.target) && is_silent(&link.dialer));
    setup.nodes[1].set_nonblocking(true).expect("a socket");
    assert!(setup.nodes[1].accept().is_err());
    setup.nodes[1].set_nonblocking(false).expect("a socket");
    setup.proxies.cut(Cuts::new());
    assert_eq!(read(&mut link.target, 7), "held up");
    setup.accept(second, 0, 1).is_in_use();
}

#[test]
fn lost_connections_end_and_are_refused_until_the_mend() {
    let setup = setup(Duration::ZERO);
    let (mut link, mut back) = (setup.link(0, 1), setup.link(1, 0));
    setup
        .proxies
        .break_connections(Break::Lost, &pairs(&[(0, 1)]));
    assert_eq!(rest(&mut link.dialer), "");
    assert_eq!(rest(&mut link.target), "");
    assert_eq!(rest(&mut setup.dial(0, 1)), "");
    back.is_in_use();
    setup.proxies.mend();
    setup.link(0, 1).is_in_use();
}

#[test]
fn half_open_connections_end_at_one_end_alone() {
    let setup = setup(Duration::ZERO);
    let (mut first, mut second) = (setup.link(0, 1), setup.link(0, 1));
    let broken = pairs(&[(0, 1)]);
    setup.proxies.break_connections(Break::HalfOpen, &broken);
    // The first closes its target's end, the next its dialer's.
    assert_eq!(rest(&mut first.target), "");
    assert_eq!(rest(&mut second.dialer), "");
    write(&mut first.dialer, "void");
    write(&mut second.target, "void");
    setup.link(0, 1).is_in_use();
    assert!(is_silent(&first.dialer) && is_silent(&second.target));
    // Ends that learn nothing are closed at last.
    drop(setup.proxies);
    assert_eq!(rest(&mut first.dialer) + &rest(&mut second.target), "");
}

#[test]
fn black_holes_carry_nothing_and_do_not_end() {
    let setup = setup(Duration::ZERO);
    let (mut link, mut other) = (setup.link(0, 1), setup.link(0, 2));
    let broken = pairs(&[(0, 1)]);
    setup.proxies.break_connections(Break::BlackHole, &broken);
    write(&mut link.dialer, "void");
    write(&mut link.target, "void");
    other.is_in_use();
    setup.link(0, 1).is_in_use();
    setup.proxies.mend();
    assert!(is_silent(&link.dialer) && is_silent(&link.target));
}

#[test]
fn a_sender_into_a_cut_waits_and_little_is_held() {
    let setup = setup(Duration::ZERO);
    let link = setup.link(0, 1);
    setup.proxies.cut(pairs(&[(0, 1)]));
    link.dialer.set_nonblocking(true).expect("a socket");
    let (mut taken, mut refusals, bytes) = (0, 0, vec![0; CHUNK_BYTES]);
    // The system holds some megabytes, too. A proxy without a limit would take all.
    while refusals < 500 && taken < 32 * CHUNKS * CHUNK_BYTES {
        match (&link.dialer).write(&bytes) {
            Ok(length) => taken += length,
            Err(_) => {
                refusals += 1;
                thread::yield_now();
            }
        }
    }
    assert!(taken < 16 * CHUNKS * CHUNK_BYTES, "{taken}");
}

#[test]
fn the_oldest_connections_of_a_pair_yield() {
    let setup = setup(Duration::ZERO);
    let mut oldest = setup.link(0, 1);
    let mut links: Vec<Link> = (0..CONNECTIONS).map(|_| setup.link(0, 1)).collect();
    assert_eq!(rest(&mut oldest.target), "");
    links.iter_mut().for_each(Link::is_in_use);
}

#[test]
fn strangers_are_turned_away() {
    let setup = setup(Duration::ZERO);
    for line in [
        "{\"src\":\"n3\"}\n",
        "{\"src\":\"n01\"}\n",
        "{}\n",
        "GET / HTTP/1.1\n",
    ] {
        let mut stranger = TcpStream::connect(setup.proxies.places[0]).expect("a proxy");
        write(&mut stranger, line);
        assert_eq!(rest(&mut stranger), "", "{line}");
    }
    let mut long = TcpStream::connect(setup.proxies.places[0]).expect("a proxy");
    write(&mut long, &"x".repeat(LINE_BYTES));
    assert_eq!(rest(&mut long), "");
}

#[test]
fn all_threads_end_with_the_proxies() {
    let setup = setup(Duration::ZERO);
    let _open = setup.link(0, 1);
    let mut held = setup.link(1, 2);
    setup.proxies.cut(pairs(&[(1, 2)]));
    write(&mut held.dialer, "held up");
    let _silent = TcpStream::connect(setup.proxies.places[0]).expect("a proxy");
    setup.link(2, 0).is_in_use();
    let shared = Arc::downgrade(&setup.proxies.shared);
    drop(setup.proxies);
    assert!(shared.upgrade().is_none());
}
