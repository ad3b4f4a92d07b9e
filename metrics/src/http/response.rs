//! Responses and their bytes (RFC 9112, sections 2 and 4).

/// The statuses of the server's answers (RFC 9110, section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    HeaderFieldsTooLarge,
    VersionNotSupported,
}

impl Status {
    /// The code and the reason phrase.
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::HeaderFieldsTooLarge => "431 Request Header Fields Too Large",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

/// Whether the body is sent, or only its length, as in an answer to HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Sent,
    Announced,
}

/// An answer.
pub(super) struct Response {
    status: Status,
    content_type: &'static str,
    body: String,
}

impl Response {
    /// The page of metrics.
    pub(super) fn metrics(text: String) -> Self {
        Self {
            status: Status::Ok,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: text,
        }
    }

    /// The page with a link to the metrics.
    pub(super) fn index() -> Self {
        Self {
            status: Status::Ok,
            content_type: "text/html; charset=utf-8",
            body: "<!doctype html><title>metrics</title><a href=\"/metrics\">/metrics</a>\n"
                .to_owned(),
        }
    }

    /// An answer whose body is its status.
    pub(super) fn error(status: Status) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{}\n", status.line()),
        }
    }

    /// The bytes of the answer.
    pub(super) fn to_bytes(&self, body: Body) -> Vec<u8> {
        let Self {
            status,
            content_type,
            body: text,
        } = self;
        let allow = if *status == Status::MethodNotAllowed {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
            status.line(),
            text.len(),
        );
        match body {
            Body::Sent => (head + text).into_bytes(),
            Body::Announced => head.into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_written() {
        let response = Response::metrics("a 1\n".to_owned());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                    Content-Length: 4\r\nConnection: close\r\n\r\n";
        assert_eq!(response.to_bytes(Body::Announced), head.as_bytes());
        assert_eq!(
            response.to_bytes(Body::Sent),
            format!("{head}a 1\n").as_bytes()
        );
    }

    #[test]
    fn status_405_names_the_allowed_methods() {
        let text =
            String::from_utf8(Response::error(Status::MethodNotAllowed).to_bytes(Body::Sent));
        let text = text.expect("it is ASCII");
        assert!(
            text.contains("\r\nAllow: GET, HEAD\r\n")
                && text.ends_with("\r\n\r\n405 Method Not Allowed\n")
        );
    }
}
