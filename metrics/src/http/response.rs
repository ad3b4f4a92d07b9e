//! Responses and their bytes (RFC 9112, sections 2 and 4).

/// The status of an answer (RFC 9110, section 15): its code and its reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(&'static str);

impl Status {
    const OK: Self = Self("200 OK");
    pub(super) const BAD_REQUEST: Self = Self("400 Bad Request");
    pub(super) const NOT_FOUND: Self = Self("404 Not Found");
    pub(super) const METHOD_NOT_ALLOWED: Self = Self("405 Method Not Allowed");
    pub(super) const REQUEST_TIMEOUT: Self = Self("408 Request Timeout");
    pub(super) const FIELDS_TOO_LARGE: Self = Self("431 Request Header Fields Too Large");
    pub(super) const VERSION_NOT_SUPPORTED: Self = Self("505 HTTP Version Not Supported");
}

/// An answer.
pub(super) struct Response {
    status: Status,
    content_type: &'static str,
    body: String,
}

impl Response {
    /// A page.
    pub(super) fn page(content_type: &'static str, body: String) -> Self {
        Self {
            status: Status::OK,
            content_type,
            body,
        }
    }

    /// An answer whose body is its status.
    pub(super) fn error(status: Status) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{}\n", status.0),
        }
    }

    /// The bytes of the answer. That to HEAD has no body, but its length.
    pub(super) fn to_bytes(&self, with_body: bool) -> Vec<u8> {
        let Self {
            status,
            content_type,
            body,
        } = self;
        let allow = if *status == Status::METHOD_NOT_ALLOWED {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
            status.0,
            body.len(),
        );
        (head + if with_body { body } else { "" }).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_written() {
        let response = Response::page("text/plain", "a 1\n".to_owned());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\
                    Content-Length: 4\r\nConnection: close\r\n\r\n";
        assert_eq!(response.to_bytes(false), head.as_bytes());
        assert_eq!(response.to_bytes(true), format!("{head}a 1\n").as_bytes());
    }

    #[test]
    fn status_405_names_the_allowed_methods() {
        let text = String::from_utf8(Response::error(Status::METHOD_NOT_ALLOWED).to_bytes(true));
        let text = text.expect("it is ASCII");
        assert!(
            text.contains("\r\nAllow: GET, HEAD\r\n")
                && text.ends_with("\r\n\r\n405 Method Not Allowed\n")
        );
    }
}
