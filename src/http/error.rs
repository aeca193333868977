//! Why a request is refused before any gate: the one table of statuses and sentences.
//!
//! Sentences are fixed: nothing that the peer sent is ever in them.

use crate::limits::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_TARGET};

/// Why a request is refused by the front, each with a status and a sentence of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The first byte is not a TLS record's.
    NotTls,
    /// A CR that no LF follows (RFC 9112, 2.2).
    BareCr,
    /// An LF that no CR precedes. RFC 9112 allows to accept it; two readings of one head are one too many.
    BareLf,
    /// A NUL anywhere in head or chunk framing.
    Nul,
    /// Not `METHOD SP TARGET SP VERSION`.
    RequestLine,
    /// A version other than 1.0 and 1.1.
    Version,
    /// A target over [`MAX_TARGET`].
    TargetTooLong,
    /// A target in absolute, authority or asterisk form.
    TargetForm,
    /// A `.` or `..` segment.
    TargetDots,
    /// A percent sign in the path.
    TargetEncoded,
    /// A byte that has no place in a target.
    TargetBytes,
    /// A head over [`MAX_HEAD`].
    HeadTooLarge,
    /// More than [`MAX_HEADERS`].
    TooManyHeaders,
    /// A header line that begins with white space (obs-fold).
    Folded,
    /// White space between a header's name and its colon (RFC 9112, 5.1).
    SpaceBeforeColon,
    /// No colon, or a name that is not a token.
    HeaderName,
    /// A control character in a value.
    HeaderValue,
    /// HTTP/1.1 without Host.
    HostMissing,
    /// More than one Host.
    HostTwice,
    /// A Host that cannot be one.
    HostMalformed,
    /// More than one Content-Length, equal or not.
    LengthTwice,
    /// A Content-Length that is not digits.
    LengthMalformed,
    /// Content-Length and Transfer-Encoding.
    LengthWithCoding,
    /// A POST with neither.
    LengthRequired,
    /// A Transfer-Encoding that is not `chunked`, once.
    Coding,
    /// A Transfer-Encoding in HTTP/1.0, which has none.
    CodingInHttp10,
    /// A GET or HEAD that announces a body.
    BodyNotAllowed,
    /// A body over [`MAX_BODY`], or one whose framing is out of all proportion to it.
    BodyTooLarge,
    /// A chunk-size line that is not one, or data that does not end where it was said to.
    Chunk,
    /// A chunk extension over the bound or with a control character.
    ChunkExtension,
    /// Anything but an empty line after the last chunk.
    Trailers,
    /// A body that is not UTF-8, which no endpoint takes.
    BodyNotText,
    /// Bytes after the end of the request.
    BytesBeyond,
    /// End of file in the head.
    HeadEndsEarly,
    /// End of file in the body.
    BodyEndsEarly,
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
    /// Every refusal, for the tests and the tables in the documents.
    #[rustfmt::skip]
    pub const ALL: [HttpError; 42] = {
        use HttpError::*;
        [
            NotTls, BareCr, BareLf, Nul, RequestLine, Version, TargetTooLong, TargetForm, TargetDots,
            TargetEncoded, TargetBytes, HeadTooLarge, TooManyHeaders, Folded, SpaceBeforeColon, HeaderName,
            HeaderValue, HostMissing, HostTwice, HostMalformed, LengthTwice, LengthMalformed,
            LengthWithCoding, LengthRequired, Coding, CodingInHttp10, BodyNotAllowed, BodyTooLarge, Chunk,
            ChunkExtension, Trailers, BodyNotText, BytesBeyond, HeadEndsEarly, BodyEndsEarly, Expectation,
            TooSlow, NotFound, MethodNotAllowed("POST"), Source, Unreadable, NoAnswer,
        ]
    };

    /// The status of the answer.
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The sentence of the answer, without its newline.
    pub fn sentence(self) -> String {
        let (_, sentence, bound) = self.row();
        match bound {
            Some(bound) => format!("{sentence} {bound}"),
            None => sentence.to_string(),
        }
    }

    /// The value of `Allow`, for a 405.
    pub fn allow(self) -> Option<&'static str> {
        match self {
            HttpError::MethodNotAllowed(allow) => Some(allow),
            _ => None,
        }
    }

    /// The table: status, sentence, and the bound that ends the sentence where there is one.
    #[rustfmt::skip]
    fn row(self) -> (u16, &'static str, Option<usize>) {
        use HttpError::*;
        let (status, sentence) = match self {
            NotTls => (400, "this port speaks TLS: use https"),
            BareCr => (400, "a line of the request contains a CR without an LF"),
            BareLf => (400, "a line of the request ends in LF without a CR"),
            Nul => (400, "the request head contains a NUL"),
            RequestLine => (400, "the request line is not METHOD PATH VERSION with one space between them"),
            Version => (505, "only HTTP/1.1 and HTTP/1.0 are spoken here"),
            TargetTooLong => return (414, "the request target is longer than the allowed bytes:", Some(MAX_TARGET)),
            TargetForm => (400, "the request target is not a path"),
            TargetDots => (400, "the path has a . or .. segment"),
            TargetEncoded => (400, "the path is percent-encoded, which no path here needs"),
            TargetBytes => (400, "the request target has a character that is not allowed in one"),
            HeadTooLarge => return (431, "the request head is larger than the allowed bytes:", Some(MAX_HEAD)),
            TooManyHeaders => return (431, "the request has more headers than are allowed:", Some(MAX_HEADERS)),
            Folded => (400, "a header is folded over several lines"),
            SpaceBeforeColon => (400, "a header has white space before its colon"),
            HeaderName => (400, "a header line does not begin with a name and a colon"),
            HeaderValue => (400, "a header value has a control character"),
            HostMissing => (400, "the Host header is missing"),
            HostTwice => (400, "the Host header is there more than once"),
            HostMalformed => (400, "the Host header is not a host"),
            LengthTwice => (400, "the Content-Length header is there more than once"),
            LengthMalformed => (400, "the Content-Length header is not a number"),
            LengthWithCoding => (400, "the request has both a Content-Length and a Transfer-Encoding"),
            LengthRequired => (411, "the request says neither its Content-Length nor that it is chunked"),
            Coding => (400, "the only transfer coding understood is chunked, once"),
            CodingInHttp10 => (400, "HTTP/1.0 has no transfer codings"),
            BodyNotAllowed => (400, "a GET or HEAD request has no body here"),
            BodyTooLarge => return (413, "the request body is larger than the allowed bytes:", Some(MAX_BODY)),
            Chunk => (400, "the chunked body is malformed"),
            ChunkExtension => (400, "a chunk extension is too long or malformed"),
            Trailers => (400, "trailers after a chunked body are not accepted"),
            BodyNotText => (400, "the request body is not UTF-8 text"),
            BytesBeyond => (400, "bytes follow the end of the request"),
            HeadEndsEarly => (400, "the request ended before its head was complete"),
            BodyEndsEarly => (400, "the request ended before its body was complete"),
            Expectation => (417, "the only expectation understood is 100-continue"),
            TooSlow => (408, "the request was not complete in time"),
            NotFound => (404, "not found"),
            MethodNotAllowed(_) => (405, "method not allowed"),
            Source => (403, "source IP not permitted"),
            Unreadable => (500, "the document could not be read"),
            NoAnswer => (502, "the request was taken but not answered"),
        };
        (status, sentence, None)
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

    #[test]
    fn only_a_405_says_what_is_allowed() {
        for one in HttpError::ALL {
            assert_eq!(one.allow().is_some(), one.status() == 405, "{one:?}");
        }
    }
}
