//! Requests: reading and parsing them (RFC 9112, sections 2 to 5).

use std::io::{self, ErrorKind, Read};

use super::response::Status;

/// The result of reading a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The request line and the header fields, through the empty line that ends them.
    Head(Vec<u8>),
    /// The head was too long, too slow or incomplete.
    Refused(Status),
    /// The client closed the connection before its first byte.
    Nothing,
}

/// Reads up to the empty line. A body or another request after it is ignored.
///
/// # Errors
/// If the stream has one, other than a time-out.
pub(super) fn arrive(stream: &mut impl Read, limit: usize) -> io::Result<Arrival> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = match stream.read(&mut chunk) {
            Ok(0) if head.is_empty() => return Ok(Arrival::Nothing),
            Ok(0) => return Ok(Arrival::Refused(Status::BadRequest)),
            Ok(count) => count,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => continue,
                // It depends on the system which of the two a socket returns after a time-out.
                ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                    return Ok(Arrival::Refused(Status::RequestTimeout));
                }
                _ => return Err(error),
            },
        };
        // The end may have begun in the chunk before.
        let searched = head.len().saturating_sub(3);
        head.extend_from_slice(&chunk[..count]);
        match end_of_head(&head, searched) {
            Some(end) if end <= limit => {
                head.truncate(end);
                return Ok(Arrival::Head(head));
            }
            Some(_) => return Ok(Arrival::Refused(Status::HeaderFieldsTooLarge)),
            None if head.len() > limit => {
                return Ok(Arrival::Refused(Status::HeaderFieldsTooLarge));
            }
            None => {}
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
    pub(super) method: Method,
    /// The target without its query.
    pub(super) path: &'a str,
}

/// The methods that the server distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

impl<'a> Request<'a> {
    /// Parses a head that ends in an empty line.
    ///
    /// # Errors
    /// The status of the answer, if the head is not a valid request.
    pub(super) fn parse(head: &'a [u8]) -> Result<Self, Status> {
        let head = str::from_utf8(head).map_err(|_| Status::BadRequest)?;
        // Old clients send an empty line before the request; it must be ignored (section 2.2).
        let head = head.strip_prefix("\r\n").unwrap_or(head);
        let mut lines = head
            .split_terminator('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        let (request, version) = Self::parse_line(lines.next().unwrap_or_default())?;

        let mut hosts = 0;
        for field in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = field.split_once(':').ok_or(Status::BadRequest)?;
            if !is_token(name)
                || value
                    .chars()
                    .any(|character| character.is_control() && character != '\t')
            {
                return Err(Status::BadRequest);
            }
            if name.eq_ignore_ascii_case("host") {
                hosts += 1;
            }
        }
        // (Section 3.2)
        match (version, hosts) {
            (Version::Http10, 0 | 1) | (Version::Http11, 1) => Ok(request),
            (Version::Http10 | Version::Http11, _) => Err(Status::BadRequest),
        }
    }

    fn parse_line(line: &'a str) -> Result<(Self, Version), Status> {
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Status::BadRequest);
        };
        if !is_token(method)
            || target.is_empty()
            || !target.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Status::BadRequest);
        }
        let version = Version::parse(version)?;
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        };
        Ok((
            Self {
                method,
                path: path_of(target),
            },
            version,
        ))
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

/// The versions that the server distinguishes: only 1.1 requires the field `Host`.
enum Version {
    Http10,
    /// 1.1, and later versions 1.x, which a server of 1.1 treats alike.
    Http11,
}

impl Version {
    fn parse(text: &str) -> Result<Self, Status> {
        let digits = text.strip_prefix("HTTP/").ok_or(Status::BadRequest)?;
        match digits.as_bytes() {
            b"1.0" => Ok(Self::Http10),
            [b'1', b'.', b'1'..=b'9'] => Ok(Self::Http11),
            [b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Status::VersionNotSupported),
            _ => Err(Status::BadRequest),
        }
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

    fn arrival(parts: &[&[u8]], end: Option<ErrorKind>, limit: usize) -> Arrival {
        arrive(&mut Parts { parts, end }, limit).expect("the stream does not fail")
    }

    #[test]
    fn head_arrives_in_any_pieces() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for first in 1..head.len() - 1 {
            for second in first + 1..head.len() {
                let parts = [&head[..first], &head[first..second], &head[second..]];
                assert_eq!(
                    arrival(&parts, None, head.len()),
                    Arrival::Head(head.to_vec())
                );
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
            assert_eq!(arrival, Arrival::Head(head.as_bytes().to_vec()));
        }
    }

    #[test]
    fn incomplete_head_is_refused() {
        let slow = Some(ErrorKind::WouldBlock);
        assert_eq!(arrival(&[], None, 10), Arrival::Nothing);
        assert_eq!(
            arrival(&[b"GET"], None, 10),
            Arrival::Refused(Status::BadRequest)
        );
        assert_eq!(
            arrival(&[b"GET"], slow, 10),
            Arrival::Refused(Status::RequestTimeout)
        );
        assert_eq!(
            arrival(&[], Some(ErrorKind::TimedOut), 10),
            Arrival::Refused(Status::RequestTimeout)
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
        let too_long = Arrival::Refused(Status::HeaderFieldsTooLarge);
        assert_eq!(
            arrival(&[b"GET / HTTP/1.0\r\n\r\n"], None, 18),
            Arrival::Head(b"GET / HTTP/1.0\r\n\r\n".to_vec())
        );
        assert_eq!(arrival(&[b"GET / HTTP/1.0\r\n\r\n"], None, 17), too_long);
        assert_eq!(
            arrival(&[b"aaaaaaaaa", b"aa"], Some(ErrorKind::WouldBlock), 10),
            too_long
        );
        assert_eq!(
            arrival(&[b"aaaaaaaaa", b"a"], Some(ErrorKind::WouldBlock), 10),
            Arrival::Refused(Status::RequestTimeout)
        );
    }

    fn parse(head: &str) -> Result<Request<'_>, Status> {
        Request::parse(head.as_bytes())
    }

    #[test]
    fn valid_requests_are_parsed() {
        let get = |path| {
            Ok(Request {
                method: Method::Get,
                path,
            })
        };
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
                    method: Method::Head,
                    path: "/",
                }),
            ),
            (
                "head / HTTP/1.0\r\n\r\n",
                Ok(Request {
                    method: Method::Other,
                    path: "/",
                }),
            ),
            (
                "POST /a HTTP/1.0\r\n\r\n",
                Ok(Request {
                    method: Method::Other,
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
            assert_eq!(parse(head), Err(Status::BadRequest), "{head:?}");
        }
        assert_eq!(
            Request::parse(b"GET / HTTP/1.0\r\nA: \xff\r\n\r\n"),
            Err(Status::BadRequest)
        );
    }

    #[test]
    fn other_versions_are_505() {
        for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"] {
            assert_eq!(
                parse(&format!("GET / {version}\r\n\r\n")),
                Err(Status::VersionNotSupported)
            );
        }
    }
}
