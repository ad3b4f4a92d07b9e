//! How the two ends of a connection prove that they know the cluster's secret.
//!
//! ```text
//! dialer                                                  acceptor
//!   hello {v, nonce, cluster?, lane?}    ──────────────▶
//!                                        ◀──────────────    challenge {nonce, cluster?, proof}
//!   proof {proof}                        ──────────────▶
//!                                        ◀──────────────    welcome, or error {text}
//! ```
//!
//! Each proof is the HMAC of both nonces, both names, the cluster, the lane and the role of its
//! sender, under the secret. So it is of no use on another connection, for another name, or in the
//! other direction. Without a secret the proofs, under an empty one, still keep apart clusters and
//! nodes that were mixed up. Nothing is encrypted: an attacker that can read the network can read
//! the data, and one that can change what the network carries can change the data.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use json::Raw;

use crate::entropy;
use crate::front_end::Lane;
use crate::hmac::{hmac, is_equal};
use crate::lines::{Lines, RawLine};
use crate::node::address::name_in;

json::record! {
    /// A line of a connection. Clients may omit both names.
    pub(crate) struct Line<'a, B> {
        pub(crate) src: Option<Cow<'a, str>>,
        pub(crate) dest: Option<Cow<'a, str>>,
        pub(crate) body: B,
    }
}

json::record! {
    /// The first line of a dialer.
    #[derive(Debug)]
    pub(crate) enum Hello tagged "type" {
        Hello as "hello" { v: u64, nonce: String, cluster: Option<u32>, lane: Option<Lane> },
    }
}

json::record! {
    struct Proof { proof: String }
}

json::record! {
    enum Answer tagged "type" {
        Challenge as "challenge" { nonce: String, cluster: Option<u32>, proof: String },
        Welcome as "welcome",
        Error as "error" { code: u64, text: String },
    }
}

/// The version of the handshake.
const VERSION: u64 = 1;

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// A member's address, `NAME=HOST:PORT`, or a name alone.
    pub(crate) address: String,
    /// The cluster. `None` for clients, and for nodes that wait to be added.
    pub(crate) cluster: Option<u32>,
}

/// The contents of both proofs of a connection.
struct Transcript<'a> {
    dialer: &'a End,
    acceptor: &'a End,
    lane: Option<Lane>,
    nonces: [&'a str; 2],
}

impl Transcript<'_> {
    fn proof(&self, secret: &[u8], role: &str) -> String {
        let (dialer, acceptor) = (self.dialer, self.acceptor);
        let content = json::encode(&(
            ("stdraft", VERSION, role),
            (
                &*dialer.address,
                &*acceptor.address,
                dialer.cluster,
                acceptor.cluster,
            ),
            (self.lane, self.nonces[0], self.nonces[1]),
        ));
        base64::encode(&hmac(secret, &content))
    }

    fn check(&self, secret: &[u8], role: &str, proof: &str) -> io::Result<()> {
        if is_equal(self.proof(secret, role).as_bytes(), proof.as_bytes()) {
            return Ok(());
        }
        Err(failed(match secret.is_empty() {
            true => "the other end has a secret, and this one none (--secret-file)",
            false => "the other end has another secret, or none (--secret-file)",
        }))
    }
}

const DIALER: &str = "dialer";
const ACCEPTOR: &str = "acceptor";

/// Introduces `me` to the node at the other end, which must be the one named `to`, if given, and of
/// the same cluster. Returns that node.
///
/// # Errors
/// The stream has one, or the other end is another node or lacks the secret.
pub(crate) fn dial(
    lines: &mut Lines<impl Read + Write>,
    secret: &[u8],
    (me, to, lane): (&End, Option<&str>, Option<Lane>),
) -> io::Result<End> {
    let first = nonce();
    let hello = Hello::Hello {
        v: VERSION,
        nonce: first.clone(),
        cluster: me.cluster,
        lane,
    };
    send(lines.stream(), &me.address, to, hello)?;
    let (address, answer) = receive(lines)?;
    let Answer::Challenge {
        nonce: second,
        cluster,
        proof,
    } = answer
    else {
        return Err(unexpected(answer));
    };
    let other = End { address, cluster };
    let transcript = Transcript {
        dialer: me,
        acceptor: &other,
        lane,
        nonces: [&first, &second],
    };
    transcript.check(secret, ACCEPTOR, &proof)?;
    if let Some(to) = to
        && name_in(to) != name_in(&other.address)
    {
        let text = format!("expected {to} there, but it is {}", other.address);
        return Err(failed(text));
    }
    let proof = transcript.proof(secret, DIALER);
    send(
        lines.stream(),
        &me.address,
        Some(&other.address),
        Proof { proof },
    )?;
    match receive(lines)? {
        (_, Answer::Welcome) => Ok(other),
        (_, answer) => Err(unexpected(answer)),
    }
}

/// Answers the hello of a dialer named `src` that wants to speak with `dest`. Returns the dialer, and
/// what it dials for; no lane if it is a client.
///
/// # Errors
/// The stream has one, or the dialer wants another node or cluster, or lacks the secret: the reply to
/// the dialer says which.
pub(crate) fn accept(
    lines: &mut Lines<impl Read + Write>,
    secret: &[u8],
    me: &End,
    (src, dest, hello): (&str, Option<&str>, Hello),
) -> io::Result<(End, Option<Lane>)> {
    let accepted = converse(lines, secret, me, (src, dest, hello));
    let answer = match &accepted {
        Ok(_) => Answer::Welcome,
        Err(error) => Answer::Error {
            code: 22,
            text: error.to_string(),
        },
    };
    send(lines.stream(), &me.address, Some(src), answer)?;
    accepted
}

fn converse(
    lines: &mut Lines<impl Read + Write>,
    secret: &[u8],
    me: &End,
    (src, dest, hello): (&str, Option<&str>, Hello),
) -> io::Result<(End, Option<Lane>)> {
    let Hello::Hello {
        v,
        nonce: first,
        cluster,
        lane,
    } = hello;
    if v != VERSION {
        return Err(failed(format!(
            "version {v} of the handshake; this node speaks {VERSION}"
        )));
    }
    if let Some(dest) = dest
        && name_in(dest) != name_in(&me.address)
    {
        return Err(failed(format!("this is {}, not {dest}", me.address)));
    }
    if lane.is_some() && cluster.is_none() {
        return Err(failed("a peer names its cluster"));
    }
    if let (Some(theirs), Some(mine)) = (cluster, me.cluster)
        && theirs != mine
    {
        return Err(failed(format!("{} belongs to another cluster", me.address)));
    }
    let address = src.to_owned();
    let (dialer, second) = (End { address, cluster }, nonce());
    let transcript = Transcript {
        dialer: &dialer,
        acceptor: me,
        lane,
        nonces: [&first, &second],
    };
    let challenge = Answer::Challenge {
        nonce: second.clone(),
        cluster: me.cluster,
        proof: transcript.proof(secret, ACCEPTOR),
    };
    send(lines.stream(), &me.address, Some(src), challenge)?;
    let (_, Proof { proof }) = receive(lines)?;
    transcript.check(secret, DIALER, &proof)?;
    Ok((dialer, lane))
}

/// Connects to an address, and gives reads and writes this much time each.
pub(crate) fn connect(address: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// 128 random bits.
fn nonce() -> String {
    format!("{:016x}{:016x}", entropy::random(), entropy::random())
}

/// Writes a line.
pub(crate) fn send(
    mut stream: impl Write,
    src: &str,
    dest: Option<&str>,
    body: impl json::Encode,
) -> io::Result<()> {
    let (src, dest) = (Some(Cow::Borrowed(src)), dest.map(Cow::Borrowed));
    let mut line = json::encode(&Line { src, dest, body });
    line.push(b'\n');
    stream.write_all(&line)
}

/// The next line's sender and body.
fn receive<B: for<'a> json::Decode<'a>>(lines: &mut Lines<impl Read>) -> io::Result<(String, B)> {
    let Some(RawLine::Whole(line)) = lines.next()? else {
        return Err(failed("the other end closed the connection"));
    };
    let foreign = |error| failed(format!("the other end is no node of this program: {error}"));
    let line: Line<'_, Raw<'_>> = json::decode(line).map_err(foreign)?;
    let body = line.body.decode().map_err(foreign)?;
    Ok((line.src.unwrap_or_default().into_owned(), body))
}

fn failed(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text.into())
}

fn unexpected(answer: Answer) -> io::Error {
    match answer {
        Answer::Error { code: _, text } => failed(format!("refused: {text}")),
        Answer::Challenge { .. } | Answer::Welcome => failed("not the handshake of this program"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    fn end(address: &str, cluster: Option<u32>) -> End {
        let address = address.into();
        End { address, cluster }
    }

    /// A handshake between a dialer that wants `to` and an acceptor, with their secrets. Returns what
    /// each learned of the other.
    fn shake(
        (dialer, to, lane, secret): (End, Option<&str>, Option<Lane>, &str),
        (acceptor, other_secret): (End, &str),
    ) -> (Result<String, String>, Result<String, String>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let text = |result: io::Result<End>| {
            result
                .map(|end| end.address)
                .map_err(|error| error.to_string())
        };
        thread::scope(|scope| {
            let accepting = scope.spawn(move || {
                let mut lines = Lines::new(&theirs, 1_000);
                let Some(RawLine::Whole(line)) = lines.next().unwrap() else {
                    panic!("no hello");
                };
                let line: Line<'_, Raw<'_>> = json::decode(line).unwrap();
                let (src, dest) = (
                    line.src.unwrap().into_owned(),
                    line.dest.map(Cow::into_owned),
                );
                let from = (&*src, dest.as_deref(), line.body.decode().unwrap());
                accept(&mut lines, other_secret.as_bytes(), &acceptor, from)
            });
            let mut lines = Lines::new(&ours, 1_000);
            let dialed = dial(&mut lines, secret.as_bytes(), (&dialer, to, lane));
            drop(lines);
            drop(ours);
            let accepted = accepting.join().unwrap();
            (text(dialed), text(accepted.map(|(end, _)| end)))
        })
    }

    #[test]
    fn ends_with_the_secret_learn_each_other() {
        let n2 = end("n2=h:2", Some(7));
        for lane in [Some(Lane::Messages), Some(Lane::Chunks)] {
            let dialer = (end("n1=h:1", Some(7)), Some("n2=elsewhere:1"), lane, "s");
            let shaken = shake(dialer, (n2.clone(), "s"));
            assert_eq!(shaken, (Ok("n2=h:2".into()), Ok("n1=h:1".into())));
        }
        let client = (end("c1", None), None, None, "");
        assert_eq!(
            shake(client, (n2, "")),
            (Ok("n2=h:2".into()), Ok("c1".into()))
        );
    }

    #[test]
    fn other_secrets_names_and_clusters_are_refused() {
        let peer = |cluster, to, secret| {
            let lane = Some(Lane::Messages);
            let dialer = (end("n1=h:1", cluster), Some(to), lane, secret);
            let (dialed, accepted) = shake(dialer, (end("n2=h:2", Some(7)), "s"));
            (dialed.unwrap_err(), accepted.unwrap_err())
        };
        let (dialed, _) = peer(Some(7), "n2", "wrong");
        assert!(dialed.contains("secret"), "{dialed}");
        for (cluster, to, why) in [
            (Some(7), "n3", "this is n2=h:2, not n3"),
            (Some(8), "n2", "another cluster"),
            (None, "n2", "a peer names its cluster"),
        ] {
            let (dialed, accepted) = peer(cluster, to, "s");
            assert!(
                dialed.contains(why) && accepted.contains(why),
                "{dialed}; {accepted}"
            );
        }
    }
}
