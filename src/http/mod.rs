//! HTTP/1.1, the server's side of it: bytes in, facts out; facts in, bytes out.
//!
//! For the front, which feeds it what TLS gave and writes what it makes. It never reads a socket, a clock or a file, and
//! it trusts nothing: what it does not know to be harmless it refuses, because every leniency of RFC 9112 has been
//! somebody's request smuggling. One request a connection, so nothing here is ever used twice.
//!
//! ```text
//! bytes -> HeadReader -> Head -> Routes::find -> BodyReader -> body
//!              '-----------'-----------'-------------'-> HttpError -> Response -> bytes
//! ```

mod body;
mod chunk;
mod error;
mod fields;
mod head;
mod request_line;
mod response;
mod route;

pub use body::{Body, BodyReader};
pub use chunk::StreamFraming;
pub use error::HttpError;
pub use head::{Expectation, Framing, Head, HeadReader, Method, Version};
pub use response::{CONTINUE, Response, StreamHead};
pub use route::{Document, OpenPath, Route, Routes};

#[cfg(test)]
mod mutation_tests;

/// What came of feeding some bytes to a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// All bytes were used, and more are needed.
    More,
    /// The thing is complete; bytes past it were left alone.
    Done(T),
}
