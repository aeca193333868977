//! Why a request is refused before any gate: the one table of statuses and sentences.
//!
//! Sentences are fixed: nothing that the peer sent is ever in them.

pub type Result<T = (), E = HttpError> = std::result::Result<T, E>;

/// Why a request is refused by the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpError {
    pub status: u16,
    /// Without its newline.
    pub sentence: &'static str,
    /// What the `Allow` header says, where a path has other methods.
    pub allow: Option<&'static str>,
}

impl HttpError {
    /// The first byte is not a TLS record's.
    pub const NOT_TLS: Self = Self::of(400, "this port speaks TLS: use https");
    /// RFC 9112, 2.2: an LF alone may be accepted; two readings are one too many.
    pub const LINE_END: Self = Self::of(400, "the request has a NUL, or a CR or LF without the other");
    pub const REQUEST_LINE: Self = Self::of(
        400,
        "the request line is not METHOD PATH VERSION with one space between them",
    );
    pub const VERSION: Self = Self::of(505, "only HTTP/1.1 and HTTP/1.0 are served here");
    /// Over [`crate::limits::MAX_TARGET`].
    pub const TARGET_TOO_LONG: Self = Self::of(414, "the request target is larger than 1 KiB");
    /// A target in another form than a path, or one with an escape, a `.` or `..` segment or a foreign byte in it.
    pub const TARGET: Self = Self::of(
        400,
        "the request target is not a plain path without escapes and dot segments",
    );
    /// Over [`crate::limits::MAX_HEAD`] or [`crate::limits::MAX_HEADERS`].
    pub const HEAD_TOO_LARGE: Self = Self::of(431, "the request head is larger than 16 KiB or 64 headers");
    /// A header that is folded, has no name or white space behind it (RFC 9112, 5.1), or a control character in its value.
    pub const HEADER: Self = Self::of(400, "a header line is malformed or folded");
    /// None in HTTP/1.1, more than one, or one that cannot be a host.
    pub const HOST: Self = Self::of(400, "the request must have one Host header, with a host in it");
    /// A Content-Length that is there twice, equal or not, is no number, or stands beside a Transfer-Encoding.
    pub const LENGTH: Self = Self::of(
        400,
        "the Content-Length must be one number, without a Transfer-Encoding",
    );
    /// A POST with neither.
    pub const LENGTH_REQUIRED: Self = Self::of(411, "the request has no Content-Length and is not chunked");
    /// A Transfer-Encoding that is not `chunked`, once, or in HTTP/1.0, which has none.
    pub const CODING: Self = Self::of(400, "the only transfer coding is chunked, once, in HTTP/1.1");
    pub const BODY_NOT_ALLOWED: Self = Self::of(400, "a GET or HEAD request has no body here");
    /// Over [`crate::limits::MAX_BODY`], or its framing is out of all proportion to it.
    pub const BODY_TOO_LARGE: Self = Self::of(413, "the request body is larger than 4 KiB");
    /// A chunk that is not one, an extension over the bound or with a control character, or a trailer.
    pub const CHUNK: Self = Self::of(400, "the chunked body is malformed, or has trailers");
    /// No endpoint takes such a one.
    pub const BODY_NOT_TEXT: Self = Self::of(400, "the request body is not UTF-8 text");
    pub const BYTES_BEYOND: Self = Self::of(400, "bytes follow the end of the request");
    /// End of file in the head or the body.
    pub const ENDS_EARLY: Self = Self::of(400, "the request ended before it was complete");
    pub const EXPECTATION: Self = Self::of(417, "the only expectation understood is 100-continue");
    pub const TOO_SLOW: Self = Self::of(408, "the request was not complete in time");
    /// No such path, or an endpoint that is not configured.
    pub const NOT_FOUND: Self = Self::of(404, "not found");
    /// An open path, asked by an address that may not.
    pub const SOURCE: Self = Self::of(403, "source IP not permitted");
    /// A public file that is there and cannot be read.
    pub const UNREADABLE: Self = Self::of(500, "the document could not be read");
    /// The session ended without an answer.
    pub const NO_ANSWER: Self = Self::of(502, "the request was taken but not answered");

    const fn of(status: u16, sentence: &'static str) -> Self {
        Self {
            status,
            sentence,
            allow: None,
        }
    }

    /// Another method than those that the path has.
    pub const fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::of(405, "method not allowed")
        }
    }

    #[cfg(test)]
    #[rustfmt::skip]
    pub const ALL: [Self; 25] = [
        Self::NOT_TLS, Self::LINE_END, Self::REQUEST_LINE, Self::VERSION, Self::TARGET_TOO_LONG, Self::TARGET,
        Self::HEAD_TOO_LARGE, Self::HEADER, Self::HOST, Self::LENGTH, Self::LENGTH_REQUIRED, Self::CODING,
        Self::BODY_NOT_ALLOWED, Self::BODY_TOO_LARGE, Self::CHUNK, Self::BODY_NOT_TEXT, Self::BYTES_BEYOND,
        Self::ENDS_EARLY, Self::EXPECTATION, Self::TOO_SLOW, Self::NOT_FOUND, Self::method_not_allowed("POST"),
        Self::SOURCE, Self::UNREADABLE, Self::NO_ANSWER,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_sentence_of_its_own() {
        for (i, one) in HttpError::ALL.iter().enumerate() {
            let sentence = one.sentence;
            assert!(
                !sentence.is_empty() && sentence.bytes().all(|b| (b' '..0x7f).contains(&b)),
                "{one:?}"
            );
            assert!(!sentence.ends_with('.'), "{one:?}: no full stop");
            for other in &HttpError::ALL[i + 1..] {
                assert_ne!(sentence, other.sentence, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn what_a_peer_can_provoke_by_its_bytes_is_a_4xx_or_the_505() {
        for one in HttpError::ALL {
            let own_fault = [HttpError::UNREADABLE, HttpError::NO_ANSWER].contains(&one);
            assert_eq!(own_fault, one.status >= 500 && one.status != 505, "{one:?}");
        }
    }

    #[test]
    fn the_bounds_are_those_that_the_sentences_name() {
        use crate::limits::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_TARGET};
        let bounds = [MAX_TARGET, MAX_HEAD, MAX_HEADERS, MAX_BODY];
        assert_eq!(bounds, [1024, 16 * 1024, 64, 4 * 1024]);
    }
}
