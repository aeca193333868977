//! HTTP/1.1, the server's side of it: bytes in, facts out; facts in, bytes out.
//!
//! For the front, which feeds it what TLS gave and writes what it makes. It never reads a socket, a clock or a file, and
//! it trusts nothing: what it does not know to be harmless it refuses, because every leniency of RFC 9112 has been
//! somebody's request smuggling. One request a connection, so nothing here is ever used twice. A reader takes bytes and
//! says how many it used and, once it is complete, what it has read; bytes past that are left alone.
//!
//! ```text
//! bytes -> HeadReader -> Head -> Routes::find -> BodyReader -> body
//!              '-----------'-----------'-------------'-> HttpError -> Response -> bytes
//! ```

mod body;
mod error;
mod fields;
mod head;
mod response;
mod route;

pub use body::BodyReader;
pub use error::{HttpError, Result};
pub use head::{Framing, Head, HeadReader, Version};
pub use response::{CONTINUE, Response};
pub use route::{Route, Routes};

#[cfg(test)]
mod mutation_tests;
