//! Answers: facts -> bytes.
//!
//! Every answer says `Connection: close`, because one request a connection is the contract. What is put into a header is
//! checked here, so that nothing relayed can end a line early.

use super::{HttpError, Method, StreamFraming, Version};

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// An answer that is known whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    /// Content type and content; `None` where there can be none (204).
    content: Option<(&'static str, Vec<u8>)>,
}

impl Response {
    /// One sentence, in plain text, with a newline.
    pub fn sentence(status: u16, sentence: &str) -> Response {
        Response {
            status,
            headers: Vec::new(),
            content: Some((PLAIN, format!("{sentence}\n").into_bytes())),
        }
    }

    /// A JSON document, which no cache may keep.
    pub fn json(document: Vec<u8>) -> Response {
        Response {
            status: 200,
            headers: Vec::new(),
            content: Some((JSON, document)),
        }
        .not_stored()
    }

    /// 204: there is no such document yet.
    pub fn no_content() -> Response {
        Response {
            status: 204,
            headers: Vec::new(),
            content: None,
        }
        .not_stored()
    }

    /// The answer with one more header.
    pub fn with(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    /// The answer, kept from caches.
    pub fn not_stored(self) -> Response {
        self.with("Cache-Control", "no-store")
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The answer to a request of this method: to HEAD the same head, with nothing after it.
    pub fn bytes(&self, method: Method) -> Vec<u8> {
        let mut bytes = status_line(self.status);
        if let Some((content_type, content)) = &self.content {
            header(&mut bytes, "Content-Type", content_type);
            header(&mut bytes, "Content-Length", &content.len().to_string());
        }
        close_head(&mut bytes, &self.headers);
        match &self.content {
            Some((_, content)) if method != Method::Head => bytes.extend_from_slice(content),
            _ => {}
        }
        bytes
    }
}

impl From<HttpError> for Response {
    fn from(refusal: HttpError) -> Response {
        let answer = Response::sentence(refusal.status(), &refusal.sentence());
        match refusal {
            HttpError::MethodNotAllowed(allow) => answer.with("Allow", allow),
            _ => answer,
        }
    }
}

/// The head of an answer whose lines are still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHead {
    /// The status.
    pub status: u16,
    /// The type of what follows.
    pub content_type: String,
    /// Further headers, like `Run-Id`.
    pub headers: Vec<(String, String)>,
}

impl StreamHead {
    /// The head for a client of this version, and how the lines after it are framed.
    pub fn bytes(&self, version: Version) -> (Vec<u8>, StreamFraming) {
        let framing = StreamFraming::of(version);
        let mut bytes = status_line(self.status);
        header(&mut bytes, "Content-Type", &self.content_type);
        if framing == StreamFraming::Chunked {
            header(&mut bytes, "Transfer-Encoding", "chunked");
        }
        close_head(&mut bytes, &self.headers);
        (bytes, framing)
    }
}

fn status_line(status: u16) -> Vec<u8> {
    // Our own version, whatever the client's: RFC 9110, 2.5. A 1.0 client must take a 1.1 status line.
    format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes()
}

fn close_head(bytes: &mut Vec<u8>, headers: &[(String, String)]) {
    for (name, value) in headers {
        header(bytes, name, value);
    }
    bytes.extend_from_slice(b"Connection: close\r\n\r\n");
}

/// One header; nothing when its name or value could be more than one.
fn header(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let name_holds = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if name_holds && value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        // RFC 9112, 4: the phrase may be empty, and clients ignore it.
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Response, method: Method) -> String {
        String::from_utf8(answer.bytes(method)).unwrap()
    }

    #[test]
    fn a_refusal_is_one_sentence_and_a_newline() {
        let expected = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\
                        Connection: close\r\n\r\nnot found\n";
        assert_eq!(text(&HttpError::NotFound.into(), Method::Get), expected);
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        let answer = text(&HttpError::MethodNotAllowed("GET, HEAD").into(), Method::Post);
        assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    }

    #[test]
    fn head_gets_the_head_of_a_get_and_nothing_after_it() {
        let answer = Response::json(b"{\"a\":1}".to_vec());
        let (get, head) = (text(&answer, Method::Get), text(&answer, Method::Head));
        assert_eq!(get, format!("{head}{{\"a\":1}}"));
        assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: 7\r\n"));
    }

    #[test]
    fn a_204_has_no_content_and_no_length() {
        let answer = text(&Response::no_content(), Method::Get);
        assert_eq!(
            answer,
            "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn documents_are_kept_from_caches() {
        assert!(text(&Response::json(Vec::new()), Method::Get).contains("\r\nCache-Control: no-store\r\n"));
    }

    #[test]
    fn a_header_cannot_smuggle_a_second_one() {
        let tricks = [
            ("Run-Id", "x\r\nSet-Cookie: a"),
            ("Run\r\nId", "x"),
            ("Run Id", "x"),
            ("Run-Id", "x\0"),
            ("", "x"),
        ];
        for (name, value) in tricks {
            let answer = text(&Response::no_content().with(name, value), Method::Get);
            assert_eq!(
                answer,
                text(&Response::no_content(), Method::Get),
                "{name:?}: {value:?}"
            );
        }
    }

    #[test]
    fn a_stream_is_chunked_for_1_1_and_close_delimited_for_1_0() {
        let head = StreamHead {
            status: 200,
            content_type: "application/x-ndjson".into(),
            headers: vec![("Run-Id".into(), "r".into())],
        };
        let (bytes, framing) = head.bytes(Version::Http11);
        assert_eq!(framing, StreamFraming::Chunked);
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\
                        Run-Id: r\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        let (bytes, framing) = head.bytes(Version::Http10);
        assert_eq!(framing, StreamFraming::UntilClose);
        assert!(!String::from_utf8(bytes).unwrap().contains("Transfer-Encoding"));
    }

    #[test]
    fn every_refusal_has_a_reason_phrase() {
        for refusal in HttpError::ALL {
            assert!(!reason(refusal.status()).is_empty(), "{refusal:?}");
        }
    }
}
