//! Requests: reading and parsing them (RFC 9112, sections 2 to 5).

use std::io::{self, ErrorKind, Read};

use super::response::Status;

/// Reads up to the empty line that ends the header fields, and returns the request line and the
/// fields through it, or the status of the answer if they are too long, too slow or incomplete. A
/// body or another request after them is ignored.
///
/// # Errors
/// If the stream has one, other than a time-out; or [`ErrorKind::UnexpectedEof`] if it ends before
/// its first byte.
pub(super) fn arrive(stream: &mut impl Read, limit: usize) -> io::Result<Result<Vec<u8>, Status>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = match stream.read(&mut chunk) {
            Ok(0) if head.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(0) => return Ok(Err(Status::BAD_REQUEST)),
            Ok(count) => count,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => continue,
                // It depends on the system which of the two a socket returns after a time-out.
                ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                    return Ok(Err(Status::REQUEST_TIMEOUT));
                }
                _ => return Err(error),
            },
        };
        // The end may have begun in the chunk before.
        let searched = head.len().saturating_sub(3);
        head.extend_from_slice(&chunk[..count]);
        let end = end_of_head(&head, searched);
        if end.unwrap_or(head.len()) > limit {
            return Ok(Err(Status::FIELDS_TOO_LARGE));
        }
        if let Some(end) = end {
            head.truncate(end);
            return Ok(Ok(head));
        }
    }
}

/// The end of the first empty line after `from`. A line may end in LF alone, as people type it.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find_map(|start| {
        let rest = &bytes[start..];
        [&b"\n\r\n"[..], b"\n\n"]
            .iter()
            .find(|end| rest.starts_with(end))
            .map(|end| start + end.len())
    })
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// Whether its method is GET or HEAD.
    pub(super) reads: bool,
    /// The target without its query.
    pub(super) path: &'a str,
}

impl<'a> Request<'a> {
    /// Parses a head that ends in an empty line.
    ///
    /// # Errors
    /// The status of the answer, if the head is not a valid request.
    pub(super) fn parse(head: &'a [u8]) -> Result<Self, Status> {
        let head = str::from_utf8(head).map_err(|_| Status::BAD_REQUEST)?;
        // Old clients send an empty line before the request; it must be ignored (section 2.2).
        let head = head.strip_prefix("\r\n").unwrap_or(head);
        let mut lines = head
            .split_terminator('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        let (request, needs_host) = Self::parse_line(lines.next().unwrap_or_default())?;

        let mut hosts = 0;
        for field in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = field.split_once(':').ok_or(Status::BAD_REQUEST)?;
            let is_control = |character: char| character.is_control() && character != '\t';
            if !is_token(name) || value.contains(is_control) {
                return Err(Status::BAD_REQUEST);
            }
            hosts += usize::from(name.eq_ignore_ascii_case("host"));
        }
        // (Section 3.2)
        match hosts {
            1 => Ok(request),
            0 if !needs_host => Ok(request),
            _ => Err(Status::BAD_REQUEST),
        }
    }

    /// Returns also whether the request needs the field `Host`.
    fn parse_line(line: &'a str) -> Result<(Self, bool), Status> {
        let words: Vec<&str> = line.split(' ').collect();
        let [method, target, version] = words[..] else {
            return Err(Status::BAD_REQUEST);
        };
        let is_graphic = target.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token(method) || target.is_empty() || !is_graphic {
            return Err(Status::BAD_REQUEST);
        }
        let needs_host = needs_host(version)?;
        let (reads, path) = (matches!(method, "GET" | "HEAD"), path_of(target));
        Ok((Self { reads, path }, needs_host))
    }
}

/// The path of a target in origin form (`/metrics?x=1`) or absolute form (`http://host/metrics?x=1`),
/// which a server must accept, too (section 3.2.2). Other forms are returned as they are; no page
/// has such a path.
fn path_of(target: &str) -> &str {
    let target = target.split('?').next().unwrap_or_default();
    match target.split_at_checked("http://".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
            rest.find('/').map_or("/", |start| &rest[start..])
        }
        Some(_) | None => target,
    }
}

/// Whether requests of this version need the field `Host`: those of 1.1 and of later versions 1.x,
/// which a server of 1.1 treats alike.
fn needs_host(version: &str) -> Result<bool, Status> {
    match version.as_bytes() {
        b"HTTP/1.0" => Ok(false),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Status::VERSION_NOT_SUPPORTED)
        }
        _ => Err(Status::BAD_REQUEST),
    }
}

/// Whether a text is a token (RFC 9110, section 5.6.2), as methods and field names are.
fn is_token(text: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that returns its parts one after the other, and then ends or fails.
    struct Parts<'a> {
        parts: &'a [&'a [u8]],
        end: Option<ErrorKind>,
    }

    impl Read for Parts<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.parts {
                [part, rest @ ..] => {
                    self.parts = rest;
                    buffer[..part.len()].copy_from_slice(part);
                    Ok(part.len())
                }
                [] => self.end.map_or(Ok(0), |kind| Err(kind.into())),
            }
        }
    }

    fn arrival(parts: &[&[u8]], end: Option<ErrorKind>, limit: usize) -> Result<Vec<u8>, Status> {
        arrive(&mut Parts { parts, end }, limit).expect("the stream does not fail")
    }

    #[test]
    fn head_arrives_in_any_pieces() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for first in 1..head.len() - 1 {
            for second in first + 1..head.len() {
                let parts = [&head[..first], &head[first..second], &head[second..]];
                assert_eq!(arrival(&parts, None, head.len()), Ok(head.to_vec()));
            }
        }
    }

    #[test]
    fn head_ends_at_the_first_empty_line() {
        for (sent, head) in [
            ("GET / HTTP/1.0\n\nmore\n\n", "GET / HTTP/1.0\n\n"),
            (
                "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
                "GET / HTTP/1.0\r\n\r\n",
            ),
            ("GET / HTTP/1.0\r\n\nbody", "GET / HTTP/1.0\r\n\n"),
            ("\n\n", "\n\n"),
        ] {
            let arrival = arrival(&[sent.as_bytes()], None, head.len());
            assert_eq!(arrival, Ok(head.as_bytes().to_vec()));
        }
    }

    #[test]
    fn incomplete_head_is_refused() {
        let slow = Some(ErrorKind::WouldBlock);
        let (parts, end) = (&[][..], None);
        let nothing = arrive(&mut Parts { parts, end }, 10).expect_err("there is no byte");
        assert_eq!(nothing.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(arrival(&[b"GET"], None, 10), Err(Status::BAD_REQUEST));
        assert_eq!(arrival(&[b"GET"], slow, 10), Err(Status::REQUEST_TIMEOUT));
        assert_eq!(
            arrival(&[], Some(ErrorKind::TimedOut), 10),
            Err(Status::REQUEST_TIMEOUT)
        );
        let broken = Some(ErrorKind::ConnectionReset);
        assert!(
            arrive(
                &mut Parts {
                    parts: &[b"GET"],
                    end: broken
                },
                10
            )
            .is_err()
        );
    }

    #[test]
    fn long_head_is_refused() {
        let too_long = Err(Status::FIELDS_TOO_LARGE);
        assert_eq!(
            arrival(&[b"GET / HTTP/1.0\r\n\r\n"], None, 18),
            Ok(b"GET / HTTP/1.0\r\n\r\n".to_vec())
        );
        assert_eq!(arrival(&[b"GET / HTTP/1.0\r\n\r\n"], None, 17), too_long);
        assert_eq!(
            arrival(&[b"aaaaaaaaa", b"aa"], Some(ErrorKind::WouldBlock), 10),
            too_long
        );
        assert_eq!(
            arrival(&[b"aaaaaaaaa", b"a"], Some(ErrorKind::WouldBlock), 10),
            Err(Status::REQUEST_TIMEOUT)
        );
    }

    fn parse(head: &str) -> Result<Request<'_>, Status> {
        Request::parse(head.as_bytes())
    }

    #[test]
    fn valid_requests_are_parsed() {
        let get = |path| Ok(Request { reads: true, path });
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", get("/")),
            ("GET / HTTP/1.0\r\n\r\n", get("/")),
            ("GET / HTTP/1.0\n\n", get("/")),
            (
                "GET /metrics HTTP/1.1\r\nhOST:\r\nA: b:c\td é\r\n\r\n",
                get("/metrics"),
            ),
            ("GET /metrics?a=b?c HTTP/1.0\r\n\r\n", get("/metrics")),
            (
                "GET http://a:80/metrics?a HTTP/1.0\r\n\r\n",
                get("/metrics"),
            ),
            ("GET HTTP://a HTTP/1.0\r\n\r\n", get("/")),
            ("GET http://a?/b HTTP/1.0\r\n\r\n", get("/")),
            ("GET * HTTP/1.0\r\n\r\n", get("*")),
            ("GET ? HTTP/1.0\r\n\r\n", get("")),
            ("\r\nGET / HTTP/1.0\r\n\r\n", get("/")),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", get("/")),
            (
                "HEAD / HTTP/1.0\r\n\r\n",
                Ok(Request {
                    reads: true,
                    path: "/",
                }),
            ),
            (
                "head / HTTP/1.0\r\n\r\n",
                Ok(Request {
                    reads: false,
                    path: "/",
                }),
            ),
            (
                "POST /a HTTP/1.0\r\n\r\n",
                Ok(Request {
                    reads: false,
                    path: "/a",
                }),
            ),
        ] {
            assert_eq!(parse(head), expected, "{head:?}");
        }
    }

    #[test]
    fn malformed_requests_are_400() {
        for head in [
            "\r\n",
            "\r\n\r\n",
            "\n\n",
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "GET  / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0 \r\n\r\n",
            " GET / HTTP/1.0\r\n\r\n",
            "GET  HTTP/1.0\r\n\r\n",
            "GET /\t HTTP/1.0\r\n\r\n",
            "GET /é HTTP/1.0\r\n\r\n",
            "G(T / HTTP/1.0\r\n\r\n",
            "GET / http/1.0\r\n\r\n",
            "GET / HTTP/1\r\n\r\n",
            "GET / HTTP/1.10\r\n\r\n",
            "GET / HTTP/1.0\rX\r\n\r\n",
            "GET / HTTP/1.0\r\nno colon\r\n\r\n",
            "GET / HTTP/1.0\r\n: no name\r\n\r\n",
            "GET / HTTP/1.0\r\nSpace : a\r\n\r\n",
            "GET / HTTP/1.0\r\nA: b\r\n folded: c\r\n\r\n",
            "GET / HTTP/1.0\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.0\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(parse(head), Err(Status::BAD_REQUEST), "{head:?}");
        }
        assert_eq!(
            Request::parse(b"GET / HTTP/1.0\r\nA: \xff\r\n\r\n"),
            Err(Status::BAD_REQUEST)
        );
    }

    #[test]
    fn other_versions_are_505() {
        for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"] {
            assert_eq!(
                parse(&format!("GET / {version}\r\n\r\n")),
                Err(Status::VERSION_NOT_SUPPORTED)
            );
        }
    }
}
