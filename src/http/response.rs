//! Answers: facts -> bytes.
//!
//! Every answer says `Connection: close`, because one request a connection is the contract. What is put into a header is
//! checked here, so that nothing relayed can end a line early.

use super::{HttpError, Version};

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer, or the head of one whose lines are still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    content: Vec<u8>,
}

impl Response {
    fn of(status: u16) -> Response {
        Response {
            status,
            headers: Vec::new(),
            content: Vec::new(),
        }
    }

    fn with_content(self, kind: &str, content: Vec<u8>) -> Response {
        let typed = self
            .with("Content-Type", kind)
            .with("Content-Length", &content.len().to_string());
        Response { content, ..typed }
    }

    /// One sentence, in plain text, with a newline.
    pub fn sentence(status: u16, sentence: &str) -> Response {
        Response::of(status).with_content("text/plain; charset=utf-8", format!("{sentence}\n").into())
    }

    /// A JSON document, which no cache may keep.
    pub fn json(document: Vec<u8>) -> Response {
        Response::of(200)
            .with_content("application/json", document)
            .not_stored()
    }

    /// 204: there is no such document yet.
    pub fn no_content() -> Response {
        Response::of(204).not_stored()
    }

    /// The head of a stream of lines, for a client of this version: see [`Version::line`].
    pub fn stream(version: Version) -> Response {
        let head = Response::of(200)
            .with("Content-Type", "application/x-ndjson")
            .not_stored();
        match version {
            Version::Http11 => head.with("Transfer-Encoding", "chunked"),
            Version::Http10 => head,
        }
    }

    /// The answer with one more header.
    pub fn with(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The answer, kept from caches.
    pub fn not_stored(self) -> Response {
        self.with("Cache-Control", "no-store")
    }

    /// The answer to a request of this method: to HEAD the same head, with nothing after it.
    pub fn bytes(&self, method: &str) -> Vec<u8> {
        // Our own version, whatever the client's: RFC 9110, 2.5. A 1.0 client must take a 1.1 status line.
        let mut bytes = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).into_bytes();
        for (name, value) in self.headers.iter().filter(|header| is_one_header(header)) {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(b"Connection: close\r\n\r\n");
        if method != "HEAD" {
            bytes.extend(&self.content);
        }
        bytes
    }
}

impl From<HttpError> for Response {
    fn from(refusal: HttpError) -> Response {
        let answer = Response::sentence(refusal.status, refusal.sentence);
        match refusal.allow {
            Some(allow) => answer.with("Allow", allow),
            None => answer,
        }
    }
}

/// A stream goes to HTTP/1.1 in chunks, the last of them empty: one that was cut can be told from one that ended. One line,
/// one chunk, so that what arrives at the client is whole lines, each as soon as it is there. HTTP/1.0 has no chunks:
/// there the lines follow each other and the end is the connection's.
impl Version {
    /// `line` and its newline, framed. Never an empty chunk, as the newline is always in it.
    pub fn line(self, line: &str) -> Vec<u8> {
        match self {
            Version::Http11 => format!("{:x}\r\n{line}\n\r\n", line.len() + 1).into(),
            Version::Http10 => format!("{line}\n").into(),
        }
    }

    /// What ends the stream.
    pub fn end(self) -> &'static [u8] {
        match self {
            Version::Http11 => b"0\r\n\r\n",
            Version::Http10 => b"",
        }
    }
}

/// False for a name or a value that could be more than one header.
fn is_one_header((name, value): &(String, String)) -> bool {
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_name && value.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
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
    use super::super::{BodyReader, Framing};
    use super::*;

    fn text(answer: &Response, method: &str) -> String {
        String::from_utf8(answer.bytes(method)).unwrap()
    }

    #[test]
    fn a_refusal_is_one_sentence_and_a_newline() {
        let expected = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\
                        Connection: close\r\n\r\nnot found\n";
        assert_eq!(text(&HttpError::NOT_FOUND.into(), "GET"), expected);
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        let answer = text(&HttpError::method_not_allowed("GET, HEAD").into(), "POST");
        assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    }

    #[test]
    fn head_gets_the_head_of_a_get_and_nothing_after_it() {
        let answer = Response::json(b"{\"a\":1}".to_vec());
        let (get, head) = (text(&answer, "GET"), text(&answer, "HEAD"));
        assert_eq!(get, format!("{head}{{\"a\":1}}"));
        assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: 7\r\n"));
    }

    #[test]
    fn a_204_has_no_content_and_no_length() {
        let answer = text(&Response::no_content(), "GET");
        assert_eq!(
            answer,
            "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn documents_are_kept_from_caches() {
        assert!(text(&Response::json(Vec::new()), "GET").contains("\r\nCache-Control: no-store\r\n"));
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
            let answer = text(&Response::no_content().with(name, value), "GET");
            assert_eq!(
                answer,
                text(&Response::no_content(), "GET"),
                "{name:?}: {value:?}"
            );
        }
    }

    #[test]
    fn a_stream_is_chunked_for_1_1_and_close_delimited_for_1_0() {
        let head = |version| text(&Response::stream(version).with("Run-Id", "r"), "POST");
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\n\
                        Transfer-Encoding: chunked\r\nRun-Id: r\r\nConnection: close\r\n\r\n";
        assert_eq!(head(Version::Http11), expected);
        assert!(!head(Version::Http10).contains("Transfer-Encoding"));
    }

    #[test]
    fn every_refusal_has_a_reason_phrase() {
        for refusal in HttpError::ALL {
            assert!(!reason(refusal.status).is_empty(), "{refusal:?}");
        }
    }

    #[test]
    fn a_line_is_one_chunk_with_its_newline() {
        assert_eq!(Version::Http11.line("{}"), b"3\r\n{}\n\r\n");
        assert_eq!(Version::Http10.line("{}"), b"{}\n");
    }

    #[test]
    fn an_empty_line_does_not_end_the_stream() {
        assert_eq!(Version::Http11.line(""), b"1\r\n\n\r\n");
    }

    #[test]
    fn sizes_are_bytes_in_hexadecimal_not_characters() {
        let line = "ä".repeat(20);
        assert!(Version::Http11.line(&line).starts_with(b"29\r\n"));
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut stream = Vec::new();
        for line in ["one", "", "drei €"] {
            stream.extend(Version::Http11.line(line));
        }
        stream.extend(Version::Http11.end());
        let read = BodyReader::new(Framing::Chunked).feed(&stream);
        assert_eq!(
            read,
            Ok((stream.len(), Some("one\n\ndrei €\n".as_bytes().to_vec())))
        );
    }

    #[test]
    fn the_end_of_a_stream_to_1_0_is_the_connections() {
        assert!(Version::Http10.end().is_empty());
    }
}
