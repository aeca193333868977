//! The stream to the caller: a line -> a chunk.
//!
//! One line, one chunk, so that what arrives at the client is whole lines, each as soon as it is there. HTTP/1.0 has no
//! chunks: there the lines follow each other and the end is the connection's.

use super::Version;

/// How the end of a streamed answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFraming {
    /// Chunks, the last of them empty: a stream that was cut can be told from one that ended.
    Chunked,
    /// Until the connection is closed.
    UntilClose,
}

impl StreamFraming {
    /// What a client of this version understands.
    pub fn of(version: Version) -> StreamFraming {
        match version {
            Version::Http11 => StreamFraming::Chunked,
            Version::Http10 => StreamFraming::UntilClose,
        }
    }

    /// `line` and its newline, framed.
    pub fn line(self, line: &str) -> Vec<u8> {
        match self {
            // Never an empty chunk, which would be the end: the newline is always in it.
            StreamFraming::Chunked => format!("{:x}\r\n{line}\n\r\n", line.len() + 1).into_bytes(),
            StreamFraming::UntilClose => format!("{line}\n").into_bytes(),
        }
    }

    /// What ends the stream.
    pub fn end(self) -> &'static [u8] {
        match self {
            StreamFraming::Chunked => b"0\r\n\r\n",
            StreamFraming::UntilClose => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Body, BodyReader, Framing, Progress};
    use super::*;

    #[test]
    fn a_line_is_one_chunk_with_its_newline() {
        assert_eq!(StreamFraming::Chunked.line("{}"), b"3\r\n{}\n\r\n");
        assert_eq!(StreamFraming::UntilClose.line("{}"), b"{}\n");
    }

    #[test]
    fn an_empty_line_does_not_end_the_stream() {
        assert_eq!(StreamFraming::Chunked.line(""), b"1\r\n\n\r\n");
    }

    #[test]
    fn sizes_are_bytes_in_hexadecimal_not_characters() {
        assert!(
            StreamFraming::Chunked
                .line("ä".repeat(20).as_str())
                .starts_with(b"29\r\n")
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut stream = Vec::new();
        for line in ["one", "", "drei €"] {
            stream.extend(StreamFraming::Chunked.line(line));
        }
        stream.extend(StreamFraming::Chunked.end());
        let read = BodyReader::new(Framing::Chunked).feed(&stream);
        assert_eq!(
            read,
            Ok((
                stream.len(),
                Progress::Done(Body("one\n\ndrei €\n".as_bytes().to_vec()))
            ))
        );
    }

    #[test]
    fn only_http_1_1_gets_chunks() {
        assert_eq!(StreamFraming::of(Version::Http11), StreamFraming::Chunked);
        assert_eq!(StreamFraming::of(Version::Http10), StreamFraming::UntilClose);
        assert!(StreamFraming::UntilClose.end().is_empty());
    }
}
