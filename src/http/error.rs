//! Why a request is refused before any gate: the one table of statuses and sentences.
//!
//! Sentences are fixed: nothing that the peer sent is ever in them.

use crate::limits::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_TARGET};

/// Why a request is refused by the front, each with a status and a sentence of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The first byte is not a TLS record's.
    NotTls,
    /// A NUL, or a CR or LF without the other (RFC 9112, 2.2: an LF alone may be accepted; two readings are one too many).
    LineEnd,
    /// Not `METHOD SP TARGET SP VERSION`.
    RequestLine,
    /// A version other than 1.0 and 1.1.
    Version,
    /// A target over [`MAX_TARGET`].
    TargetTooLong,
    /// A target in another form than a path, or one with an escape, a `.` or `..` segment or a foreign byte in it.
    Target,
    /// A head over [`MAX_HEAD`], or more headers than [`MAX_HEADERS`].
    HeadTooLarge,
    /// A header that is folded, has no name or white space behind it (RFC 9112, 5.1), or a control character in its value.
    Header,
    /// None in HTTP/1.1, more than one, or one that cannot be a host.
    Host,
    /// A Content-Length that is there twice, equal or not, is no number, or stands beside a Transfer-Encoding.
    Length,
    /// A POST with neither.
    LengthRequired,
    /// A Transfer-Encoding that is not `chunked`, once, or in HTTP/1.0, which has none.
    Coding,
    /// A GET or HEAD that announces a body.
    BodyNotAllowed,
    /// A body over [`MAX_BODY`], or one whose framing is out of all proportion to it.
    BodyTooLarge,
    /// A chunk that is not one, an extension over the bound or with a control character, or a trailer.
    Chunk,
    /// A body that is not UTF-8, which no endpoint takes.
    BodyNotText,
    /// Bytes after the end of the request.
    BytesBeyond,
    /// End of file in the head or the body.
    EndsEarly,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The deadline passed before the request was complete.
    TooSlow,
    /// No such path, or an endpoint that is not configured.
    NotFound,
    /// Another method than the path has; holds the value of `Allow`.
    MethodNotAllowed(&'static str),
    /// An open path, asked by an address that may not.
    Source,
    /// A public file that is there and cannot be read.
    Unreadable,
    /// The session ended without an answer.
    NoAnswer,
}

impl HttpError {
    #[cfg(test)]
    #[rustfmt::skip]
    pub const ALL: [HttpError; 25] = {
        use HttpError::*;
        [
            NotTls, LineEnd, RequestLine, Version, TargetTooLong, Target, HeadTooLarge, Header, Host, Length,
            LengthRequired, Coding, BodyNotAllowed, BodyTooLarge, Chunk, BodyNotText, BytesBeyond, EndsEarly,
            Expectation, TooSlow, NotFound, MethodNotAllowed("POST"), Source, Unreadable, NoAnswer,
        ]
    };

    /// The status of the answer.
    pub fn status(self) -> u16 {
        self.answer().0
    }

    /// The sentence of the answer, without its newline.
    pub fn sentence(self) -> String {
        let (_, sentence) = self.answer();
        match self {
            HttpError::TargetTooLong => format!("{sentence} {MAX_TARGET} bytes"),
            HttpError::HeadTooLarge => format!("{sentence} {MAX_HEAD} bytes or {MAX_HEADERS} headers"),
            HttpError::BodyTooLarge => format!("{sentence} {MAX_BODY} bytes"),
            _ => sentence.to_owned(),
        }
    }

    #[rustfmt::skip]
    fn answer(self) -> (u16, &'static str) {
        use HttpError::*;
        match self {
            NotTls => (400, "this port speaks TLS: use https"),
            LineEnd => (400, "the request has a NUL, or a CR or LF without the other"),
            RequestLine => (400, "the request line is not METHOD PATH VERSION with one space between them"),
            Version => (505, "only HTTP/1.1 and HTTP/1.0 are served here"),
            TargetTooLong => (414, "the request target is larger than"),
            Target => (400, "the request target is not a plain path: no escapes, no . or .. segments"),
            HeadTooLarge => (431, "the request head is larger than"),
            Header => (400, "a header line is malformed or folded"),
            Host => (400, "the request must have one Host header, with a host in it"),
            Length => (400, "the Content-Length header must be one number, without a Transfer-Encoding"),
            LengthRequired => (411, "the request says neither its Content-Length nor that it is chunked"),
            Coding => (400, "the only transfer coding understood is chunked, once, in HTTP/1.1"),
            BodyNotAllowed => (400, "a GET or HEAD request has no body here"),
            BodyTooLarge => (413, "the request body is larger than"),
            Chunk => (400, "the chunked body is malformed, or has trailers"),
            BodyNotText => (400, "the request body is not UTF-8 text"),
            BytesBeyond => (400, "bytes follow the end of the request"),
            EndsEarly => (400, "the request ended before it was complete"),
            Expectation => (417, "the only expectation understood is 100-continue"),
            TooSlow => (408, "the request was not complete in time"),
            NotFound => (404, "not found"),
            MethodNotAllowed(_) => (405, "method not allowed"),
            Source => (403, "source IP not permitted"),
            Unreadable => (500, "the document could not be read"),
            NoAnswer => (502, "the request was taken but not answered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_sentence_of_its_own() {
        for (i, one) in HttpError::ALL.iter().enumerate() {
            let sentence = one.sentence();
            assert!(
                !sentence.is_empty() && sentence.bytes().all(|b| (b' '..0x7f).contains(&b)),
                "{one:?}"
            );
            assert!(!sentence.ends_with('.'), "{one:?}: no full stop");
            for other in &HttpError::ALL[i + 1..] {
                assert_ne!(sentence, other.sentence(), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn what_a_peer_can_provoke_by_its_bytes_is_a_4xx_or_the_505() {
        for one in HttpError::ALL {
            let own_fault = matches!(one, HttpError::Unreadable | HttpError::NoAnswer);
            assert_eq!(own_fault, one.status() >= 500 && one.status() != 505, "{one:?}");
        }
    }
}
